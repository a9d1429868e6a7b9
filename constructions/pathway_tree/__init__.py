"""Routers: trees over lattices of cells, and trees over prototypes chosen from data."""
