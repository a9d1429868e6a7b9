"""`momlp sublinear_training run` and `costs`: what they print and write, and what they refuse."""

import json

import numpy as np
import pytest
import torch

from constructions.sublinear_training import GaussNewtonTrainer, random_signs, unit_sphere
from theory.cli import main


@pytest.fixture
def data(tmp_path):
    g = torch.Generator().manual_seed(0)
    x, y = unit_sphere(10, 5, generator=g), random_signs(10, generator=g)
    np.save(tmp_path / "x.npy", x.numpy())
    np.save(tmp_path / "y.npy", y.numpy().astype(np.int64))
    return tmp_path


def run(data, *arguments):
    return main(
        ["sublinear_training", "run", "--data", str(data / "x.npy"), "--labels", str(data / "y.npy"), *arguments]
    )


def test_a_run_is_counted_and_stored(data, capsys):
    report, out = data / "r.json", data / "net.safetensors"
    assert run(data, "--width", "500", "--report", str(report), "--out", str(out)) == 0
    said = capsys.readouterr().out
    assert "keyed anew" in said
    found = json.loads(report.read_text())
    assert found["schema"] == 1
    assert (found["n"], found["d"], found["m"], found["method"]) == (10, 5, 500, "lazy")
    assert found["final_residual"] < 1e-12
    assert found["total_operations"] == found["build_operations"] + sum(
        s["operations"]["total"] for s in found["steps"]
    )
    from safetensors.torch import load_file

    assert load_file(out)["weight"].shape == (500, 5)


def test_a_run_goes_on_from_its_checkpoint(data, capsys):
    arguments = ("--width", "500", "--checkpoint", str(data / "c"))
    assert run(data, *arguments, "--steps", "1") == 0
    assert run(data, *arguments, "--report", str(data / "resumed.json")) == 0
    assert run(data, "--width", "500", "--report", str(data / "whole.json")) == 0
    assert (data / "resumed.json").read_text() == (data / "whole.json").read_text()
    assert run(data, *arguments, "--method", "flat") == 2
    assert "belongs to a run with other data or options" in capsys.readouterr().err


def test_large_labels_are_a_note(data, capsys):
    np.save(data / "y.npy", 100.0 * np.ones(10))
    assert run(data, "--width", "2000", "--steps", "1") == 0
    assert "need not halve the residual" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--width", "1"), "`--width` must be an integer at least 2, got 1"),
        (("--width", "100", "--alpha", "2"), "`--alpha` must be below 1, got 2.0"),
        (("--width", "30", "--alpha", "0.9"), "fires no unit"),
        (("--width", "100", "--steps", "-1"), "`--steps` must be an integer at least 0"),
        (("--width", "100", "--radius", "0"), "`--radius` must be a positive finite number"),
    ],
)
def test_what_a_run_refuses(data, capsys, arguments, words):
    assert run(data, *arguments) == 2
    assert words in capsys.readouterr().err


def test_points_off_the_sphere_are_refused_or_normalised(data, capsys):
    np.save(data / "x.npy", 3 * np.load(data / "x.npy"))
    assert run(data, "--width", "500") == 2
    assert "`--data` needs rows of norm 1 within 1e-12, row 0 has 3" in capsys.readouterr().err
    assert run(data, "--width", "500", "--normalise") == 0


def test_a_run_that_is_stopped_leaves_its_counts(data, monkeypatch, capsys):
    step = GaussNewtonTrainer.step

    def stopped(self):
        if len(self.trace.steps) == 2:
            raise KeyboardInterrupt
        return step(self)

    monkeypatch.setattr(GaussNewtonTrainer, "step", stopped)
    arguments = ("--width", "500", "--report", str(data / "r.json"), "--checkpoint", str(data / "c"))
    assert run(data, *arguments) == 130
    said = capsys.readouterr().err
    assert "counts in" in said
    assert "the same command goes on from" in said
    found = json.loads((data / "r.json").read_text())
    assert (len(found["steps"]), found["final_residual"]) == (2, None)


def test_outputs_are_different_files_and_pictures_have_an_ending(data, capsys):
    one = str(data / "one")
    assert run(data, "--width", "500", "--checkpoint", one, "--out", one) == 2
    assert "must be different files" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["sublinear_training", "costs", "--out", str(data / "c.gif")])
    assert "a picture is written as .png" in capsys.readouterr().err
    np.save(data / "x.npy", np.zeros((10, 5)))
    assert run(data, "--width", "500", "--normalise") == 2
    assert "`--normalise` needs rows that are not 0, row 0 is" in capsys.readouterr().err


def test_labels_of_another_kind(data, capsys):
    np.save(data / "y.npy", np.ones((10, 1)))
    assert run(data, "--width", "500") == 2
    assert "`--labels` must be numbers of shape (n,), got float64 (10, 1)" in capsys.readouterr().err


def test_costs_are_a_table_and_a_plot(tmp_path, capsys):
    out = tmp_path / "costs.png"
    arguments = ["--points", "8", "--dimension", "4", "--largest", "11", "--out", str(out)]
    assert main(["sublinear_training", "costs", *arguments]) == 0
    said = capsys.readouterr().out
    assert "1,024" in said
    assert "2,048" in said
    assert out.read_bytes()[:4] == b"\x89PNG"
    assert main(["sublinear_training", "costs", "--largest", "21"]) == 2
    assert "`--largest` must be an integer between 11 and 20, got 21" in capsys.readouterr().err
