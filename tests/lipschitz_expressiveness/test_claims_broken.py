"""No claim is decided when what it measures, or the formula it is measured against, is broken on purpose."""

import math
from dataclasses import replace

import pytest
import torch
from flint import arb
from torch import nn

from constructions import LipschitzFunction
from constructions import lipschitz_expressiveness as objects
from constructions.networks import stack
from theory.claim import Context, Status
from theory.lipschitz_expressiveness import bounds
from theory.lipschitz_expressiveness.checkers import Measure, lipschitz_bounds, patterns
from theory.lipschitz_expressiveness.checkers.lipsdp import available
from theory.lipschitz_expressiveness.reproductions import (
    bits,
    forms,
    gaussian,
    growth,
    measured,
    methods,
    mixtures,
    points,
    sharp,
)
from theory.systems import REGISTRY


def undecided(name, words):
    """The claim is INCONCLUSIVE, for a reason with these words."""
    verdict = REGISTRY[f"lipschitz_expressiveness.{name}"].verdict(Context())
    assert verdict.status is Status.INCONCLUSIVE
    assert words in verdict.reason


def scaled(gaussians, factor):
    """Gaussian matrices that are `factor` times too large."""
    return lambda *arguments: (factor * batch for batch in gaussians(*arguments))


# --- Gaussian matrices ----------------------------------------------------------------------------------


def test_entries_of_another_variance(monkeypatch):
    monkeypatch.setattr(gaussian, "SHAPES", ((32, 32),))
    monkeypatch.setattr(gaussian, "gaussians", scaled(gaussian.gaussians, 1.1))
    undecided("gaussian_norm", "32 × 32: sampled 11.")


def test_a_degree_of_freedom_too_many(monkeypatch):
    honest = bounds.norm_bounds
    monkeypatch.setattr(bounds, "norm_bounds", lambda m, n: (bounds.chi_mean(m + n), honest(m, n)[1]))
    undecided("gaussian_norm", "1 × 1: sampled 0.7")


def test_norms_below_their_first_row(monkeypatch):
    monkeypatch.setattr(gaussian, "spectral_norms", lambda G: G.abs().amax((1, 2)))
    undecided("gaussian_norm", "2 × 3: a norm is below that of its first row")


def test_a_wrong_trace_moment(monkeypatch):
    honest = bounds.trace_moment
    monkeypatch.setattr(bounds, "trace_moment", lambda m, n, p: honest(m, n, p) + (m * n if p == 3 else 0))
    undecided("trace_moments", "p = 3: the pairings give m*n*(m**2 + 3*m*n + 3*m + n**2 + 3*n + 4)")


def test_a_pairing_that_is_forgotten(monkeypatch):
    honest = gaussian._pairings
    monkeypatch.setattr(gaussian, "_pairings", lambda items: list(honest(items))[: -1 if len(items) == 6 else None])
    undecided("trace_moments", "p = 3")


def test_products_of_too_large_matrices(monkeypatch):
    monkeypatch.setattr(gaussian, "DRAWS", {32: 20, 64: 20, 96: 20})
    monkeypatch.setattr(gaussian, "DEPTHS", (1, 2))
    monkeypatch.setattr(gaussian, "gaussians", scaled(gaussian.gaussians, 1.3))
    undecided("ginibre", "L = 1: 2.")


# --- growth ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["upper_bound", "width", "depth"])
def test_a_wrong_mean_of_chi(monkeypatch, name):
    honest = bounds.chi_mean_symbolic
    monkeypatch.setattr(bounds, "chi_mean_symbolic", lambda n: honest(n + 1))
    undecided(name, "e(n): E χ_n is")


def test_signs_that_are_never_all_negative(monkeypatch):
    honest = bounds.relu_mean_symbolic
    wrong = {n: honest(n) * 2**n / (2**n - 1) for n in range(1, 4)}
    monkeypatch.setattr(bounds, "relu_mean_symbolic", wrong.__getitem__)
    undecided("relu_point", "r(n): r(1) is sqrt(2)/(2*sqrt(pi)) by integration, not the finite sum")


def test_a_factor_too_many(monkeypatch):
    honest = bounds.linear_lower
    monkeypatch.setattr(bounds, "linear_lower", lambda w, s: honest(w, s) + math.log(bounds.chi_mean(w[0])))
    undecided("depth", "the closed forms: linear, L = 2")


def test_a_first_layer_that_is_square(monkeypatch):
    honest = bounds.product_lower
    monkeypatch.setattr(bounds, "product_lower", lambda w, s: honest([w[1], *w[1:]], s))
    undecided("upper_bound", "the closed forms: product from below, L = 2")


def test_weights_that_are_not_large_enough(monkeypatch):
    monkeypatch.setattr(growth, "SIGMA", 0.2)
    undecided("depth", "ReLU: sigma = 0.2, N = 32 are not large enough")


def test_an_activation_of_another_slope(monkeypatch):
    monkeypatch.setattr(growth, "ACTIVATIONS", {"half": lambda t: t / 2})
    undecided("depth", "half has slopes [1/2, 1/2] at 0")


def test_a_network_with_biases(monkeypatch):
    honest = growth.gaussian_mlp
    monkeypatch.setattr(growth, "gaussian_mlp", lambda *a, **o: honest(*a, bias=1.0, **o))
    undecided("depth", "the Jacobian of a tanh network at 0 is not the product of its matrices")


def test_squares_that_give_another_power(monkeypatch):
    honest = forms._relu
    monkeypatch.setattr(forms, "_relu", lambda n: replace(honest(n), low=n**0))
    undecided("width", "ReLU: the power of N is None")


def test_outputs_that_are_too_large(monkeypatch):
    honest = growth.relu_outputs
    monkeypatch.setattr(growth, "relu_outputs", lambda *a: [3 * y for y in honest(*a)])
    undecided("depth_any_weights", "L = 2: sampled E Lip")


def test_weights_for_which_nothing_decays(monkeypatch):
    honest = bounds.relu_squared_bounds
    monkeypatch.setattr(bounds, "relu_squared_bounds", lambda n: (honest(n)[0], 2 * honest(n)[1]))
    undecided("depth_any_weights", "r(n): the bounds of r(n)²")


def test_a_slope_that_is_not_halved(monkeypatch):
    honest = growth._slope_squared
    monkeypatch.setattr(growth, "_slope_squared", lambda matrices, slope: honest(matrices[:-1], slope))
    undecided("every_activation", "L = 2: the squares are")


def test_layers_that_are_too_large(monkeypatch):
    monkeypatch.setattr(measured, "gaussians", scaled(measured.gaussians, 1.2))
    monkeypatch.setattr(measured, "DEPTHS", (2, 3, 4))
    monkeypatch.setattr(measured, "SIZES", (8, 16, 32))
    undecided("slopes", "E log|W x| against depth")


# --- one point ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["relu_point", "relu_second_moment"])
def test_a_wrong_moment(monkeypatch, name):
    honest = getattr(bounds, name)
    monkeypatch.setattr(bounds, name, lambda w, s: honest(w, s) + 0.2)
    undecided("relu_point", "L = 4: the " + ("mean" if name == "relu_point" else "second moment"))


def test_inputs_that_are_bent_already(monkeypatch):
    honest = points.relu_outputs
    monkeypatch.setattr(points, "relu_outputs", lambda w, s, x, d, g: honest(w, s, x.relu(), d, g))
    undecided("relu_point", "L = 4: the mean")


def test_the_root_of_half_the_width(monkeypatch):
    monkeypatch.setattr(bounds, "relu_mean_ball", lambda n: (arb(n) / 2).sqrt())
    undecided("he_threshold", "N = 1: the mean changes by")


# --- networks with known constants ----------------------------------------------------------------------


def with_weight(network, layer, row, column, value):
    """The network with one weight replaced."""
    with torch.no_grad():
        network[layer].weight[row, column] = value
    return network


def test_a_tent_that_leans(monkeypatch):
    honest = objects.tent_map
    monkeypatch.setattr(objects, "tent_map", lambda d: with_weight(honest(d), -1, 0, 1, -3.0))
    undecided("tent_map", "depth 1: along the line there are 2 slopes, the largest 2")


def test_a_tent_of_a_wrong_norm(monkeypatch):
    """The same function: the second unit halved before and doubled behind."""

    def tent(depth):
        network = objects_tent(depth)
        with torch.no_grad():
            network[0].weight[1] /= 2
            network[0].bias[1] /= 2
            network[2].weight[:, 1] *= 2
        return network

    objects_tent = objects.tent_map
    monkeypatch.setattr(objects, "tent_map", tent)
    undecided("tent_map", "depth 1: the squares of the norms are")


def test_ones_that_are_not(monkeypatch):
    honest = objects.all_ones
    monkeypatch.setattr(objects, "all_ones", lambda w: with_weight(honest(w), 0, 0, 0, 2.0))
    undecided("product_is_sharp_and_not", "all ones, widths (1, 1): the square of the norm is 4")
    monkeypatch.setattr(sharp, "ONES", ((2, 3, 4),))
    undecided("product_is_sharp_and_not", "all ones, widths (2, 3, 4): a matrix is not of rank one")
    monkeypatch.setattr(objects, "all_ones", lambda w: with_weight(honest(w), 0, 0, 0, -1.0))
    undecided("product_is_sharp_and_not", "a weight is negative")


def test_a_bit_that_is_flipped(monkeypatch):
    honest = bits.built

    def flipped(case, context):
        model = honest((1, 0.01, "wide"), context)
        model.out_weight[0, 0, 0] = float(int(model.out_weight[0, 0, 0]) ^ 8)
        return model

    monkeypatch.setattr(bits, "built", flipped)
    undecided("bit_extraction", "n = 1, eps = 0.01, deep: on simplex [[70], [69]] the integers change by [-9.0]")
    monkeypatch.setattr(sharp, "built", flipped)
    undecided("product_is_sharp_and_not", "bit extraction: on simplex")


def test_a_step_that_is_not_the_plans(monkeypatch):
    honest = bits.built

    def stretched(case, context):
        model = honest((1, 0.01, "deep"), context)
        return type("Stretched", (), {"plan": model.plan, "expert": lambda self, leaf: doubled(model.expert(leaf))})()

    def doubled(network):
        network[-1].weight.mul_(2)
        return network

    monkeypatch.setattr(bits, "built", stretched)
    undecided("bit_extraction", "n = 1, eps = 0.01, deep: the square is 4.0")


def test_a_product_that_floats_can_hold(monkeypatch):
    monkeypatch.setattr(sharp, "BEYOND_FLOATS", (1, 0.01, "wide"))
    undecided("product_is_sharp_and_not", "the product of norms is at least 2^2")


@pytest.mark.parametrize(
    ("last", "words"),
    [([[1.0, 1.0]], "the slope on (0, 1)"), ([[1.0, 0.0]], "the coupled inequality does not hold with rho = 0")],
)
def test_units_that_do_not_cancel(monkeypatch, last, words):
    column, row = torch.ones(2, 1, dtype=torch.float64), torch.tensor(last, dtype=torch.float64)
    bias = torch.tensor([0.0, -1.0 if last[0][1] == 0 else 0.0], dtype=torch.float64)
    monkeypatch.setattr(sharp, "two_units", lambda: stack([(column, bias), (row, torch.zeros(1).double())]))
    undecided("coupled_lipsdp", words)


# --- methods --------------------------------------------------------------------------------------------


def test_slopes_on_the_wrong_units(monkeypatch):
    honest = patterns.slopes_of
    monkeypatch.setattr(patterns, "slopes_of", lambda *a: [s.flip(-1) for s in honest(*a)])
    undecided("exact_methods", "2-8-3 (1)")


def test_an_arrangement_with_the_diagonal_on_the_wrong_side(monkeypatch):
    honest = methods._norm
    monkeypatch.setattr(methods, "_norm", lambda W, V, pattern: honest(W, V, tuple(not on for on in pattern[::-1])))
    monkeypatch.setattr(methods, "QUICK_ROWS", (0,))
    undecided("exact_methods", "2-8-3 (1): the arrangement has")


def test_a_lower_bound_that_is_not(monkeypatch):
    monkeypatch.setattr(methods, "_sampled", lambda net: 5.0)
    undecided("sandwich", "2-8-3 (1): 5.0, [4.00")


def coupled(network):
    """√ρ of the semidefinite program with multipliers that couple units of a layer: what published tools call
    "network"."""
    import cvxpy
    import numpy as np

    weights = [layer.weight.detach().numpy() for layer in network if isinstance(layer, nn.Linear)]
    n, units = weights[0].shape[1], sum(len(w) for w in weights[:-1])
    A, row, column = np.zeros((units, n + units)), 0, 0
    for w in weights[:-1]:
        A[row : row + w.shape[0], column : column + w.shape[1]] = w
        row, column = row + w.shape[0], column + w.shape[1]
    B = np.hstack([np.zeros((units, n)), np.eye(units)])
    last = np.hstack([np.zeros((len(weights[-1]), n + units - weights[-1].shape[1])), weights[-1]])
    # T is a weighted Laplacian plus a diagonal
    zeta, rho = cvxpy.Variable((units, units), symmetric=True), cvxpy.Variable(nonneg=True)
    T = cvxpy.diag(cvxpy.sum(zeta, axis=1)) - zeta + cvxpy.diag(cvxpy.diag(zeta))
    corner = np.zeros((n + units, n + units))
    corner[:n, :n] = np.eye(n)
    S = rho * corner - A.T @ T @ B - B.T @ T @ A + 2 * B.T @ T @ B - last.T @ last
    cvxpy.Problem(cvxpy.Minimize(rho), [zeta >= 0, S >> 0]).solve(solver=cvxpy.CLARABEL)
    return math.sqrt(rho.value)


@pytest.mark.skipif(not available(), reason="needs the extra sdp")
@pytest.mark.parametrize(("row", "digits", "words"), [(2, 1.703129, "2-6-6-1 (3)"), (4, 3.730568, "3-6-6-2 (5)")])
def test_coupled_multipliers_go_below_the_constant(monkeypatch, row, digits, words):
    honest = lipschitz_bounds

    def peer(module, *box, method, **options):
        if method != "lipsdp":
            return honest(module, *box, method=method, **options)
        found = coupled(module)
        assert found == pytest.approx(digits, abs=1e-5)
        return replace(honest(module, method="product"), upper=found, log2_upper=math.log2(found))

    monkeypatch.setattr(methods, "lipschitz_bounds", peer)
    monkeypatch.setattr(methods, "QUICK_ROWS", (row,))
    undecided("sandwich", f"{words}: ")


def test_a_norm_and_its_inverse_swapped(monkeypatch):
    honest = Measure.closed_loop

    def swapped(A, B, P):
        return honest(A, B, torch.linalg.inv(P) / 2 + torch.linalg.inv(P).T / 2)

    a, b, K, P = methods.regulator()
    corner = torch.ones(2, dtype=torch.float64)
    found = lipschitz_bounds(objects.two_unit_controller(K), -corner, corner, measure=swapped(a, b, P))
    assert abs(found.upper - 0.95152602) > 1e-2
    monkeypatch.setattr(methods.Measure, "closed_loop", swapped)
    undecided("controller", "the closed loop is at most 1.08884")


def test_a_controller_that_pushes(monkeypatch):
    honest = methods.two_unit_controller
    monkeypatch.setattr(methods, "two_unit_controller", lambda K: honest(-K))
    undecided("controller", "the closed loop is at most 1.")


def test_a_saturation_that_is_not(monkeypatch):
    monkeypatch.setattr(methods, "clipped_linear", methods.two_unit_controller)
    undecided("controller", "saturated: 0.95")


# --- mixtures -------------------------------------------------------------------------------------------


def test_an_expert_that_is_too_steep(monkeypatch):
    honest = mixtures.build_momlp

    def bent(*arguments, **options):
        model = honest(*arguments, **options)
        model.out_weight[-1, 0, 3] += 2.5
        return model

    monkeypatch.setattr(mixtures, "build_momlp", bent)
    undecided("pencils", "n = 1, eps = 0.01: an expert has the slope")


def test_pencils_that_are_none():
    one = torch.ones(1, dtype=torch.float64)
    two_axes = stack([(torch.eye(2).double(), torch.zeros(2).double()), (torch.ones(1, 2).double(), one)])
    assert mixtures.pencil_slopes(two_axes).failure == "the first layer does not read one and the same axis"
    assert mixtures.pencil_slopes(objects.tent_map(2)).failure == "the network is not one hidden layer with one output"
    falling = objects.two_unit_controller(torch.ones(1, dtype=torch.float64))
    assert mixtures.pencil_slopes(falling).failure == "a weight of the first layer is not positive"
    with pytest.raises(TypeError, match="layer 1 is a PReLU"):
        mixtures.pencil_slopes(nn.Sequential(nn.Linear(1, 2), nn.PReLU(), nn.Linear(2, 1)))


def test_two_knots_at_one_place_count_together():
    column, row = torch.ones(3, 1).double(), torch.tensor([[5.0, -4.0, 1.0]]).double()
    network = stack([(column, torch.tensor([0.0, 0.0, -1.0]).double()), (row, torch.zeros(1).double())])
    assert mixtures.pencil_slopes(network).lipschitz == 2
    assert lipschitz_bounds(network, method="line").exact_squared == 4


def test_neighbours_that_agree(monkeypatch):
    f = LipschitzFunction(lambda x: x[:, 1:].abs(), n=2, lipschitz=1.0)
    monkeypatch.setattr(mixtures.targets, "get", lambda name, n: f)
    undecided("mixture", "the answers differ by 0.0")


def test_answers_that_stray(monkeypatch):
    monkeypatch.setattr(mixtures, "_excess", lambda model, context: math.nan)
    undecided("mixture", "two answers differ by nan more than their points")
