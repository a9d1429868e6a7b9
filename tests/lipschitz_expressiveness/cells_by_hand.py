"""Two other ways to all cells of a small ReLU network: polygons cut in fractions, and every pattern by its own program.

Neither shares code with the instruments. Slopes are 1 for positive pre-activations and `alpha` for negative ones.
"""

import itertools
from fractions import Fraction

import numpy as np
from scipy.optimize import linprog
from torch import nn


def layers_of(module):
    """[(W, b)] as numpy arrays and the slope of every bend, of a Linear (ReLU | LeakyReLU) Linear … stack."""
    linear = [(part.weight.detach().numpy(), part.bias.detach().numpy()) for part in module if type(part) is nn.Linear]
    alphas = [0.0 if type(part) is nn.ReLU else part.negative_slope for part in module if type(part) is not nn.Linear]
    return linear, alphas


def jacobian(module, pattern):
    """J of a whole pattern: a list of 0/1 lists, layer by layer."""
    linear, alphas = layers_of(module)
    J = linear[0][0]
    for (weight, _), on, alpha in zip(linear[1:], pattern, alphas, strict=True):
        J = weight @ np.diag(np.where(np.array(on, bool), 1.0, alpha)) @ J
    return J


# --- polygons --------------------------------------------------------------------------------------------


def _cut(polygon, a, c):
    """The two parts of a convex polygon (vertices in order, fractions) where a·x + c is ≥ 0 and ≤ 0."""
    heights = [a[0] * x + a[1] * y + c for x, y in polygon]
    above, below = [], []
    for i, (p, h) in enumerate(zip(polygon, heights, strict=True)):
        q, k = polygon[(i + 1) % len(polygon)], heights[(i + 1) % len(polygon)]
        if h >= 0:
            above.append(p)
        if h <= 0:
            below.append(p)
        if h * k < 0:
            share = h / (h - k)
            meet = (p[0] + share * (q[0] - p[0]), p[1] + share * (q[1] - p[1]))
            above.append(meet)
            below.append(meet)
    return above, below


def _area(polygon):
    pairs = zip(polygon, polygon[1:] + polygon[:1], strict=True)
    return sum((p[0] * q[1] - q[0] * p[1] for p, q in pairs), start=Fraction(0)) / 2


def polygons(module, lower, upper):
    """{pattern: area} of all cells with positive area of a network of two inputs in a box, in fractions."""
    linear, alphas = layers_of(module)
    lo, hi = [[Fraction(v) for v in corner.tolist()] for corner in (lower, upper)]
    one, zero = Fraction(1), Fraction(0)
    corners = [(lo[0], lo[1]), (hi[0], lo[1]), (hi[0], hi[1]), (lo[0], hi[1])]
    parts = [((), corners, [[one, zero], [zero, one]], [zero, zero])]
    for (weight, bias), alpha in zip(linear[:-1], alphas, strict=True):
        grown = []
        for pattern, polygon, J, c in parts:
            rows = [[sum(Fraction(w) * J[k][a] for k, w in enumerate(row)) for a in (0, 1)] for row in weight.tolist()]
            shifts = [
                Fraction(b) + sum(Fraction(w) * c[k] for k, w in enumerate(row))
                for row, b in zip(weight.tolist(), bias.tolist(), strict=True)
            ]
            pieces = [((), polygon)]
            for a, shift in zip(rows, shifts, strict=True):
                halves = []
                for bits, piece in pieces:
                    if not any(a) and not shift:  # the unit is 0 everywhere: one piece, said to be off
                        halves.append(((*bits, 0), piece))
                        continue
                    for bit, half in zip((1, 0), _cut(piece, a, shift), strict=True):
                        if len(half) >= 3 and _area(half) > 0:
                            halves.append(((*bits, bit), half))
                pieces = halves
            for bits, piece in pieces:
                gains = [one if bit else Fraction(alpha) for bit in bits]
                moved = [[g * v for v in row] for g, row in zip(gains, rows, strict=True)]
                grown.append(((*pattern, bits), piece, moved, [g * s for g, s in zip(gains, shifts, strict=True)]))
        parts = grown
    found = {}
    for pattern, polygon, _, _ in parts:
        found[pattern] = found.get(pattern, 0) + _area(polygon)
    return found


# --- programs --------------------------------------------------------------------------------------------


def patterns(module, lower, upper, margin=1e-7):
    """All patterns with a ball of radius > `margin` inside the box and the cell: one program for each of 2^units."""
    linear, alphas = layers_of(module)
    widths = [len(bias) for _, bias in linear[:-1]]
    found = []
    for flat in itertools.product((0, 1), repeat=sum(widths)):
        ends = np.cumsum([0, *widths])
        pattern = [flat[a:b] for a, b in itertools.pairwise(ends)]
        if _radius(linear, alphas, pattern, lower.numpy(), upper.numpy()) > margin:
            found.append(tuple(pattern))
    return found


def _radius(linear, alphas, pattern, lower, upper):
    """The radius of the largest ball in a cell, at most 1."""
    n = linear[0][0].shape[1]
    J, c = np.eye(n), np.zeros(n)
    table, right = [np.eye(n), -np.eye(n)], [upper, -lower]
    for (weight, bias), on, alpha in zip(linear[:-1], pattern, alphas, strict=True):
        J, c = weight @ J, weight @ c + bias
        sign = np.where(np.array(on, bool), 1.0, -1.0)
        idle = ~J.any(1) & (c == 0)
        if (idle & np.array(on, bool)).any():  # units that are 0 everywhere are said to be off
            return -1.0
        table.append(-sign[:, None] * J)
        right.append(sign * c)
        gain = np.where(np.array(on, bool), 1.0, alpha)
        J, c = gain[:, None] * J, gain * c
    A = np.concatenate(table)
    A = np.column_stack([A, np.linalg.norm(A, axis=1)])
    bounds = [(None, None)] * n + [(None, 1.0)]
    done = linprog(-np.eye(n + 1)[-1], A_ub=A, b_ub=np.concatenate(right), bounds=bounds)
    return done.x[-1] if done.x is not None else -1.0


def largest(module, found):
    return max(np.linalg.norm(jacobian(module, pattern), 2) for pattern in found)
