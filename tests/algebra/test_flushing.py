"""Contracts that flush subnormals, and ones that divide by the reciprocal: what such a device returns is allowed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from offload_fuzz.contract import Contract, union
from offload_fuzz.contract_files import parse_contract
from offload_fuzz.enclosure import Enclosure, exact
from offload_fuzz.ops import BUILT_IN
from offload_fuzz.ops.base import OPS, Application
from offload_fuzz.types import DTYPES, Array, ArrayType, type_of

from ..devices import cases
from .lawful import evaluate
from .test_enclosures import assert_holds, flush

FLOATS = ("float16", "bfloat16", "float32", "float64")
EXACT = frozenset({"divide", "sqrt"})
CALCULATING = [op for op in BUILT_IN if not OPS[op].moves and OPS[op].dtypes & set(FLOATS)]


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with np.errstate(all="ignore"):
        yield


def f32(values: list[float]) -> Array:
    return np.array(values, np.float32)


def f16(values: list[float]) -> Array:
    return np.array(values, np.float16)


def enclosure(op: str, operands: list[Array], contract: Contract, **attributes: Any) -> Enclosure | None:
    row = OPS[op]
    type = row.result_type([type_of(x) for x in operands], attributes)
    return row.enclose(Application(row, [exact(x) for x in operands], operands, attributes, type, contract))[1]


@pytest.mark.parametrize("op", CALCULATING)
def test_a_star_lets_every_op_that_calculates_flush(op: str) -> None:
    contract = Contract("flushing", EXACT, flushed={"*": frozenset(DTYPES)})
    for dtype in FLOATS:
        if dtype not in OPS[op].dtypes:
            continue
        tiny = np.asarray(2.0 ** DTYPES[dtype].emin, DTYPES[dtype].np)
        for i, case in enumerate(cases(op, dtype, 60, seed=7)):
            if len({x.dtype for x in case.operands}) > 1 or not case.is_defined:
                continue
            rng = np.random.default_rng(i)
            operands = [np.asarray(x * tiny) if i % 3 and x.dtype == tiny.dtype else x for x in case.operands]
            e = enclosure(op, operands, contract, **case.attributes)
            for _ in range(3 if e is not None else 0):
                inputs = [flush(x, rng) for x in operands]
                result = evaluate(op, rng, case.type, inputs, case.attributes)
                assert e is not None
                assert_holds(e, flush(result, rng), (case, operands, inputs))


def test_an_op_that_is_named_is_not_flushed_by_the_star() -> None:
    contract = Contract("flushing", flushed={"*": frozenset({"float32"}), "abs": frozenset()})
    small = np.array([-1e-40], np.float32)
    kept, flushed = enclosure("abs", [small], contract), enclosure("square", [f32([1e-20])], contract)
    assert kept is not None
    assert kept.is_singleton
    assert flushed is not None
    assert flushed.contains(f32([0])).all()
    half = Contract("half", flushed={"square": frozenset({"float16"})})
    both = union([contract, half])
    assert both.flushed_by("square") == {"float32", "float16"}
    assert both.flushed_by("abs") == frozenset()
    assert both.flushed_by("add") == {"float32"}


def test_of_numbers_that_compare_as_zeros_any_may_be_chosen() -> None:
    contract = Contract("flushing", flushed={"*": frozenset({"float32"})})
    e = enclosure("maximum", [f32([1e-40, 1e-40]), f32([-2e-40, 1])], contract)
    assert e is not None
    for chosen in (1e-40, -2e-40, 0.0, -0.0):
        assert e.contains(f32([chosen, 1])).all()
    assert not e.contains(f32([2e-38, 1])).any(where=[True, False])
    assert not e.contains(f32([0, 0.5])).any(where=[False, True])


def test_an_operand_that_may_be_subnormal_of_either_sign_may_be_chosen_as_it_is() -> None:
    contract = Contract("flushing", flushed={"*": frozenset({"float32"})})
    row, x, one = OPS["minimum"], f32([1e-40]), f32([1])
    around = Enclosure(f32([-1e-40]), f32([1e-40]))
    e = row.enclose(Application(row, [around, exact(one)], [x, one], {}, type_of(x), contract))[1]
    assert e is not None
    assert e.contains(f32([1e-38])).all()
    assert not e.contains(f32([2e-38])).any()


def test_what_rounds_up_to_the_smallest_normal_number_may_be_flushed() -> None:
    contract = Contract("flushing", flushed={"*": frozenset({"float32"})})
    e = enclosure("multiply", [f32([0.99999994]), f32([1.1754944e-38])], contract)
    assert e is not None
    assert e.contains(f32([0])).all()
    assert e.contains(f32([1.1754944e-38])).all()


def test_a_quotient_by_a_large_divisor_may_come_from_a_reciprocal_that_underflows() -> None:
    contract = parse_contract(
        'name = "r"\n[reciprocal_division]\ndtypes = ["float32", "float16"]\n[ulps.divide]\ndefault = 1.5\n'
        '[flushed]\n"*" = ["float32"]',
        "r.toml",
    )
    x, y = f32([7, -7, np.inf, 7, 1e30]), f32([1.7e38, 1.7e38, 1.7e38, 3, 1.7e38])
    e = enclosure("divide", [x, y], contract)
    assert e is not None
    assert e.contains(f32([0, -0.0, np.nan, 7 / 3, 0])).all()
    assert e.contains(x / y).all()
    assert list(e.contains(f32([1, 0, 0, 0, 1]))) == [False] * 5
    strict = Contract("strict", ulps={"divide": {"default": 1.5}})
    e = enclosure("divide", [x, y], strict)
    assert e is not None
    assert not e.contains(f32([0, -0.0, np.nan, 2.5, 0])).any()
    half = enclosure("divide", [f16([7]), f16([32752])], contract)
    assert half is not None
    assert half.contains(np.asarray(7, np.float16) * (np.asarray(1, np.float16) / f16([32752]))).all()
    assert not half.contains(f16([0])).any()
    for op in ("divide", "floor_divide"):
        e = enclosure(op, [f16([0.00572, 0]), f16([-4.4e-06, -4.4e-06])], contract)
        assert e is not None
        assert e.contains(f16([-np.inf, np.nan])).all(), "1 / y overflows"


def test_a_reciprocal_that_is_normal_is_within_the_ulps() -> None:
    rng = np.random.default_rng(5)
    for dtype in ("float16", "float32", "float64"):
        contract = Contract(
            "r", ulps={"divide": {"default": 1.5}}, reciprocal_division=frozenset(DTYPES), accumulator={}
        )
        x, y = (rng.standard_normal(4000).astype(dtype) for _ in range(2))
        type = ArrayType(dtype, (4000,))
        row = OPS["divide"]
        e = row.enclose(Application(row, [exact(x), exact(y)], [x, y], {}, type, contract))[1]
        assert e is not None
        assert_holds(e, x * (np.ones((), dtype) / y), dtype)


def c64(values: list[complex]) -> Array:
    return np.array(values, np.complex64)


def test_complex_numbers_are_flushed_by_component() -> None:
    contract = Contract("flushing", flushed={"*": frozenset({"float32"}), "negative": frozenset()})
    e = enclosure("add", [c64([1 + 1e-40j]), c64([1])], contract)
    assert e is not None
    assert e.contains(c64([2])).all()
    assert e.contains(c64([2 + 1e-40j])).all()
    assert not e.contains(c64([2 + 2e-40j])).any()
    kept = enclosure("negative", [c64([1 + 1e-40j])], contract)
    assert kept is not None
    assert not kept.contains(c64([-1])).any()
    product = enclosure("multiply", [c64([1e-30]), c64([1e-10 + 1e10j])], contract)
    assert product is not None
    assert product.contains(c64([0 + 1e-20j])).all()
    assert not product.contains(c64([0 + 2e-20j])).any()


def test_complex_equality_is_by_component() -> None:
    contract = Contract("flushing", flushed={"*": frozenset({"float32"})})
    operands = [c64([1 + 1e-40j, 1 + 1e-40j, 2, complex(1e-40, np.nan)]), c64([1, 1 + 1j, 2, 0])]
    for op, wanted in (("equal", [(0, 1), (0,), (1,), (0,)]), ("not_equal", [(0, 1), (1,), (0,), (1,)])):
        e = enclosure(op, operands, contract)
        assert e is not None
        for answer in (0, 1):
            assert list(e.contains(np.full(4, bool(answer)))) == [answer in w for w in wanted], op


def test_abs_of_complex_numbers_may_flush_where_that_of_real_ones_does_not() -> None:
    rows = {"*": frozenset({"float32"}), "abs": frozenset[str](), "abs:complex": frozenset({"float32"})}
    small = [c64([1e-40 + 1e-40j, 1.2e-38 + 1e-38j, 3 + 4j])]
    e = enclosure("abs", small, Contract("flushing", flushed=rows))
    assert e is not None
    assert e.contains(f32([0, 1.2e-38, 5])).all()
    assert e.contains(np.abs(small[0])).all()
    assert not e.contains(f32([1e-38, 0.9e-38, 4.9])).any()
    del rows["abs:complex"]
    kept = enclosure("abs", small, Contract("kept", flushed=rows))
    assert kept is not None
    assert not kept.contains(f32([0, 1.2e-38, 5])).all()
