"""Verdicts cannot outrun their evidence, and the registry refuses nonsense."""

import pytest

import theory.claims  # noqa: F401
from theory.claim import REGISTRY, Claim, Context, Evidence, Status, Verdict, register, select


@pytest.mark.parametrize(
    ("status", "evidence", "allowed"),
    [
        (Status.PROVED, Evidence.EXACT, True),
        (Status.PROVED, Evidence.SYMBOLIC, True),
        (Status.PROVED, Evidence.ENCLOSED, False),
        (Status.PROVED, Evidence.FLOAT64, False),
        (Status.PROVED, Evidence.SAMPLED, False),
        (Status.CERTIFIED, Evidence.ENCLOSED, True),
        (Status.CERTIFIED, Evidence.FLOAT64, True),
        (Status.CERTIFIED, Evidence.SAMPLED, False),
        (Status.CERTIFIED, Evidence.FITTED, False),
        (Status.NOT_REFUTED, Evidence.SAMPLED, True),
        (Status.NOT_REFUTED, Evidence.FITTED, True),
        (Status.NOT_REFUTED, Evidence.NONE, False),
        (Status.INCONCLUSIVE, Evidence.NONE, True),
        (Status.OPEN, Evidence.NONE, True),
    ],
)
def test_status_needs_evidence(status, evidence, allowed):
    if allowed:
        assert Verdict(status, evidence, "r").status is status
    else:
        with pytest.raises(ValueError, match="needs evidence"):
            Verdict(status, evidence, "r")


def test_refuted_needs_a_witness():
    with pytest.raises(ValueError, match="witness"):
        Verdict(Status.REFUTED, Evidence.EXACT, "r")
    assert Verdict(Status.REFUTED, Evidence.SAMPLED, "r", witness="x = 3").witness


def test_registry_refuses_duplicates_and_bad_ids():
    existing = next(iter(REGISTRY.values()))
    with pytest.raises(ValueError, match="registered already"):
        register(existing)
    with pytest.raises(ValueError, match=r"system\.name"):
        register(Claim("nodot", "t", "s", "src", Status.OPEN))
    assert "nodot" not in REGISTRY


def test_select_by_id_and_system():
    assert [c.id for c in select(["momlp.sharpness"])] == ["momlp.sharpness"]
    assert len(select(["momlp"])) == len([c for c in REGISTRY if c.startswith("momlp.")])
    assert len(select([])) == len(REGISTRY)
    with pytest.raises(ValueError, match="no claim or system named nope"):
        select(["nope"])


def test_a_claim_without_reproduction_is_open():
    verdict = Claim("a.b", "t", "s", "src", Status.OPEN).verdict(Context())
    assert verdict.status is Status.OPEN
