"""Lawful results of the ops of neural networks: see `lawful`. Steps are rounded in a drawn format.

Functions are off by up to two numbers; sums are added in a drawn order; what implementations do differently (two
passes, one, Welford's; block by block; the bias first or last; padding skipped) is drawn.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from attrs import frozen

from offload_fuzz.enclosure import from_ordinal, ordinal
from offload_fuzz.types import DTYPES, NAMES, Array, ArrayType

from . import lawful

Rng: TypeAlias = np.random.Generator
LONG = np.dtype(np.longdouble)


@frozen
class Rounded:
    """Arithmetic in one format: numbers, functions within two numbers, sums in a drawn order."""

    rng: Rng
    inner: np.dtype[Any]

    def number(self, x: float) -> Any:
        return lawful.narrowed_to(np.asarray(x, LONG), self.inner)

    def call(self, function: Callable[[Array], Any], x: Any) -> Array:
        wide = LONG if self.inner.itemsize > 4 else np.dtype(np.float64)
        near = lawful.narrowed_to(np.asarray(function(np.asarray(x).astype(wide)), wide), self.inner)
        if self.inner == LONG:
            return near
        steps = self.rng.integers(-2, 3, near.shape)
        moved = from_ordinal(ordinal(near).astype(np.int64) + steps, self.inner)
        d = DTYPES[NAMES[self.inner]]
        fixed = ~((np.abs(near) > 4 * d.eta) & (np.abs(near) < d.max / 2))
        return np.where(fixed, near, moved)

    def total(self, x: Array) -> Array:
        """The sum over the last axis, kept."""
        if x.shape[-1] == 0:
            return np.zeros((*x.shape[:-1], 1), self.inner)
        add = lawful.folded if self.rng.integers(2) else lawful.chained
        return add(np.add, x.astype(self.inner), self.rng)[..., None]

    def mean(self, x: Array) -> Array:
        n = self.number(x.shape[-1])
        return np.asarray(self.total(x) / n if self.rng.integers(2) else self.total(x) * (self.number(1) / n))

    def product(self, x: Array, y: Array) -> Array:
        """The matrix product, term by term in a drawn order."""
        terms = np.asarray(x[..., :, None, :] * np.swapaxes(y, -1, -2)[..., None, :, :])
        return self.total(terms)[..., 0]

    def coin(self) -> bool:
        return bool(self.rng.integers(2))


def _stepwise(function: Callable[..., Any]) -> Callable[..., Array]:
    def lawful_result(rng: Rng, type: ArrayType, *operands: Array, **attributes: Any) -> Array:
        formats = lawful.accumulators(type.np)
        k = Rounded(rng, formats[int(rng.integers(len(formats)))])
        result = np.asarray(function(k, *[x.astype(k.inner) for x in operands], **attributes))
        return lawful.narrowed(result, type.np).reshape(type.shape)

    return lawful_result


_erf = np.vectorize(math.erf, otypes=[np.float64])
_erfc = np.vectorize(math.erfc, otypes=[np.float64])


# -------------------------------------------------------------------------------------------------------- activations
def _clipped(lo: float, hi: float) -> Callable[..., Array]:
    def clip(rng: Rng, type: ArrayType, x: Array) -> Array:
        bottom, top = (np.asarray(v, x.dtype) for v in (lo, hi))
        result = np.where(x < bottom, bottom, np.where(x > top, top, x))
        return np.where((result == 0) & bool(rng.integers(2)), -result, result)

    return clip


def _leaky_relu(k: Rounded, x: Array, *, negative_slope: float) -> Any:
    scaled = x * k.number(negative_slope)
    return np.maximum(x, scaled) if k.coin() else np.where(x > 0, x, scaled)


def _elu(k: Rounded, x: Array, *, alpha: float) -> Any:
    return np.where(x < 0, k.call(np.expm1, np.minimum(x, k.number(0))) * k.number(alpha), x)


def _gelu(k: Rounded, x: Array, *, approximate: str) -> Any:
    one, half = k.number(1), k.number(0.5)
    if approximate == "tanh":
        cube = x * x * x if k.coin() else k.call(lambda v: v**3, x)
        bent = one + np.clip(k.call(np.tanh, k.number(math.sqrt(2 / math.pi)) * (x + k.number(0.044715) * cube)), -1, 1)
    else:
        z = x / k.number(math.sqrt(2)) if k.coin() else x * k.number(math.sqrt(0.5))
        if k.coin():
            return half * x * k.call(_erfc, -z)
        bent = one + np.clip(k.call(_erf, z), -1, 1)
    bent = bent.astype(k.inner)
    return half * x * bent if k.coin() else x * (half * bent)


def _silu(k: Rounded, x: Array) -> Any:
    low = k.number(1) + k.call(np.exp, -x)
    return x / low if k.coin() else x * (k.number(1) / low)


def _softplus(k: Rounded, x: Array) -> Any:
    how = k.rng.integers(3)
    stable = np.maximum(x, k.number(0)) + k.call(np.log1p, k.call(np.exp, -np.abs(x)))
    grown = k.call(np.exp, np.minimum(x, k.number(20)))
    plain = np.where(np.isfinite(grown), k.call(np.log1p, grown), stable)
    return stable if how == 0 else np.where(x > 20, x if how == 1 else stable, plain)


def _logsigmoid(k: Rounded, x: Array) -> Any:
    return np.minimum(x, k.number(0)) - k.call(np.log1p, k.call(np.exp, -np.abs(x)))


def _hardsigmoid(k: Rounded, x: Array) -> Any:
    clipped = np.minimum(np.maximum(x + k.number(3), k.number(0)), k.number(6))
    return clipped / k.number(6) if k.coin() else clipped * (k.number(1) / k.number(6))


def _hardswish(k: Rounded, x: Array) -> Any:
    clipped = np.minimum(np.maximum(x + k.number(3), k.number(0)), k.number(6))
    return x * clipped / k.number(6) if k.coin() else x * (clipped / k.number(6))


# --------------------------------------------------------------------------------------------------------- the softmax
def _along(function: Callable[[Rounded, Array], Any]) -> Callable[..., Any]:
    def along(k: Rounded, x: Array, *, axis: int, keepdims: bool = True) -> Any:
        moved = np.moveaxis(x, axis, -1)
        return moved if not x.size else np.moveaxis(np.asarray(function(k, moved)), -1, axis)

    return along


def _softmax(k: Rounded, x: Array, first: int = 0) -> Any:
    """first: 2 leaves out the ways by the logarithm, which round x itself and so are not for attention."""
    m = np.max(x, axis=-1, keepdims=True)
    e = k.call(np.exp, x - m)
    s = k.total(e)
    how = k.rng.integers(first, 4)
    if how == 0:
        return k.call(np.exp, x - (m + k.call(np.log, s)))
    if how == 1:
        return k.call(np.exp, (x - m) - k.call(np.log, s)) if k.inner.itemsize > 4 else e / s
    return e / s if how == 2 else e * (k.number(1) / s)


def _log_softmax(k: Rounded, x: Array) -> Any:
    m = np.max(x, axis=-1, keepdims=True)
    logarithm = k.call(np.log, k.total(k.call(np.exp, x - m)))
    return (x - m) - logarithm if k.coin() else x - (m + logarithm)


def _logsumexp(k: Rounded, x: Array) -> Any:
    m = np.max(x, axis=-1, keepdims=True)
    m = np.where(np.isinf(m), k.number(0), m)
    return m + k.call(np.log, k.total(k.call(np.exp, x - m)))


def _attention(k: Rounded, q: Array, key: Array, v: Array, *, is_causal: bool) -> Any:
    """At once, or block by block of two keys with the exps scaled anew each time (the flash kernel)."""
    d, transposed = q.shape[-1], np.swapaxes(key, -1, -2)
    how, root = k.rng.integers(3), math.sqrt(math.sqrt(d))
    if how == 0:
        scores = k.product(q / k.number(root), transposed / k.number(root))
    elif how == 1:
        scores = k.product(q * k.number(1 / math.sqrt(d)), transposed)
    else:
        scores = k.product(q, transposed) / k.number(math.sqrt(d))
    if is_causal:
        scores = np.where(np.tri(*scores.shape[-2:], dtype=np.bool_), scores, k.number(-math.inf))
    if not scores.size:
        return k.product(scores, v)
    if k.coin():
        return k.product(np.asarray(_softmax(k, scores, 2)).astype(k.inner), v)
    m = np.full((*scores.shape[:-1], 1), -math.inf, k.inner)
    s, out = np.zeros(m.shape, k.inner), np.zeros((*scores.shape[:-1], v.shape[-1]), k.inner)
    for at in range(0, scores.shape[-1], 2):
        block = scores[..., at : at + 2]
        top = np.maximum(m, np.max(block, axis=-1, keepdims=True))
        again = np.where(m == top, k.number(1), k.call(np.exp, m - top))
        e = k.call(np.exp, block - top)
        s, out, m = s * again + k.total(e), out * again + k.product(e, v[..., at : at + 2, :]), top
    return out / s


# --------------------------------------------------------------------------------------------------------------- norms
def _moments(k: Rounded, x: Array) -> tuple[Array, Array]:
    how = k.rng.integers(3)
    if how < 2:
        mean = k.mean(x)
        variance = k.mean((x - mean) ** 2) if how else np.maximum(k.mean(x * x) - mean * mean, k.number(0))
        return mean, np.asarray(variance)
    mean, m2 = x[..., :1], np.zeros_like(x[..., :1])
    for i in range(1, x.shape[-1]):
        delta = x[..., i : i + 1] - mean
        mean = mean + delta / k.number(i + 1)
        m2 = m2 + delta * (x[..., i : i + 1] - mean)
    return mean, np.asarray(m2 / k.number(x.shape[-1]))


def _layer_norm(k: Rounded, x: Array, weight: Array, bias: Array, *, epsilon: float) -> Any:
    mean, variance = _moments(k, x)
    r = k.number(1) / np.sqrt(variance + k.number(epsilon))
    how = k.rng.integers(3)
    if how == 2:
        return (x - mean) * (r * weight) + bias
    return ((x - mean) * r if how else x * r + (-mean * r)) * weight + bias


def _rms_norm(k: Rounded, x: Array, weight: Array, *, epsilon: float) -> Any:
    root = np.sqrt(k.mean(x * x) + k.number(epsilon))
    return x / root * weight if k.coin() else x * (weight * (k.number(1) / root))


def _batch_norm(k: Rounded, x: Array, mean: Array, variance: Array, *, epsilon: float) -> Any:
    mean, variance = (v.reshape(-1, *[1] * (x.ndim - 2)) for v in (mean, variance))
    r = k.number(1) / np.sqrt(variance + k.number(epsilon))
    return (x - mean) * r if k.coin() else x * r + (-mean * r)


# ------------------------------------------------------------------------------------------------- products, additions
def _linear(k: Rounded, x: Array, weight: Array, bias: Array) -> Any:
    if k.coin():
        return k.product(np.atleast_2d(x), weight.T) + bias
    terms = np.atleast_2d(x)[..., None, :] * weight
    first = np.broadcast_to(bias[:, None], (*terms.shape[:-1], 1))
    return k.total(np.concatenate((first, terms), axis=-1))[..., 0]


def _convolution(
    k: Rounded, x: Array, weight: Array, *, stride: int, padding: int, dilation: int, groups: int
) -> Array:
    """Result by result, with the terms at the padding or without them."""
    lengths = [
        (n + 2 * padding - dilation * (w - 1) - 1) // stride + 1
        for n, w in zip(x.shape[2:], weight.shape[2:], strict=True)
    ]
    out = np.zeros((x.shape[0], weight.shape[0], *lengths), k.inner)
    skips, per = k.coin(), weight.shape[0] // groups
    for place in np.ndindex(*out.shape):
        n, o, *at = place
        channels = x[n, o // per * weight.shape[1] : (o // per + 1) * weight.shape[1]]
        terms = []
        for offset in np.ndindex(*weight.shape[1:]):
            spot = [a * stride + dilation * b - padding for a, b in zip(at, offset[1:], strict=True)]
            inside = all(0 <= s < m for s, m in zip(spot, x.shape[2:], strict=True))
            if inside or not skips:
                value = channels[(offset[0], *spot)] if inside else k.number(0)
                terms.append(value * weight[(o, *offset)])
        out[place] = k.total(np.array(terms, k.inner))[0]
    return out


def _average(k: Rounded, x: Array, *, kernel_size: int, stride: int) -> Array:
    axes = x.ndim - 2
    out = np.zeros((*x.shape[:2], *[(n - kernel_size) // stride + 1 for n in x.shape[2:]]), k.inner)
    for at in np.ndindex(*out.shape[2:]):
        where: Any = (..., *[slice(a * stride, a * stride + kernel_size) for a in at])
        window = x[where]
        spot: Any = (..., *at)
        out[spot] = k.mean(window.reshape(*x.shape[:2], kernel_size**axes))[..., 0]
    return out


def _scatter_add(rng: Rng, type: ArrayType, x: Array, value: Array, *, index: Any) -> Array:
    out = x.copy()
    region: Any = (*[slice(*part) for part in index], ...)
    out[region] = value + x[region]
    return out


def _index_add(k: Rounded, x: Array, indices: Array, value: Array, *, axis: int) -> Any:
    out, terms = np.moveaxis(x, axis, 0).copy(), np.moveaxis(value, axis, 0)
    for place in set(indices.astype(np.int64).tolist()):
        rows = np.moveaxis(terms[indices.astype(np.int64) == place], 0, -1)
        out[place] = k.total(np.concatenate((out[place][..., None], rows), axis=-1))[..., 0]
    return np.moveaxis(out, 0, axis)


LAWFUL: dict[str, Callable[..., Array]] = {
    "relu": _clipped(0.0, math.inf),
    "relu6": _clipped(0.0, 6.0),
    "hardtanh": _clipped(-1.0, 1.0),
    "leaky_relu": _stepwise(_leaky_relu),
    "elu": _stepwise(_elu),
    "gelu": _stepwise(_gelu),
    "silu": _stepwise(_silu),
    "softplus": _stepwise(_softplus),
    "logsigmoid": _stepwise(_logsigmoid),
    "hardsigmoid": _stepwise(_hardsigmoid),
    "hardswish": _stepwise(_hardswish),
    "softsign": _stepwise(lambda k, x: x / (np.abs(x) + k.number(1))),
    "softmax": _stepwise(_along(_softmax)),
    "log_softmax": _stepwise(_along(_log_softmax)),
    "logsumexp": _stepwise(_along(_logsumexp)),
    "scaled_dot_product_attention": _stepwise(_attention),
    "layer_norm": _stepwise(_layer_norm),
    "rms_norm": _stepwise(_rms_norm),
    "batch_norm": _stepwise(_batch_norm),
    "linear": _stepwise(_linear),
    "conv1d": _stepwise(_convolution),
    "conv2d": _stepwise(_convolution),
    "avg_pool1d": _stepwise(_average),
    "avg_pool2d": _stepwise(_average),
    "scatter_add": _scatter_add,
    "index_add": _stepwise(_index_add),
}
