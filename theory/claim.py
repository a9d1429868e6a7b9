"""The vocabulary of verdicts: `Claim`, `Statement`, `ProofFiles`, `Verdict`, `Table`, `Status`, `Evidence`, `Report`,
`ensure`.

A verdict's status may not outrun its evidence: PROVED needs EXACT or SYMBOLIC, CERTIFIED at least FLOAT64, samples
and fits give NOT_REFUTED at most, REFUTED needs a witness. `Verdict` enforces it, and takes nothing that only looks
like a status, an evidence or a number.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from enum import Enum, IntEnum, StrEnum
from html import escape
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from constructions.display import Displayed, Facts, number
from theory.sources import Source

if TYPE_CHECKING:
    import torch

Number = int | float | str | bool

LARGEST_SEED = 2**63 - 1
MOST_SECONDS = 1e12
MOST_SHOWN = 12


class Budget(StrEnum):
    """How much a reproduction may spend: seconds, or as long as the published sizes take."""

    QUICK = "quick"
    FULL = "full"


class Status(Enum):
    PROVED = "PROVED"
    CERTIFIED = "CERTIFIED"
    NOT_REFUTED = "NOT REFUTED"
    REFUTED = "REFUTED"
    INCONCLUSIVE = "INCONCLUSIVE"
    OPEN = "OPEN"


class Evidence(IntEnum):
    """Ordered from weak to strong; a verdict's evidence is its weakest link (`min`)."""

    NONE = 0
    FITTED = 1
    SAMPLED = 2
    FLOAT64 = 3
    ENCLOSED = 4
    SYMBOLIC = 5
    EXACT = 6


STRENGTH_NEEDED = {
    Status.PROVED: Evidence.SYMBOLIC,
    Status.CERTIFIED: Evidence.FLOAT64,
    Status.NOT_REFUTED: Evidence.FITTED,
}


def require(holds: bool, kind: type[Exception], name: str, requirement: str, value: Any) -> None:
    """An error of this kind, naming field, requirement and value, unless the field `holds`."""
    if not holds:
        raise kind(f"`{name}` must be {requirement}, got {_shown(value)} of type {type(value).__name__}")


def _shown(value: Any) -> str:
    try:
        return " ".join(repr(value).split())[:80]
    except Exception:  # an integer too long to print, or a broken __repr__
        return "a value"


def _require_text(name: str, value: Any) -> None:
    require(isinstance(value, str), TypeError, name, "a string", value)


def _require_seed(value: Any) -> None:
    good = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST_SEED
    require(good, ValueError, "seed", f"an integer between 0 and {LARGEST_SEED}", value)


@dataclass(frozen=True)
class Table:
    """What was measured once for each of many cases: a row a case, under named columns.

    TypeError for anything but tuples of names and of numbers, ValueError for rows of another length than the columns.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[Number, ...], ...]

    def __post_init__(self) -> None:
        good = isinstance(self.columns, tuple) and all(isinstance(name, str) for name in self.columns)
        require(good, TypeError, "columns", "a tuple of names", self.columns)
        distinct = bool(self.columns) and len(set(self.columns)) == len(self.columns)
        require(distinct, ValueError, "columns", "one name or more, each once", self.columns)
        good = isinstance(self.rows, tuple) and all(isinstance(row, tuple) for row in self.rows)
        require(good, TypeError, "rows", "a tuple of tuples", self.rows)
        for row in self.rows:
            require(len(row) == len(self.columns), ValueError, "rows", f"{len(self.columns)} numbers each", row)
            good = all(isinstance(value, Number) for value in row)
            require(good, TypeError, "rows", "tuples of numbers or strings", row)

    def column(self, name: str) -> tuple[Number, ...]:
        """The values of one column, from the first row to the last; ValueError for another name."""
        require(name in self.columns, ValueError, "name", f"one of {', '.join(self.columns)}", name)
        return tuple(row[self.columns.index(name)] for row in self.rows)


@dataclass(frozen=True, repr=False)
class Verdict(Displayed):
    """The outcome of one reproduction.

    `numbers` is flat: measured name -> value; `tables` holds what was measured case by case. `witness` re-checks a
    refutation. `seconds` and `device` are filled in by the runner. ValueError when the status claims more than the
    evidence allows, or a statement that holds was measured by something that is not a number (NaN); TypeError for a
    field of another type.
    """

    status: Status
    evidence: Evidence
    reason: str
    numbers: Mapping[str, Number] = field(default_factory=dict)
    bounds: Mapping[str, Number] = field(default_factory=dict)
    witness: str | None = None
    seconds: float = 0.0
    device: str = "cpu"
    seed: int | None = None
    tables: Mapping[str, Table] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # the integer 6 and the text "PROVED" are no evidence and no status, though they compare like them
        require(isinstance(self.status, Status), TypeError, "status", "a Status", self.status)
        require(isinstance(self.evidence, Evidence), TypeError, "evidence", "an Evidence", self.evidence)
        _require_text("reason", self.reason)
        for name in ("numbers", "bounds"):
            object.__setattr__(self, name, self._measured(name, getattr(self, name)))
        object.__setattr__(self, "tables", self._tabulated(self.tables))
        if self.witness is not None:
            _require_text("witness", self.witness)
        good = isinstance(self.seconds, (int, float)) and not isinstance(self.seconds, bool)
        good = good and 0 <= self.seconds <= MOST_SECONDS
        require(good, ValueError, "seconds", f"a number from 0 to {MOST_SECONDS:g}", self.seconds)
        _require_text("device", self.device)
        if self.seed is not None:
            _require_seed(self.seed)
        needed = STRENGTH_NEEDED.get(self.status)
        if needed is not None and self.evidence < needed:
            raise ValueError(
                f"`status` {self.status.value} needs evidence of at least {needed.name}, got {self.evidence.name}"
            )
        if self.status is Status.REFUTED and not any(c.isprintable() and not c.isspace() for c in self.witness or ""):
            raise ValueError("`status` REFUTED needs a witness that anyone can check again")

    def _facts(self) -> Facts:
        measured = [(name, number(value)) for name, value in (*self.numbers.items(), *self.bounds.items())]
        more = [(name, f"{len(table.rows)} rows of {', '.join(table.columns)}") for name, table in self.tables.items()]
        shown = measured[:MOST_SHOWN]
        if len(measured) > MOST_SHOWN:
            shown.append(("…", f"{len(measured) - MOST_SHOWN} more numbers"))
        witness = [] if self.witness is None else [("witness", self.witness)]
        return f"{self.status.value} ({self.evidence.name})", [("reason", self.reason), *witness, *shown, *more]

    def __reduce__(self) -> tuple[Any, ...]:
        # read-only mappings do not pickle
        parts = (getattr(self, f.name) for f in fields(self))
        return Verdict, tuple(dict(p) if isinstance(p, Mapping) else p for p in parts)

    def _measured(self, name: str, values: Any) -> Mapping[str, Number]:
        """A read-only copy of `values`, which are numbers by name, and no NaN where the statement is said to hold."""
        require(isinstance(values, Mapping), TypeError, name, "a mapping of names to numbers", values)
        for key, value in values.items():
            require(isinstance(key, str), TypeError, name, "named by strings", key)
            require(isinstance(value, Number), TypeError, name, f"a number or a string at {key!r}", value)
            self._refuse_nan(name, key, value)
        return MappingProxyType(dict(values))

    def _tabulated(self, tables: Any) -> Mapping[str, Table]:
        """A read-only copy of `tables`, which are tables by name, and no NaN where the statement is said to hold."""
        require(isinstance(tables, Mapping), TypeError, "tables", "a mapping of names to tables", tables)
        for key, table in tables.items():
            require(isinstance(key, str), TypeError, "tables", "named by strings", key)
            require(type(table) is Table, TypeError, "tables", f"a Table at {key!r}", table)
            for row in table.rows:
                for value in row:
                    self._refuse_nan("tables", key, value)
        return MappingProxyType(dict(tables))

    def _refuse_nan(self, name: str, key: str, value: Number) -> None:
        if self.status in STRENGTH_NEEDED and isinstance(value, float) and math.isnan(value):
            raise ValueError(f"`{name}` must not be NaN at {key!r} for the status {self.status.value}, got nan")


def undecided(reason: str, **measured: Number | Table) -> Verdict:
    """The verdict of a reproduction whose check failed without a witness against the claim itself."""
    tables = {name: value for name, value in measured.items() if isinstance(value, Table)}
    numbers = {name: value for name, value in measured.items() if not isinstance(value, Table)}
    return Verdict(Status.INCONCLUSIVE, Evidence.NONE, reason, numbers, tables=tables)


class Report:
    """What an instrument answers: `failure` is None, or the first failure in words; some measure, too.

    A frozen dataclass that extends it has `failure` among its fields. Anything but None, also "", is a failure.
    """

    failure: str | None

    def __init__(self, failure: str | None = None):
        require(failure is None or isinstance(failure, str), TypeError, "failure", "None or a sentence", failure)
        self.failure = failure

    @property
    def holds(self) -> bool:
        return self.failure is None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.failure!r})"


class Undecided(Exception):
    """A check on the way to a verdict failed; `measured` are the numbers and tables from before it."""

    def __init__(self, reason: str, measured: Mapping[str, Number | Table]):
        super().__init__(reason)
        self.reason, self.measured = reason, measured


def ensure(holds: bool | Report, reason: str, **measured: Number | Table) -> None:
    """Go on if this holds; otherwise the claim being reproduced is INCONCLUSIVE, for this reason.

    `measured` are numbers and tables that the verdict then shows. Of a failed `Report` the reason is
    "reason: failure". TypeError for anything but a Report, True or False: a tensor, a number or NaN decides nothing.
    """
    require(isinstance(holds, (bool, Report)), TypeError, "holds", "True, False or a Report", holds)
    _require_text("reason", reason)
    if isinstance(holds, Report):
        if not holds.holds:
            raise Undecided(f"{reason}: {holds.failure}", measured)
    elif not holds:
        raise Undecided(reason, measured)


@dataclass(frozen=True)
class Context:
    """What a reproduction may use. `budget` is "quick" or "full"; `log` reports progress and may be called often.

    `device` may be given by its name. ValueError or TypeError for anything else.
    """

    budget: str = Budget.QUICK
    device: torch.device = field(default="cpu")  # pyright: ignore[reportAssignmentType]
    seed: int = 0
    log: Callable[[str], None] = lambda message: None

    def __post_init__(self) -> None:
        known = isinstance(self.budget, str) and self.budget in list(Budget)
        require(known, ValueError, "budget", " or ".join(repr(b.value) for b in Budget), self.budget)
        object.__setattr__(self, "budget", Budget(self.budget))
        import torch  # takes seconds, and statements are listed without it

        named = isinstance(self.device, (str, torch.device))
        require(named, TypeError, "device", "a torch.device or its name", self.device)

        try:
            object.__setattr__(self, "device", torch.device(self.device))
        except RuntimeError as err:
            raise ValueError(f"`device` must be a torch.device or its name, got {self.device!r}") from err
        _require_seed(self.seed)
        require(callable(self.log), TypeError, "log", "callable with a message", self.log)

    @property
    def full(self) -> bool:
        """Whether the budget is the full one."""
        return self.budget is Budget.FULL

    def generator(self) -> torch.Generator:
        """A fresh CPU generator with the context's seed."""
        import torch

        return torch.Generator().manual_seed(self.seed)


@dataclass(frozen=True)
class ProofFiles:
    """What the proof files of a claim decide, in words, and whether that is all that its quick verdict rests on."""

    whole: bool
    decide: str

    def __post_init__(self) -> None:
        require(isinstance(self.whole, bool), TypeError, "whole", "a bool", self.whole)
        _require_text("decide", self.decide)
        require(bool(self.decide.strip()), ValueError, "decide", "some words", self.decide)

    @property
    def extent(self) -> str:
        """As tables and explanations call it."""
        return "the whole claim" if self.whole else "a part"


def whole(decide: str) -> ProofFiles:
    """Files that decide all that the claim's quick verdict rests on."""
    return ProofFiles(True, decide)


def part(decide: str) -> ProofFiles:
    """Files that decide less than the claim's quick verdict rests on."""
    return ProofFiles(False, decide)


@dataclass(frozen=True)
class Statement:
    """What a system says: the fields of a `Claim` without its id and its reproduction, which follow from its name.

    That of a statement expected to be OPEN measures what can be, and concludes OPEN. `evidence` is what its verdict
    must rest on, `decided_by` how it is found, `does_not_say` what a reader might take it for and it is not. `slow`
    keeps a reproduction out of the quick tests. Statements with the same word in `shares` share what they compute: one
    process decides them. `quick` is what the quick budget ends with where it is too small to decide. `files` says what
    its proof files decide, None where `theory.<system>.proofs` makes none.
    """

    title: str
    statement: str
    source: Source | str
    expected: Status
    hypotheses: tuple[str, ...] = ()
    slow: bool = False
    shares: str = ""
    quick: Status | None = None
    evidence: Evidence = Evidence.NONE
    decided_by: str = ""
    does_not_say: str = ""
    files: ProofFiles | None = None


@dataclass(frozen=True, repr=False)
class Claim(Displayed):
    """A statement, where it comes from, and how it is reproduced.

    `id` is "system.name"; `statement` is LaTeX; `expected` is the status that `momlp verify` insists on, `evidence`
    what it rests on; `decided_by`, `does_not_say` and `files` are for readers (`momlp explain`). `reproduce` is None
    for a claim that nobody has decided here yet: it shows as OPEN. ValueError for a malformed id, TypeError for a field
    of another type, also when `reproduce` returns no Verdict.
    """

    id: str
    title: str
    statement: str
    source: Source | str
    expected: Status
    hypotheses: tuple[str, ...] = ()
    reproduce: Callable[[Context], Verdict] | None = None
    slow: bool = False
    shares: str = ""
    quick: Status | None = None
    evidence: Evidence = Evidence.NONE
    decided_by: str = ""
    does_not_say: str = ""
    files: ProofFiles | None = None

    def __post_init__(self) -> None:
        for name in ("id", "title", "statement", "decided_by", "does_not_say"):
            _require_text(name, getattr(self, name))
        require(isinstance(self.source, (Source, str)), TypeError, "source", "a Source or a string", self.source)
        system, _, name = self.id.partition(".")
        if not system.isidentifier() or not name.isidentifier():
            raise ValueError(f"`id` must look like system.name, got {self.id!r}")
        require(isinstance(self.expected, Status), TypeError, "expected", "a Status", self.expected)
        require(isinstance(self.evidence, Evidence), TypeError, "evidence", "an Evidence", self.evidence)
        good = isinstance(self.hypotheses, tuple) and all(isinstance(h, str) for h in self.hypotheses)
        require(good, TypeError, "hypotheses", "a tuple of strings", self.hypotheses)
        good = self.reproduce is None or callable(self.reproduce)
        require(good, TypeError, "reproduce", "None, or callable with a Context", self.reproduce)
        _require_text("shares", self.shares)
        require(
            self.quick is None or isinstance(self.quick, Status), TypeError, "quick", "None or a Status", self.quick
        )
        good = self.files is None or type(self.files) is ProofFiles
        require(good, TypeError, "files", "None or ProofFiles", self.files)

    def _facts(self) -> Facts:
        facts = [("says", self.title), ("expected", self.expected.value), ("source", str(self.source))]
        return self.id, facts + [("hypothesis", text) for text in self.hypotheses]

    def _repr_latex_(self) -> str:
        return f"$${self.statement}$$"

    def _repr_html_(self) -> str:
        return f"{super()._repr_html_()}<p>$${escape(self.statement)}$$</p>"  # a notebook sets both kinds of text

    @property
    def system(self) -> str:
        """The name before the dot."""
        return self.id.split(".")[0]

    def within(self, budget: str) -> Claim:
        """The claim with the status that this budget is expected to end with."""
        return self if self.quick is None or budget != Budget.QUICK else replace(self, expected=self.quick)

    def verdict(self, context: Context) -> Verdict:
        """Reproduce it: INCONCLUSIVE where `ensure` stops, TypeError when anything but a Verdict comes back."""
        if self.reproduce is None:
            return Verdict(Status.OPEN, Evidence.NONE, "no reproduction is implemented yet")
        require(isinstance(context, Context), TypeError, "context", "a Context", context)
        try:
            verdict = self.reproduce(context)
        except Undecided as failure:
            return undecided(failure.reason, **failure.measured)
        if type(verdict) is not Verdict:  # a subclass need not check what it says
            raise TypeError(f"`reproduce` of {self.id} must return a Verdict, got {type(verdict).__name__}")
        return verdict


def with_run(verdict: Verdict, seconds: float, device: str, seed: int) -> Verdict:
    """The verdict with what only the runner knows."""
    return replace(verdict, seconds=seconds, device=device, seed=seed)
