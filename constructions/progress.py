"""How long work says how far it is: a function that takes a line of text, called as often as there is news.

Main definitions: `Log`, `silent`, `tracked`, `require_log`.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")
Log = Callable[[str], None]
PAUSE = 0.1  # seconds between two words


def silent(message: str) -> None:
    """The log of those who do not ask."""


def tracked(items: Sequence[T], words: str, log: Log) -> Iterator[T]:
    """`items`, one after another, with "words: 3 of 10" to `log` now and then."""
    said = -PAUSE
    for done, item in enumerate(items):
        now = time.monotonic()
        if now - said >= PAUSE:
            said = now
            log(f"{words}: {done} of {len(items)}")
        yield item


def require_log(log: Log) -> Log:
    """`log` if it can be called with a message; TypeError otherwise."""
    if not callable(log):
        raise TypeError(f"`log` must be a function of a message, got {type(log).__name__}")
    try:
        inspect.signature(log).bind("")
    except ValueError:  # some built-in functions do not say what they take
        pass
    except TypeError as err:
        raise TypeError(f"`log` must be a function of one message, this one is not: {err}") from err
    return log
