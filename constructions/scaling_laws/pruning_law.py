"""The law of pruned networks, its steepest slope, the density that a target allows, and its fit.

    ε̂(d) = ε_np·((d² + p²q²)/(d² + p²))^{γ/2},   q = (ε↑/ε_np)^{1/γ} ≥ 1,   p = p′/(l^φ w^ψ)

Main definitions: `PruningLaw`, `fit_pruning_law`, `FittedPruningLaw`.
Notation: d density kept, l depth, w width, ε_np the error of the unpruned network, which is measured, not fitted.
Source: Rosenfeld, Frankle, Carbin and Shavit, arXiv:2006.10621, Equation 1; proofs in docs/scaling_laws.md.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from constructions.errors import require_bool, require_positive, require_tensor, shown

NAMES = ("high", "gamma", "p", "phi", "psi")
GAMMAS = (0.02, 6.0)
EXPONENTS = (-6.0, 6.0)
LOG_P = (-30.0, 30.0)
AT_A_BOUND = 1e-6
LEAST_POINTS = 7
LARGEST_EXPONENT = 1e3
LARGEST_LOG = 700.0
LARGEST_CHANCE = 1e100


@dataclass(frozen=True)
class PruningLaw:
    """Five constants: the high plateau ε↑, γ, p′, φ and ψ. ValueError unless the first three are positive."""

    high: float
    gamma: float
    p: float
    phi: float = 0.0
    psi: float = 0.0

    def __post_init__(self):
        for name in ("high", "gamma", "p"):
            require_positive(name, getattr(self, name))
        for name in ("phi", "psi"):
            value = getattr(self, name)
            if not isinstance(value, (int, float)) or isinstance(value, bool) or not abs(value) <= LARGEST_EXPONENT:
                raise ValueError(f"`{name}` must be a number within ±{LARGEST_EXPONENT:g}, got {shown(value)}")

    def __call__(
        self, density: Tensor | float, depth: Tensor | float, width: Tensor | float, eps_np: Tensor | float
    ) -> Tensor:
        """The error (N,) at densities, depths, widths and unpruned errors, each (N,) or a number."""
        density, depth, width, eps_np = _broadcast(density, depth, width, eps_np)
        scale = 2 * (density.log() + self.phi * depth.log() + self.psi * width.log())
        low = torch.full_like(scale, 2 * math.log(self.p))
        # (d²+p²q²)/(d²+p²) by logarithms: q is beyond any float for a small γ
        high = low + (2 / self.gamma) * (math.log(self.high) - eps_np.log()).clamp(min=0)
        return eps_np * ((torch.logaddexp(scale, high) - torch.logaddexp(scale, low)) * (self.gamma / 2)).exp()

    def ratio(self, eps_np: float) -> float:
        """q at this unpruned error, 1 where ε_np ≥ ε↑; ∞ beyond the largest float."""
        require_positive("eps_np", eps_np)
        try:
            return max(1.0, (self.high / float(eps_np)) ** (1 / self.gamma))
        except OverflowError:
            return math.inf

    def steepest_slope(self, eps_np: float) -> float:
        """The steepest d ln ε̂/d ln d, −γ(q − 1)/(q + 1), attained at d = p√q."""
        q = self.ratio(eps_np)
        return -self.gamma * (1 - 2 / (q + 1))

    def density_for(self, target: float, depth: float, width: float, eps_np: float) -> float:
        """The density at which the law has the error `target`; ValueError unless ε_np < target < ε↑.

        It may exceed 1: then no network this small has so small an error.
        """
        for name, value in (("target", target), ("depth", depth), ("width", width), ("eps_np", eps_np)):
            require_positive(name, value)
        if not eps_np < target < self.high:
            between = f"between the plateaus {eps_np} and {self.high}"
            raise ValueError(f"`target` must lie {between}, got {shown(target)}")
        power = 2 / self.gamma
        # d² = p²(q² − ρ)/(ρ − 1) = p²·ρ(q²/ρ − 1)/(ρ − 1), ρ = (ε*/ε_np)^{2/γ}, by logarithms
        rest = power * math.log(self.high / target)
        rho = power * math.log(target / eps_np)
        logs = rho + _log_expm1(rest) - _log_expm1(rho)
        log_d = math.log(self.p) + logs / 2 - self.phi * math.log(depth) - self.psi * math.log(width)
        return math.exp(log_d) if log_d < LARGEST_LOG else math.inf


def _log_expm1(x: float) -> float:
    """ln(eˣ − 1) of x > 0."""
    return x + math.log(-math.expm1(-x))


def _broadcast(*values: Any) -> list[Tensor]:
    like = next((v for v in values if isinstance(v, Tensor)), torch.tensor(1.0))
    tensors = []
    for name, value in zip(("density", "depth", "width", "eps_np"), values, strict=True):
        number = (
            value
            if isinstance(value, Tensor)
            else torch.tensor(float(require_positive(name, value)), dtype=torch.float64)
        )
        tensor = require_tensor(name, number, "(N,)").to(like.device, torch.float64)
        tensors.append(tensor)
        if not bool(((tensor > 0) & torch.isfinite(tensor)).all()):
            raise ValueError(f"`{name}` must be positive and finite")
    try:
        return list(torch.broadcast_tensors(*tensors))
    except RuntimeError as err:
        shapes = ", ".join(str(tuple(t.shape)) for t in tensors)
        raise ValueError(f"`density` must have the shape of the others, or they be numbers, got {shapes}") from err


@dataclass(frozen=True)
class FittedPruningLaw:
    """The law of least squares of ε̂/ε − 1, its `residuals` (N,), and the names of constants that ended at a bound."""

    law: PruningLaw
    residuals: Tensor
    at_bounds: tuple[str, ...] = field(default=())


def fit_pruning_law(
    density: Tensor, depth: Tensor, width: Tensor, eps_np: Tensor, errors: Tensor, *, chance: float = math.inf,
    joint: bool = True,
) -> FittedPruningLaw:  # fmt: skip
    """Fit all five constants to N points, each argument (N,); with `joint=False` φ = ψ = 0.

    Deterministic: `scipy.optimize.least_squares` from a fixed set of starts. ε↑ lies between the largest of ε_np and
    errors and `chance`. Average the errors of several seeds before. ValueError for fewer than 7 points, errors that are
    not in (0, chance], or, with `joint`, for one depth or one width only: their exponents are not identified.
    """
    require_bool("joint", joint)
    points = _points(density, depth, width, eps_np, errors)
    if points.shape[1] < LEAST_POINTS:
        raise ValueError(f"`errors` must be {LEAST_POINTS} points or more, got {points.shape[1]}")
    d, length, w, base, e = points
    real = isinstance(chance, (int, float)) and not isinstance(chance, bool)
    known = real and (chance <= LARGEST_CHANCE or chance == math.inf)
    if not known or not max(e.max(), base.max()) <= chance:
        raise ValueError(f"`errors` must be at most `chance`, {shown(chance)}, got {max(e.max(), base.max()):g}")
    for name, values in (("depth", length), ("width", w)) if joint else ():
        if len(np.unique(values)) < 2:
            raise ValueError(f"`{name}` must have two values or more, its exponent is not identified; or `joint=False`")
    best, bounds = _least_squares(d, length, w, base, e, chance, joint)
    high, gamma, log_p, phi, psi = best.x if joint else (*best.x, 0.0, 0.0)
    law = PruningLaw(math.exp(high), float(gamma), math.exp(log_p), float(phi), float(psi))
    span = np.subtract(bounds[1], bounds[0])
    near = (best.x - bounds[0] <= AT_A_BOUND * span) | (bounds[1] - best.x <= AT_A_BOUND * span)
    return FittedPruningLaw(law, torch.from_numpy(best.fun), tuple(n for n, b in zip(NAMES, near, strict=False) if b))


def _points(*columns: Tensor) -> np.ndarray:
    names = ("density", "depth", "width", "eps_np", "errors")
    require_tensor("errors", columns[-1], "(N,)")
    for name, column in zip(names, columns, strict=True):
        require_tensor(name, column, "(N,)")
        if column.ndim != 1 or column.shape != columns[-1].shape:
            raise ValueError(f"`{name}` must have shape ({columns[-1].numel()},), got {tuple(column.shape)}")
        if not bool(((column > 0) & torch.isfinite(column)).all()):
            raise ValueError(f"`{name}` must be positive and finite")
    return np.stack([column.detach().double().cpu().numpy() for column in columns])


def _least_squares(d, length, w, base, e, chance: float, joint: bool) -> tuple[Any, tuple[np.ndarray, np.ndarray]]:
    from scipy.optimize import least_squares  # takes most of a second to import

    log_d, log_l, log_w, log_base = np.log(d), np.log(length), np.log(w), np.log(base)

    def residuals(x):
        high, gamma, log_p, phi, psi = x if joint else (*x, 0.0, 0.0)
        scale = 2 * (log_d + phi * log_l + psi * log_w)
        top = 2 * log_p + (2 / gamma) * np.maximum(high - log_base, 0)
        logs = (np.logaddexp(scale, top) - np.logaddexp(scale, 2 * log_p)) * (gamma / 2)
        return base * np.exp(logs) / e - 1

    floor = math.log(max(e.max(), base.max()))
    top = max(floor + 1e-9, math.log(chance)) if math.isfinite(chance) else floor + 5
    low, up = [floor - 1e-9, GAMMAS[0], LOG_P[0]], [top, GAMMAS[1], LOG_P[1]]
    if joint:
        low, up = low + [EXPONENTS[0]] * 2, up + [EXPONENTS[1]] * 2
    best: Any = None
    for gamma, place, exponents in itertools.product((0.4, 1.0), (0.25, 0.75), ((0.5, 1.0), (1.0, 1.5))):
        phi, psi = exponents if joint else (0.0, 0.0)
        scales = log_d + phi * log_l + psi * log_w
        start = [(floor + 3 * top) / 4 if math.isfinite(chance) else floor + 0.1, gamma, np.quantile(scales, place)]
        found = least_squares(residuals, [*start, phi, psi][: len(low)], bounds=(low, up), x_scale="jac")
        if best is None or found.cost < best.cost:
            best = found
    return best, (np.array(low), np.array(up))
