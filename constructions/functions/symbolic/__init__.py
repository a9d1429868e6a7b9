"""Symbolic targets: parsed without eval, evaluated on torch, enclosed by Arb balls."""
