"""Which certificate decides which family.

Main definition: `certified`.
"""

from __future__ import annotations

from constructions.shattering import ShatteredMixture, ShatteredRouting, ShatteredSet
from theory.checkers.shattering.labelings import Shattered, shattered_exhaustively
from theory.checkers.shattering.mixtures import shattered_by_cells
from theory.checkers.shattering.reflections import shattered_by_reflections
from theory.checkers.shattering.report import ShatteringReport
from theory.checkers.shattering.signs import shattered_by_one_hidden_layer
from theory.checkers.shattering.table import shattered_by_table

FEW_POINTS = 20


def certified(shattered: Shattered) -> ShatteringReport:
    """A report that covers all labelings: by certificate, or by enumeration of at most 2²⁰ where there is none.

    BudgetExceeded when there is neither.
    """
    if isinstance(shattered, ShatteredMixture):
        return shattered_by_cells(shattered, certified)
    if isinstance(shattered, ShatteredRouting):
        if shattered.family == "routing_only" and shattered.points.shape[1] > 1 and shattered.size > 1:
            return shattered_by_reflections(shattered)
        return shattered_exhaustively(shattered, max_points=FEW_POINTS)
    if shattered.table is not None:
        return shattered_by_table(shattered)
    if _has_apex(shattered):
        return shattered_by_one_hidden_layer(shattered)
    return shattered_exhaustively(shattered, max_points=FEW_POINTS)


def _has_apex(shattered: ShatteredSet) -> bool:
    return shattered.family == "one_hidden_layer" and shattered.points.shape[1] > 1
