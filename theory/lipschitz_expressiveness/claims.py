"""What is claimed; the reproductions are in `theory.lipschitz_expressiveness.reproductions`, one function a claim.

Of the paper the abstract was read: what is refuted is a reading of a sentence, never a theorem of the paper.
"""

from __future__ import annotations

from theory.claim import Evidence, Statement, Status, part
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
        source=OURS.at("docs/lipschitz_expressiveness.md, C1"),
        expected=Status.CERTIFIED,
        evidence=Evidence.ENCLOSED,
        hypotheses=(SUDAKOV, "the listed shapes; sampled means have 99.9 % intervals"),
        decided_by=(
            "The lemmas for both sides are derived by sympy, their values for the listed shapes compared in balls; "
            "sampled mean norms and tails must not lie outside."
        ),
        does_not_say=(
            "That the bounds are close for thin matrices, or anything for entries that are not Gaussian; "
            "Sudakov-Fernique's comparison is cited."
        ),
    ),
    "trace_moments": Statement(
        title="The first three trace moments of a Gaussian matrix, by all pairings",
        statement=r"E\,\mathrm{tr}(G^TG)^p=mn,\ mn(m+n+1),\ mn(m^2+n^2+3mn+3m+3n+4)\quad(p=1,2,3)",
        source=OURS.at("docs/lipschitz_expressiveness.md, C1"),
        expected=Status.PROVED,
        evidence=Evidence.EXACT,
        hypotheses=("Wick's pairings for all m, n; every index written out for m, n <= 4",),
        decided_by=(
            "All pairings of 2, 4 and 6 factors are enumerated and counted as polynomials in m and n; sums over all "
            "indices agree for m, n ≤ 4."
        ),
        does_not_say="Higher moments, or moments of products of several matrices.",
        files=part("moments over all indices for m and n up to 4, which decide the polynomials"),
    ),
    "upper_bound": Statement(
        title="The expected upper bound grows exponentially with depth and polynomially with width",
        statement=r"E\,\mathrm{Lip}\le E\prod\|W_l\|,\quad"
        r"(\sigma e(2N-1))^{L-2}\lesssim E\prod\|W_l\|\lesssim(2\sigma\sqrt N)^{L-2},\quad\asymp N^{L/2}",
        source=ABSTRACT,
        expected=Status.PROVED,
        evidence=Evidence.SYMBOLIC,
        hypotheses=(
            MODEL,
            "1-Lipschitz activations, any biases",
            "exponential growth where sigma e(2N-1) > 1, decay where 2 sigma sqrt(N) < 1",
            SUDAKOV + "; without them the third trace moment gives a base of sigma (5 N^4 + ...)^(1/6)",
        ),
        decided_by=(
            "Bases and powers of the closed forms are derived by sympy from the lemmas; symbols and the float "
            "functions that are used elsewhere are compared."
        ),
        does_not_say=(
            "That the expected Lipschitz constant itself grows so: the upper bound does; between it and the lower "
            "bound of depth lies a gap that grows with depth."
        ),
    ),
    "relu_point": Statement(
        title="Both moments of a ReLU network's output at a point, exactly",
        statement=r"E\|f(x)\|=\|x\|\sigma^Le(n_L)\prod_{0<l<L}r(n_l),\quad"
        r"E\|f(x)\|^2=\|x\|^2\sigma^{2L}n_L\prod_{0<l<L}\tfrac{n_l}2",
        source=OURS.at("docs/lipschitz_expressiveness.md, C4"),
        expected=Status.PROVED,
        evidence=Evidence.SYMBOLIC,
        hypotheses=(MODEL, "ReLU, biases 0"),
        decided_by=(
            "The moments of one layer are integrated by sympy; sampled first and second moments of two networks are "
            "compared with the product."
        ),
        does_not_say="The Lipschitz constant: it is the norm of the output at one point, with zero biases.",
    ),
    "depth": Statement(
        title="The expected Lipschitz constant grows exponentially with depth when the weights are large enough",
        statement=r"E\,\mathrm{Lip}\ge C\rho^L,\quad\rho=\sigma e(N)>1\ (\tanh,\text{linear}),\quad"
        r"\rho=\sigma r(N)>1\ (\text{ReLU})",
        source=ABSTRACT,
        expected=Status.PROVED,
        evidence=Evidence.SYMBOLIC,
        hypotheses=(MODEL, "biases 0", "activations with phi(0) = 0 and phi'(0) = 1, or ReLU"),
        decided_by=(
            "The bases of the lower bounds and where they pass 1 are derived by sympy; drawn networks are checked to"
            " lie above what is bounded."
        ),
        does_not_say="Growth for small weights (depth_any_weights refutes it), with biases, or after training.",
    ),
    "depth_any_weights": Statement(
        title="The expected Lipschitz constant grows with depth for every size of the weights",
        statement=r"\forall\sigma:\ E\,\mathrm{Lip}\to\infty\ (L\to\infty)",
        source=LIPSCHITZ.at("abstract, without its words 'sufficiently large'"),
        expected=Status.REFUTED,
        evidence=Evidence.SYMBOLIC,
        hypotheses=(MODEL, "ReLU, biases 0, n_0 = 1, N = 64, sigma^2 = 1/64"),
        decided_by=(
            "With one input and σ² = 1/N the constant is at most twice a mean that decays; the rational bounds of "
            "its base are below 1, which is the witness."
        ),
        does_not_say=(
            "That the paper's sentence is false: it says sufficiently large weights, and this reading leaves the "
            "words out."
        ),
    ),
    "every_activation": Statement(
        title="The lower bound of the linear network holds for every 1-Lipschitz activation",
        statement=r"E\,\mathrm{Lip}\ge\sigma^L\prod_{l=1}^Le(n_l)\quad\text{for all 1-Lipschitz }\varphi",
        source=LIPSCHITZ.at("abstract, 'a wider range of activation nonlinearities' read without a lower slope"),
        expected=Status.REFUTED,
        evidence=Evidence.EXACT,
        hypotheses=(MODEL, "biases 0"),
        decided_by=(
            "φ = 0 and φ(t) = t/2 are 1-Lipschitz and have constants 0 and 2^(1-L) of the linear one, computed in "
            "rationals on drawn matrices."
        ),
        does_not_say=(
            "That the paper's wider class is wrong: it may ask for a slope from below, which this reading leaves out."
        ),
    ),
    "width": Statement(
        title="In the width the expected Lipschitz constant is a polynomial of degree between (L-1)/2 and L/2",
        statement=r"\tfrac{L-1}2\le\liminf\frac{\log E\,\mathrm{Lip}}{\log N}\le\limsup"
        r"\frac{\log E\,\mathrm{Lip}}{\log N}\le\tfrac L2",
        source=ABSTRACT,
        expected=Status.PROVED,
        evidence=Evidence.SYMBOLIC,
        hypotheses=(
            MODEL,
            "n_0, n_L, L and sigma fixed; biases 0; phi(0) = 0 and phi'(0) = 1, or ReLU",
            SUDAKOV,
        ),
        decided_by="Powers of N of the lower and upper closed forms are limits taken by sympy, for symbolic L.",
        does_not_say=(
            "The exponent: it lies between (L-1)/2 and L/2, and the gap is not closed; σ does not shrink with N here."
        ),
    ),
    "slopes": Statement(
        title="Measured depth rates and width exponents are those of the formulas",
        statement=r"E\log\|W_L\cdots W_1x\|,\ E\log\|f(x)\|,\ \log E\prod\|W_l\|\ \text{against }L\text{ and }\log N",
        source=ABSTRACT,
        expected=Status.NOT_REFUTED,
        evidence=Evidence.FITTED,
        hypotheses=(MODEL, "N = 32, L = 2..8; L = 3, N = 8..128; sigma = 1/2, n_0 = n_L = 8"),
        decided_by=(
            "Least-squares slopes of sampled logarithms against depth and ln N, with intervals, against those of the"
            " formulas at the same sizes."
        ),
        does_not_say="Limits in depth or width: depths up to 8 and widths up to 128 were drawn.",
    ),
    "he_threshold": Statement(
        title="Weights of variance 2/N keep the mean norm of a ReLU network's output constant in depth",
        statement=r"\sigma^2=2/N\Rightarrow E\|f(x)\|\text{ does not depend on }L",
        source=OURS.at("docs/lipschitz_expressiveness.md, C4"),
        expected=Status.REFUTED,
        evidence=Evidence.ENCLOSED,
        hypotheses=(MODEL, "ReLU, biases 0; the second moment is constant, which is proved on the way"),
        decided_by=(
            "sympy shows that the second moment stays constant; the first shrinks by a factor a layer that is "
            "enclosed in balls below 1, which is the witness."
        ),
        does_not_say="That He's initialisation is bad: the mean norm shrinks slowly, by 1 - O(1/N) a layer.",
    ),
    "tent_map": Statement(
        title="The tent map of depth d has Lipschitz constant 2^d with fixed weights, the product bound is 40^(d/2)",
        statement=r"\mathrm{Lip}(T^{\circ d};[0,1])=2^d,\quad\prod\|W_l\|=40^{d/2},\quad"
        r"\text{one layer, }|w|\le4:\ \mathrm{Lip}\le16N",
        source=ABSTRACT,
        expected=Status.PROVED,
        evidence=Evidence.EXACT,
        hypotheses=("the listed depths; the product and the bound of one layer for all",),
        decided_by=(
            "All pieces of tent maps are found twice in rationals, by the line method and by the trusted kernel; "
            "norms of matrices of rank one are exact."
        ),
        does_not_say="That training finds such networks, or that depth helps for functions without oscillation.",
        files=part(
            "values and slopes on all pieces of tents of depth at most 10, and norms of rank one; not the least width"
        ),
    ),
    "product_is_sharp_and_not": Statement(
        title="The product of norms is attained by one network and 2^1518 times too large for another",
        statement=r"\mathrm{Lip}=\prod\|W_l\|\ (W_l=1),\quad"
        r"\mathrm{Lip}=1+10^{-9},\ \prod\|W_l\|>2^{1024}\ (\text{bit extraction})",
        source=OURS.at("docs/lipschitz_expressiveness.md, L1"),
        expected=Status.PROVED,
        evidence=Evidence.EXACT,
        hypotheses=("the listed widths; bit extraction of the cone on a line, wide look-up, eps = 1e-4",),
        decided_by=(
            "Networks of ones attain the product exactly (rank one); for a bit-extraction network slopes and a lower"
            " bound of the product are rational."
        ),
        does_not_say="How loose the product is for typical or trained networks: these are two extremes.",
    ),
    "exact_methods": Statement(
        title="Branch and bound, activation patterns and arrangements find one and the same Lipschitz constant",
        statement=r"\mathrm{Lip}_{\text{boxes}}=\mathrm{Lip}_{\text{patterns}}=\mathrm{Lip}_{\text{arrangement}}"
        r"\ (\pm10^{-9})",
        source=PAGE,
        expected=Status.CERTIFIED,
        evidence=Evidence.FLOAT64,
        hypotheses=(NETWORKS,),
        decided_by=(
            "Intervals of branch and bound and of activation patterns, closed to 1e-9 in float64, must meet; on the "
            "plane all cells are enumerated with crossings in rationals."
        ),
        does_not_say=(
            "That the methods agree on large networks, which they cannot close; or that any of them is exact beyond "
            "1e-9."
        ),
    ),
    "sandwich": Statement(
        title="Sampled slopes, the exact constant, LipSDP and the product of norms are in this order",
        statement=r"\max_x\|J(x)\|\le\mathrm{Lip}(f;X)\le\mathrm{Lip}(f)\le\sqrt\rho_{\text{LipSDP}}\le\prod\|W_l\|",
        source=PAGE,
        expected=Status.CERTIFIED,
        evidence=Evidence.FLOAT64,
        hypotheses=(
            "the listed networks; the multipliers of the semidefinite program are verified again, without cvxpy it is "
            "left out",
        ),
        decided_by=(
            "Sampled slopes, the closed interval, the semidefinite bound with its multipliers verified again, and "
            "the product are compared for the listed networks, with float64 slacks."
        ),
        does_not_say="How large the gaps are elsewhere; without cvxpy the semidefinite bound is left out.",
    ),
    "coupled_lipsdp": Statement(
        title="LipSDP with multipliers that couple units bounds the Lipschitz constant",
        statement=r"T=\mathrm{diag}(t)+\textstyle\sum\zeta_{ij}(e_i-e_j)(e_i-e_j)^T:\ "
        r"\text{LMI}(\rho,T)\Rightarrow\mathrm{Lip}\le\sqrt\rho",
        source=PAGE,
        expected=Status.REFUTED,
        evidence=Evidence.EXACT,
        hypotheses=("relu(x) - relu(x - 1) in integers",),
        decided_by=(
            "In integers relu(x) - relu(x - 1) has slope 1, while the coupled inequality with ρ = 0 has no negative "
            "principal minor: the witness."
        ),
        does_not_say="That LipSDP is wrong as it is used: the diagonal multipliers, which are used here, are sound.",
    ),
    "controller": Statement(
        title="A ReLU controller's closed loop contracts, which product bounds and unrealised patterns cannot show",
        statement=r"\sup_x\|R(A+BJ(x))R^{-1}\|=0.95152602<1",
        source=LIPSCHITZ.at("abstract, 'practical applications such as system control'"),
        expected=Status.CERTIFIED,
        evidence=Evidence.FLOAT64,
        hypotheses=(
            "double integrator with step 0.1, LQR with Q = I, R_u = 1; the exact controller and a saturated one",
        ),
        decided_by=(
            "The closed loop's constant in the Riccati norm is closed by boxes and by patterns below 1; three weaker"
            " bounds are shown to be at least 1; a saturated controller is decided inside and outside."
        ),
        does_not_say=(
            "Stability of a real plant: linear dynamics without noise, one step of 0.1, and a saturated controller "
            "only inside |x| ≤ 0.39."
        ),
        files=part("minors of the open and closed loops, in rationals"),
    ),
    "pencils": Statement(
        title="Every pencil expert is lambda-Lipschitz, however large the product of its norms",
        statement=r"\mathrm{Lip}=\max_j|s_j|\le\lambda(1+K2^{-50}),\quad"
        r"\prod\|W_l\|=\sqrt K\,\bigl(\textstyle\sum(s_j-s_{j-1})^2\bigr)^{1/2}\le2\lambda K",
        source=OURS.at("docs/lipschitz_expressiveness.md, B1"),
        expected=Status.PROVED,
        evidence=Evidence.EXACT,
        hypotheses=("the cone with lambda = 1, n = 1, 2, 3: all experts of the listed models, in rationals",),
        decided_by=(
            "Slopes and norms of every expert of the listed models are computed in rationals from the stored "
            "weights; a zigzag attains the bound of the product."
        ),
        does_not_say="That the mixture is λ-Lipschitz: it jumps at faces (mixture).",
        files=part("slopes behind every bend of all experts of the models"),
    ),
    "bit_extraction": Statement(
        title="Bit-extraction networks are sqrt(k) s K / l steep at every point, whatever the product of their norms",
        statement=r"\|\nabla\hat f\|=\sqrt k\,sK/\ell\ \text{on every simplex},\quad"
        r"\log_2\prod\|W_l\|\ \text{up to }3620",
        source=OURS.at("docs/lipschitz_expressiveness.md, B2"),
        expected=Status.CERTIFIED,
        evidence=Evidence.FLOAT64,
        hypotheses=("the cone with lambda = 1; the listed models; n = 1 in rationals at every node",),
        decided_by=(
            "On every simplex the network is an integer multiple of one step: integers are checked, and on a line "
            "every node in rationals; autograd's gradients and the product's logarithm stand beside it."
        ),
        does_not_say=(
            "That these networks are robust: their slope is far above λ, though far below the product of norms; and "
            "only for the cone."
        ),
    ),
    "mixture": Statement(
        title="A mixture of lambda-Lipschitz experts is lambda-Lipschitz",
        statement=r"|\hat f(x)-\hat f(y)|\le\lambda\|x-y\|",
        source=OURS.at("docs/lipschitz_expressiveness.md, B3"),
        expected=Status.REFUTED,
        evidence=Evidence.EXACT,
        hypotheses=("pencils for the cone with n = 2; what holds is lambda |x - y| + 2 eps",),
        decided_by=(
            "Two rational points 2^-40 apart on both sides of a face are routed and evaluated exactly and their "
            "answers differ: the witness."
        ),
        does_not_say="That mixtures are far from Lipschitz: |f(x) - f(y)| ≤ λ|x - y| + 2 eps holds.",
    ),
    "ginibre": Statement(
        title="The norm of a product of L square Gaussian matrices",
        statement=r"\|W_L\cdots W_1\|/(\sigma\sqrt N)^L\to\bigl((L+1)^{L+1}/L^L\bigr)^{1/2}\quad(N\to\infty)",
        source=OURS.at("docs/lipschitz_expressiveness.md, C5"),
        expected=Status.NOT_REFUTED,
        evidence=Evidence.FITTED,
        hypotheses=(
            "L fixed; the limit is cited (products of Ginibre matrices)",
            "N = 64, 128, 256 extrapolated in N^(-2/3)",
        ),
        decided_by=(
            "Mean norms of products at three sizes, a straight line in N^(-2/3), and its intercept against the cited"
            " limit, within errors and 2 %."
        ),
        does_not_say="The limit itself, which is cited, or anything when L grows with N.",
    ),
}
