"""Faults of the class `ordering`: what comes before what."""

from __future__ import annotations

from typing import Any

from attrs import evolve

from offload_fuzz.adapters.simulated.faults.parts import LIBRARY
from offload_fuzz.adapters.simulated.faults.table import fault
from offload_fuzz.adapters.simulated.queues import Event

# A decorator below is one row of what `offload-fuzz faults` lists, and is laid out as one.
# fmt: off


@fault("upload_returns_early", hook="host_waits", cls="ordering", report="pytorch/pytorch#127612",
       sentence="A blocking upload returns while the host array is still to be read.")
def _upload_returns_early(wait: bool, kind: str) -> bool:
    return wait and kind != "upload"


@fault("download_returns_early", hook="host_waits", cls="ordering", report="pytorch/pytorch#182190",
       sentence="A blocking download returns before its stream has come to it.")
def _download_returns_early(wait: bool, kind: str) -> bool:
    return wait and kind != "download"


@fault("wait_ignored", hook="waits", cls="ordering", needs=("stream",), report="ROCm/pytorch#3194",
       sentence="A stream does not wait for the event of another stream.")
def _wait_ignored(wait: bool, event: Any, device: str) -> bool:
    return False


@fault("event_recorded_early", hook="recorded", cls="ordering",
       sentence="An event has happened before the last command that was issued ahead of it.")
def _event_recorded_early(event: Event) -> Event:
    return evolve(event, position=max(event.position - 1, 0))


@fault("synchronize_ignored", hook="synchronizes", cls="ordering",
       sentence="A synchronisation returns at once.")
def _synchronize_ignored(wait: bool, stream: int | None, event: Any) -> bool:
    return False


@fault("download_overtakes", hook="overtakes", cls="ordering", report="AdaptiveCpp/AdaptiveCpp#1818",
       sentence="A download is done before the kernel that was issued just ahead of it.")
def _download_overtakes(overtakes: bool, kind: str) -> bool:
    return overtakes or kind == "download"


@fault("upload_on_copy_stream", hook="queue", cls="ordering", report="risc0/risc0#3522",
       sentence="Uploads go to a stream of their own, which the kernels of the asked one do not wait for.",
       needs=("transfer",))
def _upload_on_copy_stream(stream: int, kind: str, index: int) -> int:
    return 1 - stream if kind == "upload" and stream < 2 else stream


@fault("reductions_on_default_stream", hook="queue", cls="ordering", needs=("stream",),
       sentence="Kernels of a library (reductions, matmul, sort) run on stream 0 whatever stream was asked.")
def _reductions_on_default_stream(stream: int, kind: str, index: int) -> int:
    return 0 if kind in LIBRARY else stream


@fault("operands_prefetched", hook="runs", cls="ordering",
       sentence="A kernel reads its operands as soon as it is issued, and once more in its turn.")
def _operands_prefetched(when: str, op: str) -> str:
    return "prefetched"


@fault("wait_gives_up", hook="waits", cls="ordering", needs=("stream", "delay"),
       sentence="A stream waits for an event only so long: where the other stream is delayed, it goes on without.")
def _wait_gives_up(wait: bool, event: Any, device: str) -> bool:
    return wait and not event.queue.delays


@fault("last_chunk_waited_for", hook="chunk_queue", cls="ordering", needs=("chunks",),
       report="intel/torch-xpu-ops#3016",
       sentence="Pieces of a transfer in chunks are not in order, and what waits for it waits for the last one alone.")
def _last_chunk_waited_for(stream: int, last: bool, streams: int) -> int:
    return stream if last else (stream + 1) % streams
