"""Enclosure rules for ops that add up: sum, mean, cumulative_sum, matmul.

A result is one number iff every term is a multiple of 2**q and the sum of magnitudes is at most 2**(q+p): then no
partial sum rounds, in any order. Else n terms that are added in any order give a sum within (n-1) * u * sum|term| of
the exact one, and a product of n pairs within n * u * sum|x*y|, for any n (Jeannerod and Rump, "Improved error bounds
for inner products in floating-point arithmetic", SIAM J. Matrix Anal. Appl. 34 (2013)); what is narrowed at the end is
rounded once more. Where a partial sum may overflow in some order, infinities join, and NaN where both may.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from attrs import evolve, frozen

from offload_fuzz.enclosure import Bounds, Enclosure, between, either_zero, exact, some
from offload_fuzz.ops.base import Application, normalize_axes, normalize_axis
from offload_fuzz.ops.rounding import FLOAT64, WIDE_UNIT, narrowed, rounded_down, rounded_up, wide
from offload_fuzz.ops.rules import Value, integer_rule
from offload_fuzz.types import DTYPES, Array, DType, is_floating

NO_BIT = 1 << 20  # the exponent of the lowest set bit of zero: above every other


# ------------------------------------------------------------------------------------------------ what is kept of a sum
@frozen
class Kept:
    """The number format that partial sums are sure to have: the least of the accumulator and of the result."""

    precision: int
    emin: int
    emax: int
    unit: float
    eta: float
    max: float
    narrow: bool
    flushes: bool = False


def kept(a: Application) -> Kept:
    """What the contract says of the accumulator for the dtype of the result."""
    result = DTYPES[a.type.dtype]
    if a.contract.flushes(a.op.name, a.type.dtype):
        return _flushed(evolve(a, contract=evolve(a.contract, flushed={})))
    accumulator = DTYPES[a.contract.accumulator_of(a.type.dtype)]
    if accumulator is result:
        return kept_of(result)
    both: tuple[DType, DType] = (accumulator, result)
    return Kept(
        min(d.precision for d in both),
        max(d.emin for d in both),
        min(d.emax for d in both),
        max(d.unit for d in both),
        max(d.eta for d in both),
        min(d.max for d in both),
        accumulator.precision < result.precision or accumulator.emax < result.emax,
    )


def _flushed(a: Application) -> Kept:
    """Where subnormals are taken as zero: sums are exact above the smallest normal number, and lose up to that."""
    k = kept(a)
    return evolve(k, emin=k.emin + k.precision - 1, eta=2.0 * 2.0**k.emin, flushes=True)


def kept_of(d: DType) -> Kept:
    """The format itself."""
    return _SAME[d.name]


_SAME = {d.name: Kept(d.precision, d.emin, d.emax, d.unit, d.eta, d.max, False) for d in DTYPES.values() if d.precision}


def lowest_bit(x: Array) -> Array:
    """The exponent of the lowest set bit of each finite wide element (`NO_BIT` for zero)."""
    fraction, exponent = np.frexp(x)
    digits = np.ldexp(fraction, 63).astype(np.int64)  # elements have at most 53 bits
    low = (digits & -digits).astype(FLOAT64)
    return np.where(digits == 0, NO_BIT, exponent - 64 + np.frexp(low)[1])


def lowest_of_all(x: Array) -> int:
    """The exponent of a bit that is not above the lowest set bit of any wide element, cheaply."""
    if x.size == 0:
        return NO_BIT
    fraction, exponent = np.frexp(x)
    digits = np.ldexp(fraction, 62).astype(np.int64) | (1 << 62)
    low = np.ldexp((digits & -digits).astype(x.dtype), exponent).min()
    return int(np.frexp(low)[1]) - 63


def all_multiples(x: Array, top: float, k: Kept) -> bool:
    """Whether no sum of the wide terms `x` rounds, `top` being the largest sum of magnitudes."""
    if not top < 2.0**k.emax:
        return False
    q = max(math.frexp(top)[1] - k.precision, k.emin - k.precision + 1)
    scaled = x * np.ldexp(x.dtype.type(1), -q)
    return bool(np.count_nonzero(np.rint(scaled) == scaled) == x.size)


def never_rounds(low_bit: Array, magnitude: Array, k: Kept) -> Array:
    """Per result: whether no partial sum rounds or overflows, in any order."""
    q = np.minimum(np.maximum(low_bit, -20000), 20000)
    top = np.ldexp(magnitude.dtype.type(1), np.minimum(q + k.precision, k.emax))
    return np.asarray(((magnitude <= top) & (q >= k.emin - k.precision + 1)) | (magnitude == 0))


# ------------------------------------------------------------------------------------------------------------ gathering
@frozen
class Reduction:
    """How terms are gathered: functions over the terms, and how many terms each result has."""

    add: Callable[[Array], Array]
    any: Callable[[Array], Array]
    min: Callable[[Array], Array]
    count: Any


def along_axes(axes: tuple[int, ...], keepdims: bool, shape: tuple[int, ...]) -> Reduction:
    """Reduce over `axes`."""
    over: dict[str, Any] = {"axis": axes, "keepdims": keepdims}
    return Reduction(
        lambda x: np.asarray(np.add.reduce(x, **over)),
        lambda x: np.asarray(np.logical_or.reduce(x, **over)),
        lambda x: np.asarray(np.minimum.reduce(x, initial=NO_BIT, **over)),
        math.prod([shape[i] for i in axes]),
    )


def prefixes(axis: int, shape: tuple[int, ...]) -> Reduction:
    """Reduce the first 1, 2, ... n terms along `axis`."""
    count = np.arange(1, shape[axis] + 1, dtype=FLOAT64).reshape([-1 if i == axis else 1 for i in range(len(shape))])
    return Reduction(
        lambda x: np.asarray(np.add.accumulate(x, axis=axis)),
        lambda x: np.asarray(np.logical_or.accumulate(x, axis=axis)),
        lambda x: np.asarray(np.minimum.accumulate(x, axis=axis)),
        count,
    )


@frozen
class Sum:
    """Exact sums of the finite parts of terms, wide, and where infinities and NaN may or must be among the terms.

    rounds: where some order of adding may round; the sum of magnitudes bounds what it may lose.
    """

    lo: Array
    hi: Array
    magnitude: Array
    rounds: Any = True
    nan: Any = False
    empty: Any = False
    up: Any = False
    down: Any = False
    must_up: Any = False
    must_down: Any = False


def known_bounds(x: Array, b: Bounds | None) -> Bounds:
    """The bounds of an operand, or those of its wide value `x` if it is known (`b` is None)."""
    if b is not None:
        return b
    nan = np.isnan(x)
    x = np.where(nan, x.dtype.type(0), x) if some(nan) else x
    return Bounds(x, x, np.asarray(nan), np.asarray(nan))


def gather(b: Bounds, r: Reduction, k: Kept, known: bool) -> Sum:
    """The set of exact sums of terms within wide `b`, each of which is one number if `known`."""
    up, down, must_up, must_down = b.hi == np.inf, b.lo == -np.inf, b.lo == np.inf, b.hi == -np.inf
    infinite, zero = must_up | must_down, b.lo.dtype.type(0)
    lo, hi = np.where(infinite, zero, b.lo), np.where(infinite, zero, b.hi)
    magnitude = r.add(np.maximum(np.abs(lo), np.abs(hi)))
    rounds = ~never_rounds(r.min(lowest_bit(lo)), magnitude, k) if known else True
    return Sum(
        r.add(lo), r.add(hi), magnitude, rounds, r.any(b.nan), r.any(b.empty), r.any(up), r.any(down), r.any(must_up),
        r.any(must_down),
    )  # fmt: skip  # in the order of the fields


def enclose_sum(s: Sum, roundings: Any, underflows: Any, a: Application, k: Kept, over: int = 1) -> Enclosure:
    """What adding up may give, with so many roundings on the way for each term, divided by `over`.

    underflows: how many terms may each have lost half of the smallest subnormal.
    """
    dtype = a.type.dtype
    unit, host = k.unit, WIDE_UNIT[dtype]
    if k.narrow:  # terms are rounded to the accumulator, the sum as well
        roundings, underflows = roundings + 3, underflows + roundings + 3
    error = s.magnitude * (roundings * unit * (1.0 + 4.0 * unit)) + underflows * k.eta
    error = error + s.magnitude * ((roundings + 8) * 2.0 * host) * (error > 0)
    # operands that are open to infinity make any error possible, and no term at all makes none of it
    error = np.where(np.isinf(s.magnitude), np.inf, error) if s.rounds is True else np.where(s.rounds, error, 0.0)
    risky = s.magnitude + error > k.max
    up, down, nan, empty = s.up, s.down, s.nan, s.empty
    if some(risky):
        up = up | (risky & ((s.magnitude + s.hi) / 2 + error > k.max))
        down = down | (risky & ((s.magnitude - s.lo) / 2 + error > k.max))
    lo, hi = s.lo - error, s.hi + error
    if over > 1:
        lo, hi = _quotients(lo, hi, over, a, k)
    lo, hi = narrowed(lo, dtype), narrowed(hi, dtype)
    if up is False and down is False and nan is False:
        return either_zero(between(lo, hi))
    shape = a.type.shape
    nan, empty = nan | (up & down), empty | (s.must_up & s.must_down)
    unbounded = s.must_up | s.must_down | empty
    e = either_zero(between(lo, hi, np.broadcast_to(nan, shape), np.broadcast_to(unbounded, shape)))
    pinf = np.broadcast_to(up & np.logical_not(s.must_down | empty), shape)
    ninf = np.broadcast_to(down & np.logical_not(s.must_up | empty), shape)
    return Enclosure(e.lo, e.hi, nan=e.nan, ninf=ninf if some(ninf) else None, pinf=pinf if some(pinf) else None)


def _quotients(lo: Array, hi: Array, n: int, a: Application, k: Kept) -> tuple[Array, Array]:
    """The ends divided by `n`, or multiplied by its reciprocal, before the last rounding."""
    lo, hi = lo / n, hi / n
    if n & (n - 1) == 0:
        return (lo - k.eta, hi + k.eta) if k.narrow or k.flushes else (lo, hi)
    ulps = 0.0 if "divide" in a.contract.correctly_rounded else a.contract.ulps_of("divide", a.type.dtype, 2.0)
    roundings = 1 + (n >= 2**k.precision) + k.narrow + 2.0 * ulps  # the reciprocal, n itself, the quotient
    loss = roundings * max(k.unit, k.eta * n) * (1.0 + 4.0 * k.unit)
    lost = (k.narrow + k.flushes + ulps) * k.eta
    return lo - np.abs(lo) * loss - lost, hi + np.abs(hi) * loss + lost


# ---------------------------------------------------------------------------------------------------------------- rules
def sum_rule(a: Application) -> Value:
    """sum: wrapping for integers; exact or within the bound for floats."""
    if not is_floating(a.type.dtype):
        return integer_rule(a)
    shape = a.values[0].shape
    return _sum(a, along_axes(normalize_axes(a.attributes["axis"], len(shape)), a.attributes["keepdims"], shape))


def cumulative_sum_rule(a: Application) -> Value:
    """cumulative_sum: prefix i uses terms 1..i only, in any order."""
    if not is_floating(a.type.dtype):
        return integer_rule(a)
    shape = a.values[0].shape
    return _sum(a, prefixes(normalize_axis(a.attributes["axis"], len(shape)), shape))


def mean_rule(a: Application) -> Value:
    """mean: the sum, then a division or a multiplication by the reciprocal; exact for powers of two only."""
    shape = a.values[0].shape
    r = along_axes(normalize_axes(a.attributes["axis"], len(shape)), a.attributes["keepdims"], shape)
    if r.count == 0:
        return _nothing(a)
    return _sum(a, r, r.count)


def _nothing(a: Application) -> Value:
    nan = np.ones(a.type.shape, np.bool_)
    value = np.full(a.type.shape, np.nan, a.type.np)
    return value, between(value, value, nan, nan)


def _sum(a: Application, r: Reduction, over: int = 1) -> Value:
    (e,) = a.operands
    dtype, k = a.type.dtype, kept(a)
    x = wide(a.values[0], dtype)
    total = r.add(x)
    value = narrowed(total if over == 1 else total / over, dtype)
    known = e.is_certain
    if known:
        magnitude = r.add(np.abs(x))
        if all_multiples(x, float(magnitude.max(initial=0.0)), k):
            if over == 1:
                return value, either_zero(exact(value))
            return value, enclose_sum(Sum(total, total, magnitude, False), 0, 0, a, k, over)
    b = None if known else e.bounds()
    if b is not None:
        b = Bounds(wide(b.lo, dtype), wide(b.hi, dtype), b.nan, b.empty)
    s = gather(known_bounds(x, b), r, k, known)
    return value, enclose_sum(s, r.count - 1, r.count if k.flushes else 0, a, k, over)


def matmul_rule(a: Application) -> Value:
    """matmul: products accumulate along the contracted axis; uncertain operands by midpoint and radius."""
    if not is_floating(a.type.dtype):
        return integer_rule(a)
    dtype, k = a.type.dtype, kept(a)
    x, y = (wide(v, dtype) for v in a.values)
    product = np.matmul(x, y)
    value = narrowed(product, dtype)
    flushed = a.contract.flushes(a.op.name, dtype) and (some(_subnormal(x, dtype)) or some(_subnormal(y, dtype)))
    if all(e.is_certain for e in a.operands) and not (flushed or (k.narrow and _inputs_round(a, x, y))):
        return value, _product_of_known(a, x, y, product, value, k)
    b1, b2 = (e.bounds() for e in a.operands)
    (lo1, hi1), (lo2, hi2) = ((wide(b.lo, dtype), wide(b.hi, dtype)) for b in (b1, b2))
    if flushed:
        (lo1, hi1), (lo2, hi2) = (
            (_or_zero(lo, dtype, -1), _or_zero(hi, dtype, 1)) for lo, hi in ((lo1, hi1), (lo2, hi2))
        )
    if k.narrow:
        accumulator = a.contract.accumulator_of(dtype)
        lo1, lo2 = (rounded_down(lo, accumulator).astype(x.dtype) for lo in (lo1, lo2))
        hi1, hi2 = (rounded_up(hi, accumulator).astype(x.dtype) for hi in (hi1, hi2))
    open1, open2 = b1.nan | ~(np.abs(lo1) + np.abs(hi1) < np.inf), b2.nan | ~(np.abs(lo2) + np.abs(hi2) < np.inf)
    open_ = np.any(open1, axis=-1)[..., :, None] | np.any(open2, axis=-2)[..., None, :]
    zero = x.dtype.type(0)
    lo1, hi1 = np.where(open1, zero, lo1), np.where(open1, zero, hi1)
    lo2, hi2 = np.where(open2, zero, lo2), np.where(open2, zero, hi2)
    mid1, mid2, rad1, rad2 = (lo1 + hi1) / 2, (lo2 + hi2) / 2, (hi1 - lo1) / 2, (hi2 - lo2) / 2
    big1, big2 = np.maximum(np.abs(lo1), np.abs(hi1)), np.maximum(np.abs(lo2), np.abs(hi2))
    center, magnitude = np.matmul(mid1, mid2), np.matmul(big1, big2)
    host = WIDE_UNIT[dtype] * (x.shape[-1] + 8)
    radius = (np.matmul(rad1, big2) + np.matmul(np.abs(mid1), rad2)) * (1 + 4 * host) + magnitude * 4 * host
    e = _accumulated(a, Sum(center - radius, center + radius, magnitude), x.shape[-1], k)
    if not some(open_):
        return value, e
    b = e.bounds()
    top = np.asarray(np.inf, a.type.np)
    return value, between(np.where(open_, -top, b.lo), np.where(open_, top, b.hi), b.nan | open_, b.empty)


def _subnormal(x: Array, dtype: str) -> Array:
    return np.asarray((x != 0) & (np.abs(x) < 2.0 ** DTYPES[dtype].emin))


def _or_zero(end: Array, dtype: str, sign: int) -> Array:
    """The end of an interval, moved to zero where it is subnormal and on the other side of it."""
    return np.where(_subnormal(end, dtype) & (np.sign(end) != sign), end.dtype.type(0), end)


def _inputs_round(a: Application, *inputs: Array) -> bool:
    """Whether some input is no number of the accumulator, to which a device may round it."""
    accumulator = DTYPES[a.contract.accumulator_of(a.type.dtype)].np
    return any(some(x.astype(accumulator).astype(x.dtype) != x) for x in inputs)


def _accumulated(a: Application, s: Sum, count: int, k: Kept) -> Enclosure:
    return enclose_sum(s, count, count, a, k)


def _product_of_known(a: Application, x: Array, y: Array, product: Array, value: Array, k: Kept) -> Enclosure:
    magnitude = np.matmul(np.abs(x), np.abs(y))
    top = float(magnitude.max(initial=0.0))
    if top < 2.0**k.emax:
        low = lowest_of_all(x) + lowest_of_all(y)
        if low >= k.emin - k.precision + 1 and top <= math.ldexp(1.0, min(low + k.precision, k.emax)):
            return either_zero(exact(value))
        finite_x, finite_y = x, y
    else:
        finite_x, finite_y = (np.where(np.isfinite(v), v, v.dtype.type(0)) for v in (x, y))
        magnitude = np.matmul(np.abs(finite_x), np.abs(finite_y))
    low_x = np.minimum.reduce(lowest_bit(finite_x), axis=-1, initial=NO_BIT)
    low_y = np.minimum.reduce(lowest_bit(finite_y), axis=-2, initial=NO_BIT)
    rounds = ~never_rounds(np.minimum(low_x[..., :, None] + low_y[..., None, :], NO_BIT), magnitude, k)
    nan = np.isnan(product)
    if finite_x is x:
        return _accumulated(a, Sum(product, product, magnitude, rounds), x.shape[-1], k)
    up, down = product == np.inf, product == -np.inf
    total = np.matmul(finite_x, finite_y)
    return _accumulated(a, Sum(total, total, magnitude, rounds, nan, nan, up, down, up, down), x.shape[-1], k)
