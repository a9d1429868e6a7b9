"""What is claimed; the reproductions are in `theory.super_expressive.reproductions`, one function a claim."""

from __future__ import annotations

from theory.claim import Evidence, Statement, Status, part
from theory.sources import ABSTRACT_V1, OURS

STATEMENTS = {
    "infinite_vc_dimension": Statement(
        title="One EUAF or sine neuron with one free weight shatters any number of points",
        statement=r"\mathrm{VC}(\{x\mapsto\mathrm{sgn}(\sigma(wx)-\tfrac12)\}_w)=\mathrm{VC}(\{x\mapsto\mathrm{sgn}\sin(wx)\}_w)=\infty",
        source=ABSTRACT_V1,
        expected=Status.PROVED,
        evidence=Evidence.SYMBOLIC,
        hypotheses=("real arithmetic: a class with b-bit weights has VC dimension at most b times their number",),
        decided_by=(
            "sympy bounds the fraction that the weight leaves for every k; all labelings of up to 12 points and some"
            " of up to 1024 are decided in integers."
        ),
        does_not_say=(
            "That a computer can use it: with b-bit weights the VC dimension is at most b a weight (floating_point),"
            " and infinite VC dimension is no approximation theorem and no statement on learning."
        ),
        files=part(
            "all labelings of up to 12 points and some of 64 and 256, in integers; tails for k < 60, not for every k"
        ),
    ),
    "floating_point": Statement(
        title="The same neurons in floating point, for every k",
        statement=r"\forall k:\ \text{the float64 (float32) neuron realises all labelings of its } k \text{ points}",
        source=OURS.at("docs/super_expressive.md, Theorem 3"),
        expected=Status.REFUTED,
        evidence=Evidence.EXACT,
        hypotheses=("false on purpose: the infinity is a real-arithmetic statement",),
        decided_by=(
            "Networks in float32 and float64 are run on labelings of 1, 2, 3, … points until the first wrong label, "
            "which is the witness."
        ),
        does_not_say=(
            "That other weights or points would fail as early: it is about these neurons with these points; and "
            "anything about ReLU networks, which have a finite VC dimension anyway."
        ),
    ),
}
