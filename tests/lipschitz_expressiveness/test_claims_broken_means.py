"""No claim about random networks is decided when its object or the formula that it is measured against is broken."""

import math
from dataclasses import replace

import pytest
from flint import arb

from theory.claim import Context, Status
from theory.lipschitz_expressiveness import bounds
from theory.lipschitz_expressiveness.reproductions import (
    forms,
    gaussian,
    growth,
    measured,
    points,
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
