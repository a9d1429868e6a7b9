"""What is claimed; the reproductions are in `theory.distributed_momlp.reproductions`, one function a claim."""

from __future__ import annotations

from theory.claim import Evidence, Statement, Status
from theory.sources import ABSTRACT_V1, OURS

STATEMENTS = {
    "same_outputs": Statement(
        title="A mixture over many processes answers bitwise like one process",
        statement=r"\hat f_{W\text{ ranks}}(x)=\hat f(x)",
        source=ABSTRACT_V1,
        expected=Status.NOT_REFUTED,
        evidence=Evidence.SAMPLED,
        hypotheses=("float64, processes of one machine, started with torchrun", "spread and totally unbalanced loads"),
        decided_by=(
            "Files that torchrun's processes write are compared bit by bit with the answers of this process, for "
            "loads that are spread and for one that hits a single expert."
        ),
        does_not_say=(
            "Anything about several machines, accelerators, float32 or speed; and nothing beyond the points that "
            "were asked."
        ),
        slow=True,
    ),
    "device_plan": Statement(
        title="The planner's counts equal a measured run",
        statement=r"\text{bytes}=8(W-1)+8n\,r_{\mathrm{in}}+8m\,r_{\mathrm{out}},\quad\text{messages}=3(W-1)",
        source=OURS.at("docs/distributed_momlp.md"),
        expected=Status.NOT_REFUTED,
        evidence=Evidence.SAMPLED,
        hypotheses=("one forward pass", "where the points go is counted apart from the ranks"),
        decided_by=(
            "What ranks hold and send in one forward pass is counted on the running processes and compared by "
            "equality with the planner's formulas."
        ),
        does_not_say=(
            "How long messages take, what torch or the operating system hold besides tensors, or anything about "
            "training."
        ),
    ),
    "memory_budget": Statement(
        title="A model 60 times its budget answers within it, bitwise",
        statement=r"\max_t\,\mathrm{resident}(t)\le\mathrm{budget},\quad\hat f_{\mathrm{budget}}(x)=\hat f(x)",
        source=ABSTRACT_V1,
        expected=Status.NOT_REFUTED,
        evidence=Evidence.SAMPLED,
        hypotheses=(
            "weights, keys, staging, gathered rows, and what routing a batch takes count; queries and answers do not",
        ),
        decided_by=(
            "All tensors that are alive are counted while a stored model answers queries; peak and answers are "
            "compared with the budget and with the whole model, bitwise."
        ),
        does_not_say=(
            "That the process stays below the budget: the interpreter, libraries, queries and answers are not "
            "counted; and anything about time."
        ),
    ),
}
