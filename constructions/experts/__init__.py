"""Expert families, one file each: what one cell's network looks like, counts and weights.

A family is a module with `RESOLVED` (coordinates it resolves itself), `parameters`, `shared_parameters`,
`hidden_layer`, `fit` and `network`; `FAMILIES` maps its name to it.
"""

from constructions.experts import constant, pencil

FAMILIES = {"pencil": pencil, "constant": constant}

__all__ = ["FAMILIES", "constant", "pencil"]
