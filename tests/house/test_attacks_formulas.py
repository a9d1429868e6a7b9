"""Attacks on formulas: what is read, what is refused, and what may be called certified."""

import math
import time
from fractions import Fraction

import pytest
import sympy
import torch

from constructions import ExpressionError, LipschitzFunction
from constructions.functions.symbolic.constants import float_above
from constructions.functions.symbolic.parser import as_text, parse, variables
from constructions.functions.symbolic.tape import compile_tape
from theory.checkers.lipschitz_constant import lipschitz_constant_le
from theory.claim import Status

x0, x1 = variables(2)


# --- numbers are read from the text, exactly ---


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.1", Fraction(1, 10)),
        ("1_000.5_0", Fraction(2001, 2)),
        (".5", Fraction(1, 2)),
        ("5.", Fraction(5)),
        ("1e5", Fraction(10**5)),
        ("2.5E-3", Fraction(1, 400)),
        ("0x10", Fraction(16)),
        ("0b11", Fraction(3)),
        ("1_000", Fraction(1000)),
        ("0.123456789012345678901234567890", Fraction(123456789012345678901234567890, 10**30)),
        ("9007199254740993.0", Fraction(2**53 + 1)),
        ("1e-400", Fraction(1, 10**400)),
        ("1e400", Fraction(10**400)),
        ("Rational(1, 3)", Fraction(1, 3)),
        ("Rational(-1, 3)", Fraction(-1, 3)),
        ("Rational(7)", Fraction(7)),
        ("Integer(3)", Fraction(3)),
        ("Float(0.1)", Fraction(1, 10)),
        ("S(1)/3", Fraction(1, 3)),
    ],
)
def test_numbers_are_exact(text, value):
    (number,) = parse(text, 1)
    assert isinstance(number, sympy.Rational)
    assert Fraction(int(number.p), int(number.q)) == value


def test_constants_as_people_write_them():
    assert parse("pi*x0 + E*sqrt(2) + exp(1)", 1)[0] == sympy.pi * x0 + sympy.E * sympy.sqrt(2) + sympy.E


@pytest.mark.parametrize("text", ["1e-200*(1e200*x0)", "1e-400*(1e400*x0)", "(1e400*x0)/1e400"])
def test_factors_beyond_a_float_may_cancel(text):
    assert parse(text, 1) == (x0,)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1e-400*x0", "too close to 0 for float64"),
        ("1e-310*x0", "too close to 0 for float64"),
        ("exp(-800)*x0", "too close to 0 for float64"),
        ("1e400*x0", "beyond the largest float64"),
        ("exp(710)*x0", "beyond the largest float64"),
        ("exp(exp(exp(exp(10))))*x0", "beyond the largest float64"),
        ("Abs(exp(exp(exp(10))) - exp(2))*x0", "beyond the largest float64"),
        ("1e999999999*x0", "more than 1200 digits"),
        ("1e-999999999*x0", "more than 1200 digits"),
        ("1e1201*x0", "more than 1200 digits"),
        ("0x" + "f" * 1100 + "*x0", "4400 bits"),
        ("sqrt(sin(4))*x0", "constant"),
        ("Rational(1, 0)*x0", "division by zero"),
        ("Rational(0.5, 1)", "integers"),
        ("Rational(x0, 3)", "integers"),
        ("Rational(1, 2, 3)", "integers"),
        ("Rational('1/3')", "'1/3'"),
        ("Integer(1/2)", "integers"),
        ("Float(x0)", "one number"),
        ("S('x0')", "'x0'"),
        ("0.1.real", "Attribute"),
        ("1j*x0", "only integers and decimals"),
        ("x01", "unknown name"),
        ("x-1", "unknown name"),
        ("x99999999999999999999", "unknown name"),
        ("Piecewise((x0, x0 < 1e400), (x0 + 1, True))", "range of float64"),
    ],
)
def test_numbers_that_no_float_holds_are_refused(text, reason):
    with pytest.raises(ExpressionError, match="`expression`") as caught:
        compile_tape(parse(text, 1), 1)
    assert reason in str(caught.value)
    assert len(str(caught.value)) < 400


# --- limits: stated, and met within a second ---


@pytest.mark.parametrize(
    ("text", "n", "reason"),
    [
        ("x0," * 5000, 1, "1 to 64 outputs, got 5000"),
        ("x0", 10**7, "between 1 and 1024, got 10000000"),
        ("x0", 10**12, "between 1 and 1024"),
        ("Max(" + ",".join(f"x0*{i}" for i in range(2500)) + ")", 1, "2500 arguments (at most 256)"),
        ("Min(" + ",".join("x0" for _ in range(257)) + ")", 1, "at most 256"),
        ("((x0**64)**64)**64", 1, "limited to ±64"),
        ("x0**64*x0**3", 1, "limited to ±64"),
        ("*".join(["(1+x0)"] * 150), 1, "limited to ±64"),
        ("+".join(f"x{i}" for i in range(1000)), 1000, "limited to 50000"),
        ("x0" * 20_000, 1, "1 to 20000 characters"),
        ("+".join(["x0"] * 6000), 1, "`expression`"),
        ("-" * 5000 + "x0", 1, "`expression`"),
        ("(" * 1000 + "x0" + ")" * 1000, 1, "`expression`"),
    ],
)
def test_limits_are_stated_and_quick(text, n, reason):
    started = time.process_time()
    with pytest.raises(ValueError, match=r"`(expression|n)`") as caught:
        LipschitzFunction.from_sympy(text, n=n)
    assert reason in str(caught.value)
    assert time.process_time() - started < 2


def test_long_sums_and_products_are_read():
    text = " + ".join(f"x{i % 3}/{i + 1}" for i in range(400))
    (expr,) = parse(text, 3)
    assert expr.coeff(variables(3)[2]) == sum(sympy.Rational(1, i + 1) for i in range(2, 400, 3))
    assert parse("x0" + "*x0/x0" * 150, 1) == (x0,)
    with pytest.raises(ExpressionError, match="division by zero"):
        parse("x0" + "/(1-1)" * 150, 1)


# --- what is written reads back ---


@pytest.mark.parametrize(
    "expr",
    [
        sympy.Float(0.1) * x0,
        sympy.Float("0.12345678901234567890123", 25) * x0,
        x0**2.0 + sympy.Float(2.5),
        sympy.Rational(-1, 3) * x0 ** sympy.Rational(4, 3),
        x0 ** sympy.Rational(-5, 7),
        sympy.Piecewise((x0, x0 < sympy.Rational(1, 3)), (sympy.Rational(2, 3) - x0, True)),
        sympy.Max(x0, x1, -sympy.pi),
        sympy.Min(x0, sympy.sqrt(2) / 3, sympy.E),
        sympy.Abs(x0 - sympy.Float(1e-20)),
        sympy.exp(-(x0**2)) / (1 + x1**2),
        -sympy.pi * x0 / 7 - sympy.sqrt(3),
        sympy.tanh(x0 * x1) ** 3 - sympy.atan(x1),
        sympy.log(2 + x0) * sympy.cosh(x1) + sympy.sinh(x0),
        sympy.sqrt(x0**2 + x1**2),
        sympy.Symbol("x0") + sympy.Symbol("x1", positive=True),
    ],
)
def test_text_of_sympy_expressions_reads_back(expr):
    text = as_text((expr,))
    (again,) = parse(text, 2)
    assert as_text((again,)) == text
    point = {"x0": sympy.Rational(3, 7), "x1": sympy.Rational(5, 11)}
    values = [e.subs({s: point[s.name] for s in e.free_symbols}).evalf(30) for e in (expr, again)]
    assert abs(values[0] - values[1]) < sympy.Float("1e-16")


def test_floats_are_not_printed_to_fifteen_digits():
    assert as_text((sympy.Float(0.1) * x0,)) == "x0/10"
    wide = sympy.Float("0.1234567890123456789", 22)
    (number,) = parse(as_text((wide * x0,)), 1)[0].atoms(sympy.Rational) - {sympy.Integer(1)}
    assert abs(number - sympy.Rational("0.1234567890123456789")) < sympy.Rational(1, 10**21)


@pytest.mark.parametrize("value", [sympy.oo, sympy.nan, sympy.zoo, sympy.I, sympy.Float("inf"), sympy.Float("nan")])
def test_what_is_no_number_is_refused(value):
    with pytest.raises(ExpressionError, match="`expression`"):
        LipschitzFunction.from_sympy(value * x0 + x1, n=2)


# --- certified only where the formula is defined, and real ---

SYMMETRIC, UNIT = (-1, 1), (0, 1)


@pytest.mark.parametrize(
    ("text", "domain"),
    [
        ("x0**(4/3)", SYMMETRIC),
        ("x0**(1/3)", SYMMETRIC),
        ("sqrt(x0)", SYMMETRIC),
        ("log(x0)", SYMMETRIC),
        ("1/x0", SYMMETRIC),
        ("x0**(-2)", SYMMETRIC),
        ("sqrt(x0 - 1/2)", UNIT),
        ("tan(x0)", (0, 3)),
        ("atan(1/x0)", SYMMETRIC),
        ("log(x0 + 1)", SYMMETRIC),
        ("Max(x0**(4/3), 0)", SYMMETRIC),
        ("Min(x0**(4/3), -5)", SYMMETRIC),
        ("abs(x0**(4/3))", SYMMETRIC),
        ("tanh(x0**(4/3))", SYMMETRIC),
        ("0.001*x0**(4/3) + x0", SYMMETRIC),
        ("(x0**3)**(4/3)", SYMMETRIC),
        ("Max(1/x0, 3)", SYMMETRIC),
        ("Min(1, 1/x0)", UNIT),
        ("exp(-1/x0**2)", SYMMETRIC),
        ("log(x0)**2", SYMMETRIC),
        ("Piecewise((x0**(4/3), x0 < 0), (x0, True))", SYMMETRIC),
        ("Piecewise((x0, x0 < 0), ((x0 - 1/2)**(4/3), x0 < 1/2), (0*x0, True))", SYMMETRIC),
        ("(x0 - 1e-18)**(3/2)", UNIT),  # negative on a sliver that no ball of ordinary size sees
        ("((x0 - 1/3)**2 - 1e-20)**(3/2)", UNIT),
        ("(x0 - 0.3)**(3/2)", (0.3, 1)),  # the float 0.3 lies left of 3/10
    ],
)
def test_undefined_somewhere_is_never_certified(text, domain):
    with pytest.raises(ExpressionError, match="`expression`"):
        LipschitzFunction.from_sympy(text, n=1, domain=domain)
    with pytest.raises(ExpressionError, match="`expression`"):
        LipschitzFunction.from_sympy(text, n=1, domain=domain, lipschitz=1e200)


@pytest.mark.parametrize("text", ["x0**(4/3)", "Max(x0**(4/3), 0)", "(x0 + 1 - 1e-17)**(3/2)"])
def test_the_checker_does_not_certify_an_undefined_formula(text):
    assert lipschitz_constant_le(text, 10.0, n=1, domain=SYMMETRIC).status is Status.INCONCLUSIVE


@pytest.mark.parametrize(
    ("text", "domain", "slope"),
    [
        ("x0**(4/3)", UNIT, 4 / 3),
        ("x0**(3/2)", (0, 0.7), 1.5 * math.sqrt(0.7)),
        ("(x0 - 0.1)**(3/2)", (0.1, 1), 1.5 * math.sqrt(0.9)),
        ("(x0**2)**(2/3)", SYMMETRIC, 4 / 3),
        ("(x0**2)**(1/2)", SYMMETRIC, 1.0),
        ("Max(0, x0)**(4/3)", SYMMETRIC, 4 / 3),
        ("sin(x0)**(3/2)", UNIT, 1.5 * math.sqrt(2 / 3) * 3**-0.25),
        ("(1/3 - x0/3)**(3/2)", UNIT, math.sqrt(3) / 6),
        ("(exp(x0) - 1)**(3/2)", UNIT, 1.5 * math.e * math.sqrt(math.e - 1)),
        ("cosh(x0)**(3/2)", SYMMETRIC, 1.5 * math.sinh(1) * math.sqrt(math.cosh(1))),
        ("Piecewise((1, x0 < 1/3), (1 + (x0 - 1/3)**(3/2), True))", UNIT, 1.5 * math.sqrt(2 / 3)),
        ("Piecewise((0, x0 < 0), (x0**(4/3), True))", SYMMETRIC, 4 / 3),
        ("Piecewise((-x0 - 1, x0 < -1/2), (log(x0 + 3/2) - 1/2, True))", SYMMETRIC, 1.0),
        ("atan(5*x0)", SYMMETRIC, 5.0),
    ],
)
def test_defined_roots_keep_their_certificate(text, domain, slope):
    f = LipschitzFunction.from_sympy(text, n=1, domain=domain)
    assert f.premise == "certified"
    assert slope * (1 - 1e-9) <= f.lipschitz <= slope * 1.03
    assert bool(torch.isfinite(f(f.domain.sample(1000, torch.Generator().manual_seed(0)))).all())


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("sqrt(x0)**2", x0),
        ("exp(log(x0))", x0),
        ("x0/x0", sympy.Integer(1)),
        ("x0**0", sympy.Integer(1)),
        ("sqrt(x0**2)", sympy.Abs(x0)),
        ("0*log(x0)", sympy.Integer(0)),
    ],
)
def test_a_formula_means_its_simplification_everywhere(text, meaning):
    """What torch evaluates, what is certified and what is stored are one function: the simplified one."""
    f = LipschitzFunction.from_sympy(text, n=1, domain=SYMMETRIC)
    g = LipschitzFunction.from_sympy(meaning, n=1, domain=SYMMETRIC)
    x = f.domain.sample(100, torch.Generator().manual_seed(0))
    assert torch.equal(f(x), g(x))
    assert f.lipschitz == g.lipschitz


def test_a_cut_between_two_floats_takes_the_exact_branch():
    """1/3 is above its float: that float belongs left of the cut, where the right branch has no real value."""
    tape = compile_tape(parse("Piecewise((0*x0, x0 < 1/3), ((x0 - 1/3)**(3/2), True))", 1), 1)
    x = torch.tensor([[1 / 3], [float_above(Fraction(1, 3))]], dtype=torch.float64)
    assert tape(x)[0].item() == 0.0
    assert bool(torch.isfinite(tape(x)).all())


@pytest.mark.parametrize(
    "text",
    [
        "Piecewise(((1 + x0 + x1)**64, x0 < 1/2), ((1 + x0 + x1)**64 + sin(x1), True))",
        "Piecewise((" + "*".join(f"(x1 + {i})" for i in range(30)) + ", x0 < 1/2), (x1, True))",
        "Piecewise((x1, x0 < 1/2), (x1 + 1e-30, True))",
        "Piecewise((x1, x0 < 1/2), (1/(x0 - 1/2), True))",
        "Piecewise((x1, x0 < 1/2), (x1, x0 > 3/4), (x1 + 1, True))",
    ],
)
def test_jumps_are_found_quickly(text):
    started = time.process_time()
    with pytest.raises(ExpressionError, match="`expression`"):
        compile_tape(parse(text, 2), 2)
    assert time.process_time() - started < 2
