"""Report formats: snapshots of each, readers that are not ours, hostile texts, limits."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from xml.dom import minidom

import pytest

from offload_fuzz.report.annotations import MOST, annotation_lines
from offload_fuzz.report.formats import FORMATS, render
from offload_fuzz.report.markdown import mermaid

from .reports import REPORTS, SNAPSHOTS, hostile, made, many, stored, with_hostile_texts


# -------------------------------------------------------------------------------------------------------- snapshots
@pytest.mark.parametrize("name", REPORTS)
def test_report_json_is_as_it_was(name: str) -> None:
    assert made(name) == stored(name), "if this is meant: python -m tests.doors.reports, and look at the difference"


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", REPORTS)
def test_every_format_is_as_it_was(name: str, form: str) -> None:
    path = SNAPSHOTS / name / (FORMATS[form].file or f"{form}.txt")
    assert render(form, stored(name)) == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_bears_hostile_texts_and_many_findings(form: str) -> None:
    for data in (hostile(), many(600)):
        assert render(form, data)


# ------------------------------------------------------------------------------------------------------------ JUnit
def junit(data: Any) -> Any:
    """The root element, as expat reads it, a parser that is not the writer's."""
    return minidom.parseString(render("junit", data).encode("utf-8", "strict")).documentElement


def attributes(element: Any, *names: str) -> list[str]:
    return [element.getAttribute(name) for name in names]


@pytest.mark.parametrize("data", [stored("two"), stored("empty"), stored("known"), many(30)])
def test_junit_counts_are_those_of_its_elements(data: Any) -> None:
    top = junit(data)
    (suite,) = top.getElementsByTagName("testsuite")
    cases = suite.getElementsByTagName("testcase")
    failed, errors = suite.getElementsByTagName("failure"), suite.getElementsByTagName("error")
    assert top.tagName == "testsuites"
    for element in (top, suite):
        assert attributes(element, "tests", "failures", "errors") == [
            str(len(cases)), str(len(failed)), str(len(errors)),
        ]  # fmt: skip  # three numbers
    assert suite.getAttribute("skipped") == str(len(suite.getElementsByTagName("skipped")))
    assert len(cases) == len(data["findings"]) + 1
    assert cases[0].getAttribute("classname") == "offload-fuzz.campaign"
    for case in cases:
        assert all(attributes(case, "name", "classname", "time"))


def test_junit_has_seed_and_counts_as_properties_and_a_failure_per_finding() -> None:
    top = junit(stored("two"))
    properties = {p.getAttribute("name"): p.getAttribute("value") for p in top.getElementsByTagName("property")}
    assert properties["seed"] == "7"
    assert properties["count.cases"] == "2000"
    assert properties["count.unknown"] == "40"
    assert properties["environment.numpy"] == "2.4.6"
    failures = top.getElementsByTagName("failure")
    assert [f.getAttribute("type") for f in failures] == ["wrong value", "plans disagree"]
    assert failures[0].firstChild.data == stored("two")["findings"][0]["text"]


@pytest.mark.parametrize(
    ("code", "tag"), [(0, None), (1, None), (2, "error"), (3, "failure"), (4, "error"), (5, "failure"), (70, "error"),
                      (130, "error")],
)  # fmt: skip  # a table
def test_junit_says_of_the_campaign_itself_what_its_exit_code_says(code: int, tag: str | None) -> None:
    data = {**stored("empty"), "exit_code": code}
    campaign = junit(data).getElementsByTagName("testcase")[0]
    found = [e.tagName for e in campaign.childNodes if getattr(e, "tagName", "") in ("failure", "error")]
    assert found == ([tag] if tag else [])


def test_junit_shows_what_xml_cannot_hold_by_its_escape() -> None:
    text = junit(with_hostile_texts(stored("two"))).getElementsByTagName("failure")[0].firstChild.data
    assert "</script><script>alert(1)</script>" in text
    assert "\\x00\\x1b[31m" in text
    assert "\\ud800\\ufffe" in text


# ------------------------------------------------------------------------------------------------------------ SARIF
def sarif_problems(log: dict[str, Any]) -> Iterator[str]:
    """What of SARIF 2.1.0 a log breaks, of the parts that we write; sections are those of the OASIS Standard."""
    if log.get("version") != "2.1.0" or not log.get("$schema", "").endswith("sarif-schema-2.1.0.json"):
        yield "3.13.2, 3.13.3: version and $schema"
    known = {"tool", "automationDetails", "invocations", "results", "columnKind", "properties"}
    for run in log["runs"]:
        if run.keys() - known or not run["tool"]["driver"]["name"]:
            yield f"3.14: run has {run.keys() - known}, or no tool name"
        if run["columnKind"] not in ("utf16CodeUnits", "unicodeCodePoints"):
            yield "3.14.17: columnKind"
        for invocation in run["invocations"]:
            if type(invocation["executionSuccessful"]) is not bool or type(invocation["exitCode"]) is not int:
                yield "3.20.14: executionSuccessful is required"
        rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
        if len({*rules}) < len(rules):
            yield "3.19.23: ids of rules are unique"
        for result in run["results"]:
            if not result["message"]["text"]:
                yield "3.27.11: a result has a message"
            if rules[result["ruleIndex"]] != result["ruleId"]:
                yield "3.27.6: ruleIndex is that of ruleId"
            if result["level"] not in ("none", "note", "warning", "error"):
                yield "3.27.10: level"
            if not all(isinstance(v, str) for m in ("fingerprints", "partialFingerprints") for v in result[m].values()):
                yield "3.27.16: fingerprints are strings"
            for location in result.get("locations", ()):
                physical = location.get("physicalLocation")
                if physical and not re.fullmatch(r"[A-Za-z0-9%/._~-]+", physical["artifactLocation"]["uri"]):
                    yield "3.4.3: uri is a valid URI reference"
                if physical and physical["region"]["startLine"] < 1:
                    yield "3.30.5: lines begin at 1"


@pytest.mark.parametrize("data", [stored("two"), stored("empty"), hostile(), many(30)])
def test_sarif_has_the_required_structure(data: Any) -> None:
    assert list(sarif_problems(json.loads(render("sarif", data)))) == []


def test_sarif_fingerprints_are_the_ids_of_findings() -> None:
    (run,) = json.loads(render("sarif", stored("two")))["runs"]
    assert [r["fingerprints"] for r in run["results"]] == [
        {"offload-fuzz/v1": "F518fa02a"}, {"offload-fuzz/v1": "F0badcafe"},
    ]  # fmt: skip  # two
    assert run["properties"]["seed"] == 7
    assert run["properties"]["counts"]["cases"] == 2000


def test_sarif_has_at_most_500_results_and_says_how_many_are_left_out() -> None:
    (run,) = json.loads(render("sarif", many(512)))["runs"]
    assert len(run["results"]) == 500
    assert run["properties"]["findingsLeftOut"] == 12


def test_the_line_of_a_finding_is_that_of_its_node_in_the_stored_file() -> None:
    for finding in made("two")["findings"]:
        from .reports import found

        (text,) = [f.text for f in found() if f.id == finding["id"]]
        line = text.split("\n")[finding["line"] - 1]
        assert f'"value": {finding["divergent"]},' in line


# --------------------------------------------------------------------------------------------------------- Markdown
def outside_fences(text: str) -> str:
    """Markdown without its fenced blocks; fails if one is not closed."""
    kept, fence = [], ""
    for line in text.split("\n"):
        run = re.match(r"`{3,}", line)
        if fence:
            fence = "" if line == fence else fence
        elif run:
            fence = run[0]
        else:
            kept.append(line)
    assert fence == ""
    return "\n".join(kept)


def test_markdown_is_under_a_mebibyte_and_says_what_is_left_out() -> None:
    for data in (many(3000), many(6, 300_000), many(600, 10_000)):
        text = render("markdown", data)
        assert len(text.encode()) < 2**20
        shown = len(re.findall("^## F", text, re.MULTILINE))
        more = re.search(r"^([\d,]+) more findings? (is|are) in `report.json`", text, re.MULTILINE)
        assert shown + (int(more[1].replace(",", "")) if more else 0) == len(data["findings"])
    assert "There is no room for more: see `report.json`." in render("markdown", many(6, 300_000))


def test_markdown_shows_hostile_texts_as_texts() -> None:
    text = outside_fences(render("markdown", hostile()))
    tags = re.findall(r"(?<!\\)<[^>]*>", text)
    assert {*tags} == {"<details>", "<summary>", "</summary>", "</details>"}
    assert [line for line in text.split("\n") if line.startswith("# ")] == ["# offload-fuzz"]
    assert "@everyone" not in text
    assert not re.search(r"(?<!\\)\[a\]", text)
    for row in re.findall(r"^\|.*$", text, re.MULTILINE):
        assert len(re.findall(r"(?<!\\)\|", row)) == 3, row


def test_the_graph_has_a_lane_a_place_and_marks_the_divergent_node_by_shape_and_text() -> None:
    text = mermaid(stored("two")["findings"][1]["graph"])
    assert text is not None
    assert text.count("subgraph") == text.count("\n  end") == 3
    assert re.search(r'^    v4\{\{"v4: matmul.*FIRST DIVERGENCE"\}\}$', text, re.MULTILINE)
    assert '  v0 -.->|"upload, async; source overwritten once free"| v2' in text
    assert '  v1 ==>|"upload, blocking; laid out fortran; aligned to its element only, not to 64 bytes"| v3' in text
    assert '  v3 -.->|"copy, async"| v4' in text
    assert "  v2 --> v4" in text


def test_no_text_ends_a_label_of_the_graph() -> None:
    text = mermaid(hostile()["findings"][1]["graph"])
    assert text is not None
    quoted = r'"[^"<>`]*(?:<br/>[^"<>`]*)*"'
    box = rf"    v\d+(?:\[{quoted}\]|\(\[{quoted}\]\)|\{{\{{{quoted}\}}\}})"
    arrow = rf"  v\d+ (?:-->|==>|-\.->)(?:\|{quoted}\|)? v\d+"
    other = rf"flowchart TB|  subgraph lane_\w+\[{quoted}\]|  end|  schedule>{quoted}\]"
    for line in text.split("\n"):
        assert re.fullmatch(f"{box}|{arrow}|{other}", line), line


def test_a_graph_that_hosts_would_refuse_is_left_out() -> None:
    graph = stored("two")["findings"][0]["graph"]
    assert mermaid({**graph, "nodes": graph["nodes"] * 60}) is None


def test_there_are_at_most_8_annotations_each_of_one_line() -> None:
    assert annotation_lines(stored("empty"), "out") == []
    assert annotation_lines(stored("two"), "a,b")[0] == (
        "::error file=a%2Cb/findings/F518fa02a.offload.json,line=9,title=F518fa02a%3A wrong value::"
        "v1[1] is -6328.72119 (0xc5c5c5c5, -0x1.8b8b8ap+12) but should be 1 (0x3f800000, 0x1p+0) "
        "(1 of 2 elements wrong)"
    )
    assert len(annotation_lines(many(8), "")) == MOST == 8
    lines = annotation_lines(many(20), "out")
    assert lines[7:] == ["::error title=more findings::13 more findings are in report.json"]
    assert all(len(line.splitlines()) == 1 for line in annotation_lines(hostile(), "out"))


# ----------------------------------------------------------------------------------------------------- known issues
def test_a_finding_that_does_not_fail_the_run_fails_in_no_report() -> None:
    data, excuse = stored("known"), "known issue K1: strides are ignored until driver 7"
    assert data["exit_code"] == 0
    top = junit(data)
    assert top.getAttribute("failures") == "0"
    assert [e.getAttribute("message") for e in top.getElementsByTagName("skipped")] == [excuse]
    ((result,),) = [run["results"] for run in json.loads(render("sarif", data))["runs"]]
    assert result["suppressions"] == [{"kind": "external", "justification": excuse}]
    assert annotation_lines(data, "out") == []
    assert f"They do not fail the run.\n\n- F518fa02a: wrong value: {excuse}\n" in render("markdown", data)
    assert render("terminal", data).startswith(f"F518fa02a  wrong value: {excuse}\n")
    page = render("html", data)
    assert f"<p><strong>Does not fail the run:</strong> {excuse}</p>" in page
    assert "<p><strong>Warning:</strong> known.toml: K2 has not come up</p>" in page
    assert "<strong>Passed:</strong>" in page
