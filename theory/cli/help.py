"""What the help of a command says: what each option is for, its default, and two examples at the end.

Main definitions: `Help`, `examples`, `START`.
"""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Mapping
from itertools import chain

from theory.command import Verb

START = """\
  check theorems   momlp verify momlp.sharpness super_expressive   (a name less: all of them, some minutes)
  build a model    momlp build "sin(2*pi*x0)*x1" --n 2 --eps 0.05 --out model.safetensors
  read on          momlp --help, momlp build --help, and the pages in docs/ of the source
"""
"""What to do first, in three lines."""


class Help(argparse.HelpFormatter):
    """Says every option's default; keeps a paragraph as it is where one of its lines is indented."""

    def __init__(self, prog: str):
        super().__init__(prog, max_help_position=28)

    def _get_help_string(self, action: argparse.Action) -> str:
        text = action.help or ""
        if not action.option_strings or action.nargs == 0 or action.required or "default" in text:
            return text
        if action.default in (None, []):
            return f"{text} (default: none)"
        return f"{text} (default: %(default)s)"

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        paragraphs = (p if "\n " in f"\n{p}" else textwrap.fill(p, width) for p in text.split("\n\n"))
        return textwrap.indent("\n\n".join(paragraphs), indent)


def examples(lines: tuple[str, ...], before: str | None = None) -> str:
    """The end of a command's help: examples after what is said `before`."""
    parts = [before] if before else []
    return "\n\n".join([*parts, "\n".join(("examples:", *(f"  {line}" for line in lines)))])


def of_room(verbs: Mapping[str, Verb]) -> tuple[str, ...]:
    """Two examples for a system's commands: one each of the first two, or those of its only one."""
    first = (v.examples[: 1 if len(verbs) > 1 else 2] for v in verbs.values())
    return tuple(chain.from_iterable(first))[:2]
