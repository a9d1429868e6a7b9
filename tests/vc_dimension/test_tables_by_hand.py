"""The table certificate against loops over Python integers: forms, intervals, words, and every limit of the arrays."""

import random
from dataclasses import replace

import numpy as np
import pytest

from constructions import BudgetExceeded
from constructions.vc_dimension import deep
from tests.vc_dimension.table_families import READ, family_of, whole
from theory.vc_dimension.checkers.table import (
    _memory,
    _memory_of,
    _one_row_a_bit,
)
from theory.vc_dimension.checkers.table_bits import _Part, _through, bits_come_out, every_word
from theory.vc_dimension.checkers.table_family import TableFamily


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


# --- the memory -------------------------------------------------------------------------------------------


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
    for number in range(15):
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


# --- words ------------------------------------------------------------------------------------------------


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
    for number in range(12):
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
def test_words_times_a_slope_do_not_wrap():
    """One unit more: −2⁵⁸·X, which is never positive, and beyond int64 from X = 32 on; every output adds its ReLU."""
    family = family_of(deep(1, 1, 6))
    a, b = _memory(family)
    weight, bias = family.base[family.memory + 1]
    base = list(family.base)
    base[family.memory + 1] = (np.concatenate([weight, np.ones((len(weight), 1), dtype=np.int64)], axis=1), bias)
    a, b = (np.concatenate([form, np.full((6, 1), last)], axis=1) for form, last in ((a, 0), (b, -(2**58))))
    assert every_word(replace(family, base=base), a, b) is None
    assert every_word(replace(family, base=base), a, -b) is not None


@pytest.mark.exact
@pytest.mark.parametrize("bits", [1, 3, 4])
def test_the_last_word_is_run(bits):
    """One unit more, X − (2^K − 2): 1 at the last word alone, where it turns every answer."""
    family = family_of(deep(1, 1, bits))
    a, b = _memory(family)
    weight, bias = family.base[family.memory + 1]
    base = list(family.base)
    large = np.full((len(weight), 1), -(10**6))
    base[family.memory + 1] = (np.concatenate([weight, large], axis=1), bias)
    forms = (
        np.concatenate([a, np.full((bits, 1), 2 - 2**bits)], axis=1),
        np.concatenate([b, np.ones((bits, 1), int)], 1),
    )
    broken = replace(family, base=base)
    assert every_word(broken, *forms) == words_by_hand(broken, *forms)
    assert every_word(broken, *forms).startswith(f"word {2**bits - 1}: bit ")
    assert bits_come_out(broken, *forms) is not None


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
def test_a_layer_of_decided_units():
    """ReLU of a + b·Y, Y = 0 … 3, of one sign, which may end at 0; then one affine layer."""
    units = [(3, -1), (0, 1), (-3, 1), (0, -1), (-1, 0), (5, 2), (2, 0), (0, 0), (9, -3)]
    weight = [[1, 2, 3, 4, 5, 6, 7, 8, 9], [-1, 1, -1, 1, -1, 1, -1, 1, -1], *np.eye(9, dtype=int).tolist()]
    bias = list(range(10, 21))
    part = _Part(2, 2, 1, *zip(*units, strict=True))
    after = _through(part, weight, bias)
    assert (after.bit, after.free, after.answer) == (2, 2, 1)
    for y in range(4):
        truth = affine(weight, bias, relu([a + b * y for a, b in units]))
        assert [a + b * y for a, b in zip(after.a, after.b, strict=True)] == truth


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
    """A word of 3 bits through relu(X), threshold 0: X = 0, [1, 1], [2, 3], [4, 7] are 4 kinds, bit 1 wrong at 1."""
    family = replace(identity(3), bit=np.array([1]))
    a, b = np.array([[0]]), np.array([[1]])
    sentence = "bit 1: words that have 0 there are answered with 1 … 1"
    assert bits_come_out(family, a, b) in (sentence, "bit 1: words that have 0 there are answered with 2 … 3")
    for most, enough in ((4, True), (3, False)):
        monkeypatch.setattr("theory.vc_dimension.checkers.table_bits.MAX_PARTS", most)
        found = bits_come_out(family, a, b)
        assert (found == f"output: more than {most} kinds of words: bits are not taken out one by one") != enough


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
