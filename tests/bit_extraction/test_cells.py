"""Resolved axes cut into cells behind the router: counts, grids, faces, files, and certificates leaf by leaf."""

import math
from dataclasses import replace
from fractions import Fraction

import pytest
import torch

from constructions import (
    BitExtractionPlan,
    LipschitzFunction,
    Modulus,
    ModulusViolation,
    StoreError,
    build_momlp,
    load,
    plan,
    save,
    targets,
)
from constructions.bit_extraction.fit import grid_points, resolved_box
from theory import certify_uniform_error
from theory.bit_extraction import bounds
from theory.bit_extraction.checkers.interpolant import realises_interpolant, sample_points
from theory.checkers.parameter_count import parameter_count_eq
from theory.checkers.uniform_error.simplices import affine_pieces
from theory.checkers.uniform_error.stack import linear_stack
from theory.claim import Status

BITS = {"expert": "bit_extraction", "lookup": "wide"}
TWO = LipschitzFunction.from_sympy("sin(x0)*x1, x0*x1/3", n=2, domain=[(-1, 2), (0.5, 1.25)])
VEE = LipschitzFunction.from_sympy("abs(x0 - 1/3)", n=1, lipschitz=1)
CASES = [(1, 1, 0.01, 3), (2, 1, 0.2, 2), (2, 2, 0.1, 3), (3, 2, 0.5, 2)]
"""(n, k, eps, cells)"""


def built(n, k, eps, cells, **options):
    return build_momlp(targets.get("cone", n=n), eps=eps, resolved=k, cells=cells, **{**BITS, **options})


# --- counts -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("cells", "expected"), [(1, 65086), (4, 26082), (8, 18806), (16, 14102)])
def test_loaded_parameters_on_a_line(cells, expected):
    """eps = 1e-6: as many as a second transcription has for a whole axis with eps = c·1e-6."""
    p = plan(targets.get("cone", n=1), 1e-6, cells=cells, **BITS)
    d = p.network
    widths = bounds.widths(d.k, d.J, d.m, d.header, d.words, d.lookup)
    assert p.parameters == bounds.parameters_of_widths(widths, 1) == expected
    assert (p.leaves, p.resolved_cells) == (cells, cells)
    assert p.cells == ((cells,) if cells > 1 else ())
    assert p.error_bound <= 1e-6


@pytest.mark.parametrize(("n", "k", "eps", "cells"), CASES)
def test_counts_are_those_of_the_modules(n, k, eps, cells):
    model = built(n, k, eps, cells)
    p = model.plan
    assert p.cells[n - k :] == (cells,) * k
    counts = {"active": p.parameters, "total": p.total_parameters}
    assert parameter_count_eq(model, counts).equal
    assert model.stored_parameters == p.stored_parameters == sum(v.numel() for v in model.parameters())
    whole = plan(model.target, eps, resolved=k, **BITS)
    assert p.leaves == whole.leaves * cells**k
    assert p.parameters <= whole.parameters
    assert p.half_diagonal_squared == whole.half_diagonal_squared  # the router's share of the error is the same


@pytest.mark.parametrize(("n", "k", "eps"), [(1, 1, 1e-3), (2, 1, 0.05), (2, 2, 0.05), (3, 2, 0.4)])
@pytest.mark.parametrize("lookup", ["wide", "deep"])
def test_max_experts_finds_the_smallest_expert(n, k, eps, lookup):
    """Against all numbers of cells, one by one; the fewest experts of several that are equal."""
    f, options = targets.get("cone", n=n), {"expert": "bit_extraction", "resolved": k, "lookup": lookup}
    routed = plan(f, eps, **options).leaves
    every = [plan(f, eps, cells=c, **options) for c in range(1, 40)]
    for most in (routed, routed + 1, 4 * routed - 1, 4 * routed, 9 * routed, 30 * routed):
        found = plan(f, eps, max_experts=most, **options)
        within = [p for p in every if p.leaves <= most]
        assert found == min(within, key=lambda p: (p.parameters, p.leaves))
    assert plan(f, eps, max_experts=10**30, **options).parameters <= min(p.parameters for p in every)


def test_one_cell_is_the_plan_without_cells():
    f = targets.get("cone", n=2)
    for k in (1, 2):
        whole = plan(f, 0.1, resolved=k, **BITS)
        assert plan(f, 0.1, resolved=k, cells=1, **BITS) == whole
        assert len(whole.to_spec()["cells"]) == 2 - k
        assert whole.columns == whole.network.table_size
        assert whole.resolved_cells == 1


# --- values -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "k", "eps", "cells"), CASES)
@pytest.mark.parametrize("lookup", ["wide", "deep"])
def test_certified_leaf_by_leaf_on_its_own_grid(n, k, eps, cells, lookup):
    model = built(n, k, eps, cells, lookup=lookup)
    c = certify_uniform_error(model, model.target, eps=eps, samples=4000)
    assert c.status is Status.CERTIFIED, c.reason
    assert (c.method, c.leaves_checked) == ("simplices", model.plan.leaves)
    assert 0 < c.lower <= c.upper <= model.plan.error_bound * (1 + 1e-9)


def test_other_domains_two_outputs_and_a_general_modulus():
    for k, cells in ((1, 3), (2, 2)):
        model = build_momlp(TWO, eps=0.4, resolved=k, cells=cells, **BITS)
        assert model.out_weight.shape[1:] == (2, model.plan.network.table_size + k)
        assert certify_uniform_error(model, TWO, eps=0.4, samples=4000).status is Status.CERTIFIED
    root = LipschitzFunction.from_sympy("sqrt(abs(x0 - 1/3))", n=1, modulus=Modulus.holder(1.0, 0.5), domain=(-2, 1))
    model = build_momlp(root, eps=0.1, cells=5, **BITS)
    assert certify_uniform_error(model, root, eps=0.1, samples=4000).status is Status.CERTIFIED


@pytest.mark.parametrize("k", [1, 2])
def test_nodes_lie_in_the_leafs_own_box(k):
    model = build_momlp(TWO, eps=0.4, resolved=k, cells=3, **BITS)
    p, leaves = model.plan, model.tree.leaf_indices()
    nodes, (lower, upper) = grid_points(p, leaves), model.cell_bounds(leaves)
    assert nodes.shape == (p.leaves, (p.network.cells + 1) ** k, 2)
    assert torch.equal(nodes.amin(1)[:, 2 - k :], lower[:, 2 - k :])
    assert torch.equal(nodes.amax(1)[:, 2 - k :], upper[:, 2 - k :])
    assert torch.equal(torch.stack(resolved_box(p, leaves)), torch.stack([lower[:, 2 - k :], upper[:, 2 - k :]]))
    pieces = affine_pieces([linear_stack(model.expert(leaf)) for leaf in leaves])
    first = pieces.grid.position(torch.zeros(1, k), pieces.shift)
    last = pieces.grid.position(torch.full((1, k), p.network.cells), pieces.shift)
    assert torch.allclose(first, lower[:, 2 - k :], rtol=0, atol=1e-14)
    assert torch.allclose(last, upper[:, 2 - k :], rtol=0, atol=1e-14)


@pytest.mark.parametrize(("domain", "cells"), [((0.0, 1.0), 4), ((-1.0, 2.0), 3), ((1e3, 1e3 + 0.7), 7)])
def test_a_face_belongs_to_the_lower_cell(domain, cells):
    """At faces and their float neighbours: the leaf, its expert's own answer, and the guarantee on either side."""
    f = LipschitzFunction.from_sympy("abs(x0 - 1/3)", n=1, lipschitz=1, domain=domain)
    model = build_momlp(f, eps=0.05, cells=cells, **BITS)
    leaves = model.tree.leaf_indices()
    faces = model.cell_bounds(leaves)[1][:-1, 0].tolist()
    for i, face in enumerate(faces):
        z = model.lattice.coordinates(torch.tensor([[face]], dtype=torch.float64))
        near = [math.nextafter(face, -math.inf), face, math.nextafter(face, math.inf)]
        x = torch.tensor(near, dtype=torch.float64)[:, None]
        leaf = model.route(x)[:, 0]
        assert leaf[1] == (i if float(z) <= i + 1 else i + 1)  # a face that float64 rounds up is in the upper cell
        assert set(leaf.tolist()) <= {i, i + 1}
        assert leaf.tolist() == sorted(leaf.tolist())
        for point, own in zip(x, leaf, strict=True):
            assert torch.allclose(model(point[None]), model.expert(int(own))(point[None]), rtol=0, atol=1e-12)
        assert float((model(x) - f.evaluate(x)).abs().max()) <= model.plan.error_bound * (1 + 1e-9)
    if domain == (0.0, 1.0):  # quarters are floats: the face itself is in the lower cell, the next float above it
        exact = torch.tensor([[0.25], [math.nextafter(0.25, 1)]], dtype=torch.float64)
        assert model.route(exact).tolist() == [[0], [1]]


@pytest.mark.exact
@pytest.mark.parametrize(("n", "k", "eps", "cells"), [(1, 1, 0.05, 3), (2, 2, 0.4, 2)])
def test_every_expert_is_the_interpolant_of_its_cell_in_rationals(n, k, eps, cells):
    model = built(n, k, eps, cells)
    p, leaves = model.plan, model.tree.leaf_indices()
    values = model.target.evaluate(grid_points(p, leaves).reshape(-1, n)).reshape(-1, *[p.network.cells + 1] * k)
    z = sample_points(p.network.cells, p.network.m, k, 24, torch.Generator().manual_seed(0))
    for leaf, own in zip(leaves, values, strict=True):
        assert realises_interpolant(model.expert(leaf), own, p.step, z).holds
    assert not realises_interpolant(model.expert(leaves[0]), values[-1], p.step, z).holds


def test_gradients_and_transforms_agree_with_the_forward_pass():
    model = build_momlp(TWO, eps=0.4, resolved=2, cells=2, **BITS)
    x = TWO.domain.sample(50, torch.Generator().manual_seed(0))
    y = model(x)
    assert torch.allclose(torch.func.vmap(lambda p: model(p[None])[0])(x), y, rtol=0, atol=1e-10)
    assert torch.allclose(model(x.clone().requires_grad_()), y, rtol=0, atol=1e-10)


# --- lazy and stored --------------------------------------------------------------------------------------


def test_eager_lazy_and_stored_models_are_the_same(tmp_path):
    eager = build_momlp(TWO, eps=0.4, resolved=1, cells=3, **BITS)
    lazy = build_momlp(TWO, eps=0.4, resolved=1, cells=3, lazy=True, **BITS)
    x = TWO.domain.sample(500, torch.Generator().manual_seed(0))
    path = save(eager, tmp_path / "cells.safetensors")
    found = [lazy, load(path), load(path, lazy=True), load(save(lazy, tmp_path / "plan.safetensors"))]
    for model in found:
        assert torch.equal(model(x), eager(x))
        assert model.plan == eager.plan
    c = certify_uniform_error(load(path), TWO, eps=0.4, samples=2000)
    assert c.status is Status.CERTIFIED


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"cells": [3, 1]}, "`cells` must have 1 entries"),
        ({"cells": [3, 2, 2]}, "`cells`"),
        ({"cells": []}, "`cells`"),
        ({"cells": [3, 0]}, "`cells`"),
        ({"cells": [3, 1 << 39]}, "`knots`"),
        ({"knots": 1}, "`knots`"),
    ],
)
def test_forged_plans_are_refused(change, name):
    spec = built(2, 1, 0.2, 2).plan.to_spec()
    assert BitExtractionPlan.from_spec(spec).to_spec() == spec
    with pytest.raises(ValueError, match=name):
        BitExtractionPlan.from_spec({**spec, **change})


def test_resolved_axes_are_cut_alike_in_every_stored_plan():
    spec = plan(targets.get("cone", n=3), 0.5, resolved=2, cells=2, **BITS).to_spec()
    routed = spec["cells"][0]
    for cells in ([routed, 2, 3], [routed, 2], [routed, 1, 1], [2, 2]):
        with pytest.raises(
            ValueError, match="`cells` must have 1 entries, one a routed axis, or 3 with the last 2 equal"
        ):
            BitExtractionPlan.from_spec({**spec, "cells": cells})


def test_a_file_whose_plan_has_lost_its_cells_is_refused(tmp_path):
    """Tables with places do not fit a plan without, nor the layers of one number of cells those of another."""
    model = built(2, 1, 0.2, 2)
    honest, routed = model.plan, model.plan.cells[0]
    for cells, reason in (((2 * routed,), "its plan asks for"), ((2, routed), "writes other layers")):
        model.plan = replace(honest, cells=cells)
        assert model.plan.leaves == honest.leaves
        with pytest.raises(StoreError, match=reason):
            load(save(model, tmp_path / "forged.safetensors"))


# --- broken on purpose ------------------------------------------------------------------------------------


def verdict(change, eps=0.01):
    """The certificate of a model with `change` applied to the places (L, m, k) of its grids; and its largest error
    seen."""
    model = build_momlp(VEE, eps=0.01, cells=4, **BITS)
    change(model.out_weight[..., model.plan.network.table_size :])
    x = torch.linspace(0, 1, 20001, dtype=torch.float64)[:, None]
    worst = float((model(x) - VEE.evaluate(x)).abs().max())
    return certify_uniform_error(model, VEE, eps=eps, samples=4000), worst


@pytest.mark.parametrize(("steps", "status"), [(0.5, Status.CERTIFIED), (2, Status.REFUTED), (-7, Status.REFUTED)])
def test_a_grid_that_is_shifted_counts_where_it_lies(steps, status):
    """Half a step leaves the error below eps, and the certificate says by how much it grew; two steps do not."""

    def shift(places):
        places[2] += steps

    c, worst = verdict(shift)
    assert c.status is status
    assert worst <= c.upper
    assert c.upper >= verdict(lambda places: None)[0].upper + 0.9 * min(abs(steps), 1) / 200


def test_a_shift_of_a_billionth_is_not_certified_at_the_guarantee():
    bound = plan(VEE, 0.01, cells=4, **BITS).error_bound * (1 + 1e-9)
    assert verdict(lambda places: None, bound)[0].status is Status.CERTIFIED

    def shift(places):
        places[2] += 1e-8

    assert verdict(shift, bound)[0].status is Status.INCONCLUSIVE


def test_a_grid_in_another_leafs_cell_is_refuted():
    def swap(places):
        places[[1, 2]] = places[[2, 1]].clone()

    assert verdict(swap)[0].status is Status.REFUTED


def test_a_grid_far_from_its_cell_leaves_nothing_to_compare():
    def away(places):
        places[2] += 1e6

    c, _ = verdict(away)
    assert (c.status, c.upper) == (Status.REFUTED, math.inf)
    assert "forward() differs by inf from the weights" in str(c.premises)


def test_a_grid_that_covers_a_part_of_its_cell_is_not_certified_by_that_part():
    """Where f is flat on the grid the vertices are right: the rest of the cell counts as what it is, beyond."""
    f = LipschitzFunction.from_sympy("Max(0, x0 - 3/4)", n=1, lipschitz=1)
    model = build_momlp(f, eps=0.1, cells=2, **BITS)
    assert certify_uniform_error(model, f, eps=0.1, samples=2000).status is Status.CERTIFIED
    model.out_weight[1, :, -1] -= model.plan.network.cells / 2  # its cell is [1/2, 1], its grid now [1/4, 3/4]
    c = certify_uniform_error(model, f, eps=0.1, samples=2000)
    assert c.status in (Status.REFUTED, Status.INCONCLUSIVE)
    assert c.upper >= 0.25


def test_places_that_are_no_numbers_or_two_are_refused():
    def empty(places):
        places[2] = math.nan

    c, _ = verdict(empty)
    assert c.status is Status.REFUTED
    assert "forward() gives [nan]" in c.reason
    model = build_momlp(TWO, eps=0.4, resolved=2, cells=2, **BITS)
    model.out_weight[1, 1, -1] += 0.25
    c = certify_uniform_error(model, TWO, eps=0.4, samples=2000)
    assert c.status is Status.INCONCLUSIVE
    assert "layer 0 reads an axis in two ways" in c.reason


def test_a_modulus_that_lies_in_one_cell_is_noticed():
    steep = LipschitzFunction(lambda x: torch.relu(3 * (x - 0.8)), n=1, lipschitz=1.0)
    with pytest.raises(ModulusViolation):
        build_momlp(steep, eps=0.05, cells=4, **BITS)
    ridge = LipschitzFunction(lambda x: torch.relu(3 * (x[:, :1] - 0.9)) + 0 * x[:, 1:], n=2, lipschitz=1.0)
    with pytest.raises(ModulusViolation):
        build_momlp(ridge, eps=0.3, resolved=1, cells=3, **BITS)


# --- bad input --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"cells": 0, **BITS}, "`cells`"),
        ({"cells": 1.5, **BITS}, "`cells`"),
        ({"cells": True, **BITS}, "`cells`"),
        ({"cells": "auto", **BITS}, "`cells`"),
        ({"cells": 1 << 39, **BITS}, "`cells` = 549755813888 of"),
        ({"cells": 1 << 41, **BITS}, "`cells`"),
        ({"cells": 2}, "`cells` belongs to expert='bit_extraction'"),
        ({"max_experts": 2}, "`max_experts` belongs to expert='bit_extraction'"),
        ({"max_experts": 2, **BITS}, "`max_experts` must be at least 6, the cells of the routed axes, got 2"),
        ({"max_experts": 0, **BITS}, "`max_experts`"),
        ({"max_experts": 20, "cells": 2, **BITS}, "`max_experts` chooses `cells`, give one of them, got 20, 2"),
    ],
)
def test_bad_arguments_are_named(options, name):
    for call in (plan, lambda f, eps, **o: build_momlp(f, eps=eps, **o)):
        with pytest.raises((TypeError, ValueError), match=name):
            call(targets.get("cone", n=2), Fraction(1, 5), **options)


def test_experts_with_grids_of_their_own_are_not_tabulated():
    model = build_momlp(targets.get("cone", n=1), eps=0.01, expert="bit_extraction", cells=2)
    with pytest.raises(ValueError, match=r"`model` must have one grid .* cut into 2 cells"):
        model.tabulate()
