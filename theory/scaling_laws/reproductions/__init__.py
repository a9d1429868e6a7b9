"""How the claims are decided: one function a claim, in files by what they are about."""

from theory.scaling_laws.reproductions.curves import (
    bandwidth_of_real_data,
    better_than_last_value,
    language_models,
    learning_curves,
    recovery,
    translation,
)
from theory.scaling_laws.reproductions.law import planning, redundant_constant
from theory.scaling_laws.reproductions.nyquist import (
    nyquist_bandwidth,
    nyquist_jump,
    nyquist_noise,
    nyquist_recovery,
)
from theory.scaling_laws.reproductions.pruned import pruning, pruning_shape, pruning_slope_is_gamma
from theory.scaling_laws.reproductions.splines import shallow_lower_bound, spline_rate
from theory.scaling_laws.reproductions.trained import (
    nyquist_against_relu,
    realizable_error,
    realizable_teacher,
    trained_grid,
)

__all__ = [
    "bandwidth_of_real_data",
    "better_than_last_value",
    "language_models",
    "learning_curves",
    "nyquist_against_relu",
    "nyquist_bandwidth",
    "nyquist_jump",
    "nyquist_noise",
    "nyquist_recovery",
    "planning",
    "pruning",
    "pruning_shape",
    "pruning_slope_is_gamma",
    "realizable_error",
    "realizable_teacher",
    "recovery",
    "redundant_constant",
    "shallow_lower_bound",
    "spline_rate",
    "trained_grid",
    "translation",
]
