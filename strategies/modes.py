"""How values cross: the choices of a plan beyond placement, drawn node by node for a given placement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from offload_fuzz.device import Place, are_peers, relay
from offload_fuzz.plan import FREEDOMS, Key, Plan
from offload_fuzz.program import Program

from .choices import Choices

LAYOUTS = FREEDOMS["layout"].choices
DESTINATIONS = FREEDOMS["destination"].choices
#: Freedoms of a host array beside its layout.
HOST_FORMS = ("alignment", "readonly", "paging")
CHUNKS = FREEDOMS["chunks"].choices
UPDATES = FREEDOMS["update"].choices
OVERWRITES = (True, "after a wait", "late", "late")
DELAYS = FREEDOMS["delay"].choices
COMPANY = FREEDOMS["company"].choices
#: Bytes of decisions that one node's modes take at most (three operands).
MODE_BYTES = 52


def node_modes(
    out: dict[Key, Any],
    v: int,
    op: str,
    places: Sequence[Place],
    role: int,
    homes: Sequence[int],
    dtypes: Sequence[str],
    choices: Choices,
) -> None:
    """Add the choices of node `v` on `role`, whose operands are of `dtypes` and were made on `homes`, to `out`."""
    features = places[role].features
    if role:
        out["device", (v,)] = role
        if features.streams > 1 and choices.chance(30):
            out["stream", (v,)] = 1 + choices.below(min(features.streams, 4) - 1)
        if features.update and choices.chance(24):
            way = UPDATES[1 + choices.below(len(UPDATES) - 1)]
            if op in features.update.get(way, ()):
                out["update", (v,)] = way
        if features.drop and choices.chance(20):
            out["lifetime", (v,)] = "dropped"
        if features.delay and choices.chance(14):
            out["delay", (v,)] = DELAYS[1 + choices.below(len(DELAYS) - 1)]
        if features.compile and choices.chance(50):
            out["compile", (v,)] = True
    if op in features.in_place and choices.chance(40):
        out["reuse", (v,)] = True
    elif op in features.donate and choices.chance(30):
        out["donate", (v,)] = True
    for k, home in enumerate(homes):
        crossing(out, (v, k), places, home, role, dtypes[k], choices)


def crossing(
    out: dict[Key, Any],
    site: tuple[int, int],
    places: Sequence[Place],
    home: int,
    role: int,
    dtype: str,
    choices: Choices,
) -> None:
    """Add the choices of one operand of `dtype` that goes from role `home` to `role`."""
    if not home and role and places[role].features.constants and choices.chance(4):
        out["constant", site] = True  # and crosses in no other way
        return
    via_host = home == 0 or role == 0 or not _peers(places, home, role)
    if home and role and home != role and choices.chance(36):
        third = relay(tuple(places), home, role, dtype) is not None
        if third and choices.chance(50):
            out["route", site], via_host = "third device", False
        elif not via_host:
            out["route", site], via_host = "host", True
    if home != role:
        mover = places[role or home].features
        if "async" in mover.transfers and choices.chance(40):
            out["transfer", site] = "async"
        elif (via_host and "shared" in mover.transfers if role else mover.export) and choices.chance(28):
            out["transfer", site] = "shared"
        way = "download" if not role else "upload" if via_host else "copy"
        if way in mover.destination and choices.chance(16):
            out["destination", site] = DESTINATIONS[1 + choices.below(2)]
        if way in mover.chunks and choices.chance(16):
            out["chunks", site] = CHUNKS[1 + choices.below(2)]
        if role and via_host and choices.chance(18) and mover.source_free:
            out["overwrite", site] = OVERWRITES[choices.below(len(OVERWRITES))]
        if role and via_host and mover.pinned and choices.chance(16):
            out["pinned", site] = True
    elif role:
        return
    if not via_host or not choices.chance(30 if home != role else 12):
        return
    kind = choices.below(10)
    if kind < 5:
        out["layout", site] = LAYOUTS[1 + choices.below(len(LAYOUTS) - 1)]
    if kind >= 4:
        name = HOST_FORMS[kind % len(HOST_FORMS)]
        out[name, site] = FREEDOMS[name].choices[1]


def _peers(places: Sequence[Place], p: int, q: int) -> bool:
    return are_peers(places[p].features.peers, places[q].features.peers)


def schedule_modes(out: dict[Key, Any], program_returns: int, outputs: int, choices: Choices) -> int:
    """Add the choices of the whole schedule and of the return; gives the plan's seed."""
    seed = choices.below(65536)
    if choices.chance(60):  # most plans compile nothing together
        for key in [key for key in out if key[0] == "compile"]:
            del out[key]
    if choices.chance(60):
        out["sync", ()] = "early-event" if choices.chance(25) else "minimal"
    if choices.chance(25):
        out["order", ()] = 1 + choices.below(3)
    if choices.chance(8):
        out["repeat", ()] = 2
    if choices.chance(12):
        out["readback", ()] = True
    for k in range(outputs):
        if choices.chance(25):
            out["transfer", (program_returns, k)] = "async"
        elif choices.chance(15):
            out["transfer", (program_returns, k)] = "shared"
        if choices.chance(12):
            out["destination", (program_returns, k)] = DESTINATIONS[1 + choices.below(2)]
        if choices.chance(12):
            out["chunks", (program_returns, k)] = CHUNKS[1 + choices.below(2)]
    if choices.chance(9):
        out["company", ()] = COMPANY[1 + choices.below(len(COMPANY) - 1)]
    return seed


def plan_for(program: Program, placement: Sequence[int], places: Sequence[Place], choices: Choices) -> Plan:
    """A plan with this placement (role of each node) and drawn modes."""
    out: dict[Key, Any] = {}
    first = len(program.inputs)
    for at, (node, role) in enumerate(zip(program.nodes, placement, strict=True)):
        homes = [0 if o < first else placement[o - first] for o in node.operands]
        dtypes = [program.types[o].dtype for o in node.operands]
        node_modes(out, first + at, node.op, places, role, homes, dtypes, choices)
    seed = schedule_modes(out, program.returns, len(program.outputs), choices)
    return Plan(prune(out, program, placement, places), seed)


def prune(
    out: Mapping[Key, Any], program: Program, placement: Sequence[int], places: Sequence[Place]
) -> dict[Key, Any]:
    """`out` without what the returns' crossings cannot be, of values that are on the host for one."""
    first = len(program.inputs)
    kept = dict(out)
    for k, v in enumerate(program.outputs):
        prune_return(kept, (program.returns, k), places, 0 if v < first else placement[v - first])
    return kept


def prune_return(out: dict[Key, Any], site: tuple[int, int], places: Sequence[Place], role: int) -> None:
    """Take from `out` what the crossing of a returned value, made on `role`, cannot be."""
    features = places[role].features
    transfer = out.get(("transfer", site))
    if not role or not (features.export if transfer == "shared" else "async" in features.transfers):
        out.pop(("transfer", site), None)
    if not role or "download" not in features.destination:
        out.pop(("destination", site), None)
    if not role or "download" not in features.chunks:
        out.pop(("chunks", site), None)
