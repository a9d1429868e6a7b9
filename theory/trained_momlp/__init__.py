"""Mixtures trained on data."""
