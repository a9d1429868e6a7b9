"""What is claimed; the reproductions are in `theory.sublinear_training.reproductions`, one function a claim.

Of the paper the abstract was read; what reviewers of later submissions quote from it (its shift b, its width and
eigenvalue theorems) is marked as quoted. Refuted sentences are refuted as they are written, at the sizes named.
"""

from __future__ import annotations

from theory.claim import Evidence, Statement, Status, part
from theory.sources import OURS, SUBLINEAR

PAGE = OURS.at("docs/sublinear_training.md")
INSTANCES = "the listed widths, points and seeds"

STATEMENTS = {
    "forest_query": Statement(
        title="A forest of max-trees reports exactly the keys above a threshold, and stays a forest under updates",
        statement=r"\mathrm{query}(\theta)=\{(r,i):k_{ri}>\theta\},\quad\text{writes}=|U|+H(U)",
        source=OURS.at("docs/sublinear_training.md, Theorem 3"),
        expected=Status.PROVED,
        evidence=Evidence.EXACT,
        hypotheses=("the listed shapes and thresholds, all hot sets of 16 leaves", "integer keys"),
        decided_by=(
            "Queries and updates of forests with integer keys are compared with a search of all keys, for all hot "
            "sets of 16 leaves and the listed shapes; every inner node is checked to hold its children's maximum."
        ),
        does_not_say=(
            "Anything about time on a machine: it counts nodes; and float keys that are not numbers are refused, not"
            " handled."
        ),
        files=part("forests of drawn whole keys, key by key: what is reported, visits and updates"),
    ),
    "visits": Statement(
        title="A query compares between 1 + 2 H_min and 1 + 2 H_max nodes, and both are attained for every count",
        statement=r"\sum_{k=1}^L\lceil S/2^k\rceil\le H\le\sum_{k=1}^L\min(S,2^{L-k})=S(L-1-e)+2^{e+1}-1",
        source=OURS.at("docs/sublinear_training.md, Theorem 1"),
        expected=Status.PROVED,
        evidence=Evidence.EXACT,
        hypotheses=("all S up to the listed depth; all subsets for L up to 4",),
        decided_by=(
            "All subsets of up to 16 leaves are enumerated, and for larger trees both ends are attained by explicit "
            "orders of the leaves; sums are compared with the closed forms in integers."
        ),
        does_not_say=(
            "How many nodes a typical query visits (expected_visits), or that fewer comparisons are impossible for "
            "another data structure."
        ),
        files=part("both ends for trees of at most 128 leaves, and all hot sets of trees of up to 8 leaves"),
    ),
    "expected_visits": Statement(
        title="The expected number of visited nodes, as an identity of polynomials in p",
        statement=r"\mathbb E V=1+2\sum_k\lfloor m/2^k\rfloor(1-q^{2^k})+(1-q^{m\bmod 2^k})",
        source=OURS.at("docs/sublinear_training.md, Theorem 2"),
        expected=Status.PROVED,
        evidence=Evidence.SYMBOLIC,
        hypotheses=("the listed m", "leaves hot independently"),
        decided_by=(
            "The expectation over all subsets of at most 16 leaves is expanded as a polynomial in p and compared "
            "with the formula coefficient by coefficient."
        ),
        does_not_say=(
            "That units fire independently in training: it is an identity for independent leaves, and after a step "
            "they are not."
        ),
        files=part("the mean over all hot sets of trees of at most 11 leaves, as a polynomial in p"),
    ),
    "identities": Statement(
        title="Residual, movement and termination of a Gauss-Newton step, and all methods the same, in rationals",
        statement=r"f_i(t+1)-y_i=m^{-1/2}\sum_{\mathrm{flips}}a_r|z_{ri}-b|,\quad\|\Delta W\|^2=g^\top Gg",
        source=OURS.at("docs/sublinear_training.md, Theorem 4"),
        expected=Status.PROVED,
        evidence=Evidence.EXACT,
        hypotheses=("rational weights, points, labels, shift and radius; the listed seeds", "eta = 1, no ridge"),
        decided_by=(
            "Whole runs of five methods with rational weights, points and labels are carried out exactly; residuals,"
            " movements and weights are recomputed from the inner products at every step."
        ),
        does_not_say=(
            "That training converges: runs end at residual 0, at a singular Gram matrix or at a silent point, and "
            "all three occur; anything about float64."
        ),
        files=part(
            "the worked example and those of ten drawn runs that reach residual 0, in rationals, step by step, "
            "one method"
        ),
    ),
    "fired_sets": Statement(
        title="Training with trees finds exactly the fired units at every step",
        statement=r"S_i(t)=\{r:\langle w_r(t),x_i\rangle>b\}",
        source=OURS.at("docs/sublinear_training.md, Theorem 7"),
        expected=Status.CERTIFIED,
        evidence=Evidence.FLOAT64,
        hypotheses=(INSTANCES, "inner products near b decided in rationals"),
        decided_by=(
            "Every fired set of every step and method is compared with inner products that are decided in rationals "
            "where float64 with its slack cannot tell; steps are checked to be Gauss-Newton steps."
        ),
        does_not_say=(
            "That other widths, points or seeds behave alike, or that the tree saves time there (operations)."
        ),
    ),
    "same_training": Statement(
        title="Dense, hybrid, flat, eager and lazy training give the same weights",
        statement=r"\max|W-W'|\le10^{-12}",
        source=PAGE,
        expected=Status.NOT_REFUTED,
        evidence=Evidence.SAMPLED,
        hypotheses=(INSTANCES,),
        decided_by=(
            "Weights of five methods after every step are compared entry by entry; the largest difference must stay "
            "below 1e-12."
        ),
        does_not_say=(
            "That the methods agree bitwise, or on other instances: sums in another order differ in the last bits, "
            "and near a threshold a unit could fire in one of them only."
        ),
    ),
    "fired_count": Statement(
        title="At the start m p units fire at a point and E V nodes of its tree are visited, within 4.5 deviations",
        statement=r"\tfrac1n\sum|S_i|=mp\pm4.5\sigma,\quad\sum V=n\,\mathbb E V(1\pm4.5\sigma/(mp))",
        source=SUBLINEAR.at("abstract"),
        expected=Status.NOT_REFUTED,
        evidence=Evidence.SAMPLED,
        hypotheses=(INSTANCES, "one seed a width"),
        decided_by=(
            "Fired pairs and visited nodes at the start are counted and compared with their expectations in units of"
            " the standard deviation, one seed a width."
        ),
        does_not_say="Anything after the first step, when weights are no longer independent of the points.",
    ),
    "sparsity_exponent": Statement(
        title="The exponent of m p in m is 1 - alpha h/b, below 1 - alpha, and tends to it",
        statement=r"\frac{d\ln(mp)}{d\ln m}=1-\alpha\frac hb<1-\alpha,\quad\to1-\alpha",
        source=OURS.at("docs/sublinear_training.md, Theorem 6"),
        expected=Status.PROVED,
        evidence=Evidence.SYMBOLIC,
        hypotheses=("b = sqrt(2 alpha ln m)",),
        decided_by=(
            "sympy differentiates ln(mp) in ln m and takes the limits of h/b and b(h - b); that h > b follows from a"
            " difference that falls to 0."
        ),
        does_not_say=(
            "That the exponent is near 1 - alpha at any width that can be built: at m = 2^20 it is still far below "
            "(sparsity_exponent_attained)."
        ),
    ),
    "sparsity_exponent_attained": Statement(
        title="The number of fired units grows like m^(1 - alpha) between 2^10 and 2^20, slope within 0.02",
        statement=r"|S|\sim m^{1-\alpha},\quad2^{10}\le m\le2^{20}",
        source=SUBLINEAR.at("abstract"),
        expected=Status.REFUTED,
        evidence=Evidence.ENCLOSED,
        hypotheses=("alpha = 0.24 and 0.2", "the expectation m p, in balls"),
        decided_by=(
            "The least-squares slope of the expected count over m = 2^10 to 2^20 is enclosed in balls; it lies more "
            "than 0.02 below 1 - alpha."
        ),
        does_not_say=(
            "That the abstract's asymptotic statement is false: the slope tends to 1 - alpha, only not at these widths."
        ),
    ),
    "contraction": Statement(
        title="Every step halves the residual, and at most 7 reach 1e-12, for labels of size 1",
        statement=r"\|f_{t+1}-y\|\le\tfrac12\|f_t-y\|",
        source=SUBLINEAR.at("Theorem 5.1, as reviewers quote it"),
        expected=Status.NOT_REFUTED,
        evidence=Evidence.SAMPLED,
        hypotheses=(INSTANCES, "while the residual is above 1e-10"),
        decided_by=(
            "Residuals of lazily trained instances are compared step by step with half of the one before, down to "
            "1e-10."
        ),
        does_not_say=(
            "A proof of convergence: it is what the listed instances do, with labels of size 1; large labels break "
            "the first step (contraction_any_labels)."
        ),
    ),
    "contraction_any_labels": Statement(
        title="Every step halves the residual, whatever the size of the labels",
        statement=r"\|f_{t+1}-y\|\le\tfrac12\|f_t-y\|\ \text{for}\ |y_i|=100",
        source=SUBLINEAR.at("Theorem 5.1, as reviewers quote it"),
        expected=Status.REFUTED,
        evidence=Evidence.SAMPLED,
        hypotheses=("without the width hypothesis", "the listed seed"),
        decided_by=(
            "An instance with labels of size 100 is trained; its first step leaves more than half of the residual, "
            "which is the witness."
        ),
        does_not_say=(
            "That the quoted theorem is false: its width hypothesis is not met at this width; and training converges"
            " all the same."
        ),
    ),
    "smallest_eigenvalue": Statement(
        title="Private units and Schur products bound the least eigenvalue of the Gram matrix at finite width",
        statement=r"\lambda_{\min}(G)\ge\max\{\min_iu_i,\ \lambda_{\min}(K)\min_i|S_i|,\ \lambda_{\min}(C)\}/m",
        source=OURS.at("docs/sublinear_training.md, Theorem 5"),
        expected=Status.CERTIFIED,
        evidence=Evidence.ENCLOSED,
        hypotheses=(INSTANCES, "all steps of training"),
        decided_by=(
            "At every step of the listed runs m·G less each of three elementary bounds is shown to be positive "
            "definite by elimination in balls, least eigenvalues being bounded from above by Rayleigh quotients; the"
            " limit for two near points is derived by sympy."
        ),
        does_not_say=(
            "That the bounds are positive for other points (with more points than dimensions the Schur bound can be "
            "0), or how they scale with n."
        ),
    ),
    "limit_gram": Statement(
        title="The quoted lower bound of the limit Gram matrix's least eigenvalue holds",
        statement=r"\lambda_{\min}(H)\ge e^{-b^2/2}\delta/(100n^2)",
        source=SUBLINEAR.at("Theorem A.4, as reviewers quote it"),
        expected=Status.CERTIFIED,
        evidence=Evidence.ENCLOSED,
        hypotheses=("the listed rational points", "b = sqrt(0.48 ln m)"),
        decided_by=(
            "The limit Gram matrix of rational points is enclosed in balls by Owen's T, and shown to be positive "
            "definite above the quoted bound by elimination in balls."
        ),
        does_not_say=(
            "That the quoted theorem holds for all points: two (with the full budget four) instances are decided, "
            "where the bound is loose by factors of hundreds."
        ),
    ),
    "distinct_points": Statement(
        title="An antipodal pair leaves the Gram matrix positive definite, equal points make it singular",
        statement=r"x_i=-x_j\Rightarrow\det G>0\ \text{(here)},\quad x_i=x_j\Rightarrow\det G=0",
        source=OURS.at("docs/sublinear_training.md, Theorem 5"),
        expected=Status.PROVED,
        evidence=Evidence.EXACT,
        hypotheses=("rational points, the listed ones", "b > 0"),
        decided_by=(
            "Determinants of rational Gram matrices of a worked example and of random instances, with an antipode "
            "and with a repeated point, exactly."
        ),
        does_not_say=(
            "That antipodes are harmless for all weights: here means these instances; a Gram matrix can be singular "
            "for other reasons."
        ),
        files=part("determinants of the worked example and of drawn instances, by Leibniz' formula"),
    ),
    "lazy_refreshes": Statement(
        title="Units are keyed anew at most as often as their paths are long",
        statement=r"N\le\sum_r\lfloor P_r/R\rfloor\le\sum_r(P_r/R)^2\le(\sum_t\|\Delta W_t\|/R)^2",
        source=OURS.at("docs/sublinear_training.md, Theorem 7"),
        expected=Status.CERTIFIED,
        evidence=Evidence.ENCLOSED,
        hypotheses=(INSTANCES, "R = 1/(2b)"),
        decided_by=(
            "Refreshes are replayed from the stored weights and counted; path lengths, their floors, squares and "
            "Minkowski's bound are enclosed in balls, and so is the growth of reports against e^(R h)."
        ),
        does_not_say=(
            "That lazy trees are fast: it bounds how often units are keyed anew, by a path length that is only known"
            " after the run."
        ),
    ),
    "operations": Statement(
        title="A step takes the counted operations, and their exponents in m lie in the declared windows",
        statement=r"\text{eager}\in(.70,.90),\ \text{lazy}\in(.6,.85),\ \text{hybrid}>.98",
        source=SUBLINEAR.at("abstract"),
        expected=Status.NOT_REFUTED,
        evidence=Evidence.FITTED,
        hypotheses=(INSTANCES, "one operation: a product, a sum, a comparison, a node"),
        decided_by=(
            "Operations of every step are counted a second time from the weights of the run and compared by "
            "equality; exponents are straight lines through five widths."
        ),
        does_not_say=(
            "Seconds: one product, sum, comparison or node is one operation, whatever it costs a machine; and five "
            "widths are no asymptotics."
        ),
    ),
    "small_data_regime": Statement(
        title="With m = n^C, eager trees save nothing for C up to 3; lazy ones save for every C",
        statement=r"\alpha_{\mathrm{eager}}\le.02\ (C=2,3),\ >.04\ (C=5,6),\quad\alpha_{\mathrm{lazy}}>.14",
        source=PAGE,
        expected=Status.NOT_REFUTED,
        evidence=Evidence.FITTED,
        hypotheses=(INSTANCES, "without the n^3/3 of the solve"),
        decided_by=(
            "Exponents of counted operations, without the solve, fitted through three to five sizes with m = n^C."
        ),
        does_not_say=(
            "That eager trees save nothing for every C up to 3 and all n: they are fits at n ≤ 90, and the solve, "
            "left out here, dominates for small C."
        ),
    ),
    "width_hypothesis": Statement(
        title="The quoted width m >= n^4/lambda^4 forces alpha < 1/4 and m >= (2n)^(4/(1 - 4 alpha))",
        statement=r"m\ge\lambda^{-4}n^4\Rightarrow mp\ge nm^{3/4},\ \alpha<\tfrac14,\ m\ge(2n)^{4/(1-4\alpha)}",
        source=SUBLINEAR.at("Theorem 5.1, as reviewers quote it"),
        expected=Status.PROVED,
        evidence=Evidence.SYMBOLIC,
        hypotheses=("constant 1 in the Omega", "lambda the least eigenvalue of H, at most p"),
        decided_by=(
            "sympy derives p ≤ e^(-b²/2)/2 and follows the quoted width through: what it needs of m, alpha and m·p."
        ),
        does_not_say=(
            "That the paper's theorem is empty: with another constant in its Omega the numbers change; and nothing "
            "about narrower networks, for which it is silent."
        ),
        files=part(
            "the exponents at α = 6/25 and 1/4, and signs of a linear formula for the tail; not that it is the "
            "derivative"
        ),
    ),
}
