"""What is claimed; the reproductions are in `theory.trained_momlp.reproductions`, one function a claim."""

from __future__ import annotations

from theory.claim import Evidence, Statement, Status
from theory.sources import ABSTRACT_V1

# what these splits, seeds and sizes say; the sentence is false as a general rule
EXPECTED = {
    "weierstrass": Status.NOT_REFUTED,
    "checkerboard": Status.NOT_REFUTED,
    "sum_of_sines": Status.REFUTED,
    "max_affine": Status.REFUTED,
    "franke": Status.REFUTED,
    "friedman": Status.REFUTED,
    "two_spirals": Status.REFUTED,
    "digits": Status.REFUTED,
    "breast_cancer": Status.REFUTED,
}

QUICK = ("weierstrass", "checkerboard")
"""Tasks whose reproduction takes seconds: a win each."""


PAIRED = (
    "Mixture and larger central MLP are trained on the same splits with the same steps; the paired 95 % Student "
    "interval of the difference of test errors"
)
WON = (
    "That mixtures win in general: on seven of nine tasks here they do not; steps are counted, not seconds, and "
    "neither method was tuned beyond its learning rate."
)
LOST = (
    "That no mixture can win on this task: other numbers of experts, longer training or other routers were not "
    "tried; the abstract's sentence is refuted as a rule, not its experiments."
)


def _ahead(task: str, expected: Status) -> Statement:
    wins = expected is Status.NOT_REFUTED
    return Statement(
        title=f"On {task.replace('_', ' ')}, a trained MoMLP beats a larger centralised MLP",
        statement=r"\mathbb E[\mathrm{err}(\mathrm{MoMLP})]<\mathbb E[\mathrm{err}(\mathrm{MLP})]",
        source=ABSTRACT_V1,
        expected=expected,
        evidence=Evidence.SAMPLED,
        hypotheses=("paired 95 % Student interval", "same splits, steps, points a step and early stopping"),
        decided_by=f"{PAIRED} lies {'below' if wins else 'above'} 0{'' if wins else ', which is the witness'}.",
        does_not_say=WON if wins else LOST,
        slow=task not in QUICK,
    )


STATEMENTS = {
    **{task: _ahead(task, status) for task, status in EXPECTED.items()},
    "two_spirals_short": Statement(
        title="On two spirals, a trained MoMLP is ahead as long as the central MLP is far from converged",
        statement=r"\mathbb E[\mathrm{err}(\mathrm{MoMLP})]<\mathbb E[\mathrm{err}(\mathrm{MLP})]"
        r"\text{ after 600 steps}",
        source=ABSTRACT_V1,
        expected=Status.NOT_REFUTED,
        evidence=Evidence.SAMPLED,
        hypotheses=("600 steps in both budgets", "beside trained_momlp.two_spirals, which trains longer and says no"),
        decided_by=(
            "The paired comparison of two_spirals after 600 steps: the 95 % Student interval of the difference of "
            "test errors lies below 0."
        ),
        does_not_say=(
            "That mixtures are ahead once both are trained: after 2000 steps the verdict turns around (two_spirals)."
        ),
    ),
    "budgeted_training": Statement(
        title="Training expert by expert within a byte budget gives bitwise the joint result",
        statement=r"\theta_{\mathrm{budget}}=\theta_{\mathrm{joint}},\quad\max_t\,\mathrm{resident}(t)\le\mathrm{budget}",
        source=ABSTRACT_V1,
        expected=Status.NOT_REFUTED,
        evidence=Evidence.SAMPLED,
        hypotheses=(
            "independent experts",
            "one machine, one number of threads",
            "the data wait on the host; what is on the device counts",
            "measured on the tensors of that device",
        ),
        decided_by=(
            "The same bank is trained at once and in groups that fit a budget; weights are compared bit by bit and "
            "live tensors counted throughout."
        ),
        does_not_say=(
            "That budgets below one expert work, that other machines or numbers of threads give the same bits, or "
            "anything about time."
        ),
    ),
}
