"""Attacks on plans, trees, lattices and their command lines: limits are stated, errors name their argument."""

import math
import time
from fractions import Fraction

import numpy as np
import pytest
import torch

from constructions import Box, BudgetExceeded, Lattice, LipschitzFunction, PathwayTree, build_momlp, plan, targets
from constructions.distributed_momlp import plan_devices
from constructions.pathway_tree.nets import farthest_point, kmeans_centres
from constructions.pathway_tree.prototype_tree import PrototypeTree, arrange
from theory.cli import main


def linear(n, lam=1.0, **options):
    return LipschitzFunction(lambda x: x[:, :1], n=n, lipschitz=lam, **options)


def quick(action):
    started = time.process_time()
    result = action()
    assert time.process_time() - started < 3
    return result


@pytest.mark.parametrize("expert", ["pencil", "constant", "bit_extraction"])
@pytest.mark.parametrize(
    ("n", "eps", "lam"),
    [(50, 1e-300, 1.0), (1024, 1e-3, 1.0), (9, 1e-300, 1e308), (1024, 5e-324, 1e308)],
)
def test_astronomical_plans_are_refused_with_the_limit(n, eps, lam, expert):
    with pytest.raises(ValueError, match=r"`eps` = .* plans are limited to 2\^8192"):
        quick(lambda: plan(linear(n, lam), eps, expert=expert))


@pytest.mark.parametrize(
    ("n", "eps", "lam"),
    [(2, 1e-300, 1.0), (1, 5e-324, 1.0), (1024, 0.5, 1.0), (300, 1e-5, 1), (3, 1e308, 1), (3, 1e-3, 5e-324), (3, 1, 0)],
)
def test_extreme_plans_within_the_limit_have_all_their_numbers(n, eps, lam):
    def everything():
        p = plan(linear(n, lam), eps)
        return p.tree.height, p.forward_pass_parameters, p.total_parameters, p.stored_bytes, p.error_bound

    assert all(value >= 0 for value in quick(everything))


def test_a_number_of_inputs_beyond_the_limit():
    for action in (
        lambda: linear(10**12),
        lambda: targets.get("cone", n=10**9),
        lambda: Box.of(None, 10**10),
        lambda: plan_devices(10**12, 0.1, 1.0, device_bytes=10, devices=2),
        lambda: LipschitzFunction.from_sympy("x0", n=10**7),
    ):
        with pytest.raises(ValueError, match="`n` must be an integer between 1 and"):
            quick(action)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("eps", float("nan")),
        ("eps", -1.0),
        ("eps", True),
        ("eps", "0.1"),
        ("eps", 0.1j),
        ("eps", Fraction(1, 10**400)),
        ("eps", 10**400),
        ("eps", torch.tensor(0.1)),
        ("eps", None),
        ("split", True),
        ("split", "1/3"),
        ("split", math.nan),
        ("split", 1),
        ("split", [0.5]),
        ("valency", 2.0),
        ("valency", 9),
        ("activation", None),
        ("expert", 3),
        ("dtype", "float64"),
        ("dtype", torch.float16),
        ("dtype", None),
        ("dtype", []),
        ("device", "meta"),
        ("device", "nowhere"),
        ("device", 0),
        ("lazy", 1),
        ("log", "yes"),
        ("cache_bytes", 0),
        ("cache_bytes", 1.5),
        ("cache_bytes", None),
        ("max_bytes", "2G"),
        ("max_bytes", True),
        ("max_bytes", -1),
        ("resolved", 1),
        ("lookup", "deep"),
        ("cells", 1),
        ("max_experts", 1),
    ],
)
def test_arguments_of_building_are_named(name, value):
    with pytest.raises((TypeError, ValueError), match=f"`{name}`"):
        build_momlp(linear(2), **{"eps": 0.3, name: value})


def test_numpy_floats_are_floats():
    assert plan(linear(2), np.float64(0.1)) == plan(linear(2), 0.1)


# --- trees ---

TREE = PathwayTree((5, 3))


@pytest.mark.parametrize(
    "z",
    [
        None,
        [[0.5, 0.5]],
        np.zeros((1, 3)),
        torch.zeros(2),
        torch.zeros(1, 3),
        torch.zeros(1, 2, 2),
        torch.full((1, 2), math.nan),
        torch.full((1, 2), math.inf),
        torch.zeros(1, 2, dtype=torch.complex64),
        torch.zeros(1, 2).to_sparse(),
    ],
)
@pytest.mark.parametrize("method", ["route", "nearest_leaf"])
def test_routing_refuses_what_is_no_batch_of_points(method, z):
    with pytest.raises((TypeError, ValueError), match="`z` must"):
        getattr(TREE, method)(z)


@pytest.mark.parametrize("z", [None, [0.5, 0.5], torch.zeros(3), torch.zeros(1, 2), torch.tensor([math.nan, 0.5])])
def test_paths_refuse_what_is_no_point(z):
    with pytest.raises((TypeError, ValueError), match="`z` must"):
        TREE.path(z)


@pytest.mark.parametrize("leaf", [None, [[0, 0]], torch.zeros(1, 2), torch.zeros(2).long(), torch.zeros(1, 3).long()])
def test_flat_ids_refuse_what_is_no_leaf(leaf):
    with pytest.raises((TypeError, ValueError), match="`leaf` must"):
        TREE.flat_index(leaf)


@pytest.mark.parametrize("cells", [None, 5, "55", (0,), (1.0, 2), (True,), (-3, 2), torch.tensor([2, 3]), (2,) * 5000])
def test_cells_of_a_tree(cells):
    with pytest.raises((TypeError, ValueError), match="`cells`"):
        PathwayTree(cells)


def test_trees_too_large_to_list():
    huge = PathwayTree((10**300,) * 12)
    assert quick(lambda: huge.height) == 12 * 997
    assert quick(huge.max_path_children) == 2 * huge.height
    for action in (huge.leaf_indices, huge.to_networkx, lambda: huge.flat_index(torch.zeros(1, 12).long())):
        with pytest.raises(BudgetExceeded):
            quick(action)
    with pytest.raises(BudgetExceeded):
        quick(lambda: PathwayTree((10**6, 10**6)).leaf_indices())
    with pytest.raises(BudgetExceeded, match="shapes"):
        PathwayTree(tuple(10**12 + 7**i for i in range(12))).num_nodes  # noqa: B018
    with pytest.raises(ValueError, match=r"2\^16384"):
        PathwayTree((10**300,) * 1000)
    for bad in (0, -1, 1.5, None, True):
        with pytest.raises(ValueError, match="`max_nodes`"):
            TREE.to_networkx(max_nodes=bad)
        with pytest.raises(ValueError, match="`max_leaves`"):
            TREE.nearest_leaf(torch.zeros(1, 2), max_leaves=bad)


@pytest.mark.parametrize("valency", [2, 3, 5, 8])
def test_paths_along_axes_add_up(valency):
    """The closed counts against the graph of the very tree."""
    for cells in ((7,), (9, 4), (3, 3, 5), (16, 1, 6), (13, 11)):
        tree = PathwayTree(cells, valency=valency)
        graph = tree.to_networkx()
        depth, compared = {tree.root: 0}, {tree.root: 0}
        for parent, child in graph.edges:
            depth[child] = depth[parent] + 1
            compared[child] = compared[parent] + graph.out_degree(parent)
        assert (tree.height, tree.max_path_children()) == (max(depth.values()), max(compared.values()))
        assert tree.num_nodes == len(graph)


def test_routing_where_cells_are_more_than_32_bits_count():
    tree = PathwayTree((3 * 2**33,), valency=8)
    z = torch.tensor([[2.0**33 + 0.5], [2.0**34 + 17], [3 * 2.0**33 - 0.25]], dtype=torch.float64)
    assert torch.equal(tree.route(z), (z.ceil() - 1).long())


# --- trees over points ---

CLOUD = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)


@pytest.mark.parametrize("x", [None, [[0.0, 0.0]], torch.zeros(2), torch.zeros(1, 3), torch.full((1, 2), math.nan)])
def test_trees_over_points_refuse_what_is_no_point(x):
    tree = PathwayTree.from_points(CLOUD, leaves=3)
    for method in (tree.route, tree.nearest_leaf):
        with pytest.raises((TypeError, ValueError), match="`x` must"):
            method(x)


@pytest.mark.parametrize("points", [None, [[0.0]], torch.zeros(0, 2), torch.zeros(3), torch.full((2, 1), math.inf)])
def test_nets_refuse_what_is_no_cloud(points):
    for action in (
        lambda: PathwayTree.from_points(points, leaves=1),
        lambda: farthest_point(points),
        lambda: kmeans_centres(points, 1, 0),
        lambda: arrange(points),
    ):
        with pytest.raises((TypeError, ValueError), match=r"`(points|net)` must"):
            action()


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"leaves": 0}, "leaves"),
        ({"leaves": 4}, "leaves"),
        ({"leaves": True}, "leaves"),
        ({"delta": -1.0}, "delta"),
        ({"delta": math.nan}, "delta"),
        ({"delta": "0.1"}, "delta"),
        ({"leaves": 2, "valency": 1}, "valency"),
        ({"leaves": 2, "valency": 65}, "valency"),
        ({"leaves": 2, "seed": -1, "method": "kmeans"}, "seed"),
        ({"leaves": 2, "seed": None, "method": "kmeans"}, "seed"),
        ({"leaves": 2, "method": None}, "method"),
    ],
)
def test_arguments_of_trees_over_points(arguments, name):
    with pytest.raises((TypeError, ValueError), match=f"`{name}`"):
        PathwayTree.from_points(CLOUD, **arguments)


def test_trees_over_points_are_made_of_tensors():
    leaf = torch.zeros(1, 2)
    with pytest.raises(TypeError, match="`prototypes`"):
        PrototypeTree([[0.0]], torch.full((1, 2), -1), leaf)
    with pytest.raises(TypeError, match="`children` must be an int64 tensor"):
        PrototypeTree(leaf, torch.zeros(1, 2), leaf)
    with pytest.raises(TypeError, match="`leaf_prototypes`"):
        PrototypeTree(leaf, torch.full((1, 2), -1), None)
    with pytest.raises(ValueError, match="distinct points, got 1 repeated"):
        arrange(torch.zeros(2, 2))


# --- lattices ---


@pytest.mark.parametrize(
    ("cells", "knots"), [((2, 2), 3), ((2,), -1), ((2,), 1.5), (None, 0), ((0,), 0), ((2, 2, 2), 0), ((True,), 0)]
)
def test_lattices_that_fit_no_domain(cells, knots):
    with pytest.raises((TypeError, ValueError), match=r"`(cells|knots)`"):
        Lattice(Box.of(None, 2), cells, knots)


@pytest.mark.parametrize("rows", [None, [[0.5]], torch.zeros(3), torch.zeros(1, 0), torch.zeros(1, 2, 1)])
def test_rows_of_a_lattice(rows):
    lattice = Lattice(Box.of(None, 2), (4,), 3)
    for method in (lattice.coordinates, lattice.index, lattice.centres, lattice.faces, lattice.offset_from_nodes):
        with pytest.raises((TypeError, ValueError), match=r"`(x|z|index)`"):
            method(rows)
    with pytest.raises((TypeError, ValueError), match="`domain`"):
        Lattice((0, 1), (4,), 3)
    with pytest.raises(ValueError, match="`knots`"):
        Lattice(Box.of(None, 1), (), 1 << 60).knot_positions()


def test_sharp_needs_a_plan():
    for bad in (None, 3, TREE, linear(2)):
        with pytest.raises(TypeError, match="`plan` must be a Plan"):
            targets.sharp(bad)


# --- devices ---


@pytest.mark.parametrize("devices", [1, 2, 64, 65, 10**20])
@pytest.mark.parametrize(
    ("n", "eps", "lam"), [(3, 1e-3, 1e308), (3, 1e-300, 1.0), (400, 0.1, 1.0), (2, 5e-324, 5e-324)]
)
def test_devices_for_mixtures_of_any_size(n, eps, lam, devices):
    p = quick(lambda: plan_devices(n, eps, lam, device_bytes=10**9, devices=devices))
    assert p.experts * devices >= p.leaves
    assert p.expected_bytes <= p.worst_bytes


# --- command lines ---


@pytest.fixture
def stored(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["build", "x0", "--n", "1", "--eps", "0.1", "--out", "m.safetensors"]) == 0
    modules = {
        "attack_raises": "1/0",
        "attack_syntax": "def",
        "attack_exits": "import sys; sys.exit(3)",
        "attack_lazy": "def __getattr__(name): raise KeyError(name)",
        "attack_other": "from constructions import LipschitzFunction as F\nf = F.from_sympy('x0', n=2)\nnot_one = 3\n"
        "def bare(x): return x[:, 0]",
    }
    for name, text in modules.items():
        (tmp_path / f"{name}.py").write_text(text)
    return tmp_path


def refused(capsys, *line):
    assert main(list(line)) == 2
    message = capsys.readouterr().err
    assert message.startswith("momlp: error: ")
    assert "Traceback" not in message
    assert len(message.splitlines()) == 1
    return message


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        ("badmod:f", "No module named 'badmod'"),
        ("attack_raises:f", "ZeroDivisionError"),
        ("attack_syntax:f", "SyntaxError"),
        ("attack_exits:f", "SystemExit"),
        ("attack_lazy:f", "KeyError"),
        ("attack_other:missing", "no attribute 'missing'"),
        ("attack_other:not_one", "must be a LipschitzFunction, got int"),
        ("attack_other:bare", "to be made of code by LipschitzFunction.from_numpy(f, n=…, lipschitz=…), got function"),
        ("attack_other:f", "must live where the model does"),
        ("attack_other", "must be MODULE:ATTR"),
        (":f", "must be MODULE:ATTR"),
        ("", "must be MODULE:ATTR"),
        ("..:f", "cannot be imported"),
    ],
)
@pytest.mark.parametrize("command", [("certify",), ("show", "--out", "m.png")])
def test_functions_that_cannot_be_imported(stored, capsys, command, function, reason):
    capsys.readouterr()
    message = refused(capsys, command[0], "m.safetensors", "--function", function, *command[1:])
    assert "`--function`" in message
    assert reason in message


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("plan x0 --n 1000000000000 --eps 0.1", "`n`"),
        ("plan x0 --n 1000000000 --eps 0.1 --domain [0,1]", "`n`"),
        ("plan x0 --n 50 --eps 1e-300", "`eps`"),
        ("build x0 --n 1 --eps 0.1 --domain [0,1e-320]", "`domain`"),
        ("build x0 --n 1 --eps 0.1 --domain [-1e308,1e308]", "`domain`"),
        ("plan exp(exp(exp(exp(10))))*x0 --n 1 --eps 0.1", "`expression`"),
        ("plan --target cone --n 2 --eps 0.1 --lipschitz 0", "`lam`"),
        ("plan --target cone --n 2 --eps 0.1 --lipschitz 1e-320", "`expression`"),
        ("plan --target max_affine --n 500 --eps 0.1", "`expression`"),
        ("plan x0 --n 2 --eps 0.1 --split 1e-999999999", "`--split`"),
        ("plan x0 --n 2 --eps 0.1 --split 1/0", "`--split`"),
        ("plan x0 --n 2 --eps 0.1 --holder 1,1e-300", "`alpha`"),
        ("plan x0 --n 2 --eps 0.1 --holder 1", "`--holder`"),
        ("plan x0 --n 2 --eps 0.1 --domain x", "`--domain`"),
        ("plan x0 --n 2 --eps 0.1 --domain [0,1];[0,1];[0,1]", "`domain`"),
        ("devices --n 50 --eps 1e-300 --devices 2 --device-bytes 1000", "`eps`"),
        ("devices --n 2 --eps inf --devices 2 --device-bytes 1000", "`eps`"),
        ("plan x0 --n 3 --eps 0.1 --expert bit_extraction --resolved 99999999999999999999", "`resolved`"),
        ("plan x0 --n 1 --eps 0.1 --expert bit_extraction --cells 99999999999999999999", "`cells`"),
        ("plan x0 --n 2 --eps 0.1 --expert bit_extraction --max-experts 2", "`max_experts`"),
        ("plan x0 --n 1 --eps 0.1 --expert bit_extraction --max-experts 2 --cells 2", "`max_experts`"),
    ],
)
def test_command_lines_end_in_one_sentence(capsys, line, name):
    message = quick(lambda: refused(capsys, *line.split()))
    assert name in message


# --- tracing ---


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("expert", ["pencil", "constant", "bit_extraction"])
def test_torch_jit_traces_an_eager_model_and_refuses_a_lazy_one(expert):
    f = targets.get("cone", n=2)
    x = f.domain.sample(7, torch.Generator().manual_seed(0))
    model = build_momlp(f, eps=0.3, expert=expert)
    traced = torch.jit.trace(model, x)
    other = f.domain.sample(50, torch.Generator().manual_seed(1))
    assert torch.allclose(traced(other), model(other), rtol=0, atol=1e-12)
    with pytest.raises(RuntimeError, match=r"lazy MoMLP .* has no fixed graph"):
        torch.jit.trace(build_momlp(f, eps=0.3, expert=expert, lazy=True), x)
    with pytest.raises(RuntimeError, match="no cache statistics"):
        model.statistics  # noqa: B018
