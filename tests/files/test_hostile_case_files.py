"""Files that are no cases at all, and 2,000 that nearly are: a case or one clear error, in bounded time and memory."""

from __future__ import annotations

import os
import random
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attrs import evolve

from offload_fuzz.case import Case, dump_case, parse_case, read_case
from offload_fuzz.errors import OffloadError
from offload_fuzz.plan import Key, Plan
from offload_fuzz.program import Builder
from offload_fuzz.untrusted import MAX_BYTES, MAX_CONTAINERS, MAX_ESCAPES

from .cases import example
from .refusals import X, checked, refusal

GOOD = dump_case(example(), {"id": "F0", "kind": "wrong value", "message": 'a "quoted" \\ message'})


def put(old: str, new: str) -> str:
    """The good text with one thing replaced."""
    assert old in GOOD
    return GOOD.replace(old, new, 1)


# -------------------------------------------------------------------------------------------------------------- texts
NOT_JSON = "file is not valid JSON: "
NO_CASE = f'file has no "format": "offload-fuzz case", so it is not a case [{X}]'
DEEP = f"file is nested deeper than 24 levels [{X}]"
MUCH = f"file holds more lists and elements than are read [{X}]"
# fmt: off
TEXTS: dict[str, tuple[Callable[[], str], str]] = {
    "empty": (lambda: "", NOT_JSON + f"Expecting value: line 1 column 1 (char 0) [{X}]"),
    "broken": (lambda: put('"outputs": [3, 2]', '"outputs": [3 2]'), NOT_JSON + "Expecting ',' delimiter: line 13 co"),
    "truncated": (lambda: GOOD[:-40], NOT_JSON),
    "trailing text": (lambda: GOOD + "}", NOT_JSON + "Extra data: line "),
    "a list": (lambda: "[]", NO_CASE),
    "a number": (lambda: "1", NO_CASE),
    "a key twice": (lambda: put('"outputs"', '"plan": 1, "outputs"'), NOT_JSON + "key 'plan' stands twice in one obje"),
    "a long key twice": (lambda: f'{{"{"k" * 9999}": 1, "{"k" * 9999}": 2}}', NOT_JSON + "key 'kkkkkkkkkkkkkkkkkkkkkk"),
    "NaN": (lambda: put('"0x1.8p+0"', "NaN"), NOT_JSON + "NaN is not JSON; a NaN is written by its bits, an infinity "),
    "-Infinity": (lambda: put('"0x1.8p+0"', "-Infinity"), NOT_JSON + "-Infinity is not JSON; a NaN is written by its "),
    "a huge float": (lambda: put('"seed": 7', '"seed": 1e999'), NOT_JSON + f"number 1e999 is too large [{X}]"),
    "a huge int": (lambda: put('"seed": 7', f'"seed": {"7" * 5000}'), NOT_JSON + "Exceeds the limit (4300 digits) for"),
    "a large int": (lambda: put('"seed": 7', f'"seed": {"7" * 4000}'), "seed is 7777777777777777777777777777777777777"),
    "deep lists": (lambda: "[" * 100_000, DEEP),
    "deep objects": (lambda: '{"a":' * 1000 + "1" + "}" * 1000, DEEP),
    "deep in a plan": (lambda: put('["device", [2], 1]', "[" * 30 + "]" * 30), DEEP),
    "many lists": (lambda: "[" + "[]," * (MAX_CONTAINERS + 9) + "[]]", MUCH),
    "many elements": (lambda: "[" + "0," * (21 * 2**20) + "0]", MUCH),
    "many closers": (lambda: "]" * (MAX_CONTAINERS + 9), NOT_JSON + "Expecting value: line 1 column 1 (char 0) ["),
    "many escapes": (lambda: '"' + "\\n" * (MAX_ESCAPES + 1) + '"', f"file holds more escapes than are read [{X}]"),
    "an open string": (lambda: '"' + "\\" * 99_999, NOT_JSON),
    "a byte order mark": (lambda: "\ufeff" + GOOD, NOT_JSON + "Unexpected UTF-8 BOM"),
    "a lone surrogate": (lambda: put("simulated:0", "\\ud800"), "device is '\\ud800' but should be a name such as sim"),
    "a bare surrogate": (lambda: put("simulated:0", "\ud800"), "device is '\\ud800' but should be a name such as simu"),
    "a control character": (lambda: put("simulated:0", "a\x00b"), NOT_JSON + "Invalid control character at: line 4 co"),
    "single quotes": (lambda: GOOD.replace('"', "'"), NOT_JSON + "Expecting property name enclosed in double quotes: "),
    "a comment": (lambda: "// a case\n" + GOOD, NOT_JSON + f"Expecting value: line 1 column 1 (char 0) [{X}]"),
}
# fmt: on


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_that_is_no_case_is_refused(name: str) -> None:
    make, message = TEXTS[name]
    text = make()
    start = time.process_time()
    assert refusal(text).startswith(message)
    assert time.process_time() - start < 5


def test_brackets_and_quotes_in_strings_nest_nothing() -> None:
    odd = "[{" * 200 + '\\"' + "[" * 200
    case = evolve(example(), devices=(odd, "b"))
    assert parse_case(dump_case(case), X)[0] == case


@pytest.mark.parametrize("text", [TEXTS["many lists"][0](), put("float32[2,3]", "float32[9999,1599]")], ids=[0, 1])
def test_a_refusal_needs_little_memory(text: str) -> None:
    tracemalloc.start()
    try:
        refusal(text)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2**20 + 16 * len(text)


def test_a_plan_with_choices_at_every_node_of_a_long_program_reads_quickly() -> None:
    b = Builder()
    v = b.input(np.zeros(1, np.int8))
    for _ in range(2000):
        v = b.apply("abs", v)
    choices: dict[Key, Any] = {("device", (u,)): 1 for u in range(1, 2001)}
    choices |= {("layout", (u, 0)): "strided" for u in range(1, 2001)}
    case = Case(b.returns(v), Plan(choices), ("a",))
    start = time.process_time()
    assert parse_case(dump_case(case), X) == (case, {})
    assert time.process_time() - start < 2


# -------------------------------------------------------------------------------------------------------------- paths
def file_refusal(path: Path | str) -> str:
    start = time.process_time()
    with pytest.raises(OffloadError) as caught:
        read_case(path)
    assert time.process_time() - start < 5
    return checked(caught.value, str(path))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.offload.json"
    assert file_refusal(path) == f"file cannot be read: No such file or directory [{path}]"


def test_a_folder_is_refused(tmp_path: Path) -> None:
    assert file_refusal(tmp_path) == f"path is a folder but should be a file [{tmp_path}]"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with names")
def test_a_pipe_is_refused_without_waiting_for_a_writer(tmp_path: Path) -> None:
    path = tmp_path / "x.offload.json"
    os.mkfifo(path)
    assert file_refusal(path) == f"path is a pipe or device but should be a file [{path}]"


def test_a_name_that_no_file_can_have_is_refused() -> None:
    assert file_refusal("a\0b").startswith("file cannot be read: embedded null byte [a")


def test_a_file_that_is_too_big_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.offload.json"
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)  # sparse: it takes no room
    assert file_refusal(path) == f"file has {MAX_BYTES + 1} bytes but at most {MAX_BYTES} are read [{path}]"


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", NOT_JSON + "Expecting value: line 1 column 1 (char 0)"),
        (b"\xff\xfe{}", "file is not UTF-8 text: invalid start byte at byte 0"),
        (GOOD.encode("utf-16"), "file is not UTF-8 text: invalid start byte at byte 0"),
        (b'{"format": "\xc3"}', "file is not UTF-8 text: invalid continuation byte at byte 12"),
        (b"\0" * 1000, NOT_JSON + "Expecting value: line 1 column 1 (char 0)"),
        (b"\x80\x04\x95.", "file is not UTF-8 text: invalid start byte at byte 0"),  # a pickle
    ],
    ids=["empty", "not UTF-8", "UTF-16", "half a character", "zeros", "a pickle"],
)
def test_bytes_that_are_no_text_are_refused(raw: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "x.offload.json"
    path.write_bytes(raw)
    assert file_refusal(path) == f"{message} [{path}]"


def test_random_bytes_are_refused(tmp_path: Path) -> None:
    rng = random.Random(4)
    path = tmp_path / "x.offload.json"
    for size in (1, 2, 10, 100, 10_000):
        for _ in range(10):
            path.write_bytes(rng.randbytes(size))
            file_refusal(path)
