"""Do the tests notice when a checker is wrong? Change one operator or number of a source file and run its tests.

    python tests/mutants.py --count 400 --seed 0          a seeded sample over all files of TARGETS
    python tests/mutants.py --files theory/exact.py       every mutant of some files

Each mutant runs only the test functions that execute its line (from a coverage map, made first; all of the file for a
line that runs on import), quickest first, up to --budget seconds of them, in a forked process that already has torch; a
test that fails, or does not end, kills it. Survivors argued to compute the same are listed in equivalent_mutants.toml
by the line's text, and count as decided elsewhere. Exit code 1 when fewer than 95 % of the decided mutants are killed.

All is kept in results/mutants, so that an interrupted run goes on: what a test file runs, until the sources or that
file change; a killed mutant, until its source file changes (tests are only ever added: --fresh decides all again); a
survivor, until the tests that run its line change.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import importlib
import itertools
import json
import os
import random
import resource
import signal
import sqlite3
import sys
import time
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any

HOME = Path(__file__).resolve().parent.parent
RESULTS = HOME / "results" / "mutants"
TARGETS = (
    "theory/checkers/**/*.py",
    "theory/*/checkers.py",
    "theory/*/checkers/**/*.py",
    "theory/pathway_tree/tree_structure.py",
    "theory/exact.py",
    "constructions/functions/symbolic/balls.py",
    "constructions/pathway_tree/lattice.py",
    "constructions/pathway_tree/tree.py",
    "constructions/momlp/plan.py",
)
# in one process, without the claims and the ranks: those test whole systems and take minutes
TESTS = ("tests",)
LEFT_OUT = (
    "test_claims.py",
    "test_claims_on_the_device.py",
    "test_command_lines.py",
    "test_contributing.py",
    "test_doctor.py",
    "test_kills.py",
    "test_memory_budget.py",
    "test_public_api.py",
    "test_systems.py",
    "test_together.py",
    "test_workers.py",
    "tests/distributed_momlp/test_objects.py",
    "tests/trained_momlp/test_objects.py",
)
PRELOADED = (
    "torch",
    "numpy",
    "sympy",
    "flint",
    "networkx",
    "scipy.spatial",
    "safetensors.torch",
    "hypothesis",
    "pytest",
)
NEEDED = 0.95
BUDGET = 60.0
PATIENCE = 4.0  # times the tests' own time, and 20 seconds: after that a mutant counts as one that does not end
MOST_BYTES = 8 << 30  # of address space beyond what is there: a size that grows without end is a failure, too


# --- mutants ----------------------------------------------------------------------------------------------

COMPARISONS = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
OPERATORS = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult, ast.Pow: ast.Mult, ast.LShift: ast.RShift, ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip
TWINS = {
    "min": "max", "max": "min", "amin": "amax", "amax": "amin", "argmin": "argmax", "argmax": "argmin", "any": "all",
    "all": "any", "minimum": "maximum", "maximum": "minimum", "lower": "upper", "upper": "lower", "ceil": "floor",
    "floor": "ceil", "abs_lower": "abs_upper", "abs_upper": "abs_lower",
}  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """One change of one line; `what` is "before -> after" in the language's own words, " #2" behind it for the second
    such place of the line."""

    file: str
    line: int
    text: str
    what: str
    place: int
    change: int

    @property
    def name(self) -> str:
        return f"{self.file}:{self.line}: {self.what}"

    @property
    def source(self) -> str:
        """The file with the change."""
        tree = ast.parse((HOME / self.file).read_text())
        node = next(itertools.islice(_places(tree), self.place, None))
        list(_changes(node))[self.change][1](node)
        return ast.unparse(tree)


def mutants_of(file: str) -> Iterator[Mutant]:
    """All mutants of a file, one node each; annotations, docstrings and error messages are left alone."""
    source = (HOME / file).read_text()
    lines = source.splitlines()
    before: Counter[tuple[int, str]] = Counter()
    for place, node in enumerate(_places(ast.parse(source))):
        for change, (kind, _) in enumerate(_changes(node)):
            line = node.lineno
            before[line, kind] += 1
            what = kind if before[line, kind] == 1 else f"{kind} #{before[line, kind]}"
            yield Mutant(file, line, lines[line - 1].strip(), what, place, change)


def on_import(file: str) -> set[int]:
    """The lines of a file that run when it is imported: all outside of the bodies of functions."""
    source = (HOME / file).read_text()
    inside: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            inside |= set(range(node.body[0].lineno, (node.end_lineno or node.lineno) + 1))
    return set(range(1, len(source.splitlines()) + 1)) - inside


def _places(tree: ast.AST) -> Iterator[ast.expr]:
    """Expressions in the order of the walk, without those that nobody evaluates or only a message shows."""
    skipped: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.JoinedStr, ast.Raise)):
            skipped |= {id(n) for n in ast.walk(node)}
        notes = [getattr(node, name, None) for name in ("annotation", "returns")]
        for note in (*notes, *getattr(node, "decorator_list", ())):
            skipped |= {id(n) for n in ast.walk(note)} if note is not None else set()
        if isinstance(node, ast.AnnAssign):
            skipped.add(id(node.target))
        if isinstance(node, ast.keyword) and node.arg == "strict":
            skipped.add(id(node.value))  # a guard of zip: the lengths are compared before
    wanted = (ast.Compare, ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Constant, ast.Name, ast.Attribute)
    yield from (n for n in ast.walk(tree) if isinstance(n, wanted) and id(n) not in skipped)


def _changes(node: ast.expr) -> Iterator[tuple[str, Any]]:
    """(words, a function that changes a node of this kind in place)."""
    if isinstance(node, ast.Compare):
        for i, operator in enumerate(node.ops):
            other = COMPARISONS[type(operator)]
            yield f"{type(operator).__name__} -> {other.__name__}", lambda n, i=i, o=other: n.ops.__setitem__(i, o())
    elif isinstance(node, ast.BinOp) and type(node.op) in OPERATORS and not _is_type(node):
        other = OPERATORS[type(node.op)]
        yield f"{type(node.op).__name__} -> {other.__name__}", lambda n, o=other: setattr(n, "op", o())
    elif isinstance(node, ast.BoolOp):
        other = ast.Or if isinstance(node.op, ast.And) else ast.And
        yield f"{type(node.op).__name__} -> {other.__name__}", lambda n, o=other: setattr(n, "op", o())
    elif isinstance(node, ast.UnaryOp) and not isinstance(node.op, ast.UAdd):
        yield f"{type(node.op).__name__} dropped", _dropped
    elif isinstance(node, ast.Constant) and type(node.value) in (bool, int, float):
        for value in _other_values(node.value):
            yield f"{node.value!r} -> {value!r}", lambda n, v=value: setattr(n, "value", v)
    elif isinstance(node, ast.Name) and node.id in TWINS:
        yield f"{node.id} -> {TWINS[node.id]}", lambda n: setattr(n, "id", TWINS[n.id])
    elif isinstance(node, ast.Attribute) and node.attr in TWINS:
        yield f".{node.attr} -> .{TWINS[node.attr]}", lambda n: setattr(n, "attr", TWINS[n.attr])


def _is_type(node: ast.BinOp) -> bool:
    """`X | Y` of types, which is no arithmetic."""
    names = [n.id for n in ast.walk(node) if isinstance(n, ast.Name)]
    return isinstance(node.op, ast.BitOr) and all(name[:1].isupper() or name in ("str", "int") for name in names)


def _dropped(node: ast.UnaryOp) -> None:
    # in place: −a becomes +a, `not a` becomes `bool(a)`
    if isinstance(node.op, ast.Not):
        node.op, node.operand = ast.Not(), ast.UnaryOp(ast.Not(), node.operand)
    else:
        node.op = ast.UAdd()


def _other_values(value: bool | int | float) -> list[bool | int | float]:
    if isinstance(value, bool):
        return [not value]
    return [value * 2] if isinstance(value, float) and value else [value + 1]


# --- which tests run a line -------------------------------------------------------------------------------


def files_of(patterns: tuple[str, ...] | list[str]) -> list[str]:
    found = sorted({str(p.relative_to(HOME)) for pattern in patterns for p in HOME.glob(pattern)})
    if not found:
        raise SystemExit(f"mutants: no file matches {', '.join(patterns)}")
    return found


def test_files(places: list[str]) -> list[str]:
    every = [p for t in places for p in ([HOME / t] if t.endswith(".py") else sorted((HOME / t).rglob("test_*.py")))]
    found = [str(p.relative_to(HOME)) for p in every]
    return [p for p in found if p not in LEFT_OUT and Path(p).name not in LEFT_OUT]


def digest(paths: Iterable[Path]) -> str:
    """Of the contents of some files."""
    found = hashlib.sha256()
    for path in sorted(paths):
        found.update(str(path.relative_to(HOME)).encode() + b"\0" + path.read_bytes())
    return found.hexdigest()[:16]


def tests_by_line(files: list[str], places: list[str]) -> tuple[dict[tuple[str, int], set[str]], dict[str, float]]:
    """((file, line) -> test functions that run it, test function -> seconds), measured once for a state of the code."""
    folder = RESULTS / "map"
    folder.mkdir(parents=True, exist_ok=True)
    shared = [p for name in ("constructions", "theory", "tests/house") for p in (HOME / name).rglob("*.py")]
    shared = [p for p in shared if not p.name.startswith("test_")] + [HOME / "tests" / "conftest.py"]
    lines: dict[tuple[str, int], set[str]] = defaultdict(set)
    seconds: dict[str, float] = {}
    for test in test_files(places):
        stem = f"{test.removesuffix('.py').replace('/', '.')}-{digest([*shared, HOME / test])}"
        kept = folder / f"{stem}.json"
        if not kept.exists():
            print(f"mutants: which line {test} runs …", flush=True)
            database = folder / f"{stem}.sqlite"
            database.unlink(missing_ok=True)
            if (code := _in_child(lambda: _measure(database, kept, test), timeout=3600)) != 0:  # noqa: B023
                raise SystemExit(f"mutants: {test} does not pass on the code as it is (exit code {code})")
            database.unlink()
        found = json.loads(kept.read_text())
        seconds |= found["seconds"]
        for file in set(files) & found["lines"].keys():
            for context, numbers in found["lines"][file].items():
                for number in numbers:
                    lines[file, number].add(context)
    return lines, seconds


def _measure(database: Path, kept: Path, test: str) -> int:
    import coverage
    import pytest

    meter = coverage.Coverage(data_file=str(database), source=[str(HOME / "constructions"), str(HOME / "theory")])
    seconds: dict[str, float] = defaultdict(float)

    class Switch:
        def pytest_runtest_setup(self, item):
            meter.switch_context(item.nodeid.split("[")[0])

        def pytest_runtest_logreport(self, report):
            seconds[report.nodeid.split("[")[0]] += report.duration

    meter.start()
    code = pytest.main(["-q", "-x", "-p", "no:cacheprovider", test], plugins=[Switch()])
    meter.stop()
    meter.save()
    if code == 0:
        partial = kept.with_suffix(".partial")
        partial.write_text(json.dumps({"lines": _lines_of(database), "seconds": seconds}))
        partial.rename(kept)
    return int(code)


def _lines_of(database: Path) -> dict[str, dict[str, list[int]]]:
    """File -> test function -> the lines that it runs."""
    with sqlite3.connect(database) as store:
        rows = store.execute(
            "select file.path, context.context, numbits from line_bits join file on file.id = line_bits.file_id "
            "join context on context.id = line_bits.context_id where context.context != ''"
        ).fetchall()
    found: dict[str, dict[str, list[int]]] = defaultdict(dict)
    for path, context, bits in rows:
        numbers = [8 * byte + bit for byte, value in enumerate(bits) for bit in range(8) if value >> bit & 1]
        found[str(Path(path).relative_to(HOME))][context] = numbers
    return found


# --- running ----------------------------------------------------------------------------------------------


def _in_child(work, timeout: float) -> int:
    """The exit code of `work` in a forked process, silent; −1 when it had to be killed."""
    child = os.fork()
    if child == 0:
        os.setsid()
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nowhere, stream)
        code = 99
        try:
            code = int(work())
        finally:
            os._exit(code)
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return -1


def survives(mutant: Mutant, tests: list[str], seconds: float) -> bool:
    """Whether all `tests` pass with the mutant in place."""

    def work() -> int:
        import pytest
        import torch

        torch.set_num_threads(1)
        held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (held + MOST_BYTES, held + MOST_BYTES))
        target, source, honest = str(HOME / mutant.file), mutant.source, SourceFileLoader.get_code

        def code_of(loader: SourceFileLoader, name: str):
            if loader.path == target:
                return compile(source, target, "exec")
            return honest(loader, name)

        SourceFileLoader.get_code = code_of
        return int(pytest.main(["-q", "-x", "-p", "no:cacheprovider", *tests]))

    return _in_child(work, PATIENCE * seconds + 20) == 0


def equivalents() -> dict[tuple[str, str, str], str]:
    """(file, line's text, change) -> why the mutant computes the same."""
    table = tomllib.loads((HOME / "tests" / "equivalent_mutants.toml").read_text())
    return {(row["file"], row["line"], what): row["why"] for row in table["mutant"] for what in row["changes"]}


class Decided:
    """What earlier runs found, a JSON object a line: digests of a mutant and of its tests, and whether it lived."""

    def __init__(self, path: Path, fresh: bool):
        self.path = path
        if fresh:
            path.unlink(missing_ok=True)
        rows = [json.loads(row) for row in path.read_text().splitlines()] if path.exists() else []
        self.found = {row["mutant"]: row for row in rows}

    @staticmethod
    def key(mutant: Mutant) -> str:
        return hashlib.sha256(f"{mutant.file}\0{mutant.source}".encode()).hexdigest()[:16]

    def __call__(self, mutant: Mutant, tests: str) -> bool | None:
        """Whether the mutant lives, None where nobody knows."""
        row = self.found.get(self.key(mutant))
        return row["alive"] if row is not None and (not row["alive"] or row["tests"] == tests) else None

    def add(self, mutant: Mutant, tests: str, alive: bool) -> None:
        row = {"mutant": self.key(mutant), "name": mutant.name, "tests": tests, "alive": alive}
        with self.path.open("a") as file:
            file.write(json.dumps(row) + "\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--files", nargs="*", default=TARGETS, help="globs of source files (default: all targets)")
    parser.add_argument("--count", type=int, help="how many, drawn at random (default: all)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tests", nargs="*", default=TESTS, help="folders and files of tests")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--budget", type=float, default=BUDGET, help="seconds of tests for one mutant")
    parser.add_argument("--fresh", action="store_true", help="forget what earlier runs decided")
    args = parser.parse_args()
    os.chdir(HOME)
    sys.path.insert(0, str(HOME))
    files = files_of(args.files)
    for name in PRELOADED:
        importlib.import_module(name)
    lines, seconds = tests_by_line(files, args.tests)
    known = equivalents()
    every = [m for file in files for m in mutants_of(file)]
    random.Random(args.seed).shuffle(every)
    argued = [m for m in every if (m.file, m.text, m.what) in known]
    chosen = [m for m in every if (m.file, m.text, m.what) not in known][: args.count]
    print(
        f"mutants: {len(chosen)} of {len(every)} in {len(files)} files; {len(argued)} more argued equivalent",
        flush=True,
    )

    decided = Decided(RESULTS / "decided.jsonl", args.fresh)
    imported = {file: on_import(file) for file in files}
    of_file = {file: set().union(*(tests for (f, _), tests in lines.items() if f == file)) for file in files}

    def decide(mutant: Mutant) -> tuple[Mutant, bool]:
        found = lines.get((mutant.file, mutant.line), set())
        if mutant.line in imported[mutant.file]:
            found = of_file[mutant.file]
        tests, spent = [], 0.0
        for test in sorted(found, key=lambda t: (seconds.get(t, 0.0), t)):
            spent += seconds.get(test, 0.0)
            if tests and spent > args.budget:
                break
            tests.append(test)
        state = digest({HOME / t.split("::")[0] for t in tests})
        alive = decided(mutant, state)
        if alive is None:
            alive = not tests or survives(mutant, tests, min(spent, args.budget))
            decided.add(mutant, state, alive)
        return mutant, alive

    survivors: list[Mutant] = []
    with ThreadPoolExecutor(args.jobs) as pool:
        for number, done in enumerate(as_completed([pool.submit(decide, m) for m in chosen]), start=1):
            mutant, alive = done.result()
            if alive:
                survivors.append(mutant)
                print(f"SURVIVES {mutant.name}    | {mutant.text}", flush=True)
            if number % 20 == 0:
                killed = number - len(survivors)
                print(f"mutants: {killed} of {number} killed so far ({killed / number:.1%})", flush=True)
    share = 1 - len(survivors) / max(1, len(chosen))
    rows = [{"file": m.file, "line": m.line, "text": m.text, "what": m.what} for m in survivors]
    (RESULTS / "survivors.json").write_text(json.dumps(rows, indent=1))
    killed = len(chosen) - len(survivors)
    print(f"mutants: {killed} of {len(chosen)} killed ({share:.1%}); see {RESULTS / 'survivors.json'}")
    return 0 if share >= NEEDED else 1


if __name__ == "__main__":
    raise SystemExit(main())
