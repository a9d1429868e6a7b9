"""Lines of Python for each claim: a small object, and the instrument that measures it (`momlp explain CLAIM`)."""

from __future__ import annotations

OPERATORS = """
from theory.shapley_interactions.checkers.theorems import {check}
found = {check}(*{sizes})  # operators on all games of so many players, in rationals
print(found.compared, "numbers compared,", found.failure)
"""
EXAMPLES = {
    "index_forms": OPERATORS.format(check="forms_agree", sizes="(5, 2)"),
    "split_wls": OPERATORS.format(check="split_holds", sizes="(6, 3)"),
    "direct_wls": OPERATORS.format(check="direct_holds", sizes="(5, 2)"),
    "direct_wls_order3": OPERATORS.format(check="direct_holds", sizes="(6, 3)"),
    "constrained_wls": OPERATORS.format(check="constrained_holds", sizes="(5, 2)"),
    "k_sii": OPERATORS.format(check="k_sii_holds", sizes="(5,)"),
    "paired_exact": """
import torch
from constructions.shapley_interactions import SumOfUnanimity, explain
game = SumOfUnanimity(8, 20, torch.Generator().manual_seed(0), degree=3)
found = explain(game, order=2, index="SII", budget=100, generator=torch.Generator().manual_seed(0))
exact = explain(game, order=2, index="SII")
print(found.evaluations, "of 256 coalitions, off by", float((found.order(2) - exact.order(2)).abs().max()))
""",
    "first_available": OPERATORS.format(check="first_available_holds", sizes="(5,)"),
    "consistency": """
import torch
from constructions.shapley_interactions import TableGame, explain
from theory.shapley_interactions.checkers.estimates import interactions_match
values = torch.rand(2**8, dtype=torch.float64)
found = explain(TableGame(values), order=2, budget=2**8)
print(interactions_match(found, values, "k-SII", 2, tolerance=1e-10).worst <= 1e-10)  # True
""",
    "budget": """
import torch
from constructions.shapley_interactions import SumOfUnanimity, explain
game = SumOfUnanimity(10, 30, torch.Generator().manual_seed(0))
exact = explain(game, order=2).order(2)
for budget in (128, 256, 512):
    found = explain(game, order=2, budget=budget, generator=torch.Generator().manual_seed(0)).order(2)
    print(budget, float((found - exact).square().mean()))
""",
}
