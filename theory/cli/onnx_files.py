"""`momlp certify net.onnx`: anybody's network, held to a function or to the conditions of a VNN-LIB file."""

from __future__ import annotations

import argparse
import time

from rich.markup import escape
from rich.table import Table

from constructions.functions.box import Box
from constructions.functions.lipschitz_function import LipschitzFunction
from constructions.onnx_reader import OnnxNetwork, read_onnx
from constructions.vnnlib import VnnLib, read_vnnlib
from theory.checkers.output_conditions import OutputVerdict, decide_outputs
from theory.checkers.uniform_error.banks import foreign_bank
from theory.checkers.uniform_error.certificate import UniformErrorCertificate
from theory.checkers.uniform_error.certify import certify_uniform_error
from theory.checkers.uniform_error.stack import FLOATS
from theory.claim import Status
from theory.command import device_named, out, working


def decide_conditions(args: argparse.Namespace) -> int:
    """The conditions of `--vnnlib` on the outputs of the network: exit code 0 where none of the box meets them."""
    found, question = read_onnx(args.file), read_vnnlib(args.vnnlib)
    _require_fit(found, question)
    if not question.outputs:
        raise ValueError(
            f"`--vnnlib` {args.vnnlib} has a box and no conditions on outputs: name what the network should be with "
            "--function MODULE:ATTR"
        )
    started = time.perf_counter()
    with working("deciding") as log:
        network = found.network.to(device_named(args.device))
        verdict = decide_outputs(network, question, max_boxes=args.max_evaluations, log=log)
    _print_verdict(verdict, found, question, time.perf_counter() - started)
    return 0 if verdict.status is Status.CERTIFIED else 1


def certificate_of(args: argparse.Namespace, f: LipschitzFunction) -> UniformErrorCertificate:
    """Of the network in the file and f, on the box of `--vnnlib` where that is given."""
    found = read_onnx(args.file)
    if args.vnnlib is not None:
        question = read_vnnlib(args.vnnlib)
        _require_fit(found, question)
        f = restricted(f, question.box)
        if question.outputs:
            out.print(f"of {escape(str(args.vnnlib))} only the box is read: its conditions need no --function")
    if (f.n, f.m) != (found.n, found.m):
        raise ValueError(
            f"`--function` must live where the network does (n = {found.n}, m = {found.m}), got n = {f.n}, m = {f.m}"
        )
    device = device_named(args.device)
    for name, value in notes_of(found, f.domain):
        out.print(f"{name}: {escape(value)}", highlight=False)
    with working("certifying") as log:
        return certify_uniform_error(
            found.network,
            f,
            eps=args.eps,
            gap=args.gap,
            method=args.method,
            enclosed=args.enclosed,
            max_evaluations=args.max_evaluations,
            samples=args.samples,
            seed=args.seed,
            device=device,
            log=log,
        )


def restricted(f: LipschitzFunction, box: Box) -> LipschitzFunction:
    """f on a smaller box; ValueError for a box that is not inside its domain."""
    if box == f.domain:
        return f
    if box.n != f.n or not all(
        a <= b and c >= d for a, b, c, d in zip(f.domain.lo, box.lo, f.domain.hi, box.hi, strict=True)
    ):
        raise ValueError(f"`--vnnlib` must have a box inside the domain of --function, {f.domain}, got {box}")
    if f.tape is not None and f.expression is not None:
        return LipschitzFunction.from_sympy(f.expression, n=f.n, domain=box, name=f.name)
    return LipschitzFunction(f.evaluate, n=f.n, m=f.m, modulus=f.modulus, domain=box, name=f.name)


def notes_of(found: OnnxNetwork, box: Box) -> list[tuple[str, str]]:
    """What there is to know about the file besides its network."""
    rows = [("read", note) for note in found.notes]
    lower, upper = (end[None] for end in box.tensors())
    bank = foreign_bank(found.network, lower, upper, *FLOATS[found.dtype])
    kind = str(found.dtype).removeprefix("torch.")
    rows.append(("arithmetic", f"answers in {kind} are within {bank.forward_slack:.3g} of the network in real numbers"))
    return rows


def _require_fit(found: OnnxNetwork, question: VnnLib) -> None:
    if question.box.n != found.n or (question.outputs and question.m != found.m):
        raise ValueError(
            f"`--vnnlib` must be about {found.n} inputs and {found.m} outputs, got {question.box.n} and {question.m}"
        )


def _print_verdict(verdict: OutputVerdict, found: OnnxNetwork, question: VnnLib, seconds: float) -> None:
    words = {
        Status.CERTIFIED: "unsat: no point of the box meets the conditions",
        Status.REFUTED: "sat: a point of the box meets the conditions",
        Status.INCONCLUSIVE: "unknown",
    }
    title = f"{verdict.status.value}: {words[verdict.status]}"
    table = Table("quantity", "value", title=escape(title), title_justify="left")
    for name, value in (
        ("box", str(question.box)[:200]),
        ("cases", str(len(question.outputs))),
        *((("witness", str(verdict.witness)), ("answer there", str(verdict.answer))) if verdict.witness else ()),
        ("boxes", str(verdict.boxes)),
        ("slack", f"{verdict.slack:.3g}"),
        *notes_of(found, question.box),
        ("seconds", f"{seconds:.2f}"),
    ):
        table.add_row(name, escape(value))
    out.print(table)
