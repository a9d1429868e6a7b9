"""`momlp explain`: stored models and models in Python, features and experts, what is printed, written and refused."""

import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from constructions import build_momlp, load, save, targets, train_momlp
from constructions.shapley_interactions import ExpertGame, FeatureGame, InteractionValues, explain
from constructions.trained_momlp.training import Options
from tests.shapley_interactions.by_definition import largest_gap, seeded
from theory import cli
from theory.shapley_interactions import verbs


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Points x.npy (60, 3), values y.npy, classes c.npy, models trained on both and one built for a function."""
    place = tmp_path_factory.mktemp("explain")
    x = torch.rand(60, 3, generator=seeded(), dtype=torch.float64)
    y = x[:, 0] * x[:, 1] + x[:, 2]
    classes = (x[:, 0] > 0.4).long() + (x[:, 1] > 0.5).long()
    for name, values in (("x", x), ("y", y), ("c", classes), ("x2", x[:, :2]), ("b", x[:7])):
        np.save(place / f"{name}.npy", values.numpy())
    options = {"leaves": 5, "expert_hidden": (4,), "options": Options(steps=20)}
    save(train_momlp(x, y, **options), place / "m.safetensors")
    save(train_momlp(x, classes, task="classification", **options), place / "k.safetensors")
    save(build_momlp(targets.get("sum_of_sines", n=2), eps=0.2), place / "f.safetensors")
    return place


@pytest.fixture
def run(folder, monkeypatch, capsys):
    """The command in the folder: exit code and all that was printed, spaces made one."""
    monkeypatch.chdir(folder)

    def call(*words):
        code = cli.main(list(words))
        said = capsys.readouterr()
        return code, " ".join((said.out + said.err).split())

    return call


def points(name="x"):
    return torch.from_numpy(np.load(f"{name}.npy"))


def test_features_of_a_stored_model(run):
    code, said = run("explain", "m.safetensors", "--points", "x.npy", "--row", "3", "--out", "e.json", "--out", "e.png")
    assert code == 0
    assert "k-SII of order 2, exact: 8 coalitions evaluated" in said
    assert re.search(r"baseline \S+ \+ sum \S+ = prediction \S+ \(holds to 1e-09: \d\.\de[-+]\d+\)", said)
    written = InteractionValues.from_json(Path("e.json").read_text())
    x = points()
    background = x[torch.randperm(60, generator=seeded())]
    assert largest_gap(written, explain(FeatureGame(load("m.safetensors"), x[3], background))) == 0
    assert float(written.prediction) == pytest.approx(float(load("m.safetensors")(x[3:4])[0, 0]))
    top = written.top(1)[0]
    assert f"{' × '.join(top.names)} │ {top.value:+.6g}" in said
    assert Path("e.png").read_bytes()[:4] == b"\x89PNG"


def test_the_system_has_the_same_verb(run):
    words = ("explain", "m.safetensors", "--points", "x.npy")
    assert run(*words) == run("shapley_interactions", *words)


def test_a_budget_is_an_estimate_and_says_so(run):
    words = ("explain", "m.safetensors", "--points", "x.npy", "--order", "1")
    code, said = run(*words, "--budget", "6", "--repeats", "4", "--seed", "2", "--out", "s.json")
    assert code == 0
    assert "k-SII of order 1, estimated (budget 6): 18 coalitions evaluated" in said
    assert "standard error" in said
    assert "holds to 1e-09" in said
    content = json.loads(Path("s.json").read_text())
    assert (content["exact"], content["budget"], content["evaluations"]) == (False, 6, 18)
    assert all(entry["error"] >= 0 for entry in content["interactions"])
    assert run(*words, "--budget", "6", "--repeats", "4", "--seed", "2", "--out", "s.json")[1] == said
    assert "does not determine all values" in run(*words, "--budget", "2")[1]
    assert "exact" in run(*words, "--budget", "8")[1]


def test_the_sum_check_can_fail(run, monkeypatch):
    """A model that answers otherwise when it is asked about the row alone."""

    def moody(game, rows):
        return torch.full((len(rows), 1), float(len(rows)), dtype=torch.float64)

    monkeypatch.setattr(FeatureGame, "answers", moody)
    code, said = run("explain", "m.safetensors", "--points", "x.npy")
    assert code == 1
    assert "FAILS to 1e-09" in said


@pytest.mark.parametrize("scale", [1e-11, 1.0, 1e11])
@pytest.mark.parametrize("players", ["features", "experts"])
def test_the_sum_check_has_no_unit(run, monkeypatch, scale, players):
    """Sums that are wrong by half fail, and right ones hold, however small or large the numbers are."""
    words = ("explain", "m.safetensors", "--points", "x.npy", "--players", players)
    words += ("--values", "y.npy") if players == "experts" else ()
    half = {"now": 0.0}

    def scaled(game, *args, **options):
        found = explain(game, *args, **options)
        orders = tuple(v * scale for v in found.orders)
        orders[0][0] += half["now"] * scale * float(found.prediction - found.baseline)
        return replace(found, orders=orders, baseline=found.baseline * scale, prediction=found.prediction * scale)

    honest, loss = FeatureGame.answers, verbs._mean_loss
    monkeypatch.setattr(verbs, "explain", scaled)
    monkeypatch.setattr(
        FeatureGame, "answers", lambda game, rows: honest(game, rows) * (scale if len(rows) == 1 else 1)
    )
    monkeypatch.setattr(verbs, "_mean_loss", lambda *args: scale * loss(*args))
    code, said = run(*words)
    assert (code, "holds to 1e-09" in said) == (0, True), said
    half["now"] = 0.5
    code, said = run(*words)
    assert (code, "FAILS to 1e-09" in said) == (1, True), said


def test_the_prediction_of_experts_is_the_models_own(run, monkeypatch):
    """A game that believes in another first expert has the sum it says, and not that of the model."""
    honest = ExpertGame.__init__

    def meddled(game, *args, **options):
        honest(game, *args, **options)
        game.values = game.values.roll(1, -1)

    monkeypatch.setattr(ExpertGame, "__init__", meddled)
    code, said = run("explain", "m.safetensors", "--points", "x.npy", "--players", "experts", "--values", "y.npy")
    assert (code, "FAILS to 1e-09" in said) == (1, True)


@pytest.mark.parametrize("loss", ["error", "log"])
def test_losses_of_classes_have_their_sum(run, loss):
    words = ("--points", "x.npy", "--players", "experts", "--values", "c.npy", "--loss", loss)
    code, said = run("explain", "k.safetensors", *words)
    assert (code, "holds to 1e-09" in said) == (0, True)


def test_whole_values_of_a_regression(run):
    words = ("explain", "m.safetensors", "--points", "x.npy", "--players", "experts", "--values", "c.npy")
    code, said = run(*words)
    assert (code, "minus the squared loss over 60 points" in said, "holds" in said) == (0, True, True)


def test_nothing_is_written_when_a_picture_cannot_be(run):
    words = ("--index", "SII", "--plot", "force", "--out", "half.json", "--out", "half.png")
    code, said = run("explain", "m.safetensors", "--points", "x.npy", *words)
    assert (code, "`--plot` force must have an index that adds up" in said) == (2, True)
    assert not Path("half.json").exists()


def test_an_index_that_does_not_add_up_has_no_sum_check(run):
    code, said = run("explain", "m.safetensors", "--points", "x.npy", "--index", "SII", "--out", "bar.png")
    assert code == 0
    assert "SII of order 2 has no sum check" in said


def test_groups_background_and_outputs(run):
    words = ("explain", "k.safetensors", "--points", "x.npy", "--background", "b.npy", "--groups", "0,1;2")
    code, said = run(*words, "--output", "2", "--out", "g.json")
    assert code == 0
    assert "row 0 of x.npy, output 2, 7 rows as background" in said
    written = InteractionValues.from_json(Path("g.json").read_text())
    assert written.names == ("x0+x1", "x2")
    game = FeatureGame(load("k.safetensors"), points()[0], points("b"), groups=[[0, 1], [2]])
    assert largest_gap(written, explain(game).output(2)) == 0


def test_what_routing_contributes(run):
    """Beside the mixture: the row's expert alone, asked about all coalitions; the difference is routing's."""
    code, said = run("explain", "m.safetensors", "--points", "x.npy", "--row", "5", "--fixed-expert")
    assert code == 0
    model, x = load("m.safetensors"), points()
    background = x[torch.randperm(60, generator=seeded())]
    whole = explain(FeatureGame(model, x[5], background))
    alone = explain(FeatureGame(model.expert(int(model.route(x[5:6])[0])), x[5], background))
    for i in whole.top(3):
        value = float(alone[i.players])
        assert f"{' × '.join(i.names)} │ {i.value:+.6g} │ {value:+.6g} │ {i.value - value:+.6g}" in said


@pytest.mark.parametrize(
    ("words", "loss", "order"),
    [((), "squared", 2), (("--off", "zero", "--index", "SII", "--order", "3"), "squared", 3)],
)
def test_experts_of_a_trained_model(run, words, loss, order):
    line = ("explain", "m.safetensors", "--points", "x.npy", "--players", "experts", "--values", "y.npy")
    code, said = run(*line, *words, "--out", "x.json")
    assert code == 0
    assert f"minus the {loss} loss over 60 points, 5 experts as players" in said
    assert f"of order {order}, exact: in closed form" in said
    off = "zero" if words else "next_nearest"
    game = ExpertGame(load("m.safetensors"), points(), points("y"), off=off)
    written = InteractionValues.from_json(Path("x.json").read_text())
    assert largest_gap(written, game.interactions(order, "SII" if words else "k-SII")) == 0


def test_experts_of_classes_of_a_row_and_of_a_function(run):
    line = ("explain", "k.safetensors", "--points", "x.npy", "--players", "experts", "--values", "c.npy")
    assert "minus the error loss over 60 points" in run(*line)[1]
    code, said = run(*line, "--loss", "log", "--row", "4", "--out", "row.json")
    assert (code, "minus the log loss at row 4 of x.npy" in said) == (0, True)
    assert "baseline: the best constant answer for all 60" in said
    # of all points, not of the one that is explained: that constant would be its own target
    classes = torch.from_numpy(np.load("c.npy"))
    share = (classes == classes[4]).double().mean()
    baseline = InteractionValues.from_json(Path("row.json").read_text()).baseline
    assert float(baseline) == pytest.approx(float(share.log()), rel=1e-12)
    code, said = run("explain", "f.safetensors", "--points", "x2.npy", "--players", "experts")
    assert (code, "experts as players" in said) == (0, True)


def test_a_model_in_python(run, folder, monkeypatch):
    (folder / "my_models.py").write_text(
        "from sklearn.ensemble import GradientBoostingRegressor\nimport numpy as np\n"
        "boosted = GradientBoostingRegressor(n_estimators=5).fit(np.load('x.npy'), np.load('y.npy'))\n"
        "def product(rows): return rows[:, 0] * rows[:, 1]\nnumber = 3\n"
    )
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in ("boosted", "product"):
        code, said = run("explain", f"my_models:{name}", "--points", "x.npy")
        assert (code, "holds to 1e-09" in said) == (0, True)
    code, said = run("explain", "my_models:number", "--points", "x.npy")
    assert (code, "`model` must be a torch module" in said) == (2, True)
    code, said = run("explain", "my_models:nothing", "--points", "x.npy")
    assert (code, "`MODEL` 'my_models:nothing' cannot be imported (AttributeError" in said) == (2, True)
    code, said = run("explain", "my_models:boosted", "--points", "x.npy", "--players", "experts")
    assert (code, "`MODEL` must be a mixture for --players experts" in said) == (2, True)
    code, said = run("explain", "my_models:boosted", "--points", "x.npy", "--fixed-expert")
    assert (code, "`--fixed-expert` needs a mixture" in said) == (2, True)


REFUSED = [
    (("--row", "60"), "`--row` must be an integer between 0 and 59, got 60"),
    (("--row", "-1"), "`--row` must be an integer between 0 and 59, got -1"),
    (("--output", "1"), "`--output` must be an integer between 0 and 0, got 1"),
    (("--order", "4"), "`--order` must be an integer between 1 and 3, got 4"),
    (("--order", "2", "--budget", "3"), "`n` must be at least 2·order = 4 to be estimated, got 3"),
    (("--order", "1", "--budget", "1"), "`--budget` must be at least 2, the coalitions of fewer"),
    (("--budget", "0"), "`--budget` must be an integer at least 1, got 0"),
    (("--repeats", "0"), "`--repeats` must be an integer between 1 and 1000, got 0"),
    (("--top", "0"), "`--top` must be an integer at least 1, got 0"),
    (("--groups", "0;1"), "`--groups` must hold each of the columns [0, 1, 2] once"),
    (("--groups", "a"), "`--groups` must be columns such as '0,1;2;3', got 'a'"),
    (("--background", "x2.npy"), "`--background` must be a floating array of shape (B, 3)"),
    (("--background", "missing.npy"), "cannot read missing.npy: No such file"),
    (("--out", "e.txt"), "`--out` must be one of .json, .png, got '.txt'"),
    (("--out", "missing/e.png"), "cannot write missing/e.png: there is no folder missing"),
    (("--values", "y.npy"), "`--values` is for --players experts, got 'y.npy'"),
    (("--loss", "log"), "`--loss` is for --players experts, got 'log'"),
    (
        ("--plot", "force", "--index", "SII", "--out", "f.png"),
        "`--plot` force must have an index that adds up, k-SII or SV, got SII",
    ),
    (("--players", "experts"), "`--values` is needed: the model does not hold the function"),
    (("--players", "experts", "--values", "b.npy"), "`--values` must be numbers of shape (60,), got float64 (7, 3)"),
    (
        ("--players", "experts", "--values", "c.npy", "--loss", "log"),
        "`--values` must be an integer between 0 and 0, got 2",
    ),
    (("--players", "experts", "--values", "y.npy", "--groups", "0"), "`--groups` is for --players features"),
    (("--players", "experts", "--values", "y.npy", "--fixed-expert"), "`--fixed-expert` is for --players features"),
]


@pytest.mark.parametrize(("words", "sentence"), REFUSED)
def test_refused_in_one_sentence(run, words, sentence):
    code, said = run("explain", "m.safetensors", "--points", "x.npy", *words)
    assert code == 2
    assert said.startswith("momlp: error: ") or "momlp: error: " in said
    assert sentence in said
    assert "Traceback" not in said


def test_files_that_are_none(run):
    code, said = run("explain", "x.npy", "--points", "x.npy")
    assert (code, "x.npy" in said) == (2, True)
    code, said = run("explain", "m.safetensors", "--points", "m.safetensors")
    assert (code, "`--points`" in said) == (2, True)
    code, said = run("explain", "m.safetensors", "--points", "x.npy", "--out", "x.npy.json", "--out", "m.safetensors")
    assert (code, "`--out` must be one of .json, .png" in said) == (2, True)


def test_interrupted(run, monkeypatch):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(verbs, "explain", interrupt)
    code, said = run("explain", "m.safetensors", "--points", "x.npy", "--out", "never.json")
    assert (code, said.endswith("momlp: interrupted")) == (130, True)
