"""Experts read from a file: few calls, any order, and damage that is found wherever it lies."""

import json
import os
import struct
import threading

import numpy as np
import pytest
import torch

from constructions import StoreError, build_momlp, load, save, targets
from constructions.expert_rows import file as files
from constructions.expert_rows.file import ExpertFile
from constructions.momlp.store import EXPERTS


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    model = build_momlp(targets.get("sum_of_sines", n=3), eps=0.03)
    return model, save(model, tmp_path_factory.mktemp("store") / "m.safetensors")


def first_byte(path, name):
    raw = path.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    return 8 + length + json.loads(raw[8 : 8 + length])[name]["data_offsets"][0]


def with_flipped_bit(path, at, folder):
    content = bytearray(path.read_bytes())
    content[at] ^= 4
    damaged = folder / "damaged.safetensors"
    damaged.write_bytes(content)
    return damaged


@pytest.mark.parametrize("way", ["at once", "waiting", "without preadv", "a few bytes a call"])
@pytest.mark.parametrize("held", [False, True])
def test_any_experts_in_any_order(stored, monkeypatch, way, held):
    model, path = stored
    if way != "at once":
        monkeypatch.setattr(files, "READ_AT_ONCE", None)
    if way == "without preadv":
        monkeypatch.delattr(os, "preadv")
    file = ExpertFile(path, EXPERTS)
    if way == "a few bytes a call":
        plain = os.preadv
        file._read_some = lambda fd, parts, at: plain(fd, [next(p for p in parts if len(p))[:7]], at)
    assert bool(file.hold((1 << 20) if held else 0)) is held
    g = torch.Generator().manual_seed(0)
    count = model.num_leaves
    some = [torch.randint(0, count, (k,), generator=g).tolist() for k in (1, 2, 40)]
    for ids in ([], [0], [count - 1], list(range(30)), [7, 7, 3], [*range(5), *range(9, 400, 3)], *some):
        weight, bias = file.experts(ids)
        assert torch.equal(weight, model.out_weight[ids])
        assert torch.equal(bias, model.out_bias[ids])


def test_neighbours_are_read_in_one_call(stored, monkeypatch):
    _, path = stored
    monkeypatch.setattr(files, "READ_AT_ONCE", None)
    file, calls = ExpertFile(path, EXPERTS), []
    plain = file._read_some
    file._read_some = lambda *arguments: calls.append(1) or plain(*arguments)
    file.experts(range(100, 300))
    assert len(calls) == 3  # weights, biases and digests
    calls.clear()
    file.experts(range(0, 300, 3))  # what lies between is read too
    assert len(calls) == 3


@pytest.mark.parametrize("held", [False, True])
@pytest.mark.parametrize("name", ["out_weight", "out_bias", "expert_digests"])
def test_one_damaged_expert_among_those_that_are_read(stored, tmp_path, name, held):
    """Found by its own digest when it is asked for, and only then, also where it was read as a gap."""
    model, path = stored
    width = {"out_weight": 8 * model.plan.columns, "out_bias": 8, "expert_digests": 32}[name]
    damaged = with_flipped_bit(path, first_byte(path, name) + 13 * width + 5, tmp_path)
    file = ExpertFile(damaged, EXPERTS)
    assert bool(file.hold((1 << 20) if held else 0)) is held
    assert torch.equal(file.experts([12, 14])[0], model.out_weight[[12, 14]])
    for ids in ([13], [11, 13, 12], list(range(40))):
        with pytest.raises(StoreError, match=r"the digest of expert 13 differs: .*altered or damaged"):
            file.experts(ids)


@pytest.mark.parametrize("share", [4, 12])
def test_damage_does_not_spoil_later_answers(stored, tmp_path, share):
    """A part of a batch is damaged: the batch is refused, and what was half read answers nothing afterwards."""
    model, path = stored
    budget = model.resident_bytes // share
    cells = model.tree.cells
    damaged = with_flipped_bit(path, first_byte(path, "out_weight") + 20 * 8 * model.plan.columns, tmp_path)
    lazy = load(damaged, lazy=True, budget_bytes=budget)
    x = model.plan.domain.sample(3000, torch.Generator().manual_seed(2))
    bad = model.tree.flat_index(model.route(x)) == 20
    if not bool(bad.any()):
        x[0, :2] = torch.tensor([(20 // cells[1] + 0.5) / cells[0], (20 % cells[1] + 0.5) / cells[1]])
        bad[0] = model.tree.flat_index(model.route(x[:1]))[0] == 20
    assert bool(bad.any())
    healthy = x[~bad]
    assert torch.equal(lazy(healthy[:500]), model(healthy[:500]))
    for part in range(3):
        with pytest.raises(StoreError, match="the digest of expert 20 differs"):
            lazy(x)
        some = healthy[part * 700 : part * 700 + 700]
        assert torch.equal(lazy(some), model(some))


def test_other_numbers_than_the_plan_asks_for(stored, tmp_path):
    from safetensors import safe_open
    from safetensors.torch import save_file

    _, path = stored
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = file.metadata()
    for names in (EXPERTS, EXPERTS[1:]):
        save_file(tensors | {name: tensors[name].float() for name in names}, tmp_path / "m", metadata=metadata)
        with pytest.raises(StoreError, match="altered or damaged"):
            load(tmp_path / "m", lazy=True)(torch.rand(5, 3, dtype=torch.float64))


def test_threads_read_the_same_open_file(stored):
    model, path = stored
    file, wrong = ExpertFile(path, EXPERTS), []

    def read(seed):
        g = torch.Generator().manual_seed(seed)
        for _ in range(30):
            ids = torch.randint(0, model.num_leaves, (50,), generator=g)
            if not torch.equal(file.experts(ids)[0], model.out_weight[ids]):
                wrong.append(seed)

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.skipif(not hasattr(os, "fork") or not hasattr(os, "preadv"), reason="no fork, or a shared offset")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_reads_the_same_open_file(stored):
    model, path = stored
    file, expected = ExpertFile(path, EXPERTS), model.out_weight.detach().numpy()

    def right(seed):
        picks = np.random.default_rng(seed).integers(0, model.num_leaves, (100, 20))
        return all((file.experts(ids.tolist())[0].numpy() == expected[ids]).all() for ids in picks)

    child = os.fork()
    if not child:
        os._exit(0 if right(1) else 1)
    mine = right(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert mine


def test_what_is_released_is_read_again(stored):
    """Digests and small rows of all experts are held; afterwards nothing is, and every answer stays right."""
    model, path = stored
    lazy = load(path, lazy=True)
    x = model.plan.domain.sample(300, torch.Generator().manual_seed(0))
    assert torch.equal(lazy(x), model(x))
    assert lazy.cache.nbytes >= 32 * model.num_leaves
    lazy.cache.release()
    assert lazy.cache.nbytes == 0
    assert torch.equal(lazy(x), model(x))
