"""Training: it learns, joint and budgeted runs agree bitwise, interrupted runs resume bitwise, bad data is refused."""

import copy
import re
from functools import partial

import pytest
import torch
from torch import nn

from constructions import BudgetExceeded, Routing, StoreError, load, save, train_momlp
from constructions.expert_rows.answers import stream
from constructions.trained_momlp import central_hidden, prepare, train_together
from constructions.trained_momlp import training as loop
from constructions.trained_momlp.bank import layers, parameters, plain_network, run_gathered
from constructions.trained_momlp.steps import Bank, Layout, Pass, Targets, all_at_once, each_alone
from constructions.trained_momlp.training import Options, bytes_per_expert, train_bank
from theory.checkers.resident_memory import MemoryMeter, peak_resident_bytes, resident_bytes_le
from theory.claim import Status

OPTIONS = Options(steps=150, batch_size=64, evaluate_every=25, patience=3)


def seeded(seed=1):
    return torch.Generator().manual_seed(seed)


def data(task="regression", count=1200, n=2):
    x = torch.rand(count, n, generator=seeded(0), dtype=torch.float64) * 5 - 1
    y = torch.sin(2 * x[:, 0]) * x[:, -1]
    return x, y if task == "regression" else (y > 0).long() + (x[:, 0] > 2).long()


@pytest.mark.parametrize(
    ("task", "router"), [("regression", "tree"), ("regression", "flat"), ("classification", "tree")]
)
def test_it_learns(task, router):
    x, y = data(task)
    model = train_momlp(
        x,
        y,
        leaves=12,
        expert_hidden=(16,),
        routing=Routing(router=router, valency=3),
        task=task,
        options=OPTIONS,
        generator=seeded(),
    )
    fresh, truth = data(task, 3000)
    if task == "regression":
        assert float((model(fresh)[:, 0] - truth).square().mean() / truth.var()) < 0.05
    else:
        assert float((model.predict(fresh) == truth).double().mean()) > 0.93
        assert model(fresh).shape == (3000, 3)
    assert model.report.steps.max() <= OPTIONS.steps
    assert model.total_parameters == sum(p.numel() for leaf in range(12) for p in model.expert(leaf).parameters())
    assert model.active_parameters == parameters((2, 16, model.m))


def test_forward_is_the_plain_expert_of_the_leaf():
    x, y = data()
    model = train_momlp(x, y, leaves=7, expert_hidden=(9, 5), options=OPTIONS, generator=seeded())
    leaf = model.route(x)
    z = model.standardise(x)
    for e in range(7):
        mine = leaf == e
        torch.testing.assert_close(model.expert(e)(x[mine]), model(x)[mine], rtol=1e-12, atol=1e-12)
    flat = [torch.argmin((model.tree.leaf_prototypes - p).square().sum(-1)) for p in z[:50]]
    model.router = "flat"
    assert model.route(x[:50]).tolist() == [int(i) for i in flat]


def test_an_answer_does_not_depend_on_its_batch():
    x, y = data()
    for hidden in ((1,), (8,), (17, 3)):
        model = train_momlp(x, y, leaves=5, expert_hidden=hidden, options=Options(steps=5), generator=seeded())
        expected = model(x)
        for size in (1, 2, 3, 7, 100, 1199):
            assert torch.equal(torch.cat([model(p) for p in x.split(size)]), expected)


@pytest.mark.parametrize("task", ["regression", "classification"])
@pytest.mark.parametrize(
    ("hidden", "overlap", "batch", "weighted"),
    [((16,), 1, 64, False), ((6, 7), 2, 1000, False), ((), 1, 32, False), ((8,), 2, 32, True), ((8,), 1, 1000, True)],
)
def test_joint_and_budgeted_training_agree_bitwise(task, hidden, overlap, batch, weighted):
    x, y = data(task, n=3)
    options = Options(steps=60, batch_size=batch, evaluate_every=20)
    fixed = {"leaves": 9, "expert_hidden": hidden, "task": task, "routing": Routing(overlap=overlap)}
    if weighted:
        fixed["sample_weight"] = torch.rand(len(x), generator=seeded(), dtype=torch.float64)
    whole = train_momlp(x, y, **fixed, options=options, generator=seeded())
    assert whole.report.groups == 1
    ready = prepare(x, y, **fixed, generator=seeded())
    each = bytes_per_expert(ready.problem, ready.widths, options)
    for times in (1, 3, 5):
        model = train_momlp(x, y, **fixed, options=options, generator=seeded(), budget_bytes=times * each)
        assert model.report.groups == {1: 9, 3: 3, 5: 2}[times]
        assert torch.equal(model.experts, whole.experts)
        assert torch.equal(model.report.steps, whole.report.steps)


@pytest.mark.parametrize("weighted", [False, True])
def test_budgeted_training_stays_within_its_budget(weighted):
    x, y = data(count=6000)
    weight = torch.rand(len(x), generator=seeded(), dtype=torch.float64) if weighted else None
    ready = prepare(x, y, leaves=60, expert_hidden=(32, 32), sample_weight=weight, generator=seeded())
    problem = ready.problem
    options = Options(steps=12, batch_size=64, evaluate_every=6)
    budget = bytes_per_expert(problem, ready.widths, options)
    host = [problem.z, problem.y, ready.initial, problem.centre, problem.scale]
    host += [problem.train.rows, problem.train.start, problem.validation.rows, problem.validation.start]
    host += [problem.weight, problem.mean_weight] if weighted else []
    with MemoryMeter(host) as meter:
        groups = train_bank(problem, ready.initial, ready.widths, options, budget_bytes=budget).groups
    assert groups == 60
    assert budget / 4 < meter.peak <= budget
    with MemoryMeter(host) as joint:
        train_bank(problem, ready.initial, ready.widths, Options(steps=2))
    assert joint.peak > 8 * budget
    with pytest.raises(BudgetExceeded, match="`budget_bytes` must hold one expert"):
        train_bank(problem, ready.initial, ready.widths, options, budget_bytes=budget // 4)


class Cut(KeyboardInterrupt):
    pass


@pytest.mark.parametrize("budgeted", [False, True])
def test_an_interrupted_run_resumes_bitwise(tmp_path, monkeypatch, budgeted):
    x, y = data()
    ready = prepare(x, y, leaves=6, expert_hidden=(8,), generator=seeded())
    budget = 4 * bytes_per_expert(ready.problem, ready.widths, OPTIONS) if budgeted else None
    options = {"leaves": 6, "expert_hidden": (8,), "options": OPTIONS, "budget_bytes": budget}
    expected = train_momlp(x, y, **options, generator=seeded())
    path = tmp_path / "run.safetensors"
    steps = loop._Group._steps
    calls = []

    def cut(self, *arguments):
        calls.append(1)
        if len(calls) == 4:
            raise Cut
        return steps(self, *arguments)

    monkeypatch.setattr(loop._Group, "_steps", cut)
    with pytest.raises(Cut):
        train_momlp(x, y, **options, generator=seeded(), checkpoint=path)
    assert path.exists()
    model = train_momlp(x, y, **options, generator=seeded(), checkpoint=path)
    assert torch.equal(model.experts, expected.experts)
    assert torch.equal(model.report.validation_loss, expected.report.validation_loss)
    total = len(calls)
    again = train_momlp(x, y, **options, generator=seeded(), checkpoint=path)
    assert torch.equal(again.experts, expected.experts)
    assert len(calls) - total < total
    with pytest.raises(StoreError, match="belongs to a run with other data"):
        train_momlp(x, y + 1e-9, **options, generator=seeded(), checkpoint=path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(StoreError, match="cannot resume"):
        train_momlp(x, y, **options, generator=seeded(), checkpoint=path)


@pytest.mark.parametrize("moment", ["descend", "outputs", "numbers", "rows"])
@pytest.mark.parametrize("call", [1, 3, 6])
def test_ctrl_c_at_any_moment_leaves_a_moment_of_the_run(tmp_path, monkeypatch, moment, call):
    """Within a step, between the evaluation and what is written, in the first and the second group."""
    x, y = data(count=300)
    options = Options(steps=20, batch_size=16, evaluate_every=6)  # the last evaluation comes early
    ready = prepare(x, y, leaves=4, expert_hidden=(5,), generator=seeded())
    budget = 2 * bytes_per_expert(ready.problem, ready.widths, options)
    fixed = {"leaves": 4, "expert_hidden": (5,), "options": options, "budget_bytes": budget}
    expected = train_momlp(x, y, **fixed, generator=seeded())
    path, honest, calls = tmp_path / "run.safetensors", getattr(Bank, moment), []

    def cut(self, *arguments, **more):
        calls.append(1)
        if len(calls) == call * (6 if moment in ("descend", "outputs") else 1):
            raise Cut
        return honest(self, *arguments, **more)

    monkeypatch.setattr(Bank, moment, cut)
    with pytest.raises(Cut):
        train_momlp(x, y, **fixed, generator=seeded(), checkpoint=path)
    for _ in range(2):  # the second time from the end of the run
        model = train_momlp(x, y, **fixed, generator=seeded(), checkpoint=path)
        assert torch.equal(model.experts, expected.experts)
        assert torch.equal(model.report.validation_loss, expected.report.validation_loss)
        assert torch.equal(model.report.steps, expected.report.steps)


def test_an_expert_trains_like_an_mlp_of_its_own():
    """Against torch's own modules, loss and optimiser, full batches, no early stopping."""
    x, y = data(count=300)
    options = Options(steps=30, batch_size=1000, evaluate_every=30, weight_decay=0.01)
    ready = prepare(x, y, leaves=3, expert_hidden=(7,), validation=0.0, generator=seeded())
    problem, first = ready.problem, ready.initial.clone()
    rows = train_bank(problem, ready.initial, ready.widths, options).rows
    for e in range(3):
        mine = problem.train.rows[problem.train.start[e] : problem.train.start[e + 1]]
        inputs = (problem.z[mine] - problem.centre[e]) * problem.scale[e]
        network = plain_network(first[e], ready.widths).requires_grad_()
        optimiser = torch.optim.AdamW(network.parameters(), lr=options.learning_rate, weight_decay=0.01)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=30)
        for _ in range(30):
            optimiser.zero_grad()
            nn.functional.mse_loss(network(inputs), problem.y[mine]).backward()
            optimiser.step()
            schedule.step()
        flat = torch.cat([p.detach().flatten() for p in network.parameters()])
        torch.testing.assert_close(rows[e], flat, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("product", [each_alone, all_at_once])
@pytest.mark.parametrize("hidden", [(), (5,), (6, 7)])
@pytest.mark.parametrize("classes", [False, True])
def test_losses_gradients_and_steps_are_those_of_torch(product, hidden, classes):
    """Against autograd through torch's own losses, and torch's AdamW."""
    widths, experts, points = (3, *hidden, 4), 5, 37
    rows = torch.randn(experts, parameters(widths), generator=seeded(), dtype=torch.float64)
    x = torch.randn(experts, points, 3, generator=seeded(1), dtype=torch.float64)
    y = torch.randn(experts, points, 4, generator=seeded(2), dtype=torch.float64) * 9
    y = y.argmax(-1) if classes else y
    inside = torch.rand(experts, points, generator=seeded(3)) < 0.7
    inside[0] = False
    targets = Targets.of(y, inside)
    bank = Bank(Layout.of(widths), product, rows, torch.zeros_like(rows), torch.zeros_like(rows))
    room = bank.room(points)
    expected = rows.clone().requires_grad_()
    optimiser = torch.optim.AdamW([expected], lr=0.03, weight_decay=0.1)
    for number in (1, 2, 3):
        out = bank.outputs(x, room)
        hidden_values = x
        for i, (weight, bias) in enumerate(layers(expected, widths)):
            hidden_values = hidden_values.relu() if i else hidden_values
            hidden_values = hidden_values @ weight.transpose(1, 2) + bias[:, None]
        if classes:
            each = nn.functional.cross_entropy(hidden_values.transpose(1, 2), y, reduction="none")
        else:
            each = (hidden_values - y).square().mean(-1)
        loss = torch.where(inside, each, 0.0).sum(-1) / inside.sum(-1).clamp(min=1)
        torch.testing.assert_close(targets.losses(out), loss.detach(), rtol=1e-12, atol=1e-12)
        optimiser.zero_grad()
        loss.sum().backward()
        optimiser.step()
        bank.descend(targets.gradient(out), room, rate=0.03, weight_decay=0.1, number=number)
        torch.testing.assert_close(bank.rows(), expected.detach(), rtol=1e-10, atol=1e-10)


def test_a_loss_and_a_step_do_not_depend_on_the_place_in_the_bank():
    """Every kernel of a step but the matrix products, on one expert alone and in the midst of others."""
    widths, points = (2, 3, 5), 9
    rows = torch.randn(7, parameters(widths), generator=seeded(), dtype=torch.float64)
    out = torch.randn(7, points, 5, generator=seeded(1), dtype=torch.float64)
    inside = torch.ones(7, points, dtype=torch.bool)
    for y in (torch.randn(7, points, 5, generator=seeded(2), dtype=torch.float64), out.argmin(-1)):
        whole = Targets.of(y, inside)
        for e in range(7):
            alone = Targets.of(y[e : e + 1].clone(), inside[e : e + 1])
            assert torch.equal(alone.losses(out[e : e + 1].clone())[0], whole.losses(out)[e])
            assert torch.equal(alone.gradient(out[e : e + 1].clone())[0], whole.gradient(out)[e])
    layout = Layout.of(widths)
    work = layout.work_rows(rows)
    assert all(matrix[e].data_ptr() % 64 == work.data_ptr() % 64 for matrix in layout.matrices(work) for e in range(7))


def test_runs_trained_together_are_runs_trained_alone():
    parts = [prepare(*data(), leaves=4, expert_hidden=(5,), generator=seeded(s)) for s in range(3)]
    alone = [
        train_bank(p.problem, p.initial, p.widths, Options(steps=40, batch_size=1000)) for p in copy.deepcopy(parts)
    ]
    together = train_together(parts, Options(steps=40, batch_size=1000))
    for part, single, model in zip(parts, alone, together, strict=True):
        torch.testing.assert_close(part.finish(single).experts.data, model.experts.data, rtol=1e-9, atol=1e-9)
    other = prepare(*data(), leaves=4, expert_hidden=(6,), generator=seeded())
    with pytest.raises(ValueError, match="`parts` must have one architecture"):
        train_together([parts[0], other], OPTIONS)


def test_a_leaf_without_data_answers_the_mean():
    x, y = data()
    ready = prepare(x, y, leaves=5, expert_hidden=(4,), generator=seeded())
    train = ready.problem.train
    keep = torch.arange(len(train.rows)) >= int(train.start[1])
    object.__setattr__(train, "rows", train.rows[keep])
    object.__setattr__(train, "start", (train.start - train.start[1]).clamp(min=0))
    rows = train_bank(ready.problem, ready.initial, ready.widths, Options(steps=10)).rows
    assert run_gathered(rows[:1].expand(6, -1), ready.widths, torch.rand(6, 2).double()).abs().max() == 0


def test_bank_layout():
    rows = torch.randn(3, parameters((4, 5, 2)), generator=seeded(), dtype=torch.float64)
    assert [(tuple(w.shape), tuple(b.shape)) for w, b in layers(rows, (4, 5, 2))] == [
        ((3, 5, 4), (3, 5)),
        ((3, 2, 5), (3, 2)),
    ]
    x = torch.randn(3, 4, generator=seeded(2), dtype=torch.float64)
    expected = torch.stack([plain_network(r, (4, 5, 2))(p) for r, p in zip(rows, x, strict=True)])
    torch.testing.assert_close(run_gathered(rows, (4, 5, 2), x), expected)
    layout = Layout.of((4, 5, 2))
    room = Pass(3, 1, layout, each_alone, rows)
    found = room.forward(x[:, None], layout.matrices(layout.work_rows(rows)))[:, 0]
    torch.testing.assert_close(found, expected)
    assert torch.equal(layout.rows(layout.work_rows(rows)), rows)
    hidden = central_hidden(4, 2, depth=2, at_least=500)
    assert parameters((4, *hidden, 2)) >= 500 > parameters((4, *(w - 1 for w in hidden), 2))


# --- the store ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    x, y = data(count=6000)
    options = {"routing": Routing("farthest_point"), "options": Options(steps=2), "generator": seeded()}
    model = train_momlp(x, y, leaves=3000, expert_hidden=(40, 40), **options)
    return model, x, save(model, tmp_path_factory.mktemp("store") / "t.safetensors")


def test_a_trained_model_fifty_times_its_budget(stored):
    model, x, path = stored
    again = load(path)
    assert torch.equal(again(x), model(x))
    assert (again.widths, again.task, again.router) == (model.widths, model.task, model.router)
    budget = model.resident_bytes // 50
    lazy = load(path, lazy=True, budget_bytes=budget)
    x = x[:1500]
    parts, peak = peak_resident_bytes(lambda: stream(lazy, x.split(64)), device=torch.device("cpu"), ignored=[x])
    assert torch.equal(torch.cat(parts), model(x))
    assert resident_bytes_le(peak, budget, model.resident_bytes).status is Status.NOT_REFUTED
    assert lazy.statistics.evicted > 0
    with pytest.raises(StoreError, match="copy that file"):
        save(lazy, path.with_name("u.safetensors"))
    with pytest.raises(BudgetExceeded, match="`budget_bytes` must be at least"):
        load(path, lazy=True, budget_bytes=1000)


@pytest.mark.parametrize("router", ["tree", "flat"])
def test_batches_of_any_size_keep_to_the_least_budget(router, tmp_path):
    x, y = data(count=300)
    options = {"method": "farthest_point", "options": Options(steps=1), "generator": seeded()}
    model = train_momlp(x, y, leaves=60, expert_hidden=(6,), router=router, **options)
    path = save(model, tmp_path / "t.safetensors")
    with pytest.raises(BudgetExceeded) as found:
        load(path, lazy=True, budget_bytes=1)
    least = int(re.search(r"at least (\d+)", str(found.value))[1])
    for budget, batch in ((least, 50), (2 * least, 300)):
        lazy = load(path, lazy=True, budget_bytes=budget)
        parts, peak = peak_resident_bytes(
            partial(stream, lazy, x.split(batch)), device=torch.device("cpu"), ignored=[x]
        )
        assert torch.equal(torch.cat(parts), model(x))
        assert budget / 4 < peak <= budget + parts[0].nbytes


def test_every_damaged_part_of_a_trained_file_is_noticed(stored, tmp_path):
    _model, _x, path = stored
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    damaged = tmp_path / "d.safetensors"
    for at in range(8 + length, len(content), (len(content) - length) // 40):
        broken = bytearray(content)
        broken[at] ^= 1
        damaged.write_bytes(broken)
        with pytest.raises(StoreError):
            load(damaged)
    damaged.write_bytes(content[: len(content) // 2])
    with pytest.raises(StoreError):
        load(damaged)
    damaged.write_bytes(content.replace(b"regression", b"regressio_"))
    with pytest.raises(StoreError):
        load(damaged)


# --- bad input ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y": torch.zeros(5)}, "`y` must be a torch.Tensor or a numpy array of 20 rows"),
        ({"y": torch.zeros(20, dtype=torch.int64)}, "`y` must be floating values"),
        ({"task": "classification"}, "`y` must be classes"),
        ({"task": "ranking"}, "`task` must be one of"),
        ({"leaves": 0}, "`leaves` must be"),
        ({"leaves": 21}, "`leaves` must be"),
        ({"expert_hidden": (0,)}, "`expert_hidden` must be widths"),
        ({"validation": 1.5}, "`validation` must be a share"),
        ({"validation": torch.ones(20, dtype=torch.bool)}, "leave at least one row"),
        ({"validation": torch.ones(3, dtype=torch.bool)}, "boolean mask"),
        ({"router": "forest"}, "`router` must be one of"),
        ({"overlap": 0}, "`overlap` must be"),
        ({"overlap": 2, "routing": Routing()}, "`overlap` must be a field of `routing`"),
        ({"dtype": torch.float16}, "`dtype` must be"),
        ({"budget_bytes": 0}, "`budget_bytes` must be"),
        ({"x": torch.full((20, 2), float("nan"))}, "`x` must be finite, row 0"),
    ],
)
def test_bad_arguments(change, message):
    arguments = {"x": torch.rand(20, 2, generator=seeded()), "y": torch.zeros(20), "leaves": 2, "expert_hidden": (3,)}
    with pytest.raises(ValueError, match=message.replace("torch.", r"torch\.")):
        train_momlp(**{**arguments, **change})


@pytest.mark.parametrize(
    ("field", "value"), [("method", "nets"), ("valency", 1), ("valency", 65), ("router", None), ("overlap", 0)]
)
def test_bad_routing(field, value):
    with pytest.raises((TypeError, ValueError), match=f"`{field}` must be"):
        Routing(**{field: value})


def test_fields_of_routing_are_understood_as_arguments_for_one_release():
    x, y = data()
    fixed = {"leaves": 4, "expert_hidden": (5,)}
    now = prepare(x, y, **fixed, routing=Routing("farthest_point", 3, "flat", 2), generator=seeded())
    with pytest.warns(DeprecationWarning, match=r"pass routing=Routing\(method='farthest_point', valency=3"):
        then = prepare(x, y, **fixed, method="farthest_point", valency=3, router="flat", overlap=2, generator=seeded())
    assert torch.equal(now.tree.leaf_prototypes, then.tree.leaf_prototypes)
    assert torch.equal(now.problem.train.rows, then.problem.train.rows)
    assert now.router == then.router == "flat"
    assert len(now.problem.train.rows) == 2 * int(len(x) * 0.8)
    with pytest.raises(TypeError, match="unexpected keyword argument 'overlaps'"):
        prepare(x, y, **fixed, overlaps=2)
    with pytest.raises(TypeError, match="`routing` must be"):
        prepare(x, y, **fixed, routing="tree")


def test_bad_options_and_queries():
    with pytest.raises(ValueError, match="`learning_rate` must be"):
        Options(learning_rate=0.0)
    with pytest.raises(ValueError, match="`steps` must be"):
        Options(steps=0)
    x, y = data(count=50)
    model = train_momlp(x, y, leaves=2, expert_hidden=(3,), options=Options(steps=1))
    with pytest.raises(ValueError, match="`x` must be finite, row 1"):
        model(torch.tensor([[0.0, 0.0], [float("inf"), 0.0]]))
    with pytest.raises(ValueError, match="`x` must have shape"):
        model(torch.zeros(3, 5))


def test_training_and_answers_on_the_device_match_the_cpu(device):
    x, y = data()
    options = {"leaves": 8, "expert_hidden": (16,), "options": OPTIONS}
    host = train_momlp(x, y, **options, generator=seeded())
    model = train_momlp(x, y, **options, generator=seeded(), device=device)
    torch.testing.assert_close(model(x), host(x), rtol=1e-4, atol=1e-4)
    moved = host.to(device)
    assert torch.equal(moved.route(x.to(device)).cpu(), model.route(x))
