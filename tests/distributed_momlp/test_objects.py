"""Real processes: equality with one process, unbalanced and empty ranks, more ranks than experts, dead ranks."""

import json
import os
import signal
import subprocess

import numpy as np
import pytest
import torch

from constructions import build_momlp, load, save, targets, train_momlp
from constructions.distributed_momlp import Shards, plan_devices, simulated_traffic
from constructions.pathway_tree.tree import PathwayTree
from constructions.trained_momlp.training import Options
from theory.torchrun import alone, command, torchrun


def evaluate(processes, *arguments):
    return torchrun(processes, "theory", "eval", *arguments, timeout=240)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("distributed")
    save(build_momlp(targets.get("sum_of_sines", n=3), eps=0.03), path / "pencil.safetensors")
    save(build_momlp(targets.get("cone", n=2), eps=0.4), path / "few.safetensors")
    g = torch.Generator().manual_seed(0)
    x = torch.rand(1500, 3, generator=g, dtype=torch.float64)
    trained = train_momlp(x, x[:, 0] * x[:, 1], leaves=21, expert_hidden=(8,), options=Options(steps=30), generator=g)
    save(trained, path / "trained.safetensors")
    np.save(path / "million.npy", torch.rand(1_000_000, 3, generator=g, dtype=torch.float64).numpy())
    np.save(path / "some.npy", x.numpy())
    np.save(path / "plane.npy", x[:, :2].numpy())
    np.save(path / "corner.npy", (x * 1e-3).numpy())
    np.save(path / "one.npy", x[:1].numpy())
    return path


@pytest.mark.parametrize("processes", [2, 4])
def test_a_million_points_equal_the_single_process(folder, processes):
    out = folder / f"y{processes}.npy"
    done = evaluate(processes, folder / "pencil.safetensors", "--points", folder / "million.npy", "--out", out)
    assert done.returncode == 0, done.stderr
    assert f"{processes} ranks" in done.stdout
    expected = load(folder / "pencil.safetensors")(torch.from_numpy(np.load(folder / "million.npy")))
    assert np.array_equal(np.load(out), expected.numpy())


@pytest.mark.parametrize(
    ("model", "points", "processes"),
    [
        ("trained", "some", 2),
        ("pencil", "corner", 3),  # totally unbalanced: all points belong to one expert
        ("pencil", "one", 3),  # empty batches on two ranks
        ("few", "plane", 4),  # more ranks than experts
    ],
)
def test_odd_loads_equal_the_single_process(folder, model, points, processes):
    stored, source, out = folder / f"{model}.safetensors", folder / f"{points}.npy", folder / f"{model}-{points}.npy"
    single = load(stored)
    if points == "corner":
        traffic = simulated_traffic(single, torch.from_numpy(np.load(source)), processes)
        assert (traffic.sum(0) > 0).sum() == 1
    if model == "few":
        assert single.num_leaves < processes
    done = evaluate(processes, stored, "--points", source, "--out", out, "--batch", 400)
    assert done.returncode == 0, done.stderr
    assert np.array_equal(np.load(out), single(torch.from_numpy(np.load(source))).numpy())


def test_bad_points_on_one_rank_stop_all_and_write_nothing(folder, tmp_path):
    points = np.load(folder / "some.npy")
    points[-1, 0] = 7.0
    np.save(tmp_path / "bad.npy", points)
    out = tmp_path / "y.npy"
    done = evaluate(2, folder / "pencil.safetensors", "--points", tmp_path / "bad.npy", "--out", out)
    assert done.returncode != 0
    assert "must lie in the domain" in done.stderr
    assert list(tmp_path.iterdir()) == [tmp_path / "bad.npy"]


LOOP = """
    import sys, torch
    from constructions.errors import RankLost
    from constructions.ranks import Ranks
    from constructions.distributed_momlp import ShardedMoMLP
    with Ranks.start(timeout=8) as ranks:
        model = ShardedMoMLP.load({path!r}, ranks)
        x = torch.rand(100, 3, dtype=torch.float64)
        print("ready", flush=True)
        try:
            while True:
                model(x)
        except RankLost as err:
            print(f"lost: {{err}}", flush=True)
            sys.exit(3)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
def test_a_rank_that_dies_or_hangs_is_a_clear_error_on_the_others(folder, how, start_ranks):
    processes = start_ranks(LOOP.format(path=str(folder / "pencil.safetensors")), 3)
    for p in processes:
        assert p.stdout.readline() == "ready\n"
    processes[2].send_signal(how)
    for p in processes[:2]:
        out, _ = p.communicate(timeout=60)
        assert p.returncode == 3
        assert "another rank died or stopped answering" in out


def test_a_rank_killed_under_torchrun_leaves_no_output(folder, tmp_path):
    out = tmp_path / "y.npy"
    arguments = [folder / "pencil.safetensors", "--points", folder / "million.npy", "--out", out, "--batch", 200]
    run = subprocess.Popen(
        command(2, "theory", "eval", *arguments),
        env=alone(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while not list(tmp_path.glob("*/draft.npy")):
            assert run.poll() is None
        found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(run.pid)], capture_output=True, text=True, check=True)
        os.kill(int(found.stdout.split()[-1]), signal.SIGKILL)
        assert run.wait(timeout=120) != 0
    finally:
        run.kill()
    assert not out.exists()


MEASURED = """
    import json, torch
    from constructions.ranks import Ranks
    from constructions.distributed_momlp import ShardedMoMLP
    with Ranks.start(timeout=30) as ranks:
        model = ShardedMoMLP.load({path!r}, ranks)
        x = torch.rand(500, 3, generator=torch.Generator().manual_seed(ranks.rank), dtype=torch.float64)
        model(x)
        leaves = model.model.route(x)
        owner = model.shards.owner(leaves)
        away = torch.bincount(owner, minlength=ranks.world).tolist()
        report = model.report()
        print(json.dumps([report["forward_messages"], report["forward_bytes"], model.own_experts,
                          sum(t.nbytes for t in model.rows) + model.own.nbytes, away]), flush=True)
"""


def test_the_planner_equals_a_measured_run(folder, start_ranks):
    world = 3
    plan = plan_devices(3, 0.03, 1.0, device_bytes=1 << 20, devices=world, batch=500)
    found = []
    for p in start_ranks(MEASURED.format(path=str(folder / "pencil.safetensors")), world):
        out, err = p.communicate(timeout=120)
        assert p.returncode == 0, err
        found.append(json.loads(out))
    assert plan.leaves == sum(f[2] for f in found)
    assert plan.experts == max(f[2] for f in found)
    shared = 8 * plan.design.knots * (plan.design.n + 1)
    assert plan.bytes == shared + max(f[3] for f in found)
    for rank, (messages, sent, _, _, away) in enumerate(found):
        others_in = sum(f[4][rank] for i, f in enumerate(found) if i != rank)
        assert messages == plan.messages
        assert sent == plan.sent_bytes(500 - away[rank], others_in) <= plan.worst_bytes


def test_the_worst_case_is_attained_when_two_devices_own_each_others_points():
    model = build_momlp(targets.get("sum_of_sines", n=3), eps=0.1)
    x = torch.rand(1000, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    leaves = model.route(x)
    owner = Shards.of(model.tree, 2).owner(leaves)
    zeros, ones = x[owner == 0][:400], x[owner == 1][:400]
    traffic = simulated_traffic(model, torch.cat([ones, zeros]), 2)  # each device has the other's points
    assert traffic.tolist() == [[0, 400], [400, 0]]
    plan = plan_devices(3, 0.1, 1.0, device_bytes=1 << 20, devices=2, batch=400)
    assert plan.worst_bytes == plan.sent_bytes(400, 400) == 8 + 400 * 8 * (3 + 1)
    assert plan_devices(3, 0.1, 1.0, device_bytes=1 << 20, devices=1, batch=400).worst_bytes == 0


# --- shards and plans, in one process ------------------------------------------------------------------


@pytest.mark.parametrize("cells", [(7,), (30, 30), (5, 4, 3), (), (1, 9)])
@pytest.mark.parametrize("world", [1, 2, 3, 8, 100])
def test_every_leaf_has_one_owner(cells, world):
    tree = PathwayTree(cells)
    shards = Shards.of(tree, world)
    parts = [shards.leaves_of(r) for r in range(world)]
    assert torch.equal(torch.cat(parts).sort().values, torch.arange(tree.num_leaves))
    assert [len(p) for p in parts] == list(shards.counts)
    owner = shards.owner(tree.leaf_indices())
    assert all(bool((owner[p] == r).all()) for r, p in enumerate(parts))
    assert max(shards.counts) - min(shards.counts) <= 2 * max(1, tree.num_leaves // (8 * world))


def test_the_plan_of_a_thousand_devices():
    plan = plan_devices(8, 0.05, 1.0, device_bytes=80 * 10**9, devices=1000)
    assert plan.leaves == plan.design.leaves == plan.design.cells[0] ** 7
    assert plan.experts * 1000 >= plan.leaves
    assert plan.fits
    assert plan.messages == 2997
    assert plan.needed * (plan.device_bytes // (8 * (plan.design.knots + 2))) >= plan.leaves
    assert not plan_devices(8, 0.05, 1.0, device_bytes=10**6, devices=1000).fits
    with pytest.raises(ValueError, match="`devices` must be"):
        plan_devices(8, 0.05, 1.0, device_bytes=1, devices=0)
