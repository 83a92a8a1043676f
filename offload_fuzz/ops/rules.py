"""Enclosure rules per accuracy class, and the set arithmetic for operands that are not certain.

Every rule takes an `Application` and returns the reference's value and the enclosure; the enclosure is None (unknown)
where a row has no rule for uncertain operands. `wide` is float64 for narrower dtypes and the long double for float64.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from offload_fuzz.enclosure import (
    Bounds,
    Enclosure,
    between,
    computed,
    either_zero,
    exact,
    largest,
    smallest,
    step,
    whole,
)
from offload_fuzz.ops.base import Application
from offload_fuzz.types import DTYPES, NAMES, Array, is_floating

LONG = np.dtype(np.longdouble)
LONG_DIGITS = int(np.finfo(LONG).nmant) + 1
#: Where the long double is no wider than float64, the host's own bound for its libm is added to every figure:
#: NumPy's accuracy tests admit 4 ulps (numpy/_core/tests/test_umath_accuracy.py).
HOST_ULPS = 0 if LONG_DIGITS >= 64 else 4
Value = tuple[Array, Enclosure | None]


def wide(array: Array, dtype: str) -> Array:
    """Float operands widened: float64 for narrower dtypes, the long double for float64; other dtypes as they are."""
    if not is_floating(dtype):
        return array
    return array.astype(LONG if dtype == "float64" else np.float64)


def slack(dtype: str) -> float:
    """A relative bound, with room to spare, on the error of one wide libm call."""
    return 2.0**-48 if dtype != "float64" or LONG_DIGITS < 64 else 2.0**-60


def ulp(x: Array, dtype: str) -> Array:
    """The unit in the last place of `dtype` at wide `x`: 2**(max(e, emin) - p + 1) for 2**e <= |x| < 2**(e+1)."""
    d = DTYPES[dtype]
    exponent = np.where(x == 0, d.emin, np.clip(np.frexp(x)[1] - 1, d.emin, d.emax))
    return np.ldexp(np.asarray(1.0, x.dtype), exponent - d.precision + 1)


def outward(lo: Array, hi: Array, dtype: str) -> tuple[Array, Array]:
    """Wide ends as ends in `dtype`, rounded down and up."""
    np_dtype = DTYPES[dtype].np
    narrow_lo, narrow_hi = lo.astype(np_dtype), hi.astype(np_dtype)
    return (
        np.where(narrow_lo.astype(lo.dtype) > lo, step(narrow_lo, -1), narrow_lo),
        np.where(narrow_hi.astype(hi.dtype) < hi, step(narrow_hi, 1), narrow_hi),
    )


def certain(a: Application) -> bool:
    """Whether every operand is known to the number."""
    return all(e.is_certain for e in a.operands)


def reference(a: Application) -> Array:
    """The NumPy meaning on the reference's own values, in the dtype of the result."""
    return np.asarray(a.op.numpy(*a.values, **a.attributes)).astype(a.type.np, copy=False)


# --------------------------------------------------------------------------------------------------- exact, rounded
def exact_rule(a: Application) -> Value:
    """Bits, integers, comparison, movement: one result for certain operands; monotone ends for the rest."""
    value = reference(a)
    if a.op.moves:
        return value, _moved(a, value)
    if all(e.is_singleton for e in a.operands):
        return value, _zero_signs(a, computed(value))
    if a.op.monotone and "other" not in a.op.monotone:
        return value, _zero_signs(a, monotone_ends(a, a.op.numpy))
    if certain(a) and not any(is_floating(NAMES[e.lo.dtype]) for e in a.operands):
        return value, computed(value)
    return value, None


def _zero_signs(a: Application, enclosure: Enclosure) -> Enclosure:
    if a.op.name in a.contract.either_zero and is_floating(a.type.dtype):
        return either_zero(enclosure)
    return enclosure


def _moved(a: Application, value: Array) -> Enclosure:
    if all(e.is_singleton for e in a.operands):
        return exact(value)
    numpy = partial(a.op.numpy, **a.attributes)
    if len(a.operands) == 1:
        return a.operands[0].move(numpy)

    def part(name: str, absent: Any) -> Array | None:
        parts = [getattr(e, name) for e in a.operands]
        if all(p is None for p in parts):
            return None
        filled = [np.full(e.lo.shape, absent(e)) if p is None else p for p, e in zip(parts, a.operands, strict=True)]
        return np.asarray(numpy(*filled))

    no = lambda e: False  # noqa: E731  # a flag that is not set, as a constant function
    top = lambda e: _top(e.lo.dtype)  # noqa: E731  # an absent second interval is empty: lo2 = top, hi2 = bottom
    bottom = lambda e: _bottom(e.lo.dtype)  # noqa: E731
    return Enclosure(
        np.asarray(numpy(*(e.lo for e in a.operands))),
        np.asarray(numpy(*(e.hi for e in a.operands))),
        part("lo2", top),
        part("hi2", bottom),
        part("nan", no),
        part("ninf", no),
        part("pinf", no),
    )


def _top(dtype: np.dtype[Any]) -> Any:
    return np.asarray(np.inf if dtype.kind in "fV" else np.iinfo(dtype).max, dtype)


def _bottom(dtype: np.dtype[Any]) -> Any:
    return np.asarray(-np.inf if dtype.kind in "fV" else np.iinfo(dtype).min, dtype)


def monotone_ends(a: Application, function: Callable[..., Any]) -> Enclosure:
    """Ends mapped by a function that is increasing or decreasing in each operand."""
    bounds = [e.bounds() for e in a.operands]
    los = [b.lo if m == "increasing" else b.hi for b, m in zip(bounds, a.op.monotone, strict=True)]
    his = [b.hi if m == "increasing" else b.lo for b, m in zip(bounds, a.op.monotone, strict=True)]
    lo = np.asarray(function(*los, **a.attributes)).astype(a.type.np, copy=False)
    hi = np.asarray(function(*his, **a.attributes)).astype(a.type.np, copy=False)
    nan, empty = joined_flags(a, bounds)
    if not is_floating(a.type.dtype):
        return between(lo, hi)
    return _ends(lo, hi, nan, empty)


def _ends(lo: Array, hi: Array, nan: Array, empty: Array) -> Enclosure:
    """Computed ends: an end that came out as NaN admits NaN and opens the interval to that side."""
    bad_lo, bad_hi = np.isnan(lo), np.isnan(hi)
    if bad_lo.any() or bad_hi.any():
        lo = np.where(bad_lo, np.asarray(-np.inf, lo.dtype), lo)
        hi = np.where(bad_hi, np.asarray(np.inf, hi.dtype), hi)
        nan = nan | bad_lo | bad_hi
    return between(lo, hi, nan, empty)


def joined_flags(a: Application, bounds: list[Bounds]) -> tuple[Array, Array]:
    """Where some operand may be NaN, and where some operand must be, in the shape of the result."""
    nan = np.zeros(a.type.shape, np.bool_)
    empty = np.zeros(a.type.shape, np.bool_)
    for b in bounds:
        if b.nan.any():
            nan = nan | b.nan
            empty = empty | b.empty
    return nan, empty


def rounded_rule(a: Application) -> Value:
    """Correctly rounded: NumPy's result in the dtype; ends of the operands' sets for the rest (rounding is monotone)."""
    value = reference(a)
    if all(e.is_singleton for e in a.operands):
        return value, _zero_signs(a, computed(value))
    if is_floating(a.type.dtype):
        if "other" not in a.op.monotone:
            return value, _zero_signs(a, infinite_difference(a, monotone_ends(a, a.op.numpy)))
        return value, CORNERS[a.op.name](a)
    return value, computed(value) if certain(a) else None


def infinite_difference(a: Application, e: Enclosure) -> Enclosure:
    """add and subtract: NaN where infinities may meet."""
    if len(a.operands) != 2:
        return e
    x, y = (o.bounds() for o in a.operands)
    sign = 1 if a.op.monotone[1] == "increasing" else -1
    y_lo, y_hi = (y.lo, y.hi) if sign == 1 else (-y.hi, -y.lo)
    meet = (np.isposinf(x.hi) & np.isneginf(y_lo)) | (np.isneginf(x.lo) & np.isposinf(y_hi))
    if not meet.any():
        return e
    none = np.zeros(meet.shape, np.bool_)
    return Enclosure(e.lo, e.hi, nan=meet | (none if e.nan is None else e.nan))


# ------------------------------------------------------------------------------------------------- corner functions
def _corners(a: Application, x: Bounds, y: Bounds) -> tuple[Array, Array]:
    """Smallest and largest of the four corner results, where a corner that is NaN (0 * inf) counts as zero."""
    corners = [np.asarray(a.op.numpy(p, q)) for p in (x.lo, x.hi) for q in (y.lo, y.hi)]
    zero = np.zeros((), corners[0].dtype)
    seen = [c if not np.isnan(c).any() else np.where(np.isnan(c), zero, c) for c in corners]
    return smallest(*seen), largest(*seen)


def multiply_corners(a: Application) -> Enclosure:
    """NaN where one may be zero and the other infinite; zero ends there take either sign."""
    x, y = (e.bounds() for e in a.operands)
    nan, empty = joined_flags(a, [x, y])
    has_zero = [(b.lo <= 0) & (b.hi >= 0) for b in (x, y)]
    has_inf = [np.isinf(b.lo) | np.isinf(b.hi) for b in (x, y)]
    met = (has_zero[0] & has_inf[1]) | (has_zero[1] & has_inf[0])
    lo, hi = _corners(a, x, y)
    enclosure = between(lo, hi, nan | met, empty)
    return either_zero(enclosure)


def divide_corners(a: Application) -> Enclosure:
    """A divisor that may be zero gives the whole line; NaN for 0/0 and inf/inf; widened where not correctly rounded."""
    x, y = (e.bounds() for e in a.operands)
    nan, empty = joined_flags(a, [x, y])
    zero_x, zero_y = ((b.lo <= 0) & (b.hi >= 0) for b in (x, y))
    inf_x, inf_y = (np.isinf(b.lo) | np.isinf(b.hi) for b in (x, y))
    lo, hi = _corners(a, x, y)
    lo = np.where(zero_y, np.asarray(-np.inf, lo.dtype), lo)
    hi = np.where(zero_y, np.asarray(np.inf, hi.dtype), hi)
    n = 0.0 if "divide" in a.contract.correctly_rounded else a.contract.ulps_of("divide", a.type.dtype, 2)
    if n:
        lo, hi = step(lo, -2 * int(np.ceil(n))), step(hi, 2 * int(np.ceil(n)))
    return either_zero(between(lo, hi, nan | (zero_x & zero_y) | (inf_x & inf_y), empty))


def even_corners(a: Application) -> Enclosure:
    """abs and square: symmetric around zero."""
    (x,) = (e.bounds() for e in a.operands)
    nan, empty = joined_flags(a, [x])
    f = a.op.numpy
    lo, hi = np.asarray(f(x.lo)), np.asarray(f(x.hi))
    across = (x.lo <= 0) & (x.hi >= 0)
    low = np.where(across, np.zeros((), lo.dtype), smallest(lo, hi))
    return between(low, largest(lo, hi), nan, empty)


CORNERS: dict[str, Callable[[Application], Enclosure]] = {
    "multiply": multiply_corners,
    "divide": divide_corners,
    "square": even_corners,
    "abs": even_corners,
}


def even_rule(a: Application) -> Value:
    """abs: exact, symmetric around zero."""
    value = reference(a)
    if all(e.is_singleton for e in a.operands):
        return value, computed(value)
    if is_floating(a.type.dtype):
        return value, even_corners(a)
    return value, computed(value) if certain(a) else None


def quotient_rule(a: Application) -> Value:
    """divide and sqrt: correctly rounded where the contract says so, else within its ulps."""
    if a.op.name in a.contract.correctly_rounded:
        return rounded_rule(a)
    if a.op.name == "divide" and not all(e.is_singleton for e in a.operands):
        return reference(a), divide_corners(a)
    return ulps_rule(a)


# --------------------------------------------------------------------------------------------------------- ulps(n)
def ulps_rule(a: Application) -> Value:
    """The reference computed wide, then widened by the contract's ulps; increasing rows map both ends."""
    dtype = a.type.dtype
    n = a.contract.ulps_of(a.op.name, dtype, a.op.accuracy.ulps or 1.0) + (HOST_ULPS if dtype == "float64" else 0)
    singletons = all(e.is_singleton for e in a.operands)
    if not singletons and (not a.op.monotone or "other" in a.op.monotone):
        value = _wide_value(a, list(a.values)).astype(a.type.np)
        return value, _uncertain_range(a)
    if singletons:
        center = _wide_value(a, list(a.values))
        lo, hi = _widened(center, center, n, dtype)
        nan = np.isnan(center)
        return center.astype(a.type.np), between(*_nonan(lo, hi, nan), nan, nan)
    bounds = [e.bounds() for e in a.operands]
    nan, empty = joined_flags(a, bounds)
    low = _wide_value(a, [b.lo for b in bounds])
    high = _wide_value(a, [b.hi for b in bounds])
    outside = np.isnan(high)  # an increasing function defined upwards of a point: wholly outside its domain
    partly = np.isnan(low) & ~outside
    low = np.where(partly, _domain_bottom(a), low)
    lo, hi = _widened(low, high, n, dtype)
    nan = nan | partly | outside
    empty = empty | outside
    return _wide_value(a, list(a.values)).astype(a.type.np), between(*_nonan(lo, hi, empty), nan, empty)


def _domain_bottom(a: Application) -> float:
    return -np.inf if a.op.name == "log" else -0.0


def _nonan(lo: Array, hi: Array, nan: Array) -> tuple[Array, Array]:
    if not nan.any():
        return lo, hi
    zero = np.zeros((), lo.dtype)
    return np.where(nan, zero, lo), np.where(nan, zero, hi)


def _wide_value(a: Application, values: list[Array]) -> Array:
    widened = [wide(v, NAMES[v.dtype]) for v in values]
    return np.asarray(a.op.numpy(*widened, **a.attributes))


def _widened(low: Array, high: Array, n: float, dtype: str) -> tuple[Array, Array]:
    """[low - n ulps, high + n ulps], rounded outward; a nonzero exact result keeps its sign."""
    margin = slack(dtype)
    lo = low - n * ulp(low, dtype) - np.abs(low) * margin
    hi = high + n * ulp(high, dtype) + np.abs(high) * margin
    lo = np.where(np.isinf(low), low, np.where(low > 0, np.maximum(lo, 0.0), lo))
    hi = np.where(np.isinf(high), high, np.where(high < 0, np.where(hi < 0, hi, -0.0), hi))
    return outward(lo, hi, dtype)


def _uncertain_range(a: Application) -> Enclosure | None:
    """Ranges of the rows that are not monotone, for operands that are not certain."""
    nan, empty = joined_flags(a, [e.bounds() for e in a.operands])
    one = np.ones(a.type.shape, a.type.np)
    if a.op.name == "sin":
        x = a.operands[0].bounds()
        unbounded = np.isinf(x.lo) | np.isinf(x.hi)
        n = int(np.ceil(a.contract.ulps_of("sin", a.type.dtype, a.op.accuracy.ulps)))
        return between(step(-one, -n), step(one, n), nan | unbounded, empty)
    return whole(a.type) if a.op.name == "pow" else None


RULES: dict[str, Callable[[Application], Value]] = {
    "exact": exact_rule,
    "correctly rounded": rounded_rule,
    "ulps": ulps_rule,
}
