"""Ops that change shape or dtype: statistics, search, sort, manipulation, indexing, matmul, astype.

Each is its type rule, decorated with its NumPy meaning and enclosure rule.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from offload_fuzz.enclosure import between, computed, exact as only, whole
from offload_fuzz.ops import sums
from offload_fuzz.ops.base import (
    Accuracy,
    Application,
    Axes,
    Axis,
    Bool,
    BroadcastShape,
    Domain,
    DTypeName,
    EncloseRule,
    Index,
    NewAxis,
    Op,
    Operand,
    Permutation,
    SameSizeShape,
    TypeRule,
    UnitAxes,
    accumulating,
    broadcast_shapes,
    correctly_rounded,
    exact,
    indexed_shape,
    normalize_axes,
    normalize_axis,
    reduced_shape,
    register,
    slices,
)
from offload_fuzz.ops.rules import Value, certain, exact_rule, joined_flags, reference
from offload_fuzz.errors import require
from offload_fuzz.types import DTYPES, NAMES, Array, ArrayType, is_floating, promote


def shaped(
    numpy: Callable[..., Any],
    category: str,
    kinds: tuple[str, ...] = ("any",),
    accuracy: Accuracy = exact,
    enclose: EncloseRule = exact_rule,
    operands: tuple[Operand, ...] = (Operand(),),
    attributes: dict[str, Domain] | None = None,
    monotone: tuple[str, ...] = (),
    moves: bool = False,
    defined: Callable[..., bool] | None = None,
) -> Callable[[TypeRule], Op]:
    """Register the op that the decorated type rule names; a trailing underscore keeps Python's own name free."""

    def decorate(rule: TypeRule) -> Op:
        name = rule.__name__.rstrip("_")
        summary = (rule.__doc__ or "").strip().split("\n")[0]
        return register(
            Op(
                name, category, kinds, accuracy, rule, numpy, enclose, operands, attributes or {}, monotone,
                moves=moves, defined=defined, summary=summary,
            )
        )  # fmt: skip  # one row

    return decorate


# --------------------------------------------------------------------------------------------------- statistics
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


@shaped(_accumulate(np.add), "statistical", ("numeric",), accumulating, sums.sum_rule, attributes=REDUCE)
def sum_(x: ArrayType, *, axis: tuple[int, ...] | None, keepdims: bool) -> ArrayType:
    """Sum over axes; integers in 64 bits."""
    return ArrayType(accumulated_dtype(x.dtype), reduced_shape(x.shape, normalize_axes(axis, x.ndim), keepdims))


@shaped(_accumulate(np.multiply), "statistical", ("numeric",), accumulating, sums.prod_rule, attributes=REDUCE)
def prod(x: ArrayType, *, axis: tuple[int, ...] | None, keepdims: bool) -> ArrayType:
    """Product over axes; integers in 64 bits."""
    return ArrayType(accumulated_dtype(x.dtype), reduced_shape(x.shape, normalize_axes(axis, x.ndim), keepdims))


@shaped(np.mean, "statistical", ("real floating",), accumulating, sums.mean_rule, attributes=REDUCE)
def mean(x: ArrayType, *, axis: tuple[int, ...] | None, keepdims: bool) -> ArrayType:
    """Arithmetic mean over axes; NaN over no elements."""
    return ArrayType(x.dtype, reduced_shape(x.shape, normalize_axes(axis, x.ndim), keepdims))


def max_rule(a: Application) -> Value:
    """max: increasing; NaN propagates; of two opposite zeros either."""
    value = reference(a)
    (e,) = a.operands
    if not is_floating(a.type.dtype):
        return value, computed(value) if certain(a) else None
    b = e.bounds()
    axes, keepdims = normalize_axes(a.attributes["axis"], b.lo.ndim), a.attributes["keepdims"]
    nan, empty = (np.asarray(np.any(f, axis=axes, keepdims=keepdims)) for f in (b.nan, b.empty))
    lo, hi = (np.asarray(np.max(end, axis=axes, keepdims=keepdims)) for end in (b.lo, b.hi))
    if not ((lo == 0) | (hi == 0)).any():
        return value, between(lo, hi, nan, empty) if not e.is_singleton or nan.any() else only(lo)
    minus = np.asarray(np.any((b.lo == 0) & np.signbit(b.lo), axis=axes, keepdims=keepdims))
    plus = np.asarray(np.any((b.hi == 0) & ~np.signbit(b.hi), axis=axes, keepdims=keepdims))
    signed = np.asarray(-0.0, lo.dtype), np.asarray(0.0, lo.dtype)
    lo = np.where(lo == 0, np.where(minus, *signed), lo)
    hi = np.where(hi == 0, np.where(plus, signed[1], signed[0]), hi)
    return value, between(lo, hi, nan, empty)


def _no_empty_axis(x: Array, *, axis: Any, **_: object) -> bool:
    return x.size > 0 or all(x.shape[i] > 0 for i in normalize_axes(axis, x.ndim))


@shaped(np.max, "statistical", ("numeric",), exact, max_rule, attributes=REDUCE)
def max_(x: ArrayType, *, axis: tuple[int, ...] | None, keepdims: bool) -> ArrayType:
    """Largest element over axes of at least one element; NaN propagates."""
    axes = normalize_axes(axis, x.ndim)
    require(all(x.shape[i] > 0 for i in axes), f"max takes axes of at least one element, got axis={axis} of {x}")
    return ArrayType(x.dtype, reduced_shape(x.shape, axes, keepdims))


def no_nan(x: Array, **_: object) -> bool:
    """The standard leaves the place of NaN open in searching and sorting."""
    return x.dtype.kind not in "fV" or not bool(np.isnan(x).any())


@shaped(
    np.argmax, "searching", ("numeric",), exact, exact_rule,
    attributes={"axis": Axis(), "keepdims": Bool()}, monotone=("other",), defined=no_nan,
)  # fmt: skip  # one row
def argmax(x: ArrayType, *, axis: int, keepdims: bool) -> ArrayType:
    """Index of the first largest element along an axis of at least one element."""
    axes = (normalize_axis(axis, x.ndim),)
    require(x.shape[axes[0]] > 0, f"argmax takes an axis of at least one element, got axis={axis} of {x}")
    return ArrayType("int64", reduced_shape(x.shape, axes, keepdims))


@shaped(
    _cumulative_sum, "statistical", ("numeric",), accumulating, sums.cumulative_sum_rule, attributes={"axis": Axis()}
)
def cumulative_sum(x: ArrayType, *, axis: int) -> ArrayType:
    """Sums of the first 1, 2, ... n elements along an axis; integers in 64 bits."""
    normalize_axis(axis, x.ndim)
    return ArrayType(accumulated_dtype(x.dtype), x.shape)


def sort_rule(a: Application) -> Value:
    """sort: the k-th smallest is increasing in every element; equal zeros may trade places only if uncertain."""
    value = reference(a)
    (e,) = a.operands
    if e.is_singleton:
        return value, computed(value)
    if not is_floating(a.type.dtype):
        return value, None
    b = e.bounds()
    if b.nan.any():
        return value, None
    axis = a.attributes["axis"]
    lo, hi = np.sort(b.lo, axis=axis), np.sort(b.hi, axis=axis)
    from offload_fuzz.enclosure import either_zero

    return value, either_zero(between(lo, hi))


def _sort(x: Array, *, axis: int) -> Array:
    return np.sort(x, axis=axis, stable=True)


@shaped(_sort, "sorting", ("numeric",), exact, sort_rule, attributes={"axis": Axis()}, defined=no_nan)
def sort(x: ArrayType, *, axis: int) -> ArrayType:
    """Ascending stable sort along an axis."""
    normalize_axis(axis, x.ndim)
    return x


# ------------------------------------------------------------------------------------------------- linear algebra
@shaped(
    np.matmul, "linear algebra", ("numeric",), accumulating, sums.matmul_rule,
    operands=(Operand(), Operand("contracts")),
)  # fmt: skip  # one row
def matmul(x1: ArrayType, x2: ArrayType) -> ArrayType:
    """Matrix product over the last two axes; leading axes broadcast."""
    require(min(x1.ndim, x2.ndim) >= 2, f"matmul takes matrices, got {x1} and {x2}")
    *batch1, m, k1 = x1.shape
    *batch2, k2, n = x2.shape
    require(k1 == k2, f"matmul contracts {k1} with {k2} in {x1} @ {x2}")
    batch = broadcast_shapes(tuple(batch1), tuple(batch2))
    return ArrayType(promote(x1.dtype, x2.dtype), (*batch, m, n))


# -------------------------------------------------------------------------------------------------- manipulation
def moving(numpy: Callable[..., Any], **attributes: Domain) -> Callable[[TypeRule], Op]:
    """A one-operand data movement of the manipulation category."""
    return shaped(numpy, "manipulation", attributes=attributes, moves=True)


@moving(lambda x, *, shape: np.reshape(x, shape), shape=SameSizeShape())
def reshape(x: ArrayType, *, shape: tuple[int, ...]) -> ArrayType:
    """The same elements in row-major order in another shape."""
    result = ArrayType(x.dtype, shape)
    require(result.size == x.size, f"reshape keeps the number of elements, got {x} to {shape}")
    return result


@moving(lambda x, *, axes: np.transpose(x, axes), axes=Permutation())
def permute_dims(x: ArrayType, *, axes: tuple[int, ...]) -> ArrayType:
    """Axes in another order."""
    require(
        isinstance(axes, tuple) and sorted(axes) == list(range(x.ndim)),
        f"axes is {axes!r} but should order 0..{x.ndim - 1}",
    )
    return ArrayType(x.dtype, tuple(x.shape[i] for i in axes))


@moving(lambda x, *, axis: np.flip(x, axis), axis=Axes())
def flip(x: ArrayType, *, axis: tuple[int, ...] | None) -> ArrayType:
    """Elements in reverse along axes."""
    normalize_axes(axis, x.ndim)
    return x


@moving(lambda x, *, shape: np.broadcast_to(x, shape), shape=BroadcastShape())
def broadcast_to(x: ArrayType, *, shape: tuple[int, ...]) -> ArrayType:
    """Elements repeated along axes of length 1 and new leading ones."""
    result = ArrayType(x.dtype, shape)
    require(broadcast_shapes(x.shape, shape) == shape, f"{x} does not broadcast to {shape}")
    return result


@moving(lambda x, *, axis: np.squeeze(x, axis), axis=UnitAxes())
def squeeze(x: ArrayType, *, axis: tuple[int, ...]) -> ArrayType:
    """Axes of length 1 removed."""
    axes = normalize_axes(axis, x.ndim)
    require(all(x.shape[i] == 1 for i in axes), f"squeeze takes axes of length 1, got axis={axis} of {x}")
    return ArrayType(x.dtype, reduced_shape(x.shape, axes, False))


@moving(lambda x, *, axis: np.expand_dims(x, axis), axis=NewAxis())
def expand_dims(x: ArrayType, *, axis: int) -> ArrayType:
    """A new axis of length 1."""
    at = normalize_axis(axis, x.ndim + 1)
    return ArrayType(x.dtype, (*x.shape[:at], 1, *x.shape[at:]))


@shaped(
    lambda x1, x2, *, axis: np.concatenate((x1, x2), axis=axis), "manipulation", attributes={"axis": Axis()},
    operands=(Operand(), Operand("joins")), moves=True,
)  # fmt: skip  # one row
def concat(x1: ArrayType, x2: ArrayType, *, axis: int) -> ArrayType:
    """Two arrays joined along an axis."""
    at = normalize_axis(axis, x1.ndim)
    require(
        x1.dtype == x2.dtype and x1.ndim == x2.ndim and x1.shape[:at] == x2.shape[:at]
        and x1.shape[at + 1 :] == x2.shape[at + 1 :],
        f"concat takes equal dtypes and shapes but for axis {at}, got {x1} and {x2}",
    )  # fmt: skip  # one condition
    return ArrayType(x1.dtype, (*x1.shape[:at], x1.shape[at] + x2.shape[at], *x1.shape[at + 1 :]))


# ------------------------------------------------------------------------------------------------------ indexing
@shaped(lambda x, *, index: x[slices(index)], "indexing", attributes={"index": Index()}, moves=True)
def getitem(x: ArrayType, *, index: tuple[tuple[int | None, int | None, int | None], ...]) -> ArrayType:
    """A region by (start, stop, step) per axis, as x[start:stop:step, ...]."""
    return ArrayType(x.dtype, indexed_shape(x.shape, index))


def _setitem(x: Array, value: Array, *, index: Any) -> Array:
    out = x.copy()
    out[slices(index)] = value
    return out


@shaped(
    _setitem, "indexing", enclose=sums.region_rule, operands=(Operand(), Operand("region")),
    attributes={"index": Index()},
)  # fmt: skip  # one row
def setitem(x: ArrayType, value: ArrayType, *, index: tuple[tuple[int | None, int | None, int | None], ...]) -> ArrayType:
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


@shaped(
    lambda x, indices, *, axis: np.take(x, indices, axis=axis), "indexing", moves=True,
    enclose=lambda a: take_rule(a), operands=(Operand(), Operand("indices", "int64")),
    attributes={"axis": Axis()}, defined=_indices_inside,
)  # fmt: skip  # one row
def take(x: ArrayType, indices: ArrayType, *, axis: int) -> ArrayType:
    """Elements at one-dimensional indices along an axis."""
    at = normalize_axis(axis, x.ndim)
    require(indices.ndim == 1, f"take takes one-dimensional indices, got {indices}")
    return ArrayType(x.dtype, (*x.shape[:at], *indices.shape, *x.shape[at + 1 :]))


def take_rule(a: Application) -> Value:
    """take: a data movement for certain indices in range; unknown otherwise."""
    x, indices = a.operands
    if not indices.is_singleton:
        return reference(a), None
    return reference(a), x.move(lambda part: np.take(part, indices.lo, axis=a.attributes["axis"]))


# ------------------------------------------------------------------------------------------------------ data type
def fits(x: Array, *, dtype: str) -> bool:
    """The standard leaves conversions to integers that cannot hold the value open."""
    if dtype == "bool" or is_floating(dtype) or x.dtype.kind == "b" or x.size == 0:
        return True
    info = np.iinfo(DTYPES[dtype].np)
    if x.dtype.kind in "iu":
        return int(x.min()) >= info.min and int(x.max()) <= info.max
    w = x.astype(np.float64)
    return bool((np.isfinite(w) & (np.trunc(w) >= float(info.min)) & (np.trunc(w) < float(info.max) + 1.0 * (info.max < 2**53))).all())  # fmt: skip


def cast(x: Array, *, dtype: str) -> Array:
    """`x` converted directly, rounding to nearest even."""
    return x.astype(DTYPES[dtype].np)


def astype_rule(a: Application) -> Value:
    """astype: exact where it fits; rounded directly, or through float32 where the contract says so."""
    (e,) = a.operands
    source, target = NAMES[e.lo.dtype], a.type.dtype
    value = reference(a)
    if not is_floating(target):
        if not e.is_certain and not (is_floating(source) and target != "bool"):
            return value, None
        b = e.bounds()
        if b.nan.any() and target != "bool":
            return value, whole(a.type)
        if e.is_singleton:
            return value, computed(value) if fits(e.lo, dtype=target) else whole(a.type)
        if target == "bool":
            return value, None
        if not (fits(b.lo, dtype=target) and fits(b.hi, dtype=target)):
            return value, whole(a.type)
        lo, hi = cast(b.lo, dtype=target), cast(b.hi, dtype=target)
        return value, computed(lo) if bool((lo == hi).all()) else between(lo, hi)
    b = e.bounds()
    los, his = _conversions(b.lo, source, target, a), _conversions(b.hi, source, target, a)
    value = _conversions(a.values[0], source, target, a)[-1]
    nan, empty = joined_flags(a, [b])
    from offload_fuzz.enclosure import largest, smallest

    lo, hi = smallest(*los), largest(*his)
    if e.is_singleton and not nan.any() and lo.tobytes() == hi.tobytes():
        return value, only(lo)
    return value, between(lo, hi, nan, empty)


def _conversions(x: Array, source: str, target: str, a: Application) -> list[Array]:
    """Every rounding of `x` to `target` that the contract allows."""
    direct = x.astype(DTYPES[target].np)
    if target not in ("float16", "bfloat16") or source not in ("float64", "int32", "uint32", "int64", "uint64"):
        return [direct]
    found = []
    through = x.astype(np.float32).astype(DTYPES[target].np)
    if f"{source}->{target}" in a.contract.cast_through_float32:
        found.append(through)
    found.append(nearest(x, target))
    return found


def nearest(x: Array, target: str) -> Array:
    """`x` rounded once, to nearest even, into a 16-bit float dtype: rounding to odd in float32 on the way is harmless.

    Source: Boldo and Melquiond, "Emulation of FMA and correctly rounded sums: proved algorithms using rounding to
    odd", IEEE Trans. Computers 57 (2008).
    """
    w = x.astype(np.longdouble) if x.dtype.kind in "iu" else x.astype(np.float64)
    f = w.astype(np.float32)
    back = f.astype(w.dtype)
    bits = f.view(np.int32)
    inexact = np.isfinite(w) & (back != w) & ((bits & 1) == 0) & np.isfinite(f)
    toward = np.where((back > w) == (f > 0), -1, 1)  # magnitude shrinks where rounding went away from zero
    toward = np.where((f == 0) & inexact, 1, toward)
    return np.where(inexact, bits + toward.astype(np.int32), bits).view(np.float32).astype(DTYPES[target].np)


@shaped(
    cast, "data type", ("any",), correctly_rounded, astype_rule, attributes={"dtype": DTypeName()}, defined=fits
)
def astype(x: ArrayType, *, dtype: str) -> ArrayType:
    """Elements converted to another dtype, rounding to nearest even, truncating to integers."""
    return ArrayType(dtype, x.shape)
