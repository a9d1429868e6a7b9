"""The verb doctor: is the installation what it should be?"""

from __future__ import annotations

import argparse

from rich.markup import escape
from rich.table import Table

from theory import doctor
from theory.command import out


def add_doctor(sub: argparse.ArgumentParser) -> None:
    pass


def run_doctor(args: argparse.Namespace) -> int:
    findings = doctor.examine()
    table = Table("check", "", "detail")
    for finding in findings:
        table.add_row(finding.name, "ok" if finding.good else "[bold red]WRONG[/]", escape(finding.detail))
    out.print(table)
    return 0 if all(f.good for f in findings) else 1
