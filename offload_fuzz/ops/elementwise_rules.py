"""Enclosure rules of single element-wise ops: comparison, isnan, minimum and maximum, the floor pair, where."""

from __future__ import annotations

import numpy as np

from offload_fuzz.enclosure import (
    Enclosure,
    between,
    combine,
    computed,
    either_zero,
    exact,
    extremes,
    hull,
    is_float,
    largest,
    parts,
    smallest,
    some,
    step,
)
from offload_fuzz.ops.base import Application
from offload_fuzz.ops.ranges import all_bounds, extremum
from offload_fuzz.ops.rounding import narrowed, wide
from offload_fuzz.ops.rules import Value, integer_rule, reciprocal_leaves, reference, singletons
from offload_fuzz.types import DTYPES, NAMES, Array, is_floating


# ----------------------------------------------------------------------------------------------------------- comparison
def compare_rule(a: Application) -> Value:
    """equal, less: {False}, {True} or both, as the operands' intervals are apart, inside or overlapping."""
    value = reference(a)
    if singletons(a):
        return value, exact(value)
    if "c" in {e.lo.dtype.kind for e in a.operands}:
        equality = complex_equality(a)
        return value, None if equality is None else answers(*equality)
    x, y = all_bounds(a)
    possible, certain = ~(x.empty | y.empty), ~(x.nan | y.nan)
    if a.op.name == "equal":
        may = (x.lo <= y.hi) & (y.lo <= x.hi)
        must = (x.lo == x.hi) & (y.lo == y.hi) & (x.lo == y.lo)
    else:
        may, must = x.lo < y.hi, x.hi < y.lo
    return value, answers(must & certain, may & possible)


def complex_equality(a: Application) -> tuple[Array, Array] | None:
    """Where two complex operands are equal for certain, and where they may be; None beside a real operand."""
    if any(e.lo.dtype.kind != "c" for e in a.operands):
        return None
    x, y = (parts(e).bounds() for e in a.operands)
    may = (x.lo <= y.hi) & (y.lo <= x.hi) & ~(x.empty | y.empty)
    must = (x.lo == x.hi) & (y.lo == y.hi) & (x.lo == y.lo) & ~(x.nan | y.nan)
    return np.asarray(np.all(must, axis=-1)), np.asarray(np.all(may, axis=-1))


def isnan_rule(a: Application) -> Value:
    """isnan: both answers where NaN is allowed beside numbers."""
    value = reference(a)
    (e,) = a.operands
    if e.is_singleton:
        return value, exact(value)
    b = e.bounds()
    return value, answers(b.empty, b.nan)


def answers(must: Array, may: Array) -> Enclosure:
    """True where `must`, False where not `may`, else both."""
    must, may = np.asarray(must), np.asarray(may)
    return between(must, may) if some(must != may) else exact(may)


def extremum_rule(a: Application) -> Value:
    """minimum, maximum: increasing; a NaN operand gives NaN; of two opposite zeros either."""
    value = reference(a)
    if singletons(a) and not (is_float(value.dtype) and some(value == 0)):
        return value, computed(value)
    return value, extremum(a)


# ----------------------------------------------------------------------------------------------------------- floor pair
def floor_divide_rule(a: Application) -> Value:
    """floor_divide: the floor of the exact quotient or of the rounded one; a zero has either sign.

    Of an infinity, or by a zero: the infinite quotient, or NaN as it comes from fmod (the standard admits both).
    """
    if not is_floating(a.type.dtype):
        return integer_rule(a)
    value = reference(a)
    if not singletons(a):
        return value, None
    dtype = a.type.dtype
    if "divide" in a.contract.correctly_rounded:
        near = np.divide(*a.values)
        plain = (np.floor(near) == value) & (np.abs(near) < 2.0 ** (DTYPES[dtype].precision - 2))
        if np.count_nonzero(plain) == value.size:
            return value, either_zero(exact(value))
    x, y = np.broadcast_arrays(*(wide(v, NAMES[v.dtype]) for v in a.values))
    quotient = x / y
    floors = [value, narrowed(_floor_of_exact(x, y), dtype), np.floor(narrowed(quotient, dtype))]
    nan = np.isnan(quotient)
    singular = (np.isinf(x) | (y == 0)) & ~nan
    small, big = reciprocal_leaves(a, y)
    if some(small) and a.contract.flushes("divide", dtype):
        floors.append(np.where(small, np.zeros((), value.dtype), value))
    if some(big):  # the dividend less its remainder, which may be 0, times infinity
        floors.append(np.where(big, np.copysign(np.inf, quotient).astype(value.dtype), value))
    bound = narrowed(quotient, dtype)
    floors = [np.where(np.isnan(f), bound, f) for f in floors] if some(singular) else floors
    singular = singular | (big & ~nan)
    lo, hi = smallest(*floors), largest(*floors)
    lo, hi = _inexact_floor(a, quotient, lo, hi)
    if some(nan):
        zero = np.zeros((), lo.dtype)
        lo, hi = np.where(nan, zero, lo), np.where(nan, zero, hi)
    return value, either_zero(between(lo, hi, np.asarray(nan | singular), np.asarray(nan)))


def _floor_of_exact(x: Array, y: Array) -> Array:
    """The floor of x / y (about that, beyond the digits of wide arithmetic); -1, not -0, just below zero."""
    rest = np.fmod(x, y)
    truncated = np.rint((x - rest) / y)
    truncated = np.where(np.isinf(y) & np.isfinite(x), x.dtype.type(0), truncated)
    return np.where((rest != 0) & (np.signbit(rest) != np.signbit(y)), truncated - 1, truncated)


def _inexact_floor(a: Application, quotient: Array, lo: Array, hi: Array) -> tuple[Array, Array]:
    """Wider where the quotient is so large that its steps round, or where division itself is not correctly rounded."""
    dtype = a.type.dtype
    loose = (np.abs(quotient) >= 2.0 ** (DTYPES[dtype].precision - 2)) & np.isfinite(quotient)
    if some(loose):  # (x - fmod(x, y)) / y with each step rounded, as in NumPy and PyTorch, is off from here on
        n = int(np.ceil(a.contract.ulps_of("floor_divide", dtype, 2.0)))
        lo, hi = np.where(loose, step(lo, -n), lo), np.where(loose, step(hi, n), hi)
    if "divide" not in a.contract.correctly_rounded:
        n = int(np.ceil(a.contract.ulps_of("divide", dtype, 2.0))) + 1
        near = narrowed(quotient, dtype)
        near = np.where(np.isfinite(near), near, np.zeros((), near.dtype))
        finite = np.isfinite(lo) & np.isfinite(hi)
        lo = np.where(finite, smallest(lo, np.floor(step(near, -n))), lo)
        hi = np.where(finite, largest(hi, np.floor(step(near, n))), hi)
    return lo, hi


def remainder_rule(a: Application) -> Value:
    """remainder: x1 - q * x2 for the floor q of the exact quotient, or for the next one where the rounded quotient
    reaches it (then also 0, as that product may round); a zero has either sign."""
    if not is_floating(a.type.dtype):
        return integer_rule(a)
    value = reference(a)
    if not singletons(a):
        return value, None
    dtype = a.type.dtype
    e = either_zero(computed(value))
    if "divide" in a.contract.correctly_rounded:
        near = np.divide(*a.values)  # a floor of it can differ from that of the exact quotient only where it is one
        if not some((np.floor(near) == near) & (value != 0)):
            return value, e
    x, y = np.broadcast_arrays(*(wide(v, NAMES[v.dtype]) for v in a.values))
    plain = np.isfinite(x) & np.isfinite(y) & (y != 0)
    if not some(plain):
        return value, e
    reached = narrowed(x / y, dtype)
    if "divide" not in a.contract.correctly_rounded:
        reached = step(reached, int(np.ceil(a.contract.ulps_of("divide", dtype, 2.0))) + 1)
    next_ = plain & (np.floor(reached) > narrowed(_floor_of_exact(x, y), dtype))
    if not some(next_):
        return value, e
    rest = np.fmod(x, y)
    past = narrowed(np.where((rest != 0) & (np.signbit(rest) != np.signbit(y)), rest, rest - y), dtype)
    bottom, top = extremes(past.dtype)
    zero = np.zeros((), past.dtype)
    lo2, hi2 = np.where(next_, smallest(past, -zero), top), np.where(next_, largest(past, zero), bottom)
    return value, Enclosure(e.lo, e.hi, lo2, hi2, e.nan)


# ------------------------------------------------------------------------------------------------------------ selection
def where_rule(a: Application) -> Value:
    """where: a pure selection; an uncertain condition gives the hull of both."""
    value = reference(a)
    condition, x1, x2 = a.operands
    kept = x1.lo.dtype == x2.lo.dtype
    if singletons(a):
        return value, exact(value) if kept else computed(value)
    if not kept:
        if a.type.np.kind == "c":
            return value, None
        x1, x2 = (_converted(e, a.type.np) for e in (x1, x2))
    picked = combine(lambda p, q: np.where(condition.lo, p, q), x1, x2)
    if condition.hi is condition.lo or not some(condition.lo != condition.hi):
        return value, picked
    shape = a.type.shape
    e1, e2 = (e.move(lambda part: np.broadcast_to(part, shape)) for e in (x1, x2))
    return value, combine(lambda p, q: np.where(condition.lo == condition.hi, p, q), picked, hull(e1, e2))


def _converted(e: Enclosure, dtype: np.dtype[np.generic]) -> Enclosure:
    """The enclosure in a dtype that holds all its values; conversion leaves a NaN's payload open."""
    if e.lo.dtype == dtype:
        return e
    b = e.bounds()
    return between(b.lo.astype(dtype), b.hi.astype(dtype), b.nan, b.empty)
