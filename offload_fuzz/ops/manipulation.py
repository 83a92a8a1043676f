"""Manipulation functions of the array API standard: data movement that keeps every bit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from offload_fuzz.errors import require
from offload_fuzz.ops.base import (
    Axes,
    Axis,
    BroadcastShape,
    Domain,
    NewAxis,
    Op,
    Operand,
    Permutation,
    SameSizeShape,
    TypeRule,
    UnitAxes,
    broadcast_shapes,
    normalize_axes,
    normalize_axis,
    reduced_shape,
    shaped,
)
from offload_fuzz.ops.rules import exact_rule
from offload_fuzz.types import ArrayType


def moving(numpy: Callable[..., Any], **attributes: Domain) -> Callable[[TypeRule], Op]:
    """A one-operand data movement of the manipulation category."""
    return shaped(numpy, exact_rule, "manipulation", attributes=attributes, moves=True)


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
    lambda x1, x2, *, axis: np.concatenate((x1, x2), axis=axis), exact_rule, "manipulation",
    operands=(Operand(), Operand("joins")), attributes={"axis": Axis()}, moves=True,
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
