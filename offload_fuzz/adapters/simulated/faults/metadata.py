"""Faults of the class `metadata`: dtypes, shapes and places of results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from attrs import evolve

from offload_fuzz.adapters.simulated.faults.table import fault
from offload_fuzz.adapters.simulated.views import VIEWS
from offload_fuzz.types import Array, ArrayType

# A decorator below is one row of what `offload-fuzz faults` lists, and is laid out as one.
# fmt: off


INDICES = frozenset({"argmax", "argmin", "argsort", "searchsorted", "count_nonzero"})
COMPARISONS = frozenset({"equal", "not_equal", "less", "less_equal", "greater", "greater_equal"})


@fault("wrong_device_index", hook="placed", cls="metadata", report="pytorch/tensordict#1158",
       sentence="An upload goes to the default device instead of the one that was asked (from device 0: to device 1).")
def _wrong_device_index(place: str, index: int, profile: str, kind: str, op: str) -> str:
    return f"{profile}:{0 if index else 1}" if kind == "upload" else place


@fault("zero_dim_gains_axis", hook="result_type", cls="metadata",
       sentence="A result without axes comes back with one of length 1.")
def _zero_dim_gains_axis(type: ArrayType, op: str, operand_types: Sequence[ArrayType]) -> ArrayType:
    return evolve(type, shape=(1,)) if type.shape == () and op not in VIEWS else type


@fault("leading_axis_dropped", hook="result_type", cls="metadata",
       sentence="A result of two axes or more loses a first one of length 1.")
def _leading_axis_dropped(type: ArrayType, op: str, operand_types: Sequence[ArrayType]) -> ArrayType:
    if type.ndim < 2 or type.shape[0] != 1 or op in VIEWS:
        return type
    return evolve(type, shape=type.shape[1:])


@fault("index_dtype_narrowed", hook="result_type", cls="metadata", report="pytorch/executorch#20765",
       sentence="argmax, argmin, argsort, searchsorted and count_nonzero return int32.")
def _index_dtype_narrowed(type: ArrayType, op: str, operand_types: Sequence[ArrayType]) -> ArrayType:
    return evolve(type, dtype="int32") if op in INDICES else type


@fault("bfloat16_promoted", hook="result_type", cls="metadata",
       sentence="Results of bfloat16 come back as float32.")
def _bfloat16_promoted(type: ArrayType, op: str, operand_types: Sequence[ArrayType]) -> ArrayType:
    return evolve(type, dtype="float32") if type.dtype == "bfloat16" and op not in VIEWS else type


@fault("unsigned_becomes_signed", hook="result_type", cls="metadata",
       sentence="Results of unsigned dtypes come back signed.")
def _unsigned_becomes_signed(type: ArrayType, op: str, operand_types: Sequence[ArrayType]) -> ArrayType:
    is_unsigned = type.np.kind == "u" and op not in VIEWS
    return evolve(type, dtype=type.dtype.removeprefix("u")) if is_unsigned else type


@fault("bool_is_255", hook="result", cls="metadata", report="pytorch/pytorch#54789",
       sentence="Comparisons write 0xFF for true.")
def _bool_is_255(result: Any, op: str, operands: Sequence[Array], attributes: Mapping[str, Any]) -> Any:
    return (np.asarray(result).view(np.uint8) * np.uint8(255)).view(np.bool_) if op in COMPARISONS else result
