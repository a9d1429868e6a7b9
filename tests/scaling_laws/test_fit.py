"""Fits against scipy, against planted laws and against themselves; intervals over groups; what a fit refuses."""

import csv
import math
import os

import numpy as np
import pytest
import torch
from scipy.optimize import least_squares

from constructions.scaling_laws import ScalingLaw, deviation_of, fit_curves, fit_scaling_law
from constructions.scaling_laws import fit as fitting
from constructions.scaling_laws.intervals import percentiles
from constructions.scaling_laws.points import Points
from constructions.scaling_laws.profile import starts
from constructions.scaling_laws.refine import HUBER, Bounds, Rows, refine
from constructions.scaling_laws.splits import largest, last_values, not_decreasing

LAW = ScalingLaw((8.0, 4.0), (0.5, 1.0), 0.02, chance=1.0)
GRID = torch.cartesian_prod(
    *(torch.tensor(v, dtype=torch.float64) for v in ((64, 128, 256, 512, 1024), (4, 8, 16, 32)))
)
PLANTED = [
    LAW,
    ScalingLaw((3.0, 50.0), (0.3, 0.8), 0.4),
    ScalingLaw((0.7, 2.0), (0.2, 1.5), 0.0, chance=2.0),
    ScalingLaw((400.0, 2000.0), (0.34, 0.36), 1.8),
]


def noisy(law, sizes, noise=0.02, seed=0):
    drawn = torch.randn(len(sizes), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return law(sizes) * torch.exp(noise * drawn)


def scipy_cost(sizes, errors, chance, start, loss="relative", constant=True):
    """The least of Σ(ε̂/ε − 1)², or of Huber's loss, that scipy finds: (A, α, …, C) by logarithms, its own residuals."""
    logs, e = sizes.log().numpy(), errors.numpy()
    middle = logs.mean(0)
    k = logs.shape[1]

    def residuals(x):
        u = np.exp(x[:k] - np.exp(x[k : 2 * k]) * (logs - middle)).sum(1) + (np.exp(x[2 * k]) if constant else 0)
        value = u if math.isinf(chance) else chance * u / np.sqrt(1 + u * u)
        return value / e - 1 if loss == "relative" else np.log(value) - np.log(e)

    rates = np.array(start.exponents)
    x = np.concatenate([np.log(start.coefficients) - rates * middle, np.log(rates)])
    if constant:
        x = np.append(x, math.log(max(start.constant, 1e-6)))
    robust = {} if loss == "relative" else {"loss": "huber", "f_scale": HUBER}
    ends = np.full_like(x, 60.0)
    low = -ends
    low[k : 2 * k], ends[k : 2 * k] = math.log(1e-3), math.log(6)  # the fit's bounds of exponents
    x = np.clip(x, low + 1e-9, ends - 1e-9)
    found = least_squares(
        residuals, x, bounds=(low, ends), xtol=1e-15, ftol=1e-15, gtol=1e-15, max_nfev=4000, x_scale="jac", **robust
    )
    return (2 if loss == "relative" else 1) * found.cost


@pytest.mark.parametrize("law", PLANTED)
def test_a_planted_law_is_found_to_six_digits(law):
    fit = fit_scaling_law(GRID, law(GRID), chance=law.chance, resamples=0)
    assert fit.loss < 1e-20
    assert fit.law.coefficients == pytest.approx(law.coefficients, rel=1e-6)
    assert fit.law.exponents == pytest.approx(law.exponents, rel=1e-6)
    assert fit.law.constant == pytest.approx(law.constant, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("constant", [True, False])
@pytest.mark.parametrize("law", PLANTED)
@pytest.mark.parametrize("seed", range(3))
def test_no_fit_of_scipy_is_better(law, constant, seed):
    errors = noisy(law, GRID, 0.03, seed).clamp(max=0.999 * law.chance)
    fit = fit_scaling_law(GRID, errors, chance=law.chance, constant=constant, resamples=0)
    own = float(((fit.law(GRID) / errors - 1) ** 2).sum())
    assert own == pytest.approx(fit.loss, rel=1e-9)
    for start in (law, fit.law):
        assert own <= scipy_cost(GRID, errors, law.chance, start, constant=constant) * (1 + 1e-9)


@pytest.mark.parametrize("law", PLANTED[:2])
def test_no_fit_of_scipy_is_better_by_hubers_loss(law):
    errors = noisy(law, GRID, 0.03).clamp(max=0.999 * law.chance)
    fit = fit_scaling_law(GRID, errors, chance=law.chance, loss="huber_log", resamples=0)
    size = (fit.law(GRID).log() - errors.log()).abs()
    own = float(torch.where(size <= HUBER, size**2 / 2, HUBER * (size - HUBER / 2)).sum())
    assert own == pytest.approx(fit.loss, rel=1e-9)
    for start in (law, fit.law):
        assert own <= scipy_cost(GRID, errors, law.chance, start, loss="huber_log") * (1 + 1e-6)


def test_refits_are_the_fits_of_the_data_that_were_drawn():
    """Each refit, started at the estimate and from counted rows, against a whole fit of the rows themselves."""
    errors = noisy(LAW, GRID)
    fit = fit_scaling_law(GRID, errors, chance=1.0, resamples=12, seed=3)
    drawn = torch.randint(20, (12, 20), generator=torch.Generator().manual_seed(3))
    for index, constants in zip(drawn, fit.draws, strict=True):
        sizes, values = GRID[index], errors[index]
        law = fitting.laws_of(constants[None], 1.0)[0]
        own = float(((law(sizes) / values - 1) ** 2).sum())
        assert own <= scipy_cost(sizes, values, 1.0, fit.law) * (1 + 1e-6)
        assert law != fit.law


def test_only_starting_values_depend_on_the_weights_of_the_grid(monkeypatch):
    errors = noisy(LAW, GRID)
    fit = fit_scaling_law(GRID, errors, chance=1.0, resamples=0)
    from constructions.scaling_laws import profile

    plain = profile.linearised
    monkeypatch.setattr(profile, "linearised", lambda rows: (plain(rows)[0], rows.weight * rows.target**2))
    other = fit_scaling_law(GRID, errors, chance=1.0, resamples=0)
    assert other.law.coefficients == pytest.approx(fit.law.coefficients, rel=1e-6)
    assert other.law.constant == pytest.approx(fit.law.constant, rel=1e-6)


def test_rows_of_equal_sizes_count_together():
    """Repeated measurements, aggregated by the fit, against scipy on all of them."""
    sizes = GRID.repeat(3, 1)
    errors = noisy(LAW, sizes, 0.05)
    fit = fit_scaling_law(sizes, errors, chance=1.0, resamples=0)
    assert fit.loss == pytest.approx(scipy_cost(sizes, errors, 1.0, LAW), rel=1e-9)
    assert len(fit.residuals) == 60


def test_units_do_not_matter():
    errors = noisy(PLANTED[1], GRID)
    fit = fit_scaling_law(GRID, errors, resamples=0)
    other = fit_scaling_law(GRID * 1e9, errors * 1e-7, resamples=0)
    assert other.loss == pytest.approx(fit.loss, rel=1e-9)
    assert other.law.exponents == pytest.approx(fit.law.exponents, rel=1e-6)
    assert other.law.constant == pytest.approx(fit.law.constant * 1e-7, rel=1e-6)


def test_curves_fitted_together_are_those_fitted_alone():
    sizes = [torch.tensor([2.0**k for k in range(4, last)], dtype=torch.float64) for last in (12, 15, 20)]
    errors = [noisy(ScalingLaw((3.0,), (0.4,), 0.1), s[:, None], seed=i) for i, s in enumerate(sizes)]
    for constant in (True, False):
        together = fit_curves(sizes, errors, constant=constant)
        for size, error, law in zip(sizes, errors, together, strict=True):
            alone = fit_scaling_law(size[:, None], error, constant=constant, resamples=0).law
            assert law.coefficients == pytest.approx(alone.coefficients, rel=1e-6)
            assert law.exponents == pytest.approx(alone.exponents, rel=1e-6)
            assert law.constant == pytest.approx(alone.constant, rel=1e-6)


def test_bounds_are_told():
    n = torch.tensor([[2.0**k] for k in range(4, 14)], dtype=torch.float64)
    fit = fit_scaling_law(n, 3 * n[:, 0] ** -0.4, resamples=0)
    assert fit.at_bounds == ("constant",)
    assert fit.law.constant == 0
    assert torch.isinf(fit.covariance[2]).all()
    assert torch.isfinite(fit.covariance[:2, :2]).all()
    steep = fit_scaling_law(n, 1e-3 + torch.exp(-n[:, 0] / 16), resamples=0, axes=("n",))
    assert "exponent of n".replace(" of", "") in steep.at_bounds or steep.law.exponents[0] < 6


def test_the_covariance_is_that_of_many_draws():
    sizes = GRID.repeat(20, 1)
    fits = [fit_scaling_law(sizes, noisy(LAW, sizes, 0.02, seed), chance=1.0, resamples=0) for seed in range(60)]
    found = torch.tensor([[v for p in zip(f.law.coefficients, f.law.exponents, strict=True) for v in p] for f in fits])
    ratio = found.std(0) / torch.stack([f.covariance for f in fits]).mean(0).diagonal()[:4].sqrt()
    assert bool(((ratio > 0.7) & (ratio < 1.4)).all()), ratio


def test_intervals_draw_groups_and_not_rows():
    """Curves that differ as wholes: rows drawn one by one would hide it."""
    sizes = GRID.repeat(8, 1)
    level = torch.exp(0.2 * torch.randn(8, generator=torch.Generator().manual_seed(1), dtype=torch.float64))
    errors = noisy(ScalingLaw((3.0, 4.0), (0.4, 0.9), 0.1), sizes, 0.01) * level.repeat_interleave(20)
    group = torch.arange(8).repeat_interleave(20)
    at = torch.tensor([[256.0, 16.0]], dtype=torch.float64)

    def width(groups):
        low, high = fit_scaling_law(sizes, errors, groups=groups, seed=1).law_interval(at)
        return float(high - low)

    assert width(group) > 1.5 * width(None)
    names = [f"run {g}" for g in group.tolist()]
    assert width(names) == width(group)
    one = fit_scaling_law(sizes, errors, groups=["a"] * 160)
    with pytest.raises(ValueError, match="`groups` must name two groups or more for intervals"):
        one.predict(at)


def test_predictions_of_a_measurement_are_wider_than_the_law():
    fit = fit_scaling_law(GRID, noisy(LAW, GRID), chance=1.0)
    at = torch.tensor([[2048.0, 64.0], [8192.0, 256.0]], dtype=torch.float64)
    value, low, high = fit.predict(at)
    inner = fit.law_interval(at)
    assert torch.equal(value, fit.law(at))
    assert bool((low < value).all())
    assert bool((value < high).all())
    assert bool((high - low > inner[1] - inner[0]).all())
    narrow = fit.predict(at, level=0.5)
    assert bool((narrow[2] - narrow[1] < high - low).all())


def test_a_needed_size_may_have_no_upper_end():
    fit = fit_scaling_law(GRID, noisy(LAW, GRID), chance=1.0)
    low, high = fit.needed(0, 0.05, {1: 1e6})
    assert low < high == math.inf
    assert fit.floor()[0] <= fit.law.floor <= fit.floor()[1]


def test_percentiles_go_outwards():
    low, high = percentiles(torch.arange(200, dtype=torch.float64), 0.95)
    assert (float(low), float(high)) == (4.0, 195.0)


def test_the_mean_and_not_the_median_is_quoted():
    found = deviation_of(torch.tensor([0.0, 0.0, 0.0, 0.4], dtype=torch.float64))
    assert (found.points, found.mean, found.mean_abs) == (4, 0.1, 0.1)
    assert found.low < 0.1 < found.high
    assert str(found).startswith("4 points, mean +10.0 %, mean|δ| 10.0 % [")


def test_deviations_of_one_group_are_not_independent():
    delta = torch.tensor([0.1] * 50 + [0.2] * 50, dtype=torch.float64) + torch.linspace(0, 1e-3, 100)
    alone, grouped = deviation_of(delta), deviation_of(delta, torch.arange(100) // 50)
    assert grouped.high - grouped.low > 3 * (alone.high - alone.low)
    many = torch.randn(5000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = deviation_of(many)
    assert found.low < found.mean_abs < found.high


def test_held_out_points_are_not_fitted():
    errors = noisy(LAW, GRID)
    far = GRID[:, 0] > 512
    changed = torch.where(far, errors * 1.3, errors).clamp(max=0.99)
    fits = [fit_scaling_law(GRID, e, chance=1.0, held_out=far, resamples=0) for e in (errors, changed)]
    assert fits[0].law == fits[1].law
    assert len(fits[0].residuals) == int((~far).sum())
    assert fits[0].held_out is not None
    assert fits[1].held_out is not None
    assert fits[0].held_out.points == int(far.sum())
    assert fits[1].held_out.mean < fits[0].held_out.mean - 0.1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"errors": lambda e: torch.where(e == e.max(), 1.0, e)},
            "`errors` must be positive and below chance = 1, got 1",
        ),
        ({"errors": lambda e: torch.where(e == e.max(), math.nan, e)}, "`errors` must be .*, got nan at point 0"),
        ({"errors": lambda e: e[:-1]}, r"`errors` must have shape \(20,\) like `sizes`, got \(19,\)"),
        (
            {"sizes": lambda s: torch.stack([s[:, 0] * 0 + 5, s.prod(1)], 1)},
            "axis 0 has 1 distinct value; its exponent cannot be fitted",
        ),
        ({"sizes": lambda s: s.clamp(min=16)}, "axis 1 has 2 distinct values; its exponent cannot be fitted"),
        ({"sizes": lambda s: s**0.2}, "axis 0 spans a factor of 1.74; its exponent cannot be fitted with less than 4"),
        ({"sizes": lambda s: s * math.inf}, "`sizes` must be finite"),
        ({"chance": lambda _: -1.0}, "`chance` must be a positive number, or inf when it is not known, got -1.0"),
        ({"loss": lambda _: "huber"}, "`loss` must be one of relative, huber_log, got 'huber'"),
        ({"groups": lambda _: ["a"]}, "`groups` must have one entry a point, 20, got"),
        ({"resamples": lambda _: -1}, "`resamples` must be an integer between 0 and 100000, got -1"),
        ({"held_out": lambda _: torch.ones(20, dtype=torch.bool)}, "`held_out` must leave points to fit, got all 20"),
        (
            {"held_out": lambda _: torch.ones(20)},
            r"`held_out` must be bool of shape \(20,\), got torch.float32 \(20,\)",
        ),
    ],
)
def test_what_a_fit_refuses(change, words):
    given = {"sizes": GRID, "errors": LAW(GRID), "chance": 1.0, "resamples": 0}
    for name, do in change.items():
        given[name] = do(given.get(name))
    with pytest.raises(ValueError, match=words):
        fit_scaling_law(**given)


def test_a_leaked_point_is_refused():
    sizes, far = torch.cat([GRID, GRID[-1:]]), torch.zeros(21, dtype=torch.bool)
    far[-1] = True
    with pytest.raises(ValueError, match=r"`held_out` must not have .* fitted too, got \[1024.0, 32.0\] in both"):
        fit_scaling_law(sizes, LAW(sizes), chance=1.0, held_out=far)


def test_few_points_are_refused():
    few = torch.tensor([[1.0], [2.0], [4.0]], dtype=torch.float64)
    with pytest.raises(ValueError, match="`sizes` must have at least 4 different points to fit 3 constants, got 3"):
        fit_scaling_law(few, few[:, 0] ** -1)


def test_starts_are_those_of_a_plain_search():
    """The block of normal equations against one nonnegative least-squares problem a pair of exponents."""
    from scipy.optimize import nnls

    errors = noisy(PLANTED[1], GRID)
    logs = GRID.log() - GRID.log().mean(0)
    rows = Rows(logs[None], errors[None] ** -2, errors[None], math.inf)
    best = starts(rows, 1, constant=True)[0, 0]

    def cost(a, b):
        columns = torch.stack([torch.exp(-a * logs[:, 0]), torch.exp(-b * logs[:, 1]), torch.ones(20).double()], 1)
        return nnls((columns / errors[:, None]).numpy(), np.ones(20))[1]

    from constructions.scaling_laws.profile import EXPONENTS

    least = min((cost(a, b), a, b) for a in EXPONENTS for b in EXPONENTS)
    assert best[[1, 3]].tolist() == [least[1], least[2]]


def test_a_step_over_a_bound_goes_to_it():
    logs = torch.linspace(-2, 2, 9, dtype=torch.float64)[None, :, None]
    target = torch.exp(-0.5 * logs[:, :, 0])
    rows = Rows(logs, torch.ones(1, 9, dtype=torch.float64), target, math.inf)
    start = torch.tensor([[0.3, 0.9, 0.4]], dtype=torch.float64)
    theta, cost = refine(start, rows, Bounds.of(1, constant=True, device=torch.device("cpu")))
    assert float(cost) < 1e-25
    assert theta[0].tolist() == pytest.approx([0.0, 0.5, 0.0], abs=1e-10)


# --- splits and trends -----------------------------------------------------------------------------------


def points(sizes, errors):
    return Points.of(sizes, errors, None, math.inf, tuple("nm"[: sizes.shape[1]]))


def test_equal_sizes_are_held_out_together():
    sizes = GRID.repeat_interleave(2, 0)
    far = largest(sizes, 0.25)
    assert far.view(20, 2).all(1).equal(far.view(20, 2).any(1))
    assert int(far.sum()) == 10
    assert float(sizes[far].prod(1).min()) >= float(sizes[~far].prod(1).max())


def test_the_last_value_is_that_of_the_largest_point_below():
    errors = torch.arange(1.0, 21.0).double()
    at = torch.tensor([[2000.0, 40.0], [2000.0, 9.0], [100.0, 5.0], [1.0, 1.0]], dtype=torch.float64)
    assert last_values(GRID, errors, at).tolist() == [20.0, 18.0, 1.0, 1.0]


def test_what_decreases():
    n = torch.tensor([[2.0**k] for k in range(4, 14)], dtype=torch.float64)
    fall = n[:, 0] ** -0.3
    assert not_decreasing(points(n, fall)) is None
    assert not_decreasing(points(GRID, noisy(LAW, GRID))) is None
    assert not_decreasing(points(n, fall.flip(0))) == "along `n` 9 of 9 steps go up"
    assert not_decreasing(points(n, fall**0.05)) == "along `n` the last error is 0.91 of the first"
    for seed in range(5):
        order = torch.randperm(20, generator=torch.Generator().manual_seed(seed))
        assert "steps go up" in not_decreasing(points(GRID, LAW(GRID)[order]))


def test_many_noisy_points_decrease_all_the_same():
    g = torch.Generator().manual_seed(0)
    n = torch.exp(torch.rand(3000, 1, generator=g, dtype=torch.float64) * 8)
    assert not_decreasing(points(n, noisy(ScalingLaw((1.0,), (0.3,)), n, 0.1))) is None
    assert not_decreasing(points(n, noisy(ScalingLaw((1.0,), (0.3,)), n, 0.1).flip(0))) is not None


def test_sizes_that_grow_together_are_judged_by_their_product():
    n = torch.tensor([[2.0**k, 3.0**k] for k in range(1, 10)], dtype=torch.float64)
    assert not_decreasing(points(n, n[:, 0] ** -0.3)) is None
    assert not_decreasing(points(n, n[:, 0] ** 0.3)) == "in the order of their product 8 of 8 steps go up"


# --- the points that the language-model literature refits --------------------------------------------------


@pytest.mark.skipif("MOMLP_CHINCHILLA" not in os.environ, reason="MOMLP_CHINCHILLA names no file of points")
def test_the_published_optimum():
    """`svg_extracted_data.csv` of github.com/epoch-research/analyzing-chinchilla: 245 points without a licence."""
    with open(os.environ["MOMLP_CHINCHILLA"], newline="", encoding="utf-8") as file:
        runs = [{key.lower(): float(v) for key, v in row.items() if key and v} for row in csv.DictReader(file)]
    table = torch.tensor([[r["model size"], r["training flop"], r["loss"]] for r in runs], dtype=torch.float64)
    table = table[table[:, 2].argsort()][:-5]
    sizes = torch.stack([table[:, 0], table[:, 1] / (6 * table[:, 0])], 1)
    fit = fit_scaling_law(sizes, table[:, 2], loss="huber_log", resamples=0)
    assert fit.loss == pytest.approx(1.018274e-3, rel=1e-5)
    assert fit.law.exponents == pytest.approx((0.3473, 0.3672), abs=2e-4)
    assert fit.law.constant == pytest.approx(1.8172, abs=1e-3)
