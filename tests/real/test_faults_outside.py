"""Faults planted around real devices: those that the protocol can realise are found, the others give a clear error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

import offload_fuzz as of
from offload_fuzz.adapters.faulty import OUTSIDE, missing
from offload_fuzz.adapters.resolve import is_code, resolve
from offload_fuzz.adapters.simulated import FAULTS, HOOKS
from offload_fuzz.errors import UsageError

pytestmark = pytest.mark.real_device

#: One fault for each hook that any device has, with the kind of finding.
FOUND = {
    "upload_strides_ignored": "wrong value",  # host_array
    "int64_narrowed": "wrong value",  # carried
    "last_chunk_lost": "wrong value",  # moved
    "read_only_source_raises": "raised",  # copies
    "downloads_share_staging": "wrong value",  # host_target
    "empty_operand_raises": "raised",  # accepts
    "offset_wraps": "wrong value",  # operand
    "zero_dim_gains_axis": "wrong shape",  # result_type
    "grid_limit": "wrong value",  # result
    "empty_reduction_unwritten": "wrong value",  # written
    "wrong_device_index": "ran elsewhere",  # placed
}


@contextmanager
def backend(name: str) -> Iterator[None]:
    pytest.importorskip(name)
    yield


@pytest.mark.parametrize("name", FOUND)
def test_a_fault_around_torch_is_found(name: str, tmp_path: Path) -> None:
    with backend("torch"):
        report = of.run(
            [f"torch:cpu+{name}"], max_cases=3000, seed=1, isolation="inline", stop_after=1, report_dir=tmp_path,
            ops=["add", "negative", "sum", "permute_dims", "getitem", "concat"],
        )  # fmt: skip  # what to run, then how
    assert [f.known["kind"] for f in report.findings] == [FOUND[name]]


@pytest.mark.parametrize("name", ["region_keeps_last_result", "int64_narrowed"])
def test_a_fault_around_jax_is_found(name: str, tmp_path: Path) -> None:
    with backend("jax"):
        devices = [f"jax:cpu:{i}+{name}" for i in range(FAULTS[name].devices)]
        report = of.run(
            devices, max_cases=1500, seed=1, isolation="inline", stop_after=1, report_dir=tmp_path,
            ops=["negative", "add", "square"], dtypes=["float32", "int64"],
        )  # fmt: skip  # what to run, then how
    assert [f.known["kind"] for f in report.findings] == ["wrong value"]


def test_what_a_fault_does_not_touch_is_the_devices_own() -> None:
    with backend("torch"):
        device = resolve("torch:cpu+int64_narrowed").device
        wide = np.array([2**40, 3], np.int64)
        assert device.download(device.upload(wide)).tolist() == [0, 3]
        single = np.array([[0.1, -0.0]], np.float32)
        assert device.download(device.launch("negative", [device.upload(single)], {})).tobytes() == (-single).tobytes()
        assert device.place_of(device.upload(single)) == "torch:cpu"


@pytest.mark.parametrize(
    ("fault", "needs"),
    [
        ("freed_while_in_use", "the inside of a simulated device"),
        ("strided_matmul_raises", "the inside of a simulated device"),
        ("wait_ignored", "a device with streams"),
        ("region_swaps_results", "a device with compile"),
        ("peer_copy_narrowed", "a device with peers"),
    ],
)
def test_a_fault_that_cannot_be_planted_outside_is_refused(fault: str, needs: str) -> None:
    with backend("torch"), pytest.raises(UsageError) as error:
        resolve(f"torch:cpu+{fault}")
    told, _, able = str(error.value).partition("; ")
    assert told == f"fault {fault} needs {needs} but is planted around torch:cpu [device torch:cpu+{fault}]"
    write, *named = able.removesuffix(", ...").replace("or plant one of ", "").split(", ")
    assert write == f"write simulated:0+{fault}"
    features = resolve("torch:cpu").features
    assert named
    assert not [name for name in named if missing(FAULTS[name], features)]


def test_an_unknown_fault_around_a_device_names_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"fault is 'ofset_wraps' but .* did you mean 'offset_wraps'\?"):
        resolve("numpy+ofset_wraps")


def test_the_table_of_outside_hooks_names_hooks_and_most_faults_that_no_memory_is_needed_for() -> None:
    assert set(OUTSIDE) <= set(HOOKS)
    numpy = resolve("numpy").features
    able = [f for f in FAULTS.values() if not missing(f, numpy)]
    assert len(able) > 40
    assert {f.cls for f in able} >= {"transfer", "errors", "precision", "metadata", "op semantics", "fallback"}


def test_code_with_a_fault_around_it_is_still_code() -> None:
    assert is_code("chip.py:Chip+offset_wraps")
    assert is_code("pkg.mod:Chip+offset_wraps")
    assert not is_code("torch:cpu+offset_wraps")
