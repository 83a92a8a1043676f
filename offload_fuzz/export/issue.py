"""A finding as the Markdown of an issue: what a maintainer asks for first, folded at the end what else there is.

The order is that of PyTorch's and JAX's own forms: what is wrong, how to reproduce it, expected and got, versions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from offload_fuzz import __version__
from offload_fuzz.case import Case, device_name
from offload_fuzz.export.machine import environment
from offload_fuzz.plan import describe
from offload_fuzz.report.block import finding_block, program_lines

#: Bytes that an issue has at most; GitHub takes 65,536 characters.
LIMIT = 60_000
#: Lines of the failing calls, and characters of what the script prints, that stand unfolded.
CALLS, PRINTED = 60, 3000


def issue(
    case: Case,
    finding: Mapping[str, Any],
    script: str,
    filename: str,
    case_text: str,
    path: str,
    printed: str = "",
) -> str:
    """The Markdown, under `LIMIT` bytes: a fold that does not fit says so instead.

    script: its text, "" where there is none; filename: what it is to be called; case_text, path: of the case's file;
    printed: what the script printed here.
    """
    parts = [
        f"# {title(case, finding)}",
        summary(case, finding),
        "## To reproduce",
        *reproduce(script, filename, printed),
        "## Expected and got",
        table(("", "value (bits)"), [("expected", finding.get("expected", "")), ("got", finding.get("got", ""))]),
        *([f"What came is {code(str(finding['damage']))}."] if finding.get("damage") else []),
        *([f"Rule: {code(str(finding['rule']))}."] if finding.get("rule") else []),
        *(["What should come, from the inputs on:\n" + "\n".join(chain)] if (chain := because(finding)) else []),
        "## What it needs",
        needs(case, finding),
        "## Versions",
        table(("", "version"), environment(case.devices, finding)),
        "## Since when",
        since(filename if script else ""),
        "## Program",
        "Each node with the place where it runs:",
        fenced("\n".join(program_lines(case, finding.get("divergent")))),
        fenced(mermaid(case, finding.get("divergent")), "mermaid"),
        "## Replay",
        replay(case, path, filename if script else ""),
    ]
    text = "\n\n".join(parts)
    for name, body, kind in ((filename, script, "python"), (Path(path).name, case_text, "json")):
        if not body:
            continue
        fold = f"<details>\n<summary>{escaped(name)}</summary>\n\n{fenced(body.rstrip(), kind)}\n\n</details>"
        if len(f"{text}\n\n{fold}\n".encode()) > LIMIT:
            fold = f"{code(name)} has {len(body.encode()):,} bytes, too many for an issue; it is to be attached."
        text += f"\n\n{fold}"
    return f"{text}\n\nFound and written by offload-fuzz {__version__}.\n"


# ------------------------------------------------------------------------------------------------------------- escape
def code(text: str) -> str:
    """Text as a code span in one line, whatever backticks it has."""
    text = " ".join(text.split())
    ticks = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{ticks}{pad}{text}{pad}{ticks}" if text else ""


def fenced(text: str, kind: str = "text") -> str:
    """Text as a block of code, its fence longer than any within."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence}{kind}\n{text}\n{fence}"


def escaped(text: str) -> str:
    """Text that is nothing but text in Markdown and HTML."""
    text = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|#@])", lambda m: f"&#{ord(m[1])};" if m[1] in "@#" else f"\\{m[1]}", text)


def table(head: Sequence[str], rows: Sequence[tuple[str, str]]) -> str:
    """A table of code; a bar within a cell is escaped, which code spans of tables need too."""
    lines = [f"| {' | '.join(head)} |", "|---|---|"]
    return "\n".join([*lines, *(f"| {a} | {code(str(b)).replace('|', chr(92) + '|')} |" for a, b in rows)])


# -------------------------------------------------------------------------------------------------------------- parts
def title(case: Case, finding: Mapping[str, Any]) -> str:
    """`fmod on torch:cpu: wrong value`."""
    at = finding.get("divergent")
    node = case.program.node_of(at) if at is not None else None
    node = node or (case.program.nodes[-1] if case.program.nodes else None)
    where = device_name(case, case.plan.get("device", at)) if at is not None else ", ".join(case.devices) or "the host"
    what = f"{node.op} of {node.type.dtype} on {where}" if node else where
    return f"{escaped(what)}: {escaped(str(finding.get('kind', 'a case')))}"[:200]


def summary(case: Case, finding: Mapping[str, Any]) -> str:
    """Two sentences: what is wrong, and where the same program is right."""
    wrong = code(str(finding.get("message", ""))[:600]) or "The program below fails"
    passing = [n["phrase"] for n in finding.get("needs") or [] if n["passes_when_plain"]]
    right = "NumPy on the host gives what is expected."
    if passing:
        right = f"Without {' or '.join(code(_named(case, p)) for p in passing)} the same program is right."
    return f"{wrong}. {right}"


def _named(case: Case, phrase: str) -> str:
    """A phrase with the device's name in place of its role."""
    return re.sub(r"\bon d(\d)\Z", lambda m: f"on {case.devices[int(m[1])]}", phrase)


def reproduce(script: str, filename: str, printed: str) -> list[str]:
    """The calls that fail, as the script makes them, and what it printed; the whole of it is in a fold below."""
    if not script:
        return ["There is no script of the backend's own calls: replay the case file, below."]
    calls = failing_calls(script)
    parts = [f"The failing calls; all of {code(filename)} is folded below:", fenced(calls, "python")]
    parts = parts if calls else [f"Run {code(filename)}, which is folded below."]
    if printed:
        parts += ["It printed here:", fenced(_shortened(printed.rstrip()))]
    return parts


def _shortened(text: str) -> str:
    """The first and the last lines of a text that is too long."""
    half = PRINTED // 2
    head, tail = text[:half].rpartition("\n")[0] or text[:half], text[-half:].partition("\n")[2] or text[-half:]
    return text if len(text) <= PRINTED else f"{head}\n...\n{tail}"


def failing_calls(script: str) -> str:
    """The inputs and the failing plan of a script, where they are short enough to be read."""
    found = [re.search(rf"^def {name}\(.*?(?=^\S|\Z)", script, re.M | re.S) for name in ("inputs", "failing_plan")]
    text = "\n\n".join(match[0].strip() for match in found if match)
    return text if text and text.count("\n") < CALLS and len(text) < PRINTED else ""


def since(filename: str) -> str:
    """How to find where it began: nobody has looked."""
    if not filename:
        return "Not known: no other version was tried."
    command = fenced(f"git bisect run python {filename} --bisect    # 0: good, 1: bad, 125: cannot be told", "sh")
    return f"Not known: no other version was tried. The script is fit to find it:\n\n{command}"


def needs(case: Case, finding: Mapping[str, Any]) -> str:
    """The choices of the plan that are not plain, as a list."""
    found = finding.get("needs") or []
    lines = [
        f"- {code(_named(case, n['phrase']))}: "
        + ("turning it plain makes it pass" if n["passes_when_plain"] else "still fails without it")
        for n in found
    ]
    if not found:
        lines = [
            f"- {code(_named(case, describe(case.program, key, choice)))}" for key, choice in case.plan.non_plain()
        ]
    lines = lines or ["- nothing: the plan is the plain one"]
    if case.control is not None:
        control = [describe(case.program, key, choice) for key, choice in case.control.non_plain()]
        lines.append(f"- another answer than under the plan {code('; '.join(control) or 'everything on the host')}")
    if finding.get("nearest"):
        lines.append(f"- the same with {code(_named(case, str(finding['nearest'])))} passes")
    if finding.get("repeats"):
        lines.append(f"- it failed in {finding.get('failures')} of {finding['repeats']} runs")
    return "\n".join(lines)


def because(finding: Mapping[str, Any]) -> list[str]:
    """By which rules the right value is what it is, as a list."""
    return [f"- {code(str(line))}" for line in finding.get("chain") or ()]


def mermaid(case: Case, divergent: int | None) -> str:
    """The program as a graph, its places as boxes, the choices of operands on the edges."""
    program, plan = case.program, case.plan
    lines = ["graph TD"]
    boxes: dict[int, list[str]] = {}
    for v, x in enumerate(program.types[: len(program.inputs)]):
        boxes.setdefault(0, []).append(f'v{v}(["v{v}: {_label(str(x))}"])')
    for v, node in program.numbered():
        text = f"v{v}: {node.type}<br/>{_label(node.op)}".replace(f"{node.type}", _label(str(node.type)))
        boxes.setdefault(plan.get("device", v), []).append(f'v{v}["{text}"]')
    for role, nodes in sorted(boxes.items()):
        lines += [f'  subgraph p{role}["{_label(device_name(case, role))}"]', *(f"    {n}" for n in nodes), "  end"]
    for v, node in program.numbered():
        for k, o in enumerate(node.operands):
            choices = [str(c) if not isinstance(c, bool) else name for (name, site), c in plan.non_plain()
                       if site == (v, k)]  # fmt: skip  # one list
            lines.append(f"  v{o} -->{f'|{_label(chr(44).join(choices))}|' if choices else ''} v{v}")
    for k, v in enumerate(program.outputs):
        lines.append(f"  v{v} --> r{k}([return])")
    if divergent is not None:
        lines.append(f"  style v{divergent} stroke:#d00,stroke-width:3px")
    return "\n".join(lines)


def _label(text: str) -> str:
    """Text within quotes of a Mermaid label: its own marks as entities."""
    return re.sub(r"[^\w .,:+/()-]", lambda m: f"#{ord(m[0])};", " ".join(text.split()))


def replay(case: Case, path: str, filename: str) -> str:
    """How to run it again: by the script alone, or by offload-fuzz."""
    name = Path(path).name
    command = [line.strip() for line in finding_block(case, {}, name).split("\n") if "offload-fuzz replay" in line]
    lines = [c.removeprefix("replay").strip() for c in command]
    if filename:
        lines = [f"python {filename}    # exit 1: it fails; 0: it does not", *lines]
    return fenced("\n".join(lines), "sh")
