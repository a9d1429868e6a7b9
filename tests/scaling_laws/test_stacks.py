"""Stacks of networks: each trains bit for bit as if it were alone, and as plain torch trains it."""

import itertools
from fractions import Fraction

import pytest
import torch
from torch import nn

from constructions.scaling_laws import training
from constructions.scaling_laws.order_free import BITS, MOST_TERMS, product, rounded
from constructions.scaling_laws.stack import Pass, Stack, seed_of
from constructions.scaling_laws.students import ReLUTarget, batches, train_students
from constructions.scaling_laws.training import Examples, Schedule, errors, slope, train

SCHEDULE = Schedule(25, batch=32, decay=1e-3, watch=10)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture
def threads():
    """Sets torch's threads, and sets them back."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


# --- products ---------------------------------------------------------------------------------------------


def test_products_of_rounded_operands_are_exact():
    first, second = rounded(normal(2, 5, 9)), rounded(normal(2, 9, 3, seed=1))
    answers = product(first, second)
    for g, i, j in itertools.product(range(2), range(5), range(3)):
        exact = sum(Fraction(float(a)) * Fraction(float(b)) for a, b in zip(first[g, i], second[g, :, j], strict=True))
        assert Fraction(float(answers[g, i, j])) == exact


def test_every_order_of_summation_gives_the_same_bits():
    first, second = normal(3, 40, MOST_TERMS) * 1e3, normal(3, MOST_TERMS, 7, seed=1) * 1e-5
    plain, exact = torch.bmm(first, second), product(rounded(first), rounded(second))
    differs = False
    for seed in range(4):
        order = torch.randperm(MOST_TERMS, generator=torch.Generator().manual_seed(seed))
        again = product(rounded(first)[..., order], rounded(second)[:, order])
        assert torch.equal(again, exact)
        differs |= not torch.equal(torch.bmm(first[..., order], second[:, order]), plain)
    assert differs  # unrounded operands do feel the order
    assert torch.allclose(exact, plain, atol=1e-5)


def test_the_most_terms_of_the_largest_size_stay_exact():
    one = torch.full((1, 1, MOST_TERMS), 1 - 2.0**-BITS, dtype=torch.float64)
    assert torch.equal(rounded(one), one)
    exact = MOST_TERMS * Fraction(1 - 2.0**-BITS) ** 2
    assert Fraction(float(product(one, one.transpose(1, 2)))) == exact
    with pytest.raises(ValueError, match=f"`first` must have at most {MOST_TERMS} columns, got {MOST_TERMS + 1}"):
        product(normal(1, 1, MOST_TERMS + 1), normal(1, MOST_TERMS + 1, 1))


def test_rounding_is_relative_to_each_models_largest_number():
    x = normal(3, 50) * torch.tensor([[1.0], [1e-9], [1e9]], dtype=torch.float64)
    together = rounded(x)
    largest = x.abs().amax(1, keepdim=True)
    assert bool(((together - x).abs() <= largest * 2.0**-BITS).all())
    for g in range(3):
        assert torch.equal(rounded(x[g : g + 1])[0], together[g])
    units = together / torch.frexp(largest)[1].double().exp2().mul(2.0**-BITS)
    assert torch.equal(units, units.round())


@pytest.mark.parametrize("value", [0.0, 5e-324, 1e-300, float("inf"), float("nan")])
def test_rounding_of_odd_numbers(value):
    x = torch.full((1, 4), value, dtype=torch.float64)
    y = rounded(x)
    if value < 1e-200:
        assert float(y.abs().max()) <= value
    else:
        assert not bool(torch.isfinite(y).any())


# --- a stack against its networks one by one -----------------------------------------------------------


def grid(widths, sizes, seeds, **options):
    return train_students(
        ReLUTarget((5, 16, 1), 0), widths, sizes, seeds, inputs=5, schedule=SCHEDULE, pool=300, validation=100,
        test=100, **options,
    )  # fmt: skip


@pytest.mark.parametrize("count", [1, 2, 3, 4])
@pytest.mark.parametrize("together", [False, True])
def test_any_stack_trains_as_each_alone(count, together, threads):
    widths, sizes, seeds = (3, 8, 17), (50, 300), (0, 1, 5)
    threads(1)
    whole = grid(widths, sizes, seeds)
    threads(count)
    again = grid(widths, sizes, seeds, together=together)
    assert torch.equal(again.errors, whole.errors)
    assert all(torch.equal(a.rows, b.rows) for a, b in zip(again.stacks, whole.stacks, strict=True))
    for i, j, k in ((0, 0, 0), (1, 1, 1), (2, 2, 0), (1, 2, 1)):
        alone = grid((widths[j],), (sizes[k],), (seeds[i],))
        assert torch.equal(alone.errors[0, 0, 0], whole.errors[i, j, k])
        ours = whole.network(seeds[i], widths[j], sizes[k]).parameters()
        assert all(torch.equal(a, b) for a, b in zip(alone.stacks[0].network(0).parameters(), ours, strict=True))


def test_a_broken_neighbour_changes_nothing():
    # its own data are huge: whatever mixed models, or scaled them together, would show
    x, y = normal(2, 40, 3), normal(2, 40, 1, seed=1)
    order = torch.randint(40, (30, 2, 16), generator=torch.Generator().manual_seed(0))
    results = []
    for scale in (1.0, 1e6):
        stack = Stack.drawn(3, [6, 6], 2, 1, [0, 1])
        data = Examples(x * torch.tensor([1.0, scale]).view(2, 1, 1), y, torch.tensor([0, 1]))
        train(stack, data, order, Schedule(30, batch=16))
        results.append(stack.rows.clone())
    assert torch.equal(results[0][0], results[1][0])
    assert not torch.equal(results[0][1], results[1][1])


def test_filling_stays_zero():
    stack = Stack.drawn(3, [2, 6], 2, 1, [0, 1])
    x = Examples(normal(1, 40, 3), normal(1, 40, 1, seed=1), torch.tensor([0, 0]))
    train(stack, x, torch.randint(40, (30, 2, 16)), Schedule(30, batch=16, decay=1e-2))
    assert not stack.weights[0][0, :, 2:].any()
    assert not stack.weights[1][0, 2:].any()
    assert not stack.biases[1][0, 2:].any()
    assert not stack.weights[2][0, 2:].any()
    assert bool(stack.weights[1][0, :2, :2].all())


# --- against plain torch --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["values", "classes"])
def test_gradients_are_those_of_autograd(kind):
    stack = Stack.drawn(4, [7], 3, 5, [3])
    x = normal(1, 20, 4)
    y = normal(1, 20, 5, seed=1) if kind == "values" else torch.randint(5, (1, 20))
    network = stack.network(0)
    loss = (
        nn.functional.mse_loss(network(x[0]), y[0])
        if kind == "values"
        else nn.functional.cross_entropy(network(x[0]), y[0])
    )
    loss.backward()
    run, gradient = Pass(stack), torch.zeros_like(stack.rows)
    weights, biases = stack.layers(gradient)
    run.backward(slope(run.outputs(x), y), weights, biases)
    linear = [m for m in network if isinstance(m, nn.Linear)]
    for ours, bias, layer in zip(weights, biases, linear, strict=True):
        assert torch.allclose(ours[0].t(), layer.weight.grad, atol=1e-5)
        assert torch.allclose(bias[0], layer.bias.grad, atol=1e-5)


def test_training_is_that_of_torch():
    stack = Stack.drawn(4, [6], 2, 1, [3])
    network = stack.network(0)
    x, y = normal(1, 64, 4), normal(1, 64, 1, seed=1)
    order = torch.randint(64, (40, 1, 16), generator=torch.Generator().manual_seed(2))
    plan = Schedule(40, batch=16, rate=1e-2, decay=1e-2)
    train(stack, Examples(x, y, torch.tensor([0])), order, plan)
    optimiser = torch.optim.AdamW(network.parameters(), lr=plan.rate, weight_decay=plan.decay)
    decline = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, plan.steps)
    for step in range(plan.steps):
        optimiser.zero_grad()
        nn.functional.mse_loss(network(x[0, order[step, 0]]), y[0, order[step, 0]]).backward()
        optimiser.step()
        decline.step()
    for ours, theirs in zip(stack.network(0).parameters(), network.parameters(), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-3)


def test_errors_are_those_of_the_module(monkeypatch):
    stack = Stack.drawn(4, [6, 3, 6], 2, 3, [3, 4, 5])
    x, values, classes = normal(50, 4), normal(50, 3, seed=1), torch.randint(3, (50,))
    squared, wrong = errors(stack, x, values), errors(stack, x, classes)
    for g in range(3):
        out = stack.network(g)(x).detach()
        assert float(squared[g]) == pytest.approx(float((out - values).square().mean()), rel=1e-5)
        assert float(wrong[g]) == float((out.argmax(1) != classes).double().mean())
    monkeypatch.setattr(training, "MOST_NUMBERS", 100)
    assert torch.equal(errors(stack, x, values), squared)


# --- what training does and refuses ---------------------------------------------------------------------


def test_masked_numbers_stay():
    stack = Stack.drawn(3, [5], 2, 1, [0])
    before, masks = stack.rows.clone(), torch.rand(stack.rows.shape) < 0.5
    data = Examples(normal(1, 40, 3), normal(1, 40, 1, seed=1), torch.tensor([0]))
    train(stack, data, torch.randint(40, (20, 1, 16)), Schedule(20, batch=16), masks=masks)
    assert torch.equal(stack.rows == before, ~masks)


def test_the_best_step_of_the_validation_is_kept():
    data = Examples(normal(1, 20, 3), normal(1, 20, 1, seed=1), torch.tensor([0]))
    order = torch.randint(20, (80, 1, 16), generator=torch.Generator().manual_seed(0))
    validation = normal(200, 3, seed=7), normal(200, 1, seed=8)
    plan = Schedule(80, batch=16, rate=3e-2, watch=10)
    stack = Stack.drawn(3, [8], 2, 1, [0])
    train(stack, data, order, plan, validation=validation)
    seen = []
    for last in range(10, 81, 10):
        part = Stack.drawn(3, [8], 2, 1, [0])
        train(part, data, order, plan, last=last)
        seen.append(float(errors(part, *validation)))
    assert float(errors(stack, *validation)) == min(seen) < seen[-1]


def test_divergence_is_said():
    data = Examples(normal(1, 20, 3) * 1e200, normal(1, 20, 1), torch.tensor([0, 0]))
    with pytest.raises(ValueError, match="`schedule` makes network 0 diverge"):
        train(Stack.drawn(3, [8, 8], 2, 1, [0, 1]), data, torch.zeros(5, 2, 4, dtype=torch.int64), Schedule(5, batch=4))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Stack(3, [], 2, 1), "`widths` must be a sequence of integers, one or more"),
        (lambda: Stack(3, [MOST_TERMS + 1], 2, 1), "`widths` must be an integer between 1 and 512"),
        (lambda: Stack.drawn(3, [4, 4], 2, 1, [0]), "`seeds` must be one a network, 2, got 1"),
        (lambda: Schedule(0), "`steps` must be an integer between 1 and"),
        (lambda: Schedule(5, batch=513), "`batch` must be an integer between 1 and 512"),
        (lambda: Schedule(5, rate=float("nan")), "`rate` must be a number of at least 0 and below 1, got nan"),
        (lambda: grid((4, 3), (50,), (0,)), r"`widths` must be increasing, got \(4, 3\)"),
        (lambda: grid((4,), (50,), (0, 0)), r"`seeds` must be each once, got \(0, 0\)"),
        (lambda: grid((4,), (400,), (0,)), "`pool` must be an integer between 400 and 16777216, got 300"),
        (
            lambda: train_students(lambda x: x, (4,), (50,), (0,), inputs=5),
            r"`target` must answer with finite numbers \(1000, 1\)",
        ),
        (
            lambda: train_students(lambda x: x[:, :1] * 0, (4,), (50,), (0,), inputs=5),
            "`target` must not be constant on the test points",
        ),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_training_sets_are_nested_and_batches_shared():
    assert torch.equal(batches(3, 100, SCHEDULE), batches(3, 100, SCHEDULE))
    assert int(batches(3, 100, SCHEDULE).max()) < 100
    assert not torch.equal(batches(3, 100, SCHEDULE), batches(4, 100, SCHEDULE))
    assert seed_of(1, 2) != seed_of(2, 1)


def test_a_target_answers_point_by_point():
    target, x = ReLUTarget((8, 32, 32, 1), 3), normal(1100, 8)
    whole = target(x)
    assert torch.equal(torch.cat([target(x[:7]), target(x[7:])]), whole)
    assert torch.allclose(target.network()(x), whole, atol=1e-12)
    assert target.parameters == sum(p.numel() for p in target.network().parameters())


def test_a_grid_names_its_cells():
    found = grid((3, 8), (50, 300), (0, 2))
    sizes, means = found.points()
    assert sizes.tolist() == [[3, 50], [3, 300], [8, 50], [8, 300]]
    assert torch.equal(means.view(2, 2), found.errors.mean(0))
    with pytest.raises(ValueError, match="`width` must be one of 3, 8, got 4"):
        found.network(0, 4, 50)
