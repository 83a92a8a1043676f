"""What `shrink` prints: each step on a line, and the reduced case at the end."""

from __future__ import annotations

from typing import Any

from offload_fuzz.case import Case
from offload_fuzz.report.block import finding_block
from offload_fuzz.report.summary import number


def size_text(case: Case) -> str:
    """For example `3 nodes, 2 choices, 12 elements`."""
    elements = sum(x.size for x in case.program.inputs)
    choices = number(len(case.plan.choices), "choice")
    return f"{number(len(case.program.nodes), 'node')}, {choices}, {number(elements, 'element')}"


def step_text(case: Case, executions: int) -> str:
    """A step that was accepted."""
    return f"{executions:>6,}  {size_text(case)}"


def reduced_text(
    case: Case, known: dict[str, Any], before: Case, path: str, executions: int, minimal: bool, seconds: float
) -> str:
    """The block of the reduced case, what it came from, and whether more can come."""
    end = (
        "one-minimal: each single step that is left was tried and does not fail"
        if minimal
        else "not yet one-minimal, as the budget is spent; the same command goes on"
    )
    rest = f"from {size_text(before)} by {number(executions, 'execution')} in {seconds:.1f} s; {end}"
    return f"{finding_block(case, known, path)}\n\n{size_text(case)} in {path}\n{rest}"
