"""The network, its data and its trainer: by hand, against dense ways, interrupted and resumed, and what they refuse."""

import math
import warnings
from fractions import Fraction

import pytest
import torch

from constructions.errors import BudgetExceeded, StoreError
from constructions.sublinear_training import (
    GaussNewtonTrainer,
    ShiftedReLUNetwork,
    random_signs,
    rational_circle,
    separation,
    unit_sphere,
)
from constructions.sublinear_training.methods import METHODS
from constructions.sublinear_training.network import firing_probability, largest_alpha, shift_of

ROWS = ((-3, 2), (1, 4), (3, -3), (3, -1), (3, 4), (1, -4), (-3, 0), (0, 0))
X = torch.tensor([[1, 0], [0.6, 0.8], [0, 1]], dtype=torch.float64)
Y = torch.tensor([1, -1, 1], dtype=torch.float64) / math.sqrt(8)


def example():
    return ShiftedReLUNetwork.from_weights(torch.tensor(ROWS).double() / 2, torch.tensor([1, -1] * 4), 1.0)


def sphere(n=12, d=6, seed=0):
    g = torch.Generator().manual_seed(seed)
    return unit_sphere(n, d, generator=g), random_signs(n, generator=g)


def trained(method, *, m=1000, steps=4, **options):
    x, y = sphere()
    net = ShiftedReLUNetwork.from_seed(6, m, 3)
    trainer = GaussNewtonTrainer(net, x, y, method=method, **options)
    return net, trainer.fit(steps, 0)


# --- the network ----------------------------------------------------------------------------------------------


def test_the_network_by_hand():
    net = example()
    # unit 4 alone is above 1 at (0, −1)·… none: check the sums at the three points
    outputs = net(X) * math.sqrt(8)
    assert outputs.tolist() == pytest.approx([0.5, 0.6, 0.0], abs=1e-15)
    assert net.width == 8
    assert net.inputs == 2
    assert net.pre_activations(X)[2, 0] == 1.0


def test_the_paper_s_activation_adds_one_number():
    plain, literal = example(), example()
    signs = torch.tensor([1.0, -1, 1, 1, 1, -1, 1, -1])
    plain = ShiftedReLUNetwork.from_weights(plain.weight, signs, 1.0)
    literal = ShiftedReLUNetwork.from_weights(plain.weight, signs, 1.0, activation="max")
    by_hand = (torch.maximum(plain.pre_activations(X), torch.tensor(1.0)) @ signs.double()) / math.sqrt(8)
    assert torch.allclose(literal(X), by_hand, atol=1e-15)
    assert torch.allclose(literal(X) - plain(X), torch.full((3,), 2 / math.sqrt(8)).double(), atol=1e-15)


def test_both_activations_take_the_same_steps():
    x, y = sphere()
    first = ShiftedReLUNetwork.from_seed(6, 500, 3)
    second = ShiftedReLUNetwork.from_seed(6, 500, 3, activation="max")
    GaussNewtonTrainer(first, x, y, method="lazy").fit(3, 0)
    GaussNewtonTrainer(second, x, y + second.offset, method="lazy").fit(3, 0)
    assert second.offset != 0
    assert float((first.weight - second.weight).abs().max()) < 1e-12


def test_a_network_is_that_of_its_seed_and_survives_its_state():
    net, again = ShiftedReLUNetwork.from_seed(3, 50, 7), ShiftedReLUNetwork.from_seed(3, 50, 7)
    assert torch.equal(net.weight, again.weight)
    assert torch.equal(net.signs, again.signs)
    other = ShiftedReLUNetwork.from_seed(3, 50, 8, 0.1, activation="max")
    other.load_state_dict(net.state_dict())
    assert torch.equal(other.weight, net.weight)
    assert (other.bias, other.activation) == (net.bias, "shifted")


def test_shifts_and_probabilities():
    assert shift_of(2**20, 0.24) == pytest.approx(2.5796, abs=5e-5)
    assert 2**20 * firing_probability(shift_of(2**20, 0.24)) == pytest.approx(5186.34, abs=0.005)
    assert firing_probability(0.0) == 0.5
    assert largest_alpha(4096, 32) == 0.49
    assert largest_alpha(2, 32) == 0.0


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        ((3, 1), {}, "`m` must be an integer at least 2, got 1"),
        ((0, 9), {}, "`d` must be an integer at least 1, got 0"),
        ((3, 9, 0.0), {}, "`alpha` must be a positive finite number, got 0.0"),
        ((3, 9, 1.0), {}, "`alpha` must be below 1, got 1.0"),
        ((3, 9, math.nan), {}, "`alpha` must be a positive finite number, got nan"),
        ((3, 9), {"activation": "tanh"}, "`activation` must be one of shifted, max"),
        ((2**20, 2**20), {}, "`m`·`d` must be at most"),
    ],
)
def test_what_is_no_network(arguments, options, words):
    with pytest.raises(ValueError, match=words):
        ShiftedReLUNetwork(*arguments, **options)


@pytest.mark.parametrize(
    ("weight", "signs", "bias", "words"),
    [
        (torch.zeros(3), torch.ones(3), 1.0, r"`weight` must be floating of shape \(m, d\)"),
        (torch.full((3, 2), torch.nan), torch.ones(3), 1.0, "`weight` must be finite"),
        (torch.zeros(3, 2), torch.ones(2), 1.0, "`signs` must be 3 numbers ±1"),
        (torch.zeros(3, 2), torch.tensor([1.0, 0.5, 1]), 1.0, "`signs` must be 3 numbers ±1"),
        (torch.zeros(3, 2), torch.ones(3), -1.0, "`bias` must be a non-negative finite number"),
    ],
)
def test_what_are_no_weights(weight, signs, bias, words):
    with pytest.raises(ValueError, match=words):
        ShiftedReLUNetwork.from_weights(weight, signs, bias)


# --- data -----------------------------------------------------------------------------------------------------


def test_points_have_norm_one_and_a_separation():
    x, y = sphere(20, 5)
    assert torch.allclose(x.norm(dim=1), torch.ones(20).double())
    assert set(y.tolist()) == {-1.0, 1.0}
    near, nearest = separation(torch.tensor([[1.0, 0], [0, 1], [-0.6, -0.8]]).double())
    assert near == pytest.approx(math.sqrt(2))
    assert nearest == pytest.approx(math.sqrt(0.4))


def test_rational_points_lie_on_the_circle():
    points = rational_circle([0, 1, Fraction(1, 2), -3])
    assert points[:2] == ((0, -1), (1, 0))
    assert all(a * a + b * b == 1 for a, b in points)


# --- training -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_a_step_is_that_of_the_dense_jacobian(method):
    x, y = sphere()
    net = ShiftedReLUNetwork.from_seed(6, 300, 3)
    before = net.weight.detach().clone()
    fires = (before @ x.t() > net.bias).double()
    jacobian = (net.signs[:, None, None] * fires[:, :, None] * x / math.sqrt(300)).permute(1, 0, 2).reshape(12, -1)
    residual = net(x) - y
    step = jacobian.t() @ torch.linalg.solve(jacobian @ jacobian.t(), residual)
    GaussNewtonTrainer(net, x, y, method=method).step()
    assert torch.allclose(net.weight, before - step.view(300, 6), atol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_the_worked_example(method):
    net = example()
    trace = GaussNewtonTrainer(net, X, Y, method=method, radius=0.5).fit(2, 0)
    final = [[-1.5, 1], [2.5, 1.5], [3.5, -1.5], [0.5, -0.5], [-0.5, 2.5], [0.5, -2], [-1.5, 0], [0, 0]]
    assert torch.allclose(net.weight, torch.tensor(final).double(), atol=1e-14)
    assert trace.final_residual < 1e-15
    assert [s.measured.fired for s in trace.steps] == [7, 6]
    assert [s.measured.joined for s in trace.steps] == [15, 14]
    assert torch.allclose(trace.steps[0].gram * 8, torch.tensor([[3, 0.6, 0], [0.6, 2, 1.6], [0, 1.6, 2]]).double())


def test_the_worked_example_in_operations():
    """n³/3 = 9 included; the third number of a method is with no rounding slack, so that ties at b − R do not count."""
    expected = {"dense": (369, 369), "hybrid": (195, 188), "eager": (186, 162)}
    for method, totals in expected.items():
        trace = GaussNewtonTrainer(example(), X, Y, method=method, radius=0.5).fit(2, 0)
        assert tuple(s.operations["total"] for s in trace.steps) == totals
    for slop, first in ((None, (37, 11, 8, 260)), (0.0, (33, 8, 7, 246))):
        step = GaussNewtonTrainer(example(), X, Y, method="lazy", radius=0.5, slop=slop).step()
        counted = step.measured
        assert (counted.visited, counted.reported, counted.candidates, step.operations["total"]) == first


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_trains_to_the_same_bits(method):
    (first, _), (second, _) = trained(method), trained(method)
    assert torch.equal(first.weight, second.weight)


def test_smaller_steps_leave_the_rest_of_the_residual():
    _, trace = trained("eager", step=0.5, m=20_000, steps=1)
    assert trace.final_residual / trace.steps[0].residual_norm == pytest.approx(0.5, abs=0.15)


def test_a_ridge_moves_less():
    _, plain = trained("eager", steps=1)
    _, damped = trained("eager", steps=1, ridge=10.0)
    assert damped.steps[0].squared_movement < 0.1 * plain.steps[0].squared_movement


@pytest.mark.parametrize("method", METHODS)
def test_a_resumed_run_ends_in_the_same_bits(method, tmp_path):
    whole, trace = trained(method, steps=4)
    x, y = sphere()
    for steps in (2, 4):
        net = ShiftedReLUNetwork.from_seed(6, 1000, 3)
        again = GaussNewtonTrainer(net, x, y, method=method).fit(steps, 0, checkpoint=tmp_path / "run")
    assert torch.equal(net.weight, whole.weight)
    assert again.report() == trace.report()
    assert all(torch.equal(a.gram, b.gram) for a, b in zip(again.steps, trace.steps, strict=True))


def test_an_interrupted_run_goes_on(tmp_path):
    x, y = sphere()
    whole, _ = trained("lazy", steps=4)

    def stop(message):
        if "step 2" in message:
            raise KeyboardInterrupt

    net = ShiftedReLUNetwork.from_seed(6, 1000, 3)
    with pytest.raises(KeyboardInterrupt):
        GaussNewtonTrainer(net, x, y, method="lazy", log=stop).fit(4, 0, checkpoint=tmp_path / "run")
    net = ShiftedReLUNetwork.from_seed(6, 1000, 3)
    GaussNewtonTrainer(net, x, y, method="lazy").fit(4, 0, checkpoint=tmp_path / "run")
    assert torch.equal(net.weight, whole.weight)


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    x, y = sphere()
    GaussNewtonTrainer(ShiftedReLUNetwork.from_seed(6, 1000, 3), x, y).fit(1, 0, checkpoint=tmp_path / "run")
    for other in (
        GaussNewtonTrainer(ShiftedReLUNetwork.from_seed(6, 1000, 4), x, y),
        GaussNewtonTrainer(ShiftedReLUNetwork.from_seed(6, 1000, 3), x, -y),
        GaussNewtonTrainer(ShiftedReLUNetwork.from_seed(6, 1000, 3), x, y, method="flat"),
        GaussNewtonTrainer(ShiftedReLUNetwork.from_seed(6, 1000, 3), x, y, slop=0.5),
    ):
        with pytest.raises(StoreError, match="belongs to a run with other data or options"):
            other.fit(2, 0, checkpoint=tmp_path / "run")
    data = (tmp_path / "run").read_bytes()
    (tmp_path / "run").write_bytes(data[: len(data) // 2])
    with pytest.raises(StoreError, match="cannot resume from"):
        GaussNewtonTrainer(ShiftedReLUNetwork.from_seed(6, 1000, 3), x, y).fit(2, 0, checkpoint=tmp_path / "run")
    (tmp_path / "run").write_bytes(data)
    with pytest.raises(ValueError, match="`max_steps` must be at least the 1 steps of the checkpoint, got 0"):
        GaussNewtonTrainer(ShiftedReLUNetwork.from_seed(6, 1000, 3), x, y).fit(0, 0, checkpoint=tmp_path / "run")
    for place in (len(data) - 5, len(data) - 20_000, len(data) // 2):
        flipped = bytearray(data)
        flipped[place] ^= 1
        (tmp_path / "run").write_bytes(flipped)
        net = ShiftedReLUNetwork.from_seed(6, 1000, 3)
        with pytest.raises(StoreError, match="altered or damaged"):
            GaussNewtonTrainer(net, x, y).fit(2, 0, checkpoint=tmp_path / "run")
        assert torch.equal(net.weight, ShiftedReLUNetwork.from_seed(6, 1000, 3).weight)
    late = GaussNewtonTrainer(ShiftedReLUNetwork.from_seed(6, 1000, 3), x, y)
    late.step()
    with pytest.raises(ValueError, match="`checkpoint` must be given from the first step on"):
        late.fit(2, 0, checkpoint=tmp_path / "other")


def test_a_trace_says_what_happened():
    _, trace = trained("lazy", steps=10)
    assert trace.steps_to_tolerance(1e-12) == next(t for t, r in enumerate(trace.residuals) if r <= 1e-12)
    assert trace.steps_to_tolerance(0.0) is None
    assert trace.total_operations == trace.build + sum(s.operations["total"] for s in trace.steps)
    assert trace.table().count("\n") == len(trace.steps) + 1
    assert trace.report()["steps"][0]["fired"] == trace.steps[0].measured.fired


def test_a_run_without_counts_is_the_same_run():
    (counted, trace), (plain, quiet) = trained("lazy"), trained("lazy", counting=False)
    assert torch.equal(counted.weight, plain.weight)
    assert [s.measured.fired for s in trace.steps] == [s.measured.fired for s in quiet.steps]
    assert quiet.steps[0].operations == {}
    assert quiet.report()["total_operations"] is None
    assert quiet.table().count("\n") == 5
    with pytest.raises(ValueError, match="the operations of this run were not counted"):
        quiet.total_operations  # noqa: B018


# --- what cannot be trained on --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("x", "y", "error", "words"),
    [
        (
            X * torch.tensor([[100], [101], [100]]) / 100,
            Y,
            ValueError,
            "needs rows of norm 1 within 1e-12, row 1 has 1.01",
        ),
        (X[[0, 1, 0]], Y, ValueError, "rows 0 and 2 are equal: the Gram matrix is singular for every width"),
        (X, Y[:2], ValueError, r"`y` must have shape \(3,\), got \(2,\)"),
        (X, Y[:, None], ValueError, r"`y` must have shape \(3,\), got \(3, 1\)"),
        (X, Y * torch.nan, ValueError, "`y` must be finite"),
        (X * torch.inf, Y, ValueError, "`X` must be finite"),
        (X.float(), Y, TypeError, "`X` must be float64, got torch.float32"),
        (X[:, :1], Y, ValueError, r"`X` must have shape \(n, 2\), got \(3, 1\)"),
        (X[:0], Y[:0], ValueError, r"`X` must have shape \(n, 2\), got \(0, 2\)"),
        (X.tolist(), Y, TypeError, "`X` must be a dense real torch.Tensor"),
    ],
)
def test_what_is_no_data(x, y, error, words):
    with pytest.raises(error, match=words):
        GaussNewtonTrainer(example(), x, y)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": "quick"}, "`method` must be one of dense, hybrid, flat, eager, lazy, got 'quick'"),
        ({"radius": 0.0}, "`radius` must be a positive finite number, got 0.0"),
        ({"radius": math.nan}, "`radius` must be a positive finite number, got nan"),
        ({"step": 0}, "`step` must be a positive finite number"),
        ({"ridge": -1}, "`ridge` must be a non-negative finite number"),
        ({"slop": -1.0}, "`slop` must be a non-negative finite number"),
    ],
)
def test_what_is_no_option(options, words):
    with pytest.raises(ValueError, match=words):
        GaussNewtonTrainer(example(), X, Y, **options)


def test_float32_weights_are_refused():
    net = ShiftedReLUNetwork(2, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float32)
    with pytest.raises(TypeError, match=r"`net` must be float64 \(in float32 keys equal to b occur\)"):
        GaussNewtonTrainer(net, X, Y)


def test_a_point_without_a_unit_is_named_with_an_alpha_that_helps():
    x, y = sphere()
    net = ShiftedReLUNetwork.from_seed(6, 200, 0, 0.9)
    with pytest.raises(ValueError, match=r"point 2 fires no unit at m=200, b=3.08.*use alpha ≤ 0.31"):
        GaussNewtonTrainer(net, x, y).step()


def test_near_points_are_singular_or_a_warning():
    near = torch.stack([X[0], X[0] + torch.tensor([0.0, 1e-13])])
    net = example()
    with pytest.raises(ValueError, match=r"not positive definite \(pivot 2, .*nearest two points are 1e-13 apart"):
        GaussNewtonTrainer(net, near, Y[:2]).step()
    apart = torch.stack([X[0], X[0] + torch.tensor([0.0, 1e-6])])
    with pytest.warns(RuntimeWarning, match="condition number above"):
        GaussNewtonTrainer(example(), apart, Y[:2]).step()


def test_large_labels_are_a_warning_and_antipodes_are_not():
    with pytest.warns(RuntimeWarning, match="`y` is 100 in the root mean square"):
        GaussNewtonTrainer(example(), X, 100 * torch.ones(3).double())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trainer = GaussNewtonTrainer(example(), torch.cat([X, -X[:1]]), torch.cat([Y, Y[:1]]))
        assert torch.linalg.eigvalsh(trainer.step().gram)[0] > 0


def test_trees_that_do_not_fit():
    with pytest.raises(BudgetExceeded, match="`memory_limit` must be at least 512"):
        GaussNewtonTrainer(example(), X, Y, method="lazy", memory_limit=100)
