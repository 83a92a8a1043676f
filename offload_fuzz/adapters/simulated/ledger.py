"""What a simulated device itself knows of a run, below its runtime: transfers, where kernels ran, last writers.

Commands are issued in the order in which the program means them, so the writer that a read should find is the last that
was issued to its storage before the read; `Storage.issued` and `Storage.done` are the two histories. A lawful schedule
on a lawful device reads what it should in every interleaving: what is found here needs no wrong value.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from weakref import WeakSet

import numpy as np

from offload_fuzz.adapters.simulated.memory import Buffer, Storage, Strides, is_contiguous, span
from offload_fuzz.types import Array, ArrayType, type_of

#: Misreads that are kept of a run.
KEPT = 4
#: Bytes of the largest storage of which single bytes are looked at where a view lies in a strided array.
LOOKED_AT = 1 << 20
NOBODY = -1


class Deed:
    """A command that reads or writes memory: its name (op, or kind of transfer), stream and number of launch.

    type, offset, strides: of what it writes, or of what it reads where it writes nothing. begun: a transfer has.
    """

    __slots__ = ("begun", "launch", "name", "offset", "stream", "strides", "type")

    def __init__(self, name: str, stream: int, launch: int | None, buffer: Buffer) -> None:
        self.begun = False
        self.name, self.stream, self.launch = name, stream, launch
        self.type, self.offset, self.strides = buffer.type, buffer.offset, buffer.strides

    def __str__(self) -> str:
        number = "" if self.launch is None else f"launch {self.launch} on "
        return f"{self.name} ({number}stream {self.stream})"


class Mark:
    """That the stream of a view's launch has come to it: until then nobody may look through the view."""

    __slots__ = ("covered", "deed", "done")

    def __init__(self, deed: Deed) -> None:
        self.deed = deed
        self.done = False
        self.covered = False  # whether all its bytes are known to have been written


class Ledger:
    """The counters of one device since its last reset.

    transfers: (kind, bytes) of each, in the order in which they were done. launches: by number, the name of the place
    where each ran, None for one that has not run. misreads: the first `KEPT` of what was read though it should not be,
    each with the buffer (None for a host array) and a text. watching: whether there is an eye on memory in this run.
    flights: id of a host array -> the array, which keeps its id, and the queued transfers that read or fill it.
    """

    def __init__(self, device: str) -> None:
        self.device = device
        self.reset(True)
        LEDGERS.add(self)

    def reset(self, watching: bool) -> None:
        """Forget everything."""
        self.watching = watching
        self.transfers: list[tuple[str, int]] = []
        self.launches: list[str | None] = []
        self.misreads: list[dict[str, Any]] = []
        self.flights: dict[int, tuple[Array, list[Deed]]] = {}

    def told(self) -> dict[str, Any]:
        """What `Simulated.ledger` says."""
        return {
            "transfers": self.transfers, "launches": self.launches, "misreads": self.misreads,
            "watched": self.watching,
        }  # fmt: skip  # one table

    def launched(self) -> int:
        """The number of a new launch."""
        self.launches.append(None)
        return len(self.launches) - 1

    def ran(self, launch: int, place: str, operands: Sequence[Buffer], results: Sequence[ArrayType]) -> None:
        """A kernel ran on a place; where that is not this device, what it reads and makes crossed to there and back."""
        if launch < len(self.launches):  # else the device was reset in between
            self.launches[launch] = place
        if place != self.device:
            self.transfers += [("download", b.type.nbytes) for b in operands]
            self.transfers += [("upload", t.nbytes) for t in results]

    def _report(self, buffer: Buffer | None, text: str) -> None:
        if len(self.misreads) < KEPT and all(m["text"] != text for m in self.misreads):
            self.misreads.append({"buffer": buffer, "text": text})

    # --------------------------------------------------------------------------------------------------- host arrays
    def flies(self, array: Array, deed: Deed) -> None:
        """A transfer was issued that reads the host array (an upload), or fills it, and may not have begun yet."""
        if not deed.begun:
            self.flights.setdefault(id(array), (array, []))[1].append(deed)

    def lands(self, array: Array, deed: Deed) -> None:
        """The transfer is about to be done; an upload reads what it should only where no download is still due."""
        deed.begun = True
        _, deeds = self.flights.pop(id(array), (array, []))
        left = [d for d in deeds if d is not deed]
        if left:
            self.flights[id(array)] = (array, left)
        if deed.name == "upload":
            for ledger in LEDGERS:
                for d in ledger._due(array):
                    if d.name == "download":
                        self._report(None, f"{deed} read {deed.type} of the host but should come after {d}")

    def touched(self, array: Array, writes: bool) -> None:
        """The host reads or writes the array now."""
        for d in self._due(array):
            if writes or d.name == "download":
                verb = "wrote" if writes else "read"
                text = f"the host {verb} {type_of(array)} but should wait for {d} of {self.device}"
                self._report(None, text)

    def _due(self, array: Array) -> Sequence[Deed]:
        """The queued transfers that this device has still to do with a host array."""
        found = self.flights.get(id(array))
        return () if found is None else found[1]

    # ------------------------------------------------------------------------------------------------- device memory
    def writing(self, name: str, stream: int, launch: int | None, buffer: Buffer) -> Deed | None:
        """A command was issued that writes the buffer; None where memory is not watched."""
        if not self.watching:
            return None
        deed = Deed(name, stream, launch, buffer)
        buffer.storage.issued.append(deed)
        return deed

    def seen(self, buffers: Sequence[Buffer]) -> list[int]:
        """What was issued to each storage before a command that is issued now."""
        return [len(b.storage.issued) for b in buffers] if self.watching else []

    def check(self, buffers: Sequence[Buffer], seen: Sequence[int], deed: Deed) -> None:
        """`deed` reads the buffers, to whose storages so many writes were issued before it."""
        for buffer, n in zip(buffers, seen, strict=True):
            storage = buffer.storage
            done, mark = storage.done, buffer.mark
            if storage.live and len(done) == n and done == storage.issued[:n]:
                if mark is None:
                    w = done[-1] if done else None
                    if w and w.type is buffer.type and w.offset == buffer.offset and w.strides == buffer.strides:
                        continue
                elif mark.done and mark.covered:
                    continue
            self._inspect(buffer, n, deed)

    def wrote(self, storage: Storage, deed: Deed) -> None:
        """`deed`, which was issued as a write to the storage, has written."""
        storage.done.append(deed)
        if not storage.live:
            self._report(None, f"{deed} wrote {deed.type} at {storage.address}, which was released before")

    def _inspect(self, buffer: Buffer, seen: int, deed: Deed) -> None:
        storage, mark = buffer.storage, buffer.mark
        what = f"{deed} read "
        if mark is not None and not mark.done:
            text = f"{what}{buffer.type} at {storage.address} through a view but should come after {mark.deed}"
            self._report(buffer, text)
            return
        due = storage.issued[:seen]
        same = storage.done == due
        if storage.live and same and (storage.nbytes > LOOKED_AT or any(_holds(w, buffer) for w in due)):
            if mark is not None:
                mark.covered = True
            return
        read = _bytes_of(storage, buffer.type, buffer.offset, buffer.strides)
        wanted = _writers(storage, due, {})
        found = wanted if same else _writers(storage, storage.done, {id(w): n for n, w in enumerate(due)})
        wrong = read & ((wanted != found) | (wanted == NOBODY))
        if not storage.live:
            wrong = read
        if not wrong.any():
            return
        start = int(wrong.argmax())
        alike = wrong & (wanted == wanted[start]) & (found == found[start])
        stop = start + int(np.append(~alike[start:], True).argmax())
        last = _last_writer(storage, start)
        state = "released before" if not storage.live else "not written yet" if last is None else f"as {last} left them"
        should = f"what {due[wanted[start]]} writes" if wanted[start] != NOBODY else "bytes that were written"
        self._report(
            buffer,
            f"{what}bytes [{start}, {stop}) of {buffer.type} at {storage.address}, {state}, but should read {should}",
        )


def _holds(write: Deed, buffer: Buffer) -> bool:
    """Whether a write of elements in a row holds all bytes of the buffer; False where that is not easily said."""
    if not buffer.type.size:
        return True
    if not is_contiguous(write.type, write.strides):
        return False
    below, nbytes = span(buffer.type, buffer.strides)
    start = buffer.offset - below
    return write.offset <= start and start + nbytes <= write.offset + write.type.nbytes


def _bytes_of(storage: Storage, type: ArrayType, offset: int, strides: Strides) -> Array:
    """bool[nbytes of the storage]: the bytes of the elements that lie in it."""
    mask: Array = np.zeros(storage.nbytes, bool)
    below, nbytes = span(type, strides)
    if not type.size:
        return mask
    if offset < below or offset - below + nbytes > storage.nbytes:  # beyond its storage, by a fault
        mask[max(offset - below, 0) : offset - below + nbytes] = True
        return mask
    np.ndarray((*type.shape, type.np.itemsize), bool, mask, offset, (*strides, 1))[...] = True
    return mask


def _writers(storage: Storage, deeds: Sequence[Deed], numbers: dict[int, int]) -> Array:
    """int64[nbytes of the storage]: by byte, the number of the last of the writes, `NOBODY` where there is none.

    numbers: those of the writes by their id, the next free ones for what is not there; empty: their positions.
    """
    found: Array = np.full(storage.nbytes, NOBODY)
    for n, w in enumerate(deeds):
        number = numbers.setdefault(id(w), len(numbers)) if numbers else n
        found[_bytes_of(storage, w.type, w.offset, w.strides)] = number
    return found


def _last_writer(storage: Storage, byte: int) -> Deed | None:
    """Who wrote the byte last."""
    w: Deed
    for w in reversed(storage.done):
        if _bytes_of(storage, w.type, w.offset, w.strides)[byte]:
            return w
    return None


#: Of the simulated devices of this process, as an upload has to know what another device has still to fill.
LEDGERS: WeakSet[Ledger] = WeakSet()
