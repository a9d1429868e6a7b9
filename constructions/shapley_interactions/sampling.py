"""Which coalitions KernelSHAP-IQ evaluates: all of the small and large sizes, distinct ones drawn from the others.

Size t is drawn in proportion to 1/(t(n − t)). A size that would get all its C(n, t) coalitions is enumerated (the
border trick); every other one gets a fixed count of distinct coalitions, uniformly and without replacement. Paired, the
complement of a drawn coalition is drawn with it.

Main definitions: `Design`, `outer_cost`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from constructions.errors import require_int
from constructions.shapley_interactions.coalitions import masks_of_size

LISTED = 1 << 22  # subsets that are drawn by their number; of more, random rows are compared
KEY_ELEMENTS = 1 << 24


def outer_cost(n: int, order: int) -> int:
    """Coalitions of fewer than `order` or more than n − `order` players."""
    return 2 * sum(math.comb(n, t) for t in range(order))


@dataclass(frozen=True)
class Design:
    """How `budget` evaluations are spent: `enumerated` sizes, and `drawn` (size, count) of the others.

    Paired, `drawn` lists sizes t ≤ n/2 and counts pairs.
    """

    n: int
    order: int
    budget: int
    paired: bool
    enumerated: tuple[int, ...]
    drawn: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, n: int, order: int, budget: int, *, paired: bool) -> Design:
        """ValueError for a budget below the outer coalitions' number, or above 2^n."""
        low = outer_cost(n, order)
        if require_int("budget", budget, 1) < low:
            raise ValueError(
                f"`budget` must be at least {low}, the coalitions of fewer than {order} or more than {n - order} of "
                f"{n} players, got {budget}"
            )
        require_int("budget", budget, low, 2**n)
        outer = [t for t in range(n + 1) if t < order or t > n - order]
        inner, drawn = _allocated(n, order, budget - low, paired)
        return cls(n, order, budget, paired, tuple(sorted(outer + inner)), tuple(drawn))

    def fixed(self) -> Tensor:
        """The enumerated coalitions, boolean (m, n), by size."""
        return torch.cat([masks_of_size(self.n, t) for t in self.enumerated])

    def draw(self, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        """Drawn coalitions, boolean (m, n), and how many each stands for, C(n, t)/count, float64 (m,)."""
        masks, weights = [torch.zeros(0, self.n, dtype=torch.bool)], [torch.zeros(0, dtype=torch.float64)]
        for t, count in self.drawn:
            rows = self._of_size(t, count, generator)
            share = math.comb(self.n, t) / (len(rows) if 2 * t == self.n or not self.paired else count)
            masks.append(rows)
            weights.append(torch.full((len(rows),), share, dtype=torch.float64))
        return torch.cat(masks), torch.cat(weights)

    def _of_size(self, t: int, count: int, generator: torch.Generator | None) -> Tensor:
        if not self.paired:
            return distinct(self.n, t, count, generator)
        if 2 * t == self.n:  # a pair by its coalition with player 0
            rest = distinct(self.n - 1, t - 1, count, generator)
            half = torch.cat([torch.ones(count, 1, dtype=torch.bool), rest], dim=1)
        else:
            half = distinct(self.n, t, count, generator)
        return torch.cat([half, ~half])


def _allocated(n: int, order: int, budget: int, paired: bool) -> tuple[list[int], list[tuple[int, int]]]:
    """Inner sizes that are enumerated, and (size, count) of those that are drawn; counts of pairs when paired."""
    unit = 2 if paired else 1
    classes = [(t,) if not paired or 2 * t == n else (t, n - t) for t in range(order, n - order + 1)]
    classes = [sizes for sizes in classes if not paired or sizes[0] <= n - sizes[0]]
    room = {sizes: len(sizes) * math.comb(n, sizes[0]) // unit for sizes in classes}
    likely = {sizes: len(sizes) / (sizes[0] * (n - sizes[0])) for sizes in classes}
    left, enumerated = budget // unit, []
    while classes:
        whole = sum(likely[sizes] for sizes in classes)
        full = [s for s in classes if left * (likely[s] / whole) >= room[s] * (1 - 1e-12)]
        if not full:
            break
        left -= sum(room[s] for s in full)
        enumerated += [t for sizes in full for t in sizes]
        classes = [s for s in classes if s not in full]
    whole = sum(likely[sizes] for sizes in classes)
    shares = {sizes: left * (likely[sizes] / whole) for sizes in classes}
    counts = {sizes: math.floor(share) for sizes, share in shares.items()}
    by_remainder = sorted(classes, key=lambda s: (counts[s] - shares[s], s))
    for sizes in by_remainder[: left - sum(counts.values())]:
        counts[sizes] += 1
    return enumerated, [(sizes[0], counts[sizes]) for sizes in classes if counts[sizes]]


# --- distinct coalitions ----------------------------------------------------------------------------------


def distinct(n: int, t: int, count: int, generator: torch.Generator | None) -> Tensor:
    """`count` different coalitions of size t, uniformly, boolean (count, n)."""
    if 2 * t > n:
        return ~distinct(n, n - t, count, generator)
    if math.comb(n, t) <= LISTED:
        return _numbered(n, t, torch.randperm(math.comb(n, t), generator=generator)[:count])
    found, keys = torch.zeros(0, n, dtype=torch.bool), _keys(n, generator)
    while len(found) < count:
        fresh = [_random_rows(n, t, size, generator) for size in _parts(count - len(found), n)]
        found = torch.cat([found, *fresh])
        found = found[_first_of_each(_codes(found, keys))]
    return found


def _numbered(n: int, t: int, numbers: Tensor) -> Tensor:
    """Coalitions of size t by their number in colexicographic order, boolean (m, n)."""
    masks = torch.zeros(len(numbers), n, dtype=torch.bool)
    left = numbers.clone()
    for size in range(t, 0, -1):
        below = torch.tensor([math.comb(c, size) for c in range(n)])
        player = torch.searchsorted(below, left, right=True) - 1
        left -= below[player]
        masks.scatter_(1, player[:, None], True)
    return masks


def _parts(count: int, n: int) -> Iterator[int]:
    step = max(1, KEY_ELEMENTS // n)
    return (min(step, count - start) for start in range(0, count, step))


def _random_rows(n: int, t: int, count: int, generator: torch.Generator | None) -> Tensor:
    players = torch.rand(count, n, generator=generator, dtype=torch.float64).topk(t, dim=-1).indices
    return torch.zeros(count, n, dtype=torch.bool).scatter_(1, players, True)


def _keys(n: int, generator: torch.Generator | None) -> Tensor:
    """A number of 64 bits a player, whose sums tell coalitions apart: surely for n ≤ 62, else but for an accident of
    chance 2^-64 a pair, in which a new coalition passes for a known one and another is drawn."""
    if n <= 62:
        return 2 ** torch.arange(n)
    return torch.randint(-(2**63), 2**63 - 1, (n,), generator=generator)


def _codes(masks: Tensor, keys: Tensor) -> Tensor:
    parts = masks.split(max(1, KEY_ELEMENTS // masks.shape[1]))
    return torch.cat([torch.where(part, keys, 0).sum(-1) for part in parts])


def _first_of_each(codes: Tensor) -> Tensor:
    """Places of the first of equal codes, ascending."""
    order = torch.argsort(codes, stable=True)
    new = torch.ones(len(codes), dtype=torch.bool)
    new[1:] = codes[order][1:] != codes[order][:-1]
    return order[new].sort().values
