"""The error function and its complement, which NumPy has not: in the dtype given, to a few units of its last place.

Below 1/2: the Maclaurin series, erf(x) = 2 x / sqrt(pi) * sum (-x**2)**n / (n! (2n + 1)). From there on the trapezoidal
rule for erfc, with the residue of the integrand's poles:

    erfc(x) = (h x / pi) exp(-x**2) (1 / x**2 + 2 sum exp(-(n h)**2) / ((n h)**2 + x**2)) - 2 / (exp(2 pi x / h) - 1)

Source: Chiarella and Reichel, "On the evaluation of integrals related to the error function", Math. Comp. 22 (1968);
Hunter and Regan, "A note on the evaluation of the complementary error function", Math. Comp. 26 (1972). The relative
error of the rule is about exp(-(pi / h)**2), here 4e-23; all terms of the sum have one sign, so that what is left are
roundings: at most 8 units of the last place, tested against mpmath in float64 and in the long double.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from offload_fuzz.enclosure import some
from offload_fuzz.types import Array

#: The step of the rule: (n * STEP)**2 is exact in every format.
STEP = 0.4375
#: exp(-(16 h)**2) is 5e-22.
TERMS = 16
#: From here on the residue is below exp(-(pi / h)**2) of the result.
RESIDUE_UP_TO = math.pi / STEP
#: Beyond, erfc is below the smallest number of every float dtype.
FAR = 40.0
#: Up to here the series, whose 15th term is below 2**-68 of the sum.
SPLIT = 0.5
SERIES_TERMS = 15
#: Elements that are summed at a time, so that their terms need little memory.
BLOCK = 4096


@cache
def _pi(dtype: np.dtype[Any]) -> Any:
    """Pi to the digits of `dtype`: its double and what that leaves out."""
    return dtype.type(math.pi) + dtype.type(1.2246467991473532e-16)


@cache
def _series(dtype: np.dtype[Any]) -> Array:
    """The coefficients of the Maclaurin series of erf, in powers of x**2, without 2 / sqrt(pi)."""
    one = dtype.type(1)
    return np.array([(-1) ** n * (one / dtype.type(math.factorial(n) * (2 * n + 1))) for n in range(SERIES_TERMS)])


@cache
def _rule(dtype: np.dtype[Any]) -> tuple[Array, Array]:
    """The grid (n h)**2 of the trapezoidal rule, and its weights, twice exp(-(n h)**2); 1 at 0."""
    n = np.arange(TERMS + 1).astype(dtype)
    grid = np.asarray(n * n * dtype.type(STEP) ** 2)
    weights = 2 * np.exp(-grid)
    weights[0] = 1
    return grid, weights


def _near(x: Array) -> Array:
    """erf for 0 <= x <= SPLIT by the series."""
    powers = np.repeat((x * x)[:, None], SERIES_TERMS, axis=1)
    powers[:, 0] = 1
    terms = np.multiply.accumulate(powers, axis=1) * _series(x.dtype)
    return np.asarray(2 * x * np.add.reduce(terms[:, ::-1], axis=1) / np.sqrt(_pi(x.dtype)))


def _tail(x: Array) -> Array:
    """erfc for SPLIT <= x <= FAR by the trapezoidal rule."""
    kind = x.dtype.type
    pi, h = _pi(x.dtype), kind(STEP)
    head = x.astype(np.float32).astype(x.dtype)  # its square is exact, and so x**2 is known to twice the digits
    gauss = np.exp(-head * head) * np.exp(-(x - head) * (x + head))
    grid, weights = _rule(x.dtype)
    total = np.add.reduce(weights / (grid + (x * x)[:, None]), axis=1)
    residue = 2 / np.expm1(np.minimum(2 * pi * x / h, kind(700)))
    return np.asarray(h * x / pi * gauss * total - np.where(x < RESIDUE_UP_TO, residue, kind(0)))


def _blockwise(function: Callable[[Array], Array], x: Array) -> Array:
    """`function` of a flat array, some elements at a time."""
    if x.size <= BLOCK:
        return function(x)
    return np.concatenate([function(x[i : i + BLOCK]) for i in range(0, x.size, BLOCK)])


def _both(x: Array) -> tuple[Array, Array, Array]:
    """Where |x| is small; erf of |x| there; and erfc of |x| elsewhere, NaN for NaN."""
    size = np.abs(x)
    small = size <= SPLIT
    near, upper = np.zeros_like(x), np.where(np.isnan(x), x, x.dtype.type(0))
    between = (size > SPLIT) & (size < FAR)
    if some(small):
        near[small] = _blockwise(_near, size[small])
    if some(between):
        upper[between] = _blockwise(_tail, size[between])
    return small, near, upper


def erf(x: Array) -> Array:
    """2 / sqrt(pi) times the integral of exp(-t**2) from 0 to x, for float64 or the long double; of -0 it is -0."""
    small, near, upper = _both(x)
    return np.copysign(np.where(small, near, 1 - upper), x)


def erfc(x: Array) -> Array:
    """1 - erf(x) without cancellation, for float64 or the long double."""
    small, near, upper = _both(x)
    return np.where(small, 1 - np.copysign(near, x), np.where(x < 0, 2 - upper, upper))
