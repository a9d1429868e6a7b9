"""Do boxes cover a domain? Exact: as a product of adjacent intervals, or by volumes.

Main definitions: `is_product_cover`, `volume_cover`.
"""

from __future__ import annotations

import itertools
from fractions import Fraction

import torch
from torch import Tensor

from constructions.functions.box import Box
from theory.checkers.uniform_error.certificate import Premise

MAX_FOREIGN_LEAVES = 4096


def is_product_cover(lower: Tensor, upper: Tensor, domain: Box) -> bool:
    """Whether the boxes are exactly all combinations of adjacent intervals that fill each axis."""
    lo, hi = domain.tensors(lower.device)
    combinations = 1
    for axis in range(domain.n):
        pairs = torch.unique(torch.stack([lower[:, axis], upper[:, axis]], dim=1), dim=0)
        joined = bool((pairs[1:, 0] == pairs[:-1, 1]).all())
        if not (joined and pairs[0, 0] <= lo[axis] and pairs[-1, 1] >= hi[axis]):
            return False
        combinations *= len(pairs)
    distinct = torch.unique(torch.cat([lower, upper], dim=1), dim=0)
    return len(distinct) == combinations == len(lower)


def volume_cover(name: str, lower: Tensor, upper: Tensor, domain: Box) -> Premise:
    """Interior-disjoint boxes inside the domain whose exact volumes add up to the domain's."""
    if len(lower) > MAX_FOREIGN_LEAVES:
        return Premise(name, False, f"{len(lower)} cells are no product of adjacent intervals")
    inside = torch.minimum(upper[:, None], upper) - torch.maximum(lower[:, None], lower)
    overlap = (inside > 0).all(-1)
    overlap.fill_diagonal_(False)
    if bool(overlap.any()):
        first, second = divmod(int(overlap.int().argmax()), len(lower))
        return Premise(name, False, f"the cells of leaves {first} and {second} overlap")
    rows = zip(lower.tolist(), upper.tolist(), strict=True)
    volume = sum(volume_inside(a, b, domain) for a, b in rows)
    whole = volume_inside(list(domain.lo), list(domain.hi), domain)
    detail = f"disjoint cells fill {float(volume / whole):.6g} of the domain"
    return Premise(name, volume == whole, detail)


def volume_inside(lower: list[float], upper: list[float], domain: Box) -> Fraction:
    volume = Fraction(1)
    for a, b, lo, hi in itertools.zip_longest(lower, upper, domain.lo, domain.hi):
        volume *= max(Fraction(0), Fraction(min(b, hi)) - Fraction(max(a, lo)))
    return volume
