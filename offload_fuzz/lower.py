"""Lowering: a program and a plan become a schedule, from what each device promises.

Lowering adds the events and synchronisation that the plan's order and streams make necessary, no more under
`sync: minimal`, one per command under `sync: full`. A choice that a device's features do not allow, or that has no
meaning where it is made (a layout for an operand that never passes the host), is lowered as the plain one.
"""

from __future__ import annotations

from collections.abc import Sequence

from offload_fuzz import schedule as s
from offload_fuzz.company import accompanied
from offload_fuzz.crossings import Crossings
from offload_fuzz.device import Place
from offload_fuzz.issuing import regions
from offload_fuzz.lower_regions import region
from offload_fuzz.lowering import HOST_QUEUE, NONE
from offload_fuzz.plan import Plan
from offload_fuzz.program import Node, Program
from offload_fuzz.schedule import HOST
from offload_fuzz.types import ArrayType


def lower(program: Program, plan: Plan, places: Sequence[Place]) -> s.Schedule:
    """The schedule of `program` under `plan`; `places[0]` is the host, `places[i]` role d(i-1).

    A plan that generation did not make for these places is checked first, with `check_support`.
    """
    schedule = _Lowering(program, plan, places).run()
    company = plan.choices.get(("company", ()))
    return schedule if company is None else accompanied(schedule, company)


class _Lowering(Crossings):
    """Issues the nodes of a program one after the other."""

    __slots__ = ()

    def run(self) -> s.Schedule:
        program = self.program
        first = len(program.inputs)
        compiled = []
        for group in regions(program, self.plan, self.tables.places):
            if len(group) == 1:
                self.node(group[0], group[0] - first)
            else:
                compiled.append(group)
                region(self, group, first)
        self.delay = ""
        for site in list(self.late):
            self.overwrite_late(*site)
        results = [self.result(k, v) for k, v in enumerate(program.outputs)]
        for b in results:
            self.order(HOST_QUEUE, self.ready[b])
        for position in list(self.issued.items()):
            self.order(HOST_QUEUE, position)
        return s.Schedule(
            self.in_order(),
            tuple(self.buffers),
            tuple(range(first)),
            tuple(results),
            tuple(self.probes),
            tuple(compiled),
        )

    def node(self, v: int, at: int) -> None:
        """Issue node number `at`, which makes value `v`."""
        node = self.program.nodes[at]
        choices = self.sites.get((v,), NONE)
        place = choices.get("device", HOST)
        role = self.roles[place]
        queue = role.queues[min(choices.get("stream", 0), len(role.queues) - 1)] if place else HOST_QUEUE
        self.delay = choices.get("delay", "")
        operands = [self.hand_over(v, k, o, queue) for k, o in enumerate(node.operands)]
        in_place = None
        if "reuse" in choices and node.op in role.in_place and self.tables.elementwise[at]:
            in_place = self.reusable(node, operands, node.type)
        donated = None
        if in_place is None and "donate" in choices and node.op in role.donate:
            donated = self.given_away(node, role.alias_of(node.op), operands)
        update = None
        if (
            "update" in choices
            and in_place is None
            and donated is None
            and node.op in role.update.get(choices["update"], ())
        ):
            update = choices["update"]
        target = self.target(v, node, place, operands, in_place, donated)
        for k in (in_place, donated):
            if k is not None:
                self.order_after_uses(queue, [operands[k]])
        blocking = role.streams == 0
        storage = self.buffers[target].storage
        view = in_place is None and storage in [self.buffers[b].storage for b in operands]
        launch = s.Launch(
            place, queue[1], v, node.op, tuple(operands), node.attributes, target, in_place, blocking, view, donated,
            update,
        )  # fmt: skip  # one call
        self.put_off(queue, "launch")
        self.issue(queue, launch, operands, [target], blocking)
        self.owner.setdefault(storage, (target, queue))
        self.home[v] = target
        if self.probe:
            self.read_back(v, target)
        for o in node.operands:
            self.use_up(o)
        if not self.tables.uses[v]:
            self.remaining[v] = 1
            self.use_up(v)

    def target(
        self, v: int, node: Node, place: int, operands: Sequence[int], in_place: int | None, donated: int | None
    ) -> int:
        """The buffer that node `v` writes: fresh, in an operand's storage, or a possible alias of operands.

        Where the operand is given away the result is fresh: if it lies in that memory, nobody else uses it any more.
        """
        if in_place is not None:
            old = operands[in_place]
            self.group[self.buffers[old].storage] = []
            return self.buffer(place, v, old)
        if donated is not None:
            self.group[self.buffers[operands[donated]].storage] = []
            return self.buffer(place, v)
        alias = self.roles[place].alias_of(node.op)
        if alias == "fresh" or not operands:
            return self.buffer(place, v)
        target = self.buffer(place, v, operands[0])
        if alias == "may" and len(operands) > 1:
            # the result may lie in any operand's bytes: none of them may be written or given back any more
            storages = [self.buffers[b].storage for b in operands]
            self.protected.update(storages)
            self.kept.update(storages)
        return target

    def given_away(self, node: Node, alias: str, operands: Sequence[int]) -> int | None:
        """The position of the operand that the device is given, if any; the result may alias no other operand."""
        alone = alias == "fresh" or (alias == "may" and len(operands) == 1)
        return self.reusable(node, operands) if alone else None

    def reusable(self, node: Node, operands: Sequence[int], type: ArrayType | None = None) -> int | None:
        """The position of an operand that is dead after `node`, of `type` if one is given, alone in its storage."""
        for k, (o, b) in enumerate(zip(node.operands, operands, strict=True)):
            storage = self.buffers[b].storage
            if (
                (type is None or self.types[o] == type)
                and self.remaining[o] == 1
                and storage not in self.protected
                and len(self.group[storage]) == 1
            ):
                return k
        return None
