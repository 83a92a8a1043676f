"""RanWherePlanned: buffers are where the plan puts them; no silent fallback to another device."""

from __future__ import annotations

from offload_fuzz.trial import Trial

from .verdict import FAIL, PASS, Verdict

CLAIM = "each node ran, and each value lies, where the plan says"


class RanWherePlanned:
    """What `place_of` says of each buffer is the device of its role."""

    def judge(self, trial: Trial) -> Verdict:
        for i, planned in enumerate(trial.planned):
            if planned.run.misplaced:
                m = planned.run.misplaced[0]
                what = "a transferred value" if m.value < 0 else f"v{m.value}"
                text = f"{what} is on {m.found} but should be on {m.expected}"
                value = m.value if m.value >= 0 else None
                return Verdict(FAIL, "ran elsewhere", CLAIM, text, i, value, expected=m.expected, got=m.found)
        return Verdict(PASS, claim=CLAIM)
