"""By hand, by certificates, counterexamples, random matrices, and least squares."""

from theory.am_gm.reproductions.certificates import certified_pairs, five_constant, four, three
from theory.am_gm.reproductions.counterexamples import five, from_five_on, three_by_three
from theory.am_gm.reproductions.identities import pairs, two_forms
from theory.am_gm.reproductions.random_matrices import mean_square, norms_inside, random_iid
from theory.am_gm.reproductions.sampling import least_squares, mean_against_square

__all__ = [
    "certified_pairs",
    "five",
    "five_constant",
    "four",
    "from_five_on",
    "least_squares",
    "mean_against_square",
    "mean_square",
    "norms_inside",
    "pairs",
    "random_iid",
    "three",
    "three_by_three",
    "two_forms",
]
