"""What a certificate may say: every status at its edges."""

import math

import pytest

from theory import Evidence, Status
from theory.checkers.uniform_error.branch_and_bound import Goal
from theory.checkers.uniform_error.certificate import Premise, UniformErrorCertificate


def made(**fields):
    defaults = {
        "method": "a_priori",
        "lower": 0.25,
        "upper": 0.5,
        "witness": (0.0,),
        "evidence": Evidence.FLOAT64,
        "premises": (),
        "slack": 0.0,
        "evaluations": 10,
    }
    return UniformErrorCertificate(**defaults | fields)


BAD = (Premise("modulus", True, "fine"), Premise("cells", False, "one is missing"))


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"eps": 0.5}, Status.CERTIFIED),
        ({"eps": 0.6}, Status.CERTIFIED),
        ({"eps": math.nextafter(0.5, 0)}, Status.INCONCLUSIVE),
        ({"eps": 0.25}, Status.INCONCLUSIVE),
        ({"eps": math.nextafter(0.25, 0)}, Status.REFUTED),
        ({"eps": 0.1, "witness": None}, Status.INCONCLUSIVE),
        ({"eps": 0.1, "premises": BAD}, Status.REFUTED),
        ({"eps": 0.6, "premises": BAD}, Status.INCONCLUSIVE),
        ({"eps": None}, Status.CERTIFIED),
        ({"eps": None, "upper": math.inf}, Status.INCONCLUSIVE),
        ({"eps": None, "premises": BAD}, Status.INCONCLUSIVE),
        ({"eps": 0.6, "evidence": Evidence.SAMPLED}, Status.NOT_REFUTED),
        ({"eps": 0.6, "evidence": Evidence.ENCLOSED}, Status.CERTIFIED),
        ({"eps": 0.6, "part": (0, 2)}, Status.INCONCLUSIVE),
        ({"eps": 0.6, "part": (1, 2)}, Status.INCONCLUSIVE),
        ({"eps": 0.1, "part": (1, 2)}, Status.REFUTED),
        ({"eps": 0.6, "part": (0, 2), "evidence": Evidence.SAMPLED}, Status.NOT_REFUTED),
    ],
)
def test_statuses(fields, status):
    assert made(**fields).status is status


def test_reasons_say_what_was_found():
    assert made(eps=0.6).reason == "0.25 ≤ sup|f − f̂| ≤ 0.5"
    assert made(eps=0.3).reason == "0.25 ≤ sup|f − f̂| ≤ 0.5, which does not decide eps = 0.3"
    assert made(eps=0.1).reason == "|f − f̂| ≥ 0.25 > eps = 0.1 at x = (0.0,)"
    assert made(eps=0.6, premises=BAD).reason == "cells: one is missing (FAILS)"
    assert made(eps=0.6, evidence=Evidence.SAMPLED).reason == "largest error found 0.25 on 10 evaluations"
    assert made(eps=0.6, part=(0, 3)).reason.startswith("0.25 ≤ sup|f − f̂| ≤ 0.5 on part 1 of 3")
    assert made(eps=0.6, part=(2, 3)).reason.startswith("0.25 ≤ sup|f − f̂| ≤ 0.5 on part 3 of 3")
    nothing = (Premise("finite outputs", False, "forward() gives [nan] at x = [0.0] (leaf [0])"),)
    assert made(eps=0.1, lower=math.inf, premises=nothing).reason == nothing[0].detail
    assert made().failed == ()
    assert made(premises=BAD).failed == BAD[1:]


def test_defaults_are_the_whole():
    c = made()
    assert (c.part, c.leaves, c.leaves_checked, c.seconds, c.device, c.eps) == ((0, 1), 1, 1, 0.0, "cpu", None)


# --- when a box is settled -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("goal", "lower", "threshold"),
    [
        (Goal(eps=0.5), 0.1, 0.5),
        (Goal(eps=0.5), 0.5, 0.5),
        (Goal(eps=0.5), 0.6, math.inf),
        (Goal(gap=0.1), 0.5, 1.1 * 0.5),
        (Goal(eps=0.5, gap=0.1), 0.1, 1.1 * 0.1),
        (Goal(eps=0.5, gap=0.1), 0.49, 0.5),
        (Goal(eps=0.5, gap=0.1), 0.6, 1.1 * 0.6),
        (Goal(gap=0.1, abs_tol=0.2), 0.1, 0.2),
        (Goal(abs_tol=0.2), 0.1, 0.2),
        (Goal(), 0.1, 0.0),
        (Goal(eps=0.5, abs_tol=0.7), 0.1, 0.7),
    ],
)
def test_thresholds(goal, lower, threshold):
    assert goal.threshold(lower) == pytest.approx(threshold, rel=1e-15)
