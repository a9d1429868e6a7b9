"""Activations of infinite VC dimension."""

from theory.sources import MOMLP_V1
from theory.system import System

SYSTEM = System("super_expressive", "Activations of infinite VC dimension", MOMLP_V1)
