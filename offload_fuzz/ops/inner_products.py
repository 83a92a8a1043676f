"""Linear algebra beside matmul: vecdot, tensordot, outer, kron, cross (kron is NumPy's, not the standard's).

A sum of products is a matmul of rearranged operands, so its rule is; a single product is a multiply.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from offload_fuzz.enclosure import combine
from offload_fuzz.errors import require
from offload_fuzz.ops.base import (
    Application,
    Operand,
    Range,
    accumulating,
    broadcast_shapes,
    correctly_rounded,
    shaped,
)
from offload_fuzz.ops.further_sums import applied, moved
from offload_fuzz.ops.rules import Value, integer_rule
from offload_fuzz.ops.shape_domains import NegativeAxis
from offload_fuzz.types import DTYPES, NAMES, Array, ArrayType, is_floating, promote


def _in_common(x1: Array, x2: Array) -> tuple[Array, Array]:
    dtype = DTYPES[promote(NAMES[x1.dtype], NAMES[x2.dtype])].np
    return x1.astype(dtype, copy=False), x2.astype(dtype, copy=False)


# --------------------------------------------------------------------------------------------------------------- vecdot
def _vecdot(x1: Array, x2: Array, *, axis: int) -> Array:
    x, y = _in_common(x1, x2)
    over: dict[str, Any] = {"axis": axis}
    return np.asarray(np.vecdot(x, y, **over)).astype(x.dtype, copy=False)


def vecdot_rule(a: Application) -> Value:
    """vecdot: a row times a column."""
    axis = a.attributes["axis"]

    def row(part: Array) -> Array:
        return np.moveaxis(part, axis, -1)[..., None, :]

    def column(part: Array) -> Array:
        return np.moveaxis(part, axis, -1)[..., :, None]

    (e1, e2), (x1, x2) = a.operands, a.values
    result = applied(a, "matmul", [e1.move(row), e2.move(column)], [row(x1), column(x2)], {})
    return moved(result, lambda part: part[..., 0, 0])


@shaped(
    _vecdot, vecdot_rule, "linear algebra", ("real numeric",), accumulating,
    operands=(Operand(), Operand("along")), attributes={"axis": NegativeAxis()},
)  # fmt: skip  # one row
def vecdot(x1: ArrayType, x2: ArrayType, *, axis: int) -> ArrayType:
    """Sum of products along an axis counted from the last; the other axes broadcast."""
    require(
        -min(x1.ndim, x2.ndim) <= axis < 0,
        f"axis is {axis} but should be negative and an axis of both operands, got {x1} and {x2}",
    )
    n, m = x1.shape[axis], x2.shape[axis]
    require(n == m, f"vecdot takes axes of one length, got {n} and {m} in {x1} and {x2}")
    shape = list(broadcast_shapes(x1.shape, x2.shape))
    del shape[axis]
    return ArrayType(promote(x1.dtype, x2.dtype), tuple(shape))


# ------------------------------------------------------------------------------------------------------------ tensordot
def _as_matrices(x1: Any, x2: Any, axes: int) -> tuple[tuple[int, int], tuple[int, int]]:
    split = len(x1) - axes
    inner = math.prod(x1[split:])
    return (math.prod(x1[:split]), inner), (inner, math.prod(x2[axes:]))


def _tensordot(x1: Array, x2: Array, *, axes: int) -> Array:
    x, y = _in_common(x1, x2)
    first, second = _as_matrices(x.shape, y.shape, axes)
    product = np.matmul(x.reshape(first), y.reshape(second)).astype(x.dtype, copy=False)
    return np.asarray(product).reshape(x.shape[: x.ndim - axes] + y.shape[axes:])


def tensordot_rule(a: Application) -> Value:
    """tensordot: a matmul, the contracted axes being one."""
    (e1, e2), (x1, x2) = a.operands, a.values
    first, second = _as_matrices(x1.shape, x2.shape, a.attributes["axes"])
    operands = [e1.move(lambda p: p.reshape(first)), e2.move(lambda p: p.reshape(second))]
    result = applied(a, "matmul", operands, [x1.reshape(first), x2.reshape(second)], {})
    return moved(result, lambda part: part.reshape(a.type.shape))


@shaped(
    _tensordot, tensordot_rule, "linear algebra", ("real numeric",), accumulating,
    operands=(Operand(), Operand("contracted")), attributes={"axes": Range(0, 2)},
)  # fmt: skip  # one row
def tensordot(x1: ArrayType, x2: ArrayType, *, axes: int) -> ArrayType:
    """Sum of products over the last axes of x1 and the first of x2, as many as `axes` says."""
    require(type(axes) is int and axes <= min(x1.ndim, x2.ndim), f"axes is {axes!r} but {x1} and {x2} should have them")
    split = x1.ndim - axes
    require(x1.shape[split:] == x2.shape[:axes], f"tensordot contracts {x1.shape[split:]} with {x2.shape[:axes]}")
    return ArrayType(promote(x1.dtype, x2.dtype), (*x1.shape[:split], *x2.shape[axes:]))


# ------------------------------------------------------------------------------------------------------ single products
def outer_rule(a: Application) -> Value:
    """outer: a column multiplied with a row."""
    (e1, e2), (x1, x2) = a.operands, a.values
    operands = [e1.move(lambda p: p[:, None]), e2.move(lambda p: p[None, :])]
    return applied(a, "multiply", operands, [x1[:, None], x2[None, :]], {})


@shaped(
    lambda x1, x2: np.multiply(x1[:, None], x2[None, :]), outer_rule, "linear algebra", ("real numeric",),
    correctly_rounded,
    operands=(Operand("vector"), Operand("other vector")),
)  # fmt: skip  # one row
def outer(x1: ArrayType, x2: ArrayType) -> ArrayType:
    """The product of each element of x1 with each of x2."""
    require(x1.ndim == x2.ndim == 1, f"outer takes one-dimensional arrays, got {x1} and {x2}")
    return ArrayType(promote(x1.dtype, x2.dtype), (*x1.shape, *x2.shape))


def _interleaved(x1: tuple[int, ...], x2: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The shapes in which a product of each with each is a broadcast."""
    n = max(len(x1), len(x2))
    s, t = ((1,) * (n - len(x)) + tuple(x) for x in (x1, x2))
    return tuple(m for pair in s for m in (pair, 1)), tuple(m for pair in t for m in (1, pair))


def _kron(x1: Array, x2: Array) -> Array:
    first, second = _interleaved(x1.shape, x2.shape)
    product = np.asarray(np.multiply(x1.reshape(first), x2.reshape(second)))
    return product.reshape([m * n for m, n in zip(first[::2], second[1::2], strict=True)])


def kron_rule(a: Application) -> Value:
    """kron: each element multiplied with each."""
    (e1, e2), (x1, x2) = a.operands, a.values
    first, second = _interleaved(x1.shape, x2.shape)
    operands = [e1.move(lambda p: p.reshape(first)), e2.move(lambda p: p.reshape(second))]
    result = applied(a, "multiply", operands, [x1.reshape(first), x2.reshape(second)], {})
    return moved(result, lambda part: part.reshape(a.type.shape))


@shaped(
    _kron, kron_rule, "linear algebra", ("real numeric",), correctly_rounded, operands=(Operand(), Operand("small"))
)  # fmt: skip  # one row
def kron(x1: ArrayType, x2: ArrayType) -> ArrayType:
    """Blocks of x2, each multiplied with an element of x1."""
    first, second = _interleaved(x1.shape, x2.shape)
    shape = tuple(m * n for m, n in zip(first[::2], second[1::2], strict=True))
    return ArrayType(promote(x1.dtype, x2.dtype), shape)


# ---------------------------------------------------------------------------------------------------------------- cross
PLUS, MINUS = ((1, 2, 0), (2, 0, 1)), ((2, 0, 1), (1, 2, 0))


def _cross(x1: Array, x2: Array) -> Array:
    (p, q), (r, s) = PLUS, MINUS
    x, y = _in_common(x1, x2)
    return np.asarray(np.subtract(x[..., p] * y[..., q], x[..., r] * y[..., s]))


def cross_rule(a: Application) -> Value:
    """cross: each component is a sum of two products, the second with a minus, which is exact."""
    if not is_floating(a.type.dtype):
        return integer_rule(a)
    (e1, e2), (x1, x2) = a.operands, a.values
    minus_x2, minus_e2 = applied(a, "negative", [e2], [x2], {})
    if minus_e2 is None:
        return np.asarray(_cross(x1, x2)), None
    (p, q), (r, s) = PLUS, MINUS

    def rows(part: Array) -> Array:
        return np.stack((part[..., p], part[..., r]), -1)[..., None, :]

    def columns(plain: Array, minus: Array) -> Array:
        return np.stack((plain[..., q], minus[..., s]), -1)[..., :, None]

    operands = [e1.move(rows), combine(columns, e2, minus_e2)]
    result = applied(a, "matmul", operands, [rows(x1), columns(x2, minus_x2)], {})
    return moved(result, lambda part: part[..., 0, 0])


@shaped(
    _cross, cross_rule, "linear algebra", ("real numeric",), accumulating,
    operands=(Operand("triple"), Operand("along")),
)  # fmt: skip  # one row
def cross(x1: ArrayType, x2: ArrayType) -> ArrayType:
    """Cross product of vectors of 3 along the last axis; the other axes broadcast."""
    require(x1.shape[-1:] == x2.shape[-1:] == (3,), f"cross takes last axes of length 3, got {x1} and {x2}")
    return ArrayType(promote(x1.dtype, x2.dtype), broadcast_shapes(x1.shape, x2.shape))
