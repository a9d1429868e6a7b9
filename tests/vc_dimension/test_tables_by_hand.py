"""The table certificate against loops over Python integers: forms, intervals, words, and every limit of the arrays."""

import random
from dataclasses import replace

import numpy as np
import pytest
import torch

from constructions import BudgetExceeded
from constructions.vc_dimension import deep, one_hidden_layer, two_hidden_layers, wide
from constructions.vc_dimension.shattered_set import MOST_BITS, MOST_LAYERS
from theory.vc_dimension.checkers import shattered_by_table
from theory.vc_dimension.checkers.integers import compact, product, times
from theory.vc_dimension.checkers.table import (
    _inconsistent,
    _malformed,
    _memory,
    _memory_of,
    _one_row_a_bit,
    _stack_fault,
    _table_fault,
    check_set,
    check_table,
    read_set,
    read_table,
)
from theory.vc_dimension.checkers.table_bits import _Part, bits_come_out, every_word
from theory.vc_dimension.checkers.table_family import TableFamily

READ = [deep(2, 1, 3), two_hidden_layers(3), wide(3, 2, 2), deep(1, 2, 2)]


def family_of(shattered):
    family = read_set(shattered)
    assert isinstance(family, TableFamily)
    return family


def whole(array):
    return [[int(v) for v in row] for row in array]


def relu(values):
    return [max(v, 0) for v in values]


def affine(weight, bias, values):
    return [sum(w * v for w, v in zip(row, values, strict=True)) + c for row, c in zip(weight, bias, strict=True)]


def run(family, entries, point):
    """All pre-activations of one network at one point."""
    layers, values = [], [int(v) for v in point]
    for i, (weight, bias) in enumerate(family.base):
        rows, constants = whole(weight), [int(v) for v in bias]
        for c, (layer, row) in enumerate(zip(family.layers, family.rows, strict=True)):
            if layer == i:
                vector = [int(v) for v in family.vectors[c]]
                for j in range(len(rows[row])):
                    rows[row][j] += entries[c] * vector[j]
                constants[row] += entries[c] * vector[-1]
        values = affine(rows, constants, relu(values) if i else values)
        layers.append(values)
    return layers


@pytest.mark.exact
@pytest.mark.parametrize("shattered", READ, ids=lambda s: f"{s.family}{list(s.sizes.values())}")
def test_networks_are_the_base_and_the_entries_times_their_vectors(shattered):
    family, dice = family_of(shattered), random.Random(0)
    tables = [[dice.randrange(2**family.bits) for _ in family.layers] for _ in range(3)]
    stacked = family.networks(np.array(tables, dtype=object))
    own = shattered.table.networks(np.array(tables, dtype=object))
    for b, entries in enumerate(tables):
        for p, point in enumerate(family.points.tolist()):
            truth = run(family, entries, point)
            for layers in (stacked, own):
                values = point
                for i, (weight, bias) in enumerate(layers):
                    at = b if len(weight) > 1 else 0
                    values = affine(whole(weight[at]), [int(v) for v in bias[b if len(bias) > 1 else 0]], values)
                    assert values == truth[i]
                    values = relu(values)
            word = entries[family.cell[p]]
            assert (truth[-1][0] > 0) == bool(word >> (family.bits - family.bit[p]) & 1)


# --- the memory ---------------------------------------------------------------------------------------------------


def memory_by_hand(family):
    """Forms behind the memory, unit by unit: constant, slope, least and largest of what other entries add."""
    top, found = 2**family.bits - 1, []
    for p, point in enumerate(family.points.tolist()):
        units = [(v, 0, 0, 0) for v in point]
        for i, (weight, bias) in enumerate(family.base[: family.memory]):
            after = []
            entries = [c for c in range(len(family.layers)) if family.layers[c] == i]
            for j, (row, constant) in enumerate(zip(whole(weight), bias, strict=True)):
                a = sum(w * u[0] for w, u in zip(row, units, strict=True)) + int(constant)
                b = sum(w * u[1] for w, u in zip(row, units, strict=True))
                low = sum(w * (u[2] if w > 0 else u[3]) for w, u in zip(row, units, strict=True))
                high = sum(w * (u[3] if w > 0 else u[2]) for w, u in zip(row, units, strict=True))
                for c in (c for c in entries if family.rows[c] == j):
                    vector = [int(v) for v in family.vectors[c]]
                    reads = sum(v * u[0] for v, u in zip(vector, units, strict=False)) + vector[-1]
                    if family.cell[p] == c:
                        b += reads
                    else:
                        low, high = low + top * min(reads, 0), high + top * max(reads, 0)
                after.append((a, b, low, high))
            for c in entries:
                if any(v and any(u[1:]) for v, u in zip(family.vectors[c], units, strict=False)):
                    return p, f"layer {i}: an entry of the table multiplies a unit that depends on the table"
            for j, (a, b, low, high) in enumerate(after):
                least, most = a + top * min(b, 0) + low, a + top * max(b, 0) + high
                if least < 0 < most:
                    return p, (
                        f"layer {i}, unit {j}: over all tables it lies between {least} and {most} at point {p}, {point}"
                    )
                after[j] = after[j] if least >= 0 else (0, 0, 0, 0)
            units = after
        weight, bias = family.base[family.memory]
        if any(w and (u[2] or u[3]) for row in whole(weight) for w, u in zip(row, units, strict=True)):
            return p, "what leaves the memory depends on entries that were not asked for"
        a = affine(whole(weight), [int(v) for v in bias], [u[0] for u in units])
        found.append((a, affine(whole(weight), [0] * len(bias), [u[1] for u in units])))
    return found


def spoilt(family, dice, changes):
    """The family with some numbers of its base and its vectors changed."""
    base = [(w.copy(), b.copy()) for w, b in family.base]
    vectors = family.vectors.copy()
    for _ in range(changes):
        part = dice.choice([vectors, *(p for layer in base[: family.memory + 1] for p in layer)])
        if part is vectors:
            c = dice.randrange(len(vectors))
            inputs = base[family.layers[c]][0].shape[1]
            place = (c, dice.choice([*range(inputs), -1]))
        else:
            place = tuple(dice.randrange(size) for size in part.shape)
        part[place] += dice.choice((-1, 1)) * dice.choice((1, 1, 2, 30))
    return replace(family, base=base, vectors=vectors)


@pytest.mark.exact
@pytest.mark.parametrize("shattered", READ, ids=lambda s: f"{s.family}{list(s.sizes.values())}")
def test_the_memory_is_the_one_of_a_loop(shattered):
    """Point by point, so that the first point that fails is the same; and all points at once."""
    honest, dice, kinds = family_of(shattered), random.Random(shattered.family), set()
    for number in range(25):
        family = spoilt(honest, dice, (0, 1, 1, 2, 4)[number % 5])
        expected = memory_by_hand(family)
        if isinstance(expected, list):
            a, b = _memory_of(family, slice(0, family.size))
            assert whole(a) == [form[0] for form in expected]
            assert whole(b) == [form[1] for form in expected]
            kinds.add(None)
        else:
            point, failure = expected
            if point:
                assert not isinstance(_memory_of(family, slice(0, point)), str)
            assert _memory_of(family, slice(point, point + 1)) == failure
            assert isinstance(_memory(family), str)
            kinds.add(failure.split(":")[-1][:5])
    assert len(kinds) > 1


@pytest.mark.exact
@pytest.mark.parametrize("rows", [1, 2, 3, 100])
def test_points_pass_the_memory_in_batches(rows, monkeypatch):
    family = family_of(READ[0])
    whole_a, whole_b = _memory(family)
    monkeypatch.setattr("theory.vc_dimension.checkers.table.CHUNK", rows * (len(family.layers) + 1))
    a, b = _memory(family)
    assert whole(a) == whole(whole_a)
    assert whole(b) == whole(whole_b)
    parts = []
    monkeypatch.setattr(
        "theory.vc_dimension.checkers.table._memory_of",
        lambda family, part: parts.append((part.start, part.stop)) or _memory_of(family, part),
    )
    _memory(family)
    assert parts == [(start, start + rows) for start in range(0, family.size, rows)]
    monkeypatch.setattr("theory.vc_dimension.checkers.table.CHUNK", 1)
    parts.clear()
    _memory(family)
    assert parts == [(start, start + 1) for start in range(family.size)]


def test_points_that_ask_for_one_bit_must_bring_the_same_form():
    family = replace(family_of(READ[0]), points=np.arange(6)[:, None], bit=np.array([2, 1, 3, 1, 2, 3]))
    a, b = (
        np.array([[5, 0], [4, 1], [6, 2]])[[1, 0, 2, 0, 1, 2]],
        np.array([[1, 7], [2, 8], [3, 9]])[[1, 0, 2, 0, 1, 2]],
    )
    found = _one_row_a_bit(family, a, b)
    assert whole(found[0]) == [[5, 0], [4, 1], [6, 2]]
    assert whole(found[1]) == [[1, 7], [2, 8], [3, 9]]
    for forms in (0, 1):
        for point in (3, 4, 5):
            for unit in (0, 1):
                broken = [a.copy(), b.copy()]
                broken[forms][point, unit] += 1
                sentence = f"point {point}, [{point}]: its entry is not handed on like that of other points"
                assert _one_row_a_bit(family, *broken) == sentence
    asked = replace(family, bit=np.array([2, 1, 2, 1, 2, 2]))
    assert _one_row_a_bit(asked, a, b) == "only 2 of 3 bits are asked for"


# --- words ------------------------------------------------------------------------------------------------------------


def words_by_hand(family, a, b):
    for word in range(2**family.bits):
        for j in range(family.bits):
            values = [int(u) + int(v) * word for u, v in zip(a[j], b[j], strict=True)]
            for weight, bias in family.base[family.memory + 1 :]:
                values = affine(whole(weight), [int(v) for v in bias], relu(values))
            if (values[0] > 0) != bool(word >> (family.bits - 1 - j) & 1):
                return f"word {word}: bit {j + 1} is answered with {values[0]}"
    return None


@pytest.mark.exact
@pytest.mark.parametrize("shattered", [*READ, deep(1, 1, 4)], ids=lambda s: f"{s.family}{list(s.sizes.values())}")
def test_every_word_and_halving_are_the_loop(shattered):
    """Also with numbers beyond int64, where nothing may wrap."""
    honest, dice, found = family_of(shattered), random.Random(shattered.family), set()
    a, b = _memory(honest)
    for number in range(30):
        base = [(w.copy(), c.copy()) for w, c in honest.base]
        forms = [a.copy(), b.copy()]
        for _ in range((0, 1, 1, 2)[number % 4]):
            part = dice.choice([*forms, *(p for layer in base[honest.memory + 1 :] for p in layer)])
            part[tuple(dice.randrange(size) for size in part.shape)] += dice.choice((-1, 1)) * dice.choice((1, 1, 2, 9))
        scale = 2**61 if number % 3 == 0 else 1  # relu commutes with it
        forms = [form.astype(object) * scale for form in forms]
        base = [(w, c.astype(object) * scale if i > honest.memory else c) for i, (w, c) in enumerate(base)]
        family = replace(honest, base=base)
        expected = words_by_hand(family, *forms)
        assert every_word(family, *forms) == expected
        halved = bits_come_out(family, *forms)
        assert (halved is None) == (expected is None), halved
        found.add(expected is None)
    assert found == {True, False}


@pytest.mark.exact
def test_words_are_counted_in_integers_that_hold_them():
    """a + b·X just below and from 2⁵³ on."""
    family = replace(family_of(deep(1, 1, 2)), memory=0, base=[(np.array([[1]]), np.array([0]))] * 2)
    for top in (2**53 - 5, 2**53 - 4, 2**53, 2**62, 2**63):
        a, b = np.array([[1 - top], [-top]], dtype=object), np.array([[1], [1]], dtype=object)
        assert every_word(family, a, b) == words_by_hand(family, a, b) == "word 1: bit 2 is answered with 0"
        a, b = np.array([[1 - 2 * top], [top]], dtype=object), np.array([[top], [-top]], dtype=object)
        assert every_word(family, a, b) == words_by_hand(family, a, b)


@pytest.mark.exact
def test_halves_of_words():
    """X = 4, 5, 6, 7 of 3 bits, the highest fixed: a + b·Y with Y < 4, halved at Y = 2."""
    part = _Part(2, 2, None, (10, -3), (1, 2))
    assert part.halves(3) == [_Part(2, 1, 0, (10, -3), (1, 2)), _Part(2, 1, 1, (12, 1), (1, 2))]
    other = _Part(3, 2, 1, (0,), (1,))
    assert other.halves(3) == [_Part(3, 1, 1, (0,), (1,)), _Part(3, 1, 1, (2,), (1,))]
    last = _Part(3, 1, None, (5,), (-4,))
    assert last.halves(3) == [_Part(3, 0, 0, (5,), (-4,)), _Part(3, 0, 1, (1,), (-4,))]


@pytest.mark.exact
def test_which_words_are_undecided():
    """As a hidden unit only where it is negative and positive, as the output where it is positive and not."""
    for a, b, hidden, output in (
        (-3, 1, False, False),  # −3 … 0
        (-3, 2, True, True),  # −3 … 3
        (3, -1, False, True),  # 3 … 0
        (3, -2, True, True),
        (0, 1, False, True),
        (0, 0, False, False),
        (0, -1, False, False),
        (1, 1, False, False),
        (-1, 1, True, True),
        (-4, 1, False, False),
    ):
        assert _Part(1, 2, None, (a,), (b,)).undecided(output=False) == hidden
        assert _Part(1, 2, None, (5, a), (0, b)).undecided(output=False) == hidden
        assert _Part(1, 2, None, (a,), (b,)).undecided(output=True) == output


def identity(bits, *, points=None):
    """One entry on the line, its word handed on: relu(A), and an output that is positive from a half on."""
    points = np.array([[1]]) if points is None else points
    return TableFamily(
        points,
        np.zeros(len(points), dtype=np.int64),
        np.arange(1, len(points) + 1),
        bits,
        1,
        [(np.array([[0]]), np.array([0])), (np.array([[1]]), np.array([0])), (np.array([[1]]), np.array([0]))],
        np.array([0]),
        np.array([0]),
        np.array([[0, 1]]),
    )


@pytest.mark.exact
def test_halving_stops_at_too_many_kinds_of_words(monkeypatch):
    """A word of 3 bits through relu(X), threshold 0: X = 0, [1, 1], [2, 3], [4, 7] are 4 kinds, the bit 1 wrong at 1."""
    family = replace(identity(3), bit=np.array([1]))
    a, b = np.array([[0]]), np.array([[1]])
    sentence = "bit 1: words that have 0 there are answered with 1 … 1"
    assert bits_come_out(family, a, b) in (sentence, "bit 1: words that have 0 there are answered with 2 … 3")
    for most, enough in ((4, True), (3, False)):
        monkeypatch.setattr("theory.vc_dimension.checkers.table_bits.MAX_PARTS", most)
        found = bits_come_out(family, a, b)
        assert (found == f"output: more than {most} kinds of words: bits are not taken out one by one") != enough
    assert bits_come_out(family, a - 1, b).startswith("output: more than 3 kinds") is False


def test_halving_is_not_done_without_end(monkeypatch):
    """One part through a layer of one number, twice."""
    family = replace(identity(1), base=[*identity(1).base, (np.array([[1]]), np.array([0]))])
    a, b = np.array([[0]]), np.array([[1]])
    assert bits_come_out(family, a, b) is None
    monkeypatch.setattr("theory.vc_dimension.checkers.table_bits.MOST_STEPS", 2)
    assert bits_come_out(family, a, b) is None
    monkeypatch.setattr("theory.vc_dimension.checkers.table_bits.MOST_STEPS", 1)
    with pytest.raises(BudgetExceeded, match="layer 3: more than 1 products to take words apart"):
        bits_come_out(family, a, b)


# --- arrays ------------------------------------------------------------------------------------------------------------


def test_the_smallest_table():
    """One point, one entry, one bit."""
    family = identity(1)
    report = check_table(family)
    assert report.failure is None
    assert (report.points, report.labelings, report.evaluations) == (1, 0, 3)
    for points in (np.array([[1], [2]]), np.array([[1]])):
        assert check_table(replace(identity(2), points=points)).failure is not None


def test_arrays_that_are_no_table():
    honest = identity(1)
    assert _malformed(honest) is None
    base = honest.base
    numbers = "`bits` and `memory` must be integers, `bits` between 1 and"
    one = np.array([[1]])
    for change, sentence in (
        ({"points": np.array([[0.5]])}, "the points are float64, not integers"),
        ({"points": np.array([[2**53 + 1]])}, "`points` must be integers up to 2^53, got 9007199254740993"),
        ({"points": np.array([1])}, "`points` must have shape (≥ 1, ≥ 1), got (1,)"),
        ({"bits": 0}, f"{numbers} {MOST_BITS}, got 0 and 1"),
        ({"bits": MOST_BITS + 1}, f"{numbers} {MOST_BITS}, got {MOST_BITS + 1} and 1"),
        ({"bits": True}, f"{numbers} {MOST_BITS}, got True and 1"),
        ({"memory": 1.0}, f"{numbers} {MOST_BITS}, got 1 and 1.0"),
        ({"memory": 0}, "`memory` must be between 1 and the 2 hidden layers, got 0"),
        ({"memory": 3}, "`memory` must be between 1 and the 2 hidden layers, got 3"),
        ({"points": np.array([[1, 2]])}, "the networks have 1 inputs, the points are in R^2"),
        ({"base": []}, "there are no layers"),
        ({"base": [(np.array([[1], [1]]), np.array([0, 0]))]}, "there are 2 outputs"),
        (
            {"base": [*base, (np.array([[1, 1]]), np.array([0]))]},
            "layer 3 has weights (1, 1, 2) and biases (1, 1) behind 1",
        ),
        (
            {"base": [*base[:2], (one, np.array([0, 0]))]},
            "layer 2 has weights (1, 1, 1) and biases (1, 2) behind 1 units",
        ),
        ({"base": [*base[:2], (one / 2, np.array([0]))]}, "the weights are not integers"),
        ({"base": [(one, np.array([0.0])), *base[1:]]}, "the weights are not integers"),
        ({"cell": np.array([0, 0])}, "`cell` must be integers of shape (1,), got int64 (2,)"),
        ({"cell": np.array([0.0])}, "`cell` must be integers of shape (1,), got float64 (1,)"),
        ({"cell": np.array([0], dtype=object)}, "`cell` must be integers of shape (1,), got object (1,)"),
        ({"bit": np.array([[1]])}, "`bit` must be integers of shape (1,), got int64 (1, 1)"),
        ({"layers": np.array([], dtype=np.int64)}, "`layers` must be integers of shape (None,), got int64 (0,)"),
        ({"rows": np.array([0, 0])}, "`rows` must be integers of shape (1,), got int64 (2,)"),
        ({"vectors": np.array([[0, 1, 0]])}, "`vectors` must be integers of shape (1, 2), got int64 (1, 3)"),
        ({"vectors": np.array([[1]])}, "`vectors` must be integers of shape (1, 2), got int64 (1, 1)"),
        ({"vectors": np.array([[0.0, 1.0]])}, "`vectors` must be integers of shape (1, 2), got float64 (1, 2)"),
    ):
        broken = replace(honest, **change)
        assert _malformed(broken).startswith(sentence)
        if broken.base:
            report = check_table(broken)
            assert (report.labelings, report.evaluations) == (0, 0)
            assert report.failure.startswith(sentence)
    assert _malformed(replace(honest, bits=MOST_BITS)) is None
    assert _malformed(replace(honest, memory=2)) is None
    objects = [(w.astype(object), b.astype(object)) for w, b in base]
    assert _malformed(replace(honest, base=objects, vectors=honest.vectors.astype(object))) is None
    assert check_table(replace(honest, base=objects, vectors=honest.vectors.astype(object))).holds


def test_layers_that_belong_together():
    def layers(*shapes):
        return [(np.zeros(w, dtype=np.int64), np.zeros(b, dtype=np.int64)) for w, b in shapes]

    assert _stack_fault(layers(((1, 3, 2), (1, 3)), ((1, 1, 3), (1, 1)))) is None
    assert _stack_fault(layers(((1, 1, 5), (1, 1)))) is None
    assert _stack_fault([]) == "there are no layers"
    assert _stack_fault(layers(((1, 3, 2), (1, 3)))) == "there are 3 outputs"
    for shapes, at in (
        ([((1, 3, 2), (1, 2)), ((1, 1, 3), (1, 1))], 0),
        ([((2, 3, 2), (2, 3)), ((1, 1, 3), (1, 1))], 0),
        ([((1, 3, 2), (1, 3)), ((1, 1, 2), (1, 1))], 1),
        ([((1, 3, 2), (1, 3)), ((1, 1, 3), (1, 1)), ((1, 1, 3), (1, 1))], 2),
        ([((3, 2), (3,))], 0),
    ):
        assert _stack_fault(layers(*shapes)).startswith(
            f"layer {at} has weights {shapes[at][0]} and biases {shapes[at][1]}"
        )


def two_entries():
    """Two points, two entries in rows 1 and 2 of layer 0 of three units and two inputs."""
    base = [
        (np.array([[1, 0], [0, 0], [0, 0]]), np.array([0, 0, 0])),
        (np.array([[0, 1, 1]]), np.array([0])),
        (np.array([[1]]), np.array([0])),
    ]
    vectors = np.array([[1, 0, 0, 0], [0, 1, 0, 0]])
    return TableFamily(
        np.array([[1, 0], [0, 1]]),
        np.array([0, 1]),
        np.array([1, 1]),
        1,
        1,
        base,
        np.array([0, 0]),
        np.array([1, 2]),
        vectors,
    )


def test_entries_that_do_not_belong_to_the_networks():
    honest = two_entries()
    assert check_table(honest).failure is None
    asks = "a point asks for a bit outside 1 … 1 or an entry outside 0 … 1"
    for change, sentence in (
        ({"bit": [1, 2]}, asks),
        ({"bit": [0, 1]}, asks),
        ({"cell": [-1, 0]}, asks),
        ({"cell": [0, 2]}, asks),
        ({"cell": [1, 1]}, "two points ask for the same bit of the same entry"),
        ({"layers": [0, 1]}, "an entry of the table sits behind the memory"),
        ({"layers": [1, 0]}, "an entry of the table sits behind the memory"),
        ({"layers": [0, -1]}, "an entry of the table sits in a layer below 0"),
        ({"rows": [1, 3]}, "an entry of the table sits in a row that its layer does not have"),
        ({"rows": [-1, 1]}, "an entry of the table sits in a row that its layer does not have"),
        (
            {"vectors": [[1, 0, 0, 0], [0, 1, 1, 0]]},
            "an entry of the table multiplies a unit that its layer does not have",
        ),
        (
            {"vectors": [[1, 0, -1, 0], [0, 1, 0, 5]]},
            "an entry of the table multiplies a unit that its layer does not have",
        ),
    ):
        broken = replace(honest, **{name: np.array(value) for name, value in change.items()})
        assert _malformed(broken) is None
        assert _inconsistent(broken) == sentence
        assert check_table(broken).failure == sentence
    for change in ({"rows": [0, 2]}, {"cell": [1, 0]}, {"vectors": [[1, 0, 0, 4], [0, 1, 0, -1]]}):
        assert _inconsistent(replace(honest, **{name: np.array(value) for name, value in change.items()})) is None
    words = replace(honest, bits=2, cell=np.array([0, 0]), bit=np.array([2, 1]))
    assert _inconsistent(words) is None
    assert _inconsistent(replace(words, cell=np.array([0, 1]), bit=np.array([2, 2]))) is None


def test_entries_read_no_unit_that_depends_on_the_table():
    """A second entry in the next layer: it may multiply the point, and not what the first one wrote."""
    base = [
        (np.array([[1], [0]]), np.array([0, 0])),
        (np.array([[1, 0], [0, 1]]), np.array([0, 0])),
        (np.array([[0, 1]]), np.array([0])),
        (np.array([[1]]), np.array([0])),
    ]
    family = TableFamily(
        np.array([[1]]), np.array([0]), np.array([1]), 1, 2, base, np.array([0, 1]), np.array([1, 0]),
        np.array([[1, 0, 0], [1, 0, 0]]),
    )  # fmt: skip
    assert check_table(family).failure is None
    sentence = "layer 1: an entry of the table multiplies a unit that depends on the table"
    for vector in ([0, 1, 0], [5, -1, 0]):
        assert check_table(replace(family, vectors=np.array([[1, 0, 0], vector]))).failure == sentence
    other = replace(family, cell=np.array([1]))  # what another entry may add, is no constant either
    for vector in ([0, 1, 0], [5, -1, 0]):
        assert check_table(replace(other, vectors=np.array([[1, 0, 0], vector]))).failure == sentence
        assert check_table(replace(other, vectors=np.array([[-1, 0, 0], vector]))).failure != sentence


# --- reading ------------------------------------------------------------------------------------------------------------


def test_numbers_of_a_table_that_are_none():
    table = READ[0].table
    size = READ[0].size
    assert _table_fault(table, size) is None
    for name, most in (("bits", MOST_BITS), ("memory", MOST_LAYERS)):
        for value in (0, -1, most + 1, 1.0, True, None):
            sentence = f"`{name}` must be an integer between 1 and {most}, got "
            assert _table_fault(replace(table, **{name: value}), size).startswith(sentence)
        for value in (1, most):
            assert _table_fault(replace(table, **{name: value}), size) is None
    for name in ("cell", "bit"):
        tensor = getattr(table, name)
        assert f"`{name}` must have shape" in _table_fault(replace(table, **{name: tensor[:-1]}), size)
        assert f"`{name}` must be integers" in _table_fault(replace(table, **{name: tensor.double()}), size)
    cell = table.cell.clone()
    cell[1] = -1
    assert _table_fault(replace(table, cell=cell), size) == "an entry of the table is negative"
    assert read_table(replace(table, cell=cell), READ[0].points.numpy()) == "an entry of the table is negative"


def test_many_entries_are_read_in_batches(monkeypatch):
    """As many entries a batch as there are, one more, and one less."""
    for probes in (1, 3, 4, 5):
        monkeypatch.setattr("theory.vc_dimension.checkers.table.PROBES_PER_CHUNK", probes)
        for shattered in READ:
            family = family_of(shattered)
            assert check_table(family).holds
            entries = np.arange(3, 3 + len(family.layers), dtype=object)[None]
            for (w, b), (v, c) in zip(shattered.table.networks(entries), family.networks(entries), strict=True):
                assert (w == v).all()
                assert (b == c).all()


def bent(shattered, change):
    """The set whose table's networks are `change`d: (layers, entries) -> None, in place."""
    networks = shattered.table.networks

    def other(entries):
        layers = [(np.array(w), np.array(b)) for w, b in networks(entries)]
        layers = [
            (w.repeat(len(entries), 0) if len(w) == 1 else w, b.repeat(len(entries), 0) if len(b) == 1 else b)
            for w, b in layers
        ]
        return change(layers, entries) or layers

    return replace(shattered, table=replace(shattered.table, networks=other))


def silent(layers, entries):
    layers[1][0][:] = layers[1][0][:1] * 0


def twice_in_a_layer(layers, entries):
    layers[2][1][:, 0] += entries[:, 1]


def bent_weight(layers, entries):
    layers[1][0][:, 0, 0] += entries[:, 0] * (entries[:, 0] - 1)


def bent_bias(layers, entries):
    layers[2][1][:, 1] += entries[:, 0] * (entries[:, 0] - 1)


def crossed(layers, entries):
    layers[2][1][:, 1] += entries[:, 0] * entries[:, 1]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (twice_in_a_layer, "entry 1 of the table does not sit in exactly one row of one layer"),
        (silent, "entry 0 of the table does not sit in exactly one row of one layer"),
        (bent_weight, "the networks are not affine in the table"),
        (bent_bias, "the networks are not affine in the table"),
        (crossed, "the networks are not affine in the table"),
    ],
)
def test_tables_that_are_read_otherwise(change, sentence):
    shattered = READ[0]
    assert family_of(bent(shattered, lambda layers, entries: None)).size == shattered.size
    assert read_set(bent(shattered, change)) == sentence
    report = shattered_by_table(bent(shattered, change))
    assert report.failure == sentence
    assert (report.points, report.labelings, report.evaluations) == (shattered.size, 0, 0)


def test_networks_of_another_shape_for_another_table():
    """A bias or a weight that grows with the entries."""

    def wider(layers, entries):
        if entries.any():
            w, b = layers[1]
            layers[1] = (np.concatenate([w, w[:, :1]], axis=1), np.concatenate([b, b[:, :1]], axis=1))

    def longer(layers, entries):
        if entries.any():
            w, b = layers[1]
            layers[1] = (w, np.concatenate([b, b[:, :1]], axis=1))

    for change in (wider, longer):
        assert read_set(bent(READ[0], change)) == "layer 1 has another shape for another table"


def test_a_table_that_takes_too_many_numbers_to_read(monkeypatch):
    table, points = READ[0].table, READ[0].points.numpy()
    numbers = table.size * sum(w.size + b.size for w, b in family_of(READ[0]).base)
    monkeypatch.setattr("theory.vc_dimension.checkers.table.MOST_READ", numbers)
    assert isinstance(read_table(table, points), TableFamily)
    monkeypatch.setattr("theory.vc_dimension.checkers.table.MOST_READ", numbers - 1)
    with pytest.raises(
        BudgetExceeded, match=f"a table of {table.size} entries takes {numbers} numbers to read, more than"
    ):
        read_table(table, points)


def test_as_many_pairs_as_are_tried(monkeypatch):
    family = two_entries()
    monkeypatch.setattr("theory.vc_dimension.checkers.table.MOST_PAIRS", 4)
    assert check_table(family).holds
    monkeypatch.setattr("theory.vc_dimension.checkers.table.MOST_PAIRS", 3)
    with pytest.raises(BudgetExceeded, match="2 points and 2 entries are more than 3 pairs"):
        check_table(family)


def test_the_sets_own_networks_are_those_of_its_table():
    shattered = READ[0]
    family = family_of(shattered)
    assert check_set(shattered, family).holds

    def other(change):
        def weights(labels):
            return change([(w.clone(), b.clone()) for w, b in shattered.weights(labels)], labels)

        return check_set(replace(shattered, weights=weights), family).failure

    def moved(layers, labels, part=0):
        layers[1][part].view(-1)[-1] += 1
        return layers

    def of_one_label(layers, labels):
        layers[0][1][labels[:, 0]] += 1
        return layers

    sentence = "the set's networks are not those of its table"
    assert other(lambda layers, labels: layers) is None
    assert other(moved) == sentence
    assert other(lambda layers, labels: moved(layers, labels, 1)) == sentence
    assert other(lambda layers, labels: layers[:-1]) == sentence
    assert other(lambda layers, labels: [*layers, layers[-1]]) == sentence
    assert check_set(replace(shattered, weights=lambda labels: shattered.weights(~labels)), family).failure == sentence
    assert read_set(one_hidden_layer(2, 2)) == "the labels are not kept in a table"


# --- integers ------------------------------------------------------------------------------------------------------------


@pytest.mark.exact
def test_integers_of_every_size():
    dice = random.Random(5)

    def number():
        return dice.choice((0, 1, -1)) * (2 ** dice.choice((0, 5, 25, 26, 27, 52, 53, 62)) - dice.randint(0, 1))

    for _ in range(150):
        inputs = dice.choice((1, 2, 3, 4))
        rows = [[number() for _ in range(inputs)] for _ in range(2)]
        weight = [[number() for _ in range(inputs)] for _ in range(3)]
        truth = [[sum(u * v for u, v in zip(r, w, strict=True)) for w in weight] for r in rows]
        r, w = (compact(np.array(values, dtype=object)) for values in (rows, weight))
        assert whole(product(r, w)) == truth
        factor = number()
        assert whole(times(factor, r)) == [[factor * v for v in row] for row in rows]
        largest = max(abs(v) for row in rows for v in row)
        assert (r.dtype == np.int64) == (largest < 2**53)
        small = largest * max(abs(v) for row in weight for v in row) * inputs < 2**53
        assert (product(r, w).dtype == np.int64) == small
        assert (times(factor, r).dtype == np.int64) == (r.dtype == np.int64 and abs(factor) * max(1, largest) < 2**53)
    assert torch.equal(torch.from_numpy(compact(np.array([3, -4]))), torch.tensor([3, -4]))
