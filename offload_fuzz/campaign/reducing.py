"""Reducing the case in a file, from any source: the best so far is always on disk, and another call goes on from it."""

from __future__ import annotations

import hashlib
import shlex
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import define, frozen

from offload_fuzz.campaign.death import Undertaker
from offload_fuzz.campaign.settings import Settings
from offload_fuzz.case import Case, dump_case, parse_case, read_case
from offload_fuzz.errors import EXIT_INCONCLUSIVE, OffloadError, UsageError
from offload_fuzz.finding.diagnose import diagnose
from offload_fuzz.finding.examine import Examiner
from offload_fuzz.finding.flaky import RUNS, is_flaky
from offload_fuzz.finding.identity import identity
from offload_fuzz.finding.raising import allow_for_flakes
from offload_fuzz.finding.reduction import Fails, Reduction
from offload_fuzz.finding.replay import places_of, with_devices
from offload_fuzz.finding.shrink import known_values, on_places_of, reduce, reduction_of
from offload_fuzz.finding.store import SUFFIX, environment, make_finding, verdict_json, with_expected, write_case
from offload_fuzz.oracles import FAIL, Oracle, Verdict, default_oracles
from offload_fuzz.trial import new_trial
from offload_fuzz.untrusted import read_text

#: Runs of the case at first, one of which has to fail; of a case that is stored as flaky there are `RUNS`.
FIRST_RUNS = 3
DEATHS = ("crash", "hang")


@frozen(kw_only=True)
class Job:
    """What to reduce and how. devices: role -> device; check: a command that exits 1 for a file that still fails.

    max_time in seconds; max_cases: executions. hang_after: seconds of silence that are a hang, and of one `check`.
    """

    source: Path
    out: Path | None = None
    devices: Mapping[str, str]
    check: str | None = None
    oracles: Sequence[Oracle] | None = None
    contract: str | None = None
    load: tuple[str, ...] = ()
    max_time: float | None = None
    max_cases: int | None = None
    hang_after: float = 20.0

    @property
    def target(self) -> Path:
        """Where the best so far is kept: NAME.small.offload.json beside NAME.offload.json unless it is named."""
        return self.out or self.source.with_name(f"{self.source.name.removesuffix(SUFFIX)}.small{SUFFIX}")


@define
class Outcome:
    """The reduced case with what is known of it; before: the case it came from; minimal: one-minimal."""

    path: Path
    case: Case
    known: dict[str, Any]
    before: Case
    executions: int
    minimal: bool
    seconds: float = 0.0


def reduce_file(job: Job, better: Callable[[Case, int], None] = lambda case, executions: None) -> Outcome:
    """Reduce the case of a file until it is one-minimal or the budget is spent; better(case, executions) at each step.

    Raises `UsageError` for files and commands that are wrong, `OffloadError` for a case that does not fail.
    """
    started = time.monotonic()
    text = read_text(job.source)
    case, known = parse_case(text, str(job.source))
    case = before = with_devices(case, job.devices, str(job.source))
    mark = hashlib.sha256(text.encode()).hexdigest()[:16]
    earlier = 0
    if job.target.exists():
        case, known, earlier = _continued(job, mark)
    with tempfile.TemporaryDirectory(prefix="offload-fuzz-") as name:
        deadline = None if job.max_time is None else started + job.max_time
        reduction, finish = _reduction(job, case, known, Path(name), deadline)

        def keep(case: Case, verdict: Verdict) -> None:
            shown = {**known, **verdict_json(verdict)} if verdict.claim else dict(known)
            _write(job, case, {**shown, "shrunk": _shrunk(mark, earlier + reduction.executions, False)})
            better(case, reduction.executions)

        reduction.better = keep
        reduction.stop = lambda: deadline is not None and time.monotonic() >= deadline
        reduce(reduction, known_values)
        small, found = finish(reduction)
    executions = earlier + reduction.executions
    found = {**found, "executions": executions, "shrunk": _shrunk(mark, executions, reduction.minimal)}
    _write(job, small, found)
    return Outcome(job.target, small, found, before, executions, reduction.minimal, time.monotonic() - started)


def _shrunk(mark: str, executions: int, minimal: bool) -> dict[str, Any]:
    return {"of": mark, "executions": executions, "one_minimal": minimal}


def _write(job: Job, case: Case, known: Mapping[str, Any]) -> None:
    write_case(job.target, dump_case(case, known), "-o")


def _continued(job: Job, mark: str) -> tuple[Case, dict[str, Any], int]:
    """What an earlier call has left; raises `UsageError` for a file that is about something else."""
    case, known = read_case(job.target)
    shrunk = known.get("shrunk")
    if not isinstance(shrunk, dict) or shrunk.get("of") != mark:
        raise UsageError(f"{job.target} exists but is no reduction of {job.source}; name another with -o")
    executions = shrunk.get("executions")
    roles = {role: name for role, name in job.devices.items() if int(role[1:]) < len(case.devices)}
    return with_devices(case, roles, str(job.target)), known, executions if type(executions) is int else 0


Finish = Callable[[Reduction], tuple[Case, dict[str, Any]]]


def _reduction(
    job: Job, case: Case, known: dict[str, Any], folder: Path, deadline: float | None
) -> tuple[Reduction, Finish]:
    """A reduction that has not begun, and what makes a finding of its end."""
    budget = float("inf") if job.max_cases is None else job.max_cases
    kind = str(known.get("kind", ""))
    if job.check is not None:
        fails = _checked(job.check, folder / f"candidate{SUFFIX}", job.hang_after)
        return _outside(case, known, fails, f"{job.check} does not exit with 1", budget, job.source)
    if kind in DEATHS:
        options = Settings(devices=case.devices, contract=job.contract, load=job.load, hang_after=job.hang_after)
        undertaker = Undertaker(options, folder, deadline)
        dead = Verdict(
            FAIL, kind, str(known.get("claim", "")), str(known.get("message", "")), got=str(known.get("got"))
        )
        fails = lambda c: dead if undertaker.dies(c, kind) else None  # noqa: E731  # one use
        reduction, finish = _outside(case, known, fails, f"it does not end in a {kind}", budget, job.source)

        def end(r: Reduction) -> tuple[Case, dict[str, Any]]:
            undertaker.stop()
            return finish(r)

        return reduction, end
    return _judged(job, case, known, kind, budget)


def _judged(job: Job, case: Case, known: dict[str, Any], kind: str, budget: float) -> tuple[Reduction, Finish]:
    """By our oracles, in this process."""
    examiner = Examiner(places_of(case, job.contract), job.oracles or default_oracles())
    runs = RUNS if is_flaky(known) else FIRST_RUNS
    found = (examiner.fails_like(case, kind) if kind else examiner.examine(case) for _ in range(runs))
    failing = next((v for v in found if v is not None and v.failed), None)
    if failing is None:
        raise _passes(job.source, f"0 of {runs} runs failed" + (f" with {kind}" if kind else ""))
    reduction = reduction_of(case, failing, examiner, budget)
    allow_for_flakes(reduction, more=1)

    def finish(r: Reduction) -> tuple[Case, dict[str, Any]]:
        judge = on_places_of(r.case, examiner)
        diagnosis = diagnose(r.case, r.verdict, judge, attempts=r.attempts)
        small = with_expected(r.case, new_trial(r.case.program, judge.places))
        finding = make_finding(small, r.verdict, diagnosis, 0, known.get("origin") or {})
        return small, {"id": finding.id, **finding.verdict}

    return reduction, finish


def _outside(
    case: Case, known: dict[str, Any], fails: Fails, otherwise: str, budget: float, where: Path
) -> tuple[Reduction, Finish]:
    """By something that tells failing from passing and no more."""
    verdict = fails(case)
    if verdict is None:
        raise _passes(where, otherwise)

    def finish(r: Reduction) -> tuple[Case, dict[str, Any]]:
        kind = r.verdict.kind or str(known.get("kind", "")) or "check"
        found = {**known, "kind": kind, "id": identity(kind, r.case), "divergent": None, "needs": [], "plans": []}
        return r.case, {**found, "environment": environment()}

    return Reduction(case, verdict, fails, budget), finish


def _passes(where: Path, what: str) -> OffloadError:
    error = OffloadError(f"case does not fail but should, to be reduced: {what} [{where}]")
    error.exit_code = EXIT_INCONCLUSIVE
    return error


def _checked(command: str, path: Path, patience: float) -> Fails:
    """Runs `command` on a file of the candidate, in the place of {} or at the end; exit code 1: it still fails."""
    parts = shlex.split(command)
    if not parts:
        raise UsageError("--check is '' but should be a command that exits with 1 for a case that still fails [shrink]")
    line = [p.replace("{}", str(path)) for p in parts] if "{}" in command else [*parts, str(path)]
    failing = Verdict(FAIL)

    def fails(case: Case) -> Verdict | None:
        write_case(path, dump_case(case), "--check")
        try:
            done = subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True, timeout=patience, check=False)
        except subprocess.TimeoutExpired:
            return None
        except OSError as error:
            raise UsageError(f"--check {command} cannot be run: {error.strerror} [shrink]") from None
        return failing if done.returncode == 1 else None

    return fails
