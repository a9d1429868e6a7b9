"""Deep narrow experts of about eps^(-k/2) parameters."""

from theory.sources import MOMLP_V2
from theory.system import System

SYSTEM = System(
    "bit_extraction",
    "Deep narrow experts of about eps^(-k/2) parameters",
    MOMLP_V2,
    uses=("momlp", "pathway_tree", "vc_dimension"),
)
