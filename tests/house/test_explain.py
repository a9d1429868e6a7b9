"""`momlp explain CLAIM`: every claim says how it is decided and what it does not say, and its lines of Python run."""

import contextlib
import io
import re
import subprocess
import sys
from pathlib import Path

import pytest

from theory import cli
from theory.claim import Claim, Evidence, Status, Verdict
from theory.cli import explaining, listing
from theory.systems import NAMES, REGISTRY, claims_of

ROOT = Path(__file__).parents[2]
FAST = (
    "momlp.slopes",
    "momlp.sharpness",
    "vc_dimension.width_condition",
    "am_gm.five",
    "shapley_interactions.direct_wls",
)


@pytest.mark.parametrize("key", REGISTRY)
def test_every_claim_says_how_it_is_decided_and_what_it_does_not_say(key):
    claim = REGISTRY[key]
    said = (claim.title, claim.statement, claim.decided_by, claim.does_not_say)
    for text in said[2:]:
        assert len(text.split()) >= 4, text
        assert text == " ".join(text.split())
        assert text.endswith(".")
        assert not text[0].islower() or text.startswith(("sympy", "torch", "φ"))
    assert len({text.casefold().strip(". ") for text in said}) == 4
    undecided = claim.expected is Status.INCONCLUSIVE
    assert (claim.evidence is Evidence.NONE) == undecided
    needed = {Status.PROVED: Evidence.SYMBOLIC, Status.CERTIFIED: Evidence.FLOAT64}.get(claim.expected, Evidence.NONE)
    assert claim.evidence >= needed


def test_no_two_claims_of_a_system_say_the_same():
    for name in NAMES:
        decided = [c.decided_by for c in claims_of(name)]
        # the tasks of one comparison are decided alike
        assert len(set(decided)) == len(decided) or name in ("trained_momlp", "demo_optimizer"), name


@pytest.mark.parametrize("key", REGISTRY)
def test_every_explanation_is_whole(key):
    claim = REGISTRY[key]
    said = explaining.explanation(claim)
    headings = re.findall(r"^  (\S.*)$", said, re.MULTILINE)
    wanted = ["statement", "source", "hypotheses", "expected", "evidence", "how it is decided", "what it does not say"]
    wanted += ["proof file", "try it in Python", f"decide it in Python (or: momlp verify {key} --numbers)"]
    assert headings == wanted
    flat = " ".join(said.split())
    for part in (claim.title, claim.decided_by, claim.does_not_say, claim.expected.value, *claim.hypotheses):
        assert " ".join(part.split()) in flat
    lines = explaining.lines_of(claim)
    assert len(lines) == 5
    compile("\n".join(lines), key, "exec")
    assert all(f"    {line}\n" in said for line in lines)
    assert repr(key)[1:-1] in lines[1]


@pytest.mark.parametrize("key", FAST)
def test_the_lines_of_python_run(key, verdict_of):
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec("\n".join(explaining.lines_of(REGISTRY[key])), {})
    first, *rest = printed.getvalue().splitlines()
    verdict = verdict_of(key)
    assert first == f"{verdict.status.value} {verdict.evidence.name} {verdict.witness or verdict.reason}"
    assert rest[: len(verdict.numbers)] == [f"{name} = {value}" for name, value in verdict.numbers.items()]
    assert len([line for line in rest if ": (" in line]) == len(verdict.tables)


# --- one verb, two meanings -------------------------------------------------------------------------------


def test_claims_are_explained_by_id_system_and_pattern(capsys):
    assert cli.main(["explain", "am_gm.five"]) == 0
    one = capsys.readouterr().out
    assert one == explaining.explanation(REGISTRY["am_gm.five"])
    assert cli.main(["explain", "am_gm.f*", "am_gm.five"]) == 0
    several = capsys.readouterr().out
    assert [line.split(":")[0] for line in several.splitlines() if line.startswith("am_gm")] == [
        "am_gm.four",
        "am_gm.five",
        "am_gm.from_five_on",
        "am_gm.five_constant",
    ]
    assert cli.main(["explain", "super_expressive"]) == 0
    assert capsys.readouterr().out.count("what it does not say") == len(claims_of("super_expressive"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["am_gm.nope"], "no claim or system named am_gm.nope (see `momlp list`)"),
        (["am_gm.five", "nope"], "no claim or system named nope (see `momlp list`)"),
        (["zz*"], "no claim matches zz* (see `momlp list`)"),
    ],
)
def test_what_names_no_claim_is_said(words, said, capsys):
    assert cli.main(["explain", *words]) == 2
    assert capsys.readouterr().err.strip() == f"momlp: error: {said}"


def test_a_file_of_a_claims_name_is_ambiguous(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "am_gm.five").write_bytes(b"")
    assert cli.main(["explain", "am_gm.five"]) == 2
    assert "`CLAIM` 'am_gm.five' names a claim and a file: write ./am_gm.five" in capsys.readouterr().err
    (tmp_path / "momlp").mkdir()  # a folder is no model
    assert cli.main(["explain", "momlp.sharpness"]) == 0


@pytest.mark.parametrize("word", ["model.safetensors", "./am_gm.five", "mine:model", "model", "momlp.safetensors"])
def test_anything_else_is_a_model(word):
    assert not explaining.named([word])
    assert not explaining.named([])
    assert not explaining.named(["--points", "am_gm.five"])


def test_a_model_is_explained_as_before(capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["explain", "model.safetensors"])
    assert stopped.value.code == 2
    assert "the following arguments are required: --points" in capsys.readouterr().err


def test_help_shows_two_examples(capsys):
    with pytest.raises(SystemExit):
        cli.main(["explain", "--help"])
    said = capsys.readouterr().out
    examples = said[said.index("examples:") :].splitlines()[1:]
    assert [line.split()[:2] for line in examples if line.strip()] == [["momlp", "explain"]] * 2
    assert "--points" in said
    assert "momlp explain CLAIM" in said


def test_claims_are_explained_without_heavy_modules():
    code = (
        "import sys; from theory.cli import main\n"
        "main(['explain', 'momlp.sharpness'])\n"
        "print('heavy:', *sorted({'torch', 'sympy', 'matplotlib', 'numpy', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "heavy:"


def test_a_claim_without_words_says_so():
    bare = Claim("a.b", "t", "s", "src", Status.OPEN, reproduce=lambda context: Verdict(Status.OPEN, Evidence.NONE, ""))
    said = explaining.explanation(bare)
    assert said.count("not written down") == 2
    assert "try it in Python" not in said


# --- pages ------------------------------------------------------------------------------------------------


def test_the_page_of_non_claims_is_what_the_command_prints():
    page = (ROOT / "docs" / "non_claims.md").read_text(encoding="utf-8")
    assert page == listing.non_claims_page()
    for name in NAMES:
        assert f"\n## {name}\n" in page
        assert all(f"- `{c.id}` " in page for c in claims_of(name))


def test_counts_of_evidence_add_up():
    *rows, last = listing.evidence_table().splitlines()[2:]
    counts = [[int(cell) for cell in row.strip("|").split("|")[1:]] for row in rows]
    assert [sum(column) for column in zip(*counts, strict=True)] == [int(c) for c in last.strip("|").split("|")[1:]]
    assert sum(map(sum, counts)) == len([c for name in NAMES for c in claims_of(name)])


def _rows(page: str, heading: str) -> dict[str, list[str]]:
    """First cell -> the others, of the first table below this heading."""
    below = page.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    cells = [[c.strip() for c in line.strip("|").split("|")] for line in below.splitlines() if line.startswith("| ")]
    return {first.strip("`"): rest for first, *rest in reversed(cells)}


def test_the_trust_page_has_a_row_for_every_evidence_verdict_and_system():
    page = (ROOT / "docs" / "trust.md").read_text(encoding="utf-8")
    for heading, wanted, columns in (
        ("By evidence", [kind.name for kind in Evidence], 4),
        ("By verdict", [status.value for status in Status], 3),
        ("By system", list(NAMES), 3),
    ):
        rows = _rows(page, heading)
        assert set(wanted) <= set(rows), heading
        for name in wanted:
            assert len(rows[name]) == columns, name
            assert all(rows[name][:2]), name
    with pytest.raises(KeyError):
        _ = _rows(page.replace("| `am_gm` |", "| `am_gn` |"), "By system")["am_gm"]


def test_the_trust_page_counts_what_the_command_counts():
    page = (ROOT / "docs" / "trust.md").read_text(encoding="utf-8")
    assert page.count(f"<!-- evidence -->\n{listing.evidence_table()}<!-- end -->") == 1


def test_the_page_of_proof_files_says_what_they_decide():
    page = (ROOT / "docs" / "proofs.md").read_text(encoding="utf-8")
    assert page.count(f"<!-- proof files -->\n{listing.proof_files_table()}<!-- end -->") == 1


def test_every_evidence_has_a_meaning():
    assert set(explaining.MEANING) == set(Evidence)
