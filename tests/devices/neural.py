"""Operands and attributes for the ops of neural networks; see `tests.devices`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from offload_fuzz.errors import InvalidProgram
from offload_fuzz.types import Array

Rng: TypeAlias = np.random.Generator
Make: TypeAlias = Callable[[tuple[int, ...]], Array]  # elements of a shape, in the manner and dtype of the case
Applied: TypeAlias = tuple[tuple[Array, ...], dict[str, Any]]

EPSILONS = (2.0**-10, 1e-5, 1e-3)
#: Activations with an attribute: its name and values.
CHOICES: dict[str, tuple[str, tuple[Any, ...]]] = {
    "leaky_relu": ("negative_slope", (0.25, 0.5, 0.125, 0.01)),
    "elu": ("alpha", (1.0, 0.5, 1.25, 0.1)),
    "gelu": ("approximate", ("none", "tanh")),
}
ALONG = ("softmax", "log_softmax", "logsumexp")


def _pick(rng: Rng, values: tuple[Any, ...]) -> Any:
    return values[int(rng.integers(len(values)))]


def _lengths(rng: Rng, *least: int) -> tuple[int, ...]:
    return tuple(int(rng.integers(n, n + 5)) for n in least)


def _activation(rng: Rng, op: str, make: Make, shape: tuple[int, ...]) -> Applied:
    name, values = CHOICES[op]
    return (make(shape),), {name: _pick(rng, values)}


def _along(rng: Rng, op: str, make: Make, shape: tuple[int, ...]) -> Applied:
    if not shape:
        raise InvalidProgram("no axis")
    attributes: dict[str, Any] = {"axis": int(rng.integers(-len(shape), len(shape)))}
    if op == "logsumexp":
        attributes["keepdims"] = bool(rng.integers(2))
    return (make(shape),), attributes


def _attention(rng: Rng, op: str, make: Make, shape: tuple[int, ...]) -> Applied:
    lead, (rows, keys, d, e) = shape[:2], _lengths(rng, 0, 1, 1, 1)
    operands = make((*lead, rows, d)), make((*lead, keys, d)), make((*lead, keys, e))
    return operands, {"is_causal": bool(rng.integers(2))}


def _linear(rng: Rng, op: str, make: Make, shape: tuple[int, ...]) -> Applied:
    (n,) = _lengths(rng, 1)
    shape = shape or (3,)
    return (make(shape), make((n, shape[-1])), make((n,))), {}


def _convolution(rng: Rng, op: str, make: Make, shape: tuple[int, ...]) -> Applied:
    axes = 2 if op == "conv2d" else 1
    groups = int(rng.integers(1, 4))
    stride, padding, dilation = (int(rng.integers(lo, hi + 1)) for lo, hi in ((1, 3), (0, 2), (1, 2)))
    x = make((int(rng.integers(3)), groups * int(rng.integers(1, 3)), *_lengths(rng, *[2] * axes)))
    kernel = tuple(int(rng.integers(1, 4)) for _ in range(axes))
    weight = make((groups * int(rng.integers(1, 3)), x.shape[1] // groups, *kernel))
    return (x, weight), {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}


def _pool(rng: Rng, op: str, make: Make, shape: tuple[int, ...]) -> Applied:
    x = make((*_lengths(rng, 0, 1), *_lengths(rng, *[3] * int(op[-2]))))
    attributes = {"kernel_size": int(rng.integers(2, 4)), "stride": int(rng.integers(1, 4))}
    if op.startswith("max"):
        attributes["padding"] = int(rng.integers(2))
    return (x,), attributes


def _embedding(rng: Rng, op: str, make: Make, shape: tuple[int, ...]) -> Applied:
    rows, d = _lengths(rng, 1, 0)
    return (make((rows, d)), rng.integers(0, rows, shape)), {}


def _one_hot(rng: Rng, op: str, make: Make, shape: tuple[int, ...]) -> Applied:
    like = make(())
    return (rng.integers(0, 4, shape).astype(like.dtype),), {"num_classes": int(rng.integers(4, 10))}


def _scatter_add(rng: Rng, op: str, make: Make, shape: tuple[int, ...]) -> Applied:
    x = make(shape)
    index = tuple((None, None, int(_pick(rng, (1, -1, 2, -2)))) if n % 2 else (0, n - 1, 1) for n in shape)
    return (x, make(x[tuple(slice(*part) for part in index)].shape)), {"index": index}


def _index_add(rng: Rng, op: str, make: Make, shape: tuple[int, ...]) -> Applied:
    if not shape:
        raise InvalidProgram("no axis")
    axis = int(rng.integers(-len(shape), len(shape)))
    n = shape[axis]
    indices = rng.integers(0, max(n, 1), int(rng.integers(6)) if n else 0)
    places = list(shape)
    places[axis] = len(indices)
    return (make(shape), indices, make(tuple(places))), {"axis": axis}


def _shuffle(rng: Rng, op: str, make: Make, shape: tuple[int, ...]) -> Applied:
    r = int(rng.integers(1, 4))
    n, c, h, w = _lengths(rng, 0, 1, 0, 1)
    return (make((n, c * r * r, h, w)),), {"factor": r}


def _norm(rng: Rng, op: str, make: Make, shape: tuple[int, ...]) -> Applied:
    shape = shape or (3,)
    weights = [make(shape[-1:]) for _ in range(2 if op == "layer_norm" else 1)]
    return (make(shape), *weights), {"epsilon": _pick(rng, EPSILONS)}


def _batch_norm(rng: Rng, op: str, make: Make, shape: tuple[int, ...]) -> Applied:
    shape = shape if len(shape) > 1 else (2, 3)
    return (make(shape), make(shape[1:2]), np.abs(make(shape[1:2]))), {"epsilon": _pick(rng, EPSILONS)}


MAKERS: dict[str, Callable[[Rng, str, Make, tuple[int, ...]], Applied]] = {
    **dict.fromkeys(CHOICES, _activation),
    **dict.fromkeys(ALONG, _along),
    "scaled_dot_product_attention": _attention,
    "linear": _linear,
    "conv1d": _convolution,
    "conv2d": _convolution,
    **dict.fromkeys(("max_pool1d", "max_pool2d", "avg_pool1d", "avg_pool2d"), _pool),
    "embedding": _embedding,
    "one_hot": _one_hot,
    "scatter_add": _scatter_add,
    "index_add": _index_add,
    "pixel_shuffle": _shuffle,
    "layer_norm": _norm,
    "rms_norm": _norm,
    "batch_norm": _batch_norm,
}
