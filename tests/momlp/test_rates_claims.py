"""Counts, rates and trade-off: numbers as declared, and a wasteful expert is not proved."""

import pytest
import torch

from theory.claim import Context, Status
from theory.systems import REGISTRY


@pytest.mark.rate
def test_slopes_are_as_declared():
    numbers = REGISTRY["rates.slopes"].verdict(Context()).numbers
    for n in range(2, 7):
        assert abs(numbers[f"slope_P_n{n}"] - 1) <= 0.015
        assert abs(numbers[f"slope_L_n{n}"] / (n - 1) - 1) <= 0.01
        assert abs(numbers[f"eps_P_over_limit_n{n}"] - 1) <= 0.02


def test_a_wrong_count_is_not_proved(monkeypatch):
    from constructions.momlp import pencil

    honest = pencil.network

    def wasteful(*weights):
        return torch.nn.Sequential(*honest(*weights), torch.nn.Linear(1, 1))

    monkeypatch.setattr(pencil, "network", wasteful)
    verdict = REGISTRY["rates.active_parameters"].verdict(Context())
    assert verdict.status is Status.INCONCLUSIVE
    assert "active: measured" in verdict.reason
