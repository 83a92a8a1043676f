"""Transfers in chunks: which pieces there are, and what a device does with them."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from offload_fuzz.adapters.numpy import NumpyDevice
from offload_fuzz.adapters.pool import open_places
from offload_fuzz.adapters.simulated import make
from offload_fuzz.adapters.simulated.queues import run_to
from offload_fuzz.crossings import PIECES, chunks_of
from offload_fuzz.device import Place
from offload_fuzz.finding.examine import Examiner
from offload_fuzz.happens_before import prove
from offload_fuzz.lower import lower
from offload_fuzz.plan import Plan
from offload_fuzz.program import Builder, Program
from offload_fuzz.schedule import Copy, Download, Schedule, Upload

PLACES = open_places(("simulated:0", "simulated:1"))
TILED = open_places(("simulated.npu:0", "simulated.npu:1"))
HOSTED = open_places(("numpy", "simulated:0"))
AWAY: dict[Any, Any] = {("device", (1,)): 1, ("device", (2,)): 2}
SITES = ((1, 0), (2, 0), (3, 0))


def program() -> Program:
    """v1 = negative v0, v2 = negative v1 of float32[2,5]; v2 is returned."""
    b = Builder()
    v = b.input(np.arange(1, 11, dtype=np.float32).reshape(2, 5))
    return b.returns(b.apply("negative", b.apply("negative", v)))


def lowered(choices: dict[Any, Any], places: tuple[Place, ...] = PLACES, seed: int = 5) -> Schedule:
    """The schedule, which is proved and gives the plain plan's results on lawful devices, their ledgers too."""
    plan = Plan(choices, seed)
    schedule = lower(program(), plan, places)
    assert prove(schedule) is None
    examiner = Examiner(places)
    assert examiner.verdicts(examiner.trial(program(), [Plan({}), plan])) == []
    return schedule


@pytest.mark.parametrize(
    ("shape", "halves", "threes"),
    [
        ((), None, None),
        ((0, 7), None, None),
        ((1, 1), None, None),
        ((3,), (0, (0, 1, 3)), None),
        ((2, 7), (1, (0, 3, 7)), (1, (0, 3, 6, 7))),
        ((5, 5), (0, (0, 2, 5)), (0, (0, 3, 5))),
        ((100,), (0, (0, 50, 100)), (0, (*range(0, 100, 9), 100))),
    ],
)
def test_the_longest_axis_is_cut(shape: tuple[int, ...], halves: Any, threes: Any) -> None:
    assert chunks_of(shape, "whole") is None
    assert chunks_of(shape, "halves") == halves
    assert chunks_of(shape, "pieces of 3") == threes


def test_a_large_array_is_cut_into_few_pieces_of_a_multiple_of_three() -> None:
    for n in range(4, 5000, 7):
        cut = chunks_of((n, 2), "pieces of 3")
        assert cut is not None
        assert cut[0] == 0
        assert cut[1][-1] == n
        assert len(cut[1]) - 1 <= PIECES
        sizes = [b - a for a, b in pairwise(cut[1])]
        assert len(set(sizes[:-1])) == 1
        assert sizes[0] % 3 == 0
        assert 0 < sizes[-1] <= sizes[0]


@pytest.mark.parametrize("how", ["halves", "pieces of 3"])
@pytest.mark.parametrize("places", [PLACES, TILED, HOSTED])
def test_every_transfer_goes_in_pieces_where_the_device_can(how: str, places: tuple[Place, ...]) -> None:
    commands = lowered(AWAY | {("chunks", site): how for site in SITES}, places).commands
    found = [type(c).__name__ for c in commands if isinstance(c, Upload | Download | Copy) and c.chunks]
    over_the_host = ["Upload", "Download", "Upload", "Download"]
    assert found == (over_the_host if places is HOSTED else ["Upload", "Copy", "Download"])


@pytest.mark.parametrize("seed", range(1, 9))
@pytest.mark.parametrize("how", ["halves", "pieces of 3"])
@pytest.mark.parametrize("places", [PLACES, TILED])
def test_pieces_combine_with_layout_transfer_destination_route_and_overwriting(
    how: str, seed: int, places: tuple[Place, ...]
) -> None:
    choices: dict[Any, Any] = AWAY | {("chunks", site): how for site in SITES}
    choices |= {("transfer", site): "async" for site in SITES}
    choices |= {("destination", site): "strided" for site in SITES}
    choices |= {("sync", ()): "minimal", ("repeat", ()): 2, ("overwrite", (1, 0)): True}
    layout = ("fortran", "strided", "negative", "contiguous")[seed % 4]
    if layout != "contiguous":
        choices["layout", (1, 0)] = layout
    if seed > 4:
        choices["route", (2, 0)] = "host"
    lowered(choices, places, seed)


@pytest.mark.parametrize("order", ["eager", "late", "random"])
@pytest.mark.parametrize("spec", ["simulated:0", "simulated.gpu:0", "simulated.npu:0", "simulated.dsp:0"])
def test_a_simulated_device_does_a_transfer_for_each_piece(spec: str, order: str) -> None:
    device = make(spec)
    device.reset(1, order)
    x = np.arange(35, dtype=np.float32).reshape(5, 7)[:, ::-1]
    modes: dict[str, Any] = {"stream": 0} if device.features.streams else {}
    buffer = device.upload(x, chunks=(1, (0, 3, 6, 7)), **modes)
    assert device.download(buffer, chunks=(0, (0, 2, 5)), **modes).tolist() == x.tolist()
    told = device.ledger()
    assert told["transfers"] == [("upload", 60), ("upload", 60), ("upload", 20), ("download", 56), ("download", 84)]
    assert told["misreads"] == []


def test_the_source_of_an_asynchronous_upload_is_watched_until_its_last_piece_has_read_it() -> None:
    device = make("simulated:0")
    for reading, misreads in ((0, 1), (2, 1), (3, 0)):
        device.reset(1, "late")
        x = np.arange(7, dtype=np.float32)
        device.upload(x, blocking=False, chunks=(0, (0, 3, 6, 7)))
        run_to(device.queues.queues[0], reading)
        device.touched(x, True)
        assert len(device.ledger()["misreads"]) == misreads


def test_a_reader_that_comes_between_two_pieces_is_a_stale_read() -> None:
    device = make("simulated:0")
    device.reset(1, "late")
    buffer = device.upload(np.arange(7, dtype=np.float32), blocking=False, chunks=(0, (0, 3, 7)))
    run_to(device.queues.queues[0], 1)
    device.download(buffer, stream=1)
    (misread,) = device.ledger()["misreads"]
    assert "read bytes [12, 28) of float32[7]" in misread["text"]


def test_numpy_moves_in_pieces() -> None:
    x = np.arange(14, dtype=np.int8).reshape(2, 7)
    device = NumpyDevice()
    buffer = device.upload(x.T, chunks=(0, (0, 3, 7)))
    assert buffer.tolist() == x.T.tolist()
    assert device.download(buffer, chunks=(1, (0, 1, 2))).tolist() == x.T.tolist()
