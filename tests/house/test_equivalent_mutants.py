"""The table of mutants that are argued equivalent speaks of lines that exist."""

import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROWS = tomllib.loads((ROOT / "tests" / "equivalent_mutants.toml").read_text(encoding="utf-8"))["mutant"]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{Path(row['file']).name}: {row['line'][:40]}")
def test_the_line_is_there(row):
    lines = (ROOT / row["file"]).read_text(encoding="utf-8").splitlines()
    assert row["line"] in [line.strip() for line in lines]
    assert row["changes"]
    assert len(row["why"]) > 10
