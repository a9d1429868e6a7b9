"""The approximation theorem of MoMLPs: what arXiv:2402.03460 claims in its abstracts, and how it is reproduced.

A1 uniform error ≤ ε (its parameter counts, A2 and A4 are in `rates.py`, the router in `pathway_tree.py`) · A3 is in
`vc_dimension.py`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from fractions import Fraction

import torch
from torch import Tensor

from constructions import (
    LipschitzFunction,
    ModulusPremise,
    MoMLP,
    Plan,
    build_momlp,
    plan,
    targets,
)
from theory.checkers.lipschitz_constant import lipschitz_constant_le, modulus_refuted_by_building
from theory.checkers.uniform_error import UniformErrorCertificate, certify_uniform_error
from theory.claim import Context, Evidence, Number, Status, Table, Verdict, ensure

LISTED_EPS = {1: 1e-3, 2: 1e-3, 3: 0.01, 4: 0.05}
LISTED_TARGETS = ("cone", "sum_of_sines", "max_affine", "rotated_sine", "sharp")
SAMPLES = 20_000


def listed_target(name: str, n: int, eps: float) -> LipschitzFunction:
    if name == "sharp":
        # any 1-Lipschitz function has the same plan; the sharp target lives on its nodes
        return targets.sharp(plan(LipschitzFunction(lambda x: x[:, :1], n=n, lipschitz=1.0), eps))
    return targets.get(name, n=n)


# --- A1: the uniform error -----------------------------------------------------------------------------


def _certificates(context: Context) -> Iterator[tuple[str, int, UniformErrorCertificate]]:
    """Branch and bound on all listed instances, Theorem 1 read off the weights on the sharp ones (full: on all)."""
    for n, eps in LISTED_EPS.items():
        for name in LISTED_TARGETS:
            f = listed_target(name, n, eps)
            model = build_momlp(f, eps=eps, device=context.device)
            methods = ["branch_and_bound"]
            if context.full or name == "sharp":
                methods.append("a_priori")
            for method in methods:
                context.log(f"n = {n}, {name}: {method}")
                yield (
                    name,
                    n,
                    certify_uniform_error(model, f, eps=eps, method=method, samples=SAMPLES, seed=context.seed),
                )
            if context.full and n <= 2 and f.premise is ModulusPremise.CERTIFIED:
                coarse = build_momlp(f, eps=0.05, device=context.device)
                context.log(f"n = {n}, {name}: branch and bound with f in Arb balls")
                yield name, n, certify_uniform_error(coarse, f, eps=0.05, enclosed=True, seed=context.seed)


def uniform_error(context: Context) -> Verdict:
    """Every listed instance is certified, and the intervals of different methods overlap."""
    evidence, intervals, count = Evidence.EXACT, {}, 0
    for name, n, c in _certificates(context):
        ensure(c.status is Status.CERTIFIED, f"{name}, n = {n}, {c.method}: {c.reason}")
        evidence, count = min(evidence, c.evidence), count + 1
        key = (name, n, c.eps)
        low, high = intervals.get(key, (0.0, math.inf))
        low, high = intervals[key] = (max(low, c.lower), min(high, c.upper))
        ensure(low <= high, f"{name}, n = {n}: the methods contradict each other: {(low, high)}")
    rows = tuple((name, n, eps, *ends) for (name, n, eps), ends in intervals.items())
    tables = {"intervals": Table(("target", "n", "eps", "lower", "upper"), rows)}
    worst = max(high / eps for _, _, eps, _, high in rows)
    numbers: dict[str, Number] = {"certificates": count, "largest_upper_over_eps": worst}
    reason = f"{count} certificates on {len(intervals)} instances, each upper end ≤ eps"
    return Verdict(Status.CERTIFIED, evidence, reason, numbers, tables=tables)


VARIANTS = {
    "hoelder": ("weierstrass", 1, {"eps": 0.05}),
    "box": ("skew", 2, {"eps": 0.02}),
    "prelu": ("franke", 2, {"eps": 0.01, "activation": "prelu"}),
    "constant": ("cone", 2, {"eps": 0.02, "expert": "constant"}),
    "ternary": ("tent_product", 3, {"eps": 0.04, "valency": 3}),
    "outputs": ("vector_rotation", 2, {"eps": 0.01, "split": 0.25}),
    "float32": ("cone", 2, {"eps": 0.02, "dtype": torch.float32}),
    "flat": ("constant", 3, {"eps": 0.01}),
}
"""Name -> (target, n, options of `build_momlp`)."""


def variants(context: Context) -> Verdict:
    """One certificate for every option of `build_momlp`, by branch and bound and by Theorem 1's hypotheses."""
    rows = []
    for name, (target, n, options) in VARIANTS.items():
        f = _skew() if target == "skew" else targets.get(target, n=n)
        model = build_momlp(f, device=context.device, **options)
        for method in ("branch_and_bound", "a_priori"):
            context.log(f"{name}: {method}")
            c = certify_uniform_error(model, f, eps=options["eps"], method=method, samples=SAMPLES)
            ensure(c.status is Status.CERTIFIED, f"{name}, {method}: {c.reason}")
            rows.append((name, target, n, options["eps"], method, c.lower, c.upper))
    tables = {"variants": Table(("variant", "target", "n", "eps", "method", "lower", "upper"), tuple(rows))}
    reason = f"{len(VARIANTS)} variants certified twice"
    return Verdict(Status.CERTIFIED, Evidence.FLOAT64, reason, {"certificates": len(rows)}, tables=tables)


def _skew() -> LipschitzFunction:
    return LipschitzFunction.from_sympy("sin(2*x0) + abs(x1 - 1/3)", n=2, domain=[(-1, 2), (0, 0.5)])


QUERIES, CENTRES, BATCH = 100_000, 200, 5_000


def uniform_error_n10(context: Context) -> Verdict:
    """100,000 uniform and 100,000 clustered queries against a model of 16⁹ leaves under a 16 MiB cache."""
    f, budget = targets.get("sum_of_sines", n=10), 16 << 20
    generator = context.generator()
    uniform = f.domain.sample(QUERIES, generator)
    centres = f.domain.sample(CENTRES, generator)
    jitter = 0.01 * torch.randn(QUERIES, 10, dtype=torch.float64, generator=generator)
    clustered = (centres.repeat(QUERIES // CENTRES, 1) + jitter).clamp(0, 1)
    rows = []
    worst, witness = 0.0, uniform[0]
    for name, x in (("uniform", uniform), ("clustered", clustered)):
        model = build_momlp(f, eps=0.1, lazy=True, cache_bytes=budget, device=context.device)
        context.log(f"{len(x)} {name} queries")
        x = x.to(context.device)
        # batches, as a service would see them: hits are experts that an earlier batch built
        y = torch.cat([model(part) for part in x.split(BATCH)])
        error = (f(x) - y).abs().amax(-1)
        if not float(error.max()) <= worst:
            worst, witness = float(error.max()), x[error.argmax()]
        s = model.statistics
        rows.append((name, float(error.max()), round(s.hit_rate, 4), s.built, s.peak_bytes))
        ensure(s.peak_bytes <= budget, f"peak {s.peak_bytes} bytes exceed the budget {budget}")
    c = certify_uniform_error(model, f, eps=0.1, method="a_priori", samples=SAMPLES, seed=context.seed)
    tables = {"queries": Table(("queries", "largest_error", "hit_rate", "experts_built", "peak_bytes"), tuple(rows))}
    numbers: dict[str, Number] = {
        "leaves": model.num_leaves,
        "active_parameters": model.active_parameters,
        "total_parameters": model.total_parameters,
        "budget_bytes": budget,
        "a_priori_experts_read": c.leaves_checked,
        "a_priori_upper": c.upper,
    }
    if not worst <= 0.1:
        text = f"error {worst!r} at x = {witness.tolist()}"
        return Verdict(Status.REFUTED, Evidence.SAMPLED, text, numbers, witness=text, tables=tables)
    ensure(c.status is Status.NOT_REFUTED, c.reason, **numbers, **tables)
    reason = f"largest sampled error {worst:.6g} ≤ 0.1 with {model.num_leaves} leaves"
    return Verdict(Status.NOT_REFUTED, Evidence.SAMPLED, reason, numbers, {"eps": 0.1}, tables=tables)


def certificate_tightness(context: Context) -> Verdict:
    """gap = 1e-3; branch and bound does not know Theorem 1, which gives the true error in closed form."""
    rows = []

    def measured() -> dict[str, Table]:
        return {
            "intervals": Table(("n", "eps", "true", "upper_over_true", "lower_over_true", "evaluations"), tuple(rows))
        }

    for n, eps in LISTED_EPS.items():
        f = listed_target("sharp", n, eps)
        model = build_momlp(f, eps=eps, device=context.device)
        context.log(f"n = {n}: gap 1e-3")
        c = certify_uniform_error(model, f, gap=1e-3, seed=context.seed)
        truth = math.sqrt(model.plan.half_diagonal_squared + model.plan.half_knot_squared)
        rows.append((n, eps, truth, c.upper / truth, c.lower / truth, c.evaluations))
        tight = c.lower <= truth * (1 + 1e-12) and truth <= c.upper * (1 + 1e-12)
        good = not c.failed and tight and c.upper <= 1.001 * min(truth, c.lower)
        ensure(good, f"n = {n}: {c.reason}, the true error is {truth!r}", **measured())
    reason = f"all {len(rows)} intervals hold the true error"
    return Verdict(Status.CERTIFIED, Evidence.FLOAT64, reason, {"intervals": len(rows)}, tables=measured())


# --- sharpness of Theorem 1 ----------------------------------------------------------------------------


SHARP_EPS = (0.25, 0.1, 0.037)


def sharpness(context: Context) -> Verdict:
    """In rationals: no point is farther than √(a²+b²) from the nodes and a corner at mid-knot is exactly that far."""
    checked = 0
    for n in (1, 2, 3, 4):
        for eps in SHARP_EPS:
            for split in (None, 0.2, 0.75) if n > 1 else (None,):
                f = LipschitzFunction(lambda x: x[:, :1], n=n, lipschitz=1.0)
                design = plan(f, eps, split=split)
                where = f"n = {n}, eps = {eps}, split = {split}"
                far = design.half_diagonal_squared + design.half_knot_squared
                ensure(_farthest_squared(design) == far, f"{where}: the farthest point is not at a² + b²")
                model = build_momlp(targets.sharp(design), eps=eps, split=split, device=context.device)
                zero = model.plan.cells == design.cells and _is_zero(model)
                ensure(zero, f"{where}: the network on the sharp target is not 0")
                checked += 1
    reason = f"{checked} plans: every weight of the output layers is 0 and the farthest squared distance is a² + b²"
    return Verdict(Status.PROVED, Evidence.EXACT, reason, {"plans": checked})


def _farthest_squared(design: Plan) -> Fraction:
    """max over the domain of the squared distance to the nodes, axis by axis because nodes form a product grid."""
    total = Fraction(0)
    grids = [
        [(2 * i + 1) * s / (2 * m) for i in range(m)] for m, s in zip(design.cells, design.domain.sides, strict=False)
    ]
    if design.knots:
        side = design.domain.sides[-1]
        grids.append([j * side / design.knots for j in range(design.knots + 1)])
    for grid, side in zip(grids, design.domain.sides, strict=True):
        # distance to a finite set on an interval peaks at the ends or half-way between neighbours
        peaks = [grid[0], side - grid[-1], *((b - a) / 2 for a, b in itertools.pairwise(grid))]
        total += max(peaks) ** 2
    return total


def _is_zero(model: MoMLP) -> bool:
    weight, bias = model.output_layers(model.tree.leaf_indices(model.place))
    return not bool(weight.any()) and not bool(bias.any())


# --- lies ----------------------------------------------------------------------------------------------


def _steep(direction: Tensor) -> LipschitzFunction:
    """The 1-Lipschitz x ↦ direction·x declared as 1/2-Lipschitz."""
    return LipschitzFunction(
        lambda x: x @ direction.to(x.device)[:, None], n=len(direction), lipschitz=0.5, name="steep"
    )


def lying_modulus(context: Context) -> Verdict:
    """Each listed function declares too small a constant; the verdict is REFUTED only if all of them are caught."""
    caught: list[str] = []
    for text, lam in (
        ("sin(2*pi*x0)/(2*pi)", 1.0),
        ("sqrt(x0**2 + x1**2)", 1.0),
        ("Max(x0, x0/2 + x1)", math.sqrt(1.25)),
    ):
        verdict = lipschitz_constant_le(text, 0.9 * lam, n=2)
        ensure(verdict.status is Status.REFUTED, f"{text} with {0.9 * lam}: {verdict.reason}")
        caught.append(f"{text}: {verdict.witness}")
    for n in (1, 2, 3, 4, 6):
        axis = torch.zeros(n, dtype=torch.float64)
        axis[0] = 1.0
        diagonal = torch.full((n,), n**-0.5, dtype=torch.float64)
        for direction in (axis, diagonal):
            violation = modulus_refuted_by_building(_steep(direction), 0.25, device=context.device)
            ensure(violation is not None, f"λ/2 along {direction.tolist()} was not caught")
            caught.append(str(violation))
    numbers: dict[str, Number] = {"lies": len(caught), "caught": len(caught)}
    reason = f"all {len(caught)} lies caught, each with two points or a gradient as witness"
    return Verdict(Status.REFUTED, Evidence.ENCLOSED, reason, numbers, witness=caught[0])
