"""`Share`: the part of a search that one of several processes does.

Main definitions: `Share`, `WHOLE`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor

from constructions.errors import require_int


@dataclass(frozen=True)
class Share:
    """The part `rank` of `world` of a search: a run of leaves, or every world-th box when leaves are fewer than ranks.

    `meet` is told this part's lower end once, between seeding and refining, and answers with the largest of all parts.
    A part decides nothing by itself: its certificate is INCONCLUSIVE until all parts are put together.
    """

    rank: int = 0
    world: int = 1
    meet: Callable[[float], float] = field(default=lambda lower: lower)

    def __post_init__(self) -> None:
        require_int("world", self.world, 1)
        require_int("rank", self.rank, 0, self.world - 1)

    def of_leaves(self, leaves: Tensor) -> Tensor:
        """This part of leaves (E, q): all of them where boxes are shared instead."""
        return leaves if self.shares_boxes(leaves) else leaves.tensor_split(self.world)[self.rank]

    def shares_boxes(self, leaves: Tensor) -> bool:
        return len(leaves) < self.world


WHOLE = Share()
