"""Rows of experts in memory, on demand, and in a file."""
