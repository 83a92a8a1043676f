"""Statistical functions of the array API standard: sum, prod, mean, max, cumulative_sum."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from offload_fuzz.enclosure import between, computed, is_float, some
from offload_fuzz.errors import require
from offload_fuzz.ops.base import (
    Application,
    Axes,
    Axis,
    Bool,
    Domain,
    accumulating,
    normalize_axes,
    normalize_axis,
    reduced_shape,
    shaped,
)
from offload_fuzz.ops.complex_rules import componentwise
from offload_fuzz.ops.products import prod_rule
from offload_fuzz.ops.ranges import holds, signed_zeros
from offload_fuzz.ops.rules import Value, reference
from offload_fuzz.ops.sums import cumulative_sum_rule, mean_rule, sum_rule
from offload_fuzz.types import DTYPES, NAMES, Array, ArrayType


def accumulated_dtype(dtype: str) -> str:
    """The dtype of sum, prod and cumulative_sum: floats keep theirs, integers take 64 bits (array API "sum")."""
    kind = DTYPES[dtype].kind
    return {"signed integer": "int64", "unsigned integer": "uint64"}.get(kind, dtype)


def _accumulate(ufunc: np.ufunc) -> Callable[..., Array]:
    def numpy(x: Array, *, axis: Any, keepdims: bool) -> Array:
        dtype = DTYPES[accumulated_dtype(NAMES[x.dtype])].np
        return np.asarray(ufunc.reduce(x, axis=axis, keepdims=keepdims, dtype=dtype))

    return numpy


def _cumulative_sum(x: Array, *, axis: int) -> Array:
    return np.cumsum(x, axis=axis, dtype=DTYPES[accumulated_dtype(NAMES[x.dtype])].np)


REDUCE: dict[str, Domain] = {"axis": Axes(), "keepdims": Bool()}


@shaped(_accumulate(np.add), componentwise(sum_rule), "statistical", ("numeric",), accumulating, attributes=REDUCE)
def sum_(x: ArrayType, *, axis: tuple[int, ...] | None, keepdims: bool) -> ArrayType:
    """Sum over axes; integers in 64 bits."""
    return ArrayType(accumulated_dtype(x.dtype), reduced_shape(x.shape, normalize_axes(axis, x.ndim), keepdims))


@shaped(_accumulate(np.multiply), prod_rule, "statistical", ("real numeric",), accumulating, attributes=REDUCE)
def prod(x: ArrayType, *, axis: tuple[int, ...] | None, keepdims: bool) -> ArrayType:
    """Product over axes; integers in 64 bits."""
    return ArrayType(accumulated_dtype(x.dtype), reduced_shape(x.shape, normalize_axes(axis, x.ndim), keepdims))


@shaped(np.mean, mean_rule, "statistical", ("real floating",), accumulating, attributes=REDUCE)
def mean(x: ArrayType, *, axis: tuple[int, ...] | None, keepdims: bool) -> ArrayType:
    """Arithmetic mean over axes; NaN over no elements."""
    return ArrayType(x.dtype, reduced_shape(x.shape, normalize_axes(axis, x.ndim), keepdims))


def max_rule(a: Application) -> Value:
    """max: increasing; NaN propagates; of two opposite zeros either."""
    value = reference(a)
    (e,) = a.operands
    if e.is_singleton and not (is_float(value.dtype) and some(value == 0)):
        return value, computed(value)
    b = e.bounds()
    over: dict[str, Any] = {
        "axis": normalize_axes(a.attributes["axis"], b.lo.ndim),
        "keepdims": a.attributes["keepdims"],
    }
    lo, hi, nan, empty = (np.asarray(np.max(part, **over)) for part in (b.lo, b.hi, b.nan, b.empty))
    if is_float(lo.dtype) and (some(lo == 0) or some(hi == 0)):
        minus, plus = (np.asarray(np.any(holds(b, zero) & ~b.empty, **over)) for zero in (-1, 0))
        lo, hi = signed_zeros(lo, hi, minus, plus)
    return value, between(lo, hi, nan, empty)


def _max(x: Array, **over: Any) -> Array:
    return np.asarray(np.maximum.reduce(x, **over))


@shaped(_max, max_rule, "statistical", ("real numeric",), attributes=REDUCE)
def max_(x: ArrayType, *, axis: tuple[int, ...] | None, keepdims: bool) -> ArrayType:
    """Largest element over axes of at least one element; NaN propagates."""
    axes = normalize_axes(axis, x.ndim)
    require(all(x.shape[i] > 0 for i in axes), f"max takes axes of at least one element, got axis={axis} of {x}")
    return ArrayType(x.dtype, reduced_shape(x.shape, axes, keepdims))


@shaped(
    _cumulative_sum,
    componentwise(cumulative_sum_rule),
    "statistical",
    ("numeric",),
    accumulating,
    attributes={"axis": Axis()},
)
def cumulative_sum(x: ArrayType, *, axis: int) -> ArrayType:
    """Sums of the first 1, 2, ... n elements along an axis; integers in 64 bits."""
    normalize_axis(axis, x.ndim)
    return ArrayType(accumulated_dtype(x.dtype), x.shape)
