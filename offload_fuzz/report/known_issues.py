"""Whether known issues still are: their witnesses replayed, each with a status and a line of text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from offload_fuzz.case import read_case
from offload_fuzz.errors import EXIT_FINDING, EXIT_INCONCLUSIVE, EXIT_OK
from offload_fuzz.finding.known import Issue, out_of_scope, witness_path
from offload_fuzz.finding.replay import ERROR, FIXED, UNCLEAR
from offload_fuzz.report.replayed import Record, replay_inline, replay_watched, runs_text
from offload_fuzz.report.summary import EXIT_MEANINGS, number

HOLDS, STALE, NEW, SKIPPED, ELSEWHERE = "HOLDS", "STALE", "NEW", "SKIPPED", "ELSEWHERE"
EXIT_CODES = {
    HOLDS: EXIT_OK,
    SKIPPED: EXIT_OK,
    ELSEWHERE: EXIT_OK,
    STALE: EXIT_FINDING,
    NEW: EXIT_FINDING,
    UNCLEAR: EXIT_INCONCLUSIVE,
}
#: Runs that the witness of a flaky issue has to pass before it is stale: at most 16% of its runs fail then.
FLAKY_RUNS = 20


def verified(issues: Sequence[Issue], file: str, job: Mapping[str, Any], inline: bool) -> Iterator[Record]:
    """A record for each issue of `file`, in order; job: how to replay, as `replay_watched` takes it."""
    for issue in issues:
        elsewhere = out_of_scope(issue)
        if issue.expect == "skip" or elsewhere or not issue.witness:
            status = ELSEWHERE if elsewhere and issue.expect != "skip" else SKIPPED
            why = elsewhere or (
                "it is never run" if issue.expect == "skip" else "`offload-fuzz conformance` looks at it"
            )
            yield {"id": issue.id, "status": status, "reason": issue.reason, "message": why}
            continue
        repeat = max(job["repeat"], FLAKY_RUNS) if issue.expect == "flaky" else job["repeat"]
        one = {**job, "files": [witness_path(issue, file)], "repeat": repeat}
        for record in replay_inline(one) if inline else replay_watched(one):
            status, message = _judged(issue, record)
            yield {"id": issue.id, "reason": issue.reason, **record, "status": status, "message": message}


def _judged(issue: Issue, record: Record) -> tuple[str, str]:
    """The status of an issue and what there is to say of it, from the replay of its witness."""
    if record["status"] == ERROR:
        return ERROR, record["message"]
    runs = runs_text(record)
    if record["status"] == UNCLEAR:
        return UNCLEAR, f"{runs}, but the reference no longer gives the stored expectation"
    if record["status"] == FIXED:
        return STALE, f"{runs}; `offload-fuzz known prune` removes the entry"
    kind, stored = record["verdict"]["kind"], read_case(record["path"])[1].get("kind")
    if not issue.covers_kind(kind) or (stored is not None and kind != stored):
        should_be = stored or f"expect = {issue.expect}"
        message = f"fails with {kind}, not {should_be}: {record['verdict']['message']}; `offload-fuzz replay` shows it"
        return NEW, message
    return HOLDS, runs


def known_line(record: Record) -> str:
    """`STALE    F518fa02a  reason: what was seen`."""
    return f"{record['status']:<9} {record['id']}  {record['reason']}: {record['message']}"


def exit_code_of(records: Sequence[Record]) -> int:
    """Of several issues: one that does not hold first, then what could not be run, then what could not be told."""
    codes: set[int] = {EXIT_CODES[r["status"]] if r["status"] in EXIT_CODES else r["exit_code"] for r in records}
    errors = codes - {EXIT_OK, EXIT_FINDING, EXIT_INCONCLUSIVE}
    if EXIT_FINDING in codes:
        return EXIT_FINDING
    return max(errors) if errors else max(codes, default=EXIT_OK)


def known_summary(records: Sequence[Record]) -> str:
    """The last line."""
    counts = Counter(r["status"] for r in records)
    code = exit_code_of(records)
    text = ", ".join(f"{n} {status}" for status, n in counts.items()) or "nothing to verify"
    meaning = "an entry does not hold" if code == EXIT_FINDING else EXIT_MEANINGS.get(code, "an error")
    return f"{number(len(records), 'known issue')}: {text}; exit {code}: {meaning}"
