"""Reports that never change, from which the snapshots of every format are made."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np

from offload_fuzz.campaign.counts import Counts
from offload_fuzz.campaign.report import Found, Report
from offload_fuzz.campaign.settings import Settings
from offload_fuzz.case import Case, dump_case
from offload_fuzz.plan import Plan
from offload_fuzz.program import Builder
from offload_fuzz.report.document import document
from offload_fuzz.report.reader import report_from_json

from . import EXAMPLE

SNAPSHOTS = Path(__file__).with_name("snapshots")
ENVIRONMENT = {"offload-fuzz": "0.1.0", "python": "3.11.7", "numpy": "2.4.6", "machine": "x86_64", "system": "Linux"}


def a_wide_case() -> Case:
    """Three places, every kind of crossing, and choices on nodes, operands and the schedule."""
    build = Builder()
    x, y = build.input(np.arange(6, dtype=np.float32).reshape(2, 3)), build.input(np.ones((2, 3), np.float32))
    a = build.apply("permute_dims", x, axes=(1, 0))
    b = build.apply("add", x, y)
    c = build.apply("matmul", b, a)
    d = build.apply("sum", c, axis=(1,), keepdims=False)
    program = build.returns(d, c)
    choices: dict[Any, Any] = {
        ("device", (a,)): 1, ("device", (b,)): 2, ("device", (c,)): 1, ("stream", (c,)): 2,
        ("transfer", (a, 0)): "async", ("transfer", (c, 0)): "async", ("layout", (b, 1)): "fortran",
        ("alignment", (b, 1)): "element", ("overwrite", (a, 0)): True, ("sync", ()): "minimal", ("repeat", ()): 2,
    }  # fmt: skip  # choices
    return Case(program, Plan(choices, 7), ("torch:cuda:0", "simulated:0"), control=Plan({("device", (c,)): 1}))


def found() -> list[Found]:
    """A finding as the first version stored it, and one of the wide case, which is flaky."""
    known = {
        "id": "F0badcafe", "kind": "plans disagree", "claim": "plans of one program agree bitwise",
        "message": "v5[1] is 14 (0x41600000, 0x1.cp+3) under one plan but 14.0000019 (0x41600002, 0x1.c00004p+3)",
        "rule": "", "expected": "14.0000019 (0x41600002, 0x1.c00004p+3)", "got": "14 (0x41600000, 0x1.cp+3)",
        "ulps": 2, "divergent": 4, "failures": 2, "repeats": 30, "executions": 0, "attempts": 44,
        "damage": "gone through float16, the last 1 of 2 elements", "nearest": "v3: v1 laid out contiguous",
        "seen": "the same where every result is read back",
        "needs": [
            {"phrase": "v3: v1 laid out fortran", "passes_when_plain": True},
            {"phrase": "minimal synchronisation", "passes_when_plain": False},
        ],
        "plans": [
            {"plan": "the failing plan", "chosen": [True, True], "outcome": "fails", "failures": 2, "runs": 30},
            {"plan": "v3: v1 laid out contiguous", "chosen": [False, True], "outcome": "passes", "failures": 0,
             "runs": 44},
            {"plan": "full synchronisation", "chosen": [True, False], "outcome": "fails", "failures": 1, "runs": 17},
            {"plan": "the plain plan: all on the host", "chosen": [False, False], "outcome": "passes", "failures": 0,
             "runs": 44},
        ],
        "chain": ["v4[1, 1] = matmul v3, v2 is accumulating: 14 (0x41600000, 0x1.cp+3)"],
        "origin": {"seed": 7, "unit": 3, "program": 11}, "environment": ENVIRONMENT,
    }  # fmt: skip  # a finding
    return [Found("F518fa02a", EXAMPLE.read_text(), count=10), Found("F0badcafe", dump_case(a_wide_case(), known))]


def two_findings() -> Report:
    """A campaign on three places that found two things."""
    settings = Settings(
        devices=("simulated:0", "torch:cuda:0"), seed=7, max_cases=2000, ops=("add", "abs", "sum", "exp", "matmul")
    )
    counts = Counts(
        programs=40, cases=2000, judged=4000, unknown=40, vacuous=8, rejected=2, skipped=1, wild=10, large=1,
        pairs_covered=90, pairs_reachable=100, pairs_unreachable=7, failures=12, unshrunk=3, executions=310, crashes=1,
        told=1500, watched=998, transfers=9876, moved_bytes=123456, untold={"mychip:0": 500},
        nodes={"2": 19, "3": 2, "8": 19}, ops={"add": 99, "abs": 99, "sum": 2, "matmul": 1},
        freedoms={"device": 1000, "transfer": 1},
        runnable={"add host": 99, "add d0": 99, "add d1": 99, "abs host": 99, "abs d0": 99, "sum host": 2, "sum d0": 2,
                  "sum d1": 2, "matmul host": 1, "matmul d0": 1, "matmul d1": 1},
        placed={"add host": 600, "add d0": 1100, "add d1": 900, "abs host": 30, "abs d0": 4, "sum host": 2, "sum d0": 5,
                "sum d1": 1, "matmul host": 1, "matmul d0": 1},
        crossable={"host host": 60, "host d0": 60, "d0 host": 60, "d0 d0": 60, "host d1": 40, "d1 host": 40},
        crossed={"host host": 60, "host d0": 58, "d0 host": 60, "d0 d0": 12, "host d1": 4},
    )  # fmt: skip  # numbers
    return Report(settings, counts, found(), seconds=4.0, folder=".offload-fuzz")


def no_finding() -> Report:
    """A campaign that ran nothing."""
    return Report(Settings(seed=3, max_time=0.0, devices=("simulated:0",), ops=("add",)), folder=".offload-fuzz")


def a_known_issue() -> Report:
    """The first finding is a known issue, so that nothing fails the run."""
    report = two_findings()
    report.findings = report.findings[:1]
    report.findings[0].excuse = "known issue K1: strides are ignored until driver 7"
    report.warnings = ["known.toml: K2 has not come up"]
    return report


REPORTS = {"two": two_findings, "empty": no_finding, "known": a_known_issue}


#: Some cells of the boundary: what report.json holds of them with few values on each axis.
BOUNDARY: dict[str, Any] = {
    "reached": 13, "reachable": 32,
    "unreachable": [
        {"reason": "the op has no operand (or result) of the dtype", "cells": 1200},
        {"reason": "left out by the options of the run", "cells": 0},
    ],
    "least": [
        {"axis": "op", "value": "abs", "reached": 1, "reachable": 16},
        {"axis": "layout", "value": "fortran", "reached": 2, "reachable": 8},
    ],
    "axes": {"op": ["add", "abs"], "dtype": ["float32", "bool"], "layout": ["contiguous", "fortran"]},
    "tables": [
        {"rows": "op", "columns": "dtype", "reached": [[12, 0], [1, 0]], "reachable": [[16, 0], [8, 8]]},
        {"rows": "op", "columns": "layout", "reached": [[10, 2], [1, 0]], "reachable": [[12, 4], [12, 4]]},
    ],
}  # fmt: skip  # rows


def made(name: str) -> dict[str, Any]:
    """What report.json holds of one of `REPORTS`, as on the machine of the snapshots and with two freedoms in all."""
    data = document(REPORTS[name]())
    if name == "two":
        data["coverage"]["boundary"] = copy.deepcopy(BOUNDARY)
    for row in data["summary"]:
        if row["label"] == "freedoms":
            row["text"] = "device 50.0%, transfer 0.1% of plans not plain"
    return {**data, "environment": ENVIRONMENT, "tool": {"name": "offload-fuzz", "version": "0.1.0"}}


def stored(name: str) -> dict[str, Any]:
    """The same as it is stored, from which the other snapshots are made."""
    return dict(json.loads((SNAPSHOTS / name / "report.json").read_text(encoding="utf-8")))


#: What must stay text: it ends tags, attributes, comments, CDATA, fences, table cells and templates, and rings bells.
HOSTILE = (
    "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'`]]>--><!-- {{ 7*7 }} {% raw %} &lt; | ** [a](b) "
    "@everyone\n```\n# head\n| cell |\n::error::no\r\x00\x1b[31m\u202e\ud800\ufffe%0A;end"
)


def with_hostile_texts(data: Any, key: str = "") -> Any:
    """Every string that is not empty replaced by one that is hostile, but those whose form the schema fixes."""
    if isinstance(data, dict):
        fixed = ("format", "role", "id", "kind", "from", "to", "rows", "columns", "outcome")
        return {k: v if k in fixed and isinstance(v, (str, int)) else with_hostile_texts(v, k) for k, v in data.items()}
    if isinstance(data, list):
        return [with_hostile_texts(v, key) for v in data]
    return HOSTILE if isinstance(data, str) and data else data


def hostile() -> dict[str, Any]:
    """The two findings with hostile texts, as the reader gives them to the formats."""
    data = with_hostile_texts(stored("two"))
    for finding in data["findings"]:
        finding["kind"] = HOSTILE
    data["findings"][1]["excuse"] = HOSTILE
    return report_from_json(data, "hostile")


def many(count: int, size: int = 0) -> dict[str, Any]:
    """The two findings, repeated, each with a text of `size` characters more."""
    data = stored("two")
    data["findings"] = [copy.deepcopy(data["findings"][i % 2]) for i in range(count)]
    for i, finding in enumerate(data["findings"]):
        finding["id"] = f"F{i:08x}"
        finding["text"] += "x" * size
    return data


def main() -> None:
    """Write the snapshots anew: `python -m tests.doors.reports`; look at what changes before it is kept."""
    from offload_fuzz.report.formats import FORMATS, render

    for name in REPORTS:
        folder = SNAPSHOTS / name
        folder.mkdir(parents=True, exist_ok=True)
        for form, format in FORMATS.items():
            (folder / (format.file or f"{form}.txt")).write_text(render(form, made(name)), encoding="utf-8")


if __name__ == "__main__":
    main()
