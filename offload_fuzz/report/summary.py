"""The summary at the end of a campaign: every count that says how much `no finding` means."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

from offload_fuzz.campaign.boundary import boundary
from offload_fuzz.campaign.counts import Counts
from offload_fuzz.campaign.report import Report
from offload_fuzz.campaign.settings import Settings
from offload_fuzz.errors import (
    EXIT_FINDING,
    EXIT_INCONCLUSIVE,
    EXIT_INTERNAL,
    EXIT_INTERRUPTED,
    EXIT_MISSING,
    EXIT_NOTHING_TESTED,
    EXIT_OK,
    EXIT_USAGE,
)
from offload_fuzz.ops.base import OPS
from offload_fuzz.plan import FREEDOMS

EXIT_MEANINGS: dict[int, str] = {
    EXIT_OK: "nothing to fail on",
    EXIT_FINDING: "a finding that counts",
    EXIT_USAGE: "wrong usage, configuration or adapter",
    EXIT_INCONCLUSIVE: "inconclusive",
    EXIT_MISSING: "device or library missing",
    EXIT_NOTHING_TESTED: "nothing was tested",
    EXIT_INTERNAL: "internal error",
    EXIT_INTERRUPTED: "interrupted, reports written",
}
#: Ops that are named as the least frequent.
RAREST = 3
WIDTH = 100


def summary(report: Report) -> str:
    """All honesty counts and the verdict, without a newline at the end."""
    return summary_text(rows(report))


def summary_text(labelled: Sequence[tuple[str, str]]) -> str:
    """Labels and texts as lines of at most `WIDTH`."""
    return "\n".join(_wrapped(label, text) for label, text in labelled)


def rows(report: Report) -> list[tuple[str, str]]:
    """Label and text of every honesty count and of the verdict."""
    c = report.counts
    return [
        ("ran", _ran(report)),
        ("pairs", _pairs(c)),
        ("cells", _cells(report)),
        ("programs", f"median {number(c.median_nodes, 'node')}; {share(c.wild, c.programs)} wild, "
                     f"{share(c.large, c.programs)} large"),
        ("ops", _ops(c, drawn_from(report.settings))),
        ("freedoms", _freedoms(c)),
        ("judged", f"{number(c.judged, 'result')}: {share(c.unknown, c.judged)} unknown, {c.vacuous:,} vacuous"),
        ("left out", f"{c.skipped:,} skipped, {c.rejected:,} rejected, {c.out_of_memory:,} out of memory"),
        ("ledger", _ledger(c)),
        ("failures", _failures(report)),
        ("took", f"{report.seconds:.1f} s, {_rate(report)}; seed {report.settings.seed}"),
        *(("excused", f"{f.id}, {number(f.count, 'time')}: {f.excuse}") for f in report.findings if f.excuse),
        *(("warning", text) for text in report.warnings),
        ("verdict", verdict(report)),
    ]  # fmt: skip  # one row each


def _wrapped(label: str, text: str) -> str:
    return textwrap.fill(text, WIDTH, initial_indent=f"{label:<10}", subsequent_indent=" " * 10, break_on_hyphens=False)


def verdict(report: Report) -> str:
    """What came of it, and the exit code with its meaning."""
    n = len(report.findings)
    if n:
        text = number(n, "finding") + (f" in {report.folder}/findings" if report.folder else "")
        excused = n - len(report.counting)
        text += f", of which {excused:,} {'does' if excused == 1 else 'do'} not fail the run" if excused else ""
    elif report.exit_code == EXIT_NOTHING_TESTED:
        text = "no case was run"
    elif report.exit_code == EXIT_INCONCLUSIVE:
        text = "no result could be judged"
    else:
        text = f"no finding in {number(report.counts.cases, 'case run')}"
    if report.error:
        text += f"; stopped early: {report.error}"
    return f"{text}; exit {report.exit_code}: {EXIT_MEANINGS.get(report.exit_code, 'an error')}"


def number(n: int, what: str) -> str:
    """`1 node`, `2,000 nodes`."""
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def share(part: int, whole: int) -> str:
    """`12.5%`; less than a twentieth of a percent is not shown as none."""
    percent = 100 * part / whole if whole else 0.0
    return "<0.1%" if 0 < percent < 0.05 else f"{percent:.1f}%"


# ------------------------------------------------------------------------------------------------------------- rows
def _ran(report: Report) -> str:
    c = report.counts
    devices = ", ".join(d if isinstance(d, str) else str(d.name) for d in report.settings.devices)
    plans = f"{number(c.cases, 'plan')} (case runs)"
    return f"{number(c.programs, 'program')}, {plans} on numpy and {devices or 'no device'}"


def _pairs(c: Counts) -> str:
    covered = f"{c.pairs_covered:,} of {c.pairs_reachable:,} crossing pairs"
    beyond = f"{c.pairs_unreachable:,} more are" if c.pairs_unreachable else "none"
    return f"{covered} ({share(c.pairs_covered, c.pairs_reachable)}); {beyond} unreachable by features"


def _cells(report: Report) -> str:
    """Cells of the boundary, and the least covered value of each axis."""
    b = boundary(report)
    if b is None:
        return "none counted, as no device was opened"
    reached, possible = int(b.reached.sum()), int(b.reachable.sum())
    left = ", ".join(f"{row.axis} {row.value} {share(row.reached, row.reachable)}" for row in b.least())
    text = f"{reached:,} of {possible:,} ({share(reached, possible)}) of op x dtype x layout x transfer x places"
    beyond = f"{sum(b.unreachable.values()):,} more are unreachable by features and options"
    return f"{text}; least: {left}; {beyond}"


def drawn_from(settings: Settings) -> list[str]:
    """The ops that a campaign may draw; none where a strategy of the user's chooses them."""
    if settings.strategy is not None:
        return []
    return [op for op in (settings.ops or OPS) if op not in settings.exclude_ops]


def _ops(c: Counts, ops: Sequence[str]) -> str:
    nodes = sum(c.ops.values())
    never = [op for op in ops if op not in c.ops]
    found = sorted(c.ops.items(), key=lambda item: (item[1], item[0]))
    text = f"{len(c.ops)} of {len(ops)}" if ops else f"{len(c.ops)}"
    if found:
        text += ", least often " + ", ".join(f"{op} {share(n, nodes)}" for op, n in found[:RAREST])
    if never:
        text += f"; never {', '.join(never[:RAREST])}"
        text += f" and {len(never) - RAREST} more" if len(never) > RAREST else ""
    return text


def _freedoms(c: Counts) -> str:
    return ", ".join(f"{name} {share(_count(c.freedoms, name), c.cases)}" for name in FREEDOMS) + " of plans not plain"


def _ledger(c: Counts) -> str:
    """What devices told of their transfers, launches and reads; without that, results are all that is judged."""
    text = f"transfers and launches told in {share(c.told, c.cases)} of case runs"
    if c.transfers:
        text += f" ({c.transfers:,} transfers of {c.moved_bytes:,} bytes)"
    text += f", reads watched in {share(c.watched, c.cases)}"
    return text + (f"; not told by {', '.join(sorted(c.untold))}" if c.untold else "")


def _count(table: Mapping[str, int], name: str) -> int:
    return table.get(name, 0)


def _failures(report: Report) -> str:
    c = report.counts
    again = sum(f.count - 1 for f in report.findings)
    text = f"{c.failures:,} failing, of {number(len(report.findings), 'finding')}: {again:,} known again"
    text += (
        f", {c.unshrunk:,} not shrunk; {c.crashes:,} crash{'' if c.crashes == 1 else 'es'}, {number(c.hangs, 'hang')}"
    )
    return text + (f"; {number(c.executions, 'run')} to shrink" if c.executions else "")


def _rate(report: Report) -> str:
    return f"{report.counts.cases / report.seconds:,.0f} case runs/s" if report.seconds > 0 else "no time"
