"""Which certificate decides which set: the readers are asked in turn, whatever the set is called.

Main definition: `certified`.
"""

from __future__ import annotations

from collections.abc import Iterator

from constructions.errors import BudgetExceeded
from constructions.vc_dimension import ShatteredMixture, ShatteredRouting
from theory.vc_dimension.checkers.labelings import Shattered, require_shattered, shattered_exhaustively
from theory.vc_dimension.checkers.mixtures import shattered_by_cells
from theory.vc_dimension.checkers.reflections import check_router, read_reflections
from theory.vc_dimension.checkers.report import ShatteringReport
from theory.vc_dimension.checkers.signs import check_signs, read_signs
from theory.vc_dimension.checkers.table import check_set, read_set

FEW_POINTS = 20
VERY_FEW_POINTS = 10  # all networks are run beside the certificate


def certified(shattered: Shattered) -> ShatteringReport:
    """A report that covers all labelings: by certificate, or by enumeration of at most 2²⁰ where none holds.

    BudgetExceeded when no certificate reads the set and there are too many labelings.
    """
    require_shattered(shattered)
    if isinstance(shattered, ShatteredMixture):
        return shattered_by_cells(shattered, certified)
    rejected, unread = None, []
    for found in _certificates(shattered):
        if isinstance(found, str):
            unread.append(found)
        elif found.holds:
            plain = shattered_exhaustively(shattered) if shattered.size <= VERY_FEW_POINTS else found
            return found if plain.holds else plain
        else:
            rejected = rejected or found
    if shattered.size <= FEW_POINTS:
        return shattered_exhaustively(shattered, max_points=FEW_POINTS)
    if rejected is not None:
        return rejected
    why = "; ".join(unread)
    raise BudgetExceeded(f"{shattered.size} points have 2^{shattered.size} labelings, and no certificate reads: {why}")


def _certificates(shattered: Shattered) -> Iterator[ShatteringReport | str]:
    """What every certificate says of the set: a report, or a sentence when it is none that it reads."""
    if isinstance(shattered, ShatteredRouting):
        family = read_reflections(shattered)
        yield family if isinstance(family, str) else check_router(shattered, family)
        return
    assert not isinstance(shattered, ShatteredMixture)
    table = read_set(shattered)
    yield table if isinstance(table, str) else check_set(shattered, table)
    signs = read_signs(shattered)
    yield signs if isinstance(signs, str) else check_signs(signs)
