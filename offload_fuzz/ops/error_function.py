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

import numpy as np

from offload_fuzz.types import Array

#: The step of the rule: (n * STEP)**2 is exact in every format.
STEP = 0.4375
#: exp(-(16 h)**2) is 5e-22.
TERMS = 16
#: From here on the residue is below exp(-(pi / h)**2) of the result.
RESIDUE_UP_TO = math.pi / STEP
#: Beyond, erfc is below the smallest number of every float dtype.
FAR = 40.0
#: From here on erfc is taken from the rule, below it from erf.
SPLIT = 0.5
SERIES_TERMS = 18


def _pi(dtype: np.dtype[np.floating]) -> np.floating:
    """Pi to the digits of `dtype`: its double and what that leaves out."""
    return dtype.type(math.pi) + dtype.type(1.2246467991473532e-16)


def _near(x: Array) -> Array:
    """erf for |x| <= 1/2 by the series, its coefficients rounded once."""
    one = x.dtype.type(1)
    square = x * x
    total = np.zeros_like(x)
    for n in reversed(range(SERIES_TERMS)):
        total = one / x.dtype.type(math.factorial(n) * (2 * n + 1)) - square * total
    # the signs alternate: sum = c0 - s (c1 - s (c2 - ...))
    return np.asarray(2 * x * total / np.sqrt(_pi(x.dtype)))


def _tail(x: Array) -> Array:
    """erfc for 1/2 <= x <= FAR by the trapezoidal rule."""
    kind = x.dtype.type
    pi, h = _pi(x.dtype), kind(STEP)
    head = x.astype(np.float32).astype(x.dtype)  # its square is exact, and so x**2 is known to twice the digits
    gauss = np.exp(-head * head) * np.exp(-(x - head) * (x + head))
    square = x * x
    total = np.zeros_like(x)
    for n in reversed(range(1, TERMS + 1)):
        grid = kind(n * n) * h * h
        total = total + np.exp(-grid) / (grid + square)
    total = one_over(square) + 2 * total
    residue = 2 / np.expm1(np.minimum(2 * pi * x / h, kind(700)))
    return np.asarray(h * x / pi * gauss * total - np.where(x < RESIDUE_UP_TO, residue, kind(0)))


def one_over(x: Array) -> Array:
    """The reciprocal in the dtype of `x`."""
    return np.asarray(x.dtype.type(1) / x)


def _upper(size: Array) -> Array:
    """erfc of |x|, NaN kept."""
    inside = np.where((size > SPLIT) & (size < FAR), size, size.dtype.type(1))
    result = np.where(size > SPLIT, _tail(inside), 1 - _near(np.minimum(size, size.dtype.type(SPLIT))))
    return np.where(size >= FAR, size.dtype.type(0), np.where(np.isnan(size), size, result))


def erf(x: Array) -> Array:
    """2 / sqrt(pi) times the integral of exp(-t**2) from 0 to x, for float64 or the long double; of -0 it is -0."""
    size = np.abs(x)
    small = size <= SPLIT
    far = np.copysign(1 - _upper(size), x)
    return np.where(small, np.copysign(_near(np.where(small, size, x.dtype.type(0))), x), far)


def erfc(x: Array) -> Array:
    """1 - erf(x) without cancellation, for float64 or the long double."""
    upper = _upper(np.abs(x))
    small = np.abs(x) <= SPLIT
    near = 1 - np.copysign(_near(np.where(small, np.abs(x), x.dtype.type(0))), x)
    return np.where(small, near, np.where(x < 0, 2 - upper, upper))
