"""Do cells cover a domain? By products of adjacent intervals, and by exact volumes."""

import itertools
from fractions import Fraction

import pytest
import torch
from torch import nn

from constructions import LipschitzFunction, build_momlp, targets
from constructions.functions.box import Box
from theory.checkers.uniform_error.cover import MAX_FOREIGN_LEAVES, is_product_cover, volume_cover, volume_inside
from theory.checkers.uniform_error.premises import cells_cover
from theory.checkers.uniform_error.share import Share
from theory.checkers.uniform_error.view import view_of

SQUARE = Box((0.0, -1.0), (1.0, 2.0))


def product(xs, ys):
    """Cells of all pairs of neighbouring numbers, (E, 2) each."""
    cells = list(itertools.product(itertools.pairwise(xs), itertools.pairwise(ys)))
    ends = torch.tensor(cells, dtype=torch.float64)  # (E, axis, end)
    return ends[..., 0].clone(), ends[..., 1].clone()


def whole():
    return product([0.0, 0.25, 0.7, 1.0], [-1.0, 0.5, 2.0])


def covers(lower, upper):
    return is_product_cover(lower, upper, SQUARE), volume_cover("cover", lower, upper, SQUARE).holds


def test_a_product_of_adjacent_intervals_covers():
    assert covers(*whole()) == (True, True)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    assert covers(*(end[order] for end in whole())) == (True, True)
    # beyond the domain is no harm
    assert covers(*product([-1.0, 0.3, 5.0], [-2.0, 2.5])) == (True, True)
    # nor is a cell without width, at either end or inside
    for xs in ([0.0, 0.0, 1.0], [0.0, 1.0, 1.0], [0.0, 0.5, 0.5, 1.0]):
        assert covers(*product(xs, [-1.0, 2.0])) == (True, True)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("cell", range(6))
@pytest.mark.parametrize("end", ["lower", "upper"])
def test_one_cell_smaller_by_an_ulp_leaves_a_gap(axis, cell, end):
    lower, upper = whole()
    if end == "lower":
        lower[cell, axis] = torch.nextafter(lower[cell, axis], torch.tensor(9.0).double())
    else:
        upper[cell, axis] = torch.nextafter(upper[cell, axis], torch.tensor(-9.0).double())
    assert covers(lower, upper) == (False, False)


@pytest.mark.parametrize("cell", range(6))
def test_a_missing_or_doubled_cell_is_no_cover(cell):
    lower, upper = whole()
    keep = torch.arange(6) != cell
    assert covers(lower[keep], upper[keep]) == (False, False)
    twice = torch.cat([torch.arange(6), torch.tensor([cell])])
    assert covers(lower[twice], upper[twice]) == (False, False)
    replaced = torch.where(keep, torch.arange(6), (cell + 1) % 6)
    assert covers(lower[replaced], upper[replaced]) == (False, False)


@pytest.mark.parametrize(
    ("xs", "ys"), [([0.0, 0.5], [-1.0, 2.0]), ([0.1, 1.0], [-1.0, 2.0]), ([0.0, 1.0], [-1.0, 1.9])]
)
def test_a_product_that_ends_too_early_is_no_cover(xs, ys):
    assert covers(*product(xs, ys)) == (False, False)


def test_bricks_cover_without_being_a_product():
    """Two rows of bricks, shifted: the volumes decide."""
    (low_1, up_1), (low_2, up_2) = product([0.0, 0.5, 1.0], [-1.0, 0.0]), product([0.0, 0.3, 1.0], [0.0, 2.0])
    lower, upper = torch.cat([low_1, low_2]), torch.cat([up_1, up_2])
    assert covers(lower, upper) == (False, True)
    upper[0, 0] = 0.6
    found = volume_cover("cover", lower, upper, SQUARE)
    assert (found.holds, found.detail) == (False, "the cells of leaves 0 and 1 overlap")
    upper[0, 0] = 0.25
    found = volume_cover("cover", lower, upper, SQUARE)
    assert not found.holds
    assert found.detail == f"disjoint cells fill {2.75 / 3:.6g} of the domain"


def test_overlaps_are_named_whichever_cells_they_are():
    lower, upper = whole()
    upper[4, 1] = 1.0  # cell 4 = (0.7 … 1, −1 … 0.5) grows into cell 5
    assert volume_cover("cover", lower, upper, SQUARE).detail == "the cells of leaves 4 and 5 overlap"


def test_volumes_are_exact_and_inside_the_domain():
    assert volume_inside([0.0, -1.0], [1.0, 2.0], SQUARE) == 3
    assert volume_inside([0.1, 0.0], [0.3, 1.0], SQUARE) == Fraction(0.3) - Fraction(0.1)
    assert volume_inside([-5.0, 0.0], [0.5, 7.0], SQUARE) == 1
    assert volume_inside([2.0, 0.0], [3.0, 1.0], SQUARE) == 0
    assert volume_inside([0.5, 0.0], [0.25, 1.0], SQUARE) == 0


def test_too_many_cells_for_volumes_are_no_cover():
    count = MAX_FOREIGN_LEAVES + 1
    ends = torch.linspace(0, 1, count + 1, dtype=torch.float64)
    line = Box((0.0,), (1.0,))
    lower, upper = ends[:-1, None].clone(), ends[1:, None].clone()
    assert is_product_cover(lower, upper, line)
    found = volume_cover("cover", lower, upper, line)
    assert (found.holds, found.detail) == (False, f"{count} cells are no product of adjacent intervals")
    assert volume_cover("cover", lower[:-1], upper[:-1], line).detail.startswith("disjoint cells fill")


# --- the view --------------------------------------------------------------------------------------------


def test_what_the_view_says_of_cover():
    f = targets.get("cone", n=3)
    model = build_momlp(f, eps=0.4)
    seen = cells_cover(view_of(model, f.domain, 1, max_leaves=10**6))
    assert (seen.holds, seen.detail) == (True, f"{model.num_leaves} cells form a product of adjacent intervals")
    some = view_of(model, f.domain, 1, max_leaves=model.num_leaves - 1)
    assert not some.complete
    assert cells_cover(some).holds
    assert cells_cover(some).detail == f"not looked at: {len(some.every)} of {model.num_leaves} leaves"
    net = nn.Sequential(nn.Linear(3, 1, dtype=torch.float64))
    alone = cells_cover(view_of(net, f.domain, 1, max_leaves=1))
    assert (alone.holds, alone.detail) == (True, "one expert on the whole domain")


@pytest.mark.parametrize("world", [1, 2, 3, 4, 7])
def test_shares_deal_out_all_leaves_once(world):
    f = targets.get("cone", n=2)
    model = build_momlp(f, eps=0.1)
    views = [view_of(model, f.domain, 1, max_leaves=10**6, share=Share(rank, world)) for rank in range(world)]
    assert torch.equal(torch.cat([v.leaves for v in views]), model.tree.leaf_indices())
    boxes = (torch.arange(5), torch.arange(5) * 2)
    assert all(v.own_boxes(boxes) is boxes for v in views)


def test_boxes_are_dealt_out_where_leaves_are_fewer_than_ranks():
    f = LipschitzFunction.from_sympy("x0", n=1)
    model = build_momlp(f, eps=0.1)
    boxes = (torch.arange(11), torch.arange(11) + 100)
    dealt = [view_of(model, f.domain, 1, max_leaves=9, share=Share(rank, 3)).own_boxes(boxes) for rank in range(3)]
    assert torch.cat([first for first, _ in dealt]).sort().values.tolist() == list(range(11))
    assert all(torch.equal(second, first + 100) for first, second in dealt)


def test_cells_are_widened_by_the_routers_rounding_and_stay_inside():
    f = targets.get("cone", n=2)
    model = build_momlp(f, eps=0.1)
    view = view_of(model, f.domain, 1, max_leaves=10**6)
    lower, upper = view.bounds(view.leaves)
    wide_lower, wide_upper = view.reach(view.leaves)
    inner = lower > 0
    assert bool((wide_lower < lower)[inner].all())
    assert bool((wide_lower == 0)[~inner].all())
    assert bool((wide_upper > upper)[upper < 1].all())
    assert float(wide_upper.max()) == 1.0
    # every point lies in the reach of the leaf that it is routed to, faces and their neighbours included
    x = torch.rand(2000, 2, dtype=torch.float64)
    faces = lower[torch.randint(len(lower), (2000,)), 0]
    x[:, 0] = torch.where(torch.rand(2000) < 0.5, torch.nextafter(faces, torch.ones(2000).double()), faces)
    low, high = view.reach(view.route(x))
    assert bool(((x >= low) & (x <= high)).all())


def test_routers_of_others_may_round_as_coarsely_as_their_weights():
    class Halves(nn.Module):
        num_leaves = 2

        def __init__(self, dtype):
            super().__init__()
            self.net = nn.Linear(1, 1, dtype=dtype)

        def route(self, x):
            return (x[:, 0] > 0.5).long()

        def expert(self, leaf):
            return self.net

        def cell_bounds(self, leaf):
            return torch.tensor([leaf / 2]), torch.tensor([(leaf + 1) / 2])

    line = Box((0.0,), (1.0,))
    for dtype, unit in ((torch.float64, 2.0**-53), (torch.float32, 2.0**-24)):
        view = view_of(Halves(dtype), line, 1, max_leaves=9)
        lower, upper = view.reach(view.leaves)
        assert lower[:, 0].tolist() == [0.0, 0.5 - 10 * unit]
        assert upper[:, 0].tolist() == [0.5 + 10 * unit, 1.0]
