"""No claim about given networks is decided when its object, or what measures it, is broken on purpose."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from constructions import LipschitzFunction
from constructions import lipschitz_expressiveness as objects
from constructions.networks import stack
from theory.claim import Context, Status
from theory.lipschitz_expressiveness.checkers import Measure, lipschitz_bounds, patterns
from theory.lipschitz_expressiveness.checkers.lipsdp import available
from theory.lipschitz_expressiveness.reproductions import (
    bits,
    methods,
    mixtures,
    sharp,
)
from theory.systems import REGISTRY


def undecided(name, words):
    """The claim is INCONCLUSIVE, for a reason with these words."""
    verdict = REGISTRY[f"lipschitz_expressiveness.{name}"].verdict(Context())
    assert verdict.status is Status.INCONCLUSIVE
    assert words in verdict.reason


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


def test_a_product_in_floats_is_infinite():
    network = bits.built(sharp.BEYOND_FLOATS, Context()).expert(0)
    norms = [float(torch.linalg.matrix_norm(part.weight, 2)) for part in network if isinstance(part, nn.Linear)]
    assert math.prod(norms) == math.inf
    found = lipschitz_bounds(network, method="product")
    assert found.upper == math.inf
    assert found.log2_upper == pytest.approx(sum(map(math.log2, norms)), abs=1e-9)


def test_without_a_solver_the_sandwich_says_so(monkeypatch):
    monkeypatch.setattr(methods, "available", lambda: False)
    monkeypatch.setattr(methods, "QUICK_ROWS", (0,))
    verdict = REGISTRY["lipschitz_expressiveness.sandwich"].verdict(Context())
    assert verdict.status is Status.CERTIFIED
    assert verdict.reason.endswith("LipSDP left out: cvxpy and clarabel are not installed")
    assert verdict.numbers["lipsdp"] is False
