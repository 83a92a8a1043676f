"""Faults of the class `errors`: raising where a result is due."""

from __future__ import annotations

from collections.abc import Sequence

from offload_fuzz.adapters.simulated.faults.table import fault
from offload_fuzz.adapters.simulated.memory import Buffer
from offload_fuzz.types import Array

# A decorator below is one row of what `offload-fuzz faults` lists, and is laid out as one.
# fmt: off


@fault("empty_operand_raises", hook="accepts", cls="errors", report="pytorch/pytorch#186972",
       sentence="A kernel raises for an operand without elements.")
def _empty_operand_raises(refusal: str | None, op: str, operands: Sequence[Buffer]) -> str | None:
    return "placeholder tensor is empty" if any(b.type.size == 0 for b in operands) else refusal


@fault("zero_dim_operand_raises", hook="accepts", cls="errors",
       sentence="A kernel of two operands raises for one without axes.")
def _zero_dim_operand_raises(refusal: str | None, op: str, operands: Sequence[Buffer]) -> str | None:
    return "rank 0 is not supported" if len(operands) == 2 and any(b.type.ndim == 0 for b in operands) else refusal


@fault("rank_limit_raises", hook="accepts", cls="errors",
       sentence="A kernel raises for an operand of more than 3 axes.")
def _rank_limit_raises(refusal: str | None, op: str, operands: Sequence[Buffer]) -> str | None:
    return "rank above 3 is not supported" if any(b.type.ndim > 3 for b in operands) else refusal


@fault("strided_matmul_raises", hook="accepts", cls="errors", inside=True,
       sentence="matmul raises for an operand that is not contiguous.")
def _strided_matmul_raises(refusal: str | None, op: str, operands: Sequence[Buffer]) -> str | None:
    return "tensor must be contiguous" if op == "matmul" and not all(b.is_contiguous for b in operands) else refusal


@fault("integer_matmul_raises", hook="accepts", cls="errors",
       sentence="matmul of a declared integer dtype raises.")
def _integer_matmul_raises(refusal: str | None, op: str, operands: Sequence[Buffer]) -> str | None:
    is_integer = op == "matmul" and operands[0].type.np.kind in "iu"
    return f"matmul is not implemented for {operands[0].type.dtype}" if is_integer else refusal


@fault("read_only_source_raises", hook="copies", cls="errors", report="NVIDIA/cudf#1766",
       sentence="An upload raises for a host array that is read-only.")
def _read_only_source_raises(copies: bool, array: Array) -> bool:
    if not array.flags.writeable:
        raise ValueError("buffer source array is read-only")
    return copies


@fault("reversed_source_raises", hook="copies", cls="errors", report="pytorch/pytorch#92680",
       sentence="An upload raises for a host array with a negative stride.")
def _reversed_source_raises(copies: bool, array: Array) -> bool:
    if any(s < 0 for s in array.strides):
        raise ValueError("at least one stride in the given numpy array is negative")
    return copies


@fault("assert_surfaces_late", hook="operand", cls="errors", report="pytorch/pytorch#74079",
       sentence="A kernel fails an assertion where an operand has one element of 4 axes, and says so at a later call.")
def _assert_surfaces_late(array: Array, number: int, op: str) -> Array:
    if array.ndim == 4 and array.size == 1:
        raise RuntimeError("device-side assert triggered")
    return array


@fault("late_error_swallowed", hook="written", cls="errors", report="sonots/cumo#195",
       sentence="A kernel for a result of 33 rows or more does not start, and its error is thrown away.")
def _late_error_swallowed(
    write: bool, buffer: Buffer, op: str, operands: Sequence[Buffer], in_place: bool
) -> bool:
    return write and not (buffer.type.ndim > 0 and buffer.type.shape[0] > 32)
