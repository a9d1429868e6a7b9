"""Lines of Python for each claim: a small object, and the instrument that measures it (`momlp explain CLAIM`)."""

from __future__ import annotations

COUNTED = """
import momlp
from theory.bit_extraction.bounds import closed_parameters
model = momlp.build_momlp(momlp.targets.get("cone", n=1), eps=0.001, expert="bit_extraction", resolved=1)
d = model.plan.network
print(momlp.parameter_count_eq(model, {"active": closed_parameters(1, d.J, d.m, d.header)}).equal)  # True
"""
RATES = """
from theory.bit_extraction.bounds import cheapest, needed_cells, trade_off_point
from theory.vc_dimension.bounds import parameters_of_single_mlp
for inverse_eps in (10**2, 10**4, 10**6):
    P, *design = cheapest(1, needed_cells(1, inverse_eps))  # words of any length
    print(inverse_eps, P, P / inverse_eps**0.5, "at least", parameters_of_single_mlp(1, 1 / inverse_eps))
"""

EXAMPLES = {
    "exact_realisation": """
import momlp
from theory.exact import evaluate_network
model = momlp.build_momlp(momlp.targets.get("cone", n=1), eps=0.01, expert="bit_extraction", resolved=1)
print(evaluate_network(model.expert(0), [1 / 2]))  # the rational that the stored weights answer
print(model.target.name, abs(float(evaluate_network(model.expert(0), [1 / 2])[0]) - 1 / 6) <= 0.01)
""",
    "parameters": COUNTED,
    "uniform_error": """
import momlp
f = momlp.targets.get("cone", n=1)
model = momlp.build_momlp(f, eps=0.01, expert="bit_extraction", resolved=1, lookup="wide")
found = momlp.certify_uniform_error(model, f, eps=0.01)
print(found.status.value, found.reason)
""",
    "adversarial_error": """
import torch, momlp
f = momlp.targets.get("cone", n=1)
model = momlp.build_momlp(f, eps=0.01, expert="bit_extraction", resolved=1)
folds = torch.arange(model.plan.network.cells + 1).double()[:, None] / model.plan.network.cells
x = torch.cat([folds + off for off in (-1e-9, 0, 1e-9)]).clamp(0, 1)  # nodes, and beside them
print(float((model(x) - f(x)).abs().max()) <= 0.01)  # True
""",
    "word_length": """
import torch
from constructions.bit_extraction import word_cap
for dtype in (torch.float64, torch.float32):
    print(dtype, word_cap("deep", dtype), word_cap("wide", dtype))  # bits of a word that are decoded exactly
""",
    "rate": RATES,
    "trade_off": """
from fractions import Fraction
from theory.bit_extraction.bounds import trade_off_constant, trade_off_point
for k in (1, 2):
    L, P = trade_off_point(2, k, 10**6, Fraction(k, 2))  # experts, and parameters of each, at eps = 1e-6
    print(k, L, P, L * P**2 / 10**12, "tends to", trade_off_constant(2, k))
""",
}
