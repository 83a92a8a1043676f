"""Searching and sorting functions of the array API standard: argmax, sort. (where is an element-wise row.)"""

from __future__ import annotations

import numpy as np

from offload_fuzz.enclosure import between, computed, exact, is_float, some
from offload_fuzz.errors import require
from offload_fuzz.ops.base import Application, Axis, Bool, normalize_axis, reduced_shape, shaped
from offload_fuzz.ops.rules import Value, certain, reference
from offload_fuzz.types import Array, ArrayType


def no_nan(x: Array, **_: object) -> bool:
    """The standard leaves the place of NaN open in searching and sorting."""
    return not is_float(x.dtype) or not bool(np.isnan(x).any())


def argmax_rule(a: Application) -> Value:
    """argmax: operands known to the number (-0 equals +0)."""
    value = reference(a)
    return value, exact(value) if certain(a) else None


@shaped(
    np.argmax, argmax_rule, "searching", ("real numeric",),
    attributes={"axis": Axis(), "keepdims": Bool()}, monotone=("other",), defined=no_nan,
)  # fmt: skip  # one row
def argmax(x: ArrayType, *, axis: int, keepdims: bool) -> ArrayType:
    """Index of the first largest element along an axis of at least one element."""
    axes = (normalize_axis(axis, x.ndim),)
    require(x.shape[axes[0]] > 0, f"argmax takes an axis of at least one element, got axis={axis} of {x}")
    return ArrayType("int64", reduced_shape(x.shape, axes, keepdims))


def sort_rule(a: Application) -> Value:
    """sort: the k-th smallest is increasing in every element; equal zeros may trade places only if uncertain."""
    value = reference(a)
    (e,) = a.operands
    if e.is_singleton:
        return value, computed(value)
    b = e.bounds()
    if some(b.nan):
        return value, None
    lo, hi, axis = b.lo, b.hi, a.attributes["axis"]
    if is_float(value.dtype):
        lo, hi = np.where(lo == 0, np.asarray(-0.0, lo.dtype), lo), np.where(hi == 0, np.asarray(0.0, hi.dtype), hi)
    return value, between(np.sort(lo, axis=axis), np.sort(hi, axis=axis))


def _sort(x: Array, *, axis: int) -> Array:
    return np.sort(x, axis=axis, stable=True)


@shaped(_sort, sort_rule, "sorting", ("real numeric",), attributes={"axis": Axis()}, defined=no_nan)
def sort(x: ArrayType, *, axis: int) -> ArrayType:
    """Ascending stable sort along an axis."""
    normalize_axis(axis, x.ndim)
    return x
