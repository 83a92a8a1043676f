"""Two programs on the same devices: a schedule that is accompanied by a second one, of other data.

The companion is the same program on the elements of each input in reverse order, under the same plan, in storages,
buffers and events of its own. What a device keeps of one program must not reach the other: only the results of the
first are judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from attrs import evolve, fields

from offload_fuzz import schedule as s
from offload_fuzz.contract_files import contract_named
from offload_fuzz.errors import UsageError
from offload_fuzz.ops.base import find_op
from offload_fuzz.program import Program, frozen_input
from offload_fuzz.reference import evaluate_node, known, quiet
from offload_fuzz.types import Array

#: Fields of commands that hold the number of a buffer, of several, of an event.
BUFFER, BUFFERS, EVENT = ("source", "target", "buffer"), ("operands", "targets"), "event"


def accompanied(schedule: s.Schedule, how: str) -> s.Schedule:
    """`schedule` with its companion: all of it "before", or "interleaved", command by command on the same queues.

    Interleaved they take turns in being first: of one command the companion's is issued before, of the next after.
    """
    count, storages = len(schedule.buffers), 1 + max((b.storage for b in schedule.buffers), default=-1)
    events = 1 + max((getattr(c, EVENT, -1) for c in schedule.commands), default=-1)
    others = [_renumbered(c, count, events) for c in schedule.commands]
    if how == "before":
        commands = [*others, *schedule.commands]
    else:
        pairs = enumerate(zip(others, schedule.commands, strict=True))
        commands = [c for n, pair in pairs for c in (reversed(pair) if n % 2 else pair)]
    buffers = [evolve(b, storage=b.storage + storages) for b in schedule.buffers]
    return evolve(
        schedule,
        commands=tuple(commands),
        buffers=(*schedule.buffers, *buffers),
        company=tuple(b + count for b in schedule.inputs),
    )


def _renumbered(c: s.Command, buffers: int, events: int) -> s.Command:
    """The command on other buffers and another event."""
    changed: dict[str, Any] = {}
    for field in fields(type(c)):
        value = getattr(c, field.name)
        if field.name in BUFFER:
            changed[field.name] = value + buffers
        elif field.name in BUFFERS:
            changed[field.name] = tuple(b + buffers for b in value)
        elif field.name == EVENT:
            changed[field.name] = value + events
    return evolve(c, **changed) if changed else c


@lru_cache(maxsize=2)
def company_of(program: Program) -> tuple[Array, ...]:
    """The inputs of the companion, read-only: those of `program`, the elements of each in reverse order.

    Where an op would then be given what it has no result for (a divisor of zero, say) they are as they were.
    """
    reverse = tuple(frozen_input(np.ascontiguousarray(x).reshape(-1)[::-1].reshape(x.shape)) for x in program.inputs)
    return reverse if _defined(program, reverse) else program.inputs


def _defined(program: Program, inputs: Sequence[Array]) -> bool:
    """Whether each node has a result on these inputs; nothing is computed where every op always has one."""
    rows = [find_op(node.op) for node in program.nodes]
    if all(row.defined is None for row in rows):
        return True
    contract, values = contract_named("ieee"), [known(x) for x in inputs]
    with quiet():
        for row, node in zip(rows, program.nodes, strict=True):
            given = [values[o].value for o in node.operands]
            if row.defined is not None and not row.defined(*given, **node.attributes):
                return False
            try:
                values.append(evaluate_node(node, values, contract))
            except UsageError:  # the reference of a custom op that was not written for such operands
                return False
    return True
