"""Experts answered by compiled loops: torch's bits for any weights, torch's way where more than numbers is asked."""

import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.autograd import forward_ad

from constructions import build_momlp, load, save, targets
from constructions.fixed_order import affine, total
from constructions.momlp import pencil_kernel
from constructions.pathway_tree.lattice import Lattice

pytest.importorskip("numba")

INF, NAN = float("inf"), float("nan")
AWKWARD = [0.0, -0.0, 1.0, -1.0, 5e-324, -5e-324, 2e-308, 1e-45, 1e308, -1e308, 3e38, 0.1, 1 / 3, INF, -INF, NAN]


def same_bits(a, b):
    """Equal numbers, zeros with their signs, NaN where NaN is."""
    nan = a.isnan()
    whole = {torch.float64: torch.int64, torch.float32: torch.int32}[a.dtype]
    return (
        a.dtype == b.dtype
        and a.shape == b.shape
        and torch.equal(nan, b.isnan())
        and torch.equal(a.masked_fill(nan, 0).view(whole), b.masked_fill(nan, 0).view(whole))
    )


def by_torch(x, at, rows, layer, slope):
    """What a mixture of pencils is, in torch's operations of one fixed order."""
    weight, bias = rows
    axes = (layer[0] != 0).any(0).nonzero()[:, 0]
    hidden = affine(x[:, axes].to(bias.dtype), layer[0][:, axes], layer[1])
    hidden = hidden.relu() if slope is None else torch.where(hidden > 0, hidden, slope * hidden)
    return total(hidden[:, None, :] * weight[at]) + bias[at]


def example(seed, *, points, experts, n, m, knots, prelu, awkward, dtype, x_dtype=torch.float64, axes=1):
    """Points, experts and a first layer that looks at `axes`, the rows being columns of an arena."""
    g = torch.Generator().manual_seed(seed)

    def some(*shape):
        values = torch.randn(*shape, generator=g, dtype=torch.float64)
        if awkward:
            pick = torch.tensor(AWKWARD, dtype=torch.float64)[torch.randint(0, len(AWKWARD), shape, generator=g)]
            values = torch.where(torch.rand(*shape, generator=g) < 0.3, pick, values)
        return values.to(dtype)

    arena = some(experts, m * knots + m + 3)
    rows = arena[:, : m * knots].view(experts, m, knots), arena[:, m * knots : m * knots + m]
    weight = torch.zeros(knots, n, dtype=dtype)
    weight[:, :axes] = some(knots, axes)
    weight[0, :axes] = 1
    x = torch.randn(points, n, generator=g, dtype=torch.float64).to(x_dtype)
    return (
        x,
        torch.randint(0, experts, (points,), generator=g),
        rows,
        (weight, some(knots)),
        some(knots) if prelu else None,
    )


shapes = st.fixed_dictionaries(
    {
        "points": st.integers(1, 20),
        "experts": st.integers(1, 5),
        "n": st.integers(1, 4),
        "m": st.integers(1, 3),
        "knots": st.integers(1, 40),
        "prelu": st.booleans(),
        "awkward": st.booleans(),
        "dtype": st.sampled_from([torch.float64, torch.float32]),
        "x_dtype": st.sampled_from([torch.float64, torch.float32]),
    }
)


@given(seed=st.integers(0, 10**6), shape=shapes, axes=st.integers(1, 4), threads=st.integers(1, 3))
def test_the_same_bits_as_torch_for_any_weights(seed, shape, axes, threads):
    call = example(seed, **shape, axes=min(axes, shape["n"]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pencil_kernel, "LEAST_NUMBERS", 64)
        patch.setattr(torch, "get_num_threads", lambda: threads)
        y = pencil_kernel.run(*call)
    assert y is not None
    assert same_bits(y, by_torch(*call))


def test_widths_of_every_kind():
    """Odd rests at any step of the sum, and more than one of them."""
    for knots in [*range(1, 70), 127, 128, 145, 708, 1023]:
        shape = {"points": 3, "experts": 2, "n": 2, "m": 2, "knots": knots, "prelu": False, "awkward": False}
        call = example(knots, **shape, dtype=torch.float64)
        assert same_bits(pencil_kernel.run(*call), by_torch(*call)), knots


def test_negative_control_another_order_or_a_fused_product_has_other_bits():
    x, at, rows, layer, _ = example(
        0, points=50, experts=3, n=1, m=1, knots=37, prelu=False, awkward=False, dtype=torch.float64
    )
    y = pencil_kernel.run(x, at, rows, layer, None)
    hidden = affine(x, *layer).relu()
    in_a_row = (hidden * rows[0][at, 0]).cumsum(-1)[:, -1:] + rows[1][at]
    fused = [
        [float(max(Fraction(0), Fraction(v) * Fraction(w) + Fraction(b))) for w, b in zip(*layer_rows, strict=True)]
        for v, layer_rows in zip(x[:, 0].tolist(), [(layer[0][:, 0].tolist(), layer[1].tolist())] * len(x), strict=True)
    ]
    once = total(torch.tensor(fused, dtype=torch.float64)[:, None, :] * rows[0][at]) + rows[1][at]
    for other in (in_a_row, once):
        assert torch.allclose(other, y)
        assert not same_bits(other, y)


CASES = {
    "pencil": (("sum_of_sines", 3), {"eps": 0.1}),
    "n = 1": (("cone", 1), {"eps": 0.02}),
    "prelu": (("vector_rotation", 2), {"eps": 0.1, "activation": "prelu"}),
    "float32": (("vector_rotation", 2), {"eps": 0.1, "dtype": torch.float32}),
    "constant": (("cone", 2), {"eps": 0.1, "expert": "constant"}),
    "formula": (("sum_of_sines", 2), {"eps": 0.1, "lazy": True}),
}
ALL = pytest.mark.parametrize("name", CASES)


def network(name):
    (target, n), options = CASES[name]
    return build_momlp(targets.get(target, n=n), **options)


def awkward_points(model):
    """All over the domain, on its faces and those of cells, and their neighbours."""
    lo, hi = model.domain.tensors()
    x = model.domain.sample(400, torch.Generator().manual_seed(0))
    faces = x.clone()
    q = model.lattice.q
    faces[:, :q] = model.lattice.faces(model.route(x))[0]
    near = [torch.nextafter(faces, torch.full_like(faces, end)) for end in (-INF, INF)]
    return torch.cat([x, faces, *near, lo[None], hi[None]]).clamp(lo, hi)


def without_loops(patch):
    for module in (pencil_kernel, sys.modules["constructions.pathway_tree.lattice"]):
        patch.setattr(module, "worth", lambda numbers: False)


@ALL
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_models_answer_as_they_do_without_loops(name, dtype, monkeypatch, tmp_path):
    model = network(name)
    x = awkward_points(model)
    x = x if dtype == torch.float64 else x.float().clamp(*(t.float() for t in model.domain.tensors()))
    y = model(x)
    stored = save(network(name) if name != "formula" else model, tmp_path / "m")
    lazy = load(stored, lazy=True, budget_bytes=max(30_000, model.resident_bytes // 2))
    parts = [lazy(part) for part in x.split(150)]
    without_loops(monkeypatch)
    assert same_bits(model(x), y)
    assert same_bits(torch.cat(parts), y)


@ALL
def test_leaves_are_those_of_the_lattice(name):
    model = network(name)
    x = awkward_points(model)
    assert torch.equal(model.lattice.leaf_numbers(x), model.tree.flat_index(model.route(x)))
    strided = torch.cat([x, x], 1)[:, : model.n]
    assert torch.equal(model.lattice.leaf_numbers(strided), model.tree.flat_index(model.route(x)))
    for bad in (NAN, INF, -INF, 1e9, float(np.nextafter(model.domain.hi[-1], 1e9))):
        x[17, -1] = bad
        assert model.lattice.leaf_numbers(x) is None
        with pytest.raises(ValueError, match="row 17 is"):
            model(x)


def test_lattices_with_more_cells_than_float64_counts_are_left_to_torch():
    domain = network("pencil").domain
    x = domain.sample(5, torch.Generator().manual_seed(0))
    assert Lattice(domain, (1 << 25, 1 << 27), 0).leaf_numbers(x) is not None
    assert Lattice(domain, (1 << 27, 1 << 27), 0).leaf_numbers(x) is None
    assert Lattice(domain, (), 0).leaf_numbers(x).tolist() == [0] * 5


def test_rows_that_lie_otherwise_and_places_that_are_none_are_left_to_torch():
    shape = {"points": 9, "experts": 4, "n": 2, "m": 2, "knots": 6, "prelu": False, "awkward": False}
    x, at, (weight, bias), layer, _ = example(1, **shape, dtype=torch.float64)
    torn = weight.transpose(1, 2).contiguous().transpose(1, 2)
    every_other = torch.stack([bias, bias], -1)[..., 0]
    everything = (x, at, (weight, bias), layer, None)
    assert same_bits(pencil_kernel.run(*everything), by_torch(*everything))
    assert pencil_kernel.run(x, at, (torn, bias), layer, None) is None
    assert pencil_kernel.run(x, at, (weight, every_other), layer, None) is None
    assert pencil_kernel.run(x.half(), at, (weight, bias), layer, None) is None
    assert pencil_kernel.run(x, at, (weight.float(), bias), layer, None) is None
    assert pencil_kernel.run(x[:0], at[:0], (weight, bias), layer, None) is None
    assert pencil_kernel.run(x, at, (weight, bias), (torch.zeros_like(layer[0]), layer[1]), None) is None
    for short in (layer[0][:5], layer[0][:, :1]):
        assert pencil_kernel.run(x, at, (weight, bias), (short, layer[1]), None) is None
    for other in ((x[1:], (weight, bias), layer, None), (x, (weight[1:], bias), layer, None)):
        assert pencil_kernel.run(other[0], at, *other[1:]) is None
    assert pencil_kernel.run(x, at, (weight, bias), layer, layer[1][:5]) is None
    assert pencil_kernel.run(x, at, (weight, bias), (layer[0], layer[1][:5]), None) is None
    for wrong in (-1, 4):
        assert pencil_kernel.run(x, torch.full_like(at, wrong), (weight, bias), layer, None) is None


@pytest.mark.parametrize("name", ["pencil", "prelu"])
def test_derivatives_and_transforms_take_torch_s_way(name, monkeypatch):
    model = network(name)
    x = model.domain.sample(20, torch.Generator().manual_seed(0))
    weights = dict(model.named_parameters())
    more = {key: torch.stack([value, 2 * value]) for key, value in weights.items() if key.startswith("out")}

    def answers():
        wanted = x.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(model(wanted).sum(), wanted)
        model.out_weight.requires_grad_()
        (by_weights,) = torch.autograd.grad(model(x).sum(), model.out_weight)
        model.out_weight.requires_grad_(False)
        with forward_ad.dual_level():
            tangent = forward_ad.unpack_dual(model(forward_ad.make_dual(x, torch.ones_like(x)))).tangent
        several = torch.func.vmap(lambda w: torch.func.functional_call(model, w, (x,)))(more)
        alone = torch.func.vmap(lambda one: model(one[None])[0])(x)
        pushed = torch.func.jvp(model, (x,), (torch.ones_like(x),))
        pulled = torch.func.grad(lambda one: model(one).sum())(x)
        return [
            gradient,
            by_weights,
            tangent,
            several,
            alone,
            *pushed,
            pulled,
            torch.compile(model, backend="eager")(x),
        ]

    found = answers()
    without_loops(monkeypatch)
    for one, other in zip(found, answers(), strict=True):
        assert same_bits(one, other)
    assert bool(found[0].any())
    assert bool(found[2].any())


def test_weights_that_were_altered_or_moved_are_those_that_answer(monkeypatch):
    model = network("pencil")
    x = model.domain.sample(50, torch.Generator().manual_seed(0))
    before = model(x)
    with torch.no_grad():
        model.out_bias += 1
    assert torch.allclose(model(x), before + 1)
    assert model.float()(x).dtype == torch.float32
    model.hidden_bias.data = model.hidden_bias.data.double()
    mixed = model(x)
    without_loops(monkeypatch)
    assert same_bits(model(x), mixed)


def test_few_points_do_not_import_numba():
    script = """
import sys, torch
from constructions import build_momlp, targets
model = build_momlp(targets.get("sum_of_sines", n=2), eps=0.05)
model(torch.rand(50, 2, dtype=torch.float64))
print("numba" in sys.modules)
model(torch.rand(1 << 17, 2, dtype=torch.float64))
print("numba" in sys.modules)
"""
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert found.split() == ["False", "True"]
