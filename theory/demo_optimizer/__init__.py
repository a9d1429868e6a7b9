"""DeMo: momentum that stays with its worker, of which only the largest coefficients of a transform are sent."""

from theory.sources import DEMO_V2
from theory.system import System

SYSTEM = System("demo_optimizer", "DeMo: decoupled momentum, sent in part", DEMO_V2, uses=("trained_momlp",))
