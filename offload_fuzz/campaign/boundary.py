"""How much of the boundary was reached: counts of cells, their projections on each two axes, and the gaps with reasons.

The full product of the axes is kept as one array of bits while it is counted; what is written are its projections.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np
from attrs import frozen

from offload_fuzz.campaign.cells import LAYOUTS, TRANSFERS, Cells
from offload_fuzz.campaign.reachable import REASONS, Reachable, reachable
from offload_fuzz.campaign.report import Report
from offload_fuzz.strategies.builder import ALL_DTYPES
from offload_fuzz.types import Array

#: The axes of the product, in the order of the array, and those that two of the tables have instead.
AXES = ("op", "dtype", "pair", "layout", "transfer")
DIRECTIONS = ("host to device", "device to host", "device to device")
#: Rows and columns of the tables that are written.
TABLES = (
    ("op", "dtype"), ("op", "layout"), ("op", "transfer"), ("op", "direction"), ("dtype", "layout"),
    ("dtype", "transfer"), ("dtype", "direction"), ("layout", "transfer"), ("layout", "pair"), ("transfer", "pair"),
)  # fmt: skip  # one table
#: The axes of which the least covered value is named.
NAMED = ("op", "dtype", "layout", "transfer", "pair")


class Least(NamedTuple):
    """The value of an axis of which the smallest share of cells is reached."""

    axis: str
    value: str
    reached: int
    reachable: int


@frozen(eq=False)
class Boundary:
    """reached, reachable: bits over `AXES`; names: the values of each axis; unreachable: cells by reason."""

    reached: Array
    reachable: Array
    names: dict[str, tuple[str, ...]]
    unreachable: dict[str, int]

    def counts(self, *axes: str) -> tuple[Array, Array]:
        """Cells reached and reachable, summed over all but `axes` (of `AXES`, or direction for pair), as int64."""
        kept = [AXES.index("pair" if a == "direction" else a) for a in axes]
        found = []
        for bits in (self.reached, self.reachable):
            order = np.argsort(np.argsort(kept))
            summed = bits.sum(axis=tuple(i for i in range(len(AXES)) if i not in kept), dtype=np.int64).transpose(order)
            if "direction" in axes:
                at = axes.index("direction")
                ways = [_direction(pair) for pair in self.names["pair"]]
                parts = [summed.compress([w == d for w in ways], axis=at).sum(axis=at) for d in DIRECTIONS]
                summed = np.stack(parts, axis=at)
            found.append(summed)
        return found[0], found[1]

    def least(self) -> list[Least]:
        """Per axis the value that is covered least; of equals the one with most cells, then the first."""
        found = []
        for axis in NAMED:
            reached, possible = self.counts(axis)
            counted = zip(self.names[axis], reached.tolist(), possible.tolist(), strict=True)
            rows = [Least(axis, *row) for row in counted if row[-1]]
            if rows:
                found.append(min(rows, key=lambda row: (row.reached / row.reachable, -row.reachable)))
        return found


def _direction(pair: str) -> str:
    p, q = pair.split(" to ")
    return DIRECTIONS[0] if p == "host" else DIRECTIONS[1] if q == "host" else DIRECTIONS[2]


def role_name(role: int) -> str:
    """`host`, `d0`, `d1`, ..."""
    return f"d{role - 1}" if role else "host"


def boundary(report: Report) -> Boundary | None:
    """The boundary of a campaign; None where no device was opened."""
    if not report.features:
        return None
    return boundary_of(report.cells, reachable(report.features, report.settings))


def boundary_of(cells: Cells, limits: Reachable) -> Boundary:
    """The cells that were reached of those that can be."""
    ops, ways = limits.ops, list(limits.pairs)
    op_at, dtype_at = ({name: i for i, name in enumerate(names)} for names in (ops, ALL_DTYPES))
    way_at = {way: i for i, way in enumerate(ways)}
    shape = (len(ops), len(ALL_DTYPES), len(ways))
    reached, possible = np.zeros(shape, np.uint32), np.zeros(shape, np.uint32)
    for way, found in limits.pairs.items():
        for op, dtype in found:
            possible[op_at[op], dtype_at[dtype], way_at[way]] = limits.masks[way]
    for (op, dtype, p, q), mask in cells.masks.items():
        if op in op_at and (p, q) in way_at:
            reached[op_at[op], dtype_at[dtype], way_at[p, q]] = mask
    names = {
        "op": ops,
        "dtype": tuple(ALL_DTYPES),
        "pair": tuple(f"{role_name(p)} to {role_name(q)}" for p, q in ways),
        "layout": LAYOUTS,
        "transfer": TRANSFERS,
        "direction": DIRECTIONS,
    }
    return Boundary(_bits(reached & possible), _bits(possible), names, limits.unreachable)


def _bits(masks: Array) -> Array:
    """Masks as bools over two more axes: layouts and transfer modes."""
    found = (masks[..., None] >> np.arange(len(LAYOUTS) * len(TRANSFERS), dtype=np.uint32)) & np.uint32(1)
    return found.astype(np.bool_).reshape(*masks.shape, len(LAYOUTS), len(TRANSFERS))


Json: TypeAlias = dict[str, Any]


def boundary_json(report: Report) -> Json | None:
    """The boundary as report.json has it."""
    b = boundary(report)
    if b is None:
        return None
    tables = []
    for rows, columns in TABLES:
        reached, possible = b.counts(rows, columns)
        tables.append({"rows": rows, "columns": columns, "reached": reached.tolist(), "reachable": possible.tolist()})
    return {
        "reached": int(b.reached.sum()),
        "reachable": int(b.reachable.sum()),
        "unreachable": [{"reason": reason, "cells": b.unreachable[reason]} for reason in REASONS],
        "least": [row._asdict() for row in b.least()],
        "axes": {axis: list(names) for axis, names in b.names.items()},
        "tables": tables,
    }
