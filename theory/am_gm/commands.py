"""`momlp am_gm verify`, `check`, `rates`, `search`: certificate files, given matrices, least squares."""

from theory.command import Verb

VERBS = {
    "verify": Verb(
        "check certificate files exactly, ours or anyone's, and say what they prove",
        "theory.am_gm.verbs",
        examples=("momlp am_gm verify n4m4_upper n4m4_lower", "momlp am_gm verify --shipped 3"),
    ),
    "check": Verb(
        "compare the means with and without repetition of given matrices, in rationals where that is decisive",
        "theory.am_gm.verbs",
        examples=("momlp am_gm check A.npy", "momlp am_gm check A.npy --k 2 --nested"),
    ),
    "rates": Verb(
        "errors of SGD or Kaczmarz on a least-squares problem with and without replacement, plotted with --out",
        "theory.am_gm.verbs",
        examples=(
            "momlp am_gm rates ROWS.npy --epochs 5 --out rates.png",
            "momlp am_gm rates ROWS.npy --step 0.1 --runs 2000",
        ),
    ),
    "search": Verb(
        "search for a certificate by semidefinite programming, and check it exactly (needs the extra sdp)",
        "theory.am_gm.verbs",
        examples=("momlp am_gm search 3 2 upper", "momlp am_gm search 3 3 lower --out mine.json"),
    ),
}
