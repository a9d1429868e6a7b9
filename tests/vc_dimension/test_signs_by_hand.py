"""The ℓ₁ certificate and the reflections against loops over Python integers and fractions, at every limit."""

import math
import random
from dataclasses import replace

import pytest
import torch

from constructions import BudgetExceeded
from constructions.vc_dimension import one_hidden_layer, with_extra_layers
from tests.vc_dimension.sign_families import SIZES, double, family_of, value, varied, whole
from theory.vc_dimension.checkers.report import ShatteringReport
from theory.vc_dimension.checkers.signs import (
    SignFamily,
    _inexact,
    _is_identity,
    check_signs,
    probe_labelings,
    read_signs,
    require_affordable,
    require_sign_family,
)

# --- the certificate ------------------------------------------------------------------------------------------


def signs_by_hand(family, rows):
    """The report, one point and one unit at a time, `rows` points a batch."""
    points, base, directions = whole(family.points), whole(family.base), whole(family.directions)
    k, n, units = len(points), len(points[0]), len(base)
    largest, failure = -math.inf, None
    for start in range(0, k, rows):
        wrong, worst, at = None, -math.inf, None
        for p in range(start, min(k, start + rows)):
            for u in range(units):
                centre, moves = value(base[u], points[p]), [value(d, points[p]) for d in directions[u]]
                if p and (p - 1) // n == u:
                    right = centre == 0 and moves == [int(i == (p - 1) % n) for i in range(n)]
                    wrong = p if wrong is None and not right else wrong
                elif centre + sum(map(abs, moves)) > worst:
                    worst, at = centre + sum(map(abs, moves)), (p, u)
        largest = max(largest, worst)
        if wrong is not None:
            failure = f"point {wrong}: its own unit does not read its sign"
        elif largest > -1:
            p, u = at
            failure = f"unit {u} reaches {largest:g} > -1 at point {p}, {points[p]}"
        if failure is not None:
            break
    return ShatteringReport(k, 0, k * units * (n + 1), failure, largest)


@pytest.mark.exact
@pytest.mark.parametrize(("n", "width"), SIZES)
@pytest.mark.parametrize("rows", [1, 2, 3, 1000])
def test_the_certificate_is_the_one_of_a_loop(n, width, rows, monkeypatch):
    monkeypatch.setattr("theory.vc_dimension.checkers.signs.CERTIFICATE_CHUNK", rows * width * n)
    dice = random.Random(f"{n} {width} {rows}")
    family = family_of(n, width)
    found = set()
    for number in range(12):
        tried = varied(family, dice)
        part = (tried.base, tried.directions, tried.points)[number % 3]
        if number >= 3:
            place = tuple(dice.randrange(size) for size in part.shape)
            part[place] += dice.choice((-1, 1)) * dice.choice((1, 2, 40))
        if len({tuple(point) for point in whole(tried.points)}) < tried.size:
            continue
        expected = signs_by_hand(tried, rows)
        assert check_signs(tried) == expected
        found.add(expected.failure is None)
    assert found == {True, False}


@pytest.mark.exact
@pytest.mark.parametrize("rows", [1, 2, 5])
def test_a_unit_that_reaches_too_far_is_named(rows, monkeypatch):
    """Two units on the line, x − p ± (1 and c·(x − p)): −1 at the other point is enough, 0 is not."""
    monkeypatch.setattr("theory.vc_dimension.checkers.signs.CERTIFICATE_CHUNK", rows * 2)
    for near, c in ((-3, 0), (-2, 0), (-1, 0), (-3, 1), (-5, -1), (1, 0)):
        family = SignFamily(
            torch.tensor([[0], [8], [near]]),
            double([[1, -8], [-1, near]]),
            double([[[c, 1 - 8 * c]], [[0, 1]]]),
        )
        assert check_signs(family) == signs_by_hand(family, rows)


@pytest.mark.exact
def test_the_certificate_needs_the_apex_and_every_other_point():
    family = SignFamily(torch.tensor([[0], [2]]), double([[1, -2]]), double([[[0, 1]]]))
    assert check_signs(family) == ShatteringReport(2, 0, 4, None, -1)
    nearer = SignFamily(torch.tensor([[0], [1]]), double([[1, -1]]), double([[[0, 1]]]))
    assert check_signs(nearer).failure == "unit 0 reaches 0 > -1 at point 0, [0]"


@pytest.mark.exact
def test_sums_of_the_certificate_may_come_up_to_2_53():
    """Σ (|base| + Σ|d|)·max |x| over the coordinates, the constant's being 1; every unit for itself."""
    points, far = torch.tensor([[5], [-(2**30)], [0]]), 2**30
    for rest, right in ((2**53 - 1, True), (2**53, False)):
        for base, direction in (
            ([1, rest - far], [0, 0]),
            ([0, far - rest], [-1, 0]),
            ([-1, 0], [0, far - rest]),
            ([2, rest - 5 * far], [-3, 0]),
        ):
            forms = double([[0, 0], base]), double([[[0, 0]], [direction]])
            for order in ([0, 1], [1, 0]):
                found = _inexact(SignFamily(points, forms[0][order], forms[1][order]))
                assert found == (None if right else "the affine forms are too large for float64 to be exact")
    for place in range(3):
        parts = [points.double(), double([[1, 2], [0, 0]]), double([[[0, 1]], [[0, 0]]])]
        assert _inexact(SignFamily(*parts)) is None
        parts[place].view(-1)[1] += 0.5
        assert _inexact(SignFamily(*parts)) == "the affine forms or the points are not integers"
        assert check_signs(SignFamily(*parts)) == ShatteringReport(3, 0, 0, _inexact(SignFamily(*parts)))


@pytest.mark.exact
@pytest.mark.parametrize(("n", "width"), SIZES)
def test_networks_are_those_of_the_definition(n, width):
    """±(2 Σ_u relu(base_u + Σ_i s_{u,i}·d_{u,i}) − 1), + iff the apex has label 0; s = +1 iff another label than it."""
    dice = random.Random(f"networks {n} {width}")
    family = varied(family_of(n, width), dice)
    labels = torch.tensor([[dice.random() < 0.5 for _ in range(family.size)] for _ in range(9)])
    (weight, bias), (out, offset) = family.networks(labels)
    base, directions = whole(family.base), whole(family.directions)
    for b, row in enumerate(labels.tolist()):
        sign = -1 if row[0] else 1
        for u in range(width):
            s = [1 if row[1 + u * n + i] != row[0] else -1 for i in range(n)]
            form = [base[u][c] + sum(s[i] * directions[u][i][c] for i in range(n)) for c in range(n + 1)]
            assert whole(weight[b, u]) == form[:-1]
            assert int(bias[b, u]) == form[-1]
        assert whole(out[b]) == [[2 * sign] * width]
        assert whole(offset[b]) == [-sign]


def test_forms_that_do_not_fit_the_points():
    family = family_of(3, 2)
    assert require_sign_family(family).size == 7
    for change, message in (
        ({"points": family.points[:-1]}, "`base` must have a row for each of the 1 clusters, got 2 for 6 points"),
        ({"base": family.base[:1]}, "`base` must have a row for each of the 2 clusters, got 1 for 7 points"),
        ({"base": family.base[:, :-1]}, r"`base` must have shape \(≥ 1, 4\), got \(2, 3\)"),
        ({"directions": family.directions[:, :2]}, r"`directions` must have shape \(2, 3, 4\), got \(2, 2, 4\)"),
        ({"directions": family.directions[..., :3]}, r"`directions` must have shape \(2, 3, 4\), got \(2, 3, 3\)"),
        ({"directions": family.directions[:1]}, r"`directions` must have shape \(2, 3, 4\), got \(1, 3, 4\)"),
    ):
        with pytest.raises(ValueError, match=message):
            check_signs(replace(family, **change))


def test_a_certificate_of_three_points_has_a_price():
    """3·2·(n + 1) products, at most 2³⁶."""
    require_affordable(3, 2**36 // 6 - 1)
    with pytest.raises(BudgetExceeded, match=r"takes 6\.87e\+10 products, more than 6\.87e\+10"):
        require_affordable(3, 2**36 // 6)


# --- reading ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("k", "n"), [(2, 1), (5, 1), (5, 2), (7, 3), (13, 4)])
def test_probe_labelings_by_hand(k, n):
    labels = probe_labelings(k, n).tolist()
    assert len(labels) == 10 + n
    assert labels[0] == [False] * k
    assert labels[1] == [False] + [True] * (k - 1)
    for i in range(n):
        assert labels[2 + i] == [p > 0 and (p - 1) % n == i for p in range(k)]
    random_ones = [v for row in labels[2 + n :] for v in row]
    assert set(random_ones) == {True, False}
    assert k == 2 or {row[0] for row in labels[2 + n :]} == {True, False}


def layers_changed(shattered, change):
    def weights(labels):
        layers = [(w.clone(), b.clone()) for w, b in shattered.weights(labels)]
        return change(layers, labels) or layers

    return replace(shattered, weights=weights)


def flip_the_output_of_a_true_apex(layers, labels):
    layers[1][1][labels[:, 0]] += 2


def move_a_weight_of_a_mixed_labeling(layers, labels):
    layers[0][0][(labels[:, 1] & ~labels[:, 2]) & labels[:, 0], 1, 0] += 1


def move_a_bias_of_a_mixed_labeling(layers, labels):
    layers[0][1][(labels[:, 1] & ~labels[:, 2]) & labels[:, 0], 1] += 1


READINGS = [
    (lambda layers, labels: layers[:1], "the networks: `layers` must end with one output, got 2"),
    (
        lambda layers, labels: [(layers[0][0][:1], layers[0][1]), layers[1]],
        "first layer does not depend on the labeling",
    ),
    (
        lambda layers, labels: [(layers[0][0], layers[0][1][:1]), layers[1]],
        "first layer does not depend on the labeling",
    ),
    (lambda layers, labels: [(w * 2.0**52, b) for w, b in layers], "not integers that float64 evaluates exactly"),
    (flip_the_output_of_a_true_apex, "the output layer is not ±(2Σ − 1)"),
    (lambda layers, labels: [layers[0], (layers[1][0] * 2, layers[1][1])], "the output layer is not ±(2Σ − 1)"),
    (move_a_weight_of_a_mixed_labeling, "the hidden units are not affine functions of their clusters' signs"),
    (move_a_bias_of_a_mixed_labeling, "the hidden units are not affine functions of their clusters' signs"),
]


@pytest.mark.parametrize(("change", "message"), READINGS)
def test_networks_that_are_read_otherwise(change, message):
    honest = one_hidden_layer(2, 2)
    assert isinstance(read_signs(layers_changed(honest, lambda layers, labels: None)), SignFamily)
    assert message in read_signs(layers_changed(honest, change))


def test_a_single_layer_is_no_hidden_layer():
    one = layers_changed(one_hidden_layer(1, 1), lambda layers, labels: [layers[0]])
    assert read_signs(one) == "the first layer does not depend on the labeling"


def test_points_that_are_no_clusters():
    honest = one_hidden_layer(3, 2)
    for points, sentence in (
        (honest.points[:6], "6 points in R^3 are not clusters of n and an apex"),
        (honest.points[:3], "3 points in R^3 are not clusters of n and an apex"),
        (honest.points[:1], "1 points in R^3 are not clusters of n and an apex"),
    ):
        assert read_signs(replace(honest, points=points)) == sentence


def test_what_hands_on_unchanged():
    eye, none = torch.eye(3)[None].repeat(2, 1, 1), torch.zeros(2, 3)
    assert _is_identity(eye, none)
    for place in ((0, 0, 0), (1, 2, 2), (1, 0, 2)):
        other = eye.clone()
        other[place] += 1
        assert not _is_identity(other, none)
        assert not _is_identity(other, none + 1)
    for place in ((0, 0), (1, 2)):
        other = none.clone()
        other[place] = -1
        assert not _is_identity(eye, other)
    assert not _is_identity(eye, none + 1)
    assert _is_identity(torch.eye(2, 3)[None], torch.zeros(1, 2))  # the first two of three
    assert not _is_identity(torch.ones(1, 2, 3), torch.zeros(1, 2))
    deeper = with_extra_layers(one_hidden_layer(2, 3), 2)
    for layer in (1, 2):
        for part, place in ((0, (0, 1)), (1, (2,))):

            def change(layers, labels, layer=layer, part=part, place=place):
                layers[layer][part][(slice(None), *place)] += 1

            assert read_signs(layers_changed(deeper, change)) == "a layer behind the first one changes what it is given"
