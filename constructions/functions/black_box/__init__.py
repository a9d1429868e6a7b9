"""Functions as people have them: of numpy arrays or of single points, slow or quick, called in batches and counted.

Main definitions: `BlackBox`, `Counts`.
"""

from constructions.functions.black_box.answers import POOLS
from constructions.functions.black_box.box import BlackBox, Counts

__all__ = ["POOLS", "BlackBox", "Counts"]
