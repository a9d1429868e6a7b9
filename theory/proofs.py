"""Proof files: what is written for the stand-alone checker, and how it is asked.

`tools/momlp_check.py` re-decides a proof file with Python's standard library alone and shares no code with this
package. Here proofs are put together and written (those of uniform errors are found in `theory.error_proofs`). Nothing
depends on that: a proof that is wrong is refused by the checker, whoever wrote it.

Main definitions: `CHECKER`, `facts`, `write_proof`, `write_claim`, `recheck`, `rechecked`.
References: docs/proofs.md.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import Tensor, nn

from constructions.files import write_whole

_HERE = Path(__file__).parent
CHECKER = next(
    (path for path in (_HERE / "momlp_check.py", _HERE.parent / "tools" / "momlp_check.py") if path.is_file()),
    _HERE / "momlp_check.py",
)
"""Beside this file in an installed package, in tools/ in a checkout."""
FORMAT, VERSION = "momlp-proof", 1


@cache
def checker() -> ModuleType:
    """The stand-alone checker as a module."""
    spec = importlib.util.spec_from_file_location("momlp_check", CHECKER)
    if spec is None or spec.loader is None or not CHECKER.is_file():
        raise ImportError(f"the checker is missing: {CHECKER}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write_proof(path: str | os.PathLike, kind: str, proof: dict[str, Any]) -> Path:
    """Write a proof file, packed, whole or not at all; OSError when it cannot be written."""
    contents = {"format": FORMAT, "version": VERSION, "kind": kind, "proof": proof}
    contents["sha256"] = hashlib.sha256(_canonical(contents)).hexdigest()
    # without a time of writing: the same proof is the same file
    packed = gzip.compress(_canonical(contents), mtime=0)
    return write_whole(path, lambda draft: draft.write_bytes(packed))


def _canonical(contents: dict[str, Any]) -> bytes:
    return json.dumps(contents, sort_keys=True, separators=(",", ":")).encode()


Proof = tuple[str, dict[str, Any]]
"""Kind and contents, for `write_proof`."""

Producer = Callable[[Any, Path], list[Proof]]
"""What `theory.<system>.proofs.PROOFS` has by the name of a claim: of a context and the folder that the files will lie
in, the proofs that decide the claim's quick instances together."""


MATRICES = {
    "mul": "lambda X, Y: [[sum([X[i][k]*Y[k][j] for k in range(len(Y))]) for j in range(len(Y[0]))] "
    "for i in range(len(X))]",
    "times": "lambda X, y: [sum([X[i][k]*y[k] for k in range(len(y))]) for i in range(len(X))]",
    "flip": "lambda X: [[X[i][j] for i in range(len(X))] for j in range(len(X[0]))]",
    "add": "lambda Xs: [[sum([X[i][j] for X in Xs]) for j in range(len(Xs[0][0]))] for i in range(len(Xs[0]))]",
}
"""Definitions for `facts`: products of matrices, a matrix times a vector, the transpose, sums."""

NETWORKS = {
    "layer": "lambda W, b, x: [sum([W[i][k]*x[k] for k in range(len(x))]) + b[i] for i in range(len(b))]",
    "relu": "lambda x: [max(v, 0) for v in x]",
}
"""Layers of networks; `forward` puts them together."""


def forward(depth: int) -> str:
    """A definition: of a list N of `depth` pairs of weights and biases and a point x, what the network answers."""
    text = "x"
    for i in range(depth):
        text = f"layer(N[{i}][0], N[{i}][1], {f'relu({text})' if i else text})"
    return f"lambda N, x: {text}"


def layers_held(network: nn.Module) -> list[list[Tensor]]:
    """Weights and biases of the linear layers of a stack, for `data`."""
    linear = [part for part in network.modules() if isinstance(part, nn.Linear)]
    return [[part.weight.detach(), part.bias.detach()] for part in linear]


def facts(
    *stated: str,
    data: dict[str, Any] | None = None,
    definitions: dict[str, str] | None = None,
    variables: Sequence[str] = (),
) -> Proof:
    """Formulas in the language of docs/proofs.md, about numbers in `data`: tensors, arrays, or rationals in lists."""
    held = {name: as_rationals(value) for name, value in (data or {}).items()}
    named = [[name, text] for name, text in (definitions or {}).items()]
    return "facts", {"variables": list(variables), "data": held, "definitions": named, "facts": list(stated)}


def as_rationals(value: Any) -> Any:
    """The numbers in nested lists, exactly, as strings p/q; a float is the dyadic rational that it is."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [as_rationals(part) for part in value]
    return str(Fraction(str(value)) if not isinstance(value, (int, float, Fraction)) else Fraction(value))


def eliminated(rows: Sequence[Sequence[Fraction | int]]) -> tuple[list[list[Fraction]], list[int]]:
    """(reduced row echelon form, columns of its pivots) of a matrix of rationals."""
    reduced, pivots = [[Fraction(v) for v in row] for row in rows], []
    for column in range(len(reduced[0]) if reduced else 0):
        at = next((i for i in range(len(pivots), len(reduced)) if reduced[i][column]), None)
        if at is None:
            continue
        reduced[len(pivots)], reduced[at] = reduced[at], reduced[len(pivots)]
        head = [v / reduced[len(pivots)][column] for v in reduced[len(pivots)]]
        reduced = [
            head if i == len(pivots) else [v - row[column] * h for v, h in zip(row, head, strict=True)]
            for i, row in enumerate(reduced)
        ]
        pivots.append(column)
    return reduced, pivots


def solution(rows: Sequence[Sequence[Fraction | int]], values: Sequence[Fraction | int]) -> list[Fraction] | None:
    """x with rows·x = values, zero where it is free; None where there is none."""
    width = len(rows[0])
    reduced, pivots = eliminated([[*row, v] for row, v in zip(rows, values, strict=True)])
    if width in pivots:
        return None
    found = [Fraction(0)] * width
    for row, column in zip(reduced, pivots, strict=False):
        found[column] = row[width]
    return found


def kernel_vector(rows: Sequence[Sequence[Fraction]]) -> list[Fraction] | None:
    """A vector other than 0 with rows·x = 0; None where there is none."""
    width = len(rows[0])
    reduced, pivots = eliminated(rows)
    free = next((c for c in range(width) if c not in pivots), None)
    if free is None:
        return None
    found = [Fraction(int(c == free)) for c in range(width)]
    for row, column in zip(reduced, pivots, strict=False):
        found[column] = -row[free]
    return found


def write_claim(folder: Path, claim: str, proofs: Sequence[Proof]) -> list[Path]:
    """Files CLAIM.proof, or CLAIM-1.proof, CLAIM-2.proof and so on where there are several."""
    found = []
    for number, (kind, proof) in enumerate(proofs):
        name = claim if len(proofs) == 1 else f"{claim}-{number + 1}"
        found.append(write_proof(folder / f"{name}.proof", kind, {"claim": claim, **proof}))
    return found


def recheck(paths: Sequence[str | os.PathLike]) -> int:
    """The exit status of the checker, run on the files by a fresh process that sees no installed package."""
    return subprocess.run(_command(paths), check=False).returncode


def rechecked(paths: Sequence[str | os.PathLike]) -> dict[str, bool]:
    """Whether each file is proved, decided by one fresh process; nothing is printed."""
    done = subprocess.run(_command(paths), check=False, capture_output=True, text=True)
    words = [line.split(maxsplit=1)[0] for line in done.stdout.splitlines() if line]
    if len(words) != len(paths):
        raise OSError(f"the checker answered for {len(words)} of {len(paths)} files: {done.stderr.strip()[-200:]}")
    return {os.fspath(path): word == "proved" for path, word in zip(paths, words, strict=True)}


def _command(paths: Sequence[str | os.PathLike]) -> list[str]:
    return [sys.executable, "-I", str(CHECKER), *(os.fspath(path) for path in paths)]
