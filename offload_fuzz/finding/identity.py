"""The ID of a finding, from what matters: kind, minimal graph, who runs what, what crosses how; no seed, no fault name.

Sizes, dtypes and places enter as classes only, so that findings of one bug agree over seeds.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from itertools import permutations
from typing import Any

from offload_fuzz.case import Case
from offload_fuzz.types import DTYPES, ArrayType

#: Sizes that are told apart: no element, few, more than a vector or a small tile has, more than a cache has.
SIZES = ((0, "empty"), (64, "small"), (4095, "middle"))
#: What the reducer puts in the place of a node of which it does not matter what it computes.
ANY = ("reshape", "negative", "bitwise_invert")

#: Outputs of which all orders are tried, so that their order does not count.
OUTPUTS = 4


def identity(kind: str, case: Case) -> str:
    """`F` and eight hexadecimal digits. Findings of one ID are counted as one."""
    outputs = case.program.outputs
    orders = permutations(outputs) if len(outputs) <= OUTPUTS else iter([outputs])
    text = min(json.dumps([kind, graph(case, order), choices(case)], sort_keys=True) for order in orders)
    return "F" + hashlib.sha256(text.encode()).hexdigest()[:8]


def graph(case: Case, outputs: Sequence[int]) -> list[Any]:
    """The nodes in an order that follows from the graph alone: op, operands, place, and the class of the result.

    Nodes are numbered as a walk from the outputs meets them; places as host, first, second ... device met. Neither the
    order of operands counts nor which of them are one and the same input.
    """
    program = case.program
    order: dict[int, int] = {}
    places: dict[int, int] = {0: 0}
    rows = []

    def meet(v: int) -> int | str:
        node = program.node_of(v)
        if node is None:
            return "input"
        if v not in order:
            order[v] = len(order)
            role = case.plan.get("device", v)
            place = places.setdefault(role, len(places))
            row: list[Any] = [op_class(node.op, len(program.nodes)), place, type_class(node.type)]
            rows.append(row)
            row.append(sorted((meet(o) for o in node.operands), key=str))
        return order[v]

    return [[meet(v) for v in outputs], rows]


def choices(case: Case) -> list[str]:
    """The freedoms that are not plain, without how and where, and without the order of nodes."""
    return sorted({name for name, _ in case.plan.choices if name not in ("device", "order")})


def op_class(op: str, nodes: int) -> str:
    """The op; of several nodes, those whose computation does not matter are of one class."""
    return "any" if nodes > 1 and op in ANY else op


def type_class(type: ArrayType) -> str:
    """For example `small floating`, `small 64-bit signed`."""
    d = DTYPES[type.dtype]
    size = next((name for most, name in SIZES if type.size <= most), "large")
    return f"{size} {d.bits}-bit {d.kind}" if d.bits == 64 else f"{size} {d.kind}"
