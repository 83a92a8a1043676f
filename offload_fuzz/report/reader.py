"""Reads report.json as what it is: a file that nobody vouches for."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from offload_fuzz.campaign.report import FORMAT, VERSION
from offload_fuzz.errors import InvalidFile
from offload_fuzz.report.formats import FORMATS
from offload_fuzz.report.schema import violation
from offload_fuzz.untrusted import clean, cut, load_json, read_text, shown

SCHEMA = "report.schema.json"


@cache
def schema() -> dict[str, Any]:
    """The published JSON Schema of report.json."""
    return dict(json.loads(files("offload_fuzz.report").joinpath(SCHEMA).read_text(encoding="utf-8")))


def read_report(path: str | Path) -> dict[str, Any]:
    """The data in a report.json, or in the one of a folder; control characters in it are escaped.

    Raises `InvalidFile` for a file that is something else, of a later version, or does not keep the schema.
    """
    place = Path(path)
    if place.is_dir():
        place = place / FORMATS["json"].file
    return report_from_json(load_json(read_text(place), str(place)), str(place))


def report_from_json(data: Any, where: str) -> dict[str, Any]:
    """JSON data as a report; raises `InvalidFile`."""
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise InvalidFile(f'file has no "format": "{FORMAT}", so it is not a report [{where}]')
    version = data.get("version")
    if type(version) is not int or version < 1:
        raise InvalidFile(f"file has version {shown(version)} but the first is 1 [{where}]")
    if version > VERSION:
        what = f"file has version {cut(str(version), 20)} but this program reads up to {VERSION}"
        raise InvalidFile(f"{what} [{where}]; upgrade offload-fuzz")
    wrong = violation(data, schema()) or _unknown_places(data) or _odd_tables(data)
    if wrong is not None:
        raise InvalidFile(f"report does not keep its schema: {cut(wrong)} [{where}]")
    return dict(clean(data))


def _unknown_places(data: dict[str, Any]) -> str | None:
    """What no schema says: arrows lead from box to box, boxes stand in lanes, each once."""
    for i, finding in enumerate(data["findings"]):
        graph, at = finding["graph"], f"at findings[{i}].graph"
        lanes = [lane["role"] for lane in graph["lanes"]]
        values = [node["value"] for node in graph["nodes"]]
        if len({*lanes}) < len(lanes) or len({*values}) < len(values):
            return f"a lane or a value stands twice {at}"
        known = {*values}
        for edge in graph["edges"]:
            if not {edge["from"], edge["to"]} <= known:
                return f"an edge goes from {edge['from']} to {edge['to']} but should join two of the nodes {at}"
        for node in graph["nodes"]:
            if node["role"] not in lanes:
                return f"node {node['value']} is on {node['role']} but should be on one of the lanes {at}"
    roles = {place["role"] for place in data["coverage"]["places"]}
    pairs = [r for pair in data["coverage"]["pairs"] for r in (pair["from"], pair["to"])]
    for role in [*pairs, *(p["role"] for op in data["coverage"]["ops"] for p in op["places"])]:
        if role not in roles:
            return f"{role} should be one of the places at coverage"
    return None


def _odd_tables(data: dict[str, Any]) -> str | None:
    """What no schema says: the tables of the boundary have a row and a column for each value of their axes."""
    b = data["coverage"].get("boundary")
    for i, table in enumerate(b["tables"] if b else ()):
        at = f"at coverage.boundary.tables[{i}]"
        for axis in (table["rows"], table["columns"]):
            if axis not in b["axes"]:
                return f"{shown(axis)} should be one of the axes {at}"
        size = len(b["axes"][table["rows"]]), len(b["axes"][table["columns"]])
        for numbers in (table["reached"], table["reachable"]):
            if len(numbers) != size[0] or any(len(row) != size[1] for row in numbers):
                return f"the table should have {size[0]} rows of {size[1]} numbers {at}"
    return None
