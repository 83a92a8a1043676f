"""Findings as annotations that a host of continuous integration shows beside a change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: Hosts show ten of one step; two are left for others.
MOST = 8


def annotation_lines(data: Mapping[str, Any], folder: str) -> list[str]:
    """One line a finding that fails the run, as GitHub Actions reads them.

    At most `MOST`, of which the last then says how many are left out. Source: "Workflow commands for GitHub
    Actions", setting an error message.
    """
    found = [f for f in data["findings"] if not f["excuse"]]
    shown = found if len(found) <= MOST else found[: MOST - 1]
    lines = [
        _line(f"{f['id']}: {f['kind']}", f["message"], f"{folder}/{f['file']}" if f["file"] else "", f["line"])
        for f in shown
    ]
    if len(shown) < len(found):
        lines.append(_line("more findings", f"{len(found) - len(shown)} more findings are in report.json", "", 1))
    return lines


def _line(title: str, message: str, file: str, line: int) -> str:
    where = f"file={_property(file)},line={line}," if file else ""
    return f"::error {where}title={_property(title)}::{_message(message)}"


def _message(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _message(text).replace(":", "%3A").replace(",", "%2C")
