"""Expert families, one file each: what one cell's network looks like, counts and weights.

A family is a module with `RESOLVED` (coordinates it resolves itself), `parameters`, `shared_parameters`,
`hidden_layer`, `fit` and `network`; `FAMILIES` maps its name to it. Deep experts that share an architecture and
differ in tables have a folder and a model of their own: `bit_extraction`, `constructions.bit_extraction.model`.
"""

from constructions.momlp import constant, pencil

FAMILIES = {"pencil": pencil, "constant": constant}

__all__ = ["FAMILIES", "constant", "pencil"]
