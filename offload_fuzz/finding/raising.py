"""How a flaky case is shrunk: as many runs for each step as its rate takes, after delays have raised that rate.

A race is lost or won by time. What a delay on a stream puts off happens late in each run, so a case that fails in some
of its runs may fail in most with the right one (the freedom `delay`), and each step of shrinking then takes fewer runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from attrs import evolve

from offload_fuzz.case import Case
from offload_fuzz.finding.flaky import FAILURES, Rate, measure
from offload_fuzz.finding.rate import wilson
from offload_fuzz.oracles import Verdict
from offload_fuzz.plan import FREEDOMS, Key, Plan

if TYPE_CHECKING:
    from offload_fuzz.finding.reduction import Reduction

#: Times the budget of a reduction that a flaky case gets.
MORE = 20
#: Runs that the search may take, and those of one candidate, which is given up when so many did not fail at first.
SEARCH, MOST_RUNS, PATIENCE = 600, 60, 12
#: A rate that is high enough.
ENOUGH = 0.9

Fails = Callable[[Case], Verdict | None]


def allow_for_flakes(r: Reduction, more: int = MORE) -> None:
    """Run the case once more; where it passes, raise its rate by delays, and give candidates as many runs as it takes.

    Where delays have raised the rate, a candidate has to fail twice, each time in so many runs, so that one that fails
    without them as seldom as before is not taken by chance. more: times the budget that the reduction then has.
    """
    if r.spent:
        return
    once = r.fails

    def counted(case: Case) -> Verdict | None:
        r.executions += 1
        r.tick()
        return once(case)

    if counted(r.case) is not None:
        return
    r.budget *= more
    case, rate = raised(r.case, measure(counted, r.case), counted, lambda: not r.spent)
    times = 1 if case is r.case else 2
    r.case, r.attempts = case, rate.attempts

    def several(case: Case) -> Verdict | None:
        r.executions -= 1  # the reduction counts one itself
        found = None
        for _ in range(times):
            found = next((v for _ in range(r.attempts) if not r.stop() and (v := counted(case)) is not None), None)
            if found is None:
                return None
        return found

    r.fails = several


def raised(case: Case, rate: Rate, fails: Fails, left: Callable[[], bool]) -> tuple[Case, Rate]:
    """The case with the delays that raise its rate of failure significantly, and the rate then.

    A delay is kept where the 95% interval of the rate with it lies above that of the rate without. fails: one run;
    left: whether anything more may be run.
    """
    runs = 0
    for keys, choice in candidates(case):
        if runs >= SEARCH or rate.failures >= ENOUGH * rate.runs or not left():
            break
        choices = {**case.plan.choices, **dict.fromkeys(keys, choice)}
        candidate = evolve(case, plan=Plan(choices, case.plan.seed))
        found = _measured(fails, candidate)
        runs += found.runs
        if is_higher(found, rate):
            case, rate = candidate, found
    return case, rate


def is_higher(new: Rate, old: Rate) -> bool:
    """Whether a rate is significantly higher than another: their 95% intervals do not touch."""
    return wilson(new.failures, new.runs)[0] > wilson(old.failures, old.runs)[1]


def candidates(case: Case) -> Iterator[tuple[list[Key], str]]:
    """Sites and a choice of the freedom `delay`: each choice at all nodes that may have it, then at each node alone."""
    if case.places is None:
        return
    nodes: list[Key] = []
    for v, _ in case.program.numbered():
        role = case.plan.get("device", v)
        if role and case.places[role].features.delay and ("delay", (v,)) not in case.plan.choices:
            nodes.append(("delay", (v,)))
    choices = FREEDOMS["delay"].choices[1:]
    if len(nodes) > 1:
        yield from ((nodes, choice) for choice in choices)
    yield from (([key], choice) for key in nodes for choice in choices)


def _measured(fails: Fails, case: Case) -> Rate:
    """The rate of failure from at most `MOST_RUNS` runs."""
    failures = runs = 0
    while runs < MOST_RUNS and failures < FAILURES and (failures or runs < PATIENCE):
        runs += 1
        failures += fails(case) is not None
    return Rate(failures, runs)
