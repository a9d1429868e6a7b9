"""A ReLU network without biases at one point: both moments, and He's threshold."""

from __future__ import annotations

import math

import sympy
import torch
from flint import arb
from torch import Tensor

from theory.claim import Context, Evidence, Status, Table, Verdict, ensure
from theory.lipschitz_expressiveness import bounds
from theory.lipschitz_expressiveness.reproductions import lemmas
from theory.lipschitz_expressiveness.reproductions.sampling import (
    gaussians,
    mean_of,
    relu_outputs,
)

SIGMA, WIDTH, ENDS = 0.5, 32, 8
DRAWS, MORE_DRAWS = 4000, 40_000


def _widths(L: int, width: int = WIDTH) -> list[int]:
    return [ENDS, *[width] * (L - 1), ENDS]


def _unit(context: Context) -> Tensor:
    """A point (1, n_0) of norm 1."""
    x = torch.randn(1, ENDS, dtype=torch.float64, generator=context.generator()).to(context.device)
    return x / x.norm()


# --- both moments ---------------------------------------------------------------------------------------


def relu_point(context: Context) -> Verdict:
    """r(n) and n/2 by integration; sampled first and second moments of ‖f(x)‖ for two depths."""
    ensure(lemmas.chi_lemma(), "e(n)")
    ensure(lemmas.relu_lemma(), "r(n)")
    n = sympy.symbols("n", positive=True)
    per_layer = bounds.relu_squared_bounds(n)[1]  # which the lemma shows to be E S
    ensure(lemmas.zero(per_layer - n / 2), f"a layer multiplies the second moment by {per_layer}")
    draws = MORE_DRAWS if context.full else DRAWS
    rows = []
    outputs = relu_outputs(_widths(10), SIGMA, _unit(context), draws, context.generator())
    for L in (4, 10):
        context.log(f"L = {L}: {draws} draws")
        # W_L has its own width: the first L − 1 layers are those of the longest network
        found = outputs[-1] if L == 10 else _ended(outputs[L - 2], context)
        norms = found[:, 0].norm(dim=1).cpu()
        for name, values, expected in (
            ("mean", norms, math.exp(bounds.relu_point(_widths(L), SIGMA))),
            ("second moment", norms**2, math.exp(bounds.relu_second_moment(_widths(L), SIGMA))),
        ):
            mean = mean_of(values)
            rows.append((L, name, expected, mean.value, mean.half))
            reason = f"L = {L}: the {name} is {mean.value} ± {mean.half}, the formula says {expected}"
            ensure(mean.meets(expected, expected), reason)
    tables = {"moments": Table(("L", "moment", "formula", "sampled", "half_width"), tuple(rows))}
    reason = "r(n) is the finite sum, by integration for n <= 3; sampled moments do not contradict the products"
    return Verdict(Status.PROVED, Evidence.SYMBOLIC, reason, {"draws": draws}, tables=tables)


def _ended(hidden: Tensor, context: Context) -> Tensor:
    """W_L relu(hidden) (D, 1, ENDS) with fresh last layers."""
    generator = torch.Generator().manual_seed(context.seed + 1)
    parts, start = [], 0
    for batch in gaussians(ENDS, hidden.shape[-1], len(hidden), generator, hidden.device):
        parts.append(SIGMA * hidden[start : start + len(batch)].relu() @ batch.mT)
        start += len(batch)
    return torch.cat(parts)


# --- He's threshold -------------------------------------------------------------------------------------


def he_threshold(context: Context) -> Verdict:
    """At σ² = 2/N the second moment is constant; the mean shrinks by √(2/N) r(N) < 1 a layer, enclosed."""
    ensure(lemmas.relu_lemma(), "r(n)")
    N = sympy.symbols("N", positive=True)
    second = bounds.relu_squared_bounds(N)[1] * 2 / N
    ensure(lemmas.zero(second - 1), f"the second moment changes by {second} a layer")
    rows = []
    for width in (1, 2, 8, 64, 256) + (1024,) * context.full:
        rate = ((arb(2) / width).sqrt() * bounds.relu_mean_ball(width)).log()
        low = (1 / (1 + arb(5) / width)).log() / 2  # by r² ≥ N²/(2(N+5))
        ensure(bool(rate < 0) and bool(rate >= low), f"N = {width}: the mean changes by exp({rate}) a layer")
        rows.append((width, float(rate.mid()), float(rate.mid()) * width, bounds.critical(width)["mean norm, ReLU"]))
    tables = {
        "rates": Table(("N", "log_rate", "N_log_rate", "critical_sigma2_N"), tuple(rows)),
        "critical": _critical(),
    }
    at_64 = next(row for row in rows if row[0] == 64)
    witness = f"N = 64, sigma^2 = 1/32: E|f(x)| changes by exp({at_64[1]:.8f}) a layer, E|f(x)|^2 does not"
    reason = f"the mean norm shrinks for every N by strict Jensen; log rate {at_64[1]:.7f} a layer at N = 64"
    numbers = {"log_rate_64": at_64[1]}
    return Verdict(Status.REFUTED, Evidence.ENCLOSED, reason, numbers, witness=witness, tables=tables)


def _critical() -> Table:
    """The thresholds of σ²N: three different ones, and the product of norms."""
    found = {width: bounds.critical(width) for width in (8, 64, 256)}
    names = list(found[8])
    return Table(("quantity", *(f"N_{w}" for w in found)), tuple((n, *(c[n] for c in found.values())) for n in names))
