"""Replays as records, which travel between processes, and as the text that a person reads."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from offload_fuzz.campaign.extension import find_oracles, load
from offload_fuzz.case import read_case
from offload_fuzz.errors import EXIT_FINDING, EXIT_INCONCLUSIVE, EXIT_OK, OffloadError
from offload_fuzz.finding.replay import (
    ERROR,
    EXIT_CODES,
    FAILED,
    FLAKY,
    Replay,
    replay_command,
    replay_file,
    supervised,
    with_devices,
)
from offload_fuzz.finding.store import verdict_json
from offload_fuzz.report.block import finding_block
from offload_fuzz.report.summary import EXIT_MEANINGS, number

Record = dict[str, Any]


def record_of(replay: Replay) -> Record:
    """A replay as JSON data."""
    record: Record = {"path": replay.path, "status": replay.status, "failures": replay.failures, "runs": replay.runs}
    if replay.verdict is not None:
        record["verdict"] = verdict_json(replay.verdict)
    if replay.status == ERROR:
        record |= {"message": replay.message, "exit_code": replay.error_code}
    return record


def replay_inline(job: Mapping[str, Any]) -> Iterator[Record]:
    """Replay job["files"] in this process; raises `UsageError` for what is wrong with the job as a whole."""
    modules = load(job["load"])
    oracles = find_oracles(job["oracles"], modules)
    for path in job["files"]:
        yield record_of(replay_file(path, job["devices"], job["repeat"], oracles, job["contract"]))


def replay_watched(job: Mapping[str, Any]) -> Iterator[Record]:
    """Replay job["files"] in processes of their own; a crash or a hang is a failure like others."""
    return supervised(replay_command(), job, job["hang_after"])


def serve(line: str, send: Callable[[str], None]) -> None:
    """What the process does that `replay_watched` starts: the job on one line, records out."""
    try:
        job = json.loads(line)
        load(job["load"])
        send(json.dumps({"record": "ready"}))
        for record in replay_inline(job):
            send(json.dumps(record))
    except OffloadError as error:
        send(json.dumps({"record": "error", "message": str(error), "exit_code": error.exit_code}))


# ------------------------------------------------------------------------------------------------------------- text
def replay_text(record: Record, devices: Mapping[str, str]) -> str:
    """One line, and below it the block of a case that failed."""
    path, status = record["path"], record["status"]
    if status == ERROR:
        return f"{status:<8} {path}: {record['message']}"
    runs = f"{record['failures']} of {number(record['runs'], 'run')} failed"
    if status not in (FAILED, FLAKY):
        return f"{status:<8} {path}: {runs}"
    verdict = record["verdict"]
    case, stored = read_case(path)
    known = {**stored, **verdict, "failures": record["failures"], "repeats": record["runs"], "executions": 0}
    if devices:
        known["needs"] = []  # found on other devices
    for label in ("claim", "expected"):
        known[label] = known[label] or stored.get(label, "")
    if verdict["kind"] == stored.get("kind") and verdict["kind"] in ("crash", "hang"):
        known["divergent"] = stored.get("divergent")
    return f"{status:<8} {path}: {runs}\n\n{finding_block(with_devices(case, devices, path), known)}\n"


def exit_code_of(records: Sequence[Record]) -> int:
    """Of several replays: a failure first, then what could not be run, then what could not be told."""
    codes: set[int] = {EXIT_CODES[r["status"]] if r["status"] in EXIT_CODES else r["exit_code"] for r in records}
    if EXIT_FINDING in codes:
        return EXIT_FINDING
    errors = codes - {EXIT_OK, EXIT_INCONCLUSIVE}
    if errors:
        return max(errors)
    return EXIT_INCONCLUSIVE if EXIT_INCONCLUSIVE in codes else EXIT_OK


def replay_summary(records: Sequence[Record]) -> str:
    """The last line."""
    counts = Counter(r["status"] for r in records)
    code = exit_code_of(records)
    text = ", ".join(f"{n} {status}" for status, n in counts.items())
    return f"{number(len(records), 'file')}: {text}; exit {code}: {EXIT_MEANINGS.get(code, 'an error')}"
