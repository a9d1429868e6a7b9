"""A1 to A4: what the mixtures reach, and what they cost."""

from theory.momlp.claims import mixtures, rates

__all__ = ["mixtures", "rates"]
