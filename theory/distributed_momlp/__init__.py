"""Mixtures over many processes and within a budget."""
