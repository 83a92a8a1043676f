"""embedding, one_hot, scatter_add, index_add, pixel_shuffle: rows by number, and what is added at places."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from offload_fuzz.enclosure import Bounds
from offload_fuzz.enclosure import exact as known_to_the_bit
from offload_fuzz.errors import require
from offload_fuzz.ops.base import (
    Application,
    Axis,
    Divisor,
    Index,
    Operand,
    Range,
    accumulating,
    exact,
    indexed_shape,
    normalize_axis,
    shaped,
    slices,
)
from offload_fuzz.ops.indexing import Region
from offload_fuzz.ops.rounding import FLOAT64, narrowed, wide
from offload_fuzz.ops.rules import Value, exact_rule, integer_rule, reference
from offload_fuzz.ops.sums import NO_BIT, Reduction, enclose_sum, gather, kept, known_bounds
from offload_fuzz.types import NAMES, Array, ArrayType, is_floating


# ------------------------------------------------------------------------------------------------------------- lookup
def _rows_inside(weight: Array, indices: Array) -> bool:
    return bool(((indices >= 0) & (indices < weight.shape[0])).all())


def _embedding(weight: Array, indices: Array) -> Array:
    """weight[indices]; an index out of range wraps, as any result is as good as another there."""
    if not weight.shape[0]:
        return np.zeros((*indices.shape, weight.shape[1]), weight.dtype)
    return np.asarray(np.take(weight, indices % weight.shape[0], axis=0))


def embedding_rule(a: Application) -> Value:
    """embedding: a data movement for certain indices; unknown otherwise."""
    weight, indices = a.operands
    value = reference(a)
    if not indices.is_certain:
        return value, None
    if weight.is_singleton:
        return value, known_to_the_bit(value)
    return value, weight.move(lambda part: _embedding(part, indices.lo))


@shaped(
    _embedding, embedding_rule, "neural", ("any",), operands=(Operand("table"), Operand("row numbers", "int64")),
    moves=True, defined=_rows_inside,
)  # fmt: skip  # one row
def embedding(weight: ArrayType, indices: ArrayType) -> ArrayType:
    """Rows of weight[n,d] at indices of any shape."""
    require(weight.ndim == 2, f"embedding takes weight[n,d], got {weight}")
    return ArrayType(weight.dtype, (*indices.shape, weight.shape[1]))


def _classes_inside(indices: Array, *, num_classes: int) -> bool:
    return bool(((indices >= 0) & (indices < num_classes)).all())


def _one_hot(indices: Array, *, num_classes: int) -> Array:
    return np.asarray(indices[..., None] == np.arange(num_classes)).astype(np.int64)


@shaped(
    _one_hot, exact_rule, "neural", ("integral",), exact, operands=(Operand("classes"),),
    attributes={"num_classes": Range(4, 9)}, defined=_classes_inside,
)  # fmt: skip  # one row
def one_hot(indices: ArrayType, *, num_classes: int) -> ArrayType:
    """1 at the place that each index names, in a new last axis, else 0; int64."""
    return ArrayType("int64", (*indices.shape, num_classes))


# --------------------------------------------------------------------------------------------------------- additions
def _into(place: Callable[[Array, Array], None], start: Array, terms: Array, shape: tuple[int, ...]) -> Reduction:
    """The sums of `start` and what `place` adds of `terms`, both flat behind one another, each result of its terms."""
    n = start.size

    def add(v: Array) -> Array:
        out = v[:n].reshape(shape).copy()
        place(out, v[n:].reshape(terms.shape))
        return out

    def any_(v: Any) -> Array:
        return np.asarray(add(np.broadcast_to(v, (n + terms.size,)).astype(FLOAT64)) > 0)

    def low(v: Array) -> Array:
        # the lowest bit of all that may meet: of the whole array, which is coarser and needs no ufunc.at of min
        return np.full(shape, v.min(initial=NO_BIT))

    return Reduction(add, any_, low, add(np.ones(n + terms.size, FLOAT64)))


def additions_rule(place_of: Callable[[Application], Callable[[Array, Array], None]]) -> Callable[[Application], Value]:
    """scatter_add, index_add: each element the sum of itself and what is added there, in any order."""

    def enclose(a: Application) -> Value:
        if not is_floating(a.type.dtype):
            return integer_rule(a)
        value = reference(a)
        x, terms = a.operands[0], a.operands[-1]
        if not all(e.is_certain for e in a.operands[1:-1]):
            return value, None
        dtype, k = a.type.dtype, kept(a)
        r = _into(place_of(a), a.values[0], a.values[-1], a.type.shape)
        known = x.is_certain and terms.is_certain
        bounds = [e.bounds() for e in (x, terms)]
        lo, hi = (
            np.concatenate([wide(np.asarray(getattr(b, end)), dtype).ravel() for b in bounds]) for end in ("lo", "hi")
        )
        nan, empty = (
            np.concatenate([np.broadcast_to(getattr(b, flag), b.lo.shape).ravel() for b in bounds])
            for flag in ("nan", "empty")
        )
        if known:
            joined = np.concatenate([wide(v, dtype).ravel() for v in (a.values[0], a.values[-1])])
            s = gather(known_bounds(joined, None), r, k, True)
        else:
            s = gather(Bounds(lo, hi, nan, empty), r, k, False)
        count = np.asarray(r.count)
        return value, enclose_sum(s, np.maximum(count - 1, 0), count if k.flushes else 0, a, k)

    return enclose


def _scattering(a: Application) -> Callable[[Array, Array], None]:
    region = slices(a.attributes["index"])

    def place(out: Array, terms: Array) -> None:
        out[region] += terms

    return place


def _scatter_add(x: Array, value: Array, *, index: Any) -> Array:
    out = x.copy()
    region: Any = (*slices(index), ...)
    out[region] = out[region] + value
    return out


@shaped(
    _scatter_add, additions_rule(_scattering), "neural", ("real numeric",), accumulating,
    operands=(Operand(), Operand("region")), attributes={"index": Index()},
)  # fmt: skip  # one row
def scatter_add(x: ArrayType, value: ArrayType, *, index: Region) -> ArrayType:
    """A copy of x with value added to the region."""
    region = indexed_shape(x.shape, index)
    require(
        value.shape == region and value.dtype == x.dtype,
        f"scatter_add takes a value of the region's type {ArrayType(x.dtype, region)}, got {value}",
    )
    return x


def _adding(a: Application) -> Callable[[Array, Array], None]:
    axis, indices = a.attributes["axis"], a.operands[1].lo

    def place(out: Array, terms: Array) -> None:
        moved = np.moveaxis(out, axis, 0)
        if moved.size:
            np.add.at(moved, indices % moved.shape[0], np.moveaxis(terms, axis, 0))

    return place


def _index_add(x: Array, indices: Array, value: Array, *, axis: int) -> Array:
    """Wide, then rounded; an index out of range wraps."""
    out = np.moveaxis(x.copy() if not is_floating(NAMES[x.dtype]) else wide(x, NAMES[x.dtype]), axis, 0).copy()
    if out.shape[0] and out.size:
        np.add.at(out, indices % out.shape[0], np.moveaxis(value, axis, 0).astype(out.dtype))
    result = np.moveaxis(out, 0, axis)
    return narrowed(result, NAMES[x.dtype]) if is_floating(NAMES[x.dtype]) else np.asarray(result)


def _places_inside(x: Array, indices: Array, value: Array, *, axis: int) -> bool:
    n = x.shape[axis]
    return bool(((indices >= 0) & (indices < n)).all())


@shaped(
    _index_add, additions_rule(_adding), "neural", ("real numeric",), accumulating,
    operands=(Operand(), Operand("places", "int64"), Operand("slices")), attributes={"axis": Axis()},
    defined=_places_inside,
)  # fmt: skip  # one row
def index_add(x: ArrayType, indices: ArrayType, value: ArrayType, *, axis: int) -> ArrayType:
    """A copy of x with the slices of value added at indices along an axis; repeats add up."""
    at = normalize_axis(axis, x.ndim)
    require(
        indices.ndim == 1
        and value.dtype == x.dtype
        and value.shape == (*x.shape[:at], *indices.shape, *x.shape[at + 1 :]),
        f"index_add takes x, one-dimensional indices and value of as many slices of x along {axis}, got "
        f"{x}, {indices}, {value}",
    )
    return x


# ------------------------------------------------------------------------------------------------------ rearrangement
def _pixel_shuffle(x: Array, *, factor: int) -> Array:
    n, c, h, w = x.shape
    r = factor
    split = x.reshape(n, c // (r * r), r, r, h, w)
    return np.array(split.transpose(0, 1, 4, 2, 5, 3)).reshape(n, c // (r * r), h * r, w * r)


@shaped(
    _pixel_shuffle, exact_rule, "neural", ("any",), operands=(Operand("image"),),
    attributes={"factor": Divisor(1, 2)}, moves=True,
)  # fmt: skip  # one row
def pixel_shuffle(x: ArrayType, *, factor: int) -> ArrayType:
    """[N, C r^2, H, W] as [N, C, H r, W r]."""
    require(
        x.ndim == 4 and x.shape[1] % (factor * factor) == 0,
        f"pixel_shuffle takes x[n,c,h,w] with c a multiple of {factor}**2, got {x}",
    )
    return ArrayType(x.dtype, (x.shape[0], x.shape[1] // factor**2, x.shape[2] * factor, x.shape[3] * factor))
