"""Promises of order, memory and neighbours: streams, events, release, peers, and what is left after an error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np

from offload_fuzz.campaign.conformance.bench import Bench, DeviceRaised, MemoryUsedUp, Violation, differs, same_bits
from offload_fuzz.campaign.conformance.transfers import LAID_OUT, data, sample
from offload_fuzz.campaign.loop import Campaign
from offload_fuzz.campaign.settings import Settings
from offload_fuzz.host_arrays import arrange
from offload_fuzz.types import Array, ArrayType

SIZES = (5, 65_536)
CHAIN = 6
UNKNOWN_OP = "op_that_there_is_not"
#: Memory that is asked for and given back, and growth of the process that shows that it was kept.
BLOCK, BLOCKS, LEAK = 1 << 22, 96, 1 << 27
#: The largest memory that is filled to see what comes after that.
FILLED = 1 << 25
CASES, SECONDS = 300, 3.0


def _chain(bench: Bench, x: Any, one: Any, stream: int) -> Any:
    for _ in range(CHAIN):
        x = bench.launch("add", [x, one], stream=stream)
    return x


def _counted(x: Array, one: Array, n: int = CHAIN) -> Array:
    for _ in range(n):
        x = x + one
    return x


# --------------------------------------------------------------------------------------------------------- streams
def streams_in_order(bench: Bench) -> Iterator[Violation]:
    for _ in bench.rounds():
        for size in SIZES:
            x, one = bench.counter(size)
            chains = []
            for stream in range(bench.features.streams):
                a, b = (bench.upload(v, stream=stream, blocking=False) for v in (x, one))
                chains.append(_chain(bench, a, b, stream))
            for stream, buffer in enumerate(chains):
                bench.at(f"stream {stream}")
                array = bench.download(buffer, stream=stream)
                found = differs(f"stream {stream}, upload, {CHAIN} launches, download", array, _counted(x, one))
                if found:
                    yield found


def delay(bench: Bench) -> Iterator[Violation]:
    """What follows a delay comes all the same, in order, and a wait for its event holds."""
    last = bench.features.streams - 1
    for _ in bench.rounds():
        x, one = bench.counter(SIZES[0])
        a, b = (bench.upload(v, stream=last, blocking=False) for v in (x, one))
        bench.call("delay", last)
        buffer = _chain(bench, a, b, last)
        bench.call("delay", last)
        bench.call("wait", 0, bench.call("record", last))
        array = bench.download(bench.launch("add", [buffer, b], stream=0), stream=0)
        where = f"stream {last} is delayed before {CHAIN} launches and an event that stream 0 waits for"
        found = differs(where, array, _counted(x, one, CHAIN + 1))
        if found:
            yield found


def events(bench: Bench) -> Iterator[Violation]:
    """What comes after a wait on another stream sees all that came before the record."""
    last = bench.features.streams - 1
    for _ in bench.rounds():
        for size in SIZES:
            for first, second in ((0, last), (last, 0)):
                x, one = bench.counter(size)
                a, b = (bench.upload(v, stream=first, blocking=False) for v in (x, one))
                buffer = _chain(bench, a, b, first)
                bench.call("wait", second, bench.call("record", first))
                array = bench.download(bench.launch("add", [buffer, b], stream=second), stream=second)
                where = f"stream {second} waits for an event of stream {first}, {size} elements"
                found = differs(where, array, _counted(x, one, CHAIN + 1))
                if found:
                    yield found


def synchronize(bench: Bench) -> Iterator[Violation]:
    """When synchronize returns, a result is there for another stream that does not wait for it."""
    last = bench.features.streams - 1
    for _ in bench.rounds():
        for how in ("stream", "event", "all"):
            x, one = bench.counter(SIZES[-1])
            a, b = (bench.upload(v, stream=last, blocking=False) for v in (x, one))
            buffer = _chain(bench, a, b, last)
            array = bench.download(buffer, stream=last, blocking=False) if bench.has_async else None
            if how == "event":
                bench.call("synchronize", event=bench.call("record", last))
            else:
                bench.settle(last if how == "stream" else None)
            where = {"stream": f"synchronize(stream={last})", "event": "synchronize(event=...)", "all": "synchronize()"}
            at_return = None if array is None else np.array(array)
            if at_return is not None and (
                found := differs(f"{where[how]}, async download", at_return, _counted(x, one))
            ):
                yield found
            other = bench.download(bench.launch("add", [buffer, b], stream=0), stream=0)
            if found := differs(f"{where[how]}, then use on stream 0", other, _counted(x, one, CHAIN + 1)):
                yield found


# ---------------------------------------------------------------------------------------------------------- memory
def release_in_order(bench: Bench) -> Iterator[Violation]:
    """Memory is reused only after what was issued on its stream before the release."""
    for _ in bench.rounds():
        for size in SIZES:
            x, one = bench.counter(size)
            poison = (one * 77).astype(one.dtype)
            a, b = (bench.upload(v, blocking=False) for v in (x, one))
            result = bench.launch("add", [a, b])
            bench.release(a)
            reused = [bench.upload(poison, blocking=False) for _ in range(3)]
            second = bench.launch("add", [result, b])
            found = differs(f"release of an operand that is in use, {size} elements", bench.download(result), x + one)
            if found:
                yield found
            found = differs(
                f"a result after its operand was released, {size} elements", bench.download(second), x + one + one
            )
            if found:
                yield found
            for buffer in reused:
                found = differs("a buffer in memory that was released", bench.download(buffer), poison)
                if found:
                    yield found


def release_frees(bench: Bench) -> Iterator[Violation]:
    """Far more memory than the threshold is asked for and given back; the process must not grow by it."""
    before = resident()
    if before is None:
        bench.notes.append("not seen: this system does not say how large the process is")
        return
    x, _ = bench.counter(BLOCK // ArrayType(bench.counted or bench.dtypes[0], ()).np.itemsize)
    for _ in range(BLOCKS):
        bench.release(bench.upload(x))
    bench.settle()
    grown = (resident() or 0) - before
    if grown > LEAK:
        seen = f"the process grew by {grown >> 20} MiB"
        yield Violation(f"{BLOCKS} uploads of {BLOCK >> 20} MiB, each released", seen, "memory that is used again")
    bench.reset()


def resident() -> int | None:
    """Bytes of this process that are in memory; None where the system does not say (it does on Linux)."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * 4096
    except (OSError, ValueError, IndexError):
        return None


# ----------------------------------------------------------------------------------------------------------- peers
def peer_copy(bench: Bench) -> Iterator[Violation]:
    other = _peer(bench)
    for dtype in bench.dtypes:
        for shape in LAID_OUT:
            where = f"copy of {dtype}{list(shape)}"
            bench.at(where)
            x, _ = arrange(data(dtype, shape), "fortran", 64, False)
            source = other.upload(x)
            other.settle()
            copied = bench.call("copy", source, other.device, **bench.modes(0, True))
            found = differs(where, bench.download(copied), np.array(x))
            if found:
                yield found
                continue
            if bench.features.place is not None and (place := bench.place_of(copied)) != bench.features.place:
                yield Violation(where, f"place_of says {place!r}", f"{bench.features.place!r}")
            op = bench.spoiler(ArrayType(dtype, shape))
            if op is not None:
                bench.spoil(op, copied)
                bench.settle()
                if not same_bits(other.download(source), np.array(x)):
                    yield Violation(where, "the source changed when the copy was written", "memory of its own")


def peer_events(bench: Bench) -> Iterator[Violation]:
    """A stream here waits for an event there."""
    other = _peer(bench)
    for seed in bench.rounds():
        other.reset(seed)
        x, one = bench.counter(SIZES[-1])
        a, b = (other.upload(v, blocking=False) for v in (x, one))
        there = _chain(other, a, b, 0)
        bench.call("wait", 0, other.call("record", 0))
        here = bench.call("copy", there, other.device, **bench.modes(0, False))
        array = bench.download(here)
        found = differs("copy after waiting for an event of the source", array, _counted(x, one))
        if found:
            yield found
    other.reset()


def _peer(bench: Bench) -> Bench:
    assert bench.peer is not None
    return Bench(bench.peer, bench.place, bench.tell)


# ---------------------------------------------------------------------------------------------------------- errors
def unknown_op(bench: Bench) -> Iterator[Violation]:
    buffer = bench.upload(data(bench.dtypes[0], (3,)))
    try:
        result = bench.launch(UNKNOWN_OP, [buffer])
    except DeviceRaised as error:
        bench.notes.append(str(error)[:120])
        return
    yield Violation(f"launch({UNKNOWN_OP!r})", f"it returned {type(result).__name__}", "an exception")


def after_error(bench: Bench) -> Iterator[Violation]:
    """Buffers from before an error keep their elements, and the device goes on."""
    for dtype in sample(bench):
        x = data(dtype, (5,))
        before = bench.upload(x)
        for op, operands in ((UNKNOWN_OP, [before]), ("add", [before, bench.upload(data(dtype, (3,)))])):
            with suppress(DeviceRaised):
                bench.launch(op, operands)
        with suppress(DeviceRaised):
            bench.settle()
        for what, buffer in (("a buffer from before", before), ("a new buffer after", bench.upload(x))):
            found = differs(f"{what} an error, {dtype}[5]", bench.download(buffer), np.array(x))
            if found:
                yield found
    if bench.counted is not None:
        v, one = bench.counter(5)
        found = differs(
            "add after an error", bench.download(bench.launch("add", [bench.upload(v), bench.upload(one)])), v + one
        )
        if found:
            yield found


def after_full(bench: Bench) -> Iterator[Violation]:
    """Memory is filled by arrays of an eighth of it; once they are given back there is room for as many again."""
    memory = bench.features.memory or 0
    if memory > FILLED:
        bench.notes.append(f"not looked at: more than {FILLED >> 20} MiB would have to be filled")
        return
    dtype = bench.counted or bench.dtypes[0]
    x = data(dtype, (max(memory // 8 // ArrayType(dtype, ()).np.itemsize, 1),))
    bench.reset()
    room: list[int] = []
    for _ in range(3):
        held: list[Any] = []
        try:
            while len(held) <= 8:
                held.append(bench.upload(x))
        except MemoryUsedUp:
            room.append(len(held))
        else:
            yield Violation("9 uploads of an eighth of `memory`", "no exception", "one of `out_of_memory`")
            return
        for buffer in held:
            if found := differs("an array from before memory was used up", bench.download(buffer), np.array(x)):
                yield found
        for buffer in held if bench.features.release else ():
            bench.release(buffer)
        bench.settle()
    if min(room) < room[0]:
        seen, expected = f"room for {room}", f"room for {room[0]} each time"
        yield Violation("arrays of an eighth of `memory`, three times", seen, expected)
    bench.reset()


# ----------------------------------------------------------------------------------------------------------- speed
def campaign(bench: Bench) -> Iterator[Violation]:
    """A short campaign; only its figure and its survival count here, as `run` is for what it finds."""
    settings = Settings(
        devices=(bench.place,),  # type: ignore[arg-type]  # a place, as inline campaigns take them
        exclude_ops=bench.avoid,
        max_cases=CASES,
        max_time=SECONDS,
        isolation="inline",
        shrink_budget=1,
    )
    report = Campaign(settings).run()
    rate = report.counts.cases / max(report.seconds, 1e-9)
    found = f"; {len(report.findings)} findings, which `offload-fuzz run` shows" if report.findings else ""
    bench.notes.append(f"{rate:,.0f} case runs/s{found}")
    if report.error:
        yield Violation("a short campaign", report.error, "one that runs to its end")
