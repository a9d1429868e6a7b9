"""What is claimed; the reproductions are in `theory.distributed_momlp.reproductions`, one function a claim."""

from __future__ import annotations

from theory.claim import Statement, Status
from theory.sources import ABSTRACT_V1, OURS

STATEMENTS = {
    "same_outputs": Statement(
        title="A mixture over many processes answers bitwise like one process",
        statement=r"\hat f_{W\text{ ranks}}(x)=\hat f(x)",
        source=ABSTRACT_V1,
        expected=Status.NOT_REFUTED,
        hypotheses=("float64, processes of one machine, started with torchrun", "spread and totally unbalanced loads"),
        slow=True,
    ),
    "device_plan": Statement(
        title="The planner's counts equal a measured run",
        statement=r"\text{bytes}=8(W-1)+8n\,r_{\mathrm{in}}+8m\,r_{\mathrm{out}},\quad\text{messages}=3(W-1)",
        source=OURS.at("docs/distributed_momlp.md"),
        expected=Status.NOT_REFUTED,
        hypotheses=("one forward pass", "where the points go is counted apart from the ranks"),
    ),
    "memory_budget": Statement(
        title="A model 60 times its budget answers within it, bitwise",
        statement=r"\max_t\,\mathrm{resident}(t)\le\mathrm{budget},\quad\hat f_{\mathrm{budget}}(x)=\hat f(x)",
        source=ABSTRACT_V1,
        expected=Status.NOT_REFUTED,
        hypotheses=(
            "weights, keys, staging, gathered rows, and what routing a batch takes count; queries and answers do not",
        ),
    ),
}
