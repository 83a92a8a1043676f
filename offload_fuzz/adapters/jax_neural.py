"""Neural ops in JAX, as a table: jax.nn where it has the op, else its definition in jax.numpy and jax.lax."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from offload_fuzz.ops.base import slices

Pair = tuple[int, ...]


def neural(jax: Any) -> dict[str, Callable[..., Any]]:
    """All of them."""
    jnp, nn = jax.numpy, jax.nn
    return {
        **_convolutions(jax),
        **_normalisations(jax),
        "relu": nn.relu,
        "relu6": nn.relu6,
        "leaky_relu": lambda x, *, negative_slope: nn.leaky_relu(x, negative_slope),
        "elu": lambda x, *, alpha: nn.elu(x, alpha),
        "selu": nn.selu,
        "gelu": lambda x, *, approximate: nn.gelu(x, approximate=approximate == "tanh"),
        "silu": nn.silu,
        "mish": nn.mish,
        "softplus": nn.softplus,
        "softsign": nn.soft_sign,
        "logsigmoid": nn.log_sigmoid,
        "hardsigmoid": nn.hard_sigmoid,
        "hardswish": nn.hard_swish,
        "hardtanh": nn.hard_tanh,
        "softmax": lambda x, *, axis: nn.softmax(x, axis=axis),
        "log_softmax": lambda x, *, axis: nn.log_softmax(x, axis=axis),
        "logsumexp": lambda x, *, axis, keepdims: nn.logsumexp(x, axis=axis, keepdims=keepdims),
        "linear": lambda x, weight, bias: jnp.matmul(x, jnp.matrix_transpose(weight)) + bias,
        "embedding": lambda weight, indices: jnp.take(weight, indices, axis=0),
        "one_hot": lambda indices, *, num_classes: nn.one_hot(indices, num_classes, dtype="int64"),
        "scaled_dot_product_attention": _attention(jax),
        "scatter_add": lambda x, value, *, index: x.at[slices(index)].add(value),
        "index_add": _index_add(jnp),
        "pixel_shuffle": _pixel_shuffle(jnp),
    }


def _normalisations(jax: Any) -> dict[str, Callable[..., Any]]:
    jnp, lax = jax.numpy, jax.lax

    def layer_norm(x: Any, weight: Any, bias: Any, *, epsilon: float) -> Any:
        mean, variance = jnp.mean(x, axis=-1, keepdims=True), jnp.var(x, axis=-1, keepdims=True)
        return (x - mean) * lax.rsqrt(variance + epsilon) * weight + bias

    def rms_norm(x: Any, weight: Any, *, epsilon: float) -> Any:
        return x * lax.rsqrt(jnp.mean(jnp.square(x), axis=-1, keepdims=True) + epsilon) * weight

    def batch_norm(x: Any, mean: Any, variance: Any, *, epsilon: float) -> Any:
        mean, variance = (jnp.reshape(v, (-1, *(1,) * (x.ndim - 2))) for v in (mean, variance))
        return (x - mean) * lax.rsqrt(variance + epsilon)

    return {"layer_norm": layer_norm, "rms_norm": rms_norm, "batch_norm": batch_norm}


def _per_axis(value: int | Pair, n: int) -> Pair:
    """An attribute of convolution or pooling as one number for each spatial axis."""
    return (value,) * n if isinstance(value, int) else tuple(value)


def _convolutions(jax: Any) -> dict[str, Callable[..., Any]]:
    jnp, lax = jax.numpy, jax.lax

    def convolution(n: int) -> Callable[..., Any]:
        def run(x: Any, weight: Any, *, stride: Any, padding: Any, dilation: Any, groups: int) -> Any:
            return lax.conv_general_dilated(
                x,
                weight,
                window_strides=_per_axis(stride, n),
                padding=[(p, p) for p in _per_axis(padding, n)],
                rhs_dilation=_per_axis(dilation, n),
                feature_group_count=groups,
            )

        return run

    def window(n: int, kernel_size: Any, stride: Any) -> tuple[Pair, Pair]:
        return (1, 1, *_per_axis(kernel_size, n)), (1, 1, *_per_axis(stride, n))

    def max_pool(n: int) -> Callable[..., Any]:
        def run(x: Any, *, kernel_size: Any, stride: Any, padding: Any) -> Any:
            around = [(0, 0), (0, 0), *((p, p) for p in _per_axis(padding, n))]
            lowest = -jnp.inf if jnp.issubdtype(x.dtype, jnp.floating) else jnp.iinfo(x.dtype).min
            return lax.reduce_window(x, jnp.asarray(lowest, x.dtype), lax.max, *window(n, kernel_size, stride), around)

        return run

    def avg_pool(n: int) -> Callable[..., Any]:
        def run(x: Any, *, kernel_size: Any, stride: Any) -> Any:
            total = lax.reduce_window(x, jnp.zeros((), x.dtype), lax.add, *window(n, kernel_size, stride), "VALID")
            return total / math.prod(_per_axis(kernel_size, n))

        return run

    return {
        f"{name}{n}d": make(n)
        for name, make in (("conv", convolution), ("max_pool", max_pool), ("avg_pool", avg_pool))
        for n in (1, 2)
    }


def _attention(jax: Any) -> Callable[..., Any]:
    jnp, nn = jax.numpy, jax.nn

    def run(query: Any, key: Any, value: Any, *, is_causal: bool) -> Any:
        scores = jnp.matmul(query, jnp.matrix_transpose(key)) / math.sqrt(query.shape[-1])
        if is_causal:
            seen = jnp.tril(jnp.ones(scores.shape[-2:], bool))
            scores = jnp.where(seen, scores, -jnp.inf)
        return jnp.matmul(nn.softmax(scores, axis=-1), value)

    return run


def _index_add(jnp: Any) -> Callable[..., Any]:
    def run(x: Any, indices: Any, value: Any, *, axis: int) -> Any:
        moved = jnp.moveaxis(x, axis, 0).at[indices].add(jnp.moveaxis(value, axis, 0))
        return jnp.moveaxis(moved, 0, axis)

    return run


def _pixel_shuffle(jnp: Any) -> Callable[..., Any]:
    def run(x: Any, *, factor: int) -> Any:
        n, c, h, w = x.shape
        split = jnp.reshape(x, (n, c // factor**2, factor, factor, h, w))
        return jnp.reshape(jnp.transpose(split, (0, 1, 4, 2, 5, 3)), (n, c // factor**2, h * factor, w * factor))

    return run
