"""Faults of the class `op semantics`: what an op means at the boundary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from offload_fuzz.adapters.simulated.faults.parts import PLAIN_FLOATS, forward
from offload_fuzz.adapters.simulated.faults.table import fault, in_row_major_order, result_fault
from offload_fuzz.adapters.simulated.memory import Buffer, Layout, span
from offload_fuzz.types import NAMES, Array, ArrayType, is_floating

# A decorator below is one row of what `offload-fuzz faults` lists, and is laid out as one.
# fmt: off


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


@result_fault("floor_divide_truncates", "floor_divide", "op semantics", "PaddlePaddle/Paddle#46379",
               "floor_divide rounds toward zero.")
def _floor_divide_truncates(result: Any, operands: Sequence[Array], attributes: Mapping[str, Any]) -> Any:
    x1, x2 = operands
    if result.dtype.kind not in "iu":
        return np.trunc(x1 / x2).astype(result.dtype)
    inexact = result * x2 != x1
    return result + ((result < 0) & inexact & (x2 != 0)).astype(result.dtype)


@result_fault("extremum_drops_nan", "minimum maximum", "op semantics", "pytorch/pytorch#143976",
               "minimum and maximum return the number where one operand is NaN.")
def _extremum_drops_nan(result: Any, operands: Sequence[Array], attributes: Mapping[str, Any]) -> Any:
    x1, x2 = operands
    if x1.dtype.kind in "iu":
        return result
    return np.where(np.isnan(x1), x2, np.where(np.isnan(x2), x1, result))


@result_fault("argmax_takes_last", "argmax", "op semantics", "pytorch/pytorch#93630",
               "argmax returns the last of several equal largest elements.")
def _argmax_takes_last(result: Any, operands: Sequence[Array], attributes: Mapping[str, Any]) -> Any:
    (x,), axis = operands, attributes["axis"]
    return x.shape[axis] - 1 - np.argmax(np.flip(x, axis), axis=axis, keepdims=attributes["keepdims"])


@result_fault("round_half_away", "round", "op semantics", "pytorch/pytorch#16498",
               "round takes a tie away from zero instead of to even.")
def _round_half_away(result: Any, operands: Sequence[Array], attributes: Mapping[str, Any]) -> Any:
    (x,) = operands
    tie = np.abs(x - np.trunc(x)) == 0.5
    return np.where(tie, np.trunc(x) + np.copysign(np.ones((), x.dtype), x), result)


@fault("expanded_operand_cycled", hook="operand", cls="op semantics", inside=True, report="pytorch/pytorch#12230",
       sentence="A kernel reads an operand of stride 0 as the elements that are there, over and over.")
def _expanded_operand_cycled(array: Array, number: int, op: str) -> Array:
    if 0 not in array.strides or array.size == 0:
        return array
    there = array[tuple([slice(0, 1) if s == 0 else slice(None) for s in array.strides])]
    return np.resize(there.reshape(-1), array.shape)


@fault("reversed_operand_read_forward", hook="operand", cls="op semantics", inside=True,
       sentence="A kernel takes the size of a negative stride and loses its sign.")
def _reversed_operand_read_forward(array: Array, number: int, op: str) -> Array:
    return forward(array)


@fault("getitem_ignores_step", hook="view", cls="op semantics",
       sentence="getitem with a step takes the elements that lie side by side.")
def _getitem_ignores_step(layout: Layout | None, op: str, buffer: Buffer, type: ArrayType) -> Layout | None:
    if op != "getitem" or layout is None or type.size == 0:
        return layout
    kept = (s if abs(s) < abs(t) else t for s, t in zip(buffer.strides, layout[1], strict=True))
    return layout[0], tuple(s if (s < 0) == (t < 0) else t for s, t in zip(kept, layout[1], strict=True))


@result_fault("remainder_of_dividend_sign", "remainder", "op semantics", "JuliaGPU/CUDA.jl#748",
              "remainder has the sign of the dividend, as fmod does.")
def _remainder_of_dividend_sign(result: Any, operands: Sequence[Array], attributes: Mapping[str, Any]) -> Any:
    return np.fmod(*operands).astype(result.dtype) if NAMES[result.dtype] in PLAIN_FLOATS else result


@result_fault("where_by_arithmetic", "where", "op semantics", "tenstorrent/tt-metal#39181",
              "where is condition * x1 + (1 - condition) * x2, so NaN and infinities come from either side.")
def _where_by_arithmetic(result: Any, operands: Sequence[Array], attributes: Mapping[str, Any]) -> Any:
    condition, x1, x2 = operands
    if not is_floating(NAMES[result.dtype]):
        return result
    bad = np.where(condition, ~np.isfinite(x2), ~np.isfinite(x1))
    return np.where(bad, np.asarray(np.nan, result.dtype), result)


@result_fault("max_drops_nan", "max min", "op semantics", "apache/tvm#19518",
              "max and min leave NaN out.")
def _max_drops_nan(result: Any, operands: Sequence[Array], attributes: Mapping[str, Any]) -> Any:
    (x,) = operands
    if NAMES[x.dtype] not in PLAIN_FLOATS or not np.isnan(result).any():
        return result
    other = np.fmax.reduce(x, axis=attributes["axis"], keepdims=attributes["keepdims"])
    return np.where(np.isnan(result), other, result)


@result_fault("clip_loses_nan", "clip", "op semantics", "ml-explore/mlx#468",
              "clip turns NaN into its lower bound.")
def _clip_loses_nan(result: Any, operands: Sequence[Array], attributes: Mapping[str, Any]) -> Any:
    if not is_floating(NAMES[result.dtype]):
        return result
    return np.where(np.isnan(operands[0]), np.asarray(float(attributes["min"])).astype(result.dtype), result)


@result_fault("float_to_bool_truncates", "astype", "op semantics", "triton-lang/triton#544",
              "A cast to bool truncates first, so 0.5 is false.")
def _float_to_bool_truncates(result: Any, operands: Sequence[Array], attributes: Mapping[str, Any]) -> Any:
    (x,) = operands
    if result.dtype != np.bool_ or not is_floating(NAMES[x.dtype]):
        return result
    return result & ~(np.abs(x.astype(np.float64)) < 1)


@result_fault("cast_to_integer_rounds", "astype", "op semantics", "microsoft/onnxruntime#26451",
              "A cast to an integer dtype rounds to the nearest instead of toward zero.")
def _cast_to_integer_rounds(result: Any, operands: Sequence[Array], attributes: Mapping[str, Any]) -> Any:
    (x,) = operands
    if result.dtype.kind not in "iu" or not is_floating(NAMES[x.dtype]):
        return result
    wide = x.astype(np.float64)
    return np.where(np.abs(wide) < 100, np.rint(wide), result).astype(result.dtype)
