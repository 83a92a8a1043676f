"""The rules of prod and cumulative_prod: exact iff the odd parts fit and no sub-product can leave the normal range."""

from __future__ import annotations

import numpy as np

from offload_fuzz.enclosure import Enclosure, between, computed, either_zero, some
from offload_fuzz.ops.base import Application, normalize_axes, normalize_axis
from offload_fuzz.ops.rounding import FLOAT64, WIDE_UNIT, narrowed, wide
from offload_fuzz.ops.rules import Value, integer_rule, zero_signs
from offload_fuzz.ops.sums import Reduction, along_axes, kept, lowest_bit, prefixes
from offload_fuzz.types import Array, is_floating


def prod_rule(a: Application) -> Value:
    """prod: wrapping for integers; exact or within (1+u)**(n-1) for floats, plus what an order that underflows loses.

    Zeros, infinities and overflow: a product has the sign of its terms whatever the order. NaN joins where a
    sub-product may overflow while another is zero, or underflow to zero while another is infinite.
    """
    if not is_floating(a.type.dtype):
        return integer_rule(a)
    (e,) = a.operands
    dtype, shape = a.type.dtype, e.lo.shape
    r = along_axes(normalize_axes(a.attributes["axis"], len(shape)), a.attributes["keepdims"], shape)
    x = wide(a.values[0], dtype)
    axes, keepdims = normalize_axes(a.attributes["axis"], x.ndim), a.attributes["keepdims"]
    product = np.asarray(np.multiply.reduce(x, axis=axes, keepdims=keepdims))
    value = narrowed(product, dtype)
    if not e.is_certain:
        return value, None
    minus = np.asarray(np.logical_xor.reduce(np.signbit(x), axis=axes, keepdims=keepdims))
    enclosure = _enclosed(a, x, product, value, r, minus)
    return value, zero_signs(a, enclosure) if e.is_singleton else either_zero(enclosure)


def cumulative_prod_rule(a: Application) -> Value:
    """cumulative_prod: as prod, where product i uses terms 1..i only, in any order."""
    if not is_floating(a.type.dtype):
        return integer_rule(a)
    (e,) = a.operands
    x, axis = wide(a.values[0], a.type.dtype), normalize_axis(a.attributes["axis"], a.type.ndim)
    product = np.asarray(np.multiply.accumulate(x, axis=axis))
    value = narrowed(product, a.type.dtype)
    if not e.is_certain:
        return value, None
    minus = np.asarray(np.logical_xor.accumulate(np.signbit(x), axis=axis))
    enclosure = _enclosed(a, x, product, value, prefixes(axis, x.shape), minus)
    return value, zero_signs(a, enclosure) if e.is_singleton else either_zero(enclosure)


def _enclosed(a: Application, x: Array, product: Array, value: Array, r: Reduction, minus: Array) -> Enclosure:
    dtype, k = a.type.dtype, kept(a)
    ordinary = np.isfinite(x) & (x != 0)
    safe = x if np.count_nonzero(ordinary) == x.size else np.where(ordinary, x, x.dtype.type(1))
    logs = np.log2(np.abs(safe)).astype(FLOAT64)
    most, least = r.add(np.maximum(logs, 0.0)) + 0.001, r.add(np.minimum(logs, 0.0)) - 0.001
    overflows, underflows = most >= k.emax, least <= k.emin
    bits = np.frexp(safe)[1] - lowest_bit(safe)  # of the odd part: that of a power of two has one, and adds none
    rounds = overflows | underflows | (r.add(np.where(bits > 1, bits, 0)) > k.precision)
    if safe is x and not some(rounds):
        return computed(value)

    steps = 2 * r.count + 1 if k.narrow else r.count - 1
    relative = np.expm1(steps * np.log1p(k.unit)) * (1 + 2.0**-20) + (r.count + 8) * 2.0 * WIDE_UNIT[dtype]
    absolute = np.where(underflows, (r.count + 1) * k.eta * np.exp2(np.minimum(most, 2000.0)), 0.0)
    size = np.abs(product)
    error = np.where(rounds, size * relative + absolute, 0.0)
    lost = rounds & ~((size > 0) & (size < np.inf))  # the wide product itself left its range
    inner = np.where(lost, 0.0, np.maximum(size - error, 0.0))
    outer = np.where(lost, np.inf, size + error)

    nan, zero, infinite = r.any(np.isnan(x)), r.any(x == 0), r.any(np.isinf(x))
    inner = np.where(infinite, np.inf, np.where(zero, 0.0, inner))
    outer = np.where(zero, 0.0, np.where(infinite, np.inf, outer))
    inner, outer = narrowed(inner, dtype), narrowed(outer, dtype)
    must = nan | (zero & infinite)
    may = must | (overflows & (underflows | zero)) | (underflows & infinite)
    e = between(np.where(minus, -outer, inner), np.where(minus, -inner, outer), may, must)
    overflows = overflows & ~(must | zero)
    if not some(overflows):
        return e
    ninf, pinf = np.asarray(overflows & minus), np.asarray(overflows & ~minus)
    return Enclosure(e.lo, e.hi, nan=e.nan, ninf=ninf, pinf=pinf)
