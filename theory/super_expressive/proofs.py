"""Proof files of the claim about activations of infinite VC dimension: weights and phases in integers."""

from __future__ import annotations

from constructions.super_expressive import FAMILIES
from theory.claim import Context
from theory.proofs import Producer, Proof, facts
from theory.super_expressive.checkers import every_labeling, structured_and_random

ENUMERATED, LONG = (1, 2, 4, 8, 12), (64, 256)


def _infinite_vc_dimension(context: Context) -> list[Proof]:
    """The phase w·x_i modulo 2 at x_i = base^−i is exact; EUAF is it up to 1 and 2 minus it beyond, the sine is that of
    π times it. Tails: Σ 4^−j stays below 1/3, and 2^−i + Σ_{j<i} 2^−j is 1 − 2^−i at most."""
    data, definitions, stated = {}, {}, []
    labels = {
        "euaf": "lambda w, b, i: 1*(min(w % (2*b**i), 2*b**i - w % (2*b**i))*2 > b**i)",
        "sine": "lambda w, b, i: 1*(0 < w % (2*b**i) < b**i)",
    }
    for name, family in FAMILIES.items():
        cases = [[k, every_labeling(k)] for k in ENUMERATED]
        drawn = [[k, structured_and_random(k, 16, context.generator())] for k in LONG]
        data[f"{name}_base"] = family.base
        for part, many in (("all", cases), ("some", drawn)):
            data[f"{name}_{part}"] = [[k, [family.weight(row) for row in rows], rows] for k, rows in many]
            stated.append(
                f"all([[{name}(w, {name}_base, i) for i in range(1, c[0] + 1)] == y "
                f"for c in {name}_{part} for w, y in zip(c[1], c[2])])"
            )
        definitions[name] = labels[name]
        stated.append(f"all([len(set(c[2])) == 2**c[0] for c in {name}_all])")
        stated.append(f"[c[0] for c in {name}_all] == {list(ENUMERATED)}")
    stated += [
        "all([3*sum([1/4**j for j in range(1, k)] + [0]) < 1 for k in range(1, 60)])",
        "all([1/2**i + sum([1/2**j for j in range(1, i)] + [0]) == 1 - 1/2**i for i in range(1, 60)])",
    ]
    return [facts(*stated, data=data, definitions=definitions)]


PROOFS: dict[str, Producer] = {
    "infinite_vc_dimension": lambda context, folder: _infinite_vc_dimension(context),
}
