"""Promises of ops: what is listed runs, gives the right type and value where it should, and leaves the rest alone."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from offload_fuzz.campaign.conformance.applied import Applied, apply
from offload_fuzz.campaign.conformance.bench import Bench, Violation, differs, same_bits
from offload_fuzz.campaign.conformance.transfers import data
from offload_fuzz.host_arrays import arrange, float_environment
from offload_fuzz.ops.base import OPS, Axes, DTypeName
from offload_fuzz.strategies.arrays import make_data
from offload_fuzz.text import format_element
from offload_fuzz.types import NAMES, Array, ArrayType, type_of

#: Elements of the operands on which determinism is looked at: enough for a sum to be split.
MANY = 20_000
OPERAND_LAYOUTS = (("strided", 64), ("fortran", 64), ("negative", 64), ("contiguous", 1), ("strided", 1))


# --------------------------------------------------------------------------------------------------------- results
def ops_run(bench: Bench) -> Iterator[Violation]:
    outcomes = bench.outcomes()
    for o in outcomes:
        if o.error:
            yield Violation(str(o.applied), o.error, f"a result {o.applied.type}")
    tried = {o.applied.op for o in outcomes}
    never = [op for op in bench.features.ops if op not in tried and op not in bench.avoid]
    bench.notes.append(f"{len(tried)} ops in {len(outcomes):,} applications")
    if never:
        bench.notes.append(f"on no declared dtype: {', '.join(never)}")


def result_types(bench: Bench) -> Iterator[Violation]:
    for o in bench.outcomes():
        if not o.error and not _has_type(o.result, o.applied.type):
            shape = list(getattr(o.result, "shape", ()))
            seen = f"{getattr(o.result, 'dtype', type(o.result).__name__)}{shape}"
            yield Violation(str(o.applied), seen, f"{o.applied.type.np}{list(o.applied.type.shape)}")


def results(bench: Bench) -> Iterator[Violation]:
    for o in bench.outcomes():
        found = None if o.error else _outside(bench, o.applied, o.result)
        if found is not None:
            yield Violation(str(o.applied), *found)


def _has_type(array: Any, type: ArrayType) -> bool:
    return isinstance(array, np.ndarray) and array.dtype == type.np and array.shape == type.shape


def operands_untouched(bench: Bench) -> Iterator[Violation]:
    for o in bench.outcomes():
        for k, (x, back) in enumerate(zip(o.applied.operands, o.operands, strict=False)):
            if not same_bits(back, x):
                found = differs("", back, np.array(x))
                seen = "" if found is None else f": {found.seen} but was {found.expected}"
                yield Violation(str(o.applied), f"operand {k} changed{seen}", "an op writes nothing but its result")


def placed(bench: Bench) -> Iterator[Violation]:
    expected = bench.features.place
    for dtype in bench.dtypes:
        found = bench.place_of(bench.upload(data(dtype, (3,))))
        if found != expected:
            yield Violation(f"an upload of {dtype}[3]", f"place_of says {found!r}", f"{expected!r}")
    for o in bench.outcomes():
        if not o.error and o.place != expected:
            yield Violation(str(o.applied), f"place_of says {o.place!r}", f"{expected!r}")


def environment(bench: Bench) -> Iterator[Violation]:
    before = float_environment()
    if before is not None:
        yield Violation("before any op", before, "subnormals kept, rounding to nearest")
        return
    bench.outcomes()
    after = float_environment()
    if after is not None:
        yield Violation("after running every op", after, "subnormals kept, rounding to nearest, as before")


def operand_layouts(bench: Bench) -> Iterator[Violation]:
    """The result does not depend on how the operands lay in the host's memory, which a buffer may keep."""

    def look(op: str) -> Iterator[Violation]:
        for i, a in enumerate(bench.working(op)):
            layout, alignment = OPERAND_LAYOUTS[i % len(OPERAND_LAYOUTS)]
            bench.where = f"{a}, operands {layout}{', off 64 bytes' if alignment == 1 else ''}"
            laid = [arrange(x, layout, alignment, False)[0] for x in a.operands]
            result = bench.download(bench.launch(op, [bench.upload(x) for x in laid], a.attributes))
            found = _outside(bench, a, result)
            if found is not None:
                yield Violation(bench.where, *found)
                break

    return bench.each(bench.features.ops, look)


def ops_in_order(bench: Bench) -> Iterator[Violation]:
    """An op reads what the commands before it on its stream wrote."""
    for seed in bench.rounds():
        yield from bench.each(bench.features.ops, partial(_in_order, bench, seed))


def _in_order(bench: Bench, seed: int, op: str) -> Iterator[Violation]:
    for a in bench.working(op)[seed % 2 :: 6]:
        bench.where = f"{a} after async uploads on its stream"
        buffers = [bench.upload(x, blocking=False) for x in a.operands]
        found = _outside(bench, a, bench.download(bench.launch(op, buffers, a.attributes)))
        if found is not None:
            yield Violation(bench.where, *found)
            break


def _outside(bench: Bench, a: Applied, result: Any) -> tuple[str, str] | None:
    """What was seen and expected where `result` is not what the contract allows; types are another promise."""
    if a.allowed is None or not _has_type(result, a.type):
        return None
    inside = a.allowed.contains(result)
    if inside.all():
        return None
    at = tuple(int(i) for i in np.argwhere(~inside)[0])
    seen, expected = format_element(result[at]), format_element(a.value[at])
    return f"{seen} at {list(at)}", f"{expected}, or what contract {bench.features.contract.name} allows"


# ------------------------------------------------------------------------------------------------------- lifetimes
def results_last(bench: Bench) -> Iterator[Violation]:
    """A result keeps its value while the same op and others run."""

    def look(op: str) -> Iterator[Violation]:
        held = []
        for a in bench.working(op)[:6]:
            result = bench.launch(op, [bench.upload(x) for x in a.operands], a.attributes)
            held.append((a, result, np.array(bench.download(result))))
        for a, result, before in held:
            found = differs(f"{a}, after {len(held)} launches of {op}", bench.download(result), before)
            if found:
                yield Violation(found.where, found.seen, f"{found.expected}, as at first")
                break

    return bench.each(bench.features.ops, look)


def buffers_last(bench: Bench) -> Iterator[Violation]:
    """Many buffers at once keep their elements."""
    arrays = [data(dtype, (n,), n + 2) for dtype in bench.dtypes[:6] for n in range(1, 60)]
    buffers = [bench.upload(x) for x in arrays]
    for i, (buffer, x) in enumerate(zip(buffers, arrays, strict=True)):
        found = differs(f"buffer {i} of {len(buffers)} that are in use", bench.download(buffer), np.array(x))
        if found:
            yield found


# ------------------------------------------------------------------------------------------------------- aliasing
def fresh(bench: Bench) -> Iterator[Violation]:
    """Write into an operand, give it back: a fresh result shows neither; nor do operands when the result is written."""
    observed: set[str] = set()

    def look(op: str) -> Iterator[Violation]:
        for a, same in _candidates(bench, op):
            bench.where = str(a)
            found = _shared(bench, a, same, observed)
            if found is not None:
                yield found
                break

    yield from bench.each([op for op in bench.features.ops if bench.features.alias_of(op) == "fresh"], look)
    bench.notes.append(f"observed on {len(observed)} ops")


def _candidates(bench: Bench, op: str) -> Iterator[tuple[Applied, bool]]:
    """Applications, some with one buffer as several operands; and those that change nothing, where ops cut corners."""
    by_dtype: dict[str, list[Applied]] = {}
    for a in bench.working(op):
        if a.type.size and a.operands:
            by_dtype.setdefault(a.type.dtype, []).append(a)
    for group in by_dtype.values():
        for a in group[:2]:
            yield a, False
        yield from ((changed, same) for a in group[:2] for changed, same in _corners(bench, a) if changed is not None)


def _corners(bench: Bench, a: Applied) -> Iterator[tuple[Applied | None, bool]]:
    row = OPS[a.op]
    again = [a.operands[-1] if x.dtype == a.operands[-1].dtype else x for x in a.operands]
    if len(again) > 1:
        yield apply(bench.place, a.op, again, a.attributes), True
    for name, domain in row.attributes.items():
        if isinstance(domain, DTypeName):
            yield apply(bench.place, a.op, a.operands, {**a.attributes, name: NAMES[a.operands[0].dtype]}), False
        if isinstance(domain, Axes):
            yield apply(bench.place, a.op, a.operands, {**a.attributes, name: ()}), False
    if "axis" in row.attributes and len(a.operands) == 2 and a.operands[1].ndim == a.operands[0].ndim > 0:
        empty = a.operands[1][:0]
        yield apply(bench.place, a.op, [a.operands[0], empty], {**a.attributes, "axis": 0}), False
    if all(len(set(x.shape)) <= 1 for x in a.operands) and "keepdims" in row.attributes:
        ones = [x.reshape(-1)[:1] for x in a.operands]
        yield apply(bench.place, a.op, ones, {**a.attributes, "axis": None, "keepdims": True}), False


def _shared(bench: Bench, a: Applied, same: bool, observed: set[str]) -> Violation | None:
    """The violation if a result shares memory with an operand, as far as this device lets it be seen."""
    buffers: list[Any] = []
    for x in a.operands:
        known = next((b for b, y in zip(buffers, a.operands, strict=False) if same and y is x), None)
        buffers.append(bench.upload(x) if known is None else known)
    result = bench.launch(a.op, buffers, a.attributes)
    before = np.array(bench.download(result))
    expected = "fresh memory, as aliasing declares"
    for k, (x, buffer) in enumerate(zip(a.operands, buffers, strict=True)):
        op = bench.spoiler(type_of(x))
        if op is None:
            continue
        observed.add(a.op)
        bench.spoil(op, buffer)
        if not same_bits(bench.download(result), before):
            return Violation(str(a), f"the result changed when operand {k} was written", expected)
    op = bench.spoiler(a.type) if a.type.size else None
    if op is not None:
        observed.add(a.op)
        kept = [np.array(bench.download(b)) for b in buffers]
        bench.spoil(op, result)
        for k, (buffer, array) in enumerate(zip(buffers, kept, strict=True)):
            if not same_bits(bench.download(buffer), array):
                return Violation(str(a), f"operand {k} changed when the result was written", expected)
        before = np.array(bench.download(result))
    if bench.features.release:
        observed.add(a.op)
        for buffer in {id(b): b for b in buffers}.values():
            bench.release(buffer)
        poison = [bench.upload(_poison(x)) for x in a.operands for _ in range(2)]
        if not same_bits(bench.download(result), before):
            return Violation(
                str(a), "the result changed when operands were released and memory was used again", expected
            )
        del poison
    return None


def _poison(like: Array) -> Array:
    return make_data(type_of(like), "full" if like.dtype != np.bool_ else "ones", 99)


def view(bench: Bench) -> Iterator[Violation]:
    """Write into the operand of a view: the view shows it."""

    def look(op: str) -> Iterator[Violation]:
        for a in bench.working(op):
            x, *others = a.operands
            spoiler = bench.spoiler(type_of(x))
            if spoiler is None or not a.type.size or a.type.dtype != NAMES[x.dtype]:
                continue
            bench.where = str(a)
            buffer = bench.upload(x)
            result = bench.launch(op, [buffer, *map(bench.upload, others)], a.attributes)
            before = np.array(bench.download(result))
            bench.spoil(spoiler, buffer)
            written = np.asarray(OPS[op].numpy(bench.download(buffer), *others, **a.attributes))
            if same_bits(bench.download(result), before) and not same_bits(written, before):
                yield Violation(str(a), "the result is as before when the operand was written", "a view of the operand")
                break

    return bench.each([op for op in bench.features.ops if bench.features.alias_of(op) == "view"], look)


def in_place(bench: Bench) -> Iterator[Violation]:
    """`out` holds the result; other operands and the buffers beside it are as before."""

    def look(op: str) -> Iterator[Violation]:
        for a in bench.working(op):
            for k, x in enumerate(a.operands):
                if type_of(x) == a.type and a.type.size:
                    yield from _into(bench, a, k, "contiguous")
                    yield from _into(bench, a, k, "strided")

    ops = bench.features.ops
    return bench.each([op for op in ops if op in bench.features.in_place and OPS[op].elementwise], look)


def _into(bench: Bench, a: Applied, k: int, layout: str) -> Iterator[Violation]:
    where = bench.where = f"{a}, out=operand {k}, {layout}"
    below = bench.upload(a.operands[k])
    buffers = [bench.upload(arrange(x, layout, 64, False)[0]) for x in a.operands]
    above = bench.upload(a.operands[k])
    returned = bench.launch(a.op, buffers, dict(a.attributes), out=buffers[k])
    bench.settle()
    for what, buffer in (("out", buffers[k]), ("the buffer that was returned", returned)):
        got = bench.download(buffer)
        if not _has_type(got, a.type):
            yield Violation(where, f"{what} is {getattr(got, 'dtype', type(got).__name__)}", str(a.type))
        elif (found := _outside(bench, a, got)) is not None:
            yield Violation(where, f"{what} has {found[0]}", f"{found[1]}: the result, in the memory of out")
    others = [(f"operand {i}", b, x) for i, (b, x) in enumerate(zip(buffers, a.operands, strict=True)) if i != k]
    for what, buffer, x in [
        *others,
        ("another buffer", below, a.operands[k]),
        ("another buffer", above, a.operands[k]),
    ]:
        if not same_bits(bench.download(buffer), np.array(x)):
            yield Violation(where, f"{what} changed", "only out is written")


# --------------------------------------------------------------------------------------------------- determinism
def deterministic(bench: Bench) -> Iterator[Violation]:
    """The same bits again, over three runs; also for operands long enough that a reduction is split."""

    def look(op: str) -> Iterator[Violation]:
        for a in [*bench.working(op)[:4], *_long(bench, op)]:
            bench.where = str(a)
            runs = []
            for _ in range(3):
                bench.reset(0)
                result = bench.launch(op, [bench.upload(x) for x in a.operands], a.attributes)
                runs.append(np.array(bench.download(result)))
            found = next((differs(str(a), run, runs[0]) for run in runs[1:] if not same_bits(run, runs[0])), None)
            if found:
                yield Violation(found.where, f"{found.seen} in another run", f"{found.expected}, as in the first run")
                break

    return bench.each(bench.features.ops, look)


def _long(bench: Bench, op: str) -> Iterator[Applied]:
    row = OPS[op]
    if not set(row.attributes) <= {"axis", "keepdims"} or not row.operands:
        return
    for dtype in ("float32", "float64"):
        if dtype not in bench.features.dtypes or dtype not in row.dtypes or op in bench.avoid:
            continue
        x = (make_data(ArrayType(dtype, (MANY,)), "counting", 1) / 7).astype(ArrayType(dtype, ()).np)
        for axis in (None, 0):  # all axes, or the one: a domain admits one of them
            given = {"axis": axis, "keepdims": False}
            found = apply(bench.place, op, [x] * len(row.operands), {name: given[name] for name in row.attributes})
            if found is not None:
                yield found
                break
