"""Imports run one way: constructions/ never knows theory/."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def imported(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def files(package):
    return sorted((ROOT / package).rglob("*.py"))


def wrong_imports(paths, forbidden):
    return [
        (str(p), name)
        for p in paths
        for name in imported(p)
        if any(name == f or name.startswith(f + ".") for f in forbidden)
    ]


def test_constructions_never_imports_theory():
    assert files("constructions")
    assert wrong_imports(files("constructions"), ["theory", "tests", "benchmarks"]) == []


@pytest.mark.parametrize(
    ("lower", "uppers"),
    [
        ("theory/claim.py", ["theory.checkers", "theory.claims", "theory.report", "theory.cli", "constructions"]),
        ("theory/exact.py", ["theory.checkers", "theory.claims", "theory.report", "theory.cli"]),
        ("theory/rates.py", ["theory.checkers", "theory.claims", "theory.report", "theory.cli"]),
        ("theory/checkers", ["theory.claims", "theory.report", "theory.cli", "theory.verify"]),
        ("theory/claims", ["theory.report", "theory.cli", "theory.verify"]),
    ],
)
def test_rooms_of_theory_are_stacked(lower, uppers):
    path = ROOT / lower
    paths = [path] if path.is_file() else sorted(path.rglob("*.py"))
    assert paths
    assert wrong_imports(paths, uppers) == []


def test_the_check_itself_can_fail(tmp_path):
    bad = tmp_path / "bad.py"
    bad.write_text("from theory.claim import Claim\n")
    assert wrong_imports([bad], ["theory"]) == [(str(bad), "theory.claim")]


def test_forbidden_calls_are_absent():
    """torch.cdist disagrees with the exact argmin on cell faces; pickles are not opened."""
    for path in [*files("constructions"), *files("theory")]:
        text = path.read_text(encoding="utf-8")
        assert "torch.cdist(" not in text, path
        assert "torch.load(" not in text, path
        assert "lambdify(" not in text, path
