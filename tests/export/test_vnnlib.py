"""VNN-LIB files, and the conditions of one decided: against a network whose answers are known."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import nn

from constructions.vnnlib import read_vnnlib
from tests.export.test_onnx_reader import written
from theory import Status
from theory.checkers.output_conditions import decide_outputs
from theory.cli import main

HEAD = """; a box
(declare-const X_0 Real)
(declare-const X_1 Real)
(declare-const Y_0 Real)
(declare-const Y_1 Real)
(assert (<= X_0 0.1)) (assert (>= X_0 -1e-1))
(assert (and (>= 2 X_1)
             (<= -.5 X_1)))
"""


def question(tmp_path, outputs, head=HEAD):
    path = tmp_path / "p.vnnlib"
    path.write_text(head + outputs)
    return read_vnnlib(path)


def test_boxes_are_rounded_outward_and_conditions_are_exact(tmp_path):
    found = question(
        tmp_path, "(assert (or (and (<= Y_0 Y_1) (>= Y_1 0.3)) (<= Y_0 -2)))\n(assert (<= Y_1 1/1))".replace("1/1", "1")
    )
    assert found.box.hi == (math.nextafter(0.1, -1) if Fraction(0.1) < Fraction(1, 10) else 0.1, 2.0)
    assert Fraction(found.box.lo[0]) <= Fraction(-1, 10) <= Fraction(found.box.lo[0]) + Fraction(1, 10**16)
    assert found.box.lo[1] == -0.5
    below = ((Fraction(0), Fraction(1)), Fraction(1))
    assert found.outputs == (
        (((Fraction(1), Fraction(-1)), Fraction(0)), ((Fraction(0), Fraction(-1)), Fraction(-3, 10)), below),
        (((Fraction(1), Fraction(0)), Fraction(-2)), below),
    )
    assert question(tmp_path, "").outputs == ()


@pytest.mark.parametrize(
    ("outputs", "line", "why"),
    [
        ("(assert (<= Y_0 1)", 9, "a bracket is not closed"),
        ("\n)", 10, "a bracket is closed that was not opened"),
        ("\n\nword", 11, "'word' stands outside of brackets"),
        ("(assert (< Y_0 1))", 9, "expected (<= a b) or (>= a b)"),
        ("(assert (<= Y_7 1))", 9, "Y_7 is not declared"),
        ("(assert (<= Z 1))", 9, "expected X_i or Y_j"),
        ("(assert (<= X_0 Y_0))", 9, "about inputs or about outputs, not both"),
        ("(assert (<= X_0 X_1))", 9, "must compare one X_i with a number"),
        ("(assert (or (<= X_0 0) (<= X_0 1)))", 9, "X in an (or …) is not supported"),
        ("(minimize Y_0)", 9, "expected (declare-const X_i Real)"),
    ],
)
def test_mistakes_are_named_with_their_line(tmp_path, outputs, line, why):
    with pytest.raises(ValueError, match="`path`") as caught:
        question(tmp_path, outputs)
    assert f"line {line}: " in str(caught.value)
    assert why in str(caught.value)


def test_boxes_must_be_whole(tmp_path):
    for change, why in (
        (("(assert (<= X_0 0.1)) ", ""), "gives X_0 no upper bound"),
        (("-1e-1", "0.1"), "X_0 has [0.1, 0.1]"),
        (("(declare-const X_0 Real)\n", ""), "X_0 is not declared"),
        (("X_1", "X_3"), "must declare X_0 … X_1"),
    ):
        with pytest.raises(ValueError, match="`path`") as caught:
            question(tmp_path, "", HEAD.replace(*change))
        assert why in str(caught.value)


def net():
    """Y = (|X_0| + X_1, X_1): on the box Y_0 reaches from −0.5 to 2.1, and is never below Y_1."""
    network = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 2)).double().requires_grad_(False)
    network[0].weight.copy_(torch.tensor([[1.0, 0], [-1, 0], [0, 1], [0, -1]]))
    network[2].weight.copy_(torch.tensor([[1.0, 1, 1, -1], [0, 0, 1, -1]]))
    network[0].bias.fill_(0)
    network[2].bias.fill_(0)
    return network


@pytest.mark.parametrize(
    ("outputs", "status"),
    [
        ("(assert (>= Y_0 2.11))", Status.CERTIFIED),
        ("(assert (>= Y_0 2.09))", Status.REFUTED),
        ("(assert (<= Y_0 -0.501))", Status.CERTIFIED),
        ("(assert (<= Y_0 -0.49))", Status.REFUTED),
        ("(assert (or (>= Y_0 2.11) (<= Y_0 -0.501)))", Status.CERTIFIED),
        ("(assert (or (>= Y_0 2.11) (and (<= Y_0 0) (>= Y_1 -0.01))))", Status.REFUTED),
        ("(assert (>= Y_0 0))(assert (<= Y_1 -0.101))", Status.CERTIFIED),
        ("(assert (<= Y_0 Y_1))", Status.INCONCLUSIVE),  # met with equality, where X_0 = 0
    ],
)
def test_conditions_are_decided(tmp_path, outputs, status):
    asked = question(tmp_path, outputs)
    found = decide_outputs(net(), asked, max_boxes=20_000)
    assert found.status is status
    if status is Status.REFUTED:
        x = torch.tensor([found.witness], dtype=torch.float64)
        y = [Fraction(v) for v in net()(x)[0].tolist()]
        assert tuple(map(float, y)) == found.answer
        met = [all(sum(c * v for c, v in zip(a, y, strict=True)) <= b for a, b in case) for case in asked.outputs]
        assert any(met)
        assert all(lo <= v <= hi for lo, v, hi in zip(asked.box.lo, found.witness, asked.box.hi, strict=True))


def test_a_network_that_moved_by_a_millionth_gets_another_verdict(tmp_path):
    asked = question(tmp_path, "(assert (>= Y_0 2.1000005))")
    network = net()
    assert decide_outputs(network, asked, max_boxes=200_000).status is Status.CERTIFIED
    network[2].bias[0] += 1e-6
    assert decide_outputs(network, asked, max_boxes=200_000).status is Status.REFUTED


def test_questions_must_fit(tmp_path):
    with pytest.raises(ValueError, match="`question` must have conditions on the outputs"):
        decide_outputs(net(), question(tmp_path, ""))
    with pytest.raises(ValueError, match="`question` must have conditions on 1 outputs, got 2"):
        decide_outputs(nn.Linear(2, 1).double(), question(tmp_path, "(assert (<= Y_0 1))"))
    with pytest.raises(ValueError, match="`network` must be float64"):
        decide_outputs(nn.Linear(2, 2), question(tmp_path, "(assert (<= Y_0 1))"))
    with pytest.raises(ValueError, match="SiLU"):
        decide_outputs(nn.Sequential(nn.Linear(2, 2).double(), nn.SiLU()), question(tmp_path, "(assert (<= Y_0 1))"))


def test_the_command_decides(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    network = net()
    weights = {k: v.numpy() for k, v in network.state_dict().items()}
    written(
        tmp_path / "net.onnx",
        [
            ("Gemm", ["x", "0.weight", "0.bias"], {"transB": 1}),
            ("Relu", ["v0"], {}),
            ("Gemm", ["v1", "2.weight", "2.bias"], {"transB": 1}),
        ],
        weights,
        (2,),
        dtype="d",
    )
    question(tmp_path, "(assert (>= Y_0 2.11))")
    assert main(["certify", "net.onnx", "--vnnlib", "p.vnnlib"]) == 0
    assert "CERTIFIED: unsat" in capsys.readouterr().out
    question(tmp_path, "(assert (>= Y_0 2.09))")
    assert main(["certify", "net.onnx", "--vnnlib", "p.vnnlib"]) == 1
    assert "REFUTED: sat" in capsys.readouterr().out
    question(tmp_path, "")
    assert main(["certify", "net.onnx", "--vnnlib", "p.vnnlib"]) == 2
    assert "has a box and no conditions" in capsys.readouterr().err
    (tmp_path / "vnn_target.py").write_text(
        "from constructions import LipschitzFunction\n"
        "f = LipschitzFunction.from_sympy('abs(x0) + x1, x1', n=2, domain=[(-1, 1), (-1, 3)])\n"
    )
    arguments = ["certify", "net.onnx", "--function", "vnn_target:f", "--eps", "1e-3"]
    assert main([*arguments, "--vnnlib", "p.vnnlib"]) == 0
    assert "CERTIFIED" in capsys.readouterr().out
    weights["2.bias"] = np.array([2e-3, 0.0])
    assert main(["certify", "net.onnx"]) == 2
    assert main(["certify", "net.onnx", "--function", "vnn_target:f", "--vnnlib", "missing"]) == 2
