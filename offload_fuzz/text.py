"""Print and parse: the text form of programs, which people read and `parse` reads back.

    program(v0: float32[2,3])
      v1: float32[3,2] = permute_dims v0, axes=(1, 0)
      return v1

With `data=True` an input carries its elements, `v0: float32[2] = data('0x1p+0', '-0x0p+0')`; floats are hex strings,
a NaN is its bits, `nan:0x7fc00000`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from offload_fuzz.enclosure import is_float
from offload_fuzz.errors import InvalidProgram
from offload_fuzz.program import Node, Program, frozen_input, make_node
from offload_fuzz.types import DTYPES, NAMES, Array, ArrayType, type_of

_UINT = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}


def format_element(x: Any) -> str | int | bool:
    """One element exactly: ints and bools as they are, floats as hex, NaN by its bits."""
    dtype = x.dtype
    if dtype.kind == "b":
        return bool(x)
    if dtype.kind in "iu":
        return int(x)
    if np.isnan(x):
        return f"nan:0x{int(np.asarray(x).reshape(1).view(_UINT[dtype.itemsize])[0]):x}"
    return float(x).hex()


def parse_element(value: Any, dtype: str) -> Any:
    """The inverse of `format_element`; raises `ValueError` for anything else, or what does not fit exactly."""
    d = DTYPES[dtype]
    if not d.precision:
        kinds = (bool,) if d.kind == "bool" else (int,)
        if type(value) not in kinds:
            raise ValueError(f"element is {value!r} but should be {'true or false' if d.kind == 'bool' else 'an int'}")
        return np.asarray(value).astype(d.np) if d.kind == "bool" else _int(value, d.np)
    if type(value) is not str:
        raise ValueError(f"element is {value!r} but should be a hex float string such as '0x1.8p+0'")
    if value.startswith("nan:"):
        bits = int(value[4:], 16)
        out = np.asarray([bits], _UINT[d.np.itemsize]).view(d.np)[0]
        if not np.isnan(out):
            raise ValueError(f"element is {value!r} but those bits are not a NaN of {dtype}")
        return out
    number = float.fromhex(value)
    out = np.asarray(number, np.float64).astype(d.np)
    if float(out) != number:
        raise ValueError(f"element is {value!r}, which {dtype} cannot hold")
    return out


def _int(value: int, dtype: np.dtype[Any]) -> Any:
    info = np.iinfo(dtype)
    if not info.min <= value <= info.max:
        raise ValueError(f"element is {value}, which {dtype} cannot hold")
    return np.asarray(value, dtype)


def elements(array: Array) -> list[str | int | bool]:
    """The elements in row-major order, exactly."""
    flat = np.ascontiguousarray(array).reshape(-1)
    if is_float(array.dtype):
        return [format_element(x) for x in flat]
    return flat.tolist()  # type: ignore[no-any-return]  # NumPy types tolist as Any


def array_from(type: ArrayType, values: Sequence[Any]) -> Array:
    """The array of `type` with these exact elements; raises `ValueError` for a wrong count or element."""
    if len(values) != type.size:
        raise ValueError(f"{type} has {type.size} elements but got {len(values)}")
    out = np.empty(type.size, type.np)
    for i, v in enumerate(values):
        out[i] = parse_element(v, type.dtype)
    return out.reshape(type.shape)


# --------------------------------------------------------------------------------------------------------- print
def attribute_text(node: Node) -> str:
    """`, axis=1, keepdims=False`, or nothing."""
    return "".join(f", {name}={value!r}" for name, value in node.attributes.items())


def node_line(value: int, node: Node) -> str:
    """One node as a line without indentation."""
    operands = ", ".join(f"v{o}" for o in node.operands)
    return f"v{value}: {node.type} = {node.op} {operands}{attribute_text(node)}"


def header(program: Program, data: bool = False) -> str:
    """The first line: inputs with their types, and data if asked for."""

    def one(i: int, x: Array) -> str:
        text = f"v{i}: {type_of(x)}"
        return f"{text} = data({', '.join(map(repr, elements(x)))})" if data else text

    return f"program({', '.join(one(i, x) for i, x in enumerate(program.inputs))})"


def return_line(program: Program) -> str:
    """The last line, without indentation."""
    return f"return {', '.join(f'v{v}' for v in program.outputs)}"


def print_program(program: Program, data: bool = False, note: Callable[[int], str] | None = None) -> str:
    """The text form; `note(value)` adds a comment behind a node's line, comments aligned."""
    lines = [(v, node_line(v, n)) for v, n in program.numbered()]
    notes = {v: note(v) for v, _ in lines} if note else {}
    width = min(max((len(line) for v, line in lines if notes.get(v)), default=0), 72)
    body = [f"  {line.ljust(width)}  # {notes[v]}" if notes.get(v) else f"  {line}" for v, line in lines]
    return "\n".join([header(program, data), *body, f"  {return_line(program)}"])


def window(program: Program, value: int, around: int = 2) -> str:
    """The lines of the program near `value`, the line itself marked."""
    lines = []
    for v, node in program.numbered():
        if abs(v - value) <= around:
            lines.append(f"{'>' if v == value else ' '} {node_line(v, node)}")
    return "\n".join(lines)


# --------------------------------------------------------------------------------------------------------- parse
_TYPE = re.compile(r"([a-z0-9]+)\[([0-9,]*)\]\Z")
_HEADER = re.compile(r"program\((.*)\)\Z", re.DOTALL)
_INPUT = re.compile(r"v(\d+): ([a-z0-9]+\[[0-9,]*\])(?: = data\(([^()]*)\))?(?:, |\Z)")
_NODE = re.compile(r"v(\d+): (\S+) = ([A-Za-z_]\w*)((?: v\d+,?)*)(.*)\Z")


def parse_type(text: str) -> ArrayType:
    """`float32[2,3]` as an `ArrayType`; raises `InvalidProgram`."""
    match = _TYPE.match(text)
    if not match:
        raise InvalidProgram(f"type is {text!r} but should look like float32[2,3]")
    shape = match[2]
    return ArrayType(match[1], tuple(int(n) for n in shape.split(",")) if shape else ())


def parse_program(text: str, inputs: Sequence[Array] | None = None) -> Program:
    """A program from its text; data comes from the text or from `inputs`. Comments are ignored.

    Raises `InvalidProgram` naming the line that is wrong.
    """
    lines = [(i, line.split("#")[0].strip()) for i, line in enumerate(text.strip().splitlines(), 1)]
    lines = [(i, line) for i, line in lines if line]
    if not lines:
        raise InvalidProgram("text is empty but should start with program(...)")
    match = _HEADER.match(lines[0][1])
    if not match:
        raise InvalidProgram(f"line 1 is {lines[0][1][:60]!r} but should be program(v0: float32[2], ...)")
    arrays = _parse_inputs(match[1], inputs)
    types = [type_of(x) for x in arrays]
    nodes: list[Node] = []
    outputs: tuple[int, ...] | None = None
    for number, line in lines[1:]:
        where = f"line {number}: {line[:80]}"
        if outputs is not None:
            raise InvalidProgram(f"text goes on after return [{where}]")
        if line.startswith("return "):
            outputs = _values(line[7:], where)
            continue
        node = _parse_node(line, where, types)
        nodes.append(node)
        types.append(node.type)
    if outputs is None:
        raise InvalidProgram("text has no return line but should end in return v...")
    if any(v >= len(types) for v in outputs):
        raise InvalidProgram(f"text returns v{max(outputs)} but should return one of v0..v{len(types) - 1}")
    return Program(tuple(arrays), tuple(nodes), outputs)


def _values(text: str, where: str) -> tuple[int, ...]:
    parts = [p.strip() for p in text.split(",") if p.strip()]
    if not all(re.fullmatch(r"v\d+", p) for p in parts):
        raise InvalidProgram(f"values are {text!r} but should look like v1, v2 [{where}]")
    return tuple(int(p[1:]) for p in parts)


def _parse_inputs(text: str, given: Sequence[Array] | None) -> list[Array]:
    arrays: list[Array] = []
    at = 0
    while at < len(text):
        match = _INPUT.match(text, at)
        if not match or int(match[1]) != len(arrays):
            raise InvalidProgram(f"input is {text[at : at + 40]!r} but should look like v{len(arrays)}: float32[2,3]")
        type = parse_type(match[2])
        if match[3] is not None:
            try:
                values = ast.literal_eval(f"[{match[3]}]")
                arrays.append(frozen_input(array_from(type, values)))
            except (ValueError, SyntaxError) as error:
                raise InvalidProgram(f"data of v{len(arrays)} is malformed: {error}") from None
        elif given is not None and len(arrays) < len(given):
            array = given[len(arrays)]
            if type_of(array) != type:
                raise InvalidProgram(f"input v{len(arrays)} is {type_of(array)} but should be {type}")
            arrays.append(frozen_input(array))
        else:
            raise InvalidProgram(f"v{len(arrays)} has no data; print with data=True or give inputs=")
        at = match.end()
    return arrays


def _parse_node(line: str, where: str, types: list[ArrayType]) -> Node:
    match = _NODE.match(line)
    if not match or int(match[1]) != len(types):
        raise InvalidProgram(f"line should look like v{len(types)}: float32[2] = add v0, v1 [{where}]")
    declared = parse_type(match[2])
    operands = _values(match[4].replace(" ", ","), where)
    attributes: dict[str, Any] = {}
    if match[5].strip():
        try:
            call = ast.parse(f"f({match[5].strip().lstrip(',')})", mode="eval").body
            assert isinstance(call, ast.Call)
            attributes = {str(k.arg): ast.literal_eval(k.value) for k in call.keywords}
        except (SyntaxError, ValueError, AssertionError, RecursionError, MemoryError) as error:
            raise InvalidProgram(f"attributes are malformed: {error} [{where}]") from None
    node = make_node(match[3], operands, attributes, types)
    if node.type != declared:
        raise InvalidProgram(f"v{len(types)} has type {declared} but should be {node.type} [{where}]")
    return node


def dtype_name(array: Array) -> str:
    """The name of an array's dtype, or NumPy's own for one outside the table."""
    return NAMES.get(array.dtype, str(array.dtype))
