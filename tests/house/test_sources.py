"""Sources on the project's own pages: the theorem that a source names is there, and is about that claim."""

import re
from pathlib import Path

import pytest

from theory.sources import OURS
from theory.systems import REGISTRY

ROOT = Path(__file__).parents[2]
OWN = [c for c in REGISTRY.values() if c.source.paper is OURS]


def labels_of(page):
    """The numbered statements of a page: "Theorem 5", "Lemma 1", "T1", "C4"; "**7. …" is Theorem 7."""
    found = re.findall(r"^\*\*(?:(Theorem|Lemma) )?([A-Z]?\d+)'?(?=[.\s*,])", page, flags=re.MULTILINE)
    return [f"{kind or 'Theorem'} {name}" if name.isdigit() else name for kind, name in found]


def page_of(source):
    return (ROOT / source.page).read_text(encoding="utf-8")


def named(source):
    return source.place.split(", ")[1:]


@pytest.mark.parametrize("claim", [pytest.param(c, id=c.id) for c in OWN])
def test_the_theorems_that_a_source_names_are_on_its_page(claim):
    assert (ROOT / claim.source.page).is_file()
    assert set(named(claim.source)) <= set(labels_of(page_of(claim.source)))


@pytest.mark.parametrize("page", sorted({c.source.page for c in OWN}))
def test_a_theorem_that_names_its_claims_is_named_by_them(page):
    """`**2. Nothing is lost** (`conservation`)` on the page, "Theorem 2" in the source of that claim."""
    text = (ROOT / page).read_text(encoding="utf-8")
    for number, keys in re.findall(r"^\*\*(\d+)\. [^*]*\*\* \(([^)]*)\)", text, flags=re.MULTILINE):
        for key in re.findall(r"`(\w+)`", keys):
            claim = REGISTRY.get(f"{Path(page).stem}.{key}")
            if claim is not None and claim.source.paper is OURS:
                assert f"Theorem {number}" in named(claim.source), claim.id


def test_labels_are_read_and_wrong_ones_noticed():
    lines = ("**Theorem 5.** Let", "**Lemma 2 (blocks).** (D1)", "**T1.** Let", "**C4'. x**", "**7. Stale keys.** Keep")
    page = "\n".join([*lines, "**Noise** (`a`)"])
    assert labels_of(page) == ["Theorem 5", "Lemma 2", "T1", "C4", "Theorem 7"]
    assert "Theorem 6" not in labels_of(page)
    assert sum(bool(named(c.source)) for c in OWN) > 30


def test_where_a_page_numbers_its_theorems_most_claims_name_theirs():
    for page in sorted({c.source.page for c in OWN}):
        on_it = [c for c in OWN if c.source.page == page]
        if labels_of((ROOT / page).read_text(encoding="utf-8")):
            assert sum(bool(named(c.source)) for c in on_it) >= len(on_it) / 2, page
