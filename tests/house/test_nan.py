"""NaN fails every comparison: no gate of a claim or a checker is a bare `>` or `<` that a NaN walks through."""

import ast
from pathlib import Path

import pytest

from theory.systems import NAMES

ROOT = Path(__file__).parent.parent.parent
GATES = ("undecided", "INCONCLUSIVE", "failure", "Report", "Premise", "_failed", "refuse")
# integers on both sides, or a comparison that only chooses how to go on
INTEGERS = {
    "total > MAX_LEAVES", "k > MAX_POINTS", "digits > MAX_DIGITS", "len(lower) > MAX_FOREIGN_LEAVES", "length > cap",
}  # fmt: skip


def bare_gates(path):
    """(line, test) of every `if a > b: return <failure>` whose test is one comparison of order."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and len(node.body) == 1 and isinstance(node.body[0], ast.Return):
            answer = ast.unparse(node.body[0])
            tests = node.test.values if isinstance(node.test, ast.BoolOp) else [node.test]
            for test in tests:
                # in `a > 1 and not …` the last part decides, the others only say for whom
                if isinstance(node.test, ast.BoolOp) and isinstance(node.test.op, ast.And) and test is not tests[-1]:
                    continue
                order = isinstance(test, ast.Compare) and isinstance(test.ops[0], (ast.Gt, ast.GtE, ast.Lt, ast.LtE))
                if order and any(word in answer for word in GATES) and ast.unparse(test) not in INTEGERS:
                    yield node.lineno, ast.unparse(test)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "ensure" and node.args:
            yield from ((node.lineno, text) for text in _negated_orders(node.args[0]))


def _negated_orders(holds):
    """Every `not a > b` in what is ensured."""
    for node in ast.walk(holds):
        compared = node.operand if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not) else None
        if isinstance(compared, ast.Compare) and isinstance(compared.ops[0], (ast.Gt, ast.GtE, ast.Lt, ast.LtE)):
            yield ast.unparse(node)


FILES = sorted(
    path
    for part in ("reproductions", "checkers")
    for path in [*(ROOT / "theory").rglob(f"{part}/**/*.py"), *(ROOT / "theory").rglob(f"{part}.py")]
)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_gate_lets_nan_through(path):
    assert list(bare_gates(path)) == []


def test_every_system_is_read():
    rooms = {path.relative_to(ROOT / "theory").parts[0] for path in FILES}
    assert rooms == {"checkers", *NAMES}


def test_the_reader_finds_one(tmp_path):
    bad = tmp_path / "bad.py"
    bad.write_text("def f(x):\n    if x > 1 or x < 0:\n        return undecided('x')\n    return None\n")
    assert list(bare_gates(bad)) == [(2, "x > 1"), (2, "x < 0")]
    bad.write_text("def f(x):\n    if not x <= 1:\n        return undecided('x')\n    return None\n")
    assert list(bare_gates(bad)) == []
    bad.write_text("def f(x):\n    ensure(not x > 1 and x < 3, 'x')\n    ensure(x <= 1, 'x')\n")
    assert list(bare_gates(bad)) == [(2, "not x > 1")]
