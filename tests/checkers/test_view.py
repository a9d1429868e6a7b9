"""How a checker sees a model: its leaves, cells and answers, every limit from both sides."""

import math

import pytest
import torch
from torch import nn

from constructions import LipschitzFunction, build_momlp, targets
from constructions.functions.box import Box
from theory.checkers.uniform_error.cover import volume_cover
from theory.checkers.uniform_error.view import NotFinite, view_of

DOUBLE = {"dtype": torch.float64}
SQUARE = Box((0.0, -1.0), (1.0, 2.0))


def tensor(values):
    return torch.tensor(values, **DOUBLE)


class Foreign(nn.Module):
    """Three leaves on the square that answer as they are told."""

    num_leaves = 3

    def __init__(self, leaf=lambda x: torch.zeros(len(x), dtype=torch.int64), bounds=None, answer=lambda x: x):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1, **DOUBLE))
        self._leaf, self._bounds, self._answer = leaf, bounds, answer

    def forward(self, x):
        return self._answer(x)

    def route(self, x):
        return self._leaf(x)

    def expert(self, leaf):
        return nn.Linear(2, leaf + 1)

    def cell_bounds(self, leaf):
        return self._bounds


def view(**parts):
    return view_of(Foreign(**parts), SQUARE, 2, max_leaves=9)


POINTS = tensor([[0.0, 0.0], [0.5, 1.0]])

# --- routes and cells ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8])
def test_leaves_may_be_any_integers(dtype):
    for shape in ((2,), (2, 1)):
        found = view(leaf=lambda x, s=shape: torch.tensor([0, 2], dtype=dtype).reshape(s)).route(POINTS)
        assert (found.tolist(), found.dtype) == ([[0], [2]], torch.int64)


@pytest.mark.parametrize(
    ("leaf", "message"),
    [
        (torch.tensor([0.0, 1.0]), r"integer leaves \(2,\) for 2 points, got torch.float32 \(2, 1\)"),
        (torch.tensor([True, False]), r"got torch.bool \(2, 1\)"),
        (torch.tensor([0, 1, 2]), r"got torch.int64 \(3, 1\)"),
        (torch.tensor([[0, 1], [1, 0]]), r"got torch.int64 \(2, 2\)"),
        ([0, 1], "got list"),
        (torch.tensor([0, 3]), r"leaves below \(3,\), got \[3\] at x = \[0.5, 1.0\]"),
        (torch.tensor([-1, 0]), r"leaves below \(3,\), got \[-1\] at x = \[0.0, 0.0\]"),
    ],
)
def test_other_leaves_are_refused(leaf, message):
    with pytest.raises(ValueError, match=message):
        view(leaf=lambda x: leaf).route(POINTS)


def test_every_index_of_a_lattice_leaf_has_its_limit(monkeypatch):
    f = targets.get("cone", n=3)
    model = build_momlp(f, eps=0.4)
    seen = view_of(model, f.domain, 1, max_leaves=10**6)
    x = torch.full((1, 3), 0.5, **DOUBLE)
    last = torch.tensor([[c - 1 for c in model.cells]])
    monkeypatch.setattr(type(model), "route", lambda self, x: last)
    assert seen.route(x).tolist() == last.tolist()
    for axis in range(last.shape[1]):
        beyond = last.clone()
        beyond[0, axis] += 1
        monkeypatch.setattr(type(model), "route", lambda self, x, b=beyond: b)
        with pytest.raises(ValueError, match="must give leaves below"):
            seen.route(x)


@pytest.mark.parametrize(
    "ends",
    [
        ([0.0, -1.0], [1.0, 2.0]),
        [torch.zeros(2), torch.zeros(2)],
        (torch.tensor([0.25, 0.0]), tensor([0.25, 0.5])),
    ],
)
def test_cells_are_taken_as_stated(ends):
    lower, upper = view(bounds=ends).bounds(torch.tensor([[0], [2], [0]]))
    for found, end in ((lower, ends[0]), (upper, ends[1])):
        expected = end.double() if isinstance(end, torch.Tensor) else tensor(end)
        assert torch.equal(found, expected.expand(3, -1))


GOOD = (tensor([0.0, 0.0]), tensor([1.0, 1.0]))


@pytest.mark.parametrize(
    "ends",
    [
        None,
        GOOD[:1],
        (*GOOD, GOOD[0]),
        torch.stack(GOOD),
        (GOOD[0][:1], GOOD[1]),
        (GOOD[0], GOOD[1][:1]),
        (GOOD[0].long(), GOOD[1]),
        (GOOD[0], GOOD[1].half()),
        (tensor([0.0, math.nan]), GOOD[1]),
        (GOOD[0], tensor([math.inf, 1.0])),
        (tensor([-math.inf, 0.0]), GOOD[1]),
        (tensor([0.0, 1.5]), GOOD[1]),
    ],
)
def test_other_cells_are_refused(ends):
    with pytest.raises(ValueError, match=r"`model.cell_bounds\(0\)` must be two finite corners \(2,\), lower <= upper"):
        view(bounds=ends).bounds(torch.tensor([[0]]))


def test_every_foreign_leaf_has_its_own_cell_and_expert():
    model = Foreign()
    model.cell_bounds = None
    del model.cell_bounds
    rows = [(tensor([leaf / 4, 0.0]), tensor([(leaf + 1) / 4, 1.0])) for leaf in range(3)]
    type(model).cell_bounds, honest = (lambda self, leaf: rows[leaf]), type(model).cell_bounds
    try:
        seen = view_of(model, SQUARE, 2, max_leaves=9)
        lower, upper = seen.bounds(torch.tensor([[2], [0], [1], [2]]))
    finally:
        type(model).cell_bounds = honest
    assert (lower[:, 0].tolist(), upper[:, 0].tolist()) == ([0.5, 0.0, 0.25, 0.5], [0.75, 0.25, 0.5, 0.75])
    assert seen.expert(torch.tensor([2])).out_features == 3


def test_reach_is_wider_by_8_u_of_a_side_and_2_u_of_the_numbers():
    f = LipschitzFunction(lambda x: x[:, :1] * 0, n=1, lipschitz=0.0, domain=(-3, 1))
    unit = 2.0**-53
    model = Foreign(bounds=([0.0], [0.5]))
    seen = view_of(model, f.domain, 1, max_leaves=9)
    margin = 4 * 8 * unit + 3 * 2 * unit
    assert [float(e) for e in seen.reach(torch.tensor([[0]]))] == [-margin, 0.5 + margin]
    model._bounds = ([-3.0], [1.0])
    assert [float(e) for e in seen.reach(torch.tensor([[0]]))] == [-3, 1]


# --- answers ---------------------------------------------------------------------------------------------


def test_errors_are_those_of_the_worst_output():
    f = LipschitzFunction(lambda x: x * 0, n=2, m=2, lipschitz=0.0, domain=((0, 1), (-1, 2)))
    assert view(answer=lambda x: tensor([[1.0, -3.0], [2.0, 0.5]])).errors(f, POINTS).tolist() == [3.0, 2.0]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("output", [0, 1])
def test_one_answer_that_is_no_number_is_named(bad, output):
    def answer(x):
        y = x.clone()
        y[1, output] = bad
        return y

    with pytest.raises(NotFinite, match=r"at x = \[0.5, 1.0\] \(leaf \[2\]\)") as fault:
        view(answer=answer, leaf=lambda x: torch.full((len(x),), 2)).forward(POINTS)
    assert fault.value.x == [0.5, 1.0]


@pytest.mark.parametrize(
    "answer", [lambda x: x[:1], lambda x: x[:, :1], lambda x: x.half(), lambda x: x.long(), lambda x: x.tolist()]
)
def test_other_answers_are_refused(answer):
    with pytest.raises(ValueError, match=r"`model` must map \(B, 2\) to \(B, 2\) float64 or float32"):
        view(answer=answer).forward(POINTS)
    found = view(answer=lambda x: x.float()).forward(POINTS)
    assert found.dtype == torch.float64


# --- views -----------------------------------------------------------------------------------------------


def test_all_leaves_are_seen_up_to_the_most():
    f = targets.get("cone", n=3)
    model = build_momlp(f, eps=0.4)
    whole = view_of(model, f.domain, 1, max_leaves=model.num_leaves)
    assert torch.equal(whole.every, model.tree.leaf_indices())
    assert whole.complete
    some = view_of(model, f.domain, 1, max_leaves=model.num_leaves - 1, seed=3)
    generator = torch.Generator().manual_seed(3)
    columns = [torch.randint(c, (model.num_leaves - 1,), generator=generator) for c in model.cells]
    assert torch.equal(some.every, torch.unique(torch.stack(columns, dim=1), dim=0))
    assert (some.total, some.complete) == (model.num_leaves, False)


def test_foreign_mixtures_have_up_to_4096_leaves():
    model = Foreign()
    model.num_leaves = 4096
    assert view_of(model, SQUARE, 2, max_leaves=1).every.tolist() == [[leaf] for leaf in range(4096)]
    model.num_leaves = 4097
    with pytest.raises(ValueError, match=r"`model` has 4097 leaves; .* up to 4096"):
        view_of(model, SQUARE, 2, max_leaves=10**6)
    ends = torch.linspace(0, 1, 4098, **DOUBLE)[:, None]
    found = volume_cover("cover", ends[:-1], ends[1:], Box((0.0,), (1.0,)))
    assert found.detail == "4097 cells are no product of adjacent intervals"


@pytest.mark.parametrize("one_function", [True, False])
def test_plain_networks_are_one_function(one_function):
    seen = view_of(nn.Linear(2, 1), SQUARE, 1, max_leaves=9, one_function=one_function)
    assert (seen.total, seen.routed, seen.every.tolist(), seen.complete) == (1, False, [[0]], True)
    assert seen.route(POINTS).tolist() == [[0], [0]]
    assert [e.tolist() for e in seen.bounds(seen.leaves)] == [[[0, -1]], [[1, 2]]]
    assert view_of(Foreign(), SQUARE, 2, max_leaves=9, one_function=one_function).routed


def test_a_part_of_the_protocol_is_no_function_unless_it_is_asked_for():
    class Routes(nn.Linear):
        def route(self, x):
            return torch.zeros(len(x))

    model = Routes(2, 1)
    with pytest.raises(ValueError, match="use method='sampled'"):
        view_of(model, SQUARE, 1, max_leaves=9)
    seen = view_of(model, SQUARE, 1, max_leaves=9, one_function=True)
    assert (seen.total, seen.routed, seen.every.tolist(), seen.complete) == (1, False, [[0]], True)


def test_only_code_of_this_package_and_plain_layers_are_read_whole():
    f = targets.get("cone", n=2)
    assert view_of(build_momlp(f, eps=0.3), f.domain, 1, max_leaves=10**6).read_whole
    assert view_of(nn.Linear(2, 1), SQUARE, 1, max_leaves=9).read_whole
    assert not view_of(Foreign(), SQUARE, 2, max_leaves=9).read_whole
