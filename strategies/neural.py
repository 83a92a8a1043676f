"""Operands of neural-network ops: shapes of rank and size that suit, and further operands that go with the first.

Two further operands that have to agree (the weight and bias of linear, the keys and values of attention, the indices
and slices of index_add) take the length that they share from the shape of the first operand.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from offload_fuzz.ops.base import Op
from offload_fuzz.program import frozen_input
from offload_fuzz.types import Array, ArrayType

from .choices import Choices

#: Lengths that axes of a fresh first operand may have.
COUNTS, CHANNELS, LENGTHS = (1, 2, 3), (2, 4, 1, 3, 6, 8, 9, 16, 32), (4, 5, 3, 2, 7, 8, 16, 17)
ROWS, EVEN = (3, 2, 1, 4, 5, 8), (4, 2, 8, 3, 1, 5, 16, 17, 33)
#: Relation of a first operand -> how many of its axes may be left out, from the front, and the lengths of each.
ANCHORS: dict[str, tuple[int, tuple[tuple[int, ...], ...]]] = {
    "sequence": (0, (COUNTS, CHANNELS, LENGTHS)),
    "image": (0, (COUNTS, CHANNELS, LENGTHS, LENGTHS)),
    "table": (0, (ROWS, EVEN)),
    "rows": (2, (COUNTS, ROWS, EVEN)),
    "attention": (2, (COUNTS, COUNTS, ROWS, EVEN)),
    "batch": (2, (COUNTS, CHANNELS, ROWS, ROWS)),
    "classes": (2, (COUNTS, ROWS)),
}


def anchor_ranks(op: Op, at: int) -> tuple[int, int] | None:
    """The least and the largest rank of the first operand, where the op is one of neural networks."""
    known = ANCHORS.get(op.operands[at].relation)
    return None if known is None else (len(known[1]) - known[0], len(known[1]))


def suits(op: Op, at: int, type: ArrayType) -> bool:
    """Whether a value's type will do for the first operand."""
    relation, ranks = op.operands[at].relation, anchor_ranks(op, at)
    if ranks is None:
        return True
    if relation in ("rows", "classes"):
        return type.ndim >= ranks[0] and (relation == "classes" or type.shape[-1] > 0)
    if not ranks[0] <= type.ndim <= ranks[1]:
        return False
    return 0 not in type.shape[1:] and (relation not in ("sequence", "image") or min(type.shape[2:]) > 1)


def draw_anchor(op: Op, at: int, choices: Choices) -> tuple[int, ...]:
    """The shape of a fresh first operand."""
    optional, lengths = ANCHORS[op.operands[at].relation]
    left_out = choices.below(optional + 1)
    return tuple(choices.pick(n) for n in lengths[left_out:])


def shared_length(anchor: ArrayType) -> int:
    """The length that two further operands share."""
    return (3, 2, 4, 1, 5)[sum(anchor.shape) % 5]


# ----------------------------------------------------------------------- what goes beside: whether it fits, a fresh one
def _weights(anchor: ArrayType, _: dict[str, Any]) -> tuple[int, ...]:
    return (shared_length(anchor), anchor.shape[-1])


def _biases(anchor: ArrayType, _: dict[str, Any]) -> tuple[int, ...]:
    return (shared_length(anchor),)


def _keys(anchor: ArrayType, _: dict[str, Any]) -> tuple[int, ...]:
    return (*anchor.shape[:-2], shared_length(anchor), anchor.shape[-1])


def _last_axis(anchor: ArrayType, _: dict[str, Any]) -> tuple[int, ...]:
    return anchor.shape[-1:]


def _channels(anchor: ArrayType, _: dict[str, Any]) -> tuple[int, ...]:
    return anchor.shape[1:2]


def _places(anchor: ArrayType, attributes: dict[str, Any]) -> tuple[int, ...]:
    return (shared_length(anchor) if anchor.shape[attributes["axis"]] else 0,)


def _slices(anchor: ArrayType, attributes: dict[str, Any]) -> tuple[int, ...]:
    at = attributes["axis"] % anchor.ndim
    return (*anchor.shape[:at], *_places(anchor, attributes), *anchor.shape[at + 1 :])


def _kernel_fits(anchor: ArrayType, t: ArrayType, attributes: dict[str, Any]) -> bool:
    groups, room = attributes["groups"], 2 * attributes["padding"]
    return (
        t.ndim == anchor.ndim
        and 0 not in t.shape
        and t.shape[1] * groups == anchor.shape[1]
        and t.shape[0] % groups == 0
        and all(attributes["dilation"] * (k - 1) < n + room for n, k in zip(anchor.shape[2:], t.shape[2:], strict=True))
    )


def _fresh_kernels(anchor: ArrayType, attributes: dict[str, Any], choices: Choices) -> tuple[int, ...]:
    groups, room = attributes["groups"], 2 * attributes["padding"]
    most = [(n + room - 1) // attributes["dilation"] + 1 for n in anchor.shape[2:]]
    sizes = tuple(max(min(choices.pick((3, 2, 1, 4)), n), 1) for n in most)
    return (groups * choices.pick((2, 1, 3, 8)), anchor.shape[1] // groups, *sizes)


def _fresh_row_numbers(anchor: ArrayType, _: dict[str, Any], choices: Choices) -> tuple[int, ...]:
    if not anchor.shape[0]:
        return (0,)
    return choices.pick(((3,), (2, 2), (1,), (8,), (), (2, 1, 3)))


Fits = Callable[[ArrayType, ArrayType, dict[str, Any]], bool]
Fresh = Callable[[ArrayType, dict[str, Any], Choices], tuple[int, ...]]


def _exactly(
    shape: Callable[[ArrayType, dict[str, Any]], tuple[int, ...]], reusable: bool = True
) -> tuple[Fits, Fresh]:
    """The relation of an operand whose shape is decided by the first."""
    return (
        lambda anchor, t, attributes: reusable and t.shape == shape(anchor, attributes),
        lambda anchor, attributes, choices: shape(anchor, attributes),
    )


RELATIONS: dict[str, tuple[Fits, Fresh]] = {
    "weights": _exactly(_weights),
    "biases": _exactly(_biases),
    "keys": _exactly(_keys),
    "last axis": _exactly(_last_axis),
    "channels": _exactly(_channels),
    "channels, positive": _exactly(_channels, reusable=False),
    "places": _exactly(_places, reusable=False),
    "slices": _exactly(_slices),
    "kernels": (_kernel_fits, _fresh_kernels),
    "row numbers": (lambda anchor, t, attributes: False, _fresh_row_numbers),
}


# -------------------------------------------------------------------------------------------------------------- data
def number_of_rows(relation: str, anchor: ArrayType | None, attributes: dict[str, Any]) -> int | None:
    """Below which numbers the elements of an operand have to be that names rows, places or classes."""
    if relation == "classes":
        return 4  # the fewest classes that one_hot draws
    if anchor is None or relation not in ("row numbers", "places"):
        return None
    return anchor.shape[0 if relation == "row numbers" else attributes["axis"]]


def positive(data: Array) -> Array:
    """Sizes of the elements, no zero among them: a variance."""
    return frozen_input(np.where(data == 0, np.ones((), data.dtype), np.abs(data)))


def data_for(
    op: Op, k: int, type: ArrayType, anchor: ArrayType | None, attributes: dict[str, Any], choices: Choices
) -> Array | None:
    """Numbers of rows or classes for operand `k`, if that is what it takes."""
    below = number_of_rows(op.operands[k].relation, anchor, attributes)
    if below is None:
        return None
    numbers: Sequence[int] = [choices.below(max(below, 1)) for _ in range(type.size)]
    return frozen_input(np.array(numbers, type.np).reshape(type.shape))
