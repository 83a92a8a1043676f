"""Enclosures of the shaping ops against exact arithmetic: fractions as truth, edges of bounds, what is exact."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from attrs import evolve

from offload_fuzz.contract import Contract, union
from offload_fuzz.enclosure import between
from offload_fuzz.errors import UsageError
from offload_fuzz.types import DTYPES, Array

from .lawful import fraction, rounded
from .test_enclosure_truth import array_of, assert_numbers, assert_tight, finite, fractions
from .test_enclosures import FLOATS, IEEE, applied, assert_holds, known

ONE_PASS, TWO_PASS = evolve(IEEE, variance="one-pass"), evolve(IEEE, variance="two-pass")
ALL: dict[str, Any] = {"axis": None, "keepdims": False}
CONTRACTIONS: list[tuple[str, dict[str, Any]]] = [("vecdot", {"axis": -1}), ("tensordot", {"axes": 1})]


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with np.errstate(all="ignore"):
        yield


# --------------------------------------------------------------------------------------------------------------- sums
@pytest.mark.parametrize("dtype", FLOATS)
def test_sums_of_products_hold_the_rounded_exact_result(dtype: str) -> None:
    rng = np.random.default_rng(5)
    for manner in ("small", "medium", "wild", "bits"):
        for n in (1, 2, 3, 9, 40):
            x, y = (finite(rng, dtype, (n,), manner) for _ in range(2))
            terms = [p * q for p, q in zip(fractions(x), fractions(y), strict=True)]
            for op, attributes in CONTRACTIONS:
                e = known(op, x, y, **attributes)[1]
                assert_numbers(e, array_of([sum(terms, Fraction(0))], dtype, ()))
                assert_tight(e, [sum(map(abs, terms), Fraction(0))], n, dtype)


@pytest.mark.parametrize("dtype", FLOATS)
def test_nansum_nanmean_and_trace_hold_the_rounded_exact_result(dtype: str) -> None:
    rng = np.random.default_rng(6)
    for manner in ("small", "medium", "wild", "bits"):
        for n in (1, 2, 5, 16):
            x = finite(rng, dtype, (n, n), manner)
            gone = rng.random((n, n)) < 0.4
            holed = np.where(gone, np.asarray(np.nan, x.dtype), x)
            left = [fraction(v) for v in x[~gone]]
            assert_numbers(known("nansum", holed, **ALL)[1], array_of([sum(left, Fraction(0))], dtype, ()))
            if left:
                mean = sum(left, Fraction(0)) / len(left)
                assert_numbers(known("nanmean", holed, **ALL)[1], array_of([mean], dtype, ()))
            diagonal = sum(fractions(np.diagonal(x)), Fraction(0))
            assert_numbers(known("trace", x, offset=0)[1], array_of([diagonal], dtype, ()))


@pytest.mark.parametrize("dtype", FLOATS)
def test_a_cross_product_holds_the_rounded_exact_result(dtype: str) -> None:
    rng = np.random.default_rng(7)
    for manner in ("small", "medium", "wild", "bits"):
        x, y = (finite(rng, dtype, (20, 3), manner) for _ in range(2))
        e = known("cross", x, y)[1]
        for row in range(20):
            (a, b, c), (p, q, r) = fractions(x[row]), fractions(y[row])
            truth = array_of([b * r - c * q, c * p - a * r, a * q - b * p], dtype, (3,))
            ok = e.contains(np.broadcast_to(truth, x.shape))[row] | (truth == 0)
            assert ok.all()


@pytest.mark.parametrize("dtype", FLOATS)
def test_small_dyadic_data_is_compared_bit_by_bit(dtype: str) -> None:
    rng = np.random.default_rng(8)
    x, y = (rng.integers(1, 4, (4, 4)).astype(DTYPES[dtype].np) / DTYPES[dtype].np.type(2) for _ in range(2))
    pair = np.array([[1.0, 3.0], [2.0, -4.0], [0.5, 0.5]], DTYPES[dtype].np)
    over = {"axis": (1,), "keepdims": False}
    for op, operands, attributes in (
        ("vecdot", (x, y), {"axis": -1}), ("tensordot", (x, y), {"axes": 1}), ("outer", (x[0], y[0]), {}),
        ("kron", (x, y), {}), ("cross", (x[:, :3], y[:, :3]), {}), ("trace", (x,), {"offset": 0}),
        ("diff", (x,), {"axis": 0, "n": 2}), ("nansum", (x,), over), ("nanmean", (x,), over),
        ("cumulative_prod", (x[:, :3],), {"axis": 1}), ("vector_norm", (x,), {**over, "ord": 1}),
        ("var", (pair,), {**over, "correction": 1}), ("std", (pair[:2] * 0 + 1,), {**over, "correction": 0}),
        ("arange", (), {"start": 0.5, "stop": 9.0, "step": 0.25, "dtype": dtype}),
        ("linspace", (), {"start": -1.0, "stop": 1.0, "num": 9, "dtype": dtype}),
    ):  # fmt: skip  # a table
        assert known(op, *operands, contract=TWO_PASS, **attributes)[1].is_certain, op
    assert known("var", pair, contract=ONE_PASS, **over, correction=1)[1].is_certain


# ----------------------------------------------------------------------------------------------------------- variance
def spread(x: Array, correction: Any) -> Fraction:
    """The exact variance."""
    values = fractions(x)
    mean = sum(values, Fraction(0)) / len(values)
    return sum(((v - mean) ** 2 for v in values), Fraction(0)) / (len(values) - Fraction(correction))


@pytest.mark.parametrize("contract", [ONE_PASS, TWO_PASS], ids=["one-pass", "two-pass"])
@pytest.mark.parametrize("dtype", FLOATS)
def test_var_and_std_hold_the_rounded_exact_result(dtype: str, contract: Contract) -> None:
    rng = np.random.default_rng(9)
    for manner in ("small", "medium", "wild", "bits"):
        for n in (1, 2, 3, 8, 33):
            x = finite(rng, dtype, (n,), manner)
            for correction in (0, 1, 0.5):
                if n <= correction:
                    continue
                truth = spread(x, correction)
                e = known("var", x, contract=contract, **ALL, correction=correction)[1]
                assert_numbers(e, array_of([truth], dtype, ()))
                root = math.isqrt(int(truth * 2**2400) if truth else 0)
                e = known("std", x, contract=contract, **ALL, correction=correction)[1]
                assert_numbers(e, array_of([Fraction(root, 2**1200)], dtype, ()))


def welford(x: Array) -> Any:
    """Welford's update, every step rounded."""
    mean, total = x.dtype.type(0), x.dtype.type(0)
    for i, v in enumerate(x):
        apart = v - mean
        mean = mean + apart / x.dtype.type(i + 1)
        total = total + apart * (v - mean)
    return total


def textbook(x: Array) -> Any:
    """sum(x**2) - sum(x)**2 / n, every step rounded."""
    zero = x.dtype.type(0)
    squares, total = sum((v * v for v in x), zero), sum(x, zero)
    return squares - total * total / x.dtype.type(len(x))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_one_pass_may_be_negative_and_two_passes_may_not(dtype: str) -> None:
    rng, dt, negative = np.random.default_rng(10), DTYPES[dtype].np, 0
    for n in (2, 3, 7, 20, 100):
        for scale in (math.sqrt(DTYPES[dtype].unit), 1e-2, 1.0):
            x = (3 + scale * rng.standard_normal(n)).astype(dt)
            one = known("var", x, contract=ONE_PASS, **ALL, correction=0)[1]
            two = known("var", x, contract=TWO_PASS, **ALL, correction=0)[1]
            for way in (welford, textbook):
                result = np.asarray(way(x) / dt.type(n))
                assert_holds(one, result, (way, n, scale))
                negative += bool(result < 0)
            apart = x - x.mean(dtype=dt)
            assert_holds(two, np.asarray((apart * apart).sum(dtype=dt) / dt.type(n)), n)
            assert two.lo >= 0
            root = known("std", x, contract=ONE_PASS, **ALL, correction=0)[1]
            assert bool(one.lo < 0) == root.contains(np.asarray(np.nan, dt)).all()
    assert negative


def test_the_union_of_both_ways_is_one_pass() -> None:
    assert union([ONE_PASS, TWO_PASS]).variance == union([TWO_PASS, ONE_PASS]).variance == "one-pass"
    assert union([TWO_PASS, TWO_PASS]).variance == "two-pass"
    assert Contract("silent").variance == "one-pass"
    with pytest.raises(UsageError, match="variance is 'no-pass' but should be one of two-pass, one-pass"):
        Contract("wrong", variance="no-pass")


def test_a_variance_with_no_freedom_left_is_nan_or_infinite() -> None:
    x = np.ones((2, 2), np.float32)
    e = known("var", x, axis=(1,), correction=2, keepdims=False)[1]
    for value, ok in ((np.nan, True), (np.inf, True), (0.0, False)):
        assert e.contains(np.full(2, value, np.float32)).all() == ok
    nothing = known("var", np.zeros((0, 2), np.float32), axis=(0,), correction=0, keepdims=False)[1]
    assert nothing.contains(np.full(2, np.nan, np.float32)).all()
    assert not nothing.contains(np.full(2, np.inf, np.float32)).any()


# --------------------------------------------------------------------------------------------------------------- norm
@pytest.mark.parametrize("dtype", FLOATS)
def test_a_norm_holds_the_rounded_exact_result_up_to_the_ends_of_the_range(dtype: str) -> None:
    rng, d = np.random.default_rng(11), DTYPES[dtype]
    for manner in ("small", "medium", "wild", "bits"):
        for n in (1, 2, 5, 17):
            x = finite(rng, dtype, (n,), manner)
            total = sum((v * v for v in fractions(x)), Fraction(0))
            root = Fraction(math.isqrt(int(total * 2**4400)), 2**2200)
            e = known("vector_norm", x, **ALL, ord=2)[1]
            assert_numbers(e, array_of([root], dtype, ()))
            assert_numbers(
                known("vector_norm", x, **ALL, ord=1)[1],
                array_of([sum(map(abs, fractions(x)), Fraction(0))], dtype, ()),
            )
    big, tiny = np.full(2, d.max / 2).astype(d.np), np.full(2, d.eta).astype(d.np)
    e = known("vector_norm", big, **ALL, ord=2)[1]
    assert e.contains(np.asarray(np.inf, d.np)).all()  # the squares overflow
    assert e.contains(np.asarray(rounded(Fraction(float(big[0])) * Fraction(math.sqrt(2)), dtype)).astype(d.np)).all()
    assert known("vector_norm", tiny, **ALL, ord=2)[1].contains(np.zeros((), d.np)).all()  # and underflow


# ---------------------------------------------------------------------------------------------------------- sequences
@pytest.mark.parametrize("dtype", FLOATS)
def test_sequences_hold_the_rounded_exact_result(dtype: str) -> None:
    rng, dt = np.random.default_rng(12), DTYPES[dtype].np
    for _ in range(60):
        start, step = (float(dt.type(v)) for v in rng.normal(size=2) * [8, 1])
        n = int(rng.integers(0, 40))
        stop = float(dt.type(start + step * (n + 0.5)))
        if abs((stop - start) / step - n - 0.5) > 0.3:
            continue
        e = known("arange", start=start, stop=stop, step=step, dtype=dtype)[1]
        truth = [Fraction(start) + i * Fraction(step) for i in range(e.lo.size)]
        assert_numbers(e, array_of(truth, dtype, e.lo.shape))
        e = known("linspace", start=start, stop=stop, num=n, dtype=dtype)[1]
        truth = [Fraction(start) + i * (Fraction(stop) - Fraction(start)) / max(n - 1, 1) for i in range(n)]
        assert_numbers(e, array_of(truth, dtype, (n,)))
        assert n < 2 or (e.lo[0] == e.hi[0] == start and e.lo[-1] == e.hi[-1] == stop)


# ----------------------------------------------------------------------------------------------------------- movement
def test_padding_and_triangles_put_in_zeros_beside_uncertain_elements() -> None:
    x = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)
    sure, e = between(x - 1, x + 1), None
    for op, attributes, places in (
        ("pad", {"width": ((1, 0), (0, 0))}, (slice(0, 1), slice(None))),
        ("tril", {"k": 0}, (0, 1)),
        ("triu", {"k": 1}, (1, slice(None))),
    ):
        e = applied(op, [sure], [x], **attributes)[1]
        assert e is not None
        assert np.all(e.lo[places] == 0)
        assert np.all(e.hi[places] == 0)


def test_what_a_nan_may_be_counts_as_zero_in_nansum_and_leaves_nanmean_open() -> None:
    x = np.array([5.0, 1.0], np.float32)
    e = between(x, x, np.array([True, False]), np.array([False, False]))
    total = applied("nansum", [e], [x], **ALL)[1]
    assert total is not None
    for value, ok in ((6.0, True), (1.0, True), (7.0, False), (0.5, False)):
        assert total.contains(np.asarray(value, np.float32)).all() == ok
    assert applied("nanmean", [e], [x], **ALL)[1] is None


# -------------------------------------------------------------------------------------------------------------- order
def test_equal_elements_keep_their_order_also_where_they_descend() -> None:
    x = np.array([2, 1, 2, 1, 3, -0.0, 0.0], np.float32)
    assert known("argsort", x, axis=0, descending=False)[0].tolist() == [5, 6, 1, 3, 0, 2, 4]
    assert known("argsort", x, axis=0, descending=True)[0].tolist() == [4, 0, 2, 1, 3, 5, 6]


def test_where_nan_goes_is_a_hazard_and_numpy_puts_it_last() -> None:
    from offload_fuzz.ops import OPS

    x = np.array([1.0, np.nan, 0.0], np.float32)
    for op, attributes in (("argsort", {"axis": 0, "descending": False}), ("argmin", {"axis": 0, "keepdims": False})):
        defined = OPS[op].defined
        assert defined is not None
        assert not defined(x, **attributes)
        assert defined(x[[0, 2]], **attributes)
    assert OPS["argsort"].numpy(x, axis=0, descending=False).tolist() == [2, 0, 1]
    assert OPS["argsort"].numpy(x, axis=0, descending=True).tolist() == [1, 0, 2]
    assert OPS["argmin"].numpy(x, axis=0) == 1
    ordered = OPS["searchsorted"].defined
    assert ordered is not None
    assert not ordered(np.array([2.0, 1.0]), np.array([1.0]), side="left")
    assert ordered(np.array([1.0, 1.0]), np.array([1.0]), side="left")


def test_a_contract_that_leaves_payloads_open_allows_any_nan() -> None:
    bits = np.array([0x7FC1, 0x3F80], np.uint16).view(DTYPES["bfloat16"].np)
    other = np.array([0xFFFF, 0x3F80], np.uint16).view(bits.dtype)
    index = np.array([0, 1])
    loose = evolve(IEEE, nan_payload={"take_along_axis": frozenset({"bfloat16"})})
    assert not known("take_along_axis", bits, index, axis=0)[1].contains(other).all()
    assert known("take_along_axis", bits, index, contract=loose, axis=0)[1].contains(other).all()
    assert union([IEEE, loose]).nan_payload == loose.nan_payload


def test_a_signalling_nan_leaves_nanmax_and_nanmin_open() -> None:
    from offload_fuzz.ops import OPS

    signalling, quiet = (np.array([bits, 0x3F800000], np.uint32).view(np.float32) for bits in (0x7FA977B5, 0x7FC00001))
    for op in ("nanmax", "nanmin"):
        defined = OPS[op].defined
        assert defined is not None
        assert not defined(signalling, **ALL)
        assert defined(quiet, **ALL)
        assert known(op, quiet, **ALL)[0] == 1
