"""`import momlp`: at once, without torch, with everything that the rooms export; type-checkers see the same."""

import ast
import importlib
import json
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest

import constructions
import momlp
import theory
from theory.claim import Status
from theory.verification import verify

ROOT = Path(__file__).parents[2]
ROOMS = [importlib.import_module(name) for name in momlp._ROOMS]


def python(code):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)


def test_it_exports_what_the_rooms_export():
    assert ROOMS[:2] == [constructions, theory]
    exported = [name for room in ROOMS for name in room.__all__]
    assert sorted([*exported, "__version__"]) == momlp.__all__ == dir(momlp)
    assert len(set(exported)) == len(exported)  # no name that two rooms understand differently
    for room in ROOMS:
        for name in room.__all__:
            assert getattr(momlp, name) is getattr(room, name)
    assert {"LipschitzFunction", "build_momlp", "certify_uniform_error", "REGISTRY", "verify"} <= set(momlp.__all__)


def test_other_names_are_refused():
    for name in ("nothing", "_room", "__wrapped__"):
        with pytest.raises(AttributeError, match=f"module 'momlp' has no attribute '{name}'"):
            getattr(momlp, name)
    with pytest.raises(ImportError):
        exec("from momlp import nothing")


def test_importing_it_imports_next_to_nothing():
    """Nothing heavy, and none of the rooms' modules but two: so it takes no time that one would notice."""
    said = python("import sys; before = set(sys.modules); import momlp; print(*sorted(set(sys.modules) - before))")
    names = said.stdout.split()
    assert [name for name in names if name.partition(".")[0] in ("constructions", "theory", "momlp")] == [
        "constructions",
        "constructions.version",
        "momlp",
    ]
    assert not {"torch", "numpy", "scipy", "sympy", "rich", "theory"} & {name.partition(".")[0] for name in names}


def test_looking_for_names_needs_no_torch():
    code = "import momlp, sys; dir(momlp); momlp.REGISTRY['momlp.sharpness']; from momlp import *; print(Status.PROVED)"
    assert "Status.PROVED" in python(code).stdout
    quiet = "import momlp, sys; dir(momlp); len(momlp.REGISTRY); print('torch' in sys.modules, 'numpy' in sys.modules)"
    assert python(quiet).stdout == "False False\n"


def test_the_stub_says_the_same():
    """A star for every room that type-checkers expand by its `__all__`, or the names one by one."""
    stub, named = ast.parse((ROOT / "momlp" / "__init__.pyi").read_text(encoding="utf-8")), set()
    for node in stub.body:
        assert isinstance(node, ast.ImportFrom)
        for alias in node.names:
            if alias.name == "*":
                named |= set(importlib.import_module(node.module).__all__)
            else:
                assert alias.asname == alias.name  # or it is not exported
                named.add(alias.name)
    assert sorted(named) == momlp.__all__


def test_packages_are_typed():
    for name in ("constructions", "theory", "momlp"):
        assert (ROOT / name / "py.typed").read_bytes() == b""


@pytest.mark.slow
def test_a_type_checker_sees_the_names(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import momlp\nreveal_type(momlp.build_momlp)\nreveal_type(momlp.verify('momlp').as_expected)\n"
        "reveal_type(momlp.REGISTRY)\nreveal_type(momlp.__version__)\nmomlp.nothing\n"
    )
    line = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, str(script)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(line, capture_output=True, text=True, env=environment, cwd=ROOT, check=False)
    said = [(d["severity"], d["message"]) for d in json.loads(done.stdout)["generalDiagnostics"]]
    types = [message.partition(" is ")[2] for kind, message in said if kind == "information"]
    assert re.match(r'"\(f: LipschitzFunction', types[0]), said
    assert types[1:] == ['"bool"', '"Mapping[str, Claim]"', '"str"']
    errors = [message for kind, message in said if kind == "error"]
    assert len(errors) == 1
    assert '"nothing" is not a known attribute of module "momlp"' in errors[0]


def test_objects_pickle_under_their_rooms():
    assert pickle.loads(pickle.dumps(momlp.build_momlp)) is constructions.build_momlp


def test_the_version_is_said_once():
    said = re.findall(r'^__version__ = "(.*)"$', (ROOT / "constructions" / "version.py").read_text(), re.MULTILINE)
    assert said == [momlp.__version__]
    for file in ("constructions", "theory", "momlp"):
        for path in (ROOT / file).rglob("*.py"):
            if path.name != "version.py":
                assert f'"{momlp.__version__}"' not in path.read_text(encoding="utf-8"), path
    assert f"\nversion: {momlp.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert not re.search(r"^version = ", (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)


def test_the_module_is_the_command():
    line = [sys.executable, "-m", "momlp", "--version"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(line, capture_output=True, text=True, check=True, env=environment)
    assert done.stdout == f"momlp {momlp.__version__}\n"


def test_verify_from_python():
    said = []
    found = momlp.verify("momlp.sharpness", "super_expressive", seed=3, log=said.append)
    assert [row.claim.id for row in found.rows] == [
        c for c in theory.REGISTRY if c == "momlp.sharpness" or c.startswith("super_expressive.")
    ]
    assert found.as_expected
    assert {row.verdict.status for row in found.rows} >= {Status.PROVED}
    assert {row.verdict.seed for row in found.rows} == {3}


@pytest.mark.parametrize(
    ("names", "options", "error", "words"),
    [
        (("nope",), {}, ValueError, "no claim or system named nope"),
        (([],), {}, TypeError, "`names` must be claims and systems by name"),
        (("momlp",), {"budget": "huge"}, ValueError, "`budget` must be"),
        (("momlp",), {"device": "nowhere"}, ValueError, "`device` must be"),
        (("momlp",), {"seed": -1}, ValueError, "`seed` must be"),
    ],
)
def test_verify_refuses_in_a_sentence(names, options, error, words):
    with pytest.raises(error, match=re.escape(words)):
        verify(*names, **options)
