"""The simulated device's ops of neural networks: each in steps that round, in a drawn format, order and formula.

The format is the dtype itself or, by draw, float32 for 16-bit dtypes; functions are off by up to two numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from offload_fuzz.adapters.simulated import sums
from offload_fuzz.adapters.simulated.draws import Draws
from offload_fuzz.adapters.simulated.rounding import BITS, FLOAT64, INFINITY, MAGNITUDE, WIDEST, rounded
from offload_fuzz.ops.base import slices
from offload_fuzz.types import Array, ArrayType

Attributes: TypeAlias = Mapping[str, Any]
Kernel: TypeAlias = Callable[[Sequence[Array], Attributes, ArrayType, Draws], Any]

_erf = np.vectorize(math.erf, otypes=[np.float64])
_erfc = np.vectorize(math.erfc, otypes=[np.float64])


def near(function: Callable[[Array], Any], x: Any, draws: Draws) -> Array:
    """`function` computed wider, rounded to the format of `x`, moved by up to two numbers; zero and inf stay."""
    x = np.asarray(x)
    dtype = x.dtype
    result = np.asarray(rounded(np.asarray(function(x.astype(WIDEST if dtype == FLOAT64 else FLOAT64))), dtype))
    bits = result.view(BITS[dtype])
    size = bits & MAGNITUDE[dtype]
    inside = (size > 2) & (size < INFINITY[dtype] - 2)
    moved = bits + inside * draws.steps(result.size).reshape(result.shape)
    return np.asarray(moved).astype(BITS[dtype]).view(dtype)


def stepwise(function: Callable[..., Any]) -> Kernel:
    """`function(draws, *operands, **attributes)` on operands in a drawn format, the result rounded to the dtype."""

    def kernel(operands: Sequence[Array], attributes: Attributes, type: ArrayType, draws: Draws) -> Any:
        inner = sums.accumulator(type.np, draws)
        result = np.asarray(function(draws, *[x.astype(inner, copy=False) for x in operands], **attributes))
        return rounded(result, type.np).reshape(type.shape)

    return kernel


def bounded(x: Array) -> Any:
    """From -1 to 1."""
    return np.minimum(np.maximum(x, number(x, -1.0)), number(x, 1.0))


def number(x: Array, value: float) -> Any:
    """`value` in the format of `x`."""
    return np.asarray(value).astype(x.dtype)


# ------------------------------------------------------------------------------------------------------- activations
def leaky_relu(draws: Draws, x: Array, *, negative_slope: float) -> Any:
    """By selection."""
    return np.where(x < 0, x * number(x, negative_slope), x)


def elu(draws: Draws, x: Array, *, alpha: float) -> Any:
    """By expm1."""
    return np.where(x > 0, x, number(x, alpha) * near(np.expm1, np.where(x > 0, number(x, 0.0), x), draws))


def gelu(draws: Draws, x: Array, *, approximate: str) -> Any:
    """By erf, erfc or tanh, none of which leaves -1 to 1."""
    half, one = number(x, 0.5), number(x, 1.0)
    if approximate == "tanh":
        inner = number(x, math.sqrt(2.0 / math.pi)) * (x + number(x, 0.044715) * (x * x * x))
        return half * x * (one + bounded(near(np.tanh, inner, draws)))
    z = x * number(x, math.sqrt(0.5))
    return half * x * near(_erfc, -z, draws) if draws.below(2) else half * x * (one + bounded(near(_erf, z, draws)))


def silu(draws: Draws, x: Array) -> Any:
    """By a quotient, or a product with the reciprocal."""
    low = number(x, 1.0) + near(np.exp, -x, draws)
    return x / low if draws.below(2) else x * (number(x, 1.0) / low)


def softplus(draws: Draws, x: Array) -> Any:
    """By the stable form."""
    return np.maximum(x, number(x, 0.0)) + near(np.log1p, near(np.exp, -np.abs(x), draws), draws)


def logsigmoid(draws: Draws, x: Array) -> Any:
    """-softplus(-x)."""
    return -softplus(draws, -x)


def hardsigmoid(draws: Draws, x: Array) -> Any:
    """By a quotient or a product with the rounded sixth."""
    clipped = np.minimum(np.maximum(x + number(x, 3.0), number(x, 0.0)), number(x, 6.0))
    return clipped / number(x, 6.0) if draws.below(2) else clipped * (number(x, 1.0) / number(x, 6.0))


def hardswish(draws: Draws, x: Array) -> Any:
    """x times hardsigmoid."""
    return x * hardsigmoid(draws, x)


def softsign(draws: Draws, x: Array) -> Any:
    """By a quotient."""
    return x / (number(x, 1.0) + np.abs(x))


# ------------------------------------------------------------------------------------------------------- the softmax
def added(draws: Draws, x: Array, is_mean: bool = False) -> Array:
    """The sum or mean over the last axis, kept, in a drawn order."""
    return np.asarray(sums.reduced(np.add, x, x.dtype, draws, is_mean))[..., None]


def largest(x: Array) -> Array:
    """The largest element along the last axis, kept."""
    return np.asarray(np.max(x, axis=-1, keepdims=True))


def softmax_last(draws: Draws, x: Array, by_logarithm: bool = True) -> Any:
    """Over the last axis: by quotient, reciprocal or logarithm, which rounds x itself and so is not for attention."""
    if not x.size:
        return x
    m = largest(x)
    e = near(np.exp, x - m, draws)
    s, how = added(draws, e), draws.below(3)
    if how == 0 and by_logarithm:
        return near(np.exp, x - (m + near(np.log, s, draws)), draws)
    return e / s if how == 1 else e * (number(x, 1.0) / s)


def softmax(draws: Draws, x: Array, *, axis: int) -> Any:
    """Along an axis."""
    return np.moveaxis(softmax_last(draws, np.moveaxis(x, axis, -1)), -1, axis)


def log_softmax(draws: Draws, x: Array, *, axis: int) -> Any:
    """(x - max) - log(sum), or x - (max + log(sum))."""
    if not x.size:
        return x
    x = np.moveaxis(x, axis, -1)
    m = largest(x)
    logarithm = near(np.log, added(draws, near(np.exp, x - m, draws)), draws)
    return np.moveaxis((x - m) - logarithm if draws.below(2) else x - (m + logarithm), -1, axis)


def logsumexp(draws: Draws, x: Array, *, axis: int, keepdims: bool) -> Any:
    """max + log(sum), an infinite max being the result."""
    x = np.moveaxis(x, axis, -1)
    m = largest(x) if x.size else np.zeros((*x.shape[:-1], 1), x.dtype)
    safe = np.where(np.isinf(m), number(x, 0.0), m)
    return safe + near(np.log, added(draws, near(np.exp, x - safe, draws)), draws)


def attention(draws: Draws, query: Array, key: Array, value: Array, *, is_causal: bool) -> Any:
    """The scale on the query or on the scores; the sum's quotient before or after the values."""
    dtype, scale = query.dtype, number(query, 1.0 / math.sqrt(query.shape[-1]))
    first = draws.below(2)
    scores = sums.matrix_product(query * scale if first else query, np.swapaxes(key, -1, -2), dtype, draws)
    scores = scores if first else scores * scale
    if is_causal:
        scores = np.where(np.tri(*scores.shape[-2:], dtype=np.bool_), scores, number(query, -np.inf))
    if not scores.size:
        return sums.matrix_product(scores, value, dtype, draws)
    if draws.below(2):
        return sums.matrix_product(softmax_last(draws, scores, False), value, dtype, draws)
    e = near(np.exp, scores - largest(scores), draws)
    return sums.matrix_product(e, value, dtype, draws) / added(draws, e)


# ----------------------------------------------------------------------------------------------------- normalization
def inverse_root(x: Array, epsilon: float) -> Any:
    """1 / sqrt(x + epsilon)."""
    return number(x, 1.0) / np.sqrt(x + number(x, epsilon))


def layer_norm(draws: Draws, x: Array, weight: Array, bias: Array, *, epsilon: float) -> Any:
    """By the variance of two passes or of one."""
    mean = added(draws, x, is_mean=True)
    if draws.below(2):
        variance = added(draws, (x - mean) * (x - mean), is_mean=True)
    else:
        variance = np.maximum(added(draws, x * x, is_mean=True) - mean * mean, number(x, 0.0))
    r = inverse_root(variance, epsilon)
    return ((x - mean) * r if draws.below(2) else x * r - mean * r) * weight + bias


def rms_norm(draws: Draws, x: Array, weight: Array, *, epsilon: float) -> Any:
    """Scaled by r first, or by the weight."""
    r = inverse_root(added(draws, x * x, is_mean=True), epsilon)
    return x * r * weight if draws.below(2) else x * (r * weight)


def batch_norm(draws: Draws, x: Array, mean: Array, variance: Array, *, epsilon: float) -> Any:
    """Per channel, at once or in two parts."""
    mean, r = (v.reshape(-1, *[1] * (x.ndim - 2)) for v in (mean, np.asarray(inverse_root(variance, epsilon))))
    return (x - mean) * r if draws.below(2) else x * r - mean * r


# --------------------------------------------------------------------------------------- products, pools, additions
def linear(draws: Draws, x: Array, weight: Array, bias: Array) -> Any:
    """The bias among the terms, or added last."""
    if draws.below(2):
        return sums.matrix_product(np.atleast_2d(x), weight.T, x.dtype, draws) + bias
    rows = np.atleast_2d(x)
    one = np.ones((*rows.shape[:-1], 1), x.dtype)
    joined = np.concatenate((bias[:, None], weight), axis=-1)
    return sums.matrix_product(np.concatenate((one, rows), axis=-1), joined.T, x.dtype, draws)


def columns(x: Array, kernel: Sequence[int], stride: int, padding: int = 0, dilation: int = 1) -> Array:
    """Each window's elements behind one another: [N, C, windows, kernel], by index arrays."""
    n, c, *lengths = x.shape
    grown = np.zeros((n, c, *[m + 2 * padding for m in lengths]), x.dtype)
    grown[(..., *[slice(padding, padding + m) for m in lengths])] = x  # type: ignore[index]  # slices and an ellipsis
    grids = []
    for m, k in zip(lengths, kernel, strict=True):
        count = (m + 2 * padding - dilation * (k - 1) - 1) // stride + 1
        grids.append(np.arange(count)[:, None] * stride + np.arange(k)[None, :] * dilation)
    if len(grids) == 1:
        return np.asarray(grown[:, :, grids[0]])
    rows, across = grids
    found = grown[:, :, rows[:, None, :, None], across[None, :, None, :]]
    return np.asarray(found).reshape(n, c, rows.shape[0] * across.shape[0], rows.shape[1] * across.shape[1])


def convolution(draws: Draws, x: Array, weight: Array, *, stride: int, padding: int, dilation: int, groups: int) -> Any:
    """One matrix product a group."""
    patches = columns(x, weight.shape[2:], stride, padding, dilation)
    n, c, windows, size = patches.shape
    o = weight.shape[0] // groups
    parts = []
    for g in range(groups):
        inner = patches[:, g * (c // groups) : (g + 1) * (c // groups)]
        flat = inner.transpose(0, 2, 1, 3).reshape(n, windows, c // groups * size)
        kernel = weight[g * o : (g + 1) * o].reshape(o, c // groups * size)
        parts.append(np.swapaxes(sums.matrix_product(flat, kernel.T, x.dtype, draws), -1, -2))
    return np.concatenate(parts, axis=1)


def average(operands: Sequence[Array], attributes: Attributes, type: ArrayType, draws: Draws) -> Any:
    """avg_pool: the mean of each window in a drawn order."""
    (x,) = operands
    windows = columns(x, [attributes["kernel_size"]] * (x.ndim - 2), attributes["stride"])
    return np.asarray(sums.reduced(np.add, windows, type.np, draws, is_mean=True)).reshape(type.shape)


def scatter_add(operands: Sequence[Array], attributes: Attributes, type: ArrayType, draws: Draws) -> Any:
    """One addition where the region is."""
    x, value = operands
    out = x.copy()
    region: Any = (*slices(attributes["index"]), ...)
    out[region] = value + out[region]
    return out


def index_add(operands: Sequence[Array], attributes: Attributes, type: ArrayType, draws: Draws) -> Any:
    """Slice by slice in a drawn order, in a drawn accumulator."""
    x, indices, value = operands
    inner = sums.accumulator(type.np, draws)
    out = np.moveaxis(x.astype(inner), attributes["axis"], 0)
    terms = np.moveaxis(value.astype(inner), attributes["axis"], 0)
    if out.size:
        for i in draws.permutation(len(indices)) if len(indices) <= 4096 else range(len(indices)):
            place = indices[i] % out.shape[0]
            out[place] = out[place] + terms[i]
    return rounded(np.moveaxis(out, 0, attributes["axis"]), type.np)


KERNELS: dict[str, Kernel] = {
    "leaky_relu": stepwise(leaky_relu),
    "elu": stepwise(elu),
    "gelu": stepwise(gelu),
    "silu": stepwise(silu),
    "softplus": stepwise(softplus),
    "logsigmoid": stepwise(logsigmoid),
    "hardsigmoid": stepwise(hardsigmoid),
    "hardswish": stepwise(hardswish),
    "softsign": stepwise(softsign),
    "softmax": stepwise(softmax),
    "log_softmax": stepwise(log_softmax),
    "logsumexp": stepwise(logsumexp),
    "scaled_dot_product_attention": stepwise(attention),
    "layer_norm": stepwise(layer_norm),
    "rms_norm": stepwise(rms_norm),
    "batch_norm": stepwise(batch_norm),
    "linear": stepwise(linear),
    "conv1d": stepwise(convolution),
    "conv2d": stepwise(convolution),
    "avg_pool1d": average,
    "avg_pool2d": average,
    "scatter_add": scatter_add,
    "index_add": index_add,
}
