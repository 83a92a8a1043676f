"""Known-issues files as text: an entry is added at the end or cut out; all else stays as a hand has written it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Mapping
from datetime import date
from pathlib import Path
from typing import Any

from attrs import asdict

from offload_fuzz.case import read_case
from offload_fuzz.errors import UsageError
from offload_fuzz.finding.known import FIELDS, Issue, check_issue, parse_known
from offload_fuzz.finding.store import STATE
from offload_fuzz.untrusted import read_text

HEAD = (
    "# Findings that are expected: `offload-fuzz run --known FILE` does not fail on them. See docs/known-issues.md.\n"
)
#: Folder beside the known-issues file that keeps witnesses from the state folder.
COPIES = "known-issues"
_HEADER = re.compile(r"^[ \t]*\[\[[ \t]*issue[ \t]*\]\]", re.MULTILINE)


def entry_text(issue: Issue) -> str:
    """The TOML of one entry, its fields in the order of `FIELDS`."""
    stated = {key: value for key in FIELDS if (value := asdict(issue)[key])}
    # JSON strings and lists of them are TOML's too, as the fields are printable
    lines = [f"{k} = {v if isinstance(v, date) else json.dumps(v, ensure_ascii=False)}" for k, v in stated.items()]
    return "\n".join(["[[issue]]", *lines]) + "\n"


def added(text: str, issue: Issue, where: str) -> str:
    """`text` with an entry more at its end; raises `UsageError` for an ID that is there already."""
    before = parse_known(text, where)
    if any(issue.id == other.id for other in before):
        raise UsageError(f"issue {issue.id} is known already but should be added once [{where}]; edit its entry")
    head = text if text.strip() else HEAD
    new = f"{head.rstrip()}\n\n{entry_text(issue)}"
    return _checked(new, [*before, issue], where)


def removed(text: str, ids: Collection[str], where: str) -> str:
    """`text` without the entries of `ids`; what stands above the header of an entry, as comments, stays.

    Raises `UsageError` where the file is written in a way that this cannot be done without harm.
    """
    before = parse_known(text, where)
    starts = [m.start() for m in _HEADER.finditer(text)]
    kept = [i for i in before if i.id not in ids]
    if len(starts) != len(before):
        raise UsageError(f"entries are not each under a line [[issue]] [{where}]; remove {', '.join(ids)} by hand")
    out, at = "", 0
    for start, end, issue in zip(starts, [*starts[1:], len(text)], before, strict=True):
        if issue.id in ids:
            block = text[start:end]
            tail = re.search(r"(?:^[ \t]*(?:#.*)?\n?)*\Z", block, re.MULTILINE)  # belongs to what comes next
            out, at = out + text[at:start], start + (tail.start() if tail is not None else len(block))
    return _checked((out + text[at:]).lstrip("\n").rstrip() + "\n", kept, where)


def _checked(text: str, should_be: list[Issue], where: str) -> str:
    if parse_known(text, where) != should_be:
        raise UsageError(f"the file cannot be changed without harm to its other entries [{where}]; edit it by hand")
    return text


def write_known(path: Path, text: str) -> None:
    """Write the file, all of it or nothing; raises `UsageError` when it cannot be written."""
    unfinished = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(path)
    except OSError as error:
        raise UsageError(f"known issues {path} cannot be written: {error.strerror}; name another file") from None


def add_finding(path: Path, witness: Path, state: str | None, stated: Mapping[str, Any]) -> Issue:
    """Add the finding in the case file `witness` to the file at `path`; returns the new entry.

    stated: the other fields, as the command line has them; without `expect` it is what the finding did. A witness in
    the state folder is copied to known-issues/ beside the file, as a state folder is not kept. Raises `UsageError`.
    """
    _, finding = read_case(witness)
    if not finding.get("id"):
        raise UsageError(f"case has no ID but should be a finding of a campaign [{witness}]")
    text = read_text(path) if path.exists() else ""
    folder = path.parent
    kept = folder / COPIES / witness.name
    inside = Path(state or STATE).resolve() in witness.resolve().parents
    where = kept if inside else witness
    row = {
        "id": finding["id"],
        "expect": stated["expect"] or expectation(finding),
        "witness": Path(os.path.relpath(where, folder)).as_posix(),
        **{key: stated[key] for key in ("reason", "tracker", "owner", "backend", "versions") if stated[key]},
    }
    if stated["review"] is not None:
        row["review"] = _date(stated["review"])
    issue = check_issue(row, "known add")
    new = added(text, issue, str(path))
    if inside:
        write_known(kept, read_text(witness))
    write_known(path, new)
    return issue


def expectation(finding: Mapping[str, Any]) -> str:
    """What a stored finding is expected to do again."""
    if finding.get("kind") in ("crash", "hang"):
        return str(finding["kind"])
    return "flaky" if finding.get("failures", 1) < finding.get("repeats", 1) else "fail"


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"--review is {text!r} but should be a date such as 2027-01-31 [known add]") from None
