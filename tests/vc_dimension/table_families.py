"""Families of tables for tests by hand, and their numbers as Python integers."""

from constructions.vc_dimension import deep, two_hidden_layers, wide
from theory.vc_dimension.checkers.table import read_set
from theory.vc_dimension.checkers.table_family import TableFamily

READ = [deep(2, 1, 3), two_hidden_layers(3), wide(3, 2, 2), deep(1, 2, 2)]


def family_of(shattered):
    family = read_set(shattered)
    assert isinstance(family, TableFamily)
    return family


def whole(array):
    return [[int(v) for v in row] for row in array]
