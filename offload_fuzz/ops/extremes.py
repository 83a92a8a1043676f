"""Smallest and largest elements beside `max`: min, nanmax, nanmin, cumulative_max, cumulative_min.

All choose an operand's element, so nothing rounds: the k-th end of the result is that of the k-th ends. Of two opposite
zeros either is lawful (array API "max", "min": the sign is left open).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from offload_fuzz.enclosure import Bounds, Enclosure, between, computed, is_float, some
from offload_fuzz.errors import require
from offload_fuzz.ops.base import (
    Application,
    Axes,
    Axis,
    Bool,
    Domain,
    normalize_axes,
    normalize_axis,
    reduced_shape,
    shaped,
)
from offload_fuzz.ops.ranges import holds, signed_zeros
from offload_fuzz.ops.rules import Value, reference
from offload_fuzz.types import DTYPES, NAMES, Array, ArrayType

REDUCE: dict[str, Domain] = {"axis": Axes(), "keepdims": Bool()}
Fold: TypeAlias = Callable[[np.ufunc, Array], Array]


def reducing(a: Application) -> Fold:
    """Fold over the axes of the attributes."""
    over: dict[str, Any] = {
        "axis": normalize_axes(a.attributes["axis"], a.values[0].ndim),
        "keepdims": a.attributes["keepdims"],
    }
    return lambda ufunc, x: np.asarray(ufunc.reduce(x, **over))


def accumulating_along(a: Application) -> Fold:
    """Fold the first 1, 2, ... n elements along the axis of the attributes."""
    return lambda ufunc, x: np.asarray(ufunc.accumulate(x, axis=a.attributes["axis"]))


def extreme(ufunc: np.ufunc, b: Bounds, fold: Fold) -> Enclosure:
    """The fold of elements within bounds by np.minimum or np.maximum; NaN propagates; of two opposite zeros either."""
    lo, hi = fold(ufunc, b.lo), fold(ufunc, b.hi)
    nan, empty = fold(np.logical_or, b.nan), fold(np.logical_or, b.empty)
    if is_float(lo.dtype) and (some(lo == 0) or some(hi == 0)):
        minus, plus = (fold(np.logical_or, holds(b, zero) & ~b.empty) for zero in (-1, 0))
        lo, hi = signed_zeros(lo, hi, minus, plus)
    return between(lo, hi, nan, empty)


def extreme_rule(ufunc: np.ufunc, fold_of: Callable[[Application], Fold]) -> Callable[[Application], Value]:
    """The rule of a fold by np.minimum or np.maximum: increasing in every element."""

    def rule(a: Application) -> Value:
        value = reference(a)
        (e,) = a.operands
        if e.is_singleton and not (is_float(value.dtype) and some(value == 0)):
            return value, computed(value)
        return value, extreme(ufunc, e.bounds(), fold_of(a))

    return rule


def _reduce(ufunc: np.ufunc) -> Callable[..., Array]:
    return lambda x, *, axis, keepdims: np.asarray(ufunc.reduce(x, axis=axis, keepdims=keepdims))


def _accumulate(ufunc: np.ufunc) -> Callable[..., Array]:
    return lambda x, *, axis: np.asarray(ufunc.accumulate(x, axis=axis))


def extreme_type(name: str, x: ArrayType, axis: tuple[int, ...] | None, keepdims: bool) -> ArrayType:
    """The operand's dtype over what is left of its axes; those that go must not be empty."""
    axes = normalize_axes(axis, x.ndim)
    require(all(x.shape[i] > 0 for i in axes), f"{name} takes axes of at least one element, got axis={axis} of {x}")
    return ArrayType(x.dtype, reduced_shape(x.shape, axes, keepdims))


@shaped(
    _reduce(np.minimum), extreme_rule(np.minimum, reducing), "statistical", ("real numeric",), attributes=REDUCE
)  # fmt: skip  # one row
def min_(x: ArrayType, *, axis: tuple[int, ...] | None, keepdims: bool) -> ArrayType:
    """Smallest element over axes of at least one element; NaN propagates."""
    return extreme_type("min", x, axis, keepdims)


@shaped(
    _accumulate(np.maximum), extreme_rule(np.maximum, accumulating_along), "statistical", ("real numeric",),
    attributes={"axis": Axis()},
)  # fmt: skip  # one row
def cumulative_max(x: ArrayType, *, axis: int) -> ArrayType:
    """Largest of the first 1, 2, ... n elements along an axis; NaN propagates."""
    normalize_axis(axis, x.ndim)
    return x


@shaped(
    _accumulate(np.minimum), extreme_rule(np.minimum, accumulating_along), "statistical", ("real numeric",),
    attributes={"axis": Axis()},
)  # fmt: skip  # one row
def cumulative_min(x: ArrayType, *, axis: int) -> ArrayType:
    """Smallest of the first 1, 2, ... n elements along an axis; NaN propagates."""
    normalize_axis(axis, x.ndim)
    return x


# ------------------------------------------------------------------------------------------------------ without NaN
def quiet_nans(x: Array, **_: object) -> bool:
    """No NaN is a signalling one: fmax and fmin, which take a quiet NaN for nothing, give NaN for those.

    Source: IEEE 754-2008, 5.3.1 (minNum) and 6.2; measured in NumPy: fmin(1, signalling NaN) is NaN.
    """
    nan = np.isnan(x)
    if not some(nan):
        return True
    bits = x.view(f"u{x.dtype.itemsize}")
    return not some(nan & ((bits >> (DTYPES[NAMES[x.dtype]].precision - 2)) & 1 == 0))


def settled_nan(b: Bounds) -> bool:
    """Whether it is known of every element that it is NaN or that it is not."""
    return not some(b.nan & ~b.empty)


def without_nan_rule(ufunc: np.ufunc, last: float) -> Callable[[Application], Value]:
    """nanmax, nanmin: NaN counts as `last`, the last that is chosen; NaN where there is nothing else."""

    def rule(a: Application) -> Value:
        value = reference(a)
        b, fold = a.operands[0].bounds(), reducing(a)
        if not settled_nan(b):
            return value, None
        end, no = np.asarray(last, b.lo.dtype), np.zeros(b.lo.shape, np.bool_)
        # a zero that stands in for NaN in `lo` and `hi` must not count among those that are there
        there = Bounds(np.where(b.empty, end, b.lo), np.where(b.empty, end, b.hi), no, no)
        e = extreme(ufunc, there, fold)
        all_nan = fold(np.logical_and, b.empty)
        return value, between(e.lo, e.hi, all_nan, all_nan)

    return rule


@shaped(
    _reduce(np.fmax), without_nan_rule(np.maximum, -np.inf), "statistical", ("real floating",), attributes=REDUCE,
    defined=quiet_nans,
)  # fmt: skip  # one row
def nanmax(x: ArrayType, *, axis: tuple[int, ...] | None, keepdims: bool) -> ArrayType:
    """Largest element that is not NaN over axes of at least one element; NaN if there is none."""
    return extreme_type("nanmax", x, axis, keepdims)


@shaped(
    _reduce(np.fmin), without_nan_rule(np.minimum, np.inf), "statistical", ("real floating",), attributes=REDUCE,
    defined=quiet_nans,
)  # fmt: skip  # one row
def nanmin(x: ArrayType, *, axis: tuple[int, ...] | None, keepdims: bool) -> ArrayType:
    """Smallest element that is not NaN over axes of at least one element; NaN if there is none."""
    return extreme_type("nanmin", x, axis, keepdims)
