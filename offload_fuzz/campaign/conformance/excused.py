"""Which violations of a promise are known issues, and which known issues were not seen where they should be."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from attrs import frozen

from offload_fuzz.campaign.conformance.bench import Violation
from offload_fuzz.campaign.conformance.promises import PROMISES
from offload_fuzz.errors import one_of
from offload_fuzz.finding.known import Issue, read_known, shipped_known
from offload_fuzz.ops.base import OPS

#: What `--known` says where nothing is excused.
NONE = "none"


def known_for(file: str | None) -> tuple[Issue, ...]:
    """The issues of `--known FILE` and the shipped ones, of which the file's stand first; those with promises only.

    file: None for the shipped ones alone, "none" for no issue. Raises `UsageError` for a file that is wrong, and for a
    promise that is none.
    """
    if file == NONE:
        return ()
    own = read_known(file) if file is not None else []
    for issue in own:
        for row in issue.promises:
            if row.partition("(")[0] not in PROMISES:
                raise one_of("promise", row.partition("(")[0], PROMISES, f"{file}, issue {issue.id}")
    ids = {issue.id for issue in own}
    return tuple(i for i in [*own, *(s for s in shipped_known() if s.id not in ids)] if i.promises)


def op_at(where: str) -> str:
    """The op that a violation's place begins with, `kron(int16[3,6], int16[3]), operands fortran`; else nothing."""
    head = where.partition("(")[0].strip()
    return head if head in OPS else ""


@frozen
class Excuses:
    """The known issues of one device."""

    issues: tuple[Issue, ...] = ()
    device: str = ""

    def of(self, promise: str, op: str, kind: str = "") -> Issue | None:
        """The issue by which the device breaks `promise` at `op`; kind: crash, hang, or nothing for what was seen."""
        return next((i for i in self.issues if i.covers_promise(promise, op, kind, self.device)), None)

    def uncovered(
        self, promise: str, found: Iterable[Violation], known: list[tuple[Issue, Violation]]
    ) -> Iterator[Violation]:
        """The violations that no issue covers; the others are appended to `known`, each with its issue."""
        for violation in found:
            issue = self.of(promise, op_at(violation.where))
            if issue is None:
                yield violation
            else:
                known.append((issue, violation))

    def stale(self, promise: str, looked: Collection[str], seen: Collection[str]) -> list[str]:
        """What is to be said of each row `promise(op)` of an issue here that was looked at while nothing was seen.

        looked: the ops that were; seen: those at which the promise was seen broken, "" for at none.
        """
        told = []
        for issue in self.issues:
            for row in issue.promises if issue.expect not in ("flaky", "skip") else ():
                name, _, op = row.rstrip(")").partition("(")
                here = name == promise and issue.covers_promise(promise, op, issue.expect, self.device)
                if here and (op in looked and op not in seen if op else not seen):
                    told.append(f"known issue {issue.id} says that {row} breaks, but it is kept: remove it there")
        return told
