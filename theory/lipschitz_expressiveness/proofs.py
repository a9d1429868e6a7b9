"""Proof files of the claims about Lipschitz constants: moments by their indices, tents and pencils by their weights."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from torch import nn

from constructions import build_momlp, targets
from constructions import lipschitz_expressiveness as objects
from theory.lipschitz_expressiveness.reproductions.methods import regulator
from theory.lipschitz_expressiveness.reproductions.mixtures import MODELS, zigzag
from theory.proofs import MATRICES, NETWORKS, Producer, Proof, facts, layers_held

# --- moments --------------------------------------------------------------------------------------------


def _trace_moments() -> list[Proof]:
    """The moment is a polynomial of degree at most p in m and in n; so where it has the stated values for all m and
    n up to 4 it is the stated polynomial. Sums over all indices of products of the moments 1, 0, 1, 0, 3, 0, 15."""
    definitions = {
        "moment": "[1, 0, 1, 0, 3, 0, 15]",
        "entries": "lambda i, j, p: [[i[t], j[t]] for t in range(p)] + [[i[t], j[(t + 1) % p]] for t in range(p)]",
        "count": "lambda e, all_: len([1 for f in all_ if f == e])",
        "mean": "lambda es: prod([moment[count(es[k], es)] if not (es[k] in [es[l] for l in range(k)]) else 1 "
        "for k in range(len(es))])",
        "direct": "lambda m, n, p: sum([mean(entries(i, j, p)) for i in product(range(m), p) "
        "for j in product(range(n), p)])",
        "stated": "lambda m, n, p: m*n if p == 1 else (m*n*(m + n + 1) if p == 2 else "
        "m*n*(m**2 + n**2 + 3*m*n + 3*m + 3*n + 4))",
    }
    return [
        facts(
            "all([direct(m, n, p) == stated(m, n, p) for p in [1, 2] for m in range(1, 5) for n in range(1, 5)])",
            "all([direct(m, n, 3) == stated(m, n, 3) for m in range(1, 5) for n in range(1, 5)])",
            definitions=definitions,
        )
    ]


# --- tents ----------------------------------------------------------------------------------------------

DEEPEST = 10
"""Of the tents whose pieces are gone through."""


def _tent_map() -> list[Proof]:
    """Values at the ends of 2^d pieces alternate between 0 and 1; at both ends of a piece every unit before its ReLU
    has one sign, so the network is affine there. Matrices of rank one have the norms of their entries."""
    found = []
    for depth in range(1, DEEPEST + 1):
        layers = layers_held(objects.tent_map(depth))
        definitions = {**NETWORKS, "size": f"2**{depth}", "pieces": "range(size)", "point": "lambda j: [j/size]"}
        for i in range(len(layers)):
            inner = "x" if i == 0 else f"relu(before{i - 1}(x))"
            definitions[f"before{i}"] = f"lambda x: layer(N[{i}][0], N[{i}][1], {inner})"
        last = len(layers) - 1
        definitions["ends"] = "[point(j) for j in range(size + 1)]"
        definitions["alike"] = "lambda us: all([a*b >= 0 for j in pieces for a, b in zip(us[j], us[j + 1])])"
        definitions["minors"] = (
            "lambda W: [W[i][k]*W[j][l] - W[i][l]*W[j][k] for i in range(len(W)) for j in range(i + 1) "
            "for k in range(len(W[0])) for l in range(k + 1)]"
        )
        found.append(
            facts(
                f"all([before{last}(x)[0] == j % 2 for j, x in zip(range(size + 1), ends)])",
                *(f"alike([before{i}(x) for x in ends])" for i in range(last)),
                "all([m == 0 for layer_ in N for m in minors(layer_[0])])",
                f"prod([sum([w**2 for row in layer_[0] for w in row]) for layer_ in N]) == 40**{depth}",
                data={"N": layers},
                definitions=definitions,
            )
        )
    return found


# --- pencils --------------------------------------------------------------------------------------------


def _experts() -> Iterator[tuple[int, Any]]:
    for n, eps in MODELS:
        model: Any = build_momlp(targets.get("cone", n=n), eps=eps)
        yield n, [_held(model.expert(leaf)) for leaf in model.leaf_indices("cpu")]


def _held(network: nn.Module) -> list:
    """[[w, b, v] a unit, in the order of their bends], the axis being the same for all."""
    (first, bias), (last, _) = layers_held(network)
    axes = {int(a) for a in first.nonzero()[:, 1]}
    units = [[float(w), float(b), float(v)] for w, b, v in zip(first.sum(1), bias, last[0], strict=True)]
    units.sort(key=lambda u: -Fraction(u[1]) / Fraction(u[0]))
    if len(axes) != 1 or int((first != 0).sum()) != len(units):
        raise ValueError("the first layer does not read one and the same axis")
    return units


def _pencils() -> list[Proof]:
    """Slopes behind every bend, by the weights; a first layer that reads one axis alone is a column."""
    found = []
    definitions = {
        "ordered": "lambda us: all([u[0] > 0 for u in us]) and all([us[i][1]*us[i + 1][0] >= us[i + 1][1]*us[i][0] "
        "for i in range(len(us) - 1)] + [True])",
        "last": "lambda us, i: i == len(us) - 1 or us[i][1]*us[i + 1][0] != us[i + 1][1]*us[i][0]",
        "gains": "lambda us: [u[0]*u[2] for u in us]",
        "slopes": "lambda us, g: [sum([g[j] for j in range(i + 1)]) for i in range(len(us)) if last(us, i)]",
        "squared": "lambda us: sum([u[0]**2 for u in us])*sum([u[2]**2 for u in us])",
    }
    for _, experts in _experts():
        units = len(experts[0])
        limit = f"(1 + {units}/2**50)"
        found.append(
            facts(
                "all([ordered(us) for us in experts])",
                f"all([abs(s) <= {limit} for us in experts for s in slopes(us, gains(us))])",
                f"all([squared(us) <= (2*{limit}*{units})**2 for us in experts])",
                f"len(experts) == {len(experts)}",
                data={"experts": experts},
                definitions=definitions,
            )
        )
    zigzags = [[K, _held(zigzag(K))] for K in (1, 2, 7, 64)]
    found.append(
        facts(
            "all([max([abs(s) for s in slopes(z[1], gains(z[1]))]) == 1 for z in zigzags])",
            "all([squared(z[1]) == z[0]*(4*z[0] - 3) for z in zigzags])",
            "all([ordered(z[1]) for z in zigzags])",
            data={"zigzags": zigzags},
            definitions=definitions,
        )
    )
    return found


# --- control --------------------------------------------------------------------------------------------


def _controller() -> list[Proof]:
    """The two units have opposite weights and no bias, so one of them fires: u = −Kx everywhere. V(x) = x'Px shrinks by
    rho² where rho²P − M'PM is positive definite, M = A + B·slope: its minors, and those of the open loop."""
    a, b, K, P = regulator()
    (first, bias), (last, end) = layers_held(objects.two_unit_controller(K))
    data = {"A": a, "B": b, "P": P, "W": first, "b": bias, "V": last, "c": end, "K": K}
    definitions = {
        **MATRICES,
        "loop": "lambda g: [[A[i][j] + B[i][0]*g[j] for j in range(2)] for i in range(2)]",
        "gap": "lambda M, r: [[r**2*P[i][j] - mul(mul(flip(M), P), M)[i][j] for j in range(2)] for i in range(2)]",
        "definite": "lambda S: S[0][1] == S[1][0] and S[0][0] > 0 and S[0][0]*S[1][1] - S[0][1]**2 > 0",
        "slope": "lambda on: [sum([V[0][u]*W[u][j] for u in on]) for j in range(2)]",
        "rho": "0.95152603",
    }
    return [
        facts(
            "[W[0][j] + W[1][j] for j in range(2)] == [0, 0]",
            "b == [0, 0] and c == [0]",
            "slope([0]) == slope([1])",
            "slope([0]) == [0 - K[0], 0 - K[1]]",
            "P[0][0] > 0 and P[0][0]*P[1][1] - P[0][1]*P[1][0] > 0",
            "definite(gap(loop(slope([0])), rho))",
            "not definite(gap(loop(slope([0])), rho - 1/10**7))",
            "rho < 1",
            # the open loop, which is both units off as a pattern: no contraction
            "not definite(gap(A, 1))",
            # clipped at ±1: linear on the smaller box, saturated at a corner of the larger
            "39/100*(abs(K[0]) + abs(K[1])) < 1 < 40/100*(abs(K[0]) + abs(K[1]))",
            data=data,
            definitions=definitions,
        )
    ]


PROOFS: dict[str, Producer] = {
    "controller": lambda context, folder: _controller(),
    "trace_moments": lambda context, folder: _trace_moments(),
    "tent_map": lambda context, folder: _tent_map(),
    "pencils": lambda context, folder: _pencils(),
}
