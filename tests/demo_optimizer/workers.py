"""Ranks of one process group for tests: functions that run on each of them, and what they answer or raise."""

from __future__ import annotations

import multiprocessing
import os
import traceback
import warnings
from collections.abc import Callable
from typing import Any

import torch

from constructions.ranks import Ranks
from theory.torchrun import free_port

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["torch", "torch.distributed", "constructions.ranks", "constructions.demo_optimizer"])

LIMIT = 240.0
"""Seconds after which a rank that says nothing hangs."""


LIMIT = 240.0
"""Seconds after which a rank that says nothing hangs."""


def on_ranks(world: int, task: Callable[..., Any], *arguments: Any, timeout: float = 60.0) -> list[Any]:
    """task(rank, world, *arguments) on every rank: an answer, an Exception where it raised one, None where it died."""
    port = free_port()
    pipes, processes = [], []
    for rank in range(world):
        mine, theirs = CONTEXT.Pipe(duplex=False)
        process = CONTEXT.Process(target=_one, args=(theirs, rank, world, port, timeout, task, arguments))
        process.start()
        theirs.close()
        pipes.append(mine)
        processes.append(process)
    answers = [_answer(pipe) for pipe in pipes]
    for process in processes:
        process.join(10)
        if process.is_alive():
            process.kill()
    return answers


def _answer(pipe: Any) -> Any:
    if not pipe.poll(LIMIT):
        return TimeoutError("no answer")
    try:
        return pipe.recv()
    except (EOFError, ConnectionResetError):
        return None


def _one(pipe: Any, rank: int, world: int, port: int, timeout: float, task: Callable, arguments: tuple) -> None:
    torch.set_num_threads(1)
    variables = {"RANK": rank, "WORLD_SIZE": world, "LOCAL_RANK": rank, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ.update({key: str(value) for key, value in variables.items()})
    try:
        with warnings.catch_warnings(), Ranks.start(timeout=timeout):
            pipe.send(task(rank, world, *arguments))
    except Exception as error:  # whatever a rank says is the answer
        traceback.print_exc()
        pipe.send(type(error)(str(error)))
    except BaseException as error:  # pytest's own failures are none of Exception's
        pipe.send(AssertionError(f"{type(error).__name__}: {error}"))
