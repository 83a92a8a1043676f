"""Replays as records, which travel between processes, and as the text that a person reads."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from offload_fuzz.campaign.extension import find_oracles, load
from offload_fuzz.case import read_case
from offload_fuzz.errors import EXIT_FINDING, EXIT_INCONCLUSIVE, EXIT_OK, OffloadError
from offload_fuzz.finding.rate import rate_text, wilson
from offload_fuzz.finding.replay import (
    ERROR,
    EXIT_CODES,
    FAILED,
    FLAKY,
    Replay,
    Tick,
    replay_command,
    replay_file,
    status_of,
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
    if replay.runs:
        record["interval"] = None if replay.until_fail else wilson(replay.failures, replay.runs)
    if replay.verdict is not None:
        record["verdict"] = verdict_json(replay.verdict)
    if replay.status == ERROR:
        record |= {"message": replay.message, "exit_code": replay.error_code}
    return record


def replay_inline(job: Mapping[str, Any], tick: Tick = lambda failures, runs: None) -> Iterator[Record]:
    """Replay job["files"] in this process; raises `UsageError` for what is wrong with the job as a whole."""
    modules = load(job["load"])
    oracles = find_oracles(job["oracles"], modules)
    how = {"oracles": oracles, "contract": job["contract"], "until_fail": job.get("until_fail"), "tick": tick}
    for path in job["files"]:
        yield record_of(replay_file(path, job["devices"], job["repeat"], **how))


def replay_watched(job: Mapping[str, Any]) -> Iterator[Record]:
    """Replay job["files"] in processes of their own; a crash or a hang is a failing run like others."""
    for record in supervised(replay_command(), job, job["hang_after"]):
        yield _repeated(record, job) if "at" in record else record


def _repeated(record: Record, job: Mapping[str, Any]) -> Record:
    """The record of a file whose process died, with the runs before, and with those that are left of job["repeat"]."""
    failures, runs = record.pop("at") or (0, 0)
    failures, runs = failures + 1, runs + 1
    repeat, until_fail = job["repeat"], job.get("until_fail") is not None
    if runs < repeat and not until_fail:
        (rest,) = replay_watched({**job, "files": [record["path"]], "repeat": repeat - runs})
        failures, runs = failures + rest["failures"], runs + rest["runs"]
        if rest["failures"]:
            record["verdict"] = rest["verdict"]
    interval = None if until_fail else wilson(failures, runs)
    status = status_of(failures, runs)
    return {**record, "status": status, "failures": failures, "runs": runs, "interval": interval}


def serve(line: str, send: Callable[[str], None]) -> None:
    """What the process does that `replay_watched` starts: the job on one line, records out."""
    try:
        job = json.loads(line)
        load(job["load"])
        send(json.dumps({"record": "ready"}))
        tick = lambda failures, runs: send(json.dumps({"record": "at", "at": (failures, runs)}))  # noqa: E731  # one use
        for record in replay_inline(job, tick):
            send(json.dumps(record))
    except OffloadError as error:
        send(json.dumps({"record": "error", "message": str(error), "exit_code": error.exit_code}))


# ------------------------------------------------------------------------------------------------------------- text
def replay_text(record: Record, devices: Mapping[str, str]) -> str:
    """One line, and below it the block of a case that failed."""
    path, status = record["path"], record["status"]
    if status == ERROR:
        return f"{status:<8} {path}: {record['message']}"
    runs = runs_text(record)
    if status not in (FAILED, FLAKY):
        return f"{status:<8} {path}: {runs}"
    verdict = record["verdict"]
    case, stored = read_case(path)
    known = {**stored, **verdict, "failures": record["failures"], "repeats": record["runs"], "executions": 0}
    if devices:
        known |= {"needs": [], "plans": [], "chain": []}  # found on other devices
        known |= dict.fromkeys(("damage", "nearest", "seen"), "")
    for label in ("claim", "expected"):
        known[label] = known[label] or stored.get(label, "")
    if verdict["kind"] == stored.get("kind") and verdict["kind"] in ("crash", "hang"):
        known["divergent"] = stored.get("divergent")
    return f"{status:<8} {path}: {runs}\n\n{finding_block(with_devices(case, devices, path), known)}\n"


def runs_text(record: Record) -> str:
    """`2 of 2 runs failed (...)`, with a confidence interval where there was more than one run."""
    failures, runs = record["failures"], record["runs"]
    text = f"{failures} of {number(runs, 'run')} failed"
    if record.get("interval") is None:
        return f"run {runs:,} failed, the first to do so" if failures else text
    return f"{text} ({rate_text(failures, runs)})" if runs > 1 else text


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
