"""What is claimed; the reproductions are in `theory.momlp.reproductions`, one function a claim."""

from __future__ import annotations

from theory.claim import Statement, Status
from theory.sources import ABSTRACT_V1, ABSTRACT_V2, OURS

STATEMENTS = {
    "uniform_error": Statement(
        title="A1: uniform error at most eps",
        statement=r"\sup_{x\in[0,1]^n}|f(x)-\hat f(x)|\le\varepsilon",
        source=ABSTRACT_V2,
        expected=Status.CERTIFIED,
        hypotheses=("f Lipschitz on the unit cube", "n = 1..4 and the listed targets and eps"),
        slow=True,
    ),
    "variants": Statement(
        title="A1 for Hölder targets, boxes, PReLU, constant experts, other valencies, two outputs",
        statement=r"\sup_{x}\max_i|f_i(x)-\hat f_i(x)|\le\varepsilon,\quad |f_i(x)-f_i(y)|\le\omega(\|x-y\|_2)",
        source=OURS.at("docs/momlp.md"),
        expected=Status.CERTIFIED,
        hypotheses=("omega concave, nondecreasing, omega(0+) = 0",),
    ),
    "uniform_error_n10": Statement(
        title="A1 in ten dimensions, experts built on demand",
        statement=r"\sup_{x\in[0,1]^{10}}|f(x)-\hat f(x)|\le 0.1\,\lambda",
        source=ABSTRACT_V2,
        expected=Status.NOT_REFUTED,
        hypotheses=("f = sum_of_sines, lambda = 1",),
    ),
    "certificate_tightness": Statement(
        title="Certificates on the sharp target are within 0.1 % of the true error",
        statement=r"\sup|f-\hat f|=\omega\bigl(\sqrt{a^2+b^2}\bigr)\in[\mathrm{lower},\mathrm{upper}],\quad"
        r"\mathrm{upper}\le 1.001\,\mathrm{lower}",
        source=OURS.at("docs/momlp.md"),
        expected=Status.CERTIFIED,
        hypotheses=("f = targets.sharp(plan)", "n = 1..4 at the listed eps"),
    ),
    "sharpness": Statement(
        title="Theorem 1 is sharp",
        statement=r"f=\omega(\operatorname{dist}(\cdot,\text{nodes}))\Rightarrow\hat f=0,\ "
        r"\sup|f-\hat f|=\omega\bigl(\sqrt{a^2+b^2}\bigr)",
        source=OURS.at("docs/momlp.md"),
        expected=Status.PROVED,
        hypotheses=("plans for n = 1..4, three eps, three splits",),
    ),
    "lying_modulus": Statement(
        title="Declared constants that lie (0.9 λ for formulas, λ/2 for black boxes)",
        statement=r"\text{each listed } f \text{ satisfies the modulus that it declares}",
        source=OURS.at("docs/momlp.md"),
        expected=Status.REFUTED,
        hypotheses=("false on purpose: every lie must be caught",),
    ),
    "active_parameters": Statement(
        title="A1: active parameters are exactly K(n+1+m)+m, and eps·P has a finite limit",
        statement=r"P=K(n+1+m)+m,\quad K=\lceil \ell\lambda/(2\varepsilon\sqrt\theta)\rceil,\quad"
        r"\lim_{\varepsilon\to0}\varepsilon P=\frac{\ell\lambda(n+1+m)}{2\sqrt\theta}",
        source=ABSTRACT_V2,
        expected=Status.PROVED,
        hypotheses=("the identity: on the listed grid of built models", "the limit: for all n, m, theta, ell, lambda"),
    ),
    "slopes": Statement(
        title="Slopes of active parameters and leaves against 1/eps",
        statement=r"P\sim\varepsilon^{-1},\qquad L\sim\varepsilon^{-(n-1)}",
        source=ABSTRACT_V2,
        expected=Status.NOT_REFUTED,
        hypotheses=("n = 2..6", "eps = 2^-6 .. 2^-13, lambda = 1"),
    ),
    "forward_pass_load": Statement(
        title="A2: the whole forward pass loads P + O(log 1/eps) numbers",
        statement=r"F=P+2n\sum_a\lceil\log_2M_a\rceil\in O(\varepsilon^{-1}\log\varepsilon^{-1})",
        source=ABSTRACT_V1,
        expected=Status.PROVED,
        hypotheses=("binary trees", "the identity: on the listed models and trees", "the limit: for all n"),
    ),
    "trade_off": Statement(
        title="A4: number of experts against their size",
        statement=r"\varepsilon^{n-1}L\to\Bigl(\tfrac{\ell\lambda\sqrt{n-1}}{2\sqrt{1-\theta}}\Bigr)^{n-1},\quad"
        r"\operatorname{argmin}_\theta LK=1/n",
        source=ABSTRACT_V2,
        expected=Status.PROVED,
        hypotheses=(
            "theta is the share of the squared radius given to the knots",
            "the minimiser: for all n >= 2; the limit: n = 2..5",
        ),
    ),
    "curse_of_dimensionality": Statement(
        title="What remains: total parameters are of order eps^-n",
        statement=r"\lim_{\varepsilon\to0}\varepsilon^n\,L\,P\in(0,\infty)",
        source=OURS.at("docs/momlp.md"),
        expected=Status.PROVED,
        hypotheses=("n = 2..5",),
    ),
}
