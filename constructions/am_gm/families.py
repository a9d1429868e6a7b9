"""Positive semidefinite matrices at which the inequality fails: De Sa's family, and five integer 3×3 matrices.

A_k = I + 1y_kᵀ + y_k1ᵀ in dimension n with y_k = c(e_k − 1/n). Its eigenvalues are 1 ± c√(n−1) and 1, so it is
positive semidefinite iff c² ≤ 1/(n−1); the mean of the A_k is I, and the mean of the products of m of them without
repetition has the eigenvalue Re (1+ic)^m at the vector of ones.

Main definitions: `de_sa_family`, `largest_c`, `integer_counterexample`.
References: De Sa, NeurIPS 2020.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Literal, overload

import torch
from flint import fmpq, fmpq_mat
from torch import Tensor

from constructions.errors import require_bool, require_device, require_int, shown

LARGEST_FAMILY = 256  # n³ numbers

_INTEGERS = (
    ((11105, -12024, -22868), (-12024, 13058, 24790), (-22868, 24790, 47114)),
    ((35393, -617, 27745), (-617, 91819, -4283), (27745, -4283, 21907)),
    ((30590, -26715, -22372), (-26715, 23361, 19546), (-22372, 19546, 16364)),
    ((90854, 8294, 974), (8294, 29978, -28774), (974, -28774, 28520)),
    ((31669, 31032, 16434), (31032, 40814, -11892), (16434, -11892, 83844)),
)


def largest_c(n: int) -> Fraction:
    """The largest rational c with denominator 100 and c² ≤ 1/(n−1); n ≥ 2."""
    require_int("n", n, 2)
    return Fraction(min(math.isqrt(100**2 // (n - 1)), 100), 100)


@overload
def de_sa_family(
    n: int, c: Fraction | int | str | None = None, *, exact: Literal[True], device: str | torch.device | None = None
) -> list[fmpq_mat]: ...
@overload
def de_sa_family(
    n: int,
    c: Fraction | int | str | None = None,
    *,
    exact: Literal[False] = False,
    device: str | torch.device | None = None,
) -> Tensor: ...
def de_sa_family(
    n: int,
    c: Fraction | int | str | None = None,
    *,
    exact: bool = False,
    device: str | torch.device | None = None,
) -> Tensor | list[fmpq_mat]:
    """De Sa's n matrices (n, n, n), float64; with `exact` a list of n rational matrices.

    `c` is rational ("1/2" too; the largest with denominator 100 when None). ValueError when c² > 1/(n−1): the matrices
    are then not positive semidefinite.
    """
    require_int("n", n, 2, LARGEST_FAMILY)
    require_bool("exact", exact)
    value = largest_c(n) if c is None else _rational(c)
    if value * value * (n - 1) > 1:
        raise ValueError(f"`c` must satisfy c² ≤ 1/(n−1) = 1/{n - 1}, got {shown(str(value))}")
    share = Fraction(1, n)
    vectors = [[value * (int(i == k) - share) for i in range(n)] for k in range(n)]
    if exact:
        entry = lambda y, i, j: fmpq(int(i == j)) + _fmpq(y[i] + y[j])  # noqa: E731
        return [fmpq_mat(n, n, [entry(y, i, j) for i in range(n) for j in range(n)]) for y in vectors]
    rows = torch.tensor(
        [[float(v) for v in y] for y in vectors], dtype=torch.float64, device=require_device("device", device)
    )
    return torch.eye(n, dtype=torch.float64, device=rows.device) + rows[:, :, None] + rows[:, None, :]


def _rational(c: Fraction | int | str) -> Fraction:
    """`c` as a Fraction; ValueError or TypeError for what is none."""
    if isinstance(c, bool) or not isinstance(c, (Fraction, int, str)):
        raise TypeError(f'`c` must be a Fraction, an integer or a string "p/q", got {shown(c)}')
    try:
        return Fraction(c)
    except (ValueError, ZeroDivisionError) as err:
        raise ValueError(f'`c` must be a rational number "p/q", got {shown(c)}') from err


def _fmpq(value: Fraction) -> fmpq:
    return fmpq(value.numerator, value.denominator)


def integer_counterexample() -> list[fmpq_mat]:
    """Five positive definite integer 3×3 matrices with ‖E_wo[5]‖ > 1.0109 ‖mean‖⁵."""
    return [fmpq_mat(3, 3, [fmpq(v) for row in rows for v in row]) for rows in _INTEGERS]
