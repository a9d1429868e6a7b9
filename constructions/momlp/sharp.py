"""The target on which a plan's error bound is attained.

Main definition: `sharp`.
"""

from __future__ import annotations

from torch import Tensor

from constructions.errors import require_instance
from constructions.functions.lipschitz_function import LipschitzFunction, ModulusPremise
from constructions.momlp.plan import Plan


def sharp(plan: Plan) -> LipschitzFunction:
    """ω(dist(x, nodes of the plan)): the target on which the plan's error bound is attained.

    The nodes are the (c, t_j) of the plan, so the built network is 0 and its error at a cell corner half-way
    between knots is exactly ω(√(a² + b²)). It inherits the plan's modulus: ω∘dist has modulus ω, because ω is
    concave and the distance is 1-Lipschitz.
    """
    require_instance("plan", plan, Plan)
    lattice, modulus = plan.lattice, plan.modulus

    def distance_to_nodes(x: Tensor) -> Tensor:
        return modulus(lattice.offset_from_nodes(x).square().sum(-1, keepdim=True).sqrt())

    # a callable was looked at in 64 points: its concavity is the user's word
    premise = ModulusPremise.DECLARED if modulus.kind == "callable" else ModulusPremise.DERIVED
    return LipschitzFunction._of_modulus(distance_to_nodes, plan.n, plan.domain, modulus, "sharp", premise)
