"""The verb list: every claim, the status it is expected to get, and where it comes from."""

from __future__ import annotations

import argparse

from rich.table import Table

from theory.command import out
from theory.sources import OURS, Source
from theory.systems import NAMES, REGISTRY, claims_of, system


def add_list(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--markdown", action="store_true", help="print the page docs/claims.md")


def run_list(args: argparse.Namespace) -> int:
    if args.markdown:
        out.file.write(markdown())
        return 0
    table = Table()
    for heading in ("claim", "title", "expected", "source"):
        table.add_column(heading, no_wrap=heading in ("claim", "expected"))
    for c in REGISTRY.values():
        table.add_row(c.id, c.title, c.expected.value, str(c.source))
    out.print(table)
    return 0


def markdown() -> str:
    """The page docs/claims.md: one table a system."""
    parts = [
        "# Claims\n\n`momlp list --markdown` writes this page; `momlp verify ID --numbers` prints a claim's numbers.\n"
    ]
    for name in NAMES:
        about = system(name)
        rows = [f"| `{c.id}` | {c.title} | {c.expected.value} | {_cited(c.source)} |" for c in claims_of(name)]
        table = ["| claim | says | expected | source |", "|---|---|---|---|", *rows]
        parts.append(f"## {name}: {about.title}\n\n" + "\n".join(table) + "\n")
    return "\n".join(parts)


def _cited(source: Source | str) -> str:
    if isinstance(source, str):
        return source
    link = source.place.removeprefix("docs/") if source.paper is OURS else source.url
    return f"[{source}]({link})"
