"""The CPU kernel of `pencil_kernel`; importing this file needs numba (the extra `fast`).

Main definition: `answer`.
"""

from __future__ import annotations

import numpy as np

from constructions.jit import jit


@jit(error_model="numpy")
def answer(x, axes, first, shift, slope, weight, bias, layout, at, y, start, stop):  # pragma: no cover
    """Rows start … stop of y (B·m,): the experts at (B,) of points x (B, n); False when one is out of range.

    The first layer reads `axes` of points, it has columns first (a, K) and biases shift (K,), then ReLU, or PReLU where slope (K,) is not empty.
    Output weights and biases are flat: expert e has m·K weights from layout[0]·e and m biases from layout[1]·e, of
    layout[2] experts. The operations and their order are those of `fixed_order.affine` and `fixed_order.total`.
    """
    columns, knots = first.shape
    m = layout[3]
    hidden, terms = np.empty_like(shift), np.empty_like(shift)
    over = np.empty(64, shift.dtype)
    number = shift.dtype.type
    zero = number(0)
    for i in range(start, stop):
        expert = at[i]
        if expert < 0 or expert >= layout[2]:
            return False
        if columns == 1:  # a pencil
            value = number(x[i, axes[0]])
            for j in range(knots):
                hidden[j] = value * first[0, j] + shift[j]
        else:
            value = number(x[i, axes[0]])
            for j in range(knots):
                hidden[j] = value * first[0, j]
            for a in range(1, columns):
                value = number(x[i, axes[a]])
                for j in range(knots):
                    hidden[j] += value * first[a, j]
            for j in range(knots):
                hidden[j] += shift[j]
        if len(slope):
            for j in range(knots):
                hidden[j] = hidden[j] if hidden[j] > zero else slope[j] * hidden[j]
        else:
            for j in range(knots):
                hidden[j] = zero if hidden[j] < zero else hidden[j]  # −0 and NaN stay
        for output in range(m):
            row = weight[layout[0] * expert + output * knots : layout[0] * expert + (output + 1) * knots]
            for j in range(knots):
                terms[j] = row[j] * hidden[j]
            width, left = knots, 0
            while width > 1:
                half = width // 2
                if width % 2:
                    over[left] = terms[width - 1]
                    left += 1
                low, high = terms[:half], terms[half : 2 * half]
                for j in range(half):
                    low[j] += high[j]
                width = half
            result = terms[0]
            for j in range(left - 1, -1, -1):
                result += over[j]
            y[i * m + output] = result + bias[layout[1] * expert + output]
    return True
