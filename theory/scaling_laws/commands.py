"""`momlp scaling fit` and `momlp scaling nyquist`: the law of runs that were measured, and what samples determine."""

from theory.command import Verb

VERBS = {
    "fit": Verb(
        "fit the error law to a CSV table of runs, and predict",
        "theory.scaling_laws.verbs",
        examples=(
            "momlp scaling fit runs.csv --group seed --largest 'n>512' --target 0.1 --plot runs.png",
            "momlp scaling fit runs.csv --sizes n,m --group seed --at n=8192,m=256 --json",
        ),
    ),
    "nyquist": Verb(
        "samples that determine a band-limited function, and errors below",
        "theory.scaling_laws.verbs",
        examples=(
            "momlp scaling nyquist --bandwidth 10",
            "momlp scaling nyquist --bandwidth 3 --dimension 2 --samples 40 49 60 --variance 0.01",
        ),
    ),
}
