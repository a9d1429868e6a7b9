"""Certificates and verdicts by many ranks: parts put together, real processes, failing and dying ranks."""

import json
import math
import os
import signal
import subprocess
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from constructions import LipschitzFunction, build_momlp, save
from constructions.ranks import Ranks
from theory import certify_uniform_error
from theory.checkers.uniform_error.share import Share
from theory.claim import Claim, Context, Evidence, Status, Table, Verdict
from theory.cli import main
from theory.together import _read, _written, certify_together, combined, run_together
from theory.torchrun import alone, command, torchrun
from theory.verify import run

PLANE = LipschitzFunction.from_sympy("sin(2*pi*x0)*x1", n=2)
LINE = LipschitzFunction.from_sympy("sin(6*x0)", n=1)


def parts(model, f, world, **options):
    return [certify_uniform_error(model, f, share=Share(r, world), **options) for r in range(world)]


# --- parts of a certificate, in one process -------------------------------------------------------------


@pytest.mark.parametrize("world", [2, 3, 5])
@pytest.mark.parametrize(("f", "eps"), [(PLANE, 0.1), (LINE, 0.01)], ids=["leaves", "boxes"])
def test_parts_together_say_what_the_whole_says(f, eps, world):
    model = build_momlp(f, eps=eps)
    whole = certify_uniform_error(model, f, eps=eps)
    found = parts(model, f, world, eps=eps)
    together = combined(found)
    assert together.status is whole.status is Status.CERTIFIED
    # each part has witnesses and a slack of its own
    assert (together.lower, together.upper) == pytest.approx((whole.lower, whole.upper), rel=1e-9)
    assert together.evaluations == whole.evaluations
    assert together.leaves_checked == together.leaves == model.num_leaves
    assert (model.num_leaves < world) == (f is LINE)
    assert all(c.evaluations < whole.evaluations for c in found)


@pytest.mark.parametrize("leaf", [0, 7, 20, 40, -1])
def test_a_defect_is_found_by_the_part_that_owns_it_and_by_no_other(leaf):
    model = build_momlp(PLANE, eps=0.1)
    leaf %= model.num_leaves
    model.out_bias[leaf] += 1.0
    found = parts(model, PLANE, 3, eps=0.1)
    owner = [r for r, part in enumerate(torch.arange(model.num_leaves).tensor_split(3)) if leaf in part]
    assert [r for r, c in enumerate(found) if c.status is Status.REFUTED] == owner
    assert combined(found).status is Status.REFUTED
    # the others alone see nothing wrong, and may not speak for the whole
    rest = combined([c for r, c in enumerate(found) if r not in owner])
    assert rest.upper <= 0.1
    assert rest.status is Status.INCONCLUSIVE
    assert [p.name for p in rest.failed] == ["the parts make a whole"]


@pytest.mark.parametrize("unit", [3, 100, 200])
def test_a_defect_in_one_piece_is_found_by_the_boxes_of_some_part(unit):
    model = build_momlp(LINE, eps=0.01)
    # a spike between two knots: bend up at one, down twice at the next, up again
    model.out_weight[0, 0, unit : unit + 3] += torch.tensor([20.0, -40.0, 20.0], dtype=torch.float64)
    found = parts(model, LINE, 4, eps=0.01)
    assert combined(found).status is Status.REFUTED


@pytest.mark.parametrize("method", ["a_priori", "sampled"])
def test_other_methods_are_shared_too(method):
    model = build_momlp(PLANE, eps=0.1)
    together = combined(parts(model, PLANE, 2, eps=0.1, method=method, samples=4000))
    assert together.status is (Status.CERTIFIED if method == "a_priori" else Status.NOT_REFUTED)
    assert math.isfinite(together.upper) == (method == "a_priori")
    assert together.leaves_checked == model.num_leaves


def test_bit_extraction_experts_are_shared():
    model = build_momlp(PLANE, eps=0.3, expert="bit_extraction", resolved=1)
    whole = certify_uniform_error(model, PLANE, eps=0.3)
    together = combined(parts(model, PLANE, 2, eps=0.3))
    assert together.status is whole.status is Status.CERTIFIED
    assert together.upper == pytest.approx(whole.upper, rel=1e-9)


def test_the_weakest_part_decides():
    good, bad = parts(build_momlp(PLANE, eps=0.1), PLANE, 2, eps=0.1)
    sampled = replace(bad, evidence=Evidence.SAMPLED)
    assert combined([good, sampled]).status is Status.NOT_REFUTED
    assert combined([good, bad]).evidence is good.evidence


@pytest.mark.parametrize(("rank", "world"), [(2, 2), (-1, 2), (0, 0)])
def test_a_share_must_be_one_of_its_world(rank, world):
    with pytest.raises(ValueError, match="must be"):
        Share(rank, world)


def test_one_process_alone():
    model = build_momlp(PLANE, eps=0.1)
    with Ranks.start(environment={}) as ranks:
        found = certify_together(model, PLANE, ranks, eps=0.1)
        rows = run_together([_claim("a.one", Status.CERTIFIED)], Context(), ranks).rows
    assert found.upper == certify_uniform_error(model, PLANE, eps=0.1).upper
    assert [row.as_expected for row in rows] == [True]


def test_verdicts_travel_unchanged():
    numbers = {"large": 2**80 + 1, "third": 1 / 3, "tiny": 5e-324, "inf": math.inf, "yes": True, "name": "ε"}
    tables = {"cases": Table(tuple(numbers), (tuple(numbers.values()),) * 2), "none": Table(("n",), ())}
    verdict = Verdict(Status.REFUTED, Evidence.EXACT, "a “reason”", numbers, {"b": -0.0}, "w", 1.5, "cpu", 3, tables)
    there = _read(_written(verdict))
    assert there == verdict
    assert all(type(there.numbers[k]) is type(v) for k, v in numbers.items())
    assert all(type(a) is type(b) for a, b in zip(there.tables["cases"].rows[1], numbers.values(), strict=True))


def _claim(name, status):
    verdict = Verdict(status, Evidence.FLOAT64, "as told", {"large": 2**80})
    return Claim(name, name, "", "", status, reproduce=lambda context: verdict)


# --- real processes -------------------------------------------------------------------------------------


@pytest.mark.parametrize("processes", [2, 3])
def test_certify_by_torchrun_equals_one_process(tmp_path, processes):
    model = build_momlp(PLANE, eps=0.05)
    save(model, tmp_path / "m.safetensors")
    whole = certify_uniform_error(model, PLANE, eps=0.05)
    done = torchrun(processes, "theory", "certify", tmp_path / "m.safetensors")
    assert done.returncode == 0, done.stderr
    assert f"{whole.upper:.9g}" in done.stdout
    assert f"{whole.lower:.9g}" in done.stdout
    assert f"{model.num_leaves} of {model.num_leaves}" in done.stdout
    assert done.stdout.count("CERTIFIED") == 1  # rank 0 alone prints
    if processes == 2:
        assert torchrun(2, "theory", "certify", tmp_path / "m.safetensors", "--eps", "0.01").returncode != 0


def test_verify_by_torchrun_decides_every_claim_once(tmp_path):
    names = ["pathway_tree.router_agreement", "momlp.sharpness", "momlp.slopes", "super_expressive.floating_point"]
    done = torchrun(2, "theory", "verify", *names, "--json", tmp_path / "v.json")
    assert done.returncode == 0, done.stderr
    written = json.loads((tmp_path / "v.json").read_text())
    assert [v["id"] for v in written["verdicts"]] == names
    assert written["as_expected"]
    assert all(done.stderr.count(f"{name} (rank") == 1 for name in names)


FAILING = """
    import sys, torch
    from constructions import LipschitzFunction, build_momlp
    from constructions.errors import RankFailed
    from constructions.ranks import Ranks
    from theory.together import certify_together
    f = LipschitzFunction.from_sympy("sin(2*pi*x0)*x1", n=2)
    model = build_momlp(f, eps=0.1)
    with Ranks.start(timeout=20) as ranks:
        broken = lambda x: torch.full((len(x), 1), float("nan"), dtype=x.dtype)
        mine = LipschitzFunction(broken, n=2, lipschitz=7.0) if ranks.rank == {rank} else f
        try:
            certify_together(model, mine, ranks, eps=0.1, method={method!r})
        except RankFailed as err:
            print("told:", err)
        except ValueError as err:
            print("own:", err)
"""


@pytest.mark.parametrize(("rank", "method"), [(0, "branch_and_bound"), (1, "branch_and_bound"), (1, "sampled")])
def test_an_error_on_one_rank_ends_all(rank, method, start_ranks):
    processes = start_ranks(FAILING.format(rank=rank, method=method), 2)
    said = [p.communicate(timeout=60)[0] for p in processes]
    assert "own:" in said[rank]
    assert "finite" in said[rank]
    assert f"rank {rank} failed while certifying" in said[1 - rank]


DYING = """
    import os, signal, sys, time
    from constructions.ranks import Ranks
    from theory.claim import Claim, Context, Evidence, Status, Table, Verdict
    from theory.together import run_together
    def decide(context):
        time.sleep(0.2)
        return Verdict(Status.CERTIFIED, Evidence.FLOAT64, "fine")
    with Ranks.start(timeout=20, patience=40) as ranks:
        def fatal(context):
            if ranks.rank == {victim}:
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(1)
            return decide(context)
        def claim(i):
            return Claim(f"test.c{{i}}", "", "", "", Status.CERTIFIED, reproduce=fatal if i in (2, 3) else decide)
        result = run_together([claim(i) for i in range(8)], Context(), ranks)
        print(result.interrupted, len(result.rows), result.lost)
"""


def test_a_rank_that_dies_costs_its_claim_and_no_other(start_ranks):
    leader, other = start_ranks(DYING.format(victim=1), 2)
    said, errors = leader.communicate(timeout=60)
    assert other.wait(timeout=60) != 0
    interrupted, rows, message = said.split(" ", 2)
    assert (interrupted, rows) == ("True", "7"), errors
    assert "another rank died or stopped answering while deciding claims" in message


def test_the_death_of_the_rank_that_holds_the_queue_is_a_clear_error(start_ranks):
    leader, other = start_ranks(DYING.format(victim=0), 2)
    said, errors = other.communicate(timeout=60)
    assert leader.wait(timeout=60) != 0
    interrupted, rows, message = said.split(" ", 2)
    assert interrupted == "True", errors
    assert int(rows) >= 1  # what the survivor decided itself is not lost
    assert message.startswith("rank 1: another rank died or stopped answering while")


class StoreThatDies:
    """Deals out claims, and fails when the third verdict is published; nothing can be read from then on."""

    def __init__(self):
        self.taken = self.published = 0

    def add(self, name, count):
        self.taken += count
        return self.taken

    def set(self, key, text):
        self.published += 1
        if self.published == 3:
            raise RuntimeError("connection reset")

    def check(self, keys):
        raise RuntimeError("connection reset")


def test_a_lost_store_leaves_what_this_rank_decided():
    ranks = Ranks(0, 2, torch.device("cpu"), 5.0, store=StoreThatDies())
    result = run_together([_claim(f"a.c{i}", Status.CERTIFIED) for i in range(8)], Context(), ranks)
    assert [row.claim.id for row in result.rows] == ["a.c0", "a.c1", "a.c2"]
    assert result.interrupted
    assert "connection reset" in result.lost


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks for the rank's process in /proc")
def test_a_rank_killed_under_torchrun_leaves_the_verdicts_reached(tmp_path):
    written = tmp_path / "v.json"
    run = subprocess.Popen(
        command(2, "theory", "verify", "super_expressive", "pathway_tree", "--json", written),
        env=alone(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        first = next(line for line in run.stderr if "(rank" in line)
        os.kill(child_of_rank(run.pid, 1), signal.SIGKILL)
        run.stderr.read()
        assert run.wait(timeout=120) != 0
    finally:
        run.kill()
    document = json.loads(written.read_text())
    assert document["interrupted"]
    names = [v["id"] for v in document["verdicts"]]
    assert first.split(" (rank")[0].split()[-1] in names
    assert len(names) < 6


def child_of_rank(parent, rank):
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(parent)], capture_output=True, text=True, check=True)
    for pid in map(int, found.stdout.split()):
        if f"RANK={rank}".encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
            return pid
    raise AssertionError(f"no process of rank {rank}")


def test_an_interruption_that_a_claim_loses_still_ends_the_run():
    """C code that is being imported may drop a KeyboardInterrupt: the claims behind it once all failed in turn."""
    asked, begun = [], []

    def lost(context):
        asked.append(True)  # what the handler does, before the exception gets lost
        raise ImportError("half a module")

    claims = [
        Claim(f"s.{name}", name, "1 = 1", "ours", Status.PROVED, reproduce=made)
        for name, made in (
            ("before", lambda c: Verdict(Status.PROVED, Evidence.EXACT, "")),
            ("at", lost),
            ("after", lost),
        )
    ]
    found = run(claims, Context(), starting=lambda claim: begun.append(claim.id), stopped=lambda: bool(asked))
    assert found.interrupted
    assert [row.claim.id for row in found.rows] == ["s.before"]
    assert begun == ["s.before", "s.at"]
    assert not found.as_expected


@pytest.fixture
def heard():
    """An interruption reaches this process, also where the tests run in the background of a shell."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heard")
def test_a_command_whose_interruption_got_lost_says_so(monkeypatch, capsys):
    def lose(args):
        with suppress(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        raise ValueError("too many values to unpack")

    monkeypatch.setattr("theory.cli.listing.run_list", lose)
    assert main(["list"]) == 130
    assert "interrupted" in capsys.readouterr().err
    monkeypatch.setattr("theory.cli.listing.run_list", lambda args: 0)
    assert main(["list"]) == 0
