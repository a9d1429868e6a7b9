"""`momlp train --optimizer demo`, alone and under torchrun, and mixtures trained data-parallel on spawned ranks."""

import numpy as np
import pytest
import torch

from constructions import load, train_momlp
from constructions.demo_optimizer import GradientRefused, OptionsDiffer
from constructions.demo_optimizer.wire import HEAD
from constructions.trained_momlp import training
from constructions.trained_momlp.training import Options
from tests.demo_optimizer.workers import on_ranks
from theory import cli
from theory.torchrun import torchrun

LEAVES, HIDDEN, POINTS = 5, (30,), 60


def data(classes=False):
    x = torch.rand(POINTS, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = (6 * x[:, 0]).sin() * x[:, 1]
    return x, (y > 0.1).long() if classes else y


def trained(task="regression", seed=3, **options):
    x, y = data(task == "classification")
    steps = Options(steps=options.pop("steps", 12), batch_size=4, evaluate_every=4, learning_rate=0.02)
    known = {"leaves": LEAVES, "expert_hidden": HIDDEN, "optimizer": "demo", "topk": 3, "options": steps, "task": task}
    return train_momlp(x, y, **(known | {"generator": torch.Generator().manual_seed(seed)} | options))


def numbers(model):
    return [t.tolist() for t in model.state_dict().values()], model.report.validation_loss.tolist()


def on_a_rank(rank, world, task, folder):
    """Whole, in groups under a budget, and stopped and resumed: numbers and what was sent."""
    whole = trained(task)
    budget = trained(task, budget_bytes=120_000)
    file = f"{folder}/{world}-{task}.ckpt"
    asked = []

    def due(saver):
        asked.append(1)
        if len(asked) == 2:
            raise KeyboardInterrupt
        return True

    due_before, training._Saver.due = training._Saver.due, due
    with pytest.raises(KeyboardInterrupt):
        trained(task, checkpoint=file)
    training._Saver.due = due_before
    resumed = trained(task, checkpoint=file)
    return (
        numbers(whole),
        numbers(budget),
        budget.report.groups,
        numbers(resumed),
        vars(whole.report.sent),
        resumed.report,
    )


@pytest.mark.parametrize("task", ["regression", "classification"])
def test_ranks_train_one_mixture(task, tmp_path):
    answers = on_ranks(3, on_a_rank, task, str(tmp_path))
    first = answers[0][0]
    parameters = 30 * 3 + (2 if task == "classification" else 1) * 31
    for whole, budget, groups, resumed, sent, report in answers:
        assert whole == first
        assert budget == first
        assert groups > 1
        assert resumed == first
        each = LEAVES * -(-parameters // 64) * 3 * (1 + 4)
        assert sent["payload_bytes"] == sent["messages"] * each
        assert sent["message_bytes"] == sent["payload_bytes"] + HEAD * sent["messages"]
        assert report.sent.messages < sent["messages"] == 12
    assert numbers(trained(task)) != first  # one worker is another algorithm


def unlike(rank, world, what):
    x, y = data()
    if what == "data" and rank:
        x = x + 1e-12
    if what == "overflow" and rank == 1:
        training.Targets.gradient = lambda self, out: torch.full_like(out, torch.nan)
    steps = Options(steps=3, batch_size=4, learning_rate=0.02 if what != "rate" or not rank else 0.03)
    train_momlp(x, y, leaves=LEAVES, expert_hidden=HIDDEN, optimizer="demo", options=steps)


@pytest.mark.parametrize(
    ("what", "kind", "said"),
    [
        ("data", OptionsDiffer, "data, options or first weights on ranks 1 are not those of rank 0"),
        ("rate", OptionsDiffer, "data, options or first weights on ranks 1 are not those of rank 0"),
        ("overflow", GradientRefused, "the momentum of expert 0 of its group is not finite on rank 1"),
    ],
)
def test_what_one_rank_has_alone_stops_all(what, kind, said):
    for answer in on_ranks(2, unlike, what):
        assert isinstance(answer, kind), answer
        assert said in str(answer)


def test_one_worker_learns_and_more_workers_than_points_do_no_harm():
    x, y = data()
    model = trained(steps=200)
    assert float((model.predict(x)[:, 0] - y).square().mean() / y.var()) < 0.2
    few = {"leaves": 1, "expert_hidden": (2,), "validation": 0.0, "optimizer": "demo", "options": Options(steps=4)}
    assert train_momlp(x[:1], y[:1], **few).num_leaves == 1


def one_point(rank, world):
    x, y = data()
    few = {"leaves": 1, "expert_hidden": (2,), "validation": 0.0, "optimizer": "demo", "options": Options(steps=4)}
    return numbers(train_momlp(x[:1], y[:1], **few))


def test_a_rank_without_a_point_takes_part():
    first, second = on_ranks(2, one_point)
    assert first == second


def test_other_words_are_refused():
    x, y = data()
    with pytest.raises(ValueError, match="`optimizer` must be one of adamw, demo, got 'sgd'"):
        train_momlp(x, y, leaves=2, expert_hidden=(2,), optimizer="sgd")
    with pytest.raises(ValueError, match="`topk` must be an integer at least 1, got 0"):
        train_momlp(x, y, leaves=2, expert_hidden=(2,), optimizer="demo", topk=0)
    with pytest.raises(ValueError, match="`decay` must be between 0 and 1, got 2"):
        train_momlp(x, y, leaves=2, expert_hidden=(2,), optimizer="demo", decay=2)


def words(folder, *more):
    x, y = data()
    np.save(folder / "x.npy", x.numpy())
    np.save(folder / "y.npy", y.numpy())
    files = ["--points", folder / "x.npy", "--values", folder / "y.npy", "--out", folder / "m.safetensors"]
    return ["train", *map(str, files), "--leaves", "5", "--hidden", "30", "--steps", "12", "--batch", "4", *more]


def test_the_command_alone_and_its_refusals(tmp_path, capsys):
    assert cli.main(words(tmp_path, "--optimizer", "demo", "--topk", "2")) == 0
    said = capsys.readouterr().out
    assert "bytes of coefficients a rank and step" in said
    assert str(LEAVES * 2 * 2 * 5) in said
    assert load(tmp_path / "m.safetensors").num_leaves == LEAVES
    assert cli.main(words(tmp_path, "--topk", "2")) == 2
    assert "`--topk` is for --optimizer demo, got adamw" in " ".join(capsys.readouterr().err.split())


def test_the_command_under_torchrun(tmp_path):
    done = torchrun(2, "theory", *words(tmp_path, "--optimizer", "demo"), timeout=240, check=True)
    assert done.stdout.count("stored in") == 1
    assert "│ 2" in done.stdout
    assert load(tmp_path / "m.safetensors").num_leaves == LEAVES
    refused = torchrun(2, "theory", *words(tmp_path), timeout=240)
    assert refused.returncode != 0
    assert "`--optimizer` must be demo under torchrun, got adamw" in " ".join(refused.stderr.split())
