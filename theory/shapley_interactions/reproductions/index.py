"""The index itself: one operator in three forms, its sums, k-SII, and games whose index is known in closed form."""

from __future__ import annotations

import torch

from constructions.shapley_interactions import ExpertGame
from theory.claim import Context, Evidence, Status, Verdict, ensure
from theory.shapley_interactions.bounds import availability_integrals, bernoulli_identities, beta_identity
from theory.shapley_interactions.checkers.estimates import experts_match
from theory.shapley_interactions.checkers.theorems import (
    first_available_holds,
    forms_agree,
    k_sii_holds,
)
from theory.shapley_interactions.reproductions.cases import compared, orders, total

BERNOULLI_ORDERS = 64
EXPERTS, POINTS, EXPERT_ORDERS = 7, 6, 3
SLACK = 1e-10


def index_forms(context: Context) -> Verdict:
    """Definition, weights, Möbius sum and telescoping sums as operators on all games of up to 7 (9) players."""
    ensure(beta_identity(), "the Beta integral")
    largest = 9 if context.full else 7
    table = compared(context, "forms of the index", forms_agree, orders(range(1, largest + 1)))
    reason = f"the three forms are one operator with the telescoping sums on every game of up to {largest} players"
    return Verdict(Status.PROVED, Evidence.EXACT, reason, total(table), tables={"entries": table})


def k_sii(context: Context) -> Verdict:
    """T6 as operators on all games of up to 6 (7) players, and its sums of Bernoulli numbers up to order 64."""
    ensure(bernoulli_identities(BERNOULLI_ORDERS), "Bernoulli numbers")
    largest = 7 if context.full else 6
    table = compared(context, "k-SII", k_sii_holds, [(n,) for n in range(1, largest + 1)])
    reason = f"recursion, efficiency, v̂_k and n-SII = Möbius for all k and every game of up to {largest} players"
    return Verdict(Status.PROVED, Evidence.EXACT, reason, total(table), tables={"entries": table})


def _experts(context: Context) -> None:
    """What `ExpertGame` computes for experts as players, in float64: means of such games over points."""
    generator = context.generator()
    places = torch.rand(POINTS, EXPERTS, generator=generator, dtype=torch.float64).argsort(-1)
    values = 2 * torch.rand(POINTS, EXPERTS + 1, generator=generator, dtype=torch.float64) - 1
    case = places, values[:, 1:], values[:, 0]
    order, answers, empty = (part.to(context.device) for part in case)
    found = ExpertGame.of_orders(order, answers, empty).interactions(EXPERT_ORDERS, "SII")
    ensure(experts_match(found, *case, EXPERT_ORDERS, tolerance=SLACK), "experts as players")


def first_available(context: Context) -> Verdict:
    """T7 for every player, every set before it and every S, of up to 6 (8) players, against the definition."""
    ensure(beta_identity(), "the Beta integral")
    ensure(availability_integrals(), "the two integrals")
    largest = 8 if context.full else 6
    table = compared(context, "first available", first_available_holds, [(n,) for n in range(1, largest + 1)])
    _experts(context)
    reason = (
        f"the closed form is the definition's value in all cases of up to {largest} players; "
        f"of {EXPERTS} experts ExpertGame gives it to {SLACK:g} of the largest value"
    )
    return Verdict(Status.PROVED, Evidence.EXACT, reason, total(table), tables={"entries": table})
