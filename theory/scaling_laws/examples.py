"""Lines of Python for each claim: a small object, and the instrument that measures it (`momlp explain CLAIM`)."""

from __future__ import annotations

CURVES = """
import torch
from constructions.scaling_laws import fit_curves
from constructions.scaling_laws.curves import {curves}
chosen = [c for c in {curves}(){chosen}]
fitted = [(c.sizes[~c.held_out], c.errors[~c.held_out]) for c in chosen]
for c, law, (n, e) in zip(chosen, fit_curves(*zip(*fitted)), fitted):
    print(c.name, "law", float(law(c.sizes[-1:, None])), "last value", float(e[-1]), "measured", float(c.errors[-1]))
"""
STUDENTS = """
from constructions.scaling_laws.students import ReLUTarget, train_students
from constructions.scaling_laws.training import Schedule
teacher = ReLUTarget({teacher}, seed=0)
grid = train_students(teacher, {widths}, {sizes}, [0], inputs=8, schedule=Schedule(200))
print(grid.mean)  # errors: a row a width, a column a number of examples
"""
PRUNED = """
from constructions.scaling_laws.pruning import pruned_teacher_students, teacher_classes
from constructions.scaling_laws.training import Schedule
data = teacher_classes([0], 500, test=500)
curve = pruned_teacher_students(data, [8, 16], 2, [0], Schedule(100))
print(curve.densities[::4].T, curve.errors[::4].T)  # of the narrow and the wide network, round by round
"""
SHAPE = """
import torch
from constructions.scaling_laws.pruning_law import PruningLaw
law, low = PruningLaw(high=0.9, gamma=1.5, p=0.1), 0.05
d = torch.logspace(-4, 1, 2001).double()
slopes = torch.diff(law(d, 1.0, 1.0, low).log()) / torch.diff(d.log())
print(float(slopes.min()), law.steepest_slope(low), "which is above", -law.gamma)
"""

EXAMPLES = {
    "redundant_constant": """
import torch
from constructions.scaling_laws import ScalingLaw
sizes = torch.tensor([[64.0, 4.0], [1024.0, 32.0]]).double()
for k in (1.0, 7.0):  # a, b, c and eta of the law with seven constants, all times k: A = a/eta, and so on
    eta = 0.5 * k
    print(ScalingLaw((8 * k / eta, 4 * k / eta), (0.5, 1.0), 0.02 * k / eta, 1.0)(sizes))
""",
    "planning": """
from constructions.scaling_laws import ScalingLaw
law = ScalingLaw(coefficients=(8.0, 4.0), exponents=(0.5, 1.0), constant=0.02, chance=1.0)
print(law.needed(0, 0.1, {1: 64.0}))  # examples for an error of 0.1 at model size 64
print(law.cheapest(0.1))  # the sizes of least product
print(law.needed(0, 0.02, {1: 64.0}))  # inf
""",
    "recovery": """
import torch
from constructions.scaling_laws import ScalingLaw, fit_scaling_law
law = ScalingLaw((8.0, 4.0), (0.5, 1.0), 0.02, 1.0)
sizes = torch.cartesian_prod(2.0 ** torch.arange(6, 11), 2.0 ** torch.arange(2, 6)).double()
errors = law(sizes) * (1 + 0.02 * torch.randn(len(sizes), generator=torch.Generator().manual_seed(0)).double())
far, fit = torch.tensor([[8192.0, 256.0]]).double(), fit_scaling_law(sizes, errors, chance=1.0, resamples=0)
print(float(fit.law(far)), "fitted,", float(law(far)), "true")
""",
    "language_models": """
import math
from constructions.scaling_laws import deviation_of, fit_scaling_law
from constructions.scaling_laws.curves import language_models
for runs in language_models():
    fit = fit_scaling_law(runs.sizes, runs.losses, held_out=runs.held_out, chance=math.log(50432), resamples=0)
    far = runs.held_out
    print(runs.training_set, deviation_of(fit.law(runs.sizes[far]) / runs.losses[far] - 1).mean_abs)
""",
    "learning_curves": CURVES.format(curves="learning_curves", chosen="[:200:40]"),
    "better_than_last_value": CURVES.format(curves="learning_curves", chosen="[20:220:40]"),
    "translation": CURVES.format(curves="translation_curves", chosen=""),
    "trained_grid": STUDENTS.format(teacher="(8, 32, 1)", widths="[4, 8, 16]", sizes="[64, 256, 1024]"),
    "realizable_teacher": STUDENTS.format(teacher="(8, 12, 12, 1)", widths="[12, 24]", sizes="[64, 256, 1024]"),
    "realizable_error": STUDENTS.format(teacher="(8, 12, 1)", widths="[12, 24]", sizes="[64, 256, 1024]"),
    "pruning_shape": SHAPE,
    "pruning_slope_is_gamma": SHAPE,
    "pruning": PRUNED,
    "nyquist_recovery": """
from theory.scaling_laws.checkers.finite_field import recovers
for n in (5, 6, 7, 8):  # bandwidth 3: 2K + 1 = 7 coefficients
    print(n, recovers(3, n).holds)
""",
    "nyquist_jump": """
from theory.scaling_laws.bounds import average_error, worst_case_error
for n in (10, 20, 21):  # bandwidth 10: D = 21
    print(n, "samples: worst case", worst_case_error(n, 10), "average", average_error(n, 10))
""",
    "nyquist_noise": """
from theory.scaling_laws.bounds import noise_error, noise_error_interpolating
from theory.scaling_laws.checkers.cyclotomic import gram_is_scalar
print(gram_is_scalar(9, 2).holds)  # True
for n in (25, 100, 1000):
    print(n, noise_error(n, 2), noise_error_interpolating(n))  # bandwidth known, and not
""",
    "nyquist_bandwidth": """
from fractions import Fraction
from constructions.scaling_laws.nyquist import circle_basis
from theory.scaling_laws.checkers.rational_nodes import least_degree
nodes = [Fraction(j, 3) for j in range(-4, 5)]  # nine points of the circle
print(least_degree([(t,) for t in nodes], [circle_basis(2, t)[3] for t in nodes], 4))  # 2
""",
    "spline_rate": """
from theory.scaling_laws.bounds import spline_error
from theory.scaling_laws.checkers.spline import measured_error
for n in (8, 16, 32):
    print(n, measured_error({1: (2**0.5, 0.0)}, n), spline_error(1 / n), spline_error(1 / n) * n**4)
""",
    "shallow_lower_bound": """
import momlp
from theory.scaling_laws.bounds import shallow_lower_bound
from theory.scaling_laws.checkers.shallow import squared_error
model = momlp.build_momlp(momlp.LipschitzFunction.from_sympy("x0**2", n=1), eps=0.02)
units = model.plan.knots
print(squared_error(model.expert(0), lambda x: x**2, 0, 1), ">=", shallow_lower_bound(2, 1, units))
""",
    "nyquist_against_relu": """
import torch
from constructions.scaling_laws.nyquist import NyquistLearner
f = lambda x: torch.cos(4 * torch.pi * x[:, 0]) * torch.sin(2 * torch.pi * x[:, 1])
x = torch.cartesian_prod(torch.arange(5).double(), torch.arange(5).double()) / 5  # D = 25 nodes
learner, far = NyquistLearner(2, 2).fit(x, f(x)), torch.rand(1000, 2).double()
print(float((learner.predict(far).flatten() - f(far)).square().mean()) < 1e-24)  # True
""",
    "bandwidth_of_real_data": """
from constructions.scaling_laws.nyquist import exact_recovery
found = exact_recovery(2, nodes=[0, 1, 2, 3, -1], values=[3, 1, 4, 1, 5])  # any five numbers are of bandwidth 2
print(found.consistent)  # True
print(found.coefficients)
""",
}
