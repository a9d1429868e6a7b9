"""Claims of bit extraction: expected statuses, reference numbers, and undecided on broken objects."""

import pytest

from theory.bit_extraction.reproductions import networks as claims
from theory.bit_extraction.reproductions import rates
from theory.claim import Context, Status, Undecided
from theory.systems import REGISTRY


def test_reference_numbers(verdict_of):
    counts = verdict_of("bit_extraction.parameters").numbers
    assert counts["networks"] >= 200
    closed = verdict_of("bit_extraction.parameters").tables["examples"].rows
    assert closed == ((1, 1, 3, 4, "deep", 894), (2, 1, 3, 5, "deep", 10729), (2, 1, 3, 5, "wide", 10571))
    exact = verdict_of("bit_extraction.exact_realisation").numbers
    assert exact["points_a_network"] >= 40
    words = verdict_of("bit_extraction.word_length").tables["words"].rows
    assert words == (
        ("float64", "deep", 51, 52),
        ("float64", "wide", 52, 53),
        ("float32", "deep", 22, 23),
        ("float32", "wide", 23, 24),
    )
    rate = verdict_of("bit_extraction.rate").tables["float64_networks"]
    assert rate.columns == ("n", "network", "inverse_eps", "P")
    assert {(1, "wide", 10**6, 65086), (1, "deep", 10**6, 434258)} <= set(rate.rows)


@pytest.mark.slow
def test_reference_numbers_of_the_errors(verdict_of):
    models = verdict_of("bit_extraction.uniform_error").tables["models"]
    assert {("cone", 1, 1e-4, 1, "wide"), ("cone", 2, 0.02, 2, "wide")} <= {row[:5] for row in models.rows}
    assert all(upper <= eps for eps, upper in zip(models.column("eps"), models.column("upper"), strict=True))
    error = verdict_of("bit_extraction.uniform_error").numbers
    assert error["sampled_pencils"] >= 200
    adversarial = verdict_of("bit_extraction.adversarial_error").numbers
    assert adversarial["networks"] >= 200
    assert 0.99 < adversarial["largest_error_over_guarantee"] <= 1 + 1e-9
    assert error["sampled_pencils_upper"] <= error["pencils_eps"] == 0.02


@pytest.mark.slow
def test_the_trade_off_lists_what_is_promised(verdict_of):
    built = verdict_of("bit_extraction.trade_off").tables["built"]
    for n in (2, 3):
        rows = [dict(zip(built.columns, row, strict=True)) for row in built.rows if row[:2] == (n, 1)]
        assert len({row["split"] for row in rows}) >= 4
        for row in rows:
            assert row["certified_error"] > 0
            assert row["scaled"] >= row["at_least"] > 0
    distance = verdict_of("bit_extraction.trade_off").tables["distance"]
    assert [row[:2] for row in distance.rows] == [(1, 65086), (4, 26082), (8, 18806), (16, 14102)]
    assert all(ratio >= 1 for name in distance.columns[-2:] for ratio in distance.column(name))

    cut = verdict_of("bit_extraction.trade_off").tables["cut"]
    lines = {row[2]: row for row in cut.rows if row[:2] == (1, 10**4)}
    assert {cells: row[4:6] for cells, row in lines.items()} == {1: (1, 8130), 4: (4, 5202), 16: (16, 3314)}
    assert all(0 < row[3] <= 1 / row[1] for row in cut.rows)


def test_cells_that_cost_something_else_are_noticed(monkeypatch):
    monkeypatch.setattr(rates, "CUT", [(1, 20, 3)])
    assert rates._certified_cuts(Context()).column("L") == (3,)
    honest = rates.counts.parameters_of_widths
    monkeypatch.setattr(rates.counts, "parameters_of_widths", lambda *sizes: honest(*sizes) + 1)
    for table in (lambda: rates._certified_cuts(Context()), rates._distance):
        with pytest.raises(Undecided, match=r"experts of \d+"):
            table()


def test_cells_that_are_not_certified_are_noticed(monkeypatch):
    monkeypatch.setattr(rates, "CUT", [(1, 20, 3)])
    honest = rates.built

    def shifted(*arguments, **options):
        model = honest(*arguments, **options)
        model.out_weight[1, :, -1] += 2
        return model

    monkeypatch.setattr(rates, "built", shifted)
    with pytest.raises(Undecided, match=r"n = 1, eps = 1/20, 3 cells an axis: .* > eps = 0\.05"):
        rates._certified_cuts(Context())


def test_wrong_counts_are_noticed(monkeypatch):
    honest = claims.counts.widths
    monkeypatch.setattr(claims.counts, "widths", lambda *sizes: [w + (i == 7) for i, w in enumerate(honest(*sizes))])
    assert REGISTRY["bit_extraction.parameters"].verdict(Context()).status is Status.INCONCLUSIVE


def test_wrong_values_are_noticed(monkeypatch):
    honest = claims.node_values

    def moved(model):
        values = honest(model)
        values.view(-1)[3] += 2 * model.plan.step
        return values

    monkeypatch.setattr(claims, "node_values", moved)
    verdict = REGISTRY["bit_extraction.exact_realisation"].verdict(Context())
    assert verdict.status is Status.INCONCLUSIVE
    assert "interpolant" in verdict.reason


def test_a_point_above_the_guarantee_is_noticed(monkeypatch):
    monkeypatch.setattr(claims.BitExtractionPlan, "error_bound", property(lambda plan: 0.9 * plan.step))
    verdict = REGISTRY["bit_extraction.adversarial_error"].verdict(Context())
    assert verdict.status is Status.INCONCLUSIVE
    assert "of the guarantee" in verdict.reason


def test_a_limit_of_words_that_is_wrong_is_noticed(monkeypatch):
    monkeypatch.setattr(claims, "word_cap", lambda lookup, dtype: 48)
    assert REGISTRY["bit_extraction.word_length"].verdict(Context()).status is Status.INCONCLUSIVE
