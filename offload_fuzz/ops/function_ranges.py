"""What the trigonometric, exponential and like functions may give for operands that are known as sets only.

As in `offload_fuzz.ops.ranges`: each takes an `Application` and the smallest and largest result for known operands.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from attrs import evolve

from offload_fuzz.enclosure import Bounds, Enclosure, between, exact, largest, ordinal, smallest, some
from offload_fuzz.ops.base import Application
from offload_fuzz.ops.ranges import (
    Ends,
    Range,
    all_bounds,
    divided,
    holds,
    holds_infinity,
    holds_zero,
    joined_flags,
    outer,
)
from offload_fuzz.ops.rounding import wide
from offload_fuzz.types import NAMES, Array


def inside_unit(a: Application, ends: Ends) -> Enclosure:
    """acos, asin, atanh: monotone from -1 to 1, NaN outside."""
    (x,) = bounds = all_bounds(a)
    nan, empty = joined_flags(a, bounds)
    one = np.ones((), x.lo.dtype)
    outside, partly = (x.hi < -one) | (x.lo > one), (x.lo < -one) | (x.hi > one)
    inner = evolve(x, lo=np.where(x.lo < -one, -one, x.lo), hi=np.where(x.hi > one, one, x.hi))
    return between(*outer(a, ends, [inner]), nan | partly, empty | outside)


def from_a_minimum(a: Application, ends: Ends) -> Enclosure:
    """cosh: the same for both signs, least at 0."""
    (x,) = bounds = all_bounds(a)
    nan, empty = joined_flags(a, bounds)
    (lo1, hi1), (lo2, hi2) = ends(x.lo), ends(x.hi)
    low = np.where(holds_zero(x), ends(np.zeros((), x.lo.dtype))[0], smallest(lo1, lo2))
    return between(low, largest(hi1, hi2), nan, empty)


def tangent(a: Application, ends: Ends) -> Enclosure:
    """tan: increasing between two poles; any number where there may be a pole; NaN for infinities."""
    (x,) = bounds = all_bounds(a)
    nan, empty = joined_flags(a, bounds)
    (lo, _), (_, hi) = ends(x.lo), ends(x.hi)
    low, high = (wide(end, NAMES[end.dtype]) for end in (x.lo, x.hi))
    one = low == high
    far = ~((np.abs(low) < 2.0**20) & (np.abs(high) < 2.0**20))
    crossed = np.floor(low / np.pi + 0.5 - 1e-9) != np.floor(high / np.pi + 0.5 + 1e-9)
    infinite = holds_infinity(x)
    open_ = (far | crossed | infinite) & ~one
    top = np.asarray(np.inf, lo.dtype)
    lo, hi = np.where(open_, -top, lo), np.where(open_, top, hi)
    return between(lo, hi, nan | infinite, empty | (infinite & one))


def inverted(a: Application, ends: Ends) -> Enclosure:
    """reciprocal: 1 divided by the operand's set."""
    one = exact(np.ones(a.type.shape, a.type.np))
    return divided(evolve(a, operands=[one, *a.operands]), lambda _, y: ends(y))


def inverted_root(a: Application, ends: Ends) -> Enclosure:
    """rsqrt: decreasing above +0, where it is inf; -inf for -0; NaN below."""
    (x,) = bounds = all_bounds(a)
    nan, empty = joined_flags(a, bounds)
    zero = np.zeros((), x.lo.dtype)
    below = x.lo < zero
    minus = np.asarray(holds(x, -1) & ~empty)
    above = np.asarray(ordinal(x.hi) >= 0)
    _, hi = ends(np.where(np.signbit(x.lo), zero, x.lo))
    lo, _ = ends(np.where(above, x.hi, zero))
    e = between(lo, hi, nan | below, empty | ~above)
    return evolve(e, ninf=minus) if some(minus) else e


def magnitudes(b: Bounds) -> tuple[Array, Array]:
    """The smallest and the largest magnitude in each interval."""
    lo, hi = np.abs(b.lo), np.abs(b.hi)
    return np.where(holds_zero(b), np.zeros((), lo.dtype), smallest(lo, hi)), largest(lo, hi)


def hypotenuse(a: Application, ends: Ends) -> Enclosure:
    """hypot: increasing in both magnitudes; of an infinity and NaN it is infinite, for a quiet NaN at least."""
    x, y = all_bounds(a)
    (lo1, hi1), (lo2, hi2) = magnitudes(x), magnitudes(y)
    (lo, _), (_, hi) = ends(lo1, lo2), ends(hi1, hi2)
    infinite = (holds_infinity(x) & ~x.empty) | (holds_infinity(y) & ~y.empty)
    top = np.asarray(np.inf, lo.dtype)
    missing = x.empty | y.empty
    return between(np.where(missing, top, lo), np.where(missing, top, hi), x.nan | y.nan, missing & ~infinite)


def known_but_for_payloads(operands: Sequence[Enclosure]) -> bool:
    """Whether each operand is known to the bit, a NaN apart, which is one for certain."""
    for e in operands:
        if e.is_singleton:
            continue
        b = e.bounds()
        if e.lo2 is not None or some(b.nan != b.empty) or some(~b.empty & (ordinal(b.lo) != ordinal(b.hi))):
            return False
    return True


Rule = Callable[[Application], tuple[Array, Enclosure | None]]


def for_known(rule: Rule) -> Rule:
    """A rule for known operands, and for those known but for the payload of a NaN, which the op does not keep."""

    def enclose(a: Application) -> tuple[Array, Enclosure | None]:
        if all(e.is_singleton for e in a.operands) or not known_but_for_payloads(a.operands):
            return rule(a)
        return rule(evolve(a, operands=[exact(x) for x in a.values]))

    return enclose


FUNCTION_RANGES: dict[str, Range] = {
    "acos": inside_unit,
    "asin": inside_unit,
    "atanh": inside_unit,
    "cosh": from_a_minimum,
    "tan": tangent,
    "reciprocal": inverted,
    "rsqrt": inverted_root,
    "hypot": hypotenuse,
}
