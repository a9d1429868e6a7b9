"""Bytes: the formula, what ranks hand to the collective, links, states and operations."""

from __future__ import annotations

import math
import random
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from constructions import demo_optimizer as built
from constructions.demo_optimizer import SimulatedDeMo, break_even
from theory.claim import Context, Evidence, Status, Table, Verdict, ensure
from theory.demo_optimizer import bounds
from theory.demo_optimizer.checkers.slow import cut
from theory.demo_optimizer.models import MODELS
from theory.demo_optimizer.runs_on_ranks import HEAD, on_ranks

RANDOM_LISTS = 200
SPECIAL = (2, 8, 64, 170, 171, 1000)


def counted_payload(shapes: list[bounds.Shape], k: int, place: int, value: int) -> int:
    """Bytes of the largest min(k, n) coefficients of chunks that are really cut."""
    chunks = [part for shape in shapes for part in cut(np.zeros(shape))]
    return sum(min(k, part.size) * (place + value) for part in chunks)


def payload(context: Context) -> Verdict:
    rows, compared = [], 0
    for name, width in (("300M", 1024), ("1B", 2048)):
        shapes = bounds.public_shapes(width)
        numbers = sum(math.prod(s) for s in shapes)
        for k in bounds.TOPKS:
            ours = built.payload(shapes, topk=k, index_bytes=8, value_bytes=4, gradient_bytes=2)
            stated = bounds.payload_bytes(shapes, k, *bounds.PUBLIC_WIRE)
            ratio = bounds.dense_ratio(k, *bounds.PUBLIC_WIRE, 2)
            ensure(ours.bytes == stated and ours.dense_bytes == 2 * numbers, f"{name}, k={k}: {ours.bytes}, {stated}")
            ensure(ours.ratio == ratio, f"{name}, k={k}: the ratio is {ours.ratio}, not {ratio}")
            rows.append((name, k, numbers, stated, float(ratio)))
    g = random.Random(context.seed)
    for _ in range(RANDOM_LISTS):
        shapes = [tuple(g.randint(1, 90) for _ in range(g.randint(0, 2))) for _ in range(g.randint(1, 4))]
        shapes.append(tuple(g.randint(1, 6) for _ in range(4)))
        k, (place, value) = g.randint(1, 70), g.choice(bounds.WIDTHS)
        ours = built.payload(shapes, topk=k, index_bytes=place, value_bytes=value).bytes
        same = ours == bounds.payload_bytes(shapes, k, place, value) == counted_payload(shapes, k, place, value)
        ensure(same, f"{shapes}, k={k}: {ours} bytes are said, {counted_payload(shapes, k, place, value)} counted")
        compared += 1
    readings = bounds.readings_of(bounds.STATED_RATIO)
    solved = [r for r in readings if r[0] * (r[1] + r[2]) == 48 * r[3]]
    ensure(bool(readings) and solved == readings, f"256/3 in {readings}, k·(place + value) = 48·gradient in {solved}")
    reason = f"{len(rows)} sizes of the public shapes and {compared} random lists; 256/3 in {len(readings)} readings"
    tables = {
        "public shapes, 12 bytes": Table(("model", "k", "weights", "payload", "bf16 / payload"), tuple(rows)),
        "readings of 256/3": Table(("k", "place", "value", "gradient"), tuple(readings)),
    }
    return Verdict(Status.PROVED, Evidence.EXACT, reason, {"lists": compared}, tables=tables)


def payload_measured(context: Context) -> Verdict:
    rows = []
    for world in (2, 4) if context.full else (2,):
        context.log(f"{world} ranks")
        for rank, seen in enumerate(on_ranks(world, context.full)):
            for entry in seen["counts"]:
                shapes = [tuple(p.shape) for p in MODELS[entry["model"]]().parameters()]
                stated = bounds.packed_bytes(shapes, entry["k"], 4) + HEAD
                handed = entry["bytes"]
                ensure(len(handed) >= 1, f"{entry['model']}: nothing was handed to a collective")
                same = all(one == [stated] for one in handed)
                ensure(same, f"{entry['model']}, k={entry['k']}, rank {rank}: {handed[:2]} bytes, not {stated}")
                rows.append((world, rank, entry["model"], entry["k"], stated - HEAD))
    reason = f"one tensor a step, and its bytes those of the formula, in {len(rows)} counts on ranks"
    tables = {"counts": Table(("ranks", "rank", "model", "k", "payload"), tuple(rows))}
    return Verdict(Status.NOT_REFUTED, Evidence.SAMPLED, reason, {"head": HEAD}, tables=tables)


def wire(context: Context) -> Verdict:
    sent, dense = 3, 256  # bytes in the ratio 256/3
    rows = []
    for workers in SPECIAL:
        ours, stated = built.wire(sent, dense, workers).ratio, bounds.ring_ratio(bounds.STATED_RATIO, workers)
        ensure(ours == stated, f"W={workers}: {ours} is said, {stated} stated")
        rows.append((workers, str(stated), float(stated)))
    least = bounds.ring_break_even(bounds.STATED_RATIO)
    below = bounds.ring_ratio(bounds.STATED_RATIO, least - 1) >= 1 > bounds.ring_ratio(bounds.STATED_RATIO, least)
    ensure(below and break_even(sent, dense) == 2 * bounds.STATED_RATIO, f"the ratio does not cross 1 at {least}")
    at = {w: bounds.ring_ratio(bounds.STATED_RATIO, w) for w in (64, least)}
    ensure(at[64] < 85 and at[least] < 1, "the ratio stays where it was")
    witness = f"dense/payload = 256/3: a ring moves {at[64]} times as much at W=64, {at[least]} at W={least}"
    reason = f"the ratio on a ring is 2·(256/3)/W: 8/3 at 64 workers, below 1 from {least} workers on"
    tables = {"ring": Table(("workers", "ratio", "about"), tuple(rows))}
    return Verdict(Status.REFUTED, Evidence.EXACT, reason, {"break-even": least}, witness=witness, tables=tables)


# --- states and operations -----------------------------------------------------------------------------------


def state_bytes(optimizer: torch.optim.Optimizer) -> int:
    """Bytes of all tensors that an optimiser keeps, the counts of steps left out."""
    kept = [v for state in optimizer.state.values() for v in state.values() if isinstance(v, Tensor) and v.dim()]
    return sum(v.nbytes for v in kept)


def overhead(context: Context) -> Verdict:
    rows = []
    for name, make in MODELS.items():
        model = make().to(context.device)
        shapes, numbers, item = _sizes(model)
        gradients = [torch.randn(p.shape, generator=context.generator()).to(p.device) for p in model.parameters()]
        demo = SimulatedDeMo(model.parameters(), 1, lr=1e-3)
        with FlopCounterMode(display=False) as counter:
            demo.step([gradients])
        counted, stated = counter.get_total_flops(), bounds.transform_flops(shapes)
        ensure(counted == stated, f"{name}: {counted} operations were counted, {stated} are stated")
        adamw = torch.optim.AdamW(model.parameters(), lr=1e-3)
        for p, g in zip(model.parameters(), gradients, strict=True):
            p.grad = g
        adamw.step()
        ours, theirs = state_bytes(demo), state_bytes(adamw)
        ensure(ours == numbers * item, f"{name}: DeMo keeps {ours} bytes of {numbers} weights")
        ensure(theirs == 2 * numbers * item, f"{name}: AdamW keeps {theirs} bytes of {numbers} weights")
        rows.append((name, numbers, counted, float(Fraction(counted, numbers)), ours, theirs))
    full = Fraction(bounds.transform_flops([(64, 64)]), 64 * 64)
    ensure(full == 768, f"a chunk of 64×64 takes {full} operations a weight")
    reason = f"operations and bytes of {len(rows)} models as stated; 768 operations a weight in chunks of 64×64"
    columns = ("model", "weights", "operations", "a weight", "DeMo's state", "AdamW's state")
    return Verdict(Status.PROVED, Evidence.EXACT, reason, {}, tables={"models": Table(columns, tuple(rows))})


def _sizes(model: nn.Module) -> tuple[list[bounds.Shape], int, int]:
    """(shapes, numbers, bytes of one)."""
    ps = list(model.parameters())
    return [tuple(p.shape) for p in ps], sum(p.numel() for p in ps), ps[0].element_size()
