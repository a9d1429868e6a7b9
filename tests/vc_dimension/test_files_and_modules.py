"""Sets from a file or from someone else's modules: accepted when right, the wrong labeling and point named
otherwise."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from constructions import BudgetExceeded, StoreError
from constructions.vc_dimension import (
    deep,
    mixture,
    one_hidden_layer,
    routing_only,
    routing_pairs,
    two_hidden_layers,
    wide,
)
from theory.vc_dimension.checkers.file import KEY, check_file, save_shattered
from theory.vc_dimension.checkers.labelings import all_labelings
from theory.vc_dimension.checkers.networks import check_networks, shattered_by_modules

SETS = {
    "signs": one_hidden_layer(2, 3),
    "networks": one_hidden_layer(1, 5),
    "table": deep(2, 2, 8),
    "wide table": wide(4, 2, 3),
    "grid table": two_hidden_layers(9),
    "reflections": routing_only(3, 4),
    "routers": routing_pairs(2, 4, tree=True),
    "mixture": mixture(one_hidden_layer(2, 1), 4),
    "mixture of tables": mixture(deep(2, 1, 4), 3, valency=3),
}


def contents(path):
    with safe_open(path, framework="pt") as file:
        return json.loads(file.metadata()[KEY]), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def rewrite(path, spec, tensors):
    """A file without a root digest, as someone else would write it."""
    spec = {name: value for name, value in spec.items() if name != "root"}
    save_file(tensors, path, metadata={KEY: json.dumps(spec)})


@pytest.mark.parametrize("name", SETS)
def test_stored_sets_are_checked_on_their_own(name, tmp_path):
    path = save_shattered(SETS[name], tmp_path / "s.safetensors")
    spec, report = check_file(path)
    assert report.holds, report.failure
    assert report.points == SETS[name].size
    assert spec["kind"] == name.split()[-1 if name.endswith("table") else 0]


@pytest.mark.parametrize("name", ["signs", "reflections", "mixture"])
def test_every_network_can_be_stored_instead(name, tmp_path):
    path = save_shattered(SETS[name], tmp_path / "s.safetensors", every_network=True)
    _, report = check_file(path)
    assert report.holds, report.failure


@pytest.mark.parametrize(
    ("name", "tensor", "index"),
    [
        ("signs", "base", (1, 0)),
        ("signs", "directions", (0, 1, 1)),
        ("signs", "points", (2, 0)),
        ("table", "base.3.bias", (0,)),
        ("table", "entry.vector", (0, 1)),
        ("table", "entry.row", (0,)),
        ("table", "cell", (0,)),
        ("wide table", "base.1.bias", (1,)),
        ("grid table", "base.0.bias", (1,)),
        ("reflections", "base", (0, 1)),
        ("routers", "values", (5, 1)),
        ("mixture", "cell.1.base", (0, 0)),
        ("mixture", "cell.2.points", (1, 0)),
    ],
)
def test_a_changed_number_is_found_with_and_without_a_digest(name, tensor, index, tmp_path):
    path = save_shattered(SETS[name], tmp_path / "s.safetensors")
    spec, tensors = contents(path)
    tensors[tensor][index] = -tensors[tensor][index] if tensor == "values" else tensors[tensor][index] + 1
    save_file(tensors, path, metadata={KEY: json.dumps(spec)})
    with pytest.raises(StoreError, match="root digest"):
        check_file(path)
    rewrite(path, spec, tensors)
    try:
        _, report = check_file(path)
    except StoreError:
        return
    assert not report.holds
    assert report.failure


def test_one_wrong_label_in_a_foreign_file_is_named(tmp_path):
    path = save_shattered(one_hidden_layer(2, 2), tmp_path / "s.safetensors", every_network=True)
    spec, tensors = contents(path)
    rewrite(path, spec, tensors)
    assert check_file(path)[1].holds
    tensors["layer.0.bias"][13, 1] -= 20  # labeling 13 = 10110 read from point 0 on
    rewrite(path, spec, tensors)
    failure = check_file(path)[1].failure
    assert failure.startswith("labeling 10110: point ")


def test_missing_and_repeated_labelings_are_named(tmp_path):
    path = save_shattered(one_hidden_layer(2, 1), tmp_path / "s.safetensors", every_network=True)
    spec, tensors = contents(path)
    rewrite(path, spec, {k: (v if k == "points" else v[:7].clone()) for k, v in tensors.items()})
    assert check_file(path)[1].failure == "7 of 8 labelings are there; 111 is missing"
    tensors["labels"][3] = tensors["labels"][2]
    rewrite(path, spec, tensors)
    assert "010 occurs more than once" in check_file(path)[1].failure


@pytest.mark.parametrize(
    "damage",
    [
        lambda spec, tensors: spec.update(kind="nonsense"),
        lambda spec, tensors: spec.update(schema=9),
        lambda spec, tensors: spec.pop("kind"),
        lambda spec, tensors: tensors.pop("base"),
        lambda spec, tensors: tensors.update(points=tensors["points"][:, :1].clone()),
    ],
)
def test_damaged_files_end_in_a_store_error(damage, tmp_path):
    path = save_shattered(one_hidden_layer(2, 3), tmp_path / "s.safetensors")
    spec, tensors = contents(path)
    damage(spec, tensors)
    rewrite(path, spec, tensors)
    with pytest.raises(StoreError):
        check_file(path)


def test_absurd_word_lengths_in_a_file_are_refused(tmp_path):
    path = save_shattered(deep(2, 1, 3), tmp_path / "s.safetensors")
    spec, tensors = contents(path)
    spec["bits"] = 10**9
    rewrite(path, spec, tensors)
    with pytest.raises(StoreError, match="bits"):
        check_file(path)


def test_truncated_foreign_and_unwritable_paths(tmp_path):
    path = save_shattered(one_hidden_layer(2, 3), tmp_path / "s.safetensors")
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(StoreError, match="cannot read"):
        check_file(path)
    save_file({"points": torch.zeros(1, 1)}, path)
    with pytest.raises(StoreError, match="without the metadata"):
        check_file(path)
    with pytest.raises(StoreError, match="cannot write"):
        save_shattered(one_hidden_layer(2, 3), tmp_path / "absent" / "s.safetensors")
    with pytest.raises(StoreError, match="128 bits"):
        save_shattered(wide(3, 1, 128), path)
    with pytest.raises(BudgetExceeded, match="2\\^257"):
        save_shattered(one_hidden_layer(16, 16), path, every_network=True)


# --- networks and modules of others --------------------------------------------------------------------


def test_real_valued_networks_are_accepted_with_a_margin_and_refused_within_rounding():
    """Halving all weights of the last layer keeps the signs; moving an output next to 0 does not convince."""
    shattered = one_hidden_layer(2, 2)
    labels = all_labelings(0, 32, 5, "cpu")
    layers = [(w.clone(), b.clone()) for w, b in shattered.weights(labels)]
    layers[1] = (layers[1][0] / 3, layers[1][1] / 3)
    assert check_networks(shattered.points, labels, layers).holds
    layers[1] = (layers[1][0] * 1e-20, layers[1][1] * 1e-20)
    layers[1][1].add_(torch.where(labels[:, :1], 1e-17, -1e-17))
    assert not check_networks(shattered.points, labels, layers).holds


def test_modules_of_others_are_checked_one_by_one():
    shattered = one_hidden_layer(2, 2)
    assert shattered_by_modules(shattered.points, shattered.module).holds
    router, tree = routing_only(2, 3), mixture(one_hidden_layer(2, 1), 2)
    assert shattered_by_modules(router.points, router.module).holds
    assert shattered_by_modules(tree.points, tree.module).holds

    def one_wrong(labels):
        honest = shattered.module(labels)
        if labels.tolist() == [False, True, True, False, True]:
            honest[-1].bias.mul_(-1)
        return honest

    failure = shattered_by_modules(shattered.points, one_wrong).failure
    assert failure.startswith("labeling 01101: point ")


def test_unknown_modules_and_many_points_are_refused():
    points = torch.tensor([[0], [1]])
    with pytest.raises(TypeError, match="Sigmoid"):
        shattered_by_modules(points, lambda labels: nn.Sequential(nn.Linear(1, 1), nn.Sigmoid()))
    with pytest.raises(TypeError, match="end with a Linear"):
        shattered_by_modules(points, lambda labels: nn.Sequential(nn.Linear(1, 1), nn.ReLU()))
    with pytest.raises(TypeError, match="Bilinear"):
        shattered_by_modules(points, lambda labels: nn.Bilinear(1, 1, 1))
    with pytest.raises(BudgetExceeded, match="2\\^21"):
        shattered_by_modules(torch.arange(21)[:, None], lambda labels: nn.Linear(1, 1))
    same = torch.zeros(2, 1, dtype=torch.int64)
    assert "occurs 2 times" in shattered_by_modules(same, lambda labels: nn.Linear(1, 1)).failure


def test_a_router_with_coarse_digits_is_refused(tmp_path):
    coarse = replace(routing_only(3, 4), binary_digits=2)
    _, report = check_file(save_shattered(coarse, tmp_path / "s.safetensors"))
    assert "do not keep its prototypes apart" in report.failure
