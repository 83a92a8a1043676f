"""Faults of the class `memory`: addresses, allocation, and elements that no kernel writes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from attrs import evolve

from offload_fuzz.adapters.simulated.faults.parts import unwritten_from
from offload_fuzz.adapters.simulated.faults.table import fault, result_fault
from offload_fuzz.adapters.simulated.memory import Buffer, Layout, Memory, Storage, span
from offload_fuzz.adapters.simulated.views import VIEWS
from offload_fuzz.ops.base import find_op
from offload_fuzz.types import Array

# A decorator below is one row of what `offload-fuzz faults` lists, and is laid out as one.
# fmt: off


@fault("offset_wraps", hook="operand", cls="memory", report="pytorch/pytorch#182052",
       sentence="A kernel numbers the elements of an operand modulo 32 (modulo 2**32 in the report).")
def _offset_wraps(array: Array, number: int, op: str) -> Array:
    if array.size <= 32:
        return array
    return array.reshape(-1)[np.arange(array.size) % 32].reshape(array.shape)


@fault("freed_while_in_use", hook="frees", cls="memory", report="meta-pytorch/torchrec#4231",
       sentence="Released memory is reused at once, though work that reads it is still queued.")
def _freed_while_in_use(when: str) -> str:
    return "issue"


@fault("empty_reduction_unwritten", hook="written", cls="memory", report="apache/tvm#19578",
       sentence="A kernel with an empty operand writes nothing, though its result has elements.")
def _empty_reduction_unwritten(
    write: bool, buffer: Buffer, op: str, operands: Sequence[Buffer], in_place: bool
) -> bool:
    return write and math.prod([b.type.size for b in operands]) > 0


@fault("grid_limit", hook="result", cls="memory",
       sentence="A kernel starts 64 threads at most and leaves the elements beyond unwritten.")
def _grid_limit(result: Any, op: str, operands: Sequence[Array], attributes: Mapping[str, Any]) -> Any:
    return unwritten_from(result, 64)


@fault("vector_tail_unwritten", hook="result", cls="memory",
       sentence="An element-wise kernel works on vectors of 4 and leaves the rest of a longer array unwritten.")
def _vector_tail_unwritten(result: Any, op: str, operands: Sequence[Array], attributes: Mapping[str, Any]) -> Any:
    size = np.size(result)
    return unwritten_from(result, size - size % 4) if size > 4 and find_op(op).elementwise else result


@fault("allocation_rounded_down", hook="size", cls="memory",
       sentence="The allocator rounds the size of a result down to a multiple of 64 bytes.")
def _allocation_rounded_down(nbytes: int, kind: str) -> int:
    return nbytes - nbytes % 64 if kind == "result" else nbytes


@fault("workspace_shared", hook="direct", cls="memory", needs=("stream",),
       sentence="Kernels that are not element-wise pass their results through one workspace for all streams.")
def _workspace_shared(direct: bool, op: str) -> bool:
    return direct and (op in VIEWS or find_op(op).elementwise)


@fault("write_offset_dropped", hook="layout", cls="memory",
       sentence="A kernel that writes into a part of a storage writes to its start.")
def _write_offset_dropped(layout: Layout, buffer: Buffer, use: int | str) -> Layout:
    return (span(buffer.type, layout[1])[0], layout[1]) if use == -1 else layout


@fault("load_rounds_address_down", hook="layout", cls="memory",
       sentence="A kernel loads vectors of 16 bytes from the multiple of 16 below the address of its operand.")
def _load_rounds_address_down(layout: Layout, buffer: Buffer, use: int | str) -> Layout:
    below, _ = span(buffer.type, layout[1])
    first = layout[0] - below
    return (first - first % 16 + below, layout[1]) if isinstance(use, int) and use >= 0 else layout


@result_fault("max_reads_padding", "max", "memory", "",
              "max takes in the zeros that pad the reduced elements to a multiple of 4.")
def _max_reads_padding(result: Any, operands: Sequence[Array], attributes: Mapping[str, Any]) -> Any:
    (x,) = operands
    length = x.size // max(np.size(result), 1)
    if length % 4 == 0 or result.dtype == np.bool_ or result.dtype.kind == "c":
        return result
    return np.where(result < 0, np.zeros((), result.dtype), result)


@fault("zeros_unwritten", hook="written", cls="memory",
       sentence="zeros and zeros_like allocate, and trust the memory to be zero.")
def _zeros_unwritten(write: bool, buffer: Buffer, op: str, operands: Sequence[Buffer], in_place: bool) -> bool:
    return write and op not in ("zeros", "zeros_like")


@fault("freed_early_untouched", hook="frees", cls="memory",
       sentence="Released memory is given up at once, though queued work still uses it; nobody takes it, so it keeps "
                "its bytes.")
def _freed_early_untouched(when: str) -> str:
    return "untouched"


@fault("view_without_its_base", hook="holds", cls="memory", needs=("lifetime",),
       sentence="A view, but for a reshape, keeps no base alive: the memory is free once the host lets go of the base.")
def _view_without_its_base(storage: Storage, op: str) -> Storage:
    return storage if op == "reshape" else evolve(storage)


@fault("exhausted_memory_lost", hook="exhausted", cls="memory", report="pytorch/pytorch#27600",
       profile="simulated.tight",
       sentence="What is allocated when an allocation does not fit stays taken for good, whoever releases it.")
def _exhausted_memory_lost(given: Storage | None, memory: Memory, nbytes: int) -> Storage | None:
    memory.lost += memory.in_use
    return given


@fault("exhausted_pool_stale", hook="pooled", cls="memory", report="ROCm/legacy-rocm-build#6603",
       profile="simulated.tight",
       sentence="Once an allocation did not fit, the pool hands out blocks that others still hold.")
def _exhausted_pool_stale(given: Storage | None, memory: Memory, nbytes: int) -> Storage | None:
    return given or memory.youngest(nbytes)


@fault("exhausted_unchecked", hook="exhausted", cls="memory", report="cupy/cupy#9899", profile="simulated.tight",
       sentence="An allocation that does not fit is not reported, where memory of another buffer has the size.")
def _exhausted_unchecked(given: Storage | None, memory: Memory, nbytes: int) -> Storage | None:
    return given or memory.youngest(nbytes)
