"""Conformance: honest devices keep every promise, and each promise is broken by one that lies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from offload_fuzz.adapters.resolve import resolve
from offload_fuzz.campaign.conformance import bench, computing
from offload_fuzz.campaign.conformance.excused import Excuses, known_for
from offload_fuzz.campaign.conformance.judge import (
    ABSENT,
    BROKEN,
    KEPT,
    KNOWN,
    conformance,
    death,
    exit_code,
    watched,
)
from offload_fuzz.campaign.conformance.promises import PROMISES
from offload_fuzz.errors import AdapterError, MissingDevice, OffloadError, UsageError
from offload_fuzz.finding.known import shipped_known
from offload_fuzz.report.conformance import conformance_text

from .liars import KERNELS, LIARS, NAMED, EndsTheProcess, Honest, NeverFrees, Queued

#: Promises that no adapter here breaks: the first needs another mode of the processor, the second ends the process.
UNBROKEN = {"environment", "campaign"}


def broken(records: list[dict[str, Any]]) -> dict[str, Any]:
    return {r["promise"]: r.get("violations") for r in records if r["status"] == BROKEN}


@pytest.mark.parametrize(
    "device",
    ["numpy", "simulated:0", "simulated.npu:0", "simulated.dsp:0", "validating:simulated:1", "validating:numpy"],
)
def test_the_devices_of_this_package_conform(device: str) -> None:
    records = conformance(resolve(device))
    assert broken(records) == {}
    assert exit_code(records) == 0
    assert [r["promise"] for r in records] == list(PROMISES)


@pytest.mark.parametrize("device", [Honest, Queued])
def test_the_devices_that_liars_are_made_of_conform(device: Any) -> None:
    records = conformance(device())
    assert broken(records) == {}
    absent = {r["promise"] for r in records if r["status"] == ABSENT}
    assert ("streams_in_order" in absent) == (device is Honest)
    assert ("deterministic" in absent) == (device is Queued)


@pytest.mark.parametrize(("promise", "liar"), NAMED, ids=[f"{p}-{liar.__name__}" for p, liar in NAMED])
def test_a_lie_is_named(promise: str, liar: Any) -> None:
    try:
        (record,) = conformance(liar(), [promise], peer=liar())
    finally:
        NeverFrees.kept.clear()
    assert record["status"] == BROKEN
    assert record["do"] == PROMISES[promise].advice
    for violation in record["violations"]:
        assert violation["where"]
        assert violation["seen"] != violation["expected"]


def test_every_promise_has_a_liar() -> None:
    assert LIARS.keys() | UNBROKEN == PROMISES.keys()


def test_a_changed_rounding_mode_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    modes = iter([None, "rounding is not to nearest"])
    monkeypatch.setattr(computing, "float_environment", lambda: next(modes))
    (record,) = conformance(Honest(), ["environment"])
    assert broken([record])["environment"][0]["seen"] == "rounding is not to nearest"


@pytest.mark.parametrize(
    ("fault", "promises"),
    [
        ("upload_strides_ignored", {"layouts"}),
        ("operand_strides_ignored", {"operand_layouts"}),
        ("storage_offset_dropped", {"operand_layouts"}),
        ("int64_narrowed", {"values"}),
        ("last_chunk_lost", {"dtypes", "shapes", "layouts", "values"}),
        ("upload_reads_late", {"source_free_async"}),
        ("download_returns_early", {"blocking_transfers"}),
        ("wait_ignored", {"events"}),
        ("freed_while_in_use", {"release_in_order"}),
        ("in_place_write_lost", {"in_place"}),
        ("noop_returns_operand", {"fresh"}),
        ("setitem_mutates_operand", {"fresh", "operands_untouched"}),
        ("fallback_reads_stale", {"ops_in_order"}),
        ("wrong_device_index", {"placed"}),
        ("empty_reduction_unwritten", {"results"}),
    ],
)
def test_a_planted_fault_breaks_the_promise_that_it_is_about(fault: str, promises: set[str]) -> None:
    records = conformance(resolve(f"simulated:0+{fault}"), sorted(promises))
    assert set(broken(records)) == promises


def test_what_does_not_apply_says_why() -> None:
    records = {
        r["promise"]: r for r in conformance(resolve("noop:0"), ["events", "peer_copy", "release_frees", "reset"])
    }
    assert {r["status"] for r in records.values()} == {ABSENT}
    assert records["reset"]["note"] == "there is no method reset()"
    assert records["peer_copy"]["note"] == "peers is not declared"


def test_the_template_breaks_what_it_does_not_do() -> None:
    records = conformance(resolve("noop:0"), ["dtypes", "results", "result_types", "ops_run", "placed", "arguments"])
    assert set(broken(records)) == {"dtypes", "results"}


def test_a_slow_device_is_asked_less(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "PATIENCE", 0.0)
    (run, last) = conformance(Honest(), ["ops_run", "results_last"])
    assert (run["status"], last["status"]) == (KEPT, KEPT)
    assert "applications left out, as the device is slow or small" in run["note"]
    assert f"{len(KERNELS)} ops in " in run["note"]  # each has run at least once


def test_what_is_no_adapter_is_refused() -> None:
    with pytest.raises(AdapterError, match="adapter's name is None but should be a string"):
        conformance(object())


# ---------------------------------------------------------------------------------------------------- known issues
def known_file(folder: Path, *promises: str, expect: str = "fail") -> str:
    """A file with one entry, K1, that says these rows break."""
    path = folder / "known.toml"
    rows = ", ".join(f'"{p}"' for p in promises)
    path.write_text(f'[[issue]]\nid = "K1"\nexpect = "{expect}"\nreason = "r"\ntracker = "T-1"\npromises = [{rows}]\n')
    return str(path)


class WrongTwice(Honest):
    def launch(self, op: str, operands: Any, attributes: Any, out: Any = None, donate: int | None = None) -> Any:
        result = super().launch(op, operands, attributes, out, donate)
        if op in ("abs", "negative") and result.array.size:
            result.array.flat[0] += 1
        return result


def test_a_known_issue_excuses_the_row_that_it_names_and_no_other(tmp_path: Path) -> None:
    known = known_file(tmp_path, "results")
    records = conformance(WrongTwice(), ["dtypes", "results", "operand_layouts"], known=known)
    assert [r["status"] for r in records] == [KEPT, KNOWN, BROKEN]
    assert [exit_code([r]) for r in records] == [0, 0, 1]
    _, excused, left = records
    assert (excused["known"], excused["do"]) == (["K1: known issue, expected to fail: r (T-1)"], "")
    assert excused["broken"] >= len(excused["violations"]) > 0
    assert left["known"] == []
    text = conformance_text("chip:0", DECLARES, [excused], 0)
    assert "\n  known   results               on small exact numbers " in text
    assert "\n          known     K1: known issue, expected to fail: r (T-1)\n" in text
    assert text.endswith("1 promises: 1 known; exit 0: conformant but for known issues")


def test_a_known_issue_at_one_op_leaves_the_promise_broken_at_others(tmp_path: Path) -> None:
    (record,) = conformance(WrongTwice(), ["results"], known=known_file(tmp_path, "results(abs)"))
    assert (record["status"], exit_code([record])) == (BROKEN, 1)
    assert {v["where"].partition("(")[0] for v in record["violations"]} == {"negative"}
    text = conformance_text("chip:0", DECLARES, [record], 1)
    assert "\n          known too K1: known issue, expected to fail: r (T-1)\n" in text


def test_a_known_crash_is_known_and_another_end_is_not(tmp_path: Path) -> None:
    ended = {"path": "ops_run", "at": "add", "verdict": {"kind": "crash", "message": "signal SIGABRT"}}
    for expect, status in (("crash", KNOWN), ("hang", BROKEN), ("fail", BROKEN), ("skip", KNOWN)):
        excuses = Excuses(known_for(known_file(tmp_path, "ops_run(add)", expect=expect)), "chip:0")
        record = death(PROMISES["ops_run"], ended, excuses)
        assert (record["status"], exit_code([record])) == (status, int(status == BROKEN))


def test_a_known_row_that_is_kept_is_said_to_be_stale(tmp_path: Path) -> None:
    known = known_file(tmp_path, "ops_run(add)", "ops_run(no_such_op)", "values", "events")
    records = {r["promise"]: r for r in conformance(Honest(), ["ops_run", "values", "events"], known=known)}
    told = "known issue K1 says that {} breaks, but it is kept: remove it there"
    assert records["ops_run"]["hints"] == [told.format("ops_run(add)")]
    assert records["values"]["hints"] == [told.format("values")]
    assert (records["events"]["status"], records["events"].get("hints")) == (ABSENT, None)
    assert exit_code([*records.values()]) == 0
    flaky = known_file(tmp_path, "values", expect="flaky")
    assert conformance(Honest(), ["values"], known=flaky)[0]["hints"] == []


def test_no_shipped_issue_excuses_a_liar() -> None:
    assert shipped_known()
    for issue in known_for(None):
        assert issue.backend
        assert issue.tracker
        assert not issue.covers_promise(issue.promises[0].partition("(")[0], "kron", "", "my.py:Liar")
    assert known_for("none") == ()


def test_a_known_issue_of_a_promise_that_there_is_not_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"promise is 'valuess' but should be one of methods, .*known.toml, issue K1"):
        known_for(known_file(tmp_path, "valuess"))


# --------------------------------------------------------------------------------------------- in a watched process
CHIPS = f"import sys\nsys.path.append({str(Path(__file__).parents[2])!r})\nfrom tests.devices.liars import *\n"


def test_a_crash_breaks_a_promise_and_the_rest_is_checked(tmp_path: Path) -> None:
    chips = tmp_path / "chips.py"
    chips.write_text(CHIPS + "class Ends(EndsTheProcess): pass\n")
    declares, *records = watched(f"{chips}:Ends", (), 20.0)
    assert declares["declares"]["name"] == Honest.name
    assert [r["promise"] for r in records] == list(PROMISES)
    by_name = {r["promise"]: r for r in records}
    found = broken(records)
    assert found["source_untouched"] == [
        {
            "where": "int64[5,7], contiguous",
            "seen": "crash: the process ended: signal SIGABRT",
            "expected": "a result or an exception",
        }
    ]
    assert found["ops_run"][0]["where"] == "negative"
    assert by_name["results"]["status"] == KEPT  # without the op at which the process ended
    assert EndsTheProcess.__name__ not in LIARS


def test_a_hang_breaks_a_promise(tmp_path: Path) -> None:
    chips = tmp_path / "chips.py"
    chips.write_text(
        CHIPS + "import time\nclass Hangs(Honest):\n    def launch(self, op, operands, attributes, out=None):\n"
        "        time.sleep(600 if op == 'concat' else 0)\n"
        "        return super().launch(op, operands, attributes, out)\n"
    )
    _, *records = watched(f"{chips}:Hangs", (), 2.0)
    assert broken(records)["ops_run"] == [
        {"where": "concat", "seen": "hang: no sign of life for 2 s", "expected": "a result or an exception"}
    ]
    assert next(r for r in records if r["promise"] == "after_error")["status"] == KEPT


@pytest.mark.parametrize(
    ("spec", "code", "error"),
    [
        ("simulated:x", 2, OffloadError),
        ("torch:nosuch", 4, OffloadError),
        ("array_api:nosuch_module", 4, MissingDevice),
    ],
)
def test_what_cannot_be_opened_has_its_exit_code(spec: str, code: int, error: type[OffloadError]) -> None:
    with pytest.raises(OffloadError) as raised:
        list(watched(spec, (), 20.0))
    assert raised.value.exit_code == code


# ------------------------------------------------------------------------------------------------------------- text
DECLARES: dict[str, Any] = {
    "ops": 3, "dtypes": ["float32"], "contract": "ieee", "streams": 0, "transfers": ["blocking"],
    "source_free": {"blocking": "return"}, "in_place": 0, "peers": None, "release": False, "deterministic": True,
    "place": "chip:0",
}  # fmt: skip  # one device
REPORT = """\
conformance of chip:0
  declares  3 ops; 1 dtype; contract ieee; no streams; transfers blocking (source free: return); deterministic; place
            chip:0

transfers
  kept    dtypes                every dtype comes back as it went
  BROKEN  values                every bit comes back: NaN payload, -0.0, subnormals, ends
          at        float32, special values
          seen      [3] is 0x0p+0
          expected  -0x0p+0
          and 1 more
          do        copy bytes, not numbers
  -       async_transfers       async transfers are done when their stream is (async is not among the transfers)

speed
  kept    campaign              a short campaign runs to its end (600 case runs/s)
  hint                          it is quick

4 promises: 2 kept, 1 broken, 1 that does not apply; exit 1: broken: values"""


def test_the_text_is_this() -> None:
    def record(promise: str, status: str, **more: Any) -> dict[str, Any]:
        p = PROMISES[promise]
        return {"promise": promise, "group": p.group, "sentence": p.sentence, "status": status, "note": "", **more}

    violation = {"where": "float32, special values", "seen": "[3] is 0x0p+0", "expected": "-0x0p+0"}
    records = [
        record("dtypes", KEPT),
        record("values", BROKEN, violations=[violation], broken=2, do=PROMISES["values"].advice),
        record("async_transfers", ABSENT) | {"note": "async is not among the transfers"},
        record("campaign", KEPT, hints=["it is quick"]) | {"note": "600 case runs/s"},
    ]
    assert conformance_text("chip:0", DECLARES, records, 1) == REPORT
