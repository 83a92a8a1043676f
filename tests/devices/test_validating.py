"""The validating device: it names whoever breaks the protocol, at once, and changes nothing that a campaign sees."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import offload_fuzz as of
from offload_fuzz.adapters.resolve import is_code, resolve
from offload_fuzz.adapters.validating import BrokenPromise, ValidatingDevice, validating
from offload_fuzz.errors import UsageError

from .liars import Honest, Memory, RunsElsewhere, SumsInFloat64, WidensBfloat16, WritesAllOperands

X = np.array([1, 2], np.float32)
REDUCE = {"axis": None, "keepdims": False}


class GivesNothing(Honest):
    def upload(self, array: Any, share: bool = False) -> Memory:
        return None  # type: ignore[return-value]  # what the lie is


class WritesTheSource(Honest):
    def upload(self, array: Any, share: bool = False) -> Memory:
        memory = super().upload(array)
        array[...] = 0
        return memory


class ChangesItsArguments(Honest):
    def launch(self, op: str, operands: Any, attributes: Any, out: Any = None, donate: int | None = None) -> Memory:
        result = super().launch(op, operands, attributes, out)
        operands.clear()
        return result


class DownloadsLists(Honest):
    def download(self, buffer: Memory) -> Any:
        return buffer.array.tolist()


def summed(device: ValidatingDevice) -> Any:
    return device.download(device.launch("sum", [device.upload(X.copy())], REDUCE))


# ------------------------------------------------------------------------------------------------------- the adapter
@pytest.mark.parametrize(
    ("adapter", "message"),
    [
        (GivesNothing, "upload returned None but should be a buffer [upload(float32[2]) on validating:honest:0]"),
        (WritesTheSource, "upload changed the host array but should be one that is left as it was"),
        (ChangesItsArguments, "launch changed its arguments but should be leaving them alone [launch sum(float32[2])"),
        (SumsInFloat64, "download gave float64[] but should be float32[]"),
        (DownloadsLists, "download gave float but should be a NumPy array"),
        (RunsElsewhere, "the buffer is at 'host' but should be at 'honest:0' [launch sum(float32[2]) on"),
    ],
)
def test_a_broken_promise_of_the_adapter_is_named_at_once(adapter: Callable[[], Any], message: str) -> None:
    with pytest.raises(BrokenPromise, match=f"^the adapter broke a promise: {re.escape(message)}"):
        summed(validating(adapter()))


def test_a_dtype_that_does_not_come_back_is_named() -> None:
    device = validating(WidensBfloat16())
    bfloat16 = resolve("numpy").device.download(np.ones(1, np.float32).astype(of.ArrayType("bfloat16", ()).np))
    with pytest.raises(BrokenPromise, match=r"download gave float32\[1\] but should be bfloat16\[1\]"):
        device.download(device.upload(bfloat16))


# -------------------------------------------------------------------------------------------------------- the fuzzer
def released(device: ValidatingDevice) -> None:
    buffer = device.upload(X, stream=0, blocking=True)
    device.release(buffer, stream=0)
    device.download(buffer, stream=0, blocking=True)


def stranger(device: ValidatingDevice) -> None:
    device.download(validating(Honest()).upload(X), stream=0, blocking=True)


def negative(device: ValidatingDevice, **modes: Any) -> None:
    device.launch("negative", [device.upload(X, stream=0, blocking=True)], {}, **{"stream": 0, **modes})


@pytest.mark.parametrize(
    ("misuse", "message"),
    [
        (released, "a buffer is used that was released but should be in use [download on validating:simulated:0]"),
        (stranger, "buffer is of validating:honest:0 but should be of validating:simulated:0"),
        (lambda d: negative(d, stream=4), "stream is 4 but should be 0 <= stream < 4"),
        (lambda d: d.record(-1), "stream is -1 but should be 0 <= stream < 4 [record(-1)"),
        (lambda d: d.upload(X, stream=0), "modes are ['stream'] but should be ['blocking', 'stream']"),
        (lambda d: negative(d, out=d.upload(X, stream=0, blocking=True)), "out is another buffer but should be one of"),
        (lambda d: d.wait(0, object()), "event is object but should be one that was recorded"),
        (lambda d: d.launch("nop", [], {}, stream=0), "op is 'nop' but should be one that is declared"),
        (
            lambda d: d.launch("sum", [d.upload(X, stream=0, blocking=True)], {}, stream=0),
            "sum takes attributes (axis, ",
        ),
    ],
)
def test_a_broken_promise_of_the_fuzzer_is_named_as_such(misuse: Callable[[Any], Any], message: str) -> None:
    with pytest.raises(BrokenPromise, match=f"^the fuzzer broke a promise: {re.escape(message)}"):
        misuse(resolve("validating:simulated:0").device)


# --------------------------------------------------------------------------------------------------------- campaigns
def test_a_campaign_on_lawful_devices_finds_nothing() -> None:
    report = of.run(["validating:simulated:0", "validating:simulated:1"], max_cases=500, isolation="inline")
    assert report.exit_code == 0, report.findings
    assert report.counts.freedoms


def test_a_device_that_releases_without_streams_is_not_asked_to_synchronize() -> None:
    report = of.run([validating(Honest())], max_cases=300)
    assert report.exit_code == 0, report.findings


def test_a_fault_is_found_as_without_the_validation() -> None:
    found = [
        [(f.id, f.count) for f in of.run([device], max_cases=300, isolation="inline", seed=2).findings]
        for device in ("simulated:0+int64_narrowed", "validating:simulated:0+int64_narrowed")
    ]
    assert found[0]
    assert found[0] == found[1]


def test_what_an_adapter_breaks_becomes_a_finding() -> None:
    report = of.run([validating(SumsInFloat64())], ops=["sum"], max_cases=60, stop_after=1)
    (finding,) = report.findings
    assert finding.known["kind"] == "raised"
    assert "BrokenPromise: the adapter broke a promise: download gave float64[" in finding.known["message"]


def test_results_are_not_changed() -> None:
    device = validating(WritesAllOperands())
    x = device.upload(X)
    device.launch("add", [x, x], {}, out=x)
    assert device.download(x).tolist() == [2, 4]


# ------------------------------------------------------------------------------------------------------------- names
def test_a_spec_names_the_device_inside() -> None:
    place = resolve("validating:simulated:0+int64_narrowed")
    assert place.name == "validating:simulated:0+int64_narrowed" == place.spec
    assert place.features.peers == "validating:simulated"
    for spec in ("validating:", "validating:validating:numpy"):
        with pytest.raises(UsageError, match="but should be validating:DEVICE such as validating:torch:cpu"):
            resolve(spec)


def test_a_file_may_not_import_code_through_it() -> None:
    assert is_code("validating:my.py:Chip")
    assert is_code("validating:pkg.mod:Chip")
    assert is_code("validating:array_api:my_module")
    assert is_code("array_api:my_module:device1")
    assert not is_code("validating:simulated:0")
    assert not is_code("array_api:array_api_strict:device1")
