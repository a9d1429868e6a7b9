"""What is fast and what is not, against named peers, all measured in one run.

    python benchmarks/run.py --out results [--quick]

Every ratio is ours / peer in the same unit on the same points, the median of repeated timings. Guarantees are equal:
scipy's RegularGridInterpolator gets the grid on which multilinear interpolation satisfies the same bound,
ω(√n·h/2) ≤ eps.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

import am_gm
import certificates as against_crown
import data_and_machines
import demo_optimizer
import exports
import lipschitz_expressiveness
import numpy as np
import routers
import scaling_laws
import shattering
import sublinear_training
import tables
import torch
from rich.console import Console
from rich.progress import track
from scipy.interpolate import RegularGridInterpolator
from timing import machine, row, seconds, show

from constructions import MoMLP, build_momlp, targets
from constructions.bit_extraction import layers_of
from constructions.files import write_whole
from theory import certify_uniform_error
from theory.figure_style import save_figure
from theory.trained_momlp import figures as data_plots


def evaluation(model: MoMLP, n: int, eps: float, x: torch.Tensor) -> dict:
    """Points a second of the model and of multilinear interpolation at equal guarantee."""
    f = model.target
    side = math.ceil(math.sqrt(n) / (2 * float(model.plan.eps_plan))) + 1
    axes = [np.linspace(0, 1, side)] * n
    grid = torch.from_numpy(np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, n))
    peer = RegularGridInterpolator(axes, f(grid).numpy().reshape((side,) * n))
    points = x.numpy()
    worst = np.abs(peer(points) - f(x)[:, 0].numpy()).max(), float((model(x) - f(x)).abs().max())
    if max(worst) > eps:
        raise RuntimeError(f"a guarantee is broken: {worst} > {eps}")
    name = f"evaluate, n={n}, eps={eps:g}, {len(x)} points"
    ours, theirs = seconds(lambda: model(x)), seconds(lambda: peer(points))
    return row(name, "scipy RegularGridInterpolator", "points/s", len(x) / ours, len(x) / theirs)


def certificates(model: MoMLP, eps: float) -> list[dict]:
    """Evaluations a second of branch and bound, and nodes a second of the a-priori way."""
    rows = []
    for method, options in (("branch_and_bound", {"gap": 1e-3}), ("a_priori", {})):
        f = targets.sharp(model.plan)
        sharp = build_momlp(f, eps=eps)
        c = certify_uniform_error(sharp, f, eps=eps, method=method, samples=5_000, **options)
        name = f"certify sharp target, n={model.n}, eps={eps:g}: {method}, {c.seconds:.2f} s"
        rows.append(row(name, "none", "evaluations/s", c.evaluations / c.seconds, None))
    return rows


def bit_extraction() -> list[dict]:
    """Build and evaluate a single MLP at eps = 1e-6·λ (K about 10⁶), against one hidden layer of equal guarantee."""
    f = targets.get("cone", n=1)
    eps = 1e-6
    options = {"eps": eps, "expert": "bit_extraction", "lookup": "wide"}

    def build() -> MoMLP:
        layers_of.cache_clear()
        return build_momlp(f, **options)

    model, peer = build(), build_momlp(f, eps=eps)
    x = f.domain.sample(100_000, torch.Generator().manual_seed(0))
    few = x[:1000]
    worst = max(float((m(few) - f(few)).abs().max()) for m in (model, peer))
    if worst > eps:
        raise RuntimeError(f"a guarantee is broken: {worst} > {eps}")
    sizes = f"P={model.active_parameters} against {peer.active_parameters}"
    name = f"bit extraction, n=1, eps={eps:g}, K={model.plan.knots}"
    built, naive = seconds(build), seconds(lambda: build_momlp(f, eps=eps))
    ours, theirs = len(x) / seconds(lambda: model(x)), len(few) / seconds(lambda: peer(few))
    return [
        row(f"{name}: build ({built:.2f} s)", "one hidden layer (pencil)", "networks/s", 1 / built, 1 / naive),
        row(f"{name}: evaluate 100000 points, {sizes}", "one hidden layer (pencil)", "points/s", ours, theirs),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("results"), help="folder for benchmarks.json")
    parser.add_argument("--quick", action="store_true", help="fewer points")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    count = 20_000 if args.quick else 200_000
    rows = []
    console = Console(width=180) if not Console().is_terminal else Console()
    for n, eps in track(routers.INSTANCES, description="measuring", console=Console(stderr=True), transient=True):
        model = build_momlp(targets.get("sum_of_sines", n=n), eps=eps)
        x = model.plan.domain.sample(count, torch.Generator().manual_seed(0))
        rows.append(evaluation(model, n, eps, x))
        rows.extend(routers.lattice(model, x[: count // 4]))
        rows.extend(certificates(model, eps))
    rows.extend(routers.data(count // 4))
    rows.append(shattering.exhaustive())
    rows.extend(lipschitz_expressiveness.rows(quick=args.quick))
    rows.extend(bit_extraction())
    rows.extend(sublinear_training.steps(quick=args.quick))
    rows.extend(scaling_laws.fits_and_stacks(quick=args.quick))
    rows.extend(demo_optimizer.steps(quick=args.quick))
    rows.extend(am_gm.report(quick=args.quick))
    rows.extend(exports.rows(quick=args.quick))
    curve = data_and_machines.throughput(quick=args.quick)
    rows.extend(curve)
    rows.extend(data_and_machines.rest(quick=args.quick))
    show(rows, console)
    wide = Console(width=190) if not console.is_terminal else console
    measured = tables.report(wide, quick=args.quick)
    crown = against_crown.report(wide, quick=args.quick)
    text = json.dumps({"schema": 1, "machine": machine(), "rows": rows, "tables": measured, "crown": crown}, indent=2)
    path = write_whole(args.out / "benchmarks.json", lambda draft: draft.write_text(text))
    console.print(f"written to {path}", highlight=False)
    picture = args.out / "throughput.png"
    save_figure(data_plots.throughput_figure({r["share"]: r["ours"] for r in curve}, curve[0]["theirs"]), picture)
    console.print(f"drawn to {picture}", highlight=False)


if __name__ == "__main__":
    main()
