"""Out of memory: lawful where a plan needs much, and no excuse for what comes after; errors that surface late."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from offload_fuzz.adapters.pool import host, open_places
from offload_fuzz.adapters.simulated import FAULTS, Simulated, make
from offload_fuzz.adapters.simulated.queues import ORDERS
from offload_fuzz.campaign.loop import Campaign
from offload_fuzz.campaign.selftest import detect
from offload_fuzz.campaign.settings import Settings
from offload_fuzz.case import Case, dump_case
from offload_fuzz.device import Place, parse_features, place
from offload_fuzz.errors import AdapterError, UsageError
from offload_fuzz.export.door import export
from offload_fuzz.finding.examine import Examiner
from offload_fuzz.finding.replay import FAILED, FIXED, UNCLEAR, replay_case, with_devices
from offload_fuzz.lower import lower
from offload_fuzz.oracles import Verdict
from offload_fuzz.plan import Key, Plan
from offload_fuzz.program import Program
from offload_fuzz.recovery import ROUNDED, SPREAD, most_bytes, small_program
from offload_fuzz.types import Array

from ..programs import build

X = np.arange(900, dtype=np.float32)
#: Three arrays of 3,600 bytes at once, where there are 8,192.
LARGE = build([X, ("negative", (0,), {}), ("add", (0, 1), {}), ("add", (1, 2), {})], [3])
SMALL = build([X[:4], ("negative", (0,), {}), ("add", (0, 1), {})], [2])


def on_device(program: Program, seed: int = 0, **choices: Any) -> Plan:
    """All nodes on the first device, and these choices of the whole schedule."""
    found: dict[Key, Any] = {("device", (v,)): 1 for v, _ in program.numbered()}
    found.update({(name, ()): choice for name, choice in choices.items()})
    return Plan(found, seed)


def verdict_of(device: Any, program: Program = LARGE, seed: int = 0, **choices: Any) -> Verdict:
    examiner = Examiner((host(), place(device)))
    return examiner.examine(Case(program, on_device(program, seed, **choices), ("d",)))


class Lasting:
    """A simulated device that is changed by being out of memory, for ever."""

    def __init__(self, how: str, inner: Simulated | None = None) -> None:
        self.inner = inner or make("simulated.tight:0")
        self.name, self.features, self.how, self.full = self.inner.name, self.inner.features, how, False

    def __getattr__(self, name: str) -> Any:
        if name == "reset":
            raise AttributeError(name)
        return getattr(self.inner, name)

    def upload(self, array: Array, **how: Any) -> Any:
        if self.full and self.how == "no upload":
            raise RuntimeError("the context is lost")
        return self._guarded(lambda: self.inner.upload(array, **how))

    def download(self, buffer: Any, **how: Any) -> Array:
        found = self.inner.download(buffer, **how)
        if self.full and self.how == "wrong download":
            self.inner.synchronize()
            return found + np.ones((), found.dtype)
        return found

    def launch(self, *args: Any, **how: Any) -> Any:
        return self._guarded(lambda: self.inner.launch(*args, **how))

    def launch_compiled(self, *args: Any, **how: Any) -> Any:
        return self._guarded(lambda: self.inner.launch_compiled(*args, **how))

    def _guarded(self, call: Any) -> Any:
        try:
            return call()
        except MemoryError:
            self.full = True
            raise


class Broken(Lasting):
    """One that is as before after a reset."""

    def reset(self, seed: int) -> None:
        self.full = False
        self.inner.reset(seed)


# ------------------------------------------------------------------------------------------------------- lawful devices
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("spec", ["simulated.tight:0", "simulated.dsp:0"])
def test_a_device_that_works_on_after_out_of_memory_is_lawful(spec: str, order: str) -> None:
    large = LARGE if "tight" in spec else build([np.tile(X, 2), ("negative", (0,), {}), ("add", (0, 1), {})], [2])
    device = make(spec)
    reset = device.reset
    device.reset = lambda seed: reset(seed, order)  # type: ignore[assignment,misc,method-assign]
    for repeat in (1, 2):
        for seed in range(6):
            verdict = verdict_of(device, large, seed, repeat=repeat)
            assert (verdict.kind, verdict.failed) == ("out of memory", False)


def test_a_campaign_meets_out_of_memory_on_the_small_profiles_and_finds_nothing() -> None:
    for devices, cases, most in (
        (("simulated.tight:0", "simulated.tight:1"), 100, 0.4),
        (("simulated.dsp:0",), 250, 0.1),
    ):
        report = Campaign(Settings(devices=devices, seed=1, max_cases=cases, isolation="inline")).run()
        assert not report.findings
        assert 0 < report.counts.out_of_memory < most * report.counts.cases


# ----------------------------------------------------------------------------------------------------- unlawful devices
def test_a_device_that_raises_after_out_of_memory_is_broken() -> None:
    verdict = verdict_of(Broken("no upload"))
    assert verdict.kind == "broken after out of memory"
    assert verdict.message.startswith(
        "after out of memory the plan raised RuntimeError: the context is lost when it was run again, "
        "but the device should work on [launch on simulated.tight:0, which said OutOfMemory: "
    )


def test_a_device_that_gives_wrong_values_after_out_of_memory_is_found() -> None:
    verdict = verdict_of(Broken("wrong download"))
    assert verdict.kind == "wrong after out of memory"
    assert "v2 of a small program is [5, 7, 9, 11, 13, 15, 17, 19] but should be [4, 6, 8, 10" in verdict.message


def test_what_a_device_does_without_running_out_of_memory_too_is_not_laid_to_that() -> None:
    case = Case(LARGE, on_device(LARGE), ("simulated.tight:0+last_chunk_lost",))
    assert Examiner(open_places(case.devices)).examine(case).kind == "out of memory"


def test_a_device_without_reset_is_held_to_what_it_did_at_first() -> None:
    verdict = verdict_of(Lasting("wrong download"))
    assert verdict.kind == "wrong after out of memory"
    device = Lasting("wrong download")
    device.full = True
    assert verdict_of(device).kind == "out of memory"


def test_memory_that_is_lost_is_found_where_the_same_plan_comes_less_far() -> None:
    verdict = verdict_of(make("simulated.tight:0+exhausted_memory_lost"))
    assert verdict.kind == "memory lost"
    assert "run again after out of memory the plan came through" in verdict.message


def test_out_of_memory_of_a_plan_that_needs_little_is_found() -> None:
    device = make("simulated.tight:0")
    device.memory.capacity = 1024
    program = build([X[:100], ("negative", (0,), {}), ("add", (0, 1), {})], [2])
    verdict = verdict_of(device, program)
    assert verdict.kind == "out of memory early"
    need = 3 * (SPREAD * 400 + ROUNDED)
    assert verdict.message.startswith(
        f"memory was used up where the plan has {need:,} bytes at most, but there should be 8,192 [launch on simulated."
    )


def test_a_device_without_room_for_a_small_program_has_lost_memory() -> None:
    device = make("simulated.tight:0")
    device.memory.capacity = 128
    verdict = verdict_of(device, SMALL)
    assert verdict.kind == "memory lost"
    assert verdict.message.startswith(
        "after out of memory a small program was told OutOfMemory: 64 bytes are asked for"
    )


def test_what_a_plan_needs_counts_what_is_live_at_the_command() -> None:
    places = (host(), *open_places(["simulated.tight:0"])[1:])
    schedule = lower(LARGE, on_device(LARGE), places)
    one = SPREAD * X.nbytes + ROUNDED
    launches = [i for i, c in enumerate(schedule.commands) if type(c).__name__ == "Launch"]
    assert [most_bytes(schedule, 1, at, places[1], 0) // one for at in launches] == [2, 3, 3]
    last = len(schedule.commands) - 1
    assert most_bytes(schedule, 1, last, places[1], 3) == (1 + 3) * one  # the output is the host's to let go of


@pytest.mark.parametrize("spec", ["simulated:0", "simulated.npu:0", "simulated.dsp:0", "numpy"])
def test_there_is_a_small_program_for_every_device(spec: str) -> None:
    found = small_program(open_places([spec])[1])
    assert found is not None
    program, results = found
    assert program.types[0].dtype == "int32"
    assert [r.tolist()[:2] for r in results] == [[4, 6], [7, 10], [8, 12], [12, 18]]


def test_a_device_without_a_fitting_op_has_no_small_program() -> None:
    features = parse_features({"ops": ["reshape"], "dtypes": ["float32"]}, "d")
    assert small_program(Place(None, features, spec="d")) is None


@pytest.mark.parametrize(("key", "value"), [("memory", 0), ("memory", "1G"), ("padding", 0), ("padding", True)])
def test_a_size_that_is_no_size_is_refused(key: str, value: Any) -> None:
    with pytest.raises(AdapterError, match=rf"features\['{key}'\] is .* but should be an int >= 1"):
        parse_features({"ops": ["add"], "dtypes": ["float32"], key: value}, "d")


@pytest.mark.parametrize("name", [f for f in FAULTS if FAULTS[f].profile == "simulated.tight"])
def test_a_fault_of_exhausted_memory_is_found_and_holds(name: str) -> None:
    found = detect(FAULTS[name], seed=1, max_time=60)
    assert found.found
    assert found.holds


def test_a_finding_of_after_out_of_memory_is_fixed_where_the_device_works_on() -> None:
    case = Case(LARGE, on_device(LARGE), ("simulated.tight:0+exhausted_memory_lost",))
    assert replay_case(case, "file", {"kind": "memory lost"}).status == FAILED
    lawful = with_devices(case, {"d0": "simulated.tight:0"}, "file")
    assert replay_case(lawful, "file", {"kind": "memory lost"}).status == FIXED
    assert replay_case(lawful, "file", {"kind": "wrong value"}).status == UNCLEAR


def test_a_finding_of_after_out_of_memory_has_an_issue_and_no_script(tmp_path: Path) -> None:
    case = Case(LARGE, on_device(LARGE), ("simulated.tight:0+exhausted_memory_lost",))
    path = tmp_path / "F1.offload.json"
    path.write_text(dump_case(case, {"id": "F1", "kind": "memory lost"}), encoding="utf-8")
    with pytest.raises(UsageError, match="a script runs one plan, and 'memory lost' is about what comes after it"):
        export(path, "script")
    text, said = export(path, "issue")
    assert "There is no script" in text
    assert "is about what comes after it" in said


# ---------------------------------------------------------------------------------------------------------- late errors
def late(names_launch: bool, order: str = "late") -> Simulated:
    """A device whose kernel of `negative` raises when it runs."""
    device = make("simulated.gpu:0")

    def result(value: Any, name: str, operands: Any, attributes: Any) -> Any:
        if name == "negative":
            raise ValueError("the kernel died")
        return value

    device.hooks.__dict__["result"] = result
    reset, download = device.reset, device.download

    def raising(buffer: Any, **how: Any) -> Any:
        try:
            return download(buffer, **how)
        except RuntimeError as error:
            raise (error if names_launch else RuntimeError("unknown error")) from None

    device.reset = lambda seed: reset(seed, order)  # type: ignore[assignment,misc,method-assign]
    device.download = raising  # type: ignore[method-assign]
    return device


def test_an_error_that_surfaces_late_is_laid_to_its_launch_and_said_to_be_late() -> None:
    verdict = verdict_of(late(True), SMALL, sync="minimal")
    assert (verdict.kind, verdict.value) == ("raised", 1)
    assert verdict.message == (
        "v1 raised KernelError: ValueError: the kernel died [negative on simulated.gpu:0] "
        "[launch on simulated.gpu:0, which surfaced late, at a later download] but should give a result"
    )


def test_an_error_of_which_the_device_does_not_tell_the_launch_may_be_an_earlier_one() -> None:
    verdict = verdict_of(late(False), SMALL, sync="minimal")
    assert (verdict.kind, verdict.value) == ("raised", None)
    assert verdict.message == (
        "a transfer raised RuntimeError: unknown error [download on simulated.gpu:0; perhaps it is of an earlier "
        "launch there, which the error does not say] but should give a result"
    )


def test_an_error_that_nothing_waits_for_is_found_before_the_next_run() -> None:
    """v1 is on a stream of its own, and no output needs it."""
    program = build([X[:4], ("negative", (0,), {}), ("add", (0, 0), {})], [2])
    places = {("device", (1,)): 1, ("device", (2,)): 1, ("stream", (1,)): 1, ("sync", ()): "minimal"}
    device = Lasting("", late(True))
    verdict = Examiner((host(), place(device))).examine(Case(program, Plan(dict(places)), ("d",)))
    assert (verdict.kind, verdict.value) == ("raised", 1)
    assert "which surfaced late, at a later synchronisation]" in verdict.message


def test_a_late_error_that_is_swallowed_is_found_by_its_values() -> None:
    found = detect(FAULTS["late_error_swallowed"], seed=0, max_time=60)
    assert (found.kind, found.holds) == ("wrong value", True)
