"""A run as JUnit XML, which CI servers show as tests: one suite a system, one test case a claim.

A verdict that is not the expected one is a failure; INCONCLUSIVE, and a claim that an interrupted run did not come to,
is skipped: nothing was found out about it. The exit code of `momlp verify` is 1 for either.

Main definition: `junit_text`.
References: the schema junit-10.xsd of Jenkins' xUnit plugin.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby
from xml.etree import ElementTree

from constructions.version import __version__
from theory.claim import Claim, Status
from theory.verify import Row, Run

ILLEGAL = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot hold, however they are written."""


def junit_text(run: Run, claims: Sequence[Claim]) -> str:
    """The XML document of a run that was to decide these claims; those without a row were not decided."""
    rows = {row.claim.id: row for row in run.rows}
    root = ElementTree.Element("testsuites", name="momlp verify")
    for system, of_system in groupby(claims, key=lambda claim: claim.system):
        _add_suite(root, system, list(of_system), rows, run)
    _count(root)
    ElementTree.indent(root)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{ElementTree.tostring(root, encoding="unicode")}\n'


def _add_suite(root: ElementTree.Element, system: str, claims: list[Claim], rows: dict[str, Row], run: Run) -> None:
    suite = ElementTree.SubElement(root, "testsuite", name=system)
    properties = ElementTree.SubElement(suite, "properties")
    known = {"budget": run.context.budget, "device": run.context.device, "seed": run.context.seed, "momlp": __version__}
    for name, value in known.items():
        ElementTree.SubElement(properties, "property", name=name, value=str(value))
    for claim in claims:
        case = ElementTree.SubElement(
            suite, "testcase", classname=system, name=claim.id.partition(".")[2], time="0.000"
        )
        if claim.id in rows:
            _say(case, rows[claim.id])
        else:
            ElementTree.SubElement(case, "skipped", message="not decided: the run was interrupted")
    _count(suite)


def _say(case: ElementTree.Element, row: Row) -> None:
    verdict = row.verdict
    case.set("time", f"{verdict.seconds:.3f}")
    said = f"{verdict.status.value} ({verdict.evidence.name}), expected {row.claim.expected.value}: {verdict.reason}"
    if verdict.status is Status.INCONCLUSIVE:
        ElementTree.SubElement(case, "skipped", message=_line(said))
    elif not row.as_expected:
        failure = ElementTree.SubElement(case, "failure", type=verdict.status.name, message=_line(said))
        failure.text = _legal("\n".join((row.claim.title, row.claim.statement, f"witness: {verdict.witness}")))
    ElementTree.SubElement(case, "system-out").text = _legal(said)


def _count(element: ElementTree.Element) -> None:
    """Write how many test cases there are in it, and of which kinds; nothing ends in an error, which is a verdict."""
    cases = list(element.iter("testcase"))
    element.set("tests", str(len(cases)))
    for name, kind in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        if name != "skipped" or element.tag == "testsuite":  # the schema has no such attribute of all suites
            element.set(name, str(sum(case.find(kind) is not None for case in cases)))
    element.set("time", f"{sum(float(case.get('time', 0)) for case in cases):.3f}")


def _legal(text: str) -> str:
    return ILLEGAL.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def _line(text: str) -> str:
    return " ".join(_legal(text).split())
