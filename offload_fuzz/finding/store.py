"""Findings as data and on disk: `findings/ID.offload.json` in the state folder."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from attrs import frozen

from offload_fuzz.case import Case, dump_case
from offload_fuzz.errors import UsageError
from offload_fuzz.finding.diagnose import Diagnosis
from offload_fuzz.finding.identity import identity
from offload_fuzz.issuing import regions
from offload_fuzz.oracles import Verdict
from offload_fuzz.reference import evaluate_program, quiet
from offload_fuzz.trial import Trial

STATE = ".offload-fuzz"
FINDINGS = "findings"
SUFFIX = ".offload.json"


@frozen(eq=False)
class Finding:
    """A shrunk failing case with its verdict and diagnosis."""

    id: str
    case: Case
    verdict: Mapping[str, Any]

    def text(self) -> str:
        """The text of its file."""
        return dump_case(self.case, {"id": self.id, **self.verdict})


def verdict_json(verdict: Verdict) -> dict[str, Any]:
    """A verdict in the words of a stored finding."""
    return {
        "kind": verdict.kind,
        "claim": verdict.claim,
        "message": verdict.message,
        "rule": verdict.rule,
        "expected": verdict.expected,
        "got": verdict.got,
        "ulps": verdict.ulps,
        "divergent": verdict.value,
    }


def make_finding(
    case: Case, verdict: Verdict, diagnosis: Diagnosis, executions: int, origin: Mapping[str, Any]
) -> Finding:
    """A finding from what shrinking and diagnosis gave; origin: seed, unit and sizes it came from."""
    known = {
        **verdict_json(verdict),
        "divergent": diagnosis.divergent,
        "needs": [{"phrase": n.phrase, "passes_when_plain": n.passes} for n in diagnosis.needs],
        "plans": [tried.as_json() for tried in diagnosis.plans],
        "nearest": diagnosis.nearest,
        "damage": diagnosis.damage,
        "chain": list(diagnosis.chain),
        "seen": diagnosis.seen,
        "failures": diagnosis.failures,
        "repeats": diagnosis.repeats,
        "attempts": diagnosis.attempts,
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
        together = [r for r in regions(case.program, case.plan, trial.places) if len(r) > 1]
        values = evaluate_program(case.program, trial.contract, together)
    return evolve(case, expected=tuple(values[v].enclosure for v in case.program.outputs))


def state_folder(given: str | Path | None = None) -> Path:
    """The state folder, made with its own .gitignore; raises `UsageError` when it cannot be."""
    folder = Path(given) if given is not None else Path(STATE)
    try:
        (folder / FINDINGS).mkdir(parents=True, exist_ok=True)
        ignore = folder / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n", encoding="utf-8")
    except OSError as error:
        what = f"state folder {folder} cannot be written: {error.strerror}"
        raise UsageError(f"{what}; give another with --report-dir") from None
    return folder


def path_of(folder: Path, id: str) -> Path:
    """Where the finding of an ID is stored in a state folder."""
    return folder / FINDINGS / f"{id}{SUFFIX}"


def write_finding(folder: Path, id: str, text: str) -> Path:
    """Store the text of a finding's case file, all of it or nothing; returns its path.

    Raises `UsageError` when it cannot be written.
    """
    return write_case(path_of(folder, id), text, "--report-dir")


def write_case(path: Path, text: str, option: str) -> Path:
    """Write a case file, all of it or nothing; raises `UsageError`, which names the option to change, if it cannot."""
    unfinished = path.with_suffix(".part")
    try:
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(path)
    except OSError as error:
        raise UsageError(f"finding {path} cannot be written: {error.strerror}; give another {option}") from None
    return path


def files_below(folder: str | Path) -> list[Path]:
    """The case files below a folder, in order; raises `UsageError` when it is not there."""
    path = Path(folder)
    if not path.is_dir():
        raise UsageError(f"{folder} is no folder but should be one of *{SUFFIX} files [case_files]")
    return sorted(path.rglob(f"*{SUFFIX}"))


def stored_files(folder: str | Path | None = None) -> list[Path]:
    """The findings in a state folder, which need not be there yet."""
    path = Path(folder or STATE) / FINDINGS
    return sorted(path.glob(f"*{SUFFIX}")) if path.is_dir() else []


def case_files(*where: str | Path, folder: str | Path | None = None) -> list[Path]:
    """The case files at paths, below folders, or of IDs in the state folder; raises `UsageError` for none there."""
    found: list[Path] = []
    for item in where:
        path = Path(item)
        stored = path_of(Path(folder or STATE), str(item))
        if path.is_dir():
            below = files_below(path)
            if not below:
                raise UsageError(f"folder {item} holds no *{SUFFIX} file; name a file, a folder or an ID")
            found.extend(below)
        elif path.is_file():
            found.append(path)
        elif stored.is_file():
            found.append(stored)
        else:
            raise UsageError(f"{item} is neither a file, a folder nor a stored ID; `offload-fuzz show` lists the IDs")
    return found
