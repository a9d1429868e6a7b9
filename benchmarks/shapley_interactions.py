"""Shapley interactions against shapiq (`pip install momlp[bench]`): accuracy at equal budgets, and speed.

    python benchmarks/shapley_interactions.py [--quick]

Both estimators get the same table game, the same budget and the same seeds, with and without pairs of complements. A
ratio of errors is ours / theirs of the mean squared error over interactions and seeds, with its 95 % interval over the
seeds (bootstrap of pairs); a ratio of speeds is theirs / ours in CPU seconds.

Main definitions: `accuracy`, `full_budget`, `many_players`.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from timing import machine
from torch import Tensor

from constructions.shapley_interactions import (
    InteractionValues,
    KernelSHAPIQ,
    SumOfUnanimity,
    TableGame,
    family,
    shapley_interactions,
)
from constructions.shapley_interactions.coalitions import subsets
from constructions.shapley_interactions.exact import game_table
from constructions.shapley_interactions.families import first_available

try:
    import shapiq
    from shapiq.approximator import InconsistentKernelSHAPIQ
    from shapiq.approximator import KernelSHAPIQ as PeerKernelSHAPIQ
except ImportError:
    shapiq = None

CASES: tuple[tuple[str, int, int], ...] = (
    ("soum_10", 2, 256),
    ("soum_10", 2, 512),
    ("soum_10", 3, 512),
    ("soum_12", 2, 409),
    ("soum_12", 2, 2048),
    ("unanimity", 2, 102),
    ("unanimity", 2, 512),
    ("unanimity", 3, 512),
    ("diabetes", 2, 102),
    ("diabetes", 2, 512),
    ("wine", 2, 819),
    ("wine", 2, 4096),
    ("first_available", 2, 409),
    ("first_available", 2, 2048),
)
RANDOM = ("soum_10", "soum_12", "first_available")  # a new game for every seed
SIZES = ((8, 2), (10, 2), (12, 2), (14, 2), (10, 3), (12, 3))
SEEDS = 20
LONG = 2.0  # seconds, after which one timing is enough
ROUNDING = 1e-20  # relative to the mean square of the truth: below, an error is rounding and has no ratio


@dataclass(frozen=True)
class Accuracy:
    """Mean squared errors by seed, (seeds,), of one order."""

    game: str
    budget: int
    order: int
    max_order: int
    paired: bool
    ours: Tensor
    theirs: Tensor | None
    scale: float

    @property
    def ratio(self) -> tuple[float, float, float] | None:
        """ours / theirs of the means, and its 95 % interval; None without the peer, 0 where ours is rounding."""
        if self.theirs is None:
            return None
        if float(self.ours.max()) <= ROUNDING * self.scale:
            return 0.0, 0.0, 0.0
        generator = torch.Generator().manual_seed(0)
        rows = torch.randint(len(self.ours), (4000, len(self.ours)), generator=generator)
        drawn = (self.ours[rows].mean(-1) / self.theirs[rows].mean(-1)).quantile(
            torch.tensor([0.025, 0.975], dtype=torch.float64)
        )
        return float(self.ours.mean() / self.theirs.mean()), float(drawn[0]), float(drawn[1])


def table_of(name: str, seed: int) -> TableGame:
    """A game of the families as a table."""
    game = family(name, torch.Generator().manual_seed(seed))
    return TableGame(game_table(game, game.n, batch_size=1 << 16, device=torch.device("cpu")))


def peer_game(game: TableGame) -> Callable[[np.ndarray], np.ndarray]:
    """The same look-up for numpy."""
    values, bits = game.values.numpy(), 2.0 ** np.arange(game.n)
    return lambda coalitions: values[(np.asarray(coalitions, dtype=np.float64) @ bits).astype(np.int64)]


def peer_values(game: TableGame, order: int, budget: int, seed: int, *, paired: bool, kind: Any = None) -> list[Tensor]:
    """SII by order (C(n, k),) as shapiq estimates it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        make = PeerKernelSHAPIQ if kind is None else kind
        estimator = make(game.n, max_order=order, index="SII", pairing_trick=paired, random_state=seed)
        return in_order(estimator.approximate(budget, peer_game(game)), game.n, order)


def in_order(found: Any, n: int, order: int) -> list[Tensor]:
    """shapiq's values as ours are ordered."""
    sets = [subsets(n, k).tolist() for k in range(1, order + 1)]
    return [torch.tensor([found[tuple(s)] for s in listed], dtype=torch.float64) for listed in sets]


def accuracy(name: str, order: int, budget: int, *, seeds: int = SEEDS) -> list[Accuracy]:
    """Errors of ours and shapiq's by order, unpaired and paired."""
    games = [table_of(name, seed) for seed in range(seeds if name in RANDOM else 1)]
    truths = [shapley_interactions(game, game.n, order, "SII") for game in games]
    found = []
    for paired in (False, True):
        ours, theirs = [], []
        for seed in range(seeds):
            game, truth = games[seed % len(games)], truths[seed % len(games)]
            generator = torch.Generator().manual_seed(seed)
            mine = KernelSHAPIQ(game.n, order, "SII", paired=paired, generator=generator).estimate(game, budget)
            ours.append(_errors(mine.orders, truth))
            if shapiq is not None:
                theirs.append(_errors(peer_values(game, order, budget, seed, paired=paired), truth))
        for k in range(1, order + 1):
            scale = float(np.mean([float(t.order(k).square().mean()) for t in truths]))
            mine = torch.tensor([e[k - 1] for e in ours], dtype=torch.float64)
            other = torch.tensor([e[k - 1] for e in theirs], dtype=torch.float64) if theirs else None
            found.append(Accuracy(name, budget, k, order, paired, mine, other, scale))
    return found


def _errors(orders: list | tuple, truth: InteractionValues) -> list[float]:
    return [float((a - b).square().mean()) for a, b in zip(orders, truth.orders, strict=True)]


# --- all coalitions -----------------------------------------------------------------------------------------


def full_budget(repeats: int) -> list[dict[str, Any]]:
    """Error against the exact index by another route, and medians of CPU seconds taken in turn, with every coalition
    evaluated: the estimators, and the exact index of both."""
    rows = []
    for n, order in SIZES:
        soum = SumOfUnanimity(n, 40, torch.Generator().manual_seed(0))
        game = TableGame(game_table(soum, n, batch_size=1 << 16, device=torch.device("cpu")))
        truth = moebius_route(soum, order)
        calls: list[Callable[[], list[Tensor]]] = [
            lambda n=n, order=order, game=game: list(KernelSHAPIQ(n, order, "SII").estimate(game, 2**n).orders),
            lambda n=n, order=order, game=game: list(shapley_interactions(game, n, order, "SII").orders),
        ]
        if shapiq is not None:
            calls += [
                lambda n=n, order=order, game=game: peer_values(game, order, 2**n, 0, paired=False),
                lambda n=n, order=order, game=game: peer_exact(game, order),
            ]
        times = in_turn(calls, repeats)
        rows.append({"n": n, "order": order, "times": times, "errors": [_worst(call(), truth) for call in calls]})
    return rows


def moebius_route(soum: SumOfUnanimity, order: int) -> list[Tensor]:
    """SII in closed form: a term of c players gives its coefficient/(c − s + 1) to every S inside it."""
    found = []
    for s in range(1, order + 1):
        inside = soum.members.double()[:, subsets(soum.n, s)].prod(-1)
        share = soum.coefficients / (soum.members.sum(-1) - s + 1).clamp(min=1)
        found.append(share @ inside)
    return found


def peer_exact(game: TableGame, order: int) -> list[Tensor]:
    computer = shapiq.ExactComputer(peer_game(game), n_players=game.n)
    return in_order(computer("SII", order=order), game.n, order)


def in_turn(calls: list[Callable[[], object]], repeats: int) -> list[float]:
    """Median CPU seconds, of all threads, of each; one call of what takes more than LONG."""
    slow = []
    for call in calls:
        started = time.process_time()
        call()
        slow.append(time.process_time() - started)
    quick = [call for call, seconds in zip(calls, slow, strict=True) if seconds <= LONG]
    taken: dict[int, list[float]] = {id(call): [] for call in quick}
    for _ in range(repeats):
        for call in quick:
            started = time.process_time()
            call()
            taken[id(call)].append(time.process_time() - started)
    return [statistics.median(taken.get(id(c)) or [s]) for c, s in zip(calls, slow, strict=True)]


def _worst(found: list[Tensor], truth: list[Tensor]) -> float:
    """The largest error over the largest value."""
    scale = max(float(t.abs().max()) for t in truth)
    return max(float((f - t).abs().max()) for f, t in zip(found, truth, strict=True)) / scale


# --- many players -------------------------------------------------------------------------------------------


def many_players(n: int, budget: int) -> Iterator[tuple[str, float]]:
    """Mean squared error of the Shapley values of n experts, whose truth is known in closed form, over the variance of
    that truth."""
    game = first_available(n, 20, torch.Generator().manual_seed(0))
    truth = game.interactions(1, "SV").order(1)
    for paired in (False, True):
        generator = torch.Generator().manual_seed(0)
        mine = KernelSHAPIQ(n, 1, "SV", paired=paired, generator=generator).estimate(game, budget).order(1)
        name = "paired" if paired else "unpaired"
        yield f"ours, {name}", float((mine - truth).square().mean() / truth.var())
        if shapiq is not None:
            other = _peer_shapley(game, n, budget, paired=paired)
            yield f"shapiq KernelSHAP, {name}", float((other - truth).square().mean() / truth.var())


def _peer_shapley(game: Callable[[Tensor], Tensor], n: int, budget: int, *, paired: bool) -> Tensor:
    from shapiq.approximator import KernelSHAP

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimator = KernelSHAP(n, pairing_trick=paired, random_state=0)
        found = estimator.approximate(budget, lambda masks: game(torch.from_numpy(np.asarray(masks, bool))).numpy())
    return in_order(found, n, 1)[0]


# --- the tables ---------------------------------------------------------------------------------------------


def show_accuracy(console: Console, rows: list[Accuracy]) -> None:
    names = ("game", "orders", "budget", "order", "pairs", "ours", "shapiq", "ours / shapiq", "95 % interval")
    table = Table(*names, title=f"mean squared error, {len(rows[0].ours)} seeds", title_justify="left")
    for r in rows:
        ratio, theirs = r.ratio, "-" if r.theirs is None else f"{float(r.theirs.mean()):.1e}"
        cells = ("-", "-") if ratio is None else (f"{ratio[0]:.2f}", f"{ratio[1]:.2f} – {ratio[2]:.2f}")
        paired = "paired" if r.paired else "unpaired"
        mine = f"{float(r.ours.mean()):.1e}"
        table.add_row(r.game, f"1–{r.max_order}", str(r.budget), str(r.order), paired, mine, theirs, *cells)
    console.print(table)
    ratios = [r.ratio[0] for r in rows if r.ratio is not None]
    if ratios:
        console.print(f"largest ratio {max(ratios):.2f}, geometric mean {_geometric(ratios):.2f} (rounding left out)")


def _geometric(ratios: list[float]) -> float:
    above = [r for r in ratios if r > 0]
    return math.exp(statistics.mean(map(math.log, above)))


def show_full(console: Console, rows: list[dict[str, Any]]) -> None:
    names = ("n", "order", "estimator ms", "error", "shapiq ms", "error", "shapiq / ours")
    more = ("exact ms", "error", "shapiq ms", "error", "shapiq / ours")
    table = Table(
        *names, *more, title="all coalitions: CPU time, and errors relative to the largest value", title_justify="left"
    )
    for r in rows:
        cells = [str(r["n"]), str(r["order"])]
        for at in (0, 1):
            mine, other = r["times"][at], r["times"][at + 2] if len(r["times"]) > 2 else None
            cells += [f"{1000 * mine:.3g}", f"{r['errors'][at]:.0e}"]
            cells += (
                ["-"] * 3
                if other is None
                else [f"{1000 * other:.3g}", f"{r['errors'][at + 2]:.0e}", f"{other / mine:.1f}"]
            )
        table.add_row(*cells)
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="five seeds and fewer cases")
    parser.add_argument("--only", choices=("accuracy", "speed", "players"), help="one of the three tables")
    args = parser.parse_args()
    console = Console(width=150) if not Console().is_terminal else Console()
    if args.only in (None, "accuracy"):
        cases = CASES[::3] if args.quick else CASES
        found = [accuracy(*case, seeds=5 if args.quick else SEEDS) for case in cases]
        show_accuracy(console, [r for rows in found for r in rows])
        if shapiq is not None:
            wrong = peer_values(table_of("soum_10", 0), 2, 2**10, 0, paired=False, kind=InconsistentKernelSHAPIQ)
            gap = _worst(wrong, list(shapley_interactions(table_of("soum_10", 0), 10, 2, "SII").orders))
            console.print(f"shapiq InconsistentKernelSHAPIQ with all 1,024 coalitions, soum_10: error {gap:.1e}")
    if args.only in (None, "speed"):
        show_full(console, full_budget(1 if args.quick else 5))
    if args.only in (None, "players"):
        for name, error in many_players(200 if args.quick else 1000, 4_000 if args.quick else 20_000):
            console.print(f"{200 if args.quick else 1000} experts, order 1, {name}: error / variance {error:.3g}")
    console.print(", ".join(f"{k} {v}" for k, v in (machine() | {"shapiq": peer_version()}).items()), highlight=False)


def peer_version() -> str | None:
    return None if shapiq is None else version("shapiq")


if __name__ == "__main__":
    main()
