"""The expression language: what it reads, and that it refuses the rest by naming the piece."""

import pytest
import sympy
import torch

from constructions import ExpressionError
from constructions.functions.symbolic.parser import as_text, parse, variables
from constructions.functions.symbolic.tape import compile_tape

x0, x1 = variables(2)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sin(2*pi*x0)*x1", sympy.sin(2 * sympy.pi * x0) * x1),
        ("0.1*x0", x0 / 10),
        ("-x0**2 + 3/4", sympy.Rational(3, 4) - x0**2),
        ("Abs(x0) + abs(x1)", sympy.Abs(x0) + sympy.Abs(x1)),
        ("sqrt(x0**2 + x1**2)", sympy.sqrt(x0**2 + x1**2)),
        ("exp(-x0)/(1 + x1**2)", sympy.exp(-x0) / (1 + x1**2)),
        ("E*x0", sympy.E * x0),
    ],
)
def test_reads_formulas(text, expected):
    assert sympy.simplify(parse(text, 2)[0] - expected) == 0


@pytest.mark.parametrize(
    ("text", "piece"),
    [
        ("__import__('os').system('true')", "__import__"),
        ("().__class__", "().__class__"),
        ("x0.real", "x0.real"),
        ("[x0 for x0 in x1]", "[x0 for x0 in x1]"),
        ("(lambda: x0)()", "lambda"),
        ("x0 if x0 else x1", "x0 if x0 else x1"),
        ("'x0'", "'x0'"),
        ("9**9**9", "9**9"),
        ("x0**x1", "x0**x1"),
        ("x0**1000", "x0**1000"),
        ("((10**60)**60)**60", "(10**60)**60"),
        ("floor(x0)", "floor"),
        ("sign(x0)", "sign"),
        ("Heaviside(x0)", "Heaviside"),
        ("Mod(x0, 2)", "Mod"),
        ("x0 % 2", "x0 % 2"),
        ("x7", "x7"),
        ("1/0", "1/0"),
        ("log(-1)", "log(-1)"),
        ("sin(x0, x1)", "sin(x0, x1)"),
        ("sin(x=x0)", "sin(x=x0)"),
        ("Piecewise((1, x0 < x1), (1, True))", "x0 < x1"),
        ("Piecewise((x0, x0 < 1))", "Piecewise"),
        ("True", "True"),
        ("1j", "1j"),
    ],
)
def test_refuses_and_names_the_piece(text, piece):
    with pytest.raises(ExpressionError, match="`expression`") as caught:
        parse(text, 2)
    assert piece in str(caught.value)


def test_reads_deep_but_legal_nesting():
    assert parse("sin(" * 90 + "x0" + ")" * 90, 1)


@pytest.mark.parametrize("text", ["", "   ", "x0 +", "(" * 500 + "x0" + ")" * 500, "x0" * 20_000])
def test_refuses_text_that_is_no_formula_or_too_large(text):
    with pytest.raises(ExpressionError, match="`expression`"):
        parse(text, 1)


def test_parsing_runs_no_code(tmp_path):
    target = tmp_path / "created"
    with pytest.raises(ExpressionError):
        parse(f"open('{target}', 'w')", 1)
    assert not target.exists()


@pytest.mark.parametrize(
    "text", ["Max(x0, x1, 1/3)", "Piecewise((x0, x0 < 1/2), (1 - x0, True)), x1", "sqrt(2)*tanh(x0)"]
)
def test_text_of_an_expression_is_read_back(text):
    outputs = parse(text, 2)
    assert parse(as_text(outputs), 2) == outputs


POINTS = torch.tensor([[0.1, 0.7], [0.5, 0.5], [0.9, 0.2]], dtype=torch.float64)


@pytest.mark.parametrize(
    "text",
    [
        "sin(1)*x0",
        "Max(x0, 0)",
        "Min(x0, x1, 0.3)",
        "tan(x0) + atan(x1) + sinh(x0) + cosh(x1) + tanh(x0*x1)",
        "x0**(3/2) + x0**-1 + (1 + x1)**(-1/3)",
        "sqrt(2*x0**2 + (x1 - 1)**4 + 3)",
        "log(1 + x0)*exp(x1) + pi*E",
        "abs(x0 - 1/2)",
    ],
)
def test_tape_agrees_with_sympy_substitution(text):
    """Independent truth: sympy's own arbitrary-precision evaluation."""
    (expr,) = parse(text, 2)
    values = compile_tape([expr], 2)(POINTS)[:, 0]
    for row, value in zip(POINTS.tolist(), values.tolist(), strict=True):
        truth = expr.subs({s: sympy.Float(v, 30) for s, v in zip(variables(2), row, strict=True)}).evalf(30)
        assert abs(float(truth) - value) <= 4e-16 * (1 + abs(value))


def test_piecewise_reads_both_directions_and_takes_the_right_branch():
    up = compile_tape(parse("Piecewise((x0, x0 < 1/2), (1 - x0, x0 < 3/4), (x0 - 1/2, True))", 1), 1)
    down = compile_tape(parse("Piecewise((x0 - 1/2, x0 > 3/4), (1 - x0, x0 > 1/2), (x0, True))", 1), 1)
    x = torch.linspace(0, 1, 101, dtype=torch.float64)[:, None]
    expected = torch.where(x < 0.5, x, torch.where(x < 0.75, 1 - x, x - 0.5))
    assert torch.allclose(up(x), expected, atol=1e-15)
    assert torch.allclose(down(x), expected, atol=1e-15)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Piecewise((0, x0 < 1/2), (1, True))", "not shown continuous at x0 = 1/2"),
        ("Piecewise((x1, x0 < 1/2), (x1 + x0, True))", "differ there"),
        ("Piecewise((0, x0 < 1/2), (x1 - 1/2, x1 < 1/2), (0, True))", "one variable"),
        ("Piecewise((0, x0 < 1/2), (x0, x0 > 3/4), (1, True))", "one variable in one direction"),
        ("Piecewise((0, x0 < 3/4), (x0, x0 < 1/2), (1, True))", "in order"),
    ],
)
def test_piecewise_refuses_jumps_and_mixed_conditions(text, reason):
    with pytest.raises(ExpressionError, match="`expression`") as caught:
        compile_tape(parse(text, 2), 2)
    assert reason in str(caught.value)
