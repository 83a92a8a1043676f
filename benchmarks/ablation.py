"""Ablation: what is lost in planted faults and in cells of the boundary when a freedom is switched off.

    python benchmarks/ablation.py [--freedoms layout,route] [--classes transfer] [--max-cases 400] [--cases 2000]

One search of at most `--max-cases` case runs looks for each fault with all freedoms; its counterexample is shrunk.
A freedom that is not in the counterexample is not needed; without each one that is, the fault is looked for again. One
that is not found gets four times as many case runs; after these it counts as lost. Columns: faults lost; faults whose
counterexample needs the freedom, but which are found another way; their case runs with and without it, in all; cells
over `--cases` case runs, which are generated and not run, and the share of them that is lost. Case runs and cells are
the same on any machine.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import sys
from collections.abc import Sequence

from offload_fuzz.adapters.simulated import FAULTS
from offload_fuzz.adapters.simulated.faults.table import CLASSES
from offload_fuzz.campaign.cells import Cells
from offload_fuzz.campaign.loop import NoJournal
from offload_fuzz.campaign.selftest import Detection, detect
from offload_fuzz.campaign.settings import DEFAULT_DEVICES, UNIT_CASES, Settings
from offload_fuzz.campaign.unit import Unit, open_workbench
from offload_fuzz.campaign.worker import YOUNG_OBJECTS
from offload_fuzz.case import Case
from offload_fuzz.plan import FREEDOMS, Plan

#: A fault that is not found gets so many times the case runs before it counts as lost.
PATIENCE = 4


class Drawn(Unit):
    """A unit whose case runs are generated and not run."""

    def _trial(self, case: Case, plans: list[Plan], counts: object, start: int) -> None:
        """Nothing is run."""


def cells_without(freedoms: Sequence[str], cases: int, seed: int = 0) -> int:
    """Cells that a campaign on the default devices reaches without these freedoms."""
    bench, total = open_workbench(Settings(devices=DEFAULT_DEVICES, seed=seed, without=tuple(freedoms))), Cells()
    for number in range(-(-cases // UNIT_CASES)):
        unit = Drawn(bench, number, UNIT_CASES, lambda kind, data: None, NoJournal(), (0, 0))
        unit.run()
        total.merge(unit.cells.rows())
    return total.count


def search(name: str, max_cases: int, without: Sequence[str] = ()) -> Detection:
    """One search for a fault."""
    first = detect(FAULTS[name], 0, 1e9, max_cases, without=tuple(without))
    return first if first.found else detect(FAULTS[name], 0, 1e9, PATIENCE * max_cases, without=tuple(without))


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--freedoms", default=",".join(FREEDOMS))
    parser.add_argument("--classes", default=",".join(CLASSES), help="faults of these classes")
    parser.add_argument("--max-cases", type=int, default=400)
    parser.add_argument("--cases", type=int, default=2000)
    options = parser.parse_args(arguments)
    gc.set_threshold(YOUNG_OBJECTS)
    classes = options.classes.split(",")
    names = [name for name, fault in FAULTS.items() if fault.cls in classes]
    every = cells_without((), options.cases)
    with_all = {name: search(name, options.max_cases) for name in names}
    found = {name: d for name, d in with_all.items() if d.found}
    missed = ", ".join(name for name in names if name not in found) or "-"
    cases = statistics.median(d.cases for d in found.values())
    print(f"with all freedoms: {len(found)} of {len(names)} faults, median of {cases:,.0f} case runs; {every:,} cells")
    print(f"not found: {missed}")
    print(f"{'without':10} {'lost':>4} {'found':>5} {'case runs':>14} {'cells':>7} {'lost':>5}  faults that are lost")
    for freedom in options.freedoms.split(","):
        cells = cells_without((freedom,), options.cases)
        needing = [name for name, d in found.items() if freedom in d.freedoms]
        # without a device nothing but NumPy runs
        runs = {name: search(name, options.max_cases, (freedom,)) for name in needing} if freedom != "device" else {}
        kept = [name for name in needing if name in runs and runs[name].found]
        lost = [name for name in needing if name not in kept]
        before, after = (sum(some[name].cases for name in kept) for some in (found, runs))
        told = "all: nothing runs on a device" if freedom == "device" else ", ".join(lost) or "-"
        row = f"{freedom:10} {len(lost):4} {len(kept):5} {f'{before:,} to {after:,}' if kept else '-':>14} {cells:7,}"
        print(f"{row} {100 * (every - cells) / every:4.0f}%  {told}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
