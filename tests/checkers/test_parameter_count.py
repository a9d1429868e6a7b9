"""Counts are measured on modules; a wrong bank is a mismatch."""

import itertools
from types import SimpleNamespace

import networkx as nx
import pytest
import torch
from torch import nn

from constructions import build_momlp, targets
from theory.checkers import parameter_count
from theory.checkers.parameter_count import measured_counts, parameter_count_eq


@pytest.mark.exact
@pytest.mark.parametrize(
    ("name", "n", "eps", "activation"),
    [("franke", 2, 0.03, "relu"), ("sum_of_sines", 3, 0.1, "prelu"), ("cone", 1, 0.01, "relu")],
)
def test_counts_equal_the_formulas(name, n, eps, activation):
    model = build_momlp(targets.get(name, n=n), eps=eps, activation=activation)
    k, m = model.plan.knots, model.m
    active = k * (n + 1 + m) + m + (k if activation == "prelu" else 0)
    leaves = model.plan.cells[0] ** (n - 1) if n > 1 else 1
    comparison = parameter_count_eq(model, {"active": active, "leaves": leaves, "total": leaves * active})
    assert comparison.equal, comparison.mismatches
    assert comparison.values["active"][0] == model.active_parameters == model.plan.parameters


@pytest.mark.exact
def test_nonzero_count_is_attained_on_a_target_without_affine_pieces():
    """≤ K(m+2) + m − 1, with equality when no slope repeats."""
    model = build_momlp(targets.get("franke", n=2), eps=0.05)
    k = model.plan.knots
    assert measured_counts(model).nonzero == k * 3
    affine = build_momlp(targets.get("constant", n=2), eps=0.05)
    assert measured_counts(affine).nonzero <= affine.plan.knots * 3


def test_a_wrong_formula_and_a_grown_expert_are_mismatches():
    model = build_momlp(targets.get("cone", n=2), eps=0.1)
    right = model.plan.parameters
    assert "active: measured" in parameter_count_eq(model, {"active": right + 1}).mismatches[0]

    class Grown(type(model)):
        def expert(self, leaf):
            network = super().expert(leaf)
            return nn.Sequential(*network, nn.Linear(1, 1)) if leaf == 0 else network

    model.__class__ = Grown
    assert not parameter_count_eq(model, {"active": right}).equal


def test_the_largest_and_the_smallest_of_experts_are_told():
    class Three(nn.Module):
        num_leaves = 3

        def route(self, x):
            return torch.zeros(len(x), dtype=torch.int64)

        def cell_bounds(self, leaf):
            return torch.zeros(1), torch.ones(1)

        def expert(self, leaf):
            layer = nn.Linear(leaf + 1, 1, bias=False)
            with torch.no_grad():
                layer.weight.copy_(torch.tensor([[1.0, 1.0, 0.0][: leaf + 1]]))
            return layer

    found = measured_counts(Three())
    assert (found.active, found.smallest, found.nonzero, found.read) == (3, 1, 2, 3)


@pytest.mark.parametrize(
    ("edges", "children"),
    [([], 0), ([(0, 1)], 1), ([(0, 1), (0, 2), (0, 3)], 3), ([(0, 1), (0, 2), (1, 3), (1, 4), (1, 5), (2, 6)], 5)],
)
def test_the_worst_path_compares_all_children_of_its_nodes(edges, children):
    graph = nx.DiGraph(edges)
    graph.add_node(0)
    tree = SimpleNamespace(root=0, to_networkx=lambda: graph)
    assert parameter_count._worst_path_children(SimpleNamespace(tree=tree)) == children


def test_a_failure_is_not_shown_twice():
    comparison = parameter_count.CountComparison({"leaves": (1, 2)}, 1, 1)
    assert repr(comparison) == "CountComparison(values={'leaves': (1, 2)}, read=1, experts=1)"


def test_a_surplus_expert_is_a_mismatch():
    model = build_momlp(targets.get("cone", n=2), eps=0.1)
    leaves = model.num_leaves
    model.out_bias = nn.Parameter(torch.cat([model.out_bias, model.out_bias[:1]]), requires_grad=False)
    assert "leaves: measured" in parameter_count_eq(model, {"leaves": leaves}).mismatches[0]


def test_the_first_mismatch_is_the_failure_and_nothing_is_not_equal():
    model = build_momlp(targets.get("cone", n=1), eps=0.1)
    right = model.plan.parameters
    assert parameter_count_eq(model, {"active": right}).failure is None
    wrong = parameter_count_eq(model, {"active": right, "total": right + 1, "stored": 1})
    assert wrong.failure == wrong.mismatches[0]
    assert wrong.failure.startswith("total: measured")
    empty = parameter_count_eq(model, {})
    assert (empty.equal, empty.mismatches, empty.failure) == (False, [], "nothing was compared")


def test_unknown_and_fractional_formulas_are_refused():
    model = build_momlp(targets.get("cone", n=1), eps=0.1)
    with pytest.raises(ValueError, match="may have the keys"):
        parameter_count_eq(model, {"speed": 1})
    with pytest.raises(ValueError, match="must be integers"):
        parameter_count_eq(model, {"active": 1.5})


def test_plain_modules_are_counted():
    assert measured_counts(nn.Linear(3, 2, dtype=torch.float64)).active == 8


def test_a_lying_number_of_leaves_is_a_mismatch():
    model = build_momlp(targets.get("cone", n=2), eps=0.1)
    rows = model.num_leaves

    class Few(type(model)):
        @property
        def num_leaves(self):
            return 1

    model.__class__ = Few
    comparison = parameter_count_eq(model, {"active": model.plan.parameters})
    assert comparison.mismatches == [f"leaves: measured {rows}, formula 1 (1 of {rows} experts read)"]


def test_an_odd_expert_between_those_read_is_not_claimed_to_be_seen():
    """100 experts, 64 read: the comparison says how many, and an odd one that was read is a mismatch."""

    class Hidden(nn.Module):
        num_leaves = 100

        def __init__(self, odd):
            super().__init__()
            self.odd, self.asked = odd, []

        def route(self, x):
            return x

        def cell_bounds(self, leaf):
            return leaf

        def expert(self, leaf):
            self.asked.append(leaf)
            return nn.Linear(2 if leaf == self.odd else 3, 1)

    honest = Hidden(-1)
    counts = measured_counts(honest)
    assert (counts.active, counts.smallest, counts.nonzero, counts.read) == (4, 4, 4, 64)
    assert (honest.asked[0], honest.asked[-1], len(set(honest.asked))) == (0, 99, 64)
    assert measured_counts(Hidden(99)).smallest == 3
    Hidden.num_leaves = 5
    assert measured_counts(Hidden(3)).read == 5
    assert measured_counts(Hidden(3)).smallest == 3
    for wrong in (0, -1, 2.0, None):
        Hidden.num_leaves = wrong
        with pytest.raises(ValueError, match="`num_leaves`"):
            measured_counts(Hidden(-1))
    Hidden.num_leaves = 1
    del Hidden.route
    with pytest.raises(ValueError, match="or none of them: it has expert, cell_bounds, num_leaves and lacks route"):
        measured_counts(Hidden(-1))


def test_arguments_are_named():
    model = build_momlp(targets.get("cone", n=1), eps=0.1)
    with pytest.raises(TypeError, match="`model` must be a LatticeMixture"):
        parameter_count_eq(nn.Linear(1, 1), {"active": 2})
    with pytest.raises(TypeError, match="`model` must be a Module"):
        measured_counts(None)
    with pytest.raises(TypeError, match="`formulas`"):
        parameter_count_eq(model, None)
    for value in (float("nan"), float("inf"), "5", None, True, [1]):
        with pytest.raises(ValueError, match="`formulas` must be integers"):
            parameter_count_eq(model, {"active": value})


@pytest.mark.exact
def test_every_key_by_hand():
    model = build_momlp(targets.get("cone", n=2), eps=0.2)
    k, leaves = model.plan.knots, model.num_leaves
    active = 4 * k + 1
    children = model.tree.max_path_children
    formulas = {
        "active": active,
        "leaves": leaves,
        "total": leaves * active,
        "stored": sum(p.numel() for p in model.parameters()),
        "loaded": active + 2 * (children if isinstance(children, int) else children()),
    }
    comparison = parameter_count_eq(model, formulas)
    assert comparison.equal, comparison.mismatches
    assert (comparison.read, comparison.experts) == (min(64, leaves), leaves)
    off = parameter_count_eq(model, {name: value + 1 for name, value in formulas.items()})
    assert len(off.mismatches) == 5


@pytest.mark.parametrize("leaves", [1, 2, 64, 1000])
def test_experts_are_read_from_the_first_to_the_last(leaves):
    """At most 64, evenly spread; of sizes 1 … leaves the smallest and the largest are seen."""
    asked = []

    class Growing(nn.Module):
        num_leaves = leaves

        def route(self, x):
            return torch.zeros(len(x), dtype=torch.int64)

        def expert(self, leaf):
            asked.append(leaf)
            return nn.Linear(leaf + 1, 1, bias=False)

        def cell_bounds(self, leaf):
            return torch.zeros(1), torch.ones(1)

    counts = measured_counts(Growing())
    assert (counts.active, counts.smallest, counts.read) == (leaves, 1, min(leaves, 64))
    assert (asked[0], asked[-1], len(set(asked))) == (0, leaves - 1, min(leaves, 64))
    assert max((b - a for a, b in itertools.pairwise(asked)), default=1) <= max(1, leaves // 62)
