"""The ten steps of CONTRIBUTING.md work: its claim and its test are run as they are printed."""

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
import types
from pathlib import Path

import pytest

from theory.systems import REGISTRY

ROOT = Path(__file__).parent.parent.parent
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


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


def edited(source):
    """`source` with the additions of step 5 made literally; every line that it quotes must be there, once."""
    step = TEXT.split("\n5. **")[1].split("\n6. **")[0]
    hunks = [textwrap.dedent(b).splitlines() for b in re.findall(r"```diff\n(.*?)```", step, flags=re.DOTALL)]
    assert len(hunks) == 2
    for lines in hunks:
        # inside a code block of the page, the first column is that of the diff
        assert {line[0] for line in lines} == {" ", "+"}
        before = "\n".join(line[1:] for line in lines if line[0] == " ")
        assert source.count(before) == 1
        source = source.replace(before, "\n".join(line[1:] for line in lines))
    return source


def test_step_5_registers_the_new_system_and_loses_none(tmp_path):
    """The packages are copied, the edit is made as it is printed, and a fresh process counts the claims."""
    shutil.copytree(ROOT / "theory", tmp_path / "theory", ignore=shutil.ignore_patterns("__pycache__"))
    claims = tmp_path / "theory" / "claims"
    source = (claims / "__init__.py").read_text(encoding="utf-8")
    (claims / "__init__.py").write_text(edited(source), encoding="utf-8")
    (claims / "midpoint.py").write_text(printed_modules()[0], encoding="utf-8")
    code = (
        "import json, theory.claims as c; from theory.systems import REGISTRY; "
        "print(json.dumps([c.__file__, c.__all__, list(REGISTRY)]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])},
        capture_output=True,
        text=True,
        check=True,
    )
    file, systems, found = json.loads(done.stdout)
    assert Path(file).parent == claims.resolve()
    assert systems == sorted(systems)
    assert set(systems) == {*theory.claims.__all__, "midpoint"}
    assert set(found) == {c.id for c in REGISTRY.values() if c.system in theory.claims.__all__} | {"midpoint.value"}


def test_there_are_ten_steps():
    assert re.findall(r"^(\d+)\. \*\*", TEXT, flags=re.MULTILINE) == [str(i) for i in range(1, 11)]
