"""What a message says, read byte by byte: of one parameter whose chunks all travel in one message.

Main definitions: `sent_entries`.
"""

from __future__ import annotations

import numpy as np
from scipy.fft import idctn

from theory.demo_optimizer.bounds import sides
from theory.demo_optimizer.checkers.slow import put_together

HEAD = 8


def sent_entries(
    message: np.ndarray, shape: tuple[int, ...], k: int, value_bytes: int, *, transform: str = "dct"
) -> np.ndarray:
    """The tensor that was sent: a head of 8 bytes, values (C, k), places (C, k); float32, float64, or bfloat16 for 2.

    ValueError when the bytes are more or fewer than that.
    """
    count, h, w = sides(shape)
    k = min(k, h * w)
    place = np.dtype(np.uint8 if h * w <= 256 else np.int16 if h * w <= 32768 else np.int32)
    size = count * k * value_bytes
    expected = HEAD + size + count * k * place.itemsize
    if message.dtype != np.uint8 or len(message) != expected:
        raise ValueError(f"`message` must be {expected} bytes, got {len(message)} of {message.dtype}")
    raw, rest = message[HEAD : HEAD + size].tobytes(), message[HEAD + size :].tobytes()
    if value_bytes == 2:  # bfloat16 is the upper half of a float32
        values = (np.frombuffer(raw, np.uint16).astype(np.uint32) << 16).view(np.float32).astype(np.float64)
    else:
        values = np.frombuffer(raw, np.float32 if value_bytes == 4 else np.float64).astype(np.float64)
    places = np.frombuffer(rest, place).astype(np.int64).reshape(count, k)
    chunks = []
    for at, entries in zip(places, values.reshape(count, k), strict=True):
        if len(set(at.tolist())) != k or at.min() < 0 or at.max() >= h * w:
            raise ValueError("`message` must name places of the chunk, each once")
        kept = np.zeros(h * w)
        kept[at] = entries
        kept = kept.reshape(h, w)
        chunks.append(kept if transform == "identity" else idctn(kept, type=2, norm="ortho"))
    return put_together(chunks, shape)
