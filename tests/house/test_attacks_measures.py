"""Attacks on what is measured: bytes that the meter missed, numbers that were not counted, parts that do not belong."""

import copy
import math

import pytest
import torch
from torch import nn

from constructions import LipschitzFunction, build_momlp, targets
from theory import Status, certify_uniform_error
from theory.checkers.parameter_count import measured_counts, parameter_count_eq
from theory.checkers.resident_memory import MemoryMeter, resident_bytes_le
from theory.checkers.uniform_error.share import Share
from theory.together import combined

DOUBLE = {"dtype": torch.float64}


# --- bytes -----------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:An output with one or more elements was resized")
@pytest.mark.parametrize("how", ["resize", "out", "storage"])
def test_a_storage_that_grows_is_counted_at_its_size(how):
    small, row = torch.zeros(1, **DOUBLE), torch.ones(1000, **DOUBLE)
    with MemoryMeter([row]) as meter:
        small.add_(1)
        assert meter.alive == 8
        if how == "resize":
            small.resize_(1000)
        elif how == "out":
            torch.add(row, row, out=small)
        else:
            small.untyped_storage().resize_(8000)
            small.add_(1)
        assert meter.alive == meter.peak == 8000
        if how == "storage":  # where the tensor itself stays within what is left
            small.untyped_storage().resize_(16)
            small.add_(1)
            assert (meter.alive, meter.peak) == (16, 8000)
        del small
    assert (meter.alive, meter.peak) == (0, 8000)


@pytest.mark.parametrize(
    ("name", "value"), [("peak", math.nan), ("peak", -1), ("peak", 1.5), ("budget_bytes", 0), ("whole_bytes", None)]
)
def test_bytes_that_are_none_decide_nothing(name, value):
    good = {"peak": 5, "budget_bytes": 10, "whole_bytes": 20}
    with pytest.raises(ValueError, match=f"`{name}` must be an integer"):
        resident_bytes_le(**{**good, name: value})


# --- numbers ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["buffer", "attribute"])
def test_weights_that_are_no_parameters_are_counted(how):
    model = build_momlp(targets.get("cone", n=2), eps=0.3)
    right = sum(p.numel() for p in model.parameters())
    weight = model.out_weight.detach()
    del model.out_weight
    if how == "buffer":
        model.register_buffer("out_weight", weight)
    else:
        model.out_weight = weight
    assert model(torch.rand(3, 2, **DOUBLE)).shape == (3, 1)
    assert parameter_count_eq(model, {"stored": right}).holds
    assert not parameter_count_eq(model, {"stored": right - weight.numel()}).holds


def test_experts_hold_what_they_hold():
    layer = nn.Linear(3, 2, **DOUBLE)
    weight = layer.weight.detach()
    del layer.weight
    layer.weight = weight
    assert measured_counts(nn.Sequential(layer)).active == 8
    layer.again = weight  # the same tensor under two names
    assert measured_counts(nn.Sequential(layer, layer)).active == 8
    assert measured_counts(nn.Linear(3, 2, dtype=torch.complex128)).active == 16


# --- parts of one certificate ----------------------------------------------------------------------------


def test_parts_of_models_that_differ_in_one_expert_do_not_combine():
    """Each model is wrong in the half that the other's part looks at, and right at all 64 points of the digest."""
    f = targets.get("cone", n=2)
    left = build_momlp(f, eps=0.01)
    right = copy.deepcopy(left)
    asked = left.route(f.domain.sample(64, torch.Generator().manual_seed(0)))[:, 0].tolist()
    unasked = [leaf for leaf in range(left.num_leaves) if leaf not in asked]
    left.out_bias[unasked[-1]] += 9.0
    right.out_bias[unasked[0]] += 9.0
    parts = [certify_uniform_error(m, f, eps=0.01, share=Share(r, 2)) for r, m in enumerate((left, right))]
    assert all(part.upper <= 0.01 for part in parts)
    with pytest.raises(ValueError, match="`parts` must answer one question"):
        combined(parts)
    parts = [certify_uniform_error(left, f, eps=10.0, share=Share(rank, 2)) for rank in range(2)]
    assert combined(parts).status is Status.CERTIFIED


def test_parts_of_functions_that_differ_in_the_seventh_digit_do_not_combine():
    net = nn.Sequential(nn.Linear(1, 1, **DOUBLE))
    parts = []
    for rank, lam in enumerate((1.0, 1.0000001)):
        f = LipschitzFunction(lambda x: 0.5 * x, n=1, lipschitz=lam)
        parts.append(certify_uniform_error(net, f, eps=9.0, share=Share(rank, 2)))
    with pytest.raises(ValueError, match="`parts` must answer one question"):
        combined(parts)
