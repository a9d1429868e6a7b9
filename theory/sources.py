"""Where the statements come from: one `Paper` a paper, cited by the place in it.

Main definitions: `Paper`, `Source`, `MOMLP`, `OURS`.
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
ABSTRACT_V1, ABSTRACT_V2 = MOMLP_V1.at("abstract"), MOMLP_V2.at("abstract")

LIPSCHITZ = Paper(
    "arXiv:1912.11511",
    "Siqi Zhou, Angela P. Schoellig",
    "An Analysis of the Expressiveness of Deep Neural Network Architectures Based on Their Lipschitz Constants",
    2019,
    "https://arxiv.org/abs/1912.11511",
)

OURS = Paper("momlp", "The momlp developers", "momlp's own documentation", 2026, "docs/")
"""Statements of this project, with their proofs on the named page of its documentation."""

LEMMA = "Lemma 1 (Warren; Anthony & Bartlett, Theorem 8.3) is cited, not proved here"
