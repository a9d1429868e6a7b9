"""Lines of Python for each claim: a small object, and the instrument that measures it (`momlp explain CLAIM`)."""

from __future__ import annotations

ARCHITECTURES = """
from constructions.vc_dimension import largest_set, mixture
from theory.vc_dimension.bounds import Architecture, vc_upper_flat, vc_upper_tree
from theory.vc_dimension.checkers import certified
found = certified(mixture(largest_set(2, 1, 4).build(), 8))  # 8 experts on the plane, 4 units each
print(found.points, found.failure)  # 72 None
print(vc_upper_flat(Architecture(2, 1, 4), 8), vc_upper_tree(Architecture(2, 1, 4), 8))
"""
WIDTHS = """
from constructions.vc_dimension import one_hidden_layer
from theory.vc_dimension.checkers import certified
for W in (2, 8, 32):  # n = W, L = J = 1: the width reading says about W
    print(W, certified(one_hidden_layer(W, W)).points)  # W^2 + 1
"""

EXAMPLES = {
    "one_hidden_layer": """
from constructions.vc_dimension import one_hidden_layer
from theory.vc_dimension.checkers import shattered_exhaustively
found = shattered_exhaustively(one_hidden_layer(n=2, width=4))  # every labeling gets its own network
print(found.points)  # 9
print(found.labelings)  # 512
print(found.failure)  # None
""",
    "deep": """
from constructions.vc_dimension import deep, two_hidden_layers
from theory.vc_dimension.checkers import certified, shattered_exhaustively
print(shattered_exhaustively(two_hidden_layers(side=3)).points)  # 9
print(certified(deep(side=4, blocks=4, bits=8)).points)  # 512
""",
    "routing_only": """
from constructions.vc_dimension import routing_only
from theory.vc_dimension.checkers import shattered_exhaustively
found = shattered_exhaustively(routing_only(n=2, experts=5))  # constant answers, nearest prototype
print(found.points)  # 9
print(found.failure)  # None
""",
    "mixture": """
from constructions.vc_dimension import mixture, one_hidden_layer
from theory.vc_dimension.checkers import shattered_exhaustively
found = shattered_exhaustively(mixture(one_hidden_layer(1, 2), experts=4))
print(found.points)  # 12
print(found.failure)  # None
""",
    "bounds": ARCHITECTURES,
    "finite": ARCHITECTURES,
    "routing_term": """
from theory.vc_dimension import enclosed
from theory.vc_dimension.bounds import clean_flat
n, L, d = 3, 64, 100
print(clean_flat(n, L, d))  # 5.3 L (d + (n + 1) log 2L)
print(enclosed.at_most(enclosed.flat(n, L, enclosed.sauer(d)), enclosed.clean_flat(n, L, d), "here").holds)  # True
""",
    "tree_router": """
from theory.vc_dimension.bounds import clean_flat, clean_tree, tree_factor
print(tree_factor(2))  # the factor of L d, for trees of valency 2
for L in (2**6, 2**12, 2**24):
    print(L, clean_tree(3, L, 10) / L, clean_flat(3, L, 10) / L)  # an expert's share: constant, and with a log
""",
    "width_reading": WIDTHS,
    "weights_reading": """
from theory.vc_dimension import enclosed
from theory.vc_dimension.bounds import Architecture, closed_flat, vc_upper_flat
a = Architecture(n=4, depth=2, width=8)
print(a.weights, vc_upper_flat(a, 16), closed_flat(a, 16))
print(enclosed.closed_form_holds(a, 16, "here").holds)  # True
""",
    "width_condition": """
from constructions.vc_dimension import largest_set
for n, J, W in ((3, 1, 16), (3, 8, 16), (3, 32, 64)):
    Q = J * (n * W + (J - 1) * W**2)
    print(n, J, W, Q, largest_set(n, J, W).points / Q)  # a constant share of Q
""",
    "single_mlp_lower_bound": """
from theory.vc_dimension.bounds import grid_points, parameters_of_single_mlp
for eps in (0.1, 0.01, 0.001):
    print(eps, grid_points(2, eps), "points need", parameters_of_single_mlp(2, eps), "parameters")
""",
}
