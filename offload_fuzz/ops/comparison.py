"""Comparisons, predicates and the logical ops of the array API standard beside those of `elementwise`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from offload_fuzz.enclosure import Bounds, exact
from offload_fuzz.ops.base import Application, broadcast_to_bool, to_bool
from offload_fuzz.ops.base import exact as exactly
from offload_fuzz.ops.elementwise import ANY, BOOL, FLOATING, NUMERIC, OTHER, UP, row
from offload_fuzz.ops.elementwise_rules import answers, complex_equality
from offload_fuzz.ops.ranges import all_bounds, holds_infinity
from offload_fuzz.ops.rules import Value, reference, singletons
from offload_fuzz.types import Array


def order_rule(a: Application) -> Value:
    """greater, greater_equal, less_equal: {False}, {True} or both, by the ends; False for NaN."""
    value = reference(a)
    if singletons(a):
        return value, exact(value)
    x, y = all_bounds(a)
    possible, certain = ~(x.empty | y.empty), ~(x.nan | y.nan)
    if a.op.name.startswith("greater"):
        x, y = y, x
    less = np.less if a.op.name == "greater" else np.less_equal
    return value, answers(less(x.hi, y.lo) & certain, less(x.lo, y.hi) & possible)


def not_equal_rule(a: Application) -> Value:
    """not_equal: True where the sets are apart or one is NaN for certain, False for one and the same number."""
    value = reference(a)
    if singletons(a):
        return value, exact(value)
    if "c" in (a.operands[0].lo.dtype.kind, a.operands[1].lo.dtype.kind):
        equality = complex_equality(a)
        return value, None if equality is None else answers(~equality[1], ~equality[0])
    x, y = all_bounds(a)
    apart = (x.hi < y.lo) | (y.hi < x.lo) | x.empty | y.empty
    one = (x.lo == x.hi) & (y.lo == y.hi) & (x.lo == y.lo)
    return value, answers(apart, ~one | x.nan | y.nan)


def logical_xor_rule(a: Application) -> Value:
    """logical_xor: certain where both operands are."""
    value = reference(a)
    if singletons(a):
        return value, exact(value)
    x, y = all_bounds(a)
    open_ = (x.lo != x.hi) | (y.lo != y.hi)
    differs = x.lo ^ y.lo
    return value, answers(differs & ~open_, differs | open_)


#: predicate -> where it holds for all numbers of an interval, and where for some.
PREDICATES: dict[str, Callable[[Bounds], tuple[Array, Array]]] = {
    "isfinite": lambda x: (np.isfinite(x.lo) & np.isfinite(x.hi), (x.lo < np.inf) & (x.hi > -np.inf)),
    "isinf": lambda x: ((x.lo == x.hi) & np.isinf(x.lo), holds_infinity(x)),
    "isneginf": lambda x: (np.isneginf(x.hi), np.isneginf(x.lo)),
    "isposinf": lambda x: (np.isposinf(x.lo), np.isposinf(x.hi)),
    "signbit": lambda x: (np.signbit(x.hi), np.signbit(x.lo)),
}


def predicate_rule(a: Application) -> Value:
    """isfinite, isinf, isneginf, isposinf, signbit: False for NaN, but signbit, for which its sign counts."""
    value = reference(a)
    (e,) = a.operands
    if e.is_singleton:
        return value, exact(value)
    b = e.bounds()
    must, may = PREDICATES[a.op.name](b)
    open_ = b.nan if a.op.name == "signbit" else np.zeros((), np.bool_)
    return value, answers(must & ~b.nan & ~b.empty, (may & ~b.empty) | open_)


def isneginf(x: Array) -> Array:
    """Where x is -inf."""
    return np.asarray(x == -np.inf)


def isposinf(x: Array) -> Array:
    """Where x is inf."""
    return np.asarray(x == np.inf)


ORDERS = [
    row("greater", np.greater, NUMERIC, exactly, *OTHER, type_rule=broadcast_to_bool, enclose=order_rule),
    row("greater_equal", np.greater_equal, NUMERIC, exactly, *OTHER, type_rule=broadcast_to_bool, enclose=order_rule),
    row("less_equal", np.less_equal, NUMERIC, exactly, *OTHER, type_rule=broadcast_to_bool, enclose=order_rule),
    row("not_equal", np.not_equal, ANY, exactly, *OTHER, type_rule=broadcast_to_bool, enclose=not_equal_rule),
]
LOGICAL = [
    row("logical_or", np.logical_or, BOOL, exactly, UP, UP),
    row("logical_xor", np.logical_xor, BOOL, exactly, *OTHER, enclose=logical_xor_rule),
]
PREDICATE_OPS = [
    row("isfinite", np.isfinite, FLOATING, exactly, "other", type_rule=to_bool, enclose=predicate_rule),
    row("isinf", np.isinf, FLOATING, exactly, "other", type_rule=to_bool, enclose=predicate_rule),
    row("isneginf", isneginf, FLOATING, exactly, "other", type_rule=to_bool, enclose=predicate_rule),
    row("isposinf", isposinf, FLOATING, exactly, "other", type_rule=to_bool, enclose=predicate_rule),
    row("signbit", np.signbit, FLOATING, exactly, "other", type_rule=to_bool, enclose=predicate_rule),
]
