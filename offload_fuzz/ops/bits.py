"""Ops on bits and whole numbers: bitwise or, shifts, population count, gcd, lcm, and bits read as another dtype."""

from __future__ import annotations

from typing import Any

import numpy as np

from offload_fuzz.enclosure import exact, some
from offload_fuzz.errors import require
from offload_fuzz.ops.base import Application, Operand, SameWidthDType, shaped
from offload_fuzz.ops.base import exact as exactly
from offload_fuzz.ops.elementwise import BITS, INTEGRAL, NUMERIC, OTHER, row
from offload_fuzz.ops.rules import Value, integer_rule, reference, singletons
from offload_fuzz.types import DTYPES, NAMES, Array, ArrayType, promote


# -------------------------------------------------------------------------------- where the standard is silent
def shifts_inside(x1: Array, x2: Array) -> bool:
    """A shift is defined by less than the width of the result's dtype, and not by a negative number."""
    width = DTYPES[promote(NAMES[x1.dtype], NAMES[x2.dtype])].bits
    return not some((x2 < 0) | (x2 >= width))


def _sizes(x1: Array, x2: Array) -> tuple[Array, Array]:
    """The magnitudes, exactly: the most negative int64 wraps to its own, as unsigned."""
    x, y = (np.abs(x).astype(np.uint64) if x.dtype != np.uint64 else x for x in (x1, x2))
    return x, y


def has_magnitude(x1: Array, x2: Array) -> bool:
    """gcd is defined where the magnitudes fit: not for the most negative number."""
    return not any(x.dtype.kind == "i" and some(x == np.iinfo(x.dtype).min) for x in (x1, x2))


def has_multiple(x1: Array, x2: Array) -> bool:
    """lcm is defined where magnitudes and result fit the result's dtype."""
    if not has_magnitude(x1, x2):
        return False
    x, y = _sizes(x1, x2)
    divisor = np.gcd(x, y)
    top = np.uint64(np.iinfo(DTYPES[promote(NAMES[x1.dtype], NAMES[x2.dtype])].np).max)
    part = x // np.maximum(divisor, np.uint64(1))
    return not some((part != 0) & (y > top // np.maximum(part, np.uint64(1))))


def count_type(x: ArrayType) -> ArrayType:
    """uint8, of the operand's shape."""
    return ArrayType("uint8", x.shape)


SHIFTED = (Operand(), Operand("shifts"))
OPS_ON_BITS = [
    row("bitwise_or", np.bitwise_or, BITS, exactly, *OTHER),
    row("bitwise_left_shift", np.left_shift, INTEGRAL, exactly, *OTHER, enclose=integer_rule, defined=shifts_inside,
        operands=SHIFTED),
    row("bitwise_right_shift", np.right_shift, INTEGRAL, exactly, *OTHER, enclose=integer_rule, defined=shifts_inside,
        operands=SHIFTED),
    row("bitwise_count", np.bitwise_count, INTEGRAL, exactly, "other", type_rule=count_type, enclose=integer_rule,
        summary="numpy.bitwise_count: how many bits of the magnitude are set"),
    row("gcd", np.gcd, INTEGRAL, exactly, *OTHER, enclose=integer_rule, defined=has_magnitude),
    row("lcm", np.lcm, INTEGRAL, exactly, *OTHER, enclose=integer_rule, defined=has_multiple),
]  # fmt: skip  # rows


# --------------------------------------------------------------------------------------------------------- bitcast
def bitcast_rule(a: Application) -> Value:
    """bitcast: the bits themselves, of operands that are known to the bit."""
    value = reference(a)
    return value, exact(value) if singletons(a) else None


def viewed(x: Array, *, dtype: str) -> Any:
    """The same bits as another dtype, as numpy.ndarray.view gives them: a view."""
    return x.view(DTYPES[dtype].np)


@shaped(viewed, bitcast_rule, "data type", kinds=NUMERIC, attributes={"dtype": SameWidthDType()}, moves=True)
def bitcast(x: ArrayType, *, dtype: str) -> ArrayType:
    """The same bits read as another numeric dtype of the same width."""
    result = ArrayType(dtype, x.shape)
    require(
        dtype != "bool" and DTYPES[dtype].bits == DTYPES[x.dtype].bits,
        f"bitcast keeps the width and takes a numeric dtype, got {x} to {dtype}",
    )
    return result
