"""What a run looks like to a person (rich table, HTML page) and to a program (JSON).

The JSON schema is `theory/verdicts.schema.json`: integers above 2⁵³ are strings, infinities are "inf".
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from jinja2 import Environment, FileSystemLoader
from rich import table as rich
from rich.markup import escape

from constructions.files import require_folder, write_whole
from constructions.version import __version__
from theory import systems
from theory.claim import Budget, Claim, Status, Table
from theory.figure_style import save_figure
from theory.verify import Run

SCHEMA = 2
LARGEST_JSON_INTEGER = 2**53
STYLES = {
    Status.PROVED: "bold green",
    Status.CERTIFIED: "green",
    Status.NOT_REFUTED: "cyan",
    Status.REFUTED: "magenta",
    Status.INCONCLUSIVE: "yellow",
    Status.OPEN: "dim",
}


Rechecked = Mapping[str, bool | None]
"""Claim -> whether the stand-alone checker proves its files, None where it has none."""


def verdict_table(run: Run, rechecked: Rechecked | None = None) -> rich.Table:
    """One row a claim: verdict, evidence, whether it was expected, what the checker says, the reason, seconds."""
    table = rich.Table(title=f"momlp verify ({run.context.budget}, {run.context.device})", title_justify="left")
    table.add_column("claim", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    table.add_column("evidence", no_wrap=True)
    table.add_column("as expected", no_wrap=True)
    if rechecked is not None:
        table.add_column("re-checked", no_wrap=True)
    table.add_column("reason", overflow="fold")
    table.add_column("s", justify="right", no_wrap=True)
    for row in run.rows:
        v = row.verdict
        expected = "yes" if row.as_expected else f"[bold red]NO: {row.claim.expected.value}[/]"
        table.add_row(
            row.claim.id,
            f"[{STYLES[v.status]}]{v.status.value}[/]",
            v.evidence.name,
            expected,
            *([] if rechecked is None else [_again(run, row.claim, rechecked[row.claim.id])]),
            v.reason.replace("[", r"\["),
            f"{v.seconds:.1f}",
        )
    return table


def _again(run: Run, claim: Claim, proved: bool | None) -> str:
    if proved is None:
        return "-"
    return ("whole" if _whole(run, claim) else "a part") if proved else "[bold red]NO[/]"


def _whole(run: Run, claim: Claim) -> bool:
    """Whether its files decide all that the verdict rests on: with the full budget it may rest on more."""
    return claim.files is not None and claim.files.whole and run.context.budget == Budget.QUICK


def share_of_proofs(run: Run, rechecked: Rechecked) -> str:
    """How many of the PROVED and CERTIFIED verdicts have proof files, whole ones, and how many are proved again."""
    strong = [row.claim for row in run.rows if row.verdict.status in (Status.PROVED, Status.CERTIFIED)]
    filed = [claim for claim in strong if rechecked[claim.id] is not None]
    share = f" ({100 * len(filed) / len(strong):.0f} %)" if strong else ""
    whole = sum(_whole(run, claim) for claim in filed)
    again = sum(rechecked[claim.id] is True for claim in filed)
    return (
        f"{len(filed)} of {len(strong)} PROVED or CERTIFIED verdicts{share} have proof files, {whole} of all that the "
        f"verdict rests on, {len(filed) - whole} of a part (docs/proofs.md says which); {again} re-checked"
    )


def numbers_table(run: Run) -> rich.Table:
    """Every measured number of every verdict."""
    table = rich.Table(title="numbers", title_justify="left")
    table.add_column("claim", no_wrap=True)
    table.add_column("number")
    table.add_column("value", justify="right", overflow="fold")
    for row in run.rows:
        merged = {**row.verdict.numbers, **row.verdict.bounds}
        for i, (name, value) in enumerate(merged.items()):
            table.add_row(row.claim.id if i == 0 else "", name, _shown(value), end_section=i == len(merged) - 1)
    return table


def measured_tables(run: Run) -> list[rich.Table]:
    """Every table of every verdict."""
    found = []
    for row in run.rows:
        for name, measured in row.verdict.tables.items():
            table = rich.Table(title=escape(f"{row.claim.id}: {name}"), title_justify="left")
            for column in measured.columns:
                left = any(isinstance(value, str) for value in measured.column(column))
                table.add_column(escape(column), justify="left" if left else "right", overflow="fold")
            for values in measured.rows:
                table.add_row(*(escape(_shown(value)) for value in values))
            found.append(table)
    return found


def _shown(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


# --- JSON -----------------------------------------------------------------------------------------------


def as_json(run: Run, rechecked: Rechecked | None = None) -> dict[str, Any]:
    """The documented JSON object of a run; `rechecked` where proof files were asked for."""
    return {
        "schema": SCHEMA,
        "budget": run.context.budget,
        "device": str(run.context.device),
        "seed": run.context.seed,
        "interrupted": run.interrupted,
        "as_expected": run.as_expected,
        "versions": {"momlp": __version__, "torch": torch.__version__},
        "verdicts": [
            {
                "id": row.claim.id,
                "title": row.claim.title,
                "statement": row.claim.statement,
                "source": str(row.claim.source),
                "hypotheses": list(row.claim.hypotheses),
                "expected": row.claim.expected.value,
                "status": row.verdict.status.value,
                "as_expected": row.as_expected,
                "evidence": row.verdict.evidence.name,
                "reason": row.verdict.reason,
                "numbers": {k: _json_number(v) for k, v in row.verdict.numbers.items()},
                "bounds": {k: _json_number(v) for k, v in row.verdict.bounds.items()},
                "tables": {k: _json_table(v) for k, v in row.verdict.tables.items()},
                "witness": row.verdict.witness,
                "seconds": round(row.verdict.seconds, 3),
                "device": row.verdict.device,
                "seed": row.verdict.seed,
                **({} if rechecked is None else _proof_fields(row.claim, rechecked)),
            }
            for row in run.rows
        ],
    }


def _proof_fields(claim: Claim, rechecked: Rechecked) -> dict[str, Any]:
    return {"rechecked": rechecked[claim.id], "proof_files": None if claim.files is None else asdict(claim.files)}


def _json_number(value: Any) -> Any:
    if isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return value if abs(value) <= LARGEST_JSON_INTEGER else str(value)
    return value if math.isfinite(value) else str(value)


def _json_table(table: Table) -> dict[str, Any]:
    return {"columns": list(table.columns), "rows": [[_json_number(v) for v in row] for row in table.rows]}


def json_text(run: Run, rechecked: Rechecked | None = None) -> str:
    return json.dumps(as_json(run, rechecked), indent=2, ensure_ascii=False, allow_nan=False)


def write_text(path: Path, text: str) -> None:
    """Write `path` whole or not at all; a name that is no text (half of a surrogate pair) is written as its escape."""
    write_whole(path, lambda draft: draft.write_text(text, encoding="utf-8", errors="backslashreplace"))


# --- HTML -----------------------------------------------------------------------------------------------


def html_files(claims: Iterable[Claim]) -> list[str]:
    """Names of the files that `write_html` writes for these claims."""
    return [*_pictures({c.system for c in claims}), "index.html"]


def _pictures(verified: set[str]) -> dict[str, tuple[str, Callable[[], Any]]]:
    return systems.figures([name for name in systems.NAMES if name in verified])


def write_html(run: Run, folder: Path) -> Path:
    """index.html with the verdict table, all numbers and the figures of the systems verified; returns its path."""
    require_folder(folder)
    pictures = _pictures({row.claim.system for row in run.rows})
    for name, (_, draw) in pictures.items():
        save_figure(draw(), folder / name)
    templates = FileSystemLoader(Path(__file__).parent / "templates")
    environment = Environment(loader=templates, autoescape=True)
    counts = Counter(row.verdict.status for row in run.rows)
    page = environment.get_template("index.html.j2").render(
        run=as_json(run),
        pictures={name: caption for name, (caption, _) in pictures.items()},
        statuses={status.value.replace(" ", "_"): counts[status] for status in Status if status in counts},
    )
    index = folder / "index.html"
    write_text(index, page)
    return index
