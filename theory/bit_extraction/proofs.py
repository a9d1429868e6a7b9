"""Proof files of the claims about bit extraction: the shapes of networks against closed forms."""

from __future__ import annotations

from constructions.bit_extraction import layers_of
from theory.bit_extraction.reproductions.networks import designs_compared
from theory.proofs import Producer, Proof, facts

CLOSED = {
    "D": "lambda n, m, H: 168*m + 120*H - 182 if n == 1 else (964*m**2 + 66*m + 340*H - 662 if n == 2 else "
    "2970*m**3 + 1831*m**2 - 802*m + 938*H - 1791)",
    "deep": "[[0, 92, 286, 592], [0, 817, 3265, 11383], [0, 4539, 31114, 228052]]",
    "wide": "[[0, 107, 240, 444, 674, 1050], [0, 659, 1691], [0, 2935]]",
    "I": "lambda n, J, w: wide[n - 1][J] if w == 1 else (deep[n - 1][J] if J < 4 else (50*2**J + 112*J - 146 "
    "if n == 1 else (156*4**J + 662*J - 595 if n == 2 else 434*8**J + 2626*J - 2058)))",
}
"""P = D_n(m, H) + I_n(J) of one word a block; `wide` says which look-up."""


def _parameters() -> list[Proof]:
    """Shapes of every layer of all designs of one word a block: what they hold together, and that they fit."""
    rows = []
    for d in designs_compared():
        if d.words == 1:
            layers = layers_of.__wrapped__(d, d.k, tuple(range(d.k)), (0.0,) * d.k, (1.0,) * d.k, 0.5)
            widths = [len(layer.weight) for layer in layers]
            held = sum(layer.weight.numel() + layer.bias.numel() for layer in layers)
            rows.append([d.k, d.J, d.m, d.header, int(d.lookup == "wide"), held, widths])
    definitions = {
        **CLOSED,
        "dense": "lambda r: sum([(a + 1)*b for a, b in zip([r[0]] + [r[6][i] for i in range(len(r[6]) - 1)], r[6])])",
    }
    return [
        facts(
            "all([dense(r) == r[5] for r in rows])",
            "all([D(r[0], r[2], r[3]) + I(r[0], r[1], r[4]) == r[5] for r in rows])",
            f"len(rows) == {len(rows)}",
            data={"rows": rows},
            definitions=definitions,
        )
    ]


PROOFS: dict[str, Producer] = {
    "parameters": lambda context, folder: _parameters(),
}
