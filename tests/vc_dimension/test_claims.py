"""VC claims: as expected, with the reference numbers, and undecided on broken shattered sets or bounds."""

from dataclasses import replace

import pytest

from constructions.vc_dimension import two_hidden_layers
from theory.claim import Context, Evidence, Status
from theory.systems import REGISTRY
from theory.vc_dimension import enclosed
from theory.vc_dimension.reproductions import approximation, shattered_sets, stated_rate, upper_bounds

BOUNDS = {  # (n, J, W, L): lower, upper flat, upper tree, stated expression
    (2, 1, 1, 4): (12, 231, 212, 32),
    (2, 1, 2, 2): (10, 166, 166, 8),
    (4, 1, 4, 8): (136, 2520, 2368, 256),
    (16, 1, 16, 16): (4112, 68901, 67243, 4096),
    (64, 1, 64, 1): (4097, 71027, 71027, 64),
    (2, 2, 64, 1): (1089, 98401, 98401, 128),
    (3, 33, 8, 1): (512, 774873, 774873, 264),
    (3, 53, 8, 1): (1352, 2115367, 2115367, 424),
    (3, 127, 8, 1): (3440, 13509166, 13509166, 1016),
    (3, 17, 19, 1): (2048, 1052748, 1052748, 323),
    (3, 41, 15, 1): (7200, 4247357, 4247357, 615),
    (65, 19, 16, 1): (8192, 1301944, 1301944, 304),
    (3, 17, 8, 4): (512, 764884, 764862, 544),
    (3, 17, 11, 8): (4096, 2843730, 2843666, 1496),
}


def test_lower_and_upper_bounds_of_fourteen_architectures(verdict_of):
    table = verdict_of("vc_dimension.bounds").tables["architectures"]
    assert table.columns == ("n", "J", "W", "L", "lower", "upper_flat", "upper_tree", "stated")
    assert {row[:4]: row[4:] for row in table.rows} == BOUNDS


@pytest.mark.slow
def test_reference_numbers_of_the_full_budget():
    table = REGISTRY["vc_dimension.width_reading"].verdict(Context(budget="full")).tables["slopes"]
    slopes = {family[:2]: certified for family, certified, *_ in table.rows}
    expected = {"F1": 1.986, "F2": 1.787, "F3": 2.079, "F4": 2.256, "F5": 2.083}
    assert slopes == pytest.approx(expected, abs=2e-3)
    assert REGISTRY["vc_dimension.deep"].verdict(Context(budget="full")).numbers["most_points_enumerated"] == 20


def test_growth_exponents_of_the_width_reading(verdict_of):
    tables = verdict_of("vc_dimension.width_reading").tables
    slopes = {family[:2]: (certified, stated) for family, certified, stated, _ in tables["slopes"].rows}
    least = {"F1": 1.95, "F2": 1.7, "F3": 2.0, "F4": 2.2, "F5": 2.0}
    assert slopes.keys() == least.keys()
    for family, (certified, stated) in slopes.items():
        assert stated <= 1 + 1e-9
        assert certified >= least[family]
    assert ("F3 L=1, n=3, W=8", "J", 65, 2048) in tables["points"].rows
    excluded = ((10, 1, 128), (100, 2, 2**15), (1000, 3, 2**24), (10**6, 4, 2**42))
    assert tables["excluded"].rows == excluded


def test_reference_numbers_of_the_upper_bounds(verdict_of):
    finite = verdict_of("vc_dimension.finite").numbers
    assert finite["architectures"] == 216
    assert finite["smallest_upper_over_lower"] >= 1
    factors = verdict_of("vc_dimension.tree_router").tables["factors"]
    assert factors.column("valency") == (2, 3, 4, 8)
    assert factors.column("lambda") == pytest.approx((12.13, 13.37, 14.26, 16.43), abs=0.01)
    assert verdict_of("vc_dimension.tree_router").numbers["largest_solved_over_bound"] <= 1
    assert verdict_of("vc_dimension.routing_term").numbers["largest_solved_over_bracket"] <= 3.53
    condition = verdict_of("vc_dimension.width_condition").tables["n=3, J=L=1"]
    assert condition.column("log2_W") == (10, 14, 18)
    assert condition.column("solved_upper_over_W_log2_W") == pytest.approx([8.7, 7.5, 6.8], abs=0.05)


def test_wording_of_the_refutation_is_fair(verdict_of):
    claim = REGISTRY["vc_dimension.width_reading"]
    assert "not the paper's theorem" in claim.hypotheses[0]
    assert "L = J = 1" in verdict_of(claim.id).witness
    assert verdict_of("vc_dimension.weights_reading").evidence < Evidence.SYMBOLIC


def with_duplicate(honest):
    def build(*sizes, **options):
        shattered = honest(*sizes, **options)
        points = shattered.points.clone()
        points[-1] = points[0]
        return replace(shattered, points=points)

    return build


@pytest.mark.parametrize(
    ("room", "builder", "name"),
    [
        (shattered_sets.sets, "one_hidden_layer", "one_hidden_layer"),
        (shattered_sets.sets, "deep", "deep"),
        (shattered_sets.sets, "routing_only", "routing_only"),
        (stated_rate, "one_hidden_layer", "width_reading"),
        (stated_rate, "deep", "width_reading"),
    ],
)
def test_a_broken_set_proves_and_refutes_nothing(monkeypatch, room, builder, name):
    monkeypatch.setattr(room, builder, with_duplicate(getattr(room, builder)))
    verdict = REGISTRY[f"vc_dimension.{name}"].verdict(Context())
    assert verdict.status is Status.INCONCLUSIVE
    assert "occurs 2 times" in verdict.reason or "already" in verdict.reason or "point" in verdict.reason


@pytest.mark.parametrize("listed", ["ENUMERATED_MIXTURES", "CERTIFIED_MIXTURES"])
def test_a_broken_mixture_proves_nothing(monkeypatch, listed):
    (name, shattered, points), *others = getattr(shattered_sets, listed)
    cells = (with_duplicate(lambda: shattered.cells[0])(), *shattered.cells[1:])
    broken = replace(shattered, cells=cells)
    monkeypatch.setattr(shattered_sets, listed, [(name, broken, points), *others])
    verdict = REGISTRY["vc_dimension.mixture"].verdict(Context())
    assert verdict.status is Status.INCONCLUSIVE
    assert name in verdict.reason


def test_a_set_that_does_not_fit_its_architecture_is_noticed(monkeypatch):
    rows = {(2, 2, 4, 1): two_hidden_layers(3), (2, 2, 3, 1): two_hidden_layers(3)}
    monkeypatch.setattr(shattered_sets, "ROWS", rows)
    verdict = REGISTRY["vc_dimension.bounds"].verdict(Context())
    assert verdict.status is Status.INCONCLUSIVE
    assert "(2, 2, 3, 1): networks on R^2 with hidden layers of [4, 3] units" in verdict.reason


@pytest.mark.parametrize("name", ["finite", "weights_reading"])
def test_wrong_upper_bounds_are_noticed(monkeypatch, name):
    monkeypatch.setattr(upper_bounds, "vc_upper_flat", lambda architecture, experts: architecture.n)
    monkeypatch.setattr(stated_rate, "vc_upper_flat", lambda architecture, experts: 10**30)
    assert REGISTRY[f"vc_dimension.{name}"].verdict(Context()).status is Status.INCONCLUSIVE


@pytest.mark.parametrize(
    ("name", "room", "bound"),
    [("routing_term", enclosed, "clean_flat"), ("tree_router", upper_bounds, "tree_factor")],
)
def test_clean_forms_that_are_too_small_are_noticed(monkeypatch, name, room, bound):
    honest = getattr(room, bound)
    monkeypatch.setattr(room, bound, lambda *sizes: honest(*sizes) / 2)
    verdict = REGISTRY[f"vc_dimension.{name}"].verdict(Context())
    assert verdict.status is Status.INCONCLUSIVE
    assert "points are not excluded" in verdict.reason


def test_sets_too_small_for_the_condition_are_noticed(monkeypatch):
    honest = stated_rate.largest_set
    monkeypatch.setattr(
        stated_rate, "largest_set", lambda *sizes: replace(honest(*sizes), points=1 + honest(*sizes).points // 10)
    )
    assert REGISTRY["vc_dimension.width_condition"].verdict(Context()).status is Status.INCONCLUSIVE


def test_an_overstated_parameter_bound_is_noticed(monkeypatch):
    honest = approximation.parameters_of_single_mlp
    monkeypatch.setattr(approximation, "parameters_of_single_mlp", lambda n, eps: 100 * honest(n, eps))
    verdict = REGISTRY["vc_dimension.single_mlp_lower_bound"].verdict(Context())
    assert verdict.status is Status.INCONCLUSIVE
    assert "not excluded" in verdict.reason
