"""The verb list: every claim, the status it is expected to get, where it comes from, what it rests on and what it does
not say."""

from __future__ import annotations

import argparse

from rich.table import Table

from theory.claim import Claim, Evidence, Status
from theory.command import out
from theory.sources import OURS, Source
from theory.systems import NAMES, REGISTRY, claims_of, system


def add_list(sub: argparse.ArgumentParser) -> None:
    which = sub.add_mutually_exclusive_group()
    which.add_argument("--markdown", action="store_true", help="print the page docs/claims.md")
    which.add_argument("--systems", action="store_true", help="print one row a system, as in the README")
    which.add_argument(
        "--evidence", action="store_true", help="count claims by system and evidence, as in docs/trust.md"
    )
    which.add_argument("--non-claims", action="store_true", help="print the page docs/non_claims.md")
    which.add_argument("--proof-files", action="store_true", help="say what proof files decide, as in docs/proofs.md")


def run_list(args: argparse.Namespace) -> int:
    pages = {
        "markdown": claims_page,
        "systems": systems_table,
        "evidence": evidence_table,
        "non_claims": non_claims_page,
        "proof_files": proof_files_table,
    }
    for name, page in pages.items():
        if getattr(args, name):
            out.file.write(page())
            return 0
    table = Table()
    for heading in ("claim", "title", "expected", "source"):
        table.add_column(heading, no_wrap=heading in ("claim", "expected"))
    for c in REGISTRY.values():
        table.add_row(c.id, c.title, expected_of(c), str(c.source))
    out.print(table)
    return 0


def claims_page() -> str:
    """The page docs/claims.md: one table a system."""
    parts = [
        "# Claims\n\n`momlp list --markdown` writes this page; `momlp verify ID --numbers` prints a claim's numbers.\n"
    ]
    for name in NAMES:
        about = system(name)
        rows = [f"| `{c.id}` | {c.title} | {expected_of(c)} | {_cited(c.source)} |" for c in claims_of(name)]
        table = ["| claim | says | expected | source |", "|---|---|---|---|", *rows]
        parts.append(f"## {name}: {about.title}\n\n" + "\n".join(table) + "\n")
    return "\n".join(parts)


def expected_of(c: Claim) -> str:
    """The status that a claim must get, and the quick budget's where that is another."""
    return c.expected.value + ("" if c.quick is None else f" (quick: {c.quick.value})")


def _cited(source: Source | str) -> str:
    if isinstance(source, str):
        return source
    link = source.page.removeprefix("docs/") if source.paper is OURS else source.url
    return f"[{source}]({link})"


def proof_files_table() -> str:
    """What the proof files of every claim that has some decide, and whether that is all of it."""
    filed = [(c.id, c.files) for name in NAMES for c in claims_of(name) if c.files is not None]
    rows = [f"| `{name}` | {'whole' if files.whole else 'a part'} | {files.decide} |" for name, files in filed]
    return "\n".join(["| claim | extent | its files decide |", "|---|---|---|", *rows]) + "\n"


def evidence_table() -> str:
    """How many claims of each system rest on what, from the strongest evidence to none."""
    kinds = sorted(Evidence, reverse=True)
    rows = [f"| system | {' | '.join(kind.name for kind in kinds)} |", "|---" * (len(kinds) + 1) + "|"]
    found = {f"`{name}`": [c.evidence for c in claims_of(name)] for name in NAMES}
    found["all"] = [kind for each in found.values() for kind in each]
    rows += [f"| {name} | {' | '.join(str(each.count(kind)) for kind in kinds)} |" for name, each in found.items()]
    return "\n".join(rows) + "\n"


NON_CLAIMS = """# What is not claimed

A verdict is about one sentence, under its hypotheses. This page says, claim by claim, what a reader might take it for
and it is not; `momlp list --non-claims` writes it, `momlp explain CLAIM` shows the same words beside the rest. Of
every claim:

- Statements are about the objects of this package, at the sizes listed among the hypotheses (`momlp explain CLAIM`),
  unless a quantifier says otherwise. PROVED with evidence EXACT at listed sizes is a proof for those sizes; for all
  others the proof on the system's page has to be read.
- Approximation theorems say that weights exist, and here which. They do not say that training finds them, nor that a
  trained network generalises.
- Rates are in eps, width, depth or samples as stated; constants are those of these constructions. Seconds are no
  theorem.
- NOT REFUTED means that an honest attempt to refute failed, on finitely many points, seeds or sizes.
- REFUTED speaks of the sentence as written in the claim. Where the sentence is a reading of an abstract, the paper's
  own theorem may say something else.
"""


def non_claims_page() -> str:
    """The page docs/non_claims.md: of every claim what it does not say."""
    parts = [NON_CLAIMS]
    for name in NAMES:
        said = [f"- `{c.id}` ({expected_of(c)}): {c.title}. *Not said:* {c.does_not_say}" for c in claims_of(name)]
        parts.append(f"## {name}\n\nWhat is claimed: [{name}]({name}.md).\n\n" + "\n".join(said) + "\n")
    return "\n".join(parts)


WORST_FIRST = (
    Status.OPEN,
    Status.INCONCLUSIVE,
    Status.REFUTED,
    Status.NOT_REFUTED,
    Status.CERTIFIED,
    Status.PROVED,
)


def systems_table() -> str:
    """One row a system: its title, how many claims it has, and the weakest verdict that one of them must get."""
    rows = ["| system | about | claims | worst |", "|---|---|---|---|"]
    for name in NAMES:
        expected = [c.expected for c in claims_of(name)]
        worst = min(expected, key=WORST_FIRST.index).value if expected else "-"
        rows.append(f"| [`{name}`](docs/{name}.md) | {system(name).title} | {len(expected)} | {worst} |")
    return "\n".join(rows) + "\n"
