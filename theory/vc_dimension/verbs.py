"""The verbs of `momlp vc_dimension`: bounds, shatter, check."""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from constructions.errors import shown
from constructions.vc_dimension import (
    ShatteredSet,
    deep,
    largest_set,
    mixture,
    one_hidden_layer,
    routing_only,
    routing_pairs,
    two_hidden_layers,
    wide,
)
from theory.command import err, out, output_file, require_writable
from theory.vc_dimension.bounds import KINDS, Architecture, no_go_eps, vc_upper_flat, vc_upper_tree
from theory.vc_dimension.checkers import Shattered, ShatteringReport, certified
from theory.vc_dimension.checkers.certificates import FEW_POINTS
from theory.vc_dimension.checkers.file import check_file, save_shattered

CERTIFIED_POINTS = 20_000  # a few seconds
CERTIFIED_CELLS = 256
SIZES = {
    "n": "inputs",
    "width": "units of the hidden layer",
    "side": "s: pairs (q, r) with r < s",
    "blocks": "B: memory blocks, q < Bs",
    "bits": "K: bits of a word",
    "units": "H: words an input value",
}
FAMILIES: dict[str, tuple[Callable[..., ShatteredSet], tuple[str, ...]]] = {
    "one_hidden_layer": (one_hidden_layer, ("n", "width")),
    "two_hidden_layers": (two_hidden_layers, ("side",)),
    "deep": (deep, ("side", "blocks", "bits")),
    "wide": (wide, ("n", "units", "bits")),
}
ROUTERS = ("routing_only", "routing_pairs", "routing_pairs_tree")


# --- bounds --------------------------------------------------------------------------------------------


def add_bounds(sub: argparse.ArgumentParser) -> None:
    for name, text in (
        ("n", "inputs"),
        ("depth", "hidden layers J"),
        ("width", "units a layer W"),
        ("experts", "experts L"),
    ):
        sub.add_argument(f"--{name}", type=int, required=True, help=text)
    sub.add_argument("--router", choices=("flat", "tree"), default="flat", help="how points are routed to experts")
    sub.add_argument("--activation", choices=KINDS, default="relu", help="of the units")


def run_bounds(args: argparse.Namespace) -> int:
    architecture = Architecture(args.n, args.depth, args.width, args.activation)
    bound = vc_upper_flat if args.router == "flat" else vc_upper_tree
    upper = bound(architecture, args.experts)
    lower, how = _lower(architecture, args.experts)
    table = Table("quantity", "value")
    for name, value in (
        ("parameters of an expert", architecture.parameters),
        (f"lower: {how}", lower),
        (f"upper, {args.router} router, solved", upper),
        ("stated L max(nL, JW), W = width", args.experts * max(args.n * args.experts, args.depth * args.width)),
        (
            "stated L max(nL, Jw), w = number of weights",
            args.experts * max(args.n * args.experts, args.depth * architecture.weights),
        ),
        ("eps ruled out for some 1-Lipschitz f: below", f"{no_go_eps(upper, args.n):.6g}"),
    ):
        table.add_row(name, str(value))
    out.print(table)
    return 0


def _lower(architecture: Architecture, experts: int) -> tuple[int, str]:
    """Points shattered by L experts, and in words how that is known."""
    width = architecture.width
    if architecture.kind == "prelu_fixed":
        width //= 2  # two units with a fixed slope a, |a| ≠ 1, make one ReLU
    if not width:
        return 0, "none known for a single unit with a fixed slope"
    best = largest_set(architecture.n, architecture.depth, width)
    points = experts * best.points
    each = f"{experts} cells of {best.points} points, {best.family}" if experts > 1 else f"{best.family}"
    affordable = points <= CERTIFIED_POINTS and experts <= CERTIFIED_CELLS
    if not affordable or (architecture.n == 1 and best.points > FEW_POINTS):
        return points, f"{each} (proved, not checked at this size)"
    expert = best.build()
    report = certified(mixture(expert, experts) if experts > 1 else expert)
    if not report.holds or report.points != points:
        raise ValueError(f"the shattered set failed its own certificate: {report.failure}")
    return points, f"{each} (checked by certificate)"


# --- shatter, check ------------------------------------------------------------------------------------


def add_shatter(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("family", choices=(*FAMILIES, *ROUTERS), help="how the set is made, see docs/vc_dimension.md")
    for name, text in SIZES.items():
        sub.add_argument(f"--{name}", type=int, help=f"{text} (no default: needed where the family has it)")
    sub.add_argument("--layers-per-bit", type=int, choices=(1, 2), default=1, help="layers that read one bit, of deep")
    sub.add_argument(
        "--experts",
        type=int,
        help="L copies of a network family in a mixture, or L cells of a router (default: one network)",
    )
    sub.add_argument("--valency", type=int, default=2, help="children of a node of a mixture's tree")
    sub.add_argument("--networks", action="store_true", help="store the network of every labeling, not a certificate")
    sub.add_argument("--out", metavar="FILE", type=output_file, help="where to store it (.safetensors)")


def run_shatter(args: argparse.Namespace) -> int:
    require_writable(args.out)
    shattered = _build(args)
    with err.status("checking"):
        report = certified(shattered)
    _print_report(f"{shattered.family} {_words(shattered.sizes)}", report)
    if report.holds and args.out is not None:
        save_shattered(shattered, args.out, every_network=args.networks)
        out.print(f"stored in {args.out}", highlight=False)
    return 0 if report.holds else 1


def _build(args: argparse.Namespace) -> Shattered:
    if args.family in ROUTERS:
        n, experts = _given(args, "n"), _given(args, "experts")
        if args.family == "routing_only":
            return routing_only(n, experts)
        return routing_pairs(n, experts, tree=args.family.endswith("tree"))
    build, names = FAMILIES[args.family]
    options = {"layers_per_bit": args.layers_per_bit} if args.family == "deep" else {}
    shattered = build(*(_given(args, name) for name in names), **options)
    return shattered if args.experts is None else mixture(shattered, args.experts, valency=args.valency)


def _given(args: argparse.Namespace, name: str) -> int:
    value = getattr(args, name)
    if value is None:
        raise ValueError(f"`--{name}` is needed for {args.family}")
    return value


def add_check(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("file", metavar="FILE", type=Path, help="a stored set (.safetensors)")


def run_check(args: argparse.Namespace) -> int:
    with err.status("checking"):
        spec, report = check_file(args.file)
    name = _plain(spec.get("family", "a set of unknown origin"))
    _print_report(f"{name} {_words(spec.get('sizes', {}))}({spec['kind']})", report)
    return 0 if report.holds else 1


def _words(sizes: object) -> str:
    if not isinstance(sizes, dict):  # files of others may say anything here
        return ""
    return "".join(f"{_plain(name)}={_plain(value)} " for name, value in itertools.islice(sizes.items(), 8))


def _plain(value: object) -> str:
    """What a file says of itself, short and without control characters."""
    text = value if isinstance(value, str) else shown(value)
    return "".join(c for c in text[:60] if c.isprintable())


def _print_report(title: str, report: ShatteringReport) -> None:
    table = Table("quantity", "value", title=escape(title), title_justify="left")
    table.add_row("points", str(report.points))
    table.add_row("shattered", "yes" if report.holds else "[bold red]no[/]")
    one_by_one, all_at_once = f"{report.labelings} networks one by one", f"all 2^{report.points} by certificate"
    table.add_row("labelings", one_by_one if report.labelings else all_at_once)
    if report.failure is not None:
        table.add_row("why not", escape(report.failure))
    out.print(table)
