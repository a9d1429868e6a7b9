"""`momlp vc_dimension bounds`, `shatter`, `check`: VC dimension bounds and shattered sets."""

from theory.command import Verb

VERBS = {
    "bounds": Verb(
        "bounds on the VC dimension of a mixture of MLP experts, and the eps they rule out",
        "theory.vc_dimension.verbs",
        flat="vc",
        former=True,
        examples=(
            "momlp vc_dimension bounds --n 4 --depth 1 --width 4 --experts 8",
            "momlp vc_dimension bounds --n 3 --depth 17 --width 11 --experts 8 --router tree",
        ),
    ),
    "shatter": Verb(
        "build a shattered set, check it for all labelings, and store it with --out",
        "theory.vc_dimension.verbs",
        flat="shatter",
        former=True,
        examples=(
            "momlp vc_dimension shatter one_hidden_layer --n 2 --width 3",
            "momlp vc_dimension shatter deep --side 2 --blocks 2 --bits 4 --experts 2 --out set.safetensors",
        ),
    ),
    "check": Verb(
        "check a stored shattered set on its own, ours or anyone's",
        "theory.vc_dimension.verbs",
        flat="check",
        former=True,
        examples=("momlp vc_dimension check set.safetensors", "momlp check set.safetensors"),
    ),
}
