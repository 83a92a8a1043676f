"""Which findings do not fail a run: those that a known issue covers, those of a baseline, those of other kinds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from attrs import field, frozen

from offload_fuzz.errors import InvalidFile, OffloadError, UsageError, one_of
from offload_fuzz.finding.known import Issue, out_of_scope, read_known, warnings, witness_path
from offload_fuzz.untrusted import load_json, read_text

#: Kinds of findings, with what they are; oracles of one's own may have others.
KINDS = {
    "wrong value": "a result that the contract does not allow",
    "plans disagree": "two plans of one program that give different results",
    "wrong shape": "a result of another shape",
    "wrong dtype": "a result of another dtype",
    "wrong type": "a result that is no array",
    "raised": "an error where the reference raises none",
    "out of memory early": "memory that is used up though the plan needs little of what the device declares",
    "memory lost": "memory that is gone after the device had run out of it: the same plan does not come as far again",
    "broken after out of memory": "an error of a device that had run out of memory before, and should work on",
    "wrong after out of memory": "a wrong result of a small program after the device had run out of memory",
    "ran elsewhere": "a node that ran on another device than the plan says",
    "hidden fallback": "a node that ran on the host or another device, as the device's ledger tells",
    "extra transfer": "a transfer that the plan did not ask for, or a larger one",
    "stale read": "a read of memory that is stale, never written or released, whatever its value",
    "input overwritten": "an input that was changed",
    "host mode changed": "rounding mode or flush-to-zero of the host process changed",
    "crash": "a process that ended",
    "hang": "a process that fell silent",
}


@frozen
class Seen:
    """A finding that was seen before: its ID, kind and ops, and the words for why it does not count."""

    id: str
    kind: str
    ops: frozenset[str]
    words: str


@frozen
class Excuses:
    """Tells of a finding why it does not fail the run. warnings: what is to be said of the known issues."""

    issues: tuple[Issue, ...] = ()
    seen: tuple[Seen, ...] = ()
    fail_on: tuple[str, ...] | None = None
    warnings: tuple[str, ...] = field(default=())

    def excuse(self, id: str, data: Mapping[str, Any], reduced: bool) -> str:
        """Why a finding does not count, or nothing; data: the JSON data of its case file.

        reduced: it is shrunk, so that its ID is its own. The ID of one that is not, as the time was up, says nothing:
        it is excused where it has the kind and all the ops of a finding that is.
        """
        kind = data["finding"]["kind"]
        devices = tuple(data["devices"].values())
        for issue in self.issues:
            if issue.covers(id, kind, devices):
                return issue.text()
        ops = {node["op"] for node in data["nodes"]}
        for seen in self.seen:
            if seen.kind == kind and seen.id == id:
                return seen.words
            if not reduced and seen.kind == kind and seen.ops <= ops:
                return f"not shrunk, as the time was up, and perhaps {seen.id}: {seen.words}"
        if self.fail_on is not None and kind not in self.fail_on:
            return f"--fail-on leaves out {kind}"
        return ""


def excuses(known: str | None, baseline: str | None, fail_on: Sequence[str] | None, custom: bool = False) -> Excuses:
    """What the options of `run` excuse; raises `UsageError` for a file or kind that is wrong.

    custom: oracles of the user's may give kinds of their own, so that any name is one.
    """
    issues = read_known(known) if known is not None else []
    seen = [s for issue in issues if known is not None and (s := _witnessed(issue, known)) is not None]
    if baseline is not None:
        seen += read_baseline(baseline)
    told = warnings(issues, date.today())
    return Excuses(tuple(issues), tuple(seen), None if fail_on is None else _kinds(fail_on, custom), tuple(told))


def _kinds(names: Sequence[str], custom: bool) -> tuple[str, ...]:
    found = tuple(name.replace("-", " ").replace("_", " ") for name in names)
    for name in found:
        if name not in KINDS and not custom:
            raise one_of("kind", name, KINDS, "--fail-on")
    return found


def _witnessed(issue: Issue, file: str) -> Seen | None:
    """What the witness of an issue shows, for findings that are not shrunk; None where it does not hold.

    A witness that cannot be read is what `offload-fuzz known verify` is for.
    """
    if not issue.witness or out_of_scope(issue):
        return None
    path = witness_path(issue, file)
    try:
        return _seen(issue.id, load_json(read_text(path), path), issue.text(), path)
    except OffloadError:
        return None


def _seen(id: str, data: Any, words: str, where: str) -> Seen:
    try:
        return Seen(id, str(data["finding"]["kind"]), frozenset(str(n["op"]) for n in data["nodes"]), words)
    except (KeyError, TypeError):
        raise InvalidFile(f"case has no finding of a kind, or no nodes, but should [{where}]") from None


def read_baseline(path: str | Path) -> list[Seen]:
    """The findings of an earlier report.json; raises `InvalidFile` for a file that is none."""
    where = str(path)
    data = load_json(read_text(path), where)
    if not isinstance(data, dict) or data.get("format") != "offload-fuzz report":
        raise InvalidFile(f'file has no "format": "offload-fuzz report", so it is no report.json [{where}]')
    if data.get("version") != 1:
        raise UsageError(f"report has version {str(data.get('version'))[:20]} but should have 1 [{where}]")
    rows = data.get("findings")
    if not isinstance(rows, list):
        raise InvalidFile(f"findings is {type(rows).__name__} but should be a list [{where}]")
    found = []
    for i, row in enumerate(rows):
        if not isinstance(row, dict) or not isinstance(row.get("id"), str):
            raise InvalidFile(f"finding has no id but should [{where}, findings[{i}]]")
        found.append(_seen(row["id"], row.get("case"), f"in the baseline {where}", f"{where}, findings[{i}]"))
    return found
