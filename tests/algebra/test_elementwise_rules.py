"""Element-wise rules: what a contract loosens, where results are defined, and exact ops at their edges."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from offload_fuzz.contract import Contract, union
from offload_fuzz.enclosure import between, computed, exact
from offload_fuzz.errors import InvalidProgram
from offload_fuzz.ops import OPS
from offload_fuzz.types import DTYPES, Array, ArrayType

from .test_enclosures import FLOATS, applied, assert_holds, known


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with np.errstate(all="ignore"):
        yield


def floats(*values: float, dtype: str = "float32") -> Array:
    return np.array(values, np.float64).astype(DTYPES[dtype].np)


# -------------------------------------------------------------------------------------------- what a contract loosens
def test_an_absolute_error_comes_on_top_of_the_ulps() -> None:
    loose = Contract("loose", absolute={"erf": {"bfloat16": 5e-7}})
    x = floats(0.0, 1e-20, 1.0, math.nan, dtype="bfloat16")
    e = known("erf", x, contract=loose)[1]
    for result in (
        floats(0.0, 0.0, 0.84, math.nan, dtype="bfloat16"),
        floats(-4e-7, -4e-7, 0.84, math.nan, dtype="bfloat16"),
    ):
        assert_holds(e, result, "near zero")
    assert not e.contains(floats(6e-7, 6e-7, 0.9, 1.0, dtype="bfloat16")).any()
    assert not known("erf", x)[1].contains(floats(-4e-7, 0.0, 0.9, 1.0, dtype="bfloat16"))[[0, 2, 3]].any()
    assert known("erf", x.astype(np.float32), contract=loose)[1].hi[0] == 0


def test_an_infinity_may_come_early_where_the_contract_says_so() -> None:
    early = Contract("early", infinite_beyond={"sinh": {"float32": 88.5}, "cosh": {"default": 88.5}})
    x = floats(-89.0, 88.0, 89.0)
    infinite = floats(-math.inf, math.inf, math.inf)
    assert known("sinh", x, contract=early)[1].contains(infinite).tolist() == [True, False, True]
    assert known("cosh", x, contract=early)[1].contains(np.abs(infinite)).tolist() == [True, False, True]
    assert not known("sinh", x, contract=early)[1].contains(-infinite).any()
    assert not known("sinh", x)[1].contains(infinite).any()
    assert_holds(known("sinh", x, contract=early)[1], np.sinh(x), "the number itself")


@pytest.mark.parametrize("op", ["sign", "heaviside"])
def test_a_number_may_answer_nan_where_the_contract_says_so(op: str) -> None:
    answering = Contract("answering", nan_answers={op: frozenset({0})})
    operands = (floats(math.nan, 2.0), floats(0.5, 0.5))[: len(OPS[op].operands)]
    for contract, lawful in ((answering, True), (Contract("plain"), False)):
        e = known(op, *operands, contract=contract)[1]
        assert e.contains(floats(0.0, 1.0)).tolist() == [lawful, True]
        assert_holds(e, floats(math.nan, 1.0), op)
    sets = [computed(x) for x in operands]
    assert_holds(_enclosure(op, sets, operands, answering), floats(0.0, 1.0), op)


def _enclosure(op: str, sets: list[Any], values: tuple[Array, ...], contract: Contract) -> Any:
    e = applied(op, sets, list(values), contract)[1]
    assert e is not None
    return e


def test_a_union_takes_the_weaker_of_each_loosening() -> None:
    one = Contract("one", absolute={"erf": {"default": 1e-3}}, nan_answers={"sign": frozenset({0})})
    other = Contract("other", infinite_beyond={"cosh": {"float32": 80}}, nan_answers={"sign": frozenset({1})})
    both = union([one, other])
    assert both.absolute_of("erf", "float32") == 1e-3
    assert both.absolute_of("exp", "float32") == 0
    assert both.infinite_beyond_of("cosh", "float32") == 80
    assert math.isinf(both.infinite_beyond_of("cosh", "float64"))
    assert both.nan_answers == {"sign": {0, 1}}


# -------------------------------------------------------------------------------------------------- where it is defined
def test_a_shift_is_defined_within_the_width_of_the_result() -> None:
    defined = OPS["bitwise_left_shift"].defined
    assert defined is not None
    x = np.array([1, -1], np.int8)
    assert defined(x, np.array([0, 7], np.int8))
    assert not defined(x, np.array([0, 8], np.int8))
    assert not defined(x, np.array([-1, 0], np.int8))
    assert defined(x, np.array([8, 15], np.int16))


def test_gcd_and_lcm_are_defined_where_all_fits() -> None:
    gcd, lcm = OPS["gcd"].defined, OPS["lcm"].defined
    assert gcd is not None
    assert lcm is not None
    low = np.array([-128], np.int8)
    assert not gcd(low, np.array([2], np.int8))
    assert gcd(np.array([0], np.int8), np.array([0], np.int8))
    assert lcm(np.array([0, 6], np.int8), np.array([0, -4], np.int8))
    assert not lcm(np.array([16], np.int8), np.array([9], np.int8))
    assert lcm(np.array([2**32], np.uint64), np.array([2**31], np.uint64))
    assert not lcm(np.array([2**63], np.uint64), np.array([3], np.uint64))


# --------------------------------------------------------------------------------------------------------- exact ops
def test_bits_of_a_magnitude_are_counted_as_uint8() -> None:
    value, e = known("bitwise_count", np.array([-1, 7, 0, -128], np.int8))
    assert value.tolist() == [1, 3, 0, 1]
    assert value.dtype == np.uint8
    assert e.is_singleton


def test_a_bitcast_keeps_every_bit_and_the_width() -> None:
    x = np.array([0x7F800001, 0x80000000], np.uint32)
    value, e = known("bitcast", x, dtype="float32")
    assert value.view(np.uint32).tolist() == x.tolist()
    assert e.is_singleton
    for dtype in ("bool", "float64", "int16"):
        with pytest.raises(
            InvalidProgram, match=f"^bitcast keeps the width and takes a numeric dtype, got .* to {dtype}$"
        ):
            OPS["bitcast"].result_type([ArrayType("float32", (2,))], {"dtype": dtype})


def test_bounds_of_clip_beyond_an_integer_dtype_are_its_ends() -> None:
    x = np.array([0, 3, 255], np.uint8)
    assert known("clip", x, min=-6, max=9)[0].tolist() == [0, 3, 9]
    assert known("clip", x, min=1.5, max=2.5)[0].tolist() == [2, 2, 2]
    with pytest.raises(InvalidProgram, match=r"^clip takes min <= max with a uint8 between, got min=2\.2, max=2\.5$"):
        OPS["clip"].result_type([ArrayType("uint8", (2,))], {"min": 2.2, "max": 2.5})


@pytest.mark.parametrize("dtype", FLOATS)
def test_a_zero_beside_a_bound_of_zero_may_be_either(dtype: str) -> None:
    e = known("clip", floats(-0.0, -1.0, 5.0, dtype=dtype), min=0, max=4)[1]
    for zero in (0.0, -0.0):
        assert_holds(e, floats(zero, 0.0, 4.0, dtype=dtype), zero)
    assert not e.contains(floats(0.0, -0.0, 4.0, dtype=dtype)).all()
    assert known("clip", floats(-0.0, dtype=dtype), min=-1, max=4)[1].is_singleton


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("op", ["fmin", "fmax"])
def test_nan_is_passed_over_unless_it_signals(op: str, dtype: str) -> None:
    d = DTYPES[dtype]
    quiet, one = floats(math.nan, 0.0, dtype=dtype), floats(1.0, -0.0, dtype=dtype)
    e = known(op, quiet, one)[1]
    assert_holds(e, floats(1.0, 0.0, dtype=dtype), op)
    assert_holds(e, floats(1.0, -0.0, dtype=dtype), op)
    assert not e.contains(floats(math.nan, 0.0, dtype=dtype))[0]
    loud = (quiet.view(f"u{d.np.itemsize}") & ~np.array(1 << (d.precision - 2), f"u{d.np.itemsize}")) | 1
    for answer in (math.nan, 1.0):
        assert known(op, loud.view(d.np), one)[1].contains(floats(answer, 0.0, dtype=dtype))[0]


@pytest.mark.parametrize("dtype", FLOATS)
def test_a_signalling_nan_may_or_may_not_give_a_number(dtype: str) -> None:
    """Conversions on the way make it quiet on some hardware, and pow and hypot give a number for a quiet one."""
    d = DTYPES[dtype]
    bits = floats(math.nan, dtype=dtype).view(f"u{d.np.itemsize}")
    loud = ((bits & ~np.array(1 << (d.precision - 2), bits.dtype)) | 1).view(d.np)
    for op, other, number in (("pow", 1.0, 1.0), ("hypot", math.inf, math.inf)):
        e = known(op, floats(other, dtype=dtype), loud)[1]
        for result in (number, math.nan):
            assert_holds(e, floats(result, dtype=dtype), op)


@pytest.mark.parametrize("dtype", FLOATS)
def test_nextafter_of_two_zeros_is_either_and_steps_by_one_number(dtype: str) -> None:
    eta = DTYPES[dtype].eta
    x, y = floats(0.0, -0.0, 1.0, dtype=dtype), floats(-0.0, 1.0, math.inf, dtype=dtype)
    value, e = known("nextafter", x, y)
    assert value[1:].astype(np.float64).tolist() == [eta, 1 + 2 * DTYPES[dtype].unit]
    for zero in (0.0, -0.0):
        assert_holds(e, np.concatenate([floats(zero, dtype=dtype), value[1:]]), zero)


def test_ldexp_rounds_once_and_overflows_to_infinity() -> None:
    x, power = floats(3.0, 1.0, -0.0, 2.0**-140), np.array([-150, 2**31 - 1, 2000, 160], np.int32)
    value, e = known("ldexp", x, power)
    assert value.tolist() == [2.0**-148, math.inf, 0.0, 2.0**20]
    assert np.signbit(value[2])
    assert e.is_singleton
    wide = [between(x, np.abs(x) + np.float32(1)), exact(power)]
    assert_holds(_enclosure("ldexp", wide, (x, power), Contract("plain")), value, "an interval")


def test_nan_to_num_gives_the_largest_numbers() -> None:
    for dtype in FLOATS:
        top = DTYPES[dtype].max
        value, e = known("nan_to_num", floats(math.nan, math.inf, -math.inf, -0.0, dtype=dtype))
        assert value.astype(np.float64).tolist() == [0, top, -top, 0]
        assert np.signbit(value).tolist() == [False, False, True, True]
        assert e.is_singleton


@pytest.mark.parametrize("op", ["fmin", "fmax", "clip"])
def test_sets_that_end_in_a_zero_keep_their_order(op: str) -> None:
    """Of -0 and 0 NumPy may take either, which must not turn an interval round."""
    attributes: dict[str, Any] = {"min": 0, "max": 2} if op == "clip" else {}
    for lo, hi in ((-1.0, -0.0), (-0.0, 0.0), (0.0, 1.0), (-1.0, 1.0), (-0.0, -0.0)):
        for other in (0.0, -0.0):
            x, zero = floats(lo, lo), floats(other, other)
            operands = [x, zero][: len(OPS[op].operands)]
            sets = [between(x, floats(hi, hi)), exact(zero)][: len(operands)]
            e = applied(op, sets, operands, **attributes)[1]
            assert e is not None
            for end in (lo, hi):
                result = np.asarray(OPS[op].numpy(floats(end, end), *operands[1:], **attributes))
                assert_holds(e, result, (op, lo, hi, other))
                if end == 0 and op != "clip":
                    assert_holds(e, zero, (op, lo, hi, other))
