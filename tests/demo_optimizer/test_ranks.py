"""DeMo on spawned ranks (gloo): the bits of simulated workers, and errors on all ranks together instead of hangs."""

import os
import time
import warnings

import pytest
import torch
import torch.distributed as dist

from constructions.demo_optimizer import DeMo, GradientRefused, OptionsDiffer, SimulatedDeMo, WorkersDiverged, payload
from constructions.demo_optimizer.wire import HEAD
from constructions.errors import RankFailed, RankLost
from tests.demo_optimizer.workers import on_ranks

SHAPES = [(), (7,), (12, 10), (4, 3, 2, 2), (0, 3), (5, 13), (8, 8)]
FROZEN = 5
"""The number of a parameter that is not trained."""

ONLY_ON_ONE = 2
"""The number of a parameter whose gradient only the last rank has."""


def parameters(dtype=torch.float64):
    source = torch.Generator().manual_seed(1)
    made = [torch.nn.Parameter(torch.randn(s, generator=source, dtype=dtype)) for s in SHAPES]
    made[FROZEN].requires_grad_(False)
    return made


def gradient(rank, step, number, world, dtype=torch.float64):
    if number == FROZEN or (number == ONLY_ON_ONE and rank < world - 1):
        return None
    source = torch.Generator().manual_seed(1000 * step + 100 * rank + number)
    return torch.randn(SHAPES[number], generator=source, dtype=dtype)


def groups(params):
    return [{"params": params[:4], "lr": 0.02, "chunk": 8}, {"params": params[4:], "transform": "random_orthogonal"}]


OPTIONS = {"lr": 0.01, "decay": 0.9, "topk": 3, "weight_decay": 0.1}


def made(dtype=torch.float64, **options):
    params = parameters(dtype)
    return params, DeMo(groups(params), **(OPTIONS | options))


def steps(params, optimizer, rank, world, numbers):
    for step in numbers:
        for i, p in enumerate(params):
            p.grad = gradient(rank, step, i, world, p.dtype)
        optimizer.step()


def numbers_of(params, optimizer):
    """Plain lists: what is sent back must survive the rank."""
    residuals = [optimizer.state[p]["residual"].tolist() if p in optimizer.state else None for p in params]
    return [p.tolist() for p in params], residuals


# --- the same bits as simulated workers -----------------------------------------------------------------


def counted(rank, world, dtype, options):
    params, optimizer = made(dtype, **options)
    calls = []
    gather = dist.all_gather
    steps(params, optimizer, rank, world, range(1))  # the first one compares options and parameters too

    def recorded(received, sent, group=None):
        calls.append(sent.nbytes)
        return gather(received, sent, group=group)

    dist.all_gather = recorded
    steps(params, optimizer, rank, world, range(1, 6))
    dist.all_gather = gather
    optimizer.check_agreement()
    return *numbers_of(params, optimizer), calls, optimizer.last_step


@pytest.mark.parametrize(
    ("world", "dtype", "options"),
    [
        (2, torch.float32, {}),
        (3, torch.float64, {}),
        (3, torch.float32, {"wire_dtype": torch.bfloat16}),
        (2, torch.bfloat16, {}),
    ],
)
def test_ranks_and_simulated_workers_compute_the_same_bits(world, dtype, options):
    answers = on_ranks(world, counted, dtype, options)
    params = parameters(dtype)
    simulated = SimulatedDeMo(groups(params), world, **(OPTIONS | options))
    for step in range(6):
        simulated.step([[gradient(w, step, i, world, dtype) for i in range(len(SHAPES))] for w in range(world)])
    item = 2 if options else 4 if dtype != torch.float64 else 8
    shapes = [[s for i, s in enumerate(SHAPES[a:b], a) if i != FROZEN] for a, b in ((0, 4), (4, 7))]
    sizes = [payload(s, topk=3, chunk=c, value_bytes=item) for s, c in zip(shapes, (8, 64), strict=True)]
    for rank, (found, residuals, calls, last) in enumerate(answers):
        assert found == [p.tolist() for p in params]
        for p, residual in zip(params, residuals, strict=True):
            if p.requires_grad and p.numel():
                assert residual == simulated.residual(p, rank).tolist()
        assert calls == [HEAD + sum(s.bytes for s in sizes)] * 5
        assert last.payload_bytes == sum(s.bytes for s in sizes)
        assert last.coefficients == sum(s.coefficients for s in sizes)
        assert (last.message_bytes, last.messages) == (last.payload_bytes + HEAD, 1)
    assert params[FROZEN].tolist() == parameters(dtype)[FROZEN].tolist()


def group_of_two(rank, world):
    group = dist.new_group([1, 2])
    params = parameters()
    if rank == 0:
        with pytest.raises(ValueError, match="must be a group that this rank belongs to"):
            DeMo(params, process_group=group).step()
        return None
    optimizer = DeMo(params, process_group=group, topk=1)
    steps(params, optimizer, rank - 1, 2, range(2))
    return numbers_of(params, optimizer)[0]


def test_a_group_of_some_ranks_works_alone():
    _, first, second = on_ranks(3, group_of_two)
    params = parameters()
    simulated = SimulatedDeMo(params, 2, topk=1)
    for step in range(2):
        simulated.step([[gradient(w, step, i, 2) for i in range(len(SHAPES))] for w in range(2)])
    assert first == second == [p.tolist() for p in params]


# --- what one rank has is an error on all ---------------------------------------------------------------


REFUSED = {
    "nan": "the momentum of parameter 3 of shape (4, 3, 2, 2) is not finite on rank 1: a gradient is NaN or too large",
    "inf": "the momentum of parameter 0 of shape () is not finite on rank 1: a gradient is NaN or too large",
    "sparse": "the gradient of parameter 6 of shape (8, 8) must be dense and real, it is not on rank 1",
}


def refused_on_one(rank, world):
    params, optimizer = made()
    steps(params, optimizer, rank, world, range(2))
    before = numbers_of(params, optimizer)
    said = {}
    for kind in REFUSED:
        for i, p in enumerate(params):
            p.grad = gradient(rank, 2, i, world)
        if rank == 1 and kind == "nan":
            params[3].grad[2, 1, 0, 1] = torch.nan
        if rank == 1 and kind == "inf":
            params[0].grad.fill_(torch.inf)
        if rank == 1 and kind == "sparse":
            params[6].grad = params[6].grad.to_sparse()
        with pytest.raises(GradientRefused) as caught:
            optimizer.step()
        said[kind] = str(caught.value)
        assert numbers_of(params, optimizer) == before
    steps(params, optimizer, rank, world, range(2, 4))
    return said, numbers_of(params, optimizer)[0]


def undisturbed(rank, world):
    params, optimizer = made()
    steps(params, optimizer, rank, world, range(4))
    return numbers_of(params, optimizer)[0]


def test_a_refused_gradient_is_an_error_on_all_ranks_and_changes_nothing():
    answers = on_ranks(3, refused_on_one)
    assert [words for words, _ in answers] == [REFUSED] * 3
    assert [found for _, found in answers] == on_ranks(3, undisturbed)


def closure_that_fails(rank, world):
    _, optimizer = made()

    def closure():
        if rank == 1:
            raise ZeroDivisionError("no batch")
        return 7.0

    optimizer.step(closure)


def test_a_closure_that_fails_on_one_rank_stops_all():
    first, second, third = on_ranks(3, closure_that_fails)
    assert isinstance(second, ZeroDivisionError)
    for other in (first, third):
        assert isinstance(other, RankFailed)
        assert str(other) == "rank 1 failed in the closure, see the message there"


# --- ranks that are not alike ---------------------------------------------------------------------------


UNLIKE = {
    "topk": (OptionsDiffer, "topk of group 0 differs: 3 on rank 0, 2 on rank 1"),
    "wire": (OptionsDiffer, "wire_dtype differs: None on rank 0, torch.float16 on rank 1"),
    "shape": (
        OptionsDiffer,
        "parameter 0 differs: (), torch.float64, group 0, trained on rank 0, (7,), torch.float64,",
    ),
    "transform": (OptionsDiffer, "seed of group 1 differs: 0 on rank 0, 1 on rank 1"),
    "value": (WorkersDiverged, "parameter 6 of shape (8, 8) differs on rank 1"),
    "rate": (OptionsDiffer, "lr, decay, weight_decay, zero_tol or the step differ on rank"),
    "group": (
        OptionsDiffer,
        "parameter 7 differs: absent on rank 0, (3, 5), torch.float32, group 2, trained on rank 1",
    ),
    "trained": (OptionsDiffer, "parameter 1 differs: (7,), torch.float64, group 0, trained on rank 0, (7,), torch."),
}


def unlike(rank, world):
    said = {}
    for what in UNLIKE:
        with pytest.raises(RuntimeError if what == "value" else ValueError) as caught:
            steps_unlike(rank, world, what)
        said[what] = (type(caught.value).__name__, str(caught.value))
    return said


def steps_unlike(rank, world, what):
    options = {"topk": {"topk": 2}, "wire": {"wire_dtype": torch.float16}}.get(what, {}) if rank else {}
    params, optimizer = made(**options)
    if rank and what == "shape":
        optimizer = DeMo(params[1:])
    if rank and what == "value":
        with torch.no_grad():
            params[6][3, 3] = torch.nextafter(params[6][3, 3], torch.tensor(9.0, dtype=torch.float64))
    if rank and what == "transform":
        optimizer.param_groups[1]["seed"] = 1
    if what in ("rate", "group", "trained"):
        steps(params, optimizer, rank, world, range(2))
    if rank and what == "rate":
        optimizer.param_groups[0]["lr"] *= 2
    if rank and what == "group":
        optimizer.add_param_group({"params": [torch.nn.Parameter(torch.zeros(3, 5))]})
    if rank and what == "trained":
        params[1].requires_grad_(False)
    steps(params, optimizer, rank, world, range(2, 3))


def test_ranks_that_are_not_alike_are_told_at_that_step():
    for answers in on_ranks(2, unlike):
        for what, (kind, words) in UNLIKE.items():
            assert answers[what][0] == kind.__name__
            assert words in answers[what][1]


def unfrozen(rank, world):
    params, optimizer = made()
    steps(params, optimizer, rank, world, range(2))
    params[1].requires_grad_(False)
    params[1].grad = None
    optimizer.add_param_group({"params": [torch.nn.Parameter(torch.ones(3, 5))], "topk": 1})
    for step in (2, 3):
        for i, p in enumerate(params):
            p.grad = None if i == 1 else gradient(rank, step, i, world)
        optimizer.step()
    return numbers_of(params, optimizer)[0], optimizer.last_step.messages


def test_what_all_ranks_change_together_goes_on():
    first, second = on_ranks(2, unfrozen)
    assert first == second
    assert first[0][1] == on_ranks(2, two_steps)[0][1]


def two_steps(rank, world):
    params, optimizer = made()
    steps(params, optimizer, rank, world, range(2))
    return numbers_of(params, optimizer)[0]


def one_ulp(rank, world, number, ranks):
    named = dict(zip("abcdefg", parameters(), strict=True))
    params = list(named.values())
    optimizer = DeMo(named.items(), topk=2, check_every=2)
    steps(params, optimizer, rank, world, range(2))
    if rank in ranks:
        flat = params[number].detach().view(-1)
        flat[-1] = torch.nextafter(flat[-1], torch.tensor(9.0, dtype=torch.float64))
    steps(params, optimizer, rank, world, range(2, 3))  # not looked at
    steps(params, optimizer, rank, world, range(3, 4))


@pytest.mark.parametrize(
    ("number", "ranks", "said"), [(0, (2,), "rank 2"), (FROZEN, (0,), "rank 0"), (6, (1, 3), "ranks 1, 3")]
)
def test_one_ulp_on_one_rank_is_found_and_named(number, ranks, said):
    for answer in on_ranks(5 if len(ranks) > 1 else 3, one_ulp, number, ranks):
        assert isinstance(answer, WorkersDiverged)
        assert str(answer) == f"parameter '{'abcdefg'[number]}' differs on {said}"


# --- a rank that is gone --------------------------------------------------------------------------------


def dying(rank, world, silent):
    params, optimizer = made()
    steps(params, optimizer, rank, world, range(2))
    if rank == 1:
        if silent:
            time.sleep(15)
        os._exit(3)
    steps(params, optimizer, rank, world, range(2, 5))


@pytest.mark.parametrize("silent", [False, True])
def test_a_lost_rank_is_a_clear_error_within_the_timeout(silent):
    start = time.monotonic()
    answers = on_ranks(3, dying, silent, timeout=5.0)
    assert time.monotonic() - start < 90
    for rank in (0, 2):
        assert isinstance(answers[rank], RankLost)
        assert (
            f"rank {rank}: another rank died or stopped answering while exchanging the coefficients of a step"
            in str(answers[rank])
        )
    assert answers[1] is None


# --- stop and go on -------------------------------------------------------------------------------------


def resumed(rank, world, folder):
    params, optimizer = made()
    steps(params, optimizer, rank, world, range(3))
    torch.save({"state": optimizer.state_dict(), "params": [p.data for p in params]}, f"{folder}/{rank}.pt")
    steps(params, optimizer, rank, world, range(3, 6))
    whole = numbers_of(params, optimizer)
    params, optimizer = made(lr=0.5)
    stored = torch.load(f"{folder}/{rank}.pt", weights_only=True)
    for p, old in zip(params, stored["params"], strict=True):
        p.data.copy_(old)
    optimizer.load_state_dict(stored["state"])
    steps(params, optimizer, rank, world, range(3, 6))
    return whole, numbers_of(params, optimizer)


def wrong_state(rank, world, folder):
    dist.barrier()
    _, optimizer = made()
    optimizer.load_state_dict(torch.load(f"{folder}/0.pt", weights_only=True)["state"])


def redistributed(rank, world, folder, together):
    paths = [f"{folder}/{r}.pt" for r in range(2)]
    states = [torch.load(path, weights_only=True)["state"] for path in paths]
    params, optimizer = made()
    optimizer.load_state_dict(states if together else states[(rank + 1) % 2], redistribute=True)
    found = numbers_of(params, optimizer)[1]
    steps(params, optimizer, rank, world, range(3, 5))
    optimizer.check_agreement()
    means = [
        ((states[0]["state"][i]["residual"] + states[1]["state"][i]["residual"]) / 2).tolist()
        for i in states[0]["state"]
    ]
    return [f for f in found if f is not None], means


def test_a_resumed_run_has_the_same_bits_and_no_other_rank_s_residual(tmp_path):
    for whole, again in on_ranks(2, resumed, str(tmp_path)):
        assert whole == again
    first, second = on_ranks(2, wrong_state, str(tmp_path))
    assert first is None
    assert isinstance(second, ValueError)
    assert "must be of rank 1 of 2, got that of rank 0 of 2" in str(second)
    for world, together in ((2, False), (3, True), (3, False)):
        for found, means in on_ranks(world, redistributed, str(tmp_path), together):
            assert found == means


# --- a warning ------------------------------------------------------------------------------------------


def averaged(rank, world, same):
    params, optimizer = made()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        steps(params, optimizer, 1 if same else rank, 3, range(3))
    return [str(w.message) for w in said if "DeMo" in str(w.message)]


def test_gradients_that_were_averaged_before_are_warned_of():
    for said in on_ranks(2, averaged, True):
        assert said == ["residuals are identical on all ranks: are gradients averaged before DeMo?"]
    assert on_ranks(2, averaged, False) == [[], []]
