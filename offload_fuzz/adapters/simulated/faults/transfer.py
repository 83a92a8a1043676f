"""Faults of the class `transfer`: what a transfer carries, and how it finds the elements."""

from __future__ import annotations

import ctypes
from typing import Any, TypeAlias

import numpy as np
from attrs import evolve
from numpy.lib.stride_tricks import as_strided

from offload_fuzz.adapters.simulated.faults.parts import flushed, forward, unwritten_from
from offload_fuzz.adapters.simulated.faults.table import fault, in_row_major_order
from offload_fuzz.adapters.simulated.memory import Buffer, Layout, contiguous_strides, span
from offload_fuzz.types import NAMES, Array, is_floating, type_of

#: The transfers that one becomes: kind and bytes of each.
Legs: TypeAlias = tuple[tuple[str, int], ...]

# A decorator below is one row of what `offload-fuzz faults` lists, and is laid out as one.
# fmt: off


@fault("upload_strides_ignored", hook="host_array", cls="transfer", report="pytorch/pytorch#85967",
       sentence="An upload copies the bytes from the first element on, as if the host array were contiguous.")
def _upload_strides_ignored(array: Array) -> Array:
    if array.flags.c_contiguous:
        return array
    below, nbytes = span(type_of(array), array.strides)
    row = np.full(array.nbytes, 0xA5, np.uint8)
    found = ctypes.string_at(array.__array_interface__["data"][0], min(nbytes - below, array.nbytes))
    row[: len(found)] = np.frombuffer(found, np.uint8)
    return row.view(array.dtype).reshape(array.shape)


@fault("download_strides_ignored", hook="layout", cls="transfer", report="pytorch/pytorch#189961",
       sentence="A download copies a strided buffer as one run of bytes.")
def _download_strides_ignored(layout: Layout, buffer: Buffer, use: int | str) -> Layout:
    return in_row_major_order(layout, buffer) if use == "download" else layout


@fault("last_chunk_lost", hook="moved", cls="transfer", report="pytorch/pytorch#80844",
       sentence="A transfer moves whole chunks of 64 bytes and loses the rest.")
def _last_chunk_lost(nbytes: int, kind: str) -> int:
    return nbytes - nbytes % 64


@fault("int64_narrowed", hook="carried", cls="transfer", report="pytorch/pytorch#78848",
       sentence="64-bit integers cross to the device through 32 bits.")
def _int64_narrowed(array: Array, kind: str) -> Array:
    if kind == "upload" and array.dtype.kind in "iu" and array.itemsize == 8:
        return array.astype(f"{array.dtype.kind}4").astype(array.dtype)
    return array


@fault("zero_sign_and_nan_lost", hook="carried", cls="transfer", report="tenstorrent/tt-metal#13953",
       sentence="A transfer gives every NaN one payload, and -0.0 the sign of +0.0.")
def _zero_sign_and_nan_lost(array: Array, kind: str) -> Array:
    if not is_floating(NAMES[array.dtype]):
        return array
    zero = np.zeros((), array.dtype)
    return np.where(np.isnan(array), np.asarray(np.nan, array.dtype), np.where(array == 0, zero, array))


@fault("upload_reads_late", hook="arrives", cls="transfer", needs=("transfer",), report="jax-ml/jax#37830",
       sentence="An asynchronous upload is complete before it has read the host array; its first use reads it.")
def _upload_reads_late(when: str) -> str:
    return "first use"


@fault("float64_narrowed", hook="carried", cls="transfer",
       sentence="64-bit floats cross to the device through 32 bits.")
def _float64_narrowed(array: Array, kind: str) -> Array:
    return array.astype(np.float32).astype(np.float64) if kind == "upload" and array.dtype == np.float64 else array


@fault("imaginary_part_lost", hook="carried", cls="transfer",
       sentence="A download keeps the real part of complex numbers only.")
def _imaginary_part_lost(array: Array, kind: str) -> Array:
    return array.real.astype(array.dtype) if kind == "download" and array.dtype.kind == "c" else array


@fault("row_pitch_ignored", hook="carried", cls="transfer",
       sentence="A download takes rows for packed, though the device stores each from a multiple of 16 bytes on.")
def _row_pitch_ignored(array: Array, kind: str) -> Array:
    if kind != "download" or array.ndim < 2 or array.size == 0:
        return array
    row = array.shape[-1] * array.itemsize
    rows = np.ascontiguousarray(array).reshape(-1, array.shape[-1]).view(np.uint8)
    stored = np.full((len(rows), -(-row // 16) * 16), 0xA5, np.uint8)
    stored[:, :row] = rows
    return stored.reshape(-1)[: array.nbytes].view(array.dtype).reshape(array.shape)


@fault("reversed_axes_uploaded_forward", hook="host_array", cls="transfer",
       sentence="An upload takes the size of a negative stride and loses its sign.")
def _reversed_axes_uploaded_forward(array: Array) -> Array:
    return forward(array)


@fault("tiny_transfer_lost", hook="moved", cls="transfer",
       sentence="A transfer of fewer than 4 bytes reports success and moves nothing.")
def _tiny_transfer_lost(nbytes: int, kind: str) -> int:
    return 0 if nbytes < 4 else nbytes


@fault("download_flushes_subnormals", hook="carried", cls="transfer",
       sentence="A download turns subnormal float32 into zero.")
def _download_flushes_subnormals(array: Array, kind: str) -> Array:
    return flushed(array) if kind == "download" else array


def _is_part(buffer: Buffer) -> bool:
    return buffer.offset > 0 or not buffer.is_contiguous


@fault("download_moves_whole_storage", hook="legs", cls="transfer", report="torch-spyre/torch-spyre#4556",
       sentence="A download of a part of a storage moves all of it to the host, and takes the part there.")
def _download_moves_whole_storage(legs: Legs, buffer: Buffer) -> Legs:
    ((kind, nbytes),) = legs
    return ((kind, max(nbytes, buffer.storage.nbytes)),) if kind == "download" and _is_part(buffer) else legs


@fault("upload_copied_back", hook="legs", cls="transfer", report="hw-native-sys/simpler#1047",
       sentence="What was uploaded is copied back to the host as well, though nobody wrote it.")
def _upload_copied_back(legs: Legs, buffer: Buffer) -> Legs:
    ((kind, nbytes),) = legs
    return (*legs, ("download", nbytes)) if kind == "upload" else legs


@fault("download_into_gaps", hook="host_target", cls="transfer", needs=("destination",),
       sentence="A download into a host array with gaps writes the elements one after the other.")
def _download_into_gaps(array: Array, scratch: dict[str, Any]) -> Array:
    if array.flags.c_contiguous:
        return array
    packed: Array = as_strided(array, strides=contiguous_strides(array.shape, array.itemsize))
    return packed


@fault("export_offset_dropped", hook="exported", cls="transfer", needs=("transfer",),
       sentence="A host array that lies in device memory begins where the storage does, not where the buffer does.")
def _export_offset_dropped(layout: Layout, buffer: Buffer) -> Layout:
    return span(buffer.type, layout[1])[0], layout[1]


@fault("second_page_lost", hook="host_array", cls="transfer", needs=("paging",),
       sentence="A short upload from an address that is no multiple of 16 ends with the page that it begins in.")
def _second_page_lost(array: Array) -> Array:
    below, nbytes = span(type_of(array), array.strides)
    start = array.__array_interface__["data"][0] - below
    left = 4096 - start % 4096
    if start % 16 == 0 or not left < nbytes < 48 or not array.flags.c_contiguous:
        return array
    there: Array = unwritten_from(array, left // array.itemsize)
    return there


@fault("later_chunk_at_base", hook="chunk", cls="transfer", needs=("chunks",), report="kvcache-ai/Mooncake#3243",
       sentence="Of a transfer in chunks every piece goes to, or comes from, where the first one lies.")
def _later_chunk_at_base(buffer: Buffer, first: Buffer) -> Buffer:
    return evolve(buffer, offset=first.offset)


@fault("pinned_source_read_late", hook="reads_locked", cls="transfer", needs=("transfer", "pinned"),
       report="pytorch/pytorch#68749",
       sentence="An asynchronous upload from page-locked memory is complete before that is read, at its first use.")
def _pinned_source_read_late(when: str) -> str:
    return "first use"


@fault("pinned_offset_dropped", hook="locked", cls="transfer", needs=("pinned",),
       report="nntile/nntile#464",
       sentence="An upload from page-locked memory reads from a multiple of 64 bytes on, where it was registered.")
def _pinned_offset_dropped(array: Array) -> Array:
    below, nbytes = span(type_of(array), array.strides)
    start = array.__array_interface__["data"][0]
    off = (start - below) % 64
    if not off or not nbytes:
        return array
    raw: Any = (ctypes.c_ubyte * nbytes).from_address(start - below - off)
    moved: Array = np.ndarray(array.shape, array.dtype, raw, below, array.strides)
    return moved
