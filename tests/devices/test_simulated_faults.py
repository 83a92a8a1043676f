"""Each fault of the simulated accelerator shows in a sequence made for it, and the lawful device does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from offload_fuzz.adapters.simulated import FAULTS, HOOKS, Simulated, fault, make
from offload_fuzz.adapters.simulated.faults import CLASSES
from offload_fuzz.adapters.simulated.queues import ORDERS
from offload_fuzz.errors import UsageError
from offload_fuzz.ops import BUILT_IN
from offload_fuzz.ops.base import OPS
from offload_fuzz.types import DTYPES, Array

from .test_simulated import quiet_cases, run, two_devices

Sequence = Callable[[Simulated, Simulated], Any]
X = np.arange(1.0, 7.0, dtype=np.float32).reshape(2, 3)
WHOLE = (None, None, None)


def one(op: str, *arrays: Any, **attributes: Any) -> Sequence:
    return lambda d, p: run(d, op, *map(np.asarray, arrays), **attributes)


def download_strided(d: Simulated, p: Simulated) -> Any:
    return d.download(d.launch("permute_dims", [d.upload(X)], {"axes": (1, 0)}))


def negative_of_rest(x: Array, start: int) -> Sequence:
    return lambda d, p: d.download(
        d.launch("negative", [d.launch("getitem", [d.upload(x)], {"index": ((start, None, None),)})], {})
    )


def overwritten_source(blocking: bool) -> Sequence:
    def sequence(d: Simulated, p: Simulated) -> Any:
        x = X.copy()
        buffer = d.upload(x, blocking=blocking)
        if not blocking:
            d.synchronize()
        x[...] = 0
        return d.download(buffer)

    return sequence


def download_early(d: Simulated, p: Simulated) -> Any:
    return d.download(d.launch("negative", [d.upload(X)], {})).copy()


def across_streams(d: Simulated, p: Simulated) -> Any:
    y = d.launch("negative", [d.upload(X)], {}, stream=1)
    d.wait(0, d.record(1))
    return d.download(d.launch("abs", [y], {}, stream=0), stream=0)


def download_into_gaps(d: Simulated, p: Simulated) -> Any:
    into = np.zeros((2, 7), np.float32)[:, 1::2]
    d.download(d.upload(X), into=into)
    return into


def view_of_what_was_dropped(d: Simulated, p: Simulated) -> Any:
    x = d.upload(X)
    view = d.launch("permute_dims", [x], {"axes": (1, 0)})
    d.synchronize()  # what is queued keeps the base
    del x
    other = d.upload(-X)
    return np.stack([d.download(view), d.download(other).T])


def across_streams_late(d: Simulated, p: Simulated) -> Any:
    x = d.upload(X, stream=1)
    d.delay(1)
    y = d.launch("negative", [x], {}, stream=1)
    d.wait(0, d.record(1))
    return d.download(d.launch("abs", [y], {}, stream=0), stream=0)


def across_devices(d: Simulated, p: Simulated) -> Any:
    y = d.launch("negative", [d.upload(X)], {}, stream=1)
    p.wait(0, d.record(1))
    return p.download(p.copy(y, d, stream=0), stream=0)


def released_after_use(d: Simulated, p: Simulated) -> Any:
    x = d.upload(X)
    y = d.launch("negative", [x], {})
    d.release(x)
    return d.download(y)


def in_place_on_a_strided_buffer(d: Simulated, p: Simulated) -> Any:
    x = d.upload(X.T)
    return d.download(d.launch("negative", [x], {}, out=x))


def operand_of_setitem(d: Simulated, p: Simulated) -> Any:
    x = d.upload(X)
    d.launch("setitem", [x, d.upload(-X[:1])], {"index": ((0, 1, None), WHOLE)})
    return d.download(x)


def operand_of_a_cast(d: Simulated, p: Simulated) -> Any:
    x = d.upload(X)
    y = d.launch("astype", [x], {"dtype": "float32"})
    d.launch("negative", [y], {}, out=y)
    return d.download(x)


def sorted_result_of_queued_work(d: Simulated, p: Simulated) -> Any:
    return d.download(d.launch("sort", [d.launch("negative", [d.upload(X)], {})], {"axis": 0}))


FINE = np.array([1 + 2.0**-20, 3.0], np.float32)
TINY = np.full(2, np.finfo(np.float32).smallest_normal)
BIG = np.array([2**24 + 1, -(2**24) - 3], np.int32)
SEQUENCES: dict[str, Sequence] = {
    "upload_strides_ignored": lambda d, p: d.download(d.upload(X.T)),
    "download_strides_ignored": download_strided,
    "operand_strides_ignored": one("add", X.T, X.T),
    "storage_offset_dropped": negative_of_rest(np.arange(5.0), 2),
    "offset_wraps": one("negative", np.arange(40.0)),
    "last_chunk_lost": lambda d, p: d.download(d.upload(X)),
    "bounced_tail_lost": lambda d, p: p.download(p.upload(d.download(d.upload(X)))),
    "strided_target_unwritten": lambda d, p: d.download(d.launch("abs", [d.upload(X)], {}, update="strided view")),
    "download_into_gaps": download_into_gaps,
    "view_without_its_base": view_of_what_was_dropped,
    "export_offset_dropped": lambda d, p: d.download(
        d.launch("getitem", [d.upload(X)], {"index": ((1, None, None), WHOLE)}), share=True
    ),
    "peer_copy_lost": lambda d, p: p.download(p.copy(d.upload(X), d)),
    "int64_narrowed": lambda d, p: d.download(d.upload(np.array([2**40 + 3, -5]))),
    "zero_sign_and_nan_lost": lambda d, p: d.download(d.upload(np.array([-0.0, 1.0]))),
    "upload_reads_late": overwritten_source(blocking=False),
    "upload_returns_early": overwritten_source(blocking=True),
    "download_returns_early": download_early,
    "wait_ignored": across_streams,
    "wait_gives_up": across_streams_late,
    "peer_event_ignored": across_devices,
    "freed_while_in_use": released_after_use,
    "in_place_write_lost": in_place_on_a_strided_buffer,
    "setitem_mutates_operand": operand_of_setitem,
    "noop_returns_operand": operand_of_a_cast,
    "fallback_loses_dtype": one("sort", np.array([3, 2**40, 1]), axis=0),
    "fallback_reads_stale": sorted_result_of_queued_work,
    "wrong_device_index": lambda d, p: np.asarray(d.place_of(d.upload(X)) == d.name),
    "floor_divide_truncates": one("floor_divide", np.array([-7, 7]), np.array([2, 2])),
    "float32_in_float16": one("add", FINE, FINE),
    "integers_through_float32": one("abs", BIG),
    "subnormals_flushed": one("multiply", TINY, np.full(2, 0.5, np.float32)),
    "extremum_drops_nan": one("minimum", np.array([np.nan, 1.0]), np.array([2.0, 3.0])),
    "argmax_takes_last": one("argmax", np.array([1, 5, 5]), axis=0, keepdims=False),
    "round_half_away": one("round", np.array([0.5, 2.5, -2.5])),
    "empty_reduction_unwritten": one("sum", np.zeros((0, 2), np.float32), axis=(0,), keepdims=False),
}


def observed(sequence: Sequence, order: str, faults: str = "") -> tuple[str, tuple[int, ...], bytes]:
    d, p = two_devices(order, 11, faults)
    result = np.asarray(sequence(d, p))
    return str(result.dtype), result.shape, result.tobytes()


def test_every_fault_has_a_hook_a_sentence_and_a_well_formed_report() -> None:
    assert {f.hook for f in FAULTS.values()} == set(HOOKS)  # no hook is idle
    for f in FAULTS.values():
        assert f.sentence.endswith(".")
        if f.report:
            owner, number = f.report.split("#")
            assert owner.count("/") == 1
            assert number.isdigit()


def test_every_class_has_faults_enough_and_many_model_a_public_report() -> None:
    assert len(FAULTS) >= 60
    assert all(sum(f.cls == c for f in FAULTS.values()) >= 5 for c in CLASSES)
    assert sum(bool(f.report) for f in FAULTS.values()) >= 50


@pytest.mark.parametrize("name", SEQUENCES)
def test_a_fault_shows_in_its_sequence_and_the_lawful_device_does_not(name: str) -> None:
    expected = observed(SEQUENCES[name], "eager")
    assert all(observed(SEQUENCES[name], order) == expected for order in ORDERS)
    assert observed(SEQUENCES[name], "late", f"+{name}") != expected


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", [f for f in FAULTS if FAULTS[f].hook == "result"])
def test_a_fault_in_results_never_raises(name: str, dtype: str) -> None:
    device = make(f"simulated:0+{name}")
    for op in BUILT_IN:
        if dtype in OPS[op].dtypes:
            for case in quiet_cases(op, dtype, 8):
                run(device, op, *case.operands, **case.attributes)


def test_two_faults_on_one_hook_are_both_there() -> None:
    d, _ = two_devices("late", 1, "+wait_ignored+int64_narrowed+zero_sign_and_nan_lost")
    assert d.name == "simulated:0+wait_ignored+int64_narrowed+zero_sign_and_nan_lost"
    assert d.download(d.upload(np.array([2**40]))).tolist() == [0]
    assert not np.signbit(d.download(d.upload(np.array([-0.0])))).any()


def test_a_fault_needs_a_hook_a_class_and_a_name_of_its_own() -> None:
    row: dict[str, Any] = {"cls": "memory", "sentence": "A sentence.", "report": "a/b#1"}
    with pytest.raises(UsageError, match="hook is 'placd' but should be one of"):
        fault("mine", hook="placd", **row)
    with pytest.raises(UsageError, match="fault class is 'memry' but should be one of"):
        fault("mine", hook="placed", **{**row, "cls": "memry"})
    with pytest.raises(UsageError, match="freedom is 'streams' but should be one of"):
        fault("mine", hook="placed", needs=("streams",), **row)
    with pytest.raises(UsageError, match="fault is called 'wait_ignored' but should have its own name"):
        fault("wait_ignored", hook="waits", **row)
