"""The verbs targets, plan, build, certify and show: models of functions, of every kind."""

from __future__ import annotations

import argparse
import re
from contextlib import nullcontext
from fractions import Fraction
from pathlib import Path

import torch
from rich.markup import escape
from rich.table import Table

from constructions import (
    LipschitzFunction,
    Modulus,
    MoMLP,
    PencilPlan,
    TabulatedMoMLP,
    build_momlp,
    load,
    plan,
    save,
    targets,
)
from constructions.bit_extraction.design import LOOKUPS
from constructions.build import EXPERTS
from constructions.display import number
from constructions.errors import require_int, require_positive, shown
from constructions.expert_rows.file import read_spec
from constructions.momlp.plan import ACTIVATIONS, Plan
from constructions.progress import silent
from constructions.ranks import Ranks
from theory import error_proofs, proofs
from theory.bit_extraction import figures as _bits  # noqa: F401 (registers its model)
from theory.checkers.uniform_error.certificate import UniformErrorCertificate
from theory.checkers.uniform_error.certify import METHODS
from theory.claim import Status
from theory.command import (
    add_device,
    add_patience,
    add_seed,
    device_named,
    err,
    imported,
    joined,
    out,
    output_file,
    picture_file,
    require_writable,
    working,
)
from theory.figure_style import model_figure, save_figure
from theory.momlp.evaluations import evaluations_to_certify
from theory.together import certify_together
from theory.trained_momlp import figures as _trained  # noqa: F401

SHARE = re.compile(r"[0-9_./]{1,60}(e[+-]?[0-9]{1,3})?", re.IGNORECASE)
"""A share as a decimal or a fraction: 1e-999999999 would take for ever to become a rational."""


CACHE = "of a function made by from_numpy: keep its answers in FILE, and go on from there"


def add_targets(sub: argparse.ArgumentParser) -> None:
    pass


def add_plan(sub: argparse.ArgumentParser) -> None:
    _add_function(sub)
    _add_design(sub)
    sub.add_argument("--samples", type=int, default=100_000, help="that a certificate draws (default %(default)d)")
    sub.add_argument(
        "--seconds-per-call", type=float, metavar="S", help="seconds that f takes a point: say how long it all takes"
    )
    sub.add_argument("--workers", type=int, help="that call f at the same time (default: those of the function, or 1)")


def add_build(sub: argparse.ArgumentParser) -> None:
    _add_function(sub)
    _add_design(sub)
    sub.add_argument("--cache", metavar="FILE", type=output_file, help=CACHE)
    sub.add_argument("--lazy", action="store_true", help="build experts on demand; stored as a plan")
    sub.add_argument("--out", metavar="FILE", type=output_file, help="where to store the model (.safetensors)")


def add_certify(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "file", metavar="FILE", type=Path, help="a stored model (.safetensors), or a plain network (.onnx)"
    )
    sub.add_argument("--eps", type=float, help="uniform error, in units of the outputs (default: the model's own)")
    sub.add_argument(
        "--gap", type=float, help="stop at upper/lower <= 1 + GAP, of branch_and_bound (default: when eps is decided)"
    )
    sub.add_argument(
        "--method", choices=METHODS, help="how (default: simplices for bit extraction, else branch_and_bound)"
    )
    sub.add_argument(
        "--vnnlib",
        type=Path,
        metavar="FILE",
        help="of .onnx: the box of the inputs, and conditions on outputs to decide",
    )
    sub.add_argument("--enclosed", action="store_true", help="evaluate the formula in Arb balls (slow)")
    sub.add_argument(
        "--max-evaluations",
        type=int,
        default=100_000_000,
        help="points at which branch_and_bound may evaluate the model",
    )
    sub.add_argument(
        "--samples", type=int, default=100_000, help="random and as many adversarial points (default %(default)d)"
    )
    sub.add_argument("--cache", metavar="FILE", type=output_file, help=CACHE)
    sub.add_argument("--function", metavar="MODULE:ATTR", help="the LipschitzFunction, when the file has no formula")
    add_seed(sub)
    add_device(sub)
    text = (
        "also write a proof file for `momlp recheck` (pencils and constants; kept beside the model). "
        "For a --function without a formula it rests on the declared modulus and on values at the nodes"
    )
    sub.add_argument("--proof", metavar="OUT", type=output_file, help=text)
    add_patience(sub)


def add_show(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("file", metavar="FILE", type=Path, help="a stored model (.safetensors)")
    sub.add_argument("--out", type=picture_file, required=True, metavar="PICTURE", help="where to draw the picture")
    sub.add_argument("--function", metavar="MODULE:ATTR", help="the LipschitzFunction, when the file has no formula")


def _add_function(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("expr", nargs="?", metavar="EXPR", help="a formula in x0, x1, … (e.g. 'sin(2*pi*x0)*x1')")
    sub.add_argument("--target", choices=targets.names(), help="a named target instead of EXPR")
    sub.add_argument(
        "--function", metavar="MODULE:ATTR", help="a LipschitzFunction of a module of yours, such as a black box"
    )
    sub.add_argument("--n", type=int, help="input dimension: the number of variables of EXPR and --target")
    sub.add_argument("--domain", help="'[lo,hi]' for all axes or '[lo,hi];[lo,hi];…' (default: the unit cube)")
    sub.add_argument(
        "--lipschitz", type=float, help="declared Lipschitz constant, outputs by inputs (default: certified)"
    )
    sub.add_argument("--holder", metavar="LAM,ALPHA", help="declared Hölder modulus LAM*t^ALPHA")


def _add_design(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--eps", type=float, required=True, help="uniform error, in units of the outputs")
    sub.add_argument("--split", help="share of the squared radius given to the knots, e.g. 1/3 (default 1/n)")
    sub.add_argument("--expert", choices=EXPERTS, default="pencil", help="the kind of expert in the cells")
    sub.add_argument(
        "--resolved", type=int, help="axes an expert of bit_extraction resolves; n: a single MLP (default 1)"
    )
    sub.add_argument("--lookup", choices=LOOKUPS, help="how experts of bit_extraction look words up (default deep)")
    sub.add_argument(
        "--cells", type=int, metavar="C", help="cells that cut each resolved axis of bit_extraction (default 1)"
    )
    sub.add_argument(
        "--max-experts", type=int, metavar="L", help="instead of C: the smallest experts, at most L of them"
    )
    sub.add_argument("--valency", type=int, default=2, help="children of a node of the tree")
    sub.add_argument("--activation", choices=ACTIVATIONS, default="relu", help="of the experts")
    sub.add_argument("--dtype", choices=("float64", "float32"), default="float64", help="of the weights")


def _numbers(name: str, text: str, count: int | None = None) -> list[float]:
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if not values or (count is not None and len(values) != count):
        raise ValueError(f"`{name}` must be {count} numbers separated by commas, got {shown(text)}")
    return values


def _function(args: argparse.Namespace) -> LipschitzFunction:
    if [args.expr, args.target, args.function].count(None) != 2:
        raise ValueError("give either EXPR, --target NAME or --function MODULE:ATTR")
    if args.function is not None:
        if [args.n, args.domain, args.lipschitz, args.holder] != [None] * 4:
            raise ValueError("`--function` comes with its own `--n`, domain and modulus")
        return _import_function(args.function)
    if args.n is None:
        raise ValueError("`--n` must be given, the input dimension")
    if args.target is not None:
        if args.domain is not None or args.holder is not None:
            raise ValueError("`--target` comes with its own domain and modulus")
        return targets.get(args.target, n=args.n, lam=1.0 if args.lipschitz is None else args.lipschitz)
    domain = None
    if args.domain is not None:
        pairs = [tuple(_numbers("--domain", p.strip(" []"), 2)) for p in args.domain.split(";")]
        domain = pairs[0] if len(pairs) == 1 else pairs
    modulus = Modulus.holder(*_numbers("--holder", args.holder, 2)) if args.holder is not None else None
    with err.status("bounding the gradient"):
        return LipschitzFunction.from_sympy(
            args.expr, n=args.n, domain=domain, lipschitz=args.lipschitz, modulus=modulus
        )


def _design(args: argparse.Namespace) -> dict:
    try:
        if args.split is not None and not SHARE.fullmatch(args.split):
            raise ValueError(args.split)
        split = None if args.split is None else Fraction(args.split)
    except (ValueError, ZeroDivisionError) as error:
        raise ValueError(f"`--split` must be a number such as 0.3 or 1/3, got {shown(args.split)}") from error
    return {
        "expert": args.expert,
        "split": split,
        "valency": args.valency,
        "activation": args.activation,
        "dtype": getattr(torch, args.dtype),
        "resolved": args.resolved,
        "lookup": args.lookup,
        "cells": args.cells,
        "max_experts": args.max_experts,
    }


def run_targets(args: argparse.Namespace) -> int:
    table = Table("target", "definition")
    for name in targets.names():
        first_paragraph = (targets.TARGETS[name].__doc__ or "").split("\n\n")[0]
        table.add_row(name, escape(" ".join(first_paragraph.split())))
    out.print(table)
    return 0


def _plan_table(f: LipschitzFunction, p: Plan) -> Table:
    table = Table(title=escape(f"{f.name}: ω(t) = {p.modulus} ({f.grounds}) on {p.domain}"), title_justify="left")
    table.add_column("quantity")
    table.add_column("value", justify="right")
    for name, value in p.quantities():
        table.add_row(name, number(value))
    return table


def run_plan(args: argparse.Namespace) -> int:
    f = _function(args)
    p = plan(f, args.eps, **_design(args))
    table = _plan_table(f, p)
    for name, value in _cost_rows(f, p, args):
        table.add_row(name, value)
    out.print(table)
    return 0


def _cost_rows(f: LipschitzFunction, p: Plan, args: argparse.Namespace) -> list[tuple[str, str]]:
    """How often f is asked, and how long that takes where the seconds of a call are given."""
    workers = f.black_box.workers if args.workers is None and f.black_box is not None else args.workers
    require_int("--workers", 1 if workers is None else workers, 1)
    methods = ("a_priori", "branch_and_bound") if isinstance(p, PencilPlan) else ("simplices",)
    building = p.evaluations(f)
    counts = [evaluations_to_certify(p, f, method=method, samples=args.samples) for method in methods]
    rows = [("calls of f to build", str(building))]
    rows += [(f"calls of f to certify, {c.method}", str(c)) for c in counts]
    if args.seconds_per_call is None:
        return rows
    each = float(require_positive("--seconds-per-call", args.seconds_per_call))
    each /= workers or 1
    rows.append(("time to build", _duration(building * each)))
    for c in counts:
        least = "" if c.most == c.least else "at least "
        rows.append((f"time to certify, {c.method}", least + _duration(c.least * each)))
    return rows


def _duration(seconds: float) -> str:
    for unit, size in (("years", 31_557_600), ("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} seconds"


def run_build(args: argparse.Namespace) -> int:
    require_writable(args.out)
    f = _cached(_function(args), args.cache)
    with working("building experts") as log:
        model = build_momlp(f, eps=args.eps, lazy=args.lazy, log=log, **_design(args))
    out.print(_plan_table(f, model.plan))
    _print_counts(f)
    if args.out is not None:
        out.print(f"stored in {save(model, args.out)}", highlight=False)
    return 0


def _cached(f: LipschitzFunction, cache: Path | None) -> LipschitzFunction:
    return f if cache is None else f.cached_in(cache)


def _print_counts(f: LipschitzFunction) -> None:
    if f.black_box is not None:
        c = f.black_box.counts
        said = (
            f"{c.evaluated} calls of {f.name} in {c.seconds:.3g} s, {c.compared} more to compare, {c.read} answers read"
        )
        out.print(escape(said), highlight=False)


def _import_function(text: str) -> LipschitzFunction:
    f = imported("--function", text)
    if not isinstance(f, LipschitzFunction):
        made = ", to be made of code by LipschitzFunction.from_numpy(f, n=…, lipschitz=…)" if callable(f) else ""
        raise ValueError(f"`--function` {text} must be a LipschitzFunction{made}, got {type(f).__name__}")
    return f


def _function_of(model: MoMLP | TabulatedMoMLP, text: str | None) -> LipschitzFunction | None:
    if text is None:
        return model.target
    f, p = _import_function(text), model.plan
    if (f.n, f.m, f.domain) != (p.n, p.m, p.domain):
        raise ValueError(
            f"`--function` must live where the model does (n = {p.n}, m = {p.m}, domain {p.domain}), got n = {f.n}, "
            f"m = {f.m}, domain {f.domain}"
        )
    return f


def _built(path: Path, *, lazy: bool = False, device: torch.device | str = "cpu") -> MoMLP | TabulatedMoMLP:
    """A stored model that was built for a function; ValueError for one that was trained on data."""
    model = load(path, lazy=lazy, device=device)
    if not isinstance(model, MoMLP | TabulatedMoMLP):
        raise ValueError(f"{path} was trained on data: it has no function and no cells, `momlp eval` answers with it")
    return model


def run_certify(args: argparse.Namespace) -> int:
    if args.file.suffix.lower() == ".onnx":
        return _run_onnx(args)
    if args.vnnlib is not None:
        raise ValueError(f"`--vnnlib` belongs to a network in an .onnx file, got {args.file}")
    require_writable(args.proof, args.file)
    with joined(args, device_named(args.device)) as ranks:
        certificate = _certificate(args, ranks)
        if ranks.leads:
            _print_certificate(certificate, ranks.world)
            if args.proof is not None and certificate.status is Status.CERTIFIED:
                _write_proof(args, certificate)
        # another rank's exit code would make torchrun end rank 0 before it has printed
        return 0 if certificate.status in (Status.CERTIFIED, Status.NOT_REFUTED) or not ranks.leads else 1


def _run_onnx(args: argparse.Namespace) -> int:
    from theory.cli import onnx_files

    for option, value in (("--proof", args.proof), ("--cache", args.cache)):
        if value is not None:
            raise ValueError(f"`{option}` belongs to a stored model, {args.file} is an .onnx file")
    if args.function is None and args.vnnlib is None:
        raise ValueError(
            "`--function` MODULE:ATTR or `--vnnlib` FILE says what to certify of an .onnx file, got neither"
        )
    if args.function is None:
        return onnx_files.decide_conditions(args)
    certificate = onnx_files.certificate_of(args, _import_function(args.function))
    _print_certificate(certificate, 1)
    return 0 if certificate.status in (Status.CERTIFIED, Status.NOT_REFUTED) else 1


def _certificate(args: argparse.Namespace, ranks: Ranks) -> UniformErrorCertificate:
    # among several ranks each reads its own experts from the file
    model = _built(args.file, lazy=ranks.world > 1, device=ranks.device)
    f = _function_of(model, args.function)
    if f is None:
        raise ValueError(f"{args.file} was built from a black box: name it with --function MODULE:ATTR")
    f = _cached(f, args.cache)
    with working("certifying") if ranks.leads else nullcontext(silent) as log:
        return certify_together(
            model,
            f,
            ranks,
            eps=model.plan.eps if args.eps is None else args.eps,
            gap=args.gap,
            method=args.method,
            enclosed=args.enclosed,
            max_evaluations=args.max_evaluations,
            samples=args.samples,
            seed=args.seed,
            device=ranks.device,
            log=log,
        )


def _write_proof(args: argparse.Namespace, certificate: UniformErrorCertificate) -> None:
    """Of the eps that was certified; the checker's bounds are first-order, so its boxes are other ones."""
    if args.proof.resolve().parent != args.file.resolve().parent:
        raise ValueError(
            f"`--proof` must lie beside the model, in {args.file.resolve().parent}: it names the model's file"
        )
    with working("looking for a proof") as log:
        if args.function is None:
            proof = error_proofs.uniform_error_proof(
                args.file, read_spec(args.file)["expression"], certificate.eps, log=log
            )
        else:
            f = _cached(_import_function(args.function), args.cache)
            proof = error_proofs.proof_of(args.file, f, certificate.eps, log=log)
    proofs.write_proof(args.proof, "uniform_error", proof)
    boxes = sum(cuts.count(".") for cuts in proof["cuts"])
    out.print(f"proof of {boxes} boxes written to {args.proof}: momlp recheck {args.proof}", highlight=False)


def _print_certificate(c: UniformErrorCertificate, ranks: int) -> None:
    said = "an interval for sup |f - model|" if c.eps is None else f"sup |f - model| <= {c.eps:g}"
    table = Table("quantity", "value", title=f"{c.status.value}: {said}", title_justify="left")
    for name, value in (
        ("lower", f"{c.lower:.9g}"),
        ("upper", f"{c.upper:.9g}"),
        ("witness", str(c.witness)),
        ("method", c.method),
        ("evidence", c.evidence.name),
        ("slack", f"{c.slack:.3g}"),
        ("evaluations", str(c.evaluations)),
        ("experts read", f"{c.leaves_checked} of {c.leaves}"),
        *((p.name, ("" if p.holds else "FAILS: ") + p.detail) for p in c.premises),
        *((("ranks", str(ranks)),) if ranks > 1 else ()),
        ("seconds", f"{c.seconds:.2f}"),
    ):
        table.add_row(name, escape(value))
    out.print(table)


def run_show(args: argparse.Namespace) -> int:
    require_writable(args.out, args.file)
    model = load(args.file)
    model = model.network if isinstance(model, TabulatedMoMLP) else model
    save_figure(model_figure(model, _function_of(model, args.function) if isinstance(model, MoMLP) else None), args.out)
    out.print(f"drawn to {args.out}", highlight=False)
    return 0
