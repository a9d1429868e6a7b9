"""`InteractionValues`: what an explanation is, with its sum check, its order, its JSON and its pictures.

Main definition: `InteractionValues`.
"""

from __future__ import annotations

import html
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from constructions.errors import require_bool, require_choice, require_instance, require_int, require_tensor, shown
from constructions.shapley_interactions.coalitions import rank, subsets

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INDICES = ("SV", "SII", "k-SII", "Moebius")
SCHEMA = 1
SHOWN = 10


@dataclass(frozen=True)
class Interaction:
    """One line of an explanation: players, their names, the value and, of repeated draws, its standard error."""

    players: tuple[int, ...]
    names: tuple[str, ...]
    value: float
    standard_error: float | None = None


@dataclass(frozen=True, eq=False)
class InteractionValues:
    """Values of all interactions of 1 … `max_order` players among n.

    `orders[k − 1]` holds those of size k in lexicographic order, (C(n, k),), or (C(n, k), m) of a game with m outputs;
    `baseline` is v(∅) and `prediction` v(N), of shape () or (m,). `budget` is the number of evaluations that were
    allowed (None for an exact index), `evaluations` those that were made. `errors` are standard errors of the mean over
    repeated draws, shaped like `orders`. `rank_deficient` says that the sample was too small to determine the values:
    those of least norm were taken.
    """

    n: int
    index: str
    orders: tuple[Tensor, ...]
    baseline: Tensor
    prediction: Tensor
    exact: bool
    evaluations: int
    budget: int | None = None
    names: tuple[str, ...] = ()
    errors: tuple[Tensor, ...] | None = None
    rank_deficient: bool = False

    def __post_init__(self):
        require_int("n", self.n, 1)
        require_choice("index", self.index, INDICES)
        for name in ("baseline", "prediction"):
            value = require_tensor(name, getattr(self, name), "() or (m,)")
            if value.ndim > 1 or value.shape != self.baseline.shape or not value.numel():
                raise ValueError(f"`{name}` must have shape () or (m,), as the baseline, got {tuple(value.shape)}")
        if not isinstance(self.orders, tuple) or not self.orders or len(self.orders) > self.n:
            raise ValueError(f"`orders` must be a tuple of 1 to {self.n} tensors, got {shown(self.orders)}")
        for k, values in enumerate(self.orders, 1):
            require_tensor("orders", values, "(C(n, k),)")
            if values.shape != (math.comb(self.n, k), *self.baseline.shape):
                wanted = (math.comb(self.n, k), *self.baseline.shape)
                raise ValueError(f"`orders` must have shape {wanted} at order {k}, got {tuple(values.shape)}")
        object.__setattr__(
            self,
            "names",
            player_names(None if isinstance(self.names, tuple) and not self.names else self.names, self.n),
        )

    # --- one by one ---

    @property
    def max_order(self) -> int:
        """The largest size of a coalition that has a value."""
        return len(self.orders)

    @property
    def outputs(self) -> int:
        """m; 1 for a game of single numbers."""
        return 1 if self.baseline.ndim == 0 else len(self.baseline)

    def output(self, j: int) -> InteractionValues:
        """The explanation of one output of several."""
        require_int("j", j, 0, self.outputs - 1)
        if self.baseline.ndim == 0:
            return self
        return replace(
            self,
            orders=tuple(v[:, j] for v in self.orders),
            baseline=self.baseline[j],
            prediction=self.prediction[j],
            errors=None if self.errors is None else tuple(e[:, j] for e in self.errors),
        )

    def order(self, k: int) -> Tensor:
        """Values (C(n, k),), or (C(n, k), m), of the interactions `sets(k)`."""
        return self.orders[require_int("k", k, 1, self.max_order) - 1]

    def sets(self, k: int) -> Tensor:
        """The k-subsets (C(n, k), k) in lexicographic order, as `order(k)` has them."""
        return subsets(self.n, require_int("k", k, 1, self.max_order))

    def __getitem__(self, players: int | tuple[int, ...]) -> float | Tensor:
        """The value of the interaction of these players, in any order; `()` is the baseline."""
        listed = players if isinstance(players, tuple) else (players,)
        for player in listed:
            if isinstance(player, bool) or not isinstance(player, int):
                raise TypeError(f"`players` must be an int or a tuple of ints, got {shown(players)}")
        chosen = tuple(sorted(listed))
        good = all(0 <= i < self.n for i in chosen) and len(set(chosen)) == len(chosen)
        if not good or len(chosen) > self.max_order:
            wanted = f"at most {self.max_order} different integers between 0 and {self.n - 1}"
            raise KeyError(f"`players` must be {wanted}, got {shown(players)}")
        if not chosen:
            return _plain(self.baseline)
        return _plain(self.orders[len(chosen) - 1][int(rank(torch.tensor([chosen]), self.n))])

    @cached_property
    def values(self) -> dict[tuple[int, ...], float | Tensor]:
        """Every interaction's value, small interactions first, in lexicographic order."""
        found: dict[tuple[int, ...], float | Tensor] = {}
        for k, values in enumerate(self.orders, 1):
            listed = values.tolist() if values.ndim == 1 else list(values)
            found.update(zip(map(tuple, self.sets(k).tolist()), listed, strict=True))
        return found

    def top(self, count: int = SHOWN) -> list[Interaction]:
        """The `count` interactions of largest absolute value; of equal ones the smaller and earlier first."""
        require_int("count", count, 1)
        self._require_one_output()
        every = torch.cat(self.orders)
        order = torch.argsort(every.abs(), descending=True, stable=True)[:count].cpu()
        errors = None if self.errors is None else torch.cat(self.errors)
        starts = [sum(len(v) for v in self.orders[:k]) for k in range(self.max_order + 1)]
        sets = [self.sets(k) for k in range(1, self.max_order + 1)]
        found = []
        for at in order.tolist():
            k = next(k for k in range(self.max_order) if at < starts[k + 1])
            players = tuple(sets[k][at - starts[k]].tolist())
            error = None if errors is None else float(errors[at])
            found.append(Interaction(players, tuple(self.names[i] for i in players), float(every[at]), error))
        return found

    def _require_one_output(self) -> None:
        if self.baseline.ndim:
            raise ValueError(
                f"`output` must be chosen first, by .output(j): the explanation has {self.outputs} of them"
            )

    # --- the sum ---

    @property
    def total(self) -> Tensor:
        """Σ of all values, shape () or (m,)."""
        return sum((v.sum(0) for v in self.orders), torch.zeros_like(self.baseline))

    @property
    def sums(self) -> bool:
        """Whether the values of this index are to add up to prediction − baseline."""
        whole = self.index == "k-SII" or self.max_order == 1
        return self.max_order == self.n if self.index == "Moebius" else whole

    @property
    def sum_error(self) -> float | None:
        """`sum_gap` from the prediction of the game itself, the worst output; None for an index that does not add up
        (SII beyond order 1, Möbius coefficients of some orders)."""
        return float(self.sum_gap(self.prediction).max()) if self.sums else None

    def sum_gap(self, prediction: Tensor) -> Tensor:
        """|baseline + Σ values − prediction|, shape () or (m,), over the largest of |baseline|, |prediction| and the
        Σ |values|, which rounding is in proportion to; 0 where there is no gap."""
        size = sum((v.abs().sum(0) for v in self.orders), torch.zeros_like(self.baseline))
        scale = torch.stack([self.baseline.abs(), prediction.abs(), size]).amax(0)
        gap = (self.baseline + self.total - prediction).abs()
        return torch.where(gap == 0, 0.0, gap / scale)

    @property
    def how(self) -> str:
        """ "exact" or "estimated (budget …)"."""
        return "exact" if self.exact else f"estimated (budget {self.budget:,})"

    # --- out of here ---

    def to_json(self) -> str:
        """The explanation as a JSON text that `from_json` reads."""
        content = {
            "schema": SCHEMA,
            "index": self.index,
            "players": list(self.names),
            "baseline": self.baseline.tolist(),
            "prediction": self.prediction.tolist(),
            "exact": self.exact,
            "budget": self.budget,
            "evaluations": self.evaluations,
            "rank_deficient": self.rank_deficient,
            "sum_error": self.sum_error,
            "interactions": self._listed(),
        }
        return json.dumps(content, indent=1, allow_nan=False)

    def _listed(self) -> list[dict[str, Any]]:
        found = []
        for k, values in enumerate(self.orders, 1):
            errors = [None] * len(values) if self.errors is None else self.errors[k - 1].tolist()
            for players, value, error in zip(self.sets(k).tolist(), values.tolist(), errors, strict=True):
                found.append({"players": players, "value": value} | ({} if error is None else {"error": error}))
        return found

    @classmethod
    def from_json(cls, text: str) -> InteractionValues:
        """What `to_json` wrote; ValueError for anything else."""
        try:
            content = json.loads(require_instance("text", text, str))
            if _whole("schema", content["schema"]) != SCHEMA:
                raise ValueError(f"schema must be {SCHEMA}, got {content['schema']}")
            players, listed = content["players"], content["interactions"]
            if not isinstance(players, list) or not isinstance(listed, list) or not players or not listed:
                raise ValueError("players and interactions must be lists, not empty")
            names = player_names(players, len(players))
            sizes = [len(entry["players"]) for entry in listed]
            orders, errors = [], []
            for k in range(1, max(sizes) + 1):
                here = [entry for entry in listed if len(entry["players"]) == k]
                if [entry["players"] for entry in here] != subsets(len(names), k).tolist():
                    raise ValueError(f"the interactions of {k} players are not all of them in order")
                orders.append(_numbers("value", [entry["value"] for entry in here]))
                errors.append([entry.get("error") for entry in here])
            known = all(e is not None for row in errors for e in row)
            if not known and any(e is not None for row in errors for e in row):
                raise ValueError("some of the interactions have an error, and some have none")
            return cls(
                n=len(names),
                index=content["index"],
                orders=tuple(orders),
                baseline=_numbers("baseline", content["baseline"]),
                prediction=_numbers("prediction", content["prediction"]),
                exact=require_bool("exact", content["exact"]),
                evaluations=_whole("evaluations", content["evaluations"]),
                budget=None if content["budget"] is None else _whole("budget", content["budget"]),
                names=names,
                errors=tuple(_numbers("error", row) for row in errors) if known else None,
                rank_deficient=require_bool("rank_deficient", content["rank_deficient"]),
            )
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError, OverflowError) as err:
            raise ValueError(f"`text` must be what to_json wrote ({type(err).__name__}: {err})") from err

    def __repr__(self) -> str:
        return (
            f"InteractionValues({self.index}, n={self.n}, order={self.max_order}, outputs={self.outputs}, {self.how})"
        )

    def _repr_html_(self) -> str:
        if self.baseline.ndim:
            return f"<p>{html.escape(repr(self))}: choose one by .output(j)</p>"
        rows = "".join(
            f"<tr><td>{html.escape(' × '.join(i.names))}</td><td style='text-align:right'>{i.value:+.6g}</td></tr>"
            for i in self.top(SHOWN)
        )
        rest = sum(len(v) for v in self.orders) - SHOWN
        more = f"<tr><td colspan=2>and {rest:,} more</td></tr>" if rest > 0 else ""
        ends = f"baseline {float(self.baseline):.6g}, prediction {float(self.prediction):.6g}"
        title = f"{self.index} of order {self.max_order}, {self.how}: {ends}"
        return f"<table><caption>{html.escape(title)}</caption>{rows}{more}</table>"

    # --- pictures ---

    def plot_bar(self, axes: Axes | None = None, *, count: int = SHOWN) -> tuple[Axes, Any]:
        """The largest interactions as bars; the Axes and the numbers drawn."""
        from constructions.shapley_interactions import plots

        return plots.bar(self, axes, count=count)

    def plot_network(self, axes: Axes | None = None, *, count: int = 30) -> tuple[Axes, Any]:
        """Players on a circle, interactions as edges and polygons; the Axes and the numbers drawn."""
        from constructions.shapley_interactions import plots

        return plots.network(self, axes, count=count)

    def plot_upset(self, axes: Axes | None = None, *, count: int = SHOWN) -> tuple[Axes, Any]:
        """Bars over a matrix of dots that says who takes part; the Axes and the numbers drawn."""
        from constructions.shapley_interactions import plots

        return plots.upset(self, axes, count=count)

    def plot_force(self, axes: Axes | None = None, *, count: int = SHOWN) -> tuple[Axes, Any]:
        """The way from the baseline to the prediction; the Axes and the numbers drawn. ValueError for an index that
        does not add up."""
        from constructions.shapley_interactions import plots

        return plots.force(self, axes, count=count)


def player_names(names: Sequence[str] | None, n: int) -> tuple[str, ...]:
    """`names` if they are n strings, "0" … "n − 1" for None; ValueError otherwise."""
    if names is None:
        return tuple(str(i) for i in range(n))
    # scikit-learn's data sets have them in an array
    listed: Any = names.tolist() if isinstance(names, np.ndarray) else names
    if not isinstance(listed, (list, tuple)) or len(listed) != n or not all(isinstance(name, str) for name in listed):
        raise ValueError(f"`names` must be {n} strings, got {shown(names)}")
    return tuple(listed)


def _whole(name: str, value: Any) -> int:
    """A number that counts, as JSON has it."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{name} must be an integer at least 0, got {shown(value)}")
    return value


def _numbers(name: str, value: Any) -> Tensor:
    """Finite float64 numbers of a number or nested lists of them; true and false are none."""
    flat = [value]
    while any(isinstance(part, list) for part in flat):
        flat = [inner for part in flat for inner in (part if isinstance(part, list) else [part])]
    if not all(isinstance(part, int | float) and not isinstance(part, bool) and math.isfinite(part) for part in flat):
        raise ValueError(f"{name} must hold finite numbers, got {shown(value)}")
    return torch.tensor(value, dtype=torch.float64)


def _plain(value: Tensor) -> float | Tensor:
    return float(value) if value.ndim == 0 else value
