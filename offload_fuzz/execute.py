"""Running a schedule on devices: what one plan gave, with the ledger and the checks that need the run itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from attrs import field, frozen

from offload_fuzz import schedule as s
from offload_fuzz.device import Place
from offload_fuzz.program import Program
from offload_fuzz.types import Array

CANARY = 0xC5
OVERWRITTEN = 0x5C


@frozen(eq=False, slots=True)
class Failure:
    """An exception that a device raised: at which value (None: at a transfer), on which role, and its text."""

    value: int | None
    place: int
    command: str
    error: str


@frozen(eq=False, slots=True)
class Misplaced:
    """A buffer that is not where the plan put it."""

    value: int
    expected: str
    found: str


@frozen(eq=False, slots=True)
class Run:
    """What one plan gave.

    results: the outputs as host arrays, one list per repetition (the last may be missing after a failure).
    probes: value -> result read back, where asked for. touched: names of host arrays written that must not be.
    """

    results: list[list[Array]]
    probes: dict[int, Array] = field(factory=dict)
    failure: Failure | None = None
    misplaced: list[Misplaced] = field(factory=list)
    touched: list[str] = field(factory=list)
    environment: str | None = None


# ----------------------------------------------------------------------------------------------- host arrays
def aligned(nbytes: int, offset: int) -> Array:
    """`nbytes` bytes, filled with the canary, that start `offset` bytes past a multiple of 64."""
    raw = np.full(nbytes + 128, CANARY, np.uint8)
    start = (-raw.ctypes.data) % 64 + offset
    return raw[start : start + nbytes]


def arrange(array: Array, layout: str, alignment: int, readonly: bool) -> tuple[Array, Array]:
    """A copy of `array` in a new host array of the given form, and the bytes in which it lies.

    strided: every second element of each row, one element in; negative: last axis reversed in memory; broadcast:
    stride 0 along each axis on which the elements are all equal. alignment 1: off 64 bytes by one element.
    """
    item = array.itemsize
    offset = item if alignment == 1 else 0
    shape = array.shape
    small = array
    space = shape
    if layout == "strided" and array.ndim:
        space = (*shape[:-1], 2 * shape[-1] + 1)
    elif layout == "fortran":
        space = shape[::-1]
    elif layout == "broadcast":
        for axis in constant_axes(array):
            small = small[(slice(None),) * axis + (slice(0, 1),)]
        space = small.shape
    backing = aligned(item * math.prod(space), offset)
    out = backing.view(array.dtype).reshape(space)
    if layout == "strided" and array.ndim:
        out = out[..., 1::2]
    elif layout == "fortran":
        out = out.T
    elif layout == "negative" and array.ndim:
        out = out[..., ::-1]
    out[...] = small
    if layout == "broadcast":
        out = np.broadcast_to(out, shape)
    elif readonly:
        out.flags.writeable = False
    return out, backing


def constant_axes(array: Array) -> list[int]:
    """The axes, longer than 1, along which all elements have the same bits."""
    if array.size == 0:
        return []
    words = 1 + (array.itemsize > 8)
    bits = np.ascontiguousarray(array).view(f"u{array.itemsize // words}").reshape(*array.shape, words)
    return [
        i
        for i, n in enumerate(array.shape)
        if n > 1 and bool((bits == bits[(slice(None),) * i + (slice(0, 1),)]).all())
    ]


def float_environment() -> str | None:
    """What is wrong with the host's floating-point mode: flush to zero, or rounding other than to nearest."""
    if not bool((_TINY * _ONE == _TINY).all()):
        return "subnormals are flushed to zero"
    if not bool((_ONE + _HALF_ULP == _ONE).all()) or not bool((-_ONE - _HALF_ULP == -_ONE).all()):
        return "rounding is not to nearest"
    return None


_TINY, _ONE, _HALF_ULP = (np.array([x]) for x in (2.0**-1060, 1.0, 2.0**-54))


# ------------------------------------------------------------------------------------------------------- execution
class _Execution:
    """The state of one pass over a schedule."""

    __slots__ = ("arranged", "buffers", "events", "misplaced", "places", "registers", "written")

    def __init__(self, schedule: s.Schedule, places: Sequence[Place]) -> None:
        self.registers: list[Any] = [None] * len(schedule.buffers)
        self.buffers = schedule.buffers
        self.places = places
        self.events: dict[int, Any] = {}
        self.misplaced: list[Misplaced] = []
        self.arranged: dict[int, tuple[Array, bytes]] = {}
        self.written: set[int] = set()

    def check_place(self, place: int, value: int, buffer: Any) -> None:
        p = self.places[place]
        expected = p.features.place
        if expected is not None:
            found = p.device.place_of(buffer)
            if found != expected:
                self.misplaced.append(Misplaced(value, expected, found))


def _arrange(x: _Execution, c: s.Arrange) -> None:
    x.registers[c.target], backing = arrange(x.registers[c.source], c.layout, c.alignment, c.readonly)
    x.arranged[c.target] = (backing, backing.tobytes())


def _stream_arguments(p: Place, stream: int, blocking: bool) -> dict[str, Any]:
    f = p.features
    arguments: dict[str, Any] = {"stream": stream} if f.streams else {}
    if len(f.transfers) > 1:
        arguments["blocking"] = blocking
    return arguments


def _upload(x: _Execution, c: s.Upload) -> None:
    p = x.places[c.place]
    buffer = p.device.upload(x.registers[c.source], **_stream_arguments(p, c.stream, c.blocking))
    x.registers[c.target] = buffer
    x.check_place(c.place, -1, buffer)


def _download(x: _Execution, c: s.Download) -> None:
    p = x.places[c.place]
    array = p.device.download(x.registers[c.source], **_stream_arguments(p, c.stream, c.blocking))
    x.registers[c.target] = np.asarray(array) if isinstance(array, np.generic) else array  # NumPy's own 0-d results


def _copy(x: _Execution, c: s.Copy) -> None:
    p, source = x.places[c.place], x.places[c.source_place].device
    buffer = p.device.copy(x.registers[c.source], source, **_stream_arguments(p, c.stream, c.blocking))
    x.registers[c.target] = buffer
    x.check_place(c.place, -1, buffer)


def _launch(x: _Execution, c: s.Launch) -> None:
    p, registers = x.places[c.place], x.registers
    operands = [registers[b] for b in c.operands]
    arguments: dict[str, Any] = {"stream": c.stream} if p.features.streams else {}
    if c.in_place is not None:
        arguments["out"] = operands[c.in_place]
        x.written.add(x.buffers[c.target].storage)
    buffer = p.device.launch(c.op, operands, dict(c.attributes), **arguments)
    registers[c.target] = buffer
    x.check_place(c.place, c.value, buffer)


def _record(x: _Execution, c: s.Record) -> None:
    x.events[c.event] = x.places[c.place].device.record(c.stream)


def _wait(x: _Execution, c: s.Wait) -> None:
    x.places[c.place].device.wait(c.stream, x.events[c.event])


def _synchronize(x: _Execution, c: s.Synchronize) -> None:
    x.places[c.place].device.synchronize(stream=c.stream)


def _synchronize_event(x: _Execution, c: s.SynchronizeEvent) -> None:
    x.places[c.place].device.synchronize(event=x.events[c.event])


def _release(x: _Execution, c: s.Release) -> None:
    x.places[c.place].device.release(x.registers[c.buffer], stream=c.stream)


def _overwrite(x: _Execution, c: s.Overwrite) -> None:
    x.written.add(x.buffers[c.buffer].storage)
    x.arranged[c.buffer][0][...] = OVERWRITTEN


HANDLERS: dict[type, Callable[[_Execution, Any], None]] = {
    s.Arrange: _arrange,
    s.Upload: _upload,
    s.Download: _download,
    s.Copy: _copy,
    s.Launch: _launch,
    s.Record: _record,
    s.Wait: _wait,
    s.Synchronize: _synchronize,
    s.SynchronizeEvent: _synchronize_event,
    s.Release: _release,
    s.Overwrite: _overwrite,
}
Handler: TypeAlias = Callable[[_Execution, Any], None]


def execute(
    schedule: s.Schedule,
    program: Program,
    places: Sequence[Place],
    seed: int = 0,
    repeat: int = 1,
    before: Callable[[s.Command], None] | None = None,
) -> Run:
    """Run `schedule` on `places` (the host first), `repeat` times over; never raises for what a device does.

    seed: given to devices that draw lawful choices of their own. before: called with each command.
    """
    run = Run([])
    environment = None
    for place in places:
        reset = getattr(place.device, "reset", None)
        if reset is not None:
            reset(seed)
    for _ in range(repeat):
        x = _Execution(schedule, places)
        for b, array in zip(schedule.inputs, program.inputs, strict=True):
            x.registers[b] = array
        command: s.Command | None = None
        try:
            for command in schedule.commands:
                if before is not None:
                    before(command)
                HANDLERS[type(command)](x, command)
            run.results.append([x.registers[b] for b in schedule.results])
            run.probes.update((v, x.registers[b]) for v, b in schedule.probes)
        except Exception as error:  # noqa: BLE001  # whatever a device raises is a result, to be judged
            value = command.value if isinstance(command, s.Launch) else None
            text = f"{type(error).__name__}: {error}".strip().split("\n")[0][:500]
            failure = Failure(value, getattr(command, "place", 0), type(command).__name__.lower(), text)
            run.misplaced.extend(x.misplaced)
            return Run(run.results, run.probes, failure, run.misplaced, _touched(x, program), environment)
        run.misplaced.extend(x.misplaced)
        run.touched.extend(_touched(x, program))
        environment = environment or float_environment()
    return Run(run.results, run.probes, None, run.misplaced, run.touched, environment)


def _touched(x: _Execution, program: Program) -> list[str]:
    """Host arrays that have other bytes than before, though nothing was allowed to write them."""
    found = [f"input v{v}" for v, a in enumerate(program.inputs) if a.tobytes() != program.input_bytes[v]]
    for b, (backing, old) in x.arranged.items():
        if x.buffers[b].storage not in x.written and backing.tobytes() != old:
            found.append(f"host array of buffer {b}")
    return found
