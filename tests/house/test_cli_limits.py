"""The commands `vc`, `shatter`, `check` and `rates` at their limits: refused in one sentence, at once."""

import json
import time

import pytest
from safetensors import safe_open
from safetensors.torch import save_file

from theory.bit_extraction import figures as plots
from theory.cli import main


@pytest.fixture
def run(capsys):
    """(code, stdout, stderr) of a command line."""

    def call(*arguments):
        try:
            code = main([str(a) for a in arguments])
        except SystemExit as exit:
            code = exit.code
        captured = capsys.readouterr()
        return code, captured.out, " ".join(captured.err.split())

    return call


# --- limits of the command line ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("vc", "--n", 3, "--depth", 10**20, "--width", 8, "--experts", 1),
            "`depth` must be an integer between 1 and 1024",
        ),
        (("vc", "--n", 10**60, "--depth", 3, "--width", 8, "--experts", 1), "`n` must be an integer between"),
        (("vc", "--n", 3, "--depth", 3, "--width", 10**60, "--experts", 1), "`width` must be an integer between"),
        (("vc", "--n", 3, "--depth", 3, "--width", 8, "--experts", 10**60), "`experts` must be an integer between"),
        (
            ("shatter", "deep", "--side", 2, "--blocks", 2, "--bits", 10**6),
            "`bits` must be an integer between 1 and 256",
        ),
        (("shatter", "deep", "--side", 2, "--blocks", 10**9, "--bits", 2), "`blocks` must be an integer between"),
        (("shatter", "two_hidden_layers", "--side", 10**6), "`side` must be smaller: 1000000000000 points in R^2"),
        (("shatter", "two_hidden_layers", "--side", 300), "a table of 90000 entries takes"),
        (("shatter", "wide", "--n", 10**5, "--units", 10**5, "--bits", 3), "must be smaller"),
        (("shatter", "routing_only", "--n", 10**6, "--experts", 10**6), "`experts` must be smaller"),
        (("shatter", "routing_pairs", "--n", 2, "--experts", 200), "300 points have 2^300 labelings, and no certif"),
        (
            ("shatter", "one_hidden_layer", "--n", 1000, "--width", 15),
            "the certificate of 15001 points in R^1000 takes",
        ),
        (("shatter", "one_hidden_layer", "--n", 2, "--width", 2, "--experts", 10**12), "`experts` must be an integer"),
        (("shatter", "one_hidden_layer", "--n", 2, "--width", 2, "--experts", 2, "--valency", 9), "`valency` must be"),
        (("rates", "--n", 10**9), "`n` must be an integer between 1 and 3"),
        (("rates", "--n", 0), "`n` must be an integer between 1 and 3"),
    ],
)
def test_sizes_without_end_are_refused_in_a_sentence(run, arguments, message):
    start = time.process_time()
    code, _, err = run(*arguments)
    assert (code, message in err, "Traceback" in err) == (2, True, False), err
    assert time.process_time() - start < 5


def test_large_networks_have_bounds_without_being_built(run):
    for sizes in (
        ("--width", 10**9, "--experts", 2),
        ("--width", 8, "--experts", 10**12),
        ("--width", 8, "--experts", 3000),
    ):
        code, out, _ = run("vc", "--n", 3, "--depth", 5, *sizes)
        assert code == 0
        assert "proved, not checked at this size" in out


def test_a_file_may_ask_for_no_endless_work_and_print_no_controls(run, tmp_path):
    path = tmp_path / "s.safetensors"
    run("shatter", "routing_only", "--n", 2, "--experts", 3, "--out", path)
    with safe_open(path, framework="pt") as file:
        spec = json.loads(file.metadata()["momlp_shattered"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    spec.pop("root")
    for digits in (10**6, 10**8):
        save_file(tensors, path, metadata={"momlp_shattered": json.dumps(spec | {"binary_digits": digits})})
        start = time.process_time()
        code, _, err = run("check", path)
        assert (code, "`binary_digits` must be an integer between 0 and 1074" in err) == (2, True)
        assert time.process_time() - start < 5
    changed = spec | {"family": "\x1b[31m[red]" + "x" * 10**5, "sizes": {"\x07": "\x1b" * 9, "n": [1] * 10**5}}
    save_file(tensors, path, metadata={"momlp_shattered": json.dumps(changed)})
    code, out, _ = run("check", path)
    assert code == 0
    assert "\x1b[31m" not in out
    assert "\x07" not in out
    assert len(out) < 2000


def test_the_rates_picture_is_that_of_n(run, tmp_path):
    pictures = set()
    for n in (1, 2, 3):
        assert run("rates", "--n", n, "--out", tmp_path / f"{n}.png")[0] == 0
        pictures.add((tmp_path / f"{n}.png").read_bytes())
    assert len(pictures) == 3
    figures = [plots.optimal_rates_figure(n, 1000) for n in (1, 2, 3)]
    titles = [[axes.get_title(loc="left") for axes in figure.axes] for figure in figures]
    assert titles[0] == ["a single MLP on [0, 1]^1: slope 1/2"]
    assert titles[1] == ["a single MLP on [0, 1]^2: slope 1", "experts against their size, n = 2, λ/ε = 1,000"]
    assert titles[2] == ["a single MLP on [0, 1]^3: slope 3/2", "experts against their size, n = 3, λ/ε = 1,000"]
    with pytest.raises(ValueError, match="`n`"):
        plots.optimal_rates_figure(4, 1000)
    with pytest.raises(ValueError, match="`inverse_eps`"):
        plots.optimal_rates_figure(2, 1)
