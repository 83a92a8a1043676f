"""What a contract may admit beyond an op's ulps: an absolute error, infinities that come early, numbers for NaN."""

from __future__ import annotations

from collections.abc import Callable
from math import isinf
from typing import TypeAlias

import numpy as np
from attrs import evolve

from offload_fuzz.enclosure import Enclosure, between, hull, some
from offload_fuzz.ops.base import Application
from offload_fuzz.ops.rounding import rounded_down, rounded_up, wide
from offload_fuzz.types import Array, is_floating

Rule: TypeAlias = Callable[[Application], tuple[Array, Enclosure | None]]


def loosened(rule: Rule) -> Rule:
    """The rule, with the contract's absolute error and early infinities."""

    def enclose(a: Application) -> tuple[Array, Enclosure | None]:
        value, e = rule(a)
        if e is None or not is_floating(a.type.dtype):
            return value, e
        return value, _early_infinity(a, _absolute(a, e))

    return enclose


def _absolute(a: Application, e: Enclosure) -> Enclosure:
    """`e` with the contract's absolute error on either side."""
    dtype = a.type.dtype
    error = a.contract.absolute_of(a.op.name, dtype)
    if not error:
        return e
    b = e.bounds()
    lo, hi = wide(b.lo, dtype) - error, wide(b.hi, dtype) + error
    return between(rounded_down(lo, dtype), rounded_up(hi, dtype), b.nan, b.empty)


def _early_infinity(a: Application, e: Enclosure) -> Enclosure:
    """`e` with the infinity of the result's sign for arguments that are large enough by the contract."""
    limit = a.contract.infinite_beyond_of(a.op.name, a.type.dtype)
    if isinf(limit):
        return e
    (x,) = a.operands
    argument, b = x.bounds(), e.bounds()
    far = ((np.abs(argument.lo) > limit) | (np.abs(argument.hi) > limit)) & ~b.empty
    if not some(far):
        return e
    return evolve(e, ninf=np.asarray(far & np.signbit(b.lo)), pinf=np.asarray(far & ~np.signbit(b.hi)))


def answering_nan(a: Application, e: Enclosure) -> Enclosure:
    """`e` with the numbers that the contract lets the op give where its first operand is NaN."""
    numbers = a.contract.nan_answers.get(a.op.name)
    if not numbers or not is_floating(a.type.dtype):
        return e
    nan = np.broadcast_to(a.operands[0].bounds().nan, a.type.shape)
    if not some(nan):
        return e
    lo, hi = (np.full(a.type.shape, end(numbers)).astype(a.type.np) for end in (min, max))
    return hull(e, between(lo, hi, None, np.asarray(~nan)))
