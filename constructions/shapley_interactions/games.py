"""Games: functions of boolean coalitions in batches, and those that are known in closed form.

Main definitions: `Game`, `NamedGame`, `TableGame`, `UnanimityGame`, `SumOfUnanimity`, `evaluated`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from constructions.errors import first_row, require_instance, require_int, require_tensor, shown
from constructions.progress import Log, silent, tracked
from constructions.shapley_interactions.coalitions import MOST_EXACT

Game = Callable[[Tensor], Tensor]
"""Boolean coalitions (m, n) to values (m,), or (m, outputs); called with batches, without gradients."""

BATCH = 1 << 16
LARGEST_BATCH = 1 << 32
MOST_PLAYERS, MOST_NUMBERS = 10_000, 1 << 26  # of games that are made up


class NamedGame(Protocol):
    """A game that knows its n players and their names."""

    n: int

    @property
    def names(self) -> tuple[str, ...]: ...

    def __call__(self, masks: Tensor, /) -> Tensor: ...


def evaluated(game: Game, batches: Iterable[Tensor], count: int, log: Log = silent) -> Tensor:
    """Values (m,) or (m, outputs), float64, of all `count` batches of coalitions together; ValueError or TypeError
    for a game that answers with another shape or with what is not finite."""
    require_function("game", game, "boolean coalitions (m, n)")
    found: list[Tensor] = []
    with torch.no_grad():
        for _, masks in zip(tracked(range(count), "batches of coalitions", log), batches, strict=True):
            values = _require_values(_asked(game, masks), masks)
            if found and values.shape[1:] != found[0].shape[1:]:
                was = tuple(found[0].shape[1:])
                raise ValueError(f"`game` must answer alike in every batch, got {tuple(values.shape[1:])} after {was}")
            found.append(values)
    return torch.cat(found)


def require_function(name: str, function: Any, of: str) -> None:
    """TypeError unless `function` can be called with one argument."""
    if not callable(function):
        raise TypeError(f"`{name}` must be a function of {of}, got {type(function).__name__}")
    try:
        inspect.signature(function).bind(None)
    except ValueError:  # some built-in functions do not say what they take
        pass
    except TypeError as err:
        raise TypeError(f"`{name}` must be a function of {of}, this one is not: {err}") from err


def _asked(game: Game, masks: Tensor) -> Any:
    try:
        return game(masks)
    except RuntimeError as err:
        why = " ".join(str(err).split())[:200]
        raise ValueError(f"`game` failed on coalitions {tuple(masks.shape)} ({type(err).__name__}: {why})") from err


def _require_values(values: Any, masks: Tensor) -> Tensor:
    """The game's answer to `masks` as float64 on their device."""
    if isinstance(values, np.ndarray):
        values = torch.from_numpy(np.ascontiguousarray(values))
    wanted = f"({len(masks)},) or ({len(masks)}, outputs)"
    if not isinstance(values, Tensor):
        raise TypeError(f"`game` must answer with a torch.Tensor of shape {wanted}, got {type(values).__name__}")
    if values.is_complex() or values.ndim not in (1, 2) or len(values) != len(masks) or 0 in values.shape[1:]:
        raise ValueError(f"`game` must answer with real numbers {wanted}, got {values.dtype} {tuple(values.shape)}")
    values = values.detach().to(masks.device, torch.float64)
    bad = ~torch.isfinite(values.reshape(len(values), -1)).all(-1)
    if bool(bad.any()):
        row = first_row(bad)
        players = masks[row].nonzero()[:, 0].tolist()
        raise ValueError(
            f"`game` must answer with finite numbers, got {values[row].tolist()} at the coalition {players}"
        )
    return values


def require_masks(masks: Tensor, n: int) -> Tensor:
    """`masks` if they are boolean coalitions (m, n); TypeError or ValueError otherwise."""
    require_instance("masks", masks, Tensor)
    if masks.dtype != torch.bool:
        raise TypeError(f"`masks` must be boolean, got {masks.dtype}")
    if masks.ndim != 2 or masks.shape[1] != n:
        raise ValueError(f"`masks` must have shape (m, {n}), got {tuple(masks.shape)}")
    return masks


def require_float(dtype: torch.dtype) -> torch.dtype:
    if not isinstance(dtype, torch.dtype) or dtype not in (torch.float32, torch.float64):
        raise ValueError(f"`dtype` must be torch.float32 or torch.float64, got {shown(dtype)}")
    return dtype


class TableGame:
    """v(T) = values[mask of T], player i being bit i; `values` (2^n,) or (2^n, outputs)."""

    def __init__(self, values: Tensor):
        require_tensor("values", values, "(2^n,) or (2^n, outputs)")
        count = len(values) if values.ndim in (1, 2) else 0
        if count < 2 or count & (count - 1) or 0 in values.shape[1:]:
            shape = tuple(values.shape)
            raise ValueError(f"`values` must be 2^n numbers, or rows of them, n at least 1, got the shape {shape}")
        require_int("n", count.bit_length() - 1, 1, MOST_EXACT + 8)
        if not bool(torch.isfinite(values).all()):
            raise ValueError("`values` must be finite")
        self.values, self.n = values.detach().double(), count.bit_length() - 1

    @property
    def names(self) -> tuple[str, ...]:
        """The players by their numbers."""
        return tuple(str(i) for i in range(self.n))

    def __call__(self, masks: Tensor) -> Tensor:
        require_masks(masks, self.n)
        bits = 2.0 ** torch.arange(self.n, dtype=torch.float64, device=masks.device)
        return self.values.to(masks.device)[(masks.double() @ bits).long()]


class SumOfUnanimity:
    """v(T) = Σ_A c_A·1[A ⊆ T] over a list of terms: Möbius coefficients, so every index has a closed form.

    Made at random, `terms` of them: the size of A is uniform in 1 … n (or 1 … `degree`), its members are the head of a
    random permutation, c_A is uniform in (−1, 1).
    """

    def __init__(self, n: int, terms: int, generator: torch.Generator | None = None, *, degree: int | None = None):
        require_int("n", n, 1, MOST_PLAYERS)
        require_int("terms", terms, 1, MOST_NUMBERS // n)
        require_instance("generator", generator, (torch.Generator, type(None)))
        degree = n if degree is None else require_int("degree", degree, 1, n)
        sizes = torch.randint(1, degree + 1, (terms,), generator=generator)
        place = torch.rand(terms, n, generator=generator, dtype=torch.float64).argsort(-1).argsort(-1)
        self.n, self.members = n, place < sizes[:, None]
        self.coefficients = 2 * torch.rand(terms, generator=generator, dtype=torch.float64) - 1

    @property
    def names(self) -> tuple[str, ...]:
        """The players by their numbers."""
        return tuple(str(i) for i in range(self.n))

    def __call__(self, masks: Tensor) -> Tensor:
        require_masks(masks, self.n)
        members = self.members.to(masks.device)
        whole = (~masks).double() @ members.double().T == 0
        return whole.double() @ self.coefficients.to(masks.device)


class UnanimityGame:
    """v(T) = 1[A ⊆ T] of the players A."""

    def __init__(self, n: int, players: Sequence[int]):
        require_int("n", n, 1, MOST_PLAYERS)
        chosen = list(players) if isinstance(players, (list, tuple, range)) else []
        if not chosen or len(set(chosen)) != len(chosen):
            raise ValueError(f"`players` must be different integers, at least one, got {shown(players)}")
        for player in chosen:
            require_int("players", player, 0, n - 1)
        self.n, self.players = n, sorted(chosen)

    @property
    def names(self) -> tuple[str, ...]:
        """The players by their numbers."""
        return tuple(str(i) for i in range(self.n))

    def __call__(self, masks: Tensor) -> Tensor:
        return require_masks(masks, self.n)[:, self.players].all(-1).double()
