"""The NumPy meaning of a program, evaluated node by node together with what a contract allows for each value.

There is one reference; generation, judging, shrinking and display all use it. NumPy's floating-point warnings are of no
interest here: callers evaluate under `quiet()`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from attrs import frozen

from offload_fuzz.contract import Contract
from offload_fuzz.enclosure import Enclosure, exact
from offload_fuzz.errors import OffloadError, UsageError
from offload_fuzz.ops.base import OPS, Application, find_op
from offload_fuzz.ops.outward import inside
from offload_fuzz.program import Node, Program
from offload_fuzz.types import Array, ArrayType


@frozen(eq=False, slots=True)
class Known:
    """A value as the reference sees it: its NumPy value, and what is allowed (None: unknown)."""

    value: Array
    enclosure: Enclosure | None


def quiet() -> Any:
    """A context in which NumPy does not warn of overflow, division by zero or NaN."""
    return np.errstate(all="ignore")


def known(array: Array) -> Known:
    """A value known to the bit."""
    return Known(array, exact(array))


def evaluate(op: str, attributes: Mapping[str, Any], type: ArrayType, operands: Sequence[Known], c: Contract) -> Known:
    """One op on known operands, under contract `c`; raises `UsageError` if a custom op's reference fails.

    Where the standard leaves the result open (`Op.defined`) the value is zero and the enclosure unknown.
    """
    row = OPS.get(op) or find_op(op)
    values = [k.value for k in operands]
    enclosures = [k.enclosure for k in operands]
    if row.defined is not None and not row.defined(*values, **attributes):
        return Known(np.zeros(type.shape, type.np), None)
    certain = None not in enclosures
    sets = enclosures if certain else [exact(v) for v in values]
    try:
        value, enclosure = row.enclose(Application(row, sets, values, attributes, type, c))  # type: ignore[arg-type]  # no None left
    except OffloadError:
        raise
    except Exception as error:
        if row.custom:
            raise UsageError(f"the reference of {op} raised {type_name(error)}: {error} [op {op}]; mend it") from error
        raise
    if row.custom and (value.shape != type.shape or value.dtype != type.np):
        raise UsageError(
            f"the reference of {op} gave {value.dtype}{list(value.shape)} but its type rule says {type} [op {op}]"
        )
    return Known(value, enclosure if certain else None)


def type_name(error: BaseException) -> str:
    """The name of an exception's class."""
    return type(error).__name__


def evaluate_program(program: Program, contract: Contract, regions: Sequence[Sequence[int]] = ()) -> list[Known]:
    """Every value of the program under one contract, inputs first.

    regions: value numbers of nodes that are compiled together. Inside a region a value may be used unrounded, and where
    the contract names a rewrite of two ops, or allows reassociation, the user's enclosure is unknown. A compiler sees
    through ops that only move data, which stand between the two.
    """
    values = [known(x) for x in program.inputs]
    region_of = {v: i for i, region in enumerate(regions) for v in region}
    unrounded: dict[int, Known] = {}
    made_by: dict[int, frozenset[str]] = {}
    for v, node in program.numbered():
        region = region_of.get(v)
        if region is None:
            values.append(evaluate_node(node, values, contract))
            continue
        near = [o for o in node.operands if region_of.get(o) == region]
        operands = [unrounded[o] if o in near else values[o] for o in node.operands]
        value = evaluate(node.op, node.attributes, node.type, operands, contract)
        producers = frozenset().union(*[made_by[o] for o in near])
        if any(contract.rewrites(producer, node.op) for producer in producers):
            value = Known(value.value, None)
        values.append(value)
        unrounded[v] = value
        made_by[v] = producers | {node.op} if find_op(node.op).moves else frozenset({node.op})
        if value.enclosure is not None:
            used = [k.value for k in operands]
            sure = all(k.enclosure is not None and k.enclosure.is_certain for k in operands)
            e = inside(find_op(node.op), node.type, used if sure else None, value.enclosure, contract)
            unrounded[v] = Known(value.value, e)
    return values


def evaluate_node(node: Node, values: Sequence[Known], contract: Contract) -> Known:
    """One node, its operands taken from `values` by number."""
    return evaluate(node.op, node.attributes, node.type, [values[o] for o in node.operands], contract)
