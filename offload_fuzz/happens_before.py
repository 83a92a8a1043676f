"""Proves a schedule race-free before it runs: vector clocks over host, queues and events, on the bytes of storages.

A thread is the host or a queue. `clock[t] > i` says that what command `i` did on thread `t` is known to be done. All
order follows issue order (a wait names an event recorded before), so one pass in issue order sees every pair.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

from attrs import define, evolve, frozen

from offload_fuzz.errors import InternalError
from offload_fuzz.schedule import HOST, Schedule

Numbers: TypeAlias = tuple[int, ...]  # of buffers
Queue: TypeAlias = tuple[int, int]  # place, stream
ON_HOST = (HOST, 0)
FOREVER = 1  # the thread of whoever was handed bytes for good (source_free "never"): nobody can wait for it
VALID, RELEASED, OVERWRITTEN = "valid", "released", "overwritten"

SHOULD = {
    "race": "should be ordered after {first}",
    "kept": "should be left as they are after {first}, which handed them over for good",
    "unwritten": "should be written by an earlier command",
    "released": "should be left alone after {first} until a new buffer takes them",
    "overwritten": "should no longer be needed after {first}",
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
    """All that a proof looks at. commands: (kind, fields by `COMMANDS`); extents: (storage, start, stop) of buffers."""

    commands: tuple[tuple[str, tuple[Any, ...]], ...]
    extents: tuple[tuple[int, int, int], ...]
    inputs: Numbers
    results: Numbers


class _Found(Exception):
    """The first violation: (rule, index of the earlier command or -1, storage, what is done)."""


NOTHING = -1  # the target of a launch that makes a view: it writes no byte


@define(eq=False)
class _Span:
    """Bytes [start, stop) of a storage with one history: the last write, and each thread's last read after it."""

    start: int
    stop: int
    thread: int
    index: int
    state: str
    readers: dict[int, int]

    def __str__(self) -> str:
        return f"bytes [{self.start}, {self.stop})"


def _cut(spans: list[_Span], at: int) -> int:
    """Split the span around byte `at`; the position of the first span that starts there or later."""
    position = bisect_left(spans, at, key=lambda span: span.start)
    if position and spans[position - 1].stop > at:
        spans.insert(position, evolve(spans[position - 1], start=at, readers=dict(spans[position - 1].readers)))
        spans[position - 1].stop = at
    return position


def _join(clock: list[int], other: list[int]) -> None:
    for thread, time in enumerate(other):
        if time > clock[thread]:
            clock[thread] = time


class _Proof:
    """The clocks and the history of every byte, and who acts now: `thread`, by `clock`, in command `index`."""

    def __init__(self, shape: Shape) -> None:
        queues = {ON_HOST, *(fields[0] for _, fields in shape.commands)}
        self.host = host = [0] * (len(queues) + 2)
        self.queues = {q: (n, host[:]) if q[0] != HOST else (HOST, host) for n, q in enumerate(queues, FOREVER + 1)}
        self.events: dict[int, tuple[int, list[int]]] = {}
        self.extents = shape.extents
        self.spans: dict[int, list[_Span]] = {}
        self.known: set[int] = set()  # buffers that were accessed
        self.index = -1
        self.act(ON_HOST)
        for number in shape.inputs:
            self.write(number, VALID)

    def act(self, queue: Queue) -> None:
        """The command runs now on the host, or is put on this queue, after what the host knows to be done."""
        self.thread, self.clock = self.queues[queue]
        _join(self.clock, self.host)
        self.clock[self.thread] = self.index + 1

    def access(self, queue: Queue, read: Numbers, target: int, state: str, block: bool = False, free: str = "") -> None:
        """Read, write and, if it blocks, let the host wait. state: of the target. free: `Upload.source_free`."""
        self.act(ON_HOST if free == "return" else queue)
        for number in read:
            self.read(number, self.thread)
        self.act(queue)
        if target != NOTHING:
            self.write(target, state)
        if free == "never":
            self.read(read[0], FOREVER)
        if block:
            self.host[:] = self.clock  # which joined the host's when the command was issued

    def record(self, queue: Queue, event: int) -> None:
        self.act(queue)
        if event in self.events:
            raise _Found("recorded twice", self.events[event][0], None, f"event {event} is recorded")
        self.events[event] = (self.index, self.clock[:])

    def wait(self, queue: Queue, event: int) -> None:
        self.act(queue)
        if event not in self.events:
            raise _Found("unrecorded", -1, None, f"event {event} is waited for")
        _join(self.clock, self.events[event][1])

    def synchronize(self, queue: Queue) -> None:
        _join(self.host, self.queues[queue][1])

    def spans_of(self, number: int) -> tuple[list[_Span], int, int]:
        """The spans of the buffer's storage, and from and to which position they are the buffer's."""
        storage, start, stop = self.extents[number]
        spans = self.spans.setdefault(storage, [])
        if len(spans) == 1 and spans[0].start == start and spans[0].stop == stop:
            return spans, 0, 1
        return spans, _cut(spans, start), _cut(spans, stop)

    def read(self, number: int, thread: int) -> None:
        """Every byte must be written before, and valid."""
        spans, first, last = self.spans_of(number)
        (storage, at, stop), clock = self.extents[number], self.clock
        for span in spans[first:last]:
            if clock[span.thread] <= span.index:
                raise _Found("race", span.index, storage, f"{span} are read")
            if span.state != VALID:
                raise _Found(span.state, span.index, storage, f"{span} are read")
            if span.start != at:
                break
            at = span.stop
            span.readers[thread] = self.index
        if at != stop:
            raise _Found("unwritten", -1, storage, f"bytes [{at}, {stop}) are read")
        self.known.add(number)

    def write(self, number: int, state: str) -> None:
        """Every earlier access must be over, and what was released may only be taken by a new buffer."""
        spans, first, last = self.spans_of(number)
        (storage, start, stop), clock = self.extents[number], self.clock
        for span in spans[first:last]:
            if clock[span.thread] <= span.index:
                raise _Found("race", span.index, storage, f"{span} are written")
            for reader, index in span.readers.items():
                if clock[reader] <= index:
                    raise _Found("kept" if reader == FOREVER else "race", index, storage, f"{span} are written")
            if span.state == RELEASED and (state != VALID or number in self.known):
                raise _Found("released", span.index, storage, f"{span} are written")
        if start < stop:
            spans[first:last] = [_Span(start, stop, self.thread, self.index, state, {})]
        self.known.add(number)


# kind: (what it does, all that a proof may know of it: its queue and what the method takes)
COMMANDS: dict[str, tuple[Callable[..., None], Callable[[Any], tuple[Any, ...]]]] = {
    "Arrange": (_Proof.access, lambda c: (ON_HOST, (c.source,), c.target, VALID)),
    "Upload": (_Proof.access, lambda c: ((c.place, c.stream), (c.source,), c.target, VALID, c.blocking, c.source_free)),
    "Download": (_Proof.access, lambda c: ((c.place, c.stream), (c.source,), c.target, VALID, c.blocking)),
    "Copy": (_Proof.access, lambda c: ((c.place, c.stream), (c.source,), c.target, VALID, c.blocking)),
    "Launch": (
        _Proof.access,
        lambda c: ((c.place, c.stream), c.operands, NOTHING if c.view else c.target, VALID, c.blocking),
    ),
    "Release": (_Proof.access, lambda c: ((c.place, c.stream), (), c.buffer, RELEASED)),
    "Overwrite": (_Proof.access, lambda c: (ON_HOST, (), c.buffer, OVERWRITTEN)),
    "Record": (_Proof.record, lambda c: ((c.place, c.stream), c.event)),
    "Wait": (_Proof.wait, lambda c: ((c.place, c.stream), c.event)),
    "SynchronizeEvent": (_Proof.wait, lambda c: (ON_HOST, c.event)),
    "Synchronize": (_Proof.synchronize, lambda c: ((c.place, c.stream),)),
}


def _named(shape: Shape, index: int) -> str:
    """Such as `command 3 (Upload on queue 1.0)`."""
    if not 0 <= index < len(shape.commands):
        return "the host, after the last command" if index >= 0 else "the host, before the first command"
    kind, ((place, stream), *_) = shape.commands[index]
    return f"command {index} ({kind} on {f'queue {place}.{stream}' if place != HOST else 'the host'})"


def _prove(shape: Shape) -> Violation | None:
    proof = _Proof(shape)
    try:
        for proof.index, (kind, fields) in enumerate(shape.commands):
            COMMANDS[kind][0](proof, *fields)
        proof.index = len(shape.commands)
        proof.act(ON_HOST)
        for number in shape.results:
            proof.read(number, HOST)
    except _Found as found:
        rule, first, storage, what = found.args
        should = SHOULD[rule].format(first=_named(shape, first))
        where = _named(shape, proof.index) + ("" if storage is None else f", storage {storage}")
        return Violation(rule, None if first < 0 else first, proof.index, storage, f"{what} but {should} [{where}]")
    return None


def shape_key(schedule: Schedule) -> Shape:
    """What the proof depends on: the same for schedules that differ in ops, attributes, values or layouts only."""
    commands = tuple([(kind, COMMANDS[kind][1](c)) for c in schedule.commands for kind in (type(c).__name__,)])
    extents = tuple([(b.storage, b.start, b.stop) for b in schedule.buffers])
    return Shape(commands, extents, schedule.inputs, schedule.results + tuple([n for _, n in schedule.probes]))


def prove(schedule: Schedule) -> Violation | None:
    """None if all runs that the rules allow read and write the same, the results and probes at the end included."""
    return _prove(shape_key(schedule))


class Prover:
    """`prove` that remembers the `size` shapes seen last, and counts hits and misses."""

    hits = property(lambda self: int(self._proof_of.cache_info().hits))
    misses = property(lambda self: int(self._proof_of.cache_info().misses))

    def __init__(self, size: int = 1024) -> None:
        self._proof_of = lru_cache(size)(_prove)

    def check(self, schedule: Schedule, reprove: bool = False) -> Violation | None:
        """`prove(schedule)`; `reprove` proves even a remembered shape, and raises `InternalError` if that differs."""
        key = shape_key(schedule)
        violation = self._proof_of(key)
        if reprove and (again := _prove(key)) != violation:
            raise InternalError(f"proof is {again} but should be {violation}, as it was for this shape before")
        return violation
