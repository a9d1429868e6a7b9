"""Way 1: Theorem 1 with every hypothesis read off the model itself, in rationals where the theorem needs equality.

The exact network interpolates on each cell, between nodes at most 2b apart, values within τ of f at the cell's centre;
each cell lies within a of its centre. Then sup|f − f̂| ≤ ω(√(a² + b²)) + τ (+ rounding of the forward pass).

Main definition: `a_priori`.
Implementation notes: node values of the exact network are prefix sums of rationals, one array operation a step over all
experts and nodes; f at the nodes is float64 with its own η.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor

from constructions.functions.lipschitz_function import LipschitzFunction
from theory import exact
from theory.checkers.uniform_error.banks import banks_of
from theory.checkers.uniform_error.boxes import half_widths, norm_above
from theory.checkers.uniform_error.certificate import Premise
from theory.checkers.uniform_error.premises import forward_matches
from theory.checkers.uniform_error.ridge import RidgeBank
from theory.checkers.uniform_error.ridge_exact import exact_nodes, exact_values, rationals
from theory.checkers.uniform_error.view import MixtureView

NODES_PER_STEP = 1 << 17


@dataclass
class Measured:
    """Worst case over the experts looked at; `where` names the expert behind the largest b and τ.

    `a` is rounded up; `shift` is how far the float nodes at which f was asked are from the network's own.
    """

    a: float = 0.0
    shift: Fraction = Fraction(0)
    b: Fraction = Fraction(0)
    tau: float = 0.0
    slack: float = 0.0
    nodes: int = 0
    b_where: str = "-"
    tau_where: str = "-"


def a_priori(
    view: MixtureView, f: LipschitzFunction, eta: float, log: Callable[[str], None]
) -> tuple[float, Measured, list[Premise]]:
    """(upper bound, measurements, premises) from all leaves of the view."""
    measured = Measured()
    for leaves, bank in banks_of(view):
        if not isinstance(bank, RidgeBank):
            failing = Premise("experts are one-hidden-layer pencils", False, f"leaf {leaves[0].tolist()} is not")
            return math.inf, measured, [failing]
        mismatch = forward_matches(view, leaves, bank)
        if mismatch is not None:
            return math.inf, measured, [mismatch]
        _measure(leaves, bank, f, measured)
        log(f"a priori: {measured.nodes} nodes, tau = {measured.tau:.3g}")
    measured.slack += f.modulus.upper(measured.shift**2)
    distance = Fraction(measured.a) ** 2 + measured.b**2
    upper = (f.modulus.upper(distance) + measured.tau + eta + measured.slack) * (1 + 2.0**-50)
    premises = [
        Premise(
            "knots",
            True,
            f"first kink at or before the axis starts, largest gap 2b = {float(2 * measured.b):.9g} "
            f"({measured.b_where})",
        ),
        Premise(
            "node values",
            True,
            f"{measured.nodes} exact values within tau = {measured.tau:.3g} of f ({measured.tau_where})",
        ),
        Premise("cells", True, f"every cell lies within a = {measured.a:.9g} of its centre"),
    ]
    return math.nextafter(upper, math.inf), measured, premises


def _measure(leaves: Tensor, bank: RidgeBank, f: LipschitzFunction, measured: Measured) -> None:
    axis = bank.layer.axis
    others = [a for a in range(f.n) if a != axis]
    resolves = bool((bank.layer.pull != 0).any())
    quantised = others if resolves else list(range(f.n))
    centre = (bank.lower + bank.upper) / 2
    if quantised:
        reach = half_widths(bank.lower, bank.upper, centre)[:, quantised]
        measured.a = max(measured.a, float(norm_above(reach).max()))
    measured.slack = max(measured.slack, bank.forward_slack)

    nodes = exact_nodes(bank)  # lo, kinks inside, hi
    if resolves:
        gaps = np.diff(nodes)
        worst = int(np.argmax(gaps))
        half_gap = exact.fraction(gaps[worst]) / 2
        if half_gap > measured.b:
            measured.b = half_gap
            measured.b_where = f"after {float(exact.fraction(nodes[worst])):.9g} on axis {axis}"
    else:
        nodes = nodes[:1]
    floats = [float(exact.fraction(v)) for v in nodes]
    moved = (abs(exact.fraction(v) - Fraction(t)) for v, t in zip(nodes, floats, strict=True))
    measured.shift = max(measured.shift, *moved)
    t = torch.tensor(floats, dtype=torch.float64)
    rows = max(1, NODES_PER_STEP // len(nodes))
    for start in range(0, bank.experts, rows):
        part = slice(start, start + rows)
        y = _target_nodes(f, centre[part], t.to(centre.device), axis if resolves else None)
        gap = np.abs(exact_values(bank, part, nodes) - rationals(y))
        tau = math.nextafter(float(exact.fraction(gap.max())), math.inf)
        measured.nodes += gap.size
        if tau > measured.tau:
            expert, output, node = np.unravel_index(int(gap.argmax()), gap.shape)
            measured.tau = tau
            measured.tau_where = f"leaf {leaves[start + expert].tolist()}, output {output}, node {node}"


def _target_nodes(f: LipschitzFunction, centre: Tensor, t: Tensor, axis: int | None) -> Tensor:
    """f at the nodes: (E, m, T) for cell centres (E, n) with coordinate `axis` replaced by t (T,)."""
    points = centre[:, None, :].repeat(1, len(t), 1)
    if axis is not None:
        points[:, :, axis] = t
    values = f.evaluate(points.reshape(-1, f.n))
    return values.reshape(len(centre), len(t), f.m).transpose(1, 2)
