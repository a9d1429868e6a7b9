"""The law with one break: found again, better than the law where curves flatten, refused where nothing is told."""

import pytest
import torch

from constructions.scaling_laws.broken import BrokenLaw, fit_broken_law
from constructions.scaling_laws.curves import translation_curves
from constructions.scaling_laws.fit import fit_curves

SIZES = torch.logspace(2, 7, 24, dtype=torch.float64)[:, None]


@pytest.mark.parametrize("bend", [0.4, -0.2])
def test_exact_errors_give_the_law_back(bend):
    law = BrokenLaw(5.0, 0.3, bend, 3e4, 0.5, 0.01)
    found, residuals = fit_broken_law(SIZES, law(SIZES))
    assert float(residuals.abs().max()) < 1e-4
    assert torch.allclose(found(SIZES), law(SIZES), rtol=1e-4)


def test_slopes_far_from_the_break():
    law = BrokenLaw(5.0, 0.3, 0.4, 1e5, 0.3)
    for where, slope in ((1e-3, -0.3), (1e13, -0.7)):
        x = torch.tensor([[where], [where * 1.01]], dtype=torch.float64)
        ratio = (law(x)[1] / law(x)[0]).log() / torch.tensor(1.01, dtype=torch.float64).log()
        assert float(ratio) == pytest.approx(slope, abs=1e-3)


def test_without_a_bend_it_is_a_power_law_and_a_constant():
    law = BrokenLaw(5.0, 0.3, 0.0, 1e5, 0.3, 0.2)
    assert torch.allclose(law(SIZES), 5 * SIZES[:, 0] ** -0.3 + 0.2, rtol=1e-12)


def test_translation_curves_are_fitted_better_than_by_the_law():
    for curve in translation_curves():
        plain = fit_curves([curve.sizes], [curve.errors])[0]
        broken, residuals = fit_broken_law(curve.sizes[:, None], curve.errors)
        before = (plain(curve.sizes[:, None]) / curve.errors - 1).square().sum()
        assert float(residuals.square().sum()) < float(before)
        assert torch.equal(residuals, broken(curve.sizes[:, None]) / curve.errors - 1)


def test_what_is_refused():
    law = BrokenLaw(5.0, 0.3, 0.4, 3e4, 0.5)
    with pytest.raises(ValueError, match="`sizes` must have 8 different values or more for six constants, got 7"):
        fit_broken_law(SIZES[:14:2], law(SIZES[:14:2]))
    with pytest.raises(ValueError, match="one axis"):
        fit_broken_law(torch.cat([SIZES, SIZES.flip(0)], 1), law(SIZES))
    with pytest.raises(ValueError, match="`errors`"):
        fit_broken_law(SIZES, -law(SIZES))
    with pytest.raises(ValueError, match="`width` must be a positive"):
        BrokenLaw(1.0, 0.3, 0.1, 10.0, 0.0)
    with pytest.raises(ValueError, match="`bend`"):
        BrokenLaw(1.0, 0.3, float("nan"), 10.0, 1.0)
