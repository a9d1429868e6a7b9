"""Claims about trained networks at sizes of a test, whole and with one part broken."""

from dataclasses import replace

import pytest
import torch

from constructions.scaling_laws.law import ScalingLaw
from constructions.scaling_laws.nyquist import NyquistLearner
from constructions.scaling_laws.training import Schedule
from theory.claim import Context, Status, Undecided
from theory.scaling_laws.reproductions import trained
from theory.scaling_laws.reproductions.trained import Grid

QUICK = Context()
LAW = ScalingLaw((8.0, 4.0), (0.5, 1.0), 0.02, 1.0)
SMALL = Grid((4, 6, 9, 16, 24), (64, 128, 256, 512, 1024), (16, 512), 2, Schedule(2, batch=8), 10, 20)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(trained, "QUICK", SMALL)
    monkeypatch.setattr(trained, "TARGET", (4, 8, 1))


def planted(monkeypatch, change=lambda errors: errors):
    """Networks are trained as ever, but their errors are those of a law in (n, m), the seeds 1 % apart."""
    true_train = Grid.train

    def train(self, target, context):
        grid = true_train(self, target, context)
        sizes, _ = grid.points()
        exact = LAW(sizes.flip(1)).view(len(grid.widths), len(grid.sizes))
        return replace(grid, errors=change(torch.stack([exact * 0.99, exact * 1.01])))

    monkeypatch.setattr(Grid, "train", train)


def test_a_planted_law_is_not_refuted(monkeypatch):
    planted(monkeypatch)
    verdict = trained.trained_grid(QUICK)
    assert verdict.status is Status.NOT_REFUTED
    assert verdict.numbers["held out: mean |delta|"] < 1e-4
    assert verdict.numbers["points fitted"] == 16 and verdict.numbers["points held out"] == 9  # noqa: PT018
    assert verdict.numbers["per seed: mean |delta|, low"] == pytest.approx(0.01, rel=0.02)


def test_shuffled_errors_decide_nothing(monkeypatch):
    order = torch.randperm(25, generator=torch.Generator().manual_seed(0))
    planted(monkeypatch, lambda errors: errors.flatten(1)[:, order].view_as(errors))
    with pytest.raises(Undecided, match=r"mean \|δ\| is"):
        trained.trained_grid(QUICK)


def test_constant_errors_decide_nothing(monkeypatch):
    # the best small error is as good there
    planted(monkeypatch, lambda errors: errors * 0 + 0.3)
    with pytest.raises(Undecided, match=r"mean \|δ\| is"):
        trained.trained_grid(QUICK)


def test_a_leak_is_found(monkeypatch):
    planted(monkeypatch)
    monkeypatch.setattr(trained, "fitted_points", lambda sizes, limits: sizes[:, 0] <= limits[0])
    with pytest.raises(Undecided, match="what was fitted: the fit saw 20 points, 16 are within the limits"):
        trained.trained_grid(QUICK)


def test_altered_errors_are_found(monkeypatch):
    true_students = trained.train_students

    def altered(*arguments, **options):
        grid = true_students(*arguments, **options)
        return replace(grid, errors=grid.errors * 0.9)

    monkeypatch.setattr(trained, "train_students", altered)
    with pytest.raises(Undecided, match="the errors of the grid: seed 0, width 4, size 64: error"):
        trained.trained_grid(QUICK)


# --- realizable targets -------------------------------------------------------------------------------


def realizable(monkeypatch, change=lambda errors: errors):
    true = trained._realizable

    def small(plan, context):
        grid, teacher = true(replace(plan, widths=(8,), schedule=Schedule(3)), context)
        n, seeds = torch.tensor(grid.sizes, dtype=torch.float64), len(grid.seeds)
        exact = (n**-0.7).expand(seeds, 1, -1) * torch.linspace(0.9, 1.1, seeds, dtype=torch.float64)[:, None, None]
        return replace(grid, errors=change(exact)), teacher

    monkeypatch.setattr(trained, "_realizable", small)


def test_a_power_law_has_its_slope(monkeypatch):
    realizable(monkeypatch)
    verdict = trained.realizable_error(QUICK)
    assert verdict.status is Status.NOT_REFUTED
    numbers = [verdict.numbers[k] for k in ("slope", "slope, low", "slope, high")]
    assert numbers == pytest.approx([-0.7] * 3)
    assert verdict.numbers["least error at the largest size"] == pytest.approx(0.9 * 2048**-0.7)
    assert verdict.numbers["teacher parameters"] == 253


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda errors: errors.flip(2), r"the slope's interval is \[0\.7"),
        (lambda errors: errors * 1e-3, "a student reaches"),
        (lambda errors: errors * torch.nan, r"the slope's interval is \[nan"),
    ],
)
def test_other_errors_decide_nothing(monkeypatch, change, reason):
    realizable(monkeypatch, change)
    with pytest.raises(Undecided, match=reason):
        trained.realizable_error(QUICK)


def test_a_teacher_that_errs_decides_nothing(monkeypatch):
    realizable(monkeypatch)
    true_network = trained.ReLUTarget.network

    def off(self):
        network = true_network(self)
        with torch.no_grad():
            network[0].bias.add_(0.1)
        return network

    monkeypatch.setattr(trained.ReLUTarget, "network", off)
    with pytest.raises(Undecided, match="the teacher itself has the error"):
        trained.realizable_error(QUICK)


def test_the_exploratory_claim_declares_nothing():
    verdict = trained.realizable_teacher(QUICK)
    assert verdict.status is Status.INCONCLUSIVE
    assert "no expectation is declared" in verdict.reason


# --- Nyquist learners against ReLU networks -------------------------------------------------------------


class OneDegreeLess(NyquistLearner):
    def __init__(self, bandwidth, dimension=1):
        super().__init__(bandwidth - 1, dimension)


@pytest.mark.parametrize(
    ("name", "broken", "reason"),
    [
        ("NyquistLearner", OneDegreeLess, "the Nyquist learner has the error"),
        ("_relu_errors", lambda functions, *a: [1e-7] * len(functions), "a ReLU network reaches 1.0e-07"),
        ("_relu_errors", lambda functions, *a: [float("nan")] * len(functions), "a ReLU network reaches nan"),
    ],
)
def test_broken_learners_decide_nothing(monkeypatch, name, broken, reason):
    monkeypatch.setattr(trained, "UNITS", 4)
    monkeypatch.setattr(trained, "Schedule", lambda steps: Schedule(2))
    monkeypatch.setattr(trained, name, broken)
    with pytest.raises(Undecided, match=reason):
        trained.nyquist_against_relu(QUICK)
