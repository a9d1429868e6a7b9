"""Lines of Python for each claim: a small object, and the instrument that measures it (`momlp explain CLAIM`)."""

from __future__ import annotations

CERTIFIED = """
import momlp
f = momlp.LipschitzFunction.from_sympy("sin(2*pi*x0)*x1", n=2)
model = momlp.build_momlp(f, eps=0.1)
certificate = momlp.certify_uniform_error(model, f, eps=0.1)
print(certificate.status.value, certificate.reason)
"""
COUNTED = """
import momlp
f = momlp.targets.get("sum_of_sines", n=2)
model = momlp.build_momlp(f, eps=0.05)
K, n, m = model.plan.knots, f.n, f.m
print(momlp.parameter_count_eq(model, {"active": K * (n + 1 + m) + m}).equal)  # True
"""
PLANNED = """
import momlp
f = momlp.targets.get("sum_of_sines", n=3)
for eps in (2**-6, 2**-8, 2**-10):
    plan = momlp.plan(f, eps)
    print(eps, plan.leaves * eps**2, plan.parameters * eps, plan.total_parameters * eps**3)
"""

EXAMPLES = {
    "uniform_error": CERTIFIED,
    "variants": """
import momlp
f = momlp.LipschitzFunction.from_sympy("abs(x0 - 1/3) + x1", n=2)
for options in ({"activation": "prelu"}, {"expert": "constant"}, {"valency": 3}):
    model = momlp.build_momlp(f, eps=0.2, **options)
    print(options, momlp.certify_uniform_error(model, f, eps=0.2).status.value)
""",
    "uniform_error_n10": """
import torch, momlp
f = momlp.targets.get("sum_of_sines", n=10)
model = momlp.build_momlp(f, eps=0.1, lazy=True)  # experts are built when a point asks for them
x = torch.rand(1000, 10, dtype=torch.float64)
print(model.plan.leaves, float((model(x) - f(x)).abs().max()) <= 0.1)
""",
    "certificate_tightness": """
import momlp
f = momlp.targets.get("cone", n=2)
sharp = momlp.targets.sharp(momlp.plan(f, 0.1))  # the target on which the bound is attained
found = momlp.certify_uniform_error(momlp.build_momlp(sharp, eps=0.1), sharp, eps=0.1, gap=1e-4)
print(found.lower, found.upper, sharp.name)
""",
    "sharpness": """
import momlp
plan = momlp.plan(momlp.targets.get("cone", n=2), 0.1)
sharp = momlp.targets.sharp(plan)  # the distance from the nodes
model = momlp.build_momlp(sharp, eps=0.1)
print(float(model.out_weight.abs().max()), plan.error_bound)  # it answers 0, so its error is the bound
""",
    "lying_modulus": """
import momlp
honest, lie = (momlp.lipschitz_constant_le("sin(3*x0)", c, n=1) for c in (3.0, 2.7))
print(honest.status.value)  # CERTIFIED
print(lie.status.value)  # REFUTED
print(lie.witness)
""",
    "active_parameters": COUNTED,
    "slopes": PLANNED,
    "forward_pass_load": """
import momlp
plan = momlp.plan(momlp.targets.get("sum_of_sines", n=3), 0.01)
model_loads, height = plan.forward_pass_parameters, plan.tree.height
print(model_loads == plan.parameters + plan.n * plan.tree.max_path_children(), height)
""",
    "trade_off": PLANNED,
    "curse_of_dimensionality": PLANNED,
}
