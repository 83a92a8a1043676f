"""Wide arithmetic and its way back: widening, rounding to nearest, down and up, and units in the last place.

Wide is float64 for the narrower dtypes and the long double for float64 (64 significand bits where the host has them).
"""

from __future__ import annotations

import numpy as np

from offload_fuzz.enclosure import some
from offload_fuzz.types import DTYPES, Array, is_floating

LONG = np.dtype(np.longdouble)
LONG_DIGITS = int(np.finfo(LONG).nmant) + 1
FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)
#: Where the long double is no wider than float64, the host's own bound for its libm is added to every figure:
#: NumPy's accuracy tests admit 4 ulps (numpy/_core/tests/test_umath_accuracy.py).
HOST_ULPS = 0 if LONG_DIGITS >= 64 else 4
#: The unit roundoff of wide arithmetic, and a relative bound, with room to spare, on the error of one wide libm call.
WIDE_UNIT = {d: 2.0**-LONG_DIGITS if d == "float64" else 2.0**-53 for d in DTYPES}
SLACK = {d: 2.0**-60 if d == "float64" and LONG_DIGITS >= 64 else 2.0**-48 for d in DTYPES}


def wide_dtype(dtype: str) -> np.dtype[np.floating]:
    """The NumPy dtype in which results of a float dtype are computed."""
    return LONG if dtype == "float64" else FLOAT64


def wide(array: Array, dtype: str) -> Array:
    """Float operands widened: float64 for narrower dtypes, the long double for float64; other dtypes as they are."""
    if not is_floating(dtype):
        return array
    return array.astype(wide_dtype(dtype))


def narrowed(x: Array, dtype: str) -> Array:
    """Wide `x` rounded once, to nearest even, into a float dtype."""
    x = np.asarray(x)
    if dtype != "bfloat16" or x.dtype == FLOAT32:
        return x.astype(DTYPES[dtype].np)
    f = x.astype(FLOAT32)
    ties = (f.view(np.int32) & 0xFFFF) == 0x8000  # only here can rounding on the way have made the difference
    return nearest(x, dtype) if some(ties) else f.astype(DTYPES[dtype].np)


def nearest(x: Array, target: str) -> Array:
    """`x` rounded once, to nearest even, into a 16-bit float dtype: rounding to odd in float32 on the way is harmless.

    Source: Boldo and Melquiond, "Emulation of FMA and correctly rounded sums: proved algorithms using rounding to
    odd", IEEE Trans. Computers 57 (2008).
    """
    w = x.astype(LONG) if x.dtype.kind in "iu" else x
    f = np.asarray(w.astype(FLOAT32))
    back = f.astype(w.dtype)
    bits = f.view(np.int32)
    inexact = np.isfinite(f) & (back != w) & ((bits & 1) == 0)
    toward = np.where((back > w) == (f > 0), np.int32(-1), np.int32(1))  # shrinks where rounding went away from zero
    toward = np.where(f == 0, np.int32(1), toward)
    return np.asarray(np.where(inexact, bits + toward, bits)).view(FLOAT32).astype(DTYPES[target].np)


def rounded_down(x: Array, dtype: str) -> Array:
    """The largest number of a float dtype that is not above wide `x` (NaN stays)."""
    x = np.asarray(x)
    near = x.astype(DTYPES[dtype].np)
    above = near.astype(x.dtype) > x
    if not some(above):
        return near
    return np.where(above, np.nextafter(near, np.asarray(-np.inf, near.dtype)), near)


def rounded_up(x: Array, dtype: str) -> Array:
    """The smallest number of a float dtype that is not below wide `x` (NaN stays)."""
    x = np.asarray(x)
    near = x.astype(DTYPES[dtype].np)
    below = near.astype(x.dtype) < x
    if not some(below):
        return near
    return np.where(below, np.nextafter(near, np.asarray(np.inf, near.dtype)), near)


def outward(lo: Array, hi: Array, dtype: str) -> tuple[Array, Array]:
    """Wide ends as ends in `dtype`, rounded down and up."""
    return rounded_down(lo, dtype), rounded_up(hi, dtype)


def ulp(x: Array, dtype: str) -> Array:
    """The unit in the last place of `dtype` at wide `x`: 2**(max(e, emin) - p + 1) for 2**e <= |x| < 2**(e+1)."""
    d = DTYPES[dtype]
    if x.dtype == FLOAT64:  # the exponent's bits alone are the power of two
        power = np.asarray(x.view(np.int64) & 0x7FF0000000000000).view(FLOAT64)
    else:
        power = np.ldexp(LONG.type(0.5), np.where(x == 0, d.emin + 1, np.frexp(x)[1]))
    return np.minimum(np.maximum(power, 2.0**d.emin), 2.0**d.emax) * 2.0 ** (1 - d.precision)


def ulps_around(center: Array, n: float, dtype: str, among: bool = False) -> tuple[Array, Array]:
    """Ends of what lies within `n` ulps of the exact result near wide `center`; NaN stays.

    That is: a number no further away, or an infinity where the exact result comes that near to overflow. The ulp is
    that of the exact result or of the correctly rounded one, as authors differ. A result other than zero keeps its
    sign, and may underflow to the zero of that sign. among: the ends are for a whole interval
    of exact results that begins or ends at `center`, so that the ulp may be that of the next power of two.
    """
    size = np.abs(center)
    unit = ulp(size + size * DTYPES[dtype].unit, dtype)
    ordinary = (size > (n + 1.0) * unit) & (size < 2.0 ** DTYPES[dtype].emax)
    if not among and np.count_nonzero(ordinary) == size.size:
        margin = n * unit + size * SLACK[dtype]
        return inward(center - margin, center + margin, n, dtype)
    minus = np.signbit(center)
    below, above = (np.where(minus, 1.0, 2.0), np.where(minus, 2.0, 1.0)) if among else (1.0, 1.0)
    lo = center - (below * n * unit + size * SLACK[dtype])
    hi = center + (above * n * unit + size * SLACK[dtype])
    kept = np.isinf(center)
    lo = np.where(kept, center, np.where(minus, lo, np.maximum(lo, 0.0)))
    hi = np.where(kept, center, np.where(minus, np.minimum(hi, -0.0), hi))
    top = DTYPES[dtype].max
    near_lo, near_hi = inward(lo, hi, n, dtype)
    return (
        np.where(lo < -top, np.asarray(-np.inf, near_lo.dtype), near_lo),
        np.where(hi > top, np.asarray(np.inf, near_hi.dtype), near_hi),
    )


def inward(lo: Array, hi: Array, n: float, dtype: str) -> tuple[Array, Array]:
    """The numbers of `dtype` from `lo` to `hi`; rounded outward where a small `n` might leave none."""
    if n < 0.75:
        return outward(lo, hi, dtype)
    return rounded_up(lo, dtype), rounded_down(hi, dtype)
