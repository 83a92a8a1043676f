"""Faults of the class `precision`: fewer bits than promised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from offload_fuzz.adapters.simulated.faults.parts import flushed, narrowed
from offload_fuzz.adapters.simulated.faults.table import fault, result_fault
from offload_fuzz.types import NAMES, Array

PRINTED = ("float64", "float32", "float16", "bfloat16")
TRUNCATED = ("add", "subtract", "multiply", "divide", "square", "astype")

# A decorator below is one row of what `offload-fuzz faults` lists, and is laid out as one.
# fmt: off


@fault("constant_written_short", hook="constant", cls="precision", needs=("constant",), report="apache/tvm#17276",
       sentence="A floating constant is written into the source of its kernel with 1 digit (7 in the report).")
def _constant_written_short(array: Array) -> Array:
    if NAMES[array.dtype] not in PRINTED:
        return array
    return np.array([float(f"{x:.0e}") for x in array.reshape(-1).tolist()]).astype(array.dtype).reshape(array.shape)


@result_fault("float32_in_float16", "add subtract multiply divide square matmul", "precision",
               "tensorflow/tensorflow#43393", "float32 arithmetic is done in float16.")
def _float32_in_float16(result: Any, operands: Sequence[Array], attributes: Mapping[str, Any]) -> Any:
    return result.astype(np.float16).astype(np.float32) if result.dtype == np.float32 else result


@result_fault("integers_through_float32", "abs negative multiply floor_divide max sum", "precision",
               "pytorch/pytorch#190052", "Integer kernels compute in float32 and lose what is above 2**24.")
def _integers_through_float32(result: Any, operands: Sequence[Array], attributes: Mapping[str, Any]) -> Any:
    return result.astype(np.float32).astype(result.dtype) if result.dtype.kind in "iu" else result


@result_fault("subnormals_flushed", "add subtract multiply divide square", "precision", "cupy/cupy#8382",
               "float32 results below the smallest normal number become zero.")
def _subnormals_flushed(result: Any, operands: Sequence[Array], attributes: Mapping[str, Any]) -> Any:
    if result.dtype != np.float32:
        return result
    return np.where(np.abs(result) < np.finfo(np.float32).smallest_normal, np.float32(0), result)


@result_fault("products_in_tf32", "matmul outer vecdot", "precision", "ml-explore/mlx#3860",
              "Products of float32 matrices take 11 bits of each operand.")
def _products_in_tf32(result: Any, operands: Sequence[Array], attributes: Mapping[str, Any]) -> Any:
    return narrowed(result, 12) if result.dtype == np.float32 else result


@fault("bfloat16_truncated", hook="result", cls="precision", report="tenstorrent/tt-metal#19881",
       sentence="Results of bfloat16 (+, -, *, /, square, casts of float32) are truncated instead of rounded.")
def _bfloat16_truncated(result: Any, op: str, operands: Sequence[Array], attributes: Mapping[str, Any]) -> Any:
    x = operands[0] if operands else result
    if NAMES[result.dtype] != "bfloat16" or op not in TRUNCATED or (op == "astype" and x.dtype != np.float32):
        return result
    wide = x if op == "astype" else getattr(np, op)(*[o.astype(np.float32) for o in operands])
    kept = (np.asarray(wide).view(np.uint32) >> 16).astype(np.uint16).view(result.dtype)
    return np.where(np.isfinite(wide), kept, result)


@result_fault("divide_by_reciprocal", "divide", "precision", "pytorch/pytorch#177740",
              "float32 division multiplies by the rounded reciprocal.")
def _divide_by_reciprocal(result: Any, operands: Sequence[Array], attributes: Mapping[str, Any]) -> Any:
    x1, x2 = operands
    return x1 * (np.float32(1) / x2) if result.dtype == np.float32 else result


@fault("sin_without_reduction", hook="result", cls="precision", report="tenstorrent/tt-metal#55318",
       sentence="sin, cos and tan take multiples of a float32 2 pi from their argument.")
def _sin_without_reduction(result: Any, op: str, operands: Sequence[Array], attributes: Mapping[str, Any]) -> Any:
    if op not in ("sin", "cos", "tan") or result.dtype != np.float32:
        return result
    (x,) = operands
    turn = np.float32(2 * np.pi)
    return getattr(np, op)(x - np.rint(x / turn) * turn)


@result_fault("float64_in_float32", "add subtract multiply divide square sqrt", "precision", "",
              "float64 arithmetic is done in float32.")
def _float64_in_float32(result: Any, operands: Sequence[Array], attributes: Mapping[str, Any]) -> Any:
    return result.astype(np.float32).astype(np.float64) if result.dtype == np.float64 else result


@fault("subnormal_operands_flushed", hook="operand", cls="precision",
       sentence="Kernels take subnormal float32 operands for zero.")
def _subnormal_operands_flushed(array: Array, number: int, op: str) -> Array:
    return flushed(array)


@result_fault("functions_in_float16", "exp log tanh sqrt exp2 log2 expm1 log1p", "precision", "",
              "Elementary functions of float32 have the accuracy of float16.")
def _functions_in_float16(result: Any, operands: Sequence[Array], attributes: Mapping[str, Any]) -> Any:
    return narrowed(result, 13) if result.dtype == np.float32 else result
