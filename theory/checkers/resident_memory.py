"""How many bytes of tensors are really alive while a model works, measured below it and without its word.

Main definitions: `MemoryMeter`, `resident_bytes_le`.
Implementation notes: every tensor that an operation reads or makes is seen by a dispatch mode; its storage is counted
once, at the size it has then, until it is freed. Storages that only another thread touched are seen when the watched
thread uses them. On CUDA the allocator's own peak is read instead."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from constructions.errors import require_int
from theory.claim import Evidence, Status, Verdict


class MemoryMeter(TorchDispatchMode):
    """Context manager: `peak` is the most bytes of storages on `device` alive at once, those in `ignored` left out."""

    def __init__(self, ignored: Iterable[Tensor] = (), *, device: torch.device | None = None):
        super().__init__()
        self._kind = "cpu" if device is None else device.type
        self.alive, self.peak = 0, 0
        self._lock = threading.Lock()
        self._seen: dict[int, tuple[weakref.ref, int]] = {}
        self._ignored = [t.untyped_storage() for t in ignored]  # kept, so that their addresses stay theirs
        self._ignored_at = {_address(s) for s in self._ignored}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for value in tree_flatten((args, kwargs, result))[0]:
            if isinstance(value, Tensor):
                self.watch(value)
        return result

    def watch(self, tensor: Tensor) -> None:
        """Count a tensor's storage from now until it is freed."""
        if tensor.device.type != self._kind:
            return
        storage = tensor.untyped_storage()
        size, key = storage.nbytes(), storage._cdata
        if not size or _address(storage) in self._ignored_at:
            return
        with self._lock:
            reference, before = self._seen.get(key, (None, 0))
            if reference is None:
                reference = weakref.ref(storage, lambda _: self._freed(key))
            self._seen[key] = reference, size  # `resize_` and `out=` change the size of a storage seen before
            self.alive += size - before
            self.peak = max(self.peak, self.alive)

    def _freed(self, key: int) -> None:
        _, size = self._seen.pop(key, (None, 0))
        self.alive -= size


def _address(storage: torch.UntypedStorage) -> int:
    """Where the bytes lie; of a wrapper subclass, which cannot say, the storage itself."""
    try:
        return storage.data_ptr()
    except RuntimeError:
        return storage._cdata


def peak_resident_bytes(
    work: Callable[[], Iterator[Tensor]], *, device: torch.device, ignored: Iterable[Tensor] = ()
) -> tuple[list[Tensor], int]:
    """(the tensors that `work` yields, the most bytes alive meanwhile beside them and `ignored`).

    What `work` yields is moved away at once: a result is not counted as resident after it was handed over.
    """
    if device.type == "cuda":
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        moved = [part.cpu() for part in work()]
        return moved, torch.cuda.max_memory_allocated(device) - before
    with MemoryMeter(ignored, device=device) as meter:
        arrays = [part.cpu().numpy().copy() for part in work()]
    return [torch.from_numpy(a) for a in arrays], meter.peak


def resident_bytes_le(peak: int, budget_bytes: int, whole_bytes: int) -> Verdict:
    """NOT REFUTED when a measured peak stayed within the budget; the numbers say how many times larger the model is."""
    require_int("peak", peak, 0)
    require_int("budget_bytes", budget_bytes, 1)
    require_int("whole_bytes", whole_bytes, 0)
    numbers = {"peak_bytes": peak, "whole_bytes": whole_bytes, "times_larger": whole_bytes / budget_bytes}
    bounds = {"budget_bytes": budget_bytes}
    reason = f"peak {peak} of {budget_bytes} bytes, the model has {whole_bytes}"
    if peak > budget_bytes:
        return Verdict(Status.REFUTED, Evidence.SAMPLED, reason, numbers, bounds, witness=reason)
    return Verdict(Status.NOT_REFUTED, Evidence.SAMPLED, reason, numbers, bounds)
