"""Numpy arrays in and out, and the estimators of scikit-learn: its own checks, pipelines, searches, pickles."""

import pickle
import re

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import make_moons
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from sklearn.utils.estimator_checks import check_estimator, check_sample_weight_equivalence_on_dense_data

from constructions import (
    LipschitzFunction,
    MoMLPClassifier,
    MoMLPRegressor,
    Options,
    Routing,
    StoreError,
    build_momlp,
    load,
    save,
    train_momlp,
)
from constructions.trained_momlp import prepare, train_together

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


# --- weights --------------------------------------------------------------------------------------------


def weighted_data(kind, count=80):
    x, y = data(count)
    target = {"regression": y, "two": np.stack([y, x[:, 0]], 1), "classification": (y > 0) * 1 + (y > 0.5)}[kind]
    return x, target, np.random.default_rng(1).integers(0, 4, count), np.arange(count) % 4 == 0


FULL = {"leaves": 3, "expert_hidden": (8,), "options": Options(steps=100, batch_size=1000, evaluate_every=20)}


@pytest.mark.parametrize("kind", ["regression", "two", "classification"])
@pytest.mark.parametrize("overlap", [1, 2])
def test_whole_weights_are_repeated_rows(kind, overlap):
    """In full batches, with a router that sees where points lie and not how often."""
    x, y, w, held = weighted_data(kind)
    task = "classification" if kind == "classification" else "regression"
    options = {"task": task, "routing": Routing(method="farthest_point", overlap=overlap), **FULL}
    mine = train_momlp(x, y, validation=held, sample_weight=w, **options)
    rows = np.repeat(np.arange(len(x)), w)
    same = train_momlp(x[rows], y[rows], validation=held[rows], **options)
    plain = train_momlp(x, y, validation=held, **options)
    points, _ = data(300, seed=5)
    answers = [torch.as_tensor(model(torch.from_numpy(points))) for model in (mine, same, plain)]
    assert float((answers[0] - answers[1]).abs().max()) < 1e-10
    assert float((answers[0] - answers[2]).abs().max()) > 1e-2
    assert torch.allclose(mine.report.validation_loss, same.report.validation_loss, rtol=1e-10)


@pytest.mark.parametrize("kind", ["regression", "classification"])
def test_a_weight_of_zero_is_a_row_less_and_equal_weights_are_none(kind):
    x, y, w, _ = weighted_data(kind)
    w = w > 0
    options = {"task": kind, **FULL, "options": Options(steps=30, batch_size=8)}
    mine = train_momlp(x, y, sample_weight=w * 2.5, **options)
    assert torch.equal(mine.experts, train_momlp(x[w], y[w], **options).experts)
    zeros = np.where(w, np.arange(len(x)) + 1.0, 0.0)
    mine = train_momlp(x, y, sample_weight=zeros, **options)
    assert torch.equal(mine.experts, train_momlp(x[w], y[w], sample_weight=zeros[w], **options).experts)
    plain = train_momlp(x, y, **options)
    assert torch.equal(train_momlp(x, y, sample_weight=np.full(len(x), 1e300), **options).experts, plain.experts)
    assert not torch.equal(mine.experts, plain.experts)


def test_weights_count_in_small_batches():
    """At every point two targets, 0 and 1, of weights 1 and 3: the mean is 3/4, in batches of 8 of 400 rows, too."""
    x = np.repeat(np.random.default_rng(0).random((200, 2)), 2, axis=0)
    y, w = np.tile([0.0, 1.0], 200), np.tile([1.0, 3.0], 200)
    options = Options(steps=1000, batch_size=8, evaluate_every=1000)
    few = {"leaves": 1, "expert_hidden": (2,), "validation": 0.0, "options": options}
    found = train_momlp(x, y, sample_weight=w, **few).predict(x)
    assert abs(float(found.mean()) - 0.75) < 0.05
    assert abs(float(train_momlp(x, y, **few).predict(x).mean()) - 0.5) < 0.05


def test_weights_of_any_size_in_single_precision():
    x, y = data(60)
    w = 10.0 ** np.random.default_rng(2).uniform(-300, 300, 60)
    model = train_momlp(
        x, y, sample_weight=w, leaves=2, expert_hidden=(4,), dtype=torch.float32, **{"options": Options(5)}
    )
    assert np.isfinite(model.predict(x)).all()


def test_a_checkpoint_belongs_to_its_weights(tmp_path):
    x, y, w, held = weighted_data("regression")
    few = {**FULL, "options": Options(steps=4), "validation": held, "checkpoint": tmp_path / "run"}
    mine = train_momlp(x, y, sample_weight=w, **few)
    assert torch.equal(train_momlp(x, y, sample_weight=w, **few).experts, mine.experts)
    with pytest.raises(StoreError):
        train_momlp(x, y, sample_weight=w + 1, **few)


def test_weighted_runs_are_trained_together_as_alone():
    parts = []
    for weight in (np.arange(80) % 3 + 1.0, None):
        x, y, _, held = weighted_data("regression")
        parts.append(prepare(x, y, leaves=2, expert_hidden=(4,), validation=held, sample_weight=weight))
    options = Options(steps=20)
    together = train_together(parts, options)
    for part, model in zip(parts, together, strict=True):
        (alone,) = train_together([part], options)
        assert torch.allclose(alone.experts, model.experts, rtol=1e-9, atol=1e-12)
    assert not torch.allclose(together[0].experts, together[1].experts)


@pytest.mark.parametrize(
    ("weight", "words"),
    [
        (np.ones(19), "`sample_weight` must have shape (20,), got (19,)"),
        (np.ones((20, 1)), "`sample_weight` must have shape (20,), got (20, 1)"),
        (np.zeros(20), "`sample_weight` must not be all zero"),
        (np.where(np.arange(20) == 3, -1.0, 1.0), "`sample_weight` must be finite and nonnegative, row 3 is -1"),
        (np.where(np.arange(20) == 7, np.nan, 1.0), "`sample_weight` must be finite and nonnegative, row 7 is nan"),
        (np.where(np.arange(20) == 7, np.inf, 1.0), "`sample_weight` must be finite and nonnegative, row 7 is inf"),
        (np.full(20, 1e308), "`sample_weight` must have a finite sum"),
        (np.array(["a"] * 20), "`sample_weight` must be"),
    ],
)
def test_weights_that_are_none(weight, words):
    x, y = data(20)
    with pytest.raises((TypeError, ValueError), match=re.escape(words)):
        train_momlp(x, y, sample_weight=weight, leaves=2, expert_hidden=(2,), options=Options(steps=1))
    for estimator in (MoMLPRegressor, MoMLPClassifier):
        with pytest.raises(ValueError, match=re.escape(words)):
            estimator(**QUICK).fit(x, y > 0, sample_weight=weight)


def test_the_rows_that_are_left_must_hold_one_to_train_on():
    x, y = data(20)
    few = {"leaves": 1, "expert_hidden": (2,), "validation": np.arange(20) > 9}
    with pytest.raises(ValueError, match="`validation` must leave at least one row"):
        train_momlp(x, y, sample_weight=np.arange(20) > 9, **few)


def test_weights_of_estimators_may_be_lists():
    x, y = data()
    w = [1.0, 2.0] * 100
    mine = MoMLPRegressor(**QUICK).fit(x, y, sample_weight=w)
    assert np.array_equal(MoMLPRegressor(**QUICK).fit(x, y, np.array(w)).predict(x), mine.predict(x))
    assert not np.array_equal(MoMLPRegressor(**QUICK).fit(x, y).predict(x), mine.predict(x))
    heavy = MoMLPClassifier(**QUICK).fit(x, y > 0.2, sample_weight=np.where(y > 0.2, 100.0, 1.0))
    assert heavy.predict(x).mean() > MoMLPClassifier(**QUICK).fit(x, y > 0.2).predict(x).mean()


# --- scikit-learn ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("estimator", [MoMLPRegressor, MoMLPClassifier])
def test_the_checks_of_scikit_learn(estimator):
    results = check_estimator(estimator(leaves=2, steps=100, random_state=0), on_fail=None, on_skip=None)
    failed = [r["check_name"] for r in results if r["status"] not in ("passed", "skipped")]
    # weights are repeated rows where nothing is drawn, below; here rows are drawn for validation, and k-means has none
    assert failed == ["check_sample_weight_equivalence_on_dense_data"]
    assert len([r for r in results if r["status"] == "passed"]) > 40


@pytest.mark.parametrize("estimator", [MoMLPRegressor, MoMLPClassifier])
def test_weights_are_repeated_rows_by_the_check_of_scikit_learn(estimator):
    check_sample_weight_equivalence_on_dense_data(
        estimator.__name__, estimator(leaves=1, validation=0.0, steps=60, random_state=0)
    )


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
