"""The ten steps of CONTRIBUTING.md work: its claim and its test are run as they are printed."""

import re
import sys
import textwrap
import types
from pathlib import Path

import pytest

from theory.claim import REGISTRY

TEXT = (Path(__file__).parent.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")


def printed_modules():
    blocks = [textwrap.dedent(b) for b in re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)]
    assert len(blocks) == 2
    return blocks


@pytest.fixture
def example(monkeypatch):
    claim_source, test_source = printed_modules()
    for name, source in (("theory.claims.midpoint", claim_source), ("test_midpoint", test_source)):
        module = types.ModuleType(name)
        monkeypatch.setitem(sys.modules, name, module)
        exec(compile(source, name, "exec"), module.__dict__)
    yield sys.modules["test_midpoint"]
    REGISTRY.pop("midpoint.value", None)


def test_the_printed_claim_and_its_tests_pass(example, monkeypatch):
    example.test_as_expected()
    example.test_negative_control_one_cell_and_one_knot(monkeypatch)


def test_there_are_ten_steps():
    assert re.findall(r"^(\d+)\. \*\*", TEXT, flags=re.MULTILINE) == [str(i) for i in range(1, 11)]
