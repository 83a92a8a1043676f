"""Ops that give another view of an operand's storage instead of new bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from offload_fuzz.adapters.simulated.memory import Buffer, Layout, contiguous_strides
from offload_fuzz.ops.base import normalize_axes, normalize_axis
from offload_fuzz.types import ArrayType

Attributes: TypeAlias = Mapping[str, Any]


def permute_dims(x: Buffer, result: ArrayType, attributes: Attributes) -> Layout:
    return x.offset, tuple(x.strides[i] for i in attributes["axes"])


def flip(x: Buffer, result: ArrayType, attributes: Attributes) -> Layout:
    offset, strides = x.offset, list(x.strides)
    for axis in normalize_axes(attributes["axis"], x.type.ndim):
        offset += max(x.type.shape[axis] - 1, 0) * strides[axis]
        strides[axis] = -strides[axis]
    return offset, tuple(strides)


def broadcast_to(x: Buffer, result: ArrayType, attributes: Attributes) -> Layout:
    new = result.ndim - x.type.ndim
    kept = (s if n == m else 0 for s, n, m in zip(x.strides, x.type.shape, result.shape[new:], strict=True))
    return x.offset, (*(0,) * new, *kept)


def squeeze(x: Buffer, result: ArrayType, attributes: Attributes) -> Layout:
    gone = normalize_axes(attributes["axis"], x.type.ndim)
    return x.offset, tuple(s for i, s in enumerate(x.strides) if i not in gone)


def expand_dims(x: Buffer, result: ArrayType, attributes: Attributes) -> Layout:
    at = normalize_axis(attributes["axis"], x.type.ndim + 1)
    return x.offset, (*x.strides[:at], x.type.np.itemsize, *x.strides[at:])


def getitem(x: Buffer, result: ArrayType, attributes: Attributes) -> Layout:
    offset, strides = x.offset, []
    for part, n, stride in zip(attributes["index"], x.type.shape, x.strides, strict=True):
        start, _, step = slice(*part).indices(n)
        offset += start * stride
        strides.append(step * stride)
    return offset if result.size else x.offset, tuple(strides)


def reshape(x: Buffer, result: ArrayType, attributes: Attributes) -> Layout | None:
    """A view of what is contiguous; anything else is copied."""
    if not x.is_contiguous:
        return None
    return x.offset, contiguous_strides(result.shape, result.np.itemsize)


def bitcast(x: Buffer, result: ArrayType, attributes: Attributes) -> Layout:
    return x.offset, x.strides


def moveaxis(x: Buffer, result: ArrayType, attributes: Attributes) -> Layout:
    at, to = (normalize_axis(attributes[end], x.type.ndim) for end in ("source", "destination"))
    strides = [s for i, s in enumerate(x.strides) if i != at]
    strides.insert(to, x.strides[at])
    return x.offset, tuple(strides)


def swapaxes(x: Buffer, result: ArrayType, attributes: Attributes) -> Layout:
    i, j = (normalize_axis(attributes.get(name, at), x.type.ndim) for name, at in (("axis1", -1), ("axis2", -2)))
    strides = list(x.strides)
    strides[i], strides[j] = strides[j], strides[i]
    return x.offset, tuple(strides)


def rot90(x: Buffer, result: ArrayType, attributes: Attributes) -> Layout:
    """k quarter turns: one flips the second axis and exchanges both, two flip both, three exchange and flip it then."""
    k, offset, (first, second, *rest) = attributes["k"] % 4, x.offset, x.strides
    m, n = (max(length - 1, 0) for length in x.type.shape[:2])
    if k in (1, 2):
        offset, second = offset + n * second, -second
    if k in (2, 3):
        offset, first = offset + m * first, -first
    return offset, ((second, first, *rest) if k % 2 else (first, second, *rest))


def diagonal(x: Buffer, result: ArrayType, attributes: Attributes) -> Layout:
    offset, (*batch, down, right) = attributes["offset"], x.strides
    start = x.offset + (offset * right if offset >= 0 else -offset * down)
    return start if result.size else x.offset, (*batch, down + right)


def unstack(x: Buffer, result: ArrayType, attributes: Attributes) -> Layout:
    at = normalize_axis(attributes["axis"], x.type.ndim)
    start = x.offset + attributes["index"] * x.strides[at]
    return start if result.size else x.offset, (*x.strides[:at], *x.strides[at + 1 :])


#: op -> the layout of its result in the operand's storage, or None where it must copy.
VIEWS: dict[str, Callable[[Buffer, ArrayType, Attributes], Layout | None]] = {
    "permute_dims": permute_dims,
    "flip": flip,
    "broadcast_to": broadcast_to,
    "squeeze": squeeze,
    "expand_dims": expand_dims,
    "getitem": getitem,
    "moveaxis": moveaxis,
    "swapaxes": swapaxes,
    "matrix_transpose": swapaxes,
    "rot90": rot90,
    "diagonal": diagonal,
    "unstack": unstack,
    "reshape": reshape,
    "bitcast": bitcast,
}
