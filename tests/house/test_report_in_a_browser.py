"""The HTML report as a browser shows it: nothing overflows on a screen or a phone, and the filters filter.

Needs playwright (extra `docs`) and a Chromium on the path.
"""

import shutil
import struct
import zlib

import pytest

from theory import report
from theory.claim import Claim, Context, Evidence, Status, Table, Verdict
from theory.verify import Row, Run

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium")
LONG = "a_name_without_any_place_to_break_" * 8


def claim(name, expected):
    return Claim(f"super_expressive.{name}", f"About {LONG}", LONG, "here", expected, (LONG,))


def the_run():
    table = Table(tuple(f"column {i}" for i in range(12)), tuple(tuple(range(10**9, 10**9 + 12)) for _ in range(3)))
    proved = Verdict(Status.PROVED, Evidence.EXACT, LONG, {LONG: 2**200}, tables={"wide": table})
    refuted = Verdict(Status.REFUTED, Evidence.EXACT, "a < b", witness=LONG)
    rows = [Row(claim("a", Status.PROVED), proved), Row(claim("b", Status.REFUTED), refuted)]
    rows.append(Row(claim("c", Status.PROVED), Verdict(Status.OPEN, Evidence.NONE, "not decided")))
    return Run(Context(), rows)


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as p:
        opened = p.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return report.write_html(the_run(), tmp_path_factory.mktemp("report"))


@pytest.mark.parametrize("width", [1400, 800, 390])
def test_nothing_overflows(browser, path, width):
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.goto(path.as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    beyond = """() => [...document.querySelectorAll('td, th, p, summary, img, h1, label')]
        .filter(e => !e.closest('.wide') && e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML)"""
    assert page.evaluate(beyond) == []
    assert page.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
    assert len(set(pixels(page.screenshot()))) > 50
    page.close()


def test_filters_show_what_they_say(browser, path):
    page = browser.new_page()
    page.goto(path.as_uri())

    def rows():
        return [r.inner_text().split()[0] for r in page.query_selector_all(".verdicts tbody tr") if r.is_visible()]

    every = ["super_expressive.a", "super_expressive.b", "super_expressive.c"]
    assert rows() == every
    page.uncheck("#only-PROVED")
    assert rows() == every[1:]
    page.check("#only-differs")
    assert rows() == every[2:]
    page.check("#only-PROVED")
    page.uncheck("#only-differs")
    assert rows() == every
    page.click("text=super_expressive.b")
    assert page.evaluate("document.getElementById('super_expressive.b').open")
    assert not page.evaluate("document.getElementById('super_expressive.a').open")
    page.close()


def pixels(png):
    """Rows of bytes of a PNG picture, as they were compressed."""
    data, at = b"", 8
    while at < len(png):
        (size,) = struct.unpack(">I", png[at : at + 4])
        if png[at + 4 : at + 8] == b"IDAT":
            data += png[at + 8 : at + 8 + size]
        at += size + 12
    return zlib.decompress(data)[:200_000]
