"""Running a schedule on devices: what one plan gave, with the ledger and the checks that need the run itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from attrs import field, frozen

from offload_fuzz import schedule as s
from offload_fuzz.company import company_of
from offload_fuzz.device import Place
from offload_fuzz.errors import AdapterError
from offload_fuzz.failure import Failure, Recovery, drain, failure_of
from offload_fuzz.host_arrays import HostMemory, arrange, destination, float_environment, relocated, spilled
from offload_fuzz.ledger import Ledger, checked
from offload_fuzz.program import Program
from offload_fuzz.types import Array, is_aligned

OVERWRITTEN = 0x5C
NOTHING: dict[str, Any] = {}


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
    regions: the values that were compiled together, which widens what they may be.
    probes: value -> result read back, where asked for. touched: names of host arrays written that must not be.
    ledger: what was moved and where nodes ran; None where nothing was run. recovery: what the device did after it had
    run out of memory, if it had.
    """

    results: list[list[Array]]
    probes: dict[int, Array] = field(factory=dict)
    failure: Failure | None = None
    misplaced: list[Misplaced] = field(factory=list)
    touched: list[str] = field(factory=list)
    environment: str | None = None
    regions: tuple[tuple[int, ...], ...] = ()
    ledger: Ledger | None = None
    recovery: Recovery | None = None


# ------------------------------------------------------------------------------------------------------- execution
class _Port:
    """A place as the commands of one run use it: the calls that they make and the arguments that it takes.

    place: what `place_of` must answer, None where nobody asks. lasts: whether what is issued outlasts the run.
    """

    __slots__ = (
        "device",
        "download",
        "lasts",
        "launch",
        "modes",
        "place",
        "plain",
        "streams",
        "tells",
        "upload",
        "watches",
    )

    def __init__(self, place: Place, telling: bool = True) -> None:
        self.device: Any = place.device
        self.upload, self.download, self.launch = place.device.upload, place.device.download, place.device.launch
        self.streams = place.features.streams > 0
        self.modes = "async" in place.features.transfers
        self.plain = not self.streams and not self.modes
        self.place = place.features.place
        self.tells = place.features.ledger if telling else ()
        self.watches = "misreads" in self.tells
        self.lasts = self.streams and not hasattr(place.device, "reset")

    def arguments(self, stream: int, blocking: bool) -> dict[str, Any]:
        """What a transfer is given beside the data."""
        if self.plain:
            return NOTHING
        found: dict[str, Any] = {"stream": stream} if self.streams else {}
        if self.modes:
            found["blocking"] = blocking
        return found


class _Execution:
    """The state of one pass over a schedule."""

    __slots__ = (
        "arranged",
        "buffers",
        "destinations",
        "events",
        "memory",
        "misplaced",
        "pinned",
        "ports",
        "registers",
        "schedule",
        "settled",
        "shared",
        "watchers",
        "written",
    )

    def __init__(self, schedule: s.Schedule, ports: Sequence[_Port]) -> None:
        self.schedule = schedule
        self.registers: list[Any] = [None] * len(schedule.buffers)
        self.buffers = schedule.buffers
        self.ports = ports
        self.memory = HostMemory()
        self.pinned: dict[int, HostMemory] = {}
        self.events: dict[int, Any] = {}
        self.misplaced: list[Misplaced] = []
        self.arranged: dict[int, tuple[Array, bytes]] = {}
        self.settled: set[int] = set()  # results of the host and of blocking downloads: all bytes are there
        self.destinations: dict[int, tuple[Array, Array]] = {}
        self.shared: set[int] = set()
        self.written: set[int] = set()
        self.watchers: list[Any] = [p.device for p in ports if p.watches]

    def touch(self, number: int, writes: bool = False) -> None:
        """Tell the devices that ask for it that the host reads or writes an array now."""
        for device in self.watchers:
            device.touched(self.registers[number], writes)

    def locked(self, place: int) -> HostMemory:
        """The host memory that the device of a place has page-locked in this pass."""
        if place not in self.pinned:
            self.pinned[place] = HostMemory(self.ports[place].device.pinned)
        return self.pinned[place]

    def result(self, b: int) -> Any:
        """A result that lasts: a copy of what lies in a device's own memory."""
        found = self.registers[b]
        return np.array(found) if self.buffers[b].storage in self.shared else found

    def check_place(self, port: _Port, value: int, buffer: Any) -> None:
        if port.place is not None and (found := port.device.place_of(buffer)) != port.place:
            self.misplaced.append(Misplaced(value, port.place, found))


def _arrange(x: _Execution, c: s.Arrange) -> None:
    if x.watchers:
        x.touch(c.source)
    memory = x.memory if c.pinned == s.HOST else x.locked(c.pinned)
    x.registers[c.target], backing = arrange(x.registers[c.source], c.layout, c.alignment, c.readonly, memory, c.across)
    x.arranged[c.target] = (backing, backing.tobytes())


def _upload(x: _Execution, c: s.Upload) -> None:
    port = x.ports[c.place]
    arguments = port.arguments(c.stream, c.blocking)
    if c.share:
        arguments = {**arguments, "share": True}
    if c.destination is not None:
        arguments = {**arguments, "destination": c.destination}
    if c.chunks is not None:
        arguments = {**arguments, "chunks": c.chunks}
    if c.pinned:
        arguments = {**arguments, "pinned": True}
    array = x.registers[c.source]
    if c.source in x.settled and not is_aligned(array):
        x.registers[c.source] = array = relocated(array, x.memory)
    x.registers[c.target] = buffer = port.upload(array, **arguments)
    x.check_place(port, -1, buffer)


def _download(x: _Execution, c: s.Download) -> None:
    port = x.ports[c.place]
    arguments = port.arguments(c.stream, c.blocking)
    if c.chunks is not None:
        arguments = {**arguments, "chunks": c.chunks}
    if c.destination is not None:
        into, backing = destination(x.buffers[c.target].type, c.destination, x.memory)
        x.registers[c.target] = into
        x.destinations[c.target] = (into, backing)
        port.download(x.registers[c.source], into=into, **arguments)
        return
    if c.share:
        arguments = {**arguments, "share": True}
        x.shared.add(x.buffers[c.target].storage)
    elif c.blocking:
        x.settled.add(c.target)
    array = port.download(x.registers[c.source], **arguments)
    x.registers[c.target] = np.asarray(array) if isinstance(array, np.generic) else array  # NumPy's own 0-d results


def _copy(x: _Execution, c: s.Copy) -> None:
    port, source = x.ports[c.place], x.ports[c.source_place].device
    arguments = port.arguments(c.stream, c.blocking)
    if c.destination is not None:
        arguments = {**arguments, "destination": c.destination}
    if c.chunks is not None:
        arguments = {**arguments, "chunks": c.chunks}
    buffer = port.device.copy(x.registers[c.source], source, **arguments)
    x.registers[c.target] = buffer
    x.check_place(port, -1, buffer)


def _launch(x: _Execution, c: s.Launch) -> None:
    port, registers = x.ports[c.place], x.registers
    operands = [registers[b] for b in c.operands]
    arguments: dict[str, Any] = {"stream": c.stream} if port.streams else {}
    if c.place == s.HOST:
        x.settled.add(c.target)
    if c.place == s.HOST and x.watchers:
        for k, b in enumerate(c.operands):
            x.touch(b, k == c.in_place)
    if c.in_place is not None:
        out = operands[c.in_place]
        arguments["out"] = out if c.place else out.view()  # an array of its own, as any result of the host's is
        x.written.add(x.buffers[c.target].storage)
    if c.donated is not None:
        arguments["donate"] = c.donated
        registers[c.operands[c.donated]] = None
    if c.update is not None:
        arguments["update"] = c.update
    registers[c.target] = buffer = port.launch(c.op, operands, dict(c.attributes), **arguments)
    x.check_place(port, c.value, buffer)


def _launch_compiled(x: _Execution, c: s.LaunchCompiled) -> None:
    port, registers = x.ports[c.place], x.registers
    arguments: dict[str, Any] = {"stream": c.stream} if port.streams else {}
    nodes = [(op, list(numbers), dict(attributes)) for op, numbers, attributes in c.nodes]
    found = port.device.launch_compiled(nodes, [registers[b] for b in c.operands], list(c.results), **arguments)
    for result, target, buffer in zip(c.results, c.targets, found, strict=True):
        registers[target] = buffer
        x.check_place(port, c.values[result - len(c.operands)], buffer)


def _record(x: _Execution, c: s.Record) -> None:
    x.events[c.event] = x.ports[c.place].device.record(c.stream)


def _wait(x: _Execution, c: s.Wait) -> None:
    x.ports[c.place].device.wait(c.stream, x.events[c.event])


def _delay(x: _Execution, c: s.Delay) -> None:
    x.ports[c.place].device.delay(c.stream)


def _synchronize(x: _Execution, c: s.Synchronize) -> None:
    x.ports[c.place].device.synchronize(stream=c.stream)


def _synchronize_event(x: _Execution, c: s.SynchronizeEvent) -> None:
    x.ports[c.place].device.synchronize(event=x.events[c.event])


def _release(x: _Execution, c: s.Release) -> None:
    x.ports[c.place].device.release(x.registers[c.buffer], stream=c.stream)


def _drop(x: _Execution, c: s.Drop) -> None:
    x.registers[c.buffer] = None


def _overwrite(x: _Execution, c: s.Overwrite) -> None:
    x.written.add(x.buffers[c.buffer].storage)
    x.touch(c.buffer, True)
    x.arranged[c.buffer][0][...] = OVERWRITTEN


HANDLERS: dict[type, Callable[[_Execution, Any], None]] = {
    s.Arrange: _arrange,
    s.Upload: _upload,
    s.Download: _download,
    s.Copy: _copy,
    s.Launch: _launch,
    s.LaunchCompiled: _launch_compiled,
    s.Record: _record,
    s.Wait: _wait,
    s.Delay: _delay,
    s.Synchronize: _synchronize,
    s.SynchronizeEvent: _synchronize_event,
    s.Release: _release,
    s.Drop: _drop,
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
    after: Callable[[list[Any]], None] | None = None,
    fresh: bool = True,
) -> Run:
    """Run `schedule` on `places` (the host first), `repeat` times over; never raises for what a device does.

    seed: given to devices that draw lawful choices of their own. before: called with each command; after: called at
    the end of each repetition with what each buffer holds. fresh: whether devices are reset before; where they are not,
    they tell nothing of the run.
    """
    run = Run([])
    environment = None
    for place in places if fresh else ():
        reset = getattr(place.device, "reset", None)
        if reset is not None:
            reset(seed)
    ports = [_Port(place, fresh) for place in places]
    company = company_of(program) if schedule.company else ()
    for _ in range(repeat):
        x = _Execution(schedule, ports)
        for b, array in zip(schedule.inputs, program.inputs, strict=True):
            x.registers[b] = array
        for b, array in zip(schedule.company, company, strict=True):
            x.registers[b] = array
        command: s.Command | None = None
        try:
            for command in schedule.commands:
                if before is not None:
                    before(command)
                HANDLERS[type(command)](x, command)
            for b in (*schedule.results, *[b for _, b in schedule.probes]) if x.watchers else ():
                x.touch(b)
            run.results.append([x.result(b) for b in schedule.results])
            run.probes.update((v, x.result(b)) for v, b in schedule.probes)
            if after is not None:
                after(x.registers)
        except Exception as error:  # noqa: BLE001  # whatever a device raises is a result, to be judged
            failure = failure_of(error, command, x, places)
            run.misplaced.extend(x.misplaced)
            return Run(
                run.results, run.probes, failure, run.misplaced, _touched(x, program), environment, schedule.regions,
                _told(x, repeat),
            )  # fmt: skip  # one run
        run.misplaced.extend(x.misplaced)
        run.touched.extend(_touched(x, program))
        environment = environment or float_environment()
    return Run(
        run.results, run.probes, _ended(x, places), run.misplaced, run.touched, environment, schedule.regions,
        _told(x, repeat),
    )  # fmt: skip  # one run


def _ended(x: _Execution, places: Sequence[Place]) -> Failure | None:
    """Wait for what is still to be done on devices that are not reset, lest its errors be taken for the next run's."""
    for n, port in enumerate(x.ports):
        if port.lasts:
            try:
                drain(x, n)
            except Exception as error:  # noqa: BLE001  # a result, as any other that a device raises
                return failure_of(error, s.Synchronize(n, 0), x, places)
    return None


def _told(x: _Execution, repeats: int) -> Ledger:
    """The ledger of the run, misreads with the numbers of the buffers that they name."""
    told = {n: _asked(p) for n, p in enumerate(x.ports) if p.tells}
    for ledger in told.values():
        for misread in ledger.get("misreads", ()):
            of = misread.pop("buffer", None)
            if of is not None:
                misread["number"] = next((n for n, b in enumerate(x.registers) if b is of), None)
    return Ledger(x.schedule, repeats, told)


def _asked(port: _Port) -> Mapping[str, Any]:
    """What the device of a place tells; raises `AdapterError` where it raises, or tells it in another form."""
    name = port.device.name
    try:
        told = port.device.ledger()
    except Exception as error:
        text = f"ledger() raised {type(error).__name__}: {error} but should give a dict [{name}]"
        raise AdapterError(text) from error
    return checked(told, port.tells, name)


def _touched(x: _Execution, program: Program) -> list[str]:
    """Host arrays that have other bytes than before, though nothing was allowed to write them."""
    found = [f"input v{v}" for v, a in enumerate(program.inputs) if a.tobytes() != program.input_bytes[v]]
    for b, (backing, old) in x.arranged.items():
        if x.buffers[b].storage not in x.written and backing.tobytes() != old:
            found.append(f"host array of buffer {b}")
    for b, (array, backing) in x.destinations.items():
        if spilled(backing, array):
            found.append(f"host memory around buffer {b}")
    return found
