"""Ops that choose among numbers: fmin and fmax, which pass NaN over, clip, and nan_to_num."""

from __future__ import annotations

from math import ceil, floor
from typing import Any

import numpy as np

from offload_fuzz.enclosure import Enclosure, between, computed, exact, largest, smallest, some
from offload_fuzz.errors import require
from offload_fuzz.ops.base import Application, Range
from offload_fuzz.ops.base import exact as exactly
from offload_fuzz.ops.elementwise import FLOATING, NUMERIC, OTHER, UP, row
from offload_fuzz.ops.ranges import all_bounds, holds, monotone, signed_zeros
from offload_fuzz.ops.rules import Value, quieted, reference, signalling, singletons
from offload_fuzz.types import DTYPES, NAMES, Array, ArrayType, is_floating


# ------------------------------------------------------------------------------------------------------ fmin, fmax
def number_rule(a: Application) -> Value:
    """fmin, fmax: the other operand for a quiet NaN, for a signalling one NaN as well; of opposite zeros either.

    Source: ISO C23, F.10.9.2 and F.10.9.3 (the sign of zero need not count); IEEE 754-2008, 5.3.1 (signalling NaN).
    """
    value = np.asarray(a.op.numpy(*map(quieted, a.values))).astype(a.type.np, copy=False)
    if singletons(a):
        e = computed(value)
        loud = np.asarray(signalling(a))
        if some(loud):
            e = Enclosure(e.lo, e.hi, nan=loud if e.nan is None else e.nan | loud)
        zeros = np.asarray((a.values[0] == 0) & (a.values[1] == 0))
        return value, _zeros(e, zeros) if some(zeros) else e
    x, y = all_bounds(a)
    (lo1, hi1), (lo2, hi2) = (
        [np.broadcast_to(end, a.type.shape).astype(a.type.np) for end in (b.lo, b.hi)] for b in (x, y)
    )
    lo, hi = (np.asarray(a.op.numpy(p, q)) for p, q in ((lo1, lo2), (hi1, hi2)))
    for missing, p, q in ((x.empty, lo2, hi2), (y.empty, lo1, hi1)):
        lo, hi = np.where(missing, p, lo), np.where(missing, q, hi)
    for perhaps, p, q in ((x.nan & ~y.empty, lo2, hi2), (y.nan & ~x.empty, lo1, hi1)):
        lo, hi = np.where(perhaps, smallest(lo, p), lo), np.where(perhaps, largest(hi, q), hi)
    lo, hi = signed_zeros(lo, hi, *(np.asarray(holds(x, zero) | holds(y, zero)) for zero in (-1, 0)))
    return value, between(lo, hi, np.asarray(x.nan | y.nan), np.asarray(x.empty & y.empty))


def _zeros(e: Enclosure, zeros: Array) -> Enclosure:
    """`e`, with zeros of either sign where `zeros`."""
    minus, plus = np.asarray(-0.0, e.lo.dtype), np.asarray(0.0, e.lo.dtype)
    return Enclosure(np.where(zeros, minus, e.lo), np.where(zeros, plus, e.hi), nan=e.nan)


# ------------------------------------------------------------------------------------------------------------ clip
def limits(dtype: np.dtype[Any], low: float, high: float) -> tuple[Array, Array]:
    """Both bounds in `dtype`: rounded for floats; for integers the numbers between, those outside become its ends."""
    if is_floating(NAMES[dtype]):
        return np.asarray(low).astype(dtype), np.asarray(high).astype(dtype)
    info = np.iinfo(dtype)
    return np.asarray(max(ceil(low), info.min), dtype), np.asarray(min(floor(high), info.max), dtype)


def clipped(x: Array, *, min: float, max: float) -> Array:
    """x within both bounds, NaN kept."""
    low, high = limits(x.dtype, min, max)
    return np.minimum(np.maximum(x, low), high)


def clip_type(x: ArrayType, *, min: float, max: float) -> ArrayType:
    """The operand's own type."""
    low, high = (min, max) if is_floating(x.dtype) else (ceil(min), floor(max))
    require(low <= high, f"clip takes min <= max with a {x.dtype} between, got min={min}, max={max}")
    return x


def clip_rule(a: Application) -> Value:
    """clip: increasing; where x and a bound are zeros either of them."""
    value = reference(a)
    at_zero = 0 in (a.attributes["min"], a.attributes["max"]) and is_floating(a.type.dtype)
    if singletons(a):
        e = computed(value)
        zeros = at_zero & (a.values[0] == 0)
        return value, _zeros(e, zeros) if at_zero and some(zeros) else e

    def ends(x: Array) -> tuple[Array, Array]:
        result = np.asarray(clipped(x, **a.attributes))
        if not at_zero:
            return result, result
        return signed_zeros(result, result, *[np.asarray(True)] * 2)

    return value, monotone(a, ends)


# ------------------------------------------------------------------------------------------------------ nan_to_num
def nan_to_num(x: Array) -> Array:
    """0 for NaN, the largest finite number of the sign for an infinity."""
    top = np.asarray(DTYPES[NAMES[x.dtype]].max).astype(x.dtype)
    finite = np.where(x == np.inf, top, np.where(x == -np.inf, -top, x))
    return np.where(np.isnan(x), np.zeros((), x.dtype), finite)


def nan_to_num_rule(a: Application) -> Value:
    """nan_to_num: increasing, with 0 where NaN may be."""
    value = reference(a)
    (e,) = a.operands
    if e.is_singleton:
        return value, exact(value)
    b = e.bounds()
    zero = np.zeros((), a.type.np)
    lo, hi = nan_to_num(b.lo), nan_to_num(b.hi)
    lo, hi = np.where(b.empty, zero, lo), np.where(b.empty, zero, hi)
    return value, between(np.where(b.nan, smallest(lo, zero), lo), np.where(b.nan, largest(hi, zero), hi))


FUNCTIONS = [
    row("fmin", np.fmin, FLOATING, exactly, *OTHER, enclose=number_rule),
    row("fmax", np.fmax, FLOATING, exactly, *OTHER, enclose=number_rule),
    row("nan_to_num", nan_to_num, FLOATING, exactly, "other", enclose=nan_to_num_rule,
        summary="0 for NaN, the largest finite numbers for infinities"),
    row("clip", clipped, NUMERIC, exactly, UP, type_rule=clip_type, enclose=clip_rule,
        attributes={"min": Range(-6, 2), "max": Range(2, 9)}, summary="x within min and max"),
]  # fmt: skip  # rows
