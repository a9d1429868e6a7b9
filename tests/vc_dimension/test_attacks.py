"""Files, networks, modules and sets made to be believed: none of them may hold, and each is refused in words."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn
from torch.nn.utils import parametrizations, prune

from constructions import BudgetExceeded, StoreError
from constructions.vc_dimension import (
    ShatteredMixture,
    ShatteredRouting,
    ShatteredSet,
    deep,
    mixture,
    one_hidden_layer,
    routing_only,
    routing_pairs,
    two_hidden_layers,
    wide,
)
from constructions.vc_dimension.nearest_prototype import NearestPrototype
from constructions.vc_dimension.stacked_momlp import StackedMoMLP
from theory.vc_dimension.checkers import (
    ShatteringReport,
    certified,
    shattered_by_cells,
    shattered_by_one_hidden_layer,
    shattered_by_random_labelings,
    shattered_by_reflections,
    shattered_by_table,
    shattered_exhaustively,
)
from theory.vc_dimension.checkers.exact_routing import route_exactly
from theory.vc_dimension.checkers.file import KEY, check_file, check_routers, save_shattered
from theory.vc_dimension.checkers.labelings import all_labelings, float64_is_exact
from theory.vc_dimension.checkers.networks import check_networks, inexact_routing, shattered_by_modules
from theory.vc_dimension.checkers.reflections import check_reflections
from theory.vc_dimension.checkers.signs import SignFamily, check_signs, read_signs
from theory.vc_dimension.checkers.table import check_table, read_table
from theory.vc_dimension.checkers.table_family import TableFamily

NAN, INF = float("nan"), float("inf")


def write(path, spec, tensors):
    """A file of someone else's: without a root digest."""
    spec = {"schema": 1, **spec} if isinstance(spec, dict) else spec
    tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
    save_file(tensors, path, metadata={KEY: json.dumps(spec)})
    return path


def stored(shattered, tmp_path, **options):
    """(spec, tensors) of a set of ours as its file holds them."""
    path = save_shattered(shattered, tmp_path / "honest.safetensors", **options)
    with safe_open(path, framework="pt") as file:
        spec = json.loads(file.metadata()[KEY])
        spec.pop("root")
        return spec, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def refused(tmp_path, spec, tensors, message):
    with pytest.raises(StoreError, match=message):
        check_file(write(tmp_path / "attack.safetensors", spec, tensors))


MANY = torch.arange(1000)[:, None]


# --- files whose tensors do not belong together ----------------------------------------------------------


def test_routers_with_two_labels_for_a_thousand_points(tmp_path):
    tensors = {"points": MANY, "labels": torch.tensor([[False], [True]]), "level.0": torch.zeros(2, 1, 1, 1)}
    tensors["values"] = torch.tensor([[-1.0], [1.0]])
    refused(tmp_path, {"kind": "routers"}, tensors, r"`labels` must be labels 0 and 1 of shape \(≥ 1, 1000\)")


def test_a_table_with_one_cell_and_bit_for_a_thousand_points(tmp_path):
    spec, tensors = stored(deep(1, 1, 1), tmp_path)
    assert check_file(write(tmp_path / "s", spec, tensors))[1].holds
    points = torch.zeros(1000, 3, dtype=torch.int64)
    points[:, 2] = torch.arange(1000)
    refused(tmp_path, spec, tensors | {"points": points}, r"`cell` must be integers of shape \(1000\)")
    cells = torch.zeros(1000, dtype=torch.int64)
    refused(tmp_path, spec, tensors | {"points": points, "cell": cells}, r"`bit` must be integers of shape \(1000\)")


def test_a_bias_with_a_row_a_point(tmp_path):
    labels = all_labelings(0, 8, 3, "cpu")
    bias = torch.where(labels, 1.0, -1.0).double()[:, :, None]  # (8, 3, 1): broadcasts over points
    tensors = {"points": torch.arange(3)[:, None], "labels": labels}
    tensors |= {"layer.0.weight": torch.zeros(8, 1, 1, dtype=torch.float64), "layer.0.bias": bias}
    refused(tmp_path, {"kind": "networks"}, tensors, r"`layer.0.bias` must have shape \(8, 1\), got \(8, 3, 1\)")


def networks_file(points=2):
    """Honest networks on the line, labels (2^k, k)."""
    shattered = one_hidden_layer(1, points - 1)
    labels = all_labelings(0, 2**points, points, "cpu")
    (w, b), (v, c) = shattered.weights(labels)
    return {
        "points": shattered.points,
        "labels": labels,
        "layer.0.weight": w,
        "layer.0.bias": b,
        "layer.1.weight": v,
        "layer.1.bias": c,
    }


def drop(name):
    return lambda t: t.pop(name)


def put(name, value):
    return lambda t: t.update({name: value(t)})


NETWORKS = {
    "a single label row": (put("labels", lambda t: t["labels"][:, :1]), r"`labels` must be labels"),
    "labels of one axis": (put("labels", lambda t: t["labels"][:, 0]), r"`labels` must be labels"),
    "no labelings": (put("labels", lambda t: t["labels"][:0]), r"`labels` must be labels"),
    "labels 0 and 2": (put("labels", lambda t: t["labels"].long() * 2), r"`labels` must be labels"),
    "labels of floats": (put("labels", lambda t: t["labels"].double()), r"`labels` must be labels"),
    "points of one axis": (put("points", lambda t: t["points"][:, 0]), r"`points` must have shape"),
    "no points": (put("points", lambda t: t["points"][:0]), r"`points` must have shape"),
    "points in R^0": (put("points", lambda t: t["points"][:, :0]), r"`points` must have shape"),
    "a point NaN": (put("points", lambda t: t["points"].double() * torch.tensor([[NAN], [1.0]])), "`points` .* finite"),
    "a point inf": (put("points", lambda t: t["points"].double() + INF), r"`points` must be finite, got inf"),
    "points of bool": (
        put("points", lambda t: t["points"].bool()),
        r"`points` must be real numbers, got dtype torch.bo",
    ),
    "complex points": (put("points", lambda t: t["points"].to(torch.complex64)), r"`points` must be real numbers"),
    "points of fp8": (put("points", lambda t: t["points"].to(torch.float8_e4m3fn)), r"`points` must be real numbers"),
    "points beyond 2^53": (put("points", lambda t: t["points"] + 2**53), r"`points` must be integers up to 2\^53"),
    "the least int64": (put("points", lambda t: t["points"] - 2**63), r"up to 2\^53, got -9223372036854775808"),
    "weights NaN": (put("layer.0.weight", lambda t: t["layer.0.weight"] * NAN), r"`layer.0.weight` must be finite"),
    "a bias inf": (put("layer.1.bias", lambda t: t["layer.1.bias"] + INF), r"`layer.1.bias` must be finite"),
    "weights of two axes": (
        put("layer.0.weight", lambda t: t["layer.0.weight"][0]),
        r"`layer.0.weight` must have shape",
    ),
    "shared weights": (put("layer.0.weight", lambda t: t["layer.0.weight"][:1]), r"`layer.0.weight` must have shape"),
    "a shared bias": (put("layer.0.bias", lambda t: t["layer.0.bias"][:1]), r"`layer.0.bias` must have shape"),
    "complex weights": (put("layer.0.weight", lambda t: t["layer.0.weight"].to(torch.complex64)), "must be real"),
    "weights of bool": (put("layer.0.weight", lambda t: t["layer.0.weight"].bool()), r"`layer.0.weight` must be real"),
    "fp8 weights": (
        put("layer.0.weight", lambda t: t["layer.0.weight"].to(torch.float8_e5m2)),
        r"`layer.0.weight` must be real",
    ),
    "another width": (put("layer.1.weight", lambda t: torch.zeros(4, 1, 5)), r"`layer.1.weight` must have shape"),
    "other inputs": (put("points", lambda t: torch.eye(2)), r"`layer.0.weight` must have shape \(4, ≥ 1, 2\)"),
    "no units": (put("layer.0.weight", lambda t: torch.zeros(4, 0, 1)), r"`layer.0.weight` must have shape"),
    "no layers": (drop("layer.0.weight"), r"there must be a tensor `layer.0.weight`"),
    "no bias": (drop("layer.1.bias"), r"there must be a tensor `layer.1.bias`"),
    "no points at all": (drop("points"), r"there must be a tensor `points`"),
    "a gap between layers": (
        lambda t: t.update({"layer.3.weight": torch.zeros(4, 1, 1), "layer.3.bias": torch.zeros(4, 1)}),
        r"there must be no other tensors, there are \['layer.3.bias', 'layer.3.weight'\]",
    ),
    "a tensor that nothing reads": (put("slope", lambda t: torch.zeros(1)), r"no other tensors, there are \['slope'\]"),
    "two outputs": (
        lambda t: t.update({"layer.1.weight": torch.zeros(4, 2, 1), "layer.1.bias": torch.zeros(4, 2)}),
        r"`layers` must end with one output, got 2",
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_stored_networks_that_do_not_fit(name, tmp_path):
    tensors = networks_file()
    assert check_file(write(tmp_path / "s", {"kind": "networks"}, tensors))[1].holds
    damage, message = NETWORKS[name]
    damage(tensors)
    refused(tmp_path, {"kind": "networks"}, tensors, message)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.int8, torch.int32])
def test_other_number_types_are_read_exactly(dtype, tmp_path):
    tensors = networks_file(3)
    tensors = {name: t if t.dtype is torch.bool else t.to(dtype) for name, t in tensors.items()}
    tensors["labels"] = tensors["labels"].to(torch.uint8)
    assert check_file(write(tmp_path / "s", {"kind": "networks"}, tensors))[1].holds


def test_equal_labelings_and_equal_points_are_named(tmp_path):
    tensors = networks_file()
    tensors["labels"] = torch.zeros(4, 2, dtype=torch.bool)
    report = check_file(write(tmp_path / "s", {"kind": "networks"}, tensors))[1]
    assert report == ShatteringReport(2, 0, 0, "labeling 00 occurs more than once")
    tensors = networks_file() | {"points": torch.tensor([[0.0], [-0.0]])}
    report = check_file(write(tmp_path / "s", {"kind": "networks"}, tensors))[1]
    assert report == ShatteringReport(2, 0, 0, "the point [0.0] occurs 2 times")


def test_finite_weights_that_overflow(tmp_path):
    """inf − inf in the slack must not pass for a margin: the output of one labeling is wrong, or unknown."""
    labels = all_labelings(0, 2, 1, "cpu")
    tensors = {"points": torch.ones(1, 1, dtype=torch.float64), "labels": labels}
    tensors |= {
        "layer.0.weight": torch.full((2, 2, 1), 1e308, dtype=torch.float64),
        "layer.0.bias": torch.full((2, 2), 1e308, dtype=torch.float64),
        "layer.1.weight": torch.tensor([[[1.0, -1.0]]] * 2, dtype=torch.float64),
        "layer.1.bias": torch.where(labels, 1.0, -1.0).double(),
    }
    report = check_file(write(tmp_path / "s", {"kind": "networks"}, tensors))[1]
    assert report.failure == (
        "labeling 0: point 0, [1.0], has label 0, the network gives nan (2 of 2 wrong in this batch)"
    )
    tensors["layer.1.weight"] = torch.tensor([[[-1.0, 0.0]], [[1.0, 0.0]]], dtype=torch.float64)  # −inf and inf
    report = check_file(write(tmp_path / "s", {"kind": "networks"}, tensors))[1]
    assert "the network gives nan" in report.failure
    tensors["layer.1.weight"] = torch.tensor([[[-1.0, -1.0]], [[1.0, 1.0]]], dtype=torch.float64)
    report = check_file(write(tmp_path / "s", {"kind": "networks"}, tensors))[1]
    assert report.failure == "labeling 0: point 0, [1.0]: the output -inf is within the rounding error inf of 0"


def test_integer_weights_at_points_that_are_no_integers_are_not_exact():
    """0.1 + 0.2 − 0.3 is 5.6e-17 in float64 whatever the weights: exactness needs integer points too."""
    points = torch.tensor([[0.1, 0.2, 0.3]], dtype=torch.float64)
    weight = torch.tensor([[[1.0, 1.0, -1.0]]], dtype=torch.float64)
    layers = [(torch.cat([-weight, weight]), torch.zeros(2, 1, dtype=torch.float64))]
    assert not float64_is_exact(layers, points)
    report = check_networks(points, torch.tensor([[False], [True]]), layers)
    assert "is within the rounding error" in report.failure


# --- routers -----------------------------------------------------------------------------------------------


def routers_file(tmp_path):
    return stored(routing_pairs(2, 4, tree=True), tmp_path)


ROUTERS = {
    "values for one router": (put("values", lambda t: t["values"][:1]), r"`values` must have shape \(64, 4\)"),
    "a value too few": (put("values", lambda t: t["values"][:, :3]), r"`values` must have shape \(64, 4\)"),
    "values NaN": (put("values", lambda t: t["values"] * NAN), r"`values` must be finite"),
    "a level for one router": (
        put("level.1", lambda t: t["level.1"][:1]),
        r"`level.1` must have shape \(64, 2, ≥ 1, 2",
    ),
    "a node too many": (
        put("level.1", lambda t: torch.cat([t["level.1"]] * 2, dim=1)),
        r"`level.1` must have shape \(64, 2, ≥ 1, 2\)",
    ),
    "a missing level": (drop("level.0"), r"there must be a tensor `level.0`"),
    "a gap between levels": (put("level.3", lambda t: t["level.1"].clone()), r"no other tensors, .*level.3"),
    "no children": (put("level.1", lambda t: t["level.1"][:, :, :0]), r"`level.1` must have shape"),
    "prototypes NaN": (put("level.0", lambda t: t["level.0"] + NAN), r"`level.0` must be finite"),
    "prototypes of another space": (put("level.0", lambda t: t["level.0"][..., :1]), r"`level.0` must have shape"),
    "one label": (put("labels", lambda t: t["labels"][:, :1]), r"`labels` must be labels 0 and 1 of shape \(≥ 1, 6\)"),
}


@pytest.mark.parametrize("name", ROUTERS)
def test_stored_routers_that_do_not_fit(name, tmp_path):
    spec, tensors = routers_file(tmp_path)
    damage, message = ROUTERS[name]
    damage(tensors)
    refused(tmp_path, spec, tensors, message)


def test_an_answer_0_is_label_0_and_points_far_out_are_refused(tmp_path):
    spec, tensors = routers_file(tmp_path)
    tensors["values"] = tensors["values"].clamp(min=0)
    assert check_file(write(tmp_path / "s", spec, tensors))[1].holds
    tensors["values"].zero_()
    assert "has label 1, the network gives 0" in check_file(write(tmp_path / "s", spec, tensors))[1].failure
    spec, tensors = routers_file(tmp_path)
    tensors["points"] = tensors["points"] + 2**40  # products with 53-bit prototypes would wrap around in int64
    report = check_file(write(tmp_path / "s", spec, tensors))[1]
    assert report.failure == "the points are too far out for routing in integers"


def test_split_products_do_not_wrap_around():
    """The farthest points that are let through, with the finest prototypes, against Python integers."""
    reach = 2**33
    points = torch.tensor([[float(reach)], [float(-reach)]], dtype=torch.float64)
    level = torch.tensor([[[[2.0**-10 * (2**53 - 1)], [2.0**-10 * (2**53 - 3)]]]], dtype=torch.float64)
    leaf = route_exactly([level], points)
    assert leaf.tolist() == [[1, 1]]
    assert route_exactly([-level], points).tolist() == [[1, 1]]
    assert "too far out" in route_exactly([level], points * 8)


def test_router_arguments_that_do_not_fit():
    shattered = routing_only(1, 2)
    labels = all_labelings(0, 4, 2, "cpu")
    levels, values = shattered.routers(labels)
    levels = [level.contiguous() for level in levels]
    report = check_routers(shattered.points, labels, levels, values)
    assert report == ShatteringReport(2, 4, 8, None)
    for arguments, message in (
        ((shattered.points, labels[:, :1], levels, values), "`labels`"),
        ((shattered.points, labels, [level[:1] for level in levels], values), "`levels` must hold 4 routers"),
        ((shattered.points, labels, [], values), "at least one level"),
        ((shattered.points, labels, levels, values[:1]), "`values`"),
        ((shattered.points.double() * NAN, labels, levels, values), "`points` must be finite"),
    ):
        with pytest.raises(ValueError, match=message):
            check_routers(*arguments)
    broken = check_routers(shattered.points, labels, levels, -values)
    assert (broken.labelings, broken.evaluations) == (4, 8)
    assert broken.failure.startswith("labeling 00: point 0, [0.0], has label 0, the network gives 1 (8 of 8 wrong")


# --- signs and reflections -----------------------------------------------------------------------------------

SIGNS = {
    "base for other points": (put("base", lambda t: t["base"][:2]), r"`directions` must have shape \(2, 2, 3\)"),
    "one base row for all": (
        lambda t: t.update(base=t["base"][:1], directions=t["directions"][:1]),
        "`base` must have a row for each of the 3 clusters, got 1",
    ),
    "base NaN": (put("base", lambda t: t["base"] * NAN), r"`base` must be finite"),
    "directions of one axis": (put("directions", lambda t: t["directions"][:1]), r"`directions` must have shape"),
    "directions inf": (put("directions", lambda t: t["directions"] + INF), r"`directions` must be finite"),
    "no units": (put("base", lambda t: t["base"][:0]), r"`base` must have shape"),
    "an unknown tensor": (put("labels", lambda t: torch.zeros(1)), r"no other tensors, there are \['labels'\]"),
}


@pytest.mark.parametrize("kind", ["signs", "reflections"])
@pytest.mark.parametrize("name", SIGNS)
def test_stored_forms_that_do_not_fit(kind, name, tmp_path):
    spec, tensors = stored(one_hidden_layer(2, 3), tmp_path)
    spec |= {"kind": kind, "binary_digits": 20}
    assert check_file(write(tmp_path / "s", spec, tensors))[1].holds
    damage, message = SIGNS[name]
    damage(tensors)
    refused(tmp_path, spec, tensors, message)


@pytest.mark.parametrize("digits", [-1, 1075, 10**6, 10**8, 10**400, 20.0, True, "20", None, [20], NAN])
def test_absurd_binary_digits_are_refused_at_once(digits, tmp_path):
    spec, tensors = stored(routing_only(2, 3), tmp_path)
    assert spec["kind"] == "reflections"
    refused(tmp_path, spec | {"binary_digits": digits}, tensors, "`binary_digits` must be")


def test_forms_too_large_for_exact_squares():
    """Every sum of the l1 check stays below 2^53, the squares of the reflection check do not."""
    honest = read_signs(one_hidden_layer(2, 1))
    points, base = honest.points * 1, honest.base.clone()
    assert check_reflections(honest, 20).holds
    far = SignFamily(points, base * 1, honest.directions * 1)
    assert check_signs(far).holds
    # on the cluster −8g vanishes, so its multiples stay 0 there and grow elsewhere
    steep = SignFamily(points, base * 2**25, honest.directions)
    assert check_signs(steep).holds
    report = check_reflections(steep, 20)
    assert report.failure == "the affine forms or the points are too large for float64 to be exact"


def test_forms_out_of_range_are_inexact():
    honest = read_signs(one_hidden_layer(2, 1))
    report = check_signs(SignFamily(honest.points, honest.base * 2.0**60, honest.directions))
    assert report.failure == "the affine forms are too large for float64 to be exact"
    report = check_signs(SignFamily(honest.points, honest.base + 0.5, honest.directions))
    assert report.failure == "the affine forms or the points are not integers"
    assert (report.points, report.labelings, report.evaluations) == (3, 0, 0)
    with pytest.raises(BudgetExceeded, match="products, more than"):
        check_signs(SignFamily(torch.zeros(1_000_001, 200, dtype=torch.int64), honest.base, honest.directions))


# --- tables ------------------------------------------------------------------------------------------------

TABLE = {
    "a cell for all": (put("cell", lambda t: t["cell"][:1]), r"`cell` must be integers of shape \(12\)"),
    "a bit for all": (put("bit", lambda t: t["bit"][:1]), r"`bit` must be integers of shape \(12\)"),
    "a row for all": (put("entry.row", lambda t: t["entry.row"][:1]), r"`entry.row` must be integers of shape \(4\)"),
    "a vector for all": (put("entry.vector", lambda t: t["entry.vector"][:1]), r"`entry.vector` must be integers"),
    "no entries": (put("entry.layer", lambda t: t["entry.layer"][:0]), r"`entry.layer` must be integers"),
    "real weights": (put("base.2.weight", lambda t: t["base.2.weight"] + 0.0), r"`base.2.weight` must be integers"),
    "NaN weights": (put("base.2.weight", lambda t: t["base.2.weight"] * NAN), r"`base.2.weight` must be integers"),
    "weights of bool": (put("base.0.weight", lambda t: t["base.0.weight"].bool()), r"`base.0.weight` must be integers"),
    "a scalar bias": (put("base.1.bias", lambda t: t["base.1.bias"][:1]), r"`base.1.bias` must be integers of shape"),
    "layers that do not fit": (put("base.1.weight", lambda t: t["base.1.weight"][:, 1:]), r"`base.1.weight` must be"),
    "a gap in the layers": (drop("base.3.weight"), r"`.*no other tensors|no other tensors"),
    "real points": (put("points", lambda t: t["points"].double()), r"`points` must be integers, got dtype"),
    "points beyond 2^53": (put("points", lambda t: t["points"] * 2**53), r"`points` must be integers up to 2\^53"),
    "another tensor": (put("labels", lambda t: torch.zeros(1)), "no other tensors"),
}


@pytest.mark.parametrize("name", TABLE)
def test_stored_tables_that_do_not_fit(name, tmp_path):
    spec, tensors = stored(deep(2, 1, 3), tmp_path)
    assert check_file(write(tmp_path / "s", spec, tensors))[1].holds
    damage, message = TABLE[name]
    damage(tensors)
    refused(tmp_path, spec, tensors, message)


@pytest.mark.parametrize(
    ("entry", "value", "message"),
    [
        (entry, value, f"`{entry}` must be a JSON int")
        for entry in ("bits", "memory")
        for value in (2.0, True, "3", None, [3], NAN)
    ]
    + [("bits", value, "`bits` must be an integer between 1 and 52") for value in (0, -3, 53, 10**9, 10**400)],
)
def test_bits_and_memory_of_other_types(entry, value, message, tmp_path):
    spec, tensors = stored(deep(2, 1, 3), tmp_path)
    refused(tmp_path, spec | {entry: value}, tensors, message)


def wrong_index(name, value):
    return lambda t: t[name].__setitem__(0, value)


@pytest.mark.parametrize(
    ("damage", "memory", "failure"),
    [
        (wrong_index("entry.layer", -1), 2, "an entry of the table sits in a layer below 0"),
        (wrong_index("entry.layer", 2), 2, "an entry of the table sits behind the memory"),
        (wrong_index("entry.row", -1), 2, "an entry of the table sits in a row that its layer does not have"),
        (wrong_index("entry.row", 6), 2, "an entry of the table sits in a row that its layer does not have"),
        (wrong_index("entry.row", 2**62), 2, "an entry of the table sits in a row that its layer does not have"),
        (wrong_index("cell", -1), 2, "a point asks for a bit outside 1 … 3 or an entry outside 0 … 3"),
        (wrong_index("cell", 4), 2, "a point asks for a bit outside 1 … 3 or an entry outside 0 … 3"),
        (wrong_index("cell", -(2**63)), 2, "a point asks for a bit outside 1 … 3 or an entry outside 0 … 3"),
        (wrong_index("bit", 0), 2, "a point asks for a bit outside 1 … 3 or an entry outside 0 … 3"),
        (wrong_index("bit", 4), 2, "a point asks for a bit outside 1 … 3 or an entry outside 0 … 3"),
        (wrong_index("bit", 2), 2, "two points ask for the same bit of the same entry"),
        (lambda t: None, -1, "`memory` must be between 1 and the 6 hidden layers, got -1"),
        (lambda t: None, 0, "`memory` must be between 1 and the 6 hidden layers, got 0"),
        (lambda t: None, 7, "`memory` must be between 1 and the 6 hidden layers, got 7"),
        (lambda t: None, 10**400, "`memory` must be between 1 and the 6 hidden layers, got 1000"),
        (lambda t: None, 1, "an entry of the table sits behind the memory"),
        (
            lambda t: t.update({"entry.vector": torch.nn.functional.pad(t["entry.vector"], (1, 0))}),
            2,
            "`vectors` must be integers of shape (4, 9), got int64 (4, 10)",
        ),
    ],
)
def test_tables_with_indices_out_of_range(damage, memory, failure, tmp_path):
    spec, tensors = stored(deep(2, 1, 3), tmp_path)
    damage(tensors)
    report = check_file(write(tmp_path / "s", spec | {"memory": memory}, tensors))[1]
    assert report.failure.startswith(failure)
    assert not report.holds


def test_numbers_beyond_a_layers_inputs_are_refused(tmp_path):
    """Entry vectors are as wide as the widest layer; what lies behind an entry's own layer must be 0."""
    spec, tensors = stored(deep(2, 1, 3), tmp_path)
    assert tensors["entry.vector"].shape == (4, 9)
    assert tensors["base.1.weight"].shape[1] == 7
    tensors["entry.vector"][0, 7] = 1
    report = check_file(write(tmp_path / "s", spec, tensors))[1]
    assert report.failure == "an entry of the table multiplies a unit that its layer does not have"


def test_a_table_with_two_outputs(tmp_path):
    spec, tensors = stored(deep(2, 1, 3), tmp_path)
    for part in ("weight", "bias"):
        tensors[f"base.6.{part}"] = torch.cat([tensors[f"base.6.{part}"]] * 2)
    assert check_file(write(tmp_path / "s", spec, tensors))[1].failure == "there are 2 outputs"


@pytest.mark.parametrize("value", [-(2**63), 2**63 - 1, -(2**53), 2**53])
@pytest.mark.parametrize("name", ["base.0.weight", "base.1.bias", "base.3.bias", "base.6.weight", "entry.vector"])
def test_weights_at_the_ends_of_int64(name, value, tmp_path):
    """Every number at the ends of int64 and of float64's integers is computed with exactly, and none is believed."""
    spec, tensors = stored(deep(2, 1, 3), tmp_path)
    tensors[name].view(-1)[-1] = value
    report = check_file(write(tmp_path / "s", spec, tensors))[1]
    assert report.failure


def test_arrays_of_a_table_family_that_do_not_fit():
    shattered = deep(2, 1, 3)
    family = read_table(shattered.table, shattered.points.numpy())
    assert isinstance(family, TableFamily)
    wrong = {
        "cell": (family.cell[:1], "`cell` must be integers of shape (12,)"),
        "bit": (family.bit[:, None], "`bit` must be integers of shape (12,)"),
        "rows": (family.rows.astype(float), "`rows` must be integers"),
        "vectors": (family.vectors.astype(float), "`vectors` must be integers"),
        "layers": (family.layers[:0], "`layers` must be integers of shape"),
        "points": (family.points[:0], "`points` must have shape"),
        "base": ([], "there are no layers"),
        "bits": (10**6, "`bits` and `memory` must be integers"),
        "memory": (1.0, "`bits` and `memory` must be integers"),
    }
    for name, (value, message) in wrong.items():
        report = check_table(replace(family, **{name: value}))
        assert report.failure.startswith(message), (name, report.failure)
        assert (report.labelings, report.evaluations) == (0, 0)
    thin = [(weight[:, :2] if i == 0 else weight, bias) for i, (weight, bias) in enumerate(family.base)]
    assert "have 2 inputs, the points are in R^3" in check_table(replace(family, base=thin)).failure
    real = [(weight + 0.0, bias) for weight, bias in family.base]
    assert check_table(replace(family, base=real)).failure == "the weights are not integers"


# --- mixtures and metadata -----------------------------------------------------------------------------------


def mixture_file(tmp_path):
    return stored(mixture(one_hidden_layer(2, 1), 3), tmp_path)


MIXTURES = {
    "fewer kinds than cells": (lambda s, t: s["kinds"].pop(), r"no other tensors, .*cell.2"),
    "a kind without its cell": (lambda s, t: s["kinds"].append({"kind": "signs"}), r"there must be tensors `cell.3.…`"),
    "no kinds": (lambda s, t: s.update(kinds=[]), r"`kinds` must name the kind of 1 to"),
    "kinds of strings": (lambda s, t: s.update(kinds=["signs"] * 3), r"cell 0: `kinds` must be JSON objects"),
    "kinds an object": (lambda s, t: s.update(kinds={"0": "signs"}), r"`kinds` must be a JSON list"),
    "a mixture in a mixture": (
        lambda s, t: s["kinds"].__setitem__(1, {"kind": "mixture", "kinds": [], "domain": s["domain"]}),
        r"cell 1: `kinds` must be JSON objects of kind signs, table, networks, got 'mixture'",
    ),
    "a router as an expert": (
        lambda s, t: s["kinds"].__setitem__(1, {"kind": "reflections", "binary_digits": 20}),
        r"cell 1: `kinds` must be",
    ),
    "an unhashable kind": (lambda s, t: s["kinds"].__setitem__(1, {"kind": []}), r"cell 1: `kinds` must be"),
    "no domain": (lambda s, t: s.pop("domain"), r"`domain` must be a JSON list"),
    "an empty domain": (lambda s, t: s.update(domain=[[], []]), r"`domain` must give as many"),
    "a domain upside down": (
        lambda s, t: s.update(domain=s["domain"][::-1]),
        r"`domain` axis 0 must be finite with lo",
    ),
    "a domain NaN": (lambda s, t: s["domain"][1].__setitem__(0, NAN), r"`domain` axis 0 must be finite"),
    "a domain of 10^400": (
        lambda s, t: s["domain"][1].__setitem__(0, 10**400),
        r"`domain` must be numbers that a float",
    ),
    "a domain that floats round": (lambda s, t: s["domain"][1].__setitem__(0, 2**60 + 1), r"a float holds exactly"),
    "a domain of strings": (lambda s, t: s.update(domain=[["0", "1"], ["2", "3"]]), r"`domain` must be numbers"),
    "a ragged domain": (lambda s, t: s["domain"][0].pop(), r"`domain` must be two lists"),
    "a domain of one list": (lambda s, t: s["domain"].pop(), r"`domain` must be two lists"),
    "points of another space": (
        lambda s, t: t.update({"cell.1.points": t["cell.1.points"][:, :1]}),
        r"cell 1: `base` mu",
    ),
    "a tensor without a cell": (lambda s, t: t.update({"cell.x.base": torch.zeros(1)}), r"no other tensors, .*cell.x"),
    "cell 01": (lambda s, t: t.update({"cell.01.base": torch.zeros(1)}), r"no other tensors, .*cell.01"),
}


@pytest.mark.parametrize("name", MIXTURES)
def test_stored_mixtures_that_do_not_fit(name, tmp_path):
    spec, tensors = mixture_file(tmp_path)
    assert check_file(write(tmp_path / "s", spec, tensors))[1].holds
    damage, message = MIXTURES[name]
    damage(spec, tensors)
    refused(tmp_path, spec, tensors, message)


def test_cells_that_share_points_or_lie_elsewhere(tmp_path):
    spec, tensors = mixture_file(tmp_path)
    for part in ("points", "base", "directions"):
        tensors[f"cell.1.{part}"] = tensors[f"cell.0.{part}"].clone()
    report = check_file(write(tmp_path / "s", spec, tensors))[1]
    assert report.failure == "cell 1: points with first coordinate 0.0 are not inside cell 1"
    spec, tensors = mixture_file(tmp_path)
    spec["domain"] = [[spec["domain"][0][0], 4.5], [spec["domain"][1][0], 9.0]]
    report = check_file(write(tmp_path / "s", spec, tensors))[1]
    assert report.failure.startswith("cell 0: point [0.0, 4.0] is not in the domain")


def test_points_on_the_face_of_a_cell_are_not_inside(tmp_path):
    tensors = {f"cell.{i}.{name}": t for i in (0, 1) for name, t in networks_file().items()}
    tensors["cell.1.points"] = tensors["cell.0.points"] + 2  # 2 and 3
    for cell in (0, 1):
        tensors[f"cell.{cell}.layer.0.bias"] = tensors[f"cell.{cell}.layer.0.bias"] - 2.0 * cell
    spec = {"kind": "mixture", "kinds": [{"kind": "networks"}] * 2}
    inside = check_file(write(tmp_path / "s", spec | {"domain": [[-0.5], [3.5]]}, tensors))[1]
    assert (inside.holds, inside.points) == (True, 4)
    face = check_file(write(tmp_path / "s", spec | {"domain": [[-1.0], [3.0]]}, tensors))[1]
    assert face.failure == "cell 0: points with first coordinate 1.0 are not inside cell 0"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ([1], "the JSON must be an object, got list"),
        ("networks", "the JSON must be an object, got str"),
        (None, "the JSON must be an object, got NoneType"),
        ({"schema": True, "kind": "networks"}, "schema True"),
        ({"schema": 1.0, "kind": "networks"}, "schema 1.0"),
        ({"schema": "1", "kind": "networks"}, "schema '1'"),
        ({"schema": [1], "kind": "networks"}, r"schema \[1\]"),
        ({"kind": ["networks"]}, "`kind` must be a JSON str"),
        ({"kind": {}}, "`kind` must be a JSON str"),
        ({"kind": "x" * 10**6}, r"`kind` 'xxx.*\(1000002 characters\) is not one this version knows"),
        ({"kind": "networks", "root": 5}, "root digest differs"),
        ({"kind": "networks", "root": None}, "root digest differs"),
    ],
)
def test_metadata_of_another_kind(spec, message, tmp_path):
    refused(tmp_path, spec, networks_file(), message)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, '{"schema": 1, "kind": "networks"' + ", " * 9])
def test_metadata_that_is_no_json(text, tmp_path):
    path = tmp_path / "s"
    save_file({"points": torch.zeros(1, 1)}, path, metadata={KEY: text})
    with pytest.raises(StoreError, match="cannot be read as a shattered set"):
        check_file(path)


def test_a_changed_size_is_found_by_the_digest(tmp_path):
    path = save_shattered(one_hidden_layer(2, 3), tmp_path / "s")
    with safe_open(path, framework="pt") as file:
        spec = json.loads(file.metadata()[KEY])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    spec["sizes"]["width"] = 10**6
    refused(tmp_path, spec, tensors, "root digest differs")
    spec = dict(spec, family="\x1b[31mdeep", sizes=["no", "object"])
    spec.pop("root")
    assert check_file(write(tmp_path / "s", spec, tensors))[1].points == 7


# --- arguments in memory -------------------------------------------------------------------------------------


def test_arguments_of_check_networks():
    shattered = one_hidden_layer(1, 2)
    labels = all_labelings(0, 8, 3, "cpu")
    layers = shattered.weights(labels)
    points = shattered.points
    assert check_networks(points, labels, layers) == ShatteringReport(3, 8, 24, None)
    (w, b), (v, c) = layers
    for arguments, message in (
        (
            (MANY, labels[:2, :1], layers),
            r"`labels` must be labels 0 and 1 of shape \(≥ 1, 1000\), got torch.bool \(2, 1",
        ),
        ((points, labels[:0], layers), "`labels`"),
        ((points[:0], labels[:, :0], layers), "`points` must have shape"),
        ((points.tolist(), labels, layers), "`points` must be a torch.Tensor, got list"),
        ((points, labels.double(), layers), "`labels`"),
        ((points, labels, []), "`layers` must be at least one pair"),
        ((points, labels, None), "`layers` must be at least one pair"),
        ((points, labels, [w]), r"`layers\[0\]` must be a pair"),
        ((points, labels, [(w, b, b), (v, c)]), r"`layers\[0\]` must be a pair"),
        ((points, labels, [(w[0], b[0]), (v, c)]), r"`layers\[0\]\[0\]` must have shape \(≥ 1, ≥ 1, 1\)"),
        ((points, labels, [(w[:3], b[:3]), (v, c)]), r"`layers\[0\]` must hold 1 or 8 networks, got 3"),
        ((points, labels, [(w, b[:, :1]), (v, c)]), r"`layers\[0\]\[1\]` must have shape \(≥ 1, 2\)"),
        ((points, labels, [(w, b[..., None]), (v, c)]), r"`layers\[0\]\[1\]` must have shape"),
        ((points, labels, [(w, b), (v[:, :, :1], c)]), r"`layers\[1\]\[0\]` must have shape \(≥ 1, ≥ 1, 2\)"),
        ((points, labels, [(w, b)]), "`layers` must end with one output, got 2"),
        ((points, labels, [(w * NAN, b), (v, c)]), r"`layers\[0\]\[0\]` must be finite, got nan"),
        ((points, labels, [(w, b), (v, c + INF)]), r"`layers\[1\]\[1\]` must be finite, got inf"),
        ((points, labels, [(w * 1j, b), (v, c)]), r"`layers\[0\]\[0\]` must be real numbers"),
        ((points + 2**60, labels, layers), r"`points` must be integers up to 2\^53"),
    ):
        with pytest.raises(ValueError, match=message):
            check_networks(*arguments)
    shared = [(w[:1], b), (v.float(), c)]
    assert check_networks(points, labels.long(), shared).holds


def test_counts_say_what_was_evaluated():
    """A failing check stops, and its report counts what it reached."""
    shattered = one_hidden_layer(1, 2)
    labels = all_labelings(0, 8, 3, "cpu")
    same = torch.zeros(3, 1, dtype=torch.int64)
    assert check_networks(same, labels, shattered.weights(labels)).evaluations == 0
    (w, b), (v, c) = shattered.weights(labels)
    report = check_networks(shattered.points, labels, [(w, b), (-v, -c)])
    assert (report.points, report.labelings, report.evaluations) == (3, 8, 24)
    assert "(24 of 24 wrong in this batch)" in report.failure
    flipped = replace(shattered, weights=lambda y: shattered.weights(~y))
    for report in (shattered_exhaustively(flipped), check_networks(shattered.points, labels, [(w, b), (-v, -c)])):
        assert (report.points, report.labelings, report.evaluations) == (3, 8, 24)
    sample = shattered_by_random_labelings(shattered, 5, torch.Generator().manual_seed(0))
    assert sample == ShatteringReport(3, 5, 15, None)
    modules = shattered_by_modules(shattered.points, shattered.module)
    assert modules == ShatteringReport(3, 8, 24, None)
    modules = shattered_by_modules(shattered.points, flipped.module)
    assert (modules.labelings, modules.evaluations) == (1, 3)
    router = shattered_by_reflections(routing_only(3, 4))
    assert (router.points, router.labelings, router.worst) == (10, 0, -9)
    assert router.evaluations == 10 * 3 * 4
    assert shattered_by_one_hidden_layer(one_hidden_layer(2, 3)).evaluations == 7 * 3 * 3
    table = shattered_by_table(deep(1, 1, 1))
    assert table.evaluations == sum(w.shape[1] * w.shape[2] for w, _ in deep(1, 1, 1).weights(torch.tensor([[True]])))
    cells = certified(mixture(one_hidden_layer(2, 1), 3))
    assert (cells.points, cells.evaluations, cells.worst) == (9, 3 * 3 * 1 * 3, -55)


def test_a_report_cannot_hold_of_nothing():
    for points, evaluations in ((0, 5), (5, 0), (0, 0)):
        with pytest.raises(ValueError, match="`failure` must be given when nothing was evaluated"):
            ShatteringReport(points, 0, evaluations, None)
    assert not ShatteringReport(0, 0, 0, "nothing to see").holds


@pytest.mark.parametrize("count", [0, -1, 2.0, True, "3", 2**40])
def test_no_random_labelings_prove_nothing(count):
    with pytest.raises(ValueError, match="`count` must be an integer between 1 and"):
        shattered_by_random_labelings(one_hidden_layer(2, 1), count, torch.Generator())


def test_arguments_of_the_instruments():
    shattered = one_hidden_layer(2, 1)
    with pytest.raises(TypeError, match="`generator`"):
        shattered_by_random_labelings(shattered, 1, 0)
    for max_points in (0, -1, 2.5, 10**9, None):
        with pytest.raises(ValueError, match="`max_points`"):
            shattered_exhaustively(shattered, max_points=max_points)
    with pytest.raises(ValueError, match="`device`"):
        shattered_exhaustively(shattered, device="nowhere")
    instruments = (certified, shattered_exhaustively, shattered_by_one_hidden_layer, shattered_by_reflections)
    for instrument in (*instruments, shattered_by_table, lambda s: shattered_by_cells(s, certified)):
        for value in (None, 3, "deep", torch.zeros(3, 1), nn.Linear(1, 1)):
            with pytest.raises(TypeError, match="`shattered` must be a"):
                instrument(value)
    for points in (torch.full((3, 2), NAN), torch.zeros(0, 2), torch.zeros(3), [[0, 0]] * 3):
        broken = replace(shattered, points=points)
        for instrument in (certified, shattered_exhaustively, shattered_by_one_hidden_layer):
            with pytest.raises(ValueError, match=r"`shattered.points` must"):
                instrument(broken)
    for cells in ((), [shattered], (shattered, None)):
        with pytest.raises(TypeError, match=r"`shattered.cells` must be a non-empty tuple"):
            certified(replace(mixture(shattered, 2), cells=cells))
    other = replace(mixture(shattered, 2), cells=(shattered, one_hidden_layer(3, 1)))
    with pytest.raises(ValueError, match=r"`shattered.cells\[1\].points` must have shape"):
        certified(other)


class Lying(ShatteredSet):
    @property
    def size(self):
        return 1


def test_subclasses_may_say_anything_and_are_refused():
    honest = one_hidden_layer(2, 1)
    lying = Lying(honest.family, honest.sizes, honest.points, honest.weights)
    for instrument in (certified, shattered_exhaustively, shattered_by_one_hidden_layer):
        with pytest.raises(TypeError, match="got Lying"):
            instrument(lying)


def test_stacked_networks_of_a_set_that_do_not_fit():
    """What `weights` returns is the object under test: a broken one is a failing report, not an exception."""
    honest = one_hidden_layer(2, 2)

    def returning(change):
        return replace(honest, weights=lambda labels: change(honest.weights(labels), labels))

    by_point = lambda layers, labels: [  # noqa: E731
        (layers[0][0] * 0, layers[0][1] * 0),
        (layers[1][0] * 0, torch.where(labels, 1.0, -1.0).double()[:, :, None]),
    ]
    for change, message in (
        (lambda layers, labels: [], "`layers` must be at least one pair"),
        (lambda layers, labels: layers[:1], "`layers` must end with one output"),
        (lambda layers, labels: [(w[:2], b[:2]) for w, b in layers], "must hold 1 or"),
        (lambda layers, labels: [(w * NAN, b) for w, b in layers], "must be finite"),
        (by_point, r"`layers\[1\]\[1\]` must have shape"),
    ):
        for report in (
            shattered_exhaustively(returning(change)),
            shattered_by_one_hidden_layer(returning(change)),
            shattered_by_random_labelings(returning(change), 5, torch.Generator()),
        ):
            assert report.failure.startswith("the networks: `layers")
            assert message.removeprefix("r").replace("\\", "") in report.failure


def test_routers_of_a_set_that_do_not_fit():
    honest = routing_only(2, 3)

    def returning(change):
        def routers(labels):
            levels, values = honest.routers(labels)
            return change(levels, values)

        return replace(honest, routers=routers)

    for change, message in (
        (lambda levels, values: ([], values), "`levels` must hold at least one level"),
        (lambda levels, values: (levels, values[:1]), "answers (1, 3)"),
        (lambda levels, values: (levels, values[:, :2]), "answers (32, 2)"),
        (lambda levels, values: ([level[:1] for level in levels], values), "do not match 32 labelings"),
        (lambda levels, values: (levels, values * NAN), "the network gives nan"),
        (lambda levels, values: ([level * NAN for level in levels], values), "must be finite"),
        (lambda levels, values: ([level[..., :1] for level in levels], values), "must have shape"),
    ):
        assert message in shattered_exhaustively(returning(change)).failure
        assert not certified(returning(change)).holds
        assert not shattered_by_reflections(returning(change)).holds


def test_tables_of_a_set_that_do_not_fit():
    honest = deep(2, 1, 3)

    def returning(change):
        networks = honest.table.networks
        table = replace(honest.table, networks=lambda entries: change(networks(entries)))
        return replace(honest, table=table)

    for change, message in (
        (lambda layers: [], "there are no layers"),
        (lambda layers: layers[:-1], "there are 2 outputs"),
        (lambda layers: [(w, b[:, :1]) for w, b in layers], "layer 0 has weights"),
        (lambda layers: layers[1:], "have 7 inputs, the points are in R^3"),
    ):
        assert message in shattered_by_table(returning(change)).failure
    for change in (lambda layers: [(w * 0.5, b) for w, b in layers], lambda layers: [(w * NAN, b) for w, b in layers]):
        with pytest.raises(ValueError, match="`values` must be integers"):
            shattered_by_table(returning(change))
    for field, value, message in (
        ("cell", honest.table.cell[:1], "`cell` must have shape (12)"),
        ("bit", honest.table.bit.double(), "`bit` must be integers"),
        ("bits", 10**6, "`bits` must be an integer between 1 and 256"),
        ("bits", True, "`bits` must be an integer"),
        ("memory", 0, "`memory` must be an integer between 1 and"),
        ("cell", honest.table.cell - 1, "an entry of the table is negative"),
    ):
        broken = replace(honest, table=replace(honest.table, **{field: value}))
        assert message in shattered_by_table(broken).failure
    other = replace(honest, weights=lambda labels: honest.weights(~labels))
    assert shattered_by_table(other).failure == "the set's networks are not those of its table"
    assert "has label 0, the network gives 1" in certified(other).failure


# --- names decide nothing ------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["deep", "", "routing_only", "one_hidden_layer", "routing_pairs"])
def test_a_name_chooses_no_instrument(family, tmp_path):
    """65 points are far beyond enumeration: the certificate must be found by reading the set."""
    for honest in (one_hidden_layer(8, 8), routing_only(8, 9), deep(2, 2, 8), mixture(one_hidden_layer(4, 5), 2)):
        renamed = replace(honest, family=family, sizes={})
        report = certified(renamed)
        assert report.holds
        assert report == certified(honest)
        spec, stored_report = check_file(save_shattered(renamed, tmp_path / "s"))
        assert spec["kind"] == check_file(save_shattered(honest, tmp_path / "t"))[0]["kind"]
        assert stored_report.holds


def test_a_name_saves_nobody():
    """A broken set stays broken under the name of a family that has no certificate, and undecided sets say so."""
    honest = one_hidden_layer(2, 2)

    def weights(labels):
        layers = [(w.clone(), b.clone()) for w, b in honest.weights(labels)]
        layers[1][1][(labels == torch.tensor([True, False, True, True, False])).all(1)] *= -1
        return layers

    for family in ("one_hidden_layer", "deep", "table"):
        report = certified(replace(honest, family=family, weights=weights))
        assert report.failure.startswith("labeling 10110: point 0")
    with pytest.raises(
        BudgetExceeded, match=r"21 points have 2\^21 labelings, and no certificate reads: the points are not the cl"
    ):
        certified(routing_pairs(2, 14, tree=False))
    with pytest.raises(BudgetExceeded, match=r"2\^31 labelings, and no certificate reads: .*not kept in a table; "):
        certified(replace(one_hidden_layer(1, 30)))


# --- modules -------------------------------------------------------------------------------------------------


class OtherLinear(nn.Linear):
    def forward(self, x):
        return super().forward(x) * 0


class OtherReLU(nn.ReLU):
    def forward(self, x):
        return x


class OtherSequential(nn.Sequential):
    def forward(self, x):
        return x * 0


class OtherMixture(StackedMoMLP):
    pass


class OtherRouter(NearestPrototype):
    pass


def swapped(change):
    """`module_of` of an honest set whose modules went through `change`."""
    shattered = one_hidden_layer(2, 1)

    def module_of(labels):
        module = shattered.module(labels)
        changed = change(module)
        return module if changed is None else changed

    return lambda: shattered_by_modules(shattered.points, module_of)


def nothing(_):
    """None: the module was changed in place."""


def other_linear(module):
    linear = OtherLinear(2, 1, dtype=torch.float64)
    linear.load_state_dict(module[0].state_dict())
    return nn.Sequential(linear, module[1], module[2])


def pruned(module):
    prune.l1_unstructured(module[0], "weight", 1)


def own_forward(module):
    module[0].forward = lambda x: x


def own_call(module):
    module._call_impl = lambda x: x


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (other_linear, "alternate Linear and ReLU, got OtherLinear at 0"),
        (lambda m: nn.Sequential(m[0], OtherReLU(), m[2]), "got OtherReLU"),
        (lambda m: OtherSequential(*m), "got OtherSequential"),
        (lambda m: nothing(m[0].register_forward_hook(nothing)), "Linear has forward hooks"),
        (lambda m: nothing(m[1].register_forward_pre_hook(nothing)), "ReLU has forward hooks"),
        (lambda m: nothing(m.register_forward_hook(nothing)), "Sequential has forward hooks"),
        (own_forward, "Linear has its own forward"),
        (own_call, "Sequential has its own _call_impl"),
        (pruned, "Linear has forward hooks"),
        (lambda m: nothing(parametrizations.weight_norm(m[0])), "Linear"),
        (lambda m: nn.Sequential(nn.Sequential(*m)), "got Sequential at 0"),
        (lambda m: nn.Sequential(m[0], nn.PReLU(), m[2]), "got PReLU"),
        (lambda m: nn.Sequential(*m, nn.ReLU()), "end with a Linear"),
        (lambda m: nn.Sequential(), "end with a Linear"),
        (lambda m: m[0], "a known mixture, got Linear"),
        (lambda m: 5, "a known mixture, got int"),
    ],
)
def test_modules_whose_forward_may_be_anything(change, message):
    with pytest.raises(TypeError, match=message):
        swapped(change)()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: nothing(m[0].weight.fill_(NAN)), r"`module\[0\].weight` must be finite"),
        (lambda m: nothing(m[2].bias.fill_(INF)), r"`module\[2\].bias` must be finite"),
        (lambda m: setattr(m[0], "bias", nn.Parameter(m[0].bias[:0])), r"`module\[0\].bias` must have shape \(1\)"),
        (
            lambda m: nn.Sequential(m[0], m[1], nn.Linear(1, 2, dtype=torch.float64)),
            "`layers` must end with one output",
        ),
        (lambda m: nn.Sequential(nn.Linear(3, 1, dtype=torch.float64)), r"must have shape \(≥ 1, ≥ 1, 2\)"),
        (lambda m: nn.Sequential(m[0], m[1], nn.Linear(4, 1)), r"must have shape \(≥ 1, ≥ 1, 1\)"),
        (lambda m: nn.Sequential(nn.Linear(2, 1, dtype=torch.complex64)), "must be real numbers"),
    ],
)
def test_modules_with_weights_that_do_not_fit(change, message):
    with pytest.raises(ValueError, match=message):
        swapped(change)()


def test_a_relu_object_used_twice_is_two_layers():
    """One nn.ReLU() in two places is read in both, and the verdict is that of the function."""
    act = nn.ReLU()
    points = torch.tensor([[0.0], [1.0]])
    weights = {(False, False): -1.0, (True, True): 1.0}

    def module_of(labels):
        first, second, last = (nn.Linear(1, 1, dtype=torch.float64) for _ in range(3))
        sign = 1.0 if labels[1] else -1.0
        with torch.no_grad():
            for linear, weight, bias in ((first, 1.0, 0.0), (second, 2.0, 0.0), (last, sign, -sign)):
                linear.weight.fill_(weight)
                linear.bias.fill_(bias)
            if tuple(labels.tolist()) in weights:
                last.weight.fill_(0.0)
                last.bias.fill_(weights[tuple(labels.tolist())])
        return nn.Sequential(first, act, second, act, last)

    assert shattered_by_modules(points, module_of) == ShatteringReport(2, 4, 8, None)


def test_other_mixtures_and_routers_are_refused():
    tree, router = mixture(one_hidden_layer(2, 1), 2), routing_only(2, 3)

    def other_mixture(labels):
        module = tree.module(labels)
        layers = list(zip(module.weights, module.biases, strict=True))
        return OtherMixture(module.lattice.domain, module.tree.cells, [(w.detach(), b.detach()) for w, b in layers])

    def other_router(labels):
        module = router.module(labels)
        return OtherRouter([level.detach() for level in module.levels], module.values.detach())

    with pytest.raises(TypeError, match="got OtherMixture"):
        shattered_by_modules(tree.points, other_mixture)
    with pytest.raises(TypeError, match="got OtherRouter"):
        shattered_by_modules(router.points, other_router)
    for shattered in (tree, router):

        def hooked(labels, shattered=shattered):
            module = shattered.module(labels)
            module.register_forward_hook(lambda *arguments: None)
            return module

        with pytest.raises(TypeError, match="has forward hooks"):
            shattered_by_modules(shattered.points, hooked)


def test_mixtures_must_route_as_exact_arithmetic_does():
    module = mixture(one_hidden_layer(1, 1), 3).module(torch.zeros(6, dtype=torch.bool))
    x = torch.tensor([[0.0], [2.0]], dtype=torch.float64)
    assert inexact_routing(module, module.route(x), x) is None
    wrong = torch.tensor([[0], [2]])
    assert "point 1, [2.0], is routed to (2,), exactly the nearest prototype is (1,)" in inexact_routing(
        module, wrong, x
    )
    assert "on R^1, the points are in R^2" in inexact_routing(module, wrong, torch.zeros(2, 2))
    with pytest.raises(ValueError, match="`points` must lie in the domain"):
        inexact_routing(module, wrong, x + 99)


def test_global_hooks_are_seen():
    handle = nn.modules.module.register_module_forward_hook(lambda *arguments: None)
    try:
        with pytest.raises(TypeError, match="forward hooks"):
            swapped(lambda module: None)()
    finally:
        handle.remove()
    assert swapped(lambda module: None)().holds


def test_points_and_functions_of_modules():
    with pytest.raises(TypeError, match="`module_of`"):
        shattered_by_modules(torch.zeros(1, 1), None)
    for points in (torch.zeros(0, 1), torch.zeros(2), torch.tensor([[NAN]]), None, [[0.0]]):
        with pytest.raises(ValueError, match="`points`"):
            shattered_by_modules(points, lambda labels: nn.Linear(1, 1))


# --- saving ----------------------------------------------------------------------------------------------------


def test_saving_something_else(tmp_path):
    with pytest.raises(TypeError, match="`shattered`"):
        save_shattered(nn.Linear(1, 1), tmp_path / "s")
    with pytest.raises(TypeError, match="`every_network`"):
        save_shattered(one_hidden_layer(2, 1), tmp_path / "s", every_network=1)
    assert not (tmp_path / "s").exists()


def test_kinds_of_all_sets_are_known():
    """The union of the classes that instruments take; a new class must be added to `require_shattered`."""
    assert {ShatteredSet, ShatteredMixture, ShatteredRouting} == {
        type(s) for s in (wide(3, 1, 1), mixture(two_hidden_layers(2), 1), routing_only(1, 1))
    }
    assert math.isnan(NAN)
    assert np.iinfo(np.int64).min == -(2**63)
