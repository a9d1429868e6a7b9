"""The planner: exact counts, and the lattice's index rule."""

import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from constructions import Box, BudgetExceeded, LipschitzFunction, PencilPlan, plan
from constructions.pathway_tree.lattice import Lattice, ceil_sqrt


def lipschitz(n, lam=1.0, m=1, domain=None):
    return LipschitzFunction(lambda x: x[:, :1].expand(-1, m) * 0, n=n, m=m, lipschitz=lam, domain=domain)


@pytest.mark.exact
@given(st.fractions(min_value=0, max_value=10**12))
def test_ceil_sqrt_is_the_smallest_integer(value):
    k = ceil_sqrt(value)
    assert k >= 1
    assert k * k >= value
    assert k == 1 or (k - 1) ** 2 < value


@pytest.mark.law
@given(
    n=st.integers(1, 8),
    lam=st.floats(0.01, 100),
    eps=st.floats(1e-3, 1),
    split=st.one_of(st.none(), st.floats(0.02, 0.98)),
    side=st.floats(0.1, 10),
    expert=st.sampled_from(["pencil", "constant"]),
)
def test_planned_box_fits_the_radius_and_is_minimal(n, lam, eps, split, side, expert):
    """Law: a² + b² ≤ ρ(eps_plan)², and one knot or one cell fewer would break its share of ρ²."""
    use = split if expert == "pencil" and n > 1 else None
    p = plan(lipschitz(n, lam, domain=(0, side)), eps, split=use, expert=expert)
    rho2 = (p.eps_plan / Fraction(lam)) ** 2
    assert p.half_diagonal_squared + p.half_knot_squared <= rho2
    assert p.error_bound <= eps
    theta = Fraction(0) if expert == "constant" else p.split
    ell = Fraction(side)
    if p.knots > 1:
        assert (ell / (2 * (p.knots - 1))) ** 2 > theta * rho2
    for count in p.cells:
        if count > 1:
            assert len(p.cells) * (ell / (2 * (count - 1))) ** 2 > (1 - theta) * rho2


def test_float_ceilings_would_be_wrong_somewhere():
    """Why the planner is exact: K = ⌈1/(2ε√θ)⌉ in floats differs from the exact integer at many ε = 1/j."""
    wrong = 0
    for n in (1, 2, 3, 4, 9):
        for j in range(2, 400):
            eps = 1 / j
            exact = ceil_sqrt(n / (4 * Fraction(eps) ** 2))
            wrong += exact != math.ceil(1 / (2 * eps * math.sqrt(1 / n)))
    assert wrong > 20


@pytest.mark.exact
def test_the_margin_moves_the_count_where_the_bound_would_be_attained():
    """n = 1 at ε = 2⁻ʲ and n = 4 at ε = 0.05: without the margin sup|f − f̂| = ε could happen."""
    for j in range(1, 12):
        assert plan(lipschitz(1), 2.0**-j).knots == 2 ** (j - 1) + 1
    p = plan(lipschitz(4), 0.05)
    assert (p.knots, p.cells) == (21, (21, 21, 21))


@pytest.mark.exact
@pytest.mark.parametrize("expert", ["pencil", "constant"])
def test_plan_survives_its_json(expert):
    p = plan(lipschitz(3, 2.5, m=2, domain=[(0, 1), (-1, 2), (0, 0.5)]), Fraction(1, 30), expert=expert, valency=3)
    assert PencilPlan.from_spec(p.to_spec()) == p


def test_huge_counts_are_exact_integers():
    p = plan(lipschitz(10), 1e-6)
    assert p.leaves == p.cells[0] ** 9
    assert p.leaves > 10**50
    assert p.total_parameters == p.leaves * p.parameters


def test_constants_need_one_knot_and_one_cell():
    p = plan(lipschitz(3, 0.0), 0.1)
    assert (p.knots, p.cells, p.error_bound) == (1, (1, 1), 0.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"eps": 0}, "`eps` must be a positive finite number, got 0"),
        ({"eps": -0.1}, "`eps`"),
        ({"eps": math.nan}, "`eps`"),
        ({"eps": math.inf}, "`eps`"),
        ({"eps": "0.1"}, "`eps`"),
        ({"eps": True}, "`eps`"),
        ({"split": 0.0}, "`split`"),
        ({"split": 1.0}, "`split` must lie strictly between 0 and 1"),
        ({"split": 0.5, "expert": "constant"}, "`split` must be None"),
        ({"expert": "deep"}, "`expert` must be one of"),
        ({"valency": 9}, "`valency` must be an integer between 2 and 8, got 9"),
        ({"valency": 2.0}, "`valency`"),
        ({"activation": "tanh"}, "`activation`"),
        ({"dtype": torch.float16}, "`dtype`"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        plan(lipschitz(2), **({"eps": 0.1} | options))


def test_plan_needs_a_lipschitz_function_and_n1_has_no_split():
    with pytest.raises(TypeError, match="`f` must be a LipschitzFunction"):
        plan(torch.sin, 0.1)
    with pytest.raises(ValueError, match="no router"):
        plan(lipschitz(1), 0.1, split=0.5)


@pytest.mark.exact
def test_index_rule_puts_faces_in_the_lower_cell():
    lattice = Lattice(Box.of(None, 2), (4,), 1)
    z = torch.tensor([[0.0], [1.0], [1.0 + 2**-52], [3.0], [4.0]], dtype=torch.float64)
    assert lattice.index(z).flatten().tolist() == [0, 0, 1, 2, 3]


@given(st.integers(1, 400), st.integers(1, 400))
def test_nodes_have_no_offset_and_faces_meet(cells, knots):
    lattice = Lattice(Box.of([(-0.3, 1.7), (0.1, 0.7)], 2), (cells,), knots)
    index = torch.arange(cells)[:, None]
    centres, t = lattice.centres(index), lattice.knot_positions()
    nodes = torch.cat([centres.expand(-1, 1), t[torch.arange(cells) % (knots + 1)][:, None]], dim=1)
    assert not bool(lattice.offset_from_nodes(nodes).any())
    below, above = lattice.faces(index)
    assert torch.equal(above[:-1], below[1:])
    assert float(below[0]) == -0.3
    assert float(above[-1]) == 1.7


def test_splits_at_their_ends():
    for split in (1, 1.0, 2, Fraction(1)):
        with pytest.raises(ValueError, match="`split` must lie strictly between 0 and 1"):
            plan(lipschitz(2), 0.1, split=split)
    assert plan(lipschitz(2), 0.1, split=Fraction(1, 2)).split == Fraction(1, 2)


def test_the_axis_with_most_cells_decides_whether_float64_resolves_them():
    wide = plan(lipschitz(3, domain=((0, 1), (0, 1e16), (0, 1))), 1.0)
    assert wide.cells[0] < wide.cells[1]
    with pytest.raises(ValueError, match="cells on an axis, float64 resolves"):
        wide.require_resolvable(10**9)


def test_one_expert_may_fill_the_budget():
    p = plan(lipschitz(2), 0.1)
    p.require_resolvable(8 * p.parameters)
    with pytest.raises(BudgetExceeded, match="one expert of"):
        p.require_resolvable(8 * p.parameters - 1)
    assert p.stored_bytes == 8 * p.stored_parameters


def test_a_constant_function_needs_one_cell():
    for expert, knots in (("pencil", 1), ("constant", 0)):
        p = plan(lipschitz(3, 0.0), 0.1, expert=expert)
        assert (set(p.cells), p.knots) == ({1}, knots)


def test_coordinates_and_faces_by_hand():
    """[1, 4] in 6 cells of 1/2 and [−2, 2] in 2: the point (2, 1) is at (2, 3/2), on the face of its cell."""
    lattice = Lattice(Box((1.0, -2.0, 0.0), (4.0, 2.0, 1.0)), (6, 2), 0)
    z = lattice.coordinates(torch.tensor([[2.0, 1.0, 0.5], [1.0, -2.0, 0.0], [4.0, 2.0, 1.0]]))
    assert z.tolist() == [[2.0, 1.5], [0.0, 0.0], [6.0, 2.0]]
    index = lattice.index(z)
    assert index.tolist() == [[1, 1], [0, 0], [5, 1]]
    assert lattice.centres(index).tolist() == [[1.75, 1.0], [1.25, -1.0], [3.75, 1.0]]
    lower, upper = lattice.faces(index)
    assert lower.tolist() == [[1.5, 0.0], [1.0, -2.0], [3.5, 0.0]]
    assert upper.tolist() == [[2.0, 2.0], [1.5, 0.0], [4.0, 2.0]]
    for wrong in (torch.zeros(3), torch.zeros(2, 1), torch.zeros(1, 2, 3)):
        with pytest.raises(ValueError, match=r"`x` must have shape \(B, 3\)"):
            lattice.coordinates(wrong)
