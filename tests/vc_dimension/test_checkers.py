"""One hidden layer: all labelings, the ℓ₁ certificate for all of them, and what was broken on purpose."""

import math
from dataclasses import replace

import pytest
import torch

from constructions import BudgetExceeded
from constructions.vc_dimension import one_hidden_layer, with_extra_layers
from theory import exact
from theory.vc_dimension.checkers import (
    shattered_by_one_hidden_layer,
    shattered_by_random_labelings,
    shattered_exhaustively,
)
from theory.vc_dimension.checkers.labelings import all_labelings, evaluate, float64_is_exact, wrong_answer
from theory.vc_dimension.checkers.networks import signs_differ
from theory.vc_dimension.checkers.reflections import check_reflections
from theory.vc_dimension.checkers.shapes import layers_fault
from theory.vc_dimension.checkers.signs import SignFamily, check_signs, require_affordable


@pytest.mark.exact
@pytest.mark.parametrize(
    ("n", "width", "points"),
    [(2, 2, 5), (2, 4, 9), (3, 3, 10), (4, 3, 13), (6, 2, 13), (12, 1, 13), (1, 12, 13), (1, 1, 2), (3, 5, 16)],
)
def test_all_labelings_are_realised(n, width, points):
    report = shattered_exhaustively(one_hidden_layer(n, width))
    assert report.holds, report.failure
    assert (report.points, report.labelings) == (points, 2**points)
    assert points == n * width + 1


@pytest.mark.slow
@pytest.mark.parametrize(("n", "width"), [(2, 8), (4, 4), (5, 3), (8, 2), (16, 1)])
def test_all_labelings_of_larger_sets(n, width):
    assert shattered_exhaustively(one_hidden_layer(n, width)).holds


@pytest.mark.exact
@pytest.mark.parametrize(("n", "width"), [(2, 2), (3, 4), (16, 16), (64, 64)])
def test_certificate_for_all_labelings(n, width):
    report = shattered_by_one_hidden_layer(one_hidden_layer(n, width))
    assert report.holds, report.failure
    assert report.points == n * width + 1
    assert report.worst == -9


def test_certificate_of_a_single_cluster():
    assert shattered_by_one_hidden_layer(one_hidden_layer(5, 1)).worst == -55


@pytest.mark.exact
def test_stacked_evaluation_equals_the_exact_kernel_on_the_modules():
    """Two truths: batched float64 against rational evaluation of the plain Linear/ReLU stack."""
    shattered = one_hidden_layer(3, 3)
    labels = all_labelings(100, 116, shattered.size, torch.device("cpu"))
    outputs = evaluate(shattered.weights(labels), shattered.points.double())
    for row, values in zip(labels, outputs, strict=True):
        network = shattered.module(row)
        truth = [int(exact.evaluate_network(network, p)[0].p) for p in shattered.points]
        assert truth == values.tolist()
        assert [v > 0 for v in truth] == row.tolist()


def changed(shattered, change):
    """The set with `change` applied to every stacked network."""

    def weights(labels):
        layers = [(w.clone(), b.clone()) for w, b in shattered.weights(labels)]
        change(layers, labels)
        return layers

    return replace(shattered, weights=weights)


def perturb_weight(layers, labels):
    layers[0][0][:, 1, 0] += 1


def weaken_gap(layers, labels):
    layers[0][0][:, :, 1] = -1


def break_one_labeling(layers, labels):
    rows = (labels == torch.tensor([True, False, True, True, False])).all(1)
    layers[1][1][rows] *= -1


def not_integer(layers, labels):
    layers[0][1].add_(0.5)


@pytest.mark.parametrize("change", [perturb_weight, weaken_gap, not_integer])
def test_broken_networks_are_rejected_by_both_checkers(change):
    broken = changed(one_hidden_layer(2, 3), change)
    assert not shattered_exhaustively(broken).holds
    assert not shattered_by_one_hidden_layer(broken).holds


def test_a_single_wrong_label_names_the_labeling_and_the_point():
    report = shattered_exhaustively(changed(one_hidden_layer(2, 2), break_one_labeling))
    assert not report.holds
    assert "labeling 10110: point 0" in report.failure


def test_a_duplicate_point_is_named():
    shattered = one_hidden_layer(2, 3)
    points = shattered.points.clone()
    points[3] = points[2]
    broken = replace(shattered, points=points)
    for report in (shattered_exhaustively(broken), shattered_by_one_hidden_layer(broken)):
        assert "occurs 2 times" in report.failure


def test_a_moved_point_is_rejected_by_the_certificate():
    shattered = one_hidden_layer(3, 3)
    points = shattered.points.clone()
    points[4, 1] += 1
    report = shattered_by_one_hidden_layer(replace(shattered, points=points))
    assert not report.holds
    assert "point" in report.failure


def test_random_labelings_and_budgets():
    large = one_hidden_layer(16, 16)
    assert shattered_by_random_labelings(large, 50, torch.Generator().manual_seed(0)).holds
    with pytest.raises(BudgetExceeded, match="2\\^257 labelings"):
        shattered_exhaustively(large)


def test_float64_exactness_notices_large_weights():
    shattered = one_hidden_layer(2, 2)
    layers = shattered.weights(torch.zeros(1, 5, dtype=torch.bool))
    points = shattered.points.double()
    assert float64_is_exact(layers, points)
    assert not float64_is_exact([(layers[0][0] * 2.0**52, layers[0][1]), layers[1]], points)


@pytest.mark.parametrize(("n", "width"), [(0, 1), (1, 0), (2.0, 1)])
def test_bad_sizes(n, width):
    with pytest.raises(ValueError, match=r"`n`|`width`"):
        one_hidden_layer(n, width)


def test_bad_labels():
    with pytest.raises(ValueError, match="`labels`"):
        one_hidden_layer(2, 2).module(torch.zeros(4, dtype=torch.bool))


def test_all_labelings_on_the_device(device):
    assert shattered_exhaustively(one_hidden_layer(4, 4), device=device).holds


@pytest.mark.parametrize("extra", [1, 3])
def test_more_layers_change_nothing_until_one_is_broken(extra):
    deeper = with_extra_layers(one_hidden_layer(2, 3), extra)
    assert len(deeper.weights(torch.zeros(1, 7, dtype=torch.bool))) == 2 + extra
    assert shattered_exhaustively(deeper).holds
    assert shattered_by_one_hidden_layer(deeper).holds

    def swap(layers, labels):
        layers[1][0][:, 0] = layers[1][0][:, 1].clone()

    broken = shattered_by_one_hidden_layer(changed(deeper, swap))
    assert "changes what it is given" in broken.failure


# --- at the limits -----------------------------------------------------------------------------------------


def test_float64_exactness_looks_at_every_point():
    """x + 1 at 0 is 1; at 2⁵³ it is no float."""
    layers = [(torch.ones(1, 1, 1).double(), torch.ones(1, 1).double())]
    assert float64_is_exact(layers, torch.tensor([[0.0], [2.0**53 - 2]], dtype=torch.float64))
    assert not float64_is_exact(layers, torch.tensor([[0.0], [2.0**53 - 1]], dtype=torch.float64))


def test_the_dearest_certificate_is_still_made():
    """2·1·(n + 1) products of two points in R^n."""
    require_affordable(2, 2**35 - 1)
    with pytest.raises(BudgetExceeded, match=r"the certificate of 2 points in R\^34359738368 takes"):
        require_affordable(2, 2**35)


@pytest.mark.parametrize("count", [0, 2**20 + 1])
def test_numbers_of_random_labelings(count):
    with pytest.raises(ValueError, match="`count`"):
        shattered_by_random_labelings(one_hidden_layer(2, 2), count, torch.Generator())


def line_family(apex, reach, direction=(0, 1)):
    """One unit on the line, x − apex − reach, with its point at apex + reach, where `direction` (slope, constant) must
    be 1."""
    return SignFamily(
        torch.tensor([[apex], [apex + reach]]),
        torch.tensor([[1, -apex - reach]]),
        torch.tensor([[list(direction)]]),
    )


@pytest.mark.exact
@pytest.mark.parametrize("apex", [0, 10, -10])
def test_the_least_binary_digits_that_keep_reflections_apart(apex):
    """f(c) = −2 ± 1 with slope 1: the gap is 4·1/1, a prototype lies within 2·3/1 of the apex, and the point within 3
    (2, rounded up): 2·9·r + r² < 4 for r = 1/8 and not for 1/4."""
    family = line_family(apex, 2)
    assert check_signs(family).worst == -1
    assert check_reflections(family, 3).holds
    assert check_reflections(family, 2).failure == "unit 0: 2 binary digits do not keep its prototypes apart"
    assert check_reflections(family, 1074).holds
    with pytest.raises(ValueError, match="`binary_digits`"):
        check_reflections(family, 1075)


@pytest.mark.exact
def test_the_distance_that_counts_is_the_one_from_the_apex():
    """x − 5y − 3 with (1 − y, y) on (3, 0) and (8, 1): 9 from the apex (√65, rounded up) and not 6 from (3, 0).

    The gap is 4·2/50, a prototype lies within 2·4/3 of the apex: 2·(9 + 8/3)·2·r + 2r² < 4/25 for r = 2⁻⁹, not 2⁻⁸.
    """
    points = torch.tensor([[0, 0], [3, 0], [8, 1]])
    family = SignFamily(points, torch.tensor([[1, -5, -3]]), torch.tensor([[[0, -1, 1], [0, 1, 0]]]))
    assert check_signs(family).worst == -2
    assert check_reflections(family, 9).holds
    assert not check_reflections(family, 8).holds


def test_a_unit_that_may_be_flat_has_no_reflection():
    """x − 1 ± x: one of both signs is constant."""
    family = line_family(0, 1, (1, 0))
    assert check_signs(family).holds
    assert check_reflections(family, 20).failure == "unit 0 may vanish at the apex, or be flat"


def test_what_layers_must_be():
    one, two = torch.ones(1, 2, 3), torch.ones(1, 1, 2)
    assert layers_fault([(one, torch.ones(1, 2)), (two, torch.ones(1, 1))], 5, 3) is None
    assert layers_fault([(one.expand(5, 2, 3), torch.ones(5, 2)), (two, torch.ones(1, 1))], 5, 3) is None
    for layers, message in (
        ([(one, torch.ones(1, 2))], "`layers` must end with one output, got 2"),
        ([(one, torch.ones(1, 3)), (two, torch.ones(1, 1))], "`layers[0][1]` must have shape"),
        ([(one, torch.ones(1, 2)), (one, torch.ones(1, 2))], "`layers[1][0]` must have shape"),
        ([(one, torch.ones(1, 2)), (two * float("nan"), torch.ones(1, 1))], "`layers[1][0]` must be finite, got nan"),
        ([(one.expand(4, 2, 3), torch.ones(1, 2))], "`layers[0]` must hold 1 or 5 networks, got 4 weights and 1 bias"),
        ([(one, torch.ones(1, 2), two)], "`layers[0]` must be a pair"),
        ([], "`layers` must be at least one pair"),
    ):
        assert message in layers_fault(layers, 5, 3)


def test_an_output_within_its_rounding_error_is_named():
    """(x − 3/2)/10 is −1/20 and 1/20 at 1 and 2; x/10 − 1/10 and one ulp is 0 at 1, up to rounding."""
    points = torch.tensor([[1.0], [2.0]], dtype=torch.float64)
    weight = torch.full((2, 1, 1), 0.1, dtype=torch.float64)
    bias = torch.tensor([[-0.15], [math.nextafter(-0.1, 0)]], dtype=torch.float64)
    labels = torch.tensor([[False, True], [True, True]])
    assert signs_differ([(weight[:1], bias[:1])], labels[:1], points) is None
    failure = signs_differ([(weight, bias)], labels, points)
    assert failure.startswith("labeling 11: point 0, [1.0]: the output 1.38778e-17 is within the rounding error")
    assert "labeling 01: point 0" in signs_differ([(weight, -bias)], labels, points)


def test_answers_that_do_not_match_the_leaves():
    level = torch.zeros(2, 1, 3, 1)
    points, labels = torch.zeros(1, 1), torch.tensor([[True], [False]])
    leaf, values = torch.tensor([[2], [1]]), torch.tensor([[-1.0, -1.0, 1.0], [1.0, -1.0, 1.0]])
    assert wrong_answer(labels, values, leaf, [level], points) is None
    for wrong in ((values[:, :2], leaf), (values[:1], leaf), (values, leaf[:1])):
        assert "do not match 2 labelings and 3 leaves" in wrong_answer(labels, *wrong, [level], points)
