"""What surrounds the packages: what is shipped, the changelog, hooks before a commit, and workflows that can run."""

import re
import shlex
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

from theory import cli

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
WORKFLOWS = {
    path.name: yaml.safe_load(path.read_text(encoding="utf-8"))
    for path in sorted((ROOT / ".github" / "workflows").glob("*.yml"))
}
PACKAGES = ("constructions", "theory", "momlp")
TARGETS = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


def test_the_packages_are_shipped_and_checked():
    hatch = PROJECT["tool"]["hatch"]["build"]["targets"]
    assert sorted(hatch["wheel"]["packages"]) == sorted(PACKAGES)
    for name in hatch["sdist"]["include"]:
        assert (ROOT / name.lstrip("/")).exists(), name
    assert {f"/{name}" for name in (*PACKAGES, "tests", "CHANGELOG.md", "README.md")} <= set(hatch["sdist"]["include"])
    assert sorted(PROJECT["tool"]["pyright"]["include"]) == sorted(PACKAGES)


def test_addresses_are_those_of_the_citation():
    cited = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    for address in PROJECT["project"]["urls"].values():
        assert address.removeprefix("https://arxiv.org/abs/") in cited


def test_the_changelog_begins_with_this_version():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## (\S+), (.+)$", text, re.MULTILINE)
    said = (ROOT / "constructions" / "version.py").read_text(encoding="utf-8")
    version = re.search(r'^__version__ = "(.+)"', said, re.MULTILINE)[1]
    assert headings[0] == (version, "not released") or re.fullmatch(r"\d{4}-\d\d-\d\d", headings[0][1])
    assert headings[0][0] == version


# --- before a commit ------------------------------------------------------------------------------------


def hooks():
    found = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    return [hook for repo in found["repos"] for hook in repo["hooks"]], {repo["repo"] for repo in found["repos"]}


def test_hooks_need_no_network_and_know_their_programs():
    found, repos = hooks()
    assert repos == {"local"}
    assert {hook["language"] for hook in found} == {"system"}
    assert len({hook["id"] for hook in found}) == len(found)
    developers = {re.match(r"[\w-]+", line)[0] for line in PROJECT["project"]["optional-dependencies"]["dev"]}
    for hook in found:
        program, *rest = shlex.split(hook["entry"])
        assert program in developers | {"python"}
        assert all((ROOT / word).exists() for word in rest if "/" in word)


@pytest.mark.parametrize("name", ["ruff", "ruff-format"])
def test_hooks_refuse_what_is_out_of_style(name, tmp_path):
    """A file as it should be, and one that is not."""
    (hook,) = (h for h in hooks()[0] if h["id"] == name)
    program, *rest = shlex.split(hook["entry"])
    (tmp_path / "good.py").write_text("x = 1\n")
    (tmp_path / "bad.py").write_text("import os\nx = ( 1)\n")
    settings = ["--config", str(ROOT / "pyproject.toml"), *(["--check"] if name == "ruff-format" else [])]
    for file, code in (("good.py", 0), ("bad.py", 1)):
        line = [sys.executable, "-m", program, *rest, *settings, str(tmp_path / file)]
        assert subprocess.run(line, capture_output=True, check=False).returncode == code, file


# --- workflows ------------------------------------------------------------------------------------------


def steps():
    for name, workflow in WORKFLOWS.items():
        for job in workflow["jobs"].values():
            for step in job.get("steps", []):
                yield name, step


def test_workflows_try_every_python_and_the_lowest_torch():
    jobs = WORKFLOWS["tests.yml"]["jobs"]
    stated = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["project"]["classifiers"]))
    for job in ("tests", "packages"):
        assert jobs[job]["strategy"]["matrix"]["python-version"] == stated
    lowest = next(line for line in PROJECT["project"]["dependencies"] if line.startswith("torch"))
    installed = next(step["run"] for step in jobs["lowest-torch"]["steps"] if "torch==" in step.get("run", ""))
    assert f'"{lowest.replace(">=", "==")}.*"' in installed
    assert stated[0] == PROJECT["project"]["requires-python"].removeprefix(">=")


def test_steps_use_what_is_there():
    found = list(steps())
    assert len(found) > 15
    for _, step in found:
        assert ("uses" in step) != ("run" in step)
        if "uses" in step:
            assert re.fullmatch(r"actions/[\w-]+@v\d+", step["uses"])
            continue
        for target in re.findall(r"^make (\w+)", step["run"], re.MULTILINE):
            assert target in TARGETS
        for path in re.findall(r"(?:tests|\.ci)/[\w/.]+", step["run"]):
            assert (ROOT / path).exists()
        for extra in re.findall(r"\.\[([\w,]+)\]", step["run"]):
            assert set(extra.split(",")) <= set(PROJECT["project"]["optional-dependencies"])
        assert "${{" not in step["run"]  # what others give is no part of a script


def test_local_workflows_that_are_called_exist_and_get_inputs_they_know():
    called = [job for w in WORKFLOWS.values() for job in w["jobs"].values() if "uses" in job]
    assert called
    for job in called:
        folder, _, name = job["uses"].rpartition("/")
        assert folder == "./.github/workflows"
        assert set(job["with"]) <= set(inputs(WORKFLOWS[name]))


def inputs(workflow):
    return workflow[True]["workflow_call"]["inputs"]  # YAML reads `on` as true


def test_the_job_that_others_call_runs_as_it_stands():
    workflow = WORKFLOWS["verify-theorems.yml"]
    text = (ROOT / ".github" / "workflows" / "verify-theorems.yml").read_text(encoding="utf-8")
    for name, about in inputs(workflow).items():
        assert about["description"]
        assert "default" in about
        assert f"inputs.{name} }}}}" in text
    script = next(step["run"] for step in workflow["jobs"]["verify"]["steps"] if step.get("name") == "momlp verify")
    for claims, expected in (
        ("", []),
        ("momlp  pathway_tree", ["momlp", "pathway_tree"]),
        ("momlp.sharpness\n  am_gm\nvc_dimension\n", ["momlp.sharpness", "am_gm", "vc_dimension"]),  # claims: |
        ("momlp.*", ["momlp.*"]),  # no file of the folder
    ):
        spoken = f"momlp() {{ printf '%s\\n' \"$@\"; }}\n{script}"
        environment = {"CLAIMS": claims, "BUDGET": "quick", "PATH": "/usr/bin:/bin"}
        line = ["bash", "-eo", "pipefail", "-c", spoken]
        done = subprocess.run(line, env=environment, capture_output=True, text=True, check=True)
        args = cli._parser().parse_args(done.stdout.split())
        assert args.claims == expected
        assert (args.budget, str(args.json), str(args.junit), str(args.html)) == (
            "quick",
            "verdicts.json",
            "verdicts.xml",
            "report",
        )


def test_the_documented_call_of_it_is_one():
    text = (ROOT / "docs" / "command.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```yaml\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    job = yaml.safe_load(block)["jobs"]["theorems"]
    assert job["uses"] == "OWNER/momlp/.github/workflows/verify-theorems.yml@main"
    known = inputs(WORKFLOWS["verify-theorems.yml"])
    assert set(job["with"]) <= set(known)
    cli._parser().parse_args(["verify", *job["with"]["claims"].split(), "--budget", job["with"]["budget"]])


# --- what is built --------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_sdist_and_the_wheel_made_from_it_hold_every_file(tmp_path):
    """`python -m build` fetches hatchling, and makes the wheel from the sdist alone."""
    line = [sys.executable, "-m", "build", "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run(line, check=True, capture_output=True)
    ours = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {f"{package}/py.typed" for package in PACKAGES} <= ours
    (sdist,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    assert ours <= held
    assert {"tests/conftest.py", "CHANGELOG.md", "LICENSE", "constraints.txt", "Makefile"} <= held
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        about = archive.read(next(n for n in names if n.endswith(".dist-info/METADATA"))).decode()
    added = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"].get("force-include", {})
    assert set(added) <= held
    assert {name for name in names if ".dist-info/" not in name} == ours | set(added.values())
    assert "Project-URL: Paper, https://arxiv.org/abs/2402.03460" in about
    assert any(name.endswith("licenses/LICENSE") for name in names)
