"""What `certify_uniform_error` asks, and how it samples: every limit from both sides."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from constructions import LipschitzFunction, PencilMoMLP, build_momlp, targets
from constructions.functions.modulus import Modulus
from theory import Evidence, certify_uniform_error, uniform_error_le_eps
from theory.checkers.uniform_error import certify, sampled
from theory.checkers.uniform_error.branch_and_bound import Goal
from theory.checkers.uniform_error.certificate import Premise
from theory.checkers.uniform_error.certify import Findings, Question
from theory.checkers.uniform_error.share import Share
from theory.checkers.uniform_error.view import view_of

DOUBLE = {"dtype": torch.float64}


def tensor(values):
    return torch.tensor(values, **DOUBLE)


# --- what is asked ---------------------------------------------------------------------------------------

LINE = LipschitzFunction(lambda x: x[:, :1], n=1, lipschitz=1.0)


def question(**changes):
    fields = {
        "f": LINE, "eps": None, "gap": None, "abs_tol": 0.0, "max_evaluations": 10, "method": "sampled",
        "enclosed": False, "samples": 10, "seed": 5, "log": lambda message: None,
    }  # fmt: skip
    return Question(**fields | changes)


def test_a_gap_of_a_hundredth_is_asked_for_where_nothing_else_is():
    assert question().goal == Goal(None, 0.01, 0.0)
    assert question(eps=0.5).goal == Goal(0.5, None, 0.0)
    assert question(gap=0.25).goal == Goal(None, 0.25, 0.0)
    assert question(abs_tol=0.125).goal == Goal(None, None, 0.125)
    assert question(eps=0.5, gap=0.25).goal == Goal(0.5, 0.25, 0.0)


def test_every_part_samples_its_share_with_its_own_seed(monkeypatch):
    taken = []

    def sample(found, view, f, generator, samples, log):
        taken.append((generator.initial_seed(), samples))

    monkeypatch.setattr(certify, "_sample", sample)
    monkeypatch.setitem(certify.WAYS, "branch_and_bound", lambda *args: ["searched"])

    def decide(share, sound=True, **changes):
        part = SimpleNamespace(share=share)
        return certify._decide(Findings(0.0), part, question(**changes), torch.Generator().manual_seed(77), sound)

    assert decide(Share()) == []
    assert decide(Share(2, 3)) == []
    assert decide(Share(1, 2)) == []
    assert decide(Share(2, 3), seed=2**63 - 1, samples=9) == []
    assert taken == [(77, 10), (7, 4), (6, 5), (1, 3)]
    taken.clear()
    assert decide(Share(), method="branch_and_bound") == ["searched"]
    assert taken == []
    assert decide(Share(), method="branch_and_bound", sound=False) == []
    assert taken == [(77, 10)]


def test_what_a_sample_finds_is_less_by_the_slack(monkeypatch):
    for error, lower in ((1.0, 0.75), (0.125, 0.0)):
        monkeypatch.setattr(certify, "sampled_error", lambda *args, e=error: (e, (0.5,), 7))
        found = Findings(0.25)
        certify._sample(found, None, LINE, None, 10, None)
        assert (found.lower, found.witness, found.evaluations) == (lower, (0.5,), 7)


@pytest.mark.parametrize(("lower", "refuted"), [(1.0, False), (1.25, True), (0.5, False)])
def test_an_error_above_theorem_1_refutes_the_modulus(monkeypatch, lower, refuted):
    measured = SimpleNamespace(slack=0.125, nodes=3)
    monkeypatch.setattr(certify, "a_priori", lambda *args: (0.875, measured, []))
    found = Findings(0.25, lower=lower, evaluations=4)
    failing = certify._read_theorem(found, None, question())
    assert [(p.name, p.holds) for p in failing] == ([("modulus", False)] if refuted else [])
    assert (found.slack, found.evaluations, found.lower) == (0.375, 7, lower - 0.125)
    poor = Findings(0.25, lower=0.0625)
    certify._widen(poor, 0.125, 1)
    assert poor.lower == 0.0


def test_what_the_simplices_prove_is_the_upper_end(monkeypatch):
    measured = SimpleNamespace(slack=0.125, nodes=3)
    monkeypatch.setattr(certify, "simplex_error", lambda *args: (0.875, measured, ["proved"]))
    found = Findings(0.25, lower=0.5, evaluations=4)
    assert certify._prove_affine(found, None, question()) == ["proved"]
    assert (found.upper, found.lower, found.slack, found.evaluations) == (0.875, 0.375, 0.375, 7)


@pytest.mark.parametrize(("eps", "refuted"), [(0.3, False), (0.01, True)])
def test_a_verdict_has_the_certificates_interval(eps, refuted):
    f = targets.get("cone", n=2)
    model = build_momlp(f, eps=0.3)
    c, verdict = certify_uniform_error(model, f, eps=eps), uniform_error_le_eps(model, f, eps)
    assert verdict.bounds == {"eps": eps, "lower": c.lower, "upper": c.upper}
    assert verdict.witness == (f"|f - model| >= {c.lower!r} at x = {c.witness}" if refuted else None)
    assert verdict.status is c.status


def test_one_sample_is_enough_and_none_is_not():
    f = targets.get("cone", n=2)
    model = build_momlp(f, eps=0.3)
    assert certify_uniform_error(model, f, eps=0.3, method="sampled", samples=1).evaluations > 0
    with pytest.raises(ValueError, match="`samples`"):
        certify_uniform_error(model, f, eps=0.3, method="sampled", samples=0)


def test_what_a_search_found_is_taken_over(monkeypatch):
    found = Findings(0.25)
    assert found == Findings(0.25, 0.0, math.inf, None, 0, Evidence.FLOAT64)
    wrong = Premise("forward() uses these weights", False, "no")
    certified = LipschitzFunction.from_sympy("x0/2", n=1)

    def search(view, search):
        assert (search.eta, search.max_evaluations, search.goal) == (0.25, 10, Goal(None, 0.01, 0.0))
        search.lower, search.upper, search.witness, search.slack, search.evaluations = 1.0, 2.0, (0.5,), 0.375, 7
        search.mismatch = mismatch

    monkeypatch.setattr(certify, "branch_and_bound", search)
    for f, enclosed, evidence, mismatch in (
        (LINE, False, Evidence.FLOAT64, None),
        (LINE, True, Evidence.FLOAT64, None),
        (certified, False, Evidence.FLOAT64, wrong),
        (certified, True, Evidence.ENCLOSED, wrong),
    ):
        found = Findings(0.25)
        assert certify._search(found, None, question(f=f, enclosed=enclosed)) == ([mismatch] if mismatch else [])
        assert found == Findings(0.375, 1.0, 2.0, (0.5,), 7, evidence)


@pytest.mark.parametrize("method", ["branch_and_bound", "a_priori", "simplices", "sampled"])
def test_only_samples_look_at_a_thousand_leaves(monkeypatch, method):
    seen = {}

    class Enough(Exception):
        pass

    def stop(model, domain, m, **options):
        seen.update(options)
        raise Enough

    f = targets.get("cone", n=2)
    monkeypatch.setattr(certify, "view_of", stop)
    with pytest.raises(Enough):
        certify_uniform_error(build_momlp(f, eps=0.3), f, eps=0.3, method=method, seed=5)
    assert seen["max_leaves"] == (1024 if method == "sampled" else 2_000_000)
    assert (seen["one_function"], seen["seed"]) == (method == "sampled", 5)


@pytest.mark.parametrize(("size", "points"), [(0, 32), (1, 32), (12_500, 32), (40_000, 10), (150_000, 4), (10**6, 4)])
def test_large_experts_are_compared_at_fewer_points(monkeypatch, size, points):
    asked = []
    monkeypatch.setattr(certify, "cells_cover", lambda view: Premise("cells", True, ""))
    monkeypatch.setattr(certify, "forward_is_expert", lambda view, x: asked.append(len(x)) or Premise("fwd", True, ""))
    halves = SimpleNamespace(parameters=lambda: [torch.empty(size // 2), torch.empty(size - size // 2)])
    part = SimpleNamespace(every=torch.zeros(1, 1), forward=lambda x: x, expert=lambda leaf: halves)
    generator = torch.Generator().manual_seed(0)
    assert [p.name for p in certify._shared_premises(part, LINE, generator, "a_priori")] == ["cells", "fwd"]
    assert asked == [points]
    assert [p.name for p in certify._shared_premises(part, LINE, generator, "simplices")] == ["cells"]
    assert certify._shared_premises(part, LINE, generator, "sampled") == []


class Many(PencilMoMLP):
    num_leaves = property(lambda self: 2_000_001)


def test_more_than_two_million_leaves_are_not_searched(monkeypatch):
    f = targets.get("cone", n=2)
    model = build_momlp(f, eps=0.3)
    monkeypatch.setattr(certify, "MAX_LEAVES", model.num_leaves)
    assert certify_uniform_error(model, f, eps=0.3).status.name == "CERTIFIED"
    monkeypatch.setattr(certify, "MAX_LEAVES", model.num_leaves - 1)
    with pytest.raises(ValueError, match=f"visits every leaf and `model` has {model.num_leaves}"):
        certify_uniform_error(model, f, eps=0.3)
    monkeypatch.undo()
    many = Many(model.plan, weights=(model.out_weight.data, model.out_bias.data), target=f)
    with pytest.raises(ValueError, match="visits every leaf and `model` has 2000001"):
        certify_uniform_error(many, f, eps=0.3)


def test_a_whole_search_needs_no_digest_and_a_part_has_one():
    f = targets.get("cone", n=2)
    model = build_momlp(f, eps=0.3)
    assert certify_uniform_error(model, f, eps=0.3).about == ""
    part, other = (certify_uniform_error(model, f, eps=0.3, share=Share(rank, 2)) for rank in range(2))
    assert part.about == other.about != ""
    assert (part.part, other.part) == ((0, 2), (1, 2))


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("enclosed", [True, False])
def test_without_a_bound_of_fs_rounding_only_balls_are_more_than_a_sample(monkeypatch, known, enclosed):
    f = LipschitzFunction.from_sympy("x0/2", n=1)
    model = build_momlp(f, eps=0.3)
    own = Premise("f's own values", True, "")
    monkeypatch.setattr(certify, "evaluation_error", lambda *args: (1e-15, own, known))
    c = certify_uniform_error(model, f, eps=0.3, enclosed=enclosed)
    evidence = "ENCLOSED" if enclosed else "FLOAT64" if known else "SAMPLED"
    assert c.evidence.name == evidence


def test_where_one_premise_fails_nothing_is_searched_and_nothing_stands(monkeypatch):
    f = targets.get("cone", n=2)
    model = build_momlp(f, eps=0.3)
    answers = iter([Premise("f's own values", False, "no")])
    monkeypatch.setattr(certify, "evaluation_error", lambda *args: (1e-15, next(answers), True))
    monkeypatch.setitem(certify.WAYS, "branch_and_bound", None)
    c = certify_uniform_error(model, f, eps=0.3, samples=100)
    assert [(p.name, p.holds) for p in c.failed] == [("f's own values", False)]
    assert (c.upper, c.status.name) == (math.inf, "INCONCLUSIVE")
    assert c.lower > 0


def test_an_upper_end_does_not_stand_without_all_premises(monkeypatch):
    """η alone is more than eps/2: the search comes to an end, and the interval is void."""
    f = targets.get("cone", n=2)
    model = build_momlp(f, eps=0.3)
    own = Premise("f's own values", True, "")
    monkeypatch.setattr(certify, "evaluation_error", lambda *args: (0.25, own, True))
    c = certify_uniform_error(model, f, eps=0.375)
    assert [p.name for p in c.failed] == ["rounding"]
    assert (c.upper, c.status.name) == (math.inf, "INCONCLUSIVE")
    assert 0.25 <= c.slack < 0.26


def test_an_answer_that_is_no_number_is_an_infinite_error():
    f = targets.get("cone", n=2)
    model = build_momlp(f, eps=0.3)
    with torch.no_grad():
        model.out_bias[0] = math.nan
    c = certify_uniform_error(model, f)
    assert (c.lower, c.upper, c.status.name) == (math.inf, math.inf, "INCONCLUSIVE")
    assert [p.name for p in c.failed] == ["finite outputs"]
    assert len(c.witness) == 2


def test_a_call_that_runs_more_than_its_class_is_sampled_at_most():
    f = targets.get("cone", n=2)
    model = build_momlp(f, eps=0.3)
    honest = model.forward
    model.forward = lambda x: honest(x)
    with pytest.raises(ValueError, match="use method='sampled'"):
        certify_uniform_error(model, f, eps=0.3)
    assert certify_uniform_error(model, f, eps=0.3, method="sampled", samples=10).status.name == "NOT_REFUTED"


def test_leaves_are_dealt_out_where_every_part_gets_one():
    for count, shares in ((2, True), (3, False), (4, False)):
        parts = [Share(rank, 3).of_leaves(torch.arange(count)).tolist() for rank in range(3)]
        assert [Share(rank, 3).shares_boxes(torch.arange(count)) for rank in range(3)] == [shares] * 3
        assert parts == ([[0, 1]] * 3 if shares else [part.tolist() for part in torch.arange(count).tensor_split(3)])


def test_a_model_is_moved_where_that_is_asked_for(monkeypatch):
    moved = []

    class Moved(PencilMoMLP):
        def to(self, place):
            moved.append(place)
            return self

    f = targets.get("cone", n=2)
    model = build_momlp(f, eps=0.3)
    model = Moved(model.plan, weights=(model.out_weight.data, model.out_bias.data), target=f)
    clock = iter([100.0, 107.0] * 2)
    monkeypatch.setattr(certify, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    for device, places in ((None, []), ("cpu", [torch.device("cpu")])):
        c = certify_uniform_error(model, f, eps=0.3, method="a_priori", samples=10, device=device)
        assert (moved, c.device, c.seconds) == (places, "cpu", 7.0)
        assert 0 < c.lower < c.upper < 0.3


@pytest.mark.parametrize("method", ["a_priori", "sampled", "simplices"])
def test_balls_are_for_formulas_and_the_search_alone(method):
    f = LipschitzFunction.from_sympy("x0/2", n=1)
    model = build_momlp(f, eps=0.3)
    with pytest.raises(ValueError, match="`enclosed` needs"):
        certify_uniform_error(model, f, eps=0.3, method=method, enclosed=True)
    with pytest.raises(ValueError, match="`enclosed` needs"):
        certify_uniform_error(model, LINE, eps=0.3, enclosed=True)


def test_ranks_are_below_their_number():
    assert (Share(2, 3).rank, Share(0, 1).world) == (2, 1)
    for rank, world in ((3, 3), (1, 1), (-1, 2), (0, 0)):
        with pytest.raises(ValueError, match=r"`rank`|`world`"):
            Share(rank, world)


# --- samples ---------------------------------------------------------------------------------------------


def test_three_of_four_coordinates_are_snapped_to_faces():
    """By the same random numbers: a share below 3/4 snaps to the nearer end, every other point to a mid-knot."""
    f = targets.get("cone", n=3)
    model = build_momlp(f, eps=0.4)
    seen = view_of(model, f.domain, 1, max_leaves=10**6)
    x = sampled._adversarial(seen, f, torch.Generator().manual_seed(4), 400)
    again = torch.Generator().manual_seed(4)
    picks = torch.randint(len(seen.leaves), (400,), generator=again)
    lower, upper = seen.bounds(seen.leaves[picks])
    shares, coins = torch.rand(400, 3, generator=again, **DOUBLE), torch.rand(400, 3, generator=again)
    knots = model.knots()
    pieces = torch.randint(len(knots) - 1, (400,), generator=again)
    for i in range(400):
        for a in range(3):
            share = float(shares[i, a])
            share = round(share) if float(coins[i, a]) < 0.75 else share
            expected = float(lower[i, a]) + share * float(upper[i, a] - lower[i, a])
            if a == 2 and i % 2 == 0:
                expected = float(knots[pieces[i]] + knots[pieces[i] + 1]) / 2
            assert float(x[i, a]) == pytest.approx(expected, abs=1e-15)


def test_ascent_steps_by_a_thousandth_of_the_shortest_side():
    """Sixty-one points on the way up a ramp, of steps 1/1000 of 2; each is asked for once."""
    f = LipschitzFunction(lambda x: x[:, :1], n=2, lipschitz=1.0, domain=((1, 3), (0, 8)))
    net = nn.Sequential(nn.Linear(2, 1, **DOUBLE))
    with torch.no_grad():
        for p in net.parameters():
            p.zero_()
    found, asked = sampled._ascend(view_of(net, f.domain, 1, max_leaves=1), f, tensor([[1.5, 1.0], [2.0, 2.0]]))
    assert found[:, 0].tolist() == pytest.approx([1.5 + 60 * 0.002, 2.0 + 60 * 0.002], rel=1e-6)
    assert found[:, 1].tolist() == [1.0, 2.0]
    assert asked == 2 * 61


def test_the_worst_output_is_climbed():
    """60 steps of 1/1000 up the first output; the second is 0 everywhere, or the other way round."""
    net = nn.Sequential(nn.Linear(1, 2, **DOUBLE))
    with torch.no_grad():
        for p in net.parameters():
            p.zero_()
    for order in ((0, 1), (1, 0)):
        f = LipschitzFunction(lambda x, o=order: torch.cat([x, x * 0], 1)[:, o], n=1, m=2, lipschitz=1.0)
        found, _ = sampled._ascend(view_of(net, f.domain, 2, max_leaves=1), f, tensor([[0.5]]))
        assert float(found) == pytest.approx(0.56, rel=1e-6)


def test_the_difference_is_climbed_and_not_the_function():
    """|x − 4/5| grows to the left of 4/5."""
    net = nn.Sequential(nn.Linear(1, 1, **DOUBLE))
    with torch.no_grad():
        net[0].weight.zero_()
        net[0].bias.fill_(0.8)
    found, _ = sampled._ascend(view_of(net, LINE.domain, 1, max_leaves=1), LINE, tensor([[0.5]]))
    assert float(found) == pytest.approx(0.44, rel=1e-6)


def test_a_start_without_a_slope_stops_no_other():
    """√|x − 1/2| has none at 1/2: a step that is no number would make f refuse all points after it."""
    f = LipschitzFunction(lambda x: (x[:, :1] - 0.5).abs().sqrt(), n=1, modulus=Modulus.holder(1.0, 0.5))
    net = nn.Sequential(nn.Linear(1, 1, **DOUBLE))
    with torch.no_grad():
        for p in net.parameters():
            p.zero_()
    found, asked = sampled._ascend(view_of(net, f.domain, 1, max_leaves=1), f, tensor([[0.5], [0.6]]))
    assert asked == 2 * 61
    assert found.flatten().tolist() == pytest.approx([0.5, 0.66], rel=1e-2)


def test_the_best_point_is_found_from_all_of_them():
    f = LipschitzFunction(lambda x: (x - 0.75).abs().neg() + 1, n=1, lipschitz=1.0)
    net = nn.Sequential(nn.Linear(1, 1, **DOUBLE))
    with torch.no_grad():
        for p in net.parameters():
            p.zero_()
    said = []
    seen = view_of(net, f.domain, 1, max_leaves=1)
    error, point, asked = sampled.sampled_error(seen, f, torch.Generator().manual_seed(0), 300, said.append)
    assert error == pytest.approx(1.0, abs=1e-3)
    assert abs(point[0] - 0.75) < 1e-3
    starts = 256
    assert asked == 600 + starts * 61 + 2 * starts
    assert said[0].startswith("sampled 600 points: largest error 0.99")
