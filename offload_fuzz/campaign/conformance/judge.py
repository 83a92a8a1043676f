"""Judging a device: a record for each promise, in this process or in one that is watched."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from offload_fuzz.adapters.resolve import resolve
from offload_fuzz.campaign.conformance.bench import Bench, DeviceRaised, MemoryUsedUp, Violation
from offload_fuzz.campaign.conformance.excused import Excuses, known_for, op_at
from offload_fuzz.campaign.conformance.promises import PROMISES, Promise
from offload_fuzz.campaign.extension import load
from offload_fuzz.device import Place, are_peers, place
from offload_fuzz.errors import EXIT_FINDING, EXIT_INTERNAL, EXIT_OK, OffloadError
from offload_fuzz.finding.known import Issue, parse_known
from offload_fuzz.finding.known_file import entry_text
from offload_fuzz.finding.replay import supervised
from offload_fuzz.ops.base import OPS
from offload_fuzz.reference import quiet
from offload_fuzz.types import DTYPES

KEPT, BROKEN, KNOWN, ABSENT = "kept", "broken", "known", "does not apply"
#: Violations of a promise that are kept; more are counted.
SHOWN, COUNTED = 5, 1000

Record = dict[str, Any]
NO_EXCUSES = Excuses()


def declared(place: Place) -> dict[str, Any]:
    """What the features say, as data for the head of the report."""
    f = place.features
    return {
        "name": place.name,
        "ops": len(f.ops),
        "dtypes": [d for d in DTYPES if d in f.dtypes],
        "streams": f.streams,
        "transfers": list(f.transfers),
        "source_free": {t: f.free_after(t) for t in (*f.transfers, *(("pinned",) if f.pinned else ()))},
        "in_place": len(f.in_place),
        "donate": len(f.donate),
        "update": {way: len(ops) for way, ops in f.update.items()},
        "compile": f.compile,
        "destination": sorted(f.destination),
        "chunks": sorted(f.chunks),
        "peers": f.peers,
        "release": f.release,
        "deterministic": f.deterministic,
        "contract": f.contract.name,
        "place": f.place,
    }


def judged(bench: Bench, promise: Promise, excuses: Excuses = NO_EXCUSES) -> Record:
    """The record of one promise; what the device raises breaks it, unless a known issue covers it."""
    record: Record = {"promise": promise.name, "group": promise.group, "sentence": promise.sentence}
    reason = promise.needs(bench)
    if reason:
        return {**record, "status": ABSENT, "note": reason}
    bench.notes, bench.hints, bench.where = [], [], ""
    violations: list[Violation] = []
    known: list[tuple[Issue, Violation]] = []
    try:
        bench.reset()
        with quiet():  # as in a campaign
            violations.extend(islice(excuses.uncovered(promise.name, promise.check(bench), known), COUNTED))
    except MemoryUsedUp:
        bench.notes.append(f"checked as far as the device's memory goes: not {bench.where or 'all of it'}")
    except DeviceRaised as error:
        raised = Violation(bench.where or "a call", str(error), "no exception")
        violations.extend(excuses.uncovered(promise.name, [raised], known))
    seen = {op_at(v.where) for v in [*violations, *(v for _, v in known)]}
    stale = excuses.stale(promise.name, {*bench.features.ops} - bench.avoid, seen)
    status = BROKEN if violations else KNOWN if known else KEPT
    record |= {"status": status, "note": "; ".join(bench.notes), "hints": [*bench.hints, *stale]}
    return record | _told(promise, [_data(v) for v in violations], [(i, _data(v)) for i, v in known])


def _told(
    promise: Promise, violations: Sequence[Mapping[str, str]], known: Sequence[tuple[Issue, Mapping[str, str]]]
) -> Record:
    """What a record says of a promise that was seen broken: how often, where and what to do; by which known issues."""
    shown = violations or [v for _, v in known]
    if not shown:
        return {}
    told = {"broken": len(shown), "do": promise.advice if violations else "", "violations": [*shown[:SHOWN]]}
    return {**told, "known": [*dict.fromkeys(f"{i.id}: {i.text()}" for i, _ in known)]}


def _data(violation: Violation) -> dict[str, str]:
    return {"where": violation.where, "seen": violation.seen, "expected": violation.expected}


def conformance(
    device: Any, promises: Sequence[str] | None = None, peer: Any = None, known: str | None = None
) -> list[Record]:
    """The records of `device`, an adapter object or a `Place`, checked in this process.

    promises: only these. peer: another device of the same `peers`; the device itself unless told. known: a file of
    known issues, as in the command's `--known`.

    Raises `AdapterError` for what is no adapter. A device that ends or silences the process takes this one with it.
    """
    opened = place(device)
    second = opened if peer is None else place(peer)
    bench = Bench(opened, second if opened.features.peers else None)
    excuses = Excuses(known_for(known), opened.spec)
    return [judged(bench, p, excuses) for name, p in PROMISES.items() if promises is None or name in promises]


# --------------------------------------------------------------------------------------------- in a watched process
def watched(spec: str, modules: Sequence[str], silence: float, known: Sequence[Issue] = ()) -> Iterator[Record]:
    """The records of the device `spec`, checked in processes of their own; the first is what it declares.

    A promise whose check ends or silences the process is broken; another process goes on with the next, without the op
    at which it happened. known: the issues that excuse it.

    Raises `OffloadError` with the exit code of what kept it from starting.
    """
    avoid: list[str] = []
    issues = "".join(map(entry_text, known))
    job = {"device": spec, "load": list(modules), "files": ["", *PROMISES], "avoid": avoid, "known": issues}
    excuses = Excuses(tuple(known), spec)
    for found in supervised([sys.executable, "-m", "offload_fuzz.campaign.conformance"], job, silence):
        if "verdict" in found:
            if not found["path"]:
                raise _no_start(spec, found)
            if found["at"] in OPS:
                avoid.append(found["at"])
            found = death(PROMISES[found["path"]], found, excuses)
        yield found


def _no_start(spec: str, found: Mapping[str, Any]) -> OffloadError:
    error = OffloadError(f"opening the device failed: {found['verdict']['message']} [{spec}]; see what it printed")
    error.exit_code = EXIT_FINDING
    return error


def death(promise: Promise, found: Mapping[str, Any], excuses: Excuses) -> Record:
    """The record of a promise at which the process ended or fell silent; `found`: what its watcher saw."""
    verdict = found["verdict"]
    violation = {
        "where": found["at"] or "somewhere",
        "seen": f"{verdict['kind']}: {verdict['message']}",
        "expected": "a result or an exception",
    }
    issue = excuses.of(promise.name, op_at(found["at"]), verdict["kind"])
    status = BROKEN if issue is None else KNOWN
    record = {"promise": promise.name, "group": promise.group, "sentence": promise.sentence, "status": status}
    told = _told(promise, [violation], []) if issue is None else _told(promise, [], [(issue, violation)])
    return {**record, "note": "", "hints": [], **told}


def serve(line: str, send: Callable[[str], None]) -> None:
    """What the process does that `watched` starts: the job on one line, records out."""
    last = [""]

    def at(where: str) -> None:
        if where != last[0]:
            last[0] = where
            send(json.dumps({"record": "at", "at": where}))

    try:
        job = json.loads(line)
        load(job["load"])
        opened = resolve(job["device"])
        send(json.dumps({"record": "ready"}))
        bench = Bench(opened, _peer(opened), at, job["avoid"])
        excuses = Excuses(tuple(parse_known(job["known"], "known issues")), opened.spec)
        for name in job["files"]:
            at("")
            send(json.dumps(judged(bench, PROMISES[name], excuses) if name else {"declares": declared(opened)}))
    except OffloadError as error:
        send(json.dumps({"record": "error", "message": str(error), "exit_code": error.exit_code}))
    except Exception as error:  # noqa: BLE001  # our own mistake: reported as such, with where it happened
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        where = "unknown" if trace is None else f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
        text = f"internal error: {type(error).__name__}: {error} [{where}]; please report it"
        send(json.dumps({"record": "error", "message": text, "exit_code": EXIT_INTERNAL}))


def _peer(opened: Place) -> Place | None:
    """A second device, where this one has peers: that of the next number, or else another of the same name."""
    if opened.features.peers is None:
        return None
    following = re.sub(r":(\d+)(?!.*:\d)", lambda m: f":{int(m[1]) + 1}", opened.spec)
    try:
        peer = resolve(following)
    except OffloadError:
        peer = resolve(opened.spec)
    return peer if are_peers(peer.features.peers, opened.features.peers) else None


def exit_code(records: Sequence[Record]) -> int:
    """1 if a promise is broken by anything but a known issue."""
    return EXIT_FINDING if any(r["status"] == BROKEN for r in records) else EXIT_OK
