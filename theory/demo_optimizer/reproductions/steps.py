"""What holds at every step: nothing is lost, full k is sign descent, residuals are bounded, workers agree."""

from __future__ import annotations

import random
from fractions import Fraction

import numpy as np
import sympy
import torch
from torch import Tensor

from constructions.demo_optimizer import SimulatedDeMo, compress, decompress
from theory.claim import Context, Evidence, Report, Status, Table, Verdict, ensure
from theory.demo_optimizer import bounds
from theory.demo_optimizer.checkers.messages import sent_entries
from theory.demo_optimizer.checkers.rationals import ExactDeMo, Matrix, conserved, hadamard, identity, sign
from theory.demo_optimizer.checkers.slow import SlowDeMo, conserves, contracted, cut, same_parameters
from theory.demo_optimizer.runs_on_ranks import DECAY, DTYPES, RATE, STEPS, TOPK, Classes, on_ranks, trained_parameters

INSTANCES, LENGTH, CHECKED_EVERY = 20, 30, 5
SYMBOLS = 12
LARGEST = 200
SHAPES = ((32, 24), (16,), (10, 6), (7,), ())
MATRICES = {"hadamard": hadamard, "identity": identity}


def representable(values: list[list[Fraction]]) -> bool:
    """Whether all are doubles, with three bits to spare for sums on the way."""
    return all(Fraction(float(x)) == x and abs(x.numerator).bit_length() <= 50 for row in values for x in row)


def dyadic_run(transform: str, n: int, workers: int, g: random.Random, device: torch.device) -> tuple[int, int]:
    """(exact steps that conserve, those in which float64 gave the same bits); `ensure` stops at a difference."""
    beta, k = Fraction(1, 2), g.randint(1, n // 2)
    matrix: Matrix = MATRICES[transform](n)
    exact = ExactDeMo([Fraction(0)] * n, workers, matrix, k=k, beta=beta)
    side = int(n**0.5)
    p = torch.zeros(side, side, dtype=torch.float64, device=device, requires_grad=True)
    ours = SimulatedDeMo([p], workers, lr=0.5, decay=0.5, topk=k, transform=transform)
    rates, gradients, sent, same, alive = [], [], [], 0, True
    for t in range(LENGTH):
        eta = Fraction(1, 2) if t % 2 else Fraction(1, 4)
        rows = [[Fraction(g.randint(-LARGEST, LARGEST)) for _ in range(n)] for _ in range(workers)]
        step = exact.step(rows, eta)
        rates.append(eta)
        gradients.append(rows)
        sent.append(step.sent)
        for w in range(workers if (t + 1) % CHECKED_EVERY == 0 else 0):
            mine = conserved([r[w] for r in gradients], [s[w] for s in sent], rates, beta, step.residuals[w])
            ensure(mine, f"{transform}, n={n}, step {t + 1}, worker {w}")
        everything = [*step.momenta, *step.coefficients, *step.residuals, exact.p]
        alive = alive and not step.tied and representable(everything)
        if alive:
            ours.param_groups[0]["lr"] = float(eta)
            ours.step([[torch.tensor([float(x) for x in r], dtype=p.dtype, device=device).view_as(p)] for r in rows])
            ensure(same_bits(p, exact.p), f"{transform}, n={n}, step {t + 1}: the parameters differ")
            for w in range(workers):
                kept = same_bits(ours.residual(p, w), step.residuals[w])
                ensure(kept, f"{transform}, n={n}, step {t + 1}: residuals of worker {w} differ")
            same += 1
    return LENGTH, same


def same_bits(tensor: Tensor, row: list[Fraction]) -> Report:
    """Whether the entries are these rationals, exactly."""
    found = [Fraction(x) for x in tensor.flatten().tolist()]
    return (
        Report() if found == row else Report(f"{sum(a != b for a, b in zip(found, row, strict=True))} entries differ")
    )


def induction() -> Report:
    """e_t = β e_(t−1) + x_t from e_0 = 0 is Σ β^(t−s) x_s: one step for symbols, and unrolled."""
    beta, before, now = sympy.symbols("beta S x")
    t, s = sympy.symbols("t s", integer=True, positive=True)
    x = sympy.Function("x")
    total = sympy.Sum(beta ** (t - s) * x(s), (s, 1, t))
    if sympy.simplify(beta * before + now - (beta * before + now)) != 0:
        return Report("the recurrence")
    e = sympy.Integer(0)
    for last in range(1, SYMBOLS + 1):
        e = beta * e + x(last)
        if sympy.expand(e - total.subs(t, last).doit()) != 0:
            return Report(f"{last} steps are not the sum")
    return Report()


def slow_and_ours(context: Context, workers: int, steps: int) -> float:
    """Twins over all kinds of shapes, cosine transform: the largest difference of residuals."""
    g = np.random.default_rng(context.seed)
    start = [g.standard_normal(s) for s in SHAPES]
    slow = SlowDeMo(start, workers, decay=0.9, k=8, shrink=0.1)
    ps = [torch.tensor(p, dtype=torch.float64, device=context.device, requires_grad=True) for p in start]
    ours = SimulatedDeMo(ps, workers, lr=0.01, decay=0.9, topk=8, weight_decay=0.1)
    history: list[tuple[list[list[np.ndarray]], list[list[np.ndarray]], float]] = []
    for t in range(steps):
        rate = 0.01 / (1 + t)
        gradients = [[g.standard_normal(s) for s in SHAPES] for _ in range(workers)]
        history.append((gradients, slow.step(gradients, rate), rate))
        ours.param_groups[0]["lr"] = rate
        ours.step([[torch.tensor(x, device=context.device) for x in row] for row in gradients])
        ensure(same_parameters([p.detach().cpu().numpy() for p in ps], slow.p, rate), f"step {t + 1}")
    off = max(float(np.abs(p.detach().cpu().numpy() - q).max()) for p, q in zip(ps, slow.p, strict=True))
    ensure(off <= 1e-13, f"weights are off by {off:.3g}")
    worst = 0.0
    for w in range(workers):
        for i, p in enumerate(ps):
            kept = ours.residual(p, w).cpu().numpy()
            worst = max(worst, float(np.abs(kept - slow.residuals[w][i]).max()))
            gs, sent, rates = ([h[0][w][i] for h in history], [h[1][w][i] for h in history], [h[2] for h in history])
            ensure(conserves(gs, sent, rates, 0.9, kept), f"parameter {i}, worker {w}")
    return worst


def rounded_on_the_wire(context: Context, dtype: torch.dtype, steps: int = 6) -> Report:
    """Whether what two workers' messages say, and their residuals, add up when values are rounded before they leave."""
    shape, k, g = (64, 128), 5, context.generator()
    p = torch.zeros(shape, dtype=torch.float64, device=context.device, requires_grad=True)
    ours = SimulatedDeMo([p], 2, lr=0.01, decay=0.9, topk=k, wire_dtype=dtype)
    gradients, sent, rates = [], [], []
    for t in range(steps):
        rates.append(0.01 / (1 + t))
        ours.param_groups[0]["lr"] = rates[-1]
        pair = [torch.randn(shape, generator=g, dtype=torch.float64) for _ in range(2)]
        ours.step([[x.to(p.device)] for x in pair])
        gradients.append([x.numpy() for x in pair])
        sent.append([sent_entries(m.cpu().numpy(), shape, k, dtype.itemsize) for m in ours.messages])
    for w in range(2):
        kept = ours.residual(p, w).cpu().numpy()
        found = conserves([x[w] for x in gradients], [x[w] for x in sent], rates, 0.9, kept)
        if not found.holds:
            return Report(f"worker {w}: {found.failure}")
    return Report()


def conservation(context: Context) -> Verdict:
    ensure(induction(), "the induction")
    for dtype in (torch.bfloat16, torch.float32):
        ensure(rounded_on_the_wire(context, dtype), f"values sent as {dtype}")
    g, steps, same = random.Random(context.seed), 0, 0
    for i in range(INSTANCES):
        transform, n = ("hadamard", "identity")[i % 2], (4, 16)[i // 2 % 2]
        all_steps, alike = dyadic_run(transform, n, 1 + i % 3, g, context.device)
        steps, same = steps + all_steps, same + alike
    ensure(same >= 4 * INSTANCES, f"only {same} steps stayed in 53 bits and without ties")
    worst = slow_and_ours(context, 2, 10)
    ensure(worst <= 1e-14, f"residuals differ by {worst:.3g} from the slow twin's")
    reason = f"{steps} rational steps lose nothing, {same} of them bit by bit in float64: as far as 53 bits reach"
    numbers = {"steps": steps, "the same bits": same, "residuals against the slow twin": worst}
    return Verdict(Status.PROVED, Evidence.EXACT, reason, numbers)


def full_topk_is_signsgd(context: Context) -> Verdict:
    g, compared = random.Random(context.seed), 0
    for transform in MATRICES:
        for beta in (Fraction(0), Fraction(1, 2), Fraction(3, 4)):
            for workers in (1, 2, 4):
                n, eta = 16, Fraction(1, 4)
                exact = ExactDeMo([Fraction(0)] * n, workers, MATRICES[transform](n), k=n, beta=beta)
                p = torch.zeros(4, 4, dtype=torch.float64, device=context.device, requires_grad=True)
                ours = SimulatedDeMo([p], workers, 0.25, decay=float(beta), topk=n + 5, transform=transform)
                plain = [Fraction(0)] * n
                for _ in range(6):
                    rows = [[Fraction(g.randint(-3, 3)) for _ in range(n)] for _ in range(workers)]
                    step = exact.step(rows, eta)
                    plain = [
                        a - eta * sign(sum(c, Fraction(0))) for a, c in zip(plain, zip(*rows, strict=True), strict=True)
                    ]
                    ours.step([[torch.tensor([int(x) for x in r]).to(p).view(4, 4)] for r in rows])
                    where = f"{transform}, β={beta}, W={workers}"
                    ensure(exact.p == plain, f"{where}: another step than sign descent's")
                    ensure(not any(any(e) for e in step.residuals), f"{where}: something is left")
                    ensure(same_bits(p, plain), f"{where}: in float64")
                    compared += 1
    reason = f"{compared} steps in rationals and in float64 are those of sign descent on Σg, whatever β"
    return Verdict(Status.PROVED, Evidence.EXACT, reason, {"steps": compared})


# --- bounds of residuals -------------------------------------------------------------------------------------

NORMS = ((4096, 32, 0.999), (4096, 8, 0.999), (4096, 1, 0.999), (4096, 32, 0.9), (64, 4, 0.9))
CYCLIC = (64, 4, 0.9)
CYCLES = 200


def geometric() -> Report:
    """B = qG/(1 − qβ) solves B = q(βB + G), and q(βe + G) ≤ B for e ≤ B: the difference is qβ(B − e)."""
    q, beta, size, e = sympy.symbols("q beta G e", positive=True)
    bound = q * size / (1 - q * beta)
    if sympy.simplify(bound - q * (beta * bound + size)) != 0:
        return Report("the bound is no fixed point")
    if sympy.simplify(bound - q * (beta * e + size) - q * beta * (bound - e)) != 0:
        return Report("the bound is not kept")
    # n − k least of n squares: their mean is at most that of all, for x_i the gaps of sorted squares
    gaps = sympy.symbols("x1:7", nonnegative=True)
    squares = [sum(gaps[: i + 1]) for i in range(6)]
    for k in range(1, 6):
        slack = sympy.expand(sympy.Rational(6 - k, 6) * sum(squares) - sum(squares[: 6 - k]))
        if any(c < 0 for c in sympy.Poly(slack, *gaps).coeffs()):
            return Report(f"the {6 - k} least of 6 squares may be more than their share")
    return Report()


def constant_gradient(device: torch.device) -> float:
    """‖e‖ in units of ηG of a gradient all of whose cosine coefficients are as large, after many cycles."""
    n, k, beta = CYCLIC
    p = torch.zeros(n, dtype=torch.float64, device=device, requires_grad=True)
    everywhere = compress(p + 1, topk=n)
    even = 1 - 1e-9 * torch.arange(n, dtype=torch.float64, device=device)[None]  # so that nothing is tied
    g = decompress(type(everywhere)(**{**everywhere.__dict__, "values": even / n**0.5}))
    ours = SimulatedDeMo([p], 1, lr=1.0, decay=beta, topk=k)
    for _ in range(CYCLES):
        ours.step([[g]])
    return float(ours.residual(p, 0).norm() / g.norm())


def contraction(context: Context) -> Verdict:
    ensure(geometric(), "in symbols")
    rows = [(n, k, beta, bounds.residual_bound(n, k, beta), bounds.cyclic_residual(n, k, beta)) for n, k, beta in NORMS]
    reached, (n, k, beta) = constant_gradient(context.device), CYCLIC
    stated, most = bounds.cyclic_residual(n, k, beta), bounds.residual_bound(n, k, beta)
    ensure(abs(reached - stated) <= 1e-6 * stated, f"a constant gradient reaches {reached:.9g}, not {stated:.9g}")
    ensure(reached <= most, f"a residual of {reached:.6g} is above {most:.6g}")
    worst = 0.0
    for shape in ((64, 64), (16, 10), (50,)):
        x = torch.randn(shape, generator=context.generator(), dtype=torch.float64).to(context.device)
        for count in (1, 8, 32):
            rest = (x - decompress(compress(x, topk=count))).cpu().numpy()
            size = x.numel() if len(shape) > 1 else 50
            ensure(contracted(x.cpu().numpy(), rest, count), f"{shape}, k={count}")
            allowed = (1 - count / size) * float(x.square().sum())
            worst = max(worst, float((rest * rest).sum()) / allowed)
    reason = f"the bound follows in symbols; a constant gradient reaches {reached / most:.1%} of it at n=64, k=4, β=0.9"
    numbers = {"constant gradient": reached, "its bound": most, "largest share of 1 - k/n": worst}
    tables = {"‖e‖ in units of ηG": Table(("n", "k", "beta", "bound", "constant gradient"), tuple(rows))}
    return Verdict(Status.PROVED, Evidence.SYMBOLIC, reason, numbers, tables=tables)


def controlled_divergence(context: Context) -> Verdict:
    workers, steps = 4, 100 if context.full else 60
    work = Classes(torch.float64)
    ps = [w.detach().clone().to(context.device).requires_grad_() for w in work.weights]
    ours = SimulatedDeMo(ps, workers, lr=RATE, decay=DECAY, topk=TOPK)
    chunked = [len(cut(p.detach().cpu().numpy())) for p in ps]
    largest = [[0.0] * count for count in chunked]
    apart = share = 0.0
    for t in range(steps):
        gradients = [work.gradients(w, t) for w in range(workers)]
        for row in gradients:
            for i, g in enumerate(row):
                norms = [float(np.linalg.norm(c)) for c in cut(g.numpy())]
                largest[i] = [max(a, b) for a, b in zip(largest[i], norms, strict=True)]
        ours.step([[g.to(context.device) for g in row] for row in gradients])
        for w, p in zip(work.weights, ps, strict=True):
            w.data.copy_(p.detach())
    for i, p in enumerate(ps):
        kept = [cut(ours.residual(p, w).cpu().numpy()) for w in range(workers)]
        for at in range(chunked[i]):
            n = kept[0][at].size
            bound = bounds.residual_bound(n, TOPK, DECAY) * RATE * largest[i][at]
            for v in range(workers):
                for w in range(v):
                    distance = float(np.linalg.norm(kept[v][at] - kept[w][at]))
                    ensure(
                        distance <= 2 * bound + 1e-12, f"parameter {i}: {distance:.3g} apart, {2 * bound:.3g} allowed"
                    )
                    apart = max(apart, distance)
                    share = max(share, distance / (2 * bound) if bound > 0 else 0.0)
    ensure(apart > 0, "all residuals are the same")
    reason = f"after {steps} steps residuals are up to {apart:.3g} apart, {share:.1%} of what the bound allows"
    return Verdict(Status.NOT_REFUTED, Evidence.SAMPLED, reason, {"distance": apart, "share of the bound": share})


def workers_agree(context: Context) -> Verdict:
    worlds = (2, 4) if context.full else (2,)
    for world in worlds:
        context.log(f"{world} ranks")
        seen = on_ranks(world, context.full)
        for name in DTYPES:
            work = Classes(getattr(torch, name))
            ours = SimulatedDeMo(work.weights, world, lr=RATE, topk=TOPK, decay=DECAY)
            take = lambda w, t: ours.step([w.gradients(r, t) for r in range(world)])  # noqa: B023, E731
            alone = trained_parameters(take, work)
            found = [s["parameters"][name] for s in seen]
            ensure(len(found) == world and len(set(found)) == 1, f"{name}: {world} ranks end with different bits")
            ensure(found[0] == alone, f"{name}: {world} ranks end with other bits than simulated workers")
    reason = f"after {STEPS} steps the same bits on {' and '.join(map(str, worlds))} ranks and in simulated workers"
    return Verdict(Status.NOT_REFUTED, Evidence.SAMPLED, reason, {"steps": STEPS})
