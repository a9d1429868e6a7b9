"""A1 to A4: what the mixtures reach, and what they cost."""

from theory.momlp.reproductions.mixtures import (
    certificate_tightness,
    lying_modulus,
    sharpness,
    uniform_error,
    uniform_error_n10,
    variants,
)
from theory.momlp.reproductions.rates import (
    active_parameters,
    curse_of_dimensionality,
    forward_pass_load,
    slopes,
    trade_off,
)

__all__ = [
    "active_parameters",
    "certificate_tightness",
    "curse_of_dimensionality",
    "forward_pass_load",
    "lying_modulus",
    "sharpness",
    "slopes",
    "trade_off",
    "uniform_error",
    "uniform_error_n10",
    "variants",
]
