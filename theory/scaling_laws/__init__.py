"""Error laws across scale: the fit and what it predicts, the law of pruned networks, and Nyquist learners."""

from theory.sources import SCALING_THESIS
from theory.system import System

SYSTEM = System(
    "scaling_laws", "Error laws across scale, pruning laws, Nyquist learners", SCALING_THESIS, short="scaling"
)
