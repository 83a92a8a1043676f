"""Promises of transfers: what goes up comes down bit for bit, and whose memory is whose."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from offload_fuzz.campaign.conformance.bench import Bench, Violation, differs, same_bits
from offload_fuzz.errors import AdapterError
from offload_fuzz.execute import OVERWRITTEN
from offload_fuzz.host_arrays import HostMemory, arrange, destination, spilled
from offload_fuzz.ledger import checked
from offload_fuzz.strategies.arrays import make_data, table
from offload_fuzz.types import DTYPES, Array, ArrayType

SHAPES: tuple[tuple[int, ...], ...] = (
    (), (1,), (0,), (3,), (2, 0), (0, 3, 2), (1, 1), (2, 3), (7,), (8,), (9,), (63,), (64,), (65,), (255, 2), (257,),
    (2, 3, 4), (2, 1, 3, 2), (2, 3, 1, 2, 2), (4097,),
)  # fmt: skip  # a table
LARGE = (1_000_003,)
#: Shapes, and pieces of them: with a shorter one at the end, of one element each, along every axis.
PIECES: tuple[tuple[tuple[int, ...], tuple[int, tuple[int, ...]]], ...] = (
    ((17,), (0, (0, 7, 14, 17))), ((2,), (0, (0, 1, 2))), ((3, 5), (1, (0, 3, 5))), ((5, 3), (0, (0, 2, 5))),
    ((2, 3, 4), (2, (0, 1, 2, 3, 4))), ((1000,), (0, (0, 333, 666, 999, 1000))),
)  # fmt: skip  # a table
LAID_OUT: tuple[tuple[int, ...], ...] = ((), (17,), (3, 5), (0, 2), (2, 3, 4))
LAYOUTS = ("contiguous", "fortran", "strided", "negative", "broadcast")
SIZES = (3, 1024, 300_007)


def data(dtype: str, shape: tuple[int, ...], seed: int = 1) -> Array:
    """Plain elements, all different from their neighbours: no NaN, nothing that a conversion would change."""
    return make_data(ArrayType(dtype, shape), "counting" if dtype != "bool" else "dyadic", seed)


def sample(bench: Bench) -> list[str]:
    """A few dtypes, where all would take long: one of each width."""
    found: dict[int, str] = {}
    for dtype in bench.dtypes:
        found.setdefault(DTYPES[dtype].bits, dtype)
    return list(found.values())


# ------------------------------------------------------------------------------------------------------ round trips
def dtypes(bench: Bench) -> Iterator[Violation]:
    for dtype in bench.dtypes:
        bench.at(dtype)
        yield from _trip(bench, f"{dtype}[2,3]", data(dtype, (2, 3)))


def shapes(bench: Bench) -> Iterator[Violation]:
    large = sample(bench)
    for dtype in bench.dtypes:
        for shape in (*SHAPES, *((LARGE,) if dtype in large else ())):
            type = ArrayType(dtype, shape)
            bench.at(str(type))
            yield from _trip(bench, str(type), data(dtype, shape))


def layouts(bench: Bench) -> Iterator[Violation]:
    for dtype in bench.dtypes:
        for shape in LAID_OUT:
            for layout in LAYOUTS:
                for alignment, readonly in ((64, False), (1, False), (64, True)):
                    array = data(dtype, shape)
                    if layout == "broadcast":
                        array = np.broadcast_to(array[..., :1], shape) if array.ndim else array
                    laid, _ = arrange(array, layout, alignment, readonly)
                    form = ", ".join(
                        [layout, *(["off 64 bytes"] if alignment == 1 else []), *(["read-only"] if readonly else [])]
                    )
                    bench.at(f"{ArrayType(dtype, shape)}, {form}")
                    yield from _trip(bench, f"{ArrayType(dtype, shape)}, {form}", laid)


def values(bench: Bench) -> Iterator[Violation]:
    for dtype in bench.dtypes:
        bench.at(dtype)
        yield from _trip(bench, f"{dtype}, special values", special(dtype))


def special(dtype: str) -> Array:
    """NaN with and without payload and sign, both zeros, subnormals, infinities, the ends, and full-range bits."""
    d = DTYPES[dtype]
    if d.component:  # the one as the real part, the same backwards as the imaginary part
        part = special(d.component)
        return np.stack([part, part[::-1]], axis=-1).reshape(-1).view(d.np)
    full = make_data(ArrayType(dtype, (64,)), "full", 7)
    if not d.precision:
        return np.concatenate([table(dtype, "wild"), full]) if d.kind != "bool" else table(dtype, "wild")
    usual = table(dtype, "wild")
    bits = f"u{d.np.itemsize}"
    quiet = np.array([np.nan], d.np).view(bits)
    sign = np.array([1 << (d.bits - 1)], bits)
    payloads = np.concatenate([quiet, quiet | np.array([5], bits), quiet | sign, quiet | sign | np.array([9], bits)])
    return np.concatenate([usual, payloads.view(d.np), full[~np.isnan(full)]])


def _trip(bench: Bench, where: str, array: Array) -> Iterator[Violation]:
    expected = np.array(array)
    found = differs(where, bench.download(bench.upload(array)), expected)
    if found:
        yield found


# ------------------------------------------------------------------------------------------------------ the source
def source_untouched(bench: Bench) -> Iterator[Violation]:
    for dtype in bench.dtypes:
        for layout in ("contiguous", "strided", "negative"):
            array, backing = arrange(data(dtype, (5, 7)), layout, 64, False)
            before = backing.tobytes()
            where = f"{dtype}[5,7], {layout}"
            bench.at(where)
            buffer = bench.upload(array)
            op = bench.spoiler(ArrayType(dtype, (5, 7))) if bench.features.free_after("blocking") == "return" else None
            if op is not None:
                bench.spoil(op, buffer)
            bench.settle()
            if backing.tobytes() != before:
                yield Violation(
                    where, "the host's memory changed", "an upload reads and does not write, as do ops on it"
                )


def source_free_blocking(bench: Bench) -> Iterator[Violation]:
    return _source_free(bench, True)


def source_free_async(bench: Bench) -> Iterator[Violation]:
    return _source_free(bench, False)


def source_free_pinned(bench: Bench) -> Iterator[Violation]:
    return _source_free(bench, False, True)


def _source_free(bench: Bench, blocking: bool, pinned: bool = False) -> Iterator[Violation]:
    """Overwrite the source as soon as it is promised to be free; the device must have what was there before."""
    when = bench.features.free_after("pinned" if pinned else "blocking" if blocking else "async")
    memory = HostMemory(lambda nbytes: bench.call("pinned", nbytes)) if pinned else HostMemory()
    more = {"pinned": True} if pinned else {}
    for _ in bench.rounds():
        for dtype in sample(bench):
            for size in SIZES:
                for layout in ("contiguous", "strided"):
                    where = f"{dtype}[{size}], {layout}, overwritten at {when}"
                    bench.at(where)
                    array, backing = arrange(data(dtype, (size,)), layout, 64, False, memory)
                    expected = np.array(array)
                    buffer = bench.call("upload", array, **bench.modes(0, blocking), **more)
                    if when == "completion" and bench.features.streams:
                        bench.call("synchronize", event=bench.call("record", 0))
                    backing[...] = OVERWRITTEN
                    bench.settle()
                    found = differs(where, bench.download(buffer), expected)
                    if found:
                        yield found
                        return


def pinned(bench: Bench) -> Iterator[Violation]:
    """Page-locked memory is the host's to write, and what is uploaded from it has its bits; two blocks are apart."""
    for dtype in sample(bench):
        for shape in LAID_OUT:
            for layout in ("contiguous", "strided", "negative"):
                where = f"{dtype}{list(shape)}, {layout}, page-locked"
                bench.at(where)
                expected = data(dtype, shape)
                first, second = (HostMemory(lambda nbytes: bench.call("pinned", nbytes)) for _ in range(2))
                array, _ = arrange(expected, layout, 1, False, first)
                arrange(data(dtype, shape, 2), layout, 1, False, second)
                found = differs(f"{where}, on the host", np.array(array), expected)
                buffer = bench.call("upload", array, pinned=True, **bench.modes(0, True))
                yield from _first(found or differs(where, bench.download(buffer), expected))


# ------------------------------------------------------------------------------------------------- the destination
def destinations(bench: Bench) -> Iterator[Violation]:
    """Elements arrive in memory of any form: offset, with gaps; nothing around a host array is written."""
    declared = bench.features.destination
    for dtype in sample(bench):
        for shape in LAID_OUT:
            for how in ("offset", "strided"):
                expected = data(dtype, shape)
                for kind in [k for k in ("upload", "copy") if k in declared]:
                    where = f"{dtype}{list(shape)}, {kind} into {how} memory"
                    bench.at(where)
                    found = differs(where, _arrived(bench, expected, kind, how), expected)
                    if found:
                        yield found
                if "download" in declared:
                    where = f"{dtype}{list(shape)}, download into {how} memory"
                    bench.at(where)
                    buffer = bench.upload(expected)
                    array, backing = destination(ArrayType(dtype, shape), how, HostMemory())
                    bench.call("download", buffer, into=array, **bench.modes(0, True))
                    found = differs(where, np.array(array), expected)
                    if found:
                        yield found
                    if spilled(backing, array):
                        yield Violation(where, "memory around the array changed", "only the elements are written")


def _arrived(bench: Bench, array: Array, kind: str, how: str) -> Array | None:
    """What comes back of an upload, or of a copy to the peer, into memory of a form; `array` if there is no peer."""
    if kind == "upload":
        return bench.download(bench.call("upload", array, destination=how, **bench.modes(0, True)))  # type: ignore[no-any-return]  # judged
    if bench.peer is None:
        return array
    buffer = bench.upload(array)
    modes = bench.modes(0, True)
    there = bench.peer.device.copy(buffer, bench.device, destination=how, **modes)
    return bench.peer.device.download(there, **modes)  # type: ignore[no-any-return]  # judged


def chunks(bench: Bench) -> Iterator[Violation]:
    """In pieces, on every axis, elements come where they belong; a source is free as after a transfer at once."""
    declared = bench.features.chunks
    when = bench.features.free_after("blocking")
    for dtype in sample(bench):
        for shape, cut in PIECES:
            for layout in ("contiguous", "strided"):
                expected = data(dtype, shape)
                where = f"{dtype}{list(shape)}, {layout}, chunks={cut}"
                bench.at(where)
                modes = bench.modes(0, True)
                source, backing = arrange(expected, layout, 64, False)
                buffer = bench.call("upload", source, **modes, **({"chunks": cut} if "upload" in declared else {}))
                if when in ("return", "completion"):
                    backing[...] = OVERWRITTEN
                if "copy" in declared and bench.peer is not None:
                    there = bench.peer.device.copy(buffer, bench.device, chunks=cut, **modes)
                    found = differs(f"{where}, copy", bench.peer.device.download(there, **modes), expected)
                    if found:
                        yield found
                given = {"chunks": cut} if "download" in declared else {}
                found = differs(where, bench.call("download", buffer, **modes, **given), expected)
                if found:
                    yield found


def exported(bench: Bench) -> Iterator[Violation]:
    """A host array in the buffer's memory has its elements, of a view too, and keeps them while ops run."""
    for dtype in sample(bench):
        for shape in LAID_OUT:
            where = f"{dtype}{list(shape)}, shared download"
            bench.at(where)
            expected = data(dtype, shape)
            buffer = bench.upload(expected)
            array = bench.call("download", buffer, share=True, **bench.modes(0, True))
            found = differs(where, array, expected)
            bench.download(bench.upload(data(dtype, shape, 2)))
            found = found or differs(f"{where}, after another upload", array, expected)
            if found:
                yield found


# ---------------------------------------------------------------------------------------------------- the download
def download_owned(bench: Bench) -> Iterator[Violation]:
    for dtype in sample(bench):
        for shape in ((), (5,), (64, 65)):
            where = f"{dtype}{list(shape)}"
            bench.at(where)
            expected = data(dtype, shape)
            buffer = bench.upload(expected)
            array = bench.download(buffer)
            found = differs(where, array, expected)
            if found:
                yield found
                continue
            yield from _written_later(bench, where, buffer, array, expected)
            yield from _written_by_the_host(bench, where, expected)


def _written_later(bench: Bench, where: str, buffer: Any, array: Array, expected: Array) -> Iterator[Violation]:
    type = ArrayType(str(next(n for n, d in DTYPES.items() if d.np == expected.dtype)), expected.shape)
    others = [bench.upload(data(type.dtype, expected.shape, 2 + i)[..., ::-1] if expected.ndim else expected)
              for i in range(2)]  # fmt: skip  # what the device does afterwards
    arrays = [bench.download(other) for other in others]
    op = bench.spoiler(type)
    if op is not None:
        bench.spoil(op, buffer)
    bench.settle()
    if bench.features.release:
        bench.release(buffer)
        arrays.append(bench.download(bench.upload(np.zeros_like(expected))))
        bench.settle()
    if not same_bits(array, expected):
        yield Violation(where, "the array changed when the device was used again", "the array is the host's own")
    del arrays


def _written_by_the_host(bench: Bench, where: str, expected: Array) -> Iterator[Violation]:
    buffer = bench.upload(expected)
    array = bench.download(buffer)
    if not array.flags.writeable:
        hint = "downloaded arrays are read-only, so results are not reused in place on the host"
        if hint not in bench.hints:
            bench.hints.append(hint)
        return
    if array.size:
        array.reshape(-1).view(np.uint8)[...] = OVERWRITTEN if expected.dtype != np.bool_ else 0
    found = differs(where, bench.download(buffer), expected)
    if found:
        yield Violation(
            f"{where}, after the host wrote the array", found.seen, f"{found.expected} still, in the buffer"
        )


# ------------------------------------------------------------------------------------------------------------- done
def blocking_transfers(bench: Bench) -> Iterator[Violation]:
    """What a blocking transfer gives is there when it returns: in the host's array, and for every other stream."""
    for _ in bench.rounds():
        for size in SIZES:
            where = f"{size} elements"
            bench.at(where)
            x, one = bench.counter(size)
            buffer = bench.launch("add", [bench.upload(x), bench.upload(one)])
            array = bench.download(buffer)
            at_return = np.array(array)
            bench.settle()
            yield from _first(differs(f"{where}, download after a launch", at_return, x + one))
            if not same_bits(array, at_return):
                yield Violation(f"{where}, download", "the array changed after the call returned", "done at return")
            if bench.features.streams > 1:
                a, b = bench.upload(x, stream=0), bench.upload(one, stream=0)
                sums = bench.download(bench.launch("add", [a, b], stream=1), stream=1)
                yield from _first(differs(f"{where}, upload on stream 0 used on stream 1", sums, x + one))


def async_transfers(bench: Bench) -> Iterator[Violation]:
    for _ in bench.rounds():
        for dtype in sample(bench):
            for size in SIZES:
                where = f"{dtype}[{size}]"
                bench.at(where)
                x = data(dtype, (size,))
                buffer = bench.upload(x, blocking=False)
                array = bench.download(buffer, blocking=False)
                bench.settle(0)
                yield from _first(differs(where, array, x))
    _hint_if_it_blocks(bench)


def _hint_if_it_blocks(bench: Bench) -> None:
    """Remark that an asynchronous upload takes its whole time before it returns."""
    array = HostMemory().take(1 << 26, 0).view(DTYPES[sample(bench)[-1]].np)
    if array.dtype == np.bool_:
        array = np.ones(array.shape, np.bool_)
    bench.upload(array)
    spent = []
    for _ in range(3):
        started = time.perf_counter()
        buffer = bench.upload(array, blocking=False)
        returned = time.perf_counter()
        bench.settle(0)
        spent.append((returned - started, time.perf_counter() - returned))
        del buffer
    before, after = min(spent)
    if before > 0.001 and after < before / 10:
        bench.hints.append("an async upload of 64 MiB returned only when it was done")


def _first(found: Violation | None) -> Iterator[Violation]:
    if found is not None:
        yield found


# --------------------------------------------------------------------------------------------------------- the ledger
def ledger(bench: Bench) -> Iterator[Violation]:
    """Of two uploads, one launch and a download the device tells these, and no read that should not have been."""
    v, one = bench.counter(5)
    try:
        told = checked(bench.call("ledger"), bench.features.ledger, bench.device.name)
    except AdapterError as error:
        yield Violation("ledger()", str(error), "a dict as offload_fuzz.device describes it")
        return
    before = {name: len(told[name]) for name in bench.features.ledger}
    array = bench.download(bench.launch("add", [bench.upload(v), bench.upload(one)]))
    bench.settle()
    if "misreads" in before:
        bench.call("touched", array, False)
    told = bench.call("ledger")
    new = {name: list(told[name][n:]) for name, n in before.items()}
    due = {
        "transfers": sorted([("upload", v.nbytes), ("upload", one.nbytes), ("download", v.nbytes)]),
        "launches": [bench.features.place or bench.device.name],
        "misreads": [],
    }
    if "transfers" in new:
        new["transfers"] = sorted((kind, nbytes) for kind, nbytes in new["transfers"])
    for name, found in new.items():
        if found != due[name]:
            yield Violation(f"{name} of two uploads, add and a download", f"{found}", f"{due[name]}")
