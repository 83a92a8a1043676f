"""What a shrunk case needs to fail, shown by running it: each non-plain choice turned plain, and where it diverges."""

from __future__ import annotations

from attrs import evolve, frozen

from offload_fuzz.case import Case
from offload_fuzz.finding.examine import Examiner
from offload_fuzz.oracles import Verdict
from offload_fuzz.plan import Key, Plan, describe


@frozen(eq=False)
class Need:
    """A non-plain choice that remains; passes: the case passes with this choice alone turned plain."""

    key: Key
    phrase: str
    passes: bool


@frozen(eq=False)
class Diagnosis:
    """needs: the non-plain choices; divergent: the first value at fault; failures of repeats: how often it failed."""

    needs: tuple[Need, ...]
    divergent: int | None
    failures: int
    repeats: int


def diagnose(case: Case, verdict: Verdict, examiner: Examiner, repeats: int = 3) -> Diagnosis:
    """Turn each choice plain and run; read every node back to find the first that diverges; repeat the case."""
    needs = []
    for key, choice in case.plan.non_plain():
        if key[0] == "readback":
            continue
        without = evolve(case, plan=case.plan.without(key))
        passes = examiner.fails_like(without, verdict.kind) is None
        needs.append(Need(key, _phrase(case, key, choice), passes))
    failures = sum(examiner.fails_like(case, verdict.kind) is not None for _ in range(repeats))
    return Diagnosis(tuple(needs), _divergent(case, verdict, examiner), failures, repeats)


def _phrase(case: Case, key: Key, choice: object) -> str:
    if key[0] == "device":
        return f"v{key[1][0]} on d{int(str(choice)) - 1}"
    return describe(case.program, key, choice)


def _divergent(case: Case, verdict: Verdict, examiner: Examiner) -> int | None:
    if verdict.kind != "wrong value":
        return verdict.value
    plan = Plan({**case.plan.choices, ("readback", ()): True}, case.plan.seed)
    probed = examiner.fails_like(evolve(case, plan=plan), verdict.kind)
    return probed.value if probed is not None and probed.value is not None else verdict.value
