"""VC upper bounds: reference values, laws (concavity, monotonicity), closed forms, and Theorem 5's consequences."""

import itertools
import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from theory.vc_dimension.bounds import (
    Architecture,
    clean_flat,
    clean_tree,
    closed_flat,
    closed_mlp,
    constant_growth,
    flat_growth,
    grid_points,
    largest,
    mlp_growth,
    no_go_eps,
    parameters_of_mlp,
    parameters_of_momlp,
    parameters_of_single_mlp,
    pattern_count,
    routing_growth,
    tree_factor,
    tree_growth,
    vc_upper_flat,
    vc_upper_free,
    vc_upper_mlp,
    vc_upper_tree,
)

REFERENCE = [
    # n, J, W, L, flat, binary tree
    (2, 1, 1, 4, 231, 212),
    (2, 1, 2, 2, 166, 166),
    (4, 1, 4, 8, 2520, 2368),
    (16, 1, 16, 16, 68901, 67243),
    (64, 1, 64, 1, 71027, 71027),
    (2, 2, 64, 1, 98401, 98401),
    (3, 33, 8, 1, 774873, 774873),
    (3, 53, 8, 1, 2115367, 2115367),
    (3, 127, 8, 1, 13509166, 13509166),
    (3, 17, 19, 1, 1052748, 1052748),
    (3, 41, 15, 1, 4247357, 4247357),
    (65, 19, 16, 1, 1301944, 1301944),
    (3, 17, 8, 4, 764884, 764862),
    (3, 17, 11, 8, 2843730, 2843666),
]

architectures = st.builds(
    Architecture,
    st.integers(1, 20),
    st.integers(1, 6),
    st.integers(1, 20),
    st.sampled_from(["relu", "prelu_fixed", "prelu_trainable"]),
)


@pytest.mark.exact
@pytest.mark.parametrize(("n", "depth", "width", "experts", "flat", "tree"), REFERENCE)
def test_reference_values(n, depth, width, experts, flat, tree):
    a = Architecture(n, depth, width)
    assert vc_upper_flat(a, experts) == flat
    assert vc_upper_tree(a, experts) == tree


@pytest.mark.exact
def test_folding_and_trainable_slopes():
    assert vc_upper_mlp(Architecture(8, 1, 8), folded=False) == 1208
    assert vc_upper_mlp(Architecture(8, 1, 8)) == 967
    assert vc_upper_mlp(Architecture(8, 1, 8, "prelu_fixed")) == 967
    assert vc_upper_mlp(Architecture(8, 1, 8, "prelu_trainable")) == 1208
    assert vc_upper_mlp(Architecture(64, 1, 64, "prelu_trainable")) == 81386


@pytest.mark.exact
def test_constant_experts():
    assert largest(tree_growth(64, 256, constant_growth)) == 99582
    assert largest(flat_growth(64, 256, constant_growth)) == 345312


def test_parameter_count_is_the_modules():
    for n, depth, width in ((3, 1, 5), (4, 3, 6)):
        sizes = [n, *[width] * depth, 1]
        layers = [torch.nn.Linear(a, b) for a, b in itertools.pairwise(sizes)]
        numel = sum(p.numel() for layer in layers for p in layer.parameters())
        assert Architecture(n, depth, width).parameters == numel
        assert Architecture(n, depth, width, "prelu_trainable").parameters == numel + depth * width
        assert Architecture(n, depth, width).layers(folded=False)[-1][1] == numel


@pytest.mark.law
@settings(max_examples=60)
@given(a=architectures, experts=st.sampled_from([1, 2, 4, 8]), m=st.integers(1, 5000))
def test_growth_is_concave_and_nondecreasing(a, experts, m):
    """Law: what makes bisection sound. Second differences ≤ 0 and first ≥ 0, for flat and tree."""
    for growth in (flat_growth(a.n, experts, mlp_growth(a)), tree_growth(a.n, experts, mlp_growth(a))):
        low, middle, high = (growth(Fraction(k)) for k in (m - 1, m, m + 1))
        tolerance = 1e-9 * (1 + high)
        assert middle - low >= -tolerance
        assert (high - middle) - (middle - low) <= tolerance
        assert growth(Fraction(0)) == 0
        assert growth(Fraction(1)) >= 1


@pytest.mark.law
@settings(max_examples=40)
@given(a=architectures, experts=st.sampled_from([1, 2, 4, 8, 16]))
def test_solved_bounds_are_consistent(a, experts):
    """Law: solved ≤ closed form; flat and tree ≥ one expert; the solution is the last one."""
    single, flat, tree = vc_upper_mlp(a), vc_upper_flat(a, experts), vc_upper_tree(a, experts)
    assert single <= closed_mlp(a)
    assert flat <= closed_flat(a, experts)
    assert min(flat, tree) >= single
    growth = flat_growth(a.n, experts, mlp_growth(a))
    assert flat <= growth(Fraction(flat)) * (1 + 1e-9)
    assert flat + 1 > growth(Fraction(flat + 1))
    assert vc_upper_mlp(a) <= vc_upper_mlp(a, folded=False) or a.kind != "relu"


@pytest.mark.law
@settings(max_examples=60)
@given(n=st.integers(1, 60), experts=st.sampled_from([2, 4, 8, 64, 512]), ratio=st.floats(1, 1000))
def test_clean_forms_bound_the_solved_ones(n, experts, ratio):
    """Theorems 3 and 4 for experts of VC dimension d, with Sauer's growth d·log(1 + em/d)."""
    d = math.ceil((n + 1) * ratio)

    def sauer(m):
        return d * math.log2(1 + math.e * float(m) / d)

    assert largest(flat_growth(n, experts, sauer)) <= clean_flat(n, experts, d)
    assert largest(tree_growth(n, experts, sauer)) <= clean_tree(n, experts, d)


def test_tree_factors_are_the_larger_fixed_points():
    for v, reference in ((2, 12.13), (3, 13.37), (4, 14.26), (8, 16.43)):
        value = tree_factor(v)
        assert reference - 0.011 < value <= reference
        log_c = math.log2(math.e / 2 * v ** (1 + v / (v - 1)))
        assert log_c + math.log2(value) + math.log2(1 + math.e * value) == pytest.approx(value, rel=1e-9)


@pytest.mark.law
@settings(max_examples=30)
@given(n=st.integers(1, 3), experts=st.integers(2, 5), m=st.integers(4, 30), seed=st.integers(0, 10**6))
def test_sampled_routing_patterns_stay_below_the_bound(n, experts, m, seed):
    """Independent truth: distinct routings of m points by random prototypes never exceed 2^R_L(m)."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(m, n, dtype=torch.float64, generator=generator)
    p = torch.randn(2000, experts, n, dtype=torch.float64, generator=generator)
    routes = (x[None, :, None] - p[:, None]).square().sum(-1).argmin(-1)
    assert math.log2(len(torch.unique(routes, dim=0))) <= routing_growth(n, experts)(Fraction(m))


def test_pattern_count_switches_to_the_trivial_count():
    """Lemma 1's formula is false for M ≪ d; two halfplanes through few points show a wrong count would undercut."""
    assert pattern_count(3, 10, 2) == 3
    assert pattern_count(10, 10, 1) == 10
    assert pattern_count(1000, 10, 1) == pytest.approx(10 * math.log2(math.e * 100))
    assert pattern_count(1000, 10, 3) == pytest.approx(1 + 10 * math.log2(2 * math.e * 300))


def test_huge_numbers_stay_exact_integers():
    assert grid_points(200, Fraction(1, 100)) == 50**200
    assert parameters_of_single_mlp(400, Fraction(1, 100)) > 10**300
    assert vc_upper_flat(Architecture(3, 2, 4), 10**40) > 10**40


# --- Theorem 5 and its consequences -------------------------------------------------------------------------


@pytest.mark.exact
def test_values_of_theorem_5():
    assert grid_points(8, Fraction(1, 100)) == 50**8
    assert parameters_of_single_mlp(8, Fraction(1, 100)) == 1062770
    assert parameters_of_single_mlp(4, Fraction(1, 100)) == 595
    assert parameters_of_momlp(4, Fraction(1, 100), 2, 2) == 59622
    for (n, depth, width, experts), eps in (
        ((2, 2, 16, 1), 0.00602),
        ((8, 8, 256, 1), 0.0625),
        ((4, 2, 16, 1024), 0.00943),
    ):
        found = no_go_eps(vc_upper_flat(Architecture(n, depth, width), experts), n)
        assert found == pytest.approx(eps, abs=5e-6)


def test_grid_functions_are_lipschitz_and_separated():
    """Theorem 5's functions on the actual grid, n = 2: f_y is 1-Lipschitz and exceeds ε at the grid."""
    eps = Fraction(1, 9)
    side = math.ceil(1 / (2 * eps))
    spacing = Fraction(1, side - 1)
    assert spacing > 2 * eps
    axis = torch.arange(side, dtype=torch.float64) * float(spacing)
    grid = torch.cartesian_prod(axis, axis)
    assert len(grid) == grid_points(2, eps)
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(2, (len(grid),), generator=generator).double() * 2 - 1

    def f(x):
        return ((float(spacing) / 2 - (x[:, None] - grid).norm(dim=-1)).clamp(min=0) * labels).sum(-1)

    assert torch.equal(f(grid).sign(), labels)
    assert float(f(grid).abs().min()) > eps
    x, y = (torch.rand(20_000, 2, dtype=torch.float64, generator=generator) for _ in range(2))
    y = x + 0.05 * (y - 0.5)
    assert bool(((f(x) - f(y)).abs() <= (x - y).norm(dim=1) + 1e-12).all())


@pytest.mark.rate
def test_single_mlp_bound_grows_like_eps_to_the_minus_half_n():
    from theory.rates import fit_slope

    for n in (2, 4, 8):
        eps = [Fraction(1, 2**k) for k in range(20, 60, 4)]
        fit = fit_slope([1 / float(e) for e in eps], [parameters_of_single_mlp(n, e) for e in eps])
        assert n / 2 - 0.06 < fit.slope < n / 2  # the logarithm keeps it a little below


def test_bounds_for_all_depths_follow_from_the_free_form():
    """Any P below the returned one contradicts the architecture-free bound, whatever the depth."""
    for n, eps in ((2, Fraction(1, 50)), (4, Fraction(1, 20))):
        points, least = grid_points(n, eps), parameters_of_single_mlp(n, eps)
        for depth in (1, 2, 5, 20):
            if depth + 1 <= (least - 1) // 2:
                assert vc_upper_free(least - 1, depth) < points
            assert vc_upper_free(parameters_of_mlp(n, eps, depth) - 1, depth) < points


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Architecture(0, 1, 1), "`n`"),
        (lambda: Architecture(1, 0, 1), "`depth`"),
        (lambda: Architecture(1, 1, 0), "`width`"),
        (lambda: Architecture(1, 1, 1, "tanh"), "`kind`"),
        (lambda: tree_growth(2, 6, constant_growth), "`experts` must be a power of valency"),
        (lambda: grid_points(2, 0.5), "`eps` must be below 1/2"),
        (lambda: grid_points(2, -1), "`eps`"),
        (lambda: clean_flat(3, 2, 3), "`expert_vc`"),
        (lambda: largest(lambda m: 0.1 * float(m), start=5), "`start`"),
        (lambda: vc_upper_flat(Architecture(1, 1, 1), 0), "`experts`"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
