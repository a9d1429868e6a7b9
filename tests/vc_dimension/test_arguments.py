"""Constructors of shattered sets at their edges: wrong types and sizes without end are refused by name, at once."""

import math
import time

import numpy as np
import pytest
import torch

from constructions import BudgetExceeded
from constructions.functions.box import Box
from constructions.super_expressive import FAMILIES, network
from constructions.vc_dimension import (
    candidates,
    deep,
    deep_sizes,
    largest_set,
    mixture,
    one_hidden_layer,
    routing_only,
    routing_pairs,
    two_hidden_layers,
    wide,
    with_extra_inputs,
    with_extra_layers,
)
from constructions.vc_dimension.bit_tail import bit_tail
from constructions.vc_dimension.nearest_prototype import NearestPrototype
from constructions.vc_dimension.stacked_momlp import StackedMoMLP

WRONG = (0, -1, 2.0, True, "3", None, [2], math.nan)
SET = one_hidden_layer(2, 1)
SIZES = {
    "one_hidden_layer n": ("n", lambda v: one_hidden_layer(v, 1)),
    "one_hidden_layer width": ("width", lambda v: one_hidden_layer(1, v)),
    "two_hidden_layers": ("side", two_hidden_layers),
    "deep side": ("side", lambda v: deep(v, 1, 1)),
    "deep blocks": ("blocks", lambda v: deep(1, v, 1)),
    "deep bits": ("bits", lambda v: deep(1, 1, v)),
    "deep layers": ("layers_per_bit", lambda v: deep(1, 1, 1, layers_per_bit=v)),
    "wide n": ("n", lambda v: wide(v, 1, 1)),
    "wide units": ("units", lambda v: wide(3, v, 1)),
    "wide bits": ("bits", lambda v: wide(3, 1, v)),
    "routing_only n": ("n", lambda v: routing_only(v, 2)),
    "routing_only": ("experts", lambda v: routing_only(2, v)),
    "routing_pairs n": ("n", lambda v: routing_pairs(v, 2, tree=False)),
    "routing_pairs": ("experts", lambda v: routing_pairs(2, v, tree=True)),
    "mixture": ("experts", lambda v: mixture(SET, v)),
    "mixture valency": ("valency", lambda v: mixture(SET, 2, valency=v)),
    "candidates n": ("n", lambda v: candidates(v, 1, 1)),
    "candidates depth": ("depth", lambda v: candidates(1, v, 1)),
    "candidates width": ("width", lambda v: candidates(1, 1, v)),
    "deep_sizes depth": ("depth", lambda v: deep_sizes(v, 8)),
    "deep_sizes width": ("width", lambda v: deep_sizes(4, v)),
    "points": ("k", FAMILIES["euaf"].points),
    "network depth": ("depth", lambda v: network("euaf", [1], depth=v)),
    "network width": ("width", lambda v: network("euaf", [1], width=v)),
}


@pytest.mark.parametrize("name", SIZES)
def test_wrong_sizes_are_named(name):
    argument, call = SIZES[name]
    for value in WRONG:
        with pytest.raises(ValueError, match=f"`{argument}` must be an integer"):
            call(value)


HUGE = 10**20


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: one_hidden_layer(HUGE, 1), BudgetExceeded, "`n` must be smaller: .* points in R"),
        (
            lambda: one_hidden_layer(1, HUGE),
            BudgetExceeded,
            "`width` must be smaller: 100000000000000000001 points in R",
        ),
        (lambda: one_hidden_layer(2, 10**5000), BudgetExceeded, r"`width` must be smaller: more than 10\^30 points"),
        (
            lambda: two_hidden_layers(10**6),
            BudgetExceeded,
            r"`side` must be smaller: 1000000000000 points in R\^2 have m",
        ),
        (lambda: deep(HUGE, 1, 1), BudgetExceeded, "`side` must be smaller"),
        (lambda: deep(1, HUGE, 1), ValueError, "`blocks` must be an integer between 1 and 2048"),
        (lambda: deep(2, 2, 10**6), ValueError, "`bits` must be an integer between 1 and 256"),
        (lambda: wide(HUGE, 1, 1), BudgetExceeded, "`n` must be smaller"),
        (lambda: wide(3, HUGE, 1), BudgetExceeded, "`units` must be smaller"),
        (lambda: wide(3, 1, HUGE), ValueError, "`bits`"),
        (lambda: routing_only(HUGE, 2), BudgetExceeded, "`n` must be smaller"),
        (lambda: routing_only(1, HUGE), BudgetExceeded, "`experts` must be smaller"),
        (lambda: routing_pairs(2, 2**70, tree=True), BudgetExceeded, "`experts` must be smaller"),
        (lambda: routing_pairs(2, 4, tree=1), TypeError, "`tree` must be True or False"),
        (lambda: mixture(SET, 10**12), ValueError, "`experts` must be an integer between 1 and 4096"),
        (lambda: mixture(one_hidden_layer(64, 64), 4096), BudgetExceeded, "`experts` must be smaller"),
        (lambda: mixture(SET, 2, valency=9), ValueError, "`valency` must be an integer between 2 and 8"),
        (lambda: mixture(routing_only(2, 2), 2), TypeError, "`expert` must be a ShatteredSet"),
        (lambda: mixture(None, 2), TypeError, "`expert` must be a ShatteredSet"),
        (lambda: with_extra_layers(SET, HUGE), ValueError, "`count` must be an integer between 0 and 4096"),
        (lambda: with_extra_inputs(SET, HUGE), BudgetExceeded, "`count` must be smaller"),
        (lambda: with_extra_layers(None, 1), TypeError, "`shattered`"),
        (lambda: with_extra_inputs(3, 1), TypeError, "`shattered`"),
        (lambda: SET.module([True] * 3), TypeError, "`labels` must be a torch.Tensor"),
        (lambda: SET.module(torch.ones(3)), ValueError, "`labels` must be a bool tensor"),
        (lambda: bit_tail(10**6, 1, np.ones(1), np.ones(1)), ValueError, "`bits`"),
        (lambda: FAMILIES["euaf"].points(10**9), ValueError, "`k` must be an integer between 1 and 16384"),
        (lambda: FAMILIES["euaf"].weight([1] * 10**6), ValueError, "`labels` must be a list of 1 to 16384 labels"),
        (lambda: FAMILIES["euaf"].weight(torch.ones(3)), ValueError, "`labels` must be a list"),
        (lambda: FAMILIES["euaf"].weight([1.0]), ValueError, "`labels` must be a list"),
        (lambda: FAMILIES["euaf"].weight("101"), ValueError, "`labels` must be a list"),
        (lambda: FAMILIES["euaf"].weight(None), ValueError, "`labels` must be a list"),
        (lambda: network("euaf", [1] * 600), ValueError, "`labels` must be fewer"),
        (lambda: network("sine", [0] * 1100), ValueError, "`labels` must be fewer"),
        (lambda: network("euaf", [1], width=10**6), BudgetExceeded, "`depth` and `width` must be smaller"),
        (lambda: network("euaf", [1], depth=HUGE), BudgetExceeded, "`depth` and `width` must be smaller"),
        (lambda: network(["euaf"], [1]), ValueError, "`name`"),
    ],
)
def test_sizes_without_end_are_refused_at_once(call, kind, message):
    start = time.process_time()
    with pytest.raises(kind, match=message):
        call()
    assert time.process_time() - start < 3


def test_candidates_of_huge_networks_need_no_search():
    best = largest_set(10**9, 10**20, 10**9)
    sizes = deep_sizes(10**20, 10**9)
    assert best.points >= sizes["side"] ** 2 * sizes["blocks"] * sizes["bits"] > 10**55
    with pytest.raises(ValueError, match="must be"):
        best.build()
    assert largest_set(1, 1, 10**50).points == 10**50 + 1
    assert network("euaf", [1] * 500)[0].weight.isfinite().all()


LEVEL = torch.zeros(1, 2, 3)


@pytest.mark.parametrize(
    ("levels", "values", "kind", "message"),
    [
        ([], torch.zeros(1), TypeError, "`levels` must be a non-empty list"),
        (None, torch.zeros(1), TypeError, "`levels` must be a non-empty list"),
        ([[[1.0]]], torch.zeros(1), TypeError, r"`levels\[0\]` must be a Tensor"),
        ([LEVEL.long()], torch.zeros(2), TypeError, r"`levels\[0\]` must be a floating tensor"),
        ([LEVEL], [0.0, 1.0], TypeError, "`values` must be a Tensor"),
        ([LEVEL], torch.zeros(2).bool(), TypeError, "`values` must be a floating tensor"),
        ([LEVEL], torch.zeros(1), ValueError, r"`values` must have shape \(2,\)"),
        (
            [LEVEL, torch.zeros(2, 2, 4)],
            torch.zeros(4),
            ValueError,
            r"`levels\[1\]` must be prototypes \(2, children, 3\)",
        ),
        ([LEVEL, torch.zeros(1, 2, 3)], torch.zeros(4), ValueError, r"`levels\[1\]` must be prototypes"),
        ([LEVEL[:, :0]], torch.zeros(0), ValueError, r"`levels\[0\]` must be prototypes"),
        ([LEVEL[..., :0]], torch.zeros(2), ValueError, r"`levels\[0\]` must be prototypes"),
    ],
)
def test_routers_that_do_not_fit(levels, values, kind, message):
    with pytest.raises(kind, match=message):
        NearestPrototype(levels, values)


W, B = torch.zeros(1, 1, 2), torch.zeros(1, 1)
BOX = Box((0.0, 0.0), (1.0, 1.0))


@pytest.mark.parametrize(
    ("domain", "cells", "layers", "kind", "message"),
    [
        (None, (1,), [(W, B)], TypeError, "`domain`"),
        (BOX, 1, [(W, B)], TypeError, "`cells`"),
        (BOX, (1, 1, 1), [(W, B)], ValueError, r"`len\(cells\)`"),
        (BOX, (0,), [(W, B)], ValueError, "`cells`"),
        (BOX, (1,), [], TypeError, "`layers` must be a non-empty list"),
        (BOX, (1,), None, TypeError, "`layers` must be a non-empty list"),
        (BOX, (1,), [W], TypeError, r"`layers\[0\]` must be a pair of tensors"),
        (BOX, (1,), [(W, B, B)], TypeError, r"`layers\[0\]` must be a pair of tensors"),
        (BOX, (1,), [(W, 0.0)], TypeError, r"`layers\[0\]` must be a pair of tensors"),
        (BOX, (1,), [(W.long(), B.long())], ValueError, r"`layers\[0\]` must be floating tensors of one dtype"),
        (BOX, (1,), [(W, B.double())], ValueError, r"`layers\[0\]` must be floating tensors of one dtype"),
        (BOX, (1,), [(W[0], B[0])], ValueError, r"`layers\[0\]` must be weights"),
        (BOX, (2,), [(W.expand(3, 1, 2), B.expand(3, 1))], ValueError, r"`layers\[0\]` must hold 1 or 2"),
    ],
)
def test_mixtures_that_do_not_fit(domain, cells, layers, kind, message):
    with pytest.raises(kind, match=message):
        StackedMoMLP(domain, cells, layers)


def test_float_dtypes_of_one_weight_networks():
    for dtype in (torch.int64, torch.complex64, "float64", None):
        with pytest.raises(TypeError, match=r"`dtype` must be a floating torch.dtype"):
            network("sine", [1], dtype=dtype)
