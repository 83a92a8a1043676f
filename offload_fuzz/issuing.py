"""Which nodes are issued in which order and which together, and whether a plan's devices have what it needs."""

from __future__ import annotations

from collections.abc import Sequence

from offload_fuzz.device import Place
from offload_fuzz.errors import InvalidProgram
from offload_fuzz.plan import Plan
from offload_fuzz.program import Program
from offload_fuzz.schedule import HOST


def check_support(program: Program, plan: Plan, places: Sequence[Place]) -> None:
    """Raise `InvalidProgram` naming the first node whose device lacks its op or dtype."""
    types = program.types
    for v, node in program.numbered():
        role = plan.get("device", v)
        if role >= len(places):
            raise InvalidProgram(f"v{v} is on d{role - 1} but the case has {len(places) - 1} device role(s)")
        if role and not places[role].features.supports(node.op, [types[o] for o in node.operands], node.type):
            raise InvalidProgram(
                f"{node.op} on {', '.join(str(types[o]) for o in node.operands)} is not among the features of "
                f"{places[role].name} [v{v}]; place it elsewhere"
            )


def issue_order(program: Program, choice: int, seed: int) -> list[int]:
    """Value numbers of nodes in a topological order: 0 as written, 1 latest ready first, 2 alternating, 3 by seed."""
    first = len(program.inputs)
    if choice == 0:
        return list(range(first, first + len(program.nodes)))
    waiting = {v: {o for o in n.operands if o >= first} for v, n in program.numbered()}
    order: list[int] = []
    while waiting:
        ready = [v for v, needs in waiting.items() if not needs]
        if choice == 1:
            v = ready[-1]
        elif choice == 2:
            v = ready[-1 if len(order) % 2 else 0]
        else:
            v = ready[(seed + 7 * len(order)) % len(ready)]
        order.append(v)
        del waiting[v]
        for needs in waiting.values():
            needs.discard(v)
    return order


#: Nodes in a compiled region at most.
LONGEST_REGION = 8


def regions(program: Program, plan: Plan, places: Sequence[Place]) -> list[tuple[int, ...]]:
    """The nodes in issue order, those that the plan compiles together as one entry.

    A node joins the one issued before it if both are on one queue of a device that compiles. Where every result is read
    back nothing is compiled together, as each node is then judged from what it was given.
    """
    order = issue_order(program, plan.get("order"), plan.seed)
    choices = plan.choices
    found: list[tuple[int, ...]] = []
    last = (HOST, 0)
    for v in order:
        place = choices.get(("device", (v,)), HOST)
        queue = (place, choices.get(("stream", (v,)), 0)) if place else (HOST, 0)
        joins = (
            ("compile", (v,)) in choices
            and place != HOST
            and queue == last
            and places[place].features.compile
            and len(found[-1]) < LONGEST_REGION
            and ("readback", ()) not in choices
        )
        if joins:
            found[-1] = (*found[-1], v)
        else:
            found.append((v,))
        last = queue
    return found
