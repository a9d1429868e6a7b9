"""Networks with known Lipschitz constants, or worth knowing: random ones, tent maps, sharp products, controllers."""

from constructions.lipschitz_expressiveness.random_networks import ACTIVATIONS, gaussian_mlp, numpy_mlp
from constructions.lipschitz_expressiveness.sharp import all_ones, clipped_linear, tent_map, two_unit_controller
from constructions.lipschitz_expressiveness.table import TABLE, TableNetwork, table_networks

__all__ = [
    "ACTIVATIONS",
    "TABLE",
    "TableNetwork",
    "all_ones",
    "clipped_linear",
    "gaussian_mlp",
    "numpy_mlp",
    "table_networks",
    "tent_map",
    "two_unit_controller",
]
