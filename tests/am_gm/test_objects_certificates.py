"""Certificates as objects: their terms, their files, and the search for them."""

import math
import sys
from fractions import Fraction

import pytest
import torch

from constructions.am_gm import (
    Certificate,
    certificate_path,
    expected_product,
    random_matrices,
    search_certificate,
    shipped_certificates,
)
from constructions.errors import BudgetExceeded, StoreError


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("name", ["n2m2_upper", "n3m3_lower", "n4m3_upper", "n4m4_upper", "n4m4_lower", "n5m5_upper"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_the_terms_are_positive_and_add_up(name, dtype):
    c = Certificate.load(name)
    G = torch.randn(20, c.n, 4, 2, generator=seeded(), dtype=dtype)
    A = G @ G.mH
    A = c.n * A / torch.linalg.eigvalsh(A.sum(1))[:, -1][:, None, None, None]
    terms, sign = c.terms(A), {"upper": 1, "lower": -1}[c.side]
    assert terms.shape == (20, c.n + 1, 4, 4)
    f = math.perm(c.n, c.m) * expected_product(A, c.m)
    whole = float(c.bound) * torch.eye(4, dtype=dtype) - sign * f
    assert torch.allclose(terms.sum(1), whole, atol=1e-11 * math.perm(c.n, c.m))
    assert float(torch.linalg.eigvalsh((terms + terms.mH) / 2).min()) > -1e-11


def test_the_terms_refuse_other_numbers_of_matrices():
    A = random_matrices("wishart", 3, 2, generator=seeded())
    with pytest.raises(ValueError, match="`A` must have 4 matrices, got shape"):
        Certificate.load("n4m4_upper").terms(A)


def test_certificates_load_by_name_and_path(tmp_path):
    assert len(shipped_certificates()) == 28
    shipped = Certificate.load("n5m5_lower_weak")
    assert (shipped.n, shipped.m, shipped.side, shipped.bound) == (5, 5, "lower", Fraction(7233, 50))
    (tmp_path / "copy.json").write_text(shipped.to_json())
    assert Certificate.load(tmp_path / "copy.json") == shipped
    (tmp_path / "bad.json").write_text(shipped.to_json().replace("7233/50", "7233/0"))
    with pytest.raises(StoreError, match="is no certificate of the format momlp-amgm-sos"):
        Certificate.load(tmp_path / "bad.json")
    with pytest.raises(OSError, match="cannot read"):
        Certificate.load("n7m7_upper")
    for name in shipped_certificates():
        text = certificate_path(name).read_text()
        assert Certificate.load(name).to_json().split() == text.split()


def test_the_eigenvalues_of_a_certificate_prove_nothing():
    """The least eigenvalue of G is 0 exactly, and some rounding in floats: why the verifier uses integers."""
    _, G = Certificate.load("n4m4_upper").matrices()
    assert torch.allclose(G.sum(1), torch.zeros(21, dtype=torch.float64), atol=1e-13)
    assert abs(float(torch.linalg.eigvalsh(G)[0])) < 1e-13


@pytest.mark.parametrize(("n", "m", "side"), [(2, 2, "upper"), (3, 3, "lower"), (4, 4, "upper")])
def test_the_search_makes_certificates(n, m, side):
    pytest.importorskip("cvxpy")
    pytest.importorskip("clarabel")
    lines = []
    found = search_certificate(n, m, side, log=lines.append)
    assert found is not None
    assert any("optimal" in line for line in lines)
    H, G = found.matrices()
    assert float(torch.linalg.eigvalsh(H)[0]) > 1e-4
    assert float(torch.linalg.eigvalsh(G)[1 if side == "upper" else 0]) > 1e-4


def test_the_search_finds_none_where_there_is_none():
    pytest.importorskip("cvxpy")
    pytest.importorskip("clarabel")
    assert search_certificate(3, 3, "upper", 5) is None
    assert search_certificate(5, 5, "lower") is None  # false: De Sa


def test_arguments_of_the_search():
    with pytest.raises(ValueError, match="`m` must be an integer between 1 and 3, got 4"):
        search_certificate(3, 4, "upper")
    with pytest.raises(ValueError, match="`side` must be one of upper, lower"):
        search_certificate(3, 3, "both")
    with pytest.raises(TypeError, match="`bound` must be an integer or a Fraction"):
        search_certificate(3, 3, "upper", 6.0)
    with pytest.raises(BudgetExceeded, match="matrices of 259 words, at most 100 are searched"):
        search_certificate(6, 6, "upper")


def test_without_the_extra_the_search_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "cvxpy", None)
    with pytest.raises(ImportError, match=r"pip install 'momlp\[sdp\]'"):
        search_certificate(2, 2, "upper")
