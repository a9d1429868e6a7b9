"""`ValueFile`: what a slow function has answered so far, in a file that any end of the process leaves whole.

It is an SQLite database of two tables: `about` (schema, n, m) and `answers` (x, y), each row the little-endian float64
numbers of a point and of the values there. What was written stays when the process is killed.

Main definition: `ValueFile`.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np

from constructions.errors import StoreError
from constructions.files import require_regular, require_writable

SCHEMA = "momlp-values-1"
PATIENCE = 30.0  # seconds for another process that writes
ROWS = 1 << 16  # read at a time


class ValueFile:
    """The file at `path` with values (m,) of points (n,); made when there is none, on the first value.

    Raises `StoreError` for a file that is something else or belongs to another n, m; OSError where none can be.
    """

    def __init__(self, path: Path, n: int, m: int):
        self.path, self.n, self.m = path, n, m
        if os.path.lexists(path):
            require_regular(path)
        else:
            require_writable(path)

    def read(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Points (B, n) and values (B, m), part by part."""
        if not self.path.exists() or not self.path.stat().st_size:
            return
        with self._opened() as database:
            rows = database.execute("SELECT x, y FROM answers")
            while part := rows.fetchmany(ROWS):
                points = np.frombuffer(b"".join(x for x, _ in part), dtype="<f8").reshape(len(part), self.n)
                values = np.frombuffer(b"".join(y for _, y in part), dtype="<f8").reshape(len(part), self.m)
                yield points, values

    def write(self, points: np.ndarray, values: np.ndarray) -> None:
        """Add values (B, m) of points (B, n); they are on the disk when this returns."""
        rows = zip(_words(points), _words(values), strict=True)
        with self._opened() as database, database:
            database.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?)", rows)

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        wanted = {"schema": SCHEMA, "n": str(self.n), "m": str(self.m)}
        try:
            with closing(sqlite3.connect(self.path, timeout=PATIENCE)) as database:
                if not database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                    self._begin(database, wanted)
                found = dict(database.execute("SELECT name, value FROM about"))
                if found != wanted:
                    raise StoreError(f"`cache` {self.path} must hold values of {wanted}, it says {found}")
                yield database
        except sqlite3.Error as err:
            raise StoreError(f"`cache` {self.path} is no file of values that can be used ({err})") from err

    def _begin(self, database: sqlite3.Connection, about: dict[str, str]) -> None:
        sizes = f"x BLOB PRIMARY KEY CHECK (length(x) = {8 * self.n}), y BLOB CHECK (length(y) = {8 * self.m})"
        with database:  # all or nothing; another process may begin at the same time
            database.execute("CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT)")
            database.execute(f"CREATE TABLE IF NOT EXISTS answers ({sizes}) WITHOUT ROWID")
            database.executemany("INSERT OR IGNORE INTO about VALUES (?, ?)", about.items())


def _words(rows: np.ndarray) -> list[bytes]:
    width = 8 * rows.shape[1]
    data = np.ascontiguousarray(rows, dtype="<f8").tobytes()
    return [data[start : start + width] for start in range(0, len(data), width)]
