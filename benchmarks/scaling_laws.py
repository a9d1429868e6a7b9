"""Scaling laws: curves fitted at once against scipy curve by curve, students in stacks against one by one; in `run.py`.

    python benchmarks/scaling_laws.py [--quick]

Main definition: `fits_and_stacks`.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from rich.console import Console
from scipy.optimize import least_squares, nnls
from timing import row, seconds_each, show

from constructions.scaling_laws import fit_curves
from constructions.scaling_laws.curves import learning_curves
from constructions.scaling_laws.profile import FINE
from constructions.scaling_laws.stack import seed_of
from constructions.scaling_laws.students import ReLUTarget, train_students
from constructions.scaling_laws.training import Schedule

CURVES = 60
STARTS = 3
STUDENTS = {"widths": (4, 8), "sizes": (64, 128), "seeds": (0, 1), "steps": 60}


def fits_and_stacks(*, quick: bool) -> list[dict]:
    """Fits a second and students a second; RuntimeError where the two ways disagree."""
    return [_fits(CURVES if quick else 4 * CURVES), _students()]


def _fits(count: int) -> dict:
    curves = [curve.fitted for curve in learning_curves()[:count]]
    sizes, errors = ([part[i] for part in curves] for i in (0, 1))
    laws = fit_curves(sizes, errors)
    plain = [_by_scipy(size.numpy(), error.numpy()) for size, error in curves]
    ours = [float(((law(s[:, None]) / e - 1) ** 2).sum()) for law, s, e in zip(laws, sizes, errors, strict=True)]
    worse = [i for i, (a, b) in enumerate(zip(ours, plain, strict=True)) if not a <= b * (1 + 1e-6) + 1e-12]
    if worse:
        raise RuntimeError(f"scipy finds less at {len(worse)} of {len(curves)} curves")
    together, one_by_one = seconds_each(
        lambda: fit_curves(sizes, errors), lambda: [_by_scipy(s.numpy(), e.numpy()) for s, e in curves]
    )
    name = f"fit of {len(curves)} learning curves"
    return row(name, "nnls and least_squares, one by one", "curves/s", len(curves) / together, len(curves) / one_by_one)


def _by_scipy(size: np.ndarray, error: np.ndarray) -> float:
    """The least Σ(ε̂/ε − 1)² by variable projection over the same exponents and refinement of the best."""
    logs = np.log(size) - np.log(size).mean()
    tried = []
    for rate in FINE:
        (a, c), cost = nnls(
            np.stack([np.exp(-rate * logs), np.ones_like(logs)], 1) / error[:, None], np.ones_like(logs)
        )
        tried.append((cost, rate, a, c))

    def residuals(x: np.ndarray) -> np.ndarray:
        return (np.exp(x[0] - x[1] * logs) + x[2]) / error - 1

    costs = []
    for _, rate, a, c in sorted(tried)[:STARTS]:
        start = [np.log(max(a, 1e-12)), rate, max(c, 1e-12)]
        found = least_squares(residuals, start, bounds=([-40, 1e-3, 0], [40, 6, np.inf]), x_scale="jac")
        costs.append(2 * found.cost)
    return min(costs)


def _students() -> dict:
    target = ReLUTarget((8, 64, 64, 1), seed_of(0, 7))
    widths, sizes, seeds = STUDENTS["widths"], STUDENTS["sizes"], STUDENTS["seeds"]
    plan = {"inputs": 8, "schedule": Schedule(STUDENTS["steps"]), "pool": max(sizes), "test": 500, "validation": 100}

    def stacked() -> torch.Tensor:
        return train_students(target, widths, sizes, seeds, **plan).errors

    def alone() -> torch.Tensor:
        each = [train_students(target, [w], [n], [k], **plan).errors for k in seeds for w in widths for n in sizes]
        return torch.cat(each).view(len(seeds), len(widths), len(sizes))

    if not torch.equal(stacked(), alone()):
        raise RuntimeError("students of a stack differ from those trained alone")
    stack, one = seconds_each(stacked, alone)
    count = len(seeds) * len(widths) * len(sizes)
    return row(f"{count} students, {STUDENTS['steps']} steps", "one by one", "students/s", count / stack, count / one)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer curves")
    show(fits_and_stacks(quick=parser.parse_args().quick), Console(width=180))
