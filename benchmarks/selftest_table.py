"""The table of docs/selftest.md: what `selftest --json` said of each fault, in Markdown, and the figures over all.

offload-fuzz selftest --seeds 5 --json > selftest.json
python benchmarks/selftest_table.py selftest.json [FILE...]     # several, where the faults were shared out
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from offload_fuzz.adapters.simulated import FAULTS
from offload_fuzz.campaign.selftest import identities

HEAD = "| fault | class | found | case runs | CPU s | nodes | choices | executions | IDs | what remains of the plan |"


def rows(records: Sequence[dict[str, Any]]) -> Iterator[str]:
    """One line for each fault, then those over all."""
    yield HEAD
    yield "|---|" + "---|" * HEAD.count(" | ")
    for r in records:
        found = f"{r['found']} of {r['seeds']}" + ("" if r["holds"] else ", does not hold")
        told = [r["nodes"], r["choices"], r["executions"], len(set(r["ids"])), ", ".join(r["freedoms"])]
        cells = [r["fault"], r["class"], found, r["cases"], r["seconds"], *(told if r["found"] else [""] * len(told))]
        yield f"| {' | '.join(map(str, cells))} |"
    yield ""
    found = [r for r in records if r["found"]]
    every = sum(r["found"] == r["seeds"] and r["holds"] for r in records)
    yield f"- found under every seed, and again in replays: {every} of {len(records)}"
    for limit in (2, 60):
        soon = sum(r["found"] == r["seeds"] and r["seconds"] <= limit for r in records)
        yield f"- median within {limit} s: {soon} of {len(records)}"
    for name in ("nodes", "choices", "executions"):
        yield f"- {name}, median over the faults: {statistics.median(r[name] for r in found):g}"
    counts = identities(records)
    yield f"- one ID under all seeds: {counts['equal']} of {counts['faults']} faults"
    yield f"- pairs of faults that share an ID: {counts['shared']} of {counts['pairs']}"


def main(files: Sequence[str]) -> None:
    """Print the table of all files together, in the order of the catalogue."""
    records = [r for f in files for r in json.loads(Path(f).read_text(encoding="utf-8"))["faults"]]
    order = {name: i for i, name in enumerate(FAULTS)}
    print("\n".join(rows(sorted(records, key=lambda r: order[r["fault"]]))))


if __name__ == "__main__":
    main(sys.argv[1:])
