"""What is measured of a Jacobian: ‖offset + left·J·right‖₂, e.g. in weighted norms or around a closed loop.

Main definition: `Measure`.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Measure:
    """J (m, n) ↦ ‖offset + left·J·right‖₂ with left (p, m), right (n, q), offset (p, q); None: identity, identity, 0.

    Where left, right and offset are themselves rounded, the norm meant is within a factor 1 ± `relative` and then
    ± `absolute` of that of the rounded ones, and both ends of an interval make room for it.
    """

    left: Tensor | None = None
    right: Tensor | None = None
    offset: Tensor | None = None
    relative: float = 0.0
    absolute: float = 0.0

    @classmethod
    def weighted(cls, *, out: Tensor | None = None, into: Tensor | None = None) -> Measure:
        """Lip from the norm √(xᵀ into x) on inputs to √(yᵀ out y) on outputs, both positive definite (None: identity)."""
        raise NotImplementedError

    @classmethod
    def closed_loop(cls, A: Tensor, B: Tensor, P: Tensor | None = None) -> Measure:
        """‖R(A + B J)R⁻¹‖ with P = RᵀR positive definite (None: identity): how x⁺ = A x + B π(x) contracts in the P-norm.

        A (n, n), B (n, m), P (n, n).
        """
        raise NotImplementedError
