"""Every hot path on the pretended device: the same kernels underneath, so the same bits as on the CPU."""

from dataclasses import asdict

import pytest
import torch
from torch import nn

from constructions import (
    LipschitzFunction,
    Modulus,
    PathwayTree,
    Routing,
    build_momlp,
    load,
    save,
    targets,
    train_momlp,
)
from constructions.trained_momlp.training import Options
from constructions.vc_dimension import deep, mixture, one_hidden_layer, routing_only, routing_pairs, wide
from constructions.vc_dimension.nearest_prototype import NearestPrototype
from theory.checkers import uniform_error
from theory.checkers.uniform_error import certify_uniform_error, sampled
from theory.claim import Status
from theory.pathway_tree.checkers import covering_net, own_leaves, routing_difference
from theory.vc_dimension.checkers import shattered_by_random_labelings, shattered_exhaustively
from theory.vc_dimension.checkers.labelings import all_labelings
from theory.vc_dimension.checkers.networks import check_networks, shattered_by_modules

CONE, TURN = targets.get("cone", n=2), targets.get("vector_rotation", n=2)
HOLDER = LipschitzFunction(
    lambda x: (x - 0.5).abs().sum(-1).sqrt() / 2, n=2, modulus=Modulus.holder(0.6, 0.5), name="hoelder"
)
MODELS = {
    "pencil": (CONE, {"eps": 0.1}),
    "declared": (LipschitzFunction(lambda x: x.sum(-1), n=3, lipschitz=1.8), {"eps": 0.4}),
    "ternary": (targets.get("max_affine", n=3), {"eps": 0.2, "valency": 3}),
    "constant": (CONE, {"eps": 0.1, "expert": "constant"}),
    "prelu": (TURN, {"eps": 0.1, "activation": "prelu"}),
    "float32": (TURN, {"eps": 0.1, "dtype": torch.float32}),
    "line": (targets.get("weierstrass", n=1), {"eps": 0.2}),
    "hoelder": (HOLDER, {"eps": 0.3}),
    "lazy": (CONE, {"eps": 0.1, "lazy": True}),
    "tiny cache": (TURN, {"eps": 0.1, "lazy": True, "cache_bytes": 3000}),
    "deep words": (CONE, {"eps": 0.3, "expert": "bit_extraction"}),
    "wide words": (TURN, {"eps": 0.2, "expert": "bit_extraction", "lookup": "wide"}),
    "two axes": (CONE, {"eps": 0.5, "expert": "bit_extraction", "resolved": 2, "lookup": "wide"}),
    "cells of two axes": (CONE, {"eps": 0.5, "expert": "bit_extraction", "resolved": 2, "lookup": "wide", "cells": 2}),
    "lazy words": (CONE, {"eps": 0.2, "expert": "bit_extraction", "lazy": True, "lookup": "wide"}),
}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def points(f, count=700):
    return f.domain.sample(count, seeded(1))


def on(place, name):
    f, options = MODELS[name]
    return f, build_momlp(f, device=place, **options)


# --- building, routing, answering, storing ----------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_built_models_route_and_answer_alike(sim, name):
    (f, here), (_, there) = on("cpu", name), on(sim, name)
    x = points(f)
    assert {p.device for p in there.parameters()} == {torch.device("sim", 0)}
    assert torch.equal(there.route(x.to(sim)).cpu(), here.route(x))
    y = there(x.to(sim))
    assert y.device == torch.device("sim", 0)
    assert torch.equal(y.cpu(), here(x))
    leaf = here.route(x[:1])[0].tolist() or [0]
    expert = here.expert(leaf[0] if len(leaf) == 1 else leaf), there.expert(leaf[0] if len(leaf) == 1 else leaf)
    assert torch.equal(expert[1](x.to(sim, here(x).dtype)).cpu(), expert[0](x.to(here(x).dtype)))


@pytest.mark.parametrize("name", MODELS)
def test_files_from_the_device_are_the_cpus_byte_by_byte(sim, name, tmp_path):
    (f, here), (_, there) = on("cpu", name), on(sim, name)
    if here.lazy and f.expression is None:
        pytest.skip("a lazy model of a black box has no file")
    first, second = save(here, tmp_path / "cpu.safetensors"), save(there, tmp_path / "sim.safetensors")
    assert first.read_bytes() == second.read_bytes()
    x = points(f)
    for options in ({}, {"lazy": True}):
        model = load(second, device=sim, **options)
        assert torch.equal(model(x.to(sim)).cpu(), here(x))
        assert torch.equal(load(second, **options)(x), here(x))


def test_a_byte_budget_holds_on_the_device(sim, tmp_path):
    model = build_momlp(CONE, eps=0.05)
    path = save(model, tmp_path / "model.safetensors")
    lazy = load(path, lazy=True, budget_bytes=60_000, device=sim)
    x = points(CONE, 3000)
    found = torch.cat([lazy(part, upcoming=part) for part in x.to(sim).split(500)])
    assert torch.equal(found.cpu(), model(x))
    assert lazy.resident_bytes <= 60_000


def test_moving_a_model_there_and_back(sim):
    for name in ("pencil", "prelu", "wide words"):
        f, model = on("cpu", name)
        x = points(f)
        expected = model(x)
        assert torch.equal(model.to(sim)(x.to(sim)).cpu(), expected)
        with pytest.raises(ValueError, match="`x` must be on the model's device sim:0, got cpu"):
            model(x)
        assert torch.equal(model.to("cpu")(x), expected)


def test_lattice_and_tree_route_alike(sim):
    tree = PathwayTree((17, 5, 3), valency=3)
    z = torch.rand(3000, 3, dtype=torch.float64, generator=seeded()) * torch.tensor([17.0, 5.0, 3.0])
    z[::3] = z[::3].ceil()
    assert torch.equal(tree.route(z.to(sim)).cpu(), tree.route(z))
    assert torch.equal(tree.nearest_leaf(z.to(sim)).cpu(), tree.nearest_leaf(z))


@pytest.mark.parametrize("method", ["farthest_point", "kmeans"])
def test_routers_from_data(sim, method):
    x, queries = (torch.rand(count, 3, dtype=torch.float64, generator=seeded(count)) for count in (400, 2000))
    found = []
    for place in ("cpu", sim):
        tree = PathwayTree.from_points(x.to(place), leaves=12, valency=3, method=method)
        there = queries.to(place)
        routes = torch.stack([tree.route(there), tree.nearest_leaf(there)]).tolist()
        own = own_leaves(tree).failure
        measured = covering_net(x.to(place), tree.leaf_prototypes), routing_difference(tree, there), own
        edges = sorted(tree.to_networkx().edges)
        found.append((routes, tree.prototypes.tolist(), tree.height, edges, *measured))
    assert found[0] == found[1]


def test_nearest_prototypes(sim):
    levels = [torch.rand(1, 3, 2, generator=seeded()), torch.rand(3, 2, 2, generator=seeded(1))]
    values, x = torch.rand(6, generator=seeded(2)), torch.rand(300, 2, generator=seeded(3))
    here, there = (NearestPrototype([w.to(p) for w in levels], values.to(p)) for p in ("cpu", sim))
    assert torch.equal(there(x.to(sim)).cpu(), here(x))


# --- certificates -----------------------------------------------------------------------------------------

CERTIFICATES = {
    "branch and bound": ("pencil", {}),
    "gap": ("pencil", {"eps": None, "gap": 0.05}),
    "refuted": ("pencil", {"eps": 0.01}),
    "exhausted": ("pencil", {"eps": 0.07725, "max_evaluations": 400}),
    "balls": ("pencil", {"enclosed": True}),
    "prelu": ("prelu", {}),
    "float32": ("float32", {}),
    "constants": ("constant", {}),
    "lazy": ("lazy", {}),
    "a priori": ("ternary", {"method": "a_priori", "samples": 300}),
    "sampled": ("ternary", {"method": "sampled", "samples": 300}),
    "simplices": ("wide words", {"samples": 300}),
    "deep simplices": ("deep words", {"samples": 300}),
    "simplices on a plate": ("two axes", {"samples": 300}),
}


@pytest.fixture
def brief(monkeypatch):
    """Gradient ascent of two steps instead of sixty."""
    monkeypatch.setattr(sampled, "ASCENT_STEPS", 2)


def said(certificate):
    return {k: v for k, v in asdict(certificate).items() if k not in ("seconds", "device")}


@pytest.mark.parametrize("name", CERTIFICATES)
def test_certificates_are_the_same_to_the_last_bit(sim, brief, name):
    model, changes = CERTIFICATES[name]
    (f, here), (_, there) = on("cpu", model), on(sim, model)
    options = {"eps": MODELS[model][1]["eps"]} | changes
    expected, found = certify_uniform_error(here, f, **options), certify_uniform_error(there, f, **options)
    assert found.device == "sim:0"
    assert said(found) == said(expected)
    status = {"refuted": Status.REFUTED, "exhausted": Status.INCONCLUSIVE, "sampled": Status.NOT_REFUTED}
    assert found.status is status.get(name, Status.CERTIFIED)


class Halves(nn.Module):
    """A mixture of somebody else: two deep experts."""

    num_leaves = 2

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.parts = nn.ModuleList(
            nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 4), nn.PReLU(), nn.Linear(4, 1)).double()
            for _ in range(2)
        )

    def route(self, x):
        return (x[:, 0] > 0.5).long()

    def expert(self, leaf):
        return self.parts[leaf]

    def cell_bounds(self, leaf):
        place = self.parts[0][0].weight.device
        return torch.tensor([0.5 * leaf, 0.0], device=place), torch.tensor([0.5 + 0.5 * leaf, 1.0], device=place)

    def forward(self, x):
        return torch.where(self.route(x)[:, None] == 0, self.parts[0](x), self.parts[1](x))


def test_foreign_mixtures_and_the_device_argument(sim):
    expected = certify_uniform_error(Halves(), CONE, gap=0.5)
    found = certify_uniform_error(Halves(), CONE, gap=0.5, device=sim)
    assert said(found) == said(expected)
    assert (found.device, found.status) == ("sim:0", Status.CERTIFIED)


def test_a_careless_target_is_not_certified(sim):
    """A target that makes its tensors on the CPU fails by name instead of being certified."""
    careless = LipschitzFunction(lambda x: x[:, 0] * torch.ones(len(x), dtype=x.dtype), n=2, lipschitz=1.0)
    assert uniform_error.uniform_error_le_eps(build_momlp(careless, eps=0.2), careless, 0.2).status is Status.CERTIFIED
    with pytest.raises(ValueError, match=r"`fn` .* failed on a tensor .* two devices"):
        build_momlp(careless, eps=0.2, device=sim)


# --- shattering -------------------------------------------------------------------------------------------

SETS = {
    "signs": one_hidden_layer(2, 3),
    "table": deep(2, 1, 2),
    "wide table": wide(3, 2, 2),
    "reflections": routing_only(3, 3),
    "long reflections": routing_only(8, 2),
    "tree of pairs": routing_pairs(2, 4, tree=True),
    "flat pairs": routing_pairs(2, 4, tree=False),
    "mixture": mixture(one_hidden_layer(1, 1), 4),
    "mixture of tables": mixture(deep(2, 1, 1), 2, valency=3),
}


@pytest.mark.parametrize("name", SETS)
def test_sets_are_shattered_there_as_here(sim, name):
    expected, found = (shattered_exhaustively(SETS[name], device=place) for place in ("cpu", sim))
    assert found == expected
    assert found.holds
    expected, found = (shattered_by_random_labelings(SETS[name], 5, seeded(), device=p) for p in ("cpu", sim))
    assert found == expected


@pytest.mark.parametrize(
    "few", [one_hidden_layer(2, 1), routing_pairs(1, 4, tree=True), mixture(one_hidden_layer(1, 1), 2)]
)
def test_modules_on_the_device(sim, few):
    for wrong in (False, True):

        def network(labels, place, wrong=wrong):
            return few.module(labels ^ (wrong & (labels.sum() == 1))).to(place)

        expected, found = (
            shattered_by_modules(few.points.double().to(p), lambda labels, p=p: network(labels, p))
            for p in ("cpu", sim)
        )
        assert found == expected
        assert found.holds is not wrong


def test_stacked_networks_on_the_device(sim):
    labels = all_labelings(0, 2**7, 7, sim)
    layers = SETS["signs"].weights(labels)
    place = SETS["signs"].points.to(sim)
    assert check_networks(place, labels, layers).holds
    twice = torch.cat([labels[:-1], labels[:1]])
    assert (
        check_networks(place, twice, SETS["signs"].weights(twice)).failure == "labeling 0000000 occurs more than once"
    )
    some = check_networks(place, labels[1:], SETS["signs"].weights(labels[1:]))
    assert "of 128 labelings are there; 0000000 is missing" in some.failure


# --- training ---------------------------------------------------------------------------------------------

INPUTS = torch.rand(300, 2, dtype=torch.float64, generator=seeded())
WAVE, CLASSES = (INPUTS.sum(1) * 3).sin(), (INPUTS.sum(1) > 1).long() + (INPUTS[:, 0] > 0.5).long()
SHORT = Options(steps=9, batch_size=24, evaluate_every=2, patience=2)


def trained(place, y=WAVE, x=INPUTS, **options):
    fixed = {"leaves": 5, "expert_hidden": (6, 5), "options": SHORT, "generator": seeded()}
    model = train_momlp(x, y, device=place, **(fixed | options))
    return model, [model.experts.detach().cpu(), model.report.validation_loss, model.report.steps]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"dtype": torch.float32, "routing": Routing(overlap=2)},
        {"y": CLASSES, "task": "classification", "routing": Routing(router="flat")},
        {"budget_bytes": 130_000},
        {"budget_bytes": 400_000, "validation": 0},
        {"routing": Routing("farthest_point", valency=3), "validation": torch.arange(300) % 4 == 0},
    ],
)
def test_training_is_the_same_to_the_last_bit(sim, options):
    expected, found = trained("cpu", **options)[1], trained(sim, **options)[1]
    assert all(torch.equal(a, b) for a, b in zip(expected, found, strict=True))


def test_data_on_the_device_wait_on_the_host(sim):
    """The model of `train_momlp` stays on the CPU, wherever its data lie."""
    mask = torch.arange(300) % 5 == 0
    _, expected = trained("cpu", validation=mask)
    model, found = trained(sim, x=INPUTS.to(sim), y=WAVE.to(sim), validation=mask.to(sim))
    assert model.place == torch.device("cpu")
    assert all(torch.equal(a, b) for a, b in zip(expected, found, strict=True))


def test_interrupted_training_goes_on_on_either_device(sim, tmp_path, monkeypatch):
    """A checkpoint from the device is the CPU's: a run may change devices on the way."""
    from constructions.trained_momlp import training

    evaluate, expected = training._Group._evaluated, trained("cpu")[1]
    for first, second in ((sim, sim), (sim, "cpu"), ("cpu", sim)):
        calls = []

        def interrupted(self, *arguments, calls=calls):
            calls.append(1)
            if len(calls) == 3:
                raise KeyboardInterrupt
            return evaluate(self, *arguments)

        path = tmp_path / f"{first}-{second}.safetensors"
        monkeypatch.setattr(training._Group, "_evaluated", interrupted)
        with pytest.raises(KeyboardInterrupt):
            trained(first, checkpoint=path)
        monkeypatch.setattr(training._Group, "_evaluated", evaluate)
        assert all(torch.equal(a, b) for a, b in zip(expected, trained(second, checkpoint=path)[1], strict=True))


def test_trained_models_move_answer_and_store(sim, tmp_path):
    model, _ = trained("cpu", y=CLASSES, task="classification")
    y, path = model(INPUTS), save(model, tmp_path / "here.safetensors")
    there = model.to(sim)
    assert torch.equal(there(INPUTS.to(sim)).cpu(), y)
    assert torch.equal(there.predict(INPUTS.to(sim)).cpu(), y.argmax(-1))
    assert save(there, tmp_path / "there.safetensors").read_bytes() == path.read_bytes()
    for options in ({}, {"lazy": True}, {"lazy": True, "budget_bytes": 40_000}):
        loaded = load(path, device=sim, **options)
        assert torch.equal(loaded(INPUTS.to(sim)).cpu(), y)
