"""`momlp sublinear_training run`: train a wide network on points and labels, and count what that takes."""

from theory.command import Verb

VERBS = {
    "run": Verb(
        "train on points (n, d) of norm 1 and labels (n,), counting operations",
        "theory.sublinear_training.verbs",
        examples=(
            "momlp sublinear_training run --data D.npy --labels L.npy --normalise --width 4096",
            "momlp sublinear_training run --data D.npy --labels L.npy --normalise --width 512 --report R.json",
        ),
    ),
    "costs": Verb(
        "operations of all methods against width, and a plot with --out",
        "theory.sublinear_training.verbs",
        examples=(
            "momlp sublinear_training costs --largest 11",
            "momlp sublinear_training costs --points 16 --largest 12 --out costs.png",
        ),
    ),
}
