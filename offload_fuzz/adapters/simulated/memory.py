"""The simulated device's memory: bytes by address, an allocator that poisons and reuses, buffers as strided views."""

from __future__ import annotations

import ctypes
import math
import weakref
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
from attrs import define, field, frozen

from offload_fuzz.types import ALIGNMENT, DTYPES, Array, ArrayType

#: 16-bit patterns that memory is filled with: NaN in every float dtype, neither bool, and no small integer.
NEVER_WRITTEN = 0xFFF5
FREED = 0xFFFD
START = 1 << 20
SPARSE = 4  # a copy of elements that cover more than so many times their bytes is packed
KEPT = 1 << 26  # an arena that has grown larger than this is given back at the next reset

#: Where a buffer's elements lie in its storage: byte offset of the first one, and byte strides.
Strides = tuple[int, ...]
Layout = tuple[int, Strides]


class OutOfMemory(MemoryError):
    """The device has no room for an allocation.

    What was released, and what nobody holds a buffer of, counts as free. Nothing else changes: what is allocated stays
    as it is, and once something is released there is room again.
    """


@define(eq=False, slots=True)
class Storage:
    """One allocation: `nbytes` bytes from `address` of a memory; live: until it is released.

    issued, done: the writes to it, in the order in which they were issued, and were done (`ledger.Deed`).
    """

    memory: Memory | SharedHost
    address: int
    nbytes: int
    live: bool = True
    issued: list[Any] = field(factory=list)
    done: list[Any] = field(factory=list)


@frozen(eq=False, slots=True)
class Buffer:
    """What the host holds of a device array: a strided view over a storage, and the name of the device it lies on.

    mark: of what a view op made, whether its stream has come to it (`ledger.Mark`).
    """

    storage: Storage
    type: ArrayType
    offset: int
    strides: Strides
    place: str
    mark: Any = None

    @property
    def is_contiguous(self) -> bool:
        """Whether the elements lie in row-major order without gaps."""
        return is_contiguous(self.type, self.strides)

    @property
    def overlaps_itself(self) -> bool:
        """Whether two elements share their bytes, so that it cannot be written."""
        return any(s == 0 and n > 1 for n, s in zip(self.type.shape, self.strides, strict=True))


def pieces(buffer: Buffer, chunks: tuple[int, tuple[int, ...]] | None) -> list[tuple[tuple[slice, ...], Buffer]]:
    """The parts that a transfer in `chunks` moves one after the other: where each is, and its view of the buffer."""
    if chunks is None:
        return [((), buffer)]
    axis, bounds = chunks
    found = []
    for start, stop in pairwise(bounds):
        shape = (*buffer.type.shape[:axis], stop - start, *buffer.type.shape[axis + 1 :])
        offset = buffer.offset + start * buffer.strides[axis]
        part = Buffer(buffer.storage, ArrayType(buffer.type.dtype, shape), offset, buffer.strides, buffer.place)
        found.append(((*(slice(None),) * axis, slice(start, stop)), part))
    return found


def contiguous_strides(shape: tuple[int, ...], itemsize: int) -> Strides:
    """Byte strides of row-major order."""
    strides = []
    for n in reversed(shape):
        strides.append(itemsize)
        itemsize *= max(n, 1)
    return tuple(reversed(strides))


def is_contiguous(type: ArrayType, strides: Strides) -> bool:
    """Whether these are strides of row-major order; those of axes of length 1 and of empty arrays do not matter."""
    step = type.np.itemsize
    for n, s in zip(reversed(type.shape), reversed(strides), strict=True):
        if n == 0:
            return True
        if n > 1 and s != step:
            return False
        step *= n
    return True


def placed_for(how: str | None, type: ArrayType, strides: Strides, nbytes: int) -> tuple[int, Strides, int]:
    """Offset, strides and storage size of what has these strides and size.

    how: "view" or "offset", one element into larger memory; "strided view" or "strided", every second element of each
    row there; anything else: as it is.
    """
    item = type.np.itemsize
    if how in ("view", "offset"):
        return item, strides, nbytes + 2 * item
    if how in ("strided view", "strided") and type.ndim and type.size:
        wide = (*type.shape[:-1], 2 * type.shape[-1] + 1)
        return item, (*contiguous_strides(wide, item)[:-1], 2 * item), math.prod(wide) * item + item
    return 0, strides, nbytes


def span(type: ArrayType, strides: Strides) -> tuple[int, int]:
    """The bytes that the elements cover: how far below the first element they begin, and how many there are."""
    if type.size == 0:
        return 0, 0
    below, above = 0, type.np.itemsize
    for n, s in zip(type.shape, strides, strict=True):
        if s < 0:
            below -= (n - 1) * s
        else:
            above += (n - 1) * s
    return below, below + above


def is_sparse(type: ArrayType, nbytes: int) -> bool:
    """Whether elements that cover so many bytes leave most of them free, so that a copy of them is packed."""
    return nbytes > SPARSE * type.nbytes


def host_layout(array: Array, type: ArrayType) -> tuple[int, Strides, int]:
    """Offset, strides and storage size of a device buffer that keeps the layout of host `array`.

    The storage begins at the multiple of 16 bytes below the array's lowest byte, so misalignment is kept as well. An
    array whose elements lie far apart is packed.
    """
    if array.flags.c_contiguous:
        pad = 0 if array.flags.owndata else array.__array_interface__["data"][0] % 16
        return pad, array.strides if array.size else contiguous_strides(array.shape, array.itemsize), pad + array.nbytes
    below, nbytes = span(type, array.strides)
    if is_sparse(type, nbytes):
        return 0, contiguous_strides(type.shape, array.itemsize), array.nbytes
    pad = (array.__array_interface__["data"][0] - below) % 16
    return pad + below, array.strides, pad + nbytes


class Memory:
    """An arena that grows; freed blocks are poisoned and handed out again last in, first out.

    alignment: of every storage; sizes are rounded up to it, so a freed block fits the next array of about its size.
    capacity: bytes that may be allocated at once, padding to the alignment included; None: no limit.
    arriving: address -> transfers that run at the first use of the storage; only a fault defers one. exhausted:
    whether an allocation has not fitted since the last reset. lost: bytes that nobody gets any more; only a fault loses
    some.
    """

    def __init__(self, alignment: int = 64, capacity: int | None = None) -> None:
        self.alignment = alignment
        self.capacity = capacity
        self.arriving: dict[int, list[Callable[[], None]]] = {}
        self._live: dict[int, tuple[weakref.ref[Storage], int]] = {}
        self._free: dict[int, list[int]] = {}
        self._shared: dict[int, int] = {}
        self._dropped: list[tuple[int, Any]] = []
        self._new_arena(START)
        self.reset()

    def _new_arena(self, capacity: int) -> None:
        raw = np.empty(capacity + 64, np.uint8)
        shift = -raw.ctypes.data % 64
        self.arena: Array = raw[shift : shift + capacity]
        self._words: Array = self.arena.view(np.uint16)

    def reset(self) -> None:
        """Forget every storage. Nothing is cleared: what is allocated later is poisoned then."""
        if len(self.arena) > KEPT:
            self._new_arena(START)
        self.arriving.clear()
        self._live.clear()
        self._free.clear()
        self._shared.clear()
        self._dropped.clear()
        self._used = 0
        self.exhausted, self.lost = False, 0
        self._top = self.alignment

    @property
    def in_use(self) -> int:
        """Bytes that are allocated."""
        return self._used

    def collect(self) -> None:
        """Free what nobody holds a buffer of any more, as a runtime does that counts references."""
        for address, (storage, size) in list(self._live.items()):
            if storage() is None:
                self._free_block(address, size)

    def _size(self, nbytes: int) -> int:
        return max(-(-nbytes // self.alignment), 1) * self.alignment

    def has_room(self, nbytes: int) -> bool:
        """Whether `allocate` can give so many bytes now."""
        return self.capacity is None or self._used + self.lost + self._size(nbytes) <= self.capacity

    def allocate(self, nbytes: int) -> Storage:
        """A storage of at least `nbytes` bytes, poisoned; raises `OutOfMemory`."""
        if self._dropped:
            self._free_dropped()
        size = self._size(nbytes)
        if self.capacity is not None and self._used + self.lost + size > self.capacity:
            self.exhausted = True
            free_bytes = self.capacity - self._used - self.lost
            raise OutOfMemory(
                f"{size:,} bytes are asked for but of {self.capacity:,} only {free_bytes:,} are free; release something"
            )
        self._used += size
        free = self._free.get(size)
        if free:
            address = free.pop()
        else:
            address = self._top
            self._top += size
            if self._top > len(self.arena):
                old = self.arena
                self._new_arena(max(2 * len(old), 2 * self._top))
                self.arena[:address] = old[:address]
        self._words[address >> 1 : (address + size) >> 1] = NEVER_WRITTEN
        storage = Storage(self, address, size)
        dropped = self._dropped
        self._live[address] = (weakref.ref(storage, lambda last: dropped.append((address, last))), size)
        return storage

    def _free_dropped(self) -> None:
        """Free the blocks whose last buffer was let go of, unless they were released before."""
        for address, last in self._dropped:
            live = self._live.get(address)
            if live is not None and live[0] is last:
                self._free_block(address, live[1])
        self._dropped.clear()

    def youngest(self, nbytes: int) -> Storage | None:
        """The storage allocated last of those that are live and have at least so many bytes; None for none."""
        live = (ref() for ref, size in reversed(self._live.values()) if size >= nbytes)
        return next((storage for storage in live if storage is not None), None)

    def share(self, storage: Storage) -> None:
        """Let the storage live until it has been freed once more; only a fault makes buffers share one like this."""
        self._shared[storage.address] = self._shared.get(storage.address, 0) + 1

    def free(self, storage: Storage, untouched: bool = False) -> None:
        """Poison the storage and make it the next to be reused; raises `ValueError` when it is not allocated.

        untouched: only a fault gives it up without poison, and never hands it out again.
        """
        address, size = storage.address, storage.nbytes
        if address not in self._live or self._live[address][0]() is not storage:
            raise ValueError(f"storage at address {address} is released but should be allocated; release it once")
        if self._shared.get(address):
            self._shared[address] -= 1
            return
        storage.live = False
        self._free_block(address, size, untouched)

    def _free_block(self, address: int, size: int, untouched: bool = False) -> None:
        del self._live[address]
        self._used -= size
        self._shared.pop(address, None)
        self.arriving.pop(address, None)
        if untouched:
            return
        self._words[address >> 1 : (address + size) >> 1] = FREED
        self._free.setdefault(size, []).append(address)

    def array(self, buffer: Buffer, layout: Layout) -> Array:
        """The elements of `buffer` at `layout`, as a NumPy view to be used before the next allocation."""
        storage = buffer.storage
        if self.arriving and storage.address in self.arriving:
            for arrive in self.arriving.pop(storage.address):
                arrive()
        offset, strides = layout
        type = buffer.type
        return np.ndarray(type.shape, DTYPES[type.dtype].np, self.arena, storage.address + offset, strides)


class Staging(np.ndarray[Any, Any]):
    """Host memory that a download fills: by it an upload knows what is on its way from one device to another."""


def downloaded(type: ArrayType, fill: int) -> Array:
    """A new host array of `type` in staging memory at a multiple of 64 bytes, each byte `fill`."""
    memory = Staging(type.nbytes + ALIGNMENT, np.uint8)
    memory.fill(fill)
    start = -memory.__array_interface__["data"][0] % ALIGNMENT
    array: Array = np.ndarray(type.shape, type.np, memory, start)
    return array


def is_bounced(array: Array) -> bool:
    """Whether a host array is what a download gave, and so goes from one device to another."""
    return isinstance(array.base, Staging)


class Exported:
    """A buffer by NumPy's array interface: an array made of it keeps the buffer's storage alive."""

    def __init__(self, buffer: Buffer, array: Array) -> None:
        self.buffer = buffer
        self.memory = array
        shown = array.__array_interface__
        self.__array_interface__ = {k: shown[k] for k in ("data", "shape", "strides", "version")}
        self.__array_interface__["typestr"] = f"|V{array.itemsize}"


def exported(buffer: Buffer, array: Array) -> Array:
    """`array`, the elements of `buffer`, as a host array that nobody may write."""
    found: Array = np.asarray(Exported(buffer, array)).view(buffer.type.np)
    found.flags.writeable = False
    return found


class SharedHost:
    """The memory of one host array as if it were the device's own; only a fault uploads without a copy."""

    def __init__(self, array: Array) -> None:
        self.owner = array
        self.raw: Any = (ctypes.c_ubyte * array.nbytes).from_address(array.__array_interface__["data"][0])

    def share(self, storage: Storage) -> None:
        """Nothing to count: the host keeps the array."""

    def free(self, storage: Storage, untouched: bool = False) -> None:
        """Nothing to give back."""

    def array(self, buffer: Buffer, layout: Layout) -> Array:
        """The elements of `buffer` at `layout`, in the host's memory."""
        return np.ndarray(buffer.type.shape, DTYPES[buffer.type.dtype].np, self.raw, *layout)


def shared_with_host(array: Array) -> Storage:
    """A storage that is the memory of a contiguous host array."""
    return Storage(SharedHost(array), 0, array.nbytes)
