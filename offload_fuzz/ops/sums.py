"""Enclosure rules for ops that accumulate: sum, mean, prod, cumulative_sum, matmul.

A result is one number iff every term is a multiple of 2**q and the sum of magnitudes is at most 2**(q+p): then no
partial sum rounds, in any order. Else it is within gamma_k * sum|term| + k * eta of the exact one, with
gamma_k = k*u / (1 - k*u) (Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., section 4.2).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from attrs import frozen

from offload_fuzz.enclosure import Enclosure, between, computed, either_zero, exact, step, whole
from offload_fuzz.ops.base import Application, normalize_axes, normalize_axis, slices
from offload_fuzz.ops.rules import LONG_DIGITS, Value, outward, reference, wide
from offload_fuzz.types import DTYPES, Array, is_floating

NO_BIT = 1 << 20  # the exponent of the lowest set bit of zero: above every other


def lowest_bit(x: Array) -> Array:
    """The exponent of the lowest set bit of each finite wide element (`NO_BIT` for zero)."""
    fraction, exponent = np.frexp(x.astype(np.float64))
    digits = np.ldexp(fraction, 53).astype(np.int64)
    low = (digits & -digits).astype(np.float64)
    return np.where(digits == 0, NO_BIT, exponent - 54 + np.frexp(low)[1])


@frozen
class Reduction:
    """How terms are gathered: functions over the terms, and how many terms each result has."""

    add: Callable[[Array], Array]
    any: Callable[[Array], Array]
    min: Callable[[Array], Array]
    count: Any


def along_axes(axes: tuple[int, ...], keepdims: bool, shape: tuple[int, ...]) -> Reduction:
    """Reduce over `axes`."""
    k = int(np.prod([shape[i] for i in axes], dtype=np.int64))
    return Reduction(
        lambda x: np.asarray(np.sum(x, axis=axes, keepdims=keepdims)),
        lambda x: np.asarray(np.any(x, axis=axes, keepdims=keepdims)),
        lambda x: np.asarray(np.min(x, axis=axes, keepdims=keepdims, initial=NO_BIT)),
        k,
    )


def prefixes(axis: int, shape: tuple[int, ...]) -> Reduction:
    """Reduce the first 1, 2, ... n terms along `axis`."""
    count = np.arange(1, shape[axis] + 1, dtype=np.float64).reshape([-1 if i == axis else 1 for i in range(len(shape))])
    return Reduction(
        lambda x: np.cumsum(x, axis=axis),
        lambda x: np.logical_or.accumulate(x, axis=axis),
        lambda x: np.minimum.accumulate(x, axis=axis),
        np.broadcast_to(count, shape),
    )


@frozen
class Sum:
    """Exact sums of terms known as bounds, wide: lowest and highest sum, sum of magnitudes, and special cases."""

    lo: Array
    hi: Array
    magnitude: Array
    nan: Array
    empty: Array
    whole: Array


def gather(e: Enclosure, dtype: str, r: Reduction) -> Sum:
    """The set of exact sums of terms within `e`, infinities and NaN by the rules of IEEE addition."""
    if e.is_singleton and np.isfinite(e.lo).all():
        x = wide(e.lo, dtype)
        total = r.add(x)
        none = np.zeros(total.shape, np.bool_)
        return Sum(total, total, r.add(np.abs(x)), none, none, none)
    b = e.bounds()
    lo, hi = wide(b.lo, dtype), wide(b.hi, dtype)
    maybe_up, maybe_down = r.any(np.isposinf(hi)), r.any(np.isneginf(lo))
    must_up, must_down = r.any(np.isposinf(lo)), r.any(np.isneginf(hi))
    finite_lo = np.where(np.isfinite(lo), lo, 0.0)
    finite_hi = np.where(np.isfinite(hi), hi, 0.0)
    low, high = r.add(finite_lo), r.add(finite_hi)
    low = np.where(must_up, np.inf, np.where(maybe_down, -np.inf, low))
    high = np.where(must_down, -np.inf, np.where(maybe_up, np.inf, high))
    empty = r.any(b.empty) | (must_up & must_down)
    nan = r.any(b.nan) | (maybe_up & maybe_down)
    magnitude = r.add(np.maximum(np.abs(finite_lo), np.abs(finite_hi)))
    return Sum(low, high, magnitude, nan, empty, maybe_up & maybe_down)


def enclose_sum(s: Sum, count: Any, accumulator: str, result: str, extra_roundings: int = 0) -> tuple[Array, Array]:
    """Wide ends of everything that a summation of `count` terms in `accumulator` may give."""
    d = DTYPES[accumulator]
    host_unit = 2.0**-LONG_DIGITS if result == "float64" else 2.0**-53
    k = np.asarray(count, s.magnitude.dtype) + extra_roundings
    ku = np.minimum(k * d.unit, 1.0)
    gamma = np.where(ku < 1.0, ku / np.maximum(1.0 - ku, d.unit), np.inf)
    error = gamma * s.magnitude + k * d.eta + 2 * k * host_unit * s.magnitude
    error = np.where(np.isnan(error), np.inf, error)
    unbounded = s.whole | (s.magnitude * (1.0 + gamma) > min(d.max, DTYPES[result].max)) | ~np.isfinite(error)
    unbounded = unbounded & (s.magnitude > 0)
    lo = np.where(np.isinf(s.lo), s.lo, s.lo - error)
    hi = np.where(np.isinf(s.hi), s.hi, s.hi + error)
    return np.where(unbounded, -np.inf, lo), np.where(unbounded, np.inf, hi)


def narrowest(a: Application, dtype: str) -> str:
    """The narrowest of accumulator and result, by significand."""
    accumulator = a.contract.accumulator_of(dtype)
    return min(accumulator, a.type.dtype, key=lambda n: DTYPES[n].precision)


def never_rounds(low_bit: Array, magnitude: Array, a: Application, dtype: str) -> Array:
    """Per result: whether no partial sum rounds or overflows, in any order."""
    d = DTYPES[narrowest(a, dtype)]
    q = np.clip(low_bit, -2000, 2000)
    fits = magnitude <= np.ldexp(np.asarray(1.0, magnitude.dtype), np.minimum(q + d.precision, d.emax))
    return np.asarray((fits & (q >= d.emin - d.precision + 1)) | (magnitude == 0))


def sum_rule(a: Application) -> Value:
    """sum: wrapping for integers; exact or within gamma_k for floats."""
    if not is_floating(a.type.dtype):
        return integer_rule(a)
    shape = a.operands[0].lo.shape
    axes = normalize_axes(a.attributes["axis"], len(shape))
    return _sum(a, along_axes(axes, a.attributes["keepdims"], shape))


def cumulative_sum_rule(a: Application) -> Value:
    """cumulative_sum: prefix i uses terms 1..i only, in any order."""
    if not is_floating(a.type.dtype):
        return integer_rule(a)
    shape = a.operands[0].lo.shape
    return _sum(a, prefixes(normalize_axis(a.attributes["axis"], len(shape)), shape))


def _sum(a: Application, r: Reduction) -> Value:
    (e,) = a.operands
    dtype = a.type.dtype
    s = gather(e, dtype, r)
    value = _nearest(s, dtype)
    one = e.is_singleton and bool(np.isfinite(e.lo).all())
    if one and never_rounds(r.min(lowest_bit(e.lo)), s.magnitude, a, dtype).all():
        return value, either_zero(exact(value))
    lo, hi = outward(*enclose_sum(s, r.count, a.contract.accumulator_of(dtype), dtype), dtype)
    open_ = np.isneginf(lo) & np.isposinf(hi)
    return value, either_zero(between(lo, hi, s.nan | open_, s.empty))


def _nearest(s: Sum, dtype: str) -> Array:
    value = np.where(s.empty | s.whole, np.nan, np.where(np.isinf(s.lo), s.lo, s.hi))
    return value.astype(DTYPES[dtype].np)


def integer_rule(a: Application) -> Value:
    """Integer accumulation wraps, so it takes singletons only."""
    value = reference(a)
    return value, computed(value) if all(e.is_certain for e in a.operands) else None


def mean_rule(a: Application) -> Value:
    """mean: the sum, then a division or a multiplication by the reciprocal (2 ulps); exact for powers of two."""
    (e,) = a.operands
    dtype = a.type.dtype
    shape = e.lo.shape
    r = along_axes(normalize_axes(a.attributes["axis"], len(shape)), a.attributes["keepdims"], shape)
    n = r.count
    s = gather(e, dtype, r)
    if n == 0:
        value = np.full(a.type.shape, np.nan, a.type.np)
        return value, computed(value)
    quotient = s.hi / n
    value = np.where(s.empty | s.whole, np.nan, quotient).astype(a.type.np)
    one = e.is_singleton and bool(np.isfinite(e.lo).all())
    if one and n & (n - 1) == 0 and bool((value.astype(quotient.dtype) == quotient).all()):
        # partial sums may also be kept divided, so they must fit after the division as well
        if never_rounds(r.min(lowest_bit(e.lo)) - (n.bit_length() - 1), s.magnitude, a, dtype).all():
            return value, either_zero(exact(value))
    lo, hi = enclose_sum(s, n, a.contract.accumulator_of(dtype), dtype, 1)
    lo, hi = outward(lo / n, hi / n, dtype)
    open_ = np.isneginf(lo) & np.isposinf(hi)
    return value, either_zero(between(step(lo, -2), step(hi, 2), s.nan | open_, s.empty))


def prod_rule(a: Application) -> Value:
    """prod: exact iff the odd parts fit and no sub-product can leave the normal range; wrapping for integers."""
    if not is_floating(a.type.dtype):
        return integer_rule(a)
    (e,) = a.operands
    if not e.is_singleton:
        return reference(a), None
    dtype = a.type.dtype
    d = DTYPES[narrowest(a, dtype)]
    x = wide(e.lo, dtype)
    shape = e.lo.shape
    axes = normalize_axes(a.attributes["axis"], len(shape))
    r = along_axes(axes, a.attributes["keepdims"], shape)
    product = np.asarray(np.prod(x, axis=axes, keepdims=a.attributes["keepdims"]))
    value = product.astype(a.type.np)
    finite = np.isfinite(x) & (x != 0)
    logs = np.where(finite, np.log2(np.abs(np.where(finite, x, 1.0))), 0.0)
    inside = (r.add(np.maximum(logs, 0)) < d.emax) & (r.add(np.minimum(logs, 0)) > d.emin + 1)
    odd_bits = np.where(finite, np.frexp(x)[1] - np.where(finite, lowest_bit(np.where(finite, x, 1.0)), 0), 0)
    fits = r.add(odd_bits) <= d.precision
    if (inside & fits).all():
        return value, computed(value)
    k = r.count + 1
    ku = min(k * d.unit, 0.999999)
    margin = np.abs(product) * (ku / (1 - ku) + k * 2.0**-50)
    lo, hi = outward(product - margin, product + margin, dtype)
    nan = np.isnan(product)
    safe = inside & ~nan & (k * d.unit < 1)
    settled = nan & (r.any(np.isnan(x)) | inside)
    full = np.where(safe, hi, np.asarray(np.inf, a.type.np))
    empty = np.where(safe, lo, np.asarray(-np.inf, a.type.np))
    return value, between(empty, full, ~safe, settled)


def matmul_rule(a: Application) -> Value:
    """matmul: products accumulate along the contracted axis; uncertain operands by midpoint and radius."""
    if not is_floating(a.type.dtype):
        return integer_rule(a)
    dtype = a.type.dtype
    count = a.operands[0].lo.shape[-1]
    b1, b2 = (e.bounds() for e in a.operands)
    (lo1, hi1), (lo2, hi2) = ((wide(b.lo, dtype), wide(b.hi, dtype)) for b in (b1, b2))
    special = any(bool((~np.isfinite(x)).any()) for x in (lo1, hi1, lo2, hi2)) or any(
        bool(b.nan.any()) for b in (b1, b2)
    )
    if all(e.is_singleton for e in a.operands):
        return _matmul_singletons(a, wide(a.operands[0].lo, dtype), wide(a.operands[1].lo, dtype), special)
    value = np.matmul(wide(a.values[0], dtype), wide(a.values[1], dtype)).astype(a.type.np)
    if special:
        return value, whole(a.type)
    mid1, mid2, rad1, rad2 = (lo1 + hi1) / 2, (lo2 + hi2) / 2, (hi1 - lo1) / 2, (hi2 - lo2) / 2
    big1, big2 = np.abs(mid1) + rad1, np.abs(mid2) + rad2
    center = np.matmul(mid1, mid2)
    radius = np.matmul(rad1, big2) + np.matmul(np.abs(mid1), rad2)
    magnitude = np.matmul(big1, big2)
    radius = radius * (1 + 2.0**-40) + magnitude * 2.0**-50
    none = np.zeros(center.shape, np.bool_)
    s = Sum(center - radius, center + radius, magnitude, none, none, none)
    return value, _matmul_interval(a, s, count)


def _matmul_interval(a: Application, s: Sum, count: int) -> Enclosure:
    lo, hi = outward(*enclose_sum(s, count, a.contract.accumulator_of(a.type.dtype), a.type.dtype), a.type.dtype)
    open_ = np.isneginf(lo) & np.isposinf(hi)
    return either_zero(between(lo, hi, s.nan | open_, s.empty))


def _matmul_singletons(a: Application, x: Array, y: Array, special: bool) -> Value:
    dtype, count = a.type.dtype, x.shape[-1]
    product = np.matmul(x, y)
    value = product.astype(a.type.np)
    finite_x, finite_y = (np.where(np.isfinite(v), v, 0.0) if special else v for v in (x, y))
    magnitude = np.matmul(np.abs(finite_x), np.abs(finite_y))
    low_bit = (
        lowest_bit(finite_x).min(axis=-1, initial=NO_BIT)[..., :, None]
        + lowest_bit(finite_y).min(axis=-2, initial=NO_BIT)[..., None, :]
    )
    steady = never_rounds(np.minimum(low_bit, NO_BIT), magnitude, a, dtype)
    if not special and steady.all():
        return value, either_zero(exact(value))
    nan, infinite = np.isnan(product), np.isinf(product)
    finite_product = np.where(nan | infinite, 0.0, product)
    none = np.zeros(product.shape, np.bool_)
    s = Sum(
        np.where(infinite, product, finite_product),
        np.where(infinite, product, finite_product),
        magnitude,
        nan,
        nan,
        none,
    )
    return value, _matmul_interval(a, s, count)


def region_rule(a: Application) -> Value:
    """setitem: bits of the one operand outside the region, of the other inside it."""
    value = reference(a)
    x, update = a.operands
    if x.is_singleton and update.is_singleton:
        return value, exact(value)
    bx, bu = x.bounds(), update.bounds()
    region = slices(a.attributes["index"])

    def put(base: Array, part: Array) -> Array:
        out = base.copy()
        out[region] = part
        return out

    return value, between(put(bx.lo, bu.lo), put(bx.hi, bu.hi), put(bx.nan, bu.nan), put(bx.empty, bu.empty))
