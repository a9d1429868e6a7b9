"""`momlp vc_dimension bounds`, `shatter`, `check`: VC dimension bounds and shattered sets."""

from theory.command import Verb

VERBS = {
    "bounds": Verb(
        "bounds on the VC dimension of a mixture of MLP experts, and the eps they rule out",
        "theory.vc_dimension.verbs",
        flat="vc",
        former=True,
    ),
    "shatter": Verb(
        "build a shattered set, check it for all labelings, and store it with --out",
        "theory.vc_dimension.verbs",
        flat="shatter",
        former=True,
    ),
    "check": Verb(
        "check a stored shattered set on its own, ours or anyone's",
        "theory.vc_dimension.verbs",
        flat="check",
        former=True,
    ),
}
