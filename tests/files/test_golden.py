"""Files of every version of the format are read, written as they were, and replayed: for ever."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from offload_fuzz.case import FORMAT, VERSION, dump_case, parse_case, read_case

from ..doors import offload

GOLDEN = Path(__file__).parent / "golden"
FILES = sorted(GOLDEN.rglob("*.offload.json"))
#: Freedoms and dtypes that version 1 had when its files were made.
FREEDOMS_1 = {
    "alignment", "compile", "device", "donate", "layout", "order", "overwrite", "readback", "readonly", "repeat",
    "reuse", "stream", "sync", "transfer",
}  # fmt: skip  # names
DTYPES_1 = {
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "bfloat16", "float32",
    "float64", "complex64", "complex128", "float8_e4m3fn", "float8_e5m2", "int4", "uint4",
}  # fmt: skip  # names


def replayed(*arguments: str) -> tuple[int, dict[str, str]]:
    """The exit code of `replay --json`, and the status of each file by its fault."""
    done = offload("replay", *arguments, "--json", cwd=GOLDEN)
    assert done.err == ""
    report = json.loads(done.out)
    return done.code, {fault_of(GOLDEN / r["path"]): r["status"] for r in report["replays"]}


def fault_of(path: Path) -> str:
    return read_case(path)[0].devices[0].partition("+")[2]


def test_every_version_of_the_format_has_its_folder() -> None:
    assert sorted(p.name for p in GOLDEN.iterdir() if p.is_dir()) == [str(v) for v in range(1, VERSION + 1)]
    for path in FILES:
        data = json.loads(path.read_text(encoding="utf-8"))
        assert (data["format"], str(data["version"])) == (FORMAT, path.relative_to(GOLDEN).parts[0])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name.split(".")[0])
def test_a_golden_file_is_read_and_written_as_it_was(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    case, finding = read_case(path)
    again = dump_case(case, finding or None)
    assert parse_case(again, "again") == (case, finding)
    if path.relative_to(GOLDEN).parts[0] == str(VERSION):
        assert again == text


def test_the_files_of_version_1_hold_every_dtype_and_every_freedom_that_it_had() -> None:
    cases = [read_case(path)[0] for path in FILES if path.relative_to(GOLDEN).parts[0] == "1"]
    assert {t.dtype for case in cases for t in case.program.types} == DTYPES_1
    plans: list[Any] = [plan for case in cases for plan in (case.plan, case.control) if plan is not None]
    assert {key[0] for plan in plans for key, _ in plan.non_plain()} == FREEDOMS_1


def test_a_folder_of_golden_findings_fails_as_it_did() -> None:
    code, statuses = replayed("1/findings")
    assert (code, len(statuses)) == (1, 6)
    assert {*statuses.values()} == {"FAILED"}


@pytest.mark.parametrize("device", ["simulated:0", "simulated.gpu:1"])
def test_a_folder_of_golden_findings_passes_on_another_device_that_is_lawful(device: str) -> None:
    code, statuses = replayed("1/findings", "--device", f"d0={device}")
    assert (code, len(statuses)) == (0, 6)
    assert {*statuses.values()} == {"FIXED"}


def test_on_another_faulty_device_those_fail_that_show_its_fault() -> None:
    code, statuses = replayed("1/findings", "--device", "d0=simulated.gpu:0+wait_ignored")
    assert code == 1
    assert statuses.pop("wait_ignored") == "FAILED"
    assert statuses["int64_narrowed"] == "FIXED"
    assert {*statuses.values()} <= {"FIXED", "FAILED"}
