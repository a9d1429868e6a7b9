"""Lines of Python for each claim: a small object, and the instrument that measures it (`momlp explain CLAIM`)."""

from __future__ import annotations

ROUTED = """
import torch
from momlp import PathwayTree
tree = PathwayTree((87, 87))
z = 87 * torch.rand(1000, 2, dtype=torch.float64)  # in lattice units
print(torch.equal(tree.route(z), tree.nearest_leaf(z)))  # True
"""

EXAMPLES = {
    "nearest_prototype": ROUTED,
    "router_agreement": """
import torch
from momlp import Lattice, Box, PathwayTree
lattice, tree = Lattice(Box.of(None, 2), (7, 7), 0), PathwayTree((7, 7))
z = torch.cartesian_prod(torch.arange(8.0), torch.arange(8.0)).double()  # corners of cells: ties everywhere
print(torch.equal(lattice.index(z), tree.route(z)))  # True
print(torch.equal(tree.nearest_leaf(z), tree.route(z)))  # True
""",
    "covering_net": """
import numpy as np
from momlp import PathwayTree
x = np.random.default_rng(0).random((500, 2))
tree = PathwayTree.from_points(x, delta=0.1)
leaves = tree.leaf_prototypes.numpy()
print(np.linalg.norm(x[:, None] - leaves, axis=2).min(1).max() <= 0.1)  # True
""",
    "intrinsic_dimension": """
import numpy as np
from momlp import PathwayTree
t = np.linspace(0, 2 * np.pi, 4000, endpoint=False)
circle = np.cos(t[:, None] - np.arange(10)) / np.sqrt(5)  # isometric to the unit circle, in R^10
few, many = (PathwayTree.from_points(circle, delta=d).num_leaves for d in (0.2, 0.1))
print(few, many, np.log2(many / few))  # the slope is that of a curve, 1
""",
}
