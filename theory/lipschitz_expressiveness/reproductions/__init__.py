"""How Lipschitz constants grow with depth and width, how they are computed, and what product bounds miss."""

from theory.lipschitz_expressiveness.reproductions.bits import bit_extraction
from theory.lipschitz_expressiveness.reproductions.gaussian import gaussian_norm, ginibre, trace_moments
from theory.lipschitz_expressiveness.reproductions.growth import (
    depth,
    depth_any_weights,
    every_activation,
    upper_bound,
    width,
)
from theory.lipschitz_expressiveness.reproductions.measured import slopes
from theory.lipschitz_expressiveness.reproductions.methods import controller, exact_methods, sandwich
from theory.lipschitz_expressiveness.reproductions.mixtures import mixture, pencils
from theory.lipschitz_expressiveness.reproductions.points import he_threshold, relu_point
from theory.lipschitz_expressiveness.reproductions.sharp import coupled_lipsdp, product_is_sharp_and_not, tent_map

__all__ = [
    "bit_extraction",
    "controller",
    "coupled_lipsdp",
    "depth",
    "depth_any_weights",
    "every_activation",
    "exact_methods",
    "gaussian_norm",
    "ginibre",
    "he_threshold",
    "mixture",
    "pencils",
    "product_is_sharp_and_not",
    "relu_point",
    "sandwich",
    "slopes",
    "tent_map",
    "trace_moments",
    "upper_bound",
    "width",
]
