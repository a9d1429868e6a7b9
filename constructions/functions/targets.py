"""The library of named targets, each with the proof of its constant in its docstring.

Main definitions: `names()`, `get(name, n=…)`.
"""

from __future__ import annotations

import torch

from constructions.errors import require_choice, require_int, require_positive
from constructions.functions.lipschitz_function import LipschitzFunction, ModulusPremise
from constructions.functions.modulus import Modulus
from constructions.functions.symbolic.parser import MAX_VARIABLES


def _symbolic(text: str, n: int, lam: float, name: str) -> LipschitzFunction:
    return LipschitzFunction.from_sympy(text, n=n, lipschitz=lam, name=name)


def _scaled(lam: float, text: str) -> str:
    return text if lam == 1.0 else f"{lam!r}*({text})"


def _unit(n: int) -> str:
    """a·x for the fixed unit vector a ∝ (1, 2, …, n)."""
    total = " + ".join(f"{i + 1}*x{i}" for i in range(n))
    return f"({total})/sqrt({sum((i + 1) ** 2 for i in range(n))})"


def cone(n: int, lam: float) -> LipschitzFunction:
    """λ‖x − x₀‖₂, x₀ = (1/3, …, 1/3); λ is exact."""
    squares = " + ".join(f"(x{i} - 1/3)**2" for i in range(n))
    return _symbolic(_scaled(lam, f"sqrt({squares})"), n, lam, "cone")


def sum_of_sines(n: int, lam: float) -> LipschitzFunction:
    """λ/(2π√n) Σ sin 2πx_i; the gradient (λ/√n)(cos 2πx_i) has norm ≤ λ, attained at 0."""
    total = " + ".join(f"sin(2*pi*x{i})" for i in range(n))
    return _symbolic(_scaled(lam, f"({total})/(2*pi*sqrt({n}))"), n, lam, "sum_of_sines")


def max_affine(n: int, lam: float) -> LipschitzFunction:
    """λ·max of 8 affine pieces with gradients of norm 1 (rounded to 12 digits) and a fixed seed."""
    g = torch.Generator().manual_seed(7)
    slopes = torch.randn(8, n, dtype=torch.float64, generator=g)
    # a hair below 1, so that rounding the digits cannot push a norm above it
    slopes = slopes / slopes.norm(dim=1, keepdim=True) * (1 - 1e-11)
    offsets = -(slopes * torch.rand(8, n, dtype=torch.float64, generator=g)).sum(1)
    pieces = [
        " + ".join(f"({s:.12f})*x{i}" for i, s in enumerate(row)) + f" + ({c:.6f})"
        for row, c in zip(slopes.tolist(), offsets.tolist(), strict=True)
    ]
    return _symbolic(_scaled(lam, f"Max({', '.join(pieces)})"), n, lam, "max_affine")


def tent_product(n: int, lam: float) -> LipschitzFunction:
    """λ·min over axes of the tents 1/2 − |x_a − 1/2|; every piece has gradient ±e_a, so λ is exact."""
    tents = [f"1/2 - Abs(x{i} - 1/2)" for i in range(n)]
    text = tents[0] if n == 1 else f"Min({', '.join(tents)})"
    return _symbolic(_scaled(lam, text), n, lam, "tent_product")


def rotated_sine(n: int, lam: float) -> LipschitzFunction:
    """λ·sin(2π a·x)/(2π), a ∝ (1, …, n) a unit vector; λ is exact."""
    return _symbolic(_scaled(lam, f"sin(2*pi*{_unit(n)})/(2*pi)"), n, lam, "rotated_sine")


FRANKE = (
    "3/4*exp(-((9*x0 - 2)**2 + (9*x1 - 2)**2)/4) + 3/4*exp(-(9*x0 + 1)**2/49 - (9*x1 + 1)/10)"
    " + 1/2*exp(-((9*x0 - 7)**2 + (9*x1 - 3)**2)/4) - 1/5*exp(-(9*x0 - 4)**2 - (9*x1 - 7)**2)"
)
FRANKE_LAMBDA = 3.6


def franke(n: int, lam: float) -> LipschitzFunction:
    """λ/3.6 times Franke's function on [0,1]² (n = 2 only); 3.6 ≥ sup ‖∇‖₂ is certified by balls."""
    if n != 2:
        raise ValueError(f"`n` must be 2 for franke, got {n}")
    return _symbolic(f"{lam!r}*({FRANKE})/{FRANKE_LAMBDA}", n, lam, "franke")


# rounded up from 2√π(3 + 2√2) = 20.6617…
WEIERSTRASS_HOLDER = 20.67


def weierstrass(n: int, lam: float) -> LipschitzFunction:
    """λ/20.67 · Σ_{j<12} 2^{−j/2} cos(2π 2^j x_0), Hölder with α = 1/2 and constant λ.

    Each term moves by at most 2^{−j/2} min(2, 2π2^j t) = 2√(πt)·min(u^{1/2}, u^{−1/2}) with u = π2^j t. Summed
    over all integers j, with r = 2^{−1/2} and u the smallest value ≥ 1: √u·r/(1−r) + 1/(√u(1−r)), convex in
    log u and equal to 3 + 2√2 at both ends u = 1, 2; so the constant is 2√π(3 + 2√2) ≤ 20.67.
    """
    terms = " + ".join(f"cos({2 ** (j + 1)}*pi*x0)/sqrt({2**j})" for j in range(12))
    modulus = Modulus.holder(lam, 0.5)
    text = f"{lam!r}*({terms})/{WEIERSTRASS_HOLDER}"
    return LipschitzFunction._of_formula(text, n, None, None, modulus, "weierstrass", ModulusPremise.DERIVED)


def vector_rotation(n: int, lam: float) -> LipschitzFunction:
    """(λ/2π)(cos 2πa·x, sin 2πa·x), m = 2: a point turned on a circle; each output is λ-Lipschitz."""
    text = ", ".join(_scaled(lam, f"{c}(2*pi*{_unit(n)})/(2*pi)") for c in ("cos", "sin"))
    return _symbolic(text, n, lam, "vector_rotation")


def constant(n: int, lam: float) -> LipschitzFunction:
    """The constant 1/2 (λ is ignored: its Lipschitz constant is 0)."""
    return LipschitzFunction.from_sympy("1/2", n=n, name="constant")


TARGETS = {
    fn.__name__: fn
    for fn in (
        cone,
        sum_of_sines,
        max_affine,
        tent_product,
        rotated_sine,
        franke,
        weierstrass,
        vector_rotation,
        constant,
    )
}


def names() -> list[str]:
    """Names accepted by `get`."""
    return list(TARGETS)


def get(name: str, *, n: int = 2, lam: float = 1.0) -> LipschitzFunction:
    """The named target on [0,1]^n with constant `lam`; definitions and proofs are in the docstrings above."""
    require_choice("name", name, tuple(TARGETS))
    return TARGETS[name](require_int("n", n, 1, MAX_VARIABLES), float(require_positive("lam", lam)))
