"""Replaying a stored case: FIXED, FAILED, FLAKY, UNKNOWN or ERROR."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import evolve, frozen

from offload_fuzz.adapters.pool import open_places
from offload_fuzz.case import Case, read_case
from offload_fuzz.errors import OffloadError, UsageError
from offload_fuzz.finding.examine import Examiner
from offload_fuzz.oracles import UNKNOWN, Verdict
from offload_fuzz.trial import Planned, run_plan

FIXED, FAILED, FLAKY, UNCLEAR, ERROR = "FIXED", "FAILED", "FLAKY", "UNKNOWN", "ERROR"


@frozen(eq=False)
class Replay:
    """What one file gave. failures of runs: how often it failed; verdict: of the last failure, or the last run."""

    path: str
    status: str
    case: Case | None
    finding: Mapping[str, Any]
    verdict: Verdict | None
    failures: int
    runs: int
    message: str = ""


def with_devices(case: Case, devices: Mapping[str, str], where: str) -> Case:
    """The case with other devices in its roles; raises `UsageError` for a role that it does not have."""
    roles = {f"d{i}": name for i, name in enumerate(case.devices)}
    for role in devices:
        if role not in roles:
            raise UsageError(f"role {role} is not in the case but should be one of {', '.join(roles)} [{where}]")
    return evolve(case, devices=tuple({**roles, **devices}.values()))


def replay_case(case: Case, path: str, finding: Mapping[str, Any], repeat: int = 1) -> Replay:
    """Run a case `repeat` times on its devices; raises `UsageError` or `MissingDevice` when they cannot be had."""
    examiner = Examiner(open_places(case.devices))
    failures, last = 0, None
    verdict = Verdict("pass")
    for _ in range(repeat):
        verdict = examiner.examine(case)
        if verdict.failed:
            failures, last = failures + 1, verdict
    if failures:
        status = FAILED if failures == repeat else FLAKY
    elif verdict.outcome == UNKNOWN or _expectation_changed(case, examiner):
        status = UNCLEAR
    else:
        status = FIXED
    return Replay(path, status, case, finding, last or verdict, failures, repeat)


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


def replay_file(path: str | Path, devices: Mapping[str, str], repeat: int = 1) -> Replay:
    """Replay one file; whatever is wrong with file or devices becomes an ERROR with its message and exit code."""
    where = str(path)
    try:
        case, finding = read_case(path)
        return replay_case(with_devices(case, devices, where), where, finding, repeat)
    except OffloadError as error:
        return Replay(where, ERROR, None, {"exit_code": error.exit_code}, None, 0, 0, str(error))
