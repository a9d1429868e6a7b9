"""The verbs of `momlp distributed_momlp`: plan."""

from __future__ import annotations

import argparse

from rich.table import Table

from constructions.distributed_momlp import plan_devices
from theory.command import out


def add_plan(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--n", type=int, required=True, help="input dimension: the number of variables")
    sub.add_argument("--eps", type=float, required=True, help="uniform error, in units of the outputs")
    sub.add_argument(
        "--lipschitz", type=float, default=1.0, help="Lipschitz constant of the function, outputs by inputs"
    )
    sub.add_argument("--devices", type=int, required=True, help="number of devices")
    sub.add_argument("--device-bytes", type=int, required=True, help="memory of one device, in bytes")
    sub.add_argument("--batch", type=int, default=1 << 16, help="points a device in a forward pass")


def run_plan(args: argparse.Namespace) -> int:
    p = plan_devices(
        args.n,
        args.eps,
        args.lipschitz,
        device_bytes=args.device_bytes,
        devices=args.devices,
        batch=args.batch,
    )
    fits = "yes" if p.fits else "[bold red]no[/]"
    table = Table("quantity", "value", title=f"n = {args.n}, eps = {args.eps:g}, {args.devices} devices")
    for name, value in (
        ("experts L", p.leaves),
        ("parameters of an expert P", p.design.parameters),
        ("most experts on a device", p.experts),
        ("bytes on that device", p.bytes),
        ("fits", fits),
        ("devices needed", p.needed or "one device holds not even an expert"),
        ("messages a device, forward pass", p.messages),
        (f"bytes a device sends, {p.batch} points spread evenly", p.expected_bytes),
        ("bytes a device sends, worst case", p.worst_bytes),
    ):
        table.add_row(name, str(value))
    out.print(table)
    return 0 if p.fits else 1
