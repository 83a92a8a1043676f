"""Sums and products beside sum, mean and prod: nansum, nanmean, diff, trace, cumulative_prod.

Each is stated by the rows that it is made of: what a device may do there, it may do here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any

import numpy as np
from attrs import evolve

from offload_fuzz.contract import Contract
from offload_fuzz.enclosure import Bounds, Enclosure, between, combine, exact, largest, smallest, some
from offload_fuzz.errors import require
from offload_fuzz.ops.base import (
    OPS,
    Application,
    Axes,
    Axis,
    Bool,
    Domain,
    Operand,
    Range,
    accumulating,
    correctly_rounded,
    normalize_axes,
    normalize_axis,
    reduced_shape,
    shaped,
)
from offload_fuzz.ops.extremes import settled_nan
from offload_fuzz.ops.products import cumulative_prod_rule
from offload_fuzz.ops.rounding import FLOAT64, narrowed, wide
from offload_fuzz.ops.rules import Value, integer_rule
from offload_fuzz.ops.shape_domains import Offset
from offload_fuzz.ops.statistical import accumulated_dtype
from offload_fuzz.ops.sums import along_axes, enclose_sum, gather, kept
from offload_fuzz.types import DTYPES, NAMES, Array, ArrayType, is_floating, type_of

REDUCE: dict[str, Domain] = {"axis": Axes(), "keepdims": Bool()}


def applied(
    a: Application, op: str, operands: Sequence[Enclosure], values: Sequence[Array], attributes: Mapping[str, Any]
) -> tuple[Array, Enclosure | None]:
    """What the row `op` says of these operands under the contract of `a`, and what that allows the op of `a` itself."""
    row = OPS[op]
    type = row.result_type([type_of(v) for v in values], attributes)
    return row.enclose(Application(row, operands, values, attributes, type, _lent(a.contract, a.op.name, op)))


@lru_cache(maxsize=1024)
def _lent(contract: Contract, own: str, op: str) -> Contract:
    """The contract, where `op` may flush and give zeros of either sign if `own` may."""
    if own not in contract.flushed and own not in contract.either_zero:
        return contract
    flushed = contract.flushed.get(own, frozenset()) | contract.flushed.get(op, frozenset())
    zeros = contract.either_zero | ({op} if own in contract.either_zero else frozenset())
    return evolve(contract, flushed={**contract.flushed, op: flushed}, either_zero=zeros)


def moved(value: Value, function: Callable[[Array], Any]) -> Value:
    """A data movement of a rule's answer."""
    array, e = value
    return np.asarray(function(array)), None if e is None else e.move(function)


# ---------------------------------------------------------------------------------------------------------- without NaN
def _zero_for_nan(x: Array) -> Array:
    return np.where(np.isnan(x), np.zeros((), x.dtype), x)


def _nansum(x: Array, **over: Any) -> Array:
    return np.asarray(np.add.reduce(_zero_for_nan(x), **over))


def nansum_rule(a: Application) -> Value:
    """nansum: the sum with 0 for every NaN; where an element may be NaN, 0 is among its numbers."""
    (e,) = a.operands
    b = e.bounds()
    if some(b.nan):
        zero = np.zeros((), b.lo.dtype)
        lo = np.where(b.empty, zero, np.where(b.nan, smallest(b.lo, zero), b.lo))
        hi = np.where(b.empty, zero, np.where(b.nan, largest(b.hi, zero), b.hi))
        e = between(lo, hi) if some(lo != hi) else exact(lo)
    return applied(a, "sum", [e], [_zero_for_nan(a.values[0])], a.attributes)


@shaped(_nansum, nansum_rule, "statistical", ("real floating",), accumulating, attributes=REDUCE)
def nansum(x: ArrayType, *, axis: tuple[int, ...] | None, keepdims: bool) -> ArrayType:
    """Sum over axes of the elements that are not NaN; 0 if there is none."""
    return ArrayType(x.dtype, reduced_shape(x.shape, normalize_axes(axis, x.ndim), keepdims))


def _nanmean(x: Array, **over: Any) -> Any:
    count = np.asarray(np.add.reduce(~np.isnan(x), dtype=np.int64, **over))
    inner = np.dtype(np.float32) if x.dtype.itemsize == 2 else x.dtype  # float16 holds no count from 65,520 on
    return np.asarray(_nansum(x, **over).astype(inner) / count.astype(inner)).astype(x.dtype)


def nanmean_rule(a: Application) -> Value:
    """nanmean: the sum without NaN, divided as a mean is by how many there are; NaN where there are none.

    Unknown where an element may be NaN or not, as the count then is open.
    """
    (e,) = a.operands
    dtype, k, b, shape = a.type.dtype, kept(a), e.bounds(), a.values[0].shape
    r = along_axes(normalize_axes(a.attributes["axis"], len(shape)), a.attributes["keepdims"], shape)
    x = wide(a.values[0], dtype)
    x = np.where(np.isnan(x), x.dtype.type(0), x)
    count = np.asarray(r.add((~np.isnan(a.values[0])).astype(FLOAT64)))
    value = narrowed(r.add(x) / count.astype(x.dtype), dtype)
    if not settled_nan(b):
        return value, None
    no = np.zeros(shape, np.bool_)
    known = e.is_certain
    lo, hi = (x, x) if known else (wide(b.lo, dtype), wide(b.hi, dtype))  # bounds are 0 where nothing but NaN may be
    s = gather(Bounds(lo, hi, no, no), r, k, known)
    nothing, everywhere = np.zeros(a.type.shape, a.type.np), np.ones(a.type.shape, np.bool_)
    result: Enclosure | None = None
    for n in np.unique(count).tolist():
        if n:
            part = enclose_sum(s, r.count - 1, r.count if k.flushes else 0, a, k, int(n))
        else:
            part = between(nothing, nothing, everywhere, everywhere)
        if result is None:
            result = part
            continue
        here = count == n
        result = combine(partial(np.where, here), part, result)
    return value, result or exact(value)


@shaped(_nanmean, nanmean_rule, "statistical", ("real floating",), accumulating, attributes=REDUCE)
def nanmean(x: ArrayType, *, axis: tuple[int, ...] | None, keepdims: bool) -> ArrayType:
    """Arithmetic mean over axes of the elements that are not NaN; NaN if there is none."""
    return ArrayType(x.dtype, reduced_shape(x.shape, normalize_axes(axis, x.ndim), keepdims))


# ---------------------------------------------------------------------------------------------------------- differences
def diff_rule(a: Application) -> Value:
    """diff: x[i+1] - x[i] along the axis, as subtract; n times (array API "diff")."""
    axis = a.attributes["axis"] % a.type.ndim
    value, e = a.values[0], a.operands[0]
    last, first = ((slice(None),) * axis + (part,) for part in (slice(1, None), slice(None, -1)))
    result: Enclosure | None = e
    for _ in range(a.attributes["n"]):
        if result is None:
            break
        operands = [result.move(lambda p: p[last]), result.move(lambda p: p[first])]
        value, result = applied(a, "subtract", operands, [value[last], value[first]], {})
    if result is None:
        value = np.asarray(a.op.numpy(*a.values, **a.attributes))
    return value, result


@shaped(
    lambda x, *, axis, n: np.diff(x, n, axis), diff_rule, "utility", ("real numeric",), correctly_rounded,
    attributes={"axis": Axis(), "n": Range(1, 2)},
)  # fmt: skip  # one row
def diff(x: ArrayType, *, axis: int, n: int) -> ArrayType:
    """Differences of neighbours along an axis, once or twice."""
    at = normalize_axis(axis, x.ndim)
    require(type(n) is int, f"n is {n!r} but should be 1 or 2")
    return ArrayType(x.dtype, tuple(max(m - n, 0) if i == at else m for i, m in enumerate(x.shape)))


# ---------------------------------------------------------------------------------------------------------------- trace
def _trace(x: Array, *, offset: int) -> Array:
    dtype = DTYPES[accumulated_dtype(NAMES[x.dtype])].np
    return np.asarray(np.add.reduce(np.diagonal(x, offset, -2, -1), axis=-1, dtype=dtype))


def trace_rule(a: Application) -> Value:
    """trace: the sum of the diagonal."""
    if not is_floating(a.type.dtype):
        return integer_rule(a)

    def diagonal(part: Array) -> Array:
        return np.diagonal(part, a.attributes["offset"], -2, -1)

    over = {"axis": (-1,), "keepdims": False}
    return applied(a, "sum", [a.operands[0].move(diagonal)], [diagonal(a.values[0])], over)


@shaped(
    _trace, trace_rule, "linear algebra", ("real numeric",), accumulating, operands=(Operand("matrix"),),
    attributes={"offset": Offset()},
)  # fmt: skip  # one row
def trace(x: ArrayType, *, offset: int) -> ArrayType:
    """Sum of a diagonal of the last two axes; integers in 64 bits."""
    require(x.ndim >= 2, f"trace takes matrices, got {x}")
    return ArrayType(accumulated_dtype(x.dtype), x.shape[:-2])


# ------------------------------------------------------------------------------------------------------------- products
def _cumulative_prod(x: Array, *, axis: int) -> Array:
    return np.cumprod(x, axis=axis, dtype=DTYPES[accumulated_dtype(NAMES[x.dtype])].np)


@shaped(
    _cumulative_prod, cumulative_prod_rule, "statistical", ("real numeric",), accumulating, attributes={"axis": Axis()}
)
def cumulative_prod(x: ArrayType, *, axis: int) -> ArrayType:
    """Products of the first 1, 2, ... n elements along an axis; integers in 64 bits."""
    normalize_axis(axis, x.ndim)
    return ArrayType(accumulated_dtype(x.dtype), x.shape)
