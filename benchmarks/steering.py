"""Steering: what it does to the cells of the boundary that are reached, and to how soon planted faults are found.

    python benchmarks/steering.py [--devices simulated:0,simulated:1] [--cases 10000] [--seeds 3]
    python benchmarks/steering.py --faults all [--every 3] [--seeds 3] [--max-cases 3000]

The first prints cells with and without steering after the same number of case runs and after the same CPU seconds (read
off between the ends of units). The second plants each fault and prints how many searches found it and after how many
case runs. All figures of one run come from the same process; case runs and cells are the same on any machine.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import sys
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from offload_fuzz.adapters.simulated import FAULTS
from offload_fuzz.campaign.cells import Cells
from offload_fuzz.campaign.loop import NoJournal
from offload_fuzz.campaign.reachable import features_json, reachable
from offload_fuzz.campaign.selftest import Detection, detect
from offload_fuzz.campaign.settings import UNIT_CASES, Settings
from offload_fuzz.campaign.unit import Unit, Workbench, open_workbench
from offload_fuzz.campaign.worker import YOUNG_OBJECTS


class Point(NamedTuple):
    """After so many case runs and CPU seconds, so many cells."""

    cases: int
    seconds: float
    cells: int


def curves(devices: Sequence[str], seed: int, cases: int) -> dict[bool, list[Point]]:
    """Points of one campaign with and one without steering, which take turns unit by unit."""
    benches: dict[bool, Workbench] = {
        steer: open_workbench(Settings(devices=tuple(devices), seed=seed, steer=steer, isolation="inline"))
        for steer in (False, True)
    }
    found = {steer: [Point(0, 0.0, 0)] for steer in benches}
    total = {steer: Cells() for steer in benches}
    for number in range(-(-cases // UNIT_CASES)):
        for steer, bench in benches.items():

            def emit(kind: str, data: dict[str, Any], cells: Cells = total[steer]) -> None:
                if kind == "program":
                    cells.merge(data["cells"])

            start = time.process_time()
            Unit(bench, number, UNIT_CASES, emit, NoJournal(), (0, 0)).run()
            last = found[steer][-1]
            spent = time.process_time() - start
            found[steer].append(Point(last.cases + UNIT_CASES, last.seconds + spent, total[steer].count))
    return found


def at_seconds(points: Sequence[Point], seconds: float) -> float:
    """Cells after so many CPU seconds."""
    return float(np.interp(seconds, [p.seconds for p in points], [p.cells for p in points]))


def compare_cells(devices: Sequence[str], seeds: int, cases: int) -> None:
    """Print a row for each eighth, quarter, half and the whole of `cases`, medians over the seeds."""
    runs = [curves(devices, seed, cases) for seed in range(seeds)]
    bench = open_workbench(Settings(devices=tuple(devices)))
    limits = reachable([features_json(p.features) for p in bench.places[1:]], bench.settings)
    print(f"{', '.join(devices)}: {limits.count:,} cells can be reached; medians of {seeds} seeds")
    print(
        f"{'case runs':>9} {'without':>8} {'with':>8} {'ratio':>6} {'CPU s':>7} {'without':>8} {'with':>8} {'ratio':>6}"
    )
    for part in (8, 4, 2, 1):
        rows = []
        for run in runs:
            n = len(run[False][1:]) // part
            drawn, steered = run[False][n], run[True][n]
            seconds = min(drawn.seconds, steered.seconds)
            same = [at_seconds(run[steer], seconds) for steer in (False, True)]
            rows.append((drawn.cases, drawn.cells, steered.cells, seconds, *same))
        n, drawn_cells, steered_cells, seconds, before, after = (statistics.median(c) for c in zip(*rows, strict=True))
        print(
            f"{n:9,.0f} {drawn_cells:8,.0f} {steered_cells:8,.0f} {steered_cells / drawn_cells:6.2f} "
            f"{seconds:7.1f} {before:8,.0f} {after:8,.0f} {after / before:6.2f}",
            flush=True,
        )


def compare_faults(names: Sequence[str], seeds: int, max_cases: int) -> None:
    """Print a row for each fault: searches that found it and median case runs, without and with steering."""
    print(f"{'fault':32} {'found without':>13} {'with':>5} {'case runs without':>17} {'with':>6}")
    every: dict[bool, list[Detection]] = {False: [], True: []}
    for name in names:
        runs = {
            steer: [detect(FAULTS[name], seed, 1e9, max_cases, steer=steer, shrink_budget=1) for seed in range(seeds)]
            for steer in every
        }
        for steer, found in runs.items():
            every[steer] += found
        (n, cases), (n2, cases2) = (
            (sum(d.found for d in runs[steer]), statistics.median(d.cases for d in runs[steer])) for steer in every
        )
        print(f"{name:32} {n:13} {n2:5} {cases:17,.0f} {cases2:6,.0f}", flush=True)
    for steer, word in ((False, "without"), (True, "with")):
        found = every[steer]
        cases = [d.cases for d in found]
        seconds = sum(d.seconds for d in found)
        print(
            f"{word} steering: {sum(d.found for d in found)} of {len(found)} searches found the fault; case runs "
            f"median {statistics.median(cases):,.0f}, 90th percentile {np.percentile(cases, 90):,.0f}, "
            f"mean {statistics.fmean(cases):,.0f}; {seconds:.0f} CPU s in all"
        )


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--devices", default="simulated:0,simulated:1")
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--faults", default="", help="compare how soon these are found instead: names, or all")
    parser.add_argument("--every", type=int, default=1, help="of all faults, every so many")
    parser.add_argument("--max-cases", type=int, default=3000, help="case runs of one search")
    options = parser.parse_args(arguments)
    gc.set_threshold(YOUNG_OBJECTS)
    if options.faults:
        names = list(FAULTS)[:: options.every] if options.faults == "all" else options.faults.split(",")
        compare_faults(names, options.seeds, options.max_cases)
    else:
        compare_cells(options.devices.split(","), options.seeds, options.cases)


if __name__ == "__main__":
    main(sys.argv[1:])
