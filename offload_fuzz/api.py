"""The door for Python code: what the command line runs, and the checks that tests of one's own call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from attrs import evolve

from offload_fuzz.adapters.pool import open_places
from offload_fuzz.campaign.extension import load as load_extensions
from offload_fuzz.campaign.loop import Campaign
from offload_fuzz.campaign.report import Found, Report
from offload_fuzz.campaign.settings import DEFAULT_DEVICES, Settings
from offload_fuzz.case import Case, read_case
from offload_fuzz.device import Place
from offload_fuzz.errors import EXIT_INTERRUPTED, InternalError, MissingDevice, OffloadError, UsageError, one_of
from offload_fuzz.finding.diagnose import diagnose
from offload_fuzz.finding.examine import Examiner
from offload_fuzz.finding.excuses import excuses
from offload_fuzz.finding.replay import with_devices
from offload_fuzz.finding.store import files_below, state_folder, verdict_json, write_finding
from offload_fuzz.oracles import Oracle, Verdict
from offload_fuzz.plan import PLAIN, Plan
from offload_fuzz.program import Program
from offload_fuzz.report.block import finding_block
from offload_fuzz.report.document import document
from offload_fuzz.report.formats import check_formats, write_reports
from offload_fuzz.strategies import placements
from offload_fuzz.strategies.choices import Choices
from offload_fuzz.text import print_program

#: Seconds that a campaign takes where neither --max-time nor --max-cases says otherwise.
DEFAULT_SECONDS = 60.0
ISOLATIONS = ("process", "inline")


# -------------------------------------------------------------------------------------------------------- campaigns
def run(
    devices: Sequence[Any] = DEFAULT_DEVICES,
    *,
    max_time: float | None = None,
    max_cases: int | None = None,
    seed: int = 0,
    workers: int = 1,
    plans: str = "default",
    steer: bool = True,
    without: Sequence[str] = (),
    ops: Sequence[str] | None = None,
    exclude_ops: Sequence[str] = (),
    dtypes: Sequence[str] | None = None,
    max_nodes: int = 16,
    strategy: str | None = None,
    oracles: Sequence[str] | None = None,
    contract: str | None = None,
    load: Sequence[str] = (),
    known: str | None = None,
    baseline: str | None = None,
    fail_on: Sequence[str] | None = None,
    stop_after: int | None = None,
    isolation: str | None = None,
    hang_after: float = 20.0,
    report_dir: str | Path | None = None,
    reports: Sequence[str] = ("json",),
    found: Callable[[Found, Path | None], None] = lambda found, path: None,
    progress: Callable[[Report], None] = lambda report: None,
) -> Report:
    """Run a campaign on `devices`, specs such as "torch:cpu" or adapter objects, and report what it found.

    The options are those of `offload-fuzz run`; without `max_time` (seconds) and `max_cases` it takes 60 seconds.
    isolation: "process", or "inline" for no worker processes, which adapter objects need and get. report_dir: where
    findings are stored as they are found, and at the end those `reports` that are files, such as "json" and "html";
    nothing is stored without it. found(finding, path) and progress(report) are called as results come in.

    Raises `UsageError`, `MissingDevice` or `InternalError` when nothing could be run; what stops a campaign later is
    `report.error`.
    """
    check_formats(reports, "run")
    devices = (devices,) if isinstance(devices, str) else tuple(devices)
    objects = [d for d in devices if not isinstance(d, str)]
    if isolation is None:
        isolation = "inline" if objects else "process"
    if isolation not in ISOLATIONS:
        raise one_of("isolation", isolation, ISOLATIONS, "run")
    if objects and isolation != "inline":
        raise UsageError("isolation is 'process' but adapter objects cannot go to another process; use 'inline' [run]")
    if max_time is None and max_cases is None:
        max_time = DEFAULT_SECONDS
    options = Settings(
        devices=devices,
        seed=seed,
        max_cases=max_cases,
        max_time=max_time,
        workers=workers,
        plans=plans,
        steer=steer,
        without=without,
        ops=ops,
        exclude_ops=exclude_ops,
        dtypes=dtypes,
        max_nodes=max_nodes,
        strategy=strategy,
        oracles=oracles,
        contract=contract,
        load=load,
        known=known,
        baseline=baseline,
        fail_on=fail_on,
        stop_after=stop_after,
        isolation=isolation,
        hang_after=hang_after,
    )
    excused = excuses(known, baseline, fail_on, custom=bool(load))
    load_extensions(options.load)  # also here, as findings with ops of their own are printed in this process
    folder = None if report_dir is None else state_folder(report_dir)

    def keep(new: Found) -> None:
        found(new, None if folder is None else write_finding(folder, new.id, new.text))

    report = Campaign(options, progress, keep, excused).run()
    if folder is not None:
        report.folder = str(folder)
    if report.error_code not in (0, EXIT_INTERRUPTED) and not report.counts.cases and not report.findings:
        raise _stopped(report)
    if folder is not None:
        write_reports(document(report), reports, folder)
    return report


def _stopped(report: Report) -> OffloadError:
    """The error that stopped a campaign, of the class that has its exit code."""
    for cls in (UsageError, MissingDevice, InternalError):
        if cls.exit_code == report.error_code:
            return cls(report.error)
    error = OffloadError(report.error)
    error.exit_code = report.error_code
    return error


# ----------------------------------------------------------------------------------------------------------- checks
class CounterexampleFound(AssertionError):
    """A case that fails; its text is the finding: what is wrong, the program, and what the failure needs.

    case: the failing case; verdict: what the oracle said.
    """

    def __init__(self, message: str, case: Case | None = None, verdict: Verdict | None = None) -> None:
        super().__init__(message)
        self.case = case
        self.verdict = verdict
        self._examiner: Examiner | None = None

    def __str__(self) -> str:
        if self._examiner is not None and self.case is not None and self.verdict is not None:
            examiner, self._examiner = self._examiner, None  # once, and only for the failure that is shown
            self.args = (_block(self.case, self.verdict, examiner),)
        return str(self.args[0])

    def __reduce__(self) -> tuple[type[CounterexampleFound], tuple[str]]:
        return CounterexampleFound, (str(self),)


def check(case: Case, oracles: Sequence[Oracle] | None = None) -> None:
    """Run a case and raise `CounterexampleFound`, an `AssertionError`, if an oracle (default: all) finds it wrong.

    Raises `UsageError` or `MissingDevice` when the case cannot be run on its devices.
    """
    if not isinstance(case, Case):
        raise UsageError(f"case is {type(case).__name__} but should be a case, from strategies.cases() or load_case")
    examiner = _examiner(_places(case), oracles)
    verdict = examiner.examine(case)
    if verdict.failed:
        raise _counterexample(case, verdict, examiner)
    _no_oracle_raised(verdict)


def check_plans(
    program: Program,
    devices: Sequence[Any] = DEFAULT_DEVICES,
    plans: str | Sequence[Plan] = "exhaustive",
    oracles: Sequence[Oracle] | None = None,
) -> None:
    """Run a program under many plans and raise `CounterexampleFound` if an oracle (default: all) finds one wrong.

    plans: the placements as in `--plans` (exhaustive, edges, covering:T, random:N), each otherwise plain; or plans.
    Raises `UsageError` or `MissingDevice` when they cannot be run.
    """
    if not isinstance(program, Program):
        raise UsageError(f"program is {type(program).__name__} but should be a program, as strategies.programs() draws")
    places = open_places((devices,) if isinstance(devices, str) else tuple(devices))
    chosen = _placed(program, places, plans) if isinstance(plans, str) else list(plans)
    examiner = _examiner(places, oracles)
    trial = examiner.trial(program, chosen or [PLAIN])
    for verdict in examiner.verdicts(trial):
        plan = trial.planned[verdict.plan].plan
        control = None if verdict.control is None else trial.planned[verdict.control].plan
        case = Case(program, plan, tuple(p.spec for p in places[1:]), control, places=places)
        raise _counterexample(case, verdict, examiner)


def _placed(program: Program, places: tuple[Place, ...], spec: str) -> list[Plan]:
    """One plan per placement of `spec`; what is drawn follows from the program alone."""
    entropy = sha256(print_program(program).encode()).digest()
    found, _ = placements(program, places, spec, Choices.expanded(entropy, 16 + 16 * len(program.nodes) ** 2))
    first = len(program.inputs)
    return [Plan({("device", (first + i,)): role for i, role in enumerate(p) if role}) for p in found]


def _places(case: Case) -> tuple[Place, ...]:
    return case.places if case.places is not None else open_places(case.devices)


@lru_cache(maxsize=16)
def _default_examiner(places: tuple[Place, ...]) -> Examiner:
    """One for all checks on these places, so that schedules of a shape are proved once."""
    return Examiner(places)


def _examiner(places: tuple[Place, ...], oracles: Sequence[Oracle] | None) -> Examiner:
    shared = _default_examiner(places)
    return shared if oracles is None else evolve(shared, oracles=tuple(oracles))


def _no_oracle_raised(verdict: Verdict) -> None:
    if verdict.kind == "oracle raised":
        raise UsageError(f"oracle {verdict.claim} raised {verdict.message} [check]; mend it")


def _counterexample(case: Case, verdict: Verdict, examiner: Examiner) -> CounterexampleFound:
    error = CounterexampleFound(f"{verdict.kind}: {verdict.message}", case, verdict)
    error._examiner = examiner
    return error


def _block(case: Case, verdict: Verdict, examiner: Examiner) -> str:
    diagnosis = diagnose(case, verdict, examiner)
    known = {
        **verdict_json(verdict),
        "id": "counterexample",
        "divergent": diagnosis.divergent,
        "needs": [{"phrase": n.phrase, "passes_when_plain": n.passes} for n in diagnosis.needs],
        "failures": diagnosis.failures,
        "repeats": diagnosis.repeats,
    }
    return finding_block(case, known)


# ------------------------------------------------------------------------------------------------------------ files
def case_files(folder: str | Path) -> list[Path]:
    """The case files below a folder, in order, to parametrize a test with; raises `UsageError` for no folder."""
    return files_below(folder)


def load_case(path: str | Path, devices: Mapping[str, str] | None = None) -> Case:
    """The case in a file, with other devices in its roles where told: {"d0": "mychip:0"}.

    Raises `InvalidFile` for a file that is no case, `UsageError` for a role that the case does not have.
    """
    case, _ = read_case(path)
    return with_devices(case, devices or {}, str(path))
