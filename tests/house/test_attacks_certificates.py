"""Objects made to fool the certificates of the uniform error. Each was once CERTIFIED, or is a variation of one."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import nn

from constructions import LipschitzFunction, build_momlp, load, save, targets, train_momlp
from constructions.trained_momlp.training import Options
from theory import Evidence, Status, certify_uniform_error
from theory.checkers.uniform_error.banks import banks_of
from theory.checkers.uniform_error.boxes import half_widths, norm_above
from theory.checkers.uniform_error.certificate import UniformErrorCertificate
from theory.checkers.uniform_error.ridge import FirstLayer, RidgeBank
from theory.checkers.uniform_error.share import Share
from theory.checkers.uniform_error.simplices import NotAffine, affine_pieces
from theory.checkers.uniform_error.stack import StackBank, layers_in_order, linear_stack, precision, stack_fault
from theory.checkers.uniform_error.target_values import evaluation_error
from theory.checkers.uniform_error.view import view_of
from theory.together import combined

DOUBLE = {"dtype": torch.float64}
DECIDING = ("branch_and_bound", "a_priori", "simplices")


def linear(weight, bias):
    layer = nn.Linear(len(weight[0]), len(weight), **DOUBLE)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(weight, **DOUBLE))
        layer.bias.copy_(torch.tensor(bias, **DOUBLE))
    return layer


def zero(n=1, lam=1.0, domain=None):
    return LipschitzFunction(lambda x: 0 * x[:, :1], n=n, lipschitz=lam, domain=domain)


def true_error(model, f, count=20001):
    lo, hi = f.domain.lo[0], f.domain.hi[0]
    x = torch.linspace(lo, hi, count, **DOUBLE)[:, None]
    with torch.no_grad():
        return float((f(x) - model(x)).abs().max())


# --- one module used twice (S1) --------------------------------------------------------------------------


def hat_of_hats(act_1, act_2):
    """A tent of height 1/4 made by two hidden layers: with the second activation left out it is 0 at every kink."""
    first = linear([[1.0], [1.0]], [0.0, -0.5])
    second = linear([[1.0, -2.0], [1.0, -2.0]], [0.0, -0.25])
    return nn.Sequential(first, act_1, second, act_2, linear([[1.0, -2.0]], [0.0]))


@pytest.mark.parametrize("method", ["branch_and_bound"])
@pytest.mark.parametrize("kind", [nn.ReLU, lambda: nn.PReLU(1, init=0.0, **DOUBLE)], ids=["relu", "prelu"])
def test_a_reused_activation_is_every_layer_that_it_is(kind, method):
    shared = kind()
    twice, apart = hat_of_hats(shared, shared), hat_of_hats(kind(), kind())
    f = zero(lam=2.0)
    assert len(linear_stack(twice)) == 3
    assert [layer.alpha is None for layer in linear_stack(twice)] == [False, False, True]
    one, two = (certify_uniform_error(net, f, gap=0.01, method=method) for net in (twice, apart))
    assert (one.status, one.lower, one.upper) == (two.status, two.lower, two.upper)
    assert one.status is Status.CERTIFIED
    assert one.lower <= true_error(twice, f) <= one.upper
    assert certify_uniform_error(twice, f, eps=true_error(twice, f) * 0.9, method=method).status is Status.REFUTED


def test_a_tied_linear_layer_is_every_layer_that_it_is():
    tied = linear([[2.0]], [-0.5])
    net = nn.Sequential(tied, nn.ReLU(), tied, nn.ReLU(), tied)
    assert len(linear_stack(net)) == 3
    f = zero(lam=8.0)
    c = certify_uniform_error(net, f, gap=0.01)
    assert c.status is Status.CERTIFIED
    assert c.lower <= true_error(net, f) <= c.upper


def test_nested_sequentials_are_read_in_order():
    act = nn.ReLU()
    inner = nn.Sequential(linear([[1.0], [-1.0]], [0.0, 1.0]), act)
    net = nn.Sequential(
        inner, nn.Identity(), nn.Sequential(nn.Sequential(linear([[1.0, 1.0], [0.0, 1.0]], [0, -1])), act)
    )
    assert layers_in_order(net)[1] is layers_in_order(net)[3] is act
    assert [layer.alpha is None for layer in linear_stack(net)] == [False, False]


class Twice(nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x)


class Loud(nn.ReLU):
    def __call__(self, x):
        return 2 * super().__call__(x)


class Backwards(nn.Sequential):
    def forward(self, x):
        for layer in reversed(self):
            x = layer(x)
        return x


def hooked(pre):
    layer = linear([[1.0]], [0.0])
    if pre:
        layer.register_forward_pre_hook(lambda module, args: (args[0] + 1,))
    else:
        layer.register_forward_hook(lambda module, args, y: 2 * y)
    return layer


def with_own_forward():
    layer = linear([[1.0]], [0.0])
    layer.forward = lambda x: x.square()
    return layer


def weight_normed():
    return nn.utils.parametrizations.weight_norm(linear([[1.0]], [0.0]))


def compiled():
    layer = linear([[1.0]], [0.0])
    layer._compiled_call_impl = lambda x: 3 * x
    return layer


ALTERED = {
    "subclass": lambda: nn.Sequential(Twice(1, 1, **DOUBLE)),
    "call": lambda: nn.Sequential(linear([[1.0]], [0.0]), Loud(), linear([[1.0]], [0.0])),
    "order": lambda: Backwards(linear([[1.0]], [1.0]), nn.ReLU(), linear([[2.0]], [0.0])),
    "hook": lambda: nn.Sequential(hooked(False)),
    "pre-hook": lambda: nn.Sequential(hooked(True)),
    "bare hook": lambda: hooked(False),
    "own forward": lambda: nn.Sequential(with_own_forward()),
    "parametrised": lambda: nn.Sequential(weight_normed()),
    "compiled": lambda: nn.Sequential(compiled()),
    "relu twice": lambda: nn.Sequential(linear([[1.0]], [0.0]), nn.ReLU(), nn.ReLU()),
    "relu first": lambda: nn.Sequential(nn.ReLU(), linear([[1.0]], [0.0])),
    "relu6": lambda: nn.Sequential(linear([[1.0]], [0.0]), nn.ReLU6(), linear([[1.0]], [0.0])),
    "dropout": lambda: nn.Sequential(linear([[1.0]], [0.0]), nn.Dropout(0.5)),
    "empty": nn.Sequential,
}


@pytest.mark.parametrize("make", ALTERED.values(), ids=ALTERED)
def test_modules_that_may_compute_something_else_are_refused(make):
    net = make()
    assert linear_stack(net) is None
    assert isinstance(stack_fault(net), str)
    for method in ("branch_and_bound", "a_priori"):
        with pytest.raises(ValueError, match="`model`"):
            certify_uniform_error(net, zero(), eps=10.0, method=method)


def test_a_hook_on_all_modules_is_seen():
    net = nn.Sequential(linear([[1.0]], [0.0]))
    handle = nn.modules.module.register_module_forward_hook(lambda module, args, y: None)
    try:
        with pytest.raises(ValueError, match="has forward hooks"):
            certify_uniform_error(net, zero(), eps=10.0)
    finally:
        handle.remove()
    assert certify_uniform_error(net, zero(), eps=10.0).status is Status.CERTIFIED


@pytest.mark.parametrize("change", ["hook", "forward", "route", "expert", "cell_bounds"])
def test_a_mixture_with_replaced_methods_is_refused(change):
    f = targets.get("cone", n=2)
    model = build_momlp(f, eps=0.2)
    if change == "hook":
        model.register_forward_hook(lambda module, args, y: y + 1)
    else:
        own = getattr(model, change)
        setattr(model, change, lambda *a, **k: own(*a, **k))
    with pytest.raises(ValueError, match="`model`: PencilMoMLP has (forward hooks|its own " + change + ")"):
        certify_uniform_error(model, f, eps=0.2)


def test_slopes_that_do_not_fit_and_mixed_precision_are_faults():
    wide = nn.Sequential(linear([[1.0], [1.0]], [0.0, 0.0]), nn.PReLU(3, **DOUBLE), linear([[1.0, 1.0]], [0.0]))
    assert "slopes for 2 units" in stack_fault(wide)
    mixed = nn.Sequential(nn.Linear(1, 1, **DOUBLE), nn.ReLU(), nn.Linear(1, 1))
    assert "float64 or float32, all of them" in stack_fault(mixed)
    apart = nn.Sequential(nn.Linear(1, 2, **DOUBLE), nn.ReLU(), nn.Linear(3, 1, **DOUBLE))
    assert "takes 3 inputs where there are 2" in stack_fault(apart)


# --- half a protocol, or a lying one (S2) ----------------------------------------------------------------


class Halves(nn.Module):
    """Two experts: 0 left of 1/2, 1 right of it. Honest; what it offers beside forward() is chosen by `offers`."""

    def __init__(self, offers=("route", "expert", "cell_bounds", "num_leaves")):
        super().__init__()
        self.experts = nn.ModuleList([nn.Sequential(linear([[0.0]], [v])) for v in (0.0, 1.0)])
        for name in offers:
            value = 2 if name == "num_leaves" else getattr(self, f"_{name}")
            setattr(self, name, value)

    def _route(self, x):
        return (x[:, 0] > 0.5).long()

    def _expert(self, leaf):
        return self.experts[leaf]

    def _cell_bounds(self, leaf):
        return torch.tensor([leaf / 2], **DOUBLE), torch.tensor([(leaf + 1) / 2], **DOUBLE)

    def forward(self, x):
        return self._route(x).double()[:, None]


PARTS = ("route", "expert", "cell_bounds", "num_leaves")
PARTIAL = [c for size in (1, 2, 3) for c in itertools.combinations(PARTS, size)]


@pytest.mark.parametrize("offers", PARTIAL, ids="+".join)
def test_a_part_of_the_protocol_is_refused_and_may_be_sampled(offers):
    model = Halves(offers)
    for method in DECIDING:
        with pytest.raises(ValueError, match="must offer all of route, expert, cell_bounds, num_leaves or none"):
            certify_uniform_error(model, zero(), eps=0.1, method=method)
    c = certify_uniform_error(model, zero(), eps=0.1, method="sampled", samples=500)
    assert c.status is Status.REFUTED


def test_control_the_whole_protocol_is_decided():
    assert certify_uniform_error(Halves(), zero(), eps=1.1).status is Status.CERTIFIED
    assert certify_uniform_error(Halves(), zero(), eps=0.5).status is Status.REFUTED


@pytest.mark.parametrize(
    "leaf",
    [
        lambda x: torch.full((len(x),), 2),
        lambda x: torch.full((len(x),), -1),
        lambda x: (x[:, 0] > 0.5).double(),
        lambda x: x[:, 0] > 0.5,
        lambda x: torch.zeros(1, dtype=torch.int64),
        lambda x: torch.zeros(len(x), 2, dtype=torch.int64),
        lambda x: [0] * len(x),
        lambda x: None,
    ],
    ids=["beyond", "negative", "float", "bool", "one", "pairs", "list", "none"],
)
def test_leaves_that_are_none_are_refused(leaf):
    model = Halves()
    model.route = leaf
    with pytest.raises(ValueError, match=r"`model\.route` must give"):
        certify_uniform_error(model, zero(), eps=1.0)


@pytest.mark.parametrize("count", [0, -1, 2.0, True, "2", None, torch.tensor(2)])
def test_counts_that_are_none_are_refused(count):
    model = Halves()
    model.num_leaves = count
    with pytest.raises(ValueError, match=r"`model.num_leaves` must be an integer"):
        certify_uniform_error(model, zero(), eps=1.0)


@pytest.mark.parametrize(
    "ends",
    [
        (math.nan, 1.0),
        (0.0, math.inf),
        (1.0, 0.0),
        ([0.0, 0.0], [1.0, 1.0]),
        (0.0,),
        None,
    ],
    ids=str,
)
def test_cells_that_are_none_are_refused(ends):
    model = Halves()
    stated = None if ends is None else tuple(torch.tensor(e, **DOUBLE).reshape(-1) for e in ends)
    model.cell_bounds = lambda leaf: stated
    with pytest.raises(ValueError, match=r"`model\.cell_bounds"):
        certify_uniform_error(model, zero(), eps=1.0)


def test_fewer_leaves_than_experts_do_not_cover():
    model = Halves()
    model.num_leaves = 1
    with pytest.raises(ValueError, match=r"`model\.route` must give leaves below"):
        certify_uniform_error(model, zero(), eps=0.1)


@pytest.mark.parametrize("outputs", [2, 3])
def test_experts_with_other_outputs_than_the_mixture_are_noticed(outputs):
    """All outputs alike, so that broadcasting would find no difference."""

    class Flat(Halves):
        def forward(self, x):
            return 0 * x

    model, wide = Flat(), nn.Sequential(linear([[0.0]] * outputs, [0.0] * outputs))
    model.expert = lambda leaf: wide
    c = certify_uniform_error(model, zero(), eps=1.0)
    assert c.status is Status.INCONCLUSIVE
    assert f"gives {outputs} outputs, the mixture 1" in c.reason


def test_experts_with_other_inputs_are_refused():
    class Plane(Halves):
        def _cell_bounds(self, leaf):
            return torch.tensor([leaf / 2, 0.0], **DOUBLE), torch.tensor([(leaf + 1) / 2, 1.0], **DOUBLE)

    with pytest.raises(ValueError, match=r"does not accept 2 inputs|must take 2 inputs, got 1"):
        certify_uniform_error(Plane(), zero(n=2), eps=1.0)


# --- pencils along a routed axis (S3) --------------------------------------------------------------------


def turned(eps=0.2):
    """A mixture whose experts read the axis that the router cuts: |x0 − 1/2| in cells on axis 0."""
    f = LipschitzFunction.from_sympy("abs(x0 - 1/2)", n=2)
    model = build_momlp(f, eps=eps)
    knots = model.plan.knots
    t = torch.linspace(0, 1, knots + 1, **DOUBLE)[:-1]
    model.hidden_weight = nn.Parameter(torch.stack([torch.ones(knots), torch.zeros(knots)], 1).double())
    model.hidden_bias = nn.Parameter(-t)
    model.out_weight.zero_()
    model.out_bias.zero_()
    return f, model.requires_grad_(False)


@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize("method", ["branch_and_bound", "a_priori"])
def test_experts_that_read_a_routed_axis_are_bounded_in_their_own_cells(method, stored, tmp_path):
    f, model = turned()
    if stored:
        model = load(save(model, tmp_path / "turned.safetensors"))
    c = certify_uniform_error(model, f, gap=0.01 if method == "branch_and_bound" else None, method=method)
    assert c.lower <= 0.5 <= c.upper  # the model is 0: the error is 1/2, at both ends of axis 0
    assert certify_uniform_error(model, f, eps=0.4, method=method).status is Status.REFUTED


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_pencils_along_any_axis_hold_the_dense_error(axis):
    torch.manual_seed(axis)
    f = LipschitzFunction.from_sympy("(x0 + x1 + x2)/2", n=3)
    model = build_momlp(f, eps=0.5)
    weight = torch.zeros_like(model.hidden_weight)
    weight[:, axis] = torch.randn(len(weight), **DOUBLE)
    model.hidden_weight.copy_(weight)
    model.out_weight.copy_(torch.randn_like(model.out_weight))
    x = torch.rand(20000, 3, **DOUBLE)
    truth = float((f(x) - model(x)).abs().max())
    for method in ("branch_and_bound", "a_priori"):
        c = certify_uniform_error(model, f, method=method, gap=0.05 if method == "branch_and_bound" else None)
        assert truth <= c.upper
        assert c.lower <= c.upper


def test_a_bank_of_unequal_intervals_is_refused():
    layer = FirstLayer(torch.ones(1, 1, **DOUBLE), torch.zeros(1, **DOUBLE), torch.zeros(1, **DOUBLE), 0)
    lower = torch.tensor([[0.0], [0.5]], **DOUBLE)
    weight, bias = torch.ones(2, 1, 1, **DOUBLE), torch.zeros(2, 1, **DOUBLE)
    with pytest.raises(ValueError, match="must share their interval on axis 0"):
        RidgeBank.of(layer, weight, bias, lower, lower + 0.5, unit=2.0**-53)


# --- answers that are no numbers (S9) --------------------------------------------------------------------


class SometimesNaN(nn.Module):
    def __init__(self, value, share):
        super().__init__()
        self.value, self.share = value, share
        self.weight = nn.Parameter(torch.zeros(1, **DOUBLE))

    def forward(self, x):
        return torch.where(x < self.share, self.value, 0.0)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("share", [2.0, 0.5, 0.01, 1e-4])
def test_answers_that_are_no_numbers_refute(value, share):
    c = certify_uniform_error(SometimesNaN(value, share), zero(), eps=0.5, method="sampled", samples=50_000)
    assert c.status is Status.REFUTED
    assert math.isinf(c.lower)
    assert c.witness[0] < share
    assert not any(p.holds for p in c.premises if p.name == "finite outputs")
    without = certify_uniform_error(SometimesNaN(value, share), zero(), method="sampled", samples=50_000)
    assert without.status is Status.INCONCLUSIVE


def test_half_precision_answers_are_refused():
    class Half(nn.Module):
        def forward(self, x):
            return x.half()

    with pytest.raises(ValueError, match=r"float64 or float32, got torch\.float16"):
        certify_uniform_error(Half(), zero(), eps=0.5, method="sampled")


@pytest.mark.parametrize("name", ["lower", "upper", "slack"])
def test_no_certificate_holds_a_nan(name):
    fields = {"lower": 0.0, "upper": 1.0, "slack": 0.0} | {name: math.nan}
    with pytest.raises(ValueError, match=f"`{name}` must be a number"):
        UniformErrorCertificate(
            "a_priori", witness=None, evidence=Evidence.FLOAT64, premises=(), evaluations=0, **fields
        )


# --- numbers below the normal ones (S10) -----------------------------------------------------------------


def gated(small, large, gate=1e-3):
    """large·relu(small·relu(relu(x − a) − …)): of height small·large·gate, in subnormal pieces behind a narrow gate."""
    first = linear([[1.0], [1.0], [1.0]], [-0.5, -0.5 - gate, -0.5 - 2 * gate])
    second = linear([[small, -2 * small, small]], [0.0])
    return nn.Sequential(
        first, nn.ReLU(), second, nn.ReLU(), linear([[large]], [0.0]), nn.ReLU(), linear([[large]], [0.0])
    )


@pytest.mark.parametrize("exponent", [-1074, -1060, -1030, -1022, -1000, -700])
def test_subnormal_weights_are_never_certified_away(exponent):
    gate = 2.0**-10
    net = gated(2.0**exponent, 2.0 ** ((-exponent + 9) // 2), gate)
    f = zero(lam=1e3)
    x = torch.tensor([[0.5 + gate]], **DOUBLE)
    truth = float(net(x).abs())
    c = certify_uniform_error(net, f, eps=0.1, max_evaluations=200_000)
    assert c.status is not Status.CERTIFIED or truth <= 0.1
    bank = StackBank.of(linear_stack(net), *(e[None] for e in f.domain.tensors()), unit=2.0**-53)
    box = torch.tensor([[0.25]], **DOUBLE)
    centre = torch.tensor([[0.5]], **DOUBLE)
    nothing = torch.zeros(1, dtype=torch.int64)
    moved = bank.variation(nothing, nothing, centre, box)
    assert float(moved) + bank.table_slack >= truth


def test_a_box_too_small_to_square_has_a_diagonal():
    f = LipschitzFunction(lambda x: x[:, :1] * 1e150, n=2, lipschitz=1e150, domain=(0.0, 1e-150))
    net = nn.Sequential(linear([[0.0, 0.0]], [0.5]))
    c = certify_uniform_error(net, f, eps=0.4, max_evaluations=10_000)
    assert c.status is Status.REFUTED
    assert certify_uniform_error(net, f, gap=0.01).upper >= 0.5


# --- trained mixtures (S11) ------------------------------------------------------------------------------


def trained(dtype=torch.float64):
    torch.manual_seed(0)
    x = torch.rand(400, 2, **DOUBLE) * torch.tensor([100.0, 1e-3], **DOUBLE) + 5
    y = x[:, :1] / 100
    options = Options(steps=20)
    return x, train_momlp(x, y, leaves=4, expert_hidden=(6, 5), options=options, dtype=dtype)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-3)])
def test_the_expert_of_a_trained_mixture_takes_the_mixtures_own_inputs(dtype, tolerance):
    x, model = trained(dtype)
    leaf = model.route(x)
    for e in range(model.num_leaves):
        mine = leaf == e
        assert bool(mine.any())
        assert float((model.expert(e)(x[mine]) - model(x[mine]).double()).abs().max()) < tolerance


def test_a_trained_mixture_is_refused_for_its_cells_and_not_accused():
    _, model = trained()
    f = LipschitzFunction(lambda x: x[:, :1] / 100, n=2, lipschitz=0.01, domain=((5, 105), (5, 5.001)))
    for method in DECIDING:
        with pytest.raises(ValueError, match="lacks cell_bounds; use method='sampled'"):
            certify_uniform_error(model, f, eps=10.0, method=method)
    assert certify_uniform_error(model, f, eps=10.0, method="sampled", samples=500).status is Status.NOT_REFUTED


# --- parts of a whole (suspected: Share(0, 2) complete) --------------------------------------------------


def test_a_part_certifies_nothing_and_the_parts_together_do():
    f = targets.get("cone", n=2)
    model = build_momlp(f, eps=0.1)
    parts = [certify_uniform_error(model, f, eps=0.1, share=Share(rank, 3)) for rank in range(3)]
    assert [c.status for c in parts] == [Status.INCONCLUSIVE] * 3
    assert [c.part for c in parts] == [(0, 3), (1, 3), (2, 3)]
    assert "part 2 of 3" in parts[1].reason
    assert combined(parts).status is Status.CERTIFIED
    for wrong in ([0, 1], [0, 0, 1], [0, 1, 1], [2], [0, 1, 2, 2]):
        assert combined([parts[i] for i in wrong]).status is Status.INCONCLUSIVE


def test_boxes_shared_by_more_ranks_than_leaves_are_all_needed():
    """Each rank reads all leaves here, so that their number cannot tell that a rank is missing."""
    f = LipschitzFunction.from_sympy("sin(6*x0)", n=1)
    model = build_momlp(f, eps=0.05)
    parts = [certify_uniform_error(model, f, eps=0.05, share=Share(rank, 2)) for rank in range(2)]
    assert combined(parts).status is Status.CERTIFIED
    assert combined(parts[:1]).status is Status.INCONCLUSIVE
    assert combined([parts[0], parts[0]]).status is Status.INCONCLUSIVE


def test_the_default_share_is_everything():
    f = targets.get("cone", n=2)
    model = build_momlp(f, eps=0.1)
    view = view_of(model, f.domain, 1, max_leaves=10**6)
    assert (view.share.rank, view.share.world) == (0, 1)
    assert torch.equal(view.leaves, model.tree.leaf_indices())
    assert certify_uniform_error(model, f, eps=0.1).leaves_checked == model.num_leaves


# --- sizes of boxes (suspected: the centre's rounding for n > 4) -----------------------------------------


@pytest.mark.parametrize("n", [1, 2, 5, 17, 64, 300])
@pytest.mark.parametrize("scale", [1.0, 1e-200, 1e150, 2.0**-1060])
def test_half_widths_and_norms_are_upper_bounds(n, scale):
    g = torch.Generator().manual_seed(n)
    lo = (torch.rand(20, n, generator=g, **DOUBLE) + 1) * scale
    hi = lo + torch.rand(20, n, generator=g, **DOUBLE) * scale * 2.0 ** -torch.randint(0, 53, (20, n), generator=g)
    centre = (lo + hi) / 2
    half = half_widths(lo, hi, centre)
    norms = norm_above(half)
    for row in range(20):
        exact = [Fraction(v) for v in half[row].tolist()]
        for h, a, b, c in zip(exact, lo[row].tolist(), hi[row].tolist(), centre[row].tolist(), strict=True):
            assert h >= max(Fraction(b) - Fraction(c), Fraction(c) - Fraction(a))
        square = sum(h * h for h in exact)
        assert Fraction(float(norms[row])) ** 2 >= square
        assert (
            float(norms[row])
            <= math.sqrt(float(square / Fraction(scale) ** 2)) * scale * (1 + 1e-12 + n * 1e-15) + 5e-324
        )


def test_norms_of_nothing_and_of_nan():
    assert norm_above(torch.zeros(2, 3, **DOUBLE)).tolist() == [0.0, 0.0]
    assert bool(norm_above(torch.tensor([[math.nan, 1.0]], **DOUBLE)).isnan().all())
    assert not bool(torch.isfinite(norm_above(torch.tensor([[math.inf, 1.0]], **DOUBLE))).any())


# --- node positions (suspected: a_priori rounds them without an ω term) ----------------------------------


def test_rounded_nodes_are_paid_for():
    """Kinks at thirds: f is asked at the nearest floats, at most half an ulp away."""
    f = LipschitzFunction(lambda x: x.abs(), n=1, lipschitz=1.0, domain=(-1.0, 1.0))
    net = nn.Sequential(linear([[3.0], [3.0]], [3.0, -1.0]), nn.ReLU(), linear([[1 / 3, 0.0]], [-1.0]))
    c = certify_uniform_error(net, f, method="a_priori")
    bank = next(bank for _, bank in banks_of(view_of(net, f.domain, 1, max_leaves=1)))
    eta, _, _ = evaluation_error(f, torch.Generator().manual_seed(0))
    shift = abs(Fraction(1 / 3) - Fraction(1, 3))
    assert Fraction(c.slack) >= Fraction(eta) + Fraction(bank.forward_slack) + shift * Fraction(99, 100)


# --- black boxes without gradients -----------------------------------------------------------------------


@pytest.mark.parametrize("method", ["a_priori", "sampled", "branch_and_bound"])
def test_a_black_box_in_numpy_is_certified_and_stays_put(method):
    f = LipschitzFunction(lambda x: torch.from_numpy(np.abs(x.numpy()[:, :1] - 0.3)), n=2, lipschitz=1.0)
    model = build_momlp(f, eps=0.1)
    c = certify_uniform_error(model, f, eps=0.1, method=method, samples=2000)
    assert c.status is (Status.NOT_REFUTED if method == "sampled" else Status.CERTIFIED)


# --- what the premises say in words ----------------------------------------------------------------------


def test_a_forward_of_somebody_else_is_said_to_be_taken_at_its_word():
    mine, theirs = (
        next(p.detail for p in certify_uniform_error(m, zero(), eps=1.5).premises if p.name.startswith("forward()"))
        for m in (nn.Sequential(linear([[0.0]], [0.5])), Halves())
    )
    assert mine == "equal to exact rational evaluation within rounding at 32 points"
    assert theirs == mine + "; elsewhere forward() is taken at its word"


# --- formulas that torch does not evaluate as they are written -------------------------------------------

TENT = "Max(0, 1/2 - 1000*Abs(x0 - 1/3))"
TWIN = "Max(0, 1/2 - 1000*Abs(x0 - 1/3 - 1/10000))"


def constant(value):
    return nn.Sequential(linear([[0.0]], [value]))


def test_a_formula_whose_rounding_has_no_bound_is_only_sampled():
    """The quotient's ball reaches 0/0: what is known of torch's values is a sample, and so is the certificate."""
    f = LipschitzFunction.from_sympy("x0**2/(x0**2 + 1/10**12)*x0", n=1, domain=(-1.0, 1.0))
    c = certify_uniform_error(constant(0.0), f, eps=1.5)
    assert (c.status, c.evidence) == (Status.NOT_REFUTED, Evidence.SAMPLED)
    assert "no bound of torch's rounding is found" in str(c.premises)


def test_a_needle_lost_to_cancellation_is_no_certificate():
    text = f"Piecewise((1, x0 < 1), (sqrt(x0), True)) + Max(0, {TENT} + {10**20}) - {10**20}"
    f = LipschitzFunction.from_sympy(text, n=1, domain=(-1.0, 1.0))
    assert certify_uniform_error(constant(1.0), f, eps=0.1).status is Status.INCONCLUSIVE


@pytest.mark.parametrize(
    "text",
    [
        f"1e200*sqrt((1e-200*{TENT})**2 + (1e-200*{TWIN})**2)",
        f"Max(0, 1e-165*{TENT})*Max(1e-165, 1e-166*x0)*exp(380 + x0)*exp(379 + x0**2)",
    ],
    ids=["norm", "product"],
)
def test_needles_lost_to_underflow_are_no_certificates(text):
    f = LipschitzFunction.from_sympy(text, n=1)
    assert certify_uniform_error(constant(0.0), f, eps=0.1).status is Status.INCONCLUSIVE


@pytest.mark.parametrize("text", ["x0/1000", "x0/61", "29*x0/7", "x0/3 + x0**2/7"])
def test_honest_quotients_are_not_accused(text):
    f = LipschitzFunction.from_sympy(text, n=1)
    c = certify_uniform_error(build_momlp(f, eps=0.1), f, eps=0.1)
    assert c.status is Status.CERTIFIED
    assert c.slack < 1e-12


# --- sums that cancel, kinks at the ends, pieces that do not match ---------------------------------------


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_cancellation_in_the_output_layer_is_paid_for(order):
    """x as 2⁶⁰x + x − 2⁶⁰x, in every order: float64 sees 0 in some."""
    first, second = linear([[-1.0]] * 3, [1.0] * 3), linear((-torch.eye(3)).tolist(), [1.0] * 3)
    weights = [2.0**60, 1.0, -(2.0**60)]
    net = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), linear([[weights[i] for i in order]], [0.0]))
    f = LipschitzFunction.from_sympy("x0/1000000", n=1)
    c = certify_uniform_error(net, f, eps=0.01, method="simplices", samples=500)
    assert c.status is Status.INCONCLUSIVE


@pytest.mark.parametrize(("w", "lo"), [(3.0, 0.1), (7.0, 0.3), (-3.0, 0.1), (11.0, 0.7)])
def test_a_kink_beside_the_lower_end_bends_once(w, lo):
    f = LipschitzFunction(lambda x: x[:, :1], n=1, lipschitz=1.0, domain=(lo, 1.0))
    net = nn.Sequential(linear([[w]], [-(w * lo)]), nn.ReLU(), linear([[1 / w]], [lo]))
    c = certify_uniform_error(net, f, gap=0.01)
    x = torch.linspace(lo, 1, 1001, **DOUBLE)[:, None]
    with torch.no_grad():
        truth = float((x - net(x)).abs().max())
    assert c.status is Status.CERTIFIED
    assert truth <= c.upper <= max(1.02 * truth, 1e-3)


def test_pieces_of_float_and_exact_tables_must_be_the_same():
    """An exact kink before the end whose float is the end, and one kink twice: as many pieces, and none alike."""
    weights = [[7.0], [1.0], [1.0]]
    net = nn.Sequential(
        linear(weights, [-13.299999999999999, -(2.0**-20), -(2.0**-20)]),
        nn.ReLU(),
        linear([[-1 / 7, 1.0, -1.0]], [0.0]),
    )
    f = LipschitzFunction.from_sympy(
        "Min(19/20 + 18*x0, 275/100 - x0, 9/10 + 18*Abs(x0 - 95/100))", n=1, domain=(0, 1.9)
    )
    with pytest.raises(ValueError, match="`enclosed` needs"):
        certify_uniform_error(net, f, eps=1.0, enclosed=True)
    assert certify_uniform_error(net, f, eps=1.0).status is Status.REFUTED


def test_corners_of_pythons_numbers_are_float64():
    class Edge(Halves):
        def _cell_bounds(self, leaf):
            return ([0.0], [0.1]) if leaf == 0 else ([0.1], [1.0])

    view = view_of(Edge(), zero().domain, 1, max_leaves=2)
    lower, upper = view.bounds(view.leaves)
    assert (lower[1, 0].item(), upper[0, 0].item()) == (0.1, 0.1)


@pytest.mark.parametrize("how", ["buffer", "attribute"])
def test_weights_that_are_no_parameters_count_for_precision_and_finiteness(how):
    def layer(value, dtype=torch.float32):
        made = nn.Linear(1, 1, dtype=dtype)
        weight = torch.full((1, 1), value, dtype=dtype)
        del made.weight
        if how == "buffer":
            made.register_buffer("weight", weight)
        else:
            made.weight = weight
        made.bias = None
        return made

    assert precision(nn.Sequential(layer(1.0))) == (2.0**-24, 2.0**-126)
    broken = Halves()
    broken.experts[0][0] = layer(math.nan, torch.float64)
    assert certify_uniform_error(broken, zero(), eps=3.0).status is not Status.CERTIFIED


class Lying(torch.Tensor):
    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        with torch._C.DisableTorchFunctionSubclass():
            answer = function(*args, **(kwargs or {}))
        return answer + 5 if function is nn.functional.linear else answer


def test_weights_that_compute_are_refused():
    layer = linear([[1.0]], [0.0])
    del layer.weight
    layer.weight = torch.ones(1, 1, **DOUBLE).as_subclass(Lying)
    assert "not a dense torch.Tensor" in stack_fault(nn.Sequential(layer))
    for network in (layer, nn.Sequential(layer)):
        with pytest.raises(ValueError, match="not a dense"):
            certify_uniform_error(network, zero(), eps=10.0)


def test_weights_without_rows_are_refused():
    layer = linear([[1.0]], [0.0])
    layer.weight = nn.Parameter(torch.ones(1, 1, **DOUBLE).to_sparse_csr(), requires_grad=False)
    with pytest.raises(ValueError, match="not a dense"):
        certify_uniform_error(nn.Sequential(layer), zero(), eps=10.0)


def test_nests_without_end_are_refused():
    net = nn.Sequential(linear([[1.0]], [0.0]))
    for _ in range(300):
        net = nn.Sequential(net)
    assert "nested deeper" in stack_fault(net)


@pytest.mark.parametrize("cells", [1e8, 1e15, math.inf, math.nan])
def test_grids_of_any_size_are_answered_at_once(cells):
    net = nn.Sequential(
        linear([[-1.0]], [1.0]), nn.ReLU(), linear([[-1.0]], [cells]), nn.ReLU(), linear([[1.0]], [0.0])
    )
    with pytest.raises(NotAffine):
        affine_pieces([linear_stack(net)])


# --- parts of different questions ------------------------------------------------------------------------


def test_parts_of_different_models_or_questions_do_not_combine():
    f = targets.get("cone", n=2)
    one, other = build_momlp(f, eps=0.1), build_momlp(f, eps=0.1)
    other.out_bias += 9.0
    left = certify_uniform_error(one, f, eps=0.1, share=Share(0, 2))
    with pytest.raises(ValueError, match="`parts` must answer one question"):
        combined([left, certify_uniform_error(other, f, eps=0.1, share=Share(1, 2))])
    with pytest.raises(ValueError, match="`parts` must answer one question"):
        combined([left, certify_uniform_error(one, f, eps=0.2, share=Share(1, 2))])
    for nothing in ([], [1], [None, left]):
        with pytest.raises(ValueError, match="`parts` must be certificates"):
            combined(nothing)


def test_a_part_without_a_box_of_its_own_is_no_contradiction():
    net = nn.Sequential(
        nn.Linear(2, 4, **DOUBLE), nn.ReLU(), nn.Linear(4, 3, **DOUBLE), nn.ReLU(), nn.Linear(3, 1, **DOUBLE)
    )
    f = targets.get("cone", n=2)
    parts = [certify_uniform_error(net, f, gap=0.2, share=Share(rank, 2)) for rank in range(2)]
    whole = certify_uniform_error(net, f, gap=0.2)
    together = combined(parts)
    assert together.status is whole.status is Status.CERTIFIED
    assert together.upper >= whole.lower
