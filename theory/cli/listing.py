"""The verb list: every claim, the status it is expected to get, and where it comes from."""

from __future__ import annotations

import argparse

from rich.table import Table

from theory.claim import Claim, Status
from theory.command import out
from theory.sources import OURS, Source
from theory.systems import NAMES, REGISTRY, claims_of, system


def add_list(sub: argparse.ArgumentParser) -> None:
    which = sub.add_mutually_exclusive_group()
    which.add_argument("--markdown", action="store_true", help="print the page docs/claims.md")
    which.add_argument("--systems", action="store_true", help="print one row a system, as in the README")


def run_list(args: argparse.Namespace) -> int:
    if args.markdown:
        out.file.write(claims_page())
        return 0
    if args.systems:
        out.file.write(systems_table())
        return 0
    table = Table()
    for heading in ("claim", "title", "expected", "source"):
        table.add_column(heading, no_wrap=heading in ("claim", "expected"))
    for c in REGISTRY.values():
        table.add_row(c.id, c.title, _expected(c), str(c.source))
    out.print(table)
    return 0


def claims_page() -> str:
    """The page docs/claims.md: one table a system."""
    parts = [
        "# Claims\n\n`momlp list --markdown` writes this page; `momlp verify ID --numbers` prints a claim's numbers.\n"
    ]
    for name in NAMES:
        about = system(name)
        rows = [f"| `{c.id}` | {c.title} | {_expected(c)} | {_cited(c.source)} |" for c in claims_of(name)]
        table = ["| claim | says | expected | source |", "|---|---|---|---|", *rows]
        parts.append(f"## {name}: {about.title}\n\n" + "\n".join(table) + "\n")
    return "\n".join(parts)


def _expected(c: Claim) -> str:
    return c.expected.value + ("" if c.quick is None else f" (quick: {c.quick.value})")


def _cited(source: Source | str) -> str:
    if isinstance(source, str):
        return source
    link = source.place.removeprefix("docs/") if source.paper is OURS else source.url
    return f"[{source}]({link})"


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
