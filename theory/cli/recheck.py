"""The verb recheck: proof files, re-decided by the stand-alone checker in a process of its own."""

from __future__ import annotations

import argparse
from pathlib import Path

from theory import proofs


def add_recheck(sub: argparse.ArgumentParser) -> None:
    text = "proof files, or folders: all files NAME.proof in them"
    sub.add_argument("paths", nargs="+", type=Path, metavar="FILE", help=text)


def run_recheck(args: argparse.Namespace) -> int:
    """0 when all statements follow, 1 when one does not, 2 when a file cannot be read."""
    files: list[Path] = []
    for path in args.paths:
        found = sorted(path.glob("*.proof")) if path.is_dir() else [path]
        if not found:
            raise ValueError(f"{path} holds no file NAME.proof")
        files += found
    return proofs.recheck(files)
