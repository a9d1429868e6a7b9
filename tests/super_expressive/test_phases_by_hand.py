"""Labels of one-weight families against triangle waves and half turns, and lists of labelings at their limits."""

import random
from fractions import Fraction

import pytest
import torch
from torch import nn

from constructions.super_expressive import FAMILIES, MOST_POINTS
from theory.super_expressive import checkers as one_weight
from theory.super_expressive.checkers import (
    FloatReport,
    every_labeling,
    exact_labels,
    realised_in_float,
    shattered_exactly,
    structured_and_random,
)


def by_hand(name, weight, k):
    labels, margins = [], []
    for i in range(1, k + 1):
        phase = Fraction(weight, (4 if name == "euaf" else 2) ** i)
        if name == "euaf":  # the distance from the nearest even integer
            height = abs(phase - 2 * round(phase / 2))
            labels.append(height > Fraction(1, 2))
            margins.append(abs(height - Fraction(1, 2)))
        else:  # positive on the first half of every turn of 2
            turn = phase - 2 * (phase // 2)
            labels.append(turn not in (0, 1) and turn < 1)
            margins.append(abs(phase - round(phase)))
    return labels, min(margins)


@pytest.mark.exact
@pytest.mark.parametrize("name", ["euaf", "sine"])
def test_labels_and_margins_are_those_of_the_wave(name):
    dice = random.Random(name)
    weights = [*range(-40, 41), *(dice.randint(-(10**9), 10**9) for _ in range(60))]
    for weight in weights:
        for k in (1, 2, 5):
            assert exact_labels(name, weight, k) == by_hand(name, weight, k)
    for k in (1, 3, 70):
        labelings = [[dice.randint(0, 1) for _ in range(k)] for _ in range(6)]
        report = shattered_exactly(name, k, labelings)
        weights = [FAMILIES[name].weight(labels) for labels in labelings]
        assert report.failure is None
        assert (report.points, report.labelings) == (k, 6)
        assert report.margin == min(by_hand(name, weight, k)[1] for weight in weights)


@pytest.mark.exact
def test_the_first_wrong_point_is_named(monkeypatch):
    honest = type(FAMILIES["euaf"]).weight
    for flipped in (0, 1, 4, 66):

        def weight(self, labels, flipped=flipped):
            return honest(self, [label ^ (i >= flipped) for i, label in enumerate(labels)])

        monkeypatch.setattr(type(FAMILIES["euaf"]), "weight", weight)
        labels = [1, 0] * 35
        report = shattered_exactly("euaf", 70, [labels, labels])
        assert report.failure == f"labeling {'10' * 32}: point {flipped + 1} gets {1 - labels[flipped]}"
        assert (report.points, report.labelings) == (70, 2)


def test_labelings_at_their_limits():
    for k in (1, 3):
        assert every_labeling(k) == [[int(digit) for digit in f"{n:0{k}b}"[::-1]] for n in range(2**k)]
    assert len(every_labeling(12)) == 4096
    for k in (0, 21):
        with pytest.raises(ValueError, match="`k` must be an integer between 1 and 20"):
            every_labeling(k)
    generator = torch.Generator().manual_seed(0)
    assert structured_and_random(1, 0, generator) == [[1], [0], [0], [1]]
    listed = structured_and_random(4, 30, generator)
    assert listed[:4] == [[1, 1, 1, 1], [0, 0, 0, 0], [0, 1, 0, 1], [1, 0, 1, 0]]
    assert len(listed) == 34
    assert {v for labels in listed[4:] for v in labels} == {0, 1}
    assert len(structured_and_random(MOST_POINTS, 0, generator)[0]) == MOST_POINTS
    for k, count, name in (
        (0, 1, "`k`"),
        (MOST_POINTS + 1, 1, "`k`"),
        (3, -1, "`random`"),
        (3, MOST_POINTS + 1, "`random`"),
    ):
        with pytest.raises(ValueError, match=name):
            structured_and_random(k, count, generator)
    for k in (0, MOST_POINTS + 1):
        with pytest.raises(ValueError, match="`k`"):
            exact_labels("euaf", 1, k)
        with pytest.raises(ValueError, match="`k`"):
            shattered_exactly("euaf", k, [[1]])
    for labels in ([1, 1.0], [1, -1], [1, 2], [1], [1, 1, 0], "10", {0, 1}, None, [1, None]):
        with pytest.raises(ValueError, match="`labelings` must be lists of 2 labels 0 and 1"):
            shattered_exactly("euaf", 2, [[1, 0], labels])
    assert shattered_exactly("euaf", 2, ((1, False), [True, 0])).holds


class Known(nn.Module):
    """Answers `outputs`, whatever it is asked."""

    def __init__(self, outputs):
        super().__init__()
        self.outputs = outputs

    def forward(self, x):
        return torch.stack([torch.tensor(self.outputs, dtype=torch.float64), -torch.ones(len(x)).double()], dim=1)


def test_float_networks_are_tried_up_to_a_limit(monkeypatch):
    tried = []

    def honest(name, labels, *, dtype, wrong=None):
        tried.append(labels)
        outputs = [1e-300 if label else 0.0 for label in labels]
        if labels == wrong:
            outputs[-1] = 1.0 - wrong[-1]
        return Known(outputs)

    def random_labelings(k, count, generator):
        return [[1] * k, [0] * k]

    monkeypatch.setattr(one_weight, "network", honest)
    monkeypatch.setattr(one_weight, "structured_and_random", random_labelings)
    generator = torch.Generator()
    assert realised_in_float("euaf", torch.float64, generator) == FloatReport(128, None)
    assert [len(labels) for labels in tried] == [k for k in range(1, 129) for _ in range(2)]
    assert realised_in_float("euaf", torch.float64, generator, limit=1) == FloatReport(1, None)
    monkeypatch.setattr(one_weight, "network", lambda *a, **o: honest(*a, **o, wrong=[0, 0, 0]))
    found = realised_in_float("euaf", torch.float64, generator, limit=5)
    assert found == FloatReport(3, "k = 3, labeling 000: point 3 gets 1 in torch.float64")
    assert realised_in_float("euaf", torch.float64, generator, limit=2).holds
    for limit in (0, 501):
        with pytest.raises(ValueError, match="`limit` must be an integer between 1 and 500"):
            realised_in_float("euaf", torch.float64, generator, limit=limit)
