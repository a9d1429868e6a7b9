"""The command line: every command once for real, exit codes, one-sentence errors, whole-or-absent files."""

import importlib.util
import json
import math
from io import StringIO
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import torch
from rich.console import Console
from safetensors import safe_open
from safetensors.torch import save_file

import momlp
import theory
from constructions import load, save, train_momlp
from constructions.trained_momlp import training
from constructions.trained_momlp.training import Options
from theory import cli, report, systems
from theory.claim import Claim, Context, Evidence, Status, Table, Verdict
from theory.systems import REGISTRY
from theory.verify import Row, Run

SCHEMA = json.loads((Path(theory.__file__).parent / "verdicts.schema.json").read_text())
FAST = ["momlp.sharpness", "momlp.lying_modulus", "vc_dimension.one_hidden_layer"]


@pytest.fixture
def run(capsys):
    def call(*arguments):
        code = cli.main([str(a) for a in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def test_list_and_targets(run):
    code, out, _ = run("list")
    assert code == 0
    assert all(c in out for c in REGISTRY)
    code, out, _ = run("targets")
    assert code == 0
    assert "weierstrass" in out


def test_plan_prints_exact_counts(run):
    code, out, _ = run("plan", "--target", "cone", "--n", 10, "--eps", 0.1)
    assert code == 0
    assert str(16**9) in out
    assert "193" in out


def test_verify_exit_codes_json_and_html(run, tmp_path):
    code, out, _ = run("verify", *FAST, "--json", tmp_path / "v.json", "--html", tmp_path / "report", "--numbers")
    assert code == 0
    assert "momlp.sharpness" in out
    document = json.loads((tmp_path / "v.json").read_text())
    jsonschema.validate(document, SCHEMA)
    assert [v["id"] for v in document["verdicts"]] == FAST
    page = (tmp_path / "report" / "index.html").read_text()
    assert "REFUTED" in page
    assert (tmp_path / "report" / "momlp_rates.png").read_bytes().startswith(b"\x89PNG")


def test_verify_json_on_standard_output(run):
    code, out, _ = run("verify", "momlp.slopes", "pathway_tree.nearest_prototype", "--json", "-")
    assert code == 0
    document = json.loads(out)
    jsonschema.validate(document, SCHEMA)
    found = {v["id"]: v for v in document["verdicts"]}
    largest = found["pathway_tree.nearest_prototype"]["numbers"]["leaves_of_largest_tree"]
    assert largest == str(100**20)  # above 2⁵³: a string
    table = found["momlp.slopes"]["tables"]["slopes"]
    assert table["columns"][:2] == ["n", "slope_P"]
    assert [row[0] for row in table["rows"]] == [2, 3, 4, 5, 6]


def tabulated():
    table = Table(("n", "case [b]", "points"), ((2, "<a>", 2**80), (3, "ε", math.inf)))
    verdict = Verdict(Status.CERTIFIED, Evidence.FLOAT64, "r", tables={"sizes": table, "none": Table(("n",), ())})
    claim = Claim("a.b", "t", "s", "src", Status.CERTIFIED)
    return Run(Context(), [Row(claim, verdict)])


def test_tables_are_shown_to_people_and_programs(tmp_path):
    document = json.loads(report.json_text(tabulated()))
    jsonschema.validate(document, SCHEMA)
    (found,) = document["verdicts"]
    assert found["tables"]["sizes"] == {
        "columns": ["n", "case [b]", "points"],
        "rows": [[2, "<a>", str(2**80)], [3, "ε", "inf"]],
    }
    assert found["tables"]["none"] == {"columns": ["n"], "rows": []}
    for wrong in ([[2]], {"columns": ["n"]}, {"columns": ["n"], "rows": [[None]]}, {"columns": [], "rows": []}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**document, "verdicts": [{**found, "tables": {"sizes": wrong}}]}, SCHEMA)
    printed = StringIO()
    Console(file=printed, width=120).print(*report.measured_tables(tabulated()))
    assert "a.b: sizes" in printed.getvalue()
    assert "case [b]" in printed.getvalue()
    assert str(2**80) in printed.getvalue()
    page = report.write_html(tabulated(), tmp_path).read_text()
    assert "<caption>sizes</caption>" in page
    assert "<td>&lt;a&gt;</td>" in page


def test_schema_rejects_a_wrong_status():
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"schema": 1, "verdicts": [{"status": "TRUE"}]}, SCHEMA)


@pytest.fixture
def temporary_claim():
    def add(reproduce, expected=Status.PROVED):
        systems.ADDED["test.temporary"] = Claim("test.temporary", "t", "s", "src", expected, reproduce=reproduce)

    yield add
    systems.ADDED.pop("test.temporary", None)


def test_a_differing_verdict_exits_1(run, temporary_claim):
    temporary_claim(lambda c: Verdict(Status.INCONCLUSIVE, Evidence.NONE, "not decided"))
    code, out, _ = run("verify", "test.temporary")
    assert code == 1
    assert "NO: PROVED" in out


def test_an_error_in_a_claim_is_a_verdict_and_the_rest_goes_on(run, temporary_claim):
    def fail(context):
        raise RuntimeError("broken [on] purpose")

    temporary_claim(fail)
    code, out, _ = run("verify", "test.temporary", "momlp.sharpness", "--json", "-")
    verdicts = {v["id"]: v for v in json.loads(out)["verdicts"]}
    assert code == 1
    assert "RuntimeError in fail: broken [on] purpose" in verdicts["test.temporary"]["reason"]
    assert verdicts["momlp.sharpness"]["as_expected"]


def test_ctrl_c_keeps_what_was_decided(run, temporary_claim, tmp_path):
    def interrupt(context):
        raise KeyboardInterrupt

    temporary_claim(interrupt)
    code, _, err = run("verify", "momlp.sharpness", "test.temporary", "--json", tmp_path / "v.json")
    document = json.loads((tmp_path / "v.json").read_text())
    assert code == 130
    assert document["interrupted"]
    assert not document["as_expected"]
    assert [v["id"] for v in document["verdicts"]] == ["momlp.sharpness"]
    assert "interrupted after 1 of 2" in err


def test_build_certify_eval_show(run, tmp_path):
    model, points, values = tmp_path / "m.safetensors", tmp_path / "p.npy", tmp_path / "y.npy"
    code, out, _ = run(
        "build", "sin(x0)*x1", "--n", 2, "--eps", 0.1, "--domain", "[-1,1];[0,2]", "--split", "1/3", "--out", model
    )
    assert code == 0
    assert "stored in" in out
    code, out, _ = run("certify", model)
    assert code == 0
    assert "CERTIFIED" in out
    assert run("certify", model, "--eps", 0.001)[0] == 1
    for method in ("a_priori", "sampled"):
        assert run("certify", model, "--method", method)[0] == 0
    x = np.random.default_rng(0).uniform([-1, 0], [1, 2], size=(70_000, 2))
    np.save(points, x)
    assert run("eval", model, "--points", points, "--out", values)[0] == 0
    truth = np.sin(x[:, :1]) * x[:, 1:]
    assert np.abs(np.load(values) - truth).max() <= 0.1
    assert run("eval", model, "--points", points, "--out", values, "--lazy")[0] == 0
    assert np.abs(np.load(values) - truth).max() <= 0.1
    assert run("show", model, "--out", tmp_path / "m.png")[0] == 0
    assert (tmp_path / "m.png").read_bytes().startswith(b"\x89PNG")
    for name, start in (("m.svg", b"<?xml"), ("m.PDF", b"%PDF")):
        assert run("show", model, "--out", tmp_path / name)[0] == 0
        assert (tmp_path / name).read_bytes().startswith(start)
    with pytest.raises(SystemExit):
        run("show", model, "--out", tmp_path / "m.gif")


@pytest.mark.parametrize(("n", "options"), [(1, ()), (3, ("--lazy",)), (2, ("--expert", "constant"))])
def test_build_and_show_other_models(run, tmp_path, n, options):
    model = tmp_path / "m.safetensors"
    assert run("build", "--target", "cone", "--n", n, "--eps", 0.2, "--out", model, *options)[0] == 0
    assert load(model).n == n
    assert run("show", model, "--out", tmp_path / "m.png")[0] == 0


@pytest.mark.parametrize(("n", "options"), [(1, ("--cells", 3)), (2, ("--resolved", 2, "--max-experts", 5))])
def test_experts_of_cells_of_resolved_axes(run, tmp_path, n, options):
    model, design = tmp_path / "m.safetensors", ("--expert", "bit_extraction", "--lookup", "wide", *options)
    assert run("build", "--target", "cone", "--n", n, "--eps", 0.1, "--out", model, *design)[0] == 0
    assert load(model).num_leaves == (3 if n == 1 else 4)
    code, out, _ = run("certify", model)
    assert code == 0
    assert "CERTIFIED" in out
    assert run("show", model, "--out", tmp_path / "m.png")[0] == 0


def test_the_plan_says_what_cells_load(run):
    line = ("plan", "--target", "cone", "--n", 1, "--eps", 1e-6, "--expert", "bit_extraction", "--lookup", "wide")
    for options, shown in (((), 65086), (("--cells", 4), 26082), (("--max-experts", 16), 14102)):
        code, out, _ = run(*line, *options)
        assert code == 0
        assert str(shown) in out


def test_hoelder_and_declared_constants(run):
    code, out, _ = run("plan", "sqrt(x0)", "--n", 1, "--eps", 0.1, "--holder", "1,0.5")
    assert code == 0
    assert "t^0.5" in out
    assert run("plan", "sin(x0)", "--n", 1, "--eps", 0.1, "--lipschitz", 2)[0] == 0
    code, _, err = run("plan", "sin(x0)", "--n", 1, "--eps", 0.1, "--lipschitz", 0.9)
    assert code == 2
    assert "refuted" in err


def test_black_box_files_need_their_function(run, tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(
        "from constructions import LipschitzFunction, build_momlp, save\n"
        "f = LipschitzFunction(lambda x: x.norm(dim=1), n=2, lipschitz=1.0)\n"
        "g = 3\n"
        "def store(path):\n    save(build_momlp(f, eps=0.1), path)\n"
    )
    monkeypatch.chdir(tmp_path)
    spec = importlib.util.spec_from_file_location("mine_test", tmp_path / "mine.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.store(tmp_path / "m.safetensors")
    code, _, err = run("certify", "m.safetensors")
    assert code == 2
    assert "--function MODULE:ATTR" in err
    assert run("certify", "m.safetensors", "--function", "mine:f")[0] == 0
    for wrong in ("mine:g", "mine:nothing", "mine", "no_such_module:f"):
        assert run("certify", "m.safetensors", "--function", wrong)[0] == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["plan", "__import__('os')", "--n", "1", "--eps", "0.1"], "__import__('os')"),
        (["plan", "x0", "--n", "1", "--eps", "0"], "`eps` must be a positive finite number, got 0.0"),
        (["plan", "x0", "--n", "0", "--eps", "1"], "`n` must be an integer"),
        (["plan", "--n", "1", "--eps", "1"], "either EXPR, --target NAME or --function"),
        (["plan", "x0", "--target", "cone", "--n", "1", "--eps", "1"], "either EXPR, --target NAME or --function"),
        (["plan", "x0", "--n", "1", "--eps", "1", "--domain", "1"], "`--domain` must be 2 numbers"),
        (["plan", "x0+x1", "--n", "2", "--eps", "1", "--split", "a"], "`--split` must be a number"),
        (["plan", "x0", "--n", "1", "--eps", "1", "--holder", "1"], "`--holder` must be 2 numbers"),
        (["verify", "nope"], "no claim or system named nope"),
        (["certify", "missing.safetensors"], "cannot read missing.safetensors"),
        (["build", "x0", "--n", "1", "--eps", "0.1", "--out", "no/such/folder/m"], "there is no folder"),
        (["verify", "momlp.sharpness", "--json", "no/such/folder/v.json"], "there is no folder"),
    ],
)
def test_mistakes_end_in_one_sentence_and_exit_2(run, arguments, message):
    code, _, err = run(*arguments)
    assert code == 2
    assert message in err
    assert "Traceback" not in err


@pytest.mark.parametrize("arguments", [["nope"], ["plan"], ["verify", "--budget", "huge"]])
def test_usage_errors_exit_2(arguments):
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 2


@pytest.mark.parametrize("array", [np.zeros((3, 5)), np.zeros(3), np.zeros((3, 1), dtype=int), np.array([[object()]])])
def test_eval_refuses_bad_points_and_writes_nothing(run, tmp_path, array):
    model = tmp_path / "m.safetensors"
    assert run("build", "x0", "--n", 1, "--eps", 0.1, "--out", model)[0] == 0
    np.save(tmp_path / "p.npy", array, allow_pickle=True)
    code, _, err = run("eval", model, "--points", tmp_path / "p.npy", "--out", tmp_path / "y.npy")
    assert code == 2
    assert "`--points`" in err
    assert not (tmp_path / "y.npy").exists()


def test_eval_refuses_points_outside_and_keeps_the_old_result(run, tmp_path):
    model, out = tmp_path / "m.safetensors", tmp_path / "y.npy"
    run("build", "x0", "--n", 1, "--eps", 0.1, "--out", model)
    out.write_bytes(b"old")
    np.save(tmp_path / "p.npy", np.array([[0.5], [1.5]]))
    code, _, err = run("eval", model, "--points", tmp_path / "p.npy", "--out", out)
    assert code == 2
    assert "must lie in the domain" in err
    assert out.read_bytes() == b"old"


def test_vc_prints_bounds(run):
    sizes = ("--n", 4, "--depth", 1, "--width", 4, "--experts", 8)
    code, out, _ = run("vc", *sizes)
    assert code == 0
    assert "2520" in out
    assert "17" in out
    code, out, _ = run("vc", *sizes, "--router", "tree")
    assert "2368" in out
    assert run("vc", "--n", 4, "--depth", 1, "--width", 4, "--experts", 6, "--router", "tree")[0] == 2
    assert run("vc", "--n", 0, "--depth", 1, "--width", 4, "--experts", 6)[0] == 2


def test_vc_uses_the_best_set_and_certifies_it(run):
    code, out, _ = run("vc", "--n", 3, "--depth", 17, "--width", 11, "--experts", 8, "--router", "tree")
    assert code == 0
    assert "8 cells of 512 points, deep (checked by certificate)" in out
    assert "4096" in out
    assert "2843666" in out
    code, out, _ = run("vc", "--n", 2, "--depth", 1, "--width", 1, "--experts", 2, "--activation", "prelu_fixed")
    assert code == 0
    assert "none known" in out


@pytest.mark.parametrize(
    ("arguments", "points"),
    [
        (("deep", "--side", 2, "--blocks", 2, "--bits", 4, "--layers-per-bit", 2), 32),
        (("wide", "--n", 4, "--units", 2, "--bits", 3, "--experts", 3), 54),
        (("two_hidden_layers", "--side", 5), 25),
        (("one_hidden_layer", "--n", 2, "--width", 3, "--networks"), 7),
        (("routing_only", "--n", 3, "--experts", 4), 10),
        (("routing_pairs_tree", "--n", 2, "--experts", 4), 6),
    ],
)
def test_shatter_and_check(run, tmp_path, arguments, points):
    path = tmp_path / "set.safetensors"
    code, out, _ = run("shatter", *arguments, "--out", path)
    assert code == 0
    assert "yes" in out
    code, out, _ = run("check", path)
    assert code == 0
    assert str(points) in out
    path.write_bytes(path.read_bytes()[:-9])
    code, _, err = run("check", path)
    assert code == 2
    assert "cannot read" in err


def test_check_rejects_a_foreign_set_with_a_wrong_label(run, tmp_path):
    """A file that someone else wrote: four points on a line, one network a labeling, one of them wrong."""
    path = tmp_path / "set.safetensors"
    run("shatter", "one_hidden_layer", "--n", 1, "--width", 3, "--out", path)
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    metadata = {"momlp_shattered": json.dumps({"schema": 1, "kind": "networks"})}
    save_file(tensors, path, metadata=metadata)
    assert run("check", path)[0] == 0
    tensors["layer.1.bias"][6] *= -1
    save_file(tensors, path, metadata=metadata)
    code, out, _ = run("check", path)
    assert code == 1
    assert "labeling 0110: point 0" in out


def test_shatter_names_a_missing_or_bad_size(run, tmp_path):
    assert "`--units` is needed for wide" in run("shatter", "wide", "--n", 4, "--bits", 2)[2]
    assert "`side`" in run("shatter", "two_hidden_layers", "--side", 0)[2]
    assert "no folder" in run("shatter", "two_hidden_layers", "--side", 3, "--out", tmp_path / "no" / "x")[2]


def test_doctor_is_content_with_this_installation(run):
    code, out, _ = run("doctor")
    assert code == 0
    assert "WRONG" not in out


def test_devices_prints_the_plan(run):
    code, out, _ = run("devices", "--n", 8, "--eps", 0.05, "--devices", 1000, "--device-bytes", 80 * 10**9)
    assert code == 0
    assert str(29**7) in out
    assert "2997" in out
    code, out, _ = run("devices", "--n", 8, "--eps", 0.05, "--devices", 1000, "--device-bytes", 10**6)
    assert code == 1


def test_a_trained_model_answers_and_has_no_certificate(run, tmp_path):
    x = torch.rand(300, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    model = train_momlp(x, x[:, 0], leaves=40, expert_hidden=(8,), options=Options(steps=5))
    save(model, tmp_path / "t.safetensors")
    np.save(tmp_path / "x.npy", x.numpy())
    arguments = ("--points", tmp_path / "x.npy", "--out", tmp_path / "y.npy", "--budget-bytes", 40_000)
    code, _, _ = run("eval", tmp_path / "t.safetensors", *arguments)
    assert code == 0
    assert np.array_equal(np.load(tmp_path / "y.npy"), model(x).numpy())
    code, _, err = run("certify", tmp_path / "t.safetensors")
    assert code == 2
    assert "trained on data" in " ".join(err.split())


@pytest.fixture
def data(tmp_path):
    """Arguments of files of 300 points in R^n with values or classes."""

    def write(n, task="regression"):
        x = np.random.default_rng(0).uniform(-3, 5, (300, n))
        y = np.sin(x[:, 0]) if task == "regression" else (x[:, 0] > 0) + 2 * (x[:, -1] > 1)
        np.save(tmp_path / "x.npy", x)
        np.save(tmp_path / "y.npy", y)
        return ("--points", tmp_path / "x.npy", "--values", tmp_path / "y.npy", "--task", task)

    return write


@pytest.mark.parametrize(("n", "task"), [(1, "regression"), (2, "classification"), (5, "regression")])
def test_train_gives_the_model_of_the_api_and_show_draws_it(run, data, tmp_path, n, task):
    out, sizes = tmp_path / "t.safetensors", ("--leaves", 6, "--hidden", "8,4", "--steps", 20, "--seed", 3)
    code, said, _ = run("train", *data(n, task), *sizes, "--out", out)
    assert code == 0
    assert "stored in" in said
    x, y = (torch.from_numpy(np.load(tmp_path / f"{name}.npy")) for name in "xy")
    g = torch.Generator().manual_seed(3)
    expected = train_momlp(x, y, leaves=6, expert_hidden=(8, 4), task=task, options=Options(steps=20), generator=g)
    assert torch.equal(load(out)(x), expected(x))
    assert run("show", out, "--out", tmp_path / "t.png")[0] == 0
    assert (tmp_path / "t.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("task", ["regression", "classification"])
def test_train_counts_points_by_their_weights(run, data, tmp_path, task):
    words = (*data(2, task), "--leaves", 2, "--hidden", "8", "--steps", 20, "--out", tmp_path / "t.safetensors")
    weight = np.random.default_rng(1).integers(0, 4, 300)
    np.save(tmp_path / "w.npy", weight)
    code, said, _ = run("train", *words, "--weights", tmp_path / "w.npy")
    assert code == 0
    x, y, w = (torch.from_numpy(np.load(tmp_path / f"{name}.npy")) for name in "xyw")
    g, sizes = torch.Generator().manual_seed(0), {"leaves": 2, "expert_hidden": (8,), "options": Options(steps=20)}
    expected = train_momlp(x, y, task=task, sample_weight=w, generator=g, **sizes)
    found = load(tmp_path / "t.safetensors").predict(x)
    assert torch.equal(found, expected.predict(x))
    if task == "regression":
        error = float(np.average((found[:, 0] - y).square().numpy(), weights=weight)) ** 0.5
    else:
        error = float(np.average((found != y).numpy(), weights=weight))
    assert f"all points given, by weight │ {error:.6g}" in " ".join(said.split())
    np.save(tmp_path / "w.npy", np.full(300, 2.5))
    models = []
    for more in ((), ("--weights", tmp_path / "w.npy")):
        assert run("train", *words, *more)[0] == 0
        models.append((tmp_path / "t.safetensors").read_bytes())
    assert models[0] == models[1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("--hidden", "8,a"), "`--hidden` must be integers"),
        (("--leaves", "0"), "`leaves` must be"),
        (("--task", "classification"), "must be integer classes for classification, got float64"),
        (("--budget-bytes", "10"), "`budget_bytes` must hold one expert"),
        (("--out", "/nowhere/t.safetensors"), "there is no folder"),
        (("--values", __file__), "must be a plain .npy array"),
        (("--weights", __file__), f"`--weights` {__file__} must be a plain .npy array"),
        (("--weights", "x.npy"), "`--weights` must be numbers of shape (300,), got float64 (300, 2)"),
        (("--weights", "minus.npy"), "`sample_weight` must be finite and nonnegative, row 299 is -1"),
        (("--weights", "none.npy"), "`sample_weight` must not be all zero"),
        (("--weights", "minus.npy", "--out", "minus.npy"), "it would replace the file"),
    ],
)
def test_mistakes_in_training_write_nothing(run, data, tmp_path, monkeypatch, change, message):
    monkeypatch.chdir(tmp_path)
    np.save("none.npy", np.zeros(300))
    np.save("minus.npy", np.append(np.ones(299), -1))
    arguments = (*data(2), "--leaves", 4, "--out", tmp_path / "t.safetensors", *change)
    code, _, err = run("train", *arguments)
    assert code == 2
    assert message in " ".join(err.split())
    assert not (tmp_path / "t.safetensors").exists()


def test_ctrl_c_in_training_says_how_to_go_on(run, data, tmp_path, monkeypatch):
    steps = training._Group._steps
    calls = []

    def interrupted(self, *arguments):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return steps(self, *arguments)

    monkeypatch.setattr(training._Group, "_steps", interrupted)
    out, state = tmp_path / "t.safetensors", tmp_path / "state.safetensors"
    arguments = (*data(2), "--leaves", 4, "--steps", 200, "--out", out, "--checkpoint", state)
    code, _, err = run("train", *arguments)
    assert code == 130
    assert f"the same command goes on from {state}" in "".join(err.split("\n"))
    assert not out.exists()
    assert run("train", *arguments)[0] == 0
    resumed = load(out)
    state.unlink()
    assert run("train", *arguments)[0] == 0
    assert torch.equal(load(out).experts, resumed.experts)


def test_the_command_says_its_version(capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["--version"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out == f"momlp {momlp.__version__}\n"
