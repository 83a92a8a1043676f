"""Replaying a stored case: FIXED, FAILED, FLAKY, UNKNOWN or ERROR; in this process, or watched in another."""

from __future__ import annotations

import json
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from attrs import evolve, frozen

from offload_fuzz.adapters.pool import open_places
from offload_fuzz.adapters.resolve import is_code
from offload_fuzz.case import Case, read_case
from offload_fuzz.contract_files import contract_named
from offload_fuzz.device import Place
from offload_fuzz.errors import EXIT_FINDING, EXIT_INCONCLUSIVE, EXIT_OK, OffloadError, UsageError
from offload_fuzz.finding.examine import OUT_OF_MEMORY, Examiner
from offload_fuzz.finding.store import verdict_json
from offload_fuzz.oracles import FAIL, UNKNOWN, Oracle, Verdict, default_oracles
from offload_fuzz.oracles.recovery import KINDS as RECOVERY
from offload_fuzz.trial import Planned, run_plan

FIXED, FAILED, FLAKY, UNCLEAR, ERROR = "FIXED", "FAILED", "FLAKY", "UNKNOWN", "ERROR"
EXIT_CODES = {FIXED: EXIT_OK, FAILED: EXIT_FINDING, FLAKY: EXIT_FINDING, UNCLEAR: EXIT_INCONCLUSIVE}
#: Time that a replaying process may take to import what it needs.
STARTUP_SECONDS = 120.0
#: Called after each run with the failures and runs so far.
Tick = Callable[[int, int], None]


@frozen(eq=False)
class Replay:
    """What one file gave. failures of runs: how often it failed; verdict: of the last failure, or the last run.

    finding: what the file says of the failure. message and error_code: why there is no verdict, for an ERROR.
    until_fail: it was run until it failed, so that the number of runs says nothing by itself.
    """

    path: str
    status: str
    case: Case | None
    finding: Mapping[str, Any]
    verdict: Verdict | None
    failures: int = 0
    runs: int = 0
    message: str = ""
    error_code: int = 0
    until_fail: bool = False

    @property
    def exit_code(self) -> int:
        """The exit code of the command line for this file alone."""
        return EXIT_CODES.get(self.status, self.error_code)


def with_devices(case: Case, devices: Mapping[str, str], where: str) -> Case:
    """The case with other devices in its roles.

    Raises `UsageError` for a role that it does not have, and for a role that the file fills with code of its naming:
    a file never causes an import, so that device has to be named anew.
    """
    roles = {f"d{i}": name for i, name in enumerate(case.devices)}
    for role in devices:
        if role not in roles:
            known = ", ".join(roles) or "none: it runs on the host alone"
            raise UsageError(f"role is {role!r} but should be one of the case's roles, {known} [{where}]")
    for role, spec in roles.items():
        if role not in devices and is_code(spec):
            raise UsageError(
                f"role {role} is {spec}, which is code, but a file may not cause an import [{where}]; "
                f"name it yourself with --device {role}={spec}"
            )
    return evolve(case, devices=tuple({**roles, **devices}.values()), places=None)


def replay_case(
    case: Case,
    path: str,
    finding: Mapping[str, Any],
    repeat: int = 1,
    oracles: Sequence[Oracle] | None = None,
    contract: str | None = None,
    until_fail: float | None = None,
    tick: Tick = lambda failures, runs: None,
) -> Replay:
    """Run a case `repeat` times on its devices, judged by `oracles` (default: all) under `contract` (default: theirs).

    until_fail: instead of `repeat` times, until it fails or so many seconds are up, at least once.

    Raises `UsageError` or `MissingDevice` when the devices cannot be had.
    """
    examiner = Examiner(places_of(case, contract), default_oracles() if oracles is None else oracles)
    failures, runs, last = 0, 0, None
    end = None if until_fail is None else time.monotonic() + until_fail
    while runs < repeat if end is None else not failures and (not runs or time.monotonic() < end):
        verdict = examiner.examine(case)
        runs += 1
        if verdict.failed:
            failures, last = failures + 1, verdict
        tick(failures, runs)
    if failures:
        status = status_of(failures, runs)
    elif verdict.kind == OUT_OF_MEMORY and finding.get("kind") in RECOVERY:
        status = FIXED  # it says so, and works on after it
    elif verdict.outcome == UNKNOWN or _expectation_changed(case, examiner):
        status = UNCLEAR
    else:
        status = FIXED
    return Replay(path, status, case, finding, last or verdict, failures, runs, until_fail=until_fail is not None)


def places_of(case: Case, contract: str | None) -> tuple[Place, ...]:
    """The devices of a case, the host first, with other promises if a contract is named."""
    places = open_places(case.devices)
    if contract is None:
        return places
    named = contract_named(contract)
    return (places[0], *(evolve(p, features=evolve(p.features, contract=named)) for p in places[1:]))


def status_of(failures: int, runs: int) -> str:
    """FAILED if all runs failed, FLAKY if some did."""
    return FAILED if failures == runs else FLAKY


def _expectation_changed(case: Case, examiner: Examiner) -> bool:
    """Whether results that pass now are outside the stored enclosure: then the expectation moved, not the device."""
    if case.expected is None:
        return False
    run = run_plan(case.program, case.plan, examiner.places, examiner.prover)
    trial = examiner.trial(case.program, [])
    trial.planned.append(Planned(case.plan, run))
    for results in run.results:
        for e, array in zip(case.expected, results, strict=True):
            if e is not None and not e.contains(array).all():
                return True
    return False


def replay_file(
    path: str | Path,
    devices: Mapping[str, str],
    repeat: int = 1,
    oracles: Sequence[Oracle] | None = None,
    contract: str | None = None,
    until_fail: float | None = None,
    tick: Tick = lambda failures, runs: None,
) -> Replay:
    """Replay one file; whatever is wrong with file or devices becomes an ERROR with its message and exit code."""
    where = str(path)
    try:
        case, finding = read_case(path)
        placed = with_devices(case, devices, where)
        return replay_case(placed, where, finding, repeat, oracles, contract, until_fail, tick)
    except OffloadError as error:
        return Replay(where, ERROR, None, {}, None, message=str(error), error_code=error.exit_code)


# ------------------------------------------------------------------------------------------------ in another process
def supervised(command: Sequence[str], job: Mapping[str, Any], silence: float) -> Iterator[dict[str, Any]]:
    """Records of a process that is given `job` on one line and replays job["files"] in order, one record a file.

    A process that dies, or says nothing for `silence` seconds, gives the record of its file a verdict of kind crash or
    hang; another then goes on with the files that are left. A record of kind "at" says where it has come to.
    """
    files: list[str] = list(job["files"])
    while files:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8")
        try:
            lines = _lines_of(process)
            _send(process.stdin, json.dumps({**job, "files": files}))
            patience, at = STARTUP_SECONDS + silence, ""
            while files:
                line = _next(lines, patience)
                if not line:
                    break
                record = json.loads(line)
                if record.get("record") == "ready":
                    patience = silence
                    continue
                if record.get("record") == "at":
                    at = record["at"]
                    continue
                if record.get("record") == "error":
                    raise _error(record)
                yield record
                files.pop(0)
                at = ""
            if files:
                yield {**_dead(files.pop(0), process, line, silence), "at": at}
        finally:
            process.kill()
            process.wait()


def _error(record: Mapping[str, Any]) -> OffloadError:
    error = OffloadError(record["message"])
    error.exit_code = record["exit_code"]
    return error


def _send(pipe: IO[str] | None, text: str) -> None:
    assert pipe is not None
    try:
        pipe.write(text + "\n")
        pipe.close()
    except BrokenPipeError:  # it has died, which its silence tells
        return


def _lines_of(process: subprocess.Popen[str]) -> queue.Queue[str]:
    """Its lines of output as they come, then an empty one."""
    lines: queue.Queue[str] = queue.Queue()

    def read() -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                lines.put(line)
        lines.put("")

    threading.Thread(target=read, daemon=True).start()
    return lines


def _next(lines: queue.Queue[str], patience: float) -> str | None:
    """The next line, empty at the end; None when none comes in time."""
    try:
        return lines.get(timeout=patience)
    except queue.Empty:
        return None


def _dead(path: str, process: subprocess.Popen[str], line: str | None, silence: float) -> dict[str, Any]:
    if line is None:
        verdict = Verdict(FAIL, "hang", message=f"no sign of life for {silence:g} s", got="no sign of life")
    else:
        status = process.wait()
        cause = f"signal {signal.Signals(-status).name}" if status < 0 else f"exit code {status}"
        verdict = Verdict(FAIL, "crash", message=f"the process ended: {cause}", got=cause)
    return {"path": path, "status": FAILED, "verdict": verdict_json(verdict), "failures": 1, "runs": 1}


def replay_command() -> list[str]:
    """The command that serves `supervised`."""
    return [sys.executable, "-m", "offload_fuzz", "replay-worker"]
