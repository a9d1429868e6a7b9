"""DeMo against AdamW: seconds of a step, where they go, and bytes on the wire; part of `run.py`.

    python benchmarks/demo_optimizer.py [--quick]      # with several processes: gloo on this machine

With W processes the peer is torch's AdamW after a dense all-reduce of the gradients, as data-parallel training does it.

Main definition: `steps`.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
from collections.abc import Callable
from datetime import timedelta

import torch
import torch.distributed as dist
from rich.console import Console
from timing import row, seconds_each, show

from constructions.demo_optimizer import DeMo, SimulatedDeMo, payload, wire
from theory.torchrun import free_port

SHAPES = [(512, 512)] * 3 + [(128, 512)] * 3 + [(512,)] * 6
"""Parameters of about a million numbers, all sides multiples of 64."""

WORLDS = (1, 2, 4)
TOPK = 32


def _with_gradients(rank: int) -> list[torch.nn.Parameter]:
    source = torch.Generator().manual_seed(rank)
    params = [torch.nn.Parameter(torch.zeros(shape)) for shape in SHAPES]
    for p in params:
        p.grad = torch.randn(p.shape, generator=source)
    return params


def _averaged_adamw(params: list[torch.nn.Parameter], world: int) -> Callable[[], object]:
    optimizer = torch.optim.AdamW(params, foreach=True)

    def step() -> None:
        if world > 1:
            flat = torch.cat([p.grad.flatten() for p in params if p.grad is not None])
            dist.all_reduce(flat)
        optimizer.step()

    return step


def _timed(rank: int, world: int) -> list[float]:
    """Seconds of a step of DeMo and of AdamW, on one rank of `world`."""
    torch.set_num_threads(1)
    return seconds_each(DeMo(_with_gradients(rank), topk=TOPK).step, _averaged_adamw(_with_gradients(rank), world))


def _rank(pipe: object, rank: int, world: int, port: int) -> None:
    os.environ.update({"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)})
    dist.init_process_group("gloo", rank=rank, world_size=world, timeout=timedelta(seconds=120))
    pipe.send(_timed(rank, world))  # type: ignore[attr-defined]
    dist.destroy_process_group()


def _on_ranks(world: int) -> list[float]:
    """What rank 0 measures."""
    if world == 1:
        return _timed(0, 1)
    context, port = multiprocessing.get_context("spawn"), free_port()
    pipes = [context.Pipe(duplex=False) for _ in range(world)]
    ranks = [context.Process(target=_rank, args=(pipes[r][1], r, world, port)) for r in range(world)]
    for rank in ranks:
        rank.start()
    answers = [pipes[r][0].recv() for r in range(world) if pipes[r][0].poll(300)]
    for rank in ranks:
        rank.join(60)
    if len(answers) < world:
        raise RuntimeError(f"{world - len(answers)} of {world} ranks did not answer")
    return answers[0]


def steps(*, quick: bool) -> list[dict]:
    """Steps a second and bytes a worker, for every number of processes, and what the transforms cost."""
    size = payload(SHAPES, topk=TOPK)
    rows = []
    for world in WORLDS[:1] if quick else WORLDS:
        ours, theirs = _on_ranks(world)
        name = f"{size.dense_bytes // 4} parameters, k={TOPK}, W={world}"
        rows.append(row(f"step, {name}", "AdamW (foreach), dense all-reduce", "steps/s", 1 / ours, 1 / theirs))
        if world > 1:
            ring = wire(size.bytes, size.dense_bytes, world)
            rows.append(row(f"ring, {name}", "dense all-reduce", "bytes", float(ring.gathered), float(ring.reduced)))
    rows.append(_transforms())
    return rows


def _transforms() -> dict:
    """A step with the identity in the place of the cosines: what is left is top-k, packing and the update."""
    params, others = _with_gradients(0), _with_gradients(0)
    with_cosines, without = (
        SimulatedDeMo(params, 1, topk=TOPK),
        SimulatedDeMo(others, 1, topk=TOPK, transform="identity"),
    )
    gradients = [[p.grad for p in params]]
    cosines, identity = seconds_each(lambda: with_cosines.step(gradients), lambda: without.step(gradients))
    share = 1 - identity / cosines
    return row(f"step, cosines (they take {share:.0%})", "step, identity", "steps/s", 1 / cosines, 1 / identity)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one process")
    show(steps(quick=parser.parse_args().quick), Console(width=180))
