"""Claims decided by several processes at once, one thread each; a process that dies costs the claim it was deciding.

Main definitions: `run_in_processes`, `decide_in_processes`.
Implementation notes: processes are spawned, so that they share nothing with this one, and are told a claim's id. Not a
pool of the standard library: that one gives up all its work when a single process dies.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from types import FrameType

from theory.claim import Claim, Context, Evidence, Status, Verdict, with_run
from theory.systems import ADDED, REGISTRY
from theory.verify import Row, Run, decided, run

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
FAREWELL = 10.0  # seconds that a process has to end what it started


def run_in_processes(
    claims: list[Claim],
    context: Context,
    jobs: int,
    *,
    starting: Callable[[Claim], None] = lambda claim: None,
    finished: Callable[[Row], None] = lambda row: None,
    stopped: Callable[[], bool] = lambda: False,
) -> Run:
    """`verify.run` with several claims at a time; the rows stand in the order of `claims`.

    Claims that were registered one by one exist in this process only, and are decided in it, after the others.
    """
    result = Run(context)
    stated, own = [], []
    for claim in claims:
        (own if claim.id in ADDED else stated).append(claim)
    try:
        for row in decide_in_processes(stated, context, jobs, starting=starting, finished=finished):
            result.rows.append(row)
    except KeyboardInterrupt:
        result.interrupted = True
    if not result.interrupted:
        rest = run(own, context, starting=starting, finished=finished, stopped=stopped)
        result.rows += rest.rows
        result.interrupted = rest.interrupted
    order = {claim.id: place for place, claim in enumerate(claims)}
    result.rows.sort(key=lambda row: order[row.claim.id])
    return result


def decide_in_processes(
    claims: list[Claim],
    context: Context,
    jobs: int,
    *,
    starting: Callable[[Claim], None],
    finished: Callable[[Row], None],
) -> Iterator[Row]:
    """The rows of stated claims as they are decided; dear claims are begun first, and those that share go together."""
    todo = _together(claims)
    workers: list[_Worker] = []
    try:
        workers += [_Worker(context) for _ in range(min(jobs, len(todo)))]
        while todo or any(w.claim or w.next for w in workers):
            for place, worker in enumerate(workers):
                if worker.claim is None and (worker.next or todo):
                    ahead = worker.next or todo.pop()
                    if not worker.process.is_alive():
                        worker = workers[place] = _Worker(context)
                    worker.next = ahead
                    starting(ahead[0])
                    worker.give(ahead.pop(0))
            busy = {w.pipe: w for w in workers if w.claim is not None}
            for pipe in wait(list(busy)):
                row = busy[pipe].hear(starting)  # pyright: ignore[reportArgumentType]
                if row is not None:
                    finished(row)
                    yield row
    finally:
        for worker in workers:
            worker.end()


def _together(claims: list[Claim]) -> list[list[Claim]]:
    """Claims in groups that share what they compute, dear ones last."""
    groups: dict[tuple[str, str], list[Claim]] = {}
    for claim in claims:
        groups.setdefault((claim.system, claim.shares or f"{claim.id} alone"), []).append(claim)
    return sorted(groups.values(), key=lambda group: any(c.slow for c in group))


class _Worker:
    """A process, our end of its pipe, the claim that it decides now, and those that it decides next."""

    def __init__(self, context: Context):
        spawn = multiprocessing.get_context("spawn")
        self.context = context
        self.claim: Claim | None = None
        self.next: list[Claim] = []
        self.pipe, theirs = spawn.Pipe()
        words = (theirs, context.budget, str(context.device), context.seed)
        self.process = spawn.Process(target=_work, args=words, daemon=True)
        self.process.start()
        theirs.close()  # so that the end of the process is the end of the pipe

    def give(self, claim: Claim) -> None:
        self.claim = claim
        with suppress(OSError):  # it died while it was idle: `hear` finds the end of the pipe
            self.pipe.send(claim.id)

    def hear(self, starting: Callable[[Claim], None]) -> Row | None:
        """The row of its claim; None for a word about progress."""
        claim = self.claim
        assert claim is not None
        try:
            kind, value = self.pipe.recv()
        except (EOFError, OSError):
            self.process.join(FAREWELL)
            reason = f"the process that decided it ended (exit code {self.process.exitcode})"
            verdict = Verdict(Status.INCONCLUSIVE, Evidence.NONE, reason)
            self.claim = None
            return Row(
                claim.within(self.context.budget), with_run(verdict, 0.0, str(self.context.device), self.context.seed)
            )
        if kind == "log":
            starting(claim)
            self.context.log(value)
            return None
        self.claim = None
        return Row(claim.within(self.context.budget), value)

    def end(self) -> None:
        self.pipe.close()
        self.process.terminate()
        self.process.join(FAREWELL)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


def _work(pipe: Connection, budget: str, device: str, seed: int) -> None:
    """Decide the claims whose ids come through the pipe, until it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes of a terminal: the first one decides
    os.environ.update(dict.fromkeys(THREADS, "1"))
    import torch  # only now: it reads the number of threads when it is imported

    torch.set_num_threads(1)
    context = Context(budget, torch.device(device), seed, lambda message: pipe.send(("log", message)))
    try:
        while True:
            pipe.send(("verdict", _decided(REGISTRY[pipe.recv()], context)))
    except (EOFError, OSError, KeyboardInterrupt):  # nobody listens any more
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _decided(claim: Claim, context: Context) -> Verdict:
    """The verdict; SIGTERM raises meanwhile, so that what the claim has started is ended with it.

    And at no other time: in the idle or ending interpreter nobody catches it, and it would be shown as an error.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return decided(claim, context).verdict
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
