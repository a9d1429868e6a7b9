"""Every public function with wrong arguments: a documented error that names an argument, or an answer, within seconds.

`CALLS` lists the functions with good arguments. A draw replaces one of them, or several, by something of another type,
shape, dtype, size or device. TypeError, ValueError (and its subclasses) and OSError with a name in backquotes are the
documented errors. A function in `PENDING` does not answer so yet.
"""

import inspect
import random
import re
import shutil
import signal
import tempfile
import warnings
from fractions import Fraction
from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

import constructions
import theory
from constructions import (
    Box,
    ExpertGame,
    FeatureGame,
    GaussNewtonTrainer,
    InteractionValues,
    KernelSHAPIQ,
    LipschitzFunction,
    MaxTreeForest,
    Modulus,
    MoMLPClassifier,
    MoMLPRegressor,
    Options,
    PathwayTree,
    PrototypeTree,
    Routing,
    ShiftedReLUNetwork,
    TrainedMoMLP,
    build_momlp,
    explain,
    export_bound,
    export_onnx,
    export_pt2,
    load,
    plan,
    read_onnx,
    read_vnnlib,
    save,
    tabulate,
    targets,
    train_momlp,
)
from constructions.am_gm import (
    LeastSquares,
    am_gm_ratio,
    certificate_path,
    de_sa_family,
    exact_matrices,
    expected_product,
    expected_product_exact,
    random_matrices,
    sampling_rates,
    simulate_sampling,
    worst_case_search,
)
from constructions.distributed_momlp import ShardedMoMLP, evaluate_file, plan_devices
from constructions.distributed_momlp.shards import Shards
from constructions.expert_rows.answers import share_budget
from constructions.expert_rows.cache import ExpertCache
from constructions.files import points_file, require_folder, require_regular, require_writable, write_whole
from constructions.progress import silent
from constructions.ranks import Ranks
from constructions.shapley_interactions import SumOfUnanimity, TableGame, UnanimityGame, shapley_interactions
from constructions.trained_momlp import central_hidden, prepare
from constructions.vc_dimension import (
    deep,
    largest_set,
    mixture,
    one_hidden_layer,
    routing_only,
    routing_pairs,
    two_hidden_layers,
    wide,
)
from constructions.vc_dimension.nearest_prototype import NearestPrototype
from theory import (
    Measure,
    certify_uniform_error,
    decide_outputs,
    evaluations_to_certify,
    lipschitz_bounds,
    lipschitz_constant_le,
    onnx_agrees,
    parameter_count_eq,
    pt2_agrees,
    systems,
    tree_structure,
    uniform_error_le_eps,
)
from theory.am_gm.checkers import positive_semidefinite, verify_certificate, verify_text
from theory.claim import Claim, Context, Evidence, Status, Verdict
from theory.pathway_tree.manifolds import embedded
from theory.rates import fit_slope
from theory.systems import register, select
from theory.vc_dimension.bounds import Architecture, no_go_eps, vc_upper_flat, vc_upper_tree
from theory.vc_dimension.checkers import certified, shattered_exhaustively
from theory.vc_dimension.checkers.file import check_file, save_shattered
from theory.verification import verify
from theory.verify import run as run_claims

LIMIT = 6.0
DOCUMENTED = (TypeError, ValueError, OSError)
NAMED = re.compile(r"`[^`]+`|cannot (read|write|resume)")  # an argument, or a path

# --- wrong arguments ------------------------------------------------------------------------------------


class Odd:
    """Nothing that anybody asked for."""

    def __repr__(self):
        raise RuntimeError("it cannot be printed")


def _tensors():
    double = torch.float64
    yield from (torch.empty(0), torch.empty(0, 2, dtype=double), torch.empty(2, 0, dtype=double), torch.tensor(1.0))
    yield from (torch.zeros(3, dtype=double), torch.zeros(2, 2, 2, dtype=double), torch.zeros(3, 5, dtype=double))
    yield from (torch.zeros(2, 2, dtype=torch.int64), torch.zeros(2, 2, dtype=torch.bool), torch.ones(2, 2) * 1j)
    yield from (torch.full((2, 2), float("nan"), dtype=double), torch.full((2, 2), float("inf"), dtype=double))
    yield from (torch.full((2, 2), 1e308, dtype=double), torch.full((2, 2), 5e-324, dtype=double))
    yield from (torch.zeros(2, 2, dtype=torch.float16), torch.zeros(2, 2, dtype=torch.bfloat16))
    yield from (torch.zeros(2, 2, dtype=double, requires_grad=True), torch.zeros(2, 2, dtype=double, device="meta"))
    yield from (torch.zeros(2, 2, dtype=double).to_sparse(), torch.full((2, 1), -1), torch.full((2, 2), 2**62))


@cache
def wrong_values():
    """The pool of wrong arguments; nothing in it makes a function that accepts it build something big."""
    numbers = (0, -1, 1, 3, 2**31, 2**63, -(2**63) - 1, 10**30, 10**400, True, 0.0, -0.0, 0.5, -1.5, 1e308, 5e-324)
    numbers += (float("nan"), float("inf"), -float("inf"), 1j, Fraction(1, 3), Fraction(10**400), np.float64(0.5))
    others = (None, "", "x0", "nope", "\ud800", b"x", (), [], {}, set(), (1,), [1, 2], ["a"], (None, None), {"a": 1})
    others += (object(), Odd(), len, repr, lambda: 0, lambda x: None, lambda x: x, Path("/no/such/folder/file"))
    others += (np.zeros((2, 2)), np.array("a"), np.array([object()]), torch.float32, torch.int64, torch.device("meta"))
    others += (torch.Generator(), nn.ReLU(), nn.Linear(2, 1), nn.Sequential(), range(3), iter(()), Status.PROVED)
    return (*numbers, *others, *_tensors())


# --- functions and their good arguments -----------------------------------------------------------------


@cache
def made(name):
    """Objects that several calls need, made once."""
    cone = targets.get("cone", n=2)
    x = torch.rand(40, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    if name == "cone":
        return cone
    if name == "x":
        return x
    if name == "model":
        return build_momlp(cone, eps=0.25)
    if name == "constant":
        return build_momlp(cone, eps=0.4, expert="constant")
    if name == "lazy":
        return build_momlp(cone, eps=0.25, lazy=True)
    if name == "trained":
        return train_momlp(x, x[:, 0], leaves=3, expert_hidden=(3,), options=Options(steps=2))
    if name == "folder":
        folder = Path(tempfile.mkdtemp())
        save(made("model"), folder / "model")
        np.save(folder / "x.npy", x.numpy())
        export_onnx(made("model"), folder / "m.onnx")
        export_pt2(made("constant"), folder / "m.pt2")
        (folder / "net.onnx").write_bytes(_gemm())
        (folder / "p.vnnlib").write_text(
            "(declare-const X_0 Real)(declare-const X_1 Real)(declare-const Y_0 Real)(assert (<= X_0 1))"
            "(assert (>= X_0 0))(assert (<= X_1 1))(assert (>= X_1 0))(assert (>= Y_0 100))"
        )
        save_shattered(one_hidden_layer(2, 2), folder / "set")
        (folder / "certificate").write_bytes(certificate_path("n2m2_upper").read_bytes())
        return folder
    assert name == "net"
    return PathwayTree.from_points(x, leaves=4)


def _gemm():
    """A plain network of one layer in an ONNX file."""
    values = [numpy_helper.from_array(np.ones((2, 1), np.float32), "w")]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", k]) for name, k in (("x", 2), ("y", 1))]
    graph = helper.make_graph([helper.make_node("Gemm", ["x", "w"], ["y"])], "g", ends[:1], ends[1:], values)
    return helper.make_model(graph, ir_version=9, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString()


def file(name):
    return made("folder") / name


def _cache():
    return ExpertCache(
        lambda leaves: (torch.zeros(len(leaves), 2, dtype=torch.float64),),
        q=2,
        shapes=((2,),),
        dtype=torch.float64,
        device=torch.device("cpu"),
        cache_bytes=4096,
    )


def _alone():
    return Ranks(0, 1, torch.device("cpu"), 5.0)


def _fitted(estimator, **options):
    x = made("x").numpy()
    return estimator(steps=1, **options).fit(x, x[:, 0] if estimator is MoMLPRegressor else x[:, 0] > 0.5).predict(x)


def _sharded():
    return ShardedMoMLP.load(file("model"), _alone())


X = {"x": lambda: made("x")}
SIZES = {"eps": lambda: 0.25}


def _calls():
    """name -> (function, {argument: maker of a good one}); arguments after "*" are passed by name."""
    x, cone, model, net = (lambda key=key: made(key) for key in ("x", "cone", "model", "net"))
    tree, lattice = (lambda: made("model").tree), (lambda: made("model").lattice)
    integer = lambda value: lambda: value  # noqa: E731
    leaf = lambda: torch.zeros(3, 1, dtype=torch.int64)  # noqa: E731
    yield "Box", Box, {"lo": integer((0.0, 0.0)), "hi": integer((1.0, 1.0))}
    yield "Box.of", Box.of, {"domain": integer([(0, 1), (0, 1)]), "n": integer(2)}
    yield "Box.require_inside", Box.of(None, 2).require_inside, {"name": integer("x"), "x": x}
    yield "Box.sample", Box.of(None, 2).sample, {"count": integer(3), "generator": torch.Generator}
    yield "Modulus.lipschitz", Modulus.lipschitz, {"lam": integer(1.0)}
    yield "Modulus.holder", Modulus.holder, {"lam": integer(1.0), "alpha": integer(0.5)}
    yield "Modulus.of_callable", Modulus.of_callable, {"fn": lambda: lambda t: t, "reach": integer(2.0)}
    yield "Modulus.__call__", Modulus.lipschitz(1.0).__call__, {"t": lambda: torch.rand(3, dtype=torch.float64)}
    options = {"*": None, "n": integer(2), "m": integer(1), "lipschitz": integer(1.0), "domain": integer(None)}
    yield "LipschitzFunction", LipschitzFunction, {"fn": lambda: lambda x: x[:, :1], **options}
    options = {"*": None, "n": integer(2), "domain": integer(None), "lipschitz": integer(None)}
    yield "LipschitzFunction.from_sympy", LipschitzFunction.from_sympy, {"expression": integer("x0*x1"), **options}
    options = {"*": None, "n": integer(2), "m": integer(1), "lipschitz": integer(1.0), "domain": integer(None)}
    options |= {"vectorized": integer(True), "workers": integer(1), "pool": integer("threads"), "batch": integer(100)}
    options |= {"cache": integer(None), "cache_bytes": integer(10**6)}
    yield "LipschitzFunction.from_numpy", LipschitzFunction.from_numpy, {"fn": lambda: lambda x: x[:, 0], **options}
    black_box = LipschitzFunction.from_numpy(lambda x: x[:, 0], n=2, lipschitz=1, cache=True)
    yield "black box", black_box, {"x": x}
    yield "LipschitzFunction.cached_in", black_box.cached_in, {"path": lambda: file("answers")}
    yield "Plan.evaluations", made("model").plan.evaluations, {"f": cone}
    yield "LipschitzFunction.__call__", targets.get("cone", n=2).__call__, {"x": x}
    yield "targets.get", targets.get, {"name": integer("cone"), "*": None, "n": integer(2), "lam": integer(1.0)}
    yield "targets.sharp", targets.sharp, {"plan": lambda: made("model").plan}
    options = {"*": None, "expert": integer("pencil"), "split": integer(None), "valency": integer(2)}
    options |= {"activation": integer("relu"), "dtype": integer(torch.float64)}
    yield "plan", plan, {"f": cone, "eps": integer(0.25), **options}
    options = {**options, "lazy": integer(False), "device": integer(None)}
    yield (
        "build_momlp",
        build_momlp,
        {"f": cone, "*": None, "eps": integer(0.25), **{k: v for k, v in options.items() if k != "*"}},
    )
    yield "PathwayTree", PathwayTree, {"cells": integer((3, 2)), "*": None, "valency": integer(2)}
    options = {"*": None, "leaves": integer(4), "valency": integer(2), "method": integer("kmeans"), "seed": integer(0)}
    yield "PathwayTree.from_points", PathwayTree.from_points, {"points": x, **options}
    yield "PathwayTree.from_points delta", PathwayTree.from_points, {"points": x, "*": None, "delta": integer(0.3)}
    z = lambda: torch.rand(4, 2, dtype=torch.float64)  # noqa: E731
    small = PathwayTree((3, 2))
    yield "PathwayTree.route", small.route, {"z": z}
    yield "PathwayTree.nearest_leaf", small.nearest_leaf, {"z": z, "*": None, "max_leaves": integer(100)}
    yield "PathwayTree.path", small.path, {"z": lambda: torch.rand(2, dtype=torch.float64)}
    yield "PathwayTree.flat_index", small.flat_index, {"leaf": lambda: torch.zeros(3, 2, dtype=torch.int64)}
    yield "PathwayTree.children", small.children, {"node": integer(((0, 3), (0, 2)))}
    yield "PathwayTree.child_prototypes", small.child_prototypes, {"node": integer(((0, 3), (0, 2)))}
    yield "PathwayTree.split_axis", small.split_axis, {"node": integer(((0, 3), (0, 2)))}
    yield "PathwayTree.is_leaf", small.is_leaf, {"node": integer(((0, 3), (0, 2)))}
    yield "PathwayTree.leaf_indices", small.leaf_indices, {"device": integer(None)}
    yield "PathwayTree.flatten", small.flatten, {"*": None, "max_nodes": integer(100), "device": integer(None)}
    flat = small.flatten()
    yield "FlatTree.route", flat.route, {"z": z}
    yield "FlatTree.to", flat.to, {"device": integer("cpu")}
    yield "PathwayTree.to_networkx", small.to_networkx, {"*": None, "max_nodes": integer(100)}
    parts = {k: lambda k=k: getattr(made("net"), k) for k in ("prototypes", "children", "leaf_prototypes")}
    yield "PrototypeTree", PrototypeTree, parts
    yield "PrototypeTree.route", made("net").route, {"x": x}
    yield "PrototypeTree.nearest_leaf", made("net").nearest_leaf, {"x": x}
    yield "PrototypeTree.to_networkx", made("net").to_networkx, {"*": None, "max_nodes": integer(100)}
    yield "PrototypeTree.to", made("net").to, {"device": integer("cpu")}
    yield "FlatPrototypeTree.route", made("net").flatten().route, {"x": x}
    yield "FlatPrototypeTree.to", made("net").flatten().to, {"device": integer("cpu")}
    for name in ("coordinates", "offset_from_nodes"):
        yield f"Lattice.{name}", getattr(lattice(), name), {"x": x}
    for name in ("centres", "faces"):
        yield f"Lattice.{name}", getattr(lattice(), name), {"index": leaf}
    yield "Lattice.index", lattice().index, {"z": lambda: torch.rand(3, 1, dtype=torch.float64)}
    for name in ("forward", "route", "output_layers", "cell_bounds"):
        argument = {"x": x} if name in ("forward", "route") else {"leaves": leaf}
        yield f"MoMLP.{name}", getattr(made("model"), name), argument
        yield f"lazy MoMLP.{name}", getattr(made("lazy"), name), argument
    yield "MoMLP.expert", made("model").expert, {"leaf": integer(0)}
    array = {"x": lambda: made("x").numpy()}
    yield "MoMLP.predict", made("model").predict, array
    yield "lazy MoMLP.predict", made("lazy").predict, array
    yield "TrainedMoMLP.predict arrays", made("trained").predict, array
    for name in ("forward", "route", "predict", "standardise"):
        yield f"TrainedMoMLP.{name}", getattr(made("trained"), name), {"x": x}
    yield "TrainedMoMLP.expert", made("trained").expert, {"leaf": integer(0)}
    yield (
        "TrainedMoMLP",
        TrainedMoMLP,
        {
            "tree": net,
            "widths": integer((2, 3, 1)),
            "*": None,
            "input_shift": lambda: torch.zeros(2, dtype=torch.float64),
            "input_scale": lambda: torch.ones(2, dtype=torch.float64),
            "experts": lambda: torch.zeros(made("net").num_leaves, 13, dtype=torch.float64),
            "task": integer("regression"),
            "router": integer("tree"),
        },
    )
    training = {
        "x": x,
        "y": lambda: made("x")[:, 0],
        "*": None,
        "leaves": integer(2),
        "expert_hidden": integer((2,)),
        "task": integer("regression"),
        "validation": integer(0.2),
        "sample_weight": lambda: 1 + made("x")[:, 0],
        "routing": lambda: Routing(),
        "generator": integer(None),
        "dtype": integer(torch.float64),
    }
    yield "prepare", prepare, training
    fields = {"method": integer("kmeans"), "valency": integer(2), "router": integer("tree"), "overlap": integer(1)}
    yield "Routing", Routing, fields
    quick = {"options": lambda: Options(steps=1), "budget_bytes": integer(None), "device": integer(None)}
    yield "train_momlp", train_momlp, {**training, **quick, "checkpoint": integer(None), "log": integer(silent)}
    array = {"x": lambda: made("x").numpy(), "y": lambda: made("x")[:, 0].numpy()}
    array["sample_weight"] = lambda: 1 + made("x")[:, 0].numpy()
    yield "train_momlp arrays", train_momlp, {**training, **array, **quick}
    for estimator in (MoMLPRegressor, MoMLPClassifier):
        parameters = inspect.signature(estimator).parameters
        options = {k: integer(p.default) for k, p in parameters.items() if k != "steps"}  # many take long
        yield estimator.__name__, partial(_fitted, estimator), {"*": None, **options}
    options = inspect.signature(Options).parameters
    yield "Options", Options, {"*": None, **{k: integer(p.default) for k, p in options.items()}}
    sizes = {"n": integer(2), "m": integer(1), "*": None, "depth": integer(2), "at_least": integer(50)}
    yield "central_hidden", central_hidden, sizes
    levels = lambda: [torch.rand(1, 3, 2, dtype=torch.float64)]  # noqa: E731
    values = lambda: torch.rand(3, dtype=torch.float64)  # noqa: E731
    yield "NearestPrototype", NearestPrototype, {"levels": levels, "values": values}
    yield "NearestPrototype.route", NearestPrototype(levels(), values()).route, {"x": x}
    yield "NearestPrototype.forward", NearestPrototype(levels(), values()).forward, {"x": x}

    # files, memory, ranks
    yield "save", save, {"model": model, "path": lambda: file("other")}
    options = {"*": None, "lazy": integer(True), "cache_bytes": integer(10**6), "device": integer(None)}
    options |= {"max_bytes": integer(10**6)}
    yield "load", load, {"path": lambda: file("model"), **options}
    options = {"*": None, "x": integer(None), "count": integer(5), "seed": integer(0)}
    yield "export_onnx", export_onnx, {"model": model, "path": lambda: file("other.onnx")}
    yield "export_pt2", export_pt2, {"model": lambda: made("constant"), "path": lambda: file("other.pt2")}
    yield "export_bound", export_bound, {"model": model, "x": x}
    yield "onnx_agrees", onnx_agrees, {"path": lambda: file("m.onnx"), "model": model, **options}
    yield "pt2_agrees", pt2_agrees, {"path": lambda: file("m.pt2"), "model": lambda: made("constant"), **options}
    yield "read_onnx", read_onnx, {"path": lambda: file("net.onnx")}
    yield "read_vnnlib", read_vnnlib, {"path": lambda: file("p.vnnlib")}
    question = lambda: read_vnnlib(file("p.vnnlib"))  # noqa: E731
    network = lambda: nn.Linear(2, 1, dtype=torch.float64)  # noqa: E731
    options = {"*": None, "max_boxes": integer(100), "log": integer(silent)}
    yield "decide_outputs", decide_outputs, {"network": network, "question": question, **options}
    yield (
        "load within a budget",
        load,
        {"path": lambda: file("model"), "*": None, "lazy": integer(True), "budget_bytes": integer(10**6)},
    )
    yield (
        "write_whole",
        write_whole,
        {"path": lambda: file("words"), "write": lambda: lambda draft: draft.write_text("w")},
    )
    yield "require_writable", require_writable, {"path": lambda: file("words")}
    yield "require_regular", require_regular, {"path": lambda: file("model")}
    yield "require_folder", require_folder, {"path": lambda: file("new")}
    yield "points_file", points_file, {"path": lambda: file("x.npy"), "n": integer(2)}
    yield "ExpertCache.fetch", _cache().fetch, {"leaves": lambda: torch.tensor([[0, 1], [2, 3]])}
    yield "ExpertCache.prefetch", _cache().prefetch, {"leaves": lambda: torch.tensor([[0, 1], [2, 3]])}
    options = {"*": None, "q": integer(2), "shapes": integer(((2,),)), "dtype": integer(torch.float64)}
    options |= {"device": integer(torch.device("cpu")), "cache_bytes": integer(4096), "staging_bytes": integer(None)}
    yield "ExpertCache", ExpertCache, {"source": lambda: lambda leaves: (), **options}
    options = {"*": None, "fixed_bytes": integer(10), "slot_bytes": integer(8), "point_bytes": integer(8)}
    options |= {"copies": integer(4)}
    yield "share_budget", share_budget, {"budget_bytes": integer(10**6), **options}
    options = {"*": None, "device_bytes": integer(10**6), "devices": integer(4), "batch": integer(10), "m": integer(1)}
    yield "plan_devices", plan_devices, {"n": integer(3), "eps": integer(0.25), "lam": integer(1.0), **options}
    yield "Shards.of", Shards.of, {"tree": tree, "world": integer(3)}
    yield "Shards.owner", Shards.of(tree(), 3).owner, {"leaves": leaf}
    yield "Shards.leaves_of", Shards.of(tree(), 3).leaves_of, {"rank": integer(0)}
    options = {
        "*": None,
        "timeout": integer(5.0),
        "patience": integer(5.0),
        "device": integer("cpu"),
        "environment": dict,
    }
    yield "Ranks.start", lambda **options: Ranks.start(**options).__enter__(), options
    yield "ShardedMoMLP.load", ShardedMoMLP.load, {"path": lambda: file("model"), "ranks": _alone}
    yield "ShardedMoMLP.__call__", _sharded().__call__, {"x": x}
    options = {"points": lambda: file("x.npy"), "out": lambda: file("y.npy"), "*": None, "batch": integer(16)}
    yield "evaluate_file", evaluate_file, {"model": _sharded, **options}

    # shattered sets and bounds
    yield "one_hidden_layer", one_hidden_layer, {"n": integer(2), "width": integer(2)}
    yield "two_hidden_layers", two_hidden_layers, {"side": integer(2)}
    yield (
        "deep",
        deep,
        {"side": integer(2), "blocks": integer(2), "bits": integer(2), "*": None, "layers_per_bit": integer(1)},
    )
    yield "wide", wide, {"n": integer(2), "units": integer(2), "bits": integer(2)}
    yield "routing_only", routing_only, {"n": integer(2), "experts": integer(3)}
    yield "routing_pairs", routing_pairs, {"n": integer(2), "experts": integer(4), "*": None, "tree": integer(False)}
    yield (
        "mixture",
        mixture,
        {"expert": lambda: one_hidden_layer(2, 2), "experts": integer(2), "*": None, "valency": integer(2)},
    )
    yield "largest_set", largest_set, {"n": integer(2), "depth": integer(1), "width": integer(2)}
    yield "certified", certified, {"shattered": lambda: one_hidden_layer(2, 2)}
    yield "shattered_exhaustively", shattered_exhaustively, {"shattered": lambda: one_hidden_layer(2, 2)}
    yield (
        "save_shattered",
        save_shattered,
        {"shattered": lambda: one_hidden_layer(2, 2), "path": lambda: file("other_set")},
    )
    yield "check_file", check_file, {"path": lambda: file("set")}
    sizes = {"n": integer(2), "depth": integer(1), "width": integer(2), "kind": integer("relu")}
    yield "Architecture", Architecture, sizes
    for bound in (vc_upper_flat, vc_upper_tree):
        yield bound.__name__, bound, {"architecture": lambda: Architecture(2, 1, 2), "experts": integer(2)}
    yield "no_go_eps", no_go_eps, {"vc": integer(10), "n": integer(2)}

    options = {"*": None, "dtype": integer(torch.float32), "max_bytes": integer(10**6)}
    yield "tabulate", tabulate, {"model": model, **options}

    # training in sublinear time
    keys = lambda: torch.rand(5, 3, dtype=torch.float64)  # noqa: E731
    yield "MaxTreeForest", MaxTreeForest, {"keys": keys, "*": None, "memory_limit": integer(10**6)}
    yield "MaxTreeForest.query", MaxTreeForest(keys()).query, {"threshold": integer(0.5)}
    rows = {"neurons": lambda: torch.tensor([1, 4]), "keys": lambda: torch.rand(2, 3, dtype=torch.float64)}
    yield "MaxTreeForest.update", MaxTreeForest(keys()).update, rows
    options = {"*": None, "activation": integer("max"), "device": integer(None), "dtype": integer(torch.float64)}
    sizes = {"d": integer(2), "m": integer(9), "alpha": integer(0.24)}
    yield "ShiftedReLUNetwork", ShiftedReLUNetwork, {**sizes, **options, "generator": integer(None)}
    weights = {"weight": lambda: made("x").clone(), "signs": lambda: torch.ones(40), "bias": integer(1.0)}
    yield "ShiftedReLUNetwork.from_weights", ShiftedReLUNetwork.from_weights, weights
    yield "ShiftedReLUNetwork.forward", ShiftedReLUNetwork.from_seed(2, 9, 0).forward, {"x": x}
    options = {"radius": integer(0.1), "step": integer(1.0), "ridge": integer(0.0), "slop": integer(None)}
    options |= {"memory_limit": integer(10**6), "counting": integer(True), "log": integer(silent)}
    data = {"X": lambda: torch.eye(2, dtype=torch.float64), "y": lambda: torch.ones(2, dtype=torch.float64)}
    training = {"net": lambda: ShiftedReLUNetwork.from_seed(2, 99, 0), **data}
    training |= {"*": None, "method": integer("lazy"), **options}
    yield "GaussNewtonTrainer", GaussNewtonTrainer, training
    fitted = {"max_steps": integer(2), "tolerance": integer(1e-9), "*": None, "checkpoint": integer(None)}
    yield (
        "GaussNewtonTrainer.fit",
        lambda **o: GaussNewtonTrainer(training["net"](), *(d() for d in data.values())).fit(**o),
        {"*": None, **fitted},
    )
    yield from _explanations(x, integer)

    # verdicts and checkers
    options = {"*": None, "eps": integer(0.25), "gap": integer(None), "method": integer("sampled"), "seed": integer(0)}
    yield "certify_uniform_error", certify_uniform_error, {"model": model, "f": cone, **options}
    options = {"*": None, "method": integer(None), "samples": integer(100)}
    yield "evaluations_to_certify", evaluations_to_certify, {"plan": lambda: made("model").plan, "f": cone, **options}
    yield "uniform_error_le_eps", uniform_error_le_eps, {"model": model, "f": cone, "eps": integer(0.25)}
    options = {"declared": integer(2.0), "*": None, "n": integer(2), "domain": integer(None)}
    yield "lipschitz_constant_le", lipschitz_constant_le, {"expression": integer("x0*x1"), **options}
    corners = {"lower": lambda: -torch.ones(2), "upper": lambda: torch.ones(2), "*": None}
    options = {key: integer(None) for key in ("measure", "left", "right", "offset", "input_shape", "device")}
    options |= {"method": integer("auto"), "gap": integer(1e-9), "seconds": integer(2.0), "keep_cells": integer(False)}
    options |= {"boxes": integer(100), "cells": integer(100), "points": integer(100), "undecided": integer(8)}
    two = lambda: nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))  # noqa: E731
    options |= {"seed": integer(0)}
    yield "lipschitz_bounds", lipschitz_bounds, {"module": two, **corners, **options}
    eye = lambda: torch.eye(2, dtype=torch.float64)  # noqa: E731
    yield "Measure", Measure, {"left": eye, "right": eye, "offset": eye, "relative": integer(0.0)}
    yield "Measure.closed_loop", Measure.closed_loop, {"A": eye, "B": eye, "P": eye}
    yield "Measure.weighted", Measure.weighted, {"*": None, "out": eye, "into": eye}
    formulas = lambda: {"active": made("model").plan.parameters}  # noqa: E731
    yield "parameter_count_eq", parameter_count_eq, {"model": model, "formulas": formulas}
    options = {"cells": lambda: made("model").tree.cells, "*": None, "valency": integer(2)}
    yield "tree_structure", tree_structure, {"graph": lambda: made("model").tree.to_networkx(), **options}
    fields = {"reason": integer("r"), "numbers": dict, "bounds": dict, "witness": integer(None), "seed": integer(None)}
    yield "Verdict", Verdict, {"status": integer(Status.PROVED), "evidence": integer(Evidence.EXACT), **fields}
    fields = {"device": lambda: torch.device("cpu"), "seed": integer(0), "log": integer(repr)}
    yield "Context", Context, {"budget": integer("quick"), **fields}
    words = {k: integer("word") for k in ("title", "statement", "source")}
    fields = {"id": integer("a.b"), **words, "expected": integer(Status.PROVED), "hypotheses": integer(())}
    fields |= {"evidence": integer(Evidence.EXACT), "decided_by": integer("so"), "does_not_say": integer("more")}
    yield "Claim", Claim, {**fields, "reproduce": integer(None)}
    yield "register", register, {"claim": lambda: Claim("a.b", "", "", "", Status.OPEN)}
    yield "select", select, {"patterns": integer(["momlp"])}
    options = {"budget": integer("quick"), "device": integer("cpu"), "seed": integer(0), "log": integer(silent)}
    yield "verify", verify, {"names": integer("momlp.sharpness"), "*": None, **options}
    yield "verify.run", run_claims, {"claims": list, "context": Context}
    yield "fit_slope", fit_slope, {"x": integer([1.0, 2.0, 3.0]), "y": integer([1.0, 2.0, 3.0])}
    options = {"*": None, "count": integer(50), "generator": torch.Generator}
    yield "embedded", embedded, {"name": integer("circle"), "n": integer(3), **options}

    # means of products of matrices
    three = lambda: de_sa_family(3)  # noqa: E731
    options = {"*": None, "replacement": integer(False), "nested": integer(False), "start": integer(None)}
    yield "expected_product", expected_product, {"A": three, "k": integer(2), **options}
    repeated = {**options, "replacement": integer(True)}
    yield "expected_product with repetition", expected_product, {"A": three, "k": integer(2), **repeated}
    yield "am_gm_ratio", am_gm_ratio, {"A": three, "k": integer(2), "*": None, "nested": integer(False)}
    options = {"*": None, "exact": integer(False), "device": integer(None)}
    yield "de_sa_family", de_sa_family, {"n": integer(3), "c": integer("1/2"), **options}
    yield "exact_matrices", exact_matrices, {"A": three}
    options = {"*": None, "replacement": integer(False), "nested": integer(True), "start": integer(None)}
    exact = lambda: de_sa_family(3, exact=True)  # noqa: E731
    yield "expected_product_exact", expected_product_exact, {"A": exact, "k": integer(2), **options}
    options = {"*": None, "count": integer(2), "generator": torch.Generator, "device": integer(None)}
    sizes = {"ensemble": integer("wishart"), "n": integer(2), "d": integer(3)}
    yield "random_matrices", random_matrices, {**sizes, **options}
    yield "LeastSquares", LeastSquares, {"rows": x, "targets": integer(None)}
    options = {"*": None, "allow_indefinite": integer(False)}
    yield "LeastSquares.sgd", LeastSquares(made("x")).sgd, {"step": integer(0.1), **options}
    ones = lambda: torch.ones(3, dtype=torch.float64)  # noqa: E731
    yield "sampling_rates", sampling_rates, {"A": three, "epochs": integer(2), "e0": ones}
    options = {"*": None, "replacement": integer(False), "generator": torch.Generator}
    sizes = {"epochs": integer(2), "runs": integer(3)}
    yield "simulate_sampling", simulate_sampling, {"A": three, "e0": ones, **sizes, **options}
    options = {"*": None, "nested": integer(False), "side": integer("lower"), "steps": integer(2)}
    options |= {"restarts": integer(2), "generator": torch.Generator, "device": integer(None)}
    sizes = {"n": integer(3), "d": integer(2), "k": integer(3)}
    yield "worst_case_search", worst_case_search, {**sizes, **options}
    yield "verify_certificate", verify_certificate, {"path": lambda: file("certificate")}
    yield "verify_text", verify_text, {"text": lambda: file("certificate").read_text()}
    yield "positive_semidefinite", positive_semidefinite, {"M": lambda: exact()[0], "*": None, "name": integer("M")}


def _explanations(x, integer):
    """Games, their interactions, and what these are."""
    game = UnanimityGame(6, [0, 1])
    table = lambda: torch.zeros(4, dtype=torch.float64)  # noqa: E731
    masks = lambda: torch.ones(2, 6, dtype=torch.bool)  # noqa: E731
    shared = {"order": integer(2), "index": integer("SII")}
    options = {"batch_size": integer(64), "device": integer(None)}
    exactly = {"game": integer(game), "n": integer(6), **shared, "*": None, "names": integer(None), **options}
    yield "shapley_interactions", shapley_interactions, {**exactly, "dtype": integer(torch.float64)}
    drawn = {"paired": integer(True), "generator": integer(None)}
    yield "KernelSHAPIQ", KernelSHAPIQ, {"n": integer(6), **shared, "*": None, **drawn, **options}
    spent = {"budget": integer(40), "*": None, "repeats": integer(1), "log": integer(silent)}
    yield "KernelSHAPIQ.estimate", KernelSHAPIQ(6).estimate, {"game": integer(game), **spent, "names": integer(None)}
    del spent["*"]
    yield "explain", explain, {"game": integer(game), "*": None, **shared, **spent, **drawn, **options}
    features = {"model": lambda: lambda rows: rows.sum(1), "x": lambda: made("x")[0], "background": x, "*": None}
    features |= dict.fromkeys(("features", "groups", "output", "names"), integer(None))
    features |= {"tensors": integer(False), "rows_at_once": integer(100)}
    yield "FeatureGame", lambda *a, **k: explain(FeatureGame(*a, **k)), features
    experts = {"mixture": lambda: made("trained"), "points": x, "targets": lambda: made("x")[:, 0], "*": None}
    experts |= {"loss": integer("squared"), "off": integer("zero"), "names": integer(None), "log": integer(silent)}
    yield "ExpertGame", ExpertGame, experts
    yield "ExpertGame.interactions", ExpertGame(made("trained"), made("x"), made("x")[:, 0]).interactions, shared
    yield "TableGame", TableGame, {"values": table}
    yield "UnanimityGame", UnanimityGame, {"n": integer(4), "players": integer([0])}
    yield "UnanimityGame.__call__", game, {"masks": masks}
    yield "SumOfUnanimity", SumOfUnanimity, {"n": integer(4), "terms": integer(3), "generator": integer(None)}
    found = shapley_interactions(game, 6)
    zero = lambda: torch.zeros((), dtype=torch.float64)  # noqa: E731
    fields = {"n": integer(4), "index": integer("SII"), "orders": lambda: (table(),), "baseline": zero}
    fields |= {"prediction": zero, "exact": integer(True), "evaluations": integer(16), "budget": integer(None)}
    yield "InteractionValues", InteractionValues, {**fields, "names": integer(())}
    yield "InteractionValues.from_json", InteractionValues.from_json, {"text": found.to_json}
    for name, key in (("top", "count"), ("output", "j"), ("order", "k"), ("sets", "k")):
        yield f"InteractionValues.{name}", getattr(found, name), {key: integer(0 if key == "j" else 1)}
    for name in ("bar", "network", "upset", "force"):
        options = {"axes": integer(None), "*": None, "count": integer(3)}
        yield f"InteractionValues.plot_{name}", getattr(found, f"plot_{name}"), options


@cache
def calls():
    return {name: (function, arguments) for name, function, arguments in _calls()}


PENDING: dict[str, str] = {}
"""Function -> what it did; whoever mends one takes it out of this list."""


class TooSlow(BaseException):
    """Nothing in the packages catches it."""


def _too_slow(number, frame):
    raise TooSlow


def invoke(function, makers, wrong):
    """What a call with these wrong arguments did that it should not have; None when all is well."""
    by_name, placed, named = False, [], {}
    for key, make in makers.items():
        if key == "*":
            by_name = True
            continue
        value = wrong[key] if key in wrong else make()
        if by_name:
            named[key] = value
        else:
            placed.append(value)
    before = signal.signal(signal.SIGALRM, _too_slow)
    signal.setitimer(signal.ITIMER_REAL, LIMIT)
    try:
        function(*placed, **named)
    except DOCUMENTED as err:
        return None if NAMED.search(str(err)) or isinstance(err, OSError) else f"{type(err).__name__}: {err}"
    except TooSlow:
        return f"no answer within {LIMIT} s"
    except Exception as err:
        return f"{type(err).__name__}: {err}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    return None


def described(value):
    if isinstance(value, torch.Tensor):
        return f"{value.dtype} {tuple(value.shape)} {value.device}"
    try:
        return repr(value)[:60]
    except Exception:
        return type(value).__name__


def is_wrong(key, value):
    """Not what is right: no options means those that train for seconds, any function may do the writing, and what a
    module makes of a message is its own affair."""
    if key == "log" and isinstance(value, nn.Module):
        return False
    return not (key == "options" and value is None) and not (key == "write" and callable(value))


def draw(source, name):
    """Wrong arguments for a function: one of them mostly, sometimes several."""
    keys = [k for k in calls()[name][1] if k != "*"]
    count = 1 if source.random() < 0.75 else source.randint(1, len(keys))
    chosen = {key: source.choice(wrong_values()) for key in source.sample(keys, count)}
    return {key: value for key, value in chosen.items() if is_wrong(key, value)}


def faults(seed, count):
    """The faults of `count` draws, each function in turn."""
    source, names = random.Random(seed), [name for name in calls() if name not in PENDING]
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number in range(count):
            name = names[number % len(names)]
            wrong = draw(source, name)
            fault = invoke(*calls()[name], wrong)
            if fault is not None:
                found.append((name, {k: described(v) for k, v in wrong.items()}, fault[:200]))
    return found


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch, tmp_path):
    """Wrong formulas such as "x0" are good paths: what is written there lands in a folder of the test. Claims that are
    registered are forgotten."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(systems, "ADDED", {})


NOT_CALLED = {"Lattice", "Plan", "MoMLP"}  # the next ones are made by `plan` and `build_momlp`
NOT_CALLED |= {"TabulatedMoMLP", "BitExtractionMoMLP", "BitExtractionPlan", "PencilMoMLP", "PencilPlan"}
NOT_CALLED |= {"BudgetExceeded", "ExpressionError", "ModulusViolation", "StoreError"}  # errors
NOT_CALLED |= {"Agreement", "OnnxNetwork", "OutputVerdict", "VnnLib"}  # answers
NOT_CALLED |= {
    "LipschitzBounds",
    "REGISTRY",
    "Evidence",
    "Status",
    "UniformErrorCertificate",
    "ModulusPremise",
    "claim",
    "targets",
}


def test_every_public_name_is_called():
    public = {*constructions.__all__, *theory.__all__} - NOT_CALLED
    assert {name.split(".")[0] for name in calls()} >= public
    assert set(PENDING) <= set(calls())


def test_good_arguments_are_accepted():
    answers = {name: invoke(*call, {}) for name, call in calls().items()}
    assert {name: fault for name, fault in answers.items() if fault is not None} == {}


@pytest.mark.parametrize("seed", range(3))
def test_some_wrong_calls(seed):
    assert faults(seed, 200) == []


@pytest.mark.slow
def test_many_wrong_calls():
    assert faults(3, 10_500) == []


def forget_files():
    """What an earlier call wrote where the next one would read."""
    for path in Path().iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


@pytest.mark.slow
def test_every_wrong_value_of_every_argument():
    found = []
    for name, (function, makers) in calls().items():
        for key in () if name in PENDING else (k for k in makers if k != "*"):
            for value in wrong_values():
                forget_files()
                fault = invoke(function, makers, {key: value}) if is_wrong(key, value) else None
                found += [] if fault is None else [(name, key, described(value), fault[:200])]
    assert found == []


def test_the_tool_itself_finds_faults():
    """An attribute error, a nameless message, and a call that does not come back are faults; a named error is none."""

    def careless(x):
        return x.shape

    def nameless(x):
        raise ValueError("bad input")

    def endless(x):
        while True:
            pass

    def careful(x):
        raise ValueError("`x` must be a number")

    good = {"x": lambda: 1}
    assert "AttributeError" in invoke(careless, good, {})
    assert "bad input" in invoke(nameless, good, {})
    assert invoke(careful, good, {}) is None
    before, globals()["LIMIT"] = LIMIT, 0.2
    try:
        assert "no answer" in invoke(endless, good, {})
    finally:
        globals()["LIMIT"] = before
