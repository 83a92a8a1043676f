"""The enclosure of every op holds every lawful result, and little else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from offload_fuzz.contract import Contract, union
from offload_fuzz.contract_files import contract_named
from offload_fuzz.enclosure import Enclosure, computed, either_zero, exact, is_float, ordinal
from offload_fuzz.ops import BUILT_IN
from offload_fuzz.ops.base import OPS, Application, Axes
from offload_fuzz.types import DTYPES, Array, ArrayType, is_complex, is_floating, type_of

from ..devices import Case, cases
from .lawful import around, evaluate, member

FLOATS = ("float16", "bfloat16", "float32", "float64")
IEEE = contract_named("ieee")
ROUGH = Contract("rough", either_zero=frozenset({"add", "multiply", "floor", "round"}))
FURTHER_SUMS = ["nansum", "nanmean", "trace", "cumulative_prod", "vecdot", "tensordot", "cross", "vector_norm"]
FURTHER_SUMS += ["var", "std"]
NARROW = Contract("narrow", accumulator={"float32": "bfloat16", "float64": "float16"})
INDEXED = {"take", "embedding", "index_add"}
ALLOWED_UNKNOWN = {"floor_divide", "remainder", "argmax", "sort", "prod", "bitwise_and", "bitwise_xor"} | INDEXED
ALLOWED_UNKNOWN |= {"atan2", "xlogy", "fmod", "nextafter", "ldexp", "bitcast"}
ALLOWED_UNKNOWN |= {"nanmax", "nanmin", "nanmean", "cumulative_prod", "var", "std"}  # an uncertain NaN or mean


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with np.errstate(all="ignore"):
        yield


def applied(
    op: str, operands: list[Enclosure], values: list[Array], contract: Contract = IEEE, **attributes: Any
) -> tuple[Array, Enclosure | None]:
    """The reference's value of an op and its enclosure."""
    row = OPS[op]
    result = row.result_type([type_of(x) for x in values], attributes)
    value, e = row.enclose(Application(row, operands, values, attributes, result, contract))
    assert type(value) is np.ndarray
    assert type_of(value) == result
    if e is not None:
        for part in (e.lo, e.hi, e.lo2, e.hi2):
            assert part is None or (type(part) is np.ndarray and type_of(part) == result)
        bits = "uint8" if is_complex(result.dtype) else "bool"
        for lo, hi in ((e.lo, e.hi), (e.lo2, e.hi2)):
            if lo is not None and hi is not None and result.dtype in FLOATS:  # float8_e4m3fn overflows to NaN
                assert (np.isnan(lo) == np.isnan(hi)).all(), f"{op}: one end is NaN"
        for flag in (e.nan, e.ninf, e.pinf):
            assert flag is None or (type(flag) is np.ndarray and type_of(flag) == ArrayType(bits, result.shape))
    return value, e


def known(op: str, *values: Array, contract: Contract = IEEE, **attributes: Any) -> tuple[Array, Enclosure]:
    """As `applied` on operands known to the bit, where no op is unknown."""
    value, e = applied(op, [exact(x) for x in values], list(values), contract, **attributes)
    assert e is not None
    return value, e


def assert_holds(e: Enclosure, result: Array, about: object) -> None:
    ok = e.contains(result)
    if not ok.all():
        at = np.flatnonzero(~ok.ravel())[0]
        ends = [None if p is None else p.ravel()[at] for p in (e.lo, e.hi, e.lo2, e.hi2, e.nan, e.ninf, e.pinf)]
        raise AssertionError(f"{about}: element {at} is {result.ravel()[at]!r}, allowed are {ends}")


def cases_of(op: str, n: int) -> Iterator[tuple[Case, np.random.Generator]]:
    for dtype in sorted(OPS[op].dtypes):
        for i, case in enumerate(cases(op, dtype, n, seed=5)):
            if case.is_defined or op in ("sort", "argmax", "argmin", "argsort"):
                yield case, np.random.default_rng([i, len(dtype)])


# ------------------------------------------------------------------------------------------------------- every op
@pytest.mark.parametrize("op", BUILT_IN)
def test_lawful_results_lie_inside(op: str) -> None:
    for case, rng in cases_of(op, 60):
        value, e = known(op, *case.operands, **case.attributes)
        assert_holds(e, value, case)
        for _ in range(4):
            assert_holds(e, evaluate(op, rng, case.type, case.operands, case.attributes), case)


@pytest.mark.parametrize("op", BUILT_IN)
def test_lawful_results_of_uncertain_operands_lie_inside(op: str) -> None:
    judged = total = 0
    for case, rng in cases_of(op, 60):
        is_index = [o.relation.startswith("indices") or o.dtype == "int64" for o in OPS[op].operands]
        operands = [exact(x) if fixed else around(x, rng) for x, fixed in zip(case.operands, is_index, strict=True)]
        for x, e in zip(case.operands, operands, strict=True):
            assert_holds(e, x, "around")
        value, result = applied(op, operands, list(case.operands), **case.attributes)
        total += 1
        if result is None:
            continue
        judged += 1
        assert_holds(result, value, (case, operands))
        for _ in range(6):
            members = [member(e, rng) for e in operands]
            for x, e in zip(members, operands, strict=True):
                assert_holds(e, x, "member")
            defined = OPS[op].defined
            if defined is None or defined(*members, **case.attributes):
                assert_holds(result, evaluate(op, rng, case.type, members, case.attributes), (case, operands, members))
    assert judged == total or any(not is_floating(d) for d in OPS[op].dtypes) or op in ALLOWED_UNKNOWN


@pytest.mark.parametrize("op", [n for n in BUILT_IN if {"real floating", "real numeric", "numeric"} & {*OPS[n].kinds}])
def test_operands_known_but_for_zero_signs_and_nan_are_certain(op: str) -> None:
    """What a sum of zeros gives is certain, and an op on it as narrow as on one of its members."""
    for case, rng in cases_of(op, 24):
        operands = [either_zero(computed(x)) if is_float(x.dtype) else exact(x) for x in case.operands]
        assert all(e.is_certain for e in operands)
        value, e = applied(op, operands, list(case.operands), **case.attributes)
        if e is None:
            assert op in ALLOWED_UNKNOWN or is_complex(case.type.dtype), case
            continue
        assert_holds(e, value, case)
        if op in ("sum", "mean", "cumulative_sum", "matmul"):
            strict = known(op, *case.operands, **case.attributes)[1]
            assert (ordinal(strict.lo) == ordinal(e.lo)).all()
            assert (ordinal(strict.hi) == ordinal(e.hi)).all()
        for _ in range(3):
            members = [member(o, rng) for o in operands]
            assert_holds(e, evaluate(op, rng, case.type, members, case.attributes), (case, members))


@pytest.mark.parametrize("contract", [ROUGH, NARROW, union([IEEE, ROUGH])], ids=lambda c: c.name)
@pytest.mark.parametrize(
    "op", ["add", "multiply", "divide", "sqrt", "sum", "mean", "matmul", "prod", "floor_divide", "remainder"]
)
def test_a_weaker_contract_allows_more(op: str, contract: Contract) -> None:
    for case, rng in cases_of(op, 30):
        _, strict = known(op, *case.operands, **case.attributes)
        value, weak = known(op, *case.operands, contract=contract, **case.attributes)
        assert_holds(weak, value, case)
        for _ in range(3):
            assert_holds(weak, member(strict, rng), case) if strict.lo.size else None
        operands = [around(x, rng) for x in case.operands]
        value, e = applied(op, operands, list(case.operands), contract, **case.attributes)
        if e is not None:
            assert_holds(e, value, case)
            members = [member(o, rng) for o in operands]
            assert_holds(e, evaluate(op, rng, case.type, members, case.attributes), (case, members))


@pytest.mark.parametrize("op", ["sum", "prod", "mean", "cumulative_sum", "matmul", *FURTHER_SUMS])
def test_sums_in_a_narrower_accumulator(op: str) -> None:
    for dtype, inner in NARROW.accumulator.items():
        narrow = DTYPES[inner].np
        for i, case in enumerate(cases(op, dtype, 120, seed=6)):
            is_maximum = case.attributes.get("ord") == np.inf  # which accumulates nothing
            if is_maximum or any(x.dtype != DTYPES[dtype].np for x in case.operands):
                continue
            _, e = known(op, *case.operands, contract=NARROW, **case.attributes)
            operands = [x.astype(narrow) for x in case.operands]
            result = evaluate(
                op, np.random.default_rng(i), ArrayType(inner, case.type.shape), operands, case.attributes
            )
            assert_holds(e, result.astype(case.type.np), case)


@pytest.mark.parametrize("contract", [IEEE, NARROW], ids=lambda c: c.name)
@pytest.mark.parametrize("op", [name for name in BUILT_IN if isinstance(OPS[name].attributes.get("axis"), Axes)])
def test_of_many_elements_in_few_bits_an_infinity_and_a_nan_are_known(op: str, contract: Contract) -> None:
    """The relative bound of 1,420 elements exceeds 1 there, and is no factor for an infinity."""
    rng = np.random.default_rng(7)
    for dtype in sorted({"float16", "bfloat16", "float32"} & OPS[op].dtypes):
        for special in (np.inf, -np.inf, np.nan, 0.0):
            x = rng.integers(-3, 4, (710, 2)).astype(DTYPES[dtype].np)
            x[0, 0] = special
            for axis in ((0, 1), (0,)):
                every = {"axis": axis, "keepdims": False, "correction": 1, "ord": 2}
                attributes = {name: every[name] for name in OPS[op].attributes}
                value, e = known(op, x, contract=contract, **attributes)
                assert_holds(e, value, (op, dtype, special, axis))
                result = evaluate(op, rng, type_of(value), [x], attributes)
                assert_holds(e, result, (op, dtype, special, axis))


def flush(x: Array, rng: np.random.Generator) -> Array:
    """Some subnormals taken as the zero of their sign."""
    if not is_float(x.dtype):
        return x
    tiny = (np.abs(x) < np.asarray(2.0 ** DTYPES[type_of(x).dtype].emin, x.dtype)) & (rng.random(x.shape) < 0.7)
    return np.where(tiny, np.where(np.signbit(x), np.asarray(-0.0, x.dtype), np.asarray(0.0, x.dtype)), x)


FLUSHED = ["add", "subtract", "multiply", "divide", "square", "sqrt", "exp", "tanh", "sum", "mean", "prod", "matmul"]
FLUSHED += ["reciprocal", "rsqrt", "hypot", "atan", "cos", "erf", "erfc", "expit", "logaddexp", "ceil", "trunc", "sign"]
FLUSHED += ["heaviside", "fmin", "fmax", "log1p", "sinh", *FURTHER_SUMS, "outer", "diff", "kron"]


@pytest.mark.parametrize("op", FLUSHED)
def test_subnormals_may_be_flushed_where_the_contract_says_so(op: str) -> None:
    contract = Contract("flushing", frozenset({"divide", "sqrt"}), flushed={op: frozenset(DTYPES)})
    for dtype in ("float16", "bfloat16", "float32", "float64"):
        tiny = 2.0 ** DTYPES[dtype].emin
        for i, case in enumerate(cases(op, dtype, 60, seed=7)):
            if len({x.dtype for x in case.operands}) > 1:
                continue
            rng = np.random.default_rng(i)
            scale = np.asarray(tiny, DTYPES[dtype].np) if i % 3 else np.ones((), DTYPES[dtype].np)
            operands = [np.asarray(x * scale) for x in case.operands]
            value, e = known(op, *operands, contract=contract, **case.attributes)
            assert_holds(e, value, case)
            for _ in range(3):
                inputs = [flush(x, rng) for x in operands]
                result = flush(evaluate(op, rng, case.type, inputs, case.attributes), rng)
                assert_holds(e, result, (case, operands, inputs))
