"""Instruments that bound the Lipschitz constant of a given network, one file a method."""

from theory.lipschitz_expressiveness.checkers.lipschitz_bounds import METHODS, lipschitz_bounds
from theory.lipschitz_expressiveness.checkers.measure import Measure
from theory.lipschitz_expressiveness.checkers.result import Cell, LipschitzBounds, Step

__all__ = ["METHODS", "Cell", "LipschitzBounds", "Measure", "Step", "lipschitz_bounds"]
