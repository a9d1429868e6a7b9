"""Single MLPs at ε^{−n/2}, and the trade-off L·P² = Θ((λ/ε)^n)."""

from theory.bit_extraction.reproductions.networks import (
    adversarial_error,
    exact_realisation,
    parameters,
    uniform_error,
    word_length,
)
from theory.bit_extraction.reproductions.rates import rate, trade_off

__all__ = ["adversarial_error", "exact_realisation", "parameters", "rate", "trade_off", "uniform_error", "word_length"]
