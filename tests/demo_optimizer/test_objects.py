"""DeMo's transforms, chunks, bytes and steps in one process: exact examples, laws, and what is refused."""

import copy
import itertools
import math
import re
from fractions import Fraction

import pytest
import torch
from scipy.fft import dctn

from constructions.demo_optimizer import (
    Chunks,
    DeMo,
    GradientRefused,
    SimulatedDeMo,
    basis,
    break_even,
    compress,
    dct_matrix,
    decompress,
    hadamard_matrix,
    payload,
    random_orthogonal_matrix,
    wire,
)
from constructions.demo_optimizer.chunks import largest_divisor
from constructions.demo_optimizer.coding import decode, encode
from constructions.demo_optimizer.wire import index_dtype

SHAPES = [(), (7,), (12, 10), (4, 3, 2, 2), (0, 3), (5, 13), (97, 2)]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def parameters(shapes=SHAPES, dtype=torch.float64):
    source = seeded()
    return [torch.nn.Parameter(torch.randn(s, generator=source, dtype=dtype)) for s in shapes]


def with_gradients(params, seed):
    source = seeded(seed)
    for p in params:
        p.grad = torch.randn(p.shape, generator=source, dtype=p.dtype)
    return params


# --- transforms and chunks ------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 3, 7, 12, 16, 50, 64])
def test_every_transform_is_orthogonal(size):
    for matrix in (dct_matrix(size), random_orthogonal_matrix(size, 3)):
        torch.testing.assert_close(matrix @ matrix.T, torch.eye(size, dtype=torch.float64), atol=1e-14, rtol=0)
    if not size & (size - 1):
        assert torch.equal(hadamard_matrix(size) @ hadamard_matrix(size).T, size * torch.eye(size, dtype=torch.float64))


@pytest.mark.parametrize("size", range(1, 65))
def test_cosines_are_zero_exactly_where_they_are(size):
    zeros = [(k, j) for k in range(1, size) for j in range(size) if (2 * j + 1) * k % (4 * size) in (size, 3 * size)]
    assert (dct_matrix(size) == 0).nonzero().tolist() == [list(z) for z in zeros]
    assert bool(zeros) == bool(size & (size - 1))


@pytest.mark.parametrize("shape", [(8, 12), (1, 64), (50, 7)])
def test_the_dct_is_scipy_s(shape):
    x = torch.randn(3, *shape, generator=seeded(), dtype=torch.float64)
    found = basis("dct", *shape).forward(x)
    torch.testing.assert_close(found.numpy(), dctn(x.numpy(), type=2, norm="ortho", axes=(1, 2)), atol=1e-13, rtol=0)
    torch.testing.assert_close(basis("dct", *shape).inverse(found), x)


def test_a_chunk_side_is_the_largest_divisor():
    for size, limit in itertools.product(range(1, 200), (1, 7, 64)):
        assert largest_divisor(size, limit) == max(d for d in range(1, limit + 1) if size % d == 0)


@pytest.mark.parametrize("chunk", [64, 4, (1, 5)])
@pytest.mark.parametrize("shape", SHAPES)
def test_chunks_are_put_together_again(shape, chunk):
    cut = Chunks.of(shape, chunk)
    x = torch.arange(math.prod(shape), dtype=torch.float64).reshape(shape)
    parts = cut.split(x)
    assert parts.shape == (cut.count, cut.height, cut.width)
    assert torch.equal(cut.join(parts), x)


def test_chunks_are_in_row_major_order():
    parts = Chunks.of((4, 6), (2, 3)).split(torch.arange(24).reshape(4, 6))
    assert parts[1].tolist() == [[3, 4, 5], [9, 10, 11]]


# --- bytes ----------------------------------------------------------------------------------------------


def test_indices_fit():
    sizes = (1, 256, 257, 4096, 2**15, 2**15 + 1)
    kinds = [torch.uint8, torch.uint8, torch.int16, torch.int16, torch.int16, torch.int32]
    assert [index_dtype(n) for n in sizes] == kinds


def test_payload_counts_short_chunks_whole():
    found = payload([(7,), (64, 128), (), (0, 3)], topk=32, value_bytes=4, gradient_bytes=2)
    assert found.coefficients == 7 + 2 * 32 + 1
    assert found.bytes == 7 * 5 + 64 * 6 + 5
    assert found.dense_bytes == 2 * (7 + 64 * 128 + 1)
    assert found.ratio == Fraction(found.dense_bytes, found.bytes)


def test_over_a_ring_the_advantage_shrinks_with_the_workers():
    sent = payload([(64, 64)], topk=8, index_bytes=8, value_bytes=4, gradient_bytes=2)
    assert sent.ratio == Fraction(256, 3)
    assert wire(sent.bytes, sent.dense_bytes, 64).ratio == Fraction(8, 3)
    assert wire(sent.bytes, sent.dense_bytes, 2).ratio == sent.ratio
    assert break_even(sent.bytes, sent.dense_bytes) == Fraction(512, 3)
    assert wire(sent.bytes, sent.dense_bytes, 171).ratio < 1 < wire(sent.bytes, sent.dense_bytes, 170).ratio


# --- steps ----------------------------------------------------------------------------------------------


@pytest.mark.exact
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_two_steps_of_two_workers_by_hand(dtype):
    p = torch.nn.Parameter(torch.zeros(4, dtype=dtype))
    optimizer = SimulatedDeMo([p], 2, 0.5, decay=0.5, topk=1, chunk=4, transform="hadamard")

    def step(*gradients):
        optimizer.step([[torch.tensor(g, dtype=dtype)] for g in gradients])
        return p.tolist(), [optimizer.residual(p, w).tolist() for w in range(2)]

    assert step((8, 4, 2, 0), (0, 2, -4, 8)) == (
        [0, -0.5, 0, -0.5],
        [[9 / 4, 1 / 4, -3 / 4, -7 / 4], [7 / 4, -3 / 4, -1 / 4, 9 / 4]],
    )
    assert step((1, 0, -3, 3), (2, 2, 0, 1)) == (
        [-0.5, -0.5, 0, -1],
        [[5 / 8, 9 / 8, -7 / 8, -3 / 8], [7 / 8, -3 / 8, -9 / 8, 5 / 8]],
    )


@pytest.mark.parametrize("transform", ["dct", "identity", "random_orthogonal"])
def test_one_rank_and_one_simulated_worker_are_the_same(transform):
    options = {"lr": 0.1, "decay": 0.9, "topk": 3, "chunk": 8, "weight_decay": 0.1, "transform": transform}
    mine, theirs = parameters(), parameters()
    real, simulated = DeMo(mine, **options), SimulatedDeMo(theirs, 1, **options)
    for step in range(5):
        with_gradients(mine, step)
        real.step()
        simulated.step([[p.grad for p in mine]])
    for a, b in zip(mine, theirs, strict=True):
        assert torch.equal(a, b)
        if a.numel():
            assert torch.equal(real.state[a]["residual"], simulated.residual(b, 0))
    assert real.last_step.payload_bytes == payload(SHAPES, topk=3, chunk=8, value_bytes=8).bytes
    assert real.last_step.messages == 0


@pytest.mark.parametrize("wire_dtype", [None, torch.bfloat16])
def test_what_is_not_sent_waits(wire_dtype):
    """Σ β^(t−s)(η_s g_s − sent_s) = e_t, with what was sent read from the messages, under a schedule."""
    p = torch.nn.Parameter(torch.zeros(12, 10, dtype=torch.float64))
    optimizer = SimulatedDeMo([p], 2, 0.1, decay=0.75, topk=2, chunk=4, wire_dtype=wire_dtype)
    expected = torch.zeros(2, 12, 10, dtype=torch.float64)
    for step in range(6):
        optimizer.param_groups[0]["lr"] = rate = 0.1 / (1 + step)
        gradients = torch.randn(2, 12, 10, generator=seeded(step), dtype=torch.float64)
        optimizer.step([[g] for g in gradients])
        ((places, values),) = optimizer._plan().read(optimizer.messages)
        for w in range(2):
            cut = Chunks.of(p.shape, 4)
            kept = torch.zeros(cut.count, cut.size, dtype=torch.float64).scatter(1, places[w], values[w].double())
            sent = cut.join(basis("dct", cut.height, cut.width).inverse(kept.view(-1, cut.height, cut.width)))
            expected[w] = 0.75 * expected[w] + rate * gradients[w] - sent
            torch.testing.assert_close(optimizer.residual(p, w), expected[w], atol=1e-14, rtol=0)


@pytest.mark.exact
@pytest.mark.parametrize("transform", ["identity", "hadamard"])
def test_sending_everything_is_sign_sgd(transform):
    p = torch.nn.Parameter(torch.zeros(4, 4, dtype=torch.float64))
    expected = torch.zeros_like(p)
    optimizer = SimulatedDeMo([p], 3, 0.25, decay=0.5, topk=99, transform=transform)
    for step in range(8):
        gradients = torch.randint(-9, 10, (3, 4, 4), generator=seeded(step)).double()
        optimizer.step([[g] for g in gradients])
        expected -= 0.25 * gradients.sum(0).sign()
        assert torch.equal(p.detach(), expected)
        assert not any(bool(optimizer.residual(p, w).any()) for w in range(3))


def test_a_small_number_beside_a_large_one_moves_under_the_identity():
    """The identity rounds nothing: no update is noise, however small."""
    p = torch.nn.Parameter(torch.zeros(2))
    SimulatedDeMo([p], 1, 1.0, transform="identity").step([[torch.tensor([1e-20, 1.0])]])
    assert p.tolist() == [-1, -1]


def test_a_closure_runs_first_and_once():
    """On f = ½Σ i·pᵢ² the step is −η·sign(∇f), with the loss of the point before."""
    p = torch.nn.Parameter(torch.tensor([1.0, -2.0, 3.0, 4.0], dtype=torch.float64))
    optimizer, calls = DeMo([p], 0.1), []

    def closure():
        optimizer.zero_grad()
        loss = (torch.arange(1, 5) * p.square()).sum() / 2
        loss.backward()
        calls.append(1)
        return loss

    loss = optimizer.step(closure)
    assert float(loss.detach()) == 50
    assert calls == [1]
    torch.testing.assert_close(p.detach(), torch.tensor([0.9, -1.9, 2.9, 3.9], dtype=torch.float64))
    torch.testing.assert_close(p.grad, torch.tensor([1.0, -4.0, 9.0, 16.0], dtype=torch.float64))


def test_a_parameter_without_a_gradient_goes_on_from_its_residual():
    p = torch.nn.Parameter(torch.zeros(16, dtype=torch.float64))
    optimizer = DeMo([p], 0.1, topk=1, decay=0.5)
    p.grad = torch.randn(16, generator=seeded(), dtype=torch.float64)
    optimizer.step()
    before, residual = p.detach().clone(), optimizer.state[p]["residual"].clone()
    p.grad = None
    optimizer.step()
    assert not torch.equal(p.detach(), before)
    assert not torch.equal(optimizer.state[p]["residual"], residual)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(dtype):
    params = with_gradients(parameters([(8, 8)], dtype), 1)
    before = params[0].detach().clone()
    optimizer = DeMo(params, 0.25, topk=4)
    optimizer.step()
    assert params[0].dtype == optimizer.state[params[0]]["residual"].dtype == dtype
    assert optimizer.last_step.payload_bytes == 4 * (1 + 4)
    assert not torch.equal(params[0], before)


def test_a_state_goes_on_bit_by_bit():
    """Groups, a schedule, a scalar and a kernel; also through copies and a file's types."""
    names = [f"p{i}" for i in range(len(SHAPES))]

    def made(lr=0.1):
        named = list(zip(names, parameters(), strict=True))
        groups = [{"params": named[:3], "topk": 1, "lr": 0.3}, {"params": named[3:], "chunk": (1, 4)}]
        return [p for _, p in named], DeMo(groups, lr, decay=0.9, topk=2)

    def run(params, optimizer, steps):
        for step in steps:
            with_gradients(params, step)
            optimizer.param_groups[0]["lr"] = 0.3 / (1 + step)
            optimizer.step()

    params, whole = made()
    run(params, whole, range(3))
    values, state = [p.detach().clone() for p in params], copy.deepcopy(whole.state_dict())
    twin_params, twin = copy.deepcopy((params, whole))
    run(params, whole, range(3, 6))
    run(twin_params, twin, range(3, 6))
    again, resumed = made(lr=7.0)
    for p, value in zip(again, values, strict=True):
        p.data.copy_(value)
    resumed.load_state_dict(state)
    run(again, resumed, range(3, 6))
    for a, b, c in zip(params, again, twin_params, strict=True):
        assert torch.equal(a, b)
        assert torch.equal(a, c)
        if a.numel():
            assert torch.equal(whole.state[a]["residual"], resumed.state[b]["residual"])
            assert whole.state[a]["step"] == resumed.state[b]["step"] == 6


def test_states_of_other_ranks_and_shapes_are_refused():
    params = with_gradients(parameters(), 0)
    optimizer = DeMo(params)
    optimizer.step()
    state = optimizer.state_dict()
    with pytest.raises(ValueError, match="must be of rank 0 of 1, got that of rank 1 of 2"):
        optimizer.load_state_dict(state | {"workers": {"rank": 1, "world": 2}})
    with pytest.raises(ValueError, match="must say its rank and world"):
        optimizer.load_state_dict({k: v for k, v in state.items() if k != "workers"})
    with pytest.raises(ValueError, match="must hold the states of all ranks"):
        optimizer.load_state_dict([state | {"workers": {"rank": 1, "world": 2}}], redistribute=True)
    other = DeMo(parameters([s[::-1] for s in SHAPES]))
    with pytest.raises(
        ValueError, match=r"must hold residuals of the parameters' shapes, got \(12, 10\) for \(10, 12\)"
    ):
        other.load_state_dict(state)


def test_the_mean_of_all_residuals_goes_on():
    states = []
    for rank in range(2):
        params = with_gradients(parameters([(8, 8)]), rank)
        optimizer = DeMo(params, topk=1)
        optimizer.step()
        states.append(copy.deepcopy(optimizer.state_dict()) | {"workers": {"rank": rank, "world": 2}})
    one, other = (s["state"][0]["residual"] for s in states)
    optimizer.load_state_dict(states[::-1], redistribute=True)
    assert torch.equal(optimizer.state[params[0]]["residual"], (one + other) / 2)
    states[1]["state"][0]["step"] = 5
    with pytest.raises(ValueError, match="states of one step"):
        optimizer.load_state_dict(states, redistribute=True)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("topk", [1, 10**6])
def test_a_gradient_that_is_not_finite_changes_nothing(bad, topk):
    named = dict(zip("abcdefg", parameters(), strict=True))
    optimizer = DeMo(named.items(), topk=topk, weight_decay=0.5, transform="random_orthogonal")
    params = with_gradients(list(named.values()), 0)
    before = [p.detach().clone() for p in params]
    params[3].grad[1, 2, 0, 1] = bad
    with pytest.raises(GradientRefused, match="the momentum of parameter 'd' is not finite on rank 0"):
        optimizer.step()
    assert all(torch.equal(p, b) for p, b in zip(params, before, strict=True))
    assert not any(bool(optimizer.state[p]["residual"].any()) for p in params if p.numel())


def test_the_sender_of_a_value_that_overflows_on_the_wire_is_told():
    p = torch.nn.Parameter(torch.zeros(4))
    p.grad = torch.full((4,), 1e9)
    with pytest.raises(GradientRefused, match="not finite"):
        DeMo([p], 1.0, wire_dtype=torch.float16).step()


def test_compression_keeps_the_largest_coefficients():
    x = torch.randn(12, 10, generator=seeded(), dtype=torch.float64)
    torch.testing.assert_close(decompress(compress(x, topk=120)), x, atol=1e-13, rtol=0)
    found = compress(x, topk=5, transform="identity", chunk=(12, 10))
    largest = x.abs().flatten().topk(5).indices
    assert sorted(found.places[0].tolist()) == sorted(largest.tolist())
    assert decompress(found).count_nonzero() == 5
    for shape in SHAPES:
        assert decompress(compress(torch.ones(shape), topk=1)).shape == torch.Size(shape)


def test_the_arithmetic_of_a_step_compiles():
    """As one graph, whatever the rate; the compiler may round otherwise."""
    turn = basis("dct", 8, 8, dtype=torch.float32)
    compiled = torch.compile(encode, fullgraph=True, dynamic=False, backend="aot_eager")
    compiled_decode = torch.compile(decode, fullgraph=True, dynamic=False, backend="aot_eager")
    g, e = torch.randn(2, 5, 8, 8, generator=seeded())
    for rate in (0.1, 0.2):
        options = {"rate": torch.tensor(rate), "decay": torch.tensor(0.9), "k": 3}
        ours, theirs = encode(g, e, turn, **options), compiled(g, e, turn, **options)
        torch.testing.assert_close(theirs.values, ours.values)
        assert torch.equal(theirs.places, ours.places)
        signs = compiled_decode([ours.places], [ours.values], turn, (8, 8), dtype=torch.float32)
        assert torch.equal(signs, decode([ours.places], [ours.values], turn, (8, 8), dtype=torch.float32))


def test_a_compiled_step_is_the_step():
    mine, theirs = parameters([(8, 8)]), parameters([(8, 8)])
    plain, compiled = DeMo(mine, 0.1, topk=2), DeMo(theirs, 0.1, topk=2)
    step = torch.compile(compiled.step, backend="aot_eager")
    for number in range(2):
        with_gradients(mine, number)
        with_gradients(theirs, number)
        plain.step()
        step()
    for a, b in zip(mine, theirs, strict=True):
        torch.testing.assert_close(a, b)


def test_schedulers_and_tensor_rates_work():
    rate = torch.tensor(0.5)
    p = torch.nn.Parameter(torch.zeros(3))
    optimizer = DeMo([p], rate)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.5**step)
    for expected in (-0.5, -0.75):
        p.grad = torch.ones(3)
        optimizer.step()
        scheduler.step()
        assert p.tolist() == [expected] * 3


# --- what is refused ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"lr": -1.0}, "`lr` must be a non-negative finite number, got -1.0"),
        ({"lr": math.nan}, "`lr` must be a non-negative finite number, got nan"),
        ({"decay": 1.5}, "`decay` must be between 0 and 1, got 1.5"),
        ({"topk": 0}, "`topk` must be an integer at least 1, got 0"),
        ({"chunk": (3, 0)}, "`chunk` must be an integer at least 1, got 0"),
        ({"chunk": (1, 2, 3)}, "`chunk` must be an integer of at least 1 or (rows, columns), got (1, 2, 3)"),
        ({"weight_decay": -0.1}, "`weight_decay` must be a non-negative finite number, got -0.1"),
        ({"transform": "fft"}, "`transform` must be one of dct, identity, hadamard, random_orthogonal or a function"),
        ({"transform": "hadamard"}, "`transform` 'hadamard' needs chunk sides that are powers of two, got 12×10"),
        ({"transform": lambda d: 2 * torch.eye(d)}, "`transform` must return an orthogonal matrix for 12, T·Tᵀ is off"),
        (
            {"transform": lambda d: torch.eye(3)},
            "`transform` must return a floating (12, 12) tensor for 12, got (3, 3)",
        ),
        ({"wire_dtype": torch.int8}, "`wire_dtype` must be None or one of torch.float16"),
        ({"zero_tol": -1.0}, "`zero_tol` must be a non-negative finite number, got -1.0"),
        ({"check_every": -1}, "`check_every` must be an integer at least 0, got -1"),
        ({"seed": -1}, "`seed` must be an integer between 0"),
    ],
)
def test_options_are_checked(options, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        DeMo(parameters([(12, 10)]), **options)


def test_parameters_and_gradients_are_checked():
    with pytest.raises(TypeError, match=r"dense real floating tensors, got torch\.complex64"):
        DeMo([torch.nn.Parameter(torch.zeros(3, dtype=torch.complex64))])
    p = torch.nn.Parameter(torch.zeros(4, 4))
    p.grad = torch.ones(4, 4).to_sparse()
    with pytest.raises(GradientRefused, match=r"the gradient of parameter 0 of shape \(4, 4\) must be dense and real"):
        DeMo([p]).step()
    simulated = SimulatedDeMo([p], 2)
    with pytest.raises(ValueError, match="one list a worker, 2 of them, got 1"):
        simulated.step([[p]])
    with pytest.raises(ValueError, match="one gradient a parameter, 1 of them, got 0"):
        simulated.step([[None], []])
    with pytest.raises(ValueError, match="must have its parameter's shape"):
        simulated.step([[None], [torch.zeros(3)]])
