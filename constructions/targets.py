"""Named functions to approximate: a door to the library and to the target that attains a plan's bound."""

from constructions.functions.targets import TARGETS, get, names
from constructions.momlp.sharp import sharp

__all__ = ["TARGETS", "get", "names", "sharp"]
