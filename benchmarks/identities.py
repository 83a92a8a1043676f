"""What becomes of the first finding of each fault over seeds: size, executions, and whether IDs agree and differ.

    python benchmarks/identities.py [--faults LIST] [--seeds N] [--max-cases N] [--cases FOLDER] [--pairs N]

Each fault is hunted from each seed as `run simulated:0+FAULT --stop-after 1` does; the first failing case is shrunk,
diagnosed and named as a campaign does. --cases keeps the failing cases as they were generated, so that another run
hunts nothing. --pairs plants N pairs of faults together and looks for a finding of each.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path

from attrs import evolve, frozen

from offload_fuzz.adapters.pool import open_places
from offload_fuzz.adapters.simulated import FAULTS
from offload_fuzz.campaign.counts import Counts
from offload_fuzz.campaign.loop import NoJournal
from offload_fuzz.campaign.selftest import PROFILE, devices_of
from offload_fuzz.campaign.settings import UNIT_CASES, Settings
from offload_fuzz.campaign.unit import Unit, UnitDone, Workbench, open_workbench, reduce_to_finding
from offload_fuzz.case import Case, parse_case
from offload_fuzz.device import Place
from offload_fuzz.execute import execute
from offload_fuzz.finding.diagnose import Diagnosis
from offload_fuzz.finding.examine import Examiner
from offload_fuzz.finding.shrink import on_places_of, shrink
from offload_fuzz.finding.store import make_finding
from offload_fuzz.lower import lower
from offload_fuzz.oracles import judge
from offload_fuzz.plan import Plan
from offload_fuzz.trial import Planned, new_trial

BUDGET = 300


@frozen
class Shrunk:
    """The first finding of one fault from one seed; id is empty where nothing was found."""

    id: str = ""
    kind: str = ""
    nodes: int = 0
    choices: int = 0
    executions: int = 0
    diagnosed: int = 0
    minimal: bool = False
    text: str = ""


class _Hunt(Unit):
    """A unit whose programs run on several devices at once, each with another fault, until each has failed once.

    Generation does not know which fault is planted: what is generated, lowered and proved for one device holds for all.
    """

    def __init__(
        self, bench: Workbench, number: int, sought: dict[str, tuple[Place, ...]], found: Callable[[str, str], None]
    ) -> None:
        super().__init__(bench, number, UNIT_CASES, lambda kind, data: None, NoJournal(), (0, 0))
        self.sought, self.keep = sought, found

    def _trial(self, case: Case, plans: list[Plan], counts: Counts, start: int) -> None:
        schedules = [lower(case.program, plan, self.bench.places) for plan in plans]
        if any(self.bench.examiner.prover.check(s) is not None for s in schedules):
            raise AssertionError("the checker rejects a schedule")
        for fault, places in list(self.sought.items()):
            trial = new_trial(case.program, places, case.values)
            for plan, s in zip(plans, schedules, strict=True):
                run = execute(s, case.program, places, plan.seed, plan.get("repeat"))
                trial.planned.append(Planned(plan, run))
            failing = [v for v in judge(trial, self.bench.examiner.oracles)[0] if v.failed]
            if failing:
                v = failing[0]
                control = None if v.control is None else plans[v.control]
                small = evolve(
                    case, plan=plans[v.plan], control=control, devices=tuple(p.spec for p in places[1:]), values=None
                )
                if Examiner(places).fails_like(small, v.kind) is None:
                    continue  # what another device with a fault has written into the host's arrays
                self.keep(fault, make_finding(small, v, Diagnosis((), v.value, 1, 1), 0, {}).text())
                del self.sought[fault]
        if not self.sought:
            raise UnitDone()


def hunt(faults: Sequence[str], seed: int, max_cases: int, found: Callable[[str, str], None]) -> None:
    """found(fault, text) for the first failing case of a campaign for each fault, all of as many devices."""
    lawful = [f"{PROFILE}:{i}" for i in range(FAULTS[faults[0]].devices)]
    bench = open_workbench(Settings(devices=tuple(lawful), seed=seed, isolation="inline"))
    sought = {fault: open_places(devices_of(FAULTS[fault])) for fault in faults}
    for number in range(-(-max_cases // UNIT_CASES)):
        _Hunt(bench, number, sought, found).run()
        if not sought:
            break


def failing_cases(faults: Sequence[str], seed: int, max_cases: int, folder: Path) -> dict[str, str]:
    """The text of the first failing case for each fault, kept in a folder; an empty one for a fault that was missed."""

    def keep(fault: str, text: str) -> None:
        (folder / f"{fault}-{seed}.json").write_text(text, encoding="utf-8")

    for devices in (1, 2):
        missing = [f for f in faults if FAULTS[f].devices == devices and not (folder / f"{f}-{seed}.json").exists()]
        if missing:
            hunt(missing, seed, max_cases, keep)
        for fault in missing:
            if not (folder / f"{fault}-{seed}.json").exists():
                keep(fault, "")
    return {fault: (folder / f"{fault}-{seed}.json").read_text(encoding="utf-8") for fault in faults}


def shrunk(text: str, prove: bool) -> Shrunk:
    """What a campaign makes of a failing case; prove: see that another reduction gets no further."""
    if not text:
        return Shrunk()
    case, known = parse_case(text, "case")
    examiner = Examiner(open_places(case.devices))
    verdict = examiner.fails_like(case, known["kind"])
    if verdict is None:
        return Shrunk(text="does not fail again")
    options = Settings(devices=case.devices, isolation="inline", shrink_budget=BUDGET)
    reduction = shrink(case, verdict, examiner, BUDGET)
    executions = reduction.executions
    finding, all_told = reduce_to_finding(case, verdict, examiner, options, {}, lambda: None)
    minimal = reduction.minimal
    if prove and minimal:
        again = shrink(reduction.case, reduction.verdict, on_places_of(reduction.case, examiner), BUDGET)
        minimal = again.case == reduction.case
    small = finding.case
    nodes = " ".join(f"{n.op}[{n.type}]" for n in small.program.nodes)
    inputs = " ".join(str(t) for t in small.program.types[: len(small.program.inputs)])
    choices = " ".join(sorted(f"{name}={choice}" for (name, _), choice in small.plan.choices.items()))
    return Shrunk(
        finding.id, known["kind"], len(small.program.nodes), len(small.plan.choices), executions,
        all_told - executions, minimal, f"{known['kind']}: {nodes} of {inputs} with {choices}",
    )  # fmt: skip  # one result


def main() -> None:
    """Hunt, shrink, and print a line for each fault and the rates."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--faults", default=",".join(FAULTS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--max-cases", type=int, default=20_000)
    parser.add_argument("--cases", type=Path)
    parser.add_argument("--hunt-only", action="store_true")
    parser.add_argument("--prove", action="store_true", help="reduce each result again, to see that it is one-minimal")
    options = parser.parse_args()
    folder = options.cases or Path(tempfile.mkdtemp(prefix="identities-"))
    folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, list[Shrunk]] = {}
    started = time.process_time()
    faults = options.faults.split(",")
    cases = [failing_cases(faults, seed, options.max_cases, folder) for seed in range(options.seeds)]
    print(f"hunted in {time.process_time() - started:.0f} s of processor time", flush=True)
    if options.hunt_only:
        return
    for fault in faults:
        found[fault] = [shrunk(texts[fault], options.prove) for texts in cases]
        ids = {r.id for r in found[fault] if r.id}
        print(f"{fault}: {sum(bool(r.id) for r in found[fault])} of {options.seeds} found, {len(ids)} IDs", flush=True)
        for r in found[fault]:
            told = "" if r.minimal else "not minimal "
            print(f"    {r.id or 'none':<10} {r.executions:4} {told}{r.text}", flush=True)
    _rates(found)
    print(f"{time.process_time() - started:.0f} s of processor time")


def _rates(found: dict[str, list[Shrunk]]) -> None:
    every = [r for rs in found.values() for r in rs if r.id]
    ids = {fault: {r.id for r in rs if r.id} for fault, rs in found.items()}
    seen = [fault for fault in ids if ids[fault]]
    equal = [fault for fault in seen if len(ids[fault]) == 1]
    pairs = list(combinations(seen, 2))
    collide = [(a, b) for a, b in pairs if ids[a] & ids[b]]
    agree = [a.id == b.id for rs in found.values() for a, b in combinations([r for r in rs if r.id], 2)]
    print(f"findings: {len(every)} of {sum(map(len, found.values()))}, {len(seen)} faults")
    print(f"one-minimal: {sum(r.minimal for r in every)} of {len(every)}")
    print(f"median nodes {statistics.median(r.nodes for r in every)}, choices", end=" ")
    print(f"{statistics.median(r.choices for r in every)}, executions {statistics.median(r.executions for r in every)}")
    print(f"executions to diagnose, median {statistics.median(r.diagnosed for r in every)}")
    print(f"faults whose IDs are all equal: {len(equal)} of {len(seen)} ({len(equal) / len(seen):.1%})")
    print(f"pairs of findings of one fault that agree: {sum(agree)} of {len(agree)}")
    print(f"pairs of faults that share an ID: {len(collide)} of {len(pairs)} ({len(collide) / max(len(pairs), 1):.1%})")
    owners: dict[str, list[str]] = {}
    for fault in seen:
        for id in ids[fault]:
            owners.setdefault(id, []).append(fault)
    print(json.dumps({id: faults for id, faults in owners.items() if len(faults) > 1}, indent=1))


if __name__ == "__main__":
    main()
