"""Routing, exactness and shapes against loops over Python integers, and on both sides of every limit."""

import itertools
import random
from fractions import Fraction

import pytest
import torch

from theory.vc_dimension.checkers.exact_routing import binary_digits, levels_fault, route_exactly
from theory.vc_dimension.checkers.labelings import all_labelings, evaluate, float64_is_exact
from theory.vc_dimension.checkers.shapes import fits, layers_fault, numbers_fault, require_labels, require_numbers


def double(values):
    return torch.tensor(values, dtype=torch.float64)


# --- routing ---------------------------------------------------------------------------------------------------


def routed(levels, points):
    """Leaf ids by rational distances, one point and one node at a time."""
    leaves = []
    for tree in range(len(levels[0])):
        row = []
        for point in points.tolist():
            node = 0
            for level in levels:
                children = level[tree, node].tolist()
                gaps = [sum((Fraction(a) - Fraction(b)) ** 2 for a, b in zip(point, v, strict=True)) for v in children]
                node = node * len(children) + gaps.index(min(gaps))
            row.append(node)
        leaves.append(row)
    return leaves


@pytest.mark.exact
@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize(
    ("digits", "size", "reach"),
    [
        (0, 3, 3),
        (4, 7, 3),
        (0, 30, 32),
        (0, 33, 5),
        (0, 34, 34),
        (3, 37, 34),
        (5, 40, 30),
        (20, 41, 30),
        (20, 52, 8),
        (0, 52, 33),
        (2, 53, 20),
    ],
)
def test_routes_are_those_of_rational_distances(n, digits, size, reach):
    """Two trees of levels with 3, 2 and 2 children; prototypes of `size` bits, `digits` of them behind the point.

    Prototypes near each other and points near a bisector, so that wrong low bits change the route; ties, too.
    """
    dice = random.Random(f"{n} {digits} {size} {reach}")
    top, far = 2**size - 1, (2**reach - 1) // n

    def near(value, most):
        return max(-most, min(most, value + dice.randint(-3, 3)))

    levels = []
    for nodes, children in ((1, 3), (3, 2), (6, 2)):
        start = [dice.choice((-1, 1)) * (top - dice.randint(0, top // 4)) for _ in range(n)]
        whole = [[[[near(v, top) for v in start] for _ in range(children)] for _ in range(nodes)] for _ in range(2)]
        levels.append(double(whole) / 2.0**digits)
    points = [[dice.randint(-far, far) for _ in range(n)] for _ in range(12)]
    for level in levels:  # beside prototypes
        points += [[min(far, max(-far, round(v))) for v in proto.tolist()] for proto in level[1].reshape(-1, n)]
    points += [[far] * n, [-far] * n]
    points = double(points)
    assert route_exactly(levels, points).tolist() == routed(levels, points)


@pytest.mark.exact
def test_ties_go_to_the_lowest_child_in_both_ways_of_counting():
    for scale in (1.0, 2.0**40):
        level = double([[[[scale], [-scale], [scale], [3 * scale]]]])
        assert route_exactly([level], double([[0.0], [1.0], [-1.0], [2.0**34]])).tolist()[0][:3] == [0, 0, 1]


@pytest.mark.exact
@pytest.mark.parametrize(("n", "most"), [(1, 2**35 - 1), (2, 2**34 - 1), (3, 2**35 // 3)])
def test_points_are_routed_up_to_the_limit_and_not_beyond(n, most):
    """n·max |x| < 2³⁵."""
    level = double([[[[2.0**53 - 1] * n, [-(2.0**53 - 1)] * n, [2.0**53 - 2] * n]]])
    points = double([[0] * n, [most] * n, [-most] * n, [1 - most] + [0] * (n - 1)])
    assert route_exactly([level], points).tolist() == routed([level], points)
    points[1] += 1
    assert route_exactly([level], points) == "the points are too far out for routing in integers"


def test_prototypes_are_routed_up_to_the_limit_and_not_beyond():
    """53 bits, and 60 of them behind the point."""
    points = double([[0.0], [1.0], [-5.0]])
    for level in (double([[[[2.0**52 - 0.5], [0.0]]]]), double([[[[2.0**-60], [-(2.0**-60)], [0.0]]]])):
        assert route_exactly([level], points).tolist() == routed([level], points)
    for level in (double([[[[2.0**53], [0.0]]]]), double([[[[2.0**52], [0.5]]]]), double([[[[0.5], [-(2.0**52)]]]])):
        assert route_exactly([level], points) == "the prototypes are too fine for their size: more than 53 bits"
    sentence = "the prototypes are not multiples of 2^-60, or the points are not integers"
    assert route_exactly([double([[[[2.0**-61], [0.0]]]])], points) == sentence
    assert route_exactly([double([[[[1.0], [0.0]]]])], double([[1.0], [1.5]])) == sentence
    assert route_exactly([double([[[[1.0], [0.0]]]])], double([[1.5], [1.0]])) == sentence


@pytest.mark.exact
@pytest.mark.parametrize(("top", "reach"), [(1226632630, 138609878), (312211047, 2798105138), (178802122, 5069023198)])
def test_sums_that_float64_rounds_below_a_power_of_two_do_not_wrap(top, reach):
    """5·v·(v + 2x) is 2⁶³ and a little more, and less in float64: in int64 it is negative."""
    assert 5 * top * (top + 2 * reach) >= 2**63 > 5 * (float(top) ** 2 + 2.0 * top * reach)
    level = double([[[[top] * 5, [0] * 5]]])
    assert route_exactly([level], double([[-reach] * 5])).tolist() == [[1]]


def test_binary_digits_by_hand():
    for values, digits in (([3.0], 0), ([0.0], 0), ([0.5, 8.0], 1), ([0.25, 0.5], 2), ([2.0**-60], 60), ([1.75], 2)):
        assert binary_digits(double(values)) == digits
    assert binary_digits(double([2.0**-61])) is None
    assert binary_digits(double([2.0**-60, 2.0**-61])) is None


def test_levels_of_full_trees():
    """Every level has a node for every child of the one before it, in every tree."""

    def levels(*shapes):
        return [torch.zeros(shape, dtype=torch.float64) for shape in shapes]

    assert levels_fault(levels((2, 1, 3, 4)), 4) is None
    assert levels_fault(levels((2, 1, 3, 4), (2, 3, 2, 4), (2, 6, 1, 4), (2, 6, 5, 4)), 4) is None
    assert levels_fault([], 4) == "`levels` must hold at least one level, got 0"
    for shapes, at, wanted in (
        (((2, 2, 3, 4),), 0, "(≥ 1, 1, ≥ 1, 4)"),
        (((2, 1, 3, 5),), 0, "(≥ 1, 1, ≥ 1, 4)"),
        (((2, 1, 0, 4),), 0, "(≥ 1, 1, ≥ 1, 4)"),
        (((2, 1, 3, 4), (3, 3, 2, 4)), 1, "(2, 3, ≥ 1, 4)"),
        (((2, 1, 3, 4), (2, 4, 2, 4)), 1, "(2, 3, ≥ 1, 4)"),
        (((2, 1, 3, 4), (2, 3, 2, 4), (2, 5, 1, 4)), 2, "(2, 6, ≥ 1, 4)"),
    ):
        assert levels_fault(levels(*shapes), 4) == f"`levels[{at}]` must have shape {wanted}, got {shapes[at]}"
        assert route_exactly(levels(*shapes), torch.zeros(1, 4).double()) == levels_fault(levels(*shapes), 4)


# --- stacked networks --------------------------------------------------------------------------------------------


def outputs_and_sums(layers, points):
    """Outputs (B, k) and the largest Σ|w||h| + |b| of stacked integer networks, in Python integers."""
    count = max(len(part) for layer in layers for part in layer)
    outputs, largest = [], 0
    for b in range(count):
        row = []
        for point in points.tolist():
            hidden = [int(v) for v in point]
            for i, (weight, bias) in enumerate(layers):
                hidden = [max(v, 0) for v in hidden] if i else hidden
                w = [[int(v) for v in r] for r in weight[b if len(weight) > 1 else 0].tolist()]
                c = [int(v) for v in bias[b if len(bias) > 1 else 0].tolist()]
                sums = [
                    sum(abs(u * v) for u, v in zip(r, hidden, strict=True)) + abs(d) for r, d in zip(w, c, strict=True)
                ]
                largest = max(largest, *sums)
                hidden = [sum(u * v for u, v in zip(r, hidden, strict=True)) + d for r, d in zip(w, c, strict=True)]
            row.append(hidden[0])
        outputs.append(row)
    return outputs, largest


@pytest.mark.exact
def test_exactness_is_that_of_python_integers():
    """Weights ± powers of two, so that sums fall just below, on and above 2⁵³; shared layers and stacked ones."""
    dice = random.Random(0)
    seen = {True: 0, False: 0}
    for _ in range(150):
        bits = dice.choice((3, 12, 26, 27, 40))

        def number(bits=bits):
            return dice.choice((0, 1, -1)) * (2 ** dice.randint(0, bits) - dice.choice((0, 0, 1)))

        widths, count = [dice.randint(1, 3) for _ in range(dice.randint(1, 3))], dice.randint(1, 3)
        shapes = list(itertools.pairwise([*widths, 1]))
        layers = [
            (
                double([[[number() for _ in range(a)] for _ in range(b)] for _ in range(dice.choice((1, count)))]),
                double([[number() for _ in range(b)] for _ in range(dice.choice((1, count)))]),
            )
            for a, b in shapes
        ]
        points = double([[number() for _ in range(widths[0])] for _ in range(3)])
        outputs, largest = outputs_and_sums(layers, points)
        exact = largest < 2**53
        assert float64_is_exact(layers, points) == exact
        seen[exact] += 1
        if exact:
            found = evaluate(layers, points)
            assert found.expand(len(outputs), -1).tolist() == outputs
    assert min(seen.values()) > 30


@pytest.mark.exact
@pytest.mark.parametrize(("sum_", "exact"), [(2**53 - 1, True), (2**53, False)])
def test_sums_may_come_up_to_the_limit(sum_, exact):
    """w·x + b in one unit, in the second network, and behind a hidden layer."""
    one, none = double([[[1.0]]]), double([[0.0]])
    w, b = double([[[2.0**30]]]), double([[sum_ - 2.0**52]])
    point = double([[1.0], [2.0**22]])
    assert float64_is_exact([(w, b)], point) == exact
    assert float64_is_exact([(w, -b)], -point) == exact
    assert float64_is_exact([(w, -b)], point) == exact
    assert float64_is_exact([(torch.cat([one, w]), torch.cat([none, b]))], point) == exact
    assert float64_is_exact([(one, none), (w, b)], point) == exact
    assert float64_is_exact([(w, b), (one, none)], point) == exact


@pytest.mark.exact
def test_the_bound_of_absolute_values_is_no_point():
    """|x| ≤ 2⁵¹ on both axes: x − y is 2⁵¹ at (2⁵¹, 0) and 0 where both are largest."""
    layers = [(double([[[1.0, -1.0]]]), double([[0.0]])), (double([[[4.0]]]), double([[0.0]]))]
    points = double([[2.0**51, 0.0], [0.0, 2.0**51]])
    assert not float64_is_exact(layers, points)
    assert float64_is_exact(layers, double([[0.0, 2.0**51]]))  # x − y ≤ 0, although |x| + |y| might be 2⁵¹
    layers = [(double([[[1.0, -1.0]]]), double([[0.0]])), (double([[[3.0]]]), double([[0.0]]))]
    assert float64_is_exact(layers, points)


@pytest.mark.parametrize("where", range(3))
def test_one_number_that_is_no_integer_makes_networks_inexact(where):
    parts = [double([[1.0], [2.0]]), double([[[1.0], [3.0]]]), double([[1.0, 2.0]])]
    last = (double([[[1.0, 1.0]]]), double([[0.0]]))
    assert float64_is_exact([(parts[1], parts[2]), last], parts[0])
    parts[where].view(-1)[1] += 0.5
    assert not float64_is_exact([(parts[1], parts[2]), last], parts[0])
    parts[where].view(-1)[1] = float("nan")
    assert not float64_is_exact([(parts[1], parts[2]), last], parts[0])


def test_labelings_are_the_binary_digits_of_their_numbers():
    for start, stop, k in ((0, 8, 3), (5, 9, 6), (2**40, 2**40 + 3, 45), (3, 4, 1)):
        rows = [[bool(number >> i & 1) for i in range(k)] for number in range(start, stop)]
        assert all_labelings(start, stop, k, "cpu").tolist() == rows


# --- shapes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", [0, 1])
def test_integers_up_to_2_53_of_both_signs(place):
    for value in (2**53, -(2**53), 2**53 - 1, 0):
        row = torch.tensor([3, 3])
        row[place] = value
        assert numbers_fault("x", row, (2,)) is None
        assert numbers_fault("x", row, (2,), whole=True) is None
    for value in (2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63)):
        row = torch.tensor([3, -4])
        row[place] = value
        assert numbers_fault("x", row, (2,)) == f"`x` must be integers up to 2^53, got {value}"
        with pytest.raises(ValueError, match="`x` must be integers up to"):
            require_numbers("x", row, (2,))


@pytest.mark.parametrize("dtype", [torch.int32, torch.int16, torch.int8, torch.uint8])
def test_short_integers_always_fit(dtype):
    ends = torch.iinfo(dtype)
    assert numbers_fault("x", torch.tensor([ends.min, ends.max], dtype=dtype), (2,), whole=True) is None


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_finite_floats_where_integers_are_not_asked_for(dtype):
    row = torch.tensor([0.5, 2.0, -3.0], dtype=dtype)
    assert numbers_fault("x", row, (None,)) is None
    assert require_numbers("x", row, (3,)) is row
    assert numbers_fault("x", row, (3,), whole=True) == f"`x` must be integers, got dtype {dtype}"
    with pytest.raises(ValueError, match="must be integers, got dtype"):
        require_numbers("x", row, (3,), whole=True)
    for place, value in ((0, float("nan")), (2, float("inf")), (1, -float("inf"))):
        broken = row.clone()
        broken[place] = value
        assert numbers_fault("x", broken, (3,)) == f"`x` must be finite, got {value}"


def test_what_is_no_tensor_of_numbers():
    assert numbers_fault("x", [1.0], (1,)) == "`x` must be a torch.Tensor, got list"
    assert numbers_fault("x", torch.ones(1, dtype=torch.complex64), (1,)).endswith(
        "real numbers, got dtype torch.complex64"
    )
    assert numbers_fault("x", torch.ones(2, dtype=torch.bool), (2,)) == "`x` must be real numbers, got dtype torch.bool"
    assert numbers_fault("x", torch.ones(2, 3), (2, None, 3)) == "`x` must have shape (2, ≥ 1, 3), got (2, 3)"


def test_shapes_that_fit():
    for shape, wanted in (((), ()), ((2,), (2,)), ((1,), (None,)), ((5, 3), (None, 3)), ((0,), (0,))):
        assert fits(shape, wanted)
    for shape, wanted in (
        ((2,), (3,)),
        ((0,), (None,)),
        ((2, 3), (2,)),
        ((2,), (2, 3)),
        ((2, 3), (2, 4)),
        ((4, 3), (2, 3)),
    ):
        assert not fits(shape, wanted)


def test_labels_are_bool_or_the_integers_0_and_1():
    truth = torch.tensor([[True, False, True], [False, False, True]])
    assert require_labels("y", truth, (None, 3)) is truth
    for dtype in (torch.int64, torch.uint8, torch.int8):
        found = require_labels("y", truth.to(dtype), (2, 3))
        assert found.dtype is torch.bool
        assert torch.equal(found, truth)
    assert not require_labels("y", torch.zeros(1, 2, dtype=torch.int32), (1, 2)).any()
    assert require_labels("y", torch.ones(1, 2, dtype=torch.int32), (1, 2)).all()
    for wrong in (
        truth.float(),
        truth.long() * 2,
        -truth.long(),
        truth.long() + 1,
        truth[0],
        truth[:, :2],
        [[1, 0, 1]],
    ):
        with pytest.raises(ValueError, match="`y` must be labels 0 and 1 of shape"):
            require_labels("y", wrong, (None, 3))


def test_the_number_of_stacked_networks_is_1_or_theirs():
    def layers(first, second, *, count=1):
        return [(torch.ones(first, 2, 3), torch.ones(second, 2)), (torch.ones(count, 1, 2), torch.ones(1, 1))]

    for first, second in ((1, 1), (1, 4), (4, 1), (4, 4)):
        assert layers_fault(layers(first, second), 4, 3) is None
        assert layers_fault(layers(first, second, count=4), 4, 3) is None
    for first, second in ((2, 1), (1, 2), (4, 2), (2, 2), (5, 5), (3, 4)):
        assert f"got {first} weights and {second} biases" in layers_fault(layers(first, second), 4, 3)
    assert layers_fault(layers(2, 1), 2, 3) is None
    for odd in (None, 5, torch.ones(2, 2), [torch.ones(1, 1, 3)], [None], [[torch.ones(1, 1, 3)]], [(1, 2, 3)]):
        assert layers_fault(odd, 1, 3) is not None
    assert layers_fault([[torch.ones(1, 1, 3), torch.ones(1, 1)]], 1, 3) is None
    assert layers_fault(((torch.ones(1, 1, 3), torch.ones(1, 1)),), 1, 3) is None
    assert layers_fault(((torch.ones(1, 2, 3), torch.ones(1, 2)),), 1, 3) == "`layers` must end with one output, got 2"
