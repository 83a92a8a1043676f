"""Where the lanes, boxes, arrows and labels of a swim-lane picture stand; the page's template draws them."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

LANE, BOX, LEFT = 280, 232, 24
HEAD, GAP, LINE, PAD = 40, 30, 16, 10
#: Characters of 12 px that fit into a box, and of a label above it.
BOX_CHARS, LABEL_CHARS = 29, 34
CORNER = 12


def picture(graph: Mapping[str, Any]) -> dict[str, Any]:
    """width, height; lanes, boxes, arrows and labels with their places, in pixels.

    One lane a place, side by side; one row a value, in the order of the program, so that nothing covers anything.
    Labels of the arrows into a box stand in lines above it.
    """
    lanes = {lane["role"]: LANE * i for i, lane in enumerate(graph["lanes"])}
    incoming: dict[int, list[str]] = {node["value"]: [] for node in graph["nodes"]}
    for edge in graph["edges"]:
        if text := ", ".join(filter(None, [edge["transfer"], *edge["choices"]])):
            incoming[edge["to"]] += textwrap.wrap(f"v{edge['from']}: {text}", LABEL_CHARS)
    boxes: dict[int, dict[str, Any]] = {}
    labels = []
    y = HEAD
    for node in graph["nodes"]:
        x = lanes[node["role"]] + LEFT
        row, y = y, y + GAP
        for text in incoming[node["value"]]:
            labels.append({"x": x + BOX // 2, "y": y, "text": text})
            y += LINE
        y += 2 if incoming[node["value"]] else 0
        boxes[node["value"]] = _box(node, x, y, row)
        y += boxes[node["value"]]["height"]
    return {
        "width": LANE * len(lanes),
        "height": y + GAP,
        "lanes": [
            {"x": lanes[p["role"]], "width": LANE, "role": p["role"], "device": p["device"]} for p in graph["lanes"]
        ],
        "boxes": list(boxes.values()),
        "arrows": [_arrow(edge, boxes) for edge in graph["edges"]],
        "labels": labels,
    }


def _box(node: Mapping[str, Any], x: int, y: int, row: int) -> dict[str, Any]:
    texts = [node["title"], node["type"], *node["choices"]]
    lines = [_cut(text) for text in texts if text]
    lines += ["\u25c6 first divergence"] if node["divergent"] else []
    height = LINE * len(lines) + 2 * PAD - 2
    return {
        "x": x,
        "y": y,
        "row": row,
        "width": BOX,
        "height": height,
        "kind": node["kind"],
        "divergent": node["divergent"],
        "outline": _octagon(x, y, BOX, height),
        "round": 4 if node["kind"] == "node" else height // 2,
        "full": "; ".join(filter(None, texts)),
        "lines": [{"y": y + PAD + LINE * i + 10, "text": text} for i, text in enumerate(lines)],
    }


def _cut(text: str) -> str:
    return text if len(text) <= BOX_CHARS else f"{text[: BOX_CHARS - 1]}\u2026"


def _octagon(x: int, y: int, width: int, height: int) -> str:
    """The points of a box with its corners cut off."""
    c, right, bottom = CORNER, x + width, y + height
    return " ".join(
        f"{a},{b}"
        for a, b in (
            (x + c, y), (right - c, y), (right, y + c), (right, bottom - c),
            (right - c, bottom), (x + c, bottom), (x, bottom - c), (x, y + c),
        )
    )  # fmt: skip  # corners


def _arrow(edge: Mapping[str, Any], boxes: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    """A path from side to side: across the lanes, or within one round the boxes that may stand between.

    Over several lanes it runs above the row of its target, where no lane has a box.
    """
    a, b = boxes[edge["from"]], boxes[edge["to"]]
    y1, y2 = a["y"] + a["height"] // 2, b["y"] + min(12 + 9 * edge["operand"], b["height"] - 5)
    if a["x"] == b["x"]:
        x = a["x"] + BOX
        path = f"M{x},{y1} C{x + 22},{y1} {x + 22},{y2} {x},{y2}"
    else:
        way = 1 if b["x"] > a["x"] else -1
        x1, x2 = (a["x"] + BOX, b["x"]) if way == 1 else (a["x"], b["x"] + BOX)
        if abs(x2 - x1) < LANE:
            path = f"M{x1},{y1} C{2 * x2 - x1},{y1} {2 * x1 - x2},{y2} {x2},{y2}"
        else:
            row, side = b["row"] + 8 + 5 * (edge["operand"] % 4), way * (10 + 4 * (edge["operand"] % 4))
            path = f"M{x1},{y1} L{x1 + side},{y1} L{x1 + side},{row} L{x2 - side},{row} L{x2 - side},{y2} L{x2},{y2}"
    return {"path": path, "crosses": edge["crosses"], "async": edge["transfer"].endswith("async")}
