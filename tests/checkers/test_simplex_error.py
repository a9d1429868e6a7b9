"""What is measured on the simplices, against loops over vertices; and forward passes beside them."""

import dataclasses
import itertools
import math
from fractions import Fraction
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from constructions import LipschitzFunction
from constructions.functions.modulus import Modulus
from theory.checkers.uniform_error import simplex_error
from theory.checkers.uniform_error.simplex_error import Measured
from theory.checkers.uniform_error.simplices import AffinePieces, Grid, simplex_vertices

DOUBLE = {"dtype": torch.float64}
U = 2.0**-53


def tensor(values):
    return torch.tensor(values, **DOUBLE)


def target(n, m=1, domain=None, modulus=None):
    def fn(x):
        return torch.stack([(x * torch.arange(1 + j, n + 1 + j)).sum(-1) + j for j in range(m)], dim=1)

    more = {"lipschitz": 50.0} if modulus is None else {"modulus": modulus}
    return LipschitzFunction(fn, n=n, m=m, domain=domain, **more)


def value_at(x, j=0):
    return sum(c * (a + 1 + j) for a, c in enumerate(x)) + j


def pieces_at(grid, vertices, values, size):
    """Experts whose grids all lie where `grid` says."""
    return AffinePieces(grid, vertices, values, size, tensor(grid.shift).expand(len(values), -1))


def view_of_cells(lower, upper):
    return SimpleNamespace(reach=lambda leaves: (tensor(lower), tensor(upper)))


# --- measuring -------------------------------------------------------------------------------------------

# K = 2 on the axes 0 and 2 of three: x_0 in [0, 1/2, 1], x_2 in [1, 3, 5]
PLANE = Grid(2, (0, 2), (2.0, 0.5), (2.0, 2.5), (0, 1))
CELLS = ([[-0.25, -1.0, 1.0], [0.0, 1.0, 1.0]], [[1.0, 1.0, 5.0], [1.0, 4.0, 6.0]])
HOELDER = Modulus.holder(3.0, 0.5)


def positions(grid, lo, hi):
    """Where the vertices are along each axis of the grid, cut at the domain."""
    return [
        [min(max((z - grid.cells + b) / w, lo[a]), hi[a]) for z in range(grid.cells + 1)]
        for a, w, b in zip(grid.axes, grid.slope, grid.shift, strict=True)
    ]


@pytest.mark.parametrize("modulus", [None, HOELDER])
def test_two_experts_on_a_plane(modulus):
    f = target(3, 2, ((-0.25, 1), (-1, 4), (1, 6)), modulus)
    vertices = simplex_vertices(2, 2, 0, 8, torch.device("cpu"))
    values = torch.randn(2, 8, 3, 2, generator=torch.Generator().manual_seed(0), **DOUBLE)
    values[0, 3, 1, 1] += 100  # one that counts
    pieces = pieces_at(PLANE, vertices, values, 7.0)
    measured = Measured()
    simplex_error._measure(view_of_cells(*CELLS), torch.zeros(2, 1), pieces, f, measured)
    at = positions(PLANE, f.domain.lo, f.domain.hi)
    gaps = []
    for e, s, v, j in itertools.product(range(2), range(8), range(3), range(2)):
        i, k = vertices[s, v].tolist()
        x = (at[0][i], (CELLS[0][e][1] + CELLS[1][e][1]) / 2, at[1][k])
        gaps.append(abs(value_at(x, j) - float(values[e, s, v, j])))
    assert measured.vertex == pytest.approx(max(gaps), rel=1e-14)
    spacing = Fraction(1, 4) + 4
    assert measured.line == pytest.approx(max(gaps) + f.modulus.upper(spacing / 4), rel=1e-14)
    # beside the plate the second cell reaches 3/2; along it cells reach 1/4 and 1 beyond their grids
    distance = Fraction(9, 4) + Fraction(1, 16) + 1
    assert measured.offset == pytest.approx(f.modulus.upper(distance), rel=1e-12)
    assert measured.offset >= f.modulus.upper(distance)
    spread, largest = float(values.max() - values.min()), float(values.abs().max())
    rounding = 64 * 3 * U * spread + 8 * U * largest + 2 * U * 7
    moved = 8 * U * (2.5 + 2) / 0.5
    assert measured.slack == pytest.approx(rounding + f.modulus.upper(Fraction(moved) ** 2 * 2), rel=1e-9, abs=0)
    assert (measured.simplices, measured.nodes) == (16, 2 * 9)


@pytest.mark.parametrize(
    ("lower", "upper", "beyond"),
    [([0.0, 2.0], [1.0, 3.0], 0.0), ([0.0, 2.0], [1.0, 3.5], 0.5), ([0.0, 1.75], [1.0, 3.0], 0.25),
     ([-0.125, 2.0], [1.0, 3.0], 0.125), ([2.0, 0.0], [3.0, 1.0], 2.0)],
)  # fmt: skip
def test_each_expert_is_measured_on_its_own_grid(lower, upper, beyond):
    """K = 1: the first expert's nodes are 0 and 1, the second's 2 and 3; the networks are 0, f is x."""
    f = target(1, domain=(-1, 4))
    grid, shift = Grid(1, (0,), (1.0,), (1.0,), (0,)), tensor([[1.0], [3.0]])
    pieces = AffinePieces(grid, torch.tensor([[[0], [1]]]), torch.zeros(2, 1, 2, 1, **DOUBLE), 0.0, shift)
    measured = Measured()
    view = view_of_cells([[a] for a in lower], [[b] for b in upper])
    simplex_error._measure(view, torch.zeros(2, 1), pieces, f, measured)
    assert measured.vertex == 3.0
    assert measured.offset == pytest.approx(50 * beyond, rel=1e-12, abs=0)


def test_worst_cases_are_kept_and_counts_add_up():
    f = target(1)
    grid = Grid(1, (0,), (1.0,), (1.0,), (0,))
    views = view_of_cells([[0.0]], [[1.0]])

    def measure(into, values, size):
        pieces = pieces_at(grid, torch.tensor([[[0], [1]]]), tensor(values).reshape(1, 1, 2, 1), size)
        simplex_error._measure(views, torch.zeros(1, 1), pieces, f, into)
        return into

    assert dataclasses.astuple(Measured()) == (0,) * 7
    small, large = measure(Measured(), [0.0, 1.0], 1.0), measure(Measured(), [8.0, 1.0], 1e4)
    assert (small.vertex, large.vertex) == (0.0, 8.0)
    for first, second in (([0.0, 1.0], [8.0, 1.0]), ([8.0, 1.0], [0.0, 1.0])):
        both = measure(measure(Measured(), first, 1e4 if first[0] else 1.0), second, 1e4 if second[0] else 1.0)
        assert (both.line, both.vertex, both.slack) == (large.line, large.vertex, large.slack)
        assert (both.simplices, both.nodes) == (2, 4)
    start = Measured(line=100.0, vertex=200.0, offset=300.0, slack=400.0)
    measure(start, [8.0, 1.0], 1.0)
    assert (start.line, start.vertex, start.offset, start.slack) == (100, 200, 300, 400)


@pytest.mark.parametrize(("steps", "farthest"), [(3, 2), (1, 1)])
def test_a_cell_reaches_to_its_farther_end(steps, farthest):
    """The middle of 1 and 1 + 3·2⁻⁵² is rounded up, that of 1 and 1 + 2⁻⁵² down."""
    f = target(2, domain=((0, 1), (0, 2)))
    pieces = pieces_at(
        Grid(1, (0,), (1.0,), (1.0,), (0,)), torch.tensor([[[0], [1]]]), torch.zeros(1, 1, 2, 1, **DOUBLE), 0.0
    )
    measured = Measured()
    view = view_of_cells([[0.0, 1.0]], [[1.0, 1 + steps * 2.0**-52]])
    simplex_error._measure(view, torch.zeros(1, 1), pieces, f, measured)
    assert measured.offset == pytest.approx(50 * farthest * 2.0**-52, rel=1e-12, abs=0)


@pytest.mark.parametrize("modulus", [Modulus.lipschitz(2.0), HOELDER])
def test_only_lines_with_a_lipschitz_target_use_the_cones(modulus):
    """K = 1 on [0, 2], f = x there, the network 0: min(2s, 2 + 2(2 − s)) reaches 3 at s = 3/2."""
    f = target(1, domain=(0, 2), modulus=modulus)
    grid = Grid(1, (0,), (0.5,), (1.0,), (0,))
    pieces = pieces_at(grid, torch.tensor([[[0], [1]]]), torch.zeros(1, 1, 2, 1, **DOUBLE), 0.0)
    measured = Measured()
    simplex_error._measure(view_of_cells([[0.0]], [[2.0]]), torch.zeros(1, 1), pieces, f, measured)
    worst = 3.0 if modulus is not HOELDER else 2 + HOELDER.upper(Fraction(1))
    assert measured.line == pytest.approx(worst, rel=1e-14)
    assert measured.offset == 0.0


dyadic = st.integers(-16, 16).map(lambda k: k / 8)


@given(*[st.tuples(dyadic, dyadic)] * 2, st.sampled_from([0, 1, 3, 7]), st.sampled_from([0.25, 1.0, 1.5]))
def test_the_error_of_a_segment_is_that_of_its_cones(values, network, lam, h):
    """At the ends and where the cones meet, both signs, in rationals."""
    (a, b), (c, d) = ([Fraction(v) for v in pair] for pair in (values, network))
    length, worst = Fraction(h), Fraction(0)
    for sign in (1, -1):
        f0, f1, n0, n1 = (sign * v for v in (a, b, c, d))
        kink = min(max((f1 - f0 + lam * length) / (2 * lam), Fraction(0)), length) if lam else Fraction(0)
        for s in (Fraction(0), kink, length):
            worst = max(worst, min(f0 + lam * s, f1 + lam * (length - s)) - (n0 + (n1 - n0) * s / length))
    f, net = (tensor(v).reshape(1, 1, 2, 1) for v in (values, network))
    found = simplex_error._segment_error(f - net, net, f, Fraction(lam), length)
    scale = max(map(abs, (a, b))) + max(map(abs, (c, d))) + lam * length
    assert found == pytest.approx(float(worst + 16 * Fraction(U) * scale), abs=3e-15)
    assert Fraction(found) >= worst
    if worst == 0:
        assert found == float(16 * Fraction(U) * scale)


@pytest.mark.parametrize("worst", [0, 1, 2])
def test_the_worst_segment_counts(worst):
    network = torch.zeros(3, 1, 2, 1, **DOUBLE)
    target = torch.zeros(3, 1, 2, 1, **DOUBLE)
    target[worst] = 2.0
    for sides in (target, target.transpose(0, 1)):
        found = simplex_error._segment_error(sides, network.reshape(sides.shape), sides, Fraction(1), Fraction(1))
        assert found == pytest.approx(2.5, rel=1e-14)
        found = simplex_error._segment_error(-sides, network.reshape(sides.shape), -sides, Fraction(1), Fraction(1))
        assert found == pytest.approx(2.5, rel=1e-14)


# --- forward passes --------------------------------------------------------------------------------------


class Ramp(torch.nn.Module):
    """x_0 on all of the square's four quarters, with a fault where `wrong` says; `asked` counts points."""

    def __init__(self, wrong=lambda x: 0.0):
        super().__init__()
        self.wrong, self.asked = wrong, []

    def forward(self, x):
        self.asked.append(len(x))
        self.seen = x
        return torch.stack([x[:, 0], 2 * x[:, 0] + self.wrong(x)], dim=1)


def quarters(model, route=None):
    """A view of cells [0, 1] × [j/4, (j + 1)/4] with leaves (0, j), and the pieces of its experts, K = 2."""
    leaves = torch.tensor([[0, j] for j in range(4)])
    lower = tensor([[0.0, j / 4] for j in range(4)])
    upper = tensor([[1.0, (j + 1) / 4] for j in range(4)])

    def honest(x):
        return torch.stack([torch.zeros(len(x), dtype=torch.int64), (x[:, 1] * 4).long().clamp(max=3)], dim=1)

    view = SimpleNamespace(model=model, route=route or honest, bounds=lambda leaves: (lower, upper))
    vertices = simplex_vertices(2, 1, 0, 2, torch.device("cpu"))
    at = vertices[..., 0] / 2
    values = torch.stack([at, 2 * at], dim=-1).expand(4, -1, -1, -1)
    return view, leaves, pieces_at(Grid(2, (0,), (2.0,), (2.0,), (0,)), vertices, values, 1.0)


def difference(model, route=None):
    return simplex_error._forward_difference(*quarters(model, route), torch.Generator().manual_seed(0))


def test_an_honest_forward_pass_differs_by_rounding_alone():
    model = Ramp()
    assert difference(model) < 1e-15
    assert model.asked == [2048]
    # each expert inside its cell, all over it: along the grid and beside it
    share = model.seen[:, 1] * 4
    assert torch.bincount(share.long()).tolist() == [512] * 4
    for quarter in range(4):
        beside = share[share.long() == quarter] % 1
        assert float(beside.min()) < 0.02
        assert float(beside.max()) > 0.98
        assert len(beside.unique()) == 512
    assert float(model.seen[:, 0].max() - model.seen[:, 0].min()) > 0.9


@pytest.mark.parametrize("where", [lambda x: x[:, 1] > 0.75, lambda x: x[:, 1] < 0.25, lambda x: x[:, 0] > 0.9])
def test_the_largest_difference_counts_wherever_it_is(where):
    assert difference(Ramp(lambda x: torch.where(where(x), 0.25, 0.0))) == pytest.approx(0.25, rel=1e-12)
    assert difference(Ramp(lambda x: torch.where(where(x), math.nan, 0.0))) == math.inf


def test_points_that_are_routed_elsewhere_are_not_compared_and_all_experts_are_visited():
    def astray(x, far=1):
        """Half of the last quarter goes to a leaf that differs in one index only."""
        leaf = torch.stack([torch.zeros(len(x)), (x[:, 1] * 4).floor()], dim=1).long()
        lost = (x[:, 0] > 0.5) & (x[:, 1] > 0.75)
        return torch.where(lost[:, None], torch.tensor([far, 3 * far]), leaf)

    fault = Ramp(lambda x: torch.where((x[:, 0] > 0.5) & (x[:, 1] > 0.75), 1.0, 0.0))
    assert difference(fault) == pytest.approx(1.0)
    for far in (0, 1):
        assert difference(fault, lambda x, far=far: astray(x, far)) < 1e-15
    never = Ramp()
    assert (
        difference(never, lambda x: torch.stack([torch.zeros(len(x)), (x[:, 1] * 4).clamp(max=2.5)], 1).long())
        == math.inf
    )


def test_many_experts_are_asked_four_times_each():
    model = Ramp()
    view, leaves, pieces = quarters(model)
    many = 150 * 4
    view.bounds = lambda leaves: (torch.zeros(many, 2, **DOUBLE), torch.ones(many, 2, **DOUBLE))
    view.route = lambda x: torch.zeros(len(x), 2, dtype=torch.int64)
    pieces = pieces_at(pieces.grid, pieces.vertices, pieces.values[:1].expand(many, -1, -1, -1), 1.0)
    generator = torch.Generator().manual_seed(0)
    assert simplex_error._forward_difference(view, leaves[:1].expand(many, -1) * 0, pieces, generator) < 1e-15
    assert model.asked == [4 * many]


# --- the verdict -----------------------------------------------------------------------------------------


def bounded(monkeypatch, differences, outputs=1, batch=2, table=0.0):
    """simplex_error on four leaves, two at a time; the parts are given."""
    rest = iter(differences)
    grid = Grid(1, (0,), (1.0,), (1.0,), (0,))
    monkeypatch.setattr(simplex_error, "EXPERTS_PER_BATCH", batch)
    pieces = pieces_at(grid, torch.tensor([[[0], [1]]]), torch.zeros(batch, 1, 2, outputs, **DOUBLE), 0.0)
    monkeypatch.setattr(simplex_error, "pieces_of", lambda view, leaves: pieces)
    monkeypatch.setattr(simplex_error, "_forward_difference", lambda *args: next(rest))

    def measure(view, leaves, pieces, f, measured):
        measured.line, measured.offset, measured.slack, measured.simplices = 1.0, 2.0, 0.5, measured.simplices + 1

    monkeypatch.setattr(simplex_error, "_measure", measure)
    view = SimpleNamespace(leaves=torch.arange(4)[:, None], table_slack=table)
    return simplex_error.simplex_error(view, target(1), 4.0, lambda message: None)


def test_the_upper_end_adds_all_parts_up(monkeypatch):
    upper, measured, premises = bounded(monkeypatch, [0.25, 0.5])
    assert upper == math.nextafter(7.5 * (1 + 2.0**-50), math.inf)
    assert (measured.forward, measured.simplices) == (0.5, 2)
    assert all(p.holds for p in premises)
    assert bounded(monkeypatch, [0.5, 0.25])[1].forward == 0.5


@pytest.mark.parametrize("wrong", [math.nextafter(0.5, 1), math.inf, math.nan])
def test_a_difference_beyond_rounding_fails(monkeypatch, wrong):
    upper, _, premises = bounded(monkeypatch, [0.0, wrong])
    assert upper == math.inf
    assert [(p.name, p.holds) for p in premises] == [("forward() uses these weights", False)]


def test_what_a_table_may_be_off_by_comes_on_top(monkeypatch):
    upper, _, premises = bounded(monkeypatch, [0.0, 0.75], table=0.25)
    assert upper == math.nextafter(7.5 * (1 + 2.0**-50), math.inf)
    assert all(p.holds for p in premises)
    upper, _, premises = bounded(monkeypatch, [0.0, math.nextafter(0.75, 1)], table=0.25)
    assert (upper, premises[0].holds) == (math.inf, False)


def test_experts_with_other_outputs_than_f_fail(monkeypatch):
    upper, _, premises = bounded(monkeypatch, [0.0, 0.0], outputs=2)
    assert upper == math.inf
    assert premises[0].detail == "leaves from [0] on: the experts have 2 outputs, f has 1"
    assert not premises[0].holds
