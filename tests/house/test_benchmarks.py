"""Benchmarks run to their end: small, without what takes long, and with no word about how fast."""

import importlib
import json
import sys
from pathlib import Path

import pytest
import torch
from rich.console import Console

from constructions import LipschitzFunction, build_momlp, export_onnx, targets

ROOT = Path(__file__).parents[2]
FILES = [path.stem for path in sorted((ROOT / "benchmarks").glob("*.py"))]


@pytest.fixture
def modules(monkeypatch):
    """The files of benchmarks/ by name, forgotten afterwards."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    for name in FILES:
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield {name: importlib.import_module(name) for name in FILES}
    for name in FILES:
        sys.modules.pop(name, None)


def test_the_whole_run_ends(modules, monkeypatch, tmp_path, capsys):
    run, routers = modules["run"], modules["routers"]
    monkeypatch.setattr(modules["timing"], "REPEATS", 1)
    monkeypatch.setattr(routers, "INSTANCES", ((2, 0.05),))
    monkeypatch.setattr(routers, "CLOUDS", ("circle in R^3",))
    monkeypatch.setattr(routers, "POINTS", 500)
    monkeypatch.setattr(routers, "LEAVES", 20)
    curve = [run.row("reading", "memory", "points/s", 1.0, 2.0) | {"share": share} for share in (0.1, 0.5)]
    monkeypatch.setattr(run.data_and_machines, "throughput", lambda quick: curve)
    monkeypatch.setattr(run.data_and_machines, "rest", lambda quick: [])
    monkeypatch.setattr(modules["am_gm"], "BATCH", 200)
    monkeypatch.setattr(modules["am_gm"], "FILES", ("n2m2_upper",))
    for name in ("certificates", "bit_extraction"):
        monkeypatch.setattr(run, name, lambda *args: [])
    monkeypatch.setattr(modules["exports"], "POINTS", 500)
    monkeypatch.setattr(modules["exports"], "STEPS", 2)
    monkeypatch.setattr(modules["sublinear_training"], "WIDTHS", (128,))
    monkeypatch.setattr(modules["scaling_laws"], "CURVES", 3)
    monkeypatch.setitem(modules["scaling_laws"].STUDENTS, "steps", 3)
    monkeypatch.setattr(modules["demo_optimizer"], "SHAPES", [(64, 64), (7,)])
    monkeypatch.setattr(modules["shattering"], "exhaustive", lambda: run.row("set", "loop", "pairs/s", 4.0, None))
    monkeypatch.setattr(sys, "argv", ["run.py", "--quick", "--out", str(tmp_path)])
    run.main()
    found = json.loads((tmp_path / "benchmarks.json").read_text())
    assert (tmp_path / "throughput.png").stat().st_size > 0
    assert found["machine"]["torch_threads"] == torch.get_num_threads()
    timed = [r for r in found["rows"] if "cpu" in r]
    assert len(timed) >= 5
    assert all(len(r["cpu"]) == len(r["wall"]) == 2 and r["threads"] for r in timed)
    assert "torch_threads" in capsys.readouterr().out


def test_exports_are_not_measured_without_the_extra(modules, monkeypatch, capsys):
    monkeypatch.setattr(modules["exports"], "available", lambda: False)
    assert modules["exports"].rows() == []
    assert "the extra `onnx` (pip install 'momlp[onnx]') is not installed" in " ".join(capsys.readouterr().err.split())


def test_a_file_that_differs_is_not_measured(modules, monkeypatch):
    pytest.importorskip("onnxruntime")
    exports = modules["exports"]
    monkeypatch.setattr(modules["timing"], "REPEATS", 1)
    model = build_momlp(targets.get("cone", n=2), eps=0.2)
    x = torch.rand(50, 2, dtype=torch.float64)
    found = exports.evaluation("pencils", model, x)
    assert found["measured"] == "evaluate in onnxruntime: pencils, 50 points"
    assert found["ratio"] > 0
    other = build_momlp(targets.get("cone", n=2), eps=0.1)
    monkeypatch.setattr(exports, "export_onnx", lambda m, path: export_onnx(other, path))
    with pytest.raises(RuntimeError, match="pencils: the file differs from the model by"):
        exports.evaluation("pencils", model, x)


def test_a_router_that_differs_is_not_measured(modules):
    leaves = torch.tensor([1, 2, 3])
    modules["routers"].require_same(leaves, leaves, "the same")
    with pytest.raises(RuntimeError, match="another disagrees with the router at 1 of 3 random points"):
        modules["routers"].require_same(torch.tensor([1, 2, 4]), leaves, "another")


def test_a_set_that_is_not_shattered_is_not_measured(modules, monkeypatch):
    shattering = modules["shattering"]
    monkeypatch.setattr(shattering, "one_hidden_layer", lambda *sizes: _flipped())
    with pytest.raises(RuntimeError, match="the set is not shattered: labeling 000: point 0"):
        shattering.exhaustive()


def _flipped():
    from dataclasses import replace

    from constructions.vc_dimension import one_hidden_layer

    honest = one_hidden_layer(2, 1)
    return replace(honest, weights=lambda labels: honest.weights(~labels))


def test_times_are_medians_of_calls_in_turn(modules, monkeypatch):
    calls = []
    times = modules["timing"].pair(lambda: calls.append("a"), lambda: calls.append("b"))
    assert calls == ["a", "b"] * (1 + modules["timing"].REPEATS)
    assert all(t["wall"] >= 0 and t["cpu"] >= 0 for t in times)
    entry = modules["timing"].timed_row("x", "y", "points/s", (10, 20), lambda: None, lambda: None)
    assert entry["ours"] == pytest.approx(10 / entry["wall"][0])
    assert entry["theirs"] == pytest.approx(20 / entry["wall"][1])


@pytest.mark.parametrize(
    "text", ["Max(x0 - x1, x1/3, 2)", "1/2 - Min(Abs(x0), x1, 3*x0)", "sin(2*x0)*3 + cos(x1) - x0, x1"]
)
def test_graphs_for_crown_are_the_formula(modules, text):
    f = LipschitzFunction.from_sympy(text, n=2)
    x = f.domain.sample(50, torch.Generator().manual_seed(0))
    torch.testing.assert_close(modules["certificates"].Formula(f)(x), f(x), rtol=1e-13, atol=1e-13)


def test_without_crown_nothing_is_compared(modules, monkeypatch, capsys):
    monkeypatch.setattr(modules["certificates"], "find_spec", lambda name: None)
    assert modules["certificates"].report(Console(width=200)) == []
    assert "auto_LiRPA is not installed, so nothing is compared" in capsys.readouterr().out


def test_boxes_of_one_search_are_compared(modules):
    """Bounds by slopes are never above those by the modulus alone, which they are combined with."""
    certificates, f = modules["certificates"], targets.get("max_affine", n=2)
    model = build_momlp(f, eps=0.2)
    (_, bank), *_ = certificates.banks_of(certificates.view_of(model, f.domain, 1, max_leaves=100))
    boxes = certificates.sampled_boxes(bank)
    plain, ours = certificates.our_bounds(bank, f, boxes)
    assert bool((ours <= plain).all())
    assert float(ours.mean()) < 0.8 * float(plain.mean())


def test_means_and_verdicts_that_differ_are_not_measured(modules, monkeypatch):
    am_gm = modules["am_gm"]
    monkeypatch.setattr(am_gm, "in_fractions", lambda numbers: (1, None, None))
    with pytest.raises(RuntimeError, match="the two ways to a verdict on n4m4_upper disagree"):
        am_gm.certificates()
    monkeypatch.setattr(am_gm, "all_products", torch.zeros_like)
    with pytest.raises(RuntimeError, match="the two ways to the mean disagree"):
        am_gm.means()
