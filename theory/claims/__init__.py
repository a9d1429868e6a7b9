"""One file (or folder) a system; importing this package fills the registry."""

from theory.claims import (
    bit_extraction,
    distributed_momlp,
    momlp,
    pathway_tree,
    rates,
    super_expressive,
    trained_momlp,
    vc_dimension,
)

__all__ = [
    "bit_extraction",
    "distributed_momlp",
    "momlp",
    "pathway_tree",
    "rates",
    "super_expressive",
    "trained_momlp",
    "vc_dimension",
]
