"""`momlp scaling fit` and `momlp scaling nyquist`: the law of runs that were measured, and what samples determine."""

from theory.command import Verb

VERBS = {
    "fit": Verb("fit the error law to a CSV table of runs, and predict", "theory.scaling_laws.verbs"),
    "nyquist": Verb("samples that determine a band-limited function, and errors below", "theory.scaling_laws.verbs"),
}
