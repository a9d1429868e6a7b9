"""What is claimed; the reproductions are in `theory.am_gm.reproductions`, one function a claim."""

from __future__ import annotations

from theory.claim import Statement, Status
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
        source=OURS.at("docs/am_gm.md"),
        expected=Status.PROVED,
        hypotheses=(
            ALL_SIZES,
            "proofs on the page; the weights of the blocks counted, and compared with their formula",
        ),
    ),
    "pairs": Statement(
        title="Products of two: true for every n",
        statement=r"\|E_{wo}[2]\|\le\|\bar A\|^2,\quad n\ge2",
        source=OURS.at("docs/am_gm.md"),
        expected=Status.PROVED,
        hypotheses=(ALL_SIZES, "free-algebra identities for the listed n, their coefficients for all n"),
    ),
    "three": Statement(
        title="n = 3: true for every k <= 3",
        statement=r"\|E_{wo}[k]\|\le\|\bar A\|^k,\quad n=3,\ k\le3",
        source=ZHANG.at("abstract"),
        expected=Status.PROVED,
        hypotheses=(ALL_SIZES, FILES),
    ),
    "four": Statement(
        title="n = 4: true for every k <= 4",
        statement=r"\|E_{wo}[k]\|\le\|\bar A\|^k,\quad n=4,\ k\le4",
        source=OURS.at("docs/am_gm.md"),
        expected=Status.PROVED,
        hypotheses=(
            ALL_SIZES,
            FILES,
            f"announced by {ZHONG.authors} ({ZHONG.key}, {ZHONG.year}) from floating point; {MANUSCRIPT}",
        ),
    ),
    "certified_pairs": Statement(
        title="(5,3), (5,4), (6,3), (6,4), (6,5): true, and at every multiple of n",
        statement=r"\|E_{wo}[k]\|\le\|\bar A\|^k\ \text{at}\ (qn,k),\quad"
        r"(n,k)\in\{(5,3),(5,4),(6,3),(6,4),(6,5)\},\ q\ge1",
        source=OURS.at("docs/am_gm.md"),
        expected=Status.PROVED,
        hypotheses=(ALL_SIZES, FILES, "multiples: the block lemma (am_gm.two_forms)", MANUSCRIPT),
    ),
    "five": Statement(
        title="The inequality at n = k = 5",
        statement=r"\|E_{wo}[5]\|\le\|\bar A\|^5,\quad n=5",
        source=LAI_LIM.at("abstract"),
        expected=Status.REFUTED,
        hypotheses=("the witness is De Sa's, with c = 1/2",),
    ),
    "from_five_on": Statement(
        title="The inequality at n = k for some n >= 5",
        statement=r"\exists n\ge5:\ \|E_{wo}[n]\|\le\|\bar A\|^n\ \forall A",
        source=DE_SA.at("abstract"),
        expected=Status.REFUTED,
        hypotheses=(
            "one witness for every n >= 5, by the closed form proved on the page",
            "n <= 9 (full budget: 10) also by all subsets",
        ),
    ),
    "three_by_three": Statement(
        title="The inequality at n = k = 5 for 3 x 3 matrices",
        statement=r"\|E_{wo}[5]\|\le\|\bar A\|^5,\quad n=5,\ d=3",
        source=OURS.at("docs/am_gm.md"),
        expected=Status.REFUTED,
        hypotheses=("the witness is five positive definite matrices of integers",),
    ),
    "five_constant": Statement(
        title="At (5, 5): the upper half holds, the lower one with a constant between 142.5 and 144.66, not 120",
        statement=r"f\preceq120I,\quad142.5\le\lambda_2(5,5)\le144.66,\quad"
        r"\lambda_2=\min\{\lambda:-f\preceq\lambda I\ \text{if}\ \textstyle\sum A_i\preceq5I\}",
        source=OURS.at("docs/am_gm.md"),
        expected=Status.PROVED,
        hypotheses=(ALL_SIZES, FILES),
    ),
    "random_iid": Statement(
        title="Independent random matrices of one law: true in expectation, for every n, k and d",
        statement=r"\|\mathbb E\,E_{wo}[k]\|=\|\mathbb E A\|^k\le\|\mathbb E\,E_{wr}[k]\|",
        source=OURS.at("docs/am_gm.md"),
        expected=Status.PROVED,
        hypotheses=(
            "independent, of one law, positive semidefinite, E|A|^k finite: Jensen's inequality on the page",
            "exact values for Wishart and Kaczmarz matrices, and for a law on finitely many",
        ),
    ),
    "mean_square": Statement(
        title="The nested inequality (mean square)",
        statement=r"\|\tilde N_{wo}[k]\|\le\|\tilde N_{wr}[k]\|",
        source=RECHT_RE.at("abstract"),
        expected=Status.OPEN,
        hypotheses=(
            "positive semidefinite matrices; what is reported is the largest ratio of a sample and a search",
            f"with general A_j*A_j a symmetrised form needs a constant above 1 ({ALBAR_JUNGE_ZHAO.key}, abstract)",
        ),
    ),
    "norms_inside": Statement(
        title="The inequality with norms inside the mean",
        statement=r"\operatorname{mean}_{distinct}\|A_{j_1}\cdots A_{j_k}\|\le"
        r"\operatorname{mean}_{all}\|A_{j_1}\cdots A_{j_k}\|",
        source=ISRAEL_KRAHMER_WARD.at("abstract"),
        expected=Status.NOT_REFUTED,
        hypotheses=("proved in the source for products of at most three matrices", "a sample of random tuples here"),
    ),
    "least_squares": Statement(
        title="SGD and Kaczmarz on a least-squares instance: simulated mean squares agree with the exact ones",
        statement=r"\mathbb E|e|^2=e_0^\top\tilde N e_0,\quad\text{without}<\text{with}",
        source=OURS.at("docs/am_gm.md"),
        expected=Status.NOT_REFUTED,
        hypotheses=("six rows in R^3, three epochs", "intervals of 99.9 % for all simulated means together"),
    ),
    "mean_against_square": Statement(
        title="One least-squares instance where reshuffling is worse in the mean and better in mean square",
        statement=r"\|E_{wo}\|=\tfrac{19}{512}>\tfrac1{32}=\|E_{wr}\|,\quad\|\tilde N_{wo}\|<\|\tilde N_{wr}\|",
        source=OURS.at("docs/am_gm.md"),
        expected=Status.PROVED,
        hypotheses=(
            "steps of length 1 on x'H_k x/2, H_k = I - A_k/2, De Sa's A_k with n = 5, c = 1/2",
            f"{EXACT_LOW_LENGTH.key} has the same instance",
        ),
    ),
}
