"""report.json as a file: real reports keep the published schema, whatever else is in one gives one clear error."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from offload_fuzz import api
from offload_fuzz.adapters.noop import NoopDevice
from offload_fuzz.errors import InvalidFile
from offload_fuzz.report.document import document
from offload_fuzz.report.formats import FORMATS, render
from offload_fuzz.report.reader import read_report, report_from_json, schema
from offload_fuzz.report.schema import violation

from ..doors.reports import REPORTS, stored


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a real campaign on a faulty device wrote."""
    folder = tmp_path_factory.mktemp("real")
    devices = ["simulated:0+upload_strides_ignored", "simulated:1"]
    api.run(devices, max_cases=300, seed=1, isolation="inline", report_dir=folder, reports=tuple(FORMATS))
    for form in FORMATS.values():
        assert not form.file or (folder / form.file).stat().st_size
    return read_report(folder)


# ----------------------------------------------------------------------------------------------------------- schema
def test_a_real_report_with_findings_reads_back_and_every_format_can_be_made_of_it(real: dict[str, Any]) -> None:
    assert real["findings"]
    assert real["commands"]["run"] == (
        "offload-fuzz run simulated:0+upload_strides_ignored simulated:1 --seed 1 --max-cases 300 --isolation inline"
    )
    for form in FORMATS:
        assert render(form, real)
    assert report_from_json(json.loads(render("json", real)), "again") == real


def test_an_independent_validator_agrees_on_schema_and_reports(real: dict[str, Any]) -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed; the extra `test` has it")
    jsonschema.Draft202012Validator.check_schema(schema())
    validator = jsonschema.Draft202012Validator(schema())
    for data in (real, *map(stored, REPORTS)):
        validator.validate(data)
    for name, change, _ in WRONG:
        data = changed(change)
        if name == "an id with a newline":
            continue  # jsonschema reads patterns as Python does, where $ also stands before a last newline
        if violation(data, schema()) is not None:
            assert not validator.is_valid(data)


def test_every_key_that_is_written_is_in_the_schema(real: dict[str, Any]) -> None:
    root = schema()

    def unknown(data: Any, rule: dict[str, Any], at: str) -> list[str]:
        rule = root["$defs"][rule["$ref"].removeprefix("#/$defs/")] if "$ref" in rule else rule
        if isinstance(data, list):
            return [u for item in data for u in unknown(item, rule["items"], f"{at}[]")]
        if not isinstance(data, dict) or "properties" not in rule:
            return []
        free = at == ".settings"  # the options of `run`, listed by --help
        return [
            u
            for key, value in data.items()
            for u in (
                unknown(value, rule["properties"][key], f"{at}.{key}")
                if key in rule["properties"]
                else [] if free else [f"{at}.{key}"]
            )
        ]  # fmt: skip  # one walk

    for data in (real, *map(stored, REPORTS)):
        assert unknown(data, root, "") == []


def test_a_schema_with_a_keyword_that_is_not_known_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^schema has uniqueItems, which is not known here \[top level\]$"):
        violation([], {"type": "array", "uniqueItems": True})


# ----------------------------------------------------------------------------------------------------------- reader
def changed(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    data = copy.deepcopy(stored("two"))
    change(data)
    return data


#: name, what is done to a good report, the error.
WRONG: list[tuple[str, Callable[[dict[str, Any]], object], str]] = [
    ("another file", lambda d: d.update(format="offload-fuzz case"),
     'file has no "format": "offload-fuzz report", so it is not a report [FILE]'),
    ("a later version", lambda d: d.update(version=2),
     "file has version 2 but this program reads up to 1 [FILE]; upgrade offload-fuzz"),
    ("no version", lambda d: d.pop("version"), "file has version None but the first is 1 [FILE]"),
    ("a missing key", lambda d: d.pop("coverage"),
     "report does not keep its schema: coverage is missing at top level [FILE]"),
    ("a text for a number", lambda d: d["findings"][1].update(count="2"),
     "report does not keep its schema: '2' should be integer at findings[1].count [FILE]"),
    ("a bool for a number", lambda d: d.update(median_nodes=True),
     "report does not keep its schema: True should be integer at median_nodes [FILE]"),
    ("a negative number", lambda d: d["coverage"]["pairs"][0].update(covered=-1),
     "report does not keep its schema: -1 should be at least 0 at coverage.pairs[0].covered [FILE]"),
    ("an id that would be markup", lambda d: d["findings"][0].update(id="F1\"><script>"),
     "report does not keep its schema: 'F1\"><script>' should be like ^[A-Za-z0-9_-]{1,80}$ at findings[0].id [FILE]"),
    ("an id with a newline", lambda d: d["findings"][0].update(id="F1\n"),
     "report does not keep its schema: 'F1\\n' should be like ^[A-Za-z0-9_-]{1,80}$ at findings[0].id [FILE]"),
    ("another kind of node", lambda d: d["findings"][0]["graph"]["nodes"][0].update(kind="x"),
     "report does not keep its schema: 'x' should be one of ['input', 'node', 'return'] at "
     "findings[0].graph.nodes[0].kind [FILE]"),
    ("an edge to nowhere", lambda d: d["findings"][0]["graph"]["edges"][0].update(to=99),
     "report does not keep its schema: an edge goes from 0 to 99 but should join two of the nodes at "
     "findings[0].graph [FILE]"),
    ("a node without a lane", lambda d: d["findings"][0]["graph"]["nodes"][0].update(role="d7"),
     "report does not keep its schema: node 0 is on d7 but should be on one of the lanes at findings[0].graph [FILE]"),
    ("a value twice", lambda d: d["findings"][0]["graph"]["nodes"][0].update(value=1),
     "report does not keep its schema: a lane or a value stands twice at findings[0].graph [FILE]"),
    ("a place that is not there", lambda d: d["coverage"]["pairs"][0].update(to="d9"),
     "report does not keep its schema: d9 should be one of the places at coverage [FILE]"),
    ("a table of an axis that is not there", lambda d: d["coverage"]["boundary"]["tables"][0].update(rows="node"),
     "report does not keep its schema: 'node' should be one of the axes at coverage.boundary.tables[0] [FILE]"),
    ("a table with a row too few", lambda d: d["coverage"]["boundary"]["tables"][1]["reached"].pop(),
     "report does not keep its schema: the table should have 2 rows of 2 numbers at coverage.boundary.tables[1] "
     "[FILE]"),
    ("a finding that is none", lambda d: d["findings"].append(3),
     "report does not keep its schema: 3 should be object at findings[2] [FILE]"),
]  # fmt: skip  # a table


@pytest.mark.parametrize(("change", "message"), [w[1:] for w in WRONG], ids=[w[0] for w in WRONG])
def test_what_is_wrong_in_a_report_is_named(
    change: Callable[[dict[str, Any]], object], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "report.json"
    path.write_text(json.dumps(changed(change)))
    with pytest.raises(InvalidFile) as caught:
        read_report(path)
    assert str(caught.value) == message.replace("FILE", str(path))


@pytest.mark.parametrize("text", ["", "[]", "3", "{", '{"format": "offload-fuzz report"}', "[" * 1000, "\ud7ff\x00"])
def test_what_is_no_report_at_all_is_refused_in_one_line(text: str, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text(text)
    with pytest.raises(InvalidFile) as caught:
        read_report(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_keys_that_are_not_known_are_ignored() -> None:
    data = changed(lambda d: d.update(later={"a": [1]}))
    assert render("html", report_from_json(data, "report.json")) == render("html", stored("two"))


def test_no_leaf_of_a_report_can_be_of_another_type_unseen_and_break_a_format() -> None:
    """Each leaf and each branch in turn becomes something else: it is refused, or every format bears it."""
    good = changed(lambda d: [f.update(case={}) for f in d["findings"]])
    for path in paths(good):
        other: Any
        for other in (None, -1, "x", [], {}):
            data = copy.deepcopy(good)
            holder = data
            for step in path[:-1]:
                holder = holder[step]
            holder[path[-1]] = other
            try:
                read = report_from_json(data, "report.json")
            except InvalidFile:
                continue
            for form in FORMATS:
                assert render(form, read), (path, other)


def paths(data: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where something stands in a report, of lists the first entries only, and nothing inside of cases."""
    steps = (
        list(data.items()) if isinstance(data, dict) else list(enumerate(data))[:2] if isinstance(data, list) else []
    )
    found = [(*at, key) for key, _ in steps]
    for key, value in steps:
        if key != "case":
            found += paths(value, (*at, key))
    return found


def test_a_report_with_devices_that_are_objects_names_them() -> None:
    report = api.run([NoopDevice("noop:0")], max_cases=5, reports=())
    data = document(report)
    assert data["settings"]["devices"] == ["noop:0"]
    assert data["commands"]["run"] == ""
    assert violation(data, schema()) is None


# --------------------------------------------------------------------------------------------------------- coverage
def test_coverage_tables_add_up_to_the_counts(real: dict[str, Any]) -> None:
    counts, coverage = real["counts"], real["coverage"]
    assert sum(pair["covered"] for pair in coverage["pairs"]) == counts["pairs_covered"]
    assert sum(pair["reachable"] for pair in coverage["pairs"]) == counts["pairs_reachable"]
    assert {op["op"]: op["nodes"] for op in coverage["ops"] if op["nodes"]} == counts["ops"]
    assert [place["role"] for place in coverage["places"]] == ["host", "d0", "d1"]
    for op in coverage["ops"]:
        for place in op["places"]:
            assert place["runnable"] <= op["nodes"]
            assert place["runnable"] or not place["runs"]
        assert op["places"][0]["runnable"] == op["nodes"]  # the host runs all
