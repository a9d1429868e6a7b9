"""Reference numbers of the claims, from the verdicts themselves."""

import math

import pytest

from theory.claim import Context
from theory.lipschitz_expressiveness.checkers.lipsdp import available
from theory.lipschitz_expressiveness.reproductions import bits
from theory.systems import claims_of

NAME = "lipschitz_expressiveness"


def table(verdict, name):
    """Rows as dictionaries."""
    found = verdict.tables[name]
    return [dict(zip(found.columns, row, strict=True)) for row in found.rows]


def test_there_are_twenty():
    assert len(claims_of(NAME)) == 20


def test_numbers_of_gaussian_matrices(verdict_of):
    rows = {(row["m"], row["n"]): row for row in table(verdict_of(f"{NAME}.gaussian_norm"), "norms")}
    assert len(rows) == 6
    assert [round(rows[10, 40][k], 4) for k in ("lower", "upper")] == [6.9644, 9.4868]
    assert rows[10, 40]["mean"] == pytest.approx(8.894, abs=0.1)
    assert [round(rows[64, 64][k], 4) for k in ("lower", "upper")] == [11.2473, 16.0]
    assert rows[64, 64]["mean"] == pytest.approx(15.521, abs=0.08)
    assert [row[1] for row in verdict_of(f"{NAME}.trace_moments").tables["pairings"].rows] == [1, 3, 15]
    products = table(verdict_of(f"{NAME}.ginibre"), "products")
    assert [round(row["limit"], 3) for row in products] == [2.0, 2.598, 3.494, 4.805]
    for row, measured in zip(products, (1.984, 2.517, 3.344, 4.605), strict=True):
        assert row["N_256"] == pytest.approx(measured, rel=0.04)


def test_numbers_of_depth(verdict_of):
    rates = {row["bound"]: row["log_base"] for row in table(verdict_of(f"{NAME}.depth"), "rates")}
    assert {name: round(rate, 6) for name, rate in rates.items()} == {"linear": 1.031910, "ReLU": 0.673241}
    assert math.log(2 * 0.5 * math.sqrt(32)) == pytest.approx(1.732868, abs=1e-6)
    forms = table(verdict_of(f"{NAME}.upper_bound"), "closed_forms")
    assert [f"{row['product from above']:.6g}" for row in forms] == ["18", "576", "589824", "6.0398e+08"]
    thresholds = {row["N"]: row["grows_above"] for row in table(verdict_of(f"{NAME}.upper_bound"), "thresholds")}
    assert {N: round(value, 4) for N, value in thresholds.items()} == {8: 0.7426, 64: 0.7113, 256: 0.7081}
    powers = {row["bound"]: row["power_of_N"] for row in table(verdict_of(f"{NAME}.width"), "powers")}
    assert powers == {"linear": "(L - 1)/2", "ReLU": "(L - 1)/2", "product from above": "L/2"}


def test_numbers_of_networks_that_decay(verdict_of):
    verdict = verdict_of(f"{NAME}.depth_any_weights")
    assert round(verdict.numbers["base"], 5) == 0.70017
    M = {row["L"]: row["M"] for row in table(verdict, "bounds")}
    assert {L: f"{M[L]:.4g}" for L in (2, 5, 10)} == {2: "0.06983", 5: "0.02397", 10: "0.004034"}
    assert {L: f"{2 * M[L]:.4g}" for L in (2, 5, 10)} == {2: "0.1397", 5: "0.04794", 10: "0.008067"}
    for row in table(verdict, "sampled"):
        assert row["mean"] == pytest.approx({2: 0.1024, 5: 0.03298}[row["L"]], rel=0.06)


def test_numbers_of_one_point(verdict_of):
    rows = {(row["L"], row["moment"]): row for row in table(verdict_of(f"{NAME}.relu_point"), "moments")}
    digits = {key: f"{row['formula']:.6g}" for key, row in rows.items()}
    assert digits == {
        (4, "mean"): "10.3308",
        (4, "second moment"): "128",
        (10, "mean"): "586.733",
        (10, "second moment"): "524288",
    }
    assert rows[4, "mean"]["sampled"] == pytest.approx(10.335, rel=0.03)
    rates = {row["N"]: row["log_rate"] for row in table(verdict_of(f"{NAME}.he_threshold"), "rates")}
    assert (round(rates[8], 7), round(rates[64], 8)) == (-0.0844136, -0.00985828)
    assert 256 * rates[256] == pytest.approx(-5 / 8, abs=0.002)


def test_slopes_of_the_reference(verdict_of):
    rows = {(row["against"], row["quantity"]): row for row in table(verdict_of(f"{NAME}.slopes"), "slopes")}
    assert len(rows) == 6
    assert rows["depth", "E log prod|W|"]["slope"] == pytest.approx(1.685, abs=0.01)
    assert rows["depth", "log E|f(x)|"]["low"] == pytest.approx(0.673241, abs=1e-6)


def test_numbers_of_sharp_networks(verdict_of):
    depths = {row["depth"]: row for row in table(verdict_of(f"{NAME}.tent_map"), "depths")}
    assert {d: depths[d]["lipschitz"] for d in (1, 3, 6, 10)} == {1: 2, 3: 8, 6: 64, 10: 1024}
    products = {d: f"{depths[d]['product_of_norms']:.5g}" for d in (1, 3, 6, 10)}
    assert products == {1: "6.3246", 3: "252.98", 6: "64000", 10: "1.024e+08"}
    assert round(verdict_of(f"{NAME}.product_is_sharp_and_not").numbers["log2_product_at_least"], 3) == 1518.477


def test_numbers_of_small_networks(verdict_of):
    boxes = {row["network"]: round(row["upper"], 6) for row in table(verdict_of(f"{NAME}.exact_methods"), "boxes")}
    expected = {
        "2-8-3 (1)": 4.001566,
        "2-8-8-1 (2)": 2.239916,
        "2-6-6-1 (3)": 1.763361,
        "2-5-5-5-1 (4)": 3.924442,
    }
    assert {name: boxes[name] for name in expected} == expected
    plane = table(verdict_of(f"{NAME}.exact_methods"), "plane")
    assert (round(plane[0]["arrangement"], 6), plane[0]["cells"]) == (4.070856, 37)
    assert len(plane) == 2
    rows = table(verdict_of(f"{NAME}.sandwich"), "networks")
    assert [round(row["sampled"], 6) for row in rows[:4]] == [4.001566, 2.101330, 1.103828, 3.793471]
    assert [round(row["product"], 6) for row in rows[:4]] == [6.874297, 9.500693, 3.853663, 22.851254]
    if available():
        digits = (4.189217, 4.185208, 2.102393, 7.736574)
        assert [row["lipsdp"] for row in rows[:4]] == pytest.approx(digits, abs=2e-6)


def test_numbers_of_the_controller(verdict_of):
    numbers = verdict_of(f"{NAME}.controller").numbers
    digits = {
        "closed_loop": 0.95152602,
        "open_loop": 1.06218649,
        "small_gain_product": 1.39874889,
        "controller": 1.87515350,
        "controller_product": 3.75030699,
        "saturated_inside": 0.95152602,
        "saturated_outside": 1.06218649,
    }
    assert {name: round(numbers[name], 8) for name in digits} == digits
    assert round(numbers["largest_radius"], 9) == 0.391746566


def test_numbers_of_mixtures(verdict_of):
    rows = verdict_of(f"{NAME}.pencils").tables["models"].rows
    assert [row[:4] for row in rows] == [(1, 0.01, 51, 1), (2, 0.01, 71, 71), (3, 0.05, 18, 324)]
    assert [round(row[4], 8) for row in rows] == [1.0, 0.99999367, 0.99811144]
    assert [round(row[5], 4) for row in rows] == [15.9687, 14.8515, 6.5063]
    numbers = verdict_of(f"{NAME}.mixture").numbers
    assert numbers["jump"] > 0.06
    assert numbers["largest_sampled_excess"] <= 2 * numbers["certified_error"] <= 0.1


BITS = {  # (n, eps, look-up): layers, P, log2 of the product
    (1, 0.01, "deep"): (87, 2426, 394.3160),
    (1, 0.01, "wide"): (75, 2278, 278.7413),
    (1, 1e-4, "wide"): (181, 8130, 1524.4670),
    (2, 0.02, "wide"): (203, 17799, 826.6023),
    (2, 0.05, "deep"): (431, 21975, 3620.5819),
}


def _same_bits(rows):
    for row in rows:
        found = (row["layers"], row["P"], round(row["log2_product"], 4))
        assert found == BITS[row["n"], row["eps"], row["lookup"]]
        assert row["lipschitz"] == pytest.approx(math.sqrt(row["n"]) * (1 + 1e-9), rel=2e-15)


def test_numbers_of_bit_extraction(verdict_of):
    rows = table(verdict_of(f"{NAME}.bit_extraction"), "networks")
    assert len(rows) == 4
    _same_bits(rows)


@pytest.mark.slow
def test_the_deepest_row_of_bit_extraction(monkeypatch):
    monkeypatch.setattr(bits, "MODELS", bits.MORE_MODELS)
    rows = table(bits.bit_extraction(Context()), "networks")
    assert len(rows) == 1
    _same_bits(rows)
