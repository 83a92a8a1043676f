"""Lowering of compiled regions: several nodes as one command."""

from __future__ import annotations

from collections import Counter

from offload_fuzz import schedule as s
from offload_fuzz.crossings import Crossings


def region(x: Crossings, group: tuple[int, ...], first: int) -> None:
    """Issue the nodes that make the values of `group` as one command."""
    nodes = [x.program.nodes[v - first] for v in group]
    choices = x.sites[group[0],]
    place = choices["device"]
    role = x.roles[place]
    queue = role.queues[min(choices.get("stream", 0), len(role.queues) - 1)]
    x.delay = choices.get("delay", "")
    operands: dict[int, int] = {}  # buffer -> its number
    numbers = [
        [-1 if o in group else operands.setdefault(x.hand_over(v, k, o, queue), len(operands))
         for k, o in enumerate(node.operands)]
        for v, node in zip(group, nodes, strict=True)
    ]  # fmt: skip  # what each node is given
    made = {v: len(operands) + j for j, v in enumerate(group)}
    inside = Counter(o for node in nodes for o in node.operands if o in made)
    kept = [v for v in group if x.tables.uses[v] > inside[v]] or [group[-1]]
    targets = [x.buffer(place, v) for v in kept]
    if any(x.roles[place].alias_of(node.op) != "fresh" for node in nodes):
        # a region that only moves data may give an operand back: nothing of it may be written any more
        storages = [x.buffers[b].storage for b in (*operands, *targets)]
        x.protected.update(storages)
        x.kept.update(storages)
    steps = tuple(
        (node.op, tuple(made.get(o, n) for n, o in zip(given, node.operands, strict=True)),
         node.attributes)
        for node, given in zip(nodes, numbers, strict=True)
    )  # fmt: skip  # one tuple a node
    blocking = role.streams == 0
    command = s.LaunchCompiled(
        place, queue[1], group, steps, tuple(operands), tuple(made[v] for v in kept), tuple(targets), blocking
    )
    x.put_off(queue, "launch")
    x.issue(queue, command, list(operands), targets, blocking)
    for v, target in zip(kept, targets, strict=True):
        x.owner.setdefault(x.buffers[target].storage, (target, queue))
        x.home[v] = target
    for node in nodes:
        for o in node.operands:
            x.use_up(o)
    for v in group:
        if not x.tables.uses[v]:
            x.remaining[v] = 1
            x.use_up(v)
