"""Error laws across scale, the law of pruned networks, and learners of band-limited functions.

Main definitions: `ScalingLaw`, `fit_scaling_law`, `fit_curves`, `FittedLaw`, `Deviation`.
"""

from constructions.scaling_laws.broken import BrokenLaw, fit_broken_law
from constructions.scaling_laws.deviation import Deviation, deviation_of
from constructions.scaling_laws.fit import fit_curves, fit_scaling_law
from constructions.scaling_laws.intervals import FittedLaw
from constructions.scaling_laws.law import ScalingLaw

__all__ = [
    "BrokenLaw",
    "Deviation",
    "FittedLaw",
    "ScalingLaw",
    "deviation_of",
    "fit_broken_law",
    "fit_curves",
    "fit_scaling_law",
]
