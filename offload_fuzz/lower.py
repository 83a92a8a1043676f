"""Lowering: a program and a plan become a schedule, from what each device promises.

Lowering adds the events and synchronisation that the plan's order and streams make necessary, no more under
`sync: minimal`, one per command under `sync: full`. A choice that a device's features do not allow, or that has no
meaning where it is made (a layout for an operand that never passes the host), is lowered as the plain one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from offload_fuzz import schedule as s
from offload_fuzz.device import Place, are_peers
from offload_fuzz.issuing import regions
from offload_fuzz.plan import Plan, Site
from offload_fuzz.program import Node, Program
from offload_fuzz.schedule import HOST, Buffer
from offload_fuzz.tables import tables_of
from offload_fuzz.types import ArrayType

Queue: TypeAlias = tuple[int, int]
Position: TypeAlias = tuple[Queue, int]
HOST_QUEUE: Queue = (HOST, 0)
DONE: Position = (HOST_QUEUE, 0)
NONE: dict[Any, Any] = {}


def shaped(choices: Mapping[str, Any]) -> bool:
    """Whether an operand is handed over in a host array of a particular form."""
    return "layout" in choices or "alignment" in choices or "readonly" in choices


def lower(program: Program, plan: Plan, places: Sequence[Place]) -> s.Schedule:
    """The schedule of `program` under `plan`; `places[0]` is the host, `places[i]` role d(i-1).

    A plan that generation did not make for these places is checked first, with `check_support`.
    """
    return _Lowering(program, plan, places).run()


class _Lowering:
    __slots__ = (
        "arranged", "buffers", "commands", "copies", "events", "full", "group", "holders", "home", "host_saw",
        "instant", "issued",
        "kept", "nbytes", "owner", "plan", "probe", "probes", "program", "protected", "ready", "releases", "remaining",
        "roles", "saw", "sites", "storages", "tables", "types", "used", "value_of",
    )  # fmt: skip  # one table

    def __init__(self, program: Program, plan: Plan, places: Sequence[Place]) -> None:
        self.tables = tables = tables_of(program, tuple(places))
        self.program, self.plan = program, plan
        self.roles, self.releases, self.instant = tables.roles, tables.releases, tables.instant
        self.sites: dict[Site, dict[str, Any]] = {}  # the choices, by where they are made
        for (name, site), choice in plan.choices.items():
            self.sites.setdefault(site, {})[name] = choice
        schedule = self.sites.get((), NONE)
        self.probe = "readback" in schedule
        self.full = "sync" not in schedule
        self.types, self.nbytes = program.types, program.nbytes
        self.commands: list[s.Command] = []
        self.buffers = tables.inputs.copy()
        inputs = range(len(self.buffers))
        self.storages = len(inputs)
        self.events = 0
        self.issued: dict[Queue, int] = {}  # commands issued on each queue
        self.host_saw: dict[Queue, int] = {}  # how far the host has synchronised with each queue
        self.saw: dict[tuple[Queue, Queue], int] = {}  # how far a queue has waited for another
        self.ready: list[Position] = [DONE for _ in inputs]  # by buffer: where its last write was issued
        self.used: dict[int, dict[Queue, int]] = {}  # buffer -> where its accesses were issued
        self.home = {v: v for v in inputs}  # value -> the buffer that it was made in
        self.copies: dict[tuple[int, int], int] = {}  # (value, place) -> buffer of a plain crossing
        self.group = [[b] for b in inputs]  # by storage: buffers that may share its bytes
        self.owner: dict[int, tuple[int, Queue]] = {}  # storage -> (buffer, queue) that allocated it
        self.holders: dict[int, list[int]] = {}  # value -> buffers that hold it, if a place takes memory back
        self.value_of = self.home.copy()  # buffer -> the value that it holds, likewise
        self.protected = set(inputs)  # storages that must not be written: inputs, read-only, stride 0
        self.kept: set[int] = set()  # storages that must not be given back: shared with the host, or perhaps aliased
        self.arranged: dict[int, s.Arrange] = {}  # host buffer -> the command that laid it out
        self.remaining = tables.uses.copy()
        self.probes: list[tuple[int, int]] = []

    # ------------------------------------------------------------------------------------------------ bookkeeping
    def buffer(self, place: int, value: int, like: int | None = None) -> int:
        """A new buffer that holds `value`, in a new storage or in the bytes of buffer `like`."""
        number = len(self.buffers)
        if like is None:
            storage, stop = self.storages, self.nbytes[value]
            self.storages += 1
            self.group.append([number])
        else:
            storage, stop = self.buffers[like].storage, self.buffers[like].stop
            self.group[storage].append(number)
        self.buffers.append(Buffer(place, self.types[value], storage, 0, stop))
        self.ready.append(DONE)
        if self.releases:
            self.holders.setdefault(value, []).append(number)
            self.value_of[number] = value
        return number

    def issue(
        self, queue: Queue, command: s.Command, reads: Sequence[int], writes: Sequence[int], blocking: bool
    ) -> None:
        """Append a command, ordering it after what it touches, unless that was done when its call returned."""
        if self.instant:
            self.commands.append(command)
            return
        for b in reads:
            if self.ready[b] is not DONE:
                self.order(queue, self.ready[b])
        self.commands.append(command)
        if queue[0] == HOST or self.roles[queue[0]].instant:
            return
        at = self.issued[queue] = self.issued.get(queue, 0) + 1
        for b in reads:
            self.used.setdefault(b, {})[queue] = at
        for b in writes:
            self.ready[b] = (queue, at)
            self.used.setdefault(b, {})[queue] = at
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
            for position in list(self.used.get(b, NONE).items()):
                self.order(queue, position)

    def are_peers(self, p: int, q: int) -> bool:
        return are_peers(self.roles[p].peers, self.roles[q].peers)

    # ---------------------------------------------------------------------------------------------------- lowering
    def run(self) -> s.Schedule:
        program = self.program
        first = len(program.inputs)
        compiled = []
        for group in regions(program, self.plan, self.tables.places):
            if len(group) == 1:
                self.node(group[0], group[0] - first)
            else:
                compiled.append(group)
                self.region(group, first)
        results = [self.result(k, v) for k, v in enumerate(program.outputs)]
        for b in results:
            self.order(HOST_QUEUE, self.ready[b])
        for position in list(self.issued.items()):
            self.order(HOST_QUEUE, position)
        return s.Schedule(
            tuple(self.commands),
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
        operands = [self.hand_over(v, k, o, queue) for k, o in enumerate(node.operands)]
        in_place = None
        if "reuse" in choices and node.op in role.in_place and self.tables.elementwise[at]:
            in_place = self.reusable(node, operands, node.type)
        donated = None
        if in_place is None and "donate" in choices and node.op in role.donate:
            donated = self.given_away(node, role.alias_of(node.op), operands)
        target = self.target(v, node, place, operands, in_place, donated)
        for k in (in_place, donated):
            if k is not None:
                self.order_after_uses(queue, [operands[k]])
        blocking = role.streams == 0
        storage = self.buffers[target].storage
        view = in_place is None and storage in [self.buffers[b].storage for b in operands]
        launch = s.Launch(
            place, queue[1], v, node.op, tuple(operands), node.attributes, target, in_place, blocking, view, donated
        )
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

    def region(self, group: tuple[int, ...], first: int) -> None:
        """Issue the nodes that make the values of `group` as one command."""
        nodes = [self.program.nodes[v - first] for v in group]
        choices = self.sites[group[0],]
        place = choices["device"]
        role = self.roles[place]
        queue = role.queues[min(choices.get("stream", 0), len(role.queues) - 1)]
        operands: dict[int, int] = {}  # buffer -> its number
        numbers = [
            [-1 if o in group else operands.setdefault(self.hand_over(v, k, o, queue), len(operands))
             for k, o in enumerate(node.operands)]
            for v, node in zip(group, nodes, strict=True)
        ]  # fmt: skip  # what each node is given
        made = {v: len(operands) + j for j, v in enumerate(group)}
        inside = Counter(o for node in nodes for o in node.operands if o in made)
        kept = [v for v in group if self.tables.uses[v] > inside[v]] or [group[-1]]
        targets = [self.buffer(place, v) for v in kept]
        if any(self.roles[place].alias_of(node.op) != "fresh" for node in nodes):
            # a region that only moves data may give an operand back: nothing of it may be written any more
            storages = [self.buffers[b].storage for b in (*operands, *targets)]
            self.protected.update(storages)
            self.kept.update(storages)
        steps = tuple(
            (node.op, tuple(made.get(o, n) for n, o in zip(given, node.operands, strict=True)),
             node.attributes)
            for node, given in zip(nodes, numbers, strict=True)
        )  # fmt: skip  # one tuple a node
        blocking = role.streams == 0
        command = s.LaunchCompiled(
            place, queue[1], group, steps, tuple(operands), tuple(made[v] for v in kept), tuple(targets), blocking
        )
        self.issue(queue, command, list(operands), targets, blocking)
        for v, target in zip(kept, targets, strict=True):
            self.owner.setdefault(self.buffers[target].storage, (target, queue))
            self.home[v] = target
        for node in nodes:
            for o in node.operands:
                self.use_up(o)
        for v in group:
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

    # --------------------------------------------------------------------------------------------------- crossings
    def hand_over(self, v: int, k: int, o: int, queue: Queue) -> int:
        """The buffer in which operand `k` of user `v`, the value `o`, is handed to `queue`."""
        place = queue[0]
        source = self.home[o]
        at = self.buffers[source].place
        choices = self.sites.get((v, k), NONE)
        if at == place:
            return self.arrange(o, source, choices) if place == HOST and shaped(choices) else source
        transfer = choices.get("transfer", "blocking")
        private = "overwrite" in choices or shaped(choices)
        plain = transfer == "blocking" and not private
        if plain and (o, place) in self.copies:
            return self.copies[o, place]
        if at != HOST and place != HOST and self.are_peers(at, place):
            b = self.peer_copy(o, source, queue, transfer)
        else:
            b = source if at == HOST else self.download(o, source, transfer)
            if place == HOST:
                b = self.arrange(o, b, choices) if shaped(choices) else b
            else:
                source = self.arrange(o, b, choices) if private else b
                b = self.upload(o, source, queue, transfer, "overwrite" in choices)
        if plain:
            self.copies[o, place] = b
        return b

    def arrange(self, o: int, source: int, choices: Mapping[str, Any]) -> int:
        """A host array of value `o` in the form that `choices` give."""
        layout = choices.get("layout", "contiguous")
        readonly = "readonly" in choices
        target = self.buffer(HOST, o)
        if readonly or layout == "broadcast":
            self.protected.add(self.buffers[target].storage)
        command = s.Arrange(source, target, layout, 1 if "alignment" in choices else 64, readonly)
        self.arranged[target] = command
        self.issue(HOST_QUEUE, command, [source], [target], True)
        return target

    def upload(self, o: int, source: int, queue: Queue, transfer: str, overwrite: bool) -> int:
        role = self.roles[queue[0]]
        blocking = transfer != "async" or not role.asynchronous
        share = transfer == "shared" and role.shared is not None
        free = role.shared if share and role.shared is not None else role.free[blocking]
        shares = free in ("last use", "never")
        target = self.buffer(queue[0], o, source if shares else None)
        storage = self.buffers[target].storage
        if shares:
            self.protected.add(storage)
            self.kept.add(storage)
        self.issue(queue, s.Upload(*queue, source, target, blocking, free, share), [source], [target], blocking)
        form = self.arranged.get(source)
        if form is not None and form.layout == "broadcast":
            self.protected.add(storage)
        self.owner.setdefault(storage, (target, queue))
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
        if transfer != "async" and (o, HOST) in self.copies:
            return self.copies[o, HOST]
        queue = self.queue_of(source)
        blocking = transfer != "async" or not self.roles[queue[0]].asynchronous
        target = self.buffer(HOST, o)
        self.issue(queue, s.Download(*queue, source, target, blocking), [source], [target], blocking)
        if transfer != "async":
            self.copies[o, HOST] = target
        return target

    def queue_of(self, buffer: int) -> Queue:
        """The queue on which a device buffer was last written."""
        at = self.ready[buffer]
        return at[0] if at is not DONE else (self.buffers[buffer].place, 0)

    def peer_copy(self, o: int, source: int, queue: Queue, transfer: str) -> int:
        blocking = transfer != "async" or not self.roles[queue[0]].asynchronous
        target = self.buffer(queue[0], o)
        copy = s.Copy(*queue, self.buffers[source].place, source, target, blocking)
        self.issue(queue, copy, [source], [target], blocking)
        self.owner.setdefault(self.buffers[target].storage, (target, queue))
        return target

    def result(self, k: int, v: int) -> int:
        source = self.home[v]
        if self.buffers[source].place == HOST:
            return source
        return self.download(v, source, self.sites.get((self.program.returns, k), NONE).get("transfer", "blocking"))

    def read_back(self, v: int, source: int) -> None:
        """Keep the result of `v` for the local judge, by a copy on the host or a blocking download."""
        target = self.buffer(HOST, v)
        if self.buffers[source].place == HOST:
            self.issue(HOST_QUEUE, s.Arrange(source, target, "contiguous", 64, False), [source], [target], True)
        else:
            queue = self.queue_of(source)
            self.issue(queue, s.Download(*queue, source, target, True), [source], [target], True)
        self.probes.append((v, target))

    # ------------------------------------------------------------------------------------------------------ release
    def use_up(self, o: int) -> None:
        """Count a use of value `o`; after the last, give its device memory back."""
        self.remaining[o] -= 1
        if self.remaining[o] or not self.releases:
            return
        for b in self.holders.get(o, ()):
            storage = self.buffers[b].storage
            place = self.buffers[b].place
            if place == HOST or not self.roles[place].release or storage in self.kept:
                continue
            members = self.group[storage]
            if members and storage in self.owner and not any(self.remaining[self.value_of[m]] for m in members):
                self.release(storage, members)

    def release(self, storage: int, members: Sequence[int]) -> None:
        owner, queue = self.owner[storage]
        self.order_after_uses(queue, members)
        done = self.roles[queue[0]].streams == 0  # as every call there: it has no synchronize to wait with
        self.issue(queue, s.Release(*queue, owner), [], [], done)
        self.group[storage] = []
