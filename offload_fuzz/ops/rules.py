"""Enclosure rules per accuracy class: exact, correctly rounded, ulps(n).

Every rule takes an `Application` and returns the reference's value and the enclosure; the enclosure is None (unknown)
where a row has no rule for uncertain operands.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from offload_fuzz.enclosure import (
    Bounds,
    Enclosure,
    between,
    combine,
    computed,
    either_zero,
    exact,
    hull,
    is_float,
    some,
)
from offload_fuzz.ops.base import Application
from offload_fuzz.ops.loosening import loosened
from offload_fuzz.ops.ranges import RANGES, Ends, monotone, ulps_bound
from offload_fuzz.ops.rounding import narrowed, outward, ulps_around, wide, wide_dtype
from offload_fuzz.ops.wide_meaning import wide_formula
from offload_fuzz.types import DTYPES, NAMES, Array, is_floating

Value: TypeAlias = tuple[Array, Enclosure | None]


def certain(a: Application) -> bool:
    """Whether every operand is known to the number."""
    return all(e.is_certain for e in a.operands)


def singletons(a: Application) -> bool:
    """Whether every operand is known to the bit."""
    return all(e.is_singleton for e in a.operands)


def reference(a: Application) -> Array:
    """The NumPy meaning on the reference's own values, in the dtype of the result."""
    return np.asarray(a.op.numpy(*a.values, **a.attributes)).astype(a.type.np, copy=False)


def zero_signs(a: Application, enclosure: Enclosure) -> Enclosure:
    """`enclosure`, with zeros of either sign where the contract leaves the sign of the op's zeros open."""
    if a.op.name in a.contract.either_zero and is_floating(a.type.dtype):
        return either_zero(enclosure)
    return enclosure


def payloads(a: Application, e: Enclosure) -> Enclosure:
    """`e` of a data movement, with any NaN for a NaN where the contract leaves payloads open."""
    if a.type.dtype not in a.contract.nan_payload.get(a.op.name, ()):
        return e
    b = e.bounds()
    return between(b.lo, b.hi, b.nan, b.empty) if some(b.nan) else e


# --------------------------------------------------------------------------------------------------- exact, rounded
def exact_rule(a: Application) -> Value:
    """Bits, integers, comparison, movement: one result for certain operands; monotone ends for the rest."""
    value = reference(a)
    if a.op.moves:
        if singletons(a):
            return value, payloads(a, exact(value))
        return value, payloads(a, combine(partial(a.op.numpy, **a.attributes), *a.operands))
    if singletons(a):
        return value, zero_signs(a, computed(value))
    if a.op.monotone and "other" not in a.op.monotone:
        return value, zero_signs(a, monotone(a, partial(_exactly, a)))
    if certain(a) and not any(is_float(e.lo.dtype) for e in a.operands):
        return value, computed(value)
    return value, None


def _exactly(a: Application, *operands: Array) -> tuple[Array, Array]:
    result = np.asarray(a.op.numpy(*operands, **a.attributes)).astype(a.type.np, copy=False)
    return result, result


def integer_rule(a: Application) -> Value:
    """Integers wrap, so their arithmetic takes certain operands only."""
    value = reference(a)
    return value, computed(value) if certain(a) else None


def rounded_rule(a: Application) -> Value:
    """Correctly rounded: NumPy's result in the dtype; the range of the operands' sets for the rest.

    For bfloat16 that is rounded twice, through float32, which differs from once for no operands of + - * / and sqrt:
    24 >= 2 * 8 + 2 (Figueroa, "When is double rounding innocuous?", SIGNUM Newsletter 30 (1995)), and below the
    normal numbers no 16-bit product or quotient comes so near to a tie (tried on all significands and exponents).
    """
    if not is_floating(a.type.dtype):
        return integer_rule(a)
    value = reference(a)
    if singletons(a):
        return value, zero_signs(a, computed(value))
    range_ = RANGES.get(a.op.name)
    return value, None if range_ is None else zero_signs(a, range_(a, partial(_exactly, a)))


def quotient_rule(a: Application) -> Value:
    """divide and sqrt: correctly rounded where the contract says so, else within its ulps."""
    if a.op.name in a.contract.correctly_rounded:
        return rounded_rule(a)
    value, e = ulps_rule(a)
    return value, e if e is None or a.op.name != "divide" else by_reciprocal(a, e)


def reciprocal_leaves(a: Application, divisor: Array) -> tuple[Array, Array]:
    """Where 1 / wide `divisor` is computed and is subnormal, and where it overflows."""
    d = DTYPES[a.type.dtype]
    size = np.abs(divisor)
    if a.type.dtype not in a.contract.reciprocal_division:
        return np.zeros(size.shape, np.bool_), np.zeros(size.shape, np.bool_)
    return np.asarray(size > 2.0**-d.emin), np.asarray((size > 0) & (size < 2.0**-d.emax))


def by_reciprocal(a: Application, e: Enclosure) -> Enclosure:
    """`e`, the quotients, with x * (1 / y) where the contract lets that be computed and 1 / y is not normal."""
    dtype = a.type.dtype
    y = a.operands[1].bounds()
    far = np.asarray(False)
    for end in (y.lo, y.hi):
        small, big = reciprocal_leaves(a, wide(end, NAMES[end.dtype]))
        far = far | small | big
    if not some(far):
        return e
    far = np.broadcast_to(far, a.type.shape)
    b = e.bounds()
    top = np.asarray(np.inf, a.type.np)
    if not singletons(a):
        return between(np.where(far, -top, b.lo), np.where(far, top, b.hi), b.nan | far, b.empty & ~far)
    x, divisor = np.broadcast_arrays(*(wide(v, NAMES[v.dtype]) for v in a.values))
    reciprocal = np.abs(1 / divisor)
    least, most = outward(reciprocal, reciprocal, dtype)
    if a.contract.flushes(a.op.name, dtype):
        least = np.zeros_like(least)
    lo, hi = (np.abs(x) * r.astype(x.dtype) for r in (least, most))
    absent = np.isnan(lo) | np.isnan(hi)
    lo, hi = outward(np.where(absent, 0.0, lo), np.where(absent, 0.0, hi), dtype)
    minus = np.signbit(x) ^ np.signbit(divisor)
    products = between(np.where(minus, -hi, lo), np.where(minus, -lo, hi), absent, absent)
    both = hull(e, products).bounds()
    return between(*(np.where(far, new, old) for new, old in zip(_parts(both), _parts(b), strict=True)))


def _parts(b: Bounds) -> tuple[Array, Array, Array, Array]:
    return b.lo, b.hi, b.nan, b.empty


# --------------------------------------------------------------------------------------------------------- ulps(n)
@loosened
def ulps_rule(a: Application) -> Value:
    """The exact result, computed wide, with the contract's ulps around it; the range of uncertain operands' sets."""
    dtype = a.type.dtype
    if not is_floating(dtype):
        value = reference(a)
        return value, computed(value) if singletons(a) else None
    center = _exact_result(a, *a.values)
    root = half_power(a)
    if some(root):
        center = np.where(root, np.inf, center)
    value = narrowed(center, dtype)
    if singletons(a):
        lo, hi = ulps_around(center, ulps_bound(a), dtype)
        empty, zero = np.isnan(center), center == 0
        nan = empty | signalling(a)
        if a.type.dtype in a.contract.pow_by_root:
            nan = nan | root
        if some(zero):
            settled = zero & _zero_is_exact(a)
            lo, hi = np.where(settled, value, lo), np.where(settled, value, hi)
        enclosure = between(lo, hi, np.asarray(nan), np.asarray(empty))
        return value, either_zero(enclosure) if a.op.custom else zero_signs(a, enclosure)
    range_ = RANGES.get(a.op.name)
    return value, None if range_ is None else zero_signs(a, range_(a, _among_ulps(a)))


def half_power(a: Application) -> Any:
    """Where pow(-inf, 0.5) is inf, whatever the reference's NumPy answers: by strides it takes sqrt, which is NaN."""
    if a.op.name != "pow" or not some(np.isneginf(a.values[0])):
        return np.asarray(False)
    return np.isneginf(a.values[0]) & (a.values[1] == 0.5)


#: Ops that are a number where one operand is a quiet NaN: pow(1, NaN), hypot(inf, NaN), fmin(1, NaN).
NUMBER_OF_NAN = frozenset({"pow", "hypot", "fmin", "fmax"})


def signalling(a: Application) -> Any:
    """Where an operand of an op in `NUMBER_OF_NAN` is a signalling NaN, so that the result may be NaN after all.

    Source: IEEE 754-2019, 9.2.1 ("even a quiet NaN") and 6.2.1: a signalling NaN gives a quiet one.
    """
    found: Any = False
    if a.op.name in NUMBER_OF_NAN:
        for x in a.values:
            nan = np.isnan(x)
            if some(nan):
                bits = np.asarray(x).view(f"u{x.dtype.itemsize}")
                found = found | (nan & ((bits >> (DTYPES[NAMES[x.dtype]].precision - 2)) & 1 == 0))
    return found


def quieted(x: Array) -> Array:
    """`x` with a quiet NaN for each: whether a conversion on the way keeps a signalling one is up to the hardware."""
    nan = np.isnan(x)
    return np.where(nan, np.asarray(np.nan, x.dtype), x) if some(nan) else x


def _exact_result(a: Application, *operands: Array) -> Array:
    if a.op.name in NUMBER_OF_NAN:
        operands = tuple(map(quieted, operands))
    widened = [wide(x, NAMES[x.dtype]) for x in operands]
    return np.asarray(wide_formula(a.op.numpy)(*widened, **a.attributes), wide_dtype(a.type.dtype))


def _among_ulps(a: Application) -> Ends:
    n, dtype = ulps_bound(a), a.type.dtype

    def ends(*operands: Array) -> tuple[Array, Array]:
        return ulps_around(_exact_result(a, *operands), n, dtype, among=True)

    return ends


#: Ops whose zeros are no underflow, or are not for these operands.
EXACT_ZEROS: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(("log", "log2", "log10", "acos", "acosh"), lambda x: True),
    "xlogy": lambda x1, x2: x2 == 1,
}


def _zero_is_exact(a: Application) -> Any:
    """Where a computed zero is no underflow: see `EXACT_ZEROS`; else where an operand is zero or infinite."""
    rule = EXACT_ZEROS.get(a.op.name)
    exact_ = np.asarray(rule(*a.values) if rule else False)
    for x in a.values:
        if is_float(x.dtype):
            exact_ = exact_ | (x == 0) | np.isinf(x)
    return exact_


RULES: dict[str, Callable[[Application], Value]] = {
    "exact": exact_rule,
    "correctly rounded": rounded_rule,
    "ulps": ulps_rule,
}
