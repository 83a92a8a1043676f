"""What a simulated device does to move elements: transfers, and the memory that they and kernels go to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from offload_fuzz.adapters.simulated import tiles
from offload_fuzz.adapters.simulated.hooks import Hooks
from offload_fuzz.adapters.simulated.ledger import Deed, Ledger
from offload_fuzz.adapters.simulated.memory import (
    Buffer,
    Memory,
    Storage,
    Strides,
    contiguous_strides,
    downloaded,
    exported,
    host_layout,
    is_bounced,
    is_sparse,
    pieces,
    placed_for,
    shared_with_host,
    span,
)
from offload_fuzz.adapters.simulated.queues import Queues, finish
from offload_fuzz.device import Chunks
from offload_fuzz.types import NAMES, Array, ArrayType, type_of

UNFILLED = 0xFF  # what a downloaded array holds until its transfer has run: NaN in every float dtype
WRITTEN = -1  # the use of a buffer that a kernel writes
#: A part of a transfer: its index in the host array, () for all of it; in the buffer; its stream; if it is the last.
Piece: TypeAlias = tuple[tuple[slice, ...], Buffer, int, bool]


class Transfers:
    """The part of a simulated device that moves elements."""

    name: str
    profile: str
    index: int
    hooks: Hooks
    memory: Memory
    counted: Ledger
    queues: Queues
    tile: tuple[int, int] | None
    stages: bool
    scratch: dict[str, Any]
    evictable: dict[int, tuple[Buffer, Array]]  # by address: an upload and the host array that it was read from

    def upload(
        self,
        array: Array,
        *,
        stream: int = 0,
        blocking: bool = True,
        destination: str | None = None,
        chunks: Chunks | None = None,
        pinned: bool = False,
    ) -> Buffer:
        """A buffer of the host array's own layout, or as `destination` says; a DMA command reads the array later.

        chunks: one command for each piece. pinned: the array lies in page-locked memory. Where the profile stages what
        does not, an asynchronous upload has read the array when this returns.
        """
        type = ArrayType(NAMES[array.dtype], array.shape)
        if not self.hooks.copies(True, array):
            shared = Buffer(shared_with_host(array), type, 0, array.strides, self.name)
            shared.storage.issued.append(Deed("upload", stream, None, shared))
            shared.storage.done.extend(shared.storage.issued)
            return shared
        if destination is None and not self.tile:
            offset, strides, nbytes = host_layout(array, type)
        else:
            offset, strides, nbytes = placed_for(destination, type, *tiles.placed(type, self.tile))
        buffer = self._allocate(type, offset, strides, nbytes, "upload")
        for piece in self._pieces(buffer, chunks, stream):
            self._upload(array, buffer, piece, blocking, pinned)
        if self.hooks.evicted(False, array):
            self.evictable[buffer.storage.address] = (buffer, array)
        return buffer

    def pinned(self, nbytes: int) -> Array:
        """Host memory that an asynchronous upload reads where it is."""
        memory: Array = np.empty(nbytes, np.uint8)
        return memory

    def _upload(self, array: Array, buffer: Buffer, piece: Piece, blocking: bool, pinned: bool) -> None:
        """Issue the upload of one piece."""
        where, part, stream, last = piece
        bounced = is_bounced(array)
        counted = self.counted
        deed = counted.writing("upload", stream, None, part)

        def read() -> Array:
            if deed is not None:
                counted.lands(array, deed)
            whole = self.hooks.locked(array) if pinned else array
            source: Array = self.hooks.host_array(whole[where] if where else whole)
            return source

        staged = np.array(read()) if self.stages and not (blocking or pinned) else None

        def transfer() -> None:
            source = read() if staged is None else staged
            source = self.hooks.bounced(source) if bounced else source
            self._move(self._array(part, WRITTEN), source, "upload", buffer)
            if deed is not None:
                counted.wrote(buffer.storage, deed)

        def put_off() -> None:
            self.memory.arriving.setdefault(buffer.storage.address, []).append(transfer)

        when = self.hooks.arrives("completion")
        at_once = blocking or (self.hooks.reads_locked(when) if pinned else when) == "completion"
        self._issue(stream, transfer if at_once else put_off, blocking and last, "upload")
        if deed is not None:
            counted.flies(array, deed)

    def download(
        self,
        buffer: Buffer,
        *,
        stream: int = 0,
        blocking: bool = True,
        into: Array | None = None,
        share: bool = False,
        chunks: Chunks | None = None,
    ) -> Array:
        """A new host array, or `into`, filled when the command runs, or that of its last piece.

        share: one in the buffer's own memory.
        """
        if share:
            finish(self.queues.queues[stream], self.queues.queues[stream].issued)
            if self.counted.watching:
                self.counted.check([buffer], self.counted.seen([buffer]), Deed("download", stream, None, buffer))
            layout = self.hooks.exported((buffer.offset, buffer.strides), buffer)
            return exported(buffer, buffer.storage.memory.array(buffer, layout))
        target = downloaded(buffer.type, UNFILLED) if into is None else into
        array: Array = self.hooks.host_target(target, self.scratch)
        for piece in self._pieces(buffer, chunks, stream):
            self._download(array, buffer, piece, blocking)
        return array

    def _download(self, array: Array, buffer: Buffer, piece: Piece, blocking: bool) -> None:
        """Issue the download of one piece."""
        where, part, stream, last = piece
        counted = self.counted
        deed, seen = (Deed("download", stream, None, part) if counted.watching else None), counted.seen([buffer])

        def transfer() -> None:
            source = self._array(part, "download")
            if deed is not None:
                counted.lands(array, deed)
                counted.check([buffer], seen, deed)
            self._move(array[where] if where else array, source, "download", buffer)

        self._issue(stream, transfer, blocking and last, "download")
        if deed is not None:
            counted.flies(array, deed)

    def copy(
        self,
        buffer: Buffer,
        source: Any = None,
        *,
        stream: int = 0,
        blocking: bool = True,
        destination: str | None = None,
        chunks: Chunks | None = None,
    ) -> Buffer:
        """A copy of a peer's buffer, read when this device's command runs, in the same layout.

        One that overlaps itself or is sparse is packed. destination: the form of its memory. chunks: one command
        for each piece.
        """
        type, strides = buffer.type, buffer.strides
        if buffer.overlaps_itself:
            strides = contiguous_strides(type.shape, type.np.itemsize)
        below, nbytes = span(type, strides)
        if self.tile or destination is not None or is_sparse(type, nbytes):
            below, strides, nbytes = placed_for(destination, type, *tiles.placed(type, self.tile))
        result = self._allocate(type, below, strides, nbytes, "copy")
        for (_, part), piece in zip(pieces(buffer, chunks), self._pieces(result, chunks, stream), strict=True):
            self._copy(buffer, part, piece, blocking)
        return result

    def _copy(self, buffer: Buffer, part: Buffer, piece: Piece, blocking: bool) -> None:
        """Issue the copy of `part` of a peer's buffer to a piece of this device's."""
        _, target, stream, last = piece
        seen, deed = self.counted.seen([buffer]), self.counted.writing("copy", stream, None, target)

        def transfer() -> None:
            origin = self._array(part, "copy")
            if deed is not None:
                self.counted.check([buffer], seen, deed)
            self._move(self._array(target, WRITTEN), origin, "copy", buffer)
            if deed is not None:
                self.counted.wrote(target.storage, deed)

        self._issue(stream, transfer, blocking and last, "copy")

    def _pieces(self, buffer: Buffer, chunks: Chunks | None, stream: int) -> list[Piece]:
        """What a transfer to or from `buffer` moves by commands of their own."""
        if chunks is None:
            return [((), buffer, stream, True)]
        found = pieces(buffer, chunks)
        first, last = found[0][1], len(found) - 1
        return [
            (
                where,
                self.hooks.chunk(part, first),
                self.hooks.chunk_queue(stream, n == last, self.queues.streams),
                n == last,
            )
            for n, (where, part) in enumerate(found)
        ]

    def _issue(self, stream: int, command: Callable[[], None], blocking: bool, kind: str) -> None:
        stream = self.hooks.queue(stream, kind, self.index)
        position = self.queues.issue_transfer(stream, command, kind, self.hooks.overtakes(False, kind))
        if blocking and self.hooks.host_waits(True, kind):
            finish(self.queues.queues[stream], position)

    def _move(self, target: Array, source: Array, kind: str, buffer: Buffer) -> None:
        source = self.hooks.carried(source, kind)
        moved = self.hooks.moved(source.nbytes, kind)
        self.counted.transfers.extend(self.hooks.legs(((kind, min(moved, source.nbytes)),), buffer))
        if moved >= source.nbytes:
            target[...] = source
            return
        kept = np.ascontiguousarray(target).reshape(-1).view(np.uint8).copy()
        kept[:moved] = np.ascontiguousarray(source).reshape(-1).view(np.uint8)[:moved]
        target[...] = kept.view(target.dtype).reshape(target.shape)

    def _constant(self, array: Array, stream: int) -> Buffer:
        """What a kernel finds of a host array that is built into it: no transfer carries it."""
        held: Array = self.hooks.constant(array)
        type = type_of(held)
        buffer = self._allocate(type, 0, *tiles.placed(type, self.tile), "constant")
        deed = self.counted.writing("constant", stream, None, buffer)
        self._array(buffer, WRITTEN)[...] = held
        if deed is not None:
            self.counted.wrote(buffer.storage, deed)
        return buffer

    def _evict(self, operands: Sequence[Buffer]) -> None:
        """Give up the uploads among operands that are as the host has them; only a fault makes any `evictable`."""
        for address in {b.storage.address for b in operands}:
            buffer, array = self.evictable.pop(address, (None, None))
            if buffer is None or array is None or buffer.storage not in [b.storage for b in operands]:
                continue
            held = self._array(buffer, WRITTEN)
            if held.tobytes() == array.tobytes():
                self.memory.arriving[address] = [partial(self._read_again, buffer, array)]

    def _read_again(self, buffer: Buffer, array: Array) -> None:
        self._array(buffer, WRITTEN)[...] = array

    # ------------------------------------------------------------------------------------------------------ memory
    def _allocate(self, type: ArrayType, offset: int, strides: Strides, nbytes: int, kind: str, op: str = "") -> Buffer:
        place = self.hooks.placed(self.name, self.index, self.profile, kind, op)
        nbytes = self.hooks.size(nbytes, kind)
        if not self.memory.has_room(nbytes):
            self.queues.synchronize()  # what was released on a stream is free once the stream has come to it
            self.memory.collect()
        return Buffer(self._storage(nbytes), type, offset, strides, place)

    def _storage(self, nbytes: int) -> Storage:
        """New memory, or, where a fault is planted, that of another buffer."""
        memory, given = self.memory, None
        if memory.exhausted:
            given = self.hooks.pooled(None, memory, nbytes)
        if given is None and not memory.has_room(nbytes):
            given = self.hooks.exhausted(None, memory, nbytes)
        if given is None:
            return memory.allocate(nbytes)
        memory.share(given)
        return given  # type: ignore[no-any-return]  # of a hook

    def _array(self, buffer: Buffer, use: int | str) -> Array:
        return buffer.storage.memory.array(buffer, self.hooks.layout((buffer.offset, buffer.strides), buffer, use))
