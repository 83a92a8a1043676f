"""A reduction on its way: the best case so far, what was tried, and what it may still cost."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from attrs import define, field

from offload_fuzz.case import Case
from offload_fuzz.errors import InvalidProgram, UsageError
from offload_fuzz.finding.rebuild import Change, rebuild
from offload_fuzz.oracles import Verdict
from offload_fuzz.types import Array

#: Executions that one reduction may use.
BUDGET = 300
Fails = Callable[[Case], Verdict | None]
Values = Callable[[Case], list[Array]]


@define
class Reduction:
    """The best case so far, its verdict, and how many executions it took.

    fails: the verdict of a candidate that fails the same way. budget: executions that it may take; stop: whether the
    time is up. tick is called before each execution, better with each case that is accepted. tried: fingerprints of
    all cases that were run, none of which is run again. attempts: runs that a candidate gets to fail in. settled:
    lengths of axes below which nothing failed. minimal: every single step from the case was tried and passes, which
    for a flaky case is known with a confidence alone.
    """

    case: Case
    verdict: Verdict
    fails: Fails
    budget: float = BUDGET
    executions: int = 0
    tick: Callable[[], None] = lambda: None
    better: Callable[[Case, Verdict], None] = lambda case, verdict: None
    stop: Callable[[], bool] = lambda: False
    minimal: bool = False
    tried: set[bytes] = field(factory=set)
    attempts: int = 1
    settled: set[int] = field(factory=set)

    @property
    def spent(self) -> bool:
        """Whether nothing more may be run."""
        return self.executions >= self.budget or self.stop()

    def accept(self, candidate: Case) -> bool:
        """Run a candidate that was not run yet; keep it if it fails the same way."""
        mark = fingerprint(candidate)
        if mark in self.tried or self.spent:
            return False
        self.tried.add(mark)
        self.executions += 1
        self.tick()
        verdict = self.fails(candidate)
        if verdict is None:
            return False
        self.case, self.verdict = candidate, verdict
        self.better(candidate, verdict)
        return True

    def change(self, change: Change, of: Case | None = None) -> bool:
        """Try a structural change of the best case, or of another; False if it is not well typed or does not fail."""
        try:
            candidate = rebuild(self.case if of is None else of, change)
        except (InvalidProgram, UsageError):
            return False
        return self.accept(candidate)


def fingerprint(case: Case) -> bytes:
    """A digest of all that a run of the case depends on."""
    program = case.program
    nodes = [(n.op, n.operands, sorted(n.attributes.items()), str(n.type)) for n in program.nodes]
    control = None if case.control is None else (list(case.control.non_plain()), case.control.seed)
    plan = (list(case.plan.non_plain()), case.plan.seed)
    digest = hashlib.blake2b(repr((nodes, program.outputs, plan, control, case.devices)).encode(), digest_size=16)
    for x in program.inputs:
        digest.update(f"{x.dtype}{x.shape}".encode())
        digest.update(x.tobytes())
    return digest.digest()
