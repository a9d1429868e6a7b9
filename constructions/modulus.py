"""`Modulus`: a concave, nondecreasing modulus of continuity ω with ω(0+) = 0.

|f_i(x) − f_i(y)| ≤ ω(‖x − y‖₂) for every output i, in the user's units.

Main definitions: `Modulus.lipschitz(lam)` ω(t) = λt; `Modulus.holder(lam, alpha)` ω(t) = λt^α, 0 < α ≤ 1;
`Modulus.of_callable(fn, reach)`.
Main statements: `radius_squared(eps)` is a rational lower bound of ρ(ε)², ρ(ε) = sup{t : ω(t) ≤ ε}, exact
whenever 2/α is an integer; `upper(s)` is an upper bound of ω(√s).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import torch
from flint import arb, ctx, fmpq
from torch import Tensor

from constructions.errors import require_positive

CHECK_POINTS = 64
PRECISION = 256


def fraction_to_fmpq(value: Fraction) -> fmpq:
    return fmpq(value.numerator, value.denominator)


def arb_to_fraction(point: arb) -> Fraction:
    """The midpoint of an exact (zero-radius) ball as a Fraction."""
    mantissa, exponent = point.man_exp()
    return Fraction(int(mantissa)) * Fraction(2) ** int(exponent)


@dataclass(frozen=True)
class Modulus:
    """ω as data. `lam`, `alpha` are floats taken at their word; `fn` is set for a callable modulus only."""

    kind: str
    lam: float = 0.0
    alpha: float = 1.0
    fn: Callable[[Tensor], Tensor] | None = None
    reach: float = math.inf

    @classmethod
    def lipschitz(cls, lam: float) -> Modulus:
        """ω(t) = lam·t, lam ≥ 0."""
        return cls("lipschitz", float(require_positive("lipschitz", lam, allow_zero=True)))

    @classmethod
    def holder(cls, lam: float, alpha: float) -> Modulus:
        """ω(t) = lam·t^alpha, lam ≥ 0, 0 < alpha ≤ 1."""
        lam = float(require_positive("lam", lam, allow_zero=True))
        alpha = float(require_positive("alpha", alpha))
        if alpha > 1:
            raise ValueError(f"`alpha` must be at most 1, got {alpha!r}")
        return cls("lipschitz", lam) if alpha == 1 else cls("holder", lam, alpha)

    @classmethod
    def of_callable(cls, fn: Callable[[Tensor], Tensor], reach: float) -> Modulus:
        """ω = fn on float64 tensors (T,) -> (T,), checked at 64 points of (0, reach]."""
        t = torch.linspace(0, 1, CHECK_POINTS + 1, dtype=torch.float64)[1:] * reach
        values = fn(t)
        if not isinstance(values, Tensor) or values.shape != t.shape:
            raise ValueError(f"`modulus` must map a tensor (T,) to a tensor (T,), got {type(values).__name__}")
        values = values.double()
        tolerance = 1e-12 * float(values.abs().max()) if values.numel() else 0.0
        if not bool(torch.isfinite(values).all()) or bool((values < 0).any()):
            raise ValueError("`modulus` must be finite and non-negative on the domain's diameters")
        steps = torch.diff(values)
        if bool((steps < -tolerance).any()):
            at = float(t[int((steps < -tolerance).int().argmax())])
            raise ValueError(f"`modulus` must be nondecreasing, it falls after t = {at:g}")
        bends = torch.diff(steps)
        if bool((bends > 2 * tolerance).any()):
            at = float(t[1 + int((bends > 2 * tolerance).int().argmax())])
            raise ValueError(f"`modulus` must be concave, it bends upwards at t = {at:g}")
        return cls("callable", fn=fn, reach=reach)

    def __call__(self, t: Tensor) -> Tensor:
        """ω(t), elementwise."""
        if self.fn is not None:
            return self.fn(t)
        return self.lam * t if self.kind == "lipschitz" else self.lam * t.pow(self.alpha)

    def above(self, t: Tensor) -> Tensor:
        """An elementwise upper bound of ω(t) that covers the rounding of `__call__`."""
        return self(t) * (1 + 2.0**-48)

    def radius_squared(self, eps: Fraction) -> Fraction | None:
        """A rational r ≤ ρ(eps)²; None when ω never exceeds eps (ρ = ∞)."""
        if self.fn is not None:
            return self._bisect(eps)
        if self.lam == 0:
            return None
        ratio = eps / Fraction(self.lam)
        exponent = 2 / Fraction(self.alpha)
        if exponent.denominator == 1:
            return ratio ** int(exponent)
        with ctx.workprec(PRECISION):
            ball = arb(fraction_to_fmpq(ratio)) ** arb(fraction_to_fmpq(exponent))
            return arb_to_fraction(ball.lower())

    def _bisect(self, eps: Fraction) -> Fraction | None:
        def fits(t: float) -> bool:
            value = self.above(torch.tensor([t], dtype=torch.float64))
            return Fraction(float(value[0])) <= eps

        if fits(self.reach):
            return None
        good, bad = 0.0, self.reach
        for _ in range(200):
            middle = (good + bad) / 2
            if middle in (good, bad):
                break
            good, bad = (middle, bad) if fits(middle) else (good, middle)
        if good == 0.0:
            raise ValueError(f"`modulus` never falls to eps = {float(eps):g}: ω(0+) must be 0")
        return Fraction(good) ** 2

    def upper(self, distance_squared: Fraction) -> float:
        """A float ≥ ω(√distance_squared)."""
        with ctx.workprec(PRECISION):
            square = arb(fraction_to_fmpq(distance_squared))
            if self.fn is not None:
                t = math.nextafter(float(square.sqrt().upper()), math.inf)
                return float(self.above(torch.tensor([t], dtype=torch.float64))[0])
            if distance_squared == 0 or self.lam == 0:
                return 0.0
            half = fraction_to_fmpq(Fraction(self.alpha) / 2)
            value = arb(self.lam) * square ** arb(half)
            return math.nextafter(float(value.upper()), math.inf)

    def to_spec(self) -> dict[str, Any]:
        """JSON-ready description; a callable modulus keeps only its kind."""
        if self.fn is not None:
            return {"kind": "callable", "reach": self.reach}
        return {"kind": self.kind, "lam": self.lam, "alpha": self.alpha}

    @classmethod
    def from_spec(cls, spec: dict[str, Any]) -> Modulus:
        """Inverse of `to_spec`; a callable modulus comes back as a refusal to be evaluated."""
        if spec["kind"] == "lipschitz":
            return cls.lipschitz(spec["lam"])
        if spec["kind"] == "holder":
            return cls.holder(spec["lam"], spec["alpha"])
        return cls("callable", fn=_forgotten, reach=spec["reach"])

    def __str__(self) -> str:
        if self.fn is not None:
            return "a callable modulus"
        return f"{self.lam:.6g}·t" + ("" if self.kind == "lipschitz" else f"^{self.alpha:g}")


def _forgotten(t: Tensor) -> Tensor:
    raise ValueError("a callable modulus is not stored with a model: pass the LipschitzFunction again")
