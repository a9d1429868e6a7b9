"""Mixtures of one-hidden-layer MLPs: their plan, their experts, and the model."""
