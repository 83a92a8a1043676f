"""layer_norm, rms_norm, batch_norm.

Sources: PyTorch, aten/src/ATen/native/cpu/layer_norm_kernel.cpp and moments_utils.h, native/layer_norm.cpp
(rms_norm_composite), native/cpu/batch_norm_kernel.cpp; Flax, flax/linen/normalization.py (_compute_stats, _normalize).
"""

from __future__ import annotations

import numpy as np

from offload_fuzz.errors import require
from offload_fuzz.ops.base import Application, Choice, Operand, composite, shaped
from offload_fuzz.ops.rules import Value, reference
from offload_fuzz.ops.steps import Arithmetic, Span, arithmetic, enclosed, spans, union, widely
from offload_fuzz.types import Array, ArrayType

EPSILON = Choice(2.0**-10, 1e-5, 1e-3)


def _mean(k: Arithmetic, x: Span, more: float = 0.0) -> Span:
    """The mean over the last axis, by quotient or reciprocal."""
    n = x.lo.dtype.type(x.lo.shape[-1])
    return k.divide(k.total(x, -1, more), k.rounded(Span(n, n)) if x.lo.shape[-1] > 256 else Span(n, n))


def _inverse_root(k: Arithmetic, x: Span, epsilon: float) -> Span:
    """1 / sqrt(x + epsilon), or rsqrt, within 2 ulps."""
    return k.divide(k.number(1.0), k.sqrt(k.add(x, k.constant(epsilon))), 4.0)


def layer_norm_rule(a: Application) -> Value:
    """layer_norm: (x - mean) / sqrt(variance + epsilon) * weight + bias.

    The variance is the mean of (x - mean)**2, where the computed mean is off by its sum's error; or mean(x**2) -
    mean**2, where n + 3 units of mean(x**2) may be lost: that is the larger one if |mean| is above the deviation, and
    also holds Welford's (Chan, Golub and LeVeque, The American Statistician 37 (1983): n u sqrt(1 + mean**2/variance)
    relative to the variance; twice that is taken). It is not below 0. Then (x - mean) * r, or x * r - mean * r, is
    scaled by weight, at once or with r, and rounded to the dtype on the way (a kernel chained of ops); a bias that the
    mean is folded into has a rounding of its own.
    """
    value = reference(a)
    (x, weight, bias), k = spans(a), arithmetic(a)
    mean = _mean(k, x)
    centred = k.subtract(x, mean)
    two_pass = _mean(k, _square(k, centred))
    squares = _mean(k, _square(k, x), x.lo.shape[-1] + 3.0)
    one_pass = k.subtract(squares, _square(k, mean))
    variance = union(k.clip(two_pass, lo=0.0), k.clip(one_pass, lo=0.0))
    r = _inverse_root(k, variance, a.attributes["epsilon"])
    plain = k.multiply(centred, r, 3.0)
    split = k.subtract(k.multiply(x, r, 3.0), k.multiply(mean, r, 3.0))
    result = k.rounded_to_dtype(union(plain, split))
    scaled = union(k.multiply(result, weight), k.multiply(centred, k.multiply(r, weight), 3.0))
    return value, enclosed(a, k.add(k.rounded_to_dtype(scaled), k.rounded(bias)))


def _square(k: Arithmetic, x: Span) -> Span:
    return k.multiply(k.absolute(x), k.absolute(x))


def rms_norm_rule(a: Application) -> Value:
    """rms_norm: x / sqrt(mean(x**2) + epsilon) * weight; no term cancels, so all errors are relative.

    Up to two roundings to the dtype itself: PyTorch rounds the normalised x before it is scaled (rms_norm_composite).
    """
    value = reference(a)
    (x, weight), k = spans(a), arithmetic(a)
    r = _inverse_root(k, _mean(k, _square(k, x), 1.0), a.attributes["epsilon"])
    normalised = k.rounded_to_dtype(k.multiply(x, r, 2.0))
    return value, enclosed(a, union(k.multiply(normalised, weight), k.multiply(x, k.multiply(r, weight))))


def batch_norm_rule(a: Application) -> Value:
    """batch_norm of inference: (x - mean) / sqrt(variance + epsilon), or x * r - mean * r, which may cancel.

    Steps may be rounded to the dtype itself: PyTorch keeps r and -mean * r of 16-bit dtypes in it.
    """
    value = reference(a)
    (x, mean, variance), k = spans(a), arithmetic(a, own=True)
    mean, variance = (s.part(lambda v: _per_channel(v, x.lo.ndim)) for s in (mean, variance))
    r = _inverse_root(k, variance, a.attributes["epsilon"])
    plain = k.multiply(k.subtract(x, mean), r)
    split = k.subtract(k.multiply(x, r), k.multiply(mean, r))
    return value, enclosed(a, union(plain, split))


def _per_channel(v: Array, ndim: int) -> Array:
    """[C] as [C, 1, 1, ...], to go with [N, C, ...]."""
    return v.reshape(-1, *[1] * (ndim - 2))


def _layer_norm(x: Array, weight: Array, bias: Array, *, epsilon: float) -> Array:
    centred = x - _row_mean(x)
    return np.asarray(centred / np.sqrt(_row_mean(centred * centred) + epsilon) * weight + bias)


def _rms_norm(x: Array, weight: Array, *, epsilon: float) -> Array:
    return np.asarray(x / np.sqrt(_row_mean(x * x) + epsilon) * weight)


def _row_mean(x: Array) -> Array:
    return np.asarray(np.sum(x, axis=-1, keepdims=True) / x.dtype.type(x.shape[-1]))


def _batch_norm(x: Array, mean: Array, variance: Array, *, epsilon: float) -> Array:
    mean, variance = (_per_channel(v, x.ndim) for v in (mean, variance))
    return np.asarray((x - mean) / np.sqrt(variance + epsilon))


@shaped(
    widely(_layer_norm), layer_norm_rule, "neural", ("real floating",), composite,
    operands=(Operand("rows"), Operand("last axis"), Operand("last axis")), attributes={"epsilon": EPSILON},
)  # fmt: skip  # one row
def layer_norm(x: ArrayType, weight: ArrayType, bias: ArrayType, *, epsilon: float) -> ArrayType:
    """Rows of the last axis brought to mean 0 and variance 1, then scaled and shifted."""
    require(
        x.ndim >= 1 and x.shape[-1] > 0 and weight == bias == ArrayType(x.dtype, x.shape[-1:]),
        f"layer_norm takes x[...,n], n not 0, weight[n] and bias[n] of one dtype, got {x}, {weight}, {bias}",
    )
    return x


@shaped(
    widely(_rms_norm), rms_norm_rule, "neural", ("real floating",), composite,
    operands=(Operand("rows"), Operand("last axis")), attributes={"epsilon": EPSILON},
)  # fmt: skip  # one row
def rms_norm(x: ArrayType, weight: ArrayType, *, epsilon: float) -> ArrayType:
    """Rows of the last axis over the root of their mean square, then scaled."""
    require(
        x.ndim >= 1 and x.shape[-1] > 0 and weight == ArrayType(x.dtype, x.shape[-1:]),
        f"rms_norm takes x[...,n], n not 0, and weight[n] of one dtype, got {x}, {weight}",
    )
    return x


@shaped(
    widely(_batch_norm), batch_norm_rule, "neural", ("real floating",), composite,
    operands=(Operand("batch"), Operand("channels"), Operand("channels, positive")), attributes={"epsilon": EPSILON},
)  # fmt: skip  # one row
def batch_norm(x: ArrayType, mean: ArrayType, variance: ArrayType, *, epsilon: float) -> ArrayType:
    """x[N,C,...] less the mean, over the root of the variance of its channel."""
    require(
        x.ndim >= 2 and mean == variance == ArrayType(x.dtype, x.shape[1:2]),
        f"batch_norm takes x[n,c,...], mean[c] and variance[c] of one dtype, got {x}, {mean}, {variance}",
    )
    return x
