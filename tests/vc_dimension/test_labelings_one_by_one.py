"""What decides a labeling: the first wrong answer, missing labelings, rounding errors, batches, against plain loops."""

import itertools
import math
import random
from dataclasses import replace

import pytest
import torch
from torch import nn

from constructions import BudgetExceeded
from constructions.vc_dimension import mixture, one_hidden_layer
from theory.vc_dimension.checkers import shattered_by_random_labelings, shattered_exhaustively
from theory.vc_dimension.checkers.labelings import _experts_fault, float64_is_exact
from theory.vc_dimension.checkers.networks import (
    check_networks,
    evaluate_with_slack,
    missing_labelings,
    shattered_by_modules,
    signs_differ,
    stacked_layers,
)
from theory.vc_dimension.checkers.report import ShatteringReport, distinct_points, wrong_label

NAN = math.nan


def double(values):
    return torch.tensor(values, dtype=torch.float64)


# --- reports ---------------------------------------------------------------------------------------------------


def test_a_report_of_nothing_does_not_hold():
    assert ShatteringReport(1, 0, 1, None).holds
    assert not ShatteringReport(0, 0, 0, "why").holds
    for points, evaluations in ((0, 1), (1, 0), (0, 0), (-1, 5)):
        with pytest.raises(ValueError, match=f"got {points} points and {evaluations} evaluations"):
            ShatteringReport(points, 0, evaluations, None)


def test_a_point_that_occurs_twice_is_named_with_its_number():
    points = [[1.0, 2.0], [2.0, 1.0], [1.0, 1.0], [2.0, 2.0]]
    assert distinct_points(double(points)) is None
    assert distinct_points(double([*points, [2.0, 1.0]])) == "the point [2.0, 1.0] occurs 2 times"
    assert (
        distinct_points(double([*points, [1.0, 1.0], [2.0, 2.0], [2.0, 2.0]])) == "the point [2.0, 2.0] occurs 3 times"
    )


def first_wrong(labels, outputs, points):
    """The sentence, from a loop: NaN is wrong for both labels."""
    wrong = [
        (b, i)
        for b, row in enumerate(labels)
        for i, label in enumerate(row)
        if not (outputs[b][i] > 0 if label else outputs[b][i] <= 0)
    ]
    if not wrong:
        return None
    b, i = wrong[0]
    word = "".join(str(int(label)) for label in labels[b])
    word = word if len(word) <= 80 else f"{word[:60]}… ({len(word)} labels)"
    return (
        f"labeling {word}: point {i}, {points[i]}, has label {int(labels[b][i])}, the network gives "
        f"{outputs[b][i]:g} ({len(wrong)} of {len(labels) * len(labels[0])} wrong in this batch)"
    )


def test_the_first_wrong_label_is_the_one_of_a_loop():
    dice = random.Random(1)
    holding = 0
    for number in range(200):
        size, k = dice.randint(1, 4), dice.choice((1, 2, 5, 80, 81))
        labels = [[dice.random() < 0.5 for _ in range(k)] for _ in range(size)]
        outputs = [[dice.choice((1.0, 1e-300)) if v else dice.choice((0.0, -2.0)) for v in row] for row in labels]
        for _ in range(number % 4):
            outputs[dice.randrange(size)][dice.randrange(k)] = dice.choice((NAN, 0.0, 1.0, -1.0))
        points = [[float(i), -float(i)] for i in range(k)]
        expected = first_wrong(labels, outputs, points)
        assert wrong_label(torch.tensor(labels), double(outputs), double(points)) == expected
        holding += expected is None
    assert 50 <= holding <= 150


def test_outputs_of_another_shape_prove_nothing():
    labels, points = torch.tensor([[True, False]]), double([[0.0], [1.0]])
    assert wrong_label(labels, double([[1.0, -1.0]]), points) is None
    assert wrong_label(labels, double([[1.0]]), points).startswith(
        "outputs (1, 1) at 2 points do not match labels (1, 2)"
    )
    assert wrong_label(labels, double([[1.0, -1.0]]), points[:1]).startswith("outputs (1, 2) at 1 points do not match")


# --- all labelings, and no others --------------------------------------------------------------------------------


def missing(rows, k):
    numbers = [sum(int(label) << i for i, label in enumerate(row)) for row in rows]

    def word(number):
        return "".join(str(number >> i & 1) for i in range(k))

    if len(set(numbers)) < len(numbers):
        most = max(numbers.count(number) for number in numbers)
        return f"labeling {word(min(n for n in numbers if numbers.count(n) == most))} occurs more than once"
    if len(numbers) != 2**k:
        absent = min(set(range(2**k)) - set(numbers))
        return f"{len(numbers)} of {2**k} labelings are there; {word(absent)} is missing"
    return None


def test_missing_and_repeated_labelings_are_those_of_a_loop():
    dice = random.Random(2)
    for _ in range(120):
        k = dice.randint(1, 4)
        numbers = list(range(2**k))
        dice.shuffle(numbers)
        numbers = numbers[: dice.randint(1, 2**k)] if dice.random() < 0.6 else numbers
        numbers += [dice.choice(numbers) for _ in range(dice.choice((0, 0, 1, 2)))]
        rows = [[number >> i & 1 for i in range(k)] for number in numbers]
        assert missing_labelings(torch.tensor(rows).bool()) == missing(rows, k)


def test_labelings_are_enumerated_up_to_a_limit(monkeypatch):
    assert missing_labelings(torch.zeros(1, 20, dtype=torch.bool)).startswith("1 of 1048576 labelings are there; 10000")
    with pytest.raises(BudgetExceeded, match="enumeration stops at 20 points"):
        missing_labelings(torch.zeros(1, 21, dtype=torch.bool))
    points = torch.arange(21.0)[:, None]
    with pytest.raises(BudgetExceeded, match="enumeration stops at 20 points"):
        shattered_by_modules(points, lambda labels: nn.Linear(1, 1))
    monkeypatch.setattr("theory.vc_dimension.checkers.networks.MAX_POINTS", 2)
    silent = nn.Sequential(linear([[0.0]], [0.0]))
    report = shattered_by_modules(points[:2], lambda labels: silent)
    assert (report.points, report.labelings, report.evaluations) == (2, 2, 4)
    assert report.failure.startswith("labeling 10: point 0, [0.0], has label 1, the network gives 0")
    with pytest.raises(BudgetExceeded, match="enumeration stops at 2 points"):
        shattered_by_modules(points[:3], lambda labels: silent)


# --- rounding errors -----------------------------------------------------------------------------------------------


def slack_by_hand(layers, points):
    """(outputs, bound) of one network, from the statement: (N + 2)u·(Σ|w||h| + |b|) a layer, carried on through |w|."""
    outputs, bounds = [], []
    for point in points:
        hidden, error = list(point), [0.0] * len(point)
        for i, (weight, bias) in enumerate(layers):
            hidden = [max(h, 0.0) for h in hidden] if i else hidden
            size = [
                sum(abs(w) * (abs(h) + e) for w, h, e in zip(row, hidden, error, strict=True)) + abs(b)
                for row, b in zip(weight, bias, strict=True)
            ]
            carried = [sum(abs(w) * e for w, e in zip(row, error, strict=True)) for row in weight]
            error = [
                1.01 * ((len(row) + 2) * 2.0**-53 * s + c) + 1e-300
                for row, s, c in zip(weight, size, carried, strict=True)
            ]
            hidden = [
                sum(w * h for w, h in zip(row, hidden, strict=True)) + b for row, b in zip(weight, bias, strict=True)
            ]
        outputs.append(hidden[0])
        bounds.append(error[0])
    return outputs, bounds


def test_the_bound_of_the_rounding_error_is_the_stated_one():
    dice = random.Random(3)
    for _ in range(60):
        widths = [dice.randint(1, 4) for _ in range(dice.randint(1, 3))] + [1]
        layers = [
            ([[dice.uniform(-3, 3) for _ in range(a)] for _ in range(b)], [dice.uniform(-3, 3) for _ in range(b)])
            for a, b in itertools.pairwise(widths)
        ]
        points = [[dice.uniform(-9, 9) for _ in range(widths[0])] for _ in range(3)]
        outputs, bounds = slack_by_hand(layers, points)
        found, slack = evaluate_with_slack([(double([w]), double([b])) for w, b in layers], double(points))
        assert found[0].tolist() == pytest.approx(outputs, rel=1e-12, abs=1e-12)
        assert slack[0].tolist() == pytest.approx(bounds, rel=1e-9, abs=0)
    nothing = [(double([[[0.0]]]), double([[0.0]]))]
    assert evaluate_with_slack(nothing, double([[1.0]]))[1].tolist() == [[1e-300]]


def test_the_first_unsure_output_is_named():
    """Rows and columns: 0.1·x − b, b beside a tenth of the point, is within the rounding error at that point alone."""
    points = double([[1.0], [3.0], [7.0]])
    weight = torch.full((3, 1, 1), 0.1, dtype=torch.float64)
    bias = double([[-0.2], [math.nextafter(-0.7, 0)], [math.nextafter(-0.3, 0)]])
    outputs = 0.1 * points[:, 0] + bias
    labels = outputs > 0
    sure, slack = evaluate_with_slack([(weight, bias)], points)
    assert (sure.abs() <= slack).tolist() == [[False] * 3, [False, False, True], [False, True, False]]
    failure = signs_differ([(weight, bias)], labels, points)
    assert failure.startswith(f"labeling {''.join(map(str, labels[1].int().tolist()))}: point 2, [7.0]: the output ")
    assert failure.endswith(f"is within the rounding error {float(slack[1, 2]):g} of 0")
    assert signs_differ([(weight[:1], bias[:1])], labels[:1], points) is None
    # an integer network that is 0 is exactly 0, and has label 0
    assert signs_differ([(double([[[0.0]]]), double([[0.0]]))], torch.zeros(1, 3, dtype=torch.bool), points) is None
    # a float one that is as large as its bound is not sure
    tiny = [(double([[[0.0]]]), double([[1.0000000000000004e-300]]))]
    assert evaluate_with_slack(tiny, double([[1.0]]))[1].tolist() == [[1.0000000000000004e-300]]
    assert "within the rounding error" in signs_differ(tiny, torch.tensor([[True]]), double([[1.0]]))


# --- batches ---------------------------------------------------------------------------------------------------------


def signs_of_16_points():
    """2¹⁶ networks Σ ±x_i on the unit vectors: one more than half of them in a second batch."""
    labels = (torch.arange(2**16)[:, None] >> torch.arange(16)) % 2 == 1
    return torch.eye(16, dtype=torch.float64), labels, [(labels.double()[:, None, :] * 2 - 1, torch.zeros(1, 1))]


@pytest.mark.exact
@pytest.mark.parametrize(
    ("broken", "done"), [(None, 2**16), (0, 2**15), (2**15 - 1, 2**15), (2**15, 2**16), (2**16 - 1, 2**16)]
)
def test_every_network_of_a_file_is_run_in_batches(broken, done):
    points, labels, layers = signs_of_16_points()
    if broken is not None:
        layers[0][0][broken, 0, 3] *= -1
    answer = (torch.full((1, 1, 1), 2.0), torch.full((1, 1), -1.0))  # shared: 2·relu(±1) − 1
    for reading in (layers, [(layers[0][0], torch.zeros(2**16, 1)), answer]):
        report = check_networks(points, labels, reading)
        assert (report.points, report.labelings, report.evaluations) == (16, done, 16 * done)
        word = None if broken is None else "".join(map(str, labels[broken].int().tolist()))
        assert report.failure is None if broken is None else report.failure.startswith(f"labeling {word}: point 3")


def wrong_at(shattered, number):
    """The set whose network of one labeling has the other output."""
    word = [bool(number >> i & 1) for i in range(shattered.size)]

    def weights(labels):
        layers = [(w.clone(), b.clone()) for w, b in shattered.weights(labels)]
        at = (labels == torch.tensor(word)).all(1)
        weight, bias = layers[-1]
        layers[-1] = (
            torch.where(at[:, None, None], -weight, weight),
            torch.where(at[:, None], -bias, bias),
        )
        return layers

    return replace(shattered, weights=weights), "".join(str(int(v)) for v in word)


@pytest.mark.exact
@pytest.mark.parametrize("number", [0, 1, 2**5 - 1])
def test_the_first_and_the_last_labeling_are_run(number):
    broken, word = wrong_at(one_hidden_layer(2, 2), number)
    report = shattered_exhaustively(broken)
    assert (report.points, report.labelings, report.evaluations) == (5, 32, 160)
    assert report.failure.startswith(f"labeling {word}: point 0")
    assert report.failure.endswith("(5 of 160 wrong in this batch)")


@pytest.mark.exact
@pytest.mark.parametrize(("number", "done"), [(0, 2**15), (2**15 - 1, 2**15), (2**15, 2**16), (2**16 - 1, 2**16)])
def test_all_labelings_are_run_in_batches(number, done):
    broken, word = wrong_at(one_hidden_layer(15, 1), number)
    report = shattered_exhaustively(broken)
    assert (report.points, report.labelings, report.evaluations) == (16, done, 16 * done)
    assert report.failure.startswith(f"labeling {word}: point 0")


def test_how_many_points_are_enumerated():
    two = one_hidden_layer(1, 1)
    assert shattered_exhaustively(two, max_points=2).holds
    with pytest.raises(BudgetExceeded, match="2\\^2 labelings, more than max_points = 1 allows"):
        shattered_exhaustively(two, max_points=1)
    for most in (0, 63):
        with pytest.raises(ValueError, match="`max_points`"):
            shattered_exhaustively(two, max_points=most)
    with pytest.raises(BudgetExceeded, match="2\\^21 labelings, more than max_points = 20 allows"):
        shattered_exhaustively(one_hidden_layer(20, 1))
    with pytest.raises(BudgetExceeded, match="2\\^63 labelings, more than max_points = 62 allows"):
        shattered_exhaustively(one_hidden_layer(62, 1), max_points=62)


def constant(shattered, value):
    """The set whose networks all answer `value`."""
    point = shattered.points.shape[1]
    bias = double([[float(value)]])
    return replace(
        shattered, weights=lambda labels: [(torch.zeros(len(labels), 1, point).double(), bias.expand(len(labels), 1))]
    )


def test_random_labelings_have_both_labels():
    shattered = one_hidden_layer(2, 2)
    for value in (1, -1):
        report = shattered_by_random_labelings(constant(shattered, value), 40, torch.Generator().manual_seed(0))
        assert (report.points, report.labelings, report.evaluations) == (5, 40, 200)
        wrong = int(report.failure.rsplit("(", 1)[1].split()[0])
        assert 60 < wrong < 140
    report = shattered_by_random_labelings(shattered, 1, torch.Generator().manual_seed(0))
    assert report.holds
    assert (report.labelings, report.evaluations) == (1, 5)


# --- modules ---------------------------------------------------------------------------------------------------------


def linear(weight, bias=None, dtype=torch.float64):
    layer = nn.Linear(len(weight[0]), len(weight), bias=bias is not None, dtype=dtype)
    with torch.no_grad():
        layer.weight.copy_(double(weight))
        if bias is not None:
            layer.bias.copy_(double(bias))
    return layer


def test_modules_are_asked_one_by_one():
    points = double([[1.0, 0.0], [0.0, 1.0]])
    asked = []

    def module_of(labels, wrong=None):
        asked.append(labels.tolist())
        signs = [1.0 if label else -1.0 for label in labels.tolist()]
        return nn.Sequential(linear([[-v for v in signs] if labels.tolist() == wrong else signs]))

    report = shattered_by_modules(points, module_of)
    assert report.holds
    assert (report.labelings, report.evaluations) == (4, 8)
    assert asked == [[False, False], [True, False], [False, True], [True, True]]
    for number, wrong in enumerate(list(asked), start=1):
        report = shattered_by_modules(points, lambda labels, wrong=wrong: module_of(labels, wrong))
        assert (report.points, report.labelings, report.evaluations) == (2, number, 2 * number)
        assert report.failure.startswith(f"labeling {''.join(str(int(v)) for v in wrong)}: point 0")
    asked.clear()
    report = shattered_by_modules(points[[0, 0]], module_of)
    assert report.failure == "the point [1.0, 0.0] occurs 2 times"
    assert (report.labelings, asked) == (0, [])


def test_stacks_become_layers():
    one, two = linear([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], [7.0, 8.0, 9.0]), linear([[1.0, -1.0, 2.0]])
    layers = stacked_layers(nn.Sequential(one, nn.ReLU(), two))
    assert [tuple(w.shape) for w, _ in layers] == [(1, 3, 2), (1, 1, 3)]
    assert layers[0][1].tolist() == [[7.0, 8.0, 9.0]]
    assert layers[1][1].tolist() == [[0.0]]
    assert stacked_layers(nn.Sequential(linear([[1.0]], [2.0], torch.float32)))[0][0].dtype is torch.float64
    for parts, message in (
        ((one, two), "alternate Linear and ReLU, got Linear at 1"),
        ((nn.ReLU(), one), "alternate Linear and ReLU, got ReLU at 0"),
        ((one, nn.ReLU(), nn.ReLU(), two), "alternate Linear and ReLU, got ReLU at 1"),
        ((one, nn.Tanh(), two), "alternate Linear and ReLU, got Tanh at 1"),
        ((one, nn.ReLU()), "must end with a Linear layer"),
        ((), "must end with a Linear layer"),
    ):
        with pytest.raises(TypeError, match=message):
            stacked_layers(nn.Sequential(*parts))
    with pytest.raises(TypeError, match="a Linear/ReLU stack or a known mixture, got Linear"):
        stacked_layers(one)
    short = linear([[1.0], [2.0]], [0.0, 0.0])
    short.bias = nn.Parameter(double([0.0]))
    with pytest.raises(ValueError, match=r"`module\[0\].bias` must have shape \(2\), got \(1,\)"):
        stacked_layers(nn.Sequential(short))
    holes = linear([[1.0]], [NAN])
    with pytest.raises(ValueError, match=r"`module\[2\].bias` must be finite"):
        stacked_layers(nn.Sequential(linear([[1.0]]), nn.ReLU(), holes))
    holes = linear([[NAN]], [1.0])
    with pytest.raises(ValueError, match=r"`module\[0\].weight` must be finite"):
        stacked_layers(nn.Sequential(holes))


# --- mixtures --------------------------------------------------------------------------------------------------------


def test_what_stacked_experts_must_be():
    def layers(first=1, second=1, experts=3, width=2, inputs=4, bias=2, outputs=1):
        return [
            (torch.ones(first, experts, width, inputs), torch.ones(second, experts, bias)),
            (torch.ones(1, experts, outputs, width), torch.ones(1, experts, outputs)),
        ]

    for first, second in ((1, 1), (1, 5), (5, 1), (5, 5)):
        assert _experts_fault(layers(first, second), 5, 3, 4) is None
    assert _experts_fault(layers(2, 1), 2, 3, 4) is None
    for first, second in ((2, 1), (1, 2), (4, 5), (6, 6)):
        assert _experts_fault(layers(first, second), 5, 3, 4) == (
            f"`layers[0]` must hold 1 or 5 mixtures, got {first} and {second}"
        )
    assert _experts_fault(layers(outputs=2), 5, 3, 4) == "`layers` must end with one output, got 2"
    assert "`layers[0][0]` must have shape (≥ 1, 3, ≥ 1, 4)" in _experts_fault(layers(experts=2), 5, 3, 4)
    assert "`layers[0][0]` must have shape (≥ 1, 3, ≥ 1, 4)" in _experts_fault(layers(inputs=5), 5, 3, 4)
    assert "`layers[0][1]` must have shape (≥ 1, 3, 2)" in _experts_fault(layers(bias=3), 5, 3, 4)
    holes = layers()
    holes[1][0][0, 2, 0, 1] = NAN
    assert _experts_fault(holes, 5, 3, 4) == "`layers[1][0]` must be finite, got nan"
    holes = layers()
    holes[1][1][0, 2, 0] = NAN
    assert _experts_fault(holes, 5, 3, 4) == "`layers[1][1]` must be finite, got nan"


def test_experts_must_be_exact_on_their_own_points_only():
    """One cell's networks with 2⁵² in place of 1: inexact in that cell, and no matter to the others."""
    honest = mixture(one_hidden_layer(2, 1), 3)
    for number in range(3):
        cell = honest.cells[number]

        def weights(labels, cell=cell):
            return [(w * 2.0**52, b) if i == 0 else (w, b) for i, (w, b) in enumerate(cell.weights(labels))]

        cells = [replace(c, weights=weights) if i == number else c for i, c in enumerate(honest.cells)]
        report = shattered_exhaustively(replace(honest, cells=tuple(cells)))
        assert report.failure == f"the weights of expert {number} are not integers that float64 evaluates exactly"


def test_points_of_other_cells_do_not_make_an_expert_inexact():
    """The first cell's units times 2^e: exact on its own points, and not on those of the last cell."""
    honest = mixture(one_hidden_layer(2, 1), 3)
    first, *others = honest.cells

    def scaled(labels, exponent):
        (weight, bias), *rest = first.weights(labels)
        return [(weight * 2.0**exponent, bias * 2.0**exponent), *rest]

    labels = torch.zeros(1, 3, dtype=torch.bool)
    between = [
        e
        for e in range(30, 53)
        if float64_is_exact(scaled(labels, e), first.points.double())
        and not float64_is_exact(scaled(labels, e), others[-1].points.double())
    ]
    assert between
    cell = replace(first, weights=lambda labels: scaled(labels, between[0]))
    assert shattered_exhaustively(replace(honest, cells=(cell, *others))).failure is None
