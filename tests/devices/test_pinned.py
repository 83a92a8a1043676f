"""Uploads from page-locked host memory: who gives it, when it is read, when its source is free."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from offload_fuzz.adapters.pool import open_places
from offload_fuzz.adapters.simulated import make
from offload_fuzz.device import Place
from offload_fuzz.finding.examine import Examiner
from offload_fuzz.happens_before import prove
from offload_fuzz.host_arrays import CANARY, HostMemory, arrange
from offload_fuzz.lower import lower
from offload_fuzz.plan import Plan
from offload_fuzz.program import Builder, Program
from offload_fuzz.schedule import Arrange, Overwrite, Schedule, SynchronizeEvent, Upload

FREE = open_places(("simulated:0", "simulated:1"))
STAGES = open_places(("simulated.gpu:0", "simulated.gpu:1"))
WITHOUT = open_places(("simulated.npu:0", "simulated.npu:1"))


def program() -> Program:
    """v1 = negative v0, v2 = negative v1 of float32[2,5]; v2 is returned."""
    b = Builder()
    v = b.input(np.arange(1, 11, dtype=np.float32).reshape(2, 5))
    return b.returns(b.apply("negative", b.apply("negative", v)))


def lowered(choices: dict[Any, Any], places: tuple[Place, ...], seed: int = 5) -> Schedule:
    """The schedule, which is proved and gives the plain plan's results on lawful devices."""
    plan = Plan({("device", (1,)): 1, **choices}, seed)
    schedule = lower(program(), plan, places)
    assert prove(schedule) is None
    examiner = Examiner(places)
    assert examiner.verdicts(examiner.trial(program(), [Plan({}), plan])) == []
    return schedule


@pytest.mark.parametrize(("places", "number"), [(FREE, 1), (STAGES, 1), (WITHOUT, 0)])
def test_an_operand_is_put_in_memory_that_its_device_has_page_locked(places: tuple[Place, ...], number: int) -> None:
    commands = lowered({("pinned", (1, 0)): True}, places).commands
    assert [c.pinned for c in commands if isinstance(c, Arrange)] == [1] * number
    assert [c.pinned for c in commands if isinstance(c, Upload)] == [bool(number)]


@pytest.mark.parametrize(
    ("places", "pinned", "transfer", "free"),
    [
        (FREE, True, "async", "completion"),
        (FREE, False, "async", "completion"),
        (STAGES, True, "async", "completion"),
        (STAGES, False, "async", "return"),
        (STAGES, True, "blocking", "return"),
    ],
)
def test_a_source_is_overwritten_when_its_memory_and_the_transfer_say_that_it_is_free(
    places: tuple[Place, ...], pinned: bool, transfer: str, free: str
) -> None:
    choices: dict[Any, Any] = {("overwrite", (1, 0)): True, ("sync", ()): "minimal"}
    choices |= {("pinned", (1, 0)): True} if pinned else {}
    choices |= {("transfer", (1, 0)): transfer} if transfer != "blocking" else {}
    for seed in range(1, 7):
        commands = lowered(choices, places, seed).commands
    assert [c.source_free for c in commands if isinstance(c, Upload)] == [free]
    waits = [type(c) for c in commands if isinstance(c, SynchronizeEvent | Overwrite)]
    assert waits == ([SynchronizeEvent, Overwrite] if free == "completion" else [Overwrite])


@pytest.mark.parametrize("seed", range(1, 5))
@pytest.mark.parametrize("places", [FREE, STAGES])
def test_page_locked_memory_combines_with_form_pieces_route_and_destination(
    places: tuple[Place, ...], seed: int
) -> None:
    choices: dict[Any, Any] = {("device", (2,)): 2, ("sync", ()): "minimal", ("route", (2, 0)): "host"}
    for site in ((1, 0), (2, 0)):
        choices |= {("pinned", site): True, ("transfer", site): "async", ("chunks", site): "pieces of 3"}
        choices |= {("destination", site): "strided", ("overwrite", site): True}
        choices |= {("layout", site): ("fortran", "strided", "negative")[seed % 3]}
        choices |= {("paging", site): "across"} if seed % 2 else {("alignment", site): "element"}
    lowered(choices, places, seed)


def test_a_bounced_value_has_arrived_on_the_host_before_it_is_staged() -> None:
    choices: dict[Any, Any] = {("device", (2,)): 2, ("route", (2, 0)): "host", ("transfer", (2, 0)): "async"}
    choices |= {("sync", ()): "minimal"}
    for seed in range(1, 9):
        lowered(choices, STAGES, seed)


@pytest.mark.parametrize("chunks", [None, (0, (0, 3, 7))])
@pytest.mark.parametrize(("spec", "pinned", "early"), [
    ("simulated:0", False, False), ("simulated:0", True, False),
    ("simulated.gpu:0", False, True), ("simulated.gpu:0", True, False),
])  # fmt: skip  # a table
def test_a_gpu_stages_what_is_not_page_locked(spec: str, pinned: bool, early: bool, chunks: Any) -> None:
    device = make(spec)
    device.reset(1, "late")
    x = np.arange(7, dtype=np.float32)
    buffer = device.upload(x, blocking=False, pinned=pinned, chunks=chunks)
    device.touched(x, True)
    x[...] = 0
    assert device.download(buffer).tolist() == (list(range(7)) if early else [0] * 7)
    assert bool(device.ledger()["misreads"]) != early


@pytest.mark.parametrize("across", [False, True])
def test_an_array_is_cut_from_the_memory_that_is_given(across: bool) -> None:
    given = []

    def allocate(nbytes: int) -> Any:
        given.append(np.zeros(nbytes, np.uint8))
        return given[-1]

    array, backing = arrange(np.arange(5, dtype=np.int16), "strided", 64, False, HostMemory(allocate), across)
    assert array.tolist() == list(range(5))
    assert np.shares_memory(backing, given[-1])
    assert (given[-1] == CANARY).sum() >= given[-1].size - backing.size
