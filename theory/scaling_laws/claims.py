"""What is claimed; the reproductions are in `theory.scaling_laws.reproductions`, one function a claim.

Of the papers the abstracts and introductions were read; their formula is cited as it is quoted there. What the thesis
calls a Nyquist learner could not be read in full: those claims are about learners *as defined here*. Refuted sentences
are refuted as they are written.
"""

from __future__ import annotations

from theory.claim import Evidence, Statement, Status, part
from theory.sources import OURS, PRUNING_LAW, SCALING_LAW, SCALING_THESIS

PAGE = OURS.at("docs/scaling_laws.md")
HERE = "Nyquist learners as defined here: maps from samples to functions on the torus"
MEASURED_CURVES = "curves that others measured (package data, licences beside it)"
RULE = "what is held out is fixed by the sizes, before fitting"

STATEMENTS = {
    "redundant_constant": Statement(
        title="The error law has one constant too many: scaling four of its seven constants changes nothing",
        statement=r"(a,b,c_\infty,\eta)\mapsto\kappa(a,b,c_\infty,\eta)\ \text{leaves}\ "
        r"\hat\varepsilon=\varepsilon_0\,e/\sqrt{e^2+\eta^2}\ \text{as it is}",
        source=OURS.at("docs/scaling_laws.md, Theorem 1"),
        expected=Status.PROVED,
        evidence=Evidence.SYMBOLIC,
        hypotheses=("e = a n^-alpha + b m^-beta + c; all constants positive",),
        decided_by=(
            "sympy shows that the law is homogeneous of degree 0 in four of its constants; Jacobians at rational "
            "sizes and constants have rank 3 of 4."
        ),
        does_not_say=(
            "That fits of all seven constants predict badly: the surplus direction changes the constants that are "
            "reported, not the curve."
        ),
        files=part("the derivatives of the squared law in its four constants, and that they are dependent"),
    ),
    "planning": Statement(
        title="Needed sizes, the cheapest product of sizes, and when a target cannot be reached, in closed form",
        statement=r"An^{-\alpha}=\frac{w\beta}{\alpha+\beta},\ Bm^{-\beta}=\frac{w\alpha}{\alpha+\beta}\ "
        r"\text{minimise}\ nm\ \text{subject to}\ u=u^*,\quad w=u^*-C",
        source=OURS.at("docs/scaling_laws.md, Theorem 2"),
        expected=Status.PROVED,
        evidence=Evidence.SYMBOLIC,
        hypotheses=("the law holds at all sizes", "cost n m"),
        decided_by=(
            "The split is derived by Lagrange's conditions in logarithms, convexity and inverses by sympy; the "
            "shipped law is compared with exact values of a worked example."
        ),
        does_not_say=(
            "That the law holds at the planned sizes, or that cost is n·m: another cost has another optimum."
        ),
        files=part(
            "the split in shares, the worked example by the shipped law's numbers, and that its split is the cheapest"
        ),
    ),
    "recovery": Statement(
        title="Intervals of predictions cover the truth of a law with 2 % noise, far outside of the fitted sizes",
        statement=r"\text{95\% prediction intervals at }(8192,256)\text{ hold the truth in at least 80\% of draws}",
        source=PAGE,
        expected=Status.NOT_REFUTED,
        evidence=Evidence.FITTED,
        hypotheses=(
            "A = 8, alpha = 1/2, B = 4, beta = 1, C = 0.02, chance 1; n = 64 ... 1024, m = 4 ... 32",
            "multiplicative normal noise of 2 %, the listed seeds",
        ),
        decided_by=(
            "A known law with 2 % noise is drawn with the listed seeds and fitted; the share of 95 % intervals at "
            "(8192, 256) that hold the truth is counted."
        ),
        does_not_say=(
            "That intervals cover when the law itself is wrong: noise is drawn from the model that is fitted."
        ),
    ),
    "language_models": Statement(
        title="Runs of at most 412M parameters predict the loss of models of 1.4B and 6.9B parameters within 10 %",
        statement=r"\text{mean}\,|\delta|<0.1\ \text{on the held-out runs, and the upper end of its 95\% interval}",
        source=SCALING_LAW.at("abstract"),
        expected=Status.NOT_REFUTED,
        evidence=Evidence.FITTED,
        hypotheses=(
            f"104 language models of three training sets, {MEASURED_CURVES}",
            f"{RULE}: parameters above 412M; chance ln 50432",
            "the threshold was set after these numbers were seen: it tests the fit, it discovers nothing",
        ),
        decided_by=(
            "Constants fitted to runs of at most 412M parameters predict the losses of the larger ones; the mean |δ|"
            " and its interval are compared with 0.1."
        ),
        does_not_say=(
            "That other families, data or sizes are predicted: 104 runs of three training sets by one group, and a "
            "threshold that was set after the numbers were seen."
        ),
    ),
    "learning_curves": Statement(
        title="On decreasing learning curves the constant matters: the law extrapolates 8 times better than without it",
        statement=r"\text{error of}\ An^{-\alpha}+C\ \text{below that of}\ An^{-\alpha}\ "
        r"\text{and below that of sizes shuffled, at }n\in(n_{\max}/8,n_{\max}]",
        source=PAGE,
        expected=Status.NOT_REFUTED,
        evidence=Evidence.FITTED,
        hypotheses=(
            f"curves of scikit-learn learners, {MEASURED_CURVES}",
            f"{RULE}: n > n_max/8, and decreasing is judged by the fitted anchors",
            "the unit of the interval is the data set",
        ),
        decided_by=(
            "Laws with and without a constant, and with sizes dealt out anew, are fitted to the anchors up to an "
            "eighth of the largest size of published curves and compared beyond it, data set by data set."
        ),
        does_not_say=(
            "That the law is better than repeating the last value (over all curves better_than_last_value says no), "
            "or anything for neural networks."
        ),
    ),
    "better_than_last_value": Statement(
        title="On all learning curves the law extrapolates 8 times better than repeating the last value",
        statement=r"\text{the mean log ratio of errors, law to last value, is below 0}",
        source=PAGE,
        expected=Status.REFUTED,
        evidence=Evidence.SAMPLED,
        hypotheses=(f"curves of scikit-learn learners, {MEASURED_CURVES}", RULE, "the unit is the data set"),
        decided_by=(
            "The mean log ratio of errors, law to last value, over all published curves, with a bootstrap interval "
            "over data sets that lies above 0."
        ),
        does_not_say=(
            "That the law loses on most curves (an average over data sets of log ratios decides), or that it is "
            "useless where curves still fall."
        ),
    ),
    "translation": Statement(
        title="The law predicts the last doubling of translation data better than repeating the last value",
        statement=r"|\delta_{\mathrm{law}}|<|\delta_{\mathrm{last}}|\ \text{at}\ 5.12\cdot10^8\ \text{sentence pairs}",
        source=PAGE,
        expected=Status.REFUTED,
        evidence=Evidence.SAMPLED,
        hypotheses=(f"5 translation models, {MEASURED_CURVES}", "the authors' own split"),
        decided_by=(
            "Five published translation models, the authors' own split: errors at the last doubling of the law and "
            "of the last value."
        ),
        does_not_say="Anything about larger extrapolations, or about other models: it is one doubling, five curves.",
    ),
    "trained_grid": Statement(
        title="Small students and small data predict the errors of larger ones, twice as well as two naive rules",
        statement=r"\text{mean}\,|\delta|\le\tfrac12\min(\text{sizes shuffled},\ \text{best small error})",
        source=SCALING_LAW.at("abstract"),
        expected=Status.NOT_REFUTED,
        evidence=Evidence.FITTED,
        hypotheses=(
            "students of one random ReLU network, trained as the page says; w >= 4",
            f"{RULE}: widths and numbers of examples above the fitted ones; chance 1",
        ),
        decided_by=(
            "Students of a random network are trained on a grid of widths and sizes; constants fitted to the small "
            "corner predict the rest, against two naive rules."
        ),
        does_not_say=(
            "That larger networks or natural data follow the law: students of at most the listed widths, one "
            "teacher, one training protocol."
        ),
    ),
    "realizable_teacher": Statement(
        title="The law on students of a small teacher, whose floor is 0 (exploratory)",
        statement=r"\text{what is held-out mean}\ \delta\ \text{when the error has no floor?}",
        source=PAGE,
        expected=Status.INCONCLUSIVE,
        evidence=Evidence.NONE,
        hypotheses=("students of a width-12 teacher", "two protocols disagreed in sign: nothing may be expected"),
        decided_by=(
            "Two protocols are fitted and printed with the full budget; as they disagreed in sign, nothing is "
            "declared and the verdict stays INCONCLUSIVE."
        ),
        does_not_say="Anything: it is kept so that nobody takes one of the two answers for a result.",
        slow=True,
    ),
    "realizable_error": Statement(
        title="Without noise, students of a small teacher still keep an error far above its own 0",
        statement=r"\text{slope}<0\ \text{and error at the largest}\ n\ >10^{-4},\ \text{the teacher's is 0}",
        source=PAGE,
        expected=Status.NOT_REFUTED,
        evidence=Evidence.FITTED,
        hypotheses=(
            "students of a teacher of 253 parameters, trained as the page says; the listed seeds",
            "a statement about this training, not about what students can represent",
        ),
        decided_by=(
            "Students of a teacher of 253 parameters are trained without noise; the slope of their error and the "
            "error at the largest size are measured."
        ),
        does_not_say=(
            "That students cannot represent the teacher (they can), or that better training would not find it."
        ),
    ),
    "pruning_shape": Statement(
        title="Plateaus, steepest point and steepest slope of the law of pruned networks",
        statement=r"\min_d\frac{d\ln\hat\varepsilon}{d\ln d}=-\gamma\frac{q-1}{q+1}\ \text{at}\ d=p\sqrt q,\ "
        r"\text{where}\ \hat\varepsilon=\sqrt{\varepsilon_\uparrow\varepsilon_{np}}",
        source=OURS.at("docs/scaling_laws.md, Theorem 3"),
        expected=Status.PROVED,
        evidence=Evidence.SYMBOLIC,
        hypotheses=("p, gamma > 0 and q >= 1",),
        decided_by=(
            "sympy derives the local slope, its steepest value and place, both plateaus and their geometric mean; "
            "the shipped law is compared with them at four sets of constants."
        ),
        does_not_say="That pruned networks follow the law (pruning), or what gamma is for one of them.",
        files=part("the slope's formula and its least value as identities"),
    ),
    "pruning_slope_is_gamma": Statement(
        title="The power-law region of the law of pruned networks has the slope -gamma",
        statement=r"\exists d:\ \frac{d\ln\hat\varepsilon}{d\ln d}=-\gamma",
        source=PRUNING_LAW.at("introduction, Equation 1"),
        expected=Status.REFUTED,
        evidence=Evidence.SYMBOLIC,
        hypotheses=("read as an equality at finite q",),
        decided_by=(
            "sympy shows that the steepest slope is -gamma + 2 gamma/(q + 1); at rational constants it is strictly "
            "above -gamma, which is the witness."
        ),
        does_not_say=(
            "That the paper errs: read as q → ∞ the slope tends to -gamma; what is refuted is the equality at finite q."
        ),
    ),
    "pruning": Statement(
        title="Five constants of pruned narrow networks predict a wider one, twice as well as two naive rules",
        statement=r"\text{mean}\,|\delta|\le\tfrac12\min(\hat\varepsilon=\varepsilon_{np},\ \varphi=\psi=0)",
        source=PRUNING_LAW.at("introduction, Equation 1"),
        expected=Status.NOT_REFUTED,
        evidence=Evidence.FITTED,
        hypotheses=(
            "classes of a random ReLU teacher, iterative magnitude pruning as the page says",
            f"{RULE}: the widest networks, whose unpruned error is given",
        ),
        decided_by=(
            "Five constants fitted to pruned narrow networks predict the widest ones, whose unpruned error is given;"
            " the mean |δ| is compared with three naive rules."
        ),
        does_not_say=(
            "Anything about real data, other pruning methods, or predicting the unpruned error, which is given."
        ),
    ),
    "nyquist_recovery": Statement(
        title="n samples determine a function of bandwidth K iff n >= 2K + 1; on a grid fewer alias as stated",
        statement=r"\hat c_k=\sum_{l\equiv k\,(n)}c_l,\quad\hat c=c\ \text{for all}\ c\iff n\ge2K+1",
        source=OURS.at("docs/scaling_laws.md, Theorem 4"),
        expected=Status.PROVED,
        evidence=Evidence.EXACT,
        hypotheses=(HERE, "no noise, exact arithmetic", "instances over F_p and in rationals, the proof for all K"),
        decided_by=(
            "Sampling operators are inverted over finite fields and in rationals for the listed bandwidths and "
            "numbers of nodes, and aliases compared coefficient by coefficient; the shipped learner is compared in "
            "float64."
        ),
        does_not_say=(
            "That n ≥ 2K + 1 samples suffice with noise or for functions that are not band-limited, or what the "
            "thesis calls a Nyquist learner."
        ),
        files=part("grids over prime fields with a root of unity, and rational nodes of the circle with inverses"),
    ),
    "nyquist_jump": Statement(
        title="The worst case jumps from 1 to 0 at D samples; the average falls on the straight line 1 - n/D",
        statement=r"\inf\sup_{\|f\|\le1}\|g-f\|^2=[n<D],\qquad\mathbb E\|g-f\|^2=1-n/D",
        source=OURS.at("docs/scaling_laws.md, Theorem 5"),
        expected=Status.PROVED,
        evidence=Evidence.EXACT,
        hypotheses=(HERE, "the average over coefficients uniform on the sphere"),
        decided_by=(
            "Kernels of rational sampling matrices show functions that no sample sees, below D and never from D on; "
            "the average error is an exact trace."
        ),
        does_not_say="That typical errors jump: the average falls on a straight line, and only the worst case jumps.",
        files=part("invisible functions below D samples and none from D on, at listed sizes, with projections"),
    ),
    "nyquist_noise": Statement(
        title="Noise costs variance times D/n when K is known, and does not decay when all frequencies interpolate",
        statement=r"\mathbb E\|g-f\|^2=\sigma^2D/n,\qquad K\ \text{unknown}:\ \sigma^2(2\lfloor(n-1)/2\rfloor+1)/n",
        source=OURS.at("docs/scaling_laws.md, Theorem 6"),
        expected=Status.PROVED,
        evidence=Evidence.SYMBOLIC,
        hypotheses=(HERE, "uncorrelated noise of mean 0 and variance sigma^2, uniform nodes, n >= D"),
        decided_by=(
            "Gram matrices at uniform nodes are shown to be n·1 for small n, the inequality for other designs is a "
            "sum of squares by sympy, and exact variance factors stand beside it."
        ),
        does_not_say=(
            "Anything about correlated noise, or about shrinking estimators, which can do better than unbiased ones."
        ),
        files=part("Gram entries of uniform nodes, and that no design has less noise, at listed sizes"),
    ),
    "nyquist_bandwidth": Statement(
        title="An unknown bandwidth is the least consistent degree; 2k + 1 samples of anything fit degree k",
        statement=r"\min\{k:\exists g\in F_k,\ g(x_j)=y_j\}=K",
        source=OURS.at("docs/scaling_laws.md, Theorem 7"),
        expected=Status.PROVED,
        evidence=Evidence.EXACT,
        hypotheses=(HERE, "distinct nodes, no noise, n >= 2K + 1"),
        decided_by=(
            "In rational instances the least consistent degree is found by exact elimination and compared with the "
            "bandwidth; 2k + 1 samples of random numbers are shown to fit degree k."
        ),
        does_not_say=(
            "That a bandwidth can be tested with 2k + 1 samples (it cannot), or that the search is stable with noise."
        ),
        files=part(
            "instances of samples: the least degree that fits them, with a combination that excludes smaller ones"
        ),
    ),
    "spline_rate": Statement(
        title="The exact error of periodic linear splines: never 0, and of the order n^-4",
        statement=r"E(\theta)=1-2\,\mathrm{sinc}^2\theta+\tfrac13(2+\cos2\pi\theta),\quad\theta=k/n",
        source=OURS.at("docs/scaling_laws.md, Theorem 8"),
        expected=Status.PROVED,
        evidence=Evidence.SYMBOLIC,
        hypotheses=("uniform nodes, n >= 2K + 1",),
        decided_by=(
            "sympy derives E(θ) from the hat function's coefficients and takes the limit of n⁴E; quadrature of "
            "actual splines is compared at four numbers of nodes."
        ),
        does_not_say=(
            "That other methods of the same order have this constant, or anything for nodes that are not uniform."
        ),
        files=part("measured errors of splines against E(θ), and E near 0"),
    ),
    "shallow_lower_bound": Statement(
        title="No network of W ReLUs in one hidden layer has a squared error below mu^2 h^5/(720 (W + 1)^4)",
        statement=r"\int(f-g)^2\ge\frac{\mu^2h^5}{720(W+1)^4}",
        source=OURS.at("docs/scaling_laws.md, Theorem 9"),
        expected=Status.PROVED,
        evidence=Evidence.SYMBOLIC,
        hypotheses=("|f''| >= mu without a change of sign on an interval of length h",),
        decided_by=(
            "The constant 1/720, the sign of a kernel and the power mean are derived by sympy; optimised and trained"
            " networks are checked to stay above the bound."
        ),
        does_not_say="Anything about deeper networks, which beat it, or that training attains the bound.",
        files=part("the cost of one affine piece, and the power mean over pieces"),
    ),
    "nyquist_against_relu": Statement(
        title="With D samples a learner that knows the bandwidth has no error; trained ReLU networks have one",
        statement=r"n\ge D:\ \text{Nyquist}<10^{-24},\ \text{trained ReLU}>10^{-6}\ \text{on every seed}",
        source=SCALING_THESIS.at("abstract"),
        expected=Status.NOT_REFUTED,
        evidence=Evidence.SAMPLED,
        hypotheses=(HERE, "r = 2, K = 2, D = 25; networks trained as the page says, the listed seeds"),
        decided_by=(
            "On every listed seed the Nyquist learner's error and that of trained ReLU networks at the same nodes "
            "are compared with 1e-24 and 1e-6."
        ),
        does_not_say=(
            "That ReLU networks are worse learners: the Nyquist learner is told the bandwidth, the network is not, "
            "and the target is band-limited."
        ),
    ),
    "bandwidth_of_real_data": Statement(
        title="Natural data are band-limited, so learners far from power laws exist for them",
        statement=r"\exists K:\ f_{\mathrm{nature}}\in F_K",
        source=SCALING_THESIS.at("abstract"),
        expected=Status.OPEN,
        evidence=Evidence.SAMPLED,
        hypotheses=("a hypothesis about data, not about learners",),
        decided_by=(
            "Nothing decides it: random rationals show that any 2k + 1 samples are consistent with bandwidth k, so "
            "finitely many samples cannot."
        ),
        does_not_say="That natural data are band-limited, or that they are not.",
    ),
}
