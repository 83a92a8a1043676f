"""Whatever is wrong with a case file gives one clear error that names file and place, quickly, and never another."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest

from offload_fuzz.case import Case, dump_case
from offload_fuzz.plan import Plan
from offload_fuzz.program import Builder

from .bad_cases import BAD
from .cases import example
from .refusals import WRONG, X, changed, places, refusal


@pytest.mark.parametrize(
    ("path", "value", "message"), BAD, ids=[f"{i}-{'.'.join(map(str, p[:3]))[:40]}" for i, (p, *_) in enumerate(BAD)]
)
def test_a_bad_value_is_refused_with_file_and_place(path: tuple[str | int, ...], value: object, message: str) -> None:
    start = time.process_time()
    assert refusal(changed(*path, value=value)).startswith(message)
    assert time.process_time() - start < 2


def test_an_unknown_op_is_refused_naming_load() -> None:
    message = refusal(changed("nodes", 1, "op", value="summ"))
    assert message.endswith(f"[{X}, nodes[1]]; did you mean 'sum'? A custom op needs --load FILE|MODULE.")


def test_a_program_error_names_the_file_and_shows_the_program() -> None:
    assert refusal(changed("nodes", 1, "type", value="float32[3]")) == (
        "v3 has type float32[3] but should be float32[2] "
        f"[v3: float32[3] = sum v2, axis=(1,), keepdims=False] [{X}]\n"
        "  v2: float32[2,3] = where v1, v0, v0\n"
        "> v3: float32[3] = sum v2, axis=(1,), keepdims=False"
    )


def test_results_that_no_memory_holds_are_refused() -> None:
    b = Builder()
    v = b.input(np.zeros((1, 1), np.int8))
    wide = [b.apply("broadcast_to", v, shape=(4096, 4096)) for _ in range(17)]
    message = refusal(dump_case(Case(b.returns(*wide), Plan({}), ())))
    assert message == f"results have more than 268435456 elements in all [{X}, nodes[16]]"
    b = Builder()
    v = b.input(np.zeros(1, np.int8))
    message = refusal(dump_case(Case(b.returns(b.apply("broadcast_to", v, shape=(0, 10**12))), Plan({}), ())))
    assert message.startswith("type is int8[0,1000000000000] but should have at most 16777216 elements [")


#: Where null is right.
NULLABLE = {("control",), ("expected",), ("expected", 0), ("nodes", 1, "attributes", "axis")}


def test_a_value_of_a_wrong_type_is_refused_wherever_it_stands() -> None:
    for path, right in list(places(json.loads(dump_case(example()))))[1:]:
        for wrong in WRONG:
            lawful = (wrong is None and path in NULLABLE) or path in (("expected", 1), ("nodes", 0, "attributes"))
            if type(wrong) is not type(right) and not lawful:
                refusal(changed(*path, value=wrong))


@pytest.mark.parametrize("key", list(json.loads(dump_case(example()))))
def test_a_key_that_is_missing_is_named(key: str) -> None:
    data = json.loads(dump_case(example()))
    del data[key]
    message = refusal(json.dumps(data))
    if key == "format":
        assert message == f'file has no "format": "offload-fuzz case", so it is not a case [{X}]'
    elif key == "version":
        assert message == f"file has version 0 but the first is 1 [{X}]"
    else:
        assert message == f"{key} is missing [{X}, top level]"
