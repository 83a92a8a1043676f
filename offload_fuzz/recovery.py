"""What a device does after it has said that its memory is used up: the same plan again, and a small program.

Running out of memory is lawful; what comes after it is not excused. The device is not reset in between, since that
would give back what it has lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from offload_fuzz import schedule as s
from offload_fuzz.device import Place
from offload_fuzz.errors import InternalError
from offload_fuzz.execute import Run, execute
from offload_fuzz.failure import Recovery
from offload_fuzz.happens_before import prove
from offload_fuzz.lower import lower
from offload_fuzz.ops.base import OPS
from offload_fuzz.plan import Plan
from offload_fuzz.program import Builder, Program
from offload_fuzz.reference import evaluate_program, quiet
from offload_fuzz.types import DTYPES, Array, ArrayType

#: By how much an array may be larger in memory than its elements: with gaps, or one element into larger memory.
SPREAD = 4
#: Bytes that an allocation may be rounded up by. PyTorch's allocator for CUDA rounds to 512 (c10/cuda,
#: CUDACachingAllocator.cpp, kMinBlockSize), as do others to a cache line or less.
ROUNDED = 512
#: Runs of the plan, one of which comes as far as the first, where nothing is lost. More than one, since work of other
#: devices may hold memory a little longer.
TRIES = 3
#: Ops whose result on small integers is exact everywhere, and dtypes, by preference.
OPS_TRIED = ("add", "subtract", "multiply", "maximum", "minimum", "bitwise_xor", "negative", "abs", "square")
DTYPES_TRIED = ("int32", "float32", "int16", "float16", "int8", "uint8", "int64", "float64", "bfloat16")
LENGTH = 8


def recover(
    schedule: s.Schedule, program: Program, places: Sequence[Place], run: Run, repeat: int, seed: int = 0
) -> Recovery:
    """Run the schedule of `run`, which ended out of memory, again, and a small program; nothing is reset before.

    seed: that of the run. What the small program gives without that too is not laid to the lack of memory.
    """
    failure = run.failure
    assert failure is not None
    first, best, raised = (len(run.results), failure.at), (-1, -1), failure.left
    for _ in range(TRIES if not raised else 0):
        again = execute(schedule, program, places, repeat=repeat, fresh=False)
        f = again.failure
        if f is None or not f.out_of_memory:
            raised = "" if f is None else f"the plan raised {f.error} when it was run again"
            best = first if f is None else best
            break
        best = max(best, (len(again.results), f.at))
        raised = f.left
        if best >= first or raised:
            break
    full, wrong = "", ("", "", "")
    if not raised:
        raised, full, wrong = _small(places, failure.place)
        if (raised or wrong[0]) and not _works(places, failure.place, seed):
            raised, wrong = "", ("", "", "")
    need = most_bytes(schedule, failure.place, failure.at, places[failure.place], len(run.results))
    return Recovery(failure.place, need, first, best, raised, full, wrong)


def _works(places: Sequence[Place], place: int, seed: int) -> bool:
    """Whether the small program gives its results where the device has not run out of memory."""
    if hasattr(places[place].device, "reset"):
        return _small(places, place, seed) == NOTHING
    return place in working_at_first(tuple(places))


@lru_cache(maxsize=64)
def working_at_first(places: tuple[Place, ...]) -> frozenset[int]:
    """The roles without a `reset` that may run out of memory and run the small program rightly, seen when first asked.

    To be asked before anything is run on them.
    """
    found = [i for i, p in enumerate(places) if p.features.out_of_memory and not hasattr(p.device, "reset")]
    return frozenset(i for i in found if _small(places, i) == NOTHING)


#: What the small program gives on a device that works.
NOTHING = ("", "", ("", "", ""))


def _small(places: Sequence[Place], place: int, seed: int | None = None) -> tuple[str, str, tuple[str, str, str]]:
    """What a small program on the device raised; what it said of memory; and what is wrong in its results.

    seed: with which the device is reset before; None: it is not.
    """
    wrong = ("", "", "")
    found = small_program(places[place])
    if found is None:
        return NOTHING
    program, expected = found
    device = (places[s.HOST], places[place])
    plan = Plan({("device", (v,)): 1 for v, _ in program.numbered()})
    schedule = lower(program, plan, device)
    if prove(schedule) is not None:
        raise InternalError("the checker rejects the schedule of the small program that is run after out of memory")
    run = execute(schedule, program, device, seed or 0, fresh=seed is not None)
    f = run.failure
    if f is not None:
        return ("", f.error, wrong) if f.out_of_memory else (f"a small program raised {f.error}", "", wrong)
    for v, right, got in zip(program.outputs, expected, run.results[0], strict=True):
        if not (isinstance(got, np.ndarray) and got.dtype == right.dtype and got.shape == right.shape):
            return "", "", (f"v{v} of a small program", str(right.tolist()), repr(got)[:80])
        if got.tobytes() != right.tobytes():
            return "", "", (f"v{v} of a small program", str(right.tolist()), str(got.tolist()))
    return NOTHING


@lru_cache(maxsize=64)
def small_program(place: Place) -> tuple[Program, tuple[Array, ...]] | None:
    """A program of four nodes that the device runs, on several small arrays at once, and its results; or None."""
    for dtype in (d for d in DTYPES_TRIED if d in place.features.dtypes):
        type = ArrayType(dtype, (LENGTH,))
        for op in OPS_TRIED:
            arity = len(OPS[op].operands)
            if not place.features.supports(op, [type] * arity, type):
                continue
            build = Builder()
            for start in (1, 3):
                build.input(np.arange(start, start + LENGTH).astype(DTYPES[dtype].np))
            made = [build.apply(op, *operands[:arity]) for operands in ((0, 1), (2, 1), (0, 3), (4, 2))]
            program = build.returns(*made)
            with quiet():
                known = evaluate_program(program, place.features.contract)
            if all(k.enclosure is not None and k.enclosure.is_singleton for k in known):
                return program, tuple(known[v].value for v in made)
    return None


def most_bytes(schedule: s.Schedule, place: int, at: int, device: Place, repetitions: int) -> int:
    """Bytes that may be allocated on `place` by the command at position `at`, at most, and generously.

    What was released before counts as free; what the host merely dropped, or gave away, does not. Each storage counts
    with `SPREAD` times its bytes, `ROUNDED` more, and as many times as the device's `padding` says. repetitions: how
    often the whole schedule was run before.
    """
    sizes: dict[int, int] = {}
    live = 0
    for i, c in enumerate(schedule.commands):
        if isinstance(c, s.Release):
            sizes.pop(schedule.buffers[c.buffer].storage, None)
        targets = c.targets if isinstance(c, s.LaunchCompiled) else (getattr(c, "target", -1),)
        for b in (schedule.buffers[t] for t in targets if t >= 0):
            if b.place == place:
                sizes[b.storage] = max(sizes.get(b.storage, 0), _padded(b.stop - b.start, device))
        if i == at:
            live = sum(sizes.values())
    return live + repetitions * sum(sizes.values())


def _padded(nbytes: int, device: Place) -> int:
    return (SPREAD * nbytes + ROUNDED) * device.features.padding
