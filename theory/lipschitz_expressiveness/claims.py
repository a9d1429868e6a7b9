"""What is claimed; the reproductions are in `theory.lipschitz_expressiveness.reproductions`, one function a claim.

Of the paper the abstract was read: what is refuted is a reading of a sentence, never a theorem of the paper.
"""

from __future__ import annotations

from theory.claim import Statement, Status
from theory.sources import LIPSCHITZ, OURS

PAGE = OURS.at("docs/lipschitz_expressiveness.md")
ABSTRACT = LIPSCHITZ.at("abstract")
MODEL = "weights iid N(0, sigma^2), layers independent; L affine maps of widths n_0, ..., n_L"
SUDAKOV = "Sudakov-Fernique's comparison and Gaussian concentration are cited, not proved here"
NETWORKS = "the listed networks; branch and bound on their boxes, patterns on the same boxes, arrangements on the plane"

STATEMENTS = {
    "gaussian_norm": Statement(
        title="The mean norm of a Gaussian matrix lies between e(m+n-1) and sqrt(m)+sqrt(n)",
        statement=r"e(m+n-1)\le E\|G_{m\times n}\|\le\sqrt m+\sqrt n,\quad"
        r"P(\|G\|\ge\sqrt m+\sqrt n+t)\le e^{-t^2/2}",
        source=PAGE,
        expected=Status.CERTIFIED,
        hypotheses=(SUDAKOV, "the listed shapes; sampled means have 99.9 % intervals"),
    ),
    "trace_moments": Statement(
        title="The first three trace moments of a Gaussian matrix, by all pairings",
        statement=r"E\,\mathrm{tr}(G^TG)^p=mn,\ mn(m+n+1),\ mn(m^2+n^2+3mn+3m+3n+4)\quad(p=1,2,3)",
        source=PAGE,
        expected=Status.PROVED,
        hypotheses=("Wick's pairings for all m, n; every index written out for m, n <= 4",),
    ),
    "upper_bound": Statement(
        title="The expected upper bound grows exponentially with depth and polynomially with width",
        statement=r"E\,\mathrm{Lip}\le E\prod\|W_l\|,\quad"
        r"(\sigma e(2N-1))^{L-2}\lesssim E\prod\|W_l\|\lesssim(2\sigma\sqrt N)^{L-2},\quad\asymp N^{L/2}",
        source=ABSTRACT,
        expected=Status.PROVED,
        hypotheses=(
            MODEL,
            "1-Lipschitz activations, any biases",
            "exponential growth where sigma e(2N-1) > 1, decay where 2 sigma sqrt(N) < 1",
            SUDAKOV + "; without them the third trace moment gives a base of sigma (5 N^4 + ...)^(1/6)",
        ),
    ),
    "relu_point": Statement(
        title="Both moments of a ReLU network's output at a point, exactly",
        statement=r"E\|f(x)\|=\|x\|\sigma^Le(n_L)\prod_{0<l<L}r(n_l),\quad"
        r"E\|f(x)\|^2=\|x\|^2\sigma^{2L}n_L\prod_{0<l<L}\tfrac{n_l}2",
        source=PAGE,
        expected=Status.PROVED,
        hypotheses=(MODEL, "ReLU, biases 0"),
    ),
    "depth": Statement(
        title="The expected Lipschitz constant grows exponentially with depth when the weights are large enough",
        statement=r"E\,\mathrm{Lip}\ge C\rho^L,\quad\rho=\sigma e(N)>1\ (\tanh,\text{linear}),\quad"
        r"\rho=\sigma r(N)>1\ (\text{ReLU})",
        source=ABSTRACT,
        expected=Status.PROVED,
        hypotheses=(MODEL, "biases 0", "activations with phi(0) = 0 and phi'(0) = 1, or ReLU"),
    ),
    "depth_any_weights": Statement(
        title="The expected Lipschitz constant grows with depth for every size of the weights",
        statement=r"\forall\sigma:\ E\,\mathrm{Lip}\to\infty\ (L\to\infty)",
        source=LIPSCHITZ.at("abstract, without its words 'sufficiently large'"),
        expected=Status.REFUTED,
        hypotheses=(MODEL, "ReLU, biases 0, n_0 = 1, N = 64, sigma^2 = 1/64"),
    ),
    "every_activation": Statement(
        title="The lower bound of the linear network holds for every 1-Lipschitz activation",
        statement=r"E\,\mathrm{Lip}\ge\sigma^L\prod_{l=1}^Le(n_l)\quad\text{for all 1-Lipschitz }\varphi",
        source=LIPSCHITZ.at("abstract, 'a wider range of activation nonlinearities' read without a lower slope"),
        expected=Status.REFUTED,
        hypotheses=(MODEL, "biases 0"),
    ),
    "width": Statement(
        title="In the width the expected Lipschitz constant is a polynomial of degree between (L-1)/2 and L/2",
        statement=r"\tfrac{L-1}2\le\liminf\frac{\log E\,\mathrm{Lip}}{\log N}\le\limsup"
        r"\frac{\log E\,\mathrm{Lip}}{\log N}\le\tfrac L2",
        source=ABSTRACT,
        expected=Status.PROVED,
        hypotheses=(
            MODEL,
            "n_0, n_L, L and sigma fixed; biases 0; phi(0) = 0 and phi'(0) = 1, or ReLU",
            SUDAKOV,
        ),
    ),
    "slopes": Statement(
        title="Measured depth rates and width exponents are those of the formulas",
        statement=r"E\log\|W_L\cdots W_1x\|,\ E\log\|f(x)\|,\ \log E\prod\|W_l\|\ \text{against }L\text{ and }\log N",
        source=ABSTRACT,
        expected=Status.NOT_REFUTED,
        hypotheses=(MODEL, "N = 32, L = 2..8; L = 3, N = 8..128; sigma = 1/2, n_0 = n_L = 8"),
    ),
    "he_threshold": Statement(
        title="Weights of variance 2/N keep the mean norm of a ReLU network's output constant in depth",
        statement=r"\sigma^2=2/N\Rightarrow E\|f(x)\|\text{ does not depend on }L",
        source=PAGE,
        expected=Status.REFUTED,
        hypotheses=(MODEL, "ReLU, biases 0; the second moment is constant, which is proved on the way"),
    ),
    "tent_map": Statement(
        title="The tent map of depth d has Lipschitz constant 2^d with fixed weights, the product bound is 40^(d/2)",
        statement=r"\mathrm{Lip}(T^{\circ d};[0,1])=2^d,\quad\prod\|W_l\|=40^{d/2},\quad"
        r"\text{one layer, }|w|\le4:\ \mathrm{Lip}\le16N",
        source=ABSTRACT,
        expected=Status.PROVED,
        hypotheses=("the listed depths; the product and the bound of one layer for all",),
    ),
    "product_is_sharp_and_not": Statement(
        title="The product of norms is attained by one network and 2^1518 times too large for another",
        statement=r"\mathrm{Lip}=\prod\|W_l\|\ (W_l=1),\quad"
        r"\mathrm{Lip}=1+10^{-9},\ \prod\|W_l\|>2^{1024}\ (\text{bit extraction})",
        source=PAGE,
        expected=Status.PROVED,
        hypotheses=("the listed widths; bit extraction of the cone on a line, wide look-up, eps = 1e-4",),
    ),
    "exact_methods": Statement(
        title="Branch and bound, activation patterns and arrangements find one and the same Lipschitz constant",
        statement=r"\mathrm{Lip}_{\text{boxes}}=\mathrm{Lip}_{\text{patterns}}=\mathrm{Lip}_{\text{arrangement}}"
        r"\ (\pm10^{-9})",
        source=PAGE,
        expected=Status.CERTIFIED,
        hypotheses=(NETWORKS,),
    ),
    "sandwich": Statement(
        title="Sampled slopes, the exact constant, LipSDP and the product of norms are in this order",
        statement=r"\max_x\|J(x)\|\le\mathrm{Lip}(f;X)\le\mathrm{Lip}(f)\le\sqrt\rho_{\text{LipSDP}}\le\prod\|W_l\|",
        source=PAGE,
        expected=Status.CERTIFIED,
        hypotheses=(
            "the listed networks; the multipliers of the semidefinite program are verified again, without cvxpy it is "
            "left out",
        ),
    ),
    "coupled_lipsdp": Statement(
        title="LipSDP with multipliers that couple units bounds the Lipschitz constant",
        statement=r"T=\mathrm{diag}(t)+\textstyle\sum\zeta_{ij}(e_i-e_j)(e_i-e_j)^T:\ "
        r"\text{LMI}(\rho,T)\Rightarrow\mathrm{Lip}\le\sqrt\rho",
        source=PAGE,
        expected=Status.REFUTED,
        hypotheses=("relu(x) - relu(x - 1) in integers",),
    ),
    "controller": Statement(
        title="A ReLU controller's closed loop contracts, which product bounds and unrealised patterns cannot show",
        statement=r"\sup_x\|R(A+BJ(x))R^{-1}\|=0.95152602<1",
        source=LIPSCHITZ.at("abstract, 'practical applications such as system control'"),
        expected=Status.CERTIFIED,
        hypotheses=(
            "double integrator with step 0.1, LQR with Q = I, R_u = 1; the exact controller and a saturated one",
        ),
    ),
    "pencils": Statement(
        title="Every pencil expert is lambda-Lipschitz, however large the product of its norms",
        statement=r"\mathrm{Lip}=\max_j|s_j|\le\lambda(1+K2^{-50}),\quad"
        r"\prod\|W_l\|=\sqrt K\,\bigl(\textstyle\sum(s_j-s_{j-1})^2\bigr)^{1/2}\le2\lambda K",
        source=PAGE,
        expected=Status.PROVED,
        hypotheses=("the cone with lambda = 1, n = 1, 2, 3: all experts of the listed models, in rationals",),
    ),
    "bit_extraction": Statement(
        title="Bit-extraction networks are sqrt(k) s K / l steep at every point, whatever the product of their norms",
        statement=r"\|\nabla\hat f\|=\sqrt k\,sK/\ell\ \text{on every simplex},\quad"
        r"\log_2\prod\|W_l\|\ \text{up to }3620",
        source=PAGE,
        expected=Status.CERTIFIED,
        hypotheses=("the cone with lambda = 1; the listed models; n = 1 in rationals at every node",),
    ),
    "mixture": Statement(
        title="A mixture of lambda-Lipschitz experts is lambda-Lipschitz",
        statement=r"|\hat f(x)-\hat f(y)|\le\lambda\|x-y\|",
        source=PAGE,
        expected=Status.REFUTED,
        hypotheses=("pencils for the cone with n = 2; what holds is lambda |x - y| + 2 eps",),
    ),
    "ginibre": Statement(
        title="The norm of a product of L square Gaussian matrices",
        statement=r"\|W_L\cdots W_1\|/(\sigma\sqrt N)^L\to\bigl((L+1)^{L+1}/L^L\bigr)^{1/2}\quad(N\to\infty)",
        source=PAGE,
        expected=Status.NOT_REFUTED,
        hypotheses=(
            "L fixed; the limit is cited (products of Ginibre matrices)",
            "N = 64, 128, 256 extrapolated in N^(-2/3)",
        ),
    ),
}
