"""A finding as the Markdown of an issue: what a maintainer asks for first, folded at the end what else there is.

The order is that of PyTorch's and JAX's own forms: what is wrong, how to reproduce it, expected and got, versions.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from offload_fuzz import __version__
from offload_fuzz.case import Case, device_name
from offload_fuzz.plan import describe
from offload_fuzz.report.block import finding_block, program_lines

#: Bytes that an issue has at most; GitHub takes 65,536 characters.
LIMIT = 60_000
#: Packages whose version is named, by adapter.
PACKAGES = {"torch": ("torch",), "jax": ("jax", "jaxlib"), "array_api": ("array-api-compat",)}


def issue(case: Case, finding: Mapping[str, Any], script: str, filename: str, case_text: str, path: str) -> str:
    """The Markdown, under `LIMIT` bytes: a fold that does not fit says so instead.

    script: its text, "" where there is none; filename: what it is to be called; case_text, path: of the case's file.
    """
    parts = [
        f"# {title(case, finding)}",
        summary(case, finding),
        "## Program",
        "Each node with the place where it runs:",
        fenced("\n".join(program_lines(case, finding.get("divergent")))),
        fenced(mermaid(case, finding.get("divergent")), "mermaid"),
        "## Expected and got",
        table(("", "value (bits)"), [("expected", finding.get("expected", "")), ("got", finding.get("got", ""))]),
        *([f"What came is {code(str(finding['damage']))}."] if finding.get("damage") else []),
        *([f"Rule: {code(str(finding['rule']))}."] if finding.get("rule") else []),
        *(["What should come, from the inputs on:\n" + "\n".join(chain)] if (chain := because(finding)) else []),
        "## What it needs",
        needs(case, finding),
        "## Versions",
        table(("", "version"), environment(case, finding)),
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


def environment(case: Case, finding: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Versions of this process, and of the one that found it where they differ."""
    rows = [("Python", platform.python_version()), ("NumPy", np.__version__)]
    for kind in dict.fromkeys(spec.split(":")[0].split(".")[0] for spec in case.devices):
        rows += [(package, _version(package)) for package in PACKAGES.get(kind, ())]
    rows += [("system", f"{platform.system()} {platform.machine()}"), ("CPU", _cpu())]
    rows += [(f"device d{i}", spec) for i, spec in enumerate(case.devices)]
    stored = finding.get("environment") or {}
    now = {"python": platform.python_version(), "numpy": np.__version__}
    other = [f"{name} {stored[name]}" for name, here in now.items() if stored.get(name, here) != here]
    return [*rows, *([("found with", ", ".join(other))] if other else [])]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _cpu() -> str:
    """The name of the processor, as the system gives it."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").split("\n"):
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def replay(case: Case, path: str, filename: str) -> str:
    """How to run it again: by the script alone, or by offload-fuzz."""
    name = Path(path).name
    command = [line.strip() for line in finding_block(case, {}, name).split("\n") if "offload-fuzz replay" in line]
    lines = [c.removeprefix("replay").strip() for c in command]
    if filename:
        lines = [f"python {filename}    # exit 1: it fails; 0: it does not", *lines]
    return fenced("\n".join(lines), "sh")
