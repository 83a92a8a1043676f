"""The fuzzer under test: what `selftest` says of planted faults, and that no two faults are one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from offload_fuzz import cli
from offload_fuzz.adapters.pool import open_places
from offload_fuzz.adapters.simulated import FAULTS, make
from offload_fuzz.campaign.counts import Counts
from offload_fuzz.campaign.loop import NoJournal
from offload_fuzz.campaign.selftest import detect, exit_code, identities, is_missed, lacking, selftest
from offload_fuzz.campaign.settings import UNIT_CASES, Settings
from offload_fuzz.campaign.unit import Unit, open_workbench
from offload_fuzz.case import Case
from offload_fuzz.errors import UsageError
from offload_fuzz.execute import Run, execute
from offload_fuzz.lower import lower
from offload_fuzz.plan import Plan
from offload_fuzz.program import Program
from offload_fuzz.recovery import recover
from offload_fuzz.reference import quiet
from offload_fuzz.report import selftest as report
from offload_fuzz.schedule import Schedule

#: One fault of each of seven classes, each found within a second or two.
QUICK = (
    "float32_in_float16", "in_place_write_lost", "last_chunk_lost", "peer_copy_lost", "wrong_device_index",
    "fallback_loses_dtype", "region_swaps_results",
)  # fmt: skip  # names
#: The ops of each half of the cases, all of which faults are about: of all 184 ops there would be too few of each.
HALVES = (
    """
    abs add argmax cumulative_sum divide exp floor_divide flip getitem matmul max multiply negative permute_dims pow
    prod remainder reshape round setitem sin sort square subtract sum take zeros
    """,
    """
    add astype broadcast_to clip floor_divide greater less maximum max minimum multiply remainder square where
    """,
)


# ------------------------------------------------------------------------------------------------------------ detection
def test_a_few_faults_are_found_soon_small_and_named() -> None:
    records = list(selftest(QUICK, max_time=60, seeds=[0]))
    assert {r["fault"] for r in records} == set(QUICK)
    assert exit_code(records) == 0
    for r in records:
        assert (r["found"], r["seeds"], r["holds"], r["lacks"]) == (1, 1, True, []), r
        assert 1 <= r["nodes"] <= 3
        assert r["cases"] <= 2000
        assert set(r["needs"]) <= set(r["freedoms"])
        assert "device" in r["freedoms"]
        assert 1 <= r["executions"] <= 300
        assert len(r["ids"]) == 1


def test_detection_counts_the_case_runs_up_to_the_program_that_failed() -> None:
    found = detect(FAULTS["float32_in_float16"], seed=0, max_time=60)
    assert found == evolve(detect(FAULTS["float32_in_float16"], seed=0, max_time=60), seconds=found.seconds)
    assert found.cases < UNIT_CASES
    missed = detect(FAULTS["float32_in_float16"], seed=0, max_time=60, max_cases=1)
    assert (missed.found, missed.cases, missed.nodes, missed.id) == (False, 1, 0, "")
    assert not detect(FAULTS["float32_in_float16"], seed=0, max_time=0).found


def test_a_fault_is_out_of_reach_of_a_device_without_a_freedom_that_it_needs() -> None:
    features = make("simulated:0").features
    assert not any(lacking(f, features) for f in FAULTS.values())
    assert lacking(FAULTS["wait_ignored"], evolve(features, streams=1)) == ["stream"]
    assert lacking(FAULTS["region_swaps_results"], evolve(features, compile=False)) == ["compile"]
    assert lacking(FAULTS["upload_reads_late"], evolve(features, transfers=("blocking",))) == ["transfer"]


RECORD: dict[str, Any] = {
    "fault": "mine", "class": "memory", "report": "", "needs": ["stream"], "lacks": [], "seeds": 3, "found": 3,
    "holds": True, "cases": 1250, "seconds": 2.5, "nodes": 2, "choices": 3, "freedoms": ["device", "stream"],
    "kind": "wrong value", "ids": ["F01234567"],
}  # fmt: skip  # one record


@pytest.mark.parametrize(
    ("changes", "missed", "text"),
    [
        ({}, False, "mine                              found          1,250     2.50      2        3"
         "  wrong value        device, stream"),
        ({"found": 2}, True, "mine                              2 of 3         1,250     2.50      2        3"
         "  wrong value        device, stream"),
        ({"found": 0}, True, "mine                              MISSED         1,250     2.50"),
        ({"holds": False}, True, "mine                              UNSTABLE       1,250     2.50      2        3"
         "  wrong value        device, stream"),
        ({"found": 0, "lacks": ["stream"]}, False, "mine                              no reach       1,250     2.50"),
    ],
)  # fmt: skip  # what a line looks like
def test_a_fault_that_is_missed_or_does_not_hold_makes_the_exit_code_1(
    changes: dict[str, Any], missed: bool, text: str
) -> None:
    record = RECORD | changes
    assert is_missed(record) == missed
    assert exit_code([RECORD, record]) == missed
    assert report.line(record) == text


def test_the_command_prints_a_line_a_fault_and_a_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["selftest", "--faults", "last_chunk_lost"]) == 0
    head, line, verdict = capsys.readouterr().out.splitlines()
    assert head == (
        "fault                             found      case runs  seconds  nodes  choices  kind"
        "               what remains of the plan"
    )
    name, found, cases, *_ = line.split()
    assert (name, found) == ("last_chunk_lost", "found")
    assert verdict == (
        f"1 of 1 faults found, after {cases} case runs (median); exit 0: every fault within reach is found"
    )


def test_the_command_names_what_it_missed_and_prints_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["selftest", "--faults", "last_chunk_lost,int64_narrowed", "--max-time", "0s"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines[1:3]] == ["MISSED", "MISSED"]
    assert lines[3] == "0 of 2 faults found, after no case run; exit 1: missed: last_chunk_lost, int64_narrowed"
    assert cli.main(["selftest", "--faults", "last_chunk_lost", "--seeds", "2", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert (data["exit_code"], data["max_time"], data["max_cases"]) == (0, 60.0, 20_000)
    (r,) = data["faults"]
    assert (r["fault"], r["seeds"], r["found"], len(r["ids"])) == ("last_chunk_lost", 2, 2, 2)


def test_identities_are_counted_over_seeds_and_over_pairs_of_faults(capsys: pytest.CaptureFixture[str]) -> None:
    found: list[dict[str, Any]] = [{"ids": ["a", "a"]}, {"ids": ["b", "a"]}, {"ids": ["c"]}, {"ids": []}]
    assert identities(found) == {"faults": 2, "equal": 1, "pairs": 3, "shared": 1}
    assert cli.main(["selftest", "--faults", "last_chunk_lost,int64_narrowed", "--seeds", "2", "--seed", "7"]) == 0
    line = capsys.readouterr().out.splitlines()[3]
    assert line == "one ID under all seeds for 2 of 2 faults found under several; 0 of 1 pairs of faults share an ID"


def test_a_fault_that_there_is_not_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError, match="fault is 'mine' but should be one of"):
        next(selftest(["mine"], 1, [0]))
    assert cli.main(["selftest", "--faults", "mine"]) == 2
    assert "fault is 'mine' but should be one of" in capsys.readouterr().err


def test_a_loaded_fault_takes_part(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    extension = tmp_path / "mine.py"
    extension.write_text(
        "from offload_fuzz.adapters.simulated import fault\n"
        "@fault('nothing_moves', hook='moved', cls='transfer', sentence='Nothing moves.')\n"
        "def _nothing_moves(nbytes, kind): return 0\n"
    )
    try:
        assert cli.main(["selftest", "--load", str(extension), "--faults", "nothing_moves"]) == 0
    finally:
        FAULTS.pop("nothing_moves", None)
    assert "\nnothing_moves " in capsys.readouterr().out


# ------------------------------------------------------------------------------------------------------- no two are one
class _Collector(Unit):
    """Draws the cases of a unit as a campaign does, and runs none."""

    drawn: list[tuple[Program, Plan]]

    def _trial(self, case: Case, plans: list[Plan], counts: Counts, start: int) -> None:
        self.drawn.extend((case.program, plan) for plan in plans)


def fixed_cases() -> Iterator[tuple[Program, Plan, Schedule]]:
    """500 cases of two devices, lowered."""
    for number, ops in enumerate(HALVES):
        settings = Settings(seed=9, ops=ops.split(), max_nodes=8, plans="random:1", steer=False)
        bench = open_workbench(settings)
        unit = _Collector(bench, number, UNIT_CASES, lambda kind, data: None, NoJournal(), (0, 0))
        unit.drawn = []
        unit.run()
        assert len(unit.drawn) == UNIT_CASES
        for program, plan in unit.drawn:
            yield program, plan, lower(program, plan, bench.places)


def outcome(run: Run) -> str:
    """What one plan gave, as text: bytes of results and probes, what was raised, misplaced, touched, and the ledger."""
    arrays = [[*map(described, r)] for r in run.results] + [[described(run.probes[v]) for v in sorted(run.probes)]]
    raised = run.failure and (run.failure.command, run.failure.error)
    assert run.ledger is not None
    told = [(t["transfers"], [where == "numpy" for where in t["launches"]], len(t["misreads"]))
            for t in run.ledger.told.values()]  # fmt: skip  # one device each
    return repr((arrays, raised, len(run.misplaced), len(run.touched), told))


def described(x: Any) -> tuple[str, tuple[int, ...], int]:
    return str(x.dtype), x.shape, hash(x.tobytes())


def test_no_two_faults_of_a_class_have_one_outcome_on_a_fixed_set_of_500_cases() -> None:
    places = {name: open_places([f"{f.profile}:{i}+{name}" for i in (0, 1)]) for name, f in FAULTS.items()}
    together = [[f.name for f in FAULTS.values() if f.cls == cls] for cls in {f.cls for f in FAULTS.values()}]
    count = 0
    for program, plan, schedule in fixed_cases():
        count += 1
        apart = []
        for group in together:
            found: dict[str, list[str]] = {}
            for name in group:
                with quiet():
                    run = execute(schedule, program, places[name], plan.seed, plan.get("repeat"))
                    after = ""
                    if run.failure is not None and run.failure.out_of_memory:
                        after = repr(recover(schedule, program, places[name], run, plan.get("repeat")))
                found.setdefault(outcome(run) + after, []).append(name)
            apart += [names for names in found.values() if len(names) > 1]
        together = apart
        if not together:
            break
    assert not together, f"not told apart by {count} cases: {together}"
