"""The places where a simulated device can be made wrong: one hook each, and what the lawful device does there.

A hook is called with what the lawful device is about to do, and the circumstances; it returns what is done. The
lawful hook returns its first argument. A fault (`offload_fuzz.adapters.simulated.faults`) returns something else;
several faults on one hook are applied one after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from attrs import frozen

HookFunction: TypeAlias = Callable[..., Any]


@frozen
class Hook:
    """A hook's name, its arguments, and what the lawful device does."""

    name: str
    arguments: str
    lawful: str


HOOKS: dict[str, Hook] = {
    h.name: h
    for h in (
        # transfers; kind is "upload", "download" or "copy"
        Hook("host_array", "array", "an upload reads the host array by its strides, from its first element"),
        Hook("bounced", "array", "what goes from one device to another over the host goes on as it came"),
        Hook("carried", "array, kind", "a transfer carries every bit of the elements"),
        Hook("moved", "nbytes, kind", "a transfer moves all bytes of the elements"),
        Hook("legs", "((kind, nbytes),), buffer", "a transfer is one, of the elements alone, on the straight way; "
             "buffer: the device's"),
        Hook("chunk", "buffer, first", "each piece of a transfer in chunks is where it is in the whole, which begins "
             "with the first"),
        Hook("chunk_queue", "stream, last, streams", "all pieces of a transfer go to the stream that was asked, so "
             "that they are done when the last is; streams: how many there are"),
        Hook("arrives", "'completion'", "an asynchronous upload has read the host array when it is complete"),
        Hook("reads_locked", "'completion'", "so has one from page-locked memory"),
        Hook("locked", "array", "an upload from page-locked memory reads the array there, not where its memory begins"),
        Hook("copies", "True, array", "an upload copies the host array; the device never shares its memory"),
        Hook("constant", "array", "a kernel has every bit of a constant built in"),
        Hook("evicted", "False, array", "what was uploaded stays on the device; True: once a kernel has read it, "
             "it is given up where the host array is the same still, from which its next use reads it"),
        Hook("host_target", "array, scratch", "a download fills a new host array; scratch: a dict, empty in each run"),
        Hook("exported", "(offset, strides), buffer", "a host array in device memory has the buffer's own layout"),
        Hook("host_waits", "True, kind", "a blocking transfer returns when it is complete"),
        # memory
        Hook("layout", "(offset, strides), buffer, use", "elements are found by the buffer's own offset and strides; "
             "use: a kernel's operand number, -1 for its result, or the kind of a transfer"),
        Hook("view", "layout or None, op, buffer, type", "a view has the elements that its op names"),
        Hook("holds", "storage, op", "a view keeps the storage of its operand alive"),
        Hook("size", "nbytes, kind", "an allocation has room for all elements"),
        Hook("exhausted", "None, memory, nbytes", "what does not fit is refused (None), which changes nothing"),
        Hook("pooled", "None, memory, nbytes", "what is allocated after a refusal is memory of its own (None)"),
        Hook("placed", "place, index, profile, kind, op", "memory is allocated on the device that was asked"),
        Hook("frees", "'stream'", "released memory is reused once the stream has come to the release; not at its "
             "'issue', nor given up then and left 'untouched'"),
        Hook("target", "None, op, operands, type", "a result goes to fresh memory (None) or to the given out"),
        # order
        Hook("waits", "True, event, device", "a stream waits for the event of another stream or device"),
        Hook("queue", "stream, kind, index", "a command goes to the stream that was asked; kind: that of a transfer, "
             "or an op; index: of the device"),
        Hook("overtakes", "False, kind", "a command comes after all that was issued on its stream before; True: it "
             "overtakes the last, unless that is a wait; 'wait': in any case"),
        Hook("recorded", "event", "an event comes after all that was issued on its stream before"),
        Hook("synchronizes", "True, stream, event", "the host waits for the stream, or the event"),
        Hook("runs", "'stream', op", "a kernel runs in the order of its stream, not when it is issued ('issue'), and "
             "has not read its operands before ('prefetched')"),
        # kernels
        Hook("accepts", "None, op, operands", "a launch raises no error (None), else one of this text"),
        Hook("unit", "place, op, operands", "a kernel runs on the device that was asked"),
        Hook("operand", "array, number, op", "a kernel reads each element of an operand where it is"),
        Hook("result_type", "type, op, operand_types", "a result has the type of the op's rule"),
        Hook("result", "array, op, operands, attributes", "a result has the value that the contract allows"),
        Hook("direct", "True, op", "a kernel has no workspace that another stream's kernel writes"),
        Hook("written", "True, buffer, op, operands, in_place", "a kernel writes its whole result to memory"),
        # compiled regions; a step: op row, numbers of its operands, attributes, type
        Hook("captured", "arrays, steps, scratch", "a compiled region is run on what it is given; scratch: a dict, "
             "empty in each run"),
        Hook("fused", "value, number, steps, values", "inside a region each step has the value that it has alone"),
        Hook("region_target", "None, type, operands", "a result of a region goes to fresh memory"),
        Hook("region_results", "arrays", "a region writes each result to its own buffer; None: it is not written"),
    )
}  # fmt: skip  # one row each


def lawful(value: Any, *circumstances: Any) -> Any:
    """What a device does without a fault."""
    return value


def composed(functions: Iterable[HookFunction]) -> HookFunction:
    """The functions one after the other, each on the value of the one before."""
    first, *rest = functions
    if not rest:
        return first
    following = composed(rest)
    return lambda value, *circumstances: following(first(value, *circumstances), *circumstances)


class Hooks:
    """A device's hooks, one attribute each: `lawful`, or the faults planted there."""

    def __init__(self, planted: Iterable[tuple[str, HookFunction]] = ()) -> None:
        faults = list(planted)
        for name in HOOKS:
            functions = [function for hook, function in faults if hook == name]
            setattr(self, name, composed(functions) if functions else lawful)

    def __getattr__(self, name: str) -> HookFunction:
        raise AttributeError(f"there is no hook {name!r}; the hooks are {', '.join(HOOKS)}")
