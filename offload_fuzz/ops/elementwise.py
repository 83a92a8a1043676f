"""Element-wise ops of the array API standard, as rows (name, NumPy function, kinds, accuracy, monotone)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from offload_fuzz.enclosure import Enclosure, between, computed, hull
from offload_fuzz.ops.base import (
    Accuracy,
    Application,
    EncloseRule,
    Op,
    Operand,
    TypeRule,
    broadcast_shapes,
    broadcast_to_bool,
    broadcast_type,
    correctly_rounded,
    exact,
    register,
    same_type,
    to_bool,
    ulps,
)
from offload_fuzz.ops.rules import (
    RULES,
    Value,
    certain,
    even_rule,
    joined_flags,
    quotient_rule,
    reference,
    ulps_rule,
    wide,
)
from offload_fuzz.types import NAMES, Array, ArrayType, is_floating, promote

NUMERIC, FLOATING, INTEGRAL, BOOL, BITS, ANY = (
    ("numeric",),
    ("real floating",),
    ("integral",),
    ("bool",),
    ("bool", "integral"),
    ("any",),
)
UP, DOWN = "increasing", "decreasing"
BINARY = (Operand(), Operand("broadcast"))


def row(
    name: str,
    numpy: Callable[..., Any],
    kinds: tuple[str, ...],
    accuracy: Accuracy,
    *monotone: str,
    type_rule: TypeRule | None = None,
    enclose: EncloseRule | None = None,
    defined: Callable[..., bool] | None = None,
) -> Op:
    """Register one element-wise op; its arity is that of the NumPy function."""
    arity = numpy.nin if isinstance(numpy, np.ufunc) else len(monotone)
    return register(
        Op(
            name,
            "elementwise",
            kinds,
            accuracy,
            type_rule or (same_type if arity == 1 else broadcast_type),
            numpy,
            enclose or RULES[accuracy.kind],
            operands=(Operand(),) if arity == 1 else BINARY,
            monotone=monotone,
            elementwise=True,
            defined=defined,
            summary=f"numpy.{getattr(numpy, '__name__', name)} on {' or '.join(kinds)} dtypes",
        )
    )


# --------------------------------------------------------------------------------------- rules of single ops
def compare_rule(a: Application) -> Value:
    """equal, less: {False}, {True} or both, as the operands' intervals are apart, inside or overlapping."""
    value = reference(a)
    if all(e.is_singleton for e in a.operands):
        return value, computed(value)
    x, y = (e.bounds() for e in a.operands)
    both = ~(x.empty | y.empty)
    open_ = x.nan | y.nan
    if a.op.name == "equal":
        may = (x.lo <= y.hi) & (y.lo <= x.hi) & both
        must = (x.lo == x.hi) & (y.lo == y.hi) & (x.lo == y.lo) & both & ~open_
    else:
        may = (x.lo < y.hi) & both
        must = (x.hi < y.lo) & both & ~open_
    if bool((may == must).all()):
        return value, computed(may)
    return value, between(must, may)


def isnan_rule(a: Application) -> Value:
    """isnan: both answers where NaN is allowed beside numbers."""
    value = reference(a)
    (b,) = (e.bounds() for e in a.operands)
    if bool((b.nan == b.empty).all()):
        return value, computed(b.nan)
    return value, between(b.empty, b.nan)


def extremum_rule(a: Application) -> Value:
    """minimum, maximum: increasing; a NaN operand gives NaN; of two opposite zeros either."""
    value = reference(a)
    if not is_floating(a.type.dtype):
        return value, computed(value) if certain(a) else None
    bounds = [e.bounds() for e in a.operands]
    nan, empty = joined_flags(a, bounds)
    lo, hi = a.op.numpy(bounds[0].lo, bounds[1].lo), a.op.numpy(bounds[0].hi, bounds[1].hi)
    zeros = (lo == 0) | (hi == 0)
    if not zeros.any():
        return value, computed(value) if all(e.is_singleton for e in a.operands) else between(lo, hi, nan, empty)
    # the zero may come from any operand that reaches zero there, with the sign it has
    minus, plus = (np.zeros(a.type.shape, np.bool_) for _ in range(2))
    for b in bounds:
        minus |= ((b.lo == 0) & np.signbit(b.lo)) | ((b.hi == 0) & np.signbit(b.hi))
        plus |= ((b.lo == 0) & ~np.signbit(b.lo)) | ((b.hi == 0) & ~np.signbit(b.hi))
    lo = np.where((lo == 0) & minus, np.asarray(-0.0, lo.dtype), lo)
    hi = np.where((hi == 0) & plus, np.asarray(0.0, hi.dtype), hi)
    lo = np.where((lo == 0) & ~minus & plus, np.asarray(0.0, lo.dtype), lo)
    hi = np.where((hi == 0) & ~plus & minus, np.asarray(-0.0, hi.dtype), hi)
    return value, between(lo, hi, nan, empty)


def floor_divide_rule(a: Application) -> Value:
    """floor_divide: the floor of the exact quotient or of the rounded one; integers floor."""
    return _floor_pair(a)


def remainder_rule(a: Application) -> Value:
    """remainder: x1 - q*x2 for the q that floor_divide may give; an exact zero has either sign."""
    return _floor_pair(a)


def _floor_pair(a: Application) -> Value:
    value = reference(a)
    if not all(e.is_singleton for e in a.operands):
        return value, None
    if not is_floating(a.type.dtype):
        return value, computed(value)
    x, y = np.broadcast_arrays(*(wide(v, NAMES[v.dtype]) for v in a.values))
    low = np.remainder(x, y)  # exact: fmod is, and adding the divisor once rounds only below the last place kept
    exact_floor = np.rint((x - low) / y)
    rounded_floor = np.floor((x / y).astype(a.type.np).astype(x.dtype))
    plain = np.isfinite(x) & np.isfinite(y) & (y != 0)
    if a.op.name == "floor_divide":
        firsts, seconds = exact_floor.astype(a.type.np), rounded_floor.astype(a.type.np)
        first, second = (np.where(plain, f, value) for f in (firsts, seconds))
        nan = np.isnan(value)
        lo, hi = np.fmin(first, second), np.fmax(first, second)
        # beyond 2**p the floor is the quotient itself, rounded once or twice
        lo2, hi2 = np.fmin(lo, value), np.fmax(hi, value)
        e = between(np.where(nan, value.dtype.type(0), lo2), np.where(nan, value.dtype.type(0), hi2), nan, nan)
        return value, _either_zero(e)
    nan = np.isnan(value)
    differs = plain & (exact_floor != rounded_floor)
    other = (low - y).astype(a.type.np)
    zero = value.dtype.type(0)
    lo2, hi2 = np.fmin(other, zero), np.fmax(other, zero)
    e = between(np.where(nan, zero, value), np.where(nan, zero, value), nan, nan)
    e = _either_zero(e)
    if not differs.any():
        return value, e
    top, bottom = np.asarray(np.inf, a.type.np), np.asarray(-np.inf, a.type.np)
    return value, Enclosure(e.lo, e.hi, np.where(differs, lo2, top), np.where(differs, hi2, bottom), e.nan)


def _either_zero(e: Enclosure) -> Enclosure:
    from offload_fuzz.enclosure import either_zero

    return either_zero(e)


def where_rule(a: Application) -> Value:
    """where: a pure selection; an uncertain condition gives the hull of both."""
    value = reference(a)
    condition, x1, x2 = a.operands
    if condition.is_singleton:
        if x1.is_singleton and x2.is_singleton:
            return value, Enclosure(value, value)
        picked = condition.lo
        b1, b2 = x1.bounds(), x2.bounds()
        parts = ((b1.lo, b2.lo), (b1.hi, b2.hi), (b1.nan, b2.nan), (b1.empty, b2.empty))
        return value, between(*(np.where(picked, p, q) for p, q in parts))
    shape = a.type.shape
    e1, e2 = (e.move(lambda part: np.broadcast_to(part, shape)) for e in (x1, x2))
    both = hull(e1, e2)
    settled = condition.lo == condition.hi
    if not settled.any():
        return value, both
    b0, b1, b2 = both.bounds(), e1.bounds(), e2.bounds()
    chosen = [
        np.where(settled, np.where(condition.lo, p, q), w)
        for p, q, w in (
            (b1.lo, b2.lo, b0.lo),
            (b1.hi, b2.hi, b0.hi),
            (b1.nan, b2.nan, b0.nan),
            (b1.empty, b2.empty, b0.empty),
        )
    ]
    return value, between(*chosen)


# -------------------------------------------------------------------------------- where the standard is silent
def divisible(x1: Array, x2: Array) -> bool:
    """Integer division is defined for nonzero divisors, and not for the most negative number by -1."""
    if x1.dtype.kind not in "iu":
        return True
    if not bool((x2 != 0).all()):
        return False
    return x1.dtype.kind == "u" or not bool(((x1 == np.iinfo(x1.dtype).min) & (x2 == -1)).any())


def where_type(condition: ArrayType, x1: ArrayType, x2: ArrayType) -> ArrayType:
    """The promoted dtype of x1 and x2 over the common shape."""
    return ArrayType(promote(x1.dtype, x2.dtype), broadcast_shapes(condition.shape, x1.shape, x2.shape))


UNARY = [
    row("negative", np.negative, NUMERIC, exact, DOWN),
    row("abs", np.abs, NUMERIC, exact, enclose=even_rule),
    row("square", np.square, NUMERIC, correctly_rounded, "other"),
    row("sqrt", np.sqrt, FLOATING, correctly_rounded, UP, enclose=quotient_rule),
    row("exp", np.exp, FLOATING, ulps(4), UP),
    row("log", np.log, FLOATING, ulps(4), UP),
    row("sin", np.sin, FLOATING, ulps(4), "other"),
    row("tanh", np.tanh, FLOATING, ulps(4), UP),
    row("floor", np.floor, FLOATING, exact, UP),
    row("round", np.rint, FLOATING, exact, UP),
    row("logical_not", np.logical_not, BOOL, exact, "other"),
    row("bitwise_invert", np.invert, BITS, exact, "other"),
    row("isnan", np.isnan, FLOATING, exact, "other", type_rule=to_bool, enclose=isnan_rule),
]

BINARY_OPS = [
    row("add", np.add, NUMERIC, correctly_rounded, UP, UP),
    row("subtract", np.subtract, NUMERIC, correctly_rounded, UP, DOWN),
    row("multiply", np.multiply, NUMERIC, correctly_rounded, "other", "other"),
    row("divide", np.divide, FLOATING, correctly_rounded, "other", "other", enclose=quotient_rule),
    row("floor_divide", np.floor_divide, NUMERIC, exact, enclose=floor_divide_rule, defined=divisible),
    row("remainder", np.remainder, NUMERIC, exact, enclose=remainder_rule, defined=divisible),
    row("pow", np.power, FLOATING, ulps(4), "other", "other", enclose=ulps_rule),
    row("minimum", np.minimum, NUMERIC, exact, UP, UP, enclose=extremum_rule),
    row("maximum", np.maximum, NUMERIC, exact, UP, UP, enclose=extremum_rule),
    row("equal", np.equal, ANY, exact, "other", "other", type_rule=broadcast_to_bool, enclose=compare_rule),
    row("less", np.less, NUMERIC, exact, "other", "other", type_rule=broadcast_to_bool, enclose=compare_rule),
    row("logical_and", np.logical_and, BOOL, exact, UP, UP),
    row("bitwise_and", np.bitwise_and, BITS, exact, "other", "other"),
    row("bitwise_xor", np.bitwise_xor, BITS, exact, "other", "other"),
]

register(
    Op(
        "where",
        "searching",
        ANY,
        exact,
        where_type,
        np.where,
        where_rule,
        operands=(Operand("any", "bool"), Operand("broadcast"), Operand("broadcast")),
        summary="elements of x1 where the condition holds, else of x2",
    )
)
