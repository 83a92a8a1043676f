"""The set of results that a lawful device may return, per element, and the set arithmetic on it.

An `Enclosure` is, per element, up to two closed intervals in the value's own dtype plus three flags (any NaN, -inf,
+inf). Order is that of the bits read as sign and magnitude, so -0 < +0 and NaN payloads count: an element that must
keep its NaN payload is the interval of one bit pattern, one that may be any NaN is an empty interval with the flag.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from attrs import frozen

from offload_fuzz.types import DTYPES, Array, ArrayType

_INTS = {1: np.int8, 2: np.int16, 4: np.int32, 8: np.int64}


def is_float(dtype: np.dtype[Any]) -> bool:
    """Whether a NumPy dtype of the table is a float (NumPy files bfloat16 under kind V)."""
    return dtype.kind in "fV"


def ordinal(array: Array) -> Array:
    """Signed integers in the order of the elements: for floats of the bits, with -0 directly below +0."""
    dtype = array.dtype
    if is_float(dtype):
        bits = _INTS[dtype.itemsize]
        key = np.ascontiguousarray(array).reshape(array.shape).view(bits)
        return key ^ ((key >> (8 * dtype.itemsize - 1)) & np.iinfo(bits).max)
    if dtype == np.uint64:
        return array.view(np.int64) ^ np.int64(-(2**63))
    return array


def from_ordinal(key: Array, dtype: np.dtype[Any]) -> Array:
    """The inverse of `ordinal` for float dtypes."""
    bits = _INTS[dtype.itemsize]
    key = key.astype(bits, copy=False)
    return (key ^ ((key >> (8 * dtype.itemsize - 1)) & np.iinfo(bits).max)).view(dtype)


def step(array: Array, n: int) -> Array:
    """`array` moved by `n` representable numbers (floats), staying between -inf and +inf."""
    top = int(ordinal(np.asarray([np.inf], array.dtype))[0])
    key = ordinal(array).astype(np.int64)
    return from_ordinal(np.clip(key + n, ~top, top), array.dtype)


def smallest(*arrays: Array) -> Array:
    """The element-wise smallest by `ordinal`, which tells -0 from +0."""
    return _select(np.less, arrays)


def largest(*arrays: Array) -> Array:
    """The element-wise largest by `ordinal`."""
    return _select(np.greater, arrays)


def _select(better: Any, arrays: tuple[Array, ...]) -> Array:
    best = arrays[0]
    for other in arrays[1:]:
        best = np.where(better(ordinal(other), ordinal(best)), other, best)
    return best


@frozen(eq=False, slots=True)
class Bounds:
    """An enclosure as one interval per element (the hull), for set arithmetic.

    lo, hi: ends, never NaN. nan: whether NaN may occur. empty: where nothing but NaN may occur.
    """

    lo: Array
    hi: Array
    nan: Array
    empty: Array


@frozen(eq=False, slots=True)
class Enclosure:
    """Per element the results that are allowed; all arrays have the value's shape, `lo` and `hi` its dtype.

    lo, hi: a closed interval, empty where lo > hi. `hi is lo` and no other field set: a singleton.
    lo2, hi2: a second interval. nan, ninf, pinf: where any NaN, -inf, +inf are allowed beyond the intervals.
    """

    lo: Array
    hi: Array
    lo2: Array | None = None
    hi2: Array | None = None
    nan: Array | None = None
    ninf: Array | None = None
    pinf: Array | None = None

    @property
    def is_singleton(self) -> bool:
        """Whether every element is one bit pattern, so that bytes can be compared."""
        return self.hi is self.lo and self.lo2 is None and self.nan is None and self.ninf is None and self.pinf is None

    @property
    def is_certain(self) -> bool:
        """Whether every element is one number, where any NaN counts as one."""
        if self.lo2 is not None or self.ninf is not None or self.pinf is not None:
            return False
        if self.hi is self.lo:
            return self.nan is None
        lo, hi = ordinal(self.lo), ordinal(self.hi)
        if self.nan is None:
            return bool((lo == hi).all())
        return bool(np.where(self.nan, lo > hi, lo == hi).all())

    @property
    def is_vacuous(self) -> bool:
        """Whether some element may be any number at all, so that nothing is tested there."""
        if self.hi is self.lo or self.lo.size == 0:
            return False
        if is_float(self.lo.dtype):
            return bool((np.isneginf(self.lo) & np.isposinf(self.hi)).any())
        if self.lo.dtype.kind == "b":
            return bool((~self.lo & self.hi).any())
        info = np.iinfo(self.lo.dtype)
        return bool(((self.lo == info.min) & (self.hi == info.max)).any())

    def contains(self, array: Array) -> Array:
        """Per element whether the value of `array` (same dtype and shape) is allowed."""
        key = ordinal(array)
        ok = (key >= ordinal(self.lo)) & (key <= ordinal(self.hi))
        if self.lo2 is not None and self.hi2 is not None:
            ok |= (key >= ordinal(self.lo2)) & (key <= ordinal(self.hi2))
        if self.nan is not None:
            ok |= self.nan & np.isnan(array)
        if self.ninf is not None:
            ok |= self.ninf & np.isneginf(array)
        if self.pinf is not None:
            ok |= self.pinf & np.isposinf(array)
        return ok

    def move(self, rearrange: Callable[[Array], Array]) -> Enclosure:
        """The enclosure of a pure data movement, applied to every part."""
        lo = rearrange(self.lo)
        if self.is_singleton:
            return Enclosure(lo, lo)
        parts = (self.lo2, self.hi2, self.nan, self.ninf, self.pinf)
        return Enclosure(lo, rearrange(self.hi), *(None if p is None else rearrange(p) for p in parts))

    def bounds(self) -> Bounds:
        """The hull as one interval per element, with NaN split off."""
        lo, hi = self.lo, self.hi
        if self.lo2 is not None and self.hi2 is not None:
            absent = ordinal(lo) > ordinal(hi)
            lo = np.where(absent, self.lo2, smallest(lo, self.lo2))
            hi = np.where(absent, self.hi2, largest(hi, self.hi2))
        if self.ninf is not None:
            lo = np.where(self.ninf, np.asarray(-np.inf, lo.dtype), lo)
        if self.pinf is not None:
            hi = np.where(self.pinf, np.asarray(np.inf, hi.dtype), hi)
        if not is_float(lo.dtype):
            none = np.zeros(lo.shape, np.bool_)
            return Bounds(lo, hi, none, none)
        isnan = np.isnan(lo)  # only a payload that is kept: both ends carry it
        nan = isnan if self.nan is None else isnan | self.nan
        empty = isnan | (ordinal(lo) > ordinal(hi))
        return Bounds(np.where(empty, 0, lo).astype(lo.dtype), np.where(empty, 0, hi).astype(lo.dtype), nan, empty)


def exact(array: Array) -> Enclosure:
    """Only the bits of `array`, NaN payloads included."""
    return Enclosure(array, array)


def computed(array: Array) -> Enclosure:
    """Only `array`, where a NaN may be any NaN, as arithmetic leaves its payload open (IEEE 754-2019, 6.2.3)."""
    if is_float(array.dtype):
        nan = np.isnan(array)
        if nan.any():
            return between(array, array, nan, nan)
    return Enclosure(array, array)


def between(lo: Array, hi: Array, nan: Array | None = None, empty: Array | None = None) -> Enclosure:
    """Every number from `lo` to `hi`; nothing where `empty`; any NaN too where `nan`."""
    if empty is not None and empty.any():
        lo = np.where(empty, np.asarray(np.inf, lo.dtype), lo)
        hi = np.where(empty, np.asarray(-np.inf, hi.dtype), hi)
    if nan is not None and not nan.any():
        nan = None
    return Enclosure(lo, hi, nan=nan)


def whole(type: ArrayType) -> Enclosure:
    """Any value of the type at all: a vacuous enclosure."""
    d = DTYPES[type.dtype]
    if d.precision:
        full = np.full(type.shape, np.inf, d.np)
        return Enclosure(-full, full, nan=np.ones(type.shape, np.bool_))
    if d.kind == "bool":
        return Enclosure(np.zeros(type.shape, d.np), np.ones(type.shape, d.np))
    info = np.iinfo(d.np)
    return Enclosure(np.full(type.shape, info.min, d.np), np.full(type.shape, info.max, d.np))


def either_zero(enclosure: Enclosure) -> Enclosure:
    """`enclosure`, where an end that is a zero takes the other sign in as well."""
    lo, hi = enclosure.lo, enclosure.hi
    zero_lo, zero_hi = lo == 0, hi == 0
    if not (zero_lo.any() or zero_hi.any()):
        return enclosure
    wide_lo = np.where(zero_lo & ~np.signbit(lo), -lo, lo)
    wide_hi = np.where(zero_hi & np.signbit(hi), -hi, hi)
    return Enclosure(wide_lo, wide_hi, enclosure.lo2, enclosure.hi2, enclosure.nan, enclosure.ninf, enclosure.pinf)


def hull(a: Enclosure, b: Enclosure) -> Enclosure:
    """The smallest interval per element that holds both."""
    x, y = a.bounds(), b.bounds()
    lo = np.where(x.empty, y.lo, np.where(y.empty, x.lo, smallest(x.lo, y.lo)))
    hi = np.where(x.empty, y.hi, np.where(y.empty, x.hi, largest(x.hi, y.hi)))
    return between(lo, hi, x.nan | y.nan, x.empty & y.empty)
