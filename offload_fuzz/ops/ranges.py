"""What an op may give for operands that are known as sets only: the set arithmetic of the float rows.

Every range takes an `Application` and `Ends`, the smallest and largest lawful result for known operands. NaN is decided
on the sets (0 in one factor and an infinity in the other), never read off the ends.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from offload_fuzz.enclosure import Bounds, Enclosure, between, is_float, largest, ordinal, smallest, some
from offload_fuzz.ops.base import Application
from offload_fuzz.ops.rounding import HOST_ULPS, ulps_around, wide, wide_dtype
from offload_fuzz.types import NAMES, Array

#: Arrays of operands -> the smallest and the largest lawful result, NaN where the result is NaN.
Ends: TypeAlias = Callable[..., tuple[Array, Array]]
Range: TypeAlias = Callable[[Application, Ends], Enclosure]


def all_bounds(a: Application) -> list[Bounds]:
    """The hull of each operand."""
    return [e.bounds() for e in a.operands]


def joined_flags(a: Application, bounds: list[Bounds]) -> tuple[Array, Array]:
    """Where some operand may be NaN, and where some operand must be, in the shape of the result."""
    nan = np.zeros(a.type.shape, np.bool_)
    empty = nan
    for b in bounds:
        if some(b.nan):
            nan, empty = nan | b.nan, empty | b.empty
    return nan, empty


def holds_zero(b: Bounds) -> Array:
    """Where the interval holds a zero of either sign."""
    return np.asarray((b.lo <= 0) & (b.hi >= 0))


def holds_infinity(b: Bounds) -> Array:
    """Where the interval holds an infinity."""
    return np.asarray(np.isinf(b.lo) | np.isinf(b.hi))


def only(b: Bounds, magnitude: float) -> Array:
    """Where the interval is zero of either sign, or one infinity."""
    return np.asarray((np.abs(b.lo) == magnitude) & (b.lo == b.hi))


def ulps_bound(a: Application) -> float:
    """The contract's bound for the op in ulps; the row's own, or 2, where the contract is silent."""
    n = a.contract.ulps_of(a.op.name, a.type.dtype, a.op.accuracy.ulps or 2.0)
    return n + HOST_ULPS if a.type.dtype == "float64" else n


def monotone(a: Application, ends: Ends) -> Enclosure:
    """A function that increases or decreases in each operand, and is a number everywhere."""
    bounds = all_bounds(a)
    nan, empty = joined_flags(a, bounds)
    lo, hi = outer(a, ends, bounds)
    return between(lo, hi, nan, empty)


def outer(a: Application, ends: Ends, bounds: list[Bounds]) -> tuple[Array, Array]:
    up = [m == "increasing" for m in a.op.monotone]
    lo, _ = ends(*[b.lo if u else b.hi for b, u in zip(bounds, up, strict=True)])
    _, hi = ends(*[b.hi if u else b.lo for b, u in zip(bounds, up, strict=True)])
    return lo, hi


def added(a: Application, ends: Ends) -> Enclosure:
    """add, subtract: NaN where opposite infinities may meet."""
    x, y = bounds = all_bounds(a)
    nan, empty = joined_flags(a, bounds)
    lo, hi = outer(a, ends, bounds)
    y_lo, y_hi = (y.lo, y.hi) if a.op.monotone[1] == "increasing" else (-y.hi, -y.lo)
    meet = ((x.hi == np.inf) & (y_lo == -np.inf)) | ((x.lo == -np.inf) & (y_hi == np.inf))
    if not some(meet):
        return between(lo, hi, nan, empty)
    # an end is NaN where one operand is that infinity for certain, which then is the only number left
    top = np.asarray(np.inf, lo.dtype)
    return between(np.where(np.isnan(lo), top, lo), np.where(np.isnan(hi), -top, hi), nan | meet, empty)


def above_a_point(bottom: float) -> Range:
    """sqrt, log: increasing from a point on, where the result is `bottom`; NaN below it."""

    def range_(a: Application, ends: Ends) -> Enclosure:
        bounds = all_bounds(a)
        nan, empty = joined_flags(a, bounds)
        lo, hi = outer(a, ends, bounds)
        outside = np.isnan(hi)
        partly = np.isnan(lo)
        lo = np.where(partly, np.asarray(bottom, lo.dtype), lo)
        return between(lo, hi, nan | partly, empty | outside)

    return range_


def _corners(ends: Ends, x: tuple[Array, Array], y: tuple[Array, Array]) -> tuple[Array, Array]:
    """The outermost of the four corner results. A corner that is NaN gives way to the zero of its sign."""
    lows, highs = [], []
    for p in x:
        for q in y:
            lo, hi = ends(p, q)
            nan = np.isnan(lo)
            if some(nan):
                zero = np.where(np.signbit(p) ^ np.signbit(q), np.asarray(-0.0, lo.dtype), np.asarray(0.0, lo.dtype))
                lo, hi = np.where(nan, zero, lo), np.where(nan, zero, hi)
            lows.append(lo)
            highs.append(hi)
    return smallest(*lows), largest(*highs)


def multiplied(a: Application, ends: Ends) -> Enclosure:
    """multiply: NaN where one may be zero and the other infinite."""
    x, y = bounds = all_bounds(a)
    nan, empty = joined_flags(a, bounds)
    met = (holds_zero(x) & holds_infinity(y)) | (holds_zero(y) & holds_infinity(x))
    empty = empty | (only(x, 0) & only(y, np.inf)) | (only(y, 0) & only(x, np.inf))
    return between(*_corners(ends, (x.lo, x.hi), (y.lo, y.hi)), nan | met, empty)


def divided(a: Application, ends: Ends) -> Enclosure:
    """divide: NaN for 0/0 and inf/inf; a divisor of either sign gives one interval for each sign."""
    x, y = bounds = all_bounds(a)
    nan, empty = joined_flags(a, bounds)
    nan = nan | (holds_zero(x) & holds_zero(y)) | (holds_infinity(x) & holds_infinity(y))
    empty = empty | (only(x, 0) & only(y, 0)) | (only(x, np.inf) & only(y, np.inf))
    minus, plus = np.asarray(-0.0, y.lo.dtype), np.asarray(0.0, y.lo.dtype)
    straddles = np.signbit(y.lo) & ~np.signbit(y.hi)
    if not some(straddles):
        return between(*_corners(ends, (x.lo, x.hi), (y.lo, y.hi)), nan, empty)
    lo, hi = _corners(ends, (x.lo, x.hi), (y.lo, np.where(straddles, minus, y.hi)))
    lo2, hi2 = _corners(ends, (x.lo, x.hi), (np.where(straddles, plus, y.lo), y.hi))
    absent = empty | ~straddles
    one, two = between(lo, hi, nan, empty), between(lo2, hi2, None, absent)
    return Enclosure(one.lo, one.hi, two.lo, two.hi, one.nan)


def even(a: Application, ends: Ends) -> Enclosure:
    """abs, square: the same for both signs, and a number everywhere."""
    (x,) = bounds = all_bounds(a)
    nan, empty = joined_flags(a, bounds)
    (lo1, hi1), (lo2, hi2) = ends(x.lo), ends(x.hi)
    low = np.where(holds_zero(x), np.zeros((), lo1.dtype), smallest(lo1, lo2))
    return between(low, largest(hi1, hi2), nan, empty)


def wave(top: float, bottom: float) -> Range:
    """sin, cos: the ends, and 1 and -1 where their crests, at `top` and `bottom`, lie between; NaN for infinities."""

    def range_(a: Application, ends: Ends) -> Enclosure:
        (x,) = bounds = all_bounds(a)
        nan, empty = joined_flags(a, bounds)
        (lo1, hi1), (lo2, hi2) = ends(x.lo), ends(x.hi)
        low, high = (wide(end, NAMES[end.dtype]) for end in (x.lo, x.hi))
        far = ~((np.abs(low) < 2.0**20) & (np.abs(high) < 2.0**20) & (high - low < 7.0)) & (low != high)
        one = np.ones(a.type.shape, wide_dtype(a.type.dtype))
        n, dtype = ulps_bound(a), a.type.dtype
        lowest, highest = ulps_around(-one, n, dtype)[0], ulps_around(one, n, dtype)[1]

        def reached(crest: float) -> Array:
            turn = 2 * np.pi
            first, last = np.floor((low - crest) / turn - 1e-9), np.floor((high - crest) / turn + 1e-9)
            return np.asarray(far | ((first != last) & (low != high)))

        infinite = holds_infinity(x)
        lo = np.where(reached(bottom), lowest, smallest(lo1, lo2))
        hi = np.where(reached(top), highest, largest(hi1, hi2))
        return between(lo, hi, nan | infinite, empty | (infinite & (low == high)))

    return range_


def power(a: Application, ends: Ends) -> Enclosure:
    """pow: the corners for a base that is not negative; anything for others. pow(1, NaN) and pow(NaN, 0) are 1."""
    x, y = all_bounds(a)
    to_zero = holds_zero(y) & ~y.empty
    from_one = (x.lo <= 1) & (x.hi >= 1) & ~x.empty
    empty = (x.empty & ~to_zero) | (y.empty & ~from_one)
    top = np.asarray(np.inf, a.type.np)
    open_ = np.signbit(x.lo)
    lo, hi = _corners(ends, (x.lo, x.hi), (y.lo, y.hi))
    return between(np.where(open_, -top, lo), np.where(open_, top, hi), open_ | x.nan | y.nan, empty)


#: op -> its range for float operands that are not known to the bit.
RANGES: dict[str, Range] = {
    "add": added,
    "subtract": added,
    "multiply": multiplied,
    "divide": divided,
    "sqrt": above_a_point(-0.0),
    "log": above_a_point(-np.inf),
    "square": even,
    "abs": even,
    "negative": monotone,
    "floor": monotone,
    "round": monotone,
    "exp": monotone,
    "tanh": monotone,
    "sin": wave(np.pi / 2, -np.pi / 2),
    "pow": power,
}


def extremum(a: Application) -> Enclosure:
    """minimum, maximum: a NaN operand gives NaN; of two opposite zeros either."""
    x, y = bounds = all_bounds(a)
    nan, empty = joined_flags(a, bounds)
    lo, hi = np.asarray(a.op.numpy(x.lo, y.lo)), np.asarray(a.op.numpy(x.hi, y.hi))
    if is_float(lo.dtype) and (some(lo == 0) or some(hi == 0)):
        minus, plus = (np.asarray(holds(x, zero) | holds(y, zero)) for zero in (-1, 0))
        lo, hi = signed_zeros(lo, hi, minus, plus)
    return between(lo, hi, nan, empty)


def holds(b: Bounds, key: int) -> Array:
    """Where the interval holds the element of that ordinal: -1 is -0, 0 is +0."""
    return np.asarray((ordinal(b.lo) <= key) & (ordinal(b.hi) >= key))


def signed_zeros(lo: Array, hi: Array, minus: Array, plus: Array) -> tuple[Array, Array]:
    """Zero ends with the sign that is to be had: -0 where `minus`, +0 where `plus`."""
    zero = np.asarray(0.0, lo.dtype)
    return (
        np.where(lo == 0, np.where(minus, -zero, zero), lo),
        np.where(hi == 0, np.where(plus, zero, -zero), hi),
    )
