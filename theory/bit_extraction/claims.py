"""What is claimed; the reproductions are in `theory.bit_extraction.reproductions`, one function a claim."""

from __future__ import annotations

from theory.claim import Statement, Status
from theory.sources import ABSTRACT_V2, LEMMA, OURS

STATEMENTS = {
    "exact_realisation": Statement(
        title="The network is the J1 interpolant, exactly and everywhere, gaps included",
        statement=r"N(x)=c_0+q\sum_v y_v\varphi_v(z),\quad z=\mathrm{clamp}(K(x-o)/s,0,K),\ \text{for all }x",
        source=OURS.at("docs/bit_extraction.md"),
        expected=Status.PROVED,
        hypotheses=("the listed networks and points; rational arithmetic on the stored weights",),
    ),
    "parameters": Statement(
        title="Widths, depth, P and the sparsity pattern equal the formulas",
        statement=r"P=D_n(m,H)+I_n(J),\quad D_1=168m+120H-182,\ I_1=50\cdot2^J+112J-146\ (J\ge4),\ \dots",
        source=OURS.at("docs/bit_extraction.md"),
        expected=Status.PROVED,
        hypotheses=("n = 1, 2, 3; closed forms for one word a block", "counts are read off the layers"),
    ),
    "uniform_error": Statement(
        title="Single MLPs and pencil mixtures reach eps, certified simplex by simplex",
        statement=r"\sup_{x}|f(x)-N(x)|\le\varepsilon",
        source=ABSTRACT_V2,
        expected=Status.CERTIFIED,
        hypotheses=(
            "single MLPs: n = 1, eps = 1e-4, n = 2, eps = 0.02; pencils on [0,1]^3: eps = 0.05 with all experts, eps = "
            "0.02 with 250 of them (all in the full budget)",
            "the weights as real numbers; forward() is compared and its rounding allowed for",
        ),
        slow=True,
    ),
    "adversarial_error": Statement(
        title="No point of many networks exceeds the guarantee, ramp zones and hat edges included",
        statement=r"|f(x)-N(x)|\le q+\lambda h\sqrt n/2\ (n\ge2),\quad\le q\ (n=1)",
        source=OURS.at("docs/bit_extraction.md"),
        expected=Status.NOT_REFUTED,
        hypotheses=("four targets; the listed designs; the points are chosen against the construction",),
        slow=True,
    ),
    "word_length": Statement(
        title="Words of p - 2 (deep) or p - 1 (wide) bits are decoded exactly in a p-bit significand, "
        "longer ones are not",
        statement=r"b\le p-2\ (\text{deep}),\ b\le p-1\ (\text{wide})"
        r"\Rightarrow N_{\mathrm{float}}=N\ \text{at the nodes}",
        source=OURS.at("docs/bit_extraction.md"),
        expected=Status.NOT_REFUTED,
        hypotheses=("n = 1, J = 4; random tables; nodes at integers, so that nothing else rounds",),
    ),
    "rate": Statement(
        title="P grows like (1/eps)^(n/2), next to the lower bound of A3",
        statement=r"P\le\kappa_nK^{n/2}(1+o(1)),\ K=\lceil C_n\lambda s/\varepsilon\rceil;\quad"
        r"P\ge\tilde\Omega(\varepsilon^{-n/2})",
        source=ABSTRACT_V2,
        expected=Status.NOT_REFUTED,
        hypotheses=("exact counts, words of unbounded length (float64 ends at 51 or 52 bits)", "lower bound: " + LEMMA),
    ),
    "trade_off": Statement(
        title="L P^2 is of order (lambda/eps)^n for every number k of resolved axes and every split",
        statement=r"L\cdot P^2\in\Theta((\lambda/\varepsilon)^n)\ \text{(lower side up to logs)},\quad 1\le k\le n",
        source=ABSTRACT_V2,
        expected=Status.NOT_REFUTED,
        hypotheses=(
            "upper side: exact counts with words of unbounded length; at practical eps additive O(log K) terms "
            "dominate, and float64 ends the words",
            "constants (k = 0, P = 1) obey it with a far smaller constant",
            "lower side: VC bound of MoMLPs, " + LEMMA + "; for float64 weights also what N numbers can tell apart",
        ),
        slow=True,
    ),
}
