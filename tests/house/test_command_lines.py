"""Bad command lines, hundreds of them: each ends within seconds in exit code 2 and one sentence, and no traceback.

Lines run in this process through `theory.cli.main`, a few as real commands. `LINES` lists them verb by verb with file
names that `files` makes; the first of every kind are run always, all of them with `-m slow`. A line in `PENDING` does
not end so yet.
"""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from constructions import build_momlp, save, targets, train_momlp
from constructions.errors import RankLost
from constructions.trained_momlp.training import Options
from constructions.vc_dimension import one_hidden_layer, routing_only
from theory import cli
from theory.bit_extraction import verbs as rates
from theory.torchrun import alone
from theory.vc_dimension.checkers.file import save_shattered
from theory.vc_dimension.verbs import FAMILIES, ROUTERS

ROOT = Path(__file__).parents[2]

LIMIT = 5  # seconds a line
EVERY = 4  # `make test` runs one line in so many

NOT_FILES = ["missing", "", "folder", "fifo", "socket", "loop", "nowhere", "folder/missing", "junk/below", "x" * 300]
NOT_MODELS = [
    "empty",
    "junk",
    "truncated.safetensors",
    "flipped.safetensors",
    "foreign.safetensors",
    "spec.safetensors",
]
NOT_MODELS += ["deep.safetensors", "digits.safetensors", "schema.safetensors", "x.npy", "set.safetensors", "bomb"]
NOT_ARRAYS = ["empty", "junk", "m.safetensors", "pickle.npy", "archive.npz", "zip", "cut.npy", "huge.npy", "header.npy"]
NOT_POINTS = ["integers.npy", "complex.npy", "flat.npy", "scalar.npy", "cube.npy", "wide.npy", "none.npy", "text.npy"]
NOT_INSIDE = ["nan.npy", "inf.npy", "outside.npy"]
NOT_OUTPUTS = ["", "folder", "folder/", "fifo", "socket", "loop", "nowhere", "missing/file", "junk/below", "x" * 300]
NOT_OUTPUTS += ["device", "linked_fifo", ".", "a\0b"]
NOT_POSITIVE = ["0", "-1", "nan", "inf", "-inf", "abc", "", "1e999", "1e-999"]
NOT_COUNTS = ["0", "-3", "1.5", "nan", "abc", "", "9" * 5000, "1e3"]
NOT_FORMULAS = [
    "",
    " ",
    "x0+",
    "(x0",
    "y",
    "x5",
    "__import__('os')",
    "x0.real",
    "lambda: 0",
    "x0 if x0 else 1",
    "1/0*x0",
]
NOT_FORMULAS += ["[x0]", "x0;x0", "f(x0)", "sin", "sin()", "ε", "'x0'", "x0==1", "x0(1)", "1/x0", "log(x0)", "x0\0"]
NOT_DOMAINS = ["1", "[0]", "[1,0]", "[0,0]", "[0,nan]", "[0,inf]", "[a,b]", "[0,1];[0,1];[0,1]", ";", "[0,1,2]", "x"]
NOT_HOLDER = ["1", "1,2,3", "a,b", "1,0", "1,2", "-1,0.5", "nan,0.5", "1,nan", ",", "inf,1"]
NOT_SPLITS = ["a", "1/0", "-1", "2", "nan", "inf", "1/2/3", ""]
NOT_FUNCTIONS = ["x", ":", "m:", ":f", "no_such_module:f", "os:path", "os:nothing", "theory:REGISTRY", "..:f", "1:1"]
NOT_WIDTHS = ["", "a", "0", "-1", "1.5", "8;8", ",", "8,a"]
NOT_CHOICES = ["", "nope", "RELU", "1"]


def changed(base, option, values):
    """The line `base` with an option added (argparse takes the last one), once for every value."""
    return [[*base, f"{option}={value}"] for value in values]


def lines():
    """Every bad command line, as lists of arguments without the programme."""
    plan = ["plan", "sin(x0)*x1", "--n", "2", "--eps", "0.1"]
    build = ["build", *plan[1:]]
    design = [
        ("--eps", NOT_POSITIVE),
        ("--n", NOT_COUNTS),
        ("--domain", NOT_DOMAINS),
        ("--lipschitz", NOT_POSITIVE),
        ("--holder", NOT_HOLDER),
        ("--split", NOT_SPLITS),
        ("--valency", ["1", "0", "-2", "a", "1.5"]),
        ("--expert", NOT_CHOICES),
        ("--resolved", ["0", "-1", "3", "a"]),
        ("--lookup", NOT_CHOICES),
        ("--cells", ["0", "-1", "2", "a", "1.5"]),
        ("--max-experts", ["0", "-1", "2", "a", "1.5"]),
        ("--activation", NOT_CHOICES),
        ("--dtype", ["float16", "int64", ""]),
    ]
    for option, values in design:
        yield from changed(plan, option, values)
    for option, values in (("--samples", NOT_COUNTS), ("--seconds-per-call", NOT_POSITIVE), ("--workers", NOT_COUNTS)):
        yield from changed(plan, option, values)
    box = ["build", "--function", "black_box:f", "--eps", "0.2"]
    yield from changed(["plan", *box[1:]], "--function", NOT_FUNCTIONS)
    yield from changed(box, "--cache", (*NOT_OUTPUTS, "junk", "m.safetensors", "x.npy"))
    yield from ([*box, *words] for words in (["--n", "2"], ["--domain", "[0,1]"], ["--lipschitz", "1"]))
    yield from ([*build, "--cache", "answers"], ["plan", "--eps", "0.1"], ["plan", "--target", "cone", "--eps", "0.1"])
    yield from (["plan", text, "--n", "1", "--eps", "0.1"] for text in NOT_FORMULAS)
    yield from changed(build, "--out", NOT_OUTPUTS)
    yield ["build", "--target", "cone", "--n", "2", "--eps", "0.1", "--domain", "[0,1]"]
    yield ["build", "x0", "--target", "cone", "--n", "2", "--eps", "0.1"]
    yield ["build", "--target", "nope", "--n", "2", "--eps", "0.1"]
    yield ["plan", "x0", "--n", "1", "--eps", "0.1", "--lipschitz", "1", "--holder", "1,1"]
    yield ["plan", "x0", "--n", "1", "--eps", "0.1", "--expert", "pencil", "--resolved", "1"]
    yield ["plan", "sin(x0)", "--n", "1", "--eps", "0.1", "--lipschitz", "0.5"]

    devices = ["devices", "--n", "3", "--eps", "0.1", "--devices", "4", "--device-bytes", "1000000"]
    for option, values in (("--eps", NOT_POSITIVE), ("--lipschitz", NOT_POSITIVE), ("--n", NOT_COUNTS)):
        yield from changed(devices, option, values)
    for option in ("--devices", "--device-bytes", "--batch"):
        yield from changed(devices, option, ["0", "-1", "a", "1.5"])

    yield from (["certify", name] for name in (*NOT_FILES, *NOT_MODELS, "t.safetensors"))
    certify = ["certify", "m.safetensors"]
    for option, values in (
        ("--eps", NOT_POSITIVE),
        ("--gap", ["-1", "nan", "inf", "a"]),
        ("--method", NOT_CHOICES),
        ("--max-evaluations", NOT_COUNTS),
        ("--samples", [*NOT_COUNTS, "9" * 20]),
        ("--cache", ["answers", "junk"]),
        ("--function", NOT_FUNCTIONS),
        ("--seed", ["-1", "a", "1.5", str(2**70)]),
        ("--device", ["gpu", "cuda:99", "meta", ""]),
        ("--patience", ["0", "-1", "nan", "a"]),
    ):
        yield from changed(certify, option, values)

    yield from (["eval", name, "--points", "x.npy", "--out", "y.npy"] for name in (*NOT_FILES, *NOT_MODELS))
    evaluate = ["eval", "m.safetensors", "--points", "x.npy", "--out", "y.npy"]
    yield from changed(evaluate, "--points", (*NOT_FILES, *NOT_ARRAYS, *NOT_POINTS, *NOT_INSIDE))
    yield from changed(evaluate, "--out", (*NOT_OUTPUTS, "x.npy", "m.safetensors", "linked_x"))
    yield from changed(evaluate, "--budget-bytes", ["0", "-1", "1", "a", "1.5", "9" * 20])
    yield from changed(evaluate, "--batch", ["0", "-1", "a", "1.5", "9" * 20])
    yield from changed(["eval", "t.safetensors", *evaluate[2:]], "--points", ("nan.npy", "inf.npy", "wide.npy"))

    yield from (["export", name, "--onnx", "m.onnx"] for name in (*NOT_FILES, *NOT_MODELS))
    yield from changed(["export", "m.safetensors"], "--onnx", (*NOT_OUTPUTS, "m.safetensors"))
    yield from changed(["export", "m.safetensors"], "--pt2", (*NOT_OUTPUTS, "m.safetensors"))
    yield from changed(["export", "m.safetensors", "--onnx", "m.onnx"], "--count", NOT_COUNTS)
    yield ["export", "m.safetensors"]
    yield ["export", "t.safetensors", "--fast", "--onnx", "m.onnx"]
    yield ["certify", "missing.onnx", "--vnnlib", "missing"]
    yield ["certify", "missing.onnx"]
    yield ["certify", "m.safetensors", "--vnnlib", "missing"]

    yield from (["show", name, "--out", "m.png"] for name in (*NOT_FILES, *NOT_MODELS))
    yield from changed(["show", "m.safetensors"], "--out", (*NOT_OUTPUTS, "m.safetensors"))
    yield from (["check", name] for name in (*NOT_FILES, *NOT_MODELS[:-2], "m.safetensors", "t.safetensors"))

    train = ["train", "--points", "x.npy", "--values", "v.npy", "--out", "new", "--leaves", "2", "--steps", "1"]
    yield from changed(train, "--points", (*NOT_FILES, *NOT_ARRAYS, *NOT_POINTS, "nan.npy", "inf.npy", "longer.npy"))
    yield from changed(train, "--values", (*NOT_FILES, *NOT_ARRAYS, "nan.npy", "scalar.npy", "cube.npy", "text.npy"))
    yield from changed(
        train, "--weights", (*NOT_FILES, *NOT_ARRAYS, "nan.npy", "inf.npy", "cube.npy", "text.npy", "x.npy")
    )
    yield from changed(train, "--out", (*NOT_OUTPUTS, "x.npy", "v.npy"))
    yield from changed(train, "--checkpoint", (*NOT_OUTPUTS, *NOT_MODELS[:2], "m.safetensors", "x.npy", "new", "bomb"))
    for option, values in (
        ("--leaves", [*NOT_COUNTS, "100000"]),
        ("--hidden", NOT_WIDTHS[1:]),
        ("--task", [*NOT_CHOICES, "classification"]),
        ("--method", NOT_CHOICES),
        ("--router", NOT_CHOICES),
        ("--valency", ["1", "0", "65", "a"]),
        ("--overlap", NOT_COUNTS[:4]),
        ("--validation", ["1", "-0.1", "nan", "inf", "a"]),
        ("--steps", NOT_COUNTS),
        ("--batch", NOT_COUNTS),
        ("--rate", NOT_POSITIVE[:-1]),
        ("--budget-bytes", ["0", "-1", "1", "a", "9" * 20]),
        ("--seed", ["-1", "a", "1.5", str(2**70)]),
        ("--device", ["gpu", "meta", ""]),
    ):
        yield from changed(train, option, values)
    classes = [*train, "--task", "classification"]
    yield from changed(classes, "--values", ["negative.npy", "v.npy", "many.npy", "unsigned.npy", "wide_classes.npy"])

    explain = ["explain", "t.safetensors", "--points", "x.npy"]
    yield from (["explain", name, *explain[2:]] for name in (*NOT_FILES, *NOT_MODELS, *NOT_FUNCTIONS[1:]))
    yield from changed(explain, "--points", (*NOT_FILES, *NOT_ARRAYS, *NOT_POINTS, *NOT_INSIDE[:2]))
    yield from changed(explain, "--background", (*NOT_FILES, *NOT_ARRAYS, *NOT_POINTS, *NOT_INSIDE[:2]))
    yield from changed(explain, "--out", (*NOT_OUTPUTS, "x.npy", "t.safetensors", "new"))
    experts = [*explain, "--players", "experts", "--values", "v.npy"]
    yield from changed(experts, "--values", (*NOT_FILES, *NOT_ARRAYS, "nan.npy", "scalar.npy", "cube.npy", "text.npy"))
    for option, values in (
        ("--row", ["-1", "a", "1.5", "9" * 20]),
        ("--order", NOT_COUNTS),
        ("--budget", NOT_COUNTS),
        ("--repeats", NOT_COUNTS),
        ("--top", NOT_COUNTS),
        ("--output", ["-1", "a", "99"]),
        ("--groups", ["", "a", "0", "0;0,1", "0;1;2", "0;;1"]),
        ("--index", NOT_CHOICES),
        ("--players", NOT_CHOICES),
        ("--plot", NOT_CHOICES),
        ("--loss", [*NOT_CHOICES, "log"]),
        ("--values", ["v.npy"]),
        ("--seed", ["-1", "a", "1.5", str(2**70)]),
        ("--device", ["gpu", "meta", ""]),
    ):
        yield from changed(explain, option, values)

    yield from changed(["rates"], "--n", ["0", "4", "-1", "a", "1.5", "9" * 5000])
    yield from changed(["rates"], "--out", NOT_OUTPUTS)

    vc = ["vc", "--n", "2", "--depth", "1", "--width", "2", "--experts", "2"]
    for option in ("--n", "--depth", "--width", "--experts"):
        yield from changed(vc, option, NOT_COUNTS)
    yield from changed(vc, "--router", NOT_CHOICES)
    yield from changed(vc, "--activation", NOT_CHOICES[:2])
    shatter = ["shatter", "one_hidden_layer", "--n", "2", "--width", "2"]
    for option in ("--n", "--width", "--experts"):
        yield from changed(shatter, option, NOT_COUNTS)
    yield from changed(shatter, "--out", NOT_OUTPUTS)
    yield from changed([*shatter, "--experts", "3"], "--valency", ["0", "1", "-1", "a"])
    yield from (["shatter", family] for family in (*FAMILIES, *ROUTERS, "nope", ""))
    yield from changed(
        ["shatter", "deep", "--side", "2", "--blocks", "2", "--bits", "4"], "--bits", ["0", "-1", "999", "a"]
    )

    yield from (["am_gm", "verify", name] for name in dict.fromkeys((*NOT_FILES, *NOT_MODELS, *NOT_ARRAYS)))
    yield from changed(["am_gm", "verify"], "--shipped", ["", "1", "7", "-4", "ALL", "n4"])
    not_matrices = [name for name in (*NOT_ARRAYS, *NOT_POINTS, *NOT_INSIDE, "x.npy") if name != "cube.npy"]
    yield from (["am_gm", "check", name] for name in (*NOT_FILES, *not_matrices))
    yield from changed(["am_gm", "check", "matrices.npy"], "--k", ["0", "-1", "3", "a", "1.5", "9" * 30])
    rows = ["am_gm", "rates", "rows.npy", "--runs=2"]
    yield from (
        ["am_gm", "rates", name] for name in (*NOT_FILES, *NOT_ARRAYS, "flat.npy", "cube.npy", "nan.npy", "x.npy")
    )
    yield from changed(rows, "--epochs", (*NOT_COUNTS, "1001"))
    yield from changed(rows, "--step", (*NOT_POSITIVE, "1e9"))
    yield from changed(rows, "--runs", ["-1", "1", "a", "1.5", "9" * 30])
    yield from changed(rows, "--seed", ["-1", "a", "1.5", "", str(2**70)])
    yield from changed(rows, "--out", (*NOT_OUTPUTS, "rows.npy"))
    search = ["am_gm", "search", "3", "3", "lower"]
    yield from changed(search, "--bound", ["a", "1/0", "nan", "inf", "1/2/3", ""])
    yield from changed(search, "--denominator", (*NOT_COUNTS, "9" * 20))
    yield from changed(search, "--out", NOT_OUTPUTS)
    yield from (["am_gm", "search", *words] for words in (["0", "1", "upper"], ["3", "4", "upper"], ["3", "3", "up"]))

    verify = ["verify", "momlp.sharpness"]
    yield from (["verify", name] for name in ("nope", "", "momlp.", "momlp.nope", "MOMLP", ".", "ε", "a" * 1000))
    yield from changed(verify, "--json", [name for name in NOT_OUTPUTS if name != "-"])
    yield from changed(verify, "--junit", NOT_OUTPUTS)
    yield ["verify", "momlp.sharpness", "--json", "new", "--junit", "./new"]
    yield from changed(verify, "--html", ["junk", "fifo", "device", "junk/below", "loop", "x" * 300])
    yield from changed(verify, "--budget", ["", "ful", "FULL", "1"])
    yield from changed(verify, "--device", ["gpu", "meta", ""])
    yield from changed(verify, "--seed", ["-1", "a", "1.5", "", str(2**70)])
    yield from changed(verify, "--patience", ["0", "-1", "nan", "inf", "a"])

    yield from (
        ["nope"],
        [""],
        ["--nope"],
        ["plan", "--nope"],
        ["list", "more"],
        ["doctor", "more"],
        ["targets", "x"],
    )
    yield from (["verify", "--numbers=3"], ["plan", "x0"], ["certify"], ["eval", "m.safetensors"], ["show"], ["train"])


LINES = [tuple(line) for line in lines()]

HOSTILE = [
    ("check", "binary_digits.safetensors"),
    ("vc", "--n", "2", "--depth", str(10**20), "--width", "2", "--experts", "2"),
    ("shatter", "deep", "--side", "2", "--blocks", "2", "--bits", str(10**6)),
    ("shatter", "two_hidden_layers", "--side", str(10**6)),
    ("plan", "x0", "--n", str(10**12), "--eps", "0.1"),
    ("plan", "x0", "--n", str(10**7), "--eps", "0.1"),
    ("plan", "x0," * 5000, "--n", "1", "--eps", "0.1"),
    ("plan", "Max(" + ",".join(f"{i}*x0" for i in range(2500)) + ")", "--n", "1", "--eps", "0.1"),
    ("plan", "((x0**64)**64)**64", "--n", "1", "--eps", "0.1"),
    ("plan", "sin(x0)", "--n", "50", "--eps", "1e-300"),
    ("plan", "exp(exp(exp(exp(10))))*x0", "--n", "1", "--eps", "0.1"),
    ("build", "x0", "--n", "1", "--eps", "0.1", "--domain", "[0,1e-320]"),
    ("devices", "--n", "50", "--eps", "1e-300", "--devices", "4", "--device-bytes", "1000"),
]
"""Sizes that would take hours or all memory, to be refused at once."""

BLACK_BOX = """
from constructions import LipschitzFunction

f = LipschitzFunction.from_numpy(lambda x: x[:, 0], n=2, lipschitz=1)
"""

PENDING: dict[tuple[str, ...], str] = {}
"""Line -> why it does not end as it should yet."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with every file that the lines name."""
    place = tmp_path_factory.mktemp("files")
    at = place.joinpath
    model = build_momlp(targets.get("cone", n=2), eps=0.2)
    save(model, at("m.safetensors"))
    x = np.random.default_rng(0).uniform(0, 1, (40, 2))
    trained = train_momlp(
        torch.from_numpy(x), torch.from_numpy(x[:, 0]), leaves=2, expert_hidden=(3,), options=Options(steps=2)
    )
    save(trained, at("t.safetensors"))
    save_shattered(one_hidden_layer(2, 2), at("set.safetensors"))
    at("black_box.py").write_text(BLACK_BOX)
    _write_models(at)
    _write_arrays(at, x)
    at("folder").mkdir()
    os.mkfifo(at("fifo"))
    at("linked_fifo").symlink_to("fifo")
    at("linked_x").symlink_to("x.npy")
    at("loop").symlink_to("loop")
    at("nowhere").symlink_to("no/such/file")
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(os.path.relpath(at("socket")))
    try:
        os.mknod(at("device"), 0o020666, os.makedev(1, 3))
    except PermissionError:
        at("device").mkdir()  # without rights to make one: something else that is no file
    return place


def _write_models(at):
    whole = at("m.safetensors").read_bytes()
    at("empty").write_bytes(b"")
    at("junk").write_bytes(b"\xff" * 99)
    at("truncated.safetensors").write_bytes(whole[:-7])
    at("flipped.safetensors").write_bytes(whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:])
    at("bomb").write_bytes((2**62).to_bytes(8, "little") + b"{" * 100)
    zeros = {"a": torch.zeros(2)}
    save_file(zeros, at("foreign.safetensors"))
    for name, spec in (
        ("spec", "{"),
        ("deep", "[" * 100_000),
        ("digits", '{"schema": ' + "9" * 5000 + "}"),
        ("schema", '{"schema": 99}'),
    ):
        save_file(zeros, at(f"{name}.safetensors"), metadata={"momlp": spec, "momlp_shattered": spec})
    save_shattered(routing_only(3, 4), at("binary_digits.safetensors"))
    with safe_open(at("binary_digits.safetensors"), framework="pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    spec = json.dumps({"schema": 1, "kind": "reflections", "binary_digits": 10**8})
    save_file(tensors, at("binary_digits.safetensors"), metadata={"momlp_shattered": spec})


def _write_arrays(at, x):
    def store(name, array, **options):
        np.save(at(f"{name}.npy"), array, **options)

    store("x", x)
    store("v", x[:, 0])
    store("longer", np.vstack([x, x]))
    store("rows", x[:5])
    store("matrices", np.stack([np.eye(2), np.diag([1.0, 0.0])]))
    store("integers", np.zeros((5, 2), dtype=int))
    store("complex", np.zeros((5, 2), dtype=complex))
    store("flat", np.zeros(5))
    store("scalar", np.float64(1.0))
    store("cube", np.zeros((2, 2, 2)))
    store("wide", np.zeros((5, 7)))
    store("none", np.zeros((5, 0)))
    store("text", np.array([["a", "b"]]))
    store("pickle", np.array([[object(), object()]]), allow_pickle=True)
    for name, value in (("nan", np.nan), ("inf", np.inf), ("outside", 2.0)):
        wrong = x.copy()
        wrong[3, 1] = value
        store(name, wrong)
    store("negative", np.full(40, -1))
    store("many", np.full(40, 2**60))
    store("unsigned", np.full(40, 2**64 - 1, dtype=np.uint64))
    store("wide_classes", np.zeros((40, 2), dtype=int))
    np.savez(at("archive.npz"), x=x)
    at("zip").write_bytes(b"PK\x03\x04" + b"\0" * 50)
    at("cut.npy").write_bytes(at("x.npy").read_bytes()[:-8])
    header = at("x.npy").read_bytes()
    at("huge.npy").write_bytes(header.replace(b"(40, 2), }    ", b"(9999999999, 2)}"[:14]))
    at("header.npy").write_bytes(header[:10] + b"(" * 118 + header[128:])


class TooSlow(BaseException):
    """Nothing in the programme catches it."""


def _too_slow(number, frame):
    raise TooSlow


def run(line, capsys):
    """(exit code, standard error) of a line in this process; which is words where there was none in time."""
    before = signal.signal(signal.SIGALRM, _too_slow)
    signal.setitimer(signal.ITIMER_REAL, LIMIT)
    try:
        code = cli.main(list(line))
    except SystemExit as end:
        code = end.code
    except TooSlow:
        code = f"none after {LIMIT} s"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    return code, capsys.readouterr().err


def faults(line, code, said):
    """What is wrong with how a line ended, in words; nothing when all is well."""
    sentences = [s for s in said.splitlines() if "error: " in s]
    if code != 2:
        yield f"exit code {code}"
    if len(sentences) != 1 or (said.splitlines()[-1:] != sentences):
        yield f"{len(sentences)} sentences"
    if "Traceback" in said:
        yield "a traceback"


def check_lines(chosen, folder, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # of the functions' module
    before = {p.name: (p.lstat().st_mode, p.lstat().st_ino, p.lstat().st_size) for p in folder.iterdir()}
    wrong = []
    for line in chosen:
        if line in PENDING:
            continue
        code, said = run(line, capsys)
        wrong += [(line, fault, said[-300:]) for fault in faults(line, code, said)]
    after = {p.name: (p.lstat().st_mode, p.lstat().st_ino, p.lstat().st_size) for p in folder.iterdir()}
    assert wrong == []
    assert after == before


def test_there_are_hundreds_of_lines():
    assert len(set(LINES)) == len(LINES) >= 600
    assert len(LINES[::EVERY]) >= 100


def test_some_bad_lines(folder, capsys, monkeypatch):
    check_lines([*LINES[::EVERY], *HOSTILE], folder, capsys, monkeypatch)


@pytest.mark.slow
def test_all_bad_lines(folder, capsys, monkeypatch):
    check_lines([*LINES, *HOSTILE], folder, capsys, monkeypatch)


# --- what no line should meet ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (
            RuntimeError("broken [bold] pipe\nof two lines"),
            3,
            "unexpected RuntimeError: broken [bold] pipe of two lines",
        ),
        (RecursionError("maximum recursion depth"), 3, "unexpected RecursionError: maximum"),
        (OverflowError("too large"), 3, "unexpected OverflowError: too large"),
        (AttributeError("no attribute"), 3, "unexpected AttributeError"),
        (KeyError("key"), 3, "unexpected KeyError"),
        (ZeroDivisionError(), 3, "unexpected ZeroDivisionError: ZeroDivisionError"),
        (AssertionError(), 3, "unexpected AssertionError"),
        (ValueError("`n` must be\n\n 3"), 2, "momlp: error: `n` must be 3"),
        (MemoryError(), 2, "momlp: error: MemoryError"),
        (ImportError("no module"), 2, "momlp: error: no module"),
        (RankLost("rank 1 is gone"), 1, "momlp: error: rank 1 is gone"),
        (KeyboardInterrupt(), 130, "momlp: interrupted"),
        (BrokenPipeError(), 141, ""),
    ],
)
def test_the_last_resort_is_one_sentence(error, code, words, capsys, monkeypatch):
    def fail(*arguments, **options):
        raise error

    monkeypatch.setattr(rates, "_single", fail)
    monkeypatch.setattr(cli, "_forget_output", lambda: None)
    monkeypatch.delenv("MOMLP_DEBUG", raising=False)
    assert cli.main(["rates"]) == code
    said = capsys.readouterr().err
    assert words in said
    assert len(said.splitlines()) <= 1
    assert "Traceback" not in said
    assert ("please report it" in said) == (code == 3)
    monkeypatch.setenv("MOMLP_DEBUG", "1")
    assert cli.main(["rates"]) == code
    assert ("Traceback" in capsys.readouterr().err) == (code == 3)


def test_a_command_in_a_thread_leaves_signals_alone(capsys):
    before, codes = signal.getsignal(signal.SIGTERM), []
    thread = threading.Thread(target=lambda: codes.append(cli.main(["targets"])))
    thread.start()
    thread.join()
    assert codes == [0]
    assert cli.main(["targets"]) == 0
    assert signal.getsignal(signal.SIGTERM) is before


# --- real commands --------------------------------------------------------------------------------------


def command(*arguments, shell=None, **options):
    """A real `momlp` command, through a shell line around "$@" if one is given."""
    line = [sys.executable, "-m", "theory", *arguments]
    line = line if shell is None else ["bash", "-c", shell, "bash", *line]
    return subprocess.run(
        line, capture_output=True, text=True, timeout=120, env=alone() | options.pop("env", {}), **options
    )


REAL = [
    ("eval", "m.safetensors", "--points", "fifo", "--out", "y.npy"),
    ("train", "--points", "fifo", "--values", "v.npy", "--out", "new", "--leaves", "2"),
    ("build", "x0", "--n", "1", "--eps", "0.1", "--out", "device"),
    ("verify", "momlp.sharpness", "--json", "fifo"),
    ("certify", "fifo"),
    ("check", "bomb"),
    ("show", "folder", "--out", "m.png"),
    ("rates", "--n", "4"),
    ("plan", "ε", "--n", "1", "--eps", "0.1"),
    ("vc", "--n", "2"),
]


@pytest.mark.parametrize("line", REAL[:1])
def test_a_real_command_waits_for_nobody(folder, line):
    check_real(folder, line)


@pytest.mark.slow
@pytest.mark.parametrize("line", REAL[1:])
def test_real_commands_end_in_one_sentence(folder, line):
    check_real(folder, line)


def check_real(folder, line):
    before = stat.S_IFMT((folder / "device").lstat().st_mode), (folder / "device").lstat().st_ino
    done = command(*line, cwd=folder, env={"PYTHONPATH": str(ROOT)})
    assert list(faults(line, done.returncode, done.stderr)) == []
    assert done.stdout == ""
    assert (stat.S_IFMT((folder / "device").lstat().st_mode), (folder / "device").lstat().st_ino) == before


@pytest.mark.parametrize(
    ("shell", "code"),
    [
        pytest.param('"$@" | head -c 1 >/dev/null; exit ${PIPESTATUS[0]}', (0, 141), marks=pytest.mark.slow),
        pytest.param('"$@" >&-', (0,), marks=pytest.mark.slow),
        ('"$@" >&- 2>&- <&-', (0,)),
    ],
    ids=["pipe", "closed output", "all closed"],  # a pipe's reader may have been quicker than the writer: 0
)
def test_nobody_reads_what_is_printed(tmp_path, shell, code):
    json_file = tmp_path / "v.json"
    done = command("verify", "momlp.sharpness", "--numbers", "--json", str(json_file), shell=shell)
    assert done.returncode in code
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr
    assert json.loads(json_file.read_text())["as_expected"]


@pytest.mark.slow
def test_output_in_ascii_and_names_that_are_no_text(folder):
    environment = {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    name = b"strange-\xff.npy"
    done = command("plan", "sin(x0)", "--n", "1", "--eps", "0.1", env=environment)
    assert done.returncode == 0, done.stderr
    done = command(
        "eval", "m.safetensors", "--points", "x.npy", "--out", os.fsdecode(name), cwd=folder, env=environment
    )
    assert done.returncode == 0, done.stderr
    written = Path(os.fsdecode(bytes(folder) + b"/" + name))
    assert np.load(written).shape == (40, 1)
    written.unlink()
