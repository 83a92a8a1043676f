"""The simulated device's own formulas for transcendental functions, in wide arithmetic (float64 or the long double).

None is what the reference evaluates: each goes another way, so that agreement means something. All are accurate to a
few wide units, also where they are small; the last rounding and the drawn error come after (`arithmetic.within_ulps`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from offload_fuzz.types import Array

_erf: Callable[[Any], Any] = np.frompyfunc(math.erf, 1, 1)
_erfc: Callable[[Any], Any] = np.frompyfunc(math.erfc, 1, 1)


def _by_float64(function: Callable[[Any], Any]) -> Callable[[Array], Array]:
    """A function of Python's floats, on arrays: the host's libm, within a few ulps of float64."""
    return lambda x: np.asarray(function(x.astype(np.float64))).astype(x.dtype)


def acos(x: Array) -> Any:
    return 2 * np.arctan2(np.sqrt(1 - x), np.sqrt(1 + x))


def asin(x: Array) -> Any:
    return np.arctan2(x, np.sqrt((1 - x) * (1 + x)))


def atan(x: Array) -> Any:
    return np.arctan2(x, np.ones_like(x))


def acosh(x: Array) -> Any:
    t = x - 1
    return np.log1p(t + np.sqrt(t) * np.sqrt(t + 2))


def asinh(x: Array) -> Any:
    size = np.abs(x)
    result = np.log1p(size + size * (size / (1 + np.hypot(size, 1))))
    return np.copysign(np.where(np.isinf(size), size, result), x)


def atanh(x: Array) -> Any:
    size = np.abs(x)
    return np.copysign(np.log1p(2 * size / (1 - size)) / 2, x)


def cosh(x: Array) -> Any:
    half = np.exp(np.abs(x) / 2)
    return half / 2 * half + 1 / half / half / 2


def sinh(x: Array) -> Any:
    size = np.abs(x)
    half, less = np.exp(size / 2), np.expm1(np.minimum(size, 1))
    return np.copysign(np.where(size < 1, (less + less / (less + 1)) / 2, half / 2 * half - 1 / half / half / 2), x)


def tan(x: Array) -> Any:
    return np.sin(x) / np.cos(x)


def atan2(x1: Array, x2: Array) -> Any:
    """By the quotient of the smaller and the larger, from the nearest axis; quadrants by the signs."""
    y, x = np.abs(x1), np.abs(x2)
    steep = y > x
    ratio = np.where(y == x, np.where(y == 0, y, y * 0 + 1), np.where(steep, x / y, y / x))
    ratio = np.where(np.isinf(y) & np.isinf(x), np.ones_like(ratio), ratio)
    pi = x1.dtype.type(math.pi) + x1.dtype.type(1.2246467991473532e-16)
    angle = np.where(steep, pi / 2 - np.arctan(ratio), np.arctan(ratio))
    return np.copysign(np.where(np.signbit(x2), pi - angle, angle), x1)


def hypot(x1: Array, x2: Array) -> Any:
    y, x = np.abs(x1), np.abs(x2)
    large, small = np.maximum(y, x), np.minimum(y, x)
    ratio = np.where(large == 0, large, small / large)
    return np.where(np.isinf(y) | np.isinf(x), y.dtype.type(np.inf), large * np.sqrt(1 + ratio * ratio))


def expm1(x: Array) -> Any:
    half = np.tanh(x / 2)
    return np.where(np.abs(x) < 0.5, 2 * half / (1 - half), np.exp(x) - 1)


def exp2(x: Array) -> Any:
    whole = np.where(np.isfinite(x), np.minimum(np.maximum(np.floor(x), -20_000), 20_000), 0)
    part = np.where(np.isfinite(x) & (np.abs(x) > 20_000), 0, x - whole)
    return np.ldexp(np.exp(part * np.log(x.dtype.type(2))), whole.astype(np.int32))


def log1p(x: Array) -> Any:
    return np.where(np.abs(x) < 0.5, 2 * np.arctanh(x / (2 + x)), np.log(1 + x))


def log2(x: Array) -> Any:
    return np.log(x) / np.log(x.dtype.type(2))


def log10(x: Array) -> Any:
    return np.log(x) / np.log(x.dtype.type(10))


def expit(x: Array) -> Any:
    small = np.exp(-np.abs(x))
    return np.where(x < 0, small, np.where(np.isnan(x), x, 1)) / (1 + small)


def rsqrt(x: Array) -> Any:
    return np.where(x < 0, x.dtype.type(np.nan), np.where(x == 0, 1 / x, np.sqrt(1 / x)))


def logaddexp(x1: Array, x2: Array) -> Any:
    large, small = np.maximum(x1, x2), np.minimum(x1, x2)
    less = np.where(large == small, 0, small - large)
    return large + np.log1p(np.exp(less))


def xlogy(x1: Array, x2: Array) -> Any:
    zero = (x1 == 0) & ~np.isnan(x2)
    return np.where(zero, 0, x1 * (np.log2(x2) * np.log(x2.dtype.type(2))))


#: Evaluated wide, then moved by what is drawn.
WITHIN_ULPS: dict[str, Callable[..., Any]] = {
    "acos": acos,
    "acosh": acosh,
    "asin": asin,
    "asinh": asinh,
    "atan": atan,
    "atan2": atan2,
    "atanh": atanh,
    "cos": np.cos,
    "cosh": cosh,
    "erf": _by_float64(_erf),
    "erfc": _by_float64(_erfc),
    "exp2": exp2,
    "expit": expit,
    "expm1": expm1,
    "hypot": hypot,
    "log10": log10,
    "log1p": log1p,
    "log2": log2,
    "logaddexp": logaddexp,
    "rsqrt": rsqrt,
    "sinh": sinh,
    "tan": tan,
    "xlogy": xlogy,
}
#: Evaluated wide, then rounded.
CORRECTLY_ROUNDED: dict[str, Callable[..., Any]] = {"reciprocal": lambda x: 1 / x}
