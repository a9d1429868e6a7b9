"""verify --proofs and recheck: files are written, decided in a fresh process, and shown in the table."""

import json

import pytest

from theory import cli, proofs
from theory.am_gm import proofs as am_gm


def test_verify_writes_and_rechecks(tmp_path, capsys):
    folder = tmp_path / "proofs"
    options = ["--jobs", "1", "--proofs", str(folder), "--json", str(tmp_path / "v.json")]
    assert cli.main(["verify", "am_gm.three", "am_gm.five", *options]) == 0
    printed = capsys.readouterr().out
    assert "re-checked" in printed
    said = " ".join(printed.split())
    assert "1 of 1 PROVED or CERTIFIED verdicts (100 %) have proof files, 1 of all that the verdict rests on, 0" in said
    assert "1 re-checked" in said
    assert len(list(folder.glob("am_gm.three-*.proof"))) == 5
    found = json.loads((tmp_path / "v.json").read_text())["verdicts"]
    assert {v["id"]: v["rechecked"] for v in found} == {"am_gm.three": True, "am_gm.five": None}
    assert cli.main(["recheck", str(folder)]) == 0


def test_a_wrong_file_fails_verify(tmp_path, capsys, monkeypatch):
    wrong = lambda context, folder: [proofs.facts("1 == 2")]  # noqa: E731
    monkeypatch.setitem(am_gm.PROOFS, "three", wrong)
    assert cli.main(["verify", "am_gm.three", "--jobs", "1", "--proofs", str(tmp_path)]) == 1
    assert "not proved" in capsys.readouterr().err
    monkeypatch.setitem(am_gm.PROOFS, "three", lambda context, folder: 1 / 0)
    assert cli.main(["verify", "am_gm.three", "--jobs", "1", "--proofs", str(tmp_path)]) == 1
    assert "no proof of am_gm.three" in capsys.readouterr().err


def test_recheck_names_what_is_missing(tmp_path, capsys):
    assert cli.main(["recheck", str(tmp_path)]) == 2
    assert "holds no file NAME.proof" in capsys.readouterr().err
    assert cli.main(["recheck", str(tmp_path / "none.proof")]) == 2


@pytest.mark.parametrize("elsewhere", [True, False])
def test_certify_writes_a_proof_beside_the_model(tmp_path, capsys, monkeypatch, elsewhere):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["build", "sin(x0)*x1", "--n", "2", "--eps", "0.2", "--out", "m.safetensors"]) == 0
    (tmp_path / "other").mkdir()
    target = "other/m.proof" if elsewhere else "m.proof"
    assert cli.main(["certify", "m.safetensors", "--proof", target]) == (2 if elsewhere else 0)
    said = capsys.readouterr()
    if elsewhere:
        assert "`--proof` must lie beside the model" in " ".join(said.err.split())
    else:
        assert cli.main(["recheck", "m.proof"]) == 0


@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt, 130), (OSError("no space left"), 2)])
def test_verdicts_are_kept_when_proofs_cannot_be_written(tmp_path, monkeypatch, capsys, error, code):
    def fails(context, folder):
        raise error

    def full(folder, claim, made):
        raise error

    if error is KeyboardInterrupt:
        monkeypatch.setitem(am_gm.PROOFS, "three", fails)
    else:
        monkeypatch.setattr(proofs, "write_claim", full)
    report = tmp_path / "v.json"
    words = ["verify", "am_gm.three", "--jobs", "1", "--proofs", str(tmp_path / "proofs"), "--json", str(report)]
    assert cli.main(words) == code
    said = capsys.readouterr()
    assert "PROVED" in said.out
    assert ("interrupted after 1 of 1 claims" if code == 130 else "no space left") in said.err
    (found,) = json.loads(report.read_text())["verdicts"]
    assert (found["status"], "rechecked" in found) == ("PROVED", False)
