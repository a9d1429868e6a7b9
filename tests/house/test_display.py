"""What objects show of themselves: short lines in a terminal, a table in a notebook, everything escaped."""

from dataclasses import replace
from html.parser import HTMLParser

import pytest

import momlp
from constructions.display import LONGEST, Displayed, number
from theory.claim import Claim, Evidence, Status, Table, Verdict

F = momlp.LipschitzFunction.from_sympy("sin(2*pi*x0)*x1", n=2)


class Reader(HTMLParser):
    """The cells of a table, row by row, and the tags that stay open."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.open, self.caption = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "caption" in self.open:
            self.caption += data
        elif "tr" in self.open:
            self.rows[-1].append(data)


def shown():
    plan = momlp.plan(F, eps=0.15)
    yield plan, {"eps": "0.15", "experts L": "30", "parameters of an expert P": "121"}
    deep = momlp.plan(F, eps=0.15, expert="bit_extraction", resolved=2)
    yield deep, {"axes resolved k": "2", "cells M": "no router", "total parameters L·P": "37531"}
    model = momlp.build_momlp(F, eps=0.15)
    certificate = momlp.certify_uniform_error(model, F, eps=0.15, method="a_priori")
    yield certificate, {"method": "a_priori", "eps": "0.15"}
    yield momlp.REGISTRY["momlp.sharpness"], {"expected": "PROVED", "says": "Theorem 1 is sharp"}
    table = Table(("n", "error"), ((1, 0.5), (2, 0.25)))
    verdict = Verdict(Status.PROVED, Evidence.EXACT, "in rationals", {"plans": 30, "gap": 1 / 3}, tables={"all": table})
    yield verdict, {"reason": "in rationals", "plans": "30", "gap": "0.333333333", "all": "2 rows of n, error"}


@pytest.mark.parametrize(("thing", "facts"), list(shown()), ids=lambda x: type(x).__name__)
def test_lines_and_tables_hold_the_same_facts(thing, facts):
    lines = repr(thing).split("\n")
    assert 3 <= len(lines) <= 30
    assert all(len(line) < LONGEST + 40 for line in lines)
    assert " at 0x" not in repr(thing)
    read = Reader(thing._repr_html_())
    assert read.open == []
    assert read.caption == lines[0]
    cells = dict(row for row in read.rows if len(row) == 2)
    for name, value in facts.items():
        assert cells[name] == value
        assert any(
            line.split(maxsplit=len(name.split()))[-1] == value for line in lines if line.strip().startswith(name)
        )


def test_what_is_shown_of_a_certificate_follows_from_its_numbers():
    (certificate,) = (thing for thing, _ in shown() if isinstance(thing, momlp.UniformErrorCertificate))
    assert repr(certificate).startswith("CERTIFIED (")
    worse = replace(certificate, upper=0.2)
    assert repr(worse).startswith("INCONCLUSIVE (")
    assert "which does not decide eps = 0.15" in repr(worse)
    failing = replace(certificate, premises=(replace(certificate.premises[0], holds=False),))
    assert "FAILS" in repr(failing)
    assert "CERTIFIED" not in repr(failing)


def test_markup_is_escaped_and_long_lines_are_cut():
    claim = Claim("mine.own", "a < b & <script>", r"a<b", "x" * 500, Status.OPEN, ("line\nbreak",))
    page = claim._repr_html_()
    assert "<script>" not in page
    assert "a &lt; b &amp; &lt;script&gt;" in page
    assert "$$a&lt;b$$" in page
    assert claim._repr_latex_() == "$$a<b$$"
    assert max(map(len, repr(claim).split("\n"))) < LONGEST + 40
    assert "line break" in repr(claim)


def test_many_numbers_are_counted():
    numbers = {f"number {i}": i for i in range(40)}
    said = repr(Verdict(Status.OPEN, Evidence.NONE, "too many", numbers))
    assert "28 more numbers" in said
    assert "number 11" in said
    assert "number 12 " not in said


def test_functions_show_their_formula():
    said = F._repr_latex_()
    assert said.startswith(r"$f(x) = x_{1} \sin{\left(2 \pi x_{0} \right)}")
    assert "certified" in said
    pair = momlp.LipschitzFunction.from_sympy("x0, abs(x0)", n=1)._repr_latex_()
    assert r"(x_{0},\ \left|{x_{0}}\right|)" in pair
    box = momlp.LipschitzFunction(lambda x: x, n=1, lipschitz=1.0)._repr_latex_()
    assert "declared" in box
    assert "f(x) =" not in box


def test_a_class_without_facts_says_so():
    with pytest.raises(NotImplementedError):
        repr(type("Bare", (Displayed,), {})())
    assert number(2.0) == "2"
    assert number("a") == "a"
