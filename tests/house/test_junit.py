"""JUnit XML of a run: one test case a claim, read back by a parser; what it counts, fails and skips."""

import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from theory import cli
from theory.claim import Claim, Context, Evidence, Status, Table, Verdict
from theory.junit import junit_text
from theory.systems import REGISTRY
from theory.verify import Row, Run

CHILDREN = {
    "testsuites": {"testsuite"},
    "testsuite": {"properties", "testcase"},
    "properties": {"property"},
    "property": set(),
    "testcase": {"skipped", "failure", "system-out"},
    "skipped": set(),
    "failure": set(),
    "system-out": set(),
}
"""The part of junit-10.xsd that is used: elements and their children; beside them their attributes."""
ATTRIBUTES = {
    "testsuites": {"name", "tests", "failures", "errors", "time"},
    "testsuite": {"name", "tests", "failures", "errors", "skipped", "time"},
    "properties": set(),
    "property": {"name", "value"},
    "testcase": {"classname", "name", "time"},
    "skipped": {"message"},
    "failure": {"type", "message"},
    "system-out": set(),
}


def check(element):
    """An element of the schema, and everything in it; counts and seconds are those of the cases inside."""
    assert {child.tag for child in element} <= CHILDREN[element.tag]
    assert set(element.attrib) == ATTRIBUTES[element.tag]
    cases = element.findall(".//testcase")
    for name, kind in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        if name in element.attrib:
            assert int(element.get(name)) == sum(case.find(kind) is not None for case in cases)
    assert re.fullmatch(r"\d+\.\d{3}", element.get("time", "0.000"))
    if "tests" in element.attrib:
        assert int(element.get("tests")) == len(cases)
        assert float(element.get("time")) == pytest.approx(sum(float(case.get("time")) for case in cases), abs=1e-9)
    for child in element:
        check(child)


def claim(name, expected, title="a title"):
    return Claim(name, title, "a < b", "src", expected)


PROVED = Verdict(Status.PROVED, Evidence.EXACT, "all 12 cases", seconds=1.25)
REFUTED = Verdict(Status.REFUTED, Evidence.EXACT, 'x = "2" & y < 3', witness="x = 2, \x00 and \ud800", seconds=0.5)
UNKNOWN = Verdict(Status.INCONCLUSIVE, Evidence.NONE, "broken\nin two lines \x1b[0m", tables={"t": Table(("n",), ())})
OPEN = Verdict(Status.OPEN, Evidence.NONE, "no reproduction is implemented yet")
ROWS = [
    Row(claim("a.holds", Status.PROVED), PROVED),
    Row(claim("a.differs", Status.CERTIFIED, "holds <always>"), REFUTED),
    Row(claim("b.unknown", Status.PROVED), UNKNOWN),
    Row(claim("b.false_as_stated", Status.REFUTED), replace(REFUTED, seconds=2.0)),
    Row(claim("b.undecided", Status.OPEN), OPEN),
    Row(claim("b.better_than_expected", Status.CERTIFIED), PROVED),
]
LATER = claim("c.not_reached", Status.PROVED)


def parsed(rows, claims):
    root = ElementTree.fromstring(junit_text(Run(Context(seed=7), rows, interrupted=True), claims))
    check(root)
    return {f"{c.get('classname')}.{c.get('name')}": c for c in root.iter("testcase")}, root


def test_one_case_a_claim_and_only_differing_verdicts_fail():
    cases, root = parsed(ROWS, [*(row.claim for row in ROWS), LATER])
    assert list(cases) == [*(row.claim.id for row in ROWS), LATER.id]
    assert {name for name, case in cases.items() if case.find("failure") is not None} == {
        "a.differs",
        "b.better_than_expected",
    }
    assert {name for name, case in cases.items() if case.find("skipped") is not None} == {"b.unknown", LATER.id}
    assert [suite.get("name") for suite in root] == ["a", "b", "c"]
    assert root.attrib == {"name": "momlp verify", "tests": "7", "failures": "2", "errors": "0", "time": "5.000"}
    assert {p.get("name"): p.get("value") for p in root[0].find("properties")}["seed"] == "7"
    assert cases["a.holds"].get("time") == "1.250"


def test_words_are_kept_and_the_document_stays_xml():
    cases, _ = parsed(ROWS, [*(row.claim for row in ROWS), LATER])
    failure = cases["a.differs"].find("failure")
    assert failure.get("type") == "REFUTED"
    assert failure.get("message") == 'REFUTED (EXACT), expected CERTIFIED: x = "2" & y < 3'
    assert failure.text == "holds <always>\na < b\nwitness: x = 2, \\x00 and \\ud800"
    assert cases["a.holds"].find("system-out").text == "PROVED (EXACT), expected PROVED: all 12 cases"
    skipped = cases["b.unknown"].find("skipped")
    assert skipped.get("message") == "INCONCLUSIVE (NONE), expected PROVED: broken in two lines \\x1b[0m"
    assert cases[LATER.id].find("skipped").get("message") == "not decided: the run was interrupted"


def test_a_run_of_nothing_is_a_document():
    cases, root = parsed([], [])
    assert cases == {}
    assert root.get("tests") == "0"


def test_the_command_writes_it(tmp_path, capsys):
    names = ["momlp.sharpness", "super_expressive.floating_point"]
    assert cli.main(["verify", *names, "--jobs", "1", "--junit", str(tmp_path / "v.xml")]) == 0
    text = (tmp_path / "v.xml").read_bytes()
    assert text.startswith(b'<?xml version="1.0" encoding="utf-8"?>\n<testsuites ')
    root = ElementTree.fromstring(text)
    check(root)
    assert [f"{c.get('classname')}.{c.get('name')}" for c in root.iter("testcase")] == names
    assert root.find(".//failure") is None
    said = root.find(".//system-out").text
    assert re.fullmatch(r"PROVED \((EXACT|SYMBOLIC)\), expected PROVED: .+", said)
    assert "JUnit XML written to" in capsys.readouterr().err


def test_every_claim_there_is_can_be_written():
    rows = [Row(c, Verdict(Status.OPEN, Evidence.NONE, c.statement)) for c in REGISTRY.values()]
    cases, root = parsed(rows, list(REGISTRY.values()))
    assert len(cases) == len(REGISTRY)
    assert len(root) == len({c.system for c in REGISTRY.values()})


def test_the_check_of_the_schema_can_fail():
    text = junit_text(Run(Context(), ROWS[:2]), [row.claim for row in ROWS[:2]])
    for before, after in (
        ('failures="1"', 'failures="0"'),
        ("<failure ", "<error "),
        ('tests="2"', 'tests="3"'),
        (' classname="a"', ""),
    ):
        broken = text.replace(before, after).replace("</failure>", "</error>" if "error" in after else "</failure>")
        assert broken != text
        with pytest.raises(AssertionError):
            check(ElementTree.fromstring(broken))
