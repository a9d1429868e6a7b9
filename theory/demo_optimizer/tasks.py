"""What is trained in comparisons: digits, tumours and the manual's letters, with losses of one network that vmap maps.

Main definitions: `Task`, `digits`, `breast_cancer`, `text`, `NoText`.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

Weights = dict[str, Tensor]

WORKERS = 4
VOCABULARY = 128  # the characters of the text are padded to it: a prime number of rows would be chunks of one row
LENGTH, WIDTH, HEADS = 16, 32, 2
HELD_OUT = 256  # sequences a seed
FIELDS = (64, 64)


class NoText(Exception):
    """This Python comes without the texts of its manual."""


@dataclass(frozen=True)
class Task:
    """Training data, a network as weights and logits, and how long it is trained with how many points a worker.

    `data(seed)` gives (inputs, targets, places to train at, places to validate at): rows, or starts in a text.
    """

    name: str
    steps: int
    points: int
    start: Callable[[torch.Generator], Weights]
    logits: Callable[[Mapping[str, Tensor], Tensor], Tensor]
    inputs: Tensor
    targets: Tensor
    split: Callable[[torch.Generator], tuple[Tensor, Tensor]]

    def loss(self, weights: Mapping[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        """Mean cross-entropy in nats."""
        found = self.logits(weights, x)
        return functional.cross_entropy(found.reshape(-1, found.shape[-1]), y.reshape(-1))

    def error(self, weights: Mapping[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        """Share of wrong answers."""
        return (self.logits(weights, x).argmax(-1) != y).float().mean()


# --- perceptrons ---------------------------------------------------------------------------------------------


def _perceptron_start(sizes: tuple[int, ...]) -> Callable[[torch.Generator], Weights]:
    def start(g: torch.Generator) -> Weights:
        weights: Weights = {}
        for layer, (a, b) in enumerate(pairwise(sizes)):
            weights[f"{layer}.weight"] = torch.randn(b, a, generator=g) * math.sqrt(2 / a)
            weights[f"{layer}.bias"] = torch.zeros(b)
        return weights

    return start


def _perceptron(layers: int) -> Callable[[Mapping[str, Tensor], Tensor], Tensor]:
    def logits(weights: Mapping[str, Tensor], x: Tensor) -> Tensor:
        for layer in range(layers):
            x = functional.linear(x, weights[f"{layer}.weight"], weights[f"{layer}.bias"])
            x = x.relu() if layer < layers - 1 else x
        return x

    return logits


def _quarter(rows: int) -> Callable[[torch.Generator], tuple[Tensor, Tensor]]:
    def split(g: torch.Generator) -> tuple[Tensor, Tensor]:
        order = torch.randperm(rows, generator=g)
        return order[rows // 4 :], order[: rows // 4]

    return split


@cache
def digits() -> Task:
    """1797 pictures of 8×8, ten classes; 64-64-64-10, 8970 weights, 200 steps."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    x = torch.tensor(x / 16, dtype=torch.float32)
    sizes = (64, *FIELDS, 10)
    return Task("digits", 200, 16, _perceptron_start(sizes), _perceptron(3), x, torch.tensor(y), _quarter(len(x)))


@cache
def breast_cancer() -> Task:
    """569 tumours by 30 measures, two classes; 30-64-64-2, 6274 weights, 100 steps."""
    from sklearn.datasets import load_breast_cancer

    x, y = map(np.asarray, load_breast_cancer(return_X_y=True))
    x = torch.tensor((x - x.mean(0)) / x.std(0), dtype=torch.float32)
    start = _perceptron_start((30, *FIELDS, 2))
    return Task("breast_cancer", 100, 16, start, _perceptron(3), x, torch.tensor(y), _quarter(len(x)))


# --- text ----------------------------------------------------------------------------------------------------


@cache
def manual() -> tuple[str, str]:
    """(text, its SHA-256): the topics of Python's manual in alphabetical order; NoText where Python was stripped."""
    try:
        from pydoc_data.topics import topics
    except ImportError as error:
        raise NoText("this Python comes without pydoc_data.topics") from error
    text = "\n".join(topics[key] for key in sorted(topics))
    if len(set(text)) > VOCABULARY or len(text) < 10**5:
        raise NoText(f"the manual has {len(text)} characters, {len(set(text))} of them distinct")
    return text, hashlib.sha256(text.encode()).hexdigest()


def _text_start(g: torch.Generator) -> Weights:
    def normal(rows: int, columns: int, scale: float) -> Tensor:
        return torch.randn(rows, columns, generator=g) * scale

    d = WIDTH
    weights = {"letters": normal(VOCABULARY, d, 0.5), "places": normal(LENGTH, d, 0.1)}
    for name in ("query", "key", "value", "mix"):
        weights[name] = normal(d, d, d**-0.5)
    weights["up"], weights["down"] = normal(4 * d, d, d**-0.5), normal(d, 4 * d, (4 * d) ** -0.5)
    weights["out"] = normal(VOCABULARY, d, d**-0.5)
    return weights | {f"scale{i}": torch.ones(d) for i in range(3)}


def _text_logits(weights: Mapping[str, Tensor], x: Tensor) -> Tensor:
    """(B, LENGTH, VOCABULARY) of one block: causal attention with two heads, then a perceptron."""
    w = weights
    stream = w["letters"][x] + w["places"]
    here = _scaled(stream, w["scale0"])
    heads = [(here @ w[name].T).unflatten(-1, (HEADS, -1)).transpose(-2, -3) for name in ("query", "key", "value")]
    scores = heads[0] @ heads[1].transpose(-1, -2) / math.sqrt(WIDTH // HEADS)
    later = torch.ones(LENGTH, LENGTH, dtype=torch.bool, device=x.device).triu(1)
    mixed = scores.masked_fill(later, -math.inf).softmax(-1) @ heads[2]
    stream = stream + mixed.transpose(-2, -3).flatten(-2) @ w["mix"].T
    stream = stream + (_scaled(stream, w["scale1"]) @ w["up"].T).relu() @ w["down"].T
    return _scaled(stream, w["scale2"]) @ w["out"].T


def _scaled(x: Tensor, scale: Tensor) -> Tensor:
    return x * (x.square().mean(-1, keepdim=True) + 1e-6).rsqrt() * scale


@cache
def text(steps: int = 100) -> Task:
    """Letters of Python's manual, 16 at a time; one transformer block of width 32, 21088 weights."""
    said, _ = manual()
    letters = {letter: i for i, letter in enumerate(sorted(set(said)))}
    codes = torch.from_numpy(np.array([letters[letter] for letter in said]))
    windows = codes.unfold(0, LENGTH + 1, 1)
    first_held_out = 3 * len(windows) // 4

    def split(g: torch.Generator) -> tuple[Tensor, Tensor]:
        held_out = torch.randint(first_held_out + LENGTH, len(windows), (HELD_OUT,), generator=g)
        return torch.arange(first_held_out), held_out

    return Task("text", steps, 8, _text_start, _text_logits, windows[:, :-1], windows[:, 1:], split)


TASKS: dict[str, Callable[[], Task]] = {"digits": digits, "breast_cancer": breast_cancer, "text": text}
TASKS["longer text"] = lambda: text(400)
