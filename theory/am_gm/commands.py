"""`momlp am_gm verify`, `check`, `rates`, `search`: certificate files, given matrices, least squares."""

from theory.command import Verb

VERBS = {
    "verify": Verb(
        "check certificate files exactly, ours or anyone's, and say what they prove",
        "theory.am_gm.verbs",
    ),
    "check": Verb(
        "compare the means with and without repetition of given matrices, in rationals where that is decisive",
        "theory.am_gm.verbs",
    ),
    "rates": Verb(
        "errors of SGD or Kaczmarz on a least-squares problem with and without replacement, plotted with --out",
        "theory.am_gm.verbs",
    ),
    "search": Verb(
        "search for a certificate by semidefinite programming, and check it exactly (needs the extra sdp)",
        "theory.am_gm.verbs",
    ),
}
