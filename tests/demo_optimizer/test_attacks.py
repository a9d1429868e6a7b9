"""Attacks on DeMo and its instruments: each test rejects a change of one operator or number that others let pass."""

from __future__ import annotations

import copy
import math
import re
from fractions import Fraction

import numpy as np
import pytest
import torch
from scipy.fft import dct

from constructions.demo_optimizer import (
    DeMo,
    GradientRefused,
    OptionsDiffer,
    SimulatedDeMo,
    basis,
    compress,
    decompress,
    random_orthogonal_matrix,
)
from constructions.demo_optimizer.agreement import digests
from constructions.demo_optimizer.coding import decode, zero_tolerance
from constructions.demo_optimizer.plan import options_digest
from tests.demo_optimizer.workers import on_ranks
from theory.demo_optimizer import bounds
from theory.demo_optimizer.checkers.descent import WITNESS, enclosed_step, row
from theory.demo_optimizer.checkers.messages import sent_entries
from theory.demo_optimizer.checkers.quadratics import Run, rational, settles, starves
from theory.demo_optimizer.checkers.rationals import ExactDeMo, identity
from theory.demo_optimizer.checkers.slow import largest_entries
from theory.demo_optimizer.reproductions.quadratics import STARVING

DOUBLE = torch.float64


def normal(*shape, seed=0, dtype=DOUBLE):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE).to(dtype)


def parameter(*shape, seed=0, dtype=DOUBLE):
    return torch.nn.Parameter(normal(*shape, seed=seed, dtype=dtype))


def steps(params, optimizer, count, start=0):
    for t in range(start, start + count):
        for i, p in enumerate(params):
            p.grad = normal(*p.shape, seed=100 * t + i, dtype=p.dtype)
        optimizer.step()


# --- groups --------------------------------------------------------------------------------------------------

UNLIKE = [
    {"lr": 0.1, "decay": 0.9, "topk": 2, "weight_decay": 0.1, "transform": "random_orthogonal", "seed": 1},
    {"lr": 0.3, "decay": 0.5, "topk": 3, "weight_decay": 0.3, "transform": "random_orthogonal", "seed": 2},
]


def test_groups_of_one_optimizer_are_optimizers_of_their_own():
    together = [[parameter(8, 8, seed=g), parameter(6, seed=9)] for g in range(2)]
    whole = DeMo([{"params": ps, **options} for ps, options in zip(together, UNLIKE, strict=True)])
    steps([p for ps in together for p in ps], whole, 4)
    for g, options in enumerate(UNLIKE):
        alone = [parameter(8, 8, seed=g), parameter(6, seed=9)]
        single = DeMo(alone, **options)
        for t in range(4):
            for i, p in enumerate(alone):
                p.grad = normal(*p.shape, seed=100 * t + 2 * g + i)
            single.step()
        for ours, theirs in zip(together[g], alone, strict=True):
            assert torch.equal(ours, theirs)
            assert torch.equal(whole.state[ours]["residual"], single.state[theirs]["residual"])


def test_dtypes_side_by_side_do_not_meet():
    kinds = (torch.float64, torch.float32, torch.bfloat16)
    together, alone = [[parameter(8, 8, dtype=kind) for kind in kinds] for _ in range(2)]
    steps(together, DeMo(together, 0.1, topk=2), 3)
    for i, p in enumerate(alone):
        single = DeMo([p], 0.1, topk=2)
        for t in range(3):
            p.grad = normal(8, 8, seed=100 * t + i, dtype=p.dtype)
            single.step()
    for a, b in zip(together, alone, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(
    ("key", "value"), [("topk", 5), ("chunk", 4), ("transform", "identity"), ("seed", 7), ("decay", 0.1)]
)
def test_an_option_may_change_between_steps(key, value):
    first = {"lr": 0.1, "decay": 0.9, "topk": 2, "transform": "random_orthogonal"}
    p, q = parameter(8, 8), parameter(8, 8)
    changed, kept = DeMo([p], **first), DeMo([q], **first)
    steps([p], changed, 2)
    steps([q], kept, 2)
    changed.param_groups[0][key] = value
    other = DeMo([q], **(first | {key: value}))
    other.load_state_dict(copy.deepcopy(kept.state_dict()))
    other.param_groups[0][key] = value
    steps([p], changed, 2, start=2)
    steps([q], other, 2, start=2)
    assert torch.equal(p, q)
    before = q.detach().clone()
    steps([q], kept, 1, start=4)
    assert not torch.equal(q, before)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("lr", -1.0, "`lr` must be a non-negative finite number, got -1.0"),
        ("lr", math.nan, "`lr` must be a non-negative finite number, got nan"),
        ("decay", 2.0, "`decay` must be between 0 and 1, got 2.0"),
        ("weight_decay", math.nan, "`weight_decay` must be a non-negative finite number, got nan"),
        ("topk", 0, "`topk` must be an integer at least 1, got 0"),
    ],
)
def test_an_option_that_became_wrong_is_found_before_anything_moves(key, value, said):
    p = parameter(8, 8)
    optimizer = DeMo([p], topk=2)
    steps([p], optimizer, 1)
    before = p.detach().clone()
    optimizer.param_groups[0][key] = value
    with pytest.raises(ValueError, match=re.escape(said)):
        steps([p], optimizer, 1)
    assert torch.equal(p, before)
    state = copy.deepcopy(DeMo([parameter(8, 8)]).state_dict())
    state["param_groups"][0][key] = value
    with pytest.raises(ValueError, match=re.escape(said)):
        DeMo([parameter(8, 8)]).load_state_dict(state)


def wrong_on_one(rank, world, first):
    p = parameter(8, 8)
    optimizer = DeMo([p], topk=2)
    if not first:
        steps([p], optimizer, 1)
    if rank == 1:
        optimizer.param_groups[0]["topk"] = 0
    steps([p], optimizer, 1)


@pytest.mark.parametrize("first", [True, False])
def test_an_option_that_is_wrong_on_one_rank_leaves_none_waiting(first):
    answers = on_ranks(3, wrong_on_one, first)
    assert str(answers[1]) == "`topk` must be an integer at least 1, got 0"
    for other in (answers[0], answers[2]):
        assert isinstance(other, OptionsDiffer)
        assert "rank 1" in str(other)


def test_a_refused_group_is_not_kept():
    p = parameter(4)
    optimizer = DeMo([p])
    for wrong in (torch.zeros(3, dtype=torch.complex64), torch.zeros(3).to(torch.float8_e4m3fn)):
        with pytest.raises(TypeError, match="dense real floating tensors"):
            optimizer.add_param_group({"params": [wrong]})
    with pytest.raises(ValueError, match="`wire_dtype` must be the same for all groups"):
        optimizer.add_param_group({"params": [parameter(3)], "wire_dtype": torch.float16})
    assert len(optimizer.param_groups) == 1
    steps([p], optimizer, 1)


def test_what_differs_between_ranks_differs_in_the_head():
    group = {"lr": 0.1, "decay": 0.9, "weight_decay": 0.1}
    said = [options_digest([group], 1, None), options_digest([group], 2, None), options_digest([group], 1, 0.0)]
    said += [options_digest([group | {key: 0.2}], 1, None) for key in group]
    assert len(set(said)) == 6
    assert {len(s) for s in said} == {7}


# --- transforms, tolerances, digests -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("transform", "said"),
    [
        (torch.nn.Linear(3, 3), "`transform` must return a floating (12, 12) tensor for 12, it raised TypeError"),
        (lambda: 1, "`transform` must return a floating (12, 12) tensor for 12, it raised TypeError"),
        (np.eye, "`transform` must return a floating (12, 12) tensor for 12, got ndarray"),
        (lambda d: torch.eye(d).to_sparse(), "`transform` must return a floating (12, 12) tensor for 12, got ("),
        (lambda d: torch.eye(d, device="meta"), "`transform` must return a floating (12, 12) tensor for 12, got"),
        (lambda d: torch.eye(d) + 1e-3, "`transform` must return an orthogonal matrix for 12, T·Tᵀ is off by"),
        (np.zeros(3), "`transform` must be one of dct, identity, hadamard, random_orthogonal or a function, got array"),
    ],
)
def test_odd_transforms(transform, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        DeMo([parameter(12, 10)], transform=transform)
    with pytest.raises(ValueError, match="`transform` must"):
        compress(normal(12, 10), transform=transform)


@pytest.mark.parametrize("wire_dtype", [np.zeros(3), torch.zeros(3), "float32", np.float32])
def test_odd_wire_dtypes(wire_dtype):
    for make in (lambda w: DeMo([parameter(4)], wire_dtype=w), lambda w: compress(normal(4), wire_dtype=w)):
        with pytest.raises(ValueError, match=r"`wire_dtype` must be None or one of torch\.float16"):
            make(wire_dtype)


def test_bytes_are_no_chunk():
    with pytest.raises(ValueError, match="`chunk` must be an integer of at least 1 or"):
        DeMo([parameter(4)], chunk=b"ab")


def test_random_rotations_are_uniform_and_follow_the_seed():
    """Uniform: Q of the QR factors whose R has a positive diagonal."""
    a = torch.randn(6, 6, dtype=DOUBLE, generator=torch.Generator().manual_seed(3))
    assert bool(((random_orthogonal_matrix(6, 3).T @ a).diagonal() > 0).all())
    assert not torch.equal(random_orthogonal_matrix(6, 3), random_orthogonal_matrix(6, 4))
    x = normal(6, 6)
    again = decompress(compress(x, topk=36, transform="random_orthogonal", seed=5))
    torch.testing.assert_close(again, x, atol=1e-13, rtol=0)
    assert basis("dct", 6, 6).digest() != basis("random_orthogonal", 6, 6).digest()


def test_compression_rounds_to_what_is_sent():
    assert compress(normal(8), wire_dtype=torch.bfloat16).values.dtype == torch.bfloat16


def test_the_tolerance_is_of_each_chunk_and_may_be_given():
    turn = basis("dct", 1, 4)
    assert zero_tolerance(1, 4, DOUBLE, turn) == 16 * torch.finfo(DOUBLE).eps * 5
    places, values = [torch.zeros(2, 1, dtype=torch.long)], [torch.tensor([[1.0], [1e-20]], dtype=DOUBLE)]
    assert decode(places, values, turn, (1, 4), dtype=DOUBLE).abs().sum() == 8  # a small chunk beside a large one
    flat = [torch.arange(4)[None]]
    some = [turn.forward(torch.tensor([[[1.0, 0.1, 1e-3, -1e-15]]], dtype=DOUBLE)).flatten(1)]
    for tolerance, moved in ((None, 3), (0.0, 4), (1e-2, 2), (1.0, 0)):
        found = decode(flat, some, turn, (1, 4), dtype=DOUBLE, zero_tol=tolerance)
        assert int(found.abs().sum()) == moved, tolerance
    p = torch.nn.Parameter(torch.zeros(4, dtype=DOUBLE))
    SimulatedDeMo([p], 1, 1.0, zero_tol=0.05).step([[torch.tensor([1.0, 0.1, 1e-3, 0.0], dtype=DOUBLE)]])
    assert p.tolist() == [-1, -1, 0, 0]


def test_every_byte_is_in_the_digest():
    x = torch.ones(3)
    for at in range(12):
        other = x.clone()
        other.view(torch.uint8)[at] += 1
        assert not torch.equal(digests([x]), digests([other]))


# --- states --------------------------------------------------------------------------------------------------


def rotate(size):
    return random_orthogonal_matrix(size, 11)


def test_a_function_as_transform_is_brought_by_the_optimizer_that_loads(tmp_path):
    p = parameter(8, 8)
    optimizer = DeMo([p], 0.1, topk=2, transform=rotate)
    steps([p], optimizer, 2)
    torch.save([p.data, optimizer.state_dict()], tmp_path / "state.pt")
    values, state = torch.load(tmp_path / "state.pt", weights_only=True)
    q = torch.nn.Parameter(values)
    with pytest.raises(ValueError, match="`transform` must be the function that the saved optimiser had"):
        DeMo([q], 0.1, topk=2).load_state_dict(state)
    again = DeMo([q], 0.1, topk=2, transform=rotate)
    again.load_state_dict(state)
    steps([p], optimizer, 2, start=2)
    steps([q], again, 2, start=2)
    assert torch.equal(p, q)


def simulated_steps(p, optimizer, numbers):
    for t in numbers:
        optimizer.step([[normal(*p.shape, seed=10 * t + w)] for w in range(optimizer.workers)])


def test_simulated_workers_go_on_bit_by_bit_and_are_as_many():
    p = parameter(6, 4)
    optimizer = SimulatedDeMo([p], 3, 0.1, topk=2, transform=rotate)
    simulated_steps(p, optimizer, range(3))
    state, q = copy.deepcopy(optimizer.state_dict()), torch.nn.Parameter(p.detach().clone())
    assert state["param_groups"][0]["transform"] is None
    again = SimulatedDeMo([q], 3, 0.1, topk=2, transform=rotate)
    again.load_state_dict(state)
    for one, twin in ((p, optimizer), (q, again)):
        simulated_steps(one, twin, range(3, 5))
    assert torch.equal(p, q)
    for workers in (2, 4):
        with pytest.raises(ValueError, match=rf"got \(3, 6, 4\) for \({workers}, 6, 4\)"):
            SimulatedDeMo([q], workers, transform=rotate).load_state_dict(state)


@pytest.mark.parametrize(
    "state", [{}, {"state": {}}, {"state": 3, "param_groups": []}, {"state": {}, "param_groups": [3]}]
)
def test_states_that_are_none(state):
    for optimizer in (DeMo([parameter(3)]), SimulatedDeMo([parameter(3)], 1)):
        with pytest.raises(TypeError, match="`state_dict` must"):
            optimizer.load_state_dict(state | {"workers": {"rank": 0, "world": 1}})


def test_half_precision_residuals_that_would_overflow_change_nothing():
    p = torch.nn.Parameter(torch.zeros(2, dtype=torch.float16))
    optimizer = DeMo([p], 1.0, topk=1, decay=1.0, transform="identity")
    p.grad = torch.tensor([6e4, 5.9e4], dtype=torch.float16)
    optimizer.step()
    before, kept = p.detach().clone(), optimizer.state[p]["residual"].clone()
    assert kept.tolist() == [0, float(p.grad[1])]
    p.grad = torch.tensor([6.5e4, 5.9e4], dtype=torch.float16)
    p.grad[0] = -p.grad[0]
    optimizer.state[p]["residual"][0] = -60000
    kept = optimizer.state[p]["residual"].clone()
    with pytest.raises(GradientRefused, match="not finite"):
        optimizer.step()  # 59000 + 59000 would have to wait
    assert torch.equal(p, before)
    assert torch.equal(optimizer.state[p]["residual"], kept)


@pytest.mark.parametrize("gradients", [None, [None, None], 3, [[3], [None]], [[[1.0]], [None]]])
def test_gradients_that_are_no_tensors(gradients):
    with pytest.raises(TypeError, match="`gradients"):
        SimulatedDeMo([parameter(1)], 2).step(gradients)


def test_strides_do_not_matter():
    a, b = parameter(12, 10), torch.nn.Parameter(normal(12, 10).t().contiguous().t())
    for p in (a, b):
        steps([p], DeMo([p], 0.1, topk=3, chunk=4, weight_decay=0.1), 3)
    assert torch.equal(a, b)


# --- instruments ---------------------------------------------------------------------------------------------


def test_formulas_at_their_edges():
    assert bounds.packed_bytes([(16, 16)], 1, 4) == 5
    assert bounds.packed_bytes([(1, 257)], 1, 4, chunk=300) == 6
    assert bounds.ring_break_even(Fraction(85)) == 171  # at 170 both move as much
    assert [sum(math.prod(s) for s in bounds.public_shapes(d)) for d in (1024, 2048)] == [319946752, 1176764416]
    assert bounds.steps_needed(2, [Fraction(1), Fraction(-3, 4)], [Fraction(0)] * 2, Fraction(1, 2)) == 4


def test_ties_and_weight_decay_of_the_rational_twin():
    half = Fraction(1, 2)
    exact = ExactDeMo([Fraction(8), Fraction(8)], 1, identity(2), k=1, beta=half)
    step = exact.step([[Fraction(-1), Fraction(1)]], half, Fraction(1, 4))
    assert step.tied
    assert step.places == [[0]]
    assert exact.p == [7 + half, 7]
    assert not exact.step([[Fraction(0), Fraction(1)]], half).tied
    assert largest_entries(np.array([1.0, -1.0, 1.0]), 2).tolist() == [0, 1]


def test_messages_that_name_a_place_twice_or_go_on():
    p = torch.zeros(4, 4, requires_grad=True)
    ours = SimulatedDeMo([p], 1, topk=2)
    ours.step([[normal(4, 4, dtype=torch.float32)]])
    message = ours.messages[0].numpy().copy()
    assert np.isfinite(sent_entries(message, (4, 4), 2, 4)).all()
    for places in ((3, 3), (3, 16)):
        message[-2:] = places
        with pytest.raises(ValueError, match="places of the chunk, each once"):
            sent_entries(message, (4, 4), 2, 4)
    with pytest.raises(ValueError, match="must be 18 bytes, got 19"):
        sent_entries(np.append(message, np.uint8(0)), (4, 4), 2, 4)


def seen(*points, sent=(1,)):
    return Run([tuple(sent)] * (len(points) - 1), [tuple(map(rational, p)) for p in points])


def test_who_leaves_again_has_not_settled():
    inside, outside = (0, Fraction(1, 20)), (50, 0)  # A·η is 40
    assert settles(STARVING, seen(outside, inside, inside, inside), 2).holds
    for points in ((outside, inside, outside, inside), (outside, inside, inside, outside)):
        for within in (1, 2, 3):
            assert not settles(STARVING, seen(*points), within).holds


def test_who_moves_does_not_starve():
    up, down = Fraction(1, 20), Fraction(-1, 20)
    assert starves(STARVING, seen((1, up), (1, down), (1, up), (1, down)), 0).holds
    moved = seen((1, up), (1, down), (1, up), (0, down))
    assert starves(STARVING, moved, 0).failure == "the coordinate moved"
    drifts = seen((1, up), (1, down), (1, 3 * up), (1, down))
    assert starves(STARVING, drifts, 0).failure == "the others do not repeat"


def test_balls_hold_the_transform_and_either_sign():
    for n in (4, 13, 16):
        known = dct(np.eye(n), type=2, norm="ortho", axis=0)
        found = np.array([[float(x.mid()) for x in row(n, k)] for k in range(n)])
        assert np.abs(found - known).max() < 1e-14
    negative = enclosed_step([-g for g in WITNESS])
    assert (negative.place, negative.product) == (1, -7)
