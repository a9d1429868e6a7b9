"""Ball enclosures contain the truth, and the Lipschitz bounds bracket known constants."""

import math
from fractions import Fraction

import pytest
import torch
from flint import arb
from hypothesis import given
from hypothesis import strategies as st

from constructions import Box, ExpressionError, LipschitzFunction, ModulusViolation
from constructions.functions.symbolic.balls import enclose_gradients, enclose_values, norm_above
from constructions.functions.symbolic.gradient_bounds import lipschitz_bounds
from constructions.functions.symbolic.parser import parse
from constructions.functions.symbolic.roots import ball_of
from constructions.functions.symbolic.tape import compile_tape

FORMULAS = [
    "sin(3*x0)*x1 + cos(x0*x1)",
    "sqrt((x0 - 1/3)**2 + (x1 - 1/2)**2)",
    "Max(x0, x1, 1 - x0 - x1)",
    "abs(x0 - x1)*exp(-x0)",
    "Min(x0**2, x1)**3 + tanh(x0 - x1)",
    "Piecewise((x0**2, x0 < 1/2), (x0 - 1/4, True))*x1",
    "log(1 + x0 + x1**2)/(2 + sinh(x0)) + atan(5*x1)",
    "(1 + x0)**(-3/2)*cosh(x1) + tan(x0)",
]

coordinate = st.fractions(0, 1, max_denominator=1000)


@pytest.mark.law
@pytest.mark.parametrize("text", FORMULAS)
@given(a=coordinate, b=coordinate, side=st.fractions(0, Fraction(1, 3)), s=coordinate, t=coordinate)
def test_enclosures_contain_values_and_gradients(text, a, b, side, s, t):
    """Law: for every box and every point of it, the value and the gradient lie in the enclosure."""
    tape = compile_tape(parse(text, 2), 2)
    lo = [min(a, 1 - side), min(b, 1 - side)]
    box = [ball_of(v, v + side) for v in lo]
    inside = torch.tensor([[float(lo[0] + s * side), float(lo[1] + t * side)]], dtype=torch.float64).requires_grad_()
    value = tape(inside)
    wide = enclose_values(tape, box)[0] + arb(0, 1e-12)
    assert wide.contains(arb(float(value.detach())))
    (gradient,) = torch.autograd.grad(value.sum(), inside)
    if bool(torch.isfinite(gradient).all()):
        for directions in (True, False):
            bound = float(norm_above(enclose_gradients(tape, box, directions=directions)[0]))
            assert float(gradient.norm()) <= bound * (1 + 1e-9) + 1e-9


@pytest.mark.parametrize(
    ("text", "n", "constant"),
    [
        ("sin(2*pi*x0)*x1", 2, 2 * math.pi),
        ("sqrt((x0 - 1/3)**2 + (x1 - 1/4)**2 + (x2 - 1/2)**2)", 3, 1.0),
        ("sqrt(4*x0**2 + x1**2)", 2, 2.0),
        ("Max(x0/2, x1, x0/2 + x1/3)", 2, 1.0),
        ("Min(abs(x0 - 1/2), abs(x1 - 1/2), abs(x2 - 1/2))", 3, 1.0),
        ("Piecewise((x0, x0 < 1/2), (1 - x0, True))", 1, 1.0),
        ("x0**2", 1, 2.0),
        ("3*x0 - 4*x1", 2, 5.0),
        ("x0, 2*x1", 2, 2.0),
        ("7", 2, 0.0),
    ],
)
def test_bounds_bracket_known_constants(text, n, constant):
    bounds = lipschitz_bounds(compile_tape(parse(text, n), n), Box.of(None, n))
    assert bounds.lower <= constant * (1 + 1e-12)
    assert constant <= bounds.upper * (1 + 1e-12)
    assert bounds.upper <= 1.011 * constant


@pytest.mark.parametrize("text", ["sqrt(x0)", "1/x0", "tan(2*x0)", "log(x0)", "sqrt(x0 - 1/2)"])
def test_unbounded_gradients_are_refused_with_the_place(text):
    with pytest.raises(ExpressionError, match="no finite Lipschitz bound") as caught:
        LipschitzFunction.from_sympy(text, n=1)
    assert "box" in str(caught.value)


def test_declared_constant_is_raised_certified_or_refuted():
    f = LipschitzFunction.from_sympy("sin(x0)", n=1, lipschitz=1.0)
    assert f.premise == "certified"
    assert 1.0 <= f.lipschitz <= 1.0 + 1e-6
    assert LipschitzFunction.from_sympy("sin(x0)", n=1, lipschitz=3.0).lipschitz == 3.0
    with pytest.raises(ModulusViolation, match="refuted") as caught:
        LipschitzFunction.from_sympy("sin(2*pi*x0)*x1", n=2, lipschitz=0.9 * 2 * math.pi)
    x = torch.tensor([caught.value.first], dtype=torch.float64).requires_grad_()
    y = torch.sin(2 * math.pi * x[:, 0]) * x[:, 1]
    (gradient,) = torch.autograd.grad(y.sum(), x)
    assert float(gradient.norm()) > 0.9 * 2 * math.pi  # the witness re-checked by autograd
