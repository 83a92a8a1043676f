"""What several faults share: which ops are meant, and what becomes of an array."""

from __future__ import annotations

from typing import Any

import numpy as np

from offload_fuzz.adapters.simulated.memory import NEVER_WRITTEN
from offload_fuzz.types import Array

#: Ops that a real accelerator takes from a library of kernels.
LIBRARY = frozenset(
    {"sum", "prod", "mean", "max", "min", "argmax", "argmin", "matmul", "sort", "cumulative_sum", "take"}
)
#: NumPy's own float dtypes.
PLAIN_FLOATS = frozenset({"float16", "float32", "float64"})


def forward(array: Array) -> Array:
    """`array` with each axis of negative stride the other way round."""
    return array[tuple([slice(None, None, -1) if s < 0 and n > 1 else slice(None)
                        for s, n in zip(array.strides, array.shape, strict=True)])]  # fmt: skip  # one index


def flushed(array: Array) -> Array:
    """`array` with zeros for subnormal float32."""
    if array.dtype != np.float32:
        return array
    return np.where(np.abs(array) < np.finfo(np.float32).smallest_normal, np.float32(0), array)


def narrowed(array: Array, bits: int) -> Array:
    """float32 `array` without the lowest `bits` bits of its significands."""
    kept = np.asarray(array).view(np.uint32) & np.uint32(2**32 - 2**bits)
    return np.where(np.isfinite(array), kept.view(np.float32), array)


def unwritten_from(result: Any, size: int) -> Any:
    """`result` with the elements from number `size` on as memory is before anything is written."""
    if np.size(result) <= size:
        return result
    out = np.array(result, order="C")
    raw = out.reshape(-1)[size:].view(np.uint8)
    raw[...] = np.resize(np.array([NEVER_WRITTEN], np.uint16).view(np.uint8), raw.shape)
    return out
