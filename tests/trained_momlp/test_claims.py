"""Verdicts of the training experiments: a win, a loss, and a comparison rigged either way."""

import pytest
import torch

import theory.trained_momlp.reproductions as claims
from theory.claim import Context, Status
from theory.systems import REGISTRY
from theory.trained_momlp.experiments import TASKS, Comparison, _batch


def test_a_win_is_no_win_of_size(verdict_of):
    verdict = verdict_of("trained_momlp.weierstrass")
    methods = verdict.tables["methods"]
    parameters = dict(zip(methods.column("method"), methods.column("parameters"), strict=True))
    assert parameters["central"] >= parameters["momlp"]


@pytest.mark.parametrize(
    ("shift", "status"), [(-0.1, Status.NOT_REFUTED), (0.0, Status.INCONCLUSIVE), (0.1, Status.REFUTED)]
)
def test_the_verdict_follows_the_paired_interval(monkeypatch, shift, status):
    base = torch.linspace(0.2, 0.4, 10, dtype=torch.float64)
    noise = 0.01 * (-1.0) ** torch.arange(10, dtype=torch.float64)

    def rigged(task, **_):
        errors = {"momlp": base + shift + noise, "central": base, "active": base}
        sizes = {"momlp": 10, "central": 11, "active": 1}
        return Comparison(task, errors, sizes, sizes, dict.fromkeys(errors, 0.01), 10)

    monkeypatch.setattr(claims, "compare", rigged)
    verdict = claims.performance("checkerboard", Context())
    assert verdict.status is status
    differences = verdict.tables["differences"]
    assert differences.column("peer") == ("central", "active")
    assert differences.column("mean") == pytest.approx((shift, shift))
    for low, mean, high in zip(*(differences.column(name) for name in ("lower", "mean", "upper")), strict=True):
        assert low < mean < high
    assert verdict.tables["methods"].column("method") == ("momlp", "central", "active")


@pytest.mark.parametrize("name", list(TASKS))
def test_splits_are_fixed_and_shared(name):
    first, again, other = TASKS[name].split(0), TASKS[name].split(0), TASKS[name].split(1)
    assert torch.equal(first.x, again.x)
    assert torch.equal(first.test_y, again.test_y)
    assert not torch.equal(first.x, other.x)
    assert 0 < int(first.held.sum()) < len(first.x)


@pytest.mark.parametrize("defect", ["weights", "memory"])
def test_budgeted_training_that_differs_or_overflows_is_refuted(monkeypatch, defect):
    honest = claims.train_bank

    def spoiled(problem, rows, widths, options, *, budget_bytes, device):
        if defect == "memory":
            return honest(problem, rows, widths, options, device=device)  # ignores the budget
        trained = honest(problem, rows, widths, options, budget_bytes=budget_bytes, device=device)
        trained.rows[7, 0] += 1e-15 * (budget_bytes is not None)
        return trained

    monkeypatch.setattr(claims, "train_bank", spoiled)
    verdict = REGISTRY["trained_momlp.budgeted_training"].verdict(Context())
    assert verdict.status is Status.REFUTED
    assert ("expert 7 differs" if defect == "weights" else "peak") in verdict.witness


@pytest.mark.parametrize("name", ["checkerboard", "franke", "digits"])
def test_methods_see_the_same_number_of_points_a_step(name):
    task = TASKS[name]
    assert _batch(task, "central", 128) == _batch(task, "active", 128) == 128
    shared_out = _batch(task, "momlp", 128) * task.leaves
    assert 128 * task.overlap <= shared_out < 128 * task.overlap + task.leaves
