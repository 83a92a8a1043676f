"""The promises of a device, one row each: what it says, how it is checked, what to do if it is broken."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from attrs import frozen

from offload_fuzz.campaign.conformance import computing, ordering, protocol, together, transfers
from offload_fuzz.campaign.conformance.bench import Bench, Violation


@frozen(eq=False)
class Promise:
    """One row. needs: why the promise does not apply to a device, empty where it does."""

    name: str
    group: str
    sentence: str
    check: Callable[[Bench], Iterable[Violation]]
    advice: str
    needs: Callable[[Bench], str] = lambda bench: ""


# ------------------------------------------------------------------------------------------------- when one applies
def _declared(feature: str) -> Callable[[Bench], str]:
    return lambda bench: "" if getattr(bench.features, feature) else f"{feature} is not declared"


def _method(name: str) -> Callable[[Bench], str]:
    return lambda bench: "" if callable(getattr(bench.device, name, None)) else f"there is no method {name}()"


def _counting(bench: Bench) -> str:
    return "" if bench.counted else "there is no add to look with"


def _ledger(bench: Bench) -> str:
    return _declared("ledger")(bench) or _counting(bench)


def _streams(bench: Bench) -> str:
    return _counting(bench) if bench.features.streams else "streams are not declared"


def _several(bench: Bench) -> str:
    return _counting(bench) if bench.features.streams > 1 else "there are not two streams"


def _delays(bench: Bench) -> str:
    return _declared("delay")(bench) or _streams(bench)


def _async(bench: Bench) -> str:
    return "" if bench.has_async and bench.features.streams else "async is not among the transfers"


def _shared(bench: Bench) -> str:
    return "" if "shared" in bench.features.transfers else "shared is not among the transfers"


def _free(transfer: str) -> Callable[[Bench], str]:
    def needs(bench: Bench) -> str:
        if transfer not in bench.features.transfers:
            return f"{transfer} is not among the transfers"
        when = bench.features.free_after(transfer)
        return "" if when in ("return", "completion") else f"source_free says {when!r}: the source is never written"

    return needs


def _pinned(bench: Bench) -> str:
    when = bench.features.free_after("pinned")
    kept = "" if when in ("return", "completion") else f"source_free says {when!r}: the source is never written"
    return _declared("pinned")(bench) or _async(bench) or kept


def _aliasing(kind: str) -> Callable[[Bench], str]:
    def needs(bench: Bench) -> str:
        if not any(bench.features.alias_of(op) == kind for op in bench.features.ops):
            return f"no op is declared {kind}"
        if bench.features.in_place or (kind == "fresh" and bench.features.release):
            return ""
        return "nothing is declared that shows it, such as in_place"

    return needs


def _releases(bench: Bench) -> str:
    return _declared("release")(bench) or _counting(bench)


def _fills(bench: Bench) -> str:
    return _declared("out_of_memory")(bench) or _declared("memory")(bench)


def _peers(bench: Bench) -> str:
    if bench.features.peers is None:
        return "peers is not declared"
    return "" if bench.peer is not None else "a second device could not be opened"


def _peer_streams(bench: Bench) -> str:
    return _peers(bench) or _streams(bench)


# ----------------------------------------------------------------------------------------------------------- the table
def _row(
    group: str,
    name: str,
    sentence: str,
    check: Callable[[Bench], Iterable[Violation]],
    advice: str,
    needs: Callable[[Bench], str] = lambda bench: "",
) -> Promise:
    return Promise(name, group, sentence, check, advice, needs)


# fmt: off
#: name -> promise, in the order of the report.
PROMISES: dict[str, Promise] = {p.name: p for p in (
    _row("protocol", "methods", "every declared feature has its methods", protocol.methods,
         "add the method, or do not declare the feature"),
    _row("protocol", "arguments", "methods take the arguments that the features bring", protocol.arguments,
         "add the parameter, or do not declare the feature"),
    _row("protocol", "reset", "reset(seed) leaves a device that works", protocol.reset,
         "let reset draw anew what is random, and drop nothing else", _method("reset")),

    _row("transfers", "dtypes", "every dtype comes back as it went", transfers.dtypes,
         "take the dtype from `dtypes`, or keep its width and kind"),
    _row("transfers", "shapes", "every shape comes back: no axis, empty, rank 5, edges, large", transfers.shapes,
         "keep the shape with the buffer; a size of 0 or an axis of 0 is a shape like others"),
    _row("transfers", "layouts", "every layout comes back: strided, reversed, stride 0, misaligned", transfers.layouts,
         "read the host array by its strides, or np.ascontiguousarray it first"),
    _row("transfers", "values", "every bit comes back: NaN payload, -0.0, subnormals, ends", transfers.values,
         "copy bytes, not numbers"),
    _row("transfers", "source_untouched", "the host's array is not written by the device", transfers.source_untouched,
         "copy on upload, or declare source_free 'never'"),
    _row("transfers", "source_free_blocking", "after a blocking upload the host may overwrite the source",
         transfers.source_free_blocking,
         "copy on upload, or declare a weaker source_free for blocking", _free("blocking")),
    _row("transfers", "source_free_async", "after an async upload the host may overwrite it when declared",
         transfers.source_free_async, "declare a weaker source_free for async", _free("async")),
    _row("transfers", "pinned", "page-locked memory is the host's, and its bits go up", transfers.pinned,
         "give memory of its own on each call, and read it by the array's address and strides", _declared("pinned")),
    _row("transfers", "source_free_pinned",
         "after an async upload from page-locked memory the host may overwrite it when declared",
         transfers.source_free_pinned, "declare a weaker source_free for pinned", _pinned),
    _row("transfers", "shared", "a shared upload has the bits, and the host's array is not written", together.shared,
         "keep the host's array alive and write nothing to it, or copy", _shared),
    _row("transfers", "download_owned", "a downloaded array is the host's: its memory and the device's are two",
         transfers.download_owned, "return a copy"),
    _row("transfers", "destinations", "elements arrive in memory with gaps or an offset, and nothing around it changes",
         transfers.destinations, "write by the strides of the target, or leave the transfer out of destination",
         _declared("destination")),
    _row("transfers", "chunks", "a transfer in pieces brings every element where it belongs", transfers.chunks,
         "advance on both sides by what each piece has moved, to the end of the last; be done when all are",
         _declared("chunks")),
    _row("transfers", "exported", "a host array in a buffer's memory has its elements", transfers.exported,
         "give strides and byte offset of the buffer, and keep its memory as long as the array", _declared("export")),
    _row("transfers", "blocking_transfers", "a blocking transfer is done when it returns", transfers.blocking_transfers,
         "wait for the stream before returning", _counting),
    _row("transfers", "async_transfers", "async transfers are done when their stream is", transfers.async_transfers,
         "order the transfer on its stream, and keep what it reads alive", _async),

    _row("ops", "ops_run", "every listed op runs on every dtype it is listed with", computing.ops_run,
         "list per op the dtypes that it has: ops = {op: [dtypes]}"),
    _row("ops", "result_types", "a result has the dtype and the shape of the op's rule", computing.result_types,
         "cast the result; `offload-fuzz ops` has the rules"),
    _row("ops", "results", "on small exact numbers a result is what the contract allows", computing.results,
         "correct the kernel, or state in a contract what it promises: docs/contract.md"),
    _row("ops", "operand_layouts", "results do not depend on the layout of the operands", computing.operand_layouts,
         "read operands by their strides and offset, or upload into contiguous memory"),
    _row("ops", "operands_untouched", "an op does not write its operands", computing.operands_untouched,
         "write the result to memory of its own"),
    _row("ops", "results_last", "a result keeps its value while ops run", computing.results_last,
         "do not write a result into memory that an earlier one still has"),
    _row("ops", "buffers_last", "hundreds of buffers at once keep their elements", computing.buffers_last,
         "do not reuse memory before its buffer is gone"),
    _row("ops", "environment", "the host's rounding and subnormals stay as they are", computing.environment,
         "restore the floating-point mode of the host's thread"),
    _row("ops", "placed", "uploads and results are at the declared place", computing.placed,
         "place_of must answer features['place'], or the op ran elsewhere: list it not", _declared("place")),
    _row("ops", "ledger", "the device tells of each transfer and launch that was done, and of no other",
         transfers.ledger, "count where the work is done, bytes of elements only; leave out what you cannot tell",
         _ledger),
    _row("ops", "deterministic", "the same call gives the same bits again", computing.deterministic,
         "do not declare deterministic", _declared("deterministic")),
    _row("ops", "constants", "an operand that is a constant of the kernel counts as an uploaded one",
         together.constants, "keep every bit of it, and a constant of each launch apart", _declared("constants")),
    _row("ops", "compiled", "a region gives every result that is asked for, as the contract allows", together.compiled,
         "number operands first, then nodes; give `results` in their order, in fresh memory", _declared("compile")),

    _row("aliasing", "fresh", "a result declared fresh shares no memory with an operand", computing.fresh,
         "declare the op 'may' in aliasing, or copy", _aliasing("fresh")),
    _row("aliasing", "view", "a result declared a view shares the operand's memory", computing.view,
         "declare the op 'may' or 'fresh' in aliasing", _aliasing("view")),
    _row("aliasing", "in_place", "out= is where the result goes, and nowhere else", computing.in_place,
         "write into out's own memory, or leave the op out of in_place", _declared("in_place")),
    _row("aliasing", "update", "a result is the same however it comes to its place", together.update,
         "write all elements of the result by the target's own strides and offset", _declared("update")),
    _row("aliasing", "donate", "a donated operand's memory holds the result or is free, not both", together.donate,
         "free the operand's memory after the kernel, unless the result lies there", _declared("donate")),

    _row("order", "streams_in_order", "a stream runs in order", ordering.streams_in_order,
         "one queue per stream, in issue order", _streams),
    _row("order", "ops_in_order", "every op comes after what is before it on its stream", computing.ops_in_order,
         "let a fallback to the host wait for the stream that makes its operands", _streams),
    _row("order", "events", "what follows a wait sees all that came before the record", ordering.events,
         "record the event on its stream when it is called, and make the other stream wait for it", _several),
    _row("order", "delay", "what follows a delay comes all the same, in order", ordering.delay,
         "put the delay on the stream, as a kernel that only takes time", _delays),
    _row("order", "synchronize", "synchronize returns when stream, event or device is done", ordering.synchronize,
         "wait for the work itself, not for its submission", _streams),
    _row("order", "release_in_order", "released memory is reused only after what was issued before",
         ordering.release_in_order, "free in stream order, or do not declare release", _releases),
    _row("order", "release_frees", "released memory is used again", ordering.release_frees,
         "drop every reference to the buffer's memory", _declared("release")),

    _row("peers", "peer_copy", "a copy from a peer has the bits, in memory of its own", ordering.peer_copy,
         "copy by strides into new memory, or do not declare peers", _peers),
    _row("peers", "peer_events", "a stream waits for an event of a peer", ordering.peer_events,
         "make events work across devices, or do not declare peers", _peer_streams),

    _row("errors", "unknown_op", "an op that is not listed raises", ordering.unknown_op,
         "raise for an op that the device does not have"),
    _row("errors", "after_error", "after an error the device goes on, and buffers keep their elements",
         ordering.after_error, "raise before anything is issued, and leave streams and memory as they were"),

    _row("errors", "after_full", "after out of memory arrays keep their elements, and what is given back is free",
         ordering.after_full, "refuse before anything is taken; keep no reference to what the host lets go of", _fills),

    _row("speed", "campaign", "a short campaign runs to its end", ordering.campaign,
         "see what `offload-fuzz run DEVICE --max-cases 300` says"),
)}
# fmt: on
