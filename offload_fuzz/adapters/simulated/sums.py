"""Accumulation in an order and an accumulator of the device's choice; every partial sum is really rounded there.

Each function takes terms along the last axis. Orders are whole-array operations, so that long sums are fast.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise as neighbours
from typing import Any

import numpy as np

from offload_fuzz.adapters.simulated.draws import LONGEST, Draws
from offload_fuzz.adapters.simulated.rounding import FLOAT32
from offload_fuzz.types import Array

SMALL_PRODUCT = 1 << 16  # products of at most this many terms are formed one by one
EXACT_COUNT = 256  # every int up to this is a number of each float dtype


def accumulator(dtype: np.dtype[Any], draws: Draws, count: int = 0, narrow: bool = False) -> np.dtype[Any]:
    """The dtype of the partial sums: its own, or for a 16-bit dtype, by draw, float32.

    narrow: by draw the device's own accumulator, where that has fewer digits and holds `count`.
    """
    if narrow and draws.accumulators and count <= EXACT_COUNT and draws.below(2):
        return draws.accumulators.get(dtype, dtype)
    if dtype.itemsize > 2 or (count <= EXACT_COUNT and draws.below(2)):
        return dtype
    return FLOAT32


# ------------------------------------------------------------------------------------------------------------ orders
def forward(ufunc: np.ufunc, x: Array, draws: Draws) -> Any:
    """First to last; `accumulate` rounds after each term, where `reduce` would take another order."""
    return ufunc.accumulate(x, axis=-1)[..., -1]


def backward(ufunc: np.ufunc, x: Array, draws: Draws) -> Any:
    """Last to first."""
    return ufunc.accumulate(x[..., ::-1], axis=-1)[..., -1]


def shuffled(ufunc: np.ufunc, x: Array, draws: Draws) -> Any:
    """In a drawn order."""
    n = x.shape[-1]
    return forward(ufunc, x[..., draws.permutation(n)], draws) if n <= LONGEST else backward(ufunc, x, draws)


def pairwise(ufunc: np.ufunc, x: Array, draws: Draws) -> Any:
    """Both halves together, again and again, as a tree of threads does."""
    while (n := x.shape[-1]) > 1:
        half = n // 2
        folded = ufunc(x[..., :half], x[..., half : 2 * half])
        x = folded if n % 2 == 0 else np.concatenate((folded, x[..., -1:]), axis=-1)
    return x[..., 0]


def lanes(ufunc: np.ufunc, x: Array, draws: Draws) -> Any:
    """Every k-th term in a lane of its own, then the lanes pairwise, then what is left over."""
    n = x.shape[-1]
    width = min(n, 2 << draws.below(4))
    whole = n - n % width
    columns = x[..., :whole].reshape(*x.shape[:-1], whole // width, width)
    total = pairwise(ufunc, ufunc.accumulate(columns, axis=-2)[..., -1, :], draws)
    return total if whole == n else ufunc(total, pairwise(ufunc, x[..., whole:], draws))


ORDERS: tuple[Callable[[np.ufunc, Array, Draws], Any], ...] = (forward, backward, shuffled, pairwise, lanes)


# -------------------------------------------------------------------------------------------------------------- sums
def reduced(
    ufunc: np.ufunc, x: Array, dtype: np.dtype[Any], draws: Draws, is_mean: bool = False, narrow: bool = False
) -> Array:
    """Terms added or multiplied up, or their mean, by quotient or reciprocal."""
    n = x.shape[-1]
    if n == 0:
        return np.full(x.shape[:-1], np.nan if is_mean else ufunc.identity, dtype)
    inner = accumulator(dtype, draws, n if is_mean else 0, narrow)
    terms = x.astype(inner, copy=False)
    total = terms[..., 0] if n == 1 else ORDERS[draws.below(len(ORDERS))](ufunc, terms, draws)
    if is_mean:
        count = inner.type(n)
        total = total / count if draws.below(2) else total * (inner.type(1) / count)
    return np.asarray(total).astype(dtype)


def prefixes(x: Array, dtype: np.dtype[Any], draws: Draws, narrow: bool = False) -> Array:
    """Sums of the first 1, 2, ... n terms: one after the other, or by doubling distances. Both use no later term."""
    inner = accumulator(dtype, draws, narrow=narrow)
    sums = x.astype(inner)
    n = x.shape[-1]
    if n > LONGEST or draws.below(2):
        return np.add.accumulate(sums, axis=-1).astype(dtype, copy=False)
    distance = 1
    while distance < n:
        sums[..., distance:] = sums[..., distance:] + sums[..., :-distance]
        distance *= 2
    return sums.astype(dtype, copy=False)


def matrix_product(x1: Array, x2: Array, dtype: np.dtype[Any], draws: Draws, narrow: bool = False) -> Array:
    """Small products term by term in any order; large ones in blocks of the contracted axis."""
    (m, k), n = x1.shape[-2:], x2.shape[-1]
    batch = np.broadcast_shapes(x1.shape[:-2], x2.shape[:-2])
    terms = int(np.prod(batch, dtype=np.int64)) * m * k * n
    if terms == 0:
        return np.zeros((*batch, m, n), dtype)
    if terms <= SMALL_PRODUCT:
        inner = accumulator(dtype, draws, narrow=narrow)
        a, b = x1.astype(inner), x2.astype(inner)
        products = a[..., :, None, :] * np.swapaxes(b, -1, -2)[..., None, :, :]
        return np.asarray(ORDERS[draws.below(len(ORDERS))](np.add, products, draws)).astype(dtype)
    inner = dtype if dtype.itemsize > 2 else FLOAT32
    a, b = x1.astype(inner, copy=False), x2.astype(inner, copy=False)
    blocks = min(k, 1 + draws.below(4))
    edges = [k * i // blocks for i in range(blocks + 1)]
    total = None
    for start, stop in reversed(list(neighbours(edges))):
        part = np.matmul(a[..., start:stop], b[..., start:stop, :])
        total = part if total is None else total + part
    return np.asarray(total).astype(dtype)
