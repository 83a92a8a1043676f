"""Lowering depends on program, plan and places alone, whatever was lowered before; and the local judge on operands."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
import pytest

from offload_fuzz.adapters.pool import open_places
from offload_fuzz.execute import Run
from offload_fuzz.happens_before import prove
from offload_fuzz.lower import lower
from offload_fuzz.oracles import FAIL, PASS, WithinContract
from offload_fuzz.plan import Key, Plan
from offload_fuzz.program import Builder, Program
from offload_fuzz.schedule import Schedule
from offload_fuzz.strategies.choices import Choices
from offload_fuzz.strategies.modes import plan_for
from offload_fuzz.strategies.placements import allowed_roles
from offload_fuzz.trial import Planned, Trial, new_trial
from offload_fuzz.types import Array
from tests.programs import random_program

PLACES = open_places(("simulated:0", "simulated:1"))


def plans(program: Program, count: int) -> Iterator[Plan]:
    """Plans with drawn placements and modes."""
    allowed = allowed_roles(program, PLACES)
    for seed in range(count):
        choices = Choices.expanded(seed.to_bytes(2, "big"), 600)
        yield plan_for(program, [choices.pick(roles) for roles in allowed], PLACES, choices)


def same(a: Schedule, b: Schedule) -> bool:
    return (a.commands, a.buffers, a.inputs, a.results, a.probes) == (
        b.commands,
        b.buffers,
        b.inputs,
        b.results,
        b.probes,
    )


def test_programs_lowered_in_turn_give_what_each_gives_alone() -> None:
    programs = [random_program(random.Random(seed), size=6) for seed in range(4)]
    lists = [list(plans(program, 25)) for program in programs]
    alone = [[lower(p, plan, PLACES) for plan in found] for p, found in zip(programs, lists, strict=True)]
    for i in range(25):
        for p, found, before in zip(programs, lists, alone, strict=True):
            assert same(lower(p, found[i], list(PLACES)), before[i])
            assert prove(before[i]) is None


def test_an_early_event_is_recorded_before_what_its_stream_does_next() -> None:
    b = Builder()
    x = b.input(np.ones(3, np.float32))
    first = b.apply("negative", x)
    b.apply("square", first)
    program = b.returns(b.apply("exp", x), b.apply("add", first, first))
    away: dict[Key, object] = {("device", (v,)): 1 for v, _ in program.numbered()}
    names: dict[str, list[str]] = {}
    for sync in ("minimal", "early-event"):
        plan = Plan({**away, ("stream", (program.returns - 1,)): 1, ("sync", ()): sync})
        schedule = lower(program, plan, PLACES)
        assert prove(schedule) is None
        names[sync] = [type(c).__name__ for c in schedule.commands if type(c).__name__ in ("Record", "Wait", "Launch")]
    assert sorted(names["minimal"]) == sorted(names["early-event"])
    assert names["minimal"][names["minimal"].index("Record") + 1] == "Wait"
    assert names["early-event"][names["early-event"].index("Record") + 1] == "Launch"


def test_the_same_program_on_other_places_is_lowered_for_these() -> None:
    program = random_program(random.Random(1), size=6)
    plan = Plan({("device", (v,)): 1 for v, _ in program.numbered()})
    other = open_places(("numpy",))
    queued = lower(program, plan, PLACES)
    assert any(type(c).__name__ == "Synchronize" for c in queued.commands)
    assert not any(type(c).__name__ == "Synchronize" for c in lower(program, plan, other).commands)
    assert same(lower(program, plan, PLACES), queued)


# --------------------------------------------------------------------------------------------------- the local judge
def trial() -> Trial:
    """v2 = exp v0 (not known to the bit), v3 = v1 + v1, v4 = v3 * v3, v5 = v2 + v2."""
    b = Builder()
    b.input(np.array([2.0, 3.0, 5.0], np.float32))
    b.input(np.array([1.0, 2.0, 3.0], np.float32))
    v2 = b.apply("exp", 0)
    v3 = b.apply("add", 1, 1)
    v4 = b.apply("multiply", v3, v3)
    v5 = b.apply("add", v2, v2)
    return new_trial(b.returns(v4, v5), PLACES)


def read_back(**changed: Array) -> tuple[str, int | None]:
    """The verdict on a run whose read-back values are the reference's, but for those `changed` (by name)."""
    t = trial()
    found = {v: changed.get(f"v{v}", t.values[v].value) for v in range(2, 6)}
    t.planned.append(Planned(Plan({}), Run([], found)))
    verdict = WithinContract().judge(t)
    return verdict.outcome, verdict.value


def test_values_that_the_reference_has_pass() -> None:
    assert read_back() == (PASS, None)


@pytest.mark.parametrize("v", [2, 3, 4, 5])
def test_a_wrong_node_of_right_operands_is_the_one_at_fault(v: int) -> None:
    wrong = np.array([9.0, 9.0, 9.0], np.float32)
    assert read_back(**{f"v{v}": wrong}) == (FAIL, v)


def test_a_node_is_judged_from_the_operands_that_it_had() -> None:
    sum_, product = np.array([8.0, 1.0, 1.0], np.float32), np.array([64.0, 1.0, 1.0], np.float32)
    assert read_back(v3=sum_, v4=product) == (FAIL, 3)
    near = np.nextafter(trial().values[2].value, np.float32(np.inf))
    assert read_back(v2=near, v5=near + near) == (PASS, None)
    assert read_back(v2=near) == (FAIL, 5)
