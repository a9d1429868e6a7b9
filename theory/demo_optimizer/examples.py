"""Lines of Python for each claim: a small object, and the instrument that measures it (`momlp explain CLAIM`)."""

from __future__ import annotations

COMPARED = """
import torch
from theory.demo_optimizer.training import Method, train
for method in ({methods}):
    found = train("{task}", method, ((0, {rate}),), torch.device("cpu"))  # one seed; a rate that nobody tuned
    print(method, "validation loss", found.loss[0])
"""
DEMO_AND_ADAMW = 'Method("adamw"), Method("demo", k=32)'
RANKED = """
import torch
from constructions.demo_optimizer import DeMo, payload
model = torch.nn.Linear(64, 64)
optimizer = DeMo(model.parameters(), lr=1e-3, topk=8)  # under torchrun, after init_process_group: all ranks together
model(torch.randn(16, 64)).square().mean().backward()
optimizer.step()
print(optimizer.last_step, payload([p.shape for p in model.parameters()], topk=8))
"""
STEPPED = """
import torch
from constructions.demo_optimizer import SimulatedDeMo
p = torch.zeros(2, 2, requires_grad=True)
optimizer = SimulatedDeMo([p], workers=2, lr=0.5, decay=0.5, topk={topk}, transform="hadamard")
g = [torch.tensor([[8.0, 4.0], [2.0, 0.0]]), torch.tensor([[0.0, 2.0], [-4.0, 8.0]])]
optimizer.step([[g[0]], [g[1]]])
print({shown})
"""

EXAMPLES = {
    "payload": """
from constructions.demo_optimizer import payload
sent = payload([(64, 64)], topk=8, index_bytes=8, value_bytes=4, gradient_bytes=2)
print(sent.bytes)  # 96
print(sent.ratio)  # 256/3
""",
    "payload_measured": RANKED,
    "wire": """
from constructions.demo_optimizer import break_even, wire
for workers in (2, 64, 171):
    print(workers, wire(payload=96, dense=8192, workers=workers).ratio)  # over the link, on a ring
print(break_even(96, 8192))  # 512/3
""",
    "conservation": STEPPED.format(
        topk=1, shown='"kept", optimizer.residual(p, 0).tolist(), "of", (0.5 * g[0]).tolist()'
    ),
    "full_topk_is_signsgd": STEPPED.format(
        topk=4, shown='"sign descent:", torch.equal(p, -0.5 * torch.sign(g[0] + g[1]))'
    ),
    "contraction": """
import torch
from constructions.demo_optimizer import compress, decompress
x = torch.randn(64, 64, dtype=torch.float64)
for k in (32, 1024):
    rest = x - decompress(compress(x, topk=k))
    print(k, float(rest.square().sum() / x.square().sum()), "<=", 1 - k / 4096)
""",
    "controlled_divergence": STEPPED.format(
        topk=1, shown="float((optimizer.residual(p, 0) - optimizer.residual(p, 1)).norm())"
    ),
    "workers_agree": """
import torch
from theory.demo_optimizer.checkers.slow import SlowDeMo, same_parameters
from constructions.demo_optimizer import SimulatedDeMo
p, slow = torch.zeros(8, 8).double().requires_grad_(), SlowDeMo([torch.zeros(8, 8).double().numpy()], 2, decay=0.9, k=4)
g, ours = torch.randn(2, 8, 8).double(), SimulatedDeMo([p], workers=2, lr=0.1, decay=0.9, topk=4)
ours.step([[g[0]], [g[1]]]), slow.step([[g[0].numpy()], [g[1].numpy()]], 0.1)  # another implementation, in numpy
print(same_parameters([p.detach().numpy()], slow.p, 0.1).holds)  # True
""",
    "quadratic_convergence": """
from fractions import Fraction
from theory.demo_optimizer.checkers.quadratics import Quadratic, arrival, run, steps_of
problem = Quadratic((1, 3), (Fraction(1), Fraction(-2)), Fraction(1, 10), Fraction(9, 10), 2)
within = steps_of(problem)
print("arrives after", arrival(problem, run(problem, within + 24)), "steps, at most", within)
""",
    "converges_at_any_curvature": """
from fractions import Fraction
from theory.demo_optimizer.checkers.quadratics import Quadratic, run, starves
problem = Quadratic((1, 400), (Fraction(1), Fraction(1, 20)), Fraction(1, 10), Fraction(9, 10), 1)
seen = run(problem, 100)
print({p[0] for p in seen.points}, starves(problem, seen, 0).holds)  # coordinate 0 never moves
""",
    "descent_direction": """
from theory.demo_optimizer.checkers.descent import WITNESS, enclosed_step
print(WITNESS, enclosed_step(WITNESS).product)  # gradient, and its inner product with the sign of the step
""",
    "energy_compaction_digits": """
import torch
from theory.demo_optimizer.energy import momentum_shares
for s in momentum_shares("digits", (0,), 20, (32,), torch.device("cpu")):
    print(s.weight, s.by_basis)  # shares of the energy in the 32 largest, by basis
""",
    "energy_compaction_text": """
import torch
from theory.demo_optimizer.energy import momentum_shares
for s in momentum_shares("text", (0,), 2, (32,), torch.device("cpu")):
    print(s.weight, s.by_basis)  # shares of the energy in the 32 largest, by basis
""",
    "dense_transform": COMPARED.format(
        task="breast_cancer", rate=3e-3, methods='Method("demo", 8), Method("demo", 8, "identity")'
    ),
    "compaction_explains_it": COMPARED.format(
        task="breast_cancer", rate=3e-3, methods='Method("demo", 8), Method("demo", 8, "random_orthogonal")'
    ),
    "trains_momlp": """
import torch, momlp
x = torch.rand(400, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
for optimizer in ("adamw", "demo"):
    options = momlp.Options(steps=100, learning_rate=0.01)
    model = momlp.train_momlp(x, x[:, 0] * x[:, 1], leaves=4, expert_hidden=(16,), optimizer=optimizer, options=options)
    print(optimizer, float((model(x)[:, 0] - x[:, 0] * x[:, 1]).square().mean()))
""",
    "overhead": """
import torch
from constructions.demo_optimizer import SimulatedDeMo
p = torch.zeros(64, 64, requires_grad=True)
optimizer = SimulatedDeMo([p], workers=1)
optimizer.step([[torch.randn(64, 64)]])
print(optimizer.residual(p, 0).numel(), "numbers kept, of", p.numel(), "weights")
""",
    **{
        f"{what}_{task}": COMPARED.format(task=task, rate=3e-3, methods=DEMO_AND_ADAMW)
        for what in ("comparable", "matches_or_exceeds")
        for task in ("digits", "breast_cancer", "text")
    },
}
