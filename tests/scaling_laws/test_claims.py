"""Claims about the law and measured curves: their reference numbers, and not decided when something is broken."""

from dataclasses import replace

import pytest
import torch

from constructions.scaling_laws import curves as data
from constructions.scaling_laws.law import ScalingLaw
from theory.claim import Context, Evidence, Status, Undecided
from theory.scaling_laws.reproductions import curves, law
from theory.systems import REGISTRY, claims_of

CLAIMS = [c.id for c in claims_of("scaling_laws")]
EVIDENCE = {
    Status.PROVED: {Evidence.EXACT, Evidence.SYMBOLIC},
    Status.NOT_REFUTED: {Evidence.SAMPLED, Evidence.FITTED},
    Status.REFUTED: {Evidence.SYMBOLIC, Evidence.SAMPLED},
    Status.OPEN: {Evidence.SAMPLED},
    Status.INCONCLUSIVE: {Evidence.NONE},
}


def test_there_are_twenty_one_claims():
    assert len(CLAIMS) == 21


TRAINED = {f"scaling_laws.{name}" for name in ("trained_grid", "pruning", "realizable_error", "nyquist_against_relu")}


@pytest.mark.parametrize("key", sorted(set(CLAIMS) - TRAINED))
def test_evidence_has_its_rank(key, verdict_of):
    verdict = verdict_of(key)
    assert verdict.status is REGISTRY[key].expected, verdict.reason
    assert verdict.evidence in EVIDENCE[verdict.status]


def test_nyquist_claims_say_whose_definition_it_is():
    for claim in claims_of("scaling_laws"):
        if "nyquist" in claim.id:
            assert any("as defined here" in h for h in claim.hypotheses), claim.id


def test_fitted_claims_say_what_was_held_out_and_when():
    for key in CLAIMS:
        claim = REGISTRY[key]
        if claim.expected is Status.NOT_REFUTED and key.split(".")[1] in ("language_models", "trained_grid", "pruning"):
            assert any("before fitting" in h for h in claim.hypotheses), key


# --- reference numbers -------------------------------------------------------------------------------------------


def test_reference_numbers_of_language_models(verdict_of):
    verdict = verdict_of("scaling_laws.language_models")
    numbers, rows = verdict.numbers, verdict.tables["held out"].rows
    assert numbers["law: mean |delta|"] == pytest.approx(0.0350, abs=5e-5)
    assert (numbers["low"], numbers["high"]) == pytest.approx((0.0200, 0.0523), abs=5e-4)
    assert numbers["no envelope: mean |delta|"] == pytest.approx(0.0428, abs=5e-5)
    assert [row[4] for row in rows if row[0] == "c4_original"] == pytest.approx((-0.0221, -0.0105, -0.0792), abs=5e-5)
    assert all(row[4] < 0 for row in rows if row[1] > 6e9)  # the largest models are under-predicted


def test_reference_numbers_of_translation(verdict_of):
    rows = verdict_of("scaling_laws.translation").tables["held out"].rows
    assert [row[3] for row in rows] == pytest.approx((-0.0552, -0.0618, -0.0639, -0.0374, -0.0173), abs=5e-5)
    assert [row[4] for row in rows] == pytest.approx((0.0004, 0.0197, 0.0116, -0.0043, 0.0061), abs=5e-5)


def test_reference_numbers_of_the_worked_example(verdict_of):
    table = dict(verdict_of("scaling_laws.planning").tables["worked example"].rows)
    assert table["error at n=1024, m=64"] == pytest.approx(0.315516, abs=5e-7)
    assert table["n needed at m=64 for 0.1"] == pytest.approx(197447.9, abs=0.05)
    assert table["cheapest m for 0.1"] == pytest.approx(149.0613, abs=5e-5)
    assert verdict_of("scaling_laws.redundant_constant").numbers["rank"] == 3


def test_the_tables_of_others_are_whole():
    found = data.learning_curves()
    assert (len(found), len({c.unit for c in found}), sum(c.decreasing for c in found)) == (843, 53, 419)
    assert [(len(r.losses), int(r.held_out.sum())) for r in data.language_models()] == [(34, 3), (35, 3), (35, 3)]
    assert [int(c.held_out.sum()) for c in data.translation_curves()] == [1] * 5
    for curve in (*found, *data.translation_curves()):
        assert bool((curve.sizes.diff() > 0).all())
        assert float(curve.beyond[0].min()) > float(curve.fitted[0].max())


def test_decreasing_is_judged_by_the_fitted_anchors():
    """Held-out anchors that explode change nothing."""
    curve = next(c for c in data.learning_curves() if c.decreasing)
    spoiled = replace(curve, errors=torch.where(curve.held_out, 100.0, curve.errors))
    assert spoiled.decreasing
    assert not data.decreasing(torch.tensor([1.0, 0.99, 0.98]))
    assert not data.decreasing(torch.tensor([1.0, 0.5, 0.6, 0.4, 0.5]))
    assert data.decreasing(torch.tensor([1.0, 0.8, 0.6, 0.65, 0.5, 0.4]))
    with pytest.raises(ValueError, match="`errors` must be two positive numbers"):
        data.decreasing(torch.tensor([1.0, 0.0]))


# --- broken on purpose --------------------------------------------------------------------------------------------


def undecided(name: str, why: str) -> None:
    with pytest.raises(Undecided, match=why):
        getattr(curves if hasattr(curves, name) else law, name)(Context())


def test_shuffled_sizes_of_language_models_are_not_decided(monkeypatch):
    def shuffled():
        for runs in data.language_models():
            order = torch.randperm(len(runs.losses), generator=torch.Generator().manual_seed(3))
            yield replace(runs, losses=runs.losses[order])

    monkeypatch.setattr(curves, "runs_of_language_models", shuffled)
    undecided("language_models", "mean")


def test_leaked_runs_are_noticed(monkeypatch):
    whole = curves._fit
    monkeypatch.setattr(curves, "_fit", lambda runs, known, chance: whole(runs, torch.ones_like(known), chance))
    undecided("language_models", "what was fitted: the fit saw 34 points, 31 were to be fitted")


def test_leaked_points_of_the_same_number_are_noticed(monkeypatch):
    whole = curves._fit

    def swapped(runs, known, chance):
        other = known.clone()
        other[known.nonzero()[0]], other[(~known).nonzero()[0]] = False, True
        return whole(runs, other, chance)

    monkeypatch.setattr(curves, "_fit", swapped)
    undecided("language_models", "what was fitted: the residuals differ")


def test_a_law_without_its_constant_decides_no_learning_curves(monkeypatch):
    whole = curves._fitted
    monkeypatch.setattr(curves, "measured_curves", lambda: data.learning_curves()[::3])
    monkeypatch.setattr(
        curves,
        "_fitted",
        lambda c, context, constant=True, shuffle=None: whole(c, context, constant=False, shuffle=shuffle),
    )
    undecided("learning_curves", "without the constant the log ratio is")


def test_curves_of_shuffled_sizes_decide_nothing(monkeypatch):
    whole = curves._fitted
    monkeypatch.setattr(curves, "measured_curves", lambda: data.learning_curves()[::3])
    monkeypatch.setattr(curves, "_fitted", lambda c, context, constant=True, shuffle=None: whole(c, context, shuffle=1))
    undecided("learning_curves", "with sizes shuffled|without the constant")


def test_a_last_value_that_is_spoiled_refutes_nothing(monkeypatch):
    """Were the law the better rule, the sentence would not be refuted."""

    def steep():
        for curve in data.learning_curves()[::3]:
            law_ = 2 * curve.sizes**-0.5 + 0.01
            yield replace(curve, errors=law_)

    monkeypatch.setattr(curves, "measured_curves", lambda: list(steep()))
    undecided("better_than_last_value", "law to last value, is -")


def test_an_inverted_flag_of_held_out_points_is_noticed(monkeypatch):
    inverted = [replace(c, held_out=~c.held_out) for c in data.translation_curves()]
    monkeypatch.setattr(curves, "translation_curves", lambda: inverted)
    with pytest.raises((Undecided, ValueError)):
        curves.translation(Context())


def test_intervals_without_width_cover_nothing(monkeypatch):
    whole = curves.fit_scaling_law

    def certain(*args, **options):
        fit = whole(*args, **options)
        return replace(fit, draws=fit.draws[:1].expand(2, -1), residuals=fit.residuals * 0)

    monkeypatch.setattr(curves, "fit_scaling_law", certain)
    undecided("recovery", "of 20 intervals hold the truth")


@pytest.mark.parametrize(
    ("method", "broken", "why"),
    [
        ("__call__", lambda self, sizes: self.u(sizes) / (1 + self.u(sizes)), "error at n=64"),
        (
            "cheapest",
            lambda self, target: ScalingLaw((4.0, 8.0), (1.0, 0.5), 0.02, chance=1.0).needed(0, target, {1: 9.0}),
            "",
        ),
        ("needed", lambda self, axis, target, others=None: 1.0, "n needed"),
    ],
)
def test_a_broken_law_is_not_planned_with(monkeypatch, method, broken, why):
    monkeypatch.setattr(law.ScalingLaw, method, broken)
    with pytest.raises((Undecided, TypeError), match=why):
        law.planning(Context())


def test_exponents_swapped_in_the_cheapest_split_are_noticed(monkeypatch):
    whole = ScalingLaw.cheapest
    turned = lambda self, target: whole(replace(self, exponents=self.exponents[::-1]), target)  # noqa: E731
    monkeypatch.setattr(law.ScalingLaw, "cheapest", turned)
    undecided("planning", "cheapest n")


def test_a_needed_size_that_forgets_the_floor_is_noticed(monkeypatch):
    whole = ScalingLaw.needed
    without = lambda self, axis, target, others=None: whole(replace(self, constant=0.0), axis, target, others)  # noqa: E731
    monkeypatch.setattr(law.ScalingLaw, "needed", without)
    undecided("planning", "n needed at m=64")
