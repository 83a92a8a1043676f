"""The simulated device's own ways to add up, multiply, spread and make sequences, beside those of `arithmetic`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from offload_fuzz.adapters.simulated import sums
from offload_fuzz.adapters.simulated.draws import LONGEST, Draws
from offload_fuzz.adapters.simulated.rounding import FLOAT32, FLOAT64, rounded
from offload_fuzz.ops.base import normalize_axes
from offload_fuzz.types import Array, ArrayType

Attributes: TypeAlias = Mapping[str, Any]
Kernel: TypeAlias = Callable[[Sequence[Array], Attributes, ArrayType, Draws], Any]


def terms_last(x: Array, attributes: Attributes) -> Array:
    """The axes that are reduced as one last axis."""
    axes = normalize_axes(attributes["axis"], x.ndim)
    kept = tuple(i for i in range(x.ndim) if i not in axes)
    shape = [x.shape[i] for i in kept]
    return x.transpose(*kept, *axes).reshape(*shape, math.prod(x.shape[i] for i in axes))


def _zero_for_nan(x: Array) -> Array:
    return np.where(np.isnan(x), np.zeros((), x.dtype), x)


# ------------------------------------------------------------------------------------------------------- extremes
def extreme(ufunc: np.ufunc) -> Kernel:
    """min, nanmax, nanmin: exact, but of two opposite zeros the device takes either."""

    def kernel(operands: Sequence[Array], attributes: Attributes, type: ArrayType, draws: Draws) -> Any:
        terms = terms_last(operands[0], attributes)
        result = ufunc.reduce(terms, axis=-1)
        if draws.below(2):
            zeros, minus = terms == 0, np.signbit(terms)
            both = (zeros & minus).any(axis=-1) & (zeros & ~minus).any(axis=-1) & (result == 0)
            result = np.where(both, np.asarray(-0.0, type.np), result)
        return np.asarray(result).reshape(type.shape)

    return kernel


def running_extreme(ufunc: np.ufunc) -> Kernel:
    """cumulative_max, cumulative_min: exact, one element after the other, or by doubling distances."""

    def kernel(operands: Sequence[Array], attributes: Attributes, type: ArrayType, draws: Draws) -> Any:
        x = np.moveaxis(operands[0], attributes["axis"], -1)
        return np.moveaxis(_prefixes(ufunc, x, draws), -1, attributes["axis"])

    return kernel


def _prefixes(ufunc: np.ufunc, x: Array, draws: Draws) -> Array:
    if x.shape[-1] > LONGEST or draws.below(2):
        return np.asarray(ufunc.accumulate(x, axis=-1))
    found, distance = x.copy(), 1
    while distance < x.shape[-1]:
        found[..., distance:] = ufunc(found[..., distance:], found[..., :-distance])
        distance *= 2
    return found


# ----------------------------------------------------------------------------------------------------------- sums
def nan_sum(operands: Sequence[Array], attributes: Attributes, type: ArrayType, draws: Draws) -> Any:
    """nansum: in any order."""
    terms = _zero_for_nan(terms_last(operands[0], attributes))
    return sums.reduced(np.add, terms, type.np, draws).reshape(type.shape)


def nan_mean(operands: Sequence[Array], attributes: Attributes, type: ArrayType, draws: Draws) -> Any:
    """nanmean: the sum in any order, by quotient or reciprocal."""
    terms = terms_last(operands[0], attributes)
    inner = sums.accumulator(type.np, draws, terms.shape[-1])
    total = sums.reduced(np.add, _zero_for_nan(terms).astype(inner), inner, draws)
    count = np.count_nonzero(~np.isnan(terms), axis=-1).astype(inner)
    by_reciprocal = draws.below(2) and bool((count > 0).all())
    mean = total * (inner.type(1) / count) if by_reciprocal else total / count
    return np.asarray(mean).astype(type.np).reshape(type.shape)


def trace(operands: Sequence[Array], attributes: Attributes, type: ArrayType, draws: Draws) -> Any:
    """trace: in any order."""
    terms = np.diagonal(operands[0], attributes["offset"], -2, -1)
    return sums.reduced(np.add, terms, type.np, draws)


def differences(operands: Sequence[Array], attributes: Attributes, type: ArrayType, draws: Draws) -> Any:
    """diff: in float64 and rounded once more, n times."""
    x = np.moveaxis(operands[0], attributes["axis"], -1)
    for _ in range(attributes["n"]):
        x = rounded(x[..., 1:].astype(FLOAT64) - x[..., :-1].astype(FLOAT64), type.np)
    return np.moveaxis(x, -1, attributes["axis"])


def running_product(operands: Sequence[Array], attributes: Attributes, type: ArrayType, draws: Draws) -> Any:
    """cumulative_prod: in an accumulator of the device's choice."""
    x = np.moveaxis(operands[0], attributes["axis"], -1).astype(sums.accumulator(type.np, draws))
    return np.moveaxis(_prefixes(np.multiply, x, draws), -1, attributes["axis"]).astype(type.np)


# ------------------------------------------------------------------------------------------------------- products
def _inner(x: Array, y: Array, type: ArrayType, draws: Draws) -> Array:
    """Sums of products along the last axis, each product rounded in the accumulator."""
    inner = sums.accumulator(type.np, draws)
    products = x.astype(inner) * y.astype(inner)
    return sums.reduced(np.add, np.asarray(products), inner, draws).astype(type.np).reshape(type.shape)


def dot(operands: Sequence[Array], attributes: Attributes, type: ArrayType, draws: Draws) -> Any:
    """vecdot."""
    x, y = (np.moveaxis(v, attributes["axis"], -1) for v in operands)
    return _inner(x, y, type, draws)


def tensor_product(operands: Sequence[Array], attributes: Attributes, type: ArrayType, draws: Draws) -> Any:
    """tensordot: a matrix product."""
    x, y = operands
    axes = attributes["axes"]
    inner = math.prod(y.shape[:axes])
    first = x.reshape(math.prod(x.shape[: x.ndim - axes]), inner)
    second = y.reshape(inner, math.prod(y.shape[axes:]))
    return sums.matrix_product(first, second, type.np, draws).reshape(type.shape)


def cross_product(operands: Sequence[Array], attributes: Attributes, type: ArrayType, draws: Draws) -> Any:
    """cross: both products in the accumulator, in either order of the difference."""
    x, y = operands
    component = ArrayType(type.dtype, type.shape[:-1])
    parts = [
        _inner(np.stack((x[..., i], x[..., j]), -1), np.stack((y[..., j], -y[..., i]), -1), component, draws)
        for i, j in ((1, 2), (2, 0), (0, 1))
    ]
    return np.stack(parts, -1)


def each_by_each(operands: Sequence[Array], attributes: Attributes, type: ArrayType, draws: Draws) -> Any:
    """outer, kron: single products, in float64 and rounded once more."""
    x, y = (v.astype(FLOAT64) for v in operands)
    n = max(x.ndim, y.ndim)
    x, y = (v.reshape((1,) * (n - v.ndim) + v.shape) for v in (x, y))
    product = np.multiply.outer(x, y).transpose([axis for i in range(n) for axis in (i, n + i)])
    return rounded(np.asarray(product), type.np).reshape(type.shape)


# --------------------------------------------------------------------------------------------------------- spread
def norm(operands: Sequence[Array], attributes: Attributes, type: ArrayType, draws: Draws) -> Any:
    """vector_norm: in any order; of order 2 the squares in the accumulator, or scaled by a power of two before."""
    size = np.abs(terms_last(operands[0], attributes))
    if attributes["ord"] == 1:
        return sums.reduced(np.add, size, type.np, draws).reshape(type.shape)
    if attributes["ord"] != 2:
        return np.max(size, axis=-1).reshape(type.shape)
    inner = sums.accumulator(type.np, draws)
    y = size.astype(inner)
    root = np.sqrt(sums.reduced(np.add, y * y, inner, draws))
    return np.asarray(root).astype(type.np).reshape(type.shape)


def variance(is_root: bool) -> Kernel:
    """var, std: the mean first, then the squares of what is apart from it, by quotient or reciprocal."""

    def kernel(operands: Sequence[Array], attributes: Attributes, type: ArrayType, draws: Draws) -> Any:
        x = terms_last(operands[0], attributes)
        n = x.shape[-1]
        inner = sums.accumulator(type.np, draws, n) if n <= sums.EXACT_COUNT else _long_enough(type.np)
        y = x.astype(inner)
        mean = sums.reduced(np.add, y, inner, draws, is_mean=True)
        apart = y - mean[..., None]
        total = sums.reduced(np.add, np.asarray(apart * apart), inner, draws)
        over = inner.type(max(n - attributes["correction"], 0))
        found = total * (inner.type(1) / over) if over and draws.below(2) else total / over
        found = np.asarray(np.sqrt(found) if is_root else found)
        return found.astype(type.np).reshape(type.shape)

    return kernel


def _long_enough(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """An accumulator that holds every count."""
    return dtype if dtype.itemsize > 2 else FLOAT32


# ------------------------------------------------------------------------------------------------------ sequences
def counted(operands: Sequence[Array], attributes: Attributes, type: ArrayType, draws: Draws) -> Any:
    """arange: start + i * step in the dtype (16-bit: in float32), or in float64."""
    inner = FLOAT64 if draws.below(2) else _long_enough(type.np)
    start, step = inner.type(attributes["start"]), inner.type(attributes["step"])
    return rounded(np.asarray(start + np.arange(type.size).astype(inner) * step), type.np)


def spaced(operands: Sequence[Array], attributes: Attributes, type: ArrayType, draws: Draws) -> Any:
    """linspace: from the start, from the nearer end, or as the weighted mean of both ends; these are exact."""
    inner = FLOAT64 if draws.below(2) else _long_enough(type.np)
    start, stop = inner.type(attributes["start"]), inner.type(attributes["stop"])
    i, n = np.arange(type.size).astype(inner), inner.type(max(type.size - 1, 1))
    way = draws.below(3)
    if way == 0:
        weight = i / n
        found = start * (inner.type(1) - weight) + stop * weight
    else:
        step = (stop - start) / n
        found = start + i * step
        if way == 1:
            found = np.where(i < n / 2, found, stop - (n - i) * step)
    found = np.where(i == 0, start, np.where(i == n, stop, found))
    return rounded(np.asarray(found), type.np)


#: As `arithmetic.FLOATING`: what runs for a result of a float dtype.
FLOATING: dict[str, Kernel] = {
    "min": extreme(np.minimum),
    "nanmax": extreme(np.fmax),
    "nanmin": extreme(np.fmin),
    "cumulative_max": running_extreme(np.maximum),
    "cumulative_min": running_extreme(np.minimum),
    "nansum": nan_sum,
    "nanmean": nan_mean,
    "trace": trace,
    "diff": differences,
    "cumulative_prod": running_product,
    "vecdot": dot,
    "tensordot": tensor_product,
    "cross": cross_product,
    "outer": each_by_each,
    "kron": each_by_each,
    "vector_norm": norm,
    "var": variance(False),
    "std": variance(True),
    "arange": counted,
    "linspace": spaced,
}
