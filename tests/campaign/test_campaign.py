"""The campaign loop: deterministic, crash-proof, honest, and able to find what is planted."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from offload_fuzz.adapters.simulated.faults import FAULTS
from offload_fuzz.campaign.loop import Campaign
from offload_fuzz.campaign.report import Report
from offload_fuzz.campaign.selftest import devices_of
from offload_fuzz.campaign.settings import Settings
from offload_fuzz.case import parse_case
from offload_fuzz.finding.replay import FAILED, FIXED, replay_case, with_devices
from offload_fuzz.plan import FREEDOMS

from ..devices.test_simulated_faults import SEQUENCES

CHIPS = Path(__file__).with_name("chips.py")


def run(**options: Any) -> Report:
    return Campaign(Settings(**options)).run()


def outcome(report: Report) -> str:
    found = [(f.id, f.count, f.text) for f in report.findings]
    return json.dumps([report.counts.as_json(), report.cells.rows(), found, report.error])


def children() -> list[str]:
    found = subprocess.run(["ps", "-o", "stat=,args=", "--ppid", str(os.getpid())], capture_output=True, text=True)
    return [line for line in found.stdout.splitlines() if "campaign.worker" in line or line.startswith("Z")]


def test_the_same_seed_gives_the_same_campaign_with_one_and_two_workers() -> None:
    options: dict[str, Any] = {"devices": ["simulated:0+int64_narrowed"], "max_cases": 600, "seed": 3}
    first, again, two = run(**options), run(**options), run(**options, workers=2)
    assert outcome(first) == outcome(again) == outcome(two)
    assert first.counts.cases == 600


def test_inline_and_process_isolation_give_the_same_campaign() -> None:
    options: dict[str, Any] = {"max_cases": 500, "seed": 4}
    assert outcome(run(**options)) == outcome(run(**options, isolation="inline"))


def test_lawful_devices_give_no_finding_and_the_default_generation_is_varied() -> None:
    report = run(max_cases=4000, seed=12, workers=2)
    counts = report.counts
    assert report.exit_code == 0, [f.text for f in report.findings]
    assert counts.cases == 4000
    assert counts.median_nodes >= 6
    assert counts.wild >= 0.15 * counts.programs
    assert counts.large >= 0.01 * counts.programs
    assert counts.unknown < 0.01 * counts.judged
    assert counts.rejected == 0
    assert all(counts.freedoms[name] >= 0.05 * counts.cases for name in counts.freedoms)
    assert set(counts.freedoms) == set(FREEDOMS)


@pytest.mark.parametrize("name", [f for k, f in enumerate(FAULTS) if f in SEQUENCES or k % 3 == 0])
def test_a_planted_fault_is_found_shrinks_and_replays(name: str) -> None:
    """A fixed sample, as all would take too long: the first 29 faults, and every third; `selftest` covers them all."""
    devices = devices_of(FAULTS[name])
    report = run(devices=devices, max_cases=20_000, stop_after=1, seed=1, isolation="inline")
    assert report.exit_code == 1, f"{name} is not found in {report.counts.cases} case runs"
    case, finding = parse_case(report.findings[0].text, name)
    assert len(case.program.nodes) <= 2 + len(devices)
    assert set(FAULTS[name].needs) <= {freedom for freedom, _ in case.plan.choices}
    assert replay_case(case, name, finding).status == FAILED
    roles = {f"d{i}": spec.partition("+")[0] for i, spec in enumerate(case.devices)}  # shrinking drops devices
    assert replay_case(with_devices(case, roles, name), name, finding).status == FIXED


def test_a_device_that_kills_and_hangs_its_process_is_reported_once_each_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "runs"
    monkeypatch.setenv("OFFLOAD_FUZZ_TEST_LOG", str(log))
    started = time.monotonic()
    report = run(devices=[f"{CHIPS}:Killer"], max_time=25, seed=2, workers=2, hang_after=2)
    assert time.monotonic() - started < 35
    kinds = sorted(f.known["kind"] for f in report.findings)
    assert kinds == ["crash", "hang"]
    assert not report.error
    reproductions = sum(f.known["executions"] for f in report.findings)
    runs = report.counts.cases + report.counts.executions + reproductions
    # a case with `repeat` resets once; the worker that is stopped at the end may have begun one more run each
    assert abs(log.stat().st_size - runs) <= 2
    assert not children()


def test_a_crash_that_repeats_is_reduced_to_the_op_that_causes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OFFLOAD_FUZZ_TEST_LOG", str(tmp_path / "runs"))
    report = run(devices=[f"{CHIPS}:Segfault"], ops=["sin", "add"], max_cases=60, seed=2)
    crash = next(f for f in report.findings if f.known["kind"] == "crash")
    case, _ = parse_case(crash.text, "crash")
    assert [n.op for n in case.program.nodes] == ["sin"]
    assert crash.known["failures"] == crash.known["repeats"] == 3
    assert crash.count > 1
