"""The table of report formats. A format is one module with `render(data) -> str`, data being what report.json holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from offload_fuzz.errors import UsageError, one_of


class Format(NamedTuple):
    """module: in this package. file: what is written into the report folder; empty for what is printed."""

    module: str
    file: str
    summary: str


FORMATS: dict[str, Format] = {
    "terminal": Format("terminal", "", "printed: each finding and the counts that say how much was tried"),
    "json": Format("json_report", "report.json", "everything, as data; the source of all others"),
    "junit": Format("junit", "report.junit.xml", "one test case a finding and one for the campaign"),
    "markdown": Format("markdown", "report.md", "for job summaries, with a graph of each failing program"),
    "sarif": Format("sarif", "report.sarif", "SARIF 2.1.0, for code scanning"),
    "html": Format("html", "report.html", "one page that needs nothing else"),
}


def check_formats(names: Sequence[str], where: str = "--report") -> None:
    """Raises `UsageError` for a name that is not in the table."""
    for name in names:
        if name not in FORMATS:
            raise one_of("report", name, FORMATS, where)


def render(name: str, data: Mapping[str, Any]) -> str:
    """A report as text."""
    return str(import_module(f"offload_fuzz.report.{FORMATS[name].module}").render(data))


def write_reports(data: Mapping[str, Any], names: Sequence[str], folder: Path) -> list[Path]:
    """Write each report that is a file into `folder`, which is there, each of it all or nothing; returns the paths.

    Raises `UsageError` when one cannot be written.
    """
    return [_write(folder / FORMATS[name].file, render(name, data)) for name in names if FORMATS[name].file]


def _write(path: Path, text: str) -> Path:
    try:
        unfinished = path.with_name(f"{path.name}.part")
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(path)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}; give another folder with --report-dir") from None
    return path
