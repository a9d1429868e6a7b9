"""Deep networks with smooth activations and convolutions: bounds against samples, and what is not supported."""

import dataclasses

import pytest
import torch
from torch import nn

from constructions import LipschitzFunction
from theory import Status, certify_uniform_error
from theory.checkers.uniform_error import layers as reading
from theory.checkers.uniform_error.activations import SMOOTH
from theory.checkers.uniform_error.layer_bank import LayerBank, ball_values
from theory.checkers.uniform_error.layers import Layer, read_layers

DOUBLE = {"dtype": torch.float64}
NOWHERE = torch.zeros(1, dtype=torch.int64)
KINDS = list(SMOOTH)


def net_of(kind, width=6, seed=0, scale=2.0):
    torch.manual_seed(seed)
    net = nn.Sequential(
        nn.Linear(2, width, **DOUBLE), kind(), nn.Linear(width, width, **DOUBLE), kind(), nn.Linear(width, 2, **DOUBLE)
    )
    with torch.no_grad():
        net[0].weight.mul_(scale)
    return net.requires_grad_(False)


def bank_of(net, n=2):
    ends = torch.full((1, n), -1.0, **DOUBLE), torch.full((1, n), 3.0, **DOUBLE)
    return LayerBank.of(read_layers(net, n), *ends, unit=2.0**-53)


def boxes(count, n=2):
    g = torch.Generator().manual_seed(2)
    centre = torch.rand(count, n, generator=g, **DOUBLE) * 3 - 0.5
    half = torch.rand(count, n, generator=g, **DOUBLE) * torch.logspace(-6, -0.5, count, **DOUBLE)[:, None]
    return centre, half


def samples(centre, half, count=300):
    unit = torch.rand(len(centre), count, centre.shape[1], generator=torch.Generator().manual_seed(3), **DOUBLE)
    unit[:, : count // 2] = unit[:, : count // 2].round()
    return centre[:, None] + (2 * unit - 1) * half[:, None]


@pytest.mark.parametrize("kind", [*KINDS, nn.ReLU, nn.PReLU])
def test_variation_and_slopes_hold_all_samples(kind):
    net = net_of(lambda: kind(**DOUBLE) if kind is nn.PReLU else kind())
    bank, (centre, half) = bank_of(net), boxes(60)
    x = samples(centre, half)
    there = net(x.flatten(0, 1)).reshape(60, -1, 2)
    moved = (there - net(centre)[:, None]).abs().amax(1)
    bound = bank.variation(NOWHERE, NOWHERE, centre, half)
    assert bool((moved <= bound + 1e-13).all())
    # a bound of some use: small boxes within a few percent of what is seen at their corners
    small = slice(0, 10)
    assert bool((bound[small] <= moved[small] * 1.5 + 1e-12).all())
    low, high = bank.slope_ends(NOWHERE, NOWHERE, centre - half, centre + half)
    points = x.flatten(0, 1).requires_grad_()
    for output in range(2):
        (slope,) = torch.autograd.grad(net(points)[:, output].sum(), points)
        slope = slope.reshape(60, -1, 2)
        assert bool(((slope >= low[:, None, output] - 1e-12) & (slope <= high[:, None, output] + 1e-12)).all())


@pytest.mark.parametrize("kind", KINDS)
def test_a_slope_moved_by_a_millionth_is_caught(kind, monkeypatch):
    bend = SMOOTH[kind]
    wrong = dataclasses.replace(bend, slopes=lambda low, high: tuple(e + 1e-6 for e in bend.slopes(low, high)))
    monkeypatch.setitem(SMOOTH, kind, wrong)
    net = net_of(kind)
    bank, (centre, half) = bank_of(net), boxes(60)
    low, high = bank.slope_ends(NOWHERE, NOWHERE, centre - half, centre + half)
    points = centre.clone().requires_grad_()
    (slope,) = torch.autograd.grad(net(points)[:, 0].sum(), points)
    assert bool(((slope < low[:, 0] - 1e-12) | (slope > high[:, 0] + 1e-12)).any())


@pytest.mark.parametrize("kind", KINDS)
def test_forward_passes_are_within_the_slack_of_the_balls(kind):
    for seed, scale in ((0, 2.0), (1, 30.0), (2, 1e3)):
        net = net_of(kind, seed=seed, scale=scale)
        bank = bank_of(net)
        x = torch.rand(10, 2, generator=torch.Generator().manual_seed(seed), **DOUBLE) * 4 - 1
        for point, said, table in zip(x, net(x), bank.values(NOWHERE, NOWHERE, x), strict=True):
            truth = torch.tensor(ball_values(bank.layers, point), **DOUBLE)
            assert float((truth - said).abs().max()) <= bank.forward_slack
            assert float((truth - table).abs().max()) <= bank.table_slack


def test_softplus_jumps_where_torch_does():
    net = nn.Sequential(nn.Linear(1, 1, **DOUBLE), nn.Softplus()).requires_grad_(False)
    net[0].weight.fill_(10.0)
    net[0].bias.fill_(0.0)
    bank = LayerBank.of(
        read_layers(net, 1), torch.zeros(1, 1, **DOUBLE), torch.full((1, 1), 3.0, **DOUBLE), unit=2**-53
    )
    x = torch.tensor([[2.0000001]], **DOUBLE)
    gap = abs(float(net(x)) - ball_values(bank.layers, x[0])[0])
    assert 2.0e-9 < gap <= bank.forward_slack < 1e-8
    near = LayerBank.of(read_layers(net, 1), torch.zeros(1, 1, **DOUBLE), torch.ones(1, 1, **DOUBLE), unit=2**-53)
    assert near.forward_slack < 1e-12


SAME = {  # a network that is the formula itself
    nn.Tanh: "3*tanh(2*x0 - x1) - 1",
    nn.Sigmoid: "3/(1 + exp(x1 - 2*x0)) - 1",
    nn.Softplus: "3*log(1 + exp(2*x0 - x1)) - 1",
}


@pytest.mark.parametrize("kind", SAME)
def test_a_network_that_is_its_target_is_certified_and_one_beside_it_refuted(kind):
    net = nn.Sequential(nn.Linear(2, 1, **DOUBLE), kind(), nn.Linear(1, 1, **DOUBLE)).requires_grad_(False)
    net[0].weight.copy_(torch.tensor([[2.0, -1.0]]))
    net[0].bias.fill_(0.0)
    net[2].weight.fill_(3.0)
    net[2].bias.fill_(-1.0)
    f = LipschitzFunction.from_sympy(SAME[kind], n=2)
    certificate = certify_uniform_error(net, f, eps=1e-3)
    assert certificate.status is Status.CERTIFIED
    assert certificate.lower < 1e-12
    assert any("Arb balls" in p.detail for p in certificate.premises)
    net[2].bias.add_(1.01e-3)
    certificate = certify_uniform_error(net, f, eps=1e-3)
    assert certificate.status is Status.REFUTED


@pytest.mark.parametrize("kind", KINDS)
def test_both_ends_hold_what_sampling_finds(kind):
    net = net_of(kind)
    f = LipschitzFunction.from_sympy("sin(2*x0)*x1/2, x0*x1", n=2)
    certificate = certify_uniform_error(net, f, gap=0.05)
    assert certificate.status is Status.CERTIFIED
    found = certify_uniform_error(net, f, method="sampled", samples=20_000).lower
    assert found <= certificate.upper <= 1.051 * certificate.lower + 1e-9


# --- convolutions ----------------------------------------------------------------------------------------------


def conv_net(bend=nn.ReLU, **options):
    torch.manual_seed(0)
    options = {"padding": 1, "stride": 2} | options
    conv = nn.Conv2d(1, 2, 3, **options, **DOUBLE)
    size = conv(torch.zeros(1, 1, 2, 3, **DOUBLE)).numel()
    net = nn.Sequential(nn.Unflatten(1, (1, 2, 3)), conv, bend(), nn.Flatten(), nn.Linear(size, 1, **DOUBLE))
    return net.requires_grad_(False)


@pytest.mark.parametrize("options", [{}, {"stride": 1}, {"dilation": 2, "padding": 2}, {"bias": False}])
def test_convolutions_unroll_to_matrices(options):
    net = conv_net(**options)
    x = torch.randn(50, 6, generator=torch.Generator().manual_seed(0), **DOUBLE)
    found = read_layers(net, 6)
    bank = LayerBank.of(found, x.amin(0, keepdim=True), x.amax(0, keepdim=True), unit=2**-53)
    assert torch.allclose(bank.values(NOWHERE, NOWHERE, x), net(x), rtol=0, atol=1e-13)
    numbers = set(net[1].weight.flatten().tolist()) | {0.0}
    assert set(found[0].weight.flatten().tolist()) <= numbers


@pytest.mark.parametrize("bend", [nn.ReLU, nn.Tanh])
def test_convolutional_networks_are_certified(bend):
    net = conv_net(bend)
    f = LipschitzFunction(lambda x: 0 * x[:, :1], n=6, lipschitz=0.0 + 1e-9)
    truth = float(net(torch.rand(20_000, 6, generator=torch.Generator().manual_seed(1), **DOUBLE)).abs().max())
    certificate = certify_uniform_error(net, f, gap=0.3, max_evaluations=2_000_000)
    assert certificate.status is Status.CERTIFIED
    assert truth <= certificate.upper <= 1.4 * truth


SUPPORTED = "`model` must consist of plain Linear, Conv2d, Flatten, Unflatten, Identity, ReLU, PReLU, Tanh, Sigmoid, "


@pytest.mark.parametrize(
    ("modules", "fault"),
    [
        ([nn.Linear(2, 2, **DOUBLE), nn.SiLU()], "SiLU() is not supported"),
        ([nn.Linear(2, 2, **DOUBLE), nn.Softplus(beta=2)], "must have beta 1 and threshold 20"),
        ([nn.Linear(2, 2, **DOUBLE), nn.GELU(approximate="tanh")], "must have approximate='none'"),
        ([nn.Linear(2, 2, **DOUBLE), nn.Tanh(), nn.Tanh()], "Tanh() where a Linear or Conv2d layer is needed"),
        ([nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 1, **DOUBLE)], "all of them, got"),
        ([nn.Unflatten(1, (1, 1, 2)), nn.Conv2d(1, 1, 1)], "must be float64"),
        (
            [nn.Unflatten(1, (1, 1, 2)), nn.Conv2d(1, 1, 1, padding_mode="circular", **DOUBLE)],
            "pad by a number of zeros",
        ),
        ([nn.Unflatten(1, (2, 1, 1)), nn.Conv2d(1, 1, 1, **DOUBLE)], "takes 1 channels where there are 2"),
        ([nn.Unflatten(1, (1, 1, 2)), nn.Conv2d(1, 1, 3, **DOUBLE)], "has no output"),
        ([nn.Conv2d(2, 1, 1, **DOUBLE)], "put Unflatten before it"),
        ([nn.Unflatten(1, (1, 1, 2)), nn.Conv2d(1, 1, 1, **DOUBLE), nn.Linear(2, 1, **DOUBLE)], "put Flatten between"),
        ([nn.Unflatten(1, (1, 1, 2)), nn.Conv2d(1, 1, 1, **DOUBLE)], "end with Flatten"),
        ([nn.Unflatten(1, (1, 1, 3))], "must give axis 1, of 2 numbers a point"),
        ([nn.Flatten(0)], "must flatten all but the batch"),
        ([nn.Linear(3, 1, **DOUBLE), nn.Tanh()], "takes 3 inputs where there are 2"),
    ],
)
def test_what_is_not_supported_is_named_with_all_that_is(modules, fault):
    net = nn.Sequential(*modules)
    assert fault in read_layers(net, 2)


def test_the_error_of_the_certificate_lists_what_is_supported():
    net = nn.Sequential(nn.Linear(2, 2, **DOUBLE), nn.SiLU(), nn.Linear(2, 1, **DOUBLE))
    f = LipschitzFunction.from_sympy("x0*x1", n=2)
    with pytest.raises(ValueError, match="use method='sampled'") as caught:
        certify_uniform_error(net, f, eps=0.1)
    assert str(caught.value).startswith(SUPPORTED)
    assert "SiLU() is not supported; use method='sampled'" in str(caught.value)


def test_large_convolutions_are_refused(monkeypatch):
    monkeypatch.setattr(reading, "MOST_NUMBERS", 10)
    assert "numbers, more than 10" in read_layers(conv_net(), 6)


def test_a_subclass_may_compute_anything_and_is_not_read():
    class Odd(nn.Tanh):
        def forward(self, x):
            return x

    assert "is not supported" in read_layers(nn.Sequential(nn.Linear(2, 2, **DOUBLE), Odd()), 2)


def test_balls_that_know_nothing_are_no_number():
    huge = [Layer(torch.full((1, 1), 1e300, **DOUBLE), torch.zeros(1, **DOUBLE), SMOOTH[nn.Softplus])]
    value = ball_values(huge, torch.tensor([1e300], **DOUBLE))[0]
    assert value != value or value > 1e300
