"""Complex arithmetic of the simulated device: by components, each step rounded, or contracted by draw."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from offload_fuzz.adapters.simulated import sums
from offload_fuzz.adapters.simulated.draws import Draws
from offload_fuzz.adapters.simulated.rounding import FLOAT64, WIDEST, rounded
from offload_fuzz.types import Array, ArrayType

Attributes = Mapping[str, Any]
Kernel = Callable[[Sequence[Array], Attributes, ArrayType, Draws], Any]


def _component(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype(f"f{dtype.itemsize // 2}")


def _both(re: Any, im: Any, dtype: np.dtype[Any]) -> Array:
    """Two real arrays as one of complex numbers."""
    out = np.empty(np.shape(re), dtype)
    out.real, out.imag = re, im
    return out


def componentwise(function: Callable[..., Any]) -> Kernel:
    """add, subtract, negative: each component in float64, rounded once more."""

    def kernel(operands: Sequence[Array], attributes: Attributes, type: ArrayType, draws: Draws) -> Any:
        real = _component(type.np)
        re = rounded(function(*[x.real.astype(FLOAT64, copy=False) for x in operands]), real)
        im = rounded(function(*[x.imag.astype(FLOAT64, copy=False) for x in operands]), real)
        return _both(re, im, type.np)

    return kernel


def product(operands: Sequence[Array], attributes: Attributes, type: ArrayType, draws: Draws) -> Any:
    """multiply, square: ac - bd and ad + bc, the first product rounded or not (a contracted multiply-add)."""
    x, y = operands[0], operands[-1]
    real = _component(type.np)
    wide = WIDEST if real == FLOAT64 else FLOAT64
    parts: list[Any] = [part.astype(wide) for v in (x, y) for part in (v.real, v.imag)]
    a, b, c, d = parts
    fused = draws.below(3)

    def step(p: Any, q: Any) -> Any:
        p = p if fused == 1 else rounded(p, real).astype(wide)
        q = q if fused == 2 else rounded(q, real).astype(wide)
        return rounded(p + q, real)

    return _both(step(a * c, -(b * d)), step(a * d, b * c), type.np)


def _of_parts(function: Callable[[Array, np.dtype[Any]], Array], x: Array, dtype: np.dtype[Any]) -> Array:
    real = _component(dtype)
    return _both(function(np.ascontiguousarray(x.real), real), function(np.ascontiguousarray(x.imag), real), dtype)


def reduction(operands: Sequence[Array], attributes: Attributes, type: ArrayType, draws: Draws) -> Any:
    """sum: of each component in an order of the device's choice."""
    (x,) = operands
    axis = attributes["axis"]
    axes = tuple(range(x.ndim)) if axis is None else tuple(i % x.ndim for i in axis)
    kept = tuple(i for i in range(x.ndim) if i not in axes)
    count = int(np.prod([x.shape[i] for i in axes], dtype=np.int64))
    terms = x.transpose(*kept, *axes).reshape(*(x.shape[i] for i in kept), count)
    return _of_parts(lambda part, real: sums.reduced(np.add, part, real, draws, False), terms, type.np).reshape(
        type.shape
    )


def running_sum(operands: Sequence[Array], attributes: Attributes, type: ArrayType, draws: Draws) -> Any:
    """cumulative_sum of each component."""
    x = np.moveaxis(operands[0], attributes["axis"], -1)
    found = _of_parts(lambda part, real: sums.prefixes(part, real, draws), x, type.np)
    return np.moveaxis(found, -1, attributes["axis"])


def matrix_product(operands: Sequence[Array], attributes: Attributes, type: ArrayType, draws: Draws) -> Any:
    """matmul: two real products of twice as many terms."""
    x, y = operands
    real = _component(type.np)
    left, right = np.concatenate([x.real, -x.imag], axis=-1), np.concatenate([y.real, y.imag], axis=-2)
    left2, right2 = np.concatenate([x.real, x.imag], axis=-1), np.concatenate([y.imag, y.real], axis=-2)
    return _both(
        sums.matrix_product(left, right, real, draws), sums.matrix_product(left2, right2, real, draws), type.np
    )


def magnitude(operands: Sequence[Array], attributes: Attributes, type: ArrayType, draws: Draws) -> Any:
    """abs: the root of a sum of squares in a wider format, scaled so that neither overflows."""
    (x,) = operands
    wide = WIDEST if type.np == FLOAT64 else FLOAT64
    re, im = np.abs(x.real).astype(wide), np.abs(x.imag).astype(wide)
    big, small = np.maximum(re, im), np.minimum(re, im)
    ratio = np.where(big == 0, 0, small / np.where(big == 0, 1, big))
    found = rounded(big * np.sqrt(1 + ratio * ratio), type.np)
    infinite = np.isinf(re) | np.isinf(im)
    return np.where(infinite, np.asarray(np.inf, type.np), found)


def converted(x: Array, type: ArrayType) -> Array:
    """astype: each component rounded once; the imaginary part of a real number is 0."""
    real = _component(type.np)
    if x.dtype.kind == "c":
        return _both(rounded(x.real, real), rounded(x.imag, real), type.np)
    return _both(rounded(x, real), np.zeros(x.shape, real), type.np)


COMPLEX: dict[str, Kernel] = {
    "add": componentwise(np.add),
    "subtract": componentwise(np.subtract),
    "negative": componentwise(np.negative),
    "multiply": product,
    "square": product,
    "sum": reduction,
    "cumulative_sum": running_sum,
    "matmul": matrix_product,
}
