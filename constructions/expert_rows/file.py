"""Model files: whole-or-absent writing, digests, and reading single experts from an open file.

A file is safetensors with a JSON spec in the metadata entry `momlp`; one row of each expert tensor belongs to one
expert, and `expert_digests` (L, 32) holds the SHA-256 of each expert's rows. Digests detect damage, not forgery:
whoever rewrites a file can rewrite its digests.

Main definitions: `ExpertFile`, `write_model`, `read_metadata`, `read_spec`, `expert_digests`, `root_digest`.
Implementation notes: experts are read with plain file reads, not through a memory map, so that what is resident is what
was asked for.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from constructions.errors import StoreError
from constructions.expert_rows.cache import Rows
from constructions.files import require_regular, write_tensors

SCHEMA = 1
DAMAGE = "the file was altered or damaged after it was written"
DIGESTS = "expert_digests"
READ_BYTES = 1 << 20
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


def require_shapes(path: Path, expected: dict[str, list[int]]) -> None:
    """StoreError unless the file holds exactly these tensors."""
    with safe_open(path, framework="pt") as file:
        found = {k: list(file.get_slice(k).get_shape()) for k in file.keys()}  # noqa: SIM118
    if found != expected:
        raise StoreError(f"{path} has tensors {found}, its plan asks for {expected}: {DAMAGE}")


class ExpertFile:
    """Rows of single experts from a model file, each expert checked against its digest when it is read.

    `names` are the expert tensors in the order in which they were hashed. Only the header is held in memory. Reading is
    safe from several threads. StoreError for a truncated file or a wrong digest.
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

    def count(self) -> int:
        """Number of experts."""
        return self._header[DIGESTS]["shape"][0]

    def experts(self, ids: list[int]) -> Rows:
        """The rows of these experts, one tensor a name, in the order asked for."""
        # one hash an expert is the point of this format, so this loop stays
        rows = tuple(self._rows(name, ids) for name in self.names)
        digests = self._rows(DIGESTS, ids)
        found = expert_digests(rows)
        wrong = (found != digests).any(-1)
        if bool(wrong.any()):
            raise StoreError(f"{self.path}: the digest of expert {ids[int(wrong.int().argmax())]} differs: {DAMAGE}")
        return rows

    def chunks(self, name: str) -> Iterator[bytes]:
        """The raw bytes of a tensor, piece by piece."""
        first, end = self._header[name]["data_offsets"]
        for at in range(first, end, READ_BYTES):
            piece = bytearray(min(READ_BYTES, end - at))
            self._read_into(memoryview(piece), at)
            yield bytes(piece)

    def _rows(self, name: str, ids: list[int]) -> Tensor:
        entry = self._header[name]
        result = torch.empty(len(ids), *entry["shape"][1:], dtype=DTYPES[entry["dtype"]])
        if not result.numel():
            return result
        width = result[0].nbytes
        view = _bytes_of(result)
        for place, count in _runs(ids):
            at = entry["data_offsets"][0] + ids[place] * width
            self._read_into(view[place * width : (place + count) * width], at)
        return result

    def _read_into(self, view: memoryview, at: int) -> None:
        with self._lock:
            self._file.seek(self._start + at)
            done = 0
            while done < len(view):
                got = self._file.readinto(view[done:])
                if not got:
                    raise StoreError(f"{self.path} ends before its data does: {DAMAGE}")
                done += got


def _runs(ids: list[int]) -> Iterator[tuple[int, int]]:
    """(place of the first, length) of every run of consecutive ids."""
    start = 0
    for i in range(1, len(ids) + 1):
        if i == len(ids) or ids[i] != ids[i - 1] + 1:
            yield start, i - start
            start = i


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
