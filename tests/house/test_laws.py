"""Laws that every mixture obeys, written once: pencil, constant, bit extraction, tabulated, stacked, trained."""

from functools import cache

import pytest
import torch

from constructions import LipschitzFunction, build_momlp, load, save, tabulate, targets, train_momlp
from constructions.mixture import LatticeMixture, is_built_here, is_mixture
from constructions.trained_momlp.training import Options
from constructions.vc_dimension import mixture, one_hidden_layer
from theory import Status, certify_uniform_error

BITS = "bit_extraction"
BUILT = {
    "pencil": lambda **o: build_momlp(targets.get("sum_of_sines", n=2), eps=0.2, **o),
    "pencil, n = 1": lambda **o: build_momlp(targets.get("cone", n=1), eps=0.1, **o),
    "prelu": lambda **o: build_momlp(targets.get("cone", n=2), eps=0.2, activation="prelu", **o),
    "two outputs": lambda **o: build_momlp(targets.get("vector_rotation", n=2), eps=0.2, **o),
    "float32": lambda **o: build_momlp(targets.get("cone", n=2), eps=0.2, dtype=torch.float32, **o),
    "constant": lambda **o: build_momlp(targets.get("cone", n=2), eps=0.2, expert="constant", **o),
    "bit extraction": lambda **o: build_momlp(targets.get("cone", n=2), eps=0.4, expert=BITS, resolved=1, **o),
    "single network": lambda **o: build_momlp(targets.get("cone", n=1), eps=0.1, expert=BITS, **o),
}


def trained():
    x = torch.rand(400, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return train_momlp(x, x[:, 0] * x[:, 1], leaves=5, expert_hidden=(4,), options=Options(steps=5))


def stacked():
    shattered = mixture(one_hidden_layer(2, 2), 3)
    return shattered.module(torch.arange(shattered.size) % 3 == 0)


TABLES = {f"table of {name}": lambda make=make: make().tabulate() for name, make in BUILT.items()}
OTHERS = {"trained": trained, "stacked": stacked, **TABLES}
ALL = [*BUILT, *OTHERS]
OURS = {*BUILT, *TABLES}


@cache
def made(name):
    return (BUILT | OTHERS)[name]()


def points(model, count=257):
    """Points of the domain, faces and corners of cells among them."""
    x = torch.rand(count, model.n, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    if isinstance(model, LatticeMixture):
        lo, hi = model.domain.tensors()
        x = lo + x * (hi - lo)
        lower, upper = model.cell_bounds(model.route(x[:64]))
        x = torch.cat([x, lower, upper, (lower + upper) / 2])
    return x


@pytest.mark.law
@pytest.mark.parametrize("name", ALL)
def test_a_mixture_offers_the_protocol_or_has_no_cells(name):
    model = made(name)
    if isinstance(model, LatticeMixture):
        assert is_mixture(model)
    assert is_built_here(model) == (name in OURS)
    leaf = model.route(points(model))
    assert leaf.dtype is torch.int64
    assert bool((leaf >= 0).all())


@pytest.mark.law
@pytest.mark.parametrize("name", [name for name in ALL if name != "trained"])
def test_routing_is_the_cell(name):
    """x lies in the cell of the leaf to which it is routed, and in the inside of no other cell."""
    model = made(name)
    x = points(model)
    lower, upper = model.cell_bounds(model.route(x))
    assert bool(((lower <= x) & (x <= upper)).all())
    every = model.leaf_indices(torch.device("cpu"))
    low, high = model.cell_bounds(every)
    inside = ((low < x[:, None]) & (x[:, None] < high)).all(-1)
    mine = (every == model.route(x)[:, None]).all(-1)
    assert not bool((inside & ~mine).any())


@pytest.mark.law
@pytest.mark.parametrize("name", ALL)
def test_forward_is_the_expert(name):
    model = made(name)
    x = points(model)
    y, leaf = model(x), model.route(x)
    for row in range(0, len(x), 7):
        at = int(leaf[row]) if leaf.ndim == 1 else leaf[row]
        network = model.expert(at)
        found = network(x[row : row + 1].to(next(network.parameters()).dtype))
        kind = name.removeprefix("table of ")
        scale = 1e-5 if kind == "float32" else 1e-6 if kind in ("bit extraction", "single network") else 1e-12
        assert torch.allclose(found.double(), y[row : row + 1].double(), rtol=scale, atol=scale), row


@pytest.mark.law
@pytest.mark.exact
@pytest.mark.parametrize("name", ALL)
def test_an_answer_does_not_depend_on_its_batch(name):
    model = made(name)
    x = points(model)
    whole = model(x)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(2))
    assert torch.equal(model(x[order]), whole[order])
    for row in range(0, len(x), 29):
        assert torch.equal(model(x[row : row + 1]), whole[row : row + 1])


@pytest.mark.law
@pytest.mark.exact
@pytest.mark.parametrize("name", [name for name in ALL if name != "stacked"])
@pytest.mark.parametrize("lazy", [False, True], ids=["eager", "lazy"])
def test_saving_and_loading_change_no_bit(name, lazy, tmp_path):
    model = made(name)
    if lazy and name in TABLES:
        with pytest.raises(ValueError, match="`lazy` must be False"):
            load(save(model, tmp_path / "model"), lazy=True)
        return
    x = points(model)
    again = load(save(model, tmp_path / "model"), lazy=lazy)
    assert again.lazy is lazy
    assert torch.equal(again(x), model(x))
    assert type(again) is type(model)
    assert again.num_leaves == model.num_leaves


@pytest.mark.law
@pytest.mark.exact
@pytest.mark.parametrize("name", BUILT)
def test_lazy_is_eager(name):
    eager, lazy = made(name), BUILT[name](lazy=True)
    x = points(eager)
    assert torch.equal(lazy(x), eager(x))
    assert lazy.statistics.queries == len(x)
    with pytest.raises(RuntimeError, match="no cache statistics"):
        eager.statistics  # noqa: B018


@pytest.mark.law
@pytest.mark.exact
@pytest.mark.parametrize("name", ALL)
def test_a_device_changes_no_bit(name, device):
    """There and back, with the same answers."""
    here = (BUILT | OTHERS)[name]()
    x = points(here)
    expected = here(x)
    there = here.to(device)
    found = there(x.to(device))
    assert found.device.type == device.type
    assert torch.equal(found.cpu(), expected)
    assert torch.equal(there.to("cpu")(x), expected)


@pytest.mark.law
@pytest.mark.parametrize("name", [name for name in ALL if name != "stacked"])
def test_counts_are_those_of_the_modules(name):
    model = made(name)
    expert = model.expert(0)
    assert model.active_parameters == sum(p.numel() for p in expert.parameters())
    assert model.total_parameters == model.num_leaves * model.active_parameters
    assert model.resident_bytes >= sum(p.nbytes for p in model.parameters())


@pytest.mark.law
@pytest.mark.parametrize("name", ALL)
def test_a_table_stands_for_experts_with_nodes_and_says_how_well(name):
    model = made(name)
    if name not in OURS:
        with pytest.raises(TypeError, match="`model` must be a MoMLP"):
            tabulate(model)
        return
    table, x = tabulate(model), points(model)
    own = getattr(model, "network", model)
    rounding = 1e-5 if "float32" in name else 1e-11
    assert float((table(x) - own(x)).abs().max()) <= table.slack + rounding
    assert table.slack <= rounding
    assert torch.equal(table.route(x), own.route(x))


def test_a_mixture_of_other_experts_is_certified_expert_by_expert():
    """A stacked mixture has no shared layer and no steep weights: its sup norm against 0, beside what points reach."""
    model = made("stacked")
    f = LipschitzFunction(lambda x: torch.zeros_like(x[:, :1]), n=2, lipschitz=1.0, domain=model.domain)
    reached = float(model(points(model)).detach().abs().max())
    c = certify_uniform_error(model, f, eps=100 * reached)
    assert c.status is Status.CERTIFIED
    assert c.method == "branch_and_bound"
    assert c.upper >= c.lower > 0
    assert c.upper >= reached - c.slack
    assert certify_uniform_error(model, f, eps=reached / 100).status is Status.REFUTED
