"""What `conformance` prints: one screen for the author of an adapter."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from offload_fuzz.report.summary import number

WIDTH = 118
MARKS = {"kept": "kept", "broken": "BROKEN", "known": "known", "does not apply": "-"}
TOLD = {"kept": "kept", "broken": "broken", "known": "known", "does not apply": "that do{} not apply"}
NAME = 21
#: Violations of a promise that are printed; `--json` has more.
PRINTED = 2


def conformance_text(spec: str, declares: Mapping[str, Any], records: Sequence[Mapping[str, Any]], code: int) -> str:
    """The report, without a newline at the end."""
    lines = [f"conformance of {spec}", *_declares(declares)]
    group = ""
    for r in records:
        if r["group"] != group:
            group = r["group"]
            lines += ["", group]
        lines += _record(r)
    return "\n".join([*lines, "", _verdict(records, code)])


def _declares(d: Mapping[str, Any]) -> list[str]:
    parts = [number(d["ops"], "op"), number(len(d["dtypes"]), "dtype"), f"contract {d['contract']}"]
    parts.append(number(d["streams"], "stream") if d["streams"] else "no streams")
    parts.append("transfers " + ", ".join(f"{t} (source free: {d['source_free'][t]})" for t in d["transfers"]))
    parts += [f"{d['in_place']} ops in place"] if d["in_place"] else []
    parts += [f"peers {d['peers']}"] if d["peers"] else []
    parts += [word for word in ("release", "deterministic") if d[word]]
    parts += [f"place {d['place']}"] if d["place"] else []
    return _wrapped("  declares  ", "; ".join(parts))


def _record(r: Mapping[str, Any]) -> list[str]:
    head = f"  {MARKS[r['status']]:<7} {r['promise']:<{NAME}} "
    note = f" ({r['note']})" if r["note"] and r["status"] != "broken" else ""
    lines = _wrapped(head, f"{r['sentence']}{note}")
    for hint in r.get("hints", ()):
        lines += _wrapped(f"  {'hint':<7} {'':<{NAME}} ", hint)
    for v in r.get("violations", ())[:PRINTED]:
        lines += _wrapped("          at        ", v["where"])
        lines += _wrapped("          seen      ", v["seen"])
        lines += _wrapped("          expected  ", v["expected"])
    if "broken" in r:
        more = r["broken"] - min(len(r["violations"]), PRINTED)
        lines += [f"          and {more:,} more"] if more else []
    for text in r.get("known", ()):
        lines += _wrapped(f"          {'known' if r['status'] == 'known' else 'known too':<9} ", text)
    if r.get("do"):
        lines += _wrapped("          do        ", r["do"])
    return lines


def _wrapped(head: str, text: str) -> list[str]:
    return textwrap.wrap(
        text, WIDTH, initial_indent=head, subsequent_indent=" " * len(head), break_on_hyphens=False
    ) or [head.rstrip()]


def _verdict(records: Sequence[Mapping[str, Any]], code: int) -> str:
    counts = Counter(r["status"] for r in records)
    told = [f"{counts[s]} {TOLD[s].format('es' if counts[s] == 1 else '')}" for s in MARKS if counts[s]]
    broken = [r["promise"] for r in records if r["status"] == "broken"]
    known = " but for known issues" if counts["known"] else ""
    meaning = f"broken: {', '.join(broken)}" if broken else f"conformant{known}"
    return f"{len(records)} promises: {', '.join(told)}; exit {code}: {meaning}"
