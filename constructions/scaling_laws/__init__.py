"""Error laws across scale, the law of pruned networks, and learners of band-limited functions.

Main definitions: `ScalingLaw`, `fit_scaling_law`, `PruningLaw`, `fit_pruning_law`, `NyquistLearner`.
"""

from constructions.scaling_laws.law import ScalingLaw

__all__ = ["ScalingLaw"]
