"""What is claimed; the reproductions are in `theory.trained_momlp.reproductions`, one function a claim."""

from __future__ import annotations

from theory.claim import Statement, Status
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


def _ahead(task: str, expected: Status) -> Statement:
    return Statement(
        title=f"On {task.replace('_', ' ')}, a trained MoMLP beats a larger centralised MLP",
        statement=r"\mathbb E[\mathrm{err}(\mathrm{MoMLP})]<\mathbb E[\mathrm{err}(\mathrm{MLP})]",
        source=ABSTRACT_V1,
        expected=expected,
        hypotheses=("paired 95 % Student interval", "same splits, steps, points a step and early stopping"),
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
        hypotheses=("600 steps in both budgets", "beside trained_momlp.two_spirals, which trains longer and says no"),
    ),
    "budgeted_training": Statement(
        title="Training expert by expert within a byte budget gives bitwise the joint result",
        statement=r"\theta_{\mathrm{budget}}=\theta_{\mathrm{joint}},\quad\max_t\,\mathrm{resident}(t)\le\mathrm{budget}",
        source=ABSTRACT_V1,
        expected=Status.NOT_REFUTED,
        hypotheses=(
            "independent experts",
            "one machine, one number of threads",
            "the data wait on the host; what is on the device counts",
            "measured on the tensors of that device",
        ),
    ),
}
