"""The approximation theorem of MoMLPs: what arXiv:2402.03460 claims in its abstracts, and how it is reproduced.

A1 uniform error ≤ ε with O(1/ε) active parameters · A2 O(ε⁻¹ log ε⁻¹) parameters loaded in a forward pass · A3 a single
ReLU MLP needs Ω̃(ε^{−n/2}) (not decided here yet) · A4 many experts against large experts is a trade-off.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from fractions import Fraction

import sympy
import torch
from torch import Tensor

from constructions import (
    Box,
    Lattice,
    LipschitzFunction,
    MoMLP,
    PathwayTree,
    Plan,
    build_momlp,
    plan,
    targets,
)
from theory import rates
from theory.checkers.lipschitz_constant import lipschitz_constant_le, modulus_refuted_by_building
from theory.checkers.parameter_count import parameter_count_eq
from theory.checkers.tree_structure import (
    face_points,
    router_agreement,
    tree_structure,
    tree_structure_by_shape,
)
from theory.checkers.uniform_error import UniformErrorCertificate, certify_uniform_error
from theory.claim import Claim, Context, Evidence, Number, Status, Verdict, claim, register

V2 = "arXiv:2402.03460v2, abstract"
V1 = "arXiv:2402.03460v1, abstract"
OURS = "momlp, README section 'The construction and its proof'"

LISTED_EPS = {1: 1e-3, 2: 1e-3, 3: 0.01, 4: 0.05}
LISTED_TARGETS = ("cone", "sum_of_sines", "max_affine", "rotated_sine", "sharp")


def _target(name: str, n: int, eps: float) -> LipschitzFunction:
    if name == "sharp":
        # any 1-Lipschitz function has the same plan; the sharp target lives on its nodes
        return targets.sharp(plan(LipschitzFunction(lambda x: x[:, :1], n=n, lipschitz=1.0), eps))
    return targets.get(name, n=n)


def _failed(reason: str, **numbers) -> Verdict:
    return Verdict(Status.INCONCLUSIVE, Evidence.NONE, reason, numbers)


# --- A1: the uniform error -----------------------------------------------------------------------------


def _certificates(context: Context) -> Iterator[tuple[str, int, UniformErrorCertificate]]:
    """Branch and bound on all listed instances, Theorem 1 read off the weights on the sharp ones (full: on all)."""
    for n, eps in LISTED_EPS.items():
        for name in LISTED_TARGETS:
            f = _target(name, n, eps)
            model = build_momlp(f, eps=eps, device=context.device)
            methods = ["branch_and_bound"]
            if context.full or name == "sharp":
                methods.append("a_priori")
            for method in methods:
                context.log(f"n = {n}, {name}: {method}")
                yield (
                    name,
                    n,
                    certify_uniform_error(model, f, eps=eps, method=method, samples=20_000, seed=context.seed),
                )
            if context.full and n <= 2 and f.premise == "certified":
                coarse = build_momlp(f, eps=0.05, device=context.device)
                context.log(f"n = {n}, {name}: branch and bound with f in Arb balls")
                yield name, n, certify_uniform_error(coarse, f, eps=0.05, enclosed=True, seed=context.seed)


@claim(
    id="momlp.uniform_error",
    title="A1: uniform error at most eps",
    statement=r"\sup_{x\in[0,1]^n}|f(x)-\hat f(x)|\le\varepsilon",
    source=V2,
    expected=Status.CERTIFIED,
    hypotheses=("f Lipschitz on the unit cube", "n = 1..4 and the listed targets and eps"),
)
def uniform_error(context: Context) -> Verdict:
    """Every listed instance is certified, and the intervals of different methods overlap."""
    numbers: dict[str, Number] = {}
    evidence, intervals, count = Evidence.EXACT, {}, 0
    for name, n, c in _certificates(context):
        if c.status is not Status.CERTIFIED:
            return _failed(f"{name}, n = {n}, {c.method}: {c.reason}")
        evidence, count = min(evidence, c.evidence), count + 1
        key = (name, n, c.eps)
        low, high = intervals.get(key, (0.0, math.inf))
        intervals[key] = (max(low, c.lower), min(high, c.upper))
        if intervals[key][0] > intervals[key][1]:
            return _failed(f"{name}, n = {n}: the methods contradict each other: {intervals[key]}")
    for n, eps in LISTED_EPS.items():
        numbers[f"upper_over_eps_n{n}"] = max(
            high / eps for (_, k, e), (_, high) in intervals.items() if (k, e) == (n, eps)
        )
    numbers["certificates"] = count
    reason = f"{count} certificates on {len(intervals)} instances, each upper end ≤ eps"
    return Verdict(Status.CERTIFIED, evidence, reason, numbers)


@claim(
    id="momlp.variants",
    title="A1 for Hölder targets, boxes, PReLU, constant experts, other valencies, two outputs",
    statement=r"\sup_{x}\max_i|f_i(x)-\hat f_i(x)|\le\varepsilon,\quad |f_i(x)-f_i(y)|\le\omega(\|x-y\|_2)",
    source=OURS,
    expected=Status.CERTIFIED,
    hypotheses=("omega concave, nondecreasing, omega(0+) = 0",),
)
def variants(context: Context) -> Verdict:
    """One certificate for every option of `build_momlp`, by branch and bound and by Theorem 1's hypotheses."""
    skew = LipschitzFunction.from_sympy("sin(2*x0) + abs(x1 - 1/3)", n=2, domain=[(-1, 2), (0, 0.5)])
    cases = [
        ("hoelder", targets.get("weierstrass", n=1), {"eps": 0.05}),
        ("box", skew, {"eps": 0.02}),
        ("prelu", targets.get("franke", n=2), {"eps": 0.01, "activation": "prelu"}),
        ("constant", targets.get("cone", n=2), {"eps": 0.02, "expert": "constant"}),
        ("ternary", targets.get("tent_product", n=3), {"eps": 0.04, "valency": 3}),
        ("outputs", targets.get("vector_rotation", n=2), {"eps": 0.01, "split": 0.25}),
        ("float32", targets.get("cone", n=2), {"eps": 0.02, "dtype": torch.float32}),
        ("flat", targets.get("constant", n=3), {"eps": 0.01}),
    ]
    numbers: dict[str, Number] = {}
    for name, f, options in cases:
        model = build_momlp(f, device=context.device, **options)
        for method in ("branch_and_bound", "a_priori"):
            context.log(f"{name}: {method}")
            c = certify_uniform_error(model, f, eps=options["eps"], method=method, samples=20_000)
            if c.status is not Status.CERTIFIED:
                return _failed(f"{name}, {method}: {c.reason}")
            numbers[f"{name}_{method}_upper"] = c.upper
    return Verdict(Status.CERTIFIED, Evidence.FLOAT64, f"{len(cases)} variants certified twice", numbers)


@claim(
    id="momlp.uniform_error_n10",
    title="A1 in ten dimensions, experts built on demand",
    statement=r"\sup_{x\in[0,1]^{10}}|f(x)-\hat f(x)|\le 0.1\,\lambda",
    source=V2,
    expected=Status.NOT_REFUTED,
    hypotheses=("f = sum_of_sines, lambda = 1",),
)
def uniform_error_n10(context: Context) -> Verdict:
    """100,000 uniform and 100,000 clustered queries against a model of 16⁹ leaves under a 16 MiB cache."""
    f, budget = targets.get("sum_of_sines", n=10), 16 << 20
    generator = context.generator()
    uniform = f.domain.sample(100_000, generator)
    centres = f.domain.sample(200, generator)
    jitter = 0.01 * torch.randn(100_000, 10, dtype=torch.float64, generator=generator)
    clustered = (centres.repeat(500, 1) + jitter).clamp(0, 1)
    numbers: dict[str, Number] = {}
    worst, witness = 0.0, uniform[0]
    for name, x in (("uniform", uniform), ("clustered", clustered)):
        model = build_momlp(f, eps=0.1, lazy=True, cache_bytes=budget, device=context.device)
        context.log(f"{len(x)} {name} queries")
        x = x.to(context.device)
        # batches, as a service would see them: hits are experts that an earlier batch built
        y = torch.cat([model(part) for part in x.split(5_000)])
        error = (f(x) - y).abs().amax(-1)
        if float(error.max()) > worst:
            worst, witness = float(error.max()), x[error.argmax()]
        s = model.statistics
        numbers |= {
            f"{name}_error": float(error.max()),
            f"{name}_hit_rate": round(s.hit_rate, 4),
            f"{name}_experts_built": s.built,
            f"{name}_peak_bytes": s.peak_bytes,
        }
        if s.peak_bytes > budget:
            return _failed(f"peak {s.peak_bytes} bytes exceed the budget {budget}")
    c = certify_uniform_error(model, f, eps=0.1, method="a_priori", samples=20_000, seed=context.seed)
    numbers |= {
        "leaves": model.num_leaves,
        "active_parameters": model.active_parameters,
        "total_parameters": model.total_parameters,
        "budget_bytes": budget,
        "a_priori_experts_read": c.leaves_checked,
        "a_priori_upper": c.upper,
    }
    if worst > 0.1:
        text = f"error {worst!r} at x = {witness.tolist()}"
        return Verdict(Status.REFUTED, Evidence.SAMPLED, text, numbers, witness=text)
    if c.status is not Status.NOT_REFUTED:
        return _failed(c.reason, **numbers)
    reason = f"largest sampled error {worst:.6g} ≤ 0.1 with {model.num_leaves} leaves"
    return Verdict(Status.NOT_REFUTED, Evidence.SAMPLED, reason, numbers, {"eps": 0.1})


@claim(
    id="momlp.certificate_tightness",
    title="Certificates on the sharp target are within 0.1 % of the true error",
    statement=r"\sup|f-\hat f|=\omega\bigl(\sqrt{a^2+b^2}\bigr)\in[\mathrm{lower},\mathrm{upper}],\quad"
    r"\mathrm{upper}\le 1.001\,\mathrm{lower}",
    source=OURS,
    expected=Status.CERTIFIED,
    hypotheses=("f = targets.sharp(plan)", "n = 1..4 at the listed eps"),
)
def certificate_tightness(context: Context) -> Verdict:
    """gap = 1e-3; branch and bound does not know Theorem 1, which gives the true error in closed form."""
    numbers: dict[str, Number] = {}
    for n, eps in LISTED_EPS.items():
        f = _target("sharp", n, eps)
        model = build_momlp(f, eps=eps, device=context.device)
        context.log(f"n = {n}: gap 1e-3")
        c = certify_uniform_error(model, f, gap=1e-3, seed=context.seed)
        truth = math.sqrt(model.plan.half_diagonal_squared + model.plan.half_knot_squared)
        pieces = model.num_leaves * model.plan.knots
        numbers |= {
            f"true_n{n}": truth,
            f"upper_over_true_n{n}": c.upper / truth,
            f"lower_over_true_n{n}": c.lower / truth,
            f"evaluations_per_piece_n{n}": round(c.evaluations / pieces, 2),
        }
        tight = c.lower <= truth * (1 + 1e-12) and truth <= c.upper * (1 + 1e-12)
        if c.failed or not tight or c.upper > 1.001 * truth or c.lower < 0.999 * truth:
            return _failed(f"n = {n}: {c.reason}, the true error is {truth!r}", **numbers)
    return Verdict(Status.CERTIFIED, Evidence.FLOAT64, "all four intervals hold the true error", numbers)


# --- A1, A2: counts ------------------------------------------------------------------------------------


def _grid(context: Context) -> Iterator[tuple[LipschitzFunction, float, dict]]:
    """Plans over n, eps, split, domain and m; small enough to build."""
    exponents = range(2, 7 if context.full else 5)
    for n in (1, 2, 3, 4):
        for j in exponents:
            if n * j > 16:
                continue
            for split in (None, 0.5, 0.9) if n > 1 else (None,):
                yield targets.get("cone", n=n), 2.0**-j, {"split": split}
    yield targets.get("vector_rotation", n=3), 0.07, {}
    yield LipschitzFunction(lambda x: x[:, :1], n=2, lipschitz=1.0, domain=(-1, 1)), 0.013, {}


def _formulas(design: Plan) -> dict[str, sympy.Basic]:
    """The theorem's counts with sympy's own ceilings, for a cube-shaped domain."""
    c = rates.pencil_counts()
    theta = sympy.Integer(1) if design.split is None else sympy.Rational(design.split)
    values = {
        rates.eps: sympy.Rational(design.eps_plan),
        rates.lam: sympy.Rational(Fraction(design.modulus.lam)),
        rates.ell: sympy.Rational(design.domain.sides[-1]),
        rates.theta: theta,
        rates.n: design.n,
        rates.m: design.m,
    }
    if design.n == 1:
        active = c.parameters.subs(values)
        return {"active": active, "leaves": sympy.Integer(1), "total": active, "loaded": active, "stored": active}
    active, leaves = c.parameters.subs(values), c.leaves.subs(values)
    knots = c.knots.subs(values)
    stored = knots * (design.n + 1) + leaves * design.m * (knots + 1)
    loaded = c.loaded.subs(values)
    return {"active": active, "leaves": leaves, "total": leaves * active, "loaded": loaded, "stored": stored}


@claim(
    id="momlp.active_parameters",
    title="A1: active parameters are exactly K(n+1+m)+m, and eps·P has a finite limit",
    statement=r"P=K(n+1+m)+m,\quad K=\lceil \ell\lambda/(2\varepsilon\sqrt\theta)\rceil,\quad"
    r"\lim_{\varepsilon\to0}\varepsilon P=\frac{\ell\lambda(n+1+m)}{2\sqrt\theta}",
    source=V2,
    expected=Status.PROVED,
    hypotheses=("the identity: on the listed grid of built models", "the limit: for all n, m, theta, ell, lambda"),
)
def active_parameters(context: Context) -> Verdict:
    """Measured numel of built experts equals sympy's evaluation of the formula; the limit is taken with ceilings in."""
    compared = 0
    for f, eps, options in _grid(context):
        model = build_momlp(f, eps=eps, **options)
        comparison = parameter_count_eq(model, _formulas(model.plan))
        compared += len(comparison.values)
        if not comparison.equal:
            return _failed(f"{f.name}, n = {f.n}, eps = {eps}: {'; '.join(comparison.mismatches)}")
    context.log("limits with the ceilings in")
    limit = rates.limit_of_rate(rates.pencil_counts().parameters, sympy.Integer(1))
    expected = rates.ell * rates.lam * (rates.n + 1 + rates.m) / (2 * sympy.sqrt(rates.theta))
    if sympy.simplify(limit - expected) != 0:
        return _failed(f"the limit of eps·P is {limit}")
    constant = build_momlp(targets.get("cone", n=2), eps=0.05, expert="constant")
    numbers = {
        "counts_compared": compared,
        "limit_eps_P": str(limit),
        "active_parameters_of_constant_experts": parameter_count_eq(constant, {"active": 1}).values["active"][0],
    }
    reason = (
        f"{compared} counts equal their formulas; lim eps·P = {limit}. An upper bound, not a need: constant experts "
        "(k = 0) load O(1) parameters with more leaves"
    )
    return Verdict(Status.PROVED, Evidence.SYMBOLIC, reason, numbers)


@claim(
    id="momlp.parameter_rate",
    title="Slopes of active parameters and leaves against 1/eps",
    statement=r"P\sim\varepsilon^{-1},\qquad L\sim\varepsilon^{-(n-1)}",
    source=V2,
    expected=Status.NOT_REFUTED,
    hypotheses=("n = 2..6", "eps = 2^-6 .. 2^-13, lambda = 1"),
)
def parameter_rate(context: Context) -> Verdict:
    """Declared: slope 1 within 0.015 and n − 1 within 1 %, and eps·P within 2 % of its limit at the smallest eps."""
    numbers: dict[str, Number] = {}
    for n in range(2, 7):
        f = LipschitzFunction(lambda x: x[:, :1], n=n, lipschitz=1.0)
        plans = [plan(f, 2.0**-j) for j in range(6, 14)]
        inverse = [1 / p.eps for p in plans]
        active = rates.fit_slope(inverse, [p.parameters for p in plans])
        leaves = rates.fit_slope(inverse, [p.leaves for p in plans])
        constant = plans[-1].eps * plans[-1].parameters / ((n + 2) * math.sqrt(n) / 2)
        numbers |= {
            f"slope_P_n{n}": active.slope,
            f"slope_P_error_n{n}": active.error,
            f"slope_L_n{n}": leaves.slope,
            f"slope_L_error_n{n}": leaves.error,
            f"eps_P_over_limit_n{n}": constant,
        }
        off = abs(active.slope - 1) > 0.015 or abs(leaves.slope / (n - 1) - 1) > 0.01
        if off or abs(constant - 1) > 0.02:
            return _failed(f"n = {n}: slopes {active.slope:.4f} and {leaves.slope:.4f}", **numbers)
    return Verdict(Status.NOT_REFUTED, Evidence.FITTED, "all ten slopes as declared", numbers)


@claim(
    id="momlp.forward_pass_load",
    title="A2: the whole forward pass loads P + O(log 1/eps) numbers",
    statement=r"F=P+2n\sum_a\lceil\log_2M_a\rceil\in O(\varepsilon^{-1}\log\varepsilon^{-1})",
    source=V1,
    expected=Status.PROVED,
    hypotheses=("binary trees", "the identity: on the listed models and trees", "the limit: for all n"),
)
def forward_pass_load(context: Context) -> Verdict:
    """Worst path of the actual graph, and of ever larger trees by box shapes, equals the formula; limits by sympy."""
    compared = 0
    for f, eps, options in _grid(context):
        model = build_momlp(f, eps=eps, **options)
        if model.tree.num_nodes > 20_000:
            continue
        comparison = parameter_count_eq(model, {"loaded": _formulas(model.plan)["loaded"]})
        compared += 1
        if not comparison.equal:
            return _failed(f"{f.name}, n = {f.n}, eps = {eps}: {'; '.join(comparison.mismatches)}")
    for cells in ((708,), (87, 87), (16,) * 9, (1000, 3, 17), (2**20, 2**20)):
        tree = PathwayTree(cells)
        compared += 1
        if tree.max_path_children() != 2 * sum(math.ceil(math.log2(c)) for c in cells):
            return _failed(f"cells {cells}: {tree.max_path_children()} children on the worst path")
    extra = _loaded_beyond_expert()
    if extra != 0:
        return _failed(f"lim eps·(F − P) is {extra}, not 0")
    reason = f"{compared} loads equal the formula; lim eps·(F − P) = 0, so F inherits P's O(1/eps)"
    return Verdict(
        Status.PROVED, Evidence.SYMBOLIC, reason, {"loads_compared": compared, "limit_eps_F_minus_P": str(extra)}
    )


def _loaded_beyond_expert() -> sympy.Expr:
    """lim ε·2n(n−1)(log₂(M) + 1) with M ≤ c/ε + 1: an upper bound of ε(F − P) for a symbolic c > 0."""
    c = sympy.Symbol("c", positive=True)
    bound = 2 * rates.n * (rates.n - 1) * (sympy.log(c / rates.eps + 1, 2) + 1)
    return sympy.limit(rates.eps * bound, rates.eps, 0, "+")


@claim(
    id="momlp.trade_off",
    title="A4: number of experts against their size",
    statement=r"\varepsilon^{n-1}L\to\Bigl(\tfrac{\ell\lambda\sqrt{n-1}}{2\sqrt{1-\theta}}\Bigr)^{n-1},\quad"
    r"\operatorname{argmin}_\theta LK=1/n",
    source=V2,
    expected=Status.PROVED,
    hypotheses=(
        "theta is the share of the squared radius given to the knots",
        "the minimiser: for all n >= 2; the limit: n = 2..5",
    ),
)
def trade_off(context: Context) -> Verdict:
    """Symbolic minimiser for all n, symbolic limits for n = 2..5, and exact monotone counts along the split."""
    best = rates.optimal_split()
    if sympy.simplify(best - 1 / rates.n) != 0:
        return _failed(f"the optimal split is {best}")
    leaves = rates.pencil_counts().leaves
    for k in range(2, 6):
        limit = rates.limit_of_rate(leaves.subs(rates.n, k), sympy.Integer(k - 1))
        base = rates.ell * rates.lam * sympy.sqrt(k - 1) / (2 * sympy.sqrt(1 - rates.theta))
        if sympy.simplify(limit - base ** (k - 1)) != 0:
            return _failed(f"n = {k}: lim eps^(n-1)·L is {limit}")
    f = targets.get("cone", n=3)
    plans = [plan(f, 0.001, split=Fraction(j, 12)) for j in range(1, 12)]
    ordered = all(a.parameters >= b.parameters and a.leaves <= b.leaves for a, b in itertools.pairwise(plans))
    if not ordered:
        return _failed("P and L are not monotone along the split")
    cheapest = min(plans, key=lambda p: p.leaves * p.knots)
    numbers: dict[str, Number] = {"optimal_split": str(best), "cheapest_split_of_eleven_n3": str(cheapest.split)}
    numbers |= {f"P_and_L_at_{p.split}": f"{p.parameters} x {p.leaves}" for p in plans[1::4]}
    if cheapest.split not in (Fraction(1, 4), Fraction(1, 3), Fraction(5, 12)):
        return _failed(f"the counts are cheapest at {cheapest.split}", **numbers)
    return Verdict(Status.PROVED, Evidence.SYMBOLIC, f"argmin L·K = {best} for every n ≥ 2", numbers)


@claim(
    id="momlp.curse_of_dimensionality",
    title="What remains: total parameters are of order eps^-n",
    statement=r"\lim_{\varepsilon\to0}\varepsilon^n\,L\,P\in(0,\infty)",
    source=OURS,
    expected=Status.PROVED,
    hypotheses=("n = 2..5",),
)
def curse_of_dimensionality(context: Context) -> Verdict:
    """The limit is positive and finite: what is O(1/ε) is what is loaded, not what exists."""
    c = rates.pencil_counts()
    numbers = {}
    for k in range(2, 6):
        limit = rates.limit_of_rate((c.leaves * c.parameters).subs(rates.n, k), sympy.Integer(k))
        value = limit.subs({rates.theta: sympy.Rational(1, k), rates.lam: 1, rates.ell: 1, rates.m: 1})
        numbers[f"limit_n{k}"] = float(value)
        if not (value.is_finite and value.is_positive):
            return _failed(f"n = {k}: lim eps^n·L·P is {limit}")
    return Verdict(Status.PROVED, Evidence.SYMBOLIC, "positive finite limits for n = 2..5", numbers)


# --- sharpness of Theorem 1 ----------------------------------------------------------------------------


@claim(
    id="momlp.sharpness",
    title="Theorem 1 is sharp",
    statement=r"f=\omega(\operatorname{dist}(\cdot,\text{nodes}))\Rightarrow\hat f=0,\ "
    r"\sup|f-\hat f|=\omega\bigl(\sqrt{a^2+b^2}\bigr)",
    source=OURS,
    expected=Status.PROVED,
    hypotheses=("plans for n = 1..4, three eps, three splits",),
)
def sharpness(context: Context) -> Verdict:
    """In rationals: no point is farther than √(a²+b²) from the nodes and a corner at mid-knot is exactly that far."""
    checked = 0
    for n in (1, 2, 3, 4):
        for eps in (0.25, 0.1, 0.037):
            for split in (None, 0.2, 0.75) if n > 1 else (None,):
                f = LipschitzFunction(lambda x: x[:, :1], n=n, lipschitz=1.0)
                design = plan(f, eps, split=split)
                if _farthest_squared(design) != design.half_diagonal_squared + design.half_knot_squared:
                    return _failed(f"n = {n}, eps = {eps}, split = {split}")
                model = build_momlp(targets.sharp(design), eps=eps, split=split)
                if model.plan.cells != design.cells or not _is_zero(model):
                    return _failed(f"n = {n}, eps = {eps}: the network on the sharp target is not 0")
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
    weight, bias = model.output_layers(model.tree.leaf_indices())
    return not bool(weight.any()) and not bool(bias.any())


# --- the tree ------------------------------------------------------------------------------------------


TREES = [((708,), 2), ((30, 30), 2), ((21, 13, 5), 3), ((17, 1, 9), 5), ((64,), 8), ((11, 10, 9), 7), ((6,) * 4, 4)]


@claim(
    id="momlp.tree_routing",
    title="Tree routing is nearest-prototype routing",
    statement=r"\text{nearest child at every node}=\text{nearest leaf prototype}",
    source=V2,
    expected=Status.PROVED,
    hypotheses=("lattice coordinates", "valency 2..8"),
)
def tree_routing(context: Context) -> Verdict:
    """At every node of every graph the bisectors are the box boundaries, in rationals; huge trees by box shape."""
    nodes = bisectors = 0
    for cells, valency in TREES:
        report = tree_structure(PathwayTree(cells, valency=valency).to_networkx(), cells, valency=valency)
        nodes, bisectors = nodes + report.nodes, bisectors + report.bisectors
        if not report.holds:
            return _failed(f"cells {cells}, valency {valency}: {report.failures[0]}")
    largest = 0
    for cells, valency in (((16,) * 9, 2), ((708, 707), 3), ((100,) * 20, 8)):
        report = tree_structure_by_shape(PathwayTree(cells, valency=valency))
        largest = max(largest, report.leaves)
        bisectors += report.bisectors
        if not report.holds:
            return _failed(f"cells {cells}, valency {valency}: {report.failures[0]}")
    numbers: dict[str, Number] = {"graph_nodes": nodes, "bisectors": bisectors, "leaves_of_largest_tree": largest}
    return Verdict(Status.PROVED, Evidence.EXACT, f"{bisectors} bisectors equal their boundaries", numbers)


@claim(
    id="momlp.router_agreement",
    title="Index rule, tree and brute force agree, faces included",
    statement=r"i_a=\max(\lceil z_a\rceil-1,0)",
    source=OURS,
    expected=Status.NOT_REFUTED,
    hypotheses=("float64 lattice points: uniform, on faces, and one step beside faces",),
)
def router_agreement_claim(context: Context) -> Verdict:
    """Three independent routers on adversarial points; disagreement is a witness."""
    points = 0
    for cells, valency in TREES:
        tree = PathwayTree(cells, valency=valency)
        z = face_points(cells, 20_000 if context.full else 4_000, context.generator())
        z = z.to(context.device)
        lattice = Lattice(Box.of(None, len(cells) + 1), cells, 1)
        agreement = router_agreement(
            {"index rule": lattice.index(z), "tree": tree.route(z), "brute force": tree.nearest_leaf(z)}, z
        )
        points += agreement.points
        if agreement.first is not None:
            return Verdict(Status.REFUTED, Evidence.EXACT, agreement.first, {"points": points}, witness=agreement.first)
    return Verdict(Status.NOT_REFUTED, Evidence.SAMPLED, f"{points} points, no disagreement", {"points": points})


# --- lies ----------------------------------------------------------------------------------------------


def _steep(direction: Tensor) -> LipschitzFunction:
    """The 1-Lipschitz x ↦ direction·x declared as 1/2-Lipschitz."""
    return LipschitzFunction(lambda x: x @ direction[:, None], n=len(direction), lipschitz=0.5, name="steep")


@claim(
    id="momlp.lying_modulus",
    title="Declared constants that lie (0.9 λ for formulas, λ/2 for black boxes)",
    statement=r"\text{each listed } f \text{ satisfies the modulus that it declares}",
    source=OURS,
    expected=Status.REFUTED,
    hypotheses=("false on purpose: every lie must be caught",),
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
        if verdict.status is not Status.REFUTED:
            return _failed(f"{text} with {0.9 * lam}: {verdict.reason}")
        caught.append(f"{text}: {verdict.witness}")
    for n in (1, 2, 3, 4, 6):
        axis = torch.zeros(n, dtype=torch.float64)
        axis[0] = 1.0
        diagonal = torch.full((n,), n**-0.5, dtype=torch.float64)
        for direction in (axis, diagonal):
            violation = modulus_refuted_by_building(_steep(direction), 0.25)
            if violation is None:
                return _failed(f"λ/2 along {direction.tolist()} was not caught")
            caught.append(str(violation))
    numbers: dict[str, Number] = {"lies": len(caught), "caught": len(caught)}
    reason = f"all {len(caught)} lies caught, each with two points or a gradient as witness"
    return Verdict(Status.REFUTED, Evidence.ENCLOSED, reason, numbers, witness=caught[0])


# --- not decided here yet ------------------------------------------------------------------------------


register(
    Claim(
        id="momlp.single_mlp_lower_bound",
        title="A3: a single ReLU MLP needs eps^(-n/2) parameters",
        statement=r"\inf\{P:\sup|f-\hat f|\le\varepsilon\}\in\tilde\Omega(\varepsilon^{-n/2})",
        source=V2,
        expected=Status.OPEN,
    )
)
