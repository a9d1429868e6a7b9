"""`momlp am_gm`: what it prints, draws, stores and refuses."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from constructions.am_gm import (
    LeastSquares,
    am_gm_ratio,
    certificate_path,
    de_sa_family,
    example_rows,
    float_matrices,
    integer_counterexample,
    random_matrices,
)
from theory import cli
from theory.am_gm import figures, pairs
from theory.am_gm.pairs import Standing

ROOT = Path(__file__).parents[2]


def ran(capsys, *words):
    code = cli.main(["am_gm", *map(str, words)])
    said = capsys.readouterr()
    return code, " ".join(said.out.split()), " ".join(said.err.split())


def stored(folder, name, array):
    np.save(folder / f"{name}.npy", array.numpy() if isinstance(array, torch.Tensor) else array)
    return folder / f"{name}.npy"


# --- verify ---------------------------------------------------------------------------------------------


def test_the_case_of_four_matrices(capsys):
    code, out, _ = ran(capsys, "verify", "--shipped", "4")
    assert code == 0
    assert out.count("holds for all PSD matrices of every size") == 6
    assert "(4, 4): ‖mean over 4 distinct of 4‖ ≤ ‖mean‖^4 for all PSD matrices of every size" in out
    assert "n = 4: with k = 1 (equality) and k = 2 (by hand) the inequality holds for every k ≤ 4." in out


def test_half_of_it_is_not_the_inequality(capsys):
    code, out, _ = ran(capsys, "verify", "n4m4_upper", "n4m3_upper", "n4m3_lower")
    assert code == 0
    assert "(4, 3): ‖mean" in out
    assert "(4, 4): ‖mean" not in out
    assert "every k" not in out


def test_a_strangers_file_in_another_process(tmp_path):
    data = json.loads(certificate_path("n4m4_lower").read_text())
    (tmp_path / "mine.json").write_text(json.dumps({key: data[key] for key in sorted(data)}, indent=1))
    line = [sys.executable, "-m", "theory", "am_gm", "verify", str(tmp_path / "mine.json")]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "holds for all PSD" in done.stdout


def test_all_that_come_with_the_package(capsys):
    code, out, _ = ran(capsys, "verify", "--shipped", "all")
    assert code == 0
    assert "The lower bound 7233/50 at (5, 5) is more than n!/(n−m)! = 120: it is not half of the inequality." in out
    assert "(5, 5): ‖mean" not in out
    for pair in ("(3, 3)", "(4, 3)", "(4, 4)", "(5, 3)", "(5, 4)", "(6, 3)", "(6, 4)", "(6, 5)"):
        assert f"{pair}: ‖mean" in out
    assert [n for n in range(2, 7) if f"n = {n}: with k = 1" in out] == [2, 3, 4]


def test_files_that_fail_do_not_stop_the_others(capsys, tmp_path):
    bad = tmp_path / "bad.json"
    bad.write_text(certificate_path("n4m4_upper").read_text().replace('"24"', '"23"'))
    (tmp_path / "junk").write_text("[bold]junk[/bold]")
    os.mkfifo(tmp_path / "fifo")
    code, out, _ = ran(capsys, "verify", bad, "n2m2_upper")
    assert (code, "no: the identity fails at 1 word," in out) == (1, True)
    code, out, err = ran(capsys, "verify", bad, tmp_path / "junk", tmp_path / "fifo", tmp_path / "none", "n2m2_upper")
    assert code == 2
    assert "no: the identity fails at 1 word," in out
    assert out.count("unread: ") == 3
    assert err.count("error: ") == 1
    assert out.count("holds for all PSD") == 1
    assert "(4, 4)" not in out


def test_a_file_goes_before_a_name(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "n4m4_upper").write_text("{}")
    code, out, err = ran(capsys, "verify", "n4m4_upper")
    assert (code, out) == (2, "")
    assert "n4m4_upper: the format must be" in err


@pytest.mark.parametrize(
    ("words", "match"),
    [
        ([], "`FILE` or `--shipped` is needed"),
        (["--shipped", "7"], "`--shipped` must be all or one of 2, 3, 4, 5, 6, got '7'"),
    ],
)
def test_what_verify_refuses(capsys, words, match):
    code, _, err = ran(capsys, "verify", *words)
    assert code == 2
    assert match in err


# --- check ----------------------------------------------------------------------------------------------


def test_given_matrices(capsys, tmp_path):
    cases = {
        "five": (de_sa_family(5, "1/2"), 1, "PSD (in rationals), a counterexample"),
        "integers": (float_matrices(integer_counterexample()), 1, "PSD (in rationals): a counterexample"),
        "kaczmarz": (LeastSquares(example_rows()).kaczmarz(), 0, "holds at these matrices (in rationals)"),
        "four": (de_sa_family(4, "1/2"), 0, "holds at these matrices (in rationals)"),
        "zero": (torch.zeros(3, 2, 2), 0, "holds at these matrices (in rationals)"),
        "large": (2.0**1000 * float_matrices(integer_counterexample()) / 2**20, 1, "·2^"),
        "many": (torch.eye(2, dtype=torch.float64).expand(15, 2, 2), 0, "equal up to rounding: not decided"),
        "more": (random_matrices("wishart", 14, 2, generator=torch.Generator().manual_seed(0))[0], 0, "holds at these"),
        "thirteen": (de_sa_family(13), 1, "fails at these matrices, in floating point"),
    }
    for name, (A, expected, match) in cases.items():
        code, out, _ = ran(capsys, "check", stored(tmp_path, name, A))
        assert (code, match in out) == (expected, True), (name, out)
    code, out, _ = ran(capsys, "check", tmp_path / "five.npy", "--nested")
    assert code == 0
    assert "0.289148352" in out
    code, out, _ = ran(capsys, "check", tmp_path / "five.npy", "--k", "4")
    assert code == 0
    assert f"ratio │ {float(am_gm_ratio(de_sa_family(5), 4)):.9g} │" in out


def test_integers_and_complex_numbers(capsys, tmp_path):
    integers = np.array([[[2, 1], [1, 1]], [[1, 0], [0, 0]]])
    assert ran(capsys, "check", stored(tmp_path, "integers", integers))[0] == 0
    twisted = np.array([[[2, 1j], [-1j, 1]], [[1, 0], [0, 0]]])
    assert ran(capsys, "check", stored(tmp_path, "complex", twisted))[0] == 0
    unitary = np.linalg.qr(np.array([[1, 1j, 0], [2, 1, 1j], [0, 3, 1]]))[0]
    turned = unitary @ float_matrices(integer_counterexample()).numpy() @ unitary.conj().T
    code, out, _ = ran(capsys, "check", stored(tmp_path, "turned", turned))
    assert code == 1
    assert "a counterexample" in out


def test_what_check_refuses(capsys, tmp_path):
    A = de_sa_family(3)
    cases = {
        "flat": (A[0], [], "`MATRICES` must be numbers of shape (n, d, d), got float64 (3, 3)"),
        "oblong": (A[:, :2], [], "`MATRICES` must have shape"),
        "nan": (A * float("nan"), [], "`MATRICES` must be finite"),
        "negative": (-A, [], "`MATRICES` must be positive semidefinite, the least eigenvalue of matrix 0 is"),
        "skew": (
            A + torch.ones(3, 3).triu(1),
            [],
            "`MATRICES` must be Hermitian, the largest asymmetry of matrix 0 is 1",
        ),
        "text": (np.array(["a"]), [], "`MATRICES` must be numbers of shape (n, d, d)"),
        "k": (A, ["--k", "4"], "`--k` must be an integer between 1 and 3, got 4"),
        "empty": (A[:0], [], "`MATRICES` must have shape"),
    }
    for name, (array, options, match) in cases.items():
        code, _, err = ran(capsys, "check", stored(tmp_path, name, array), *options)
        assert code == 2, name
        assert match in err
    (tmp_path / "junk").write_text("junk")
    code, _, err = ran(capsys, "check", tmp_path / "junk")
    assert code == 2
    assert "must be a plain .npy array" in err


# --- rates and search -----------------------------------------------------------------------------------


def test_rates(capsys, tmp_path):
    rows = stored(tmp_path, "rows", example_rows())
    code, out, _ = ran(capsys, "rates", rows, "--epochs", 2, "--runs", 2000, "--out", tmp_path / "rates.png")
    assert code == 0
    assert "Kaczmarz, 6 rows in dimension 3" in out
    assert "6.883463e-02" in out
    assert "5.968253e-02" in out
    assert (tmp_path / "rates.png").read_bytes().startswith(b"\x89PNG")
    code, out, _ = ran(capsys, "rates", rows, "--step", 0.1, "--runs", 0, "--epochs", 1)
    assert code == 0
    assert "7.177233e-01" in out
    code, out, _ = ran(capsys, "rates", rows, "--step", 0.4, "--indefinite", "--runs", 0)
    assert code == 0


def test_what_rates_refuses(capsys, tmp_path):
    rows = stored(tmp_path, "rows", example_rows())
    many = stored(tmp_path, "many", torch.rand(21, 2))
    zero = stored(tmp_path, "zero", torch.zeros(2, 2))
    folder, link = tmp_path / "folder.png", tmp_path / "link.png"
    folder.mkdir()
    link.symlink_to(rows)
    for words, match in (
        ([rows, "--step", 0.4], "`--step` must be at most 1/|a_i|²"),
        ([rows, "--step", "nan"], "`--step` must be a positive finite number"),
        ([rows, "--epochs", 0], "`--epochs` must be an integer between 1 and 1000"),
        ([rows, "--runs", 1], "`--runs` must be an integer at least 2"),
        ([rows, "--out", folder], "cannot write"),
        ([rows, "--out", link], "it would replace the file"),
        ([many], "`number of ROWS` must be an integer between 1 and 20, got 21"),
        ([zero], "`ROWS` must have no row of zeros"),
    ):
        code, _, err = ran(capsys, "rates", *words)
        assert code == 2, words
        assert match in err


def test_search_stores_what_verify_accepts(capsys, tmp_path):
    pytest.importorskip("cvxpy")
    pytest.importorskip("clarabel")
    code, out, _ = ran(capsys, "search", 3, 3, "lower", "--out", tmp_path / "mine.json")
    assert code == 0
    assert "holds for all PSD matrices of every size" in out
    assert ran(capsys, "verify", tmp_path / "mine.json")[0] == 0
    code, out, _ = ran(capsys, "search", 3, 3, "upper", "--bound", "5")
    assert (code, "that decides nothing" in out) == (1, True)
    code, out, _ = ran(capsys, "search", 2, 2, "upper", "--denominator", "1", "--out", tmp_path / "coarse.json")
    assert code == int(not (tmp_path / "coarse.json").exists())


def test_what_search_refuses(capsys):
    for words, match in (
        (["3", "4", "upper"], "`m` must be an integer between 1 and 3, got 4"),
        (["3", "3", "upper", "--bound", "1/0"], '`--bound` must be a rational number "p/q"'),
        (["9", "8", "upper"], "7381 words, at most 100 are searched"),
    ):
        code, _, err = ran(capsys, "search", *words)
        assert code == 2
        assert match in err


# --- the map, and figures -------------------------------------------------------------------------------


@pytest.mark.exact
def test_the_map():
    found = pairs.pair_standings(12)
    of = {kind: {pair for pair, s in found.items() if s is kind} for kind in Standing}
    certified = {(3, 3), (4, 3), (4, 4), (5, 3), (5, 4), (6, 3), (6, 4), (6, 5)}
    blocks = {(q * n, k) for n, k in certified for q in range(1, 5) if q * n <= 12}
    assert of[Standing.TRUE] == blocks | {(n, k) for n in range(2, 13) for k in (1, 2)}
    false = {(n, n) for n in range(5, 13)} | {(7, 6), (8, 7), (9, 7), (9, 8), (10, 8), (10, 9)}
    assert {(n, k) for n, k in of[Standing.FALSE] if n <= 10} == {(n, k) for n, k in false if n <= 10}
    assert false <= of[Standing.FALSE]
    assert {(7, 3), (7, 4), (8, 5), (8, 6), (9, 4)} <= of[Standing.UNKNOWN]


@pytest.mark.exact
def test_eigenvalues_of_the_witnesses():
    assert str(pairs.de_sa_eigenvalue(pairs.largest_c(5), 5)) == "-19/16"
    assert str(pairs.de_sa_witness(5, 5)) == "1/2"
    assert pairs.de_sa_witness(5, 4) is None
    assert float(pairs.de_sa_eigenvalue(pairs.Fraction(157, 1000), 40)) == pytest.approx(1.625055, abs=5e-7)
    assert pairs.de_sa_witness(40, 40) is not None


def test_a_certificate_that_fails_is_not_on_the_map(tmp_path, monkeypatch):
    bad = tmp_path / "bad.json"
    bad.write_text(certificate_path("n4m4_upper").read_text().replace('"24"', '"23"'))
    good = pairs.certificate_path
    monkeypatch.setattr(pairs, "certificate_path", lambda name: bad if name == "n4m4_upper" else good(name))
    assert pairs.certified_halves()[4, 4] == {"lower"}
    assert pairs.pair_standings(8)[8, 4] is Standing.UNKNOWN
    assert pairs.pair_standings(8)[8, 3] is Standing.TRUE


@pytest.mark.parametrize("name", figures.FIGURES)
def test_figures_are_drawn(name):
    caption, draw = figures.FIGURES[name]
    figure = draw()
    assert caption
    assert all(axes.get_xlabel() and axes.get_ylabel() and axes.get_title(loc="left") for axes in figure.axes)


def test_the_eigenvalue_figure_shows_the_border():
    axes = figures.eigenvalue_figure(6).axes[0]
    ends = [float(line.get_ydata()[-1]) for line in axes.lines if len(line.get_ydata()) > 2]
    assert ends == pytest.approx([-8 / 9, -19 / 16, -1.408], abs=1e-4)
    assert [end < -1 for end in ends] == [False, True, True]
