"""What a shrunk case needs to fail, shown by running it: each non-plain choice turned plain, and where it diverges.

Beside that: the nearest plan that passes, what the wrong values are, and by which rules the right ones are what they
are. The failing run itself is not perturbed: what the host saw of it is compared first; reading every result back is a
run of its own, and it is said where that changes the outcome.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from attrs import evolve, frozen

from offload_fuzz import schedule as s
from offload_fuzz.case import Case
from offload_fuzz.errors import InternalError, InvalidProgram
from offload_fuzz.execute import Run
from offload_fuzz.finding.damage import damage, names_of, traceable
from offload_fuzz.finding.examine import Examiner
from offload_fuzz.finding.flaky import Rate, measure, often
from offload_fuzz.finding.matrix import Tried, tries, wholes
from offload_fuzz.finding.rebuild import Change, rebuild
from offload_fuzz.lower import lower
from offload_fuzz.ops.base import find_op
from offload_fuzz.oracles import Verdict
from offload_fuzz.oracles.enclosed import allowed_text, same_type
from offload_fuzz.plan import FREEDOMS, Key, Plan, describe
from offload_fuzz.program import Program, attribute_text, frozen_input
from offload_fuzz.reference import quiet
from offload_fuzz.trial import Trial, new_trial, run_plan
from offload_fuzz.types import Array

#: Kinds that are about a value, of which damage and rules can be told.
OF_VALUES = ("wrong value", "plans disagree")
#: Values of which the chain of rules speaks at most.
CHAIN = 12


@frozen(eq=False)
class Need:
    """A non-plain choice that remains; passes: the case passes with this choice alone turned plain."""

    key: Key
    phrase: str
    passes: bool


@frozen(eq=False)
class Diagnosis:
    """needs: the non-plain choices; divergent: the first value at fault; failures of repeats: how often it failed.

    nearest: what the nearest plan that passes has otherwise. damage: what the wrong values are. chain: by which rules
    the right value is what it is, from the inputs on. seen: how `divergent` is known. attempts: runs after which a case
    counts as passing, more than one for a flaky case. plans: the plans that were tried, the failing one first.
    """

    needs: tuple[Need, ...]
    divergent: int | None
    failures: int
    repeats: int
    nearest: str = ""
    damage: str = ""
    chain: tuple[str, ...] = ()
    seen: str = ""
    attempts: int = 1
    plans: tuple[Tried, ...] = ()


def diagnose(case: Case, verdict: Verdict, examiner: Examiner, repeats: int = 3, attempts: int = 1) -> Diagnosis:
    """Turn each choice plain and run; read every node back to find the first that diverges; repeat the case.

    attempts: runs in which a flaky case is expected to fail; where it fails in some of `repeats` runs only, its rate is
    measured.
    """

    def once(candidate: Case) -> Verdict | None:
        return examiner.fails_like(candidate, verdict.kind)

    rate = Rate(sum(once(case) is not None for _ in range(repeats)), repeats) if attempts == 1 else measure(once, case)
    if rate.failures < rate.runs and attempts == 1:
        rate = measure(once, case)
    attempts = max(attempts, rate.attempts)
    run = tries(once, attempts)
    chosen = [(key, choice) for key, choice in case.plan.non_plain() if key[0] != "readback"]
    rates = [run(evolve(case, plan=case.plan.without(key))) for key, _ in chosen]
    needs = [Need(k, _phrase(case, k, c), not rate.failures) for (k, c), rate in zip(chosen, rates, strict=True)]
    plans = [
        Tried("the failing plan", (True,) * len(needs), rate),
        *(Tried(plainly(case, n.key), tuple(m is not n for m in needs), r) for n, r in zip(needs, rates, strict=True)),
        *wholes(case, [n.key for n in needs], rates, run),
    ]
    divergent, seen = _divergent(case, verdict, examiner, attempts)
    found, chain = "", tuple[str, ...]()
    if verdict.kind in OF_VALUES:
        found, chain = what_is_wrong(case, verdict, examiner, attempts), rules(case, divergent, verdict, examiner)
    return Diagnosis(
        tuple(needs),
        divergent,
        rate.failures,
        rate.runs,
        nearest(case, needs),
        found,
        chain,
        seen,
        attempts,
        tuple(plans),
    )


def _phrase(case: Case, key: Key, choice: object) -> str:
    if key[0] == "device":
        return f"v{key[1][0]} on d{int(str(choice)) - 1}"
    return describe(case.program, key, choice)


# ---------------------------------------------------------------------------------------------------- the nearest plan
#: Freedoms by how little of a plan one choice is: that of an operand first, of a whole schedule last but the device.
SMALLEST = ("operand", "edge", "node", "schedule")


def nearest(case: Case, needs: list[Need]) -> str:
    """The smallest choice that alone makes the case pass, as what the passing plan has there; "" for none."""
    passing = [n for n in needs if n.passes]
    order = {scope: i for i, scope in enumerate(SMALLEST)}
    passing.sort(key=lambda n: (n.key[0] == "device", order[FREEDOMS[n.key[0]].scope]))
    return plainly(case, passing[0].key) if passing else ""


def plainly(case: Case, key: Key) -> str:
    """The plain choice in words: `v1: v0 crosses blocking`, `v1 on the host`, `not v1: in place of a dead operand`."""
    freedom = FREEDOMS[key[0]]
    if key[0] == "device":
        return f"v{key[1][0]} on the host"
    if "{choice}" in freedom.phrase and freedom.plain != "none":
        return describe(case.program, key, freedom.plain)
    return f"not {describe(case.program, key, case.plan.choices[key])}"


# --------------------------------------------------------------------------------------------- where it diverges first
def _divergent(case: Case, verdict: Verdict, examiner: Examiner, attempts: int) -> tuple[int | None, str]:
    """The first value at fault, and how that is known."""
    if verdict.kind != "wrong value":
        return verdict.value, ""
    trial = new_trial(case.program, examiner.places)
    wrong: list[int] = []
    for _ in range(attempts):
        wrong = [v for v, array in sorted(host_values(case, examiner).items()) if _is_wrong(trial, v, array)]
        if wrong:
            break
    if case.plan.get("readback"):
        return verdict.value, "every result was read back"
    plan = Plan({**case.plan.choices, ("readback", ()): True}, case.plan.seed)
    probed = often(lambda c: examiner.fails_like(c, verdict.kind), attempts)(evolve(case, plan=plan))
    if probed is None:
        at = wrong[0] if wrong else verdict.value
        return at, "it passes where every result is read back, so only what the host sees anyway was looked at"
    if probed.value is not None:
        return probed.value, "the same where every result is read back"
    return verdict.value, ""


def host_values(case: Case, examiner: Examiner) -> dict[int, Array]:
    """value -> what the host holds of it after one run of the case, with no command more than the run has.

    Copies are taken at the end of the run; what was written again in place, or overwritten, is left out.
    """
    schedule = lower(case.program, case.plan, examiner.places)
    held: dict[int, Array] = {}

    def after(registers: list[Any]) -> None:
        for value, buffer in _on_host(schedule):
            array = registers[buffer]
            if same_type(array, case.program.types[value]):
                held[value] = array.copy()

    run_plan(case.program, case.plan, examiner.places, examiner.prover, after=after)
    return held


def _on_host(schedule: s.Schedule) -> Iterator[tuple[int, int]]:
    """(value, host buffer) of nodes run on the host and of results downloaded, in order of issue."""
    made: dict[int, int] = {}
    found: list[tuple[int, int]] = []
    written: set[int] = set()
    for c in schedule.commands:
        if isinstance(c, s.Launch):
            made[c.target] = c.value
            if c.in_place is not None:
                written.add(schedule.buffers[c.operands[c.in_place]].storage)
            if c.place == s.HOST and c.in_place is None:
                found.append((c.value, c.target))
        elif isinstance(c, s.LaunchCompiled):
            for result, target in zip(c.results, c.targets, strict=True):
                made[target] = c.values[result - len(c.operands)]
        elif isinstance(c, s.Overwrite):
            written.add(schedule.buffers[c.buffer].storage)
        elif isinstance(c, (s.Download, s.Copy, s.Upload, s.Arrange)) and c.source in made:
            made[c.target] = made[c.source]
            if isinstance(c, s.Download):
                found.append((made[c.source], c.target))
    return ((v, b) for v, b in found if b < schedule.own and schedule.buffers[b].storage not in written)


def _is_wrong(trial: Trial, v: int, array: Array) -> bool:
    e = trial.values[v].enclosure
    return e is not None and not bool(e.contains(array).all())


# --------------------------------------------------------------------------------------------- what is wrong, and why
def what_is_wrong(case: Case, verdict: Verdict, examiner: Examiner, attempts: int = 1) -> str:
    """What the wrong values are: of the case with data that tell where each element is from, if that fails too.

    attempts: runs in which a flaky case is expected to fail.
    """
    inputs = {v: frozen_input(traceable(x, v)) for v, x in enumerate(case.program.inputs)}
    for candidate in (_with_data(case, inputs), case):
        for _ in range(attempts if candidate is not None else 0):
            assert candidate is not None
            wrong, found = _damage(candidate, examiner)
            if found:
                return found
            if wrong:
                break  # nothing that is known here
    return ""


def _with_data(case: Case, inputs: Mapping[int, Array]) -> Case | None:
    try:
        return rebuild(case, Change(constants=inputs))
    except InvalidProgram:
        return None


def _damage(case: Case, examiner: Examiner) -> tuple[bool, str]:
    """Whether a run gives a wrong value, and what that is, as far as it is known."""
    try:
        trial = examiner.run(new_trial(case.program, examiner.places), [case.plan])
    except (InvalidProgram, InternalError):
        return False, ""
    verdict = next((v for v in examiner.verdicts(trial) if v.kind == "wrong value"), None)
    if verdict is None or verdict.value is None:
        return False, ""
    v, run = verdict.value, trial.planned[0].run
    e = trial.values[v].enclosure
    with quiet():
        for got in _arrays_of(run, case.program, v):
            if e is not None and same_type(got, case.program.types[v]) and not e.contains(got).all():
                values = names_of({u: k.value for u, k in enumerate(trial.values)}, v)
                return True, damage(got, trial.values[v].value, ~e.contains(got), dict(values))
    return True, ""


def _arrays_of(run: Run, program: Program, v: int) -> Iterator[Array]:
    if v in run.probes:
        yield run.probes[v]
    for results in run.results:
        yield from (array for o, array in zip(program.outputs, results, strict=True) if o == v)


def rules(case: Case, value: int | None, verdict: Verdict, examiner: Examiner) -> tuple[str, ...]:
    """For each node that the value comes from, in order: what it is computed by, how exactly, and what is allowed."""
    if value is None or case.program.node_of(value) is None:
        return ()
    trial = new_trial(case.program, examiner.places)
    needed, stack = set(), [value]
    while stack:
        v = stack.pop()
        node = case.program.node_of(v)
        if v not in needed and node is not None:
            needed.add(v)
            stack.extend(node.operands)
    lines = []
    for v in sorted(needed)[-CHAIN:]:
        node = case.program.node_of(v)
        assert node is not None
        e = trial.values[v].enclosure
        at = verdict.at if v == verdict.value and verdict.at is not None else (0,) * len(node.type.shape)
        told = "not known" if e is None else allowed_text(e, at) if node.type.size else "no elements"
        operands = ", ".join(f"v{o}" for o in node.operands)
        where = f"v{v}{list(at) if at else ''}"
        line = f"{node.op} {operands}{attribute_text(node)}".strip()
        lines.append(f"{where} = {line} is {find_op(node.op).accuracy}: {told}")
    return tuple(lines)
