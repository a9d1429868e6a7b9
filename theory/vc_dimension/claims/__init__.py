"""VC dimension of MLPs and MoMLPs: shattered sets, upper bounds, the stated rate put to the test, and A3.

What is put to the test is the sentence of the abstract of arXiv:2402.03460v2, VC = Õ(L·max{nL, JW}) with "depth and
width of J and W". Only the abstracts were read: the theorem in the body may define W differently, and nothing here
speaks about it.
"""

from theory.vc_dimension.claims import approximation, shattered_sets, stated_rate, upper_bounds

__all__ = ["approximation", "shattered_sets", "stated_rate", "upper_bounds"]
