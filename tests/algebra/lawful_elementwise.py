"""Lawful results of the further element-wise ops, for the table `lawful.LAWFUL`: other formulas, moved by their ulps.

Float results only; of integers and bools there is one lawful result, which the row's own meaning gives.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from offload_fuzz.enclosure import from_ordinal, ordinal
from offload_fuzz.types import Array, ArrayType

from . import lawful
from .lawful import LONG, Rng, narrowed_to

_erf: Callable[[Any], Any] = np.frompyfunc(math.erf, 1, 1)
_erfc: Callable[[Any], Any] = np.frompyfunc(math.erfc, 1, 1)


def _scalar(function: Callable[[Any], Any]) -> Callable[[Array], Array]:
    return lambda x: np.asarray(function(x.astype(np.float64))).astype(x.dtype)


def _xlogy(x: Array, y: Array) -> Array:
    return np.where((x == 0) & ~np.isnan(y), np.zeros_like(x), x * (np.log10(y) * np.log(y.dtype.type(10))))


def _expit(x: Array) -> Array:
    return np.where(x < 0, np.exp(x) / (1 + np.exp(x)), 1 / (1 + np.exp(-x)))


def _rsqrt(x: Array) -> Array:
    return np.where(x < 0, x.dtype.type(np.nan), np.where(x == 0, 1 / x, np.sqrt(1 / x)))


#: Another formula, or the same in the long double, for each function.
ULPS: dict[str, Callable[..., Any]] = {
    "acos": lambda x: 2 * np.arctan2(np.sqrt(1 - x), np.sqrt(1 + x)),
    "acosh": np.arccosh,
    "asin": lambda x: np.arctan2(x, np.sqrt((1 - x) * (1 + x))),
    "asinh": np.arcsinh,
    "atan": lambda x: np.arctan2(x, 1),
    "atanh": np.arctanh,
    "cos": np.cos,
    "cosh": np.cosh,
    "sinh": np.sinh,
    "tan": lambda x: np.sin(x) / np.cos(x),
    "atan2": np.arctan2,
    "hypot": np.hypot,
    "expm1": np.expm1,
    "exp2": np.exp2,
    "log1p": np.log1p,
    "log2": lambda x: np.log(x) / np.log(x.dtype.type(2)),
    "log10": lambda x: np.log(x) / np.log(x.dtype.type(10)),
    "expit": _expit,
    "rsqrt": _rsqrt,
    "xlogy": _xlogy,
}


def _logaddexp(rng: Rng, type: ArrayType, x1: Array, x2: Array) -> Array:
    """max + log1p(exp(min - max)) in the dtype or wider, every step rounded there."""
    inner: Any = type.np if rng.integers(2) else LONG
    x, y = x1.astype(inner), x2.astype(inner)
    large, small = np.maximum(x, y), np.minimum(x, y)
    apart = np.where(large == small, np.zeros_like(large), small - large)
    return narrowed_to(np.asarray(large + np.log1p(np.exp(apart))), type.np)


def _either_zero(function: Callable[..., Any]) -> Any:
    def lawful_(rng: Rng, type: ArrayType, x1: Array, x2: Array) -> Array:
        result = np.asarray(function(x1, x2)).astype(type.np)
        zeros = (x1 == 0) & (x2 == 0)
        return np.where(zeros, (x1 if rng.integers(2) else x2).astype(type.np), result)

    return lawful_


def _nextafter(rng: Rng, type: ArrayType, x1: Array, x2: Array) -> Array:
    """One step of the ordinals, in which the two zeros are two; of equal zeros either."""
    x, y = (np.broadcast_to(v, type.shape).astype(type.np) for v in (x1, x2))
    key = ordinal(x).astype(np.int64)
    key = np.where(x == 0, np.where(y > 0, 0, -1), key)
    moved = from_ordinal(key + np.where(y > x, 1, -1), type.np)
    near = np.where(x == y, y if rng.integers(2) else x, moved)
    return np.where(np.isnan(x) | np.isnan(y), np.asarray(np.nan, type.np), near)


def _clip(rng: Rng, type: ArrayType, x: Array, *, min: float, max: float) -> Array:
    low, high = (np.asarray(float(v)).astype(type.np) for v in (min, max))
    if rng.integers(2):
        return np.where(x < low, low, np.where(x > high, high, x))
    return np.where(x <= low, low, np.where(x >= high, high, x))


def _ldexp(rng: Rng, type: ArrayType, x1: Array, x2: Array) -> Array:
    """By two exact powers of two in the long double, rounded once (float64 in its own arithmetic)."""
    if type.dtype == "float64":
        return np.asarray(np.ldexp(x1, x2))
    power = np.clip(x2, -600, 600)
    return narrowed_to(np.asarray(x1.astype(LONG) * np.ldexp(LONG.type(1), power)), type.np)


def _steps(function: Callable[..., Any], n: int) -> Any:
    return lawful._ulps(function, n)


def _erf_of(function: Callable[[Any], Any]) -> Any:
    """Python's libm is within an ulp or a few of float64: the exact result to narrower dtypes, moved by less to it."""

    def lawful_(rng: Rng, type: ArrayType, x: Array) -> Array:
        moved: Array = _steps(_scalar(function), 0 if type.dtype == "float64" else 4)(rng, type, x)
        return moved

    return lawful_


lawful.LAWFUL |= {
    **{name: _steps(function, 4) for name, function in ULPS.items()},
    "erf": _erf_of(_erf),
    "erfc": _erf_of(_erfc),
    "reciprocal": lawful._rounded(lambda x: 1 / x),
    "logaddexp": _logaddexp,
    "fmin": _either_zero(np.fmin),
    "fmax": _either_zero(np.fmax),
    "nextafter": _nextafter,
    "clip": _clip,
    "ldexp": _ldexp,
}
