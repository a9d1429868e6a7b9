"""Proof files of the claims about bit extraction: the shapes against closed forms, and answers in rationals."""

from __future__ import annotations

import itertools
from fractions import Fraction

from constructions import targets
from constructions.bit_extraction import layers_of
from theory.bit_extraction.checkers.interpolant import parity_rounded, sample_points
from theory.bit_extraction.reproductions.networks import POINTS, built, designs_compared, node_values
from theory.claim import Context
from theory.proofs import NETWORKS, Producer, Proof, facts, layers_held

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


def _exact_realisation(context: Context) -> list[Proof]:
    """Networks of one input on the cone, layer by layer in rationals, at points z/K of [0, 1]: what they answer is the
    interpolant of c0 + q·y, y whole with the parity of its node and within q of the cone's value there."""
    found = []
    for eps, lookup in itertools.product((0.01, 0.001), ("deep", "wide")):
        model = built(targets.get("cone", n=1), eps, resolved=1, lookup=lookup)
        cells, step = model.plan.network.cells, Fraction(model.plan.step)
        values = node_values(model)
        y, low = parity_rounded(values, step)
        z = sample_points(cells, model.plan.network.m, 1, POINTS, context.generator())
        inside = [Fraction(p[0]) for p in z if 0 <= p[0] <= cells]
        layers = layers_held(model.expert(0))
        data = {
            "N": layers,
            "z": inside,
            "K": cells,
            "q": step,
            "c0": low,
            "y": [y[(j,)] for j in range(cells + 1)],
        }
        definitions = {**NETWORKS, "h0": "[[v/K] for v in z]"}
        for i in range(len(layers)):
            inner = "x" if i == 0 else "relu(x)"
            definitions[f"h{i + 1}"] = f"[layer(N[{i}][0], N[{i}][1], {inner}) for x in h{i}]"
        definitions["left"] = "lambda v: min(floor(v), K - 1)"
        definitions["between"] = "lambda v: y[left(v)] + (v - left(v))*(y[left(v) + 1] - y[left(v)])"
        found.append(
            facts(
                f"[h[0] for h in h{len(layers)}] == [c0 + q*between(v) for v in z]",
                "all([y[j] % 2 == j % 2 for j in range(K + 1)])",
                "all([abs(c0 + q*y[j] - abs(j/K - 1/3)) <= q*(1 + 1/10**9) for j in range(K + 1)])",
                "len(z) > 20 and max(z) - min(z) > K/2",
                data=data,
                definitions=definitions,
            )
        )
    return found


PROOFS: dict[str, Producer] = {
    "exact_realisation": lambda context, folder: _exact_realisation(context),
    "parameters": lambda context, folder: _parameters(),
}
