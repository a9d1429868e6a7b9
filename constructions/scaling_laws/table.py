"""A table of runs: a CSV file with a header, whose columns are sizes, an error, and perhaps a group.

Main definitions: `Table`, `read_table`.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from constructions.errors import shown
from constructions.files import require_regular

MISSING = {"", "nan", "na", "n/a", "null", "none", "-"}
DELIMITERS = ",;\t|"
SNIFFED = 1 << 16
MOST_BYTES = 1 << 30


@dataclass(frozen=True)
class Table:
    """`header` names the columns; `columns` hold their cells as text, `lines` (N,) the line of the file of each row."""

    name: str
    header: tuple[str, ...]
    columns: tuple[tuple[str, ...], ...]
    lines: np.ndarray

    def __len__(self) -> int:
        return len(self.lines)

    def text(self, column: str) -> list[str]:
        return [cell.strip() for cell in self.columns[self.header.index(column)]]

    def numbers(self, column: str) -> np.ndarray:
        """(N,) float64, NaN where a cell is empty; ValueError with the line of the first cell that is no number."""
        cells = self.text(column)
        try:
            return np.array([math.nan if cell.lower() in MISSING else float(cell) for cell in cells])
        except ValueError:
            row = next(i for i, cell in enumerate(cells) if not is_number(cell))
            raise ValueError(
                f"{self.name}, line {self.lines[row]}: `{column}` must be a number, got {shown(cells[row])}"
            ) from None

    def numeric(self) -> list[str]:
        """The columns of numbers, in which not all cells are empty."""
        return [name for name, cells in zip(self.header, self.columns, strict=True) if _all_numbers(cells)]

    def column(self, name: str, option: str) -> str:
        """The column of this name, also where only the case differs; ValueError with the columns that there are."""
        if name in self.header:
            return name
        alike = [known for known in self.header if known.strip().lower() == name.strip().lower()]
        if len(alike) == 1:
            return alike[0]
        there = ", ".join(self.header)
        raise ValueError(f"`{option}` must be a column of {self.name}, which has {there}; got {shown(name)}")


def is_number(cell: str) -> bool:
    """A number, or a missing one."""
    cell = cell.strip()
    if cell.lower() in MISSING:
        return True
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _all_numbers(cells: Sequence[str]) -> bool:
    return all(map(is_number, cells)) and any(cell.strip().lower() not in MISSING for cell in cells)


def read_table(path: str | Path) -> Table:
    """The table in a CSV file: separated by commas, semicolons, tabs or bars, UTF-8 with or without a mark; blank lines
    do not count. ValueError with the line where it is not one, OSError where it cannot be read."""
    path = require_regular(path)
    with open(path, "rb") as file:
        raw = file.read(MOST_BYTES + 1)
    if len(raw) > MOST_BYTES:
        raise ValueError(f"{path} must have at most {MOST_BYTES} bytes to be read as a table of runs")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} must be a CSV file in UTF-8, byte {error.start} is not: {error.reason}") from None
    rows, lines = _rows(path, text)
    if len(rows) < 2:
        raise ValueError(
            f"{path} must be a CSV file with a header and rows, it has {len(rows)} lines that are not blank"
        )
    header = tuple(cell.strip() for cell in rows[0])
    _require_header(path, header)
    wrong = next((i for i, row in enumerate(rows) if len(row) != len(header)), None)
    if wrong is not None:
        have = f"{len(rows[wrong])} cell{'s' * (len(rows[wrong]) != 1)}"
        raise ValueError(f"{path}, line {lines[wrong]}: a row must have {len(header)} cells as the header, got {have}")
    return Table(str(path), header, tuple(zip(*rows[1:], strict=True)), np.array(lines[1:]))


def _rows(path: Path, text: str) -> tuple[list[list[str]], list[int]]:
    delimiter = _delimiter(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True)
    rows, lines = [], []
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                rows.append(row)
                lines.append(reader.line_num)
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: it must be a CSV file ({error})") from None
    return rows, lines


def _delimiter(text: str) -> str:
    """What separates most cells of the header."""
    header = next((line for line in text[:SNIFFED].splitlines() if line.strip()), "")
    return max(DELIMITERS, key=header.count)


def _require_header(path: Path, header: tuple[str, ...]) -> None:
    if len(set(header)) < len(header):
        twice = next(name for name in header if header.count(name) > 1)
        raise ValueError(f"{path}: the header must name every column once, got {shown(twice)} twice")
    if all(map(is_number, header)):
        raise ValueError(f"{path}: the first line must be a header with names, got {shown(','.join(header))}")
