"""All systems, in reading order: their claims, figures and commands, imported on demand and found by convention.

A new system adds one line here: its name. `theory.<name>` has a `SYSTEM`, and of the modules `claims`, `examples`,
`figures`, `commands` and `proofs` those that it needs.

Main definitions: `NAMES`, `system`, `REGISTRY`, `register`, `claim`, `select`, `example`, `proofs`,
`figures`, `commands`.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from theory.claim import Claim, Context, Statement, Verdict, require
from theory.command import Verb
from theory.system import System

if TYPE_CHECKING:
    from theory.proofs import Proof

NAMES = (
    "pathway_tree",
    "momlp",
    "bit_extraction",
    "vc_dimension",
    "super_expressive",
    "trained_momlp",
    "distributed_momlp",
    "sublinear_training",
    "scaling_laws",
    "shapley_interactions",
    "demo_optimizer",
    "lipschitz_expressiveness",
    "am_gm",
)

FORMER = {"rates": "momlp"}
"""Systems whose claims have moved to another one: their old ids are understood for one release."""


def system(name: str) -> System:
    """The `System` of this name."""
    return importlib.import_module(f"theory.{name}").SYSTEM


def _module(name: str, part: str) -> ModuleType | None:
    """theory.<name>.<part>, or None when the system has no such module."""
    full = f"theory.{name}.{part}"
    return importlib.import_module(full) if importlib.util.find_spec(full) else None


# --- claims ---------------------------------------------------------------------------------------------


ADDED: dict[str, Claim] = {}
"""Claims that were registered one by one, besides those that the systems state."""


class _Registry(Mapping[str, Claim]):
    """Claim by id, in reading order: those of all systems, then those that were registered one by one."""

    def __getitem__(self, key: str) -> Claim:
        stated = _stated()
        return stated[key] if key in stated else ADDED[key]

    def __iter__(self) -> Iterator[str]:
        return iter((*_stated(), *ADDED))

    def __len__(self) -> int:
        return len(_stated()) + len(ADDED)


REGISTRY: Mapping[str, Claim] = _Registry()


@cache
def _stated() -> dict[str, Claim]:
    return {c.id: c for name in NAMES for c in claims_of(name)}


def claims_of(name: str) -> list[Claim]:
    """The claims of a system: its statements, each with the reproduction of the same name."""
    module = _module(name, "claims")
    return [] if module is None else [_claim(name, key, said) for key, said in module.STATEMENTS.items()]


def _claim(name: str, key: str, said: Statement) -> Claim:
    return Claim(
        f"{name}.{key}",
        said.title,
        said.statement,
        said.source,
        said.expected,
        said.hypotheses,
        _reproduction(name, key),
        said.slow,
        said.shares,
        said.quick,
        said.evidence,
        said.decided_by,
        said.does_not_say,
        said.files,
    )


def _reproduction(name: str, key: str) -> Callable[[Context], Verdict]:
    """The function `key` of theory.<name>.reproductions, imported when it is called."""

    def reproduce(context: Context) -> Verdict:
        return getattr(importlib.import_module(f"theory.{name}.reproductions"), key)(context)

    return reproduce


def register(claim: Claim) -> Claim:
    """Add a claim to the registry; ValueError for a duplicate id."""
    require(isinstance(claim, Claim), TypeError, "claim", "a Claim", claim)
    if claim.id in REGISTRY:
        raise ValueError(f"`id` must be new, {claim.id!r} is registered already")
    ADDED[claim.id] = claim
    return claim


def claim(**fields: Any) -> Callable[[Callable[[Context], Verdict]], Claim]:
    """Decorator: register the decorated reproduction as a claim with these fields."""

    def wrap(reproduce: Callable[[Context], Verdict]) -> Claim:
        return register(Claim(**fields, reproduce=reproduce))

    return wrap


def select(patterns: Sequence[str]) -> list[Claim]:
    """Claims whose id or system equals one of `patterns`, in reading order; all of them for []."""
    # a string is a sequence too, of letters
    good = isinstance(patterns, (list, tuple)) and all(isinstance(p, str) for p in patterns)
    require(good, TypeError, "patterns", "a list of claims and systems by name", patterns)
    wanted = [_renamed(p) for p in patterns]
    unknown = [p for p in wanted if not any(p in (c.id, c.system) for c in REGISTRY.values())]
    if unknown:
        raise ValueError(f"no claim or system named {', '.join(unknown)} (see `momlp list`)")
    return [c for c in REGISTRY.values() if not wanted or c.id in wanted or c.system in wanted]


def _renamed(pattern: str) -> str:
    first, dot, name = pattern.partition(".")
    names = FORMER | {system(known).short: known for known in NAMES if system(known).short}
    return f"{names[first]}{dot}{name}" if first in names else pattern


def proofs(claim_id: str) -> Callable[[Context, Path], list[Proof]] | None:
    """What makes the proof files of a claim that a system states (`theory.<name>.proofs.PROOFS`); None without one."""
    name, _, key = claim_id.partition(".")
    module = _module(name, "proofs") if name in NAMES and claim_id not in ADDED else None
    return None if module is None else module.PROOFS.get(key)


def example(claim_id: str) -> str:
    """Lines of Python that build what a claim speaks of and measure it (`theory.<name>.examples.EXAMPLES`); "" where
    there are none."""
    name, _, key = claim_id.partition(".")
    module = _module(name, "examples") if name in NAMES and claim_id not in ADDED else None
    return "" if module is None else module.EXAMPLES.get(key, "").strip("\n")


# --- figures and commands -------------------------------------------------------------------------------


def figures(names: Sequence[str] = NAMES) -> dict[str, tuple[str, Callable[[], Any]]]:
    """File name -> (caption, function that draws it), of these systems."""
    found = (_module(name, "figures") for name in names if name in NAMES)
    return {key: value for module in found if module is not None for key, value in module.FIGURES.items()}


def commands() -> dict[str, dict[str, Verb]]:
    """System -> its verbs by name, for the systems that have some."""
    found = {name: _module(name, "commands") for name in NAMES}
    return {name: module.VERBS for name, module in found.items() if module is not None}
