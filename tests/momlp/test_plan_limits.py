"""Plans by hand: counts, costs and every limit from both sides."""

import math
from dataclasses import replace
from fractions import Fraction

import pytest
import torch

from constructions import BudgetExceeded, LipschitzFunction, PencilPlan, plan
from constructions.momlp.plan import DEFAULT_MAX_BYTES, PLAN_MARGIN, require_dtype, require_eps, require_planned


def lipschitz(n, lam=1.0, m=1, domain=None):
    return LipschitzFunction(lambda x: x[:, :1].expand(-1, m) * 0, n=n, m=m, lipschitz=lam, domain=domain)


def ceiling(value):
    """The smallest K ≥ 1 with K² ≥ value."""
    return next(k for k in range(1, 10**6) if k * k >= value)


@pytest.mark.exact
@pytest.mark.parametrize("valency", [2, 3, 8])
def test_counts_and_costs_by_hand(valency):
    """Sides 1, 3 and 1/2, Lipschitz constant 2, eps 1/4, split 1/3: ρ = eps_plan/2."""
    f = lipschitz(3, 2.0, m=2, domain=[(0, 1), (-1, 2), (0, 0.5)])
    margin = 1 - Fraction(1, 2**20)
    assert margin == PLAN_MARGIN
    assert DEFAULT_MAX_BYTES == 2 * 1024**3
    p = plan(f, 0.25, split=Fraction(1, 3), valency=valency)
    radius = margin / 4 / 2
    assert p.eps_plan == margin / 4
    router, knots = Fraction(2, 3) * radius**2, Fraction(1, 3) * radius**2
    assert p.cells == tuple(ceiling(side**2 * 2 / (4 * router)) for side in (1, 3))
    assert p.knots == ceiling(Fraction(1, 4) / (4 * knots))
    assert p.half_diagonal_squared == Fraction(1, 2 * p.cells[0]) ** 2 + Fraction(3, 2 * p.cells[1]) ** 2
    assert p.half_knot_squared == (Fraction(1, 2) / (2 * p.knots)) ** 2
    bound = 2 * math.sqrt(p.half_diagonal_squared + p.half_knot_squared)
    assert bound <= p.error_bound <= bound * (1 + 1e-12)
    assert p.leaves == p.cells[0] * p.cells[1]
    assert p.total_parameters == p.leaves * p.parameters
    assert p.forward_pass_parameters == 3 * p.tree.max_path_children() + p.parameters
    assert (p.tree.valency, p.lattice.knots, p.has_shared_layer, p.columns) == (valency, p.knots, True, p.knots)
    assert p.stored_bytes == 8 * p.stored_parameters
    shared = p.stored_parameters - p.leaves * (
        p.parameters - (p.total_parameters - p.stored_parameters) // (p.leaves - 1)
    )
    assert p.total_parameters - p.stored_parameters == (p.leaves - 1) * shared
    assert 0 < shared < p.parameters
    short = replace(p, dtype=torch.float32)
    assert short.stored_bytes == 4 * short.stored_parameters
    for tried in (p, short):
        assert PencilPlan.from_spec(tried.to_spec()) == tried


@pytest.mark.exact
def test_counts_of_constants_by_hand():
    p = plan(lipschitz(2, 1.0, domain=[(0, 1), (0, 4)]), 0.5, expert="constant")
    radius = PLAN_MARGIN / 2
    assert p.cells == tuple(ceiling(side**2 * 2 / (4 * radius**2)) for side in (1, 4))
    assert (p.knots, p.split, p.half_knot_squared) == (0, None, 0)
    assert PencilPlan.from_spec(p.to_spec()) == p
    only = plan(lipschitz(1), 0.5)
    assert (only.cells, only.split, only.leaves, only.half_diagonal_squared) == ((), 1, 1, 0)
    assert plan(lipschitz(3, 0.0), 0.5).cells == (1, 1)
    assert plan(lipschitz(3, 0.0), 0.5, expert="constant").cells == (1, 1, 1)


def test_specifications_that_are_no_plan():
    spec = plan(lipschitz(2), 0.5).to_spec()
    assert PencilPlan.from_spec(spec | {"valency": 2, "cells": [1], "knots": 0}).knots == 0
    for name, value in (
        ("valency", 1),
        ("valency", 9),
        ("cells", [0]),
        ("knots", -1),
        ("expert", "x"),
        ("activation", "x"),
    ):
        with pytest.raises(ValueError, match=f"`{name}`"):
            PencilPlan.from_spec(spec | {name: value})
    for valency in (1, 9):
        with pytest.raises(ValueError, match="`valency`"):
            plan(lipschitz(2), 0.5, valency=valency)
    assert plan(lipschitz(2), 0.5).valency == 2


def test_splits_where_there_is_no_router_or_no_knot():
    for split in (None, 1, 1.0, Fraction(1)):
        assert plan(lipschitz(1), 0.5, split=split).split == 1
    for split in (True, 0.5, 2, Fraction(1, 2)):
        with pytest.raises(ValueError, match="`split` must be None for n = 1: there is no router"):
            plan(lipschitz(1), 0.5, split=split)
    for split in (0.5, 1):
        with pytest.raises(ValueError, match="`split` must be None for experts that resolve no axis"):
            plan(lipschitz(2), 0.5, split=split, expert="constant")
    assert plan(lipschitz(4), 0.5).split == Fraction(1, 4)
    assert plan(lipschitz(2), 0.5, split=0.75).split == Fraction(3, 4)
    for split in (0, -0.5, math.nan):
        with pytest.raises(ValueError, match="`split`"):
            plan(lipschitz(2), 0.5, split=split)
    for split in (1, 1.5):
        with pytest.raises(ValueError, match="`split` must lie strictly between 0 and 1"):
            plan(lipschitz(2), 0.5, split=split)


def test_what_is_planned_at_all():
    most = 2**8191  # of 8192 bits
    for cells, knots in (((most,), 0), ((2**4095, 2**4095), 5), ((), most), ((3,), most)):
        require_planned(0.1, cells, knots)
    for cells, knots in (((2 * most,), 0), ((2**4096, 2**4095), 1), ((), 2 * most), ((3,), 2 * most)):
        with pytest.raises(ValueError, match=r"asks for about 2\^8193 cells, plans are limited to 2\^8192"):
            require_planned(0.1, cells, knots)
    p = plan(lipschitz(3), 0.5)
    for cells in ((2**48, 1), (1, 2**48), (2**48, 2**48)):
        replace(p, cells=cells).require_resolvable(10**9)
    for cells in ((2**48 + 1, 1), (1, 2**48 + 1)):
        with pytest.raises(
            ValueError, match="asks for 281474976710657 cells on an axis, float64 resolves 281474976710656"
        ):
            replace(p, cells=cells).require_resolvable(10**9)
    short = replace(p, dtype=torch.float32)
    short.require_resolvable(4 * p.parameters)
    with pytest.raises(BudgetExceeded, match=f"takes {4 * p.parameters} bytes"):
        short.require_resolvable(4 * p.parameters - 1)
    plan(lipschitz(1), 0.5).require_resolvable(10**9)  # no axis of cells at all


def test_numbers_that_are_no_eps():
    for eps in (5e-324, 1, 0.5, Fraction(1, 3)):
        require_eps(eps)
    for eps in (0, -1, math.nan, math.inf, Fraction(1, 10**400), "1", True, None):
        with pytest.raises(ValueError, match="`eps`"):
            require_eps(eps)
    for dtype in (torch.float64, torch.float32):
        require_dtype(dtype)
    for dtype in (torch.float16, torch.int64, "float64", None):
        with pytest.raises(ValueError, match=r"`dtype` must be torch\.float64 or torch\.float32"):
            require_dtype(dtype)
    with pytest.raises(TypeError, match="`f` must be a LipschitzFunction, got int"):
        plan(5, 0.5)
