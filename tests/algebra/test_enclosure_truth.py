"""Enclosures against exact arithmetic: fractions and mpmath as truth, the edges of each bound, and the width."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
import pytest
from attrs import evolve

from offload_fuzz.contract import Contract
from offload_fuzz.enclosure import Enclosure, between, is_float, ordinal
from offload_fuzz.errors import InvalidProgram
from offload_fuzz.ops import BUILT_IN
from offload_fuzz.ops.base import OPS
from offload_fuzz.ops.data_type import cast
from offload_fuzz.ops.rounding import narrowed, nearest, rounded_down, rounded_up, wide
from offload_fuzz.types import DTYPES, Array, is_complex, is_floating, type_of

from ..devices import elements, special_operands
from ..devices.neural import MAKERS
from .lawful import evaluate, fraction, rounded
from .ordinary_shaping import BOUNDS, ordinary_shaping
from .test_enclosures import FLOATS, IEEE, applied, assert_holds, known

TWO_PASS = evolve(IEEE, variance="two-pass")
COMPUTED: dict[str, Callable[[Fraction, Fraction], Fraction]] = {
    "add": lambda x, y: x + y,
    "subtract": lambda x, y: x - y,
    "multiply": lambda x, y: x * y,
    "divide": lambda x, y: x / y,
}


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with np.errstate(all="ignore"):
        yield


def finite(rng: np.random.Generator, dtype: str, shape: tuple[int, ...], manner: str) -> Array:
    """Elements without infinities and NaN."""
    x = elements(rng, dtype, shape, manner)
    return np.where(np.isfinite(x), x, np.ones((), x.dtype))


def fractions(x: Array) -> list[Fraction]:
    return [fraction(v) for v in x.ravel()]


def exact_fraction(x: Any) -> Fraction:
    """The exact value of a finite wide element: float64 may not hold what the long double does."""
    head = np.float64(x)
    return Fraction(float(head)) + Fraction(float(x - head))


def array_of(values: list[Fraction], dtype: str, shape: tuple[int, ...]) -> Array:
    return np.array([rounded(q, dtype) for q in values], np.float64).reshape(shape).astype(DTYPES[dtype].np)


def same_numbers(x: Array, y: Array) -> bool:
    return bool((x == y).all())


# ------------------------------------------------------------------------------------------------------- rounding
@pytest.mark.parametrize("dtype", FLOATS)
def test_rounding_helpers_are_the_roundings_of_the_exact_value(dtype: str) -> None:
    rng, d = np.random.default_rng(1), DTYPES[dtype]
    near = np.concatenate([finite(rng, dtype, (40,), m) for m in ("wild", "bits", "medium")])
    x = wide(near, dtype)
    offsets = rng.choice([0.0, 0.5, 0.5 + 2.0**-8, 0.5 - 2.0**-8, 0.5 + 2.0**-20, 0.5 - 2.0**-20], x.shape).astype(
        x.dtype
    )
    x = x + np.ldexp(offsets, np.maximum(np.frexp(x)[1] - 1, d.emin) - d.precision + 1)
    once = array_of([exact_fraction(v) for v in x], dtype, x.shape)
    assert same_numbers(narrowed(x, dtype), once)
    if dtype in ("float16", "bfloat16"):
        assert same_numbers(nearest(x, dtype), once)
    up, down = rounded_up(x, dtype), rounded_down(x, dtype)
    assert (up.astype(x.dtype) >= x).all()
    assert (down.astype(x.dtype) <= x).all()
    between = ordinal(up).astype(np.int64) - ordinal(down).astype(np.int64)
    assert (between[x != 0] <= 1).all()
    assert (between[down.astype(x.dtype) == x] == 0).all()


@pytest.mark.parametrize("target", FLOATS)
@pytest.mark.parametrize("source", [*FLOATS, "int8", "uint16", "int32", "uint32", "int64", "uint64"])
def test_astype_rounds_once(source: str, target: str) -> None:
    rng = np.random.default_rng(2)
    for manner in ("small", "wild", "medium", "bits"):
        x = finite(rng, source, (60,), manner) if is_floating(source) else elements(rng, source, (60,), manner)
        exact = [Fraction(int(v)) if x.dtype.kind in "iu" else fraction(v) for v in x]
        assert same_numbers(cast(x, dtype=target), array_of(exact, target, x.shape))
        value, e = known("astype", x, dtype=target)
        assert e.is_singleton
        assert same_numbers(value, array_of(exact, target, x.shape))
        through = Contract("through", cast_through_float32=frozenset({f"{source}->{target}"}))
        assert_holds(known("astype", x, contract=through, dtype=target)[1], value, "direct")
        twice = x.astype(np.float32).astype(DTYPES[target].np)
        assert_holds(known("astype", x, contract=through, dtype=target)[1], twice, "through float32")


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("op", sorted(COMPUTED))
def test_arithmetic_is_the_rounded_exact_result(op: str, dtype: str) -> None:
    rng = np.random.default_rng(3)
    for manner in ("small", "wild", "medium", "bits"):
        x, y = (finite(rng, dtype, (80,), manner) for _ in range(2))
        y = np.where(y == 0, np.ones((), y.dtype), y) if op == "divide" else y
        truth = [COMPUTED[op](p, q) for p, q in zip(fractions(x), fractions(y), strict=True)]
        _, e = known(op, x, y)
        once = array_of(truth, dtype, x.shape)
        assert_numbers(e, once)
        if dtype != "bfloat16" or op in ("add", "subtract"):
            assert e.is_singleton


def test_no_bfloat16_product_or_quotient_needs_more_than_float32() -> None:
    """All significands at every exponent from the smallest subnormal up: rounding twice is rounding once."""
    d, significands = DTYPES["bfloat16"], np.arange(1.0, 256.0)
    for exponent in range(-146, -116):
        x, y = significands[:, None] * 2.0 ** (exponent // 2), significands[None, :]
        for op, other in (
            ("multiply", y * 2.0 ** (exponent - exponent // 2)),
            ("divide", y * 2.0 ** (exponent // 2 - exponent)),
        ):
            truth = getattr(np, op)(x, other)  # exact, or nearer to it than any tie is
            assert same_numbers(known(op, x.astype(d.np), other.astype(d.np))[1].lo, narrowed(truth, "bfloat16"))


def assert_numbers(e: Enclosure, result: Array) -> None:
    """`result` is allowed, but for the signs of its zeros."""
    ok = e.contains(result) | e.contains(-result) & (result == 0)
    assert ok.all(), (result[~ok], e.lo[~ok], e.hi[~ok])


@pytest.mark.parametrize("dtype", FLOATS)
def test_sqrt_is_the_rounded_exact_result(dtype: str) -> None:
    rng = np.random.default_rng(4)
    for manner in ("small", "wild", "medium", "bits"):
        x = np.abs(finite(rng, dtype, (80,), manner))
        with mpmath.workprec(300):
            roots = [mpmath.sqrt(mpmath.mpf(float(v))) for v in x]
        truth = [Fraction(0) if r == 0 else as_fraction(r) for r in roots]
        assert same_numbers(known("sqrt", x)[1].lo, array_of(truth, dtype, x.shape))


def as_fraction(x: Any) -> Fraction:
    sign, mantissa, exponent, _ = x._mpf_
    return Fraction(int(mantissa)) * Fraction(2) ** int(exponent) * (-1 if sign else 1)


# ------------------------------------------------------------------------------------------------------------ sums
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("op", ["sum", "mean", "cumulative_sum", "matmul"])
def test_sums_hold_the_rounded_exact_result(op: str, dtype: str) -> None:
    rng = np.random.default_rng(5)
    for manner in ("small", "medium", "wild", "bits"):
        for n in (1, 2, 3, 4, 9, 40):
            x, y = finite(rng, dtype, (n,), manner), finite(rng, dtype, (n,), manner)
            terms, by = fractions(x), Fraction(n if op == "mean" else 1)
            if op == "matmul":
                e = known(op, x[None, :], y[:, None])[1]
                terms = [p * q for p, q in zip(terms, fractions(y), strict=True)]
            elif op == "cumulative_sum":
                e = known(op, x, axis=0)[1]
            else:
                e = known(op, x, axis=None, keepdims=False)[1]
            counts = range(1, n + 1) if op == "cumulative_sum" else [n]
            truth = [sum(terms[:k], Fraction(0)) / by for k in counts]
            assert_numbers(e, array_of(truth, dtype, e.lo.shape))
            magnitudes = [sum(map(abs, terms[:k]), Fraction(0)) / by for k in counts]
            assert_tight(e, magnitudes, n if op == "matmul" else n - 1, dtype)


@pytest.mark.parametrize("dtype", FLOATS)
def test_floor_of_a_large_quotient(dtype: str) -> None:
    """From 2**(p-2) on, (x - fmod(x, y)) / y with each step rounded may be off by one or two."""
    rng, d = np.random.default_rng(10), DTYPES[dtype]
    y = (rng.integers(2 ** (d.precision - 1), 2**d.precision, 4000) * 2.0 ** (1 - d.precision)).astype(d.np)
    y = np.where(rng.integers(0, 2, y.shape) == 0, -y, y)
    quotients = rng.uniform(2.0 ** (d.precision - 4), 2.0 ** (d.precision + 2), 4000)
    x = (quotients * y.astype(np.float64)).astype(d.np)
    x, y = (np.where(np.abs(x) < d.max / 2, v, np.ones((), d.np)) for v in (x, y))
    value, e = known("floor_divide", x, y)
    pairs = zip(fractions(x), fractions(y), strict=True)
    truth = array_of([Fraction(math.floor(p / q)) for p, q in pairs], dtype, x.shape)
    for floors in (value, truth, *(evaluate("floor_divide", rng, type_of(x), (x, y), {}) for _ in range(8))):
        assert_holds(e, floors, "floor")
    steps = ordinal(e.hi).astype(np.int64) - ordinal(e.lo).astype(np.int64)
    small = truth < 2.0 ** (d.precision - 3)
    assert steps[~small].max() <= 8
    assert (e.hi.astype(np.float64) - e.lo.astype(np.float64))[small].max() <= 1


def assert_tight(e: Enclosure, magnitudes: list[Any], roundings: int, dtype: str) -> None:
    """No wider than twice the bound: the roundings on the way, and half a ulp for the last on either side."""
    d = DTYPES[dtype]
    for lo, hi, size in zip(e.lo.ravel(), e.hi.ravel(), magnitudes, strict=True):
        if math.isfinite(lo) and math.isfinite(hi) and size < Fraction(d.max) / 4:
            error = (roundings + 2) * Fraction(d.unit) * size + (roundings + 2) * Fraction(d.eta)
            assert fraction(hi) - fraction(lo) <= 2 * error * Fraction(1001, 1000)
        elif size < Fraction(d.max) / (4 * (1 + (roundings + 2))):
            raise AssertionError(f"{lo} to {hi} for a sum of magnitudes {float(size)}")


@pytest.mark.parametrize("dtype", FLOATS)
def test_small_dyadic_data_is_compared_bit_by_bit(dtype: str) -> None:
    rng = np.random.default_rng(6)
    for _ in range(20):
        x = rng.integers(1, 8, (4, 4)).astype(DTYPES[dtype].np) / DTYPES[dtype].np.type(4)
        for op, operands, attributes in (
            ("sum", (x,), {"axis": (1,), "keepdims": False}),
            ("mean", (x,), {"axis": None, "keepdims": True}),
            ("mean", (x,), {"axis": (0,), "keepdims": False}),
            ("cumulative_sum", (x,), {"axis": 1}),
            ("matmul", (x[:2], x[:, :2]), {}),
        ):
            if op != "mean" or dtype != "bfloat16" or attributes["axis"] is not None:
                assert known(op, *operands, **attributes)[1].is_certain, (op, x)
    powers = np.array([2.0, 0.5, -4.0, 3.0, 0.25], DTYPES[dtype].np)
    assert known("prod", powers, axis=None, keepdims=False)[1].is_singleton


def test_a_mean_of_three_is_not_known_to_the_bit_though_its_sum_is() -> None:
    x = np.array([1.0, 2.0, 4.0], np.float32)
    assert known("sum", x, axis=None, keepdims=False)[1].is_singleton
    _, e = known("mean", x, axis=None, keepdims=False)
    assert_holds(e, np.asarray(np.float32(7) * (np.float32(1) / np.float32(3))), "by the reciprocal")
    assert 1 <= int(ordinal(e.hi)) - int(ordinal(e.lo)) <= 2


# ------------------------------------------------------------------------------------------------------------ ulps
TRUTHS = {"exp": mpmath.exp, "log": mpmath.log, "sin": mpmath.sin, "tanh": mpmath.tanh, "pow": mpmath.power}


def edges(truth: Any, n: int, dtype: str) -> list[float]:
    """The outermost numbers of `dtype` within n ulps of `truth`."""
    d, q, found = DTYPES[dtype], as_fraction(truth), []
    unit = Fraction(2) ** (max(int(mpmath.floor(mpmath.log(abs(truth), 2))), d.emin) - d.precision + 1)
    for end, inward in ((q - n * unit, math.inf), (q + n * unit, -math.inf)):
        near = np.asarray(rounded(end, dtype)).astype(d.np)
        outside = fraction(near) < end if inward > 0 else fraction(near) > end
        found.append(float(np.nextafter(near, np.asarray(inward, d.np)) if outside else near))
    return found


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("op", sorted(TRUTHS))
def test_results_within_n_ulps_and_no_others(op: str, dtype: str) -> None:
    rng, n, d = np.random.default_rng(7), 4, DTYPES[dtype]
    x = np.concatenate([elements(rng, dtype, (30,), m) for m in ("small", "medium", "wild", "bits")])
    y = np.concatenate([elements(rng, dtype, (30,), m) for m in ("small", "medium", "small", "small")])
    x = np.where(np.isfinite(x) & (x != 0), x, np.ones((), x.dtype))
    operands = (np.abs(x), y) if op == "pow" else (np.abs(x),) if op == "log" else (x,)
    value, e = known(op, *operands)
    tested = 0
    with mpmath.workprec(1400):
        for i in range(x.size):
            arguments = [mpmath.mpf(float(o[i])) for o in operands]
            if op in ("exp", "pow") and abs(arguments[-1] * (1 if op == "exp" else 40)) > 1e4:
                continue
            truth = TRUTHS[op](*arguments)
            if truth == 0 or not 2.0 ** (d.emin + 2) < abs(truth) < d.max / 2:
                continue
            tested += 1
            for end in edges(truth, n, dtype):
                assert e.contains(np.full(x.shape, end).astype(x.dtype))[i], (op, arguments, end)
            # twice as far, as the ulp may be that of the rounded result, and then some, as edges are rounded inward
            for end in edges(truth, 2 * n + 3, dtype):
                assert not e.contains(np.full(x.shape, end).astype(x.dtype))[i], (op, arguments, end)
    assert tested > 40
    assert_holds(e, value, op)


@pytest.mark.parametrize("dtype", FLOATS)
def test_ulps_at_the_ends_of_the_range(dtype: str) -> None:
    d = DTYPES[dtype]
    big, tiny = (np.array([v], d.np) for v in (d.emax * math.log(2) * 1.2, math.log(d.eta) * 1.3))
    assert_holds(known("exp", big)[1], np.array([np.inf], d.np), "overflow")
    _, e = known("exp", tiny)
    assert_holds(e, np.zeros(1, d.np), "underflow")
    assert not e.contains(-np.zeros(1, d.np)).any()
    assert_holds(known("exp", np.array([-6e4], d.np))[1], np.array([4 * d.eta]).astype(d.np), "4 ulps of underflow")
    for op, x, result in (("exp", -np.inf, 0.0), ("log", 1.0, 0.0), ("log", 0.0, -np.inf), ("sin", -0.0, -0.0)):
        _, e = known(op, np.array([x], d.np))
        assert e.is_singleton or e.is_certain
        assert_holds(e, np.array([result], d.np), op)
    assert known("log", np.array([-1.0], d.np))[1].contains(np.array([np.nan], d.np)).all()


@pytest.mark.parametrize("dtype", FLOATS)
def test_the_ulp_of_a_number_inside_an_interval_counts(dtype: str) -> None:
    """exp of what reaches up to 0 may be 4 ulps below 1, which is 8 of the ulps at its lower end."""
    d = DTYPES[dtype]
    lo = np.array([-1.0 * d.unit]).astype(d.np)
    _, e = applied("exp", [between(lo, np.zeros(1, d.np))], [lo])
    assert e is not None
    assert_holds(e, np.array([1.0 - 8 * d.unit]).astype(d.np), "4 ulps below 1")
    _, e = applied("log", [between(1 + 8 * lo, np.ones(1, d.np))], [1 + 8 * lo])
    assert e is not None
    assert_holds(e, np.zeros(1, d.np), "log 1")


# ----------------------------------------------------------------------------------------------------------- width
def ordinary(op: str, dtype: str, rng: np.random.Generator) -> tuple[list[Array], dict[str, Any]]:
    """Operands and attributes for any op, with ordinary numbers in them."""
    if op in MAKERS:
        return ordinary_neural(op, dtype, rng)
    x, y = (elements(rng, dtype, (4, 4), "medium" if is_floating(dtype) else "small") for _ in range(2))
    if op in ("log", "pow", "sqrt"):
        x = np.abs(x)
    if op in ("acos", "asin", "atanh"):
        x = np.asarray(np.sin(x)).astype(x.dtype)
    if op in ("acosh", "log1p", "log2", "log10", "rsqrt", "xlogy"):
        x, y = (1 + np.abs(v) for v in (x, y))
    if op in ("floor_divide", "remainder", "fmod"):
        y = np.where(y == 0, np.ones((), y.dtype), y)
    table: dict[str, dict[str, Any]] = {
        "sum": {"axis": (1,), "keepdims": False}, "prod": {"axis": (1,), "keepdims": False},
        "mean": {"axis": (1,), "keepdims": False}, "max": {"axis": (1,), "keepdims": False},
        "argmax": {"axis": 1, "keepdims": False}, "cumulative_sum": {"axis": 1}, "sort": {"axis": 0},
        "reshape": {"shape": (16,)}, "permute_dims": {"axes": (1, 0)}, "flip": {"axis": None},
        "broadcast_to": {"shape": (2, 4, 4)}, "squeeze": {"axis": ()}, "expand_dims": {"axis": 0},
        "concat": {"axis": 0}, "getitem": {"index": ((0, 2, 1), (None, None, -1))},
        "setitem": {"index": ((None, None, 1), (None, None, 1))}, "take": {"axis": 1}, "astype": {"dtype": dtype},
    }  # fmt: skip  # a table
    attributes = table.get(op, {})
    if (special := special_operands.applied(rng, op, x, "small")) is not None:
        return list(special[0]), special[1]
    if (found := ordinary_shaping(op, dtype, x, y)) is not None:
        return found
    if op == "where":
        return [elements(rng, "bool", (4, 4), "small"), x, y], attributes
    if op == "take":
        return [x, np.array([0, 3, 1])], attributes
    return [x, y][: len(OPS[op].operands)], attributes


def ordinary_neural(op: str, dtype: str, rng: np.random.Generator) -> tuple[list[Array], dict[str, Any]]:
    """As `ordinary`, for the ops of neural networks, whose operands have shapes of their own."""
    manner = "small" if dtype == "bool" or not is_floating(dtype) else "medium"
    while True:
        operands, attributes = MAKERS[op](rng, op, lambda shape: elements(rng, dtype, shape, manner), (4, 4))
        try:
            OPS[op].result_type([type_of(x) for x in operands], attributes)
        except InvalidProgram:
            continue
        if op == "scaled_dot_product_attention":  # scores of hundreds are known to no better than a factor in bfloat16
            operands = (np.asarray(operands[0] * np.asarray(2.0**-8, operands[0].dtype)), *operands[1:])
        return list(operands), attributes


#: Median widths, in numbers of the dtype, that the rules of composite ops keep under the strictest contract.
COMPOSITE_WIDTH = 80.0


@pytest.mark.parametrize("op", BUILT_IN)
def test_the_width_is_at_most_twice_the_bound_and_never_vacuous(op: str) -> None:
    for dtype in sorted(OPS[op].dtypes):
        widths: list[float] = []
        rng = np.random.default_rng(8)
        for _ in range(12):
            operands, attributes = ordinary(op, dtype, rng)
            _, e = known(op, *operands, contract=TWO_PASS, **attributes)
            assert not e.is_vacuous
            if is_float(e.lo.dtype) and not e.is_certain:
                assert e.nan is None
                widths += (ordinal(e.hi).astype(np.int64) - ordinal(e.lo).astype(np.int64)).ravel().tolist()
                assert e.lo2 is None or op == "remainder"
            else:
                widths += [0.0] * e.lo.size
        accuracy = OPS[op].accuracy
        kinds = {
            "ulps": accuracy.ulps,
            "accumulating": 8.0 if op in MAKERS else 4.0,
            "composite": COMPOSITE_WIDTH / 2,
        }
        bound = BOUNDS.get(op, kinds.get(accuracy.kind, 0.0))
        if is_complex(dtype) and op in ("abs", "multiply", "square"):
            bound = 4.0  # these round more than once
        assert np.median(widths) <= 2 * bound, (dtype, np.median(widths))
