"""Routers: trees over lattices and over data."""
