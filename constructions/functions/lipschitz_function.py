"""`LipschitzFunction`: a function on a box with a modulus of continuity.

Main definitions: `LipschitzFunction`, `LipschitzFunction.from_sympy`, `LipschitzFunction.from_numpy`, `ModulusPremise`.
Notation: f: ∏[lo_a, hi_a] → R^m, |f_i(x) − f_i(y)| ≤ ω(‖x − y‖₂) for every output i.
Premise (`ModulusPremise`): `certified` when Arb balls enclose the gradient of the very formula that is evaluated,
`derived` when a docstring here proves the modulus, `declared` when the user says so: then building checks it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Any, NoReturn, final

import numpy as np
import sympy
import torch
from torch import Tensor

from constructions.errors import (
    ExpressionError,
    ModulusViolation,
    first_row,
    require_instance,
    require_int,
    require_points,
    shown,
)
from constructions.functions.black_box.box import DEFAULT_BATCH, DEFAULT_CACHE_BYTES, BlackBox, require_picklable
from constructions.functions.box import Box
from constructions.functions.modulus import Modulus
from constructions.functions.symbolic.gradient_bounds import LipschitzBounds, lipschitz_bounds
from constructions.functions.symbolic.parser import MAX_VARIABLES, as_text, parse
from constructions.functions.symbolic.tape import Tape, compile_tape

AGREEMENT_POINTS = 256


class ModulusPremise(StrEnum):
    """What stands behind a modulus; certificates and tables print the word."""

    CERTIFIED = "certified"
    DERIVED = "derived"
    DECLARED = "declared"


@final
class LipschitzFunction:
    """f: domain ⊂ R^n → R^m with modulus ω; callable on (B, n) tensors, giving (B, m). Read-only once it is made.

    Parameters: `fn` maps (B, n) to (B, m) (or (B,) when m = 1); exactly one of `lipschitz` (a constant ≥ 0)
    and `modulus` (a `Modulus` or a concave nondecreasing callable on tensors) is required; `domain` is a Box,
    one (lo, hi) pair, n pairs, or None for the unit cube; `expression` is the formula of fn, if it has one: it
    lets a model be stored as its plan, is compared with fn at 256 points, and may refute or raise the Lipschitz
    constant. The modulus stays `declared`, because what is evaluated is fn; use `from_sympy` for a certified one.

    Attributes: `n`, `m`, `domain`, `modulus`, `name`, `expression`, `premise`, `grounds` (the premise in words),
    `lipschitz_bounds` and, when the formula itself is evaluated, its `tape`.

    Raises: ValueError/TypeError for bad arguments, `ModulusViolation` when the expression refutes `lipschitz`.
    """

    def __init__(
        self,
        fn: Callable[[Tensor], Tensor],
        *,
        n: int,
        lipschitz: float | None = None,
        modulus: Modulus | Callable[[Tensor], Tensor] | None = None,
        m: int = 1,
        domain: Box | Sequence | None = None,
        name: str | None = None,
        expression: str | None = None,
    ):
        if not callable(fn):
            raise TypeError(f"`fn` must be callable, got {type(fn).__name__}")
        require_int("n", n, 1, MAX_VARIABLES)
        require_instance("name", name, (str, type(None)))
        box = Box.of(domain, n)
        if (lipschitz is None) == (modulus is None):
            raise ValueError("give exactly one of `lipschitz` and `modulus`")
        self._keep(
            fn=fn,
            n=n,
            m=require_int("m", m, 1),
            domain=box,
            modulus=_modulus_of(lipschitz, modulus, box),
            name=name or str(getattr(fn, "__name__", "f")),
            expression=expression,
        )
        if expression is not None:
            tape = _compiled(expression, n)
            self._require_agreement(tape)
            if self.modulus.kind == "lipschitz":
                bounds, constant = _decided(expression, self, self.modulus.lam)
                self._keep(modulus=Modulus.lipschitz(constant), lipschitz_bounds=bounds)

    @classmethod
    def from_sympy(
        cls,
        expression: str | sympy.Expr | Sequence[sympy.Expr],
        *,
        n: int,
        domain: Box | Sequence | None = None,
        lipschitz: float | None = None,
        modulus: Modulus | Callable[[Tensor], Tensor] | None = None,
        name: str | None = None,
    ) -> LipschitzFunction:
        """f from a formula in x0 … x{n−1} ("a", or "a, b" for two outputs), parsed without eval.

        Without `lipschitz` and `modulus` the constant is the certified upper bound of sup ‖∇f‖₂; with
        `lipschitz` it is checked: refuted (`ModulusViolation`, with the point), or raised to the bound. A `modulus`
        is declared, and building checks it. Raises `ExpressionError` with the reason when no finite bound is found.
        """
        return cls._of_formula(expression, n, domain, lipschitz, modulus, name, ModulusPremise.DECLARED)

    @classmethod
    def _of_formula(
        cls,
        expression: str | sympy.Expr | Sequence[sympy.Expr],
        n: int,
        domain: Box | Sequence | None,
        lipschitz: float | None,
        modulus: Modulus | Callable | None,
        name: str | None,
        premise: ModulusPremise,
    ) -> LipschitzFunction:
        """`from_sympy`; `premise` is that of a `modulus` given: for those here whose docstring proves it."""
        _require_unmeasured(premise)
        text = expression if isinstance(expression, str) else _text_of(expression)
        require_int("n", n, 1, MAX_VARIABLES)
        require_instance("name", name, (str, type(None)))
        if lipschitz is not None and modulus is not None:
            raise ValueError("give at most one of `lipschitz` and `modulus`")
        tape, box = _compiled(text, n), Box.of(domain, n)
        f = cls.__new__(cls)
        declared = Modulus.lipschitz(0.0) if lipschitz is None and modulus is None else None
        f._keep(
            fn=tape,
            n=n,
            m=len(tape.outputs),
            domain=box,
            modulus=declared or _modulus_of(lipschitz, modulus, box),
            name=name or text,
            expression=text,
            tape=tape,
            premise=premise,
        )
        if modulus is None:
            bounds, constant = _decided(text, f, None if lipschitz is None else f.modulus.lam)
            f._keep(modulus=Modulus.lipschitz(constant), lipschitz_bounds=bounds, premise=ModulusPremise.CERTIFIED)
        return f

    @classmethod
    def _of_modulus(
        cls,
        fn: Callable[[Tensor], Tensor],
        n: int,
        domain: Box,
        modulus: Modulus,
        name: str,
        premise: ModulusPremise,
    ) -> LipschitzFunction:
        """A function of one output without a formula; `premise` as in `_of_formula`."""
        _require_unmeasured(premise)
        f = cls(fn, n=n, modulus=modulus, domain=domain, name=name)
        f._keep(premise=premise)
        return f

    @classmethod
    def from_numpy(
        cls,
        fn: Callable[[np.ndarray], Any],
        *,
        n: int,
        lipschitz: float | None = None,
        modulus: Modulus | Callable[[Tensor], Tensor] | None = None,
        m: int = 1,
        domain: Box | Sequence | None = None,
        name: str | None = None,
        vectorized: bool = True,
        workers: int = 1,
        pool: str = "processes",
        batch: int = DEFAULT_BATCH,
        cache: bool | str | Path | None = None,
        cache_bytes: int = DEFAULT_CACHE_BYTES,
    ) -> LipschitzFunction:
        """f from a function of numpy arrays: (B, n) -> (B,) or (B, m), or with `vectorized=False` of one point (n,)
        at a time, giving a number or m of them. It is called with at most `batch` points, float64.

        `workers` call it at the same time, in "processes" or "threads" (`pool`); processes need no more than that
        cloudpickle takes fn. `cache` says whether answers are remembered, each point asked once: True, False, or a
        file to which they are written as they come, so that a build that was stopped goes on from there; None means
        True for single points and False for arrays. `cache_bytes` bounds the memory of that. Other arguments are those
        of `LipschitzFunction`. `black_box.counts` says what was asked and what it took.
        """
        require_int("n", n, 1, MAX_VARIABLES)
        options = {"vectorized": vectorized, "workers": workers, "pool": pool, "batch": batch}
        box = BlackBox(fn, n, require_int("m", m, 1), cache=cache, cache_bytes=cache_bytes, **options)
        return cls(box, n=n, lipschitz=lipschitz, modulus=modulus, m=m, domain=domain, name=name)

    def cached_in(self, path: str | Path) -> LipschitzFunction:
        """The same black box with its answers in the file `path`; ValueError for one not made by `from_numpy`."""
        if self.black_box is None:
            raise ValueError(f"`cache` needs a function made by LipschitzFunction.from_numpy, {self.name} is none")
        box = self.black_box.cached_in(path)
        return LipschitzFunction(box, n=self.n, modulus=self.modulus, m=self.m, domain=self.domain, name=self.name)

    # --- what was settled when it was made ---

    def __init_subclass__(cls) -> NoReturn:
        raise TypeError(f"`{cls.__name__}`: LipschitzFunction is final: wrap it instead")

    def _keep(self, **values: Any) -> None:
        self.__dict__.update({f"_{name}": value for name, value in values.items()})

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise AttributeError(f"`{name}` cannot be set: a LipschitzFunction stays as it was made, make another one")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"`{name}` cannot be deleted: a LipschitzFunction stays as it was made")

    def __copy__(self) -> LipschitzFunction:
        return self

    def __deepcopy__(self, memo: dict) -> LipschitzFunction:
        return self  # it cannot change

    def __getstate__(self) -> dict[str, Any]:
        """All of it; PicklingError for a function that pickle cannot take."""
        if self.tape is None:
            require_picklable(self.__dict__["_fn"])
        return self.__dict__.copy()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    @property
    def n(self) -> int:
        """Inputs."""
        return self.__dict__["_n"]

    @property
    def m(self) -> int:
        """Outputs."""
        return self.__dict__["_m"]

    @property
    def domain(self) -> Box:
        """The box on which the modulus holds."""
        return self.__dict__["_domain"]

    @property
    def modulus(self) -> Modulus:
        """ω."""
        return self.__dict__["_modulus"]

    @property
    def name(self) -> str:
        """What reports and plots call it."""
        return self.__dict__["_name"]

    @property
    def expression(self) -> str | None:
        """The formula, if there is one."""
        return self.__dict__.get("_expression")

    @property
    def tape(self) -> Tape | None:
        """The compiled formula when it is what `evaluate` runs; None when a function of the user's runs."""
        return self.__dict__.get("_tape")

    @property
    def black_box(self) -> BlackBox | None:
        """The function of numpy arrays that runs, with its counts; None for others."""
        fn = self.__dict__["_fn"]
        return fn if isinstance(fn, BlackBox) else None

    @property
    def lipschitz_bounds(self) -> LipschitzBounds | None:
        """Ball bounds of the formula's gradient, where they were asked for."""
        return self.__dict__.get("_lipschitz_bounds")

    @property
    def premise(self) -> ModulusPremise:
        """What stands behind `modulus`."""
        return self.__dict__.get("_premise", ModulusPremise.DECLARED)

    @property
    def grounds(self) -> str:
        """`premise` in the words of a certificate."""
        box = self.black_box
        if box is not None and box.counts.read:
            return f"{self.premise}; {box.counts.read} values of fn from {box.path}, {box.counts.compared} asked again"
        if self.expression is None or self.tape is not None:
            return str(self.premise)
        return f"{self.premise}; the formula agrees with fn at {AGREEMENT_POINTS} points"

    def _require_agreement(self, tape: Tape) -> None:
        if len(tape.outputs) != self.m:
            raise ValueError(f"`expression` must have `m` = {self.m} outputs, got {len(tape.outputs)}")
        x = self.domain.sample(AGREEMENT_POINTS, torch.Generator().manual_seed(0))
        mine, formula = self.evaluate(x), self._checked(tape(x), x)
        gap = (mine - formula).abs().amax(-1)
        scale = float(formula.abs().max()) + 1.0
        if not float(gap.max()) <= 1e-9 * scale:
            row = int(gap.argmax())
            raise ValueError(
                f"`expression` disagrees with `fn` at x = {x[row].tolist()}: {formula[row].tolist()} "
                f"against {mine[row].tolist()}"
            )

    # --- evaluation ---

    @property
    def lipschitz(self) -> float:
        """λ of a Lipschitz modulus; ValueError for another modulus."""
        if self.modulus.kind != "lipschitz":
            raise ValueError(f"{self.name} has {self.modulus} and no declared Lipschitz constant")
        return self.modulus.lam

    def __call__(self, x: Tensor) -> Tensor:
        """f(x), (B, n) -> (B, m). ValueError for a wrong shape, a point outside the domain, NaN or inf."""
        x = require_points("x", x, self.n)
        self.domain.require_inside("x", x)
        return self.evaluate(x)

    def evaluate(self, x: Tensor) -> Tensor:
        """f(x) for points known to be good; still refuses a wrong shape, NaN or inf from the user's function."""
        require_points("x", x, self.n)
        try:
            # a function of the user's may write into its argument
            y = self.__dict__["_fn"](x if self.tape is not None else x.clone())
        except Exception as err:
            raise ValueError(f"`fn` ({self.name}) failed on a tensor of shape {tuple(x.shape)}: {err}") from err
        return self._checked(y, x)

    def _checked(self, y: Any, x: Tensor) -> Tensor:
        rows = x.shape[0]
        if isinstance(y, Tensor) and self.m == 1 and y.shape == (rows,):
            y = y[:, None]
        if not isinstance(y, Tensor) or y.shape != (rows, self.m):
            got = tuple(y.shape) if isinstance(y, Tensor) else type(y).__name__
            raise ValueError(f"`fn` ({self.name}) must return shape ({rows}, {self.m}), got {got}")
        if y.device != x.device or y.layout != torch.strided:
            got = f"a {y.layout} tensor on {y.device}"
            raise ValueError(f"`fn` ({self.name}) must return a dense tensor on its input's {x.device}, got {got}")
        if y.dtype != x.dtype:
            raise ValueError(f"`fn` ({self.name}) must return the dtype of its input, {x.dtype}, got {y.dtype}")
        finite = torch.isfinite(y).all(-1)
        if not bool(finite.all()):
            row = first_row(~finite)
            raise ValueError(f"`fn` ({self.name}) must be finite, got {y[row].tolist()} at x = {x[row].tolist()}")
        return y

    def __repr__(self) -> str:
        return (
            f"LipschitzFunction({self.name!r}, n={self.n}, m={self.m}, domain={self.domain}, "
            f"omega(t)={self.modulus} [{self.premise}])"
        )

    def _repr_latex_(self) -> str:
        """The formula, if there is one, and what is known of it."""
        known = rf"|f(x)-f(y)|\le \omega(\|x-y\|_2),\ \omega(t)=\text{{{self.modulus}}}\ \text{{({self.premise})}}"
        if self.expression is None:
            return f"${known}$"
        outputs = parse(self.expression, self.n)
        said = ",\\ ".join(sympy.latex(output) for output in outputs)
        return f"$f(x) = {said if len(outputs) == 1 else f'({said})'},\\quad {known}$"


def _require_unmeasured(premise: ModulusPremise) -> None:
    """ValueError for a modulus that calls itself certified: only balls around the formula's gradient say so."""
    if not isinstance(premise, ModulusPremise) or premise is ModulusPremise.CERTIFIED:
        raise ValueError(f"`premise` must be declared or derived for a modulus that is given, got {shown(premise)}")


def _modulus_of(lipschitz: float | None, modulus: Modulus | Callable | None, domain: Box) -> Modulus:
    if lipschitz is not None:
        return Modulus.lipschitz(lipschitz)
    if isinstance(modulus, Modulus):
        return modulus
    if modulus is not None and callable(modulus):
        return Modulus.of_callable(modulus, domain.diameter)
    raise TypeError(f"`modulus` must be a Modulus or a callable, got {type(modulus).__name__}")


def _decided(expression: str, f: LipschitzFunction, declared: float | None) -> tuple[LipschitzBounds, float]:
    """Ball bounds of the formula, and max(declared, U); raises when U is infinite or the declared constant refuted."""
    bounds = _bounds(expression, f.n, f.domain, declared)
    if declared is not None and bounds.lower > declared:
        raise ModulusViolation(
            f"`lipschitz` = {declared:.9g} is refuted: ‖∇f‖₂ ≥ {bounds.lower:.9g} at x = {bounds.witness}",
            first=bounds.witness,
            second=bounds.witness,
            observed=bounds.lower,
            declared=declared,
        )
    if not math.isfinite(bounds.upper):
        raise ExpressionError(
            f"`expression`: no finite Lipschitz bound of {shown(f.name)} was found on {str(f.domain)[:200]}: the "
            f"gradient is unbounded or undefined on the box {shown(bounds.worst_box)} (‖∇f‖₂ ≥ {bounds.lower:.3g} at "
            f"{shown(bounds.witness)}); shrink the domain or give a Hölder modulus"
        )
    return bounds, max(declared or 0.0, bounds.upper)


@lru_cache(maxsize=256)
def _compiled(text: str, n: int) -> Tape:
    return compile_tape(parse(text, n), n)


@lru_cache(maxsize=256)
def _bounds(text: str, n: int, domain: Box, declared: float | None) -> LipschitzBounds:
    return lipschitz_bounds(_compiled(text, n), domain, declared=declared)


def _text_of(expression: sympy.Expr | Sequence[sympy.Expr]) -> str:
    outputs: tuple[Any, ...] = tuple(expression) if isinstance(expression, (tuple, list)) else (expression,)
    if not all(isinstance(e, sympy.Expr) for e in outputs):
        raise TypeError(f"`expression` must be a string or sympy expression(s), got {shown(expression)}")
    return as_text(outputs)
