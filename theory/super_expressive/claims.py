"""What is claimed; the reproductions are in `theory.super_expressive.reproductions`, one function a claim."""

from __future__ import annotations

from theory.claim import Statement, Status
from theory.sources import ABSTRACT_V1, OURS

STATEMENTS = {
    "infinite_vc_dimension": Statement(
        title="One EUAF or sine neuron with one free weight shatters any number of points",
        statement=r"\mathrm{VC}(\{x\mapsto\mathrm{sgn}(\sigma(wx)-\tfrac12)\}_w)=\mathrm{VC}(\{x\mapsto\mathrm{sgn}\sin(wx)\}_w)=\infty",
        source=ABSTRACT_V1,
        expected=Status.PROVED,
        hypotheses=("real arithmetic: a class with b-bit weights has VC dimension at most b times their number",),
    ),
    "floating_point": Statement(
        title="The same neurons in floating point, for every k",
        statement=r"\forall k:\ \text{the float64 (float32) neuron realises all labelings of its } k \text{ points}",
        source=OURS.at("docs/super_expressive.md"),
        expected=Status.REFUTED,
        hypotheses=("false on purpose: the infinity is a real-arithmetic statement",),
    ),
}
