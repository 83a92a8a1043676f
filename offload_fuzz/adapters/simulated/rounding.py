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
NARROW = [d for d in DTYPES.values() if d.kind == "narrow floating"]


def _numbers(name: str) -> tuple[Array, float]:
    """The numbers from 0 on with the one that would follow the largest, and what stands for that one."""
    d = DTYPES[name]
    codes = np.arange(128, dtype=np.uint8).view(d.np).astype(FLOAT64)
    finite = codes[np.isfinite(codes)]
    return np.append(finite, 2 * finite[-1] - finite[-2]).astype(WIDEST), np.nan if d.finite else np.inf


#: Per 8-bit float dtype its numbers, and what comes beyond them.
NUMBERS: dict[np.dtype[Any], tuple[Array, float]] = {d.np: _numbers(d.name) for d in NARROW}
_FLOATS = [d.np for d in DTYPES.values() if d.precision]
#: Per float dtype the integer dtype of its bits, and in it the bits but for the sign, and infinity.
BITS: dict[np.dtype[Any], np.dtype[Any]] = {d: np.dtype(f"i{d.itemsize}") for d in _FLOATS}
MAGNITUDE: dict[np.dtype[Any], Any] = {d: BITS[d].type(2 ** (8 * d.itemsize - 1) - 1) for d in _FLOATS}
INFINITY: dict[np.dtype[Any], Any] = {d: np.array([np.inf], d).view(BITS[d])[0] for d in _FLOATS}


def rounded(x: Any, dtype: np.dtype[Any]) -> Any:
    """`x`, an array or scalar of any dtype, rounded once to float `dtype`."""
    if dtype in NUMBERS:
        return _looked_up(x, dtype)
    if dtype != BFLOAT16 or x.dtype.itemsize < 4:
        return x.astype(dtype, copy=False)
    if x.dtype.kind in "iu":
        x = _odd_float64(x)
    narrow = x.astype(FLOAT32, copy=False)
    if narrow is not x:
        narrow = _away_from_ties(narrow, x)
    return narrow.astype(BFLOAT16)


def _looked_up(x: Any, dtype: np.dtype[Any]) -> Array:
    """`x` rounded to an 8-bit float by looking for its neighbours among the numbers of that dtype.

    Half a step beyond the largest number overflows: to infinity, or to NaN in the format that has none (OCP "8-bit
    Floating Point Specification", 5.2, the non-saturating mode).
    """
    numbers, over = NUMBERS[dtype]
    wide = np.asarray(x).astype(WIDEST)
    size = np.abs(wide)
    above = np.minimum(np.searchsorted(numbers, size), len(numbers) - 1)
    below = np.maximum(above - 1, 0)
    middle = (numbers[above] + numbers[below]) / 2
    up = (size > middle) | ((size == middle) & (above % 2 == 0))  # a code is even where the last digit is
    near = np.where(up, above, below)
    finite = numbers[near].astype(FLOAT32)
    last = near == len(numbers) - 1
    finite = np.where(last, np.asarray(over, FLOAT32), finite)
    signed = np.where(np.signbit(wide), -finite, finite)
    return np.where(np.isnan(wide), wide.astype(FLOAT32), signed).astype(dtype)


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
