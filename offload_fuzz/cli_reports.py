"""The command `report`, and what `run` shares with it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import click

from offload_fuzz.cli_options import json_option, load_option, names
from offload_fuzz.errors import EXIT_OK, UsageError
from offload_fuzz.report.formats import FORMATS, check_formats

REPORTS = ", ".join(FORMATS)


def annotates() -> bool:
    """Whether this runs on a host that shows annotations."""
    return os.environ.get("GITHUB_ACTIONS") == "true"


def annotate(folder: str, data: dict[str, Any]) -> None:
    """Name the findings in the words of the host."""
    from offload_fuzz.report.annotations import annotation_lines

    for line in annotation_lines(data, folder):
        click.echo(line, err=True)  # the host reads both streams, and --json owns the other


@click.command()
@click.argument("file", metavar="FILE|DIR")
@click.option(
    "--report",
    "reports",
    callback=names,
    default="terminal",
    show_default=True,
    metavar="LIST",
    help=f"Reports: {REPORTS}.",
)
@click.option("--report-dir", metavar="DIR", help="Folder to write to.  [default: that of FILE]")
@load_option
@json_option
def report(file: str, reports: tuple[str, ...], report_dir: str | None, load: tuple[str, ...], as_json: bool) -> int:
    """Make other reports of a report.json, such as --report html,junit.

    FILE may be the folder that holds it. The exit code says whether the reports were made, not what was found.
    """
    check_formats(reports)
    from offload_fuzz.report.formats import render, write_reports
    from offload_fuzz.report.reader import read_report

    if load:
        from offload_fuzz.campaign.extension import load as load_extensions

        load_extensions(load)
    data = read_report(file)
    own = Path(file) if Path(file).is_dir() else Path(file).parent
    folder = own if report_dir is None else Path(report_dir)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"folder {folder} cannot be made: {error.strerror}; give another with --report-dir") from None
    written = write_reports(data, reports, folder)
    if as_json:
        click.echo(json.dumps({"written": [str(path) for path in written]}))
    else:
        for text in [render(name, data) for name in reports if not FORMATS[name].file] or map(str, written):
            click.echo(text.rstrip("\n"))
    if "markdown" in reports and annotates():
        annotate(str(own), data)
    return EXIT_OK
