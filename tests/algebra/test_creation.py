"""Nodes without operands: in text and files, generated, lowered, proved, run, shrunk; what their attributes may be."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from offload_fuzz.adapters.pool import open_places
from offload_fuzz.case import Case, dump_case, parse_case
from offload_fuzz.errors import InvalidFile, InvalidProgram
from offload_fuzz.execute import execute
from offload_fuzz.finding.made import simpler_attributes
from offload_fuzz.happens_before import prove
from offload_fuzz.lower import lower
from offload_fuzz.ops import OPS
from offload_fuzz.plan import PLAIN, Plan, check_plan, sites
from offload_fuzz.program import Builder, Program
from offload_fuzz.strategies import CaseBuilder, Step
from offload_fuzz.text import parse_program, print_program
from offload_fuzz.types import DTYPES, dtypes_of

NUMBERS: list[tuple[str, Any]] = [
    ("float32", -0.0), ("float32", 0.0), ("float32", math.inf), ("float64", -math.inf), ("float16", math.nan),
    ("float64", 0.1), ("float64", 5e-324), ("bfloat16", 3.3895313892515355e38), ("bool", True), ("bool", False),
    ("int64", -(2**63)), ("uint64", 2**64 - 1), ("float32", 7),
]  # fmt: skip  # a table


def program_of(dtype: str, value: Any) -> Program:
    b = Builder()
    return b.returns(b.apply("full", shape=(2, 1), fill_value=value, dtype=dtype))


@pytest.mark.parametrize(("dtype", "value"), NUMBERS)
def test_a_fill_value_is_exact_in_text_and_file(dtype: str, value: Any) -> None:
    program = program_of(dtype, value)
    case = Case(program, PLAIN, ())
    for back in (parse_program(print_program(program)), parse_case(dump_case(case), "x")[0].program):
        assert back == program
        found = back.nodes[0].attributes["fill_value"]
        assert (type(found), repr(found)) == (type(value), repr(value))


def test_a_program_without_inputs_is_read_back() -> None:
    b = Builder()
    v0 = b.apply("arange", start=0, stop=4, step=1, dtype="float32")
    v1 = b.apply("ones", shape=(4,), dtype="float32")
    program = b.returns(b.apply("add", v0, v1))
    text = print_program(program)
    assert text == (
        "program()\n"
        "  v0: float32[4] = arange start=0, stop=4, step=1, dtype='float32'\n"
        "  v1: float32[4] = ones shape=(4,), dtype='float32'\n"
        "  v2: float32[4] = add v0, v1\n"
        "  return v2"
    )
    assert parse_program(text) == program


def test_zeros_of_either_sign_and_bools_make_other_programs() -> None:
    assert program_of("float32", 0.0) != program_of("float32", -0.0)
    assert program_of("float32", 1) != program_of("float32", 1.0)
    assert program_of("float16", math.nan) == program_of("float16", float("nan"))


@pytest.mark.parametrize(("dtype", "value"), [
    ("float32", 0.1), ("int8", 128), ("uint8", -1), ("int32", 1.0), ("bool", 1), ("float16", 1e6), ("int8", True),
    ("bfloat16", 257), ("float32", True),
])  # fmt: skip  # a table
def test_a_fill_value_that_the_dtype_does_not_hold_is_refused(dtype: str, value: Any) -> None:
    with pytest.raises(
        InvalidProgram, match=f"fill_value is {value} but should be a number that {dtype} holds exactly"
    ):
        program_of(dtype, value)


@pytest.mark.parametrize("text", ['"NaN"', '"0x1p+0"', "null", "[1]", '"one"'])
def test_a_fill_value_that_is_no_number_is_refused(text: str) -> None:
    file = dump_case(Case(program_of("float32", 2.0), PLAIN, ())).replace('"fill_value": 2.0', f'"fill_value": {text}')
    with pytest.raises(InvalidFile, match="fill_value"):
        parse_case(file, "x")


@pytest.mark.parametrize(("attributes", "length"), [
    ((0, 5, 1), 5), ((5, 0, -2), 3), ((0, 0, 1), 0), ((5, 0, 1), 0), ((0.0, 1.0, 0.25), 4), ((1.0, -1.0, -0.75), 3),
])  # fmt: skip  # a table
def test_arange_has_the_length_that_the_standard_says(attributes: tuple[Any, ...], length: int) -> None:
    start, stop, step = attributes
    b = Builder()
    v = b.apply("arange", start=start, stop=stop, step=step, dtype="float32")
    assert b.types[v].shape == (length,)
    assert len(np.arange(start, stop, step)) == length


def test_arange_whose_length_rounding_would_decide_is_refused() -> None:
    step = float(np.float32(0.1))
    with pytest.raises(InvalidProgram, match="so that rounding decides its length"):
        Builder().apply("arange", start=0.0, stop=1.0, step=step, dtype="float32")
    with pytest.raises(InvalidProgram, match="step is 0 but should be another number"):
        Builder().apply("arange", start=0, stop=1, step=0, dtype="int32")


MADE = [op for op in OPS.values() if not op.operands]


@pytest.mark.parametrize("op", [op.name for op in MADE])
def test_nodes_without_operands_are_generated_in_every_dtype(op: str) -> None:
    for dtype in dtypes_of(*OPS[op].kinds):
        build = CaseBuilder(["simulated:0"], dtypes=[dtype])
        found = set()
        for i in range(40):
            data = bytes((i * 37 + 101 * k) % 256 for k in range(400))
            found.add(build.types[build.apply(Step(op, data))])
        assert {t.dtype for t in found} == {dtype}
        assert len(found) > 1
        case = build.returns()
        assert case.program.inputs == ()


def test_a_step_of_zero_bytes_makes_something_small() -> None:
    build = CaseBuilder(["simulated:0"])
    for op in MADE:
        v = build.apply(Step(op.name))
        assert build.types[v].size <= 6


def test_schedules_with_nodes_without_operands_are_proved_and_run_everywhere() -> None:
    b = Builder()
    full = b.apply("full", shape=(3,), fill_value=2.5, dtype="float32")
    count = b.apply("arange", start=0, stop=3, step=1, dtype="float32")
    program = b.returns(b.apply("add", full, count), full)
    assert [s for s in sites(program, "operand") if s[0] in (full, count)] == []
    places = open_places(("simulated:0", "simulated:1"))
    for roles in ((0, 0, 0), (1, 1, 1), (1, 2, 1), (1, 0, 2), (0, 1, 2)):
        choices: dict[Any, Any] = {("device", (v,)): r for v, r in enumerate(roles) if r}
        others: list[dict[Any, Any]] = [{}, {("sync", ()): "minimal"}, {("readback", ()): True}]
        for more in others:
            plan = Plan({**choices, **more}, 3)
            check_plan(program, plan, 2)
            schedule = lower(program, plan, places)
            assert prove(schedule) is None
            run = execute(schedule, program, places, seed=3)
            assert run.failure is None
            assert [x.tolist() for x in run.results[0]] == [[2.5, 3.5, 4.5], [2.5] * 3]


def test_a_device_is_asked_for_the_dtype_that_it_makes() -> None:
    features = open_places(("simulated.npu:0",))[1].features
    limited = type(features)(ops={"ones": frozenset({"float32"})}, dtypes=frozenset(DTYPES))
    b = Builder()
    for dtype in ("float32", "int8"):
        v = b.apply("ones", shape=(2,), dtype=dtype)
        assert limited.supports("ones", [], b.types[v]) == (dtype == "float32")


def test_what_is_made_gets_simpler() -> None:
    program = program_of("float32", -math.inf)
    found = list(simpler_attributes(program.nodes[0]))
    assert found[0] == {"shape": (), "fill_value": 1.0, "dtype": "float32"}
    assert {"shape": (2, 1), "fill_value": 1.0, "dtype": "float32"} in found
    for attributes in found:
        Builder().apply("full", **attributes)
