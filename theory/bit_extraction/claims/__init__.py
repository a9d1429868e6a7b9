"""Single MLPs at ε^{−n/2}, and the trade-off L·P² = Θ((λ/ε)^n)."""

from theory.bit_extraction.claims import networks, rates

__all__ = ["networks", "rates"]
