"""RaisesNothing: a device raises no error where the reference raises none."""

from __future__ import annotations

from offload_fuzz.trial import Trial

from .verdict import FAIL, PASS, Verdict

CLAIM = "errors are raised where the reference raises and nowhere else"


class RaisesNothing:
    """No exception comes out of a device for a program that its features cover, but of memory used up as declared."""

    def judge(self, trial: Trial) -> Verdict:
        for i, planned in enumerate(trial.planned):
            f = planned.run.failure
            if f is not None and not f.out_of_memory:
                where = f"v{f.value}" if f.value is not None else "a transfer"
                name = trial.places[f.place].name
                text = f"{where} raised {f.error} [{f.command} on {name}] but should give a result"
                return Verdict(FAIL, "raised", CLAIM, text, i, f.value, expected="a result", got=f.error)
        return Verdict(PASS, claim=CLAIM)
