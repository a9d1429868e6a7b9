"""Way 3: sampling. Random points, cell faces and corners, mid-knots, then gradient ascent on |f − f̂|.

It can refute and never certify.

Main definition: `sampled_error`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from constructions.functions.lipschitz_function import LipschitzFunction
from constructions.mixture import LatticeMixture
from theory.checkers.uniform_error.view import MixtureView

BATCH = 1 << 16
ASCENT_STARTS = 256
ASCENT_STEPS = 60


def sampled_error(
    view: MixtureView,
    f: LipschitzFunction,
    generator: torch.Generator,
    count: int,
    log: Callable[[str], None],
) -> tuple[float, tuple[float, ...], int]:
    """(largest error found, its point, evaluations) over `count` random and `count` adversarial points."""
    place = view.leaves.device
    x = torch.cat([f.domain.sample(count, generator).to(place), _adversarial(view, f, generator, count)])
    errors = torch.cat([view.errors(f, part) for part in x.split(BATCH)])
    log(f"sampled {len(x)} points: largest error {float(errors.max()):.6g}")
    starts = x[errors.topk(min(ASCENT_STARTS, len(x))).indices]
    climbed, asked = _ascend(view, f, starts)
    every = torch.cat([starts, climbed])
    final = view.errors(f, every)
    best = int(final.argmax())
    return float(final[best]), tuple(every[best].tolist()), len(x) + asked + len(every)


def _adversarial(view: MixtureView, f: LipschitzFunction, generator: torch.Generator, count: int) -> Tensor:
    """Points (count, n) on faces and corners of random cells, half of them at mid-knots of the last axis."""
    picks = torch.randint(len(view.leaves), (count,), generator=generator)
    lower, upper = view.bounds(view.leaves[picks])
    shares = torch.rand(count, f.n, dtype=torch.float64, generator=generator).to(lower.device)
    snapped = torch.rand(count, f.n, generator=generator).to(lower.device) < 0.75
    shares = torch.where(snapped, shares.round(), shares)
    x = lower + shares * (upper - lower)
    t = view.model.knots() if isinstance(view.model, LatticeMixture) else None
    if t is not None:
        piece = torch.randint(len(t) - 1, (count,), generator=generator).to(x.device)
        half = torch.arange(count, device=x.device) % 2 == 0
        x[:, -1] = torch.where(half, (t[piece] + t[piece + 1]) / 2, x[:, -1])
    return x


def _ascend(view: MixtureView, f: LipschitzFunction, starts: Tensor) -> tuple[Tensor, int]:
    """(points, evaluations) of Adam on −|f − f̂| from `starts` (S, n), kept inside the domain; black boxes without
    gradients stay put."""
    lo, hi = f.domain.tensors(starts.device)
    x = starts.clone().requires_grad_()
    optimiser = torch.optim.Adam([x], lr=max(float((hi - lo).min()) * 1e-3, 1e-300))
    best, best_error = starts.clone(), torch.full_like(starts[:, 0], -torch.inf)
    asked = 0
    for step in range(ASCENT_STEPS + 1):
        asked += len(x)
        try:
            error = (f.evaluate(x) - view.forward(x)).abs().amax(-1)
        except (ValueError, RuntimeError):  # f.evaluate's and torch's answer to code that has no gradient
            break
        better = error.detach() > best_error
        best = torch.where(better[:, None], x.detach(), best)
        best_error = torch.where(better, error.detach(), best_error)
        if step == ASCENT_STEPS or not error.requires_grad:
            break
        optimiser.zero_grad()
        (-error.sum()).backward()
        if x.grad is not None:
            x.grad.nan_to_num_(0.0, 0.0, 0.0)
        optimiser.step()
        with torch.no_grad():
            x.copy_(torch.minimum(torch.maximum(x, lo), hi))
    return best, asked
