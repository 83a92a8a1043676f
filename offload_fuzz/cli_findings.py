"""The commands that work on stored findings: `known` and `shrink`. What they need is imported when they run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from offload_fuzz.cli_options import (
    EXIT_CODES,
    dir_option,
    isolation_option,
    json_option,
    load_option,
    names,
    roles,
    seconds,
)
from offload_fuzz.errors import EXIT_OK, UsageError, one_of

F = TypeVar("F", bound=Callable[..., Any])


# ------------------------------------------------------------------------------------------------------------ known
@click.group(epilog=EXIT_CODES)
def known() -> None:
    """Keep a file of known issues: findings that are expected, which `run --known FILE` counts but does not fail on."""


def _file_option(command: F) -> F:
    text = "The known-issues file.  [default: known-issues.toml]"
    return click.option("--known", "file", metavar="FILE", help=text)(command)


def _witness_options(command: F) -> F:
    """What says how witnesses are replayed."""
    device = click.option("--device", "given", multiple=True, metavar="ROLE=NAME", help="Fill a role, as in `replay`.")
    repeat = click.option(
        "--repeat", type=click.IntRange(1), default=1, show_default=True, metavar="N", help="Run each N times."
    )
    return device(repeat(isolation_option(load_option(json_option(command)))))


@known.command(epilog=EXIT_CODES)
@click.argument("what", metavar="FILE|ID")
@click.option("--reason", required=True, metavar="TEXT", help="Why it is known and accepted.")
@click.option("--expect", metavar="KIND", help="fail, flaky, crash, hang or skip.  [default: what it did when found]")
@click.option("--tracker", default="", metavar="TEXT", help="Where it is dealt with.")
@click.option("--owner", default="", metavar="NAME", help="Who minds it.")
@click.option("--review", metavar="DATE", help="When to look at it again, such as 2027-01-31.")
@click.option("--backend", default="", metavar="NAME", help="The backend that has it, such as torch.")
@click.option("--versions", default="", metavar="SPEC", help='The versions of it that have it, such as ">=2.13".')
@_file_option
@dir_option
@load_option
@json_option
def add(
    what: str, file: str | None, report_dir: str | None, load: tuple[str, ...], as_json: bool, **stated: Any
) -> int:
    """Add a stored finding to the known issues.

    A finding in the state folder is copied to known-issues/ beside the file, so that it stays; another is named where
    it is.
    """
    from offload_fuzz.campaign.extension import load as load_extensions
    from offload_fuzz.finding.known import FILE
    from offload_fuzz.finding.known_file import add_finding
    from offload_fuzz.finding.store import case_files

    load_extensions(load)
    witness, *more = case_files(what, folder=report_dir)
    if more:
        raise UsageError(f"{what} is a folder of {1 + len(more)} cases but should be one file or ID [known add]")
    path = Path(file or FILE)
    issue = add_finding(path, witness, report_dir, stated)
    _say(json.dumps(_issue_json(issue), indent=1) if as_json else f"{issue.id} is in {path}: {issue.text()}")
    return EXIT_OK


def _issue_json(issue: Any) -> dict[str, Any]:
    from attrs import asdict

    return {key: str(value) for key, value in asdict(issue).items() if value}


@known.command(epilog=EXIT_CODES)
@_file_option
@_witness_options
def verify(as_json: bool, **how: Any) -> int:
    """Replay every witness: does it still fail, and as it did?

    HOLDS: as expected. STALE: it passes. NEW: it fails in another way, which is a new finding. ELSEWHERE: the entry is
    about another version. Exit 1 for an entry that is STALE or NEW.
    """
    return _end(_verified(as_json, **how), as_json)


@known.command(epilog=EXIT_CODES)
@_file_option
@click.option("--id", "ids", multiple=True, metavar="ID", help="Remove this entry, whatever its witness does.")
@_witness_options
def prune(as_json: bool, ids: tuple[str, ...], **how: Any) -> int:
    """Remove the entries whose witnesses pass; the witnesses stay, as tests that a fixed bug stays fixed."""
    from offload_fuzz.finding.known import read_known
    from offload_fuzz.finding.known_file import removed, write_known
    from offload_fuzz.report.known_issues import STALE
    from offload_fuzz.untrusted import read_text

    path = Path(_default(how["file"]))
    records: list[dict[str, Any]] = []
    if ids:
        have = [issue.id for issue in read_known(path)]
        for id in ids:
            if id not in have:
                raise one_of("--id", id, have, str(path))
        gone = list(ids)
    else:
        records = _verified(as_json, **how)
        gone = [record["id"] for record in records if record["status"] == STALE]
    if gone:
        write_known(path, removed(read_text(path), gone, str(path)))
    if as_json:
        _say(json.dumps({"exit_code": EXIT_OK, "removed": gone, "issues": records}, indent=1))
    else:
        _say(f"removed {', '.join(gone)} from {path}" if gone else f"nothing to remove from {path}")
    return EXIT_OK


def _default(file: str | None) -> str:
    from offload_fuzz.finding.known import FILE

    return file or FILE


def _verified(
    as_json: bool, file: str | None, given: tuple[str, ...], isolation: str, load: tuple[str, ...], **job: Any
) -> list[dict[str, Any]]:
    from datetime import date

    from offload_fuzz.campaign.extension import load as load_extensions
    from offload_fuzz.finding.known import read_known, warnings
    from offload_fuzz.report.known_issues import known_line, verified

    if isolation not in ("process", "inline"):
        raise one_of("isolation", isolation, ("process", "inline"), "known")
    path = _default(file)
    issues = read_known(path)
    load_extensions(load)
    job |= {"devices": roles(given), "load": load, "oracles": None, "contract": None}
    records = []
    for record in verified(issues, path, job, isolation == "inline"):
        records.append(record)
        if not as_json:
            _say(known_line(record))
    for text in [] if as_json else warnings(issues, date.today()):
        _say(f"warning   {text}")
    return records


def _end(records: list[dict[str, Any]], as_json: bool) -> int:
    from offload_fuzz.report.known_issues import exit_code_of, known_summary

    code = exit_code_of(records)
    _say(json.dumps({"exit_code": code, "issues": records}, indent=1) if as_json else known_summary(records))
    return code


def _say(text: str) -> None:
    click.echo(text)


# ----------------------------------------------------------------------------------------------------------- shrink
@click.command(epilog=EXIT_CODES)
@click.argument("what", metavar="FILE|ID")
@click.option(
    "-o", "--output", metavar="FILE", help="Where the best so far is kept.  [default: NAME.small.offload.json]"
)
@click.option("--check", metavar="CMD", help="Judge by this command: exit code 1 for a file that still fails.")
@click.option("--max-time", callback=seconds, metavar="DURATION", help="Stop after this time, such as 90s, 10m.")
@click.option("--max-cases", type=click.IntRange(1), metavar="N", help="Stop after N executions.")
@click.option("--device", "given", multiple=True, metavar="ROLE=NAME", help="Fill a role, as in `replay`.")
@click.option("--oracles", callback=names, metavar="LIST", help="Only these judges, built in or loaded.")
@click.option("--contract", metavar="FILE", help="What the devices promise, as in `run`.")
@click.option("--hang-after", callback=seconds, default="20s", show_default=True, metavar="DURATION",
              help="Silence that is a hang; also what one --check may take.")  # fmt: skip  # one option
@dir_option
@load_option
@json_option
def shrink(
    what: str,
    output: str | None,
    given: tuple[str, ...],
    oracles: tuple[str, ...] | None,
    report_dir: str | None,
    as_json: bool,
    **job: Any,
) -> int:
    """Reduce a failing case, found by whatever means, to what it needs to fail.

    The best so far is always on disk, and the same command goes on from there. At its end the case is one-minimal: each
    single step that is left was tried, and does not fail.
    """
    from offload_fuzz.campaign.extension import find_oracles
    from offload_fuzz.campaign.extension import load as load_extensions
    from offload_fuzz.campaign.reducing import Job, reduce_file
    from offload_fuzz.finding.store import case_files
    from offload_fuzz.report.reduced import reduced_text, step_text

    modules = load_extensions(job["load"])
    source, *more = case_files(what, folder=report_dir)
    if more:
        raise UsageError(f"{what} is a folder of {1 + len(more)} cases but should be one file or ID [shrink]")
    out = None if output is None else Path(output)
    found = find_oracles(oracles, modules) if oracles is not None else None
    task = Job(source=source, out=out, devices=roles(given), oracles=found, **job)
    end = reduce_file(task, lambda case, n: None if as_json else _say(step_text(case, n)))
    if as_json:
        data = {"path": str(end.path), "executions": end.executions, "one_minimal": end.minimal, "finding": end.known}
        _say(json.dumps({"exit_code": EXIT_OK, **data}, indent=1))
    else:
        _say(
            "\n"
            + reduced_text(end.case, end.known, end.before, str(end.path), end.executions, end.minimal, end.seconds)
        )
    return EXIT_OK
