"""Faults of the class `fallback`: ops that run on the host instead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from attrs import evolve

from offload_fuzz.adapters.simulated.faults.table import fault, result_fault
from offload_fuzz.adapters.simulated.memory import Buffer
from offload_fuzz.adapters.simulated.views import VIEWS
from offload_fuzz.types import Array, ArrayType

# A decorator below is one row of what `offload-fuzz faults` lists, and is laid out as one.
# fmt: off


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


@fault("fallback_stays_on_host", hook="placed", cls="fallback",
       sentence="The result of an op that falls back to the host stays there.")
def _fallback_stays_on_host(place: str, index: int, profile: str, kind: str, op: str) -> str:
    return "numpy" if op in FALLBACK else place


@fault("fallback_write_lost", hook="written", cls="fallback", report="pytorch/pytorch#118362", needs=("reuse",),
       sentence="An in-place op that falls back to the host is not written back to the device.")
def _fallback_write_lost(write: bool, buffer: Buffer, op: str, operands: Sequence[Buffer], in_place: bool) -> bool:
    return write and not (in_place and op in FALLBACK)


@fault("fallback_reads_dense", hook="operand", cls="fallback", inside=True,
       sentence="An op that falls back to the host gets the elements of an operand as they lie in memory.")
def _fallback_reads_dense(array: Array, number: int, op: str) -> Array:
    return array.ravel(order="K").reshape(array.shape) if op in FALLBACK else array


@result_fault("fallback_through_float64", " ".join(FALLBACK), "fallback", "",
              "64-bit integers of an op that falls back to the host come back through float64.")
def _fallback_through_float64(result: Any, operands: Sequence[Array], attributes: Mapping[str, Any]) -> Any:
    if result.dtype.kind not in "iu" or result.dtype.itemsize < 8:
        return result
    back = result.astype(np.float64)
    return np.where(np.abs(back) < 2.0**62, back, 0).astype(result.dtype)


@fault("fallback_hidden", hook="unit", cls="fallback", report="XiaoMi/mace#519",
       sentence="An op that falls back to the host gives the right result, and nobody is told.")
def _fallback_hidden(place: str, op: str, operands: Sequence[Buffer]) -> str:
    return "numpy" if op in FALLBACK else place


@fault("view_over_host", hook="unit", cls="fallback", report="sonos/tract#2897",
       sentence="An op that could be a view downloads its operand and uploads its result.")
def _view_over_host(place: str, op: str, operands: Sequence[Buffer]) -> str:
    return "numpy" if op in VIEWS else place
