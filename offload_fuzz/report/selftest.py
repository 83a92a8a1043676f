"""What `selftest` prints: a line for each fault as it is done, then how many were found."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

COLUMNS = ("fault", "found", "case runs", "seconds", "nodes", "choices", "kind", "what remains of the plan")
WIDTHS = (32, 9, 9, 7, 5, 7, 17, 0)


def heading() -> str:
    """The names of the columns."""
    return _line(COLUMNS)


def line(record: Mapping[str, Any]) -> str:
    """One fault; of one that was not found, how long it was looked for."""
    if record["lacks"]:
        found = "no reach"
    elif not record["holds"]:
        found = "UNSTABLE"
    elif record["found"] < record["seeds"]:
        found = f"{record['found']} of {record['seeds']}" if record["found"] else "MISSED"
    else:
        found = "found"
    cells = [record["fault"], found, f"{record['cases']:,}", f"{record['seconds']:.2f}"]
    if record["found"]:
        cells += [record["nodes"], record["choices"], record["kind"], ", ".join(record["freedoms"])]
    return _line(cells)


def _line(cells: Sequence[Any]) -> str:
    left = (0, 1, 6, 7)
    padded = [str(c).ljust(w) if i in left else str(c).rjust(w) for i, (c, w) in enumerate(zip(cells, WIDTHS))]  # noqa: B905  # a missed fault has no more cells
    return "  ".join(padded).rstrip()


def identities(counts: Mapping[str, int]) -> str:
    """How IDs tell faults apart."""
    same = f"one ID under all seeds for {counts['equal']} of {counts['faults']} faults found under several; "
    return f"{same}{counts['shared']} of {counts['pairs']:,} pairs of faults share an ID"


def verdict(records: Sequence[Mapping[str, Any]], missed: Sequence[str], code: int) -> str:
    """The last line."""
    found = [r for r in records if r["found"]]
    cases = f"{int(statistics.median(r['cases'] for r in found)):,} case runs (median)" if found else "no case run"
    meaning = f"missed: {', '.join(missed)}" if missed else "every fault within reach is found"
    return f"{len(found)} of {len(records)} faults found, after {cases}; exit {code}: {meaning}"
