"""Training in sublinear time: seconds and operations of a step by five methods; part of `run.py`.

    python benchmarks/sublinear_training.py [--quick]

Main definition: `steps`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch
from rich.console import Console
from timing import row, seconds_each, show

from constructions.sublinear_training import GaussNewtonTrainer, ShiftedReLUNetwork, random_signs, unit_sphere
from constructions.sublinear_training.methods import METHODS

POINTS, DIMENSION = 32, 16
WIDTHS = (2**12, 2**14, 2**16, 2**18)
PEERS = ("hybrid", "flat")  # the fair ones come first


def steps(*, quick: bool) -> list[dict]:
    """Queries of a third step and whole runs a second, of every method against the fair peers."""
    return [entry for m in (WIDTHS[:2] if quick else WIDTHS) for entry in _width(m)]


def _width(m: int) -> list[dict]:
    g = torch.Generator().manual_seed(0)
    x, y = unit_sphere(POINTS, DIMENSION, generator=g), random_signs(POINTS, generator=g)

    def trainer(method: str, *, counting: bool = False) -> GaussNewtonTrainer:
        net = ShiftedReLUNetwork.from_seed(DIMENSION, m, m)
        return GaussNewtonTrainer(net, x, y, method=method, counting=counting)

    counts = {method: trainer(method, counting=True).fit(3, 0).steps[-1].operations["total"] for method in METHODS}
    late = {method: trainer(method) for method in METHODS}
    for t in late.values():
        t.fit(2, 0)

    def finding(method: str) -> Callable[[], object]:
        return late[method]._finder.find

    found = dict(zip(METHODS, seconds_each(*(finding(method) for method in METHODS)), strict=True))
    whole = dict(zip(METHODS, seconds_each(*((lambda k=k: trainer(k).fit(6, 0)) for k in METHODS)), strict=True))
    rows = []
    for peer in PEERS:
        for method in METHODS:
            if method == peer or method in PEERS[: PEERS.index(peer)]:
                continue
            part = f"operations {counts[method] / counts[peer]:.2f}"
            name = f"find fired pairs, m={m}: {method} (step: {part} of {peer}'s)"
            rows.append(row(name, peer, "queries/s", 1 / found[method], 1 / found[peer]))
            rows.append(
                row(f"six steps and build, m={m}: {method}", peer, "runs/s", 1 / whole[method], 1 / whole[peer])
            )
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer widths")
    show(steps(quick=parser.parse_args().quick), Console(width=180))
