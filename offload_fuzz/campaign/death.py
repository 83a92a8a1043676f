"""What a dead or silent worker becomes: a finding of kind crash or hang, reproduced in a process of its own."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Any

from attrs import frozen

from offload_fuzz.campaign.journal import RUNNING
from offload_fuzz.campaign.process import Worker, status_text
from offload_fuzz.campaign.settings import Settings
from offload_fuzz.case import Case, dump_case, parse_case
from offload_fuzz.finding.identity import identity
from offload_fuzz.finding.shrink import Reduction, known_values, reduce
from offload_fuzz.finding.store import environment
from offload_fuzz.oracles import FAIL, Verdict

#: Runs by which a death is looked for again, and executions that reducing one may take.
REPRODUCTIONS, BUDGET = 3, 40
#: Time past the deadline in which the case of a death is still generated, so that it is not lost.
GENERATION_SECONDS = 15.0
STARTUP_SECONDS = 60.0
CLAIM = "a device neither ends nor stops the process"


@frozen
class Death:
    """A worker that ended or fell silent: at which case of which unit, and with what exit status."""

    kind: str
    status: int
    unit: int
    size: int
    program: int
    plan: int
    phase: int

    @property
    def plural(self) -> str:
        """The name of its count."""
        return "crashes" if self.kind == "crash" else "hangs"

    @property
    def cause(self) -> str:
        """For example `signal SIGSEGV`; a hang has been killed, so its status says nothing."""
        return status_text(self.status) if self.kind == "crash" else "no sign of life"


class Undertaker:
    """Turns deaths into findings: the first of each kind and cause is reproduced and reduced, others are counted."""

    def __init__(self, options: Settings, folder: Path, deadline: float | None) -> None:
        self.options = options
        self.folder = folder
        self.deadline = deadline
        self.known: dict[tuple[str, str], str] = {}
        self.worker: Worker | None = None

    def finding(self, death: Death) -> tuple[str, str] | None:
        """(ID, text of the case file) of a death; None if its case cannot be generated again."""
        key = (death.kind, death.cause)
        if key in self.known:
            return self.known[key], ""
        try:
            case = self._case(death)
            if case is None:
                return None
            id, text = self._reproduced(death, case)
        finally:
            self.stop()
        self.known[key] = id
        return id, text

    def _reproduced(self, death: Death, case: Case) -> tuple[str, str]:
        failures = runs = 0
        while runs < REPRODUCTIONS and self._time_left() and failures == runs:
            runs += 1
            failures += self.dies(case, death.kind)
        verdict = Verdict(FAIL, death.kind, CLAIM, f"the process ended: {death.cause}" if death.kind == "crash" else
                          f"no sign of life for {self.options.hang_after:g} s")  # fmt: skip  # one verdict
        executions = runs
        if runs and failures == runs:
            dies = lambda c: verdict if self._time_left() and self.dies(c, death.kind) else None  # noqa: E731  # one use
            reduction = Reduction(case, verdict, dies, BUDGET)
            reduce(reduction, known_values)
            case, executions = reduction.case, runs + reduction.executions
            id = identity(death.kind, case)
        else:
            id = "F" + hashlib.sha256(f"{death.kind}/{death.cause}".encode()).hexdigest()[:8]
        return id, dump_case(case, self._known(death, verdict, id, failures, runs, executions, case))

    def _known(
        self, death: Death, verdict: Verdict, id: str, failures: int, runs: int, executions: int, case: Case
    ) -> dict[str, Any]:
        return {
            "id": id,
            "kind": verdict.kind,
            "claim": verdict.claim,
            "message": verdict.message,
            "rule": "",
            "expected": "a result",
            "got": death.cause,
            "divergent": None,
            "needs": [],
            "failures": failures,
            "repeats": runs,
            "executions": executions,
            "origin": {
                "seed": self.options.seed,
                "unit": death.unit,
                "program": death.program,
                "nodes": len(case.program.nodes),
                "while": "running" if death.phase == RUNNING else "shrinking",
            },
            "environment": environment(),
        }

    # ---------------------------------------------------------------------------------------------------- processes
    def _case(self, death: Death) -> Case | None:
        record = self._ask(
            "case", GENERATION_SECONDS, unit=death.unit, size=death.size, program=death.program, plan=death.plan
        )
        if record is None or record.get("text") is None:
            return None
        return parse_case(record["text"], "journal")[0]

    def dies(self, case: Case, kind: str) -> bool:
        """Whether running the case ends or silences a worker."""
        record = self._ask("execute", text=dump_case(case).replace("\n", ""))
        if record is not None or not self._time_left():
            return False
        assert self.worker is not None
        hung = not self.worker.ended
        self.stop()
        return hung == (kind == "hang")

    def _ask(self, kind: str, late: float = 0.0, **data: Any) -> dict[str, Any] | None:
        """The answer of a worker of our own; None if it died, fell silent, or the time is up by `late` seconds."""
        if self.worker is None:
            self.worker = Worker(10_000 + len(list(self.folder.glob("journal.*"))), self.folder, self.options)
        worker = self.worker
        worker.request(kind, **data)
        asked = time.monotonic()
        latest = float("inf") if self.deadline is None else max(self.deadline, asked) + late
        while not worker.ended and time.monotonic() < latest:
            if time.monotonic() - asked >= self.options.hang_after + (0 if worker.ready else STARTUP_SECONDS):
                break
            for record in worker.records():
                if record["record"] == "ready":
                    worker.ready = True
                    asked = time.monotonic()
                else:
                    return record
            time.sleep(0.002)
        return None

    def _time_left(self) -> bool:
        return self.deadline is None or time.monotonic() < self.deadline

    def stop(self) -> None:
        """End the worker that deaths are tried in."""
        if self.worker is not None:
            self.worker.stop()
            self.worker = None
