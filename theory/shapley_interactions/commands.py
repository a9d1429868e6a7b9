"""`momlp explain` of a model: which features, or which experts, made a model's answer."""

from theory.command import Verb

VERBS = {
    "explain": Verb(
        "explain a model's answer at one row by interactions of features, or its loss by experts",
        "theory.shapley_interactions.verbs",
        examples=(
            "momlp shapley_interactions explain trained.safetensors --points X.npy --row 0 --out explanation.png",
            "momlp shapley_interactions explain trained.safetensors --points X.npy --players experts --values Y.npy",
        ),
    ),
}
