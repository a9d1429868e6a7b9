"""Reflections against fractions: the digits that keep them apart, the prototypes near enough, at every limit."""

import math
import random
from dataclasses import replace
from fractions import Fraction

import pytest
import torch

from constructions.vc_dimension import routing_only
from tests.vc_dimension.sign_families import SIZES, double, family_of, value, varied, whole
from theory.vc_dimension.checkers.reflections import _prototypes, check_reflections, read_reflections
from theory.vc_dimension.checkers.signs import (
    SignFamily,
    check_signs,
    probe_labelings,
)

# --- reflections ----------------------------------------------------------------------------------------------------


def reflections_by_hand(family, digits):
    """The failure, from the statement: 2|x − v|√n·r + n·r² below the gap 4·f(c)/|∇f|², r = 2^−digits."""
    points, base, directions = whole(family.points), whole(family.base), whole(family.directions)
    n, apex = len(points[0]), points[0]
    farthest = max(sum((a - b) ** 2 for a, b in zip(p, apex, strict=True)) for p in points)
    r = Fraction(1, 2**digits)
    for u, form in enumerate(base):
        centre, swing = value(form, apex), sum(abs(value(d, apex)) for d in directions[u])
        spread = [sum(abs(d[c]) for d in directions[u]) for c in range(n)]
        steepest = sum((abs(form[c]) + spread[c]) ** 2 for c in range(n))
        flattest = sum(max(0, abs(form[c]) - spread[c]) ** 2 for c in range(n))
        if not (-centre - swing > 0 and flattest >= 1):
            return f"unit {u} may vanish at the apex, or be flat"
        reach = math.isqrt(farthest) + 1 + Fraction(2 * (swing - centre), math.isqrt(flattest))
        if not 2 * reach * (math.isqrt(n - 1) + 1) * r + n * r**2 < Fraction(4 * (-centre - swing), steepest):
            return f"unit {u}: {digits} binary digits do not keep its prototypes apart"
    return None


@pytest.mark.exact
@pytest.mark.parametrize(("n", "width"), [*SIZES, (5, 1)])
def test_digits_that_keep_reflections_apart_are_those_of_fractions(n, width):
    dice = random.Random(f"digits {n} {width}")
    for _ in range(5):
        family = varied(family_of(n, width), dice)
        signs = check_signs(family)
        assert signs.holds
        for digits in range(26):
            failure = reflections_by_hand(family, digits)
            assert check_reflections(family, digits) == replace(signs, failure=failure)
        assert reflections_by_hand(family, 25) is None


@pytest.mark.exact
def test_digits_on_the_line():
    """s·(x − R) ± 1, where the square of the rounding decides at R = 7 and one digit: 24 + 1/4 is not below 24."""
    for slope in (1, 2, 3):
        for reach in range(2, 14):
            family = SignFamily(torch.tensor([[0], [reach]]), double([[slope, -slope * reach]]), double([[[0, 1]]]))
            for digits in range(6):
                assert check_reflections(family, digits).failure == reflections_by_hand(family, digits)
    seven = SignFamily(torch.tensor([[0], [7]]), double([[1, -7]]), double([[[0, 1]]]))
    assert check_reflections(seven, 1).failure == "unit 0: 1 binary digits do not keep its prototypes apart"
    assert check_reflections(seven, 2).holds


def slanted(a, first, second, directions):
    """One unit in the plane, a·(its line), with its points `first` and `second`; the apex is 0."""
    return SignFamily(torch.tensor([[0, 0], first, second]), double([a]), double([directions]))


@pytest.mark.exact
@pytest.mark.parametrize(("side", "right"), [(2**26 - 1, True), (2**26, False)])
def test_squares_of_reflections_stay_below_2_53(side, right):
    """Points as far as (2²⁶, 2²⁶), or slopes as steep."""
    sentence = None if right else "the affine forms or the points are too large for float64 to be exact"
    far = slanted([3, 0, -3 * side], [side, side], [side, side - 1], [[0, 1, 1 - side], [0, -1, side]])
    steep = slanted([side - 1, side - 1, -2 * (side - 1)], [1, 1], [2, 0], [[-1, 0, 2], [0, -1, 1]])
    for family in (far, steep):
        assert check_signs(family).failure is None
        found = check_reflections(family, 200)
        assert found.failure == sentence
        assert (found.points, found.labelings, found.evaluations) == (3, 0, 9)
        assert found.worst == check_signs(family).worst


@pytest.mark.parametrize("unit", [0, 1])
def test_one_unit_may_be_too_steep(unit):
    family = family_of(2, 2)
    family.base[unit] *= 2**26
    assert check_signs(family).holds
    sentence = "the affine forms or the points are too large for float64 to be exact"
    assert check_reflections(family, 200).failure == sentence


def test_a_certificate_that_fails_has_no_reflections():
    family = SignFamily(torch.tensor([[0], [1]]), double([[1, -1]]), double([[[0, 1]]]))
    assert check_reflections(family, 9) == check_signs(family)
    assert check_reflections(family, 0).failure == "unit 0 reaches 0 > -1 at point 0, [0]"


def mirrored(family, labels):
    """The exact reflections (labeling, unit, coordinate) of the apex, as fractions."""
    n, apex = family.points.shape[1], whole(family.points[0])
    base, directions = whole(family.base), whole(family.directions)
    found = []
    for row in labels.tolist():
        found.append([])
        for u, form in enumerate(base):
            s = [1 if row[1 + u * n + i] != row[0] else -1 for i in range(n)]
            full = [form[c] + sum(s[i] * directions[u][i][c] for i in range(n)) for c in range(n + 1)]
            shift = Fraction(2 * value(full, apex), sum(g * g for g in full[:-1]))
            found[-1].append([apex[c] - shift * full[c] for c in range(n)])
    return found


def router(shattered, family, levels, values, digits):
    labels = probe_labelings(*family.points.shape)

    def routers(asked):
        assert torch.equal(asked, labels)
        return levels, values

    return replace(shattered, routers=routers, binary_digits=digits)


@pytest.mark.exact
@pytest.mark.parametrize(("n", "experts", "digits"), [(2, 3, 4), (3, 2, 9), (2, 4, 20)])
def test_prototypes_are_within_one_digit_of_the_reflections(n, experts, digits):
    dice = random.Random(f"prototypes {n} {experts}")
    honest = routing_only(n, experts)
    family = read_reflections(honest)
    assert isinstance(family, SignFamily)
    family = varied(family, dice)
    labels = probe_labelings(*family.points.shape)
    truth, unit = mirrored(family, labels), Fraction(1, 2**digits)
    apex = family.points[0].double().tolist()
    values = double([[1.0 if row[0] else -1.0] + [-1.0 if row[0] else 1.0] * (experts - 1) for row in labels.tolist()])
    found = set()
    for number in range(20):
        rounded = [[[round(v / unit) * unit for v in proto] for proto in row] for row in truth]
        for _ in range(number % 3):
            b, u, c = dice.randrange(len(rounded)), dice.randrange(experts - 1), dice.randrange(n)
            rounded[b][u][c] += dice.choice((-2, -1, 1, 2)) * unit
        wrong = [
            (b, u)
            for b, row in enumerate(truth)
            for u, proto in enumerate(row)
            if any(abs(v - w) > unit for v, w in zip(proto, rounded[b][u], strict=True))
        ]
        levels = [double([[[apex, *([float(v) for v in proto] for proto in row)]] for row in rounded])]
        expected = None
        if wrong:
            expected = f"prototype {wrong[0][1] + 1} of probe labeling {wrong[0][0]} is not the reflection of the apex"
        assert _prototypes(router(honest, family, levels, values, digits), family) == expected
        found.add(expected is None)
    assert found == {True, False}


def on_the_line():
    """x − 3 ± 1 with the apex at 1: reflections 1 + 2·1 and 1 + 2·3, in halves; n = 1 for short numbers."""
    family = SignFamily(torch.tensor([[1], [3]]), double([[1, -3]]), double([[[0, 1]]]))
    labels = probe_labelings(2, 1)
    mirror = double([[[[1.0], [3.0 if row[0] != row[1] else 7.0]]] for row in labels.tolist()])
    values = double([[1.0, -1.0] if row[0] else [-1.0, 1.0] for row in labels.tolist()])
    return family, mirror, values


@pytest.mark.exact
def test_one_digit_away_is_near_enough():
    family, mirror, values = on_the_line()
    honest = routing_only(2, 2)
    assert mirrored(family, probe_labelings(2, 1))[:2] == [[[7]], [[3]]]
    for move, right in ((0.5, True), (-0.5, True), (1.0, False), (-1.0, False)):
        moved = mirror.clone()
        moved[4, 0, 1, 0] += move
        found = _prototypes(router(honest, family, [moved], values, 1), family)
        assert found == (None if right else "prototype 1 of probe labeling 4 is not the reflection of the apex")
    for number, sentence in (
        (2.0**62, "the prototypes are not multiples of 2^-1"),
        (2.0**62 - 2.0**10, "prototype 1 of probe labeling 4 is not the reflection of the apex"),
        (-(2.0**62), "the prototypes are not multiples of 2^-1"),
        (3.25, "the prototypes are not multiples of 2^-1"),
    ):
        moved = mirror.clone()
        moved[4, 0, 1, 0] = number
        assert _prototypes(router(honest, family, [moved], values, 1), family) == sentence


def test_routers_of_another_form():
    family, mirror, values = on_the_line()
    honest, flat = routing_only(2, 2), "the router is not flat with the apex as prototype 0"
    answers = "the answers are not the label of the apex, and the other one for every reflection"

    def found(level, answer=values, *more):
        return _prototypes(router(honest, family, [level, *more], answer, 1), family)

    assert found(mirror) is None
    below = torch.zeros(len(mirror), 2, 1, 1).double()
    assert found(mirror, values, below) == flat
    assert found(torch.cat([mirror, mirror[:, :, 1:]], dim=2)) == flat
    assert found(mirror[:, :, :1]) == flat
    for b in (0, 3):
        moved = mirror.clone()
        moved[b, 0, 0, 0] += 1
        assert found(moved) == flat
        for column in (0, 1):
            other = values.clone()
            other[b, column] *= -1
            assert found(mirror, other) == answers
    assert found(mirror, values * 2) == answers
    assert found(mirror, values[:, :1]).startswith("the routers: answers (11, 1) for 2 prototypes")
    assert found(mirror, values[:-1]).startswith("the routers: answers (10, 2) for 2 prototypes")
    assert found(mirror[:-1], values) == flat
    assert found(torch.cat([mirror, mirror], dim=1)).startswith("the routers: `levels[0]` must have shape")


def test_clusters_that_reflections_read():
    honest = routing_only(3, 3)
    assert isinstance(read_reflections(honest), SignFamily)
    for k in (1, 3, 5, 6):
        sentence = f"{k} points in R^3 are not clusters of n and an apex"
        assert read_reflections(replace(honest, points=honest.points[:k])) == sentence
    moved = honest.points.clone()
    moved[6, 2] += 1
    sentence = "the points are not the clusters and the apex of the gadget"
    assert read_reflections(replace(honest, points=moved)) == sentence
    assert read_reflections(replace(honest, points=torch.arange(5)[:, None])).startswith("5 points in R^1")
