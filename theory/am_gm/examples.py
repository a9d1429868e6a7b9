"""Lines of Python for each claim: a small object, and the instrument that measures it (`momlp explain CLAIM`)."""

from __future__ import annotations

CERTIFICATES = """
from constructions.am_gm import certificate_path
from theory.am_gm.checkers import verify_certificate
for side in ("upper", "lower"):
    report = verify_certificate(certificate_path("{name}_" + side))
    print(side, report.words, "words,", report.g_rank, "of", report.size, "pivots,", report.proves_inequality)
"""
NESTED = """
import torch
from momlp import am_gm_ratio
from constructions.am_gm import random_matrices
A = random_matrices("wishart", 5, 3, count=2000, generator=torch.Generator().manual_seed(0))
print(float(am_gm_ratio(A, 5, nested=True).max()), "at most, nested;", float(am_gm_ratio(A, 5).max()), "plain")
"""
DE_SA = """
from fractions import Fraction
from momlp import de_sa_family
from theory.am_gm.bounds import de_sa_mean
from theory.am_gm.checkers import compare_means
print(compare_means(de_sa_family(5, Fraction(1, 2), exact=True), 5).failure)
print([(n, float(de_sa_mean(n, Fraction(1, 2), n).norm)) for n in (5, 6, 7)])  # above 1: false
"""

EXAMPLES = {
    "two_forms": """
from theory.am_gm.bounds import block_weight
from theory.am_gm.checkers import compare_means
from momlp import de_sa_family
for n, k in ((5, 3), (5, 5)):
    print(n, k, compare_means(de_sa_family(n, exact=True), k).failure)  # None where it holds
print([block_weight(2, 3, k) for k in (1, 2, 3)])  # how often k indices lie in the blocks
""",
    "pairs": """
import torch
from momlp import am_gm_ratio
from constructions.am_gm import random_matrices
for n in (2, 5, 20):
    A = random_matrices("wishart", n, 3, count=500, generator=torch.Generator().manual_seed(0))
    print(n, float(am_gm_ratio(A, 2).max()))  # at most 1
""",
    "three": CERTIFICATES.format(name="n3m3"),
    "four": CERTIFICATES.format(name="n4m4"),
    "certified_pairs": CERTIFICATES.format(name="n5m3"),
    "five": DE_SA,
    "from_five_on": DE_SA,
    "three_by_three": """
from constructions.am_gm import float_matrices, integer_counterexample
from momlp import am_gm_ratio
from theory.am_gm.checkers import compare_means
print(compare_means(integer_counterexample(), 5).failure)
print(float(am_gm_ratio(float_matrices(integer_counterexample()), 5)))
""",
    "five_constant": """
from constructions.am_gm import shipped_certificates, certificate_path
from theory.am_gm.checkers import verify_certificate
for name in shipped_certificates():
    if name.startswith("n5m5"):
        report = verify_certificate(certificate_path(name))
        print(name, report.holds, report.bound, "the inequality has", 120)
""",
    "random_iid": """
from theory.am_gm.bounds import mean_with, mean_without
print("without", mean_without(3, "wishart"))
print("with   ", mean_with(3, "wishart"))  # polynomials in n and d, as multiples of the identity
""",
    "mean_square": NESTED,
    "norms_inside": """
import itertools, torch
from constructions.am_gm import random_matrices
(A,) = random_matrices("wishart", 4, 3, generator=torch.Generator().manual_seed(0))
norm = lambda t: float(torch.linalg.matrix_norm(torch.linalg.multi_dot([A[i] for i in t]), 2))
distinct = [norm(t) for t in itertools.permutations(range(4), 3)]
every = [norm(t) for t in itertools.product(range(4), repeat=3)]
print(sum(distinct) / len(distinct), "<=", sum(every) / len(every))
""",
    "least_squares": """
import torch
from constructions.am_gm import LeastSquares, example_rows, sampling_rates, simulate_sampling
A, e0 = LeastSquares(example_rows()).kaczmarz(), torch.ones(3).double()
for again in (False, True):
    print(simulate_sampling(A, e0, 3, 5000, replacement=again, generator=torch.Generator().manual_seed(0)).mean)
print(sampling_rates(A, 3).square_without, sampling_rates(A, 3).square_with)  # exact: without, and with
""",
    "mean_against_square": """
from fractions import Fraction
from theory.am_gm.bounds import de_sa_mean, de_sa_square
print(abs(de_sa_mean(5, Fraction(1, 2), 5).ones) / 2**5, "in the mean, against", Fraction(1, 32))
without, repeated = (de_sa_square(5, Fraction(1, 2), 5, replacement=r).norm for r in (False, True))
print(float(without / repeated), "in mean square")
""",
}
