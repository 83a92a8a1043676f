"""A program: a single-assignment graph of ops with its input data. It says what is computed, never where."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from attrs import field, frozen

from offload_fuzz.errors import InvalidProgram, require
from offload_fuzz.ops.base import find_op
from offload_fuzz.ops.domains import check_attributes
from offload_fuzz.types import Array, ArrayType, aligned_empty, is_aligned, type_of


@frozen(eq=False, slots=True)
class Node:
    """An op applied: operands are value numbers, inputs first, then nodes in order; `type` is that of the result."""

    op: str
    operands: tuple[int, ...]
    attributes: Mapping[str, Any]
    type: ArrayType

    def same_as(self, other: Node) -> bool:
        """Equality by content: attributes as they print, which tells -0.0 from 0.0 and 1 from True, and NaN is NaN."""
        return (self.op, self.operands, self.type) == (other.op, other.operands, other.type) and (
            sorted(map(repr, self.attributes.items())) == sorted(map(repr, other.attributes.items()))
        )


def attribute_text(node: Node) -> str:
    """`, axis=1, keepdims=False`, or nothing."""
    return "".join(f", {name}={value!r}" for name, value in node.attributes.items())


def node_line(value: int, node: Node) -> str:
    """One node as a line without indentation."""
    operands = ", ".join(f"v{o}" for o in node.operands)
    rest = f"{operands}{attribute_text(node)}" if operands else attribute_text(node)[2:]
    return f"v{value}: {node.type} = {node.op} {rest}".rstrip()


def pretty_by_repr(self: object, printer: Any, cycle: bool) -> None:
    """As `_repr_pretty_` of a class: Hypothesis then shows its repr, not the call that made it."""
    for i, line in enumerate(repr(self).split("\n")):
        if i:
            printer.break_()
        printer.text(line)


@frozen(eq=False, slots=True)
class Program:
    """inputs: the data, read-only; nodes: in single-assignment order; outputs: numbers of the values returned.

    Values are numbered: 0 .. len(inputs)-1 are the inputs, then one per node.
    """

    inputs: tuple[Array, ...]
    nodes: tuple[Node, ...]
    outputs: tuple[int, ...]
    types: tuple[ArrayType, ...] = field(init=False)
    """The type of each value."""

    nbytes: tuple[int, ...] = field(init=False)
    """The size of each value in bytes."""
    input_bytes: tuple[bytes, ...] = field(init=False)
    """The bytes of each input, against which every run's inputs are held."""

    @types.default
    def _all_types(self) -> tuple[ArrayType, ...]:
        return (*(type_of(x) for x in self.inputs), *(n.type for n in self.nodes))

    @nbytes.default
    def _sizes(self) -> tuple[int, ...]:
        return tuple(t.nbytes for t in self.types)

    @input_bytes.default
    def _bytes(self) -> tuple[bytes, ...]:
        return tuple(x.tobytes() for x in self.inputs)

    def numbered(self) -> Iterator[tuple[int, Node]]:
        """(value number, node) in order."""
        return enumerate(self.nodes, len(self.inputs))

    def node_of(self, value: int) -> Node | None:
        """The node that makes `value`; None for an input."""
        at = value - len(self.inputs)
        return self.nodes[at] if at >= 0 else None

    def last_uses(self) -> dict[int, int]:
        """value -> the last value number that uses it; outputs are used by `returns`, past every node."""
        last: dict[int, int] = {}
        for v, node in self.numbered():
            for operand in node.operands:
                last[operand] = v
        for v in self.outputs:
            last[v] = self.returns
        return last

    @property
    def returns(self) -> int:
        """The number under which a plan speaks of the return: one past the last value."""
        return len(self.inputs) + len(self.nodes)

    _repr_pretty_ = pretty_by_repr

    def __repr__(self) -> str:
        inputs = ", ".join(f"v{i}: {type_of(x)}" for i, x in enumerate(self.inputs))
        nodes = [f"  {node_line(v, node)}" for v, node in self.numbered()]
        return "\n".join([f"program({inputs})", *nodes, f"  return {', '.join(f'v{v}' for v in self.outputs)}"])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Program):
            return NotImplemented
        return (
            self.outputs == other.outputs
            and len(self.inputs) == len(other.inputs)
            and len(self.nodes) == len(other.nodes)
            and all(same_bits(a, b) for a, b in zip(self.inputs, other.inputs, strict=True))
            and all(a.same_as(b) for a, b in zip(self.nodes, other.nodes, strict=True))
        )

    def __hash__(self) -> int:
        return hash((self.outputs, tuple((n.op, n.operands, n.type) for n in self.nodes)))


def same_bits(a: Array, b: Array) -> bool:
    """Whether two arrays agree in dtype, shape and every bit."""
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def frozen_input(array: Array) -> Array:
    """A C-contiguous, read-only copy of `array` at a multiple of 64 bytes, to be a program's input."""
    out = aligned_empty(type_of(array).shape, array.dtype)
    out[...] = array
    out.flags.writeable = False
    return out


def frozen_once(array: Array) -> Array:
    """`array` itself if it may be a program's input as it is, else a copy that may."""
    fits = not array.flags.writeable and array.flags.c_contiguous and is_aligned(array)
    return array if fits else frozen_input(array)


def make_node(op: str, operands: Sequence[int], attributes: Mapping[str, Any], types: Sequence[ArrayType]) -> Node:
    """A node with its type worked out from the `types` of all values so far; raises `InvalidProgram`."""
    for v in operands:
        if type(v) is not int or not 0 <= v < len(types):
            raise InvalidProgram(f"operand is v{v} but should be one of v0..v{len(types) - 1}")
    result = find_op(op).result_type([types[v] for v in operands], attributes)
    return Node(op, tuple(operands), dict(attributes), result)


class Builder:
    """Builds a program value by value; each method returns the number of the new value."""

    def __init__(self) -> None:
        self.inputs: list[Array] = []
        self.nodes: list[Node] = []
        self.types: list[ArrayType] = []

    def input(self, array: Array) -> int:
        """Add an input; raises `InvalidProgram` once a node has been added."""
        require(not self.nodes, "inputs come before nodes; add the input first")
        self.inputs.append(frozen_input(array))
        self.types.append(type_of(array))
        return len(self.types) - 1

    def apply(self, op: str, *operands: int, **attributes: Any) -> int:
        """Add a node; raises `InvalidProgram` saying what its operands or attributes should be."""
        node = make_node(op, operands, attributes, self.types)
        check_attributes(find_op(op), attributes)
        self.nodes.append(node)
        self.types.append(node.type)
        return len(self.types) - 1

    def returns(self, *values: int) -> Program:
        """The finished program."""
        require(bool(values), "a program returns at least one value")
        for v in values:
            if not 0 <= v < len(self.types):
                raise InvalidProgram(f"returned value is v{v} but should be one of v0..v{len(self.types) - 1}")
        return Program(tuple(self.inputs), tuple(self.nodes), tuple(values))
