"""DeMo in float64 with scipy's cosine transform and loops over chunks and workers, and what is read off a run of it.

Main definitions: `SlowDeMo`, `same_parameters`, `largest_entries`, `contracted`, `conserves`, `share`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.fft import dctn, idctn

from theory.claim import Report
from theory.demo_optimizer.bounds import sides

FLOAT64 = float(np.finfo(np.float64).eps)


def cut(x: np.ndarray, chunk: int = 64) -> list[np.ndarray]:
    """The chunks (h, w) of an array, row by row, copied."""
    _, h, w = sides(x.shape, chunk)
    matrix = x.reshape(1, -1) if x.ndim < 2 else x.reshape(x.shape[0], -1)
    rows, columns = range(0, matrix.shape[0], h), range(0, matrix.shape[1], w)
    return [matrix[a : a + h, b : b + w].copy() for a in rows for b in columns]


def put_together(chunks: Sequence[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    """The array of `shape` whose chunks, row by row, these are."""
    h, w = chunks[0].shape
    size = math.prod(shape)
    matrix = np.empty((1, size) if len(shape) < 2 else (shape[0], size // shape[0]))
    per_row = matrix.shape[1] // w
    for i, part in enumerate(chunks):
        a, b = i // per_row * h, i % per_row * w
        matrix[a : a + h, b : b + w] = part
    return matrix.reshape(shape)


def largest_entries(c: np.ndarray, k: int) -> np.ndarray:
    """Flat places of the k entries largest in absolute value; of equal ones the first."""
    return np.argsort(-np.abs(c.ravel()), kind="stable")[: min(k, c.size)]


class SlowDeMo:
    """Parameters shared by `workers`, float64, cosine transform ("dct") or none ("identity")."""

    def __init__(
        self,
        parameters: Sequence[np.ndarray],
        workers: int,
        *,
        decay: float,
        k: int,
        chunk: int = 64,
        shrink: float = 0.0,
        transform: str = "dct",
    ):
        self.p = [np.array(p, dtype=np.float64) for p in parameters]
        self.residuals = [[np.zeros_like(p) for p in self.p] for _ in range(workers)]
        self.decay, self.k, self.chunk, self.shrink, self.transform = decay, k, chunk, shrink, transform

    def step(self, gradients: Sequence[Sequence[np.ndarray]], rate: float) -> list[list[np.ndarray]]:
        """One step; returns what each worker sent as entries, [worker][parameter]."""
        sent = [[np.zeros_like(p) for p in self.p] for _ in self.residuals]
        for i, p in enumerate(self.p):
            momenta = [self.decay * e[i] + rate * g[i] for e, g in zip(self.residuals, gradients, strict=True)]
            split = [cut(m, self.chunk) for m in momenta]
            update, said = [], [[] for _ in momenta]
            for at in range(len(split[0])):
                total, senders = np.zeros(split[0][at].size), np.zeros(split[0][at].size)
                for w, chunks in enumerate(split):
                    kept = np.zeros(chunks[at].size)
                    c = self._forward(chunks[at]).ravel()
                    chosen = largest_entries(c, self.k)
                    kept[chosen] = c[chosen]
                    total[chosen] += c[chosen]
                    senders[chosen] += 1
                    said[w].append(self._inverse(kept.reshape(chunks[at].shape)))
                mean = (total / np.maximum(senders, 1)).reshape(split[0][at].shape)
                update.append(self._signs(self._inverse(mean)))
            for w, m in enumerate(momenta):
                sent[w][i] = put_together(said[w], p.shape)
                self.residuals[w][i] = m - sent[w][i]
            self.p[i] = (1 - rate * self.shrink) * p - rate * put_together(update, p.shape)
        return sent

    def _forward(self, x: np.ndarray) -> np.ndarray:
        return x if self.transform == "identity" else np.asarray(dctn(x, type=2, norm="ortho"))

    def _inverse(self, c: np.ndarray) -> np.ndarray:
        return c if self.transform == "identity" else np.asarray(idctn(c, type=2, norm="ortho"))

    def _signs(self, u: np.ndarray) -> np.ndarray:
        """Signs, 0 for what is rounding beside the largest entry."""
        noise = 16 * FLOAT64 * sum(u.shape) if self.transform == "dct" else 0.0
        return np.where(np.abs(u) > noise * np.abs(u).max(), np.sign(u), 0.0)


def same_parameters(ours: Sequence[np.ndarray], theirs: Sequence[np.ndarray], rate: float) -> Report:
    """Whether two runs took the same steps: no entry further apart than a hundredth of one."""
    if len(ours) != len(theirs):
        return Report(f"{len(ours)} parameters against {len(theirs)}")
    for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        if a.shape != b.shape:
            return Report(f"parameter {i} has shape {a.shape}, not {b.shape}")
        differ = int((~(np.abs(a - b) <= rate / 100)).sum())
        if differ:
            return Report(f"parameter {i}: {differ} of {a.size} entries differ")
    return Report()


def contracted(x: np.ndarray, rest: np.ndarray, k: int) -> Report:
    """Whether the rest of a chunk without its k largest coefficients has at most the share 1 − k/n of its energy."""
    if x.shape != rest.shape:
        return Report(f"the rest has shape {rest.shape}, not {x.shape}")
    whole, left = float((x * x).sum()), float((rest * rest).sum())
    allowed = (1 - min(k, x.size) / x.size) * whole + 16 * x.size * FLOAT64 * whole
    if not left <= allowed:
        return Report(f"{left:.6g} of {whole:.6g} is left, at most {allowed:.6g} may be")
    return Report()


def conserves(
    gradients: Sequence[np.ndarray],
    sent: Sequence[np.ndarray],
    rates: Sequence[float],
    decay: float,
    residual: np.ndarray,
    eps: float = FLOAT64,
) -> Report:
    """Whether Σ β^(t−s)(η_s g_s − sent_s) is the residual, within (t + n)·ε of the sum of sizes.

    `eps` is that of the dtype the run was computed in; a row a step.
    """
    if not len(gradients) == len(sent) == len(rates):
        return Report(f"{len(gradients)} gradients, {len(sent)} sent rows and {len(rates)} rates")
    total, size = np.zeros(residual.shape), 0.0
    for g, s, rate in zip(gradients, sent, rates, strict=True):
        if not g.shape == s.shape == residual.shape:
            return Report(f"shapes {g.shape}, {s.shape} and {residual.shape} differ")
        total = decay * total + rate * g - s
        size = decay * size + float(np.abs(rate * g).max() + np.abs(s).max())
    _, h, w = sides(residual.shape)
    slack = 4 * (len(rates) + h + w) * eps * size
    off = float(np.abs(total - residual).max())
    return Report() if off <= slack else Report(f"the residual is off by {off:.3g}, rounding allows {slack:.3g}")


def share(x: np.ndarray, k: int, basis: str = "dct", chunk: int = 64, seed: int = 0) -> float:
    """Share of ‖x‖² in the k largest coefficients of each chunk, in a basis: "dct", "identity" or "random"."""
    captured = whole = 0.0
    for part in cut(x, chunk):
        c = part
        if basis == "dct":
            c = np.asarray(dctn(part, type=2, norm="ortho"))
        elif basis == "random":
            c = rotation(part.shape[0], seed) @ part @ rotation(part.shape[1], seed + 1).T
        squares = np.sort((c * c).ravel())[::-1]
        captured += float(squares[:k].sum())
        whole += float((part * part).sum())
    return captured / whole


def rotation(n: int, seed: int) -> np.ndarray:
    """A random orthogonal matrix, uniformly distributed."""
    q, r = np.linalg.qr(np.random.default_rng(seed).standard_normal((n, n)))
    return q * np.where(np.diagonal(r) < 0, -1.0, 1.0)
