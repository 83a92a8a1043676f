"""What a judge says: pass, fail or unknown, with kind, claim, place and rule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from attrs import field, frozen

from offload_fuzz.trial import Trial

PASS, FAIL, UNKNOWN = "pass", "fail", "unknown"


@frozen
class Verdict:
    """outcome: pass, fail or unknown. kind: for example `wrong value`. claim: what the oracle holds.

    plan: the position in the trial of the plan that fails; control: that of one it disagrees with. value: the value
    number at fault, where one is known. rule: why the expected set is what it is. expected, got: element texts.
    ulps: for real floats, how many representable numbers lie between what came and the nearest that is allowed, which
    counts itself: 1 is the next number. unknowns: how many results could not be judged. at: the first index at fault.
    """

    outcome: str
    kind: str = ""
    claim: str = ""
    message: str = ""
    plan: int = 0
    value: int | None = None
    rule: str = ""
    expected: str = ""
    got: str = ""
    control: int | None = None
    unknowns: int = 0
    local: bool = field(default=False)
    ulps: int | None = None
    at: tuple[int, ...] | None = None

    @property
    def failed(self) -> bool:
        return self.outcome == FAIL


class Oracle(Protocol):
    """One method, no base class."""

    def judge(self, trial: Trial) -> Verdict: ...


PASSED = Verdict(PASS)


def judge(trial: Trial, oracles: Sequence[Oracle]) -> tuple[list[Verdict], int]:
    """The failing verdicts of `oracles`, at most one each, and the number of results that were not judged.

    An oracle that raises gives `unknown`, never a pass.
    """
    found: list[Verdict] = []
    unknowns = 0
    for oracle in oracles:
        try:
            verdict = oracle.judge(trial)
        except Exception as error:  # noqa: BLE001  # a user's oracle may raise anything
            verdict = Verdict(
                UNKNOWN, "oracle raised", type(oracle).__name__, f"{type(error).__name__}: {error}", unknowns=1
            )
        unknowns += verdict.unknowns
        if verdict.outcome == FAIL or verdict.kind == "oracle raised":
            found.append(verdict)
    return found, unknowns
