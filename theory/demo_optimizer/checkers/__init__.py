"""Instruments for DeMo: a twin in rationals, a slow twin in float64, an enclosed witness, counted bytes, residuals."""
