"""Routers: trees over lattices of cells and over prototypes from data."""

from theory.sources import MOMLP_V2
from theory.system import System

SYSTEM = System("pathway_tree", "Routers: trees over lattices of cells and over prototypes from data", MOMLP_V2)
