"""Faults of the class `multi-device`: what two devices do to each other."""

from __future__ import annotations

from typing import Any

import numpy as np

from offload_fuzz.adapters.simulated.faults.parts import unwritten_from
from offload_fuzz.adapters.simulated.faults.table import fault, in_row_major_order
from offload_fuzz.adapters.simulated.memory import Buffer, Layout
from offload_fuzz.types import Array

# A decorator below is one row of what `offload-fuzz faults` lists, and is laid out as one.
# fmt: off


@fault("peer_copy_lost", hook="moved", cls="multi-device", report="pytorch/pytorch#84803",
       sentence="A copy between two devices reports success and moves nothing.")
def _peer_copy_lost(nbytes: int, kind: str) -> int:
    return 0 if kind == "copy" else nbytes


@fault("peer_event_ignored", hook="waits", cls="multi-device", inside=True, report="ggml-org/llama.cpp#21846",
       sentence="A stream waits for events of its own device but not for those of another one.")
def _peer_event_ignored(wait: bool, event: Any, device: str) -> bool:
    return wait and event.device == device


@fault("peer_copy_overtakes", hook="overtakes", cls="multi-device", report="ROCm/pytorch#438",
       sentence="A copy between two devices runs before the wait or the kernel that was issued just ahead of it.")
def _peer_copy_overtakes(overtakes: bool | str, kind: str) -> bool | str:
    return "wait" if kind == "copy" else overtakes


@fault("peer_copy_strides_ignored", hook="layout", cls="multi-device",
       sentence="A copy between two devices reads a strided buffer as one run of bytes.")
def _peer_copy_strides_ignored(layout: Layout, buffer: Buffer, use: int | str) -> Layout:
    return in_row_major_order(layout, buffer) if use == "copy" else layout


@fault("result_on_default_device", hook="placed", cls="multi-device",
       sentence="Results are allocated on device 0, whatever device computes them.")
def _result_on_default_device(place: str, index: int, profile: str, kind: str, op: str) -> str:
    return f"{profile}:0" if index and kind == "result" else place


@fault("second_device_on_default_stream", hook="queue", cls="multi-device", needs=("stream",),
       sentence="All kernels of a device but the first run on its stream 0, whatever stream was asked.")
def _second_device_on_default_stream(stream: int, kind: str, index: int) -> int:
    return 0 if index and kind not in ("upload", "download", "copy") else stream


@fault("peer_copy_narrowed", hook="carried", cls="multi-device",
       sentence="A copy between two devices carries float32 as bfloat16.")
def _peer_copy_narrowed(array: Array, kind: str) -> Array:
    if kind != "copy" or array.dtype != np.float32:
        return array
    return (array.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)


@fault("peer_copy_bounces", hook="legs", cls="multi-device", report="triton-inference-server/server#824",
       sentence="A copy between two devices goes over the host, as a download and an upload.")
def _peer_copy_bounces(legs: tuple[tuple[str, int], ...], buffer: Buffer) -> tuple[tuple[str, int], ...]:
    ((kind, nbytes),) = legs
    return (("download", nbytes), ("upload", nbytes)) if kind == "copy" else legs


@fault("bounced_tail_lost", hook="bounced", cls="multi-device", needs=("route",),
       sentence="What goes to another device over the host goes on in chunks of 16 bytes, without the rest.")
def _bounced_tail_lost(array: Array) -> Array:
    whole: Array = unwritten_from(array, array.nbytes // 16 * 16 // array.itemsize)
    return whole
