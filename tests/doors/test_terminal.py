"""What is printed of a campaign: texts that are an interface."""

from __future__ import annotations

import io
import json
from pathlib import Path

from attrs import evolve

from offload_fuzz.campaign.counts import Counts
from offload_fuzz.campaign.report import Found, Report
from offload_fuzz.campaign.settings import Settings
from offload_fuzz.case import read_case
from offload_fuzz.plan import Plan
from offload_fuzz.report.block import finding_block
from offload_fuzz.report.document import document
from offload_fuzz.report.summary import share, summary, verdict
from offload_fuzz.report.terminal import Terminal, progress_text, time_left

from . import EXAMPLE

BLOCK = """\
F518fa02a  wrong value
  v1[1] is -6328.72119 (0xc5c5c5c5, -0x1.8b8b8ap+12) but should be 1 (0x3f800000, 0x1p+0) (1 of 2 elements wrong)
  claim     every result is one that the contract allows
  rule      reshape is exact

  program(v0: float32[2])
    v1: float32[2] = reshape v0, shape=(2,)  # simulated:0+upload_strides_ignored   <- first divergence
    return v1

  inputs    v0 = 1, 1
  expected  1 (0x3f800000, 0x1p+0)
  got       -6328.72119 (0xc5c5c5c5, -0x1.8b8b8ap+12)
  needs     v1 on d0                  turning it plain makes it pass
            v1: v0 laid out strided   turning it plain makes it pass
  devices   d0 = simulated:0+upload_strides_ignored
  failed    3 of 3 runs
  seed      0, unit 0, program 0; shrunk from 6 nodes and 13 choices by 29 executions"""

REPLAY = """
  replay    offload-fuzz replay 'a b/F1.offload.json' --load mine.py
            --device d0=NAME runs it on another device"""

SUMMARY = """\
ran       40 programs, 2,000 plans (case runs) on numpy and simulated:0, simulated:1
pairs     90 of 100 crossing pairs (90.0%); 7 more are unreachable by features
cells     none counted, as no device was opened
programs  median 3 nodes; 25.0% wild, 2.5% large
ops       3 of 4, least often sum 1.0%, abs 49.5%, add 49.5%; never exp
freedoms  device 50.0%, stream 0.0%, reuse 0.0%, donate 0.0%, update 0.0%, lifetime 0.0%, compile
          0.0%, delay 0.0%, transfer 0.1%, route 0.0%, destination 0.0%, chunks 0.0%, constant 0.0%,
          layout 0.0%, alignment 0.0%, paging 0.0%, pinned 0.0%, readonly 0.0%, overwrite 0.0%,
          order 0.0%, sync 0.0%, repeat 0.0%, company 0.0%, readback 0.0% of plans not plain
judged    4,000 results: 1.0% unknown, 8 vacuous
left out  1 skipped, 2 rejected, 0 out of memory
ledger    transfers and launches told in 0.0% of case runs, reads watched in 0.0%
failures  12 failing, of 1 finding: 9 known again, 3 not shrunk; 1 crash, 0 hangs; 310 runs to
          shrink
took      4.0 s, 500 case runs/s; seed 7
verdict   1 finding in .offload-fuzz/findings; exit 1: a finding that counts"""


def a_report() -> Report:
    counts = Counts(
        programs=40, cases=2000, judged=4000, unknown=40, vacuous=8, rejected=2, skipped=1, wild=10, large=1,
        pairs_covered=90, pairs_reachable=100, pairs_unreachable=7, failures=12, unshrunk=3, executions=310, crashes=1,
        nodes={"2": 19, "3": 2, "8": 19}, ops={"add": 99, "abs": 99, "sum": 2},
        freedoms={"device": 1000, "transfer": 1},
    )  # fmt: skip  # numbers
    settings = Settings(seed=7, max_cases=2000, ops=("add", "abs", "sum", "exp"))
    found = Found("F518fa02a", EXAMPLE.read_text(), count=10)
    return Report(settings, counts, [found], seconds=4.0, folder=".offload-fuzz")


def test_a_finding_is_shown_with_all_that_is_known_of_it() -> None:
    case, known = read_case(EXAMPLE)
    assert finding_block(case, known) == BLOCK
    assert finding_block(case, known, "a b/F1.offload.json", ["--load", "mine.py"]) == BLOCK + REPLAY


def test_a_flaky_finding_with_needs_that_are_none_says_so() -> None:
    case, known = read_case(EXAMPLE)
    needs = [{"phrase": "v1 on d0", "passes_when_plain": False}]
    text = finding_block(case, {**known, "failures": 2, "repeats": 5, "needs": needs}, count=4)
    assert text.startswith("F518fa02a  wrong value (came up 4 times)\n")
    assert "\n  needs     v1 on d0   still fails without it\n" in text
    assert "\n  failed    2 of 5 runs: flaky\n" in text


def test_a_finding_that_was_not_diagnosed_lists_its_choices() -> None:
    case, _ = read_case(EXAMPLE)
    text = finding_block(case, {"kind": "wrong value", "message": "wrong"})
    assert text.startswith("counterexample  wrong value\n  wrong\n\n  program(")
    assert "\n  choices   v1: on d0\n            v1: v0 laid out strided\n" in text
    assert "<- first divergence" not in text
    plain = evolve(case, plan=Plan({}), control=case.plan)
    text = finding_block(plain, {"failures": 0, "repeats": 0})
    assert "\n  failed    once; not run again, as the time was up" in text
    assert "\n  choices   none: the plan is plain\n" in text
    assert "\n  control   v1: on d0\n            v1: v0 laid out strided\n" in text


def test_the_summary_has_every_honesty_count() -> None:
    assert summary(a_report()) == SUMMARY


def test_the_verdict_says_why_a_campaign_stopped() -> None:
    report = a_report()
    report.findings.clear()
    assert verdict(report) == "no finding in 2,000 case runs; exit 0: nothing to fail on"
    report.counts.unknown = report.counts.judged
    assert verdict(report) == "no result could be judged; exit 3: inconclusive"
    report.error, report.error_code = "interrupted", 130
    assert verdict(report) == (
        "no finding in 2,000 case runs; stopped early: interrupted; exit 130: interrupted, reports written"
    )
    assert verdict(Report(Settings())) == "no case was run; exit 5: nothing was tested"


def test_shares_do_not_hide_what_is_rare() -> None:
    assert [share(0, 0), share(0, 9), share(1, 10_000), share(1, 3)] == ["0.0%", "0.0%", "<0.1%", "33.3%"]


def test_progress_is_a_line_every_ten_seconds_where_there_is_no_terminal() -> None:
    now = [0.0]
    stream = io.StringIO()
    report = a_report()
    report.findings.clear()
    with Terminal(stream, lambda: now[0]) as terminal:
        for second in range(0, 31, 3):
            now[0] = float(second)
            report.counts.cases = 50 * second
            terminal.progress(report)
    assert stream.getvalue().splitlines() == [
        "12 s: 600 case runs, 40 programs, 0 findings, 50/s, 28 s left",
        "24 s: 1,200 case runs, 40 programs, 0 findings, 50/s, 16 s left",
    ]


def test_the_time_left_is_that_of_the_first_limit() -> None:
    report = a_report()
    assert time_left(report, 10.0) == 0.0
    report.counts.cases = 500
    assert time_left(report, 10.0) == 30.0
    report.settings = evolve(report.settings, max_time=25.0)
    assert time_left(report, 10.0) == 15.0
    report.settings = evolve(report.settings, max_time=None, max_cases=None)
    assert time_left(report, 10.0) is None
    assert progress_text(report, 10.0) == "500 case runs, 40 programs, 1 finding, 50/s"


class ATerminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_has_a_live_line_and_the_findings_above_it() -> None:
    stream = ATerminal()
    report = a_report()
    with Terminal(stream) as terminal:
        terminal.progress(report)
        terminal.found(report.findings[0], Path("F.offload.json"), [])
    terminal.end(report)
    text = stream.getvalue()
    assert BLOCK in text
    assert "case runs, 40 programs, 1 finding" in text
    assert text.endswith(SUMMARY + "\n")


def test_a_stream_that_is_gone_makes_it_silent() -> None:
    stream = io.StringIO()
    stream.close()
    terminal = Terminal(stream)
    terminal.line("lost")
    assert terminal.mute


def test_report_json_is_what_docs_files_says() -> None:
    data = document(a_report())
    documented = (EXAMPLE.parents[2] / "docs" / "files.md").read_text()
    case = json.loads(EXAMPLE.read_text())
    for key in (*data, *Counts().__attrs_attrs__, *data["findings"][0], *case, *case["finding"]):
        name = key if isinstance(key, str) else key.name
        assert f"`{name}`" in documented, name
