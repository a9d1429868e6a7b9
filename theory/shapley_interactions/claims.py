"""What is claimed; the reproductions are in `theory.shapley_interactions.reproductions`, one function a claim.

φ is SII, y_k = v − v̂_{k−1} the residual game, Q the index's own weights, L the limit of weighted least squares.
"""

from __future__ import annotations

from theory.claim import Evidence, Statement, Status, part
from theory.sources import KERNELSHAP_IQ, OURS

_HERE = OURS.at("docs/shapley_interactions.md")
_EVERY_N = "for every n by the proof in docs/shapley_interactions.md; here as operators on all games of few players"

STATEMENTS = {
    "index_forms": Statement(
        title="SII: the definition, its weights, the Möbius sum and the telescoping sums",
        statement=r"\varphi(S)=\sum_T q_n(s;|T|,|S\cap T|)\,v(T)=\sum_{A\supseteq S}\frac{m(A)}{|A|-s+1},\quad"
        r"\sum_{S\supset R}\varphi(S)=\Delta_Rv(N\setminus R)-\Delta_Rv(\emptyset)",
        source=_HERE,
        expected=Status.PROVED,
        evidence=Evidence.EXACT,
        hypotheses=(_EVERY_N,),
        decided_by=(
            "Definition, weights, Möbius sum and telescoping sums are compared as operators on all games of up to 7 "
            "players, in rationals; the Beta integral behind the weights is derived by sympy."
        ),
        does_not_say=(
            "That SII is the right index: it is one index, in several forms; interactions are of the value function "
            "that is given, not causes in the world."
        ),
        files=part("coefficients of both forms against the definition for at most 7 players"),
    ),
    "split_wls": Statement(
        title="SII of every order is least squares inside and its own weights outside",
        statement=r"\varphi_k=\sum_{T\ \mathrm{outer}}Q_{\cdot T}\,y_k(T)+\sum_{T\ \mathrm{inner}}L_{\cdot T}\,y_k(T)",
        source=OURS.at("docs/shapley_interactions.md, T1"),
        expected=Status.PROVED,
        evidence=Evidence.SYMBOLIC,
        hypotheses=("n at least 2k", "steps for symbolic n and t at orders 1 to 4; every order by the written proof"),
        decided_by=(
            "T1: its steps are polynomial identities in symbolic n and t for orders 1 to 4, its scalars are compared"
            " in rationals up to order 8 and n = 30, and the operators themselves for small n."
        ),
        does_not_say=(
            "That the split form estimates better from a budget than others: it is an identity when every coalition "
            "is known."
        ),
        files=part("the limit of least squares against the index, in rationals, for at most 5 players"),
    ),
    "direct_wls": Statement(
        title="Orders 1 and 2 are the limit of weighted least squares on the residual game",
        statement=r"\varphi_k=\lim_{M\to\infty}(X^\top W_MX)^{-1}X^\top W_M\,y_k,\quad k=1,2",
        source=KERNELSHAP_IQ.at("abstract"),
        expected=Status.PROVED,
        evidence=Evidence.EXACT,
        hypotheses=(_EVERY_N,),
        decided_by=(
            "T2: for orders 1 and 2 the limit of weighted least squares is computed as a rational operator and "
            "compared with the index on all games of up to 6 players."
        ),
        does_not_say=(
            "Anything for order 3 and above, where it fails (direct_wls_order3), or for finite weights in place of "
            "the limit."
        ),
        files=part("the limit of ever heavier outer coalitions, in rationals, for at most 5 players"),
    ),
    "direct_wls_order3": Statement(
        title="The same for order 3",
        statement=r"\varphi_3=\lim_{M\to\infty}(X^\top W_MX)^{-1}X^\top W_M\,y_3\ \text{for every } n\ge 5",
        source=OURS.at("docs/shapley_interactions.md, T3"),
        expected=Status.REFUTED,
        evidence=Evidence.EXACT,
        hypotheses=("false on purpose: order 3 needs the split; the abstract does not claim it",),
        decided_by=(
            "T3: on v = 1[|T| = 1] both sides are computed in three ways (operators, closed forms, scalars) and "
            "differ for every n ≥ 5; orders 4 and 5 fail on the listed n."
        ),
        does_not_say=(
            "That the paper is wrong: its abstract does not claim order 3; and the split and constrained forms hold "
            "there."
        ),
    ),
    "constrained_wls": Statement(
        title="SII of every order is a least-squares fit of the game itself under linear constraints",
        statement=r"\varphi_k=\arg\min_x\Big\{\sum_{T\ \mathrm{inner}}\mu_k(|T|)"
        r"\Big(v(T)-\sum_{S\subseteq T}x_S\Big)^2:"
        r"\sum_{S\supset R}x_S=\Delta_Rv(N\setminus R)-\Delta_Rv(\emptyset)\ \forall|R|=k-1\Big\}",
        source=OURS.at("docs/shapley_interactions.md, T4"),
        expected=Status.PROVED,
        evidence=Evidence.EXACT,
        hypotheses=("n at least 2k", _EVERY_N),
        decided_by=(
            "T4: the minimiser under linear constraints is computed as a rational operator, shown to be unique, and "
            "compared with the index on all games of the listed sizes."
        ),
        does_not_say=(
            "That the fit is good: the constrained minimiser is the index however badly the sum of interactions "
            "approximates the game."
        ),
        files=part("constrained least squares against the index, in rationals, for at most 5 players"),
    ),
    "k_sii": Statement(
        title="k-SII: sum and recursion agree, it adds up to the game, and n-SII are the Möbius coefficients",
        statement=r"\Phi_k(S)=\sum_{L\supseteq S,|L|\le k}B_{|L|-s}\varphi(L),\quad"
        r"\hat v_k(T)=v(\emptyset)+\sum_{S\subseteq T}\Phi_k(S),\quad\hat v_k(N)=v(N),\quad\Phi_n=m",
        source=OURS.at("docs/shapley_interactions.md, T6"),
        expected=Status.PROVED,
        evidence=Evidence.EXACT,
        hypotheses=(_EVERY_N,),
        decided_by=(
            "T6: sum, recursion, efficiency and n-SII = Möbius are compared as operators on all games of up to 6 "
            "players; the sums of Bernoulli numbers up to order 64 in rationals."
        ),
        does_not_say=(
            "That k-SII keeps the values of lower orders: each order changes them; and anything about estimates from"
            " samples."
        ),
        files=part("unanimity games of at most 6 players, which span all games"),
    ),
    "paired_exact": Statement(
        title="Paired samples make order 1 exact for games of degree 2 and order 2 for games of degree 3",
        statement=r"\deg v\le k+1\ \Rightarrow\ \hat\varphi_k=\varphi_k,\quad k=1,2",
        source=OURS.at("docs/shapley_interactions.md, T5"),
        expected=Status.PROVED,
        evidence=Evidence.EXACT,
        hypotheses=(
            "every outer coalition is seen, inner ones in complementary pairs of equal weight",
            "the sampled Gram matrix is regular on H_k",
            "every such sample by the proof in docs/shapley_interactions.md; here rational samples of 6 players",
        ),
        decided_by=(
            "T5: rational samples of 6 players, in complementary pairs, are solved exactly and compared with the "
            "index of every game of the stated degrees; the estimator's own paired draws in float64 stand beside "
            "them."
        ),
        does_not_say="That real models have such degrees, or that unpaired or rank-deficient samples are exact.",
    ),
    "first_available": Statement(
        title="Games in which the first available player counts have SII in closed form",
        statement=r"v(T)=1[a\in T,\,T\cap P=\emptyset],\ r=|P|+1:\quad"
        r"\varphi(S)=\frac{(-1)^{s-1}}{r-s+1}\ (a\in S),\quad\frac{(-1)^s}{(r-s)(r-s+1)}\ (a\notin S),"
        r"\quad S\subseteq P\cup\{a\}",
        source=OURS.at("docs/shapley_interactions.md, T7"),
        expected=Status.PROVED,
        evidence=Evidence.EXACT,
        hypotheses=(_EVERY_N,),
        decided_by=(
            "T7: the closed form is compared with the definition in rationals for every player, every set before it "
            "and every S, for up to 6 players; the experts' game in float64 is compared with it beside that."
        ),
        does_not_say=(
            "Anything about mixtures whose experts answer together: it is for the rule that the first available "
            "expert answers alone."
        ),
        files=part("the expansion of the first available order for at most 6 players"),
    ),
    "consistency": Statement(
        title="With every coalition evaluated the estimator gives SII and k-SII",
        statement=r"\max_S|\hat\varphi(S)-\varphi(S)|\le 10^{-10}\max_T|v(T)|\ \text{at the budget } 2^n",
        source=_HERE,
        expected=Status.CERTIFIED,
        evidence=Evidence.EXACT,
        hypotheses=("random games of 8 and 10 (12) players in float64, compared with rational numbers",),
        decided_by=(
            "Estimates at the full budget of random games in float64 are compared, as the rationals that they are, "
            "with the rational index of the same values; the difference may be 1e-10 of the largest value."
        ),
        does_not_say=(
            "Anything about budgets below 2^n (budget), or that float64 errors stay as small for badly scaled games."
        ),
        files=part("games of 8 players: the estimator's answers with the full budget, as rationals"),
    ),
    "budget": Statement(
        title="The estimator's error falls faster than one over the budget",
        statement=r"\mathrm{d}\ln\mathrm{MSE}/\mathrm{d}\ln b<-1",
        source=_HERE,
        expected=Status.NOT_REFUTED,
        evidence=Evidence.FITTED,
        hypotheses=("fixed sums of unanimity games of 10 and 12 players, budgets from 1/8 to 1/2 of all coalitions",),
        decided_by=(
            "Mean squared errors of the estimator at four budgets on two fixed games, a straight line through their "
            "logarithms, and a bound on the error at the largest."
        ),
        does_not_say=(
            "A rate for other games, for budgets below an eighth of all coalitions, or for more than 12 players; "
            "sums of unanimity games are kind to the estimator."
        ),
    ),
}
