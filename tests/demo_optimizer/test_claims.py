"""Claims about DeMo are not decided when something is wrong; comparisons decide nothing at the edge of a grid."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from theory.claim import Context, Status, Undecided
from theory.demo_optimizer import bounds, energy, runs_on_ranks, tasks, training
from theory.demo_optimizer.mixtures import Mixtures
from theory.demo_optimizer.reproductions import bytes as counted
from theory.demo_optimizer.reproductions import mixtures, steps
from theory.demo_optimizer.reproductions import training as comparisons
from theory.demo_optimizer.training import (
    ADAMW,
    DEMO,
    EdgeOfGrid,
    Method,
    Paired,
    Replicas,
    Trained,
    Tuned,
    optimiser,
    paired,
    rate_at,
    tuned_rate,
)
from theory.systems import REGISTRY

HERE = Context()
CPU = torch.device("cpu")


# --- bounds --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n", "k", "beta", "bound", "reached"),
    [(4096, 32, 0.999, 202.869, 70.1101), (4096, 8, 0.999, 505.562, 245.901), (4096, 1, 0.999, 891.192, 801.202)],
)
def test_bounds_of_residuals(n, k, beta, bound, reached):
    assert bounds.residual_bound(n, k, beta) == pytest.approx(bound, rel=1e-5)
    assert bounds.cyclic_residual(n, k, beta) == pytest.approx(reached, rel=1e-5)
    assert bounds.residual_bound(n, n, beta) == 0.0


def test_sides():
    assert bounds.sides(()) == (1, 1, 1)
    assert bounds.sides((7,)) == (1, 1, 7)
    assert bounds.sides((103, 64)) == (103, 1, 64)
    assert bounds.sides((16, 3, 5, 5)) == (3, 16, 25)


def test_readings_are_computed():
    readings = bounds.readings_of(bounds.STATED_RATIO)
    assert (8, 8, 4, 2) in readings
    assert (32, 2, 4, 4) in readings
    assert bounds.readings_of(bounds.STATED_RATIO + 1) == []


def test_smooth_bound():
    assert bounds.smooth_bound(1.0, 2.0, 0.5, 4) == pytest.approx(1.0)


# --- claims on broken ground ---------------------------------------------------------------------------------


def test_a_wrong_ring(monkeypatch):
    monkeypatch.setattr(bounds, "ring_ratio", lambda ratio, workers: ratio)
    verdict = REGISTRY["demo_optimizer.wire"].verdict(HERE)
    assert verdict.status is Status.INCONCLUSIVE
    assert verdict.reason.startswith("W=8:")


def test_wrong_operations(monkeypatch):
    monkeypatch.setattr(bounds, "FLOPS", 4)
    with pytest.raises(Undecided, match="operations were counted"):
        counted.overhead(HERE)


def seen_on_ranks(world, every_k):
    shapes = [tuple(p.shape) for p in counted.MODELS["perceptron"]().parameters()]
    handed = bounds.packed_bytes(shapes, 8, 4) + runs_on_ranks.HEAD
    return [
        {
            "counts": [{"model": "perceptron", "k": 8, "bytes": [[handed]]}],
            "parameters": dict.fromkeys(runs_on_ranks.DTYPES, "x"),
        }
        for _ in range(world)
    ]


def test_bytes_beside_the_formula(monkeypatch):
    monkeypatch.setattr(counted, "on_ranks", seen_on_ranks)
    assert counted.payload_measured(HERE).status is Status.NOT_REFUTED

    def one_more(world, every_k):
        seen = seen_on_ranks(world, every_k)
        seen[1]["counts"][0]["bytes"][0][0] += 1
        return seen

    monkeypatch.setattr(counted, "on_ranks", one_more)
    with pytest.raises(Undecided, match="perceptron, k=8, rank 1"):
        counted.payload_measured(HERE)

    def nothing(world, every_k):
        seen = seen_on_ranks(world, every_k)
        seen[0]["counts"][0]["bytes"] = []
        return seen

    monkeypatch.setattr(counted, "on_ranks", nothing)
    with pytest.raises(Undecided, match="nothing was handed"):
        counted.payload_measured(HERE)


def test_ranks_that_differ(monkeypatch):
    def one_differs(world, every_k):
        seen = seen_on_ranks(world, every_k)
        seen[1]["parameters"]["float32"] = "y"
        return seen

    monkeypatch.setattr(steps, "on_ranks", one_differs)
    with pytest.raises(Undecided, match="float32: 2 ranks end with different bits"):
        steps.workers_agree(HERE)
    monkeypatch.setattr(steps, "on_ranks", seen_on_ranks)
    with pytest.raises(Undecided, match="other bits than simulated workers"):
        steps.workers_agree(HERE)


def test_a_rank_that_fails_is_an_error():
    runs_on_ranks.on_ranks.cache_clear()
    with pytest.raises(RuntimeError, match="rank 0 of 1 failed"):
        _failing_ranks()
    runs_on_ranks.on_ranks.cache_clear()


def test_ranks_that_do_not_end_are_an_error():
    with pytest.raises(RuntimeError, match=r"1 ranks \(few\) had not ended after 0.01 seconds"):
        runs_on_ranks._on_ranks(1, "few", limit=0.01)


def _failing_ranks():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs_on_ranks.sys, "executable", "/bin/false")
        runs_on_ranks.on_ranks(1, False)


def mixtures_of(errors, **changes):
    stated = mixtures.message_bytes("weierstrass")
    one = {"rate": 0.1, "digest": "x", "errors": list(errors), "handed": {str(stated): 1000}}
    return lambda world, task, seeds: [one | (changes if rank else {}) for rank in range(world)]


@pytest.mark.parametrize(
    ("errors", "changes", "status", "reason"),
    [
        ([0.11, 0.12] * 3, {}, Status.NOT_REFUTED, "the same bits on all ranks"),
        ([0.21, 0.22] * 3, {}, Status.REFUTED, "by AdamW"),
        ([0.11, 0.15] * 3, {}, Status.INCONCLUSIVE, "by AdamW"),
        ([0.11, 0.12] * 3, {"digest": "y"}, Status.INCONCLUSIVE, "weierstrass: 2 ranks end with different mixtures"),
        ([0.11, 0.12] * 3, {"handed": {"329": 1000}}, Status.INCONCLUSIVE, "messages of 328 bytes were handed over"),
        ([math.inf] * 6, {}, None, "must be finite"),
    ],
)
def test_mixtures_on_ranks(monkeypatch, errors, changes, status, reason):
    alone = Mixtures(0.1, ((0.1, 0.1),), (0.11, 0.12) * 3, "z")
    monkeypatch.setattr(mixtures, "train_mixtures", lambda task, optimizer, seeds: alone)
    monkeypatch.setattr(mixtures, "mixtures_on_ranks", mixtures_of(errors, **changes))
    claim = REGISTRY["demo_optimizer.trains_momlp"]
    if status is None:
        with pytest.raises(ValueError, match=reason):
            claim.verdict(HERE)
        return
    verdict = claim.verdict(HERE)
    assert verdict.status is status
    assert reason in verdict.reason


# --- comparisons ---------------------------------------------------------------------------------------------


def a_valley(best):
    def train(task, method, pairs, device):
        losses = tuple(abs(math.log10(rate / best)) + 1 for _, rate in pairs)
        return Trained(losses, losses)

    return train


@pytest.mark.parametrize("best", [1e-5, 1e-3, 1e-2, 0.3, 3.0])
def test_a_grid_grows_until_its_best_rate_is_inside(monkeypatch, best):
    tuned_rate.cache_clear()
    monkeypatch.setattr(training, "train", a_valley(best))
    for wide in (True, False):
        tuned = tuned_rate("digits", DEMO, CPU, wide)
        rates = [rate for rate, _ in tuned.tried]
        assert tuned.rate == pytest.approx(best)
        assert rates[0] < tuned.rate < rates[-1]
    tuned_rate.cache_clear()


def test_an_edge_decides_nothing(monkeypatch):
    tuned_rate.cache_clear()
    monkeypatch.setattr(training, "train", a_valley(1e9))
    verdict = REGISTRY["demo_optimizer.comparable_digits"].verdict(HERE)
    assert verdict.status is Status.INCONCLUSIVE
    assert "at the edge of" in verdict.reason
    tuned_rate.cache_clear()
    monkeypatch.setattr(
        training, "train", lambda t, m, pairs, d: Trained((math.nan,) * len(pairs), (1.0,) * len(pairs))
    )
    with pytest.raises(EdgeOfGrid, match="no rate has a finite loss"):
        tuned_rate("digits", DEMO, CPU)
    tuned_rate.cache_clear()


def given_losses(demo, adamw):
    def trained(task, method, seeds, device, log, *, wide):
        losses = tuple(demo) if method.kind == "demo" and method.transform == "dct" else tuple(adamw)
        return Tuned(1e-2, ((1e-2, 1.0),)), Trained(losses, losses)

    return trained


@pytest.mark.parametrize(
    ("gap", "spread", "comparable", "matches"),
    [
        (0.03, 0.001, Status.NOT_REFUTED, Status.REFUTED),
        (0.08, 0.001, Status.REFUTED, Status.REFUTED),
        (-0.03, 0.001, Status.NOT_REFUTED, Status.NOT_REFUTED),
        (0.05, 0.01, Status.INCONCLUSIVE, Status.REFUTED),
        (0.0, 0.01, Status.NOT_REFUTED, Status.OPEN),
    ],
)
def test_intervals_decide(monkeypatch, gap, spread, comparable, matches):
    demo = [1 + gap + spread * x for x in (-1, 1, -1, 1)]
    monkeypatch.setattr(comparisons, "trained", given_losses(demo, [1.0] * 4))
    assert REGISTRY["demo_optimizer.comparable_digits"].verdict(HERE).status is comparable
    assert REGISTRY["demo_optimizer.matches_or_exceeds_digits"].verdict(HERE).status is matches


def test_losses_that_are_no_numbers(monkeypatch):
    monkeypatch.setattr(comparisons, "trained", given_losses([math.nan, 1.0], [1.0, 1.0]))
    assert REGISTRY["demo_optimizer.comparable_digits"].verdict(HERE).status is Status.INCONCLUSIVE
    with pytest.raises(ValueError, match="must be as many"):
        paired([1.0, 2.0], [1.0])


def test_a_python_without_its_manual(monkeypatch):
    def missing():
        raise tasks.NoText("this Python comes without pydoc_data.topics")

    monkeypatch.setitem(training.TASKS, "text", missing)
    training.tuned_rate.cache_clear()
    energy.momentum_shares.cache_clear()
    for name in ("comparable_text", "energy_compaction_text"):
        verdict = REGISTRY[f"demo_optimizer.{name}"].verdict(Context(budget="full"))
        assert verdict.status is Status.INCONCLUSIVE
        assert "pydoc_data" in verdict.reason


def test_a_student_interval():
    from scipy import stats

    ours, theirs = [1.0, 2.0, 4.0], [0.5, 0.5, 1.0]
    low, high = stats.ttest_rel(ours, theirs).confidence_interval(0.95)
    found = paired(ours, theirs)
    assert (found.low, found.high) == pytest.approx((low, high))
    assert found.mean == pytest.approx(5 / 3)
    assert str(Paired(0.1, 0.0, 0.2, 3)) == "+0.1000 [+0.0000, +0.2000]"


def test_rates_along_a_run():
    assert rate_at(0, 100) == 1 / 20
    assert rate_at(19, 100) == 1.0
    assert rate_at(20, 100) == pytest.approx(1.0)
    assert rate_at(100, 100) == pytest.approx(0.1)


# --- replicas ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [DEMO, Method("demo", 8, "identity"), Method("demo", 8, "random_orthogonal")])
def test_replicas_take_the_steps_of_the_optimiser(method):
    """Each of two replicas side by side is one run of `SimulatedDeMo` with its rate."""
    from constructions.demo_optimizer import SimulatedDeMo

    replicas = Replicas(tasks.digits(), (0, 1), CPU)
    weights = replicas.weights = {name: w.double() for name, w in replicas.weights.items()}
    rates = torch.tensor([1e-2, 3e-3], dtype=torch.float64)
    alone = [[w[r].clone().requires_grad_() for w in weights.values()] for r in range(2)]
    single = [
        SimulatedDeMo(ps, tasks.WORKERS, lr=float(rate), topk=method.k, transform=method.transform)
        for ps, rate in zip(alone, rates, strict=True)
    ]
    together, g = optimiser(weights, method), torch.Generator().manual_seed(0)
    for _ in range(3):
        gradients = {
            name: torch.randn(2, tasks.WORKERS, *w.shape[1:], dtype=torch.float64, generator=g)
            for name, w in weights.items()
        }
        together.step(weights, gradients, rates)
        for r in range(2):
            single[r].step([[x[r, w] for x in gradients.values()] for w in range(tasks.WORKERS)])
    for r in range(2):
        for w, p in zip(weights.values(), alone[r], strict=True):
            assert float((w[r] - p.detach()).abs().max()) < 1e-12


def test_replicas_of_adamw_take_the_steps_of_torch():
    replicas = Replicas(tasks.digits(), (0,), CPU)
    ps = [w[0].clone().requires_grad_() for w in replicas.weights.values()]
    options = {"lr": 1e-2, "betas": training.BETAS, "eps": training.EPSILON, "weight_decay": training.SHRINK}
    peer, ours = torch.optim.AdamW(ps, **options), optimiser(replicas.weights, ADAMW)
    for t in range(3):
        gradients = replicas.gradients(t)
        for p, g in zip(ps, gradients.values(), strict=True):
            p.grad = g[0].mean(0)
        peer.step()
        ours.step(replicas.weights, gradients, torch.tensor([1e-2]))
    for w, p in zip(replicas.weights.values(), ps, strict=True):
        assert float((w[0] - p.detach()).abs().max()) < 1e-5


def test_methods_share_batches_and_starts():
    a, b = Replicas(tasks.digits(), (3, 4), CPU), Replicas(tasks.digits(), (4,), CPU)
    assert torch.equal(a.batches[1], b.batches[0])
    assert all(torch.equal(a.weights[name][1], b.weights[name][0]) for name in a.weights)
    held = set(a.held_out[0].tolist())
    assert not held & set(a.batches[0].flatten().tolist())


def test_the_letters_are_learned_from_other_ones():
    task = tasks.text()
    train, validate = task.split(torch.Generator().manual_seed(0))
    assert int(validate.min()) >= int(train.max()) + tasks.LENGTH
    assert sum(w.numel() for w in task.start(torch.Generator()).values()) == 21088


def test_no_letter_sees_a_later_one():
    task = tasks.text()
    weights = task.start(torch.Generator().manual_seed(0))
    x = torch.zeros(1, tasks.LENGTH, dtype=torch.long)
    y = x.clone()
    y[0, -1] = 5
    before, after = task.logits(weights, x), task.logits(weights, y)
    assert torch.equal(before[0, :-1], after[0, :-1])
    assert not torch.equal(before[0, -1], after[0, -1])


# --- energy --------------------------------------------------------------------------------------------------


def test_controls_compact_where_they_must():
    known = energy.controls()
    assert known["smooth field, cosines"] > 0.99
    assert known["spikes, entries"] == pytest.approx(1.0)
    assert known["smooth field, entries"] < 0.2
    assert known["spikes, cosines"] < 0.2


def test_an_instrument_in_the_wrong_basis(monkeypatch):
    monkeypatch.setattr(energy, "share", lambda x, k, basis="dct": 0.95)
    verdict = REGISTRY["demo_optimizer.energy_compaction_digits"].verdict(HERE)
    assert verdict.status is Status.INCONCLUSIVE
    assert "the controls compact in the wrong basis" in verdict.reason


def test_white_noise_compacts_nowhere():
    x = np.random.default_rng(0).standard_normal((64, 64))
    shares = [energy.share(x, 32, basis) for basis in energy.BASES]
    assert max(shares) - min(shares) < 0.02
