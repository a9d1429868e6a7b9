"""What is claimed; the reproductions are in `theory.shapley_interactions.reproductions`, one function a claim.

φ is SII, y_k = v − v̂_{k−1} the residual game, Q the index's own weights, L the limit of weighted least squares.
"""

from __future__ import annotations

from theory.claim import Statement, Status
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
        hypotheses=(_EVERY_N,),
    ),
    "split_wls": Statement(
        title="SII of every order is least squares inside and its own weights outside",
        statement=r"\varphi_k=\sum_{T\ \mathrm{outer}}Q_{\cdot T}\,y_k(T)+\sum_{T\ \mathrm{inner}}L_{\cdot T}\,y_k(T)",
        source=_HERE,
        expected=Status.PROVED,
        hypotheses=("n at least 2k", "steps for symbolic n and t at orders 1 to 4; every order by the written proof"),
    ),
    "direct_wls": Statement(
        title="Orders 1 and 2 are the limit of weighted least squares on the residual game",
        statement=r"\varphi_k=\lim_{M\to\infty}(X^\top W_MX)^{-1}X^\top W_M\,y_k,\quad k=1,2",
        source=KERNELSHAP_IQ.at("abstract"),
        expected=Status.PROVED,
        hypotheses=(_EVERY_N,),
    ),
    "direct_wls_order3": Statement(
        title="The same for order 3",
        statement=r"\varphi_3=\lim_{M\to\infty}(X^\top W_MX)^{-1}X^\top W_M\,y_3\ \text{for every } n\ge 5",
        source=_HERE,
        expected=Status.REFUTED,
        hypotheses=("false on purpose: order 3 needs the split; the abstract does not claim it",),
    ),
    "constrained_wls": Statement(
        title="SII of every order is a least-squares fit of the game itself under linear constraints",
        statement=r"\varphi_k=\arg\min_x\Big\{\sum_{T\ \mathrm{inner}}\mu_k(|T|)"
        r"\Big(v(T)-\sum_{S\subseteq T}x_S\Big)^2:"
        r"\sum_{S\supset R}x_S=\Delta_Rv(N\setminus R)-\Delta_Rv(\emptyset)\ \forall|R|=k-1\Big\}",
        source=_HERE,
        expected=Status.PROVED,
        hypotheses=("n at least 2k", _EVERY_N),
    ),
    "k_sii": Statement(
        title="k-SII: sum and recursion agree, it adds up to the game, and n-SII are the Möbius coefficients",
        statement=r"\Phi_k(S)=\sum_{L\supseteq S,|L|\le k}B_{|L|-s}\varphi(L),\quad"
        r"\hat v_k(T)=v(\emptyset)+\sum_{S\subseteq T}\Phi_k(S),\quad\hat v_k(N)=v(N),\quad\Phi_n=m",
        source=_HERE,
        expected=Status.PROVED,
        hypotheses=(_EVERY_N,),
    ),
    "paired_exact": Statement(
        title="Paired samples make order 1 exact for games of degree 2 and order 2 for games of degree 3",
        statement=r"\deg v\le k+1\ \Rightarrow\ \hat\varphi_k=\varphi_k,\quad k=1,2",
        source=_HERE,
        expected=Status.PROVED,
        hypotheses=(
            "every outer coalition is seen, inner ones in complementary pairs of equal weight",
            "the sampled Gram matrix is regular on H_k",
            "every such sample by the proof in docs/shapley_interactions.md; here rational samples of 6 players",
        ),
    ),
    "first_available": Statement(
        title="Games in which the first available player counts have SII in closed form",
        statement=r"v(T)=1[a\in T,\,T\cap P=\emptyset],\ r=|P|+1:\quad"
        r"\varphi(S)=\frac{(-1)^{s-1}}{r-s+1}\ (a\in S),\quad\frac{(-1)^s}{(r-s)(r-s+1)}\ (a\notin S),"
        r"\quad S\subseteq P\cup\{a\}",
        source=_HERE,
        expected=Status.PROVED,
        hypotheses=(_EVERY_N,),
    ),
    "consistency": Statement(
        title="With every coalition evaluated the estimator gives SII and k-SII",
        statement=r"\max_S|\hat\varphi(S)-\varphi(S)|\le 10^{-10}\max_T|v(T)|\ \text{at the budget } 2^n",
        source=_HERE,
        expected=Status.CERTIFIED,
        hypotheses=("random games of 8 and 10 (12) players in float64, compared with rational numbers",),
    ),
    "budget": Statement(
        title="The estimator's error falls faster than one over the budget",
        statement=r"\mathrm{d}\ln\mathrm{MSE}/\mathrm{d}\ln b<-1",
        source=_HERE,
        expected=Status.NOT_REFUTED,
        hypotheses=("fixed sums of unanimity games of 10 and 12 players, budgets from 1/8 to 1/2 of all coalitions",),
    ),
}
