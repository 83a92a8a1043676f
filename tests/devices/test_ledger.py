"""The ledger of a run: what devices tell of transfers, launches and last writers, and what judges make of it."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from attrs import evolve

from offload_fuzz.adapters.pool import host, open_places
from offload_fuzz.adapters.simulated import PROFILES, Simulated, make
from offload_fuzz.adapters.simulated.queues import ORDERS
from offload_fuzz.adapters.validating import validating
from offload_fuzz.campaign.counts import Counts
from offload_fuzz.device import LEDGER, check_device, place
from offload_fuzz.errors import AdapterError
from offload_fuzz.finding.examine import Examiner
from offload_fuzz.ledger import checked
from offload_fuzz.oracles import MovedAsPlanned, ReadsLastWritten
from offload_fuzz.plan import Plan
from offload_fuzz.program import Program
from offload_fuzz.report import summary

from ..programs import build

X = np.arange(1.0, 7.0, dtype=np.float32).reshape(2, 3)
WHOLE = (None, None, None)


def misreads(device: Simulated) -> list[str]:
    return [str(m["text"]) for m in device.ledger()["misreads"]]


def watched(order: str = "late", spec: str = "simulated:0") -> Simulated:
    device = make(spec)
    device.reset(1, order)
    return device


# --------------------------------------------------------------------------------------------------------- last writers
@pytest.mark.parametrize("order", ORDERS)
def test_memory_that_was_never_written_is_named_where_it_is_read(order: str) -> None:
    device = watched(order)
    result = device.launch("add", [device.upload(X), device.upload(X)], {})
    device.download(result)
    assert misreads(device) == []
    result.storage.issued.clear()
    result.storage.done.clear()
    device.download(result)
    assert misreads(device) == [
        f"download (stream 0) read bytes [0, 24) of float32[2,3] at {result.storage.address}, not written yet, but "
        "should read bytes that were written"
    ]


def test_a_read_before_the_write_names_reader_bytes_and_writer() -> None:
    device = watched()
    made = device.launch("negative", [device.upload(X)], {}, stream=1)
    device.download(made, stream=2)
    assert misreads(device) == [
        f"download (stream 2) read bytes [0, 24) of float32[2,3] at {made.storage.address}, not written yet, but "
        "should read what negative (launch 0 on stream 1) writes"
    ]


def test_a_read_after_the_next_write_names_both_writers_though_the_values_agree() -> None:
    device, zeros = watched(), np.zeros(3, np.float32)
    x = device.upload(zeros)
    device.launch("add", [x, x], {}, stream=1)
    device.launch("square", [x], {}, stream=2, out=x)
    device.synchronize(stream=2)
    device.synchronize()
    assert misreads(device) == [
        f"add (launch 0 on stream 1) read bytes [0, 12) of float32[3] at {x.storage.address}, as square (launch 1 on "
        "stream 2) left them, but should read what upload (stream 0) writes"
    ]


def test_only_the_bytes_that_another_has_written_are_named() -> None:
    device = watched()
    x = device.upload(np.zeros(8, np.float32))
    part = device.launch("getitem", [x], {"index": ((2, 4, 1),)})
    device.synchronize()
    device.launch("negative", [part], {}, stream=1, out=part)
    device.download(x)
    device.download(device.launch("getitem", [x], {"index": ((0, 2, 1),)}))
    text, view = misreads(device)
    assert view.startswith("getitem (launch 2 on stream 0)")  # which is of the whole; what it shows of it is right
    assert f"read bytes [8, 16) of float32[8] at {x.storage.address}, as upload (stream 0) left them" in text
    assert text.endswith("but should read what negative (launch 1 on stream 1) writes")


def test_released_memory_is_named_where_it_is_read_and_where_it_is_written() -> None:
    device = watched()
    x = device.upload(X)
    device.release(x, stream=1)
    device.synchronize(stream=1)
    device.download(x)
    (text,) = misreads(device)
    assert ", released before, but should read what upload (stream 0) writes" in text
    y = device.upload(X, stream=2, blocking=False)
    device.release(y, stream=1)
    device.synchronize(stream=1)
    device.synchronize(stream=2)
    assert misreads(device)[1:] == [
        f"upload (stream 2) wrote float32[2,3] at {y.storage.address}, which was released before"
    ]


def test_a_view_is_there_once_its_stream_has_come_to_it() -> None:
    device = watched()
    x = device.upload(X)
    view = device.launch("flip", [x], {"axis": (0,)}, stream=1)
    device.download(view, stream=2)
    assert misreads(device) == [
        f"download (stream 2) read float32[2,3] at {x.storage.address} through a view but should come after flip "
        "(launch 0 on stream 1)"
    ]


def test_a_strided_array_is_watched_element_by_element() -> None:
    device = watched()
    x = device.upload(np.zeros((4, 4), np.float32)[:, ::2])
    device.download(device.launch("permute_dims", [x], {"axes": (1, 0)}))
    assert misreads(device) == []
    between = evolve(x, offset=x.offset + 4)
    device.download(between)
    (text,) = misreads(device)
    assert f"read bytes [{x.offset + 4}, {x.offset + 8}) of float32[4,2]" in text


def test_the_host_may_not_touch_what_a_transfer_has_still_to_read_or_to_fill() -> None:
    device, x = watched(), X.copy()
    buffer = device.upload(x, blocking=False)
    result = device.download(buffer, stream=0, blocking=False)
    device.touched(x, writes=False)
    assert misreads(device) == []
    device.touched(x, writes=True)
    device.touched(result, writes=False)
    assert misreads(device) == [
        "the host wrote float32[2,3] but should wait for upload (stream 0) of simulated:0",
        "the host read float32[2,3] but should wait for download (stream 0) of simulated:0",
    ]
    device.synchronize()
    device.touched(x, writes=True)
    device.touched(result, writes=False)
    assert len(misreads(device)) == 2


def test_an_upload_waits_for_the_download_that_fills_its_source() -> None:
    d, p = watched(), watched(spec="simulated:1")
    array = d.download(d.upload(X), blocking=False)
    p.upload(array)
    assert misreads(p) == ["upload (stream 0) read float32[2,3] of the host but should come after download (stream 0)"]
    d.reset(1)
    p.reset(1)
    assert not d.counted.flights
    assert not p.counted.flights


def test_a_run_that_is_not_watched_says_so_and_costs_no_view_a_command() -> None:
    device = make("simulated:0")
    assert [_watches(device, seed) for seed in range(4)] == [False, True, False, True]
    device.reset(2, "late")
    view = device.launch("flip", [device.upload(X)], {"axis": (0,)}, stream=1)
    assert view.mark is None
    assert device.queues.queues[1].issued == 0


def _watches(device: Simulated, seed: int) -> bool:
    device.reset(seed)
    return bool(device.ledger()["watched"])


# ---------------------------------------------------------------------------------------------- transfers and launches
def test_transfers_and_launches_are_counted_as_they_are_done() -> None:
    d, p = watched(), watched(spec="simulated:1")
    x = d.upload(X, blocking=False)
    view = d.launch("permute_dims", [x], {"axes": (1, 0)})
    y = d.launch("negative", [view], {})
    assert d.ledger()["transfers"] == []
    assert d.ledger()["launches"] == ["simulated:0", None]
    d.synchronize()
    p.download(p.copy(y, d))
    assert d.ledger()["transfers"] == [("upload", 24)]
    assert d.ledger()["launches"] == ["simulated:0", "simulated:0"]
    assert p.ledger()["transfers"] == [("copy", 24), ("download", 24)]


PROGRAM = build(
    [X, ("sort", (0,), {"axis": 0}), ("flip", (1,), {"axis": (0,)}), ("add", (2, 1), {}), ("negative", (3,), {})], [4]
)
PLACEMENTS = {1: 1, 2: 1, 3: 1, 4: 2}


def examined(fault: str, program: Program = PROGRAM, **oracles: Any) -> Any:
    """The verdicts of one plan on two faulty devices."""
    places = open_places([f"simulated:{i}{fault}" for i in (0, 1)])
    examiner = Examiner(places)
    plan = Plan({("device", (v,)): role for v, role in PLACEMENTS.items()}, 1)
    trial = examiner.trial(program, [plan])
    return examiner.verdicts(trial), trial


@pytest.mark.parametrize(("fault", "kind", "text"), [
    ("peer_copy_bounces", "extra transfer",
     "simulated:1+peer_copy_bounces did 1 upload of 24 bytes but should do 0 uploads of 0 bytes, as the plan asks for "
     "no more"),
    ("upload_copied_back", "extra transfer",
     "simulated:0+upload_copied_back did 1 download of 24 bytes but should do 0 downloads of 0 bytes, as the plan asks "
     "for no more"),
    ("fallback_hidden", "hidden fallback",
     "v1 sort ran on numpy but should run on simulated:0+fallback_hidden, as the device's ledger tells"),
    ("view_over_host", "hidden fallback",
     "v2 flip ran on numpy but should run on simulated:0+view_over_host, as the device's ledger tells"),
])  # fmt: skip  # one fault each
def test_what_the_plan_did_not_ask_for_is_told_though_the_result_is_right(fault: str, kind: str, text: str) -> None:
    verdicts, _ = examined(f"+{fault}")
    assert [(v.kind, v.message) for v in verdicts] == [(kind, text)]


def test_a_stale_read_is_told_with_its_buffer_and_value() -> None:
    places = open_places(["simulated:0+operands_prefetched"])
    examiner = Examiner(places)
    plan = Plan({("device", (v,)): 1 for v in PLACEMENTS} | {("sync", ()): "minimal"}, 1)
    found = [examiner.verdicts(examiner.trial(PROGRAM, [Plan(plan.choices, s)])) for s in range(1, 30, 2)]
    (verdict, *_) = next(v for v in found if v)
    assert verdict.kind == "stale read"
    assert re.search(r" but should .* \[simulated:0\+operands_prefetched, buffer \d+ of v\d\]$", verdict.message)


def test_the_ledger_lists_moves_and_launches_in_order_with_where_they_ran() -> None:
    _, trial = examined("")
    ledger = trial.planned[0].run.ledger
    entries = [(e.kind, e.place, e.source, e.values, e.nbytes, e.ran) for e in ledger.entries()]
    assert entries == [
        ("upload", 1, 0, (0,), 24, None),
        ("launch", 1, 1, (1,), 24, "simulated:0"),
        ("launch", 1, 1, (2,), 24, "simulated:0"),
        ("launch", 1, 1, (3,), 24, "simulated:0"),
        ("copy", 2, 1, (3,), 24, None),
        ("launch", 2, 2, (4,), 24, "simulated:1"),
        ("download", 2, 2, (4,), 24, None),
    ]
    assert ledger.asked(1) == list(ledger.moved(1)) == [("upload", 24)]
    assert ledger.asked(2) == list(ledger.moved(2)) == [("copy", 24), ("download", 24)]


def test_a_launch_that_raises_late_is_numbered_with_the_views_before_it() -> None:
    device = make("simulated:0")
    device.hooks.__dict__["result"] = _dies  # as a fault would be planted
    examiner = Examiner((host(), place(device)))
    plan = Plan({("device", (v,)): 1 for v in PLACEMENTS}, 1)
    (verdict,) = examiner.verdicts(examiner.trial(PROGRAM, [plan]))
    assert (verdict.kind, verdict.value) == ("raised", 4)


def _dies(value: Any, op: str, operands: Any, attributes: Any) -> Any:
    if op == "negative":
        raise ValueError("the kernel died")
    return value


# ---------------------------------------------------------------------------------------------------------- declaration
@pytest.mark.parametrize("name", PROFILES)
def test_every_profile_tells_all(name: str) -> None:
    assert check_device(make(f"{name}:0"), name).ledger == LEDGER


@pytest.mark.parametrize(("told", "message"), [
    ([], "ledger() gave [] but should be a dict of lists transfers, launches, misreads [chip]"),
    ({"transfers": [("up", 4)], "launches": [], "misreads": []},
     "ledger() has the transfer ('up', 4) but should have (kind, bytes), kind one of upload, download, copy [chip]"),
    ({"transfers": [], "launches": [3], "misreads": []},
     "ledger() has the launch 3 but should have the name of a place or None [chip]"),
    ({"transfers": [], "launches": [], "misreads": ["x"]},
     "ledger() has the misread 'x' but should have a dict with its text [chip]"),
])  # fmt: skip  # one message each
def test_a_ledger_of_another_form_is_refused_with_what_it_should_be(told: Any, message: str) -> None:
    with pytest.raises(AdapterError) as error:
        checked(told, LEDGER, "chip")
    assert str(error.value) == message


def test_a_ledger_passes_through_a_validating_device() -> None:
    plain, wrapped = make("simulated:0"), validating(make("simulated:0"))
    assert wrapped.features.ledger == plain.features.ledger
    wrapped.reset(1)
    modes: Any = {"stream": 0, "blocking": True}
    wrapped.download(wrapped.upload(X, **modes), **modes)
    assert wrapped.ledger()["transfers"] == [("upload", 24), ("download", 24)]


def test_devices_that_cannot_tell_are_named_in_the_counts() -> None:
    counts = Counts()
    plan = Plan({("device", (1,)): 1}, 1)
    for spec in ("simulated:0", "noop:0"):
        places = open_places([spec])
        counts.ledger(Examiner(places).trial(PROGRAM, [plan]).planned[0].run, places)
        counts.cases += 1
    assert (counts.told, counts.watched, counts.transfers, counts.moved_bytes) == (1, 1, 2, 48)
    assert counts.untold == {"noop:0": 1}
    assert summary._ledger(counts) == (
        "transfers and launches told in 50.0% of case runs (2 transfers of 48 bytes), reads watched in 50.0%; not told "
        "by noop:0"
    )


def test_the_judges_of_the_ledger_pass_where_there_is_none() -> None:
    trial = Examiner(open_places(["noop:0"])).trial(PROGRAM, [Plan({("device", (1,)): 1}, 1)])
    assert MovedAsPlanned().judge(trial).outcome == ReadsLastWritten().judge(trial).outcome == "pass"


@pytest.mark.parametrize(
    "told", [None, {"transfers": [("upload",)], "launches": [], "misreads": [3]}, ValueError("no")]
)
def test_a_run_on_a_device_that_tells_it_in_another_form_ends_with_an_error_that_names_it(told: Any) -> None:
    class Told(Simulated):
        def ledger(self) -> Any:
            if isinstance(told, Exception):
                raise told
            return told

    places = (host(), place(Told("simulated", 0)))
    with pytest.raises(AdapterError, match=r"ledger\(\) .* but should .* \[simulated:0\]"):
        Examiner(places).trial(PROGRAM, [Plan({("device", (v,)): 1 for v in PLACEMENTS})])
