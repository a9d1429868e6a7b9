"""momlp in one name: what `constructions` builds with, and what `theory` decides with.

    import momlp

    f = momlp.LipschitzFunction.from_sympy("sin(2*pi*x0)*x1", n=2)
    model = momlp.build_momlp(f, eps=0.05)
    print(momlp.certify_uniform_error(model, f, eps=0.05).status)
    print(momlp.verify("momlp.sharpness").as_expected)

Every name is the room's own object, imported when it is asked for: `import momlp` takes no torch. What the rooms
export, `momlp` exports; the stub beside this file tells type-checkers the same.
"""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any

from constructions.version import __version__ as __version__

_ROOMS = ("constructions", "theory", "theory.verification")


@cache
def _room_of() -> dict[str, str]:
    return {name: room for room in _ROOMS for name in importlib.import_module(room).__all__}


def __getattr__(name: str) -> Any:
    if name == "__all__":
        return sorted([*_room_of(), "__version__"])
    if name.startswith("_") or name not in _room_of():
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_room_of()[name]), name)


def __dir__() -> list[str]:
    return __getattr__("__all__")
