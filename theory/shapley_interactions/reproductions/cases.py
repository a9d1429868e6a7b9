"""What the reproductions share: an instrument run over many n and k, and what it compared.

Main definitions: `compared`, `orders`, `total`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from theory.claim import Context, Table, ensure
from theory.shapley_interactions.checkers.theorems import TheoremReport


def orders(players: Iterable[int], *, doubled: bool = False) -> list[tuple[int, int]]:
    """(n, k) for all orders k ≤ n, or k ≤ n/2 where some coalition must be inner (`doubled`)."""
    return [(n, k) for n in players for k in range(1, (n // 2 if doubled else n) + 1)]


def compared(
    context: Context, what: str, holds: Callable[..., TheoremReport], cases: Iterable[tuple[int, ...]]
) -> Table:
    """Entries compared for each (n,) or (n, k); the claim stops at the first case that does not hold."""
    rows = []
    for case in cases:
        name = ", ".join(f"{letter} = {number}" for letter, number in zip("nk", case, strict=False))
        context.log(f"{what}: {name}")
        report = holds(*case)
        ensure(report, name)
        ensure(report.compared > 0, f"{name}: nothing was compared")
        rows.append((*case, report.compared))
    return Table((*"nk"[: len(rows[0]) - 1], "entries"), tuple(rows))


def total(table: Table) -> dict[str, int]:
    """How many operators were compared, and how many of their entries."""
    return {"operators": len(table.rows), "entries": sum(int(count) for count in table.column("entries"))}
