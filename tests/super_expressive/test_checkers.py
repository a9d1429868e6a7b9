"""One-weight families decided in integers: values by hand, and arguments that prove nothing."""

from fractions import Fraction

import pytest
import torch
from torch import nn

from theory.super_expressive import checkers as one_weight
from theory.super_expressive.checkers import (
    FloatReport,
    every_labeling,
    exact_labels,
    realised_in_float,
    shattered_exactly,
    structured_and_random,
)


@pytest.mark.exact
@pytest.mark.parametrize(
    ("name", "weight", "labels", "margin"),
    [
        ("euaf", 0, [False, False], Fraction(1, 2)),
        ("euaf", 2, [False, False], Fraction(0)),  # phases 1/2 and 1/8: 1/2 itself is label 0
        ("euaf", 3, [True, False], Fraction(1, 4)),
        ("euaf", 4, [True, False], Fraction(1, 4)),  # phases 1 and 1/4
        ("euaf", 6, [False, False], Fraction(0)),  # 3/2 folds to 1/2
        ("euaf", 5, [True, False], Fraction(3, 16)),  # 5/4 folds to 3/4
        ("euaf", -4, [True, False], Fraction(1, 4)),  # −1 is 1 modulo 2, and −1/4 is 7/4, folded to 1/4
        ("sine", 1, [True, True], Fraction(1, 4)),
        ("sine", 2, [False, True], Fraction(0)),  # phase 1: the sine of π is 0, label 0
        ("sine", 3, [False, True], Fraction(1, 4)),
        ("sine", 4, [False, False], Fraction(0)),
        ("sine", 7, [False, False], Fraction(1, 4)),
    ],
)
def test_labels_and_margins_by_hand(name, weight, labels, margin):
    assert exact_labels(name, weight, 2) == (labels, margin)


@pytest.mark.exact
def test_reports_and_labelings():
    assert every_labeling(2) == [[0, 0], [1, 0], [0, 1], [1, 1]]
    listed = structured_and_random(3, 2, torch.Generator().manual_seed(0))
    assert listed[:4] == [[1, 1, 1], [0, 0, 0], [0, 1, 0], [1, 0, 1]]
    assert len(listed) == 6
    assert len({len(labels) for labels in listed}) == 1
    assert {v for labels in listed for v in labels} == {0, 1}
    report = shattered_exactly("euaf", 2, [[1, 0], [True, True]])
    assert (report.points, report.labelings, report.holds) == (2, 2, True)
    assert report.margin == Fraction(1, 4)


def test_a_wrong_weight_names_the_labeling_and_the_point(monkeypatch):
    family = one_weight.FAMILIES["euaf"]
    monkeypatch.setattr(type(family), "weight", lambda self, labels: 4)
    report = shattered_exactly("euaf", 2, [[1, 0], [0, 1], [1, 1]])
    assert report.failure == "labeling 01: point 1 gets 1"
    assert (report.labelings, report.margin) == (3, Fraction(1, 4))


@pytest.mark.parametrize("labelings", [[], (), None, [[1]], [[1, 0, 1]], [[1, 2]], [[0.5, 1]], ["10"], [None], 3])
def test_labelings_that_prove_nothing(labelings):
    with pytest.raises(ValueError, match="`labelings` must be"):
        shattered_exactly("sine", 2, labelings)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda g: exact_labels("relu", 1, 1), "`name`"),
        (lambda g: exact_labels(["euaf"], 1, 1), "`name`"),
        (lambda g: exact_labels("euaf", 1, 0), "`k`"),
        (lambda g: exact_labels("euaf", 1, 10**9), "`k`"),
        (lambda g: shattered_exactly("euaf", 0, [[]]), "`k`"),
        (lambda g: every_labeling(60), "`k` must be an integer between 1 and 20"),
        (lambda g: structured_and_random(3, -1, g), "`random`"),
        (lambda g: realised_in_float("euaf", torch.float64, g, limit=0), "`limit`"),
        (lambda g: realised_in_float("euaf", torch.float64, g, limit=10**6), "`limit`"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(torch.Generator())


def test_bad_types_are_named():
    with pytest.raises(TypeError, match="`weight`"):
        exact_labels("euaf", 1.5, 1)
    with pytest.raises(TypeError, match="`generator`"):
        structured_and_random(3, 1, 0)
    for dtype in (torch.int64, "float64", None):
        with pytest.raises(TypeError, match="`dtype`"):
            one_weight.network("euaf", [1], dtype=dtype)


def test_an_output_of_nan_is_no_label(monkeypatch):
    class Nothing(nn.Module):
        def forward(self, x):
            return torch.full((len(x), 1), torch.nan, dtype=torch.float64)

    monkeypatch.setattr(one_weight, "network", lambda *arguments, **options: Nothing())
    found = realised_in_float("euaf", torch.float64, torch.Generator(), limit=1)
    assert not found.holds
    assert found == FloatReport(1, "k = 1, labeling 1: point 1 gets -1 in torch.float64")


def test_a_float_failure_names_the_point():
    found = realised_in_float("euaf", torch.float32, torch.Generator().manual_seed(0))
    assert found.points == 13
    assert found.failure.startswith("k = 13, labeling ")
    assert found.failure.endswith("in torch.float32")
