"""`momlp train`: a mixture from a file of points and a file of values."""

from theory.command import Verb

VERBS = {
    "train": Verb(
        "train a mixture on points (B, n) and values (B,) or (B, m), .npy files",
        "theory.trained_momlp.verbs",
        flat="train",
    ),
}
