"""Tables whose arrays, networks or numbers do not belong together are named; integers of every size are exact."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from constructions import BudgetExceeded
from constructions.vc_dimension import one_hidden_layer
from constructions.vc_dimension.shattered_set import MOST_BITS, MOST_LAYERS, Table
from tests.vc_dimension.table_families import READ, family_of
from theory.vc_dimension.checkers import shattered_by_table
from theory.vc_dimension.checkers.table import (
    _inconsistent,
    _malformed,
    _stack_fault,
    _table_fault,
    check_set,
    check_table,
    read_set,
    read_table,
)
from theory.vc_dimension.checkers.table_family import TableFamily


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


# --- arrays -----------------------------------------------------------------------------------------------


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


def test_one_of_two_entries_reads_what_depends_on_the_table():
    """Both in layer 1, of four units; the first one reads the point alone, the second what layer 0 wrote."""
    base = [
        (np.array([[1], [0]]), np.array([0, 0])),
        (np.array([[1, 0], [0, 0], [0, 0]]), np.array([0, 0, 0])),
        (np.array([[0, 1, 0]]), np.array([0])),
        (np.array([[1]]), np.array([0])),
    ]
    family = TableFamily(
        np.array([[1]]), np.array([1]), np.array([1]), 1, 2, base, np.array([0, 1, 1]), np.array([1, 1, 2]),
        np.array([[1, 0, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0]]),
    )  # fmt: skip
    assert check_table(family).failure is None
    sentence = "layer 1: an entry of the table multiplies a unit that depends on the table"
    for vector in ([0, 1, 0, 0], [1, -1, 0, 0]):
        assert check_table(replace(family, vectors=np.array([*family.vectors[:2], vector]))).failure == sentence
        assert check_table(replace(family, vectors=np.array([family.vectors[0], vector, vector]))).failure == sentence


# --- reading ----------------------------------------------------------------------------------------------


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


def test_a_little_more_than_2_28_numbers_are_not_read():
    """2²⁰ + 1 entries of 257 numbers."""
    zeros = [(np.zeros((1, 1, 256), dtype=np.int64), np.zeros((1, 1), dtype=np.int64))]
    table = Table(1, torch.tensor([2**20]), torch.tensor([1]), 1, lambda entries: zeros)
    with pytest.raises(BudgetExceeded, match="entries takes 269484289 numbers to read, more than 268435456"):
        read_table(table, np.zeros((1, 256), dtype=np.int64))


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
