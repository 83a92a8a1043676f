"""Exponentials and logarithms of the array API standard, and what is made of them: logistic, error function, roots."""

from __future__ import annotations

from functools import partial

import numpy as np

from offload_fuzz.enclosure import between
from offload_fuzz.ops import error_function
from offload_fuzz.ops.base import Application, correctly_rounded, ulps
from offload_fuzz.ops.elementwise import DOWN, FLOATING, OTHER, UP, row
from offload_fuzz.ops.function_ranges import FUNCTION_RANGES, for_known
from offload_fuzz.ops.loosening import loosened
from offload_fuzz.ops.ranges import RANGES, Ends, above_a_point, monotone, ulps_bound
from offload_fuzz.ops.rounding import SLACK, inward, narrowed, ulp, wide
from offload_fuzz.ops.rules import Value, quotient_rule, singletons, ulps_rule
from offload_fuzz.ops.wide_meaning import widely
from offload_fuzz.types import DTYPES, NAMES, Array


def rsqrt(x: Array) -> Array:
    """1 / sqrt(x): inf for +0, -inf for -0 (IEEE 754-2019, 9.2, rSqrt)."""
    return np.asarray(1 / np.sqrt(x))


def expit(x: Array) -> Array:
    """The logistic function 1 / (1 + exp(-x))."""
    return np.asarray(1 / (1 + np.exp(-x)))


def xlogy(x1: Array, x2: Array) -> Array:
    """x1 * log(x2), where 0 times any number's logarithm is 0, that of 0 and inf as well."""
    zero = (x1 == 0) & ~np.isnan(x2)
    return np.where(zero, x1.dtype.type(0), x1 * np.log(x2))


# ------------------------------------------------------------------------------------------------------- logaddexp
@loosened
def logaddexp_rule(a: Application) -> Value:
    """logaddexp: within n ulps, not of the result alone, which may cancel, but of what is added on the way.

    That is max(x1, x2) + log1p(exp(-d)) for d = abs(x1 - x2), whose rounding makes exp(-d) uncertain by d times as
    much: the ulp is that of the largest of the result and (1 + d) * log1p(exp(-d)), which is below 0.75.
    """
    value = narrowed(np.logaddexp(*_widened(*a.values)), a.type.dtype)
    if singletons(a):
        lo, hi = _log_sums(a, *a.values, among=False)
        nan = np.isnan(value)
        return value, between(np.where(nan, value, lo), np.where(nan, value, hi), nan, nan)
    ends: Ends = partial(_log_sums, a, among=True)
    return value, monotone(a, ends)


def _widened(*operands: Array) -> list[Array]:
    return [wide(x, NAMES[x.dtype]) for x in operands]


def _log_sums(a: Application, x1: Array, x2: Array, *, among: bool) -> tuple[Array, Array]:
    """The smallest and the largest result; `among`: for an interval that begins or ends here."""
    dtype, n = a.type.dtype, ulps_bound(a)
    x, y = _widened(x1, x2)
    center = np.logaddexp(x, y)
    apart = np.abs(x - y)
    apart = np.where(np.isnan(apart), np.inf, apart)
    term = np.where(np.isinf(apart), 0.0, (1 + apart) * np.log1p(np.exp(-apart)))
    size = np.maximum(np.abs(center), 0.75 if among else term).astype(center.dtype)
    unit = ulp(size + size * DTYPES[dtype].unit, dtype)  # as in `ulps_around`
    margin = np.where(np.isinf(center), 0.0, (2 if among else 1) * n * unit + size * SLACK[dtype])
    top = DTYPES[dtype].max
    lo, hi = center - margin, center + margin
    bottom, ceiling = inward(lo, hi, n, dtype)
    infinity = np.asarray(np.inf, bottom.dtype)
    return np.where(lo < -top, -infinity, bottom), np.where(hi > top, infinity, ceiling)


FUNCTIONS = [
    row("expm1", np.expm1, FLOATING, ulps(4), UP),
    row("exp2", np.exp2, FLOATING, ulps(4), UP),
    row("log1p", np.log1p, FLOATING, ulps(4), UP),
    row("log2", np.log2, FLOATING, ulps(4), UP),
    row("log10", np.log10, FLOATING, ulps(4), UP),
    row("erf", widely(error_function.erf), FLOATING, ulps(4), UP, summary="the error function"),
    row("erfc", widely(error_function.erfc), FLOATING, ulps(4), DOWN, summary="1 - erf(x), without cancellation"),
    row("expit", widely(expit), FLOATING, ulps(4), UP, summary="the logistic function 1 / (1 + exp(-x))"),
    row("rsqrt", widely(rsqrt), FLOATING, ulps(4), "other", summary="1 / sqrt(x)"),
    row("reciprocal", np.reciprocal, FLOATING, correctly_rounded, "other", enclose=quotient_rule),
    row("logaddexp", np.logaddexp, FLOATING, ulps(4), UP, UP, enclose=logaddexp_rule),
    row(
        "xlogy",
        widely(xlogy),
        FLOATING,
        ulps(4),
        *OTHER,
        enclose=for_known(ulps_rule),
        summary="x1 * log(x2), 0 for x1 = 0",
    ),
]

RANGES |= {
    **{name: FUNCTION_RANGES[name] for name in ("reciprocal", "rsqrt")},
    **dict.fromkeys(("expm1", "exp2", "erf", "erfc", "expit"), monotone),
    "log1p": above_a_point(-np.inf),
    "log2": above_a_point(-np.inf),
    "log10": above_a_point(-np.inf),
}
