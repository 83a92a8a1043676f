"""Steps that put a plain op in the place of another, so that one bug ends at one op whatever it was found with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from offload_fuzz.finding.rebuild import Change
from offload_fuzz.finding.reduction import Reduction
from offload_fuzz.program import Node
from offload_fuzz.types import ArrayType

#: The attributes that an op gets for an operand of a type.
Attributes: TypeAlias = Callable[[ArrayType], Mapping[str, Any]]


def _none(operand: ArrayType) -> Mapping[str, Any]:
    return {}


def _last(operand: ArrayType) -> Mapping[str, Any]:
    return {"axis": -1}


def _all(operand: ArrayType) -> Mapping[str, Any]:
    return {"axis": tuple(range(operand.ndim)), "keepdims": False}


#: Ops that keep the shape of their operand and take any data: where one fails too, it does not matter what is computed.
PLAINEST: tuple[tuple[str, Attributes], ...] = (
    ("reshape", lambda operand: {"shape": operand.shape}),
    ("negative", _none),
    ("bitwise_invert", _none),
)
#: One op of each further class, in the order in which they are tried: movement, functions, reductions, order.
OF_ONE: tuple[tuple[str, Attributes], ...] = (
    ("flip", lambda operand: {"axis": tuple(range(operand.ndim))}),
    ("exp", _none),
    ("sin", _none),
    ("sum", _all),
    ("max", _all),
    ("argmax", lambda operand: {"axis": -1, "keepdims": False}),
    ("sort", _last),
    ("cumulative_sum", _last),
)
#: The same for two operands.
OF_TWO = ("add", "multiply", "divide", "floor_divide", "equal", "maximum", "matmul")
#: And for none; each takes the attributes that the node has.
OF_NONE = ("zeros", "ones", "full")


def simplify_ops(r: Reduction) -> None:
    """If what a node computes does not matter, make it the plainest op that keeps the shape of one of its operands."""
    for v in _nodes(r):
        _first_of(r, v, PLAINEST)
    for v in _nodes(r):
        if len(_node(r, v).operands) == 2:
            _of_two(r, v, OF_TWO[:1])


def canonical_ops(r: Reduction) -> None:
    """Where it does matter, the first op of `OF_ONE` or `OF_TWO` that fails too."""
    for v in _nodes(r):
        node = _node(r, v)
        if node.op in [op for op, _ in PLAINEST]:
            continue
        if len(node.operands) == 1:
            _first_of(r, v, OF_ONE)
        elif len(node.operands) == 2:
            _of_two(r, v, OF_TWO)
        elif not node.operands:
            _of_none(r, v)


def _nodes(r: Reduction) -> Iterator[int]:
    v = len(r.case.program.inputs)
    while v < r.case.program.returns:
        before = len(r.case.program.inputs)
        yield v
        v += 1 + len(r.case.program.inputs) - before  # a node that takes fewer operands leaves inputs out


def _node(r: Reduction, v: int) -> Node:
    return r.case.program.nodes[v - len(r.case.program.inputs)]


def _first_of(r: Reduction, v: int, ops: tuple[tuple[str, Attributes], ...]) -> None:
    node = _node(r, v)
    for op, attributes in ops:
        for k, operand in enumerate(node.operands):
            if node.op == op:
                return
            full = attributes(r.case.program.types[operand])
            if r.change(Change(nodes={v: (op, (operand,), full)}, kept={v: k})):
                return


def _of_two(r: Reduction, v: int, ops: tuple[str, ...]) -> None:
    node = _node(r, v)
    for op in ops:
        if node.op == op or r.change(Change(nodes={v: (op, node.operands, {})})):
            return


def _of_none(r: Reduction, v: int) -> None:
    node = _node(r, v)
    for op in OF_NONE:
        if node.op == op:
            return
        shape = {"shape": node.type.shape, "dtype": node.type.dtype}
        if r.change(Change(nodes={v: (op, (), {**shape, **({"fill_value": 1} if op == "full" else {})})})):
            return
