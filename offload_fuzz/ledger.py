"""The ledger of a run: what was moved, by whom, how many bytes, in which order, and where each node really ran.

What the plan asks for follows from the schedule. What was really done only the device can tell, from counters of its
own (`features.ledger`); what it does not tell is stated as not told, never taken from the plan.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, TypeAlias

from attrs import field, frozen

from offload_fuzz import schedule as s
from offload_fuzz.device import Chunks
from offload_fuzz.errors import AdapterError

Transfer: TypeAlias = tuple[str, int]  # kind, bytes
MOVES: dict[type, str] = {s.Upload: "upload", s.Download: "download", s.Copy: "copy"}
KINDS = tuple(MOVES.values())
RUNS = (s.Launch, s.LaunchCompiled)


@frozen
class Entry:
    """A command that moves a value or runs nodes, in the order of issue.

    kind: upload, download, copy, launch or the like. place: of the device that does it; source: of the device or host
    that the bytes come from. values: that it carries or makes. nbytes: of the elements. ran: where the device says that
    it ran; None: it was not told, or has not run.
    """

    kind: str
    place: int
    source: int
    values: tuple[int, ...]
    nbytes: int
    ran: str | None = None


@frozen(eq=False, slots=True)
class Ledger:
    """schedule, and what the devices told of `repeats` passes over it: place -> what `Device.ledger()` gave."""

    schedule: s.Schedule
    repeats: int = 1
    told: Mapping[int, Mapping[str, Any]] = field(factory=dict)

    def moved(self, place: int) -> Sequence[Transfer] | None:
        """The transfers that the device of a place says it did, in that order; None where it does not tell."""
        found: Sequence[Transfer] | None = self.told.get(place, {}).get("transfers")
        return found

    def asked(self, place: int) -> list[Transfer]:
        """The transfers that the schedule asks of the device of a place, in the order of issue, repeats included.

        Each piece of a transfer in chunks is one.
        """
        buffers, found = self.schedule.buffers, []
        for c in self.schedule.commands:
            kind = MOVES.get(type(c))
            if kind is not None and c.place == place:  # type: ignore[union-attr]  # a command of a queue
                b = buffers[c.target]  # type: ignore[union-attr]
                found += [(kind, nbytes) for nbytes in _pieces(c.chunks, b)]  # type: ignore[union-attr]
        return found * self.repeats

    def ran(self, place: int) -> Sequence[str | None]:
        """Where the device of a place says that its launches ran, in the order of the calls; empty: not told."""
        found: Sequence[str | None] = self.told.get(place, {}).get("launches", ())
        return found

    def tells(self, place: int, name: str) -> bool:
        """Whether the device of a place told this of the run; of misreads, whether it looked for them."""
        told = self.told.get(place, {})
        return name in told and (name != "misreads" or bool(told.get("watched", True)))

    def misreads(self) -> Iterator[tuple[int, Mapping[str, Any]]]:
        """Reads that a device says should not have been, each with the number of its place."""
        for place, told in self.told.items():
            for misread in told.get("misreads", ()):
                yield place, misread

    def launches(self, place: int) -> list[tuple[int, ...]]:
        """The values that each launch on a place makes, in the order of issue; of one pass."""
        return [_values(c) for c in self.schedule.commands if isinstance(c, RUNS) and c.place == place]

    def entries(self) -> list[Entry]:
        """All transfers and launches of one pass, in the order of issue, with where they really ran in the first."""
        values = values_of(self.schedule)
        ran = {place: iter(self.ran(place)) for place in self.told}
        found = []
        for c in self.schedule.commands:
            if isinstance(c, RUNS):
                at = next(ran.get(c.place, iter(())), None)
                found.append(Entry("launch", c.place, c.place, _values(c), self._bytes(_targets(c)), at))
            elif isinstance(c, s.Upload | s.Download | s.Copy):
                source = c.source_place if isinstance(c, s.Copy) else c.place if isinstance(c, s.Download) else s.HOST
                carried = values.get(c.target)
                made = () if carried is None else (carried,)
                found.append(Entry(MOVES[type(c)], c.place, source, made, self._bytes((c.target,))))
        return found

    def _bytes(self, numbers: Sequence[int]) -> int:
        return sum(self.schedule.buffers[n].stop - self.schedule.buffers[n].start for n in numbers)


def values_of(schedule: s.Schedule) -> dict[int, int]:
    """buffer -> the value that it holds, as far as the schedule says."""
    found = {b: v for inputs in (schedule.inputs, schedule.company) for v, b in enumerate(inputs)}
    for c in schedule.commands:
        if isinstance(c, s.Launch):
            found[c.target] = c.value
        elif isinstance(c, s.LaunchCompiled):
            first = len(c.operands)
            found.update((t, c.values[r - first]) for r, t in zip(c.results, c.targets, strict=True))
        elif isinstance(c, s.Arrange | s.Upload | s.Download | s.Copy) and c.source in found:
            found[c.target] = found[c.source]
    return found


def _pieces(chunks: Chunks | None, b: s.Buffer) -> list[int]:
    """The bytes of each transfer that one command asks for, to or from a buffer of this type."""
    if chunks is None:
        return [b.stop - b.start]
    axis, bounds = chunks
    one = (b.stop - b.start) // b.type.shape[axis]
    return [one * (stop - start) for start, stop in pairwise(bounds)]


def _values(c: s.Launch | s.LaunchCompiled) -> tuple[int, ...]:
    return (c.value,) if isinstance(c, s.Launch) else c.values


def _targets(c: s.Launch | s.LaunchCompiled) -> tuple[int, ...]:
    return (c.target,) if isinstance(c, s.Launch) else c.targets


def checked(told: Any, names: Sequence[str], where: str) -> Mapping[str, Any]:
    """What a device's `ledger()` gave, if it has the form that `device` describes; raises `AdapterError`."""
    if not isinstance(told, Mapping) or not all(isinstance(told.get(name), list | tuple) for name in names):
        raise AdapterError(f"ledger() gave {told!r} but should be a dict of lists {', '.join(names)} [{where}]")
    for transfer in told.get("transfers", ()):
        if not (len(transfer) == 2 and transfer[0] in KINDS and type(transfer[1]) is int):
            raise AdapterError(
                f"ledger() has the transfer {transfer!r} but should have (kind, bytes), kind one of "
                f"{', '.join(KINDS)} [{where}]"
            )
    for ran in told.get("launches", ()):
        if ran is not None and not isinstance(ran, str):
            raise AdapterError(f"ledger() has the launch {ran!r} but should have the name of a place or None [{where}]")
    for misread in told.get("misreads", ()):
        if not (isinstance(misread, Mapping) and isinstance(misread.get("text"), str)):
            raise AdapterError(f"ledger() has the misread {misread!r} but should have a dict with its text [{where}]")
    return told
