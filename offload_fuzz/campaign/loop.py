"""The campaign loop: hands units to workers, merges what they give in unit order, replaces those that die."""

from __future__ import annotations

import selectors
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from attrs import define, field

from offload_fuzz.campaign.cells import Cells
from offload_fuzz.campaign.counts import Counts
from offload_fuzz.campaign.death import Death, Undertaker
from offload_fuzz.campaign.journal import IDLE, RUNNING, SHRINKING
from offload_fuzz.campaign.process import Worker
from offload_fuzz.campaign.reachable import features_json
from offload_fuzz.campaign.report import Found, Report
from offload_fuzz.campaign.settings import UNIT_CASES, Settings
from offload_fuzz.campaign.unit import Unit, open_workbench
from offload_fuzz.errors import EXIT_INTERNAL, EXIT_INTERRUPTED, OffloadError
from offload_fuzz.finding.excuses import Excuses

Progress = Callable[[Report], None]
#: Deaths of one unit after which its rest is given up.
DEATHS_PER_UNIT = 12
STARTUP_SECONDS = 120.0
#: Time at the end in which deaths that were not yet looked into still are.
GRACE_SECONDS = 30.0


@define
class UnitResult:
    """What has come of a unit so far. done: complete; program, plan: where to go on after a death."""

    number: int
    size: int
    counts: Counts = field(factory=Counts)
    cells: Cells = field(factory=Cells)
    findings: list[tuple[int, str, str]] = field(factory=list)
    pending: dict[int, dict[str, Any]] = field(factory=dict)
    deaths: list[Death] = field(factory=list)
    died: int = 0
    skip: tuple[int, int] = (0, 0)
    done: bool = False


class _Plan:
    """Which units there are: as many as `max_cases` needs, or without end."""

    def __init__(self, options: Settings) -> None:
        self.max_cases = options.max_cases

    def size(self, number: int) -> int:
        """Case runs of unit `number`; 0 past the end."""
        if self.max_cases is None:
            return UNIT_CASES
        return max(min(UNIT_CASES, self.max_cases - number * UNIT_CASES), 0)


class Campaign:
    """One run of the fuzzer. `found` and `progress` are called as results are merged, in unit order."""

    def __init__(
        self,
        options: Settings,
        progress: Progress = lambda report: None,
        found: Callable[[Found], None] = lambda f: None,
        excuses: Excuses | None = None,
    ) -> None:
        self.options = options
        self.plan = _Plan(options)
        self.progress = progress
        self.found = found
        self.excuses = excuses or Excuses()
        self.report = Report(options, warnings=list(self.excuses.warnings))
        self.units: dict[int, UnitResult] = {}
        self.next_unit = 0
        self.next_merge = 0
        self.again: list[int] = []
        self.stopping = False
        self.undertaker: Undertaker | None = None

    def run(self) -> Report:
        """Run until the limits are reached; findings are kept whatever happens."""
        started = time.monotonic()
        try:
            if self.options.isolation == "inline":
                self._run_inline(started)
            else:
                self._run_processes(started)
        except KeyboardInterrupt:
            self.report.error, self.report.error_code = "interrupted", EXIT_INTERRUPTED
        except OffloadError as error:
            self.report.error, self.report.error_code = str(error), error.exit_code
        self._merge_rest()
        self.report.seconds = time.monotonic() - started
        return self.report

    # -------------------------------------------------------------------------------------------------------- inline
    def _run_inline(self, started: float) -> None:
        bench = open_workbench(self.options)
        self.report.features = [features_json(p.features) for p in bench.places[1:]]
        journal = NoJournal()
        while not self.stopping and self.plan.size(self.next_unit):
            result = self._new_unit()
            unit = Unit(bench, result.number, result.size, self._recorder(result), journal, (0, 0))
            if self.options.max_time is not None:
                journal.deadline = started + self.options.max_time
            try:
                unit.run()
            except TimeIsUp:
                self.stopping = True
            result.done = True
            self._merge()
            if self.options.max_time is not None and time.monotonic() - started >= self.options.max_time:
                self.stopping = True

    def _recorder(self, result: UnitResult) -> Callable[[str, dict[str, Any]], None]:
        return lambda kind, data: self._record(result, {"record": kind, **data})

    # ----------------------------------------------------------------------------------------------------- processes
    def _run_processes(self, started: float) -> None:
        deadline = None if self.options.max_time is None else started + self.options.max_time
        with tempfile.TemporaryDirectory(prefix="offload-fuzz-") as name:
            folder = Path(name)
            undertaker = self.undertaker = Undertaker(self.options, folder, deadline)
            workers: list[Worker] = []
            selector = selectors.DefaultSelector()
            try:
                for _ in range(self.options.workers):
                    self._start(workers, selector, folder)
                while workers and not self.stopping:
                    left = 0.2 if deadline is None else min(0.2, deadline - time.monotonic())
                    if left <= 0:
                        break
                    selector.select(left)
                    for worker in list(workers):
                        self._attend(worker, workers, selector, folder)
                    self._merge()
            finally:
                for worker in workers:
                    self._last_records(worker)
                    worker.stop()
                selector.close()
                undertaker.deadline = min(time.monotonic() + GRACE_SECONDS, deadline or float("inf"))
                self._merge_rest()

    def _start(self, workers: list[Worker], selector: selectors.BaseSelector, folder: Path) -> None:
        worker = Worker(len(list(folder.glob("journal.*"))), folder, self.options)
        workers.append(worker)
        selector.register(worker, selectors.EVENT_READ)

    def _attend(self, worker: Worker, workers: list[Worker], selector: selectors.BaseSelector, folder: Path) -> None:
        for record in worker.records():
            self._receive(worker, record)
        hung = not worker.ended and worker.silent_for() > (self.options.hang_after if worker.ready else STARTUP_SECONDS)
        if worker.ended or hung:
            selector.unregister(worker)
            workers.remove(worker)
            status = None if hung else worker.exit_status()
            entry, words = worker.entry(), worker.last_words()
            stopped = worker.stop()
            if self.stopping:
                return
            if not worker.ready:
                self._fail(
                    f"a worker did not start: {words.splitlines()[-1] if words else 'no message'}", EXIT_INTERNAL
                )
                return
            self._died(worker, entry, "hang" if hung else "crash", stopped if status is None else status)
            if self._has_work():
                self._start(workers, selector, folder)
        elif worker.ready and worker.unit is None:
            self._assign(worker, workers, selector)

    def _has_work(self) -> bool:
        return bool(self.again) or self.plan.size(self.next_unit) > 0

    def _assign(self, worker: Worker, workers: list[Worker], selector: selectors.BaseSelector) -> None:
        if self.again:
            result = self.units[self.again.pop(0)]
        elif self.plan.size(self.next_unit):
            result = self._new_unit()
        else:
            selector.unregister(worker)
            workers.remove(worker)
            worker.stop()
            return
        worker.unit, worker.size = result.number, result.size
        worker.request("unit", unit=result.number, size=result.size, skip=list(result.skip))

    def _new_unit(self) -> UnitResult:
        number = self.next_unit
        self.next_unit += 1
        self.units[number] = UnitResult(number, self.plan.size(number))
        return self.units[number]

    def _receive(self, worker: Worker, record: dict[str, Any]) -> None:
        kind = record["record"]
        if kind == "ready":
            worker.ready = True
            self.report.features = record["features"]
        elif kind == "error":
            self._fail(record["message"], record["exit_code"])
        elif kind == "done":
            self.units[record["unit"]].done = True
            worker.unit = None
        else:
            self._record(self.units[record["unit"]], record)

    def _record(self, result: UnitResult, record: dict[str, Any]) -> None:
        kind = record["record"]
        if kind == "program":
            result.counts.merge(record["counts"])
            result.cells.merge(record["cells"])
            result.skip = (record["program"] + 1, 0)
            result.pending.pop(record["program"], None)
        elif kind == "failure":
            result.pending[record["program"]] = record
        elif kind == "finding":
            result.findings.append((record["program"], record["id"], record["text"]))
            result.pending.pop(record["program"], None)

    def _fail(self, message: str, code: int) -> None:
        self.report.error, self.report.error_code = message, code
        self.stopping = True

    def _last_records(self, worker: Worker) -> None:
        """Before stopping a worker: take what it has sent, and count the runs of the program it is in."""
        with suppress(ValueError, OSError):
            for record in worker.records():
                if record["record"] not in ("ready", "error"):
                    self._receive(worker, record)
        entry = worker.entry()
        if worker.unit is not None and entry.phase in (RUNNING, SHRINKING):
            result = self.units[worker.unit]
            if entry.unit == worker.unit and entry.program >= result.skip[0] and entry.phase == RUNNING:
                result.counts.cases += entry.done

    def _died(self, worker: Worker, entry: Any, kind: str, status: int) -> None:
        """Keep what the dead worker was doing, and put the rest of its unit back."""
        if worker.unit is None or entry.phase == IDLE:
            self._fail(f"a worker ended between units: {worker.last_words()[-200:]}", EXIT_INTERNAL)
            return
        result = self.units[worker.unit]
        running = entry.phase == RUNNING
        result.deaths.append(Death(kind, status, result.number, result.size, entry.program, entry.plan, entry.phase))
        if running:
            result.counts.merge({"cases": entry.done + 1})
            result.skip = (entry.program, entry.plan + 1)
        else:
            result.skip = (entry.program + (entry.phase == SHRINKING), 0)
        result.died += 1
        if result.died >= DEATHS_PER_UNIT:
            result.done = True
        else:
            self.again.append(result.number)

    # --------------------------------------------------------------------------------------------------------- merge
    def _merge(self) -> None:
        while self.next_merge in self.units and self.units[self.next_merge].done and not self._enough():
            self._merge_unit(self.units.pop(self.next_merge))
            self.next_merge += 1
            self.progress(self.report)
        head = self.units.get(self.next_merge)
        if head is not None and not self._enough():
            self._merge_deaths(head)  # at once: a device that hangs may keep a unit from its end for long
        if self._enough():
            self.stopping = True

    def _enough(self) -> bool:
        return self.options.stop_after is not None and len(self.report.counting) >= self.options.stop_after

    def _merge_rest(self) -> None:
        for number in sorted(self.units):
            result = self.units[number]
            if not self._enough():
                self._merge_unit(result)
            elif result.died and number == self.next_merge:  # its deaths have been reported, so its runs count
                self.report.counts.merge(result.counts.as_json())
                self.report.cells.merge(result.cells.rows())
        self.units.clear()
        self.progress(self.report)

    def _merge_unit(self, result: UnitResult) -> None:
        self.report.counts.merge(result.counts.as_json())
        self.report.cells.merge(result.cells.rows())
        self._merge_deaths(result)
        for _, id, text in sorted(result.findings):
            self._add(id, text)
        for record in result.pending.values():  # found, but not reduced when the time was up or the worker died
            self.report.counts.unshrunk += 1
            self._add(record["id"], record["text"], reduced=False)

    def _merge_deaths(self, result: UnitResult) -> None:
        for death in result.deaths:
            setattr(self.report.counts, death.plural, getattr(self.report.counts, death.plural) + 1)
            found = self.undertaker.finding(death) if self.undertaker is not None else None
            if found is not None:
                self._add(*found)
        result.deaths.clear()

    def _add(self, id: str, text: str, reduced: bool = True) -> None:
        for f in self.report.findings:
            if f.id == id:
                f.count += 1
                return
        if self._enough():
            return
        found = Found(id, text)
        found.excuse = self.excuses.excuse(id, found.data, reduced)
        self.report.findings.append(found)
        self.found(found)


class TimeIsUp(BaseException):
    """Ends an inline unit at the deadline; not an `Exception`, so that nothing on the way takes it for a failure."""


class NoJournal:
    """Stands for the journal where nobody watches; ends the unit at the deadline."""

    deadline: float | None = None

    def write(self, phase: int, unit: int = 0, program: int = 0, plan: int = 0, done: int = 0) -> None:
        if self.deadline is not None and time.monotonic() >= self.deadline:
            raise TimeIsUp
