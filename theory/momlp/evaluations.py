"""How often a certificate asks f, foreseen from the plan: what decides whether a slow function can have one.

Main definitions: `evaluations_to_certify`, `Evaluations`.
"""

from __future__ import annotations

from dataclasses import dataclass

from constructions.errors import require_choice, require_instance, require_int, require_positive
from constructions.functions.lipschitz_function import LipschitzFunction
from constructions.momlp.plan import PencilPlan, Plan
from theory.checkers.uniform_error.branch_and_bound import MAX_CORNERS
from theory.checkers.uniform_error.certify import MAX_LEAVES, METHODS, SAMPLED_LEAVES
from theory.checkers.uniform_error.sampled import ASCENT_STARTS
from theory.checkers.uniform_error.target_values import OWN_VALUES


@dataclass(frozen=True)
class Evaluations:
    """Points at which f is asked: `least` of them, and `most`, None where the search itself decides. Of a black box
    that remembers its answers these are the new ones, from above."""

    method: str
    least: int
    most: int | None

    def seconds(self, per_call: float, workers: int = 1) -> float:
        """What the least takes at `per_call` seconds a point on so many workers."""
        return self.least * float(require_positive("per_call", per_call)) / require_int("workers", workers, 1)

    def __str__(self) -> str:
        return str(self.least) if self.most == self.least else f"at least {self.least}"


def evaluations_to_certify(
    plan: Plan, f: LipschitzFunction, *, method: str | None = None, samples: int = 100_000
) -> Evaluations:
    """How often `certify_uniform_error` asks a function without gradients for the model of `plan`, with these options.

    Exact for a black box without a memory; where it remembers, points that are asked twice count once. A formula is
    asked a few thousand times more, which costs nothing. ValueError or TypeError naming the argument.
    """
    require_instance("plan", plan, Plan)
    require_instance("f", f, LipschitzFunction)
    require_int("samples", samples, 1)
    pencils = isinstance(plan, PencilPlan)
    method = ("branch_and_bound" if pencils else "simplices") if method is None else method
    require_choice("method", method, METHODS)
    if method in ("branch_and_bound", "a_priori") and not pencils:
        raise ValueError(f"`method` must be simplices or sampled for bit-extraction experts, got {method!r}")
    remembers = f.black_box is not None and f.black_box.remembers
    own = OWN_VALUES if remembers else OWN_VALUES + OWN_VALUES // 2
    starts = min(ASCENT_STARTS, 2 * samples)
    sampling = 2 * samples + (0 if remembers else 2 * starts)
    leaves = plan.leaves if plan.leaves <= MAX_LEAVES else min(SAMPLED_LEAVES, plan.leaves)
    if method == "branch_and_bound":
        corners = min(2 ** (plan.n - 1), MAX_CORNERS)
        return Evaluations(method, own + leaves * max(1, plan.knots) * (corners * (2 if plan.knots else 3) + 1), None)
    nodes = 0 if method == "sampled" else leaves * plan.nodes
    return Evaluations(method, own + sampling + nodes, own + sampling + nodes)
