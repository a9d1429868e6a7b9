"""Features as players: torch, scikit-learn and plain functions; groups, outputs, names; what is refused."""

import re
import warnings

import numpy as np
import pytest
import torch
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.ensemble import GradientBoostingRegressor, RandomForestClassifier
from sklearn.linear_model import LinearRegression, RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from constructions.shapley_interactions import FAMILIES, FeatureGame, explain, family
from constructions.shapley_interactions.coalitions import all_masks
from tests.shapley_interactions.by_definition import seeded

X = torch.randn(40, 4, generator=seeded(), dtype=torch.float64)


def product(rows):
    """x0 + 2·x1·x2, on arrays and tensors; x3 never matters."""
    return rows[:, 0] + 2 * rows[:, 1] * rows[:, 2]


def by_loops(model, x, background, sets):
    """v(T) coalition by coalition and row by row."""
    values = []
    for mask in all_masks(len(sets), 0, 2 ** len(sets)).tolist():
        kept = [column for player, alive in enumerate(mask) if alive for column in sets[player]]
        answers = []
        for row in background.tolist():
            for column in kept:
                row[column] = float(x[column])
            answers.append(float(model(np.array([row]))[0]))
        values.append(sum(answers) / len(answers))
    return torch.tensor(values, dtype=torch.float64)


# --- what the players' values are -----------------------------------------------------------------------------


def test_a_product_by_hand():
    """Independent of the background's x3; the interaction of x1 and x2 is 2·(x1 − mean)(x2 − mean) for one row."""
    found = explain(FeatureGame(product, X[0], X[1:2]))
    x, b = X[0].tolist(), X[1].tolist()
    assert found[(0,)] == pytest.approx(x[0] - b[0])
    assert found[(1, 2)] == pytest.approx(2 * (x[1] - b[1]) * (x[2] - b[2]))
    assert [found[s] for s in ((3,), (0, 1), (0, 3), (2, 3))] == pytest.approx([0] * 4, abs=1e-14)
    assert float(found.prediction) == pytest.approx(float(product(X[:1])[0]))
    assert float(found.baseline) == pytest.approx(float(product(X[1:2])[0]))


@pytest.mark.parametrize("rows_at_once", [1, 7, 1 << 16])
def test_the_game_is_its_definition(rows_at_once):
    game = FeatureGame(product, X[0], X[1:6], rows_at_once=rows_at_once)
    assert torch.allclose(game(all_masks(4, 0, 16)), by_loops(product, X[0], X[1:6], [[0], [1], [2], [3]]), atol=1e-13)


def test_rows_are_counted():
    asked = []

    def watched(rows):
        asked.append(rows.shape)
        return product(rows)

    FeatureGame(watched, X[0], X[1:6], rows_at_once=12)(all_masks(4, 0, 16))
    assert {shape[1] for shape in asked} == {4}
    assert max(shape[0] for shape in asked) <= 12
    assert sum(shape[0] for shape in asked) == 16 * 5


@pytest.mark.parametrize("groups", [[[0], [1, 2], [3]], {"a": [3, 0], "b": [1, 2]}, ((2, 0, 1), (3,))])
def test_groups_of_features(groups):
    game = FeatureGame(product, X[0], X[1:6], groups=groups)
    sets = [list(g) for g in (groups.values() if isinstance(groups, dict) else groups)]
    assert torch.allclose(game(all_masks(game.n, 0, 2**game.n)), by_loops(product, X[0], X[1:6], sets), atol=1e-13)
    assert game.names == (tuple(groups) if isinstance(groups, dict) else game.names)
    assert explain(game).sum_error < 1e-14


def test_some_features_play():
    """The others keep the values of x."""
    game = FeatureGame(product, X[0], X[1:6], features=[2, 1])
    assert (game.n, game.names) == (2, ("x1", "x2"))
    still = X[1:6].clone()
    still[:, [0, 3]] = X[0, [0, 3]]
    assert torch.allclose(game(all_masks(2, 0, 4)), by_loops(product, X[0], still, [[1], [2]]), atol=1e-13)


# --- kinds of models --------------------------------------------------------------------------------------------


def boosted(data):
    return GradientBoostingRegressor(random_state=0, n_estimators=40).fit(data.data, data.target)


def test_a_boosted_regressor_of_scikit_learn_as_a_user_would():
    """Depth 3: order 2 of a paired sample is exact."""
    data = load_diabetes()
    model = boosted(data)
    game = FeatureGame(model, data.data[0], data.data[10:30], names=data.feature_names)
    found, sampled = explain(game), explain(game, budget=300, generator=seeded())
    assert (found.names, found.exact, sampled.exact) == (tuple(data.feature_names), True, False)
    assert float(found.prediction) == pytest.approx(float(model.predict(data.data[:1])[0]), rel=1e-12)
    assert float(found.baseline) == pytest.approx(float(model.predict(data.data[10:30]).mean()), rel=1e-12)
    assert max(found.sum_error, sampled.sum_error) < 1e-13
    assert float((found.order(2) - sampled.order(2)).abs().max()) < 1e-10 * float(found.order(2).abs().max())
    assert found.top(1)[0].names == ("bmi",)
    every = [abs(i.value) for i in found.top(55)]
    assert every == sorted(every, reverse=True)


def test_a_data_frame_brings_its_names():
    pytest.importorskip("pandas")
    data = load_diabetes(as_frame=True)
    model = boosted(data)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # also the one about names of columns
        found = explain(FeatureGame(model, data.data.iloc[0], data.data.iloc[10:30]), budget=200)
    assert found.names == tuple(data.data.columns)
    assert float(found.prediction) == pytest.approx(float(model.predict(data.data.iloc[:1])[0]), rel=1e-12)


def test_a_random_forest_of_scikit_learn_with_thirty_features():
    data = load_breast_cancer()
    model = RandomForestClassifier(10, max_depth=4, random_state=0).fit(data.data, data.target)
    groups = {"mean": range(10), "error": range(10, 20), "worst": range(20, 30)}
    both = explain(FeatureGame(model, data.data[0], data.data[:8], groups={k: list(v) for k, v in groups.items()}))
    assert both.outputs == 2
    assert torch.allclose(both.order(1)[:, 0], -both.order(1)[:, 1])
    assert both.output(1).prediction == pytest.approx(model.predict_proba(data.data[:1])[0, 1])
    wide = explain(FeatureGame(model, data.data[0], data.data[:2], output=1), budget=3000, order=1)
    assert (wide.n, wide.exact, wide.rank_deficient) == (30, False, False)
    assert wide.sum_error < 1e-13


def test_other_models_of_scikit_learn():
    y = X @ torch.tensor([1.0, -2, 3, 0], dtype=torch.float64)
    linear = make_pipeline(StandardScaler(), LinearRegression()).fit(X.numpy(), y.numpy())
    found = explain(FeatureGame(linear, X[0].numpy(), X.numpy()))
    expected = torch.tensor([1.0, -2, 3, 0], dtype=torch.float64) * (X[0] - X.mean(0))
    assert torch.allclose(found.order(1), expected, atol=1e-12)
    assert float(found.order(2).abs().max()) < 1e-12
    ridge = RidgeClassifier().fit(X.numpy(), (y > 0).numpy())  # has no probabilities
    assert float(explain(FeatureGame(ridge, X[0], X)).prediction) == pytest.approx(
        float(ridge.decision_function(X[:1].numpy())[0])
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_torch_modules_in_their_own_dtype(dtype):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.ReLU(), nn.Linear(8, 2)).to(dtype)
    model[0].eval()  # a part that was not learning stays so
    game = FeatureGame(model, X[0], X)
    found = explain(game)
    assert [m.training for m in model.modules()] == [True, False, True, True, True]
    assert all(p.grad is None for p in model.parameters())
    model.eval()
    with torch.no_grad():
        right = model(X[:1].to(dtype))[0].double()
    assert torch.allclose(found.prediction, right, atol=1e-6 if dtype is torch.float32 else 1e-13)
    assert found.sum_error < 1e-13
    assert found.order(1).dtype == torch.float64


def test_functions_get_arrays_or_tensors():
    kinds = []

    def watched(rows):
        kinds.append(type(rows))
        return product(rows)

    FeatureGame(watched, X[0], X)(all_masks(4, 0, 2))
    FeatureGame(watched, X[0].tolist(), X.tolist(), tensors=True)(all_masks(4, 0, 2))
    assert kinds == [np.ndarray, torch.Tensor]


@pytest.mark.parametrize("name", FAMILIES)
def test_named_games(name):
    game, again = family(name, seeded(1)), family(name, seeded(1))
    masks = torch.rand(20, game.n, generator=seeded()) < 0.5
    assert torch.equal(game(masks), again(masks))
    assert len(game.names) == game.n
    assert explain(game, budget=100).sum_error < 1e-13


# --- columns by name --------------------------------------------------------------------------------------------


def test_columns_go_by_their_names():
    """A linear model of a, b, c: 10·a + b; in whatever order the columns of x and the background come."""
    frames = pytest.importorskip("pandas")
    frame = frames.DataFrame(X[:, :3].numpy(), columns=["a", "b", "c"])
    model = LinearRegression().fit(frame, 10 * frame["a"] + frame["b"])
    right = explain(FeatureGame(model, frame.iloc[0], frame), order=1)
    turned = frame[["c", "a", "b"]]
    assert right.names == ("a", "b", "c")
    for x, background in (
        (frame.iloc[0], turned),
        (turned.iloc[0], frame),
        (turned.iloc[0], turned),
        (turned.iloc[:1], frame.to_numpy()),
        (frame.to_numpy()[0], turned),
    ):
        found = explain(FeatureGame(model, x, background), order=1)
        assert found.names == right.names
        assert torch.allclose(found.order(1), right.order(1), atol=1e-12)
    by_place = FeatureGame(lambda rows: rows[:, 0], frame.iloc[0], turned)  # a function of the background's columns
    assert by_place.names == ("c", "a", "b")
    assert by_place.x.tolist() == turned.iloc[0].tolist()
    numbers = frames.DataFrame(X[:, :3].numpy())
    assert FeatureGame(product, numbers.iloc[0][[2, 0, 1]], numbers).x.tolist() == X[0, :3].tolist()
    assert FeatureGame(product, numbers.iloc[0], frame).names == ("a", "b", "c")


def test_columns_of_other_names_are_refused():
    frames = pytest.importorskip("pandas")
    frame = frames.DataFrame(X[:, :3].numpy(), columns=["a", "b", "c"])
    model = LinearRegression().fit(frame, frame["a"])
    other = frame.set_axis(["a", "b", "d"], axis=1)
    words = re.escape("must have the columns ['a', 'b', 'c'] of `model`, got ['a', 'b', 'd']")
    for name, pair in (("background", (frame.iloc[0], other)), ("x", (other.iloc[0], frame))):
        with pytest.raises(ValueError, match=f"`{name}` {words}"):
            FeatureGame(model, *pair)
    with pytest.raises(ValueError, match=r"`x` must have the columns .* of `background`"):
        FeatureGame(product, frame.iloc[0], other)
    with pytest.raises(ValueError, match="`background` must have columns of different names"):
        FeatureGame(product, X[0, :3], frame.set_axis(["a", "a", "c"], axis=1))


def test_a_model_that_writes_into_its_rows():
    def doubling(rows):
        rows *= 2
        return rows[:, 0] * rows[:, 1]

    game = FeatureGame(doubling, X[0], X[1:5])
    assert torch.equal(game.answers(game.x[None]), game.answers(game.x[None]))
    assert torch.equal(game.x, X[0])
    assert float(explain(game).prediction) == pytest.approx(4 * float(X[0, 0] * X[0, 1]))


# --- what is refused --------------------------------------------------------------------------------------------

REFUSED = [
    (ValueError, "`background` must have shape (b, d)", {"background": torch.zeros(0, 4)}),
    (ValueError, "`background` must have shape (b, d)", {"background": torch.zeros(4)}),
    (ValueError, "`background` must have as many columns as x, 4, got 3", {"background": torch.zeros(2, 3)}),
    (ValueError, "`background` must be finite, row 1 is [nan", {"background": torch.tensor([[0.0] * 4, [np.nan] * 4])}),
    (TypeError, "`background` must be numbers in one array, got list", {"background": [["a"] * 4]}),
    (ValueError, "`x` must have shape (d,)", {"x": X}),
    (ValueError, "`x` must be finite", {"x": X[0] / 0}),
    (TypeError, "`x` must be numbers in one array, got None", {"x": None}),
    (ValueError, "`groups` must hold each of the columns [0, 1, 2, 3] once", {"groups": [[0, 1], [1, 2, 3]]}),
    (ValueError, "`groups` must hold each of the columns [0, 1, 2, 3] once", {"groups": [[0, 1]]}),
    (ValueError, "`groups` must be an integer between 0 and 3, got 4", {"groups": [[0, 1], [2, 4]]}),
    (ValueError, "`groups` must be column numbers, at least one, got []", {"groups": [[], [0, 1, 2, 3]]}),
    (TypeError, "`groups` must be a dict or list or tuple, got int", {"groups": 3}),
    (ValueError, "`features` must be different column numbers, got [1, 1]", {"features": [1, 1]}),
    (ValueError, "`names` must be 4 strings, got ['a']", {"names": ["a"]}),
    (ValueError, "`output` must be an integer at least 0, got -1", {"output": -1}),
    (ValueError, "`output` must be an integer between 0 and 0, got 2", {"output": 2}),
    (ValueError, "`rows_at_once` must be an integer between 1", {"rows_at_once": 0}),
    (TypeError, "`tensors` must be True or False", {"tensors": 1}),
    (TypeError, "`model` must be a torch module, a scikit-learn classifier", {"model": 3}),
    (TypeError, "`model` must be a model, got the class LinearRegression", {"model": LinearRegression}),
    (TypeError, "`model` must be a classifier or a regressor of scikit-learn", {"model": StandardScaler()}),
    (ValueError, "`model` must answer rows (64, 4) with (64,) or (64, outputs)", {"model": lambda rows: rows[:3, 0]}),
    (ValueError, "`model` must answer with finite numbers, got nan at [", {"model": lambda rows: rows[:, 0] * np.nan}),
    (TypeError, "`model` must be numbers in one array, got None", {"model": lambda rows: None}),
]


@pytest.mark.parametrize(("kind", "words", "changed"), REFUSED)
def test_refused_in_one_sentence(kind, words, changed):
    options = {"model": product, "x": X[0], "background": X[:4]} | changed
    with pytest.raises(kind, match=re.escape(words)):
        explain(FeatureGame(options.pop("model"), options.pop("x"), options.pop("background"), **options))


def test_batches_of_any_size_give_the_same_bits():
    game = FeatureGame(lambda rows: np.stack([product(rows), rows[:, 3] ** 3], 1), X[0], X[1:24])
    masks = all_masks(4, 0, 16)
    assert torch.equal(game(masks), torch.cat([game(mask[None]) for mask in masks]))
    game.rows_at_once = 5
    assert torch.equal(game(masks), torch.cat([game(mask[None]) for mask in masks]))
