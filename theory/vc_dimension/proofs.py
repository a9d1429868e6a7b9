"""Proof files of the claims about VC dimension: all labelings of small sets, and solved upper bounds in enclosures."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import torch
from torch import nn

from constructions import vc_dimension as sets
from constructions.vc_dimension import largest_set
from theory.claim import Context
from theory.proofs import NETWORKS, Producer, Proof, facts, forward, layers_held
from theory.vc_dimension import bounds
from theory.vc_dimension.reproductions.shattered_sets import ROWS
from theory.vc_dimension.reproductions.stated_rate import grid_of_sizes
from theory.vc_dimension.reproductions.upper_bounds import SIZES, random_cases

MOST_POINTS = 10
"""Of sets all of whose labelings are written down."""


def _labelings(points: int) -> torch.Tensor:
    """(2^k, k)."""
    return (torch.arange(2**points)[:, None] >> torch.arange(points) & 1).bool()


ALL = (
    "all([len(p[1]) == 2**len(p[0]) == len(set(p[2])) for p in shattered])",
    "all([len(set(p[0])) == len(p[0]) for p in shattered])",
    "all([[1*(answer(p, N, x) > 0) for x in p[0]] == y for p in shattered for N, y in zip(p[1], p[2])])",
)
"""Every labeling occurs, of distinct points, and its network answers it."""


def _shattered(promised: Sequence[tuple[Any, int]]) -> list[Proof]:
    """All labelings of each set, by the networks of the module that the set builds; one file for a depth."""
    by_depth: dict[int, list[tuple[Any, int]]] = {}
    for shattered, points in promised:
        depth = len(layers_held(shattered.module(torch.zeros(points, dtype=torch.bool))))
        by_depth.setdefault(depth, []).append((shattered, points))
    found = []
    for depth, group in by_depth.items():
        held = []
        for shattered, points in group:
            labels = _labelings(points)
            held.append([shattered.points, [layers_held(shattered.module(row)) for row in labels], labels.int()])
        definitions = {**NETWORKS, "run": forward(depth), "answer": "lambda p, N, x: run(N, x)[0]"}
        counted = f"[len(p[0]) for p in shattered] == {[points for _, points in group]}"
        found.append(facts(*ALL, counted, data={"shattered": held}, definitions=definitions))
    return found


def _one_hidden_layer() -> list[Proof]:
    return _shattered([(sets.one_hidden_layer(n, w), n * w + 1) for n, w in ((2, 2), (2, 4), (3, 3))])


def _deep() -> list[Proof]:
    grids = [(sets.two_hidden_layers(s), s * s) for s in (2, 3)]
    return _shattered([*grids, (sets.deep(2, 1, 2), 8), (sets.wide(3, 2, 2), 8)])


def _routing_only() -> list[Proof]:
    """Nearest prototypes, node by node, ties to the lowest index."""
    flat = [(sets.routing_only(n, experts), (experts - 1) * n + 1) for n, experts in ((2, 4), (1, 8), (3, 3))]
    trees = [(sets.routing_pairs(n, 4, tree=True), 2 * (n + 1)) for n in (1, 2, 3)]
    found = []
    for levels, group in ((1, flat), (2, trees)):
        held = []
        for shattered, points in group:
            labels = _labelings(points)
            routers = [shattered.module(row) for row in labels]
            held.append(
                [shattered.points, [[[*r.levels], r.values.detach()] for r in routers], labels.int()],
            )
        definitions = {
            "gap": "lambda x, q: sum([(a - b)**2 for a, b in zip(x, q)])",
            "nearest": "lambda x, qs: min([i for i in range(len(qs)) "
            "if all([gap(x, qs[i]) <= gap(x, q) for q in qs])])",
            "child": "lambda level, node, x: node*len(level[0]) + nearest(x, level[node])",
            "leaf": "lambda N, x: child(N[0][0], 0, x)"
            if levels == 1
            else "lambda N, x: child(N[0][1], child(N[0][0], 0, x), x)",
            "answer": "lambda p, N, x: N[1][leaf(N, x)]",
        }
        counted = f"[len(p[0]) for p in shattered] == {[points for _, points in group]}"
        found.append(facts(*ALL, counted, data={"shattered": held}, definitions=definitions))
    return found


def _mixture() -> list[Proof]:
    """L times what one expert shatters, through the mixture's routing: the cell on the first axis."""
    experts = sets.one_hidden_layer(2, 1)
    mixtures = [(sets.mixture(experts, 3, valency=3), 3), (sets.mixture(experts, 2), 2)]
    held = []
    for shattered, cells in mixtures:
        labels = _labelings(shattered.size)
        modules = [shattered.module(row) for row in labels]
        low, high = modules[0].lattice.domain.tensors()
        side = [float(low[0]), float(high[0]), cells]
        nets = [[layers_held(_expert(m, i)) for i in range(cells)] for m in modules]
        held.append([shattered.points, nets, labels.int(), side])
    definitions = {
        **NETWORKS,
        "run": forward(2),
        "middle": "lambda side, i: side[0] + (side[1] - side[0])*(2*i + 1)/(2*side[2])",
        "cell": "lambda side, x: min([i for i in range(side[2]) if all([abs(x - middle(side, i)) <= "
        "abs(x - middle(side, k)) for k in range(side[2])])])",
        "answer": "lambda p, N, x: run(N[cell(p[3], x[0])], x)[0]",
    }
    return [
        facts(*ALL, "[len(p[0]) for p in shattered] == [3*3, 2*3]", data={"shattered": held}, definitions=definitions)
    ]


def _expert(model: Any, leaf: int) -> nn.Module:
    return model.expert((leaf,))


# --- upper bounds ---------------------------------------------------------------------------------------

GROWTH = {
    "log2": "lambda x: log(x)/log(2)",
    "of_degree": "lambda c, v, d: c if c <= v else (min(c, v*log2(exp(1)*c/v)) if d == 1 "
    "else min(c, 1 + v*log2(2*exp(1)*c*d/v)))",
    "routing": "lambda n, L, m: 0 if L == 1 else Min(m*log2(L), of_degree(m*L*(L - 1)/2, (L - 1)*(n + 1), 1), "
    "of_degree(m*L*(L - 1)/2, n*L, 2))",
    "sauer": "lambda d, m: d*log2(1 + exp(1)*m/d)",
    "flat": "lambda n, L, m, expert: routing(n, L, m) + L*expert(m/L)",
}
"""Upper bounds of log₂ of growth functions; each G is concave with G(1) ≥ 1, so that m > G(m) excludes all m above."""


def _routing_term(context: Context) -> list[Proof]:
    """G(m) < m at the first integer above 5.3·L·(d + (n + 1)·log₂ 2L): no larger set is shattered."""
    cases = random_cases(context)
    definitions = {
        **GROWTH,
        "clean": "lambda n, h, d: 53/10*2**h*(d + (n + 1)*(h + 1))",
        "above": "lambda n, h, d, m: flat(n, 2**h, m, lambda k: sauer(d, k)) < m",
    }
    return [
        facts(
            "all([above(c[0], c[1], c[2], floor(clean(c[0], c[1], c[2])) + 1) for c in cases])",
            "all([c[2] >= c[0] + 1 for c in cases])",
            f"len(cases) == {len(cases)}",
            data={"cases": cases},
            definitions=definitions,
        )
    ]


def _tree_router(context: Context) -> list[Proof]:
    """The same for trees of valency 2 and 3, above λ_v·L·d, of every third case."""
    cases = [[n, min(height, 10), d] for n, height, d in random_cases(context)[::3]]
    factors = [Fraction(str(round(bounds.tree_factor(v), 4))) + Fraction(1, 10_000) for v in (2, 3)]
    definitions = {
        **GROWTH,
        "level": "lambda n, v, m: routing(n, v, m)",
        "tree": "lambda n, v, h, m, d: sum([v**l*routing(n, v, m/v**l) for l in range(h)]) + v**h*sauer(d, m/v**h)",
        "above": "lambda n, v, h, d, f: tree(n, v, h, floor(f*v**h*d) + 1, d) < floor(f*v**h*d) + 1",
        "step": "lambda v, f: log2(exp(1)/2*v**(1 + v/(v - 1))*f) + log2(1 + exp(1)*f)",
    }
    return [
        facts(
            "all([above(c[0], 2, c[1], c[2], factors[0]) for c in cases])",
            "all([above(c[0], 3, c[1], c[2], factors[1]) for c in cases])",
            # λ_v is below these factors: f ↦ step is concave, and below the diagonal there
            "step(2, factors[0]) < factors[0]",
            "log2(exp(1)/2*exp(log(3)*5/2)*factors[1]) + log2(1 + exp(1)*factors[1]) < factors[1]",
            # and above these
            "step(2, factors[0] - 1/1000) > factors[0] - 1/1000",
            data={"cases": cases, "factors": factors},
            definitions=definitions,
        )
    ]


def _single_mlp() -> list[Proof]:
    """With one parameter fewer the solved bound is below the N^n points that approximation needs shattered."""
    rows = []
    for n, eps in itertools.product((1, 2, 4, 8), (Fraction(1, 10), Fraction(1, 100), Fraction(1, 1000))):
        fixed = [[depth, bounds.parameters_of_mlp(n, eps, depth)] for depth in (1, 2, 8, 64)]
        rows.append([n, eps, bounds.parameters_of_single_mlp(n, eps), fixed])
    definitions = {
        "log2": "lambda x: log(x)/log(2)",
        "side": "lambda r: ceil(1/(2*r[1]))",
        "points": "lambda r: side(r)**r[0]",
        # at m = M, J + 1 = layers, P parameters: m > (J + 1)(1 + P·log₂(e(J + 1)m)) excludes m and all above
        "excluded": "lambda m, layers, p: layers*(1 + p*log2(exp(1)*layers*m)) < m",
    }
    return [
        facts(
            "all([1/(side(r) - 1) > 2*r[1] for r in rows])",
            "all([r[2] <= 2*(J + 1) or excluded(points(r), J + 1, r[2] - 1) for r in rows for J in [1, 2, 8, 64]])",
            "all([q[1] <= 1 or excluded(points(r), q[0] + 1, q[1] - 1) for r in rows for q in r[3]])",
            "any([r[2] > 10**9 for r in rows])",
            data={"rows": rows},
            definitions=definitions,
        )
    ]


ARCHITECTURE = {
    "below": "lambda n, W, i: (n + 1)*W + (i - 1)*W*(W + 1)",
    "weights": "lambda n, J, W: below(n, W, J) + W + 1",
    "unfolded": "lambda n, J, W: [[W, below(n, W, i), i] for i in range(1, J + 1)] + [[1, weights(n, J, W), J + 1]]",
    "folded": "lambda n, J, W: [[W, below(n, W, i), i] for i in range(1, J + 1)] + [[1, below(n, W, J) + 1, J]]",
    "network": "lambda n, J, W, m: sum([of_degree(m*s[0], s[1], s[2]) for s in folded(n, J, W)])",
}


def _weights_reading() -> list[Proof]:
    """Polynomials without negative coefficients for every size, and the closed form on the grid."""
    definitions = {
        "log2": "lambda x: log(x)/log(2)",
        **{k: v for k, v in ARCHITECTURE.items() if k in ("below", "weights", "unfolded")},
        "r": "lambda n, J, W, L: exp(1)*(L*(L - 1)/2 + 2*sum([s[0]*s[2] for s in unfolded(n, J, W)]))",
        "dimension": "lambda n, J, W, L: (L - 1)*(n + 1) + L*sum([s[1] for s in unfolded(n, J, W)])",
        "logarithm": "lambda n, J, W, L: log2(2*r(n, J, W, L)*log2(r(n, J, W, L)))",
        "closed": "lambda n, J, W, L: L*(J + 1) + dimension(n, J, W, L)*logarithm(n, J, W, L)",
        "most": "lambda n, J, W, L: 4*L*(n + J*weights(n, J, W))*logarithm(n, J, W, L)",
        "gap": "4*(C + 1)*((A + 1) + (B + 1)*(D + 1)) - ((C + 1)*(B + 2) + C*(A + 2) + (C + 1)*(B + 2)*(D + 1))",
    }
    return [
        facts(
            # A, B, C, D are n − 1, J − 1, L − 1, w − 1
            "all([c >= 0 for c in coefficients(gap)])",
            "all([closed(g[0], g[1], g[2], g[3]) < most(g[0], g[1], g[2], g[3]) for g in grid])",
            f"len(grid) == {len(grid_of_sizes())}",
            data={"grid": grid_of_sizes()},
            definitions=definitions,
            variables=("A", "B", "C", "D"),
        )
    ]


def _width_condition() -> list[Proof]:
    """Shifted to where sizes start, all four differences have no negative coefficient: for every n, J and W."""
    definitions = {
        "q": "lambda n, J, W: J*(n*W + (J - 1)*W**2)",
        "weights": "lambda n, J, W: (n + 1)*W + (J - 1)*W*(W + 1) + W + 1",
        "deep": "lambda n, J, W: ((W - 4)/2)**2*((J - 1)**2 - 4)/8",
        "wide": "lambda n, J, W: (n - 1)*(W - 1)/2*(J - 3)",
        "good": "lambda p: all([c >= 0 for c in coefficients(p)])",
    }
    return [
        facts(
            "good(4*q(A + 1, B + 1, C + 1) - (B + 1)*weights(A + 1, B + 1, C + 1))",
            "good((B + 1)*weights(A + 1, B + 1, C + 1) - q(A + 1, B + 1, C + 1))",
            "good(27*((C + 3)**2/4 + (A + 2)*(C + 2)) - q(A + 2, 3, C + 2))",
            "good(321*(deep(A + 3, B + 4, C + 8) + wide(A + 3, B + 4, C + 8)) - q(A + 3, B + 4, C + 8))",
            definitions=definitions,
            variables=("A", "B", "C"),
        )
    ]


def _finite() -> list[Proof]:
    """Upper bounds of 216 architectures: G(m) < m there, and L times the points of the largest known set below."""
    rows = []
    for (n, depth, width), experts in itertools.product(SIZES, (1, 4, 64, 1024)):
        a, best = bounds.Architecture(n, depth, width), largest_set(n, depth, width).points
        upper = bounds.vc_upper_flat(a, experts)
        rows.append([n, depth, width, experts, math.ceil(upper * (1 + 2.0**-30)) + 1, best])
    definitions = {**GROWTH, **ARCHITECTURE}
    return [
        facts(
            "all([flat(r[0], r[3], r[4], lambda k: network(r[0], r[1], r[2], k)) < r[4] for r in rows])",
            "all([r[3]*r[5] < r[4] for r in rows])",
            f"len(rows) == {len(rows)}",
            data={"rows": rows},
            definitions=definitions,
        )
    ]


def _bounds() -> list[Proof]:
    """Upper bounds of the 14 architectures, flat and down a tree, and the sizes of the sets by their closed forms."""
    rows = []
    for (n, depth, width, experts), shattered in ROWS.items():
        a = bounds.Architecture(n, depth, width)
        tops = [
            math.ceil(u * (1 + 2.0**-30)) + 1
            for u in (bounds.vc_upper_flat(a, experts), bounds.vc_upper_tree(a, experts))
        ]
        rows.append([n, depth, width, experts, *tops, shattered.size])
    definitions = {
        **GROWTH,
        **ARCHITECTURE,
        "height": "lambda L: max([h for h in range(12) if 2**h <= L])",
        "tree": "lambda r, m: sum([2**l*routing(r[0], 2, m/2**l) for l in range(height(r[3]))]) "
        "+ r[3]*network(r[0], r[1], r[2], m/r[3])",
    }
    return [
        facts(
            "all([flat(r[0], r[3], r[4], lambda k: network(r[0], r[1], r[2], k)) < r[4] for r in rows])",
            "all([tree(r, r[5]) < r[5] for r in rows])",
            "all([2**height(r[3]) == r[3] for r in rows])",
            "all([r[6] < min(r[4], r[5]) for r in rows])",
            "all([r[6] == r[3]*(r[0]*r[2] + 1) for r in rows if r[1] == 1])",
            f"len(rows) == {len(rows)}",
            data={"rows": rows},
            definitions=definitions,
        )
    ]


PROOFS: dict[str, Producer] = {
    "bounds": lambda context, folder: _bounds(),
    "one_hidden_layer": lambda context, folder: _one_hidden_layer(),
    "deep": lambda context, folder: _deep(),
    "routing_only": lambda context, folder: _routing_only(),
    "mixture": lambda context, folder: _mixture(),
    "finite": lambda context, folder: _finite(),
    "routing_term": lambda context, folder: _routing_term(context),
    "tree_router": lambda context, folder: _tree_router(context),
    "weights_reading": lambda context, folder: _weights_reading(),
    "width_condition": lambda context, folder: _width_condition(),
    "single_mlp_lower_bound": lambda context, folder: _single_mlp(),
}
