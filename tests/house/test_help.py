"""Every command, those to come included: each option says what it is for, its unit and its default; the help ends with
two examples, and they run; what goes to a pipe is neither cut nor folded."""

import argparse
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from contextlib import redirect_stdout
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from constructions import targets
from theory import cli
from theory.cli.help import START
from theory.systems import REGISTRY

ROOT = Path(__file__).parents[2]
UNITS = {"bytes": "byte", "seconds": "second", "timeout": "second", "patience": "second", "limit": "second"}
"""A word in an option's name -> the unit that its help must name."""


def walk(parser, path):
    """(path, parser) of every command in the tree that does something, filled with its arguments."""
    inner = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not inner:
        fill, parser.fill = parser.fill, None
        if fill is not None:  # filled already: two names of one room
            fill(parser)
        yield path, parser
    for action in inner:
        for name, sub in action.choices.items():
            yield from walk(sub, (*path, name))


@cache
def verbs():
    return dict(walk(cli._parser(), ()))


def options():
    for path, parser in verbs().items():
        for action in parser._actions:
            yield " ".join(path), parser, action


def said(parser, action):
    """The help of one argument as it is printed."""
    return parser._get_formatter()._expand_help(action)


def faults(parser, action):
    """What the help of an argument leaves out, in words."""
    text = said(parser, action) if action.help and action.help is not argparse.SUPPRESS else ""
    if not re.search(r"\w", text):
        yield "no help"
    takes_a_value = action.option_strings and action.nargs != 0
    if takes_a_value and not action.required and "default" not in text:
        yield "no default"
    words = re.split(r"\W+|_", " ".join(action.option_strings))
    for word in UNITS.keys() & set(words):
        if takes_a_value and UNITS[word] not in text:
            yield f"no unit: {UNITS[word]}"


def test_every_argument_says_what_it_is():
    found = [(path, action.dest, fault) for path, parser, action in options() for fault in faults(parser, action)]
    assert found == []
    assert len(list(options())) > 250


def test_the_rule_can_fail():
    parser = argparse.ArgumentParser(formatter_class=argparse.HelpFormatter)
    wrong = {
        "--a": ({"default": 3}, ["no help", "no default"]),
        "--b": ({"default": 3, "help": "words"}, ["no default"]),
        "--c-bytes": ({"required": True, "help": "how much"}, ["no unit: byte"]),
        "--time-limit": ({"help": "at most (default: none)"}, ["no unit: second"]),
        "--e": ({"action": "store_true", "help": " "}, ["no help"]),
        "--f": ({"action": "store_true", "help": "fast"}, []),
    }
    for name, (settings, expected) in wrong.items():
        assert list(faults(parser, parser.add_argument(name, **settings))) == expected


def test_values_of_defaults_are_the_parsers_own():
    """Where a help says a default itself: it is the one."""
    for path, parser, action in options():
        spoken = re.search(r"\(default:? ([-+.\w]+)[;)]", said(parser, action))
        if spoken is None or action.default is None or not action.option_strings or action.nargs == 0:
            continue
        try:
            assert float(spoken[1]) == float(action.default), (path, action.dest)
        except ValueError:
            assert spoken[1] in (str(action.default), "none", "not"), (path, action.dest)


# --- examples -------------------------------------------------------------------------------------------


def examples_of(parser):
    """The lines after the last "examples:"; nothing when something else follows them."""
    lines = parser.format_help().rpartition("\nexamples:\n")[2].rstrip("\n").split("\n")
    return [line[2:] for line in lines] if all(line.startswith("  momlp ") for line in lines) else []


def lines():
    """Every example once, with the path of its verb."""
    found = {line: path for path, parser in verbs().items() for line in examples_of(parser)}
    return [pytest.param(line, id=line) for line in found]


def test_the_help_of_every_command_ends_with_two_examples_of_it():
    for path, parser in verbs().items():
        found = examples_of(parser)
        assert len(found) == 2 == len(set(found)), path
        for line in found:
            words = shlex.split(line)
            spellings = {p for p, other in verbs().items() if p[-1] == path[-1] or examples_of(other) == found}
            assert any(tuple(words[1 : 1 + len(p)]) == p for p in spellings), (path, line)


def test_rooms_have_two_examples_too():
    parser = cli._parser()
    (action,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    rooms = [sub for sub in action.choices.values() if sub._subparsers is not None]
    assert rooms
    known = [param.values[0] for param in lines()]
    for room in rooms:
        assert len(set(examples_of(room))) == 2
        assert set(examples_of(room)) <= set(known)


def a_model(at):
    assert run('momlp build "sin(x0)*x1" --n 2 --eps 0.1 --out', at) == 0


def a_trained_model(at):
    save_array("X.npy", at.parent / "X.npy")
    save_array("Y.npy", at.parent / "Y.npy")
    line = f"momlp train --points {at.parent / 'X.npy'} --values {at.parent / 'Y.npy'} --leaves 4 --steps 50 --out"
    assert run(line, at) == 0


def a_proof(at):
    assert run(f"momlp certify {at.parent / 'model.safetensors'} --proof", at) == 0


def proofs(at):
    at.mkdir()
    shutil.copy(at.parent / "model.safetensors", at)
    a_proof(at / "model.proof")


def a_set(at):
    assert run("momlp shatter one_hidden_layer --n 2 --width 2 --out", at) == 0


def runs(at):
    rows = [(n, m, seed) for n in (64, 128, 256, 512, 1024, 2048) for m in (4, 8, 16, 64) for seed in (0, 1)]
    noise = np.random.default_rng(0).uniform(0.99, 1.01, len(rows))
    errors = [0.8 * (3 * n**-0.4 + 0.5 * m**-0.5) * z for (n, m, _), z in zip(rows, noise, strict=True)]
    text = "".join(f"{n},{m},{e:.6f},{seed}\n" for (n, m, seed), e in zip(rows, errors, strict=True))
    at.write_text("n,m,error,seed\n" + text)


def networks(at):
    at.write_text(
        "import torch\ntorch.manual_seed(0)\n"
        "small = torch.nn.Sequential(torch.nn.Linear(2, 4), torch.nn.ReLU(), torch.nn.Linear(4, 1)).double()\n"
    )


def save_array(name, at):
    draw = np.random.default_rng(0)
    points = draw.uniform(0, 1, (120, 2))
    arrays = {
        "P.npy": points,
        "X.npy": points,
        "Y.npy": np.sin(3 * points[:, 0]) * points[:, 1],
        "labels.npy": (points.sum(1) > 1).astype(np.int64),
        "ROWS.npy": draw.normal(size=(4, 3)) / 3,
        "D.npy": draw.normal(size=(24, 16)),
        "L.npy": draw.choice([-1.0, 1.0], 24),
        "A.npy": np.stack([np.outer(v, v) for v in draw.normal(size=(3, 2))]),
    }
    np.save(at, arrays[name])


ARRAYS = ("P.npy", "X.npy", "Y.npy", "labels.npy", "ROWS.npy", "D.npy", "L.npy", "A.npy")
MAKERS = {
    "model.safetensors": a_model,
    "model.proof": a_proof,
    "proofs": proofs,
    "trained.safetensors": a_trained_model,
    "set.safetensors": a_set,
    "runs.csv": runs,
    "networks.py": networks,
    **{name: lambda at, name=name: save_array(name, at) for name in ARRAYS},
}
"""What examples read -> what makes it. A new command's examples name these, or add a line here."""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    for name, make in MAKERS.items():
        make(folder / name)
    return folder


@pytest.fixture
def folder(made, tmp_path, monkeypatch):
    """A folder with all that examples read, which looks like a checkout to `new-system`."""
    place = tmp_path / "folder"
    shutil.copytree(made, place)
    shutil.copy(ROOT / "pyproject.toml", place)
    (place / "theory").mkdir()
    shutil.copy(ROOT / "theory" / "systems.py", place / "theory")
    monkeypatch.chdir(place)
    return place


def run(line, *more):
    """The exit code of a command in this process; what follows a pipe or goes to a file is the shell's affair."""
    bare = re.split(r" [|>] ", line)[0]
    return cli.main([*shlex.split(bare)[1:], *map(str, more)])


@pytest.mark.parametrize("line", list(lines()))
def test_examples_run(line, folder):
    """And nothing that they print to a pipe is cut."""
    printed = io.StringIO()
    with redirect_stdout(printed):
        assert run(line) == 0, printed.getvalue()
    for name in re.findall(r"--(?:out|report|json|plot) (\S+\.\w+)", line):
        assert (folder / name).stat().st_size > 0
    assert not re.search(r"\S…\s*[│┃]", printed.getvalue())


def test_first_steps_are_three_lines_that_run(folder, capsys):
    assert cli.main([]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == START
    first = START.splitlines()
    assert len(first) == 3
    commands = re.findall(r"momlp .*?(?=   |, |$)", START, re.MULTILINE)
    assert [shlex.split(c)[1] for c in commands] == ["verify", "build", "--help", "build"]
    assert run(commands[0]) == 0
    assert run(commands[1]) == 0
    for line in commands[2:]:
        with pytest.raises(SystemExit) as stopped:
            run(line)
        assert stopped.value.code == 0
    assert START in capsys.readouterr().out
    assert "docs/" in first[2]
    assert (ROOT / "docs").is_dir()


# --- pipes ----------------------------------------------------------------------------------------------


def piped(*arguments, folder=None):
    """What the reader of a pipe gets, in a terminal of 40 columns."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "40", "TERM": "xterm"}
    line = [sys.executable, "-m", "theory", *arguments]
    done = subprocess.run(line, capture_output=True, text=True, env=environment, cwd=folder, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def cells(text):
    """The rows of a printed table, each with its cells."""
    rows = [line for line in text.splitlines() if line.startswith("│")]
    return [[cell.strip() for cell in row.strip("│").split("│")] for row in rows]


def test_lists_in_a_pipe_are_whole():
    found = cells(piped("list")[0])
    assert [[row[0], row[1], row[3]] for row in found] == [[c.id, c.title, str(c.source)] for c in REGISTRY.values()]
    for row, claim in zip(found, REGISTRY.values(), strict=True):  # and perhaps that of the quick budget
        assert row[2].startswith(claim.expected.value)
        assert "…" not in row[2]
    found = cells(piped("targets")[0])
    assert [row[0] for row in found] == list(targets.names())
    assert [row[1] for row in found] == [
        " ".join((targets.TARGETS[name].__doc__ or "").split("\n\n")[0].split()) for name in targets.names()
    ]


def test_verdicts_in_a_pipe_are_whole(tmp_path):
    """Those of a claim whose reason is longer than most terminals are wide, and what is said on the error stream."""
    names = ["momlp.sharpness", "vc_dimension.one_hidden_layer", "super_expressive.floating_point"]
    there = tmp_path / ("long_name_" * 12) / "v.json"
    there.parent.mkdir()
    printed, said = piped("verify", *names, "--jobs", "1", "--numbers", "--json", str(there))
    verdicts = {v["id"]: v for v in json.loads(there.read_text(encoding="utf-8"))["verdicts"]}
    found = {row[0]: row for row in cells(printed) if len(row) == 6}
    assert list(found) == list(verdicts) == names
    for name, row in found.items():
        assert row[1:5] == [verdicts[name]["status"], verdicts[name]["evidence"], "yes", verdicts[name]["reason"]]
    assert f"verdicts written to {there}\n" in said
    numbers = [name for v in verdicts.values() for name in (*v["numbers"], *v["bounds"])]
    assert [row[1] for row in cells(printed) if len(row) == 3][: len(numbers)] == numbers  # tables follow


def test_plans_in_a_pipe_are_whole():
    formula = " + ".join(f"sin({k}*x0)/{k * k}" for k in range(1, 12))
    printed, _ = piped("plan", formula, "--n", "1", "--eps", "1e-9", "--expert", "bit_extraction", "--lookup", "wide")
    assert "…" not in printed
    found = dict(cells(printed))
    assert found["eps"] == "1e-09"
    assert all(found.values())


def test_errors_in_a_pipe_are_one_line():
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "40"}
    line = [sys.executable, "-m", "theory", "verify", "nope" * 30]
    done = subprocess.run(line, capture_output=True, text=True, env=environment, check=False, timeout=120)
    assert done.returncode == 2
    assert done.stderr == f"momlp: error: no claim or system named {'nope' * 30} (see `momlp list`)\n"
