"""The verbs of `momlp am_gm`: verify, check, rates, search."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import torch
from rich.markup import escape
from rich.table import Table
from torch import Tensor

from constructions.am_gm import (
    LeastSquares,
    SamplingRates,
    Simulation,
    am_gm_ratio,
    certificate_path,
    expected_product,
    sampling_rates,
    search_certificate,
    shipped_certificates,
    simulate_sampling,
)
from constructions.am_gm.expectation import norm, require_positive
from constructions.errors import require_int
from constructions.files import array_file, write_whole
from theory.am_gm.checkers import CertificateReport, compare_means, exact_parts, lifted, verify_certificate, verify_text
from theory.am_gm.figures import rates_figure
from theory.command import (
    add_device,
    add_seed,
    as_typed,
    device_named,
    out,
    output_file,
    picture_file,
    require_writable,
    working,
)
from theory.figure_style import save_figure

EXACT_WORK = 10**7  # products of numbers in what is compared in rationals
MOST_EXACT = 12
ROUNDING = 1e-9
LIFT = Fraction(1, 10**9)
LARGEST_ARRAY = 1 << 27

# --- verify ---------------------------------------------------------------------------------------------


def add_verify(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("files", nargs="*", metavar="FILE", help="a file, or the name of one that comes with the package")
    sub.add_argument("--shipped", metavar="N", help="those that come with the package for N matrices, or all of them")


def run_verify(args: argparse.Namespace) -> int:
    names = _chosen(args)
    reports: list[CertificateReport] = []
    unread: list[Exception] = []
    table = _certificate_table()
    with working("verifying") as log:
        for number, name in enumerate(names):
            log(f"verifying {name} ({number + 1} of {len(names)})")
            try:
                report = verify_certificate(certificate_path(name) if _is_shipped(name) else Path(name))
            except (ValueError, OSError) as error:
                unread.append(error)
                table.add_row(escape(name), "", "", "", "", f"[bold red]unread[/]: {escape(str(error))}", "", "")
                continue
            reports.append(report)
            _add_report(table, name, report)
    if len(names) > 1 or reports:
        out.print(table)
    for line in conclusions(reports):
        out.print(line, highlight=False)
    if unread:
        raise unread[0]  # the others stand in the table
    return 0 if all(report.holds for report in reports) else 1


def _chosen(args: argparse.Namespace) -> list[str]:
    names = list(args.files)
    if args.shipped is not None:
        chosen = [name for name in shipped_certificates() if args.shipped in ("all", name[1 : name.index("m")])]
        if not chosen:
            sizes = sorted({name[1 : name.index("m")] for name in shipped_certificates()})
            raise ValueError(f"`--shipped` must be all or one of {', '.join(sizes)}, got {args.shipped!r}")
        names += chosen
    if not names:
        raise ValueError("`FILE` or `--shipped` is needed: what shall be verified?")
    return names


def _is_shipped(name: str) -> bool:
    return name in shipped_certificates() and not Path(name).exists()


def _certificate_table() -> Table:
    table = Table("file", "n", "m", "side", "bound", "verdict", "seconds", "sha256")
    table.columns[5].overflow = "fold"
    return table


def _add_report(table: Table, name: str, report: CertificateReport) -> None:
    verdict = (
        "holds for all PSD matrices of every size"
        if report.holds
        else f"[bold red]no[/]: {escape(report.failure or '')}"
    )
    cells = (str(report.n), str(report.m), report.side, _short(report.bound), verdict)
    table.add_row(escape(name), *cells, f"{report.seconds:.3f}", report.sha256[:12])


def _short(value: Fraction) -> str:
    text = str(value)
    return text if len(text) <= 24 else f"about {float(value):.6g}"


def conclusions(reports: list[CertificateReport]) -> Iterator[str]:
    """What the certificates prove together, in words."""
    good = [r for r in reports if r.holds]
    if good:
        yield (
            "A certificate that holds: s·f ⪯ bound·I for all PSD A_1, …, A_n with ΣA ⪯ nI, f the sum of the products of"
            " m distinct ones, s = 1 (upper) or −1 (lower)."
        )
    for report in good:
        if not report.proves_inequality:
            yield (
                f"The {report.side} bound {_short(report.bound)} at ({report.n}, {report.m}) is more than"
                f" n!/(n−m)! = {math.perm(report.n, report.m)}: it is not half of the inequality."
            )
    halves = {(r.n, r.m, r.side) for r in good if r.proves_inequality}
    pairs = {(n, m) for n, m, _ in halves if {(n, m, "upper"), (n, m, "lower")} <= halves}
    for n, m in sorted(pairs):
        yield (
            f"({n}, {m}): ‖mean over {m} distinct of {n}‖ ≤ ‖mean‖^{m} for all PSD matrices of every size; the same for"
            f" {m} of any multiple of {n} (blocks)."
        )
    for n in sorted({n for n, _ in pairs}):
        if all((n, m) in pairs for m in range(3, n + 1)):
            yield f"n = {n}: with k = 1 (equality) and k = 2 (by hand) the inequality holds for every k ≤ {n}."


# --- check ----------------------------------------------------------------------------------------------


def add_check(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("matrices", type=Path, help="a .npy array (n, d, d), real or complex: n PSD matrices")
    sub.add_argument("--k", type=int, help="factors of a product (default n)")
    sub.add_argument("--nested", action="store_true", help="compare the mean squares instead of the mean products")
    add_device(sub)


@as_typed(n="MATRICES", A="MATRICES", k="--k")
def run_check(args: argparse.Namespace) -> int:
    A = require_positive("MATRICES", _array("MATRICES", args.matrices, 3)).to(device_named(args.device))
    n, d = A.shape[0], A.shape[-1]
    k = n if args.k is None else require_int("--k", args.k, 1, n)
    exponent = math.frexp(float(A.abs().amax()))[1]
    half = -exponent // 2  # of 2^1029 there is no float; nothing overflows, and what is far smaller may be lost
    A = torch.ldexp(torch.ldexp(A, A.new_tensor(half).real), A.new_tensor(-exponent - half).real)
    with working("comparing"):
        means = [float(norm(expected_product(A, k, nested=args.nested, replacement=r))) for r in (False, True)]
        ratio = float(am_gm_ratio(A, k, nested=args.nested))
        verdict, fails = _decided(A, k, args.nested, ratio)
    table = Table("quantity", "value")
    power = exponent * (2 * k if args.nested else k)
    kind = "mean square" if args.nested else "mean product"
    for name, value in (
        ("matrices", f"{n} of size {d}"),
        ("factors k", str(k)),
        (f"norm of the {kind} without repetition", _scaled(means[0], power)),
        (f"norm of the {kind} with repetition", _scaled(means[1], power)),
        ("ratio", f"{ratio:.9g}"),
        ("verdict", verdict),
    ):
        table.add_row(name, value)
    out.print(table)
    return 1 if fails else 0


def _scaled(value: float, power: int) -> str:
    """value·2^power, as a number where a float holds it."""
    return f"{math.ldexp(value, power):.9g}" if abs(power) < 900 else f"{value:.9g}·2^{power}"


def _decided(A: Tensor, k: int, nested: bool, ratio: float) -> tuple[str, bool]:
    """The verdict in words, and whether the inequality fails."""
    n, d = A.shape[0], A.shape[-1] * (2 if A.is_complex() else 1)
    if n > MOST_EXACT or n * 2 ** (n - 1) * d**3 > EXACT_WORK:
        if not abs(ratio - 1) > ROUNDING:
            return "the two norms are equal up to rounding: not decided", False
        return ("fails" if ratio > 1 else "holds") + " at these matrices, in floating point", ratio > 1
    exact = exact_parts(A)
    report = compare_means(exact, k, nested=nested)
    if not report.decided:
        return escape(report.failure or ""), False
    if report.holds:
        return "holds at these matrices (in rationals)", False
    if report.positive:
        return "[bold red]fails[/] at these matrices, PSD (in rationals): a counterexample", True
    report = compare_means(lifted(exact, LIFT), k, nested=nested)
    if report.positive and report.decided and not report.holds:
        lift = (
            f"with {float(LIFT):g} of their largest entry added to the diagonal: PSD (in rationals), a counterexample"
        )
        return f"[bold red]fails[/] at these matrices, and {lift}", True
    return "[bold red]fails[/] at these matrices (in rationals), but they are PSD up to rounding only", True


def _array(name: str, path: Path, ndim: int) -> Tensor:
    """Numbers of a .npy file as a tensor; ValueError for another kind of array."""
    array = array_file(name, path)
    if array.dtype.kind not in "fciu" or array.ndim != ndim or array.size > LARGEST_ARRAY or array.dtype.itemsize > 16:
        shape = "(n, d, d)" if ndim == 3 else "(n, d)"
        raise ValueError(f"`{name}` must be numbers of shape {shape}, got {array.dtype} {array.shape}")
    return torch.from_numpy(array.astype("complex128" if array.dtype.kind == "c" else "float64"))


# --- rates ----------------------------------------------------------------------------------------------


def add_rates(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("rows", type=Path, help="a .npy array (n, d), n at most 20: the rows of a consistent system")
    sub.add_argument("--epochs", type=int, default=5, help="passes over the rows (default %(default)d)")
    sub.add_argument(
        "--step", type=float, help="step of SGD, a factor of the gradient (default: Kaczmarz, which projects)"
    )
    sub.add_argument("--indefinite", action="store_true", help="allow steps beyond 1/|a_i|²")
    sub.add_argument("--runs", type=int, default=20_000, help="simulated runs (default %(default)d; 0 for none)")
    add_seed(sub)
    sub.add_argument("--out", type=picture_file, metavar="PICTURE", help="where to draw the plot")


@as_typed(rows="ROWS", step="--step", runs="--runs")
def run_rates(args: argparse.Namespace) -> int:
    require_writable(args.out, args.rows)
    require_int("--epochs", args.epochs, 1, 1000)
    require_int("--runs", args.runs, 0)
    problem = LeastSquares(_array("ROWS", args.rows, 2))
    A = problem.kaczmarz() if args.step is None else problem.sgd(args.step, allow_indefinite=args.indefinite)
    require_int("number of ROWS", len(A), 1, 20)
    start = torch.ones(A.shape[-1], dtype=torch.float64)
    simulations: dict[bool, Simulation] = {}
    with working("computing the exact means") as log:
        rates = sampling_rates(A, args.epochs)
        generator = torch.Generator().manual_seed(args.seed)
        for replacement in (False, True) if args.runs else ():
            log(f"simulating {args.runs} runs {'with' if replacement else 'without'} replacement")
            simulations[replacement] = simulate_sampling(
                A, start, args.epochs, args.runs, replacement=replacement, generator=generator
            )
    method = "Kaczmarz" if args.step is None else f"SGD, step {args.step:g}"
    title = f"{method}, {len(A)} rows in dimension {A.shape[-1]}, from the error (1, …, 1)"
    out.print(_rates_table(title, rates, simulations))
    if args.out is not None:
        save_figure(rates_figure(rates, simulations, title), args.out)
        out.print(f"drawn to {args.out}", highlight=False, markup=False)
    return 0


def _rates_table(title: str, rates: SamplingRates, simulations: dict[bool, Simulation]) -> Table:
    table = Table(title=title, title_justify="left")
    names = [
        "epoch",
        "E|e|² without",
        "simulated, 99.9 %",
        "E|e|² with",
        "simulated, 99.9 %",
        "|E e|² without",
        "|E e|² with",
    ]
    for name in names:
        table.add_column(name, justify="right")
    for epoch in range(len(rates.square_without)):
        spans = [_span(simulations.get(replacement), epoch) for replacement in (False, True)]
        exact = [f"{row[epoch]:.6e}" for row in (rates.square_without, rates.square_with)]
        means = [f"{row[epoch]:.6e}" for row in (rates.mean_without, rates.mean_with)]
        table.add_row(str(epoch + 1), exact[0], spans[0], exact[1], spans[1], *means)
    return table


def _span(simulation: Simulation | None, epoch: int) -> str:
    if simulation is None:
        return "-"
    low, high = simulation.interval()
    return f"{float(low[epoch]):.3e} to {float(high[epoch]):.3e}"


# --- search ---------------------------------------------------------------------------------------------


def add_search(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("n", type=int, help="matrices")
    sub.add_argument("m", type=int, help="factors, at most 5 (more for n ≤ 4)")
    sub.add_argument("side", choices=("upper", "lower"), help="which bound of the mean of products")
    sub.add_argument("--bound", help='"p/q" (default n!/(n−m)!, which is half of the inequality)')
    sub.add_argument(
        "--denominator", type=int, default=10**6, help="denominator of the free entries (default %(default)d)"
    )
    sub.add_argument("--out", type=output_file, metavar="FILE", help="where to store it (.json)")


@as_typed(denominator="--denominator", bound="--bound")
def run_search(args: argparse.Namespace) -> int:
    require_writable(args.out)
    with working("searching") as log:
        bound = None if args.bound is None else _bound(args.bound)
        found = search_certificate(args.n, args.m, args.side, bound, denominator=args.denominator, log=log)
    if found is None:
        out.print("no strictly feasible certificate was found: that decides nothing", highlight=False)
        return 1
    text = found.to_json()
    report = verify_text(text)
    table = _certificate_table()
    _add_report(table, "found", report)
    out.print(table)
    for line in conclusions([report]):
        out.print(line, highlight=False)
    if report.holds and args.out is not None:
        write_whole(args.out, lambda draft: draft.write_text(text, encoding="utf-8"))
        out.print(f"stored in {args.out}", highlight=False, markup=False)
    return 0 if report.holds else 1


def _bound(text: str) -> Fraction:
    try:
        return Fraction(text)
    except (ValueError, ZeroDivisionError) as error:
        raise ValueError(f'`--bound` must be a rational number "p/q", got {text[:80]!r}') from error
