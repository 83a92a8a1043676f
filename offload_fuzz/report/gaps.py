"""What a coverage table shows in a cell: a number, how much that is, and for a gap the reason."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

#: Shades of a number, 1 to this; 0 is a gap.
SHADES = 5


class Cell(NamedTuple):
    """text: what is shown; shade: 0 for a gap; why: the whole story, for a gap its reason."""

    text: str
    shade: int
    why: str


def op_rows(data: Mapping[str, Any]) -> list[tuple[str, list[Cell]]]:
    """Per op a cell for each place, in the order of coverage.places; ops that were never drawn last."""
    ops = data["coverage"]["ops"]
    roles = [place["role"] for place in data["coverage"]["places"]]
    most = max((p["runs"] for op in ops for p in op["places"]), default=0)
    rows = []
    for op in sorted(ops, key=lambda op: not op["nodes"]):
        found = {p["role"]: p for p in op["places"]}
        rows.append((op["op"], [_op_cell(op, found.get(role), role, most) for role in roles]))
    return rows


def _op_cell(op: Mapping[str, Any], at: Mapping[str, Any] | None, role: str, most: int) -> Cell:
    name = op["op"]
    if at is not None and at["runs"]:
        return Cell(f"{at['runs']:,}", _shade(at["runs"], most), f"{name} ran {at['runs']:,} times on {role}")
    if not op["nodes"]:
        return Cell("not drawn", 0, f"{name} was not drawn in any program: a longer run or --ops draws it")
    if at is None or not at["runnable"]:
        return Cell("ruled out", 0, f"{name} was drawn, but the features of {role} rule it out with its dtypes")
    return Cell("not placed", 0, f"{role} can run {name}, but no plan that was run placed it there")


def pair_rows(data: Mapping[str, Any]) -> list[tuple[str, list[Cell]]]:
    """Per place of a producer a cell for each place of a user."""
    roles = [place["role"] for place in data["coverage"]["places"]]
    found = {(pair["from"], pair["to"]): pair for pair in data["coverage"]["pairs"]}
    drawn = any(pair["reachable"] for pair in found.values())  # the host runs all, so each edge is reachable somewhere
    return [(a, [_pair_cell(found.get((a, b)), a, b, drawn) for b in roles]) for a in roles]


def _pair_cell(pair: Mapping[str, Any] | None, a: str, b: str, drawn: bool) -> Cell:
    way = f"from {a} to {b}" if a != b else f"within {a}"
    if not drawn:
        return Cell("not drawn", 0, f"{way}: no program had an edge between two nodes")
    if pair is None or not pair["reachable"]:
        return Cell("ruled out", 0, f"{way}: features allow it on no edge between two nodes of these programs")
    covered, reachable = pair["covered"], pair["reachable"]
    if not covered:
        return Cell("not run", 0, f"{way}: possible on {reachable:,} edges, but no plan that was run goes there")
    text = f"{covered:,} of {reachable:,}"
    return Cell(text, max(1, SHADES * covered // reachable), f"{way}: run on {text} edges that features allow")


def _shade(n: int, most: int) -> int:
    """Shades grow with the logarithm."""
    return max(1, math.ceil(SHADES * math.log1p(n) / math.log1p(max(most, 1))))


class Heat(NamedTuple):
    """A table of cells of the boundary: what it shows, its corner, heads of columns, and cells of each row."""

    caption: str
    corner: str
    columns: list[str]
    rows: list[tuple[str, list[Cell]]]


def boundary_heats(data: Mapping[str, Any]) -> list[Heat]:
    """The tables of the boundary's cells, each cell with the share that was reached; empty where none were counted."""
    b = data["coverage"].get("boundary")
    if not b:
        return []
    found = []
    for table in b["tables"]:
        rows, columns = table["rows"], table["columns"]
        cells = [
            [_share_cell(n, of) for n, of in zip(reached, possible, strict=True)]
            for reached, possible in zip(table["reached"], table["reachable"], strict=True)
        ]
        named = list(zip(b["axes"][rows], cells, strict=True))
        found.append(Heat(f"{rows} x {columns}", rows, b["axes"][columns], named))
    return found


def _share_cell(reached: int, reachable: int) -> Cell:
    if not reachable:
        return Cell("-", 0, "")
    why = f"{reached:,} of {reachable:,}"
    if not reached:
        return Cell("0", 0, why)
    return Cell(f"{max(1, 100 * reached // reachable)}%", max(1, SHADES * reached // reachable), why)


def boundary_lines(data: Mapping[str, Any]) -> list[str]:
    """What of the boundary was not reached, and what cannot be, with the reasons."""
    b = data["coverage"].get("boundary")
    if not b:
        return []
    least = [f"{row['axis']} {row['value']} {row['reached']:,} of {row['reachable']:,}" for row in b["least"]]
    lines = [f"cells of the boundary not reached yet: {b['reachable'] - b['reached']:,} of {b['reachable']:,}"]
    lines += [f"cells of the boundary covered least: {', '.join(least)}"] if least else []
    return lines + [f"cells out of reach, as {r['reason']}: {r['cells']:,}" for r in b["unreachable"] if r["cells"]]


def gap_lines(data: Mapping[str, Any]) -> list[str]:
    """The gaps by reason, a line each."""
    roles = [place["role"] for place in data["coverage"]["places"]]
    found: dict[str, list[str]] = {}
    never = [op for op, cells in op_rows(data) if cells and all(cell.text == "not drawn" for cell in cells)]
    if never:
        found["ops that were not drawn in any program"] = never
    for op, cells in op_rows(data):
        for role, cell in zip(roles, cells, strict=True):
            if cell.text in ("ruled out", "not placed"):
                told = "features rule out" if cell.text == "ruled out" else "no plan placed there"
                found.setdefault(f"ops that {told}: {role}", []).append(op)
    for a, cells in pair_rows(data):
        for b, cell in zip(roles, cells, strict=True):
            if not cell.shade:
                found.setdefault(f"crossings {cell.text}", []).append(f"{a} to {b}")
    return [*[f"{reason}: {', '.join(names)}" for reason, names in found.items()], *boundary_lines(data)]
