"""Proves a schedule race-free before it runs: vector clocks over host, queues and events, on the bytes of storages.

A thread is the host or a queue. `clock[t] > i` says that what command `i` did on thread `t` is known to be done. All
order follows issue order (a wait names an event recorded before), so one pass in issue order sees every pair.

An alias (a view, or an upload that shares its source's storage) writes no byte, but is there only once it is made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import pairwise
from operator import attrgetter
from typing import Any, NamedTuple, TypeAlias

from attrs import frozen

from offload_fuzz import schedule as s
from offload_fuzz.errors import InternalError
from offload_fuzz.schedule import HOST, Schedule
from offload_fuzz.sequential import is_sequential

Numbers: TypeAlias = tuple[int, ...]  # of buffers
Extent: TypeAlias = tuple[int, int, int]  # storage, start, stop
Queue: TypeAlias = tuple[int, int]  # place, stream
ON_HOST = (HOST, 0)
FOREVER = 1  # the thread of whoever was handed bytes for good (source_free "never"): nobody can wait for it
SHARED = ("last use", "never")  # when a source is free, if the target may share its storage
UNWRITTEN, VALID, RELEASED, OVERWRITTEN = "unwritten", "valid", "released", "overwritten"

SHOULD = {
    "race": "should be ordered after {first}",
    "kept": "should be left as they are after {first}, which handed them over for good",
    "unwritten": "should be written by an earlier command",
    "released": "should be left alone after {first} until a new buffer takes them",
    "overwritten": "should no longer be needed after {first}",
    "dropped": "should be used no more after {first}",
    "redefined": "should be a new buffer, as an alias is",
    "unrecorded": "should be recorded by an earlier command",
    "recorded twice": "should be recorded once, as {first} did",
}


@frozen
class Violation:
    """Why a schedule is not lawful; `message` says it in words."""

    rule: str  # a key of `SHOULD`
    first: int | None  # index of the earlier command; None if there is none, or for the host's writing of the inputs
    second: int  # index of the later command; the number of commands for the host's reading of the results
    storage: int | None  # None for events
    message: str


class Shape(NamedTuple):
    """All that a proof looks at. commands: (kind, fields by `COMMANDS`); extents: of buffers."""

    commands: tuple[tuple[type, tuple[Any, ...]], ...]
    extents: tuple[Extent, ...]
    inputs: Numbers
    results: Numbers


class _Found(Exception):
    """The first violation: (rule, index of the earlier command or -1, storage, what is done)."""


def _cut(extents: Sequence[Extent]) -> tuple[list[Extent], list[Numbers]]:
    """Spans, bytes that belong to the same buffers, and the numbers of each buffer's.

    A storage is cut wherever a buffer starts or stops. Most have buffers of one extent only, which need not be cut.
    """
    whole: dict[int, Extent] = {}
    ends: dict[int, set[int]] = {}
    for extent in extents:
        storage, start, stop = extent
        if whole.setdefault(storage, extent) != extent:
            ends.setdefault(storage, set(whole[storage][1:])).update((start, stop))
    spans = [extent for storage, extent in whole.items() if storage not in ends]
    numbers: dict[Extent, Numbers] = {extent: (n,) if extent[1] < extent[2] else () for n, extent in enumerate(spans)}
    at: dict[int, list[int]] = {}
    for storage, found in ends.items():
        pieces = list(pairwise(sorted(found)))
        at[storage] = list(range(len(spans), len(spans) + len(pieces)))
        spans.extend((storage, *piece) for piece in pieces)
    for extent in extents if ends else ():
        storage, start, stop = extent
        if extent not in numbers:
            numbers[extent] = tuple(n for n in at[storage] if start <= spans[n][1] < stop)
    return spans, [numbers[extent] for extent in extents]


class _Proof:
    """The clocks and the history of every byte, and who acts now: `thread`, by `clock`, in command `index`.

    writer, written, state, readers: by span, who wrote it last, in which command, what it became, and each thread's
    last read after that. news: how often the host learnt of a queue; one that has heard all of it has only to learn how
    far the host itself is.
    """

    __slots__ = (
        "aliases", "clock", "dropped", "events", "extents", "heard", "host", "index", "known", "news", "queues",
        "readers", "spans", "spans_of", "state", "thread", "writer", "written",
    )  # fmt: skip  # one table

    def __init__(self, shape: Shape) -> None:
        queues = {ON_HOST, *[fields[:2] for kind, fields in shape.commands if kind in QUEUED]}
        self.host = host = [0] * (len(queues) + 2)
        self.queues = {q: (n, host[:]) if q[0] != HOST else (HOST, host) for n, q in enumerate(queues, FOREVER + 1)}
        self.news, self.heard = 0, host[:]
        self.events: dict[int, tuple[int, list[int]]] = {}
        self.extents = shape.extents
        self.spans, self.spans_of = _cut(shape.extents)
        count = len(self.spans)
        self.writer, self.written, self.state = [HOST] * count, [-1] * count, [UNWRITTEN] * count
        self.readers: list[dict[int, int]] = [{} for _ in range(count)]
        self.known: set[int] = set()  # buffers that were accessed
        self.aliases: dict[int, tuple[int, int]] = {}  # buffer: thread and command that made it
        self.dropped: dict[int, int] = {}  # buffer: command by which the host let go of it
        self.index = -1
        self.act(ON_HOST)
        for number in shape.inputs:
            self.write(number, VALID)

    def act(self, queue: Queue) -> None:
        """The command runs now on the host, or is put on this queue, after what the host knows to be done."""
        self.thread, self.clock = thread, clock = self.queues[queue]
        if thread != HOST:
            if self.heard[thread] == self.news:
                clock[HOST] = self.host[HOST]
            else:
                self.join(clock, self.host)
                self.heard[thread] = self.news
        clock[thread] = self.index + 1

    def join(self, clock: list[int], other: list[int]) -> None:
        """Whoever has `clock` knows from now on what is known by `other`."""
        for thread, time in enumerate(other):
            if time > clock[thread]:
                clock[thread] = time
        if clock is self.host:
            self.news += 1

    def access(
        self,
        queue: Queue,
        read: Numbers,
        target: int,
        state: str,
        block: bool = False,
        free: str = "",
        donated: int | None = None,
    ) -> None:
        """Read, write and, if it blocks, let the host wait. free: when a source may be written, as `Upload` has it.

        donated: a buffer among `read` that is given away, and so released in the end.
        """
        if free == "return":
            self.act(ON_HOST)
            for number in read:
                self.read(number, HOST)
            self.act(queue)
        else:
            self.act(queue)
            for number in read:
                self.read(number, self.thread)
        alias = free in SHARED and self.extents[target][0] in [self.extents[number][0] for number in read]
        if state == VALID and (target in self.aliases or (alias and target in self.known)):
            raise _Found("redefined", -1, self.extents[target][0], f"buffer {target} is made again")
        if alias:
            self.aliases[target] = (self.thread, self.index)
        else:
            self.write(target, state)
        if free == "never":
            self.read(read[0], FOREVER)
        if donated is not None:
            self.write(donated, RELEASED)
        if block:
            self.block()

    def compiled(self, place: int, stream: int, read: Numbers, targets: Numbers, block: bool) -> None:
        """Read all operands, then write every result, each into bytes of its own."""
        self.act((place, stream))
        for number in read:
            self.read(number, self.thread)
        for number in targets:
            again = any(self.written[span] == self.index for span in self.spans_of[number])
            if number in self.aliases or again:
                raise _Found("redefined", -1, self.extents[number][0], f"buffer {number} is made again")
            self.write(number, VALID)
        if block:
            self.block()

    def block(self) -> None:
        """The host waits for the command, whose clock joined the host's when it was issued."""
        if self.thread != HOST:
            self.host[:] = self.clock
            self.news += 1
            self.heard[self.thread] = self.news

    def record(self, place: int, stream: int, event: int) -> None:
        self.act((place, stream))
        if event in self.events:
            raise _Found("recorded twice", self.events[event][0], None, f"event {event} is recorded")
        self.events[event] = (self.index, self.clock[:])

    def wait(self, place: int, stream: int, event: int) -> None:
        self.act((place, stream))
        if event not in self.events:
            raise _Found("unrecorded", -1, None, f"event {event} is waited for")
        self.join(self.clock, self.events[event][1])

    def synchronize(self, place: int, stream: int) -> None:
        self.join(self.host, self.queues[place, stream][1])

    def use(self, number: int) -> None:
        """A buffer must be there if it is an alias, and the host must not have let go of it."""
        if number in self.dropped:
            raise _Found("dropped", self.dropped[number], self.extents[number][0], f"buffer {number} is used")
        if number in self.aliases:
            thread, index = self.aliases[number]
            if self.clock[thread] <= index:
                raise _Found("race", index, self.extents[number][0], f"buffer {number} is used")
        self.known.add(number)

    def found(self, rule: str, first: int, span: int, what: str) -> _Found:
        storage, start, stop = self.spans[span]
        return _Found(rule, first, storage, f"bytes [{start}, {stop}) are {what}")

    def read(self, number: int, thread: int) -> None:
        """Every byte must be written before, and valid."""
        self.use(number)
        for span in self.spans_of[number]:
            if self.clock[self.writer[span]] <= self.written[span]:
                raise self.found("race", self.written[span], span, "read")
            if self.state[span] != VALID:
                raise self.found(self.state[span], self.written[span], span, "read")
            self.readers[span][thread] = self.index

    def write(self, number: int, state: str) -> None:
        """Every earlier access must be over, and what was released may only be taken by a new buffer."""
        new, clock = state == VALID and number not in self.known, self.clock
        self.use(number)
        for span in self.spans_of[number]:
            if clock[self.writer[span]] <= self.written[span]:
                raise self.found("race", self.written[span], span, "written")
            if self.readers[span]:
                for reader, index in self.readers[span].items():
                    if clock[reader] <= index:
                        raise self.found("kept" if reader == FOREVER else "race", index, span, "written")
                self.readers[span] = {}
            if self.state[span] == RELEASED and not new:
                raise self.found("released", self.written[span], span, "written")
            self.writer[span], self.written[span], self.state[span] = self.thread, self.index, state


def _arrange(p: _Proof, source: int, target: int) -> None:
    p.access(ON_HOST, (source,), target, VALID)


def _drop(p: _Proof, buffer: int) -> None:
    p.act(ON_HOST)
    if buffer in p.dropped:
        raise _Found("dropped", p.dropped[buffer], p.extents[buffer][0], f"buffer {buffer} is let go of")
    p.dropped[buffer] = p.index


def _overwrite(p: _Proof, buffer: int) -> None:
    p.access(ON_HOST, (), buffer, OVERWRITTEN)


def _upload(p: _Proof, place: int, stream: int, source: int, target: int, blocking: bool, free: str) -> None:
    p.access((place, stream), (source,), target, VALID, blocking, free)


def _transfer(p: _Proof, place: int, stream: int, source: int, target: int, blocking: bool) -> None:
    p.access((place, stream), (source,), target, VALID, blocking)


def _download(p: _Proof, place: int, stream: int, source: int, target: int, blocking: bool, share: bool) -> None:
    p.access((place, stream), (source,), target, VALID, blocking, "last use" if share else "")


def _launch(
    p: _Proof, place: int, stream: int, operands: Numbers, target: int, blocking: bool, view: bool, donated: int | None
) -> None:
    given = None if donated is None else operands[donated]
    p.access((place, stream), operands, target, VALID, blocking, "last use" if view else "", given)


def _release(p: _Proof, place: int, stream: int, buffer: int) -> None:
    p.access((place, stream), (), buffer, RELEASED)


def _delay(p: _Proof, place: int, stream: int) -> None:
    p.act((place, stream))


def _synchronize_event(p: _Proof, event: int) -> None:
    p.wait(*ON_HOST, event)


TRANSFER = ("place", "stream", "source", "target", "blocking")
QUEUED: dict[type, tuple[tuple[str, ...], Callable[..., None]]] = {
    s.Upload: ((*TRANSFER, "source_free"), _upload),
    s.Download: ((*TRANSFER, "share"), _download),
    s.Copy: (TRANSFER, _transfer),
    s.Launch: (("place", "stream", "operands", "target", "blocking", "view", "donated"), _launch),
    s.LaunchCompiled: (("place", "stream", "operands", "targets", "blocking"), _Proof.compiled),
    s.Release: (("place", "stream", "buffer"), _release),
    s.Record: (("place", "stream", "event"), _Proof.record),
    s.Wait: (("place", "stream", "event"), _Proof.wait),
    s.Delay: (("place", "stream"), _delay),
    s.Synchronize: (("place", "stream"), _Proof.synchronize),
}
#: kind: (all that a proof may know of a command, what it does); those on a queue name it first, others are the host's.
COMMANDS: dict[type, tuple[tuple[str, ...], Callable[..., None]]] = QUEUED | {
    s.Arrange: (("source", "target"), _arrange),
    s.Drop: (("buffer",), _drop),
    s.Overwrite: (("buffer",), _overwrite),
    s.SynchronizeEvent: (("event",), _synchronize_event),
}


def _reader(names: tuple[str, ...]) -> Callable[[Any], tuple[Any, ...]]:
    """What reads these fields; an `attrgetter` reads several in a quarter of the time that a function takes."""
    return attrgetter(*names) if len(names) > 1 else lambda command: (getattr(command, names[0]),)


FIELDS = {kind: _reader(names) for kind, (names, _) in COMMANDS.items()}
ACTIONS = {kind: action for kind, (_, action) in COMMANDS.items()}


EXTENT = attrgetter("storage", "start", "stop")


def _prove(shape: Shape) -> Violation | None:
    proof = _Proof(shape)
    try:
        for proof.index, (kind, fields) in enumerate(shape.commands):
            ACTIONS[kind](proof, *fields)
        proof.index = len(shape.commands)
        proof.act(ON_HOST)
        for number in shape.results:
            proof.read(number, HOST)
    except _Found as found:
        rule, first, storage, what = found.args
        names = [
            f"command {n} ({kind.__name__} on {_queue(kind, fields)})"
            for n, (kind, fields) in enumerate(shape.commands)
        ]
        names += ["the host, after the last command", "the host, before the first command"]
        where = names[proof.index] + ("" if storage is None else f", storage {storage}")
        message = f"{what} but {SHOULD[rule].format(first=names[first])} [{where}]"
        return Violation(rule, None if first < 0 else first, proof.index, storage, message)
    return None


def _queue(kind: type, fields: tuple[Any, ...]) -> str:
    return f"queue {fields[0]}.{fields[1]}" if kind in QUEUED and fields[0] != HOST else "the host"


def shape_key(schedule: Schedule) -> Shape:
    """What the proof depends on: the same for schedules that differ in ops, attributes, values or layouts only."""
    commands = tuple([(kind := type(c), FIELDS[kind](c)) for c in schedule.commands])
    extents = tuple(map(EXTENT, schedule.buffers))
    inputs = schedule.inputs + schedule.company
    return Shape(commands, extents, inputs, schedule.results + tuple([n for _, n in schedule.probes]))


def prove(schedule: Schedule) -> Violation | None:
    """None if all runs that the rules allow read and write the same, the results and probes at the end included."""
    return _prove(shape_key(schedule))


class Prover:
    """`prove` that remembers the `size` shapes seen last, sequential ones aside, and counts hits and misses."""

    hits = property(lambda self: int(self._proof_of.cache_info().hits))
    misses = property(lambda self: int(self._proof_of.cache_info().misses))

    def __init__(self, size: int = 1024) -> None:
        self._proof_of = lru_cache(size)(_prove)

    def check(self, schedule: Schedule, reprove: bool = False) -> Violation | None:
        """`prove(schedule)`; `reprove` proves even a remembered shape, and raises `InternalError` if that differs."""
        if not reprove and is_sequential(schedule):
            return None
        key = shape_key(schedule)
        violation = self._proof_of(key)
        if reprove and (again := _prove(key)) != violation:
            raise InternalError(f"proof is {again} but should be {violation}, as it was for this shape before")
        return violation
