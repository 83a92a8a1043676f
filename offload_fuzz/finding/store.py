"""Findings as data and on disk: `findings/ID.offload.json` in the state folder."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from attrs import frozen

from offload_fuzz.case import Case, dump_case
from offload_fuzz.errors import UsageError
from offload_fuzz.finding.diagnose import Diagnosis
from offload_fuzz.finding.identity import identity
from offload_fuzz.oracles import Verdict
from offload_fuzz.reference import evaluate_program, quiet
from offload_fuzz.trial import Trial

STATE = ".offload-fuzz"


@frozen(eq=False)
class Finding:
    """A shrunk failing case with its verdict and diagnosis."""

    id: str
    case: Case
    verdict: Mapping[str, Any]

    def text(self) -> str:
        """The text of its file."""
        return dump_case(self.case, {"id": self.id, **self.verdict})


def make_finding(case: Case, verdict: Verdict, diagnosis: Diagnosis, executions: int, origin: Mapping[str, Any]) -> Finding:
    """A finding from what shrinking and diagnosis gave; origin: seed, unit and sizes it came from."""
    known = {
        "kind": verdict.kind,
        "claim": verdict.claim,
        "message": verdict.message,
        "rule": verdict.rule,
        "expected": verdict.expected,
        "got": verdict.got,
        "divergent": diagnosis.divergent,
        "needs": [{"phrase": n.phrase, "passes_when_plain": n.passes} for n in diagnosis.needs],
        "failures": diagnosis.failures,
        "repeats": diagnosis.repeats,
        "executions": executions,
        "origin": dict(origin),
        "environment": environment(),
    }
    return Finding(identity(verdict.kind, case), case, known)


def environment() -> dict[str, str]:
    """What the result may depend on in this process."""
    from offload_fuzz import __version__

    return {
        "offload-fuzz": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "machine": platform.machine(),
        "system": platform.system(),
    }


def with_expected(case: Case, trial: Trial) -> Case:
    """The case with the enclosures of its outputs as the reference gives them now."""
    from attrs import evolve

    with quiet():
        values = evaluate_program(case.program, trial.contract)
    return evolve(case, expected=tuple(values[v].enclosure for v in case.program.outputs))


def state_folder(given: str | Path | None = None) -> Path:
    """The state folder, made with its own .gitignore; raises `UsageError` when it cannot be."""
    folder = Path(given) if given is not None else Path(STATE)
    try:
        (folder / "findings").mkdir(parents=True, exist_ok=True)
        ignore = folder / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"state folder {folder} cannot be written: {error.strerror}; give another with --report-dir") from None
    return folder


def write_finding(folder: Path, finding: Finding) -> Path:
    """Store a finding; returns its path."""
    path = folder / "findings" / f"{finding.id}.offload.json"
    path.write_text(finding.text(), encoding="utf-8")
    return path


def case_files(*where: str | Path) -> list[Path]:
    """The case files at paths, below folders, or of IDs in the state folder; raises `UsageError` for none there."""
    found: list[Path] = []
    for item in where:
        path = Path(item)
        stored = Path(STATE) / "findings" / f"{item}.offload.json"
        if path.is_dir():
            below: Sequence[Path] = sorted(path.rglob("*.offload.json"))
            if not below:
                raise UsageError(f"folder {item} holds no *.offload.json file; name a file, a folder or an ID")
            found.extend(below)
        elif path.is_file():
            found.append(path)
        elif stored.is_file():
            found.append(stored)
        else:
            raise UsageError(f"{item} is neither a file, a folder nor a stored ID; `offload-fuzz show` lists the IDs")
    return found
