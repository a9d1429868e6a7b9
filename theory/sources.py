"""Where the statements come from: one `Paper` a paper, cited by the place in it.

Main definitions: `Paper`, `Source`, `MOMLP_V1`, `MOMLP_V2`, `KERNELSHAP_IQ`, `OURS`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Paper:
    """`key` is how it is cited in a line; `url` is where it can be read."""

    key: str
    authors: str
    title: str
    year: int
    url: str

    def at(self, place: str) -> Source:
        """A place in it: "Theorem 3", "Section 4", "abstract"."""
        return Source(self, place)


@dataclass(frozen=True)
class Source:
    """A place in a paper; printed as "key, place"."""

    paper: Paper
    place: str

    @property
    def url(self) -> str:
        return self.paper.url

    @property
    def page(self) -> str:
        """Of `OURS` the file, without the theorems named after it: "docs/am_gm.md" of "docs/am_gm.md, Theorem 5"."""
        return self.place.partition(",")[0]

    def __str__(self) -> str:
        return f"{self.paper.key}, {self.place}"


_MOMLP_AUTHORS = "Anastasis Kratsios, Haitz Sáez de Ocáriz Borde, Takashi Furuya, Marc T. Law"
MOMLP_V1 = Paper(
    "arXiv:2402.03460v1",
    _MOMLP_AUTHORS,
    "Breaking the Curse of Dimensionality with Distributed Neural Computation",
    2024,
    "https://arxiv.org/abs/2402.03460v1",
)
MOMLP_V2 = Paper(
    "arXiv:2402.03460v2",
    _MOMLP_AUTHORS,
    "Approximation Rates and VC-Dimension Bounds for (P)ReLU MLP Mixture of Experts",
    2025,
    "https://arxiv.org/abs/2402.03460v2",
)
SUBLINEAR = Paper(
    "arXiv:2208.04508v2",
    "Yichuan Deng, Hang Hu, Zhao Song, Omri Weinstein, Danyang Zhuo",
    "Training Overparametrized Neural Networks in Sublinear Time",
    2022,
    "https://arxiv.org/abs/2208.04508v2",
)
KERNELSHAP_IQ = Paper(
    "arXiv:2405.10852",
    "Fabian Fumagalli, Maximilian Muschalik, Patrick Kolpaczki, Eyke Hüllermeier, Barbara Hammer",
    "KernelSHAP-IQ: Weighted Least Square Optimization for Shapley Interactions",
    2024,
    "https://arxiv.org/abs/2405.10852",
)
ABSTRACT_V1, ABSTRACT_V2 = MOMLP_V1.at("abstract"), MOMLP_V2.at("abstract")

RECHT_RE = Paper(
    "arXiv:1202.4184",
    "Benjamin Recht, Christopher Ré",
    "Beneath the valley of the noncommutative arithmetic-geometric mean inequality: conjectures, case-studies, and "
    "consequences",
    2012,
    "https://arxiv.org/abs/1202.4184",
)
ZHANG = Paper(
    "arXiv:1411.5058",
    "Teng Zhang",
    "A note on the matrix arithmetic-geometric mean inequality",
    2014,
    "https://arxiv.org/abs/1411.5058",
)
ISRAEL_KRAHMER_WARD = Paper(
    "arXiv:1411.0333",
    "Arie Israel, Felix Krahmer, Rachel Ward",
    "An arithmetic-geometric mean inequality for products of three matrices",
    2014,
    "https://arxiv.org/abs/1411.0333",
)
ALBAR_JUNGE_ZHAO = Paper(
    "arXiv:1803.02435",
    "Wafaa Albar, Marius Junge, Mingyu Zhao",
    "On the symmetrized arithmetic-geometric mean inequality for operators",
    2018,
    "https://arxiv.org/abs/1803.02435",
)
LAI_LIM = Paper(
    "arXiv:2006.01510",
    "Zehua Lai, Lek-Heng Lim",
    "Recht-Ré noncommutative arithmetic-geometric mean conjecture is false",
    2020,
    "https://arxiv.org/abs/2006.01510",
)
DE_SA = Paper(
    "De Sa 2020",
    "Christopher De Sa",
    "Random reshuffling is not always better",
    2020,
    "https://proceedings.neurips.cc/paper/2020/hash/42299f06ee419aa5d9d07798b56779e2-Abstract.html",
)
EXACT_LOW_LENGTH = Paper(
    "Zenodo 21709239",
    "Anonymous",
    "Exact low-length Recht-Ré inequalities: complete status through five factors and six-factor balanced families",
    2026,
    "https://doi.org/10.5281/zenodo.21709239",
)
"""A public manuscript, not refereed, with exact certificates: k = 4 for every n, k = 5 for every n ≥ 6. Seen as its
repository's text; its programs were not run here."""
ZHONG = Paper(
    "lowrank/nagmc",
    "Yimin Zhong",
    "Noncommutative arithmetic-geometric mean conjecture, by semidefinite programming in floating point",
    2022,
    "https://github.com/lowrank/nagmc",
)
LIPSCHITZ = Paper(
    "arXiv:1912.11511",
    "Siqi Zhou, Angela P. Schoellig",
    "An Analysis of the Expressiveness of Deep Neural Network Architectures Based on Their Lipschitz Constants",
    2019,
    "https://arxiv.org/abs/1912.11511",
)
SCALING_LAW = Paper(
    "arXiv:1909.12673",
    "Jonathan S. Rosenfeld, Amir Rosenfeld, Yonatan Belinkov, Nir Shavit",
    "A Constructive Prediction of the Generalization Error Across Scales",
    2020,
    "https://arxiv.org/abs/1909.12673",
)
PRUNING_LAW = Paper(
    "arXiv:2006.10621",
    "Jonathan S. Rosenfeld, Jonathan Frankle, Michael Carbin, Nir Shavit",
    "On the Predictability of Pruning Across Scales",
    2021,
    "https://arxiv.org/abs/2006.10621",
)
SCALING_THESIS = Paper(
    "arXiv:2108.07686",
    "Jonathan S. Rosenfeld",
    "Scaling Laws for Deep Learning",
    2021,
    "https://arxiv.org/abs/2108.07686",
)
BROKEN_LAW = Paper(
    "arXiv:2210.14891",
    "Ethan Caballero, Kshitij Gupta, Irina Rish, David Krueger",
    "Broken Neural Scaling Laws",
    2023,
    "https://arxiv.org/abs/2210.14891",
)
DEMO_V1 = Paper(
    "arXiv:2411.19870v1",
    "Bowen Peng, Jeffrey Quesnelle, Diederik P. Kingma",
    "DeMo: Decoupled Momentum Optimization",
    2024,
    "https://arxiv.org/abs/2411.19870v1",
)
DEMO_V2 = Paper(
    "arXiv:2411.19870v2",
    "Bowen Peng, Lizhang Chen, Baiyu Su, Jeffrey Quesnelle, Diederik P. Kingma, Qiang Liu",
    "DeMo: Decoupled Momentum Optimization",
    2026,
    "https://arxiv.org/abs/2411.19870v2",
)

OURS = Paper("momlp", "The momlp developers", "momlp's own documentation", 2026, "docs/")
"""Statements of this project, with their proofs on the named page of its documentation, by the theorem where these are
numbered: `OURS.at("docs/am_gm.md, Theorem 5")`."""

LEMMA = "Lemma 1 (Warren; Anthony & Bartlett, Theorem 8.3) is cited, not proved here"
