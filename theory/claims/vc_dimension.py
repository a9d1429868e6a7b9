"""VC dimension of MLPs and MoMLPs: finite upper bounds, certified shattered sets, the stated rate, and A3.

What is put to the test is the sentence of the abstract of arXiv:2402.03460v2, VC = Õ(L·max{nL, JW}) with "depth and
width of J and W". Only the abstracts were read: the theorem in the body may define W differently, and nothing here
speaks about it.
"""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import sympy

from constructions.shattering import one_hidden_layer
from theory.bounds.vc import (
    Architecture,
    grid_points,
    parameters_of_mlp,
    parameters_of_single_mlp,
    vc_upper_flat,
    vc_upper_free,
    vc_upper_mlp,
    vc_upper_tree,
)
from theory.checkers.shattering import shattered_by_one_hidden_layer, shattered_exhaustively
from theory.claim import Context, Evidence, Number, Status, Verdict, claim, undecided
from theory.rates import fit_slope

V2 = "arXiv:2402.03460v2, abstract"
OURS = "momlp, theory/bounds/vc.py and constructions/shattering"
LEMMA = "Lemma 1 (Warren; Anthony & Bartlett, Theorem 8.3) is cited, not proved here"

EXHAUSTIVE = [(2, 2), (2, 4), (3, 3), (4, 3), (6, 2), (12, 1), (1, 12)]
EXHAUSTIVE_FULL = [(2, 8), (3, 5), (4, 4), (5, 3), (8, 2), (16, 1)]


@claim(
    id="vc_dimension.one_hidden_layer",
    title="One hidden layer of W units on R^n shatters nW + 1 points",
    statement=r"\mathrm{VC}\ge nW+1",
    source=OURS,
    expected=Status.PROVED,
    hypotheses=("the listed n and W; all labelings enumerated, or covered by the l1 certificate",),
)
def one_hidden_layer_claim(context: Context) -> Verdict:
    """Every labeling of small sets on its own network; a certificate sound for all 2^k labelings of large ones."""
    numbers: dict[str, Number] = {}
    evaluations = 0
    for n, width in [*EXHAUSTIVE, *(EXHAUSTIVE_FULL if context.full else [])]:
        context.log(f"all labelings, n = {n}, W = {width}")
        report = shattered_exhaustively(one_hidden_layer(n, width), device=context.device)
        evaluations += report.evaluations
        if not report.holds or report.points != n * width + 1:
            return undecided(f"n = {n}, W = {width}: {report.failure}")
    for n, width in ((2, 2), (16, 16), (64, 64)):
        report = shattered_by_one_hidden_layer(one_hidden_layer(n, width))
        if not report.holds or report.points != n * width + 1:
            return undecided(f"n = {n}, W = {width}: {report.failure}")
        numbers[f"certified_points_n{n}_W{width}"] = report.points
        numbers[f"largest_off_cluster_n{n}_W{width}"] = report.worst or 0
    numbers["labeling_point_evaluations"] = evaluations
    reason = f"{evaluations} (labeling, point) pairs without an error; certificates up to {64 * 64 + 1} points"
    return Verdict(Status.PROVED, Evidence.EXACT, reason, numbers)


@claim(
    id="vc_dimension.width_reading",
    title="The abstract's rate with W = width, read literally",
    statement=r"\mathrm{VC}\in\tilde O(L\max\{nL,JW\})\quad\text{for all }L,n,J,W,\ W=\text{width}",
    source=V2,
    expected=Status.REFUTED,
    hypotheses=(
        "what is refuted is the abstract's sentence read literally, not the paper's theorem",
        "family L = 1, J = 1, n = W",
    ),
)
def width_reading(context: Context) -> Verdict:
    """n = W, J = L = 1: W² + 1 points are shattered, the stated expression is W times a power of log W."""
    widths = [4, 8, 16, 32, 64] + ([128] if context.full else [])
    lower = []
    for width in widths:
        context.log(f"l1 certificate at n = W = {width}")
        report = shattered_by_one_hidden_layer(one_hidden_layer(width, width))
        if not report.holds:
            return undecided(f"n = W = {width}: {report.failure}")
        lower.append(report.points)
    upper = [vc_upper_mlp(Architecture(w, 1, w)) for w in widths]
    stated = [max(w, w) for w in widths]
    slope = fit_slope(widths, lower).slope
    numbers: dict[str, Number] = {
        "slope_of_certified_lower": slope,
        "slope_of_solved_upper": fit_slope(widths, upper).slope,
        "slope_of_stated": fit_slope(widths, stated).slope,
    }
    for constant, power in ((10, 1), (100, 2), (1000, 3), (10**6, 4)):
        numbers[f"excluded_from_W_for_C{constant}_c{power}"] = _first_excluded(constant, power)
    w, c, p = sympy.Symbol("W", positive=True), sympy.Symbol("C", positive=True), 4
    ratio = sympy.limit((w**2 + 1) / (c * w * sympy.log(2 * w, 2) ** p), w, sympy.oo)
    if slope < 1.95 or ratio != sympy.oo:
        return undecided("the certified growth does not exceed the stated one", **numbers)
    witness = (
        f"L = J = 1, n = W = {widths[-1]}: {lower[-1]} points shattered (constructions.shattering.one_hidden_layer), "
        f"and W^2 + 1 points for every n = W; lim (W^2 + 1)/(C W log^{p}(2W)) = oo for every C"
    )
    reason = (
        f"certified lower slope {slope:.3f} against the stated 1; the sentence read literally fails already for one "
        "expert. The paper's theorem may define W differently"
    )
    return Verdict(Status.REFUTED, Evidence.SYMBOLIC, reason, numbers, witness=witness)


def _first_excluded(constant: int, power: int) -> int:
    """The least power of two W with W² + 1 > C·W·log₂(2W)^c."""
    return next(2**j for j in itertools.count(1) if 4**j + 1 > constant * 2**j * (j + 1) ** power)


@claim(
    id="vc_dimension.finite",
    title="MoMLPs have finite VC dimension: lower ≤ upper on 216 architectures",
    statement=r"nW+1\le\mathrm{VC}(\text{tree}),\mathrm{VC}(\text{flat})\le\max\{m:m\le G(m)\}<\infty",
    source=V2,
    expected=Status.CERTIFIED,
    hypotheses=("ReLU experts with free real weights", LEMMA),
)
def finite(context: Context) -> Verdict:
    """Theorems 2 and 4 solved on a grid; one expert alone shatters nW + 1 points."""
    grid = list(itertools.product((1, 2, 4, 8, 16, 64), (1, 2, 8), (1, 4, 16), (1, 4, 64, 1024)))
    tightest = math.inf
    for n, depth, width, experts in grid:
        a = Architecture(n, depth, width)
        flat, tree = vc_upper_flat(a, experts), vc_upper_tree(a, experts)
        if min(flat, tree) < n * width + 1:
            return undecided(f"(n, J, W, L) = {(n, depth, width, experts)}: {min(flat, tree)} < {n * width + 1}")
        tightest = min(tightest, min(flat, tree) / (n * width + 1))
    numbers = {"architectures": len(grid), "smallest_upper_over_lower": tightest}
    return Verdict(Status.CERTIFIED, Evidence.FLOAT64, f"{len(grid)} architectures, upper ≥ lower", numbers)


@claim(
    id="vc_dimension.single_mlp_lower_bound",
    title="A3: a single ReLU MLP needs eps^(-n/2) parameters",
    statement=r"P\ge\sqrt{2M/\log_2(eM^{3/2})},\quad M=\lceil 1/(2\varepsilon)\rceil^n,\quad"
    r"P\in\tilde\Omega(\varepsilon^{-n/2})",
    source=V2,
    expected=Status.CERTIFIED,
    hypotheses=(
        "all 1-Lipschitz f on [0,1]^n are approximated within eps < 1/2 by one fully connected architecture",
        LEMMA,
    ),
)
def single_mlp_lower_bound(context: Context) -> Verdict:
    """At every depth tried, fewer parameters give a VC dimension below Theorem 5's; the exponent by sympy."""
    numbers: dict[str, Number] = {}
    checked = 0
    for n, eps in itertools.product((1, 2, 4, 8), (Fraction(1, 10), Fraction(1, 100), Fraction(1, 1000))):
        points, least = grid_points(n, eps), parameters_of_single_mlp(n, eps)
        if Fraction(1, math.ceil(1 / (2 * eps)) - 1) <= 2 * eps:
            return undecided(f"n = {n}, eps = {eps}: the grid is not spaced more than 2 eps")
        numbers[f"P_n{n}_eps{float(eps):g}"] = least
        for depth in (1, 2, 8, 64):
            checked += 1
            # J + 1 ≤ P/2 in any layered net
            if least > 2 * (depth + 1) and vc_upper_free(least - 1, depth) >= points:
                return undecided(f"n = {n}, eps = {eps}, J = {depth}: {least - 1} parameters are not excluded")
            fixed = parameters_of_mlp(n, eps, depth)
            if fixed > 1 and vc_upper_free(fixed - 1, depth) >= points:
                return undecided(f"n = {n}, eps = {eps}, J = {depth}: {fixed - 1} parameters are not excluded")
    exponent = _exponent()
    if sympy.simplify(exponent - sympy.Symbol("n", positive=True) / 2) != 0:
        return undecided(f"the exponent is {exponent}")
    numbers |= {"cases_checked": checked, "exponent": str(exponent)}
    reason = f"{checked} cases (n, eps, depth) exclude fewer parameters; exponent of 1/eps: {exponent}"
    return Verdict(Status.CERTIFIED, Evidence.FLOAT64, reason, numbers)


def _exponent() -> sympy.Expr:
    """lim log P / log(1/ε) of P = √(2M/log₂(e·M^{3/2})), M = (1/(2ε))^n; with T = log(1/ε) and log M = n(T − log 2)."""
    t, n = sympy.Symbol("T", positive=True), sympy.Symbol("n", positive=True)
    log_m = n * (t - sympy.log(2))
    log_p = (sympy.log(2) + log_m - sympy.log((1 + sympy.Rational(3, 2) * log_m) / sympy.log(2))) / 2
    return sympy.simplify(sympy.limit(log_p / t, t, sympy.oo))
