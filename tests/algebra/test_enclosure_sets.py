"""The set arithmetic by example: what an enclosure holds, and what an op makes of zeros, infinities, NaN, intervals."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from offload_fuzz.contract import Contract
from offload_fuzz.enclosure import (
    Enclosure,
    between,
    computed,
    either_zero,
    exact,
    from_ordinal,
    hull,
    ordinal,
    step,
    whole,
)
from offload_fuzz.types import DTYPES, Array, ArrayType

from .lawful import member
from .test_enclosures import IEEE, applied, known


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with np.errstate(all="ignore"):
        yield


def f32(*values: float) -> Array:
    return np.array(values, np.float32)


ZERO = either_zero(exact(f32(0.0)))
NAN = computed(f32(math.nan))
ONE = exact(f32(1.0))
YES = np.array([True])
EVERYTHING: dict[str, Any] = {"axis": None, "keepdims": False}


def allowed(op: str, *operands: Enclosure, contract: Contract = IEEE, **attributes: Any) -> set[str]:
    """Which of a few telling numbers the only element of a result may be."""
    rng = np.random.default_rng(0)
    _, e = applied(op, list(operands), [member(o, rng) for o in operands], contract, **attributes)
    assert e is not None
    telling = [-math.inf, -2.0, -1.0, -0.0, 0.0, 1.0, 2.0, math.inf, math.nan]
    if e.lo.dtype == np.bool_:
        telling = [0.0, 1.0]
    return {repr(v) for v in telling if e.contains(np.full(e.lo.shape, v).astype(e.lo.dtype)).all()}


# ------------------------------------------------------------------------------------------------ the set itself
def test_of_a_certain_element_every_number_is_the_same() -> None:
    payload = np.array([0x7FC00001], np.int32).view(np.float32)
    for e in (
        ZERO,
        NAN,
        ONE,
        exact(payload),
        exact(np.array([3])),
        between(f32(1), f32(1)),
        Enclosure(f32(math.inf), f32(-math.inf), pinf=YES),
        between(f32(0), f32(0), YES, YES),
    ):
        assert e.is_certain, e
    for e in (
        between(f32(1), f32(1), YES),
        between(f32(1), step(f32(1), 1)),
        Enclosure(f32(1), f32(1), pinf=YES),
        Enclosure(f32(1), f32(1), f32(2), f32(2)),
        between(np.array([False]), np.array([True])),
    ):
        assert not e.is_certain, e
    assert not ZERO.is_singleton
    assert between(ONE.lo, ONE.lo).is_singleton


def test_a_vacuous_element_may_be_anything() -> None:
    big = f32(DTYPES["float32"].max)
    assert all(whole(ArrayType(d, (2,))).is_vacuous for d in DTYPES)
    assert between(-big, big).is_vacuous
    assert between(f32(1, -math.inf), f32(1, math.inf)).is_vacuous
    assert not any(e.is_vacuous for e in (ZERO, NAN, ONE, between(f32(-1), f32(1)), between(f32(0), f32(math.inf))))
    assert not whole(ArrayType("float32", (0,))).is_vacuous


def test_order_and_steps() -> None:
    line = f32(-math.inf, -1, -1e-45, -0.0, 0.0, 1e-45, 1, math.inf)
    assert (np.diff(ordinal(line)) > 0).all()
    assert from_ordinal(ordinal(line), line.dtype).tobytes() == line.tobytes()
    assert step(f32(-0.0), 1).tobytes() == f32(0.0).tobytes()
    assert step(line, 1)[-1] == math.inf
    assert step(line, -1)[0] == -math.inf


def test_hull_and_bounds() -> None:
    both = hull(exact(f32(-0.0, 1, math.nan)), exact(f32(0.0, math.nan, math.nan)))
    assert both.contains(f32(0.0, 1, math.nan)).all()
    assert both.contains(f32(-0.0, math.nan, math.nan)).all()
    assert not both.contains(f32(1, 2, 0)).any()
    b = Enclosure(f32(1), f32(2), f32(-3), f32(-2), ninf=YES).bounds()
    assert (float(b.lo[0]), float(b.hi[0])) == (-math.inf, 2.0)
    b = Enclosure(f32(math.inf), f32(-math.inf), f32(-3), f32(-2)).bounds()
    assert (float(b.lo[0]), float(b.hi[0])) == (-3.0, -2.0)
    b = Enclosure(f32(-3), f32(-2), f32(math.inf), f32(-math.inf)).bounds()
    assert (float(b.lo[0]), float(b.hi[0])) == (-3.0, -2.0)


def test_a_payload_that_is_kept_is_one_bit_pattern() -> None:
    assert not exact(f32(math.nan)).contains(-f32(math.nan)).any()
    assert NAN.contains(-f32(math.nan)).all()


def test_either_zero_reaches_both_ends_of_both_intervals() -> None:
    e = either_zero(Enclosure(f32(0.0), f32(1.0), f32(-1.0), f32(-0.0)))
    assert e.lo.tobytes() == f32(-0.0).tobytes()
    assert e.hi2 is not None
    assert e.hi2.tobytes() == f32(0.0).tobytes()
    assert either_zero(ONE) is ONE
    assert NAN.lo is not None
    assert not either_zero(Enclosure(f32(math.inf), f32(-math.inf), nan=YES)).contains(f32(0.0)).any()


# -------------------------------------------------------------------------------------------------- element-wise
def test_zero_and_infinity_meet() -> None:
    unit, up = between(f32(0.0), f32(1.0)), between(f32(1.0), f32(math.inf))
    assert allowed("divide", ONE, ZERO) == {"-inf", "inf"}
    assert allowed("divide", ZERO, ZERO) == {"nan"}
    assert allowed("divide", ONE, between(f32(-1.0), f32(1.0))) == {"-inf", "-2.0", "-1.0", "1.0", "2.0", "inf"}
    assert allowed("multiply", ZERO, exact(f32(math.inf))) == {"nan"}
    assert allowed("multiply", unit, up) == {"0.0", "1.0", "2.0", "inf", "nan"}
    assert allowed("add", up, between(f32(-math.inf), f32(-2.0))) >= {"-inf", "-1.0", "inf", "nan"}
    assert allowed("add", exact(f32(math.inf)), between(f32(-math.inf), f32(1.0))) == {"inf", "nan"}
    assert allowed("subtract", ZERO, ZERO) == {"-0.0", "0.0"}
    assert allowed("negative", between(f32(-0.0), f32(1.0), YES)) == {"-1.0", "-0.0", "0.0", "nan"}
    assert allowed("sqrt", between(f32(-1.0), f32(4.0))) == {"-0.0", "0.0", "1.0", "2.0", "nan"}
    assert allowed("log", between(f32(-2.0), f32(-1.0))) == {"nan"}
    assert allowed("pow", NAN, ZERO) >= {"1.0"}
    assert allowed("sin", exact(f32(math.inf))) == {"nan"}
    assert allowed("sin", between(f32(0.0), f32(3.0))) == {"0.0", "1.0"}


def test_extrema_take_either_of_two_zeros_and_no_other() -> None:
    minus, plus = exact(f32(-0.0)), exact(f32(0.0))
    assert allowed("maximum", minus, plus) == {"-0.0", "0.0"}
    assert allowed("maximum", minus, minus) == {"-0.0"}
    assert allowed("minimum", plus, ONE) == {"0.0"}
    assert allowed("minimum", between(f32(-1.0), f32(2.0)), minus) == {"-1.0", "-0.0", "0.0"}
    assert allowed("minimum", NAN, ONE) == {"nan"}
    assert allowed("max", exact(f32(-1.0, -0.0, 0.0)), **EVERYTHING) == {"-0.0", "0.0"}
    assert allowed("max", exact(f32(-1.0, -0.0)), **EVERYTHING) == {"-0.0"}
    assert allowed("max", exact(f32(-1.0, math.nan)), **EVERYTHING) == {"nan"}


@pytest.mark.parametrize(("x", "y", "floors", "rests"), [
    (1.0, 0.0, {"inf", "nan"}, {"nan"}),
    (-1.0, 0.0, {"-inf", "nan"}, {"nan"}),
    (0.0, 0.0, {"nan"}, {"nan"}),
    (math.inf, 2.0, {"inf", "nan"}, {"nan"}),
    (math.inf, math.inf, {"nan"}, {"nan"}),
    (2.0, math.inf, {"-0.0", "0.0"}, {"2.0"}),
    (-2.0, math.inf, {"-1.0", "-0.0", "0.0"}, {"inf"}),
    (math.nan, 1.0, {"nan"}, {"nan"}),
    (5.0, 2.5, {"2.0"}, {"-0.0", "0.0"}),
    (1.0, 3.0, {"-0.0", "0.0"}, {"1.0"}),
    (-1.0, 3.0, {"-1.0"}, {"2.0"}),
    (-1e-45, 2.0, {"-1.0", "-0.0", "0.0"}, {"-0.0", "0.0", "2.0"}),
])  # fmt: skip  # one case a row
def test_floor_pair(x: float, y: float, floors: set[str], rests: set[str]) -> None:
    assert allowed("floor_divide", exact(f32(x)), exact(f32(y))) == floors
    assert allowed("remainder", exact(f32(x)), exact(f32(y))) == rests


def test_one_by_a_tenth() -> None:
    _, floor = known("floor_divide", f32(1), f32(0.1))
    assert [bool(floor.contains(f32(n)).all()) for n in (8, 9, 10, 11)] == [False, True, True, False]
    _, rest = known("remainder", f32(1), f32(0.1))
    plain = float(np.remainder(f32(1), f32(0.1))[0])
    assert all(rest.contains(f32(r)).all() for r in (0.0, -0.0, -1.4901161e-08, plain))
    assert not any(rest.contains(f32(r)).any() for r in (0.05, -1e-3, 0.1))


def test_comparison_of_intervals() -> None:
    low, high, maybe = between(f32(0.0), f32(1.0)), between(f32(2.0), f32(3.0)), between(f32(1), f32(1), YES)
    both = {"0.0", "1.0"}
    assert allowed("less", low, high) == {"1.0"}
    assert allowed("less", high, low) == {"0.0"}
    assert allowed("less", low, low) == both
    assert allowed("less", NAN, low) == {"0.0"}
    assert allowed("less", between(f32(-1.0), f32(-0.0)), exact(f32(0.0))) == both
    assert allowed("equal", ZERO, exact(f32(-0.0))) == {"1.0"}
    assert allowed("equal", low, high) == {"0.0"}
    assert allowed("equal", low, ONE) == both
    assert allowed("equal", maybe, ONE) == both
    assert allowed("isnan", maybe) == both
    assert allowed("isnan", ZERO) == {"0.0"}
    assert allowed("astype", maybe, dtype="bool") == {"1.0"}
    assert allowed("astype", low, dtype="bool") == both
    assert allowed("astype", NAN, dtype="bool") == {"1.0"}
    assert allowed("astype", between(f32(1.25), f32(1.75)), dtype="int32") == {"1.0"}


# --------------------------------------------------------------------------------------------------- accumulation
def test_products() -> None:
    for terms, products in (
        (f32(2, -0.5, 1), {"-1.0"}),
        (f32(0, -0.5), {"-0.0"}),
        (f32(math.inf, 0), {"nan"}),
        (f32(math.inf, -2), {"-inf"}),
        (f32(1e38, 1e38, 0), {"0.0", "nan"}),
        (f32(1e-38, 1e-38, math.inf), {"inf", "nan"}),
        (f32(2.0**100, 2.0**100, 2.0**-100, 2.0**-100), {"0.0", "1.0", "2.0", "inf", "nan"}),
        (f32(2.0**100, 2.0**-100, 1), {"1.0"}),
        (f32(1e30, 1e30, -1e30), {"-inf"}),
        (f32(), {"1.0"}),
    ):
        assert allowed("prod", exact(terms), **EVERYTHING) == products, terms


def test_partial_sums_may_overflow() -> None:
    big = DTYPES["float32"].max
    assert allowed("sum", exact(f32(big, big, -big)), **EVERYTHING) >= {"inf"}
    assert not allowed("sum", exact(f32(big, big, -big / 2)), **EVERYTHING) & {"-inf", "nan"}
    assert allowed("sum", exact(f32(big, big, -big, -big)), **EVERYTHING) >= {"-inf", "0.0", "inf", "nan"}
    assert allowed("sum", exact(f32(big, math.inf)), **EVERYTHING) == {"inf"}
    assert allowed("sum", exact(f32(-big, -big, math.inf)), **EVERYTHING) == {"inf", "nan"}
    assert allowed("sum", exact(f32(-math.inf, math.inf)), **EVERYTHING) == {"nan"}
    assert allowed("sum", between(f32(1.0, 1.0), f32(1.0, math.inf)), **EVERYTHING) >= {"2.0", "inf"}
    assert "inf" in allowed("mean", exact(f32(big, big)), **EVERYTHING)
    assert allowed("sum", exact(f32(1.0, -1.0)), **EVERYTHING) == {"-0.0", "0.0"}
    _, prefix = known("cumulative_sum", f32(1.0, big, big), axis=0)
    assert prefix.contains(f32(1.0, big, math.inf)).all()
    assert not prefix.contains(f32(math.inf, 1.0, 1.0)).any()


def test_a_long_sum_in_few_bits_is_bounded() -> None:
    x = np.ones(1000, DTYPES["bfloat16"].np)
    _, e = known("sum", x, **EVERYTHING)
    assert not e.is_vacuous
    assert e.contains(np.asarray(256).astype(x.dtype)).all()  # where adding one more does nothing


def test_an_element_that_is_exact_stays_so_beside_one_that_is_not() -> None:
    _, e = known("sum", f32(1.0, 2.0, 0.1, 0.7).reshape(2, 2), axis=(1,), keepdims=False)
    assert e.lo[0] == e.hi[0] == 3.0
    assert e.lo[1] < e.hi[1]


# ------------------------------------------------------------------------------------------------------- movement
def test_movement_keeps_every_bit_beside_uncertain_elements() -> None:
    payload = np.array([0x7FC00123, 0x3F800000], np.int32).view(np.float32)
    other, value, first = between(f32(1, 2), f32(1.5, 2)), f32(1.25, 2), np.array([True, False])
    table: list[tuple[str, list[Enclosure], list[Array], dict[str, Any]]] = [
        ("concat", [exact(payload), other], [payload, value], {"axis": 0}),
        ("setitem", [other, exact(payload[:1])], [value, payload[:1]], {"index": ((0, 1, 1),)}),
        ("where", [exact(first), exact(payload), other], [first, payload, value], {}),
    ]
    for op, operands, values, attributes in table:
        _, e = applied(op, operands, values, **attributes)
        assert e is not None
        assert e.lo[:1].tobytes() == e.hi[:1].tobytes() == payload[:1].tobytes()
        assert e.nan is None
    order = np.array([1, 0])
    _, e = applied("take", [other, exact(order)], [value, order], axis=0)
    assert e is not None
    assert e.contains(f32(2, 1.25)).all()
    assert not e.contains(f32(2, 1.75)).all()


def test_sorting_may_swap_zeros_that_are_uncertain() -> None:
    _, e = applied("sort", [between(f32(0.0, -0.0), f32(1.0, -0.0))], [f32(1.0, -0.0)], axis=0)
    assert e is not None
    assert all(e.contains(x).all() for x in (f32(-0.0, 1.0), f32(0.0, -0.0), f32(-0.0, 0.0)))


def test_an_uncertain_condition_gives_the_hull() -> None:
    maybe = between(np.array([False]), np.array([True]))
    assert allowed("where", maybe, ONE, exact(f32(-1.0))) == {"-1.0", "-0.0", "0.0", "1.0"}
    assert allowed("where", maybe, ONE, ONE) == {"1.0"}


def test_what_has_no_rule_for_uncertain_operands_is_unknown() -> None:
    x, n = between(f32(1.0), f32(2.0)), between(np.array([1]), np.array([2]))
    table: list[tuple[str, list[Enclosure], dict[str, Any]]] = [
        ("remainder", [x, ONE], {}),
        ("floor_divide", [x, ONE], {}),
        ("argmax", [x], {"axis": 0, "keepdims": False}),
        ("prod", [x], EVERYTHING),
        ("add", [n, n], {}),
        ("negative", [n], {}),
        ("sum", [n], EVERYTHING),
        ("bitwise_and", [n, n], {}),
        ("take", [x, n], {"axis": 0}),
    ]
    for op, operands, attributes in table:
        assert applied(op, operands, [o.lo for o in operands], **attributes)[1] is None, op


def test_an_index_out_of_range_raises_nothing() -> None:
    for x in (f32(1, 2), f32()):
        value, _ = known("take", x, np.array([5, -7]), axis=0)
        assert value.shape == (2,)
