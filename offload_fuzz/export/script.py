"""A case as one readable Python file that needs NumPy and the backend, not offload-fuzz."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from attrs import frozen

from offload_fuzz import __version__
from offload_fuzz import schedule as s
from offload_fuzz.adapters.pool import open_places
from offload_fuzz.case import Case, case_text, device_name
from offload_fuzz.device import Place
from offload_fuzz.enclosure import Enclosure, parts
from offload_fuzz.errors import UsageError
from offload_fuzz.export import runner
from offload_fuzz.export.data import array_lines
from offload_fuzz.export.dialects import Dialect, Protocolled
from offload_fuzz.export.jax_dialect import Jax
from offload_fuzz.export.numpy_ops import helpers
from offload_fuzz.export.plans import docstring, plan_function
from offload_fuzz.export.torch_dialect import Torch
from offload_fuzz.export.trace import Untraceable
from offload_fuzz.issuing import check_support
from offload_fuzz.lower import lower
from offload_fuzz.plan import PLAIN, Plan, describe
from offload_fuzz.reference import evaluate_program, quiet
from offload_fuzz.trial import new_trial
from offload_fuzz.types import is_complex

#: Plans that a script has at most, beside the failing one.
CONTROLS = 12
#: Adapters whose backend has words of its own.
DIALECTS: dict[str, Callable[[int, Place], Dialect]] = {"torch": Torch, "jax": Jax}
PARTS = ("lo", "hi", "lo2", "hi2", "nan", "ninf", "pinf")


@frozen
class Variant:
    """A plan of the script: its function, what it is in words, and whether it is the case's control."""

    function: str
    words: str
    plan: Plan
    control: bool = False


def variants(case: Case) -> list[Variant]:
    """The failing plan, the plain one, the case's control, and the failing plan with each choice turned plain."""
    found = [Variant("failing_plan", f"failing plan: {placements(case, case.plan)}", case.plan)]
    if case.control is not None:
        found.append(Variant("control_plan", f"control plan: {placements(case, case.control)}", case.control, True))
    found.append(Variant("plain_plan", "plain plan: everything on the host", PLAIN))
    for n, (key, choice) in enumerate(case.plan.non_plain(), 1):
        if key[0] != "readback":
            words = f"failing plan without '{_phrase(case, key, choice)}'"
            found.append(Variant(f"without_choice_{n}", words, case.plan.without(key)))
    kept: list[Variant] = []
    for v in found:
        if all(v.plan.choices != other.plan.choices for other in kept):
            kept.append(v)
    return kept[: 1 + CONTROLS]


def _phrase(case: Case, key: Any, choice: Any) -> str:
    if key[0] == "device":
        return f"v{key[1][0]} on {device_name(case, choice)}"
    return describe(case.program, key, choice)


def placements(case: Case, plan: Plan) -> str:
    """Which node runs where, in words."""
    where: dict[str, list[str]] = {}
    for v, _ in case.program.numbered():
        where.setdefault(device_name(case, plan.get("device", v)), []).append(f"v{v}")
    return "; ".join(f"{', '.join(values)} on {name}" for name, values in where.items()) or "no nodes"


def script(case: Case, finding: Mapping[str, Any], filename: str) -> str:
    """The text of the script of `case`, called `filename`; `finding`: what is stored of the failure.

    Raises `MissingDevice` or `UsageError` where the devices cannot be opened, `Untraceable` (a `UsageError`) for an op
    that nothing can be written for.
    """
    places = open_places(case.devices)
    trial = new_trial(case.program, places)
    with quiet():
        values = trial.values if trial.values is not None else evaluate_program(case.program, trial.contract)
    expected = case.expected
    if expected is None:
        expected = tuple(values[v].enclosure for v in case.program.outputs)
    dialects = {
        role: DIALECTS.get(places[role].spec.split(":")[0], Protocolled)(role, places[role])
        for role in range(1, len(places))
    }
    functions: list[list[str]] = []
    rows: list[str] = []
    host_ops: dict[str, None] = {}
    used: set[int] = set()
    for variant in variants(case):
        try:
            check_support(case.program, variant.plan, places)
            schedule = lower(case.program, variant.plan, places)
            function = plan_function(
                variant.function, variant.words, case, variant.plan, schedule, places, dialects, values
            )
        except (Untraceable, UsageError) as error:
            if variant.function == "failing_plan":
                raise
            rows.append(f"    # not here: {variant.words}: {' '.join(str(error).split())}")
            continue
        functions.append(function)
        host_ops |= {c.op: None for c in schedule.commands if isinstance(c, s.Launch) and not c.place}
        used |= {c.place for c in schedule.commands if isinstance(c, s.Upload | s.Launch | s.LaunchCompiled)}
        repeats = variant.plan.get("repeat")
        rows.append(f"    ({variant.words!r}, {variant.function}, {repeats}),")
    roles = sorted(used - {0})
    openings = [dialects[r].opening() for r in roles]
    return _Assembly(case, finding, filename).text(openings, functions, rows, helpers([*host_ops]), expected)


class _Assembly:
    """The parts of the file put together."""

    def __init__(self, case: Case, finding: Mapping[str, Any], filename: str) -> None:
        self.case, self.finding, self.filename = case, finding, filename

    def text(
        self,
        openings: Sequence[Any],
        functions: Sequence[Sequence[str]],
        rows: Sequence[str],
        host_helpers: Sequence[str],
        expected: Sequence[Enclosure | None],
    ) -> str:
        body = "\n\n\n".join(
            part.strip("\n")
            for part in [
                *dict.fromkeys(h for o in openings for h in o.helpers if self._needed(h, functions, openings)),
                *([runner.HOST_MEMORY] if any("host_memory(" in line for f in functions for line in f) else []),
                *([runner.ACROSS_PAGES] if any("across_pages(" in line for f in functions for line in f) else []),
                *host_helpers,
                "\n".join(self.opening(openings)),
                "\n".join(self.inputs()),
                "\n".join(self.expected(expected)),
                *["\n".join(f) for f in functions],
                "\n".join(["#: What is run: in words, as a function, how often.", "PLANS = [", *rows, "]"]),
                runner.LAWFUL if any(e is not None and not e.is_singleton for e in expected) else runner.SAME,
                runner.text(self.raised, self.disagree, self.dies),
            ]
        )
        return "\n".join([*self.head(openings, body), "", "", body, ""])

    @property
    def kind(self) -> str:
        return str(self.finding.get("kind", ""))

    @property
    def raised(self) -> bool:
        return self.kind == "raised"

    @property
    def disagree(self) -> bool:
        return self.case.control is not None

    @property
    def dies(self) -> bool:
        return self.kind in ("crash", "hang")

    @staticmethod
    def _needed(helper: str, functions: Sequence[Sequence[str]], openings: Sequence[Any]) -> bool:
        name = helper.split("def ")[1].split("(")[0]
        lines = [line for f in functions for line in f] + [line for o in openings for line in o.setup]
        return any((f"{name}(" in line and f".{name}(" not in line) or f"={name})" in line for line in lines)

    def head(self, openings: Sequence[Any], body: str) -> list[str]:
        """The docstring and the imports."""
        needs = dict.fromkeys(["NumPy", *(o.needs for o in openings)])
        if "ml_dtypes." in body:
            needs["ml_dtypes (narrow dtypes for NumPy)"] = None
        title = f"{self.finding.get('id', 'counterexample')}: {self.kind or 'a case'}".rstrip(": ")
        devices = ", ".join(self.case.devices) or "the host"
        lines = [f"{title} [{devices}]", ""]
        if self.finding.get("message"):
            lines += [*textwrap.wrap(str(self.finding["message"]), 112), ""]
        lines += case_text(self.case).split("\n")
        lines += [
            "",
            f"    python {self.filename}",
            f"    git bisect run python {self.filename} --bisect",
            "",
            "Exit codes: 1 it fails, 0 it does not, 3 something else is raised, 4 device or library missing;",
            "with --bisect 125, which `git bisect run` skips, for 3 and 4.",
            "",
            f"It needs {' and '.join(needs)}. Written by offload-fuzz {__version__}.",
        ]
        uses = {"base64": "base64.", "zlib": "zlib.", "math": "math.", "importlib": "importlib.import_module",
                "importlib.util": "importlib.util.", "os": "os.", "subprocess": "subprocess.",
                "warnings": "warnings."}  # fmt: skip  # module: what its use looks like
        modules = sorted(["sys", *(m for m, mark in uses.items() if mark in body)])
        imports = [f"import {m}" for m in modules]
        if "Path(" in body:
            imports.append("from pathlib import Path")
        third = ["import numpy as np", *(["import ml_dtypes"] if "ml_dtypes." in body else [])]
        return ["#!/usr/bin/env python3", *docstring("\n".join(lines)), *imports, "", *_guarded(third)]

    def opening(self, openings: Sequence[Any]) -> list[str]:
        """The backends are imported and the devices opened, or the script ends with 4."""
        lines = [line for o in openings for line in o.imports] + [line for o in openings for line in o.setup]
        return _guarded([*dict.fromkeys(lines)]) if lines else ["# no device: everything runs on the host"]

    def inputs(self) -> list[str]:
        program = self.case.program
        lines = [line for v, x in enumerate(program.inputs) for line in array_lines(f"v{v}", x)]
        names = ", ".join(f"v{v}" for v in range(len(program.inputs)))
        doc = '"""The inputs of the program, bit by bit."""'
        return ["def inputs():", *[f"    {line}" for line in [doc, *lines, f"return [{names}]"]]]

    def expected(self, expected: Sequence[Enclosure | None]) -> list[str]:
        program = self.case.program
        lines = ['"""Per output: its name, dtype, shape; and what it may be: lo to hi, lo2 to hi2, or what is true."""']
        entries = []
        for k, (v, e) in enumerate(zip(program.outputs, expected, strict=True)):
            t = program.types[v]
            if e is None:
                entries.append(f"({f'v{v}'!r}, {t.dtype!r}, {t.shape}, None)")
                continue
            e = parts(e) if is_complex(t.dtype) else e
            given = [p for p in PARTS if getattr(e, p) is not None and not (p == "hi" and e.is_singleton)]
            for p in given:
                lines += array_lines(f"{p}_{k}", getattr(e, p))
            named = ", ".join(f"{p}={p}_{k}" for p in given)
            entries.append(f"({f'v{v}'!r}, {t.dtype!r}, {t.shape}, dict({named}))")
        return ["def expected():", *[f"    {x}" for x in [*lines, "return [", *[f"    {e}," for e in entries], "]"]]]


def _guarded(lines: Sequence[str]) -> list[str]:
    return [
        "try:",
        *[f"    {line}" for line in lines],
        "except Exception as error:  # whatever a backend raises that is not there",
        '    print(f"device or library missing: {type(error).__name__}: {error}")',
        '    sys.exit(125 if "--bisect" in sys.argv else 4)',
    ]
