"""Proof files of uniform errors: boxes found by asking the checker for its bounds, and what black boxes declare.

Nothing depends on how they are found: a proof that is wrong is refused by the checker.

Main definitions: `proof_of`, `uniform_error_proof`, `declared_error_proof`, `save_uniform_error`.
References: docs/proofs.md.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import torch
from torch import nn

from constructions import MoMLP, Plan, load, save
from constructions.errors import BudgetExceeded, require_path, require_positive
from constructions.files import require_regular, require_writable
from constructions.functions.lipschitz_function import LipschitzFunction
from constructions.functions.symbolic.parser import as_text, parse
from theory.proofs import as_rationals, checker, write_proof

MOST_CUTS = 40  # of a cell, one inside the other
MOST_BOXES = 10_000_000
NODES_PER_STEP = 1 << 16


def uniform_error_proof(
    model: str | os.PathLike,
    formula: str,
    eps: float | Fraction | None,
    *,
    log: Callable[[str], None] = lambda message: None,
) -> dict[str, Any]:
    """The proof that the stored mixture of pencils or constants is within eps of the formula, for `write_proof`.

    The proof states the formula as it is understood: read, simplified, and written out again.

    ValueError when it is not a model of that kind, or where the bounds stay above eps however often a cell is cut.
    """
    check, path, eps = checker(), require_regular(require_path("model", model)), Fraction(require_positive("eps", eps))
    about = {"file": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    try:
        mixture = check.Mixture(path, about["sha256"])
        formula = _written(formula, mixture.n)
        f = check.compiled(formula + ",", [f"x{a}" for a in range(mixture.n)], check.ON_REALS)
    except check.Refused as err:
        raise ValueError(f"no proof file can be written for {path}: {err}") from err
    except (KeyError, ValueError, SyntaxError) as err:
        raise ValueError(f"no proof file can be written for {path} and {formula!r} ({err!r})") from err
    cuts, boxes = [], 0
    for leaf in range(mixture.leaves):
        log(f"cell {leaf + 1} of {mixture.leaves}, {boxes} boxes")
        cuts.append(_cuts(check, mixture, f, eps, leaf, cuts[-1] if cuts else ""))
        boxes += cuts[-1].count(".")
        if boxes > MOST_BOXES:
            raise BudgetExceeded(f"a proof of more than {MOST_BOXES} boxes is not written")
    return {
        "model": about,
        "formula": formula,
        "domain": [[str(end) for end in side] for side in mixture.domain],
        "eps": str(eps),
        "cuts": cuts,
    }


def declared_error_proof(
    model: str | os.PathLike,
    f: LipschitzFunction,
    eps: float | Fraction | None,
    *,
    log: Callable[[str], None] = lambda message: None,
) -> dict[str, Any]:
    """The proof that the stored mixture is within eps of a black box, given its modulus and its values at the nodes.

    Both are premises, and stated as such: what a black box answers nobody can decide again. f is asked at the nodes of
    the model's plan, where it was asked when the model was built.

    ValueError for a modulus that is a callable, a model of another kind, and values that are not the model's.
    """
    check, path, eps = checker(), require_regular(require_path("model", model)), Fraction(require_positive("eps", eps))
    _require_stated(f)
    built = load(path)
    if not isinstance(built, MoMLP):
        raise ValueError(f"no proof file can be written for {path}: the model is none of pencils or constants")
    digest, design = hashlib.sha256(path.read_bytes()).hexdigest(), built.plan
    leaves = built.tree.leaf_indices(built.place)
    try:
        kinks = {t for t, *_ in check.Mixture(path, digest).kinks}
    except check.Refused as err:
        raise ValueError(f"no proof file can be written for {path}: {err}") from err
    knots = sorted({*kinks, Fraction(design.domain.lo[-1]), Fraction(design.domain.hi[-1])}) if design.knots else []
    values, nodes = [], max(1, len(knots))
    for part in design.lattice.centres(leaves).split(max(1, NODES_PER_STEP // nodes)):
        log(f"values at the nodes of {len(values)} of {len(leaves)} cells")
        points = part[:, None].expand(-1, nodes, -1)
        if knots:
            points = torch.cat(
                [points, part.new_tensor(list(map(float, knots))).expand(len(part), -1)[..., None]], dim=2
            )
        values += as_rationals(f.evaluate(points.reshape(-1, design.n)).reshape(len(part), nodes, design.m))
    spec: dict[str, Any] = f.modulus.to_spec()
    premise = {
        "lipschitz": as_rationals(spec["lam"]),
        "exponent": as_rationals(spec["alpha"]),
        "knots": as_rationals(knots),
        "middles": as_rationals(design.lattice.centres(leaves)),
        "values": values,
    }
    proof = {
        "model": {"file": path.name, "sha256": digest},
        "formula": "black box",
        "premise": premise,
        "domain": [[str(end) for end in side] for side in zip(*_ends_of(design), strict=True)],
        "eps": str(eps),
        "cuts": ["."] * len(leaves),
    }
    try:
        check.uniform_error(proof, path.parent, log)
    except check.Refused as err:
        raise ValueError(f"no proof file can be written for {path}, eps {float(eps):.9g} and {f.name}: {err}") from err
    return proof


def _is_black_box(f: LipschitzFunction) -> bool:
    return f.tape is None or f.expression is None


def _require_stated(f: LipschitzFunction) -> None:
    """A black box is known by its modulus, which has to be written down."""
    if f.modulus.kind == "callable":
        raise ValueError(f"`f` must have a Lipschitz or Hölder modulus for a proof file, got {f.modulus}")


def _ends_of(design: Plan) -> tuple[list[Fraction], list[Fraction]]:
    return [Fraction(v) for v in design.domain.lo], [Fraction(v) for v in design.domain.hi]


def _written(formula: str, n: int) -> str:
    """The formula as it is understood, with a fraction before a product as one number, (2/3)*x0, where sympy writes two
    operations, 2*x0/3, which take the checker twice as long."""
    from sympy.printing.precedence import PRECEDENCE
    from sympy.printing.str import StrPrinter

    class Printer(StrPrinter):
        def _print_Mul(self, expr: Any) -> str:
            number, rest = expr.as_coeff_Mul()
            if abs(number.p) == 1 or number.q == 1 or (rest.is_Mul and any(part.is_Pow for part in rest.args)):
                return super()._print_Mul(expr)
            return f"({number})*{self.parenthesize(rest, PRECEDENCE['Mul'])}"

    plain = as_text(parse(formula, n))
    meant = parse(plain, n)  # without floats
    text = ", ".join(map(Printer().doprint, meant))
    return text if parse(text, n) == meant else plain


def save_uniform_error(
    path: str | os.PathLike,
    model: nn.Module,
    f: LipschitzFunction,
    eps: float,
    *,
    log: Callable[[str], None] = lambda message: None,
) -> Path:
    """Write `model` as NAME.safetensors and the proof that it is within eps of `f` as `path`, NAME.proof say.

    For a function without a formula the proof rests on its declared modulus and its values at the nodes.

    ValueError for a path that ends in .safetensors, and as `uniform_error_proof` and `declared_error_proof`.
    """
    target = require_path("path", path)
    stored = target.with_suffix(".safetensors")
    if target == stored:
        raise ValueError(f"`path` must not end in .safetensors, which is where the model goes, got {target}")
    if _is_black_box(f):
        _require_stated(f)  # before anything is written
    require_writable(target)
    save(cast(Any, model), stored)  # which says what kinds of models there are
    return write_proof(target, "uniform_error", proof_of(stored, f, eps, log=log))


def proof_of(
    model: str | os.PathLike,
    f: LipschitzFunction,
    eps: float | Fraction | None,
    *,
    log: Callable[[str], None] = lambda message: None,
) -> dict[str, Any]:
    """`uniform_error_proof` of a formula, `declared_error_proof` of a black box."""
    if _is_black_box(f):
        return declared_error_proof(model, f, eps, log=log)
    return uniform_error_proof(model, cast(str, f.expression), eps, log=log)


def _cuts(check: ModuleType, model: Any, f: Callable, eps: Fraction, leaf: int, last: str) -> str:
    """How a cell is cut until every box has its bound, in the order in which the checker asks: the lower half first.

    Where the `last` cell had to be cut more than once, this one is cut without being asked for a bound first.
    """
    letters: list[str] = []
    stack = [(model.cell(leaf), 0, 0)]
    network = model.network(leaf)
    off = check.rounding(model.layers(leaf), model.sizes, model.bits)
    ends = _ends(last)
    while stack:
        box, depth, at = stack.pop()
        # `at` is where the same box stands in `last`, or -1
        asked = at < 0 or last[at : at + 1] in ("", ".") or last[at + 1 : at + 3] == ".."
        if asked and _holds(check, f, network, box, off, eps):
            letters.append(".")
            continue
        if depth == MOST_CUTS:
            place = [tuple(map(float, side)) for side in box]
            raise ValueError(f"`eps` must be above the error: on {place} no bound of {float(eps):.9g} was found")
        axis = max(range(model.n), key=lambda a: box[a][1] - box[a][0])
        letter = "0123456789abcdefghijklmnopqrstuvwxyz"[axis]
        letters.append(letter)
        low, high = box[axis]
        middle = (low + high) / 2
        same = at >= 0 and last[at : at + 1] == letter
        for part, place in ((middle, high), ends[at + 1] if same else -1), ((low, middle), at + 1 if same else -1):
            stack.append(([*box[:axis], part, *box[axis + 1 :]], depth + 1, place))
    return "".join(letters)


def _ends(cuts: str) -> list[int]:
    """Where the box that begins at each place of `cuts` ends: one behind its last letter."""
    ends = [0] * (len(cuts) + 1)
    for at in range(len(cuts) - 1, -1, -1):
        ends[at] = at + 1 if cuts[at] == "." else ends[ends[at + 1]]
    return ends


def _holds(check: ModuleType, f: Callable, network: Callable, box: list, off: list[int], eps: Fraction) -> bool:
    try:
        bounds = check.difference(f, network, box)
    except check.Unknown:
        return False
    return Fraction(max(b + o for b, o in zip(bounds, off, strict=True)), check.ONE) <= eps
