"""The state of a lowering: buffers and storages, what was issued where, and the order that a command needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from offload_fuzz import schedule as s
from offload_fuzz.device import Place, are_peers
from offload_fuzz.plan import Plan, Site
from offload_fuzz.program import Program
from offload_fuzz.schedule import HOST, Buffer
from offload_fuzz.tables import tables_of

Queue: TypeAlias = tuple[int, int]
Position: TypeAlias = tuple[Queue, int]
HOST_QUEUE: Queue = (HOST, 0)
DONE: Position = (HOST_QUEUE, 0)
NONE: dict[Any, Any] = {}


class Lowering:
    """What has been lowered of a plan so far, and what is left."""

    __slots__ = (
        "arranged", "buffers", "commands", "copies", "delay", "early", "events", "full", "group", "holders", "home",
        "host_saw", "index", "instant", "issued", "kept", "late", "nbytes", "owner", "plan", "probe", "probes",
        "program", "protected", "ready", "recorded", "releases", "remaining", "roles", "saw", "sites", "storages",
        "tables", "types", "used", "value_of",
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
        self.early = schedule.get("sync") == "early-event"
        self.index: dict[Position, int] = {}  # where in `commands` what follows a position begins, if events are early
        self.recorded: list[tuple[int, s.Record]] = []  # events recorded there
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
        self.late: dict[tuple[int, int], list[int]] = {}  # (value, place) -> host sources still to be overwritten
        self.delay = ""  # before what of the node that is being issued its streams are delayed

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
        if self.early:
            self.index[queue, at] = len(self.commands)
        for b in reads:
            self.used.setdefault(b, {})[queue] = at
        for b in writes:
            self.ready[b] = (queue, at)
            self.used.setdefault(b, {})[queue] = at
        if blocking:
            self.host_saw[queue] = at
        elif self.full:
            self.synchronize(queue)

    def put_off(self, queue: Queue, what: str) -> None:
        """Delay the queue where the plan has it before such a command, and its device can."""
        if self.delay == what and self.roles[queue[0]].delay:
            self.commands.append(s.Delay(*queue))

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
            if self.early:
                self.recorded.append((self.index[after], s.Record(*other, self.events)))
                self.saw[queue, other] = n
            else:
                self.put_off(other, "event")
                self.commands.append(s.Record(*other, self.events))
                self.saw[queue, other] = self.issued.get(other, 0)
            self.commands.append(s.Wait(*queue, self.events))
            self.events += 1
        else:
            self.synchronize(other)

    def in_order(self) -> tuple[s.Command, ...]:
        """The commands, with the events that are recorded early where they belong."""
        if not self.early:
            return tuple(self.commands)
        found: list[s.Command] = []
        start = 0
        for index, record in sorted(self.recorded, key=lambda pair: pair[0]):
            found += self.commands[start:index]
            found.append(record)
            start = index
        return (*found, *self.commands[start:])

    def order_after_uses(self, queue: Queue, buffers: Sequence[int]) -> None:
        """Before a write by `queue`: come after every access to these buffers."""
        for b in buffers:
            for position in list(self.used.get(b, NONE).items()):
                self.order(queue, position)

    def are_peers(self, p: int, q: int) -> bool:
        return are_peers(self.roles[p].peers, self.roles[q].peers)

    # ------------------------------------------------------------------------------------------------------ release
    def use_up(self, o: int) -> None:
        """Count a use of value `o`; after the last, give its device memory back."""
        self.remaining[o] -= 1
        if self.remaining[o]:
            return
        if "lifetime" in self.sites.get((o,), NONE):
            self.drop(o)
        if not self.releases:
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

    def drop(self, o: int) -> None:
        """Let go of the buffer in which value `o` was made; where memory is given back, only if a view has it still."""
        b = self.home.get(o)
        if b is None or not self.roles[self.buffers[b].place].drop:
            return
        role, storage = self.roles[self.buffers[b].place], self.buffers[b].storage
        if role.release and storage not in self.kept:
            alive = [m for m in self.group[storage] if self.remaining[self.value_of[m]]]
            if not alive or storage not in self.owner:
                return
            self.owner[storage] = (alive[0], self.owner[storage][1])
        self.commands.append(s.Drop(b))
