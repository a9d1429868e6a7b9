"""`momlp distributed_momlp plan`: what a mixture costs spread over devices."""

from theory.command import Verb

VERBS = {
    "plan": Verb(
        "print what a mixture costs spread over devices, without building it",
        "theory.distributed_momlp.verbs",
        flat="devices",
        former=True,
    ),
}
