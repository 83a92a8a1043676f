"""Promises of compiled regions, and of memory that is given away or shared: `compile`, `donate`, "shared" uploads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from offload_fuzz.campaign.conformance.applied import Applied
from offload_fuzz.campaign.conformance.bench import FEW, Bench, Violation, differs, same_bits
from offload_fuzz.campaign.conformance.transfers import data, sample
from offload_fuzz.enclosure import Enclosure
from offload_fuzz.host_arrays import arrange
from offload_fuzz.ops.base import OPS
from offload_fuzz.program import Builder, frozen_input
from offload_fuzz.reference import evaluate_program, quiet
from offload_fuzz.strategies.arrays import make_data
from offload_fuzz.text import format_element
from offload_fuzz.types import Array, type_of

#: What follows an op in a region: the first of them that the device has on the result's dtype.
SECONDS = ("negative", "logical_not", "bitwise_invert", "abs", "add")


def _outside(where: str, result: Any, value: Array, allowed: Enclosure | None) -> Iterator[Violation]:
    """The violation if `result` is of another type than `value`, or has an element that is not allowed."""
    if not isinstance(result, np.ndarray) or result.dtype != value.dtype or result.shape != value.shape:
        shape = list(getattr(result, "shape", ()))
        seen = f"{getattr(result, 'dtype', type(result).__name__)}{shape}"
        yield Violation(where, seen, f"{value.dtype}{list(value.shape)}")
    elif allowed is not None and not (inside := allowed.contains(result)).all():
        at = tuple(int(i) for i in np.argwhere(~inside)[0])
        yield Violation(where, f"{format_element(result[at])} at {list(at)}", str(format_element(value[at])))


# ---------------------------------------------------------------------------------------------------------- regions
def compiled(bench: Bench) -> Iterator[Violation]:
    """A region of two nodes gives both results, in the order asked for, each in memory of its own."""

    def look(op: str) -> Iterator[Violation]:
        for a in bench.working(op)[:FEW]:
            second = next((s for s in SECONDS if bench.has(s, a.type.dtype)), None)
            if second is not None:
                yield from _region(bench, a, second)

    return bench.each(bench.features.ops, look)


def _region(bench: Bench, a: Applied, second: str) -> Iterator[Violation]:
    n = len(a.operands)
    b = Builder()
    for x in a.operands:
        b.input(np.array(x))
    first = b.apply(a.op, *range(n), **a.attributes)
    last = b.apply(second, *[first] * len(OPS[second].operands))
    with quiet():
        known = evaluate_program(b.returns(first, last), bench.features.contract, [(first, last)])
    nodes = [
        (a.op, list(range(n)), dict(a.attributes)),
        (second, [first] * len(OPS[second].operands), {}),
    ]
    for results in ([last, first], [last]):
        where = bench.where = f"{a}, then {second}, compiled together, results {results}"
        buffers = [bench.upload(x) for x in a.operands]
        found = bench.call("launch_compiled", nodes, list(buffers), list(results), **bench.modes(0))
        if len(found) != len(results):
            yield Violation(where, f"{len(found)} buffers", f"{len(results)}, one for each of the results")
            return
        for v, buffer in zip(results, found, strict=True):
            yield from _outside(f"{where}, number {v}", bench.download(buffer), known[v].value, known[v].enclosure)
        for k, (buffer, x) in enumerate(zip(buffers, a.operands, strict=True)):
            if not same_bits(bench.download(buffer), np.array(x)):
                yield Violation(where, f"operand {k} changed", "a region writes nothing but its results")


# ---------------------------------------------------------------------------------------------------------- updates
def update(bench: Bench) -> Iterator[Violation]:
    """However a result comes to its place, it is what the contract allows, and operands stay as they are."""
    ways = bench.features.update

    def look(op: str) -> Iterator[Violation]:
        for a in bench.working(op)[:FEW]:
            b = Builder()
            for x in a.operands:
                b.input(np.array(x))
            v = b.apply(a.op, *range(len(a.operands)), **a.attributes)
            with quiet():
                known = evaluate_program(b.returns(v), bench.features.contract)[v]
            for way in [way for way, ops in ways.items() if op in ops]:
                where = bench.where = f"{a}, update {way!r}"
                buffers = [bench.upload(x) for x in a.operands]
                array = bench.download(bench.launch(op, buffers, a.attributes, update=way))
                yield from _outside(where, array, known.value, known.enclosure)
                for k, (buffer, x) in enumerate(zip(buffers, a.operands, strict=True)):
                    if not same_bits(bench.download(buffer), np.array(x)):
                        yield Violation(where, f"operand {k} changed", "an update writes its result and nothing else")

    return bench.each(sorted(set().union(*ways.values())), look)


# -------------------------------------------------------------------------------------------------------- constants
def constants(bench: Bench) -> Iterator[Violation]:
    """With any one operand as a constant, or all of them, a result is what the contract allows."""

    def look(op: str) -> Iterator[Violation]:
        for a in bench.working(op)[:FEW] if bench.features.alias_of(op) == "fresh" else ():
            every = range(len(a.operands))
            for built_in in {*[(k,) for k in every], tuple(every)} - {()}:
                bench.where = f"{a}, operands {', '.join(map(str, built_in))} constant"
                given = [x if k in built_in else bench.upload(x) for k, x in enumerate(map(frozen_input, a.operands))]
                result = bench.launch(op, given, a.attributes)
                yield from _outside(bench.where, bench.download(result), a.value, a.allowed)

    return bench.each(bench.features.ops, look)


# --------------------------------------------------------------------------------------------------------- donation
def donate(bench: Bench) -> Iterator[Violation]:
    """The result holds while the memory of the donated operand is used again, and nothing else is written."""

    def look(op: str) -> Iterator[Violation]:
        alias = bench.features.alias_of(op)
        for a in bench.working(op)[:FEW]:
            if alias == "fresh" or (alias == "may" and len(a.operands) == 1):
                for k in range(len(a.operands)):
                    yield from _given(bench, a, k)

    return bench.each([op for op in bench.features.ops if op in bench.features.donate], look)


def _given(bench: Bench, a: Applied, k: int) -> Iterator[Violation]:
    where = bench.where = f"{a}, donate={k}"
    beside = bench.upload(a.operands[k])
    buffers: list[Any] = [bench.upload(x) for x in a.operands]
    given = list(buffers)
    buffers[k] = None
    result = bench.launch(a.op, given, dict(a.attributes), donate=k)
    del given
    other = make_data(type_of(a.operands[k]), "full" if a.operands[k].dtype != np.bool_ else "ones", 99)
    later = [bench.upload(other) for _ in range(3)]
    bench.settle()
    yield from _outside(where, bench.download(result), a.value, a.allowed)
    kept = [(f"operand {i}", b, x) for i, (b, x) in enumerate(zip(buffers, a.operands, strict=True)) if i != k]
    kept += [("another buffer", beside, a.operands[k])]
    kept += [("a buffer that was made later", b, other) for b in later]
    for what, buffer, x in kept:
        if not same_bits(bench.download(buffer), np.array(x)):
            yield Violation(where, f"{what} changed", "only the result is written")


# ------------------------------------------------------------------------------------------------- shared with the host
def shared(bench: Bench) -> Iterator[Violation]:
    """Several shared uploads at once have their bits, as do ops on them, and leave the host's arrays alone."""
    for dtype in sample(bench):
        for shape in ((), (5,), (3, 700)):
            for layout, alignment in (("contiguous", 64), ("contiguous", 1), ("strided", 64)):
                where = f"{dtype}{list(shape)}, {layout}{', off 64 bytes' if alignment == 1 else ''}"
                bench.at(where)
                laid = [arrange(data(dtype, shape, n), layout, alignment, False) for n in (1, 2)]
                before = [(np.array(array), backing.tobytes()) for array, backing in laid]
                buffers = [bench.call("upload", array, **bench.modes(0, True), share=True) for array, _ in laid]
                second = next((s for s in SECONDS if bench.has(s, dtype)), None)
                if second is not None:
                    for buffer in buffers:
                        bench.launch(second, [buffer] * len(OPS[second].operands))
                bench.settle()
                for buffer, (expected, old), (_, backing) in zip(buffers, before, laid, strict=True):
                    found = differs(where, bench.download(buffer), expected)
                    if found:
                        yield found
                    if backing.tobytes() != old:
                        yield Violation(where, "the host's memory changed", "it is read and not written")
