"""Certificates of tabulated mixtures: the network's plus what the table adds; wrong tables are not believed."""

import copy
import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from constructions import build_momlp, save, targets
from constructions.momlp.tabulated import TabulatedMoMLP
from theory import Status, certify_uniform_error
from theory.checkers.uniform_error.table import NAME, table_difference
from theory.checkers.uniform_error.view import view_of
from theory.cli import main

BITS = {"expert": "bit_extraction"}
CASES = {
    "pencil": (targets.get("sum_of_sines", n=2), {"eps": 0.2}),
    "n = 1": (targets.get("cone", n=1), {"eps": 0.1}),
    "prelu": (targets.get("vector_rotation", n=2), {"eps": 0.2, "activation": "prelu"}),
    "float32": (targets.get("cone", n=2), {"eps": 0.2, "dtype": torch.float32}),
    "constant": (targets.get("cone", n=2), {"eps": 0.2, "expert": "constant"}),
    "deep words": (targets.get("cone", n=2), {"eps": 0.4, **BITS}),
    "two axes": (targets.get("cone", n=2), {"eps": 0.4, "resolved": 2, "lookup": "wide", **BITS}),
}
ALL = pytest.mark.parametrize("name", CASES)


def made(name):
    f, options = CASES[name]
    model = build_momlp(f, **options)
    return f, model, model.tabulate()


def certify(model, f, eps, **options):
    return certify_uniform_error(model, f, eps=eps, samples=500, **options)


def difference(table):
    return table_difference(view_of(table, table.domain, table.m, max_leaves=10**6))


@ALL
def test_the_certificate_is_the_networks_and_adds_the_slack(name):
    f, model, table = made(name)
    eps = CASES[name][1]["eps"]
    own, found = certify(model, f, eps), certify(table, f, eps)
    assert (own.status, found.status) == (Status.CERTIFIED, Status.CERTIFIED)
    assert found.method == own.method
    assert [p.name for p in found.premises if p.name == NAME] == [NAME]
    assert NAME not in [p.name for p in own.premises]
    added = difference(table).slack
    assert added > 0 or name == "constant"
    if name != "float32":  # whose forward pass rounds by more than its table
        assert found.slack >= own.slack + added - 1e-18
        assert found.upper >= own.upper
    assert found.upper <= own.upper + 2 * (added + own.slack)


@pytest.mark.parametrize("method", ["a_priori", "sampled"])
def test_other_methods_know_tables(method):
    f, _, table = made("pencil")
    found = certify(table, f, 0.2, method=method)
    assert found.status is (Status.CERTIFIED if method == "a_priori" else Status.NOT_REFUTED)


@ALL
@pytest.mark.parametrize("place", ["first", "middle", "last"])
def test_a_table_with_one_value_changed_is_rejected(name, place):
    f, _, table = made(name)
    entries = table.table.data.view(-1)
    at = {"first": 0, "middle": len(entries) // 2, "last": len(entries) - 1}[place]
    entries[at] += max(1e-9, 8 * table.slack)
    found = certify(table, f, CASES[name][1]["eps"])
    assert found.status is Status.INCONCLUSIVE
    assert math.isinf(found.upper)
    assert NAME in [p.name for p in found.failed]


def test_a_value_changed_by_more_than_eps_is_refuted_with_a_witness():
    f, _, table = made("n = 1")
    table.table.data[0, 3] += 1.0
    found = certify(table, f, 0.1)
    assert found.status is Status.REFUTED
    x = torch.tensor([found.witness], dtype=torch.float64)
    assert float((table(x) - f(x)).abs().max()) > 0.1


def test_kinks_that_moved_after_the_table_was_made_are_noticed():
    f, model, table = made("pencil")
    model.hidden_bias.data[3] += 1e-4  # kinks that moved after the table was made
    found = certify(table, f, 0.2)
    assert found.status is Status.INCONCLUSIVE
    assert "the table says" in found.reason


def test_a_halved_slack_is_rejected():
    """Kinks rounded to float32 and an equal slope on both sides: the difference is all of the slack."""
    f = targets.get("cone", n=1)
    table = build_momlp(f, eps=0.013, dtype=torch.float32).tabulate(dtype=torch.float64)
    assert certify(table, f, 0.013).status is Status.CERTIFIED
    table._spread.steepest /= 2
    found = certify(table, f, 0.013)
    assert found.status is Status.INCONCLUSIVE
    assert NAME in [p.name for p in found.failed]


def test_a_slack_that_is_stated_too_large_changes_nothing():
    f, _, table = made("pencil")
    before = certify(table, f, 0.2)
    table._spread.error = 1.0
    assert table.slack > 1
    after = certify(table, f, 0.2)
    assert (after.upper, after.slack, after.status) == (before.upper, before.slack, Status.CERTIFIED)


@pytest.mark.parametrize("name", ["pencil", "two axes"])
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")], ids=["nan", "inf", "-inf"])
def test_entries_that_are_no_numbers_are_rejected(name, bad):
    f, _, table = made(name)
    table.table.data.view(-1)[1] = bad
    found = certify(table, f, CASES[name][1]["eps"])
    assert found.status in (Status.INCONCLUSIVE, Status.REFUTED)
    assert any("not finite" in p.detail for p in found.failed)


def changed_axis(**change):
    def change_it(table):
        table._nodes = tuple(replace(axis, **change) for axis in table._nodes)

    return change_it


@pytest.mark.parametrize(
    "change",
    [
        changed_axis(lo=1e-3),
        changed_axis(scale=3.0),
        changed_axis(scale=float("nan")),
        changed_axis(scale=-1.0),
        changed_axis(cells=2),
        lambda table: setattr(table, "_nodes", ()),
        lambda table: setattr(table, "table", torch.nn.Parameter(table.table.data[:, :-1], requires_grad=False)),
        lambda table: setattr(table, "table", torch.nn.Parameter(table.table.data[:-1], requires_grad=False)),
        lambda table: setattr(table, "table", torch.nn.Parameter(table.table.data.flip(1), requires_grad=False)),
    ],
)
@pytest.mark.parametrize("name", ["pencil", "deep words"])
def test_a_table_of_other_nodes_is_rejected(name, change):
    table = made(name)[2]
    change(table)
    assert not difference(table).premises[0].holds
    assert difference(table).slack == 0


@pytest.mark.parametrize("name", ["pencil", "constant", "deep words", "two axes"])
def test_a_forward_that_does_not_interpolate_is_rejected(name):
    """The table is right, the answers are not: places of another lattice."""
    f, _, table = made(name)
    table.places = replace(table.places, lo=tuple(v + 1e-3 for v in table.places.lo))
    found = certify(table, f, 2 * CASES[name][1]["eps"])
    assert found.status is Status.INCONCLUSIVE
    assert "forward() interpolates the table" in [p.name for p in found.failed]


def test_a_table_of_another_network_is_rejected():
    f, model, table = made("pencil")
    swapped = copy.deepcopy(model)
    swapped.out_weight.data, swapped.out_bias.data = swapped.out_weight.data.flip(0), swapped.out_bias.data.flip(0)
    wrong = TabulatedMoMLP(swapped, model.nodes(), table.table.data, table._spread)
    found = certify(wrong, f, 0.2)
    assert found.status is not Status.CERTIFIED
    assert NAME in [p.name for p in found.failed]


def test_altered_tables_are_refused():
    f, _, table = made("pencil")
    table.forward = lambda x: torch.zeros(len(x), 1, dtype=torch.float64)
    with pytest.raises(ValueError, match="its own forward"):
        certify(table, f, 0.2)


# --- the command -----------------------------------------------------------------------------------------------


def test_eval_fast_says_what_ran(tmp_path, capsys):
    f, model, table = made("pencil")
    stored, points = save(model, tmp_path / "m.safetensors"), tmp_path / "x.npy"
    x = f.domain.sample(300, torch.Generator().manual_seed(0))
    np.save(points, x.numpy())
    words = ["eval", str(stored), "--points", str(points), "--out", str(tmp_path / "y.npy")]
    assert main(words) == 0
    assert "by the network" in capsys.readouterr().out
    assert np.array_equal(np.load(tmp_path / "y.npy"), model(x).numpy())
    assert main([*words, "--fast", "--report", str(tmp_path / "r.json")]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert f"by a table of its experts, within {table.slack:.3g} of the network" in said
    assert np.array_equal(np.load(tmp_path / "y.npy"), table(x).numpy())
    (report,) = json.loads((tmp_path / "r.json").read_text())
    assert (report["ran"], report["slack"], report["points"]) == ("table", table.slack, 300)
    assert main([*words, "--fast", "--lazy"]) == 2
    assert "--fast" in capsys.readouterr().err


def test_certify_and_eval_know_stored_tables(tmp_path, capsys):
    f, _, table = made("n = 1")
    stored = save(table, tmp_path / "t.safetensors")
    assert main(["certify", str(stored)]) == 0
    assert "CERTIFIED" in capsys.readouterr().out
    np.save(tmp_path / "x.npy", f.domain.sample(5, torch.Generator().manual_seed(0)).numpy())
    assert main(["eval", str(stored), "--points", str(tmp_path / "x.npy"), "--out", str(tmp_path / "y.npy")]) == 0
    assert "by a table" in capsys.readouterr().out
