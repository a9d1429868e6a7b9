"""Relaxations of activations against Arb balls and dense samples; each check finds one that is moved by 1e-6."""

import dataclasses

import pytest
import torch
from flint import arb, ctx
from torch import nn

from theory.checkers.uniform_error.activations import GELU_LEAST, GELU_LEAST_AT, GELU_SLOPES, ROOM, SMOOTH, leaky

DOUBLE = {"dtype": torch.float64}
MOVED = 1e-6
KINDS = list(SMOOTH)
SLOPES = {  # a second way to write them, in balls
    nn.Tanh: lambda x: 1 / x.cosh() ** 2,
    nn.Sigmoid: lambda x: 1 / (2 + x.exp() + (-x).exp()),
    nn.Softplus: lambda x: 1 / (1 + (-x).exp()),
    nn.GELU: lambda x: (1 + (x / arb(2).sqrt()).erf()) / 2 + x * (-x * x / 2).exp() / (2 * arb.pi()).sqrt(),
}


def points():
    g = torch.Generator().manual_seed(0)
    near = torch.linspace(-8, 8, 321, **DOUBLE)
    far = torch.randn(200, generator=g, **DOUBLE) * torch.logspace(-8, 2.4, 200, **DOUBLE)
    return torch.cat([near, far])


def balls(function, x):
    """(middles, all narrow) of a function of balls at floats."""
    with ctx.workprec(200):
        found = [function(arb(v)) for v in x.tolist()]
        assert all(float(b.rad()) <= 1e-30 * (1 + abs(float(b.mid()))) for b in found)
        return found


def distance(values, found):
    with ctx.workprec(200):
        return torch.tensor([abs(float(b - arb(v))) for v, b in zip(values.tolist(), found, strict=True)], **DOUBLE)


@pytest.mark.parametrize("kind", KINDS)
def test_float64_is_well_within_the_room(kind):
    bend, x = SMOOTH[kind], points()
    off = distance(bend.value(x), balls(lambda b: bend.ball(b, 0), x)) / (1 + x.abs())
    assert float(off.max()) <= ROOM / 16
    slopes = balls(SLOPES[kind], x)
    least, most = bend.slopes(x, x)
    assert float(distance((least + most) / 2, slopes).div(1 + x.abs()).max()) <= ROOM / 2
    with ctx.workprec(200):
        ends = zip(least.tolist(), most.tolist(), slopes, strict=True)
        assert all(arb(low) < b < arb(high) for low, high, b in ends)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_torchs_own_layers_are_off_by_what_the_slack_says(kind, dtype):
    """16 units of 1 + |x|, and the jump of softplus."""
    bend, x = SMOOTH[kind], points().to(dtype)
    off = distance(kind()(x).double(), balls(lambda b: bend.ball(b, 0), x.double()))
    unit = torch.finfo(dtype).eps / 2
    allowed = 16 * unit * (1 + x.double().abs()) + torch.where(x > bend.above, bend.jump, 0.0)
    assert bool((off <= allowed).all())


def intervals():
    g = torch.Generator().manual_seed(1)
    middle = torch.randn(400, generator=g, **DOUBLE) * 2
    half = torch.rand(400, generator=g, **DOUBLE) * torch.logspace(-6, 0.5, 400, **DOUBLE)
    return middle - half, middle + half


def inside(low, high):
    """Points (400, 201) of every interval, its ends included."""
    return low[:, None] + torch.linspace(0, 1, 201, **DOUBLE) * (high - low)[:, None]


def escapes(values, least, most):
    return bool(((values < least[:, None]) | (values > most[:, None])).any())


@pytest.mark.parametrize("kind", KINDS)
def test_enclosures_hold_and_one_moved_by_a_millionth_does_not(kind):
    bend, (low, high) = SMOOTH[kind], intervals()
    x = inside(low, high).clamp(low[:, None], high[:, None])
    slopes = torch.stack([(a + b) / 2 for a, b in zip(*(e for e in bend.slopes(x, x)), strict=True)])
    for values, (least, most) in ((bend.value(x), bend.enclosure(low, high)), (slopes, bend.slopes(low, high))):
        assert not escapes(values, least, most)
        assert escapes(values, least + MOVED, most)
        assert escapes(values, least, most - MOVED)


@pytest.mark.parametrize("kind", KINDS)
def test_lines_hold_and_one_moved_by_a_millionth_does_not(kind):
    bend, (low, high) = SMOOTH[kind], intervals()
    x = inside(low, high).clamp(low[:, None], high[:, None])
    at, value, rate, spread = bend.line(low, high)

    def crossed(moved, narrower):
        line = value[:, None] + moved + rate[:, None] * (x - at[:, None])
        return bool(((bend.value(x) - line).abs() > (spread - narrower)[:, None]).any())

    assert not crossed(0.0, 0.0)
    assert crossed(MOVED, 0.0)
    assert crossed(-MOVED, 0.0)
    assert crossed(0.0, MOVED)


def test_extremes_of_gelu_are_enclosed():
    with ctx.workprec(200):
        root = arb(2).sqrt()
        most, least = SLOPES[nn.GELU](root), SLOPES[nn.GELU](-root)
        assert arb(GELU_SLOPES[0]) < least < arb(GELU_SLOPES[0]) + arb(1e-10)
        assert arb(GELU_SLOPES[1]) - arb(1e-10) < most < arb(GELU_SLOPES[1])
        gelu = SMOOTH[nn.GELU].ball
        assert abs(float(SLOPES[nn.GELU](arb(GELU_LEAST_AT)))) < 1e-15
        # convex there: the least value is below by the square of the slope at most
        assert abs(float(gelu(arb(GELU_LEAST_AT), 0) - arb(GELU_LEAST))) < 1e-16
    for bend in (SMOOTH[nn.GELU], dataclasses.replace(SMOOTH[nn.GELU])):
        low, high = torch.tensor([-3.0], **DOUBLE), torch.tensor([3.0], **DOUBLE)
        assert float(bend.slopes(low, high)[0]) <= GELU_SLOPES[0]
        assert float(bend.enclosure(low, high)[0]) <= GELU_LEAST


@pytest.mark.parametrize("slope", [0.0, 0.25, 1.5, -0.5])
def test_kinks_are_relaxed_like_curves(slope):
    bend, (low, high) = leaky(torch.full((400,), slope, **DOUBLE)), intervals()
    x = inside(low, high).clamp(low[:, None], high[:, None])
    values = torch.where(x > 0, x, slope * x)
    at, value, rate, spread = bend.line(low, high)
    line = value[:, None] + rate[:, None] * (x - at[:, None])
    assert bool(((values - line).abs() <= spread[:, None]).all())
    least, most = bend.enclosure(low, high)
    assert not escapes(values, least, most)
    assert escapes(values, least + MOVED, most)
    assert [float(bend.ball(arb(v), 0)) for v in (-2.0, 2.0)] == [-2 * slope, 2]


@pytest.mark.parametrize("kind", KINDS)
def test_nan_and_infinity_are_no_enclosure(kind):
    bend = SMOOTH[kind]
    for value in (float("nan"),):
        ends = torch.tensor([value], **DOUBLE)
        assert all(bool(torch.isnan(e).any()) for e in bend.enclosure(ends, ends))
