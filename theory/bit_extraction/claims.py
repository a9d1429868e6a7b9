"""What is claimed; the reproductions are in `theory.bit_extraction.reproductions`, one function a claim."""

from __future__ import annotations

from theory.claim import Evidence, Statement, Status, part
from theory.sources import ABSTRACT_V2, LEMMA, OURS

STATEMENTS = {
    "exact_realisation": Statement(
        title="The network is the J1 interpolant, exactly and everywhere, gaps included",
        statement=r"N(x)=c_0+q\sum_v y_v\varphi_v(z),\quad z=\mathrm{clamp}(K(x-o)/s,0,K),\ \text{for all }x",
        source=OURS.at("docs/bit_extraction.md, Theorem 1"),
        expected=Status.PROVED,
        evidence=Evidence.EXACT,
        hypotheses=("the listed networks and points; rational arithmetic on the stored weights",),
        decided_by=(
            "The stored weights are evaluated in rationals at points of every kind of region (nodes, gaps, folds, "
            "edges) and compared with a piecewise linear interpolation that knows nothing of the network."
        ),
        does_not_say=(
            "That float64 forward passes are exact (word_length says where they end), or that networks beyond the "
            "listed n, eps and look-ups were evaluated; between the sampled points of a region the proof on the page"
            " carries it."
        ),
        files=part("four networks of one input on the cone, in rationals at drawn points; not two and three inputs"),
    ),
    "parameters": Statement(
        title="Widths, depth, P and the sparsity pattern equal the formulas",
        statement=r"P=D_n(m,H)+I_n(J),\quad D_1=168m+120H-182,\ I_1=50\cdot2^J+112J-146\ (J\ge4),\ \dots",
        source=OURS.at("docs/bit_extraction.md, Theorem 3"),
        expected=Status.PROVED,
        evidence=Evidence.EXACT,
        hypotheses=("n = 1, 2, 3; closed forms for one word a block", "counts are read off the layers"),
        decided_by=(
            "Widths, depth, P and the pattern of entries of some 600 networks are counted on their layers and "
            "compared with formulas transcribed apart from the builder."
        ),
        does_not_say=(
            "That these counts are least possible, or that sparsity can be used: P counts dense layers, and the "
            "closed forms hold for one word a block and n ≤ 3."
        ),
        files=part(
            "dense counts of the designs with one word a block against the closed forms; not widths, several "
            "words and sparsity"
        ),
    ),
    "uniform_error": Statement(
        title="Single MLPs and pencil mixtures reach eps, certified simplex by simplex",
        statement=r"\sup_{x}|f(x)-N(x)|\le\varepsilon",
        source=ABSTRACT_V2,
        expected=Status.CERTIFIED,
        evidence=Evidence.FLOAT64,
        hypotheses=(
            "single MLPs: n = 1, eps = 1e-4, n = 2, eps = 0.02; pencils on [0,1]^3: eps = 0.05 with all experts, eps = "
            "0.02 with 250 of them (all in the full budget)",
            "the weights as real numbers; forward() is compared and its rounding allowed for",
        ),
        decided_by=(
            "On every simplex of every expert the network is shown to be affine, and the error follows from the "
            "vertices, with the rounding of the forward pass and of the target added in float64."
        ),
        does_not_say=(
            "Anything about eps below the listed ones, where float64 words end, or about all pencils at eps = 0.02 "
            "with the quick budget (250 of them), or that training would find these weights."
        ),
        slow=True,
    ),
    "adversarial_error": Statement(
        title="No point of many networks exceeds the guarantee, ramp zones and hat edges included",
        statement=r"|f(x)-N(x)|\le q+\lambda h\sqrt n/2\ (n\ge2),\quad\le q\ (n=1)",
        source=OURS.at("docs/bit_extraction.md, Theorem 2"),
        expected=Status.NOT_REFUTED,
        evidence=Evidence.SAMPLED,
        hypotheses=("four targets; the listed designs; the points are chosen against the construction",),
        decided_by=(
            "Points that the construction likes least (folds, hat edges, ramp zones, tiny offsets) are evaluated in "
            "float64 on networks of many sizes; the largest error is compared with the guarantee."
        ),
        does_not_say=(
            "A bound for all points: it is an attack that failed, beside uniform_error, which certifies fewer "
            "networks everywhere."
        ),
        slow=True,
    ),
    "word_length": Statement(
        title="Words of p - 2 (deep) or p - 1 (wide) bits are decoded exactly in a p-bit significand, "
        "longer ones are not",
        statement=r"b\le p-2\ (\text{deep}),\ b\le p-1\ (\text{wide})"
        r"\Rightarrow N_{\mathrm{float}}=N\ \text{at the nodes}",
        source=OURS.at("docs/bit_extraction.md, Theorem 5"),
        expected=Status.NOT_REFUTED,
        evidence=Evidence.SAMPLED,
        hypotheses=("n = 1, J = 4; random tables; nodes at integers, so that nothing else rounds",),
        decided_by=(
            "Networks with random tables and words of growing length are run in float64 and float32, deep and wide, "
            "until the first wrong node."
        ),
        does_not_say=(
            "That shorter words are exact on inputs that are no nodes, or on other hardware; six random tables a "
            "length were tried."
        ),
    ),
    "rate": Statement(
        title="P grows like (1/eps)^(n/2), next to the lower bound of A3",
        statement=r"P\le\kappa_nK^{n/2}(1+o(1)),\ K=\lceil C_n\lambda s/\varepsilon\rceil;\quad"
        r"P\ge\tilde\Omega(\varepsilon^{-n/2})",
        source=ABSTRACT_V2,
        expected=Status.NOT_REFUTED,
        evidence=Evidence.FITTED,
        hypotheses=("exact counts, words of unbounded length (float64 ends at 51 or 52 bits)", "lower bound: " + LEMMA),
        decided_by=(
            "Exact counts of P over many decades of eps, a straight line through their logarithms, and A3's lower "
            "bound below each of them."
        ),
        does_not_say=(
            "That float64 networks follow this rate: words of unbounded length are counted, float64 ends them at 51 "
            "or 52 bits, and for practical eps the obvious network is often smaller."
        ),
    ),
    "trade_off": Statement(
        title="L P^2 is of order (lambda/eps)^n for every number k of resolved axes and every split",
        statement=r"L\cdot P^2\in\Theta((\lambda/\varepsilon)^n)\ \text{(lower side up to logs)},\quad 1\le k\le n",
        source=ABSTRACT_V2,
        expected=Status.NOT_REFUTED,
        evidence=Evidence.FITTED,
        hypotheses=(
            "upper side: exact counts with words of unbounded length; at practical eps additive O(log K) terms "
            "dominate, and float64 ends the words",
            "constants (k = 0, P = 1) obey it with a far smaller constant",
            "lower side: VC bound of MoMLPs, " + LEMMA + "; for float64 weights also what N numbers can tell apart",
        ),
        decided_by=(
            "Exact counts of L·P^2 are compared with their limit, within a factor 3.5, and with a lower bound at "
            "every one; built models at several splits are certified."
        ),
        does_not_say=(
            "That L·P^2 is minimal up to a constant: the lower side loses logarithms, and it holds for words of "
            "unbounded length."
        ),
        slow=True,
    ),
}
