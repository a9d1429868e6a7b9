"""The verbs of `momlp bit_extraction`: rates."""

from __future__ import annotations

import argparse
from fractions import Fraction

from rich.table import Table

from constructions.errors import require_int
from theory.bit_extraction import bounds as bit_extraction
from theory.bit_extraction.figures import optimal_rates_figure
from theory.command import out, picture_file, require_writable
from theory.figure_style import save_figure
from theory.vc_dimension.bounds import parameters_of_single_mlp

INVERSE = {1: (10, 10**2, 10**3, 10**4, 10**6, 10**8), 2: (10, 10**2, 10**3, 10**4), 3: (10, 10**2, 10**3)}


def add_rates(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--n", type=int, default=2, help="inputs, 1 to 3 (default 2)")
    sub.add_argument("--out", type=picture_file, metavar="PICTURE", help="where to draw the plots")


def run_rates(args: argparse.Namespace) -> int:
    require_int("n", args.n, 1, 3)
    require_writable(args.out)
    out.print(_single(args.n))
    out.print(_mixtures(args.n))
    if args.out is not None:
        save_figure(optimal_rates_figure(args.n, INVERSE[args.n][-1]), args.out)
        out.print(f"drawn to {args.out}", highlight=False)
    return 0


def _single(n: int) -> Table:
    """P of one MLP for all 1-Lipschitz functions on the cube."""
    table = Table(title=f"a single MLP on [0, 1]^{n}, words of any length", title_justify="left")
    names = ["1/eps", *(["one hidden layer"] if n == 1 else []), "deep", "bits a word", "at least (A3)", "P eps^(n/2)"]
    for name in names:
        table.add_column(name, justify="right")
    for i in INVERSE[n]:
        P, _, m, H = bit_extraction.cheapest(n, bit_extraction.needed_cells(n, Fraction(i)))
        naive = [f"{bit_extraction.naive_parameters(i):,}"] if n == 1 else []
        least = parameters_of_single_mlp(n, Fraction(1, i))
        table.add_row(f"{i:,}", *naive, f"{P:,}", str(m**n - 1 + H), f"{least:,}", f"{P / i ** (n / 2):.4g}")
    return table


def _mixtures(n: int) -> Table:
    """L and P over k and the split."""
    inverse = INVERSE[n][-1]
    table = Table(title=f"mixtures on [0, 1]^{n} at eps = 1/{inverse:,}: k axes resolved", title_justify="left")
    for name in ("k", "split of eps", "L", "P", "L P^2 eps^n", "at least"):
        table.add_column(name, justify="right")
    for k in range(1, n + 1):
        for share in (
            [Fraction(1)] if k == n else sorted({Fraction(1, 4), Fraction(k, n), Fraction(1, 2), Fraction(3, 4)})
        ):
            L, P = bit_extraction.trade_off_point(n, k, inverse, share)
            least = bit_extraction.trade_off_lower(n, inverse, L)
            scaled = [f"{float(Fraction(value) / Fraction(inverse) ** n):.4g}" for value in (L * P * P, least)]
            table.add_row(str(k), str(share), f"{L:,}", f"{P:,}", *scaled)
    return table
