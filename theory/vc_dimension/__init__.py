"""The VC dimension of networks, routers and mixtures."""

from theory.sources import MOMLP_V2
from theory.system import System

SYSTEM = System("vc_dimension", "The VC dimension of networks, routers and mixtures", MOMLP_V2, uses=("pathway_tree",))
