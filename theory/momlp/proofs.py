"""Proof files of the claims about mixtures of pencils: errors on coarse models, counts and their limits."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import torch

from constructions import LipschitzFunction, PathwayTree, Plan, build_momlp, plan, save, targets
from theory.checkers.uniform_error import certify_uniform_error
from theory.claim import Context
from theory.error_proofs import proof_of
from theory.momlp.reproductions.mixtures import LISTED_EPS, LISTED_TARGETS, SHARP_EPS, listed_target
from theory.momlp.reproductions.rates import plans_compared
from theory.proofs import Producer, Proof, facts

# --- errors ---------------------------------------------------------------------------------------------

COARSE = {1: 1e-3, 2: 0.01}
"""n -> eps of models whose proofs take seconds; with the full budget they are those of the claim (`LISTED_EPS`)."""


def _error(context: Context, folder: Path, name: str, f: LipschitzFunction, options: dict) -> Proof:
    """The model is stored beside its proof."""
    path = folder / f"{name}.safetensors"
    save(build_momlp(f, **options), path)
    return "uniform_error", proof_of(path, f, options["eps"], log=lambda message: context.log(f"{name}: {message}"))


def _uniform_error(context: Context, folder: Path) -> list[Proof]:
    """All targets of the claim with n ≤ 2; the sharp one is no formula: its modulus and values are premises."""
    found = []
    for n in COARSE:
        eps = LISTED_EPS[n] if context.full else COARSE[n]
        for name in LISTED_TARGETS:
            context.log(f"{name}, n = {n}")
            f = listed_target(name, n, eps)
            found.append(_error(context, folder, f"momlp.uniform_error-{name}-{n}", f, {"eps": eps}))
    return found


VARIANTS = {
    "prelu": ("cone", 2, {"eps": 0.15, "activation": "prelu"}),
    "constant": ("cone", 2, {"eps": 0.2, "expert": "constant"}),
    "outputs": ("vector_rotation", 2, {"eps": 0.15, "split": 0.25}),
    "float32": ("cone", 2, {"eps": 0.15, "dtype": torch.float32}),
    "valency": ("sum_of_sines", 2, {"eps": 0.15, "valency": 3}),
}


def _variants(context: Context, folder: Path) -> list[Proof]:
    found = []
    for name, (target, n, options) in VARIANTS.items():
        context.log(name)
        found.append(_error(context, folder, f"momlp.variants-{name}", targets.get(target, n=n), options))
    box = LipschitzFunction.from_sympy("sin(2*x0) + abs(x1 - 1/3)", n=2, domain=[(-1, 2), (0, 0.5)])
    found.append(_error(context, folder, "momlp.variants-box", box, {"eps": 0.4}))
    return found


NODES = {
    "middles": "lambda m, s: [(2*i + 1)*s/(2*m) for i in range(m)]",
    "knots": "lambda k, s: [j*s/k for j in range(k + 1)]",
    "grids": "lambda r: [middles(m, s) for m, s in zip(r[0], [r[2][a] for a in range(len(r[0]))])] + "
    "[knots(r[1], r[2][len(r[2]) - 1])]",
    "far": "lambda g, s: max([g[0], s - g[len(g) - 1]] + [(g[i + 1] - g[i])/2 for i in range(len(g) - 1)])",
    "farthest": "lambda r: sum([far(g, s)**2 for g, s in zip(grids(r), r[2])])",
    "stated": "lambda r: sum([(s/(2*m))**2 for m, s in zip(r[0], [r[2][a] for a in range(len(r[0]))])] + [0]) + "
    "(r[2][len(r[2]) - 1]/(2*r[1]))**2",
}
"""r = [cells, knots, sides, …]: the farthest squared distance to the nodes, by the grids, and as stated."""


def _certificate_tightness(context: Context) -> list[Proof]:
    """Intervals of branch and bound on the sharp target, n ≤ 2, against the farthest distance to the nodes."""
    rows = []
    for n in (1, 2):
        eps = LISTED_EPS[n]
        design = plan(LipschitzFunction(lambda x: x[:, :1], n=n, lipschitz=1.0), eps)
        f = targets.sharp(design)
        found = certify_uniform_error(build_momlp(f, eps=eps), f, gap=1e-3, seed=context.seed)
        rows.append([[*design.cells], design.knots, design.domain.sides, found.lower, found.upper])
    return [
        facts(
            "all([farthest(r) == stated(r) for r in rows])",
            "all([r[3]**2 <= farthest(r)*(1 + 1/10**12)**2 for r in rows])",
            "all([farthest(r) <= (r[4]*(1 + 1/10**12))**2 for r in rows])",
            "all([r[4]**2 <= (1001/1000)**2*farthest(r) and r[4] <= 1001/1000*r[3] for r in rows])",
            "all([r[3] > 0 for r in rows])",
            data={"rows": rows},
            definitions=NODES,
        )
    ]


def _sharpness() -> list[Proof]:
    """Nodes on each axis: distances on an interval are largest at its ends or half-way between neighbours. The output
    layers of the model that is built for the distance to the nodes are 0."""
    rows = []
    for n in (1, 2, 3):
        for eps in SHARP_EPS[:2]:
            f = LipschitzFunction(lambda x: x[:, :1], n=n, lipschitz=1.0)
            design = plan(f, eps)
            model = build_momlp(targets.sharp(design), eps=eps)
            weight, bias = model.output_layers(model.tree.leaf_indices(model.place))
            rows.append([[*design.cells], design.knots, design.domain.sides, weight.flatten(), bias.flatten()])
    return [
        facts(
            "all([farthest(r) == stated(r) for r in rows])",
            "all([all([w == 0 for w in r[3] + r[4]]) for r in rows])",
            "all([len(r[4]) == prod(r[0] + [1]) and len(r[3]) == r[1]*len(r[4]) for r in rows])",
            f"len(rows) == {len(rows)}",
            data={"rows": rows},
            definitions=NODES,
        )
    ]


# --- counts ---------------------------------------------------------------------------------------------

COUNTS = {
    # the least whole K with K·2ε√θ ≥ ℓλ, and M with M·2ε√(1 − θ) ≥ ℓλ√(n − 1): squared, in rationals
    "is_K": "lambda K, r: (K - 1)**2*4*r[2]**2*r[5] < (r[4]*r[3])**2 <= K**2*4*r[2]**2*r[5]",
    "is_M": "lambda M, r: (M - 1)**2*4*r[2]**2*(1 - r[5]) < (r[4]*r[3])**2*(r[0] - 1) <= M**2*4*r[2]**2*(1 - r[5])",
    "height": "lambda M: min([h for h in range(64) if 2**h >= M])",
}
"""r = [n, m, ε, λ, ℓ, θ]."""


def _described(design: Plan) -> list:
    theta = Fraction(1) if design.split is None else Fraction(design.split)
    return [
        design.n, design.m, Fraction(design.eps_plan), Fraction(design.modulus.lam), design.domain.sides[-1], theta,
    ]  # fmt: skip


def _plans() -> Iterator[tuple[Plan, dict, LipschitzFunction]]:
    for f, eps, options in plans_compared(Context()):
        design = plan(f, eps, **options)
        if design.leaves <= 5000:
            yield design, {"eps": eps, **options}, f


def _active_parameters() -> list[Proof]:
    """Numbers that built experts hold, tensor by tensor, against K(n + 1 + m) + m; and what εP is at most and at
    least for every ε, so that its limit is ℓλ(n + 1 + m)/(2√θ)."""
    rows = []
    for design, options, f in _plans():
        model = build_momlp(f, **options)
        expert = model.expert(tuple(0 for _ in design.cells))
        rows.append([_described(design), [list(p.shape) for p in expert.state_dict().values()], design.knots])
    definitions = {
        **COUNTS,
        "P": "lambda r, K: K*(r[0] + 1 + r[1]) + r[1]",
        "limit_squared": "lambda r: (r[4]*r[3]*(r[0] + 1 + r[1])/2)**2/r[5]",
        "excess": "lambda r: r[2]*(r[0] + 1 + 2*r[1])",
    }
    return [
        facts(
            "all([is_K(q[2], q[0]) for q in rows])",
            "all([sum([prod(s) for s in q[1]]) == P(q[0], q[2]) for q in rows])",
            "all([limit_squared(q[0]) <= (q[0][2]*P(q[0], q[2]))**2 for q in rows])",
            "all([q[0][2]*P(q[0], q[2]) - excess(q[0]) <= 0 or (q[0][2]*P(q[0], q[2]) - excess(q[0]))**2 "
            "<= limit_squared(q[0]) for q in rows])",
            # K < c/ε + 1 for every ε: with K = C − D + 1, C = c/ε and D > 0
            "E1*((C - D + 1)*(N + 1 + M1) + M1) == C*E1*(N + 1 + M1) + E1*(N + 1 + 2*M1) - D*E1*(N + 1 + M1)",
            f"len(rows) == {len(rows)}",
            data={"rows": rows},
            definitions=definitions,
            variables=("C", "D", "E1", "N", "M1"),
        )
    ]


def _forward_pass_load() -> list[Proof]:
    """Children on the worst path of each tree, and the package's own count of what a forward pass loads."""
    rows = [
        [_described(design), design.knots, list(design.cells), design.forward_pass_parameters]
        for design, *_ in _plans()
    ]
    shapes = [(708,), (87, 87), (16,) * 9, (1000, 3, 17), (2**20, 2**20)]
    trees = [[list(cells), PathwayTree(cells).max_path_children()] for cells in shapes]
    definitions = {
        **COUNTS,
        "loaded": "lambda r, K, cells: K*(r[0] + 1 + r[1]) + r[1] + 2*r[0]*sum([height(M) for M in cells] + [0])",
    }
    return [
        facts(
            "all([is_K(q[1], q[0]) for q in rows])",
            "all([is_M(M, q[0]) for q in rows for M in q[2]])",
            "all([loaded(q[0], q[1], q[2]) == q[3] for q in rows])",
            "all([t[1] == 2*sum([height(M) for M in t[0]]) for t in trees])",
            # ε·log₂ M with M ≤ c/ε + 1 vanishes: log₂ x ≤ 2√x for x = 4^k, and in between by twice as much
            "all([2*k <= 2*2**k for k in range(200)])",
            f"len(rows) == {len(rows)}",
            data={"rows": rows, "trees": trees},
            definitions=definitions,
        )
    ]


def _trade_off() -> list[Proof]:
    """θ(1 − θ)^(n−1) is largest at 1/n, with θ = T/(1 + T): the difference is (T(n − 1) − 1)² times a polynomial
    without negative coefficients. And counts of eleven splits, n = 3."""
    f = targets.get("cone", n=3)
    plans = [plan(f, 0.001, split=Fraction(j, 12)) for j in range(1, 12)]
    rows = [[_described(p), p.knots, p.cells[0], p.leaves, p.parameters] for p in plans]
    definitions = {
        **COUNTS,
        # (1 + T)^n (n − 1)^(n−1) − n^n T, divided by ((n − 1)T − 1)²
        "gap": "lambda n: (1 + T)**n*(n - 1)**(n - 1) - n**n*T",
        "quotient": "lambda n: sum([q*T**k for k, q in zip(range(n - 1), quotients[n - 2])])",
        "cost": "lambda q: q[1]*q[3]",
    }
    quotients = [_quotient(n) for n in range(2, 6)]
    return [
        facts(
            "all([gap(n) == ((n - 1)*T - 1)**2*quotient(n) for n in range(2, 6)])",
            "all([c >= 0 for q in quotients for c in q])",
            "all([is_K(q[1], q[0]) and is_M(q[2], q[0]) and q[3] == q[2]**2 and q[4] == 5*q[1] + 1 for q in rows])",
            "all([rows[i][4] >= rows[i + 1][4] and rows[i][3] <= rows[i + 1][3] for i in range(10)])",
            "min([cost(q) for q in rows]) == min([cost(q) for q in rows if 1/4 <= q[0][5] <= 5/12])",
            "len(rows) == 11",
            data={"rows": rows, "quotients": quotients},
            definitions=definitions,
            variables=("T",),
        )
    ]


def _quotient(n: int) -> list[Fraction]:
    """Coefficients, lowest first, of ((1 + T)^n (n−1)^(n−1) − n^n T) / ((n−1)T − 1)²."""
    rest = [Fraction(math.comb(n, k) * (n - 1) ** (n - 1) - (n**n if k == 1 else 0)) for k in range(n + 1)]
    divisor, found = [Fraction(1), Fraction(-2 * (n - 1)), Fraction((n - 1) ** 2)], []
    for k in range(n - 1):
        found.append(rest[k])
        for j, d in enumerate(divisor):
            rest[k + j] -= found[-1] * d
    return found


def _curse_of_dimensionality() -> list[Proof]:
    """θ = 1/n, λ = ℓ = 1: both K and M are at least c/ε and below c/ε + 1, c = √n/2, so ε^n L P lies between
    c^n(n + 2) and (c + ε)^(n−1)((c + ε)(n + 2) + ε), which tends to it."""
    rows = []
    for n in range(2, 6):
        f = LipschitzFunction(lambda x: x[:, :1], n=n, lipschitz=1.0)
        for j in (6, 9, 12):
            design = plan(f, 2.0**-j, split=Fraction(1, n))
            rows.append([_described(design), design.knots, design.cells[0], design.leaves, design.parameters])
    definitions = {
        **COUNTS,
        "c": "lambda r: sqrt(r[0])/2",
        "scaled": "lambda q: q[0][2]**q[0][0]*q[3]*q[4]",
        "limit": "lambda r: c(r)**r[0]*(r[0] + 2)",
        "most": "lambda r: (c(r) + r[2])**(r[0] - 1)*((c(r) + r[2])*(r[0] + 2) + r[2])",
    }
    return [
        facts(
            "all([is_K(q[1], q[0]) and is_M(q[2], q[0]) for q in rows])",
            "all([q[3] == q[2]**(q[0][0] - 1) and q[4] == q[1]*(q[0][0] + 2) + 1 for q in rows])",
            "all([limit(q[0]) < scaled(q) < most(q[0]) for q in rows])",
            "all([0 < limit(q[0]) for q in rows])",
            "all([most(q[0]) - limit(q[0]) < 40*q[0][2]*limit(q[0]) for q in rows])",
            data={"rows": rows},
            definitions=definitions,
        )
    ]


PROOFS: dict[str, Producer] = {
    "uniform_error": _uniform_error,
    "variants": _variants,
    "certificate_tightness": lambda context, folder: _certificate_tightness(context),
    "sharpness": lambda context, folder: _sharpness(),
    "active_parameters": lambda context, folder: _active_parameters(),
    "forward_pass_load": lambda context, folder: _forward_pass_load(),
    "trade_off": lambda context, folder: _trade_off(),
    "curse_of_dimensionality": lambda context, folder: _curse_of_dimensionality(),
}
