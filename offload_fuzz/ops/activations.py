"""Activation functions of neural networks, as rows: relu and its clipped kin, elu, gelu, silu, softplus and others.

A result of the functions beyond clipping has no bound in ulps: each is a formula of a few steps, and implementations
take different ones. The rules go through the formulas of the known implementations step by step (`steps.Arithmetic`)
and join what they may give. Sources: PyTorch, aten/src/ATen/native/cpu/Activation.cpp, Elu.h and Gelu.h; JAX,
jax/_src/nn/functions.py (relu6, hard_tanh, hard_sigmoid, hard_silu, elu, leaky_relu, silu, gelu, softplus,
log_sigmoid).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from offload_fuzz.enclosure import between, either_zero
from offload_fuzz.ops.base import Accuracy, Application, Choice, Domain, Op, composite, exact, register, same_type
from offload_fuzz.ops.rules import Value, reference
from offload_fuzz.ops.steps import (
    HOST_ERF,
    Arithmetic,
    Span,
    arithmetic,
    enclosed,
    erf,
    erfc,
    pick,
    spans,
    union,
    widely,
)
from offload_fuzz.types import Array

#: An activation's formulas joined: arithmetic, the operand, attributes -> what may be given.
Formula: TypeAlias = Callable[..., Span]
ROOT_HALF, ROOT_2_PI = math.sqrt(0.5), math.sqrt(2.0 / math.pi)
#: From here on PyTorch's softplus is its operand (torch.nn.Softplus, threshold).
THRESHOLD = 20.0


def formula_rule(formula: Formula, own: bool = False) -> Callable[[Application], Value]:
    """The rule of an element-wise op with one operand: whatever its formulas may give.

    own: steps are rounded to the dtype itself at best, as somewhere the op is a chain of ops.
    """

    def enclose(a: Application) -> Value:
        value = reference(a)
        (x,) = spans(a)
        return value, enclosed(a, formula(arithmetic(a, own), x, **a.attributes))

    return enclose


def clip_rule(lo: float, hi: float) -> Callable[[Application], Value]:
    """Exact: the operand, or the end that it is beyond; NaN stays, a zero has either sign.

    Source: PyTorch's clamp_min and hardtanh propagate NaN, and jax.numpy.clip does.
    """

    def enclose(a: Application) -> Value:
        value = reference(a)
        (x,) = a.operands
        b = x.bounds()
        ends = [_clipped(lo, hi)(v) for v in (b.lo, b.hi)]
        ends = [np.where(v == 0, np.zeros((), v.dtype), v) for v in ends]  # no -0 above +0
        return value, either_zero(between(ends[0], ends[0] if x.is_singleton else ends[1], b.nan, b.empty))

    return enclose


# ------------------------------------------------------------------------------------------------------- formulas
def leaky_relu_formula(k: Arithmetic, x: Span, *, negative_slope: float) -> Span:
    """x, or x * negative_slope where x < 0: one product, correctly rounded where the slope is a number of the dtype."""
    scaled = k.multiply(x, k.constant(negative_slope), 0.0)
    return pick(x.lo >= 0, x, pick(x.hi < 0, scaled, union(x, scaled)))


def elu_formula(k: Arithmetic, x: Span, *, alpha: float) -> Span:
    """x, or alpha * expm1(x) where x <= 0: a function and a product."""
    below = k.clip(x, hi=0.0)
    bent = k.multiply(k.increasing(np.expm1, below), k.constant(alpha))
    return pick(x.lo > 0, x, pick(x.hi <= 0, bent, union(x, bent)))


def _sigmoid(k: Arithmetic, x: Span) -> Span:
    """1 / (1 + exp(-x))."""
    return k.divide(k.number(1.0), k.add(k.number(1.0), k.increasing(np.exp, k.negative(x))))


def silu_formula(k: Arithmetic, x: Span) -> Span:
    """x / (1 + exp(-x)) (PyTorch), or x * sigmoid(x) (JAX); an exp that overflows gives -0, and -inf gives NaN."""
    low = k.add(k.number(1.0), k.increasing(np.exp, k.negative(x)))
    return union(k.divide(x, low), k.multiply(x, _sigmoid(k, x)))


def gelu_formula(k: Arithmetic, x: Span, *, approximate: str) -> Span:
    """x/2 * (1 + erf(x/sqrt(2))) (PyTorch), or x * erfc(-x/sqrt(2)) / 2 (JAX); or with tanh in erf's place.

    1 + erf(z) cancels for negative z, which leaves an absolute error of some units times |x|. tanh: its argument is
    sqrt(2/pi) * (x + 0.044715 * x**3), the cube being two products or a power.
    """
    half, one = k.number(0.5), k.number(1.0)
    if approximate == "tanh":
        cube = k.multiply(k.multiply(x, k.multiply(x, x, 2.0), 2.0), k.constant(0.044715), 2.0)
        inner = k.multiply(k.constant(ROOT_2_PI), k.add(x, cube))
        bent = k.add(one, k.clip(k.increasing(np.tanh, inner), -1.0, 1.0))
        first = k.multiply(k.multiply(half, x), bent)
        return union(first, k.multiply(x, k.multiply(half, bent)))
    z = k.multiply(x, k.constant(ROOT_HALF), 2.0)
    bent = k.add(one, k.clip(k.increasing(erf, z, host=HOST_ERF), -1.0, 1.0))
    first = k.multiply(k.multiply(half, x), bent)
    falling = k.increasing(lambda v: erfc(-v), z, host=HOST_ERF)
    return union(first, k.multiply(x, k.multiply(half, bent)), k.multiply(k.multiply(half, x), falling))


def softplus_formula(k: Arithmetic, x: Span) -> Span:
    """log1p(exp(x)) below a threshold of 20 and x above (PyTorch), or max(x, 0) + log1p(exp(-|x|)) (logaddexp, JAX).

    The first only where its exp does not overflow, as an implementation guards it there.
    """
    tail = k.increasing(np.log1p, k.increasing(np.exp, k.negative(k.absolute(x))))
    stable = k.add(k.clip(x, lo=0.0), tail)
    grown = k.increasing(np.exp, k.clip(x, hi=THRESHOLD))
    joined = pick(np.isfinite(grown.hi), union(stable, k.increasing(np.log1p, grown)), stable)
    joined = pick(x.hi <= THRESHOLD, joined, union(joined, k.clip(x, lo=THRESHOLD)))
    return pick(x.lo > THRESHOLD, union(stable, x), joined)


def logsigmoid_formula(k: Arithmetic, x: Span) -> Span:
    """min(x, 0) - log1p(exp(-|x|)) (PyTorch), which is -softplus(-x) (JAX)."""
    tail = k.increasing(np.log1p, k.increasing(np.exp, k.negative(k.absolute(x))))
    return k.subtract(k.clip(x, hi=0.0), tail)


def hardsigmoid_formula(k: Arithmetic, x: Span) -> Span:
    """min(max(x + 3, 0), 6) / 6, or times a rounded 1/6."""
    return k.divide(k.clip(k.add(x, k.number(3.0)), 0.0, 6.0), k.number(6.0))


def hardswish_formula(k: Arithmetic, x: Span) -> Span:
    """x * min(max(x + 3, 0), 6) / 6 (PyTorch), where the product may overflow, or x * hardsigmoid(x) (JAX)."""
    clipped = k.clip(k.add(x, k.number(3.0)), 0.0, 6.0)
    return union(k.divide(k.multiply(x, clipped), k.number(6.0)), k.multiply(x, k.divide(clipped, k.number(6.0))))


def softsign_formula(k: Arithmetic, x: Span) -> Span:
    """x / (1 + |x|), NaN for infinities; PyTorch chains two ops, each rounded to the dtype."""
    return k.divide(x, k.add(k.number(1.0), k.absolute(x)))


# -------------------------------------------------------------------------------------------------- NumPy meanings
def _leaky_relu(x: Array, *, negative_slope: float) -> Array:
    return np.where(x >= 0, x, x * negative_slope)


def _elu(x: Array, *, alpha: float) -> Array:
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0)) * alpha)


def _gelu(x: Array, *, approximate: str) -> Array:
    if approximate == "tanh":
        return np.asarray(x / 2 * (1 + np.tanh(ROOT_2_PI * (x + 0.044715 * x * x * x))))
    return np.asarray(x / 2 * erfc(-x * ROOT_HALF))


def _softplus(x: Array) -> Array:
    return np.asarray(np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))))


def _logsigmoid(x: Array) -> Array:
    return np.asarray(np.minimum(x, 0) - np.log1p(np.exp(-np.abs(x))))


def _clipped(lo: float, hi: float) -> Callable[..., Array]:
    def numpy(x: Array) -> Array:  # np.clip makes float32 of bfloat16 without axes
        return np.asarray(np.minimum(np.maximum(x, np.asarray(lo, x.dtype)), np.asarray(hi, x.dtype)))

    return numpy


# ------------------------------------------------------------------------------------------------------------ rows
def _row(
    name: str,
    numpy: Callable[..., Any],
    enclose: Callable[[Application], Value],
    summary: str,
    accuracy: Accuracy = composite,
    **attributes: Domain,
) -> Op:
    return register(
        Op(
            name, "neural", ("real floating",), accuracy, same_type,
            numpy if accuracy is exact else widely(numpy), enclose, attributes=attributes, summary=summary,
        )
    )  # fmt: skip  # one row


ACTIVATIONS = [
    _row("relu", _clipped(0.0, math.inf), clip_rule(0.0, math.inf), "max(x, 0)", exact),
    _row("relu6", _clipped(0.0, 6.0), clip_rule(0.0, 6.0), "min(max(x, 0), 6)", exact),
    _row("hardtanh", _clipped(-1.0, 1.0), clip_rule(-1.0, 1.0), "min(max(x, -1), 1)", exact),
    _row(
        "leaky_relu", _leaky_relu, formula_rule(leaky_relu_formula), "x, or x * negative_slope below zero",
        negative_slope=Choice(0.25, 0.5, 0.125, 0.01),
    ),
    _row("elu", _elu, formula_rule(elu_formula), "alpha * expm1(x) below zero", alpha=Choice(1.0, 0.5, 1.25, 0.1)),
    _row(
        "gelu", _gelu, formula_rule(gelu_formula), "x times the normal distribution function, or an approximation",
        approximate=Choice("none", "tanh"),
    ),
    _row("silu", lambda x: x / (1 + np.exp(-x)), formula_rule(silu_formula), "x / (1 + exp(-x))"),
    _row("softplus", _softplus, formula_rule(softplus_formula), "log(1 + exp(x))"),
    _row("logsigmoid", _logsigmoid, formula_rule(logsigmoid_formula), "-log(1 + exp(-x))"),
    _row(
        "hardsigmoid", lambda x: np.clip(x + 3, 0, 6) / 6, formula_rule(hardsigmoid_formula),
        "min(max(x + 3, 0), 6) / 6",
    ),
    _row(
        "hardswish", lambda x: x * (np.clip(x + 3, 0, 6) / 6), formula_rule(hardswish_formula),
        "x * min(max(x + 3, 0), 6) / 6",
    ),
    _row("softsign", lambda x: x / (1 + np.abs(x)), formula_rule(softsign_formula, own=True), "x / (1 + |x|)"),
]  # fmt: skip  # one op a row
