"""`FeatureGame`: the features of one point as players, for any model.

v(T) = mean over background rows b of model(x on the features of T, b on the others): marginal imputation. It asks the
model about rows that no data may look like.

Main definition: `FeatureGame`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, is_classifier, is_regressor
from torch import Tensor, nn

from constructions.errors import first_row, require_bool, require_instance, require_int, require_tensor, shown
from constructions.fixed_order import total
from constructions.shapley_interactions.games import LARGEST_BATCH, require_function, require_masks
from constructions.shapley_interactions.values import player_names

ROWS_AT_ONCE = 1 << 16
ELEMENTS_AT_ONCE = 1 << 23

Answers = Callable[[Tensor], Any]


class FeatureGame:
    """The game of a model's answer at `x` (d,) against `background` rows (b, d); arrays, tensors or DataFrames.

    Columns that have names go by them: in the order in which the model was fitted to them, or else in the background's.

    `model` is a torch module (called with tensors of its own dtype and device, in eval mode, without gradients), a
    scikit-learn regressor (`predict`) or classifier (`predict_proba`), or any function of rows (r, d): it gets numpy
    arrays, or tensors with `tensors=True`. Answers are (r,) or (r, m); `output` chooses one of m, otherwise all are
    explained together.

    Players are the columns `features` (all of them by default; the others keep the values of x), or `groups` of
    them, sequences or a dict by name, each column in one group. `names` are the players' names. A batch of coalitions
    becomes at most `rows_at_once` rows a call of the model. TypeError or ValueError naming the argument.
    """

    def __init__(
        self,
        model: Any,
        x: Any,
        background: Any,
        *,
        features: Sequence[int] | None = None,
        groups: Sequence[Sequence[int]] | Mapping[str, Sequence[int]] | None = None,
        output: int | None = None,
        names: Sequence[str] | None = None,
        tensors: bool = False,
        rows_at_once: int = ROWS_AT_ONCE,
    ):
        x, background, labels = _aligned(model, x, background)
        self.background = _rows("background", background)
        self.x = _rows("x", x, single=True)[0]
        width = self.background.shape[1]
        if len(self.x) != width:
            raise ValueError(f"`background` must have as many columns as x, {len(self.x)}, got {width}")
        self._model, self._place, self._dtype = _answering(model, self.x, require_bool("tensors", tensors))
        self.output = None if output is None else require_int("output", output, 0)
        self.rows_at_once = require_int("rows_at_once", rows_at_once, 1, LARGEST_BATCH)
        titles = [f"x{i}" for i in range(width)] if labels is None else [str(label) for label in labels]
        playing = list(range(width)) if features is None else _columns("features", features, width)
        named, sets = _players(groups, playing, titles)
        self.n = len(sets)
        self.names = named if names is None else player_names(names, self.n)
        self._belongs = torch.zeros(self.n, width, dtype=torch.bool)
        for player, members in enumerate(sets):
            self._belongs[player, members] = True
        self._still = ~self._belongs.any(0)

    def __call__(self, masks: Tensor) -> Tensor:
        """v (m,), or (m, outputs), of boolean coalitions (m, n)."""
        require_masks(masks, self.n)
        kept = (masks.cpu().double() @ self._belongs.double() > 0) | self._still
        count, width = self.background.shape
        coalitions = max(1, min(self.rows_at_once // count, ELEMENTS_AT_ONCE // (count * width)))
        return torch.cat([self._means(part) for part in kept.split(coalitions)]).to(masks.device)

    def _means(self, kept: Tensor) -> Tensor:
        """Mean answers (m,) or (m, outputs) where columns are `kept` (m, d) from x."""
        rows = torch.where(kept[:, None, :], self.x, self.background).flatten(0, 1)
        parts = [self.answers(part) for part in rows.split(self.rows_at_once)]
        answers = torch.cat(parts).unflatten(0, (len(kept), len(self.background)))
        return total(answers.movedim(1, -1)) / len(self.background)

    def answers(self, rows: Tensor) -> Tensor:
        """The model's answers (r,) or (r, m) to rows (r, d), float64 on the CPU."""
        try:
            given = self._model(rows.to(self._place, self._dtype, copy=True))  # a model may write into its rows
        except Exception as err:  # whatever a model of the user's does
            why = " ".join(f"{type(err).__name__}: {err}".split())[:300]
            raise ValueError(f"`model` failed on rows {tuple(rows.shape)} ({why})") from err
        answers = given.detach().cpu() if isinstance(given, Tensor) else torch.from_numpy(_array("model", given))
        if answers.ndim not in (1, 2) or len(answers) != len(rows) or 0 in answers.shape[1:] or answers.is_complex():
            wanted = f"({len(rows)},) or ({len(rows)}, outputs)"
            raise ValueError(f"`model` must answer rows {tuple(rows.shape)} with {wanted}, got {tuple(answers.shape)}")
        answers = answers.double()
        bad = ~torch.isfinite(answers.reshape(len(rows), -1)).all(-1)
        if bool(bad.any()):
            row = first_row(bad)
            said = f"got {shown(answers[row].tolist())} at {shown(rows[row].tolist())}"
            raise ValueError(f"`model` must answer with finite numbers, {said}")
        if answers.ndim == 1:
            return answers if self.output is None else answers[:, None][:, self._chosen(1)]
        if self.output is None:
            return answers[:, 0] if answers.shape[1] == 1 else answers
        return answers[:, self._chosen(answers.shape[1])]

    def _chosen(self, outputs: int) -> int:
        return require_int("output", self.output, 0, outputs - 1)


# --- models -----------------------------------------------------------------------------------------------


def _answering(model: Any, x: Tensor, tensors: bool) -> tuple[Answers, torch.device, torch.dtype]:
    """The function of rows (r, d), and the device and dtype in which it wants them."""
    cpu, double = torch.device("cpu"), torch.float64
    if isinstance(model, nn.Module):
        own = next((p for p in model.parameters() if p.is_floating_point()), None)
        place = (cpu, double) if own is None else (own.device, own.dtype)
        return lambda rows: _of_module(model, rows), *place
    if isinstance(model, type):
        raise TypeError(f"`model` must be a model, got the class {model.__name__}: make one of it")
    if isinstance(model, BaseEstimator):
        predict = _prediction(model)
        return lambda rows: _quietly(predict, rows.numpy()), cpu, double
    if not callable(model):
        wanted = "a torch module, a scikit-learn classifier or regressor, or a function of rows (r, d)"
        raise TypeError(f"`model` must be {wanted}, got {type(model).__name__}")
    require_function("model", model, "rows (r, d)")
    return (model if tensors else lambda rows: model(rows.numpy())), cpu, double


def _of_module(model: nn.Module, rows: Tensor) -> Any:
    with _evaluating(model), torch.no_grad():
        return model(rows)


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Eval mode; afterwards every part is in the mode it was in."""
    learning = [part for part in model.modules() if part.training]
    for part in learning:
        part.training = False
    try:
        yield
    finally:
        for part in learning:
            part.training = True


def _prediction(model: Any) -> Callable[[np.ndarray], Any]:
    """What a scikit-learn model answers with."""
    if is_classifier(model):
        return getattr(model, "predict_proba", None) or model.decision_function
    if is_regressor(model):
        return model.predict
    raise TypeError(f"`model` must be a classifier or a regressor of scikit-learn, got {type(model).__name__}")


def _quietly(predict: Callable[[np.ndarray], Any], rows: np.ndarray) -> Any:
    with warnings.catch_warnings():  # a model that was fitted to a DataFrame misses the columns' names
        warnings.filterwarnings("ignore", message="X does not have valid feature names")
        return predict(rows)


# --- columns by name ----------------------------------------------------------------------------------------


def _aligned(model: Any, x: Any, background: Any) -> tuple[Any, Any, list[Any] | None]:
    """`x` and `background` with their named columns in one order, and the names: that of the model, where it was
    fitted to names, or else the background's, or x's. ValueError for names that are not the same."""
    fitted = _listed(getattr(model, "feature_names_in_", None)) if isinstance(model, BaseEstimator) else None
    known = {"model": fitted, "background": _labels(background), "x": _labels(x)}
    given = {name: found for name, found in known.items() if found is not None}
    for name, found in given.items():
        if len(set(found)) != len(found):
            raise ValueError(f"`{name}` must have columns of different names, got {shown(found)}")
    owner, labels = next(((name, found) for name, found in given.items() if not _numbered(found)), ("", None))
    if labels is None:
        return x, background, known["background"]
    for name, found in given.items():
        if set(found) != set(labels) and not _numbered(found):
            raise ValueError(f"`{name}` must have the columns {shown(labels)} of `{owner}`, got {shown(found)}")
    labels = next(found for found in given.values() if set(found) == set(labels))
    return _in_order(x, known["x"], labels), _in_order(background, known["background"], labels), labels


def _in_order(value: Any, own: list[Any] | None, labels: list[Any]) -> Any:
    """`value` with its columns, named `own`, in the order of `labels`; as it is where they are not named so."""
    if own is None or own == labels or set(own) != set(labels):
        return value
    return np.asarray(value)[..., [own.index(label) for label in labels]]


def _labels(value: Any) -> list[Any] | None:
    """The names of a DataFrame's columns or a Series' entries."""
    if isinstance(value, Tensor | np.ndarray | list | tuple):
        return None
    index = getattr(value, "index", None)
    return _listed(getattr(value, "columns", None if callable(index) else index))


def _numbered(labels: list[Any]) -> bool:
    """0, 1, 2, …: what columns without names have."""
    return labels == list(range(len(labels)))


def _listed(labels: Any) -> list[Any] | None:
    return None if labels is None else list(labels)


# --- arguments --------------------------------------------------------------------------------------------


def _array(name: str, value: Any) -> np.ndarray:
    if value is None:  # numpy would take it for one that is not a number
        raise TypeError(f"`{name}` must be numbers in one array, got None")
    try:
        return np.array(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as err:
        raise TypeError(f"`{name}` must be numbers in one array, got {type(value).__name__} ({err})") from err


def _rows(name: str, value: Any, *, single: bool = False) -> Tensor:
    """`value` as finite float64 rows (b, d) on the CPU; one row may come as (d,) when `single`."""
    if isinstance(value, Tensor):
        rows = require_tensor(name, value, "(d,)" if single else "(b, d)").detach().cpu().double()
    else:
        rows = torch.from_numpy(_array(name, value))
    if single and rows.ndim == 1:
        rows = rows[None]
    wanted = "(d,)" if single else "(b, d)"
    if rows.ndim != 2 or not rows.numel() or (single and len(rows) != 1):
        raise ValueError(f"`{name}` must have shape {wanted} with at least one row and column, got {tuple(rows.shape)}")
    bad = ~torch.isfinite(rows).all(-1)
    if bool(bad.any()):
        raise ValueError(f"`{name}` must be finite, row {first_row(bad)} is {shown(rows[first_row(bad)].tolist())}")
    return rows


def _columns(name: str, value: Any, width: int) -> list[int]:
    listed = list(value) if isinstance(value, (list, tuple, range, set)) else None
    if not listed:
        raise ValueError(f"`{name}` must be column numbers, at least one, got {shown(value)}")
    for column in listed:
        require_int(name, column, 0, width - 1)
    if len(set(listed)) != len(listed):
        raise ValueError(f"`{name}` must be different column numbers, got {shown(value)}")
    return sorted(listed)


def _players(groups: Any, playing: list[int], titles: list[str]) -> tuple[tuple[str, ...], list[list[int]]]:
    """Names and columns of every player."""
    if groups is None:
        return tuple(titles[i] for i in playing), [[i] for i in playing]
    require_instance("groups", groups, (dict, list, tuple))
    sets = [_columns("groups", g, len(titles)) for g in (groups.values() if isinstance(groups, dict) else groups)]
    if sorted(column for members in sets for column in members) != playing:
        raise ValueError(f"`groups` must hold each of the columns {shown(playing)} once, got {shown(groups)}")
    if isinstance(groups, dict):
        return player_names(tuple(groups), len(sets)), sets
    return tuple("+".join(titles[i] for i in members) for members in sets), sets
