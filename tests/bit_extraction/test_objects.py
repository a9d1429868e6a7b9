"""Bit-extraction experts: worked examples, laws of rounding and order, models eager, lazy and stored, bad input."""

import itertools
import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from constructions import (
    BitExtractionMoMLP,
    LipschitzFunction,
    Modulus,
    ModulusViolation,
    StoreError,
    build_momlp,
    load,
    plan,
    save,
    targets,
)
from constructions.bit_extraction import Design, layers_of, plain_network, step_values, table_of, word_cap, words_of
from constructions.bit_extraction.choice import choose
from constructions.bit_extraction.counts import parameters, runs
from constructions.bit_extraction.decode import steps_of, words_in
from constructions.bit_extraction.design import header_bits
from constructions.bit_extraction.snake import cell_address, exponents, snake


def on_grid(f, design, step):
    """Steps, words and the plain network of f (torch, on [0,1]^k) for a design."""
    k, cells = design.k, design.cells
    axis = torch.arange(cells + 1, dtype=torch.float64) / cells
    grid = torch.cartesian_prod(*[axis] * k).reshape(-1, k)
    y, offset = step_values(f(grid).reshape(1, *[cells + 1] * k), step, design)
    words = words_of(y, design)
    return y[0], float(offset), words[0], network(design, table_of(words, design)[0], step, float(offset))


def network(design, table, step, offset=0.0):
    k = design.k
    return plain_network(layers_of(design, k, tuple(range(k)), (0.0,) * k, (1.0,) * k, step), table, offset)


def counted(net):
    return sum(p.numel() for p in net.parameters()), sum(int((p != 0).sum()) for p in net.parameters())


def test_first_worked_example():
    """n = 1, J = 1, m = 3, H = 4, deep: values, words, widths, P = 894 and nine outputs."""
    y, offset, words, net = on_grid(lambda x: (x[:, 0] - 1 / 3).abs(), Design(1, 1, 3, 4), 1 / 11)
    assert y.tolist() == [4, 3, 2, 1, 0, 1, 2, 3, 4, 5, 6, 7]
    assert offset == pytest.approx(1 / 33)
    assert words.flatten().tolist() == [50, 50, 53, 33]
    widths = [1, 1, 2, 2, 2, 4, 3, 5, 5, 7, 6, 7, 5, 6, 5, 6, 5, 5, 4, 3]
    widths += [3, 3, 3, 4, 3, 5, 5, 7, 5, 6, 4, 5, 4, 5, 4, 4, 3, 2]
    assert [part.out_features for part in net if isinstance(part, nn.Linear)][:-1] == widths
    assert counted(net) == (894, 272)
    z = torch.tensor([0, 1, 2.5, 3.25, 5, 5.5, 6.75, 10.5, 11], dtype=torch.float64)
    steps = (net(z[:, None] / 11)[:, 0] - offset) * 11
    assert steps.tolist() == pytest.approx([4, 3, 1.5, 0.75, 1, 1.5, 2.75, 6.5, 7], abs=1e-12)


@pytest.mark.parametrize(
    ("lookup", "count", "nonzero", "depth"), [("deep", 10729, 1997, 158), ("wide", 10571, 1955, 150)]
)
def test_second_worked_example(lookup, count, nonzero, depth):
    """n = 2, J = 1, m = 3, H = 5: the words of all classes and seven outputs."""
    _y, offset, words, net = on_grid(
        lambda x: (x[:, 0] - 2 / 7).abs() / 2 + 4 * (x[:, 1] - 2 / 5).abs() / 5, Design(2, 1, 3, 5, 1, lookup), 1 / 11
    )
    assert offset == pytest.approx(137 / 3850)
    assert words.reshape(4, 4).tolist() == [
        [3298, 5826, 7394, 3426],
        [5541, 7395, 5729, 7329],
        [7395, 5537, 5829, 1923],
        [3302, 1732, 3396, 1666],
    ]
    assert counted(net) == (count, nonzero)
    assert len([part for part in net if isinstance(part, nn.Linear)]) - 1 == depth
    z = torch.tensor([(0, 0), (2.5, 3.25), (5.5, 0.375), (7.75, 5.125), (4, 10.75), (11, 11), (3.5, 9.5)])
    steps = (net(z.double() / 11)[:, 0] - offset) * 11
    assert steps.tolist() == pytest.approx([4, 0.25, 4.125, 2.875, 4.75, 8, 4], abs=1e-12)


# --- laws -----------------------------------------------------------------------------------------------


@pytest.mark.law
@settings(max_examples=50, deadline=None)
@given(
    start=st.floats(0, 20),
    moves=st.lists(st.floats(-1, 1), min_size=23, max_size=23),
)
def test_parity_rounding(start, moves):
    """Whatever F with steps of at most 1: y has the parity of the node, is within 1 of F, neighbours differ by 1."""
    walk = torch.tensor([start, *moves], dtype=torch.float64).cumsum(0)
    values = (walk - walk.min())[None]
    y, _ = step_values(values, 1 + 1e-9, Design(1, 2, 3, 6))
    assert torch.equal(y[0] % 2, torch.arange(24) % 2)
    assert bool(((y - values / (1 + 1e-9)).abs() <= 1 + 1e-12).all())
    assert bool((y.diff().abs() == 1).all())


@pytest.mark.parametrize(("m", "axes"), [(3, 1), (3, 2), (5, 2), (3, 3)])
def test_the_snake_visits_every_node_by_unit_steps(m, axes):
    path = snake(m, axes)
    assert path[0] == (1,) * axes
    assert len(set(path)) == m**axes
    assert all(sum(abs(a - b) for a, b in zip(u, v, strict=True)) == 1 for u, v in itertools.pairwise(path))


@pytest.mark.parametrize("J", [1, 2, 5])
def test_cell_addresses_are_a_gray_code(J):
    addresses = [cell_address(c, J) for c in range(2**J)]
    assert sorted(addresses) == list(range(2**J))
    assert all((a ^ b).bit_count() == 1 for a, b in itertools.pairwise(addresses))


@pytest.mark.parametrize("lookup", ["deep", "wide"])
def test_the_planner_is_no_dearer_than_its_neighbours_and_keeps_the_cap(lookup):
    for k, cells in ((1, 100), (1, 5000), (2, 60), (3, 20)):
        best = choose(k, cells, lookup=lookup, cap=51)
        assert best.cells >= cells
        assert best.word_bits <= 51
        assert sum(best.lengths) == best.bits == len(exponents(best))
        for J in range(8):
            m = max(3, -(-(cells + 1) // 2 ** (J + 1)))
            m += 1 - m % 2
            header = header_bits(k, 2 ** (J + 1) * m - 1)
            words = -(-(m**k - 1 + header) // 51)
            try:
                other = Design(k, J, m, header, words, lookup)
            except ValueError:
                continue
            if words <= 64:
                assert parameters(best, k) <= parameters(other, k)


def test_counts_without_building_equal_the_layers():
    for d in (Design(1, 5, 7, 9, 2, "wide"), Design(2, 2, 3, 7, 3, "deep"), Design(3, 1, 3, 6)):
        layers = layers_of(d, d.k, tuple(range(d.k)), (0.0,) * d.k, (1.0,) * d.k, 0.25)
        assert [w for w, count in runs(d) for _ in range(count)] == [len(layer.weight) for layer in layers[:-1]]
        assert parameters(d, d.k) == sum(layer.weight.numel() + layer.bias.numel() for layer in layers)


# --- models ---------------------------------------------------------------------------------------------


def adversarial(model, count=3000, seed=0):
    """Random points, nodes, quarter points and points beside fold centres on the resolved axes."""
    p, generator = model.plan, torch.Generator().manual_seed(seed)
    x = p.domain.sample(count, generator)
    cells = p.network.cells
    for a in p.axes:
        z = torch.randint(-1, 4 * cells + 2, (count,), generator=generator).double() / 4
        nudges = torch.tensor([0.0, 1e-13, -1e-13, 1e-9, -1e-9, 1e-3], dtype=torch.float64)
        z = z + nudges[torch.randint(len(nudges), (count,), generator=generator)]
        t = p.domain.lo[a] + z.clamp(0, cells) * (float(p.domain.sides[a]) / cells)
        snapped = torch.rand(count, generator=generator) < 0.7
        x[:, a] = torch.where(snapped, t, x[:, a])
    lo, hi = p.domain.tensors()
    return torch.minimum(torch.maximum(x, lo), hi)


@pytest.mark.parametrize(
    ("n", "resolved", "lookup", "eps"),
    [
        (1, 1, "deep", 1e-3),
        (1, 1, "wide", 1e-4),
        (2, 1, "deep", 0.05),
        (2, 2, "wide", 0.05),
        (3, 1, "wide", 0.1),
        (3, 2, "deep", 0.4),
    ],
)
@pytest.mark.parametrize("name", ["cone", "sum_of_sines", "max_affine"])
def test_error_stays_below_the_guarantee(n, resolved, lookup, eps, name):
    f = targets.get(name, n=n)
    model = build_momlp(f, eps=eps, expert="bit_extraction", resolved=resolved, lookup=lookup)
    assert isinstance(model, BitExtractionMoMLP)
    x = adversarial(model)
    error = float((model(x) - f.evaluate(x)).abs().max())
    assert error <= model.plan.error_bound * (1 + 1e-9) <= eps * (1 + 1e-9)
    assert model.active_parameters == model.plan.parameters
    assert model.total_parameters == model.plan.total_parameters


def test_experts_lazy_models_and_stored_models_agree(tmp_path):
    f = targets.get("cone", n=3)
    options = {"eps": 0.1, "expert": "bit_extraction", "lookup": "wide"}
    eager, lazy = build_momlp(f, **options), build_momlp(f, lazy=True, cache_bytes=1 << 12, **options)
    x = f.domain.sample(800, torch.Generator().manual_seed(0))
    y = eager(x)
    assert torch.allclose(lazy(x), y, rtol=0, atol=1e-13)
    assert lazy.statistics.evicted > 0
    leaf = eager.route(x)
    for row in range(0, 800, 97):
        assert torch.allclose(eager.expert(leaf[row])(x[row : row + 1]), y[row : row + 1], rtol=0, atol=1e-13)
    path = save(eager, tmp_path / "model.safetensors")
    assert torch.equal(load(path)(x), y)
    assert torch.allclose(load(path, lazy=True)(x), y, rtol=0, atol=1e-13)
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 4
    path.write_bytes(raw)
    with pytest.raises(StoreError):
        load(path)
    assert eager.plan.stored_parameters == sum(p.numel() for p in eager.parameters())


def test_a_lazy_model_of_a_formula_is_stored_as_its_plan(tmp_path):
    f = LipschitzFunction.from_sympy("sin(x0)*x1", n=2)
    model = build_momlp(f, eps=0.2, expert="bit_extraction", lazy=True)
    x = f.domain.sample(50, torch.Generator().manual_seed(0))
    again = load(save(model, tmp_path / "plan.safetensors"))
    assert torch.equal(again(x), model(x))
    assert again.plan == model.plan


def test_two_outputs_are_two_networks_side_by_side():
    f = LipschitzFunction.from_sympy("sin(2*pi*x0)*x1, x0*x1", n=2)
    model = build_momlp(f, eps=0.3, expert="bit_extraction")
    x = adversarial(model, 500)
    error = (model(x) - f.evaluate(x)).abs().max()
    assert float(error) <= 0.3
    leaf = model.route(x[:1])[0]
    assert torch.allclose(model.expert(leaf)(x[:1]), model(x[:1]), rtol=0, atol=1e-12)
    assert model.active_parameters == model.plan.parameters


def test_boxes_and_hoelder_moduli():
    f = LipschitzFunction.from_sympy("sqrt(x0 - 1)", n=1, domain=[(1.0, 3.0)], modulus=Modulus.holder(1.0, 0.5))
    model = build_momlp(f, eps=0.1, expert="bit_extraction", lookup="wide")
    x = adversarial(model)
    assert float((model(x) - f.evaluate(x)).abs().max()) <= model.plan.error_bound <= 0.1
    g = LipschitzFunction.from_sympy("x0*x1", n=2, domain=[(0.25, 0.375), (-1.0, 4.0)])
    model = build_momlp(g, eps=0.2, expert="bit_extraction", resolved=2, lookup="wide")
    x = adversarial(model)
    assert float((model(x) - g.evaluate(x)).abs().max()) <= model.plan.error_bound <= 0.2


def test_the_network_is_clamped_outside_its_box():
    f = targets.get("cone", n=2)
    model = build_momlp(f, eps=0.1, expert="bit_extraction", resolved=2)
    net = model.expert(0)
    x = torch.rand(500, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 4 - 1.5
    assert torch.allclose(net(x), net(x.clamp(0, 1)), rtol=0, atol=1e-12)


def test_vmap_and_export_see_a_plain_network():
    f = targets.get("cone", n=2)
    model = build_momlp(f, eps=0.2, expert="bit_extraction")
    x = f.domain.sample(20, torch.Generator().manual_seed(0))
    mapped = torch.func.vmap(lambda p: model(p[None])[0])(x)
    assert torch.allclose(mapped, model(x), rtol=0, atol=1e-13)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Design(1, 1, 4, 4), "`m` must be odd"),
        (lambda: Design(1, 1, 3, 4, 5), "leave none for the last"),
        (lambda: Design(1, 1, 3, 4, 1, "tall"), "`lookup`"),
        (lambda: plan(targets.get("cone", n=2), 0.1, expert="bit_extraction", resolved=3), "`resolved`"),
        (
            lambda: plan(targets.get("cone", n=2), 0.1, expert="bit_extraction", dtype=torch.float32),
            "`dtype`|`activation`",
        ),
        (lambda: plan(targets.get("cone", n=2), 0.1, expert="bit_extraction", split=1.5), "`split`"),
        (lambda: plan(targets.get("cone", n=2), 0.1, expert="pencil", lookup="deep"), "`lookup` belongs"),
        (lambda: plan(targets.get("cone", n=2), -1, expert="bit_extraction"), "`eps`"),
        (lambda: plan(targets.get("cone", n=2), 0.1, expert="bit_extraction", resolved=2, split=0.5), "no router"),
        (lambda: plan(LipschitzFunction.from_sympy("x0*0 + 1", n=1), 0.1, expert="bit_extraction"), "constant"),
    ],
)
def test_bad_input_is_named(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_lying_constants_and_nan_are_caught():
    f = LipschitzFunction(lambda x: torch.sin(5 * x[:, :1] + 3 * x[:, 1:]), n=2, lipschitz=4.0)
    for resolved in (1, 2):
        with pytest.raises(ModulusViolation, match="modulus"):
            build_momlp(f, eps=0.5, expert="bit_extraction", resolved=resolved, lookup="wide")
    nan = LipschitzFunction(lambda x: x[:, :1] / 0 * 0, n=1, lipschitz=1.0)
    with pytest.raises(ValueError, match=r"finite|NaN|nan"):
        build_momlp(nan, eps=0.5, expert="bit_extraction")


def test_casts_that_would_break_words_are_refused():
    model = build_momlp(targets.get("cone", n=1), eps=0.1, expert="bit_extraction")
    for cast in (lambda: model.float(), lambda: model.to(torch.bfloat16)):
        with pytest.raises(RuntimeError, match="float64"):
            cast()
    assert model.double() is model


def test_word_caps():
    assert (word_cap("deep"), word_cap("wide")) == (51, 52)
    assert (word_cap("deep", torch.float32), word_cap("wide", torch.float32)) == (22, 23)


def test_the_split_trades_experts_for_their_size():
    f = targets.get("cone", n=3)
    small = plan(f, 0.05, expert="bit_extraction", split=Fraction(3, 4))
    large = plan(f, 0.05, expert="bit_extraction", split=Fraction(1, 4))
    assert small.leaves > large.leaves
    assert small.parameters <= large.parameters
    assert math.isclose(float(plan(f, 0.05, expert="bit_extraction").split), 1 / 3)


@pytest.mark.exact
@pytest.mark.parametrize("lookup", ["deep", "wide"])
@pytest.mark.parametrize(("k", "cells"), [(1, 5), (1, 200), (2, 11), (2, 40), (3, 11)])
def test_words_are_decoded_to_the_steps_that_they_were_made_of(k, cells, lookup):
    design = choose(k, cells, lookup=lookup)
    axes = torch.meshgrid(*[torch.arange(design.cells + 1)] * k, indexing="ij")
    # |v − c|₁ has neighbours one step apart, and the parity of v where c's is even
    y = torch.stack([sum((a - 2 * (e + 1)).abs() for a in axes) for e in range(3)])
    words = words_of(y, design)
    table = table_of(words, design)
    assert torch.equal(words_in(table, design), words)
    assert torch.equal(steps_of(words, design), y)
    table[1, 0] += 0.5
    with pytest.raises(ValueError, match="words"):
        words_in(table, design)
