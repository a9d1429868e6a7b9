"""`MoMLPRegressor` and `MoMLPClassifier`: mixtures trained on data, as scikit-learn's pipelines and searches take them.

Main definitions: `MoMLPRegressor`, `MoMLPClassifier`.
Implementation notes: what training decides is `train_momlp`'s; here are scikit-learn's conventions alone. Fewer
distinct points than leaves are no error there, so there are as many leaves as they allow.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from constructions.errors import require_choice, require_int, shown
from constructions.trained_momlp.model import TrainedMoMLP
from constructions.trained_momlp.routing import Routing
from constructions.trained_momlp.run import held_out, train_momlp, weights_of
from constructions.trained_momlp.training import Options

DTYPES = {"float64": torch.float64, "float32": torch.float32}


class _MoMLPEstimator(BaseEstimator):
    """A mixture of at most `leaves` experts with hidden widths `expert_hidden`.

    Parameters: `leaves`, `expert_hidden` and the fields of `Routing` (`method`, `valency`, `router`, `overlap`) and
    `Options` (`steps`, `batch_size`, `learning_rate`, `weight_decay`, `evaluate_every`, `patience`); `validation`, the
    share of the rows on which experts stop; `random_state`; `device` on which is trained (None: the CPU), `dtype`
    "float64" or "float32", `budget_bytes` of the device. Attributes once fitted: `model_` (a `TrainedMoMLP`), `n_iter_`
    (steps of the expert that went on longest), `n_features_in_`. They are checked when `fit` is called, ValueError or
    TypeError naming them.
    """

    _task = ""

    def __init__(
        self,
        leaves: int = 8,
        *,
        expert_hidden: tuple[int, ...] = (16,),
        method: str = "kmeans",
        valency: int = 2,
        router: str = "tree",
        overlap: int = 1,
        steps: int = 2000,
        batch_size: int = 256,
        learning_rate: float = 1e-2,
        weight_decay: float = 1e-4,
        evaluate_every: int = 50,
        patience: int = 10,
        validation: float = 0.2,
        random_state: int | np.random.RandomState | None = None,
        device: str | torch.device | None = None,
        dtype: str = "float64",
        budget_bytes: int | None = None,
    ):
        self.leaves = leaves
        self.expert_hidden = expert_hidden
        self.method = method
        self.valency = valency
        self.router = router
        self.overlap = overlap
        self.steps = steps
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.evaluate_every = evaluate_every
        self.patience = patience
        self.validation = validation
        self.random_state = random_state
        self.device = device
        self.dtype = dtype
        self.budget_bytes = budget_bytes

    def _train(self, X: np.ndarray, y: np.ndarray, sample_weight: Any) -> None:
        """Fit `model_` to points X (N, n) and targets y (N, m), or classes (N,), of `sample_weight` (N,) each."""
        leaves = require_int("leaves", self.leaves, 1)
        generator = torch.Generator().manual_seed(self._seed())
        weight = _numbers(sample_weight)
        used, _ = weights_of(weight, len(X))
        held = held_out(self.validation, used, generator)
        distinct = len(np.unique(X[(used & ~held).numpy()], axis=0))
        self.model_: TrainedMoMLP = train_momlp(
            X,
            y,
            leaves=min(leaves, distinct),
            expert_hidden=self.expert_hidden,
            routing=Routing(self.method, self.valency, self.router, self.overlap),
            task=self._task,
            validation=held,
            sample_weight=weight,
            options=Options(
                self.steps,
                self.batch_size,
                self.learning_rate,
                self.weight_decay,
                self.evaluate_every,
                self.patience,
            ),
            budget_bytes=self.budget_bytes,
            generator=generator,
            device=self.device,
            dtype=DTYPES[require_choice("dtype", self.dtype, tuple(DTYPES))],
        )
        self.n_iter_ = max(1, int(self.model_.report.steps.max()))

    def _seed(self) -> int:
        try:
            return int(check_random_state(self.random_state).randint(2**31))
        except Exception as err:  # the message of a wrong one needs its repr, which may fail
            raise ValueError(
                f"`random_state` must be None, an integer or a numpy RandomState, got {shown(self.random_state)}"
            ) from err

    def _answers(self, X: Any) -> np.ndarray:
        """What the model says (N, m) at points X (N, n), float64."""
        check_is_fitted(self)
        points: Any = validate_data(self, X, dtype=np.float64, reset=False)
        with torch.no_grad():
            return self.model_(torch.from_numpy(np.array(points))).double().numpy()


def _numbers(sample_weight: Any) -> np.ndarray | None:
    """What scikit-learn's users give as weights, lists and series too, as an array; None stays None."""
    if sample_weight is None:
        return None
    try:
        return np.asarray(sample_weight, dtype=np.float64)
    except (TypeError, ValueError) as err:
        raise ValueError(f"`sample_weight` must be numbers (N,), got {shown(sample_weight)}") from err


class MoMLPRegressor(RegressorMixin, _MoMLPEstimator):
    __doc__ = f"""Regression of one target (N,) or several (N, m).

    {(_MoMLPEstimator.__doc__ or "").strip()}
    """

    _task = "regression"

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> MoMLPRegressor:
        """Train on points X (N, n) and targets y (N,) or (N, m); `sample_weight` (N,) as in `train_momlp`."""
        X, y = validate_data(self, X, y, dtype=np.float64, multi_output=True, y_numeric=True)
        self._single = y.ndim == 1
        self._train(X, y.astype(np.float64), sample_weight)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Targets (N,) or (N, m), as they were given, at points X (N, n)."""
        y = self._answers(X)
        return y[:, 0] if self._single else y

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


class MoMLPClassifier(ClassifierMixin, _MoMLPEstimator):
    __doc__ = f"""Classification with labels of any kind, one a point.

    {(_MoMLPEstimator.__doc__ or "").strip()} `classes_` are the labels in order.
    """

    _task = "classification"

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> MoMLPClassifier:
        """Train on points X (N, n) and labels y (N,); `sample_weight` (N,) as in `train_momlp`."""
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        self.classes_, number = np.unique(y, return_inverse=True)
        self._train(X, number.astype(np.int64), sample_weight)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """The most likely labels (N,) at points X (N, n)."""
        best = self._answers(X).argmax(1)
        return self.classes_[best]

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities (N, classes), in the order of `classes_`, at points X (N, n)."""
        return torch.softmax(torch.from_numpy(self._answers(X)), 1).numpy()
