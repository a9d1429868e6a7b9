"""Super-expressive neurons: exact labels against the modules, claims, and wrong weights rejected."""

import pytest
import torch

from constructions.super_expressive import FAMILIES
from theory.super_expressive.checkers import every_labeling, realised_in_float, shattered_exactly


def test_where_floating_point_first_fails(verdict_of):
    rows = verdict_of("super_expressive.floating_point").tables["failures"].rows
    assert {("euaf", "float32", 13), ("euaf", "float64", 28), ("sine", "float64", 53)} < set(rows)
    assert len(rows) == 4


@pytest.mark.exact
@pytest.mark.parametrize("name", ["euaf", "sine"])
def test_all_labelings_exactly(name):
    for k in (1, 2, 5, 10):
        report = shattered_exactly(name, k, every_labeling(k))
        assert report.holds, report.failure
        assert report.labelings == 2**k


@pytest.mark.parametrize("name", ["euaf", "sine"])
def test_a_wrong_weight_is_named(name, monkeypatch):
    family = FAMILIES[name]
    honest = type(family).weight
    monkeypatch.setattr(type(family), "weight", lambda self, labels: honest(self, labels) + 2 * self.base**2)
    report = shattered_exactly(name, 4, every_labeling(4))
    assert not report.holds
    assert "labeling" in report.failure
    assert "point" in report.failure


def test_no_failure_is_reported_while_the_weight_fits():
    report = realised_in_float("euaf", torch.float64, torch.Generator().manual_seed(1), limit=27)
    assert (report.holds, report.points) == (True, 27)
