"""Proof files of the claims about the error law and about Nyquist learners: identities, and rational instances."""

from __future__ import annotations

import random
from collections.abc import Sequence
from fractions import Fraction

from constructions.scaling_laws.law import ScalingLaw
from constructions.scaling_laws.nyquist import circle_basis
from theory.claim import Context
from theory.proofs import MATRICES, Producer, Proof, facts, kernel_vector, solution
from theory.scaling_laws.reproductions.nyquist import COEFFICIENTS, KERNEL, NODES, distinct_nodes, samples_of
from theory.scaling_laws.reproductions.splines import FREQUENCIES, measured_error

# --- the law --------------------------------------------------------------------------------------------


def _redundant_constant() -> list[Proof]:
    """With X = n^−α and Y = m^−β the squared law is R = e²/(e² + η²), e = aX + bY + c. Its derivatives are those of the
    difference quotients below: R_a ∝ 2eXη² and so on, R_η ∝ −2ηe², with one common factor."""
    definitions = {
        "e": "lambda p, q, r: p*X + q*Y + r",
        "top": "lambda p, q, r: e(p, q, r)**2",
        "bottom": "lambda p, q, r, h: e(p, q, r)**2 + h**2",
        "E0": "e(a, b, c)",
        "row": "lambda x, y: [x, y, 1]",
        "det": "lambda M: M[0][0]*(M[1][1]*M[2][2] - M[1][2]*M[2][1]) - M[0][1]*(M[1][0]*M[2][2] - M[1][2]*M[2][0]) "
        "+ M[0][2]*(M[1][0]*M[2][1] - M[1][1]*M[2][0])",
    }
    return [
        facts(
            "top(k*a, k*b, k*c)*bottom(a, b, c, g) == top(a, b, c)*bottom(k*a, k*b, k*c, k*g)",
            "top(a + t, b, c)*bottom(a, b, c, g) - top(a, b, c)*bottom(a + t, b, c, g) "
            "== t*(2*E0*X*g**2) + t**2*X**2*g**2",
            "top(a, b + t, c)*bottom(a, b, c, g) - top(a, b, c)*bottom(a, b + t, c, g) "
            "== t*(2*E0*Y*g**2) + t**2*Y**2*g**2",
            "top(a, b, c + t)*bottom(a, b, c, g) - top(a, b, c)*bottom(a, b, c + t, g) == t*(2*E0*g**2) + t**2*g**2",
            "top(a, b, c)*bottom(a, b, c, g) - top(a, b, c)*bottom(a, b, c, g + t) == t*(0 - 2*g*E0**2) - t**2*E0**2",
            "a*(2*E0*X*g**2) + b*(2*E0*Y*g**2) + c*(2*E0*g**2) + g*(0 - 2*g*E0**2) == 0",
            "det([row(1/1, 1/1**2), row(1/1, 1/2**2), row(1/2, 1/1**2)]) != 0",
            definitions=definitions,
            variables=("a", "b", "c", "g", "k", "t", "X", "Y"),
        )
    ]


def _planning() -> list[Proof]:
    """The split in shares; the worked example, by the shipped law's own numbers; and that its split is the cheapest."""
    law = ScalingLaw((8.0, 4.0), (0.5, 1.0), 0.02, chance=1.0)
    sizes = [(n, m) for n in (64, 256, 1024) for m in (4, 16, 64)]
    import torch

    shipped = law(torch.tensor(sizes, dtype=torch.float64)).tolist()
    cheapest = law.cheapest(0.1)
    data = {
        "sizes": sizes,
        "errors": shipped,
        "needed": law.needed(0, 0.1, {1: 64.0}),
        "cheapest": list(cheapest),
        "floor_of_law": law.floor,
    }
    definitions = {
        "excess": "lambda n, m: 8/sqrt(n) + 4/m + 1/50",
        "law": "lambda u: u/sqrt(1 + u**2)",
        "near": "lambda x, y, s: 0 - s < x - y < s",
        "w": "1/10/sqrt(1 - 1/100) - 1/50",
        "best_n": "(8*(3/2)/w)**2",
        "best_m": "4*3/w",
    }
    return [
        facts(
            "all([near(law(excess(s[0], s[1])), v, 5/10**7) for s, v in zip(sizes, errors)])",
            "near((8/(w - 4/64))**2, needed, 1/1000)",
            "near(best_n, cheapest[0], 1/10**4)",
            "near(best_m, cheapest[1], 1/10**6)",
            "near(law(1/50), floor_of_law, 1/10**12)",
            "law(1/50 + 4/64) > 2/100",
            # any split: shares A n^-α = wβ/(α + β) and B m^-β = wα/(α + β), times their exponents alike
            "W*B + W*A == W*(A + B)",
            "A*(W*B) == B*(W*A)",
            # p = n^-1/2 = (W/12)(1 + T): what n·m is smallest where p²(W − 8p) is largest, T = 0
            "432*((W/12)*(1 + T))**2*(W - 8*(W/12)*(1 + T)) == W**3*(1 - T**2*(3 + 2*T))",
            data=data,
            definitions=definitions,
            variables=("A", "B", "W", "T"),
        )
    ]


def _pruning_shape() -> list[Proof]:
    """With D = d² the law is ε_np·R^(γ/2), R = (D + p²q²)/(D + p²): its slope is 2D·(γ/2)·R′/R = −γ·s(D)."""
    definitions = {
        "high": "D + P**2*Q**2",
        "low": "D + P**2",
        "s_top": "D*P**2*(Q**2 - 1)",
        "s_bottom": "high*low",
    }
    return [
        facts(
            # R at D + T against R at D: R′ = (p² − p²q²)/low², and s = −D·R′/R
            "(D + T + P**2*Q**2)*low - high*(D + T + P**2) == T*(P**2 - P**2*Q**2)",
            "D*(P**2 - P**2*Q**2) == 0 - s_top",
            # s ≤ (q − 1)/(q + 1), with equality at D = p²q alone
            "(Q - 1)*s_bottom - (Q + 1)*s_top == (Q - 1)*(D - P**2*Q)**2",
            # the plateaus: R − 1 and q² − R are positive and vanish at infinity and at 0
            "high - low == P**2*(Q**2 - 1)",
            "Q**2*low - high == D*(Q**2 - 1)",
            # R = q at D = p²q: the geometric mean of both plateaus
            "P**2*Q + P**2*Q**2 == Q*(P**2*Q + P**2)",
            definitions=definitions,
            variables=("D", "T", "P", "Q"),
        )
    ]


# --- Nyquist learners -----------------------------------------------------------------------------------

CIRCLE = {
    **MATRICES,
    "x_of": "lambda t: (1 - t**2)/(1 + t**2)",
    "y_of": "lambda t: 2*t/(1 + t**2)",
    "cosine": "lambda t, k: sum([comb(k, 2*j)*(0 - 1)**j*x_of(t)**(k - 2*j)*y_of(t)**(2*j) "
    "for j in range(floor(k/2) + 1)])",
    "sine": "lambda t, k: sum([comb(k, 2*j + 1)*(0 - 1)**j*x_of(t)**(k - 2*j - 1)*y_of(t)**(2*j + 1) "
    "for j in range(floor((k + 1)/2))])",
    "row": "lambda t, K: [1] + [v for k in range(1, K + 1) for v in [cosine(t, k), sine(t, k)]]",
    "rows": "lambda ts, K: [row(t, K) for t in ts]",
    "identity": "lambda n: [[1*(i == j) for j in range(n)] for i in range(n)]",
}
"""The functions 1, cos kθ, sin kθ at points of the circle, tan(θ/2) = t rational."""

Rows = list[list[Fraction]]


def _rows(nodes: Sequence[Fraction], bandwidth: int) -> Rows:
    return [list(circle_basis(bandwidth, t)) for t in nodes]


def _inverse(rows: Sequence[Sequence[Fraction | int]]) -> Rows:
    """R with rows·R = 1, for rows that are independent."""
    columns = []
    for j in range(len(rows)):
        found = solution(rows, [Fraction(int(i == j)) for i in range(len(rows))])
        assert found is not None
        columns.append(found)
    return [list(row) for row in zip(*columns, strict=True)]


def _root_of_unity(n: int) -> tuple[int, int]:
    """(p, w): a prime p ≡ 1 mod n above 10⁴ and a w of order n modulo it."""
    p = next(q for q in range(10_000 // n * n + 1, 10**9, n) if q > 10_000 and all(q % d for d in range(2, 1000)))
    for g in range(2, p):
        w = pow(g, (p - 1) // n, p)
        if all(pow(w, j, p) != 1 for j in range(1, n)):
            return p, w
    raise ValueError(f"no root of order {n} modulo {p}")


def _nyquist_recovery(context: Context) -> list[Proof]:
    """On grids over F_p, where w is a root of unity of order n; and at rational nodes of the circle."""
    cases = []
    for bandwidth in (1, 2, 3, 5, 8):
        for n in (2 * bandwidth - 1, 2 * bandwidth, 2 * bandwidth + 1, 2 * bandwidth + 2, 3 * bandwidth + 2):
            cases.append([bandwidth, n, *_root_of_unity(n)])
    definitions = {
        "freq": "lambda K: [k - K for k in range(2*K + 1)]",
        "sampled": "lambda n, p, w, l: sum([w**(j*(l % n) % n) for j in range(n)]) % p",
    }
    grids = facts(
        "all([c[3]**c[1] % c[2] == 1 for c in cases])",
        "all([c[3]**j % c[2] != 1 for c in cases for j in range(1, c[1])] + [True])",
        # Σ_j w^(j(l − k)) is n where l ≡ k modulo n, else 0: what the estimate of c_k takes from c_l
        "all([(sampled(c[1], c[2], c[3], l - k) == c[1] % c[2] * ((l - k) % c[1] == 0)) "
        "for c in cases for k in freq(c[0]) for l in freq(c[0])])",
        # nothing else is taken iff n ≥ 2K + 1; else two frequencies are the same on the grid
        "all([all([(l - k) % c[1] != 0 or l == k for k in freq(c[0]) for l in freq(c[0])]) == (c[1] >= 2*c[0] + 1) "
        "for c in cases])",
        data={"cases": cases},
        definitions=definitions,
    )
    g, sets, inverses = random.Random(context.seed), [], []
    for bandwidth in range(1, 5):
        for _ in range(3):
            nodes = distinct_nodes(2 * bandwidth + 1, g)
            sets.append(nodes)
            inverses.append(_inverse(_rows(nodes, bandwidth)))
    values = samples_of(COEFFICIENTS, NODES)
    data = {"sets": sets, "inverses": inverses, "nodes": NODES, "values": values, "truth": COEFFICIENTS}
    data |= {"kernel": KERNEL, "inverse": _inverse(_rows(NODES[:7], 3))}
    circle = facts(
        "all([mul(rows(ts, (len(ts) - 1)/2), R) == identity(len(ts)) for ts, R in zip(sets, inverses)])",
        "len(sets) == 12",
        "times(inverse, [values[i] for i in range(7)]) == truth",
        "mul(rows([nodes[i] for i in range(7)], 3), inverse) == identity(7)",
        "times(rows(nodes, 3), truth) == values",
        "times(rows([nodes[i] for i in range(6)], 3), kernel) == [0 for i in range(6)]",
        "any([v != 0 for v in kernel])",
        data=data,
        definitions=CIRCLE,
    )
    return [grids, circle]


def _nyquist_jump(context: Context) -> list[Proof]:
    """Below D samples a function of norm 1 is invisible; from D on none is; P is the orthogonal projection onto what is
    seen, with trace n, so that the mean square error of the nearest answer is 1 − n/D."""
    g, below, above, projections = random.Random(context.seed), [], [], []
    for bandwidth in range(1, 4):
        size = 2 * bandwidth + 1
        nodes = distinct_nodes(size + 1, g)
        for n in range(1, size):
            below.append([bandwidth, nodes[:n], kernel_vector(_rows(nodes[:n], bandwidth))])
        above.append([bandwidth, nodes[:size], _inverse(_rows(nodes[:size], bandwidth))])
        for n in range(1, size + 1):
            rows = _rows(nodes[:n], bandwidth)
            # orthonormal coordinates up to the common √2 of the waves: 1 has the weight 1, each wave the weight 2
            weighted = [[v * (1 if k == 0 else 2) for k, v in enumerate(row)] for row in rows]
            gram = [[sum(a * b for a, b in zip(u, v, strict=True)) for v in weighted] for u in rows]
            inner = _inverse(gram)
            lifted = [
                [sum((weighted[i][k] * inner[i][j] for i in range(n)), Fraction(0)) for j in range(n)]
                for k in range(size)
            ]
            projections.append([bandwidth, nodes[:n], lifted])
    definitions = {
        **CIRCLE,
        "seen": "[[mul(c[2], rows(c[1], c[0])), c] for c in projections]",
        "weight": "lambda k: 1 if k == 0 else 2",
        "trace": "lambda M: sum([M[i][i] for i in range(len(M))])",
    }
    return [
        facts(
            "all([times(rows(c[1], c[0]), c[2]) == [0 for t in c[1]] for c in below])",
            "all([any([v != 0 for v in c[2]]) for c in below])",
            "all([len(c[1]) < 2*c[0] + 1 for c in below])",
            "all([mul(c[2], rows(c[1], c[0])) == identity(2*c[0] + 1) for c in above])",
            "all([mul(s[0], s[0]) == s[0] for s in seen])",
            "all([mul(rows(s[1][1], s[1][0]), s[0]) == rows(s[1][1], s[1][0]) for s in seen])",
            # symmetric for the inner product of functions: weights 1 and 1/2
            "all([s[0][i][j]*weight(j) == s[0][j][i]*weight(i) for s in seen for i in range(len(s[0])) "
            "for j in range(len(s[0]))])",
            "all([1 - trace(s[0])/(2*s[1][0] + 1) == 1 - len(s[1][1])/(2*s[1][0] + 1) for s in seen])",
            "len(projections) == 15",
            data={"below": below, "above": above, "projections": projections},
            definitions=definitions,
        )
    ]


def _nyquist_noise() -> list[Proof]:
    """Uniform nodes: Gram entries are sums of ζ^(jl), l ≤ 2K < n, which vanish: (z − 1)Σz^j = z^n − 1. No design is
    better: tr A·tr A⁻¹ − D² is a sum of squares, and each row has the squared norm D on the circle."""
    definitions = {
        "least": "lambda a: sum(a)*sum([prod([a[k] for k in range(len(a)) if k != j]) for j in range(len(a))])"
        " - len(a)**2*prod(a)",
        "squares": "lambda a: sum([(a[i] - a[j])**2*prod([a[k] for k in range(len(a)) if k != i and k != j] + [1]) "
        "for i in range(len(a)) for j in range(i)])",
        "four": "[A, B, C, D, E1]",
    }
    return [
        facts(
            "all([(Z - 1)*sum([Z**j for j in range(n)]) == Z**n - 1 for n in range(1, 8)])",
            "all([l % n != 0 for n in range(1, 8) for K in range(floor((n - 1)/2) + 1) for l in range(1, 2*K + 1)])",
            "all([least([four[i] for i in range(d)]) == squares([four[i] for i in range(d)]) for d in range(2, 6)])",
            "(1 - T**2)**2 + (2*T)**2 == (1 + T**2)**2",
            "all([2*floor((n - 1)/2) + 1 == max([2*K + 1 for K in range(n) if 2*K < n]) for n in range(1, 8)])",
            "all([2*floor((n - 1)/2) + 1 >= n - 1 for n in range(1, 8)])",
            definitions=definitions,
            variables=("Z", "T", "A", "B", "C", "D", "E1"),
        )
    ]


def _nyquist_bandwidth(context: Context) -> list[Proof]:
    """Each instance: the function fits in its degree K; a combination of samples that vanishes on all functions of
    degree K − 1 and not on these samples; an inverse where the interpolant is unique."""
    g, instances = random.Random(context.seed), []
    for bandwidth in range(4):
        for n in (2 * bandwidth + 1, 2 * bandwidth + 2, 2 * bandwidth + 5):
            coefficients = [Fraction(g.randint(-9, 9), g.randint(1, 5)) for _ in range(2 * bandwidth)] + [Fraction(1)]
            nodes = distinct_nodes(n, g)
            values = samples_of(coefficients, nodes)
            refuting: list[Fraction] | None = []
            if bandwidth:
                below = _rows(nodes, bandwidth - 1)
                # y with yᵀ·below = 0 and yᵀ·values = 1
                turned = [list(column) for column in zip(*below, strict=True)] + [values]
                refuting = solution(turned, [Fraction(0)] * len(below[0]) + [Fraction(1)])
            unique = _inverse(_rows(nodes[: 2 * bandwidth + 1], bandwidth))
            instances.append([bandwidth, nodes, values, coefficients, refuting, unique])
    anything, fits = [], []
    for bandwidth in range(4):
        nodes = distinct_nodes(2 * bandwidth + 1, g)
        values = [Fraction(g.randint(-99, 99), 7) for _ in nodes]
        anything.append([bandwidth, nodes, values])
        fits.append(solution(_rows(nodes, bandwidth), values))
    definitions = {**CIRCLE, "dot": "lambda x, y: sum([a*b for a, b in zip(x, y)])"}
    return [
        facts(
            "all([times(rows(c[1], c[0]), c[3]) == c[2] for c in instances])",
            "all([mul(flip([[y] for y in c[4]]), rows(c[1], c[0] - 1)) == [[0 for k in range(2*c[0] - 1)]] "
            "for c in instances if c[0] > 0])",
            "all([dot(c[4], c[2]) != 0 for c in instances if c[0] > 0])",
            "all([mul(c[5], rows([c[1][i] for i in range(2*c[0] + 1)], c[0])) == identity(2*c[0] + 1) "
            "for c in instances])",
            "all([times(rows(c[1], c[0]), x) == c[2] for c, x in zip(anything, fits)])",
            "len(instances) == 12",
            data={"instances": instances, "anything": anything, "fits": fits},
            definitions=definitions,
        )
    ]


def _shallow_lower_bound() -> list[Proof]:
    """On one piece of length 1 the part along P = 6x² − 6x + 1 costs (μ/60)²·5 = μ²/720; pieces by the power mean."""
    definitions = {
        "K": "lambda x: x**2*(1 - x)**2/2",
        "P": "lambda x: 6*x**2 - 6*x + 1",
        "moment": "lambda c: sum([c[k]/(k + 1) for k in range(len(c))])",
    }
    return [
        facts(
            # K'' = P, and K and K' vanish at both ends: ∫fP = ∫f''K, K ≥ 0 being a square
            "K(X + T) - 2*K(X) + K(X - T) == T**2*P(X) + T**4",
            "2*K(X) == (X*(1 - X))**2",
            "K(T) == T**2*((1 - T)**2/2)",
            "K(1 - T) == T**2*((1 - T)**2/2)",
            "moment([0, 0, 1/2, 0 - 1, 1/2]) == 1/60",
            "moment([1, 0 - 12, 48, 0 - 72, 36]) == 1/5",
            "P(X)**2 == 1 - 12*X + 48*X**2 - 72*X**3 + 36*X**4",
            "moment([1, 0 - 6, 6]) == 0",
            "moment([0, 1, 0 - 6, 6]) == 0",
            "(1/60)**2/(1/5) == 1/720",
            # x²/2 attains it: its best affine function leaves 1/720
            "1/20 + A**2/3 + B**2 - A/4 - B/3 + A*B == 1/720 + ((A - 1/2)/2 + (B + 1/12))**2 + (A - 1/2)**2/12",
            # h^5 ≥ 5 m^4 h − 4 m^5 for h, m ≥ 0: summed over pieces with mean m, Σh^5 ≥ (W + 1)m^5
            "X**5 - 5*T**4*X + 4*T**5 == (X - T)**2*(X**3 + 2*X**2*T + 3*X*T**2 + 4*T**3)",
            "all([(W + 1)*(1/(W + 1))**5 == 1/(W + 1)**4 for W in [1, 2, 4, 8]])",
            definitions=definitions,
            variables=("X", "T", "A", "B"),
        )
    ]


def _spline_rate() -> list[Proof]:
    """What linear splines were measured to miss, by quadrature, against E(θ) of the frequencies; and E near 0."""
    rows = [[nodes, measured_error(FREQUENCIES, nodes, device="cpu")] for nodes in (21, 41, 81, 161)]
    weights = [[f, (Fraction(a) ** 2 + Fraction(b) ** 2) / 2] for f, (a, b) in FREQUENCIES.items()]
    definitions = {
        "sinc": "lambda t: sin(pi*t)/(pi*t)",
        "E_of": "lambda t: 1 - 2*sinc(t)**2 + (2 + cos(2*pi*t))/3",
        "exact": "lambda n: sum([w[1]*E_of(w[0]/n) for w in weights])",
        "limit": "2*pi**4/15",
    }
    return [
        facts(
            "all([0 - 1/10**6 < r[1]/exact(r[0]) - 1 < 1/10**6 for r in rows])",
            "all([E_of(j/64) > 0 for j in range(1, 256)])",
            "0 - 1/10**24 < E_of(1/4) - (5/3 - 16/pi**2) < 1/10**24",
            "all([0 - 40/n**2 < E_of(1/n)*n**4 - limit < 0 for n in [10, 20, 40, 80, 160, 320]])",
            data={"rows": rows, "weights": weights},
            definitions=definitions,
        )
    ]


PROOFS: dict[str, Producer] = {
    "spline_rate": lambda context, folder: _spline_rate(),
    "redundant_constant": lambda context, folder: _redundant_constant(),
    "planning": lambda context, folder: _planning(),
    "pruning_shape": lambda context, folder: _pruning_shape(),
    "nyquist_recovery": lambda context, folder: _nyquist_recovery(context),
    "nyquist_jump": lambda context, folder: _nyquist_jump(context),
    "nyquist_noise": lambda context, folder: _nyquist_noise(),
    "nyquist_bandwidth": lambda context, folder: _nyquist_bandwidth(context),
    "shallow_lower_bound": lambda context, folder: _shallow_lower_bound(),
}
