"""Exported files against their models: onnxruntime and torch.export agree, and one changed number does not pass."""

import re

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from constructions import LipschitzFunction, Routing, build_momlp, train_momlp
from constructions.errors import BudgetExceeded
from constructions.export import export_bound, export_onnx, export_pt2
from constructions.onnx_graph import Graph
from constructions.trained_momlp.training import Options
from theory import exact
from theory.checkers.export_agreement import onnx_agrees, pt2_agrees

F = {
    1: LipschitzFunction.from_sympy("sin(2*x0)", n=1),
    2: LipschitzFunction.from_sympy("sin(2*x0)*x1, x0", n=2, domain=[(-1, 1), (0, 2)]),
    3: LipschitzFunction.from_sympy("sin(2*x0)*x1 + x2", n=3),
}
BUILT = {
    "pencil": (2, 0.2, {}),
    "one axis": (1, 0.05, {}),
    "three axes": (3, 0.5, {"valency": 3}),
    "prelu": (2, 0.2, {"activation": "prelu"}),
    "float32": (2, 0.2, {"dtype": torch.float32}),
    "constant": (2, 0.4, {"expert": "constant"}),
    "bits": (2, 0.3, {"expert": "bit_extraction"}),
    "bits of two axes": (3, 0.9, {"expert": "bit_extraction", "resolved": 2, "lookup": "wide"}),
    "cut bits": (2, 0.3, {"expert": "bit_extraction", "lookup": "wide", "cells": 2}),
}
TRAINED = {
    "tree": {},
    "flat": {"routing": Routing(router="flat")},
    "five children": {"routing": Routing(valency=5)},
    "trained float32": {"dtype": torch.float32},
    "one leaf": {"leaves": 1},
}


def made(name):
    if name in BUILT:
        n, eps, options = BUILT[name]
        return build_momlp(F[n], eps=eps, **options)
    if name.endswith(" table"):
        return made(name.removesuffix(" table")).tabulate()
    g = torch.Generator().manual_seed(0)
    x = torch.rand(200, 3, dtype=torch.float64, generator=g)
    options = {"leaves": 7, "expert_hidden": (5, 4), "options": Options(steps=5)} | TRAINED[name]
    return train_momlp(x, x[:, :1] * x[:, 1:2], **options)


TABLES = [f"{name} table" for name in ("pencil", "float32", "constant", "bits", "bits of two axes")]
EVERY = [*BUILT, *TABLES, *TRAINED]


@pytest.mark.parametrize("name", EVERY)
def test_onnxruntime_gives_the_same_numbers(name, tmp_path):
    model = made(name)
    report = onnx_agrees(export_onnx(model, tmp_path / "m.onnx"), model, count=500)
    assert report.holds, report.failure
    assert report.experts == report.leaves == model.num_leaves
    # stronger than the bound: a runtime that runs node by node gives the bits
    assert report.equal == report.points > 1000
    assert report.largest == 0.0


@pytest.mark.parametrize("name", ["pencil", "float32", "constant", "pencil table", "tree", "flat"])
def test_programs_of_torch_export_give_the_same_numbers(name, tmp_path):
    model = made(name)
    report = pt2_agrees(export_pt2(model, tmp_path / "m.pt2"), model, count=500)
    assert report.holds, report.failure
    assert report.equal == report.points > 1000


def changed(path, by, which=None):
    """The file at `path` with the largest floating initialiser changed at one place by `by`."""
    proto = onnx.load(path)
    floats = [t for t in proto.graph.initializer if numpy_helper.to_array(t).dtype.kind == "f"]
    tensor = max(floats, key=lambda t: numpy_helper.to_array(t).size)
    array = numpy_helper.to_array(tensor).copy()
    place = array.size // 2 if which is None else which
    array.flat[place] += by
    tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    onnx.save(proto, path)


@pytest.mark.parametrize("name", EVERY)
def test_one_changed_number_is_seen(name, tmp_path):
    model = made(name)
    path = export_onnx(model, tmp_path / "m.onnx")
    # words round small changes away: theirs is the first bit
    changed(path, 2.0**40 if name in ("bits", "cut bits", "bits of two axes") else 1e-3)
    report = onnx_agrees(path, model, count=500)
    assert not report.holds
    assert re.search(r"at x = \[.*\] it gives .*, the model .*: \S+ apart, \S+ allowed", report.failure)


@pytest.mark.parametrize("which", range(0, 60, 7))
def test_every_weight_of_a_pencil_counts(which, tmp_path):
    model = made("pencil")
    path = export_onnx(model, tmp_path / "m.onnx")
    changed(path, 1e-9, which)
    assert not onnx_agrees(path, model, count=100).holds


def test_a_file_that_answers_outside_is_refused(tmp_path):
    model = made("pencil")
    path = export_onnx(model, tmp_path / "m.onnx")
    proto = onnx.load(path)
    last = proto.graph.node[-1]
    assert last.op_type == "Where"
    last.input[2] = last.input[1]
    onnx.save(proto, path)
    assert re.fullmatch(
        r"at x = \[nan, .*\], outside the domain, it gives .*, not NaN", onnx_agrees(path, model).failure
    )


def test_a_model_with_another_output_is_refused(tmp_path):
    path = export_onnx(made("one axis"), tmp_path / "m.onnx")
    with pytest.raises(Exception, match="dimension"):
        onnx_agrees(path, made("pencil"))
    narrow = build_momlp(LipschitzFunction.from_sympy("x0", n=2, domain=[(-1, 1), (0, 2)]), eps=0.4)
    path = export_onnx(narrow, tmp_path / "m.onnx")
    assert "the model" in onnx_agrees(path, made("pencil")).failure


@pytest.mark.parametrize("name", ["pencil", "prelu", "float32", "tree", "trained float32"])
def test_the_bound_covers_other_orders_of_the_sums(name):
    """Weights in another order, in the model's dtype, against the model: within the bound, and not by far more."""
    model = made(name)
    n = 3 if name in TRAINED else 2
    g = torch.Generator().manual_seed(1)
    x = torch.rand(300, n, dtype=torch.float64, generator=g) * 0.9 + 0.05
    bound = export_bound(model, x)
    with torch.no_grad():
        y = model(x)
    worst = 0.0
    for row in range(0, 300, 10):
        leaf = model.route(x[row : row + 1])[0]
        if name in TRAINED:
            own = model.experts[leaf].double()
            z = ((x[row] - model.input_shift) * model.input_scale).to(model.dtype)
            net = _plain(own, model.widths).to(model.dtype)
            truth = [float(v) for v in map(exact.fraction, exact.evaluate_network(net, z))]
        else:
            net = model.expert(leaf)
            truth = [float(v) for v in map(exact.fraction, exact.evaluate_network(net, x[row].to(y.dtype)))]
        gap = max(abs(a - b) for a, b in zip(truth, y[row].tolist(), strict=True))
        # the exact value is one way to add; each evaluation is half of the bound from it
        assert gap <= bound[row] / 2 * (1 + 1e-9) + 1e-300
        worst = max(worst, gap / float(bound[row]))
    assert worst > 0


def _plain(row, widths):
    from constructions.trained_momlp.bank import plain_network

    return plain_network(row, widths)


def test_what_cannot_be_exported_says_why(tmp_path):
    lazy = build_momlp(F[2], eps=0.2, lazy=True)
    for export in (export_onnx, export_pt2):
        with pytest.raises(ValueError, match="`model` must hold its experts to be exported"):
            export(lazy, tmp_path / "m")
        with pytest.raises(TypeError, match="`model` must be a MoMLP, a TabulatedMoMLP or a TrainedMoMLP, got Linear"):
            export(torch.nn.Linear(1, 1), tmp_path / "m")
        with pytest.raises(OSError, match="there is no folder"):
            export(made("one axis"), tmp_path / "no" / "m")
    assert list(tmp_path.iterdir()) == []


def test_graphs_have_a_size(monkeypatch):
    monkeypatch.setattr("constructions.onnx_graph.MOST_NODES", 10)
    graph = Graph(torch.zeros(2), torch.ones(2))
    graph.nodes *= 10
    with pytest.raises(BudgetExceeded, match="`model` needs more than 10 ONNX nodes"):
        graph.node("Neg", graph.x)
    monkeypatch.setattr("constructions.onnx_graph.LARGEST_FILE", 100)
    with pytest.raises(BudgetExceeded, match="`model` has more than 100 bytes of numbers"):
        Graph(torch.zeros(2), torch.ones(2)).constant(np.zeros(50))


def test_a_file_that_is_none_is_refused(tmp_path):
    (tmp_path / "m").write_bytes(b"junk")
    with pytest.raises(ValueError, match="`path` must be an ONNX file that onnxruntime reads"):
        onnx_agrees(tmp_path / "m", made("one axis"))
    with pytest.raises(ValueError, match=r"`path` must be a file of torch.export"):
        pt2_agrees(tmp_path / "m", made("one axis"))


def test_files_are_compared_with_models_alone_and_at_points_that_are_numbers(tmp_path):
    model = made("one axis")
    path = export_pt2(model, tmp_path / "m.pt2")
    for module in (torch.nn.ReLU(), torch.nn.Sequential()):  # which have no weights to stand anywhere
        with pytest.raises(TypeError, match="`model` must be a"):
            pt2_agrees(path, module)
    x = torch.rand(3, 1, dtype=torch.float64, requires_grad=True)
    assert onnx_agrees(export_onnx(model, tmp_path / "m.onnx"), model, x=x, count=10).holds
