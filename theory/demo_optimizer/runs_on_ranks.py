"""DeMo on ranks of its own, each a process with gloo: what they hand to collectives, and what they end with.

`python -m theory.demo_optimizer.runs_on_ranks` is one rank, and prints what it saw as JSON.

Main definitions: `on_ranks`, `mixtures_on_ranks`, `trained_parameters`, `Classes`.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from theory.torchrun import alone, free_port

HEAD = 8
STEPS, COUNTED = 50, 2
RATE, TOPK, DECAY = 1e-2, 8, 0.9
DTYPES = ("float32", "float64")
LIMIT, LIMIT_OF_MIXTURES = 300.0, 1800.0  # seconds


@cache
def on_ranks(world: int, every_k: bool) -> list[dict[str, Any]]:
    """What each of `world` ranks saw: "counts" of bytes, "parameters" by dtype. RuntimeError when one fails."""
    return _on_ranks(world, "all" if every_k else "few")


@cache
def mixtures_on_ranks(world: int, task: str, seeds: tuple[int, ...]) -> list[dict[str, Any]]:
    """What each of `world` ranks found when they trained mixtures together: fields of `Mixtures`, and "handed": how
    often it handed how many bytes to a collective."""
    return _on_ranks(world, "mixtures", task, *map(str, seeds), limit=LIMIT_OF_MIXTURES)


def _on_ranks(world: int, *words: str, limit: float = LIMIT) -> list[dict[str, Any]]:
    port = str(free_port())
    command = [sys.executable, "-m", "theory.demo_optimizer.runs_on_ranks", *words]
    started = []
    try:
        for rank in range(world):
            own = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world)}
            where = alone() | own | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
            pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
            started.append(subprocess.Popen(command, env=where, **pipes))
        said = [process.communicate(timeout=limit) for process in started]
    except subprocess.TimeoutExpired as late:
        raise RuntimeError(f"{world} ranks ({words[0]}) had not ended after {limit:g} seconds") from late
    finally:
        for process in started:
            process.kill()
    for rank, (process, (_, errors)) in enumerate(zip(started, said, strict=True)):
        if process.returncode != 0:
            raise RuntimeError(f"rank {rank} of {world} failed: {errors.strip()[-300:]}")
    return [json.loads(out.splitlines()[-1]) for out, _ in said]


class Classes:
    """A perceptron 64-32-10 on ten noisy centres; the gradients of a worker at a step are those of rows of its own."""

    def __init__(self, dtype: torch.dtype):
        g = torch.Generator().manual_seed(7)
        self.y = torch.arange(1000) % 10
        self.x = (torch.randn(10, 64, generator=g)[self.y] + torch.randn(1000, 64, generator=g)).to(dtype)
        shapes = ((32, 64), (32,), (10, 32), (10,))
        self.weights = [(torch.randn(s, generator=g) * s[-1] ** -0.5).to(dtype).requires_grad_() for s in shapes]

    def gradients(self, worker: int, step: int) -> list[Tensor]:
        g = torch.Generator().manual_seed(1000 * step + worker)
        rows = torch.randint(len(self.x), (16,), generator=g)
        a, b, c, d = self.weights
        loss = functional.cross_entropy(
            functional.linear(functional.linear(self.x[rows], a, b).relu(), c, d), self.y[rows]
        )
        return list(torch.autograd.grad(loss, self.weights))


def trained_parameters(take: Callable[[Classes, int], None], work: Classes, steps: int = STEPS) -> str:
    """A digest of all parameters' bytes after `steps` steps."""
    for t in range(steps):
        take(work, t)
    return hashlib.sha256(b"".join(w.detach().numpy().tobytes() for w in work.weights)).hexdigest()


@contextmanager
def counted_collectives() -> Iterator[list[int]]:
    """Bytes of every tensor that this process hands to a gather or a reduction, as they are handed over."""
    import torch.distributed as dist

    handed: list[int] = []
    names = ["all_gather", "all_gather_into_tensor", "all_gather_single", "all_reduce", "broadcast"]
    names += ["all_gather_object", "gather", "scatter", "send", "all_to_all", "all_to_all_single", "reduce_scatter"]
    originals = {name: getattr(dist, name) for name in names if hasattr(dist, name)}

    def counting(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            sent = [a for a in (*arguments, *named.values()) if isinstance(a, Tensor)]
            handed.append(sum(t.nbytes for t in sent))
            return original(*arguments, **named)

        return call

    for name, original in originals.items():
        setattr(dist, name, counting(original))
    try:
        yield handed
    finally:
        for name, original in originals.items():
            setattr(dist, name, original)


def _counts(topks: tuple[int, ...]) -> list[dict[str, Any]]:
    """Of every model and k: the bytes handed over in each step but the first, which compares options, too."""
    from constructions.demo_optimizer import DeMo
    from theory.demo_optimizer.models import MODELS

    found = []
    for name, make in MODELS.items():
        for k in topks:
            model, g = make(), torch.Generator().manual_seed(int(os.environ["RANK"]))
            optimizer = DeMo(model.parameters(), lr=1e-3, topk=k)
            steps: list[list[int]] = []
            with counted_collectives() as handed:
                for _ in range(COUNTED + 1):
                    for p in model.parameters():
                        p.grad = torch.randn(p.shape, generator=g)
                    before = len(handed)
                    optimizer.step()
                    steps.append(handed[before:])
            found.append({"model": name, "k": k, "bytes": steps[1:]})
    return found


def _trained(dtype: torch.dtype) -> str:
    from constructions.demo_optimizer import DeMo

    work, rank = Classes(dtype), int(os.environ["RANK"])
    optimizer = DeMo(work.weights, lr=RATE, topk=TOPK, decay=DECAY)

    def take(work: Classes, t: int) -> None:
        for p, g in zip(work.weights, work.gradients(rank, t), strict=True):
            p.grad = g
        optimizer.step()

    return trained_parameters(take, work)


def _mixtures(task: str, seeds: tuple[int, ...]) -> dict[str, Any]:
    from theory.demo_optimizer.mixtures import train_mixtures

    with counted_collectives() as handed:
        found = train_mixtures(task, "demo", seeds)
    return asdict(found) | {"handed": dict(Counter(handed))}


def main(arguments: list[str]) -> None:
    """One rank."""
    from constructions.ranks import Ranks
    from theory.demo_optimizer.bounds import TOPKS

    torch.set_num_threads(1)
    with Ranks.start(timeout=60.0):
        if arguments[0] == "mixtures":
            seen = _mixtures(arguments[1], tuple(map(int, arguments[2:])))
        else:
            seen = {
                "counts": _counts(TOPKS if arguments == ["all"] else (8, 32)),
                "parameters": {name: _trained(getattr(torch, name)) for name in DTYPES},
            }
    print(json.dumps(seen))


if __name__ == "__main__":
    main(sys.argv[1:])
