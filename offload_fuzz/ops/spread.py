"""What is the square root of a sum of squares, or that sum: vector_norm, var, std.

How var is computed is the contract's to say (`variance`): "two-pass" subtracts the mean and adds up squares, so that it
is never negative; "one-pass" is anything that reads each element once, the textbook formula too, which may be negative.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from offload_fuzz.enclosure import Enclosure, between, exact, some
from offload_fuzz.ops.base import (
    Application,
    Axes,
    Bool,
    Choice,
    Domain,
    Range,
    accumulating,
    normalize_axes,
    reduced_shape,
    shaped,
)
from offload_fuzz.ops.extremes import extreme_type
from offload_fuzz.ops.further_sums import applied
from offload_fuzz.ops.rounding import WIDE_UNIT, narrowed, ulps_around, wide
from offload_fuzz.ops.rules import Value
from offload_fuzz.ops.sums import Kept, Reduction, along_axes, kept, lowest_bit, never_rounds
from offload_fuzz.types import Array, ArrayType


def roots(a: Application, lo: Array, hi: Array, k: Kept) -> tuple[Array, Array]:
    """The square roots of wide ends, within the contract's ulps of sqrt, in the dtype; the root of zero is zero."""
    dtype = a.type.dtype
    ulps = 0.5 if "sqrt" in a.contract.correctly_rounded else a.contract.ulps_of("sqrt", dtype, 1.0)
    rounds = 2 * k.unit if k.narrow else 0.0
    low, high = np.sqrt(np.maximum(lo, 0)) * (1 - rounds), np.sqrt(np.maximum(hi, 0)) * (1 + rounds)
    below, above = ulps_around(low, ulps, dtype, among=True)[0], ulps_around(high, ulps, dtype, among=True)[1]
    zero = np.zeros((), below.dtype)
    return np.where(low == 0, zero, below), np.where(high == 0, zero, above)


# ---------------------------------------------------------------------------------------------------------- vector_norm
def _vector_norm(x: Array, *, axis: Any, keepdims: bool, ord: float) -> Array:
    axes = normalize_axes(axis, x.ndim)
    if not axes:
        return np.abs(x)
    return np.asarray(np.linalg.vector_norm(x, axis=axes, keepdims=keepdims, ord=ord)).astype(x.dtype, copy=False)


def vector_norm_rule(a: Application) -> Value:
    """vector_norm: the sum or the maximum of magnitudes, or the square root of the sum of squares.

    Of the latter: n squares added in any order are within n * u * sum of the exact sum (Jeannerod and Rump 2013, see
    `sums`), and each loses eta at most where it underflows; the root has ulps of its own. Infinite where the sum of
    squares may overflow. A device that scales by a power of two first is inside.
    """
    size, e = applied(a, "abs", a.operands, a.values, {})
    over = {"axis": a.attributes["axis"], "keepdims": a.attributes["keepdims"]}
    order = a.attributes["ord"]
    if order == 2:
        return _euclidean(a, size, e)
    value, result = applied(a, "sum" if order == 1 else "max", a.operands if e is None else [e], [size], over)
    return value, None if e is None else result


def _euclidean(a: Application, size: Array, e: Enclosure | None) -> Value:
    dtype, k = a.type.dtype, kept(a)
    over: dict[str, Any] = {
        "axis": normalize_axes(a.attributes["axis"], size.ndim),
        "keepdims": a.attributes["keepdims"],
    }
    value = narrowed(_root_of_squares(wide(size, dtype), over), dtype)
    if e is None:
        return value, None
    b = e.bounds()
    r = along_axes(over["axis"], over["keepdims"], size.shape)
    n, u = r.count, k.unit
    relative = np.expm1((3 * n + 4 if k.narrow else n + 1) * u) + (n + 8) * 4 * WIDE_UNIT[dtype]
    off = k.eta * math.sqrt(n) if k.narrow or k.flushes else 0.0  # by which elements may be off on the way in
    low, high = (_root_of_squares(wide(end, dtype), over) for end in (b.lo, b.hi))
    nothing = high == 0
    lo, hi = (np.where(nothing, 0, end) for end in (np.maximum(low - off, 0), high + off))
    lost = np.where(nothing, 0, (n + 1) * k.eta)
    shrunk = np.where(np.isinf(lo), lo, lo * lo * max(1 - relative, 0.0))  # an infinity stays one, by any bound
    lo2, hi2 = shrunk - lost, hi * hi * (1 + relative) + lost
    overflow = np.asarray(hi2 > k.max)
    lo2 = np.where(np.isinf(hi2) & np.isfinite(hi), 0, lo2)  # where wide arithmetic cannot hold the square
    lo3, hi3 = roots(a, lo2, hi2, k)
    nan, empty = r.any(b.nan), r.any(b.empty)
    found = between(lo3, hi3, nan, empty)
    infinite = np.asarray(overflow & ~empty)
    return value, Enclosure(found.lo, found.hi, nan=found.nan, pinf=infinite) if some(infinite) else found


def _root_of_squares(x: Array, over: dict[str, Any]) -> Array:
    """sqrt(sum(x * x)), scaled so that nothing leaves the range on the way."""
    axes = {"axis": over["axis"], "keepdims": True}
    largest = np.maximum.reduce(np.where(np.isfinite(x), x, 0), **axes, initial=0)
    exponent = np.frexp(largest)[1]
    scaled = np.ldexp(x, -exponent)
    total = np.add.reduce(scaled * scaled, **axes)
    root = np.ldexp(np.sqrt(total), exponent)
    return np.asarray(
        root if over["keepdims"] else root.reshape([n for i, n in enumerate(x.shape) if i not in over["axis"]])
    )


@shaped(
    _vector_norm, vector_norm_rule, "linear algebra", ("real floating",), accumulating,
    attributes={"axis": Axes(), "keepdims": Bool(), "ord": Choice(2, 1, math.inf)},
)  # fmt: skip  # one row
def vector_norm(x: ArrayType, *, axis: tuple[int, ...] | None, keepdims: bool, ord: float) -> ArrayType:
    """Norm over axes: of order 1 the sum of magnitudes, 2 the Euclidean, inf the largest magnitude."""
    if ord == math.inf:
        return extreme_type("vector_norm of order inf", x, axis, keepdims)
    return ArrayType(x.dtype, reduced_shape(x.shape, normalize_axes(axis, x.ndim), keepdims))


# ------------------------------------------------------------------------------------------------------------- variance
def variance_rule(a: Application) -> Value:
    """var, std: exact iff no step rounds; else within the bound of `_two_pass` or `_one_pass`, as the contract says.

    NaN where an element is NaN or infinite. Where no more elements than `correction` are left, the divisor is 0 (or
    clipped to it: NumPy and PyTorch), so NaN or an infinity.
    """
    (e,) = a.operands
    dtype, k, shape = a.type.dtype, kept(a), a.values[0].shape
    r = along_axes(normalize_axes(a.attributes["axis"], len(shape)), a.attributes["keepdims"], shape)
    over = r.count - a.attributes["correction"]
    root = a.op.name == "std"
    if over <= 0 or r.count == 0:
        return _no_freedom(a)
    x = wide(a.values[0], dtype)
    axes = normalize_axes(a.attributes["axis"], len(shape))
    bad = r.any(~np.isfinite(x))
    x = np.where(np.isfinite(x), x, x.dtype.type(0))
    mean = np.add.reduce(x, axis=axes, keepdims=True) / r.count
    apart = x - mean
    exact_sum = np.asarray(r.add(apart * apart))
    variance = exact_sum / over
    value = narrowed(np.where(bad, np.nan, np.sqrt(variance) if root else variance), dtype)
    if not e.is_certain:
        return value, None
    one_pass = a.contract.variance == "one-pass"
    lo, hi, top = (_one_pass if one_pass else _two_pass)(a, x, exact_sum, r, k)
    certain = ~bad & ~_may_round(x, mean, apart, r, k, one_pass) & _is_power_of_two(over) & ~_rounds(variance, dtype)
    certain = certain | ~(bad | r.any(x != 0))
    risky = np.asarray(~bad & ~certain & ~(top <= k.max))
    lo, hi = (np.where(certain, variance, _over(end, over, a, k, sign)) for end, sign in ((lo, -1), (hi, 1)))
    nan, settled = bad | risky, certain
    if root:
        nan = nan | (lo < 0)
        value = np.where(certain, np.sqrt(narrowed(variance, dtype)), value)
        lo, hi = roots(a, lo, hi, k)
        settled = certain if "sqrt" in a.contract.correctly_rounded else certain & (variance == 0)
    else:
        lo, hi = narrowed(lo, dtype), narrowed(hi, dtype)
    lo, hi = (np.where(settled, value, end) for end in (lo, hi))
    if not some(nan) and not some(lo != hi):
        return value, exact(lo)
    found = between(lo, hi, np.asarray(nan), np.asarray(bad))
    if not some(risky):
        return value, found
    down = risky if one_pass and not root else None
    return value, Enclosure(found.lo, found.hi, nan=found.nan, ninf=down, pinf=risky)


def _no_freedom(a: Application) -> Value:
    nan = np.ones(a.type.shape, np.bool_)
    value = np.full(a.type.shape, np.nan, a.type.np)
    e = between(value, value, nan, nan)
    shape = a.values[0].shape
    if along_axes(normalize_axes(a.attributes["axis"], len(shape)), False, shape).count == 0:
        return value, e
    return value, Enclosure(e.lo, e.hi, nan=nan, ninf=nan, pinf=nan)


def _is_power_of_two(n: float) -> bool:
    return math.frexp(n)[0] == 0.5


def _rounds(x: Array, dtype: str) -> Array:
    return np.asarray(narrowed(x, dtype).astype(x.dtype) != x)


def _may_round(x: Array, mean: Array, apart: Array, r: Reduction, k: Kept, one_pass: bool) -> Array:
    """Whether a step of the algorithm may round: the sum, the mean, the differences, their squares or the sum of these.

    The mean is exact where the sum is and the count is a power of two. One pass makes running means too, which are
    exact of two elements at most, and perhaps the square of the sum.
    """
    n = r.count
    if not _is_power_of_two(n) or k.narrow or k.flushes or (one_pass and n > 2):
        return np.asarray(True)
    low, size = r.min(lowest_bit(x)), r.add(np.abs(x))
    fine = never_rounds(low - (n.bit_length() - 1), size, k)
    low = np.minimum(r.min(lowest_bit(apart)), low - (n.bit_length() - 1))
    fine = fine & never_rounds(low, 2 * size, k)
    squares = size * size if one_pass else np.asarray(r.add(apart * apart))
    return np.asarray(~(fine & never_rounds(np.minimum(2 * low, 1 << 20), squares, k)))


def _two_pass(a: Application, x: Array, total: Array, r: Reduction, k: Kept) -> tuple[Array, Array, Array]:
    """Ends of the computed sum of squares of x - m, where m is a computed mean, and the largest number on the way.

    With e the error of m, sum((x - m)**2) is at most the exact one plus n * e**2, and no less. Each difference and
    square rounds, and n of them are added: a relative error of (1+u)**(n+2) - 1 at most (Chan, Golub and LeVeque,
    "Algorithms for computing the sample variance", The American Statistician 37 (1983), section 3, with constants
    worked out here). Elements that are off by h on the way in shift the root of the sum by the norm of h.
    """
    n, u, host = r.count, k.unit, WIDE_UNIT[a.type.dtype]
    size = np.asarray(r.add(np.abs(x)))
    ulps = 0.0 if "divide" in a.contract.correctly_rounded else a.contract.ulps_of("divide", a.type.dtype, 2.0)
    about = size / n
    error = about * ((n + 3 + 2 * ulps + (3 if k.narrow else 0)) * u * (1 + 8 * u) + (n + 8) * 4 * host) + 4 * k.eta
    offsets = (u * np.abs(x) + k.eta) if k.narrow else np.full(x.shape, k.eta if k.flushes else 0.0)
    off = np.sqrt(np.asarray(r.add(offsets * offsets)))
    relative = np.expm1((n + 3) * np.log1p(u)) + (n + 8) * 4 * host
    lost = 2 * (n + 1) * k.eta
    highest = (np.sqrt(total + n * error * error) + off) ** 2
    lowest = np.maximum(np.sqrt(total * (1 - (n + 8) * 4 * host)) - off, 0) ** 2
    top = highest * (1 + relative) + lost
    return np.maximum(lowest * (1 - relative) - lost, 0), top, np.maximum(top, size * (1 + np.expm1(n * u)))


def _one_pass(a: Application, x: Array, total: Array, r: Reduction, k: Kept) -> tuple[Array, Array, Array]:
    """Ends of a sum of squared deviations that one pass computes: within 8 * (n + 2) * u * sum(x**2); and the largest
    number on the way.

    sum(x**2) - sum(x)**2 / n is within (3 * n + 5) * u of that; Welford's update, in which each running mean is off by
    e(k) with k * e(k) <= u * sum over j <= k of (j * |M(j)| + 3 * |d(j)|), within (2.4 * n + 12 * sqrt(1 + ln n) + 6)
    times it (by Cauchy's inequality, sum(d**2) being at most twice the sum of squared deviations, plus x(1)**2, which
    enters as an exact zero); so are partial results joined pairwise (Chan, Golub and LeVeque 1983, as in `_two_pass`).
    """
    n, host = r.count, WIDE_UNIT[a.type.dtype]
    squares = np.asarray(r.add(x * x))
    relative = np.expm1(8 * (n + 2 + (2 if k.narrow else 0)) * k.unit) + (n + 8) * 8 * host
    size = np.asarray(r.add(np.abs(x)))
    lost = 8 * (n + 2) * k.eta * (1 + (size if k.narrow or k.flushes else 0))
    error = squares * relative + lost
    return total - error, total + error, size * size * (1 + relative) + error


def _over(end: Array, n: float, a: Application, k: Kept, sign: int) -> Array:
    """An end divided by `n`, or multiplied by its reciprocal: up to three roundings."""
    ulps = 0.0 if "divide" in a.contract.correctly_rounded else a.contract.ulps_of("divide", a.type.dtype, 2.0)
    result = end / n
    loss = (3 + 2 * ulps) * max(k.unit, k.eta * n) * (1 + 8 * k.unit)
    widened = result + sign * (np.abs(result) * loss + (1 + ulps) * k.eta)
    return widened if a.contract.variance == "one-pass" else np.maximum(widened, 0)


def _var(x: Array, *, axis: Any, correction: float, keepdims: bool) -> Any:
    axes = normalize_axes(axis, x.ndim)
    count = math.prod(x.shape[i] for i in axes)
    if count > correction:
        return np.var(x, axis=axes, ddof=correction, keepdims=keepdims)
    # what NumPy gives, without the warning that `np.errstate` does not reach
    mean = np.asarray(np.add.reduce(x, axis=axes, keepdims=True) / x.dtype.type(count))
    over: dict[str, Any] = {"axis": axes, "keepdims": keepdims}
    return np.asarray(np.add.reduce(np.square(x - mean), **over)) / x.dtype.type(0)


def _std(x: Array, *, axis: Any, correction: float, keepdims: bool) -> Any:
    return np.sqrt(_var(x, axis=axis, correction=correction, keepdims=keepdims))


SPREAD: dict[str, Domain] = {"axis": Axes(), "correction": Range(0, 2), "keepdims": Bool()}


@shaped(_var, variance_rule, "statistical", ("real floating",), accumulating, attributes=SPREAD)
def var(x: ArrayType, *, axis: tuple[int, ...] | None, correction: float, keepdims: bool) -> ArrayType:
    """Sum of squared deviations from the mean over axes, divided by their number less `correction`."""
    return ArrayType(x.dtype, reduced_shape(x.shape, normalize_axes(axis, x.ndim), keepdims))


@shaped(_std, variance_rule, "statistical", ("real floating",), accumulating, attributes=SPREAD)
def std(x: ArrayType, *, axis: tuple[int, ...] | None, correction: float, keepdims: bool) -> ArrayType:
    """Square root of var."""
    return ArrayType(x.dtype, reduced_shape(x.shape, normalize_axes(axis, x.ndim), keepdims))
