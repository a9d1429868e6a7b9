"""The search by branch and bound, step by step on banks whose every number is given."""

import math
from fractions import Fraction
from types import SimpleNamespace

import pytest
import torch

from constructions import LipschitzFunction
from theory.checkers.uniform_error import branch_and_bound as search_module
from theory.checkers.uniform_error.branch_and_bound import Goal, Search, _batches, _bounds, _refine, _seed
from theory.checkers.uniform_error.premises import Premise
from theory.checkers.uniform_error.share import WHOLE

DOUBLE = {"dtype": torch.float64}
ZERO = LipschitzFunction(lambda x: x[:, :1] * 0, n=1, lipschitz=0.0)


def tensor(values):
    return torch.tensor(values, **DOUBLE)


class Known:
    """One expert on [0, 1] that is `value` everywhere; tables and forward pass round by what is said."""

    def __init__(self, value=0.0, table_slack=0.0, forward_slack=0.0, moved=0.0):
        self.value, self.table_slack, self.forward_slack, self.moved = value, table_slack, forward_slack, moved

    def values(self, expert, piece, x):
        return torch.full((len(x), 1), self.value, **DOUBLE)

    def variation(self, expert, piece, centre, half):
        return torch.full((len(centre), 1), self.moved, **DOUBLE)

    def initial_boxes(self):
        one = torch.zeros(1, dtype=torch.int64)
        return one, one, tensor([[0.0]]), tensor([[1.0]])

    def seeds(self, most):
        assert most == 64
        ids = torch.zeros(3, dtype=torch.int64)
        return ids, ids, tensor([[0.25], [0.5], [0.75]])


def view_of(error=lambda x: x[:, 0] * 0):
    return SimpleNamespace(own_boxes=lambda boxes: boxes, errors=lambda f, x: error(x), share=WHOLE)


def search_of(goal=None, f=ZERO, eta=0.0, most=10**6, enclosed=False, **more):
    return Search(f, goal or Goal(), eta, most, enclosed, lambda message: None, **more)


# --- goals -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("goal", "lower", "threshold"),
    [
        (Goal(eps=0.5), 0.25, 0.5),
        (Goal(eps=0.5), 0.5, 0.5),
        (Goal(eps=0.5), math.nextafter(0.5, 1), math.inf),
        (Goal(eps=0.5, abs_tol=0.75), 0.25, 0.75),
        (Goal(gap=0.5), 2.0, 3.0),
        (Goal(gap=0.5), 0.0, 0.0),
        (Goal(gap=0.5, abs_tol=4.0), 2.0, 4.0),
        (Goal(eps=0.5, gap=0.25), 0.25, 0.3125),
        (Goal(eps=0.5, gap=0.25), 0.5, 0.5),
        (Goal(eps=0.5, gap=0.25), 2.0, 2.5),
        (Goal(), 1.0, 0.0),
        (Goal(abs_tol=0.5), 1.0, 0.5),
    ],
)
def test_what_needs_no_further_splitting(goal, lower, threshold):
    assert goal.threshold(lower) == threshold


def test_the_larger_of_both_lower_ends_counts_for_when_to_stop():
    for lower, elsewhere in ((1.0, 2.0), (2.0, 1.0)):
        search = search_of(Goal(gap=0.5), lower=lower, elsewhere=elsewhere)
        assert search.threshold == 3.0


# --- the lower end ---------------------------------------------------------------------------------------


def test_a_witness_is_the_best_candidate_less_what_is_not_known():
    search = search_of(eta=0.125)
    view = view_of(lambda x: x[:, 0])
    search.raise_lower(view, tensor([[0.5], [2.0], [1.0]]), 0.25)
    assert (search.lower, search.witness) == (2 - 0.125 - 0.25, (2.0,))
    search.raise_lower(view, tensor([[1.5]]), 0.0)
    assert (search.lower, search.witness) == (1.625, (2.0,))
    # the same again is no news
    search.raise_lower(view_of(lambda x: x[:, 0] * 0 + 2), tensor([[3.0]]), 0.25)
    assert search.witness == (2.0,)


def test_a_lower_end_is_never_negative():
    search = search_of(eta=0.5)
    search.raise_lower(view_of(), tensor([[0.5]]), 0.25)
    assert (search.lower, search.witness) == (0.0, (0.5,))
    search.raise_lower(view_of(lambda x: x[:, 0] * 0 + 0.75), tensor([[0.75]]), 0.25)
    assert (search.lower, search.witness) == (0.0, (0.5,))


def test_seeds_are_confirmed_with_all_slacks(monkeypatch):
    monkeypatch.setattr(search_module, "BATCH", 2)
    target = LipschitzFunction(lambda x: (x[:, :1] - 0.25).abs(), n=1, lipschitz=1.0)
    search, asked = search_of(f=target, eta=0.0625), []
    view = view_of(lambda x: asked.append(x.flatten().tolist()) or x[:, 0])
    _seed(view, Known(table_slack=0.125, forward_slack=0.25), search)
    # the best of each batch: |x − 1/4| at 1/4, 1/2 and at 3/4
    assert asked == [[0.5, 0.75]]
    assert (search.lower, search.evaluations) == (0.75 - 0.0625 - 0.375, 3)
    assert search.slack == 0.375 + 0.0625
    _seed(view, Known(), search)
    assert search.slack == 0.375 + 0.0625
    none = SimpleNamespace(own_boxes=lambda boxes: tuple(t[:0] for t in boxes), errors=None)
    empty = search_of()
    _seed(none, Known(), empty)
    assert (empty.witness, empty.evaluations, empty.lower, empty.upper) == (None, 0, 0.0, 0.0)


# --- bounds of boxes -------------------------------------------------------------------------------------


def test_a_bound_is_the_sum_of_its_parts_with_room_for_their_rounding():
    ids, centre, half = torch.zeros(1, dtype=torch.int64), tensor([[0.5]]), tensor([[0.25]])
    error, bound = _bounds(Known(moved=1.0), None, search_of(), ids, ids, centre, half)
    assert (error.tolist(), bound.tolist()) == ([0.0], [1 + 2.0**-49 + 2.0**-50])
    error, bound = _bounds(Known(value=1.0), None, search_of(), ids, ids, centre, half)
    assert (error.tolist(), bound.tolist()) == ([1.0], [1 + 2.0**-50])
    f = LipschitzFunction(lambda x: x[:, :1] * 0, n=1, lipschitz=4.0)
    _, bound = _bounds(Known(value=-2.0, moved=3.0), None, search_of(f=f), ids, ids, centre, half)
    assert 6 < float(bound) <= 6 * (1 + 1e-14)


def test_the_worst_output_counts():
    """Errors 1 and 2, which may grow by 4 and 1."""
    bank = SimpleNamespace(
        values=lambda expert, piece, x: tensor([[1.0, -2.0]]), variation=lambda *box: tensor([[4.0, 1.0]])
    )
    f = LipschitzFunction(lambda x: x[:, :1].expand(-1, 2) * 0, n=1, m=2, lipschitz=0.0)
    ids = torch.zeros(1, dtype=torch.int64)
    search = search_of(f=f)
    error, bound = _bounds(bank, None, search, ids, ids, tensor([[0.5]]), tensor([[0.25]]))
    assert (error.tolist(), search.evaluations) == ([2.0], 1)
    assert 5 <= float(bound) <= 5 * (1 + 1e-14)


def test_an_error_is_a_difference():
    one = LipschitzFunction(lambda x: x[:, :1] * 0 + 1, n=1, lipschitz=0.0)
    ids = torch.zeros(2, dtype=torch.int64)
    assert search_of(f=one).errors(Known(0.25), ids, ids, tensor([[0.0], [1.0]])).tolist() == [[0.75], [0.75]]


def test_the_worst_output_of_a_seed_counts():
    f = LipschitzFunction(lambda x: torch.cat([x * 0, x], 1), n=1, m=2, lipschitz=1.0)
    bank, asked = Known(), []
    bank.values = lambda expert, piece, x: torch.cat([x * 0, x * 0], 1)
    view = view_of(lambda x: asked.append(x.flatten().tolist()) or x[:, 0])
    _seed(view, bank, search_of(f=f))
    assert asked == [[0.75]]


@pytest.mark.usefixtures("by_width")
def test_the_largest_of_settled_bounds_counts():
    class Three(Known):
        def initial_boxes(self):
            ids = torch.zeros(3, dtype=torch.int64)
            return ids, ids, tensor([[0.0], [0.25], [0.75]]), tensor([[0.25], [0.75], [1.0]])

    assert refined(search_of(Goal(abs_tol=1.0)), Three()).upper == 0.25


def test_batches_are_parts_of_the_boxes(monkeypatch):
    monkeypatch.setattr(search_module, "BATCH", 2)
    boxes = (torch.arange(5), torch.arange(5) + 1, torch.zeros(5, 1), torch.ones(5, 1), torch.arange(5) * 2.0)
    parts = _batches(boxes, known=True)
    assert [part[0].tolist() for part in parts] == [[0, 1], [2, 3], [4]]
    assert [part[4].tolist() for part in parts] == [[0, 2], [4, 6], [8]]
    assert all(part[5] for part in parts)
    assert not any(part[5] for part in _batches(boxes, known=False))
    assert _batches(tuple(t[:0] for t in boxes), known=True) == []


# --- the upper end ---------------------------------------------------------------------------------------


@pytest.fixture
def by_width(monkeypatch):
    """The bound of a box is its half width, the error at its centre 0."""

    def bounds(bank, tables, search, expert, piece, centre, half):
        search.evaluations += len(centre)
        return centre[:, 0] * 0, (half[:, 0] / (1 + 2.0**-51))

    monkeypatch.setattr(search_module, "_bounds", bounds)


def refined(search, bank=None, view=None):
    _refine(view or view_of(), bank or Known(), search)
    return search


@pytest.mark.usefixtures("by_width")
@pytest.mark.parametrize(
    ("table", "forward", "eta", "upper", "boxes"),
    [
        # halves of 1/2, …: cut while the bound is above twice the slack
        (0.0625, 0.0, 0.0, 0.125, 1 + 2 + 4 + 8),
        (0.0, 0.0625, 0.0, 0.125, 1 + 2 + 4 + 8),
        (0.0, 0.0, 0.0625, 0.125, 1 + 2 + 4 + 8),
        (0.0625, 0.03125, 0.03125, 0.25, 1 + 2 + 4),
        (0.1, 0.0, 0.0, 0.1625, 1 + 2 + 4 + 8),
    ],
)
def test_boxes_are_cut_down_to_the_slack(table, forward, eta, upper, boxes):
    """At a bound of exactly twice the slack a box is settled."""
    search = refined(search_of(eta=eta), Known(table_slack=table, forward_slack=forward))
    assert search.upper == pytest.approx(upper, rel=1e-15)
    assert (search.evaluations, search.pieces) == (boxes, 1)
    assert not search.exhausted


@pytest.mark.usefixtures("by_width")
def test_balls_need_no_eta(monkeypatch):
    """And they ask the exact tables of the bank that they are given."""
    asked = []
    monkeypatch.setattr(search_module, "ExactTables", SimpleNamespace(of=asked.append))
    bank = Known(table_slack=0.0625)
    assert refined(search_of(eta=1.0, enclosed=True), bank).upper == 0.125
    assert asked == [bank]


@pytest.mark.usefixtures("by_width")
def test_the_goal_may_be_above_the_slack():
    for goal, upper in (
        (Goal(eps=0.25), 0.25),
        (Goal(eps=0.3), 0.25),
        (Goal(abs_tol=0.5), 0.5),
        (Goal(gap=1.0), 0.125),
    ):
        search = refined(search_of(goal, lower=0.0625 if goal.gap else 0.0), Known())
        assert search.upper == upper


@pytest.mark.usefixtures("by_width")
def test_a_search_may_spend_all_its_evaluations_and_no_more():
    for most, spent, upper in ((1, 1, 0.5), (2, 1, 0.5), (3, 3, 0.25), (6, 3, 0.25), (7, 7, 0.125)):
        search = refined(search_of(Goal(abs_tol=0.01), most=most))
        assert (search.exhausted, search.evaluations, search.upper) == (True, spent, upper)
    done = refined(search_of(Goal(abs_tol=0.125), most=7))
    assert (done.exhausted, done.evaluations, done.upper) == (False, 7, 0.125)
    # what another bank left open stays open, and so do all boxes once a search is exhausted
    late = refined(search_of(Goal(abs_tol=0.01), exhausted=True, upper=2.0))
    assert (late.evaluations, late.upper) == (1, 2.0)
    assert refined(search_of(Goal(abs_tol=0.01), exhausted=True, upper=0.25)).upper == 0.5


def test_a_part_is_bounded_by_its_parent_at_worst(monkeypatch):
    rest = iter([0.5, 0.75, 0.375, 0.25])

    def bounds(bank, tables, search, expert, piece, centre, half):
        search.evaluations += len(centre)
        return centre[:, 0] * 0, tensor([next(rest) for _ in centre])

    monkeypatch.setattr(search_module, "_bounds", bounds)
    search = search_of(Goal(abs_tol=0.01), most=3)
    assert refined(search).upper == 0.5


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("row", [0, 1])
def test_one_bound_that_is_no_number_ends_it(monkeypatch, bad, row):
    def bounds(bank, tables, search, expert, piece, centre, half):
        found = torch.full((len(centre),), 0.5, **DOUBLE)
        if len(centre) == 2:
            found[row] = bad
        return centre[:, 0] * 0, found

    monkeypatch.setattr(search_module, "_bounds", bounds)
    # a finite parent is a bound, whatever its part says; a NaN is none
    search = refined(search_of(Goal(abs_tol=0.25), most=3))
    assert search.upper == (math.inf if math.isnan(bad) else 0.5)

    class Two(Known):
        def initial_boxes(self):
            ids = torch.zeros(2, dtype=torch.int64)
            return ids, ids, tensor([[0.0], [0.5]]), tensor([[0.5], [1.0]])

    search = refined(search_of(Goal(abs_tol=1.0)), Two())
    assert search.upper == math.inf


def test_a_larger_error_at_a_centre_is_confirmed_and_an_equal_one_is_not():
    confirmed = []

    class Recorded(Search):
        def raise_lower(self, view, candidates, slack):
            confirmed.append((candidates.tolist(), slack))

    for lower in (0.25, 0.5, 0.75):
        search = Recorded(ZERO, Goal(abs_tol=2.0), 0.125, 10, False, lambda message: None, lower=lower)
        refined(search, Known(value=0.5, table_slack=0.25))
    assert confirmed == [([[0.5]], 0.375)]


def test_the_worst_centre_of_a_batch_is_confirmed():
    confirmed = []

    class Recorded(Search):
        def raise_lower(self, view, candidates, slack):
            confirmed.append(candidates.tolist())

    class Three(Known):
        def values(self, expert, piece, x):
            assert (expert.tolist(), piece.tolist()) == ([0, 1, 2], [5, 6, 7])
            return super().values(expert, piece, x)

        def initial_boxes(self):
            ids = torch.arange(3)
            return ids, ids + 5, tensor([[0.0], [0.25], [0.75]]), tensor([[0.25], [0.75], [1.0]])

    bump = LipschitzFunction(lambda x: 1 - (x[:, :1] - 0.5).abs(), n=1, lipschitz=1.0)
    for lower in (0.0, 0.9375):  # above the other two
        refined(Recorded(bump, Goal(abs_tol=8.0), 0.0, 10, False, lambda message: None, lower=lower), Three())
    assert confirmed == [[[0.5]]] * 2


def test_a_refuted_eps_ends_it():
    search = refined(search_of(Goal(eps=0.25)), Known(value=1.0), view_of(lambda x: x[:, 0] * 0 + 1))
    assert (search.lower, search.upper, search.evaluations) == (1.0, math.inf, 1)


def test_all_banks_are_seeded_refined_and_checked(monkeypatch):
    monkeypatch.setattr(search_module, "banks_of", lambda view: iter([(None, Known(0.5)), (None, Known(-0.25))]))
    answers = iter([None, None])
    monkeypatch.setattr(search_module, "forward_matches", lambda *args: next(answers))
    said, view = [], view_of(lambda x: x[:, 0] * 0 + 0.5)
    view.share = SimpleNamespace(meet=lambda lower: lower + 1)
    search = Search(ZERO, Goal(abs_tol=4.0), 0.0, 10**6, False, said.append)
    search_module.branch_and_bound(view, search)
    assert (search.lower, search.elsewhere, search.pieces) == (0.5, 1.5, 2)
    assert 0.5 <= search.upper <= 0.5 * (1 + 1e-14)
    assert [line.split(":")[0] for line in said] == ["seeding bank 1", "seeding bank 2", "bank 1", "bank 2"]
    wrong = Premise("forward() uses these weights", False, "no")
    answers = iter([None, wrong])
    search = Search(ZERO, Goal(abs_tol=4.0), 0.0, 10**6, False, said.append)
    search_module.branch_and_bound(view, search)
    assert (search.mismatch, search.upper, search.elsewhere) == (wrong, math.inf, 1.5)


def test_exact_fractions_of_a_box_are_its_halves():
    """No bit is lost where a box of full mantissas is halved: both parts have the middle in common."""
    lo, hi = 0.1, 0.7
    ids = torch.zeros(1, dtype=torch.int64)
    parts = search_module._halved(ids, ids, tensor([[lo]]), tensor([[hi]]), tensor([1.0]))
    (a, b), (c, d) = zip(parts[2].flatten().tolist(), parts[3].flatten().tolist(), strict=True)
    assert (a, b, d) == (lo, c, hi)
    assert abs(Fraction(b) - (Fraction(lo) + Fraction(hi)) / 2) <= Fraction(math.ulp(0.4))
