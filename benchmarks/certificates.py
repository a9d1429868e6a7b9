"""Certificates of sup|f − f̂| against bound propagation through graphs (CROWN in auto_LiRPA), part of `run.py`; alone:
`python benchmarks/certificates.py [--quick]`. Where auto_LiRPA cannot be imported it says so and measures nothing.

On the same boxes (those that a search starts from, cut once and twice) the bound of |f − f̂| that each gives: ours, and
that of the modulus alone, as multiples of theirs. Then the time until |f − f̂| ≤ 1.02·(largest error known) is proved:
ours is `certify_uniform_error` with all its other checks, and its search alone; theirs is a search with their bounds,
with and without reading the graphs. They have f as ReLUs (and sines) of Linear layers, a graph for each expert. Their
bounds are not rounded outward, ours are.

Main definitions: `Error`, `tightness`, `times`.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from importlib.util import find_spec

import torch
from rich.console import Console
from rich.table import Table
from timing import machine
from torch import Tensor, nn

from constructions import LipschitzFunction, MoMLP, build_momlp, targets
from constructions.functions.symbolic.slopes import SlopeTape
from constructions.functions.symbolic.tape import Tape
from theory import certify_uniform_error
from theory.checkers.uniform_error.banks import Bank, banks_of
from theory.checkers.uniform_error.boxes import half_widths
from theory.checkers.uniform_error.branch_and_bound import Goal, Search, _bounds, _halved, branch_and_bound
from theory.checkers.uniform_error.first_order import FirstOrder
from theory.checkers.uniform_error.view import view_of

INSTANCES = tuple(
    (name, n, eps)
    for n, eps in ((1, 1e-3), (2, 0.1), (3, 0.4))
    for name in ("max_affine", "tent_product", "sum_of_sines")
)
BOXES, REPEATS, GAP = 4096, 3, 0.02
OPTIONS = {"conv_mode": "matrix", "sparse_intermediate_bounds": False}  # with it, 0.3 gives wrong bounds
Boxes = tuple[Tensor, Tensor, Tensor, Tensor]


# --- f − f̂ as a graph of torch operations ------------------------------------------------------------------


class Formula(nn.Module):
    """A formula of sums, products with constants, Max, Min, Abs, sin and cos, from its tape. What is affine is a Linear
    layer, and so are all arguments of a Max together."""

    def __init__(self, f: LipschitzFunction):
        super().__init__()
        assert f.tape is not None
        self.steps, self.outputs = f.tape.instructions, f.tape.outputs
        self.affine = SlopeTape.of(f.tape).affine
        self.layers = nn.ModuleDict()
        for i, step in enumerate(self.steps):
            if self.affine[i] is None:
                together = step.op in ("max", "min") and all(self.affine[j] is not None for j in step.args)
                if together:
                    self.layers[f"max {i}"] = Maximum(len(step.args), 1.0 if step.op == "max" else -1.0)
                for rows in [step.args] if together else [(j,) for j in step.args if self.affine[j]]:
                    self.layers[_name(rows)] = _linear(f.tape, [self.affine[j] for j in rows], rows)
        for i in self.outputs:
            if self.affine[i] is not None:
                self.layers[_name((i,))] = _linear(f.tape, [self.affine[i]], (i,))

    def forward(self, x: Tensor) -> Tensor:
        found: dict[int, Tensor | float] = {}
        for i, step in enumerate(self.steps):
            if step.op == "const":
                found[i] = step.number
            elif _name((i,)) in self.layers:
                found[i] = self.layers[_name((i,))](x)
            elif f"max {i}" in self.layers:
                found[i] = self.layers[f"max {i}"](self.layers[_name(step.args)](x))
            elif self.affine[i] is None:
                found[i] = OPERATIONS[step.op]([found[j] for j in step.args])
        return torch.cat([found[i] for i in self.outputs], dim=1) if len(self.outputs) > 1 else found[self.outputs[0]]


def _name(registers: tuple[int, ...]) -> str:
    return "_".join(map(str, registers))


def _linear(tape: Tape, slopes: list, registers: tuple[int, ...]) -> nn.Linear:
    """The affine registers as a layer; their values at 0 are the biases."""
    weight = torch.zeros(len(registers), tape.n, dtype=torch.float64)
    for row, parts in enumerate(slopes):
        for axis, slope in parts.items():
            weight[row, axis] = (slope.lo + slope.hi) / 2
    return _layer(weight, replace(tape, outputs=registers)(torch.zeros(1, tape.n, dtype=torch.float64))[0])


class Maximum(nn.Module):
    """max over k columns as a balanced tree of a + relu(b − a), a level at a time; of −y times −1 it is the min."""

    def __init__(self, count: int, sign: float):
        super().__init__()
        self.first, self.rest = nn.ModuleList(), nn.ModuleList()
        eye = sign * torch.eye(count, dtype=torch.float64)
        while len(eye) > 1:
            count = len(eye)
            even, odd = eye[::2], eye[[min(i + 1, count - 1) for i in range(0, count, 2)]]
            self.first.append(_layer(even, torch.zeros(len(even))))
            self.rest.append(_layer(odd - even, torch.zeros(len(even))))
            eye = torch.eye(len(even), dtype=torch.float64)
        self.last = _layer(sign * eye, torch.zeros(1))

    def forward(self, y: Tensor) -> Tensor:
        for first, rest in zip(self.first, self.rest, strict=True):
            y = first(y) + torch.relu(rest(y))
        return self.last(y)


def _layer(weight: Tensor, bias: Tensor) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)
    return layer


def _product(args: list) -> Tensor:
    result = args[0]
    for factor in args[1:]:
        result = result * factor
    return result


def _sum(args: list) -> Tensor:
    result = args[0]
    for term in args[1:]:
        result = result + term
    return result


def _larger(args: list) -> Tensor:
    """Max as a balanced tree of a + relu(b − a)."""
    while len(args) > 1:
        pairs = [a + torch.relu(b - a) for a, b in zip(args[::2], args[1::2], strict=False)]
        args = pairs + args[len(args) - len(args) % 2 :]
    return args[0]


OPERATIONS: dict[str, Callable[[list], Tensor]] = {
    "add": _sum,
    "mul": _product,
    "max": _larger,
    "min": lambda args: -_larger([-a for a in args]),
    "abs": lambda args: torch.relu(args[0]) + torch.relu(-args[0]),
    "sin": lambda args: torch.sin(args[0]),
    "cos": lambda args: torch.cos(args[0]),
}


class Error(nn.Module):
    """f − f̂ of one expert."""

    def __init__(self, f: LipschitzFunction, expert: nn.Module):
        super().__init__()
        self.formula, self.expert = Formula(f), expert

    def forward(self, x: Tensor) -> Tensor:
        return self.formula(x) - self.expert(x)


class Crown:
    """CROWN's bounds of |f − f̂|, expert by expert."""

    def __init__(self, model: MoMLP, f: LipschitzFunction):
        from auto_LiRPA import BoundedModule

        self.graphs = []
        for leaf in model.leaf_indices("cpu"):
            error, x = Error(f, model.expert(leaf)), f.domain.sample(4, torch.Generator().manual_seed(0))
            if not torch.equal(error.expert(x), model.expert(leaf)(x)) or not _agrees(error.formula(x), f(x)):
                raise RuntimeError("the graph is not that of f and the expert")
            empty = torch.empty(4, f.n, dtype=torch.float64)
            self.graphs.append(BoundedModule(error, empty, bound_opts=OPTIONS))

    def __call__(self, expert: Tensor, lo: Tensor, hi: Tensor) -> Tensor:
        from auto_LiRPA import BoundedTensor, PerturbationLpNorm

        found = lo.new_zeros(len(lo))
        for leaf, graph in enumerate(self.graphs):
            rows = (expert == leaf).nonzero()[:, 0]
            if len(rows):
                ball = PerturbationLpNorm(norm=float("inf"), x_L=lo[rows], x_U=hi[rows])
                x = BoundedTensor((lo[rows] + hi[rows]) / 2, ball)
                below, above = graph.compute_bounds(x=(x,), method="CROWN")
                found[rows] = torch.maximum(-below, above).amax(-1).detach()
        return found


def _agrees(x: Tensor, y: Tensor) -> bool:
    return bool(((x - y).abs() <= 1e-12 * (1 + y.abs())).all())


# --- how tight ---------------------------------------------------------------------------------------------


def our_bounds(bank: Bank, f: LipschitzFunction, boxes: Boxes) -> tuple[Tensor, Tensor]:
    """Bounds (B,) by the modulus alone, and the smaller of these and those by slopes, as a search uses them."""
    expert, piece, lo, hi = boxes
    search = Search(f, Goal(), 0.0, 10**9, False, lambda message: None)
    centre = (lo + hi) / 2
    plain = _bounds(bank, None, search, expert, piece, centre, half_widths(lo, hi, centre))[1]
    return plain, torch.minimum(plain, FirstOrder(f.tape, lo).bounds(bank, *boxes))


def sampled_boxes(bank: Bank) -> Boxes:
    """At most BOXES of a search's boxes, drawn with a fixed seed: those that it starts from, cut once and twice."""
    boxes = (*bank.initial_boxes(), bank.ends.new_zeros(0))
    every = [boxes[:4]]
    for _ in range(2):
        bound = boxes[2].new_zeros(len(boxes[0]))
        boxes = _halved(*boxes[:4], bound)
        every.append(boxes[:4])
    whole = [torch.cat(parts) for parts in zip(*every, strict=True)]
    rows = torch.randperm(len(whole[0]), generator=torch.Generator().manual_seed(0))[:BOXES]
    return tuple(t[rows] for t in whole)


def tightness(name: str, n: int, eps: float) -> dict:
    """Ours as a multiple of theirs, box by box."""
    f = targets.get(name, n=n)
    model = build_momlp(f, eps=eps)
    (_, bank), *others = banks_of(view_of(model, f.domain, f.m, max_leaves=10**6))
    if others:
        raise RuntimeError("the instance has more experts than a bank holds")
    boxes = sampled_boxes(bank)
    plain, ours = our_bounds(bank, f, boxes)
    theirs = Crown(model, f)(boxes[0], boxes[2], boxes[3])
    centre = (boxes[2] + boxes[3]) / 2
    if not bool(((f(centre) - model(centre)).abs().amax(-1) <= theirs + 1e-9).all()):
        raise RuntimeError("bounds of CROWN are below an error")
    # a bound of 0 up to rounding on both sides says nothing of either
    told = torch.maximum(ours, theirs) > 1e-12
    if not bool(told.any()):
        raise RuntimeError("no box has an error that is more than rounding")
    before, ratio = (plain / theirs)[told], (ours / theirs)[told]
    return {
        "target": name,
        "n": n,
        "eps": eps,
        "boxes": len(ratio),
        "modulus": float(before.median()),
        "median": float(ratio.median()),
        "worst": float(ratio.max()),
        "looser": float((ratio > 1 + 1e-9).double().mean()),
    }


# --- how fast ----------------------------------------------------------------------------------------------


def crown_search(crown: Crown, boxes: Boxes, limit: float) -> int:
    """How many boxes prove |f − f̂| ≤ limit when every box above it is halved."""
    count, current = 0, (*boxes, boxes[2].new_zeros(len(boxes[0])))
    while len(current[0]):
        count += len(current[0])
        bound = crown(current[0], current[2], current[3])
        rows = (bound > limit).nonzero()[:, 0]
        current = _halved(*(t[rows] for t in current[:4]), bound[rows])
        if count > 10**6:
            raise RuntimeError(f"no proof of {limit} with {count} boxes")
    return count


def times(name: str, n: int, eps: float) -> dict:
    """Seconds until the same limit is proved."""
    f = targets.get(name, n=n)
    model = build_momlp(f, eps=eps)
    limit = (1 + GAP) * certify_uniform_error(model, f, gap=GAP / 4).lower
    (_, bank), *_ = banks_of(view_of(model, f.domain, f.m, max_leaves=10**6))
    ours, search, whole, alone, count = [], [], [], [], 0
    for _ in range(REPEATS):
        certificate = certify_uniform_error(model, f, eps=limit)
        ours.append(certificate.seconds)
        if not certificate.upper <= limit:
            raise RuntimeError(f"not certified: {certificate.reason}")
        started = time.perf_counter()
        view = view_of(model, f.domain, f.m, max_leaves=10**6)
        branch_and_bound(view, Search(f, Goal(eps=limit), certificate.slack, 10**8, False, lambda message: None))
        search.append(time.perf_counter() - started)
        started = time.perf_counter()
        crown = Crown(model, f)
        read = time.perf_counter()
        count = crown_search(crown, bank.initial_boxes(), limit)
        whole.append(time.perf_counter() - started)
        alone.append(time.perf_counter() - read)
    best = {"ours": min(ours), "search": min(search), "theirs": min(whole), "bounds": min(alone)}
    return best | {"evaluations": certificate.evaluations, "boxes_crown": count, "experts": bank.experts}


# --- report ------------------------------------------------------------------------------------------------


def report(console: Console, *, quick: bool = False) -> list[dict]:
    """Measure, print the table, and give the rows; without auto_LiRPA a sentence that says so."""
    if find_spec("auto_LiRPA") is None:
        console.print("certificates against CROWN: auto_LiRPA is not installed, so nothing is compared")
        return []
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)  # which it takes for the constants of a graph
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            rows = [tightness(*i) | times(*i) for i in INSTANCES if not quick or i[1] < 3]
    finally:
        torch.set_default_dtype(default)
    names = ("target", "n", "eps", "boxes", "modulus / CROWN", "ours / CROWN", "worst", "looser")
    table = Table(*names, "ours ms", "CROWN ms", "ratio", "search ms", "bounds ms", "ratio", "experts")
    for r in rows:
        ratios = [f"{r[key]:.3f}" for key in ("modulus", "median", "worst")] + [f"{r['looser']:.1%}"]
        took = [(r["ours"], r["theirs"]), (r["search"], r["bounds"])]
        times_ = [text for a, b in took for text in (f"{1000 * a:.1f}", f"{1000 * b:.1f}", f"{a / b:.3f}")]
        table.add_row(r["target"], str(r["n"]), f"{r['eps']:g}", str(r["boxes"]), *ratios, *times_, str(r["experts"]))
    console.print(table)
    versions = machine() | {"auto_LiRPA": version("auto_LiRPA")}
    console.print(", ".join(f"{k} {v}" for k, v in versions.items()), highlight=False)
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Certificates against bound propagation on the same boxes.")
    parser.add_argument("--quick", action="store_true", help="n = 1 and 2 only")
    report(Console(width=190), quick=parser.parse_args().quick)
