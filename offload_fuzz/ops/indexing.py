"""Indexing functions of the array API standard, and indexing itself as ops: getitem, setitem, take."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from offload_fuzz.enclosure import combine, exact
from offload_fuzz.errors import require
from offload_fuzz.ops.base import Application, Axis, Index, Operand, indexed_shape, normalize_axis, shaped, slices
from offload_fuzz.ops.rules import Value, exact_rule, reference, singletons
from offload_fuzz.types import Array, ArrayType

Region: TypeAlias = tuple[tuple[int | None, int | None, int | None], ...]


@shaped(lambda x, *, index: x[slices(index)], exact_rule, "indexing", attributes={"index": Index()}, moves=True)
def getitem(x: ArrayType, *, index: Region) -> ArrayType:
    """A region by (start, stop, step) per axis, as x[start:stop:step, ...]."""
    return ArrayType(x.dtype, indexed_shape(x.shape, index))


def _setitem(x: Array, value: Array, *, index: Any) -> Array:
    out = x.copy()
    out[slices(index)] = value
    return out


def setitem_rule(a: Application) -> Value:
    """setitem: a selection between the bits of two operands."""
    value = reference(a)
    if singletons(a):
        return value, exact(value)
    return value, combine(lambda x, part: _setitem(x, part, **a.attributes), *a.operands)


@shaped(
    _setitem, setitem_rule, "indexing", operands=(Operand(), Operand("region")), attributes={"index": Index()},
)  # fmt: skip  # one row
def setitem(
    x: ArrayType, value: ArrayType, *, index: tuple[tuple[int | None, int | None, int | None], ...]
) -> ArrayType:
    """A copy of x in which the region has the elements of value."""
    region = indexed_shape(x.shape, index)
    require(
        value.shape == region and value.dtype == x.dtype,
        f"setitem takes a value of the region's type {ArrayType(x.dtype, region)}, got {value}",
    )
    return x


def _indices_inside(x: Array, indices: Array, *, axis: int) -> bool:
    n = x.shape[axis]
    return bool(((indices >= 0) & (indices < n)).all())


def _take(x: Array, indices: Array, *, axis: int) -> Array:
    """As np.take; an index out of range wraps, as any result is as good as another there."""
    if x.shape[axis] == 0:
        at = axis % x.ndim
        return np.zeros((*x.shape[:at], *indices.shape, *x.shape[at + 1 :]), x.dtype)
    inside = indices % x.shape[axis]  # mode="wrap" would take a step per multiple of the size
    found: Array = np.take(x, inside, axis=axis)
    return found


def take_rule(a: Application) -> Value:
    """take: a data movement for certain indices; unknown otherwise."""
    x, indices = a.operands
    value = reference(a)
    if not indices.is_certain:
        return value, None
    if x.is_singleton:
        return value, exact(value)
    return value, x.move(lambda part: _take(part, indices.lo, **a.attributes))


@shaped(
    _take, take_rule, "indexing", operands=(Operand(), Operand("indices", "int64")), attributes={"axis": Axis()},
    moves=True, defined=_indices_inside,
)  # fmt: skip  # one row
def take(x: ArrayType, indices: ArrayType, *, axis: int) -> ArrayType:
    """Elements at one-dimensional indices along an axis."""
    at = normalize_axis(axis, x.ndim)
    require(indices.ndim == 1, f"take takes one-dimensional indices, got {indices}")
    return ArrayType(x.dtype, (*x.shape[:at], *indices.shape, *x.shape[at + 1 :]))
