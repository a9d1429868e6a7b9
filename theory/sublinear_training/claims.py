"""What is claimed; the reproductions are in `theory.sublinear_training.reproductions`, one function a claim.

Of the paper the abstract was read; what reviewers of later submissions quote from it (its shift b, its width and
eigenvalue theorems) is marked as quoted. Refuted sentences are refuted as they are written, at the sizes named.
"""

from __future__ import annotations

from theory.claim import Statement, Status
from theory.sources import OURS, SUBLINEAR

PAGE = OURS.at("docs/sublinear_training.md")
INSTANCES = "the listed widths, points and seeds"

STATEMENTS = {
    "forest_query": Statement(
        title="A forest of max-trees reports exactly the keys above a threshold, and stays a forest under updates",
        statement=r"\mathrm{query}(\theta)=\{(r,i):k_{ri}>\theta\},\quad\text{writes}=|U|+H(U)",
        source=PAGE,
        expected=Status.PROVED,
        hypotheses=("the listed shapes and thresholds, all hot sets of 16 leaves", "integer keys"),
    ),
    "visits": Statement(
        title="A query compares between 1 + 2 H_min and 1 + 2 H_max nodes, and both are attained for every count",
        statement=r"\sum_{k=1}^L\lceil S/2^k\rceil\le H\le\sum_{k=1}^L\min(S,2^{L-k})=S(L-1-e)+2^{e+1}-1",
        source=PAGE,
        expected=Status.PROVED,
        hypotheses=("all S up to the listed depth; all subsets for L up to 4",),
    ),
    "expected_visits": Statement(
        title="The expected number of visited nodes, as an identity of polynomials in p",
        statement=r"\mathbb E V=1+2\sum_k\lfloor m/2^k\rfloor(1-q^{2^k})+(1-q^{m\bmod 2^k})",
        source=PAGE,
        expected=Status.PROVED,
        hypotheses=("the listed m", "leaves hot independently"),
    ),
    "identities": Statement(
        title="Residual, movement and termination of a Gauss-Newton step, and all methods the same, in rationals",
        statement=r"f_i(t+1)-y_i=m^{-1/2}\sum_{\mathrm{flips}}a_r|z_{ri}-b|,\quad\|\Delta W\|^2=g^\top Gg",
        source=PAGE,
        expected=Status.PROVED,
        hypotheses=("rational weights, points, labels, shift and radius; the listed seeds", "eta = 1, no ridge"),
    ),
    "fired_sets": Statement(
        title="Training with trees finds exactly the fired units at every step",
        statement=r"S_i(t)=\{r:\langle w_r(t),x_i\rangle>b\}",
        source=PAGE,
        expected=Status.CERTIFIED,
        hypotheses=(INSTANCES, "inner products near b decided in rationals"),
    ),
    "same_training": Statement(
        title="Dense, hybrid, flat, eager and lazy training give the same weights",
        statement=r"\max|W-W'|\le10^{-12}",
        source=PAGE,
        expected=Status.NOT_REFUTED,
        hypotheses=(INSTANCES,),
    ),
    "fired_count": Statement(
        title="At the start m p units fire at a point and E V nodes of its tree are visited, within 4.5 deviations",
        statement=r"\tfrac1n\sum|S_i|=mp\pm4.5\sigma,\quad\sum V=n\,\mathbb E V(1\pm4.5\sigma/(mp))",
        source=SUBLINEAR.at("abstract"),
        expected=Status.NOT_REFUTED,
        hypotheses=(INSTANCES, "one seed a width"),
    ),
    "sparsity_exponent": Statement(
        title="The exponent of m p in m is 1 - alpha h/b, below 1 - alpha, and tends to it",
        statement=r"\frac{d\ln(mp)}{d\ln m}=1-\alpha\frac hb<1-\alpha,\quad\to1-\alpha",
        source=PAGE,
        expected=Status.PROVED,
        hypotheses=("b = sqrt(2 alpha ln m)",),
    ),
    "sparsity_exponent_attained": Statement(
        title="The number of fired units grows like m^(1 - alpha) between 2^10 and 2^20, slope within 0.02",
        statement=r"|S|\sim m^{1-\alpha},\quad2^{10}\le m\le2^{20}",
        source=SUBLINEAR.at("abstract"),
        expected=Status.REFUTED,
        hypotheses=("alpha = 0.24 and 0.2", "the expectation m p, in balls"),
    ),
    "contraction": Statement(
        title="Every step halves the residual, and at most 7 reach 1e-12, for labels of size 1",
        statement=r"\|f_{t+1}-y\|\le\tfrac12\|f_t-y\|",
        source=SUBLINEAR.at("Theorem 5.1, as reviewers quote it"),
        expected=Status.NOT_REFUTED,
        hypotheses=(INSTANCES, "while the residual is above 1e-10"),
    ),
    "contraction_any_labels": Statement(
        title="Every step halves the residual, whatever the size of the labels",
        statement=r"\|f_{t+1}-y\|\le\tfrac12\|f_t-y\|\ \text{for}\ |y_i|=100",
        source=SUBLINEAR.at("Theorem 5.1, as reviewers quote it"),
        expected=Status.REFUTED,
        hypotheses=("without the width hypothesis", "the listed seed"),
    ),
    "smallest_eigenvalue": Statement(
        title="Private units and Schur products bound the least eigenvalue of the Gram matrix at finite width",
        statement=r"\lambda_{\min}(G)\ge\max\{\min_iu_i,\ \lambda_{\min}(K)\min_i|S_i|,\ \lambda_{\min}(C)\}/m",
        source=PAGE,
        expected=Status.CERTIFIED,
        hypotheses=(INSTANCES, "all steps of training"),
    ),
    "limit_gram": Statement(
        title="The quoted lower bound of the limit Gram matrix's least eigenvalue holds",
        statement=r"\lambda_{\min}(H)\ge e^{-b^2/2}\delta/(100n^2)",
        source=SUBLINEAR.at("Theorem A.4, as reviewers quote it"),
        expected=Status.CERTIFIED,
        hypotheses=("the listed rational points", "b = sqrt(0.48 ln m)"),
    ),
    "distinct_points": Statement(
        title="An antipodal pair leaves the Gram matrix positive definite, equal points make it singular",
        statement=r"x_i=-x_j\Rightarrow\det G>0\ \text{(here)},\quad x_i=x_j\Rightarrow\det G=0",
        source=PAGE,
        expected=Status.PROVED,
        hypotheses=("rational points, the listed ones", "b > 0"),
    ),
    "lazy_refreshes": Statement(
        title="Units are keyed anew at most as often as their paths are long",
        statement=r"N\le\sum_r\lfloor P_r/R\rfloor\le\sum_r(P_r/R)^2\le(\sum_t\|\Delta W_t\|/R)^2",
        source=PAGE,
        expected=Status.CERTIFIED,
        hypotheses=(INSTANCES, "R = 1/(2b)"),
    ),
    "operations": Statement(
        title="A step takes the counted operations, and their exponents in m lie in the declared windows",
        statement=r"\text{eager}\in(.70,.90),\ \text{lazy}\in(.6,.85),\ \text{hybrid}>.98",
        source=SUBLINEAR.at("abstract"),
        expected=Status.NOT_REFUTED,
        hypotheses=(INSTANCES, "one operation: a product, a sum, a comparison, a node"),
    ),
    "small_data_regime": Statement(
        title="With m = n^C, eager trees save nothing for C up to 3; lazy ones save for every C",
        statement=r"\alpha_{\mathrm{eager}}\le.02\ (C=2,3),\ >.04\ (C=5,6),\quad\alpha_{\mathrm{lazy}}>.14",
        source=PAGE,
        expected=Status.NOT_REFUTED,
        hypotheses=(INSTANCES, "without the n^3/3 of the solve"),
    ),
    "width_hypothesis": Statement(
        title="The quoted width m >= n^4/lambda^4 forces alpha < 1/4 and m >= (2n)^(4/(1 - 4 alpha))",
        statement=r"m\ge\lambda^{-4}n^4\Rightarrow mp\ge nm^{3/4},\ \alpha<\tfrac14,\ m\ge(2n)^{4/(1-4\alpha)}",
        source=SUBLINEAR.at("Theorem 5.1, as reviewers quote it"),
        expected=Status.PROVED,
        hypotheses=("constant 1 in the Omega", "lambda the least eigenvalue of H, at most p"),
    ),
}
