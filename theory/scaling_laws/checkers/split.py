"""What was held out, recomputed from the sizes: whoever fits may not decide it afterwards.

Main definitions: `fitted_points`, `fit_respects_split`, `residuals_are_of`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from theory.claim import Report

TOLERANCE = 1e-9


def fitted_points(sizes: Tensor, limits: Sequence[float]) -> Tensor:
    """(N,), True where every size (N, k) is at most its limit; the others are held out."""
    return (sizes <= torch.tensor(limits, dtype=sizes.dtype, device=sizes.device)).all(1)


def fit_respects_split(
    law: Callable[[Tensor], Tensor], residuals: Tensor, sizes: Tensor, errors: Tensor, limits: Sequence[float]
) -> Report:
    """Whether the residuals (M,) of a fit are ε̂/ε − 1 of the law at exactly the points within the limits, in order."""
    fitted = fitted_points(sizes, limits)
    inside, outside = int(fitted.sum()), int((~fitted).sum())
    if inside == 0 or outside == 0:
        return Report(f"{inside} points are within the limits, {outside} beyond")
    if residuals.shape != (inside,):
        return Report(f"the fit saw {len(residuals)} points, {inside} are within the limits {tuple(limits)}")
    expected = law(sizes[fitted]) / errors[fitted] - 1
    gap = float((residuals.to(expected.device) - expected).abs().max())
    if not gap <= TOLERANCE:
        return Report(f"the residuals differ by {gap:.1e} from those of the points within the limits {tuple(limits)}")
    return Report()


def residuals_are_of(law: Callable[[Tensor], Tensor], residuals: Tensor, sizes: Tensor, errors: Tensor) -> Report:
    """Whether the residuals (M,) of a fit are ε̂/ε − 1 of the law at exactly these sizes (M, k) and errors (M,)."""
    if residuals.shape != errors.shape:
        return Report(f"the fit saw {len(residuals)} points, {len(errors)} were to be fitted")
    gap = float((residuals.to(errors.device) - (law(sizes) / errors - 1)).abs().max())
    if not gap <= TOLERANCE:
        return Report(f"the residuals differ by {gap:.1e} from those of the points that were to be fitted")
    return Report()
