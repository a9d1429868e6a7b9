"""The benchmark runs to its end, and its ratios are what they are called."""

import importlib
import math
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]


@pytest.fixture
def benchmark(monkeypatch):
    """benchmarks/shapley_interactions.py, forgotten afterwards."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    monkeypatch.delitem(sys.modules, "shapley_interactions", raising=False)
    yield importlib.import_module("shapley_interactions")
    sys.modules.pop("shapley_interactions", None)


def test_it_runs_without_its_peer(benchmark, monkeypatch, capsys):
    monkeypatch.setattr(benchmark, "shapiq", None)
    monkeypatch.setattr(benchmark, "CASES", (("unanimity", 2, 102),))
    monkeypatch.setattr(benchmark, "SIZES", ((6, 2),))
    monkeypatch.setattr(benchmark, "many_players", lambda n, budget: [("ours", 0.5)])
    monkeypatch.setattr(sys, "argv", ["shapley_interactions.py", "--quick"])
    benchmark.main()
    said = capsys.readouterr().out
    for words in ("mean squared error, 5 seeds", "unanimity", "all coalitions: CPU time", "200 experts", "shapiq None"):
        assert words in said


def test_the_closed_form_that_times_are_checked_against(benchmark):
    soum = benchmark.SumOfUnanimity(7, 12, torch.Generator().manual_seed(0))
    truth = benchmark.moebius_route(soum, 3)
    found = benchmark.shapley_interactions(soum, 7, 3, "SII").orders
    assert max(float((a - b).abs().max()) for a, b in zip(found, truth, strict=True)) < 1e-14


def test_ratios_and_their_intervals(benchmark):
    ours, theirs = torch.tensor([1.0, 2, 3, 2]).double(), torch.tensor([2.0, 4, 6, 4]).double()
    row = benchmark.Accuracy("g", 10, 1, 1, True, ours, theirs, 1.0)
    assert row.ratio == pytest.approx((0.5, 0.5, 0.5))
    ratio, low, high = benchmark.Accuracy("g", 10, 1, 1, True, ours, theirs.flip(0) ** 2, 1.0).ratio
    assert low < ratio < high
    assert benchmark.Accuracy("g", 10, 1, 1, True, ours, None, 1.0).ratio is None
    assert benchmark.Accuracy("g", 10, 1, 1, True, ours * 1e-30, theirs, 1.0).ratio == (0, 0, 0)


def test_errors_are_mean_squares(benchmark, monkeypatch):
    monkeypatch.setattr(benchmark, "shapiq", None)
    rows = benchmark.accuracy("unanimity", 2, 256, seeds=3)
    assert [(r.order, r.paired) for r in rows] == [(1, False), (2, False), (1, True), (2, True)]
    assert all(len(r.ours) == 3 and math.isfinite(float(r.ours.sum())) for r in rows)
    assert float(rows[3].ours.max()) < 1e-25 < float(rows[1].ours.min())
    assert rows[0].scale == pytest.approx(3 * (1 / 3) ** 2 / 10)
