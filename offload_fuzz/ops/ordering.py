"""Searching and sorting beside argmax and sort: argmin, argsort, searchsorted, count_nonzero; and all, any.

Where NaN goes is left open by the standard ("Sorting Functions"), so a difference there is a hazard (`defined`). What
backends do: NumPy 2.4 and PyTorch 2.13 sort every NaN behind all numbers, whatever its sign, and PyTorch puts it first
where `descending`; JAX sorts NaN last, and with `descending=True` first, as it flips. argmin and argmax give the first
NaN in NumPy, PyTorch and JAX. searchsorted of NaN among numbers and one NaN is before it in NumPy and JAX, behind it in
PyTorch (side "left"). -0 and +0 are equal in all three, so that a stable order keeps them as they came. All measured.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from offload_fuzz.enclosure import Enclosure, between, exact, some
from offload_fuzz.errors import require
from offload_fuzz.ops.base import (
    Application,
    Axes,
    Axis,
    Bool,
    Choice,
    Domain,
    Operand,
    normalize_axes,
    normalize_axis,
    reduced_shape,
    shaped,
)
from offload_fuzz.ops.data_type import truth
from offload_fuzz.ops.rules import Value, certain, reference
from offload_fuzz.ops.searching import argmax_rule, no_nan
from offload_fuzz.types import Array, ArrayType

REDUCE: dict[str, Domain] = {"axis": Axes(), "keepdims": Bool()}


@shaped(
    np.argmin, argmax_rule, "searching", ("real numeric",),
    attributes={"axis": Axis(), "keepdims": Bool()}, monotone=("other",), defined=no_nan,
)  # fmt: skip  # one row
def argmin(x: ArrayType, *, axis: int, keepdims: bool) -> ArrayType:
    """Index of the first smallest element along an axis of at least one element."""
    axes = (normalize_axis(axis, x.ndim),)
    require(x.shape[axes[0]] > 0, f"argmin takes an axis of at least one element, got axis={axis} of {x}")
    return ArrayType("int64", reduced_shape(x.shape, axes, keepdims))


def index_rule(a: Application) -> Value:
    """Positions: operands known to the number (-0 equals +0), else unknown."""
    value = reference(a)
    return value, exact(value) if certain(a) else None


def _argsort(x: Array, *, axis: int, descending: bool) -> Array:
    if not descending:
        return np.argsort(x, axis=axis, stable=True)
    backwards = np.flip(np.argsort(np.flip(x, axis), axis=axis, stable=True), axis)
    return np.asarray(x.shape[axis] - 1 - backwards)


@shaped(
    _argsort, index_rule, "sorting", ("real numeric",),
    attributes={"axis": Axis(), "descending": Bool()}, defined=no_nan,
)  # fmt: skip  # one row
def argsort(x: ArrayType, *, axis: int, descending: bool) -> ArrayType:
    """Indices that sort along an axis; equal elements keep their order, also where it descends."""
    normalize_axis(axis, x.ndim)
    return ArrayType("int64", x.shape)


def in_order(x1: Array, x2: Array, **_: object) -> bool:
    """searchsorted is defined where x1 ascends, and where NaN is nowhere."""
    return no_nan(x1) and no_nan(x2) and bool((x1[1:] >= x1[:-1]).all())


@shaped(
    lambda x1, x2, *, side: np.asarray(np.searchsorted(x1, x2, side=side)), index_rule, "searching", ("real numeric",),
    operands=(Operand("sorted"), Operand("sought")), attributes={"side": Choice("left", "right")}, defined=in_order,
)  # fmt: skip  # one row
def searchsorted(x1: ArrayType, x2: ArrayType, *, side: str) -> ArrayType:
    """Where in the ascending x1 each element of x2 would go: before its equals (left) or behind them (right)."""
    require(x1.ndim == 1, f"searchsorted takes one-dimensional x1, got {x1}")
    require(x1.dtype == x2.dtype, f"searchsorted takes operands of one dtype, got {x1} and {x2}")
    return ArrayType("int64", x2.shape)


# ------------------------------------------------------------------------------------------------------- truth values
#: What has a truth of its own without a choice of rules: complex numbers and narrow dtypes are left out.
REAL = ("bool", "real numeric")


def of_truth(fold: Callable[..., Any]) -> Callable[[Application], Value]:
    """all, any, count_nonzero: increasing in the truth of every element; NaN is true, both zeros are false."""

    def rule(a: Application) -> Value:
        value = reference(a)
        (e,) = a.operands
        if e.is_singleton:
            return value, exact(value)
        known = e if e.lo.dtype == np.bool_ else truth(e)
        over: dict[str, Any] = {
            "axis": normalize_axes(a.attributes["axis"], e.lo.ndim),
            "keepdims": a.attributes["keepdims"],
        }
        lo, hi = (np.asarray(fold(part, **over)).astype(a.type.np) for part in (known.lo, known.hi))
        return value, _from_to(lo, hi)

    return rule


def _from_to(lo: Array, hi: Array) -> Enclosure:
    return between(lo, hi) if some(lo != hi) else exact(lo)


@shaped(np.all, of_truth(np.all), "utility", REAL, attributes=REDUCE)
def all_(x: ArrayType, *, axis: tuple[int, ...] | None, keepdims: bool) -> ArrayType:
    """Whether every element over axes is true, that is not zero."""
    return ArrayType("bool", reduced_shape(x.shape, normalize_axes(axis, x.ndim), keepdims))


@shaped(np.any, of_truth(np.any), "utility", REAL, attributes=REDUCE)
def any_(x: ArrayType, *, axis: tuple[int, ...] | None, keepdims: bool) -> ArrayType:
    """Whether some element over axes is true, that is not zero."""
    return ArrayType("bool", reduced_shape(x.shape, normalize_axes(axis, x.ndim), keepdims))


def _count(x: Array, **over: Any) -> Any:
    return np.add.reduce(np.asarray(x != 0), dtype=np.int64, **over)


@shaped(_count, of_truth(_count), "searching", REAL, attributes=REDUCE)
def count_nonzero(x: ArrayType, *, axis: tuple[int, ...] | None, keepdims: bool) -> ArrayType:
    """How many elements over axes are not zero."""
    return ArrayType("int64", reduced_shape(x.shape, normalize_axes(axis, x.ndim), keepdims))
