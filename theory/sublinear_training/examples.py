"""Lines of Python for each claim: a small object, and the instrument that measures it (`momlp explain CLAIM`)."""

from __future__ import annotations

TRAINED = """
import torch
from constructions.sublinear_training import GaussNewtonTrainer, ShiftedReLUNetwork, random_signs, unit_sphere
g = torch.Generator().manual_seed(5)
x, y = unit_sphere(32, 16, generator=g), {labels}random_signs(32, generator=g)
net = ShiftedReLUNetwork.from_seed(16, 4096, seed=0)
trainer = GaussNewtonTrainer(net, x, y, method="lazy")
{then}
"""
SHIFTED = """
from theory.sublinear_training.bounds import Firing
for m in (2**10, 2**20, 2**40, 2**80):
    firing = Firing(m, 0.24)
    print(m, firing.expected, firing.exponent)  # units that fire, and the exponent, which tends to 0.76
"""
RESIDUALS = TRAINED.format(labels="", then="print(trainer.fit().residuals)")

EXAMPLES = {
    "forest_query": """
import torch
from constructions.sublinear_training import MaxTreeForest
keys = torch.randn(1000, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
found = MaxTreeForest(keys).query(2.0)
print(torch.equal(torch.stack([found.neurons, found.points], 1), (keys > 2).nonzero()))  # True
""",
    "visits": """
import torch
from constructions.sublinear_training import MaxTreeForest
from theory.sublinear_training.bounds import least_ancestors, most_ancestors
keys = torch.zeros(1024, 1, dtype=torch.float64).index_fill(0, torch.randperm(1024)[:8], 1.0)
forest = MaxTreeForest(keys)
print(1 + 2 * least_ancestors(8, 10), int(forest.visits(forest.query(0.5))), 1 + 2 * most_ancestors(8, 10))
""",
    "expected_visits": """
import torch
from constructions.sublinear_training import MaxTreeForest
from theory.sublinear_training.bounds import expected_visits
forest = MaxTreeForest(torch.rand(1024, 200, generator=torch.Generator().manual_seed(0), dtype=torch.float64))
print(float(forest.visits(forest.query(0.99)).sum()) / 200, "expected", expected_visits(1024, 0.01))
""",
    "identities": """
from fractions import Fraction
from theory.sublinear_training.checkers.exact_training import ExactTrainer
points = [(Fraction(3, 5), Fraction(4, 5)), (1, 0)]
trainer = ExactTrainer([(2, 1), (0, 3), (1, 1)], [1, -1, 1], points, [1, -1], Fraction(1, 2), 1, method="lazy")
step = trainer.step()
print(step.residual, step.fired, step.squared_movement)  # rationals
""",
    "fired_sets": TRAINED.format(
        labels="",
        then="""fired = trainer.fired()
from theory.sublinear_training.checkers.fired_set import fired_set_eq
print(fired_set_eq(net.weight, x, net.bias, (fired.neurons, fired.points)).holds)  # True""",
    ),
    "same_training": TRAINED.format(
        labels="",
        then="""dense = ShiftedReLUNetwork.from_seed(16, 4096, seed=0)
_ = trainer.fit(), GaussNewtonTrainer(dense, x, y, method="dense").fit()
print(float((net.weight - dense.weight).abs().max()) <= 1e-12)  # True""",
    ),
    "fired_count": """
from constructions.sublinear_training import ShiftedReLUNetwork, unit_sphere
from theory.sublinear_training.bounds import Firing
x, net = unit_sphere(200, 16), ShiftedReLUNetwork.from_seed(16, 4096, seed=0)
fired = (net.pre_activations(x) > net.bias).sum(1)
print(float(fired.double().mean()), "fire at a point, expected", Firing(4096, 0.24).expected)
""",
    "sparsity_exponent": SHIFTED,
    "sparsity_exponent_attained": SHIFTED,
    "contraction": RESIDUALS,
    "contraction_any_labels": TRAINED.format(labels="100 * ", then="print(trainer.fit().residuals)"),
    "smallest_eigenvalue": TRAINED.format(
        labels="",
        then="""from theory.sublinear_training.checkers.steps import Problem, look
seen = look(net.weight, Problem(net.signs, x, y, net.bias))
print(float(torch.linalg.eigvalsh(seen.gram)[0]), ">=", seen.private / net.width)  # units that fire at one point""",
    ),
    "limit_gram": """
from fractions import Fraction
from constructions.sublinear_training import rational_circle
from theory.sublinear_training.checkers.enclosed_gram import enclosed_limit_gram, positive_definite, quoted_bound
points, m, alpha = rational_circle([0, 1, Fraction(1, 2)]), 2**10, Fraction(6, 25)
print(positive_definite(enclosed_limit_gram(points, m, alpha), quoted_bound(points, m, alpha)))  # True
""",
    "distinct_points": """
import torch
from constructions.sublinear_training import ShiftedReLUNetwork, unit_sphere
from theory.sublinear_training.checkers.steps import Problem, look
(a, b), net = unit_sphere(2, 16), ShiftedReLUNetwork.from_seed(16, 4096, seed=0)
for x in (torch.stack([a, -a, b]), torch.stack([a, a, b])):  # an antipode, and a point twice
    seen = look(net.weight, Problem(net.signs, x, torch.ones(3).double(), net.bias))
    print(torch.linalg.eigvalsh(seen.gram))
""",
    "lazy_refreshes": TRAINED.format(
        labels="",
        then="""print([(s.measured.refreshed, s.squared_movement) for s in trainer.fit().steps])  # units keyed anew""",
    ),
    "operations": TRAINED.format(
        labels="",
        then="""dense = GaussNewtonTrainer(ShiftedReLUNetwork.from_seed(16, 4096, seed=0), x, y, method="dense")
print(trainer.step().operations["total"], "lazy,", dense.step().operations["total"], "dense")""",
    ),
    "small_data_regime": """
import torch
from constructions.sublinear_training import GaussNewtonTrainer, ShiftedReLUNetwork, random_signs, unit_sphere
for n in (8, 16):  # m = n^3
    x, y = unit_sphere(n, 16), random_signs(n)
    for method in ("dense", "eager", "lazy"):
        net = ShiftedReLUNetwork.from_seed(16, n**3, seed=0, alpha=0.1)
        print(n, method, GaussNewtonTrainer(net, x, y, method=method).step().operations["total"])
""",
    "width_hypothesis": """
from fractions import Fraction
from theory.sublinear_training.bounds import width_needed
for alpha in (Fraction(1, 100), Fraction(1, 5), Fraction(6, 25)):
    print(alpha, "needs m >= (2n) to the power", width_needed(100, alpha))
""",
}
