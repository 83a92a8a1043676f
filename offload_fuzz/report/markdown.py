"""Markdown with Mermaid graphs, as hosts of continuous integration show it in a job's summary."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from offload_fuzz.report.block import verdict_of
from offload_fuzz.report.gaps import gap_lines
from offload_fuzz.untrusted import cut

#: Bytes that are written. A job summary of GitHub Actions holds 1 MiB a step; the rest is for what others write there.
MOST_BYTES = 900_000
#: A graph of more boxes is left out: hosts refuse Mermaid texts of more than 50,000 characters or 500 edges.
MOST_BOXES, MOST_ARROWS = 150, 400
#: Choices that have a column each in the table of plans.
MOST_COLUMNS = 12
#: Names of one kind of gap that are listed.
MOST_NAMES = 40
#: Findings that do not fail the run, of which each has a line.
MOST_EXCUSED = 100
MARKUP = re.compile(r"([\\`*_\[\]<>|~#])")
ENTITIES = {ord(c): f"#{ord(c)};" for c in '"#&<>`\\'} | {ord(c): " " for c in "\r\n\t"}


def render(data: Mapping[str, Any]) -> str:
    """The text of report.md, less than 1 MiB whatever the findings are."""
    parts = [_head(data), *_excused(data)]
    left = MOST_BYTES - sum(map(_size, parts))
    out = 0
    for finding in [f for f in data["findings"] if not f["excuse"]]:
        section = next((s for s in (_section(finding), _short(finding)) if _size(s) <= left), None)
        if section is None:
            out += 1
        else:
            parts.append(section)
            left -= _size(section)
    if out:
        parts.append(
            f"{out:,} more {'finding is' if out == 1 else 'findings are'} in `report.json`: there was no room.\n"
        )
    return "\n".join([*parts, _gaps(data)])


def _size(text: str) -> int:
    return len(text.encode()) + 1


def plain(text: str) -> str:
    """`text` in one line, with nothing in it that Markdown or HTML reads as markup."""
    one = " ".join(text.split()).replace("&", "&amp;").replace("@", "&#64;")
    return MARKUP.sub(r"\\\1", one)


def fenced(text: str, language: str = "text") -> str:
    """`text` in a fence that is longer than any in it."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


# ------------------------------------------------------------------------------------------------------------ parts
def _head(data: Mapping[str, Any]) -> str:
    lines = ["# offload-fuzz", "", f"**Verdict:** {plain(data['verdict'])}", ""]
    lines += ["| count | how much was tried |", "|---|---|"]
    lines += [f"| {plain(row['label'])} | {plain(row['text'])} |" for row in data["summary"]]
    if data["commands"]["run"]:
        lines += ["", "The same again:", "", fenced(data["commands"]["run"], "sh")]
    return "\n".join(lines) + "\n"


def _excused(data: Mapping[str, Any]) -> list[str]:
    """The findings that do not fail the run, at most `MOST_EXCUSED` a line each."""
    found = [f for f in data["findings"] if f["excuse"]]
    lines = [f"- {plain(f['id'])}: {plain(f['kind'])}: {plain(cut(f['excuse']))}" for f in found[:MOST_EXCUSED]]
    if len(found) > MOST_EXCUSED:
        lines.append(f"- {len(found) - MOST_EXCUSED:,} more in `report.json`")
    return ["\n".join(["## Known issues", "", "They do not fail the run.", "", *lines]) + "\n"] if found else []


def _title(finding: Mapping[str, Any]) -> str:
    times = f" (came up {finding['count']:,} times)" if finding["count"] > 1 else ""
    head = f"## {plain(finding['id'])}: {plain(finding['kind'])}{times}"
    return f"{head}\n\n**What is wrong:** {plain(finding['message'])}\n"


def _short(finding: Mapping[str, Any]) -> str:
    return f"{_title(finding)}\nThere is no room for more: see `report.json`.\n"


def _section(finding: Mapping[str, Any]) -> str:
    lines = [_title(finding)]
    if (graph := mermaid(finding["graph"])) is not None:
        lines += [fenced(graph, "mermaid"), ""]
    if finding.get("plans") and len(finding["needs"]) <= MOST_COLUMNS:
        lines += [*_matrix(finding), ""]
    elif finding["needs"]:
        lines += ["| needs | turned plain |", "|---|---|"]
        lines += [f"| {plain(n['phrase'])} | {_told(n['passes_when_plain'])} |" for n in finding["needs"]]
        lines.append("")
    told = [("damage", finding.get("damage")), ("passes", finding.get("nearest"))]
    lines += [f"- {label}: {plain(text)}" for label, text in told if text]
    lines += [""] if any(text for _, text in told) else []
    if finding["commands"]["replay"]:
        lines += [fenced(finding["commands"]["replay"], "sh"), ""]
    lines += ["<details><summary>All that is known of it</summary>", "", fenced(finding["text"]), "", "</details>", ""]
    return "\n".join(lines)


def _matrix(finding: Mapping[str, Any]) -> list[str]:
    """The plans that were tried by the choices of the failing one, which are numbered, and what came of each."""
    numbers = range(1, len(finding["needs"]) + 1)
    lines = [f"{n}. {plain(need['phrase'])}" for n, need in zip(numbers, finding["needs"], strict=True)]
    lines += ["", f"| plan | {' | '.join(map(str, numbers))} | verdict |", f"|---|{'---|' * len(numbers)}---|"]
    for tried in finding["plans"]:
        cells = [f"{n}" if chosen else "plain" for n, chosen in zip(numbers, tried["chosen"], strict=False)]
        lines.append(f"| {plain(tried['plan'])} | {' | '.join(cells)} | {verdict_of(tried)} |")
    return lines if numbers else ["The plan is the plain one."]


def _told(passes: bool | None) -> str:
    return "not tried" if passes is None else "it passes" if passes else "it still fails"


def _gaps(data: Mapping[str, Any]) -> str:
    lines = []
    for line in gap_lines(data):
        reason, _, names = line.partition(": ")
        found = names.split(", ")
        more = f" and {len(found) - MOST_NAMES} more" if len(found) > MOST_NAMES else ""
        lines.append(f"- {plain(reason)}: {plain(', '.join(found[:MOST_NAMES]))}{more}")
    return "\n".join(["## Gaps", "", *(lines or ["None: every op ran on every place, every crossing was run."])]) + "\n"


# ------------------------------------------------------------------------------------------------------------ graph
def mermaid(graph: Mapping[str, Any]) -> str | None:
    """A flowchart with a subgraph for each place; None where it would be too large to be shown."""
    if len(graph["nodes"]) > MOST_BOXES or len(graph["edges"]) > MOST_ARROWS:
        return None
    lines = ["flowchart TB"]
    for lane in graph["lanes"]:
        lines.append(f'  subgraph lane_{lane["role"]}["{label(lane_text(lane))}"]')
        lines += [f"    {_box(node)}" for node in graph["nodes"] if node["role"] == lane["role"]]
        lines.append("  end")
    lines += [f"  {_arrow(edge)}" for edge in graph["edges"]]
    if graph["schedule"]:
        lines.append(f'  schedule>"{label("; ".join(graph["schedule"]))}"]')
    return "\n".join(lines)


def lane_text(lane: Mapping[str, Any]) -> str:
    """`host`, `d0 = torch:cpu`."""
    return lane["role"] if lane["role"] == lane["device"] else f"{lane['role']} = {lane['device']}"


def label(text: str) -> str:
    """`text` as it may stand in quotes in Mermaid, its markup as character codes."""
    return text.translate(ENTITIES)


def _box(node: Mapping[str, Any]) -> str:
    texts = [node["title"], node["type"], *node["choices"], "FIRST DIVERGENCE" if node["divergent"] else ""]
    inner = "<br/>".join(label(text) for text in texts if text)
    left, right = ("{{", "}}") if node["divergent"] else ("[", "]") if node["kind"] == "node" else ("([", "])")
    return f'v{node["value"]}{left}"{inner}"{right}'


def _arrow(edge: Mapping[str, Any]) -> str:
    line = "-->" if not edge["crosses"] else "-.->" if edge["transfer"].endswith("async") else "==>"
    text = "; ".join(filter(None, [edge["transfer"], *edge["choices"]]))
    told = f'|"{label(text)}"|' if text else ""
    return f"v{edge['from']} {line}{told} v{edge['to']}"
