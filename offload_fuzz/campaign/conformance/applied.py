"""Ops applied to small exact data, as the campaign's own generator draws them: what checks of ops run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from attrs import frozen

from offload_fuzz.device import Place
from offload_fuzz.enclosure import Enclosure
from offload_fuzz.errors import UsageError
from offload_fuzz.ops.base import OPS, DTypeName
from offload_fuzz.ops.domains import check_attributes
from offload_fuzz.program import Node
from offload_fuzz.reference import evaluate, known, quiet
from offload_fuzz.strategies.builder import STEP_BYTES, CaseBuilder, Step
from offload_fuzz.strategies.choices import Choices
from offload_fuzz.types import Array, ArrayType, type_of

#: Applications of an op per dtype; the first is the simplest that there is.
PER_DTYPE = 3
#: The shape of the first operand of one more, where the op takes it.
EMPTY = (0, 2)
#: Elements of a result at most.
LARGEST = 1 << 17


@frozen(eq=False)
class Applied:
    """An op on host arrays; allowed: what the device's contract allows, None where that is unknown."""

    op: str
    operands: tuple[Array, ...]
    attributes: Mapping[str, Any]
    type: ArrayType
    value: Array
    allowed: Enclosure | None

    def __str__(self) -> str:
        given = [str(type_of(x)) for x in self.operands] + [f"{k}={v}" for k, v in self.attributes.items()]
        return f"{self.op}({', '.join(given)})"


@frozen(eq=False)
class Outcome:
    """What an application gave: the result and the operands read back, where the result is; or what was raised."""

    applied: Applied
    result: Any
    error: str
    operands: Sequence[Any]
    place: str


def drawn(place: Place, op: str, dtypes: Sequence[str]) -> Iterator[Applied]:
    """Applications of `op` that the device's features cover, a few for each of its dtypes."""
    row = OPS[op]
    targets = [name for name, d in row.attributes.items() if isinstance(d, DTypeName)] if row.operands else []
    for dtype in dtypes:
        if row.operands and row.operands[0].dtype == "same" and dtype not in row.dtypes:
            continue
        for i in range(len(dtypes) if targets else PER_DTYPE):
            found = _draw(place, op, dtype, i, dict.fromkeys(targets, dtypes[i]) if targets else {})
            if found is not None:
                yield found
        if row.operands and row.operands[0].dtype == "same":
            found = _draw(place, op, dtype, 1, {}, np.zeros(EMPTY, ArrayType(dtype, ()).np))
            if found is not None:
                yield found


def apply(place: Place, op: str, operands: Sequence[Array], attributes: Mapping[str, Any]) -> Applied | None:
    """`op` on these arrays; None where it or the device does not take them, or the result is large or open."""
    row = OPS[op]
    types = [type_of(x) for x in operands]
    try:
        check_attributes(row, attributes)
        type = row.result_type(types, attributes)
    except UsageError:
        return None
    if type.size > LARGEST or not place.features.supports(op, types, type):
        return None
    with quiet():
        if row.defined is not None and not row.defined(*operands, **attributes):
            return None
        k = evaluate(op, attributes, type, [known(x) for x in operands], place.features.contract)
    return Applied(op, tuple(operands), dict(attributes), type, k.value, k.enclosure)


def _draw(
    place: Place, op: str, dtype: str, i: int, attributes: Mapping[str, Any], first: Array | None = None
) -> Applied | None:
    """A drawn application, on `first` if given; None where nothing suits."""
    data = Choices.expanded(f"{op}/{dtype}/{i}".encode(), STEP_BYTES).data if i else bytes(STEP_BYTES)
    builder = CaseBuilder((place,), (dtype,))
    try:
        given = () if first is None else (builder.input(first),)
        v = builder.apply(Step(op, data), *given, **attributes)
    except UsageError:
        return None
    node = builder.sources[v]
    assert isinstance(node, Node)
    return apply(place, op, [builder.values[o].value for o in node.operands], node.attributes)
