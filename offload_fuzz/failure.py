"""What a device raised in a run, which command is to blame, and how a run that did not fit is cleared away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import frozen

from offload_fuzz import schedule as s
from offload_fuzz.device import Place


@frozen(eq=False, slots=True)
class Failure:
    """An exception that a device raised: at which value (None: at a transfer), on which role, and its text.

    out_of_memory: whether the device declares that it says so where memory is used up. late: by which later command the
    error of an earlier launch came up, "" where it came up at once. at: the place of the command that raised it. left:
    what a device raised when the run was cleared away.
    """

    value: int | None
    place: int
    command: str
    error: str
    out_of_memory: bool = False
    late: str = ""
    at: int = 0
    left: str = ""


@frozen(eq=False, slots=True)
class Recovery:
    """What was seen of the device of role `place` after it had run out of memory.

    need: bytes that the plan had allocated there at most, as `recovery.most_bytes` counts. first, again: how many
    repetitions and commands the plan came through at first, and at best when it was run again. raised: what was raised
    after it that is not about memory; full: what was said of memory by the small program. wrong: a value of the small
    program, as (what it is, expected, got); "" where all are right.
    """

    place: int
    need: int
    first: tuple[int, int]
    again: tuple[int, int]
    raised: str = ""
    full: str = ""
    wrong: tuple[str, str, str] = ("", "", "")


def failure_of(error: Exception, raised_by: Any, x: Any, places: Sequence[Place]) -> Failure:
    """What a device raised, laid to the launch that the exception names, or else to the command that raised it.

    Where memory is used up, the run is cleared away.
    """
    role, command, schedule = getattr(raised_by, "place", 0), raised_by, x.schedule
    at = next((i for i, c in enumerate(schedule.commands) if c is raised_by), 0)
    number, device = getattr(error, "launch", None), getattr(error, "device", places[role].name)
    if type(number) is int:
        for i, place in enumerate(places):
            launches = [c for c in schedule.commands if isinstance(c, s.Launch | s.LaunchCompiled) and c.place == i]
            if place.name == device and launches:
                role, command = i, launches[number % len(launches)]
    value = command.value if isinstance(command, s.Launch | s.LaunchCompiled) else None
    text = f"{type(error).__name__}: {error}".strip().split("\n")[0][:500]
    names = {t.__name__ for t in type(error).__mro__}
    full = not names.isdisjoint(places[role].features.out_of_memory)
    late = "" if command is raised_by else _named(raised_by)
    return Failure(value, role, _named(command), text, full, late, at, _clear_away(x, at) if full else "")


def _named(command: Any) -> str:
    return type(command).__name__.lower()


def drain(x: Any, place: int) -> None:
    """Wait for each stream of a place on which the schedule has a command."""
    used = {c.stream for c in x.schedule.commands if getattr(c, "place", s.HOST) == place and hasattr(c, "stream")}
    for stream in sorted(used):
        x.ports[place].device.synchronize(stream=stream)


def _clear_away(x: Any, at: int) -> str:
    """Wait for all that was issued, and give back what the commands after position `at` would have given back.

    Returns what a device raised then, "" for nothing.
    """
    held = {x.buffers[b].storage: b for b, found in enumerate(x.registers) if found is not None}
    try:
        for n, port in enumerate(x.ports):
            if port.streams:
                drain(x, n)
        for c in x.schedule.commands[at + 1 :]:
            if isinstance(c, s.Release):
                b = c.buffer
            elif isinstance(c, s.Launch) and c.donated is not None and c.place != s.HOST:
                b = c.operands[c.donated]
            else:
                continue
            port, b = x.ports[c.place], b if x.registers[b] is not None else held.get(x.buffers[b].storage, b)
            if x.registers[b] is not None and hasattr(port.device, "release"):
                port.device.release(x.registers[b], stream=c.stream)
    except Exception as error:  # noqa: BLE001  # to be judged, as what a run raises
        return f"{type(error).__name__}: {error}".strip().split("\n")[0][:500]
    return ""
