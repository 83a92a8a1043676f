"""SARIF 2.1.0 (OASIS Standard), for hosts that show findings as code scanning alerts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from offload_fuzz.errors import EXIT_FINDING, EXIT_OK

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
#: Results that are written; further findings are counted in the run's properties.
MOST = 500


def render(data: Mapping[str, Any]) -> str:
    """The text of report.sarif."""
    kinds = list(dict.fromkeys(f["kind"] or "finding" for f in data["findings"]))
    run = {
        "tool": {
            "driver": {
                "name": data["tool"]["name"],
                "version": data["tool"]["version"],
                "rules": [_rule(kind) for kind in kinds],
            }
        },
        "automationDetails": {"id": f"offload-fuzz/{', '.join(data['settings']['devices'])}"},
        "invocations": [
            {
                "executionSuccessful": data["exit_code"] in (EXIT_OK, EXIT_FINDING),
                "exitCode": data["exit_code"],
                "exitCodeDescription": data["verdict"],
                **({"commandLine": data["commands"]["run"]} if data["commands"]["run"] else {}),
            }
        ],
        "results": [_result(f, kinds) for f in data["findings"][:MOST]],
        "columnKind": "unicodeCodePoints",
        "properties": {
            "seed": data["settings"]["seed"],
            "counts": {name: n for name, n in data["counts"].items() if isinstance(n, int)},
            "environment": data["environment"],
            "findingsLeftOut": max(len(data["findings"]) - MOST, 0),
        },
    }
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=1) + "\n"


def _rule(kind: str) -> dict[str, Any]:
    return {
        "id": _rule_id(kind),
        "name": "".join(word.capitalize() for word in kind.split()),
        "shortDescription": {"text": f"A plan changes the answer: {kind}"},
        "defaultConfiguration": {"level": "error"},
    }


def _rule_id(kind: str) -> str:
    return f"offload-fuzz/{'-'.join(kind.split())}"


def _result(finding: Mapping[str, Any], kinds: list[str]) -> dict[str, Any]:
    kind = finding["kind"] or "finding"
    result: dict[str, Any] = {
        "ruleId": _rule_id(kind),
        "ruleIndex": kinds.index(kind),
        "level": "error",
        "message": {"text": finding["message"] or kind, "markdown": _fenced(finding["text"])},
        "fingerprints": {"offload-fuzz/v1": finding["id"]},
        "partialFingerprints": {"primaryLocationLineHash": f"{finding['id']}:1"},
        "occurrenceCount": finding["count"],
        "properties": {
            "needs": [need["phrase"] for need in finding["needs"]],
            "devices": {place["role"]: place["device"] for place in finding["devices"]},
            "expected": finding["expected"],
            "got": finding["got"],
            "replay": finding["commands"]["replay"],
        },
    }
    if finding["excuse"]:
        result["suppressions"] = [{"kind": "external", "justification": finding["excuse"]}]
    location: dict[str, Any] = {}
    if finding["file"]:
        location["physicalLocation"] = {
            "artifactLocation": {"uri": quote(finding["file"])},
            "region": {"startLine": finding["line"]},
        }
    if finding["divergent"] is not None:
        location["logicalLocations"] = [{"name": f"v{finding['divergent']}", "kind": "variable"}]
    return {**result, "locations": [location]} if location else result


def _fenced(text: str) -> str:
    """`text` in a fence that is longer than any in it."""
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}text\n{text}\n{fence}"
