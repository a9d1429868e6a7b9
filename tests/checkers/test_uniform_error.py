"""The three ways to decide sup |f − f̂| ≤ eps: they agree, are sharp, and reject what was broken on purpose."""

import copy
import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from constructions import LipschitzFunction, PencilMoMLP, build_momlp, plan, targets
from theory import Evidence, Status, certify_uniform_error, uniform_error_le_eps

METHODS = ("branch_and_bound", "a_priori", "sampled")


def dense_error(model, f, per_axis=400):
    """Independent truth for n ≤ 2: a fine grid."""
    axes = [torch.linspace(a, b, per_axis, dtype=torch.float64) for a, b in zip(f.domain.lo, f.domain.hi, strict=True)]
    x = torch.cartesian_prod(*axes).reshape(-1, f.n)
    with torch.no_grad():
        return float((f(x) - model(x)).abs().max())


@pytest.mark.law
@settings(max_examples=25)
@given(
    name=st.sampled_from(targets.names()),
    n=st.integers(1, 3),
    eps=st.floats(0.08, 0.4),
    split=st.one_of(st.none(), st.floats(0.1, 0.9)),
    expert=st.sampled_from(["pencil", "constant"]),
)
def test_ways_are_consistent_and_hold(name, n, eps, split, expert):
    """Law: all three hold, every lower end ≤ every upper end, and the interval holds a dense sample's error."""
    f = targets.get(name, n=2 if name == "franke" else n)
    model = build_momlp(f, eps=eps, expert=expert, split=split if expert == "pencil" and f.n > 1 else None)
    certificates = [certify_uniform_error(model, f, eps=eps, method=m, samples=2000) for m in METHODS]
    assert [c.status for c in certificates] == [Status.CERTIFIED, Status.CERTIFIED, Status.NOT_REFUTED]
    assert max(c.lower for c in certificates) <= min(c.upper for c in certificates)
    if f.n <= 2:
        assert dense_error(model, f, 60) <= min(c.upper for c in certificates)
    for c in certificates:
        x = torch.tensor([c.witness], dtype=torch.float64)
        assert float((f(x) - model(x)).abs().max()) >= c.lower


@pytest.mark.parametrize(("n", "eps"), [(1, 0.003), (2, 0.02), (3, 0.08), (4, 0.2)])
def test_gap_certificates_on_the_sharp_target_are_within_a_thousandth(n, eps):
    design = plan(LipschitzFunction(lambda x: x[:, :1], n=n, lipschitz=1.0), eps)
    f = targets.sharp(design)
    c = certify_uniform_error(build_momlp(f, eps=eps), f, gap=1e-3)
    truth = math.sqrt(design.half_diagonal_squared + design.half_knot_squared)
    assert c.status is Status.CERTIFIED
    assert c.lower <= truth * (1 + 1e-12)
    assert truth <= c.upper
    assert c.upper <= 1.001 * truth
    assert c.lower >= 0.999 * truth
    assert c.evaluations <= 60 * design.leaves * design.knots


def test_enclosed_variant_is_sound_and_stronger_evidence():
    f = targets.get("rotated_sine", n=2)
    model = build_momlp(f, eps=0.1)
    plain = certify_uniform_error(model, f, eps=0.1)
    ball = certify_uniform_error(model, f, eps=0.1, enclosed=True)
    assert (plain.evidence, ball.evidence) == (Evidence.FLOAT64, Evidence.ENCLOSED)
    assert ball.status is Status.CERTIFIED
    assert max(plain.lower, ball.lower) <= min(plain.upper, ball.upper)


def test_max_evaluations_gives_an_interval_and_no_verdict():
    f = targets.get("cone", n=2)
    model = build_momlp(f, eps=0.02)
    c = certify_uniform_error(model, f, gap=1e-6, max_evaluations=5_000)
    assert math.isfinite(c.upper)
    assert dense_error(model, f) <= c.upper
    assert c.lower <= c.upper
    assert uniform_error_le_eps(model, f, 0.0153, gap=1e-6, max_evaluations=5_000).status is Status.INCONCLUSIVE


def test_abs_tol_and_eps_and_gap_together():
    f = targets.get("cone", n=2)
    model = build_momlp(f, eps=0.05)
    assert certify_uniform_error(model, f, abs_tol=0.08).upper <= 0.08
    both = certify_uniform_error(model, f, eps=0.05, gap=0.01)
    assert both.upper <= min(0.05, 1.01 * both.lower)


def test_too_small_eps_is_refuted_with_a_witness():
    f = targets.get("cone", n=2)
    model = build_momlp(f, eps=0.05)
    for method in METHODS:
        c = certify_uniform_error(model, f, eps=0.01, method=method)
        assert c.status is Status.REFUTED
        x = torch.tensor([c.witness], dtype=torch.float64)
        assert float((f(x) - model(x)).abs().max()) >= c.lower > 0.01
    verdict = uniform_error_le_eps(model, f, 0.01)
    assert "at x =" in verdict.witness


def test_huge_lazy_models_are_sampled():
    f = targets.get("sum_of_sines", n=10)
    model = build_momlp(f, eps=0.1, lazy=True, cache_bytes=1 << 22)
    with pytest.raises(ValueError, match="visits every leaf"):
        certify_uniform_error(model, f, eps=0.1)
    for method in ("a_priori", "sampled"):
        c = certify_uniform_error(model, f, eps=0.1, method=method, samples=2000)
        assert (c.status, c.evidence) == (Status.NOT_REFUTED, Evidence.SAMPLED)


def test_small_lazy_models_are_certified():
    f = targets.get("cone", n=2)
    model = build_momlp(f, eps=0.1, lazy=True)
    assert uniform_error_le_eps(model, f, 0.1).status is Status.CERTIFIED


# --- broken on purpose -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def curved():
    f = targets.get("sum_of_sines", n=2)
    return f, build_momlp(f, eps=0.02)


def damaged(model):
    twin = copy.deepcopy(model)
    return twin.requires_grad_(False)


def test_control_the_intact_model_passes(curved):
    f, model = curved
    for method in METHODS:
        assert certify_uniform_error(model, f, eps=0.02, method=method).status in (Status.CERTIFIED, Status.NOT_REFUTED)


@pytest.mark.parametrize("method", METHODS)
def test_a_shifted_output_weight_is_caught(curved, method):
    f, model = curved
    broken = damaged(model)
    broken.out_weight[7, 0, 11] += 3.0
    c = certify_uniform_error(broken, f, eps=0.02, method=method, samples=50_000)
    assert c.status is Status.REFUTED
    if method == "a_priori":
        tau = next(p for p in c.premises if p.name == "node values")
        assert "leaf [7]" in tau.detail


@pytest.mark.parametrize("method", METHODS)
def test_a_slight_shift_of_a_sharp_model_is_caught(method):
    """One expert lowered by 1e-4: the true error grows from the bound to the bound + 1e-4."""
    f = targets.sharp(plan(LipschitzFunction(lambda x: x[:, :1], n=2, lipschitz=1.0), 0.05))
    model = build_momlp(f, eps=0.05)
    bound = model.plan.error_bound * (1 + 1e-9)
    assert certify_uniform_error(model, f, eps=bound, method=method).status is not Status.REFUTED
    broken = damaged(model)
    broken.out_bias[5, 0] -= 1e-4
    c = certify_uniform_error(broken, f, eps=bound, method=method)
    assert c.status is Status.REFUTED
    assert c.lower <= bound + 1e-4


def without_knot(model, j):
    """Remove knot j from every expert: its weights go, the others stay."""
    broken = damaged(model)
    keep = [i for i in range(model.plan.knots) if i != j]
    broken.hidden_weight = nn.Parameter(model.hidden_weight[keep], requires_grad=False)
    broken.hidden_bias = nn.Parameter(model.hidden_bias[keep], requires_grad=False)
    broken.out_weight = nn.Parameter(model.out_weight[:, :, keep].contiguous(), requires_grad=False)
    return broken


@pytest.mark.parametrize("method", METHODS)
def test_a_removed_knot_is_caught(curved, method):
    f, model = curved
    c = certify_uniform_error(without_knot(model, 9), f, eps=0.02, method=method)
    assert c.status is Status.REFUTED
    if method == "a_priori":
        gap = next(p for p in c.premises if p.name == "knots")
        assert f"after {8 / model.plan.knots:.9g}" in gap.detail  # the widest gap, where knot 9 was


@pytest.mark.parametrize("method", ["branch_and_bound", "a_priori"])
def test_half_the_knots_are_caught(method):
    f = targets.get("cone", n=2)
    coarse = build_momlp(f, eps=0.05)
    fine = build_momlp(f, eps=0.02)
    assert coarse.plan.knots < fine.plan.knots / 2 + 1
    assert certify_uniform_error(coarse, f, eps=0.02, method=method).status is Status.REFUTED


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("method", ["branch_and_bound", "a_priori"])
def test_a_weight_that_is_not_finite_is_caught(curved, method, value):
    f, model = curved
    broken = damaged(model)
    broken.out_weight[11, 0, 30] = value
    c = certify_uniform_error(broken, f, eps=0.02, method=method)
    assert c.status is Status.REFUTED
    assert math.isinf(c.lower)
    assert "forward() gives [nan]" in c.reason or "forward() gives [inf]" in c.reason
    assert "leaf [11]" in str(c.premises)


class IgnoresItsWeights(PencilMoMLP):
    def forward(self, x):
        return super().forward(x) + 1e-3


@pytest.mark.parametrize("method", ["branch_and_bound", "a_priori"])
def test_a_forward_that_ignores_its_weights_is_caught(curved, method):
    f, model = curved
    liar = IgnoresItsWeights(model.plan, weights=(model.out_weight.data, model.out_bias.data), target=f)
    c = certify_uniform_error(liar, f, eps=0.02, method=method)
    assert c.status is Status.INCONCLUSIVE
    assert "forward() gives" in c.reason
    assert "at x =" in c.reason


class WrongInOneCell(PencilMoMLP):
    def forward(self, x):
        return super().forward(x) + 1e-3 * (self.route(x) == 17)


@pytest.mark.parametrize("method", ["branch_and_bound", "a_priori"])
def test_a_forward_that_is_wrong_in_one_cell_only_is_caught(curved, method):
    """32 random points need not meet the cell; every expert is visited besides."""
    f, model = curved
    liar = WrongInOneCell(model.plan, weights=(model.out_weight.data, model.out_bias.data), target=f)
    c = certify_uniform_error(liar, f, eps=0.02, method=method)
    assert c.status is Status.INCONCLUSIVE
    assert "leaf [17]" in c.reason


class RoutesElsewhere(PencilMoMLP):
    def route(self, x):
        return (super().route(x) + 1).clamp(max=self.tree.cells[0] - 1)


def test_a_router_that_leaves_its_cells_is_caught(curved):
    f, model = curved
    liar = RoutesElsewhere(model.plan, weights=(model.out_weight.data, model.out_bias.data), target=f)
    c = certify_uniform_error(liar, f, eps=0.02)
    assert c.status is Status.REFUTED
    assert "cell does not contain it" in str(c.premises)


class MissesACell(PencilMoMLP):
    def cell_bounds(self, leaf):
        lower, upper = super().cell_bounds(leaf)
        return lower, torch.where(upper == 1.0, 0.99, upper)


def test_cells_that_do_not_cover_are_caught(curved):
    f, model = curved
    liar = MissesACell(model.plan, weights=(model.out_weight.data, model.out_bias.data), target=f)
    c = certify_uniform_error(liar, f, eps=0.02)
    assert c.status is Status.INCONCLUSIVE
    assert any(not p.holds for p in c.premises)


def test_float32_slack_above_half_eps_is_refused():
    f = LipschitzFunction(lambda x: x[:, :1] * 1e-6, n=1, lipschitz=1e-6, domain=(1000, 1001))
    model = build_momlp(f, eps=1e-9, dtype=torch.float32)
    c = certify_uniform_error(model, f, eps=1e-9, method="a_priori", samples=100)
    assert c.status is Status.INCONCLUSIVE
    assert any(p.name == "rounding" and not p.holds for p in c.premises)


def test_a_modulus_contradicted_by_the_error_is_named():
    """Steep between the nodes only: building cannot see it, the sample of the a-priori way does."""
    model = build_momlp(LipschitzFunction(lambda x: 0 * x, n=1, lipschitz=1.0), eps=1 / 40)
    knots = model.plan.knots
    f = LipschitzFunction(lambda x: torch.sin(2 * math.pi * knots * x), n=1, lipschitz=1.0)
    c = certify_uniform_error(model, f, eps=1.5, method="a_priori")
    assert c.status is Status.INCONCLUSIVE
    assert "is refuted: |f − f̂| ≥" in c.reason


# --- models that were not built here ---------------------------------------------------------------------


class TwoHalves(nn.Module):
    """A hand-made mixture on [0, 1]: |x − 1/2| by one expert a half, with the protocol of foreign models."""

    num_leaves = 2

    def __init__(self, broken=None):
        super().__init__()
        self.experts = nn.ModuleList([nn.Sequential(nn.Linear(1, 1, dtype=torch.float64)) for _ in range(2)])
        with torch.no_grad():
            for net, slope in zip(self.experts, (-1.0, 1.0), strict=True):
                net[0].weight.fill_(slope)
                net[0].bias.fill_(-slope / 2)
        self.broken = broken

    def route(self, x):
        return (x[:, 0] > 0.5).long()

    def expert(self, leaf):
        return self.experts[leaf]

    def cell_bounds(self, leaf):
        ends = [(0.0, 0.5), (0.5, 1.0)][leaf]
        if self.broken == "gap" and leaf == 0:
            ends = (0.0, 0.4)
        if self.broken == "overlap" and leaf == 0:
            ends = (0.0, 0.7)
        return torch.tensor([ends[0]]), torch.tensor([ends[1]])

    def forward(self, x):
        y = torch.cat([net(x) for net in self.experts], dim=1)
        return y.gather(1, self.route(x)[:, None])


def distance_to_half():
    return LipschitzFunction.from_sympy("abs(x0 - 1/2)", n=1)


def test_foreign_mixture_is_certified():
    c = certify_uniform_error(TwoHalves(), distance_to_half(), eps=0.01)
    assert c.status is Status.CERTIFIED
    assert c.upper <= 0.01


@pytest.mark.parametrize("broken", ["gap", "overlap"])
def test_foreign_mixture_with_bad_cells_is_not_certified(broken):
    c = certify_uniform_error(TwoHalves(broken), distance_to_half(), eps=0.01)
    assert c.status is Status.INCONCLUSIVE


def deep_network(seed=0, widths=(2, 16, 16, 1)):
    torch.manual_seed(seed)
    layers = []
    for a, b in itertools.pairwise(widths):
        layers += [nn.Linear(a, b, dtype=torch.float64), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


@pytest.mark.parametrize("prelu", [False, True])
def test_a_trained_deep_network_gets_a_true_interval(prelu):
    """Any Linear/ReLU/PReLU stack on the whole domain: the interval holds the dense error and is tight to 5 %."""
    net = deep_network()
    if prelu:
        net[1] = nn.PReLU(16, init=0.3, dtype=torch.float64)
    f = targets.get("cone", n=2)
    c = certify_uniform_error(net, f, gap=0.05)
    truth = dense_error(net, f)
    assert c.lower * (1 + 1e-9) <= c.upper <= 1.06 * c.lower
    assert truth <= c.upper
    assert c.status is Status.CERTIFIED


def test_a_deep_network_is_refuted_when_it_is_off():
    f = targets.get("cone", n=2)
    c = certify_uniform_error(deep_network(), f, eps=1e-3)
    assert c.status is Status.REFUTED


def test_layers_without_a_bound_are_named():
    net = nn.Sequential(nn.Linear(1, 3, dtype=torch.float64), nn.SELU(), nn.Linear(3, 1, dtype=torch.float64))
    with pytest.raises((ValueError, TypeError), match="SELU"):
        certify_uniform_error(net, distance_to_half(), eps=0.5)
    c = certify_uniform_error(net, distance_to_half(), eps=100.0, method="sampled", samples=500)
    assert c.status is Status.NOT_REFUTED


# --- bad input -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"eps": -1.0}, ValueError, "`eps` must be a positive"),
        ({"gap": 0}, ValueError, "`gap` must be a positive"),
        ({"abs_tol": -1}, ValueError, "`abs_tol`"),
        ({"max_evaluations": 0}, ValueError, "`max_evaluations`"),
        ({"method": "hope"}, ValueError, "`method` must be one of"),
        ({"enclosed": True, "method": "sampled"}, ValueError, "`enclosed`"),
        ({"f": torch.sin}, TypeError, "`f` must be a LipschitzFunction"),
        ({"f": targets.get("cone", n=3)}, ValueError, "`f` must live where the model does"),
        ({"model": "x"}, TypeError, "`model` must be a torch.nn.Module"),
        ({"model": nn.Linear(2, 2, dtype=torch.float64)}, ValueError, "`model` must map"),
        ({"model": nn.Linear(5, 1, dtype=torch.float64)}, ValueError, "it failed on"),
        ({"model": nn.Linear(2, 1, dtype=torch.float16)}, ValueError, "float64 or float32"),
    ],
)
def test_bad_arguments_are_named(curved, options, error, message):
    f, model = curved
    arguments = {"model": model, "f": f, "eps": 0.02} | options
    with pytest.raises(error, match=message):
        certify_uniform_error(arguments.pop("model"), arguments.pop("f"), **arguments)


def test_certificates_agree_on_the_device(device):
    f = targets.get("cone", n=2)
    cpu = certify_uniform_error(build_momlp(f, eps=0.02), f, eps=0.02)
    gpu = certify_uniform_error(build_momlp(f, eps=0.02, device=device), f, eps=0.02)
    assert gpu.status is Status.CERTIFIED
    assert max(cpu.lower, gpu.lower) <= min(cpu.upper, gpu.upper)
