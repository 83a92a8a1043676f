"""Further manipulation and indexing functions: data movement that keeps every bit, and zeros put in by pad.

swapaxes, tile (as NumPy's), rot90 and pad are no functions of the array API standard; their names are NumPy's.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from offload_fuzz.enclosure import exact
from offload_fuzz.errors import require
from offload_fuzz.ops.base import (
    Application,
    Axis,
    Choice,
    Domain,
    NewAxis,
    Op,
    Operand,
    TypeRule,
    normalize_axis,
    shaped,
)
from offload_fuzz.ops.manipulation import moving
from offload_fuzz.ops.rules import Value, exact_rule, payloads, reference
from offload_fuzz.ops.shape_domains import Count, Offset, Position, Repetitions, Widths
from offload_fuzz.types import Array, ArrayType


def _moved(shape: tuple[int, ...], source: int, destination: int) -> tuple[int, ...]:
    rest = [*shape[:source], *shape[source + 1 :]]
    rest.insert(destination, shape[source])
    return tuple(rest)


@moving(
    lambda x, *, source, destination: np.moveaxis(x, source, destination), source=Axis(), destination=Axis()
)  # fmt: skip  # one row
def moveaxis(x: ArrayType, *, source: int, destination: int) -> ArrayType:
    """One axis put elsewhere among the others."""
    at, to = normalize_axis(source, x.ndim, "source"), normalize_axis(destination, x.ndim, "destination")
    return ArrayType(x.dtype, _moved(x.shape, at, to))


@moving(lambda x, *, axis1, axis2: np.swapaxes(x, axis1, axis2), axis1=Axis(), axis2=Axis())
def swapaxes(x: ArrayType, *, axis1: int, axis2: int) -> ArrayType:
    """Two axes in each other's place."""
    i, j = normalize_axis(axis1, x.ndim, "axis1"), normalize_axis(axis2, x.ndim, "axis2")
    shape = list(x.shape)
    shape[i], shape[j] = shape[j], shape[i]
    return ArrayType(x.dtype, tuple(shape))


def _matrix(op: str, x: ArrayType) -> ArrayType:
    require(x.ndim >= 2, f"{op} takes matrices, got {x}")
    return x


def moving_matrices(category: str, numpy: Any, **attributes: Domain) -> Callable[[TypeRule], Op]:
    """A data movement of one operand of two axes at least."""
    return shaped(numpy, exact_rule, category, operands=(Operand("matrix"),), attributes=attributes, moves=True)


@moving_matrices("linear algebra", lambda x: np.swapaxes(x, -1, -2))
def matrix_transpose(x: ArrayType) -> ArrayType:
    """The last two axes in each other's place."""
    *batch, m, n = _matrix("matrix_transpose", x).shape
    return ArrayType(x.dtype, (*batch, n, m))


@moving_matrices("manipulation", lambda x, *, k: np.rot90(x, k), k=Offset())
def rot90(x: ArrayType, *, k: int) -> ArrayType:
    """A quarter turn, k times, from the first axis towards the second."""
    m, n, *rest = _matrix("rot90", x).shape
    return ArrayType(x.dtype, (n, m, *rest) if k % 2 else x.shape)


def diagonal_length(x: ArrayType, offset: int) -> int:
    """How long the diagonal of the last two axes is."""
    m, n = x.shape[-2:]
    return max(min(m, n - offset) if offset >= 0 else min(m + offset, n), 0)


@moving_matrices(
    "linear algebra", lambda x, *, offset: np.diagonal(x, offset, -2, -1), offset=Offset()
)  # fmt: skip  # one row
def diagonal(x: ArrayType, *, offset: int) -> ArrayType:
    """A diagonal of the last two axes as the new last axis."""
    return ArrayType(x.dtype, (*_matrix("diagonal", x).shape[:-2], diagonal_length(x, offset)))


@moving(lambda x, *, repeats, axis: np.repeat(x, repeats, axis), repeats=Count(), axis=Axis(optional=True))
def repeat(x: ArrayType, *, repeats: int, axis: int | None) -> ArrayType:
    """Each element repeated in place along an axis, or of the flattened array where axis is None."""
    if axis is None:
        return ArrayType(x.dtype, (x.size * repeats,))
    at = normalize_axis(axis, x.ndim)
    return ArrayType(x.dtype, tuple(n * repeats if i == at else n for i, n in enumerate(x.shape)))


@moving(lambda x, *, shift, axis: np.roll(x, shift, axis), shift=Offset(), axis=Axis(optional=True))
def roll(x: ArrayType, *, shift: int, axis: int | None) -> ArrayType:
    """Elements shifted along an axis, those that fall off coming in again; in row-major order where axis is None."""
    if axis is not None:
        normalize_axis(axis, x.ndim)
    return x


@moving(lambda x, *, repetitions: np.tile(x, repetitions), repetitions=Repetitions())
def tile(x: ArrayType, *, repetitions: tuple[int, ...]) -> ArrayType:
    """The whole array repeated along each axis; the shorter of shape and repetitions gets leading ones."""
    n = max(x.ndim, len(repetitions))
    shape, times = ((1,) * (n - len(t)) + tuple(t) for t in (x.shape, repetitions))
    return ArrayType(x.dtype, tuple(map(math.prod, zip(shape, times, strict=True))))


def _pad(x: Array, *, width: tuple[tuple[int, int], ...]) -> Array:
    out = np.zeros(tuple(before + n + after for n, (before, after) in zip(x.shape, width, strict=True)), x.dtype)
    out[tuple(slice(before, before + n) for n, (before, _) in zip(x.shape, width, strict=True))] = x
    return out


@moving(_pad, width=Widths())
def pad(x: ArrayType, *, width: tuple[tuple[int, int], ...]) -> ArrayType:
    """Zeros put before and after the elements along each axis."""
    require(len(width) == x.ndim, f"width is {width} but should have one (before, after) for each axis of {x}")
    return ArrayType(x.dtype, tuple(a + n + b for n, (a, b) in zip(x.shape, width, strict=True)))


def _unstack(x: Array, *, axis: int, index: int) -> Array:
    view: Array = x[(slice(None),) * (axis % x.ndim) + (index, ...)]
    return view


@moving(_unstack, axis=Axis(), index=Position())
def unstack(x: ArrayType, *, axis: int, index: int) -> ArrayType:
    """The part at one index of an axis, which is dropped: the index-th of the arrays that unstack gives."""
    at = normalize_axis(axis, x.ndim)
    require(0 <= index < x.shape[at], f"index is {index} but should be in [0, {x.shape[at]}), the length of axis {at}")
    return ArrayType(x.dtype, (*x.shape[:at], *x.shape[at + 1 :]))


# ------------------------------------------------------------------------------------------------------- two operands
@shaped(
    lambda x1, x2, *, axis: np.stack((x1, x2), axis), exact_rule, "manipulation",
    operands=(Operand(), Operand("same")), attributes={"axis": NewAxis()}, moves=True,
)  # fmt: skip  # one row
def stack(x1: ArrayType, x2: ArrayType, *, axis: int) -> ArrayType:
    """Two arrays of one type joined along a new axis."""
    require(x1 == x2, f"stack takes arrays of one type, got {x1} and {x2}")
    at = normalize_axis(axis, x1.ndim + 1)
    return ArrayType(x1.dtype, (*x1.shape[:at], 2, *x1.shape[at:]))


def _meshgrid(x1: Array, x2: Array, *, indexing: str, index: int) -> Array:
    options: Any = {"indexing": indexing}
    return np.asarray(np.meshgrid(x1, x2, **options)[index])


def meshgrid_rule(a: Application) -> Value:
    """meshgrid: a data movement of the operand whose coordinates they are."""
    return reference(a), a.operands[a.attributes["index"]].move(lambda part: _spread(part, a))


def _spread(part: Array, a: Application) -> Array:
    along = (a.attributes["index"] == 1) == (a.attributes["indexing"] == "xy")
    return np.broadcast_to(part[:, None] if along else part, a.type.shape)


@shaped(
    _meshgrid, meshgrid_rule, "creation", operands=(Operand("vector"), Operand("other vector")),
    attributes={"indexing": Choice("xy", "ij"), "index": Choice(0, 1)}, moves=True,
)  # fmt: skip  # one row
def meshgrid(x1: ArrayType, x2: ArrayType, *, indexing: str, index: int) -> ArrayType:
    """The first or second coordinate of every point of a grid: the index-th of the arrays that meshgrid gives."""
    require(x1.ndim == x2.ndim == 1, f"meshgrid takes one-dimensional arrays, got {x1} and {x2}")
    require(x1.dtype == x2.dtype, f"meshgrid takes arrays of one dtype, got {x1} and {x2}")
    (n,), (m,) = x1.shape, x2.shape
    return ArrayType(x1.dtype, (m, n) if indexing == "xy" else (n, m))


def _indices_inside(x: Array, indices: Array, *, axis: int) -> bool:
    n = x.shape[axis]
    return bool(((indices >= 0) & (indices < n)).all())


def _take_along_axis(x: Array, indices: Array, *, axis: int) -> Array:
    return np.take_along_axis(x, indices, axis)


def take_along_axis_rule(a: Application) -> Value:
    """take_along_axis: a data movement for certain indices; unknown otherwise."""
    x, indices = a.operands
    value = reference(a)
    if not indices.is_certain:
        return value, None
    if x.is_singleton:
        return value, payloads(a, exact(value))
    return value, payloads(a, x.move(lambda part: _take_along_axis(part, indices.lo, **a.attributes)))


@shaped(
    _take_along_axis, take_along_axis_rule, "indexing", operands=(Operand(), Operand("indices along", "int64")),
    attributes={"axis": Axis()}, moves=True, defined=_indices_inside,
)  # fmt: skip  # one row
def take_along_axis(x: ArrayType, indices: ArrayType, *, axis: int) -> ArrayType:
    """Along an axis, for each place of the other axes, the elements at its own indices."""
    at = normalize_axis(axis, x.ndim)
    off = [n for i, n in enumerate(x.shape) if i != at]
    require(
        indices.ndim == x.ndim and [n for i, n in enumerate(indices.shape) if i != at] == off,
        f"take_along_axis takes indices of x's shape but for axis {at}, got {indices} for {x}",
    )
    return ArrayType(x.dtype, indices.shape)
