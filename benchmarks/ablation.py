"""Ablation: what is lost in planted faults and in cells of the boundary when a freedom is switched off.

    python benchmarks/ablation.py [--freedoms layout,transfer] [--faults NAMES] [--max-cases 400] [--cases 2000]

Each fault is looked for by one search of at most `--max-cases` case runs with all freedoms; those found are looked for
again without each freedom in turn. One that is not found then gets four times as many case runs; after these it counts
as lost. Cells are counted over `--cases` case runs that are generated and not run. Case runs and cells are the same on
any machine.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import sys
from collections.abc import Sequence

from offload_fuzz.adapters.simulated import FAULTS
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
    """One search for a fault; it is not shrunk."""
    first = detect(FAULTS[name], 0, 1e9, max_cases, without=tuple(without), shrink_budget=1)
    return first if first.found else detect(
        FAULTS[name], 0, 1e9, PATIENCE * max_cases, without=tuple(without), shrink_budget=1
    )  # fmt: skip  # patience


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--freedoms", default=",".join(FREEDOMS))
    parser.add_argument("--faults", default=",".join(FAULTS))
    parser.add_argument("--max-cases", type=int, default=400)
    parser.add_argument("--cases", type=int, default=2000)
    options = parser.parse_args(arguments)
    gc.set_threshold(YOUNG_OBJECTS)
    names = options.faults.split(",")
    with_all = {name: search(name, options.max_cases) for name in names}
    found = [name for name in names if with_all[name].found]
    missed = [name for name in names if not with_all[name].found]
    every = cells_without((), options.cases)
    print(
        f"with all freedoms: {len(found)} of {len(names)} faults, {every:,} cells; not found: {', '.join(missed) or '-'}"
    )
    print(f"{'without':10} {'faults':>6} {'case runs':>9} {'cells':>7} {'lost':>6}  faults that are not found any more")
    for freedom in options.freedoms.split(","):
        cells = cells_without((freedom,), options.cases)
        runs = {name: search(name, options.max_cases, (freedom,)) for name in found} if freedom != "device" else {}
        lost = [name for name in found if name not in runs or not runs[name].found]
        kept = [name for name in found if name not in lost]
        slower = sum(runs[n].cases for n in kept) / max(sum(with_all[n].cases for n in kept), 1)
        told = "all of them: nothing runs on a device" if freedom == "device" else ", ".join(lost) or "-"
        factor = f"x {slower:.1f}" if kept else "-"
        print(
            f"{freedom:10} {len(kept):6} {factor:>9} {cells:7,} {100 * (every - cells) / every:5.0f}%  {told}",
            flush=True,
        )
    cases = [with_all[name].cases for name in found]
    print(f"case runs to a fault with all freedoms: median {statistics.median(cases):,.0f}, most {max(cases):,}")


if __name__ == "__main__":
    main(sys.argv[1:])
