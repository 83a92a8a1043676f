"""The checker of whole programs: errors point at the node and show a window of the program around it."""

from __future__ import annotations

from offload_fuzz.errors import InvalidProgram, UsageError
from offload_fuzz.ops.base import find_op
from offload_fuzz.ops.domains import check_attributes
from offload_fuzz.program import Program
from offload_fuzz.text import node_line, window
from offload_fuzz.types import ArrayType, type_of
from offload_fuzz.untrusted import shown

#: Lines of a message are cut here.
WIDTH = 240


def check_program(program: Program) -> None:
    """Raise `InvalidProgram` at the first node that is not well formed, with a window of the program around it.

    Raises `UsageError` for an op that is not in the table.
    """
    types: list[ArrayType] = [type_of(x) for x in program.inputs]
    if not program.outputs:
        raise InvalidProgram("program returns nothing but should return at least one value [return]")
    for v, node in program.numbered():
        late = [o for o in node.operands if not 0 <= o < v]
        if late:
            raise _at(program, v, f"v{v} uses v{late[0]} but should use values before it")
        op = find_op(node.op, f"v{v}")
        try:
            check_attributes(op, node.attributes)
            expected = op.result_type([types[o] for o in node.operands], node.attributes)
        except InvalidProgram as error:
            raise _at(program, v, str(error)) from None
        except (TypeError, ValueError, KeyError, AttributeError, OverflowError) as error:
            raise _at(program, v, f"{node.op} does not take these attributes: {shown(error, 100)}") from None
        if node.type != expected:
            raise _at(program, v, f"v{v} has type {node.type} but should be {expected}")
        types.append(expected)
    for v in program.outputs:
        if not 0 <= v < len(types):
            raise InvalidProgram(f"program returns v{v} but should return one of v0..v{len(types) - 1} [return]")


def _at(program: Program, value: int, message: str) -> UsageError:
    node = program.nodes[value - len(program.inputs)]
    lines = [f"{message} [{node_line(value, node)}]", *window(program, value).split("\n")]
    return InvalidProgram("\n".join(line if len(line) <= WIDTH else f"{line[: WIDTH - 3]}..." for line in lines))
