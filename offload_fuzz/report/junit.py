"""JUnit XML: one test case for the campaign and one for each finding, as continuous integration reads it.

There is no standard; this keeps to what Jenkins, GitLab and junitparser agree on (testsuites, testsuite, properties,
testcase, failure, error, system-out).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree as ET

from offload_fuzz.errors import EXIT_FINDING, EXIT_INCONCLUSIVE, EXIT_NOTHING_TESTED, EXIT_OK

#: What XML 1.0 (section 2.2) cannot hold, not even escaped.
NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
#: Exit codes with which the campaign itself was well; findings are test cases of their own.
WELL = (EXIT_OK, EXIT_FINDING)
#: Exit codes that are a failure of the campaign; all others are errors.
FAILURES = (EXIT_INCONCLUSIVE, EXIT_NOTHING_TESTED)


def render(data: Mapping[str, Any]) -> str:
    """The text of report.junit.xml."""
    findings, code = data["findings"], data["exit_code"]
    excused = sum(bool(f["excuse"]) for f in findings)
    counts = {
        "tests": len(findings) + 1,
        "failures": len(findings) - excused + (code in FAILURES),
        "errors": int(code not in (*WELL, *FAILURES)),
    }
    totals = {"name": "offload-fuzz", "time": f"{data['seconds']:.3f}", **counts}
    top = _element("testsuites", totals)
    suite = _element("testsuite", {**totals, "skipped": excused}, top)
    properties = _element("properties", {}, suite)
    for name, value in _properties(data).items():
        _element("property", {"name": name, "value": value}, properties)
    _campaign(suite, data)
    for finding in findings:
        _finding(suite, finding)
    ET.indent(top, " ")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(top, encoding="unicode")}\n'


def _properties(data: Mapping[str, Any]) -> dict[str, Any]:
    counts = {f"count.{name}": n for name, n in data["counts"].items() if isinstance(n, int)}
    return {
        "seed": data["settings"]["seed"],
        "devices": ", ".join(data["settings"]["devices"]),
        "command": data["commands"]["run"],
        "exit_code": data["exit_code"],
        **counts,
        **{f"environment.{name}": text for name, text in data["environment"].items()},
    }


def _campaign(suite: ET.Element, data: Mapping[str, Any]) -> None:
    case = _case(suite, "campaign", f"seed {data['settings']['seed']}", f"{data['seconds']:.3f}")
    if data["exit_code"] not in WELL:
        kind = "failure" if data["exit_code"] in FAILURES else "error"
        told = {"message": data["verdict"], "type": f"exit code {data['exit_code']}"}
        _element(kind, told, case, data["error"])
    rows = "\n".join(f"{row['label']:<9} {row['text']}" for row in data["summary"])
    _element("system-out", {}, case, rows)


def _finding(suite: ET.Element, finding: Mapping[str, Any]) -> None:
    case = _case(suite, "finding", f"{finding['id']}: {finding['kind']}", "0")
    if finding["file"]:
        case.set("file", _clean(finding["file"]))
    if finding["excuse"]:
        _element("skipped", {"message": finding["excuse"]}, case)
        _element("system-out", {}, case, finding["text"])
    else:
        _element("failure", {"message": finding["message"], "type": finding["kind"]}, case, finding["text"])


def _case(suite: ET.Element, kind: str, name: str, time: str) -> ET.Element:
    return _element("testcase", {"classname": f"offload-fuzz.{kind}", "name": name, "time": time}, suite)


def _element(tag: str, attributes: Mapping[str, Any], parent: ET.Element | None = None, text: str = "") -> ET.Element:
    found = ET.Element(tag, {name: _clean(str(value)) for name, value in attributes.items()})
    if text:
        found.text = _clean(text)
    if parent is not None:
        parent.append(found)
    return found


def _clean(text: str) -> str:
    """`text` without what XML cannot hold, shown by its escape instead."""
    return NOT_XML.sub(lambda found: repr(found[0])[1:-1], text)
