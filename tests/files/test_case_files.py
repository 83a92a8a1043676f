"""Case files: what is written reads back equal, one node a line."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from offload_fuzz.case import PARTS, Case, case_text, dump_case, parse_case, read_case
from offload_fuzz.enclosure import Enclosure, exact
from offload_fuzz.ops import OPS
from offload_fuzz.plan import Plan
from offload_fuzz.program import Builder, same_bits
from offload_fuzz.types import DTYPES, ArrayType

from ..programs import random_data
from .cases import example, random_case, random_enclosure


def same_enclosure(a: Enclosure | None, b: Enclosure | None) -> bool:
    if a is None or b is None:
        return a is b
    for part in PARTS:
        x, y = getattr(a, part), getattr(b, part)
        if (x is None) != (y is None) or (x is not None and not same_bits(x, y)):
            return False
    return a.is_singleton == b.is_singleton


def assert_comes_back(case: Case, finding: dict[str, Any] | None = None) -> None:
    back, known = parse_case(dump_case(case, finding), "x")
    assert back == case
    assert known == (finding or {})
    assert (back.expected is None) == (case.expected is None)
    if back.expected is not None and case.expected is not None:
        assert all(map(same_enclosure, back.expected, case.expected))
    assert dump_case(back, finding) == dump_case(case, finding)


# ---------------------------------------------------------------------------------------------------- write and read
@pytest.mark.parametrize("op", OPS)
def test_a_case_of_every_op_comes_back(op: str) -> None:
    rng = random.Random(f"case {op}")
    for _ in range(5):
        assert_comes_back(random_case(rng, [op]))


def test_random_cases_come_back() -> None:
    rng = random.Random(2)
    for _ in range(100):
        assert_comes_back(
            random_case(rng),
            {
                "id": "F1",
                "kind": "wrong value",
                "message": 'é "x"\n',
                "needs": [{"phrase": "p", "passes_when_plain": None}],
            },
        )


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_comes_back_in_inputs_and_expectations(dtype: str) -> None:
    rng = random.Random(f"dtype {dtype}")
    for shape in ((), (0, 2), (50,), (3, 4)):
        b = Builder()
        v = b.input(random_data(rng, ArrayType(dtype, shape)))
        program = b.returns(v)
        for _ in range(6):
            assert_comes_back(Case(program, Plan({}), (), None, (random_enclosure(rng, program.types[v]),)))


def test_an_enclosure_of_numpy_scalars_is_written() -> None:
    b = Builder()
    program = b.returns(b.apply("sum", b.input(np.ones(3)), axis=None, keepdims=False))
    scalar: Any = np.float64(3)
    case = Case(program, Plan({}), (), None, (Enclosure(scalar, scalar),))
    assert same_enclosure((parse_case(dump_case(case), "x")[0].expected or ())[0], exact(np.asarray(3.0)))


def test_what_is_known_of_a_failure_is_written_as_json_can_hold_it() -> None:
    known = {"got": "nan", "sizes": (1, np.int64(2)), "rate": math.nan, "top": np.float32(math.inf), "share": 0.5}
    text = dump_case(example(), known)
    assert parse_case(text, "x")[1] == {"got": "nan", "sizes": [1, 2], "rate": "nan", "top": "inf", "share": 0.5}


def test_control_characters_in_a_message_are_escaped_when_read() -> None:
    text = dump_case(example(), {"message": "red \x1b[31m\n\ttab", "origin": {"\x07": ["\u202e"]}})
    assert parse_case(text, "x")[1] == {"message": "red \\x1b[31m\n\ttab", "origin": {"\\x07": ["\\u202e"]}}


def test_a_file_has_one_input_and_one_node_a_line() -> None:
    assert (
        dump_case(example(), {"id": "F0", "divergent": 3})
        == """\
{
  "format": "offload-fuzz case",
  "version": 1,
  "devices": {"d0": "simulated:0", "d1": "simulated:1"},
  "inputs": [
    {"type": "float32[2,3]", "data": ["0x1.8p+0", "-0x0p+0", "inf", "nan:0x7fc00000", "0x1p+1", "0x1.8p+1"]},
    {"type": "bool[3]", "data": [true, false, true]}
  ],
  "nodes": [
    {"value": 2, "op": "where", "operands": [1, 0, 0], "attributes": {}, "type": "float32[2,3]"},
    {"value": 3, "op": "sum", "operands": [2], "attributes": {"axis": [1], "keepdims": false}, "type": "float32[2]"}
  ],
  "outputs": [3, 2],
  "plan": {"seed": 7, "choices": [["device", [2], 1], ["device", [3], 2], ["transfer", [3, 0], "async"]]},
  "control": {"seed": 0, "choices": [["device", [3], 1]]},
  "expected": [
    {"lo": {"type": "float32[2]", "data": ["inf", "0x1p+0"]}, "hi": {"type": "float32[2]", "data": ["inf", "0x1p+0"]}, \
"nan": {"type": "bool[2]", "data": [true, true]}},
    null
  ],
  "finding": {
    "id": "F0",
    "divergent": 3
  }
}
"""
    )


def test_a_case_prints_with_placements_and_the_other_choices_below() -> None:
    assert case_text(example(), {3: "first divergence"}) == (
        "program(v0: float32[2,3], v1: bool[3])\n"
        "  v2: float32[2,3] = where v1, v0, v0                 # simulated:0\n"
        "  v3: float32[2] = sum v2, axis=(1,), keepdims=False  # simulated:1   <- first divergence\n"
        "  return v3, v2\n"
        "  with v3: v2 crosses async"
    )
    assert str(example()) == repr(example()) == case_text(example())


def test_a_file_may_be_laid_out_anew(tmp_path: Path) -> None:
    path = tmp_path / "x.offload.json"
    path.write_text(json.dumps(json.loads(dump_case(example())), indent=4).replace("\n", "\r\n"), encoding="utf-8")
    assert read_case(path) == (example(), {})
    assert read_case(str(path)) == (example(), {})
