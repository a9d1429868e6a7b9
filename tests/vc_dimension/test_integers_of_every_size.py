"""Products and multiples of integers are those of Python, in int64 while numbers are small."""

import random

import numpy as np
import pytest
import torch

from theory.vc_dimension.checkers.integers import compact, product, times


def whole(array):
    return [[int(v) for v in row] for row in array]


@pytest.mark.exact
def test_integers_of_every_size():
    dice = random.Random(5)

    def number():
        return dice.choice((0, 1, -1)) * (2 ** dice.choice((0, 5, 25, 26, 27, 52, 53, 62)) - dice.randint(0, 1))

    for _ in range(150):
        inputs = dice.choice((1, 2, 3, 4))
        rows = [[number() for _ in range(inputs)] for _ in range(2)]
        weight = [[number() for _ in range(inputs)] for _ in range(3)]
        truth = [[sum(u * v for u, v in zip(r, w, strict=True)) for w in weight] for r in rows]
        r, w = (compact(np.array(values, dtype=object)) for values in (rows, weight))
        assert whole(product(r, w)) == truth
        factor = number()
        assert whole(times(factor, r)) == [[factor * v for v in row] for row in rows]
        largest = max(abs(v) for row in rows for v in row)
        assert (r.dtype == np.int64) == (largest < 2**53)
        small = largest * max(abs(v) for row in weight for v in row) * inputs < 2**53
        assert (product(r, w).dtype == np.int64) == small
        assert (times(factor, r).dtype == np.int64) == (r.dtype == np.int64 and abs(factor) * max(1, largest) < 2**53)
    assert torch.equal(torch.from_numpy(compact(np.array([3, -4]))), torch.tensor([3, -4]))
