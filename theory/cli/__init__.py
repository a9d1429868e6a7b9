"""The `momlp` command. Exit codes: 0 all as expected, 1 a verdict differs, 2 usage (130 after Ctrl-C).

Main definition: `main`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

from rich.markup import escape

from constructions.distributed import RankFailed, RankLost
from theory.cli import models, rates, train, vc, verdicts
from theory.cli.common import err


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; every foreseeable mistake ends in one sentence on stderr and exit code 2."""
    args = _parser().parse_args(argv)
    try:
        return args.action(args)
    except KeyboardInterrupt:
        err.print("momlp: interrupted")
        return 130
    except (RankLost, RankFailed) as error:
        err.print(f"momlp: error: {escape(str(error))}", highlight=False, soft_wrap=True)
        return 1
    except (ValueError, TypeError, OSError, ImportError, MemoryError) as error:
        err.print(f"momlp: error: {escape(str(error))}", highlight=False, soft_wrap=True)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="momlp", description="Build mixtures of MLP experts, certify them, and reproduce the theorems about them."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, action: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(action=action)
        return sub

    for part in (verdicts, models, train, rates, vc):
        part.add_commands(command)
    return parser
