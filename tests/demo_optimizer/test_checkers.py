"""Instruments for DeMo: each accepts what is right, and rejects an object that was broken on purpose."""

from __future__ import annotations

import random
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch

from constructions.demo_optimizer import DeMo, WorkersDiverged, base, coding, compress, decompress, plan, transforms
from constructions.demo_optimizer.agreement import require_agreement
from constructions.demo_optimizer.transforms import Basis
from theory.claim import Context, Undecided
from theory.demo_optimizer import bounds
from theory.demo_optimizer.checkers.descent import enclosed_step
from theory.demo_optimizer.checkers.messages import sent_entries
from theory.demo_optimizer.checkers.quadratics import Quadratic, run, settles, starves, steps_of
from theory.demo_optimizer.checkers.rationals import ExactDeMo, conserved, hadamard, identity
from theory.demo_optimizer.checkers.slow import SlowDeMo, conserves, contracted, same_parameters, share
from theory.demo_optimizer.reproductions import bytes as counted
from theory.demo_optimizer.reproductions import steps
from theory.demo_optimizer.reproductions.quadratics import STARVING

HERE = Context()
ENCODE, DECODE, MOVE = coding.encode, coding.decode, base.DecoupledMomentum._move


def test_the_worked_example_in_rationals():
    rows = [[(8, 4, 2, 0), (0, 2, -4, 8)], [(1, 0, -3, 3), (2, 2, 0, 1)]]
    half = Fraction(1, 2)
    exact = ExactDeMo([Fraction(0)] * 4, 2, hadamard(4), k=1, beta=half)
    first = exact.step([[Fraction(x) for x in r] for r in rows[0]], half)
    assert first.places == [[0], [1]]
    assert first.residuals[0] == [Fraction(9, 4), Fraction(1, 4), Fraction(-3, 4), Fraction(-7, 4)]
    assert exact.p == [0, -half, 0, -half]
    second = exact.step([[Fraction(x) for x in r] for r in rows[1]], half)
    assert second.places == [[3], [0]]
    assert second.residuals[1] == [Fraction(7, 8), Fraction(-3, 8), Fraction(-9, 8), Fraction(5, 8)]
    assert second.update == [2, 0, 0, 2]
    assert exact.p == [-half, -half, 0, -1]


def test_what_is_lost_is_found_in_rationals():
    g, s = [[Fraction(3), Fraction(1)]], [[Fraction(1), Fraction(0)]]
    eta, beta = [Fraction(1)], Fraction(1, 2)
    assert conserved(g, s, eta, beta, [Fraction(2), Fraction(1)]).holds
    lost = conserved(g, s, eta, beta, [Fraction(2), Fraction(0)])
    assert lost.failure == "entry 1: the residual is 0, what was not sent sums to 1"
    assert conserved(g, [], eta, beta, []).failure == "1 gradients, 0 sent rows and 1 rates"


# --- broken encoders and decoders ----------------------------------------------------------------------------


def keeps_everything(gradient, residual, basis, **options):
    sent = ENCODE(gradient, residual, basis, **options)
    return sent._replace(residual=residual * options["decay"] + gradient * options["rate"])


def forgets_the_cast(gradient, residual, basis, **options):
    exact = ENCODE(gradient, residual, basis, **{**options, "wire_dtype": None})
    return ENCODE(gradient, residual, basis, **options)._replace(residual=exact.residual)


def forgets_the_rate(gradient, residual, basis, **options):
    return ENCODE(gradient, residual, basis, **{**options, "rate": torch.tensor(1.0, dtype=torch.float64)})


def mean_over_all(places, values, size, dtype):
    total = torch.zeros(len(places[0]), size, dtype=dtype)
    for at, sent in zip(places, values, strict=True):
        total = total.scatter(1, at, total.gather(1, at) + sent.to(dtype))
    return total / len(places)


def largest_signed(coefficients, k):
    return coefficients.topk(k, dim=1).indices.sort(dim=1).values


def rejected(check, match, monkeypatch, where, name, broken):
    monkeypatch.setattr(where, name, broken)
    with pytest.raises(Undecided, match=match):
        check()


def test_a_residual_that_keeps_what_was_sent(monkeypatch):
    check = lambda: steps.conservation(HERE)  # noqa: E731
    rejected(
        check,
        r"values sent as torch\.bfloat16: worker 0: the residual is off",
        monkeypatch,
        plan,
        "encode",
        keeps_everything,
    )
    dyadic = lambda: steps.dyadic_run("hadamard", 4, 2, random.Random(0), torch.device("cpu"))  # noqa: E731
    with pytest.raises(Undecided, match="residuals of worker 0 differ"):
        dyadic()


def test_a_cast_that_is_not_fed_back(monkeypatch):
    assert steps.rounded_on_the_wire(HERE, torch.bfloat16).holds
    monkeypatch.setattr(plan, "encode", forgets_the_cast)
    report = steps.rounded_on_the_wire(HERE, torch.bfloat16)
    assert report.failure.startswith("worker 0: the residual is off by")


def test_a_mean_over_all_workers(monkeypatch):
    check = lambda: steps.slow_and_ours(HERE, 2, 3)  # noqa: E731
    assert check() <= 1e-14
    rejected(
        check,
        r"step \d: parameter \d: \d+ of \d+ entries differ",
        monkeypatch,
        coding,
        "mean_over_senders",
        mean_over_all,
    )


def test_a_mean_over_all_workers_cannot_be_seen_without_a_transform():
    g = np.random.default_rng(0)
    p = torch.zeros(6, 6, dtype=torch.float64)
    places = [torch.tensor([[0, 3]]), torch.tensor([[3, 5]])]
    values = [torch.tensor(g.standard_normal((1, 2))) for _ in range(2)]
    means = [rule(places, values, 36, p.dtype) for rule in (coding.mean_over_senders, mean_over_all)]
    assert torch.equal(means[0].sign(), means[1].sign())
    assert not torch.equal(*means)


def test_a_momentum_without_the_rate(monkeypatch):
    monkeypatch.setattr(plan, "encode", forgets_the_rate)
    assert "the residual is off" in steps.rounded_on_the_wire(HERE, torch.float32).failure


def test_the_largest_by_sign(monkeypatch):
    check = lambda: steps.contraction(HERE)  # noqa: E731
    rejected(check, "a constant gradient reaches|is left, at most", monkeypatch, coding, "largest", largest_signed)
    x = np.array([[-3.0, 1.0]])
    assert contracted(x, np.array([[0.0, 1.0]]), 1).holds
    assert contracted(x, np.array([[-3.0, 0.0]]), 1).failure == "9 of 10 is left, at most 5 may be"


def test_the_transform_for_its_inverse(monkeypatch):
    rejected(
        lambda: steps.slow_and_ours(HERE, 2, 3),
        "entries differ|residual is off",
        monkeypatch,
        Basis,
        "inverse",
        Basis.forward,
    )


def test_a_first_row_that_is_too_long(monkeypatch):
    right = transforms.dct_matrix

    def broken(size):
        matrix = right(size)
        matrix[0] *= 2**0.5
        return matrix

    rejected(
        lambda: steps.contraction(HERE),
        "is left, at most|constant gradient",
        monkeypatch,
        transforms,
        "dct_matrix",
        broken,
    )
    with pytest.raises(Undecided, match=r"entries differ|residual is off"):
        steps.slow_and_ours(HERE, 2, 3)


def test_weight_decay_after_the_update(monkeypatch):
    """Off by η²λ an entry: far below a step, so twins are compared closely here."""

    def after(self, signs):
        before = {i: p.detach().clone() for i, (_, p) in enumerate(self._parameters())}
        MOVE(self, signs)
        for i, sign in signs.items():
            g, p = self._parameters()[i]
            group = self.param_groups[g]
            p.copy_((before[i] - group["lr"] * sign.sign()) * (1 - group["lr"] * group["weight_decay"]))

    steps.slow_and_ours(HERE, 2, 3)
    rejected(
        lambda: steps.slow_and_ours(HERE, 2, 3),
        "weights are off by",
        monkeypatch,
        base.DecoupledMomentum,
        "_move",
        after,
    )


def test_places_of_one_byte_in_large_chunks(monkeypatch):
    p = torch.zeros(64, 64, requires_grad=True)
    g = torch.randn(64, 64, generator=torch.Generator().manual_seed(0))

    def message():
        ours = steps.SimulatedDeMo([p], 1, topk=32)
        ours.step([[g]])
        return ours.messages[0].numpy()

    right = message()
    assert len(right) == bounds.packed_bytes([(64, 64)], 32, 4) + 8
    assert np.linalg.norm(sent_entries(right, (64, 64), 32, 4)) < np.linalg.norm(g)
    monkeypatch.setattr(plan, "index_dtype", lambda size: torch.uint8)
    wrong = message()
    assert len(wrong) != bounds.packed_bytes([(64, 64)], 32, 4) + 8
    with pytest.raises(ValueError, match="`message` must be 200 bytes, got 168"):
        sent_entries(wrong, (64, 64), 32, 4)


# --- what the optimiser does around a step -------------------------------------------------------------------


def quadratic_step(optimizer, p):
    scale = torch.arange(1.0, 5.0, dtype=torch.float64)

    def closure():
        optimizer.zero_grad()
        loss = (scale * p**2).sum() / 2
        loss.backward()
        return loss

    optimizer.step(closure)
    return p.detach().tolist()


def test_a_closure_is_called_before_the_update():
    class After(DeMo):
        def step(self, closure=None):
            super().step()
            return closure() if closure else None

    start, right = [1.0, -2.0, 3.0, 4.0], [0.9, -1.9, 2.9, 3.9]
    found = []
    for kind in (DeMo, After):
        p = torch.tensor(start, dtype=torch.float64, requires_grad=True)
        found.append(quadratic_step(kind([p], lr=0.1, topk=4), p))
    assert found[0] == pytest.approx(right)
    assert found[1] != pytest.approx(right)


def resumed(forget):
    g = torch.Generator().manual_seed(0)
    gradients = torch.randn(6, 8, 8, generator=g)
    results = []
    for pause in (None, 3):
        p = torch.zeros(8, 8, requires_grad=True)
        optimizer = DeMo([p], lr=0.1, topk=3)
        for t in range(6):
            if t == pause:
                saved = optimizer.state_dict()
                optimizer = DeMo([p], lr=0.1, topk=3)
                if forget:
                    saved["state"] = {}
                optimizer.load_state_dict(saved)
            p.grad = gradients[t]
            optimizer.step()
        results.append(p.detach().clone())
    return torch.equal(*results)


def test_residuals_are_part_of_the_state():
    assert resumed(forget=False)
    assert not resumed(forget=True)


def test_the_order_of_workers_matters():
    """Three values whose sum depends on the order: a rank that begins with its own takes another step."""
    places = [torch.zeros(1, 1, dtype=torch.long)] * 3
    values = [torch.tensor([[v]], dtype=torch.float64) for v in (1e16, -1e16, 1.0)]

    def step(order):
        return coding.decode(places, [values[i] for i in order], Basis(None, None), (1, 2), dtype=torch.float64)

    assert not torch.equal(step((0, 1, 2)), step((1, 2, 0)))


class Two:
    """Stands in for two workers, of which the other one holds `other`."""

    world = 2

    def __init__(self, other):
        self.other = other

    def gather(self, message, stage):
        return [message, self.other]


def test_one_ulp_on_one_worker_is_named():
    from constructions.demo_optimizer.agreement import digests

    a, b = torch.ones(3), torch.full((2, 2), 0.1)
    require_agreement(["'a'", "'b'"], [a, b], Two(digests([a, b])))
    moved = torch.nextafter(b, torch.tensor(1.0))
    with pytest.raises(WorkersDiverged, match="parameter 'b' differs on rank 1"):
        require_agreement(["'a'", "'b'"], [a, b], Two(digests([a, moved])))


# --- formulas and instances ----------------------------------------------------------------------------------


def test_a_formula_without_the_minimum():
    assert counted.counted_payload([(7,)], 32, 8, 4) == 7 * 12 == bounds.payload_bytes([(7,)], 32, 8, 4)
    assert counted.counted_payload([(7,)], 32, 8, 4) != 32 * 12


def test_a_formula_that_is_wrong_is_rejected(monkeypatch):
    without = lambda shapes, k, p, v, chunk=64: sum(bounds.sides(s)[0] * k * (p + v) for s in shapes)  # noqa: E731
    rejected(lambda: counted.payload(HERE), "bytes are said", monkeypatch, bounds, "payload_bytes", without)


def test_the_radius_needs_the_largest_curvature():
    within = steps_of(STARVING)
    seen = run(STARVING, within + 20)
    assert settles(STARVING, seen, within).holds
    small = settles(STARVING, seen, within, radius=STARVING.eta)
    assert small.failure == f"after {within} steps the gradient is above 1/10"
    short = settles(STARVING, run(STARVING, within - 1), within)
    assert short.failure == f"{within - 1} steps were seen, {within} are needed"


def test_what_starves_and_what_does_not():
    assert starves(STARVING, run(STARVING, 50), 0).holds
    mild = replace(STARVING, curvatures=(1, 190))
    assert starves(mild, run(mild, 50), 0).failure == "the coordinate was sent"
    both = replace(STARVING, k=2)
    assert not starves(both, run(both, 50), 0).holds
    early = starves(mild, run(mild, 5), 0)
    assert early.failure.startswith("its momentum may reach 1")


def test_an_invariant_is_needed_for_ever():
    later = Quadratic((1, 190), STARVING.start, STARVING.eta, STARVING.beta, 1)
    assert all(0 not in places for places in run(later, 10).sent)
    assert not starves(later, run(later, 10), 0).holds


def test_a_witness_that_descends():
    assert enclosed_step((1, 2, 3, 4)).product > 0
    with pytest.raises(ValueError, match="provably the largest"):
        enclosed_step((0, 0, 0, 0))


def test_shares_count_each_chunk():
    x = np.zeros((64, 128))
    x[0, 0] = x[0, 64] = 1.0
    assert share(x, 1, "identity") == 1.0
    assert float(np.sort((x * x).ravel())[-1] / (x * x).sum()) == 0.5  # k of the whole tensor is another share


def test_twins_that_differ():
    a = [np.zeros((2, 2))]
    assert same_parameters(a, [np.zeros((2, 2))], 0.1).holds
    assert same_parameters(a, [np.full((2, 2), np.nan)], 0.1).failure == "parameter 0: 4 of 4 entries differ"
    assert same_parameters(a, [np.zeros(4)], 0.1).failure == "parameter 0 has shape (2, 2), not (4,)"
    assert same_parameters(a, [], 0.1).failure == "1 parameters against 0"


def test_nan_is_not_conserved():
    g = np.full((2, 2), np.nan)
    assert not conserves([g], [g], [0.1], 0.9, np.zeros((2, 2))).holds
    assert not contracted(g, g, 1).holds


def test_the_slow_twin_without_a_transform():
    slow = SlowDeMo([np.zeros(3)], 1, decay=0.5, k=1, transform="identity")
    slow.step([[np.array([1.0, -4.0, 2.0])]], 0.5)
    assert slow.p[0].tolist() == [0.0, 0.5, 0.0]
    assert slow.residuals[0][0].tolist() == [0.5, 0.0, 1.0]


def test_matrices_of_the_rational_twin():
    assert identity(2) == [[1, 0], [0, 1]]
    with pytest.raises(ValueError, match="`n` must be a power of 4, got 8"):
        hadamard(8)


def test_compressed_and_back():
    x = torch.randn(64, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    rest = x - decompress(compress(x, topk=64 * 64))
    assert float(rest.abs().max()) < 1e-12
