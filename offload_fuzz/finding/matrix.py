"""The plan matrix of a finding: which plans were tried, which choices of the failing one each has, what came of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from attrs import evolve, frozen

from offload_fuzz.case import Case
from offload_fuzz.finding.flaky import Rate
from offload_fuzz.plan import PLAIN, Key, Plan


@frozen(eq=False)
class Tried:
    """A plan that was run. name: what it is; chosen: for each choice that the matrix speaks of, whether it has it.

    rate: how often it failed. A plan that fails at last is not run again, so that its rate says nothing more.
    """

    name: str
    chosen: tuple[bool, ...]
    rate: Rate

    @property
    def outcome(self) -> str:
        """fails or passes."""
        return "fails" if self.rate.failures else "passes"

    def as_json(self) -> dict[str, Any]:
        """As it is stored."""
        return {
            "plan": self.name,
            "chosen": list(self.chosen),
            "outcome": self.outcome,
            "failures": self.rate.failures,
            "runs": self.rate.runs,
        }


def wholes(case: Case, keys: Sequence[Key], singly: Sequence[Rate], run: Callable[[Case], Rate]) -> list[Tried]:
    """The rows of the plan with its devices alone, and of the plain plan; `run` says how often a case fails.

    keys: the choices of the matrix; singly: what came of turning each plain, which is not run again.
    """
    found = []
    known = {Plan(case.plan.without(key).choices, case.plan.seed): rate for key, rate in zip(keys, singly, strict=True)}
    devices = Plan({k: c for k, c in case.plan.choices.items() if k[0] == "device"}, case.plan.seed)
    for name, plan in (("the same devices, all else plain", devices), ("the plain plan: all on the host", PLAIN)):
        if plan.choices == case.plan.choices or any(plan.choices == k.choices for k in known):
            continue
        rate = run(evolve(case, plan=plan))
        known[plan] = rate
        found.append(Tried(name, tuple(key in plan.choices for key in keys), rate))
    return found


def tries(fails: Callable[[Case], object], attempts: int) -> Callable[[Case], Rate]:
    """Runs a case until it fails, at most `attempts` times, and says in how many."""

    def run(case: Case) -> Rate:
        for n in range(1, attempts + 1):
            if fails(case) is not None:
                return Rate(1, n)
        return Rate(0, attempts)

    return run
