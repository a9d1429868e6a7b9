"""Training broken on purpose, each way rejected by the check that is there for it."""

import math
from dataclasses import replace
from fractions import Fraction

import pytest
import torch

from constructions.sublinear_training import (
    GaussNewtonTrainer,
    MaxTreeForest,
    ShiftedReLUNetwork,
    gauss_newton,
    methods,
)
from constructions.sublinear_training.fired import Fired
from theory.claim import Context, Status
from theory.sublinear_training import bounds, runs
from theory.sublinear_training.checkers import steps as step_checks
from theory.sublinear_training.checkers.fired_set import fired_mask, fired_set_eq
from theory.sublinear_training.checkers.stale import StaleReplay, enclosed_chain, refresh_chain, reports_grow_less
from theory.sublinear_training.checkers.steps import Problem, look, step_identities
from theory.sublinear_training.reproductions import counts
from theory.systems import REGISTRY

CPU = torch.device("cpu")
SETTING = runs.Setting(32, 16, 2**12, 0.24, 5)
SMALL = runs.Setting(16, 8, 2**9, 0.24, 5)


@pytest.fixture(autouse=True)
def fresh_runs():
    """Runs are remembered: those of a broken trainer must not be."""
    runs.observe.cache_clear()
    yield
    runs.observe.cache_clear()


def wrong_pairs(trainer, steps=6):
    """Wrong pairs before each step, and the residual that the trainer itself sees at the end."""
    found = []
    for _ in range(steps):
        fired = trainer.fired()
        mask = torch.zeros(trainer.net.width, len(trainer.points), dtype=torch.bool)
        mask[fired.neurons, fired.points] = True
        found.append(int((mask != (trainer.net.weight @ trainer.points.t() > trainer.net.bias)).sum()))
        trainer.step()
    return found, float(trainer.residual().norm())


def trainer_of(method, setting=SETTING):
    x, y = runs.sphere(setting, CPU)
    return GaussNewtonTrainer(runs.network(setting, CPU), x, y, method=method)


def test_an_honest_trainer_has_no_wrong_pair():
    assert wrong_pairs(trainer_of("eager"))[0] == [0] * 6


def test_keys_of_the_fired_pairs_alone_train_to_zero_on_wrong_sets(monkeypatch):
    """M1: only the leaves that fired are keyed anew; the trainer's own residual still vanishes."""

    def moved(self, neurons, way, valid):
        keys = self.forest.keys()[neurons].clone()
        mask = keys > self.bias
        self.forest.update(neurons, torch.where(mask, self._keys(neurons), keys))
        return self._none() + len(neurons), self.forest.repairs(neurons)

    monkeypatch.setattr(methods.Eager, "moved", moved)
    wrong, residual = wrong_pairs(trainer_of("eager"))
    assert wrong == [0, 552, 915, 929, 929, 929]
    assert residual < 1e-12
    assert "wrong pairs" in runs.observe(SETTING, "eager", CPU).report.failure


def test_trees_that_are_never_updated(monkeypatch):
    """M2."""
    monkeypatch.setattr(MaxTreeForest, "update", lambda self, neurons, keys: None)
    wrong, _ = wrong_pairs(trainer_of("eager"))
    assert wrong[:3] == [0, 1709, 2589]
    assert not runs.observe(SETTING, "eager", CPU).report.holds


def test_leaves_without_their_ancestors(monkeypatch):
    """M3."""

    def update(self, neurons, keys):
        self.nodes[neurons + self.leaves, : self.n] = keys

    monkeypatch.setattr(MaxTreeForest, "update", update)
    query = MaxTreeForest.query  # level by level, since the quick way looks at 32 leaves under each node
    monkeypatch.setattr(MaxTreeForest, "query", lambda self, t, capacity=None: query(self, t, start_level=0))
    wrong, _ = wrong_pairs(trainer_of("eager"))
    assert wrong[:2] == [0, 534]
    assert not runs.observe(SETTING, "eager", CPU).report.holds


@pytest.mark.parametrize("method", ["flat", "lazy"])
def test_stale_keys_that_are_never_refreshed(monkeypatch, method):
    """M4: the ways are forgotten, too."""
    monkeypatch.setattr(methods.Stale, "moved", lambda self, neurons, way, valid: (self._none(), self._none()))
    wrong, _ = wrong_pairs(trainer_of(method))
    assert wrong == [0, 552, 859, 871, 871, 871]
    assert "wrong pairs" in runs.observe(SETTING, method, CPU).report.failure


def test_stale_keys_asked_for_at_b(monkeypatch):
    """M5: the threshold is not lowered by the radius."""
    report = methods.Lazy._report
    monkeypatch.setattr(methods.Lazy, "_report", lambda self, t: report(self, t + self.radius * self.norm))
    assert "wrong pairs" in runs.observe(SETTING, "lazy", CPU).report.failure


def test_ties_that_fire():
    """M6: in the worked example unit 0 has the key 1 = b at the third point."""
    weight = torch.tensor([[-3, 2], [1, 4]], dtype=torch.float64) / 2
    x = torch.tensor([[1, 0], [0.6, 0.8], [0, 1]], dtype=torch.float64)
    honest = (torch.tensor([1, 1]), torch.tensor([1, 2]))
    assert fired_set_eq(weight, x, 1.0, honest).holds
    tie = (torch.tensor([0, 1, 1]), torch.tensor([2, 1, 2]))
    said = fired_set_eq(weight, x, 1.0, tie).failure
    assert said == "1 wrong pairs, the first is unit 0 at point 2, said 1 times"


def test_a_count_without_the_root(monkeypatch):
    """M7: V = 2H."""
    visits = MaxTreeForest.visits
    monkeypatch.setattr(MaxTreeForest, "visits", lambda self, hot: visits(self, hot) - 1)
    verdict = REGISTRY["sublinear_training.forest_query"].verdict(Context())
    assert verdict.status is Status.INCONCLUSIVE
    assert "visits are said" in verdict.reason
    said = counts.operations_are(SMALL, "eager", runs.observe(SMALL, "eager", CPU), CPU)
    assert "operations are said" in said.failure


@pytest.mark.parametrize("wrong", ["counts", "without width"])
def test_a_wrong_gram_matrix(monkeypatch, wrong):
    """M8: C without K, or K∘C without 1/m."""
    solve = GaussNewtonTrainer._solved

    def broken(self, now):
        both = now.sums.both.double() / self.net.width
        gram = both + 1e-3 * torch.eye(len(both)) if wrong == "counts" else now.gram * self.net.width
        return solve(self, replace(now, gram=gram))

    monkeypatch.setattr(GaussNewtonTrainer, "_solved", broken)
    assert "from its Gauss–Newton step as rounding may take it" in runs.observe(SMALL, "hybrid", CPU).report.failure


def test_the_residual_identity_needs_the_signs():
    """M9: with all signs +1 in the observer's problem an honest step is rejected."""
    about = runs.problem(SMALL, CPU)
    trainer = trainer_of("hybrid", SMALL)
    before = trainer.net.weight.detach().clone()
    trainer.step()
    assert step_identities(before, trainer.net.weight.detach(), about).holds
    wrong = Problem(torch.ones_like(about.signs), about.points, about.labels, about.bias)
    assert (
        "from its Gauss–Newton step as rounding may take it"
        in step_identities(before, trainer.net.weight.detach(), wrong).failure
    )


def test_refreshes_at_half_the_radius_are_more_than_the_bound():
    """M10: the trainer refreshes at R/2, the bound counts in R."""
    path = torch.zeros(1, 1).double(), torch.full((1, 1), 0.6).double(), torch.full((1, 1), 1.2).double()
    replay = StaleReplay(path[0], torch.ones(1, 1).double(), 1.0, 0.5)
    assert sum(len(replay.moved(w)) for w in path[1:]) == 2
    assert not refresh_chain(list(path), 1.0, 2).holds
    assert refresh_chain(list(path), 0.5, 2).holds
    assert "2 refreshes, but" in enclosed_chain(list(path), 1.0, 2).failure
    two = [torch.tensor([[a], [b]]).double() for a, b in ((0.0, 0.0), (0.6, 0.1), (0.7, 1.2))]
    assert enclosed_chain(two, 0.5, 3).holds
    assert enclosed_chain(two, 0.5, 4).failure == "4 refreshes, but the floors add up to 3"
    assert enclosed_chain([path[0], path[1] * math.nan], 0.5, 0).failure == "a path is no number"
    with pytest.raises(ValueError, match="`weights` must be those of a step at least"):
        enclosed_chain([path[0]], 1.0, 0)


def test_reports_grow_less_than_the_hazard_says():
    assert reports_grow_less(2.0, 0.25).holds
    assert "fold" in reports_grow_less(2.0, 0.0).failure  # equal, not less
    assert "fold" in reports_grow_less(math.nan, 0.25).failure


def test_a_correlation_the_wrong_way_round(monkeypatch):
    """M11: with √((1+ρ)/(1−ρ)) the expected counts deviate differently from what is checked at ρ = ±1 and 0."""
    b = 1.3
    p = bounds.tail(b)
    ends = bounds.cofiring(torch.tensor([-1.0, 0.0, 1.0]), b)
    assert ends.tolist() == pytest.approx([0, p * p, p], abs=1e-15)
    honest = bounds.cofiring
    monkeypatch.setattr(bounds, "cofiring", lambda rho, bias: honest(-rho, bias))
    assert bounds.cofiring(torch.tensor([-1.0, 1.0]), b).tolist() == pytest.approx([p, 0], abs=1e-15)
    x, _ = runs.sphere(SMALL, CPU)
    assert torch.linalg.eigvalsh(bounds.limit_gram(x, b))[0] < 0  # the diagonal of H is gone


def test_a_point_that_is_not_of_norm_one():
    """M12."""
    x, y = runs.sphere(SMALL, CPU)
    x[3] *= 1.01
    with pytest.raises(ValueError, match=r"row 3 has 1\.01"):
        GaussNewtonTrainer(runs.network(SMALL, CPU), x, y)


def test_keys_rounded_to_float32(monkeypatch):
    """M13: pairs within a float32's rounding of b are decided wrongly."""
    honest = methods.Finder._keys
    monkeypatch.setattr(methods.Finder, "_keys", lambda self, units: honest(self, units).float().double())
    bias = 1 + 2.0**-26
    weight = torch.tensor([[1 + 2.0**-25], [1.0]], dtype=torch.float64)
    net = ShiftedReLUNetwork.from_weights(weight, torch.ones(2), bias)
    trainer = GaussNewtonTrainer(net, torch.ones(1, 1).double(), torch.zeros(1).double(), method="eager")
    fired = trainer._finder.find().fired
    assert len(fired) == 0
    said = fired_set_eq(weight, torch.ones(1, 1).double(), bias, (fired.neurons, fired.points)).failure
    assert said == "1 wrong pairs, the first is unit 0 at point 0, said 0 times"


def test_the_paper_s_activation_without_its_offset(monkeypatch):
    """M14."""
    monkeypatch.setattr(ShiftedReLUNetwork, "offset", 0.0)
    x, y = runs.sphere(SMALL, CPU)
    net = ShiftedReLUNetwork.from_seed(8, 2**9, 1, activation="max")
    trainer = GaussNewtonTrainer(net, x, y, method="hybrid")
    literal = (torch.maximum(net.pre_activations(x), torch.tensor(net.bias)) @ net.signs) / math.sqrt(2**9)
    assert float((trainer.residual() - (literal - y)).abs().max()) > 1e-3


# --- and the claims are not decided then ------------------------------------------------------------------------


def test_claims_of_training_are_not_decided_by_a_broken_trainer(monkeypatch):
    monkeypatch.setattr(runs, "settings", lambda context: [SMALL])
    monkeypatch.setattr("theory.sublinear_training.reproductions.training.settings", lambda context: [SMALL])
    change = GaussNewtonTrainer._change

    def short(self, found, sums, solution):
        return change(self, found, sums, 0.6 * solution)

    monkeypatch.setattr(GaussNewtonTrainer, "_change", short)
    for key in ("fired_sets", "contraction", "contraction_any_labels"):
        verdict = REGISTRY[f"sublinear_training.{key}"].verdict(Context())
        assert verdict.status is Status.INCONCLUSIVE, key


def test_methods_that_differ_are_not_the_same_training(monkeypatch):
    monkeypatch.setattr("theory.sublinear_training.reproductions.training.settings", lambda context: [SMALL])
    find = methods.Lazy._report

    def forgetful(self, threshold):
        reported, stale, visited = find(self, threshold)
        return Fired(reported.neurons[1:], reported.points[1:]), stale[1:], visited

    monkeypatch.setattr(methods.Lazy, "_report", forgetful)
    verdict = REGISTRY["sublinear_training.same_training"].verdict(Context())
    assert verdict.status is Status.INCONCLUSIVE
    assert "takes another number of steps" in verdict.reason


def test_operations_that_are_said_too_low(monkeypatch):
    honest = gauss_newton.operations
    monkeypatch.setattr(
        gauss_newton, "operations", lambda m, s: honest(m, replace(s, joined=s.joined - 1) if m != "dense" else s)
    )
    verdict = REGISTRY["sublinear_training.operations"].verdict(Context())
    assert verdict.status is Status.INCONCLUSIVE
    assert "operations are said" in verdict.reason


def test_a_unit_that_moves_without_firing_is_seen():
    about = runs.problem(SMALL, CPU)
    trainer = trainer_of("hybrid", SMALL)
    before = trainer.net.weight.detach().clone()
    idle = int((~look(before, about).mask.any(1)).nonzero()[0, 0])
    trainer.step()
    trainer.net.weight.data[idle, 0] += 1e-9
    said = step_identities(before, trainer.net.weight.detach(), about).failure
    assert said == "a unit moved that fires at no point"
    assert step_checks.step_identities(before[:-1], before, about).failure.startswith("weights (511, 8) became")
    spoilt = before.clone()
    spoilt[0, 0] = torch.nan
    with pytest.raises(ValueError, match="`weight` must be finite float64"):
        step_identities(before, spoilt, about)


def small_step(setting=SMALL, scale=1.0):
    """Weights before and after an honest step, and the problem, all scaled."""
    about, trainer = runs.problem(setting, CPU), trainer_of("hybrid", setting)
    before = trainer.net.weight.detach().clone()
    trainer.step()
    after = trainer.net.weight.detach()
    small = Problem(about.signs, about.points, scale * about.labels, scale * about.bias)
    return scale * before, scale * after, small


@pytest.mark.parametrize("scale", [1.0, 2.0**-40, 2.0**40])
def test_steps_of_every_scale_are_judged_alike(scale):
    before, after, about = small_step(scale=scale)
    assert step_identities(before, after, about).holds
    assert "from its Gauss–Newton step as rounding may take it" in step_identities(before, before, about).failure
    moved = (after != before).any(1).nonzero()[0, 0]
    spoilt = after.clone()
    spoilt[moved] += 1e-6 * (after - before)[moved].norm()
    assert "from its Gauss–Newton step as rounding may take it" in step_identities(before, spoilt, about).failure


def test_a_step_across_the_rows_is_seen():
    """A move orthogonal to all points of a unit changes no residual, and is none of Gauss–Newton's."""
    before, after, about = small_step(runs.Setting(4, 8, 2**9, 0.24, 5))
    moved = int((after != before).any(1).nonzero()[0, 0])
    away = torch.linalg.svd(about.points)[2][-1]
    spoilt = after.clone()
    spoilt[moved] += 1e-8 * away
    assert "from its Gauss–Newton step as rounding may take it" in step_identities(before, spoilt, about).failure


def test_a_point_without_a_unit_has_no_step():
    before, after, about = small_step()
    low = Problem(about.signs, about.points, about.labels, 50.0)
    assert step_identities(before, after, low).failure == "a point fires no unit, and has no step"


def test_near_ties_are_decided_alike_by_all_methods():
    """Weights moved until ⟨w, x⟩ = b to rounding: the exact inner product decides, for every method."""
    x, y = runs.sphere(runs.Setting(4, 8, 64, 0.24, 1), CPU)
    net = ShiftedReLUNetwork.from_seed(8, 64, 3)
    weight = net.weight.data
    for i in range(4):
        rows = slice(16 * i, 16 * i + 16)
        weight[rows] += (net.bias - weight[rows] @ x[i])[:, None] * x[i]
    near = ((weight @ x.t() - net.bias).abs() < 1e-14).sum()
    assert near >= 60
    pairs = []
    for method in methods.METHODS:
        trainer = GaussNewtonTrainer(ShiftedReLUNetwork.from_weights(weight, net.signs, net.bias), x, y, method=method)
        fired = trainer._finder.find().fired
        assert fired_set_eq(weight, x, net.bias, (fired.neurons, fired.points)).holds, method
        pairs.append(torch.stack([fired.neurons, fired.points]))
    assert all(torch.equal(p, pairs[0]) for p in pairs)


@pytest.mark.parametrize("method", ["flat", "lazy"])
def test_ways_are_those_of_the_stored_weights(method):
    """Changes of half a unit in the last place move a weight by a whole one: the way is counted as it went."""
    x = torch.tensor([[1.0, 0.0], [0.96, 0.28]], dtype=torch.float64)
    weight = torch.tensor([[2.0**50, 3e14], [0.0, 2.0**52], [0.0, 0.0]], dtype=torch.float64)
    net = ShiftedReLUNetwork.from_weights(weight, torch.ones(3), 2.0**49)
    trainer = GaussNewtonTrainer(net, x, torch.zeros(2).double(), method=method, radius=1e9, step=1e-15)
    before = net.weight.detach().clone()
    trainer.step()
    gone = (net.weight.detach() - before).norm(dim=1)
    assert torch.equal(trainer._finder.way, gone)


def test_masks_of_tiny_and_huge_weights_are_exact():
    g = torch.Generator().manual_seed(0)
    tiny = torch.randn(200, 8, generator=g, dtype=torch.float64) * 1e-170
    x, _ = runs.sphere(runs.Setting(4, 8, 64, 0.24, 1), CPU)
    exact = torch.tensor(
        [
            [sum(Fraction(a) * Fraction(b) for a, b in zip(w, p, strict=True)) > 0 for p in x.tolist()]
            for w in tiny.tolist()
        ]
    )
    assert torch.equal(fired_mask(tiny, x, 0.0), exact)
    least = torch.tensor([[5e-324, -5e-324, -5e-324]], dtype=torch.float64)
    assert not fired_mask(least, torch.tensor([[0.8, 0.42426, 0.42426]]).double(), 0.0).any()
    huge = torch.tensor([[1e200, -1e200, 1.0]], dtype=torch.float64)
    assert fired_mask(huge, torch.tensor([[1e200, 1e200, 1.0]], dtype=torch.float64), 0.5).all()


@pytest.mark.parametrize(
    "change",
    [
        {"residual_norm": 123.0},
        {"squared_movement": -1.0},
        {"gram": torch.zeros(16, 16).double()},
        {"solution": torch.zeros(16).double()},
        {"operations": {"gram": -7, "total": -7}},
        {"operations": {"gram": 7, "total": 8}},
    ],
)
def test_records_that_say_something_else(change):
    seen = runs.observe(SMALL, "eager", CPU)
    record = seen.records[0]
    assert runs.record_is(record, seen.looks[0], seen.weights[0], seen.weights[1]).holds
    assert not runs.record_is(replace(record, **change), seen.looks[0], seen.weights[0], seen.weights[1]).holds


def test_weights_changed_by_somebody_else_are_an_error():
    trainer = trainer_of("lazy", SMALL)
    trainer.residual()
    with torch.no_grad():
        trainer.net.weight.mul_(2)
    with pytest.raises(RuntimeError, match="weights were changed by something else"):
        trainer.residual()
    other = trainer_of("lazy", SMALL)
    other.net.weight = torch.nn.Parameter(other.net.weight.detach().clone())
    with pytest.raises(RuntimeError, match="weights were changed by something else"):
        other.fit(1)


def test_labels_beyond_the_range_move_nothing():
    x, y = runs.sphere(SMALL, CPU)
    for size in (1e160, 1e300):
        with pytest.warns(RuntimeWarning, match="root mean square"):
            trainer = GaussNewtonTrainer(runs.network(SMALL, CPU), x, size * y)
        before = trainer.net.weight.detach().clone()
        with pytest.raises(ValueError, match="smaller labels or a ridge are needed"):
            trainer.step()
        assert torch.equal(before, trainer.net.weight)
