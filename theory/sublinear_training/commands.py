"""`momlp sublinear_training run`: train a wide network on points and labels, and count what that takes."""

from theory.command import Verb

VERBS = {
    "run": Verb(
        "train on points (n, d) of norm 1 and labels (n,), counting operations", "theory.sublinear_training.verbs"
    ),
    "costs": Verb("operations of all methods against width, and a plot with --out", "theory.sublinear_training.verbs"),
}
