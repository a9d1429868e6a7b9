"""The pretended device itself: it refuses what CUDA refuses, counts what makes a host wait, computes like the CPU."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from tests.house.pretend_accelerator import SimTensor, counting, patched_factories


@pytest.fixture
def x(sim):
    return torch.arange(12, dtype=torch.float64, device=sim).reshape(3, 4)


HOST = torch.ones(3, 4, dtype=torch.float64)


@pytest.mark.parametrize(
    "mix",
    [
        lambda x: x + HOST,
        lambda x: HOST * x,
        lambda x: x @ HOST.T,
        lambda x: torch.cat([x, HOST]),
        lambda x: torch.where(x > 1, x, HOST),
        lambda x: torch.equal(x, HOST),
        lambda x: x.gather(1, torch.zeros(3, 1, dtype=torch.int64)),
        lambda x: x.index_add(0, torch.tensor([0]), x[:1]),
        lambda x: HOST[x.long() % 3],
        lambda x: torch.searchsorted(x, HOST),
        lambda x: HOST.clone().add_(x),
        lambda x: HOST.sum().clone().add_(x.sum()),
        lambda x: x.index_put((x[:1, 0].long(),), HOST[:1]),
        lambda x: torch.cat([x.sum()[None], HOST.sum()[None]]),
        lambda x: torch.stack([x.sum(), HOST.sum()]),
        lambda x: nn.functional.linear(x, HOST),
        lambda x: torch.rand(3, device=x.device, generator=torch.Generator()),
    ],
)
def test_devices_do_not_mix(x, mix):
    with pytest.raises(RuntimeError, match=r"same device|device type for generator"):
        mix(x)


def test_what_cuda_lets_meet(x):
    assert torch.equal((x + torch.tensor(1.0)).cpu(), HOST.cumsum(1) + torch.tensor([[0.0], [4.0], [8.0]]))
    assert torch.equal(x[torch.tensor([2, 0])].cpu(), x.cpu()[[2, 0]])
    x[torch.tensor([0])] = torch.tensor(7.0, dtype=torch.float64)
    x[1, [0, 3]] = 5.0
    assert x.cpu().tolist() == [[7.0] * 4, [5.0, 5.0, 6.0, 5.0], [8.0, 9.0, 10.0, 11.0]]
    HOST.clone().copy_(x)
    assert x.to(HOST).device.type == "cpu"


def test_numbers_do_not_leave_by_numpy(x):
    for leave in (lambda: x.numpy(), lambda: np.asarray(x), lambda: torch.from_numpy(np.array(x))):
        with pytest.raises(TypeError, match="convert sim:0 device type tensor to numpy"):
            leave()
    assert x.cpu().numpy().sum() == 66.0


@pytest.mark.parametrize(
    ("wait", "kinds"),
    [
        (lambda x: x.sum().item(), {"item": 1}),
        (lambda x: float(x[0, 0]), {"item": 1}),
        (lambda x: int(x.argmax()), {"item": 1}),
        (lambda x: bool((x > 0).any()), {"item": 1}),
        (lambda x: [v for row in x for v in row if v > 3], {"item": 12}),
        (lambda x: x.tolist(), {"item": 1}),
        (lambda x: torch.equal(x, x), {"equal": 1}),
        (lambda x: x.cpu(), {"copy": 1}),
        (lambda x: x.to("cpu", torch.float32), {"copy": 1}),
        (lambda x: HOST.clone().copy_(x), {"copy": 1}),
        (lambda x: x.nonzero(), {"nonzero": 1}),
        (lambda x: torch.where(x > 3), {"nonzero": 1}),
        (lambda x: x[x > 3], {"mask": 1}),
        (lambda x: x.masked_select(x > 3), {"mask": 1}),
        (lambda x: x.__setitem__(x > 3, x[:1, :3].reshape(-1)[0]), {}),
        (lambda x: x.__setitem__(x[:, 0] > 3, x[:2] * 2), {"mask": 1}),
        (lambda x: x.unique(), {"unique": 1}),
        (lambda x: torch.unique(x, dim=0), {"unique": 1}),
        (lambda x: torch.bincount(x.long().flatten()), {"bincount": 1}),
        (lambda x: x.repeat_interleave(x[0].long(), dim=1), {"repeat_interleave": 1}),
        (lambda x: torch.tensor([1.0], device=x.device), {"upload": 1}),
        (lambda x: x.new_tensor([1.0]), {"upload": 1}),
        (lambda x: torch.as_tensor([1.0], device=x.device), {"upload": 1}),
        (lambda x: x[:, [0, 1]], {"upload": 1}),
        (lambda x: torch.where(x > 3, x, 0.0).sum(-1).sort().values @ x, {}),
        (lambda x: torch.arange(5, device=x.device) + torch.zeros(5, device=x.device), {}),
    ],
)
def test_waits_are_counted(x, wait, kinds):
    with counting() as waits:
        wait(x)
    assert dict(waits.kinds) == kinds
    assert waits.total == sum(n for kind, n in kinds.items() if kind != "upload")


def test_a_host_tensor_made_inside_fails(x):
    """The negative control of every test that runs on this device."""

    def careless(x):
        return x * torch.arange(x.shape[1])

    assert torch.equal(careless(HOST), HOST * torch.arange(4))
    with pytest.raises(RuntimeError, match="same device"):
        careless(x)


def test_factories_views_and_writes(sim, x):
    like_x = [torch.zeros_like(x), x.new_ones(3, 4), torch.full((3, 4), 2.0, device=sim), torch.eye(4, device=sim)]
    like_x += [torch.tensor(3.0, device=sim), torch.linspace(0, 1, 5, device=sim), x.expand(2, 3, 4), *x.split(1)]
    assert all(isinstance(t, SimTensor) and t.device == torch.device("sim", 0) for t in like_x)
    view = x[1:, 1:]
    view += 100
    assert x.cpu().tolist()[2] == [8.0, 109.0, 110.0, 111.0]
    assert view.untyped_storage()._cdata == x.untyped_storage()._cdata
    assert x.sum(0).squeeze_().unsqueeze_(0).t_().shape == (4, 1)
    assert (x[0] @ x.T).cpu().tolist() == [14.0, 638.0, 662.0]
    assert torch.sum(x, 0, out=torch.empty(0, dtype=x.dtype, device=sim)).cpu().tolist() == x.cpu().sum(0).tolist()


def test_training_is_bitwise_that_of_the_cpu(sim):
    found = []
    for place in ("cpu", sim):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(3, 8), nn.PReLU(), nn.Linear(8, 2)).to(place)
        points = torch.linspace(-1, 1, 30).reshape(10, 3).to(place)
        for foreach in (False, True):
            optimiser = torch.optim.AdamW(network.parameters(), lr=0.1, foreach=foreach)
            for _ in range(5):
                optimiser.zero_grad()
                nn.functional.cross_entropy(network(points), torch.arange(10, device=place) % 2).backward()
                optimiser.step()
        found.append(torch.cat([p.detach().cpu().flatten() for p in network.parameters()]))
    assert torch.equal(*found)
    with pytest.raises(ValueError, match="on the way back"):
        _Broken.apply(torch.ones(2, device=sim, requires_grad=True)).sum().backward()


class _Broken(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, gradient):
        raise ValueError("an error on the way back")


def test_vmap_and_functional_call(sim):
    network = nn.Linear(3, 2).to(sim)
    weights = torch.randn(5, 2, 3)
    points = torch.randn(7, 3)

    def run(place):
        states = {"weight": weights.to(place), "bias": torch.zeros(5, 2, device=place)}
        return torch.vmap(lambda s: torch.func.functional_call(network, s, (points.to(place),)))(states)

    assert torch.equal(run(sim).cpu(), run("cpu"))


def test_nothing_is_left_behind():
    """Outside the fixture torch's own factories are back, and the CPU is the default device."""
    assert torch.tensor.__module__ != "tests.house.pretend_accelerator"
    assert torch.get_default_device() == torch.device("cpu")
    assert type(torch.tensor([1.0])) is torch.Tensor
    with pytest.raises(RuntimeError, match="one_device_too_many"):
        torch.device("one_device_too_many")


def test_compilation_knows_torchs_own_functions_afterwards():
    """torch.compile looks functions up by name once a process; optimisers make it do so."""
    with patched_factories():
        torch.optim.AdamW([nn.Parameter(torch.zeros(1))])
    compiled = torch.compile(lambda x: x + torch.tensor([1.0]), backend="eager", fullgraph=True)
    assert compiled(torch.zeros(1)).tolist() == [1.0]


def test_product_code_does_not_know_the_device():
    """The rooms run without the pretence: it is registered by the tests alone."""
    script = "import constructions, theory.cli, torch; torch.device('sim')"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert found.returncode == 1
    assert "device string: sim" in found.stderr
