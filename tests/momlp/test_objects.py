"""MoMLP: values, experts, cells, transforms, laziness, refusals."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from constructions import BudgetExceeded, LipschitzFunction, Modulus, ModulusViolation, build_momlp, targets
from theory import exact

GENERATOR_SEED = 3


def points(f, count=2000):
    return f.domain.sample(count, torch.Generator().manual_seed(GENERATOR_SEED))


@pytest.mark.law
@settings(max_examples=60)
@given(
    name=st.sampled_from(targets.names()),
    n=st.integers(1, 4),
    eps=st.floats(0.06, 0.5),
    split=st.one_of(st.none(), st.floats(0.1, 0.9)),
    valency=st.integers(2, 8),
    activation=st.sampled_from(["relu", "prelu"]),
    lazy=st.booleans(),
)
def test_error_is_at_most_eps(name, n, eps, split, valency, activation, lazy):
    """Law: any target, dimension, eps, split, valency, activation; eager or lazy."""
    f = targets.get(name, n=2 if name == "franke" else n)
    options = {"split": split if f.n > 1 else None, "valency": valency, "activation": activation}
    model = build_momlp(f, eps=eps, lazy=lazy, **options)
    x = points(f, 1000)
    assert float((f(x) - model(x)).abs().max()) <= eps
    z = model.plan.lattice.coordinates(x)
    assert torch.equal(model.route(x), model.tree.route(z))


@pytest.mark.law
@settings(max_examples=40)
@given(
    lo=st.floats(-50, 50),
    sides=st.lists(st.floats(0.05, 20), min_size=1, max_size=3),
    eps=st.floats(0.05, 1),
    alpha=st.sampled_from([1.0, 0.5, 0.7]),
)
def test_error_is_at_most_eps_on_boxes_with_hoelder_moduli(lo, sides, eps, alpha):
    """Law: f = ‖x − x₀‖^α has modulus t^α on every box."""
    n = len(sides)
    f = LipschitzFunction(
        lambda x: (x - lo - 0.3).norm(dim=1) ** alpha,
        n=n,
        modulus=Modulus.holder(1.0, alpha),
        domain=[(lo, lo + s) for s in sides],
    )
    model = build_momlp(f, eps=max(eps, 0.02 * max(sides) ** alpha * n), lazy=True)
    x = points(f, 500)
    assert float((f(x) - model(x)).abs().max()) <= model.plan.eps


@pytest.mark.exact
@pytest.mark.parametrize("activation", ["relu", "prelu"])
@pytest.mark.parametrize("expert", ["pencil", "constant"])
def test_expert_is_a_plain_stack_with_the_models_values(expert, activation):
    f = targets.get("vector_rotation", n=3)
    model = build_momlp(f, eps=0.2, expert=expert, activation=activation)
    x = points(f, 40)
    for row, leaf in zip(x, model.route(x), strict=True):
        network = model.expert(leaf)
        assert not any(p.requires_grad for p in network.parameters())
        assert torch.allclose(network(row[None]), model(row[None]), atol=1e-13)
        truth = [float(exact.fraction(v)) for v in exact.evaluate_network(network, row)]
        assert truth == pytest.approx(model(row[None])[0].tolist(), abs=1e-13)
        lower, upper = model.cell_bounds(leaf)
        assert bool(((row >= lower - 1e-12) & (row <= upper + 1e-12)).all())
    if expert == "pencil":
        kind = torch.nn.ReLU if activation == "relu" else torch.nn.PReLU
        assert [type(layer) for layer in network] == [torch.nn.Linear, kind, torch.nn.Linear]


def test_network_interpolates_at_the_nodes():
    f = targets.get("cone", n=2)
    model = build_momlp(f, eps=0.05)
    lattice = model.plan.lattice
    leaves = model.tree.leaf_indices()
    t = lattice.knot_positions()
    nodes = torch.cat([lattice.centres(leaves).repeat_interleave(len(t), 0), t.repeat(len(leaves))[:, None]], dim=1)
    assert float((model(nodes) - f(nodes)).abs().max()) < 1e-14


@pytest.mark.parametrize("n", [1, 2, 3])
def test_results_do_not_depend_on_the_batch(n):
    f = targets.get("sum_of_sines", n=n)
    model = build_momlp(f, eps=0.01 if n < 3 else 0.05)
    x = points(f, 3000)
    whole = model(x)
    assert torch.equal(torch.cat([model(part) for part in x.split(7)]), whole)
    assert torch.equal(model(x.flip(0)), whole.flip(0))
    assert torch.equal(model(x[:1]), whole[:1])


def test_one_wide_expert_does_not_depend_on_the_batch():
    """K above the size at which reductions are split between threads."""
    f = targets.get("rotated_sine", n=1)
    model = build_momlp(f, eps=1e-5)
    assert model.plan.knots > 40_000
    x = points(f, 64)
    assert torch.equal(torch.cat([model(row[None]) for row in x]), model(x))


def test_float32_model_routes_like_float64_and_survives_casts():
    f = targets.get("cone", n=3)
    wide, narrow = build_momlp(f, eps=0.05), build_momlp(f, eps=0.05, dtype=torch.float32)
    x = points(f)
    assert narrow(x).dtype == torch.float32
    assert torch.equal(wide.route(x), narrow.route(x))
    before = wide.route(x)
    wide.float()
    assert torch.equal(wide.route(x), before)
    assert float((wide(x) - f(x)).abs().max()) < 0.05


# --- torch transforms ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small():
    f = targets.get("vector_rotation", n=2)
    return f, build_momlp(f, eps=0.1)


def test_vmap_and_jacrev(small):
    f, model = small
    x = points(f, 50)
    assert torch.equal(torch.func.vmap(lambda row: model(row[None])[0])(x), model(x))
    jacobian = torch.func.vmap(torch.func.jacrev(lambda row: model(row[None])[0]))(x)
    assert jacobian.shape == (50, 2, 2)
    # f̂ is constant along the quantised axis inside a cell, and close to f's slope along the other one on average
    assert not bool(jacobian[:, :, 0].any())
    step = torch.tensor([0.0, 1e-7], dtype=torch.float64)
    quotient = (model((x + step).clamp(max=1)) - model(x)) / 1e-7
    assert float((jacobian[:, :, 1] - quotient).abs().median()) < 1e-5


def test_export_with_dynamic_batch(small):
    f, model = small
    x = points(f, 50)
    dynamic = {"x": {0: torch.export.Dim("batch")}}
    exported = torch.export.export(model, (x[:5],), dynamic_shapes=dynamic).module()
    assert torch.allclose(exported(x), model(x), atol=1e-14)


def test_compile_aot_eager(small):
    f, model = small
    x = points(f, 50)
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    assert torch.allclose(compiled(x), model(x), atol=1e-14)


def test_gradients_flow_to_weights_when_asked(small):
    f, _ = small
    model = build_momlp(f, eps=0.3)
    assert not any(p.requires_grad for p in model.parameters())
    model.requires_grad_(True)
    model(points(f, 20)).sum().backward()
    assert model.out_weight.grad is not None
    assert bool(model.out_weight.grad.any())


def test_lazy_models_say_why_they_cannot_be_traced():
    f = targets.get("cone", n=2)
    model = build_momlp(f, eps=0.1, lazy=True)
    with pytest.raises(Exception, match="lazy MoMLP builds experts while it runs"):
        torch.func.vmap(lambda row: model(row[None])[0])(points(f, 5))
    with pytest.raises(Exception, match="lazy MoMLP builds experts while it runs"):
        torch.export.export(model, (points(f, 5),))


# --- lazy models -----------------------------------------------------------------------------------------


def test_lazy_equals_eager_bitwise_under_a_tiny_cache():
    # made of operations with one rounding: an expert built alone has the bits of one built with all others
    f = LipschitzFunction.from_sympy("Abs(x0 - x1)*x2 + 6*Max(x0, x1*x2) + 3*x2*x2", n=3)
    eager = build_momlp(f, eps=0.6)
    lazy = build_momlp(f, eps=0.6, lazy=True, cache_bytes=4000)
    x = points(f, 3000)
    assert torch.equal(lazy(x), eager(x))
    assert torch.equal(lazy(x.flip(0)), eager(x.flip(0)))
    s = lazy.statistics
    assert s.queries == 6000
    assert s.evicted > 0
    assert s.peak_bytes <= 4000
    assert lazy.cache.nbytes <= 4000


def test_lazy_caches_what_is_asked_again():
    f = targets.get("cone", n=4)
    model = build_momlp(f, eps=0.1, lazy=True)
    x = points(f, 300)
    model(x)
    built = model.statistics.built
    model(x)
    assert model.statistics.built == built
    assert model.statistics.hit_rate >= 0.5
    with pytest.raises(RuntimeError, match="eager"):
        _ = build_momlp(f, eps=0.5).statistics


def test_lru_drops_the_least_recently_used():
    f = targets.get("cone", n=2)
    model = build_momlp(f, eps=0.1, lazy=True)
    slot = model.cache.slot_bytes
    model = build_momlp(f, eps=0.1, lazy=True, cache_bytes=3 * slot)
    at = [torch.tensor([[(i + 0.5) / model.tree.cells[0], 0.3]], dtype=torch.float64) for i in range(4)]
    for i in (0, 1, 2, 0, 3):  # 3 evicts 1
        model(at[i])
    built = model.statistics.built
    model(at[0])
    assert model.statistics.built == built
    model(at[1])
    assert model.statistics.built == built + 1


def test_more_leaves_than_integers_can_number():
    f = targets.get("sum_of_sines", n=40)
    model = build_momlp(f, eps=0.01, lazy=True, cache_bytes=1 << 20)
    x = points(f, 50)
    assert model.num_leaves > 2**63
    assert float((f(x) - model(x)).abs().max()) <= 0.01
    assert model.active_parameters == model.plan.parameters
    assert model.total_parameters == model.num_leaves * model.active_parameters


def test_stored_parameters_and_bytes():
    f = targets.get("cone", n=2)
    eager, lazy = build_momlp(f, eps=0.1), build_momlp(f, eps=0.1, lazy=True)
    assert eager.stored_parameters == eager.plan.stored_parameters
    assert eager.resident_bytes == 8 * eager.stored_parameters
    assert lazy.stored_parameters == 3 * lazy.plan.knots  # the shared layer alone
    lazy(points(f, 100))
    assert lazy.stored_parameters > 3 * lazy.plan.knots
    assert lazy.resident_bytes >= 8 * lazy.stored_parameters


# --- refusals --------------------------------------------------------------------------------------------


def test_eager_refuses_above_its_budget_and_names_lazy():
    with pytest.raises(BudgetExceeded, match="lazy=True"):
        build_momlp(targets.get("cone", n=6), eps=0.01)


@pytest.mark.parametrize("lazy", [False, True])
def test_what_no_laziness_can_hold_is_refused(lazy):
    with pytest.raises(ValueError, match="cells on an axis, float64 resolves"):
        build_momlp(targets.get("cone", n=2), eps=1e-20, lazy=lazy)
    with pytest.raises(BudgetExceeded, match="one expert of"):
        build_momlp(targets.get("cone", n=1), eps=1e-11, lazy=lazy)
    f = LipschitzFunction(lambda x: x, n=1, lipschitz=1.0, domain=(1000, 1001))
    with pytest.raises(ValueError, match=r"`dtype` torch.float32 cannot tell"):
        build_momlp(f, eps=1e-5, lazy=lazy, dtype=torch.float32)


def test_lazy_models_refuse_casts():
    model = build_momlp(targets.get("cone", n=2), eps=0.1, lazy=True)
    with pytest.raises(RuntimeError, match="stays on its device and in its dtype"):
        model.float()
    assert model.to("cpu") is model
    assert model.double() is model


def test_cache_must_hold_one_expert():
    with pytest.raises(BudgetExceeded, match="`cache_bytes` must hold at least one expert"):
        build_momlp(targets.get("cone", n=2), eps=0.01, lazy=True, cache_bytes=10)


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (torch.zeros(4, 3), ValueError, r"`x` must have shape \(B, 2\), got \(4, 3\)"),
        (torch.zeros(2), ValueError, "`x` must have shape"),
        (torch.full((2, 2), 1.0001), ValueError, "`x` must lie in the domain .* row 0 is"),
        (torch.tensor([[0.5, math.nan]]), ValueError, "`x` must lie in the domain"),
        (torch.zeros(2, 2, dtype=torch.int64), TypeError, "`x` must be a floating tensor"),
        ("abc", TypeError, "`x` must be a torch.Tensor"),
    ],
)
def test_bad_points_are_named(small, x, error, message):
    with pytest.raises(error, match=message):
        small[1](x)


@pytest.mark.parametrize("leaf", [-1, 10**6, (0, 0), torch.tensor([99]), torch.tensor([-1])])
def test_bad_leaves_are_named(small, leaf):
    with pytest.raises(ValueError, match="`leaf` must be"):
        small[1].expert(leaf)


def test_empty_batch(small):
    assert small[1](torch.zeros(0, 2, dtype=torch.float64)).shape == (0, 2)
    lazy = build_momlp(small[0], eps=0.1, lazy=True)
    assert lazy(torch.zeros(0, 2, dtype=torch.float64)).shape == (0, 2)


def test_nan_from_the_users_function_names_the_point():
    f = LipschitzFunction(lambda x: torch.log(x[:, 0] - 0.5), n=2, lipschitz=10.0)
    with pytest.raises(ValueError, match=r"must be finite, got .* at x = "):
        build_momlp(f, eps=0.1)


# --- lies about the modulus ------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("kind", ["first axis", "last axis", "diagonal", "signs"])
def test_half_the_true_constant_is_caught(n, kind):
    direction = torch.zeros(n, dtype=torch.float64)
    if kind == "first axis":
        direction[0] = 1.0
    elif kind == "last axis":
        direction[-1] = -1.0
    else:
        direction[:] = n**-0.5
        if kind == "signs":
            direction[::2] *= -1
    f = LipschitzFunction(lambda x: x @ direction[:, None], n=n, lipschitz=0.5, name="steep")
    with pytest.raises(ModulusViolation, match="declared modulus") as caught:
        build_momlp(f, eps=0.25)
    first, second = (torch.tensor(p, dtype=torch.float64) for p in (caught.value.first, caught.value.second))
    observed = abs(float((second - first) @ direction))
    assert observed > 0.5 * float((second - first).norm())  # the witness, re-checked


@pytest.mark.parametrize("lam", [1.0, 0.3, 7.0, 1 / 3])
@pytest.mark.parametrize("n", [1, 2, 5])
def test_honest_steepest_functions_are_not_accused(lam, n):
    """λ·x_n attains its modulus at every pair, so only the rounding term keeps it innocent."""
    f = LipschitzFunction(lambda x: lam * x[:, -1:], n=n, lipschitz=lam)
    model = build_momlp(f, eps=0.13 * lam)
    assert float((model(points(f)) - f(points(f))).abs().max()) <= 0.13 * lam


def test_the_rounding_term_is_needed():
    """Without it |y_j − y_{j+1}| ≤ λ(t_{j+1} − t_j) fails for an honest λ·x at many neighbouring nodes."""
    t = torch.arange(1001, dtype=torch.float64) / 1000
    lam = 0.3
    y = lam * t
    assert int((torch.diff(y).abs() > lam * torch.diff(t)).sum()) > 100


@pytest.mark.parametrize("name", ["sum_of_sines", "max_affine", "vector_rotation"])
def test_the_device_routes_identically_and_agrees_within_slack(device, name):
    f = targets.get(name, n=3)
    cpu, gpu = build_momlp(f, eps=0.05), build_momlp(f, eps=0.05, device=device)
    x = points(f, 20_000)
    assert torch.equal(cpu.route(x), gpu.route(x.to(device)).cpu())
    assert torch.allclose(cpu(x), gpu(x.to(device)).cpu(), atol=1e-12)
    lazy = build_momlp(f, eps=0.05, lazy=True, device=device)
    assert torch.allclose(lazy(x.to(device)).cpu(), cpu(x), atol=1e-12)
