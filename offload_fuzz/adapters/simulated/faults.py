"""Wrongness to plant on purpose: each fault is one function on a named hook, modelled on a public bug report.

A fault gets what the lawful device is about to do, then the circumstances (`offload_fuzz.adapters.simulated.hooks`),
and returns what the faulty device does instead.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from attrs import evolve, frozen

from offload_fuzz.adapters.simulated.hooks import HOOKS, HookFunction
from offload_fuzz.adapters.simulated.memory import Buffer, Layout, contiguous_strides, span
from offload_fuzz.errors import UsageError, one_of
from offload_fuzz.types import NAMES, Array, ArrayType, is_floating, type_of

CLASSES = (
    "transfer",
    "ordering",
    "aliasing",
    "op semantics",
    "fallback",
    "memory",
    "multi-device",
    "precision",
    "metadata",
)


@frozen(eq=False)
class Fault:
    """A name, the hook that it is planted on and its function; its class, one sentence, and a public report like it."""

    name: str
    hook: str
    function: HookFunction
    cls: str
    sentence: str
    report: str


FAULTS: dict[str, Fault] = {}


def fault(name: str, *, hook: str, cls: str, sentence: str, report: str) -> Callable[[HookFunction], HookFunction]:
    """Register the decorated function as a fault; raises `UsageError` for a name that is taken or an unknown hook."""
    where = f"fault {name}"
    if hook not in HOOKS:
        raise one_of("hook", hook, HOOKS, where)
    if cls not in CLASSES:
        raise one_of("fault class", cls, CLASSES, where)
    if name in FAULTS or not name.isidentifier() or name != name.lower():
        raise UsageError(f"fault is called {name!r} but should have its own name, lowercase_with_underscores [{where}]")

    def decorate(function: HookFunction) -> HookFunction:
        FAULTS[name] = Fault(name, hook, function, cls, sentence, report)
        return function

    return decorate


# A decorator below is one row of what `offload-fuzz faults` lists, and is laid out as one.
# fmt: off
# -------------------------------------------------------------------------------------------- strides and offsets
def in_row_major_order(layout: Layout, buffer: Buffer) -> Layout:
    """`layout` with row-major strides, moved back where the elements would not fit into the storage."""
    item = buffer.type.np.itemsize
    room = buffer.storage.nbytes - buffer.type.nbytes
    if room < 0:
        return layout  # an expanded operand: there is no room for its elements in a row
    return min(layout[0], room), contiguous_strides(buffer.type.shape, item)


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


@fault("operand_strides_ignored", hook="layout", cls="op semantics", report="pytorch/pytorch#118115",
       sentence="A kernel takes every operand but the first to be contiguous.")
def _operand_strides_ignored(layout: Layout, buffer: Buffer, use: int | str) -> Layout:
    return in_row_major_order(layout, buffer) if isinstance(use, int) and use >= 1 else layout


@fault("storage_offset_dropped", hook="layout", cls="op semantics", report="pytorch/pytorch#187117",
       sentence="A kernel reads an operand from the start of its storage instead of from its offset.")
def _storage_offset_dropped(layout: Layout, buffer: Buffer, use: int | str) -> Layout:
    if isinstance(use, int) and use >= 0:
        return span(buffer.type, layout[1])[0], layout[1]
    return layout


@fault("offset_wraps", hook="operand", cls="memory", report="pytorch/pytorch#182052",
       sentence="A kernel numbers the elements of an operand modulo 32 (modulo 2**32 in the report).")
def _offset_wraps(array: Array, number: int) -> Array:
    if array.size <= 32:
        return array
    return array.reshape(-1)[np.arange(array.size) % 32].reshape(array.shape)


# ------------------------------------------------------------------------------------------------------ transfers
@fault("last_chunk_lost", hook="moved", cls="transfer", report="pytorch/pytorch#80844",
       sentence="A transfer moves whole chunks of 64 bytes and loses the rest.")
def _last_chunk_lost(nbytes: int, kind: str) -> int:
    return nbytes - nbytes % 64


@fault("peer_copy_lost", hook="moved", cls="multi-device", report="pytorch/pytorch#84803",
       sentence="A copy between two devices reports success and moves nothing.")
def _peer_copy_lost(nbytes: int, kind: str) -> int:
    return 0 if kind == "copy" else nbytes


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


@fault("upload_reads_late", hook="arrives", cls="transfer", report="jax-ml/jax#37830",
       sentence="An asynchronous upload is complete before it has read the host array; its first use reads it.")
def _upload_reads_late(when: str) -> str:
    return "first use"


# ------------------------------------------------------------------------------------------------------- ordering
@fault("upload_returns_early", hook="host_waits", cls="ordering", report="pytorch/pytorch#127612",
       sentence="A blocking upload returns while the host array is still to be read.")
def _upload_returns_early(wait: bool, kind: str) -> bool:
    return wait and kind != "upload"


@fault("download_returns_early", hook="host_waits", cls="ordering", report="pytorch/pytorch#182190",
       sentence="A blocking download returns before its stream has come to it.")
def _download_returns_early(wait: bool, kind: str) -> bool:
    return wait and kind != "download"


@fault("wait_ignored", hook="waits", cls="ordering", report="ROCm/pytorch#3194",
       sentence="A stream does not wait for the event of another stream.")
def _wait_ignored(wait: bool, event: Any, device: str) -> bool:
    return False


@fault("peer_event_ignored", hook="waits", cls="multi-device", report="ggml-org/llama.cpp#21846",
       sentence="A stream waits for events of its own device but not for those of another one.")
def _peer_event_ignored(wait: bool, event: Any, device: str) -> bool:
    return wait and event.device == device


@fault("freed_while_in_use", hook="frees", cls="memory", report="meta-pytorch/torchrec#4231",
       sentence="Released memory is reused at once, though work that reads it is still queued.")
def _freed_while_in_use(when: str) -> str:
    return "issue"


# ------------------------------------------------------------------------------------------------------- aliasing
@fault("in_place_write_lost", hook="written", cls="aliasing", report="pytorch/pytorch#165257",
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


# --------------------------------------------------------------------------------------------- fallback, metadata
#: Ops that a real accelerator often lacks and runs on the host instead.
FALLBACK = frozenset({"argmax", "cumulative_sum", "floor_divide", "pow", "prod", "remainder", "sort", "take"})
NARROWED = {"float64": "float32", "int64": "int32", "uint64": "uint32"}


@fault("fallback_loses_dtype", hook="result_type", cls="fallback", report="xarray-contrib/xarray-spatial#3214",
       sentence="An op that falls back to the host returns 32-bit results for 64-bit ones.")
def _fallback_loses_dtype(type: ArrayType, op: str, operand_types: Sequence[ArrayType]) -> ArrayType:
    return evolve(type, dtype=NARROWED.get(type.dtype, type.dtype)) if op in FALLBACK else type


@fault("fallback_reads_stale", hook="runs", cls="fallback", report="pytorch/pytorch#173808",
       sentence="An op that falls back to the host does not wait for the stream that makes its operands.")
def _fallback_reads_stale(when: str, op: str) -> str:
    return "issue" if op in FALLBACK else when


@fault("wrong_device_index", hook="placed", cls="metadata", report="pytorch/tensordict#1158",
       sentence="An upload goes to the default device instead of the one that was asked (from device 0: to device 1).")
def _wrong_device_index(place: str, index: int, profile: str, kind: str) -> str:
    return f"{profile}:{0 if index else 1}" if kind == "upload" else place


# -------------------------------------------------------------------------------------- op semantics and precision
def _result_fault(
    name: str, ops: str, cls: str, report: str, sentence: str
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A fault in the results of `ops`: function(result, operand arrays, attributes) -> result."""
    names = frozenset(ops.split())

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @fault(name, hook="result", cls=cls, sentence=sentence, report=report)
        def planted(result: Any, op: str, operands: Sequence[Array], attributes: Mapping[str, Any]) -> Any:
            return function(result, operands, attributes) if op in names else result

        return function

    return decorate


@_result_fault("floor_divide_truncates", "floor_divide", "op semantics", "PaddlePaddle/Paddle#46379",
               "floor_divide rounds toward zero.")
def _floor_divide_truncates(result: Any, operands: Sequence[Array], attributes: Mapping[str, Any]) -> Any:
    x1, x2 = operands
    if result.dtype.kind not in "iu":
        return np.trunc(x1 / x2).astype(result.dtype)
    inexact = result * x2 != x1
    return result + ((result < 0) & inexact & (x2 != 0)).astype(result.dtype)


@_result_fault("float32_in_float16", "add subtract multiply divide square matmul", "precision",
               "tensorflow/tensorflow#43393", "float32 arithmetic is done in float16.")
def _float32_in_float16(result: Any, operands: Sequence[Array], attributes: Mapping[str, Any]) -> Any:
    return result.astype(np.float16).astype(np.float32) if result.dtype == np.float32 else result


@_result_fault("integers_through_float32", "abs negative multiply floor_divide max sum", "precision",
               "pytorch/pytorch#190052", "Integer kernels compute in float32 and lose what is above 2**24.")
def _integers_through_float32(result: Any, operands: Sequence[Array], attributes: Mapping[str, Any]) -> Any:
    return result.astype(np.float32).astype(result.dtype) if result.dtype.kind in "iu" else result


@_result_fault("subnormals_flushed", "add subtract multiply divide square", "precision", "cupy/cupy#8382",
               "float32 results below the smallest normal number become zero.")
def _subnormals_flushed(result: Any, operands: Sequence[Array], attributes: Mapping[str, Any]) -> Any:
    if result.dtype != np.float32:
        return result
    return np.where(np.abs(result) < np.finfo(np.float32).smallest_normal, np.float32(0), result)


@_result_fault("extremum_drops_nan", "minimum maximum", "op semantics", "pytorch/pytorch#143976",
               "minimum and maximum return the number where one operand is NaN.")
def _extremum_drops_nan(result: Any, operands: Sequence[Array], attributes: Mapping[str, Any]) -> Any:
    x1, x2 = operands
    if x1.dtype.kind in "iu":
        return result
    return np.where(np.isnan(x1), x2, np.where(np.isnan(x2), x1, result))


@_result_fault("argmax_takes_last", "argmax", "op semantics", "pytorch/pytorch#93630",
               "argmax returns the last of several equal largest elements.")
def _argmax_takes_last(result: Any, operands: Sequence[Array], attributes: Mapping[str, Any]) -> Any:
    (x,), axis = operands, attributes["axis"]
    return x.shape[axis] - 1 - np.argmax(np.flip(x, axis), axis=axis, keepdims=attributes["keepdims"])


@_result_fault("round_half_away", "round", "op semantics", "pytorch/pytorch#16498",
               "round takes a tie away from zero instead of to even.")
def _round_half_away(result: Any, operands: Sequence[Array], attributes: Mapping[str, Any]) -> Any:
    (x,) = operands
    tie = np.abs(x - np.trunc(x)) == 0.5
    return np.where(tie, np.trunc(x) + np.copysign(np.ones((), x.dtype), x), result)


@fault("empty_reduction_unwritten", hook="written", cls="memory", report="apache/tvm#19578",
       sentence="A kernel with an empty operand writes nothing, though its result has elements.")
def _empty_reduction_unwritten(
    write: bool, buffer: Buffer, op: str, operands: Sequence[Buffer], in_place: bool
) -> bool:
    return write and math.prod([b.type.size for b in operands]) > 0
