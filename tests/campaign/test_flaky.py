"""A device that is wrong in 5% of its runs: found, with its rate, shrunk to a case that still fails, and replayed."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attrs import evolve

from offload_fuzz import api
from offload_fuzz.adapters.pool import open_places
from offload_fuzz.adapters.resolve import resolve
from offload_fuzz.adapters.simulated import make
from offload_fuzz.case import Case, parse_case
from offload_fuzz.finding.diagnose import diagnose
from offload_fuzz.finding.examine import Examiner
from offload_fuzz.finding.flaky import CONFIDENCE, FAILURES, RUNS, Rate, measure, often
from offload_fuzz.finding.raising import candidates, is_higher, raised
from offload_fuzz.finding.rate import wilson
from offload_fuzz.finding.replay import replay_file
from offload_fuzz.finding.shrink import shrink
from offload_fuzz.finding.store import path_of
from offload_fuzz.oracles import FAIL, Verdict
from offload_fuzz.plan import Key, Plan
from offload_fuzz.program import Builder
from offload_fuzz.report.block import finding_block

RATE = 0.05


class Flaky:
    """The host, but for `add`, whose first element is one too large in 5% of the runs, drawn from a seed."""

    name = "flaky:0"
    features: dict[str, Any] = {"ops": ["add", "negative", "reshape"], "dtypes": ["float32"], "contract": "numpy"}  # noqa: RUF012  # read only

    def __init__(self, rate: float = RATE, seed: int = 1) -> None:
        self.inner, self.random, self.rate, self.fails = resolve("numpy").device, random.Random(seed), rate, False

    def reset(self, seed: int) -> None:
        self.fails = self.random.random() < self.rate

    def upload(self, array: Any) -> Any:
        return array.copy()

    def download(self, buffer: Any) -> Any:
        return buffer.copy()

    def launch(self, op: str, operands: list[Any], attributes: dict[str, Any]) -> Any:
        result = np.array(self.inner.launch(op, operands, attributes))
        if op == "add" and self.fails and result.size:
            result.reshape(-1)[0] += np.float32(1)
        return result


def failing(nodes: int, rate: float = RATE, seed: int = 1) -> tuple[Case, Examiner]:
    """A chain of `nodes` negations with one addition in the middle, all on a flaky device."""
    b = Builder()
    x = v = b.input(np.arange(6, dtype=np.float32).reshape(2, 3))
    for i in range(nodes):
        v = b.apply("add", v, x) if i == nodes // 2 else b.apply("negative", v)
    program = b.returns(v)
    choices: dict[Key, Any] = {("device", (u,)): 1 for u, _ in program.numbered()}
    places = open_places((Flaky(rate, seed),))
    return Case(program, Plan({**choices, ("sync", ()): "minimal"}), (places[1].spec,)), Examiner(places)


def first_failure(case: Case, examiner: Examiner) -> Verdict:
    verdict = often(lambda c: examiner.fails_like(c, "wrong value"), 1000)(case)
    assert verdict is not None
    return verdict


def test_a_flaky_case_comes_down_to_the_node_that_fails_sometimes() -> None:
    case, examiner = failing(8)
    verdict = first_failure(case, examiner)
    reduction = shrink(case, verdict, examiner)
    assert [n.op for n in reduction.case.program.nodes] == ["add"]
    assert sorted(name for name, _ in reduction.case.plan.choices) == ["device"]
    assert reduction.case.program.types[-1].size == 1
    assert reduction.minimal
    assert reduction.attempts > 10


def test_the_rate_of_a_flaky_case_is_stated_with_its_interval_and_the_repeats() -> None:
    case, examiner = failing(1, seed=2)
    verdict = first_failure(case, examiner)
    found = diagnose(case, verdict, examiner, attempts=59)
    assert found.failures == FAILURES or found.repeats == RUNS
    low, high = wilson(found.failures, found.repeats)
    assert low < RATE < high
    assert found.attempts >= 59
    assert [(n.phrase, n.passes) for n in found.needs] == [("v1 on d0", True), ("minimal synchronisation", False)]
    known = {"kind": "wrong value", "failures": 5, "repeats": 100, "attempts": 59}
    text = "  failed    5 of 100 runs: flaky, 5.0%, 95% confidence 2.2% to 11.2%; what is smaller passed 59 runs\n"
    assert text in finding_block(case, known) + "\n"


def test_a_flaky_device_is_found_by_a_campaign_and_its_finding_replays_until_it_fails(tmp_path: Path) -> None:
    spec = f"{__file__}:Flaky"
    report = api.run(
        [spec], max_cases=1500, seed=1, stop_after=1, report_dir=tmp_path, ops=["add", "negative"], isolation="inline"
    )
    (found,) = report.findings
    case, known = parse_case(found.text, found.id)
    assert [n.op for n in case.program.nodes] == ["add"]
    assert 0 < known["failures"] < known["repeats"]
    assert known["attempts"] > 1
    end = replay_file(path_of(tmp_path, found.id), {"d0": spec}, until_fail=60.0)
    assert end.status in ("FLAKY", "FAILED")
    assert end.failures == 1


@pytest.mark.parametrize(
    ("failures", "runs", "attempts"), [(3, 3, 1), (5, 100, 59), (1, 2, 5), (0, 200, RUNS), (1, 200, RUNS)]
)
def test_so_many_runs_say_with_confidence_that_a_case_does_not_fail(failures: int, runs: int, attempts: int) -> None:
    rate = Rate(failures, runs)
    assert rate.attempts == attempts
    if 0 < failures < runs and attempts < RUNS:
        assert (1 - failures / runs) ** attempts <= 1 - CONFIDENCE < (1 - failures / runs) ** (attempts - 1)


def test_a_rate_is_measured_until_there_are_enough_failures_or_runs() -> None:
    case, _ = failing(1)
    assert measure(lambda c: Verdict(FAIL), case) == Rate(FAILURES, FAILURES)
    assert measure(lambda c: None, case) == Rate(0, RUNS)


def test_a_case_that_fails_always_costs_one_run_more() -> None:
    case, examiner = failing(3, rate=1.0)
    reduction = shrink(case, first_failure(case, examiner), examiner)
    assert reduction.attempts == 1
    assert reduction.minimal
    assert [n.op for n in reduction.case.program.nodes] == ["add"]


# ----------------------------------------------------------------------------------------------------- raising the rate
class Racing:
    """A simulated device that forgets waits, whose queues run at once in all but a few runs."""

    def __init__(self, rate: float = 0.1, fault: str = "wait_ignored") -> None:
        self.inner, self.random, self.rate = make(f"simulated:0+{fault}"), random.Random(5), rate
        self.name, self.features = "racing:0", evolve(self.inner.features, place=self.inner.name)

    def reset(self, seed: int) -> None:
        self.inner.reset(1, "late" if self.random.random() < self.rate else "eager")

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


def race(rate: float = 0.1, extra: int = 3, fault: str = "wait_ignored") -> tuple[Case, Examiner]:
    """What is made on stream 1 is used on stream 0; further nodes before it have nothing to do with it."""
    b = Builder()
    x = b.input(np.arange(1, 7, dtype=np.float32))
    v = x
    for _ in range(extra):
        v = b.apply("negative", v)
    made = b.apply("square", v)
    program = b.returns(b.apply("add", made, x))
    choices: dict[Key, Any] = {("device", (u,)): 1 for u, _ in program.numbered()}
    choices |= {("stream", (made,)): 1, ("sync", ()): "minimal"}
    places = open_places((Racing(rate, fault),))
    return Case(program, Plan(choices, 1), (places[1].spec,), places=places), Examiner(places)


def test_a_delay_that_raises_the_rate_is_kept_and_the_case_shrunk_with_it() -> None:
    case, examiner = race()
    verdict = first_failure(case, examiner)
    reduction = shrink(case, verdict, examiner)
    assert reduction.minimal
    assert reduction.attempts <= 3  # of about 29 without the delay
    assert "delay" in {name for name, _ in reduction.case.plan.choices}
    assert len(reduction.case.program.nodes) == 2
    found = diagnose(reduction.case, reduction.verdict, examiner, attempts=reduction.attempts)
    assert found.failures > 0.5 * found.repeats  # of a tenth


def test_only_a_delay_that_raises_the_rate_significantly_is_kept() -> None:
    case, examiner = failing(3)
    once = lambda c: examiner.fails_like(c, "wrong value")  # noqa: E731  # one use
    before = measure(once, case)
    assert raised(case, before, once, lambda: True) == (case, before)  # it has no delays
    raced, examiner = race(rate=1.0)
    always = Rate(FAILURES, FAILURES)
    assert raised(raced, always, once, lambda: True) == (raced, always)
    assert not is_higher(Rate(3, 20), Rate(10, 100))
    assert is_higher(Rate(10, 12), Rate(10, 100))


def test_delays_are_tried_at_all_nodes_and_then_at_each() -> None:
    case, _ = race(extra=0)
    every = [("delay", (1,)), ("delay", (2,))]
    choices = ("copy", "launch", "event")
    tried = [(every, c) for c in choices] + [([key], c) for key in every for c in choices]
    assert list(candidates(case)) == tried


def test_damage_and_rules_are_told_of_a_flaky_case_too() -> None:
    case, examiner = failing(1, rate=0.3, seed=3)
    found = diagnose(case, first_failure(case, examiner), examiner, attempts=20)
    assert found.damage == "the first 1 of 6 elements"
    assert found.chain == ("v1[0, 0] = add v0, v0 is correctly rounded: 0 (0x00000000, 0x0p+0)",)
    assert found.seen == "the same where every result is read back"
