"""Running one case and judging it: what shrinking, diagnosis, replay and `check` all do."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import field, frozen

from offload_fuzz.case import Case
from offload_fuzz.device import Place
from offload_fuzz.errors import InternalError, InvalidProgram
from offload_fuzz.happens_before import Prover
from offload_fuzz.issuing import check_support
from offload_fuzz.oracles import FAIL, UNKNOWN, Oracle, Verdict, default_oracles, judge
from offload_fuzz.plan import Plan
from offload_fuzz.program import Program
from offload_fuzz.trial import Planned, Trial, new_trial, run_plan

#: Kind of the unknown verdict where a device runs out of memory, as it may.
OUT_OF_MEMORY = "out of memory"


@frozen(eq=False)
class Examiner:
    """Runs cases on places (the host first) and lets oracles judge them; counts the plans that it ran."""

    places: tuple[Place, ...]
    oracles: Sequence[Oracle] = field(factory=default_oracles)
    prover: Prover = field(factory=Prover)
    count: list[int] = field(factory=lambda: [0])

    def trial(self, program: Program, plans: Sequence[Plan]) -> Trial:
        """The program run under each plan."""
        return self.run(new_trial(program, self.places), plans)

    def run(self, trial: Trial, plans: Sequence[Plan]) -> Trial:
        """Add a run for each plan."""
        program = trial.program
        for plan in plans:
            self.count[0] += 1
            trial.planned.append(Planned(plan, run_plan(program, plan, self.places, self.prover)))
        return trial

    def verdicts(self, trial: Trial) -> list[Verdict]:
        """What fails in a trial."""
        return [v for v in judge(trial, self.oracles)[0] if v.outcome == FAIL]

    def examine(self, case: Case) -> Verdict:
        """The first failing verdict of a case, else a passing or unknown one.

        Raises `InvalidProgram` for a plan that the devices' features do not cover.
        """
        plans = [case.plan] if case.control is None else [case.plan, case.control]
        for plan in plans:
            check_support(case.program, plan, self.places)
        trial = self.trial(case.program, plans)
        found, unknowns = judge(trial, self.oracles)
        for verdict in found:
            if verdict.failed:
                return verdict
        if found:
            return found[0]
        for i, planned in enumerate(trial.planned):
            f = planned.run.failure
            if f is not None and f.out_of_memory:
                return Verdict(UNKNOWN, OUT_OF_MEMORY, message=f.error, plan=i, value=f.value, unknowns=1)
        return Verdict(UNKNOWN if unknowns else "pass", unknowns=unknowns)

    def fails_like(self, case: Case, kind: str, all_known: bool = False) -> Verdict | None:
        """The verdict of `kind` on this case, None if it does not fail so, or is not well formed.

        all_known: None also for a program in which some result is undefined or unknown.
        """
        plans = [case.plan] if case.control is None else [case.plan, case.control]
        try:
            for plan in plans:
                check_support(case.program, plan, self.places)
            trial = new_trial(case.program, self.places)
            if all_known and any(k.enclosure is None for k in trial.values):
                return None
            self.run(trial, plans)
        except (InvalidProgram, InternalError):
            return None
        for verdict in self.verdicts(trial):
            if verdict.kind == kind:
                return verdict
        return None
