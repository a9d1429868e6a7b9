"""The rounding of formulas: bounds that hold wherever they are tried, and do not outgrow what they bound by much."""

import math

import pytest
import torch

from constructions import LipschitzFunction, targets
from constructions.functions.box import Box
from constructions.functions.symbolic.parser import parse
from constructions.functions.symbolic.tape import compile_tape
from theory.checkers.uniform_error.formula_rounding import formula_rounding
from theory.checkers.uniform_error.target_values import observed_rounding


def bound_and_observed(text, n, domain=None, near=()):
    tape, box = compile_tape(parse(text, n), n), Box.of(domain, n)
    x = torch.cat([box.sample(300, torch.Generator().manual_seed(1)), *(torch.tensor([p]).double() for p in near)])
    return formula_rounding(tape, box), observed_rounding(tape, x)


@pytest.mark.parametrize("name", targets.names())
@pytest.mark.parametrize("n", [1, 2, 3])
def test_library_targets(name, n):
    f = targets.get(name, n=2 if name == "franke" else n)
    bound, seen = formula_rounding(f.tape, f.domain), observed_rounding(f.tape, f.domain.sample(200, torch.Generator()))
    assert seen <= bound <= 1e-12


FORMULAS = {
    "sin(200*x0)*exp(3*x0)": None,
    "log(x0 + 1/100)": None,
    "1/(x0 + 1/1000)": None,
    "sqrt(x0 + 1/10)": None,
    "(x0 + 1/2)**(7/3)": None,
    "x0**64": None,
    "tan(x0)": None,
    "sinh(5*x0) - cosh(3*x0)": None,
    "tanh(10*x0) + atan(x0*7)": None,
    "Abs(x0 - 1/3)": None,
    "Max(x0, 1/3, 1 - x0)": None,
    "Piecewise((x0, x0 < 1/3), (1/3, True))": None,
    "sqrt((x0 - 1/3)**2 + x0**4)": None,
    "x0 + 1000000": (-1000.0, 1000.0),
}


@pytest.mark.parametrize("text", FORMULAS)
def test_every_operation(text):
    bound, seen = bound_and_observed(text, 1, FORMULAS[text], near=[[0.0], [1 / 3], [1.0], [math.nextafter(1 / 3, 1)]])
    assert seen <= bound
    assert bound <= 1e4 * max(seen, 2.0**-53)


def test_a_loss_of_digits_in_a_corner_is_not_missed():
    """√(t² + 1) − t, t up to 10⁸ on a ten-thousandth of the domain: a sample of points sees nothing of it."""
    t = "10**12*Max(0, x0 - 9999/10000)"
    text = f"sqrt(({t})**2 + 1) - {t}"
    sampled = observed_rounding(compile_tape(parse(text, 1), 1), torch.linspace(0, 0.999, 128).double()[:, None])
    bound, seen = bound_and_observed(text, 1, near=[[k] for k in torch.linspace(0.99991, 1, 50).tolist()])
    assert sampled == 0.0
    assert 1e-9 < seen <= bound


@pytest.mark.parametrize("text", ["1/x0", "log(x0)", "x0**(-1/2)"])
def test_what_has_no_bound_says_so(text):
    assert formula_rounding(compile_tape(parse(text, 1), 1), Box.of(None, 1)) == math.inf


def test_a_root_at_its_branch_point_is_bounded():
    bound, seen = bound_and_observed("sqrt(x0*(x0 + 1))", 1, near=[[0.0], [1e-300]])
    assert seen <= bound <= 1e-6


def test_the_certificates_slack_is_the_proved_one():
    f = LipschitzFunction.from_sympy("sin(3*x0)", n=1)
    assert formula_rounding(f.tape, f.domain) < 20 * math.ulp(1.0)
