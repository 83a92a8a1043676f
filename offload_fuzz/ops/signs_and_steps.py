"""Exact ops on real numbers: rounding to integers, signs, neighbours, powers of two, remainders, steps."""

from __future__ import annotations

import numpy as np

from offload_fuzz.enclosure import Enclosure, between, computed, largest, smallest, some
from offload_fuzz.ops.base import Application, Operand, correctly_rounded, exact
from offload_fuzz.ops.elementwise import FLOATING, NUMERIC, OTHER, UP, divisible, row
from offload_fuzz.ops.function_ranges import for_known, magnitudes
from offload_fuzz.ops.loosening import answering_nan
from offload_fuzz.ops.ranges import all_bounds, holds_zero
from offload_fuzz.ops.rules import Value, exact_rule, integer_rule, reference, singletons
from offload_fuzz.types import ArrayType, is_floating


def sign_rule(a: Application) -> Value:
    """sign: increasing; NaN of NaN, or what the contract says."""
    value, e = exact_rule(a)
    return value, None if e is None else answering_nan(a, e)


def copysign_rule(a: Application) -> Value:
    """copysign: the magnitudes of x1 with each sign that x2 may have; a NaN has either."""
    value = reference(a)
    if singletons(a):
        return value, computed(value)
    x, y = all_bounds(a)
    lo, hi = (np.broadcast_to(end, a.type.shape).astype(a.type.np) for end in magnitudes(x))
    minus, plus = np.signbit(y.lo) | y.nan, ~np.signbit(y.hi) | y.nan
    one = between(-hi, -lo, np.broadcast_to(x.nan, a.type.shape), np.asarray(x.empty | ~minus))
    two = between(lo, hi, None, np.asarray(x.empty | ~plus))
    return value, Enclosure(one.lo, one.hi, two.lo, two.hi, one.nan)


def nextafter_rule(a: Application) -> Value:
    """nextafter: exact; of two zeros either, as the array API takes x2 and NumPy's float16 x1."""
    value = reference(a)
    if not singletons(a):
        return value, None
    e = computed(value)
    x, y = (np.broadcast_to(x, a.type.shape).astype(a.type.np) for x in a.values)
    zeros = (x == 0) & (y == 0)
    if not some(zeros):
        return value, e
    lo, hi = np.where(zeros, smallest(x, y), e.lo), np.where(zeros, largest(x, y), e.hi)
    return value, Enclosure(lo, hi, nan=e.nan)


def fmod_rule(a: Application) -> Value:
    """fmod: exact, with the sign of the dividend."""
    return for_known(exact_rule)(a) if is_floating(a.type.dtype) else integer_rule(a)


def ldexp_rule(a: Application) -> Value:
    """ldexp: x1 * 2**x2, rounded once where it is subnormal; in an interval increasing for a known exponent."""
    value = reference(a)
    x, power = a.operands
    if singletons(a):
        return value, computed(value)
    if not power.is_singleton:
        return value, None
    b = x.bounds()
    lo, hi = (np.asarray(np.ldexp(end, power.lo)).astype(a.type.np) for end in (b.lo, b.hi))
    return value, between(lo, hi, *(np.broadcast_to(mask, a.type.shape) for mask in (b.nan, b.empty)))


def heaviside_rule(a: Application) -> Value:
    """heaviside: 0 below zero, x2 at either zero, 1 above; NaN of NaN, or what the contract says."""
    value = reference(a)
    if singletons(a):
        return value, answering_nan(a, computed(value))
    x, y = all_bounds(a)
    zero, one = np.zeros(a.type.shape, a.type.np), np.ones(a.type.shape, a.type.np)
    below, above, at = (x.lo < 0) & ~x.empty, (x.hi > 0) & ~x.empty, holds_zero(x) & ~x.empty
    at_lo, at_hi = (np.broadcast_to(end, a.type.shape).astype(a.type.np) for end in (y.lo, y.hi))
    number = at & ~y.empty
    bottom, top = np.asarray(-np.inf, a.type.np), np.asarray(np.inf, a.type.np)
    lo = smallest(*(np.where(mask, end, top) for mask, end in ((below, zero), (number, at_lo), (above, one))))
    hi = largest(*(np.where(mask, end, bottom) for mask, end in ((below, zero), (number, at_hi), (above, one))))
    e = between(lo, hi, np.asarray(x.nan | (at & y.nan)), np.asarray(~(below | number | above)))
    return value, answering_nan(a, e)


def scaled(x1: ArrayType, x2: ArrayType) -> ArrayType:
    """The dtype of x1 over the broadcast shape."""
    return ArrayType(x1.dtype, np.broadcast_shapes(x1.shape, x2.shape))


FUNCTIONS = [
    row("ceil", np.ceil, FLOATING, exact, UP, enclose=exact_rule),
    row("trunc", np.trunc, FLOATING, exact, UP, enclose=exact_rule),
    row("positive", np.positive, NUMERIC, exact, UP),
    row("sign", np.sign, NUMERIC, exact, UP, enclose=sign_rule),
    row("copysign", np.copysign, FLOATING, exact, *OTHER, enclose=copysign_rule),
    row("nextafter", np.nextafter, FLOATING, exact, *OTHER, enclose=for_known(nextafter_rule)),
    row("fmod", np.fmod, NUMERIC, exact, *OTHER, enclose=fmod_rule, defined=divisible),
    row("heaviside", np.heaviside, FLOATING, exact, *OTHER, enclose=heaviside_rule),
    row("ldexp", np.ldexp, FLOATING, correctly_rounded, *OTHER, enclose=ldexp_rule, type_rule=scaled,
        operands=(Operand(), Operand("exponents", "int32")), summary="x1 * 2**x2 for int32 x2"),
]  # fmt: skip  # rows
