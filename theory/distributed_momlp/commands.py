"""`momlp distributed_momlp plan`: what a mixture costs spread over devices."""

from theory.command import Verb

VERBS = {
    "plan": Verb(
        "print what a mixture costs spread over devices, without building it",
        "theory.distributed_momlp.verbs",
        flat="devices",
        former=True,
        examples=(
            "momlp distributed_momlp plan --n 8 --eps 0.05 --devices 1000 --device-bytes 80000000000",
            "momlp distributed_momlp plan --n 3 --eps 0.1 --devices 4 --device-bytes 1000000 --lipschitz 2",
        ),
    ),
}
