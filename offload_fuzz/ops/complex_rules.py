"""Enclosure rules for complex numbers: by components, and products as sums of two real products.

A complex result is a rectangle (`offload_fuzz.enclosure.parts`). Sums and differences round each component once.
A product is ac - bd, ad + bc with every step rounded, or contracted: two-term sums of products, whose bound is that of
a matrix product (Brent, Percival and Zimmermann, "Error bounds on complex floating-point multiplication", Math. Comp.
76 (2007), eq. (2), per component). Three multiplications, which cancel, and C's recovery of infinities (Annex G.5.1)
are not lawful unless a contract says so; where an operand is not finite anything goes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from attrs import evolve

from offload_fuzz.enclosure import (
    Enclosure,
    between,
    combine,
    components,
    either_zero,
    exact,
    joined,
    parts,
    some,
    whole,
)
from offload_fuzz.ops.base import Application, normalize_axes, normalize_axis
from offload_fuzz.ops.rounding import narrowed, ulps_around, wide
from offload_fuzz.ops.rules import Value, reference
from offload_fuzz.types import DTYPES, Array, ArrayType, is_complex


def component_type(type: ArrayType) -> ArrayType:
    """The real type of a complex one: its component's dtype, the same shape."""
    return ArrayType(DTYPES[type.dtype].component or type.dtype, type.shape)


def _complex(value: Array) -> Array:
    """Real components, last axis of 2, as complex numbers."""
    e = joined(exact(value))
    return e.lo


def componentwise(rule: Callable[[Application], Value]) -> Callable[[Application], Value]:
    """The real rule, for complex operands on each component: what adds, subtracts or negates."""

    def enclose(a: Application) -> Value:
        if not is_complex(a.type.dtype):
            return rule(a)
        if any(x.dtype.kind != "c" for x in a.values):
            return reference(a), None
        a = _in_one_dtype(a)
        component = DTYPES[a.type.dtype].component
        attributes = dict(a.attributes)
        if "axis" in attributes:
            axis, ndim = attributes["axis"], a.values[0].ndim
            attributes["axis"] = normalize_axis(axis, ndim) if type(axis) is int else normalize_axes(axis, ndim)
        value, e = rule(
            evolve(
                a,
                operands=[parts(o) for o in a.operands],
                values=[components(x) for x in a.values],
                attributes=attributes,
                type=ArrayType(component, (*a.type.shape, 2)),
            )
        )
        if e is None:
            return _complex(value), None
        if f"{a.op.name}:complex" in a.contract.either_zero:
            e = either_zero(e)
        return _complex(value), spreading(joined(e)) if a.op.name in a.contract.spreading else joined(e)

    return enclose


def _in_one_dtype(a: Application) -> Application:
    """`a` with complex operands in the dtype of the result, which holds all their numbers."""
    dtype = a.type.np
    if all(x.dtype == dtype for x in a.values):
        return a
    operands = [e if e.lo.dtype == dtype else _widened(e, dtype) for e in a.operands]
    return evolve(a, operands=operands, values=[x.astype(dtype, copy=False) for x in a.values])


def _widened(e: Enclosure, dtype: np.dtype[Any]) -> Enclosure:
    lo = e.lo.astype(dtype)
    hi = lo if e.hi is e.lo else e.hi.astype(dtype)
    lo2, hi2 = (None if x is None else x.astype(dtype) for x in (e.lo2, e.hi2))
    return Enclosure(lo, hi, lo2, hi2, e.nan, e.ninf, e.pinf)


def _dot(a: Application, rule: Callable[[Application], Value], x: Array, y: Array) -> Value:
    """The real matrix product of known `x` and `y` under the op's contract."""
    shape = (*np.broadcast_shapes(x.shape[:-2], y.shape[:-2]), x.shape[-2], y.shape[-1])
    real = ArrayType(DTYPES[a.type.dtype].component, shape)
    return rule(evolve(a, operands=[exact(x), exact(y)], values=[x, y], attributes={}, type=real))


def matrix_product(rule: Callable[[Application], Value]) -> Callable[[Application], Value]:
    """matmul: the real rule, for complex operands on the two real products of twice as many terms."""

    def enclose(a: Application) -> Value:
        if not is_complex(a.type.dtype):
            return rule(a)
        return _product(a, rule, *a.values)

    return enclose


def elementwise_product(
    rule: Callable[[Application], Value], real_rule: Callable[[Application], Value]
) -> Callable[[Application], Value]:
    """multiply and square: for complex operands a matrix product of one row and one column per element."""

    def enclose(a: Application) -> Value:
        if not is_complex(a.type.dtype):
            return real_rule(a)
        x, y = (np.broadcast_to(v, a.type.shape) for v in (a.values[0], a.values[-1]))
        value, e = _product(a, rule, x[..., None, None], y[..., None, None])
        flat = a.type.shape
        return value.reshape(flat), None if e is None else e.move(lambda part: part.reshape(flat))

    return enclose


def _product(a: Application, rule: Callable[[Application], Value], x: Array, y: Array) -> Value:
    known = all(e.is_singleton for e in a.operands) and x.dtype.kind == y.dtype.kind == "c"
    x, y = x.astype(a.type.np, copy=False), y.astype(a.type.np, copy=False)
    (xr, xi), (yr, yi) = ((v.real, v.imag) for v in (x, y))
    left, right = np.concatenate([xr, -xi], axis=-1), np.concatenate([yr, yi], axis=-2)
    left2, right2 = np.concatenate([xr, xi], axis=-1), np.concatenate([yi, yr], axis=-2)
    re, e1 = _dot(a, rule, left, right)
    im, e2 = _dot(a, rule, left2, right2)
    value = _complex(np.stack([re, im], axis=-1))
    if not known or e1 is None or e2 is None:
        return value, None
    e = joined(combine(lambda p, q: np.stack([p, q], axis=-1), e1, e2))
    odd = np.any(~np.isfinite(x), axis=-1)[..., :, None] | np.any(~np.isfinite(y), axis=-2)[..., None, :]
    e = anything_where(odd, e) if some(odd) else e
    return value, spreading(e)


def spreading(e: Enclosure) -> Enclosure:
    """`e`, where a component that may be infinite may make the other one NaN: BLAS multiplies a product by 1 + 0i.

    Source: "Basic Linear Algebra Subprograms Technical Forum Standard" (2001), GEMM: C = alpha A B + beta C; 0 times an
    infinity is NaN. Measured with OpenBLAS (NumPy 2.4).
    """
    p = parts(e)
    infinite = np.isinf(p.lo) | np.isinf(p.hi)
    for flag in (p.nan, p.ninf, p.pinf):
        infinite = infinite if flag is None else infinite | flag
    if not some(infinite):
        return e
    nan = np.broadcast_to(np.any(infinite, axis=-1, keepdims=True), infinite.shape)
    return joined(Enclosure(p.lo, p.hi, p.lo2, p.hi2, nan if p.nan is None else nan | p.nan, p.ninf, p.pinf))


def anything_where(odd: Array, e: Enclosure) -> Enclosure:
    """`e`, with any value at all where `odd`."""
    every = whole(ArrayType("complex64" if e.lo.dtype.itemsize == 8 else "complex128", e.lo.shape))
    return combine(lambda p, q: np.where(odd, q, p), e, every)


def abs_rule(real_rule: Callable[[Application], Value]) -> Callable[[Application], Value]:
    """abs: of a complex number sqrt(re^2 + im^2) within the contract's ulps for its dtype; real ones by `real_rule`."""

    def enclose(a: Application) -> Value:
        (x,) = a.values
        if x.dtype.kind != "c":
            return real_rule(a)
        center = np.hypot(wide(x.real, a.type.dtype), wide(x.imag, a.type.dtype))
        value = narrowed(center, a.type.dtype)
        if not a.operands[0].is_singleton:
            return value, None
        source = "complex64" if x.dtype.itemsize == 8 else "complex128"
        n, dtype = a.contract.ulps_of("abs", source, 4.0), a.type.dtype
        lo, hi = ulps_around(center, n, dtype)
        lo, hi = np.where(center == 0, value, lo), np.where(center == 0, value, hi)
        if a.contract.flushes("abs:complex", dtype):
            least = np.hypot(*(_or_zero(wide(part, dtype), dtype) for part in (x.real, x.imag)))
            lo = np.where(least == 0, np.zeros((), lo.dtype), np.minimum(lo, ulps_around(least, n, dtype)[0]))
        nan = np.isnan(x)  # beside an infinity hypot ignores it, square roots of sums do not
        return value, between(lo, hi, np.asarray(nan), np.asarray(np.isnan(center)))

    return enclose


def _or_zero(x: Array, dtype: str) -> Array:
    """Wide `x`, with zero for what is subnormal in `dtype`."""
    return np.where(np.abs(x) < 2.0 ** DTYPES[dtype].emin, x.dtype.type(0), x)


def on_rectangle(name: str, a: Application) -> Enclosure:
    """real and imag: a side of the rectangle; conj: the imaginary side negated, its ends swapped."""
    e = parts(a.operands[0])
    if name in ("real", "imag"):
        at = 0 if name == "real" else 1
        return e.move(lambda part: part[..., at])
    b = e.bounds()
    minus = np.array([False, True])
    lo, hi = np.where(minus, -b.hi, b.lo), np.where(minus, -b.lo, b.hi)
    return joined(between(lo, hi, b.nan, b.empty))
