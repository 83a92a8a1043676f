"""The commands that a program and a plan become. Nouns only: `lower` makes schedules, `happens_before` proves them.

The host issues commands in list order. A host command (place 0) runs when it is issued. A command of another place is
put on its queue (place, stream) when issued and runs after everything before it on that queue; with `blocking` the
host goes on only when it is done. Between queues there is no order but what events and synchronisation make.

Commands and buffers are never changed once made. They are not declared frozen, since a plan makes about 60 of them and
a frozen one takes three times as long to make.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from attrs import define, frozen

from offload_fuzz.device import Chunks
from offload_fuzz.types import ArrayType

HOST = 0


@define(unsafe_hash=True)
class Buffer:
    """A value held at a place: bytes [start, stop) of a storage. Buffers of one storage may overlap (aliases)."""

    place: int
    type: ArrayType
    storage: int
    start: int
    stop: int


@define(unsafe_hash=True)
class Arrange:
    """Host: copy `source` into a new host array `target` of this layout, alignment and writability.

    across: it lies across the border of two pages, whatever its alignment. pinned: the place whose device gives its
    memory, page-locked; 0: any memory.
    """

    source: int
    target: int
    layout: str
    alignment: int
    readonly: bool
    across: bool = False
    pinned: int = HOST


@define(unsafe_hash=True)
class Upload:
    """Queue (place, stream): read host buffer `source`, write device buffer `target`.

    source_free "return": the host's bytes are read before the call returns; "completion": when the command runs;
    "last use": the target shares the source's storage; "never": the source may not be written again. share: whether the
    device is asked to use the host's array itself. destination: the form of the memory that elements go to, a choice of
    the freedom of that name, as for other transfers; None: as the device likes. chunks: the pieces in which elements
    are moved, one after the other, as for other transfers; None: at once. pinned: `source` is in memory that the device
    has page-locked.
    """

    place: int
    stream: int
    source: int
    target: int
    blocking: bool
    source_free: str
    share: bool = False
    destination: str | None = None
    chunks: Chunks | None = None
    pinned: bool = False


@define(unsafe_hash=True)
class Download:
    """Queue (place, stream): read device buffer `source`, write host buffer `target`.

    share: the host array may lie in the device's own memory, and is an alias of the source.
    """

    place: int
    stream: int
    source: int
    target: int
    blocking: bool
    destination: str | None = None
    share: bool = False
    chunks: Chunks | None = None


@define(unsafe_hash=True)
class Copy:
    """Queue (place, stream) of the receiving device: read `source` of device `source_place`, write `target`."""

    place: int
    stream: int
    source_place: int
    source: int
    target: int
    blocking: bool
    destination: str | None = None
    chunks: Chunks | None = None


@define(unsafe_hash=True)
class Launch:
    """Queue (place, stream), or the host: compute node `value` from `operands` into `target`.

    in_place: the operand's position whose storage `target` is, else None. view: `target` is (or may be) a view of the
    bytes of an operand, whose storage it shares; nothing is written there. donated: the operand's position whose memory
    the device is given, which releases it as `Release` does; else None. update: how the result comes to its own memory,
    a choice of the freedom of that name; None: as the device likes. An operand that is a buffer of the host, on another
    place, is a constant: an input of the program, which is built into the kernel.
    """

    place: int
    stream: int
    value: int
    op: str
    operands: tuple[int, ...]
    attributes: Mapping[str, Any]
    target: int
    in_place: int | None
    blocking: bool
    view: bool = False
    donated: int | None = None
    update: str | None = None


@define(unsafe_hash=True)
class LaunchCompiled:
    """Queue (place, stream): compute several nodes as one compiled region, from `operands` into `targets`.

    nodes: (op, operand numbers, attributes) in order, where number i < len(operands) is that operand and node j makes
    number len(operands) + j. results: the numbers that `targets` receive. values: the value of each node.
    """

    place: int
    stream: int
    values: tuple[int, ...]
    nodes: tuple[tuple[str, tuple[int, ...], Mapping[str, Any]], ...]
    operands: tuple[int, ...]
    results: tuple[int, ...]
    targets: tuple[int, ...]
    blocking: bool

    @property
    def value(self) -> int:
        """The last value that the region makes."""
        return self.values[-1]


@define(unsafe_hash=True)
class Record:
    """Queue (place, stream): mark `event` when everything before it on the queue is done. Each event once."""

    place: int
    stream: int
    event: int


@define(unsafe_hash=True)
class Wait:
    """Queue (place, stream): what follows on the queue runs after `event`, whose record was issued before."""

    place: int
    stream: int
    event: int


@define(unsafe_hash=True)
class Delay:
    """Queue (place, stream): what follows on the queue starts later. It touches nothing and orders nothing."""

    place: int
    stream: int


@define(unsafe_hash=True)
class Synchronize:
    """Host: go on when queue (place, stream) has run everything issued so far."""

    place: int
    stream: int


@define(unsafe_hash=True)
class SynchronizeEvent:
    """Host: go on when `event` has happened."""

    place: int
    event: int


@define(unsafe_hash=True)
class Release:
    """Queue (place, stream): give the buffer's memory back; a write to all its bytes, after which none is valid."""

    place: int
    stream: int
    buffer: int


@define(unsafe_hash=True)
class Drop:
    """Host: let go of device buffer `buffer`, whose memory lasts as long as queued work or a view of it needs it."""

    buffer: int


@define(unsafe_hash=True)
class Overwrite:
    """Host: write other bytes over host buffer `buffer`, which nobody needs any more."""

    buffer: int


Command: TypeAlias = (
    Arrange
    | Upload
    | Download
    | Copy
    | Launch
    | LaunchCompiled
    | Record
    | Wait
    | Delay
    | Synchronize
    | SynchronizeEvent
    | Release
    | Drop
    | Overwrite
)


@frozen(eq=False, slots=True)
class Schedule:
    """commands: in host issue order. buffers: by number. inputs: the host buffers that hold the program's inputs.

    results: the host buffers of the outputs. probes: (value, host buffer) pairs read back for the local judge.
    regions: the values that were compiled together, region by region. company: the host buffers that hold the inputs
    of a second program, the companion, whose results nobody judges (`company`).
    """

    commands: tuple[Command, ...]
    buffers: tuple[Buffer, ...]
    inputs: tuple[int, ...]
    results: tuple[int, ...]
    probes: tuple[tuple[int, int], ...] = ()
    regions: tuple[tuple[int, ...], ...] = ()
    company: tuple[int, ...] = ()

    @property
    def own(self) -> int:
        """How many buffers are those of the program itself; its companion has the later ones."""
        return len(self.buffers) // 2 if self.company else len(self.buffers)
