"""Networks out of ONNX files against onnxruntime, and what is refused with the node that is to blame."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from constructions.onnx_reader import SUPPORTED, read_onnx
from theory.checkers.uniform_error.banks import foreign_bank
from theory.checkers.uniform_error.stack import FLOATS

RNG = np.random.default_rng(0)


def numbers(*shape, dtype="f"):
    return RNG.normal(size=shape).astype(dtype)


def written(path, nodes, constants, shape, *, dtype="f", opset=17, outputs=("y",), inputs=("x",)):
    """A file with nodes (op, inputs, attributes), the last of which gives y; the others give v0, v1, …"""
    made = []
    for i, (op, sources, options) in enumerate(nodes):
        made.append(helper.make_node(op, sources, ["y" if i == len(nodes) - 1 else f"v{i}"], **options))
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    graph = helper.make_graph(
        made,
        "g",
        [helper.make_tensor_value_info(name, kind, ["N", *shape]) for name in inputs],
        [helper.make_tensor_value_info(name, kind, ["N", "m"]) for name in outputs],
        [numpy_helper.from_array(v, k) for k, v in constants.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9), path)
    return path


def agrees(path, shape, dtype="f", count=200):
    """Largest difference of onnxruntime's answers from the network that is read, and what float arithmetic allows."""
    found = read_onnx(path)
    x = (np.random.default_rng(1).random((count, *shape)) * 2 - 1).astype(dtype)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    said = session.run(None, {"x": x})[0].reshape(count, -1)
    with torch.no_grad():
        y = found.network(torch.from_numpy(x.reshape(count, -1)).double()).numpy()
    assert y.shape == said.shape == (count, found.m)
    n = found.n
    ends = torch.full((1, n), -1.0, dtype=torch.float64), torch.ones(1, n, dtype=torch.float64)
    bank = foreign_bank(found.network, *ends, *FLOATS[found.dtype])
    return float(np.abs(y - said).max()), bank.forward_slack


M, B = {"W": numbers(3, 4), "V": numbers(4, 2), "b": numbers(4), "c": numbers(2)}, "b"
NETS = {
    "gemm": ([("Gemm", ["x", "W", "b"], {}), ("Relu", ["v0"], {}), ("Gemm", ["v1", "V", "c"], {})], M, (3,)),
    "transposed": (
        [("Gemm", ["x", "T", "b"], {"transB": 1, "alpha": 0.3, "beta": 0.7}), ("Tanh", ["v0"], {})],
        {"T": numbers(4, 3), "b": numbers(4)},
        (3,),
    ),
    "matmul": (
        [
            ("Sub", ["x", "m"], {}),
            ("Div", ["v0", "s"], {}),
            ("MatMul", ["v1", "W"], {}),
            ("Add", ["v2", "b"], {}),
            ("LeakyRelu", ["v3"], {"alpha": 0.2}),
            ("MatMul", ["v4", "V"], {}),
            ("Add", ["c", "v5"], {}),
        ],
        M | {"m": numbers(3), "s": np.array([0.3, 2.0, 1.7], "f")},
        (3,),
    ),
    "elementwise": (
        [
            ("Relu", ["x"], {}),
            ("Sub", ["b", "v0"], {}),
            ("Mul", ["v1", "h"], {}),
            ("Neg", ["v2"], {}),
            ("PRelu", ["v3", "p"], {}),
            ("Identity", ["v4"], {}),
            ("Dropout", ["v5"], {}),
            ("Sigmoid", ["v6"], {}),
        ],
        {"b": numbers(3), "h": np.array(0.7, "f"), "p": numbers(3)},
        (3,),
    ),
    "image": (
        [
            ("Sub", ["x", "m"], {}),
            ("Conv", ["v0", "K", "k"], {"pads": [1, 1, 1, 1], "strides": [2, 1]}),
            ("Relu", ["v1"], {}),
            ("Flatten", ["v2"], {}),
            ("Gemm", ["v3", "F"], {}),
            ("Softplus", ["v4"], {}),
        ],
        {"m": numbers(1, 2, 1, 1), "K": numbers(3, 2, 3, 3), "k": numbers(3), "F": numbers(3 * 2 * 4, 2)},
        (2, 3, 4),
    ),
    "reshaped": (
        [
            ("Reshape", ["x", "to"], {}),
            ("Conv", ["v0", "K"], {}),
            ("Reshape", ["v1", "back"], {}),
            ("MatMul", ["v2", "F"], {}),
        ],
        {"to": np.array([-1, 1, 2, 3]), "K": numbers(1, 1, 1, 2), "back": np.array([-1, 4]), "F": numbers(4, 1)},
        (6,),
    ),
}


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("dtype", ["f", "d"])
def test_networks_are_read_as_onnxruntime_runs_them(name, dtype, tmp_path):
    nodes, constants, shape = NETS[name]
    if dtype == "d" and name in ("image", "reshaped"):
        pytest.skip("onnxruntime has no convolution in float64")
    constants = {k: v.astype(dtype) if v.dtype.kind == "f" else v for k, v in constants.items()}
    path = written(tmp_path / "m.onnx", nodes, constants, shape, dtype=dtype)
    gap, allowed = agrees(path, shape, dtype)
    assert gap <= allowed < 1e-2


def test_a_file_with_one_weight_changed_is_another_network(tmp_path):
    nodes, constants, shape = NETS["gemm"]
    path = written(tmp_path / "m.onnx", nodes, constants, shape)
    before = read_onnx(path).network
    changed = constants | {"W": constants["W"] + np.eye(3, 4, dtype="f") * 1e-2}
    written(path, nodes, changed, shape)
    x = torch.from_numpy(np.random.default_rng(1).random((200, 3)))
    gap = float((before(x) - read_onnx(path).network(x)).abs().max())
    assert gap > 1e-3 > agrees(path, shape)[1]


def test_gelu_of_newer_files(tmp_path):
    nodes = [("Gemm", ["x", "W", "b"], {}), ("Gelu", ["v0"], {})]
    path = written(tmp_path / "m.onnx", nodes, M, (3,), opset=20)
    assert isinstance(read_onnx(path).network[-1], nn.GELU)
    gap, allowed = agrees(path, (3,))
    assert gap <= allowed
    nodes[1] = ("Gelu", ["v0"], {"approximate": "tanh"})
    with pytest.raises(ValueError, match="approximate must be 'none'"):
        read_onnx(written(tmp_path / "m.onnx", nodes, M, (3,), opset=20))


@pytest.mark.parametrize(
    ("nodes", "shape", "fault"),
    [
        ([("Softmax", ["x"], {})], (3,), r"node 0 \(Softmax\): this operator is not supported"),
        ([("Gemm", ["x", "W", "b"], {}), ("Add", ["v0", "x"], {})], (3,), r"it reads \['v0', 'x'\]"),
        ([("MatMul", ["W", "x"], {})], (4,), "the first factor must be the point"),
        ([("Gemm", ["x", "W", "b"], {})], (2,), r"a matrix \(4, 3\) does not fit \(2,\)|a matrix"),
        ([("Gemm", ["x", "W"], {"transA": 1})], (3,), "not transposed"),
        ([("Div", ["b", "x"], {})], (4,), "the divisor must be a constant"),
        ([("Div", ["x", "z"], {})], (1,), "without zeros"),
        ([("Add", ["x", "b"], {})], (3,), "do not fit a point"),
        ([("Flatten", ["x"], {"axis": 0})], (3,), "axis must be 1"),
        ([("Relu", ["x"], {}), ("Reshape", ["v0", "to"], {})], (3,), "must keep the batch axis"),
        ([("Conv", ["x", "K"], {"pads": [0, 1, 1, 0]})], (1, 3, 3), "the same padding on both sides"),
        ([("Conv", ["x", "K"], {})], (2, 3, 3), "it takes 1 channels where there are 2"),
    ],
)
def test_what_cannot_be_read_names_its_node_and_all_that_can(nodes, shape, fault, tmp_path):
    constants = M | {"z": np.zeros(1, "f"), "to": np.array([-1, 2]), "K": numbers(1, 1, 2, 2)}
    path = written(tmp_path / "m.onnx", nodes, constants, shape)
    with pytest.raises(ValueError, match=fault) as caught:
        read_onnx(path)
    assert all(name in str(caught.value) for name in SUPPORTED)
    assert "`path`" in str(caught.value)


def test_files_that_are_no_such_graphs(tmp_path):
    nodes, constants, shape = NETS["gemm"]
    with pytest.raises(ValueError, match="it has 2 inputs"):
        read_onnx(written(tmp_path / "m.onnx", nodes, constants, shape, inputs=("x", "z")))
    with pytest.raises(ValueError, match="must be finite"):
        read_onnx(written(tmp_path / "m.onnx", nodes, constants | {"b": np.full(4, np.nan, "f")}, shape))
    (tmp_path / "junk").write_bytes(b"junk")
    for name in ("junk", "missing"):
        with pytest.raises((ValueError, OSError), match=name):
            read_onnx(tmp_path / name)
    value = helper.make_tensor_value_info("x", TensorProto.INT64, ["N", 3])
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "g",
        [value],
        [helper.make_tensor_value_info("y", TensorProto.INT64, ["N", 3])],
    )
    onnx.save(helper.make_model(graph, ir_version=9), tmp_path / "m.onnx")
    with pytest.raises(ValueError, match="its input must be float32 or float64"):
        read_onnx(tmp_path / "m.onnx")
