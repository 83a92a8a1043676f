"""The truth about small schedules, by brute force: every lawful interleaving, run on labelled bytes.

Shares nothing with the checker but the nouns. A schedule is safe iff, whatever the order, each command observes the
same labels on the bytes that it touches (a write observes what it overwrites), no read observes a byte that is
unwritten, released or overwritten for spite, no write takes a released byte unless for a new buffer, and the host
gets to its end. The label of a byte is the command that wrote it last. An alias (a view, or an upload that shares its
source's storage) writes none of the bytes, but a mark of its own, which all that use the alias read.

A state is how far the host and each queue are. As long as all observations agree, each byte's writes come in one
order, so the labels are a function of that state, and a state seen once need not be entered again.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from attrs import define, evolve, field, frozen

from offload_fuzz.schedule import (
    HOST,
    Arrange,
    Copy,
    Download,
    Drop,
    Launch,
    LaunchCompiled,
    Overwrite,
    Record,
    Release,
    Schedule,
    Synchronize,
    SynchronizeEvent,
    Upload,
    Wait,
)

Cell: TypeAlias = tuple[int, int]  # storage, byte
Label: TypeAlias = tuple[str, int]  # "written", "released" or "overwritten", by which command (-1: an input)
Memory: TypeAlias = dict[Cell, Label]


class Unsafe(Exception):
    """Why the schedule is not safe."""


@frozen
class Effect:
    """What happens to memory at one moment: cells are read, then cells of one buffer are labelled."""

    name: tuple[int, str]
    reads: tuple[Cell, ...] = ()
    writes: tuple[Cell, ...] = ()
    label: str = "written"
    touched: tuple[int, ...] = ()  # buffers; the last is the one written, if any
    keeps: bool = False  # the reader may come back for `reads` at any time
    alias: bool = False
    parts: tuple[tuple[int, tuple[Cell, ...]], ...] = ()  # of several buffers written, each with its cells
    given: tuple[Cell, ...] = ()  # of an operand that is given away: labelled "released" in the end


@define
class Step:
    """A command: what the host does when it issues it, and what is left to do on a queue, if any."""

    command: Any
    at_issue: Effect | None = None
    queue: tuple[int, int] | None = None
    later: Effect | None = None
    position: int = 0  # on its queue
    blocking: bool = False
    before: dict[tuple[int, int], int] = field(factory=dict)  # how many steps each queue was given before


class Layout:
    """Which cells each buffer has; those of an alias end with its mark, a cell of a storage of its own."""

    def __init__(self, schedule: Schedule) -> None:
        self.buffers, self.aliases = schedule.buffers, set[int]()
        made: list[tuple[Any, int]] = [
            (c, c.target) for c in schedule.commands if isinstance(c, Arrange | Upload | Download | Copy | Launch)
        ]
        made += [(c, t) for c in schedule.commands if isinstance(c, LaunchCompiled) for t in c.targets]
        for command, target in made:
            if self.may_alias(command) and self.shares(command, target):
                self.aliases.add(target)
        for target in self.aliases:
            if sum(target == other for _, other in made) > 1:
                raise Unsafe(f"alias {target} is made twice")

    def may_alias(self, command: Any) -> bool:
        """Whether the command makes a view, or is a transfer that may share."""
        if isinstance(command, Upload):
            return command.source_free in ("last use", "never")
        if isinstance(command, Download):
            return command.share
        return isinstance(command, Launch) and command.view

    def shares(self, command: Any, target: int) -> bool:
        """Whether a source is of the target's storage."""
        sources = command.operands if isinstance(command, Launch) else (command.source,)
        return any(self.buffers[n].storage == self.buffers[target].storage for n in sources)

    def mark(self, number: int) -> tuple[Cell, ...]:
        return ((-1 - number, 0),) if number in self.aliases else ()

    def own(self, number: int) -> tuple[Cell, ...]:
        b = self.buffers[number]
        return tuple((b.storage, byte) for byte in range(b.start, b.stop))

    def read(self, *numbers: int) -> tuple[Cell, ...]:
        """All that reading these buffers observes."""
        return tuple(dict.fromkeys(cell for number in numbers for cell in self.own(number) + self.mark(number)))


def _effect(layout: Layout, command: Any, index: int) -> Effect | None:
    """All that a command does to memory, as if at one moment."""
    name, number = (index, "run"), getattr(command, "buffer", -1)
    match command:
        case Arrange() | Upload() | Download() | Copy() | Launch():
            sources = command.operands if isinstance(command, Launch) else (command.source,)
            alias = command.target in layout.aliases
            writes = layout.mark(command.target) if alias else layout.own(command.target)
            touched = (*sources, command.target)
            donated = command.donated if isinstance(command, Launch) else None
            given = () if donated is None else layout.own(sources[donated])
            return Effect(name, layout.read(*sources), writes, "written", touched, alias=alias, given=given)
        case LaunchCompiled():
            cells = tuple(cell for number in command.targets for cell in layout.own(number))
            if len(set(cells)) < len(cells):
                raise Unsafe(f"command {index} writes a byte twice")
            touched = (*command.operands, *command.targets)
            parts = tuple((number, layout.own(number)) for number in command.targets)
            return Effect(name, layout.read(*command.operands), cells, "written", touched, parts=parts)
        case Release():
            return Effect(name, layout.mark(number), layout.own(number), "released", (number,))
        case Overwrite():
            return Effect(name, layout.mark(number), layout.own(number), "overwritten", (number,))
    return None


def _step(layout: Layout, command: Any, index: int) -> Step:
    """When the command's effect takes place: at issue, later, or (an upload whose source is free at return) both."""
    effect = _effect(layout, command, index)
    if isinstance(command, Arrange | Overwrite | Drop | SynchronizeEvent | Synchronize) or command.place == HOST:
        return Step(command, at_issue=effect)
    queue, blocking = (command.place, command.stream), bool(getattr(command, "blocking", False))
    if isinstance(command, Upload) and effect is not None:
        if command.source_free == "return":
            early = Effect((index, "issue"), effect.reads, touched=(command.source,))
            late = Effect((index, "run"), writes=effect.writes, touched=(command.target,))
            return Step(command, early, queue, late, blocking=blocking)
        if command.source_free == "never":
            effect = evolve(effect, keeps=True)
    return Step(command, None, queue, effect, blocking=blocking)


class Explorer:
    """Walks all interleavings of one schedule; `explore` raises `Unsafe`."""

    def __init__(self, schedule: Schedule) -> None:
        layout = Layout(schedule)
        self.steps = [_step(layout, command, index) for index, command in enumerate(schedule.commands)]
        last = (*schedule.results, *(buffer for _, buffer in schedule.probes))
        self.steps.append(Step(None, Effect((len(self.steps), "run"), layout.read(*last), touched=last)))
        self.queues: dict[tuple[int, int], list[Step]] = {}
        for step in self.steps:
            step.before = {queue: len(steps) for queue, steps in self.queues.items()}
            if step.queue is not None:
                step.position = step.before.get(step.queue, 0)
                self.queues.setdefault(step.queue, []).append(step)
        self._refuse_dropped()
        self.names = list(self.queues)
        self.records = self._records()
        self.inputs = schedule.inputs + schedule.company
        self.memory: Memory = dict.fromkeys(layout.read(*self.inputs), ("written", -1))
        self.observed: dict[tuple[int, str], tuple[Label | None, ...]] = {}
        self.seen: set[tuple[int, tuple[int, ...]]] = set()

    def _refuse_dropped(self) -> None:
        """No command that is issued after a drop may name the buffer, whatever the queues do."""
        dropped: set[int] = set()
        for index, step in enumerate(self.steps):
            if isinstance(step.command, Drop):
                if step.command.buffer in dropped:
                    raise Unsafe(f"command {index} lets go of a buffer twice")
                dropped.add(step.command.buffer)
            for effect in (step.at_issue, step.later):
                if effect is not None and not dropped.isdisjoint(effect.touched):
                    raise Unsafe(f"command {index} uses a buffer that was let go of")

    def _records(self) -> dict[int, tuple[int, Step]]:
        """Each event's record; a wait for one that is not issued before, or a second record, is unsafe at once."""
        records: dict[int, tuple[int, Step]] = {}
        for index, step in enumerate(self.steps):
            match step.command:
                case Record(event=event):
                    if event in records:
                        raise Unsafe(f"event {event} recorded twice")
                    records[event] = (index, step)
                case Wait(event=event) | SynchronizeEvent(event=event):
                    if event not in records:
                        raise Unsafe(f"event {event} not recorded")
        return records

    def explore(self) -> None:
        """Depth first over all orders of what the host and the queues may do next."""
        start = (0, (0,) * len(self.names))
        todo: list[tuple[int, tuple[int, ...], Memory, frozenset[int], frozenset[Cell]]]
        todo = [(*start, self.memory, frozenset(self.inputs), frozenset())]
        while todo:
            host, done, memory, touched, kept = todo.pop()
            if (host, done) in self.seen:
                continue
            self.seen.add((host, done))
            moves = self._moves(host, done)
            if not moves and (host < len(self.steps) or any(host_done < len(q) for host_done, q in self._left(done))):
                raise Unsafe("deadlock")
            for next_host, next_done, effect in moves:
                if effect is None:
                    todo.append((next_host, next_done, memory, touched, kept))
                else:
                    after = self._run(effect, memory, touched, kept)
                    held = kept.union(effect.reads) if effect.keeps else kept
                    todo.append((next_host, next_done, after, touched.union(effect.touched), held))

    def _left(self, done: tuple[int, ...]) -> list[tuple[int, list[Step]]]:
        return [(count, self.queues[name]) for count, name in zip(done, self.names, strict=True)]

    def _moves(self, host: int, done: tuple[int, ...]) -> list[tuple[int, tuple[int, ...], Effect | None]]:
        """What may happen next: one step of the host, or one of a queue."""
        moves: list[tuple[int, tuple[int, ...], Effect | None]] = []
        if host < len(self.steps) and self._host_may_go(host, done):
            moves.append((host + 1, done, self.steps[host].at_issue))
        issued = self.steps[host].before if host < len(self.steps) else None
        for n, name in enumerate(self.names):
            limit = len(self.queues[name]) if issued is None else issued.get(name, 0)
            if done[n] < limit:
                step = self.queues[name][done[n]]
                if not isinstance(step.command, Wait) or self._happened(step.command.event, host, done):
                    moves.append((host, (*done[:n], done[n] + 1, *done[n + 1 :]), step.later))
        return moves

    def _host_may_go(self, host: int, done: tuple[int, ...]) -> bool:
        """Not while a blocking command runs, nor before what it synchronises with."""
        previous, step = self.steps[host - 1] if host else None, self.steps[host]
        if previous is not None and previous.blocking and not self._ran(previous, done):
            return False
        match step.command:
            case Synchronize(place=place, stream=stream):
                given = step.before.get((place, stream), 0)
                return given == 0 or done[self.names.index((place, stream))] >= given
            case SynchronizeEvent(event=event) | Wait(place=0, event=event):
                return self._happened(event, host, done)
        return True

    def _ran(self, step: Step, done: tuple[int, ...]) -> bool:
        return step.queue is None or done[self.names.index(step.queue)] > step.position

    def _happened(self, event: int, host: int, done: tuple[int, ...]) -> bool:
        index, step = self.records[event]
        return index < host and self._ran(step, done)

    def _run(self, effect: Effect, memory: Memory, touched: frozenset[int], kept: frozenset[Cell]) -> Memory:
        """The memory after the effect; raises `Unsafe` for what it may not observe."""
        labels = tuple([memory.get(cell) for cell in effect.reads + effect.writes])
        if self.observed.setdefault(effect.name, labels) != labels:
            raise Unsafe(f"command {effect.name[0]} observes {labels} or {self.observed[effect.name]}")
        for label in labels[: len(effect.reads)]:
            if label is None or label[0] != "written":
                raise Unsafe(f"command {effect.name[0]} reads a byte that is {label or 'unwritten'}")
        if not kept.isdisjoint((*effect.writes, *effect.given)):
            raise Unsafe(f"command {effect.name[0]} writes what was handed over for good")
        if not effect.writes and not effect.given:
            return memory
        if effect.parts:
            return self._several(effect, memory, touched)
        there = effect.touched[-1] in touched.union(effect.touched[:-1])
        if effect.alias and there:
            raise Unsafe(f"command {effect.name[0]} makes an alias of what is there")
        new = effect.label == "written" and not there
        if not new and any(label is not None and label[0] == "released" for label in labels):
            raise Unsafe(f"command {effect.name[0]} touches a released byte")
        made = dict.fromkeys(effect.writes, (effect.label, effect.name[0]))
        return {**memory, **made, **dict.fromkeys(effect.given, ("released", effect.name[0]))}

    def _several(self, effect: Effect, memory: Memory, touched: frozenset[int]) -> Memory:
        """As `_run`, for a command with several targets, each of which may be new or not."""
        reads = effect.touched[: len(effect.touched) - len(effect.parts)]
        for number, cells in effect.parts:
            there = number in touched.union(reads)
            if there and any(memory.get(cell, ("", 0))[0] == "released" for cell in cells):
                raise Unsafe(f"command {effect.name[0]} touches a released byte")
        return {**memory, **dict.fromkeys(effect.writes, (effect.label, effect.name[0]))}


def unsafe(schedule: Schedule) -> str | None:
    """Why the schedule is not safe, or None if it is."""
    try:
        Explorer(schedule).explore()
    except Unsafe as reason:
        return str(reason)
    return None
