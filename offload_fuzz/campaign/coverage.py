"""What was run where: nodes of each op at each place, and edges between each two places. `report.json` shows both.

Keys of the tables are words with a space between them: `add d0`, `host d1`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from offload_fuzz.campaign.counts import Counts
from offload_fuzz.plan import Plan
from offload_fuzz.program import Program
from offload_fuzz.strategies.placements import Placement, node_edges

HOST = "host"


def role_name(role: int) -> str:
    """`host`, `d0`, `d1`, ..."""
    return f"d{role - 1}" if role else HOST


def count_pairs(
    counts: Counts, program: Program, allowed: Sequence[tuple[int, ...]], done: Sequence[Placement]
) -> None:
    """Count the places that features allow each node, the pairs of them on each edge, and which pairs `done` gives."""
    names = [[role_name(r) for r in roles] for roles in allowed]
    for node, roles in zip(program.nodes, names, strict=True):
        _add(counts.runnable, (f"{node.op} {r}" for r in roles))
    for a, b in node_edges(program):
        _add(counts.crossable, (f"{p} {q}" for p in names[a] for q in names[b]))
        _add(counts.crossed, (f"{role_name(p)} {role_name(q)}" for p, q in {(row[a], row[b]) for row in done}))


def count_placed(counts: Counts, program: Program, plans: Sequence[Plan]) -> None:
    """Count the runs of each op at each place."""
    ops = [n.op for n in program.nodes]
    found = Counter((op, role) for plan in plans for op, role in zip(ops, plan.devices(program), strict=True))
    for (op, role), n in found.items():
        key = f"{op} {role_name(role)}"
        counts.placed[key] = counts.placed.get(key, 0) + n


def _add(table: dict[str, int], keys: Any) -> None:
    for key in keys:
        table[key] = table.get(key, 0) + 1


def coverage_json(counts: Counts, devices: Sequence[str], ops: Sequence[str]) -> dict[str, Any]:
    """The tables as report.json has them: a row per op, those of `ops` that were never drawn too, and per two places.

    devices: the names in roles d0, d1, ...
    """
    roles = [role_name(i) for i in range(len(devices) + 1)]
    return {
        "places": [{"role": r, "device": d} for r, d in zip(roles, ("numpy", *devices), strict=True)],
        "ops": [
            {
                "op": op,
                "nodes": counts.ops.get(op, 0),
                "places": [
                    {"role": r, "runnable": _at(counts.runnable, op, r), "runs": _at(counts.placed, op, r)}
                    for r in roles
                ],
            }
            for op in sorted({*ops, *counts.ops})
        ],
        "pairs": [
            {"from": p, "to": q, "reachable": _at(counts.crossable, p, q), "covered": _at(counts.crossed, p, q)}
            for p in roles
            for q in roles
        ],
    }


def _at(table: dict[str, int], *words: str) -> int:
    return table.get(" ".join(words), 0)
