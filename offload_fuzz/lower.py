"""Lowering: a program and a plan become a schedule, from what each device promises.

Lowering adds the events and synchronisation that the plan's order and streams make necessary, no more under
`sync: minimal`, one per command under `sync: full`. A choice that a device's features do not allow, or that has no
meaning where it is made (a layout for an operand that never passes the host), is lowered as the plain one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from offload_fuzz import schedule as s
from offload_fuzz.device import Place
from offload_fuzz.errors import InvalidProgram
from offload_fuzz.ops.base import find_op
from offload_fuzz.plan import Plan
from offload_fuzz.program import Node, Program
from offload_fuzz.schedule import HOST, Buffer
from offload_fuzz.types import ArrayType

Queue: TypeAlias = tuple[int, int]
Position: TypeAlias = tuple[Queue, int]
HOST_QUEUE: Queue = (HOST, 0)


def lower(program: Program, plan: Plan, places: Sequence[Place]) -> s.Schedule:
    """The schedule of `program` under `plan`; `places[0]` is the host, `places[i]` role d(i-1).

    A plan that generation did not make for these places is checked first, with `check_support`.
    """
    return _Lowering(program, plan, places).run()


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


class _Lowering:
    def __init__(self, program: Program, plan: Plan, places: Sequence[Place]) -> None:
        self.program = program
        self.choices = plan.choices
        self.plan = plan
        self.places = places
        self.probe = ("readback", ()) in plan.choices
        self.full = ("sync", ()) not in self.choices
        self.types, self.nbytes = program.types, program.nbytes
        self.commands: list[s.Command] = []
        self.buffers: list[Buffer] = []
        self.storages = 0
        self.events = 0
        self.issued: dict[Queue, int] = {}  # commands issued on each queue
        self.host_saw: dict[Queue, int] = {}  # how far the host has synchronised with each queue
        self.saw: dict[tuple[Queue, Queue], int] = {}  # how far a queue has waited for another
        self.ready: dict[int, Position] = {}  # buffer -> where its last write was issued
        self.used: dict[int, dict[Queue, int]] = {}  # buffer -> where its accesses were issued
        self.home: dict[int, int] = {}  # value -> the buffer that the node made
        self.copies: dict[tuple[int, int], int] = {}  # (value, place) -> buffer of a plain crossing
        self.group: dict[int, list[int]] = {}  # storage -> buffers that may share its bytes
        self.owner: dict[int, tuple[int, Queue]] = {}  # storage -> (buffer, queue) that allocated it
        self.holders: dict[int, list[int]] = {}  # value -> buffers that hold it
        self.value_of: dict[int, int] = {}  # buffer -> the value that it holds
        self.protected: set[int] = set()  # storages that must not be written: inputs, read-only, stride 0
        self.kept: set[int] = set()  # storages that must not be given back: shared with the host, or perhaps aliased
        self.arranged: dict[int, s.Arrange] = {}  # host buffer -> the command that laid it out
        self.remaining: dict[int, int] = {}
        self.probes: list[tuple[int, int]] = []

    # ------------------------------------------------------------------------------------------------ bookkeeping
    def buffer(self, place: int, type: ArrayType, value: int, like: int | None = None) -> int:
        """A new buffer that holds `value`, in a new storage or in the bytes of buffer `like`."""
        if like is None:
            storage, stop = self.storages, self.nbytes[value]
            self.storages += 1
        else:
            storage, stop = self.buffers[like].storage, self.buffers[like].stop
        number = len(self.buffers)
        self.buffers.append(Buffer(place, type, storage, 0, stop))
        self.group.setdefault(storage, []).append(number)
        self.holders.setdefault(value, []).append(number)
        self.value_of[number] = value
        return number

    def issue(self, queue: Queue, command: s.Command, reads: Sequence[int], write: int | None, blocking: bool) -> None:
        """Append a command, ordering it after what it touches."""
        for b in reads:
            self.order(queue, self.ready[b])
        self.commands.append(command)
        if queue == HOST_QUEUE:
            at = 0
        else:
            at = self.issued[queue] = self.issued.get(queue, 0) + 1
        for b in reads:
            self.used.setdefault(b, {})[queue] = at
        if write is not None:
            self.ready[write] = (queue, at)
            self.used.setdefault(write, {})[queue] = at
        if queue != HOST_QUEUE:
            if blocking:
                self.host_saw[queue] = at
            elif self.full:
                self.synchronize(queue)

    def synchronize(self, queue: Queue) -> None:
        self.commands.append(s.Synchronize(*queue))
        self.host_saw[queue] = self.issued.get(queue, 0)

    def order(self, queue: Queue, after: Position) -> None:
        """Make what `queue` does next come after position `after`."""
        other, n = after
        if other in (queue, HOST_QUEUE) or self.host_saw.get(other, 0) >= n:
            return
        if queue == HOST_QUEUE:
            self.synchronize(other)
            return
        if self.saw.get((queue, other), 0) >= n:
            return
        if queue[0] == other[0] or self.are_peers(queue[0], other[0]):
            self.commands.append(s.Record(*other, self.events))
            self.commands.append(s.Wait(*queue, self.events))
            self.events += 1
            self.saw[queue, other] = self.issued.get(other, 0)
        else:
            self.synchronize(other)

    def order_after_uses(self, queue: Queue, buffers: Sequence[int]) -> None:
        """Before a write by `queue`: come after every access to these buffers."""
        for b in buffers:
            for other, at in list(self.used.get(b, {}).items()):
                self.order(queue, (other, at))

    def are_peers(self, p: int, q: int) -> bool:
        mine = self.places[p].features.peers
        return mine is not None and mine == self.places[q].features.peers

    def choose(self, name: str, plain: object, v: int, k: int) -> object:
        return self.choices.get((name, (v, k)), plain)

    # ---------------------------------------------------------------------------------------------------- lowering
    def run(self) -> s.Schedule:
        program = self.program
        inputs = []
        for v in range(len(program.inputs)):
            b = self.buffer(HOST, self.types[v], v)
            self.protected.add(self.buffers[b].storage)
            self.ready[b] = (HOST_QUEUE, 0)
            self.home[v] = b
            inputs.append(b)
        for node in program.nodes:
            for o in node.operands:
                self.remaining[o] = self.remaining.get(o, 0) + 1
        for v in program.outputs:
            self.remaining[v] = self.remaining.get(v, 0) + 1
        first = len(program.inputs)
        for v in issue_order(program, self.plan.get("order"), self.plan.seed):
            self.node(v, program.nodes[v - first])
        results = [self.result(k, v) for k, v in enumerate(program.outputs)]
        for b in results:
            self.order(HOST_QUEUE, self.ready[b])
        for queue, n in list(self.issued.items()):
            self.order(HOST_QUEUE, (queue, n))
        return s.Schedule(tuple(self.commands), tuple(self.buffers), tuple(inputs), tuple(results), tuple(self.probes))

    def node(self, v: int, node: Node) -> None:
        place = self.choices.get(("device", (v,)), HOST)
        features = self.places[place].features
        stream = self.choices.get(("stream", (v,)), 0)
        stream = min(stream, max(features.streams - 1, 0)) if place else 0
        queue = (place, stream)
        operands = [self.hand_over(v, k, o, queue) for k, o in enumerate(node.operands)]
        in_place = None
        if ("reuse", (v,)) in self.choices and node.op in features.in_place:
            in_place = self.reusable(v, node, operands)
        target = self.target(v, node, place, operands, in_place)
        if in_place is not None:
            self.order_after_uses(queue, [operands[in_place]])
        blocking = features.streams == 0
        view = in_place is None and any(self.buffers[target].storage == self.buffers[b].storage for b in operands)
        launch = s.Launch(place, stream, v, node.op, tuple(operands), node.attributes, target, in_place, blocking, view)
        self.issue(queue, launch, operands, target, blocking)
        storage = self.buffers[target].storage
        self.owner.setdefault(storage, (target, queue))
        self.home[v] = target
        if self.probe:
            self.read_back(v, target)
        for o in node.operands:
            self.use_up(o)
        if v not in self.remaining:
            self.remaining[v] = 1
            self.use_up(v)

    def target(self, v: int, node: Node, place: int, operands: Sequence[int], in_place: int | None) -> int:
        """The buffer that node `v` writes: fresh, in an operand's storage, or a possible alias of operands."""
        if in_place is not None:
            old = operands[in_place]
            self.group[self.buffers[old].storage] = []
            return self.buffer(place, node.type, v, old)
        alias = self.places[place].features.alias_of(node.op)
        if alias == "fresh" or not operands:
            return self.buffer(place, node.type, v)
        first, *others = (self.buffers[b].storage for b in operands)
        target = self.buffer(place, node.type, v, operands[0])
        if alias == "may" and others:
            # the result may lie in any operand's bytes: none of them may be written or given back any more
            self.protected.update((first, *others))
            self.kept.update((first, *others))
        return target

    def reusable(self, v: int, node: Node, operands: Sequence[int]) -> int | None:
        """The position of an operand that is dead after `v`, of the result's type, alone in its storage."""
        if not find_op(node.op).elementwise:
            return None
        for k, (o, b) in enumerate(zip(node.operands, operands, strict=True)):
            storage = self.buffers[b].storage
            if (
                self.types[o] == node.type
                and self.remaining[o] == 1
                and storage not in self.protected
                and len(self.group[storage]) == 1
            ):
                return k
        return None

    # --------------------------------------------------------------------------------------------------- crossings
    def hand_over(self, v: int, k: int, o: int, queue: Queue) -> int:
        """The buffer in which operand `k` of user `v`, the value `o`, is handed to `queue`."""
        place = queue[0]
        source = self.home[o]
        at = self.buffers[source].place
        shaped = self.shaped(v, k)
        if at == place:
            return self.arrange(v, k, o, source) if place == HOST and shaped else source
        transfer = str(self.choose("transfer", "blocking", v, k))
        overwrite = ("overwrite", (v, k)) in self.choices
        plain = transfer == "blocking" and not shaped and not overwrite
        if plain and (o, place) in self.copies:
            return self.copies[o, place]
        if at != HOST and place != HOST and self.are_peers(at, place):
            b = self.peer_copy(o, source, queue, transfer)
        else:
            b = source if at == HOST else self.download(o, source, transfer)
            if place == HOST:
                b = self.arrange(v, k, o, b) if shaped else b
            else:
                private = shaped or overwrite
                b = self.upload(o, self.arrange(v, k, o, b) if private else b, queue, transfer, overwrite)
        if plain:
            self.copies[o, place] = b
        return b

    def shaped(self, v: int, k: int) -> bool:
        """Whether the operand is handed over in a host array of a particular form."""
        c = self.choices
        return ("layout", (v, k)) in c or ("alignment", (v, k)) in c or ("readonly", (v, k)) in c

    def arrange(self, v: int, k: int, o: int, source: int) -> int:
        layout = str(self.choose("layout", "contiguous", v, k))
        alignment = 1 if ("alignment", (v, k)) in self.choices else 64
        readonly = ("readonly", (v, k)) in self.choices
        target = self.buffer(HOST, self.types[o], o)
        if readonly or layout == "broadcast":
            self.protected.add(self.buffers[target].storage)
        self.arranged[target] = s.Arrange(source, target, layout, alignment, readonly)
        self.issue(HOST_QUEUE, self.arranged[target], [source], target, True)
        return target

    def upload(self, o: int, source: int, queue: Queue, transfer: str, overwrite: bool) -> int:
        features = self.places[queue[0]].features
        blocking = transfer == "blocking" or "async" not in features.transfers
        free = features.free_after("blocking" if blocking else "async")
        shares = free in ("last use", "never")
        target = self.buffer(queue[0], self.types[o], o, source if shares else None)
        if shares:
            self.protected.add(self.buffers[target].storage)
            self.kept.add(self.buffers[target].storage)
        self.issue(queue, s.Upload(*queue, source, target, blocking, free), [source], target, blocking)
        form = self.arranged.get(source)
        if form is not None and form.layout == "broadcast":
            self.protected.add(self.buffers[target].storage)
        self.owner.setdefault(self.buffers[target].storage, (target, queue))
        if overwrite and not shares and form is not None and not form.readonly:
            self.overwrite(source, queue, blocking, free)
        return target

    def overwrite(self, source: int, queue: Queue, blocking: bool, free: str) -> None:
        """Overwrite a private host source as soon as the device's promise makes that lawful."""
        if free == "completion" and not blocking and self.host_saw.get(queue, 0) < self.issued[queue]:
            event = self.events
            self.events += 1
            self.commands.append(s.Record(*queue, event))
            self.commands.append(s.SynchronizeEvent(queue[0], event))
        self.commands.append(s.Overwrite(source))

    def download(self, o: int, source: int, transfer: str) -> int:
        if transfer == "blocking" and (o, HOST) in self.copies:
            return self.copies[o, HOST]
        queue = self.queue_of(source)
        blocking = transfer == "blocking" or "async" not in self.places[queue[0]].features.transfers
        target = self.buffer(HOST, self.types[o], o)
        self.issue(queue, s.Download(*queue, source, target, blocking), [source], target, blocking)
        if transfer == "blocking":
            self.copies[o, HOST] = target
        return target

    def queue_of(self, buffer: int) -> Queue:
        """The queue on which a device buffer was last written."""
        queue, _ = self.ready[buffer]
        return queue if queue != HOST_QUEUE else (self.buffers[buffer].place, 0)

    def peer_copy(self, o: int, source: int, queue: Queue, transfer: str) -> int:
        place = queue[0]
        blocking = transfer == "blocking" or "async" not in self.places[place].features.transfers
        target = self.buffer(place, self.types[o], o)
        copy = s.Copy(*queue, self.buffers[source].place, source, target, blocking)
        self.issue(queue, copy, [source], target, blocking)
        self.owner.setdefault(self.buffers[target].storage, (target, queue))
        return target

    def result(self, k: int, v: int) -> int:
        source = self.home[v]
        if self.buffers[source].place == HOST:
            return source
        return self.download(v, source, str(self.choose("transfer", "blocking", self.program.returns, k)))

    def read_back(self, v: int, source: int) -> None:
        """Keep the result of `v` for the local judge, by a copy on the host or a blocking download."""
        target = self.buffer(HOST, self.types[v], v)
        if self.buffers[source].place == HOST:
            self.issue(HOST_QUEUE, s.Arrange(source, target, "contiguous", 64, False), [source], target, True)
        else:
            queue = self.queue_of(source)
            self.issue(queue, s.Download(*queue, source, target, True), [source], target, True)
        self.probes.append((v, target))

    # ------------------------------------------------------------------------------------------------------ release
    def use_up(self, o: int) -> None:
        """Count a use of value `o`; after the last, give its device memory back."""
        self.remaining[o] -= 1
        if self.remaining[o]:
            return
        for b in self.holders[o]:
            storage = self.buffers[b].storage
            place = self.buffers[b].place
            if place == HOST or not self.places[place].features.release or storage in self.kept:
                continue
            members = self.group[storage]
            if storage in self.owner and all(not self.remaining.get(self.value_of[m], 0) for m in members) and members:
                self.release(storage, members)

    def release(self, storage: int, members: Sequence[int]) -> None:
        owner, queue = self.owner[storage]
        self.order_after_uses(queue, members)
        done = self.places[queue[0]].features.streams == 0  # as every call there: it has no synchronize to wait with
        self.issue(queue, s.Release(*queue, owner), [], None, done)
        self.group[storage] = []
