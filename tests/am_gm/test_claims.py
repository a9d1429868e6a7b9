"""Claims of the arithmetic-geometric mean inequality: reference numbers, and undecided on broken objects."""

import json
import math
from fractions import Fraction

import pytest
import torch
from flint import fmpq_mat

from constructions.am_gm import certificate_path, de_sa_family, float_matrices, integer_counterexample
from theory.am_gm.checkers.reading import read_text
from theory.am_gm.reproductions import certificates, counterexamples, identities
from theory.claim import Context, Evidence, Status
from theory.systems import REGISTRY


def verdict(name, **options):
    return REGISTRY[f"am_gm.{name}"].verdict(Context(**options))


def undecided(name, *words):
    """The reason of a verdict that must decide nothing."""
    found = verdict(name)
    assert found.status is Status.INCONCLUSIVE
    assert found.evidence is Evidence.NONE
    for word in words:
        assert word in found.reason
    return found.reason


# --- what they say --------------------------------------------------------------------------------------


def test_statuses_and_evidence(verdict_of):
    expected = {
        "two_forms": (Status.PROVED, Evidence.SYMBOLIC),
        "pairs": (Status.PROVED, Evidence.SYMBOLIC),
        "three": (Status.PROVED, Evidence.EXACT),
        "four": (Status.PROVED, Evidence.EXACT),
        "certified_pairs": (Status.PROVED, Evidence.EXACT),
        "five": (Status.REFUTED, Evidence.EXACT),
        "from_five_on": (Status.REFUTED, Evidence.SYMBOLIC),
        "three_by_three": (Status.REFUTED, Evidence.EXACT),
        "five_constant": (Status.PROVED, Evidence.EXACT),
        "random_iid": (Status.PROVED, Evidence.SYMBOLIC),
        "mean_square": (Status.OPEN, Evidence.SAMPLED),
        "norms_inside": (Status.NOT_REFUTED, Evidence.SAMPLED),
        "least_squares": (Status.NOT_REFUTED, Evidence.SAMPLED),
        "mean_against_square": (Status.PROVED, Evidence.EXACT),
    }
    assert expected.keys() == {c.id.partition(".")[2] for c in REGISTRY.values() if c.system == "am_gm"}
    for name, outcome in expected.items():
        found = verdict_of(f"am_gm.{name}")
        assert (found.status, found.evidence) == outcome, found.reason
        assert REGISTRY[f"am_gm.{name}"].expected is found.status


def test_reference_numbers_of_the_certificates(verdict_of):
    for name, files, words in (("three", 4, 160), ("four", 6, 3070), ("certified_pairs", 10, 45966)):
        found = verdict_of(f"am_gm.{name}")
        assert (found.numbers["files"], found.numbers["words"]) == (files, words)
        table = found.tables["certificates"]
        for n, m, side, bound in zip(*(table.column(c) for c in ("n", "m", "side", "bound")), strict=True):
            assert side in ("upper", "lower")
            assert int(bound) == math.perm(n, m)
    ranks = [row[6:8] for row in verdict_of("am_gm.four").tables["certificates"].rows]
    assert ranks == [("5", "4"), ("5", "5"), ("5", "4"), ("5", "5"), ("21", "20"), ("21", "21")]
    constant = verdict_of("am_gm.five_constant").numbers
    assert (constant["least"], constant["most"]) == ("285/2", "7233/50")


def test_reference_numbers_of_the_counterexamples(verdict_of):
    five = verdict_of("am_gm.five")
    assert (five.numbers["eigenvalue"], five.numbers["other_eigenvalue"]) == ("-19/16", "29/64")
    assert "-19/16" in five.witness
    table = verdict_of("am_gm.from_five_on").tables["eigenvalues"]
    found = {row[:2]: row[3] for row in table.rows}
    assert found[7, 6] == "-15939/15625"
    assert found[8, 8] == "-27358559/16777216"
    assert set(found) == {(n, n) for n in range(5, 11)} | {(7, 6), (8, 7), (9, 7), (9, 8), (10, 8), (10, 9)}
    assert all(value < -1 for value in table.column("eigenvalue"))
    small = verdict_of("am_gm.three_by_three")
    assert small.numbers["ratio_at_least"] == 1.0109474584
    assert "-1230362690986280286102156211675520" in small.witness


def test_reference_numbers_of_means(verdict_of):
    blocks = verdict_of("am_gm.two_forms").tables["blocks"]
    assert blocks.rows == ((6, 3, 90, 120, 6), (8, 4, 2520, 1680, 24))
    means = {row[:2]: row[2:] for row in verdict_of("am_gm.random_iid").tables["exact_means"].rows}
    assert means["wishart", 2] == ("1", "(d + n + 1)/n")
    norms = verdict_of("am_gm.norms_inside").numbers
    assert (norms["de_sa_distinct"], norms["de_sa_all"]) == pytest.approx((2.724, 4.779), abs=1e-3)
    table = verdict_of("am_gm.least_squares").tables["mean_squares"]
    first = {row[:2]: row[3] for row in table.rows if row[2] == 1}
    assert first["kaczmarz", False] == "371707/5400000"
    assert first["sgd", True] == "45841141067624251/46656000000000000"
    both = verdict_of("am_gm.mean_against_square")
    assert both.numbers["nested_ratio"] == pytest.approx(0.289148, abs=1e-6)
    for _, mean_without, mean_with, square_without, square_with in both.tables["from_ones"].rows:
        assert mean_without > mean_with
        assert square_without < square_with


def test_the_open_question_is_not_called_anything_else(verdict_of):
    found = verdict_of("am_gm.mean_square")
    assert "neither proved nor refuted" in found.reason
    assert 0.9 < found.numbers["largest_ratio"] <= 1 + 1e-9


def test_the_full_budget_counts_more():
    found = verdict("two_forms", budget="full").tables["blocks"]
    assert found.rows[-1] == (10, 5, 113400, 30240, 120)
    assert verdict("from_five_on", budget="full").numbers["largest_n_by_subsets"] == 10
    assert verdict("pairs", budget="full").numbers["largest_n_in_letters"] == 9
    assert verdict("four", budget="full").numbers["evaluations"] == 120


def test_same_seed_same_samples():
    assert verdict("least_squares", seed=3).tables == verdict("least_squares", seed=3).tables
    assert verdict("least_squares", seed=3).tables != verdict("least_squares", seed=4).tables


# --- by hand --------------------------------------------------------------------------------------------


def test_a_wrong_weight_of_blocks(monkeypatch):
    honest = identities.block_weight
    monkeypatch.setattr(identities, "block_weight", lambda q, n, k: honest(q, n, k) + 1)
    undecided("two_forms", "q = 2, n = 3: weights [6]")


def test_a_wrong_mean_tells_the_forms_apart(monkeypatch):
    honest = identities.expected_product_exact
    calls = []

    def every_other(A, k=None, **options):
        calls.append(k)
        M = honest(A, k, **options)
        return M * 3 if len(calls) % 2 else M

    monkeypatch.setattr(identities, "expected_product_exact", every_other)
    undecided("two_forms", "the two forms differ")


def test_repetition_is_noticed(monkeypatch):
    honest = identities.expected_product_exact
    monkeypatch.setattr(identities, "expected_product_exact", lambda A, k: honest(A, k, replacement=True))
    undecided("two_forms", "one outcome occurs only")


@pytest.mark.parametrize(
    ("name", "words"), [("_upper_side", "n = 2: the identity of the upper half"), ("_lower_side", "lower")]
)
def test_a_wrong_identity(monkeypatch, name, words):
    honest = getattr(identities, name)
    monkeypatch.setattr(identities, name, lambda n: honest(n) | {(0, 0): Fraction(1, 1000)})
    undecided("pairs", words)


def test_a_pair_too_few(monkeypatch):
    honest = identities._distinct_pairs
    monkeypatch.setattr(identities, "_distinct_pairs", lambda n: {p: v for p, v in honest(n).items() if p != (1, 0)})
    undecided("pairs", "n = 2")


# --- certificates ---------------------------------------------------------------------------------------


@pytest.fixture
def tampered(monkeypatch, tmp_path):
    """(name, change) -> the reproductions read the shipped file `name` with its JSON changed by `change`."""

    def replace(name, change):
        data = json.loads(certificate_path(name).read_text(encoding="utf-8"))
        change(data)
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(data), encoding="utf-8")
        monkeypatch.setattr(certificates, "certificate_path", lambda n: path if n == name else certificate_path(n))

    return replace


def shifted(name, row, by):
    def change(data):
        data[name][row][2] = str(Fraction(data[name][row][2]) + by)

    return change


USES = [
    ("three", "n3m3_upper"),
    ("three", "n3m2_lower"),
    ("four", "n4m4_upper"),
    ("four", "n4m3_lower"),
    ("four", "n4m2_upper"),
    ("certified_pairs", "n5m4_lower"),
    ("certified_pairs", "n6m5_upper"),
    ("five_constant", "n5m5_upper"),
    ("five_constant", "n5m5_lower_weak"),
]


@pytest.mark.parametrize(("name", "file"), USES)
def test_one_entry_changed_by_a_billionth(tampered, name, file):
    tampered(file, shifted("G", 1, Fraction(1, 10**9)))
    undecided(name, f"{file}: the identity fails at")


@pytest.mark.parametrize(("name", "file"), USES)
def test_a_half_in_the_place_of_the_other(monkeypatch, name, file):
    """Each is a valid certificate, of something else."""
    monkeypatch.setattr(certificates, "certificate_path", lambda n: certificate_path("n2m2_upper" if n == file else n))
    undecided(name, f"{file} speaks of (2, 2, 'upper')")


@pytest.mark.parametrize(("name", "file", "bound"), [("three", "n3m3_upper", 6), ("four", "n4m4_lower", 24)])
def test_a_larger_bound_is_no_half(tampered, name, file, bound):
    """bound + 1 with 1/n more in H at the empty word: a true theorem that is too weak."""

    def change(data):
        data["bound"] = str(bound + 1)
        shifted("H", 0, Fraction(1, data["n"]))(data)
        # n·H is in the constant, and −ΣH·x_k has to be made good by G at the empty word
        shifted("G", 0, Fraction(1, data["n"]))(data)

    tampered(file, change)
    undecided(name, f"{file}: its bound {bound + 1} is above {bound}")


def test_a_weak_half_is_no_half(monkeypatch):
    file = {"n5m4_lower": "n5m5_lower_weak"}
    monkeypatch.setattr(certificates, "certificate_path", lambda n: certificate_path(file.get(n, n)))
    undecided("certified_pairs", "n5m4_lower speaks of (5, 5, 'lower')")


def test_the_identity_at_matrices_sees_single_entries():
    """The second truth by itself: one number of H or G, or the bound, off by one in the common denominator."""
    for name in ("n2m2_upper", "n3m3_lower", "n4m4_upper"):
        data = certificate_path(name).read_bytes()
        assert certificates._identity_at_matrices(read_text(data), 2, 0).holds
        for part in ("h", "g"):
            numbers = read_text(data)
            getattr(numbers, part)[1][2] += 1
            assert "differ" in certificates._identity_at_matrices(numbers, 1, 0).failure
        fields = json.loads(data)
        fields["bound"] = str(Fraction(fields["bound"]) - 1)
        assert not certificates._identity_at_matrices(read_text(json.dumps(fields).encode()), 1, 0).holds


def test_other_matrices_give_another_constant(monkeypatch):
    monkeypatch.setattr(certificates, "de_sa_family", lambda n, c, exact: de_sa_family(n, Fraction(2, 5), exact=exact))
    undecided("five_constant", "not 142.5")
    monkeypatch.setattr(
        certificates, "de_sa_family", lambda n, c, exact: [M * 2 for M in de_sa_family(n, c, exact=exact)]
    )
    undecided("five_constant", "De Sa's sum exceeds 5·I")


# --- counterexamples ------------------------------------------------------------------------------------


def flipped(n, c=None, *, exact=True):
    """The sign of y_0 the other way round: positive semidefinite still, but the mean is not I."""
    first, *others = de_sa_family(n, c, exact=True)
    return [fmpq_mat(n, n, [int(i == j) for i in range(n) for j in range(n)]) * 2 - first, *others]


def indefinite(n, c=None, *, exact=True):
    """c² = 1/2 > 1/(n − 1) without a root: y_k twice as long."""
    unit = fmpq_mat(n, n, [int(i == j) for i in range(n) for j in range(n)])
    return [M * 2 - unit for M in de_sa_family(n, c, exact=True)]


@pytest.mark.parametrize("name", ["five", "from_five_on"])
def test_matrices_that_are_no_witness(monkeypatch, name):
    monkeypatch.setattr(counterexamples, "de_sa_family", flipped)
    undecided(name, "n = 5: the mean is not I")
    monkeypatch.setattr(counterexamples, "de_sa_family", indefinite)
    undecided(name, "n = 5, c = 1/2: matrix 0 is not positive semidefinite")


def test_a_constant_that_is_too_small_or_too_large(monkeypatch):
    monkeypatch.setitem(counterexamples.CONSTANTS, 6, Fraction(1, 4))
    undecided("from_five_on", "n = 6, k = 6: the eigenvalue is")
    monkeypatch.setitem(counterexamples.CONSTANTS, 6, Fraction(1, 2))
    undecided("from_five_on", "n = 6: c = 1/2 is not admissible")


def test_a_closed_form_that_the_products_do_not_have(monkeypatch):
    honest = counterexamples.de_sa_mean
    monkeypatch.setattr(counterexamples, "de_sa_mean", lambda n, c, m: honest(n, c, m)._replace(complement=Fraction(0)))
    undecided("five", "eigenvalues -19/16, 29/64")
    undecided("from_five_on", "by subsets", "by the closed form")


@pytest.mark.parametrize("step", ["_steps_turn", "_tangents_are_admissible", "_tangents_give_secants"])
def test_every_step_for_large_n_is_needed(monkeypatch, step):
    assert getattr(counterexamples, step)()
    monkeypatch.setattr(counterexamples, step, lambda: False)
    undecided("from_five_on")


def test_the_upper_half_at_forty(monkeypatch):
    monkeypatch.setattr(counterexamples, "UPPER_C", Fraction(161, 1000))
    undecided("from_five_on", "n = 40: c = 161/1000 is not admissible")
    monkeypatch.setattr(counterexamples, "UPPER_C", Fraction(1, 100))
    undecided("from_five_on", "n = 40: the eigenvalue is", "not above 1")


@pytest.mark.parametrize("norm", [Fraction(199615), Fraction(199615061, 1000)])
def test_a_norm_that_the_sum_exceeds(monkeypatch, norm):
    monkeypatch.setattr(counterexamples, "NORM_OF_SUM", norm)
    undecided("three_by_three", "the mean: bound - M is not positive semidefinite")


def test_a_ratio_that_is_not_reached(monkeypatch):
    monkeypatch.setattr(counterexamples, "RATIO", Fraction(10110, 10000))
    undecided("three_by_three", "the direction v: |v'Mv|/v'v is about")


def test_another_integer(monkeypatch):
    """Each of the integers is needed: all five matrices are nearly singular, and the norm of the sum is a tight one."""
    first, *others = integer_counterexample()
    monkeypatch.setattr(counterexamples, "integer_counterexample", lambda: [first, *others])
    first[0, 0] -= 1
    undecided("three_by_three", "matrix 0 is not positive semidefinite")
    first[0, 0] += 2
    undecided("three_by_three", "the mean: bound - M is not positive semidefinite")
    first[0, 0] -= 1
    monkeypatch.setattr(counterexamples, "TOTAL", counterexamples.TOTAL + 1)
    undecided("three_by_three", f"v'(sum of the 120 products)v is {counterexamples.TOTAL - 1}")
    monkeypatch.setattr(counterexamples, "integer_counterexample", lambda: others)
    undecided("three_by_three", "there are not five matrices")


def test_subsets_that_miss_a_product(monkeypatch):
    honest = counterexamples.expected_product_exact
    monkeypatch.setattr(counterexamples, "expected_product_exact", lambda A, k=None: honest(A[:-1] + A[:1], k))
    for name in ("five", "three_by_three"):
        assert verdict(name).status is Status.INCONCLUSIVE


def test_the_five_matrices_in_floating_point():
    """No part of the exact chain: eigenvalues by LAPACK and the 120 products of float64 matrices."""
    import itertools

    A = float_matrices(integer_counterexample())
    products = [torch.linalg.multi_dot([A[i] for i in order]) for order in itertools.permutations(range(5))]
    mean = torch.stack(products).mean(0)
    ratio = torch.linalg.matrix_norm((mean + mean.T) / 2, ord=2) / torch.linalg.matrix_norm(A.mean(0), ord=2) ** 5
    assert 1.01094 < float(ratio) < 1.01096
