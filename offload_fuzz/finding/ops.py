"""Steps that put a plain op in the place of another, so that one bug ends at one op whatever it was found with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from offload_fuzz.finding.rebuild import Change, with_inputs
from offload_fuzz.finding.reduction import Reduction, Values
from offload_fuzz.program import Node, frozen_input
from offload_fuzz.types import Array, ArrayType, type_of

#: The attributes that an op gets for an operand of a type.
Attributes: TypeAlias = Callable[[ArrayType], Mapping[str, Any]]
Ops: TypeAlias = Sequence[tuple[str, Attributes]]


def _none(operand: ArrayType) -> Mapping[str, Any]:
    return {}


def _last(operand: ArrayType) -> Mapping[str, Any]:
    return {"axis": -1}


def _all(operand: ArrayType) -> Mapping[str, Any]:
    return {"axis": tuple(range(operand.ndim)), "keepdims": False}


#: Ops that keep the shape of their operand and take any data: where one fails too, it does not matter what is computed.
PLAINEST: Ops = (
    ("reshape", lambda operand: {"shape": operand.shape}),
    ("negative", _none),
    ("bitwise_invert", _none),
)
#: One op of each further class, in the order in which they are tried.
OF_ONE: Ops = (
    ("sort", _last),
    ("flip", lambda operand: {"axis": tuple(range(operand.ndim))}),
    ("sum", _all),
    ("exp", _none),
    ("sin", _none),
    ("max", _all),
    ("argmax", lambda operand: {"axis": -1, "keepdims": False}),
)
#: Those of them that are tried for one of two operands.
OF_EITHER = (OF_ONE[0], OF_ONE[2])
#: One op of each class that takes two operands.
OF_TWO = ("add", "multiply", "divide", "floor_divide", "less_equal", "maximum", "matmul")
#: The dtypes that are tried for a dtype that an attribute names, the plainest first.
NAMED = ("float32", "int32")


def simplify_ops(r: Reduction, values: Values) -> None:
    """If what a node computes does not matter, make it the plainest op that keeps the shape of one of its operands.

    Or the plainest op of what it should have given, as where results are at fault and not operands.
    """
    for v in _nodes(r):
        if not _first_of(r, v, PLAINEST):
            _of_result(r, v, PLAINEST, values)
    for v in _nodes(r):
        if len(_node(r, v).operands) == 2:
            _of_two(r, v, OF_TWO[:1])


def canonical_ops(r: Reduction, values: Values) -> None:
    """Where it does matter, the first op of its class that fails too, perhaps for the result that it should have."""
    plainest = [op for op, _ in PLAINEST]
    for at in range(len(r.case.program.nodes)):
        if at >= len(r.case.program.nodes):
            return
        _made_of_nothing(r, at, values)
        _plainer_dtype(r, _value(r, at))
        v = _value(r, at)
        steps: list[Callable[[], bool]] = []
        operands = 0 if _node(r, v).op in plainest else len(_node(r, v).operands)
        if operands in (1, 2):
            of_one = OF_ONE if operands == 1 else OF_EITHER
            steps = [partial(_first_of, r, v, of_one), partial(_of_result, r, v, OF_ONE[:2], values)]
            steps += [partial(_sum_of_result, r, v, values)]
        if operands == 2:
            steps += [partial(_of_two, r, v, OF_TWO), partial(_product, r, v)]
        any(step() for step in steps)


def _value(r: Reduction, at: int) -> int:
    return len(r.case.program.inputs) + at


def _nodes(r: Reduction) -> Iterator[int]:
    """The nodes' values, by the numbers that they have when their turn comes: a change may leave inputs out."""
    at = 0
    while at < len(r.case.program.nodes):
        yield _value(r, at)
        at += 1


def _node(r: Reduction, v: int) -> Node:
    return r.case.program.nodes[v - len(r.case.program.inputs)]


def _first_of(r: Reduction, v: int, ops: Ops) -> bool:
    """The first op that fails with an operand of `v` alone, of those ahead of its own."""
    node, inputs = _node(r, v), r.case.program.inputs
    for op, attributes in ops:
        for k, operand in enumerate(node.operands):
            if node.op == op:
                return False
            type, constants = r.case.program.types[operand], {}
            if type.shape == () and op in ("sort", "argmax") and operand < len(inputs):
                type, constants = ArrayType(type.dtype, (1,)), {operand: frozen_input(inputs[operand].reshape(1))}
            full = attributes(type) if op != "reshape" else attributes(r.case.program.types[operand])
            if r.change(Change(constants=constants, nodes={v: (op, (operand,), full)}, kept={v: k})):
                return True
    return False


def _of_result(r: Reduction, v: int, ops: Ops, values: Values) -> bool:
    """The first op that fails with what `v` should be in the place of an operand of `v`."""
    node = _node(r, v)
    if not node.operands:
        return False
    operand = node.operands[0]
    result = _result(r, v, values)
    if result.ndim == 0 and ops is not PLAINEST:
        result = result.reshape(1)
    for op, attributes in ops:
        if op == node.op:
            return False
        # a reshape to the shape of its operand follows it
        full = attributes(r.case.program.types[operand] if op == "reshape" else type_of(result))
        change = Change(constants={operand: frozen_input(result)}, nodes={v: (op, (operand,), full)}, kept={v: 0})
        if r.change(change):
            return True
    return False


def _result(r: Reduction, v: int, values: Values) -> Array:
    return np.asarray(values(r.case)[v])


def _of_two(r: Reduction, v: int, ops: Sequence[str]) -> bool:
    node = _node(r, v)
    for op in ops:
        if node.op == op:
            return False
        if r.change(Change(nodes={v: (op, node.operands, {})})):
            return True
    return False


def _product(r: Reduction, v: int) -> bool:
    """matmul of two inputs that are vectors, the first as a row, the second as a column."""
    node, inputs = _node(r, v), r.case.program.inputs
    if node.op == "matmul" or not all(o < len(inputs) and inputs[o].ndim == 1 for o in node.operands):
        return False
    row, column = node.operands
    if row == column:
        return False
    constants = {row: inputs[row].reshape(1, -1), column: inputs[column].reshape(-1, 1)}
    frozen = {o: frozen_input(x) for o, x in constants.items()}
    return r.change(Change(constants=frozen, nodes={v: ("matmul", node.operands, {})}))


def _sum_of_result(r: Reduction, v: int, values: Values) -> bool:
    """What `v` should be, and zero added; where it has one operand, itself."""
    node = _node(r, v)
    if node.op == "add" or (len(node.operands) == 1 and node.op in [op for op, _ in OF_ONE[:2]]):
        return False
    result = frozen_input(_result(r, v, values))
    zero = frozen_input(np.zeros(result.shape, result.dtype))
    first, last = node.operands[0], node.operands[-1]
    constants = {last: zero, first: result}
    return r.change(Change(constants=constants, nodes={v: ("add", (first, last), {})}))


def _made_of_nothing(r: Reduction, at: int, values: Values) -> None:
    """An input and the plainest kernel in the place of a node without operands."""
    v = _value(r, at)
    if not _node(r, v).operands:
        op = "bitwise_invert" if _node(r, v).type.dtype == "bool" else "negative"
        r.accept(with_inputs(r.case, [_result(r, v, values)], {at: (op, (len(r.case.program.inputs),))}))


def _plainer_dtype(r: Reduction, v: int) -> None:
    """A plainer dtype where an attribute names one; and the op that makes the same array of no operand."""
    node = _node(r, v)
    if node.op.endswith("_like"):
        made = {"shape": node.type.shape, "dtype": node.type.dtype}
        made |= {"fill_value": node.attributes["fill_value"]} if "fill_value" in node.attributes else {}
        r.change(Change(nodes={v: (node.op.removesuffix("_like"), (), made)}))
        return
    for dtype in NAMED if isinstance(node.attributes.get("dtype"), str) else ():
        if node.attributes["dtype"] == dtype:
            return
        if r.change(Change(nodes={v: (node.op, node.operands, {**node.attributes, "dtype": dtype})})):
            return
