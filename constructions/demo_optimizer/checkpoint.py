"""States of optimisers on several ranks: whose they are, and one residual for all when ranks change.

Main definitions: `own_state`, `one_residual_for_all`, `fitting_state`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from constructions.errors import require_instance, shown


def _place(state: Any) -> tuple[int, int]:
    """(rank, world) of a saved state."""
    if not isinstance(state, Mapping):
        raise TypeError(f"`state_dict` must be a dict that DeMo.state_dict made, got {type(state).__name__}")
    try:
        return int(state["workers"]["rank"]), int(state["workers"]["world"])
    except (KeyError, TypeError, ValueError) as err:
        raise ValueError("`state_dict` must say its rank and world under 'workers', as DeMo.state_dict does") from err


def own_state(state: Any, rank: int, world: int) -> Mapping[str, Any]:
    """`state` if this rank of equally many saved it; ValueError otherwise."""
    found = _place(state)
    if found != (rank, world):
        raise ValueError(
            f"`state_dict` must be of rank {rank} of {world}, got that of rank {found[0]} of {found[1]}: residuals "
            "differ from rank to rank (redistribute=True gives all ranks their mean)"
        )
    return state


def one_residual_for_all(states: Sequence[Any]) -> dict[str, Any]:
    """The state that all ranks go on with: every residual is the mean of those that all ranks saved, in their order.

    States may come several times; ValueError unless they are all of one moment and none is missing.
    """
    if not states:
        raise ValueError("`state_dict` must hold the states of all ranks, got none")
    worlds = {_place(state)[1] for state in states}
    by_rank = {_place(state)[0]: state for state in states}
    if len(worlds) != 1 or sorted(by_rank) != list(range(next(iter(worlds)))):
        raise ValueError(f"`state_dict` must hold the states of all ranks, got {shown(sorted(map(_place, states)))}")
    ordered = [by_rank[rank] for rank in sorted(by_rank)]
    first = ordered[0]
    numbers = [{n: s["step"] for n, s in state["state"].items()} for state in ordered]
    if any(n != numbers[0] for n in numbers):
        raise ValueError("`state_dict` must hold states of one step, the ranks saved at different ones")
    merged = {}
    for number, mine in first["state"].items():
        total = mine["residual"].double()
        for other in ordered[1:]:
            total = total + other["state"][number]["residual"].to(total)
        merged[number] = {"step": mine["step"], "residual": (total / len(ordered)).to(mine["residual"].dtype)}
    return {"state": merged, "param_groups": first["param_groups"]}


def fitting_state(
    state_dict: Any, groups: Sequence[Mapping[str, Any]], shapes: Sequence[tuple[int, ...]]
) -> dict[str, Any]:
    """`state_dict` for torch, its residuals of these `shapes`, with the functions of `groups` for transforms left out;
    TypeError or ValueError otherwise."""
    parts = state_dict if isinstance(state_dict, Mapping) else {}
    if not isinstance(parts.get("state"), Mapping) or not isinstance(parts.get("param_groups"), Sequence):
        raise TypeError("`state_dict` must hold 'state' and 'param_groups', as a state_dict() of this optimiser does")
    loaded = [dict(require_instance("state_dict", group, Mapping)) for group in parts["param_groups"]]
    for group, mine in zip(loaded, groups, strict=False):
        if group.get("transform") is None:
            if not callable(mine["transform"]):
                raise ValueError("`transform` must be the function that the saved optimiser had, got a name")
            group["transform"] = mine["transform"]
    numbers = [n for group in loaded for n in group.get("params", ())]
    for number, shape in zip(numbers, shapes, strict=False):
        residual = parts["state"].get(number, {}).get("residual")
        if residual is not None and tuple(residual.shape) != shape:
            raise ValueError(
                f"`state_dict` must hold residuals of the parameters' shapes, got {tuple(residual.shape)} for {shape}"
            )
    return {"state": parts["state"], "param_groups": loaded}
