"""Families of signs for tests by hand, and their numbers as Python integers."""

import torch

from constructions.vc_dimension import one_hidden_layer
from theory.vc_dimension.checkers.signs import SignFamily, read_signs

SIZES = [(2, 1), (2, 3), (3, 2), (4, 2)]


def double(values):
    return torch.tensor(values, dtype=torch.float64)


def family_of(n, width):
    family = read_signs(one_hidden_layer(n, width))
    assert isinstance(family, SignFamily)
    return family


def varied(family, dice):
    """The family elsewhere, its units steeper: as sound as it was."""
    n = family.points.shape[1]
    moved = torch.tensor([dice.randint(-9, 9) for _ in range(n)])
    base = family.base * double([[dice.choice((1, 1, 2, 5))] for _ in family.base])
    directions = family.directions.clone()
    base[:, -1] -= base[:, :-1] @ moved.double()
    directions[..., -1] -= directions[..., :-1] @ moved.double()
    return SignFamily(family.points + moved, base, directions)


def whole(tensor):
    return tensor.long().tolist()


def value(form, point):
    return sum(a * x for a, x in zip(form, [*point, 1], strict=True))
