"""Routers against nearest-neighbour search, part of `run.py`; alone: `python benchmarks/routers.py [--quick]`.

Peers get as many threads as we do. Over a lattice all give the same leaves, which is checked. From data the tree's
leaf is not always the nearest one, which cKDTree finds: how often they differ is in the name of the row.

Main definitions: `lattice`, `data`.
"""

from __future__ import annotations

import argparse
from importlib.util import find_spec

import numpy as np
import torch
from rich.console import Console
from scipy.spatial import cKDTree
from timing import show, timed_row
from torch import Tensor

from constructions import MoMLP, PathwayTree, build_momlp, targets
from constructions.pathway_tree.flat_tree import kernels
from theory.pathway_tree.manifolds import embedded

INSTANCES = ((2, 1e-3), (3, 0.01), (4, 0.05))
"""(n, eps) of the mixtures whose routers are measured."""
CLOUDS = ("uniform in R^2", "uniform in R^6", "circle in R^10", "torus in R^10", "swiss_roll in R^10", "sphere in R^10")
LEAVES, POINTS = 1000, 20_000


def lattice(model: MoMLP, x: Tensor) -> list[dict]:
    """Routing by index rule, tree and arrays of the tree against nearest-neighbour search among the same prototypes."""
    rule, tree, flat = model.plan.lattice, model.tree, model.tree.flatten()
    z = rule.coordinates(x)
    prototypes, points = tree.leaf_indices().double() + 0.5, z.numpy()
    leaves = tree.flat_index(model.route(x))
    ways = {
        "index rule": lambda: rule.index(rule.coordinates(x)),
        "tree": lambda: tree.route(z),
        "arrays of the tree, torch operations": lambda: flat.descend(z),
    }
    if kernels() is not None:
        ways["arrays of the tree, numba"] = lambda: flat.route(z)
    require_same(flat.route(z), leaves, "the compiled tree")
    require_same(flat.descend(z), leaves, "the tree in torch operations")
    kd = cKDTree(prototypes.numpy())
    require_same(torch.from_numpy(kd.query(points)[1]), leaves, "cKDTree")
    peers = {"scipy cKDTree": lambda: kd.query(points, workers=torch.get_num_threads())}
    if find_spec("faiss"):
        import faiss

        index = faiss.IndexFlatL2(prototypes.shape[1])
        index.add(prototypes.numpy().astype(np.float32))
        single = points.astype(np.float32)
        peers["faiss IndexFlatL2 (float32)"] = lambda: index.search(single, 1)
    name = f"route, n={model.n}, L={model.num_leaves}, {len(x)} points"
    return [
        timed_row(f"{name}: {way}", peer, "points/s", (len(x), len(x)), ours, theirs)
        for peer, theirs in peers.items()
        for way, ours in ways.items()
        if peer == "scipy cKDTree" or way != "arrays of the tree, torch operations"
    ]


def data(count: int) -> list[dict]:
    """Trees of 2 and 8 children over nets of clouds; the points that are routed are others of the same clouds."""
    rows = []
    for cloud in CLOUDS:
        points = _cloud(cloud, POINTS + count)
        net, x = points[:POINTS], points[POINTS:].contiguous()
        for valency in (2, 8):
            tree = PathwayTree.from_points(net, leaves=LEAVES, valency=valency)
            flat, kd, values = tree.flatten(), cKDTree(tree.leaf_prototypes.numpy()), x.numpy()
            found = tree.route(x)
            require_same(flat.route(x), found, "the compiled tree")
            differ = float((torch.from_numpy(kd.query(values)[1]) != found).double().mean())
            name = f"route, {cloud}, {valency} children, L={LEAVES}, {len(x)} points, {differ:.0%} not to the nearest"
            theirs = lambda kd=kd, values=values: kd.query(values, workers=torch.get_num_threads())  # noqa: E731
            ways = {"tree": tree} | ({"arrays, numba": flat} if kernels() is not None else {})
            for way, router in ways.items():
                ours = lambda router=router, x=x: router.route(x)  # noqa: E731
                rows.append(timed_row(f"{name}: {way}", "scipy cKDTree", "points/s", (len(x), len(x)), ours, theirs))
    return rows


def _cloud(name: str, count: int) -> Tensor:
    """(`count`, n) points of a cloud, in random order."""
    shape, n = name.split(" in R^")
    g = torch.Generator().manual_seed(0)
    if shape == "uniform":
        return torch.rand(count, int(n), generator=g, dtype=torch.float64)
    points = embedded(shape, int(n), count=count + count // 10, generator=g).points
    return points[torch.randperm(len(points), generator=g)[:count]].contiguous()


def require_same(found: Tensor, expected: Tensor, router: str) -> None:
    """Random points lie on no face, so that a peer in float64, too, must agree everywhere."""
    wrong = int((found != expected).sum())
    if wrong:
        raise RuntimeError(f"{router} disagrees with the router at {wrong} of {len(expected)} random points")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer points")
    count = 5_000 if parser.parse_args().quick else 50_000
    rows = []
    for n, eps in INSTANCES:
        model = build_momlp(targets.get("sum_of_sines", n=n), eps=eps)
        rows.extend(lattice(model, model.plan.domain.sample(count, torch.Generator().manual_seed(0))))
    rows.extend(data(count))
    show(rows, Console(width=180))


if __name__ == "__main__":
    main()
