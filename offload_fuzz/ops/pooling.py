"""max_pool1d, max_pool2d, avg_pool1d, avg_pool2d over [N, C, ...]."""

from __future__ import annotations

from typing import Any

import numpy as np
from attrs import evolve

from offload_fuzz.enclosure import between, computed, some
from offload_fuzz.errors import require
from offload_fuzz.ops.base import Application, Operand, Range, Window, accumulating, exact, shaped
from offload_fuzz.ops.convolution import patches, windows_of
from offload_fuzz.ops.ranges import holds, signed_zeros
from offload_fuzz.ops.rounding import narrowed, wide
from offload_fuzz.ops.rules import Value, reference
from offload_fuzz.ops.sums import mean_rule
from offload_fuzz.types import NAMES, Array, ArrayType

MAXIMUM: Any = {"kernel_size": Window(2, 2, 3), "stride": Range(1, 3), "padding": Range(0, 1)}
AVERAGE: Any = {"kernel_size": Window(2, 2, 3), "stride": Range(1, 3)}


def _windows(x: Array, kernel_size: int, stride: int, padding: int = 0, fill: Any = 0) -> Array:
    """[N, C, *windows, kernel_size ** axes]."""
    ndim = x.ndim
    p = patches(x, (kernel_size,) * (ndim - 2), stride, padding, 1, fill)
    return p.reshape(*p.shape[:ndim], kernel_size ** (ndim - 2))


def max_pool_rule(a: Application) -> Value:
    """max_pool: the largest element of each window, padding left out; NaN propagates; of opposite zeros either.

    Source: PyTorch, native/cpu/MaxPoolKernel.cpp (val > maxval or isnan(val)); jax.lax.reduce_window with lax.max.
    """
    value = reference(a)
    if a.operands[0].is_singleton and not some(value == 0):
        return value, computed(value)
    b = a.operands[0].bounds()
    infinity = np.asarray(np.inf, b.lo.dtype)
    lo, hi = (np.where(b.empty, -infinity, end) for end in (b.lo, b.hi))
    lo, hi = (np.max(_windows(end, **a.attributes, fill=-infinity), axis=-1) for end in (lo, hi))
    shape = a.values[0].shape
    nan, empty, minus, plus = (
        np.any(_windows(np.broadcast_to(v, shape), **a.attributes, fill=False), axis=-1)
        for v in (b.nan, b.empty, holds(b, -1) & ~b.empty, holds(b, 0) & ~b.empty)
    )
    if some(lo == 0) or some(hi == 0):
        lo, hi = signed_zeros(lo, hi, minus, plus)
    return value, between(lo, hi, nan, empty)


def _max_pool(x: Array, *, kernel_size: int, stride: int, padding: int) -> Array:
    windows = _windows(x, kernel_size, stride, padding, np.asarray(-np.inf, x.dtype))
    return np.asarray(np.maximum.reduce(windows, axis=-1))


def avg_pool_rule(a: Application) -> Value:
    """avg_pool: the mean of each window, by the rule of mean."""

    def move(v: Array) -> Array:
        return _windows(v, **a.attributes)

    how = {"axis": (-1,), "keepdims": False}
    e = a.operands[0].move(move)
    return mean_rule(evolve(a, operands=[e], values=[move(a.values[0])], attributes=how))


def _avg_pool(x: Array, *, kernel_size: int, stride: int) -> Array:
    dtype = NAMES[x.dtype]
    total = np.sum(_windows(wide(x, dtype), kernel_size, stride), axis=-1)
    return narrowed(np.asarray(total / total.dtype.type(kernel_size ** (x.ndim - 2))), dtype)


def _pooled(op: str, ndim: int, x: ArrayType, kernel_size: int, stride: int, padding: int = 0) -> ArrayType:
    require(x.ndim == ndim and x.shape[1] > 0, f"{op} takes x of {ndim} axes, [n,c,...] with c not 0, got {x}")
    require(2 * padding <= kernel_size, f"{op} takes padding of at most half the window {kernel_size}, got {padding}")
    return ArrayType(x.dtype, (*x.shape[:2], *windows_of(x.shape, (kernel_size,) * (ndim - 2), stride, padding, 1, op)))


@shaped(
    _max_pool, max_pool_rule, "neural", ("real floating",), exact, operands=(Operand("sequence"),), attributes=MAXIMUM
)  # fmt: skip  # one row
def max_pool1d(x: ArrayType, *, kernel_size: int, stride: int, padding: int) -> ArrayType:
    """The largest element of each window of x[N,C,L]; NaN propagates."""
    return _pooled("max_pool1d", 3, x, kernel_size, stride, padding)


@shaped(
    _max_pool, max_pool_rule, "neural", ("real floating",), exact, operands=(Operand("image"),), attributes=MAXIMUM
)  # fmt: skip  # one row
def max_pool2d(x: ArrayType, *, kernel_size: int, stride: int, padding: int) -> ArrayType:
    """The largest element of each square window of x[N,C,H,W]; NaN propagates."""
    return _pooled("max_pool2d", 4, x, kernel_size, stride, padding)


@shaped(
    _avg_pool, avg_pool_rule, "neural", ("real floating",), accumulating, operands=(Operand("sequence"),),
    attributes=AVERAGE,
)  # fmt: skip  # one row
def avg_pool1d(x: ArrayType, *, kernel_size: int, stride: int) -> ArrayType:
    """The mean of each window of x[N,C,L]."""
    return _pooled("avg_pool1d", 3, x, kernel_size, stride)


@shaped(
    _avg_pool, avg_pool_rule, "neural", ("real floating",), accumulating, operands=(Operand("image"),),
    attributes=AVERAGE,
)  # fmt: skip  # one row
def avg_pool2d(x: ArrayType, *, kernel_size: int, stride: int) -> ArrayType:
    """The mean of each square window of x[N,C,H,W]."""
    return _pooled("avg_pool2d", 4, x, kernel_size, stride)
