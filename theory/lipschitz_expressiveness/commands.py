"""`momlp lipschitz`: a certified interval for the Lipschitz constant of a network."""

from theory.command import Verb

VERBS = {
    "bounds": Verb(
        "bound the Lipschitz constant of a network, or of a stored model's experts, from both sides",
        "theory.lipschitz_expressiveness.verbs",
        flat="lipschitz",
        examples=(
            "momlp lipschitz model.safetensors --leaf 0",
            "momlp lipschitz networks:small --box '[-1,1]' --method patterns --out cells.png",
        ),
    ),
}
