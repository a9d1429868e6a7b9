"""Instruments for trained and pruned networks, splits and the pruning law against objects broken on purpose."""

from dataclasses import replace

import pytest
import sympy
import torch

from constructions.scaling_laws import pruning
from constructions.scaling_laws.pruning import pruned_teacher_students, teacher_classes
from constructions.scaling_laws.pruning_law import PruningLaw
from constructions.scaling_laws.students import ReLUTarget, train_students
from constructions.scaling_laws.training import Schedule
from theory.scaling_laws.checkers.pruning_shape import (
    GAMMA,
    HIGH,
    LOW,
    P,
    Q,
    law_eq,
    plateaus_eq,
    slope,
    slope_eq,
    steepest_eq,
)
from theory.scaling_laws.checkers.split import fit_respects_split, fitted_points
from theory.scaling_laws.checkers.trained import PruningWitness, student_errors_eq

TARGET = ReLUTarget((5, 16, 1), 0)
PLAN = Schedule(20, batch=16, rate=1e-2)

# --- what was held out --------------------------------------------------------------------------------

SIZES = torch.cartesian_prod(torch.tensor([4.0, 8.0, 16.0]), torch.tensor([64.0, 128.0, 256.0])).double()
ERRORS = 1 / SIZES[:, 0] + 1 / SIZES[:, 1]
LIMITS = (8, 128)


def law(sizes):
    return 0.9 / sizes[:, 0] + 1.1 / sizes[:, 1]


def residuals(mask):
    return law(SIZES[mask]) / ERRORS[mask] - 1


def test_points_at_the_limits_are_fitted():
    assert SIZES[fitted_points(SIZES, LIMITS)].tolist() == [[4, 64], [4, 128], [8, 64], [8, 128]]
    assert fit_respects_split(law, residuals(fitted_points(SIZES, LIMITS)), SIZES, ERRORS, LIMITS).holds


def test_a_leaked_point_is_seen():
    leaked = fitted_points(SIZES, LIMITS)
    leaked[-1] = True
    report = fit_respects_split(law, residuals(leaked), SIZES, ERRORS, LIMITS)
    assert report.failure == "the fit saw 5 points, 4 are within the limits (8, 128)"


def test_a_strict_limit_is_seen():
    inside = (torch.tensor(LIMITS) > SIZES).all(1)
    report = fit_respects_split(law, residuals(inside), SIZES, ERRORS, LIMITS)
    assert report.failure == "the fit saw 1 points, 4 are within the limits (8, 128)"


def test_swapped_points_are_seen():
    fitted = fitted_points(SIZES, LIMITS)
    others = fitted.clone()
    others[0], others[-1] = False, True
    report = fit_respects_split(law, residuals(others), SIZES, ERRORS, LIMITS)
    assert report.failure.startswith("the residuals differ by")
    nan = residuals(fitted) * torch.nan
    assert fit_respects_split(law, nan, SIZES, ERRORS, LIMITS).failure.startswith("the residuals differ by nan")


def test_a_split_needs_both_sides():
    every = torch.ones(9, dtype=torch.bool)
    report = fit_respects_split(law, residuals(every), SIZES, ERRORS, (16, 256))
    assert report.failure == "9 points are within the limits, 0 beyond"


# --- students -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def grid():
    return train_students(TARGET, (3, 8), (50, 100), (0, 1), inputs=5, schedule=PLAN, validation=50, test=100)


def test_honest_students_hold(grid):
    assert student_errors_eq(grid, TARGET).holds


def test_an_altered_error_is_rejected(grid):
    errors = grid.errors.clone()
    errors[1, 0, 1] *= 1.0015
    failure = student_errors_eq(replace(grid, errors=errors), TARGET).failure
    assert failure.startswith("seed 1, width 3, size 100: error")


def test_a_permuted_grid_is_rejected(grid):
    assert student_errors_eq(replace(grid, errors=grid.errors.flip(2)), TARGET).failure.startswith(
        "seed 0, width 3, size 50"
    )
    swapped = replace(grid, stacks=grid.stacks[::-1])
    assert student_errors_eq(swapped, TARGET).failure == "the student of width 3 has 8 units"
    assert student_errors_eq(replace(grid, errors=grid.errors[:1]), TARGET).failure == "errors of shape (1, 2, 2)"


def test_another_target_is_rejected(grid):
    assert "off the standardised target" in student_errors_eq(grid, ReLUTarget((5, 16, 1), 1)).failure


# --- pruning ------------------------------------------------------------------------------------------

DATA = teacher_classes((0, 1), 200, test=150, widths=(4, 12, 5))


def watched(**options):
    witness = PruningWitness(*DATA.test, 0.5)
    curve = pruned_teacher_students(
        DATA, (4, 9), 2, (0, 1), PLAN, keep=0.5, rounds=3, rewind=5, finished=witness, **options
    )
    return witness, curve


def test_an_honest_pruning_holds():
    witness, curve = watched()
    assert witness.report(curve).holds
    assert len(witness.densities) == 4
    assert len(witness.densities[0]) == 4


def smallest(rows, among, count):
    magnitude = torch.where(among, rows.abs(), torch.inf)
    order = torch.argsort(magnitude, dim=1)
    chosen = torch.arange(rows.shape[1]) < count[:, None]
    return torch.zeros_like(among).scatter_(1, order, chosen) & among


def one_more(rows, among, count):
    return TRUE_LARGEST(rows, among, count + 1)


def others_back(rows, among, count):
    """From the second round on, the right number of weights that were pruned before."""
    first = torch.equal(among, WEIGHTS)
    return TRUE_LARGEST(rows, among, count) if first else TRUE_LARGEST(rows + 1, WEIGHTS & ~among, count)


TRUE_LARGEST = pruning.largest_weights
WEIGHTS = pruning.weight_places(pruning.Stack(4, [4, 4, 9, 9], 2, 5))


@pytest.mark.parametrize(
    ("broken", "failure"),
    [
        (smallest, "round 1, network 0: a weight is left that was smaller than one that is not"),
        (one_more, "round 1, network 0: 27 weights are left, 26 should be"),
        (others_back, "round 2, network 0: a weight that was pruned is back"),
    ],
)
def test_wrong_masks_are_rejected(monkeypatch, broken, failure):
    monkeypatch.setattr(pruning, "largest_weights", broken)
    witness, curve = watched()
    assert failure in witness.report(curve).failure


def test_pruned_weights_that_train_on_are_rejected(monkeypatch):
    true_train = pruning.train
    monkeypatch.setattr(pruning, "train", lambda *args, masks=None, **options: true_train(*args, **options))
    witness, curve = watched()
    assert witness.report(curve).failure.endswith("26 should be")


def test_a_round_that_was_not_seen_decides_nothing():
    witness = PruningWitness(*DATA.test, 0.5)
    later = lambda number, stack, masks: witness(number, stack, masks) if number else None  # noqa: E731
    curve = pruned_teacher_students(DATA, (4,), 2, (0, 1), PLAN, keep=0.5, rounds=2, rewind=5, finished=later)
    assert witness.report(curve).failure == "round 1, network 0: the round before was not seen"


def test_a_round_that_prunes_nothing_holds():
    # round(0.99·18) = 18
    witness = PruningWitness(*DATA.test, 0.99)
    curve = pruned_teacher_students(DATA, (2,), 1, (0, 1), PLAN, keep=0.99, rounds=1, rewind=5, finished=witness)
    assert witness.report(curve).holds
    assert curve.densities.tolist() == [[1.0, 1.0]] * 2


def test_an_altered_curve_is_rejected():
    witness, curve = watched()
    errors, densities = curve.errors.clone(), curve.densities.clone()
    errors[2, 1] += 3 / 150
    densities[3, 0] *= 0.9
    assert witness.report(replace(curve, errors=errors)).failure == "the curve's error is 2.00e-02 off the module's"
    assert witness.report(replace(curve, densities=densities)).failure.startswith("the curve's density is")
    assert witness.report(replace(curve, errors=curve.errors[:2])).failure.startswith(
        "the curve has error of shape (2, 4)"
    )
    assert witness.report(replace(curve, errors=curve.errors * torch.nan)).failure.startswith(
        "the curve's error is nan"
    )


# --- the pruning law's shape ----------------------------------------------------------------------------


def test_the_shape_holds():
    assert slope_eq(slope()).holds
    assert steepest_eq(P * sympy.sqrt(Q), -GAMMA * (Q - 1) / (Q + 1)).holds
    assert plateaus_eq((HIGH / LOW) ** (1 / GAMMA)).holds


def test_a_wrong_slope_is_rejected():
    assert slope_eq(-slope()).failure.startswith("the slope differs by")


def test_the_slope_at_p_is_not_the_steepest():
    assert steepest_eq(P, -GAMMA * (Q - 1) / (Q + 1)).failure == "ds/dd does not vanish at d = p"
    assert "the slope at d = p*sqrt(q) is" in steepest_eq(P * sympy.sqrt(Q), -GAMMA).failure


def test_a_ratio_without_the_root_is_rejected():
    assert plateaus_eq(HIGH / LOW).failure.startswith("at d = 0 the law is")


class WithoutTheRoot(PruningLaw):
    def ratio(self, eps_np):
        return self.high / eps_np


class SlopeGamma(PruningLaw):
    def steepest_slope(self, eps_np):
        return -self.gamma


class Shifted(PruningLaw):
    def __call__(self, density, depth, width, eps_np):
        return super().__call__(density * 1.001, depth, width, eps_np)


class AtP(PruningLaw):
    def density_for(self, target, depth, width, eps_np):
        return self.p / (depth**self.phi * width**self.psi)


@pytest.mark.parametrize(
    ("kind", "failure"),
    [
        (WithoutTheRoot, "names the steepest slope"),
        (SlopeGamma, "names the steepest slope -0.7"),
        (Shifted, "the law in code is"),
        (AtP, "the geometric mean is said to be at density"),
    ],
)
def test_a_broken_law_is_rejected(kind, failure):
    assert law_eq(PruningLaw(0.9, 0.7, 2.5, 0.7, 1.1), 0.1).holds
    assert failure in law_eq(kind(0.9, 0.7, 2.5, 0.7, 1.1), 0.1).failure
