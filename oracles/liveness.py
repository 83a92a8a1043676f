"""RaisesNothing: a device raises no error where the reference raises none."""

from __future__ import annotations

from offload_fuzz.failure import Failure
from offload_fuzz.trial import Trial

from .verdict import FAIL, PASS, Verdict

WORDS = {"synchronizeevent": "synchronisation with an event", "synchronize": "synchronisation"}
CLAIM = "errors are raised where the reference raises and nowhere else"


class RaisesNothing:
    """No exception comes out of a device for a program that its features cover, but of memory used up as declared."""

    def judge(self, trial: Trial) -> Verdict:
        for i, planned in enumerate(trial.planned):
            f = planned.run.failure
            if f is not None and not f.out_of_memory:
                other = "a synchronisation" if f.command in WORDS else "a transfer"
                where = f"v{f.value}" if f.value is not None else other
                name = trial.places[f.place].name
                late = f", which surfaced late, at a later {WORDS.get(f.late, f.late)}" if f.late else ""
                if _may_be_late(f, trial):
                    late = "; perhaps it is of an earlier launch there, which the error does not say"
                text = f"{where} raised {f.error} [{f.command} on {name}{late}] but should give a result"
                return Verdict(FAIL, "raised", CLAIM, text, i, f.value, expected="a result", got=f.error)
        return Verdict(PASS, claim=CLAIM)


def _may_be_late(failure: Failure, trial: Trial) -> bool:
    """Whether launches may return early there, so that what another call raises may be the error of one of them."""
    return failure.value is None and not failure.late and trial.places[failure.place].features.streams > 0
