"""What is claimed; the reproductions are in `theory.am_gm.reproductions`, one function a claim."""

from __future__ import annotations

from theory.claim import Evidence, Statement, Status, part, whole
from theory.sources import (
    ALBAR_JUNGE_ZHAO,
    DE_SA,
    EXACT_LOW_LENGTH,
    ISRAEL_KRAHMER_WARD,
    LAI_LIM,
    OURS,
    RECHT_RE,
    ZHANG,
    ZHONG,
)

ALL_SIZES = "positive semidefinite matrices of every size, real symmetric or complex Hermitian"
FILES = "the certificate files of the package, read and checked in integers; Theorem 5 on the page"
MANUSCRIPT = (
    f"{EXACT_LOW_LENGTH.key}, an unrefereed manuscript, states k = 4 for every n >= 4 and k = 5 for every n >= 6"
)

STATEMENTS = {
    "two_forms": Statement(
        title="Norm form and Loewner form say the same, and (n, k) implies (qn, k)",
        statement=r"\|E_{wo}[k]\|\le\|\bar A\|^k\ \forall A\iff\Bigl(\sum A_i\preceq nI\Rightarrow"
        r"-(n)_kI\preceq f\preceq(n)_kI\Bigr),\quad(n,k)\Rightarrow(qn,k)",
        source=OURS.at("docs/am_gm.md, Lemma 1, Lemma 2"),
        expected=Status.PROVED,
        evidence=Evidence.SYMBOLIC,
        hypotheses=(
            ALL_SIZES,
            "proofs on the page; the weights of the blocks counted, and compared with their formula",
        ),
        decided_by=(
            "Lemmas 1 and 2: both forms are decided in rationals on De Sa's matrices at several scales, where both "
            "outcomes occur; weights of blocks are counted and compared with their formula; the proofs are on the "
            "page."
        ),
        does_not_say="That either form holds for a given (n, k); or that (n, k) follows from (qn, k).",
        files=part("both forms at De Sa's matrices of n = 3, 4, 5, and the weights of blocks of 6 indices in 3 blocks"),
    ),
    "pairs": Statement(
        title="Products of two: true for every n",
        statement=r"\|E_{wo}[2]\|\le\|\bar A\|^2,\quad n\ge2",
        source=OURS.at("docs/am_gm.md, Lemma 3"),
        expected=Status.PROVED,
        evidence=Evidence.SYMBOLIC,
        hypotheses=(ALL_SIZES, "free-algebra identities for the listed n, their coefficients for all n"),
        decided_by=(
            "Lemma 3: both halves are identities in the free algebra for the listed n, and identities of their "
            "coefficients in n for all."
        ),
        does_not_say="Anything for k ≥ 3, or for the nested inequality.",
        files=whole("the identities in 2 to 6 letters, and their coefficients for every n"),
    ),
    "three": Statement(
        title="n = 3: true for every k <= 3",
        statement=r"\|E_{wo}[k]\|\le\|\bar A\|^k,\quad n=3,\ k\le3",
        source=ZHANG.at("abstract"),
        expected=Status.PROVED,
        evidence=Evidence.EXACT,
        hypotheses=(ALL_SIZES, FILES),
        decided_by=(
            "Theorem 5: certificates of both halves are read from the package's files: every word's coefficient and "
            "every pivot is checked in integers."
        ),
        does_not_say=(
            "That the search that found them is sound (it need not be: they are checked), or anything about norms "
            "inside the mean."
        ),
        files=whole("both halves at (3, 2) and (3, 3): the identities word by word, and positive pivots in rationals"),
    ),
    "four": Statement(
        title="n = 4: true for every k <= 4",
        statement=r"\|E_{wo}[k]\|\le\|\bar A\|^k,\quad n=4,\ k\le4",
        source=OURS.at("docs/am_gm.md, Theorem 5"),
        expected=Status.PROVED,
        evidence=Evidence.EXACT,
        hypotheses=(
            ALL_SIZES,
            FILES,
            f"announced by {ZHONG.authors} ({ZHONG.key}, {ZHONG.year}) from floating point; {MANUSCRIPT}",
        ),
        decided_by=(
            "Theorem 5: certificates of both halves for k = 2, 3, 4, in integers; the identities are evaluated once "
            "more at random matrices modulo a prime."
        ),
        does_not_say=(
            "Anything for n > 4 except the multiples of 4 (the block lemma of two_forms); and priority: others have "
            "announced it."
        ),
        files=whole(
            "both halves at (4, 2), (4, 3) and (4, 4): the identities word by word, and positive pivots in rationals"
        ),
    ),
    "certified_pairs": Statement(
        title="(5,3), (5,4), (6,3), (6,4), (6,5): true, and at every multiple of n",
        statement=r"\|E_{wo}[k]\|\le\|\bar A\|^k\ \text{at}\ (qn,k),\quad"
        r"(n,k)\in\{(5,3),(5,4),(6,3),(6,4),(6,5)\},\ q\ge1",
        source=OURS.at("docs/am_gm.md, Theorem 5, Lemma 2"),
        expected=Status.PROVED,
        evidence=Evidence.EXACT,
        hypotheses=(ALL_SIZES, FILES, "multiples: the block lemma (am_gm.two_forms)", MANUSCRIPT),
        decided_by=(
            "Theorem 5: five pairs have certificates of both halves, in integers; their multiples follow by the "
            "block lemma."
        ),
        does_not_say="Pairs that are not listed, such as (7, 3); at (6, 6) the inequality is false (from_five_on).",
        files=part("both halves of the five pairs, word by word; not the block lemma, which gives the multiples of n"),
    ),
    "five": Statement(
        title="The inequality at n = k = 5",
        statement=r"\|E_{wo}[5]\|\le\|\bar A\|^5,\quad n=5",
        source=LAI_LIM.at("abstract"),
        expected=Status.REFUTED,
        evidence=Evidence.EXACT,
        hypotheses=("the witness is De Sa's, with c = 1/2",),
        decided_by=(
            "The mean of all 120 products of De Sa's five matrices is computed in rationals, twice, and has norm at "
            "least 19/16 > 1."
        ),
        does_not_say=(
            "That the inequality fails for k < 5 (four and certified_pairs say it holds there), or that typical "
            "matrices violate it."
        ),
    ),
    "from_five_on": Statement(
        title="The inequality at n = k for some n >= 5",
        statement=r"\exists n\ge5:\ \|E_{wo}[n]\|\le\|\bar A\|^n\ \forall A",
        source=DE_SA.at("abstract"),
        expected=Status.REFUTED,
        evidence=Evidence.SYMBOLIC,
        hypotheses=(
            "one witness for every n >= 5, by the closed form proved on the page",
            "n <= 9 (full budget: 10) also by all subsets",
        ),
        decided_by=(
            "One witness for every n ≥ 5: by the closed form, in rationals for n ≤ 10 and with tangents by sympy "
            "beyond; small n also by all subsets."
        ),
        does_not_say="Anything for k < n, apart from the few that are listed.",
    ),
    "three_by_three": Statement(
        title="The inequality at n = k = 5 for 3 x 3 matrices",
        statement=r"\|E_{wo}[5]\|\le\|\bar A\|^5,\quad n=5,\ d=3",
        source=OURS.at("docs/am_gm.md"),
        expected=Status.REFUTED,
        evidence=Evidence.EXACT,
        hypotheses=("the witness is five positive definite matrices of integers",),
        decided_by=(
            "Five positive definite integer matrices of size 3: the mean of 120 products is computed exactly, and a "
            "direction shows its norm to be too large."
        ),
        does_not_say="That 2 x 2 matrices violate it.",
    ),
    "five_constant": Statement(
        title="At (5, 5): the upper half holds, the lower one with a constant between 142.5 and 144.66, not 120",
        statement=r"f\preceq120I,\quad142.5\le\lambda_2(5,5)\le144.66,\quad"
        r"\lambda_2=\min\{\lambda:-f\preceq\lambda I\ \text{if}\ \textstyle\sum A_i\preceq5I\}",
        source=OURS.at("docs/am_gm.md, Theorem 5"),
        expected=Status.PROVED,
        evidence=Evidence.EXACT,
        hypotheses=(ALL_SIZES, FILES),
        decided_by=(
            "Certificates for the upper half and for a weaker lower half, in integers; De Sa's matrices bound the "
            "constant from the other side in rationals."
        ),
        does_not_say="The constant: it lies between 142.5 and 144.66.",
        files=whole(
            "the certificates of both halves, and De Sa's matrices: positive, their sum at most 5, their value 285/2"
        ),
    ),
    "random_iid": Statement(
        title="Independent random matrices of one law: true in expectation, for every n, k and d",
        statement=r"\|\mathbb E\,E_{wo}[k]\|=\|\mathbb E A\|^k\le\|\mathbb E\,E_{wr}[k]\|",
        source=OURS.at("docs/am_gm.md, Theorem 6"),
        expected=Status.PROVED,
        evidence=Evidence.SYMBOLIC,
        hypotheses=(
            "independent, of one law, positive semidefinite, E|A|^k finite: Jensen's inequality on the page",
            "exact values for Wishart and Kaczmarz matrices, and for a law on finitely many",
        ),
        decided_by=(
            "Theorem 6, by Jensen's inequality on the page; exact means of Wishart and Kaczmarz matrices as "
            "polynomials without negative coefficients, and of a law on five matrices, beside it."
        ),
        does_not_say=(
            "That a given tuple of matrices satisfies it: it is an expectation over independent draws of one law."
        ),
        files=part(
            "the uniform law on De Sa's five matrices, and some moments; not the two classes of random matrices "
            "in general"
        ),
    ),
    "mean_square": Statement(
        title="The nested inequality (mean square)",
        statement=r"\|\tilde N_{wo}[k]\|\le\|\tilde N_{wr}[k]\|",
        source=RECHT_RE.at("abstract"),
        expected=Status.OPEN,
        evidence=Evidence.SAMPLED,
        hypotheses=(
            "positive semidefinite matrices; what is reported is the largest ratio of a sample and a search",
            f"with general A_j*A_j a symmetrised form needs a constant above 1 ({ALBAR_JUNGE_ZHAO.key}, abstract)",
        ),
        decided_by=(
            "The largest nested ratio of random tuples and of a gradient search is reported; nothing above 1 was "
            "found, and the question stays open."
        ),
        does_not_say="That the nested inequality holds, or that it fails.",
    ),
    "norms_inside": Statement(
        title="The inequality with norms inside the mean",
        statement=r"\operatorname{mean}_{distinct}\|A_{j_1}\cdots A_{j_k}\|\le"
        r"\operatorname{mean}_{all}\|A_{j_1}\cdots A_{j_k}\|",
        source=ISRAEL_KRAHMER_WARD.at("abstract"),
        expected=Status.NOT_REFUTED,
        evidence=Evidence.SAMPLED,
        hypotheses=("proved in the source for products of at most three matrices", "a sample of random tuples here"),
        decided_by=(
            "Means of norms over distinct and over all tuples are compared at random tuples of five ensembles and at"
            " De Sa's matrices."
        ),
        does_not_say=(
            "The inequality beyond products of three, where it is a conjecture: a sample of small matrices found no "
            "violation."
        ),
    ),
    "least_squares": Statement(
        title="SGD and Kaczmarz on a least-squares instance: simulated mean squares agree with the exact ones",
        statement=r"\mathbb E|e|^2=e_0^\top\tilde N e_0,\quad\text{without}<\text{with}",
        source=OURS.at("docs/am_gm.md"),
        expected=Status.NOT_REFUTED,
        evidence=Evidence.SAMPLED,
        hypotheses=("six rows in R^3, three epochs", "intervals of 99.9 % for all simulated means together"),
        decided_by=(
            "Mean squares of Kaczmarz and SGD are computed exactly and simulated; the simulated means must lie in "
            "99.9 % intervals."
        ),
        does_not_say="That sampling without replacement is always faster: one instance of six rows, three epochs.",
    ),
    "mean_against_square": Statement(
        title="One least-squares instance where reshuffling is worse in the mean and better in mean square",
        statement=r"\|E_{wo}\|=\tfrac{19}{512}>\tfrac1{32}=\|E_{wr}\|,\quad\|\tilde N_{wo}\|<\|\tilde N_{wr}\|",
        source=OURS.at("docs/am_gm.md"),
        expected=Status.PROVED,
        evidence=Evidence.EXACT,
        hypotheses=(
            "steps of length 1 on x'H_k x/2, H_k = I - A_k/2, De Sa's A_k with n = 5, c = 1/2",
            f"{EXACT_LOW_LENGTH.key} has the same instance",
        ),
        decided_by=(
            "Norms of the means and of the mean squares of one instance are computed in rationals by subsets and by "
            "closed forms."
        ),
        does_not_say="Which of the two orders is better in general; or that an optimiser meets such an instance.",
        files=whole("De Sa's steps between 0 and 1, and both means over all 120 orders, in rationals"),
    ),
}
