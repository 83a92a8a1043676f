"""Memory that is given away: how a plan's choice becomes a launch, who may be given, and what devices do with it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from offload_fuzz import run
from offload_fuzz.adapters.pool import open_places
from offload_fuzz.adapters.simulated import Simulated, make
from offload_fuzz.adapters.validating import BrokenPromise, validating
from offload_fuzz.device import parse_features
from offload_fuzz.finding.examine import Examiner
from offload_fuzz.happens_before import prove
from offload_fuzz.lower import lower
from offload_fuzz.plan import Plan
from offload_fuzz.program import Builder, Program
from offload_fuzz.schedule import Launch, Release

PLACES = open_places(("simulated:0", "numpy"))


def program() -> Program:
    """v2 = v0 + v1, v3 = exp v2, v4 = sum v3, v5 = permute_dims v3; v4 and v5 are returned."""
    b = Builder()
    x, y = b.input(np.ones((2, 3), np.float32)), b.input(np.full((2, 3), 2, np.float32))
    v3 = b.apply("exp", b.apply("add", x, y))
    total = b.apply("sum", v3, axis=None, keepdims=False)
    return b.returns(total, b.apply("permute_dims", v3, axes=(1, 0)))


def plan(*donated: int, role: int = 1, **more: Any) -> Plan:
    choices: dict[Any, Any] = {("device", (v,)): role for v in range(2, 6)}
    choices |= {("donate", (v,)): True for v in donated}
    return Plan(choices | {(name, ()): choice for name, choice in more.items()}, 5)


def launches(made: Any) -> dict[int, Launch]:
    return {c.value: c for c in made.commands if isinstance(c, Launch)}


def test_the_first_dead_operand_is_given_away_and_not_released_again() -> None:
    schedule = lower(program(), plan(2, 3), PLACES)
    found = launches(schedule)
    assert (found[2].donated, found[3].donated) == (0, 0)
    assert schedule.buffers[found[3].target].storage != schedule.buffers[found[2].target].storage
    assert found[2].target not in [c.buffer for c in schedule.commands if isinstance(c, Release)]
    assert prove(schedule) is None


def test_what_is_used_later_or_aliased_or_elsewhere_is_not_given_away() -> None:
    found = launches(lower(program(), plan(4, 5), PLACES))
    assert (found[4].donated, found[5].donated) == (None, None)  # v3 has a later user; permute_dims gives a view
    assert launches(lower(program(), plan(2, 3, role=2), PLACES))[3].donated is None  # NumPy does not declare it


def test_reuse_in_place_comes_first() -> None:
    choices = dict(plan(3).choices) | {("reuse", (3,)): True}
    found = launches(lower(program(), Plan(choices), PLACES))[3]
    assert (found.in_place, found.donated) == (0, None)


@pytest.mark.parametrize("seed", range(8))
def test_the_simulated_device_frees_what_it_was_given_after_the_kernel(seed: int) -> None:
    device = make("simulated:0")
    device.reset(seed)
    x = device.upload(np.arange(4, dtype=np.float32))
    y = device.launch("negative", [x], {}, donate=0)
    poison = device.upload(np.full(4, 7, np.float32))
    assert device.download(y).tolist() == [0, -1, -2, -3]
    assert device.download(poison).tolist() == [7] * 4
    device.synchronize()
    with pytest.raises(ValueError, match="release it once"):
        device.memory.free(x.storage)
    view = device.launch("permute_dims", [y], {"axes": (0,)}, donate=0)
    assert device.download(view).tolist() == [0, -1, -2, -3]


def test_plans_that_donate_agree_with_those_that_do_not() -> None:
    examiner = Examiner(open_places(("simulated:0",)))
    plans = [plan(), plan(2, 3), plan(2, 3, 4, 5, sync="minimal")]
    assert examiner.verdicts(examiner.trial(program(), plans)) == []


class FreesFirst(Simulated):
    """Gives the operand's memory back when the launch is issued, not after its kernel."""

    def launch(self, op: str, operands: Any, attributes: Any, *, donate: int | None = None, **more: Any) -> Any:
        if donate is not None:
            operands[donate].storage.memory.free(operands[donate].storage)
        return super().launch(op, operands, attributes, **more)


def test_a_device_that_frees_before_its_kernel_runs_is_found_and_the_diagnosis_names_the_donation() -> None:
    report = run([FreesFirst("simulated", 0, [])], max_cases=600, seed=2, ops=["negative", "add"], dtypes=["int32"])
    assert report.findings
    assert any("given the memory of a dead operand" in finding.text for finding in report.findings)


def test_a_donated_buffer_is_used_no_more() -> None:
    device = validating(make("simulated:0"))
    x = device.upload(np.ones(3, np.float32), stream=0, blocking=True)
    with pytest.raises(BrokenPromise, match="the donated buffer is another operand too but should be given away alone"):
        device.launch("add", [x, x], {}, donate=0, stream=0)
    device.launch("negative", [x], {}, donate=0, stream=0)
    with pytest.raises(BrokenPromise, match="the fuzzer broke a promise: a buffer is used that was released"):
        device.launch("negative", [x], {}, stream=0)


def test_all_ops_can_be_declared_at_once() -> None:
    features = parse_features({"ops": ["add", "exp"], "dtypes": ["float32"], "donate": "all"}, "here")
    assert features.donate == {"add", "exp"}
