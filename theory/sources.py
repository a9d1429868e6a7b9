"""Where the statements come from, and what is cited instead of proved."""

V2 = "arXiv:2402.03460v2, abstract"
OURS = "momlp, theory/vc_dimension/bounds.py and constructions/vc_dimension"
LEMMA = "Lemma 1 (Warren; Anthony & Bartlett, Theorem 8.3) is cited, not proved here"
