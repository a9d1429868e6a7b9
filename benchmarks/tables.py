"""Benchmarks of tabulated mixtures against interpolation at equal guarantee, and against their own networks; part of
`run.py`.

    python benchmarks/tables.py [--quick]           # this part alone

Every way answers the same points. "Guarantee" holds for all functions of the Lipschitz class: multilinear interpolation
has a grid with ω(√n·h/2) ≤ eps. The sampled error is what this one smooth function makes of it: interpolation is of
second order there and gets far below its guarantee, a mixture that is constant across its cells does not.

Main definitions: `surrogates`, `networks`, `printed`.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from importlib.util import find_spec

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from scipy.interpolate import RegularGridInterpolator
from scipy.ndimage import map_coordinates
from torch import Tensor

from constructions import LipschitzFunction, MoMLP, TabulatedMoMLP, build_momlp, targets

INSTANCES = ((2, 1e-3), (3, 0.01), (4, 0.05))
REPEATS = 5
LONG = 1.0  # seconds, after which one timing is enough
NETWORK_POINTS = 2000


@dataclass(frozen=True)
class Measurement:
    """One way to answer the points of a task: median wall and CPU seconds, threads, points a second, the largest error
    found at the points, and the error that is guaranteed."""

    task: str
    way: str
    threads: int
    wall: float
    cpu: float
    rate: float
    error: float | None
    guarantee: float | None


def surrogates(*, quick: bool) -> list[Measurement]:
    """All ways at the instances."""
    count = 100_000 if quick else 1_000_000
    return [found for n, eps in INSTANCES for found in _instance(n, eps, count)]


def _instance(n: int, eps: float, count: int) -> Iterator[Measurement]:
    f = targets.get("sum_of_sines", n=n)
    model = build_momlp(f, eps=eps)
    x = f.domain.sample(count, torch.Generator().manual_seed(0))
    truth = f(x)[:, 0].numpy()
    task = f"n={n}, eps={eps:g}, {count} points"

    def measured(way: str, threads: int, answer: Callable[[], object], *, slack: float = 0.0) -> Measurement:
        wall, cpu, y = timed(answer, threads)
        error = None if y is None else float(np.abs(_numbers(y) - truth).max())
        if error is not None and not error <= eps + slack:
            raise RuntimeError(f"{task}, {way}: a guarantee is broken, {error} > {eps} + {slack}")
        return Measurement(task, way, threads, wall, cpu, count / wall, error, None if y is None else eps + slack)

    most = torch.get_num_threads()
    yield measured("the network itself", most, lambda: model(x))
    for way, threads, answer, slack in _tables(model, x, most):
        yield measured(way, threads, answer, slack=slack)
    for way, threads, answer in _peers(f, n, model, x, most):
        yield measured(way, threads, answer)
    room, answers = torch.empty_like(x), torch.empty(count, dtype=x.dtype)
    yield measured(
        "copy of points and answers (limit)", most, lambda: (room.copy_(x), answers.copy_(room[:, 0]), None)[2]
    )


def _tables(model: MoMLP, x: Tensor, most: int) -> Iterator[tuple[str, int, Callable[[], object], float]]:
    """(name, threads, call, slack) of the ways to read a table."""
    table = model.tabulate()
    yield f"table, torch {torch.__version__}", most, lambda: _by_torch(table, x), table.slack
    compiled = torch.compile(table)
    try:
        compiled(x)
        yield f"table, torch.compile {torch.__version__}", most, lambda: compiled(x), table.slack
    except Exception as err:  # whatever a compiler says that is not there
        Console(stderr=True).print(f"torch.compile is not measured here: {type(err).__name__}", highlight=False)
    if not find_spec("numba"):
        return
    narrow = model.tabulate(dtype=torch.float32)
    for threads in sorted({1, most}):
        yield f"table, numba {version('numba')}", threads, lambda: table(x), table.slack
        yield f"float32 table, numba {version('numba')}", threads, lambda: narrow(x), narrow.slack


def _by_torch(table: TabulatedMoMLP, x: Tensor) -> Tensor:
    table.lattice.domain.require_inside("x", x)
    return torch.cat([table._gather(part) for part in x.split(1 << 15)])


def _peers(
    f: LipschitzFunction, n: int, model: MoMLP, x: Tensor, most: int
) -> Iterator[tuple[str, int, Callable[[], object]]]:
    """(name, threads, call) of what a user would take instead; each gets points in the layout that it likes best."""
    side = math.ceil(math.sqrt(n) / (2 * float(model.plan.eps_plan))) + 1
    axes, points = [np.linspace(0, 1, side)] * n, x.numpy()
    grid = torch.from_numpy(np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, n))
    values = f(grid).numpy().reshape((side,) * n)
    scipy = RegularGridInterpolator(axes, values)
    yield f"scipy {version('scipy')} RegularGridInterpolator", 1, lambda: scipy(points)
    columns = [np.ascontiguousarray(points[:, a]) for a in range(n)]
    places = np.stack(columns) * (side - 1)
    yield (
        f"scipy {version('scipy')} ndimage.map_coordinates",
        1,
        lambda: map_coordinates(values, places, order=1, mode="nearest"),
    )
    if find_spec("interpn"):
        from interpn import interpn

        options = {"method": "linear", "grid_kind": "regular"}
        for threads in sorted({1, most}):
            yield (
                f"interpn {version('interpn')}",
                threads,
                lambda threads=threads: interpn(columns, axes, values, max_threads=threads, **options),
            )
    if n <= 3:  # what grid_sample knows; it wants coordinates in [-1, 1], the last axis first
        held = torch.from_numpy(values)[None, None]
        flipped = (2 * x.flip(1) - 1).reshape(1, *[1] * (n - 1), -1, n)
        yield (
            f"torch {torch.__version__} grid_sample",
            most,
            lambda: torch.nn.functional.grid_sample(held, flipped, align_corners=True, padding_mode="border").flatten(),
        )


def networks(*, quick: bool) -> list[Measurement]:
    """Bit extraction on a line at eps = 1e-6: its own forward pass, its plain expert, and its table."""
    f, eps = targets.get("cone", n=1), 1e-6
    model = build_momlp(f, eps=eps, expert="bit_extraction", lookup="wide")
    table, expert = model.tabulate(), model.expert(0)
    x = f.domain.sample(100_000 if quick else 1_000_000, torch.Generator().manual_seed(0))
    few, most = x[:NETWORK_POINTS], torch.get_num_threads()
    ways: list[tuple[str, int, Callable[[Tensor], Tensor], Tensor]] = [
        ("the network itself", most, model, few),
        ("its expert, a plain Linear/ReLU stack", most, expert, few),
        (f"table, torch {torch.__version__}", most, lambda points: _by_torch(table, points), x),
    ]
    if find_spec("numba"):
        ways += [(f"table, numba {version('numba')}", threads, table, x) for threads in sorted({1, most})]
    rows = []
    for way, threads, answer, points in ways:
        wall, cpu, y = timed(lambda answer=answer, points=points: answer(points), threads)
        error, slack = float((y - f(points)).abs().max()), table.slack if "table" in way else 0.0
        if not error <= eps + slack:
            raise RuntimeError(f"bit extraction, {way}: a guarantee is broken, {error} > {eps} + {slack}")
        task = f"bit extraction, n=1, eps={eps:g}, {len(points)} points"
        rows.append(Measurement(task, way, threads, wall, cpu, len(points) / wall, error, eps + slack))
    return rows


def timed(call: Callable[[], object], threads: int) -> tuple[float, float, object]:
    """Median wall and CPU seconds of REPEATS calls after one warm-up (of the warm-up alone when it is long), with
    `threads` of torch, and what the call gives."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.no_grad():
            call()
            found, result = [], None
            while len(found) < REPEATS and sum(wall for wall, _ in found) < LONG * REPEATS:
                wall, cpu = time.perf_counter(), time.process_time()
                result = call()
                found.append((time.perf_counter() - wall, time.process_time() - cpu))
    finally:
        torch.set_num_threads(before)
    return statistics.median(w for w, _ in found), statistics.median(c for _, c in found), result


def _numbers(y: object) -> np.ndarray:
    return np.asarray(y.numpy() if isinstance(y, Tensor) else y, dtype=np.float64).reshape(-1)


def printed(rows: list[Measurement], reference: str) -> Table:
    """A table of measurements, with points a second as multiples of the way whose name holds `reference`."""
    table = Table(
        "task", "way", "threads", "wall ms", "CPU ms", "points/s", f"× {reference}", "sampled error", "guarantee"
    )
    last = ""
    for r in rows:
        first = next(other for other in rows if reference in other.way and _same(other.task, r.task))
        numbers = ("-" if v is None else f"{v:.3g}" for v in (r.error, r.guarantee))
        ratio = f"{r.rate / first.rate:.2f}"
        task = "" if r.task == last else r.task
        table.add_row(
            task,
            r.way,
            str(r.threads),
            f"{1000 * r.wall:.2f}",
            f"{1000 * r.cpu:.2f}",
            f"{r.rate:,.0f}",
            ratio,
            *numbers,
        )
        last = r.task
    return table


def _same(task: str, other: str) -> bool:
    """Whether two tasks differ in the number of points only."""
    return task.rsplit(",", 1)[0] == other.rsplit(",", 1)[0]


SCIPY, NETWORK = "RegularGridInterpolator", "the network itself"


def report(console: Console, *, quick: bool) -> list[dict]:
    """Measure, print both tables, and give the rows."""
    rows, deep = surrogates(quick=quick), networks(quick=quick)
    console.print(printed(rows, SCIPY))
    console.print(printed(deep, NETWORK))
    return [asdict(r) for r in (*rows, *deep)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Tabulated mixtures against interpolation at equal guarantee.")
    parser.add_argument("--quick", action="store_true", help="fewer points")
    report(Console(width=190), quick=parser.parse_args().quick)
