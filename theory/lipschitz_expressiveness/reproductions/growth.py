"""How the bounds of the expected Lipschitz constant grow with depth and width, and what the abstract leaves out."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import sympy
import torch
from flint import arb, fmpq
from torch import nn

from constructions.lipschitz_expressiveness import gaussian_mlp
from theory.claim import Context, Evidence, Number, Report, Status, Table, Verdict, ensure
from theory.exact import fraction, rational
from theory.lipschitz_expressiveness import bounds
from theory.lipschitz_expressiveness.reproductions import lemmas
from theory.lipschitz_expressiveness.reproductions.forms import N, forms, r
from theory.lipschitz_expressiveness.reproductions.sampling import mean_of, relu_outputs

SIGMA, WIDTH, ENDS = 0.5, 32, 8
"""σ, N and n_0 = n_L of the table of closed forms."""
DEPTHS = (2, 4, 8, 12)


def closed_forms() -> Table:
    """All five closed forms at the sizes of the table."""
    columns, rows = ("L", *forms()), []
    for L in DEPTHS:
        widths = [ENDS, *[WIDTH] * (L - 1), ENDS]
        rows.append((L, *(math.exp(form.log(widths, SIGMA)) for form in forms().values())))
    return Table(columns, tuple(rows))


def _ensure_forms(*names: str) -> None:
    """The lemmas, and that symbols and floats are the same functions."""
    ensure(lemmas.chi_lemma(), "e(n)")
    ensure(lemmas.relu_lemma(), "r(n)")
    for name in names:
        ensure(forms()[name].same_numbers(DEPTHS, WIDTH, ENDS, SIGMA), "the closed forms")


# --- the upper bound, and the width ---------------------------------------------------------------------


def upper_bound(context: Context) -> Verdict:
    """Bases in depth, where they pass 1, and powers of N."""
    names = ("product from below", "product from above", "product by trace")
    _ensure_forms(*names)
    ensure(lemmas.row_lemma(), "E|G| from below")
    ensure(lemmas.comparison_lemma(), "E|G| from above")
    low, high, trace = (forms()[name] for name in names)
    same = lemmas.zero(low.base.value - bounds.chi_mean_symbolic(2 * N - 1))
    same = same and lemmas.zero(high.base.value - 2 * sympy.sqrt(N))
    ensure(same, f"the bases are {low.base.value} and {high.base.value}")
    # σe(2N−1) > 1 where (σ√N)² > N/e(2N−1)²; both ends of the square tend to 1/2
    ends = [sympy.limit(N / end, N, sympy.oo) for end in (low.base.low, low.base.high)]
    ensure(ends == [sympy.Rational(1, 2)] * 2, f"N/e(2N-1)^2 tends to {ends}")
    L = sympy.symbols("L", positive=True)
    for form in (low, high):
        ensure(form.power(L) == L / 2, f"{form.name}: the power of N is {form.power(L)}")
    ensure(trace.power(L) == sympy.expand(2 * L / 3 - sympy.Rational(1, 3)), f"by trace: N^{trace.power(L)}")
    widths = (8, 64, 256)
    rows = tuple((n, math.sqrt(n) / bounds.chi_mean(2 * n - 1), 0.5) for n in widths)
    tables = {"closed_forms": closed_forms(), "thresholds": Table(("N", "grows_above", "decays_below"), rows)}
    reason = "a layer multiplies E prod|W| by at least sigma e(2N-1) and at most 2 sigma sqrt(N); N^(L/2) in the width"
    return Verdict(Status.PROVED, Evidence.SYMBOLIC, reason, {"widths": len(rows)}, tables=tables)


def width(context: Context) -> Verdict:
    """Powers of N of the lower bounds (linear, ReLU) and of the upper bound."""
    _ensure_forms("linear", "ReLU", "product from above")
    ensure(lemmas.comparison_lemma(), "E|G| from above")
    L = sympy.symbols("L", positive=True)
    rows = []
    for name, expected in (("linear", (L - 1) / 2), ("ReLU", (L - 1) / 2), ("product from above", L / 2)):
        found = forms()[name].power(L)
        ensure(found is not None and sympy.expand(found - expected) == 0, f"{name}: the power of N is {found}")
        rows.append((name, str(sympy.factor(expected))))
    tables = {"powers": Table(("bound", "power_of_N"), tuple(rows))}
    reason = "E Lip is at least of order N^((L-1)/2) and at most of order N^(L/2)"
    return Verdict(Status.PROVED, Evidence.SYMBOLIC, reason, {"bounds": len(rows)}, tables=tables)


# --- depth ----------------------------------------------------------------------------------------------

ACTIVATIONS = {"tanh": sympy.tanh, "sin": sympy.sin, "softsign": lambda t: t / (1 + sympy.Abs(t))}


def depth(context: Context) -> Verdict:
    """Bases of the lower bounds, above 1 for the table's sizes; and what they bound, in drawn networks."""
    _ensure_forms("linear", "ReLU")
    bases = {"linear": bounds.chi_mean_symbolic(N), "ReLU": r(N)}
    for name, base in bases.items():
        ensure(lemmas.zero(forms()[name].base.value - base), f"{name}: the base is {forms()[name].base.value}")
    t = sympy.symbols("t", real=True)
    for name, phi in ACTIVATIONS.items():
        slopes = [sympy.limit(phi(t) / t, t, 0, side) for side in "+-"]
        ensure(phi(sympy.Integer(0)) == 0 and slopes == [1, 1], f"{name} has slopes {slopes} at 0")
    rows = []
    for name, ball in (("linear", bounds.chi_mean_ball(WIDTH)), ("ReLU", bounds.relu_mean_ball(WIDTH))):
        rate = (arb(SIGMA) * ball).log()
        ensure(bool(rate > 0), f"{name}: sigma = {SIGMA}, N = {WIDTH} are not large enough")
        rows.append((name, float(rate.mid())))
    ensure(_bounded_below(context), "what the bounds are bounds of")
    tables = {"rates": Table(("bound", "log_base"), tuple(rows)), "closed_forms": closed_forms()}
    reason = f"bases sigma e(N), sigma r(N); for sigma = 1/2, N = 32 the rates are {rows[0][1]:.6f}, {rows[1][1]:.6f}"
    return Verdict(Status.PROVED, Evidence.SYMBOLIC, reason, {"rates": len(rows)}, tables=tables)


def _bounded_below(context: Context) -> Report:
    """In drawn networks: the Jacobian of tanh at 0 is W_L ⋯ W_1, and f(0) = 0 for ReLU, so that Lip ≥ ‖f(x)‖/‖x‖."""
    widths = [ENDS, WIDTH, WIDTH, ENDS]
    zero = torch.zeros(ENDS, dtype=torch.float64, device=context.device)
    network = gaussian_mlp(widths, sigma=SIGMA, activation="tanh", generator=context.generator(), device=context.device)
    jacobian = torch.func.jacrev(network)(zero)
    assert isinstance(jacobian, torch.Tensor)
    matrices = [layer.weight for layer in network if isinstance(layer, nn.Linear)]
    product = matrices[2] @ matrices[1] @ matrices[0]
    if not float((jacobian - product).abs().max()) <= 1e-12 * float(product.abs().max()):
        return Report("the Jacobian of a tanh network at 0 is not the product of its matrices")
    network = gaussian_mlp(widths, sigma=SIGMA, generator=context.generator(), device=context.device)
    return Report(None if not bool(network(zero).any()) else "a ReLU network without biases is not 0 at 0")


# --- what the abstract leaves out -----------------------------------------------------------------------

THIN = 64
"""N of networks of one input and one output whose Lipschitz constant decays, σ² = 1/N."""
LONGEST = 40
DRAWS, MORE_DRAWS = 1500, 4000


def depth_any_weights(context: Context) -> Verdict:
    """n_0 = 1: Lip = max |f(±1)|, so M ≤ E Lip ≤ 2M; M decays for σ² = 1/N while the product bound grows."""
    _ensure_forms("ReLU", "product from below")
    # squares of σr(N) and σe(2N−1) in rationals, σ² = 1/N
    ratio = bounds.relu_squared_bounds(THIN)[1] / THIN
    product = bounds.chi_squared_bounds(2 * THIN - 1)[0] / THIN
    ensure(ratio < 1 < product, f"sigma^2 r^2 is at most {ratio}, sigma^2 e(2N-1)^2 at least {product}")
    base = (bounds.relu_mean_ball(THIN) / arb(THIN).sqrt()).mid()
    size, rows = 1 / math.sqrt(THIN), []
    for L in range(2, LONGEST + 1):
        widths = [1, *[THIN] * (L - 1), 1]
        M = math.exp(bounds.relu_point(widths, size))
        rows.append((L, M, 2 * M, math.exp(bounds.product_lower(widths, size))))
    falls = all(b[2] < a[2] for a, b in itertools.pairwise(rows)) and rows[-1][2] < rows[0][1]
    rises = all(b[3] > a[3] for a, b in itertools.pairwise(rows))
    ensure(falls and rises, "the numbers do not follow their bases")
    tables = {"bounds": Table(("L", "M", "two_M", "product_lower"), tuple(rows)), "sampled": _thin(context)}
    witness = (
        f"n_0 = n_L = 1, ReLU, biases 0, N = {THIN}, sigma^2 = 1/{THIN}: E Lip <= 2 sigma^L e(1) r({THIN})^(L-1) with "
        f"(sigma r({THIN}))^2 <= {ratio}, so E Lip -> 0"
    )
    reason = f"M <= E Lip <= 2 M and M falls by {float(base):.5f} a layer, while the product bound grows"
    numbers: dict[str, Number] = {"base": float(base), "product_base_at_least": bounds.chi_mean(2 * THIN - 1) * size}
    return Verdict(Status.REFUTED, Evidence.SYMBOLIC, reason, numbers, witness=witness, tables=tables)


def _thin(context: Context) -> Table:
    """Sampled means of Lip = max |f(±1)| against [M, 2M]."""
    depths, draws = ((2, 5, 10), MORE_DRAWS) if context.full else ((2, 5), DRAWS)
    size, rows = 1 / math.sqrt(THIN), []
    for L in depths:
        context.log(f"sampling L = {L}")
        widths = [1, *[THIN] * (L - 1), 1]
        x = torch.tensor([[1.0], [-1.0]], dtype=torch.float64, device=context.device)
        found = relu_outputs(widths, size, x, draws, context.generator())[-1]
        M, mean = math.exp(bounds.relu_point(widths, size)), mean_of(found[..., 0].abs().amax(1).cpu())
        ensure(mean.meets(M, 2 * M), f"L = {L}: sampled E Lip = {mean.value} ± {mean.half}, M = {M}")
        rows.append((L, M, mean.value, mean.half, 2 * M))
    return Table(("L", "M", "mean", "half_width", "two_M"), tuple(rows))


def every_activation(context: Context) -> Verdict:
    """φ = 0 has Lip 0; φ(t) = t/2 has 2^(1−L) times the Lipschitz constant of the linear network, in rationals."""
    generator, rows = context.generator(), []
    for L in range(2, 7):
        widths = [1, *[4] * (L - 1), 3]
        network = gaussian_mlp(widths, sigma=1.0, activation="linear", generator=generator)
        matrices = [layer.weight.tolist() for layer in network if isinstance(layer, nn.Linear)]
        squares = [_slope_squared(matrices, slope) for slope in (fmpq(1), fmpq(1, 2), fmpq(0))]
        ensure(squares[0] > 0, f"L = {L}: the linear network is constant")
        halves = squares[1] == squares[0] * fmpq(1, 4 ** (L - 1))
        ensure(halves and squares[2] == 0, f"L = {L}: the squares are {[str(s) for s in squares]}")
        rows.append((L, *(math.sqrt(float(fraction(s))) for s in squares)))
    # where σe(N) = 3/2 the bound grows like (3/2)^L, and E Lip of φ(t) = t/2, n_0 = 1, is exactly 2^(1−L) times it
    base = Fraction(3, 2) * Fraction(1, 2)
    ensure(base < 1, f"halving leaves a base of {base}")
    tables = {"networks": Table(("L", "linear", "half", "zero"), tuple(rows))}
    reason = f"phi = 0 has Lip 0; phi(t) = t/2 multiplies by 2^(1-L): at sigma e(N) = 3/2 the base is {base}"
    witness = "phi = 0: f is constant, Lip = 0 for all weights, but sigma^L e(n_1) ... e(n_L) > 0"
    return Verdict(Status.REFUTED, Evidence.EXACT, reason, {"networks": len(rows)}, witness=witness, tables=tables)


def _slope_squared(matrices: list[list[list[float]]], slope: fmpq) -> fmpq:
    """‖W_L φ' W_{L−1} ⋯ φ' W_1‖² for one input and φ(t) = slope·t, exactly."""
    column = [rational(row[0]) for row in matrices[0]]
    for matrix in matrices[1:]:
        column = [slope * v for v in column]
        column = [sum((rational(w) * v for w, v in zip(row, column, strict=True)), start=fmpq(0)) for row in matrix]
    return sum((v * v for v in column), start=fmpq(0))
