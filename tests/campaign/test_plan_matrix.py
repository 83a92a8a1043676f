"""The plan matrix: the plans that diagnosis tries, which choices of the failing one each has, and what came of it."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from offload_fuzz.adapters.pool import open_places
from offload_fuzz.campaign.report import Found, Report
from offload_fuzz.campaign.settings import Settings
from offload_fuzz.case import Case, dump_case, parse_case
from offload_fuzz.finding.diagnose import diagnose
from offload_fuzz.finding.examine import Examiner
from offload_fuzz.finding.store import make_finding
from offload_fuzz.plan import Key, Plan
from offload_fuzz.program import Builder
from offload_fuzz.report.document import document
from offload_fuzz.report.formats import render
from offload_fuzz.report.reader import report_from_json

ROWS = [
    ("the failing plan", [True, True, True, True], "fails", 3, 3),
    ("v1 on the host", [False, True, True, True], "passes", 0, 1),
    ("v2 on the host", [True, False, True, True], "passes", 0, 1),
    ("v1: on stream 0", [True, True, False, True], "passes", 0, 1),
    ("full synchronisation", [True, True, True, False], "passes", 0, 1),
    ("the same devices, all else plain", [True, True, False, False], "passes", 0, 1),
    ("the plain plan: all on the host", [False, False, False, False], "passes", 0, 1),
]


def finding(more: dict[Key, Any] | None = None) -> tuple[Case, dict[str, Any]]:
    """What is made on stream 1 is used on stream 0 of a device that ignores waits."""
    b = Builder()
    x = b.input(np.arange(1, 7, dtype=np.float32))
    made = b.apply("square", x)
    program = b.returns(b.apply("add", made, x))
    choices: dict[Key, Any] = {("device", (1,)): 1, ("device", (2,)): 1, ("stream", (1,)): 1, ("sync", ()): "minimal"}
    spec = "simulated:0+wait_ignored"
    examiner = Examiner(open_places((spec,)))
    case = Case(program, Plan({**choices, **(more or {})}, 1), (spec,))
    verdict = examiner.examine(case)
    assert verdict.failed
    found = make_finding(case, verdict, diagnose(case, verdict, examiner), 0, {})
    return parse_case(found.text(), "finding")


def test_the_matrix_has_the_failing_plan_each_choice_turned_plain_and_the_plain_plan() -> None:
    _, known = finding()
    rows = [(t["plan"], t["chosen"], t["outcome"], t["failures"], t["runs"]) for t in known["plans"]]
    assert rows == ROWS
    assert known["nearest"] in [plan for plan, _, verdict, *_ in rows if verdict == "passes"]


def test_no_plan_is_in_the_matrix_twice() -> None:
    b = Builder()
    program = b.returns(b.apply("negative", b.input(np.ones(3, np.float32))))
    spec = "simulated:0+last_chunk_lost"
    examiner = Examiner(open_places((spec,)))
    case = Case(program, Plan({("device", (1,)): 1}), (spec,))
    verdict = examiner.examine(case)
    plans = diagnose(case, verdict, examiner).plans
    assert [(t.name, t.outcome) for t in plans] == [("the failing plan", "fails"), ("v1 on the host", "passes")]


def test_the_matrix_is_in_report_json_markdown_and_html() -> None:
    case, known = finding()
    found = Found(known["id"], dump_case(case, known))
    data = report_from_json(json.loads(json.dumps(document(Report(Settings(), findings=[found])))), "report")
    assert [t["plan"] for t in data["findings"][0]["plans"]] == [row[0] for row in ROWS]
    markdown, html = render("markdown", data), render("html", data)
    assert "1. v1 on d0\n2. v2 on d0\n3. v1: on stream 1\n4. minimal synchronisation\n" in markdown
    assert "| plan | 1 | 2 | 3 | 4 | verdict |\n|---|---|---|---|---|---|\n" in markdown
    assert "| v1: on stream 0 | 1 | 2 | plain | 4 | passes 1 run |\n" in markdown
    assert '<th scope="row">the failing plan</th><td>chosen</td><td>chosen</td>' in html
    assert '<th scope="row">v1: on stream 0, the nearest that passes</th>' in html
    assert "<td>passes 1 run</td></tr>" in html


def test_a_delay_turned_plain_is_said_in_words() -> None:
    _, known = finding({("delay", (1,)): "launch"})
    assert "not v1: a delay on the stream before the launch" in [t["plan"] for t in known["plans"]]
