"""Faults of the class `compiled regions`: regions that are compiled together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from offload_fuzz.adapters.simulated.faults.parts import narrowed
from offload_fuzz.adapters.simulated.faults.table import fault
from offload_fuzz.adapters.simulated.memory import Buffer
from offload_fuzz.adapters.simulated.regions import Step
from offload_fuzz.types import Array, ArrayType, type_of

# A decorator below is one row of what `offload-fuzz faults` lists, and is laid out as one.
# fmt: off


@fault("region_donates_operand", hook="region_target", cls="compiled regions", report="pytorch/pytorch#94693",
       sentence="A compiled region writes a result into an operand of the same type.", needs=("compile",))
def _region_donates_operand(target: Buffer | None, type: ArrayType, operands: Sequence[Buffer]) -> Buffer | None:
    return next((b for b in operands if b.type == type and not b.overlaps_itself), target)


@fault("region_keeps_last_result", hook="region_results", cls="compiled regions", needs=("compile",),
       sentence="Of several results a compiled region writes the last one only.")
def _region_keeps_last_result(results: list[Any]) -> list[Any]:
    return [None] * (len(results) - 1) + results[-1:]


@fault("region_swaps_results", hook="region_results", cls="compiled regions", needs=("compile",),
       sentence="A compiled region returns two results of the same type in the wrong order.")
def _region_swaps_results(results: list[Any]) -> list[Any]:
    if len(results) < 2 or (results[0].dtype, results[0].shape) != (results[1].dtype, results[1].shape):
        return results
    return [results[1], results[0], *results[2:]]


@fault("region_computes_in_bfloat16", hook="fused", cls="compiled regions", needs=("compile",),
       sentence="Inside a compiled region element-wise float32 arithmetic is done in bfloat16.")
def _region_computes_in_bfloat16(value: Any, number: int, steps: Sequence[Step], values: Sequence[Any]) -> Any:
    op, _, _, type = steps[number]
    if not op.elementwise or type.dtype != "float32":
        return value
    return narrowed(value.astype(np.float32), 16)


@fault("region_cycles_operands", hook="fused", cls="compiled regions", needs=("compile",),
       sentence="Inside a compiled region the elements of an operand that is broadcast are taken one after the other.")
def _region_cycles_operands(value: Any, number: int, steps: Sequence[Step], values: Sequence[Any]) -> Any:
    op, numbers, attributes, type = steps[number]
    given = [values[n] for n in numbers]
    if not op.elementwise or all(x.shape == type.shape for x in given) or 0 in type.shape:
        return value
    return op.numpy(*[np.resize(x, type.shape) for x in given], **attributes).astype(value.dtype)


@fault("region_divides_toward_zero", hook="fused", cls="compiled regions", report="triton-lang/triton#619",
       sentence="Inside a compiled region floor_divide and remainder of integers round the quotient toward zero.",
       needs=("compile",))
def _region_divides_toward_zero(value: Any, number: int, steps: Sequence[Step], values: Sequence[Any]) -> Any:
    op, numbers, *_ = steps[number]
    if op.name not in ("floor_divide", "remainder") or value.dtype.kind != "i":
        return value
    x1, x2 = (values[n] for n in numbers)
    if op.name == "remainder":
        return np.fmod(x1, x2).astype(value.dtype)
    return value + ((value < 0) & (value * x2 != x1) & (x2 != 0)).astype(value.dtype)


@fault("region_keeps_constant", hook="captured", cls="compiled regions", report="uxlfoundation/oneDNN#2312",
       sentence="A region like one that was compiled before is run on the first operand that that one had.",
       needs=("compile", "company"))
def _region_keeps_constant(arrays: list[Array], steps: Sequence[Step], scratch: dict[str, Any]) -> list[Array]:
    nodes = [(op.name, *numbers, repr(sorted(attributes.items())), type) for op, numbers, attributes, type in steps]
    constants = scratch.setdefault("constants", {})
    key = (*nodes, *[type_of(x) for x in arrays])
    return [constants.setdefault(key, np.array(x)) if i == 0 else x for i, x in enumerate(arrays)]


@fault("region_on_host", hook="unit", cls="compiled regions", needs=("compile",),
       sentence="A compiled region of more than two operands runs on the host, with the right results.")
def _region_on_host(place: str, op: str, operands: Sequence[Buffer]) -> str:
    return "numpy" if op == "compiled region" and len(operands) > 2 else place
