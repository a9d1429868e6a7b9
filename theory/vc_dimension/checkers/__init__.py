"""Instruments for shattered sets: all labelings, or certificates that are sound for all of them at once."""

from theory.vc_dimension.checkers.certificates import certified
from theory.vc_dimension.checkers.labelings import Shattered, shattered_by_random_labelings, shattered_exhaustively
from theory.vc_dimension.checkers.mixtures import shattered_by_cells
from theory.vc_dimension.checkers.reflections import shattered_by_reflections
from theory.vc_dimension.checkers.report import ShatteringReport
from theory.vc_dimension.checkers.signs import shattered_by_one_hidden_layer
from theory.vc_dimension.checkers.table import shattered_by_table

__all__ = [
    "Shattered",
    "ShatteringReport",
    "certified",
    "shattered_by_cells",
    "shattered_by_one_hidden_layer",
    "shattered_by_random_labelings",
    "shattered_by_reflections",
    "shattered_by_table",
    "shattered_exhaustively",
]
