"""Proof files of the claims about the matrix inequality: the certificates as they are, and the identities in formulas."""

from __future__ import annotations

import json

from constructions.am_gm import certificate_path
from theory.proofs import Producer, Proof


def _certificates(*names: str) -> list[Proof]:
    return [("matrix_inequality", json.loads(certificate_path(name).read_text(encoding="utf-8"))) for name in names]


def _both(pairs: list[tuple[int, int]]) -> list[Proof]:
    return _certificates(*(f"n{n}m{m}_{side}" for n, m in pairs for side in ("upper", "lower")))


PROOFS: dict[str, Producer] = {
    "three": lambda context, folder: _both([(3, 2), (3, 3)]),
    "four": lambda context, folder: _both([(4, 2), (4, 3), (4, 4)]),
    "certified_pairs": lambda context, folder: _both([(5, 3), (5, 4), (6, 3), (6, 4), (6, 5)]),
}
