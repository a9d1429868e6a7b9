"""The table certificate: networks that look an integer up and take its bits apart, for all tables at once.

A network of the family is affine in the table: base layers, and for each entry c one row of one layer to which A_c
times a vector is added. Two parts, both sound for all A ∈ [0, 2^K)^C and neither aware of a layout:

1. Memory. At each point every unit is carried as a + b·A_c, c the point's own entry, plus an interval for what other
   entries may add. A unit must be affine in A_c alone with a value ≥ 0 for all A, or ≤ 0 for all A (then it is 0).
2. Bits. Behind the memory a unit is a + b·X, X = A_c ∈ [0, 2^K). If some unit's sign is not the same for all X the
   range is halved, which fixes the highest free bit of X; parts with equal forms are merged again, else their
   number would double with every bit. At the output the sign must be the bit that the point asks for.

For K ≤ 12 the second part is also done the plain way, on every X.

Main definitions: `read_table`, `check_table`, `shattered_by_table`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from constructions.errors import BudgetExceeded, shown
from constructions.vc_dimension import ShatteredSet
from constructions.vc_dimension.shattered_set import LONGEST_WORD, MOST_BITS, MOST_LAYERS, IntegerLayers, Table
from theory.vc_dimension.checkers.integers import compact, product, times
from theory.vc_dimension.checkers.labelings import require_shattered
from theory.vc_dimension.checkers.report import ShatteringReport, distinct_points
from theory.vc_dimension.checkers.shapes import fits, numbers_fault
from theory.vc_dimension.checkers.table_bits import bits_come_out, every_word
from theory.vc_dimension.checkers.table_family import TableFamily

ENUMERATED_BITS = 12
PROBES_PER_CHUNK = 64
CHUNK = 1 << 22
PROBES = 2  # random labelings on which the set's own networks are compared with the table's
MOST_READ = 1 << 28  # numbers compared when a table is read: a minute or two
MOST_PAIRS = 1 << 30  # of a point and an entry


def shattered_by_table(shattered: ShatteredSet) -> ShatteringReport:
    """Read the family off the networks, then check it."""
    if type(shattered) is not ShatteredSet:
        raise TypeError(f"`shattered` must be a ShatteredSet, got {type(shattered).__name__}")
    if shattered.table is None:
        raise ValueError(f"`shattered` must keep its labels in a table, {shattered.family} does not")
    family = read_set(shattered)
    if isinstance(family, str):
        return ShatteringReport(shattered.size, 0, 0, family)
    return check_set(shattered, family)


def read_set(shattered: ShatteredSet) -> TableFamily | str:
    """The table of a set, or a sentence when it is not of this kind."""
    points = require_shattered(shattered)
    if shattered.table is None:
        return "the labels are not kept in a table"
    return read_table(shattered.table, points.cpu().numpy())


def check_set(shattered: ShatteredSet, family: TableFamily) -> ShatteringReport:
    """The certificate of `family`, and whether the set's own networks are those of its table."""
    report = check_table(family)
    if report.holds and family.bits <= LONGEST_WORD and not _same_networks(shattered):
        return replace(report, failure="the set's networks are not those of its table")
    return report


def _same_networks(shattered: ShatteredSet) -> bool:
    """On a few random labelings."""
    table = shattered.table
    assert table is not None
    labels = torch.rand(PROBES, shattered.size, generator=torch.Generator().manual_seed(0)) < 0.5
    own, kept = shattered.weights(labels), table.weights(labels)
    return len(own) == len(kept) and all(
        torch.equal(a, b) for one, two in zip(own, kept, strict=True) for a, b in zip(one, two, strict=True)
    )


# --- reading -------------------------------------------------------------------------------------------


def read_table(table: Table, points: np.ndarray) -> TableFamily | str:
    """Networks at A = 0 and at every unit table, probed on random tables; a sentence when they do not agree."""
    fault = _table_fault(table, len(points))
    if fault is not None:
        return fault
    found = table.networks(_integers((1, table.size)))
    fault = _stack_fault([(np.asarray(w), np.asarray(b)) for w, b in found])
    if fault is not None:
        return f"the networks: {fault}"
    base = [(compact(w[0]), compact(b[0])) for w, b in found]
    numbers = table.size * sum(weight.size + bias.size for weight, bias in base)
    if numbers > MOST_READ:
        raise BudgetExceeded(
            f"a table of {table.size} entries takes {numbers} numbers to read, more than {MOST_READ} are not tried"
        )
    layers, rows = np.zeros(table.size, dtype=np.int64), np.zeros(table.size, dtype=np.int64)
    widest = max(weight.shape[1] for weight, _ in base)
    vectors = _integers((table.size, widest + 1))
    for start in range(0, table.size, PROBES_PER_CHUNK):
        entries = np.arange(start, min(table.size, start + PROBES_PER_CHUNK))
        unit = _integers((len(entries), table.size))
        unit[np.arange(len(entries)), entries] = 1
        found = np.zeros(len(entries), dtype=np.int64)
        for i, ((weight, bias), (w, b)) in enumerate(zip(table.networks(unit), base, strict=True)):
            shape = (len(entries), *w.shape)
            if weight.shape[1:] != w.shape or bias.shape[1:] != w.shape[:1]:
                return f"layer {i} has another shape for another table"
            change = np.concatenate(
                [np.broadcast_to(weight - w, shape), np.broadcast_to(bias - b, shape[:2])[..., None]], axis=2
            )
            at, row = np.nonzero((change != 0).any(2))
            np.add.at(found, at, 1)
            layers[entries[at]], rows[entries[at]] = i, row
            vectors[entries[at], : w.shape[1]] = change[at, row, :-1]
            vectors[entries[at], -1] = change[at, row, -1]
        if (found != 1).any():
            return f"entry {entries[np.argmax(found != 1)]} of the table does not sit in exactly one row of one layer"
    cell, bit = table.cell.cpu().numpy(), table.bit.cpu().numpy()
    family = TableFamily(points, cell, bit, table.bits, table.memory, base, layers, rows, compact(vectors))
    probe = np.random.default_rng(0).integers(0, 2**20, (2, table.size)).astype(object)
    for (w, b), (v, a) in zip(table.networks(probe), family.networks(probe), strict=True):
        if not ((w == v).all() and (b == a).all()):
            return "the networks are not affine in the table"
    return family


def _table_fault(table: Table, size: int) -> str | None:
    """Why a table's own numbers are not those of `size` points, or None."""
    for name, value, most in (("bits", table.bits, MOST_BITS), ("memory", table.memory, MOST_LAYERS)):
        if type(value) is not int or not 1 <= value <= most:
            return f"`{name}` must be an integer between 1 and {most}, got {shown(value)}"
    for name, tensor in (("cell", table.cell), ("bit", table.bit)):
        fault = numbers_fault(name, tensor, (size,), whole=True)
        if fault is not None:
            return fault
    return "an entry of the table is negative" if int(table.cell.min()) < 0 else None


def _stack_fault(layers: IntegerLayers) -> str | None:
    """Why layers (1, out, in), (1, out) do not fit together and end with one output, or None."""
    if not layers:
        return "there are no layers"
    inputs = layers[0][0].shape[-1]
    for i, (weight, bias) in enumerate(layers):
        if not fits(weight.shape, (1, None, inputs)) or bias.shape != weight.shape[:2]:
            return f"layer {i} has weights {weight.shape} and biases {bias.shape} behind {inputs} units"
        inputs = weight.shape[1]
    return None if inputs == 1 else f"there are {inputs} outputs"


def _integers(shape: tuple[int, int]) -> np.ndarray:
    return np.zeros(shape, dtype=object)


# --- checking ------------------------------------------------------------------------------------------


def check_table(family: TableFamily) -> ShatteringReport:
    """Both parts of the certificate, and the plain enumeration of all words for K ≤ 12."""
    failure = _malformed(family) or distinct_points(torch.from_numpy(family.points)) or _inconsistent(family)
    if failure is not None:
        return ShatteringReport(len(family.points), 0, 0, failure)
    pairs = family.size * len(family.layers)
    if pairs > MOST_PAIRS:
        raise BudgetExceeded(f"{family.size} points and {len(family.layers)} entries are more than {MOST_PAIRS} pairs")
    evaluations = family.size * sum(weight.size for weight, _ in family.base)
    starts = _memory(family)
    failure = starts if isinstance(starts, str) else bits_come_out(family, *starts)
    if failure is None and family.bits <= ENUMERATED_BITS and not isinstance(starts, str):
        failure = every_word(family, *starts)
    return ShatteringReport(family.size, 0, evaluations, failure)


def _malformed(family: TableFamily) -> str | None:
    """Why the arrays are not integers of shapes that belong together, or None."""
    if family.points.dtype.kind != "i":
        return f"the points are {family.points.dtype}, not integers"
    fault = numbers_fault("points", torch.from_numpy(family.points), (None, None), whole=True)
    if fault is not None:
        return fault
    if any(type(v) is not int for v in (family.bits, family.memory)) or not 1 <= family.bits <= MOST_BITS:
        found = f"{shown(family.bits)} and {shown(family.memory)}"
        return f"`bits` and `memory` must be integers, `bits` between 1 and {MOST_BITS}, got {found}"
    fault = _stack_fault([(weight[None], bias[None]) for weight, bias in family.base])
    if fault is not None:
        return fault
    k, n = family.points.shape
    if family.base[0][0].shape[1] != n:
        return f"the networks have {family.base[0][0].shape[1]} inputs, the points are in R^{n}"
    if not 1 <= family.memory < len(family.base):
        return f"`memory` must be between 1 and the {len(family.base) - 1} hidden layers, got {family.memory}"
    widest = max(weight.shape[1] for weight, _ in family.base)
    arrays = {
        "cell": (family.cell, (k,)),
        "bit": (family.bit, (k,)),
        "layers": (family.layers, (None,)),
        "rows": (family.rows, family.layers.shape),
        "vectors": (family.vectors, (*family.layers.shape, widest + 1)),
    }
    for name, (array, shape) in arrays.items():
        kinds = "iO" if name == "vectors" else "i"
        if array.dtype.kind not in kinds or not fits(array.shape, shape):
            return f"`{name}` must be integers of shape {shape}, got {array.dtype} {array.shape}"
    forms = (family.vectors, *(part for layer in family.base for part in layer))
    if any(part.dtype.kind not in "iO" for part in forms):
        return "the weights are not integers"
    return None


def _inconsistent(family: TableFamily) -> str | None:
    """Every point must ask for another bit, of entries 0 … C−1, and entries sit in rows of memory layers."""
    words = len(family.layers)
    if not ((family.bit >= 1) & (family.bit <= family.bits) & (family.cell >= 0) & (family.cell < words)).all():
        return f"a point asks for a bit outside 1 … {family.bits} or an entry outside 0 … {words - 1}"
    asked = family.cell * (family.bits + 1) + family.bit
    if len(np.unique(asked)) != len(asked):
        return "two points ask for the same bit of the same entry"
    if family.layers.max() >= family.memory:
        return "an entry of the table sits behind the memory"
    if family.layers.min() < 0:
        return "an entry of the table sits in a layer below 0"
    rows, inputs = (np.array([weight.shape[axis] for weight, _ in family.base]) for axis in (0, 1))
    if not ((family.rows >= 0) & (family.rows < rows[family.layers])).all():
        return "an entry of the table sits in a row that its layer does not have"
    unread = np.arange(family.vectors.shape[1] - 1) >= inputs[family.layers][:, None]
    if (family.vectors[:, :-1] != 0)[unread].any():
        return "an entry of the table multiplies a unit that its layer does not have"
    return None


def _memory(family: TableFamily) -> tuple[np.ndarray, np.ndarray] | str:
    """Forms (K, out) a and b of the pre-activations a + b·X behind the memory, one row for every bit asked."""
    rows = max(1, CHUNK // (len(family.layers) + 1))
    found = []
    for start in range(0, family.size, rows):
        part = _memory_of(family, slice(start, start + rows))
        if isinstance(part, str):
            return part
        found.append(part)
    return _one_row_a_bit(family, *(np.concatenate(forms) for forms in zip(*found, strict=True)))


def _memory_of(family: TableFamily, part: slice) -> tuple[np.ndarray, np.ndarray] | str:
    """The forms behind the memory of the points of `part`."""
    top = 2**family.bits - 1
    a = family.points[part]
    b, low, high = a * 0, a * 0, a * 0  # each unit is a + b·A_c + something in [low, high]
    for i, (weight, bias) in enumerate(family.base[: family.memory]):
        positive, negative = np.maximum(weight, 0), np.minimum(weight, 0)
        constant, slope = product(a, weight) + bias, product(b, weight)
        below = product(low, positive) + product(high, negative)
        above = product(high, positive) + product(low, negative)
        at = np.flatnonzero(family.layers == i)
        if len(at):
            vectors = family.vectors[at][:, : weight.shape[1]]
            if ((b != 0) | (low != 0) | (high != 0))[:, (vectors != 0).any(0)].any():
                return f"layer {i}: an entry of the table multiplies a unit that depends on the table"
            reads = product(a, vectors) + family.vectors[at][:, -1]
            placed = (np.arange(len(bias))[:, None] == family.rows[at]).astype(np.int64)
            own = np.where(family.cell[part, None] == at, reads, 0)
            slope = slope + product(own, placed)
            above = above + times(top, product(np.maximum(reads - own, 0), placed))
            below = below + times(top, product(np.minimum(reads - own, 0), placed))
        lowest = constant + times(top, np.minimum(slope, 0)) + below
        highest = constant + times(top, np.maximum(slope, 0)) + above
        keep = lowest >= 0
        undecided = ~(keep | (highest <= 0))
        if undecided.any():
            point, unit = np.argwhere(undecided)[0]
            where = part.start + point
            return (
                f"layer {i}, unit {unit}: over all tables it lies between {lowest[point, unit]} and "
                f"{highest[point, unit]} at point {where}, {family.points[where].tolist()}"
            )
        a, b, low, high = (np.where(keep, form, 0) for form in (constant, slope, below, above))
    weight, bias = family.base[family.memory]
    if ((low != 0) | (high != 0))[:, (weight != 0).any(0)].any():
        return "what leaves the memory depends on entries that were not asked for"
    return product(a, weight) + bias, product(b, weight)


def _one_row_a_bit(family: TableFamily, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray] | str:
    """All points that ask for the same bit must arrive with the same forms."""
    asked, first = np.unique(family.bit, return_index=True)
    if len(asked) != family.bits:
        return f"only {len(asked)} of {family.bits} bits are asked for"
    same = ((a == a[first][family.bit - 1]) & (b == b[first][family.bit - 1])).all(1)
    if not same.all():
        point = int(np.argmin(same))
        return f"point {point}, {family.points[point].tolist()}: its entry is not handed on like that of other points"
    return a[first], b[first]
