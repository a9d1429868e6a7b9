"""Which chunks go through a step together, and how a step's message is laid out.

Chunks of equal sides, dtype, device and options form a bucket, whatever parameters they come from: a step costs two
matrix products each way, one top-k and W scatters a bucket.

Main definitions: `Bucket`, `Plan`, `FINE`, `NOT_FINITE`, `REFUSED`, `FAILED`,
`CHANGED`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from constructions.demo_optimizer.chunks import Chunks
from constructions.demo_optimizer.coding import Sent, decode, encode, working_dtype
from constructions.demo_optimizer.transforms import Basis, basis
from constructions.demo_optimizer.wire import HEAD, index_dtype

FINE, NOT_FINITE, REFUSED, FAILED, CHANGED = range(5)
"""The first byte of a message."""

Group = Mapping[str, Any]


@dataclass(frozen=True)
class Bucket:
    """Chunks (C, h, w) of the parameters numbered `members`, of one group; `k` coefficients of each chunk are sent."""

    members: tuple[int, ...]
    group: int
    cuts: tuple[Chunks, ...]
    basis: Basis
    k: int
    dtype: torch.dtype
    stored: torch.dtype
    sent_as: torch.dtype
    device: torch.device

    @property
    def counts(self) -> list[int]:
        """Chunks of each member."""
        return [cut.count for cut in self.cuts]

    @property
    def sides(self) -> tuple[int, int]:
        return self.cuts[0].height, self.cuts[0].width

    @property
    def coefficients(self) -> tuple[int, int]:
        """(C, k): what a worker sends of this bucket."""
        return sum(self.counts), self.k

    @property
    def index(self) -> torch.dtype:
        return index_dtype(self.cuts[0].size)

    def split(self, tensors: Sequence[Tensor | None]) -> Tensor:
        """(C, h, w) of all parameters' tensors, None for zeros."""
        pairs = zip(self.cuts, (tensors[i] for i in self.members), strict=True)
        return torch.cat([self._zeros(cut) if x is None else cut.split(x.to(self.dtype)) for cut, x in pairs])

    def _zeros(self, cut: Chunks) -> Tensor:
        return torch.zeros(cut.count, cut.height, cut.width, dtype=self.dtype, device=self.device)

    def finite(self, sent: Sent) -> Tensor:
        """(C,): whether what is sent of a chunk, and what stays as it will be stored, are numbers."""
        found = torch.isfinite(sent.values).all(dim=1)
        if self.stored == self.dtype:  # a residual is no larger than the momentum then
            return found
        return found & torch.isfinite(sent.residual.to(self.stored)).flatten(1).all(dim=1)

    def join(self, chunks: Tensor) -> dict[int, Tensor]:
        """Parameter number → its tensor."""
        parts = chunks.split(self.counts)
        return {i: cut.join(part) for i, cut, part in zip(self.members, self.cuts, parts, strict=True)}


@dataclass(frozen=True)
class Plan:
    """The buckets of a step over all parameters that are trained and not empty."""

    buckets: tuple[Bucket, ...]

    @classmethod
    def of(
        cls, parameters: Sequence[tuple[int, Tensor]], groups: Sequence[Group], wire_dtype: torch.dtype | None
    ) -> Plan:
        """A plan for parameters, each with the number of its group."""
        alike: dict[tuple, list[tuple[int, Chunks]]] = {}
        for i, (g, p) in enumerate(parameters):
            if p.requires_grad and p.numel():
                cut = Chunks.of(p.shape, groups[g]["chunk"])
                alike.setdefault((g, cut.height, cut.width, p.dtype, p.device), []).append((i, cut))
        buckets = []
        for (g, height, width, stored, device), entries in alike.items():
            group, dtype = groups[g], working_dtype(stored)
            turn = basis(group["transform"], height, width, seed=group["seed"], device=device, dtype=dtype)
            members, cuts = zip(*entries, strict=True)
            k, sent_as = min(group["topk"], height * width), wire_dtype or dtype
            buckets.append(Bucket(members, g, cuts, turn, k, dtype, stored, sent_as, device))
        return cls(tuple(buckets))

    @property
    def device(self) -> torch.device:
        """Where messages are."""
        return self.buckets[0].device if self.buckets else torch.device("cpu")

    @property
    def members(self) -> list[int]:
        """The parameters that take part."""
        return [i for bucket in self.buckets for i in bucket.members]

    @property
    def coefficients(self) -> int:
        return sum(count * k for count, k in (b.coefficients for b in self.buckets))

    @property
    def message_bytes(self) -> int:
        """The bytes of a message, its head among them."""
        parts = ((b.sent_as.itemsize + b.index.itemsize, *b.coefficients) for b in self.buckets)
        return HEAD + sum(item * count * k for item, count, k in parts)

    def encode(
        self, gradients: Sequence[Tensor | None], residuals: Sequence[Tensor | None], groups: Sequence[Group]
    ) -> list[Sent]:
        """What a worker with these gradients and residuals sends and keeps, bucket by bucket."""
        return [
            encode(
                bucket.split(gradients),
                bucket.split(residuals),
                bucket.basis,
                rate=_number(groups[bucket.group]["lr"]),
                decay=_number(groups[bucket.group]["decay"]),
                k=bucket.k,
                wire_dtype=bucket.sent_as,
            )
            for bucket in self.buckets
        ]

    def message(self, sent: Sequence[Sent], options: bytes) -> Tensor:
        """The bytes (message_bytes,) of a step, with a head that says whether all values are finite, and what stays."""
        body = [s.values.contiguous().view(torch.uint8).flatten() for s in sent]
        for s, bucket in zip(sent, self.buckets, strict=True):
            body.append(s.places.to(bucket.index).contiguous().view(torch.uint8).flatten())
        bad = [~bucket.finite(s) for s, bucket in zip(sent, self.buckets, strict=True)]
        if not body:
            return self.flagged(FINE, 0, options)
        message = torch.cat(
            [torch.zeros(HEAD, dtype=torch.uint8, device=self.device), *(b.to(self.device) for b in body)]
        )
        bad = torch.cat([b.to(self.device) for b in bad])
        return self._headed(message, bad.any().to(torch.uint8) * NOT_FINITE, bad.to(torch.uint8).argmax(), options)

    def flagged(self, kind: int, chunk: int, options: bytes) -> Tensor:
        """A message that says nothing but what went wrong, and at which chunk of all."""
        empty = torch.zeros(self.message_bytes, dtype=torch.uint8, device=self.device)
        flag = torch.tensor(kind, dtype=torch.uint8, device=self.device)
        return self._headed(empty, flag, torch.tensor(chunk, device=self.device), options)

    def _headed(self, message: Tensor, flag: Tensor, chunk: Tensor, options: bytes) -> Tensor:
        """`message` with its head; where the flag is up, its first values make room for the number of the chunk."""
        rest = torch.frombuffer(bytearray(options[: HEAD - 1]), dtype=torch.uint8).to(message.device)
        body = message[HEAD:]
        room = min(8, len(body))
        number = chunk.to(torch.int64).view(1).view(torch.uint8)[:room]
        first = torch.where(flag > 0, number, body[:room])
        return torch.cat([flag.view(1), rest, first, body[room:]])

    def read(self, messages: Sequence[Tensor]) -> list[tuple[list[Tensor], list[Tensor]]]:
        """Places and values (C, k) of every worker, bucket by bucket."""
        at = HEAD
        values = []
        for bucket in self.buckets:
            size = bucket.coefficients[0] * bucket.k * bucket.sent_as.itemsize
            values.append([_read(m[at : at + size], bucket.sent_as, bucket) for m in messages])
            at += size
        places = []
        for bucket in self.buckets:
            size = bucket.coefficients[0] * bucket.k * bucket.index.itemsize
            places.append([_read(m[at : at + size], bucket.index, bucket).long() for m in messages])
            at += size
        return list(zip(places, values, strict=True))

    def decode(self, messages: Sequence[Tensor], zero_tol: float | None) -> dict[int, Tensor]:
        """The signs of the step, parameter by parameter, from all workers' messages in their order."""
        signs: dict[int, Tensor] = {}
        for bucket, (places, values) in zip(self.buckets, self.read(messages), strict=True):
            moved = decode(places, values, bucket.basis, bucket.sides, dtype=bucket.dtype, zero_tol=zero_tol)
            signs.update(bucket.join(moved))
        return signs

    def residuals(self, sent: Sequence[Sent]) -> dict[int, Tensor]:
        """What a worker keeps, parameter by parameter."""
        kept: dict[int, Tensor] = {}
        for bucket, s in zip(self.buckets, sent, strict=True):
            kept.update(bucket.join(s.residual))
        return kept

    def member(self, chunk: int) -> int:
        """The parameter that a chunk, counted over all buckets, belongs to."""
        for bucket in self.buckets:
            for i, count in zip(bucket.members, bucket.counts, strict=True):
                if chunk < count:
                    return i
                chunk -= count
        raise ValueError(f"`chunk` must be one of the plan's, got {chunk} too many")

    def first_chunk(self, member: int) -> int:
        """The first chunk of a parameter, counted over all buckets."""
        before = 0
        for bucket in self.buckets:
            for i, count in zip(bucket.members, bucket.counts, strict=True):
                if i == member:
                    return before
                before += count
        raise ValueError(f"`member` must be a parameter of the plan, got {member}")


def _read(part: Tensor, dtype: torch.dtype, bucket: Bucket) -> Tensor:
    """(C, k) numbers from bytes; copied, because bytes may start anywhere."""
    return part.clone().view(dtype).view(bucket.coefficients).to(bucket.device)


def _number(value: float | Tensor) -> Tensor:
    """A rate as a tensor without dimensions: compiled code does not depend on it, and no result is promoted by it."""
    return value if isinstance(value, Tensor) else torch.tensor(value, dtype=torch.float64)


def options_digest(groups: Sequence[Group], step: int, zero_tol: float | None) -> bytes:
    """Seven bytes of what changes from step to step and must be the same on all workers."""
    said = [step, zero_tol, *((float(g["lr"]), float(g["decay"]), float(g["weight_decay"])) for g in groups)]
    return hashlib.blake2b(repr(said).encode(), digest_size=HEAD - 1).digest()
