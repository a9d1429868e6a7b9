"""The noncommutative arithmetic-geometric mean inequality: sampling with and without replacement."""

from theory.sources import RECHT_RE
from theory.system import System

SYSTEM = System(
    "am_gm",
    "The noncommutative arithmetic-geometric mean inequality",
    RECHT_RE,
)
