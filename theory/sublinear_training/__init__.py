"""Gauss–Newton training of a shifted-ReLU network that visits the fired units alone, counted operation by operation."""

from theory.sources import SUBLINEAR
from theory.system import System

SYSTEM = System("sublinear_training", "Training in sublinear time: a forest of max-trees", SUBLINEAR)
