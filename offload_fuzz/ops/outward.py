"""What a value may be inside a compiled region, where a device need not round it before it is used.

A compiler may contract a product into the addition that uses it, or keep a value in a wider format ("excess
precision"). So each rounding inside a region becomes outward rounding: the set holds the numbers on both sides of the
exact result. Where a result is exact nothing changes, and a region of small dyadic numbers is still judged by its bits.

Sources: ISO/IEC 9899:2018, 6.5 and F.8.1 (contraction, excess precision); XLA's flag xla_allow_excess_precision.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from offload_fuzz.contract import Contract
from offload_fuzz.enclosure import Enclosure, between, components, joined, parts, some, step
from offload_fuzz.ops.base import Op
from offload_fuzz.ops.rounding import wide
from offload_fuzz.ops.sums import Kept, kept_of, lowest_bit, never_rounds
from offload_fuzz.types import DTYPES, NAMES, Array, ArrayType, is_complex, is_floating

PRODUCTS = frozenset({"multiply", "square"})
#: Ops that add up: their rules give one number only where no sum rounds.
EXACT_IF_CERTAIN = frozenset(
    [
        "sum",
        "cumulative_sum",
        "prod",
        "cumulative_prod",
        "matmul",
        "vecdot",
        "tensordot",
        "outer",
        "trace",
        "diff",
        "nansum",
        "kron",
        "cross",
        "linear",
        "conv1d",
        "conv2d",
        "scatter_add",
        "index_add",
    ]
)


def inside(op: Op, type: ArrayType, values: Sequence[Array] | None, result: Enclosure, contract: Contract) -> Enclosure:
    """The set of `result` for users in the same compiled region; `values`: the operands, None if they are uncertain."""
    allowed = (contract.contracts_inside and op.name in PRODUCTS) or contract.keeps_excess_inside
    if not allowed or op.accuracy.kind == "exact":
        return result
    if is_complex(type.dtype):
        component = ArrayType(DTYPES[type.dtype].component, (*type.shape, 2))
        known = values is not None and op.name in ("add", "subtract") and all(x.dtype == type.np for x in values)
        real = [components(x) for x in values or ()] if known else None
        return joined(_outward(op, component, real, parts(result)))
    if not is_floating(type.dtype):
        return result
    return _outward(op, type, values, result)


def _outward(op: Op, type: ArrayType, values: Sequence[Array] | None, e: Enclosure) -> Enclosure:
    b = e.bounds()
    certain = (b.lo == b.hi) & ~b.nan
    test = EXACT.get(op.name)
    if op.name in EXACT_IF_CERTAIN:
        exactly = certain
    elif test is None or values is None or not some(certain):
        exactly = np.zeros(type.shape, np.bool_)
    else:
        exactly = certain & test(type, b.lo, *values)
    rounds = ~(exactly | b.empty)
    if not some(rounds):
        return e
    return between(np.where(rounds, step(b.lo, -1), b.lo), np.where(rounds, step(b.hi, 1), b.hi), b.nan, b.empty)


# ------------------------------------------------------------------------------------- where a rounded result is exact
def _format(type: ArrayType) -> Kept:
    return kept_of(DTYPES[type.dtype])


def _finite(x: Array, type: ArrayType) -> Array:
    """`x` wide, zero where it is no number: there the result is none that rounds."""
    w = wide(x, type.dtype) if is_floating(NAMES[x.dtype]) else x.astype(np.float64)
    return np.where(np.isfinite(w), w, w.dtype.type(0))


def _sum_is_exact(type: ArrayType, r: Array, x: Array, y: Array) -> Array:
    x, y = _finite(x, type), _finite(y, type)
    return never_rounds(np.minimum(lowest_bit(x), lowest_bit(y)), np.abs(x) + np.abs(y), _format(type))


def _product_is_exact(type: ArrayType, r: Array, x: Array, y: Array) -> Array:
    x, y = _finite(x, type), _finite(y, type)
    return never_rounds(lowest_bit(x) + lowest_bit(y), np.abs(x * y), _format(type))


def _quotient_is_exact(type: ArrayType, r: Array, x: Array, y: Array) -> Array:
    """Where the quotient times the divisor is the dividend, exactly."""
    back = np.isfinite(r) & (_finite(r, type) * _finite(y, type) == _finite(x, type))
    return np.asarray(back & _product_is_exact(type, r, r, y))


def _cast_is_exact(type: ArrayType, r: Array, x: Array) -> Array:
    return np.asarray((r.astype(np.longdouble) == x.astype(np.longdouble)) | np.isnan(r))


EXACT: dict[str, Callable[..., Any]] = {
    "add": _sum_is_exact,
    "subtract": _sum_is_exact,
    "multiply": _product_is_exact,
    "square": lambda type, r, x: _product_is_exact(type, r, x, x),
    "divide": _quotient_is_exact,
    "sqrt": lambda type, r, x: _quotient_is_exact(type, r, x, r),
    "astype": _cast_is_exact,
}
