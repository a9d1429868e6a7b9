"""Start torchrun on this machine from a claim, a notebook or a test.

Main definitions: `torchrun`, `alone`, `free_port`.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Sequence

PREFIXES = ("TORCHELASTIC", "MASTER_", "WORLD_", "LOCAL_", "GROUP_", "ROLE_")


def alone(threads: int = 1) -> dict[str, str]:
    """The environment without what an outer torchrun put there, for processes of `threads` threads."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(PREFIXES) and k != "RANK"}
    return kept | {"OMP_NUM_THREADS": str(threads)}


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def command(processes: int, module: str, *arguments: object) -> list[str]:
    """`torchrun --nproc-per-node PROCESSES -m MODULE ARGUMENTS` on a free port, with this Python."""
    runner = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(processes)]
    return [*runner, "--master-port", str(free_port()), "-m", module, *map(str, arguments)]


def torchrun(
    processes: int, module: str, *arguments: object, threads: int = 1, timeout: float = 600.0, check: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run `command` to its end. With `check` RuntimeError, with what it said, when it fails."""
    done = subprocess.run(
        command(processes, module, *arguments),
        env=alone(threads),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    if check and done.returncode != 0:
        raise RuntimeError(f"torchrun of {module} with {processes} processes failed: {_last_words(done.stderr)}")
    return done


def _last_words(text: str) -> str:
    """The errors of our own ranks, or the end of what was said."""
    said: Sequence[str] = [line for line in text.splitlines() if "momlp: error" in line]
    return " | ".join(said) if said else text[-500:]
