"""Upper bounds on how often the host waits for the device; `python -m tests.house.synchronisations` prints them."""

import pytest

from tests.house.synchronisations import CASES, measured
from theory.checkers.uniform_error import branch_and_bound, sampled

AT_MOST = {
    "routing 100,000 points, index rule": 0,
    # that all points are finite
    "routing 100,000 points, tree": 1,
    "routing 100,000 points, arrays of a tree": 1,
    "routing 100,000 points, tree from data": 1,
    "routing 100,000 points, arrays of a tree from data": 1,
    "routing 100,000 points, flat from data": 1,
    # that all points lie in the domain, and which axes the first layer reads
    "forward, 100,000 points": 2,
    "forward, 1,000 points": 2,
    # that all points lie in the domain, and that no weight but the known ones is not 0
    "forward, bit extraction, 1,000 points": 2,
    "forward, lazy, experts present": 7,
    # four numbers of each of 32 experts are read in exact arithmetic
    "certificate, branch and bound": 250,
    # 46, and 13 for every further 10 experts
    "simplices of 10 experts": 50,
    "8192 labelings, one chunk": 12,
    "all labelings of routers": 20,
    "all labelings of a mixture": 43,
}


@pytest.mark.parametrize("name", AT_MOST)
def test_the_host_seldom_waits(name):
    assert measured(name).total <= AT_MOST[name]


def test_training_waits_for_evaluations_not_for_steps():
    short, long, often = (
        measured(f"training, {case}").total
        for case in ("6 steps, 1 evaluation", "18 steps, 1 evaluation", "18 steps, 3 evaluations")
    )
    assert short == long <= 4
    assert often - long == 2 * 2


def test_a_batch_of_boxes_costs_four_waits(monkeypatch):
    """Finite values of f, two readings of bounds, the number of boxes left; eight more where the lower end rises."""
    batches, raised = [], []
    bounds, raise_lower = branch_and_bound._bounds, branch_and_bound.Search.raise_lower
    monkeypatch.setattr(branch_and_bound, "_bounds", lambda *a: batches.append(1) or bounds(*a))
    monkeypatch.setattr(branch_and_bound.Search, "raise_lower", lambda *a: raised.append(1) or raise_lower(*a))
    waits = measured("branch and bound, one bank").total
    assert len(batches) > 10
    # one rise belongs to the seeds, before the count
    assert waits <= 2 + 4 * len(batches) + 8 * (len(raised) - 1)


@pytest.mark.parametrize(("name", "once"), [("certificate, a priori", 235), ("certificate, sampled", 24)])
def test_a_step_of_ascent_costs_four_waits(monkeypatch, name, once):
    """A look at the domain, the axes that are read, f's values and the model's answers."""
    waits = {}
    for steps in (2, 6):
        monkeypatch.setattr(sampled, "ASCENT_STEPS", steps)
        waits[steps] = measured(name).total
    assert waits[6] - waits[2] == 4 * 4
    assert waits[2] <= once + 2 * 4


def test_every_case_is_bounded():
    elsewhere = {name for name in CASES if name.startswith(("training", "branch and bound, one", "certificate, "))}
    assert set(CASES) == set(AT_MOST) | elsewhere
