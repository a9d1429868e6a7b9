"""How objects show themselves: a few lines in a terminal, a small table in a notebook.

Main definitions: `Displayed`.
"""

from __future__ import annotations

from html import escape

Facts = tuple[str, list[tuple[str, str]]]

LONGEST = 100


class Displayed:
    """A class with `_facts()`, a title and (name, value) pairs, gets `repr` and `_repr_html_` from them.

    A dataclass that extends it is declared with `repr=False`.
    """

    def _facts(self) -> Facts:
        raise NotImplementedError

    def __repr__(self) -> str:
        title, facts = self._facts()
        width = max((len(name) for name, _ in facts), default=0)
        return "\n".join([title, *(f"  {name:<{width}}  {_short(value)}" for name, value in facts)])

    def _repr_html_(self) -> str:
        title, facts = self._facts()
        style = "text-align:left;vertical-align:top"
        rows = (
            f'<tr><th style="{style}" scope="row">{escape(name)}</th><td style="{style}">{escape(value)}</td></tr>'
            for name, value in facts
        )
        return f"<table><caption>{escape(title)}</caption>{''.join(rows)}</table>"


def number(value: object) -> str:
    """Nine digits of a float, everything else as it is."""
    return f"{value:.9g}" if isinstance(value, float) else str(value)


def _short(value: str) -> str:
    value = " ".join(value.split())
    return value if len(value) <= LONGEST else value[: LONGEST - 1] + "…"
