"""VC dimension of MLPs and MoMLPs: shattered sets, upper bounds, the stated rate put to the test, and A3.

What is put to the test is the sentence of the abstract of arXiv:2402.03460v2, VC = Õ(L·max{nL, JW}) with "depth and
width of J and W". Only the abstracts were read: the theorem in the body may define W differently, and nothing here
speaks about it.
"""

from theory.vc_dimension.reproductions.approximation import single_mlp_lower_bound
from theory.vc_dimension.reproductions.shattered_sets import bounds, deep, mixture, one_hidden_layer, routing_only
from theory.vc_dimension.reproductions.stated_rate import weights_reading, width_condition, width_reading
from theory.vc_dimension.reproductions.upper_bounds import finite, routing_term, tree_router

__all__ = [
    "bounds",
    "deep",
    "finite",
    "mixture",
    "one_hidden_layer",
    "routing_only",
    "routing_term",
    "single_mlp_lower_bound",
    "tree_router",
    "weights_reading",
    "width_condition",
    "width_reading",
]
