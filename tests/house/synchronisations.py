"""How often each hot path makes the host wait for the device: `python -m tests.house.synchronisations [--places]`.

Main definitions: `CASES` (name -> a function that prepares a case and returns what is measured), `measured`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch

from constructions import BitExtractionMoMLP, PathwayTree, build_momlp, targets
from constructions.functions.box import Box
from constructions.pathway_tree.lattice import Lattice
from constructions.trained_momlp import prepare
from constructions.trained_momlp.training import Options, train_bank
from constructions.vc_dimension import mixture, one_hidden_layer, routing_only
from tests.house.pretend_accelerator import Waits, counting, patched_factories, register
from theory.checkers.uniform_error import sampled
from theory.checkers.uniform_error.banks import banks_of
from theory.checkers.uniform_error.branch_and_bound import Goal, Search, _refine, _seed
from theory.checkers.uniform_error.certify import certify_uniform_error
from theory.checkers.uniform_error.simplex_error import simplex_error
from theory.checkers.uniform_error.view import view_of
from theory.vc_dimension.checkers import shattered_exhaustively
from theory.vc_dimension.checkers.labelings import all_labelings, run_networks

register()  # before the target's gradients
Case = Callable[[torch.device], Callable[[], object]]
CONE = targets.get("cone", n=2)


def _points(count: int, place: torch.device, n: int = 2) -> torch.Tensor:
    return torch.rand(count, n, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).to(place)


def lattice_routing(place: torch.device) -> Callable[[], object]:
    lattice, x = Lattice(Box.of(None, 3), (17, 5), 4), _points(100_000, place, 3)
    return lambda: lattice.index(lattice.coordinates(x))


def tree_routing(place: torch.device) -> Callable[[], object]:
    tree, z = PathwayTree((17, 5, 3), valency=3), _points(100_000, place, 3) * 3
    return lambda: tree.route(z)


def arrays_routing(place: torch.device) -> Callable[[], object]:
    tree, z = PathwayTree((17, 5, 3), valency=3).flatten(device=place), _points(100_000, place, 3) * 3
    return lambda: tree.route(z)


def prototype_arrays_routing(place: torch.device) -> Callable[[], object]:
    tree, x = PathwayTree.from_points(_points(200, place), leaves=20).flatten(), _points(100_000, place)
    return lambda: tree.route(x)


def prototype_routing(place: torch.device) -> Callable[[], object]:
    tree, x = PathwayTree.from_points(_points(200, place), leaves=20), _points(100_000, place)
    return lambda: tree.route(x)


def flat_prototype_routing(place: torch.device) -> Callable[[], object]:
    tree, x = PathwayTree.from_points(_points(200, place), leaves=20), _points(100_000, place)
    return lambda: tree.nearest_leaf(x)


def forward(place: torch.device, count: int = 100_000, **options) -> Callable[[], object]:
    model, x = build_momlp(CONE, eps=0.05, device=place, **options), _points(count, place)
    return lambda: model(x)


def words_forward(place: torch.device) -> Callable[[], object]:
    model, x = build_momlp(CONE, eps=0.2, expert="bit_extraction", device=place), _points(1000, place)
    model(x)  # the order of its additions is made once
    return lambda: model(x)


def lazy_forward(place: torch.device) -> Callable[[], object]:
    model, x = build_momlp(CONE, eps=0.05, lazy=True, device=place), _points(1000, place)
    model(x)
    return lambda: model(x)


def branch_and_bound_batch(place: torch.device) -> Callable[[], object]:
    model = build_momlp(CONE, eps=0.05, device=place)
    view = view_of(model, CONE.domain, 1, max_leaves=1000)
    search = Search(CONE, Goal(gap=1e-6), 1e-15, 10**8, False, lambda message: None)
    _, bank = next(banks_of(view))
    _seed(view, bank, search)
    return lambda: _refine(view, bank, search)


def certificate(place: torch.device, **options) -> Callable[[], object]:
    model = build_momlp(CONE, eps=0.05, device=place)
    return lambda: certify_uniform_error(model, CONE, eps=0.05, samples=500, **options)


def simplices(place: torch.device) -> Callable[[], object]:
    model = build_momlp(CONE, eps=0.1, expert="bit_extraction", device=place)
    assert isinstance(model, BitExtractionMoMLP)
    view = view_of(model, CONE.domain, 1, max_leaves=1000)
    model(_points(10, place))  # the order of its additions is made once
    return lambda: simplex_error(view, CONE, 1e-15, lambda message: None)


def training(place: torch.device, steps: int, every: int) -> Callable[[], object]:
    x = _points(300, torch.device("cpu"))
    ready = prepare(x, x.sum(1).sin(), leaves=5, expert_hidden=(6,))
    options = Options(steps=steps, batch_size=16, evaluate_every=every, patience=1000)
    return lambda: train_bank(ready.problem, ready.initial.clone(), ready.widths, options, device=place)


def labelings(place: torch.device) -> Callable[[], object]:
    """One chunk of stacked networks."""
    shattered = one_hidden_layer(4, 3)
    labels = all_labelings(0, 2**13, 13, place)
    points = shattered.points.to(place, torch.float64)
    return lambda: run_networks(shattered.weights(labels), labels, points)


CASES: dict[str, Case] = {
    "routing 100,000 points, index rule": lattice_routing,
    "routing 100,000 points, tree": tree_routing,
    "routing 100,000 points, arrays of a tree": arrays_routing,
    "routing 100,000 points, tree from data": prototype_routing,
    "routing 100,000 points, arrays of a tree from data": prototype_arrays_routing,
    "routing 100,000 points, flat from data": flat_prototype_routing,
    "forward, 100,000 points": forward,
    "forward, 1,000 points": lambda place: forward(place, 1000),
    "forward, bit extraction, 1,000 points": words_forward,
    "forward, lazy, experts present": lazy_forward,
    "branch and bound, one bank": branch_and_bound_batch,
    "certificate, branch and bound": lambda place: certificate(place),
    "certificate, a priori": lambda place: certificate(place, method="a_priori"),
    "certificate, sampled": lambda place: certificate(place, method="sampled"),
    "simplices of 10 experts": simplices,
    "training, 6 steps, 1 evaluation": lambda place: training(place, 6, 6),
    "training, 18 steps, 1 evaluation": lambda place: training(place, 18, 18),
    "training, 18 steps, 3 evaluations": lambda place: training(place, 18, 6),
    "8192 labelings, one chunk": labelings,
    "all labelings of routers": lambda place: lambda: shattered_exhaustively(routing_only(3, 3), device=place),
    "all labelings of a mixture": lambda place: (
        lambda: shattered_exhaustively(mixture(one_hidden_layer(1, 1), 4), device=place)
    ),
}


def measured(name: str) -> Waits:
    """What the host waited for in one run of a case, after its preparation."""
    with patched_factories() as place:
        work = CASES[name](place)
        with counting() as waits:
            work()
    return waits


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--places", action="store_true", help="also the lines of code that wait")
    places = parser.parse_args().places
    print(f"{'':45}{'waits':>8}{'uploads':>9}")
    for name in CASES:
        waits = measured(name)
        print(f"{name:45}{waits.total:8}{waits.kinds['upload']:9}")
        for (place, kind), count in waits.places.most_common() if places else ():
            print(f"    {count:6} {kind:18} {place}")
    print(f'\nThe sample in "a priori" and "sampled" climbs {sampled.ASCENT_STEPS} steps.')


if __name__ == "__main__":
    main()
