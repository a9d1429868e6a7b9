"""Numpy arrays in and out, and the estimators of scikit-learn: its own checks, pipelines, searches, pickles."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import make_moons
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from constructions import (
    LipschitzFunction,
    MoMLPClassifier,
    MoMLPRegressor,
    Options,
    build_momlp,
    load,
    save,
    train_momlp,
)

QUICK = {"leaves": 3, "expert_hidden": (8,), "steps": 150, "random_state": 0}


def data(count=200, seed=0):
    x = np.random.default_rng(seed).random((count, 2))
    return x, np.sin(6 * x[:, 0]) * x[:, 1]


# --- arrays ---------------------------------------------------------------------------------------------


def test_training_on_arrays_is_training_on_tensors():
    x, y = data()
    held = np.arange(len(x)) % 4 == 0
    options = {"leaves": 3, "expert_hidden": (4,), "options": Options(steps=20)}
    for target, task in ((y, "regression"), (np.stack([y, x[:, 0]], 1), "regression"), ((y > 0) * 1, "classification")):
        mine = train_momlp(x, target, task=task, validation=held, **options)
        tensors = (torch.from_numpy(part) for part in (x, target))
        same = train_momlp(*tensors, task=task, validation=torch.from_numpy(held), **options)
        assert torch.equal(mine.experts, same.experts)


def test_integers_and_single_precision_are_numbers_and_the_data_stay():
    x, y = data(60)
    x, y = (10 * x).astype(np.float32), np.rint(10 * y).astype(np.int32)
    x.flags.writeable = False
    model = train_momlp(x, y, leaves=2, expert_hidden=(4,), options=Options(steps=5))
    same = train_momlp(x.astype(float), y.astype(float), leaves=2, expert_hidden=(4,), options=Options(steps=5))
    assert torch.equal(model.experts, same.experts)
    backwards = train_momlp(x[::-1], y[::-1], leaves=2, expert_hidden=(4,), options=Options(steps=5))
    assert backwards.predict(x[::-1]).shape == (60, 1)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"x": np.array([["a", "b"]] * 20)}, "`x` must be an array of real numbers"),
        ({"y": np.array(["a"] * 20)}, "`y` must be an array of real numbers"),
        ({"y": np.zeros(20) * 1j}, "`y` must be an array of real numbers"),
        ({"y": np.full(20, 0.5), "task": "classification"}, "`y` must be an array of integers"),
        ({"y": np.zeros(20, dtype=bool), "task": "classification"}, "`y` must be classes"),
        ({"y": np.full(20, np.nan)}, "`y` must be finite, row 0"),
        ({"x": np.zeros(20)}, "`x` must have shape"),
        ({"validation": np.zeros(20)}, "`validation` must be an array of integers"),
        ({"validation": np.zeros(20, dtype=int)}, "`validation` must be a boolean mask"),
        ({"x": [[0.0, 1.0]] * 20}, "`x` must be a torch.Tensor or a numpy array, got builtins.list"),
    ],
)
def test_arrays_that_are_no_data(change, words):
    given = {"x": np.random.default_rng(0).random((20, 2)), "y": np.zeros(20)} | change
    with pytest.raises((TypeError, ValueError), match=words.replace(".", r"\.")):
        train_momlp(**given, leaves=2, expert_hidden=(2,), options=Options(steps=1))


@pytest.mark.parametrize("kind", ["eager", "lazy", "table", "single", "trained", "classes", "stored"])
def test_models_answer_arrays(kind, tmp_path):
    x, y = data(50)
    f = LipschitzFunction.from_sympy("sin(3*x0)*x1", n=2)
    if kind in ("trained", "classes"):
        classes = kind == "classes"
        target, task = ((y > 0) * 1, "classification") if classes else (y, "regression")
        model = train_momlp(x, target, leaves=2, expert_hidden=(4,), task=task, options=Options(steps=3))
    else:
        single = torch.float32 if kind == "single" else torch.float64
        model = build_momlp(f, eps=0.2, lazy=kind == "lazy", dtype=single)
        model = model.tabulate() if kind == "table" else model
        model = load(save(model, tmp_path / "model"), lazy=True) if kind == "stored" else model
    found = model.predict(x)
    assert isinstance(found, np.ndarray)
    tensor = model.predict(torch.from_numpy(x))
    assert isinstance(tensor, torch.Tensor)
    assert np.array_equal(found, tensor.detach().numpy())
    if kind not in ("trained", "classes"):
        assert found.shape == (50, 1)
        assert np.abs(found - f(torch.from_numpy(x)).numpy()).max() <= 0.2
    assert np.array_equal(model.predict(x[::-1])[::-1], found)
    with pytest.raises((TypeError, ValueError), match="`x` must"):
        model.predict(np.array([["a", "b"]]))
    with pytest.raises(TypeError, match="`x` must be a torch"):
        model.predict([[0.0, 0.0]])
    with pytest.raises(ValueError, match="`x` must have shape"):
        model.predict(x[:, :1])


def test_a_model_on_a_device_answers_arrays_on_the_host(device):
    model = build_momlp(LipschitzFunction.from_sympy("sin(3*x0)*x1", n=2), eps=0.2)
    x, _ = data(20)
    host = model.predict(x)
    assert np.array_equal(model.to(device).predict(x), host)


# --- scikit-learn ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("estimator", [MoMLPRegressor, MoMLPClassifier])
def test_the_checks_of_scikit_learn(estimator):
    results = check_estimator(estimator(leaves=2, steps=100, random_state=0), on_fail=None, on_skip=None)
    failed = [r["check_name"] for r in results if r["status"] not in ("passed", "skipped")]
    assert failed == []
    assert len([r for r in results if r["status"] == "passed"]) > 40


def test_the_checks_notice_a_broken_one():
    class Broken(MoMLPRegressor):
        def predict(self, X):
            return super().predict(X) + np.random.default_rng().random()

    results = check_estimator(Broken(leaves=2, steps=20, random_state=0), on_fail=None, on_skip=None)
    assert "check_methods_subset_invariance" in [r["check_name"] for r in results if r["status"] == "failed"]


def test_an_estimator_is_the_model_that_it_trains():
    x, y = data()
    fitted = MoMLPRegressor(**QUICK).fit(x, y)
    assert np.array_equal(fitted.predict(x), fitted.model_.predict(x)[:, 0])
    assert fitted.score(x, y) > 0.8
    assert fitted.n_iter_ == 150
    assert np.array_equal(MoMLPRegressor(**QUICK).fit(x, y).predict(x), fitted.predict(x))
    assert not np.array_equal(MoMLPRegressor(**QUICK | {"random_state": 1}).fit(x, y).predict(x), fitted.predict(x))
    two = MoMLPRegressor(**QUICK).fit(x, np.stack([y, x[:, 0]], 1))
    assert two.predict(x).shape == (200, 2)


def test_labels_of_any_kind_come_back():
    x, number = make_moons(300, noise=0.1, random_state=0)
    for labels in (np.array(["no", "yes"]), np.array([7, -3]), np.array([True, False])):
        y = labels[number]
        fitted = MoMLPClassifier(**QUICK).fit(x, y)
        assert fitted.classes_.tolist() == sorted(labels.tolist())
        assert fitted.score(x, y) > 0.95
        shares = fitted.predict_proba(x)
        assert np.allclose(shares.sum(1), 1)
        assert (fitted.classes_[shares.argmax(1)] == fitted.predict(x)).all()
    with pytest.raises(ValueError, match="Unknown label type"):
        MoMLPClassifier(**QUICK).fit(x, x[:, 0])


def test_pipelines_searches_and_cross_validation():
    x, y = data(120)
    pipeline = make_pipeline(StandardScaler(), PolynomialFeatures(2), MoMLPRegressor(**QUICK | {"steps": 60}))
    search = GridSearchCV(
        pipeline, {"momlpregressor__leaves": [1, 2], "momlpregressor__router": ["tree", "flat"]}, cv=2
    )
    search.fit(x, y)
    assert len(search.cv_results_["mean_test_score"]) == 4
    assert search.best_score_ > 0.5
    x, y = make_moons(120, noise=0.1, random_state=0)
    assert cross_val_score(MoMLPClassifier(**QUICK), x, y, cv=2).min() > 0.8


def test_pickles_and_clones():
    x, y = data()
    fitted = MoMLPRegressor(**QUICK).fit(x, y)
    assert np.array_equal(pickle.loads(pickle.dumps(fitted)).predict(x), fitted.predict(x))
    fresh = clone(fitted)
    assert fresh.get_params() == fitted.get_params()
    with pytest.raises(NotFittedError):
        fresh.predict(x)


def test_fewer_points_than_leaves():
    x = np.array([[0.0, 0.0], [1.0, 1.0]] * 5)
    fitted = MoMLPRegressor(leaves=50, steps=200, random_state=0).fit(x, x[:, 0])
    assert fitted.model_.num_leaves == 2


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"leaves": 0}, "`leaves` must be an integer at least 1"),
        ({"leaves": 2.0}, "`leaves` must be an integer at least 1"),
        ({"expert_hidden": (0,)}, "`expert_hidden`"),
        ({"router": "maze"}, "`router` must be one of tree, flat"),
        ({"steps": 0}, "`steps` must be an integer between 1"),
        ({"validation": 1.0}, "`validation` must be a share in"),
        ({"dtype": "float16"}, "`dtype` must be one of float64, float32"),
        ({"random_state": "x"}, "`random_state` must be None, an integer or a numpy RandomState"),
        ({"device": "nowhere"}, "`device`"),
        ({"budget_bytes": 0}, "`budget_bytes`"),
    ],
)
def test_parameters_are_checked_by_fit(wrong, words):
    x, y = data(20)
    for estimator in (MoMLPRegressor, MoMLPClassifier):
        made = estimator(**QUICK | wrong)
        with pytest.raises((TypeError, ValueError), match=words):
            made.fit(x, y > 0)
