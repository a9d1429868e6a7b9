"""Claims are not decided when the house is broken: each object that they rest on is broken in turn."""

from dataclasses import replace

import pytest
import torch

from constructions.scaling_laws import pruning
from constructions.scaling_laws.nyquist import NyquistLearner, exact_recovery
from constructions.scaling_laws.pruning_law import PruningLaw
from constructions.scaling_laws.training import Schedule
from theory.claim import Context, Report, Status, Undecided
from theory.scaling_laws.reproductions import nyquist, pruned, splines

QUICK = Context()


class OneDegreeLess(NyquistLearner):
    def __init__(self, bandwidth, dimension=1, **options):
        super().__init__(max(0, bandwidth - 1), dimension, **options)


def wrong_rank(*arguments):
    result = exact_recovery(*arguments)
    return replace(result, rank=max(0, result.rank - 1))


@pytest.mark.parametrize(
    ("claim", "name", "broken", "reason"),
    [
        ("nyquist_recovery", "NyquistLearner", OneDegreeLess, "the learner is"),
        ("nyquist_recovery", "exact_recovery", wrong_rank, "worked example, n=5: rank 4, it is 5"),
        ("nyquist_recovery", "recovers", lambda *a: Report(), "K=1, n=1: recovered is True"),
        ("nyquist_recovery", "aliasing_holds", lambda *a: Report("broken"), "aliasing: broken"),
        ("nyquist_jump", "exact_recovery", wrong_rank, "K=1, n=1: rank 0, it is 1"),
        ("nyquist_jump", "average_error", lambda n, k, r: 1, "K=1, n=1: the average error is 2/3, not 1"),
        ("nyquist_jump", "worst_case_error", lambda n, k: int(n <= 2 * k + 1), "K=1, n=3: 0 invisible functions"),
        ("nyquist_noise", "gram_is_scalar", lambda n, k: Report(), "n=2: K = n/2 has a scalar Gram matrix"),
        ("nyquist_noise", "noise_error_interpolating", lambda n: 1 / n, "n=3: all frequencies give 1"),
        ("nyquist_noise", "noise_error", lambda n, k: 1, "n=2, K=0: tr G⁻¹ is 1/2"),
        ("nyquist_noise", "variance_factor", lambda nodes, k: nyquist.rational(0), "is below D/n"),
        ("nyquist_bandwidth", "least_degree", lambda nodes, values, most: 2, "worked example, n=6"),
        ("nyquist_bandwidth", "exact_recovery", wrong_rank, "K=0, n=1: rank 0, it is 1"),
    ],
)
def test_nyquist_claims(monkeypatch, claim, name, broken, reason):
    monkeypatch.setattr(nyquist, name, broken)
    with pytest.raises(Undecided) as stopped:
        getattr(nyquist, claim)(QUICK)
    assert reason in stopped.value.reason


@pytest.mark.parametrize(
    ("claim", "name", "broken", "reason"),
    [
        ("spline_rate", "sinc", lambda theta: theta, "the hat function: "),
        ("spline_rate", "stated_error", lambda theta: theta**4, "E(θ): at θ = 1/4 the error is 0.045528"),
        ("spline_rate", "measured_error", lambda *a, **o: 1.0, "21 nodes: measured 1, the formula says"),
        ("spline_rate", "measured_error", lambda *a, **o: float("nan"), "21 nodes: measured nan, the formula says"),
        (
            "shallow_lower_bound",
            "squared_error",
            lambda *a, **o: 1e-9,
            "W=1: a knot-optimised network has the error 1e-09",
        ),
        ("shallow_lower_bound", "kernel_is_not_negative", lambda: Report("broken"), "the component along P2: broken"),
    ],
)
def test_spline_claims(monkeypatch, claim, name, broken, reason):
    monkeypatch.setattr(splines, name, broken)
    with pytest.raises(Undecided) as stopped:
        getattr(splines, claim)(QUICK)
    assert reason in stopped.value.reason


# --- the pruning law --------------------------------------------------------------------------------------

LAW = PruningLaw(0.84, 0.5, 2.5, 0.7, 1.1)


def planted(law=LAW):
    """What the protocol would measure if the law were exact."""
    rows = [
        (0.64**r, depth, width, 0.1 + 0.1 / (1 + width / 8 + depth))
        for depth in (2, 3)
        for width in (8, 12, 18, 32)
        for r in range(12)
    ]
    columns = torch.tensor(rows, dtype=torch.float64)
    errors = law(*columns.t())
    each = torch.stack([columns[:, 3], errors], 1)[:, None].expand(-1, 2, -1)
    return pruned.PrunedPoints(torch.cat([columns, errors[:, None]], 1), each)


def test_a_planted_law_is_not_refuted(monkeypatch):
    monkeypatch.setattr(pruned, "pruned_points", lambda protocol, context: planted())
    verdict = pruned.pruning(QUICK)
    assert verdict.status is Status.NOT_REFUTED
    assert verdict.numbers["held out: mean |delta|"] < 1e-6
    assert verdict.numbers["per seed: mean |delta|"] < 1e-6


def test_shuffled_densities_decide_nothing(monkeypatch):
    monkeypatch.setattr(pruned, "pruned_points", lambda protocol, context: pruned.shuffled(planted(), 5))
    with pytest.raises(Undecided, match=r"mean \|δ\| is"):
        pruned.pruning(QUICK)


def test_a_law_that_does_not_need_depth_and_width_decides_nothing(monkeypatch):
    flat = PruningLaw(0.84, 0.5, 0.1)
    monkeypatch.setattr(pruned, "pruned_points", lambda protocol, context: planted(flat))
    with pytest.raises(Undecided, match="with φ = ψ = 0"):
        pruned.pruning(QUICK)


SMALL = replace(
    pruned.QUICK, fitted=(3, 4), held_out=(6,), points=200, test=100, seeds=1, rounds=2, rewind=2,
    schedule=Schedule(10, batch=16),
)  # fmt: skip


def test_points_are_watched_by_the_witness(monkeypatch):
    monkeypatch.setattr(pruned, "USABLE", 2.0)
    points = pruned.pruned_points(SMALL, QUICK)
    assert points.columns.shape == (18, 5)
    assert points.each.shape == (18, 1, 2)
    assert torch.equal(points.each[:, 0, 1], points.errors)
    true_largest = pruning.largest_weights
    monkeypatch.setattr(pruning, "largest_weights", lambda rows, among, count: true_largest(rows, among, count - 1))
    with pytest.raises(Undecided, match="round 1, network 0: 25 weights are left, 26 should be"):
        pruned.pruned_points(SMALL, QUICK)


@pytest.mark.parametrize(
    ("claim", "name", "broken", "reason"),
    [
        ("pruning_shape", "law_eq", lambda *a, **o: Report("broken"), "the law at 0.1, 0.9, 0.7: broken"),
        ("pruning_shape", "steepest_eq", lambda *a: Report("broken"), "the steepest slope: broken"),
        ("pruning_shape", "plateaus_eq", lambda *a: Report("broken"), "the plateaus: broken"),
        ("pruning_slope_is_gamma", "slope_eq", lambda *a: Report("broken"), "the local slope: broken"),
        ("pruning_slope_is_gamma", "steepest_eq", lambda *a: Report("broken"), "the steepest slope: broken"),
    ],
)
def test_shape_claims(monkeypatch, claim, name, broken, reason):
    monkeypatch.setattr(pruned, name, broken)
    with pytest.raises(Undecided) as stopped:
        getattr(pruned, claim)(QUICK)
    assert stopped.value.reason == reason
