"""Print and parse: the text form of programs, which people read and `parse` reads back.

    program(v0: float32[2,3])
      v1: float32[3,2] = permute_dims v0, axes=(1, 0)
      return v1

With `data=True` an input carries its elements, `v0: float32[2] = data('0x1p+0', '-0x0p+0')`; floats are hex strings,
a NaN is its bits, `nan:0x7fc00000`.
"""

from __future__ import annotations

import ast
import math
import re
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from offload_fuzz.enclosure import components, is_float
from offload_fuzz.errors import InvalidProgram, OffloadError
from offload_fuzz.ops.base import find_op
from offload_fuzz.ops.domains import check_attributes
from offload_fuzz.program import Node, Program, frozen_input, make_node
from offload_fuzz.program import node_line as node_line
from offload_fuzz.types import DTYPES, NAMES, Array, ArrayType, DType, type_of
from offload_fuzz.untrusted import shown

_UINT = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}


# ------------------------------------------------------------------------------------------------------ elements
_FLOAT = re.compile(r"-?0x[01](?:\.[0-9a-f]{1,13})?p([+-][0-9]{1,4})\Z")
_NAN = re.compile(r"nan:0x([0-9a-f]{1,16})\Z")


def format_element(x: Any) -> str | int | bool:
    """One element exactly: ints and bools as they are, floats as hex, NaN by its bits."""
    return elements(np.asarray(x))[0]


def parse_element(value: Any, dtype: str) -> Any:
    """The inverse of `format_element`; raises `ValueError` for anything else, or what does not fit exactly."""
    return array_from(ArrayType(dtype, (1,)), [value])[0]


def elements(array: Array) -> list[str | int | bool]:
    """The elements in row-major order, exactly."""
    flat = np.ascontiguousarray(array).reshape(-1)
    if array.dtype.kind == "c":
        pairs = elements(components(flat))
        return [f"{re},{im}" for re, im in zip(pairs[::2], pairs[1::2], strict=True)]
    if not is_float(array.dtype):
        return [int(x) for x in flat] if array.dtype.kind == "V" else list(flat.tolist())
    with np.errstate(invalid="ignore"):  # a signalling NaN is no offence here
        found: list[str | int | bool] = [_hex(x) for x in flat.astype(np.float64).tolist()]
        nan = np.flatnonzero(np.isnan(flat)).tolist()
    bits = flat.view(_UINT[array.dtype.itemsize])
    for i in nan:
        found[i] = f"nan:0x{int(bits[i]):x}"
    return found


def _hex(x: float) -> str:
    """`float.hex` without the zeros that say nothing: 0x1.8p+0."""
    head, p, exponent = x.hex().partition("p")
    return f"{head.rstrip('0').rstrip('.')}p{exponent}" if p else head


def array_from(type: ArrayType, values: Sequence[Any]) -> Array:
    """The array of `type` with these exact elements; raises `ValueError` for a wrong count or element."""
    if len(values) != type.size:
        raise ValueError(f"{type} has {type.size} elements but got {len(values)}")
    d = DTYPES[type.dtype]
    if d.component:
        flat = _complex(values, DTYPES[d.component]).view(d.np)
    elif d.precision:
        flat = _floats(values, d)
    elif d.kind == "bool":
        _all_of(bool, values, "true or false")
        flat = np.array(values, d.np)
    else:
        _all_of(int, values, "an int")
        bottom, top = d.range
        for i, v in enumerate(values):
            if not bottom <= v <= top:
                raise ValueError(f"element [{i}] is {shown(v)}, which {d.name} cannot hold")
        flat = np.array(values, d.np)
    return flat.reshape(type.shape)


def _all_of(wanted: Any, values: Sequence[Any], should_be: str) -> None:
    for i, v in enumerate(values):
        if type(v) is not wanted:
            raise ValueError(f"element [{i}] is {shown(v)} but should be {should_be}")


def _complex(values: Sequence[Any], component: DType) -> Array:
    """Real and imaginary parts in turn, from pairs such as '0x1p+0,-0x1p+1'."""
    found = []
    for i, v in enumerate(values):
        pair = v.split(",") if type(v) is str else ()
        if len(pair) != 2:
            raise ValueError(f"element [{i}] is {shown(v)} but should be two floats such as '0x1p+0,-0x1p+1'")
        found += pair
    return _floats(found, component)


def _floats(values: Sequence[Any], d: DType) -> Array:
    numbers, payloads = [], {}
    for i, v in enumerate(values):
        match = _FLOAT.match(v) if type(v) is str else None
        if match and -1022 <= int(match[1]) <= 1023:  # then float64 holds it exactly
            numbers.append(float.fromhex(v))
        elif type(v) is str and v in ("inf", "-inf"):
            numbers.append(float(v))
        elif type(v) is str and (match := _NAN.match(v)):
            payloads[i] = int(match[1], 16)
            numbers.append(0.0)
        else:
            raise ValueError(f"element [{i}] is {shown(v)} but should be a hex float such as '0x1.8p+0' or 'nan:0x...'")
    wide = np.array(numbers, np.float64)
    with np.errstate(all="ignore"):
        flat = wide.astype(d.np)
        lost = np.flatnonzero(flat.astype(np.float64) != wide)
    if lost.size:
        raise ValueError(f"element [{lost[0]}] is {values[lost[0]]!r}, which {d.name} cannot hold")
    bits = flat.view(_UINT[d.np.itemsize])
    for i, payload in payloads.items():
        bits[i] = payload & (2**d.bits - 1)
    with np.errstate(invalid="ignore"):  # ml_dtypes warns of a signalling NaN
        for i, payload in payloads.items():
            if payload >> d.bits or not np.isnan(flat[i]):
                raise ValueError(f"element [{i}] is {values[i]!r} but those bits are not a NaN of {d.name}")
    return flat


# --------------------------------------------------------------------------------------------------------- print
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
_SHAPE = r"[a-z0-9_]+\[(?:[0-9]{1,18}(?:,[0-9]{1,18})*)?\]"
_TYPE = re.compile(_SHAPE + r"\Z")
_HEADER = re.compile(r"program\((.*)\)\Z", re.DOTALL)
_INPUT = re.compile(rf"v([0-9]{{1,9}}): ({_SHAPE})(?: = data\(([^()]*)\))?(?:, |\Z)")
_NODE = re.compile(
    r"v([0-9]{1,9}): (\S+) = ([^\W\d]\w*)(?: (v[0-9]{1,9}(?:, v[0-9]{1,9})*))?(?:(?:, | (?=[a-z]\w*=))(.*))?\Z"
)
_CODE = re.compile(r"""(?:[^#'"]|'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")*+""")


def parse_type(text: str) -> ArrayType:
    """`float32[2,3]` as an `ArrayType`; raises `InvalidProgram`."""
    if not _TYPE.match(text):
        raise InvalidProgram(f"type is {shown(text)} but should look like float32[2,3]")
    dtype, _, shape = text[:-1].partition("[")
    return ArrayType(dtype, tuple(map(int, shape.split(","))) if shape else ())


def parse_program(text: str, inputs: Sequence[Array] | None = None) -> Program:
    """A program from its text; data comes from the text or from `inputs`. Comments are ignored.

    Raises `InvalidProgram` naming the line that is wrong.
    """
    lines = [(i, _code(line)) for i, line in enumerate(text.split("\n"), 1)]
    lines = [(i, line) for i, line in lines if line]
    if not lines:
        raise InvalidProgram("text is empty but should start with program(...)")
    where = _where(*lines[0])
    match = _HEADER.match(lines[0][1])
    if not match:
        raise InvalidProgram(f"text should start with program(v0: float32[2], ...) [{where}]")
    arrays = _parse_inputs(match[1], inputs, where)
    types = [type_of(x) for x in arrays]
    nodes: list[Node] = []
    outputs: tuple[int, ...] | None = None
    for number, line in lines[1:]:
        where = _where(number, line)
        if outputs is not None:
            raise InvalidProgram(f"text goes on after return [{where}]")
        if line == "return" or line.startswith("return "):
            outputs = _values(line[7:], where)
            for v in outputs:
                if v >= len(types):
                    raise InvalidProgram(f"text returns v{v} but should return one of v0..v{len(types) - 1} [{where}]")
            continue
        node = _parse_node(line, where, types)
        nodes.append(node)
        types.append(node.type)
    if outputs is None:
        raise InvalidProgram(f"text has no return line but should end in return v... [{where}]")
    return Program(tuple(arrays), tuple(nodes), outputs)


def _code(line: str) -> str:
    """The line without its comment; a # inside quotes does not start one."""
    match = _CODE.match(line)
    end = match.end() if match else 0
    return (line[:end] if line[end : end + 1] == "#" else line).strip()


def _where(number: int, line: str) -> str:
    return f"line {number}: {line[:80]}"


def _values(text: str, where: str) -> tuple[int, ...]:
    parts = [p.strip() for p in text.split(",")]
    if not all(re.fullmatch(r"v[0-9]{1,9}", p) for p in parts):
        raise InvalidProgram(f"values are {shown(text)} but should look like v1, v2 [{where}]")
    return tuple(int(p[1:]) for p in parts)


def _parse_inputs(text: str, given: Sequence[Array] | None, where: str) -> list[Array]:
    arrays: list[Array] = []
    at = 0
    while at < len(text):
        v = len(arrays)
        match = _INPUT.match(text, at)
        if not match or int(match[1]) != v:
            raise InvalidProgram(f"input is {shown(text[at:])} but should look like v{v}: float32[2,3] [{where}]")
        try:
            type = parse_type(match[2])
            if match[3] is not None:
                array = array_from(type, _data(match[3]))
            elif given is None or v >= len(given):
                raise ValueError("there is no data; print with data=True or give inputs=")
            elif type_of(array := given[v]) != type:
                raise ValueError(f"the input given is {type_of(array)} but should be {type}")
        except (ValueError, InvalidProgram) as error:
            raise InvalidProgram(f"v{v}: {error} [{where}]") from None
        arrays.append(frozen_input(array))
        at = match.end()
    if given is not None and len(given) > len(arrays):
        raise InvalidProgram(f"{len(given)} inputs are given but the text names {len(arrays)} [{where}]")
    return arrays


def _data(text: str) -> list[Any]:
    """The elements in `1, -2` or `'0x1p+0', 'inf'`; raises `ValueError` for anything else."""
    call = _call(text)
    if call.keywords:
        raise ValueError(f"data is {shown(text)} but should be elements")
    return [_literal(a, "element") for a in call.args]


def _attributes(text: str) -> dict[str, Any]:
    call = _call(text)
    found = {k.arg: _literal(k.value, k.arg) for k in call.keywords if k.arg is not None}
    if call.args or len(found) != len(call.keywords):
        raise ValueError(f"attributes are {shown(text)} but should look like axis=1, keepdims=False, each once")
    return found


def _call(arguments: str) -> ast.Call:
    """The arguments of a call as a tree; raises `ValueError` for anything else."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd numerals
            tree = ast.parse(f"f({arguments})", mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else type(error).__name__
        raise ValueError(f"{shown(arguments)} is no list of literals: {reason}") from None
    if not isinstance(tree, ast.Call) or not isinstance(tree.func, ast.Name):
        raise ValueError(f"{shown(arguments)} is no list of literals")
    return tree


def _literal(tree: ast.expr, what: str) -> Any:
    match tree:
        case ast.Name(id="inf" | "nan" as name):
            return float(name)
        case ast.UnaryOp(op=ast.USub(), operand=ast.Name(id="inf")):
            return -math.inf
    try:
        return ast.literal_eval(tree)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        raise ValueError(f"{what} is no literal; write numbers, strings, True, False, None or tuples") from None


def _parse_node(line: str, where: str, types: list[ArrayType]) -> Node:
    match = _NODE.match(line)
    if not match or int(match[1]) != len(types):
        raise InvalidProgram(f"line should look like v{len(types)}: float32[2] = add v0, v1 [{where}]")
    try:
        declared = parse_type(match[2])
        op = find_op(match[3], where)
        operands = _values(match[4], where) if match[4] else ()
        attributes = _attributes(match[5]) if match[5] else {}
        check_attributes(op, attributes)
        node = make_node(match[3], operands, attributes, types)
    except (OffloadError, ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        reason = str(error)
        raise InvalidProgram(reason if where in reason else f"{reason} [{where}]") from None
    if node.type != declared:
        raise InvalidProgram(f"v{len(types)} has type {declared} but should be {node.type} [{where}]")
    return node


def dtype_name(array: Array) -> str:
    """The name of an array's dtype, or NumPy's own for one outside the table."""
    return NAMES.get(array.dtype, str(array.dtype))
