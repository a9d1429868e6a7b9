"""`momlp explain CLAIM` shows lines of Python that build what a claim speaks of: every claim has some, and they run."""

import ast
import contextlib
import importlib
import io
import re

import pytest

from theory import systems
from theory.cli import explaining
from theory.systems import NAMES, REGISTRY

LONGEST = 9
MAY_IMPORT = {"constructions", "theory", "momlp", "torch", "numpy", "fractions", "math", "itertools", "tempfile"}
PROMISE = r"^print\(.*\)  # ([0-9A-Z]\S*)$"


def _snippets():
    """(first claim that shows it, lines) of every distinct snippet."""
    seen = {}
    for c in REGISTRY.values():
        seen.setdefault((c.system, systems.example(c.id)), c.id)
    return [pytest.param(text, id=key) for (_, text), key in seen.items()]


@pytest.mark.parametrize("name", NAMES)
def test_every_claim_has_an_example(name):
    module = importlib.import_module(f"theory.{name}.examples")
    assert sorted(module.EXAMPLES) == sorted(c.id.partition(".")[2] for c in systems.claims_of(name))
    shown = [text for text in set(module.EXAMPLES.values()) if text.strip()]
    # one for each group of claims about the same object at least, not one scheme for all
    assert len(shown) >= len(module.EXAMPLES) / 3


@pytest.mark.parametrize("text", _snippets())
def test_an_example_is_a_few_lines_about_the_object(text):
    lines = text.splitlines()
    assert 2 <= len(lines) <= LONGEST
    assert max(map(len, lines)) <= 120
    assert "print(" in lines[-1]
    assert "REGISTRY" not in text, "the line that runs the claim is printed below"
    assert "verify(" not in text
    for node in ast.walk(ast.parse(text)):
        named = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        named += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        assert {name.partition(".")[0] for name in named} <= MAY_IMPORT


@pytest.mark.parametrize("text", _snippets())
def test_an_example_runs_and_prints_what_it_promises(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(text, "example", "exec"), {})
    said = printed.getvalue().splitlines()
    assert any(line.strip() for line in said)
    assert not {"nan", "inf"} & set(re.findall(r"[a-z]+", printed.getvalue().lower())) or "# inf" in text
    for promised in re.findall(PROMISE, text, flags=re.MULTILINE):
        assert promised in said
    assert not list(tmp_path.iterdir()), "an example leaves files where it runs"


def test_promises_are_read():
    promised = [p for snippet in _snippets() for p in re.findall(PROMISE, snippet.values[0], flags=re.MULTILINE)]
    assert len(promised) > 25
    assert "True" in promised


@pytest.mark.parametrize("key", REGISTRY)
def test_the_explanation_shows_it_and_says_where_the_proof_file_is(key):
    said = explaining.explanation(REGISTRY[key])
    shown = "".join(f"    {line}".rstrip() + "\n" for line in systems.example(key).splitlines())
    assert f"  try it in Python\n{shown}" in said
    has = systems.proofs(key) is not None
    assert (REGISTRY[key].files is not None) is has
    assert (f"momlp verify {key} --proofs DIR writes it" in " ".join(said.split())) is has
    assert ("  proof file\n    none" in said) is not has


def test_some_claims_have_whole_proof_files_some_a_part_and_some_none():
    extents = [None if c.files is None else c.files.whole for c in REGISTRY.values()]
    assert set(extents) == {None, False, True}
    assert systems.proofs("am_gm.nope") is None
    assert systems.proofs("nope.five") is None
    assert systems.example("nope.five") == ""
