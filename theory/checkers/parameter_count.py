"""Parameter counts, measured on modules and compared with formulas by equality.

Main definitions: `measured_counts`, `parameter_count_eq`.
Implementation notes: counted is every number that a module holds, be its tensor a Parameter, a buffer or a plain
attribute: weights do not become fewer by being registered as something else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import sympy
import torch
from torch import Tensor, nn

from constructions.errors import require_instance, require_int, shown
from constructions.mixture import LatticeMixture, Mixture, is_mixture
from theory.claim import Report

MAX_EXPERTS_READ = 64


@dataclass(frozen=True)
class MeasuredCounts:
    """Numbers that experts hold: `active` (the largest read), `nonzero`, and how many experts were read."""

    active: int
    smallest: int
    nonzero: int
    read: int


@dataclass(frozen=True)
class CountComparison(Report):
    """`measured == formula`, name by name; `mismatches` are sentences.

    `read` of `experts` experts were read: an odd one among the others would not be seen. Nothing compared is not equal.
    """

    values: dict[str, tuple[int, int]]
    read: int
    experts: int
    failure: str | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        nothing = None if self.values else "nothing was compared"
        object.__setattr__(self, "failure", next(iter(self.mismatches), nothing))

    @property
    def mismatches(self) -> list[str]:
        return [
            f"{k}: measured {a}, formula {b} ({self.read} of {self.experts} experts read)"
            for k, (a, b) in self.values.items()
            if a != b
        ]

    @property
    def equal(self) -> bool:
        return self.holds


def measured_counts(model: nn.Module) -> MeasuredCounts:
    """Counts read from `expert(leaf)` of evenly spread leaves (all of them up to 64), or from the module itself.

    ValueError for a module that has `expert` and not the rest of a mixture, or the other way round.
    """
    require_instance("model", model, nn.Module)
    experts = _experts(model)
    sizes = [_numel(e) for e in experts]
    nonzero = max(int(sum(torch.count_nonzero(t) for t in _held(e))) for e in experts)
    return MeasuredCounts(max(sizes), min(sizes), nonzero, len(experts))


def _numel(module: nn.Module) -> int:
    """Real numbers that a module holds."""
    return sum(t.numel() * (2 if t.is_complex() else 1) for t in _held(module))


def _held(module: nn.Module) -> list[Tensor]:
    """The distinct tensors of a module and of all modules below it."""
    found: dict[int, Tensor] = {}
    for part in module.modules():
        own = (*part.parameters(recurse=False), *part.buffers(recurse=False), *vars(part).values())
        found |= {id(t): t for t in own if isinstance(t, Tensor)}
    return list(found.values())


def _experts(model: nn.Module) -> list[nn.Module]:
    if not is_mixture(model):
        return [model]
    mixture = cast(Mixture, model)
    total = require_int("num_leaves", mixture.num_leaves, 1)
    count = min(total, MAX_EXPERTS_READ)
    return [
        require_instance("expert(leaf)", mixture.expert(i * (total - 1) // max(1, count - 1)), nn.Module)
        for i in range(count)
    ]


def parameter_count_eq(model: LatticeMixture, formulas: Mapping[str, int | sympy.Basic]) -> CountComparison:
    """Compare measured counts with `formulas`; keys: active, total, stored, loaded, leaves.

    active: numbers of every expert read, at most 64 (a smaller one is a mismatch too); total: leaves × active; stored:
    numbers of the bank's tensors; loaded: child prototypes on the worst path of the materialised graph, n numbers each,
    plus active; leaves: rows of the bank (a lazy model: leaves of its tree), which must also be the model's num_leaves.
    """
    require_instance("model", model, LatticeMixture)
    require_instance("formulas", formulas, Mapping)
    counts = measured_counts(model)
    # an eager bank has one row an expert; a lazy model has no rows to count, only its tree
    held = model.held_experts()
    leaves = model.num_leaves if held is None else held
    measured = {
        "active": counts.active if counts.active == counts.smallest else -counts.smallest,
        "leaves": leaves,
        "total": leaves * counts.active,
        "stored": _numel(model),
    }
    if "loaded" in formulas:
        measured["loaded"] = counts.active + model.n * _worst_path_children(model)
    unknown = set(formulas) - set(measured)
    if unknown:
        raise ValueError(f"`formulas` may have the keys {sorted(measured)}, got {sorted(unknown)}")
    values = {k: (measured[k], _integer(v)) for k, v in formulas.items()}
    if leaves != model.num_leaves:
        values["leaves"] = leaves, model.num_leaves  # whatever was asked: the model counts its own experts wrongly
    return CountComparison(values, counts.read, leaves)


def _integer(value: Any) -> int:
    """An exact integer; a formula that is not one is a defect, not something to round."""
    try:
        whole = int(value)
    except (TypeError, ValueError, OverflowError) as err:
        raise ValueError(f"`formulas` must be integers, got {shown(value)}") from err
    if isinstance(value, (str, bool)) or value != whole:
        raise ValueError(f"`formulas` must be integers, got {shown(value)}")
    return whole


def _worst_path_children(model: LatticeMixture) -> int:
    """Largest number of child prototypes compared from root to leaf, summed over the actual graph."""
    graph = model.tree.to_networkx()
    compared = {model.tree.root: 0}
    todo = [model.tree.root]
    worst = 0
    while todo:
        node = todo.pop()
        children = list(graph.successors(node))
        worst = max(worst, compared[node])
        for child in children:
            compared[child] = compared[node] + len(children)
        todo.extend(children)
    return worst
