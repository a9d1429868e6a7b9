"""The promise of the house: a system's name finds everything about it; and every claim gets its status."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

import theory
from theory import cli, systems
from theory.claim import Context, Status
from theory.cli import listing
from theory.sources import OURS, Paper, Source
from theory.systems import NAMES, REGISTRY

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_finds_its_rooms(name):
    objects = ROOT / "constructions" / name
    assert objects.is_dir() or objects.with_suffix(".py").is_file()
    for part in ("__init__", "claims"):
        assert (ROOT / "theory" / name / f"{part}.py").is_file()
    reproductions = ROOT / "theory" / name / "reproductions"
    assert reproductions.is_dir() or reproductions.with_suffix(".py").is_file()
    for part in ("objects", "claims"):
        assert (ROOT / "tests" / name / f"test_{part}.py").is_file()
    assert len(list((ROOT / "notebooks").glob(f"[0-9][0-9]_{name}.ipynb"))) == 1
    assert (ROOT / "docs" / f"{name}.md").is_file()


@pytest.mark.parametrize("name", NAMES)
def test_a_system_says_who_it_is(name):
    about = systems.system(name)
    assert about.name == name
    assert about.title
    assert isinstance(about.paper, Paper)
    assert set(about.uses) <= set(NAMES) - {name}


@pytest.mark.parametrize("name", NAMES)
def test_claims_carry_the_name_and_a_source(name):
    claims = systems.claims_of(name)
    assert claims
    module = importlib.import_module(f"theory.{name}.reproductions")
    for c in claims:
        system, _, key = c.id.partition(".")
        assert system == name
        assert callable(getattr(module, key))
        assert isinstance(c.source, Source)
        if c.source.paper is OURS:
            assert (ROOT / c.source.page).is_file(), c.source


@pytest.mark.parametrize("name", NAMES)
def test_verbs_and_figures_are_found(name):
    for verb, about in systems.commands().get(name, {}).items():
        module = importlib.import_module(about.module)
        assert callable(getattr(module, f"add_{verb}"))
        assert callable(getattr(module, f"run_{verb}"))
    for file, (caption, draw) in systems.figures([name]).items():
        assert file.startswith(name)
        assert file.endswith(".png")
        assert caption
        assert callable(draw)


def test_the_folders_are_the_systems():
    """Nobody lives in the house without a name."""
    shared = {"checkers", "cli", "templates", "__pycache__"}
    assert {p.name for p in (ROOT / "theory").iterdir() if p.is_dir()} - shared == set(NAMES)
    shared = {"functions", "expert_rows", "__pycache__"}
    assert {p.name for p in (ROOT / "constructions").iterdir() if p.is_dir()} - shared <= set(NAMES)


def test_the_exported_registry_is_full():
    code = "import theory, sys; print(len(theory.REGISTRY), 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(len(REGISTRY)), "False"]


@pytest.mark.parametrize(
    "words", [["--help"], ["--version"], ["list"], ["vc_dimension", "--help"], ["nope"], ["list", "--systems"]]
)
def test_the_command_starts_without_heavy_modules(words):
    code = (
        "import sys, json; from theory.cli import main\n"
        "try: main(json.loads(sys.argv[1]))\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'sympy', 'matplotlib', 'numpy', 'scipy'} & set(sys.modules)\n"
        "print('heavy:', *sorted(heavy))"
    )
    line = [sys.executable, "-c", code, json.dumps(words)]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "heavy:"


def test_former_names_are_understood():
    assert systems.select(["rates"]) == systems.select(["momlp"])
    assert [c.id for c in systems.select(["rates.slopes"])] == ["momlp.slopes"]
    former = {verb.flat for verbs in systems.commands().values() for verb in verbs.values() if verb.former}
    assert former == {"vc", "shatter", "check", "rates", "devices"}


def test_former_commands_do_what_the_new_ones_do(capsys):
    sizes = ["--n", "2", "--depth", "1", "--width", "2", "--experts", "2"]
    assert cli.main(["vc", *sizes]) == cli.main(["vc_dimension", "bounds", *sizes]) == 0
    said = capsys.readouterr().out
    assert said[: len(said) // 2] == said[len(said) // 2 :]


def test_pages_are_those_that_the_command_prints():
    assert (ROOT / "docs" / "claims.md").read_text(encoding="utf-8") == listing.claims_page()
    assert listing.systems_table() in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) <= 1500


def test_public_names_are_listed():
    assert set(dir(theory)) == set(theory.__all__)
    with pytest.raises(AttributeError, match="nope"):
        theory.nope  # noqa: B018


@pytest.mark.parametrize(
    "key", [pytest.param(c.id, marks=pytest.mark.slow) if c.slow else c.id for c in REGISTRY.values()]
)
def test_every_claim_gets_its_status(key, verdict_of):
    verdict, claim = verdict_of(key), REGISTRY[key].within("quick")
    assert verdict.status is claim.expected, verdict.reason
    assert verdict.evidence is claim.evidence or claim.quick is not None
    assert verdict.numbers or verdict.tables or verdict.status is Status.OPEN


@pytest.mark.slow
@pytest.mark.parametrize("key", REGISTRY)
def test_every_claim_in_the_full_budget(key):
    verdict = REGISTRY[key].verdict(Context(budget="full"))
    assert verdict.status is REGISTRY[key].expected, verdict.reason
