"""The block of text that shows one finding: what is wrong, the program, what it needs, and how to run it again."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from offload_fuzz.adapters.resolve import is_code
from offload_fuzz.case import Case, device_name
from offload_fuzz.finding.rate import rate_text
from offload_fuzz.ops.base import OPS
from offload_fuzz.plan import Plan, describe
from offload_fuzz.program import Program
from offload_fuzz.text import elements, print_program
from offload_fuzz.types import Array, is_floating, type_of

MARK = "first divergence"
#: Elements of an input that are shown.
SHOWN = 8


def finding_block(
    case: Case, known: Mapping[str, Any], path: str | None = None, options: Sequence[str] = (), count: int = 1
) -> str:
    """A finding as text, without a newline at its end.

    known: what is stored of the failure, or as much of it as there is. path: of its file, named in the command that
    replays it, with `options` of the run that the replay needs as well. count: how often it came up.
    """
    lines = [_title(known, count), f"  {known.get('message', '')}"]
    lines += _rows(("claim", known.get("claim")), ("rule", known.get("rule")))
    lines += ["", *(f"  {line}" for line in program_lines(case, known.get("divergent"))), ""]
    lines += _labelled("inputs", input_lines(case))
    lines += _rows(("expected", known.get("expected")), ("got", known.get("got")), ("damage", known.get("damage")))
    lines += _labelled("because", [str(line) for line in known.get("chain") or ()])
    lines += _labelled("needs" if known.get("needs") else "choices", _needs(case, known))
    lines += _rows(("passes", f"the same with {known['nearest']}" if known.get("nearest") else ""))
    lines += _rows(("diverges", known.get("seen")))
    if case.control is not None:
        lines += _labelled("control", _control(case.program, case.control))
    lines += _labelled("devices", [f"d{i} = {name}" for i, name in enumerate(case.devices)])
    lines += _rows(("failed", _failed(known)), ("seed", _origin(known)))
    if path is not None:
        lines += _labelled("replay", replay_commands(case, path, options))
    return "\n".join(lines)


# ------------------------------------------------------------------------------------------------------------ parts
def _title(known: Mapping[str, Any], count: int) -> str:
    times = f" (came up {count} times)" if count > 1 else ""
    return f"{known.get('id', 'counterexample')}  {known.get('kind', '')}{times}".rstrip()


def program_lines(case: Case, divergent: int | None = None) -> list[str]:
    """The program with each node's placement, the first divergent one marked."""

    def note(v: int) -> str:
        name = device_name(case, case.plan.get("device", v))
        return f"{name}   <- {MARK}" if v == divergent else name

    return print_program(case.program, note=note).split("\n")


def input_lines(case: Case) -> list[str]:
    """`v0 = 1, 1`, for each input its first elements."""
    return [f"v{v} = {_data(x)}" for v, x in enumerate(case.program.inputs)]


def _data(x: Array) -> str:
    """The first elements, short where the short form is exact."""
    flat = x.reshape(-1)
    shown = [_element(x, i) for i in range(min(flat.size, SHOWN))]
    more = f", ... ({flat.size} elements)" if flat.size > SHOWN else ""
    return f"{', '.join(shown)}{more}" if flat.size else "no elements"


def _element(x: Array, i: int) -> str:
    value = x.reshape(-1)[i : i + 1]
    exact = elements(value)[0]
    if not is_floating(type_of(x).dtype):
        return str(exact)
    if isinstance(exact, str) and exact.startswith("nan"):
        return exact
    short = f"{float(value[0]):.6g}"
    return short if float(value[0]) == float(short) else str(exact)


def choices_of(case: Case, known: Mapping[str, Any]) -> list[dict[str, Any]]:
    """phrase and passes_when_plain of each choice that is not plain; the latter is None where nobody tried."""
    choices = [describe(case.program, key, choice) for key, choice in case.plan.non_plain()]
    return list(known.get("needs") or [{"phrase": c, "passes_when_plain": None} for c in choices])


def _needs(case: Case, known: Mapping[str, Any]) -> list[str]:
    """The choices that are not plain, where they were diagnosed each with what came of turning it alone plain."""
    found = choices_of(case, known)
    width = max((len(n["phrase"]) for n in found), default=0)
    told = {True: "turning it plain makes it pass", False: "still fails without it"}
    lines = [
        n["phrase"]
        if n["passes_when_plain"] is None
        else f"{n['phrase'].ljust(width)}   {told[n['passes_when_plain']]}"
        for n in found
    ]
    return lines or ["none: the plan is plain"]


def verdict_of(tried: Mapping[str, Any]) -> str:
    """`fails 3 of 3`, `passes 1 run`; of several runs that one was enough to fail in, `fails at run 4`."""
    failures, runs = tried["failures"], tried["runs"]
    if tried["outcome"] == "passes":
        return f"passes {runs} {'run' if runs == 1 else 'runs'}"
    return f"fails at run {runs}" if failures == 1 and runs > 1 else f"fails {failures} of {runs}"


def _control(program: Program, control: Plan) -> list[str]:
    choices = [describe(program, key, choice) for key, choice in control.non_plain()]
    return choices or ["the plain plan, everything on the host"]


def _failed(known: Mapping[str, Any]) -> str:
    failures, repeats = known.get("failures"), known.get("repeats")
    if not repeats:
        return "once; not run again, as the time was up" if repeats == 0 else ""
    text = f"{failures} of {repeats} runs"
    if failures == repeats or type(failures) is not int or type(repeats) is not int:
        return text
    if (attempts := known.get("attempts", 1)) > 1:
        return f"{text}: flaky, {rate_text(failures, repeats)}; what is smaller passed {attempts} runs"
    return f"{text}: flaky"


def _origin(known: Mapping[str, Any]) -> str:
    origin = known.get("origin") or {}
    if "seed" not in origin:
        return ""
    text = f"{origin['seed']}, unit {origin.get('unit')}, program {origin.get('program')}"
    if known.get("executions") and "choices" in origin:
        text += f"; shrunk from {origin.get('nodes')} nodes and {origin['choices']} choices"
        text += f" by {known['executions']} executions"
    return text


def replay_commands(case: Case, path: str, options: Sequence[str]) -> list[str]:
    """The command that replays the case in a file, and below it what else it could do."""
    command = " ".join(["offload-fuzz", "replay", shlex.quote(path), *map(shlex.quote, options)])
    command += "".join(f" --device d{i}={shlex.quote(s)}" for i, s in enumerate(case.devices) if is_code(s))
    if any(OPS[n.op].custom for n in case.program.nodes) and "--load" not in options:
        command += " --load FILE"
    lines = [command]
    if case.devices:
        lines.append("--device d0=NAME runs it on another device")
    return lines


# ----------------------------------------------------------------------------------------------------------- layout
def _rows(*rows: tuple[str, Any]) -> list[str]:
    return [line for label, text in rows if text for line in _labelled(label, [str(text)])]


def _labelled(label: str, texts: Sequence[str]) -> list[str]:
    """Lines under one label."""
    return [f"  {label if i == 0 else '':<9} {text}" for i, text in enumerate(texts)]
