"""How the choices of a plan become commands, and what a device does with them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from offload_fuzz.adapters.pool import open_places
from offload_fuzz.adapters.simulated import make
from offload_fuzz.device import Place
from offload_fuzz.finding.examine import Examiner
from offload_fuzz.happens_before import prove
from offload_fuzz.host_arrays import HostMemory, destination, spilled
from offload_fuzz.lower import lower
from offload_fuzz.plan import FREEDOMS, Plan
from offload_fuzz.program import Builder, Program
from offload_fuzz.schedule import Copy, Delay, Download, Drop, Launch, Release, Schedule, Upload
from offload_fuzz.types import ArrayType

PLACES = open_places(("simulated:0", "simulated:1", "simulated:2"))
RING = open_places(("simulated.multichip:0", "simulated.multichip:1", "simulated.multichip:2"))
HOSTED = open_places(("numpy", "simulated:0"))


def chain(count: int = 2) -> Program:
    """v1 = negative v0, v2 = negative v1, ... of float32[2,3]; the last is returned."""
    b = Builder()
    v = b.input(np.arange(1, 7, dtype=np.float32).reshape(2, 3))
    for _ in range(count):
        v = b.apply("negative", v)
    return b.returns(v)


def lowered(program: Program, choices: dict[Any, Any], places: tuple[Place, ...] = PLACES) -> Schedule:
    """The schedule, which is proved and gives the plain plan's results on lawful devices."""
    plan = Plan(choices, 5)
    schedule = lower(program, plan, places)
    assert prove(schedule) is None
    examiner = Examiner(places)
    assert examiner.verdicts(examiner.trial(program, [Plan({}), plan])) == []
    return schedule


def kinds(schedule: Schedule) -> list[str]:
    """The names of the commands without those that synchronise or release."""
    return [n for c in schedule.commands if (n := type(c).__name__) not in ("Synchronize", "Release")]


# --------------------------------------------------------------------------------------------------------------- route
AWAY = {("device", (1,)): 1, ("device", (2,)): 2}


@pytest.mark.parametrize(
    ("route", "places", "expected"),
    [
        ("direct", PLACES, ["Upload", "Launch", "Copy", "Launch", "Download"]),
        ("host", PLACES, ["Upload", "Launch", "Download", "Upload", "Launch", "Download"]),
        ("third device", PLACES, ["Upload", "Launch", "Copy", "Copy", "Launch", "Download"]),
        ("third device", PLACES[:3], ["Upload", "Launch", "Copy", "Launch", "Download"]),
        ("direct", HOSTED, ["Upload", "Launch", "Download", "Upload", "Launch", "Download"]),
    ],
)
def test_a_value_goes_the_way_that_the_plan_says_where_there_is_one(
    route: str, places: tuple[Place, ...], expected: list[str]
) -> None:
    choices: dict[Any, Any] = dict(AWAY) | ({("route", (2, 0)): route} if route != "direct" else {})
    assert kinds(lowered(chain(), choices, places)) == expected


def test_chips_that_are_not_neighbours_pass_a_value_on_over_the_one_between_them() -> None:
    choices: dict[Any, Any] = {("device", (1,)): 1, ("device", (2,)): 3}
    assert "Copy" not in kinds(lowered(chain(), choices, RING))
    schedule = lowered(chain(), choices | {("route", (2, 0)): "third device"}, RING)
    assert [(c.source_place, c.place) for c in schedule.commands if isinstance(c, Copy)] == [(1, 2), (2, 3)]


# --------------------------------------------------------------------------------------------------------------- delay
@pytest.mark.parametrize(
    ("delay", "place", "expected"),
    [
        ("copy", 2, ["Upload", "Launch", "Delay", "Record", "Wait", "Copy", "Launch"]),
        ("launch", 2, ["Upload", "Launch", "Record", "Wait", "Copy", "Delay", "Launch"]),
        ("event", 1, ["Upload", "Launch", "Delay", "Record", "Wait", "Copy", "Launch"]),
    ],
)
def test_a_stream_is_delayed_before_what_the_plan_says(delay: str, place: int, expected: list[str]) -> None:
    choices: dict[Any, Any] = {**AWAY, ("delay", (2,)): delay, ("sync", ()): "minimal"}
    schedule = lowered(chain(), choices)
    assert kinds(schedule)[: len(expected)] == expected
    assert next(c.place for c in schedule.commands if isinstance(c, Delay)) == place


def test_a_device_without_streams_is_not_delayed() -> None:
    choices: dict[Any, Any] = {("device", (1,)): 1, ("delay", (1,)): "launch"}
    assert "Delay" not in kinds(lowered(chain(1), choices, HOSTED))


@pytest.mark.parametrize("order", ["eager", "random", "late"])
def test_what_a_simulated_stream_does_after_a_delay_waits_until_it_is_required(order: str) -> None:
    device = make("simulated:0")
    for seed in range(5):
        device.reset(seed, order)
        x = device.upload(np.ones(3, np.float32))
        device.delay(1)
        y = device.launch("negative", [x], {}, stream=1)
        for _ in range(8):  # other streams go on
            device.launch("abs", [x], {}, stream=2)
        event = device.record(1)
        before = event.has_happened, device.queues.queues[1].delays
        device.wait(3, event)
        assert device.download(device.launch("negative", [y], {}, stream=3), stream=3).tolist() == [1, 1, 1]
        assert (before, event.has_happened, device.queues.queues[1].delays) == ((False, 1), True, 0)


# -------------------------------------------------------------------------------------------------------------- update
WAYS = FREEDOMS["update"].choices[1:]


@pytest.mark.parametrize("way", WAYS)
def test_an_update_is_one_launch_where_the_device_has_it(way: str) -> None:
    choices: dict[Any, Any] = {("device", (1,)): 1, ("device", (2,)): 1, ("update", (1,)): way, ("update", (2,)): way}
    found = [c.update for c in lowered(chain(), choices).commands if isinstance(c, Launch)]
    assert found == [way, way]
    reused = lowered(chain(), choices | {("reuse", (2,)): True})
    assert [c.update for c in reused.commands if isinstance(c, Launch)] == [way, None]
    without = lowered(chain(), choices, HOSTED)
    assert [c.update for c in without.commands if isinstance(c, Launch)] == [None, None]


@pytest.mark.parametrize("order", ["eager", "late"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("shape", [(), (3,), (0,), (2, 3), (2, 0, 4)])
def test_an_updated_result_is_the_same_in_memory_of_its_own(shape: tuple[int, ...], way: str, order: str) -> None:
    device = make("simulated:0")
    device.reset(3, order)
    x = np.arange(1, 1 + int(np.prod(shape)), dtype=np.int32).reshape(shape)
    buffer = device.upload(x)
    y = device.launch("negative", [buffer], {}, update=way)
    if way == "strided view" and x.ndim and x.size > 1:
        assert not y.is_contiguous
    value = device.upload(np.full(x[..., :1].shape if x.ndim else (), 9, np.int32))
    index = (*((None, None, None),) * (x.ndim - 1), (0, 1, None))[: x.ndim] if x.size else ((None,) * 3,) * x.ndim
    if x.size or not x.ndim:
        z = device.launch("setitem", [buffer, value], {"index": index}, update=way)
        expected = x.copy()
        expected[tuple(slice(*part) for part in index)] = 9
        assert device.download(z).tolist() == expected.tolist()
    assert device.download(y).tolist() == (-x).tolist()
    assert device.download(buffer).tolist() == x.tolist()


# --------------------------------------------------------------------------------------------------------- destination
@pytest.mark.parametrize("how", ["offset", "strided"])
@pytest.mark.parametrize("places", [PLACES, HOSTED])
def test_every_transfer_may_go_to_memory_of_a_form(how: str, places: tuple[Place, ...]) -> None:
    choices: dict[Any, Any] = dict(AWAY) | {("destination", site): how for site in ((1, 0), (2, 0), (3, 0))}
    commands = lowered(chain(), choices, places).commands
    found = [(type(c).__name__, c.destination) for c in commands if isinstance(c, Upload | Download | Copy)]
    if places is PLACES:
        assert found == [("Upload", how), ("Copy", how), ("Download", how)]
    else:  # only the last part of the way over the host, and what NumPy declares
        assert found == [("Upload", how), ("Download", None), ("Upload", how), ("Download", how)]


@pytest.mark.parametrize("how", ["offset", "strided"])
@pytest.mark.parametrize("shape", [(), (3,), (0,), (2, 3), (2, 0, 4)])
def test_a_destination_has_room_for_the_elements_and_shows_what_else_is_written(
    shape: tuple[int, ...], how: str
) -> None:
    array, backing = destination(ArrayType("int16", shape), how, HostMemory())
    assert (array.shape, array.dtype.name) == (shape, "int16")
    assert np.shares_memory(array, backing) or not array.size
    array[...] = 7
    assert not spilled(backing, array)
    backing[-1:] ^= 1
    assert spilled(backing, array) == (backing.size > 0)


def test_a_download_that_writes_beside_its_elements_is_found() -> None:
    places = open_places(("simulated:0+download_into_gaps",))
    choices: dict[Any, Any] = {("device", (1,)): 1, ("destination", (2, 0)): "strided"}
    examiner = Examiner(places)
    found = examiner.verdicts(examiner.trial(chain(1), [Plan(choices, 5)]))
    assert any("host memory around buffer" in verdict.message for verdict in found)


def test_an_old_plan_goes_to_memory_of_the_devices_own() -> None:
    commands = lowered(chain(), dict(AWAY)).commands
    assert {c.destination for c in commands if isinstance(c, Upload | Download | Copy)} == {None}


# ------------------------------------------------------------------------------------------------------------ lifetime
def viewed() -> Program:
    """v1 = negative v0, v2 = a view of v1, v3 = negative v2, which is returned."""
    b = Builder()
    v1 = b.apply("negative", b.input(np.arange(1, 7, dtype=np.float32).reshape(2, 3)))
    return b.returns(b.apply("negative", b.apply("permute_dims", v1, axes=(1, 0))))


DROPPED: dict[Any, Any] = {("device", (v,)): 1 for v in (1, 2, 3)} | {("lifetime", (v,)): "dropped" for v in (1, 2, 3)}


def test_the_host_lets_go_of_a_base_and_the_view_gives_the_memory_back() -> None:
    schedule = lowered(viewed(), DROPPED)
    launched = {c.value: c for c in schedule.commands if isinstance(c, Launch)}
    assert [c.buffer for c in schedule.commands if isinstance(c, Drop)] == [launched[1].target]
    assert launched[2].target in [c.buffer for c in schedule.commands if isinstance(c, Release)]
    assert launched[1].target not in [c.buffer for c in schedule.commands if isinstance(c, Release)]


def test_where_nothing_is_released_the_host_lets_go_of_every_value_but_the_returned() -> None:
    schedule = lowered(viewed(), DROPPED, HOSTED)
    launched = {c.value: c for c in schedule.commands if isinstance(c, Launch)}
    assert [c.buffer for c in schedule.commands if isinstance(c, Drop)] == [launched[v].target for v in (1, 2)]


@pytest.mark.parametrize("order", ["eager", "late"])
def test_memory_that_nobody_holds_is_handed_out_again_and_a_view_keeps_its_own(order: str) -> None:
    device = make("simulated:0")
    device.reset(1, order)
    x = device.upload(np.arange(3, dtype=np.float32))
    y = device.launch("negative", [x], {})
    view = device.launch("permute_dims", [y], {"axes": (0,)})
    at = x.storage.address
    del x, y
    device.synchronize()
    first, second = (device.upload(np.full(3, 7, np.float32)) for _ in range(2))
    assert at in (first.storage.address, second.storage.address)
    assert device.download(view).tolist() == [0, -1, -2]
