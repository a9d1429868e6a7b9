"""The first-order bound of a box: by hand, against every point of dense grids, and wrong on purpose."""

import copy
import math
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from constructions import LipschitzFunction, build_momlp, targets
from constructions.functions.symbolic.parser import parse
from constructions.functions.symbolic.tape import compile_tape
from theory import Status, certify_uniform_error, uniform_error_le_eps
from theory.checkers.uniform_error import affine_pieces, first_order
from theory.checkers.uniform_error.affine_pieces import PiecesOfTarget
from theory.checkers.uniform_error.banks import banks_of
from theory.checkers.uniform_error.boxes import half_widths
from theory.checkers.uniform_error.branch_and_bound import Goal, Search, _bounds, _halved
from theory.checkers.uniform_error.first_order import FirstOrder, above, balanced
from theory.checkers.uniform_error.ridge import RidgeBank
from theory.checkers.uniform_error.share import Share
from theory.checkers.uniform_error.stack import StackBank, linear_stack
from theory.checkers.uniform_error.view import view_of

DOUBLE = {"dtype": torch.float64}
ZERO = torch.zeros(1, dtype=torch.int64)


def tensor(values):
    return torch.tensor(values, **DOUBLE)


class Line:
    """One expert that is slope·x + value on all of R^n."""

    table_slack = forward_slack = 0.0

    def __init__(self, slope, value=0.0):
        self.slope, self.value = tensor([slope]), value

    def values(self, expert, piece, x):
        return x @ self.slope.T + self.value

    def slope_ends(self, expert, piece, lo, hi):
        ends = self.slope.expand(len(lo), 1, -1)
        return ends, ends


def bound_of(text, line, *box):
    lo, hi = (tensor([[side[i] for side in box]]) for i in (0, 1))
    found = FirstOrder(compile_tape(parse(text, len(box)), len(box)), lo).bounds(line, ZERO, ZERO, lo, hi)
    return float(found)


# --- by hand -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line", "box", "expected"),
    [
        # affine: the supremum itself, at a corner
        ("2*x0 - 3*x1", Line((1.0, 0.0)), [(0, 1), (0, 1)], 3.0),
        ("x0", Line((1.0,)), [(-5, 3)], 0.0),
        # monotone: at an end
        ("exp(x0)", Line((0.0,)), [(0, 1)], math.e),
        ("x0**2", Line((0.0,)), [(1, 3)], 9.0),
        ("x0**2", Line((0.0,)), [(-3, -1)], 9.0),
        # x² − x on [0, 1], slopes in [−1, 1]: from below at 1/2, −1/4 − 1·1/2
        ("x0**2", Line((1.0,)), [(0, 1)], 0.75),
        # a kink off the centre, x ≥ 1/2 alone counts; and one in it
        ("Max(x0 - 1/2, 0)", Line((0.0,)), [(-1, 1)], 0.5),
        ("Abs(x0)", Line((0.0,)), [(-1, 1)], 1.0),
        ("Abs(x0)", Line((0.0,), 0.75), [(-1, 1)], 0.75),
        ("Abs(x0 - 1/2)", Line((1.0,), -0.5), [(0.5, 1)], 0.0),
        ("Min(x0, x1)", Line((0.0, 0.0)), [(0, 1), (2, 3)], 1.0),
        # a box of no width: the error there
        ("sin(x0)", Line((0.0,), 0.25), [(1, 1)], math.sin(1) - 0.25),
        ("5", Line((0.0,), 3.0), [(0, 1)], 2.0),
    ],
)
def test_by_hand(text, line, box, expected):
    found = bound_of(text, line, *box)
    assert expected <= found <= expected + 1e-12 + 1e-14 * abs(expected)


@pytest.mark.parametrize(
    ("text", "box"),
    [("sqrt(x0)", (0, 1)), ("1/x0", (-1, 1)), ("exp(exp(x0))", (0, 9)), ("log(x0)", (0, 1)), ("tan(x0)", (1, 2))],
)
def test_what_is_not_known_is_infinite(text, box):
    assert bound_of(text, Line((0.0,)), box) == math.inf


def test_nan_from_the_network_is_infinite():
    assert bound_of("x0", Line((0.0,), math.nan), (0, 1)) == math.inf
    assert bound_of("sin(x0)", Line((math.nan,)), (0, 1)) == math.inf
    assert bound_of("sin(x0)", Line((math.inf,)), (0, 1)) == math.inf


def test_without_subnormal_numbers_there_is_no_such_bound(monkeypatch):
    monkeypatch.setattr(first_order, "keeps_small_numbers", lambda: False)
    tape = compile_tape(parse("x0", 1), 1)
    assert not FirstOrder(tape, tensor([[0.0]])).known
    assert FirstOrder(tape, tensor([[0.0]])).points == FirstOrder(None, tensor([[0.0]])).points == 0


def test_chunks_are_put_together(monkeypatch):
    tape = compile_tape(parse("sin(3*x0), Abs(x0)", 1), 1)
    lo = torch.linspace(-1, 1, 9, **DOUBLE)[:, None]
    ids = torch.zeros(9, dtype=torch.int64)
    bank = SimpleNamespace(
        values=lambda expert, piece, x: x.expand(-1, 2),
        slope_ends=lambda expert, piece, a, b: (torch.ones(len(a), 2, 1, **DOUBLE),) * 2,
    )
    whole = FirstOrder(tape, lo).bounds(bank, ids, ids, lo, lo + 0.3)
    monkeypatch.setattr(first_order, "CHUNK", 2)
    parts = FirstOrder(tape, lo)
    torch.testing.assert_close(parts.bounds(bank, ids, ids, lo, lo + 0.3), whole, rtol=1e-13, atol=0)
    assert parts.points == 4
    assert len(parts.bounds(bank, ids[:0], ids[:0], lo[:0], lo[:0])) == 0
    x = parts.point[None]
    worst = torch.maximum((torch.sin(3 * x) - x).abs(), (x.abs() - x).abs())
    assert float(parts.error) == pytest.approx(float(worst))


def test_an_error_is_news_once():
    slopes = FirstOrder(None, tensor([[0.0]]))
    assert [slopes.is_news(e, 1.0) for e in (0.5, 1.0, 2.0, 2.0, 1.5, 3.0, math.nan)] == [
        False, False, True, False, False, True, False,
    ]  # fmt: skip


# --- the best point ----------------------------------------------------------------------------------------

slopes = st.floats(-8, 8)


@settings(max_examples=200, deadline=None)
@given(slopes, slopes, st.floats(-2, 2), st.floats(0, 3), st.floats(0, 1))
def test_no_point_bounds_better_than_the_balanced_one(a, b, start, width, share):
    """For e with slopes at both ends of [low, high]: first the one, then the other, with the kink anywhere."""
    low, high = tensor([[min(a, b)]]), tensor([[max(a, b)]])
    lo, hi = tensor([[start]]), tensor([[start + width]])
    kink = lo + share * (hi - lo)
    for first, second in ((low, high), (high, low)):

        def e(x, kink=kink, first=first, second=second):
            return torch.where(x < kink, first * (x - kink), second * (x - kink))[:, 0]

        best = balanced(low, high, lo, hi)
        assert bool((lo <= best).all() & (best <= hi).all())
        bound = float(above(e(best), low, high, lo, hi, best))
        for point in torch.linspace(0, 1, 9, **DOUBLE):
            v = torch.minimum(lo + point * (hi - lo), hi)
            assert bound <= float(above(e(v), low, high, lo, hi, v)) + 1e-13
            assert float(e(v)) <= bound


# --- against every point of a grid -------------------------------------------------------------------------

FORMULAS = [
    ("Max(x0 - x1, x1/3, Abs(x0) - 1/7)", 2),
    ("Min(Abs(x0 - 1/3), Abs(x1), 1 - Abs(x0 + x1))", 2),
    ("Abs(x0 - x1) - 2*Max(x0, 1/4)", 2),
    ("sin(3*x0)*cos(x1) + x0*x1**2", 2),
    ("sqrt((x0 - 1/3)**2 + (x1 - 1/5)**2)", 2),
    ("exp(-x0**2 - x1**2/2)*Max(x0, x1)", 2),
    ("Piecewise((x0**2, x0 < 1/3), (2*x0/3 - 1/9, True))", 1),
    ("1e12*Abs(x0 - 1/3) + 1e12*x0**2", 1),
    ("1e-160*Max(x0, 1/2) + 1e-170*sin(x0)", 1),
    ("(1e8*x0 - 1e8/3)**2/1e9", 1),
]
SIDE = 9


def grid_of(lo, hi, side=SIDE):
    """side^n points (B, side^n, n) of each box, its corners among them."""
    axes = torch.cartesian_prod(*[torch.linspace(0, 1, side, **DOUBLE)] * lo.shape[1]).reshape(-1, lo.shape[1])
    return torch.minimum(torch.maximum(torch.lerp(lo[:, None], hi[:, None], axes), lo[:, None]), hi[:, None])


def largest_errors(f, bank, boxes):
    """The largest |f − f̂| (B,) on the grids, from the bank's own values."""
    expert, piece, lo, hi = boxes
    x = grid_of(lo, hi)
    ids = [t.repeat_interleave(x.shape[1]) for t in (expert, piece)]
    flat = x.reshape(-1, lo.shape[1])
    return (f.evaluate(flat) - bank.values(*ids, flat)).abs().amax(-1).reshape(len(lo), -1).amax(-1)


def cut(bank, times=3, most=300):
    boxes = (*bank.initial_boxes(),)
    every = [boxes]
    for _ in range(times):
        boxes = _halved(*boxes, boxes[2].new_zeros(len(boxes[0])))[:4]
        every.append(boxes)
    whole = [torch.cat(t) for t in zip(*every, strict=True)]
    rows = torch.randperm(len(whole[0]), generator=torch.Generator().manual_seed(0))[:most]
    return tuple(t[rows] for t in whole)


def bank_and_boxes(f, model):
    view = view_of(model, f.domain, f.m, max_leaves=10**5)
    for _, bank in banks_of(view):
        yield bank, cut(bank)


def violated(f, model):
    """How many boxes have a point with a larger error than their bound and the slack allow, and how many there are."""
    misses = total = 0
    for bank, boxes in bank_and_boxes(f, model):
        bound = FirstOrder(f.tape, boxes[2]).bounds(bank, *boxes)
        found = largest_errors(f, bank, boxes)
        slack = 1e-13 * float(found.max()) + 1e-14 * float(f.evaluate(boxes[2]).abs().max())
        misses += int((~(found <= bound + slack)).sum())
        total += int(torch.isfinite(bound).sum())
    return misses, total


def built(text, n, share=0.1, **options):
    f = LipschitzFunction.from_sympy(text, n=n)
    return f, build_momlp(f, eps=share * f.lipschitz, **options)


@pytest.mark.parametrize(("text", "n"), FORMULAS)
@pytest.mark.parametrize(
    "options", [{}, {"dtype": torch.float32}, {"activation": "prelu"}], ids=["", "float32", "prelu"]
)
def test_no_point_of_a_box_is_above_its_bound(text, n, options):
    if options.get("dtype") is torch.float32 and "e-1" in text:
        pytest.skip("float32 has no such numbers")
    f, model = built(text, n, **options)
    misses, total = violated(f, model)
    assert misses == 0
    assert total > 10


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("name", ["max_affine", "tent_product"])
def test_affine_pieces_are_never_looser_than_one_of_them(name, n):
    """Where only one piece is attained the bound is the largest error itself, and it is never above today's."""
    f = targets.get(name, n=n)
    for bank, boxes in bank_and_boxes(f, build_momlp(f, eps=0.2 * n)):
        bound = FirstOrder(f.tape, boxes[2]).bounds(bank, *boxes)
        search = Search(f, Goal(), 0.0, 10**9, False, lambda message: None)
        centre = (boxes[2] + boxes[3]) / 2
        plain = _bounds(bank, None, search, *boxes[:2], centre, half_widths(boxes[2], boxes[3], centre))[1]
        found = largest_errors(f, bank, boxes)
        assert bool((found <= bound + 1e-13).all())
        assert float((bound <= found + 1e-12).double().mean()) > 0.5
        assert float((bound <= plain + 1e-12).double().mean()) > 0.95


def test_deep_experts_are_bounded_by_their_interval_jacobian():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 6), nn.PReLU(6), nn.Linear(6, 1)).double()
    for text in ("Max(x0, x1) - x0*x1", "Max(x0, x1) - Abs(x0 - 1/3)"):
        f = LipschitzFunction.from_sympy(text, n=2)
        ((bank, _),) = bank_and_boxes(f, net)
        assert isinstance(bank, StackBank)
        generator = torch.Generator().manual_seed(1)
        lo = torch.rand(60, 2, **DOUBLE, generator=generator) * 0.7
        boxes = (ZERO.repeat(60), ZERO.repeat(60), lo, lo + torch.rand(60, 2, **DOUBLE, generator=generator) * 0.3)
        bound = FirstOrder(f.tape, lo).bounds(bank, *boxes)
        assert bool((largest_errors(f, bank, boxes) <= bound + 1e-13).all())
        assert float(bound.max()) < 50


def test_slopes_of_deep_experts_hold_their_gradients():
    torch.manual_seed(2)
    net = nn.Sequential(nn.Linear(3, 7), nn.PReLU(7, 0.3), nn.Linear(7, 5), nn.ReLU(), nn.Linear(5, 2)).double()
    bank = StackBank.of(linear_stack(net), torch.zeros(1, 3, **DOUBLE), torch.ones(1, 3, **DOUBLE), unit=2.0**-53)
    lo = torch.rand(80, 3, **DOUBLE) * 0.8
    hi = lo + torch.rand(80, 3, **DOUBLE) * 0.2
    x = (lo + torch.rand(80, 3, **DOUBLE) * (hi - lo)).requires_grad_()
    low, high = bank.slope_ends(ZERO, ZERO, lo, hi)
    for output in range(2):
        (gradient,) = torch.autograd.grad(net(x)[:, output].sum(), x, retain_graph=True)
        assert bool(((low[:, output] <= gradient) & (gradient <= high[:, output])).all())
    assert float((high - low).max()) < 20


# --- wrong on purpose --------------------------------------------------------------------------------------


def neighbouring(self, expert, piece, lo, hi):
    """The slope of the piece to the right."""
    return HONEST(self, expert, (piece + 1) % self.pieces, lo, hi)


def half_of_it(error, low, high, lo, hi, v):
    return ABOVE(error, low, high, v + (lo - v) / 2, v + (hi - v) / 2, v)


def no_slopes(error, low, high, lo, hi, v):
    return error


def one_axis(error, low, high, lo, hi, v):
    return ABOVE(error, low[:, :1], high[:, :1], lo[:, :1], hi[:, :1], v[:, :1])


def swapped(low, high, least, largest):
    return first_order_difference(low, high, -least, -largest)


def half_leaves(self, value, low, high, centre, half):
    return PIECES(self, value, low, high, centre, half / 2)


def max_for_min(node, up, down):
    return torch.stack(up).amin(0), torch.stack(down).amax(0)


HONEST, ABOVE, PIECES = RidgeBank.slope_ends, first_order.above, PiecesOfTarget.bounds
first_order_difference = first_order.difference


@pytest.mark.parametrize(
    ("place", "name", "broken", "text"),
    [
        (RidgeBank, "slope_ends", neighbouring, "sin(5*x1) + x0/8"),
        (RidgeBank, "slope_ends", lambda self, *a: tuple(-e for e in HONEST(self, *a)), "sin(5*x1) + x0"),
        (first_order, "above", half_of_it, "sin(5*x0) + x1**2"),
        (first_order, "above", no_slopes, "sin(7*x0) + x1**2"),
        (first_order, "above", one_axis, "sin(5*x1) + x0*x1"),
        (first_order, "difference", swapped, "sin(5*x1) + x0"),
        (PiecesOfTarget, "bounds", half_leaves, "Max(x0 - x1, x1/3, Abs(x0) - 1/7)"),
        (affine_pieces, "_reduced", max_for_min, "Max(x0 - x1, x1/3, Abs(x0) - 1/7)"),
    ],
)
def test_a_wrong_bound_is_noticed(monkeypatch, place, name, broken, text):
    f, model = built(text, 2, share=0.05)
    assert violated(f, model)[0] == 0
    monkeypatch.setattr(place, name, broken)
    assert violated(f, model)[0] > 0


# --- in the search -----------------------------------------------------------------------------------------


def both_ways(monkeypatch, *args, **options):
    """The certificate with and without first-order bounds."""
    with_it = certify_uniform_error(*args, **options)
    with monkeypatch.context() as patch:
        patch.setattr(first_order, "keeps_small_numbers", lambda: False)
        return with_it, certify_uniform_error(*args, **options)


@pytest.mark.parametrize("text", ["Max(x0, 1 - x1, 1/3)", "sin(3*x0) + x1/2", "sin(x0), x0*x1"])
def test_both_searches_give_intervals_of_one_supremum(monkeypatch, text):
    f, model = built(text, 2)
    found, plain = both_ways(monkeypatch, model, f, gap=0.01)
    assert found.status is plain.status is Status.CERTIFIED
    assert (found.evidence, found.slack) == (plain.evidence, plain.slack)
    assert max(found.lower, plain.lower) <= min(found.upper, plain.upper)
    assert found.upper <= 1.01 * found.lower
    assert found.evaluations < plain.evaluations


@pytest.mark.parametrize("text", ["Max(x0, 1 - x1, 1/3) - x0*x1", "Abs(x0 - x1)"])
def test_parts_of_a_search_end_like_the_whole(text):
    f, model = built(text, 2)
    eps = 0.085 * f.lipschitz
    whole = certify_uniform_error(model, f, eps=eps)
    parts = [certify_uniform_error(model, f, eps=eps, share=Share(rank, 2)) for rank in range(2)]
    assert whole.upper == pytest.approx(max(part.upper for part in parts), rel=1e-12)
    assert whole.lower == pytest.approx(max(part.lower for part in parts), rel=1e-2)


def test_a_supremum_of_nothing_ends(monkeypatch):
    """|x − 1/3| with a knot at 1/3: the error is rounding alone, which no modulus ever says."""
    f = targets.get("cone", n=1)
    found, plain = both_ways(monkeypatch, build_momlp(f, eps=0.01), f, gap=0.01, max_evaluations=50_000)
    assert (found.lower, plain.lower) == (0, 0)
    assert found.upper < 1e-11 < 1e-5 < plain.upper
    assert found.evaluations < 1000 < plain.evaluations


def test_broken_networks_are_refused_as_before(monkeypatch):
    f, model = built("Max(x0, 1 - x1, 1/3) + sin(x0)", 2)
    eps = 0.1 * f.lipschitz
    assert uniform_error_le_eps(model, f, eps).status is Status.CERTIFIED
    for change in (0.5, math.nan):
        broken = copy.deepcopy(model)
        weight = max(broken.parameters(), key=torch.Tensor.numel)  # the experts' output layers
        with torch.no_grad():
            weight.view(-1)[3] += change
        found, plain = both_ways(monkeypatch, broken, f, eps=eps)
        assert found.status is plain.status
        assert found.status is not Status.CERTIFIED
        assert [p.name for p in found.failed] == [p.name for p in plain.failed]


def test_balls_alone_are_trusted_where_they_enclose(monkeypatch):
    f, model = built("Max(x0, 1/3)", 1)
    monkeypatch.setattr(FirstOrder, "bounds", lambda *args: pytest.fail("not asked for"))
    assert certify_uniform_error(model, f, eps=0.1 * f.lipschitz, enclosed=True).status is Status.CERTIFIED
    black = LipschitzFunction(lambda x: x.clamp(min=1 / 3), n=1, lipschitz=1.0)
    assert certify_uniform_error(model, black, eps=0.2).status is Status.CERTIFIED
