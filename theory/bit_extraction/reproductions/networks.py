"""The networks themselves: exact realisation, counts, certified and adversarial error, and the limits of words."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from fractions import Fraction

import torch
from torch import Tensor

from constructions import BitExtractionMoMLP, BitExtractionPlan, LipschitzFunction, build_momlp, targets
from constructions.bit_extraction import Design, layers_of, plain_network, table_of, word_cap, words_of
from constructions.bit_extraction.fit import grid_points
from theory.bit_extraction import bounds as counts
from theory.bit_extraction.checkers.interpolant import realises_interpolant, sample_points
from theory.checkers.uniform_error import certify_uniform_error
from theory.checkers.uniform_error.simplex_error import simplex_error
from theory.checkers.uniform_error.view import view_of
from theory.claim import Context, Evidence, Number, Status, Table, Verdict, ensure

POINTS = 42
REALISED = [(1, 0.01), (1, 0.001), (2, 0.2), (2, 0.1), (3, 0.4)]
MORE_REALISED = [(1, 1e-4), (2, 0.03), (3, 0.2)]
"""(n, eps), the latter in the full budget only."""


def built(f: LipschitzFunction, eps: float, **options) -> BitExtractionMoMLP:
    """A model of bit-extraction experts."""
    model = build_momlp(f, eps=eps, expert="bit_extraction", **options)
    assert isinstance(model, BitExtractionMoMLP)
    return model


# --- exact realisation ----------------------------------------------------------------------------------


def exact_realisation(context: Context) -> Verdict:
    """Rational evaluation of the modules against an interpolation that knows nothing of the network."""
    points, networks = 0, 0
    cases = REALISED + MORE_REALISED * context.full
    for (n, eps), lookup in itertools.product(cases, ("deep", "wide")):
        context.log(f"n = {n}, eps = {eps}, {lookup}")
        model = built(targets.get("cone", n=n), eps, resolved=n, lookup=lookup, device=context.device)
        plan = model.plan
        z = sample_points(plan.network.cells, plan.network.m, n, POINTS, context.generator())
        report = realises_interpolant(model.expert(0), node_values(model), plan.step, z)
        ensure(report, f"n = {n}, eps = {eps}, {lookup}")
        points, networks = points + len(z), networks + 1
    numbers = {"networks": networks, "points": points, "points_a_network": POINTS}
    return Verdict(Status.PROVED, Evidence.EXACT, f"{networks} networks equal at {points} rational points", numbers)


def node_values(model: BitExtractionMoMLP) -> Tensor:
    """f at the nodes (K+1, …, K+1) of the first leaf."""
    plan, f = model.plan, model.target
    assert f is not None
    points = grid_points(plan, plan.tree.leaf_indices(model.place)[:1]).reshape(-1, plan.n)
    return f.evaluate(points)[:, 0].reshape([plan.network.cells + 1] * plan.resolved)


# --- counts ---------------------------------------------------------------------------------------------

# resolved axes -> (J, m) of the designs, with every number of header bits and words; K₀ of Theorem 4 stays below
DESIGNS = {1: (range(6), (3, 5, 7, 13)), 2: (range(3), (3, 5, 7)), 3: (range(2), (3, 5))}
HEADERS, WORDS = (2, 5, 8), (1, 2, 3)
CELLS_BELOW = {1: 3000, 2: 1500, 3: 400}


def designs_compared() -> Iterator[Design]:
    """Some 600 designs: all J, m, H, words and look-ups of the ranges, fewer for large blocks on three axes."""
    for k, (depths, sizes) in DESIGNS.items():
        for J, m in itertools.product(depths, sizes):
            for header, words in itertools.product(HEADERS, WORDS):
                bits = m**k - 1 + header
                empty = (words - 1) * -(-bits // words) >= bits
                if not empty and (k < 3 or m == 3 or (header, words) == (5, 2)):
                    yield from (Design(k, J, m, header, words, lookup) for lookup in ("deep", "wide"))


def parameters(context: Context) -> Verdict:
    """Every layer of several hundred networks against a transcription that was not read off the builder."""
    networks, closed = 0, 0
    for d in designs_compared():
        layers = layers_of.__wrapped__(d, d.k, tuple(range(d.k)), (0.0,) * d.k, (1.0,) * d.k, 0.5)
        widths = [len(layer.weight) for layer in layers[:-1]]
        expected = counts.widths(d.k, d.J, d.m, d.header, d.words, d.lookup)
        dense = sum(layer.weight.numel() + layer.bias.numel() for layer in layers)
        same = widths == expected and dense == counts.parameters_of_widths(expected, d.k)
        ensure(same, f"{d}: widths or P differ")
        ensure(len(widths) == counts.depth(d.k, d.J, d.m, d.header, d.lookup), f"{d}: depth {len(widths)}")
        networks += 1
        if d.words == 1:
            closed += 1
            formula = counts.closed_parameters(d.k, d.J, d.m, d.header, d.lookup)
            ensure(dense == formula, f"{d}: P = {dense} differs from the closed form")
            if d.lookup == "deep":
                pattern = sum(_pattern(layer) for layer in layers)
                ensure(
                    pattern == counts.closed_nonzeros(d.k, d.J, d.m, d.header), f"{d}: {pattern} entries in the pattern"
                )
    examples = [Design(1, 1, 3, 4), Design(2, 1, 3, 5), Design(2, 1, 3, 5, 1, "wide")]
    sizes = [(d.k, d.J, d.m, d.header, d.lookup) for d in examples]
    rows = [(*each, counts.closed_parameters(*each)) for each in sizes]
    tables = {"examples": Table(("n", "J", "m", "H", "network", "P"), tuple(rows))}
    worst = max(_theorem_4(n, limit) for n, limit in CELLS_BELOW.items())
    numbers = {"networks": networks, "closed_forms": closed, "largest_P_over_theorem_4": worst}
    ensure(worst <= 1, "Theorem 4's bound is exceeded", **numbers, **tables)
    reason = f"{networks} networks, every width and P equal"
    return Verdict(Status.PROVED, Evidence.EXACT, reason, numbers, tables=tables)


def _pattern(layer) -> int:
    """Entries that are not 0 whatever the table."""
    weight, bias = layer.weight != 0, layer.bias != 0
    inner = layer.column >= 0
    weight[layer.row[inner], layer.column[inner]] = True
    bias[layer.row[~inner]] = True
    return int(weight.sum() + bias.sum())


def _theorem_4(n: int, limit: int) -> float:
    """max over K₀ < limit of P at the balanced J over Theorem 4's bound."""
    worst = 0.0
    for cells in range(2, limit):
        J, m = counts.balanced(cells)
        P = counts.closed_parameters(n, J, m, counts.header(n, 2 ** (J + 1) * m - 1))
        worst = max(worst, P / counts.rate_bound(n, cells))
    return worst


# --- certified error ------------------------------------------------------------------------------------

SAMPLED_EXPERTS = 256
SAMPLED_EPS = 0.02
SAMPLES = 20_000
CERTIFIED_TARGETS = ("cone", "sum_of_sines")
CERTIFIED = [(1, 1e-4, 1, "wide"), (2, 0.02, 2, "wide"), (3, 0.05, 1, "wide")]
"""(n, eps, resolved axes, look-up)"""
MODELS = ("target", "n", "eps", "k", "network", "upper", "lower", "P", "experts")


def uniform_error(context: Context) -> Verdict:
    """Every simplex of every expert is proved affine; the error follows from the vertices."""
    rows = []
    names = CERTIFIED_TARGETS + ("max_affine",) * context.full
    cases = CERTIFIED + ([(1, 1e-4, 1, "deep"), (2, 0.02, 2, "deep"), (3, 0.02, 1, "deep")] * context.full)
    for name, (n, eps, resolved, lookup) in itertools.product(names, cases):
        context.log(f"{name}, n = {n}, eps = {eps}, {lookup}")
        f = targets.get(name, n=n)
        model = built(f, eps, resolved=resolved, lookup=lookup, device=context.device)
        c = certify_uniform_error(model, f, eps=eps, samples=SAMPLES, seed=context.seed)
        ensure(c.status is Status.CERTIFIED, f"{name}, n = {n}, eps = {eps}: {c.reason}")
        rows.append((name, n, eps, resolved, lookup, c.upper, c.lower, model.active_parameters, c.leaves))
    numbers: dict[str, Number] = {"models": len(rows)}
    if not context.full:
        numbers |= _sample_of_pencils(context)
    reason = f"{len(rows)} models certified below eps, all their simplices exact"
    tables = {"models": Table(MODELS, tuple(rows))}
    return Verdict(Status.CERTIFIED, Evidence.FLOAT64, reason, numbers, tables=tables)


def _sample_of_pencils(context: Context) -> dict[str, Number]:
    """n = 3, SAMPLED_EPS: a sample of experts, each certified; for those experts' cells alone."""
    f = targets.get("cone", n=3)
    model = built(f, SAMPLED_EPS, lookup="wide", device=context.device)
    view = view_of(model, f.domain, 1, max_leaves=SAMPLED_EXPERTS, seed=context.seed)
    upper, measured, premises = simplex_error(view, f, 4 * math.ulp(2.0), context.log)
    failed = [str(p) for p in premises if not p.holds]
    ensure(upper <= SAMPLED_EPS, f"pencils at eps = {SAMPLED_EPS}: {upper} ({failed})")
    return {
        "pencils_eps": SAMPLED_EPS,
        "pencils": model.num_leaves,
        "sampled_pencils": len(view.leaves),
        "sampled_pencils_upper": upper,
        "sampled_pencils_simplices": measured.simplices,
    }


# --- many networks, adversarial points -------------------------------------------------------------------

OFFSETS = (0.0, 1e-13, 1e-9, 1e-3, 0.125, 0.25, 0.375, 0.5 - 1e-9, 0.5, 0.5 + 1e-9, 1.0)
ATTACKED_TARGETS = ("cone", "sum_of_sines", "max_affine", "rotated_sine")
LINES = (11, 23, 39, 55, 79, 95, 111, 159, 191, 223, 319, 447, 575, 639, 895, 1087, 1279)
ATTACKED = [(1, cells) for cells in LINES] + [(2, cells) for cells in (5, 7, 11, 15, 23, 31, 47)] + [(3, 5), (3, 7)]
"""(n, K)"""
ATTACKS = 4000


def adversarial_error(context: Context) -> Verdict:
    """Random points, nodes, quarter points, fold centres and hat edges with tiny offsets, and points of the gaps."""
    cases = list(ATTACKED)
    if context.full:
        cases += [(1, cells) for cells in (2175, 5375, 10751, 20223, 50175)] + [(2, 79), (2, 95), (3, 11)]
    networks, evaluations, worst = 0, 0, 0.0
    for (n, cells), lookup in itertools.product(cases, ("deep", "wide")):
        context.log(f"n = {n}, K = {cells}, {lookup}")
        for name in ATTACKED_TARGETS:
            f = targets.get(name, n=n)
            model = built(f, float(_eps_for(n, cells)), resolved=n, lookup=lookup, device=context.device)
            x = _adversarial_points(model, context.generator()).to(context.device)
            # the plain layers themselves: a single network has no router to go through
            ratio = float((model.expert(0)(x) - f.evaluate(x)).abs().max()) / model.plan.error_bound
            ensure(ratio <= 1 + 1e-9, f"{name}, n = {n}, K = {cells}, {lookup}: {ratio} of the guarantee")
            networks, evaluations, worst = networks + 1, evaluations + len(x), max(worst, ratio)
    numbers = {"networks": networks, "evaluations": evaluations, "largest_error_over_guarantee": worst}
    reason = f"{networks} networks, {evaluations} adversarial points, at most {worst:.6f} of the guarantee"
    return Verdict(Status.NOT_REFUTED, Evidence.SAMPLED, reason, numbers)


def _eps_for(n: int, cells: int) -> Fraction:
    """An eps whose plan needs `cells` cells for λ = s = 1."""
    return (counts.needed_cells(n, Fraction(10**9)) + 10**6) / Fraction(10**9) / cells


def _adversarial_points(model: BitExtractionMoMLP, generator: torch.Generator) -> Tensor:
    """(B, n): every second point anywhere; the others at multiples of 1/4 of a cell or of half a block, slightly
    moved."""
    plan: BitExtractionPlan = model.plan
    count, n, cells = ATTACKS, plan.n, plan.network.cells
    lattice = torch.randint(0, 4 * cells + 1, (count, n), generator=generator).double() / 4
    halves = torch.randint(0, 4 * cells // plan.network.m + 1, (count, n), generator=generator) * plan.network.m / 2
    z = torch.where(torch.rand(count, n, generator=generator) < 0.5, lattice, halves + (plan.network.m % 2) / 2)
    moves = torch.tensor([*OFFSETS, *(-o for o in OFFSETS)], dtype=torch.float64)
    z = z + moves[torch.randint(len(moves), (count, n), generator=generator)]
    lo, hi = plan.domain.tensors()
    x = lo + (z / cells) * (hi - lo)
    return torch.cat([plan.domain.sample(count, generator), torch.minimum(torch.maximum(x, lo), hi)])


# --- word length ----------------------------------------------------------------------------------------

DECODED = list(itertools.product((torch.float64, torch.float32), ("deep", "wide")))
TABLES = 6
BEYOND_CAP = range(-3, 3)


def word_length(context: Context) -> Verdict:
    """The first word length that fails, found by running networks in float64 and float32."""
    rows, tables = [], {}
    for dtype, lookup in DECODED:
        context.log(f"{dtype}, {lookup}")
        name = str(dtype).removeprefix("torch.")
        cap = word_cap(lookup, dtype)
        longest = first = 0
        for bits in (cap + extra for extra in BEYOND_CAP):
            if any(not _decoding_error(bits, lookup, dtype, seed, context.device) <= 0 for seed in range(TABLES)):
                first = bits
                break
            longest = bits
        rows.append((name, lookup, longest, first))
        tables = {"words": Table(("precision", "network", "longest_exact", "first_failure"), tuple(rows))}
        ensure((longest, first) == (cap, cap + 1), f"{name} {lookup}: the limit is not {cap} bits", **tables)
    reason = "exact up to the stated length, wrong one bit later, in float64 and float32, deep and wide"
    return Verdict(Status.NOT_REFUTED, Evidence.SAMPLED, reason, {"decoders": len(rows)}, tables=tables)


def _decoding_error(bits: int, lookup: str, dtype: torch.dtype, seed: int, device: torch.device) -> float:
    """max |N − y| over the nodes of a network with words of `bits` bits and a random walk as values, in steps."""
    m = 2 * ((bits - 8) // 2) + 1 if bits < 40 else 31
    d = Design(1, 4, m, bits - (m - 1), 1, lookup)
    generator = torch.Generator().manual_seed(seed)
    moves = 2 * torch.randint(2, (1, d.cells), generator=generator) - 1
    y = torch.cat([torch.zeros(1, 1, dtype=torch.int64), moves.cumsum(1)], dim=1)
    y = y - 2 * (y.min() // 2)
    # the highest header bits must be used as well, else the words are short
    y = y + 2 ** (d.header - 1) if d.header < 60 else y
    layers = layers_of(d, 1, (0,), (0.0,), (float(d.cells),), 1.0)
    network = plain_network(layers, table_of(words_of(y, d), d)[0]).to(device, dtype)
    z = torch.arange(d.cells + 1, dtype=dtype, device=device)[:, None]
    return float((network(z)[:, 0].double() - y[0].to(device)).abs().max())
