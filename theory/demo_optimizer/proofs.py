"""Proof files of the claims about DeMo: bytes, steps in rationals, what is not sent, and where it arrives."""

from __future__ import annotations

import random
from fractions import Fraction

import torch
from torch.utils.flop_counter import FlopCounterMode

from constructions import demo_optimizer as built
from constructions.demo_optimizer import SimulatedDeMo
from theory.claim import Context
from theory.demo_optimizer import bounds
from theory.demo_optimizer.checkers.quadratics import random_quadratic, run
from theory.demo_optimizer.checkers.rationals import hadamard, identity
from theory.demo_optimizer.models import MODELS
from theory.demo_optimizer.reproductions.bytes import state_bytes
from theory.exact import fraction
from theory.proofs import Producer, Proof, facts

# --- bytes ----------------------------------------------------------------------------------------------


SHAPE = {
    "rows": "lambda s: 1 if len(s) < 2 else s[0]",
    "columns": "lambda s: prod(s) if len(s) < 2 else prod([s[i] for i in range(1, len(s))])",
    "side": "lambda n: max([d for d in range(1, min(64, n) + 1) if n % d == 0])",
}


def _payload(context: Context) -> list[Proof]:
    """What the package says that a worker sends, for the public shapes and drawn ones, against the formula."""
    g, cases = random.Random(context.seed), []
    for width in (1024, 2048):
        shapes = bounds.public_shapes(width)
        for k in bounds.TOPKS:
            said = built.payload(shapes, topk=k, index_bytes=8, value_bytes=4, gradient_bytes=2)
            cases.append([[list(s) for s in shapes], k, 8, 4, said.bytes])
    for _ in range(100):
        shapes = [tuple(g.randint(1, 90) for _ in range(g.randint(0, 2))) for _ in range(g.randint(1, 4))]
        shapes.append(tuple(g.randint(1, 6) for _ in range(4)))
        k, (place, value) = g.randint(1, 70), g.choice(bounds.WIDTHS)
        said = built.payload(shapes, topk=k, index_bytes=place, value_bytes=value)
        cases.append([[list(s) for s in shapes], k, place, value, said.bytes])
    definitions = {
        **SHAPE,
        "chunk": "lambda s: side(rows(s))*side(columns(s))",
        "sent": "lambda c: sum([rows(s)*columns(s)/chunk(s)*min(c[1], chunk(s))*(c[2] + c[3]) for s in c[0]])",
        "readings": "[[k, w[0], w[1], b] for k in [1, 2, 4, 8, 16, 32, 64] for w in widths for b in [2, 4]]",
    }
    return [
        facts(
            "all([sent(c) == c[4] for c in cases])",
            "all([(4096*r[3]/(r[0]*(r[1] + r[2])) == 256/3) == (r[0]*(r[1] + r[2]) == 48*r[3]) for r in readings])",
            "any([r[0]*(r[1] + r[2]) == 48*r[3] for r in readings])",
            f"len(cases) == {len(cases)}",
            data={"cases": cases, "widths": [list(w) for w in bounds.WIDTHS]},
            definitions=definitions,
        )
    ]


# --- steps ----------------------------------------------------------------------------------------------


def _run(transform: str, n: int, workers: int, k: int, steps: int, beta: Fraction, g: random.Random) -> list:
    """The simulated optimiser on gradients of whole numbers: [k, β, gradients, parameters, residuals] step by step, in
    float64, where every number on the way is exact."""
    side = int(n**0.5)
    p = torch.zeros(side, side, dtype=torch.float64, requires_grad=True)
    ours = SimulatedDeMo([p], workers, lr=0.25, decay=float(beta), topk=k, transform=transform)
    gradients, points, kept = [], [[0] * n], [[[0] * n for _ in range(workers)]]
    for _ in range(steps):
        rows = [[g.randint(-200, 200) for _ in range(n)] for _ in range(workers)]
        ours.step([[torch.tensor(r, dtype=p.dtype).view_as(p)] for r in rows])
        gradients.append(rows)
        points.append(p.detach().flatten().tolist())
        kept.append([ours.residual(p, w).flatten().tolist() for w in range(workers)])
    return [min(k, n), beta, gradients, points, kept, {"hadamard": hadamard, "identity": identity}[transform](n)]


STEPS = {
    "eta": "1/4",
    "dot": "lambda x, y: sum([a*b for a, b in zip(x, y)])",
    "momentum": "lambda c, t, w: [c[1]*e + eta*g for e, g in zip(c[4][t][w], c[2][t][w])]",
    "workers": "lambda c: range(len(c[2][0]))",
    "steps": "[[c, t] for c in runs for t in range(len(c[2]))]",
    "orthogonal": "lambda T: all([dot(T[i], T[j]) == (i == j) for i in range(len(T)) for j in range(len(T))])",
    "sign": "lambda x: (x > 0) - (x < 0)",
}


def _conservation(context: Context) -> list[Proof]:
    """What each worker keeps has no coefficient where one was sent and its momentum's where none was; at most k are
    sent, the largest; and the sum of everything not sent is what it keeps."""
    g, runs = random.Random(context.seed), []
    for i in range(6):
        transform, n = ("hadamard", "identity")[i % 2], (4, 16)[i // 2 % 2]
        runs.append(_run(transform, n, 1 + i % 3, 1 + i % (n // 2), 6, Fraction(1, 2), g))
    definitions = {
        **STEPS,
        "held": "[[c[0], [dot(row, momentum(c, t, w)) for row in c[5]], [dot(row, c[4][t + 1][w]) for row in c[5]]] "
        "for c in runs for t in range(len(c[2])) for w in workers(c)]",
        "went": "lambda h: [i for i in range(len(h[1])) if h[1][i] != h[2][i]]",
        "sent": "lambda c, t, w: [m - e for m, e in zip(momentum(c, t, w), c[4][t + 1][w])]",
        "lost": "lambda c, w, all_: [sum([c[1]**(len(c[2]) - 1 - t)*(eta*c[2][t][w][i] - all_[t][i]) "
        "for t in range(len(c[2]))]) for i in range(len(c[5]))]",
    }
    return [
        facts(
            "all([orthogonal(c[5]) for c in runs])",
            # held: [k, coefficients of the momentum, coefficients of what is kept]
            "all([h[2][i] == 0 for h in held for i in went(h)])",
            "all([len(went(h)) == h[0] for h in held])",
            "all([max([abs(a) for a in h[2]]) <= min([abs(h[1][i]) for i in went(h)]) for h in held])",
            "all([lost(c, w, [sent(c, t, w) for t in range(len(c[2]))]) == c[4][len(c[2])][w] "
            "for c in runs for w in workers(c)])",
            f"len(runs) == {len(runs)}",
            # e_t = βe_{t−1} + x_t unrolled, for every β and every x
            "((X*B + Y)*B + Z)*B + X4 == X*B**3 + Y*B**2 + Z*B + X4",
            data={"runs": runs},
            definitions=definitions,
            variables=("B", "X", "Y", "Z", "X4"),
        )
    ]


def _full_topk_is_signsgd(context: Context) -> list[Proof]:
    g, runs = random.Random(context.seed), []
    for transform in ("hadamard", "identity"):
        for beta in (Fraction(0), Fraction(1, 2), Fraction(3, 4)):
            for workers in (1, 2, 4):
                runs.append(_run(transform, 16, workers, 21, 3, beta, g))
    definitions = {
        **STEPS,
        "total": "lambda c, t: [sum([row[i] for row in c[2][t]]) for i in range(len(c[5]))]",
    }
    return [
        facts(
            "all([[p - eta*sign(s) for p, s in zip(q[0][3][q[1]], total(q[0], q[1]))] == q[0][3][q[1] + 1] "
            "for q in steps])",
            "all([e == 0 for q in steps for row in q[0][4][q[1] + 1] for e in row])",
            f"len(steps) == {3 * len(runs)}",
            data={"runs": runs},
            definitions=definitions,
        )
    ]


def _contraction() -> list[Proof]:
    """B = qG/(1 − qβ), times 1 − qβ; least squares of six by the gaps of the sorted ones; and cyclic residuals below B
    at three sizes."""
    definitions = {
        "rest": "1 - Q*B",
        "gaps": "[X0, X1, X2, X3, X4, X5]",
        "squares": "[sum([gaps[j] for j in range(i + 1)]) for i in range(6)]",
        "share": "lambda k: sum(squares)*(6 - k)/6 - sum([squares[i] for i in range(6 - k)])",
        "q": "lambda n, k: sqrt(1 - k/n)",
        "bound": "lambda n, k, b: q(n, k)/(1 - q(n, k)*b)",
        "cyclic": "lambda n, k, b: sqrt(k/n*sum([((1 - b**a)/(1 - b))**2 for a in range(floor(n/k))]))",
    }
    return [
        facts(
            # B(1 − qβ) = qG solves B = q(βB + G), and keeps e ≤ B: the difference is qβ(B − e)
            "Q*G*(B*Q + rest) == Q*G",
            "Q*G - Q*(B*E0 + G)*rest == Q*B*(Q*G - E0*rest)",
            "all([c >= 0 for k in range(1, 6) for c in coefficients(share(k))])",
            "all([cyclic(n, 4, 9/10) < bound(n, 4, 9/10) for n in [64, 128]])",
            "cyclic(4096, 32, 999/1000) < bound(4096, 32, 999/1000)",
            definitions=definitions,
            variables=("Q", "B", "G", "E0", "X0", "X1", "X2", "X3", "X4", "X5"),
        )
    ]


def _quadratic_convergence(context: Context) -> list[Proof]:
    """Runs on drawn quadratics, each step re-derived from the state before it; from the stated number of steps on the
    gradient is at most Aη."""
    g, runs = random.Random(context.seed), []
    for _ in range(20):
        problem = random_quadratic([g.randrange(1 << 20) for _ in range(16)])
        n = len(problem.start)
        within = n * sum(max(0, -(-abs(p) // problem.eta) - 1) for p in problem.start)
        if not 0 < within <= 60:
            continue
        seen = run(problem, int(within) + 8)
        points, sent = [[fraction(v) for v in p] for p in seen.points], [list(s) for s in seen.sent]
        e, kept = [Fraction(0)] * n, [[Fraction(0)] * n]
        for t, places in enumerate(sent):
            m = [problem.beta * e[i] + problem.eta * problem.curvatures[i] * points[t][i] for i in range(n)]
            e = [Fraction(0) if i in places else m[i] for i in range(n)]
            kept.append(e)
        runs.append([list(problem.curvatures), problem.eta, problem.beta, problem.k, points, sent, kept])
    definitions = {
        "sign": "lambda x: (x > 0) - (x < 0)",
        "m": "lambda c, t: [c[2]*e + c[1]*a*p for e, a, p in zip(c[6][t], c[0], c[4][t])]",
        "all_steps": "[[c, t] for c in runs for t in range(len(c[5]))]",
        "size": "lambda c: len(c[0])",
        "beaten": "lambda c, t, i: len([j for j in range(size(c)) if abs(m(c, t)[j]) > abs(m(c, t)[i]) "
        "or (abs(m(c, t)[j]) == abs(m(c, t)[i]) and j < i)])",
        "chosen": "lambda c, t: [i for i in range(size(c)) if beaten(c, t, i) < c[3]]",
        "within": "lambda c: size(c)*sum([max(0, ceil(abs(p)/c[1]) - 1) for p in c[4][0]])",
        "steep": "lambda c, t: max([a*abs(p) for a, p in zip(c[0], c[4][t])])",
    }
    return [
        facts(
            "all([chosen(q[0], q[1]) == q[0][5][q[1]] for q in all_steps])",
            "all([[0 if i in q[0][5][q[1]] else m(q[0], q[1])[i] for i in range(size(q[0]))] == q[0][6][q[1] + 1] "
            "for q in all_steps])",
            "all([[q[0][4][q[1]][i] - (q[0][1]*sign(m(q[0], q[1])[i]) if i in q[0][5][q[1]] else 0) "
            "for i in range(size(q[0]))] == q[0][4][q[1] + 1] for q in all_steps])",
            "all([e == 0 for c in runs for e in c[6][0]])",
            "all([steep(c, t) <= max(c[0])*c[1] for c in runs for t in range(within(c), len(c[4]))])",
            "all([within(c) < len(c[5]) for c in runs])",
            f"len(runs) == {len(runs)}",
            data={"runs": runs},
            definitions=definitions,
        )
    ]


def _overhead(context: Context) -> list[Proof]:
    """Operations that were counted and bytes that were kept, in one step of each model, against the formulas."""
    rows = []
    for make in MODELS.values():
        model = make()
        shapes = [tuple(p.shape) for p in model.parameters()]
        gradients = [torch.randn(s, generator=context.generator()) for s in shapes]
        demo, adamw = SimulatedDeMo(model.parameters(), 1, lr=1e-3), torch.optim.AdamW(model.parameters(), lr=1e-3)
        with FlopCounterMode(display=False) as counter:
            demo.step([gradients])
        for p, gradient in zip(model.parameters(), gradients, strict=True):
            p.grad = gradient
        adamw.step()
        item = next(model.parameters()).element_size()
        measured = [counter.get_total_flops(), state_bytes(demo), state_bytes(adamw), item]
        rows.append([[list(s) for s in shapes], *measured])
    definitions = {
        **SHAPE,
        "sides": "lambda s: sum([d for d in [side(rows(s)), side(columns(s))] if d > 1])",
        "size": "lambda q: sum([rows(s)*columns(s) for s in q[0]])",
    }
    return [
        facts(
            "all([sum([6*rows(s)*columns(s)*sides(s) for s in q[0]]) == q[1] for q in models])",
            "all([q[2] == size(q)*q[4] and q[3] == 2*size(q)*q[4] for q in models])",
            "6*sides([64, 64]) == 768",
            f"len(models) == {len(rows)}",
            data={"models": rows},
            definitions=definitions,
        )
    ]


PROOFS: dict[str, Producer] = {
    "overhead": lambda context, folder: _overhead(context),
    "payload": lambda context, folder: _payload(context),
    "conservation": lambda context, folder: _conservation(context),
    "full_topk_is_signsgd": lambda context, folder: _full_topk_is_signsgd(context),
    "contraction": lambda context, folder: _contraction(),
    "quadratic_convergence": lambda context, folder: _quadratic_convergence(context),
}
