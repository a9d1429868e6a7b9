"""Stored sets and mixtures on both sides of every limit, and which certificate decides how many points."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from constructions import BudgetExceeded, StoreError
from constructions.vc_dimension import (
    deep,
    one_hidden_layer,
    routing_only,
    routing_pairs,
    two_hidden_layers,
    with_extra_layers,
)
from tests.vc_dimension.stored_sets import contents, written
from theory.vc_dimension.checkers.file import (
    KEY,
    _every_labeling,
    _random_tables,
    check_file,
    check_routers,
    save_shattered,
)
from theory.vc_dimension.checkers.report import ShatteringReport
from theory.vc_dimension.checkers.stored import Stored
from theory.vc_dimension.checkers.table import read_set


def double(values):
    return torch.tensor(values, dtype=torch.float64)


# --- what is stored ---------------------------------------------------------------------------------------


def test_how_many_bytes_of_networks_are_stored(tmp_path, monkeypatch):
    """2⁵ networks of 2·2 + 2 + 2 + 1 numbers of 8 bytes; 2⁶ routers of 4 prototypes in the plane and 4 answers."""
    for shattered, numbers in ((one_hidden_layer(2, 2), 9), (routing_pairs(2, 4, tree=False), 12)):
        needed = 8 * numbers * 2**shattered.size
        monkeypatch.setattr("theory.vc_dimension.checkers.file.MAX_BYTES", needed)
        assert check_file(save_shattered(shattered, tmp_path / "s", every_network=True))[1].holds
        monkeypatch.setattr("theory.vc_dimension.checkers.file.MAX_BYTES", needed - 1)
        sentence = rf"2\^{shattered.size} networks of {numbers} numbers take more than {needed - 1} bytes"
        with pytest.raises(BudgetExceeded, match=sentence):
            save_shattered(shattered, tmp_path / "s", every_network=True)
    monkeypatch.setattr("theory.vc_dimension.checkers.file.MAX_BYTES", 2**60)
    with pytest.raises(BudgetExceeded, match=r"2\^21 networks of 23 numbers"):
        save_shattered(one_hidden_layer(20, 1), tmp_path / "s", every_network=True)


def test_networks_of_20_points_are_all_there_are():
    labels = _every_labeling(one_hidden_layer(19, 1))
    assert labels.shape == (2**20, 20)
    assert labels.sum(0).tolist() == [2**19] * 20


def test_networks_of_a_little_more_than_2_28_bytes_are_not_stored(tmp_path):
    with pytest.raises(BudgetExceeded, match=r"2\^20 networks of 34 numbers take more than 268435456 bytes"):
        save_shattered(with_extra_layers(one_hidden_layer(19, 1), 6), tmp_path / "s", every_network=True)


def test_certificates_are_stored_where_there_are_any(tmp_path):
    for shattered, kind in (
        (one_hidden_layer(2, 2), "signs"),
        (one_hidden_layer(1, 3), "networks"),
        (two_hidden_layers(2), "table"),
        (routing_only(2, 3), "reflections"),
        (routing_pairs(2, 4, tree=True), "routers"),
    ):
        spec, report = check_file(save_shattered(shattered, tmp_path / "s"))
        assert spec["kind"] == kind
        assert (spec["schema"], spec["family"], spec["sizes"]) == (1, shattered.family, shattered.sizes)
        assert report.labelings == (2**shattered.size if kind in ("networks", "routers") else 0)
    for shattered in (two_hidden_layers(2), routing_only(2, 2), one_hidden_layer(2, 2)):
        spec, report = check_file(save_shattered(shattered, tmp_path / "s", every_network=True))
        assert spec["kind"] in ("networks", "routers")
        assert (report.labelings, report.evaluations) == (2**shattered.size, shattered.size * 2**shattered.size)


def test_words_that_float64_holds_are_stored(tmp_path):
    sentence = "the networks' weights are not integers that float64 evaluates exactly"
    assert check_file(save_shattered(deep(1, 2, 52), tmp_path / "s"))[1].failure == sentence
    with pytest.raises(StoreError, match="words of 53 bits do not fit"):
        save_shattered(deep(1, 2, 53), tmp_path / "s")


def test_the_digest_is_of_everything_else(tmp_path):
    path = save_shattered(one_hidden_layer(2, 2), tmp_path / "s")
    spec, tensors = contents(path)
    for name, value in (("family", "another"), ("sizes", {}), ("more", 1), ("root", "0" * 64)):
        save_file(tensors, path, metadata={KEY: json.dumps(spec | {name: value})})
        with pytest.raises(StoreError, match="root digest differs"):
            check_file(path)
    # the order of the entries is no part of it
    save_file(tensors, path, metadata={KEY: json.dumps(dict(reversed(spec.items())))})
    assert check_file(path)[1].holds
    assert check_file(written(path, spec, tensors))[1].holds
    for schema in (0, 2, True, "1", None, 1.0):
        with pytest.raises(StoreError, match="this version reads schema 1"):
            check_file(written(path, spec | {"schema": schema}, tensors))


# --- what is read -----------------------------------------------------------------------------------------


def test_how_many_weights_of_a_table_are_checked(tmp_path, monkeypatch):
    path = save_shattered(two_hidden_layers(2), tmp_path / "s")
    _, tensors = contents(path)
    numbers = sum(t.numel() for name, t in tensors.items() if name.startswith("base") and name.endswith("weight"))
    monkeypatch.setattr("theory.vc_dimension.checkers.file.MOST_NUMBERS", numbers)
    assert check_file(path)[1].holds
    monkeypatch.setattr("theory.vc_dimension.checkers.file.MOST_NUMBERS", numbers - 1)
    with pytest.raises(BudgetExceeded, match=f"networks of {numbers} weights, more than {numbers - 1} are not checked"):
        check_file(path)


def test_a_little_more_than_2_20_weights_are_not_checked(tmp_path):
    path = save_shattered(two_hidden_layers(2), tmp_path / "s")
    spec, tensors = contents(path)
    tensors["base.0.weight"] = torch.zeros(1, 2**20 + 1, dtype=torch.int64)
    tensors["base.0.bias"] = torch.zeros(1, dtype=torch.int64)
    tensors = {name: t for name, t in tensors.items() if not name.startswith("base") or name.startswith("base.0")}
    tensors["points"] = torch.zeros(len(tensors["points"]), 2**20 + 1, dtype=torch.int64)
    with pytest.raises(BudgetExceeded, match="networks of 1048577 weights, more than 1048576 are not checked"):
        check_file(written(path, spec, tensors))


def test_tables_that_a_file_may_not_hold(tmp_path):
    path = save_shattered(two_hidden_layers(2), tmp_path / "s")
    spec, tensors = contents(path)
    for bits in (0, 53, -1):
        with pytest.raises(StoreError, match="`bits` must be an integer between 1 and 52"):
            check_file(written(path, spec | {"bits": bits}, tensors))
    for bits in (1.0, True, "1", None):
        with pytest.raises(StoreError, match="`bits` must be a JSON int"):
            check_file(written(path, spec | {"bits": bits}, tensors))
    with pytest.raises(StoreError, match="`points` must be integers"):
        check_file(written(path, spec, tensors | {"points": tensors["points"].double()}))
    assert check_file(written(path, spec, tensors))[1].holds
    for name, wrong in (
        ("cell", tensors["cell"][:-1]),
        ("bit", tensors["bit"].double()),
        ("entry.row", tensors["entry.row"][:-1]),
        ("entry.vector", tensors["entry.vector"][:-1]),
        ("base.0.bias", tensors["base.0.bias"][:-1]),
        ("base.1.weight", tensors["base.1.weight"][:, :-1]),
    ):
        with pytest.raises(StoreError, match=f"`{name}` must be integers of shape"):
            check_file(written(path, spec, tensors | {name: wrong}))
    with pytest.raises(StoreError, match="there must be no other tensors, there are"):
        check_file(written(path, spec, tensors | {"base.9.weight": tensors["base.0.weight"]}))


def test_random_tables_of_a_stored_family():
    honest = read_set(deep(2, 1, 3))
    assert _random_tables(honest) is None
    for layer, part in ((1, 0), (2, 1), (len(honest.base) - 1, 1)):
        base = [(w.copy(), b.copy()) for w, b in honest.base]
        base[layer][part].reshape(-1)[0] += 50
        assert _random_tables(replace(honest, base=base)).startswith("labeling ")
    assert _random_tables(replace(honest, bit=honest.bit[::-1].copy())).startswith("labeling ")
    assert "are not integers" in _random_tables(replace(honest, vectors=honest.vectors * 2**52))


def routers():
    """Two points on the line: a prototype at each, and their answers."""
    labels = torch.tensor([[y0, y1] for y0 in (False, True) for y1 in (False, True)])
    level = double([[[[0.0], [4.0]]]]).expand(4, -1, -1, -1).clone()
    return double([[1.0], [3.0]]), labels, [level], torch.where(labels, 1.0, -1.0).double()


def test_routers_of_a_file_are_all_run():
    points, labels, levels, values = routers()
    assert check_routers(points, labels, levels, values) == ShatteringReport(2, 4, 8, None)
    for b in range(4):
        for leaf in range(2):
            wrong = values.clone()
            wrong[b, leaf] *= -1
            report = check_routers(points, labels, levels, wrong)
            word = "".join(map(str, labels[b].int().tolist()))
            assert report.failure.startswith(f"labeling {word}: point {leaf}")
            assert (report.points, report.labelings, report.evaluations) == (2, 4, 8)
    report = check_routers(points[[0, 0]], labels, levels, values)
    assert report == ShatteringReport(2, 0, 0, "the point [1.0] occurs 2 times")
    assert "is missing" in check_routers(points, labels[:3], [levels[0][:3]], values[:3]).failure
    for change, message in (
        ((points, labels[:3], levels, values[:3]), "`levels` must hold 3 routers, one for each labeling, got 4"),
        ((points, labels, levels, values[:, :1]), r"`values` must have shape \(4, 2\), got \(4, 1\)"),
        ((points, labels, levels, values[:3]), r"`values` must have shape \(4, 2\), got \(3, 2\)"),
        ((points, labels, [], values), "`levels` must hold at least one level"),
        ((points, labels, [levels[0][..., [0, 0]]], values), r"`levels\[0\]` must have shape"),
        ((points, labels[:, :1], levels, values), "`labels` must be labels 0 and 1 of shape"),
    ):
        with pytest.raises(ValueError, match=message):
            check_routers(*change)
    below = double([[[[0.0], [1.0], [2.0]], [[3.0], [4.0], [5.0]]]]).expand(4, -1, -1, -1)
    answers = torch.where(labels, 1.0, -1.0).double()[:, [0, 0, 0, 1, 1, 1]]
    assert check_routers(points, labels, [levels[0], below], answers).holds
    with pytest.raises(ValueError, match=r"`values` must have shape \(4, 6\), got \(4, 2\)"):
        check_routers(points, labels, [levels[0], below], values)


def test_stored_tensors_are_taken_once():
    stored = Stored(
        {"level.0": torch.zeros(2, 1, 3, 4), "level.1": torch.zeros(2, 3, 2, 4), "x": torch.ones(2, 3).int()}
    )
    assert ("x" in stored, "y" in stored) == (True, False)
    levels = stored.levels(2, 4)
    assert [tuple(level.shape) for level in levels] == [(2, 1, 3, 4), (2, 3, 2, 4)]
    with pytest.raises(ValueError, match=r"there must be no other tensors, there are \['x'\]"):
        stored.finish()
    with pytest.raises(ValueError, match=r"`x` must be integers of shape \(2, ≥ 1, 1\), got torch.int32 \(2, 3\)"):
        stored.whole("x", (2, None, 1))
    with pytest.raises(ValueError, match=r"there must be a tensor `x`, there are \[\]"):
        stored.whole("x", (2, 3))
    stored.finish()
    assert Stored({"x": torch.ones(2, dtype=torch.int8)}).whole("x", (2,)).dtype is torch.int64
    layers = {
        "layer.0.weight": torch.zeros(5, 3, 2),
        "layer.0.bias": torch.zeros(5, 3),
        "layer.1.weight": torch.zeros(5, 1, 3),
    }
    found = Stored(layers | {"layer.1.bias": torch.zeros(5, 1)}).layers("layer", 5, 2)
    assert [tuple(w.shape) for w, _ in found] == [(5, 3, 2), (5, 1, 3)]
    with pytest.raises(ValueError, match=r"`layer.1.bias` must have shape \(5, 1\), got \(5, 3\)"):
        Stored(layers | {"layer.1.bias": torch.zeros(5, 3)}).layers("layer", 5, 2)
    with pytest.raises(ValueError, match=r"there must be a tensor `layer\.1\.bias`"):
        Stored(layers).layers("layer", 5, 2)
    with pytest.raises(ValueError, match=r"there must be a tensor `level\.0`"):
        Stored({}).levels(1, 1)
    cells = Stored({"cell.1.a": torch.ones(1), "cell.10.a": torch.ones(2), "cell.1.b": torch.ones(3)})
    assert sorted(cells.cell(1)) == ["a", "b"]
    with pytest.raises(ValueError, match=r"there must be tensors `cell.2.…`, there are \['cell.10.a'\]"):
        cells.cell(2)
