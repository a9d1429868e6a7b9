"""Lines of Python for each claim: a small object, and the instrument that measures it (`momlp explain CLAIM`)."""

from __future__ import annotations

DRAWN = """
import math, torch
from constructions.lipschitz_expressiveness import gaussian_mlp
from theory import lipschitz_bounds
from theory.lipschitz_expressiveness.bounds import product_upper, {bound}
for L in (2, 4):
    widths, g = [{inputs}] + [16] * (L - 1) + [4], torch.Generator().manual_seed(0)
    net = gaussian_mlp(widths, sigma={sigma}, generator=g)
    found = lipschitz_bounds(net, method="{method}")
    print(L, math.exp({bound}(widths, {sigma})), found.lower, found.upper, math.exp(product_upper(widths, {sigma})))
"""
METHODS = """
from constructions.lipschitz_expressiveness import table_networks
from momlp import lipschitz_bounds
net = next(iter(table_networks()))
for method in ("branch_and_bound", "patterns", "product"):
    found = lipschitz_bounds(net.module, net.lower, net.upper, method=method)
    print(method, found.lower, found.upper)
"""
POINTS = """
import math, torch
from constructions.lipschitz_expressiveness import gaussian_mlp
from theory.lipschitz_expressiveness.bounds import relu_point, relu_second_moment
widths, sigma, g = [8, 32, 32, 4], (2 / 32) ** 0.5, torch.Generator().manual_seed(0)
x = torch.ones(1, 8).double() / 8**0.5
norms = torch.stack([gaussian_mlp(widths, sigma=sigma, generator=g)(x).norm() for _ in range(500)])
print(float(norms.mean()), math.exp(relu_point(widths, sigma)))  # the first moment at a point, drawn and exact
print(float(norms.square().mean()), math.exp(relu_second_moment(widths, sigma)))
"""

EXAMPLES = {
    "gaussian_norm": """
import torch
from theory.lipschitz_expressiveness.bounds import norm_bounds
for m, n in ((8, 8), (64, 16)):
    G = torch.randn(1000, m, n, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    print(norm_bounds(m, n), float(torch.linalg.matrix_norm(G, 2).mean()))
""",
    "trace_moments": """
import torch
from theory.lipschitz_expressiveness.bounds import trace_moment
G = torch.randn(20000, 3, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
for p in (1, 2, 3):
    traces = torch.linalg.matrix_power(G.mT @ G, p).diagonal(dim1=1, dim2=2).sum(1)
    print(p, trace_moment(3, 2, p), float(traces.mean()))
""",
    "upper_bound": DRAWN.format(bound="product_lower", inputs=4, sigma=0.5, method="product"),
    "relu_point": POINTS,
    "depth": DRAWN.format(bound="relu_point", inputs=2, sigma=0.5, method="auto"),
    "depth_any_weights": """
import math
from theory.lipschitz_expressiveness.bounds import relu_point
for L in (2, 20, 200):  # one input, weights of variance 1/N: Lip is at most twice this mean of slopes
    print(L, math.exp(relu_point([1] + [64] * (L - 1) + [1], 1 / 8)))
""",
    "every_activation": """
import torch
W = [torch.randn(4, 4, dtype=torch.float64) for _ in range(6)]
product = torch.linalg.multi_dot(W)
print(float(torch.linalg.matrix_norm(product, 2)), "for the identity")
print(float(torch.linalg.matrix_norm(product / 2**5, 2)), "for t/2, which is 1-Lipschitz too; and 0 for 0")
""",
    "width": """
import math
from theory.lipschitz_expressiveness.bounds import linear_lower, product_upper
L, bounds = 4, {}
for N in (2**8, 2**18):
    widths = [4] + [N] * (L - 1) + [4]
    bounds[N] = linear_lower(widths, 1.0), product_upper(widths, 1.0)
print([(b - a) / math.log(2**10) for a, b in zip(bounds[2**8], bounds[2**18])])  # exponents of N: (L-1)/2 and L/2
""",
    "slopes": """
import torch
from constructions.lipschitz_expressiveness import gaussian_mlp
from theory.lipschitz_expressiveness.bounds import relu_point
g, x, means = torch.Generator().manual_seed(0), torch.ones(1, 8).double(), {}
for widths in ((8, 32, 8), (8, *[32] * 7, 8)):  # 200 networks of depth 2, and of depth 8
    nets = (gaussian_mlp(widths, sigma=0.5, generator=g) for _ in range(200))
    means[widths] = float(torch.stack([net(x).norm().log() for net in nets]).mean()), relu_point(widths, 0.5)
print([(deep - shallow) / 6 for shallow, deep in zip(*means.values())])  # a layer: drawn, and by the formula
""",
    "he_threshold": POINTS,
    "tent_map": """
import numpy as np
from constructions.lipschitz_expressiveness import tent_map
from momlp import lipschitz_bounds
for d in (2, 6):
    found = lipschitz_bounds(tent_map(d), np.zeros(1), np.ones(1), method="line")
    print(d, found.exact_squared == 4**d, lipschitz_bounds(tent_map(d), method="product").upper / 40 ** (d / 2))
""",
    "product_is_sharp_and_not": """
import numpy as np, momlp
from constructions.lipschitz_expressiveness import all_ones
ones, f = all_ones([4, 8, 8, 2]), momlp.targets.get("cone", n=1)
print(momlp.lipschitz_bounds(ones).lower, momlp.lipschitz_bounds(ones, method="product").upper)
deep = momlp.build_momlp(f, eps=0.1, expert="bit_extraction", resolved=1).expert(0)
slope = momlp.lipschitz_bounds(deep, np.zeros(1), np.ones(1), method="line").upper
print(slope, "and the product of norms: 2 to the", momlp.lipschitz_bounds(deep, method="product").log2_upper)
""",
    "exact_methods": METHODS,
    "sandwich": METHODS,
    "coupled_lipsdp": """
import torch
W, w = torch.tensor([[1.0], [1.0]]), torch.tensor([[1.0, -1.0]])  # relu(x) - relu(x - 1), of slope 1
T = torch.tensor([[1.0, -1.0], [-1.0, 1.0]])  # couples both units
lmi = torch.cat([torch.cat([torch.zeros(1, 1), -W.T @ T], 1), torch.cat([-T @ W, 2 * T - w.T @ w], 1)])  # rho = 0
print(torch.linalg.eigvalsh(lmi))  # none is negative: the inequality would say Lip = 0
""",
    "controller": """
import torch
from constructions.lipschitz_expressiveness import two_unit_controller
from momlp import Measure, lipschitz_bounds
A, B = torch.tensor([[1.0, 0.1], [0.0, 1.0]]).double(), torch.tensor([[0.005], [0.1]]).double()
P = torch.tensor([[17.83493132, 10.01249220], [10.01249220, 17.85658646]]).double()
net = two_unit_controller(torch.tensor([0.91707456, 1.63559619]).double())
print(lipschitz_bounds(net, method="patterns", measure=Measure.closed_loop(A, B, P)).upper)  # below 1
""",
    "pencils": """
import momlp
model = momlp.build_momlp(momlp.targets.get("cone", n=2), eps=0.05)
expert = model.expert(0)
print(momlp.lipschitz_bounds(expert).upper)  # at most 1, the constant of the target
print(momlp.lipschitz_bounds(expert, method="product").upper, "<=", 2 * model.plan.knots)
""",
    "bit_extraction": """
import torch, momlp
model = momlp.build_momlp(momlp.targets.get("cone", n=2), eps=0.05, expert="bit_extraction", resolved=2)
x = torch.rand(200, 2, dtype=torch.float64, requires_grad=True)
(slopes,) = torch.autograd.grad(model.expert(0)(x).sum(), x)
K, step = model.plan.network.cells, model.plan.step
print(float(slopes.norm(dim=1).min()), float(slopes.norm(dim=1).max()), 2**0.5 * step * K)
""",
    "mixture": """
import torch, momlp
model = momlp.build_momlp(momlp.targets.get("cone", n=2), eps=0.1)
face = 1 / model.plan.cells[0]
x = torch.tensor([[face, 0.9], [face + 2**-40, 0.9]], dtype=torch.float64)
print(model.route(x).tolist(), float((model(x)[1] - model(x)[0]).abs() / 2**-40))  # far above lambda = 1
""",
    "ginibre": """
import torch
from theory.lipschitz_expressiveness.bounds import ginibre_limit
for N in (16, 64, 256):
    W = torch.randn(20, 3, N, N, generator=torch.Generator().manual_seed(0), dtype=torch.float64) / N**0.5
    print(N, float(torch.linalg.matrix_norm(W[:, 2] @ W[:, 1] @ W[:, 0], 2).mean()), "tends to", ginibre_limit(3))
""",
}
