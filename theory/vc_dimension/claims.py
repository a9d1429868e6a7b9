"""What is claimed; the reproductions are in `theory.vc_dimension.reproductions`, one function a claim."""

from __future__ import annotations

from theory.claim import Statement, Status
from theory.sources import ABSTRACT_V2, LEMMA, OURS

STATEMENTS = {
    "one_hidden_layer": Statement(
        title="One hidden layer of W units on R^n shatters nW + 1 points",
        statement=r"\mathrm{VC}\ge nW+1",
        source=OURS.at("docs/vc_dimension.md"),
        expected=Status.PROVED,
        hypotheses=("the listed n and W; all labelings enumerated, or covered by the l1 certificate",),
    ),
    "deep": Statement(
        title="Deep networks shatter J^2 W^2 and n J W points, up to constants",
        statement=r"\mathrm{VC}\ge(\lfloor W/2\rfloor+1)^2\ (J,n\ge2),\quad\mathrm{VC}\ge"
        r"\lfloor\tfrac{W-3}2\rfloor^2\tfrac{(J-1)^2-4}8,\ (n-1)\lfloor\tfrac W2\rfloor(J-3)\ (n\ge3,J\ge4,W\ge8)",
        source=OURS.at("docs/vc_dimension.md"),
        expected=Status.PROVED,
        hypotheses=(
            "the listed sizes; all labelings enumerated, or covered by the table certificate",
            "words longer than 52 bits have integer weights that float64 cannot hold",
        ),
    ),
    "routing_only": Statement(
        title="Nearest-prototype routing among L prototypes shatters (L-1)n + 1 points with constant answers",
        statement=r"\mathrm{VC}(\text{flat})\ge(L-1)n+1,\quad\mathrm{VC}(\text{tree})\ge\tfrac L2(n+1)",
        source=OURS.at("docs/vc_dimension.md"),
        expected=Status.PROVED,
        hypotheses=("the listed n and L; routing compared in integers", "tree: L = 2^h"),
    ),
    "mixture": Statement(
        title="A mixture of L experts shatters L times what one expert shatters, flat and tree",
        statement=r"\mathrm{VC}(\text{MoMLP})\ge L\cdot\mathrm{VC}_E",
        source=OURS.at("docs/vc_dimension.md"),
        expected=Status.PROVED,
        hypotheses=("the listed experts and L; the index rule, the tree and the nearest prototype route alike",),
    ),
    "bounds": Statement(
        title="Certified lower and solved upper bounds of 14 architectures, beside the stated expression",
        statement=r"\text{lower}\le\mathrm{VC}\le\text{upper}",
        source=OURS.at("docs/vc_dimension.md"),
        expected=Status.CERTIFIED,
        hypotheses=("ReLU experts with free real weights", "tree: valency 2", LEMMA),
    ),
    "finite": Statement(
        title="MoMLPs have finite VC dimension: lower <= upper on 216 architectures",
        statement=r"L\cdot\mathrm{VC}_E\le\mathrm{VC}(\text{tree}),\mathrm{VC}(\text{flat})"
        r"\le\max\{m:m\le G(m)\}<\infty",
        source=ABSTRACT_V2,
        expected=Status.CERTIFIED,
        hypotheses=(
            "ReLU experts with free real weights",
            "lower: L times the largest of our sets for one expert, certified up to 1000 points, proved above",
            LEMMA,
        ),
    ),
    "routing_term": Statement(
        title="Flat routing enters as nL log L, not as nL^2",
        statement=r"\mathrm{VC}(\text{flat})\le5.3\,L\,(d+(n+1)\log_2 2L),\quad d=\mathrm{VC}_E\ge n+1",
        source=OURS.at("docs/vc_dimension.md"),
        expected=Status.CERTIFIED,
        hypotheses=(
            "nearest of L free prototypes; any experts of VC dimension d",
            "(L-1)n + 1 points: routing_only",
            LEMMA,
        ),
    ),
    "tree_router": Statement(
        title="A tree router loses the log: VC between L d and 12.13 L d",
        statement=r"L\,d\le\mathrm{VC}(\text{tree, valency }v)\le\lambda_v\,L\,d,\quad d=\mathrm{VC}_E\ge n+1",
        source=OURS.at("docs/vc_dimension.md"),
        expected=Status.CERTIFIED,
        hypotheses=(
            "full v-ary tree, free child prototypes",
            "lower side: experts closed under translations and x - c (vc_dimension.mixture)",
            LEMMA,
        ),
    ),
    "width_reading": Statement(
        title="The abstract's rate with W = width, read literally",
        statement=r"\mathrm{VC}\in\tilde O(L\max\{nL,JW\})\quad\text{for all }L,n,J,W,\ W=\text{width}",
        source=ABSTRACT_V2,
        expected=Status.REFUTED,
        hypotheses=(
            "what is refuted is the abstract's sentence read literally, not the paper's theorem",
            "five families of single experts, L = 1; the witness is n = W, J = 1",
        ),
    ),
    "weights_reading": Statement(
        title="The abstract's rate with W = number of weights w, and its sharper form L(n + Jw)",
        statement=r"\mathrm{VC}\le4L(n+Jw)\log_2(2r\log_2r)\in\tilde O(L(n+Jw))\subset\tilde O(L\max\{nL,Jw\})",
        source=ABSTRACT_V2,
        expected=Status.CERTIFIED,
        hypotheses=("w weights an expert, J hidden layers; r is a polynomial in L, J, W", LEMMA),
    ),
    "width_condition": Statement(
        title="Up to logs the width reading fails iff nL and JW are both far below Q = J(nW + (J-1)W^2)",
        statement=r"c\,LQ\le\mathrm{VC}\le\tilde O(L(n+Q)),\quad Q=J(nW+(J-1)W^2)=\Theta(J\cdot P_E)",
        source=ABSTRACT_V2,
        expected=Status.CERTIFIED,
        hypotheses=(
            "lower side: J = 1; or J in {2, 3}, n, W >= 2; or J >= 4, n >= 3, W >= 8",
            "that nL >= Q or JW >= Q implies the width reading holds for all parameters",
            LEMMA,
        ),
    ),
    "single_mlp_lower_bound": Statement(
        title="A3: a single ReLU MLP needs eps^(-n/2) parameters",
        statement=r"P\ge\sqrt{2M/\log_2(eM^{3/2})},\quad M=\lceil 1/(2\varepsilon)\rceil^n,\quad"
        r"P\in\tilde\Omega(\varepsilon^{-n/2})",
        source=ABSTRACT_V2,
        expected=Status.CERTIFIED,
        hypotheses=(
            "all 1-Lipschitz f on [0,1]^n are approximated within eps < 1/2 by one fully connected architecture",
            LEMMA,
        ),
    ),
}
