"""The CPU kernel of `pencil_kernel`; importing this file needs numba (the extra `fast`).

Main definition: `answer`.
"""

from __future__ import annotations

import numpy as np

from constructions.jit import jit


@jit(error_model="numpy")
def answer(x, first, shift, slope, weight, bias, row, constants, experts, at, y, start, stop):  # pragma: no cover
    """Rows start … stop of y (B, m): the experts at (B,) of points x (B, n); False when one is out of range, and when
    the first layer looks at no axis.

    That has weights first (K, n) and biases shift (K,), then ReLU, or PReLU where slope (K,) is not empty. Output
    weights and biases of `experts` are flat: expert e has m·K weights from row·e on, and m biases from constants·e on.
    The operations and their order are those of `fixed_order.affine`, over the axes that some unit looks at, and of
    `fixed_order.total`.
    """
    knots, n = first.shape
    m, columns = y.shape[1], 0
    axes, layer = np.empty(n, np.int64), np.empty((n, knots), shift.dtype)
    for a in range(n):
        used = False
        for j in range(knots):
            used |= first[j, a] != 0
            layer[columns, j] = first[j, a]
        if used:
            axes[columns] = a
            columns += 1
    if columns == 0:
        return False
    hidden, terms = np.empty_like(shift), np.empty_like(shift)
    over = np.empty(64, shift.dtype)
    number = shift.dtype.type
    zero = number(0)
    for i in range(start, stop):
        expert = at[i]
        if expert < 0 or expert >= experts:
            return False
        if columns == 1:  # a pencil
            value = number(x[i, axes[0]])
            for j in range(knots):
                hidden[j] = value * layer[0, j] + shift[j]
        else:
            value = number(x[i, axes[0]])
            for j in range(knots):
                hidden[j] = value * layer[0, j]
            for a in range(1, columns):
                value = number(x[i, axes[a]])
                for j in range(knots):
                    hidden[j] += value * layer[a, j]
            for j in range(knots):
                hidden[j] += shift[j]
        if len(slope):
            for j in range(knots):
                hidden[j] = hidden[j] if hidden[j] > zero else slope[j] * hidden[j]
        else:
            for j in range(knots):
                hidden[j] = zero if hidden[j] < zero else hidden[j]  # −0 and NaN stay
        for output in range(m):
            begin = row * expert + output * knots
            own = weight[begin : begin + knots]
            for j in range(knots):
                terms[j] = own[j] * hidden[j]
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
            y[i, output] = result + bias[constants * expert + output]
    return True
