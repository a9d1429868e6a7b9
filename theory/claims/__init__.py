"""One file a system; importing this package fills the registry in the order of the README's table."""

from theory.claims import bit_extraction, momlp, pathway_tree, rates, super_expressive, vc_dimension

__all__ = ["bit_extraction", "momlp", "pathway_tree", "rates", "super_expressive", "vc_dimension"]
