"""softmax, log_softmax, logsumexp and scaled dot-product attention.

Sources: PyTorch, aten/src/ATen/native/cpu/SoftMaxKernel.cpp, ReduceOps.cpp (logsumexp_out_impl) and
native/transformers/attention.cpp, cpu/FlashAttentionKernel.cpp; JAX, jax/_src/nn/functions.py (softmax, log_softmax,
dot_product_attention) and jax/_src/ops/special.py (logsumexp).
"""

from __future__ import annotations

import math

import numpy as np
from attrs import evolve

from offload_fuzz.errors import require
from offload_fuzz.ops.base import (
    Application,
    Axis,
    Bool,
    Operand,
    composite,
    normalize_axis,
    reduced_shape,
    shaped,
)
from offload_fuzz.ops.rules import Value, reference
from offload_fuzz.ops.steps import FUNCTION, Arithmetic, Span, arithmetic, enclosed, pick, spans, union, widely
from offload_fuzz.types import DTYPES, Array, ArrayType


# ------------------------------------------------------------------------------------------------------ the softmax
def shifted(k: Arithmetic, x: Span, axis: int) -> tuple[Span, Span, Span]:
    """The largest element m of each row, x - m, and the sum of exp(x - m)."""
    m = k.largest(x, axis)
    rest = k.subtract(x, m)
    rest = Span(rest.lo, np.minimum(rest.hi, 0), rest.nan, rest.must)  # no element is above the largest
    return m, rest, at_least_one(k, k.total(k.increasing(np.exp, rest), axis), x.lo.shape[axis])


def at_least_one(k: Arithmetic, s: Span, n: int) -> Span:
    """The sum of n exps, of which that of the largest element is 1, as it is rounded like itself."""
    one = k.rounded(k.number(1.0), FUNCTION + 2.0 + n)
    return Span(np.maximum(s.lo, np.maximum(one.lo, 0)), s.hi, s.nan, s.must)


def share(k: Arithmetic, e: Span, s: Span, n: int) -> Span:
    """e / s, where e is one of the n terms of s: 1 at most, but for roundings."""
    p, top = k.divide(e, s), k.rounded(k.number(1.0), FUNCTION + 6.0 + n)
    return Span(np.maximum(p.lo, -top.hi), np.minimum(p.hi, top.hi), p.nan, p.must)


def softmax_rule(a: Application) -> Value:
    """softmax: exp(x - max) / sum, by quotient or reciprocal, or exp(x - (max + log(sum))).

    x - max is off by one unit of itself, which is that times |x - max| relative to the exp; the sum has terms of one
    sign, so that it is off by (n-1) units at most, and one of its terms is 1. Steps may be rounded to the dtype itself:
    PyTorch's softmax of 16-bit dtypes does so over other axes than the last. NaN, inf or nothing but -inf in a
    row make all of it NaN.
    """
    value = reference(a)
    (x,), k = spans(a), arithmetic(a, own=True)
    m, rest, s = shifted(k, x, a.attributes["axis"])
    quotient = share(k, k.increasing(np.exp, rest), s, x.lo.shape[a.attributes["axis"]])
    by_logarithm = k.increasing(np.exp, k.subtract(x, k.add(m, k.log(s))))
    return value, enclosed(a, union(quotient, by_logarithm))


def log_softmax_rule(a: Application) -> Value:
    """log_softmax: (x - max) - log(sum), or x - (max + log(sum)); what cancels leaves absolute errors of x and max.

    Steps may be rounded to the dtype itself: PyTorch keeps max and log(sum) of a row in it.
    """
    value = reference(a)
    (x,), k = spans(a), arithmetic(a, own=True)
    m, rest, s = shifted(k, x, a.attributes["axis"])
    return value, enclosed(a, union(k.subtract(rest, k.log(s)), k.subtract(x, k.add(m, k.log(s)))))


def logsumexp_rule(a: Application) -> Value:
    """logsumexp: max + log(sum(exp(x - max))), each step rounded to the dtype itself where PyTorch's ops are chained.

    A row with inf gives inf, one of nothing but -inf -inf, as both PyTorch and JAX take 0 for an infinite max.
    """
    value = reference(a)
    (x,), k, axis = spans(a), arithmetic(a, own=True), a.attributes["axis"]
    m, _, s = shifted(k, x, axis)
    result = k.add(m, k.log(s))
    infinite = np.isinf(m.lo) & (m.lo == m.hi)
    nan = np.any(np.broadcast_to(x.nan, x.lo.shape), axis=axis, keepdims=True)
    must = np.any(np.broadcast_to(x.must, x.lo.shape), axis=axis, keepdims=True)
    result = pick(infinite, Span(m.lo, m.hi, nan, must), result)
    return value, enclosed(a, result if a.attributes["keepdims"] else result.part(lambda v: np.squeeze(v, axis=axis)))


def _softmax(x: Array, *, axis: int) -> Array:
    e = np.exp(x - np.max(x, axis=axis, keepdims=True, initial=-np.inf))
    return np.asarray(e / np.sum(e, axis=axis, keepdims=True))


def _log_softmax(x: Array, *, axis: int) -> Array:
    rest = x - np.max(x, axis=axis, keepdims=True, initial=-np.inf)
    return np.asarray(rest - np.log(np.sum(np.exp(rest), axis=axis, keepdims=True)))


def _logsumexp(x: Array, *, axis: int, keepdims: bool) -> Array:
    m = np.max(x, axis=axis, keepdims=True, initial=-np.inf)
    m = np.where(np.isinf(m), x.dtype.type(0), m)
    total = m + np.log(np.sum(np.exp(x - m), axis=axis, keepdims=True))
    return np.asarray(total if keepdims else np.squeeze(total, axis=axis))


@shaped(
    widely(_softmax), softmax_rule, "neural", ("real floating",), composite, attributes={"axis": Axis()}
)  # fmt: skip  # one row
def softmax(x: ArrayType, *, axis: int) -> ArrayType:
    """exp(x) over its sum along an axis."""
    normalize_axis(axis, x.ndim)
    return x


@shaped(
    widely(_log_softmax), log_softmax_rule, "neural", ("real floating",), composite, attributes={"axis": Axis()}
)  # fmt: skip  # one row
def log_softmax(x: ArrayType, *, axis: int) -> ArrayType:
    """The logarithm of softmax along an axis."""
    normalize_axis(axis, x.ndim)
    return x


@shaped(
    widely(_logsumexp), logsumexp_rule, "neural", ("real floating",), composite,
    attributes={"axis": Axis(), "keepdims": Bool()},
)  # fmt: skip  # one row
def logsumexp(x: ArrayType, *, axis: int, keepdims: bool) -> ArrayType:
    """The logarithm of the sum of exp(x) along an axis of at least one element."""
    at = normalize_axis(axis, x.ndim)
    require(x.shape[at] > 0, f"logsumexp takes an axis of at least one element, got axis={axis} of {x}")
    return ArrayType(x.dtype, reduced_shape(x.shape, (at,), keepdims))


# --------------------------------------------------------------------------------------------------------- attention
def attention_rule(a: Application) -> Value:
    """scaled_dot_product_attention: softmax(q k^T / sqrt(d)) v, the weights normalised before or after they meet v.

    Scores are sums of d products in any order; with the scale on q, on k, on both by its root, or on the score, that
    is up to 4 roundings more of each. Steps are rounded to the dtype itself at best: PyTorch's math path keeps scores
    in it, and its flash kernel rounds the exps to it before they meet v. A kernel that goes block by block takes each
    exp as a product of two (twice the error) and adds block sums in its own order, which the bound of a sum covers.
    What is masked has no weight. Where a score, masked or not, or a masked value is not finite, the row may be
    anything: PyTorch's flash kernel gives 0 for a row of NaN scores, its math path NaN.
    """
    value = reference(a)
    (q, key, v), k = spans(a), arithmetic(a, own=True)
    d, causal = q.lo.shape[-1], a.attributes["is_causal"]
    scores = k.products(q, key.part(lambda x: np.swapaxes(x, -1, -2)), 4.0)
    scores = k.multiply(scores, k.constant(_scale(d)), 2.0)
    masked = ~np.tri(*scores.lo.shape[-2:], dtype=np.bool_) if causal else np.zeros(scores.lo.shape[-2:], np.bool_)
    spoilt = np.any(scores.nan | ~np.isfinite(scores.magnitude), axis=-1, keepdims=True)
    open_v = np.any(v.nan | ~np.isfinite(v.magnitude), axis=-1)
    spoilt = spoilt | np.any(masked & open_v[..., None, :], axis=-1, keepdims=True)

    m = k.largest(pick(masked, k.number(-np.inf), scores), -1)
    rest = k.subtract(pick(masked, k.number(0.0), scores), m)
    e = k.increasing(np.exp, evolve(rest, hi=np.minimum(rest.hi, 0)), 2.0 * FUNCTION + 2.0)
    e = pick(masked, k.number(0.0), evolve(e, lo=np.maximum(e.lo, 0)))
    n = e.lo.shape[-1]
    s = at_least_one(k, k.total(e, -1, 2.0), 2 * n)
    before = k.products(k.rounded_to_dtype(share(k, e, s, 2 * n)), v, 2.0)
    after = k.divide(k.products(k.rounded_to_dtype(e), v, 2.0), s)
    result = _among(k, union(before, after), v, open_v, n)
    inf = np.asarray(np.inf, result.lo.dtype)
    anything = Span(-inf, inf, np.asarray(True))
    return value, enclosed(a, pick(spoilt, anything, result))


def _among(k: Arithmetic, result: Span, v: Span, open_v: Array, n: int) -> Span:
    """`result`, no further beyond the values than roundings take it: weights that are not negative make a mean of them.

    Of n weights and products, the sum of either is off by 2 n units at most, and each by a dozen of the steps and by
    three roundings to the dtype; what underflows is lost against a sum of at least 1.
    """
    if np.count_nonzero(open_v):
        return result
    unit = (4.0 * n + 32.0) * k.steps.unit + 8.0 * k.own.unit
    eta = (4.0 * n + 32.0) * (k.steps.eta + k.own.eta)
    if k.steps.unit:
        unit, eta = unit + 4.0 * DTYPES[k.dtype].unit, eta + 4.0 * n * DTYPES[k.dtype].eta
    size = np.max(v.magnitude, axis=-2, keepdims=True)
    slack = size * (2.0 * unit + (n + 64.0) * k.host) + (2.0 + size) * eta
    lo = np.maximum(result.lo, np.min(v.lo, axis=-2, keepdims=True) - slack)
    hi = np.minimum(result.hi, np.max(v.hi, axis=-2, keepdims=True) + slack)
    fits = unit < 0.125  # else the roundings are no small part of the whole
    return Span(lo, hi, result.nan, result.must) if fits else result


def _scale(d: int) -> float:
    return 1.0 / math.sqrt(d) if d else 1.0


def _attention(query: Array, key: Array, value: Array, *, is_causal: bool) -> Array:
    scores = np.matmul(query, np.swapaxes(key, -1, -2)) * query.dtype.type(_scale(query.shape[-1]))
    if is_causal:
        scores = np.where(np.tri(*scores.shape[-2:], dtype=np.bool_), scores, -np.inf)
    e = np.exp(scores - np.max(scores, axis=-1, keepdims=True, initial=-np.inf))
    return np.asarray(np.matmul(e, value) / np.sum(e, axis=-1, keepdims=True))


@shaped(
    widely(_attention), attention_rule, "neural", ("real floating",), composite,
    operands=(Operand("attention"), Operand("keys"), Operand("keys")), attributes={"is_causal": Bool()},
)  # fmt: skip  # one row
def scaled_dot_product_attention(query: ArrayType, key: ArrayType, value: ArrayType, *, is_causal: bool) -> ArrayType:
    """softmax(q k^T / sqrt(d)) v over the last two axes; causal: row i sees keys 0..i."""
    require(
        query.dtype == key.dtype == value.dtype
        and min(query.ndim, key.ndim, value.ndim) >= 2
        and query.shape[:-2] == key.shape[:-2] == value.shape[:-2]
        and query.shape[-1] == key.shape[-1] > 0
        and key.shape[-2] == value.shape[-2] > 0,
        f"attention takes query [...,l,d], key [...,s,d] and value [...,s,e] of one dtype, d and s not 0, got "
        f"{query}, {key}, {value}",
    )
    return ArrayType(query.dtype, (*query.shape[:-1], value.shape[-1]))
