"""The host's own part of a run: arrays of every form that values are handed over in, and the float mode.

Arrays lie in memory that shows what was written around them.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from offload_fuzz.types import Array, ArrayType, bits_of

CANARY = 0xC5
#: Bytes that host memory is taken in.
BLOCK = 8192
#: Bytes of a page; larger ones have borders at multiples of it too.
PAGE = 4096


def _ordinary(nbytes: int) -> Array:
    block: Array = np.empty(nbytes, np.uint8)
    return block


class HostMemory:
    """Host arrays cut from blocks filled with the canary, since asking an array for its address costs a microsecond.

    Nothing is given out twice; a block lives as long as the arrays in it. allocate: gives a block of so many bytes.
    """

    __slots__ = ("allocate", "at", "block", "left")

    def __init__(self, allocate: Callable[[int], Array] = _ordinary) -> None:
        self.left = 0
        self.allocate = allocate

    def take(self, nbytes: int, offset: int) -> Array:
        """`nbytes` bytes that start `offset` (< 64) bytes past a multiple of 64, 64 canaries and more around them."""
        need = (nbytes + 3 * 64) & -64
        if need > self.left:
            self.left = max(BLOCK, need)
            self.block = self.allocate(self.left + 2 * 64)
            self.block.fill(CANARY)
            self.at = (-self.block.ctypes.data) % 64 + 64
        start = self.at + offset
        self.at += need
        self.left -= need
        return self.block[start : start + nbytes]


def across_pages(nbytes: int, item: int, allocate: Callable[[int], Array] = _ordinary) -> Array:
    """`nbytes` bytes among canaries: half of their elements of `item` bytes end one page, the rest begin the next."""
    before = item * max(nbytes // item // 2, 1)
    block = allocate(nbytes + before + PAGE + 2 * 64)
    block.fill(CANARY)
    start = (-(block.ctypes.data + 64 + before)) % PAGE + 64
    return block[start : start + nbytes]


def arrange(
    array: Array, layout: str, alignment: int, readonly: bool, memory: HostMemory | None = None, across: bool = False
) -> tuple[Array, Array]:
    """A copy of `array` in a new host array of the given form, cut from `memory`, and the bytes in which it lies.

    strided: every second element of each row, one element in; negative: last axis reversed in memory; broadcast:
    stride 0 along each axis on which the elements are all equal. alignment 1: off 64 bytes by one element.
    across: half in one page, half in the next.
    """
    item = array.itemsize
    shape = array.shape
    small = array
    space = shape
    if layout == "strided" and shape:
        space = (*shape[:-1], 2 * shape[-1] + 1)
    elif layout == "fortran":
        space = shape[::-1]
    elif layout == "broadcast":
        for axis in constant_axes(array):
            small = small[(slice(None),) * axis + (slice(0, 1),)]
        space = small.shape
    memory = HostMemory() if memory is None else memory
    nbytes = item * math.prod(space)
    backing = (
        across_pages(nbytes, item, memory.allocate) if across else memory.take(nbytes, item if alignment == 1 else 0)
    )
    out: Array = np.ndarray(space, array.dtype, backing)
    if layout == "strided" and shape:
        out = out[..., 1::2]
    elif layout == "fortran":
        out = out.T
    elif layout == "negative" and shape:
        out = out[..., ::-1]
    out[...] = small
    if layout == "broadcast":
        out = np.broadcast_to(out, shape)
    elif readonly:
        out.flags.writeable = False
    return out, backing


def relocated(array: Array, memory: HostMemory) -> Array:
    """A copy of `array` with the same strides, cut from `memory`: its bytes begin at a multiple of 64.

    Where NumPy puts a result is chance, and what a device does with an aligned array would be too.
    """
    steps = [((n - 1) * step) for n, step in zip(array.shape, array.strides, strict=True)] if array.size else []
    start = -sum(s for s in steps if s < 0)
    raw = memory.take(start + sum(s for s in steps if s > 0) + array.itemsize, 0)
    out: Array = np.ndarray(array.shape, array.dtype, raw, start, array.strides)
    out[...] = array
    out.flags.writeable = array.flags.writeable
    return out


def destination(type: ArrayType, how: str, memory: HostMemory) -> tuple[Array, Array]:
    """A host array for a download in bytes that are canaries, and these: one element in, or every second of a row."""
    shape = type.shape
    gaps = how == "strided" and bool(shape)
    space = (*shape[:-1], 2 * shape[-1] + 1) if gaps else (type.size + 2,)
    backing = memory.take(type.np.itemsize * math.prod(space), 0)
    whole: Array = np.ndarray(space, type.np, backing)
    return whole[..., 1::2] if gaps else whole[1:-1].reshape(shape), backing


def spilled(backing: Array, array: Array) -> bool:
    """Whether a byte around `array` in `backing` is no canary any more."""
    rest = backing.copy()
    start = array.__array_interface__["data"][0] - backing.__array_interface__["data"][0]
    if array.size:
        blank = np.ndarray(array.shape, f"V{array.itemsize}", rest, start, array.strides)
        blank[...] = np.full(array.itemsize, CANARY, np.uint8).view(blank.dtype)[0]
    return bool((rest != CANARY).any())


def constant_axes(array: Array) -> list[int]:
    """The axes, longer than 1, along which all elements have the same bits."""
    if array.size == 0:
        return []
    bits = bits_of(array)
    return [
        i
        for i, n in enumerate(array.shape)
        if n > 1 and bool((bits == bits[(slice(None),) * i + (slice(0, 1),)]).all())
    ]


def float_environment() -> str | None:
    """What is wrong with the host's floating-point mode: flush to zero, or rounding other than to nearest.

    Python's floats are computed in the mode that NumPy's are, at a tenth of the cost. A flushed result, and a subnormal
    operand that is taken for zero, are not greater than zero.
    """
    tiny, one, quarter = _NUMBERS
    if not tiny * one > 0.0:
        return "subnormals are flushed to zero"
    if one + quarter != one or -one - quarter != -one or one + 3 * quarter == one:  # up, down, toward zero
        return "rounding is not to nearest"
    return None


#: A subnormal, one, and a quarter of one's last place.
_NUMBERS = (2.0**-1060, 1.0, 2.0**-54)
