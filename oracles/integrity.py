"""InputsUntouched and HostUnchanged: nothing that was not to be written is, and the host's float mode stays."""

from __future__ import annotations

from offload_fuzz.trial import Trial

from .verdict import FAIL, PASS, Verdict

TOUCHED = "inputs, host sources and the bytes around views stay as they were"
UNCHANGED = "the host's rounding and flush-to-zero mode stays as it was"


class InputsUntouched:
    """Inputs, arranged host arrays and the guard bytes between their elements are not written."""

    def judge(self, trial: Trial) -> Verdict:
        for i, planned in enumerate(trial.planned):
            if planned.run.touched:
                text = f"{planned.run.touched[0]} was written but should be untouched"
                return Verdict(FAIL, "input overwritten", TOUCHED, text, i)
        return Verdict(PASS, claim=TOUCHED)


class HostUnchanged:
    """Running a plan does not change the floating-point mode of the host process."""

    def judge(self, trial: Trial) -> Verdict:
        for i, planned in enumerate(trial.planned):
            if planned.run.environment:
                text = f"after the run {planned.run.environment}, in the whole host process"
                return Verdict(FAIL, "host mode changed", UNCHANGED, text, i)
        return Verdict(PASS, claim=UNCHANGED)
