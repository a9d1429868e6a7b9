"""The verb explain: a claim in words, or a model's answer by interactions (what follows decides which)."""

from __future__ import annotations

import argparse
import fnmatch
import importlib
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from theory.claim import Claim, Evidence
from theory.cli.listing import expected_of
from theory.command import out
from theory.sources import Source
from theory.systems import NAMES, REGISTRY, commands, example, select

MODELS, WIDTH = "shapley_interactions", 120
"""The system whose verb of the same name explains models."""
DESCRIPTION = (
    "Explain a claim, a system or a pattern of claims (momlp explain CLAIM...): what it says, how it is "
    "decided, what it does not say and how to try it; or a model's answer at one row by interactions of features, "
    "or its loss by experts, with the options below."
)

MEANING = {
    Evidence.EXACT: "integers or rationals, computed on the object itself",
    Evidence.SYMBOLIC: "identities and limits derived by sympy, beside the proof on the system's page",
    Evidence.ENCLOSED: "balls of python-flint (Arb), which hold the true value, rounded outward",
    Evidence.FLOAT64: "double precision, with an explicit allowance for rounding",
    Evidence.SAMPLED: "finitely many points, runs or draws of infinitely many",
    Evidence.FITTED: "a slope or constants fitted through measurements",
    Evidence.NONE: "nothing: no verdict is reached",
}
"""What each kind of evidence rests on, from strong to weak."""


def add_explain(sub: argparse.ArgumentParser) -> None:
    if named(getattr(sub, "words", ())):
        what = "a claim, a system, or a pattern such as 'am_gm.f*' (see momlp list)"
        sub.add_argument("claims", metavar="CLAIM", nargs="+", help=what)
        return
    sub.description = DESCRIPTION
    _part("add_explain")(sub)


def run_explain(args: argparse.Namespace) -> int:
    if "claims" not in args:
        return _part("run_explain")(args)
    found = {c.id: c for word in args.claims for c in matching(word)}
    out.file.write("\n".join(explanation(c) for c in found.values()))
    return 0


def _part(name: str) -> Callable[[argparse.Namespace | argparse.ArgumentParser], Any]:
    verb = commands()[MODELS]["explain"]
    return getattr(importlib.import_module(verb.module), name)


# --- which of the two is meant ----------------------------------------------------------------------------


def named(words: Sequence[str]) -> bool:
    """Whether the words after the verb name claims; ValueError when they may be a file as well, or look like a claim
    and are none."""
    first = words[0] if words else "-"
    if first.startswith("-"):
        return False
    if not _looks_like_claims(first):
        return False
    if Path(first).is_file():
        raise ValueError(f"`CLAIM` {first!r} names a claim and a file: write ./{first} for the file")
    matching(first)
    return True


def _looks_like_claims(word: str) -> bool:
    """A claim or system, an id of a system that has no such claim, or a pattern; no file, no MODULE:ATTR."""
    if "/" in word or "\\" in word or ":" in word or word.endswith(".safetensors"):
        return False
    if any(word in (c.id, c.system) for c in REGISTRY.values()) or any(mark in word for mark in "*?["):
        return True
    system, dot, _ = word.partition(".")
    return bool(dot) and system in NAMES and not Path(word).is_file()


def matching(pattern: str) -> list[Claim]:
    """The claims of this id, of this system, or whose ids match this pattern; ValueError when there are none."""
    if not any(mark in pattern for mark in "*?["):
        return select([pattern])
    found = [c for c in REGISTRY.values() if fnmatch.fnmatchcase(c.id, pattern)]
    if not found:
        raise ValueError(f"no claim matches {pattern} (see `momlp list`)")
    return found


# --- what is said -----------------------------------------------------------------------------------------


def explanation(claim: Claim) -> str:
    """All that is known of a claim before it is decided, as text."""
    said = {
        "statement": [claim.statement],
        "source": [_source(claim.source)],
        "hypotheses": claim.hypotheses or ["none"],
        "expected": [expected_of(claim)],
        "evidence": [f"{claim.evidence.name}: {MEANING[claim.evidence]}"],
        "how it is decided": [claim.decided_by or "not written down"],
        "what it does not say": [claim.does_not_say or "not written down"],
        "proof file": [_proof_file(claim)],
    }
    lines = [f"{claim.id}: {claim.title}\n", *(_section(heading, texts) for heading, texts in said.items())]
    if example(claim.id):
        lines.append(_code("try it in Python", example(claim.id).splitlines()))
    lines.append(_code(f"decide it in Python (or: momlp verify {claim.id} --numbers)", lines_of(claim)))
    return "".join(lines)


def _proof_file(claim: Claim) -> str:
    if claim.files is None:
        return "none: what decides it is checked where it runs"
    return (
        f"of {claim.files.extent}: {claim.files.decide}; momlp verify {claim.id} --proofs DIR writes it, momlp recheck "
        "DIR decides it again"
    )


def _code(heading: str, lines: Sequence[str]) -> str:
    return "".join([f"  {heading}\n", *(f"    {line}".rstrip() + "\n" for line in lines)])


def _section(heading: str, texts: Sequence[str]) -> str:
    first, rest = ("    - ", "      ") if len(texts) > 1 else ("    ", "    ")
    wrapper = textwrap.TextWrapper(
        WIDTH, initial_indent=first, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False
    )
    return "".join(f"{line}\n" for line in (f"  {heading}", *(wrapper.fill(text) for text in texts)))


def _source(source: Source | str) -> str:
    if isinstance(source, str):
        return source
    paper = source.paper
    return f"{source} ({paper.authors}: {paper.title}, {paper.year}; {paper.url})"


def lines_of(claim: Claim) -> list[str]:
    """Five lines of Python that decide the claim and print its verdict."""
    return [
        "from theory import REGISTRY, Context",
        f'verdict = REGISTRY["{claim.id}"].verdict(Context(budget="quick", device="cpu", seed=0))',
        "print(verdict.status.value, verdict.evidence.name, verdict.witness or verdict.reason)",
        'print(*(f"{name} = {value}" for name, value in verdict.numbers.items()), sep="\\n")',
        'print(*(f"{name}: {table.columns} {table.rows}" for name, table in verdict.tables.items()), sep="\\n")',
    ]
