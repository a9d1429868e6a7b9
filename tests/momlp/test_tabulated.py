"""Tables of node values: equal to the network within the stated slack, in rationals and at the awkward points."""

import copy
import subprocess
import sys
import warnings
from fractions import Fraction
from functools import cache

import pytest
import torch

from constructions import (
    BudgetExceeded,
    LipschitzFunction,
    Modulus,
    StoreError,
    TabulatedMoMLP,
    build_momlp,
    load,
    save,
    table_kernel,
    tabulate,
    targets,
    train_momlp,
)
from constructions.momlp.pencil_nodes import PencilNodes
from constructions.nodes import UNITS, NodeAxis
from constructions.trained_momlp.training import Options
from theory import exact

HOLDER = LipschitzFunction(
    lambda x: (x - 0.5).abs().sum(-1).sqrt() / 2, n=2, modulus=Modulus.holder(0.6, 0.5), name="hoelder"
)
FAR = LipschitzFunction(
    lambda x: torch.sin(x[:, :1]) * x[:, 1:] / 1000, n=2, lipschitz=2.0, domain=[(-3.3, -1.1), (1000.1, 1001.7)]
)
LINE = LipschitzFunction(lambda x: 0.7 * x - 0.1, n=1, lipschitz=0.7, domain=(0.1, 1.3))
BITS = {"expert": "bit_extraction"}
CASES = {
    "pencil": (targets.get("sum_of_sines", n=2), {"eps": 0.1}),
    "n = 1": (targets.get("cone", n=1), {"eps": 0.02}),
    "n = 3": (targets.get("sum_of_sines", n=3), {"eps": 0.4}),
    "lo is not 0": (FAR, {"eps": 0.1}),
    "prelu": (targets.get("vector_rotation", n=2), {"eps": 0.1, "activation": "prelu"}),
    "two outputs": (targets.get("vector_rotation", n=2), {"eps": 0.1}),
    "float32": (targets.get("vector_rotation", n=2), {"eps": 0.1, "dtype": torch.float32}),
    "float32, lo is not 0": (LINE, {"eps": 0.01, "dtype": torch.float32}),
    "constant": (targets.get("cone", n=2), {"eps": 0.1, "expert": "constant"}),
    "hoelder": (HOLDER, {"eps": 0.2}),
    "lazy": (targets.get("cone", n=2), {"eps": 0.1, "lazy": True}),
    "deep words": (targets.get("cone", n=1), {"eps": 0.02, **BITS}),
    "wide words": (targets.get("vector_rotation", n=2), {"eps": 0.2, "lookup": "wide", **BITS}),
    "two axes": (targets.get("cone", n=2), {"eps": 0.3, "resolved": 2, "lookup": "wide", **BITS}),
    "three axes": (targets.get("cone", n=3), {"eps": 0.9, "resolved": 3, "lookup": "wide", **BITS}),
}
ALL = pytest.mark.parametrize("name", CASES)


@cache
def network(name):
    f, options = CASES[name]
    model = build_momlp(f, **options)
    if name == "prelu":  # the slopes are 0 as they are built
        model.slope.data.uniform_(-0.3, 0.4, generator=torch.Generator().manual_seed(0))
    return model


@cache
def tabulated(name):
    return network(name).tabulate()


def awkward(table, count=40):
    """Random points, knots, faces and corners of cells, and the floats beside them."""
    g = torch.Generator().manual_seed(3)
    lo, hi = table.domain.tensors()
    x = table.domain.sample(count, g)
    lower, upper = table.cell_bounds(table.route(x))
    faces = torch.where(torch.rand(count, table.n, generator=g) < 0.5, lower, upper)
    q, plan = len(table.cells), table.plan
    for axis in range(q, table.n):
        cells = table.places.cells[axis - q]
        knots = lo[axis] + torch.arange(cells + 1) * (float(plan.domain.sides[axis]) / cells)
        faces[:, axis] = knots[torch.randint(cells + 1, (count,), generator=g)]
    own = faces.clone()
    if plan.has_shared_layer and plan.knots:  # the network's own kinks, as it rounded them
        kinks = -table.network.hidden_bias.double()
        own[:, -1] = kinks[torch.randint(len(kinks), (count,), generator=g)]
    at = torch.cat([faces, own])
    beside = [torch.nextafter(at, torch.full_like(at, s * torch.inf)) for s in (1, -1)]
    return torch.cat([x, at, *beside]).clamp(lo, hi)


def exact_difference(table, x):
    """The largest |table(x) − network(x)|, the network in rationals."""
    y, leaves = table(x), table.route(x)
    worst = Fraction(0)
    compiled = {}
    for row in range(len(x)):
        key = tuple(leaves[row].tolist())
        if key not in compiled:
            expert = table.network.expert(leaves[row])
            plain = type(expert[0]) is torch.nn.Linear and not any(isinstance(p, torch.nn.PReLU) for p in expert)
            compiled[key] = exact.Compiled(expert) if plain else lambda p, e=expert: exact.evaluate_network(e, p)
        values = [exact.fraction(v) for v in compiled[key](x[row])]
        worst = max(worst, *(abs(v - Fraction(t)) for v, t in zip(values, y[row].tolist(), strict=True)))
    return worst


@pytest.mark.exact
@ALL
def test_the_slack_holds_in_rationals_at_awkward_points(name):
    table = tabulated(name)
    deep = name in ("deep words", "wide words", "two axes", "three axes")
    x = awkward(table, 6 if deep else 30)
    assert exact_difference(table, x) <= Fraction(table.slack)
    scale = 1 if not deep else 4
    assert (
        table.slack <= scale * 1e-14 * max(1.0, float(table.table.abs().max()))
        or "float32" in name
        or name == "lo is not 0"
    )


@ALL
def test_the_table_is_close_to_forward(name):
    """To which the network's own rounding is added."""
    table = tabulated(name)
    x = awkward(table, 300)
    difference = (table(x).double() - network(name)(x).double()).abs().max()
    assert float(difference) <= table.slack + (1e-6 if "float32" in name else 2e-12)


@pytest.mark.exact
def test_a_slack_half_as_large_is_exposed():
    """Where knots that were rounded to float32 make the slack, an equal slope on both sides attains it."""
    model = build_momlp(LINE, eps=0.001, dtype=torch.float32)
    table = model.tabulate(dtype=torch.float64)
    x = -model.hidden_bias.double()[:, None].clamp(max=-LINE.domain.lo[0])
    found = exact_difference(table, x)
    assert Fraction(table.slack) / 2 < found <= Fraction(table.slack)


@pytest.mark.exact
@pytest.mark.parametrize("name", ["pencil", "float32", "deep words", "two axes"])
def test_one_changed_value_is_exposed(name):
    table = copy.deepcopy(tabulated(name))
    x = awkward(table, 2)[:4]
    entry = table.table.data
    entry += 4 * table.slack  # wherever x lies: all of them
    assert exact_difference(table, x) > Fraction(table.slack)


@pytest.mark.exact
@ALL
def test_the_kernel_and_torch_give_the_same_bits(name):
    table = tabulated(name)
    x = awkward(table, 700)
    whole = table(x)
    assert torch.equal(table._gather(x), whole)
    narrow = x.float().double().clamp(*table.domain.tensors())
    if bool((narrow.float().double() == narrow).all()):
        assert torch.equal(table(narrow.float()), table(narrow))


def test_the_kernel_shares_points_among_threads(monkeypatch):
    table = tabulated("pencil")
    x = table.domain.sample(5000, torch.Generator().manual_seed(0))
    alone = table(x)
    monkeypatch.setattr(table_kernel, "LEAST_POINTS", 16)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 7)
    assert torch.equal(table(x), alone)
    x[4999, 1] = 1.5
    with pytest.raises(ValueError, match="row 4999"):
        table(x)


def test_without_numba_the_torch_path_runs_and_says_so_once(tmp_path):
    script = """
import sys, warnings
sys.modules["numba"] = None
import torch
from constructions import build_momlp, targets
table = build_momlp(targets.get("cone", n=2), eps=0.2).tabulate()
x = torch.rand(9, 2, dtype=torch.float64)
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    a, b = table(x), table(x)
assert torch.equal(a, table._gather(x)) and torch.equal(a, b)
print([str(w.message) for w in said if "momlp[fast]" in str(w.message)])
"""
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert found.count("numba is not installed") == 1


@pytest.mark.parametrize("bad", [-0.1, 1.1, float("nan"), float("inf")])
def test_points_outside_are_refused_as_the_network_refuses_them(bad):
    x = torch.full((3, 2), 0.5, dtype=torch.float64)
    x[1, 1] = bad
    messages = []
    for model in (network("pencil"), tabulated("pencil")):
        with pytest.raises(ValueError, match="row 1") as error:
            model(x)
        messages.append(str(error.value))
    assert messages[0] == messages[1]
    # without a look at values nothing is read beside the table either
    assert tabulated("pencil")._gather(x).shape == (3, 1)
    with pytest.raises(ValueError, match=r"shape \(B, 2\)"):
        tabulated("pencil")(x[:, :1])
    assert tabulated("pencil")(x[:0]).shape == (0, 1)


# --- a module as others are --------------------------------------------------------------------------------------


def test_casts_change_the_table_alone_and_the_slack_stays_true():
    table = copy.deepcopy(tabulated("pencil"))
    fine = table.slack
    narrow = table.float()
    assert narrow.table.dtype == torch.float32
    assert narrow.network.out_weight.dtype == torch.float64
    x = awkward(narrow, 20)
    coarse = narrow.slack
    assert fine < 1e-14 < coarse < 1e-6
    assert exact_difference(narrow, x) <= Fraction(coarse)
    wide = narrow.double()
    assert fine < 1e-8 < wide.slack < coarse  # the entries were rounded, answers no longer are
    assert exact_difference(wide, x) <= Fraction(wide.slack)
    direct = network("pencil").tabulate(dtype=torch.float32)
    assert torch.equal(direct.table, narrow.float().table)
    assert direct.slack == coarse
    with pytest.raises(RuntimeError, match="float64 or float32"):
        table.half()


def test_gradients_flow_to_points_and_entries():
    table = copy.deepcopy(tabulated("pencil"))
    x = table.domain.sample(50, torch.Generator().manual_seed(0)).requires_grad_()
    (slope,) = torch.autograd.grad(table(x).sum(), x)
    expert_slopes = torch.autograd.grad(network("pencil")(x).sum(), x)[0]
    assert torch.allclose(slope, expert_slopes, atol=1e-9)
    table.table.requires_grad_()
    table(x.detach()).sum().backward()
    assert float(table.table.grad.sum()) == pytest.approx(50)
    tangent = torch.func.jvp(tabulated("pencil"), (x.detach(),), (torch.ones_like(x),))[1]
    assert torch.allclose(tangent[:, 0], slope.sum(-1), atol=1e-9)


@pytest.mark.parametrize("name", ["pencil", "two outputs", "constant", "two axes"])
def test_transforms_and_export_agree(name):
    table = tabulated(name)
    x = table.domain.sample(20, torch.Generator().manual_seed(0))
    mapped = torch.func.vmap(lambda row: table(row[None])[0])(x)
    assert torch.equal(mapped, table(x))
    batch = torch.export.Dim("batch")
    exported = torch.export.export(table, (x,), dynamic_shapes={"x": {0: batch}})
    y = table.domain.sample(33, torch.Generator().manual_seed(1))
    assert torch.equal(exported.module()(y), table(y))
    assert torch.equal(torch.jit.trace(table, x, check_trace=False)(y), table(y))


@pytest.mark.slow
def test_compiled_tables_stay_within_the_slack():
    table = tabulated("pencil")
    x = awkward(table, 200)
    compiled = torch.compile(table, fullgraph=True)
    assert float((compiled(x) - table(x)).detach().abs().max()) <= table.slack


def test_a_cheap_compiler_takes_the_whole_graph():
    table = tabulated("pencil")
    x = awkward(table, 20)
    compiled = torch.compile(table, fullgraph=True, backend="eager")
    assert torch.equal(compiled(x), table(x))


def test_a_moved_table_answers_there(device):
    table = copy.deepcopy(tabulated("two outputs"))
    x = awkward(table, 50)
    expected = table(x)
    there = table.to(device)
    assert there.network.out_weight.device.type == "cpu"
    found = there(x.to(device))
    assert found.device.type == device.type
    assert torch.equal(found.cpu(), expected)


# --- files -----------------------------------------------------------------------------------------------------


@pytest.mark.exact
@pytest.mark.parametrize("name", ["pencil", "prelu", "float32", "constant", "wide words"])
def test_files_give_the_same_table(name, tmp_path):
    table = tabulated(name)
    again = load(save(table, tmp_path / "t.safetensors"))
    assert isinstance(again, TabulatedMoMLP)
    assert torch.equal(again.table, table.table)
    assert again.slack == table.slack
    x = awkward(table)
    assert torch.equal(again.network(x), table.network(x))
    with pytest.raises(ValueError, match="`lazy` must be False"):
        load(tmp_path / "t.safetensors", lazy=True)
    with pytest.raises(BudgetExceeded):
        load(tmp_path / "t.safetensors", max_bytes=8)


def test_files_remember_what_was_rounded_and_refuse_what_was_changed(tmp_path):
    table = network("pencil").tabulate(dtype=torch.float32).double()
    again = load(save(table, tmp_path / "t.safetensors"))
    assert again.table.dtype == torch.float64
    assert torch.equal(again.table, table.table)
    assert again.slack == table.slack
    table.table.data[0, 0, 0] += 1e-3
    with pytest.raises(StoreError, match="entries were changed"):
        save(table, tmp_path / "u.safetensors")


# --- what is refused ------------------------------------------------------------------------------------------------


def test_only_built_models_have_tables():
    x = torch.rand(60, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    trained = train_momlp(x, x[:, 0], leaves=3, expert_hidden=(4,), options=Options(steps=2))
    for other in (trained, torch.nn.Linear(2, 1), None):
        with pytest.raises(TypeError, match="`model` must be a MoMLP to be tabulated"):
            tabulate(other)
    assert type(tabulate(network("pencil"))) is TabulatedMoMLP
    assert torch.equal(tabulated("pencil").tabulate().table, tabulated("pencil").table)


def test_bad_arguments_are_named():
    with pytest.raises(BudgetExceeded, match="`max_bytes` = 100"):
        network("pencil").tabulate(max_bytes=100)
    with pytest.raises(ValueError, match="`dtype` must be"):
        network("pencil").tabulate(dtype=torch.float16)
    with pytest.raises(ValueError, match="`max_bytes` must be"):
        network("pencil").tabulate(max_bytes=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.hidden_weight.data.mul_(2), "units x − t"),
        (lambda m: m.hidden_bias.data[2:4].copy_(m.hidden_bias.data[2:4].flip(0)), "units x − t"),
        (lambda m: m.hidden_bias.data[3].mul_(1.1), "evenly spaced"),
        (lambda m: m.hidden_bias.data[3].fill_(float("nan")), "units x − t"),
        (lambda m: m.out_weight.data[1, 0, 2].fill_(float("nan")), "beyond float64"),
        (lambda m: m.out_weight.data[1, 0, 2].fill_(1e308), "beyond float64"),
    ],
)
def test_weights_that_are_no_longer_those_of_nodes_are_refused(change, message):
    model = copy.deepcopy(network("pencil"))
    with torch.no_grad():
        change(model)
    with pytest.raises(ValueError, match=message):
        model.tabulate()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.out_weight.data[0, 0, 3].add_(0.5), "words"),
        (lambda m: m.out_weight.data[0, 0, 0].fill_(-(2.0**52)), "words"),
        (lambda m: m.out_weight.data[0, 0, 0].fill_(float("nan")), "words"),
        (lambda m: m.shared_weight[3].data[0, 0].add_(1), "shared layers"),
        (lambda m: m.shared_bias[-1].data.add_(1), "shared layers"),
    ],
)
@pytest.mark.parametrize("name", ["deep words", "wide words"])
def test_changed_words_and_layers_are_refused(name, change, message):
    model = copy.deepcopy(network(name))
    with torch.no_grad():
        change(model)
    with pytest.raises(ValueError, match=message):
        model.tabulate()


@pytest.mark.exact
def test_moved_kinks_make_drift_and_slack():
    """Evenly spaced up to a thousandth: the table is made, its slack says how much worse it is, and is true."""
    model = copy.deepcopy(network("n = 1"))
    model.hidden_bias.data[5] += 1e-5
    table = model.tabulate()
    assert 1e-6 < table.slack < 1e-3
    x = torch.cat([awkward(table), -model.hidden_bias[:, None]])
    found = exact_difference(table, x)
    assert Fraction(table.slack) / 2 < found <= Fraction(table.slack)


@pytest.mark.exact
def test_uncertainty_covers_the_rounding_of_coordinates():
    """(x − lo)·scale in float64 against rationals: within ρ = 4uK, a third of what is allowed for beyond drift."""
    nodes = PencilNodes(network("lo is not 0"))
    (axis,) = nodes.axes
    x = FAR.domain.sample(2000, torch.Generator().manual_seed(0))[:, 1]
    z = (x - axis.lo) * axis.scale
    side = FAR.domain.sides[1]
    for value, found in zip(x.tolist(), z.tolist(), strict=True):
        off = abs(Fraction(found) - (Fraction(value) - Fraction(axis.lo)) * axis.cells / side)
        assert off <= 4 * Fraction(UNITS[torch.float64]) * axis.cells
    assert NodeAxis(0.0, 1.0, 8, 0.0).uncertainty == 12 * 8 * UNITS[torch.float64]


def test_nothing_is_said_where_the_kernel_runs():
    pytest.importorskip("numba")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tabulated("pencil")(awkward(tabulated("pencil")))
