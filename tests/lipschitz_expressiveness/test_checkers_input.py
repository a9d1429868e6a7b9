"""What can be read, what is refused, and the sentence that it gets."""

import math

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from constructions.errors import BudgetExceeded
from constructions.lipschitz_expressiveness import table_networks, tent_map
from theory import Measure, lipschitz_bounds
from theory.lipschitz_expressiveness.checkers.network import read_network

ZERO, ONE = torch.zeros(2, dtype=torch.float64), torch.ones(2, dtype=torch.float64)


def net(*between, width=3, outputs=1):
    parts = [nn.Linear(2, width), *(between or (nn.ReLU(),)), nn.Linear(width, outputs)]
    return nn.Sequential(*parts).double().requires_grad_(False)


def filled(value, name="weight"):
    module = net()
    getattr(module[0], name).flatten()[0] = value
    return module


class Odd(nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x)


def hooked():
    module = net()
    module[1].register_forward_hook(lambda *_: None)
    return module


# --- what is read ----------------------------------------------------------------------------------------


def same_function(module, inputs, input_shape=None, shape=None):
    """The network that was read answers like the module, and so does its Jacobian."""
    network = read_network(module, input_shape)
    x = torch.randn(50, inputs, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    state = x
    for layer in network.hidden:
        z = state @ layer.weight.T + layer.bias
        state = torch.tanh(z) if layer.alpha is None else torch.where(z > 0, z, layer.alpha * z)
    answer = module(x if shape is None else x.reshape(-1, *shape)).detach()
    assert torch.allclose(state @ network.weight.T + network.bias, answer, rtol=1e-12, atol=1e-12)
    assert network.inputs == inputs
    return network


@pytest.mark.parametrize(
    "module",
    [
        net(),
        net(nn.LeakyReLU(0.2)),
        net(nn.PReLU(3, init=-0.5)),
        net(nn.Tanh()),
        net(nn.Identity()),
        net(nn.ReLU(), nn.Linear(3, 3), nn.Tanh(), nn.ReLU()),
        net(nn.Dropout(0.5), nn.ReLU()).eval(),
        nn.Sequential(nn.ReLU(), nn.Tanh(), nn.Linear(2, 2)).double(),
        nn.Sequential(nn.Linear(2, 3), nn.Sequential(nn.Linear(3, 3, bias=False), nn.ReLU())).double(),
        nn.Linear(2, 4).double(),
        nn.Sequential(nn.Flatten(), nn.Linear(2, 2)).double(),
    ],
    ids=str,
)
def test_modules_are_read_as_they_answer(module):
    same_function(module, 2)


def test_a_layer_that_occurs_twice_counts_twice():
    layer, bend = nn.Linear(2, 2).double(), nn.ReLU()
    network = same_function(nn.Sequential(layer, bend, layer, bend, layer), 2)
    assert len(network.matrices) == 3


@pytest.mark.parametrize(
    "convolution",
    [
        nn.Conv2d(2, 4, 3, padding=1),
        nn.Conv2d(2, 4, 2, stride=2, bias=False),
        nn.Conv2d(2, 4, 3, dilation=2, padding=2, groups=2),
        nn.Conv2d(2, 4, 3, padding="same"),
    ],
    ids=str,
)
def test_convolutions_are_unrolled(convolution):
    outputs = convolution(torch.zeros(1, 2, 4, 4)).numel()
    module = nn.Sequential(convolution, nn.PReLU(4), nn.Flatten(), nn.Linear(outputs, 2)).double()
    module[1].weight.data = torch.tensor([0.1, -0.2, 0.3, 1.0]).double()
    network = same_function(module, 32, (2, 4, 4), (2, 4, 4))
    assert network.units == outputs
    bounds = lipschitz_bounds(module, method="product", input_shape=(2, 4, 4))
    J = torch.func.jacrev(lambda y: module(y.reshape(1, 2, 4, 4))[0])(torch.ones(32, dtype=torch.float64))
    assert float(torch.linalg.matrix_norm(J, 2)) <= bounds.upper


def test_float32_weights_are_exact_in_float64():
    module = net().float()
    bounds = lipschitz_bounds(module, -ONE, ONE)
    assert bounds.gap < 1e-9
    assert bounds.lower == lipschitz_bounds(module.double(), -ONE, ONE).lower


def test_the_module_is_left_as_it_was():
    module = net().train().requires_grad_(True)
    before = [p.clone() for p in module.parameters()]
    lipschitz_bounds(module, -ONE, ONE)
    assert all(torch.equal(a, b) and b.requires_grad for a, b in zip(before, module.parameters(), strict=True))
    assert module.training


# --- what is refused -------------------------------------------------------------------------------------

MODULES = [
    (filled(math.nan), "the weight of the Linear at position 0 must be finite, got nan"),
    (filled(-math.inf, "bias"), "the bias of the Linear at position 0 must be finite, got -inf"),
    (net().half(), "the weight of the Linear at position 0 must be float64 or float32, got torch.float16"),
    (net().bfloat16(), "must be float64 or float32, got torch.bfloat16"),
    (net(nn.GELU()), "`module` has a GELU at position 1; the layers that can be read are Linear, ReLU"),
    (net(nn.Sequential(nn.ReLU(), nn.Softmax(1))), r"has a Softmax at position 1\.1"),
    (net(nn.ReLU(), nn.Dropout(0.5)), "`module` must be in eval mode: the Dropout at position 2 draws at random"),
    (net(nn.BatchNorm1d(3)), "has a BatchNorm1d at position 1"),
    (hooked(), "`module` cannot be read at position 1: ReLU has forward hooks"),
    (nn.Sequential(Odd(2, 2)).double(), "has a Odd at position 0"),
    (parametrizations.weight_norm(nn.Linear(2, 2).double()), "has a ParametrizedLinear at position top"),
    (nn.Sequential(), "`module` must have a Linear or Conv2d layer, got none"),
    (nn.Sequential(nn.Linear(2, 3), nn.Linear(2, 1)).double(), r"at position 1 does not accept inputs of shape \(3,\)"),
    (nn.Sequential(nn.Linear(2, 3), nn.PReLU(2), nn.Linear(3, 1)).double(), r"has \(2,\) slopes for 3 channels"),
    (nn.Sequential(nn.Flatten(0), nn.Linear(2, 3)).double(), "`module` must flatten all but the batch"),
    (nn.Sequential(nn.Conv2d(1, 1, 3)).double(), r"`input_shape` must be \(C, H, W\) for the Conv2d at position 0"),
    (lambda x: x, "`module` must be a torch.nn.Module, got function"),
    (nn.Sequential(nn.Linear(2, 2).to("meta")), "must be a dense torch.Tensor that holds numbers"),
]


@pytest.mark.parametrize(("module", "words"), MODULES, ids=[w[:60] for _, w in MODULES])
def test_modules_that_cannot_be_read(module, words):
    with pytest.raises((TypeError, ValueError), match=words) as caught:
        lipschitz_bounds(module)
    assert "\n" not in str(caught.value)


def test_convolutions_that_cannot_be_unrolled():
    for module, shape, words in (
        (nn.Conv2d(1, 1, 3), (1, 4, 4), r"answer with a matrix \(B, m\), got outputs of shape \('B', 1, 2, 2\)"),
        (nn.Conv2d(3, 64, 3), (3, 64, 64), "has a matrix of .* > 1000000 entries"),
        (nn.Conv2d(3, 1, 3), (1, 4, 4), r"does not accept inputs of shape \(1, 4, 4\)"),
        (nn.Conv2d(1, 1, 5), (1, 4, 4), r"does not accept inputs of shape \(1, 4, 4\)"),
        (nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular"), (1, 4, 4), "must pad with zeros"),
        (nn.Conv2d(1, 1, 3), (4, 4), r"`input_shape` must be \(C, H, W\) or \(n,\)"),
        (nn.Conv2d(1, 1, 3), (1, 4, 0), "`input_shape` must be"),
    ):
        with pytest.raises((ValueError, BudgetExceeded), match=words):
            lipschitz_bounds(nn.Sequential(module).double(), input_shape=shape)


QUESTIONS = [
    ({"lower": ONE, "upper": -ONE}, "`lower` must be below `upper` in every axis, got 1.0 and -1.0 in axis 0"),
    ({"lower": ONE, "upper": ONE}, "`lower` must be below `upper` in every axis"),
    ({"lower": -ONE}, "`upper` must be given, too"),
    ({"upper": ONE}, "`lower` must be given, too"),
    ({"lower": math.nan * ONE, "upper": ONE}, "`lower` must be finite, got"),
    ({"lower": -ONE, "upper": math.inf * ONE}, "`upper` must be finite"),
    ({"lower": -torch.ones(3), "upper": torch.ones(3)}, r"`lower` must have shape \(2,\): one box, got \(3,\)"),
    ({"lower": torch.stack([-ONE, ZERO]), "upper": torch.stack([ZERO, ONE])}, r"one box, got \(2, 2\)"),
    ({"lower": [-1.0, -1.0], "upper": ONE}, "`lower` must be a dense real torch.Tensor"),
    ({"method": "magic"}, "`method` must be one of auto, product"),
    ({"method": "line"}, "`method` line needs a network of one input, got 2"),
    ({"method": "branch_and_bound"}, "`method` branch_and_bound needs a box"),
    ({"gap": -1.0}, "`gap` must be a non-negative"),
    ({"gap": math.nan}, "`gap` must be a non-negative"),
    ({"seconds": 0}, "`seconds` must be a positive"),
    ({"boxes": 0}, "`boxes` must be an integer at least 1"),
    ({"cells": 1.5}, "`cells` must be an integer"),
    ({"points": 0}, "`points` must be an integer"),
    ({"undecided": 17}, "`undecided` must be an integer between 0 and 16, got 17"),
    ({"seed": -1}, "`seed` must be an integer"),
    ({"device": "abacus"}, "`device` must be a device"),
    ({"log": 3}, "`log` must be a function of a message"),
    ({"keep_cells": 1}, "`keep_cells` must be True or False"),
    ({"measure": 3}, "`measure` must be a Measure or None"),
    ({"measure": Measure(), "left": torch.eye(1)}, "`measure` must be given alone"),
    ({"left": torch.eye(2)}, r"`left` must have 1 columns, got shape \(2, 2\)"),
    ({"right": torch.eye(3)}, r"`right` must have 2 rows, got shape \(3, 3\)"),
    ({"offset": torch.eye(2)}, r"`offset` must have shape \(1, 2\), got \(2, 2\)"),
    ({"left": torch.full((1, 1), math.nan)}, "`left` must be finite, got nan"),
    ({"left": torch.ones(1)}, "`left` must be a matrix"),
    ({"left": 2.0}, "`left` must be a Tensor"),
]


@pytest.mark.parametrize(("options", "words"), QUESTIONS, ids=[w[:60] for _, w in QUESTIONS])
def test_questions_that_cannot_be_asked(options, words):
    with pytest.raises((TypeError, ValueError), match=words) as caught:
        lipschitz_bounds(net(), **options)
    assert "\n" not in str(caught.value)


def test_methods_that_do_not_fit_a_network():
    for method in ("patterns", "line"):
        with pytest.raises(ValueError, match=f"`method` {method} needs a piecewise affine network"):
            lipschitz_bounds(net(nn.Tanh()), method=method)
    with pytest.raises(ValueError, match="`cells` must be larger: the network has more than 10 pieces"):
        lipschitz_bounds(tent_map(6), cells=10)
    with pytest.raises(ValueError, match="at most 400 hidden units for lipsdp, got 401"):
        lipschitz_bounds(net(width=401), method="lipsdp")


def test_lipsdp_without_its_extra_says_what_to_install(monkeypatch):
    from theory.lipschitz_expressiveness.checkers import auto, lipsdp

    monkeypatch.setattr(lipsdp, "available", lambda: False)
    monkeypatch.setattr(auto, "available", lambda: False)
    with pytest.raises(ImportError, match=r"`method` lipsdp needs cvxpy and clarabel: pip install \"momlp\[sdp\]\""):
        lipschitz_bounds(net(), method="lipsdp")
    assert lipschitz_bounds(net(nn.Tanh())).method == "product+sampled"


def test_measures_that_are_none():
    eye = torch.eye(2, dtype=torch.float64)
    for call, words in (
        (lambda: Measure.closed_loop(torch.ones(2, 3), torch.ones(2, 1)), r"`A` must be \(n, n\) and `B` \(n, m\)"),
        (lambda: Measure.closed_loop(eye, torch.ones(3, 1)), r"`A` must be \(n, n\)"),
        (lambda: Measure.closed_loop(eye, eye, -eye), "`P` must be positive definite"),
        (lambda: Measure.closed_loop(eye, eye, torch.eye(3)), r"`P` must have shape \(2, 2\)"),
        (lambda: Measure.weighted(out=torch.tensor([[1.0, 1.0], [0.0, 1.0]])), "`out` must be a symmetric matrix"),
        (lambda: Measure.weighted(into=torch.diag(torch.tensor([1.0, 1e-320]).double())), "`into` must be"),
        (lambda: Measure(relative=1.0), "`relative` must be at most 0.001"),
        (lambda: Measure(absolute=math.inf), "`absolute` must be a non-negative"),
    ):
        with pytest.raises((ValueError, TypeError), match=words):
            call()


@pytest.mark.parametrize("method", ["branch_and_bound", "patterns", "product", "sampled", "auto"])
def test_a_device_finds_the_same(device, method):
    """The pretended accelerator has the CPU's kernels, a real one its own rounding."""
    row = list(table_networks())[3]
    box = () if method == "product" else (row.lower, row.upper)
    here = lipschitz_bounds(row.module, *box, method=method)
    there = lipschitz_bounds(row.module, *box, method=method, device=device)
    assert there.lower == pytest.approx(here.lower, rel=1e-12)
    assert there.upper == pytest.approx(here.upper, rel=1e-9)
    assert there.device == str(device)
    for found in (there.witness, there.jacobian):
        assert found is None or found.device.type == "cpu"
    smooth = net(nn.Tanh())
    first, second = (lipschitz_bounds(smooth, -ONE, ONE, gap=0.05, device=d) for d in ("cpu", device))
    assert second.gap <= 0.05
    assert second.lower <= first.upper
