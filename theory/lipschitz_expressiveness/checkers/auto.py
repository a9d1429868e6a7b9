"""Method "auto": what suits a network of this kind and size; where one method leaves a gap, the best ends of several.

Main definitions: `auto`, `together`.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace

from theory.claim import Evidence
from theory.lipschitz_expressiveness.checkers.branch_and_bound import branch_and_bound
from theory.lipschitz_expressiveness.checkers.jacobians import BeyondFloats
from theory.lipschitz_expressiveness.checkers.line import line
from theory.lipschitz_expressiveness.checkers.lipsdp import available, lipsdp
from theory.lipschitz_expressiveness.checkers.patterns import patterns
from theory.lipschitz_expressiveness.checkers.product import product
from theory.lipschitz_expressiveness.checkers.result import LipschitzBounds
from theory.lipschitz_expressiveness.checkers.sampled import sampled
from theory.lipschitz_expressiveness.checkers.search import Question

LINE_WEIGHTS = 20_000
"""Weights of a network that the rationals of "line" read in seconds."""

FEW_KINKS = 24
"""Kinks up to which the patterns of R^n are listed, for at most 3 inputs."""

FEW_UNITS = 100
"""Units up to which a semidefinite program takes seconds."""

WIDE_GAP = 0.01
"""Above this, boxes are helped by a semidefinite program."""

SEARCHED = 10**7
"""Weights up to which points are looked at."""


def auto(question: Question) -> LipschitzBounds:
    """The interval of the method that `reason` names, or of several."""
    started = time.monotonic()
    method, why = _picked(question)
    question.log(f"auto: {method}, {why}")
    run = {"line": line, "branch_and_bound": branch_and_bound, "patterns": patterns, "product": product}
    try:
        found = run[method](question)
    except BeyondFloats as err:
        method, why = "product", f"{method} was not possible: {err}"
        return replace(product(question), reason=f"auto picked {method} ({why})")
    others = []
    if method == "product" and _weights(question) <= SEARCHED:
        with suppress(BeyondFloats):
            others.append(sampled(question))
    late = time.monotonic() - started > question.seconds
    if not late and found.gap > max(WIDE_GAP, question.gap) and available() and 0 < question.network.units <= FEW_UNITS:
        others.append(_semidefinite(question))
    found = together(found, *(b for b in others if b is not None))
    return replace(found, reason=f"auto picked {method} ({why}): {found.reason}")


def _semidefinite(question: Question) -> LipschitzBounds | None:
    try:
        return lipsdp(question)
    except ValueError:  # no multipliers that can be verified: the other methods' ends stand
        return None


def together(first: LipschitzBounds, *others: LipschitzBounds) -> LipschitzBounds:
    """The larger lower and the smaller upper end of intervals for the same constant."""
    for other in others:
        low = other if other.lower > first.lower or first.witness is None else first
        high = other if other.log2_upper < first.log2_upper else first
        if other is low or other is high:
            first = replace(
                first,
                lower=low.lower,
                witness=low.witness,
                jacobian=low.jacobian,
                upper=max(high.upper, low.lower),
                log2_upper=high.log2_upper,
                method=f"{first.method}+{other.method}",
                evidence=Evidence.FLOAT64 if high.evidence >= Evidence.FLOAT64 else high.evidence,
                reason=f"{first.reason}; {other.method}: {other.reason}",
                cells_or_boxes=first.cells_or_boxes or other.cells_or_boxes,
                exact_squared=None,
            )
    return first


def _weights(question: Question) -> int:
    return sum(w.numel() for w in question.network.matrices)


def _picked(question: Question) -> tuple[str, str]:
    """The method for a network of this kind and size, and why."""
    network, measure = question.network, question.measure
    plain = measure.right is None or measure.offset is None
    if network.inputs == 1 and network.piecewise_affine and _weights(question) <= LINE_WEIGHTS and plain:
        return "line", f"one input and {_weights(question)} weights"
    if question.lower is not None:
        return "branch_and_bound", "there is a box"
    if network.homogeneous:
        return "branch_and_bound", "there are no hidden biases"
    if network.piecewise_affine and network.kinks <= FEW_KINKS and network.inputs <= 3:
        return "patterns", f"{network.kinks} kinks on all of R^{network.inputs}"
    return "product", f"{network.units} units on all of R^{network.inputs}"
