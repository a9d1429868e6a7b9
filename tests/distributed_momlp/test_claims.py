"""Claims over many processes hold, and fail on a changed bit, a wrong plan, a lost expert, a greedy model."""

from dataclasses import replace

import numpy as np
import pytest

import theory.distributed_momlp.reproductions as claims
from constructions import load
from constructions.distributed_momlp import Shards
from theory.claim import Context, Status
from theory.systems import REGISTRY


@pytest.fixture
def in_process(monkeypatch):
    """Ranks played by this process, and a way to spoil what they return."""

    def install(spoil):
        def evaluate(folder, x, processes, *, batch):
            model = load(folder / "model.safetensors")
            reports = [{"rank": r, "experts": c} for r, c in enumerate(Shards.of(model.tree, processes).counts)]
            found = model(x).numpy().copy()
            spoil(found, reports)
            return found, reports

        monkeypatch.setattr(claims, "evaluate_by_torchrun", evaluate)
        return REGISTRY["distributed_momlp.same_outputs"].verdict(Context())

    return install


def test_one_changed_bit_is_refuted(in_process):
    def spoil(found, reports):
        found[4321] = np.nextafter(found[4321], 9.0)

    verdict = in_process(spoil)
    assert verdict.status is Status.REFUTED
    assert "2 ranks, x = [" in verdict.witness


def test_a_lost_expert_is_noticed(in_process):
    def spoil(found, reports):
        reports[1]["experts"] -= 1

    assert in_process(spoil).status is Status.INCONCLUSIVE


def test_equal_outputs_pass(in_process):
    assert in_process(lambda found, reports: None).status is Status.NOT_REFUTED


def test_a_wrong_plan_is_refuted(monkeypatch):
    honest = claims.plan_devices
    monkeypatch.setattr(claims, "plan_devices", lambda *a, **k: replace(honest(*a, **k), bytes=1))
    verdict = REGISTRY["distributed_momlp.device_plan"].verdict(Context())
    assert verdict.status is Status.REFUTED
    assert "planned 1, measured" in verdict.witness


def test_a_greedy_model_is_refuted(monkeypatch):
    def greedy(path, *, lazy, budget_bytes, device):
        return load(path, lazy=lazy, cache_bytes=100 * budget_bytes, device=device)

    monkeypatch.setattr(claims, "load", greedy)
    verdict = REGISTRY["distributed_momlp.memory_budget"].verdict(Context())
    assert verdict.status is Status.REFUTED
    assert "peak" in verdict.witness


def test_a_model_within_its_budget_but_wrong_is_refuted(monkeypatch):
    honest = claims.stream

    def wrong(model, batches):
        for i, part in enumerate(honest(model, batches)):
            yield part + 1e-16 * (i == 3)

    monkeypatch.setattr(claims, "stream", wrong)
    verdict = REGISTRY["distributed_momlp.memory_budget"].verdict(Context())
    assert verdict.status is Status.REFUTED
    assert "within the budget" in verdict.witness
