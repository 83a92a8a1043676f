"""The fuzzer under test: each fault is planted in simulated devices, and a campaign has to find it.

Generation does not know which fault is planted: the devices differ in their names only.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from typing import Any

from attrs import define, frozen

from offload_fuzz.adapters.simulated import FAULTS, Fault
from offload_fuzz.campaign.loop import NoJournal, TimeIsUp
from offload_fuzz.campaign.settings import UNIT_CASES, Settings
from offload_fuzz.campaign.unit import Unit, UnitDone, open_workbench
from offload_fuzz.case import parse_case
from offload_fuzz.device import Features
from offload_fuzz.errors import EXIT_FINDING, EXIT_OK, one_of
from offload_fuzz.finding.examine import OUT_OF_MEMORY
from offload_fuzz.finding.replay import FAILED, FIXED, Replay, replay_case, with_devices
from offload_fuzz.plan import FREEDOMS

#: Case runs after which a fault counts as missed.
MAX_CASES = 20_000
PROFILE = "simulated"

#: What `Freedom.needs` asks of a device -> whether its features have it.
FEATURES: dict[str, Callable[[Features], bool]] = {
    "": lambda f: True,
    "streams": lambda f: f.streams > 1,
    "in_place": lambda f: bool(f.in_place),
    "compile": lambda f: bool(f.compile),
    "donate": lambda f: bool(f.donate),
    "delay": lambda f: f.delay and f.streams > 1,
    "update": lambda f: any(f.update.values()),
    "destination": lambda f: bool(f.destination),
    "chunks": lambda f: bool(f.chunks),
    "pinned": lambda f: f.pinned,
    "drop": lambda f: f.drop,
    "constants": lambda f: f.constants,
    "peers": lambda f: f.peers is not None,
    "transfers": lambda f: "async" in f.transfers,
    "source_free": lambda f: any(when in ("return", "completion") for when in f.source_free.values()),
}


@frozen
class Detection:
    """One fault under one seed.

    cases, seconds: until a plan failed, seconds in this process's own time. nodes, freedoms (of the non-plain choices,
    one name for each choice), kind and id: of the counterexample; empty where nothing was found. executions: that it
    took to shrink and to diagnose it. replays: how it replays on the faulty and on the lawful device.
    """

    found: bool
    cases: int
    seconds: float
    nodes: int = 0
    freedoms: tuple[str, ...] = ()
    kind: str = ""
    id: str = ""
    executions: int = 0
    replays: tuple[str, str] = ("", "")

    @property
    def holds(self) -> bool:
        """Whether the counterexample fails on the faulty device and on no lawful one."""
        return self.replays == (FAILED, FIXED)


@define
class _Watch:
    """Gets the records of units; ends the unit once the first finding is there and its program counted."""

    cases: int = 0
    seconds: float = 0.0
    failed: bool = False
    text: str = ""

    def emit(self, kind: str, data: dict[str, Any]) -> None:
        if kind == "failure" and not self.failed:
            self.failed, self.seconds = True, time.process_time()
        elif kind == "finding" and not self.text:
            self.text = data["text"]
        elif kind == "program":
            self.cases += data["cases"]
            if self.text:
                raise UnitDone()


def devices_of(fault: Fault) -> list[str]:
    """The devices of a campaign that should find the fault: one, two where two are needed."""
    return [f"{fault.profile}:{i}+{fault.name}" for i in range(fault.devices)]


def lacking(fault: Fault, features: Features) -> list[str]:
    """The freedoms that the fault needs and that a device of these features does not have."""
    return [name for name in fault.needs if not FEATURES[FREEDOMS[name].needs](features)]


def detect(fault: Fault, seed: int, max_time: float, max_cases: int = MAX_CASES, **settings: Any) -> Detection:
    """Look for one fault until it is found, the time is up, or `max_cases` case runs are done.

    settings: further ones of the campaign, such as `steer`.
    """
    options = Settings(devices=devices_of(fault), seed=seed, isolation="inline", **settings)
    journal, watch, bench = NoJournal(), _Watch(), open_workbench(options)
    started = time.process_time()
    journal.deadline = time.monotonic() + max_time
    for number in range(-(-max_cases // UNIT_CASES)):
        try:
            Unit(bench, number, min(UNIT_CASES, max_cases - watch.cases), watch.emit, journal, (0, 0)).run()
        except TimeIsUp:
            break
        if watch.text:
            break
    if not watch.text:
        return Detection(False, watch.cases, time.process_time() - started)
    case, known = parse_case(watch.text, fault.name)
    lawful = {f"d{i}": spec.partition("+")[0] for i, spec in enumerate(case.devices)}  # shrinking drops devices
    replays = [_status(replay_case(c, fault.name, known)) for c in (case, with_devices(case, lawful, fault.name))]
    freedoms = tuple(name for (name, _), _ in case.plan.non_plain())
    return Detection(
        True, watch.cases, watch.seconds - started, len(case.program.nodes), freedoms, known["kind"], known["id"],
        known["executions"], (replays[0], replays[1]),
    )  # fmt: skip  # one detection


def _status(replay: Replay) -> str:
    """How a case replays; to run out of memory, as a device may, is not to fail."""
    full = replay.verdict is not None and replay.verdict.kind == OUT_OF_MEMORY
    return FIXED if full else replay.status


def selftest(
    names: Sequence[str] | None, max_time: float, seeds: Sequence[int], max_cases: int = MAX_CASES
) -> Iterator[dict[str, Any]]:
    """A record for each fault, as JSON data, in the order of the table; medians over the seeds that found it.

    Raises `UsageError` for a fault that there is not.
    """
    for name in names or ():
        if name not in FAULTS:
            raise one_of("fault", name, FAULTS, "--faults")
    from offload_fuzz.adapters.simulated import make

    features = make(f"{PROFILE}:0").features
    for fault in [f for f in FAULTS.values() if names is None or f.name in names]:
        runs = [detect(fault, seed, max_time, max_cases) for seed in seeds]
        yield _record(fault, lacking(fault, features), runs)


def _record(fault: Fault, lacks: Sequence[str], runs: Sequence[Detection]) -> dict[str, Any]:
    found = [r for r in runs if r.found]
    shown = found or runs
    smallest = min(shown, key=lambda r: (r.nodes, len(r.freedoms)))
    return {
        "fault": fault.name,
        "class": fault.cls,
        "report": fault.report,
        "needs": list(fault.needs),
        "lacks": list(lacks),
        "seeds": len(runs),
        "found": len(found),
        "holds": all(r.holds for r in found),
        "cases": int(statistics.median(r.cases for r in shown)),
        "seconds": round(statistics.median(r.seconds for r in shown), 2),
        "nodes": int(statistics.median(r.nodes for r in shown)),
        "choices": int(statistics.median(len(r.freedoms) for r in shown)),
        "executions": int(statistics.median(r.executions for r in shown)),
        "freedoms": sorted(set(smallest.freedoms), key=list(FREEDOMS).index),
        "kind": smallest.kind,
        "ids": [r.id for r in found],
    }


def identities(records: Sequence[dict[str, Any]]) -> dict[str, int]:
    """How IDs tell faults apart, counted over what was found.

    faults: that were found under two seeds or more; equal: those of them with one ID under all seeds; pairs: of faults
    that were found at all; shared: pairs of which some counterexamples have the same ID.
    """
    ids = [set(r["ids"]) for r in records if r["ids"]]
    pairs = list(combinations(ids, 2))
    often = [r for r in records if len(r["ids"]) > 1]
    return {
        "faults": len(often),
        "equal": sum(len(set(r["ids"])) == 1 for r in often),
        "pairs": len(pairs),
        "shared": sum(bool(a & b) for a, b in pairs),
    }


def is_missed(record: dict[str, Any]) -> bool:
    """Whether a fault within reach was not found under each seed, or its counterexample does not hold."""
    return not record["lacks"] and (record["found"] < record["seeds"] or not record["holds"])


def exit_code(records: Sequence[dict[str, Any]]) -> int:
    """1 if a fault within reach is missed."""
    return EXIT_FINDING if any(is_missed(r) for r in records) else EXIT_OK


def records_json(records: Sequence[dict[str, Any]], max_time: float, max_cases: int) -> str:
    """What `--json` prints."""
    head: dict[str, Any] = {"exit_code": exit_code(records), "max_time": max_time, "max_cases": max_cases}
    head["identities"] = identities(records)
    return json.dumps({**head, "faults": list(records)}, indent=1)
