"""Operands of an op: values near by that suit it, or fresh inputs made to suit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from offload_fuzz.ops.base import Op, UnitAxes, indexed_shape
from offload_fuzz.program import frozen_input
from offload_fuzz.types import DTYPES, Array, ArrayType

from .arrays import draw_data, draw_shape, make_data, scatter
from .choices import Choices
from .neural import RELATIONS as NEURAL
from .neural import anchor_ranks, data_for, draw_anchor, positive, suits
from .shape_operands import ANCHORS, DATA, SHAPE_RELATIONS


def broadcasts(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    """Whether two shapes broadcast."""
    return a == b or all(m == n or m == 1 or n == 1 for m, n in zip(reversed(a), reversed(b), strict=False))


# ------------------------------------------------------------------ what a further operand must be, beside the anchor
def _beside(anchor: ArrayType, t: ArrayType, _: dict[str, Any]) -> bool:
    return broadcasts(anchor.shape, t.shape)


def _contracts(anchor: ArrayType, t: ArrayType, _: dict[str, Any]) -> bool:
    return t.ndim >= 2 and t.shape[-2] == anchor.shape[-1] and broadcasts(anchor.shape[:-2], t.shape[:-2])


def _joins(anchor: ArrayType, t: ArrayType, attributes: dict[str, Any]) -> bool:
    if t.ndim != anchor.ndim:
        return False
    at = attributes["axis"] % anchor.ndim
    return all(m == n or i == at for i, (m, n) in enumerate(zip(anchor.shape, t.shape, strict=True)))


def _region(anchor: ArrayType, t: ArrayType, attributes: dict[str, Any]) -> bool:
    return t.shape == indexed_shape(anchor.shape, attributes["index"])


def _never(anchor: ArrayType, t: ArrayType, attributes: dict[str, Any]) -> bool:
    return False


def _fresh_beside(anchor: ArrayType, _: dict[str, Any], choices: Choices) -> tuple[int, ...]:
    kind = choices.below(6)
    if kind < 4 or not anchor.ndim:
        return anchor.shape
    if kind == 4:
        return anchor.shape[1:]
    axis = choices.below(anchor.ndim)
    return tuple(1 if i == axis else n for i, n in enumerate(anchor.shape))


def _fresh_contracts(anchor: ArrayType, _: dict[str, Any], choices: Choices) -> tuple[int, ...]:
    return (anchor.shape[-1], choices.pick((2, 3, 1, 4, 8, 17)))


def _fresh_joins(anchor: ArrayType, attributes: dict[str, Any], choices: Choices) -> tuple[int, ...]:
    at = attributes["axis"] % anchor.ndim
    return tuple(choices.pick((1, 2, 3, 1, 2, 3, 0)) if i == at else n for i, n in enumerate(anchor.shape))


def _fresh_region(anchor: ArrayType, attributes: dict[str, Any], _: Choices) -> tuple[int, ...]:
    return indexed_shape(anchor.shape, attributes["index"])


def _fresh_indices(anchor: ArrayType, attributes: dict[str, Any], choices: Choices) -> tuple[int, ...]:
    return (choices.pick((2, 3, 1, 5, 8)) if anchor.shape[attributes["axis"]] else 0,)


#: relation -> whether a value's type will do, and the shape of a fresh input that will.
RELATIONS: dict[
    str,
    tuple[
        Callable[[ArrayType, ArrayType, dict[str, Any]], bool],
        Callable[[ArrayType, dict[str, Any], Choices], tuple[int, ...]],
    ],
] = {
    "any": (_beside, _fresh_beside),
    "broadcast": (_beside, _fresh_beside),
    "contracts": (_contracts, _fresh_contracts),
    "joins": (_joins, _fresh_joins),
    "region": (_region, _fresh_region),
    "indices": (_never, _fresh_indices),
    "shifts": (_beside, _fresh_beside),
    "exponents": (_beside, _fresh_beside),
    **SHAPE_RELATIONS,
    **NEURAL,
}

#: Relations of operands that are fresh inputs always, never the result of another node.
ALWAYS_FRESH = frozenset(r for r, (fits, _) in RELATIONS.items() if fits is _never)


@cache
def anchor_position(op: Op) -> int:
    """The operand that the others are drawn beside: the first whose dtype is free."""
    return next((i for i, o in enumerate(op.operands) if o.dtype == "same"), 0)


@cache
def either_way(op: Op) -> bool:
    """Whether the op takes two operands that may change places: what is drawn beside the first is never larger."""
    return len(op.operands) == 2 and all(
        o.relation in ("any", "broadcast", "joins") and o.dtype == "same" for o in op.operands
    )


@cache
def needs_unit_axis(op: Op) -> bool:
    """Whether the first operand needs an axis of length 1."""
    return any(isinstance(d, UnitAxes) for d in op.attributes.values())


def suits_anchor(op: Op, type: ArrayType) -> bool:
    """Whether a value of this type may be the first operand, as far as the op's relations ask."""
    relation = op.operands[0].relation
    return relation not in ANCHORS or ANCHORS[relation][0](type)


@cache
def anchor_test(op: Op, at: int, ndim: int) -> Callable[[ArrayType], bool] | None:
    """Whether a value's type will do for operand `at`, beside which the others are drawn; None if every type does.

    ndim: the least rank that the attributes need.
    """
    unit, relation = needs_unit_axis(op), op.operands[0].relation
    if not ndim and not unit and relation not in ANCHORS and anchor_ranks(op, at) is None:
        return None
    return lambda t: t.ndim >= ndim and (not unit or 1 in t.shape) and suits_anchor(op, t) and suits(op, at, t)


def near(candidates: Sequence[int], choices: Choices) -> int:
    """One of `candidates` (oldest first), by distance back from the newest, near ones more often."""
    n = len(candidates)
    return candidates[n - 1 - min(choices.below(n), choices.below(n))]


def fresh_anchor(
    op: Op, ndim: int, like: Sequence[ArrayType], choices: Choices, pooled: bool = False
) -> tuple[int, ...]:
    """The shape of a fresh first operand of rank `ndim` at least, often that of a value there is.

    pooled: whether other shapes come mostly from a small pool.
    """
    shape = near_shape(like, choices) if like and choices.chance(50) else draw_shape(choices, pooled)
    if any(o.relation == "contracts" for o in op.operands) and len(shape) > 3:
        shape = shape[-3:]
    while len(shape) < ndim:
        shape = (choices.pick((2, 3, 1)), *shape)
    if op.operands[0].relation in ANCHORS:
        shape = ANCHORS[op.operands[0].relation][1](shape)
    at = anchor_position(op)
    if anchor_ranks(op, at) is not None and not suits(op, at, ArrayType("bool", shape)):
        return draw_anchor(op, at, choices)
    if needs_unit_axis(op) and 1 not in shape:
        at = choices.below(len(shape) + 1)
        shape = (*shape[:at], 1, *shape[at:])
    return shape


def near_shape(like: Sequence[ArrayType], choices: Choices) -> tuple[int, ...]:
    """The shape of a value, near ones more often."""
    n = len(like)
    return like[n - 1 - min(choices.below(n), choices.below(n))].shape


def fresh_data(
    op: Op,
    k: int,
    type: ArrayType,
    anchor: ArrayType | None,
    attributes: dict[str, Any],
    choices: Choices,
    flavour: str,
) -> Array:
    """Data for operand `k`: what is in range for indices, shifts and exponents, else of a flavour.

    flavour: "dyadic", "wild", or "tame" (1, 2, 3, ...).
    """
    if op.operands[k].relation == "indices" and anchor is not None:
        n = anchor.shape[attributes["axis"]]
        return frozen_input(np.array([choices.below(max(n, 1)) for _ in range(type.size)], type.np))
    if op.operands[k].relation == "shifts":
        bits = DTYPES[type.dtype].bits
        return frozen_input(
            (scatter(choices.below(65536), type.size) % np.uint64(bits)).astype(type.np).reshape(type.shape)
        )
    if op.operands[k].relation == "exponents":
        far = 1200 if flavour == "wild" else 8
        powers = (scatter(choices.below(65536), type.size) % np.uint64(2 * far + 1)).astype(np.int64) - far
        return frozen_input(powers.astype(type.np).reshape(type.shape))
    if op.operands[k].relation in DATA:
        return frozen_input(DATA[op.operands[k].relation](type, anchor, attributes, choices, flavour))
    numbers = data_for(op, k, type, anchor, attributes, choices)
    if numbers is not None:
        return numbers
    if flavour == "tame":
        return make_data(type, "counting", 0)
    data = draw_data(choices, type, flavour == "wild")
    return positive(data) if op.operands[k].relation == "channels, positive" and flavour != "wild" else data
