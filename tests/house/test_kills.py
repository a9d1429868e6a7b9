"""SIGKILL, SIGINT and SIGTERM at random moments: no hang, nothing half-written, and training goes on where it was.

What a command writes is absent (or what it was before), or whole. SIGINT and SIGTERM leave no drafts; SIGKILL may, and
the next write to that folder removes them. A few moments in `make test`, many with `-m slow`.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch

from constructions import build_momlp, load, save, targets
from constructions.files import write_whole
from theory.torchrun import alone
from theory.torchrun import command as torchrun

ROOT = Path(__file__).parents[2]
HOW = {"kill": signal.SIGKILL, "interrupt": signal.SIGINT, "terminate": signal.SIGTERM}
ENDED = {signal.SIGKILL: {-9}, signal.SIGINT: {130}, signal.SIGTERM: {130}}
PATIENCE = 180  # seconds; a machine may be busy
OLD = b"what was there before"

# the programme says when it has been imported, so that moments fall into its work
START = "import sys, theory.cli; print('ready', flush=True); raise SystemExit(theory.cli.main(sys.argv[1:]))"


def start(*arguments, cwd):
    process = subprocess.Popen(
        [sys.executable, "-c", START, *map(str, arguments)],
        cwd=cwd,
        env=alone() | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "ready\n"
    return process


def end(process, how, delay):
    """Exit code of a process that got a signal after `delay` seconds, and what it said."""
    try:
        time.sleep(delay)
        process.send_signal(how)
        return process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
        process.communicate()


def check_end(process, how, said):
    assert process.returncode in ENDED[how] | {0}, said
    assert "Traceback" not in said


def drafts(folder):
    return list(folder.rglob("momlp-draft-*"))


def check_drafts(folder, how):
    """None after a signal that lets a process tidy up; after SIGKILL the next write removes them."""
    if how is signal.SIGKILL:
        write_whole(folder / "next", lambda draft: draft.write_text("words"))
        (folder / "next").unlink()
    assert not drafts(folder)


def moments(count, seed=0, longest=2.0):
    source = random.Random(seed)
    return [round(source.uniform(0.0, longest), 3) for _ in range(count)]


def cases(few, many, **options):
    """(signal, moment) pairs: the first ones always, the rest with `-m slow`."""
    names = list(HOW)
    every = [(names[i % 3], moment) for i, moment in enumerate(moments(many, **options))]
    return [pytest.param(*case, marks=[] if i < few else pytest.mark.slow) for i, case in enumerate(every)]


def json_or_old(path):
    text = path.read_bytes()
    return text == OLD or json.loads(text)


@pytest.mark.parametrize(("how", "delay"), cases(1, 15, longest=1.5))
def test_verify_writes_whole_verdicts_or_none(tmp_path, how, delay):
    path = tmp_path / "v.json"
    path.write_bytes(OLD)
    process = start("verify", "momlp", "pathway_tree", "--json", path, "--html", tmp_path / "report", cwd=tmp_path)
    _, said = end(process, HOW[how], delay)
    check_end(process, HOW[how], said)
    found = json_or_old(path)
    if HOW[how] is not signal.SIGKILL and process.returncode == 130 and "interrupted after" in said:
        assert found is not True
        assert found["interrupted"]
        assert not found["as_expected"]
    check_drafts(tmp_path, HOW[how])


@pytest.mark.parametrize(("how", "delay"), cases(1, 24, seed=1, longest=1.0))
def test_build_writes_a_whole_model_or_none(tmp_path, how, delay):
    """Built again and again to the same name, so that the moment may fall into the writing."""
    path = tmp_path / "m.safetensors"
    code = START.replace("raise SystemExit(theory.cli.main(sys.argv[1:]))", "")
    code += "\nwhile True:\n    code = theory.cli.main(sys.argv[1:])\n    if code: raise SystemExit(code)"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "build", "--target", "cone", "--n", "3", "--eps", "0.03", "--out", str(path)],
        env=alone() | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "ready\n"
    _, said = end(process, HOW[how], delay)
    assert process.returncode in (-9, -15, 130), said  # between two commands nobody turns SIGTERM into words
    if path.exists():
        assert load(path)(torch.full((1, 3), 0.5, dtype=torch.float64)).shape == (1, 1)
    if process.returncode == 130 or HOW[how] is signal.SIGKILL:
        check_drafts(tmp_path, HOW[how])


TRAIN = ("--leaves", 4, "--hidden", "8", "--steps", 400, "--out", "t.safetensors", "--checkpoint", "state")


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """A folder with data, and the model that training gives when nobody disturbs it."""
    folder = tmp_path_factory.mktemp("train")
    x = np.random.default_rng(0).uniform(-1, 1, (400, 2))
    np.save(folder / "x.npy", x)
    np.save(folder / "y.npy", np.sin(3 * x[:, 0]) * x[:, 1])
    done = start(*train(folder), cwd=folder)
    _, said = done.communicate(timeout=PATIENCE)
    assert done.returncode == 0, said
    return folder, (folder / "t.safetensors").read_bytes()


def train(folder):
    return ("train", "--points", folder / "x.npy", "--values", folder / "y.npy", *TRAIN)


# checkpoints are written every 20 seconds; here at every evaluation, so that kills meet them
EAGER = "import constructions.trained_momlp.training as t; t.CHECKPOINT_SECONDS = 0.0; " + START


@pytest.mark.parametrize(("how", "delay"), cases(1, 15, seed=2, longest=2.0))
def test_training_goes_on_bitwise_after_any_number_of_kills(tmp_path, uninterrupted, monkeypatch, how, delay):
    folder, expected = uninterrupted
    monkeypatch.setattr(sys.modules[__name__], "START", EAGER)
    for moment in (delay, delay / 2):
        process = start(*train(folder), cwd=tmp_path)
        _, said = end(process, HOW[how], moment)
        check_end(process, HOW[how], said)
    done = start(*train(folder), cwd=tmp_path)
    _, said = done.communicate(timeout=PATIENCE)
    assert done.returncode == 0, said
    assert (tmp_path / "t.safetensors").read_bytes() == expected
    assert sorted(p.name for p in tmp_path.iterdir()) == ["state", "t.safetensors"]


def ranks_of(process):
    """Process ids of torchrun's workers."""
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(process.pid)], capture_output=True, text=True)
    return [int(pid) for pid in found.stdout.split()]


def kill_together(command, folder, how, delay, whom):
    """Run a command of two ranks in `folder` and send the signal to torchrun or to one rank `delay` s after it began;
    exit code and what was said."""
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=alone() | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    workers = []
    try:
        deadline = time.monotonic() + PATIENCE
        while len(workers) < 2 and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.1)
            workers = ranks_of(process)
        time.sleep(delay)
        target = process.pid if whom is None else workers[whom]
        with suppress(ProcessLookupError):  # it may have ended already
            os.kill(target, how)
        _, said = process.communicate(timeout=PATIENCE)
        return process.returncode, said
    finally:
        for pid in workers:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.kill()
        process.communicate()


def together(few, many, **options):
    """(signal, moment, whom) triples: rank 0, rank 1 and torchrun in turn."""
    source = random.Random(3)
    every = [
        (list(HOW)[i % 3], moment, (0, 1, None)[source.randrange(3)])
        for i, moment in enumerate(moments(many, **options))
    ]
    # nobody ends the ranks of a torchrun that was killed; they end by themselves once they miss its store
    every = [(how, moment, 1 if (how, whom) == ("kill", None) else whom) for how, moment, whom in every]
    return [pytest.param(*case, marks=[] if i < few else pytest.mark.slow) for i, case in enumerate(every)]


@pytest.mark.parametrize(("how", "delay", "whom"), together(0, 10, seed=4, longest=8.0))
def test_two_ranks_verify(tmp_path, how, delay, whom):
    path = tmp_path / "v.json"
    path.write_bytes(OLD)
    line = torchrun(2, "theory", "verify", "momlp", "pathway_tree", "--json", path, "--patience", 60)
    code, said = kill_together(line, tmp_path, HOW[how], delay, whom)
    found = json_or_old(path)
    if found is not True and code == 0:
        assert found["as_expected"] or found["interrupted"]
    if whom == 1 and how == "kill" and found is not True and found["interrupted"]:
        assert code != 0, said
    check_drafts(tmp_path, signal.SIGKILL)


@pytest.mark.parametrize(("how", "delay", "whom"), together(1, 10, seed=5, longest=8.0))
def test_two_ranks_evaluate(tmp_path, how, delay, whom):
    model = build_momlp(targets.get("cone", n=2), eps=0.05)
    save(model, tmp_path / "m.safetensors")
    x = np.random.default_rng(0).uniform(0, 1, (50_000, 2))
    np.save(tmp_path / "x.npy", x)
    path = tmp_path / "y.npy"
    arguments = ("m.safetensors", "--points", "x.npy", "--out", "y.npy", "--batch", 20, "--timeout", 20)
    code, said = kill_together(torchrun(2, "theory", "eval", *arguments), tmp_path, HOW[how], delay, whom)
    assert path.exists() or code != 0, said
    if path.exists():
        assert np.array_equal(np.load(path), model(torch.from_numpy(x)).numpy())
    check_drafts(tmp_path, signal.SIGKILL)
