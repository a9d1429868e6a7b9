"""Benchmarks of memory budgets, reading ahead, training banks and several processes; part of `run.py`.

Main definitions: `throughput`, `rest`.
"""

from __future__ import annotations

import os
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from timing import row, seconds, seconds_each
from torch import Tensor, nn

from constructions import build_momlp, load, save, targets
from constructions.expert_rows.answers import stream
from constructions.expert_rows.cache import ExpertSource
from constructions.momlp.model import MoMLP
from constructions.trained_momlp import prepare
from constructions.trained_momlp.training import Options, train_bank
from theory.torchrun import torchrun

SHARES = (50, 20, 10, 5, 2, 1)
BATCH = 512


def throughput(*, quick: bool) -> list[dict]:
    """Points a second of a stored model within 1/50 … 1/1 of its bytes, against the model in memory."""
    model = _model()
    x = _queries(model, 5_000 if quick else 20_000)
    parts = x.split(BATCH)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        path = save(model, Path(folder) / "m.safetensors")
        whole = len(x) / seconds(lambda: [model(p) for p in parts])
        for share in SHARES:
            # as much again for what a budget shares out among staging and gathering
            lazy = load(path, lazy=True, budget_bytes=(2 if share == 1 else 1) * model.resident_bytes // share)
            require_equal(lazy, model, x)
            ours = len(x) / seconds(lambda lazy=lazy: list(stream(lazy, parts)))
            name = f"answer within 1/{share} of {model.resident_bytes / 1e6:.0f} MB, {len(x)} uneven points"
            if share == 1:
                name = name.replace("1/1 of", "twice the")
            entry = row(name, "the model in memory", "points/s", ours, whole)
            rows.append(entry | {"share": 1 / share if share > 1 else 2.0})
    return rows


def rest(*, quick: bool) -> list[dict]:
    """All other rows of this file."""
    return [*reading(quick=quick), training(quick=quick), *processes(quick=quick)]


def require_equal(lazy: MoMLP, model: MoMLP, x: Tensor) -> None:
    if not torch.equal(lazy(x), model(x)):
        raise RuntimeError("a stored model differs from the model in memory")


def _model() -> MoMLP:
    return build_momlp(targets.get("sum_of_sines", n=3), eps=0.006)


def _queries(model: MoMLP, count: int) -> Tensor:
    """Points of uneven density: some regions are asked for often, most seldom."""
    x = model.plan.domain.sample(count, torch.Generator().manual_seed(0))
    return torch.cat([x[:, :2] ** 4, x[:, 2:]], 1)


LATENCY = 0.005
BUDGETS = (10, 2)  # parts of the bytes


def reading(*, quick: bool) -> list[dict]:
    """Experts read ahead, and when they are needed: from a file, and from a file behind some latency."""
    model = _model()
    parts = _queries(model, 5_000 if quick else 20_000).split(BATCH)
    count, rows = sum(map(len, parts)), []
    with tempfile.TemporaryDirectory() as folder:
        path = save(model, Path(folder) / "m.safetensors")

        def work(latency: float = 0, ahead: bool = False, share: int = 10, forget: bool = True) -> Callable[[], None]:
            def run() -> None:
                if forget:
                    _forget(path)
                lazy = load(path, lazy=True, budget_bytes=model.resident_bytes // share)
                _delay(lazy, latency)
                for _part in stream(lazy, parts) if ahead else map(lazy, parts):
                    pass

            return run

        for latency in (0, LATENCY):
            ours, theirs = seconds_each(work(latency, ahead=True), work(latency))
            name = f"read ahead, {1000 * latency:g} ms of latency, 1/10 of the bytes, {count} uneven points"
            rows.append(row(name, "read when needed", "points/s", count / ours, count / theirs))
        for forget in (True, False):
            peer = _memmapped(model, parts, Path(folder), forget=forget)
            theirs, *ours = seconds_each(peer, *(work(share=share, forget=forget) for share in BUDGETS))
            for share, taken in zip(BUDGETS, ours, strict=True):
                where = "from the disk" if forget else "file in the system's memory"
                name = f"read when needed, 1/{share} of the bytes, {where}, {count} uneven points"
                rows.append(row(name, "numpy.memmap, no budget, no digests", "points/s", count / taken, count / theirs))
    return rows


def _delay(lazy: MoMLP, latency: float) -> None:
    """Let every read take `latency` seconds more, as from a network."""
    assert lazy.cache is not None
    source = lazy.cache.source

    def slow(leaves: Tensor) -> tuple[Tensor, ...]:
        time.sleep(latency)
        return source(leaves)

    if latency:
        lazy.cache.source = ExpertSource(slow)


def _forget(path: Path) -> None:
    """Ask the system to drop a file from its cache (it may decline)."""
    if hasattr(os, "posix_fadvise"):
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _memmapped(model: MoMLP, parts: tuple[Tensor, ...], folder: Path, *, forget: bool) -> Callable[[], None]:
    """The obvious way: rows of a memory-mapped array gathered for every point."""
    weight, bias = (t.detach().numpy() for t in (model.out_weight, model.out_bias))
    np.save(folder / "weight.npy", weight)
    hidden, shift = model.hidden_weight.numpy(), model.hidden_bias.numpy()

    def run() -> None:
        if forget:
            _forget(folder / "weight.npy")
        rows = np.load(folder / "weight.npy", mmap_mode="r")
        for part in parts:
            flat = model.tree.flat_index(model.route(part)).numpy()
            active = np.maximum(part.numpy() @ hidden.T + shift, 0)
            np.einsum("bk,bmk->bm", active, rows[flat]) + bias[flat]

    return run


def training(*, quick: bool) -> dict:
    """Expert steps a second of one bank, against one torch MLP with its own AdamW after another."""
    g = torch.Generator().manual_seed(0)
    x = torch.rand(4000, 2, generator=g, dtype=torch.float64)
    y = torch.sin(9 * x[:, 0]) * x[:, 1]
    leaves, width, batch = 64, 16, 32
    steps = 30 if quick else 100
    options = Options(steps=steps, batch_size=batch, evaluate_every=steps)
    ready = prepare(x, y, leaves=leaves, expert_hidden=(width,), generator=g)
    first = ready.initial.clone()
    ours = seconds(lambda: train_bank(ready.problem, first.clone(), ready.widths, options))

    def loop() -> None:
        # an eighth of the experts is enough to know the rate
        for expert in range(leaves // 8):
            rows = ready.problem.train.whole(torch.tensor([expert]), batch)[0][0]
            net = nn.Sequential(nn.Linear(2, width), nn.ReLU(), nn.Linear(width, 1)).double()
            optimiser = torch.optim.AdamW(net.parameters(), lr=1e-2)
            for _ in range(steps):
                loss = (net(ready.problem.z[rows]) - ready.problem.y[rows]).square().mean()
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()

    theirs = seconds(loop) * 8
    name = f"train {leaves} experts of {width} units, {steps} steps of {batch} points"
    return row(name, "torch MLPs one after another", "expert steps/s", leaves * steps / ours, leaves * steps / theirs)


def processes(*, quick: bool) -> list[dict]:
    """Routing and evaluation of a file of points by 2 processes against 1, each of one thread, started by torchrun."""
    count = 100_000 if quick else 1_000_000
    model = build_momlp(targets.get("sum_of_sines", n=3), eps=0.02)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save(model, folder / "m.safetensors")
        np.save(folder / "x.npy", model.plan.domain.sample(count, torch.Generator().manual_seed(0)).numpy())

        def rate(world: int) -> float:
            arguments = [folder / "m.safetensors", "--points", folder / "x.npy", "--out", folder / "y.npy"]
            times = []
            for _ in range(3):
                said = torchrun(world, "theory", "eval", *arguments, check=True).stdout
                found = re.search(r"in ([\d.]+) s", said)
                assert found is not None
                times.append(float(found[1]))
            return count / sorted(times)[1]

        one = rate(1)
        return [
            row(f"file of {count} points, n=3, eps=0.02: {w} processes", "1 process", "points/s", rate(w), one)
            for w in (2, 4)
        ]
