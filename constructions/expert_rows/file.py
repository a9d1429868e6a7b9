"""Model files: whole-or-absent writing, digests, and reading single experts from an open file.

A file is safetensors with a JSON spec in the metadata entry `momlp`; one row of each expert tensor belongs to one
expert, and `expert_digests` (L, 32) holds the SHA-256 of each expert's rows. Digests detect damage, not forgery:
whoever rewrites a file can rewrite its digests.

Main definitions: `ExpertFile`, `StoredExperts`, `write_model`, `read_metadata`, `read_spec`, `expert_digests`,
`root_digest`.
Implementation notes: experts are read with plain file reads, not through a memory map, so that what is resident is what
was asked for.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from constructions.errors import StoreError
from constructions.expert_rows import native
from constructions.expert_rows.cache import ExpertSource, Rows
from constructions.files import require_regular, write_tensors

SCHEMA = 1
DAMAGE = "the file was altered or damaged after it was written"
DIGESTS = "expert_digests"
DIGEST_BYTES = 32
READ_BYTES = 1 << 20
SMALL_BYTES = 256  # of a row
GAP_BYTES = 4096  # copying so much takes about as long as a call
GAP_PART = 8  # of the bytes that are asked for
AROUND_BYTES = 1 << 17  # what is read for a row that is not in memory, as for a memory map
# Linux alone tells what it has in memory
READ_AT_ONCE = getattr(os, "RWF_NOWAIT", None) if hasattr(os, "posix_fadvise") else None
PART_EXPERTS = 1 << 12  # are read together
MOST_PARTS = 500  # of one call, with as many gaps; systems allow 1024
DTYPES = {"F64": torch.float64, "F32": torch.float32, "I64": torch.int64, "U8": torch.uint8}


def write_model(path: str | os.PathLike, spec: dict[str, Any], tensors: dict[str, Tensor]) -> Path:
    """Write a model file, whole or not at all; StoreError when the path cannot be written."""
    try:
        return write_tensors(path, tensors, {"momlp": json.dumps(spec)})
    except OSError as err:
        raise StoreError(str(err)) from err


def read_spec(path: Path) -> dict[str, Any]:
    """The spec of a model file, its schema checked; StoreError for a file that is not one of ours."""
    text = read_metadata(path).get("momlp")
    if text is None:
        raise StoreError(f"cannot read {path} as a model: it is a safetensors file, but not one that momlp wrote")
    try:
        spec = json.loads(text)
    except (ValueError, RecursionError) as err:  # also numbers too long, and nesting too deep, to be read
        raise StoreError(f"{path} has an unreadable spec: {DAMAGE}") from err
    if not isinstance(spec, dict) or spec.get("schema") != SCHEMA:
        found = spec.get("schema") if isinstance(spec, dict) else None
        raise StoreError(f"{path} has schema {found!r}, this version reads schema {SCHEMA}")
    return spec


def read_metadata(path: Path) -> dict[str, str]:
    """The metadata of a safetensors file; StoreError for anything else, which may be a folder, a FIFO or a device."""
    try:
        require_regular(path)
    except OSError as err:
        raise StoreError(str(err)) from err
    try:
        with safe_open(path, framework="pt") as file:
            return file.metadata() or {}
    except (SafetensorError, OSError) as err:
        raise StoreError(f"cannot read {path}: {err}") from err


def require_shapes(path: Path, expected: dict[str, list[int]], dtype: torch.dtype, of: Iterable[str]) -> None:
    """StoreError unless the file holds exactly these tensors, and those named in `of` in this dtype."""
    with safe_open(path, framework="pt") as file:
        slices = {k: file.get_slice(k) for k in file.keys()}  # noqa: SIM118
        found = {k: list(part.get_shape()) for k, part in slices.items()}
        numbers = {k: part.get_dtype() for k, part in slices.items() if k in set(of)}
    if found != expected:
        raise StoreError(f"{path} has tensors {found}, its plan asks for {expected}: {DAMAGE}")
    if any(DTYPES.get(kind) is not dtype for kind in numbers.values()):
        raise StoreError(f"{path} has tensors {numbers}, its plan asks for {dtype}: {DAMAGE}")


class ExpertFile:
    """Rows of single experts from a model file, each expert checked against its digest when it is read.

    `names` are the expert tensors in the order in which they were hashed, all of one dtype. The header is held in
    memory, and what `hold` keeps. Reading is safe from several threads, and after a fork. StoreError for a truncated
    file or a wrong digest.
    """

    def __init__(self, path: Path, names: tuple[str, ...]):
        self.path, self.names = path, names
        try:
            self._file = open(path, "rb", buffering=0)  # noqa: SIM115 (closed by the finaliser)
        except OSError as err:
            raise StoreError(f"cannot read {path}: {err}") from err
        weakref.finalize(self, self._file.close)
        self._lock = threading.Lock()
        # the layout of a safetensors file: 8 bytes of length, a JSON header with offsets, the data
        length = int.from_bytes(self._file.read(8), "little")
        self._header = json.loads(self._file.read(length))
        self._start = 8 + length
        self._fd = self._file.fileno()
        self._held: dict[str, Tensor] = {}
        # not every system reads many parts at a place, without moving a shared offset
        self._read_some: Callable[[int, list[memoryview], int], int] = getattr(os, "preadv", self._read_first)

    def count(self) -> int:
        """Number of experts."""
        return self._header[DIGESTS]["shape"][0]

    @property
    def dtype(self) -> torch.dtype:
        """Of the expert tensors; StoreError when they have several."""
        found = {self._header[name]["dtype"] for name in self.names}
        if len(found) != 1 or not found <= set(DTYPES):
            raise StoreError(f"{self.path} has experts of dtypes {sorted(found)}: {DAMAGE}")
        return DTYPES[found.pop()]

    def experts(self, ids: Sequence[int] | Tensor) -> Rows:
        """The rows of these experts, one tensor a name, in the order asked for: columns of one block."""
        shapes = [self._header[name]["shape"][1:] for name in self.names]
        sizes = [math.prod(shape) for shape in shapes]
        block = torch.empty(len(ids), sum(sizes), dtype=self.dtype)
        self.read_into(block, ids, range(len(ids)))
        columns = block.split(sizes, 1)
        return tuple(c.view(len(ids), *shape) for c, shape in zip(columns, shapes, strict=True))

    def read_into(self, arena: Tensor, ids: Sequence[int] | Tensor, rows: Sequence[int] | Tensor) -> None:
        """Write what these experts have, tensor beside tensor, into rows (E,) of an arena (S, numbers) on the CPU.

        Read in ascending order, neighbours together. StoreError for a truncated file or a wrong digest: the rows then
        hold anything.
        """
        if arena.dtype != self.dtype:
            raise StoreError(f"{self.path} has experts of {self.dtype}, its plan asks for {arena.dtype}: {DAMAGE}")
        numbers, into = np.asarray(ids, dtype=np.int64), np.asarray(rows, dtype=np.int64)
        if bool((numbers[1:] <= numbers[:-1]).any()):
            order = np.argsort(numbers, kind="stable")
            numbers, into = numbers[order], into[order]
        for first in range(0, len(numbers), PART_EXPERTS):
            part = slice(first, first + PART_EXPERTS)
            self._read_part(arena, numbers[part], into[part])

    def _read_part(self, arena: Tensor, numbers: np.ndarray, into: np.ndarray) -> None:
        """`read_into` of ascending numbers (E,) of experts, at least one."""
        table, at, wanted = arena.numpy().view(np.uint8), 0, []
        width = table.shape[1]
        chosen = torch.from_numpy(numbers)
        # bytes between two rows that are read and thrown away rather than leaped over, beside rows of many more bytes
        spare = np.empty(min(GAP_BYTES, len(numbers) * width // GAP_PART), np.uint8)
        for name in self.names:
            size = self._width(name)
            if name in self._held:
                table[into, at : at + size] = self._held[name].index_select(0, chosen).numpy()
            elif size:
                wanted.append((name, at, size))
            at += size
        self._read_rows(wanted, numbers, table, into, spare)
        if DIGESTS in self._held:
            expected = self._held[DIGESTS].index_select(0, chosen).numpy()
        else:
            expected = np.zeros((len(numbers), DIGEST_BYTES), np.uint8)  # of nothing, should a call not write it
            self._read_rows([(DIGESTS, 0, DIGEST_BYTES)], numbers, expected, np.arange(len(numbers)), spare)
        found = native.hash_rows(table, into)
        if found is None:
            # one hash an expert is the point of this format, so this loop stays
            joined = b"".join([hashlib.sha256(table[row].data).digest() for row in into.tolist()])
            found = np.frombuffer(joined, np.uint8).reshape(-1, DIGEST_BYTES)
        if not np.array_equal(found, expected):
            wrong = int((found != expected).any(1).argmax())
            raise StoreError(f"{self.path}: the digest of expert {numbers[wrong]} differs: {DAMAGE}")

    def hold(self, limit: int) -> int:
        """Keep digests and small rows of all experts in memory if they take `limit` bytes at most; the bytes they take.

        Then only the large rows of an expert are read for it. What an earlier call kept is let go first.
        """
        self._held.clear()
        small = [name for name in self.names if 0 < self._width(name) <= SMALL_BYTES]
        total = sum(self._width(name) for name in (*small, DIGESTS)) * self.count()
        if total > limit:
            return 0
        for name in (*small, DIGESTS):
            table = torch.empty(self.count(), self._width(name), dtype=torch.uint8)
            self._read_into([_bytes_of(table)], self._header[name]["data_offsets"][0], table.nbytes)
            self._held[name] = table
        return total

    def chunks(self, name: str) -> Iterator[bytes]:
        """The raw bytes of a tensor, piece by piece."""
        first, end = self._header[name]["data_offsets"]
        for at in range(first, end, READ_BYTES):
            piece = bytearray(min(READ_BYTES, end - at))
            self._read_into([memoryview(piece)], at, len(piece))
            yield bytes(piece)

    def _width(self, name: str) -> int:
        """Bytes of one row of a tensor."""
        entry = self._header[name]
        return math.prod(entry["shape"][1:]) * DTYPES[entry["dtype"]].itemsize

    def _read_rows(
        self,
        wanted: list[tuple[str, int, int]],
        ids: np.ndarray,
        table: np.ndarray,
        into: np.ndarray,
        spare: np.ndarray,
    ) -> None:
        """Read the rows of ascending ids of tensors (name, column, width) into rows (E,) of a table of bytes, from
        `column` on, those near each other in one call."""
        parts = [(self._start + self._header[name]["data_offsets"][0], width, at) for name, at, width in wanted]
        missed = self._read_natively(parts, ids, table, into, spare)
        for (name, at, width), which in zip(wanted, missed, strict=True):
            if which.any():
                rows = [table[row].data[at : at + width] for row in into[which]]
                self._read_parts(name, width, ids[which], rows, spare.data)

    def _read_natively(
        self,
        parts: list[tuple[int, int, int]],
        ids: np.ndarray,
        table: np.ndarray,
        into: np.ndarray,
        spare: np.ndarray,
    ) -> np.ndarray:
        """`_read_rows` of parts (first byte, width, column) in compiled loops; which (P, E) are still to be read in
        Python: all where there are no such loops, and those at which the system stopped, as at the end of the file."""
        everything = np.ones((len(parts), len(ids)), np.bool_)
        if READ_AT_ONCE is None or not parts:
            return everything
        options = {"spare": spare, "most": MOST_PARTS}
        missed = native.read_rows(self._fd, READ_AT_ONCE, parts, ids, table, into, **options)
        if missed is None:
            return everything
        waiting = [(part, which) for part, which in zip(parts, missed, strict=True) if which.any()]
        self._ask_for([begin + ids[which] * width for (begin, width, _), which in waiting])
        for part, which in waiting:
            again = native.read_rows(self._fd, 0, [part], ids[which], table, into[which], **options)
            if again is not None:
                which[which] = again[0]
        return missed

    def _read_parts(self, name: str, width: int, ids: np.ndarray, parts: list[memoryview], spare: memoryview) -> None:
        """Read the rows of ascending ids of a tensor into `parts`, those near each other in one call."""
        gaps = (ids[1:] - ids[:-1] - 1) * width
        leap = (gaps < 0) | (gaps > len(spare))  # negative where an id is repeated
        leap[MOST_PARTS - 1 :: MOST_PARTS] = True
        after = leap.nonzero()[0] + 1
        firsts, lasts = np.append(0, after), np.append(after, len(ids))
        places = self._header[name]["data_offsets"][0] + ids[firsts] * width
        sizes = ((ids[lasts - 1] - ids[firsts] + 1) * width).tolist()
        if bool((gaps[~leap] > 0).any()):
            filler = [spare[:gap] for gap in np.where(leap, 0, gaps).tolist()]
            parts = [part for pair in zip(parts, [*filler, spare], strict=True) for part in pair]
            firsts, lasts = 2 * firsts, 2 * lasts - 1
        chosen = [parts[first:last] for first, last in zip(firsts.tolist(), lasts.tolist(), strict=True)]
        self._read_all(list(zip(chosen, places.tolist(), sizes, strict=True)))

    def _read_all(self, calls: list[tuple[list[memoryview], int, int]]) -> None:
        """`_read_into` of each; what the system has not in memory is asked for together before any of it is awaited."""
        flag = READ_AT_ONCE
        if flag is not None:
            calls = [call for call in calls if not self._ready(*call, flag)]
            self._ask_for([np.array([self._start + place for _, place, _ in calls])])
        for call in calls:
            self._read_into(*call)

    def _ask_for(self, places: list[np.ndarray]) -> None:
        """Let the system read what lies around these bytes of the file, without waiting for it."""
        if places:
            for window in np.unique(np.concatenate(places) // AROUND_BYTES).tolist():
                os.posix_fadvise(self._fd, window * AROUND_BYTES, AROUND_BYTES, os.POSIX_FADV_WILLNEED)

    def _ready(self, parts: list[memoryview], at: int, size: int, flag: int) -> bool:
        """Whether `parts` could be filled without waiting for the disk."""
        try:
            return os.preadv(self._fd, parts, self._start + at, flag) == size
        except OSError:  # it would wait, or knows no such reading: then it is read as ever
            return False

    def _read_into(self, parts: list[memoryview], at: int, size: int) -> None:
        """Fill `parts`, of `size` bytes together, with what begins at byte `at` of the data."""
        at += self._start
        got = self._read_some(self._fd, parts, at)
        while got != size:  # the end of the file, or a signal
            if not got:
                raise StoreError(f"{self.path} ends before its data does: {DAMAGE}")
            size, at = size - got, at + got
            while got >= len(parts[0]):
                got -= len(parts[0])
                parts = parts[1:]
            parts = [parts[0][got:], *parts[1:]]
            got = self._read_some(self._fd, parts, at)

    def _read_first(self, _: int, parts: list[memoryview], at: int) -> int:
        """What `os.preadv` does, or less of it."""
        with self._lock:
            self._file.seek(at)
            return self._file.readinto(next(part for part in parts if len(part))) or 0


class StoredExperts(ExpertSource):
    """The source of a lazy model: numbers (E, 1) of experts -> their rows, read from the file."""

    def __init__(self, file: ExpertFile, device: torch.device):
        super().__init__(self._read)
        self._file, self._device = file, device
        self.staged = device.type != "cpu"

    def _read(self, leaves: Tensor) -> Rows:
        return tuple(t.to(self._device) for t in self._file.experts(leaves[:, 0].cpu()))

    def hold(self, limit: int) -> int:
        return self._file.hold(limit)

    def fill(self, arena: Tensor, rows: Rows, leaves: Tensor, slots: Tensor) -> None:
        if self.staged:
            super().fill(arena, rows, leaves, slots)
        else:
            self._file.read_into(arena, leaves[:, 0], slots)


# --- digests ------------------------------------------------------------------------------------------


def _bytes_of(tensor: Tensor) -> memoryview:
    """A contiguous tensor's own memory."""
    array: Any = tensor.reshape(-1).view(torch.uint8).numpy() if tensor.numel() else b""
    return memoryview(array)


def raw(tensor: Tensor) -> bytes:
    """The bytes of a tensor."""
    return bytes(_bytes_of(tensor.contiguous()))


def expert_digests(rows: Iterable[Tensor]) -> Tensor:
    """SHA-256 (E, 32), uint8, of each expert's bytes, tensor after tensor."""
    tensors = [t.contiguous() for t in rows]
    count = len(tensors[0])
    views = [(_bytes_of(t), t.nbytes // max(1, count)) for t in tensors]
    digests = bytearray()
    for i in range(count):
        digest = hashlib.sha256()
        for view, width in views:
            digest.update(view[i * width : (i + 1) * width])
        digests += digest.digest()
    return torch.frombuffer(digests, dtype=torch.uint8).reshape(count, 32) if count else torch.empty(0, 32).byte()


def root_digest(spec: dict[str, Any], parts: Iterable[tuple[str, Iterable[bytes]]]) -> str:
    """SHA-256 of the spec without its root, and of the named tensors' bytes."""
    digest = hashlib.sha256(json.dumps({k: v for k, v in spec.items() if k != "root"}, sort_keys=True).encode())
    for name, pieces in parts:
        digest.update(name.encode())
        for piece in pieces:
            digest.update(piece)
    return digest.hexdigest()
