"""What kinds of simulated accelerator there are, and what each declares."""

from __future__ import annotations

from attrs import frozen

from offload_fuzz.adapters.simulated.views import VIEWS
from offload_fuzz.device import Features
from offload_fuzz.ops.base import OPS
from offload_fuzz.types import DTYPES


@frozen
class Profile:
    """dtypes and ops: what it runs; no ops named: all there are. streams: how many. alignment: of its allocations.

    peers: which devices it copies from directly.
    """

    dtypes: frozenset[str]
    ops: frozenset[str] | None
    streams: int
    alignment: int
    peers: str


NPU_OPS = """
    negative abs square sqrt exp tanh floor round logical_not add subtract multiply divide minimum maximum equal less
    logical_and where sum mean max argmax matmul reshape permute_dims broadcast_to squeeze expand_dims concat getitem
    setitem take astype
"""

PROFILES: dict[str, Profile] = {
    "simulated": Profile(frozenset(DTYPES), None, streams=4, alignment=64, peers="simulated"),
    "simulated.npu": Profile(
        frozenset({"bool", "int8", "uint8", "int16", "int32", "int64", "float16", "bfloat16", "float32"}),
        frozenset(NPU_OPS.split()),
        streams=2,
        alignment=256,
        peers="simulated.npu",
    ),
}

ALIASING = {
    "*": "fresh",
    **dict.fromkeys(VIEWS, "view"),
    "reshape": "may",  # a view of a contiguous operand, else a copy
}


def features_of(profile: Profile, name: str) -> Features:
    """What a device of this profile and name declares; ops registered so far are among them."""
    ops = [op for op in OPS.values() if profile.ops is None or op.name in profile.ops]
    return Features(
        ops=dict.fromkeys(op.name for op in ops),
        dtypes=profile.dtypes,
        streams=profile.streams,
        transfers=("blocking", "async"),
        in_place=frozenset(op.name for op in ops if op.elementwise),
        donate=frozenset(op.name for op in ops),
        peers=profile.peers,
        release=True,
        compile=True,
        source_free={"blocking": "return", "async": "completion"},
        aliasing=ALIASING,
        deterministic=False,
        contract="simulated",
        place=name,
    )
