"""Faults of the class `aliasing`: memory that is shared, and writes that go astray."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from attrs import evolve

from offload_fuzz.adapters.simulated.faults.table import fault, in_row_major_order
from offload_fuzz.adapters.simulated.memory import Buffer, Layout, contiguous_strides
from offload_fuzz.types import NAMES, Array, ArrayType, is_floating

# A decorator below is one row of what `offload-fuzz faults` lists, and is laid out as one.
# fmt: off


@fault("clean_upload_evicted", hook="evicted", cls="aliasing", needs=("overwrite",), report="jax-ml/jax#37830",
       sentence="An upload that a kernel has read is given up, and its next use reads the host array again.")
def _clean_upload_evicted(evicted: bool, array: Array) -> bool:
    return True


@fault("in_place_write_lost", hook="written", cls="aliasing", needs=("reuse",), inside=True,
       report="pytorch/pytorch#165257",
       sentence="An in-place op on a buffer that is not contiguous writes to a temporary that is thrown away.")
def _in_place_write_lost(write: bool, buffer: Buffer, op: str, operands: Sequence[Buffer], in_place: bool) -> bool:
    return write and not (in_place and not buffer.is_contiguous)


@fault("setitem_mutates_operand", hook="target", cls="aliasing", report="pytorch/pytorch#198094",
       sentence="setitem writes the region into its operand instead of into a copy.")
def _setitem_mutates_operand(target: Buffer | None, op: str, operands: Sequence[Buffer], type: ArrayType) -> Any:
    return operands[0] if op == "setitem" and not operands[0].overlaps_itself else target


@fault("noop_returns_operand", hook="target", cls="aliasing", report="jax-ml/jax#3412",
       sentence="An op that happens to change nothing (a cast to the same dtype) returns its operand and not a copy.")
def _noop_returns_operand(target: Buffer | None, op: str, operands: Sequence[Buffer], type: ArrayType) -> Any:
    if not operands:
        return target
    x, *others = operands
    if op == "where":
        x, *others = others
    is_noop = (
        op == "astype"
        or (op == "abs" and type.dtype.startswith("u"))
        or (op in ("sum", "prod", "mean", "max"))  # of the operand's type: over nothing, or over axes of length 1
        or (op in ("concat", "setitem") and others[0].type.size == 0)
        or (op in ("where", "minimum", "maximum", "logical_and", "bitwise_and") and others[0] is x)
    )
    return x if is_noop and x.type == type and not x.overlaps_itself else target


@fault("aligned_upload_aliases", hook="copies", cls="aliasing", inside=True, report="jax-ml/jax#37830",
       sentence="An upload of a contiguous host array that begins at a multiple of 64 bytes shares its memory.")
def _aligned_upload_aliases(copies: bool, array: Array) -> bool:
    return copies and not (
        array.flags.c_contiguous and array.size and array.__array_interface__["data"][0] % 64 == 0
    )


@fault("reshape_of_strided_is_view", hook="view", cls="aliasing",
       sentence="A reshape of a buffer that is not contiguous is a view of its storage, as if it were.")
def _reshape_of_strided_is_view(layout: Layout | None, op: str, buffer: Buffer, type: ArrayType) -> Layout | None:
    if op != "reshape" or layout is not None or type.size == 0:
        return layout
    wanted = evolve(buffer, type=type)
    return in_row_major_order((buffer.offset, contiguous_strides(type.shape, type.np.itemsize)), wanted) \
        if buffer.storage.nbytes >= type.nbytes else None


@fault("downloads_share_staging", hook="host_target", cls="aliasing",
       sentence="Downloads of the same dtype and shape all return the one host array that they are staged in.")
def _downloads_share_staging(array: Array, scratch: dict[str, Any]) -> Array:
    found: Array = scratch.setdefault(f"staging {array.dtype} {array.shape}", array)
    return found


@fault("sort_mutates_operand", hook="result", cls="aliasing", inside=True,
       sentence="sort sorts its operand in place and returns a copy of it.")
def _sort_mutates_operand(result: Any, op: str, operands: Sequence[Array], attributes: Mapping[str, Any]) -> Any:
    if op == "sort" and operands[0].shape == np.shape(result):
        operands[0][...] = result
    return result


@fault("upload_converts_source", hook="host_array", cls="aliasing",
       sentence="An upload gives zeros one sign in the host's own array.")
def _upload_converts_source(array: Array) -> Array:
    if array.flags.writeable and is_floating(NAMES[array.dtype]):
        array[array == 0] = 0
    return array


@fault("strided_target_unwritten", hook="written", cls="aliasing", inside=True, needs=("update",),
       sentence="An op whose result goes into a view with gaps writes to a temporary that is thrown away.")
def _strided_target_unwritten(write: bool, buffer: Buffer, op: str, operands: Sequence[Buffer], in_place: bool) -> bool:
    return write and (in_place or buffer.is_contiguous)
