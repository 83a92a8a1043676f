"""Faults found by this fuzzer and by the baseline, side by side: the same devices, ops and CPU seconds.

    python benchmarks/detection.py [--faults LIST] [--seconds 10] [--seeds 1] [--json]

Each fault is planted in simulated devices (two for the class multi-device), and each tool looks for it through the same
device protocol until a failure is seen that does not show on the lawful device, or its CPU seconds are used up. The
last row of each tool is the lawful device: what fails there is a false alarm. docs/detection.md has the table of a run.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from attrs import asdict, define
from baseline import Search, search

from offload_fuzz.adapters.simulated import FAULTS, Fault, make
from offload_fuzz.campaign.journal import RUNNING
from offload_fuzz.campaign.loop import TimeIsUp
from offload_fuzz.campaign.selftest import devices_of
from offload_fuzz.campaign.settings import UNIT_CASES, Settings
from offload_fuzz.campaign.unit import Unit, UnitDone, open_workbench
from offload_fuzz.case import parse_case
from offload_fuzz.errors import one_of
from offload_fuzz.finding.replay import FAILED, FIXED, replay_case, with_devices

TOOLS = ("offload-fuzz", "baseline")


@define
class _Clock:
    """Stands for the journal: counts case runs, and ends the unit when the CPU time is used up."""

    deadline: float
    cases: int = 0

    def write(self, phase: int, *_: int) -> None:
        self.cases += phase == RUNNING
        if self.cases % 8 == 0 and time.process_time() >= self.deadline:
            raise TimeIsUp


@define
class _Watch:
    """Keeps the first failing case as it is, not shrunk, and ends the unit there."""

    text: str = ""

    def emit(self, kind: str, data: dict[str, Any]) -> None:
        if kind == "failure":
            self.text = data["text"]
            raise UnitDone()


def ours(devices: Sequence[str], lawful: Sequence[str], number: int, max_seconds: float) -> Search:
    """The campaign, until a case fails on `devices` and not on the `lawful` ones. Shrinking is not counted."""
    bench = open_workbench(Settings(devices=list(devices), seed=number, isolation="inline"))
    outcome, started, unit = Search(), time.process_time(), 0
    clock = _Clock(started + max_seconds)
    while not outcome.found:
        watch = _Watch()
        try:
            Unit(bench, unit, UNIT_CASES, watch.emit, clock, (0, 0)).run()
        except TimeIsUp:
            break
        unit += 1
        outcome.seconds = time.process_time() - started
        if watch.text:
            case, known = parse_case(watch.text, "detection")
            healthy = with_devices(case, {f"d{i}": name for i, name in enumerate(lawful)}, "detection")
            fails = [replay_case(c, "detection", known).status for c in (case, healthy)]
            outcome.found = fails == [FAILED, FIXED]
            outcome.alarms += fails[1] == FAILED
            outcome.said = f"{known['kind']}: {', '.join(sorted({name for (name, _), _ in case.plan.non_plain()}))}"
    outcome.cases, outcome.seconds = clock.cases, min(outcome.seconds or max_seconds, max_seconds)
    return outcome


def theirs(devices: Sequence[str], lawful: Sequence[str], number: int, max_seconds: float) -> Search:
    """The baseline on devices of these names."""
    return search([make(d) for d in devices], [make(d) for d in lawful], number, max_seconds)


SEARCHES: dict[str, Callable[[Sequence[str], Sequence[str], int, float], Search]] = {
    "offload-fuzz": ours,
    "baseline": theirs,
}


def compare(fault: Fault | None, seconds: float, seeds: int) -> dict[str, Any]:
    """One fault under both tools; None: the lawful device, with which every failure is a false alarm."""
    lawful = [f"simulated:{i}" for i in range(1 if fault is None else fault.devices)]
    devices = lawful if fault is None else devices_of(fault)
    runs = {tool: [look(devices, lawful, n, seconds) for n in range(seeds)] for tool, look in SEARCHES.items()}
    name, cls = ("none", "") if fault is None else (fault.name, fault.cls)
    return {"fault": name, "class": cls, **{tool: [asdict(r) for r in found] for tool, found in runs.items()}}


def quantile(numbers: Sequence[float], share: float) -> float:
    """The smallest of `numbers` that at least `share` of them do not exceed."""
    ordered = sorted(numbers)
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)]


def is_found(record: dict[str, Any], tool: str) -> bool:
    """Whether the tool found the fault under more than half of the seeds."""
    return 2 * sum(r["found"] for r in record[tool]) > len(record[tool])


def median(record: dict[str, Any], tool: str, what: str) -> float:
    """Over the seeds that found it."""
    return statistics.median(r[what] for r in record[tool] if r["found"])


def summary(records: Sequence[dict[str, Any]]) -> str:
    """The table of the tools, and for the faults that both find the times side by side."""
    planted = [r for r in records if r["class"]]
    lawful = next((r for r in records if not r["class"]), None)
    both = [r for r in planted if all(is_found(r, tool) for tool in TOOLS)]
    head = "                           found   case runs: median, 90 %   seconds: median, 90 %   false alarms"
    lines = [head]
    for title, rows in (("", planted), (" (both find)", both)):
        for tool in TOOLS:
            found = [r for r in rows if is_found(r, tool)]
            if not found:
                continue
            cases, seconds = ([median(r, tool, what) for r in found] for what in ("cases", "seconds"))
            alarms = ""
            if lawful is not None:
                alarms = f"{sum(r['alarms'] for r in lawful[tool])} in {sum(r['cases'] for r in lawful[tool])}"
            share = f"{len(found)}/{len(rows)}"
            lines.append(
                f"{tool + title:24} {share:>7} {quantile(cases, 0.5):>17g} {quantile(cases, 0.9):>7g} "
                f"{quantile(seconds, 0.5):>15.2f} {quantile(seconds, 0.9):>7.2f}   {alarms}"
            )
    for tool in TOOLS:
        missed = [r["fault"] for r in planted if not is_found(r, tool)]
        lines.append(f"{tool} misses {len(missed)}: {', '.join(missed) or 'none'}")
    return "\n".join(lines)


def line(record: dict[str, Any]) -> str:
    """A row of the table: found, case runs and seconds of each tool."""
    cells = []
    for tool in TOOLS:
        found = [r for r in record[tool] if r["found"]]
        middle = (
            f"{median(record, tool, 'cases'):>6g} {median(record, tool, 'seconds'):>6.2f}"
            if found
            else f"{'-':>6} " * 2
        )
        cells.append(f"{len(found)}/{len(record[tool])} {middle.rstrip():>13}")
    return f"{record['fault']:32} {record['class']:17} {'   '.join(cells)}"


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faults", default="all", help="names, joined by commas")
    parser.add_argument("--seconds", type=float, default=10.0, help="CPU seconds for each fault, seed and tool")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    names = list(FAULTS) if options.faults == "all" else options.faults.split(",")
    for name in names:
        if name not in FAULTS:
            raise one_of("fault", name, FAULTS, "--faults")
    records = []
    for fault in [*(FAULTS[name] for name in names), None]:
        records.append(compare(fault, options.seconds, options.seeds))
        print(line(records[-1]), flush=True, file=sys.stderr if options.json else sys.stdout)
    print(json.dumps(records, indent=1) if options.json else summary(records))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
