"""What a step takes, counted: one for a product or a sum, a comparison, a node; 2d for an inner product.

    dense : 4mnd + 2n²m + nm + n³/3
    hybrid: 2mnd + nm                       + common
    flat  : nm + 2·reported + 2d·candidates + common + 2|U|d + 2nd·refreshed + n·refreshed
    eager : visited                         + common + 2nd|U| + n·written
    lazy  : visited + 2·reported + 2d·candidates + common + 2|U|d + 2nd·refreshed + n·written
    common = 2F + J₂ + n² + n³/3 + 2Fd

Main definitions: `Measured`, `operations`, `build_operations`.
Notation: F fired pairs, U units that fire, J₂ = Σ c_r², c_r the points that unit r fires at; n³/3 is rounded down.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Measured:
    """Integers of one step, each counted on what the step did: `fired` pairs, `touched` units, `joined` = Σ c_r², nodes
    `visited` in all trees, stale keys `reported`, inner products of `candidates`, units `refreshed`, nodes `written` in
    one tree."""

    m: int
    n: int
    d: int
    fired: int
    touched: int
    joined: int
    visited: int = 0
    reported: int = 0
    candidates: int = 0
    refreshed: int = 0
    written: int = 0


def operations(method: str, s: Measured) -> dict[str, int]:
    """Operations of a step by what they are for, their sum as "total"."""
    solve = s.n**3 // 3
    if method == "dense":
        parts = {
            "find": 2 * s.m * s.n * s.d + s.n * s.m,
            "gram": 2 * s.n**2 * s.m,
            "solve": solve,
            "move": 2 * s.m * s.n * s.d,
        }
    else:
        parts = {
            "find": _find(method, s),
            "outputs": 2 * s.fired,
            "gram": s.joined + s.n**2,
            "solve": solve,
            "move": 2 * s.fired * s.d,
            "keys": _keys(method, s),
        }
    return parts | {"total": sum(parts.values())}


def _find(method: str, s: Measured) -> int:
    exact = 2 * s.reported + 2 * s.d * s.candidates
    scan = s.n * s.m
    return {
        "hybrid": 2 * s.m * s.n * s.d + scan,
        "flat": scan + exact,
        "eager": s.visited,
        "lazy": s.visited + exact,
    }[method]


def _keys(method: str, s: Measured) -> int:
    way = 2 * s.touched * s.d
    again = 2 * s.n * s.d * s.refreshed
    return {
        "hybrid": 0,
        "flat": way + again + s.n * s.refreshed,
        "eager": 2 * s.n * s.touched * s.d + s.n * s.written,
        "lazy": way + again + s.n * s.written,
    }[method]


def build_operations(method: str, m: int, n: int, d: int) -> int:
    """Before the first step: all keys, and one comparison a leaf."""
    return 0 if method in ("dense", "hybrid") else 2 * m * n * d + n * m
