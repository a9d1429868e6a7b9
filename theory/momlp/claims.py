"""What is claimed; the reproductions are in `theory.momlp.reproductions`, one function a claim."""

from __future__ import annotations

from theory.claim import Evidence, Statement, Status, part
from theory.sources import ABSTRACT_V1, ABSTRACT_V2, OURS

STATEMENTS = {
    "uniform_error": Statement(
        title="A1: uniform error at most eps",
        statement=r"\sup_{x\in[0,1]^n}|f(x)-\hat f(x)|\le\varepsilon",
        source=ABSTRACT_V2,
        expected=Status.CERTIFIED,
        evidence=Evidence.FLOAT64,
        hypotheses=("f Lipschitz on the unit cube", "n = 1..4 and the listed targets and eps"),
        decided_by=(
            "Theorem 1's hypotheses are read off the weights of every listed model, node values in rationals; branch"
            " and bound, which does not know the theorem, certifies the instances a second time, and all intervals "
            "must overlap."
        ),
        does_not_say=(
            "That every Lipschitz function has been tried (n ≤ 4, the listed targets and eps), that eps is reached "
            "with few parameters in all (leaves grow like eps^-(n-1)), or that training would find these weights."
        ),
        slow=True,
        files=part(
            "n = 1 at eps 0.001 and n = 2 at eps 0.01 (with the full budget 0.001), the sharp target under its "
            "premises; not n above 2"
        ),
    ),
    "variants": Statement(
        title="A1 for Hölder targets, boxes, PReLU, constant experts, other valencies, two outputs",
        statement=r"\sup_{x}\max_i|f_i(x)-\hat f_i(x)|\le\varepsilon,\quad |f_i(x)-f_i(y)|\le\omega(\|x-y\|_2)",
        source=OURS.at("docs/momlp.md, Theorem 1"),
        expected=Status.CERTIFIED,
        evidence=Evidence.FLOAT64,
        hypotheses=("omega concave, nondecreasing, omega(0+) = 0",),
        decided_by=(
            "One model for each option of the builder, certified by branch and bound and by Theorem 1's hypotheses; "
            "float64 bounds carry the rounding of the forward pass and of the target."
        ),
        does_not_say=(
            "Combinations of options, other targets and other eps; and of the Hölder target it says nothing below "
            "eps = 0.05."
        ),
        files=part(
            "PReLU, constants, two outputs, float32, valency 3 and another domain on two inputs at eps 0.15 to "
            "0.4; not the Hölder target, three inputs, Theorem 1's hypotheses"
        ),
    ),
    "uniform_error_n10": Statement(
        title="A1 in ten dimensions, experts built on demand",
        statement=r"\sup_{x\in[0,1]^{10}}|f(x)-\hat f(x)|\le 0.1\,\lambda",
        source=ABSTRACT_V2,
        expected=Status.NOT_REFUTED,
        evidence=Evidence.SAMPLED,
        hypotheses=("f = sum_of_sines, lambda = 1",),
        decided_by=(
            "200,000 uniform and clustered points are asked of a model of 16^9 leaves whose experts are built on "
            "demand; the largest error is compared with 0.1."
        ),
        does_not_say=(
            "A bound on the supremum: of 7·10^10 cells only those that the points hit were ever built, so a cell "
            "with a larger error would not be seen."
        ),
    ),
    "certificate_tightness": Statement(
        title="Certificates on the sharp target are within 0.1 % of the true error",
        statement=r"\sup|f-\hat f|=\omega\bigl(\sqrt{a^2+b^2}\bigr)\in[\mathrm{lower},\mathrm{upper}],\quad"
        r"\mathrm{upper}\le 1.001\,\mathrm{lower}",
        source=OURS.at("docs/momlp.md, Theorem 1"),
        expected=Status.CERTIFIED,
        evidence=Evidence.FLOAT64,
        hypotheses=("f = targets.sharp(plan)", "n = 1..4 at the listed eps"),
        decided_by=(
            "On the target for which Theorem 1 is an equality, branch and bound (which does not know it) must "
            "enclose the true error within 0.1 %, for n = 1 to 4."
        ),
        does_not_say=(
            "That certificates are as tight on other targets: with a declared modulus instead of a formula, or at "
            "kinks that no box meets, the upper end can be far from the error."
        ),
        files=part(
            "intervals that branch and bound reported on the sharp target for n ≤ 2, against the farthest "
            "distance to the nodes"
        ),
    ),
    "sharpness": Statement(
        title="Theorem 1 is sharp",
        statement=r"f=\omega(\operatorname{dist}(\cdot,\text{nodes}))\Rightarrow\hat f=0,\ "
        r"\sup|f-\hat f|=\omega\bigl(\sqrt{a^2+b^2}\bigr)",
        source=OURS.at("docs/momlp.md, Theorem 1"),
        expected=Status.PROVED,
        evidence=Evidence.EXACT,
        hypotheses=("plans for n = 1..4, three eps, three splits",),
        decided_by=(
            "For every plan the farthest squared distance from the nodes is computed in rationals, axis by axis, and"
            " every output weight of the model built on that target is compared with 0."
        ),
        does_not_say=(
            "That another construction with as many parameters could not do better: the constant is sharp for this "
            "one, on this target, not a lower bound for all mixtures."
        ),
        files=part(
            "distances to the nodes axis by axis for 6 of the 30 plans, and that the output layers for that "
            "target are 0"
        ),
    ),
    "lying_modulus": Statement(
        title="Declared constants that lie (0.9 λ for formulas, λ/2 for black boxes)",
        statement=r"\text{each listed } f \text{ satisfies the modulus that it declares}",
        source=OURS.at("docs/momlp.md"),
        expected=Status.REFUTED,
        evidence=Evidence.ENCLOSED,
        hypotheses=("false on purpose: every lie must be caught",),
        decided_by=(
            "Thirteen functions declare a constant that is too small; balls find a steeper gradient, or building "
            "finds two points that are too far apart. The verdict is REFUTED only if all lies are caught."
        ),
        does_not_say=(
            "That every lie is caught: of a black box whose steep part lies between nodes, faces and diagonals "
            "nothing is noticed, and the certificate says declared."
        ),
    ),
    "active_parameters": Statement(
        title="A1: active parameters are exactly K(n+1+m)+m, and eps·P has a finite limit",
        statement=r"P=K(n+1+m)+m,\quad K=\lceil \ell\lambda/(2\varepsilon\sqrt\theta)\rceil,\quad"
        r"\lim_{\varepsilon\to0}\varepsilon P=\frac{\ell\lambda(n+1+m)}{2\sqrt\theta}",
        source=ABSTRACT_V2,
        expected=Status.PROVED,
        evidence=Evidence.SYMBOLIC,
        hypotheses=("the identity: on the listed grid of built models", "the limit: for all n, m, theta, ell, lambda"),
        decided_by=(
            "Numbers of parameters of built experts are compared with sympy's value of the formula (ceilings and "
            "all) over n, eps, split, domain and outputs; the limit of eps·P is taken with the ceilings in."
        ),
        does_not_say=(
            "That O(1/eps) parameters are enough in all: it counts one expert, and the number of experts grows like "
            "eps^-(n-1); nor is it a lower bound, as constant experts load O(1)."
        ),
        files=part(
            "one of five counts, the numbers that built experts hold, for 29 of the 32 plans; and bounds of εP "
            "for every ε"
        ),
    ),
    "slopes": Statement(
        title="Slopes of active parameters and leaves against 1/eps",
        statement=r"P\sim\varepsilon^{-1},\qquad L\sim\varepsilon^{-(n-1)}",
        source=ABSTRACT_V2,
        expected=Status.NOT_REFUTED,
        evidence=Evidence.FITTED,
        hypotheses=("n = 2..6", "eps = 2^-6 .. 2^-13, lambda = 1"),
        decided_by=(
            "Straight lines through ln P and ln L at eps = 2^-6 to 2^-13 for n = 2 to 6, with an absolute bound on "
            "eps·P beside the slope."
        ),
        does_not_say=(
            "A rate: slopes over seven octaves are measurements; the limits themselves are active_parameters and "
            "trade_off."
        ),
    ),
    "forward_pass_load": Statement(
        title="A2: the whole forward pass loads P + O(log 1/eps) numbers",
        statement=r"F=P+2n\sum_a\lceil\log_2M_a\rceil\in O(\varepsilon^{-1}\log\varepsilon^{-1})",
        source=ABSTRACT_V1,
        expected=Status.PROVED,
        evidence=Evidence.SYMBOLIC,
        hypotheses=("binary trees", "the identity: on the listed models and trees", "the limit: for all n"),
        decided_by=(
            "The worst path of actual graphs and of trees of up to 2^40 leaves is counted and compared with the "
            "formula; the limit of eps·(F - P) is taken by sympy."
        ),
        does_not_say=(
            "Anything about time, caches or bandwidth: it counts numbers that are read, and it counts them for "
            "binary trees alone."
        ),
        files=part("the package's own counts of what a pass loads against the formula; no tree is in the file"),
    ),
    "trade_off": Statement(
        title="A4: number of experts against their size",
        statement=r"\varepsilon^{n-1}L\to\Bigl(\tfrac{\ell\lambda\sqrt{n-1}}{2\sqrt{1-\theta}}\Bigr)^{n-1},\quad"
        r"\operatorname{argmin}_\theta LK=1/n",
        source=ABSTRACT_V2,
        expected=Status.PROVED,
        evidence=Evidence.SYMBOLIC,
        hypotheses=(
            "theta is the share of the squared radius given to the knots",
            "the minimiser: for all n >= 2; the limit: n = 2..5",
        ),
        decided_by=(
            "sympy solves for the split that makes L·K smallest, for every n; the limits of eps^(n-1)·L are taken "
            "for n = 2 to 5, and exact counts of eleven plans are checked to be monotone."
        ),
        does_not_say=(
            "That L·K is what costs most in practice, or that this product is optimal among all mixtures: it is the "
            "trade-off of pencils (bit_extraction has L·P^2)."
        ),
        files=part(
            "θ = 1/n is the best split for n = 2 to 5, by a polynomial, and eleven splits for n = 3; not the limits"
        ),
    ),
    "curse_of_dimensionality": Statement(
        title="What remains: total parameters are of order eps^-n",
        statement=r"\lim_{\varepsilon\to0}\varepsilon^n\,L\,P\in(0,\infty)",
        source=OURS.at("docs/momlp.md"),
        expected=Status.PROVED,
        evidence=Evidence.SYMBOLIC,
        hypotheses=("n = 2..5",),
        decided_by=(
            "The limit of eps^n·L·P is taken by sympy with the ceilings in, for n = 2 to 5, and shown to be positive"
            " and finite."
        ),
        does_not_say=(
            "That the curse is unavoidable for every mixture: it is what this construction stores; lower bounds for "
            "all are in vc_dimension and bit_extraction."
        ),
        files=part("bounds of ε^n L P on both sides at ε = 2^-6, 2^-9 and 2^-12, θ = 1/n; not every ε"),
    ),
}
