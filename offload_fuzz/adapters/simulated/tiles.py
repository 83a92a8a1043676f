"""Tiles: the last two axes of each array padded in memory to whole tiles, which no result may show.

The padding of a new array is poison; an element-wise kernel that is given whole arrays runs over their tiles, padding
and all, so that it then holds whatever was computed there. Every other kernel masks it: it reads elements only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

from offload_fuzz.adapters.simulated.memory import Buffer, Strides, contiguous_strides
from offload_fuzz.types import ArrayType

#: Rows and columns.
Tile: TypeAlias = tuple[int, int]


def padded(type: ArrayType, tile: Tile) -> ArrayType:
    """The type of the array with its padding: the last two axes rounded up to whole tiles."""
    rest, last = type.shape[:-2], type.shape[-2:]
    up = (-(-n // size) * size for n, size in zip(last, tile[2 - len(last) :], strict=True))
    return ArrayType(type.dtype, (*rest, *up))


def placed(type: ArrayType, tile: Tile | None) -> tuple[Strides, int]:
    """Byte strides and storage size of a new array of this type; `tile` None: in a row, without padding."""
    full = type if tile is None else padded(type, tile)
    item = type.np.itemsize
    return contiguous_strides(full.shape, item), item * math.prod(full.shape)


def whole(buffers: Sequence[Buffer], tile: Tile) -> list[Buffer] | None:
    """The arrays with their padding, where all have one shape and lie in their storages as `placed` says."""
    shape = buffers[0].type.shape
    found = []
    for b in buffers:
        strides, nbytes = placed(b.type, tile)
        if b.type.shape != shape or b.offset or b.strides != strides or nbytes > b.storage.nbytes:
            return None
        found.append(Buffer(b.storage, padded(b.type, tile), 0, strides, b.place))
    return found
