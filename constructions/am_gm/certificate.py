"""Certificates of sums of squares in noncommuting variables: the file format, and the terms at given matrices.

bound − s f = Σ_i Σ_{u,v} G_i[u,v] u*·x_i·v + Σ_{u,v} H[u,v] u*·(n − Σ_k x_k)·v in the free algebra, with f the sum of
all products of m distinct letters, s = ±1 and positive semidefinite H, G_i: then s f(A) ⪯ bound·I for all positive
semidefinite A with ΣA ⪯ nI, of any size. Whether a certificate holds is decided by `theory.am_gm.checkers`.

Main definitions: `Certificate`, `shipped_certificates`, `certificate_path`.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from constructions.am_gm.expectation import require_matrices
from constructions.am_gm.orbits import Pair, first_pair, orbits, words_up_to
from constructions.errors import StoreError, require_path, shown
from constructions.files import require_regular

FORMAT, VERSION = "momlp-amgm-sos", 1
SIDES = {"upper": 1, "lower": -1}
MOST_BYTES = 1 << 20


@dataclass(frozen=True)
class Certificate:
    """H and G_0 by the orbits of their entries, (u, v) -> value; the other G_i follow by swapping letters 0 and i."""

    n: int
    m: int
    side: str
    bound: Fraction
    h: Mapping[Pair, Fraction]
    g: Mapping[Pair, Fraction]

    @classmethod
    def load(cls, name_or_path: str | os.PathLike) -> Certificate:
        """A shipped certificate by name ("n4m4_upper"), or a file.

        OSError when it cannot be read, StoreError when it is not of the format. That is no check of what it claims.
        """
        known = isinstance(name_or_path, str) and name_or_path in shipped_certificates()
        path = certificate_path(str(name_or_path)) if known else require_regular(require_path("path", name_or_path))
        try:
            with open(path, "rb") as file:
                return cls._parsed(json.loads(file.read(MOST_BYTES).decode("utf-8")))
        except OSError as err:
            raise OSError(f"cannot read {path}: {err.strerror or err}") from err
        except (ValueError, TypeError, KeyError, RecursionError, ZeroDivisionError) as err:
            raise StoreError(f"{path} is no certificate of the format {FORMAT}: {shown(str(err))}") from err

    @classmethod
    def _parsed(cls, fields: Any) -> Certificate:
        if not isinstance(fields, dict) or (fields.get("format"), fields.get("version")) != (FORMAT, VERSION):
            raise ValueError(f"format and version must be {FORMAT} and {VERSION}")
        n, m, side = fields["n"], fields["m"], fields["side"]
        if type(n) is not int or type(m) is not int or not 1 <= m <= n <= 9 or side not in SIDES:
            raise ValueError(f"n, m, side must be 1 ≤ m ≤ n ≤ 9 and upper or lower, got {n}, {m}, {side}")
        parts = []
        for name, fixed in (("H", 0), ("G", 1)):
            rows = [((_word(u), _word(v)), _fraction(value)) for u, v, value in fields[name]]
            if sorted(pair for pair, _ in rows) != sorted(orbits(n, m // 2, fixed=fixed)):
                raise ValueError(f"{name} must have one entry an orbit of pairs of words, its first pair")
            parts.append(dict(rows))
        return cls(n, m, side, _fraction(fields["bound"]), *parts)

    def to_json(self) -> str:
        """The text of its file."""
        head = {"format": FORMAT, "version": VERSION, "n": self.n, "m": self.m, "side": self.side}
        start = json.dumps(head | {"bound": str(self.bound)})[1:-1]
        blocks = []
        for name, entries in (("H", self.h), ("G", self.g)):
            rows = [json.dumps([_spelled(u), _spelled(v), str(value)]) for (u, v), value in entries.items()]
            blocks.append(f'"{name}": [' + ",\n  ".join(rows) + "]")
        return "{" + ",\n ".join([start, *blocks]) + "}\n"

    def matrices(self) -> tuple[Tensor, Tensor]:
        """H and G_0 in full (size, size), float64: rows and columns are the words by length, then letters."""
        words = words_up_to(self.n, self.m // 2)

        def full(entries: Mapping[Pair, Fraction], fixed: int) -> Tensor:
            rows = [[float(entries[first_pair(u, v, fixed=fixed)]) for v in words] for u in words]
            return torch.tensor(rows, dtype=torch.float64)

        return full(self.h, 0), full(self.g, 1)

    def terms(self, A: Tensor) -> Tensor:
        """The n + 1 terms (..., n+1, d, d) at Hermitian A (..., n, d, d): those of G_0, …, G_{n−1}, and that of H.

        Their sum is bound·I − s f(A), and each is positive semidefinite where the A_i and nI − ΣA are, up to rounding.
        """
        matrices = require_matrices("A", A)
        if matrices.shape[-3] != self.n:
            raise ValueError(f"`A` must have {self.n} matrices, got shape {tuple(matrices.shape)}")
        values = _word_values(matrices, self.m // 2)
        h, g = (part.to(matrices.device, matrices.dtype) for part in self.matrices())
        words = words_up_to(self.n, self.m // 2)
        index = {word: a for a, word in enumerate(words)}
        parts = []
        for i in range(self.n):
            swap = {0: i, i: 0}
            moved = [index[tuple(swap.get(c, c) for c in word)] for word in words]
            parts.append(_quadratic(g[moved][:, moved], matrices[..., i, :, :], values))
        identity = torch.eye(matrices.shape[-1], dtype=matrices.dtype, device=matrices.device)
        parts.append(_quadratic(h, self.n * identity - matrices.sum(-3), values))
        return torch.stack(parts, -3)


def _quadratic(M: Tensor, Z: Tensor, values: Tensor) -> Tensor:
    """Σ_{u,v} M[u,v] u(A)ᴴ Z v(A), values (..., size, d, d)."""
    middle = torch.einsum("uv,...vab->...uab", M, Z[..., None, :, :] @ values)
    return (values.mH @ middle).sum(-3)


def _word_values(A: Tensor, longest: int) -> Tensor:
    """The products (..., size, d, d) that the words stand for."""
    d = A.shape[-1]
    levels = [torch.eye(d, dtype=A.dtype, device=A.device).expand(*A.shape[:-3], 1, d, d)]
    for _ in range(longest):
        longer = A[..., :, None, :, :] @ levels[-1][..., None, :, :, :]
        levels.append(longer.flatten(-4, -3))
    return torch.cat(levels, -3)


def _word(text: str) -> tuple[int, ...]:
    if not re.fullmatch("[0-9]*", text):
        raise ValueError(f"words are digits, got {shown(text)}")
    return tuple(int(c) for c in text)


def _fraction(text: str) -> Fraction:
    if not re.fullmatch("-?[0-9]+(/[0-9]+)?", text):
        raise ValueError(f'values are strings "p/q", got {shown(text)}')
    return Fraction(text)


def _spelled(word: tuple[int, ...]) -> str:
    return "".join(map(str, word))


# --- those that come with the package -------------------------------------------------------------------


@cache
def _digests() -> dict[str, str]:
    """Name -> SHA-256 of its file, as the package lists them."""
    lines = (_folder() / "SHA256").read_text(encoding="utf-8").split("\n")
    return {line.split()[1].removesuffix(".json"): line.split()[0] for line in lines if line}


def _folder() -> Path:
    return Path(str(resources.files("constructions.am_gm") / "certificates"))


def shipped_certificates() -> tuple[str, ...]:
    """Names of the certificates that come with the package, by n, m and side."""
    return tuple(sorted(_digests()))


def certificate_path(name: str) -> Path:
    """The file of a shipped certificate; ValueError for an unknown name, StoreError when the file is not the one whose
    SHA-256 the package lists."""
    if not isinstance(name, str) or name not in _digests():
        raise ValueError(f"`name` must be one of {', '.join(shipped_certificates())}, got {shown(name)}")
    path = _folder() / f"{name}.json"
    if hashlib.sha256(path.read_bytes()).hexdigest() != _digests()[name]:
        raise StoreError(f"{path} is not the file whose SHA-256 the package lists: it was altered or damaged")
    return path
