"""Transcendental functions against mpmath: the wide meaning, the edges of the bound in ulps, and special values."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import mpmath
import numpy as np
import pytest

from offload_fuzz.ops import OPS
from offload_fuzz.ops.error_function import erf, erfc
from offload_fuzz.ops.rounding import LONG, LONG_DIGITS
from offload_fuzz.types import DTYPES, Array

from ..devices import elements
from .test_enclosure_truth import as_fraction, edges
from .test_enclosures import FLOATS, assert_holds, known


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with np.errstate(all="ignore"):
        yield


def exactly(x: Any) -> Any:
    """A wide element as an mpmath number."""
    head = np.float64(x)
    return mpmath.mpf(float(head)) + mpmath.mpf(float(x - head))


# -------------------------------------------------------------------------------------------------- error function
@pytest.mark.parametrize("dtype", [np.float64, np.longdouble])
@pytest.mark.parametrize(("function", "truth"), [(erf, mpmath.erf), (erfc, mpmath.erfc)])
def test_the_error_functions_are_within_8_units_of_the_last_place(
    function: Callable[[Array], Array], truth: Any, dtype: Any
) -> None:
    rng = np.random.default_rng(11)
    x = np.concatenate(
        [
            rng.uniform(-7, 27, 500), np.exp(rng.uniform(-40, 3, 200)), rng.uniform(0.49, 0.51, 100),
            rng.uniform(7.1, 7.3, 50), rng.uniform(-0.6, 0.6, 150),
        ]
    ).astype(dtype)  # fmt: skip  # what is tried
    x = x + x * rng.uniform(-1, 1, x.size).astype(dtype) * dtype(2) ** -53
    result = function(x)
    assert result.dtype == x.dtype
    bound = mpmath.mpf(2) ** (3 - np.finfo(dtype).nmant - 1)
    with mpmath.workprec(300):
        for argument, value in zip(x, result, strict=True):
            true = truth(exactly(argument))
            if abs(true) > mpmath.mpf("1e-305"):
                assert abs(exactly(value) - true) <= bound * abs(true), argument


def test_the_error_functions_at_special_values() -> None:
    x = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 0.5, 40.0], LONG)
    assert np.array_equal(np.signbit(erf(x))[:2], [False, True])
    assert erf(x)[[0, 1, 2, 3, 6]].tolist() == [0, 0, 1, -1, 1]
    assert erfc(x)[[0, 1, 2, 3, 6]].tolist() == [1, 1, 0, 2, 0]
    assert np.isnan(erf(x)[4])
    assert np.isnan(erfc(x)[4])


def test_a_meaning_of_our_own_is_rounded_once() -> None:
    rng = np.random.default_rng(12)
    for dtype in FLOATS if LONG_DIGITS >= 64 else FLOATS[:3]:
        x = np.abs(elements(rng, dtype, (60,), "medium"))
        for name, truth in (("erf", mpmath.erf), ("erfc", mpmath.erfc), ("rsqrt", lambda v: 1 / mpmath.sqrt(v))):
            result = OPS[name].numpy(x)
            assert result.dtype == x.dtype
            with mpmath.workprec(300):
                for argument, value in zip(x, result, strict=True):
                    true = truth(mpmath.mpf(float(argument)))
                    if argument and true > 2.0 ** DTYPES[dtype].emin:
                        unit = mpmath.mpf(2) ** (int(mpmath.floor(mpmath.log(true, 2))) - DTYPES[dtype].precision + 1)
                        assert abs(mpmath.mpf(float(value)) - true) <= unit * 0.501, (name, dtype, argument)


# ------------------------------------------------------------------------------------------------------------ ulps
TRUTHS: dict[str, Any] = {
    "acos": mpmath.acos,
    "acosh": mpmath.acosh,
    "asin": mpmath.asin,
    "asinh": mpmath.asinh,
    "atan": mpmath.atan,
    "atan2": mpmath.atan2,
    "atanh": mpmath.atanh,
    "cos": mpmath.cos,
    "cosh": mpmath.cosh,
    "erf": mpmath.erf,
    "erfc": mpmath.erfc,
    "exp2": lambda x: mpmath.power(2, x),
    "expit": lambda x: 1 / (1 + mpmath.exp(-x)),
    "expm1": mpmath.expm1,
    "hypot": mpmath.hypot,
    "log10": mpmath.log10,
    "log1p": mpmath.log1p,
    "log2": lambda x: mpmath.log(x, 2),
    "rsqrt": lambda x: 1 / mpmath.sqrt(x),
    "sinh": mpmath.sinh,
    "tan": mpmath.tan,
    "xlogy": lambda x, y: x * mpmath.log(y),
}
#: How ordinary numbers are brought to where a function has numbers.
INTO: dict[str, Callable[[Array], Array]] = {
    **dict.fromkeys(("acos", "asin", "atanh"), np.sin),
    "acosh": lambda x: 1 + np.abs(x),
    **dict.fromkeys(("log1p", "log2", "log10", "rsqrt"), np.abs),
}
LARGEST = {"cosh": 1e4, "sinh": 1e4, "expm1": 1e4, "exp2": 1e4, "expit": 1e4, "erf": 1e3, "erfc": 1e3}


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("op", sorted(TRUTHS))
def test_results_within_n_ulps_and_no_others(op: str, dtype: str) -> None:
    rng, n, d = np.random.default_rng(7), 4, DTYPES[dtype]
    x, y = (np.concatenate([elements(rng, dtype, (30,), m) for m in ("small", "medium", "wild", "bits")]) for _ in "xy")
    x, y = (np.where(np.isfinite(v) & (v != 0), v, np.ones((), v.dtype)) for v in (x, y))
    x = INTO.get(op, np.positive)(x).astype(d.np)
    operands = (x, np.abs(y) if op == "xlogy" else y)[: len(OPS[op].operands)]
    value, e = known(op, *operands)
    tested = 0
    with mpmath.workprec(1400):
        for i in range(x.size):
            arguments = [mpmath.mpf(float(o[i])) for o in operands]
            if abs(arguments[0]) > LARGEST.get(op, math.inf) or (op in ("acos", "asin", "atanh") and abs(x[i]) >= 1):
                continue
            truth = TRUTHS[op](*arguments)
            if truth == 0 or not 2.0 ** (d.emin + 2) < abs(truth) < d.max / 2:
                continue
            tested += 1
            for end in edges(truth, n, dtype):
                assert e.contains(np.full(x.shape, end).astype(x.dtype))[i], (op, arguments, end)
            for end in edges(truth, 2 * n + 3, dtype):
                assert not e.contains(np.full(x.shape, end).astype(x.dtype))[i], (op, arguments, end)
    assert tested > 30
    assert_holds(e, value, op)


@pytest.mark.parametrize("dtype", FLOATS)
def test_logaddexp_is_as_good_as_what_is_added(dtype: str) -> None:
    """Where the result cancels, the bound is that of its terms; elsewhere that of the result."""
    rng, d = np.random.default_rng(13), DTYPES[dtype]
    x, y = (elements(rng, dtype, (80,), "medium") for _ in range(2))
    x[:20] = -np.exp(-rng.uniform(0, 5, 20)).astype(d.np)
    y[:20] = np.log(-np.expm1(x[:20].astype(np.float64))).astype(d.np)  # so that exp(x) + exp(y) is about 1
    value, e = known("logaddexp", x, y)
    with mpmath.workprec(400):
        for i in range(x.size):
            p, q = mpmath.mpf(float(x[i])), mpmath.mpf(float(y[i]))
            if abs(p - q) > 1e3:
                continue
            truth, apart = mpmath.log(mpmath.exp(p) + mpmath.exp(q)), abs(p - q)
            size = max(abs(truth), (1 + apart) * mpmath.log1p(mpmath.exp(-apart)))
            unit = mpmath.mpf(2) ** (max(int(mpmath.floor(mpmath.log(size, 2))), d.emin) - d.precision + 1)
            for lo, end in ((True, e.lo[i]), (False, e.hi[i])):
                off = as_fraction(mpmath.mpf(float(end))) - as_fraction(truth) if end != 0 else -as_fraction(truth)
                assert 2 * as_fraction(unit) < abs(off) <= as_fraction(unit) * 9, (dtype, p, q, lo)
    assert_holds(e, value, "logaddexp")


# -------------------------------------------------------------------------------------------------- special values
NAN, INF = math.nan, math.inf
SPECIAL: dict[str, list[tuple[float, ...]]] = {
    "acos": [(1.0, 0.0), (2.0, NAN), (-INF, NAN)],
    "acosh": [(1.0, 0.0), (0.5, NAN), (INF, INF)],
    "asin": [(-0.0, -0.0), (-1.5, NAN)],
    "asinh": [(-0.0, -0.0), (-INF, -INF)],
    "atan": [(-0.0, -0.0)],
    "atanh": [(1.0, INF), (-1.0, -INF), (2.0, NAN), (-0.0, -0.0)],
    "cos": [(INF, NAN), (NAN, NAN)],
    "cosh": [(-INF, INF)],
    "sinh": [(-0.0, -0.0), (-INF, -INF)],
    "tan": [(-0.0, -0.0), (INF, NAN)],
    "atan2": [(-0.0, 1.0, -0.0), (0.0, INF, 0.0), (NAN, 1.0, NAN)],
    "hypot": [(-INF, NAN, INF), (0.0, -0.0, 0.0), (NAN, 1.0, NAN)],
    "expm1": [(-0.0, -0.0), (INF, INF)],
    "exp2": [(-INF, 0.0), (INF, INF)],
    "log1p": [(-0.0, -0.0), (-1.0, -INF), (-2.0, NAN)],
    "log2": [(1.0, 0.0), (-0.0, -INF), (-1.0, NAN)],
    "log10": [(1.0, 0.0), (0.0, -INF), (INF, INF)],
    "erf": [(-0.0, -0.0)],
    "erfc": [(INF, 0.0)],
    "expit": [(-INF, 0.0)],
    "rsqrt": [(0.0, INF), (-0.0, -INF), (INF, 0.0), (-INF, NAN)],
    "reciprocal": [(-0.0, -INF), (-INF, -0.0), (4.0, 0.25)],
    "logaddexp": [(-INF, -INF, -INF), (INF, -INF, INF), (INF, NAN, NAN)],
    "xlogy": [(0.0, INF, 0.0), (0.0, NAN, NAN), (2.0, 0.0, -INF), (2.0, 1.0, 0.0)],
}


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("op", sorted(SPECIAL))
def test_special_values_are_certain(op: str, dtype: str) -> None:
    for *operands, expected in SPECIAL[op]:
        value, e = known(op, *(np.array([x], DTYPES[dtype].np) for x in operands))
        result = np.array([expected], DTYPES[dtype].np)
        assert_holds(e, result, (op, operands))
        assert_holds(e, value, (op, operands))
        assert e.is_certain, (op, operands, e)
        if expected == 0:
            assert np.signbit(value[0]) == np.signbit(expected), (op, operands)
