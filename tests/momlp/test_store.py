"""The store: bitwise round trips, every damage is caught, refusals."""

import json
import struct

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file

from constructions import BudgetExceeded, LipschitzFunction, MoMLP, StoreError, build_momlp, load, save, targets
from constructions.expert_rows.file import DIGESTS, expert_digests, root_digest
from constructions.momlp.store import EXPERTS, _hashed


def points(model, count=500):
    return model.plan.domain.sample(count, torch.Generator().manual_seed(5))


@pytest.fixture
def stored(tmp_path):
    model = build_momlp(targets.get("franke", n=2), eps=0.1)
    return model, save(model, tmp_path / "model.safetensors")


@pytest.mark.law
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(targets.names()),
    eps=st.floats(0.1, 0.5),
    expert=st.sampled_from(["pencil", "constant"]),
    activation=st.sampled_from(["relu", "prelu"]),
    dtype=st.sampled_from([torch.float64, torch.float32]),
    valency=st.integers(2, 8),
)
def test_save_then_load_is_the_identity(tmp_path, name, eps, expert, activation, dtype, valency):
    """Law: same plan, bitwise the same tensors and outputs; eager, lazy from the file."""
    f = targets.get(name, n=2)
    model = build_momlp(f, eps=eps, expert=expert, activation=activation, dtype=dtype, valency=valency)
    path = save(model, tmp_path / "m.safetensors")
    again = load(path)
    assert again.plan == model.plan
    assert again.target.expression == f.expression
    for (key, a), (other, b) in zip(model.state_dict().items(), again.state_dict().items(), strict=True):
        assert key == other
        assert a.dtype == b.dtype
        assert torch.equal(a, b)
    x = points(model)
    assert torch.equal(again(x), model(x))
    assert torch.equal(load(path, lazy=True, cache_bytes=20_000)(x), model(x))


def test_lazy_model_of_a_formula_is_saved_as_its_plan(tmp_path):
    model = build_momlp(targets.get("sum_of_sines", n=10), eps=0.1, lazy=True)
    path = save(model, tmp_path / "huge.safetensors")
    assert path.stat().st_size < 10_000
    again = load(path)
    assert isinstance(again, MoMLP)
    assert again.lazy
    assert again.num_leaves == model.num_leaves
    assert torch.equal(again(points(model)), model(points(model)))


def test_a_cast_model_is_saved_as_it_is(tmp_path):
    model = build_momlp(targets.get("cone", n=2), eps=0.1).float()
    again = load(save(model, tmp_path / "m.safetensors"))
    assert again.plan.dtype == torch.float32
    assert torch.equal(again(points(model)), model(points(model)))
    with pytest.raises(StoreError, match="float64 or float32"):
        save(model.half(), tmp_path / "m.safetensors")


def test_lazy_black_box_is_refused(tmp_path):
    f = LipschitzFunction(lambda x: x[:, :1], n=2, lipschitz=1.0)
    with pytest.raises(StoreError, match="lazy model of a black-box"):
        save(build_momlp(f, eps=0.1, lazy=True), tmp_path / "x.safetensors")
    eager = load(save(build_momlp(f, eps=0.1), tmp_path / "y.safetensors"))
    assert eager.target is None


def tensor_span(path, name):
    """(first byte, one past the last) of a tensor in the file."""
    raw = path.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    begin, end = json.loads(raw[8 : 8 + length])[name]["data_offsets"]
    return 8 + length + begin, 8 + length + end


@pytest.mark.parametrize("name", ["hidden_weight", "hidden_bias", "out_weight", "out_bias", "expert_digests"])
def test_a_flipped_bit_is_caught_everywhere(stored, name):
    _, path = stored
    raw = bytearray(path.read_bytes())
    begin, end = tensor_span(path, name)
    for position in (begin, (begin + end) // 2, end - 1):
        damaged = bytearray(raw)
        damaged[position] ^= 0x10
        path.write_bytes(damaged)
        with pytest.raises(StoreError, match=r"digest.*altered or damaged"):
            load(path)


def test_a_flipped_bit_is_caught_by_the_expert_that_is_read(stored):
    model, path = stored
    begin, _ = tensor_span(path, "out_weight")
    raw = bytearray(path.read_bytes())
    raw[begin + 3 * model.plan.knots * 8 + 5] ^= 1  # expert 3
    path.write_bytes(raw)
    lazy = load(path, lazy=True)
    cells = model.tree.cells[0]
    healthy = torch.tensor([[0.5 / cells, 0.4]], dtype=torch.float64)
    assert torch.equal(lazy(healthy), model(healthy))
    with pytest.raises(StoreError, match="digest of expert 3 differs"):
        lazy(torch.tensor([[3.5 / cells, 0.4]], dtype=torch.float64))


def test_swapped_experts_are_caught(stored):
    from safetensors import safe_open

    _, path = stored
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
        tensors = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118
    tensors["out_weight"] = tensors["out_weight"].flip(0).contiguous()
    save_file(tensors, path, metadata=metadata)
    with pytest.raises(StoreError, match="digest of expert 0 differs"):
        load(path)


@pytest.mark.parametrize("change", [{"eps": 1e-9}, {"knots": 3}, {"cells": [0]}, {"domain": [[0, 0], [2, 2]]}])
def test_a_rewritten_plan_is_caught(stored, change):
    from safetensors import safe_open

    _, path = stored
    with safe_open(path, framework="pt") as file:
        spec = json.loads(file.metadata()["momlp"])
        tensors = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118
    spec["plan"] |= change
    save_file(tensors, path, metadata={"momlp": json.dumps(spec)})
    with pytest.raises(StoreError, match="altered or damaged"):
        load(path)


def test_truncated_foreign_and_missing_files(stored, tmp_path):
    _, path = stored
    raw = path.read_bytes()
    for length in (0, 4, 100, len(raw) // 2, len(raw) - 1):
        path.write_bytes(raw[:length])
        with pytest.raises(StoreError, match="cannot read"):
            load(path)
    (tmp_path / "text").write_text("hello, this is not a model")
    with pytest.raises(StoreError, match="cannot read"):
        load(tmp_path / "text")
    with pytest.raises(StoreError, match="cannot read"):
        load(tmp_path / "missing")
    save_file({"a": torch.zeros(2)}, tmp_path / "foreign")
    with pytest.raises(StoreError, match="not one that momlp wrote"):
        load(tmp_path / "foreign")
    save_file({"a": torch.zeros(2)}, tmp_path / "newer", metadata={"momlp": '{"schema": 99}'})
    with pytest.raises(StoreError, match="schema 99"):
        load(tmp_path / "newer")
    save_file({"a": torch.zeros(2)}, tmp_path / "broken", metadata={"momlp": "{"})
    with pytest.raises(StoreError, match="unreadable spec"):
        load(tmp_path / "broken")


def test_unwritable_path_and_wrong_type(stored, tmp_path):
    model, _ = stored
    with pytest.raises(StoreError, match="no folder"):
        save(model, tmp_path / "missing" / "m.safetensors")
    with pytest.raises(TypeError, match="`model` must be a MoMLP"):
        save(torch.nn.Linear(1, 1), tmp_path / "m.safetensors")


def test_a_failed_write_leaves_the_old_file(stored, monkeypatch):
    model, path = stored
    before = path.read_bytes()

    def fail(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("constructions.files.save_file", fail)
    with pytest.raises(StoreError, match="No space left"):
        save(model, path)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


ODD = [None, -1, 10**30, 1e308, float("inf"), float("nan"), True, "", "1/0", "9" * 5000, [], {}, [None], 2**62]


def places(part, path=()):
    """Every place in a JSON value."""
    for key in part if isinstance(part, dict) else range(min(2, len(part))) if isinstance(part, list) else ():
        yield (*path, key)
        yield from places(part[key], (*path, key))


@pytest.mark.parametrize("name", ["hidden_weight", "out_weight"])
def test_numbers_of_another_dtype_than_the_plan_says_are_refused(tmp_path, stored, name):
    """With digests that fit them: float32 would be computed with, and float64's rounding certified."""
    _, path = stored
    with safe_open(path, framework="pt") as file:
        spec = json.loads(file.metadata()["momlp"])
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    tensors[name] = tensors[name].float()
    tensors[DIGESTS] = expert_digests(tensors[key] for key in EXPERTS)
    spec["root"] = root_digest(spec, _hashed(tensors))
    save_file(tensors, tmp_path / "forged", metadata={"momlp": json.dumps(spec)})
    for lazy in (False, True):
        with pytest.raises(StoreError, match=rf"'{name}': 'F32'.*its plan asks for torch\.float64"):
            load(tmp_path / "forged", lazy=lazy)


def test_a_forged_plan_cannot_ask_for_endless_layers(tmp_path):
    """A consistent design of 2^30 blocks is 2^30 layers: refused before they are made, unless asked for."""
    path = save(MODELS["bit extraction"](), tmp_path / "model")
    with safe_open(path, framework="pt") as file:
        spec = json.loads(file.metadata()["momlp"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    spec["plan"]["design"] |= {"J": 30, "m": 3}
    spec["plan"]["knots"] = 2**31 * 3 - 1
    spec["plan"]["design"]["header"] = 33
    spec["root"] = root_digest(spec, _hashed(tensors))
    save_file(tensors, tmp_path / "forged", metadata={"momlp": json.dumps(spec)})
    with pytest.raises(
        BudgetExceeded, match=r"one expert of \d+ parameters takes \d+ bytes, more than `max_bytes` = 2"
    ):
        load(tmp_path / "forged")
    with pytest.raises(BudgetExceeded, match=r"more than `max_bytes` = 700: use a larger eps"):
        load(path, max_bytes=700)
    assert load(path, max_bytes=10**6).plan.network.k == 1


MODELS = {
    "pencil": lambda: build_momlp(targets.get("cone", n=2), eps=0.25),
    "bit extraction": lambda: build_momlp(targets.get("cone", n=1), eps=0.25, expert="bit_extraction", lazy=True),
}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("forged", [False, True], ids=["damaged", "forged"])
def test_a_spec_that_says_odd_things_is_a_store_error(tmp_path, forged, model):
    """Every entry replaced by something odd, also with a root digest that fits it: never an error of another kind."""
    path = save(MODELS[model](), tmp_path / "model")
    with safe_open(path, framework="pt") as file:
        spec = json.loads(file.metadata()["momlp"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    for place in list(places(spec)):
        for value in ODD:
            changed = json.loads(json.dumps(spec))
            part = changed
            for key in place[:-1]:
                part = part[key]
            part[place[-1]] = value
            if forged:
                changed["root"] = root_digest(changed, _hashed(tensors))
            save_file(tensors, tmp_path / "changed", metadata={"momlp": json.dumps(changed)})
            for lazy in (False, True):
                try:
                    load(tmp_path / "changed", lazy=lazy)
                except ValueError:  # a StoreError, or of a formula that is none
                    continue
                assert forged or place == ("root",) or changed == spec, (place, value)
