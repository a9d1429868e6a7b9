"""`momlp bit_extraction rates`: tables and plots of what approximation costs, from exact counts."""

from theory.command import Verb

VERBS = {
    "rates": Verb(
        "print what single MLPs and mixtures cost against eps, and plot it with --out",
        "theory.bit_extraction.verbs",
        flat="rates",
        former=True,
        examples=("momlp bit_extraction rates", "momlp bit_extraction rates --n 3 --out rates.png"),
    ),
}
