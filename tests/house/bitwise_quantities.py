"""What is claimed to agree bit by bit, computed in many ways: run by `test_bitwise.py`, once an environment.

    python tests/house/bitwise_quantities.py    # JSON: the environment, and {quantity: {way: SHA-256}}

Every quantity has several ways (joint and budgeted, whole and point by point, eager and lazy, …), which must have one
digest in any environment. Quantities named "anywhere: …" are made of IEEE operations alone: one digest in all of them.
Functions are free of sin and exp, whose values belong to the machine.
"""

import contextlib
import hashlib
import json
import sys
import tempfile
from pathlib import Path

import torch

from constructions import LipschitzFunction, PathwayTree, Routing, build_momlp, fixed_order, load, save, train_momlp
from constructions.distributed_momlp.shards import Shards
from constructions.expert_rows.answers import stream
from constructions.functions.box import Box
from constructions.trained_momlp import prepare
from constructions.trained_momlp import training as loop
from constructions.trained_momlp.training import Options, bytes_per_expert
from constructions.vc_dimension.nearest_prototype import NearestPrototype
from constructions.vc_dimension.stacked_momlp import StackedMoMLP

FORMULA = "Abs(x0 - x1)*x2 + Max(x0, x1*x2) + x2*x2/3"


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def uniform(*shape, seed=0):
    return torch.rand(*shape, generator=seeded(seed), dtype=torch.float64)


def digest(value):
    return hashlib.sha256(value.detach().contiguous().numpy().tobytes()).hexdigest()


def whole_and_in_parts(answer, x, sizes=(1, 2, 7, 64)):
    """One batch, batches of several sizes, another order, and the last point alone."""
    ways = {"whole": answer(x), "reversed": answer(x.flip(0)).flip(0)}
    for size in sizes:
        some = x if size > 2 else x[: 40 * size]
        rest = answer(x)[len(some) :]
        ways[f"by {size}"] = torch.cat([*(answer(part) for part in some.split(size)), rest])
    return ways


def pencils(folder):
    f = LipschitzFunction.from_sympy(FORMULA, n=3)
    x = f.domain.sample(600, seeded())
    found = {}
    for dtype in (torch.float64, torch.float32):
        model = build_momlp(f, eps=0.25, dtype=dtype)
        path = save(model, folder / f"{dtype}.safetensors")
        lazy = build_momlp(f, eps=0.25, dtype=dtype, lazy=True, cache_bytes=4000)
        budget = 3 * sum(p.nbytes for p in model.parameters()) // 4
        ways = whole_and_in_parts(model, x)
        ways |= {"lazy": lazy(x), "lazy by 40": torch.cat([lazy(part) for part in x.split(40)])}
        ways["stored, lazy"] = load(path, lazy=True, cache_bytes=4000)(x)
        ways["budget"] = torch.cat(list(stream(load(path, lazy=True, budget_bytes=budget), x.split(100))))
        ways["ranks"] = by_owner(model, x, (model.out_weight, model.out_bias), model.tree.flat_index(model.route(x)))
        ways["vmap"] = torch.func.vmap(lambda row, m=model: m(row[None])[0])(x)
        found[f"anywhere: pencils, {dtype}"] = ways
    return found


def by_owner(model, x, rows, flat, world=3):
    """As three ranks would answer: each holds its own experts and sees the points of no others."""
    shards = Shards.of(model.tree, world)
    y = torch.empty(len(x), model.m, dtype=rows[0].dtype)
    for rank in range(world):
        own = shards.leaves_of(rank)
        mine = torch.isin(flat, own)
        at = torch.searchsorted(own, flat[mine])
        y[mine] = model.run_experts(x[mine], tuple(t[own] for t in rows), at)
    return y


def bit_extraction():
    f = LipschitzFunction.from_sympy(FORMULA, n=3)
    x = f.domain.sample(150, seeded())
    found = {}
    for lookup in ("deep", "wide"):
        options = {"eps": 1.0, "expert": "bit_extraction", "lookup": lookup}
        model = build_momlp(f, **options)
        lazy = build_momlp(f, lazy=True, cache_bytes=1 << 12, **options)
        ways = whole_and_in_parts(model, x, (64,))
        ways |= {"alone": torch.cat([model(x[i : i + 1]) for i in range(9)] + [model(x)[9:]]), "lazy": lazy(x)}
        leaf = model.route(x)
        mine = (leaf == leaf[0]).all(-1)
        one = model(x)
        one[mine] = model(x[mine])  # a batch for one expert
        found[f"anywhere: bit extraction, {lookup}"] = ways | {"one expert": one}
    return found


def stacked():
    layers, inputs = [], 2
    for i, width in enumerate((9, 33, 5, 2)):
        experts = 1 if i % 2 else 12
        layers.append((uniform(experts, width, inputs, seed=i) - 0.5, uniform(experts, width, seed=9 + i) - 0.5))
        inputs = width
    model = StackedMoMLP(Box((0.0, 0.0), (1.0, 1.0)), (4, 3), layers)
    return {"anywhere: stacked experts": whole_and_in_parts(model, uniform(700, 2))}


def routers():
    x = (uniform(900, 5) * 16).round() / 16  # ties
    tree = PathwayTree.from_points((uniform(300, 5, seed=1) * 8).round() / 8, leaves=40, valency=3)
    levels = [uniform(1, 3, 5, seed=2), uniform(3, 4, 5, seed=3)]
    nearest = NearestPrototype([(level * 4).round() / 4 for level in levels], torch.arange(12).double())
    return {
        "routed down a tree": whole_and_in_parts(tree.route, x),
        "routed flat": whole_and_in_parts(tree.nearest_leaf, x),
        "anywhere: nearest prototypes": whole_and_in_parts(nearest, x),
    }


def functions():
    x = uniform(5003) * 20 - 10
    shifted = [torch.cat([f(x[:k]), f(x[k:].clone())]) for f in (fixed_order.exp,) for k in (1, 3, 5)]
    exp = {"whole": fixed_order.exp(x), **{f"cut {i}": s for i, s in enumerate(shifted)}}
    y = uniform(5003) + 1e-3
    log = {"whole": fixed_order.log(y), "cut": torch.cat([fixed_order.log(y[:3]), fixed_order.log(y[3:].clone())])}
    sums = {"whole": fixed_order.total(x[:5000].view(200, 25))}
    sums["alone"] = torch.cat([fixed_order.total(row) for row in x[:5000].view(200, 25).split(1)])
    return {"anywhere: exp": exp, "anywhere: log": log, "anywhere: sums": sums}


class Cut(KeyboardInterrupt):
    pass


def training(folder):
    """Joint, in groups of one and of four, interrupted and resumed; and a trained model's answers."""
    x = uniform(1200, 3) * 5 - 1
    y = (x[:, 0] - 1).abs() * x[:, 2]
    found = {}
    classes = (y > 1).long() + (x[:, 0] > 2).long()
    for values, hidden, batch, dtype in (
        (classes, (6, 7), 1000, torch.float64),
        (y, (), 33, torch.float32),
        (y, (16,), 64, torch.float64),
    ):
        task = "regression" if values is y else "classification"
        options = Options(steps=12, batch_size=batch, evaluate_every=4)
        fixed = {"leaves": 9, "expert_hidden": hidden, "task": task, "routing": Routing(overlap=2), "dtype": dtype}
        ready = prepare(x, values, generator=seeded(), **fixed)
        each = bytes_per_expert(ready.problem, ready.widths, options)
        fixed["options"] = options
        model = train_momlp(x, values, generator=seeded(), **fixed)
        runs = {"joint": model, "resumed": resumed(x, values, folder / f"{task}{batch}", fixed)}
        for size in (1, 4):
            runs[f"groups of {size}"] = train_momlp(x, values, generator=seeded(), budget_bytes=size * each, **fixed)
        name = f"{task}, {hidden}"
        found[f"trained weights, {name}"] = {way: run.experts for way, run in runs.items()}
        found[f"losses, {name}"] = {way: run.report.validation_loss for way, run in runs.items()}
    path = save(model, folder / "trained.safetensors")
    ways = whole_and_in_parts(model, x)
    ways["lazy"] = load(path, lazy=True, cache_bytes=1000)(x)
    ways["budget"] = load(path, lazy=True, budget_bytes=24_000)(x)
    ways["ranks"] = by_owner(model, x, (model.experts,), model.route(x))
    return found | {"answers of a trained model": ways}


def resumed(x, y, path, fixed):
    steps, calls = loop._Group._steps, []

    def cut(self, *arguments):
        calls.append(1)
        if len(calls) == 2:
            raise Cut
        return steps(self, *arguments)

    loop._Group._steps = cut
    with contextlib.suppress(Cut):
        train_momlp(x, y, generator=seeded(), checkpoint=path, **fixed)
    loop._Group._steps = steps
    assert path.exists()
    return train_momlp(x, y, generator=seeded(), checkpoint=path, **fixed)


def quantities():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = pencils(folder) | bit_extraction() | stacked() | routers() | functions() | training(folder)
    return {name: {way: digest(value) for way, value in ways.items()} for name, ways in found.items()}


if __name__ == "__main__":
    environment = {"threads": torch.get_num_threads(), "capability": torch.backends.cpu.get_cpu_capability()}
    json.dump(environment | {"quantities": quantities()}, sys.stdout)
