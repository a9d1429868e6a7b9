"""DeMo, claim by claim."""

from theory.demo_optimizer.reproductions.bytes import overhead, payload, payload_measured, wire
from theory.demo_optimizer.reproductions.mixtures import trains_momlp
from theory.demo_optimizer.reproductions.quadratics import (
    converges_at_any_curvature,
    descent_direction,
    quadratic_convergence,
)
from theory.demo_optimizer.reproductions.steps import (
    conservation,
    contraction,
    controlled_divergence,
    full_topk_is_signsgd,
    workers_agree,
)
from theory.demo_optimizer.reproductions.training import (
    compaction_explains_it,
    comparable_breast_cancer,
    comparable_digits,
    comparable_text,
    dense_transform,
    energy_compaction_digits,
    energy_compaction_text,
    matches_or_exceeds_breast_cancer,
    matches_or_exceeds_digits,
    matches_or_exceeds_text,
)

__all__ = [
    "compaction_explains_it",
    "comparable_breast_cancer",
    "comparable_digits",
    "comparable_text",
    "conservation",
    "contraction",
    "controlled_divergence",
    "converges_at_any_curvature",
    "dense_transform",
    "descent_direction",
    "energy_compaction_digits",
    "energy_compaction_text",
    "full_topk_is_signsgd",
    "matches_or_exceeds_breast_cancer",
    "matches_or_exceeds_digits",
    "matches_or_exceeds_text",
    "overhead",
    "payload",
    "payload_measured",
    "quadratic_convergence",
    "trains_momlp",
    "wire",
    "workers_agree",
]
