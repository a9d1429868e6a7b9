"""What the documents say can be typed and followed: commands parse, links lead somewhere, Python blocks run."""

import importlib
import importlib.util
import inspect
import re
import shlex
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from theory import cli, systems

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("**/*.md"))]
TEXTS = {str(p.relative_to(ROOT)): p.read_text(encoding="utf-8") for p in PAGES}


def commands():
    for name, text in TEXTS.items():
        for line in re.findall(r"^ {4,}momlp (.*)$", text, flags=re.MULTILINE):
            bare = re.sub(r"\s#.*|\[[^\[\]]*(\[[^\]]*\])?[^\[\]]*…?\](?![\";])| > \S+", "", line)
            yield pytest.param(bare, id=f"{name}: {bare[:50]}")


@pytest.mark.parametrize("line", list(commands()))
def test_commands_parse(line):
    args = cli._parser().parse_args(shlex.split(line))
    assert callable(args.action)


def test_there_are_commands_and_brackets_are_options():
    lines = [p.values[0] for p in commands()]
    assert len(lines) > 25
    assert any(line.startswith("verify") for line in lines)


@pytest.mark.parametrize("name", TEXTS)
def test_links_lead_somewhere(name):
    for link in re.findall(r"\]\(([^)#]+)\)", TEXTS[name]):
        if not link.startswith("http"):
            assert ((ROOT / name).parent / link).exists(), link


def blocks():
    for name, text in TEXTS.items():
        for i, block in enumerate(re.findall(r"^```python\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)):
            yield pytest.param(block, id=f"{name}: {i}")


@pytest.mark.parametrize("block", list(blocks()))
def test_python_blocks_run(block, capsys, monkeypatch):
    """And print what their comments say: `print(…)  # 17799`."""
    monkeypatch.setattr(systems, "ADDED", dict(systems.ADDED))  # a claim that a page registers ends with it
    exec(compile(block, "block", "exec"), {})
    said = capsys.readouterr().out.split("\n")
    for promised in re.findall(r"^print\(.*\)  # ([0-9A-Z]\S*)", block, flags=re.MULTILINE):
        assert promised.rstrip(",") in said


# --- the site ------------------------------------------------------------------------------------------------


def _site():
    return yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))


def _leaves(nav):
    for entry in nav:
        inner = next(iter(entry.values())) if isinstance(entry, dict) else entry
        if isinstance(inner, list):
            yield from _leaves(inner)
        else:
            yield inner


def _hooks():
    spec = importlib.util.spec_from_file_location("hooks", ROOT / "docs" / "hooks.py")
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:  # mkdocs belongs to the extra `docs`, and the pages are read without it
        for name, own in (("mkdocs.exceptions", "PluginError"), ("mkdocs.structure.files", "File")):
            patch.setitem(sys.modules, name, SimpleNamespace(**{own: None}))
        spec.loader.exec_module(module)
    return module


def test_every_page_and_notebook_has_its_place_on_the_site():
    docs = ROOT / "docs"
    written = {str(p.relative_to(docs)) for p in docs.glob("**/*.md")}
    written |= {f"notebooks/{p.name}" for p in (ROOT / "notebooks").glob("*.ipynb")}
    generated = {"api/" + name + ".md" for name in _hooks().rooms()} | {"changelog.md"}
    named = list(_leaves(_site()["nav"]))
    assert len(set(named)) == len(named)
    assert set(named) - generated == written
    assert {name for name in named if name.startswith("api/")} == generated - {"changelog.md"}


def test_the_pages_of_the_api_hold_all_that_is_exported():
    hooks = _hooks()
    for room, names in hooks.rooms().items():
        assert sorted(importlib.import_module(room).__all__) == sorted(names), room
        assert re.findall("^::: (.*)", hooks.page(room, names), re.MULTILINE) == list(names.values())
        for name, place in names.items():
            module, _, own = place.rpartition(".")
            defined = getattr(importlib.import_module(module), own, None) or importlib.import_module(place)
            assert defined is getattr(importlib.import_module(room), name), place


def test_links_that_lead_nowhere_are_found(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "index.html").write_text(
        '<a href="../b/">b</a><img src="c.png"><a href="#x">x</a>', encoding="utf-8"
    )
    hooks = _hooks()
    assert hooks.broken_links(tmp_path) == ["a/index.html: ../b/", "a/index.html: c.png"]
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "index.html").touch()
    (tmp_path / "a" / "c.png").touch()
    assert hooks.broken_links(tmp_path) == []


@pytest.mark.parametrize("room", list(_hooks().rooms()))
def test_public_names_have_docstrings(room):
    module = importlib.import_module(room)
    for name in module.__all__:
        found = getattr(module, name)
        if inspect.isclass(found) or inspect.isroutine(found) or inspect.ismodule(found):
            assert (inspect.getdoc(found) or "").strip(), f"{room}.{name}"
            if inspect.isclass(found) and found.__module__.split(".")[0] in ("constructions", "theory"):
                for own, value in vars(found).items():
                    if not own.startswith("_") and (_named(value) or isinstance(value, property)):
                        assert _documented(found, own), f"{room}.{name}.{own}"


def _documented(cls, own):
    return any((getattr(base.__dict__.get(own), "__doc__", None) or "").strip() for base in cls.__mro__)


def _named(value):
    return inspect.isfunction(value) and value.__name__ != "<lambda>"


def prose(text):
    """Without code and formulas, whose signs are taken as they are."""
    fences = r"^```.*?^```|^    .*?$|`[^`\n]*`|\$\$.*?\$\$|<!--.*?-->"
    return re.sub(fences, "", text, flags=re.DOTALL | re.MULTILINE)


def mistaken(text):
    """What a page would not show as it is meant: "{a<L}, … >" would be a tag, the star of "f*" begin italics."""
    yield from re.findall(r"<[A-Za-z/][^<>]*>", prose(text))
    cells = re.sub(r"^ *\|.*$", lambda row: row.group().replace("|", "\n\n"), prose(text), flags=re.MULTILINE)
    for paragraph in re.split(r"\n\s*\n|^\s*(?:[*-]|\d+\.) ", cells, flags=re.MULTILINE):
        bare, inside = paragraph.replace("**", "").replace(r"\*", ""), False
        for star in re.finditer(r"\*", bare):
            before, after = bare[: star.start()][-1:], bare[star.end() :][:1]
            opens, closes = before in ' \n([„“”"' and after.strip(), before.strip() and not after.isalnum()
            if not (closes if inside else opens):
                yield bare[max(0, star.start() - 30) : star.end() + 30]
                break
            inside = not inside
        if inside:
            yield bare


@pytest.mark.parametrize("name", TEXTS)
def test_signs_of_formulas_are_no_marks(name):
    assert list(mistaken(TEXTS[name])) == []


@pytest.mark.parametrize(
    "text", ["Σ_{l<L} n_l, so a > b", "f* and *Proof.* so", "*min f ≥ f* − 1*", "u*v", "*open", "so *a* b*"]
)
def test_mistaken_signs_are_found(text):
    assert list(mistaken(text))


@pytest.mark.parametrize(
    "text", ["**Theorem 1.** *Proof.* a < b > c ∎", "`u*v<L>`", "* a\n* b", "f\\* (*see*)", "$$a*b$$"]
)
def test_marks_that_are_meant_are_left(text):
    assert list(mistaken(text)) == []
