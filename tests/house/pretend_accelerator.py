"""A pretended accelerator: tensors on the device "sim" are computed on the CPU and obey the rules of a real one.

`SimTensor` wraps a CPU tensor. It refuses to meet CPU tensors of one dimension or more (CPU index tensors may meet it,
as on CUDA), refuses `.numpy()` and generators of the CPU, and counts where a real device would make the host wait. The
kernels underneath are the CPU's, so results must be bitwise the CPU's.

Main definitions: `register` (once a process, before its first backward pass), `patched_factories`, `counting`,
`Waits`, `SimTensor`.
Implementation notes: torch's PrivateUse1 backend for Python. Calls with a SimTensor arrive in `__torch_dispatch__`,
factories in the backend's fallback kernel. `torch.tensor(…, device=…)` and its kin reach neither (they exclude the
Python key), and are replaced while `patched_factories` holds.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

try:
    from torch.utils.backend_registration import _setup_privateuseone_for_python_backend
except ImportError:  # an older torch than the pinned one
    _setup_privateuseone_for_python_backend = None

AVAILABLE = _setup_privateuseone_for_python_backend is not None
aten = torch.ops.aten
NAME = "sim"
PLACE = torch.device(torch._C._get_privateuse1_backend_name(), 0)  # "sim:0" once registered
HOST = torch.device("cpu")
ROOMS = ("constructions", "theory")

# what the host must wait for: a value, or a shape that depends on values
WAITING = {
    aten._local_scalar_dense: "item",
    aten.equal: "equal",
    aten.nonzero: "nonzero",
    aten.masked_select: "mask",
    aten._unique2: "unique",
    aten.unique_dim: "unique",
    aten.unique_consecutive: "unique",
    aten.unique_dim_consecutive: "unique",
    aten.bincount: "bincount",
}
INDEXING = (aten.index, aten.index_put, aten.index_put_, aten._index_put_impl_, aten._unsafe_index)
COPYING = (aten.copy_, aten._to_copy, aten._copy_from, aten._copy_from_and_resize)
# besides pointwise operations, these take a number from the host as a tensor without dimensions
TAKES_A_NUMBER = (aten.fill_, aten.fill, aten.masked_fill, aten.masked_fill_, aten.index_fill, aten.index_fill_)
_watching: list[Waits] = []
_kept: list[Any] = []  # a torch.library.Library takes its kernels along when it dies


@dataclass
class Waits:
    """`kinds` counts by what the host waited for ("item", "copy", "mask", …) and "upload"s, which do not count as
    waits; `places` by line of code and kind."""

    kinds: Counter[str] = field(default_factory=Counter)
    places: Counter[tuple[str, str]] = field(default_factory=Counter)

    @property
    def total(self) -> int:
        return sum(n for kind, n in self.kinds.items() if kind != "upload")


class SimTensor(torch.Tensor):
    """A tensor on "sim"; `held` is the CPU tensor underneath, never to be read by the code under test."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> SimTensor:
        wrapper = torch.Tensor._make_wrapper_subclass(
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=PLACE,
        )
        wrapper.held = held
        return wrapper

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, op, types, args=(), kwargs=None):
        return _run(op, args, kwargs or {})

    def __repr__(self) -> str:
        return f"SimTensor({self.held!r})"

    def tolist(self) -> Any:
        _count("item")
        return self.held.tolist()

    def numpy(self, *, force: bool = False) -> Any:
        if force:
            return self.detach().cpu().numpy()
        raise TypeError(f"can't convert {PLACE} device type tensor to numpy. Use Tensor.cpu() first.")

    def __array__(self, dtype=None, copy=None) -> Any:
        return self.numpy()

    def __getitem__(self, index: Any) -> Tensor:
        return super().__getitem__(_without_lists(index))

    def __setitem__(self, index: Any, value: Any) -> None:
        super().__setitem__(_without_lists(index), value)

    def new_tensor(self, data: Any, *, dtype: torch.dtype | None = None, device: Any = None, **options) -> Tensor:
        return _tensor(data, dtype=dtype or self.dtype, device=PLACE if device is None else device, **options)


def register() -> None:
    """Make the device "sim" known to torch. Before the process's first backward pass: autograd counts devices once."""
    if _kept or not AVAILABLE:
        return
    assert _setup_privateuseone_for_python_backend is not None
    _setup_privateuseone_for_python_backend(NAME)
    from theory import exact  # loads the whole package, which must find the device there

    exact.PLAIN.add(SimTensor)
    library = torch.library.Library("_", "IMPL")
    library.fallback(lambda op, *args, **kwargs: _run(op, args, kwargs), "PrivateUse1")
    _kept.append(library)


@contextmanager
def counting() -> Iterator[Waits]:
    """How often, and where, the host waits for the device inside the block."""
    waits = Waits()
    _watching.append(waits)
    try:
        yield waits
    finally:
        _watching.remove(waits)


def _count(what: str) -> None:
    if not _watching:
        return
    frame = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] not in ROOMS:
        frame = frame.f_back
    place = "elsewhere" if frame is None else f"{frame.f_globals['__name__']}:{frame.f_lineno}"
    for waits in _watching:
        waits.kinds[what] += 1
        waits.places[place, what] += 1


# --- one operation ---


def _run(op: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
    leaves, spec = tree_flatten((args, kwargs))
    sims = [t for t in leaves if isinstance(t, SimTensor)]
    target = _target(kwargs.get("device"), sims)
    _refuse_strangers(op, args, kwargs, sims, leaves, target)
    _count_waits(op, args, kwargs, sims, target)
    if op.overloadpacket is aten._copy_from:
        _copy(*args[:2])
        return args[1]
    held, held_options = tree_unflatten([t.held if isinstance(t, SimTensor) else t for t in leaves], spec)
    if held_options.get("device") is not None:
        held_options["device"] = HOST
    result = op(*held, **held_options)
    written = _written(op, args, kwargs)
    for tensor in written:
        if isinstance(tensor, SimTensor) and tensor.held.shape != tensor.shape:
            tensor.data = SimTensor(tensor.held)  # resized in place: the wrapper takes the new shape
    if written:
        return written[0] if len(op._schema.returns) == 1 else tuple(written) if op._schema.returns else None
    if target != PLACE:
        return result
    found = tree_map(lambda t: SimTensor(t) if isinstance(t, Tensor) else t, result)
    _share_storage(op, args, found)
    return found


def _share_storage(op: Any, args: tuple, result: Any) -> None:
    """Views have the storage of what they look at, so that bytes are counted once."""
    if isinstance(result, SimTensor) and op._schema.returns[0].alias_info is not None:
        torch._functionalize_unsafe_set(result, args[0])
    elif isinstance(result, (list, tuple)) and op._schema.returns[0].alias_info is not None:
        for part in result:
            torch._functionalize_unsafe_set(part, args[0])


def _target(device: Any, sims: list[SimTensor]) -> torch.device:
    """Where results go: where the caller says, else where the tensors are."""
    if device is not None:
        return PLACE if torch.device(device).type == NAME else HOST
    return PLACE if sims else HOST


def _copy(source: Tensor, into: Tensor) -> None:
    first, second = (t.held if isinstance(t, SimTensor) else t for t in (source, into))
    second.copy_(first)


def _written(op: Any, args: tuple, kwargs: dict[str, Any]) -> list[Any]:
    """The arguments that the operation writes to and returns."""
    found = []
    for i, argument in enumerate(op._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            found.append(args[i] if i < len(args) else kwargs.get(argument.name))
    return found


def _refuse_strangers(
    op: Any, args: tuple, kwargs: dict[str, Any], sims: list[SimTensor], leaves: list[Any], target: torch.device
) -> None:
    """RuntimeError where CUDA raises one: tensors of two devices, or a generator of another device."""
    packet = op.overloadpacket
    if target == PLACE and any(isinstance(g, torch.Generator) and g.device.type != NAME for g in leaves):
        raise RuntimeError(f"Expected a '{NAME}' device type for generator but found 'cpu' ({op})")
    hosts = [t for t in leaves if isinstance(t, Tensor) and not isinstance(t, SimTensor)]
    if not sims or not hosts or packet in COPYING:
        return
    if packet in INDEXING and isinstance(args[0], SimTensor):
        hosts = [t for t in args[2:3] if isinstance(t, Tensor) and not isinstance(t, SimTensor)]
    mutated = any(isinstance(t, Tensor) and not isinstance(t, SimTensor) for t in _written(op, args, kwargs))
    takes_numbers = torch.Tag.pointwise in op.tags or packet in TAKES_A_NUMBER + INDEXING or _is_foreach(op)
    if mutated or (hosts and not (takes_numbers and all(t.ndim == 0 for t in hosts))):
        raise RuntimeError(
            f"Expected all tensors to be on the same device, but found at least two devices, {PLACE} and cpu! ({op})"
        )


def _is_foreach(op: Any) -> bool:
    return op._schema.name.startswith("aten::_foreach")


def _count_waits(op: Any, args: tuple, kwargs: dict[str, Any], sims: list[SimTensor], target: torch.device) -> None:
    packet = op.overloadpacket
    if packet in WAITING:
        _count(WAITING[packet])
    elif packet in INDEXING:
        masks = [t for t in args[1] if isinstance(t, SimTensor) and t.dtype in (torch.bool, torch.uint8)]
        # one mask and one number is a masked_fill: no shape depends on the mask
        a_number = packet is not aten.index and args[2].numel() == 1 and len([t for t in args[1] if t is not None]) == 1
        if masks and not a_number:
            _count("mask")
    elif packet is aten.repeat_interleave and kwargs.get("output_size") is None:
        _count("repeat_interleave")
    elif packet in COPYING:
        source, into = (args[1], args[0]) if packet is aten.copy_ else (args[0], args[1] if len(args) > 1 else None)
        lands_on_host = target == HOST if packet is aten._to_copy else not isinstance(into, SimTensor)
        if isinstance(source, SimTensor) and lands_on_host:
            _count("copy")
        elif not isinstance(source, SimTensor) and not lands_on_host:
            _count("upload")


# --- factories that reach neither the subclass nor the backend ---

_tensor_of_torch, _as_tensor_of_torch = torch.tensor, torch.as_tensor


def _is_sim(device: Any) -> bool:
    return device is not None and torch.device(device).type == NAME


def _tensor(data: Any, *, dtype: torch.dtype | None = None, device: Any = None, **options) -> Tensor:
    if isinstance(data, SimTensor):
        return data.detach().clone().to(device=device or PLACE, dtype=dtype or data.dtype)
    if not _is_sim(device):
        return _tensor_of_torch(data, dtype=dtype, device=device, **options)
    grad = options.pop("requires_grad", False)
    made = _tensor_of_torch(data, dtype=dtype, **options).to(device)
    return made.requires_grad_() if grad else made


def _without_lists(index: Any) -> Any:
    """An index whose lists are tensors on "sim", as CUDA makes them."""
    if isinstance(index, tuple):
        return tuple(_without_lists(part) for part in index)
    if not isinstance(index, list):
        return index
    return _tensor(index, dtype=None if index else torch.int64, device=PLACE)


def _as_tensor(data: Any, dtype: torch.dtype | None = None, device: Any = None) -> Tensor:
    if isinstance(data, SimTensor):
        return data.to(device=device or PLACE, dtype=dtype or data.dtype)
    found = _as_tensor_of_torch(data, dtype=dtype, device=None if _is_sim(device) else device)
    return found.to(device) if _is_sim(device) else found


@contextmanager
def patched_factories() -> Iterator[torch.device]:
    """`torch.tensor` and `torch.as_tensor` accept "sim" inside the block; yields the device."""
    register()
    # torch.compile looks functions up by name, once a process: before they are replaced
    from torch._dynamo import trace_rules

    trace_rules.get_torch_obj_rule_map()
    torch.tensor, torch.as_tensor = _tensor, _as_tensor
    try:
        yield torch.device(NAME)
    finally:
        torch.tensor, torch.as_tensor = _tensor_of_torch, _as_tensor_of_torch
