"""What report.json holds: all that a report tells, so that every other report is made from it alone.

The schema is `report.schema.json` beside this file; what the keys mean stands in docs/files.md.
"""

from __future__ import annotations

import json
from typing import Any

from attrs import asdict

from offload_fuzz import __version__
from offload_fuzz.campaign.boundary import boundary_json
from offload_fuzz.campaign.coverage import coverage_json
from offload_fuzz.campaign.report import Found, Report
from offload_fuzz.case import Case, parse_case
from offload_fuzz.finding.store import FINDINGS, SUFFIX, environment
from offload_fuzz.report.block import choices_of, finding_block, input_lines, program_lines, replay_commands
from offload_fuzz.report.commands import replay_options, run_command
from offload_fuzz.report.graph import graph
from offload_fuzz.report.summary import drawn_from, rows, verdict
from offload_fuzz.untrusted import clean

#: What is known of a failure and stands in the finding's own entry; the value where it is not known.
KNOWN: dict[str, Any] = {
    **dict.fromkeys(("kind", "message", "claim", "rule", "expected", "got", "nearest", "damage", "seen"), ""),
    **dict.fromkeys(("ulps", "divergent"), None),
    **dict.fromkeys(("failures", "repeats", "executions"), 0),
    "attempts": 1,
    "chain": [],
    "plans": [],
    "origin": {},
    "environment": {},
}


def document(report: Report) -> dict[str, Any]:
    """The content of report.json, plain JSON data, control characters escaped."""
    options = replay_options(asdict(report.settings))
    names = [_name(d) for d in report.settings.devices]
    data = {
        **report.to_json(),
        "tool": {"name": "offload-fuzz", "version": __version__},
        "environment": environment(),
        "folder": report.folder,
        "verdict": verdict(report),
        "summary": [{"label": label, "text": text} for label, text in rows(report)],
        "commands": {"run": run_command(report.settings)},
        "coverage": {
            **coverage_json(report.counts, names, drawn_from(report.settings)),
            "boundary": boundary_json(report),
        },
        "findings": [_finding(f, report.folder, options) for f in report.findings],
    }
    return dict(clean(json.loads(json.dumps(data, default=_name))))


def _name(device: Any) -> str:
    """A device by its name, also one given as an object."""
    return device if isinstance(device, str) else str(getattr(device, "name", type(device).__name__))


def _finding(found: Found, folder: str, options: list[str]) -> dict[str, Any]:
    case, known = parse_case(found.text, found.id)
    file = f"{FINDINGS}/{found.id}{SUFFIX}" if folder else ""
    path = f"{folder}/{file}" if folder else None
    divergent = known.get("divergent")
    return {
        "id": found.id,
        "count": found.count,
        "excuse": found.excuse,
        **{key: known.get(key, missing) for key, missing in KNOWN.items()},
        "file": file,
        "line": line_of(case, divergent),
        "devices": [{"role": f"d{i}", "device": name} for i, name in enumerate(case.devices)],
        "program": program_lines(case, divergent),
        "inputs": input_lines(case),
        "needs": choices_of(case, known),
        "graph": graph(case, divergent),
        "commands": {"replay": replay_commands(case, path, options)[0] if path else ""},
        "text": finding_block(case, known, path, options, found.count),
        "case": found.data,
    }


def line_of(case: Case, value: int | None) -> int:
    """The line of a value in the case's file, in which each input and each node has one; 1 where there is none."""
    if value is None:
        return 1
    inputs = len(case.program.inputs)
    if value < inputs:
        return 6 + value
    return 7 + value if not inputs else 8 + value
