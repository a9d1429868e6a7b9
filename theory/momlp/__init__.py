"""Mixtures of MLPs: uniform error, and how sizes grow with 1/ε."""
