"""The list of the dearest tests names tests that exist: a name that no longer does would mark nothing."""

import ast
from pathlib import Path

import pytest

from tests.dear import DEAR

TESTS = Path(__file__).parents[1]


@pytest.mark.parametrize("line", DEAR)
def test_the_test_exists(line):
    file, _, name = line.partition("::")
    defined = {n.name for n in ast.walk(ast.parse((TESTS / file).read_text())) if isinstance(n, ast.FunctionDef)}
    assert name.partition("[")[0] in defined


def test_they_are_sorted_and_no_test_of_a_file_is_left_without_one_that_stays():
    assert sorted(set(DEAR)) == DEAR
    for file in {line.partition("::")[0] for line in DEAR}:
        functions = {n.name for n in ast.walk(ast.parse((TESTS / file).read_text())) if isinstance(n, ast.FunctionDef)}
        whole = {line.partition("::")[2] for line in DEAR if line.startswith(file)}
        assert {name for name in functions if name.startswith("test_")} - whole, file
