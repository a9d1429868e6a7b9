"""Instruments for shattered sets: all labelings, or certificates that are sound for all of them at once."""

from theory.checkers.shattering.certificates import certified
from theory.checkers.shattering.labelings import Shattered, shattered_by_random_labelings, shattered_exhaustively
from theory.checkers.shattering.mixtures import shattered_by_cells
from theory.checkers.shattering.reflections import shattered_by_reflections
from theory.checkers.shattering.report import ShatteringReport
from theory.checkers.shattering.signs import shattered_by_one_hidden_layer
from theory.checkers.shattering.table import shattered_by_table

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
