"""Mixtures against plain loops, and which certificate decides how many points."""

import random
from dataclasses import replace
from fractions import Fraction

import pytest
import torch

from constructions import BudgetExceeded, StoreError
from constructions.functions.box import Box
from constructions.vc_dimension import (
    mixture,
    one_hidden_layer,
    routing_only,
    routing_pairs,
)
from constructions.vc_dimension.mixture import MOST_CELLS
from tests.vc_dimension.stored_sets import contents, written
from theory.vc_dimension.checkers import (
    certificates,
    certified,
    shattered_by_cells,
    shattered_by_one_hidden_layer,
    shattered_by_reflections,
)
from theory.vc_dimension.checkers.file import check_file, save_shattered
from theory.vc_dimension.checkers.mixtures import _same, exact_cells, routes_home
from theory.vc_dimension.checkers.networks import _mixture_failure, _router_failure, inexact_routing
from theory.vc_dimension.checkers.report import ShatteringReport


def double(values):
    return torch.tensor(values, dtype=torch.float64)


# --- mixtures ---------------------------------------------------------------------------------------------


def test_mixtures_of_one_cell_and_of_too_many(tmp_path):
    path = save_shattered(mixture(one_hidden_layer(2, 1), 2), tmp_path / "s")
    spec, tensors = contents(path)
    report = check_file(path)[1]
    assert (report.points, report.labelings, report.failure) == (6, 0, None)
    assert report.evaluations == sum(
        shattered_by_one_hidden_layer(c).evaluations for c in mixture(one_hidden_layer(2, 1), 2).cells
    )
    low, high = spec["domain"]
    width = (high[0] - low[0]) / 2
    one = spec | {"kinds": spec["kinds"][:1], "domain": [low, [low[0] + width, *high[1:]]]}
    first = {name: t for name, t in tensors.items() if name.startswith("cell.0.")}
    assert check_file(written(path, one, first))[1].holds
    for kinds, found in (([], 0), ([{"kind": "signs"}] * (MOST_CELLS + 1), MOST_CELLS + 1)):
        with pytest.raises(StoreError, match=f"`kinds` must name the kind of 1 to {MOST_CELLS} cells, got {found}"):
            check_file(written(path, spec | {"kinds": kinds}, tensors))
    with pytest.raises(StoreError, match=r"there must be tensors `cell\.2\.…`"):
        check_file(written(path, spec | {"kinds": [{"kind": "signs"}] * MOST_CELLS}, tensors))
    for kind in ({"kind": "mixture"}, {"kind": "routers"}, {}, "signs", None, {"kind": "reflections"}):
        with pytest.raises(StoreError, match="cell 1: `kinds` must be JSON objects of kind signs, table, networks"):
            check_file(written(path, spec | {"kinds": [spec["kinds"][0], kind]}, tensors))
    swapped = {
        name.replace("cell.0", "cell.x").replace("cell.1", "cell.0").replace("cell.x", "cell.1"): t
        for name, t in tensors.items()
    }
    report = check_file(written(path, spec, swapped))[1]
    assert report.failure.startswith("cell 0: points with first coordinate")
    assert (report.points, report.labelings) == (3, 0)
    broken = tensors | {"cell.1.base": tensors["cell.1.base"] + 1}
    report = check_file(written(path, spec, broken))[1]
    assert report.failure.startswith("cell 1: ")
    assert report.points == 6


@pytest.mark.parametrize(
    ("ends", "message"),
    [
        ([[0, 0]], "`domain` must be two lists of as many numbers"),
        ([[0, 0], [9, 9], [9, 9]], "`domain` must be two lists of as many numbers"),
        ([[0, 0], [9]], "`domain` must be two lists of as many numbers"),
        ([[0], [9, 9]], "`domain` must be two lists of as many numbers"),
        ([[0, 0], 5], "`domain` must be two lists of as many numbers"),
        ([5, [0, 0]], "`domain` must be two lists of as many numbers"),
        ([[0, 0], "99"], "`domain` must be two lists of as many numbers"),
        (["00", [9, 9]], "`domain` must be two lists of as many numbers"),
        ([[0, 0], [9, "9"]], "`domain` must be numbers, got"),
        ([[0, True], [9, 9]], "`domain` must be numbers, got"),
        ([[0, 0], [9, 10**400]], "`domain` must be numbers that a float can hold"),
        ([[0, 0], [9, 2**53 + 1]], "`domain` must be numbers that a float holds exactly"),
        ([[-(2**53) - 1, 0], [9, 9]], "`domain` must be numbers that a float holds exactly"),
        (5, "`domain` must be a JSON list"),
    ],
)
def test_domains_of_stored_mixtures(ends, message, tmp_path):
    path = save_shattered(mixture(one_hidden_layer(2, 1), 2), tmp_path / "s")
    spec, tensors = contents(path)
    with pytest.raises(StoreError, match=message):
        check_file(written(path, spec | {"domain": ends}, tensors))


def cells_by_hand(domain, count, points, home):
    if not all(a <= v <= b for p in points for a, v, b in zip(domain.lo, p, domain.hi, strict=True)):
        return "is not in the domain"
    width = (Fraction(domain.hi[0]) - Fraction(domain.lo[0])) / count
    wrong = [
        (p[0], h)
        for p, h in zip(points, home, strict=True)
        if not Fraction(domain.lo[0]) + h * width < Fraction(p[0]) < Fraction(domain.lo[0]) + (h + 1) * width
    ]
    if not wrong:
        return None
    first, cell = min(wrong)
    return f"points with first coordinate {first} are not inside cell {cell}"


@pytest.mark.exact
def test_cells_of_points_are_those_of_a_loop():
    dice, found = random.Random(0), set()
    for number in range(150):
        count, low = dice.randint(1, 5), dice.randint(-3, 3) / 2
        domain = Box((low, -1.0), (low + count * dice.choice((0.25, 1, 3)), 2.0))
        width = (domain.hi[0] - domain.lo[0]) / count
        home = [dice.randrange(count) for _ in range(3)]
        points = [[low + (h + dice.choice((0.25, 0.5, 0.75))) * width, dice.choice((-1.0, 0.5, 2.0))] for h in home]
        if number % 3 == 1:
            points[dice.randrange(3)][0] += dice.choice((-1, -0.5, 0.25, 0.5, 1)) * width
        if number % 10 == 2:
            points[dice.randrange(3)][1] = dice.choice((-1.5, 2.5))
        expected, said = (
            cells_by_hand(domain, count, points, home),
            exact_cells(domain, count, double(points), torch.tensor(home)),
        )
        assert said == expected or (expected == "is not in the domain" and expected in said)
        found.add(expected if expected is None else expected[:5])
    assert len(found) == 3
    assert (
        exact_cells(Box((0.0,), (1.0,)), 1, double([[0.5, 0.5]]), torch.tensor([0]))
        == "the domain is in R^1, the points are in R^2"
    )


def test_the_first_point_sent_elsewhere_is_named():
    shattered = mixture(one_hidden_layer(2, 1), 3)
    module = shattered.module(torch.zeros(9, dtype=torch.bool))
    home = torch.arange(3).repeat_interleave(3)
    assert routes_home(module, shattered.points, home).failure is None
    for point in (0, 4, 8):
        other = home.clone()
        other[point] = (other[point] + 1) % 3
        where = f"point {point}, {shattered.points[point].tolist()}, to cell {int(home[point])}"
        assert routes_home(module, shattered.points, other).failure == f"the index rule sends {where}"
    assert routes_home(module, shattered.points, home[:-1]).failure == "8 cells are named for 9 points"


def test_parameters_that_are_the_same():
    one, two = torch.nn.Linear(2, 3), torch.nn.Linear(2, 3)
    assert _same(list(one.parameters()), one)
    assert not _same(list(one.parameters())[:1], one)
    assert not _same([*one.parameters(), torch.zeros(1)], one)
    assert not _same([one.weight, two.bias + 1], one)
    assert not _same([two.weight + 1, one.bias], one)


def test_the_worst_cell_is_reported():
    shattered = mixture(one_hidden_layer(2, 1), 3)
    reports = [ShatteringReport(3, 0, 7, None, worst) for worst in (-9, -2, -5)]
    asked = iter(reports)
    report = shattered_by_cells(shattered, lambda cell: next(asked))
    assert report == ShatteringReport(9, 0, 21, None, -2)
    asked = iter([replace(reports[0], worst=None), reports[1], reports[2]])
    assert shattered_by_cells(shattered, lambda cell: next(asked)).worst == -2
    asked = iter([reports[0], replace(reports[1], failure="why"), reports[2]])
    assert shattered_by_cells(shattered, lambda cell: next(asked)) == ShatteringReport(9, 0, 14, "cell 1: why", -2)
    with pytest.raises(TypeError, match="`shattered` must be a ShatteredMixture, got ShatteredSet"):
        shattered_by_cells(one_hidden_layer(2, 1), certified)


def test_experts_that_are_not_their_cells():
    """A module of other weights, or one that answers other random labelings."""
    honest = mixture(one_hidden_layer(2, 1), 3)
    first, second, third = honest.cells

    def opposite(labels):
        layers = second.weights(labels)
        return [*layers[:-1], tuple(-part for part in layers[-1])]

    def counted(cell):
        return ShatteringReport(cell.size, 0, 1, None)

    assert shattered_by_cells(honest, counted).holds
    broken = replace(honest, cells=(first, replace(second, weights=opposite), third))
    report = shattered_by_cells(broken, counted)
    assert report.failure is not None
    assert (report.points, report.labelings, report.evaluations) == (9, 0, 0)


def test_modules_of_mixtures_by_hand():
    """Three cells of three points: each expert's own points decide, and exact routing."""
    shattered = mixture(one_hidden_layer(2, 1), 3)
    x = shattered.points.double()
    for word in ([False] * 9, [True, False, True] * 3):
        labels = torch.tensor(word)
        module = shattered.module(labels)
        leaf = module.route(x)
        assert _mixture_failure(module, labels, x) is None
        assert inexact_routing(module, leaf, x) is None
        for point in (0, 4, 8):
            cell = point // 3
            wrong = labels.clone()
            wrong[point] = ~wrong[point]
            inside = "".join(map(str, wrong[3 * cell : 3 * cell + 3].int().tolist()))
            failure = _mixture_failure(module, wrong, x)
            place = x[point].tolist()
            assert failure.startswith(f"expert {cell}: labeling {inside}: point {point % 3}, {place}, has label")
            other, away = leaf.clone(), (cell + 1) % 3
            other[point] = away
            sentence = f"point {point}, {place}, is routed to ({away},), exactly the nearest prototype is ({cell},)"
            assert inexact_routing(module, other, x) == sentence
        with torch.no_grad():
            module.biases[-1][1].neg_()
            module.weights[-1][1].neg_()
        assert _mixture_failure(module, labels, x).startswith("expert 1: labeling ")
        flat = torch.cat([x, x[:, :1]], dim=1)
        assert inexact_routing(module, leaf, flat) == "the mixture is on R^2, the points are in R^3"
        with pytest.raises(ValueError, match="`points`"):
            inexact_routing(module, leaf, x + 10**6)
        misled = shattered.module(labels)
        misled.route = lambda points, leaf=leaf: (leaf + 1) % 3
        with pytest.raises(TypeError, match="as its class makes it, but StackedMoMLP has its own route"):
            _mixture_failure(misled, labels, x)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(module), "route", lambda self, points, leaf=leaf: (leaf + 1) % 3)
            failure = _mixture_failure(shattered.module(labels), labels, x)
        assert failure.endswith("is routed to (1,), exactly the nearest prototype is (0,)")


def test_routers_as_modules_by_hand():
    """Each label turned is noticed at its point, and prototypes that are no dyadic numbers, too."""
    shattered = routing_only(2, 3)
    x = shattered.points.double()
    labels = torch.tensor([True, False, True, True, False])
    module = shattered.module(labels)
    assert _router_failure(module, labels, x) is None
    for point in range(5):
        wrong = labels.clone()
        wrong[point] = ~wrong[point]
        word = "".join(map(str, wrong.int().tolist()))
        assert _router_failure(module, wrong, x).startswith(f"labeling {word}: point {point}, {x[point].tolist()}")
    with torch.no_grad():
        module.levels[0][0, 1, 0] += 2.0**-61
        module.levels[0][0, 1, 0] *= 2.0**-61
    assert "not multiples of 2^-60" in _router_failure(module, labels, x)


def test_experts_that_change_between_two_looks():
    """The second cell's networks double with every look: the labels stay right, the networks are not the same."""
    honest = mixture(one_hidden_layer(2, 1), 3)
    first, second, third = honest.cells
    looks = []

    def doubling(labels):
        looks.append(None)
        return [*second.weights(labels)[:-1], tuple(part * 2.0 ** len(looks) for part in second.weights(labels)[-1])]

    changing = replace(honest, cells=(first, replace(second, weights=doubling), third))
    report = shattered_by_cells(changing, lambda cell: ShatteringReport(cell.size, 0, 1, None))
    assert report.failure == "expert 1 of the mixture is not the network of its cell"


# --- which certificate ------------------------------------------------------------------------------------


def unreadable(shattered, answer=None):
    """The set with every layer's last unit doubled: none of the certificates reads it, unless it `answer`s."""

    def weights(labels):
        if answer is not None:
            return [
                (
                    torch.zeros(len(labels), 1, shattered.points.shape[1]).double(),
                    double([[answer]]).expand(len(labels), 1),
                )
            ]
        layers = shattered.weights(labels)
        return [(layers[0][0] * 2, layers[0][1] * 2), (layers[1][0], layers[1][1] * 2)]

    return replace(shattered, weights=weights)


def test_how_many_points_are_run_beside_the_certificate(monkeypatch):
    run = []
    honest = certificates.shattered_exhaustively
    monkeypatch.setattr(certificates, "shattered_exhaustively", lambda s: run.append(s.size) or honest(s))
    for shattered in (one_hidden_layer(3, 3), one_hidden_layer(2, 5)):
        assert certified(shattered) == shattered_by_one_hidden_layer(shattered)
    assert run == [10]
    wrong = ShatteringReport(10, 1024, 10240, "why")
    monkeypatch.setattr(certificates, "shattered_exhaustively", lambda s: wrong)
    assert certified(one_hidden_layer(3, 3)) == wrong
    assert certified(one_hidden_layer(2, 5)) == ShatteringReport(11, 0, 11 * 5 * 3, None, -9)


def test_how_many_points_are_enumerated_where_no_certificate_reads(monkeypatch):
    with pytest.raises(
        BudgetExceeded, match=r"21 points have 2\^21 labelings, and no certificate reads: the labels are"
    ):
        certified(unreadable(one_hidden_layer(20, 1), 1.0))
    assert certified(unreadable(one_hidden_layer(19, 1), 1.0)).failure.startswith(
        "labeling 00000000000000000000: point 0"
    )
    monkeypatch.setattr("theory.vc_dimension.checkers.certificates.FEW_POINTS", 5)
    assert certified(unreadable(one_hidden_layer(2, 2))) == ShatteringReport(5, 32, 160, None)
    with pytest.raises(BudgetExceeded, match=r"7 points have 2\^7 labelings, and no certificate reads"):
        certified(unreadable(one_hidden_layer(3, 2)))
    broken = replace(routing_only(3, 3), binary_digits=1)
    assert certified(broken) == shattered_by_reflections(broken)
    assert "do not keep its prototypes apart" in certified(broken).failure


def test_sets_that_no_certificate_reads_are_reported_as_such():
    other = unreadable(one_hidden_layer(2, 2))
    assert shattered_by_one_hidden_layer(other) == ShatteringReport(5, 0, 0, "the output layer is not ±(2Σ − 1)")
    pairs = routing_pairs(2, 4, tree=True)
    sentence = f"{pairs.size} points in R^2 are not clusters of n and an apex"
    assert shattered_by_reflections(pairs) == ShatteringReport(pairs.size, 0, 0, sentence)
    with pytest.raises(TypeError, match="`shattered` must be a ShatteredSet, got ShatteredRouting"):
        shattered_by_one_hidden_layer(pairs)
    with pytest.raises(TypeError, match="`shattered` must be a ShatteredRouting, got ShatteredSet"):
        shattered_by_reflections(other)
