"""Experts as players: the closed form against all coalitions, the game against routing by hand, many players."""

import math
import re
from functools import cache
from itertools import combinations

import pytest
import torch

from constructions import Routing, build_momlp, targets, train_momlp
from constructions.shapley_interactions import ExpertGame, KernelSHAPIQ, explain, shapley_interactions
from constructions.shapley_interactions.coalitions import all_masks
from constructions.shapley_interactions.families import first_available
from constructions.trained_momlp.training import Options
from tests.shapley_interactions.by_definition import largest_gap, seeded

X = torch.rand(120, 3, generator=seeded(), dtype=torch.float64)
Y = X[:, 0] * X[:, 1] + X[:, 2]
CLASSES = (X[:, 0] > X[:, 1]).long() + (X[:, 2] > 0.5).long()


@cache
def trained(router="tree", task="regression"):
    return train_momlp(
        X,
        CLASSES if task == "classification" else Y,
        leaves=7,
        expert_hidden=(4,),
        routing=Routing(router=router, valency=3),
        task=task,
        options=Options(steps=20),
        generator=seeded(),
    )


@cache
def built():
    return build_momlp(targets.get("sum_of_sines", n=2), eps=0.1)


# --- who answers ------------------------------------------------------------------------------------------------


def by_descent(tree, z, alive):
    """The leaf that a point reaches when it goes to the nearest child with an alive leaf below it."""
    below = {}

    def alive_below(node):
        if node not in below:
            leaf = int(tree.leaf_of_node[node])
            children = [c for c in tree.children[node].tolist() if c >= 0]
            below[node] = alive[leaf] if leaf >= 0 else any(map(alive_below, children))
        return below[node]

    node = 0
    while int(tree.leaf_of_node[node]) < 0:
        children = [c for c in tree.children[node].tolist() if c >= 0 and alive_below(c)]
        node = min(children, key=lambda c: (float((tree.prototypes[c] - z).square().sum()), children.index(c)))
    return int(tree.leaf_of_node[node])


@pytest.mark.parametrize("router", ["tree", "flat"])
def test_points_go_to_the_nearest_alive_expert(router):
    model, points = trained(router), X[:40]
    game = ExpertGame(model, points, Y[:40])
    z = model.standardise(points)
    for mask in all_masks(7, 1, 128)[::9].tolist():
        if router == "tree":
            leaves = [by_descent(model.tree, row, mask) for row in z]
        else:
            gaps = (z[:, None] - model.tree.leaf_prototypes).square().sum(-1)
            leaves = gaps.masked_fill(~torch.tensor(mask), math.inf).argmin(-1).tolist()
        answers = torch.stack([model.expert(leaf)(row[None])[0] for leaf, row in zip(leaves, points, strict=True)])
        value = -float((answers.detach()[:, 0] - Y[:40]).square().mean())
        assert float(game(torch.tensor([mask]))[0]) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize("router", ["tree", "flat"])
def test_all_alive_is_the_mixture_and_none_its_mean(router):
    model = trained(router)
    game = ExpertGame(model, X, Y)
    assert torch.equal(game.order[:, 0], model.route(X))
    ends = game(torch.tensor([[False] * 7, [True] * 7]))
    assert float(ends[0]) == pytest.approx(-float((Y - Y.mean()).square().mean()))
    assert float(ends[1]) == pytest.approx(-float((model(X)[:, 0] - Y).square().mean()))


@pytest.mark.parametrize("loss", ["error", "log"])
def test_classes(loss):
    model = trained(task="classification")
    game = ExpertGame(model, X, CLASSES, loss=loss)
    logits = model(X)
    right = (logits.argmax(-1) != CLASSES).double() if loss == "error" else None
    right = torch.nn.functional.cross_entropy(logits, CLASSES) if right is None else right.mean()
    shares = torch.bincount(CLASSES).double() / len(CLASSES)
    none = 1 - shares.max() if loss == "error" else -(shares * shares.log()).sum()
    ends = game(torch.tensor([[False] * 7, [True] * 7]))
    assert ends.tolist() == pytest.approx([-float(none), -float(right)])


def test_cells_of_a_lattice():
    """The expert of the point's own cell first, then those of the cells with the nearest centres."""
    model = built()
    x = torch.cat([torch.rand(50, 2, generator=seeded(), dtype=torch.float64), torch.tensor([[0.0, 0.5], [1.0, 1.0]])])
    game = ExpertGame(model, x, model.target(x))
    assert game.n == model.num_leaves > 3
    assert torch.equal(game.order[:, 0], model.tree.flat_index(model.route(x)))
    lower, upper = model.cell_bounds(model.leaf_indices(torch.device("cpu")))
    centres = ((lower + upper) / 2)[game.order]
    routed = (upper - lower)[0] < 1
    gaps = (centres - x[:, None])[..., routed].square().sum(-1)
    assert bool((gaps[:, 1:] >= gaps[:, :-1] - 1e-12).all())
    whole = float((model(x) - model.target(x)).square().sum(-1).mean())
    assert float(game(torch.ones(1, game.n, dtype=torch.bool))[0]) == pytest.approx(-whole)


def test_experts_that_are_off_answer_zero():
    """No expert stands in for another: no interactions, and each has what its own points lose without it."""
    model = trained()
    game = ExpertGame(model, X, Y, off="zero")
    found = game.interactions(2, "SII")
    lost = torch.zeros(7, dtype=torch.float64).index_add_(
        0, model.route(X), (Y.square() - (model(X)[:, 0] - Y).square()).detach() / len(X)
    )
    assert torch.allclose(found.order(1), lost, atol=1e-14)
    assert float(found.order(2).abs().max()) < 1e-14
    assert largest_gap(shapley_interactions(game, 7, 2, "SII"), found) < 1e-14


# --- the closed form ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("index", ["SII", "k-SII"])
@pytest.mark.parametrize("off", ["next_nearest", "zero"])
@pytest.mark.parametrize("router", ["tree", "flat"])
def test_the_closed_form_is_the_index(router, off, index):
    game = ExpertGame(trained(router), X, Y, off=off)
    for order in (1, 2, 3, 7):
        found = game.interactions(order, index)
        assert largest_gap(found, shapley_interactions(game, 7, order, index)) < 1e-13
        assert (found.exact, found.evaluations) == (True, 0)
    assert index == "SII" or game.interactions(3, index).sum_error < 1e-14


@pytest.mark.law
@pytest.mark.parametrize(("players", "points"), [(1, 1), (2, 3), (5, 1), (9, 4), (12, 2)])
def test_the_closed_form_of_random_orders(players, points):
    game = first_available(players, points, seeded(players))
    game.empty -= 2.5  # also of no player
    order = min(players, 4)
    assert largest_gap(game.interactions(order, "SII"), shapley_interactions(game, players, order, "SII")) < 1e-14


def test_one_point_by_hand():
    """v(T) = 1 when a is the first available of p, q, a: (−1)^(s−1)/(r − s + 1) with a in S, r = 3."""
    order = torch.tensor([[1, 2, 0, 3]])
    values = torch.tensor([[0.0, 0.0, 1.0, 0.0]], dtype=torch.float64)
    found = ExpertGame.of_orders(order, values, torch.zeros(1, dtype=torch.float64)).interactions(3, "SII")
    expected = {(0,): 1 / 3, (1,): -1 / 6, (2,): -1 / 6, (0, 1): -1 / 2, (0, 2): -1 / 2, (1, 2): 1 / 2, (0, 1, 2): 1}
    for size in (1, 2, 3):
        for players in combinations(range(4), size):
            assert found[players] == pytest.approx(expected.get(players, 0), abs=1e-15)


def test_a_thousand_experts():
    game = first_available(1000, 20, seeded())
    found = game.interactions(2)
    assert found.sum_error < 1e-12
    assert float(found.prediction) == pytest.approx(float(game.values[:, 0].mean()))
    several = KernelSHAPIQ(300, 1, "SV", generator=seeded()).estimate(first_available(300, 20, seeded()), 2000)
    assert several.sum_error < 1e-12
    assert not several.rank_deficient


def test_estimates_for_a_hundred_experts():
    game = first_available(100, 20, seeded())
    truth = game.interactions(1, "SV").order(1)
    errors = []
    for budget in (1000, 4000, 16000):
        found = KernelSHAPIQ(100, 1, "SV", generator=seeded()).estimate(game, budget)
        errors.append(float((found.order(1) - truth).square().mean() / truth.square().mean()))
    assert errors[0] > 2 * errors[1] > 4 * errors[2]
    assert errors[2] < 0.05


def test_coalitions_in_batches_of_any_size():
    game = first_available(30, 50, seeded())
    before = game.empty.clone()
    masks = torch.rand(200, 30, generator=seeded(), dtype=torch.float64) < torch.rand(200, 1, generator=seeded(1))
    alone = torch.cat([game(mask[None]) for mask in masks])
    assert torch.equal(game(masks), alone)
    assert torch.equal(game.empty, before)
    by_hand = []
    for mask in masks.tolist():
        firsts = [next((r for r, e in enumerate(row) if mask[e]), None) for row in game.order.tolist()]
        by_hand.append(sum(0 if r is None else float(game.values[i, r]) for i, r in enumerate(firsts)) / 50)
    assert torch.allclose(alone, torch.tensor(by_hand, dtype=torch.float64), atol=1e-14)


def test_experts_on_a_device(device):
    """A game of random orders there: the same values and interactions."""
    here = first_available(9, 11, seeded())
    there = ExpertGame.of_orders(here.order.to(device), here.values.to(device), here.empty.to(device))
    masks = all_masks(9, 0, 512)
    assert torch.allclose(there(masks.to(device)).cpu(), here(masks), atol=1e-15)
    for a, b in zip(here.interactions(3).orders, there.interactions(3).orders, strict=True):
        assert torch.allclose(a, b.cpu(), atol=1e-14)


# --- what is refused ----------------------------------------------------------------------------------------------

REFUSED = [
    (TypeError, "`mixture` must be a mixture of this package, got int", {"mixture": 3}),
    (TypeError, "`points` must be a torch.Tensor of shape (N, n), got list", {"points": [[0.0]]}),
    (ValueError, "`points` must have shape (N, 3), got (4, 2)", {"points": X[:4, :2], "targets": Y[:4]}),
    (ValueError, "`points` must be finite, row 0 is [nan", {"points": X[:4] * math.nan, "targets": Y[:4]}),
    (ValueError, "`targets` must be floating values (N,) or (N, m), N = 120", {"targets": Y[:4]}),
    (ValueError, "`targets` must be floating values", {"targets": CLASSES}),
    (ValueError, "`targets` must be finite", {"targets": Y / 0}),
    (ValueError, "`targets` must have 1 columns, as the mixture, got 2", {"targets": torch.stack([Y, Y], 1)}),
    (ValueError, "`targets` must be int64 classes (N,), N = 120", {"loss": "error"}),
    (ValueError, "`targets` must be an integer between 0 and 0, got 2", {"loss": "error", "targets": CLASSES}),
    (ValueError, "`loss` must be one of squared, error, log, got 'l1'", {"loss": "l1"}),
    (ValueError, "`off` must be one of next_nearest, zero, got 'mean'", {"off": "mean"}),
    (ValueError, "`names` must be 7 strings, got ['a']", {"names": ["a"]}),
    (TypeError, "`log` must be a function of a message, got int", {"log": 3}),
]


@pytest.mark.parametrize(("kind", "words", "changed"), REFUSED)
def test_refused_in_one_sentence(kind, words, changed):
    options = {"mixture": trained(), "points": X, "targets": Y} | changed
    with pytest.raises(kind, match=re.escape(words)):
        ExpertGame(options.pop("mixture"), options.pop("points"), options.pop("targets"), **options)


def test_orders_that_are_none_are_refused():
    one = torch.ones(1, dtype=torch.float64)
    for order, values, words in (
        (torch.tensor([[0, 0]]), torch.zeros(1, 2), "`order` must hold every player once in each row"),
        (torch.tensor([[0, 1]]), torch.zeros(1, 3), "`order` and `values` must have shape (N, L)"),
    ):
        with pytest.raises(ValueError, match=re.escape(words)):
            ExpertGame.of_orders(order, values.double(), one)
    with pytest.raises(ValueError, match="`index` must be one of SV, SII, k-SII, got 'Moebius'"):
        first_available(3, 1, seeded()).interactions(index="Moebius")
    assert explain(first_available(3, 1, seeded()), index="Moebius").exact  # from all coalitions
    with pytest.raises(ValueError, match="`order` must leave at most"):
        first_available(1000, 1, seeded()).interactions(3)
