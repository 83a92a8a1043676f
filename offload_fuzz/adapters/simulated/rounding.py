"""Rounding to a float dtype once, to nearest even, from any dtype that is wider."""

from __future__ import annotations

from typing import Any

import numpy as np

from offload_fuzz.types import DTYPES, Array

BFLOAT16 = DTYPES["bfloat16"].np
FLOAT32 = np.dtype(np.float32)
FLOAT64 = np.dtype(np.float64)
#: Where the long double has 64 significand bits or more, float64 results are computed in it.
WIDEST = np.dtype(np.longdouble) if np.finfo(np.longdouble).nmant >= 63 else FLOAT64
_FLOATS = [d.np for d in DTYPES.values() if d.precision]
#: Per float dtype the integer dtype of its bits, and in it the bits but for the sign, and infinity.
BITS: dict[np.dtype[Any], np.dtype[Any]] = {d: np.dtype(f"i{d.itemsize}") for d in _FLOATS}
MAGNITUDE: dict[np.dtype[Any], Any] = {d: BITS[d].type(2 ** (8 * d.itemsize - 1) - 1) for d in _FLOATS}
INFINITY: dict[np.dtype[Any], Any] = {d: np.array([np.inf], d).view(BITS[d])[0] for d in _FLOATS}


def rounded(x: Any, dtype: np.dtype[Any]) -> Any:
    """`x`, an array or scalar of any dtype, rounded once to float `dtype`."""
    if dtype != BFLOAT16 or x.dtype.itemsize < 4:
        return x.astype(dtype, copy=False)
    if x.dtype.kind in "iu":
        x = _odd_float64(x)
    narrow = x.astype(FLOAT32, copy=False)
    if narrow is not x:
        narrow = _away_from_ties(narrow, x)
    return narrow.astype(BFLOAT16)


def _away_from_ties(narrow: Any, x: Any) -> Any:
    """float32 `narrow`, moved by one number where rounding `x` to it made a tie between two bfloat16 numbers."""
    ties = (narrow.view(np.uint32) & 0xFFFF) == 0x8000
    if not ties.any():
        return narrow
    size, old = np.abs(narrow.astype(x.dtype)), np.abs(x)
    toward = np.where(ties, np.sign(old - size), 0).astype(np.int32)  # a tie is finite, and so is x
    return np.asarray(narrow.view(np.int32) + toward).view(FLOAT32)


def _odd_float64(x: Any) -> Array:
    """Integers as float64, exactly or with the lowest bit set for what does not fit: enough for one more rounding."""
    wide = np.asarray(x).astype(np.int64 if x.dtype.kind == "i" else np.uint64)
    below = wide & type_of_bits(wide, 0xFFF)
    large = (wide >> type_of_bits(wide, 40)) != 0
    if wide.dtype.kind == "i":
        large &= (wide >> np.int64(40)) != -1
    kept = wide - below + (below != 0).astype(wide.dtype) * type_of_bits(wide, 0x800)
    return np.where(large, kept, wide).astype(FLOAT64)


def type_of_bits(like: Array, value: int) -> Any:
    """`value` in the dtype of `like`, as NumPy wants of both sides of a bit operation."""
    return like.dtype.type(value)
