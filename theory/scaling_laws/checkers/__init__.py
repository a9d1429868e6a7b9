"""Instruments for laws and their splits, stacks of trained networks, and Nyquist learners in exact arithmetic."""
