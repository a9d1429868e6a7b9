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

from constructions.errors import require_choice, require_positive, require_tensor, shown

CHECK_POINTS = 64
PRECISION = 256
KINDS = ("lipschitz", "holder", "callable")
SMALLEST_ALPHA = 1e-3


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

    def __post_init__(self) -> None:
        require_choice("kind", self.kind, KINDS)
        for name in ("lam", "alpha"):
            object.__setattr__(self, name, _float_above(require_positive(name, getattr(self, name), allow_zero=True)))
        if not SMALLEST_ALPHA <= self.alpha <= 1:
            raise ValueError(f"`alpha` must be at least {SMALLEST_ALPHA} and at most 1, got {self.alpha!r}")
        if (self.fn is not None) != (self.kind == "callable") or (self.kind != "holder" and self.alpha != 1):
            raise ValueError(f"`kind` {self.kind!r} does not fit the other arguments: use Modulus.lipschitz or holder")
        if not (isinstance(self.reach, float) and self.reach > 0):
            raise ValueError(f"`reach` must be a positive number, got {shown(self.reach)}")

    @classmethod
    def lipschitz(cls, lam: float) -> Modulus:
        """ω(t) = lam·t, lam ≥ 0."""
        return cls("lipschitz", _float_above(require_positive("lipschitz", lam, allow_zero=True)))

    @classmethod
    def holder(cls, lam: float, alpha: float) -> Modulus:
        """ω(t) = lam·t^alpha, lam ≥ 0, 0 < alpha ≤ 1."""
        lam = _float_above(require_positive("lam", lam, allow_zero=True))
        alpha = float(require_positive("alpha", alpha))
        if alpha > 1:
            raise ValueError(f"`alpha` must be at most 1, got {alpha!r}")
        return cls("lipschitz", lam) if alpha == 1 else cls("holder", lam, alpha)

    @classmethod
    def of_callable(cls, fn: Callable[[Tensor], Tensor], reach: float) -> Modulus:
        """ω = fn on float64 tensors (T,) -> (T,), checked at 64 points of (0, reach]."""
        if not callable(fn):
            raise TypeError(f"`modulus` must be callable, got {type(fn).__name__}")
        reach = float(require_positive("reach", reach))
        t = torch.linspace(0, 1, CHECK_POINTS + 1, dtype=torch.float64)[1:] * reach
        values = _values(fn, t)
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
        require_tensor("t", t, "(T,)")
        if self.fn is not None:
            return _values(self.fn, t)
        return self.lam * t if self.kind == "lipschitz" else self.lam * t.pow(self.alpha)

    def above(self, t: Tensor) -> Tensor:
        """An elementwise upper bound of ω(t) that covers the rounding of `__call__`."""
        return self(t) * (1 + 2.0**-48)

    def radius_squared(self, eps: Fraction) -> Fraction | None:
        """A rational r ≤ ρ(eps)²; None when ω never exceeds eps (ρ = ∞)."""
        eps = _fraction("eps", eps)
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
            # NaN and inf do not fit
            return math.isfinite(float(value[0])) and Fraction(float(value[0])) <= eps

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
        distance_squared = _fraction("distance_squared", distance_squared, allow_zero=True)
        with ctx.workprec(PRECISION):
            square = arb(fraction_to_fmpq(distance_squared))
            if self.fn is not None:
                t = math.nextafter(float(square.sqrt().upper()), math.inf)
                value = float(self.above(torch.tensor([t], dtype=torch.float64))[0])
                if math.isnan(value):
                    raise ValueError(f"`modulus` must not be NaN, it is at t = {t!r}")
                return value
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
        if require_choice("kind", spec["kind"], KINDS) == "lipschitz":
            return cls.lipschitz(spec["lam"])
        if spec["kind"] == "holder":
            return cls.holder(spec["lam"], spec["alpha"])
        return cls("callable", fn=_forgotten, reach=spec["reach"])

    def __str__(self) -> str:
        if self.fn is not None:
            return "a callable modulus"
        return f"{self.lam:.6g}·t" + ("" if self.kind == "lipschitz" else f"^{self.alpha:g}")


def _float_above(value: float | Fraction) -> float:
    """The least float that is at least `value`: a modulus may be rounded up, never down."""
    nearest = float(value)
    return nearest if Fraction(nearest) >= value else math.nextafter(nearest, math.inf)


def _fraction(name: str, value: Any, *, allow_zero: bool = False) -> Fraction:
    """A rational of any size, also one that no float can hold."""
    if isinstance(value, Fraction) and (value > 0 or (allow_zero and value == 0)):
        return value
    return Fraction(require_positive(name, value, allow_zero=allow_zero))


def _values(fn: Callable[[Tensor], Tensor], t: Tensor) -> Tensor:
    """fn(t), the user's modulus at distances t, as a real tensor like t."""
    try:
        values = fn(t.clone())
    except Exception as err:
        raise ValueError(f"`modulus` failed on a tensor of shape {tuple(t.shape)}: {err}") from err
    if not isinstance(values, Tensor) or values.shape != t.shape or values.device != t.device or values.is_complex():
        got = (
            f"a tensor {tuple(values.shape)} of {values.dtype}" if isinstance(values, Tensor) else type(values).__name__
        )
        raise ValueError(f"`modulus` must map a tensor (T,) to a tensor (T,), got {got}")
    return values.to(t.dtype)


def _forgotten(t: Tensor) -> Tensor:
    raise ValueError("a callable modulus is not stored with a model: pass the LipschitzFunction again")
