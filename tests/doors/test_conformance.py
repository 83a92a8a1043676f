"""`offload-fuzz conformance`: its text, its JSON and its exit codes, and the excerpt in the docs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import offload_fuzz as of

from . import CHIPS, ROOT, offload


def test_a_conformant_device_exits_0(tmp_path: Path) -> None:
    result = offload("conformance", "numpy", cwd=tmp_path)
    assert (result.code, result.err) == (0, "")
    lines = result.out.splitlines()
    assert lines[0] == "conformance of numpy"
    assert lines[-1].endswith("that do not apply; exit 0: conformant")
    assert "  kept    dtypes                every dtype comes back as it went" in lines
    assert len(lines) < 90


def test_a_broken_promise_exits_1_and_the_docs_show_it(tmp_path: Path) -> None:
    result = offload("conformance", "noop:0", cwd=tmp_path)
    assert (result.code, result.err) == (1, "")
    text = (ROOT / "docs" / "adapters.md").read_text().split("```text\n")[1].split("```")[0]
    for line in text.splitlines():
        assert line in result.out.splitlines()
    assert "exit 1: broken: dtypes, shapes, layouts, values, " in result.out.splitlines()[-1]


def test_json_is_the_only_output(tmp_path: Path) -> None:
    result = offload("conformance", "noop:0", "--json", cwd=tmp_path)
    report = json.loads(result.out)
    assert (result.code, report["exit_code"], report["device"]) == (1, 1, "noop:0")
    assert report["declares"]["contract"] == "ieee"
    found = {p["promise"]: p for p in report["promises"]}
    assert found["values"]["violations"][1] == {
        "where": "int8, special values",
        "seen": "[0] is 0 (84 of 85 elements wrong)",
        "expected": "1",
    }
    assert found["methods"]["status"] == "kept"


@pytest.mark.parametrize(
    ("device", "code", "message"),
    [
        ("chips.py:NoLaunch", 2, "adapter has no method launch() but needs it"),
        (
            "chips.py:NeedsRuntime",
            4,
            "module chip_runtime_that_is_not_there is not installed but the adapter imports it",
        ),
        ("simulated:x", 2, "device index is 'x' but should be a number"),
    ],
)
def test_what_cannot_be_checked_says_why(tmp_path: Path, device: str, code: int, message: str) -> None:
    (tmp_path / "chips.py").write_text(CHIPS)
    result = offload("conformance", device, cwd=tmp_path)
    assert (result.code, result.out) == (code, "")
    assert result.err.startswith(f"offload-fuzz: error: {message}")


def test_a_device_that_ends_the_process_is_named(tmp_path: Path) -> None:
    (tmp_path / "chips.py").write_text(CHIPS)
    result = offload("conformance", "chips.py:Moody", "--hang-after", "2s", cwd=tmp_path)
    assert result.code == 1
    assert "          seen      crash: the process ended: signal SIGSEGV" in result.out.splitlines()
    assert "Traceback" not in result.out + result.err


ONE_NAN = """
import numpy as np


class OneNan:
    name = "chip:0"
    features = {"ops": ["negative"], "dtypes": ["float32"]}

    def upload(self, array):
        return np.where(np.isnan(array), np.float32(np.nan), array)

    def download(self, buffer):
        return np.array(buffer)

    def launch(self, op, operands, attributes):
        return np.negative(*operands) if op == "negative" else 1 / 0
"""


def test_known_issues_make_a_broken_device_pass_and_the_report_names_them(tmp_path: Path) -> None:
    known = '[[issue]]\nid = "K1"\nexpect = "fail"\nreason = "a template"\npromises = ["values"]\n'
    (tmp_path / "known.toml").write_text(known)
    (tmp_path / "chip.py").write_text(ONE_NAN)
    result = offload("conformance", "chip.py:OneNan", "--known", "known.toml", "--json", cwd=tmp_path)
    report = json.loads(result.out)
    excused = {p["promise"]: p["known"] for p in report["promises"] if p["status"] == "known"}
    assert excused == {"values": ["K1: known issue, expected to fail: a template"]}
    assert (result.code, report["exit_code"]) == (0, 0)
    result = offload("conformance", "chip.py:OneNan", cwd=tmp_path)
    assert result.out.endswith("exit 1: broken: values\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "file cannot be read: No such file or directory [known.toml]"),
        ('promises = ["Values"]', "promises is ['Values'] but should be a list of rows of `conformance` such as "),
        ('promises = ["no"]', "promise is 'no' but should be one of methods, "),
    ],
)
def test_a_file_of_known_issues_that_is_wrong_is_refused(tmp_path: Path, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / "known.toml").write_text(f'[[issue]]\nid = "K1"\nexpect = "fail"\nreason = "r"\n{text}\n')
    result = offload("conformance", "numpy", "--known", "known.toml", cwd=tmp_path)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith(f"offload-fuzz: error: {message}")


def test_it_is_there_from_python() -> None:
    records = of.conformance(of.validating(Chip()))
    assert [r["promise"] for r in records if r["status"] == "broken"] == []


class Chip:
    name = "chip:0"
    features = {"ops": ["negative"], "dtypes": ["float32"]}  # noqa: RUF012  # an adapter's class says it so

    def upload(self, array: object) -> object:
        return np.array(array)

    def download(self, buffer: object) -> object:
        return np.array(buffer)

    def launch(self, op: str, operands: list[object], attributes: dict[str, object]) -> object:
        if op != "negative":
            raise ValueError(op)
        return np.negative(operands[0])  # type: ignore[call-overload]  # any buffer
