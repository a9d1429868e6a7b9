"""The ten steps of CONTRIBUTING.md work: its commands are run in a copy of the project, as they are printed."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
COPIED = ("constructions", "theory", "tests", "notebooks", "docs", "README.md", "CONTRIBUTING.md", "pyproject.toml")
PROGRAMS = {"momlp": ["-m", "theory"], "pytest": ["-m", "pytest", "-q", "-p", "no:cacheprovider"]}


def steps():
    return re.split(r"^\d+\. \*\*", TEXT.split("## Add a system in ten steps")[1], flags=re.MULTILINE)[1:]


def commands(step):
    return re.findall(r"^ {7}(\S.*)$", step, flags=re.MULTILINE)


def run(folder, line):
    """The line as a shell would run it, with this Python."""
    line, _, target = line.partition(" > ")
    program, *arguments = shlex.split(line)
    done = subprocess.run(
        [sys.executable, *PROGRAMS[program], *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{line}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    if target:
        (folder / target).write_text(done.stdout, encoding="utf-8")
    return done.stdout


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkout")
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, folder / name)
    return folder


def test_there_are_ten_steps():
    assert len(steps()) == 10
    assert [len(commands(step)) for step in steps()] == [0, 1, 2, 0, 0, 0, 0, 0, 2, 0]


def test_the_steps_add_a_system_and_lose_none(copy):
    before = run(copy, "momlp list --systems").splitlines()
    printed = [run(copy, line) for step in steps() for line in commands(step)]
    assert printed[0].count("written: ") == 11
    assert "1 row" not in printed[1]
    assert re.search(r"midpoint.geometric_sum\W+PROVED\W+EXACT", printed[1])
    assert "passed" in printed[2]
    after = run(copy, "momlp list --systems").splitlines()
    assert after[:-1] == before
    explained = run(copy, "momlp explain midpoint")
    lines = explained.split("  try it in Python\n")[1].split("  decide it in Python")[0]
    (copy / "lines.py").write_text(textwrap.dedent(lines), encoding="utf-8")
    done = subprocess.run([sys.executable, "lines.py"], cwd=copy, capture_output=True, text=True, check=False)
    assert done.stdout == "True\n", done.stderr
    assert after[-1].startswith("| [`midpoint`](docs/midpoint.md) | Sums of halves | 1 | PROVED |")
    for page in ("claims", "non_claims"):
        assert "midpoint.geometric_sum" in (copy / "docs" / f"{page}.md").read_text(encoding="utf-8")


def test_what_it_writes_is_in_style(copy):
    """ruff and the notebook's own outputs, on the files that the steps wrote."""
    written = [p for p in copy.rglob("*midpoint*") if p.suffix in (".py", ".ipynb")]
    written += [p for folder in ("theory", "tests") for p in (copy / folder / "midpoint").glob("*.py")]
    assert len(written) >= 9
    for check in (["check"], ["format", "--check"]):
        line = [sys.executable, "-m", "ruff", *check, "--config", str(ROOT / "pyproject.toml"), *map(str, written)]
        done = subprocess.run(line, cwd=copy, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout
    notebook = next(p for p in written if p.suffix == ".ipynb")
    run(copy, f"pytest --nbval {notebook.relative_to(copy)}")


def test_a_second_system_of_the_name_is_refused(copy):
    line = [sys.executable, "-m", "theory", "new-system", "midpoint"]
    environment = {**os.environ, "PYTHONPATH": str(copy)}
    done = subprocess.run(line, cwd=copy, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "`name` must be new, theory/midpoint exists" in " ".join(done.stderr.split())


@pytest.mark.parametrize("name", ["A", "x", "json", "class", "a-b", "../x", "", "é"])
def test_bad_names_are_refused(name, copy):
    line = [sys.executable, "-m", "theory", "new-system", name]
    environment = {**os.environ, "PYTHONPATH": str(copy)}
    done = subprocess.run(line, cwd=copy, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "`name` must be a lower-case Python name" in " ".join(done.stderr.split())


def test_a_folder_that_is_no_checkout_is_refused(tmp_path):
    line = [sys.executable, "-m", "theory", "new-system", "midpoint"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "into a checkout of momlp" in " ".join(done.stderr.split())
