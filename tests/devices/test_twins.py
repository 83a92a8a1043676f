"""Twins: a safe schedule of a small program, and the same with one wait, event or synchronisation removed.

The brute-force explorer says which removals are harmful: it walks every interleaving and shares nothing with the
checker. The simulated device has to fail on exactly these under some interleaving that it draws: by a value, or by its
own record of who wrote last. On the safe twin and on harmless removals it never fails.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from attrs import evolve

from offload_fuzz.adapters.pool import open_places
from offload_fuzz.adapters.simulated.views import VIEWS
from offload_fuzz.device import Place
from offload_fuzz.execute import Run, execute
from offload_fuzz.happens_before import prove
from offload_fuzz.lower import lower
from offload_fuzz.plan import Key, Plan
from offload_fuzz.program import Builder, Program
from offload_fuzz.reference import quiet
from offload_fuzz.schedule import (
    Copy,
    Download,
    Record,
    Schedule,
    Synchronize,
    SynchronizeEvent,
    Upload,
    Wait,
)
from offload_fuzz.strategies.choices import Choices
from offload_fuzz.strategies.modes import plan_for

from ..algebra.explorer import unsafe

#: Schedules to look at; more of them with TWINS=3000.
SCHEDULES = int(os.environ.get("TWINS", "120"))
#: Interleavings that each twin is run under, in which the device watches its memory; the rarest harm needs more.
SEEDS = range(1, 80, 2)
MORE = range(1, 1000, 2)
#: Commands of a schedule that the explorer still walks quickly.
LONGEST = 26
BINARY, UNARY = ("add", "subtract", "multiply", "maximum"), ("negative", "square", "bitwise_invert")


def small_program(rng: random.Random) -> Program:
    """One to four nodes on int16 arrays of two or four elements; what no node uses is returned.

    Not reshape: it may be a view or a copy, and the explorer, which has to allow for both, says what either could harm.
    """
    b, shape = Builder(), rng.choice([(2,), (2, 2)])
    values = [b.input(np.array([rng.randrange(-99, 99) for _ in range(2 ** len(shape))], np.int16).reshape(shape))
              for _ in range(rng.randint(1, 2))]  # fmt: skip  # one input each
    unused = set(values)
    for _ in range(rng.randint(1, 4)):
        op = rng.choice([*BINARY, *UNARY, *UNARY, "flip", "squeeze"])
        operands = [rng.choice([*values, values[-1]]) for _ in range(1 + (op in BINARY))]
        attributes: Any = {"flip": {"axis": (0,)}, "squeeze": {"axis": ()}}.get(op, {})
        values.append(b.apply(op, *operands, **attributes))
        unused = unused.difference(operands) | {values[-1]}
    return b.returns(*sorted(unused))


def planned(rng: random.Random, program: Program, places: tuple[Place, ...]) -> Plan:
    """A plan with as few waits as are needed, mostly on devices."""
    placement = [rng.choice([0, 1, 1, 1, *range(1, len(places))]) for _ in program.nodes]
    plan = plan_for(program, placement, places, Choices.expanded(rng.randbytes(8), 64 + 40 * len(program.nodes)))
    left_out: list[Key] = [("repeat", ()), ("readback", ())]
    # a delay keeps the device from most of the interleavings that the explorer walks
    left_out += [("delay", (v,)) for v, _ in program.numbered()]
    # a view of memory that was given away keeps it, as the simulated device is free to do
    left_out += [("donate", (v,)) for v, node in program.numbered() if node.op in VIEWS]
    choices = dict(plan.without(*left_out).choices)
    for key in choices:
        if key[0] == "overwrite" and rng.random() < 0.5:
            choices[key] = True  # at once, for which the host waits for an event; later, it waits for a queue
    return Plan({**choices, ("sync", ()): "minimal"}, plan.seed)


def twins(schedule: Schedule) -> Iterator[tuple[str, Schedule]]:
    """What was removed, and the schedule without it: each wait, event, synchronisation and blocking on its own.

    A transfer that shares memory has no form that does not block.
    """
    commands = schedule.commands
    for n, c in enumerate(commands):
        rest = (*commands[:n], *commands[n + 1 :])
        if isinstance(c, Wait | Synchronize | SynchronizeEvent):
            yield f"{type(c).__name__} {n}", evolve(schedule, commands=rest)
        elif isinstance(c, Record):
            kept = tuple(k for k in rest if not (isinstance(k, Wait | SynchronizeEvent) and k.event == c.event))
            yield f"event {n}", evolve(schedule, commands=kept)
        elif isinstance(c, Upload | Download | Copy) and c.blocking and (isinstance(c, Copy) or not c.share):
            loose: Any = evolve(c, blocking=False)
            if isinstance(c, Upload):
                loose = evolve(loose, source_free="completion")
            yield f"blocking {n}", evolve(schedule, commands=(*commands[:n], loose, *commands[n + 1 :]))


def schedules(places: tuple[Place, ...], count: int, seed: int) -> Iterator[tuple[int, Program, Schedule]]:
    """Short schedules of small programs with something to remove."""
    while count:
        seed += 1
        rng = random.Random(seed)
        program = small_program(rng)
        schedule = lower(program, planned(rng, program, places), places)
        if len(schedule.commands) <= LONGEST and any(True for _ in twins(schedule)):
            count -= 1
            yield seed, program, schedule


def ran(schedule: Schedule, program: Program, places: tuple[Place, ...], seed: int) -> Run:
    with quiet():
        return execute(schedule, program, places, seed)


def fails(run: Run, expected: list[bytes]) -> bool:
    """Whether a value is wrong, or memory was read or written that should not have been."""
    assert run.ledger is not None
    return bool(run.failure or any(run.ledger.misreads()) or [a.tobytes() for a in run.results[0]] != expected)


def compare(places: tuple[Place, ...], count: int, seed: int) -> Counter[str]:
    """Run each schedule and its twins; asserts that the device fails on the harmful ones and on no other."""
    found: Counter[str] = Counter()
    for number, program, schedule in schedules(places, count, seed):
        where = f"seed {number}: {program} {schedule.commands}"
        assert prove(schedule) is None, where
        assert unsafe(schedule) is None, where
        expected = [a.tobytes() for a in ran(schedule, program, places, 0).results[0]]
        for s in SEEDS[:16]:
            assert not fails(ran(schedule, program, places, s), expected), f"{where}, run of seed {s}"
        found["safe"] += 1
        for what, twin in twins(schedule):
            reason = unsafe(twin)
            runs = (ran(twin, program, places, s) for s in (SEEDS if reason is None else MORE))
            failing = next((r for r in runs if fails(r, expected)), None)
            text = f"{where}\nwithout {what}: the explorer says {reason or 'harmless'}"
            if reason is None:
                assert failing is None, f"{text}, the device fails"
            else:
                assert failing is not None, f"{text}, the device fails under no interleaving"
                by_value = [a.tobytes() for a in failing.results[0]] != expected if failing.results else True
                found["by value" if by_value else "by the ledger alone"] += 1
            found[f"{what.split()[0]} {'harmful' if reason else 'harmless'}"] += 1
    return found


# Each of these takes some ten seconds: a removal is harmless only if no interleaving fails.
@pytest.mark.parametrize(("devices", "seed"), [(("simulated:0",), 1000), (("simulated:0", "simulated:1"), 2000)])
def test_exactly_the_harmful_removals_fail_under_some_interleaving(devices: tuple[str, ...], seed: int) -> None:
    found = compare(open_places(devices), SCHEDULES, seed)
    assert found["safe"] == SCHEDULES
    removed = ("Wait", "event", "Synchronize", "SynchronizeEvent", "blocking")
    assert all(found[f"{what} harmful"] for what in removed), found
    assert found["blocking harmless"] > SCHEDULES // 2, found
    assert found["Synchronize harmless"] > SCHEDULES // 10, found
    assert found["by the ledger alone"] > SCHEDULES // 20, found


def test_a_removal_that_only_the_ledger_sees_is_seen() -> None:
    """Both operands of the second kernel are zeros, so that what it reads too early is what it should have read."""
    places = open_places(("simulated:0",))
    b = Builder()
    x = b.input(np.zeros(2, np.int16))
    y = b.apply("square", b.apply("square", x))
    program = b.returns(b.apply("multiply", x, y))
    plan = Plan({("device", (v,)): 1 for v in (1, 2, 3)} | {("stream", (2,)): 1, ("sync", ()): "minimal"})
    schedule = lower(program, plan, places)
    (wait, *_) = [n for n, c in enumerate(schedule.commands) if isinstance(c, Wait)]
    (twin,) = [twin for what, twin in twins(schedule) if what == f"Wait {wait}"]
    misreads = [m for s in SEEDS for _, m in ran(twin, program, places, s).ledger.misreads()]  # type: ignore[union-attr]
    assert misreads
    assert {m["text"].split(" read ")[0] for m in misreads} == {"square (launch 1 on stream 1)"}
    assert any(
        "not written yet, but should read what square (launch 0 on stream 0) writes" in m["text"] for m in misreads
    )
    assert not [m for s in SEEDS for m in ran(schedule, program, places, s).ledger.misreads()]  # type: ignore[union-attr]
