"""What is claimed; the reproductions are in `theory.vc_dimension.reproductions`, one function a claim."""

from __future__ import annotations

from theory.claim import Evidence, Statement, Status, part
from theory.sources import ABSTRACT_V2, LEMMA, OURS

STATEMENTS = {
    "one_hidden_layer": Statement(
        title="One hidden layer of W units on R^n shatters nW + 1 points",
        statement=r"\mathrm{VC}\ge nW+1",
        source=OURS.at("docs/vc_dimension.md, Theorem 6"),
        expected=Status.PROVED,
        evidence=Evidence.EXACT,
        hypotheses=("the listed n and W; all labelings enumerated, or covered by the l1 certificate",),
        decided_by=(
            "For sets of up to 17 points every labeling gets its own network, evaluated exactly; larger sets have a "
            "certificate that is sound for all labelings, checked in integers."
        ),
        does_not_say=(
            "That nW + 1 is the VC dimension: it is a lower bound, for free real weights; nothing is said about what"
            " training finds, or about generalisation."
        ),
        files=part("all labelings of three sets of 5, 9 and 10 points; not the ten others, nor certificates"),
    ),
    "deep": Statement(
        title="Deep networks shatter J^2 W^2 and n J W points, up to constants",
        statement=r"\mathrm{VC}\ge(\lfloor W/2\rfloor+1)^2\ (J,n\ge2),\quad\mathrm{VC}\ge"
        r"\lfloor\tfrac{W-3}2\rfloor^2\tfrac{(J-1)^2-4}8,\ (n-1)\lfloor\tfrac W2\rfloor(J-3)\ (n\ge3,J\ge4,W\ge8)",
        source=OURS.at("docs/vc_dimension.md, Theorem 7, Theorem 8"),
        expected=Status.PROVED,
        evidence=Evidence.EXACT,
        hypotheses=(
            "the listed sizes; all labelings enumerated, or covered by the table certificate",
            "words longer than 52 bits have integer weights that float64 cannot hold",
        ),
        decided_by=(
            "All labelings of small grids, deep and wide networks are run; larger sets have a certificate of their "
            "tables and layers in integers that covers all labelings."
        ),
        does_not_say=(
            "That these are the best sets, or that float64 could hold the weights of words longer than 52 bits; up "
            "to constants means factors of 8 and more."
        ),
        files=part("all labelings of four small sets of at most 9 points; not the larger ones, nor certificates"),
    ),
    "routing_only": Statement(
        title="Nearest-prototype routing among L prototypes shatters (L-1)n + 1 points with constant answers",
        statement=r"\mathrm{VC}(\text{flat})\ge(L-1)n+1,\quad\mathrm{VC}(\text{tree})\ge\tfrac L2(n+1)",
        source=OURS.at("docs/vc_dimension.md, Theorem 9"),
        expected=Status.PROVED,
        evidence=Evidence.EXACT,
        hypotheses=("the listed n and L; routing compared in integers", "tree: L = 2^h"),
        decided_by=(
            "All labelings of small sets are routed in integers; larger ones have a certificate, and two random "
            "labelings are routed beside it."
        ),
        does_not_say=(
            "Anything about routers that are not nearest-prototype, or about the VC dimension from above "
            "(routing_term)."
        ),
        files=part(
            "all labelings of six small sets of at most 8 points, flat and down a tree; not the larger ones, nor "
            "certificates"
        ),
    ),
    "mixture": Statement(
        title="A mixture of L experts shatters L times what one expert shatters, flat and tree",
        statement=r"\mathrm{VC}(\text{MoMLP})\ge L\cdot\mathrm{VC}_E",
        source=OURS.at("docs/vc_dimension.md, Theorem 10"),
        expected=Status.PROVED,
        evidence=Evidence.EXACT,
        hypotheses=("the listed experts and L; the index rule, the tree and the nearest prototype route alike",),
        decided_by=(
            "All labelings of small mixtures go through the real forward pass; larger ones multiply an exact routing"
            " certificate with the experts' certificates."
        ),
        does_not_say=(
            "That L times one expert's VC dimension is all: flat routing adds a term (routing_term), and only "
            "experts that can be translated are covered."
        ),
        files=part("all labelings of two small mixtures of 9 and 6 points; not the larger ones, nor certificates"),
    ),
    "bounds": Statement(
        title="Certified lower and solved upper bounds of 14 architectures, beside the stated expression",
        statement=r"\text{lower}\le\mathrm{VC}\le\text{upper}",
        source=OURS.at("docs/vc_dimension.md, Theorem 2, Theorem 4"),
        expected=Status.CERTIFIED,
        evidence=Evidence.ENCLOSED,
        hypotheses=("ReLU experts with free real weights", "tree: valency 2", LEMMA),
        decided_by=(
            "Each of 14 sets is certified in integers for all labelings and read for whether it fits its "
            "architecture; each solved upper bound is confirmed by one evaluation of its growth function in balls: "
            "one point more is impossible."
        ),
        does_not_say=(
            "The VC dimension itself: lower and upper bound differ by large factors for deep networks; and with "
            "float32 weights the upper bounds are not the best."
        ),
        files=part(
            "upper bounds of the 14 architectures within one point of the solved ones, and the sizes of the sets; "
            "not that these are shattered"
        ),
    ),
    "finite": Statement(
        title="MoMLPs have finite VC dimension: lower <= upper on 216 architectures",
        statement=r"L\cdot\mathrm{VC}_E\le\mathrm{VC}(\text{tree}),\mathrm{VC}(\text{flat})"
        r"\le\max\{m:m\le G(m)\}<\infty",
        source=ABSTRACT_V2,
        expected=Status.CERTIFIED,
        evidence=Evidence.ENCLOSED,
        hypotheses=(
            "ReLU experts with free real weights",
            "lower: L times the largest of our sets for one expert, certified up to 1000 points, proved above",
            LEMMA,
        ),
        decided_by=(
            "Theorems 2 and 4: on 216 architectures L times an expert's set, certified in integers up to 1000 "
            "points, is compared with both upper bounds; one evaluation of each growth function in balls shows that "
            "one point more is impossible."
        ),
        does_not_say=(
            "That the bounds are close (their ratio is printed), or anything about networks with shared weights or "
            "other activations."
        ),
        files=part(
            "flat upper bounds of 216 architectures, within one point of the solved ones, against the sizes of "
            "the sets; not trees, nor that the sets are shattered"
        ),
    ),
    "routing_term": Statement(
        title="Flat routing enters as nL log L, not as nL^2",
        statement=r"\mathrm{VC}(\text{flat})\le5.3\,L\,(d+(n+1)\log_2 2L),\quad d=\mathrm{VC}_E\ge n+1",
        source=OURS.at("docs/vc_dimension.md, Theorem 3"),
        expected=Status.CERTIFIED,
        evidence=Evidence.ENCLOSED,
        hypotheses=(
            "nearest of L free prototypes; any experts of VC dimension d",
            "(L-1)n + 1 points: routing_only",
            LEMMA,
        ),
        decided_by=(
            "Theorem 3: at 500 random (n, L, d) over many orders of magnitude the growth function is evaluated in "
            "balls one step beyond the clean form, where it must already be too small; sympy takes the limits in L."
        ),
        does_not_say="That nL log L is attained: routing_only shows (L-1)n + 1, without the logarithm.",
        files=part(
            "the growth function one step beyond the clean form at 500 drawn (n, L, d), in enclosures; not the "
            "limits in L"
        ),
    ),
    "tree_router": Statement(
        title="A tree router loses the log: VC between L d and 12.13 L d",
        statement=r"L\,d\le\mathrm{VC}(\text{tree, valency }v)\le\lambda_v\,L\,d,\quad d=\mathrm{VC}_E\ge n+1",
        source=OURS.at("docs/vc_dimension.md, Theorem 4"),
        expected=Status.CERTIFIED,
        evidence=Evidence.ENCLOSED,
        hypotheses=(
            "full v-ary tree, free child prototypes",
            "lower side: experts closed under translations and x - c (vc_dimension.mixture)",
            LEMMA,
        ),
        decided_by=(
            "Theorem 4: the factor λ_v is enclosed as a fixed point; at 500 random (n, L, d) and two valencies the "
            "growth function is evaluated in balls one step beyond λ_v·L·d."
        ),
        does_not_say=(
            "That a tree router is better in any other sense: it loses a logarithm in an upper bound, for full trees"
            " with free child prototypes."
        ),
        files=part(
            "for valency 2 and 3 factors up to 1.5e-4 above λ_v, and the growth function beyond them at every "
            "third of the drawn cases"
        ),
    ),
    "width_reading": Statement(
        title="The abstract's rate with W = width, read literally",
        statement=r"\mathrm{VC}\in\tilde O(L\max\{nL,JW\})\quad\text{for all }L,n,J,W,\ W=\text{width}",
        source=ABSTRACT_V2,
        expected=Status.REFUTED,
        evidence=Evidence.SYMBOLIC,
        hypotheses=(
            "what is refuted is the abstract's sentence read literally, not the paper's theorem",
            "five families of single experts, L = 1; the witness is n = W, J = 1",
        ),
        decided_by=(
            "Five families of certified sets grow faster than the stated expression; that W^2 + 1 outgrows "
            "C·W·log^4(2W) for every C is a limit taken by sympy."
        ),
        does_not_say=(
            "That the paper's theorem is wrong: the abstract's sentence is refuted as read with W = width; with W = "
            "number of weights it holds (weights_reading)."
        ),
    ),
    "weights_reading": Statement(
        title="The abstract's rate with W = number of weights w, and its sharper form L(n + Jw)",
        statement=r"\mathrm{VC}\le4L(n+Jw)\log_2(2r\log_2r)\in\tilde O(L(n+Jw))\subset\tilde O(L\max\{nL,Jw\})",
        source=ABSTRACT_V2,
        expected=Status.CERTIFIED,
        evidence=Evidence.ENCLOSED,
        hypotheses=("w weights an expert, J hidden layers; r is a polynomial in L, J, W", LEMMA),
        decided_by=(
            "Theorem 2: the closed form's bracket is compared by a polynomial whose coefficients are all "
            "nonnegative; on 256 architectures solved bound, closed form and bracket are compared in balls."
        ),
        does_not_say="That the paper meant this reading, or that the logarithm or the factor 4 is needed.",
        files=part(
            "the bracket by polynomials for every size, the closed form against the stated one on 256 "
            "architectures; not the solved bound"
        ),
    ),
    "width_condition": Statement(
        title="Up to logs the width reading fails iff nL and JW are both far below Q = J(nW + (J-1)W^2)",
        statement=r"c\,LQ\le\mathrm{VC}\le\tilde O(L(n+Q)),\quad Q=J(nW+(J-1)W^2)=\Theta(J\cdot P_E)",
        source=ABSTRACT_V2,
        expected=Status.CERTIFIED,
        evidence=Evidence.SYMBOLIC,
        hypotheses=(
            "lower side: J = 1; or J in {2, 3}, n, W >= 2; or J >= 4, n >= 3, W >= 8",
            "that nL >= Q or JW >= Q implies the width reading holds for all parameters",
            LEMMA,
        ),
        decided_by=(
            "Both sides are polynomials that have only nonnegative coefficients once shifted to the least sizes; on "
            "a grid the sizes of our sets are compared with Q as rationals."
        ),
        does_not_say=(
            "The width reading for n = 1 or narrow deep networks on the lower side; constants up to 642 are not "
            "tried to be improved, and the upper side rests on weights_reading."
        ),
        files=part(
            "the four differences as polynomials without negative coefficients for every n, J and W; not the grid "
            "of sets"
        ),
    ),
    "single_mlp_lower_bound": Statement(
        title="A3: a single ReLU MLP needs eps^(-n/2) parameters",
        statement=r"P\ge\sqrt{2M/\log_2(eM^{3/2})},\quad M=\lceil 1/(2\varepsilon)\rceil^n,\quad"
        r"P\in\tilde\Omega(\varepsilon^{-n/2})",
        source=ABSTRACT_V2,
        expected=Status.CERTIFIED,
        evidence=Evidence.ENCLOSED,
        hypotheses=(
            "all 1-Lipschitz f on [0,1]^n are approximated within eps < 1/2 by one fully connected architecture",
            LEMMA,
        ),
        decided_by=(
            "Theorem 5: for every n, eps and depth of the table one evaluation in balls shows that one parameter "
            "fewer has a VC dimension below the number of grid points; the exponent is a limit taken by sympy."
        ),
        does_not_say=(
            "That eps^(-n/2) parameters suffice (bit_extraction.rate), that a particular function is hard (it is "
            "about all 1-Lipschitz functions at once), or anything for activations that are not piecewise linear."
        ),
        files=part(
            "one parameter fewer at each n, eps and depth of the table, in enclosures; not the limit of the exponent"
        ),
    ),
}
