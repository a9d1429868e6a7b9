"""The product rule: exact routing of the points and a certificate for every cell shatter their union.

Main definitions: `shattered_by_cells`, `routes_home`.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import torch
from torch import Tensor

from constructions.functions.box import Box
from constructions.vc_dimension import ShatteredMixture, ShatteredSet
from constructions.vc_dimension.stacked_momlp import StackedMoMLP
from theory import exact
from theory.claim import Report
from theory.pathway_tree.tree_structure import tree_structure
from theory.vc_dimension.checkers.labelings import require_shattered, shattered_by_random_labelings
from theory.vc_dimension.checkers.report import ShatteringReport, distinct_points

PROBES = 4


def shattered_by_cells(
    shattered: ShatteredMixture, certificate: Callable[[ShatteredSet], ShatteringReport]
) -> ShatteringReport:
    """Exact routing, `certificate` on every cell's own networks, and the actual module on random labelings."""
    if type(shattered) is not ShatteredMixture:
        raise TypeError(f"`shattered` must be a ShatteredMixture, got {type(shattered).__name__}")
    points = require_shattered(shattered)
    failure = distinct_points(points) or _module_failure(shattered)
    evaluations, worst = 0, None
    for number, cell in enumerate(shattered.cells):
        if failure is not None:
            break
        report = certificate(cell)
        evaluations += report.evaluations
        worst = report.worst if worst is None or report.worst is None else max(worst, report.worst)
        if report.failure is not None:
            failure = f"cell {number}: {report.failure}"
    return ShatteringReport(len(points), 0, evaluations, failure, worst)


def _module_failure(shattered: ShatteredMixture) -> str | None:
    """Whether modules route the points to their cells, hold the cells' networks, and realise random labelings."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.rand(PROBES, shattered.size, generator=generator) < 0.5
    sizes = [cell.size for cell in shattered.cells]
    home = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    for row in labels:
        module = shattered.module(row)
        failure = routes_home(module, shattered.points, home).failure
        for number, (cell, part) in enumerate(zip(shattered.cells, row.split(sizes), strict=True)):
            if failure is None and not _same(list(module.expert(number).parameters()), cell.module(part)):
                failure = f"expert {number} of the mixture is not the network of its cell"
        if failure is not None:
            return failure
    return shattered_by_random_labelings(shattered, PROBES, generator).failure


def _same(parameters: list[Tensor], network: torch.nn.Module) -> bool:
    others = list(network.parameters())
    return len(parameters) == len(others) and all(torch.equal(a, b) for a, b in zip(parameters, others, strict=True))


def routes_home(module: StackedMoMLP, points: Tensor, home: Tensor) -> Report:
    """Whether index rule, tree and nearest prototype send points (k, n) to cells `home`, in float64 and exactly."""
    x = points.double()
    if len(home) != len(points):
        return Report(f"{len(home)} cells are named for {len(points)} points")
    z = module.lattice.coordinates(x)
    routers = {
        "the index rule": module.route(x),
        "the tree": module.tree.route(z),
        "the nearest prototype": module.tree.nearest_leaf(z),
    }
    for name, leaf in routers.items():
        wrong = leaf[:, 0] != home
        if bool(wrong.any()):
            point = int(wrong.int().argmax())
            where = f"point {point}, {points[point].tolist()}, to cell {int(leaf[point, 0])}"
            return Report(f"{name} sends {where}")
    structure = tree_structure(module.tree.to_networkx(), module.tree.cells, valency=module.tree.valency)
    if not structure.holds:
        return Report(f"the tree: {structure.failure}")
    return Report(exact_cells(module.lattice.domain, module.tree.cells[0], points, home))


def exact_cells(domain: Box, count: int, points: Tensor, home: Tensor) -> str | None:
    """Whether the first coordinate of every point lies strictly inside cell `home` of `count` equal ones, exactly."""
    if points.shape[1] != domain.n:
        return f"the domain is in R^{domain.n}, the points are in R^{points.shape[1]}"
    low, high = domain.tensors(points.device)
    x = points.double()
    inside = ((x >= low) & (x <= high)).all(1)
    if not bool(inside.all()):
        return f"point {points[int(inside.int().argmin())].tolist()} is not in the domain {domain}"
    start, width = Fraction(domain.lo[0]), domain.sides[0] / count
    pairs = torch.unique(torch.stack([x[:, 0], home.double()], dim=1), dim=0)
    for first, cell in pairs.tolist():
        z = (Fraction(first) - start) / width
        if exact.route_lattice([z], [count]) != (int(cell),) or z.denominator == 1:
            return f"points with first coordinate {first} are not inside cell {int(cell)}"
    return None
