"""What ops on vectors, matrices and sorted arrays need of their operands, as rows.

`ANCHORS` is of first operands, `SHAPE_RELATIONS` of further ones, `DATA` of data that must be in range or in order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from offload_fuzz.types import Array, ArrayType

from .arrays import draw_data, draw_shape, make_data
from .choices import Choices

Shape = tuple[int, ...]

#: relation of the first operand -> whether a type will do (beside the rank), and a fresh shape made to do.
ANCHORS: dict[str, tuple[Callable[[ArrayType], bool], Callable[[Shape], Shape]]] = {
    "vector": (lambda t: t.ndim == 1, lambda shape: shape[-1:]),
    "sorted": (lambda t: False, lambda shape: shape[-1:]),
    "triple": (lambda t: t.ndim > 0 and t.shape[-1] == 3, lambda shape: (*shape[:-1][-2:], 3)),
    "matrix": (lambda t: t.ndim >= 2, lambda shape: shape),
}


def _same(anchor: ArrayType, t: ArrayType, _: Mapping[str, Any]) -> bool:
    return anchor.shape == t.shape


def _along(anchor: ArrayType, t: ArrayType, attributes: Mapping[str, Any]) -> bool:
    """Broadcasts with the anchor, and has the very length of the axis that is contracted."""
    axis = attributes.get("axis", -1)
    if t.ndim < -axis or anchor.ndim < -axis or t.shape[axis] != anchor.shape[axis]:
        return False
    return all(m == n or m == 1 or n == 1 for m, n in zip(reversed(anchor.shape), reversed(t.shape), strict=False))


def _fresh_along(anchor: ArrayType, attributes: dict[str, Any], choices: Choices) -> Shape:
    axis = attributes.get("axis", -1)
    kind = choices.below(4)
    if kind == 3 and anchor.ndim > -axis:
        return anchor.shape[1:]
    if kind == 2 and anchor.ndim > 1:
        other = choices.below(anchor.ndim)
        return tuple(1 if i == other and i != axis % anchor.ndim else n for i, n in enumerate(anchor.shape))
    return anchor.shape


def _contracted(anchor: ArrayType, t: ArrayType, attributes: Mapping[str, Any]) -> bool:
    n = attributes["axes"]
    return t.ndim - n <= 2 and t.shape[:n] == anchor.shape[anchor.ndim - n :] and n <= anchor.ndim


def _fresh_contracted(anchor: ArrayType, attributes: dict[str, Any], choices: Choices) -> Shape:
    n = min(attributes["axes"], anchor.ndim)
    return (*anchor.shape[anchor.ndim - n :], *choices.pick(((2,), (3,), (), (1,), (2, 2))))


def _small(anchor: ArrayType, t: ArrayType, _: Mapping[str, Any]) -> bool:
    return t.size <= 8 and t.ndim <= 3


def _fresh_indices_along(anchor: ArrayType, attributes: dict[str, Any], choices: Choices) -> Shape:
    at = attributes["axis"] % anchor.ndim
    n = choices.pick((2, 1, 3, 5)) if anchor.shape[at] else 0
    return tuple(n if i == at else m for i, m in enumerate(anchor.shape))


#: As `operands.RELATIONS`: whether a type will do beside the anchor, and a fresh shape that will.
SHAPE_RELATIONS: dict[
    str,
    tuple[
        Callable[[ArrayType, ArrayType, dict[str, Any]], bool],
        Callable[[ArrayType, dict[str, Any], Choices], Shape],
    ],
] = {
    **dict.fromkeys(ANCHORS, (lambda anchor, t, _: True, lambda anchor, _, choices: anchor.shape)),
    "same": (_same, lambda anchor, _, choices: anchor.shape),
    "along": (_along, _fresh_along),
    "contracted": (_contracted, _fresh_contracted),
    "other vector": (
        lambda anchor, t, _: t.ndim == 1,
        lambda anchor, _, choices: (choices.pick((2, 3, 1, 4, 9)),),
    ),
    "small": (_small, lambda anchor, _, choices: choices.pick(((2,), (2, 2), (1, 3), (), (3,)))),
    "sought": (lambda anchor, t, _: True, lambda anchor, _, choices: draw_shape(choices)),
    "indices along": (lambda anchor, t, _: False, _fresh_indices_along),
}


def _sorted(
    type: ArrayType, anchor: ArrayType | None, attributes: Mapping[str, Any], choices: Choices, flavour: str
) -> Array:
    data = make_data(type, "counting", 0) if flavour == "tame" else draw_data(choices, type, flavour == "wild")
    return np.sort(np.where(np.isnan(data), np.ones((), data.dtype), data), axis=-1)


def _along_axis(
    type: ArrayType, anchor: ArrayType | None, attributes: Mapping[str, Any], choices: Choices, flavour: str
) -> Array:
    assert anchor is not None
    n = max(anchor.shape[attributes["axis"]], 1)
    start, step = choices.below(n), choices.below(n)
    return np.asarray((start + step * np.arange(type.size)) % n).astype(type.np).reshape(type.shape)


#: relation -> data for such an operand.
DATA: dict[str, Callable[[ArrayType, ArrayType | None, Mapping[str, Any], Choices, str], Array]] = {
    "sorted": _sorted,
    "indices along": _along_axis,
}

__all__ = ["ANCHORS", "DATA", "SHAPE_RELATIONS"]
