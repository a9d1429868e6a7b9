"""Error laws across scale: the fit and what it predicts, the pruning law, and Nyquist learners with their jump at D samples."""

from theory.sources import SCALING_THESIS
from theory.system import System

SYSTEM = System(
    "scaling_laws", "Error laws across scale, pruning laws, Nyquist learners", SCALING_THESIS, short="scaling"
)
