"""Activations of infinite VC dimension."""
