"""What lowering asks of a program on places, whatever the plan: looked up once per program, not once per plan."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import chain

from offload_fuzz.device import Place
from offload_fuzz.ops.base import find_op
from offload_fuzz.program import Program
from offload_fuzz.schedule import HOST, Buffer


class Role:
    """What lowering asks of a place."""

    __slots__ = (
        "alias_of",
        "asynchronous",
        "chunks",
        "constants",
        "delay",
        "destination",
        "donate",
        "drop",
        "export",
        "free",
        "in_place",
        "instant",
        "peers",
        "pinned",
        "queues",
        "release",
        "shared",
        "streams",
        "update",
    )

    def __init__(self, number: int, place: Place) -> None:
        f = place.features
        self.streams = f.streams
        self.queues = [(number, stream) for stream in range(max(f.streams, 1))]
        self.asynchronous = "async" in f.transfers
        self.instant = f.streams == 0 and not self.asynchronous and not f.release  # calls are done when they return
        self.free = {True: f.free_after("blocking"), False: f.free_after("async")}  # by `blocking`
        self.shared = f.free_after("shared") if "shared" in f.transfers else None
        self.in_place, self.peers, self.release, self.alias_of = f.in_place, f.peers, f.release, f.alias_of
        self.destination, self.drop = f.destination, f.drop and number > 0
        self.chunks = f.chunks
        self.pinned = f.free_after("pinned") if f.pinned and number else None
        self.export, self.constants = f.export, f.constants and number > 0
        self.update = f.update if number else {}
        self.donate, self.delay = f.donate, f.delay and f.streams > 0


class Tables:
    """What lowering asks of a program on places.

    inputs: their buffers; elementwise: by node; uses: how often each value is used, returned ones once more; instant,
    releases: whether all devices are done when they return, whether any takes memory back.
    """

    __slots__ = ("elementwise", "inputs", "instant", "places", "program", "releases", "roles", "uses")

    def __init__(self, program: Program, places: Sequence[Place]) -> None:
        self.program, self.places = program, tuple(places)
        self.roles = [Role(i, p) for i, p in enumerate(places)]
        self.instant = all(r.instant for r in self.roles[1:])
        self.releases = any(r.release for r in self.roles)
        sizes = enumerate(zip(program.types[: len(program.inputs)], program.nbytes, strict=False))
        self.inputs = [Buffer(HOST, type, v, 0, nbytes) for v, (type, nbytes) in sizes]  # in storages of their own
        self.elementwise = [find_op(n.op).elementwise for n in program.nodes]
        self.uses = [0] * program.returns
        for o in chain(program.outputs, *[n.operands for n in program.nodes]):
            self.uses[o] += 1


@lru_cache(maxsize=2)
def tables_of(program: Program, places: tuple[Place, ...]) -> Tables:
    """The tables of `program` on `places`; kept for the next plan of the program."""
    return Tables(program, places)
