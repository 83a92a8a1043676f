"""Lawful ways to compute the ops that add up, multiply, spread and make sequences: further rows of `lawful.LAWFUL`."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from offload_fuzz.types import Array, ArrayType

Rng: TypeAlias = np.random.Generator
Lawful: TypeAlias = Callable[..., Array]
LONG = np.dtype(np.longdouble)


def rows(sums: Any) -> dict[str, Lawful]:
    """The rows; `sums` is the module `lawful`, for its orders, accumulators and roundings."""
    joined, terms_last = sums.joined, sums.terms_last

    def narrowed(x: Any, dtype: Any) -> Array:
        found: Array = sums.narrowed_to(np.asarray(x), dtype)
        return found

    def accumulator(type: ArrayType, rng: Rng) -> Any:
        found = sums.accumulators(type.np)
        return found[int(rng.integers(len(found)))]

    def added(terms: Array, rng: Rng) -> Array:
        """Terms along the last axis, added in their own dtype in a drawn order."""
        if not terms.shape[-1]:
            return np.zeros(terms.shape[:-1], terms.dtype)
        return np.asarray((sums.folded if rng.integers(2) else sums.chained)(np.add, terms, rng))

    def products(x: Array, y: Array, type: ArrayType, rng: Rng) -> Array:
        """Sums of products along the last axis."""
        inner = accumulator(type, rng)
        return narrowed(added(np.asarray(x.astype(inner) * y.astype(inner)), rng), type.np).reshape(type.shape)

    def vecdot(rng: Rng, type: ArrayType, x1: Array, x2: Array, *, axis: int) -> Array:
        return products(np.moveaxis(x1, axis, -1), np.moveaxis(x2, axis, -1), type, rng)

    def tensordot(rng: Rng, type: ArrayType, x1: Array, x2: Array, *, axes: int) -> Array:
        inner = int(np.prod(x2.shape[:axes], dtype=int))
        split = x1.ndim - axes
        x = x1.reshape(int(np.prod(x1.shape[:split], dtype=int)), 1, inner)
        y = x2.reshape(inner, int(np.prod(x2.shape[axes:], dtype=int))).T[None]
        return products(x, y, type, rng)

    def cross(rng: Rng, type: ArrayType, x1: Array, x2: Array) -> Array:
        x, y = (np.broadcast_to(v, type.shape).astype(type.np) for v in (x1, x2))
        parts = []
        for i, j in ((1, 2), (2, 0), (0, 1)):
            a, b = np.stack((x[..., i], x[..., j]), -1), np.stack((y[..., j], -y[..., i]), -1)
            parts.append(products(a, b, ArrayType(type.dtype, type.shape[:-1]), rng))
        return np.stack(parts, -1)

    def trace(rng: Rng, type: ArrayType, x: Array, *, offset: int) -> Array:
        return narrowed(joined(np.add, np.diagonal(x, offset, -2, -1), type.np, rng), type.np)

    def nansum(rng: Rng, type: ArrayType, x: Array, **attributes: Any) -> Array:
        terms = terms_last(x, attributes)
        terms = np.where(np.isnan(terms), np.zeros((), x.dtype), terms)
        return narrowed(joined(np.add, terms, type.np, rng), type.np).reshape(type.shape)

    def nanmean(rng: Rng, type: ArrayType, x: Array, **attributes: Any) -> Array:
        terms = terms_last(x, attributes)
        count = np.sum(~np.isnan(terms), axis=-1)
        total = joined(np.add, np.where(np.isnan(terms), np.zeros((), x.dtype), terms), type.np, rng)
        n = count.astype(total.dtype)
        mean = total / n if rng.integers(2) else np.where(n == 0, total / n, total * (np.ones((), n.dtype) / n))
        return narrowed(np.asarray(mean), type.np).reshape(type.shape)

    def diff(rng: Rng, type: ArrayType, x: Array, *, axis: int, n: int) -> Array:
        for _ in range(n):
            y = np.moveaxis(x, axis, 0)
            part = ArrayType(type.dtype, (max(len(y) - 1, 0), *y.shape[1:]))
            x = np.moveaxis(sums.LAWFUL["subtract"](rng, part, y[1:], y[:-1]), 0, axis)
        return x

    def cumulative_prod(rng: Rng, type: ArrayType, x: Array, *, axis: int) -> Array:
        moved = np.moveaxis(x, axis, -1)
        out = np.zeros(moved.shape, type.np)
        for i in range(moved.shape[-1]):
            out[..., i] = narrowed(joined(np.multiply, moved[..., : i + 1], type.np, rng), type.np)
        return np.moveaxis(out, -1, axis)

    def kron(rng: Rng, type: ArrayType, x1: Array, x2: Array) -> Array:
        inner = np.float64 if type.np.itemsize < 8 else type.np
        return narrowed(np.asarray(np.kron(x1.astype(inner), x2.astype(inner))), type.np)

    def vector_norm(rng: Rng, type: ArrayType, x: Array, *, ord: float, **attributes: Any) -> Array:
        terms = np.abs(terms_last(x, attributes))
        if ord == 1:
            return narrowed(joined(np.add, terms, type.np, rng), type.np).reshape(type.shape)
        if ord != 2:
            return np.asarray(np.max(terms, axis=-1)).reshape(type.shape)
        y = terms.astype(accumulator(type, rng))
        return narrowed(np.asarray(np.sqrt(added(np.asarray(y * y), rng))), type.np).reshape(type.shape)

    def variance(root: bool) -> Lawful:
        def lawful(rng: Rng, type: ArrayType, x: Array, *, correction: float, **attributes: Any) -> Array:
            y = terms_last(x, attributes).astype(accumulator(type, rng))
            n, dtype = y.shape[-1], y.dtype
            count, over = dtype.type(n), dtype.type(max(n - correction, 0))
            mean = added(y, rng)[..., None]
            mean = mean / count if rng.integers(2) else mean * (dtype.type(1) / count)
            mean = narrowed(np.asarray(mean), type.np).astype(dtype) if rng.integers(2) else mean
            apart = np.asarray(y - mean)
            total = added(np.asarray(apart * apart), rng)
            result = total / over if rng.integers(2) or not over else total * (dtype.type(1) / over)
            result = np.asarray(result)
            if root:
                result = np.sqrt(narrowed(result, type.np).astype(dtype) if rng.integers(2) else result)
            return narrowed(np.asarray(result), type.np).reshape(type.shape)

        return lawful

    def arange(rng: Rng, type: ArrayType, *, start: Any, stop: Any, step: Any, dtype: str) -> Array:
        i = np.arange(type.size)
        if rng.integers(2):  # as NumPy: the difference of the first two elements
            first, second = (np.asarray(v).astype(type.np) for v in (float(start), float(start) + float(step)))
            inner = np.dtype(np.float32) if type.np.itemsize < 4 else type.np
            delta = np.asarray(second.astype(inner) - first.astype(inner))
            found = narrowed(np.asarray(first.astype(inner) + i.astype(inner) * delta), type.np)
            return np.where(i == 0, first, np.where(i == 1, second, found))
        inner = accumulator(type, rng)
        return narrowed(np.asarray(inner.type(start) + i.astype(inner) * inner.type(step)), type.np)

    def linspace(rng: Rng, type: ArrayType, *, start: Any, stop: Any, num: int, dtype: str) -> Array:
        inner = accumulator(type, rng)
        s, t, n, i = (np.asarray(v).astype(inner) for v in (start, stop, max(num - 1, 1), np.arange(num)))
        way = rng.integers(3)
        if way == 0:
            w = i / n
            found = s * (inner.type(1) - w) + t * w
        else:
            step = (t - s) / n
            found = s + i * step
            found = found if way == 1 else np.where(i < n / 2, found, t - (n - i) * step)
        found = np.where((i == n) & (num > 1), t, np.where(i == 0, s, found))
        return narrowed(np.asarray(found), type.np)

    def last(ufunc: np.ufunc) -> Lawful:
        def lawful(rng: Rng, type: ArrayType, x: Array, **attributes: Any) -> Array:
            terms = terms_last(x, attributes)
            terms = terms[..., rng.permutation(terms.shape[-1])]
            result = terms[..., 0]
            for k in range(1, terms.shape[-1]):
                y = terms[..., k]
                zeros = (result == 0) & (y == 0)
                result = np.where(zeros, result if rng.integers(2) else y, ufunc(result, y))
            return np.asarray(result).reshape(type.shape)

        return lawful

    def running(ufunc: np.ufunc) -> Lawful:
        def lawful(rng: Rng, type: ArrayType, x: Array, *, axis: int) -> Array:
            moved = list(np.moveaxis(x, axis, 0))
            keep = bool(rng.integers(2))

            def step(p: Array, q: Array) -> Array:
                return np.where((p == 0) & (q == 0), p if keep else q, ufunc(p, q))

            out = list(itertools.accumulate(moved, step))
            return np.moveaxis(np.stack(out), 0, axis) if out else x

        return lawful

    def outer(rng: Rng, type: ArrayType, x1: Array, x2: Array) -> Array:
        return np.asarray(sums.LAWFUL["multiply"](rng, type, x1[:, None], x2[None, :]))

    return {
        "min": last(np.minimum),
        "nanmax": last(np.fmax),
        "nanmin": last(np.fmin),
        "cumulative_max": running(np.maximum),
        "cumulative_min": running(np.minimum),
        "nansum": nansum,
        "nanmean": nanmean,
        "diff": diff,
        "trace": trace,
        "cumulative_prod": cumulative_prod,
        "vecdot": vecdot,
        "tensordot": tensordot,
        "outer": outer,
        "kron": kron,
        "cross": cross,
        "vector_norm": vector_norm,
        "var": variance(False),
        "std": variance(True),
        "arange": arange,
        "linspace": linspace,
    }
