"""linear, conv1d, conv2d: matrix products of rearranged operands, so that the rule of matmul holds for them.

A convolution is the product of its patches (im2col) with its weights: each result is one sum of products, added in any
order, exact where no partial sum rounds. Winograd's and FFT algorithms form other sums, which are lawful only where the
contract says so (`fast_convolution`; torch-cpu.toml tells how it was found that PyTorch on the CPU has none).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from attrs import evolve

from offload_fuzz.enclosure import Enclosure, between, either_zero, exact, hull, some, whole
from offload_fuzz.errors import require
from offload_fuzz.ops.base import OPS, Application, Divisor, Operand, Range, accumulating, shaped
from offload_fuzz.ops.rounding import narrowed, wide
from offload_fuzz.ops.rules import Value
from offload_fuzz.ops.sums import matmul_rule
from offload_fuzz.types import DTYPES, NAMES, Array, ArrayType

Move = Callable[[Array], Array]


def _product(a: Application, left: Move, right: Move, back: Move) -> Value:
    """The rule of matmul for operand 0 rearranged by `left` and operand 1 by `right`; the product is put `back`."""
    moves = (left, right)
    operands = [e.move(move) for e, move in zip(a.operands[:2], moves, strict=True)]
    values = [move(x) for x, move in zip(a.values[:2], moves, strict=True)]
    shape = np.broadcast_shapes(values[0].shape[:-2], values[1].shape[:-2])
    type = ArrayType(a.type.dtype, (*shape, values[0].shape[-2], values[1].shape[-1]))
    value, e = matmul_rule(evolve(a, operands=operands, values=values, attributes={}, type=type))
    return back(value), None if e is None else e.move(back)


# ------------------------------------------------------------------------------------------------------------ linear
def linear_rule(a: Application) -> Value:
    """linear: x @ weight^T + bias: one sum with the bias among its terms, or the product, rounded, plus bias.

    Both are done: oneDNN and BLAS start from the bias, PyTorch's fallbacks (native/Linear.cpp) and JAX add it last.
    """
    x, weight, bias = a.values
    rows = a.type.shape[:-1]

    def flat(v: Array) -> Array:
        return v.reshape(math.prod(v.shape[:-1]), v.shape[-1])

    def transposed(v: Array) -> Array:
        return np.swapaxes(v, -1, -2)

    def back(v: Array) -> Array:
        return v.reshape(a.type.shape)

    product, e = _product(a, flat, transposed, back)
    one = np.ones((*rows, 1), x.dtype)
    value, among = _product(
        evolve(
            a,
            operands=[_joined(a.operands[0], exact(one)), _joined(a.operands[1], a.operands[2].move(_column))],
            values=[np.concatenate((x, one), -1), np.concatenate((weight, _column(bias)), -1)],
        ),
        flat, transposed, back,
    )  # fmt: skip  # what is multiplied, and how it is laid out
    if e is None or among is None:
        return value, None
    add = OPS["add"]
    _, last = add.enclose(Application(add, [e, a.operands[2]], [product, bias], {}, a.type, a.contract))
    if last is None or (last.is_singleton and among.is_certain and not some(last.lo != among.lo)):
        return value, among
    return value, hull(among, last)


def _column(v: Array) -> Array:
    return v[:, None]


def _joined(x: Enclosure, y: Enclosure) -> Enclosure:
    b, c = x.bounds(), y.bounds()
    lo, hi = np.concatenate((b.lo, c.lo), -1), np.concatenate((b.hi, c.hi), -1)
    if x.is_singleton and y.is_singleton:
        return exact(np.concatenate((x.lo, y.lo), -1))
    nan, empty = (
        np.concatenate([np.broadcast_to(v, s.lo.shape) for v, s in zip(pair, (b, c), strict=True)], -1)
        for pair in ((b.nan, c.nan), (b.empty, c.empty))
    )
    return Enclosure(
        np.where(empty, np.inf, lo).astype(lo.dtype), np.where(empty, -np.inf, hi).astype(hi.dtype), nan=np.asarray(nan)
    )


def _linear(x: Array, weight: Array, bias: Array) -> Array:
    dtype = NAMES[x.dtype]
    x, weight, bias = (wide(v, dtype) for v in (x, weight, bias))
    return narrowed(np.matmul(x, weight.T) + bias, dtype)


@shaped(
    _linear, linear_rule, "neural", ("real floating",), accumulating,
    operands=(Operand("rows"), Operand("weights"), Operand("biases")),
)  # fmt: skip  # one row
def linear(x: ArrayType, weight: ArrayType, bias: ArrayType) -> ArrayType:
    """x[...,k] times weight[n,k] transposed, plus bias[n]."""
    require(
        x.ndim >= 1
        and weight.ndim == 2
        and weight.shape[1:] == x.shape[-1:]
        and bias.shape == weight.shape[:1]
        and x.dtype == weight.dtype == bias.dtype,
        f"linear takes x[...,k], weight[n,k] and bias[n] of one dtype, got {x}, {weight}, {bias}",
    )
    return ArrayType(x.dtype, (*x.shape[:-1], weight.shape[0]))


# ------------------------------------------------------------------------------------------------------- convolution
def patches(x: Array, kernel: tuple[int, ...], stride: int, padding: int, dilation: int, fill: Any = 0) -> Array:
    """Windows of the axes from 2 on: [N, C, *windows, *kernel]; `fill` beyond the edges."""
    edges = [(0, 0), (0, 0), *[(padding, padding)] * len(kernel)]
    if padding:
        grown = np.full([n + b + e for n, (b, e) in zip(x.shape, edges, strict=True)], fill, x.dtype)
        inside: Any = (..., *[slice(padding, padding + n) for n in x.shape[2:]])
        grown[inside] = x
        x = grown
    spans = tuple(dilation * (k - 1) + 1 for k in kernel)
    axes = tuple(range(2, x.ndim))
    windows = np.lib.stride_tricks.sliding_window_view(x, spans, axes)
    every: list[Any] = [slice(None, None, stride)] * len(kernel) + [slice(None, None, dilation)] * len(kernel)
    return np.asarray(windows[(slice(None), slice(None), *every)])


def windows_of(
    shape: tuple[int, ...], kernel: tuple[int, ...], stride: int, padding: int, dilation: int, op: str
) -> tuple[int, ...]:
    """How many windows fit along each axis from 2 on; raises `InvalidProgram` where none does."""
    found = []
    for n, k in zip(shape[2:], kernel, strict=True):
        room = n + 2 * padding - (dilation * (k - 1) + 1)
        require(n > 0 and k > 0 and room >= 0, f"{op} takes windows that fit, got {k} (dilation {dilation}) into {n}")
        found.append(room // stride + 1)
    return tuple(found)


def convolution_rule(a: Application) -> Value:
    """conv1d, conv2d: the product of patches and weights per group; zeros beyond the edges, which may be left out.

    So where a weight that is not finite meets padding, its product with zero may or may not be added: anything.
    """
    attributes = a.attributes
    x, weight = a.values
    kernel, groups = weight.shape[2:], attributes["groups"]
    how = {name: attributes[name] for name in ("stride", "padding", "dilation")}
    n, o = x.shape[0], weight.shape[0]

    def left(v: Array) -> Array:
        return _patch_matrix(v, kernel, groups, **how)

    def right(v: Array) -> Array:
        return np.swapaxes(v.reshape(groups, o // groups, math.prod(v.shape[1:])), -1, -2)

    def back(v: Array) -> Array:
        split = v.reshape(groups, n, math.prod(a.type.shape[2:]), o // groups)
        return split.transpose(1, 0, 3, 2).reshape(a.type.shape)

    value, e = _product(a, left, right, back)
    if e is not None and a.type.dtype in a.contract.fast_convolution:
        return value, _fast(a, e)
    b = a.operands[1].bounds()
    wild = b.nan | ~(np.isfinite(b.lo) & np.isfinite(b.hi))
    if e is None or not how["padding"] or not some(wild):
        return value, e
    outside = 1 - left(np.ones(x.shape, np.int64))
    met = back(np.matmul(outside, right(np.broadcast_to(wild, weight.shape).astype(np.int64)))) > 0
    b, anything = e.bounds(), whole(a.type)
    empty = b.empty & ~met
    lo, hi = np.where(met, anything.lo, b.lo), np.where(met, anything.hi, b.hi)
    top = anything.hi
    return value, Enclosure(np.where(empty, top, lo), np.where(empty, -top, hi), nan=np.asarray(b.nan | met))


def _fast(a: Application, e: Enclosure) -> Enclosure:
    """`e`, widened for a contract that admits Winograd's or an FFT algorithm, or inputs rounded to TF32.

    These mix all of a tile or image, so that the error is relative to the largest |x| of each channel times the sum of
    its |weight|s (Barabasz et al., "Error analysis and improving the accuracy of Winograd convolution for deep neural
    networks", ACM TOMS 46 (2020): bounds in norms). What is not finite, or may overflow on the way, spoils all of it.
    """
    dtype, groups, n = a.type.dtype, a.attributes["groups"], a.type.shape[0]
    d, factor = DTYPES[dtype], a.contract.fast_convolution[dtype]
    (x, weight), o = (o.bounds() for o in a.operands), a.type.shape[1]
    sizes = []
    for b in (x, weight):
        size = np.maximum(np.abs(wide(b.lo, dtype)), np.abs(wide(b.hi, dtype)))
        sizes.append(np.where(np.broadcast_to(b.nan, size.shape), np.inf, size))
    largest = np.max(sizes[0].reshape(n, groups, -1, math.prod(x.lo.shape[2:])), axis=-1) if n else sizes[0]
    if not n:
        return e
    total = np.sum(sizes[1].reshape(groups, o // groups, weight.lo.shape[1], -1), axis=-1)
    norm = np.einsum("ngc,goc->ngo", largest, total).reshape(n, o, *[1] * (len(a.type.shape) - 2))
    open_ = np.broadcast_to(~(norm * 64.0 < d.max), a.type.shape)
    error = np.where(np.isfinite(norm), norm, 0.0) * (factor * d.unit) + factor * d.eta
    b, inf = e.bounds(), np.asarray(np.inf, a.type.np)
    lo, hi = (narrowed(wide(end, dtype) + sign * error, dtype) for end, sign in ((b.lo, -1.0), (b.hi, 1.0)))
    return either_zero(between(np.where(open_, -inf, lo), np.where(open_, inf, hi), b.nan | open_, b.empty & ~open_))


def _convolution(x: Array, weight: Array, *, stride: int, padding: int, dilation: int, groups: int) -> Array:
    dtype = NAMES[x.dtype]
    x, weight = wide(x, dtype), wide(weight, dtype)
    p = _patch_matrix(x, weight.shape[2:], groups, stride, padding, dilation)
    n, o = x.shape[0], weight.shape[0]
    windows = windows_of(x.shape, weight.shape[2:], stride, padding, dilation, "convolution")
    product = np.matmul(p, np.swapaxes(weight.reshape(groups, o // groups, p.shape[-1]), -1, -2))
    product = product.reshape(groups, n, math.prod(windows), o // groups).transpose(1, 0, 3, 2)
    return narrowed(product.reshape(n, o, *windows), dtype)


def _patch_matrix(x: Array, kernel: tuple[int, ...], groups: int, stride: int, padding: int, dilation: int) -> Array:
    """The patches as [groups, N * windows, C / groups * kernel]."""
    n, c = x.shape[:2]
    p = patches(x, kernel, stride, padding, dilation)
    windows, size = math.prod(p.shape[2 : x.ndim]), math.prod(kernel)
    p = p.reshape(n, groups, c // groups, windows, size)
    return p.transpose(1, 0, 3, 2, 4).reshape(groups, n * windows, c // groups * size)


CONVOLVE: Any = {
    "stride": Range(1, 3),
    "padding": Range(0, 2),
    "dilation": Range(1, 2),
    "groups": Divisor(1),
}


def _type(op: str, ndim: int, x: ArrayType, weight: ArrayType, attributes: Any) -> ArrayType:
    groups = attributes["groups"]
    require(
        x.ndim == weight.ndim == ndim
        and x.dtype == weight.dtype
        and x.shape[1] == weight.shape[1] * groups > 0
        and weight.shape[0] % groups == 0 < weight.shape[0],
        f"{op} takes x[n,c,...] and weight[o,c/{groups},...] of {ndim} axes and one dtype, c not 0 and o a "
        f"multiple of groups, got {x}, {weight}",
    )
    how = (attributes["stride"], attributes["padding"], attributes["dilation"])
    return ArrayType(x.dtype, (x.shape[0], weight.shape[0], *windows_of(x.shape, weight.shape[2:], *how, op)))


@shaped(
    _convolution, convolution_rule, "neural", ("real floating",), accumulating,
    operands=(Operand("sequence"), Operand("kernels")), attributes=CONVOLVE,
)  # fmt: skip  # one row
def conv1d(x: ArrayType, weight: ArrayType, *, stride: int, padding: int, dilation: int, groups: int) -> ArrayType:
    """Correlation of x[N,C,L] with weight[O,C/groups,K], zeros beyond the edges."""
    return _type("conv1d", 3, x, weight, {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups})


@shaped(
    _convolution, convolution_rule, "neural", ("real floating",), accumulating,
    operands=(Operand("image"), Operand("kernels")), attributes=CONVOLVE,
)  # fmt: skip  # one row
def conv2d(x: ArrayType, weight: ArrayType, *, stride: int, padding: int, dilation: int, groups: int) -> ArrayType:
    """Correlation of x[N,C,H,W] with weight[O,C/groups,KH,KW], zeros beyond the edges."""
    return _type("conv2d", 4, x, weight, {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups})
