"""Inputs that are constants of a kernel: which operands may be, and that nothing carries them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from offload_fuzz.adapters.faulty import Faulty
from offload_fuzz.adapters.pool import open_places
from offload_fuzz.adapters.simulated import make
from offload_fuzz.adapters.validating import BrokenPromise, validating
from offload_fuzz.case import Case
from offload_fuzz.device import Place, place
from offload_fuzz.export.script import script
from offload_fuzz.finding.examine import Examiner
from offload_fuzz.happens_before import prove
from offload_fuzz.lower import lower
from offload_fuzz.plan import PLAIN, Plan
from offload_fuzz.program import Builder, Program
from offload_fuzz.schedule import Launch, LaunchCompiled, Schedule, Upload
from tests.algebra.explorer import unsafe

PLACES = open_places(("simulated:0", "numpy"))
X, Y = np.array([[1.5, -0.0], [np.nan, 4.25]], np.float32), np.array([1, 2], np.float32)


def program() -> Program:
    """v2 = v0 + v1, v3 = v2 * v1, v4 = permute_dims v0, v5 = v4 + v3; v5 and v4 are returned."""
    b = Builder()
    x, y = b.input(X), b.input(Y)
    total = b.apply("multiply", b.apply("add", x, y), y)
    turned = b.apply("permute_dims", x, axes=(1, 0))
    return b.returns(b.apply("add", turned, total), turned)


def plan(*constant: tuple[int, int], role: int = 1, **more: Any) -> Plan:
    choices: dict[Any, Any] = {("device", (v,)): role for v in range(2, 6)}
    choices |= {("constant", site): True for site in constant}
    return Plan(choices | {(name, ()): choice for name, choice in more.items()}, 5)


def lowered(chosen: Plan, places: tuple[Place, ...] = PLACES) -> Schedule:
    """The schedule, which is proved and gives the plain plan's results on lawful devices."""
    schedule = lower(program(), chosen, places)
    assert prove(schedule) is None
    assert unsafe(schedule) is None
    examiner = Examiner(places)
    assert examiner.verdicts(examiner.trial(program(), [PLAIN, chosen])) == []
    return schedule


def constants(schedule: Schedule) -> list[tuple[int, int]]:
    """(value, operand) of each operand that a launch on a device is given on the host."""
    launches = [c for c in schedule.commands if isinstance(c, Launch) and c.place]
    return [(c.value, k) for c in launches for k, b in enumerate(c.operands) if not schedule.buffers[b].place]


def test_an_input_is_handed_over_as_it_is_and_not_uploaded() -> None:
    schedule = lowered(plan((2, 0), (2, 1), sync="minimal"))
    assert constants(schedule) == [(2, 0), (2, 1)]
    assert [c.source for c in schedule.commands if isinstance(c, Upload)] == [1, 0]  # for v3 and v4


@pytest.mark.parametrize(
    ("chosen", "why"),
    [
        (plan((4, 0)), "the result may lie in it"),
        (plan((3, 0)), "a node makes it"),
        (plan((2, 0), role=2), "the device takes none"),
        (Plan({**plan((2, 0)).choices, ("layout", (2, 0)): "fortran"}), "it crosses in another way"),
    ],
)
def test_an_operand_is_no_constant_where_it_cannot_be(chosen: Plan, why: str) -> None:
    assert constants(lowered(chosen)) == [], why


@pytest.mark.parametrize("more", [{"company": "interleaved"}, {"repeat": 2}, {"readback": True}])
def test_constants_go_with_further_choices_of_the_schedule(more: dict[str, Any]) -> None:
    schedule = lowered(plan((2, 0), (3, 1), sync="minimal", **more))
    assert {(2, 0), (3, 1)} == {*constants(schedule)}


def test_a_region_has_constants_too() -> None:
    together = Plan({**plan((2, 0), (3, 1)).choices, ("compile", (3,)): True}, 5)
    schedule = lowered(together)
    (region,) = [c for c in schedule.commands if isinstance(c, LaunchCompiled)]
    assert region.values == (2, 3)
    assert [schedule.buffers[b].place for b in region.operands] == [0, 1, 0]  # v1 is uploaded for v2


def test_no_transfer_carries_a_constant_and_a_watched_device_finds_it_written() -> None:
    device = make("simulated:0")
    device.reset(1)
    x = X.copy()
    result = device.launch("negative", [x], {})
    x[...] = 0  # it was built in when the launch was issued
    assert device.download(result).tobytes() == (-X).tobytes()
    assert device.ledger()["transfers"] == [("download", X.nbytes)]
    assert device.ledger()["misreads"] == []


def test_a_validated_device_takes_constants_where_they_are_declared() -> None:
    good = validating(place(make("simulated:0")).device)
    buffer = good.launch("add", [good.upload(X, stream=0, blocking=True), Y], {}, stream=0)
    assert good.download(buffer, stream=0, blocking=True).tobytes() == (X + Y).tobytes()
    (none,) = open_places(("numpy",))[1:]
    with pytest.raises(BrokenPromise, match="buffer is ndarray but should be one that this device gave"):
        validating(none.device).launch("negative", [X], {})


def test_a_fault_around_a_device_reads_constants_as_operands() -> None:
    device = Faulty(make("simulated:0"), ["float32_in_float16"])
    fine = np.array([1 + 2**-20], np.float32)
    assert device.download(device.launch("add", [fine, fine], {})).item() == 2.0


def test_a_script_hands_the_constant_over() -> None:
    text = script(Case(program(), plan((2, 0)), ("simulated:0",)), {}, "F.py")
    assert "    d0_v2 = d0.launch('add', [v0, d0_v1], {}, stream=0)\n" in text


def test_a_constant_of_few_digits_is_found() -> None:
    examiner = Examiner(open_places(("simulated:0+constant_written_short",)))
    assert examiner.verdicts(examiner.trial(program(), [plan()])) == []
    (verdict,) = examiner.verdicts(examiner.trial(program(), [plan((2, 0))]))
    assert verdict.kind == "wrong value"
