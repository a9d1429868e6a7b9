"""`momlp train`: a mixture from a file of points and a file of values."""

from theory.command import Verb

VERBS = {
    "train": Verb(
        "train a mixture on points (B, n) and values (B,) or (B, m), .npy files",
        "theory.trained_momlp.verbs",
        flat="train",
        examples=(
            "momlp train --points X.npy --values Y.npy --leaves 4 --steps 200 --out trained.safetensors",
            "momlp train --points X.npy --values labels.npy --task classification --leaves 4 --steps 200"
            " --out classes.safetensors",
        ),
    ),
}
