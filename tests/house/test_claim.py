"""Verdicts cannot outrun their evidence, and the registry refuses nonsense."""

import math
import pickle
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from theory.checkers.parameter_count import CountComparison
from theory.claim import (
    Claim,
    Context,
    Evidence,
    ProofFiles,
    Report,
    Status,
    Table,
    Verdict,
    ensure,
    part,
    whole,
)
from theory.pathway_tree.tree_structure import Agreement, TreeReport
from theory.super_expressive.checkers import OneWeightReport
from theory.systems import REGISTRY, register, select
from theory.vc_dimension.checkers import ShatteringReport
from theory.verify import run


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


# --- nothing passes by accident -------------------------------------------------------------------------

CERTIFIED = {"status": Status.CERTIFIED, "evidence": Evidence.FLOAT64, "reason": "r"}


@pytest.mark.parametrize(
    ("change", "error", "field"),
    [
        ({"status": "PROVED"}, TypeError, "status"),
        ({"status": "CERTIFIED"}, TypeError, "status"),
        ({"status": None}, TypeError, "status"),
        ({"status": Evidence.EXACT}, TypeError, "status"),
        ({"status": True}, TypeError, "status"),
        ({"evidence": 6}, TypeError, "evidence"),
        ({"evidence": 6.0}, TypeError, "evidence"),
        ({"evidence": float("nan")}, TypeError, "evidence"),
        ({"evidence": True}, TypeError, "evidence"),
        ({"evidence": "EXACT"}, TypeError, "evidence"),
        ({"evidence": Evidence.SAMPLED + 1}, TypeError, "evidence"),
        ({"evidence": None}, TypeError, "evidence"),
        ({"reason": None}, TypeError, "reason"),
        ({"reason": b"r"}, TypeError, "reason"),
        ({"numbers": {"error": float("nan")}}, ValueError, "numbers"),
        ({"numbers": {"error": np.float64("nan")}}, ValueError, "numbers"),
        ({"bounds": {"upper": float("nan")}}, ValueError, "bounds"),
        ({"bounds": {"upper": torch.tensor(1.0)}}, TypeError, "bounds"),
        ({"bounds": {"upper": np.int64(1)}}, TypeError, "bounds"),
        ({"bounds": {"upper": 1j}}, TypeError, "bounds"),
        ({"bounds": {"upper": None}}, TypeError, "bounds"),
        ({"numbers": {3: 1.0}}, TypeError, "numbers"),
        ({"numbers": [1.0]}, TypeError, "numbers"),
        ({"numbers": None}, TypeError, "numbers"),
        ({"witness": 3}, TypeError, "witness"),
        ({"seconds": float("nan")}, ValueError, "seconds"),
        ({"seconds": -1.0}, ValueError, "seconds"),
        ({"seconds": True}, ValueError, "seconds"),
        ({"seconds": "1"}, ValueError, "seconds"),
        ({"device": torch.device("cpu")}, TypeError, "device"),
        ({"seed": -1}, ValueError, "seed"),
        ({"seed": 1.0}, ValueError, "seed"),
        ({"seed": 10**5000}, ValueError, "seed"),
        ({"tables": {"t": Table(("e",), ((0.0,), (float("nan"),)))}}, ValueError, "tables"),
        ({"tables": {"t": (("e",), ((0.0,),))}}, TypeError, "tables"),
        ({"tables": {"t": None}}, TypeError, "tables"),
        ({"tables": {3: Table(("e",), ())}}, TypeError, "tables"),
        ({"tables": [Table(("e",), ())]}, TypeError, "tables"),
        ({"tables": None}, TypeError, "tables"),
    ],
)
def test_a_verdict_takes_nothing_that_only_looks_right(change, error, field):
    assert Verdict(**CERTIFIED).status is Status.CERTIFIED
    with pytest.raises(error, match=f"`{field}`"):
        Verdict(**{**CERTIFIED, **change})


@pytest.mark.parametrize("witness", ["", " ", "\n\t ", "\u2003", None])
def test_a_blank_witness_refutes_nothing(witness):
    with pytest.raises(ValueError, match="witness"):
        Verdict(Status.REFUTED, Evidence.EXACT, "r", witness=witness)


def test_what_an_undecided_or_refuted_claim_measured_may_be_nan():
    nan = {"error": float("nan")}
    table = {"errors": Table(("error",), ((float("nan"),),))}
    assert Verdict(Status.INCONCLUSIVE, Evidence.NONE, "r", tables=table).tables == table
    assert Verdict(Status.INCONCLUSIVE, Evidence.NONE, "r", nan).status is Status.INCONCLUSIVE
    assert Verdict(Status.REFUTED, Evidence.FLOAT64, "r", nan, witness="f(0) is NaN").status is Status.REFUTED
    assert Verdict(Status.CERTIFIED, Evidence.FLOAT64, "r", {"upper": math.inf}).numbers == {"upper": math.inf}


def test_numbers_are_kept_as_they_were_when_the_verdict_was_reached():
    numbers = {"error": 0.1}
    verdict = Verdict(Status.CERTIFIED, Evidence.FLOAT64, "r", numbers)
    numbers["error"] = float("nan")
    assert verdict.numbers == {"error": 0.1}
    with pytest.raises(TypeError):
        verdict.numbers["error"] = 0.0
    assert pickle.loads(pickle.dumps(verdict)) == verdict


def test_tables_are_kept_as_they_were_when_the_verdict_was_reached():
    tables = {"errors": Table(("n", "error"), ((1, 0.1), (2, math.inf)))}
    verdict = Verdict(Status.CERTIFIED, Evidence.FLOAT64, "r", tables=tables)
    tables["errors"] = Table(("n",), ())
    assert verdict.tables["errors"].column("error") == (0.1, math.inf)
    with pytest.raises(TypeError):
        verdict.tables["errors"] = tables["errors"]
    assert pickle.loads(pickle.dumps(verdict)) == verdict
    assert verdict != Verdict(Status.CERTIFIED, Evidence.FLOAT64, "r", tables=tables)
    with pytest.raises(ValueError, match="`name` must be one of n, error"):
        verdict.tables["errors"].column("eps")


@pytest.mark.parametrize(
    ("columns", "rows", "error", "field"),
    [
        (["n"], (), TypeError, "columns"),
        ("n", (), TypeError, "columns"),
        ((1,), (), TypeError, "columns"),
        ((), (), ValueError, "columns"),
        (("n", "n"), (), ValueError, "columns"),
        (("n",), [(1,)], TypeError, "rows"),
        (("n",), ([1],), TypeError, "rows"),
        (("n",), (1,), TypeError, "rows"),
        (("n",), ("1",), TypeError, "rows"),
        (("n",), None, TypeError, "rows"),
        (("n",), ((1, 2),), ValueError, "rows"),
        (("n", "e"), ((1, 0.1), (2,)), ValueError, "rows"),
        (("n",), ((None,),), TypeError, "rows"),
        (("n",), ((1,), (torch.tensor(1.0),)), TypeError, "rows"),
        (("n",), ((np.int64(1),),), TypeError, "rows"),
    ],
)
def test_a_table_takes_nothing_that_only_looks_right(columns, rows, error, field):
    assert Table(("n", "e"), ((1, "1/2"), (2, True))).rows[0] == (1, "1/2")
    with pytest.raises(error, match=f"`{field}`"):
        Table(columns, rows)


@pytest.mark.parametrize(
    ("change", "error", "field"),
    [
        ({"budget": "ful"}, ValueError, "budget"),
        ({"budget": "Full"}, ValueError, "budget"),
        ({"budget": ""}, ValueError, "budget"),
        ({"budget": None}, ValueError, "budget"),
        ({"budget": True}, ValueError, "budget"),
        ({"budget": ["full"]}, ValueError, "budget"),
        ({"device": "gpu0"}, ValueError, "device"),
        ({"device": ""}, ValueError, "device"),
        ({"device": 0}, TypeError, "device"),
        ({"device": None}, TypeError, "device"),
        ({"seed": -1}, ValueError, "seed"),
        ({"seed": 2**63}, ValueError, "seed"),
        ({"seed": 0.0}, ValueError, "seed"),
        ({"seed": True}, ValueError, "seed"),
        ({"seed": None}, ValueError, "seed"),
        ({"log": None}, TypeError, "log"),
        ({"log": "print"}, TypeError, "log"),
    ],
)
def test_a_context_refuses_what_it_would_misread(change, error, field):
    with pytest.raises(error, match=f"`{field}`"):
        Context(**change)


def test_a_context_takes_budgets_and_devices_by_name():
    assert not Context("quick").full
    assert Context("full").full
    assert Context(device="cpu").device == torch.device("cpu")


CLAIM = {"id": "a.b", "title": "t", "statement": "s", "source": "src", "expected": Status.PROVED}


@pytest.mark.parametrize(
    ("change", "error", "field"),
    [
        ({"id": "nodot"}, ValueError, "id"),
        ({"id": "a."}, ValueError, "id"),
        ({"id": "a.b.c"}, ValueError, "id"),
        ({"id": "a b.c"}, ValueError, "id"),
        ({"id": 3}, TypeError, "id"),
        ({"title": None}, TypeError, "title"),
        ({"statement": 1}, TypeError, "statement"),
        ({"source": ["x"]}, TypeError, "source"),
        ({"expected": "PROVED"}, TypeError, "expected"),
        ({"expected": None}, TypeError, "expected"),
        ({"expected": Evidence.EXACT}, TypeError, "expected"),
        ({"hypotheses": "n = 2"}, TypeError, "hypotheses"),
        ({"hypotheses": (1,)}, TypeError, "hypotheses"),
        ({"reproduce": 3}, TypeError, "reproduce"),
        ({"evidence": 6}, TypeError, "evidence"),
        ({"evidence": "EXACT"}, TypeError, "evidence"),
        ({"decided_by": None}, TypeError, "decided_by"),
        ({"does_not_say": 1}, TypeError, "does_not_say"),
        ({"files": "all orders"}, TypeError, "files"),
        ({"files": (True, "all orders")}, TypeError, "files"),
    ],
)
def test_a_claim_refuses_fields_of_another_kind(change, error, field):
    assert Claim(**CLAIM).system == "a"
    with pytest.raises(error, match=f"`{field}`"):
        Claim(**{**CLAIM, **change})


def test_files_say_in_words_what_they_decide():
    assert (whole("all orders").extent, part("two orders").extent) == ("the whole claim", "a part")
    for wrong in (lambda: ProofFiles(1, "x"), lambda: whole(3)):
        with pytest.raises(TypeError, match="must be"):
            wrong()
    with pytest.raises(ValueError, match="`decide` must be some words"):
        part(" ")


@pytest.mark.parametrize("answer", [None, True, Status.PROVED, "PROVED"])
def test_a_reproduction_that_returns_no_verdict_is_inconclusive(answer):
    wrong = Claim(**CLAIM, reproduce=lambda context: answer)
    with pytest.raises(TypeError, match=r"`reproduce` of a\.b must return a Verdict"):
        wrong.verdict(Context())
    (row,) = run([wrong], Context()).rows
    assert row.verdict.status is Status.INCONCLUSIVE
    assert not row.as_expected


def test_a_claim_is_decided_in_a_context():
    with pytest.raises(TypeError, match="`context`"):
        Claim(**CLAIM, reproduce=lambda context: None).verdict({"budget": "full"})


@pytest.mark.parametrize("patterns", ["momlp", None, 3, [3], [None], {"momlp"}, (["momlp"],)])
def test_select_takes_a_list_of_names(patterns):
    with pytest.raises(TypeError, match="`patterns`"):
        select(patterns)


@pytest.mark.parametrize("wrong", [None, "momlp.sharpness", Verdict(**CERTIFIED)])
def test_only_claims_are_registered(wrong):
    before = dict(REGISTRY)
    with pytest.raises(TypeError, match="`claim`"):
        register(wrong)
    assert before == REGISTRY


# --- what instruments answer, and what stops a reproduction ---------------------------------------------


@dataclass(frozen=True)
class Measured(Report):
    size: int
    failure: str | None


@pytest.mark.parametrize("failure", ["", "node 3", False, 0, float("nan")])
def test_a_report_holds_only_without_a_failure(failure):
    assert Report().holds
    assert Measured(3, None).holds
    assert not Measured(3, failure).holds
    if not isinstance(failure, str):
        with pytest.raises(TypeError, match="`failure`"):
            Report(failure)


def test_every_report_of_an_instrument_is_one():
    tree = TreeReport(1, 1, 0, 0, ("node 3 is lost", "node 4"))
    assert (tree.holds, tree.failure) == (False, "node 3 is lost")
    assert TreeReport(1, 1, 0, 0, ()).holds
    assert Agreement(2, 0, None).holds
    assert Agreement(2, 1, "z = 0").failure == "z = 0"
    for kind in (TreeReport, Agreement, CountComparison, ShatteringReport, OneWeightReport):
        assert issubclass(kind, Report)


def decided(*checks, **numbers):
    def reproduce(context):
        for holds in checks:
            ensure(holds, "node 3", **numbers)
        return Verdict(Status.PROVED, Evidence.EXACT, "r")

    return Claim(**CLAIM, reproduce=reproduce).verdict(Context())


def test_what_is_not_ensured_is_inconclusive():
    assert decided(True, Report()).status is Status.PROVED
    verdict = decided(True, False, steps=2, **{"slope n=1": 0.5})
    assert (verdict.status, verdict.reason) == (Status.INCONCLUSIVE, "node 3")
    assert verdict.numbers == {"steps": 2, "slope n=1": 0.5}
    table = Table(("n",), ((1,),))
    verdict = decided(False, steps=2, cases=table)
    assert (verdict.numbers, verdict.tables) == ({"steps": 2}, {"cases": table})
    assert decided(Report("it has no parent")).reason == "node 3: it has no parent"
    assert decided(Report("")).status is Status.INCONCLUSIVE


@pytest.mark.parametrize(
    "holds", [None, 1, 1.0, float("nan"), "yes", np.True_, np.bool_(False), torch.tensor(True), [True]]
)
def test_only_a_report_true_or_false_is_ensured(holds):
    with pytest.raises(TypeError, match="`holds`"):
        decided(holds)
