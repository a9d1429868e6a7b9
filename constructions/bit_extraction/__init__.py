"""Bit-extraction experts: deep narrow MLPs of about ε^{−k/2} parameters that interpolate integers on a grid, exactly.

`design` chooses the integers, `network` writes the layers down once for all functions, `tables` turns node values into
words, `counts` says what it costs.
"""

from constructions.bit_extraction.choice import choose
from constructions.bit_extraction.design import Design, error_constant, word_cap
from constructions.bit_extraction.forms import plain_network
from constructions.bit_extraction.network import layers_of
from constructions.bit_extraction.tables import step_values, table_of, words_of

__all__ = [
    "Design",
    "choose",
    "error_constant",
    "layers_of",
    "plain_network",
    "step_values",
    "table_of",
    "word_cap",
    "words_of",
]
