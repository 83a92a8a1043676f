"""Flushed subnormals: where a contract lets an op take subnormal operands and results as zero, its sets take in zero.

Ops that move data keep every bit. An op that chooses among its operands compares them as zeros, so that of several
subnormals and zeros it may choose any.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from attrs import evolve

from offload_fuzz.enclosure import Enclosure, between, is_float, joined, parts, some
from offload_fuzz.types import DTYPES, NAMES, Array

A = TypeVar("A", bound=Any)  # an Application, which is defined above this module
Rule = Callable[[A], tuple[Array, Enclosure | None]]

#: Ops whose result is one of several elements, chosen by comparing them.
CHOOSING = frozenset(
    {"minimum", "maximum", "fmin", "fmax", "min", "max", "nanmin", "nanmax", "cumulative_min", "cumulative_max"}
    | {"sort", "clip", "max_pool1d", "max_pool2d", "relu", "relu6", "hardtanh", "ldexp"}
)
#: Ops whose rule counts what every factor may lose, so that it takes operands as they are.
COUNTED = frozenset({"prod", "cumulative_prod", "var", "std"})
#: The same of complex numbers.
COUNTED_COMPLEX = frozenset({"abs", "multiply", "square", "matmul"})


def flushing(name: str, rule: Rule[A]) -> Rule[A]:
    """The enclosure rule of op `name`, under contracts by which it flushes too.

    A rule that takes operands known to the bit only answers None (unknown) where one is subnormal.
    """

    def enclose(a: A) -> tuple[Array, Enclosure | None]:
        if not a.contract.flushed:
            return rule(a)
        complex_ = any(e.lo.dtype.kind == "c" for e in a.operands)
        dtypes = a.contract.flushed_by(f"{name}:complex" if complex_ else name)
        if not dtypes:
            return rule(a)
        operands = [or_flushed(e) if component_of(e) in dtypes else e for e in a.operands]
        some_flushed = any(new is not old for new, old in zip(operands, a.operands, strict=True))
        counted = name in COUNTED or (complex_ and name in COUNTED_COMPLEX)
        value, e = rule(evolve(a, operands=operands) if some_flushed and not counted else a)
        if e is None or component_of(e) not in dtypes:
            return value, e
        return value, chosen(e) if name in CHOOSING and any(map(has_subnormal_end, a.operands)) else or_flushed(
            e, rounded=True
        )

    return enclose


def losing_payloads(name: str, rule: Rule[A]) -> Rule[A]:
    """The enclosure rule of op `name`, with any NaN for a NaN where the contract leaves payloads open."""

    def enclose(a: A) -> tuple[Array, Enclosure | None]:
        value, e = rule(a)
        if e is None or not a.contract.nan_payload or a.type.dtype not in a.contract.nan_payload.get(name, ()):
            return value, e
        b = e.bounds()
        return value, between(b.lo, b.hi, b.nan, b.empty) if some(b.nan) else e

    return enclose


def component_of(e: Enclosure) -> str:
    """The dtype of the elements; of complex ones that of their components."""
    name = NAMES[e.lo.dtype]
    return DTYPES[name].component or name


def or_flushed(e: Enclosure, rounded: bool = False) -> Enclosure:
    """`e`, where an end that is subnormal takes in the zero of its sign.

    rounded: so does the smallest normal number, as what rounds up to it counts as subnormal before it is rounded or as
    it would be with an unbounded exponent (IEEE 754-2019, 7.5).
    """
    if e.lo.dtype.kind == "c":
        components = parts(e)
        flushed = or_flushed(components, rounded)
        return e if flushed is components else joined(flushed)
    if not is_float(e.lo.dtype):
        return e
    tiny = smallest_normal(e.lo.dtype)
    least = np.nextafter(tiny, np.ones((), tiny.dtype)) if rounded else tiny
    b = e.bounds()
    up, down = (b.lo > 0) & (b.lo < least), (b.hi < 0) & (b.hi > -least)
    if not (some(up) or some(down)):
        return e
    zero = np.zeros((), e.lo.dtype)
    return between(np.where(up, zero, b.lo), np.where(down, -zero, b.hi), b.nan, b.empty)


def has_subnormal_end(e: Enclosure) -> bool:
    """Whether some element is or may be a subnormal number that bounds what it may be."""
    if not is_float(e.lo.dtype):
        return False
    tiny, b = smallest_normal(e.lo.dtype), e.bounds()
    return any(some((end != 0) & (np.abs(end) < tiny)) for end in (b.lo, b.hi))


def chosen(e: Enclosure) -> Enclosure:
    """`e`, where an end that is subnormal or zero takes in every number that counts as zero."""
    tiny = smallest_normal(e.lo.dtype)
    most = np.nextafter(tiny, np.zeros((), tiny.dtype))
    b = e.bounds()
    lo = np.where((np.abs(b.lo) < tiny) & ~b.empty, -most, b.lo)
    hi = np.where((np.abs(b.hi) < tiny) & ~b.empty, most, b.hi)
    return between(lo, hi, b.nan, b.empty)


def smallest_normal(dtype: np.dtype[Any]) -> Array:
    """The smallest positive normal number of a float dtype."""
    return np.asarray(2.0 ** DTYPES[NAMES[dtype]].emin, dtype)
