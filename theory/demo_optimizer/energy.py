"""Shares of a momentum's energy that the largest numbers hold, in three bases, while networks are trained by AdamW.

Main definitions: `Shares`, `momentum_shares`.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
import torch

from theory.demo_optimizer.bounds import sides
from theory.demo_optimizer.checkers.slow import share
from theory.demo_optimizer.tasks import TASKS
from theory.demo_optimizer.training import ADAMW, Replicas, optimiser

RATE, MOMENTUM = 1e-2, 0.9
BASES = ("dct", "identity", "random")
STEPS = {"digits": (150, 150), "text": (60, 100)}
"""Of the quick and of the full budget."""
LEAST_CHUNK = 1024


class Shares(NamedTuple):
    """(basis → share) of one weight and seed, in the k largest of each chunk."""

    seed: int
    weight: str
    k: int
    by_basis: dict[str, float]


@cache
def momentum_shares(
    task: str, seeds: tuple[int, ...], steps: int, topks: tuple[int, ...], device: torch.device
) -> tuple[Shares, ...]:
    """Of every matrix with chunks of at least 1024 numbers; the momentum is Σ 0.9^(t−s) of the mean gradients."""
    replicas = Replicas(TASKS[task](), seeds, device)
    trained = optimiser(replicas.weights, ADAMW)
    momentum = {name: torch.zeros_like(w) for name, w in replicas.weights.items()}
    rates = torch.full((len(seeds),), RATE, device=device)
    for t in range(steps):
        gradients = replicas.mean_gradients(t)
        for name, g in gradients.items():
            momentum[name].mul_(MOMENTUM).add_(g[:, 0])
        trained.step(replicas.weights, gradients, rates)
    found = []
    for name, m in momentum.items():
        shape = tuple(m.shape[1:])
        _, h, w = sides(shape)
        if h * w < LEAST_CHUNK or min(h, w) == 1:
            continue
        for i, seed in enumerate(seeds):
            x = m[i].double().cpu().numpy()
            found += [Shares(seed, name, k, {b: share(x, k, b, seed=7) for b in BASES}) for k in topks]
    return tuple(found)


def over_weights(shares: tuple[Shares, ...], seeds: tuple[int, ...], k: int, basis: str) -> list[float]:
    """Of every seed the mean over the weights."""
    return [float(np.mean([s.by_basis[basis] for s in shares if s.seed == seed and s.k == k])) for seed in seeds]


def controls() -> dict[str, float]:
    """Shares of a smooth field and of spikes in 64×64, k = 32: what must compact, and what must not."""
    g = np.random.default_rng(0)
    low = np.zeros((64, 64))
    a = np.pi * (2 * np.arange(64) + 1) / 128
    for i in range(5):
        for j in range(5):
            low += g.standard_normal() * np.outer(np.cos(i * a), np.cos(j * a))
    spikes = np.zeros(4096)
    spikes[g.permutation(4096)[:32]] = g.standard_normal(32)
    spikes = spikes.reshape(64, 64)
    return {
        "smooth field, cosines": share(low, 32),
        "smooth field, entries": share(low, 32, "identity"),
        "spikes, cosines": share(spikes, 32),
        "spikes, entries": share(spikes, 32, "identity"),
    }
