"""Claims in several processes: the verdicts of one process, in reading order; a process that dies costs one claim."""

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from theory import systems, workers
from theory.claim import Claim, Context, Evidence, Status, Verdict
from theory.systems import REGISTRY
from theory.verify import run
from theory.workers import run_in_processes

NAMES = ["momlp.sharpness", "super_expressive.floating_point", "momlp.trade_off", "vc_dimension.single_mlp_lower_bound"]
CLAIMS = [REGISTRY[name] for name in NAMES]


def plain(row):
    return row.claim.id, replace(row.verdict, seconds=0.0)


def test_two_processes_say_what_one_says_in_reading_order():
    seen = []
    found = run_in_processes(CLAIMS, Context(seed=3), 2, finished=lambda row: seen.append(row.claim.id))
    assert list(map(plain, found.rows)) == list(map(plain, run(CLAIMS, Context(seed=3)).rows))
    assert [row.claim.id for row in found.rows] == NAMES
    assert sorted(seen) == sorted(NAMES)
    assert not found.interrupted
    assert all(row.verdict.seconds > 0 for row in found.rows)


def test_progress_of_the_processes_is_heard():
    said = []
    run_in_processes([REGISTRY["vc_dimension.routing_only"]], Context(log=said.append), 1)
    assert any("all labelings of" in message for message in said)


def test_a_process_that_dies_costs_one_claim(monkeypatch):
    honest, killed = workers._Worker.give, []

    def give(self, claim):
        honest(self, claim)
        if claim.id == NAMES[1]:
            killed.append(claim.id)
            os.kill(self.process.pid, signal.SIGKILL)

    monkeypatch.setattr(workers._Worker, "give", give)
    found = run_in_processes(CLAIMS, Context(), 2)
    assert killed == [NAMES[1]]
    assert [row.claim.id for row in found.rows] == NAMES
    lost = found.rows[1].verdict
    assert lost.status is Status.INCONCLUSIVE
    assert lost.reason == "the process that decided it ended (exit code -9)"
    assert all(row.as_expected for row in found.rows if row.claim.id != NAMES[1])
    assert not found.as_expected


def test_ctrl_c_keeps_what_was_decided():
    long = [REGISTRY[name] for name in ("vc_dimension.deep", "bit_extraction.parameters")]
    seen = []

    def finished(row):
        seen.append(row.claim.id)
        threading.Thread(target=lambda: (time.sleep(0.2), os.kill(os.getpid(), signal.SIGINT))).start()

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        found = run_in_processes([CLAIMS[0], *long], Context(), 3, finished=finished)
    finally:
        signal.signal(signal.SIGINT, before)
    assert found.interrupted
    assert [row.claim.id for row in found.rows] == seen
    assert 1 <= len(seen) <= 2


def test_claims_of_this_process_are_decided_in_it(monkeypatch):
    mine = Claim("mine.own", "t", "s", "here", Status.PROVED, reproduce=lambda context: _proved(os.getpid()))
    monkeypatch.setitem(systems.ADDED, mine.id, mine)
    found = run_in_processes([mine, CLAIMS[0]], Context(), 2)
    assert [row.claim.id for row in found.rows] == ["mine.own", NAMES[0]]
    assert found.rows[0].verdict.numbers == {"pid": os.getpid()}


def _proved(pid):
    return Verdict(Status.PROVED, Evidence.EXACT, "here", {"pid": pid})


@pytest.mark.parametrize("kind", ["raises", "no verdict"])
def test_errors_in_a_process_are_reasons(kind, monkeypatch):
    """In the process itself: what a reproduction raises never ends the worker."""
    claim = replace(CLAIMS[0], reproduce=(lambda c: 1 / 0) if kind == "raises" else (lambda c: None))
    row = workers.decided(claim, Context())
    assert row.verdict.status is Status.INCONCLUSIVE
    assert ("ZeroDivisionError" if kind == "raises" else "must return a Verdict") in row.verdict.reason


def test_claims_that_share_what_they_compute_are_decided_by_one_process():
    by_system = [REGISTRY[f"demo_optimizer.{name}"] for name in ("payload_measured", "workers_agree", "wire")]
    groups = workers._together([*CLAIMS[:2], *by_system])
    assert sorted(len(group) for group in groups) == [1, 1, 1, 2]
    assert by_system[:2] in groups
    assert workers._together([replace(CLAIMS[0], slow=True), CLAIMS[1]])[-1][0].slow

    given = {}

    def give(self, claim):
        given.setdefault(id(self), []).append(claim.id)
        honest(self, claim)

    honest = workers._Worker.give
    shared = [replace(c, shares="the same") for c in (REGISTRY["momlp.sharpness"], REGISTRY["momlp.trade_off"])]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(workers._Worker, "give", give)
        found = run_in_processes([*shared, CLAIMS[1]], Context(), 2)
    assert found.as_expected
    assert sorted(given.values()) == sorted([[c.id for c in shared], [NAMES[1]]])


def test_a_budget_that_is_too_small_to_decide_says_what_it_ends_with():
    mine = Claim("mine.own", "t", "s", "here", Status.PROVED, quick=Status.OPEN, reproduce=lambda context: OPEN_HERE)
    assert mine.within("quick").expected is Status.OPEN
    assert mine.within("full") is mine
    assert run([mine], Context()).as_expected
    assert not run([mine], Context(budget="full")).as_expected
    with pytest.raises(TypeError, match="`quick` must be None or a Status"):
        replace(mine, quick="OPEN")


OPEN_HERE = Verdict(Status.OPEN, Evidence.NONE, "too small to decide")


ALONE = """
import os, signal, sys
from multiprocessing import Pipe
from theory import workers
ours, theirs = Pipe()
"""


def run_alone(script):
    """A process that is a worker: its exit code, what it printed, what it said on the error stream."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    line = [sys.executable, "-c", ALONE + script]
    done = subprocess.run(line, capture_output=True, text=True, timeout=120, env=environment, check=False)
    return done.returncode, done.stdout, done.stderr


def test_a_worker_that_is_ending_is_ended_without_a_word():
    script = """
ours.close()
workers._work(theirs, "quick", "cpu", 0)
print("left", flush=True)
os.kill(os.getpid(), signal.SIGTERM)
"""
    assert run_alone(script) == (-signal.SIGTERM, "left\n", "")


def test_a_worker_that_decides_tidies_up_when_it_is_ended():
    script = """
def decided(claim, context):
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        signal.pause()
    finally:
        print("tidied", claim.id, flush=True)
workers.decided = decided
ours.send("momlp.sharpness")
workers._work(theirs, "quick", "cpu", 0)
print("left", signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)
"""
    assert run_alone(script) == (0, "tidied momlp.sharpness\nleft True\n", "")


def test_an_idle_worker_is_ended_without_a_word():
    script = """
import threading, torch
threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGTERM)).start()
workers._work(theirs, "quick", "cpu", 0)
"""
    code, out, err = run_alone(script)
    assert (code, out, err) == (-signal.SIGTERM, "", "")
