"""Pruning in stacks against torch's own, and the pruning law: values, inverse, fit, refusals."""

import math

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from constructions.scaling_laws.pruning import (
    largest_weights,
    prune_iteratively,
    pruned_teacher_students,
    teacher_classes,
    weight_places,
)
from constructions.scaling_laws.pruning_law import PruningLaw, fit_pruning_law
from constructions.scaling_laws.stack import Stack
from constructions.scaling_laws.training import Examples, Schedule

LAW = PruningLaw(0.84, 0.5, 2.5, 0.7, 1.1)
PLAN = Schedule(20, batch=16, rate=1e-2)


@pytest.fixture(scope="module")
def data():
    return teacher_classes((0, 1), 200, test=150, widths=(4, 12, 5))


# --- masks --------------------------------------------------------------------------------------------


def test_masks_are_those_of_torch():
    stack = Stack.drawn(12, [8, 5], 1, 10, [0, 1])
    places = weight_places(stack)
    assert places.sum(1).tolist() == [176, 110]
    masks = largest_weights(stack.rows, places, torch.tensor([113, 70]))
    for g, keep in enumerate((113, 70)):
        network = stack.network(g)
        layers = [m for m in network if isinstance(m, nn.Linear)]
        amount = sum(m.weight.numel() for m in layers) - keep
        prune.global_unstructured([(m, "weight") for m in layers], prune.L1Unstructured, amount=amount)
        ours, _ = stack.layers(masks)
        for mask, layer in zip(ours, layers, strict=True):
            b, a = layer.weight.shape
            assert torch.equal(mask[g, :a, :b].t(), layer.weight_mask.bool())
            assert not mask[g, a:].any()
            assert not mask[g, :, b:].any()


def test_ties_go_to_the_lowest_place_and_the_count_is_kept():
    rows = torch.tensor([[1.0, -1.0, 1.0, 0.0, -1.0]], dtype=torch.float64)
    among = torch.tensor([[True, True, False, True, True]])
    assert largest_weights(rows, among, torch.tensor([2])).tolist() == [[True, True, False, False, False]]
    assert largest_weights(rows, among, torch.tensor([4])).tolist() == among.tolist()
    assert not largest_weights(rows, among, torch.tensor([0])).any()


# --- rounds -------------------------------------------------------------------------------------------


def test_a_stack_prunes_as_each_network_alone(data):
    options = {"keep": 0.5, "rounds": 3, "rewind": 5}
    together = pruned_teacher_students(data, (4, 9), 2, (0, 1), PLAN, **options)
    assert together.widths == (4, 4, 9, 9)
    for k, width in enumerate((4, 9)):
        alone = pruned_teacher_students(data, (width,), 2, (0, 1), PLAN, **options)
        assert torch.equal(alone.errors, together.errors[:, 2 * k : 2 * k + 2])
        assert torch.equal(alone.densities, together.densities[:, 2 * k : 2 * k + 2])
    widths, densities, errors = together.averaged()
    assert widths == (4, 9)
    assert torch.equal(errors[:, 1], together.errors[:, 2:].mean(1))
    assert torch.equal(densities[:, 0], together.densities[:, 0])


def test_what_is_left_starts_where_it_was_rewound_to(data):
    stack = Stack.drawn(4, [6], 1, 5, [0])
    order = torch.randint(200, (1, 1, 16))
    seen = []
    # one step after the rewind at a rate of 0 would be the rewound numbers: watch them before they move
    plan = Schedule(1, batch=16, rate=0.0)
    start = stack.rows.clone()
    prune_iteratively(
        stack, Examples(data.x, data.y, torch.tensor([0])), data.test, order, plan, keep=0.5, rounds=2, rewind=0,
        finished=lambda number, stack, masks: seen.append((stack.rows.clone(), masks.clone())),
    )  # fmt: skip
    weights = weight_places(stack)
    for number, (rows, masks) in enumerate(seen):
        assert int(masks.sum()) == round(54 * 0.5**number)
        assert torch.equal(rows, torch.where(masks | ~weights, start, 0.0))


def test_classes_are_the_teachers(data):
    assert data.x.shape == (2, 200, 4)
    assert data.y.shape == (2, 200)
    assert data.test[1].unique().tolist() == [0, 1, 2, 3, 4]
    again = teacher_classes((1,), 200, test=150, widths=(4, 12, 5))
    assert torch.equal(again.x[0], data.x[1])
    assert torch.equal(again.y[0], data.y[1])


# --- the law ------------------------------------------------------------------------------------------


def values_of(law, *, low=(0.12, 0.3)):
    """A table of its exact values: two depths, three widths, twelve densities."""
    rows = [
        (0.64**r, depth, width, low[0] + (low[1] - low[0]) / (1 + width / 8 + depth))
        for depth in (2, 3)
        for width in (8, 16, 32)
        for r in range(12)
    ]
    columns = torch.tensor(rows, dtype=torch.float64).t()
    return columns, law(*columns)


def test_the_law_has_its_plateaus_and_their_mean():
    law = PruningLaw(0.9, 0.7, 0.01)
    assert float(law(torch.tensor(1e9), 1, 1, 0.1)) == pytest.approx(0.1)
    assert float(law(torch.tensor(1e-12), 1, 1, 0.1)) == pytest.approx(0.9)
    assert law.density_for(0.3, 1, 1, 0.1) == pytest.approx(0.01 * law.ratio(0.1) ** 0.5, rel=1e-12)
    assert law.ratio(0.1) == pytest.approx(23.0783, abs=1e-4)
    assert law.steepest_slope(0.1) == pytest.approx(-0.6419, abs=5e-5)
    assert law.steepest_slope(1e-6) == pytest.approx(-0.7000, abs=5e-5)


def test_an_unpruned_error_above_the_high_plateau_is_kept():
    assert float(PruningLaw(0.5, 0.7, 0.01)(torch.tensor(0.01), 1, 1, 0.6)) == pytest.approx(0.6)
    assert PruningLaw(0.5, 0.7, 0.01).steepest_slope(0.6) == 0


def test_a_small_gamma_does_not_overflow():
    law = PruningLaw(0.9, 1e-3, 1e-3, 0.5, 0.5)
    assert law.ratio(1e-6) == math.inf
    assert law.steepest_slope(1e-6) == -1e-3
    value = float(law(torch.tensor(0.5), 2, 16, 1e-6))
    assert 1e-6 < value < 0.9
    assert law.density_for(value, 2, 16, 1e-6) == pytest.approx(0.5, rel=1e-6)


@pytest.mark.parametrize("target", [0.11, 0.3, 0.8, 0.839])
def test_density_for_is_the_inverse(target):
    density = LAW.density_for(target, 2, 16, 0.1)
    assert float(LAW(torch.tensor(density, dtype=torch.float64), 2, 16, 0.1)) == pytest.approx(target, rel=1e-9)


def test_equal_invariants_have_equal_errors():
    first = LAW(torch.tensor(0.1, dtype=torch.float64), 2, 16, 0.1)
    d = 0.1 * (2 / 3) ** LAW.phi * (16 / 64) ** LAW.psi
    assert float(LAW(torch.tensor(d, dtype=torch.float64), 3, 64, 0.1)) == pytest.approx(float(first), rel=1e-12)


def test_the_fit_returns_a_planted_law():
    columns, errors = values_of(LAW)
    found = fit_pruning_law(*columns, errors, chance=0.9)
    ours = (found.law.high, found.law.gamma, found.law.p, found.law.phi, found.law.psi)
    assert ours == pytest.approx((0.84, 0.5, 2.5, 0.7, 1.1), rel=1e-4)
    assert float(found.residuals.abs().max()) < 1e-7
    assert found.at_bounds == ()
    flat = fit_pruning_law(*columns, errors, chance=0.9, joint=False)
    assert (flat.law.phi, flat.law.psi) == (0, 0)
    assert float(flat.residuals.std()) > 0.05


def test_a_constant_at_its_bound_is_named():
    columns, errors = values_of(PruningLaw(0.84, 8.0, 2.5, 0.7, 1.1))
    assert "gamma" in fit_pruning_law(*columns, errors, chance=0.9).at_bounds


@pytest.mark.parametrize("wrong", ["phi", "psi", "gamma"])
def test_a_negated_exponent_predicts_something_else(wrong):
    columns, errors = values_of(LAW)
    constants = {"high": 0.84, "gamma": 0.5, "p": 2.5, "phi": 0.7, "psi": 1.1}
    constants[wrong] *= -1
    if wrong == "gamma":
        with pytest.raises(ValueError, match="`gamma` must be a positive finite number"):
            PruningLaw(**constants)
    else:
        assert float((PruningLaw(**constants)(*columns) / errors - 1).abs().mean()) > 0.1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: PruningLaw(0, 1, 1), "`high` must be a positive finite number, got 0"),
        (lambda: PruningLaw(1, 1, 1, math.inf), "`phi` must be a number within ±1000, got inf"),
        (lambda: LAW(torch.tensor(0.0), 1, 1, 0.1), "`density` must be positive and finite"),
        (lambda: LAW.density_for(0.05, 1, 1, 0.1), "`target` must lie between the plateaus 0.1 and 0.84, got 0.05"),
        (lambda: LAW.density_for(0.84, 1, 1, 0.1), "`target` must lie between the plateaus"),
        (lambda: LAW.density_for(math.nan, 1, 1, 0.1), "`target` must be a positive finite number, got nan"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_fit_refuses_what_it_cannot_identify(data):
    columns, errors = values_of(LAW)
    for name, row in (("depth", 1), ("width", 2)):
        same = columns.clone()
        same[row] = 2
        with pytest.raises(ValueError, match=f"`{name}` must have two values or more, its exponent is not identified"):
            fit_pruning_law(*same, errors, chance=0.9)
    with pytest.raises(ValueError, match="`errors` must be 7 points or more, got 6"):
        fit_pruning_law(*columns[:, :6], errors[:6])
    with pytest.raises(ValueError, match=r"`errors` must be at most `chance`, 0\.5"):
        fit_pruning_law(*columns, errors, chance=0.5)
    with pytest.raises(ValueError, match="`errors` must be at most `chance`, nan"):
        fit_pruning_law(*columns, errors, chance=math.nan)
    with pytest.raises(ValueError, match="`errors` must be positive and finite"):
        fit_pruning_law(*columns, errors * 0)
    with pytest.raises(ValueError, match=r"`width` must have shape \(72,\), got \(71,\)"):
        fit_pruning_law(*columns[:2], columns[2, 1:], columns[3], errors)
    for options, message in (
        ({"keep": 1.0}, "`keep` must be a number between 0 and 1, got 1.0"),
        ({"rewind": 20}, "`rewind` must be an integer between 0 and 19"),
        ({"rounds": -1}, "`rounds` must be an integer between 0 and"),
    ):
        with pytest.raises(ValueError, match=message):
            pruned_teacher_students(data, (4,), 2, (0, 1), PLAN, **options)
