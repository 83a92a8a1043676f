"""The set of results that a lawful device may return, per element, and the set arithmetic on it.

An `Enclosure` is, per element, up to two closed intervals in the value's own dtype plus three flags (any NaN, -inf,
+inf). Order is that of the bits read as sign and magnitude, so -0 < +0 and NaN payloads count: an element that must
keep its NaN payload is the interval of one bit pattern, one that may be any NaN is an empty interval with the flag.

A complex enclosure is a rectangle: `lo` and `hi` are the corners, each flag holds two bits (1: the real part, 2: the
imaginary part). `parts` turns it into the enclosure of its components, with a last axis of 2, and `joined` back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from attrs import frozen

from offload_fuzz.types import DTYPES, NAMES, Array, ArrayType

_INTS: dict[int, Any] = {1: np.int8, 2: np.int16, 4: np.int32, 8: np.int64}
_FLOATS = frozenset(d.np for d in DTYPES.values() if d.precision)
_FINITE = frozenset(d.np for d in DTYPES.values() if d.finite)
_NIBBLES = frozenset(d.np for d in DTYPES.values() if d.bits < 8)
_MAGNITUDE = {size: bits(np.iinfo(bits).max) for size, bits in _INTS.items()}  # all bits but that of the sign


def is_float(dtype: np.dtype[Any]) -> bool:
    """Whether a NumPy dtype is a real float (NumPy files those of ml_dtypes under kind V)."""
    return dtype.kind == "f" or dtype in _FLOATS


def components(array: Array) -> Array:
    """A complex array as a real one with a last axis of 2: real and imaginary parts."""
    flat = np.ascontiguousarray(array)
    return flat.view(flat.real.dtype).reshape(*np.shape(array), 2)


def some(mask: Any) -> bool:
    """Whether any element is true: `mask.any()` in a quarter of the time."""
    return bool(np.count_nonzero(mask))


def extremes(dtype: np.dtype[Any]) -> tuple[Array, Array]:
    """The smallest and the largest element of a dtype: the infinities where it has them; the corners if complex."""
    if dtype.kind == "c":
        return np.asarray(complex(-np.inf, -np.inf), dtype), np.asarray(complex(np.inf, np.inf), dtype)
    if is_float(dtype):
        top = DTYPES[NAMES[dtype]].max if dtype in _FINITE else np.inf
        return np.asarray(-top, dtype), np.asarray(top, dtype)
    if dtype.kind == "b":
        return np.asarray(False), np.asarray(True)
    bottom, top = DTYPES[NAMES[dtype]].range
    return np.asarray(bottom, dtype), np.asarray(top, dtype)


def ordinal(array: Array) -> Array:
    """Integers in the order of the elements: for floats of the bits, with -0 directly below +0; for bools the byte.

    A complex array gives those of its components, in a last axis of 2.
    """
    array = np.asarray(array)  # a scalar, if arithmetic made it from an array without axes
    dtype = array.dtype
    if is_float(dtype):
        bits = _INTS[dtype.itemsize]
        key = array.view(bits)
        return np.asarray(key ^ ((key >> (8 * dtype.itemsize - 1)) & _MAGNITUDE[dtype.itemsize]))
    if dtype == np.uint64:
        return np.asarray(array.view(np.int64) ^ np.int64(-(2**63)))
    if dtype.kind == "c":
        return ordinal(components(array))
    if dtype in _NIBBLES:
        return array.astype(np.int8)
    return array.view(np.uint8) if dtype.kind == "b" else array


def from_ordinal(key: Array, dtype: np.dtype[Any]) -> Array:
    """The inverse of `ordinal` for float dtypes."""
    bits = _INTS[dtype.itemsize]
    key = np.asarray(key).astype(bits, copy=False)
    return np.asarray(key ^ ((key >> (8 * dtype.itemsize - 1)) & _MAGNITUDE[dtype.itemsize])).view(dtype)


def step(array: Array, n: int) -> Array:
    """`array` (no NaN) moved by `n` representable numbers, -0 and +0 being two, staying between -inf and +inf."""
    top = int(ordinal(np.asarray(np.inf, array.dtype)))
    key = ordinal(array).astype(np.int64) + n
    return from_ordinal(np.minimum(np.maximum(key, ~top), top), array.dtype)


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
    return np.asarray(best)


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
        """Whether every element is one number, where -0 and +0 are one and any NaN counts as one."""
        if self.is_singleton:
            return True
        b = (parts(self) if self.lo.dtype.kind == "c" else self).bounds()
        return not some(~b.empty & (b.nan | (b.lo != b.hi)))

    @property
    def is_vacuous(self) -> bool:
        """Whether some element may be any number at all (or any bool), so that nothing is tested there."""
        if self.hi is self.lo:
            return False
        if self.lo.dtype.kind == "c":
            return parts(self).is_vacuous
        bottom, top = extremes(self.lo.dtype)
        if is_float(self.lo.dtype) and self.lo.dtype not in _FINITE:
            bottom, top = np.nextafter(bottom, top), np.nextafter(top, bottom)
        return some((self.lo <= bottom) & (self.hi >= top))

    def contains(self, array: Array) -> Array:
        """Per element whether the value of `array` (same dtype and shape) is allowed."""
        if self.lo.dtype.kind == "c":
            return np.asarray(np.all(parts(self).contains(components(array)), axis=-1))
        key = ordinal(array)
        ok = (key >= ordinal(self.lo)) & (key <= ordinal(self.hi))
        if self.lo2 is not None and self.hi2 is not None:
            ok = ok | (key >= ordinal(self.lo2)) & (key <= ordinal(self.hi2))
        if self.nan is not None:
            ok = ok | self.nan & np.isnan(array)
        if self.ninf is not None:
            ok = ok | self.ninf & (array == extremes(array.dtype)[0])
        if self.pinf is not None:
            ok = ok | self.pinf & (array == extremes(array.dtype)[1])
        return np.asarray(ok)

    def move(self, rearrange: Callable[[Array], Any]) -> Enclosure:
        """The enclosure of a pure data movement, applied to every part."""
        return combine(rearrange, self)

    def bounds(self) -> Bounds:
        """The hull as one interval per element, with NaN split off."""
        lo, hi = self.lo, self.hi
        if self.lo2 is not None and self.hi2 is not None:
            absent, absent2 = ordinal(lo) > ordinal(hi), ordinal(self.lo2) > ordinal(self.hi2)
            lo, hi = (
                np.where(absent, self.lo2, np.where(absent2, lo, smallest(lo, self.lo2))),
                np.where(absent, self.hi2, np.where(absent2, hi, largest(hi, self.hi2))),
            )
        if not is_float(lo.dtype):
            none = np.zeros(lo.shape, np.bool_)
            return Bounds(lo, hi, none, none)
        if self.ninf is not None or self.pinf is not None:
            bottom, top = extremes(lo.dtype)
            ninf, pinf = (np.asarray(False) if flag is None else flag for flag in (self.ninf, self.pinf))
            absent = ordinal(lo) > ordinal(hi)
            lo, hi = (
                np.where(ninf, bottom, np.where(pinf & absent, top, lo)),
                np.where(pinf, top, np.where(ninf & absent, bottom, hi)),
            )
        isnan = np.isnan(lo)  # only a payload that is kept: both ends carry it
        nan = isnan if self.nan is None else isnan | self.nan
        empty = isnan if lo is hi else isnan | (ordinal(lo) > ordinal(hi))
        if not some(empty):
            return Bounds(lo, hi, np.asarray(nan), np.asarray(empty))
        zero = np.zeros((), lo.dtype)
        return Bounds(np.where(empty, zero, lo), np.where(empty, zero, hi), np.asarray(nan), np.asarray(empty))


def combine(function: Callable[..., Any], *enclosures: Enclosure) -> Enclosure:
    """A movement or selection applied to each part of `enclosures`, a missing part standing for nothing."""
    lo = np.asarray(function(*[e.lo for e in enclosures]))
    if all(e.is_singleton for e in enclosures):
        return Enclosure(lo, lo)

    def part(name: str, absent: Callable[[np.dtype[Any]], Any]) -> Array | None:
        parts = [getattr(e, name) for e in enclosures]
        if all(p is None for p in parts):
            return None
        pairs = zip(parts, enclosures, strict=True)
        filled = [np.full(e.lo.shape, absent(e.lo.dtype)) if p is None else np.asarray(p) for p, e in pairs]
        return np.asarray(function(*filled))

    def unset(dtype: np.dtype[Any]) -> Any:
        return np.uint8(0) if dtype.kind == "c" else False

    return Enclosure(
        lo,
        np.asarray(function(*[e.hi for e in enclosures])),
        part("lo2", lambda dtype: extremes(dtype)[1]),  # an absent second interval is empty: lo2 > hi2
        part("hi2", lambda dtype: extremes(dtype)[0]),
        part("nan", unset),
        part("ninf", unset),
        part("pinf", unset),
    )


# --------------------------------------------------------------------------------------------------------- rectangles
def parts(e: Enclosure) -> Enclosure:
    """The enclosure of the components of a complex one, with a last axis of 2."""
    lo = components(e.lo)
    if e.is_singleton:
        return Enclosure(lo, lo)

    def ends(x: Array | None) -> Array | None:
        return None if x is None else components(x)

    def flags(x: Array | None) -> Array | None:
        return None if x is None else np.stack([(x & 1) != 0, (x & 2) != 0], axis=-1)

    return Enclosure(
        lo, components(e.hi), ends(e.lo2), ends(e.hi2), flags(e.nan), flags(e.ninf), flags(e.pinf)
    )  # fmt: skip  # in the order of the fields


def joined(e: Enclosure) -> Enclosure:
    """The inverse of `parts`."""

    def corner(x: Array) -> Array:
        flat = np.ascontiguousarray(x)
        return flat.view(f"c{2 * x.dtype.itemsize}").reshape(x.shape[:-1])

    def corners(x: Array | None) -> Array | None:
        return None if x is None else corner(x)

    def flags(x: Array | None) -> Array | None:
        return None if x is None else np.asarray(x[..., 0] + np.uint8(2) * x[..., 1], np.uint8)

    lo = corner(e.lo)
    hi = lo if e.hi is e.lo else corner(e.hi)
    return Enclosure(lo, hi, corners(e.lo2), corners(e.hi2), flags(e.nan), flags(e.ninf), flags(e.pinf))


# ------------------------------------------------------------------------------------------------------ constructors
def exact(array: Array) -> Enclosure:
    """Only the bits of `array`, NaN payloads included."""
    return Enclosure(array, array)


def computed(array: Array) -> Enclosure:
    """Only `array`, where a NaN may be any NaN, as arithmetic leaves its payload open (IEEE 754-2019, 6.2.3)."""
    if array.dtype.kind == "c":
        return joined(computed(components(array))) if some(np.isnan(array)) else Enclosure(array, array)
    if is_float(array.dtype):
        nan = np.isnan(array)
        if np.count_nonzero(nan):
            return between(array, array, np.asarray(nan), np.asarray(nan))
    return Enclosure(array, array)


def between(lo: Array, hi: Array, nan: Array | None = None, empty: Array | None = None) -> Enclosure:
    """Every number from `lo` to `hi`; nothing where `empty`; any NaN too where `nan`."""
    if empty is not None and some(empty):
        bottom, top = extremes(lo.dtype)
        lo, hi = np.where(empty, top, lo), np.where(empty, bottom, hi)
    if nan is None or not some(nan):
        return Enclosure(np.asarray(lo), np.asarray(hi))
    return Enclosure(np.asarray(lo), np.asarray(hi), nan=np.asarray(nan))


def whole(type: ArrayType) -> Enclosure:
    """Any value of the type at all: a vacuous enclosure."""
    if type.np.kind == "c":
        component = DTYPES[type.dtype].component
        return joined(whole(ArrayType(component, (*type.shape, 2))))
    lo, hi = (np.full(type.shape, end) for end in extremes(type.np))
    return Enclosure(lo, hi, nan=np.ones(type.shape, np.bool_) if is_float(type.np) else None)


def either_zero(enclosure: Enclosure) -> Enclosure:
    """`enclosure`, where an end that is a zero takes the other sign in as well."""
    e = enclosure
    if e.lo.dtype.kind == "c":
        return joined(either_zero(parts(e)))
    if e.hi is e.lo and e.lo2 is None:
        zero = e.lo == 0
        if not some(zero):
            return e
        minus, plus = np.asarray(-0.0, e.lo.dtype), np.asarray(0.0, e.lo.dtype)
        lo, hi = np.where(zero, minus, e.lo), np.where(zero, plus, e.lo)
        return Enclosure(lo, hi, None, None, e.nan, e.ninf, e.pinf)
    if e.lo2 is None and not (some(e.lo == 0) or some(e.hi == 0)):
        return e
    lo, hi = _zeros_in(e.lo, e.hi)
    if e.lo2 is None or e.hi2 is None:
        return Enclosure(lo, hi, None, None, e.nan, e.ninf, e.pinf)
    return Enclosure(lo, hi, *_zeros_in(e.lo2, e.hi2), e.nan, e.ninf, e.pinf)


def _zeros_in(lo: Array, hi: Array) -> tuple[Array, Array]:
    minus, plus = np.asarray(-0.0, lo.dtype), np.asarray(0.0, lo.dtype)
    absent = ordinal(lo) > ordinal(hi)
    return np.where((lo == 0) & ~absent, minus, lo), np.where((hi == 0) & ~absent, plus, hi)


def hull(a: Enclosure, b: Enclosure) -> Enclosure:
    """The smallest interval per element that holds both; of complex ones the smallest rectangle."""
    if a.lo.dtype.kind == "c":
        return joined(hull(parts(a), parts(b)))
    x, y = a.bounds(), b.bounds()
    lo = np.where(x.empty, y.lo, np.where(y.empty, x.lo, smallest(x.lo, y.lo)))
    hi = np.where(x.empty, y.hi, np.where(y.empty, x.hi, largest(x.hi, y.hi)))
    return between(lo, hi, x.nan | y.nan, x.empty & y.empty)
