"""`report.json`: what a campaign found, as data. The schema stands in docs/files.md."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from offload_fuzz.campaign.report import Report
from offload_fuzz.errors import UsageError

NAME = "report.json"


def report_text(report: Report) -> str:
    """The content of report.json."""
    return json.dumps(report.to_json(), indent=1, default=_name) + "\n"


def _name(device: Any) -> str:
    """A device given as an object, by its name."""
    return str(getattr(device, "name", type(device).__name__))


def write_report(report: Report, folder: Path) -> Path:
    """Write report.json into `folder`, all of it or nothing; raises `UsageError` when it cannot be written."""
    path = folder / NAME
    try:
        unfinished = folder / f"{NAME}.part"
        unfinished.write_text(report_text(report), encoding="utf-8")
        unfinished.replace(path)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}; give another folder with --report-dir") from None
    return path
